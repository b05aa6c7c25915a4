package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// phase2 are the conditions of quick mode and traffic selection: proposals, PFS, crypto
// access lists, the crypto map itself.
func phase2() []Condition {
	return []Condition{transformMismatch, pfsMismatch, aclMismatch, aclOverlap, entryIncomplete, mapSequence, mapNoPolicy,
		nonRoutineNotify, keyAcquireQueued, keyAcquireFailed, connectionType, quickModeText, quickModeLastText}
}

// phase2Works: an IPsec SA with this peer exists at some end.
func (t *Tunnel) phase2Works() []facts.Place {
	var out []facts.Place
	for _, e := range t.Ends {
		for _, sa := range live(e.IPsec()) {
			out = append(out, sa.Place)
		}
	}
	return out
}

// entriesOf returns what an end proposes to its peer: the static crypto map entry, else the
// profile of a tunnel interface, else the entries of dynamic maps.
func (e *End) entriesOf() []facts.MapEntry {
	m := e.Entries()
	c := e.Config()
	if len(m) > 0 || c == nil {
		return m
	}
	for _, i := range c.Interfaces {
		if i.Protection == "" || i.Shutdown || !e.Mine(i.TunnelDst) {
			continue
		}
		for _, p := range c.Profiles {
			if p.Kind == "ipsec" && p.Name == i.Protection {
				m = append(m, profileEntry(p, i))
			}
		}
	}
	if len(m) > 0 {
		return m
	}
	for _, x := range c.MapEntries {
		if x.DynamicMap {
			m = append(m, x)
		}
	}
	return m
}

// profileEntry reads an IPsec profile of a tunnel interface as a crypto map entry without list.
func profileEntry(p facts.Profile, i facts.Interface) facts.MapEntry {
	m := facts.MapEntry{Map: p.Name, Peers: []netip.Addr{i.TunnelDst}, Place: p.Place, Places: map[string]facts.Place{}}
	for _, a := range p.Attrs {
		if a.No {
			continue
		}
		switch a.Key {
		case "set transform-set", "set ikev1 transform-set":
			m.Transforms = strings.Fields(a.Value)
			m.Places["transform"] = a.Place
		case "set ikev2 ipsec-proposal":
			m.Proposals = strings.Fields(a.Value)
			m.Places["proposal"] = a.Place
		case "set pfs":
			m.PFS = a.Value
			if m.PFS == "" {
				m.PFS = "default"
			}
			m.Places["pfs"] = a.Place
		case "set ikev2-profile", "set isakmp-profile":
			m.Profile = a.Value
		}
	}
	return m
}

// entries returns what the two ends propose to each other.
func (t *Tunnel) entries() (a, b []facts.MapEntry) {
	if len(t.Ends) != 2 {
		return nil, nil
	}
	return t.Ends[0].entriesOf(), t.Ends[1].entriesOf()
}

// offer is one combination of algorithms for the tunnel's data, as one sorted text.
type offer struct {
	text, name string
	place      facts.Place
}

// offers resolves an entry's transform sets and IKEv2 proposals to what they offer, by IKE version.
func offers(c *facts.Config, m facts.MapEntry) (v1, v2 []offer) {
	ikev2 := slices.ContainsFunc(c.Profiles, func(p facts.Profile) bool { return p.Kind == "ikev2" && p.Name == m.Profile && m.Profile != "" })
	for _, name := range m.Transforms {
		for _, ts := range c.TransformSets {
			if ts.Name != name {
				continue
			}
			var alg []string
			for _, a := range ts.Transforms {
				switch a = strings.TrimSuffix(strings.ToLower(a), "-128"); a {
				case "esp-none", "none", "comp-lzs":
				case "esp-256-aes", "esp-192-aes":
					alg = append(alg, "esp-aes-"+a[4:7])
				default:
					alg = append(alg, a)
				}
			}
			o := offer{together(alg, ts.Transport), name, ts.Place}
			if ikev2 {
				v2 = append(v2, o)
			} else {
				v1 = append(v1, o)
			}
		}
	}
	for _, name := range m.Proposals {
		for _, p := range c.Proposals {
			if p.Name != name || !p.IPsec {
				continue
			}
			for _, enc := range p.Encryption {
				enc = "esp-" + strings.TrimSuffix(strings.TrimPrefix(strings.Replace(strings.ToLower(enc), "aes-gcm", "gcm", 1), "esp-"), "-128")
				if strings.Contains(enc, "gcm") || len(p.Integrity) == 0 {
					v2 = append(v2, offer{together([]string{enc}, false), name, p.Place})
					continue
				}
				for _, h := range p.Integrity {
					alg := []string{enc}
					switch h = strings.ToLower(h); h {
					case "sha-1", "sha1", "sha":
						alg = append(alg, "esp-sha-hmac")
					case "null":
					default:
						alg = append(alg, "esp-"+strings.Replace(h, "sha-", "sha", 1)+"-hmac")
					}
					v2 = append(v2, offer{together(alg, false), name, p.Place})
				}
			}
		}
	}
	return v1, v2
}

func together(alg []string, transport bool) string {
	slices.Sort(alg)
	s := strings.Join(alg, " ")
	if transport {
		s += " (transport mode)"
	}
	return s
}

// transformsDiffer compares what both ends' entries offer: 1 nothing is common, -1 something
// is, 0 cannot be told.
func transformsDiffer(t *Tunnel) (verdict int, text string, where []facts.Place) {
	as, bs := t.entries()
	for _, a := range as {
		for _, b := range bs {
			a1, a2 := offers(t.Ends[0].Config(), a)
			b1, b2 := offers(t.Ends[1].Config(), b)
			for _, x := range [][2][]offer{{a1, b1}, {a2, b2}} {
				if len(x[0]) == 0 || len(x[1]) == 0 {
					continue
				}
				var ps []facts.Place
				for _, o := range append(slices.Clone(x[0]), x[1]...) {
					if !slices.Contains(ps, o.place) {
						ps = append(ps, o.place)
					}
				}
				if slices.ContainsFunc(x[0], func(o offer) bool { return slices.ContainsFunc(x[1], func(q offer) bool { return q.text == o.text }) }) {
					return -1, "", ps
				}
				where = append(ps, place2(a, "transform"), place2(b, "transform"))
				verdict = 1
				text = fmt.Sprintf("%s offers %s, %s accepts %s", t.Ends[0].Label(), named(x[0]), t.Ends[1].Label(), named(x[1]))
			}
		}
	}
	return verdict, text, where
}

// named lists offers with the names of their sets.
func named(os []offer) string {
	var out []string
	for _, o := range os {
		if s := o.text + " (" + o.name + ")"; !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return strings.Join(out, " or ")
}

var transformMismatch = Condition{
	ID:        "transform-set-mismatch",
	Cause:     "no transform set is common to both ends",
	Shows:     "transform sets compared; 'All IPSec SA proposals found unacceptable', 713068 (14), 713257 phase 2, error 256; captures: quick mode refused",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify that the transform set matches; RFC 2408 notify 14 in quick mode",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		done := false
		for _, e := range t.Ends {
			evs := e.Events()
			done = done || len(withID(evs, "713119")) > 0 || len(saying(evs, "ike_p1_complete")) > 0 || slices.ContainsFunc(e.IKE(), IsUp)
			if x := saying(evs, "all ipsec sa proposals found unacceptable"); len(x) > 0 {
				clues = append(clues, For(3.8, e.Label()+" accepts none of the offered IPsec proposals", at(x...)...))
			}
			if x := saying(withID(evs, "713068"), "no proposal chosen", "no_proposal_chosen"); len(x) > 0 {
				clues = append(clues, For(3, "the peer answers quick mode with No proposal chosen (14)", at(x...)...))
			}
			if x := saying(withID(evs, "713257"), "phase 2"); len(x) > 0 {
				clues = append(clues, For(3.4, "attributes of phase 2 differ: "+x[0].Text, at(x...)...))
			}
			if x := saying(evs, "transform proposal not supported for identity", "phase 2 sa policy not acceptable", "invalidated proposal with error 256", "transform proposal (", "no matching ipsec proposal"); len(x) > 0 {
				clues = append(clues, For(3.8, e.Label()+" refuses the transforms", at(x...)...))
			}
			if x := saying(evs, "failed to find a matching policyesp", "failed to find a matching policy esp", "policyesp: proposal"); len(x) > 0 {
				clues = append(clues, For(4.2, e.Label()+" has no IPsec proposal like the one offered", at(x...)...))
			}
			if x := saying(withID(evs, "IKMP_MODE_FAILURE"), "quick mode"); len(x) > 0 {
				clues = append(clues, For(1.6, "quick mode fails", at(x...)...))
			}
			if x := saying(evs, "received no_proposal_chosen", "no_proposal_chosen notify"); len(x) > 0 && done {
				clues = append(clues, For(1.4, "", at(x...)...))
			}
			if x := saying(evs, "proposal_not_chosen protocol 3", "proposal_not_chosen protocol 2", "no_proposal_chosen protocol 3"); len(x) > 0 {
				clues = append(clues, For(3, "the peer refuses quick mode: no proposal chosen for ESP", at(x...)...))
			}
			if x := saying(evs, "pfs mismatch", "pfs required but not offered"); len(x) > 0 {
				clues = append(clues, Against(6, "the debug names PFS, not the transforms", at(x...)...))
			}
			if x := saying(evs, "rcv'd: udp tunnel", "udp-tunnel", "udp tunnel(nat-t)"); len(x) > 0 {
				clues = append(clues, Against(3, "the encapsulation differs: NAT-T is off at one end", at(x...)...))
			}
			if x := append(withID(evs, "713061"), saying(evs, "proxy identities not supported", "error 32", "invalid id info", "invalid_id_information", "ts_unacceptable", "traffic selectors unacceptable", "no ipsec policy found for received ts")...); len(x) > 0 {
				clues = append(clues, Against(6, "the identities are refused, not the transforms", at(x...)...))
			}
			if x := saying(evs, "un-encrypted no_proposal_chosen", "phase 1 failure"); len(x) > 0 && !done {
				clues = append(clues, Against(3, "phase 1 is refused", at(x...)...))
			}
		}
		verdict, text, where := transformsDiffer(t)
		switch verdict {
		case 1:
			clues = append(clues, For(4.6, text, where...))
		case -1:
			clues = append(clues, Against(4, "one transform set is common", where...))
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 1.6 }) {
			return nil
		}
		if x := t.phase2Works(); len(x) > 0 {
			clues = append(clues, Against(4, "an IPsec SA exists", x[0]))
		}
		m := Match{Clues: clues, Title: "No transform set is common to " + t.between(),
			Explanation: "Phase 1 passes and quick mode is refused: the encryption, hash or mode that one end offers for the tunnel's data is in no transform set of the other."}
		if text != "" {
			m.Explanation = text + ". " + m.Explanation
		} else {
			m.Next = append(m.Next, readAlso("both ends' crypto maps and transform sets", "names the algorithm that differs, and separates transform-set-mismatch from pfs-mismatch"))
		}
		for _, e := range t.Ends {
			if len(t.Ends) == 2 && len(e.entriesOf()) == 0 {
				continue
			}
			m.Actions = append(m.Actions, e.offerAction(t.Other(e)))
		}
		return []Match{m}
	},
}

// offerAction shows how an end gets a set that its peer has.
func (e *End) offerAction(o *End) report.Action {
	name, alg := "<name>", []string{"esp-aes-256", "esp-sha-hmac"}
	v2 := false
	if m := e.entriesOf(); len(m) > 0 {
		if len(m[0].Transforms) > 0 {
			name = m[0].Transforms[0]
		} else if len(m[0].Proposals) > 0 {
			name, v2 = m[0].Proposals[0], true
		}
	}
	if o != nil && o.Config() != nil {
		if m := o.entriesOf(); len(m) > 0 {
			v1, x2 := offers(o.Config(), m[0])
			for _, f := range append(v1, x2...) {
				alg = strings.Fields(strings.TrimSuffix(f.text, " (transport mode)"))
				break
			}
		}
	}
	step := "use the set that the peer has, the strongest common one; a new name beside the old one disturbs no other tunnel"
	if v2 {
		enc, hash := "aes-256", "sha-256"
		for _, a := range alg {
			if h, ok := strings.CutSuffix(strings.TrimPrefix(a, "esp-"), "-hmac"); ok {
				hash = strings.Replace(strings.Replace(h, "sha2", "sha-2", 1), "sha5", "sha-5", 1)
				if h == "sha" {
					hash = "sha-1"
				}
			} else {
				enc = strings.Replace(strings.TrimPrefix(a, "esp-"), "gcm", "aes-gcm", 1)
			}
		}
		return advise(e, []string{"crypto ipsec ikev2 ipsec-proposal " + name, " protocol esp encryption " + enc, " protocol esp integrity " + hash}, step)
	}
	word := "ikev1 "
	if e.isIOS() || e.old() {
		word = ""
	}
	line := strings.Join(alg, " ")
	if e.isIOS() {
		for _, bits := range []string{"256", "192"} {
			line = strings.ReplaceAll(strings.ReplaceAll(line, "esp-aes-"+bits, "esp-aes "+bits), "esp-gcm-"+bits, "esp-gcm "+bits)
		}
	}
	return advise(e, []string{"crypto ipsec " + word + "transform-set " + name + " " + line}, step)
}

// groupOf normalises a PFS group; a bare set pfs takes the release's default.
func groupOf(e *End, pfs string) string {
	if pfs == "default" {
		if e.isIOS() {
			return "group1"
		}
		return "group2"
	}
	return strings.ReplaceAll(pfs, " ", "")
}

var pfsMismatch = Condition{
	ID:        "pfs-mismatch",
	Cause:     "PFS is on at one end only, or with another group",
	Shows:     "set pfs compared; 'PFS mismatch', 713133; transforms agree and quick mode fails",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, enable or disable PFS; RFC 2409 section 5.5",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		text := ""
		as, bs := t.entries()
		for _, a := range as {
			for _, b := range bs {
				x, y := groupOf(t.Ends[0], a.PFS), groupOf(t.Ends[1], b.PFS)
				if x == y {
					clues = append(clues, Against(3, "PFS is the same at both ends"))
					continue
				}
				say := func(s string) string {
					if s == "" {
						return "no PFS"
					}
					return "PFS " + s
				}
				text = fmt.Sprintf("%s has %s, %s has %s", t.Ends[0].Label(), say(x), t.Ends[1].Label(), say(y))
				clues = append(clues, For(3.6, text, place2(a, "pfs"), place2(b, "pfs")))
			}
		}
		for _, e := range t.Ends {
			evs := e.Events()
			if x := saying(evs, "pfs mismatch", "pfs required but not offered", "pfs required", "pfs is required"); len(x) > 0 {
				clues = append(clues, For(4.2, e.Label()+" requires another PFS than the peer offers", at(x...)...))
			}
			if x := withID(evs, "713133"); len(x) > 0 {
				clues = append(clues, For(0.8, "", at(x...)...))
			}
			if x := append(saying(evs, "all ipsec sa proposals found unacceptable", "phase 2 sa policy not acceptable"), saying(withID(evs, "713068"), "no proposal chosen")...); len(x) > 0 {
				clues = append(clues, For(1.2, "quick mode is refused", at(x...)...))
			}
			if x := withID(evs, "713061"); len(x) > 0 {
				clues = append(clues, Against(3, "the identities are refused", at(x...)...))
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 3 }) {
			return nil
		}
		if v, _, where := transformsDiffer(t); v > 0 {
			clues = append(clues, Against(2, "the transform sets differ", where...))
		}
		if x := t.phase2Works(); len(x) > 0 {
			clues = append(clues, Against(4.5, "an IPsec SA exists", x[0]))
		}
		m := Match{Clues: clues, Title: "Perfect forward secrecy differs between " + t.between(),
			Explanation: text + ". Quick mode then fails although the transform sets agree; sometimes the tunnel comes up from one side only."}
		if text == "" {
			m.Explanation = "One end demands perfect forward secrecy, or another group, than the other offers. Quick mode then fails although the transform sets agree."
		}
		for _, e := range t.Ends {
			if len(t.Ends) == 1 || len(e.entriesOf()) > 0 {
				m.Actions = append(m.Actions, e.pfsAction(t.Other(e)))
			}
		}
		return []Match{m}
	},
}

// pfsAction shows how an end takes over the peer's setting.
func (e *End) pfsAction(o *End) report.Action {
	line, group := "set pfs <the peer's group>", ""
	known := false
	if o != nil {
		if x := o.entriesOf(); len(x) > 0 {
			known, group = true, groupOf(o, x[0].PFS)
		}
	}
	switch {
	case known && group == "":
		line = "no set pfs"
	case known:
		line = "set pfs " + group
	}
	step := "at one end, so that both have the same; the stronger group at both is better"
	m := e.entriesOf()
	switch {
	case len(m) > 0 && m[0].Sequence == 0: // the profile of a tunnel interface
		return advise(e, []string{"crypto ipsec profile " + m[0].Map, " " + line}, step)
	case e.isIOS():
		return advise(e, []string{"crypto map " + e.entryName() + " ipsec-isakmp", " " + line}, step)
	case line == "no set pfs":
		return advise(e, []string{"no crypto map " + e.entryName() + " set pfs"}, step)
	}
	return advise(e, []string{"crypto map " + e.entryName() + " " + line}, step, "or at both ends: no crypto map "+e.entryName()+" set pfs", "remote access: group-policy <gp> attributes, pfs enable or disable")
}

var nonRoutineNotify = Condition{
	ID:        "non-routine-notify",
	Cause:     "the peer sent an unexpected notify",
	Shows:     "713068 with a type that no other condition explains",
	Severity:  report.Major,
	SymptomOf: []string{"transform-set-mismatch", "phase1-policy-mismatch", "crypto-acl-mismatch", "pfs-mismatch", "psk-mismatch", "identity-mismatch"},
	Reference: "%ASA-5-713068 Received non-routine Notify message",
	Look: func(t *Tunnel) []Match {
		for _, e := range t.Ends {
			var x []facts.Event
			for _, ev := range withID(e.Events(), "713068") {
				// Types from 16384 on are a status, not an error (RFC 2408 section 3.14.1).
				if lastNumber(ev.Text) < 16384 && !hasAny(ev.Text, "no proposal chosen", "(14)", "invalid id", "(18)", "authentication failed", "(24)") {
					x = append(x, ev)
				}
			}
			if len(x) > 0 {
				clues := []Clue{For(3.4, "an unexpected notify came", at(x...)...)}
				if up := t.phase2Works(); len(up) > 0 {
					clues = append(clues, Against(2, "the tunnel is up", up[0]))
				}
				return []Match{{Clues: clues, Title: "The peer of " + e.Label() + " sent an unexpected notify",
					Explanation: x[0].Text + ". The notify's type says what the peer did not accept; compare policy and access list with the peer.",
					Actions:     []report.Action{advise(e, nil, "compare policy and crypto access list with the peer", "the peer's log says why it sent the notify")}}}
			}
		}
		return nil
	},
}

var keyAcquireQueued = Condition{
	ID:       "key-acquire-queued",
	Cause:    "phase 2 waits because phase 1 does not complete",
	Shows:    "713219 without 713220 and PHASE 2 COMPLETED",
	Severity: report.Major,
	SymptomOf: []string{"phase1-policy-mismatch", "udp-500-blocked", "udp-500-return-blocked", "udp-4500-blocked", "nat-pool-address-change", "path-fragments-dropped",
		"psk-mismatch", "peer-address-mismatch", "identity-mismatch", "certificate-rejected", "isakmp-disabled", "ike-version-mismatch", "exchange-mode-mismatch", "dead-peer", "responder-silent", "pmtu-black-hole"},
	Reference: "%ASA-6-713219 Queuing KEY-ACQUIRE messages to be processed when P1 SA is complete",
	Look: func(t *Tunnel) []Match {
		for _, e := range t.Ends {
			x := withID(e.Events(), "713219")
			if len(x) == 0 {
				continue
			}
			clues := []Clue{For(3, "phase 2 requests wait for phase 1", at(x...)...)}
			if y := withID(e.Events(), "713220", "713120", "713119"); len(y) > 0 {
				clues = append(clues, Against(4, "phase 1 completed and the queue was served", at(y...)...))
			}
			if up := t.phase1Up(); len(up) > 0 {
				clues = append(clues, Against(4, "phase 1 is up", up...))
			}
			return []Match{{Clues: clues, Title: "Phase 2 on " + e.Label() + " waits because phase 1 does not complete",
				Explanation: "The device queues requests for keys until phase 1 is done. That is a symptom: the cause lies in phase 1 — a policy, the key, or a filter on the path.",
				Actions:     []report.Action{advise(e, nil, "repair phase 1")},
				Next:        []report.Next{bothEnds("shows which phase 1 message is lost or refused")}}}
		}
		return nil
	},
}

var keyAcquireFailed = Condition{
	ID:        "key-acquire-failed",
	Cause:     "no usable crypto map or tunnel-group for a request",
	Shows:     "752006",
	Severity:  report.Major,
	SymptomOf: []string{"crypto-acl-unbound", "peer-address-mismatch", "ike-version-mismatch"},
	Reference: "%ASA-5-752006 Tunnel Manager failed to dispatch a KEY_ACQUIRE message",
	Look: func(t *Tunnel) []Match {
		for _, e := range t.Ends {
			x := withID(e.Events(), "752006")
			if len(x) == 0 {
				continue
			}
			clues := []Clue{For(3.6, "the tunnel manager found no usable crypto map or tunnel-group", at(x...)...)}
			if up := t.phase2Works(); len(up) > 0 {
				clues = append(clues, Against(3, "the tunnel is up", up[0]))
			}
			return []Match{{Clues: clues, Title: e.Label() + " cannot start the tunnel: no usable crypto map entry or tunnel-group (752006)",
				Explanation: "Traffic asked for a tunnel, and the device found no entry it could use for it: an access list that belongs to no map, IKEv2 settings without use, or duplicate entries. " + x[0].Text,
				Actions:     []report.Action{advise(e, nil, "remove crypto access lists that belong to no map, unused IKEv2 settings, duplicate access-list entries", "match the crypto access lists of both ends")}}}
		}
		return nil
	},
}

var connectionType = Condition{
	ID:        "connection-type-conflict",
	Cause:     "the connection types exclude each other",
	Shows:     "answer-only or originate-only compared; 713195, 713196",
	Severity:  report.Critical,
	Reference: "crypto map set connection-type; %ASA-3-713195, %ASA-3-713196",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var types []string
		var fix []report.Action
		for _, e := range t.Ends {
			if x := withID(e.Events(), "713195", "713196"); len(x) > 0 {
				clues = append(clues, For(4.2, "a tunnel is rejected because of its connection type", at(x...)...))
			}
			for _, m := range e.Entries() {
				if m.ConnType == "" || m.ConnType == "bidirectional" {
					continue
				}
				types = append(types, m.ConnType)
				w := 0.8
				if len(t.Ends) == 1 && m.ConnType == "answer-only" && len(e.IKE()) == 0 {
					w = 2.6
				}
				if o := t.Other(e); o != nil && m.ConnType == "answer-only" && o.Config() != nil && !slices.ContainsFunc(o.Entries(), func(x facts.MapEntry) bool { return meant(x, e) && len(x.Peers) > 0 }) &&
					slices.ContainsFunc(o.Config().MapEntries, func(x facts.MapEntry) bool { return x.DynamicMap }) {
					w = 3.8
					clues = append(clues, For(0.4, o.Label()+" has a dynamic map for it and cannot start the tunnel"))
				}
				clues = append(clues, For(w, fmt.Sprintf("%s is %s", e.Label(), m.ConnType), place2(m, "type")))
				fix = append(fix, advise(e, []string{fmt.Sprintf("crypto map %s %d set connection-type bidirectional", m.Map, m.Sequence)}, "with a backup list: originate-only on the end that holds the list, answer-only at its peers"))
			}
		}
		if len(types) == 2 && types[0] == types[1] {
			clues = append(clues, For(3.4, "both ends are "+types[0], clues[len(clues)-1].Places...))
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 2 }) {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(4, "phase 1 is up", up...))
		}
		title := "The connection types of " + t.between() + " exclude each other"
		if len(types) > 0 {
			title += " (" + strings.Join(types, ", ") + ")"
		}
		return []Match{{Clues: clues, Actions: fix, Title: title,
			Explanation: "An answer-only end never starts a tunnel and an originate-only end never accepts one. With the types set as they are, nobody starts it, or nobody accepts it."}}
	},
}
