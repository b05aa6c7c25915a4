package conditions

import (
	"cmp"
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
		nonRoutineNotify, keyAcquireQueued, keyAcquireFailed, connectionType, quickModeText}
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

// network is one entry of a crypto access list as a pair of networks.
type network struct {
	src, dst netip.Prefix
	place    facts.Place
}

// networks lists the permitted pairs of a crypto access list, object groups multiplied out,
// bounded; ok is false when an entry could not be resolved.
func networks(c *facts.Config, acl string) (out []network, ok bool) {
	l := c.ACL(acl)
	if l == nil {
		return nil, false
	}
	all := netip.MustParsePrefix("0.0.0.0/0")
	for _, a := range l.Entries {
		if !a.Permit || a.Inactive {
			continue
		}
		src, dst := a.Src, a.Dst
		if a.SrcAny {
			src = []netip.Prefix{all}
		}
		if a.DstAny {
			dst = []netip.Prefix{all}
		}
		if len(src) == 0 || len(dst) == 0 {
			return nil, false
		}
		for _, s := range src {
			for _, d := range dst {
				out = append(out, network{s.Masked(), d.Masked(), a.Place})
				if len(out) > 2000 {
					return nil, false
				}
			}
		}
	}
	return out, len(out) > 0
}

// covered tells whether a pair lies within the union of the list, entry by entry.
func covered(n network, list []network) bool {
	return slices.ContainsFunc(list, func(o network) bool {
		return o.src.Bits() <= n.src.Bits() && o.src.Contains(n.src.Addr()) && o.dst.Bits() <= n.dst.Bits() && o.dst.Contains(n.dst.Addr())
	})
}

// unmirrored returns the entries of a without a mirror in b. Lists that are cut into other
// pieces but sum up to the same networks are equal; a wider entry is no mirror.
func unmirrored(a, b []network) (out []network) {
	type pair struct{ src, dst netip.Prefix }
	have := make(map[pair]bool, len(b))
	for _, o := range b {
		have[pair{o.src, o.dst}] = true
	}
	for _, n := range a {
		m := network{src: n.dst, dst: n.src}
		if have[pair{m.src, m.dst}] {
			continue
		}
		left := []network{m}
		for _, o := range b {
			if o.src.Bits() >= m.src.Bits() && o.dst.Bits() >= m.dst.Bits() && m.src.Overlaps(o.src) && m.dst.Overlaps(o.dst) {
				if left = less(left, o); len(left) == 0 {
					break
				}
			}
		}
		if len(left) > 0 {
			out = append(out, n)
		}
	}
	return out
}

func split(p netip.Prefix) (lo, hi netip.Prefix, ok bool) {
	if !p.Addr().Is4() || p.Bits() >= 32 {
		return p, p, false
	}
	b := p.Masked().Addr().As4()
	lo = netip.PrefixFrom(netip.AddrFrom4(b), p.Bits()+1)
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	return lo, netip.PrefixFrom(netip.AddrFrom4(b), p.Bits()+1), true
}

var aclMismatch = Condition{
	ID:        "crypto-acl-mismatch",
	Cause:     "the crypto access lists are not mirror images",
	Shows:     "lists compared entry by entry; 713061, 402116, 402117, 751022, error 32, TS_UNACCEPTABLE",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify that ACLs are correct; %ASA-4-402116, %ASA-3-713061; RFC 7296 TS_UNACCEPTABLE (38)",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var gaps []string
		var actions []report.Action
		as, bs := t.entries()
		for _, a := range as {
			for _, b := range bs {
				if a.ACL == "" || b.ACL == "" || !meant(a, t.Ends[1]) || !meant(b, t.Ends[0]) {
					continue
				}
				x, okx := networks(t.Ends[0].Config(), a.ACL)
				y, oky := networks(t.Ends[1].Config(), b.ACL)
				if !okx || !oky {
					continue
				}
				var where []facts.Place
				before := len(gaps)
				for i, miss := range [][]network{unmirrored(x, y), unmirrored(y, x)} {
					here, there := t.Ends[i], t.Ends[1-i]
					for _, n := range miss {
						gaps = append(gaps, fmt.Sprintf("%s protects %s to %s and %s has no mirror of it", here.Label(), n.src, n.dst, there.Label()))
						where = append(where, n.place)
						entry := b
						if i == 1 {
							entry = a
						}
						actions = append(actions, addMirror(there, entry.ACL, n))
					}
				}
				if len(gaps) > before {
					if l := t.Ends[0].Config().ACL(a.ACL); l != nil {
						where = append(where, l.Place)
					}
					if l := t.Ends[1].Config().ACL(b.ACL); l != nil {
						where = append(where, l.Place)
					}
					clues = append(clues, For(3.8, strings.Join(gaps[before:min(len(gaps), before+3)], "; "), where...))
				} else {
					clues = append(clues, Against(3.5, "the crypto access lists mirror each other"))
				}
			}
		}
		for _, e := range t.Ends {
			evs := e.Events()
			if x := withID(evs, "713061"); len(x) > 0 {
				clues = append(clues, For(4, e.Label()+" has no crypto map entry for what the peer proposes", at(x...)...))
				if y := withID(evs, "713223", "713224"); len(y) > 0 {
					clues = append(clues, Against(4, "the entry is incomplete: that is why", at(y...)...))
				}
			}
			if x := saying(evs, "crypto map policy not found", "no ipsec policy found for received ts", "proxy identities not supported", "invalidated proposal with error 32", "invalid id info", "invalid_id_information", "ts_unacceptable", "traffic selectors unacceptable"); len(x) > 0 {
				clues = append(clues, For(3.8, e.Label()+" refuses the proposed networks", at(x...)...))
			}
			if x := withID(evs, "713222", "751022", "RECVD_PKT_INV_IDENTITY"); len(x) > 0 {
				clues = append(clues, For(3.2, "networks do not fit the access list", at(x...)...))
			}
			var inner []facts.Event
			for _, ev := range withID(evs, "402116") {
				if e.Names(ev) {
					inner = append(inner, ev)
				}
			}
			if len(inner) > 0 {
				clues = append(clues, For(3.4, e.Label()+" decapsulates packets that the negotiated networks do not cover", at(inner...)...))
			}
			var clear []facts.Event
			for _, ev := range withID(evs, "402117", "RECVD_PKT_NOT_IPSEC") {
				if e.Names(ev) || e.alone() {
					clear = append(clear, ev)
				}
			}
			if len(clear) > 0 {
				clues = append(clues, For(2.4, e.Label()+" gets in the clear what it expects encrypted", at(clear...)...))
			}
			if x := saying(withID(evs, "713068"), "invalid id", "18)"); len(x) > 0 {
				clues = append(clues, For(3.4, "the peer refuses the networks (notify 18)", at(x...)...))
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 2 }) {
			return nil
		}
		proxies := ""
		for _, e := range t.Ends {
			for _, ev := range append(withID(e.Events(), "713061", "402116", "751022"), saying(e.Events(), "crypto map policy not found")...) {
				proxies = ev.Text
			}
		}
		m := Match{Clues: clues, Actions: actions, Title: "The crypto access lists of " + t.between() + " do not mirror each other",
			Explanation: "Each end proposes the networks of its crypto access list, and the other end accepts only the exact mirror of one of its own entries."}
		switch {
		case len(gaps) > 0:
			m.Explanation += " Here " + strings.Join(gaps[:min(len(gaps), 4)], "; ") + "."
		case proxies != "":
			m.Explanation += " The log says: " + proxies
		}
		if len(gaps) == 0 {
			m.Actions = append(m.Actions, advise(nil, nil, "put the two lists side by side; every permit needs its mirror at the other end, with the same masks"))
			m.Next = append(m.Next, readAlso("both ends' crypto access lists", "names the entry without a mirror"))
		}
		return []Match{m}
	},
}

// meant tells whether an entry is for the other end: a static one names its address, as far
// as its addresses are known. An entry for a third device is not compared.
func meant(m facts.MapEntry, o *End) bool {
	return len(m.Peers) == 0 || len(o.Device.Addresses) == 0 || slices.ContainsFunc(m.Peers, o.Known) || o.Own.IsPrivate()
}

// addMirror shows the missing line for the other side's list.
func addMirror(e *End, acl string, n network) report.Action {
	if acl == "" {
		acl = "<acl>"
	}
	if e.isIOS() {
		return advise(e, []string{"ip access-list extended " + acl, fmt.Sprintf("permit ip %s %s", wild(n.dst), wild(n.src))}, "or take the entry off at the other end, when the network is not meant to be there")
	}
	return advise(e, []string{fmt.Sprintf("access-list %s extended permit ip %s %s", acl, masked(n.dst), masked(n.src))}, "or take the entry off at the other end, when the network is not meant to be there")
}

// masked writes a network the ASA's way.
func masked(p netip.Prefix) string {
	switch {
	case p.Bits() == 0:
		return "any"
	case p.IsSingleIP():
		return "host " + p.Addr().String()
	case !p.Addr().Is4():
		return p.String()
	}
	m := ^uint32(0) << (32 - p.Bits())
	return fmt.Sprintf("%s %d.%d.%d.%d", p.Masked().Addr(), byte(m>>24), byte(m>>16), byte(m>>8), byte(m))
}

// wild writes a network the IOS access list's way.
func wild(p netip.Prefix) string {
	switch {
	case p.Bits() == 0:
		return "any"
	case p.IsSingleIP():
		return "host " + p.Addr().String()
	case !p.Addr().Is4():
		return p.String()
	}
	m := ^(^uint32(0) << (32 - p.Bits()))
	return fmt.Sprintf("%s %d.%d.%d.%d", p.Masked().Addr(), byte(m>>24), byte(m>>16), byte(m>>8), byte(m))
}

var aclOverlap = Condition{
	ID:        "crypto-acl-overlap",
	Cause:     "crypto lists of two tunnels overlap",
	Shows:     "two entries of one map whose lists intersect; the second never encapsulates",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify that ACLs are correct (several tunnels)",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			if c == nil {
				continue
			}
			for _, o := range ofBox(e, "crypto-acl-overlap", func() []crossing { return overlaps(c) }) {
				// The tunnel that loses its traffic has the finding; a map whose peers this tunnel does not name is another's.
				if !slices.ContainsFunc(o.hi.Peers, e.Mine) && e.Peer.IsValid() {
					continue
				}
				lo, hi, m, n := o.lo, o.hi, o.m, o.n
				clues := []Clue{For(4, fmt.Sprintf("sequence %d takes %s to %s, which sequence %d also protects", lo.Sequence, m.src, m.dst, hi.Sequence), m.place, n.place)}
				if e.flowsBothWays(n) {
					clues = append(clues, Against(4, "this pair of networks is encrypted both ways in this tunnel"))
				} else if f := e.counters(); f.ok && f.encaps == 0 {
					clues = append(clues, For(1, "this peer's entry encapsulates nothing", place(f.sa, "encaps")))
				} else if f.ok && f.encaps > 0 && f.decaps > 0 {
					clues = append(clues, Against(2, "the tunnel carries traffic both ways"))
				}
				peer, taker := e.PeerLabel(), "the other peer"
				if len(hi.Peers) > 0 {
					peer = hi.Peers[0].String()
				}
				if len(lo.Peers) > 0 {
					taker = lo.Peers[0].String()
				}
				out = append(out, Match{Key: fmt.Sprintf("%s %s %d %d", e.Label(), lo.Map, lo.Sequence, hi.Sequence), Clues: clues,
					Title:       fmt.Sprintf("Crypto access lists %s and %s on %s overlap: traffic for %s takes the wrong tunnel", lo.ACL, hi.ACL, e.Label(), peer),
					Explanation: fmt.Sprintf("In crypto map %s the lower sequence %d (%s) wins for %s to %s, so traffic meant for sequence %d (%s, peer %s) goes to %s.", lo.Map, lo.Sequence, lo.ACL, n.src, n.dst, hi.Sequence, hi.ACL, peer, taker),
					Actions:     []report.Action{advise(e, nil, fmt.Sprintf("narrow %s to what its own peer has, or give the narrower entry the lower sequence number", lo.ACL))}})
			}
		}
		return out
	},
}

// crossing: the entry with the lower sequence takes n's traffic by its line m.
type crossing struct {
	lo, hi *facts.MapEntry
	m, n   network
}

// maxOverlaps bounds what a map of entries that all overlap gives.
const maxOverlaps = 1000

// overlaps finds the pairs of entries of one map whose lists intersect, one line for each
// pair. Lines are compared along their remote networks in order, where only those that
// contain one another stand together.
func overlaps(c *facts.Config) []crossing {
	type item struct {
		n     network
		entry *facts.MapEntry
	}
	var items []item
	for i := range c.MapEntries {
		m := &c.MapEntries[i]
		if m.DynamicMap || m.ACL == "" {
			continue
		}
		list, ok := networks(c, m.ACL)
		for _, n := range list {
			if ok {
				items = append(items, item{n, m})
			}
		}
	}
	// A network comes right before those that lie in it.
	slices.SortStableFunc(items, func(a, b item) int {
		return cmp.Or(a.n.dst.Addr().Compare(b.n.dst.Addr()), cmp.Compare(a.n.dst.Bits(), b.n.dst.Bits()))
	})
	var out []crossing
	seen := map[[2]*facts.MapEntry]bool{}
	var open []item // those that contain the present one
	for _, x := range items {
		open = slices.DeleteFunc(open, func(o item) bool { return !o.n.dst.Overlaps(x.n.dst) })
		for _, o := range open {
			lo, hi := o, x
			if lo.entry.Sequence > hi.entry.Sequence {
				lo, hi = hi, lo
			}
			pair := [2]*facts.MapEntry{lo.entry, hi.entry}
			if lo.entry == hi.entry || seen[pair] || lo.entry.Map != hi.entry.Map || lo.entry.ACL == hi.entry.ACL || !lo.n.src.Overlaps(hi.n.src) ||
				slices.ContainsFunc(lo.entry.Peers, func(p netip.Addr) bool { return slices.Contains(hi.entry.Peers, p) }) {
				continue
			}
			m, n := lo.n, hi.n
			// A narrow entry before a wide one is a right order.
			if m.src.Bits() >= n.src.Bits() && m.dst.Bits() >= n.dst.Bits() && (m.src.Bits() > n.src.Bits() || m.dst.Bits() > n.dst.Bits()) || carved(c, lo.entry.ACL, n) {
				continue
			}
			seen[pair] = true
			if out = append(out, crossing{lo.entry, hi.entry, m, n}); len(out) >= maxOverlaps {
				return out
			}
		}
		open = append(open, x)
	}
	return out
}

// carved: a deny line of the list takes the part out.
func carved(c *facts.Config, acl string, n network) bool {
	l := c.ACL(acl)
	if l == nil {
		return false
	}
	for _, a := range l.Entries {
		if !a.Permit && slices.ContainsFunc(a.Dst, func(p netip.Prefix) bool { return p.Bits() <= n.dst.Bits() && p.Contains(n.dst.Addr()) }) {
			return true
		}
	}
	return false
}

var entryIncomplete = Condition{
	ID:        "crypto-acl-unbound",
	Cause:     "a crypto map entry is incomplete",
	Shows:     "no match address, peer or transform set, or a list that does not exist; 713223, 713224; 'crypto map entry is incomplete'",
	Severity:  report.Critical,
	Reference: "Cisco: crypto map entry incomplete; %ASA-3-713223, %ASA-3-713224",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			if e.sifted() {
				c = nil
			}
			warned := append(saying(e.Device.Events, "crypto map entry incomplete", "crypto map entry is incomplete"), withID(e.Events(), "713223", "713224")...)
			found := false
			if c != nil {
				cut := cutInMap(c)
				for _, i := range e.ownOrPeerless() {
					m := c.MapEntries[i]
					if m.DynamicMap || m.Dynamic != "" || cut && i == len(c.MapEntries)-1 {
						continue
					}
					var missing []string
					var fix []string
					where := []facts.Place{m.Place}
					id := fmt.Sprintf("crypto map %s %d", m.Map, m.Sequence)
					if m.ACL == "" && m.Profile == "" {
						missing = append(missing, "match address")
						fix = append(fix, id+" match address <acl>")
					} else if m.ACL != "" && c.ACL(m.ACL) == nil && (!c.Partial || len(c.ACLs) > 0) {
						missing = append(missing, "the access list "+m.ACL+" itself")
						where = append([]facts.Place{place2(m, "acl")}, where...)
						fix = append(fix, "access-list "+m.ACL+" extended permit ip <local> <remote>")
					}
					if len(m.Peers) == 0 && len(m.PeerNames) == 0 {
						missing = append(missing, "set peer")
						fix = append(fix, id+" set peer <peer>")
					}
					if len(m.Transforms) == 0 && len(m.Proposals) == 0 {
						missing = append(missing, "transform-set")
						fix = append(fix, id+" set "+map[bool]string{true: "", false: "ikev1 "}[e.isIOS() || e.old()]+"transform-set <name>")
					}
					if len(missing) == 0 {
						continue
					}
					found = true
					clues := []Clue{For(4.4, "entry "+fmt.Sprint(m.Sequence)+" lacks "+strings.Join(missing, " and "), where...)}
					if len(warned) > 0 {
						clues = append(clues, For(1, "the device says so", at(warned...)...))
					}
					out = append(out, Match{Key: id, Clues: clues,
						Title:       fmt.Sprintf("%s on %s is incomplete: %s missing", id, e.Label(), strings.Join(missing, " and ")),
						Explanation: "A crypto map entry needs an access list, a peer and a transform set (or IKEv2 proposal). Without one of them it protects nothing and the tunnel never starts.",
						Actions:     []report.Action{advise(e, fix)}})
				}
			}
			if !found && len(warned) > 0 {
				w := 3.0
				if len(withID(warned, "713223", "713224")) > 0 {
					w = 4.6 // said while a tunnel was wanted, not while somebody typed
				} else if c != nil {
					w = 0.5 // the entry is complete now: the warning came while it was typed
				}
				out = append(out, Match{Key: "warning", Clues: []Clue{For(w, "the device warns of an incomplete entry", at(warned...)...)},
					Title:       "A crypto map entry on " + e.Label() + " is incomplete" + entryNamed(warned),
					Explanation: "The device warned that an entry lacks match address, peer or transform set. While an entry is being typed the warning is harmless.",
					Actions:     []report.Action{advise(e, []string{"crypto map <map> <seq> match address <acl>", "crypto map <map> <seq> set peer <peer>", "crypto map <map> <seq> set transform-set <name>"})},
					Next:        []report.Next{readAlso("the configuration (crypto map)", "shows whether the entry is complete now")}})
			}
		}
		return out
	},
}

// entryNamed reads which entry a message names: "map = outside_map, seq = 20".
func entryNamed(evs []facts.Event) string {
	for _, ev := range evs {
		if m := wordAfter(ev.Text, "map = "); m != "" {
			return ": " + m + " " + wordAfter(ev.Text, "seq = ") + " (peer " + ev.Peer.String() + ")"
		}
	}
	return ""
}

// cutInMap: the configuration has no end and its last lines are those of a crypto map, so
// that the last entry, and the binding of the map, may only be missing in the text.
func cutInMap(c *facts.Config) bool {
	if c.Complete || len(c.Lines) == 0 {
		return false
	}
	l := c.Lines[len(c.Lines)-1]
	if l.Parent >= 0 && l.Parent < len(c.Lines) {
		l = c.Lines[l.Parent]
	}
	return (strings.HasPrefix(l.Text, "crypto map ") || strings.HasPrefix(l.Text, "crypto dynamic-map ")) && !strings.Contains(l.Text, " interface ")
}

// sifted: every configuration text at hand was filtered line by line, so that a line that
// is not there proves nothing.
func (e *End) sifted() bool {
	any := false
	for _, o := range e.Device.Outputs {
		if !strings.HasPrefix(o.Command, "show running-config") && !strings.HasPrefix(o.Command, "show startup-config") && !strings.HasPrefix(o.Command, "show configuration") {
			continue
		}
		any = true
		f := strings.ToLower(o.Filter)
		if f == "" || strings.HasPrefix(f, "s") || strings.HasPrefix(f, "b") { // section, begin
			return false
		}
	}
	return any
}

var mapSequence = Condition{
	ID:        "crypto-map-sequence",
	Cause:     "a dynamic crypto map entry stands before static ones",
	Shows:     "sequence numbers of one map; QM FSM error",
	Severity:  report.Critical,
	Prefer:    []string{"quick-mode-unanswered", "crypto-acl-mismatch", "transform-set-mismatch", "pfs-mismatch"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify crypto map sequence numbers",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			if c == nil {
				continue
			}
			for _, d := range ofBox(e, "entries with a dynamic map", func() []facts.MapEntry { return dynamicEntries(c) }) {
				var above []string
				var where []facts.Place
				mine := false
				for i := range c.MapEntries {
					s := &c.MapEntries[i]
					if s.Map == d.Map && !s.DynamicMap && s.Dynamic == "" && s.Sequence > d.Sequence {
						above = append(above, fmt.Sprint(s.Sequence))
						where = append(where, s.Place)
						mine = mine || slices.ContainsFunc(s.Peers, e.Mine)
					}
				}
				if len(above) == 0 || e.Peer.IsValid() && !mine && len(e.Entries()) > 0 {
					continue
				}
				clues := []Clue{For(3.6, fmt.Sprintf("dynamic entry %d stands before static %s", d.Sequence, strings.Join(above, ", ")), append([]facts.Place{d.Place}, where...)...)}
				if x := saying(e.Events(), "qm fsm error"); len(x) > 0 {
					clues = append(clues, For(1.4, "quick mode fails", at(x...)...))
				}
				if up := t.phase2Works(); len(up) > 0 {
					clues = append(clues, Against(1.8, "an IPsec SA exists", up[0]))
				}
				id := fmt.Sprintf("%s %d", d.Map, d.Sequence)
				out = append(out, Match{Key: id, Clues: clues,
					Title:       fmt.Sprintf("In crypto map %s on %s the dynamic entry %d stands before static entries (%s)", d.Map, e.Label(), d.Sequence, strings.Join(above, ", ")),
					Explanation: "The lower number is tried first, so these static peers hit the dynamic entry and its settings, and quick mode fails (QM FSM error). The dynamic entry must have the highest number of the map.",
					Actions: []report.Action{advise(e, []string{fmt.Sprintf("no crypto map %s %d ipsec-isakmp dynamic %s", d.Map, d.Sequence, d.Dynamic), fmt.Sprintf("crypto map %s 65535 ipsec-isakmp dynamic %s", d.Map, d.Dynamic)},
						"in one go: between the two lines clients and dynamic peers cannot connect")}})
			}
		}
		if len(out) > 0 {
			return out
		}
		for _, e := range t.Ends {
			if x := saying(e.Events(), "qm fsm error"); len(x) > 0 {
				return []Match{{Key: "log", Clues: []Clue{For(1.6, "quick mode fails; the sequence of the crypto map is one known reason", at(x...)...), sequenceFine(e)},
					Title:       "Quick mode fails on " + e.Label() + " (QM FSM error)",
					Explanation: "QM FSM error accompanies crypto map sequence, access list, transform and PFS mismatches; the configuration decides which.",
					Actions:     []report.Action{advise(e, []string{"show running-config crypto map"}, "a dynamic entry must have the highest number of its map")},
					Next:        []report.Next{readAlso("both ends' crypto maps and access lists", "separates crypto-map-sequence, crypto-acl-mismatch, transform-set-mismatch and pfs-mismatch")}}}
			}
		}
		return nil
	},
}

// sequenceFine: the configuration is at hand and its sequence is in order.
func sequenceFine(e *End) Clue {
	if e.Config() != nil && len(e.Config().MapEntries) > 0 {
		return Against(3, "the sequence of the crypto map is in order")
	}
	return Clue{}
}

var mapNoPolicy = Condition{
	ID:        "crypto-map-no-policy",
	Cause:     "traffic matches no crypto map policy, or another map is bound",
	Shows:     "713042; no binding, another map, or the same name in other letters",
	Severity:  report.Critical,
	Reference: "%ASA-4-713042 IKE Initiator unable to find policy; Cisco: crypto map names are case-sensitive",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			var clues []Clue
			detail, iface, mapName, lost := "", "outside", "<map>", ""
			if x := e.withoutPolicy(); len(x) > 0 {
				clues = append(clues, For(3.2, e.Label()+" finds no policy for traffic that should be protected", at(x...)...))
				detail = x[0].Text
				if len(x) == 1 {
					clues = append(clues, Against(0.6, "seen once only"))
				}
			}
			if c := e.Config(); c != nil && (!c.Partial || len(c.MapBindings) > 0) && !cutInMap(c) && !e.sifted() {
				for _, m := range ofBox(e, "first entry of each map", func() []facts.MapEntry { return firstEntries(c) }) {
					name := m.Map
					if slices.ContainsFunc(c.MapBindings, func(b facts.MapBinding) bool { return b.Map == name }) {
						continue
					}
					if e.Peer.IsValid() && len(e.Entries()) > 0 && !slices.ContainsFunc(e.Entries(), func(x facts.MapEntry) bool { return x.Map == name }) {
						continue
					}
					mapName = name
					note := "crypto map " + name + " is bound to no interface"
					where, peers := entriesOfMap(c, name)
					if len(where) == 0 {
						where = []facts.Place{m.Place}
					}
					lost = " (peers " + strings.Join(peers, ", ") + ")"
					if len(peers) == 0 {
						lost = ""
					}
					if h, ok := e.egress(netip.PrefixFrom(e.Peer, max(0, e.Peer.BitLen()))); ok && e.Peer.IsValid() && h.iface != "" {
						iface = h.iface
					}
					for _, b := range c.MapBindings {
						if strings.EqualFold(b.Map, name) {
							note = fmt.Sprintf("crypto map %s is bound and %s is another map: names are case-sensitive", b.Map, name)
						} else {
							note = fmt.Sprintf("crypto map %s is bound to no interface; %s has map %s", name, b.Interface, b.Map)
						}
						iface = b.Interface
						where = append(where, b.Place)
					}
					clues = append(clues, For(4.2, note, where...))
					if detail == "" {
						detail = note + lost
					}
				}
			}
			if len(clues) == 0 {
				continue
			}
			title := "Traffic on " + e.Label() + " matches no crypto map policy"
			if mapName != "<map>" {
				title = "Crypto map " + mapName + " on " + e.Label() + " is not in force on any interface" + lost
			} else if x := withID(e.Events(), "713042"); len(x) > 0 && len(x[0].Addrs) > 1 {
				title = fmt.Sprintf("Traffic from %s to %s on %s matches no crypto map policy", x[0].Addrs[0], x[0].Addrs[1], e.Label())
			}
			if x := withID(e.Events(), "713042"); e.phase2Up() && !(e.Config() != nil && len(x) > 0 && len(x[0].Addrs) > 1 && !e.carries(x[0].Addrs[0], x[0].Addrs[1])) {
				clues = append(clues, Against(3.5, "IPsec SAs with the peer exist"))
			}
			cmds := []string{"crypto map " + mapName + " interface " + iface}
			if e.isIOS() {
				cmds = []string{"interface " + iface, "crypto map " + mapName}
			}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       title,
				Explanation: "The traffic reaches the device and no bound crypto map entry covers it: the map is not on the interface, another map is, or the access list does not name these networks. " + detail,
				Actions:     []report.Action{advise(e, cmds, "check the crypto access list against source and destination of the message; one map per interface with several sequence numbers")}})
		}
		return out
	},
}

// entriesOfMap returns the places of a map's static entries, the first ones, and their peers.
func entriesOfMap(c *facts.Config, name string) (where []facts.Place, peers []string) {
	for _, m := range c.MapEntries {
		if m.Map != name || m.DynamicMap || len(where) >= 6 {
			continue
		}
		where = append(where, m.Place)
		for _, p := range m.Peers {
			peers = append(peers, p.String())
		}
	}
	return where, peers
}

// withoutPolicy returns the initiator's complaints (713042) that may be about this tunnel: an
// entry without a list, or a list of another tunnel that covers the packet, explains them elsewhere.
func (e *End) withoutPolicy() []facts.Event {
	x := withID(e.Events(), "713042")
	c := e.Config()
	if c == nil || len(x) == 0 || len(c.MapEntries) == 0 {
		return x
	}
	listless := slices.ContainsFunc(c.MapEntries, func(m facts.MapEntry) bool {
		return !m.DynamicMap && m.Dynamic == "" && m.ACL == "" && m.Profile == ""
	})
	return slices.DeleteFunc(slices.Clone(x), func(ev facts.Event) bool {
		if len(ev.Addrs) < 2 {
			return false
		}
		if e.carries(ev.Addrs[0], ev.Addrs[1]) {
			return false
		}
		return listless || !e.alone() && e.carriedElsewhere(c, ev.Addrs[0], ev.Addrs[1])
	})
}

// carriedElsewhere: the list of another peer's entry covers the packet.
func (e *End) carriedElsewhere(c *facts.Config, a, b netip.Addr) bool {
	for _, m := range c.MapEntries {
		if l := c.ACL(m.ACL); l != nil && !slices.ContainsFunc(m.Peers, e.Mine) {
			for _, x := range l.Entries {
				if x.Permit && slices.ContainsFunc(pairsOf(x), func(n network) bool { return n.inside(a, b) }) {
					return true
				}
			}
		}
	}
	return false
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
				if !hasAny(ev.Text, "no proposal chosen", "(14)", "invalid id", "(18)", "authentication failed", "(24)") {
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

// firstEntries are the first static entry of every crypto map, in file order.
func firstEntries(c *facts.Config) (out []facts.MapEntry) {
	seen := map[string]bool{}
	for _, m := range c.MapEntries {
		if !m.DynamicMap && !seen[m.Map] {
			seen[m.Map] = true
			out = append(out, m)
		}
	}
	return out
}

// dynamicEntries are the entries that refer to a dynamic map.
func dynamicEntries(c *facts.Config) (out []facts.MapEntry) {
	for _, m := range c.MapEntries {
		if m.Dynamic != "" {
			out = append(out, m)
		}
	}
	return out
}

// ownOrPeerless are the positions of the crypto map entries of this peer and of those
// that name none; without a known peer of all.
func (e *End) ownOrPeerless() []int {
	c := e.Config()
	if !e.Peer.IsValid() {
		return where(c.MapEntries, func(*facts.MapEntry) bool { return true })
	}
	out := slices.Clone(ofBox(e, "entries without a peer", func() []int {
		return where(c.MapEntries, func(m *facts.MapEntry) bool { return len(m.Peers) == 0 })
	}))
	out = append(out, e.index().entries.pick(e.mineAnd(false)...)...)
	slices.Sort(out)
	return out
}
