package conditions

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/client"
	"vpnbot/diag/parse/syslog"
)

// wanted is an address or network that users do not reach.
type wanted struct {
	net    netip.Prefix
	name   string // interface that the users named
	places []facts.Place
	tested bool
	home   bool // a trace to it leaves by the user's own router
}

// wants lists what users say they do not reach, and what their pings do not reach.
func (s *site) wants(g *gateway) []wanted {
	var out []wanted
	add := func(n netip.Prefix, name string, tested bool, p ...facts.Place) {
		for i := range out {
			if out[i].net == n {
				out[i].places = append(out[i].places, p...)
				out[i].tested = out[i].tested || tested
				return
			}
		}
		out = append(out, wanted{net: n, name: name, places: p, tested: tested})
	}
	reached := map[netip.Addr]bool{}
	own := func(a netip.Addr) bool { return s.given(a) }
	for _, p := range s.pings {
		if p.Received > 0 {
			reached[p.Target] = true
		}
	}
	addrs, where := s.said.addresses()
	for i, a := range addrs {
		if a.IsPrivate() && !reached[a] && !own(a) {
			add(netip.PrefixFrom(a, a.BitLen()), "", false, where[i])
		}
	}
	for _, p := range s.pings {
		if p.Target.IsPrivate() && p.Received == 0 && !reached[p.Target] && p.Size < 1000 && !own(p.Target) {
			add(netip.PrefixFrom(p.Target, p.Target.BitLen()), "", true, p.Place)
		}
	}
	for _, ev := range withID(s.client, client.Trace) {
		to, hops, ok := traced(ev.Text)
		if !ok || !to.IsPrivate() || reached[to] || own(to) || slices.Contains(hops, to) {
			continue
		}
		add(netip.PrefixFrom(to, to.BitLen()), "", true, ev.Place)
		if len(hops) > 0 && hops[0].IsPrivate() && !s.given(hops[0]) && !slices.ContainsFunc(g.networks(), func(b behind) bool { return b.net.Contains(hops[0]) }) {
			for i := range out {
				out[i].home = out[i].home || out[i].net.Addr() == to
			}
		}
	}
	for _, b := range g.networks() {
		name, ok := strings.CutPrefix(b.name, "interface ")
		if !ok || len(name) < 3 || strings.EqualFold(name, "inside") || strings.EqualFold(name, "management") || strings.EqualFold(name, "lan") {
			continue
		}
		if p := s.said.naming(" "+strings.ToLower(name)+" ", " "+strings.ToLower(name)+"-", "-"+strings.ToLower(name)+" "); len(p) > 0 {
			add(b.net, name, false, p...)
		}
	}
	return out
}

// given tells whether an address is one that a gateway gives to its clients.
func (s *site) given(a netip.Addr) bool {
	for _, g := range s.gateways {
		if c := g.Config(); c != nil && slices.ContainsFunc(c.Pools, func(p facts.Pool) bool {
			return p.From.IsValid() && p.To.IsValid() && p.From.Compare(a) <= 0 && a.Compare(p.To) <= 0
		}) {
			return true
		}
		for i := range g.Device.Sessions {
			if g.Device.Sessions[i].Assigned == a {
				return true
			}
		}
	}
	return slices.ContainsFunc(withID(s.client, client.Statistics), func(ev facts.Event) bool {
		return hasAny(ev.Text, "client: "+a.String()+" ", "client: "+a.String()+";")
	})
}

// traced reads a trace: where to, and the hops that answered.
func traced(text string) (to netip.Addr, hops []netip.Addr, ok bool) {
	head, rest, _ := strings.Cut(text, ";")
	as := syslog.Addrs(head)
	if len(as) == 0 {
		return to, nil, false
	}
	return as[0], syslog.Addrs(rest), true
}

// securedAtClient are the networks that a client lists as secured routes, and where.
func (s *site) securedAtClient() (nets []netip.Prefix, place facts.Place) {
	for _, ev := range withID(s.client, client.Routes) {
		if strings.HasPrefix(ev.Text, "Non-Secured") || strings.HasPrefix(ev.Text, "Local LAN") {
			continue
		}
		for _, row := range strings.Split(ev.Text, ";") {
			f := strings.Fields(row)
			for i, w := range f {
				if p, err := netip.ParsePrefix(w); err == nil {
					nets, place = append(nets, p.Masked()), ev.Place
				} else if a, err := netip.ParseAddr(w); err == nil && i+1 < len(f) {
					if m, err := netip.ParseAddr(f[i+1]); err == nil && m.Is4() && a.Is4() {
						bits := 0
						for _, b := range m.As4() {
							for ; b&0x80 != 0; b <<= 1 {
								bits++
							}
						}
						nets, place = append(nets, netip.PrefixFrom(a, bits).Masked()), ev.Place
					}
				}
			}
		}
	}
	return nets, place
}
