package conditions

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// flow is what an end's counters say about one tunnel.
type flow struct {
	encaps, decaps int64
	sa             *facts.IPsecSA // nil when not ok
	ok             bool
}

// place is that of a counter.
func (f flow) place(field string) facts.Place {
	if f.sa == nil {
		return facts.Place{}
	}
	return place(*f.sa, field)
}

// counters returns an end's flow for its most used pair of identities; with two readings
// the difference counts. The device's own test pings move the counters of a tunnel that its
// hosts do not use, so they are taken off.
func (e *End) counters() flow {
	if e.flow == nil {
		f := e.count()
		e.flow = &f
	}
	return *e.flow
}

func (e *End) count() flow {
	var sent, got int64
	for _, p := range e.Device.Pings {
		if p.Source != "" && (e.touches(p.Target) || len(e.protected()) == 0) {
			sent, got = sent+int64(p.Sent), got+int64(p.Received)
		}
	}
	type pair struct{ local, remote facts.Selector }
	first, last := map[pair]*facts.IPsecSA{}, map[pair]*facts.IPsecSA{}
	var order []pair
	sas := e.IPsec()
	for i := range sas {
		sa := &sas[i]
		if sa.Encaps < 0 && sa.Decaps < 0 || oneWay(*sa) {
			continue
		}
		k := pair{sa.LocalID, sa.RemoteID}
		k.local.Text, k.remote.Text = "", ""
		old, seen := first[k]
		if !seen {
			order = append(order, k)
		}
		if !seen || sa.Reading < old.Reading {
			first[k] = sa
		}
		if l, ok := last[k]; !ok || sa.Reading > l.Reading {
			last[k] = sa
		}
	}
	off := func(n, pings int64) int64 {
		if got > 0 && n <= pings {
			return 0
		}
		return n
	}
	var best flow
	for _, k := range order {
		x, y := first[k], last[k]
		f := flow{encaps: x.Encaps, decaps: x.Decaps, sa: x, ok: true}
		if x.Decaps > 4*got { // more came in than the pings' answers
			f.encaps = off(x.Encaps, sent)
		}
		if y.Reading > x.Reading && x.Encaps >= 0 && y.Encaps >= x.Encaps && y.Decaps >= x.Decaps {
			d := flow{encaps: off(y.Encaps-x.Encaps, sent), decaps: off(y.Decaps-x.Decaps, got), sa: y, ok: true}
			// Where nothing but the pings moved between the readings, what was counted before stands.
			if d.encaps > 0 || d.decaps > 0 || got == 0 {
				f = d
			}
		}
		if !best.ok || f.encaps+f.decaps > best.encaps+best.decaps && f.sa.Reading >= best.sa.Reading {
			best = f
		}
	}
	return best
}

// phase2Up: IPsec SAs with SPIs exist at this end.
func (e *End) phase2Up() bool { return len(live(e.IPsec())) > 0 }

// espLost weighs what counters, logs and lists say about encrypted packets that do not arrive.
func (t *Tunnel) espLost() []Clue {
	var clues []Clue
	if x := t.denied("esp"); len(x) > 0 {
		clues = append(clues, For(4.6, "IP protocol 50 between the ends is dropped", at(x...)...))
	}
	for _, e := range t.Ends {
		if p, drop := e.aclDrops("esp", "", "50"); drop && e.phase2Up() {
			if _, drop500 := e.aclDrops("udp", "500", "17"); !drop500 {
				clues = append(clues, For(3.6, "the inbound list permits IKE and not esp", p))
			}
		}
		f := e.counters()
		o := t.Other(e)
		if !f.ok || f.encaps <= 0 || f.decaps != 0 {
			continue
		}
		switch {
		case o == nil:
			// One end alone cannot tell a lost packet from a silent far side: esp-one-way says so.
			clues = append(clues, For(0.8, e.Label()+" sends into the tunnel and gets nothing", f.place("encaps"), f.place("decaps")))
		default:
			g := o.counters()
			if g.ok && g.decaps == 0 && g.encaps > 0 {
				clues = append(clues, For(2.6, "both ends send ESP and neither gets any", f.place("decaps"), g.place("decaps")))
			} else if g.ok && g.decaps == 0 {
				clues = append(clues, For(3.2, e.Label()+" sends and nothing of it arrives at "+o.Label(), f.place("encaps"), g.place("decaps")))
			} else if g.ok && g.decaps > 0 && g.encaps == 0 {
				clues = append(clues, Against(4, o.Label()+" receives and sends nothing back", g.place("encaps")))
			} else if g.ok && g.encaps > 0 {
				clues = append(clues, For(3.4, o.Label()+" sends and nothing of it arrives at "+e.Label(), g.place("encaps"), f.place("decaps")))
			}
		}
	}
	if len(clues) == 0 {
		return nil
	}
	if len(t.Ends) == 2 {
		if a, b, ok := paired(t.Ends[0], t.Ends[1]); ok {
			clues = append(clues, For(0.8, "the SPIs of the two ends pair", a, b))
		} else if _, _, ok := unpaired(t.Ends[0], t.Ends[1]); ok {
			clues = append(clues, Against(3, "the SPIs do not pair: a stale SA"))
		}
	}
	for _, e := range t.Ends {
		if x := withID(e.Events(), "RECVD_PKT_INV_SPI", "402114", "IKMP_NO_SA"); len(x) > 0 {
			clues = append(clues, Against(2.5, "ESP arrives with an unknown SPI", at(x...)...))
		}
	}
	return clues
}

// encapsulated: ESP travels in UDP 4500 on this tunnel.
func (t *Tunnel) encapsulated() ([]facts.Place, bool) {
	if t.inUDP == nil {
		x := t.findUDP()
		t.inUDP = &x
	}
	return *t.inUDP, len(*t.inUDP) > 0
}

func (t *Tunnel) findUDP() []facts.Place {
	for _, e := range t.Ends {
		for _, sa := range e.IPsec() {
			if inUDP(sa) {
				return []facts.Place{sa.Place}
			}
		}
	}
	return nil
}

var espBlockedText = Condition{
	ID:       "esp-blocked",
	Cause:    "IP protocol 50 is dropped on the path",
	Shows:    "encapsulated at both ends and decapsulated at neither; captures: ESP leaves and does not arrive while IKE passes; a list without esp",
	Severity: report.Critical, SymptomOf: []string{"nat-t-disabled"},
	Reference: "Cisco: unable to pass traffic through the tunnel; IP protocol 50 is a protocol, not a port",
	Look: func(t *Tunnel) []Match {
		if _, udp := t.encapsulated(); udp {
			return nil
		}
		clues := append(t.espLost(), t.listedLost("esp")...)
		if len(clues) == 0 {
			return nil
		}
		m := Match{Clues: clues, Title: "ESP (IP protocol 50) is dropped between " + t.between(),
			Explanation: "IKE passes and the SAs are up, and the encrypted packets themselves do not arrive: what one end counts as sent, the other never counts as received. Something on the path lets UDP 500 pass and drops IP protocol 50.",
			Actions: []report.Action{hand("permit IP protocol 50 (ESP) both ways between "+t.between()+"; it is a protocol, not a port", "a firewall between: permit esp beside udp 500 and udp 4500; on an ASA also inspect ipsec-pass-thru"),
				advise(nil, nil, "meanwhile: force UDP encapsulation (crypto isakmp nat-traversal 20 on ASA, crypto ipsec nat-transparency udp-encapsulation on IOS)")}}
		if len(t.Ends) < 2 {
			m.Next = []report.Next{readAlso("the other end's counters or a capture there", "encaps with decaps 0 at one end fits esp-blocked, no-return-traffic and a silent far side alike")}
		}
		return []Match{m}
	},
}

var espUDPText = Condition{
	ID:        "esp-udp-blocked",
	Cause:     "IKE passes on UDP 4500 and ESP in UDP does not",
	Shows:     "captures; encaps without decaps behind NAT",
	Severity:  report.Critical,
	Reference: "Cisco: NAT traversal; RFC 3948",
	Look: func(t *Tunnel) []Match {
		where, udp := t.encapsulated()
		if !udp {
			return nil
		}
		clues := t.espLost()
		if len(clues) == 0 {
			return nil
		}
		clues = append(clues, For(0.6, "ESP travels in UDP 4500 here", where...))
		m := Match{Clues: clues, Title: "ESP in UDP 4500 is dropped between " + t.between(),
			Explanation: "IKE passes on UDP 4500 and the SAs are up, and the encrypted packets in the same UDP port do not arrive: what one end counts as sent, the other never counts as received. A device on the path inspects UDP 4500 and drops what is not IKE.",
			Actions:     []report.Action{hand("evidence report: a device inspects UDP 4500 and drops what is not IKE", "permit UDP 4500 without inspection both ways between "+t.between())}}
		if len(t.Ends) < 2 {
			m.Next = []report.Next{readAlso("the other end's counters or a capture there", "encaps with decaps 0 at one end fits esp-udp-blocked, no-return-traffic and a silent far side alike")}
		}
		return []Match{m}
	},
}

// inUDP tells whether an SA is negotiated for ESP in UDP.
func inUDP(sa facts.IPsecSA) bool {
	for _, list := range [][]facts.SPI{sa.SPIIn, sa.SPIOut} {
		for _, x := range list {
			if hasAny(x.Settings, "nat-t", "udp-encaps", "udp tunnel") {
				return true
			}
		}
	}
	return false
}

var espOneWay = Condition{
	ID:       "esp-one-way",
	Cause:    "traffic is protected in one direction only",
	Shows:    "counters: decaps without encaps or encaps without decaps; captures: ESP of one SPI only",
	Severity: report.Major,
	SymptomOf: []string{"no-nat-exemption", "nat-exemption-with-ports", "crypto-acl-mismatch", "crypto-acl-overlap", "route-missing", "sysopt-permit-vpn-off",
		"vpn-filter-denies", "no-return-traffic", "esp-blocked", "esp-udp-blocked", "stale-sa", "quick-mode-last-message-lost", "duplicate-asp-rules", "expired-vpn-context", "nat-t-disabled", "pool-overlaps-inside", "asymmetric-nat"},
	Reference: "Cisco: unable to pass traffic through the tunnel (encaps 0, decaps 393)",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		side, what := "", ""
		for _, e := range t.Ends {
			f := e.counters()
			if !f.ok {
				out, left := e.sent("esp")
				in, came := e.got("esp")
				if len(t.Ends) == 1 && (out > 2 && in == 0 || in > 2 && out == 0) {
					side = e.PeerLabel()
					if out == 0 {
						side = e.Label()
					}
					clues = append(clues, For(2.6, "the capture on "+e.Label()+" lists ESP in one direction only", append(left, came...)...))
					continue
				}
				for _, x := range e.Sessions() {
					if x.BytesTx == 0 && x.BytesRx > 0 {
						side = e.Label()
						clues = append(clues, For(2.8, fmt.Sprintf("the session counts %d bytes in and none out", x.BytesRx), e.bytesLine(x), x.Place))
						break
					} else if x.BytesRx == 0 && x.BytesTx > 0 && len(t.Ends) == 1 {
						side = e.PeerLabel()
						clues = append(clues, For(2.4, fmt.Sprintf("the session counts %d bytes out and none in", x.BytesTx), e.bytesLine(x), x.Place))
						break
					}
				}
				continue
			}
			switch {
			case f.decaps > 0 && f.encaps == 0:
				clues = append(clues, For(3.2, e.Label()+" receives through the tunnel and sends nothing into it", f.place("encaps"), f.place("decaps")))
				side = e.Label()
			case f.encaps > 0 && f.decaps == 0 && len(t.Ends) == 1:
				clues = append(clues, For(2.6, e.Label()+" sends into the tunnel and receives nothing", f.place("encaps"), f.place("decaps")))
				side = e.PeerLabel()
			default:
				// Another pair of networks of the same peer may stand while the busiest one flows.
				if sa, ok := e.lame(); ok {
					side = e.Label()
					if sa.Decaps == 0 {
						side = e.PeerLabel()
					}
					what = fmt.Sprintf(" (%s to %s)", sa.LocalID.Prefix, sa.RemoteID.Prefix)
					clues = append(clues, For(2.2, fmt.Sprintf("packets between %s and %s are counted in one direction only", sa.LocalID.Prefix, sa.RemoteID.Prefix), place(sa, "encaps"), place(sa, "decaps")))
				}
			}
		}
		if len(clues) == 0 {
			return nil
		}
		for _, e := range t.Ends {
			if at, ok := e.justUp(); ok {
				clues = append(clues, Against(3.5, "the SAs are seconds old: the answer may only be on its way", at))
				break
			}
		}
		return []Match{{Clues: clues, Title: "Traffic between " + t.between() + what + " is protected in one direction only; " + side + " is silent",
			Explanation: "The tunnel is up and counts packets one way. The silent side does not send into the tunnel: routing, NAT exemption, crypto access list or the hosts behind it; or what it sends is lost.",
			Actions: []report.Action{advise(nil, nil, "check NAT exemption and crypto ACL on the silent side", "check routing towards the outside interface there", "check sysopt connection permit-vpn",
				"packet-tracer from the silent side says which step drops it")},
			Next: []report.Next{readAlso("the silent side's configuration and counters", "names the step that keeps its packets out of the tunnel")}}}
	},
}

// young is how old an SA may be, and few how much it may have carried, for one direction to be
// nothing yet.
const (
	young = 60 // seconds
	few   = 20 // packets
)

// justUp tells whether the counted SA is seconds old and has hardly been used, and where that stands.
func (e *End) justUp() (facts.Place, bool) {
	f := e.counters()
	if !f.ok || max(f.sa.Encaps, f.sa.Decaps) > few {
		return facts.Place{}, false
	}
	for _, x := range e.Sessions() {
		if h, m, s, ok := clock(x.Fields["uptime"]); ok && h == 0 && 60*m+s < young {
			return x.Place, true
		}
	}
	// The lifetimes that devices start with, and those that are configured.
	totals := []int{3600, 28800}
	if v, ok := e.Config().Setting("crypto ipsec security-association lifetime seconds"); ok && !v.No {
		if n, err := strconv.Atoi(v.Value); err == nil {
			totals = append(totals, n)
		}
	}
	for _, m := range e.Entries() {
		if m.Lifetime > 0 {
			totals = []int{m.Lifetime}
		}
	}
	for _, list := range [][]facts.SPI{f.sa.SPIIn, f.sa.SPIOut} {
		for _, x := range list {
			for _, n := range totals {
				if x.Seconds > 0 && x.Seconds <= n && n-x.Seconds < young {
					return x.Place, true
				}
			}
		}
	}
	return facts.Place{}, false
}

// clock reads "00:00:31".
func clock(s string) (h, m, sec int, ok bool) {
	n, err := fmt.Sscanf(s, "%d:%d:%d", &h, &m, &sec)
	return h, m, sec, err == nil && n == 3
}

var noReturnText = Condition{
	ID:        "no-return-traffic",
	Cause:     "ESP arrives and the network behind does not answer",
	Shows:     "decaps grow with encaps 0; captures: ESP one way while IKE answers",
	Severity:  report.Major,
	SymptomOf: []string{"no-nat-exemption", "nat-exemption-with-ports", "route-missing", "crypto-acl-mismatch", "crypto-acl-overlap", "vpn-filter-denies", "sysopt-permit-vpn-off", "duplicate-asp-rules", "quick-mode-last-message-lost"},
	Reference: "Cisco: verify that routing is correct (hosts behind the device need a route back)",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		side, who := "", ""
		for _, e := range t.Ends {
			f := e.counters()
			if f.ok && f.encaps > 0 && f.decaps == 0 && len(t.Ends) == 1 {
				if x := t.said("default gateway", "outgoing 0", "sends nothing", "no answer from the server", "standardgateway", "default-gateway"); len(x) > 0 {
					side = e.PeerLabel()
					clues = append(clues, For(2.6, "the far side says that it receives and its host does not answer", x...), For(1, e.Label()+" sends into the tunnel and gets nothing", f.place("encaps"), f.place("decaps")))
				}
			}
			o := t.Other(e)
			if !f.ok && o != nil {
				came, where := e.got("esp")
				if out, _ := e.sent("esp"); came > 1 && out == 0 && len(where) > 0 {
					side = e.Label()
					clues = append(clues, For(3, "the capture on "+side+" lists ESP that arrives and none that leaves", where...))
				}
			}
			if !f.ok || f.decaps <= 0 || f.encaps != 0 {
				continue
			}
			side = e.Label()
			w := 1.6
			if o == nil && e.Config() == nil {
				w = 1 // without its configuration NAT, routes and lists explain it as well
			}
			clues = append(clues, For(w, e.Label()+" decrypts and has nothing to encrypt", f.place("encaps"), f.place("decaps")))
			if o != nil {
				if g := o.counters(); g.ok && g.encaps > 0 && g.decaps == 0 {
					clues = append(clues, For(1.8, o.Label()+" sends and gets nothing back", g.place("decaps")))
				}
			}
			for _, p := range e.Device.Pings {
				if p.Source != "" && p.Received > 0 {
					clues = append(clues, For(2, "a ping from the device's own inside interface works: its hosts do not answer", p.Place))
				}
			}
			if host, p, ok := e.unanswered(); ok {
				who = " (" + host.String() + ")"
				clues = append(clues, For(2, "an inner capture shows requests to "+host.String()+" and no answer", p))
			}
			if e.Config() != nil {
				clues = append(clues, For(0.8, "its configuration shows no reason", e.Config().Place))
			}
		}
		if len(clues) == 0 {
			return nil
		}
		return []Match{{Clues: clues, Title: "Nothing comes back from the network behind " + side + who,
			Explanation: "ESP arrives at " + side + " and is decrypted, and nothing is encrypted the other way: the hosts behind it do not answer, or their answers do not come to this device (default gateway, host firewall).",
			Actions:     []report.Action{advise(nil, nil, "ping from the inside interface of "+side, "check default gateway and firewall of the hosts behind it")}}}
	},
}

// bytesLine is the line of a session's byte counters.
func (e *End) bytesLine(s facts.Session) facts.Place {
	for _, o := range e.Device.Outputs {
		if o.Place.Source != s.Place.Source {
			continue
		}
		for _, l := range o.Text {
			if l.N > s.Place.Line && l.N < s.Place.Line+12 && hasAny(l.Text, "bytes tx") {
				return facts.Place{Source: s.Place.Source, Line: l.N, Text: strings.TrimSpace(l.Text)}
			}
		}
	}
	return s.Place
}

// lame finds a pair of networks with packets in one direction only, beside pairs that flow.
func (e *End) lame() (facts.IPsecSA, bool) {
	for _, sa := range e.IPsec() {
		if oneWay(sa) || !sa.LocalID.Prefix.IsValid() || !sa.RemoteID.Prefix.IsValid() || len(sa.SPIOut) == 0 {
			continue
		}
		if sa.Encaps == 0 && sa.Decaps >= 50 || sa.Decaps == 0 && sa.Encaps >= 50 {
			if last, ok := e.saOf(network{src: sa.LocalID.Prefix.Masked(), dst: sa.RemoteID.Prefix.Masked()}); ok && (last.Encaps == 0) == (last.Decaps == 0) {
				continue // a later reading has both
			}
			return sa, true
		}
	}
	return facts.IPsecSA{}, false
}

// unanswered finds, in a capture's list of packets, requests from the far network to a host
// here that never answers.
func (e *End) unanswered() (netip.Addr, facts.Place, bool) {
	seen := map[[2]netip.Addr]bool{}
	read := func(c facts.Counter) (a, b netip.Addr) {
		src, rest, _ := strings.Cut(c.Name, " > ")
		dst, _, _ := strings.Cut(rest, " ")
		return hostOf(src), hostOf(dst)
	}
	for _, c := range e.Device.Counters {
		if c.Group == "capture-flow" {
			a, b := read(c)
			seen[[2]netip.Addr{a, b}] = true
		}
	}
	for _, c := range e.Device.Counters {
		if c.Group != "capture-flow" || c.Value < 2 {
			continue
		}
		a, b := read(c)
		if e.touches(a) && e.carries(a, b) && !seen[[2]netip.Addr{b, a}] {
			return b, c.Place, true
		}
	}
	return netip.Addr{}, facts.Place{}, false
}

// hostOf reads an address with or without a port behind a dot.
func hostOf(s string) netip.Addr {
	if a, err := netip.ParseAddr(s); err == nil {
		return a
	}
	if i := strings.LastIndexByte(s, '.'); i > 0 {
		a, _ := netip.ParseAddr(s[:i])
		return a
	}
	return netip.Addr{}
}
