package conditions

import (
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/client"
	"vpnbot/diag/parse/syslog"
	"vpnbot/diag/report"
)

// lan is a network that a user's computer has beside the tunnel.
type lan struct {
	net   netip.Prefix
	place facts.Place
}

// lans reads the networks of users' computers from ipconfig and route print.
func (s *site) lans() []lan {
	var out []lan
	add := func(a, m netip.Addr, where facts.Place) {
		if p := prefixOf(a, m); p.IsValid() && p.Bits() > 0 && p.Bits() < 31 && a.IsPrivate() {
			out = append(out, lan{p, where})
		}
	}
	for _, ev := range s.client {
		switch ev.ID {
		case client.Address:
			if len(ev.Addrs) >= 2 {
				add(ev.Addrs[0], ev.Addrs[1], ev.Place)
			}
		case client.RoutePrint:
			for _, row := range strings.Split(ev.Text, ";") {
				f := strings.Fields(row)
				// Windows: net mask On-link interface metric: what the computer is connected to.
				if len(f) >= 5 && !strings.Contains(f[2], ".") {
					a := syslog.Addrs(f[0] + " " + f[1])
					if len(a) == 2 {
						add(a[0], a[1], ev.Place)
					}
				}
			}
		}
	}
	return out
}

func prefixOf(a, m netip.Addr) netip.Prefix {
	if !a.Is4() || !m.Is4() {
		return netip.Prefix{}
	}
	v := v4(m)
	n := bits.LeadingZeros32(^v)
	if v<<n != 0 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, n).Masked()
}

// clientLAN is a user's own network that a pool lies in. The tunnel's own adapter has an
// address of the pool too: it takes a second network of the same range.
func (s *site) clientLAN(p *facts.Pool) (netip.Prefix, []facts.Place) {
	ls := s.lans()
	for i, l := range ls {
		if touches(p, l.net) && slices.ContainsFunc(ls[:i], func(o lan) bool { return o.net.Overlaps(l.net) }) {
			return l.net, []facts.Place{l.place}
		}
	}
	return netip.Prefix{}, nil
}

// sameRange finds users whose own network has the range of a network behind the gateway.
func (s *site) sameRange(g *gateway) (Match, bool) {
	c := g.Config()
	var clues []Clue
	var net netip.Prefix
	inside := func(p netip.Prefix) (facts.Place, bool) {
		for _, i := range c.Interfaces {
			if i.Address.IsValid() && !g.outside(i.Name) && i.Address.Overlaps(p) {
				return i.Place, true
			}
		}
		return facts.Place{}, false
	}
	for _, l := range s.lans() {
		if where, ok := inside(l.net); ok {
			net = l.net
			clues = append(clues, For(3.2, "the user's own network has the range of a network behind the gateway", l.place, where))
			break
		}
	}
	if x := s.said.of(sameLAN); len(x) > 0 && g.remoteAccess() {
		w := 1.4
		for _, cl := range s.said.clause {
			for _, a := range syslog.Addrs(cl.text) {
				if where, ok := inside(netip.PrefixFrom(a, a.BitLen())); ok {
					w, net = 3, netip.PrefixFrom(a, a.BitLen())
					x = append(x, where)
				}
			}
		}
		clues = append(clues, For(w, "users say that their own network has the same range", x...))
	}
	if len(clues) == 0 {
		return Match{}, false
	}
	if x := s.said.of(onlyLocal); len(x) > 0 {
		clues = append(clues, For(1.4, "they connect and reach nothing inside", x...))
	}
	what := "a network behind " + g.Label()
	if net.IsValid() {
		what = net.String() + ", which lies behind " + g.Label() + " too"
	}
	return Match{Key: "lan", Clues: clues,
		Title:       "The user's own network overlaps " + what,
		Explanation: "The user's computer is connected to a network with the addresses of the office, so packets for it stay at home and never enter the tunnel; the tunnel itself is in order and Route Details shows the network as secured.",
		Actions: []report.Action{advise(g.End, nil, "renumber the user's own network, or connect from another one (a phone's hotspot proves it)",
			"for a site that cannot be renumbered: translate the office network for its users (policy NAT) and publish the translated addresses")}}, true
}
