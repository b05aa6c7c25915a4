package conditions

import (
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
)

// stopKind says how a negotiation came to a halt.
type stopKind int

const (
	noStop      stopKind = iota
	msgLost              // a message left, and its copies did not arrive: both ends captured
	noReply              // it arrived, and the receiver sent nothing back
	unanswered           // only the sender was captured: copies without an answer
	unaccepted           // only the answering end was captured: the request comes again after the answer
	silence              // only the answering end was captured: the next message never came
	ended                // an exchange completed and nothing followed, both ends captured or the sender itself
	refusal              // a notify answered it
	lastMissing          // the third quick-mode message did not arrive
	pieceLost            // of an IKE message in pieces (RFC 7383, payload 132) only some ever came
)

// stop is where the attempt stands.
type stop struct {
	kind  stopKind
	trade *path.Trade
	unit  *path.Unit // the message that was lost, repeated or not answered; for silence the last one sent
	step  string     // report.stopped_at
	reply *path.Unit // of refusal: the answer
}

// progress finds how far the attempt came and what it waits for.
func (s *story) progress() {
	if s.a == nil {
		s.up = len(s.w.Flows) > 0
		return
	}
	var last *path.Trade
	for _, t := range s.trades {
		if t.Info {
			continue
		}
		last = t
		if s.forged(t.Resp) {
			asked := *t
			asked.Resp = nil
			last = &asked
		}
	}
	s.upAt, s.up = upTime(s.a, s.trades)
	if !s.up && (s.n.Exchange == "" || !s.opened()) && len(s.w.Flows) > 0 {
		s.up = true // the capture began in the middle of a session
	}
	if !s.up && s.esp[s.ini].sent > 0 && s.esp[s.res].sent > 0 {
		s.up = true
	}
	if last == nil {
		return
	}
	// The capture began in the middle of a quick mode: its parts cannot be told apart.
	if !s.begun() && last.Step == "QM" && s.esp[0].sent > 0 && s.esp[1].sent > 0 {
		return
	}
	if u := s.refused(last); u != nil {
		s.stop = stop{kind: refusal, trade: last, unit: last.Req, reply: u, step: stepOf(last, last.Req)}
		return
	}
	s.stop = s.standing(last)
	if s.up && (s.stop.kind == silence || s.stop.kind == unaccepted && s.esp[last.From].sent > 0 && s.esp[1-last.From].sent > 0) {
		s.stop = stop{} // traffic shows that the answer arrived in the end
	}
}

// opened tells whether the attempt's first exchanges are in a capture. Without them it is
// older than its first message here, and so may be the ESP before that.
func (s *story) opened() bool {
	return slices.ContainsFunc(s.trades, func(t *path.Trade) bool {
		return t.Step == "IKE_SA_INIT" || t.Step == "IKE_AUTH" || s.n.Version == 1 && s.begun()
	})
}

// begun tells whether the capture has the beginning of the attempt.
func (s *story) begun() bool {
	for _, t := range s.trades {
		if p := t.Step; p == "MM1" || p == "AM1" || p == "IKE_SA_INIT" || p == "MM3" || p == "MM5" || p == "AM3" {
			return true
		}
	}
	return s.n.Version == 2
}

// standing says how a trade stands.
func (s *story) standing(t *path.Trade) stop {
	st := stop{trade: t, unit: t.Req}
	if t.Req == nil {
		st.unit = t.Resp
	}
	req, resp := s.at(t.From), s.at(1-t.From)
	switch {
	case t.Req != nil && t.Req.Arrived == 0 && t.Req.Partial > 0:
		st.kind = msgLost
	case t.Req != nil && req && resp && t.Req.Arrived == 0 && t.Req.Lost > 0 && (t.Resp == nil || t.Resp.Arrived == 0):
		st.kind = msgLost
	case t.Resp != nil && req && !resp && s.inPieces(t.Resp):
		st.kind, st.unit = pieceLost, t.Resp
	case t.Step == "AM3":
		// Nothing answers it by itself: the next message does, or message 2 comes again.
		if s.followed(t) {
			return stop{step: ""}
		}
		switch {
		case !req && resp:
			st.kind = silence
			if s.repeatsAfter("AM2", t.Start) {
				st.kind = noReply
			}
		case req && resp && t.Req.Arrived > 0 && (len(t.Req.Msgs) > 1 || s.repeatsAfter("AM2", t.Start)):
			st.kind = noReply
		case req && !resp && len(t.Req.Msgs) > 1:
			st.kind = unanswered
		default:
			st.kind = ended
		}
	case t.Step == "QM" && t.Final != nil:
		// Sent once right before the other capture ends, it may just have been under way.
		lost := t.Final.Arrived == 0 && t.Final.Lost > 0 && (t.Final.Sure > 0 || len(t.Final.Msgs) > 1)
		again := t.Resp != nil && len(t.Resp.Msgs) > 1 && t.Resp.Last().Seq > t.Final.Last().Seq && distinct(t.Resp.Last().At, t.Final.Last().At)
		if (lost || again) && s.esp[1-t.From].sent == 0 {
			st.kind, st.unit = lastMissing, t.Final
			break
		}
		return stop{}
	case t.Step == "QM" && t.Resp != nil && t.Final == nil && !req && len(t.Resp.Msgs) > 1 && (t.Req == nil || len(t.Req.Msgs) == 1):
		st.kind, st.unit = lastMissing, t.Resp
	case t.Step == "QM" && t.Resp != nil && t.Final == nil && !req && s.esp[t.From].sent > 0:
		st.kind, st.unit = lastMissing, t.Resp
	case s.w.Answered(t):
		if t.Step == "QM" && t.Final == nil {
			st.kind, st.unit = ended, t.Resp
			if !req {
				st.kind = silence
			}
			break
		}
		if s.up {
			return stop{}
		}
		st.kind, st.unit = ended, t.Resp
		if !s.at(t.From) {
			st.kind = silence
		}
	case t.Resp != nil && req && resp && t.Resp.Arrived == 0 && t.Resp.Lost > 0:
		st.kind, st.unit = msgLost, t.Resp
	case t.Resp != nil && !req && resp:
		st.kind, st.unit = unaccepted, t.Resp
	case t.Resp == nil && resp && t.Req != nil && s.inPieces(t.Req):
		st.kind = pieceLost
	case t.Resp == nil && resp && t.Req != nil && t.Req.Arrived > 0:
		st.kind = noReply
	case t.Resp == nil && req && !resp:
		st.kind = unanswered
	case t.Resp != nil && req && !resp && t.Resp.Partial > 0:
		st.kind, st.unit = unaccepted, t.Resp // only pieces of the answer came
	default:
		st.kind = ended
	}
	st.step = stepOf(t, st.unit)
	return st
}

// inPieces tells whether a message is an IKE-level fragment of which others never arrived:
// its receiver cannot answer what it does not have whole.
func (s *story) inPieces(u *path.Unit) bool { return inPieces(s.a, u) }

func inPieces(a *path.Attempt, u *path.Unit) bool {
	parts := u.First().Parts
	if parts < 2 || u.Arrived == 0 {
		return false
	}
	have := map[uint16]bool{}
	for _, o := range a.Units {
		if m := o.First(); o.From == u.From && m.Parts == parts && m.MessageID == u.First().MessageID && m.Exchange == u.First().Exchange && o.Arrived > 0 {
			have[m.Part] = true
		}
	}
	return len(have) < int(parts)
}

// distinct: two moments far enough apart to be no reordering, or no clock at all.
func distinct(a, b time.Time) bool {
	d := a.Sub(b).Abs()
	return d == 0 || d > 300*time.Millisecond
}

// stepOf names the place in the words of report.stopped_at.
func stepOf(t *path.Trade, u *path.Unit) string {
	if u != nil && (strings.HasPrefix(u.Step, "MM") || strings.HasPrefix(u.Step, "AM") || strings.HasPrefix(u.Step, "QM")) {
		return u.Step
	}
	if t.Step == "QM" {
		return "QM1"
	}
	return t.Step
}

// followed tells whether anything of the negotiation came after the trade from its other end.
func (s *story) followed(t *path.Trade) bool {
	for _, o := range s.trades {
		if o == t || o.Start.Before(t.Start) || o.Step == "AM1" {
			continue
		}
		if o.Info {
			continue
		}
		if o.From != t.From || o.Resp != nil {
			return true
		}
	}
	return false
}

// repeatsAfter tells whether a step is sent again after a moment.
func (s *story) repeatsAfter(step string, at time.Time) bool {
	for _, u := range s.a.Units {
		if u.Step == step && u.Last().At.After(at.Add(300*time.Millisecond)) && len(u.Msgs) > 1 {
			return true
		}
	}
	return false
}

// unit finds a message by its step.
func (s *story) unit(step string) *path.Unit {
	if s.a == nil {
		return nil
	}
	for _, u := range s.a.Units {
		if u.Step == step {
			return u
		}
	}
	return nil
}

// trade finds the last trade of a step that is there.
func (s *story) trade(step string) *path.Trade {
	var out *path.Trade
	for _, t := range s.trades {
		if t.Step == step {
			out = t
		}
	}
	return out
}

// notify finds the first clear error notify of the attempt sent by an end (-1: any).
func (s *story) notify(end int) (*path.Unit, facts.Notify, bool) {
	if s.a == nil {
		return nil, facts.Notify{}, false
	}
	for _, u := range s.a.Units {
		if end >= 0 && u.From != end {
			continue
		}
		if s.forged(u) {
			continue
		}
		for _, n := range u.First().Notifies {
			if n.Error && n.Type != 17 && n.Type != 14+16384 {
				return u, n, true
			}
		}
	}
	return nil, facts.Notify{}, false
}

// refused finds the answer that turns a trade down: a clear error notify, or an encrypted
// informational right after the request in place of the answer.
func (s *story) refused(t *path.Trade) *path.Unit {
	if t.Req == nil || t.Final != nil {
		return nil
	}
	if t.Resp != nil {
		for _, m := range t.Resp.Msgs {
			for _, n := range m.Notifies {
				if n.Error && n.Type != 17 {
					return t.Resp
				}
			}
		}
		if t.Step == "IKE_AUTH" {
			if r := authResult(t.Resp); (r == authFailed || r == childFailed) && !s.up && s.esp[0].sent+s.esp[1].sent == 0 {
				return t.Resp
			}
		}
		if t.Step != "CREATE_CHILD_SA" {
			return nil
		}
		if t.Resp.First().Length <= 100 && t.Req.First().Length > 150 && !s.collided(t) {
			return t.Resp
		}
		return nil
	}
	for _, o := range s.trades {
		if !o.Info || o.Req == nil || o.From == t.From || s.forged(o.Req) {
			continue
		}
		m := o.Req.First()
		if s.unheeded(t, o.Req) {
			continue
		}
		for _, q := range t.Req.Msgs {
			if d := m.At.Sub(q.At); d >= 0 && d < 2*time.Second {
				return o.Req
			}
		}
	}
	return nil
}

// unheeded tells whether a single notify in the clear is no answer: the request was sent time and
// again, and the other copies got none.
func (s *story) unheeded(t *path.Trade, u *path.Unit) bool {
	notes := 0
	for _, o := range s.infos(u.From, s.a.Start) {
		notes += len(o.Msgs)
	}
	return notes == 1 && !u.First().Encrypted && len(t.Req.Msgs) >= 4
}

// forged: a message that arrived, and that its sender's capture of the same time does not
// have, like the request that it answers: something on the way wrote it in the sender's name.
func (s *story) forged(u *path.Unit) bool {
	if u == nil || !s.both() || !s.w.Comparable {
		return false
	}
	v := s.w.Ends[u.From].View
	unsent := func(m *path.Msg) bool { return m.From == u.From && m.Sent() == nil && m.Rcvd() != nil && v.Ran(m.At) }
	sure := func(m *path.Msg) bool { return unsent(m) && v.Before(m.At) && v.After(m.At) }
	// A capture without any packet of that end may be of another interface.
	if !slices.ContainsFunc(v.Hosts, func(h facts.HostTraffic) bool { return s.w.EndOf(h.Src) == u.From }) {
		return false
	}
	if slices.ContainsFunc(u.Msgs, func(m *path.Msg) bool { return !unsent(m) }) {
		return false
	}
	// One that surely ran stands for the others of its kind.
	if !slices.ContainsFunc(s.w.Attempts, func(a *path.Attempt) bool {
		return slices.ContainsFunc(a.Msgs, func(m *path.Msg) bool { return m.Exchange == u.First().Exchange && sure(m) })
	}) {
		return false
	}
	for _, o := range s.a.Units {
		if o.From != u.From && (o.Arrived > 0 || o.Lost == 0) {
			return false // that end was asked
		}
	}
	return true
}

// forgedPlaces are the messages that something on the way wrote in an end's name.
func (s *story) forgedPlaces(end int) (ps []facts.Place) {
	if s.a == nil {
		return nil
	}
	for _, u := range s.a.Units {
		if u.From == end && s.forged(u) {
			ps = append(ps, s.rcvdPlaces(u, "arrived, and "+s.name(end)+" never sent it")...)
		}
	}
	return ps
}

// collided: both ends began to make the same SA anew at once, and the other's attempt went
// through; the refusal (TEMPORARY_FAILURE, CHILD_SA_NOT_FOUND) settles it (RFC 7296 2.25).
func (s *story) collided(t *path.Trade) bool {
	return slices.ContainsFunc(s.trades, func(o *path.Trade) bool {
		return o.Step == t.Step && o.From != t.From && o.Resp != nil && o.Resp.First().Length > 120 && o.Start.Sub(t.Start).Abs() < 10*time.Second
	})
}

// infos lists the informational messages an end sent after a moment.
func (s *story) infos(end int, after time.Time) []*path.Unit {
	var out []*path.Unit
	for _, t := range s.trades {
		if t.Info && t.Req != nil && t.From == end && !t.Start.Before(after) {
			out = append(out, t.Req)
		}
	}
	return out
}
