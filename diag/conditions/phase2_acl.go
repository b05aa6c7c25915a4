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
					clues = append(clues, For(1, "this peer's entry encapsulates nothing", f.place("encaps")))
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
