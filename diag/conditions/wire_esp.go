package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// Tunnels that are up: what ESP, keepalives, probes and deletes show.

// natBefore tells whether a NAT stands in front of an end: NAT detection says so, an address or a
// port that both captures see differently, a private address that talks to a public one, or
// a port that only a NAT would have chosen.
func (s *story) natBefore(end int) bool {
	if s.a != nil {
		for _, n := range s.a.Negs {
			if n.NATSide == "both" || n.NATSide == "initiator" && end == s.ini || n.NATSide == "responder" && end == s.res {
				return true
			}
			if n.NATDetected && n.NATSide == "" && end == s.ini {
				return true
			}
		}
	}
	of := func(from int, src, dst netip.AddrPort) netip.AddrPort {
		if from == end {
			return src
		}
		return dst
	}
	for _, m := range s.msgs() {
		if a, b := m.Sent(), m.Rcvd(); a != nil && b != nil && of(m.From, a.Src, a.Dst) != of(m.From, b.Src, b.Dst) {
			return true
		}
	}
	for _, f := range s.w.Flows {
		if a, b := f.Seen[f.From], f.Seen[1-f.From]; a != nil && b != nil && of(f.From, a.Src, a.Dst) != of(f.From, b.Src, b.Dst) {
			return true
		}
	}
	// Further only where ESP needs UDP, which it does where a NAT is.
	if s.esp[0].native || s.esp[1].native || !s.esp[0].udp && !s.esp[1].udp && (s.a == nil || !s.a.Floated()) {
		return false
	}
	private := func(e int) bool { return slices.ContainsFunc(s.w.Ends[e].Addrs, netip.Addr.IsPrivate) }
	if private(end) && slices.ContainsFunc(s.w.Ends[1-end].Addrs, func(a netip.Addr) bool { return !a.IsPrivate() }) {
		return true
	}
	// An end that has a public address itself, as its own capture shows it, is not the one behind it.
	if s.at(1-end) && !s.at(end) && !private(1-end) && (s.esp[0].udp || s.esp[1].udp) {
		return true
	}
	odd := func(a netip.AddrPort) bool { return s.w.EndOf(a.Addr()) == end && a.Port() != 500 && a.Port() != 4500 }
	v := s.w.Ends[1-end].View
	return v != nil && (slices.ContainsFunc(v.ESP, func(f *facts.ESPFlow) bool { return f.UDP && f.Trusted && odd(f.Src) && f.Dst.Port() == 4500 }) ||
		slices.ContainsFunc(s.msgs(), func(m *path.Msg) bool {
			x := m.Rcvd()
			return x != nil && m.From == end && odd(x.Src) && (x.Dst.Port() == 500 || x.Dst.Port() == 4500)
		}))
}

// nat tells whether a NAT stands between the ends. IKEv1 moves to port 4500 for nothing else.
func (s *story) nat() bool {
	return s.a != nil && (s.a.NAT() || s.a.Floated() && s.a.Version() == 1) || s.natBefore(0) || s.natBefore(1)
}

// espVerdict is what one direction's ESP says.
func wireESPConditions() []Condition {
	return []Condition{
		{
			ID: "esp-blocked", Severity: report.Critical, Prefer: []string{"nat-t-disabled", "path-lost-midway", "pmtu-black-hole", "quick-mode-last-message-lost"}, Reference: "S0: protocols are not ports; S1; S2",
			Look: wireLook(func(s *story) *Match { return s.espLost(false) }),
		},
		{
			ID: "esp-udp-blocked", Severity: report.Critical, Prefer: []string{"path-lost-midway", "pmtu-black-hole", "quick-mode-last-message-lost", "nat-mapping-lost"}, Reference: "S1: NAT-T; RFC 3948",
			Look: wireLook(func(s *story) *Match { return s.espLost(true) }),
		},
		{
			ID: "esp-one-way", Severity: report.Critical, Reference: "S1: unable to pass traffic (encaps 0, decaps 393)",
			SymptomOf: []string{"no-nat-exemption", "nat-exemption-with-ports", "crypto-acl-mismatch", "crypto-acl-overlap", "route-missing", "sysopt-permit-vpn-off", "vpn-filter-denies", "no-return-traffic", "esp-blocked", "stale-sa", "quick-mode-last-message-lost", "duplicate-asp-rules", "expired-vpn-context"},
			Prefer:    []string{"dead-peer", "pmtu-black-hole"},
			Look:      wireLook(wireOneWay),
		},
		{
			ID: "no-return-traffic", Severity: report.Major, Prefer: []string{"quick-mode-last-message-lost", "stale-sa", "pmtu-black-hole"}, Reference: "S1: routing, hosts behind the device need a route back",
			Look: wireLook(wireNoReturn),
		},
		{
			ID: "stale-sa", Severity: report.Critical, Reference: "S1: clear old or existing SAs; RFC 4303 3.4.2",
			Look: wireLook(wireStale),
		},
		{
			ID: "nat-mapping-lost", Severity: report.Critical, Prefer: []string{"nat-pool-address-change"}, Reference: "S1: NAT-T keepalive; S4; RFC 3948 4",
			Look: wireLook(wireMapping),
		},
		{
			ID: "nat-t-disabled", Severity: report.Critical, Reference: "S1: enable NAT-Traversal; RFC 3947",
			Look: wireLook(wireNoNATT),
		},
		{
			ID: "no-ike-from-initiator", Severity: report.Major, Reference: "S2; S1",
			Look: func(t *Tunnel) []Match { return nil }, // text decides; a capture without IKE is no-ike-in-capture
		},
		{
			ID: "anti-replay-drop", Severity: report.Minor, Reference: "RFC 4303 3.4.3: the replay window",
			Look: wireLook(wireReplay),
		},
		{
			ID: "ctcp-stateful-drop", Severity: report.Critical, Reference: "S3",
			Look: wireLook(wireCTCPDrop),
		},
		{
			ID: "ctcp-port-blocked", Severity: report.Critical, Reference: "S1: TCP 10000; S3",
			Look: wireLook(wireCTCPBlocked),
		},
		{
			ID:       "traffic-shaped-as-p2p",
			Cause:    "an ISP throttles the tunnel as peer-to-peer traffic",
			Shows:    "captures: a steady ceiling or loss that begins after seconds, whatever the packet size",
			Severity: report.Major, Prefer: []string{"pmtu-black-hole", "path-lost-midway"}, Reference: "S0: second answer",
			Look: wireLook(wireShaped),
		},
	}
}

// espLost: ESP leaves one end and none of it arrives, while IKE passes.
func (s *story) espLost(udp bool) *Match {
	if !s.up || s.stop.kind == lastMissing {
		return nil
	}
	id := "protocol 50"
	if udp {
		id = "ESP in UDP 4500"
	}
	var cs []Clue
	var dirs []int
	for from := range 2 {
		d := s.esp[from]
		if d.sent == 0 || udp && !d.udp || !udp && !d.native {
			continue
		}
		if s.both() {
			if tail := s.espCeased(from); len(tail) > 0 && tail[0].flow.UDP == udp {
				cs = append(cs, For(4.6, fmt.Sprintf("%d packets of ESP left %s since %s and none arrived at %s, while IKE still does", len(tail), s.name(from), tail[0].at.UTC().Format("15:04:05"), s.name(1-from)), placesOfPkts(tail, 4, "did not arrive")...))
				dirs = append(dirs, from)
				continue
			}
			if s.espPassed(from) || d.lost == 0 {
				continue
			}
			w := 5.6
			switch {
			case d.sent == 1 && !s.goesOn(d.last, 3*time.Second):
				continue // it may be under way
			case d.sent == 1:
				w = 1.8
			case d.sent == 2:
				w = 3.6
			case d.sure == 0 && !s.w.Ends[1-from].View.After(d.first):
				w = 4.4
			}
			cs = append(cs, For(w, fmt.Sprintf("%d packets of ESP left %s, none arrived at %s", d.sent, s.name(from), s.name(1-from)), s.espPlaces(from, from, "did not arrive", 4)...))
			dirs = append(dirs, from)
			continue
		}
		// A device between says that it does not let it through.
		if es := s.espRefused(from); len(es) > 0 && s.esp[1-from].sent == 0 {
			cs = append(cs, For(4.4, fmt.Sprintf("%v answers ESP of %s with ICMP unreachable", es[0].From, s.name(from)), icmpPlaces(es)...))
			dirs = append(dirs, from)
			continue
		}
		// One end: ESP leaves and nothing ever comes.
		if udp && s.at(from) && s.esp[1-from].sent == 0 && d.sent >= 3 {
			cs = append(cs, For(3.4, fmt.Sprintf("%d packets of ESP in UDP left %s and none ever came, while IKE passes on the same port", d.sent, s.name(from)), s.espPlaces(from, from, "nothing comes back", 4)...))
			dirs = append(dirs, from)
		}
	}
	if len(cs) == 2 {
		cs[1].Weight = min(cs[1].Weight, 0.6)
	}
	if len(cs) == 0 && udp && !s.both() && s.at(s.res) && s.esp[0].sent+s.esp[1].sent == 0 && s.quietAfterUp() && s.a != nil && s.a.Floated() && s.nat() {
		// The answering end saw a finished negotiation behind NAT and not one packet of ESP.
		t := s.trade("QM")
		var u *path.Unit
		if t != nil {
			u = t.Final
		} else if t = s.trade("IKE_AUTH"); t != nil {
			u = t.Resp
		}
		if u == nil {
			return nil
		}
		ps := s.rcvdPlaces(u, "the negotiation is complete, and no ESP follows")
		if len(ps) == 0 {
			ps = s.sentPlaces(u, "the negotiation is complete, and no ESP follows")
		}
		return &Match{Clues: []Clue{For(2.4, "IKE on UDP 4500 is complete and not one packet of ESP in UDP follows", ps...)},
			Title:       fmt.Sprintf("No ESP in UDP from %s arrives", s.name(s.ini)),
			Explanation: fmt.Sprintf("%s started the tunnel (traffic does that), the negotiation on UDP 4500 ran to its end, and then not one packet of ESP in UDP arrives, nor a keepalive. Either a device on the path drops what is not IKE on UDP 4500, or there was no traffic: the other end's capture tells.", s.name(s.ini)),
			Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "a device inspects UDP 4500 and drops what is not IKE")...), "nothing changes on the devices")},
			Next:        s.next("separates esp-udp-blocked (ESP leaves there) from tunnel-idle (none leaves)")}
	}
	if len(cs) == 0 {
		return nil
	}
	dir := fmt.Sprintf("from %s to %s", s.name(dirs[0]), s.name(1-dirs[0]))
	if len(dirs) == 2 {
		dir = "in both directions between " + s.name(0) + " and " + s.name(1)
	}
	m := &Match{Clues: cs, Title: "ESP (" + id + ") is blocked " + dir,
		Explanation: fmt.Sprintf("IKE completes, the tunnel is up at both ends, and ESP (%s) leaves and does not arrive %s. ESP is an IP protocol of its own, not a port: rules that permit UDP 500 and 4500 do not permit it.", id, dir),
		Actions: []report.Action{
			s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "permit IP protocol 50 on every hop, beside UDP 500 and 4500")...), "nothing changes on the devices"),
			s.mend(report.Advise, s.res, []string{"crypto isakmp nat-traversal 20"}, []string{"crypto ipsec nat-transparency udp-encapsulation"}, []string{"or force UDP encapsulation at both ends"}, "ESP travels in UDP 4500 where a NAT is detected"),
		},
		Next: s.next("shows whether ESP arrives there")}
	if udp {
		m.Explanation = fmt.Sprintf("IKE passes on UDP 4500 (with its marker of four zero bytes), the negotiation is complete, and ESP in UDP from the same ports does not arrive %s. A device looks into UDP 4500 and drops what is not IKE.", dir)
		if !s.both() {
			m.Explanation = fmt.Sprintf("IKE passes on UDP 4500 and the negotiation is complete; %s sends ESP in UDP from the same ports and nothing ever comes back. A device that drops what is not IKE fits best; a far end that does not answer would look the same from here.", s.name(dirs[0]))
		}
		m.Actions = m.Actions[:1]
		m.Actions[0].Steps = append(append([]string{}, ispSteps...), "a device inspects UDP 4500 and drops what is not IKE: ask for all of UDP 4500 to be passed")
	}
	if tail := s.espCeased(dirs[0]); s.both() && len(tail) > 0 {
		m.Explanation += fmt.Sprintf(" It passed until %s UTC: a rule or a device on the path changed then.", tail[0].at.UTC().Format("2006-01-02 15:04:05"))
	}
	return m
}

// espPassed tells whether ESP of an end arrived, at any time: seen at the other end, or ESP
// of both ran before the capture there began.
func (s *story) espPassed(from int) bool {
	d, back := s.esp[from], s.esp[1-from]
	if d.arrived > 0 || !s.both() {
		return d.arrived > 0
	}
	began := s.w.Ends[1-from].View.Began
	return back.arrived > 0 && d.first.Before(began) && back.first.Before(began)
}

// quietAfterUp: nothing at all follows the negotiation, no probe, no keepalive.
func (s *story) quietAfterUp() bool {
	if s.upAt.IsZero() {
		return false
	}
	for _, m := range s.msgs() {
		if m.At.After(s.upAt.Add(2 * time.Second)) {
			return false
		}
	}
	for _, v := range s.w.Views {
		for _, k := range v.Keepalives {
			if k.Count > 0 {
				return false
			}
		}
	}
	return true
}

// wireOneWay: one end alone was captured; its ESP leaves and none comes.
func wireOneWay(s *story) *Match {
	if !s.up || s.both() || s.stop.kind == lastMissing {
		return nil
	}
	for e := range 2 {
		if !s.at(e) {
			continue
		}
		if m := s.unansweredSince(e); m != nil {
			return m
		}
		out, in := s.esp[e], s.esp[1-e]
		if out.udp {
			continue
		}
		w := 0.0
		note := fmt.Sprintf("%d packets of ESP left %s and none ever came", out.sent, s.name(e))
		ps := s.espPlaces(e, e, "nothing comes back", 5)
		switch {
		case out.sent >= 3 && in.sent == 0:
			w = 3.6
		case out.sent > 0 && in.sent == 0 && s.goesOn(out.first, 3*time.Second):
			w = 2
		case out.sent >= 5 && in.sent > 0:
			asked, ans := s.asked(e)
			if len(asked) >= 5 && ans == 0 {
				w = 3
				note = fmt.Sprintf("none of %d packets that %s sent of its own accord was answered; what comes in is only what the other end asks", len(asked), s.name(e))
				ps = placesOfPkts(asked, 5, "not answered")
			}
		}
		if w == 0 {
			continue
		}
		if s.a == nil || s.w.Ends[e].View.Guessed {
			w -= 1.4 // where the capture was taken, and what came before, is not known
		}
		return &Match{Clues: []Clue{For(w, note, ps...)},
			Title:       fmt.Sprintf("Traffic from %s into the tunnel stays without an answer", s.name(e)),
			Explanation: s.negotiated() + fmt.Sprintf("%s sends ESP and gets nothing for it. Either ESP is dropped on the path, or %s or the network behind it does not answer: from this end alone they look the same.", s.name(e), s.name(1-e)),
			Actions:     []report.Action{s.mend(report.Advise, 1-e, nil, nil, []string{"look at encaps and decaps at the other end: decaps 0 there: the path drops ESP; decaps grow and encaps 0: NAT exemption, crypto access list, routing or the hosts behind it", "packet-tracer from the silent side says which step drops it"}, "none by itself")},
			Next:        s.next("separates esp-blocked (it does not arrive) from no-return-traffic (it arrives and nothing goes back)")}
	}
	return nil
}

// unansweredSince: at one end's capture ESP was answered, and from one moment on the same
// kind of packet, told by its size, is not, although the peer's IKE goes on arriving.
func (s *story) unansweredSince(e int) *Match {
	open, answered := s.asked(e)
	if s.deletedOK() || answered < 2 || len(open) < 6 || s.answersBySize(e) != nil {
		return nil
	}
	var last, key time.Time
	for _, p := range s.log() {
		switch {
		case p.from == e:
		case p.esp:
			last = p.at
		default:
			key = p.at
		}
	}
	open = slices.DeleteFunc(open, func(p wpkt) bool { return !p.at.After(last) })
	if len(open) < 6 || open[len(open)-1].at.Sub(open[0].at) < 5*time.Second || !key.After(open[2].at) {
		return nil
	}
	sizes := map[int]bool{}
	for _, p := range s.log() {
		if p.from == e && p.esp && p.at.Before(last) {
			sizes[p.size] = true
		}
	}
	if !slices.ContainsFunc(open, func(p wpkt) bool { return sizes[p.size] }) {
		return nil
	}
	at := last.UTC().Format("15:04:05")
	return &Match{Clues: []Clue{For(2.9, fmt.Sprintf("ESP was answered until %s, then none of %d packets; IKE of the peer still arrives", at, len(open)), placesOfPkts(open, 5, "nothing comes back")...)},
		Title:       fmt.Sprintf("Since %s UTC no ESP comes back to %s, while IKE still passes", at, s.name(e)),
		Explanation: s.negotiated() + fmt.Sprintf("ESP ran both ways until %s UTC. Since then %s sends the same kind of packets and no ESP comes back, while IKE messages of %s still arrive. Either ESP towards %s is dropped or goes to an address and port that a NAT has left, or the network behind %s does not answer any more: from this end alone they look the same.", at, s.name(e), s.name(1-e), s.name(e), s.name(1-e)),
		Actions:     []report.Action{s.mend(report.Advise, 1-e, nil, nil, []string{"look at the counters of the other end: decaps and encaps both grow there: its ESP is lost on the way, or goes to an old port of the NAT; encaps stands still: routing, or the hosts behind it"}, "none by itself")},
		Next:        s.next("separates nat-mapping-lost and esp-udp-blocked (ESP leaves there) from no-return-traffic (none leaves)")}
}

// asked lists the packets an end sent of its own accord, and counts those that something
// came back for within a second.
func (s *story) asked(e int) (open []wpkt, answered int) {
	log := s.log()
	var heard time.Time
	for i := range log {
		p := &log[i]
		if p.from != e {
			if p.esp {
				heard = p.at
			}
			continue
		}
		if !p.esp {
			continue
		}
		if !heard.IsZero() && p.at.Sub(heard) < 60*time.Millisecond {
			heard = time.Time{} // an answer
			continue
		}
		ans := false
		for k := i + 1; k < len(log) && log[k].at.Sub(p.at) < 700*time.Millisecond; k++ {
			if log[k].from == e && log[k].esp {
				break
			}
			if log[k].from != e && log[k].esp {
				ans = true
				break
			}
		}
		if ans {
			answered++
		} else {
			open = append(open, *p)
		}
	}
	return open, answered
}

// wireNoReturn: ESP arrives and the receiver sends none.
func wireNoReturn(s *story) *Match {
	if !s.up || s.stop.kind == lastMissing || s.deletedOK() {
		return nil
	}
	for e := range 2 {
		d, back := s.esp[e], s.esp[1-e]
		if !s.at(1-e) || d.arrived < 3 || back.sent > 0 {
			continue
		}
		w := 4.2
		if s.both() {
			w = 5
		}
		if d.arrived*2 < d.sent {
			w -= 2
		}
		if s.a == nil || s.w.Ends[1-e].View.Guessed {
			w -= 1.6
		}
		return &Match{Clues: []Clue{For(w, fmt.Sprintf("%d packets of ESP arrive at %s, which sends none", d.arrived, s.name(1-e)), s.espPlaces(e, 1-e, "arrived, nothing goes back", 5)...)},
			Title:       fmt.Sprintf("ESP reaches %s and nothing comes back from there", s.name(1-e)),
			Explanation: fmt.Sprintf("The tunnel is up and ESP of %s arrives at %s, so the path passes it. %s sends no ESP at all: the network behind it does not answer, or the answers do not find the tunnel (NAT exemption, crypto access list, route).", s.name(e), s.name(1-e), s.name(1-e)),
			Actions: []report.Action{s.mend(report.Advise, 1-e, nil, nil, []string{"ping from that device's inside interface; check default gateway and firewall of the hosts behind it",
				"when its own sourced ping works, it is the hosts; when not: NAT exemption, crypto access list, route"}, "none by itself")},
			Next: []report.Next{{Collect: "counters and configuration of " + s.name(1-e), Because: "decaps grow and encaps 0 there proves it; the configuration separates no-return-traffic from no-nat-exemption and route-missing", Playbook: "diagnose"}}}
	}
	return nil
}

// wireStale: ESP went both ways, then one end stops while the other's still arrives (or is still sent).
func wireStale(s *story) *Match {
	if !s.up || s.deletedOK() {
		return nil
	}
	if _, es := s.daemonEnded(); es != nil {
		return nil
	}
	for e := range 2 {
		d, back := s.esp[e], s.esp[1-e]
		if d.sent < 5 || back.sent < 1 {
			continue
		}
		if !s.at(1-e) && s.natBefore(1-e) {
			continue
		}
		if s.bySize(e) != nil || s.answersBySize(e) != nil {
			continue
		}
		var tail []wpkt
		lost, asked := 0, 0
		var lastBack time.Time
		for _, p := range s.log() {
			if p.from != e {
				if p.esp || p.probe {
					lastBack, tail, lost, asked = p.at, nil, 0, 0
				}
				continue
			}
			if p.probe && p.arrived != 0 {
				asked++
			}
			if p.esp && p.at.Sub(lastBack) > 60*time.Millisecond {
				tail = append(tail, p)
				if p.arrived == 0 {
					lost++
				}
			}
		}
		if len(tail) < 4 || tail[len(tail)-1].at.Sub(tail[0].at) < time.Second || lost*3 > len(tail) || lastBack.IsZero() {
			continue
		}
		w := 3.4
		switch {
		case s.both():
			w = 4.6
		case s.at(1 - e):
			w = 4
		}
		if !s.at(1 - e) {
			for _, u := range s.infos(1-e, s.upAt) {
				if strings.Contains(u.Label, "DPD") {
					w = 1.6 // a peer that probed and falls silent is dead rather than forgetful
				}
			}
		}
		if asked >= 2 && s.both() {
			w = 2 // it does not answer IKE either: whoever only forgot an SA is still there to say so
		}
		if u, n, ok := s.notify(1 - e); ok && n.Type == 11 {
			w += 1.5
			_ = u
		}
		x := s.w.Public(1 - e).String()
		return &Match{Clues: []Clue{For(w, fmt.Sprintf("%d packets of ESP from %s after %s stopped using the SA", len(tail), s.name(e), s.name(1-e)), placesOfPkts(tail, 6, "on an SA that is no longer answered")...)},
			Title:       fmt.Sprintf("%s still uses an SA that %s seems to have dropped", s.name(e), s.name(1-e)),
			Explanation: fmt.Sprintf("ESP ran both ways; since %s UTC %s sends none while %s goes on with the same SPI. No delete was sent. That is what a restart or a lost delete leaves behind: one end has no SA any more, the other does not notice.", lastBack.UTC().Format("15:04:05"), s.name(1-e), s.name(e)),
			Actions: []report.Action{s.approve(report.ClearIPsecSA, e, []string{"clear crypto ipsec sa peer " + x}, []string{"clear crypto sa peer " + x},
				"the SAs with this peer are negotiated again with the next packet; traffic stops for some seconds")},
			Next: append(s.next("shows whether ESP arrives there, and whether that end answers"), report.Next{Collect: "the SAs of both ends", Because: "SPIs that do not pair prove it", Playbook: "diagnose"})}
	}
	return nil
}

// espCeased lists the ESP that an end sent and that was lost since the last that arrived, where IKE
// of that end went on arriving: what it is sent on is closed to ESP from some moment on.
func (s *story) espCeased(from int) []wpkt {
	if !s.keyPasses(from) || s.bySize(from) != nil {
		return nil
	}
	var tail []wpkt
	passed, sure := false, 0
	for _, p := range s.log() {
		switch {
		case p.from != from || !p.esp || p.flow == nil:
		case p.arrived == 1:
			passed, tail, sure = true, nil, 0
		case p.arrived == 0:
			tail = append(tail, p)
			if p.sure {
				sure++
			}
		}
	}
	if !passed || sure < 6 || tail[sure-1].at.Sub(tail[0].at) < gap {
		return nil
	}
	return tail
}

// keyPasses tells whether IKE of an end went on arriving after its ESP had ceased to.
func (s *story) keyPasses(from int) bool {
	var first time.Time
	n := 0
	for _, p := range s.log() {
		switch {
		case p.from != from:
		case p.esp && p.arrived == 1:
			first, n = time.Time{}, 0
		case p.esp && p.arrived == 0 && first.IsZero():
			first = p.at
		case !p.esp && p.arrived == 1 && !first.IsZero() && p.at.After(first):
			n++
		}
	}
	return n >= 2
}

// wireMapping: packets toward the end behind NAT stop arriving, or its own come from a new port.
func wireMapping(s *story) *Match {
	if !s.up || s.deletedOK() {
		return nil
	}
	for _, f := range s.falls() {
		to := 1 - f.from
		if !s.natBefore(to) || s.bySize(f.from) != nil || s.answersBySize(f.from) != nil || s.esp[0].native || s.esp[1].native {
			continue // native ESP has no mapping that could be lost
		}
		if s.keyPasses(f.from) {
			continue // the mapping lives: IKE gets through it
		}
		if s.both() && f.last != nil && s.esp[f.from].arrived == 0 && f.lost[0].esp && f.lost[0].at.Sub(f.last.at) < 5*time.Second {
			continue // IKE had just passed, and ESP never did
		}
		if slices.ContainsFunc(s.falls(), func(o fall) bool { return o.proven && o.from == to }) {
			continue // what leaves from behind the NAT would make a new mapping, and is lost too
		}
		if s.midTraffic(f) {
			continue // a NAT forgets what is idle
		}
		w := 3.4
		if f.proven {
			w = 4.6
		}
		// Idle before the fall.
		cs := []Clue{}
		if f.last != nil {
			if idle := f.lost[0].at.Sub(f.last.at); idle > 2*time.Second {
				w += 0.6
			}
		}
		if f.proven && f.last == nil && s.esp[f.from].arrived == 0 && s.esp[f.from].sent > 0 && s.esp[to].arrived > 0 {
			// Never anything: rather a block of ESP in UDP.
			w -= 3
		}
		cs = append(cs, For(w, fmt.Sprintf("%d packets to %s behind its NAT after the pause, none gets through", len(f.lost), s.name(to)), placesOfPkts(f.lost, 6, "does not reach the end behind NAT")...))
		var un []path.ICMP
		for _, e := range s.w.ICMP {
			if e.About == f.from && e.Type == 3 && e.Code != 4 && s.w.EndOf(e.From) != to {
				un = append(un, e)
			}
		}
		if len(un) > 0 {
			cs = append(cs, For(0.8, "a router refuses them: no mapping is left", icmpPlaces(un)...))
		}
		if f.last != nil {
			cs = append(cs, For(0.01, "the last that was heard", f.last.place()))
		}
		return &Match{Clues: cs, Title: fmt.Sprintf("The NAT in front of %s forgot the tunnel", s.name(to)),
			Explanation: fmt.Sprintf("The tunnel was up through NAT. After a pause packets from %s to the NAT's address and port do not reach %s any more, and keepalives were rarer than the NAT's memory. Traffic from behind the NAT opens it again.", s.name(f.from), s.name(to)),
			Actions: []report.Action{s.mend(report.Advise, to, []string{"crypto isakmp nat-traversal 20"}, []string{"crypto isakmp nat keepalive 20"},
				[]string{"shorter NAT keepalive at the end behind NAT; a longer UDP timeout on the NAT device"}, "the mapping stays open")},
			Next: s.next("shows whether packets arrive behind the NAT, and whether that end still sends")}
	}
	// The near end's packets come from a new port or address, and are not answered there.
	for e := range 2 {
		v := s.w.Ends[1-e].View
		if v == nil || !s.natBefore(e) {
			continue
		}
		rows := map[uint32][]*facts.ESPFlow{}
		for _, f := range v.ESP {
			if f.UDP && f.Trusted && s.w.EndOf(f.Src.Addr()) == e {
				rows[f.SPI] = append(rows[f.SPI], f)
			}
		}
		for _, fs := range rows {
			if len(fs) < 2 {
				continue
			}
			slices.SortFunc(fs, func(a, b *facts.ESPFlow) int { return a.First.Compare(b.First) })
			old, now := fs[0], fs[len(fs)-1]
			if !now.First.After(old.Last) || now.Count < 3 {
				continue
			}
			followed, stays := false, 0
			for _, f := range v.ESP {
				if !f.UDP || s.w.EndOf(f.Src.Addr()) != 1-e {
					continue
				}
				if f.Dst == now.Src {
					followed = true
				}
				for i := range f.Sample {
					if f.Dst == old.Src && f.Sample[i].Time.After(now.First.Add(time.Second)) {
						stays++
					}
				}
			}
			for _, m := range s.msgs() {
				if m.From == 1-e && m.Sent() != nil && m.Sent().Dst == now.Src && stays < 3 {
					followed = true // of ESP nothing was to be sent
				}
			}
			if followed {
				continue
			}
			return &Match{Clues: []Clue{For(4.4, fmt.Sprintf("the same SPI comes from %v and later from %v, and is not followed there", old.Src, now.Src),
				s.flowPlace(v, old, "the old mapping"), s.flowPlace(v, now, "the new mapping, not answered"))},
				Title:       fmt.Sprintf("The NAT in front of %s changed its mapping during the session", s.name(e)),
				Explanation: fmt.Sprintf("ESP with the same SPI first comes from %v and then from %v: the NAT made a new mapping. %s goes on sending to the old one.", old.Src, now.Src, s.name(1-e)),
				Actions: []report.Action{s.mend(report.Advise, e, []string{"crypto isakmp nat-traversal 20"}, []string{"crypto isakmp nat keepalive 20"},
					[]string{"shorter NAT keepalive; a longer UDP timeout on the NAT device"}, "the mapping stays open")},
				Next: s.next("shows what the end behind NAT still receives")}
		}
	}
	return nil
}

func (s *story) flowPlace(v *path.View, f *facts.ESPFlow, what string) facts.Place {
	t := f.First
	return facts.Place{Source: v.Capture.Source, Packet: f.FirstPacket, Wire: true, Time: &t,
		Text: fmt.Sprintf("%s %v→%v ESP in UDP, SPI %s, %d packets: %s", stamp(t), f.Src, f.Dst, path.Hex(f.SPI), f.Count, what)}
}

// wireNoNATT: a NAT was seen, the exchange did not float, and native ESP does not come through.
func wireNoNATT(s *story) *Match {
	// Where both ends announced NAT-T, a NAT makes them float: then something else is wrong.
	if s.a == nil || !s.up || s.a.Floated() || !s.a.NAT() || s.n.NATTOffered {
		return nil
	}
	for e := range 2 {
		d := s.esp[e]
		if !d.native || d.sent < 2 || s.both() && d.arrived > 0 || !s.both() && s.esp[1-e].sent > 0 {
			continue
		}
		return &Match{Clues: []Clue{For(4, "a NAT is on the path, nothing moved to UDP 4500, and native ESP gets no answer", s.espPlaces(e, e, "", 4)...)},
			Title:       "NAT traversal is off although a NAT is on the path",
			Explanation: "The negotiation shows a NAT (addresses differ between the ends or from the NAT-D payloads), but it stays on UDP 500 and ESP is sent natively: a NAT that translates ports cannot pass it.",
			Actions:     []report.Action{s.mend(report.Advise, s.res, []string{"crypto isakmp nat-traversal 20"}, []string{"crypto ipsec nat-transparency udp-encapsulation"}, []string{"at both ends"}, "new tunnels through NAT use UDP 4500")},
			Next:        s.next("shows whether ESP arrives")}
	}
	return nil
}

// espRefused lists ICMP unreachables about ESP of an end that a device between the ends sent.
func (s *story) espRefused(from int) (out []path.ICMP) {
	for _, e := range s.icmpAbout(from, 3, -1) {
		if e.Code != 4 && s.w.EndOf(e.From) < 0 && (e.Quoted.Proto == 50 || e.Quoted.SPI != 0) {
			out = append(out, e)
		}
	}
	return out
}

// wireReplay: ESP arrives so late that the receiver's replay window has gone on.
func wireReplay(s *story) *Match {
	for from := range 2 {
		for _, f := range s.esp[from].flows {
			x := f.Seen[1-from]
			if x == nil || x.Late < 5 || x.Late*200 < x.Count {
				continue
			}
			v := s.w.Ends[1-from].View
			var ps []facts.Place
			top := uint32(0)
			for i := range x.Sample {
				p := &x.Sample[i]
				if top > p.Seq && top-p.Seq >= 64 && len(ps) < 6 {
					ps = append(ps, espPlace(v, x, p, fmt.Sprintf("%d behind the highest before it", top-p.Seq)))
				}
				top = max(top, p.Seq)
			}
			w := 4.2
			if f.Seen[from] == nil {
				w = 3.8
			}
			if len(ps) == 0 {
				ps = append(ps, s.flowPlaceAny(v, x))
			}
			return &Match{Clues: []Clue{For(w, fmt.Sprintf("%d of %d packets of ESP come 64 or more behind the highest sequence number", x.Late, x.Count), ps...)},
				Title:       fmt.Sprintf("Packets from %s reach %s out of order, beyond the anti-replay window", s.name(from), s.name(1-from)),
				Explanation: fmt.Sprintf("%d packets of ESP arrive at %s so late that 64 others with higher sequence numbers came before them. A receiver with the usual window drops those although nothing is wrong with them: parallel paths, or QoS that queues after encryption.", x.Late, s.name(1-from)),
				Actions:     []report.Action{s.mend(report.Advise, 1-from, []string{"crypto ipsec security-association replay window-size 1024"}, []string{"crypto ipsec security-association replay window-size 1024"}, []string{"take QoS off after encryption, or the second path out of use"}, "the new window counts from the next SA on")},
				Next:        []report.Next{{Collect: "show crypto ipsec sa of " + s.name(1-from), Because: "its replay errors grow when the window there is smaller than the delay", Playbook: "diagnose"}}}
		}
	}
	return nil
}

// wireShaped: one direction's rate falls to a ceiling, or loss starts after some seconds, whatever the size.
func wireShaped(s *story) *Match {
	if !s.up || !s.both() {
		return nil
	}
	for from := range 2 {
		for _, f := range s.esp[from].flows {
			a, b := f.Seen[from], f.Seen[1-from]
			if a == nil || b == nil || len(a.PerSecond) < 10 || len(b.PerSecond) < 10 || s.bySize(from) != nil {
				continue
			}
			n := min(len(a.PerSecond), len(b.PerSecond)) - 1 // the last second is none in full
			loss := func(lo, hi int) float64 {
				sum := func(r []facts.RateBucket) (t int) {
					for _, x := range r[lo:min(hi, len(r))] {
						t += x.Packets
					}
					return
				}
				x, y := sum(a.PerSecond), sum(b.PerSecond)
				if x == 0 {
					return 0
				}
				return 1 - float64(y)/float64(x)
			}
			// From some second on every one has loss, and before it there was next to none.
			k := n
			for k > 0 && loss(k-1, k) > 0.15 {
				k--
			}
			if n-k < 4 || k < 3 && (k < 2 || n-k < 8) {
				continue
			}
			early, late := loss(0, k), loss(k, n)
			if early > 0.05 || late < 0.3 {
				continue
			}
			// A steady ceiling at the receiver, behind the second in which it began.
			var rates []int
			for _, x := range b.PerSecond[k+1 : n] {
				rates = append(rates, x.Bytes)
			}
			slices.Sort(rates)
			if rates[0]*10 < rates[len(rates)-1]*5 {
				continue
			}
			back := s.esp[1-from]
			if back.lost*5 > back.sent {
				continue
			}
			v := s.w.Ends[from].View
			return &Match{Clues: []Clue{For(3.4, fmt.Sprintf("loss rises from %.0f %% to %.0f %% in one direction and what arrives stays at %d bytes a second", 100*early, 100*late, rates[len(rates)/2]), s.flowPlaceAny(v, a))},
				Title:       fmt.Sprintf("Traffic from %s is throttled on the path", s.name(from)),
				Explanation: "The tunnel starts at full rate; after some seconds what arrives falls to a steady ceiling, in one direction, whatever the packets' size. That is a shaper that classifies the tunnel, not congestion.",
				Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "measure at M-Lab for the record")...), "nothing changes on the devices")}}
		}
	}
	return nil
}

func (s *story) flowPlaceAny(v *path.View, f *facts.ESPFlow) facts.Place {
	t := f.First
	return facts.Place{Source: v.Capture.Source, Packet: f.FirstPacket, Wire: true, Time: &t,
		Text: fmt.Sprintf("%s %v→%v ESP SPI %s, %d packets, %d bytes", stamp(t), f.Src.Addr(), f.Dst.Addr(), path.Hex(f.SPI), f.Count, f.Bytes)}
}
