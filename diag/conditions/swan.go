package conditions

import (
	"slices"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/swan"
	"vpnbot/diag/report"
)

// swanStory is what the log of a strongSwan or libreswan gateway says of one peer, in its order.
type swanStory []facts.Event

// swanStories are the logs of such gateways among a tunnel's ends.
func (t *Tunnel) swanStories(look func(e *End, s swanStory)) {
	for _, e := range t.Ends {
		var s swanStory
		for _, ev := range e.Events() {
			if ev.Kind == "swan" && e.Names(ev) {
				s = append(s, ev)
			}
		}
		if len(s) > 0 {
			look(e, s)
		}
	}
}

// of returns the events with one of the outcomes.
func (s swanStory) of(ids ...string) swanStory {
	return slices.DeleteFunc(slices.Clone(s), func(ev facts.Event) bool { return !slices.Contains(ids, ev.ID) })
}

// after is what follows the last event with one of the outcomes, all when there is none.
func (s swanStory) after(ids ...string) swanStory {
	for i := len(s) - 1; i >= 0; i-- {
		if slices.Contains(ids, s[i].ID) {
			return s[i+1:]
		}
	}
	return s
}

// before is what precedes the first event with one of the outcomes.
func (s swanStory) before(ids ...string) swanStory {
	for i := range s {
		if slices.Contains(ids, s[i].ID) {
			return s[:i]
		}
	}
	return s
}

// saying returns the events whose words hold one of the phrases.
func (s swanStory) saying(phrases ...string) swanStory {
	return saying(s, phrases...)
}

// swanOutcome makes a condition of lines that name their cause by themselves. less weakens it.
func swanOutcome(id, note, title, why string, weight float64, step string, ids []string, less func(s swanStory) bool) Condition {
	return Condition{ID: id, Severity: report.Critical, Look: func(t *Tunnel) (out []Match) {
		t.swanStories(func(e *End, s swanStory) {
			x := s.of(ids...)
			if len(x) == 0 || less != nil && less(s) {
				return
			}
			clues := []Clue{For(weight, e.Label()+" says it: "+note, at(x...)...)}
			if y := s.after(ids...).of(swan.ChildUp); len(y) > 0 {
				clues = append(clues, Against(3.5, "a tunnel comes up after it", y[0].Place))
			}
			out = append(out, Match{Clues: clues, Title: title + " (" + t.between() + ")", Explanation: why, Actions: []report.Action{advise(e, nil, step)}})
		})
		return out
	}}
}

// swanConditions read what the other make's log says where the peer of a Cisco device is one.
func swanConditions() []Condition {
	certificates := func(s swanStory) bool {
		return len(s.saying("end entity cert", "received cert", "rsa signature", "ecdsa", "sending cert", "certificate")) > 0
	}
	return []Condition{
		{ID: "dead-peer", Severity: report.Critical, Look: func(t *Tunnel) (out []Match) {
			t.swanStories(func(e *End, s swanStory) {
				gone := s.of(swan.GaveUp, swan.Dead)
				was := append(s.before(swan.GaveUp, swan.Dead).of(swan.Probe, swan.Up, swan.ChildUp), s.of(swan.Dead)...)
				if len(gone) == 0 || len(was) == 0 {
					return
				}
				clues := []Clue{For(2.6, e.Label()+" had a tunnel with the peer and gave up waiting for an answer", append(at(gone[:1]...), at(was[:1]...)...)...)}
				if len(gone) > 1 {
					clues = append(clues, For(1, "new negotiations get no answer", at(gone[1:]...)...))
				}
				if back := s.after(swan.GaveUp, swan.Dead).of(swan.Up, swan.ChildUp, swan.Received); len(back) > 0 {
					clues = append(clues, Against(3, "the peer answers again", back[0].Place))
				}
				out = append(out, Match{Clues: clues, Title: "The peer of " + t.between() + " stopped answering",
					Explanation: "The tunnel was there, dead-peer detection asked and nothing came back, on any further attempt either. The peer's host, power or line is down, or everything between is cut; nothing points to the VPN's configuration.",
					Actions:     []report.Action{hand("check the far site's power and uplink; another ISP line proves the configuration innocent", "ask whether other tunnels of that site and its public address answer")},
					Next:        []report.Next{bothEnds("a peer that still sends means path-lost-midway, one that does not means dead-peer")}})
			})
			return out
		}},
		{ID: "udp-500-blocked", Severity: report.Critical, Look: func(t *Tunnel) (out []Match) {
			t.swanStories(func(e *End, s swanStory) {
				gone := s.of(swan.GaveUp)
				if len(gone) == 0 || len(s.of(swan.Received, swan.Up, swan.ChildUp, swan.Probe, swan.Dead)) > 0 || len(s.of(swan.Initiating, swan.Repeat)) == 0 {
					return
				}
				out = append(out, Match{Clues: []Clue{For(2.2, "nothing answered "+e.Label()+"'s first message", append(at(gone...), at(s.of(swan.Initiating, swan.Repeat)[:1]...)...)...)},
					Title:       "UDP 500 does not get through between " + t.between(),
					Explanation: "The first IKE message is sent again and again and nothing comes back: it does not arrive, the peer's address is wrong, or the peer is silent.",
					Actions:     []report.Action{hand("permit UDP 500 both ways on every hop between " + t.between())},
					Next:        []report.Next{bothEnds("separates udp-500-blocked from udp-500-return-blocked and responder-silent")}})
			})
			return out
		}},
		swanOutcome("phase1-policy-mismatch", "no proposal was chosen", "The IKE proposals have nothing in common",
			"The negotiation is refused before anything is established: no encryption, hash, group and authentication are common to both ends. The line names what was offered where the log shows it.", 3.2,
			"compare ike= (proposals) with the crypto ikev1/ikev2 policies of the Cisco end", []string{swan.NoProposal},
			func(s swanStory) bool {
				return len(s.before(swan.NoProposal).of(swan.Up)) > 0 || len(s.of(swan.NoConfig)) > 0
			}),
		swanOutcome("transform-set-mismatch", "no proposal was chosen for the IPsec SA", "The IPsec proposals (transform sets) have nothing in common",
			"Phase 1 is established and the IPsec SA is refused: encryption, hash or PFS group of phase 2 differ.", 3.2,
			"compare esp= (esp_proposals) with the transform set and set pfs of the Cisco end", []string{swan.NoProposal, swan.NoProposal2},
			func(s swanStory) bool {
				return len(s.of(swan.NoProposal2)) == 0 && len(s.before(swan.NoProposal).of(swan.Up)) == 0
			}),
		swanOutcome("peer-address-mismatch", "no connection is configured for this peer", "The gateway has no connection for the peer that knocks",
			"The negotiation arrives and no configured connection fits the pair of addresses (or identities): left, right or the crypto map's peer is another address than the one in use.", 3,
			"compare left/right (local_addrs, remote_addrs) with set peer and the tunnel-group's name", []string{swan.NoConfig}, nil),
		swanOutcome("psk-mismatch", "the proof of the key is wrong, or what it encrypts is garbage", "The pre-shared keys differ",
			"The key exchange is done and the first message that rests on the key cannot be read or verified: the keys of the two ends differ.", 3.6,
			"enter the key again at both ends (ipsec.secrets or swanctl.conf, and the tunnel-group)", []string{swan.KeyDiffers}, nil),
		swanOutcome("psk-mismatch", "the peer answers AUTHENTICATION_FAILED", "The pre-shared keys differ",
			"The peer refuses this end's proof of the key. A wrong identity is refused alike; the peer's log tells them apart.", 2.4,
			"enter the key again at both ends; then compare leftid/rightid with what the peer expects", []string{swan.AuthFailed},
			func(s swanStory) bool { return certificates(s) || len(s.of(swan.KeyDiffers)) > 0 }),
		swanOutcome("certificate-rejected", "a certificate is not accepted", "A certificate is not accepted",
			"The proof by certificate is refused: trust anchor, validity, revocation or name. The line says which where the log shows it.", 3,
			"trust anchor, validity, CRL reachability, clock", []string{swan.Certificate}, nil),
		swanOutcome("certificate-rejected", "the peer answers AUTHENTICATION_FAILED and certificates are in use", "The certificate is not accepted by the peer",
			"Certificates are in use and the peer refuses the proof.", 2.4, "the peer's log names the reason: trust anchor, validity, CRL, name", []string{swan.AuthFailed},
			func(s swanStory) bool { return !certificates(s) || len(s.of(swan.Certificate)) > 0 }),
		swanOutcome("crypto-acl-mismatch", "the networks are not agreed", "The protected networks of the two ends do not match",
			"Phase 1 is established and the peer refuses the pair of networks: leftsubnet/rightsubnet and the crypto access list are not mirror images.", 3.4,
			"compare leftsubnet/rightsubnet (local_ts, remote_ts) with the crypto access list entry by entry", []string{swan.Selectors}, nil),
		{ID: "peer-deleted-sa", Severity: report.Minor, Look: func(t *Tunnel) (out []Match) {
			t.swanStories(func(e *End, s swanStory) {
				x := s.of(swan.Deleted)
				if len(x) == 0 {
					return
				}
				clues := []Clue{For(2.8, "the peer deleted the SA", at(x...)...)}
				if y := s.after(swan.Deleted).of(swan.Initiating, swan.Up, swan.ChildUp, swan.Received); len(y) > 0 {
					clues = append(clues, Against(2.5, "a new negotiation follows", y[0].Place))
				}
				out = append(out, Match{Clues: clues, Title: "The peer of " + e.Label() + " (" + e.PeerLabel() + ") closed the tunnel",
					Explanation: "The peer sent a delete and did not come back: it was closed there on purpose, by its user, its administrator or its timeout.",
					Actions:     []report.Action{harmless("nothing to repair here; ask the other side")}})
			})
			return out
		}},
	}
}
