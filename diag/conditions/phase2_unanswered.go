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
