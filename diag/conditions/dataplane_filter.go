package conditions

import (
	"fmt"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// policyAttr returns an attribute of a group policy as the device applies it: its own line,
// else that of the policy it was copied from, else DfltGrpPolicy's. owner is the policy that
// holds the line.
func policyAttr(c *facts.Config, name, key string) (a facts.Attr, owner string, ok bool) {
	for range 4 { // copies of copies end somewhere
		i := slices.IndexFunc(c.GroupPolicies, func(g facts.GroupPolicy) bool { return g.Name == name })
		if i < 0 {
			break
		}
		if a, ok := facts.Get(c.GroupPolicies[i].Attrs, key); ok && !a.No {
			return a, name, true
		}
		if name = c.GroupPolicies[i].From; name == "" {
			break
		}
	}
	for _, g := range c.GroupPolicies {
		if g.Name == "DfltGrpPolicy" {
			if a, ok := facts.Get(g.Attrs, key); ok && !a.No {
				return a, g.Name, true
			}
		}
	}
	return facts.Attr{}, "", false
}

// policyOf names the group policy that a tunnel-group uses.
func policyOf(g facts.TunnelGroup) (string, facts.Place) {
	if a, ok := facts.Get(g.Attrs, "default-group-policy"); ok && !a.No {
		return a.Value, a.Place
	}
	return "DfltGrpPolicy", g.Place
}

// groups returns the tunnel-groups that this tunnel's sessions land in: the peer's, or on an
// end without a static entry for the peer those of remote access.
func (e *End) groups() []facts.TunnelGroup {
	if tg := e.TunnelGroup(); tg != nil {
		return []facts.TunnelGroup{*tg}
	}
	c := e.Config()
	if c == nil {
		return nil
	}
	return ofBox(e, "remote-access groups", func() (out []facts.TunnelGroup) {
		for _, g := range c.TunnelGroups {
			if g.Type == "remote-access" {
				out = append(out, g)
			}
		}
		return out
	})
}

// denied returns log lines of interface lists that deny packets of this tunnel.
func (e *End) denied(ids ...string) []facts.Event {
	var out []facts.Event
	for _, ev := range e.innerEvents(ids...) {
		if hasAny(ev.Text, "deny", "denied") {
			out = append(out, ev)
		}
	}
	return out
}

// admits walks a list for packets of a pair of networks (from, to) and says what becomes of
// them: 1 permitted as a whole, 0 in part, -1 not at all.
func admits(l *facts.ACL, from network) int {
	left, in, denied := []network{from}, false, false
	for _, a := range l.Entries {
		if a.Inactive {
			continue
		}
		for _, o := range pairsOf(a) {
			hit := slices.ContainsFunc(left, func(p network) bool { return p.src.Overlaps(o.src) && p.dst.Overlaps(o.dst) })
			if !hit {
				continue
			}
			in = in || a.Permit
			if a.Proto == "ip" && a.SrcPort == "" && a.DstPort == "" {
				if !a.Permit && covered(from, []network{o}) && !in {
					return -1
				}
				denied = denied || !a.Permit
				if left = less(left, o); len(left) == 0 && in && !denied {
					return 1
				}
			}
		}
		if len(left) == 0 {
			break
		}
	}
	if in {
		return 0
	}
	return -1
}

// wrongWay returns the first line of a vpn-filter that permits the pair's packets with the local
// network as source, when no other line permits the same the right way round.
func wrongWay(l *facts.ACL, n network) (facts.ACE, bool) {
	inside := func(a facts.ACE, p network) bool {
		return a.Permit && !a.Inactive && !a.SrcAny && !a.DstAny && slices.ContainsFunc(pairsOf(a), func(o network) bool { return covered(o, []network{p}) })
	}
	for _, a := range l.Entries {
		if !inside(a, n) {
			continue
		}
		if !slices.ContainsFunc(l.Entries, func(b facts.ACE) bool {
			return b.Permit && !b.Inactive && (b.Proto == a.Proto || b.Proto == "ip") && (b.DstPort == "" && b.SrcPort == "" || b.DstPort == a.DstPort && b.SrcPort == a.SrcPort || b.DstPort == a.SrcPort && b.SrcPort == a.DstPort) &&
				slices.ContainsFunc(pairsOf(b), func(o network) bool { return o.src.Overlaps(n.dst) && o.dst.Overlaps(n.src) })
		}) {
			return a, true
		}
	}
	return facts.ACE{}, false
}

// missed returns where people say that an address of this pair of networks is not reached.
func (t *Tunnel) missed(n network) []facts.Place {
	var out []facts.Place
	addrs, where := t.everything().said.addresses()
	for i, a := range addrs {
		if (n.src.Contains(a) || n.dst.Contains(a)) && !slices.Contains(out, where[i]) {
			out = append(out, where[i])
		}
	}
	return out
}

// letsIn tells whether an interface list was written for the packets of a pair: by ip, or by
// entries that name the source. What it lets in from everybody (web servers, ICMP answers)
// was not meant for the tunnel.
func letsIn(l *facts.ACL, from network) bool {
	if admits(l, from) == 1 {
		return true
	}
	for _, a := range l.Entries {
		if !a.Permit || a.Inactive || a.SrcAny {
			continue
		}
		for _, o := range pairsOf(a) {
			if o.src.Overlaps(from.src) && o.dst.Overlaps(from.dst) {
				return true
			}
		}
	}
	return false
}

// turned is the pair seen from the other side.
func (n network) turned() network { return network{n.dst, n.src, n.place} }

var sysoptPermitVPN = Condition{
	ID:       "sysopt-permit-vpn-off",
	Cause:    "decrypted traffic meets the interface access list",
	Shows:    "no sysopt connection permit-vpn; 106023 for inner addresses on the outside interface",
	Severity: report.Critical, Prefer: []string{"vpn-filter-denies"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify the sysopt commands; %ASA-4-106023",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			if e.isIOS() {
				continue
			}
			c := e.Config()
			m := Match{Key: e.Label()}
			word := "permit-vpn"
			off, on := facts.Place{}, false
			if s, ok := c.Setting("sysopt connection permit-vpn"); ok {
				off, on = s.Place, !s.No
			} else if s, ok := c.Setting("sysopt connection permit-ipsec"); ok {
				off, on, word = s.Place, !s.No, "permit-ipsec"
			} else if c != nil && !c.Partial && (c.Complete || len(c.MapEntries) > 0) && e.Device.Version.Before(7, 0) {
				off, word = c.Place, "permit-ipsec" // off by default in 6.x
			}
			isOff := off.Source != "" && !on
			list := ""
			blocked := false
			if c != nil {
				for _, i := range c.Interfaces {
					if !slices.Contains(e.boundTo(), i.Name) && !(len(e.boundTo()) == 0 && i.Name == "outside") {
						continue
					}
					list = i.ACLIn
					l := c.ACL(i.ACLIn)
					for _, n := range e.protected() {
						if l == nil && i.ACLIn != "" {
							break // the list is not at hand
						}
						if l == nil || !letsIn(l, n.turned()) {
							blocked = true
							if isOff {
								where := []facts.Place{off, n.place}
								note := fmt.Sprintf("%s is off, and no list on %s lets %s in", word, i.Name, n.turned())
								if l != nil {
									where = append(where, l.Place)
									note = fmt.Sprintf("%s is off, and %s on %s does not permit %s", word, i.ACLIn, i.Name, n.turned())
								}
								m.Clues = append(m.Clues, For(3.6, note, where...))
							}
							break
						}
					}
				}
			}
			if isOff && len(m.Clues) == 0 && len(e.protected()) == 0 && !c.Tail && (c.Partial || c.Complete || len(c.MapEntries) > 0) {
				m.Clues = append(m.Clues, For(2.6, word+" is off", off))
			}
			filters := e.filterNames()
			var deny []facts.Event
			for _, ev := range e.denied("106023", "106100", "106001", "106006", "106014", "106010") {
				// Only what comes in from the peer's side is decrypted traffic, and only an interface list is meant.
				if !slices.ContainsFunc(filters, func(f string) bool { return strings.Contains(ev.Text, f) }) && e.inward(ev) {
					deny = append(deny, ev)
				}
			}
			if len(deny) > 0 && !on {
				w := 1.8
				if !isOff {
					w = 3.4
				}
				m.Clues = append(m.Clues, For(w, "the interface list denies decrypted packets of the tunnel", at(deny...)...))
			}
			if len(m.Clues) == 0 {
				continue
			}
			if c != nil && !isOff && !on && !e.Device.Version.Before(7, 0) {
				m.Clues = append(m.Clues, Against(0.8, "the configuration does not switch it off"))
			}
			if isOff && !blocked && len(e.protected()) > 0 && len(deny) == 0 {
				continue // off on purpose: the list permits the inner networks
			}
			for _, tr := range e.tracesOf() {
				if ph, ok := stoppedAt(tr); ok && hasAny(ph.Type, "access-list") && !hasAny(ph.Subtype, "filter-aaa", "vpn-user") && slices.Contains(e.boundTo(), tr.Input) {
					m.Clues = append(m.Clues, For(1.4, "packet-tracer from outside stops at the access list", ph.Place))
				}
			}
			if f := e.counters(); f.ok && f.decaps > 0 && f.encaps == 0 {
				m.Clues = append(m.Clues, For(0.8, "packets are decrypted and get no further", f.place("decaps")))
			} else if f.ok && f.decaps > 0 && f.encaps > 0 && len(deny) == 0 {
				m.Clues = append(m.Clues, Against(2.2, "the tunnel carries traffic both ways", f.place("encaps")))
			}
			m.Title = fmt.Sprintf("%s checks decrypted traffic from %s against its interface list: sysopt connection %s is off", e.Label(), e.PeerLabel(), word)
			m.Explanation = "With the setting on, packets that come out of a tunnel pass the interface's inbound list; with it off they need a permit there."
			if list != "" {
				m.Explanation += " The list is " + list + "."
			}
			if len(deny) > 0 {
				m.Explanation += " The log shows it: " + deny[0].Text
			}
			m.Explanation += " It is on by default from 7.0(1), off in 6.x, and off stands as no sysopt connection permit-vpn."
			m.Actions = []report.Action{advise(e, []string{"sysopt connection " + word},
				"or permit the inner networks (and from the peer udp 500) in the outside list", "with it on, a vpn-filter is the way to restrict a tunnel: everything the peer sends comes in")}
			if c == nil {
				m.Next = []report.Next{readAlso("show running-config all sysopt, and the outside list", "says whether permit-vpn is off or a vpn-filter denies")}
			}
			out = append(out, m)
		}
		return out
	},
}

// inward: the packet of a deny line came from the peer's protected network.
func (e *End) inward(ev facts.Event) bool {
	if a, b := interfacesOf(ev.Text); a != "" && a == b {
		return false // turned round on one interface: hairpin-disabled
	}
	if len(ev.Addrs) < 2 {
		return true
	}
	nets := e.protected()
	return len(nets) == 0 || slices.ContainsFunc(nets, func(n network) bool { return n.dst.Contains(ev.Addrs[0]) && n.src.Contains(ev.Addrs[1]) })
}

// filterNames are the vpn-filter lists of this device.
func (e *End) filterNames() []string {
	c := e.Config()
	if c == nil {
		return nil
	}
	var out []string
	for _, list := range [][]facts.GroupPolicy{c.GroupPolicies, c.Users} {
		for _, g := range list {
			if a, ok := facts.Get(g.Attrs, "vpn-filter"); ok && a.Value != "none" && a.Value != "" {
				out = append(out, a.Value)
			}
		}
	}
	return out
}

var vpnFilter = Condition{
	ID:        "vpn-filter-denies",
	Cause:     "a vpn-filter denies the tunnel's traffic",
	Shows:     "106103; the group policy's vpn-filter list without a line for the flow, or written the wrong way round",
	Severity:  report.Critical,
	Reference: "group-policy vpn-filter; %ASA-4-106103, %ASA-5-113030, %ASA-4-113034",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			m := Match{Key: e.Label()}
			policy, list, turn := "", "", false
			var missing network
			var missed []facts.Place
			for _, g := range e.groups() {
				if c == nil {
					break
				}
				name, _ := policyOf(g)
				a, owner, ok := policyAttr(c, name, "vpn-filter")
				if !ok || a.Value == "none" || a.Value == "" {
					continue
				}
				l := c.ACL(a.Value)
				if l == nil {
					if !c.Partial && len(c.ACLs) > 0 {
						policy, list = owner, a.Value
						m.Clues = append(m.Clues, For(2.6, fmt.Sprintf("the vpn-filter %s names a list that does not exist", a.Value), a.Place))
					}
					continue
				}
				if policy == "" {
					policy, list = owner, a.Value
				}
				for _, n := range e.filtered(g) {
					if line, ok := wrongWay(l, n); ok && admits(l, n.turned()) == 0 {
						// Part of the list is right: it takes somebody who misses the flow.
						turn, missing = true, n
						m.Clues = append(m.Clues, For(2.2, fmt.Sprintf("this line of %s is written the other way round: it must name the remote side (%s) as source", list, n.dst), line.Place, a.Place))
						if missed = t.missed(n); len(missed) > 0 {
							m.Clues = append(m.Clues, For(1.8, "people miss a flow of this tunnel", missed...))
						}
						break
					}
					switch admits(l, n.turned()) {
					case -1:
						policy, list, missing = owner, a.Value, n
						if admits(l, n) >= 0 {
							turn = true
							m.Clues = append(m.Clues, For(4, fmt.Sprintf("the list is written the other way round: it must name the remote side (%s) as source", n.dst), a.Place, firstPlace(l, n), n.place))
						} else {
							m.Clues = append(m.Clues, For(3.4, fmt.Sprintf("no line of %s permits %s", a.Value, n.turned()), a.Place, l.Place, n.place))
						}
					case 0:
						m.Clues = append(m.Clues, For(0.4, fmt.Sprintf("%s permits a part of %s only", a.Value, n.turned()), a.Place))
						continue
					default:
						continue
					}
					break
				}
				if len(m.Clues) > 3 {
					break
				}
			}
			var denied []facts.Event
			for _, ev := range e.Events() {
				switch {
				case ev.ID == "106103" && hasAny(ev.Text, "denied"):
					denied = append(denied, ev)
				case (ev.ID == "106100" || ev.ID == "106023") && hasAny(ev.Text, "den"):
					if slices.ContainsFunc(e.filterNames(), func(f string) bool {
						return strings.Contains(ev.Text, "access-list "+f+" ") || strings.Contains(ev.Text, "\""+f+"\"")
					}) {
						denied = append(denied, ev)
					}
				}
			}
			if len(denied) > 0 && e.filterConcerns(denied) {
				m.Clues = append(m.Clues, For(3.8, "the filter denies packets of the session", at(denied...)...))
				if list == "" {
					list = wordAfter(denied[0].Text, "access-list ")
				}
			}
			for _, ct := range e.Device.Counters {
				if ct.Group == "access-list" && list != "" && ct.Value > 0 && strings.HasPrefix(ct.Name, list+" ") && hasAny(ct.Text, " deny ") {
					denied = append(denied, facts.Event{Text: ct.Text, Place: ct.Place})
					m.Clues = append(m.Clues, For(2.8, fmt.Sprintf("the filter's deny line has %d hits", ct.Value), ct.Place))
					break
				}
			}
			if x := withID(e.Events(), "113030", "113034"); len(x) > 0 {
				m.Clues = append(m.Clues, For(3, "a list that AAA sends is missing or ignored", at(x...)...))
			}
			for _, tr := range e.tracesOf() {
				if ph, ok := stoppedAt(tr); ok && hasAny(ph.Subtype, "filter-aaa", "vpn-user", "vpn-filter") {
					m.Clues = append(m.Clues, For(3.6, "packet-tracer stops at the session's filter", ph.Place))
				}
			}
			if !slices.ContainsFunc(m.Clues, func(cl Clue) bool { return cl.Weight >= 2 }) {
				continue
			}
			if f := e.counters(); f.ok && f.decaps > 0 && f.encaps == 0 {
				m.Clues = append(m.Clues, For(1, "packets are decrypted and get no further", f.place("decaps"), f.place("encaps")))
			} else if f.ok && f.decaps > 0 && f.encaps > 0 && len(denied)+len(missed) == 0 {
				m.Clues = append(m.Clues, Against(2, "the tunnel carries traffic both ways", f.place("encaps")))
			}
			if policy == "" {
				policy = "<group policy>"
			}
			if list == "" {
				list = "<acl>"
			}
			remote, local := "<remote>", "<local>"
			if !missing.src.IsValid() && len(denied) > 0 {
				missing = e.networkOf(denied[0])
			}
			if missing.src.IsValid() {
				remote, local = masked(missing.dst), masked(missing.src)
			}
			m.Title = fmt.Sprintf("The vpn-filter %s on %s denies traffic of the tunnel to %s", list, e.Label(), e.PeerLabel())
			m.Explanation = fmt.Sprintf("Group policy %s filters what this session may carry with list %s; packets that no line permits are dropped after decryption, and before encryption.", policy, list)
			if turn {
				m.Explanation += " The list names the local network as source: a vpn-filter is written from the remote side and then works in both directions."
			}
			if len(denied) > 0 {
				m.Explanation += " " + denied[0].Text
			}
			m.Actions = []report.Action{advise(e, []string{fmt.Sprintf("access-list %s extended permit ip %s %s", list, remote, local)},
				"remote network as source, local as destination; one line serves both directions",
				fmt.Sprintf("or as a test: group-policy %s attributes, vpn-filter none. That takes the filter away: everything the peer sends reaches the inside", policy),
				"it takes effect with the next session: log this one off")}
			out = append(out, m)
		}
		return out
	},
}

// networkOf is the protected pair (own, remote) that a packet of a log line belongs to.
func (e *End) networkOf(ev facts.Event) network {
	for _, n := range e.protected() {
		for i := 1; i < len(ev.Addrs); i++ {
			if n.inside(ev.Addrs[i-1], ev.Addrs[i]) {
				return n
			}
		}
	}
	return network{}
}

// filtered are the pairs (own, remote) that a tunnel-group's filter must let pass: the
// protected networks of a site, the pools of a client group.
func (e *End) filtered(g facts.TunnelGroup) []network {
	if g.Type != "remote-access" {
		return e.protected()
	}
	c := e.Config()
	var out []network
	a, ok := facts.Get(g.Attrs, "address-pool")
	if !ok {
		return nil
	}
	for _, p := range c.Pools {
		dst, ok := poolNet(p)
		if !ok || !slices.Contains(strings.Fields(a.Value), p.Name) {
			continue
		}
		for _, i := range c.Interfaces {
			if i.Name == "inside" && i.Address.IsValid() {
				out = append(out, network{i.Address.Masked(), dst, p.Place})
			}
		}
	}
	return out
}

// filterConcerns: one of the lines names this tunnel's peer or its networks, or the device
// has no other tunnel.
func (e *End) filterConcerns(evs []facts.Event) bool {
	return e.alone() || slices.ContainsFunc(evs, func(ev facts.Event) bool {
		return e.Names(ev) || len(ev.Addrs) > 1 && e.carries(ev.Addrs[0], ev.Addrs[1]) || len(ev.Addrs) > 2 && e.carries(ev.Addrs[len(ev.Addrs)-2], ev.Addrs[len(ev.Addrs)-1])
	}) || len(e.protected()) == 0
}

// firstPlace is the first line of a list that touches a pair.
func firstPlace(l *facts.ACL, n network) facts.Place {
	for _, a := range l.Entries {
		for _, o := range pairsOf(a) {
			if o.src.Overlaps(n.src) && o.dst.Overlaps(n.dst) {
				return a.Place
			}
		}
	}
	return l.Place
}

// wordAfter returns the word behind a fixed text.
func wordAfter(s, fixed string) string {
	_, rest, ok := strings.Cut(s, fixed)
	if !ok {
		return ""
	}
	f := strings.Fields(rest)
	if len(f) == 0 {
		return ""
	}
	return strings.Trim(f[0], "\",.")
}

var policyConflict = Condition{
	ID:        "tunnel-group-policy-conflict",
	Cause:     "tunnel-group and group policy allow different protocols",
	Shows:     "713206, 751008; vpn-tunnel-protocol in the policy, its parent or the user",
	Severity:  report.Critical,
	Reference: "%ASA-3-713206 Tunnel Rejected: Conflicting protocols specified by tunnel-group and group-policy; %ASA-3-751008",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			m := Match{Key: e.Label()}
			group, policy, allowed := "", "", ""
			word := "IPSec"
			if !e.old() {
				word = "ikev1"
			}
			user := ""
			var rejected []facts.Event
			for _, ev := range append(withID(e.Events(), "713206", "751008"), saying(withoutID(e.Events(), "713206", "751008"), "conflicting protocols specified by tunnel-group", "not enabled in group policy")...) {
				rejected = append(rejected, ev)
				if ev.Group != "" {
					group = ev.Group
				}
				if ev.User != "" {
					user = ev.User
				}
				if ev.ID == "751008" || hasAny(ev.Text, "ikev2 not enabled") {
					word = "ikev2"
				}
			}
			if len(rejected) > 0 {
				m.Clues = append(m.Clues, For(4.6, "the tunnel is rejected: its group policy does not allow this protocol", at(rejected...)...))
			}
			where := facts.Place{}
			if c != nil {
				named := group
				if tg := e.TunnelGroup(); named == "" && tg != nil {
					named = tg.Name
				}
				for _, g := range ofBox(e, "groups by name", func() map[string][]facts.TunnelGroup { return byName(c) })[named] {
					name, from := policyOf(g)
					a, owner, ok := policyAttr(c, name, "vpn-tunnel-protocol")
					for _, u := range c.Users {
						if x, has := facts.Get(u.Attrs, "vpn-tunnel-protocol"); has && u.Name == user && user != "" {
							a, owner, ok = x, "username "+user, true
						}
					}
					policy = name
					if !ok {
						continue
					}
					policy, allowed, where = owner, a.Value, a.Place
					need := e.protocols()
					if g.Type == "ipsec-l2l" && len(need) > 0 && !slices.ContainsFunc(need, func(p string) bool { return allows(a.Value, p) }) {
						w := 3.2
						switch {
						case len(rejected) > 0:
							w = 1
						case owner == "DfltGrpPolicy":
							w = 1.8 // inherited: it may have been meant for clients only
						}
						if p, asked := e.askedIKE(); asked && len(e.IKE()) == 0 && len(rejected) == 0 {
							m.Clues = append(m.Clues, For(1, "no IKE SA with the peer", p))
						}
						m.Clues = append(m.Clues, For(w, fmt.Sprintf("group policy %s allows %s only, the crypto map entry needs %s", owner, a.Value, strings.Join(need, " or ")), a.Place, from, g.Place))
					} else if len(rejected) > 0 {
						m.Clues = append(m.Clues, For(0.8, fmt.Sprintf("%s allows %s", owner, a.Value), a.Place, from))
					}
				}
			}
			if len(m.Clues) == 0 {
				continue
			}
			if up := e.phase2Up(); up && len(rejected) == 0 {
				m.Clues = append(m.Clues, Against(4, "IPsec SAs with the peer exist"))
			}
			if policy == "" {
				policy = "<group policy>"
			}
			if group == "" {
				group = e.PeerLabel()
			}
			who := "group policy " + policy
			head := []string{"group-policy " + policy + " attributes"}
			if strings.HasPrefix(policy, "username ") {
				who = policy
				head = []string{policy + " attributes"}
			}
			line := " vpn-tunnel-protocol " + strings.TrimSpace(word+" "+allowed)
			if allows(allowed, word) {
				line = " vpn-tunnel-protocol " + allowed
			}
			m.Title = fmt.Sprintf("%s rejects tunnels of group %s: %s does not allow %s", e.Label(), group, who, strings.ToUpper(word[:1])+word[1:])
			m.Explanation = fmt.Sprintf("The tunnel-group takes the connection, and %s that applies to it allows other tunnel protocols", who)
			if allowed != "" {
				m.Explanation += " (" + allowed + ")"
			}
			m.Explanation += ", so the device refuses it (conflicting protocols)."
			if where.Source == "" && c != nil {
				m.Explanation += " The policy may inherit the list from DfltGrpPolicy, or the user's own attributes override it."
			}
			if user != "" {
				m.Explanation += " User: " + user + "."
			}
			m.Actions = []report.Action{advise(e, append(head, line), "the line replaces the list: name every protocol in use", "the same under username <user> attributes when it stands there")}
			if c == nil {
				m.Next = []report.Next{readAlso("tunnel-group, group-policy and username sections", "shows where the list of protocols stands")}
			}
			out = append(out, m)
		}
		return out
	},
}

// withoutID returns the events with none of the ids.
func withoutID(evs []facts.Event, ids ...string) []facts.Event {
	return slices.DeleteFunc(slices.Clone(evs), func(ev facts.Event) bool { return slices.Contains(ids, ev.ID) })
}

// protocols are the words of vpn-tunnel-protocol that this tunnel's entries can use.
func (e *End) protocols() []string {
	var out []string
	for _, m := range e.Entries() {
		if len(m.Transforms) > 0 {
			out = append(out, "ikev1")
		}
		if len(m.Proposals) > 0 {
			out = append(out, "ikev2")
		}
	}
	return out
}

// allows tells whether a vpn-tunnel-protocol line has a protocol; IPSec is the old word for IKEv1.
func allows(list, protocol string) bool {
	for _, w := range strings.Fields(strings.ToLower(list)) {
		if w == protocol || w == "ipsec" && (protocol == "ikev1" || protocol == "IPSec") || w == "ikev1" && protocol == "IPSec" {
			return true
		}
	}
	return false
}

func byName(c *facts.Config) map[string][]facts.TunnelGroup {
	out := make(map[string][]facts.TunnelGroup, len(c.TunnelGroups))
	for _, g := range c.TunnelGroups {
		out[g.Name] = append(out[g.Name], g)
	}
	return out
}
