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

var noNATExemption = Condition{
	ID:       "no-nat-exemption",
	Cause:    "traffic for the tunnel is translated",
	Shows:    "305005, 305006; no nat 0, identity rule or route-map deny for the tunnel's networks, or one below the rule that catches them; packet-tracer stops at NAT; encaps 0 with decaps",
	Severity: report.Critical, Prefer: []string{"nat-exemption-with-ports"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, NAT exemption; %ASA-3-305005, %ASA-3-305006; packet-tracer phase NAT",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			m := Match{Key: e.Label()}
			var bad []network
			var rule, list string
			var late bool
			c := e.Config()
			seen := map[string]bool{}
			for _, n := range e.protected() {
				if c == nil || seen[n.String()] || len(bad) > 20 {
					continue
				}
				seen[n.String()] = true
				v, known := e.translate(n)
				if !known || !v.hit {
					continue
				}
				bad = append(bad, n)
				if len(bad) > 1 {
					continue
				}
				w := 3.2
				note := fmt.Sprintf("no exemption covers %s, and this rule translates it", n)
				switch {
				case v.rule.Form == "nat-control":
					note = fmt.Sprintf("nat-control is on and no rule lets %s pass", n)
				case v.late != nil:
					late = true
					note = fmt.Sprintf("this rule catches %s before the exemption below it", n)
				case !v.whole:
					w = 2.6
					note = fmt.Sprintf("the exemption leaves %s out, and this rule translates it", v.part)
				}
				rule = v.rule.Place.Text
				list = strings.Join(v.lists, ", ")
				where := []facts.Place{v.rule.Place, n.place}
				if v.rule.ACL != "" {
					if l := c.ACL(v.rule.ACL); l != nil {
						where = append(where, l.Place)
					}
				}
				if v.late != nil {
					where = append(where, v.late.Place)
				}
				m.Clues = append(m.Clues, For(w, note, append(where, v.where...)...))
				if sa, ok := e.saOf(n); ok && sa.Encaps == 0 && sa.Decaps > 0 {
					m.Clues = append(m.Clues, For(1.6, fmt.Sprintf("the SA for %s receives and encrypts nothing", n), place(sa, "encaps"), place(sa, "decaps")))
				} else if ok && sa.Encaps == 0 && sa.Decaps == 0 {
					m.Clues = append(m.Clues, For(0.6, "nothing is encrypted", place(sa, "encaps")))
				} else if ok && sa.Encaps > 0 && sa.Decaps > 0 {
					m.Clues = append(m.Clues, Against(2.5, "this pair of networks is encrypted both ways", place(sa, "encaps")))
				}
			}
			if x, ok := t.poolTranslated(e); ok {
				bad = append(bad, x.net)
				rule = x.by.rule.Place.Text
				m.Clues = append(m.Clues, For(2.8, fmt.Sprintf("no exemption covers %s to the client pool %s, and this rule translates it", x.net.src, x.pool.Name), append([]facts.Place{x.by.rule.Place, x.pool.Place}, x.listed...)...))
				if len(x.missed) > 0 {
					m.Clues = append(m.Clues, For(1.4, fmt.Sprintf("users do not reach %s", x.net.src), x.missed...))
				}
			}
			configured := len(m.Clues) > 0
			if x := e.lost("305005"); len(x) > 0 {
				m.Clues = append(m.Clues, For(weight(configured, 2.2, 3.6), e.Label()+" finds no translation for packets that belong into the tunnel", at(x...)...))
			}
			var regular []facts.Event
			for _, ev := range e.lost("305006") {
				if hasAny(ev.Text, "regular translation") && !hasAny(ev.Text, "protocol 50", "protocol esp", " esp ") {
					regular = append(regular, ev)
				}
			}
			if len(regular) > 0 {
				m.Clues = append(m.Clues, For(weight(configured, 2, 3.4), "a translation is tried and fails", at(regular...)...))
			}
			if x := e.lost("305013"); len(x) > 0 && configured && !late {
				m.Clues = append(m.Clues, For(1.6, "the way back meets the translation rule", at(x...)...))
			}
			for _, tr := range e.tracesOf() {
				if ph, ok := stoppedAt(tr); ok && hasAny(ph.Type, "nat") {
					if !hasAny(ph.Subtype+tr.DropReason, "rpf") {
						m.Clues = append(m.Clues, For(3, "packet-tracer stops at NAT", ph.Place))
					} else if configured && !late {
						m.Clues = append(m.Clues, For(1, "packet-tracer: the way back meets the translation rule", ph.Place))
					}
					continue
				}
				for _, ph := range tr.Phases {
					if !hasAny(ph.Type, "nat") || hasAny(ph.Type+ph.Subtype, "exempt", "un-nat", "rpf", "per-session", "host-limits") {
						continue
					}
					text := strings.Join(ph.Text, " ")
					if i := strings.Index(syslog.Lower(text), "translate "); i >= 0 && translatedAway(text[i:], tr.Src) {
						m.Clues = append(m.Clues, For(3, "packet-tracer shows the source being translated", e.traceLine(ph, "translate ")))
						break
					}
				}
			}
			if p, ok := e.seenTranslated(); ok {
				m.Clues = append(m.Clues, For(2.4, "the translation table has a packet of the tunnel", p))
			}
			if len(m.Clues) == 0 || !slices.ContainsFunc(m.Clues, func(cl Clue) bool { return cl.Weight >= 2.2 }) {
				continue
			}
			if c != nil && len(e.protected()) > 0 && !configured {
				if v, known := e.translate(e.protected()[0]); known && !v.hit {
					m.Clues = append(m.Clues, Against(1.5, "the exemption stands in the configuration"))
				}
			}
			what := "traffic for the tunnel"
			if len(bad) > 0 {
				what = pairsText(bad)
			}
			m.Title = fmt.Sprintf("%s translates %s instead of sending it into the tunnel to %s", e.Label(), what, e.PeerLabel())
			m.Explanation = fmt.Sprintf("The crypto access list is compared after NAT. On %s %s is translated first, so it no longer matches the list and leaves in the clear or is dropped; the far end's packets arrive and get no answer.", e.Label(), what)
			if rule != "" {
				m.Explanation += " The rule that takes it: " + rule + "."
			}
			if list != "" {
				m.Explanation += " Exemption list: " + list + "."
			}
			if late {
				m.Explanation += " An exemption is there, but below: the first rule that fits wins."
			}
			m.Actions = []report.Action{e.exemptAction(bad, list)}
			if len(bad) == 0 {
				m.Next = []report.Next{readAlso("the configuration (nat, global, access lists, crypto map)", "names the exemption that is missing")}
			}
			out = append(out, m)
		}
		return out
	},
}

// weight picks the first value when the configuration shows the fault already.
func weight(configured bool, with, alone float64) float64 {
	if configured {
		return with
	}
	return alone
}

// lost returns translation messages about packets of this tunnel or, on a gateway with
// client pools, about a client's address.
func (e *End) lost(id string) []facts.Event {
	out := e.innerEvents(id)
	c := e.Config()
	if c == nil || len(c.Pools) == 0 {
		return out
	}
	for _, ev := range e.logged(id) {
		if slices.ContainsFunc(ev.Addrs, func(a netip.Addr) bool {
			return slices.ContainsFunc(c.Pools, func(p facts.Pool) bool { return inPool(p, a) })
		}) && !slices.ContainsFunc(out, func(o facts.Event) bool { return o.Place == ev.Place }) {
			out = append(out, ev)
		}
	}
	return out
}

func inPool(p facts.Pool, a netip.Addr) bool {
	return a.IsValid() && p.From.IsValid() && p.To.IsValid() && p.From.Compare(a) <= 0 && a.Compare(p.To) <= 0
}

// translatedAway: "translate 10.1.1.5/0 to 192.0.2.1/512" with another address behind "to".
func translatedAway(text string, src netip.Addr) bool {
	f := strings.Fields(text)
	for i := 0; i+3 < len(f); i++ {
		if !strings.EqualFold(f[i], "translate") || f[i+2] != "to" {
			continue
		}
		a, b := addrOf(f[i+1]), addrOf(f[i+3])
		if a.IsValid() && b.IsValid() && a != b && (!src.IsValid() || a == src) {
			return true
		}
	}
	return false
}

// addrOf reads an address with or without "interface:" before it and a port behind it.
func addrOf(s string) netip.Addr {
	s = strings.Trim(s, ",.;()")
	if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.Count(s, ":") == 1 {
		if a, err := netip.ParseAddr(s[:i]); err == nil {
			return a
		}
		s = s[i+1:]
	}
	s, _, _ = strings.Cut(s, "/")
	a, _ := netip.ParseAddr(s)
	return a
}

// seenTranslated finds a row of an IOS translation table whose inside and outside hosts are
// a pair of this tunnel: "icmp GLOBAL LOCAL REMOTE REMOTE".
func (e *End) seenTranslated() (facts.Place, bool) {
	for _, o := range e.Device.Outputs {
		if !strings.HasPrefix(o.Command, "show ip nat translation") {
			continue
		}
		for _, l := range o.Text {
			f := strings.Fields(l.Text)
			if len(f) < 5 {
				continue
			}
			global, local, remote := addrOf(f[1]), addrOf(f[2]), addrOf(f[4])
			if global.IsValid() && local.IsValid() && remote.IsValid() && global != local && e.carries(local, remote) {
				return facts.Place{Source: o.Place.Source, Line: l.N, Text: strings.TrimSpace(l.Text)}, true
			}
		}
	}
	return facts.Place{}, false
}

// lostToPool is a client pool whose traffic from a network behind the gateway is translated.
type lostToPool struct {
	net    network
	by     translation
	pool   facts.Pool
	listed []facts.Place // the split list's line that names the network
	missed []facts.Place // where users say that they do not reach it
}

// poolTranslated finds one. It speaks once per device: on the tunnel without a static entry,
// else on the first. The inside network is one that clients need; another (a DMZ) is when the
// pool's split list names it, or when users miss it.
func (t *Tunnel) poolTranslated(e *End) (*lostToPool, bool) {
	c := e.Config()
	if c == nil || !e.isASA() || len(e.Entries()) > 0 && e.Peer.IsValid() && hasStatic(c) && !e.first() {
		return nil, false
	}
	x := ofBox(e, "pool translated", func() *lostToPool { return t.lookForLostPool(e, c) })
	return x, x != nil
}

func (t *Tunnel) lookForLostPool(e *End, c *facts.Config) *lostToPool {
	for _, p := range c.Pools {
		dst, ok := poolNet(p)
		if !ok || !poolUsed(c, p.Name) {
			continue
		}
		for _, i := range c.Interfaces {
			if !i.Address.IsValid() || i.Shutdown || i.Security <= 0 {
				continue
			}
			x := lostToPool{net: network{src: i.Address.Masked(), dst: dst, place: p.Place}, pool: p}
			if x.net.src.Overlaps(dst) {
				continue
			}
			if x.by, ok = e.translate(x.net); !ok || !x.by.hit || !x.by.whole {
				continue
			}
			x.listed, x.missed = t.needs(e, p.Name, x.net.src)
			if strings.EqualFold(i.Name, "inside") || len(x.listed) > 0 || len(x.missed) > 0 {
				return &x
			}
		}
	}
	return nil
}

// needs returns the lines of split lists that name a network for the users of a pool, and
// where users say that they do not reach it.
func (t *Tunnel) needs(e *End, pool string, net netip.Prefix) (listed, missed []facts.Place) {
	s := t.everything()
	g := s.gateway(e.Device)
	for _, x := range g.groups {
		mode, list, _, _ := x.split()
		acl := e.Config().ACL(list)
		if !x.used || mode != tunnelSpecified || acl == nil || !slices.Contains(x.pools(), pool) {
			continue
		}
		for _, a := range acl.Entries {
			if a.Permit && !a.Inactive && !a.SrcAny && slices.ContainsFunc(a.Src, func(p netip.Prefix) bool { return p.Overlaps(net) && p.Bits() > 8 }) {
				listed = append(listed, a.Place)
				break
			}
		}
	}
	for _, w := range s.wants(g) {
		if net.Overlaps(w.net) && w.net.Bits() >= net.Bits() {
			missed = append(missed, w.places...)
		}
	}
	return listed, missed
}

func hasStatic(c *facts.Config) bool {
	return slices.ContainsFunc(c.MapEntries, func(m facts.MapEntry) bool { return !m.DynamicMap && m.Dynamic == "" })
}

// first: this tunnel's peer is the first of the crypto map.
func (e *End) first() bool {
	for _, m := range e.Config().MapEntries {
		if !m.DynamicMap && len(m.Peers) > 0 {
			return slices.ContainsFunc(m.Peers, e.Mine)
		}
	}
	return true
}

// poolNet is the smallest network that holds the pool.
func poolNet(p facts.Pool) (netip.Prefix, bool) {
	if !p.From.Is4() || !p.To.Is4() {
		return netip.Prefix{}, false
	}
	for bits := 32; bits > 0; bits-- {
		if n, err := p.From.Prefix(bits); err == nil && n.Contains(p.To) {
			return n, bits >= 8
		}
	}
	return netip.Prefix{}, false
}

// poolUsed: a tunnel-group or a group policy hands out the pool.
func poolUsed(c *facts.Config, name string) bool {
	uses := func(attrs []facts.Attr) bool {
		for _, a := range attrs {
			if (a.Key == "address-pool" || a.Key == "address-pools") && slices.Contains(strings.Fields(a.Value), name) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(c.TunnelGroups, func(g facts.TunnelGroup) bool { return uses(g.Attrs) }) ||
		slices.ContainsFunc(c.GroupPolicies, func(g facts.GroupPolicy) bool { return uses(g.Attrs) })
}

// exemptAction shows the exemption for this device's platform and version.
func (e *End) exemptAction(bad []network, list string) report.Action {
	local, remote := "<local>", "<remote>"
	var n network
	if len(bad) > 0 {
		n = bad[0]
		local, remote = masked(n.src), masked(n.dst)
	}
	iface, outside := "inside", "outside"
	if h, ok := e.egress(n.src); ok && n.src.IsValid() && h.iface != "" {
		iface = h.iface
	}
	if b := e.boundTo(); len(b) > 0 {
		outside = b[0]
	}
	switch {
	case e.isIOS():
		if n.src.IsValid() {
			local, remote = wild(n.src), wild(n.dst)
		}
		name, _, _ := strings.Cut(list, ",")
		if name == "" {
			name = "<nat list>"
		}
		return advise(e, []string{"ip access-list extended " + name, "<number lower than the permit> deny ip " + local + " " + remote},
			"the deny must stand above the permit: a line appended to a numbered list lands below it and does nothing",
			"then clear the old translations of these hosts: clear ip nat translation inside <global> <local>")
	case e.Device.Version.Before(8, 3):
		name, _, _ := strings.Cut(list, ",")
		if name == "" {
			name = "NONAT"
		}
		return advise(e, []string{"access-list " + name + " extended permit ip " + local + " " + remote, "nat (" + iface + ") 0 access-list " + name},
			"then clear xlate local <inside host>: old translations stay until then (without local it cuts everybody)",
			"an exemption that is right and does not work: remove it and enter it again")
	}
	cmds := []string{"object network obj-local", " subnet " + local, "object network obj-remote", " subnet " + remote,
		"nat (" + iface + "," + outside + ") 1 source static obj-local obj-local destination static obj-remote obj-remote no-proxy-arp route-lookup"}
	for i, s := range cmds {
		cmds[i] = strings.Replace(s, "subnet host ", "host ", 1)
	}
	return advise(e, cmds, "the number 1 puts it above the dynamic rules", "then clear xlate local <inside host>: old translations stay until then", "servers in a DMZ: the pair is (dmz,"+outside+")")
}

var natExemptionPorts = Condition{
	ID:        "nat-exemption-with-ports",
	Cause:     "the NAT exemption list names ports",
	Shows:     "eq or range in a list used by nat 0",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, NAT exemption (wrong example with eq 25)",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			if c == nil || e.isIOS() {
				continue
			}
			nets := e.protected()
			for _, r := range c.NAT {
				l := c.ACL(r.ACL)
				if r.Form != "nat0" || l == nil {
					continue
				}
				var bad []facts.ACE
				var where []facts.Place
				for _, a := range l.Entries {
					if !a.Permit || a.Inactive || a.SrcPort == "" && a.DstPort == "" {
						continue
					}
					ps := pairsOf(a)
					fits := len(nets) == 0 || slices.ContainsFunc(ps, func(o network) bool {
						return slices.ContainsFunc(nets, func(n network) bool { return n.src.Overlaps(o.src) && n.dst.Overlaps(o.dst) })
					}) || slices.ContainsFunc(ps, func(o network) bool {
						return slices.ContainsFunc(c.Pools, func(p facts.Pool) bool { return o.dst.Contains(p.From) })
					})
					// An entry with ip for the same networks does the work.
					whole := len(ps) > 0
					for _, o := range ps {
						left, _ := exempted(l, []network{o})
						whole = whole && len(left) == 0
					}
					if fits && !whole {
						bad = append(bad, a)
						where = append(where, a.Place)
					}
				}
				if len(bad) == 0 {
					continue
				}
				m := Match{Key: e.Label() + " " + l.Name, Clues: []Clue{For(4.2, "the exemption names ports", append(where, r.Place)...)}}
				if x := e.lost("305005"); len(x) > 0 {
					m.Clues = append(m.Clues, For(1, "no translation is found for packets of the tunnel", at(x...)...))
				}
				fix := []string{}
				for _, a := range bad {
					fix = append(fix, "no "+a.Place.Text)
					for _, o := range pairsOf(a) {
						if len(fix) < 8 {
							fix = append(fix, fmt.Sprintf("access-list %s extended permit ip %s %s", l.Name, masked(o.src), masked(o.dst)))
						}
					}
				}
				m.Title = fmt.Sprintf("The NAT exemption list %s on %s names ports, which does not work", l.Name, e.Label())
				m.Explanation = fmt.Sprintf("nat (%s) 0 access-list %s exempts by network only. Its entry \"%s\" names a port, so the device does not exempt this traffic as meant and it never matches the crypto access list for %s. Ports belong into an interface list or a vpn-filter.", r.RealIf, l.Name, bad[0].Place.Text, e.PeerLabel())
				m.Actions = []report.Action{advise(e, fix, "rewrite the entry with ip and networks only")}
				out = append(out, m)
			}
		}
		return out
	},
}

var asymmetricNAT = Condition{
	ID:        "asymmetric-nat",
	Cause:     "forward and reverse flow match different NAT rules",
	Shows:     "305013; packet-tracer drop rpf-check",
	Severity:  report.Critical,
	Reference: "%ASA-5-305013 Asymmetric NAT rules matched for forward and reverse flows; packet-tracer phase NAT rpf-check",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			m := Match{Key: e.Label()}
			x := e.lost("305013")
			if len(x) == 0 && e.Config() != nil && len(e.protected()) > 0 {
				x = nil
			} else if len(x) == 0 {
				x = e.logged("305013")
			}
			if len(x) > 0 {
				m.Clues = append(m.Clues, For(3.8, "forward and reverse flow match different NAT rules", at(x...)...))
			}
			for _, tr := range e.tracesOf() {
				if ph, ok := stoppedAt(tr); ok && hasAny(ph.Type, "nat") && hasAny(ph.Subtype+tr.DropReason, "rpf") {
					m.Clues = append(m.Clues, For(3.8, "packet-tracer stops at NAT with rpf-check", ph.Place, e.traceLine(ph, "drop-reason")))
				}
			}
			if len(m.Clues) == 0 {
				continue
			}
			detail := ""
			for _, n := range e.protected() {
				v, known := e.translate(n)
				if !known || !v.hit {
					continue
				}
				if v.late != nil || !v.whole {
					m.Clues = append(m.Clues, For(2, "an exemption is there and does not cover both ways", v.rule.Place, n.place))
					detail = fmt.Sprintf(" Here this rule catches %s before or beside its exemption: %s.", v.part, v.rule.Place.Text)
				} else {
					m.Clues = append(m.Clues, Against(2.4, "no rule exempts the flow at all: the exemption is missing"))
				}
				break
			}
			if _, ok := t.poolTranslated(e); ok {
				m.Clues = append(m.Clues, Against(2.4, "no rule exempts the client pool at all"))
			}
			who := ""
			if len(x) > 0 {
				who = " " + x[0].Text
			}
			m.Title = fmt.Sprintf("On %s packets of a flow match one NAT rule on the way out and another on the way back", e.Label())
			m.Explanation = "The device drops a connection whose reverse direction would be translated by another rule than its forward direction (NAT reverse path failure). An exemption covers one direction only, stands below a broader rule, or the host is addressed by its real address where its mapped one is due." + detail + who
			m.Actions = []report.Action{advise(e, nil, "put the identity rule of the tunnel's networks first", "address the host by its mapped address when it is not on the same interface",
				"enable inspect when the application embeds addresses", "packet-tracer in both directions shows the two rules")}
			out = append(out, m)
		}
		return out
	},
}

var natTDisabled = Condition{
	ID:        "nat-t-disabled",
	Cause:     "NAT traversal is off and a NAT is on the path",
	Shows:     "305006 for protocol 50; 713172 with nothing on 4500; no crypto isakmp nat-traversal; nat-t-disable; captures: a NAT seen and native ESP follows",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, enable NAT-Traversal; %ASA-3-305006, %ASA-6-713172; RFC 3947",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var actions []report.Action
		off, nat := "", false
		udp := false
		for _, e := range t.Ends {
			for _, sa := range e.IPsec() {
				udp = udp || inUDP(sa)
			}
			evs := e.Events()
			var esp []facts.Event
			for _, ev := range e.logged("305006") {
				if hasAny(ev.Text, "protocol 50", "protocol esp", " esp ") {
					esp = append(esp, ev)
				}
			}
			if len(esp) > 0 {
				nat = true
				clues = append(clues, For(4, "a device that translates has no translation for ESP (protocol 50): NAT-T is not in use", at(esp...)...))
			}
			if x := behindNAT(withID(evs, "713172")); len(x) > 0 {
				nat = true
				clues = append(clues, For(0.9, "an end is behind a NAT device", at(x...)...))
			}
			if x := saying(evs, "udp tunnel(nat-t)", "udp-tunnel", "encapsulation mode: rcv'd: udp"); len(x) > 0 {
				nat = true
				clues = append(clues, For(3.4, "the peer offers UDP encapsulation and this end takes none", at(x...)...))
			}
			if e.Own.IsValid() && e.Own.IsPrivate() && e.Peer.IsValid() && !e.Peer.IsPrivate() {
				nat = true
				clues = append(clues, For(0.8, e.Label()+" has a private address towards a public peer: it is behind a NAT"))
			}
			c := e.Config()
			var p facts.Place
			how := ""
			cmd := "crypto isakmp nat-traversal 20"
			if e.isIOS() {
				cmd = "crypto ipsec nat-transparency udp-encapsulation"
			}
			if s, ok := c.Setting("crypto isakmp nat-traversal"); ok && s.No {
				how, p = "no crypto isakmp nat-traversal", s.Place
			} else if !ok && c != nil && !c.Partial && e.isASA() && (e.Device.Version.Before(8, 0) || e.Device.Version.Text == "8.0") {
				how, p = "no line crypto isakmp nat-traversal, which is off by default in "+e.Device.Version.Text, c.Place
			}
			if s, ok := c.Setting("crypto ipsec nat-transparency udp-encapsulation"); ok && s.No {
				how, p = "no crypto ipsec nat-transparency udp-encapsulation", s.Place
			}
			for _, m := range e.Entries() {
				if m.NATTDisable {
					how, p = fmt.Sprintf("crypto map %s %d set nat-t-disable", m.Map, m.Sequence), place2(m, "nat-t")
					cmd = fmt.Sprintf("no crypto map %s %d set nat-t-disable", m.Map, m.Sequence)
				}
			}
			if how == "" {
				continue
			}
			off = e.Label()
			w := 2.6
			if strings.HasPrefix(how, "no line") {
				w = 0.8 // the default of the release: it takes a NAT to matter
			}
			clues = append(clues, For(w, "NAT traversal is off on "+e.Label()+": "+how, p))
			actions = append(actions, advise(e, []string{cmd}))
		}
		gone := false
		for _, d := range t.Clients {
			if off == "" || t.carries() {
				break
			}
			if x := behindNAT(d.Events); len(x) > 0 {
				nat = true
				clues = append(clues, For(0.9, "the client is behind a NAT", at(x...)...))
			}
			if x := saying(d.Events, "transparent tunneling: inactive", "tunneling: inactive"); len(x) > 0 {
				clues = append(clues, For(1.2, "the client's ESP does not travel in UDP", at(x...)...))
			}
			if x := saying(d.Events, "reason 412", "remote peer is no longer responding"); len(x) > 0 {
				gone = true
				clues = append(clues, For(1.4, "a client gets no answer", at(x...)...))
			}
		}
		if off != "" && !t.carries() {
			if x := t.said("behind one address", "behind the same address", "behind one public", "same public address", "same public ip", "behind a nat", "behind nat", "behind the same router", "behind one router", "hinter einem nat", "hinter nat", "hinter derselben adresse", "hinter einer adresse", "hinter demselben router", "gleiche öffentliche", "derrière un nat", "derrière la même", "même adresse publique", "detrás de un nat", "detrás de la misma", "misma dirección pública", "misma ip pública"); len(x) > 0 {
				nat = true
				clues = append(clues, For(1.4, "people say that there is a NAT in front of the client", x...))
				for _, e := range t.Ends {
					if y := e.logSays("reason 412", "remote peer is no longer responding"); !gone && len(y) > 0 {
						gone = true
						clues = append(clues, For(1.4, "a client gets no answer", at(y...)...))
					}
				}
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 2.4 }) && !(off != "" && (nat || gone)) {
			return nil
		}
		for _, e := range t.Ends {
			f := e.counters()
			if f.ok && f.encaps > 0 && f.decaps > 0 && !nat {
				clues = append(clues, Against(3.5, "the tunnel carries traffic both ways without it", f.place("decaps")))
			} else if f.ok && f.encaps > 0 && f.decaps == 0 && nat {
				clues = append(clues, For(1, "ESP leaves and nothing comes back", f.place("encaps"), f.place("decaps")))
			}
		}
		if off != "" && nat {
			var where []facts.Place
			for _, c := range clues {
				if strings.Contains(c.Note, "NAT") && !strings.Contains(c.Note, "NAT traversal") {
					where = append(where, c.Places...)
				}
			}
			if len(where) == 0 {
				where = clues[0].Places
			}
			clues = append(clues, For(1.2, "a NAT is on the path", where...))
		}
		if udp {
			clues = append(clues, Against(4.5, "ESP travels in UDP here"))
		}
		where := off
		if where == "" {
			where = t.between()
		}
		if len(actions) == 0 {
			e := (*End)(nil)
			cmds := []string{"crypto isakmp nat-traversal 20"}
			if len(t.Ends) > 0 {
				e = t.Ends[0]
				if e.isIOS() {
					cmds = []string{"crypto ipsec nat-transparency udp-encapsulation"}
				}
			}
			actions = append(actions, advise(e, cmds, "at both VPN ends; the device that logs this need not be one of them"))
		}
		actions = append(actions, advise(nil, nil, "client: enable transparent tunnelling, IPSec over UDP (NAT/PAT)", "a firewall that does the NAT: permit udp 500, udp 4500 and esp"))
		return []Match{{Clues: clues, Actions: actions,
			Title:       "NAT traversal is off (" + where + ") and a NAT stands between " + t.between(),
			Explanation: "A NAT cannot translate ESP (protocol 50) for several hosts: without NAT-T the tunnel negotiates and its packets are lost at the NAT, or one client's session ends another's. With NAT-T ESP travels in UDP 4500. It is off by default in 7.x, on from 8.0(2) and on IOS."}}
	},
}

// carries tells whether ESP of this tunnel arrives: what clients say is then about other ones.
func (t *Tunnel) carries() bool {
	return slices.ContainsFunc(t.Ends, func(e *End) bool { f := e.counters(); return f.ok && f.decaps > 0 })
}

// behindNAT returns the messages that say that an end is behind a NAT, not that none is.
func behindNAT(evs []facts.Event) []facts.Event {
	var out []facts.Event
	for _, ev := range evs {
		s := strings.Join(strings.Fields(strings.ToLower(ev.Text)), " ")
		if strings.Contains(s, "is behind a nat") {
			out = append(out, ev)
		}
	}
	return out
}
