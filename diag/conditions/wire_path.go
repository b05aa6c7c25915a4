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

// The path's faults as packets show them. All of them look at one message: the one that
// did not arrive (both ends captured), or the one that stays without an answer (one end).
// What distinguishes them is how that message left: in fragments, whole and large with
// DF, on which port, and what else passed in the same direction.

// bigPacket is where a path MTU may bite: no path of today is narrower.
const bigPacket = 1100

func wirePathConditions() []Condition {
	return []Condition{
		{
			ID: "path-fragments-dropped", Severity: report.Critical, Reference: "S0: fragmented ISAKMP; RFC 791 (fragments), RFC 7383 (IKE fragmentation)",
			Look: wireLoss("path-fragments-dropped", func(s *story, l *loss, w float64) *Match {
				cs := s.lossClues(l, w)
				if es := s.icmpAbout(l.from, 11, 1); len(es) > 0 {
					cs = append(cs, For(0.5, "ICMP 11/1: a first fragment arrived and the rest never did", icmpPlaces(es)...))
				}
				to := 1 - l.from
				part := "no fragment"
				if l.partial > 0 {
					part = "only part of the fragments"
				}
				var title, expl string
				switch {
				case l.kind == msgLost:
					title = fmt.Sprintf("IP fragments from %s are lost on the way to %s", s.name(l.from), s.name(to))
					expl = fmt.Sprintf("%s is %d bytes of IKE and leaves %s as IP fragments; of %s, %s arrived at %s. Whole, smaller IKE packets pass in the same direction, so the port is open and the keys are not the question: a device on the path drops fragments.",
						l.what(), l.m.Length, s.name(l.from), plural(l.n, "copy", "copies"), part, s.name(to))
				case l.frag:
					title = fmt.Sprintf("Fragmented IKE packets from %s do not get through", s.name(l.from))
					expl = fmt.Sprintf("%s (%d bytes of IKE) leaves %s as IP fragments, %s, and what follows shows that it is not received, while whole packets were. That fits lost fragments best; the other end's capture would prove it.", l.what(), l.m.Length, s.name(l.from), plural(l.n, "time", "times"))
				case l.partial > 0:
					title = fmt.Sprintf("Only part of the fragments from %s arrives", s.name(l.from))
					expl = fmt.Sprintf("%s arrives as a first fragment or as later fragments only, again and again: a device on the path drops the rest.", l.what())
				default:
					title = fmt.Sprintf("A large message between %s and %s does not get through, probably in fragments", s.name(s.ini), s.name(s.res))
					expl = fmt.Sprintf("Everything small before %s passed both ways; %s then stays without the answer, and the message due at this point is usually the first that outgrows one packet. A silent headend or a cut path would look the same from here: the other end's capture decides.", l.what(), l.what())
				}
				m := &Match{Clues: cs, Title: title, Explanation: expl, Next: s.next("shows whether fragments left there or arrived there: separates lost fragments from a silent peer and from a path MTU black hole")}
				m.Actions = []report.Action{
					s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "ask for IP fragments of UDP 500/4500 and ESP to be passed, and for ICMP type 3 code 4 not to be blocked")...), "nothing changes on the devices"),
					s.mend(report.Advise, l.from, append(asaFragments(s.version()), "crypto ipsec fragmentation before-encryption <interface>", "sysopt connection tcpmss 1300"),
						iosFragments(s.version()), []string{"until the path is repaired make the message smaller: IKE fragmentation at both ends, a shorter certificate chain, fewer split-tunnel networks or a shorter banner in the Easy VPN group"}, "messages fit into one packet again"),
				}
				return m
			}),
		},
		{
			ID: "pmtu-black-hole", Severity: report.Critical, Reference: "S0: blocked ICMP; S1: MTU/MSS; RFC 1191, RFC 2923",
			Look: func(t *Tunnel) []Match {
				out := wireLoss("pmtu-black-hole", func(s *story, l *loss, w float64) *Match {
					cs := s.lossClues(l, w)
					title := fmt.Sprintf("Large packets from %s vanish on the way (path MTU black hole)", s.name(l.from))
					expl := fmt.Sprintf("%s leaves %s as one packet of %d bytes with DF and never arrives", l.what(), s.name(l.from), l.size)
					if l.kind == unanswered {
						expl = fmt.Sprintf("%s leaves %s as one packet of %d bytes with DF and is never answered", l.what(), s.name(l.from), l.size)
					}
					if l.kind == pieceLost {
						title = fmt.Sprintf("The larger packets of %s do not reach %s (path MTU black hole)", s.name(l.from), s.name(1-l.from))
						expl = fmt.Sprintf("%s comes in %d pieces, of which only piece %d (%d bytes) ever arrives at %s, again and again; what is missing is as large or larger and is lost each time, so %s has nothing whole to answer", l.what(), l.m.Parts, l.m.Part, l.size, s.name(1-l.from), s.name(1-l.from))
					} else if l.kind == silence || !l.big {
						title = fmt.Sprintf("Large packets between %s and %s seem to vanish", s.name(s.ini), s.name(s.res))
						expl = fmt.Sprintf("After %s nothing comes any more; with certificates (or a long configuration) the next message is the first large one", l.what())
					} else if l.passed > 0 {
						expl += fmt.Sprintf(", while packets of up to %d bytes pass", l.passed)
					}
					expl += ". No ICMP \"fragmentation needed\" (3/4) came back, so path-MTU discovery cannot work. It is no fragment that is lost, but a whole packet."
					return &Match{Clues: cs, Title: title, Explanation: expl, Actions: s.pmtuActions(l.from),
						Next: s.next("shows whether the large packet arrives there: separates a black hole from lost fragments and from a blocked port")}
				})(t)
				return append(out, espBlackHole(t)...)
			},
		},
		{
			ID:       "path-large-packets-dropped",
			Cause:    "the path drops packets over a length",
			Shows:    "captures: every message over a size is lost, none under it, without DF or fragments",
			Severity: report.Critical, Reference: "S0: misread traffic; practice",
			Look: wireLoss("path-large-packets-dropped", func(s *story, l *loss, w float64) *Match {
				next := "the next message, a larger one,"
				if l.kind != silence {
					next = fmt.Sprintf("%s (%d bytes)", l.what(), l.size)
				}
				expl := fmt.Sprintf("%s does not get through, while %s. That is far below any MTU and it is no fragment: neither DF nor ICMP plays a part, a device on the path drops by length.", next, fmt.Sprintf("packets of up to %d bytes pass in the same direction", l.passed))
				switch l.kind {
				case pieceLost:
					expl = fmt.Sprintf("%s comes in %d pieces, of which only piece %d (%d bytes) ever arrives: a device on the path drops the others, by length or with DF.", l.what(), l.m.Parts, l.m.Part, l.size)
				case silence:
					expl = fmt.Sprintf("%s was understood (its question was not asked again), yet %s never arrives here. It is the first message of this exchange that is larger than the ones before.", l.what(), next)
				}
				return &Match{Clues: s.lossClues(l, w), Title: fmt.Sprintf("Packets over some length are dropped between %s and %s", s.name(s.ini), s.name(s.res)), Explanation: expl,
					Actions: []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "name the two sizes: the largest that passed and the smallest that did not; ask which device inspects UDP 500", "IKE fragmentation at both ends as a way around")...), "nothing changes on the devices")},
					Next:    s.next("shows whether the larger message leaves and arrives")}
			}),
		},
		{
			ID: "udp-500-blocked", Severity: report.Critical, Prefer: []string{"isakmp-disabled", "reply-from-other-address"}, Reference: "S1: MM_WAIT_MSG2, AG_INIT_EXCH; S2: no ISAKMP from the client",
			Look: wireLoss("udp-500-blocked", func(s *story, l *loss, w float64) *Match {
				cs := s.lossClues(l, w)
				if es := append(s.icmpAbout(s.ini, 3, 13), append(s.icmpAbout(s.ini, 3, 10), s.icmpAbout(s.ini, 3, 9)...)...); len(es) > 0 {
					cs = append(cs, For(2, "a filter on the way says so", icmpPlaces(es)...))
				}
				if es := s.portClosed(s.ini); len(es) > 0 && s.inItsName(es) {
					cs = append(cs, For(1, fmt.Sprintf("something on the way answers in the name of %s: its own capture has neither question nor answer", s.name(s.res)), icmpPlaces(es)...))
				}
				forged := s.forgedPlaces(s.res)
				if len(forged) > 0 {
					cs = append(cs, For(1, fmt.Sprintf("something on the way answers in the name of %s: its own capture has neither question nor answer", s.name(s.res)), forged...))
				}
				var title, expl string
				if l.kind == msgLost {
					title = fmt.Sprintf("UDP 500 from %s does not reach %s", s.name(s.ini), s.name(s.res))
					expl = fmt.Sprintf("%s was sent %s and never arrived at %s; the capture there has no packet of it. The responder did not refuse anything, it was never asked.", l.what(), plural(l.n, "time", "times"), s.name(s.res))
				} else {
					title = fmt.Sprintf("No answer on UDP 500 from %s", s.name(s.res))
					expl = fmt.Sprintf("%s was sent %s by %s and nothing came back. Either UDP 500 does not get through (in this or the other direction), or %s does not answer: from this end alone the three cannot be told apart.", l.what(), plural(l.n, "time", "times"), s.name(s.ini), s.name(s.res))
				}
				if len(forged) > 0 {
					expl += fmt.Sprintf(" The answer that %s got was not sent by %s: a device on the way (firewall, ISP's filter, another VPN gateway behind the same address) took the question and answered it.", s.name(s.ini), s.name(s.res))
				}
				if l.big {
					expl += fmt.Sprintf(" The only message sent is %d bytes with DF: a path MTU black hole looks the same, so test with something small.", l.size)
				}
				if v := s.w.Ends[s.res].View; v != nil && v.Capture.Packets == 0 {
					expl += " The other capture is empty: make sure that it ran on the right interface."
					cs = append(cs, For(0.01, "nothing was captured there at all", whole(v, "no packet at all in this capture")))
				} else if v != nil {
					cs = append(cs, For(0.01, "no such packet there", whole(v, fmt.Sprintf("%d packets, none of them from %s on UDP 500", v.Capture.Packets, s.w.Public(s.ini)))))
				}
				return &Match{Clues: cs, Title: title, Explanation: expl,
					Actions: []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "permit UDP 500 both ways on every hop: outside access list, firewall in front, the ISP", "check that the initiator asks the right public address (warm spare: the virtual one) and that a gateway behind NAT has UDP 500 forwarded to it")...), "nothing changes on the devices")},
					Next:    s.next("separates udp-500-blocked (nothing arrives there) from udp-500-return-blocked (it answers) and responder-silent (it does not)")}
			}),
		},
		{
			ID: "udp-500-return-blocked", Severity: report.Critical, Prefer: []string{"reply-from-other-address"}, Reference: "S2: both keep sending Security Association",
			Look: wireLoss("udp-500-return-blocked", func(s *story, l *loss, w float64) *Match {
				cs := s.lossClues(l, w)
				var title, expl string
				switch l.kind {
				case msgLost:
					if t := s.stop.trade; t != nil && t.Req != nil {
						if ps := s.rcvdPlaces(t.Req, "arrived"); len(ps) > 0 {
							cs = append(cs, For(0.01, "the question arrives", ps[:min(2, len(ps))]...))
						}
					}
					title = fmt.Sprintf("Answers from %s on UDP 500 do not reach %s", s.name(s.res), s.name(s.ini))
					expl = fmt.Sprintf("The request arrives and is answered (%s, %s), and no answer arrives at %s. The responder is fine; the way back is closed.", l.what(), plural(l.n, "time", "times"), s.name(s.ini))
				case unaccepted:
					title = fmt.Sprintf("Answers from %s on UDP 500 do not reach %s", s.name(s.res), s.name(s.ini))
					expl = fmt.Sprintf("%s answers every request, and the same request comes again after each answer: the answers do not arrive. The request itself shows that this direction is open.", s.name(s.res))
					if s.a != nil && len(s.n.RespSPIs) > 1 {
						expl += " Several responder cookies under one initiator cookie are one failure: the half-open SA expired between the copies."
					}
				default:
					title = fmt.Sprintf("Answers from %s on UDP 500 may be lost on the way back", s.name(s.res))
					expl = "The request repeats without an answer; whether it arrived and was answered only the other end's capture shows."
				}
				return &Match{Clues: cs, Title: title, Explanation: expl,
					Actions: []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, fmt.Sprintf("permit UDP 500 from %s to %s", s.w.Public(s.res), s.w.Public(s.ini)), "check the stateful firewall or NAT in front of the initiator")...), "nothing changes on the devices")},
					Next:    s.next("shows whether the answer leaves the one end and arrives at the other")}
			}),
		},
		{
			ID: "udp-4500-blocked", Severity: report.Critical, Reference: "S1: NAT-T ports; S2: key exchange repeated because 4500 is dropped; RFC 3947",
			Look: wireLoss("udp-4500-blocked", func(s *story, l *loss, w float64) *Match {
				cs := s.lossClues(l, w)
				dir := fmt.Sprintf("from %s to %s", s.name(l.from), s.name(1-l.from))
				var title, expl string
				switch l.kind {
				case msgLost:
					title = "UDP 4500 " + dir + " is blocked"
					expl = fmt.Sprintf("UDP 500 passes both ways; then the exchange moves to UDP 4500, and %s (%d bytes, %s) never arrives. Nothing at all arrives on 4500 in this direction, so it is the port and not the size.", l.what(), l.size, plural(l.n, "copy", "copies"))
					if l.big {
						expl = fmt.Sprintf("%s is the only packet on UDP 4500 and it is large (%d bytes, DF): a blocked port and a path MTU black hole look alike here.", l.what(), l.size)
					}
				case unanswered:
					title = "UDP 4500 between " + s.name(s.ini) + " and " + s.name(s.res) + " seems blocked"
					expl = fmt.Sprintf("Everything on UDP 500 was answered; %s on UDP 4500 was sent %s and never answered. A NAT that gives port 4500 another address would look the same from this end.", l.what(), plural(l.n, "time", "times"))
				case unaccepted:
					title = "Answers on UDP 4500 from " + s.name(l.from) + " do not get back"
					expl = fmt.Sprintf("Requests arrive on UDP 4500 and are answered, and come again: the answers do not arrive at %s.", s.name(1-l.from))
				default:
					title = "Nothing arrives on UDP 4500 from " + s.name(s.ini)
					expl = fmt.Sprintf("The messages on UDP 500 are complete up to %s, which is the last before the exchange moves to UDP 4500", l.what())
					if s.nat() {
						expl += " (a NAT was detected)"
					}
					expl += "; nothing ever arrives there. ICMP \"port unreachable\" from the initiator for port 500 is its closed socket, not its absence."
				}
				return &Match{Clues: cs, Title: title, Explanation: expl,
					Actions: []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "permit UDP 4500 both ways; forward it to the gateway when the gateway is behind NAT")...), "nothing changes on the devices")},
					Next:    s.next("shows whether packets on 4500 arrive, and from which address: separates a blocked port from nat-pool-address-change")}
			}),
		},
		{
			ID:       "path-lost-midway",
			Cause:    "from one moment on nothing arrives any more",
			Shows:    "captures: everything arrives until then, both ends go on sending",
			Severity: report.Critical, Prefer: []string{"nat-mapping-lost"}, Reference: "S0; practice",
			Look: func(t *Tunnel) []Match {
				out := wireLoss("path-lost-midway", func(s *story, l *loss, w float64) *Match {
					at := l.m.At.UTC().Format("2006-01-02 15:04:05")
					return &Match{Clues: s.lossClues(l, w), Title: fmt.Sprintf("From %s on nothing passes between %s and %s", at, s.name(s.ini), s.name(s.res)),
						Explanation: fmt.Sprintf("Packets of this size and port passed before; %s and all its copies do not. The moment is %s UTC.", l.what(), at),
						Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "name the moment in UTC")...), "nothing changes on the devices")},
						Next:        s.next("shows whether the other end still sends")}
				})(t)
				return append(out, cutMidway(t)...)
			},
		},
		{
			ID: "nat-pool-address-change", Severity: report.Critical, Reference: "S4; RFC 4787 REQ-2",
			Look: wireNATPool,
		},
		{
			ID:       "reply-from-other-address",
			Cause:    "answers come from another address than the one asked",
			Shows:    "captures",
			Severity: report.Critical, Reference: "S2: destination address, warm spare; practice",
			Look: wireStrangeAnswer,
		},
		{
			ID:       "captures-not-comparable",
			Cause:    "the two captures are not of the same attempt",
			Shows:    "captures with IKE and no packet in common",
			Severity: report.Minor, Reference: "practice",
			Look: func(t *Tunnel) []Match {
				s := t.reading()
				if s == nil || s.w.Comparable || !s.both() {
					return nil
				}
				var ps []facts.Place
				for e := range 2 {
					v := s.w.Ends[e].View
					ps = append(ps, whole(v, fmt.Sprintf("%s to %s, IKE of %s, no packet in common with the other capture", v.Capture.First.UTC().Format("2006-01-02 15:04:05"), v.Capture.Last.UTC().Format("2006-01-02 15:04:05"), plural(len(v.Negotiations), "negotiation", "negotiations"))))
				}
				return []Match{{Clues: []Clue{For(6, "both have IKE between the two ends and no packet in common: no cookie, no message", ps...)},
					Title:       "The two captures are of different attempts and cannot be compared",
					Explanation: "Packets of one attempt carry the same cookies at both ends, whatever NAT and clocks do. These have none in common, so nothing is said about what the path lost.",
					Actions:     []report.Action{{Class: report.None, Commands: []string{}, Steps: []string{"capture again at both ends at once"}, Effect: "none"}},
					Next:        []report.Next{{Collect: "captures at both ends, started together", Because: "only packets of the same attempt can be compared", Playbook: "capture-both-ends"}}}}
			},
		},
		{
			ID: "no-ike-in-capture", Severity: report.Minor, Reference: "S2: no ISAKMP traffic",
			Look: wireNothing,
		},
	}
}

func (s *story) pmtuActions(from int) []report.Action {
	return []report.Action{
		s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "name the largest size that passed and the smallest that vanished, and that no ICMP 3/4 was seen; ask for ICMP type 3 code 4 to be passed")...), "nothing changes on the devices"),
		s.mend(report.Advise, from, []string{"sysopt connection tcpmss 1300", "crypto ipsec df-bit clear-df <interface>", "crypto ipsec fragmentation before-encryption <interface>", "icmp permit any unreachable <outside>"},
			[]string{"interface <inside or tunnel interface>", "ip tcp adjust-mss 1300", "crypto ipsec df-bit clear"}, []string{"clearing DF helps only where fragments pass"}, "packets become small enough for the path"),
	}
}

// strangeAnswer finds an answer that came from another address or port than the one asked, and
// that the initiator did not go on with, or went on with to that address and got no answer there.
func (s *story) strangeAnswer() (req, resp *path.Unit, followed *path.Unit, ok bool) {
	if s.a == nil || s.stop.kind == noStop || s.stop.trade == nil {
		return nil, nil, nil, false
	}
	for _, t := range s.trades {
		if t.Req == nil || t.Resp == nil || t.From != s.stop.trade.From {
			continue
		}
		from, strange := elsewhere(s, t)
		if !strange {
			continue
		}
		if t == s.stop.trade {
			return t.Req, t.Resp, nil, true
		}
		if u := s.stop.trade.Req; u != nil && s.stop.trade.Resp == nil && u.Arrived == 0 && u.First().Dst.Addr() == from.Addr() {
			return t.Req, t.Resp, u, true
		}
	}
	return nil, nil, nil, false
}

// elsewhere is the address that a request's answer came from when it is not the one asked.
func elsewhere(s *story, t *path.Trade) (netip.AddrPort, bool) {
	for _, m := range t.Resp.Msgs {
		x := m.Rcvd()
		if x == nil && !s.at(1-m.From) {
			x = m.Message
		}
		if x == nil {
			continue
		}
		for _, q := range t.Req.Msgs {
			y := q.Sent()
			if !s.at(q.From) {
				y = q.Message
			}
			if y != nil && (y.Dst.Addr() != x.Src.Addr() || y.Dst.Port() != x.Src.Port()) && y.Dst.Port() != 0 {
				return x.Src, true
			}
		}
	}
	return netip.AddrPort{}, false
}

func wireStrangeAnswer(t *Tunnel) []Match {
	s := t.reading()
	if s == nil || s.a == nil || s.up {
		return nil
	}
	if ms := wireInjected(s); ms != nil {
		return ms
	}
	req, resp, followed, ok := s.strangeAnswer()
	if !ok {
		return nil
	}
	w := 5.0
	if len(req.Msgs) < 2 && followed == nil {
		w = 2.6
	}
	asked, from := req.First().Dst, resp.First().Src
	if x := resp.First().Rcvd(); x != nil {
		from = x.Src
	}
	cs := []Clue{For(w, fmt.Sprintf("asked was %v, the answer comes from %v", asked, from), s.rcvdPlaces(resp, "from another address than the one asked")...),
		For(0.5, "and the question repeats", s.sentPlaces(req, "")...)}
	if len(cs[0].Places) == 0 {
		cs[0].Places = s.sentPlaces(resp, "from another address than the one asked")
	}
	expl := fmt.Sprintf("The answer carries the initiator's cookie but comes from %v instead of %v, so the initiator ignores it and asks again. The answer itself gets through: the path is open.", from, asked)
	if followed != nil {
		cs[1] = For(0.5, "the initiator goes on to that address and gets no answer there", s.sentPlaces(followed, "to the other address, not answered")...)
		expl = fmt.Sprintf("The answer carries the initiator's cookie but comes from %v instead of %v. The initiator goes on to that address, and nothing answers there: the gateway listens at %v, its answers leave with an address that leads elsewhere.", from, asked, asked.Addr())
	}
	return []Match{{Clues: cs, Title: fmt.Sprintf("%s is asked at %v and answers from %v", s.name(s.res), asked.Addr(), from),
		Explanation: expl,
		Actions: []report.Action{s.mend(report.Advise, s.res, nil, []string{"crypto map <map> local-address <interface>"},
			[]string{"bind IKE to the address that peers use", "repair the NAT rule or the route that rewrites the answer"}, "answers come from the address that was asked")},
		Next: s.next("shows whether the answer leaves with that address or is rewritten on the way")}}
}

// wireNATPool: one negotiation, two public addresses of one end, and the moved messages stay unanswered.
func wireNATPool(t *Tunnel) []Match {
	s := t.reading()
	if s == nil || s.a == nil || s.up || s.stop.kind == noStop {
		return nil
	}
	// What the answering end sees.
	if a, first, last, ok := s.resettled(); ok && s.at(s.res) && s.stop.kind != refusal && s.ignored() {
		v := s.w.Ends[s.res].View
		b := last.Rcvd().Src
		var moved []facts.Place
		for _, m := range s.a.Msgs {
			if m.From == s.ini && m.Rcvd() != nil && m.Rcvd().Src.Addr() == b.Addr() && len(moved) < 6 {
				moved = append(moved, wirePlace(v, m.Rcvd(), "same cookies, another address"))
			}
		}
		cs := []Clue{For(6, fmt.Sprintf("the same cookies arrive from %v and then from %v", a, b), append([]facts.Place{wirePlace(v, first, "the first address")}, moved...)...)}
		for _, step := range []string{"AM2", "MM4"} {
			if u := s.unit(step); u != nil && len(u.Msgs) > 1 {
				cs = append(cs, For(0.5, fmt.Sprintf("%s is sent again to the old address", step), s.sentPlaces(u, "to the old address")...))
			}
		}
		return []Match{{Clues: cs, Title: fmt.Sprintf("The NAT in front of %s changes its public address from %v to %v within one attempt", s.name(s.ini), a.Addr(), b.Addr()),
			Explanation: fmt.Sprintf("On UDP 500 the client appears as %v, on UDP 4500 as %v, with the same cookies: a NAT pool without address pairing. %s does not accept the moved messages and goes on with the old address. They do arrive, so no port is blocked, and the key is not even looked at.", a, b, s.name(s.res)),
			Actions: []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, []string{"ask the carrier to pin one public address per subscriber (paired pooling, RFC 4787 REQ-2); hand over both addresses and the cookies " + facts.SPIHex(s.a.InitSPI),
				"use TCP/SSL VPN or a fixed address for these users meanwhile", "a load balancer in front of the gateway: keep UDP 500 and 4500 of one source on one member"}, "nothing changes on the devices")},
			Next: s.next("the client's capture shows that it sends both from one address")}}
	}
	if s.at(s.res) && s.stop.kind == noReply && s.other() {
		b := s.stop.unit.First().Rcvd()
		if b == nil {
			b = s.stop.unit.First().Message
		}
		cs := []Clue{For(5, fmt.Sprintf("%s arrives from %v; the address by which %s calls the client in NAT detection is another", s.stop.step, b.Src, s.name(s.res)), s.rcvdPlaces(s.stop.unit, "from another address than the messages before")...)}
		for _, step := range []string{"MM4", "AM2", "IKE_SA_INIT"} {
			if u := s.unit(step); u != nil && u.From == s.res {
				cs = append(cs, For(0.01, "its NAT detection names another address", s.sentPlaces(u, "")...))
			}
		}
		return []Match{{Clues: cs, Title: fmt.Sprintf("The NAT in front of %s changes its public address within one attempt", s.name(s.ini)),
			Explanation: fmt.Sprintf("%s arrives from %v and is not answered. The messages before came from another address: the hash in %s's NAT detection fits neither this address nor any port of it. That is a NAT pool without address pairing; no port is blocked, and the key is not even looked at. The capture at %s does not have those messages, so the old address itself is not known.", s.stop.step, b.Src.Addr(), s.name(s.res), s.name(s.res)),
			Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, []string{"ask the carrier to pin one public address per subscriber (paired pooling, RFC 4787 REQ-2); hand over the cookies " + facts.SPIHex(s.a.InitSPI)}, "nothing changes on the devices")},
			Next:        []report.Next{{Collect: "a capture at " + s.name(s.res) + " that begins before the attempt", Because: "shows both addresses", Playbook: "capture-both-ends"}}}}
	}
	// What the client alone sees: the first messages on 4500 without an answer, and the
	// answer of phase 1 on 500 repeated.
	if !s.at(s.res) && s.at(s.ini) && (s.stop.kind == unanswered || s.stop.kind == ended) && s.a.Floated() && s.nat() {
		l := s.missing()
		if l == nil || l.port != 4500 || l.open || l.frag || l.big || s.fresh(l.u) {
			return nil
		}
		var cs []Clue
		w := 2.2
		for _, step := range []string{"AM2", "MM4"} {
			if u := s.unit(step); u != nil && len(u.Msgs) > 1 {
				cs = append(cs, For(0.5, step+" comes again on UDP 500: the gateway lives and waits", s.rcvdPlaces(u, "again")...))
			}
		}
		cs = append(cs, For(w, fmt.Sprintf("%s on UDP 4500 stays unanswered behind a NAT", l.what()), s.sentPlaces(l.u, "no answer")...))
		return []Match{{Clues: cs, Title: fmt.Sprintf("The NAT in front of %s may give UDP 4500 another public address", s.name(s.ini)),
			Explanation: "Behind NAT, UDP 500 works and UDP 4500 stays unanswered. That is a blocked port, or a carrier's NAT pool that gives the second port another address, which the gateway then ignores. Only the gateway's capture tells: it sees nothing, or the same cookies from another address.",
			Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, []string{"ask the carrier whether one subscriber keeps one public address (paired pooling, RFC 4787 REQ-2)"}, "nothing changes on the devices")},
			Next:        s.next("separates udp-4500-blocked (nothing arrives) from nat-pool-address-change (it arrives from another address)")}}
	}
	return nil
}

// ignored tells whether the initiator's address moved within the attempt and the
// responder did not go on after it: copies of old answers and notifies are no progress.
func (s *story) ignored() bool {
	_, _, moved, ok := s.resettled()
	if !ok {
		return s.stop.kind == noReply && s.other()
	}
	for _, m := range s.a.Msgs {
		// A capture that began late has a copy of an old answer as the first of its kind.
		old := m.Step < moved.Step && (m.Step == "AM2" || m.Step == "MM2" || m.Step == "MM4")
		if m.From == s.res && m.Seq > moved.Seq && m.Copy == 0 && m.DuplicateOf < 0 && !infoMsg(m) && !old {
			return false
		}
	}
	return true
}

// resettled tells whether the initiator moved to another address: by its own messages, or
// by those of the responder, which go on to an address that nothing comes from any more
// (a capture that began late). It gives the old address, a message that shows it, and the
// first from the new one.
func (s *story) resettled() (old netip.AddrPort, shows *facts.Message, moved *path.Msg, ok bool) {
	if first, last, ok := s.moved(s.ini); ok {
		return first.Rcvd().Src, first.Rcvd(), last, true
	}
	from := map[netip.Addr]bool{}
	for _, m := range s.a.Msgs {
		if m.From == s.ini && m.Rcvd() != nil {
			from[m.Rcvd().Src.Addr()] = true
			if moved == nil {
				moved = m
			}
		}
	}
	for _, m := range s.a.Msgs {
		if x := m.Sent(); m.From == s.res && x != nil && moved != nil && (m.Step == "AM2" || m.Step == "MM2" || m.Step == "MM4") && !from[x.Dst.Addr()] {
			return x.Dst, x, moved, moved.Step > m.Step
		}
	}
	return old, nil, nil, false
}

// other tells whether the responder calls the initiator by another address than all its
// messages come from: in NAT detection, as a hash. A capture that began late at the
// responder has none of the messages from the old address.
func (s *story) other() bool {
	if s.named != nil {
		return *s.named
	}
	is := false
	s.named = &is
	var from []netip.Addr
	for _, m := range s.a.Msgs {
		if x := m.Rcvd(); m.From == s.ini && x != nil && s.at(s.res) && !slices.Contains(from, x.Src.Addr()) {
			from = append(from, x.Src.Addr())
		}
	}
	if len(from) == 0 || len(from) > 4 {
		return false
	}
	for _, n := range s.a.Negs {
		for _, x := range n.NATSeen {
			if !x.FromInitiator {
				is = !slices.ContainsFunc(from, x.Of)
			}
		}
	}
	return is
}

func infoMsg(m *path.Msg) bool { return m.Exchange == 5 || m.Exchange == 37 }

// wireNothing: a capture without IKE and ESP.
func wireNothing(t *Tunnel) []Match {
	s := t.reading()
	if s == nil || len(s.w.Attempts) > 0 || len(s.w.Flows) > 0 || len(s.w.CTCP) > 0 {
		return nil
	}
	if m := damagedIKE(s); m != nil {
		return []Match{*m}
	}
	var ps []facts.Place
	for _, v := range s.w.Views {
		if v.Capture.Packets == 0 && slices.ContainsFunc(t.Set.Errors, func(e facts.Error) bool { return e.Source == v.Capture.Source }) {
			continue // a damaged file says nothing about the tunnel
		}
		txt := "no packet at all"
		if n := v.Capture.Packets; n > 0 {
			var kinds []string
			for i, h := range v.Capture.Hosts {
				if i >= 3 {
					break
				}
				kinds = append(kinds, fmt.Sprintf("%v→%v %s", h.Src, h.Dst, strings.Join(h.Protocols, " ")))
			}
			txt = fmt.Sprintf("%d packets, no IKE, no ESP", n)
			for i, g := range v.Capture.Garbage {
				if i >= 2 {
					break
				}
				kinds = append(kinds, fmt.Sprintf("%v→%v on an IKE port and not IKE: %s", g.Src, g.Dst, g.What))
			}
			if len(kinds) > 0 {
				txt += "; others: " + strings.Join(kinds, ", ")
			}
		}
		ps = append(ps, whole(v, txt))
	}
	if len(ps) == 0 {
		return nil
	}
	cs := []Clue{For(5, "no IKE and no ESP of this tunnel", ps...)}
	expl := "Nothing in the capture belongs to the tunnel. Either nobody started it while the capture ran, or it does not arrive here, or the capture sits on the wrong interface or filters it away."
	if es := s.w.ICMP; len(es) > 0 {
		cs = append(cs, For(0.5, "an ICMP error quotes an IKE packet: one was sent", icmpPlaces(es)...))
		expl += " ICMP errors quote an IKE packet, so one was sent all the same: the capture's filter hides it."
	}
	return []Match{{Clues: cs, Title: "The capture has no IKE or ESP packet of this tunnel", Explanation: expl,
		Actions: []report.Action{{Class: report.None, Commands: []string{}, Steps: []string{"check interface and filter of the capture: filter by the two addresses, not by ports", "send traffic for the tunnel while it runs"}, Effect: "none"}},
		Next:    []report.Next{{Collect: "captures at both ends while traffic for the tunnel is sent", Because: "separates no-ike-from-initiator (nothing leaves) from udp-500-blocked (it leaves and does not arrive)", Playbook: "capture-both-ends"}}}}
}

// damagedIKE: what came on an IKE port has IKE's header and cannot be read beyond it. That is no
// absence of IKE.
func damagedIKE(s *story) *Match {
	var ps []facts.Place
	n := 0
	for _, v := range s.w.Views {
		for _, g := range v.Capture.Garbage {
			if !g.IKE {
				continue
			}
			n += g.Count
			if len(ps) < 4 {
				ps = append(ps, facts.Place{Source: v.Capture.Source, Packet: g.FirstPacket, Wire: true, Text: fmt.Sprintf("%v→%v IKE by version and exchange type, and damaged: %s; %s", g.Src, g.Dst, g.What, plural(g.Count, "packet", "packets"))})
			}
		}
	}
	if n == 0 {
		return nil
	}
	return &Match{Clues: []Clue{For(2.2, "IKE messages, none of which can be read", ps...)},
		Title:       "The capture has IKE, all of it damaged",
		Explanation: "Packets on the IKE port carry IKE's header, and what it says of the message is wrong: the length is not that of the datagram, or the payloads do not follow each other. Either the sender is broken or a test tool, or a device on the way rewrites the packets, or the capture was edited. None of it is a negotiation that could be followed.",
		Actions:     []report.Action{{Class: report.None, Commands: []string{}, Steps: []string{"find out who sends them; capture at that end too and compare byte by byte"}, Effect: "none"}},
		Next:        []report.Next{{Collect: "captures at both ends of the same time", Because: "shows whether the packets leave damaged or are damaged on the way", Playbook: "capture-both-ends"}}}
}

// gap is the longest time a healthy peer may stay silent between probes.
const gap = 3 * time.Second

// asaFragments makes an ASA cut IKE messages itself: it can for IKEv2 alone (newer 9.x, where it is on by default).
func asaFragments(version int) []string {
	if version == 2 {
		return []string{"crypto ikev2 fragmentation"}
	}
	return nil
}

func iosFragments(version int) []string {
	if version == 2 {
		return []string{"crypto ikev2 fragmentation mtu 1200"}
	}
	return []string{"crypto isakmp fragmentation"}
}

// version of IKE that the attempt speaks, 1 where only later packets were seen.
func (s *story) version() int {
	if s.a == nil {
		return 1
	}
	return s.a.Version()
}
