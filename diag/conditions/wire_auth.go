package conditions

import (
	"fmt"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// auth is how the attempt came out of authentication.
type auth struct {
	weight  float64 // log-odds that a key is wrong, without Prior
	cert    float64
	ident   float64
	note    string
	expl    string
	places  []facts.Place
	refuser int // end
}

// authTrouble reads MM5, AM3 and IKE_AUTH.
func (s *story) authTrouble() *auth {
	if s.a == nil || s.up && s.esp[0].sent+s.esp[1].sent > 0 {
		return nil
	}
	st := s.stop
	if s.killer() != nil || st.kind != refusal && s.fresh(st.unit) && st.step != "AM2" {
		return nil
	}
	certs := s.certs()
	a := &auth{refuser: s.res}
	moved := s.ignored()
	copies := 0
	if st.unit != nil {
		copies = len(st.unit.Msgs)
	}
	// A clear notify of this kind answers the first message for other reasons (unknown group).
	switch {
	case st.step == "MM5" && st.kind == refusal:
		a.places = append(s.sentPlaces(st.unit, ""), s.sentPlaces(st.reply, "an encrypted informational instead of message 6")...)
		if certs {
			a.cert, a.ident = 3.6, 1.8
			a.note = "message 5 with the certificate is answered by a notify instead of message 6"
			a.expl = fmt.Sprintf("Messages 1 to 4 are complete, message 5 (identity and certificate) arrives and %s answers with a notify instead of message 6.", s.name(s.res))
			if copies > 1 {
				a.weight = 1.2
			}
			break
		}
		if copies > 1 {
			a.weight = 5.4
			a.note = "message 5 arrives, is answered by a notify that its sender cannot read, and comes again"
			a.expl = fmt.Sprintf("Messages 1 to 4 are complete. Message 5 is the first that is encrypted with the pre-shared key: it arrives at %s, which answers with an encrypted notify and not with message 6; the sender cannot read the notify and repeats message 5 (%s). Both sides derived different keys.", s.name(s.res), plural(copies, "copy", "copies"))
		} else {
			a.ident, a.weight, a.cert = 3, 1.8, 1.4
			a.note = "message 5 arrives once and is refused by a notify that its sender understood"
			a.expl = fmt.Sprintf("Message 5 was sent once only: its sender could decrypt the refusal, so the keys agree. What %s refuses is what message 5 says: the identity, or the way of authentication.", s.name(s.res))
		}
	case st.step == "MM5" && st.kind == noReply:
		a.weight = 4.4
		if copies < 2 {
			a.weight = 2.4
		}
		if certs {
			a.weight, a.cert = 1.2, 3.4
		}
		if moved {
			a.weight, a.cert = a.weight-4, a.cert-4
		}
		from := "from the same address as the ones before"
		if s.lateBehindNAT() {
			a.weight, a.cert = a.weight-2, a.cert-2
			from = "through a NAT, and whether from the same address as the ones before is not known (the capture there does not have them),"
		}
		a.note = "message 5 arrives and gets no valid answer"
		a.expl = fmt.Sprintf("Messages 1 to 4 are complete. Message 5 arrives at %s %s and is not answered, %s. It is the first message encrypted with the pre-shared key: one that cannot be decrypted is dropped in silence.", s.name(s.res), from, plural(copies, "copy", "copies"))
		a.places = s.rcvdPlaces(st.unit, "arrived")
		if len(a.places) == 0 {
			a.places = s.sentPlaces(st.unit, "")
		}
		if u := s.unit("MM4"); u != nil && len(u.Msgs) > 1 {
			a.places = append(a.places, s.sentPlaces(u, "message 4 again: message 5 was not accepted")...)
		}
	case st.step == "MM5" && st.kind == unanswered:
		l := s.missing()
		if l == nil || l.frag || l.big {
			return nil
		}
		a.note = "message 5 repeats without a valid answer"
		a.places = s.sentPlaces(st.unit, "no answer")
		a.expl = fmt.Sprintf("Message 5, the first that is encrypted with the pre-shared key, was sent %s and not answered.", plural(copies, "time", "times"))
		if l.port == 500 {
			a.weight = 3
		} else {
			a.weight = 1.4
		}
		if u := s.unit("MM4"); u != nil && len(u.Msgs) > 1 {
			a.weight += 1
			a.places = append(a.places, s.rcvdPlaces(u, "message 4 again: message 5 was not accepted")...)
			a.expl += " Message 4 comes again meanwhile: the other end lives and waits for a message 5 that it can read."
		}
		if certs {
			a.cert, a.weight = a.weight, 0
		}
	case s.exchange() == "aggressive" && s.unit("AM2") != nil && s.unit("AM3") == nil && s.beyondAggressive() == nil:
		u := s.unit("AM2")
		arrived := u.Arrived > 0 && s.at(s.ini)
		l := s.missing()
		if l != nil && (l.kind == msgLost || l.kind == unaccepted) {
			return nil
		}
		closed := s.icmpAbout(s.res, 3, 3)
		if info := s.infos(s.ini, u.First().At.Add(-time.Second)); len(info) > 0 {
			a.weight = 5
			a.note = "instead of message 3 the initiator sends a notify"
			a.places = append(s.rcvdPlaces(u, ""), s.sentPlaces(info[0], "a notify in place of aggressive mode message 3")...)
			if len(a.places) == 0 {
				a.places = s.sentPlaces(u, "")
			}
		} else {
			switch {
			case arrived:
				a.weight = 4
			case s.at(s.ini):
				a.weight = 3
			case s.nat():
				a.weight = 2
			default:
				a.weight = 3.6
			}
			if s.fresh(u) {
				return nil
			}
			a.note = "the initiator has message 2 and never sends message 3"
			a.places = s.sentPlaces(u, "not followed by message 3")
			if arrived {
				a.places = s.rcvdPlaces(u, "arrived, and no message 3 leaves")
			}
		}
		if len(closed) > 0 {
			a.places = append(a.places, icmpPlaces(closed)...)
		}
		a.refuser = s.ini
		a.expl = fmt.Sprintf("Aggressive mode message 2 carries the first proof of the group key. %s got it and did not go on: it found the HASH wrong and gave up.", s.name(s.ini))
		if len(closed) > 0 {
			a.expl += " The ICMP \"port unreachable\" for the later copies is its closed socket."
		}
		if !s.at(s.ini) && len(s.infos(s.ini, u.First().At.Add(-time.Second))) == 0 {
			a.expl += " Behind a NAT message 3 would go to UDP 4500; if that port is blocked it looks the same from here."
		}
		if certs {
			a.cert, a.weight = a.weight, 0
		}
	case st.step == "AM3" && st.kind == noReply:
		a.weight = 3
		if moved {
			a.weight = -2
		}
		a.note = "aggressive mode message 3 arrives and is not accepted"
		a.expl = fmt.Sprintf("Message 3 arrives at %s, which goes on repeating message 2: the HASH in message 3 does not fit its key.", s.name(s.res))
		a.places = s.rcvdPlaces(st.unit, "arrived")
	case st.step == "IKE_AUTH" && st.kind == refusal && authResult(st.reply) == authFailed:
		a.places = append(s.sentPlaces(st.unit, ""), s.sentPlaces(st.reply, "too short for anything but a notify")...)
		a.note = "IKE_AUTH is answered by a lone notify"
		a.expl = fmt.Sprintf("IKE_SA_INIT is complete, IKE_AUTH arrives at %s and is answered by %d bytes: room for one notify (AUTHENTICATION_FAILED), not for an identity.", s.name(s.res), st.reply.First().Length)
		switch {
		case carriesCert(st.unit):
			a.cert, a.weight, a.ident = 3.8, 1.4, 1.4
		case certs:
			// A responder asks for certificates as soon as it trusts an issuer, keys in use or not.
			a.weight, a.ident, a.cert = 3.6, 2.4, 1
			a.expl += fmt.Sprintf(" %s asks for certificates, and this IKE_AUTH is too short to carry one.", s.name(s.res))
		default:
			a.weight, a.ident = 4.2, 2
		}
	default:
		return s.authByInitiator()
	}
	return a
}

// carriesCert guesses from its length whether an encrypted IKE_AUTH holds a certificate with
// its signature: an identity, AUTH by a key or a bare signature, and one child stay below.
func carriesCert(u *path.Unit) bool {
	return u.First().Parts > 1 || u.First().Length > 700
}

// lateBehindNAT: the responder's capture begins after the exchange moved to UDP 4500, and
// nothing says whether the initiator's address moved with it.
func (s *story) lateBehindNAT() bool {
	if !s.a.Floated() {
		return false
	}
	for _, m := range s.a.Msgs {
		x := m.Rcvd()
		if m.From != s.ini || x == nil {
			continue
		}
		if x.Dst.Port() != 4500 {
			return false
		}
		for _, n := range s.a.Negs {
			for _, k := range n.NATSeen {
				if !k.FromInitiator && k.Of(x.Src.Addr()) {
					return false
				}
			}
		}
		return true
	}
	return false
}

// authByInitiator: IKE_AUTH was answered in full and the initiator turns away at once: it
// does not accept the responder's proof.
func (s *story) authByInitiator() *auth {
	t := s.trade("IKE_AUTH")
	if t == nil || t.Resp == nil || s.esp[0].sent+s.esp[1].sent > 0 || authResult(t.Resp) != authDone {
		return nil
	}
	for _, u := range s.infos(s.ini, t.Resp.First().At) {
		if u.First().At.Sub(t.Resp.Last().At) < time.Second {
			a := &auth{refuser: s.ini, weight: 2.6, ident: 1.6, note: "the initiator turns away right after the responder's proof"}
			if s.certs() && carriesCert(t.Resp) {
				a.cert, a.weight = 3, 1
			}
			a.places = append(s.sentPlaces(t.Resp, ""), s.sentPlaces(u, "a notify at once")...)
			a.expl = fmt.Sprintf("%s answered IKE_AUTH with identity and proof; %s sends an informational message within a second and no traffic follows: it does not accept that proof.", s.name(s.res), s.name(s.ini))
			return a
		}
	}
	return nil
}

// eapEnd: IKE_AUTH takes several rounds, as EAP does, and ends in their midst: the responder's
// last answer has room for EAP's failure only, or the client gives up after one that is too
// short for proof and SA, and no traffic follows.
func (s *story) eapEnd() *Match {
	if s.a == nil || s.n.Version != 2 || s.esp[0].sent+s.esp[1].sent > 0 {
		return nil
	}
	var rounds []*path.Trade
	for _, t := range s.trades {
		switch {
		case t.Info:
		case t.Step == "IKE_AUTH" && t.Req != nil && t.Resp != nil:
			rounds = append(rounds, t)
		case t.Step == "IKE_AUTH" || t.Step == "CREATE_CHILD_SA":
			return nil
		}
	}
	if len(rounds) < 2 {
		return nil
	}
	last := rounds[len(rounds)-1]
	if authResult(last.Resp) == authDone || authResult(last.Resp) == authUnknown {
		return nil
	}
	ps := append(s.sentPlaces(last.Req, "the user's reply"), s.sentPlaces(last.Resp, "too short for proof and SA")...)
	w := 4.4
	for _, u := range s.infos(s.ini, last.Resp.First().At) {
		if u.First().At.Sub(last.Resp.Last().At) < 2*time.Second {
			ps, w = append(ps, s.sentPlaces(u, "the client gives up")...), 4.8
			break
		}
	}
	if w < 4.5 && (authResult(last.Resp) != authFailed || s.fresh(last.Resp)) {
		return nil
	}
	return &Match{Clues: []Clue{For(w, fmt.Sprintf("%s of IKE_AUTH, and no SA at their end", plural(len(rounds), "round", "rounds")), ps...)},
		Title:       fmt.Sprintf("User authentication (EAP) of %s fails at %s", s.name(s.ini), s.name(s.res)),
		Explanation: fmt.Sprintf("IKE_SA_INIT is complete and IKE_AUTH takes several rounds: %s asks for EAP, the user's name and password (or its certificate) go to and fro. The rounds end without proof and SA: user or password was refused, or the server behind did not agree on a method.", s.name(s.res)),
		Actions: []report.Action{s.mend(report.Advise, s.res, nil, nil, []string{"test aaa-server authentication <group> host <server>, by a person: it needs a password", "look for the reject and its reason in the RADIUS or AAA log",
			"one user fails: password; all fail since a moment: server or shared secret"}, "none by itself")},
		Next: []report.Next{{Collect: "the log of " + s.name(s.res), Because: "the rounds are encrypted; the log names user and reason", Playbook: "diagnose"}}}
}
