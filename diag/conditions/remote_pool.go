package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// remotePool are the conditions of the addresses that remote users get.
func remotePool() []Condition {
	return []Condition{poolExhausted, poolNetworkAddress, poolOverlaps}
}

var poolExhausted = Condition{
	ID:        "address-pool-exhausted",
	Cause:     "the address pool is used up",
	Shows:     "713132, 737012, 737007, 722020; show ip local pool with 0 free; captures: mode configuration without an address",
	Severity:  report.Critical,
	Reference: "%ASA-3-713132, %ASA-3-722020, %ASA-5-737007, %ASA-4-737012; Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, VPN pool exhausted",
	Look: ofDevice("address-pool-exhausted", func(g *gateway, _ *site) []Match {
		var clues []Clue
		evs := g.Device.Events
		var refused []facts.Event
		add := func(w float64, note string, x []facts.Event) {
			if len(x) > 0 {
				clues = append(clues, For(w, note, at(x...)...))
				refused = append(refused, x...)
			}
		}
		add(3.8, "no address could be had for the remote peer", withID(evs, "713132"))
		add(3.4, "the address assignment failed", withID(evs, "737012"))
		add(2.8, "the local pool had no address to give", withID(evs, "737007"))
		add(3.6, "no address was available for an SSL connection", withID(evs, "722020"))
		if len(refused) == 0 {
			add(3, "no address could be given", saying(evs, "no address available", "no addresses available", "cannot obtain an ip address", "address assignment failed", "failed to allocate an ip address", "could not allocate address", "address pool is empty", "address pool exhausted", "pool is exhausted", "failed to allocate address", "no free address"))
		}
		pools, free := map[string]bool{}, map[string]facts.Counter{}
		for _, c := range g.readings("ip-local-pool") {
			free[c.Name] = c // the last reading counts
		}
		var names []string
		for n := range free {
			names = append(names, n)
		}
		slices.Sort(names)
		empty, ample := 0, 0
		for _, n := range names {
			switch c := free[n]; {
			case c.Value == 0 && c.Limit > 0:
				clues = append(clues, For(3.4, fmt.Sprintf("pool %s: all %d addresses are in use", n, c.Limit), c.Place))
				pools[n] = true
				empty++
			case c.Value > 0:
				ample++
			}
		}
		if len(clues) == 0 {
			return nil
		}
		var grp *group
		for _, ev := range refused {
			if grp = g.of(ev.Group); grp != nil {
				break
			}
		}
		wrong := ""
		if grp != nil {
			in := grp.pools()
			for _, n := range in {
				if p := g.pool(n); p != nil {
					clues = append(clues, For(0.4, fmt.Sprintf("group %s takes its addresses from %s (%d addresses)", grp.title(), n, size(p)), p.Place))
				}
				if len(names) == 0 {
					pools[n] = true
				}
			}
			if len(in) == 0 && g.remoteAccess() && !g.Config().Partial {
				wrong = "no pool is named in tunnel-group or group policy " + grp.title()
				clues = append(clues, For(0.5, wrong, grp.place))
			}
		}
		if empty == 0 && ample > 0 {
			if wrong == "" {
				wrong = "free addresses are left, so look which pool the group really uses: a group policy's address-pools goes before the tunnel-group's address-pool"
			}
			clues = append(clues, Against(1.2, "show ip local pool has free addresses", free[names[0]].Place))
		}
		m := Match{Clues: clues}
		if len(refused) > 0 {
			m.Peer = refused[0].Peer
		}
		pool := strings.Join(keys(pools), ", ")
		m.Title = "Remote users of " + g.Label() + " get no address: the VPN pool" + blank(pool) + " is used up"
		m.Explanation = "Phase 1 and user authentication are done; the user asks for an address and the device has none to give, so the session ends. The user was accepted before, so it is neither the password nor the path."
		if wrong != "" {
			m.Title = "Remote users of " + g.Label() + " get no address"
			m.Explanation += " Here " + wrong + "."
		}
		if u := who(refused); u != "" {
			m.Title += " (" + u + ")"
		}
		old, from := "<pool>", "<range>"
		if pool != "" {
			old = keys(pools)[0]
			if p := g.pool(old); p != nil {
				from = p.From.String() + "-" + p.To.String()
			}
		}
		group := "<group>"
		if grp != nil && grp.name != "" {
			group = grp.name
		}
		if g.isIOS() {
			m.Actions = append(m.Actions, advise(g.End, []string{"ip local pool " + old + " <first> <last of a second range>"}, "a second range under the same name is the gentle way (now: "+from+")", "clear dead sessions: show crypto session, then clear crypto session remote <peer>"))
		} else {
			m.Actions = append(m.Actions, advise(g.End, []string{"ip local pool " + old + "-2 <second range> mask <mask>", "tunnel-group " + group + " general-attributes", "address-pool " + old + " " + old + "-2"},
				"a second pool is the gentle way, used in the order given; a pool whose addresses are in use cannot be taken away (now: "+from+")",
				"the second range needs NAT exemption, a route back, and its place in split-tunnel lists of other sites",
				"log off sessions that are dead: show vpn-sessiondb remote"))
		}
		m.Next = append(m.Next, readAlso("show ip local pool "+old+" and show vpn-sessiondb summary", "tells a used-up pool from a group without a pool"))
		return []Match{m}
	}),
}

func blank(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}

func keys(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// who names the users, else the peers, of messages: the first three.
func who(evs []facts.Event) string {
	var out []string
	for _, ev := range evs {
		n := ev.User
		if n == "" && ev.Peer.IsValid() {
			n = ev.Peer.String()
		}
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	if len(out) > 3 {
		return strings.Join(out[:3], ", ") + " and others"
	}
	return strings.Join(out, ", ")
}

// size counts a pool's addresses; 0 when it is no IPv4 range.
func size(p *facts.Pool) int {
	if !p.From.Is4() || !p.To.Is4() {
		return 0
	}
	return max(0, int(v4(p.To))-int(v4(p.From))+1)
}

func v4(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

var poolNetworkAddress = Condition{
	ID:        "pool-network-or-broadcast-address",
	Cause:     "the pool hands out a network or broadcast address",
	Shows:     "713189; Reason 433 with such a pool",
	Severity:  report.Minor,
	Prefer:    []string{"threat-detection-shun", "user-auth-backend", "aaa-timeout", "transform-set-mismatch", "tunnel-group-policy-conflict", "simultaneous-logins"},
	Reference: "%ASA-4-713189; Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, Reason 433",
	Look: ofBundle("pool-network-or-broadcast-address", func(s *site) []Match {
		var out []Match
		ended := s.reason("433")
		for _, g := range s.gateways {
			var clues []Clue
			logged := withID(g.Device.Events, "713189")
			if len(logged) == 0 {
				logged = saying(g.Device.Events, "attempted to assign network or broadcast")
			}
			if len(logged) > 0 {
				clues = append(clues, For(4.6, "an address was taken out of the pool because it is a network or broadcast address", at(logged...)...))
			}
			var bad []string
			if c := g.Config(); c != nil {
				for i := range c.Pools {
					p := &c.Pools[i]
					if a, masked := edge(p); a.IsValid() {
						w := 1.0
						if masked {
							w = 2.4
						}
						if len(ended) > 0 || len(logged) > 0 {
							w = max(w, 1.6)
						}
						clues = append(clues, For(w, fmt.Sprintf("pool %s (%s-%s) holds %s, a network or broadcast address", p.Name, p.From, p.To, a), p.Place))
						bad = append(bad, p.Name+" ("+a.String()+")")
					}
				}
			}
			if len(clues) == 0 {
				continue
			}
			m := Match{Key: g.Label(), Severity: report.Minor}
			if len(ended) > 0 {
				clues = append(clues, For(1, "the client was cut off with Reason 433", at(ended...)...))
				m.Severity = report.Major
			}
			m.Clues = clues
			what := strings.Join(bad, ", ")
			if what == "" {
				for _, ev := range logged {
					if m.Peer = ev.Peer; len(ev.Addrs) > 0 {
						what = ev.Addrs[len(ev.Addrs)-1].String()
						break
					}
				}
			}
			m.Title = "The client pool of " + g.Label() + " hands out a network or broadcast address: " + what
			m.Explanation = "A client cannot use the first or last address of its network; the device refuses to assign it and the client sees Reason 433. The device takes such an address out by itself, so it hits few users; the pool's range and mask should leave it out."
			var cmds []string
			for _, n := range bad {
				name := firstField(n)
				if p := g.pool(name); p != nil && p.From.Is4() && !g.isIOS() {
					mask := "255.255.255.0"
					if p.Mask.IsValid() {
						mask = p.Mask.String()
					}
					from, to := trim(p)
					cmds = append(cmds, "no ip local pool "+name, fmt.Sprintf("ip local pool %s %s-%s mask %s", name, from, to, mask))
				}
			}
			m.Actions = []report.Action{advise(g.End, cmds, "take network and broadcast addresses out of the pool and check its mask; a pool whose addresses are in use cannot be changed: log its sessions off first", "addresses from RADIUS or DHCP: the same check there")}
			out = append(out, m)
		}
		if len(out) == 0 && len(ended) > 0 {
			out = append(out, Match{Clues: []Clue{For(1.5, "the client was cut off with Reason 433 and no other text", at(ended...)...)}, Severity: report.Major,
				Title:       "A VPN client was cut off with Reason 433 (not specified by the peer)",
				Explanation: "Reason 433 alone says only that the headend ended the session. Known causes: a network or broadcast address from the pool, failed or late user authentication, threat detection that shuns the peer, a transform set that the client does not offer. The headend's log of that moment decides.",
				Actions:     []report.Action{advise(nil, nil, "look at the pool's range and mask on the headend, and at its log for 713189, 113005, 113014, 733102 and 713257 of that moment")},
				Next:        []report.Next{readAlso("the headend's log of that moment", "separates pool-network-or-broadcast-address, user-auth-backend, aaa-timeout, threat-detection-shun and transform-set-mismatch")}})
		}
		return out
	}),
}

// edge finds a network or broadcast address in a pool. masked tells that the mask is stated;
// without it a range that begins at .0 or ends at .255 is the same mistake on a class C.
func edge(p *facts.Pool) (a netip.Addr, masked bool) {
	if !p.From.Is4() || !p.To.Is4() || p.To.Less(p.From) {
		return netip.Addr{}, false
	}
	mask := uint32(0xffffff00)
	if p.Mask.Is4() {
		mask, masked = v4(p.Mask), true
	}
	if ^mask < 3 {
		return netip.Addr{}, masked // /31 and /32 have neither
	}
	if from := v4(p.From); from&^mask == 0 {
		return p.From, masked
	}
	if to := v4(p.To); to&^mask == ^mask {
		return p.To, masked
	}
	return netip.Addr{}, masked
}

// trim returns the pool's range without its network and broadcast address.
func trim(p *facts.Pool) (from, to netip.Addr) {
	from, to = p.From, p.To
	mask := uint32(0xffffff00)
	if p.Mask.Is4() {
		mask = v4(p.Mask)
	}
	if v4(from)&^mask == 0 {
		from = from.Next()
	}
	if v4(to)&^mask == ^mask {
		to = to.Prev()
	}
	return from, to
}

// touches tells whether a pool and a network have an address in common.
func touches(p *facts.Pool, n netip.Prefix) bool {
	if !p.From.IsValid() || !n.IsValid() || p.From.Is4() != n.Addr().Is4() {
		return false
	}
	if n.Contains(p.From) || n.Contains(p.To) {
		return true
	}
	return !n.Masked().Addr().Less(p.From) && !p.To.Less(n.Masked().Addr())
}

var poolOverlaps = Condition{
	ID:        "pool-overlaps-inside",
	Cause:     "the client pool lies in an inside network",
	Shows:     "pool compared with connected and routed networks; a client whose own LAN is the same",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, overlapping private networks",
	Look: ofDevice("pool-overlaps-inside", func(g *gateway, s *site) []Match {
		c := g.Config()
		if c == nil {
			return nil
		}
		var out []Match
		silent := s.said.of(onlyLocal)
		inUse := map[string]bool{}
		for _, x := range g.groups {
			for _, n := range x.pools() {
				inUse[n] = true
			}
		}
		for i := range c.Pools {
			p := &c.Pools[i]
			var clues []Clue
			var nets []string
			connected := false
			hit := func(w float64, note string, n netip.Prefix, where facts.Place) {
				if !slices.Contains(nets, n.Masked().String()) {
					nets = append(nets, n.Masked().String())
				}
				clues = append(clues, For(w, note, p.Place, where))
			}
			for _, ifc := range c.Interfaces {
				if ifc.Address.IsValid() && !ifc.Shutdown && !g.outside(ifc.Name) && ifc.Address.Bits() < 31 && touches(p, ifc.Address) {
					connected = true
					hit(3.4, fmt.Sprintf("pool %s lies in the network of interface %s", p.Name, ifc.Name), ifc.Address, ifc.Place)
				}
			}
			for _, r := range c.Routes {
				if r.Prefix.Bits() > 0 && !g.outside(r.Interface) && touches(p, r.Prefix) && (r.Interface != "" || g.isIOS() && !g.viaOutside(r.Via)) {
					hit(routed(r.Prefix, p), fmt.Sprintf("pool %s lies in %s, which is routed to %s", p.Name, r.Prefix, via(r.Interface, r.Via)), r.Prefix, r.Place)
				}
			}
			for _, r := range g.Device.Routes {
				if r.Prefix.Bits() > 0 && r.Prefix.Bits() < 32 && r.Interface != "" && !g.outside(r.Interface) && r.Kind != "V" && touches(p, r.Prefix) && !slices.Contains(nets, r.Prefix.Masked().String()) {
					hit(routed(r.Prefix, p), fmt.Sprintf("the routing table leads %s, which holds pool %s, to %s", r.Prefix, p.Name, via(r.Interface, r.Via)), r.Prefix, r.Place)
				}
			}
			own, where := s.clientLAN(p)
			if own.IsValid() {
				nets = append(nets, own.String())
				clues = append(clues, For(3.4, "the user's own network has the same range", append([]facts.Place{p.Place}, where...)...))
			}
			if len(clues) == 0 {
				continue
			}
			m := Match{Key: p.Name}
			if len(silent) > 0 {
				clues = append(clues, For(1.2, "users connect and reach nothing inside", silent...))
			} else if connected && len(nets) == 1 {
				m.Severity = report.Minor
			}
			if len(inUse) > 0 && !inUse[p.Name] {
				clues = append(clues, Against(1.5, "no group uses this pool", p.Place))
			}
			m.Clues = clues
			rng := p.From.String() + "-" + p.To.String()
			m.Title = fmt.Sprintf("The client pool %s (%s) of %s overlaps the network %s", p.Name, rng, g.Label(), strings.Join(nets, " and "))
			m.Explanation = fmt.Sprintf("The addresses that remote users get belong to a network that lies elsewhere: hosts and routers there look for %s on their own side and not behind the VPN, so answers to users get lost. The tunnel itself is in order. A pool needs a network of its own that only the gateway has.", rng)
			if connected {
				m.Explanation += " A range cut out of the inside network can work with proxy ARP on the inside interface, but every host there must leave these addresses alone."
			}
			fresh := "<first>-<last of an unused network> mask 255.255.255.0"
			cmds := []string{"ip local pool " + p.Name + "-NEW " + fresh}
			if x := g.poolGroup(p.Name); x != nil {
				if x.name != "" && !x.ios {
					cmds = append(cmds, "tunnel-group "+x.name+" general-attributes", "no address-pool "+p.Name, "address-pool "+p.Name+"-NEW")
				}
				if x.ios {
					cmds = []string{"ip local pool " + p.Name + "-NEW <first> <last of an unused network>", "crypto isakmp client configuration group " + x.name, "pool " + p.Name + "-NEW"}
				}
			}
			m.Actions = []report.Action{advise(g.End, cmds, "the new range needs NAT exemption, a route back on the routers behind the gateway, and its place in the crypto access lists of other sites", "users get an address of it when they connect again")}
			out = append(out, m)
		}
		if len(out) == 0 {
			if p, ok := s.sameRange(g); ok {
				out = append(out, p)
			}
		}
		return out
	}),
}

// routed weighs a route that covers a pool: a summary of all private space is usual beside
// the more specific host routes of clients, a network of about the pool's size is a mistake.
func routed(n netip.Prefix, p *facts.Pool) float64 {
	switch {
	case n.Bits() >= 16:
		return 4.2
	case n.Bits() >= 13:
		return 2
	}
	return 0.8
}

func via(ifc string, a netip.Addr) string {
	switch {
	case ifc != "" && a.IsValid():
		return ifc + " (" + a.String() + ")"
	case ifc != "":
		return ifc
	}
	return a.String()
}

// viaOutside tells whether a next hop lies in an outside interface's network (IOS routes name
// no interface).
func (g *gateway) viaOutside(a netip.Addr) bool {
	for _, i := range g.Device.Config.Interfaces {
		if i.Address.IsValid() && i.Address.Contains(a) {
			return g.outside(i.Name)
		}
	}
	return true
}

// poolGroup is the group that uses a pool.
func (g *gateway) poolGroup(name string) *group {
	for _, x := range g.groups {
		if slices.Contains(x.pools(), name) {
			return x
		}
	}
	return nil
}
