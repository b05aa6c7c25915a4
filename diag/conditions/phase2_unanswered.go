package conditions

import (
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// quickModeText is quick mode (or a child exchange) without any answer, as logs and debugs show it.
var quickModeText = Condition{
	ID:        "quick-mode-unanswered",
	Cause:     "the first phase 2 message gets no answer",
	Shows:     "captures: quick mode message 1 repeats after a complete phase 1; QM_WAIT states",
	Severity:  report.Critical,
	SymptomOf: []string{"udp-4500-blocked", "nat-pool-address-change", "path-fragments-dropped", "pmtu-black-hole", "path-large-packets-dropped", "path-lost-midway", "crypto-acl-mismatch", "transform-set-mismatch", "pfs-mismatch"},
	Reference: "Meraki: both keep sending phase 2; RFC 2409 section 5.5",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			evs := e.Events()
			done := len(withID(evs, "713119")) > 0 || len(saying(evs, "ike_p1_complete", "phase 1 completed", "beginning quick mode exchange")) > 0 || slices.ContainsFunc(e.IKE(), IsUp)
			if !done {
				continue
			}
			var clues []Clue
			if x := saying(evs, "retransmitting phase 2", "retransmit phase 2"); len(x) > 1 {
				clues = append(clues, For(3.4, e.Label()+" sends quick mode again and again", at(x...)...))
			}
			resent := saying(saying(evs, "resending message"), "sa (1)")
			if len(resent) > 0 {
				clues = append(clues, For(2.4, e.Label()+" sends its quick mode message again", at(resent...)...))
			}
			if x := saying(evs, "qm_wait_msg2, ev_timeout"); len(x) > 0 {
				clues = append(clues, For(2.6, "quick mode timed out while waiting for message 2", at(x...)...))
			}
			if x := saying(evs, "retransmitting create_child_sa", "create_child_sa retransmit", "child sa exchange timed out"); len(x) > 0 {
				clues = append(clues, For(2.8, "the child exchange gets no answer", at(x...)...))
			}
			if y := saying(evs, "retransmitting packet"); len(y) > 1 {
				if x, ok := e.childRequest(); ok {
					clues = append(clues, For(3.2, "the child exchange is sent again and again", append(at(y...), x)...))
				}
			}
			if len(clues) == 0 {
				continue
			}
			if x := append(withID(evs, "713068", "713061"), saying(evs, "proposal_not_chosen", "no_proposal_chosen", "no proposal chosen", "invalid_id_information", "invalid id info", "ts_unacceptable", "proxy identities not supported", "proposals found unacceptable", "not acceptable")...); len(x) > 0 {
				clues = append(clues, Against(4, "the peer answers with a refusal", at(x...)...))
			}
			if x := append(withID(evs, "713120"), saying(evs, "phase 2 completed", "ike_qm_phase2_complete")...); len(x) > 0 {
				clues = append(clues, Against(3, "quick mode completed", at(x...)...))
			}
			if x := saying(evs, "qm_wait_msg3, ev", "new state = ike_qm_r_qm2"); len(x) > 0 {
				clues = append(clues, Against(4, e.Label()+" is the responder: what it repeats is message 2", at(x...)...))
			}
			if x := saying(evs, "transaction mode", "xauth", "mode config"); len(x) > 0 && len(e.Entries()) == 0 {
				clues = append(clues, Against(1.5, "user authentication or mode configuration stands before it"))
			}
			if up := t.phase2Works(); len(up) > 0 {
				clues = append(clues, Against(2, "an IPsec SA exists", up[0]))
			}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       "Phase 1 with " + e.PeerLabel() + " is up and " + e.Label() + " gets no answer to quick mode",
				Explanation: "Phase 1 completed, the first message of phase 2 leaves and is repeated, and nothing comes back: no proposal, no refusal. Either the message does not arrive (it is larger than those before, and behind a NAT it goes on UDP 4500), or the peer drops it without a word.",
				Actions:     []report.Action{advise(nil, nil, "look at the peer's log at the moment of the attempt", "compare phase 2 settings and subnets of both ends")},
				Next:        []report.Next{bothEnds("shows whether quick mode arrives at the peer and whether an answer leaves")}})
		}
		return out
	},
}

// quickModeLastText is the third quick-mode message that does not arrive, as the responder's
// log shows it: the FSM history of %ASA-7-715065 or of a debug, and IOS's QM states.
var quickModeLastText = Condition{
	ID:        "quick-mode-last-message-lost",
	Cause:     "the third quick-mode message is lost",
	Shows:     "captures: message 2 repeats while ESP already comes; responder times out in QM_WAIT_MSG3",
	Severity:  report.Critical,
	Reference: "RFC 2409 section 5.5; %ASA-7-715065 FSM error history",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			evs := e.Events()
			var clues []Clue
			if x := saying(evs, "qm_wait_msg3, ev_timeout", "qm_wait_msg3, ev_rexmit"); len(x) > 0 {
				clues = append(clues, For(3.2, e.Label()+" answered quick mode and waited in vain for message 3", at(x...)...))
			}
			if x, y := saying(evs, "new state = ike_qm_r_qm2"), saying(evs, "retransmitting phase 2", "retransmit phase 2"); len(x) > 0 && len(y) > 1 {
				clues = append(clues, For(3.2, e.Label()+" answered quick mode and sends its answer again and again", at(append(x[len(x)-1:], y...)...)...))
			}
			if len(clues) == 0 {
				continue
			}
			if x := saying(evs, "resending message"); len(x) > 0 {
				clues = append(clues, For(0.6, "it sends message 2 again", at(x...)...))
			}
			if x := append(withID(evs, "713120"), saying(evs, "phase 2 completed", "ike_qm_phase2_complete")...); len(x) > 0 {
				clues = append(clues, Against(4, "quick mode completed here", at(x...)...))
			}
			initiator := "the initiator"
			if o := t.Other(e); o != nil {
				initiator = o.Label()
				oe := o.Events()
				if x := append(withID(oe, "713120"), saying(oe, "phase 2 completed", "ike_qm_phase2_complete")...); len(x) > 0 {
					clues = append(clues, For(2, initiator+" takes the tunnel for up", at(x...)...))
				} else if len(saying(oe, "qm_wait_msg2, ev_timeout", "retransmitting phase 2")) > 0 {
					clues = append(clues, Against(4, initiator+" never got message 2"))
				}
			} else if e.Peer.IsValid() {
				initiator = e.Peer.String()
			}
			act := advise(nil, nil, "clear the IPsec SAs of this one peer at both ends")
			if e.Peer.IsValid() {
				act = clearIPsec(e)
			}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       "The last message of quick mode from " + initiator + " does not reach " + e.Label(),
				Explanation: e.Label() + " answered quick mode with " + e.PeerLabel() + ", sent its answer again and gave up waiting for message 3. When the initiator got the answer it takes the tunnel for up and sends ESP that is dropped here; when it did not, the answer is what gets lost.",
				Actions:     []report.Action{act},
				Next:        []report.Next{bothEnds("shows whether message 2 arrives at the initiator and whether message 3 leaves")}})
		}
		return out
	},
}

// childRequest finds the line of an IKEv2 debug that says that a child exchange was started.
func (e *End) childRequest() (facts.Place, bool) {
	if x := saying(e.Events(), "create_child_sa exchange request"); len(x) > 0 {
		return x[0].Place, true
	}
	for _, o := range e.Device.Outputs {
		for _, l := range o.Text {
			if strings.Contains(l.Text, "CREATE_CHILD_SA Exchange REQUEST") {
				return facts.Place{Source: o.Place.Source, Line: l.N, Text: strings.TrimSpace(l.Text)}, true
			}
		}
	}
	return facts.Place{}, false
}
