package conditions

import (
	"regexp"
	"slices"
)

// All returns every condition the engine weighs. A failure that both text and packets can
// show stands in both families under one id: the values are joined, so that one finding
// rests on all its evidence.
func All() []Condition {
	var out []Condition
	for _, family := range [][]Condition{pathText(), Wire(), phase1(), phase1Config(), phase2(), saState(), lifecycleConditions(), dataplaneConditions(), remoteConditions(), platformConditions(), swanConditions(), health()} {
		for _, c := range family {
			i := slices.IndexFunc(out, func(o Condition) bool { return o.ID == c.ID })
			if i < 0 {
				out = append(out, c)
				continue
			}
			out[i] = join(out[i], c)
		}
	}
	for i := range out {
		out[i].Reference = numbered.ReplaceAllStringFunc(out[i].Reference, func(s string) string { return sources[s] })
	}
	return out
}

// sources are the documents that references name by number, in words.
var (
	sources = map[string]string{
		"S0": "an Easy VPN outage between two ASAs whose ISP blocked ICMP",
		"S1": "Cisco, most common IPsec L2L and remote access VPN troubleshooting solutions",
		"S2": "Meraki, troubleshooting client VPN with packet captures",
		"S3": "Cisco, IPsec over TCP clients connect and then fail",
		"S4": "Topsec, VPN cannot connect behind a mobile carrier's NAT pool",
	}
	numbered = regexp.MustCompile(`\bS[0-4]\b`)
)

// join adds b's evidence to a's; a's words stand.
func join(a, b Condition) Condition {
	if a.Cause == "" {
		a.Cause, a.Shows = b.Cause, b.Shows
	}
	first, second := a.Look, b.Look
	if len(b.Reference) > len(a.Reference) { // the one with message ids
		a.Reference = b.Reference
	}
	a.Negotiates = a.Negotiates || b.Negotiates
	a.Look = func(t *Tunnel) []Match { return append(first(t), second(t)...) }
	for _, s := range b.SymptomOf {
		if !slices.Contains(a.SymptomOf, s) {
			a.SymptomOf = append(slices.Clone(a.SymptomOf), s)
		}
	}
	for _, p := range b.Prefer {
		if !slices.Contains(a.Prefer, p) {
			a.Prefer = append(slices.Clone(a.Prefer), p)
		}
	}
	return a
}
