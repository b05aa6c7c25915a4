package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
	"vpnbot/diag/report"
)

// routesWhole tells whether everything that routes is at hand, so that no route means none.
func (e *End) routesWhole() (facts.Place, bool) {
	for _, o := range e.Device.Outputs {
		if (o.Command == "show route" || o.Command == "show ip route") && o.Filter == "" && !o.Refused && o.Complete && len(o.Text) > 3 {
			return o.Place, true
		}
	}
	c := e.Config()
	if c == nil || c.Partial || len(c.Interfaces) == 0 {
		return facts.Place{}, false
	}
	if len(e.lines("router ")) > 0 || len(e.lines("ip default-gateway")) > 0 {
		return facts.Place{}, false
	}
	for _, i := range c.Interfaces {
		if i.Dynamic {
			return facts.Place{}, false
		}
	}
	return c.Place, true
}

var routeMissing = Condition{
	ID:        "route-missing",
	Cause:     "the remote network has no route, or the wrong one",
	Shows:     "routes against the crypto list; 110002, 110003; 713258",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify that routing is correct, reverse route injection; %ASA-6-110003, %ASA-6-110002, %ASA-3-713258",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			m := Match{Key: e.Label()}
			bound := e.boundTo()
			gone, wrong := netip.Prefix{}, hop{}
			seen := map[netip.Prefix]bool{}
			reverse := slices.ContainsFunc(e.Entries(), func(x facts.MapEntry) bool { return x.Reverse })
			for _, n := range e.protected() {
				if c == nil || len(bound) == 0 || seen[n.dst] || n.dst.Bits() == 0 || len(m.Clues) > 6 {
					continue
				}
				seen[n.dst] = true
				h, ok := e.egress(n.dst)
				if ok && (h.iface == "" || slices.ContainsFunc(bound, func(b string) bool { return strings.EqualFold(b, h.iface) })) {
					continue
				}
				var cl Clue
				switch {
				case ok:
					if reverse && h.prefix.Bits() <= n.dst.Bits() && !h.seen {
						continue // the injected route is the longer one once the tunnel is up
					}
					cl = For(3.8, fmt.Sprintf("%s goes to interface %s, and the crypto map is on %s", n.dst, h.iface, strings.Join(bound, ", ")), h.place, n.place)
				default:
					p, whole := e.routesWhole()
					if !whole || reverse {
						continue
					}
					cl = For(3.2, fmt.Sprintf("no route and no default route covers %s", n.dst), n.place, p)
				}
				m.Clues = append(m.Clues, cl)
				if x := e.siblings(n.dst); len(x) > 0 && !ok {
					m.Clues = append(m.Clues, For(0.8, "the other remote networks have static routes", x...))
				}
				if !gone.IsValid() {
					gone, wrong = n.dst, h
				}
				if sa, ok := e.saOf(n); ok && sa.Encaps == 0 {
					m.Clues = append(m.Clues, For(0.8, "nothing is encrypted for it", place(sa, "encaps")))
				} else if ok && sa.Encaps > 0 && sa.Decaps > 0 {
					m.Clues = append(m.Clues, Against(4, "this pair of networks is encrypted both ways", place(sa, "encaps")))
				}
			}
			configured := len(m.Clues) > 0
			// The way to the peer itself: the map stands on another line than the one in use.
			if c != nil && len(bound) > 0 && e.Peer.IsValid() && !configured {
				if h, ok := e.egress(netip.PrefixFrom(e.Peer, e.Peer.BitLen())); ok && h.iface != "" && !slices.ContainsFunc(bound, func(b string) bool { return strings.EqualFold(b, h.iface) }) && !e.phase2Up() && len(t.phase1Up()) == 0 {
					m.Clues = append(m.Clues, For(2.8, fmt.Sprintf("the peer %s is reached by %s, and the crypto map is on %s", e.Peer, h.iface, strings.Join(bound, ", ")), h.place))
					wrong = h
				}
			}
			var lost []facts.Event
			for _, ev := range append(e.innerEvents("110003"), e.innerEvents("110002")...) {
				if a, b := interfacesOf(ev.Text); a == "" || a != b {
					lost = append(lost, ev)
				}
			}
			if len(lost) > 0 {
				m.Clues = append(m.Clues, For(weight(configured, 2, 3.4), e.Label()+" finds no next hop for packets of the tunnel", at(lost...)...))
			}
			if x := withID(e.Events(), "713258"); len(x) > 0 {
				m.Clues = append(m.Clues, For(weight(configured, 2, 3.6), "phase 1 and phase 2 are on different interfaces: the peer is reached by another line since", at(x...)...))
			}
			asked := ""
			if x, a := t.notInTable(e); len(x) > 0 {
				asked = a.String()
				m.Clues = append(m.Clues, For(weight(configured, 1, 3), "the routing table has no entry for it", x...))
			}
			for _, tr := range e.tracesOf() {
				if ph, ok := stoppedAt(tr); ok && (hasAny(ph.Type, "route-lookup") || hasAny(tr.DropReason, "no-route")) {
					m.Clues = append(m.Clues, For(2.4, "packet-tracer finds no route", ph.Place))
				}
			}
			if len(m.Clues) == 0 {
				continue
			}
			what := "the network behind " + e.PeerLabel()
			if asked != "" {
				what = asked
			}
			if gone.IsValid() {
				what = gone.String()
			}
			iface, gw := "outside", "<gw>"
			if len(bound) > 0 {
				iface = bound[0]
			}
			if g, ok := e.gatewayOf(iface); ok {
				gw = g.String()
			}
			m.Title = fmt.Sprintf("%s has no route for %s towards the tunnel to %s", e.Label(), what, e.PeerLabel())
			if asked != "" && !e.Peer.IsValid() { // a router behind the gateway
				m.Title = fmt.Sprintf("%s has no route for %s, so answers do not find the way back to the gateway", e.Label(), what)
			}
			m.Explanation = "A packet meets the crypto map only on the interface that the routing table picks for it."
			switch {
			case wrong.iface != "":
				m.Explanation += fmt.Sprintf(" Here the route \"%s\" sends %s to interface %s, while the crypto map is on %s, so nothing is encrypted.", wrong.place.Text, what, wrong.iface, strings.Join(bound, ", "))
			case gone.IsValid():
				m.Explanation += fmt.Sprintf(" Nothing in the routing covers %s, neither a static nor a default route, so the packets are dropped before the crypto map.", what)
			case len(lost) > 0:
				m.Explanation += " The log: " + lost[0].Text
			}
			cmds := []string{}
			if gone.IsValid() || wrong.iface == "" {
				net := "<net> <mask>"
				if gone.IsValid() {
					net = netMask(gone)
				}
				if e.isIOS() {
					cmds = append(cmds, "ip route "+net+" "+gw)
				} else {
					cmds = append(cmds, "route "+iface+" "+net+" "+gw)
				}
				if wrong.iface != "" && wrong.prefix == gone && strings.Contains(wrong.place.Text, "route ") {
					cmds = append([]string{"no " + strings.TrimSpace(wrong.place.Text)}, cmds...)
				}
			}
			if e.isIOS() {
				cmds = append(cmds, "crypto map "+e.entryName()+" ipsec-isakmp", " reverse-route")
			} else {
				cmds = append(cmds, "crypto map "+e.entryName()+" set reverse-route")
			}
			m.Actions = []report.Action{advise(e, cmds, "the route or reverse-route, one of them is enough", "routers behind the gateway: a static route for remote networks and client pool, or redistribute the injected routes")}
			out = append(out, m)
		}
		return out
	},
}

// siblings are the static routes of this device's other protected far networks.
func (e *End) siblings(missing netip.Prefix) []facts.Place {
	c := e.Config()
	var out []facts.Place
	for _, r := range c.Routes {
		if r.Prefix.Bits() > 0 && !r.Prefix.Contains(missing.Addr()) && !e.Mine(r.Prefix.Addr()) && r.Prefix.Bits() < 32 && len(out) < 3 {
			out = append(out, r.Place)
		}
	}
	return out
}

// notInTable finds questions for a route to a far network that were answered with none.
func (t *Tunnel) notInTable(e *End) ([]facts.Place, netip.Addr) {
	var out []facts.Place
	var asked netip.Addr
	for _, o := range e.Device.Outputs {
		if !strings.HasPrefix(o.Command, "show ip route ") && !strings.HasPrefix(o.Command, "show route ") {
			continue
		}
		f := strings.Fields(o.Command)
		a, err := netip.ParseAddr(f[len(f)-1])
		if err != nil || !e.touches(a) && !t.pooled(a) {
			continue
		}
		for _, l := range o.Text {
			if hasAny(l.Text, "not in table") {
				asked = a
				out = append(out, facts.Place{Source: o.Place.Source, Line: l.N, Text: strings.TrimSpace(l.Text)})
			}
		}
	}
	return out, asked
}

// pooled tells whether an address is of a client pool of any gateway in the bundle: the
// routers behind it must know the way back.
func (t *Tunnel) pooled(a netip.Addr) bool {
	return t.Set != nil && slices.ContainsFunc(t.Set.Devices, func(d *facts.Device) bool {
		return d.Config != nil && slices.ContainsFunc(d.Config.Pools, func(p facts.Pool) bool { return inPool(p, a) })
	})
}

// netMask writes a network with its mask, a host too.
func netMask(p netip.Prefix) string {
	if p.IsSingleIP() && p.Addr().Is4() {
		return p.Addr().String() + " 255.255.255.255"
	}
	if p.Bits() == 0 {
		return "0.0.0.0 0.0.0.0"
	}
	return masked(p)
}

// gatewayOf is the next hop of the default route on an interface.
func (e *End) gatewayOf(iface string) (netip.Addr, bool) {
	c := e.Config()
	if c == nil {
		return netip.Addr{}, false
	}
	for _, r := range c.Routes {
		name := r.Interface
		if name == "" {
			name = e.connectedTo(r.Via)
		}
		if r.Prefix.Bits() == 0 && r.Via.IsValid() && strings.EqualFold(name, iface) {
			return r.Via, true
		}
	}
	return netip.Addr{}, false
}

// interfacesOf reads the two interface names of a message: "src outside:10.1.1.1/5 dst
// outside:10.2.2.2/6", "from outside:10.1.1.1/5 to outside:10.2.2.2/6".
func interfacesOf(s string) (a, b string) {
	for w := range strings.FieldsSeq(s) {
		name, rest, ok := strings.Cut(strings.Trim(w, "(),"), ":")
		if !ok || name == "" || rest == "" || rest[0] < '0' || rest[0] > '9' {
			continue
		}
		if a == "" {
			a = name
		} else if b == "" {
			return a, name
		}
	}
	return a, b
}

var hairpinDisabled = Condition{
	ID:        "hairpin-disabled",
	Cause:     "traffic may not leave by the interface it came in on",
	Shows:     "no same-security-traffic permit intra-interface with denies that name one interface twice",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, hairpinning; same-security-traffic permit intra-interface; %ASA-6-110003, %ASA-3-106014",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			if e.isIOS() {
				continue
			}
			c := e.Config()
			m := Match{Key: e.Label()}
			set, has := c.Setting("same-security-traffic permit intra-interface")
			if has && !set.No {
				continue
			}
			bound := e.boundTo()
			var pair network
			if c != nil && (!c.Partial || len(c.Settings) > 3) {
				for _, n := range e.protected() {
					if n.src.Bits() == 0 {
						continue
					}
					h, ok := e.egress(n.src)
					if !ok || !slices.Contains(bound, h.iface) {
						continue
					}
					if p, ok := e.fromElsewhere(c, n); ok {
						pair = n
						where := []facts.Place{n.place, p}
						if has {
							where = append(where, set.Place)
						}
						m.Clues = append(m.Clues, For(3.4, fmt.Sprintf("the crypto access list protects %s, whose source lies behind another tunnel of the same interface, and intra-interface traffic is not permitted", n), where...))
						break
					}
				}
			}
			configured := len(m.Clues) > 0
			var turned []facts.Event
			turnable := ofBox(e, "lines of one interface", func() (out []facts.Event) {
				for _, ev := range e.logged("110003", "106014", "106001", "106006", "106010", "106016", "106023", "106015") {
					if a, b := interfacesOf(ev.Text); a != "" && a == b {
						out = append(out, ev)
					}
				}
				return out
			})
			for _, ev := range turnable {
				if len(ev.Addrs) > 1 && ev.Addrs[0].IsPrivate() && (e.inPools(ev.Addrs[0]) || e.touches(ev.Addrs[0]) || e.touches(ev.Addrs[1]) || len(e.protected()) == 0 && ev.Addrs[1].IsPrivate()) {
					turned = append(turned, ev)
				}
			}
			if len(turned) > 0 {
				m.Clues = append(m.Clues, For(weight(configured, 2.2, 3.6), "packets that must leave by the interface they came in on are dropped", at(turned...)...))
				if c != nil && !c.Partial && !configured {
					m.Clues = append(m.Clues, For(1.4, "same-security-traffic permit intra-interface does not stand in the configuration", c.Place))
				}
			}
			for _, ct := range e.Device.Counters {
				if ct.Group == "asp-drop" && hasAny(ct.Name+" "+ct.Text, "same-security", "sp-security-failed") && ct.Value > 0 {
					m.Clues = append(m.Clues, For(0.8, "the security check drops packets", ct.Place))
					break
				}
			}
			for _, tr := range e.Device.Traces {
				if ph, ok := stoppedAt(tr); ok && slices.Contains(bound, tr.Input) && hasAny(tr.DropReason, "sp-security-failed", "same-security", "acl-drop") && e.touches(tr.Dst) {
					m.Clues = append(m.Clues, For(1.6, "packet-tracer from that interface to the tunnel is dropped", ph.Place))
				}
			}
			if !slices.ContainsFunc(m.Clues, func(cl Clue) bool { return cl.Weight >= 2 }) {
				continue
			}
			if c == nil {
				m.Next = []report.Next{readAlso("show running-config same-security-traffic", "shows whether intra-interface traffic is permitted")}
			} else if configured && e.flowsBothWays(pair) {
				m.Clues = append(m.Clues, Against(3, "this pair of networks is encrypted both ways"))
			}
			iface := "outside"
			if len(bound) > 0 {
				iface = bound[0]
			}
			what := "traffic between its spokes or clients"
			if pair.src.IsValid() {
				what = pair.String()
			} else if len(turned) > 0 {
				what = turned[0].Addrs[0].String() + " to " + turned[0].Addrs[1].String()
			}
			m.Title = fmt.Sprintf("%s does not let %s out by the interface it came in on (%s)", e.Label(), what, iface)
			m.Explanation = "Spoke-to-spoke and client-to-spoke traffic enters the hub by one tunnel and leaves by another on the same interface. An ASA refuses that until same-security-traffic permit intra-interface is set, and it is missing here."
			m.Actions = []report.Action{advise(e, []string{"same-security-traffic permit intra-interface"}, "each spoke's crypto access list, and the hub's towards it, must hold the other spokes' networks",
				"an exemption for the pair ("+iface+","+iface+") where NAT is in use", "it opens the way between all peers of the interface: filters decide who may talk to whom")}
			out = append(out, m)
		}
		return out
	},
}

// inPools tells whether an address is one of a client pool.
func (e *End) inPools(a netip.Addr) bool {
	c := e.Config()
	return c != nil && slices.ContainsFunc(c.Pools, func(p facts.Pool) bool { return inPool(p, a) })
}

// touches tells whether an address lies in the far networks of this tunnel.
func (e *End) touches(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(e.protected(), func(n network) bool { return n.dst.Contains(a) })
}

// fromElsewhere tells whether the source of a pair belongs to a client pool or to another
// tunnel's far side.
func (e *End) fromElsewhere(c *facts.Config, n network) (facts.Place, bool) {
	for _, p := range c.Pools {
		if n.src.Contains(p.From) && poolUsed(c, p.Name) {
			return p.Place, true
		}
	}
	// Most tunnels of a device have the same source: the far sides that overlap it are found once.
	far := ofBox(e, "far sides in "+n.src.String(), func() (out []farSide) {
		for i := range c.MapEntries {
			m := &c.MapEntries[i]
			l := c.ACL(m.ACL)
			if m.DynamicMap || l == nil {
				continue
			}
			for k := range l.Entries {
				a := &l.Entries[k]
				if a.Permit && slices.ContainsFunc(a.Dst, func(p netip.Prefix) bool { return p.Bits() > 0 && p.Overlaps(n.src) }) {
					out = append(out, farSide{m.Peers, a.Place})
				}
			}
		}
		return out
	})
	for _, f := range far {
		if !slices.ContainsFunc(f.peers, e.Mine) {
			return f.place, true
		}
	}
	return facts.Place{}, false
}

// farSide is a network behind some peers.
type farSide struct {
	peers []netip.Addr
	place facts.Place
}

var multicastOverIPsec = Condition{
	ID:        "multicast-over-ipsec",
	Cause:     "multicast does not pass an ASA's tunnel",
	Shows:     "224.0.0.0/4 in a crypto list; routing neighbours through the tunnel",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, note on multicast",
	Look: func(t *Tunnel) []Match {
		var out []Match
		group := netip.MustParsePrefix("224.0.0.0/4")
		for _, e := range t.Ends {
			c := e.Config()
			if e.isIOS() {
				continue
			}
			m := Match{Key: e.Label()}
			what := ""
			entries := e.Entries()
			if c != nil {
				for _, x := range entries {
					l := c.ACL(x.ACL)
					if l == nil {
						continue
					}
					for _, a := range l.Entries {
						if !a.Permit || a.Inactive {
							continue
						}
						cast := slices.ContainsFunc(a.Dst, func(p netip.Prefix) bool { return p.Bits() >= 4 && group.Contains(p.Addr()) })
						proto := slices.Contains([]string{"ospf", "eigrp", "pim", "igmp", "88", "89", "103", "2"}, a.Proto)
						if cast || proto {
							w := 3.8
							if !cast {
								w = 2.8
							}
							what = a.Place.Text
							m.Clues = append(m.Clues, For(w, fmt.Sprintf("crypto access list %s names multicast", x.ACL), a.Place))
						}
					}
				}
			}
			for _, sa := range e.IPsec() {
				if p := sa.RemoteID.Prefix; p.IsValid() && p.Bits() >= 4 && group.Contains(p.Addr()) && what == "" {
					m.Clues = append(m.Clues, For(3.2, "an SA protects a multicast group", place(sa, "ident")))
					what = p.String()
				}
			}
			if len(m.Clues) == 0 {
				continue
			}
			m.Title = fmt.Sprintf("%s is asked to carry multicast through the IPsec tunnel to %s, which an ASA does not do", e.Label(), e.PeerLabel())
			m.Explanation = fmt.Sprintf("The crypto access list names multicast (%s). An ASA encrypts unicast only: routing protocols that speak by multicast find no neighbour through the tunnel, and streams stop here. Neighbours configured as unicast (BGP, OSPF neighbor on a non-broadcast network) work.", what)
			m.Actions = []report.Action{advise(nil, nil, "GRE over IPsec or a VTI between routers carries multicast; the ASA then passes or protects the GRE between the two routers", "take the multicast entry out of the crypto access list at both ends")}
			out = append(out, m)
		}
		return out
	},
}

var backupPeerMissing = Condition{
	ID:        "backup-peer-missing",
	Cause:     "one peer only, and it does not answer while another is known",
	Shows:     "set peer with one address beside a second headend",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, multiple backup peers",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			entries := e.Entries()
			if len(entries) != 1 || len(entries[0].Peers) != 1 || len(entries[0].PeerNames) > 0 || t.Set == nil {
				continue
			}
			if len(t.phase1Up()) > 0 || e.phase2Up() {
				continue
			}
			c := e.Config()
			var clues []Clue
			second := netip.Addr{}
			// A second headend: another device of the bundle whose map names this end, or a
			// tunnel-group or key for an address that no entry uses.
			for _, d := range t.Set.Devices {
				if d == e.Device || d.Config == nil && d.Role != facts.Headend || slices.Contains(d.Addresses, e.Peer) {
					continue
				}
				knows := d.Role == facts.Headend
				p := facts.Place{}
				if d.Config != nil {
					for _, m := range d.Config.MapEntries {
						if slices.ContainsFunc(m.Peers, e.Known) {
							knows, p = true, place2(m, "peer")
						}
					}
				}
				if knows && len(d.Addresses) > 0 {
					second = d.Addresses[0]
					clues = append(clues, For(2, fmt.Sprintf("%s (%s) is a second headend that could take over", d.Name, second), p, place2(entries[0], "peer")))
				}
			}
			if g, ok := ofBox(e, "spare group", func() spareGroup { return unusedGroup(c) }).get(); ok && !second.IsValid() {
				second = g.addr
				clues = append(clues, For(1.6, fmt.Sprintf("tunnel-group %s is ready and no crypto map entry uses it", g.addr), g.place, place2(entries[0], "peer")))
			}
			if a, p, ok := t.namedBeside(e); ok && !second.IsValid() {
				second = a
				clues = append(clues, For(1.4, fmt.Sprintf("a second headend %s is spoken of", a), p, place2(entries[0], "peer")))
			}
			if !second.IsValid() {
				continue
			}
			evs := e.Events()
			down := false
			if x := withID(evs, "713123"); len(x) > 0 {
				down = true
				clues = append(clues, For(1.2, "the only peer stopped answering", at(x...)...))
			}
			if x := e.inState("MM_WAIT_MSG2", "MM_NO_STATE"); len(x) > 0 {
				down = true
				clues = append(clues, For(1.2, "the only peer does not answer", placesOf(x)...))
			}
			if x := saying(evs, "death by retransmission", "maximum number of retrans"); len(x) > 0 && !down {
				down = true
				clues = append(clues, For(1.4, "the only peer does not answer", at(x...)...))
			}
			for _, p := range e.Device.Pings {
				if p.Target == e.Peer && p.Sent > 0 && p.Received == 0 {
					down = true
					clues = append(clues, For(1, "the peer's address does not answer", p.Place))
				}
			}
			if p, ok := t.saidDown(e.Peer); ok {
				down = true
				clues = append(clues, For(1.6, "the only peer is out of service, people say", p))
			}
			if !down || len(t.phase1Up()) > 0 {
				continue
			}
			peer := e.Peer.String()
			cmds := []string{"crypto map " + e.entryName() + " set peer " + peer + " " + second.String(), "tunnel-group " + second.String() + " type ipsec-l2l"}
			if e.isIOS() {
				cmds = []string{"crypto map " + e.entryName() + " ipsec-isakmp", " set peer " + peer + " default", " set peer " + second.String()}
			}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       fmt.Sprintf("%s has one peer only (%s), it does not answer, and %s could take over", e.Label(), peer, second),
				Explanation: "The crypto map entry names a single peer. With a second one in the list the device tries it when the first does not answer. The outage of the first is a fault of its own.",
				Actions: []report.Action{advise(e, cmds, "peers are tried in the order given; the backup needs its tunnel-group or key, and its own side the mirror entry",
					"ASA with IKEv2: several peers only on recent images (752009 on others)")}})
		}
		return out
	},
}

// saidDown finds a line in which people say that the address is out of service: a peer that
// exists and is down is not one that was entered wrongly.
func (t *Tunnel) saidDown(a netip.Addr) (facts.Place, bool) {
	if t.Set == nil || !a.IsValid() {
		return facts.Place{}, false
	}
	for _, d := range t.Set.Devices {
		for _, para := range paragraphs(d.Notes) {
			cs := clauses(para)
			for i, c := range cs {
				if !slices.Contains(syslog.Addrs(c.text), a) {
					continue
				}
				text := c.text
				if i+1 < len(cs) && !c.ends && len(syslog.Addrs(cs[i+1].text)) == 0 {
					text += cs[i+1].text
				}
				if hasAny(text, outOfService...) && !hasAny(text, works...) {
					return c.place, true
				}
			}
		}
	}
	return facts.Place{}, false
}

var outOfService = []string{" down ", " dead ", " offline ", " off line ", " out of service ", " out of order ", " maintenance ", " power cut ", " no power ", " broken ", " ausgefallen ", " tot ", " wartung ", " außer betrieb ", " en panne ", " hors service ", " fuera de servicio ", " caído "}

// spareGroup is a site-to-site tunnel-group that no crypto map entry uses.
type spareGroup struct {
	addr  netip.Addr
	place facts.Place
}

func (g spareGroup) get() (spareGroup, bool) { return g, g.addr.IsValid() }

// unusedGroup finds the first tunnel-group for an address that no entry has as peer.
func unusedGroup(c *facts.Config) spareGroup {
	used := map[netip.Addr]bool{}
	for _, m := range c.MapEntries {
		for _, p := range m.Peers {
			used[p] = true
		}
	}
	for _, g := range c.TunnelGroups {
		if a, err := netip.ParseAddr(g.Name); err == nil && g.Type == "ipsec-l2l" && !used[a] {
			return spareGroup{a, g.Place}
		}
	}
	return spareGroup{}
}

// namedBeside finds a public address that people name beside the evidence and that is
// neither end of the tunnel: a second headend.
func (t *Tunnel) namedBeside(e *End) (netip.Addr, facts.Place, bool) {
	for _, d := range t.Set.Devices {
		for _, n := range d.Notes {
			for _, w := range strings.FieldsFunc(n.Lower, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }) {
				a, err := netip.ParseAddr(strings.Trim(w, "."))
				if err == nil && !a.IsPrivate() && !a.IsUnspecified() && !e.Mine(a) && !e.Known(a) && !e.Others[a] {
					return a, n.Place, true
				}
			}
		}
	}
	return netip.Addr{}, facts.Place{}, false
}
