package conditions

import (
	"fmt"

	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// Ladders draws up the tunnel's attempts, the judged one first with its failing step
// marked; at most three. Nil without captures.
func (t *Tunnel) Ladders() []report.Ladder {
	s := t.reading()
	if s == nil {
		return nil
	}
	if s.a == nil {
		if len(s.w.Flows) == 0 {
			return nil
		}
		l := s.w.Ladder(nil, nil, "ESP only: "+s.name(0)+" and "+s.name(1), "")
		l.Tunnel = t.Name
		return []report.Ladder{l}
	}
	title, note := s.heading()
	drawn, failing := s.a, s.stop.unitOrNil()
	if s.whole != nil {
		drawn = s.whole
	}
	if u := s.killer(); u != nil {
		failing, note = u, fmt.Sprintf("%s in the name of %s, which did not send it, ends the negotiation", u.Label, s.name(u.From))
	}
	l := s.w.Ladder(drawn, failing, title, note)
	l.Tunnel = t.Name
	out := []report.Ladder{l}
	for i := len(s.w.Attempts) - 1; i >= 0 && len(out) < 3; i-- {
		a := s.w.Attempts[i]
		if a == drawn || len(a.Msgs) < 2 {
			continue
		}
		o := s.w.Ladder(a, nil, "Another attempt, "+kindOf(a.Version(), a.Exchange()), "")
		o.Tunnel = t.Name
		out = append(out, o)
	}
	return out
}

func (st stop) unitOrNil() *path.Unit {
	switch st.kind {
	case noStop, ended:
		return nil
	}
	return st.unit
}

func kindOf(version int, exchange string) string {
	switch exchange {
	case "main":
		return "IKEv1 main mode"
	case "aggressive":
		return "IKEv1 aggressive mode"
	case "ikev2":
		return "IKEv2"
	}
	return fmt.Sprintf("IKEv%d", version)
}

// heading says in one line what the attempt is, and in another what a reader should see first.
func (s *story) heading() (title, note string) {
	title = kindOf(s.a.Version(), s.exchange())
	for _, t := range s.trades {
		if t.Step == "XAUTH" || t.Step == "MODECFG" {
			title = "Easy VPN, aggressive mode"
			if s.exchange() == "main" {
				title = "Client VPN, main mode with XAUTH"
			}
		}
	}
	st := s.stop
	what := st.step
	if st.unit != nil && st.unit.Label != "" {
		what = st.unit.Label
	}
	switch st.kind {
	case noStop:
		for from := range 2 {
			if d := s.esp[from]; s.both() && d.sent > 1 && d.arrived == 0 {
				return title + ": negotiated, ESP is lost", fmt.Sprintf("ESP leaves %s and never arrives at %s", s.name(from), s.name(1-from))
			}
		}
		switch {
		case s.up && s.esp[0].sent > 0 && s.esp[1].sent > 0:
			title += ": up"
		case s.up:
			title += ": negotiated"
		}
		return title, ""
	case msgLost:
		note = fmt.Sprintf("%s leaves %s and never arrives at %s", what, s.name(st.unit.From), s.name(1-st.unit.From))
		if st.unit.Partial > 0 {
			note = fmt.Sprintf("only part of the fragments of %s arrives at %s", what, s.name(1-st.unit.From))
		}
	case noReply:
		note = fmt.Sprintf("%s arrives at %s and is not answered", what, s.name(1-st.unit.From))
		if s.ignored() {
			note = fmt.Sprintf("%s arrives at %s from another address and is not answered", what, s.name(1-st.unit.From))
		}
	case pieceLost:
		note = fmt.Sprintf("only piece %d of %d of %s arrives at %s", st.unit.First().Part, st.unit.First().Parts, what, s.name(1-st.unit.From))
	case unanswered:
		note = fmt.Sprintf("%s leaves %s and no answer comes (the other end was not captured)", what, s.name(st.unit.From))
	case unaccepted:
		note = fmt.Sprintf("%s leaves %s, and the question comes again (the other end was not captured)", what, s.name(st.unit.From))
	case silence:
		note = fmt.Sprintf("nothing follows %s (the other end was not captured)", what)
	case refusal:
		note = fmt.Sprintf("%s is refused by %s", what, s.name(1-st.trade.From))
	case lastMissing:
		note = fmt.Sprintf("quick mode message 3 does not reach %s", s.name(1-st.trade.From))
	case ended:
		note = fmt.Sprintf("nothing follows %s", what)
	}
	if s.stop.step != "" {
		title += ": stops at " + s.stop.step
	}
	return title, note
}
