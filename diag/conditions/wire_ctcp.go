package conditions

import (
	"fmt"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// ctcpName is a segment as evidence.
func ctcpPlace(v *path.View, f *facts.CTCPFlow, g *facts.CTCPSegment, what string) facts.Place {
	t := g.Time
	a, b := f.Client, f.Server
	if !g.FromClient {
		a, b = b, a
	}
	txt := fmt.Sprintf("%s %v→%v TCP %s, seq %d ack %d, %d bytes", stamp(t), a, b, g.Label, g.Seq, g.Ack, g.Length)
	if what != "" {
		txt += ": " + what
	}
	return facts.Place{Source: v.Capture.Source, Packet: g.Packet, Wire: true, Time: &t, Text: txt}
}

// wireCTCPDrop: a hole in the byte stream, duplicate acknowledgements, no resend.
func wireCTCPDrop(s *story) *Match {
	for _, c := range s.w.CTCP {
		for end := range 2 {
			f, v := c.Seen[end], s.w.Ends[end].View
			if f == nil || v == nil || !f.Content {
				continue
			}
			// Runs of one acknowledgement number from the server (or the client).
			for _, fromClient := range []bool{false, true} {
				acks := map[uint32][]*facts.CTCPSegment{}
				var order []uint32
				top := uint32(0)
				topSet := false
				for i := range f.Segments {
					g := &f.Segments[i]
					if g.FromClient != fromClient || g.Flags&(2|4) != 0 {
						continue
					}
					if g.Length == 0 && g.Flags&16 != 0 {
						if acks[g.Ack] == nil {
							order = append(order, g.Ack)
						}
						acks[g.Ack] = append(acks[g.Ack], g)
						if !topSet || int32(g.Ack-top) > 0 {
							top, topSet = g.Ack, true
						}
					}
				}
				for _, a := range order {
					run := acks[a]
					dups := 0
					for _, g := range run {
						if g.DupAck {
							dups++
						}
					}
					if dups == 0 && len(run) >= 4 {
						dups = len(run) - 1
					}
					if dups < 3 || int32(top-a) > 0 {
						continue // the acknowledgement moved on: the hole was filled
					}
					// The other side sent past the hole and never the missing bytes again.
					var past []*facts.CTCPSegment
					resent, lostSeg := false, (*facts.CTCPSegment)(nil)
					for i := range f.Segments {
						g := &f.Segments[i]
						if g.FromClient == fromClient || g.Length == 0 {
							continue
						}
						if int32(g.Seq-a) > 0 {
							past = append(past, g)
						}
						if g.Seq == a {
							if lostSeg != nil || g.Resend {
								resent = true
							}
							lostSeg = g
						}
					}
					if len(past) < 3 || resent {
						continue
					}
					var ps []facts.Place
					if lostSeg != nil {
						ps = append(ps, ctcpPlace(v, f, lostSeg, "left once, never again"))
					}
					for i, g := range run {
						if i > 4 {
							break
						}
						ps = append(ps, ctcpPlace(v, f, g, "the same acknowledgement again"))
					}
					cs := []Clue{For(5, fmt.Sprintf("%d duplicate acknowledgements for byte %d, and it is never sent again", dups, a), ps...),
						For(0.3, "the sender goes on with new data", ctcpPlace(v, f, past[len(past)-1], "new data, not the missing bytes"))}
					if f.ResetBy != "" {
						cs = append(cs, For(0.3, "then the connection is reset", facts.Place{Source: v.Capture.Source, Packet: f.ResetPacket, Wire: true, Text: "RST by the " + f.ResetBy}))
					}
					return &Match{Clues: cs, Title: "A device between the ends treats IPsec over TCP as real TCP and drops it",
						Explanation: fmt.Sprintf("IPsec over TCP between %v and %v only looks like TCP: its ends never resend. A segment was lost, something that keeps TCP state asks for it again with %d duplicate acknowledgements, nobody answers, and the flow dies while the client goes on sending.", f.Client, f.Server, dups),
						Actions: []report.Action{s.mend(report.Advise, 1-c.Client, []string{"access-list CTCP extended permit tcp any any eq " + fmt.Sprint(f.Server.Port()), "class-map CTCP", "match access-list CTCP", "policy-map BYPASS", "class CTCP", "set connection advanced-options tcp-state-bypass", "service-policy BYPASS interface <interface>"}, nil,
							[]string{"move the client to IPsec over UDP (NAT-T) or native ESP, or to AnyConnect (a real TCP stack)", "tcp-state-bypass on the firewall between is a stopgap only"}, "the firewall no longer checks the TCP state of these flows")},
						Next: s.next("shows whether the missing segment left, and who sends the duplicate acknowledgements")}
				}
			}
		}
	}
	return nil
}

// wireCTCPBlocked: SYNs without an answer, or answered by a reset.
func wireCTCPBlocked(s *story) *Match {
	for _, c := range s.w.CTCP {
		for _, end := range []int{c.Client, 1 - c.Client} {
			f, v := c.Seen[end], s.w.Ends[end].View
			if f == nil || v == nil || f.SYNs == 0 || f.SYNACKs > 0 && (f.Content || len(f.Segments) > 4) {
				continue
			}
			var syn []facts.Place
			var rst []facts.Place
			for i := range f.Segments {
				g := &f.Segments[i]
				if g.Flags&2 != 0 && g.FromClient && len(syn) < 4 {
					syn = append(syn, ctcpPlace(v, f, g, ""))
				}
				if g.Flags&4 != 0 && !g.FromClient && len(rst) < 3 {
					rst = append(rst, ctcpPlace(v, f, g, "refused"))
				}
			}
			w, expl := 0.0, ""
			var cs []Clue
			switch {
			case f.ResetBy == "server" || len(rst) > 0:
				w = 4.6
				expl = fmt.Sprintf("Port %d is answered by a reset: nobody listens there, or a device on the path refuses.", f.Server.Port())
				cs = append(cs, For(w, "the connection is refused", append(rst, syn...)...))
			case f.SYNs >= 2 && f.SYNACKs == 0:
				w = 4
				if o := c.Seen[1-end]; s.both() && o == nil {
					w = 5
				}
				expl = fmt.Sprintf("The SYN to port %d repeats and gets no answer.", f.Server.Port())
				cs = append(cs, For(w, fmt.Sprintf("%d SYNs without an answer", f.SYNs), syn...))
			default:
				continue
			}
			return &Match{Clues: cs, Title: fmt.Sprintf("TCP port %d of %s does not get through", f.Server.Port(), s.name(1-c.Client)), Explanation: expl + " IPsec over TCP cannot start.",
				Actions: []report.Action{s.mend(report.Advise, 1-c.Client, []string{fmt.Sprintf("crypto ikev1 ipsec-over-tcp port %d", f.Server.Port())}, nil, []string{"ASA to 8.3: crypto isakmp ipsec-over-tcp port", "open the port on the path"}, "the headend listens on the port")},
				Next:    s.next("shows whether the SYN arrives, and who sends the reset")}
		}
	}
	return nil
}
