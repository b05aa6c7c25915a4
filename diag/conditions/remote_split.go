package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// remoteSplit are the conditions of what remote users send into the tunnel, and of the names
// that they look up. Most rest on a line that is absent on many healthy devices, so they
// need a complaint or a test that failed.
func remoteSplit() []Condition {
	return []Condition{splitMissing, splitAny, splitNetwork, dnsMissing, localLANBlocked}
}

// splitCommands give a group a split list, in its platform's words.
func splitCommands(g *gateway, x *group, list string) []string {
	if list == "" {
		list = "<acl>"
	}
	if x.ios && !g.isASA() {
		return []string{"crypto isakmp client configuration group " + x.name, "acl " + list}
	}
	if x.ios {
		return []string{"vpngroup " + x.name + " split-tunnel " + list}
	}
	return []string{"group-policy " + inForce(x) + " attributes", "split-tunnel-policy tunnelspecified", "split-tunnel-network-list value " + list}
}

func inForce(x *group) string {
	if x.policy != "" {
		return x.policy
	}
	return "<gp>"
}

// hairpin tells whether remote users reach the Internet through the gateway: traffic may leave
// by the interface it came in on, and their addresses are translated there.
func (g *gateway) hairpin() (facts.Place, bool) {
	c := g.Config()
	s, ok := c.Setting("same-security-traffic permit intra-interface")
	if !ok || s.No {
		return facts.Place{}, false
	}
	for _, n := range c.NAT {
		out := func(i string) bool { return i == "any" || i != "" && g.outside(i) }
		if n.Inactive || !n.Dynamic && n.Form != "dynamic" {
			continue
		}
		switch n.Form {
		case "dynamic":
			if out(n.RealIf) {
				return n.Place, true
			}
		case "twice", "object":
			if out(n.RealIf) && out(n.MappedIf) && n.RealIf != "any" || n.RealIf == "any" && out(n.MappedIf) && n.MappedIf != "any" {
				return n.Place, true
			}
		}
	}
	return facts.Place{}, false
}

// proxied: the group sends its users' browsers to a proxy inside.
func (x *group) proxied() (facts.Place, bool) {
	for _, list := range x.attrs {
		for _, a := range list {
			if strings.HasPrefix(a.Key, "msie-proxy") && (strings.HasPrefix(a.Value, "server") || strings.Contains(a.Value, "use-server") || strings.Contains(a.Value, "use-pac")) || a.Key == "browser-proxy" {
				return a.Place, true
			}
		}
	}
	return facts.Place{}, false
}

// publicPings are the client's tests of the Internet and of what lies inside.
func (s *site) publicPings() (lost, inside []facts.Place) {
	for _, p := range s.pings {
		switch {
		case p.Target.IsValid() && !p.Target.IsPrivate() && p.Received == 0 && p.Size < 1000 && !s.isGateway(p.Target):
			lost = append(lost, p.Place)
		case p.Target.IsPrivate() && p.Received > 0:
			inside = append(inside, p.Place)
		}
	}
	return lost, inside
}

func (s *site) isGateway(a netip.Addr) bool {
	for _, g := range s.gateways {
		if slices.Contains(g.Device.Addresses, a) {
			return true
		}
	}
	return false
}

var splitMissing = Condition{
	ID:        "split-tunnel-missing",
	Cause:     "remote users lose the Internet because all is tunnelled",
	Shows:     "tunnelall without hairpin and NAT, with the complaint",
	Severity:  report.Major,
	Prefer:    []string{"split-tunnel-any"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, split tunnelling",
	Look: ofBundle("split-tunnel-missing", func(s *site) []Match {
		said := s.said.of(noInternet)
		lost, inside := s.publicPings()
		var asked []Clue
		if len(said) > 0 {
			asked = append(asked, For(2.6, "users lose the Internet while they are connected", said...))
		}
		if len(lost) > 0 && len(inside) > 0 {
			asked = append(asked, For(2.4, "the user reaches inside hosts and no public address", append(slices.Clone(lost), inside...)...))
		} else if len(lost) > 0 && len(said) > 0 {
			asked = append(asked, For(0.6, "a public address does not answer", lost...))
		}
		if len(asked) == 0 {
			return nil // tunnelling everything is often a policy: without a complaint it is no fault
		}
		var out []Match
		for _, g := range s.gateways {
			for _, x := range g.groups {
				if !x.used && len(g.groups) > 1 {
					continue
				}
				mode, _, place, explicit := x.split()
				if mode != tunnelAll {
					continue
				}
				clues := slices.Clone(asked)
				how := "it tunnels everything by default"
				w := 1.4
				if explicit {
					how, w = "it tunnels everything (tunnelall)", 1.8
				}
				if x.ios && !g.isASA() {
					how = "its group has no acl, so everything is tunnelled"
				}
				hairpin, back := g.hairpin()
				proxy, proxied := x.proxied()
				clues = append(clues, For(w, "group "+x.title()+": "+how, place))
				if back {
					clues = append(clues, Against(4, "the gateway sends their traffic out again (hairpin with NAT)", hairpin))
				} else if proxied {
					clues = append(clues, Against(3, "the users have a proxy inside", proxy))
				} else if !g.Config().Partial {
					if v, ok := g.Config().Setting("same-security-traffic permit intra-interface"); ok && !v.No {
						clues = append(clues, For(0.4, "intra-interface traffic is permitted, but no NAT rule translates the users' addresses on the way out", v.Place))
					}
				}
				m := Match{Key: x.title(), Clues: clues,
					Title:       "Remote users of " + g.Label() + " lose the Internet: group " + x.title() + " tunnels everything",
					Explanation: "All traffic of the connected user goes into the tunnel (" + how + "), and the gateway does not send it out again to the Internet: neither split tunnelling nor a hairpin with NAT (same-security-traffic permit intra-interface) is there. Addresses inside work, so tunnel, NAT exemption and routing are in order.",
					Actions: []report.Action{advise(g.End, splitCommands(g, x, ""), "the list names the inside networks; users get it when they connect again",
						"or keep everything in the tunnel by policy: same-security-traffic permit intra-interface, and a NAT rule (outside,outside) for the pool")}}
				out = append(out, m)
			}
		}
		if len(out) == 0 && len(said) > 0 && !s.hasGroups() && s.takesUsers() {
			out = append(out, Match{Clues: slices.Concat(asked, []Clue{For(0.2, "", said...)}),
				Title:       "Remote users lose the Internet while the VPN is up: everything is tunnelled",
				Explanation: "While connected, users reach no public address: the group tunnels everything and the headend does not send it out again. The group policy's split-tunnel lines decide.",
				Actions:     []report.Action{advise(nil, []string{"group-policy <gp> attributes", "split-tunnel-policy tunnelspecified", "split-tunnel-network-list value <acl>"}, "IOS: crypto isakmp client configuration group <group>, acl <acl>")},
				Next:        []report.Next{readAlso("the headend's configuration (group-policy, access-list, nat)", "shows whether everything is tunnelled, and whether a hairpin is there")}})
		}
		return out
	}),
}

func (s *site) hasGroups() bool {
	return slices.ContainsFunc(s.gateways, func(g *gateway) bool { return len(g.groups) > 0 })
}

var splitAny = Condition{
	ID:        "split-tunnel-any",
	Cause:     "the split-tunnel list has source any",
	Shows:     "the list that the group policy or client group names",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, split tunnelling: access-list 140 permit ip any ... is wrong",
	Look: ofDevice("split-tunnel-any", func(g *gateway, s *site) []Match {
		c := g.Config()
		if c == nil {
			return nil
		}
		var out []Match
		for _, x := range g.groups {
			mode, list, _, _ := x.split()
			acl := c.ACL(list)
			if mode != tunnelSpecified || acl == nil || slices.ContainsFunc(out, func(m Match) bool { return m.Key == list }) {
				continue
			}
			var wild *facts.ACE
			for i := range acl.Entries {
				if a := &acl.Entries[i]; a.Permit && a.SrcAny && !a.Inactive {
					wild = a
					break
				}
			}
			if wild == nil {
				continue
			}
			w := 4.6
			if acl.Standard {
				// A standard list has no direction: any in it protects everything, which may be meant.
				w = 1.2
			}
			if !x.used {
				w -= 2
			}
			clues := []Clue{For(w, fmt.Sprintf("split list %s of group %s permits any as source", list, x.title()), wild.Place, listLine(x))}
			if p := s.said.of(noInternet); len(p) > 0 {
				clues = append(clues, For(1.6, "users lose the Internet while they are connected", p...))
			}
			fix := "access-list " + list + " extended permit ip <inside network> <mask> " + destination(*wild)
			switch {
			case acl.Standard:
				fix = "access-list " + list + " standard permit <inside network> <mask>"
			case !g.isASA():
				fix = "access-list " + list + " permit ip <inside network> <wildcard> " + wildcard(*wild)
			}
			out = append(out, Match{Key: list, Clues: clues,
				Title:       "The split-tunnel list " + list + " of " + g.Label() + " has any as source, so everything is tunnelled",
				Explanation: "In a split-tunnel list the source is what the user reaches through the tunnel. With any there (line \"" + strings.TrimSpace(wild.Place.Text) + "\") the client secures every route, and split tunnelling is off: the users of " + x.title() + " lose the Internet. any as destination is usual and right.",
				Actions:     []report.Action{advise(g.End, []string{fix, "no " + strings.TrimSpace(wild.Place.Text)}, "name the protected networks as source, first; a numbered IOS list is removed as a whole by 'no access-list', so enter it anew", "users get the list when they connect again")}})
		}
		return out
	}),
}

func listLine(x *group) facts.Place {
	if a, ok := x.get("split-tunnel-network-list", "acl"); ok {
		return a.Place
	}
	return x.place
}

// destination writes an entry's destination as ASA takes it.
func destination(a facts.ACE) string {
	if a.DstAny || len(a.Dst) == 0 {
		return "any"
	}
	return a.Dst[0].Addr().String() + " " + netmask(a.Dst[0])
}

func netmask(p netip.Prefix) string {
	if !p.Addr().Is4() {
		return ""
	}
	v := ^uint32(0) << (32 - p.Bits())
	if p.Bits() == 0 {
		v = 0
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}).String()
}

// wildcard writes an entry's destination as IOS takes it.
func wildcard(a facts.ACE) string {
	if a.DstAny || len(a.Dst) == 0 {
		return "any"
	}
	return a.Dst[0].Addr().String() + " " + invert(a.Dst[0])
}

func invert(p netip.Prefix) string {
	if !p.Addr().Is4() {
		return ""
	}
	v := uint32(0)
	if p.Bits() < 32 {
		v = ^uint32(0) >> p.Bits()
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}).String()
}

// behind is a network behind a gateway, and how it is known there.
type behind struct {
	net   netip.Prefix
	name  string // interface, or what leads to it
	place facts.Place
	site  bool // another site's, behind a tunnel
}

// networks lists what lies behind a gateway: connected, routed, and at the end of its tunnels.
func (g *gateway) networks() []behind {
	c := g.Config()
	if c == nil {
		return nil
	}
	var out []behind
	for _, i := range c.Interfaces {
		if i.Address.IsValid() && !i.Shutdown && !g.outside(i.Name) && i.Address.Bits() < 31 {
			out = append(out, behind{net: i.Address.Masked(), name: "interface " + i.Name, place: i.Place})
		}
	}
	for _, r := range c.Routes {
		if r.Prefix.Bits() > 0 && !g.outside(r.Interface) && (r.Interface != "" || r.Via.IsValid() && !g.viaOutside(r.Via)) {
			out = append(out, behind{net: r.Prefix, name: "the route to " + via(r.Interface, r.Via), place: r.Place})
		}
	}
	for _, m := range c.MapEntries {
		if acl := c.ACL(m.ACL); acl != nil && len(m.Peers) > 0 {
			for _, a := range acl.Entries {
				for _, p := range a.Dst {
					if a.Permit && p.Bits() > 0 {
						out = append(out, behind{net: p, name: "the tunnel to " + m.Peers[0].String(), place: a.Place, site: true})
					}
				}
			}
		}
	}
	return out
}

// secured tells whether a split list covers a network.
func secured(acl *facts.ACL, n netip.Prefix) bool {
	for _, a := range acl.Entries {
		if !a.Permit || a.Inactive {
			continue
		}
		if a.SrcAny || slices.ContainsFunc(a.Src, func(p netip.Prefix) bool { return p.Overlaps(n) && p.Bits() <= n.Bits() }) {
			return true
		}
	}
	return false
}

var splitNetwork = Condition{
	ID:        "split-tunnel-network-missing",
	Cause:     "the split-tunnel list lacks a needed network",
	Shows:     "the list against the networks that users ask for; 713140; no secured route at the client",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, servers in the DMZ cannot be reached; %ASA-3-713140",
	Look: ofBundle("split-tunnel-network-missing", func(s *site) []Match {
		var out []Match
		for _, g := range s.gateways {
			if x := withID(g.Device.Events, "713140"); len(x) > 0 {
				m := Match{Key: "list", Peer: x[0].Peer, Clues: []Clue{For(4.4, "the policy splits and names no list", at(x...)...)}}
				grp := g.of(x[0].Group)
				name := x[0].Group
				if grp != nil {
					name = grp.title()
					if a, ok := grp.get("split-tunnel-policy"); ok {
						m.Clues = append(m.Clues, For(0.8, "the split-tunnel policy of "+name, a.Place))
					}
				}
				m.Title = "The split-tunnel policy of " + name + " on " + g.Label() + " names no network list"
				m.Explanation = "split-tunnel-policy tunnelspecified needs a list of the networks that belong into the tunnel, and none is configured (713140), so clients of this group do not get the networks they need."
				if grp != nil {
					m.Actions = []report.Action{advise(g.End, splitCommands(g, grp, ""))}
				} else {
					m.Actions = []report.Action{advise(g.End, []string{"group-policy <gp> attributes", "split-tunnel-network-list value <acl>"})}
				}
				out = append(out, m)
				continue
			}
			out = append(out, missingNetworks(g, s)...)
		}
		return out
	}),
}

func missingNetworks(g *gateway, s *site) []Match {
	c := g.Config()
	if c == nil {
		return nil
	}
	var out []Match
	ws := s.wants(g)
	nets := g.networks()
	for _, x := range g.groups {
		mode, list, _, _ := x.split()
		acl := c.ACL(list)
		if mode != tunnelSpecified || acl == nil || !x.used && len(g.groups) > 1 {
			continue
		}
		var clues []Clue
		var miss []string
		var lines []string
		for _, w := range ws {
			if secured(acl, w.net) {
				continue
			}
			var at *behind
			for i := range nets {
				if n := &nets[i]; n.net.Overlaps(w.net) && n.net.Bits() <= w.net.Bits() && (at == nil || n.net.Bits() > at.net.Bits()) && !secured(acl, n.net) {
					at = n
				}
			}
			switch {
			case at != nil:
				weight := 4.0
				if w.tested {
					weight = 4.4
				}
				clues = append(clues, For(weight, fmt.Sprintf("%s belongs to %s (%s), which split list %s does not hold", w.net.Addr(), at.net, at.name, list), slices.Concat(w.places[:1], []facts.Place{at.place, listLine(x), listPlace(acl)})...))
				if !slices.Contains(miss, at.net.String()) {
					miss = append(miss, at.net.String())
					lines = append(lines, splitLine(g, x, acl, at.net))
				}
			case !w.tested && !w.home && !c.Partial:
				// Whatever it is, it lies behind no interface, route or tunnel of this gateway.
			default:
				clues = append(clues, For(2.6, fmt.Sprintf("%s is in no network of split list %s", w.net.Addr(), list), append(slices.Clone(w.places[:1]), listLine(x), listPlace(acl))...))
				miss = append(miss, w.net.Addr().String())
			}
		}
		if len(clues) == 0 {
			continue
		}
		for _, w := range ws {
			if w.home && !secured(acl, w.net) {
				clues = append(clues, For(1, fmt.Sprintf("the user's packets to %s leave by the router at home", w.net.Addr()), w.places[len(w.places)-1]))
				break
			}
		}
		if routes, where := s.securedAtClient(); len(routes) > 0 && slices.ContainsFunc(ws, func(w wanted) bool {
			return !secured(acl, w.net) && !slices.ContainsFunc(routes, func(p netip.Prefix) bool { return p.Overlaps(w.net) })
		}) {
			clues = append(clues, For(0.8, "the client has no secured route for it", where))
		}
		// One network fails: others that the list holds work.
		for _, p := range s.pings {
			if p.Received > 0 && p.Target.IsPrivate() && secured(acl, netip.PrefixFrom(p.Target, p.Target.BitLen())) {
				clues = append(clues, For(0.6, "another network answers", p.Place))
				break
			}
		}
		m := Match{Key: list, Clues: clues,
			Title:       fmt.Sprintf("The split-tunnel list %s of %s lacks %s", list, g.Label(), strings.Join(miss, " and ")),
			Explanation: fmt.Sprintf("Users of %s get the networks of list %s as secured routes; %s is not among them, so their packets for it leave outside the tunnel and get lost. What the list holds works, so the tunnel is in order.", x.title(), list, strings.Join(miss, " and "))}
		m.Actions = []report.Action{advise(g.End, lines, "the network needs NAT exemption for the pool too: (dmz,outside) for a DMZ", "another site's network: its crypto access lists must hold the pool, and same-security-traffic permit intra-interface", "users get the list when they connect again")}
		out = append(out, m)
	}
	return out
}

// listPlace is the line of a list that a new entry goes below.
func listPlace(acl *facts.ACL) facts.Place {
	if n := len(acl.Entries); n > 0 {
		return acl.Entries[n-1].Place
	}
	return acl.Place
}

func splitLine(g *gateway, x *group, acl *facts.ACL, n netip.Prefix) string {
	switch {
	case acl.Standard && g.isASA():
		return fmt.Sprintf("access-list %s standard permit %s %s", acl.Name, n.Addr(), netmask(n))
	case g.isASA():
		return fmt.Sprintf("access-list %s extended permit ip %s %s any", acl.Name, n.Addr(), netmask(n))
	}
	pool := "<pool> <wildcard>"
	for _, name := range x.pools() {
		if p := g.pool(name); p != nil && p.From.Is4() {
			pool = wildcard(facts.ACE{Dst: []netip.Prefix{netip.PrefixFrom(p.From, 24).Masked()}})
		}
	}
	return fmt.Sprintf("access-list %s permit ip %s %s %s", acl.Name, n.Addr(), invert(n), pool)
}

var localLANBlocked = Condition{
	ID:        "local-lan-blocked",
	Cause:     "remote users cannot reach their own LAN",
	Shows:     "tunnelall without excludespecified, with the complaint",
	Severity:  report.Minor,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, local LAN access",
	Look: ofBundle("local-lan-blocked", func(s *site) []Match {
		said := s.said.of(localLAN)
		if len(said) == 0 {
			return nil
		}
		base := []Clue{For(2.6, "users miss their own network while they are connected", said...)}
		for _, ev := range s.client {
			if ev.ID == "statistics" && hasAny(ev.Text, "local lan: disabled", "local lan access: disabled", "local lan disabled") {
				base = append(base, For(1, "the client shows local LAN access as disabled", ev.Place))
			}
		}
		if x := s.said.of(onlyLocal); len(x) > 0 {
			base = append(base, Against(1, "users say that what lies inside fails", x...))
		}
		var out []Match
		for _, g := range s.gateways {
			for _, x := range g.groups {
				if !x.used && len(g.groups) > 1 {
					continue
				}
				mode, list, place, explicit := x.split()
				clues := slices.Clone(base)
				acl := g.Config().ACL(list)
				tick := "client: allow local LAN access must be ticked"
				how := ""
				switch {
				case x.ios && x.has("include-local-lan"):
					clues = append(clues, Against(1, "the group allows local LAN access", x.place))
				case x.ios:
					if _, ok := x.get("include-local-lan"); ok {
						clues = append(clues, Against(1, "the group allows local LAN access", x.place))
						break
					}
					if mode == tunnelAll {
						how = "everything is tunnelled and include-local-lan is absent"
						clues = append(clues, For(1.6, how, x.place))
					}
				case mode == tunnelExcluded && acl != nil:
					clues = append(clues, Against(0.6, "the local LAN is excluded already: look at the client's tick", place))
					how = "the group leaves the local LAN out already, so the client's own setting decides"
				case mode == tunnelExcluded:
					how = "excludespecified without a list"
					clues = append(clues, For(1.4, how, place))
				case mode == tunnelAll:
					how = "everything is tunnelled, which is the default"
					if explicit {
						how = "everything is tunnelled (tunnelall)"
					}
					clues = append(clues, For(1.6, how, place))
				case acl != nil && wideList(acl):
					how = "the split list " + list + " covers private networks as a whole, the user's own among them"
					clues = append(clues, For(1.6, how, listLine(x), acl.Entries[0].Place))
				default:
					clues = append(clues, Against(1.5, "the split list leaves the user's own network free", place))
				}
				cmds := []string{"access-list LOCAL standard permit host 0.0.0.0", "group-policy " + inForce(x) + " attributes", "split-tunnel-policy excludespecified", "split-tunnel-network-list value LOCAL"}
				if x.ios {
					cmds = []string{"crypto isakmp client configuration group " + x.name, "include-local-lan"}
				}
				out = append(out, Match{Key: x.title(), Clues: clues,
					Title:       "Remote users of " + g.Label() + " cannot reach their own local network (printer, NAS) while connected: group " + x.title(),
					Explanation: "While connected, the client sends traffic for the user's own LAN into the tunnel or drops it: " + orText(how, "the group's split-tunnel policy does not leave the local LAN out") + ". What lies inside works, so this is a setting and no fault of the tunnel. Leaving the local LAN out (excludespecified with host 0.0.0.0) lets the user's own network through, which also lets other hosts there reach the computer.",
					Actions:     []report.Action{advise(g.End, cmds, tick, "hardware clients do not know excludespecified", "users get it when they connect again")}})
			}
		}
		if len(out) == 0 && !s.hasGroups() && s.takesUsers() {
			out = append(out, Match{Clues: base,
				Title:       "VPN users cannot reach their own local network (printer, NAS) while connected",
				Explanation: "While connected, the client sends everything into the tunnel, the user's own LAN included. The headend must leave the local LAN out (excludespecified), and the client must allow it.",
				Actions:     []report.Action{advise(nil, []string{"access-list LOCAL standard permit host 0.0.0.0", "group-policy <gp> attributes", "split-tunnel-policy excludespecified", "split-tunnel-network-list value LOCAL"}, "client: allow local LAN access must be ticked")}})
		}
		return out
	}),
}

func orText(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// wideList: a split list that covers what home networks use.
func wideList(acl *facts.ACL) bool {
	home := netip.MustParsePrefix("192.168.0.0/20")
	return slices.ContainsFunc(acl.Entries, func(a facts.ACE) bool {
		return a.Permit && (a.SrcAny || slices.ContainsFunc(a.Src, func(p netip.Prefix) bool { return p.Bits() <= 20 && p.Overlaps(home) }))
	})
}
