package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// tried is a ping with the device that sent it.
type tried struct {
	facts.Ping
	end    *End // nil for a client's
	device string
}

// pings returns the pings that concern this tunnel: from its ends and from clients, to its
// far networks, its near ones, or its peers.
func (t *Tunnel) pings() []tried {
	var out []tried
	mine := func(a netip.Addr) bool {
		known := false
		for _, e := range t.Ends {
			if e.Mine(a) || e.Known(a) {
				return true
			}
			nets := e.protected()
			known = known || len(nets) > 0
			if slices.ContainsFunc(nets, func(n network) bool { return n.dst.Contains(a) || n.src.Contains(a) }) {
				return true
			}
			if c := e.Config(); c != nil && slices.ContainsFunc(c.Pools, func(p facts.Pool) bool { return inPool(p, a) }) {
				return true
			}
		}
		return !known
	}
	for _, e := range t.Ends {
		for _, p := range e.Device.Pings {
			if mine(p.Target) {
				out = append(out, tried{p, e, e.Label()})
			}
		}
	}
	for _, d := range t.Clients {
		for _, p := range d.Pings {
			if mine(p.Target) {
				out = append(out, tried{p, nil, d.Name})
			}
		}
	}
	return out
}

func (p tried) answered() bool { return p.Received > 0 }
func (p tried) silent() bool   { return p.Sent > 0 && p.Received == 0 }

var managementAccess = Condition{
	ID:        "management-access-missing",
	Cause:     "the inside interface cannot be reached through the tunnel",
	Shows:     "no management-access with failing tests to the interface's own address",
	Severity:  report.Minor,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, management-access",
	Look: func(t *Tunnel) []Match {
		var out []Match
		pings := t.pings()
		for _, e := range t.Ends {
			c := e.Config()
			if c == nil || e.isIOS() || !e.isASA() {
				continue
			}
			set, has := c.Setting("management-access")
			allowed := ""
			if has && !set.No {
				allowed = set.Value
			}
			var clues []Clue
			iface, addr := "", netip.Addr{}
			lookup, identity := false, facts.Place{}
			for _, i := range c.Interfaces {
				a := i.Address.Addr()
				if !a.IsValid() || i.Security == 0 || slices.Contains(e.boundTo(), i.Name) {
					continue
				}
				closed := !strings.EqualFold(allowed, i.Name)
				var rule facts.Place
				if !closed {
					r := e.lookupMissing(i)
					if r == nil || !e.Device.Version.AtLeast(8, 3) {
						continue
					}
					rule = r.Place
				}
				for _, p := range pings {
					if p.Target == a && p.silent() && p.end != e {
						clues = append(clues, For(3, fmt.Sprintf("%s does not answer at %s through the tunnel", i.Name, a), p.Place))
						iface, addr, lookup = i.Name, a, !closed
					}
					if p.end == e && strings.EqualFold(p.Source, i.Name) && p.silent() && closed {
						clues = append(clues, For(1.2, "a ping from "+i.Name+" of this device gets no answer", p.Place))
						iface, addr = i.Name, a
					}
				}
				for _, ev := range t.reached(e, a) {
					clues = append(clues, For(2.4, fmt.Sprintf("a session through the tunnel to %s itself fails", a), ev.Place))
					iface, addr, lookup = i.Name, a, !closed
					break
				}
				if said := t.refused(a); len(said) > 0 {
					clues = append(clues, For(2.6, fmt.Sprintf("people say that %s itself is not reached", a), said...))
					iface, addr, lookup = i.Name, a, !closed
				}
				if iface == i.Name {
					identity = rule
					for _, p := range pings {
						if p.answered() && p.Target != a && i.Address.Contains(p.Target) {
							clues = append(clues, For(1.4, "a host behind it answers", p.Place))
							break
						}
						if p.silent() && p.Target != a && i.Address.Contains(p.Target) && p.end != e {
							clues = append(clues, Against(5, "a host behind it does not answer either", p.Place))
							break
						}
					}
					break
				}
			}
			if iface == "" {
				continue
			}
			switch {
			case lookup:
				clues = append(clues, For(0.6, "management-access is there, and the identity rule has no route-lookup", identity, set.Place))
			case has:
				clues = append(clues, For(0.6, "management-access is set for "+allowed, set.Place))
			default:
				clues = append(clues, For(0.4, "no management-access line stands in the configuration", c.Place))
			}
			if f := e.counters(); f.ok && f.encaps > 0 && f.decaps > 0 {
				clues = append(clues, For(0.6, "the tunnel itself carries traffic both ways", f.place("decaps")))
			}
			cmds := []string{"management-access " + iface}
			steps := []string{"one interface only can have it", "ssh, http and icmp must permit the remote network on " + iface}
			if e.Device.Version.AtLeast(8, 3) || e.Device.Version.Text == "" {
				steps = append(steps, "the identity NAT rule of the tunnel needs route-lookup at its end")
			}
			title := fmt.Sprintf("The %s address of %s (%s) cannot be reached through the tunnel: management-access is missing", iface, e.Label(), addr)
			why := "An ASA answers through a tunnel only on the interface that management-access names. The hosts behind it are reached, the device's own inside address is not."
			if lookup {
				title = fmt.Sprintf("The %s address of %s (%s) cannot be reached through the tunnel: its identity NAT lacks route-lookup", iface, e.Label(), addr)
				why = "management-access is set, and the identity NAT rule takes packets for the device's own inside address to the wrong side: from 8.3 on it needs route-lookup."
				cmds = []string{"nat (" + iface + ",outside) source static <local> <local> destination static <remote> <remote> no-proxy-arp route-lookup"}
			}
			out = append(out, Match{Key: e.Label(), Clues: clues, Title: title, Explanation: why, Actions: []report.Action{advise(e, cmds, steps...)}})
		}
		return out
	},
}

// refused returns what people say about management sessions to this address.
func (t *Tunnel) refused(a netip.Addr) []facts.Place {
	var out []facts.Place
	for _, p := range t.said(a.String()) {
		if hasAny(p.Text, "asdm", "ssh", "https", "telnet", "ping", "snmp") && !hasAny(p.Text, a.String()+".", a.String()+"0") {
			out = append(out, p)
		}
	}
	return out
}

// lookupMissing finds an identity rule of twice NAT that covers the interface and has no route-lookup.
func (e *End) lookupMissing(i facts.Interface) *facts.NATRule {
	all := e.Config().NAT
	at := slices.IndexFunc(all, func(r facts.NATRule) bool {
		return r.Form == "twice" && r.Identity && !r.RouteLook && ifFits(r.RealIf, i.Name) && !r.DstAny &&
			slices.ContainsFunc(r.SrcReal, func(p netip.Prefix) bool { return p.Contains(i.Address.Addr()) })
	})
	if at < 0 {
		return nil
	}
	return &all[at]
}

// reached returns log lines about management sessions to the device's own inside address
// from the far side of the tunnel that were not taken.
func (t *Tunnel) reached(e *End, own netip.Addr) []facts.Event {
	var out []facts.Event
	for _, ev := range e.logged("110003", "110002", "710003", "106014", "106023", "106015", "106001") {
		if len(ev.Addrs) > 1 && ev.Addrs[1] == own && e.touches(ev.Addrs[0]) && ev.ID != "710003" {
			out = append(out, ev)
		}
	}
	return out
}

var pingSource = Condition{
	ID:        "ping-source-wrong",
	Cause:     "the test ping is not interesting traffic",
	Shows:     "an unsourced ping from the device fails, a sourced one works or none was made",
	Severity:  report.Minor,
	Prefer:    []string{"management-access-missing"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, test VPN connectivity properly",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			nets := e.protected()
			far := func(a netip.Addr) bool {
				if len(nets) == 0 {
					return a.IsPrivate() && !e.Known(a)
				}
				return e.touches(a)
			}
			// The own outside address in the access list would make the plain ping interesting traffic.
			if slices.ContainsFunc(nets, func(n network) bool { return e.Own.IsValid() && n.src.Bits() > 0 && n.src.Contains(e.Own) }) {
				continue
			}
			var clues []Clue
			var plain, sourced []facts.Ping
			for _, p := range e.Device.Pings {
				if !far(p.Target) || p.Sent == 0 {
					continue
				}
				if p.Source == "" {
					plain = append(plain, p)
				} else if !e.outside(p.Source) {
					sourced = append(sourced, p)
				} else {
					plain = append(plain, p)
				}
			}
			failed := slices.DeleteFunc(slices.Clone(plain), func(p facts.Ping) bool { return p.Received > 0 })
			if len(failed) == 0 || len(failed) != len(plain) {
				continue
			}
			var where []facts.Place
			for _, p := range failed {
				where = append(where, p.Place)
			}
			clues = append(clues, For(1.8, "a ping without a source from the protected network fails", where[:min(3, len(where))]...))
			good, bad := false, false
			for _, p := range sourced {
				if p.Received > 0 {
					good = true
					clues = append(clues, For(3, "the same with a source inside works", p.Place))
					break
				}
				bad = true
			}
			if bad && !good {
				clues = append(clues, Against(4, "the sourced ping fails too"))
			}
			if len(nets) > 0 {
				clues = append(clues, For(0.6, "the crypto access list does not hold the device's own outside address", nets[0].place))
			}
			for _, x := range t.Ends {
				if st := x.inState("MM_WAIT_MSG", "MM_KEY_EXCH", "AM_WAIT", "MM_SA_SETUP", "AG_INIT"); len(st) > 0 {
					clues = append(clues, Against(2, "a negotiation runs and does not finish", placesOf(st)...))
				}
				f := x.counters()
				if f.ok && (f.encaps == 0) != (f.decaps == 0) && !good {
					clues = append(clues, Against(2, "traffic flows in one direction only", f.place("encaps")))
				}
			}
			target := failed[0].Target
			cmd := "ping inside " + target.String()
			if c := e.Config(); c != nil && len(nets) > 0 {
				if h, ok := e.egress(nets[0].src); ok && h.iface != "" {
					cmd = "ping " + h.iface + " " + target.String()
					if e.isIOS() {
						cmd = "ping " + target.String() + " source " + h.iface
					}
				}
			}
			if e.isIOS() && strings.HasPrefix(cmd, "ping inside") {
				cmd = "ping " + target.String() + " source <inside interface>"
			}
			a := harmless("best from a host behind the device, to a host behind the peer, not to the peer's inside interface", "the first one or two pings of a tunnel that comes up are lost: normal")
			a.Device, a.Commands = e.Label(), []string{cmd}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       fmt.Sprintf("The test ping to %s on %s is not sourced from the protected network, so it proves nothing", target, e.Label()),
				Explanation: fmt.Sprintf("Without a source the device uses its outside address, which the crypto access list for %s does not hold: the ping never enters the tunnel. It says nothing about the tunnel.", e.PeerLabel()),
				Actions:     []report.Action{a}})
		}
		return out
	},
}

// outside tells whether a ping's source is the interface that carries the crypto map.
func (e *End) outside(source string) bool {
	if a, err := netip.ParseAddr(source); err == nil {
		return e.Known(a)
	}
	return slices.ContainsFunc(e.boundTo(), func(b string) bool { return strings.EqualFold(b, source) })
}

var largeICMP = Condition{
	ID:        "large-icmp-signature",
	Cause:     "IDS signatures drop large test pings",
	Shows:     "400023, 400024 with the test's addresses",
	Severity:  report.Minor,
	Reference: "%ASA-4-400024 IDS:2151 Large ICMP packet; %ASA-4-400023 IDS:2150 Fragmented ICMP traffic",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			var mine, other []facts.Event
			evs := append(e.logged("400024", "400023"), withoutID(e.logSays("ids:2151", "ids:2150"), "400024", "400023")...)
			pings := t.pings()
			for _, ev := range evs {
				if len(ev.Addrs) > 1 && (e.carries(ev.Addrs[0], ev.Addrs[1]) || slices.ContainsFunc(pings, func(p tried) bool { return slices.Contains(ev.Addrs, p.Target) }) ||
					len(e.protected()) == 0 && (e.Names(ev) || ev.Addrs[0].IsPrivate() && ev.Addrs[1].IsPrivate())) || len(ev.Addrs) < 2 {
					mine = append(mine, ev)
				} else {
					other = append(other, ev)
				}
			}
			if len(mine) == 0 {
				if len(other) == 0 || len(e.protected()) > 0 {
					continue
				}
				mine = other
			}
			clues := []Clue{For(3.6, "the intrusion signature for large or fragmented ICMP fires on the test pings", at(mine...)...)}
			for _, p := range pings {
				if p.silent() && (p.Size == 0 || p.Size > 1000) {
					clues = append(clues, For(1, "a large ping is lost", p.Place))
					break
				}
			}
			if c := e.Config(); c != nil {
				for _, s := range c.Settings {
					if s.Key == "ip audit signature" && hasAny(s.Value, "2151", "2150") && hasAny(s.Value, "disable") {
						clues = append(clues, Against(2, "the signature is disabled", s.Place))
					}
					if (s.Key == "ip audit name" || s.Key == "ip audit info" || s.Key == "ip audit attack") && hasAny(s.Value, "drop", "reset") {
						clues = append(clues, For(0.8, "ip audit drops what it finds", s.Place))
					}
				}
			}
			cmds := []string{"ip audit signature 2151 disable"}
			if slices.ContainsFunc(mine, func(ev facts.Event) bool { return ev.ID == "400023" || hasAny(ev.Text, "ids:2150") }) {
				cmds = append(cmds, "ip audit signature 2150 disable")
			}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       fmt.Sprintf("The intrusion signature for large ICMP on %s drops the test pings", e.Label()),
				Explanation: "Big test pings are dropped by ip audit (signatures 2151 large ICMP, 2150 fragmented ICMP), not by the path or its MTU. " + mine[0].Text,
				Actions:     []report.Action{advise(e, cmds, "for the test only: the signature guards against ICMP floods", "ip audit must have the drop action on that interface for packets to be lost")}})
		}
		return out
	},
}

// sweep is what pings of growing size to one target show.
type sweep struct {
	target       netip.Addr
	pass, fail   int // with DF (or any size that is no fragment): largest that passed, smallest that vanished
	passed, lost facts.Place
	df           bool // the lost one had DF set
	whole        int  // largest without DF that passed
	fragments    int  // smallest without DF that vanished
	fragment     facts.Place
	told         bool // ICMP said "fragmentation needed"
	toldAt       facts.Place
}

// sweeps sorts the tunnel's pings by target.
func (t *Tunnel) sweeps() []*sweep {
	by := map[string]*sweep{}
	var out []*sweep
	for _, p := range t.pings() {
		size := p.Size
		if size == 0 {
			size = 100
		}
		key := p.device + " " + p.Target.String()
		s := by[key]
		if s == nil {
			s = &sweep{target: p.Target}
			by[key] = s
			out = append(out, s)
		}
		switch {
		case p.TooBig:
			s.told, s.toldAt = true, p.Place
		case p.Received*2 > p.Sent && p.DF, p.Received*2 > p.Sent && size <= 500:
			if size > s.pass {
				s.pass, s.passed = size, p.Place
			}
		case p.Received*2 > p.Sent:
			s.whole = max(s.whole, size)
			if s.passed.Source == "" {
				s.passed = p.Place
			}
		case p.silent() && p.DF:
			if !s.df || size < s.fail {
				s.fail, s.lost, s.df = size, p.Place, true
			}
		case p.silent():
			if s.fragments == 0 || size < s.fragments {
				s.fragments, s.fragment = size, p.Place
			}
		}
	}
	for _, s := range out {
		if s.fail == 0 && s.fragments > 0 {
			s.fail, s.lost = s.fragments, s.fragment
		}
		// Without DF a smaller size that passed counts as well.
		if s.whole > s.pass && s.whole < s.fail {
			s.pass = s.whole
		}
	}
	return slices.DeleteFunc(out, func(s *sweep) bool { return !s.told && !(s.pass > 0 && s.fail > s.pass && s.fail >= 500) })
}

var pmtuText = Condition{
	ID:       "pmtu-black-hole",
	Cause:    "large packets with DF vanish and no ICMP 3/4 says so",
	Shows:    "captures by size with DF; a ping size sweep; #PMTUs rcvd 0 with send errors; small works, large hangs; an own list that denies ICMP unreachable",
	Severity: report.Critical, Prefer: []string{"large-icmp-signature"},
	Reference: "Cisco: unable to initiate an application after the tunnel is up (MTU/MSS); RFC 2923 section 2.1",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		target, pass, fail := "", 0, 0
		measured := false
		for _, s := range t.sweeps() {
			if s.told {
				clues = append(clues, Against(4, "path-MTU discovery answers (fragmentation needed)", s.toldAt))
				continue
			}
			if measured {
				continue
			}
			measured = true
			target, pass, fail = s.target.String(), s.pass, s.fail
			w := 3.4
			switch {
			case !s.df && s.fail > 1472:
				w = 1.2 // these left as fragments: path-fragments-dropped
			case !s.df:
				w = 2.2 // without DF lost fragments look the same
			}
			clues = append(clues, For(w, fmt.Sprintf("%d bytes pass, %d bytes vanish without an answer", s.pass, s.fail), s.lost, s.passed))
			if s.df && s.whole > s.fail {
				clues = append(clues, For(0.8, fmt.Sprintf("without DF %d bytes pass as fragments", s.whole)))
			}
		}
		if x := t.toldSize(); x != nil && x.set && len(x.clear) == 0 {
			measured = true
			clues = append(clues, For(3, fmt.Sprintf("people tested it with DF: packets over %d bytes are lost", x.bytes), x.places...))
		}
		hang := t.said(hangs...)
		if len(hang) > 0 {
			clues = append(clues, For(1, "small things work and large transfers hang, it is said", hang...))
		}
		config := false
		for _, e := range t.Ends {
			c := e.Config()
			if s, ok := c.Setting("sysopt connection tcpmss"); ok && s.Value == "0" {
				config = true
				clues = append(clues, For(1, "tcpmss clamping is switched off", s.Place))
			}
			if c != nil {
				for _, l := range e.lines("icmp deny any ") {
					if !strings.HasSuffix(l.Text, "inside") {
						config = true
						clues = append(clues, For(1, e.Label()+" itself drops ICMP, unreachables included", facts.Place{Source: c.Source, Line: l.N, Text: l.Text}))
						break
					}
				}
			}
			for _, sa := range live(e.IPsec()) {
				if sa.SendErrors > 0 && sa.PMTUsRcvd == 0 && sa.Encaps > 0 {
					config = true
					clues = append(clues, For(0.9, "send errors and no path-MTU message ever received", place(sa, "send-errors")))
					break
				}
				if sa.PMTUsRcvd > 0 {
					clues = append(clues, Against(1.5, "path-MTU messages are received", place(sa, "pmtus-rcvd")))
					break
				}
			}
			if x := withID(e.Events(), "602101", "602103", "602104"); len(x) > 0 {
				clues = append(clues, Against(3, "path-MTU discovery works", at(x...)...))
			}
		}
		if !measured && !(len(hang) > 0 && config) {
			return nil
		}
		title := fmt.Sprintf("Large packets between %s vanish: path-MTU discovery is broken", t.between())
		if fail > 0 {
			title = fmt.Sprintf("Large packets between %s vanish (%d bytes to %s pass, %d do not): path-MTU discovery is broken", t.between(), pass, target, fail)
		}
		m := Match{Clues: clues, Title: title,
			Explanation: "Small packets pass and large ones disappear, and no ICMP \"fragmentation needed\" (type 3 code 4) comes back, so the sender never learns to send smaller ones: logins and small pages work, transfers hang. A router or firewall on the path, or an own ICMP rule, drops that message."}
		for _, e := range t.Ends {
			iface := "outside"
			if b := e.boundTo(); len(b) > 0 {
				iface = b[0]
			}
			if e.isIOS() {
				m.Actions = append(m.Actions, advise(e, []string{"interface <inside or tunnel interface>", " ip tcp adjust-mss 1300", "crypto ipsec df-bit clear"}, "clearing DF helps only where fragments pass"))
			} else {
				m.Actions = append(m.Actions, advise(e, []string{"sysopt connection tcpmss 1300", "crypto ipsec df-bit clear-df " + iface, "crypto ipsec fragmentation before-encryption " + iface, "icmp permit any unreachable " + iface}, "clearing DF helps only where fragments pass"))
			}
		}
		if fail > 0 {
			m.Actions = append(m.Actions, hand(fmt.Sprintf("evidence report for the ISP: %d bytes passed, %d vanished, ICMP type 3 code 4 never seen", pass, fail)))
		}
		m.Next = []report.Next{bothEnds("separates pmtu-black-hole (whole packets with DF vanish) from path-fragments-dropped (fragments vanish)")}
		return []Match{m}
	},
}

// hangs is how people say that large transfers stall.
var hangs = []string{"hang", "stall", "freez", "large file", "big file", "file transfer", "large page", "hängt", "haengt", "bleibt stehen", "große datei", "grosse datei", "gros fichier", "se bloque", "bloqu", "archivos grandes", "se cuelga"}
