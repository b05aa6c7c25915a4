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

// What one end refuses or does not answer, though it was asked: keys, policies,
// identities, user authentication, addresses, phase 2. Encrypted messages are read from
// their order, length and repetition alone.

// wireLook guards a condition against tunnels without captures or with captures of different times.
func wireLook(look func(s *story) *Match) func(*Tunnel) []Match {
	return func(t *Tunnel) []Match {
		s := t.reading()
		if s == nil || !s.w.Comparable {
			return nil
		}
		if m := look(s); m != nil && len(m.Clues) > 0 {
			m.Explanation += s.whichPeer()
			return []Match{*m}
		}
		return nil
	}
}

// portClosed lists ICMP port unreachable that the end a message was for sent back itself.
func (s *story) portClosed(sender int) []path.ICMP {
	var out []path.ICMP
	for _, e := range s.icmpAbout(sender, 3, 3) {
		if s.w.EndOf(e.From) == 1-sender && (e.Quoted.Dst.Port() == 500 || e.Quoted.IKE) {
			out = append(out, e)
		}
	}
	return out
}

func (s *story) exchange() string {
	if s.a == nil {
		return ""
	}
	return s.a.Exchange()
}

// beyondAggressive finds anything that follows a finished aggressive mode.
func (s *story) beyondAggressive() *path.Trade {
	for _, t := range s.trades {
		if t.Step == facts.StepXAUTH || t.Step == facts.StepMODECFG || t.Step == "QM" {
			return t
		}
	}
	return nil
}

// firstRefused is a clear error notify that answers the first message.
func (s *story) firstRefused() (u *path.Unit, n facts.Notify, ok bool) {
	if s.a == nil || s.up || s.passerBy() {
		return nil, n, false
	}
	for _, x := range s.trades {
		if !x.Info && x.Step != "MM1" && x.Step != "AM1" && x.Step != "IKE_SA_INIT" {
			return nil, n, false
		}
	}
	u, n, ok = s.notify(s.res)
	if !ok {
		return nil, n, false
	}
	// An answer that came as well counts more than a notify to a stray copy.
	for _, step := range []string{"MM2", "AM2"} {
		if s.unit(step) != nil {
			return nil, n, false
		}
	}
	return u, n, true
}

// passerBy tells of a scanner on the Internet that is refused while the headend's tunnel with
// somebody else works: its IKEv1 names no vendor, as nearly every gateway and client does (NAT-T,
// DPD), its IKEv2 announces nothing (NAT detection). A gateway that names none wants its tunnel, and
// asks again and again.
func (s *story) passerBy() bool {
	v := s.w.Ends[s.res].View
	if v == nil || s.at(s.ini) {
		return false
	}
	var first, last time.Time
	asked := 0
	for _, a := range s.w.Attempts {
		for _, n := range a.Negs {
			if len(n.VendorIDs) > 0 || !n.RoleKnown || n.Version == 2 && slices.ContainsFunc(n.Messages, func(m facts.Message) bool { return m.FromInitiator && len(m.Notifies) > 0 }) {
				return false
			}
		}
		for _, m := range a.Msgs {
			if m.From != s.ini {
				continue
			}
			if asked++; first.IsZero() {
				first = m.At
			}
			last = m.At
		}
	}
	if asked >= 4 && last.Sub(first) >= time.Minute {
		return false
	}
	return slices.ContainsFunc(s.w.Ends[s.res].Addrs, func(a netip.Addr) bool { return s.t.serves(v.Capture, a) })
}

func (s *story) refusedClue(w float64, u *path.Unit, n facts.Notify) []Clue {
	ps := s.sentPlaces(u, n.Name)
	var req []facts.Place
	if len(s.trades) > 0 {
		for _, t := range s.trades {
			if !t.Info && t.Req != nil {
				req = s.sentPlaces(t.Req, "")
				break
			}
		}
	}
	cs := []Clue{For(w, fmt.Sprintf("the first message is answered by %s (%d) in the clear", n.Name, n.Type), ps...)}
	if len(req) > 0 {
		cs = append(cs, For(0.01, "what was asked", req[:1]...))
	}
	return cs
}

// offer describes what the initiator proposed, for the explanation.
func (s *story) offer() string {
	for _, n := range s.a.Negs {
		var out []string
		for _, p := range n.Offered {
			var parts []string
			for _, t := range p.Transforms {
				var f []string
				for _, x := range []string{t.Encryption, t.Hash, t.PRF, t.Group, t.Auth} {
					if x != "" {
						f = append(f, x)
					}
				}
				if len(f) > 0 {
					parts = append(parts, strings.Join(f, "/"))
				}
				if len(parts) >= 6 {
					parts = append(parts, "…")
					break
				}
			}
			if len(parts) > 0 {
				out = append(out, strings.Join(parts, ", "))
			}
		}
		if len(out) > 0 {
			return " Offered: " + strings.Join(out, "; ") + "."
		}
	}
	return ""
}

func wireIKEConditions() []Condition {
	return []Condition{
		{
			ID: "psk-mismatch", Severity: report.Critical, Prefer: []string{"nat-pool-address-change"}, Reference: "S1: re-enter or recover pre-shared keys; RFC 2409 5.4",
			Look: wireLook(func(s *story) *Match {
				a := s.authTrouble()
				if a == nil || a.weight <= 0 {
					return nil
				}
				return &Match{Clues: []Clue{For(a.weight, a.note, a.places...)},
					Title:       fmt.Sprintf("The pre-shared keys of %s and %s differ", s.name(s.ini), s.name(s.res)),
					Explanation: a.expl,
					Actions: []report.Action{s.mend(report.Advise, s.res,
						[]string{"tunnel-group <peer> ipsec-attributes", "no ikev1 pre-shared-key", "ikev1 pre-shared-key ****"},
						[]string{"no crypto isakmp key **** address <peer>", "crypto isakmp key **** address <peer>"},
						[]string{"type the key again at both ends at the same time; a trailing blank counts", "ASA to 8.3: no pre-shared-key, pre-shared-key ****"}, "the next attempt authenticates; running tunnels stay up")},
					Next: append(s.next("shows whether message 5 arrives, from which address, and what leaves in answer"), report.Next{Collect: "the log of " + s.name(a.refuser), Because: "it says whether it could not decrypt or did not accept the identity", Playbook: "diagnose"})}
			}),
		},
		{
			ID: "certificate-rejected", Severity: report.Critical, Reference: "practice; RFC 4945",
			Look: wireLook(func(s *story) *Match {
				a := s.authTrouble()
				if a == nil || a.cert <= 0 {
					return nil
				}
				return &Match{Clues: []Clue{For(a.cert, a.note, a.places...)},
					Title:       fmt.Sprintf("%s does not accept the certificate of %s", s.name(a.refuser), s.name(1-a.refuser)),
					Explanation: a.expl + " Certificates authenticate here, so the trust point, the validity, the clock or the revocation check comes first.",
					Actions:     []report.Action{s.mend(report.Advise, a.refuser, nil, nil, []string{"check trust point, validity dates, revocation check (is the CRL server reachable?) and the clock: show crypto ca certificates"}, "none by itself")},
					Next:        []report.Next{{Collect: "the log of " + s.name(a.refuser), Because: "the notify is encrypted; the log names the reason", Playbook: "diagnose"}}}
			}),
		},
		{
			ID: "identity-mismatch", Severity: report.Critical, Reference: "S1: verify ISAKMP identity",
			Look: wireLook(func(s *story) *Match {
				a := s.authTrouble()
				if a == nil || a.ident <= 0 {
					return nil
				}
				return &Match{Clues: []Clue{For(a.ident, a.note, a.places...)},
					Title:       fmt.Sprintf("%s does not accept the identity of %s", s.name(a.refuser), s.name(1-a.refuser)),
					Explanation: a.expl,
					Actions:     []report.Action{s.mend(report.Advise, 1-a.refuser, []string{"crypto isakmp identity address"}, []string{"crypto isakmp identity address"}, []string{"compare the identity one end sends with the tunnel-group or key name of the other"}, "the next attempt sends its address as identity")},
					Next:        []report.Next{{Collect: "the log of " + s.name(a.refuser), Because: "the notify is encrypted; the log names the reason", Playbook: "diagnose"}}}
			}),
		},
		{
			ID: "phase1-policy-mismatch", Severity: report.Critical, Reference: "S1: verify that ISAKMP policies match",
			Look: wireLook(func(s *story) *Match {
				u, n, ok := s.firstRefused()
				if !ok {
					return nil
				}
				w := 0.0
				switch n.Type {
				case 14: // NO_PROPOSAL_CHOSEN
					w = 4.2
				case 15, 13: // BAD_PROPOSAL_SYNTAX, ATTRIBUTES_NOT_SUPPORTED
					w = 3
				default:
					return nil
				}
				return &Match{Clues: s.refusedClue(w, u, n),
					Title:       fmt.Sprintf("%s finds no common phase 1 policy with %s", s.name(s.res), s.name(s.ini)),
					Explanation: fmt.Sprintf("%s answers the first message with %s in the clear, at once. The path is open both ways.%s A headend also says so when it has no configuration for this peer's address, or only for the other IKE version: compare policies first, then the peer address.", s.name(s.res), n.Name, s.offer()),
					Actions: []report.Action{s.mend(report.Advise, s.res, []string{"crypto ikev1 policy <n>", "authentication pre-share", "encryption <as the peer>", "hash <as the peer>", "group <as the peer>"},
						[]string{"crypto isakmp policy <n>", "encryption <as the peer>", "hash <as the peer>", "authentication pre-share", "group <as the peer>"}, []string{"compare encryption, hash, authentication and DH group of both ends"}, "new attempts find a common policy")},
					Next: []report.Next{{Collect: "the configuration and the log of " + s.name(s.res), Because: "separates phase1-policy-mismatch from peer-address-mismatch and ike-version-mismatch", Playbook: "diagnose"}}}
			}),
		},
		{
			ID: "peer-address-mismatch", Severity: report.Critical, Reference: "S1: verify the peer IP address, tunnel group and group names",
			Look: wireLook(func(s *story) *Match {
				u, n, ok := s.firstRefused()
				if !ok {
					return nil
				}
				w := 0.0
				switch {
				case n.Type == 24 && s.exchange() == "aggressive":
					w = 4.4
				case n.Type == 24, n.Type == 18:
					w = 3
				case n.Type == 14:
					w = 2
				default:
					return nil
				}
				expl := fmt.Sprintf("%s answers the first message with %s in the clear.", s.name(s.res), n.Name)
				title := fmt.Sprintf("%s has no configuration for the peer %s", s.name(s.res), s.w.Public(s.ini))
				if s.exchange() == "aggressive" && n.Type == 24 {
					title = fmt.Sprintf("%s does not know the group that %s names", s.name(s.res), s.name(s.ini))
					expl += " Aggressive mode names its group in the first message; a refusal before any key was used means that the name is not known there."
				} else {
					expl += " It says so also when no policy fits; here the address under which the peer is configured is the question."
				}
				return &Match{Clues: s.refusedClue(w, u, n), Title: title, Explanation: expl,
					Actions: []report.Action{s.mend(report.Advise, s.res, []string{"crypto map <map> <seq> set peer <peer>", "tunnel-group <peer> type ipsec-l2l", "tunnel-group <peer> ipsec-attributes"},
						[]string{"crypto map <map> <seq> ipsec-isakmp", "set peer <peer>", "crypto isakmp key **** address <peer>"}, []string{"compare the group name or the peer address on both ends, letter by letter"}, "new attempts find their group")},
					Next: []report.Next{{Collect: "the configuration of " + s.name(s.res), Because: "shows whether this peer or group is configured", Playbook: "diagnose"}}}
			}),
		},
		{
			ID: "ike-version-mismatch", Severity: report.Critical, Reference: "practice; RFC 7296 2.5",
			Look: wireLook(func(s *story) *Match {
				if u, n, ok := s.firstRefused(); ok && n.Type == 5 {
					return s.versionMatch(s.refusedClue(5, u, n), "answers with INVALID_MAJOR_VERSION")
				}
				// Attempts of both versions, none of which gets anywhere.
				var v [3]*path.Attempt
				for _, a := range s.w.Attempts {
					if k := a.Version(); k == 1 || k == 2 {
						if completed(a) {
							return nil
						}
						v[k] = a
					}
				}
				if v[1] == nil || v[2] == nil || v[1].Initiator == v[2].Initiator {
					return nil
				}
				var ps []facts.Place
				for _, a := range v[1:] {
					ps = append(ps, s.sentPlaces(a.Units[0], fmt.Sprintf("IKEv%d", a.Version()))[:1]...)
				}
				return s.versionMatch([]Clue{For(4.4, "one end starts with IKEv1, the other with IKEv2", ps...)}, "starts with another version")
			}),
		},
		{
			ID: "exchange-mode-mismatch", Severity: report.Critical, Reference: "S2: aggressive mode not supported",
			Look: wireLook(func(s *story) *Match {
				u, n, ok := s.firstRefused()
				if !ok || s.n.Version != 1 || n.Type != 7 && n.Type != 29 { // 7 is INVALID_SYNTAX in IKEv2
					return nil
				}
				return &Match{Clues: s.refusedClue(4.6, u, n), Title: fmt.Sprintf("%s does not accept %s mode", s.name(s.res), s.exchange()),
					Explanation: fmt.Sprintf("The first message is answered by %s: the exchange type itself is refused.", n.Name),
					Actions: []report.Action{s.mend(report.Advise, s.res, []string{"no crypto ikev1 am-disable"}, []string{"no crypto isakmp aggressive-mode disable"},
						[]string{"better: main mode or IKEv2 at the other end"}, "the mode is accepted")}}
			}),
		},
		{
			ID: "non-routine-notify", Severity: report.Major, Reference: "S1: received non-routine Notify; RFC 2408 3.14.1, RFC 7296 3.10.1",
			Look: wireLook(func(s *story) *Match {
				u, n, ok := s.firstRefused()
				if !ok || slices.Contains([]uint16{13, 14, 15, 18, 24}, n.Type) || n.Type == 5 || s.n.Version == 1 && (n.Type == 7 || n.Type == 29) {
					return nil // these have a condition of their own
				}
				return &Match{Clues: s.refusedClue(3.6, u, n), Title: fmt.Sprintf("%s answers the first message of %s with %s", s.name(s.res), s.name(s.ini), n.Name),
					Explanation: fmt.Sprintf("%s answers the first message with %s in the clear, which is no usual refusal of a policy, a peer or a version. Its own log says why; a capture there shows whether it sent this at all, or a device on the path did in its name.", s.name(s.res), n.Name),
					Actions:     []report.Action{s.mend(report.Advise, s.res, nil, nil, []string{"look at the log of that device for this notify", "compare IKE version, proposals and peer address of both ends"}, "none by itself")},
					Next:        append(s.next("shows whether the notify leaves there, or was written on the way"), report.Next{Collect: "the log of " + s.name(s.res), Because: "names the reason", Playbook: "diagnose"})}
			}),
		},
		{
			ID: "isakmp-disabled", Severity: report.Critical, Reference: "S1: enable ISAKMP",
			Look: wireLook(func(s *story) *Match {
				if end, es := s.daemonEnded(); es != nil {
					return &Match{Clues: []Clue{For(4.2, fmt.Sprintf("%s answers with ICMP port unreachable and sends nothing else any more", s.name(end)), icmpPlaces(es)...)},
						Title:       fmt.Sprintf("IKE is no longer running on %s", s.name(end)),
						Explanation: fmt.Sprintf("The tunnel was up. Since %s UTC %s says of every IKE packet that nobody listens on its port: the path is open, the host lives, and its IKE was stopped, crashed or was switched off there without closing the tunnel.", es[0].At.UTC().Format("2006-01-02 15:04:05"), s.name(end)),
						Actions:     []report.Action{s.mend(report.Advise, end, []string{"crypto ikev1 enable <interface>"}, []string{"crypto isakmp enable"}, []string{"look why IKE ended there"}, "the device answers IKE again")}}
				}
				if s.up || s.a != nil && s.unitFrom(s.res) {
					return nil
				}
				es := s.portClosed(s.ini)
				if len(es) == 0 || s.inItsName(es) {
					return nil
				}
				w := 4.4
				if s.a == nil {
					w = 3.4
				}
				cs := []Clue{For(w, fmt.Sprintf("%s answers with ICMP port unreachable", s.name(s.res)), icmpPlaces(es)...)}
				if s.stop.trade != nil && s.stop.trade.Req != nil {
					cs = append(cs, For(0.5, "what was asked", s.sentPlaces(s.stop.trade.Req, "")...))
				}
				return &Match{Clues: cs, Title: fmt.Sprintf("IKE is not enabled on %s", s.name(s.res)),
					Explanation: fmt.Sprintf("The first message arrives, and %s itself says that nobody listens on UDP 500. The path is open and the host lives.", s.name(s.res)),
					Actions:     []report.Action{s.mend(report.Advise, s.res, []string{"crypto ikev1 enable <interface>"}, []string{"crypto isakmp enable"}, []string{"ASA to 8.3: crypto isakmp enable <interface>"}, "the device answers IKE on that interface")}}
			}),
		},
		{
			ID: "responder-silent", Severity: report.Critical, SymptomOf: []string{"isakmp-disabled", "isakmp-port-in-use", "peer-address-mismatch", "phase1-policy-mismatch", "ike-version-mismatch", "exchange-mode-mismatch", "connection-type-conflict", "threat-detection-shun", "low-memory"},
			Reference: "S2: MX does not answer the client",
			Look: wireLook(func(s *story) *Match {
				if s.a == nil || s.up || s.passerBy() {
					return nil
				}
				st := s.stop
				if st.kind != noReply || st.trade == nil || st.unit == nil || s.fresh(st.unit) || len(s.portClosed(s.ini)) > 0 {
					return nil
				}
				w := 0.0
				switch st.step {
				case "MM1", "AM1", "IKE_SA_INIT":
					w = 5
				case "MM3":
					w = 3.6
				case "IKE_AUTH":
					w = 2.6
				case "MODECFG":
					w = 2.4
				default:
					return nil
				}
				if len(st.unit.Msgs) < 2 {
					w -= 1.5
				}
				end := 1 - st.trade.From
				return &Match{Clues: []Clue{For(w, fmt.Sprintf("%s arrives %s and nothing leaves in answer", st.step, plural(st.unit.Arrived, "time", "times")), s.rcvdPlaces(st.unit, "arrived, not answered")...)},
					Title:       fmt.Sprintf("%s gets %s and does not answer", s.name(end), st.step),
					Explanation: fmt.Sprintf("The request reaches %s, and its capture shows no answer, no notify and no ICMP leaving. The path to it is open; what is missing is on the device: IKE not enabled or for another version or mode, no entry for this peer, UDP 500 forwarded away, a block.", s.name(end)),
					Actions: []report.Action{s.mend(report.Advise, end, nil, nil, []string{"check that IKE is enabled there for this version and that the peer's address is configured", "check destination address and MAC (virtual address of a warm spare), and that no port forward takes UDP 500",
						"check that the client is not behind the same gateway, and that its public address is not another peer's"}, "none by itself")},
					Next: []report.Next{{Collect: "configuration and log of " + s.name(end), Because: "says why it drops the request", Playbook: "diagnose"}}}
			}),
		},
		{
			ID: "user-auth-backend", Severity: report.Critical, Reference: "S2: after ESP, RADIUS; S1: XAUTH",
			Look: wireLook(func(s *story) *Match {
				if m := s.eapEnd(); m != nil {
					return m
				}
				if s.a == nil || s.up || s.n.Version != 1 {
					return nil
				}
				// question, reply, status, acknowledgement; and then nothing.
				var xs []*path.Trade
				for _, t := range s.trades {
					switch {
					case t.Info:
					case t.Step == facts.StepXAUTH:
						xs = append(xs, t)
					case t.Step == facts.StepMODECFG || t.Step == "QM":
						return nil
					}
				}
				if len(xs) < 2 || s.lateVerdict(xs[0]) != nil {
					return nil
				}
				last := xs[len(xs)-1]
				if xs[0].Resp == nil || last.Req == nil {
					return nil
				}
				w, how := 4.4, "question, reply, status, acknowledgement, and then silence: no mode configuration, no quick mode"
				ps := append(s.sentPlaces(xs[0].Resp, "the user's reply"), s.sentPlaces(last.Req, "the headend's verdict")...)
				ps = append(ps, s.sentPlaces(last.Resp, "acknowledged; nothing follows")...)
				switch u := s.turnsAway(last.Req); {
				case u != nil && last.Resp == nil:
					how = "question, reply, status, and the client ends the attempt in place of an acknowledgement"
					ps = append(ps, s.sentPlaces(u, "the client ends the attempt")...)
				case last.Resp == nil && s.fresh(last.Req):
					return nil
				case last.Resp == nil:
					w = 2.8
				}
				if s.turnsAway(last.Req) == nil && !s.goesOn(last.End, 3*time.Second) {
					w -= 1 // the capture ends right here
				}
				return &Match{Clues: []Clue{For(w, how, ps...)},
					Title:       fmt.Sprintf("User authentication of %s fails at %s", s.name(s.ini), s.name(s.res)),
					Explanation: "Aggressive mode is complete: path and group key are fine. XAUTH runs to its status and the client stops there. After a success it would ask for its address at once; the status said that user or password was refused.",
					Actions: []report.Action{s.mend(report.Advise, s.res, nil, nil, []string{"test aaa-server authentication <group> host <server>, by a person: it needs a password", "look for the reject and its reason in the RADIUS or AAA log; try LOCAL to isolate",
						"one user fails: password; all fail since a moment: server or shared secret"}, "none by itself")},
					Next: []report.Next{{Collect: "the log of " + s.name(s.res), Because: "the status is encrypted; 113005 or 113015 names the user and the reason", Playbook: "diagnose"}}}
			}),
		},
		{
			ID: "ezvpn-user-authentication", Severity: report.Critical, Reference: "S1: ASA as Easy VPN server; S0",
			Look: wireLook(func(s *story) *Match {
				x := s.xauthQuestion()
				if x == nil || x.Resp != nil {
					return nil
				}
				if u := s.turnsAway(x.Req); u != nil && (x.Req.Arrived > 0 || !s.at(s.ini)) {
					return &Match{Clues: []Clue{For(4.2, "the XAUTH question is answered by the end of the attempt", append(s.sentPlaces(x.Req, "the question"), s.sentPlaces(u, "in place of a reply")...)...)},
						Title:       fmt.Sprintf("%s ends the attempt where %s asks for the user", s.name(s.ini), s.name(s.res)),
						Explanation: fmt.Sprintf("Aggressive mode is complete: path and group key are fine. %s asks for user and password (XAUTH), and the client closes the attempt at once in place of a reply: it has no stored user, or does no user authentication.", s.name(s.res)),
						Actions: []report.Action{s.mend(report.Advise, s.res, []string{"tunnel-group <group> ipsec-attributes", "ikev1 user-authentication none"}, nil,
							[]string{"store a user on the client, or let it ask a person", "the command takes user authentication off the whole group: give hardware clients a group of their own"}, "hardware clients connect without a person")},
						Next: []report.Next{{Collect: "the log of " + s.name(s.ini), Because: "says why it gives no user", Playbook: "diagnose"}}}
				}
				if len(x.Req.Msgs) < 2 {
					return nil
				}
				w := 4.2
				if s.both() || s.at(s.ini) {
					w = 5
				}
				if x.Req.Arrived == 0 && s.at(s.ini) {
					return nil
				}
				return &Match{Clues: []Clue{For(w, fmt.Sprintf("the XAUTH question was sent %s and no reply leaves", plural(len(x.Req.Msgs), "time", "times")), s.sentPlaces(x.Req, "no reply")...)},
					Title:       fmt.Sprintf("%s never answers the user authentication of %s", s.name(s.ini), s.name(s.res)),
					Explanation: fmt.Sprintf("Aggressive mode is complete, %s asks for user and password (XAUTH) and repeats the question; no reply comes. Small packets pass, so it is not the path: the client has no stored user, or waits for a person to type.", s.name(s.res)),
					Actions: []report.Action{s.mend(report.Advise, s.res, []string{"tunnel-group <group> ipsec-attributes", "ikev1 user-authentication none"}, nil,
						[]string{"that takes user authentication off the whole group: give hardware clients a group of their own, or store a user on the client", "ASA to 8.3: isakmp ikev1-user-authentication none"}, "hardware clients connect without a person")},
					Next: s.next("shows whether replies leave the client and are lost: then it is the path")}
			}),
		},
		{
			ID: "aaa-timeout", Severity: report.Critical, Reference: "S1: clients cannot authenticate with XAUTH and RADIUS",
			Look: wireLook(func(s *story) *Match {
				x := s.xauthQuestion()
				if x == nil || x.Resp == nil {
					return nil
				}
				late := s.lateVerdict(x)
				if s.beyond(x) && late == nil {
					return nil
				}
				n := len(x.Resp.Msgs)
				if s.both() && x.Resp.Arrived == 0 || s.fresh(x.Resp) {
					return nil
				}
				w := 4.2
				if n < 2 {
					w = 2
				}
				// The question that comes again shows that replies do not arrive.
				if x.Req.Last().At.After(x.Resp.First().At.Add(500*time.Millisecond)) && !s.both() && s.at(s.ini) {
					w -= 2
				}
				ps := s.sentPlaces(x.Resp, "the user's reply, not acted on")
				if len(ps) == 0 {
					ps = s.rcvdPlaces(x.Resp, "the user's reply, not acted on")
				}
				how := fmt.Sprintf("the client's XAUTH reply was sent %s and no verdict comes", plural(n, "time", "times"))
				if late != nil {
					after := late.First().At.Sub(x.Resp.First().At).Round(time.Second)
					how += fmt.Sprintf(" for %s", after)
					vs := s.sentPlaces(late, "the verdict, too late")
					if len(vs) == 0 {
						vs = s.rcvdPlaces(late, "the verdict, too late")
					}
					ps = append(ps, vs...)
				}
				return &Match{Clues: []Clue{For(w, how, ps...)},
					Title:       fmt.Sprintf("%s gets no verdict from its user authentication in time", s.name(s.res)),
					Explanation: "The XAUTH reply is repeated and the headend says neither yes nor no: it waits for a AAA server that answers too late or not at all.",
					Actions: []report.Action{s.mend(report.Advise, s.res, []string{"aaa-server <group> host <server>", "timeout 10"}, []string{"radius-server timeout 10"},
						[]string{"ping the server, compare the shared secret; isolate with LOCAL authentication"}, "the headend waits longer for its server")},
					Next: s.next("shows whether the reply arrives at the headend")}
			}),
		},
		{
			ID: "ezvpn-xauth-stall", Severity: report.Critical, Reference: "S0: AM_TM_INIT_XAUTH_V6C, AM_TM_INIT_MODECFG_V6H",
			SymptomOf: []string{"path-fragments-dropped", "pmtu-black-hole", "psk-mismatch", "ezvpn-user-authentication", "user-auth-backend", "aaa-timeout", "address-pool-exhausted", "udp-500-return-blocked", "udp-4500-blocked", "nat-pool-address-change"},
			Look: wireLook(func(s *story) *Match {
				if s.a == nil || s.up || s.exchange() != "aggressive" || s.both() {
					return nil
				}
				if st := s.stop; (st.step == "MODECFG" || st.step == "XAUTH") && st.kind == unanswered && st.unit != nil && !s.fresh(st.unit) {
					return &Match{Clues: []Clue{For(2.4, fmt.Sprintf("%s stays unanswered after a complete aggressive mode", st.unit.Label), s.sentPlaces(st.unit, "no answer")...)},
						Title:       fmt.Sprintf("Easy VPN of %s is stuck between aggressive mode and mode configuration", s.name(s.ini)),
						Explanation: "From this end alone it cannot be told whether the answer is lost or never sent.",
						Actions:     []report.Action{s.mend(report.Advise, s.res, []string{"clear crypto isakmp sa <peer>"}, nil, []string{"capture at both ends first"}, "the peer's phase 1 starts again")},
						Next:        s.next("shows whether the headend answers, and in how many fragments")}
				}
				return nil
			}),
		},
		{
			ID: "address-pool-exhausted", Severity: report.Critical, Reference: "S1: VPN pool exhausted; S2",
			Look: wireLook(func(s *story) *Match {
				if s.a == nil || s.up {
					return nil
				}
				var mc *path.Trade
				for _, t := range s.trades {
					if t.Step == "QM" {
						return nil
					}
					if t.Step == facts.StepMODECFG && t.Resp != nil {
						mc = t
					}
				}
				if mc == nil || mc.From != s.ini || s.at(s.ini) && mc.Resp.Arrived == 0 {
					return nil
				}
				info := append(s.infos(s.ini, mc.Resp.First().At), s.infos(s.res, mc.Resp.First().At)...)
				w, ps := 2.0, s.sentPlaces(mc.Resp, "the answer")
				if len(info) > 0 && info[0].First().At.Sub(mc.Resp.First().At) < 5*time.Second {
					w = 4.4
					ps = append(ps, s.sentPlaces(info[0], "the session is ended at once")...)
				} else if len(mc.Req.Msgs) > 1 || !s.goesOn(mc.Resp.Last().At, 3*time.Second) {
					return nil
				}
				return &Match{Clues: []Clue{For(w, "the request for an address is answered, and the session ends in place of quick mode", ps...)},
					Title:       fmt.Sprintf("%s gets no address from %s: the pool seems used up", s.name(s.ini), s.name(s.res)),
					Explanation: "Aggressive mode and XAUTH are complete; the client asks for its address, gets an answer within a round trip, and ends the session with a delete instead of quick mode: the answer had no address in it.",
					Actions: []report.Action{s.mend(report.Advise, s.res, []string{"ip local pool <pool2> <range>", "tunnel-group <group> general-attributes", "address-pool <pool> <pool2>"}, []string{"ip local pool <pool> <range>"},
						[]string{"show ip local pool: free addresses; a second pool is the gentle way", "log off dead sessions"}, "new clients get addresses; running ones stay")},
					Next: []report.Next{{Collect: "show ip local pool and the log of " + s.name(s.res), Because: "the answer is encrypted; 713132 or a free count of 0 proves it", Playbook: "diagnose"}}}
			}),
		},
		phase2Refused("transform-set-mismatch", 2.9, "no IPsec transform set is common", []string{"crypto ipsec ikev1 transform-set <name> esp-aes-256 esp-sha-hmac"}, []string{"crypto ipsec transform-set <name> esp-aes 256 esp-sha-hmac"}, "compare encryption, integrity and mode (tunnel or transport) of both transform sets"),
		phase2Refused("pfs-mismatch", 2.4, "PFS is on at one end only or with another group", []string{"crypto map <map> <seq> set pfs <the peer's group>"}, []string{"crypto map <map> <seq> ipsec-isakmp", "set pfs <the peer's group>"}, "compare set pfs of both ends; without a group each release has its own default"),
		phase2Refused("crypto-acl-mismatch", 2.4, "the crypto access lists are no mirror images", nil, nil, "compare the two crypto access lists line by line: each entry needs its mirror at the other end"),
		{
			ID: "quick-mode-unanswered", Severity: report.Critical, SymptomOf: []string{"udp-4500-blocked", "nat-pool-address-change", "path-fragments-dropped", "pmtu-black-hole", "path-large-packets-dropped", "path-lost-midway"}, Reference: "S2: both keep sending phase 2; S4",
			Look: wireLook(func(s *story) *Match {
				st := s.stop
				if s.a == nil || st.trade == nil || st.unit == nil || s.fresh(st.unit) || st.trade.Step != "QM" && st.trade.Step != "IKE_AUTH" && st.trade.Step != "CREATE_CHILD_SA" {
					return nil
				}
				w := 0.0
				switch {
				case st.kind == noReply && st.trade.Resp == nil:
					w = 4.4
				case st.kind == unanswered && st.trade.Step == "QM":
					w = 3.4
				case st.kind == unanswered:
					w = 1.8
				default:
					return nil
				}
				if s.ignored() {
					w -= 2
				}
				if len(st.unit.Msgs) < 2 {
					w -= 1.6
				}
				ps := s.rcvdPlaces(st.unit, "arrived, no answer")
				if len(ps) == 0 {
					ps = s.sentPlaces(st.unit, "no answer")
				}
				return &Match{Clues: []Clue{For(w, fmt.Sprintf("%s repeats without an answer after a complete phase 1", st.step), ps...)},
					Title:       fmt.Sprintf("%s does not answer %s of %s", s.name(1-st.trade.From), st.step, s.name(st.trade.From)),
					Explanation: fmt.Sprintf("Phase 1 is complete, %s is sent %s and gets neither an answer nor a notify.", st.step, plural(len(st.unit.Msgs), "time", "times")),
					Actions:     []report.Action{s.mend(report.Advise, 1-st.trade.From, nil, nil, []string{"look at the log there; compare transform sets, PFS and crypto access lists", "when XAUTH or mode configuration is expected first, the peer waits for that"}, "none by itself")},
					Next:        append(s.next("shows whether the message arrives there"), report.Next{Collect: "log and configuration of " + s.name(1-st.trade.From), Because: "says why it does not answer", Playbook: "diagnose"})}
			}),
		},
		{
			ID:       "quick-mode-last-message-lost",
			Cause:    "the third quick-mode message is lost",
			Shows:    "captures: message 2 repeats while ESP already comes",
			Severity: report.Critical, Reference: "practice; RFC 2409 5.5",
			Look: wireLook(wireLastLost),
		},
		{
			ID: "peer-deleted-sa", Severity: report.Minor, Reference: "S1: PEER_DELETE-IKE_DELETE_UNSPECIFIED",
			Look: wireLook(wireDeleted),
		},
		{
			ID: "dead-peer", Severity: report.Critical, Prefer: []string{"path-lost-midway", "nat-mapping-lost"}, Reference: "S1: DPD, backup peers; S0",
			Look: wireLook(wireDead),
		},
		{
			ID: "keepalive-mismatch", Severity: report.Major, Reference: "S1: enable or disable ISAKMP keepalives; RFC 3706",
			Look: wireLook(wireKeepalive),
		},
	}
}

func (s *story) versionMatch(cs []Clue, how string) *Match {
	return &Match{Clues: cs, Title: fmt.Sprintf("%s and %s speak different IKE versions", s.name(s.ini), s.name(s.res)),
		Explanation: fmt.Sprintf("%s starts with IKEv%d; %s %s.", s.name(s.ini), s.n.Version, s.name(s.res), how),
		Actions: []report.Action{s.mend(report.Advise, s.res, []string{"crypto map <map> <seq> set ikev2 ipsec-proposal <name>", "crypto ikev2 enable <interface>", "vpn-tunnel-protocol ikev1 ikev2"}, nil,
			[]string{"use one version at both ends"}, "both versions are accepted")}}
}

// unitFrom tells whether an end sent any IKE message of the attempt.
func (s *story) unitFrom(end int) bool {
	return slices.ContainsFunc(s.a.Units, func(u *path.Unit) bool { return u.From == end })
}

// xauthQuestion is the first XAUTH exchange when nothing but it follows aggressive mode.
func (s *story) xauthQuestion() *path.Trade {
	if s.a == nil || s.up {
		return nil
	}
	var x *path.Trade
	for _, t := range s.trades {
		switch {
		case t.Info:
		case t.Step == facts.StepXAUTH && x == nil && t.From == s.res && t.Req != nil:
			x = t
		case t.Step == facts.StepMODECFG || t.Step == "QM":
			return nil
		}
	}
	return x
}

// lateVerdict is the headend's word on the user when it came only after the client had said the
// user's name and password again and again: by then most clients have given up.
func (s *story) lateVerdict(x *path.Trade) *path.Unit {
	if x.Resp == nil || len(x.Resp.Msgs) < 2 {
		return nil
	}
	for _, t := range s.trades {
		if t == x || t.Info || t.Req == nil || !t.Start.After(x.Start) {
			continue
		}
		if t.Step == facts.StepXAUTH && t.From == s.res && t.Start.Sub(x.Resp.First().At) >= verdictTime {
			return t.Req
		}
		return nil
	}
	return nil
}

// verdictTime is how long a headend may take over a user: ASA waits 10 s for its AAA server by
// default (aaa-server host timeout).
const verdictTime = 10 * time.Second

// turnsAway is an informational message by which an end closes the attempt within a moment of a
// message that it got in place of an answer; nil when there is none.
func (s *story) turnsAway(u *path.Unit) *path.Unit {
	for _, o := range s.infos(1-u.From, u.First().At.Add(-50*time.Millisecond)) {
		if o.First().At.Sub(u.Last().At) < 2*time.Second && !s.forged(o) {
			return o
		}
	}
	return nil
}

// beyond tells whether another exchange than informational ones came after a trade.
func (s *story) beyond(t *path.Trade) bool {
	for _, o := range s.trades {
		if o != t && !o.Info && o.Start.After(t.Start) && o.Step != "AM1" && o.Step != "AM3" {
			return true
		}
	}
	return false
}

// phase2Refused makes one of the three conditions whose packets look alike: quick mode
// message 1 (or the child of IKE_AUTH, or CREATE_CHILD_SA) and a notify.
func phase2Refused(id string, base float64, cause string, asa, ios []string, step string) Condition {
	return Condition{
		ID: id, Severity: report.Critical, Reference: "S1: transform sets, PFS, crypto ACLs; RFC 2409 5.5, RFC 7296 3.10.1",
		Look: wireLook(func(s *story) *Match {
			st := s.stop
			if s.a == nil || st.kind != refusal || st.reply == nil || st.trade == nil {
				return nil
			}
			switch st.trade.Step {
			case "QM", "CREATE_CHILD_SA":
			case "IKE_AUTH":
				if authResult(st.reply) != childFailed {
					return nil
				}
			default:
				return nil
			}
			w := base
			for _, m := range st.reply.Msgs {
				for _, n := range m.Notifies {
					switch {
					case n.Type == 18 || n.Type == 38:
						w = map[string]float64{"crypto-acl-mismatch": 5}[id]
					case n.Type == 14:
						w = map[string]float64{"transform-set-mismatch": 4.4, "pfs-mismatch": 2.4}[id]
					case n.Type == 17:
						w = map[string]float64{"pfs-mismatch": 4.4}[id]
					}
				}
			}
			if w == 0 {
				return nil
			}
			expl := fmt.Sprintf("Phase 1 is complete. %s answers %s at once with an encrypted notify instead of going on: it refuses the phase 2 offer. The notify's text is encrypted, so transform set, PFS and crypto access list look alike on the wire; its log names the one.", s.name(1-st.trade.From), st.step)
			if st.trade.Step == "QM" && st.unit != nil {
				if l := st.unit.First().Length; l > 0 && len(s.n.Offered) > 0 {
					if hasKE(l) {
						expl += fmt.Sprintf(" Message 1 is %d bytes long: long enough to carry a PFS group.", l)
					} else {
						expl += fmt.Sprintf(" Message 1 is %d bytes long, too short to carry a PFS group.", l)
					}
				}
			}
			return &Match{Clues: []Clue{For(w, "the phase 2 offer is answered by a notify", append(s.sentPlaces(st.unit, ""), s.sentPlaces(st.reply, "refused")...)...)},
				Title:       fmt.Sprintf("%s refuses phase 2 of %s: %s", s.name(1-st.trade.From), s.name(st.trade.From), cause),
				Explanation: expl,
				Actions:     []report.Action{s.mend(report.Advise, 1-st.trade.From, asa, ios, []string{step}, "new phase 2 attempts succeed; phase 1 stays")},
				Next:        []report.Next{{Collect: "log and configuration of " + s.name(1-st.trade.From), Because: "separates transform-set-mismatch, pfs-mismatch and crypto-acl-mismatch: 713068, 713061 or the debug line names it", Playbook: "diagnose"}}}
		}),
	}
}

// hasKE guesses from the length of an encrypted quick-mode message 1 whether it carries a DH value.
func hasKE(length int) bool { return length >= 280 }

func wireLastLost(s *story) *Match {
	st := s.stop
	if s.a == nil || st.kind != lastMissing {
		return s.lastLostBySender()
	}
	t := st.trade
	w := 4.2
	var cs []Clue
	if t.Final != nil && t.Final.Lost > 0 && t.Final.Arrived == 0 {
		w = 5.4
		cs = append(cs, For(w, fmt.Sprintf("quick mode message 3 left %s and did not arrive", s.name(t.From)), s.sentPlaces(t.Final, "did not arrive")...))
		w = 0.3
	}
	if t.Resp != nil && len(t.Resp.Msgs) > 1 {
		cs = append(cs, For(w, fmt.Sprintf("%s sends message 2 again: it waits for message 3", s.name(1-t.From)), s.sentPlaces(t.Resp, "again")...))
	} else if len(cs) == 0 {
		cs = append(cs, For(2.4, "message 3 is missing", s.sentPlaces(t.Resp, "the last message")...))
	}
	if d := s.esp[t.From]; d.sent > 0 && s.esp[1-t.From].sent == 0 {
		at := 1 - t.From
		if !s.at(at) {
			at = t.From
		}
		cs = append(cs, For(0.8, fmt.Sprintf("ESP of %s runs, none comes back", s.name(t.From)), s.espPlaces(t.From, at, "", 3)...))
	}
	return lastLostMatch(s, t, cs)
}

// lastLostBySender: the initiator alone was captured; message 3 left once and its ESP stays unanswered.
func (s *story) lastLostBySender() *Match {
	if s.a == nil || s.both() {
		return nil
	}
	t := s.trade("QM")
	if t == nil || t.Final == nil || t.Resp == nil || !s.at(t.From) {
		return nil
	}
	if s.esp[t.From].sent < 3 || s.esp[1-t.From].sent > 0 {
		return nil
	}
	again := t.Resp.Last().At.After(t.Final.First().At.Add(300 * time.Millisecond))
	w := 1.4
	// Loss elsewhere in the exchange makes the loss of the one message without a resend likely.
	lossy := 0
	for _, u := range s.a.Units {
		if len(u.Msgs) > 1 {
			lossy++
		}
	}
	switch {
	case again:
		w = 4.4
	case lossy >= 2:
		w = 3.4
	case lossy == 1:
		w = 2.2
	default:
		return nil
	}
	cs := []Clue{For(w, "message 3 left once, ESP follows and nothing comes back", append(s.sentPlaces(t.Final, "sent once, never confirmed"), s.espPlaces(t.From, t.From, "no answer", 3)...)...)}
	if lossy > 0 && !again {
		cs = append(cs, For(0.01, fmt.Sprintf("%d messages of this exchange had to be repeated: the path loses packets", lossy), s.repeated()...))
	}
	return lastLostMatch(s, t, cs)
}

// repeated shows messages that were sent again.
func (s *story) repeated() []facts.Place {
	var out []facts.Place
	for _, u := range s.a.Units {
		if len(u.Msgs) > 1 {
			if ps := s.sentPlaces(u, ""); len(ps) > 1 {
				out = append(out, ps[1])
			}
		}
		if len(out) >= 4 {
			break
		}
	}
	return out
}

func lastLostMatch(s *story, t *path.Trade, cs []Clue) *Match {
	x := s.w.Public(1 - t.From).String()
	return &Match{Clues: cs, Title: fmt.Sprintf("The last message of quick mode from %s was lost; %s still waits for it", s.name(t.From), s.name(1-t.From)),
		Explanation: fmt.Sprintf("%s believes that the tunnel is up and sends ESP; %s never got message 3 and does not use the SA. It looks like traffic in one direction, but the path is open: a new phase 2 mends it.", s.name(t.From), s.name(1-t.From)),
		Actions: []report.Action{s.approve(report.ClearIPsecSA, t.From, []string{"clear crypto ipsec sa peer " + x}, []string{"clear crypto sa peer " + x},
			"phase 2 with this peer is negotiated again with the next packet; traffic stops for some seconds")},
		Next: s.next("shows whether message 3 arrives, and whether message 2 is repeated there")}
}

// approve makes a targeted clear for one end, with the commands of its platform. Without
// a known platform it can only be advised: both forms are named.
func (s *story) approve(kind string, end int, asa, ios []string, effect string) report.Action {
	a := s.mend(report.Approve, end, asa, ios, nil, effect)
	d := s.device(end)
	if d == nil || len(a.Commands) == 0 {
		a.Class = report.Advise
		return a
	}
	a.Kind = kind
	a.Parameters = map[string]string{"peer": s.w.Public(1 - end).String()}
	return a
}

// inItsName tells whether ICMP errors that say they come from the answering end were made
// on the way: its own capture ran and has neither them nor what they are about.
func (s *story) inItsName(es []path.ICMP) bool {
	v := s.w.Ends[s.res].View
	if v == nil || !s.both() || s.stop.kind != msgLost {
		return false
	}
	return !slices.ContainsFunc(es, func(e path.ICMP) bool { return e.View == v || !v.Ran(e.At) })
}
