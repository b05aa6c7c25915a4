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

// story is the reading of one tunnel's captures that all conditions of the wire share:
// which attempt counts, how far it came, which message it waits for, and what ESP did.
// It states what the packets say; the conditions weigh it.
type story struct {
	t *Tunnel
	w *path.Wire
	a *path.Attempt // the attempt that is judged; nil when only ESP, cTCP or nothing was seen
	n *facts.Negotiation

	whole    *path.Attempt // a with what was injected; nil when nothing was
	injected []*path.Unit  // what somebody else wrote into a; left out of it
	trades   []*path.Trade // of a, informational ones included
	ini, res int           // ends of a
	up       bool          // the tunnel was negotiated to its end
	upAt     time.Time
	stop     stop
	esp      [2]espDir // by sender
	named    *bool     // what other made
	anew     bool      // ESP of older SAs is left out
	logged   []wpkt    // what log made
	logMade  bool
}

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

// espDir is the ESP that one end sent.
type espDir struct {
	sent, arrived, lost, sure int
	udp, native               bool
	first, last               time.Time
	lastArrived               time.Time
	flows                     []*path.Flow
}

// reading makes the story once per tunnel; nil without captures.
func (t *Tunnel) reading() *story {
	if t.Wire == nil {
		return nil
	}
	if t.story == nil {
		t.story = read(t, t.Wire)
		t.fuller()
	}
	return t.story
}

// fuller takes the reading of one end's capture where the comparison of both finds no fault
// and the other capture missed a part: a fault that shows in packets of that time counts as
// it would with one end.
func (t *Tunnel) fuller() {
	both := t.story
	if !both.w.Comparable || !both.w.Partly() || t.strongest() != nil {
		return
	}
	for e := range 2 {
		o := both.w.Ends[1-e].View
		t.story = read(t, both.w.Alone(e))
		if both.up && !t.story.up {
			continue // the other capture shows that it went on
		}
		if m := t.strongest(); m != nil && mostly(m.Clues[0].Places, func(p facts.Place) bool {
			v := both.w.Ends[e].View
			return p.Time != nil && !o.Saw(p.Time.Add(v.Offset))
		}) {
			return
		}
	}
	t.story = both
}

func mostly(ps []facts.Place, is func(facts.Place) bool) bool {
	n := 0
	for _, p := range ps {
		if is(p) {
			n++
		}
	}
	return 2*n > len(ps)
}

// strongest is the fault that the captures show best, nil when they rather show none.
func (t *Tunnel) strongest() *Match {
	var best *Match
	most := 0.0
	for _, c := range Wire() {
		if c.Healthy {
			continue
		}
		for _, m := range c.Look(t) {
			w := Prior
			for _, cl := range m.Clues {
				w += cl.Weight
			}
			if w > most {
				best, most = &m, w
			}
		}
	}
	return best
}

func read(t *Tunnel, w *path.Wire) *story {
	s := compose(t, w, false)
	// A session that the SAs of an earlier attempt still carry, while the one that should
	// renew it fails: what fails is the news.
	if s.renewing() {
		if r := compose(t, w, true); r.stuck() {
			return r
		}
	}
	return s
}

// renewing tells whether the judged attempt began while ESP of older SAs ran both ways, and
// did not come to its end.
func (s *story) renewing() bool {
	if s.a == nil || !s.up || !s.opened() || completed(s.a) {
		return false
	}
	var old [2]bool
	for _, f := range s.w.Flows {
		old[f.From] = old[f.From] || f.Start.Before(s.a.Start.Add(-time.Second))
	}
	return old[0] && old[1] && !slices.ContainsFunc(s.w.Attempts, func(a *path.Attempt) bool { return completed(a) && a.End.After(s.a.Start) })
}

// stuck tells whether an attempt fails again and again, for more than a moment.
func (s *story) stuck() bool {
	u := s.stop.unit
	switch s.stop.kind {
	case msgLost, noReply, unanswered, unaccepted, refusal:
		return u != nil && len(u.Msgs) >= 3 && u.Last().At.Sub(u.First().At) >= gap
	}
	return false
}

// compose makes a reading; anew leaves out ESP of SAs that are older than the judged attempt.
func compose(t *Tunnel, w *path.Wire, anew bool) *story {
	s := &story{t: t, w: w, anew: anew}
	s.choose()
	s.withoutInjected()
	if s.a != nil {
		s.n = s.a.Any()
		s.trades = s.a.Trades()
		s.ini, s.res = s.a.Initiator, 1-s.a.Initiator
	} else {
		s.ini, s.res = 0, 1
	}
	s.traffic()
	s.progress()
	return s
}

// choose takes the newest attempt that says something. One that had just begun when the
// capture ended says less than the failed one before it.
func (s *story) choose() {
	as := s.w.Attempts
	if len(as) == 0 {
		return
	}
	s.a = as[len(as)-1]
	if len(as) < 2 {
		return
	}
	// A negotiation that was set up earlier and is still used (DPD, rekeys) may stand
	// beside attempts of the other end; the newest that completed wins over younger ones
	// that barely began.
	for i := len(as) - 1; i >= 0; i-- {
		a := as[i]
		if a.End.Sub(a.Start) > 3*time.Second || len(a.Msgs) > 2 || completed(a) {
			s.a = a
			return
		}
	}
}

// completed tells whether an attempt reached its IPsec SA.
func completed(a *path.Attempt) bool {
	_, ok := upTime(a, a.Trades())
	return ok
}

// upTime finds when the first IPsec SA of the attempt stood.
func upTime(a *path.Attempt, ts []*path.Trade) (time.Time, bool) {
	for _, t := range ts {
		switch t.Step {
		case "QM":
			if t.Final != nil {
				return t.Final.First().At, true
			}
		case "IKE_AUTH":
			if t.Resp != nil && authResult(t.Resp) == authDone && !inPieces(a, t.Resp) {
				return t.Resp.First().At, true
			}
		case "CREATE_CHILD_SA":
			if t.Resp != nil && t.Resp.First().Length > 120 {
				return t.Resp.First().At, true
			}
		}
	}
	return time.Time{}, false
}

type authOutcome int

const (
	authUnknown authOutcome = iota
	authFailed              // nothing but a notify fits into it
	childFailed             // identity, AUTH and a notify: the IKE SA stands, the child was refused
	authDone
)

// authResult reads the last IKE_AUTH answer from its length: it is encrypted. A lone
// notify takes one block; identity and AUTH with a notify some 50 to 60 bytes more; a
// child SA with its proposals and selectors over 100 more.
func authResult(u *path.Unit) authOutcome {
	l := 0
	for _, m := range u.Msgs {
		if m.Parts > 1 {
			return authDone
		}
		l = max(l, m.Length)
	}
	switch {
	case l == 0:
		return authUnknown
	case l <= 100:
		return authFailed
	case l < 180:
		return childFailed
	}
	return authDone
}

// traffic sums up the ESP that belongs to the judged attempt.
func (s *story) traffic() {
	for _, f := range s.w.Flows {
		if s.a != nil && (s.opened() && f.End.Before(s.a.Start.Add(-time.Second)) || s.neighbours(f)) {
			continue
		}
		if s.anew && f.Start.Before(s.a.Start) {
			continue
		}
		d := &s.esp[f.From]
		d.sent += f.Sent
		d.arrived += f.Arrived
		d.lost += f.Lost
		d.sure += f.Sure
		d.udp = d.udp || f.UDP
		d.native = d.native || !f.UDP && !f.CTCP
		d.flows = append(d.flows, f)
		if d.first.IsZero() || f.Start.Before(d.first) {
			d.first = f.Start
		}
		if f.End.After(d.last) {
			d.last = f.End
		}
		if r := f.Seen[1-f.From]; r != nil {
			if v := s.w.Ends[1-f.From].View; v != nil {
				if t := r.Last.Add(v.Offset); t.After(d.lastArrived) {
					d.lastArrived = t
				}
			}
		}
	}
}

// neighbours tells whether ESP in UDP belongs to another peer behind the same address: its
// ports are those of another negotiation that completed, not of the judged one, and it runs
// both ways beside it. A mapping that a NAT made anew is left by its own end.
func (s *story) neighbours(f *path.Flow) bool {
	if !f.UDP || len(s.w.Attempts) < 2 {
		return false
	}
	for e := range 2 {
		x := f.Seen[e]
		if x == nil {
			continue
		}
		same := func(a, b netip.AddrPort) bool { return a == x.Src && b == x.Dst || a == x.Dst && b == x.Src }
		uses := func(a *path.Attempt) bool {
			return slices.ContainsFunc(a.Msgs, func(m *path.Msg) bool { return m.Seen[e] != nil && same(m.Seen[e].Src, m.Seen[e].Dst) })
		}
		back := slices.ContainsFunc(s.w.Flows, func(o *path.Flow) bool {
			y := o.Seen[e]
			return o.From != f.From && y != nil && same(y.Src, y.Dst) && o.End.After(s.a.Start.Add(-time.Second))
		})
		if back && !uses(s.a) && slices.ContainsFunc(s.w.Attempts, func(a *path.Attempt) bool { return a != s.a && uses(a) && completed(a) }) {
			return true
		}
	}
	return false
}

// fresh: the message left once, right before the captures end. Nobody can say yet what
// becomes of it: its answer, or its first resend, would have come later.
func (s *story) fresh(u *path.Unit) bool {
	return u != nil && len(u.Msgs) == 1 && !s.goesOn(u.Last().At, 1500*time.Millisecond)
}

// goesOn tells whether a capture still has packets so long after a moment.
func (s *story) goesOn(at time.Time, d time.Duration) bool {
	for _, v := range s.w.Views {
		if v.After(at.Add(d)) {
			return true
		}
	}
	return false
}

// both tells whether both ends were captured.
func (s *story) both() bool { return s.w.Both() }

// at tells whether the end was captured.
func (s *story) at(end int) bool { return s.w.Ends[end].View != nil }

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

// name calls an end by its vantage point's name and address.
func (s *story) name(end int) string {
	e := s.w.Ends[end]
	a := s.w.Public(end)
	switch {
	case e.Name == "" && len(e.Ports) > 0 && a.IsValid():
		return fmt.Sprintf("%v (port %s)", a, portList(e.Ports))
	case e.Name != "" && a.IsValid():
		return e.Name + " (" + a.String() + ")"
	case e.Name != "":
		return e.Name
	case a.IsValid():
		return a.String()
	}
	return "the other end"
}

// passed is the largest whole IP packet of IKE or ESP that arrived from an end, and on which port.
func (s *story) passed(from int) (size int, pl []facts.Place) {
	for _, a := range s.w.Attempts {
		for _, m := range a.Msgs {
			if m.From != from {
				continue
			}
			x := m.Rcvd()
			if x == nil && s.at(1-from) {
				continue
			}
			if x == nil {
				// The sender alone was captured: what was answered has arrived.
				if !s.answeredMsg(m) {
					continue
				}
				x = m.Message
			}
			if x.Complete && len(x.Fragments) == 0 && x.IPLength > size {
				size = x.IPLength
				if v := s.w.Ends[1-from].View; v != nil {
					pl = []facts.Place{wirePlace(v, x, "arrived")}
				} else if v := s.w.Ends[from].View; v != nil {
					pl = []facts.Place{wirePlace(v, x, "was answered")}
				}
			}
		}
	}
	return size, pl
}

// answeredMsg tells whether a later message of the other end shows that m arrived.
func (s *story) answeredMsg(m *path.Msg) bool {
	for _, t := range s.trades {
		if t.Req != nil && t.From == m.From && slices.Contains(t.Req.Msgs, m) {
			return t.Resp != nil && t.Resp.Arrived > 0
		}
	}
	return false
}

// portPassed tells whether anything from an end arrived on UDP 4500: IKE, ESP or keepalives.
func (s *story) portPassed(from int) (bool, []facts.Place) {
	to := 1 - from
	v := s.w.Ends[to].View
	if v == nil {
		// Only the sender was captured: an exchange on 4500 that went on shows that its part arrived.
		for _, t := range s.trades {
			if t == s.stop.trade || t.Info || t.Req == nil {
				continue
			}
			u := t.Req
			if t.From != from {
				u = t.Resp
			}
			if u == nil || u.First().Src.Port() != 4500 && u.First().Dst.Port() != 4500 || t.Resp == nil && !s.followed(t) {
				continue
			}
			return true, s.sentPlaces(u, "was understood")[:1]
		}
		return false, nil
	}
	for _, m := range s.msgs() {
		if m.From == from && m.Rcvd() != nil && m.Rcvd().Complete && m.Rcvd().Dst.Port() == 4500 {
			return true, []facts.Place{wirePlace(v, m.Rcvd(), "arrived on UDP 4500")}
		}
	}
	for _, k := range v.Keepalives {
		if s.w.EndOf(k.Src.Addr()) == from && k.Count > 0 {
			t := k.First
			return true, []facts.Place{{Source: v.Capture.Source, Packet: k.FirstPacket, Wire: true, Time: &t,
				Text: fmt.Sprintf("%s %v→%v NAT keepalive, %d in all: UDP 4500 is open", stamp(t), k.Src, k.Dst, k.Count)}}
		}
	}
	for _, f := range s.esp[from].flows {
		if f.UDP && f.Seen[to] != nil {
			return true, s.espPlaces(from, to, "arrived on UDP 4500", 1)
		}
	}
	return false, nil
}

func (s *story) msgs() []*path.Msg {
	if s.a == nil {
		return nil
	}
	return s.a.Msgs
}

// icmpAbout lists ICMP errors of a kind about what an end sent; code -1 is any.
func (s *story) icmpAbout(sender int, typ, code int) []path.ICMP {
	var out []path.ICMP
	for _, e := range s.w.ICMP {
		if e.About == sender && int(e.Type) == typ && (code < 0 || int(e.Code) == code) {
			out = append(out, e)
		}
	}
	return out
}

func icmpPlaces(es []path.ICMP) []facts.Place {
	var out []facts.Place
	for i, e := range es {
		if i >= 4 {
			break
		}
		out = append(out, icmpPlace(e))
	}
	return out
}

// certs tells whether the negotiation authenticates by certificates: the chosen proposal
// or a certificate request says so.
func (s *story) certs() bool {
	if s.a == nil {
		return false
	}
	for _, n := range s.a.Negs {
		for _, ps := range [][]facts.Proposal{n.Chosen, n.Offered} {
			for _, p := range ps {
				for _, t := range p.Transforms {
					if strings.Contains(strings.ToUpper(t.Auth), "RSA") || strings.Contains(strings.ToUpper(t.Auth), "CERT") || strings.Contains(strings.ToUpper(t.Auth), "ECDSA") {
						return true
					}
				}
			}
			if len(ps) > 0 && n.Version == 1 {
				break
			}
		}
	}
	if s.n.Version != 2 {
		return false
	}
	for _, m := range s.a.Msgs {
		for _, p := range m.Payloads {
			if strings.HasPrefix(strings.ToUpper(p.Name), "CERTREQ") {
				return true
			}
		}
	}
	return false
}

// moved tells whether messages of one end reached the other from more than one address,
// and gives the first from the old and the first from the new one.
func (s *story) moved(end int) (first, last *path.Msg, ok bool) {
	for _, m := range s.msgs() {
		if m.From != end {
			continue
		}
		x := m.Rcvd()
		if x == nil {
			continue
		}
		if first == nil {
			first = m
			continue
		}
		if x.Src.Addr() != first.Rcvd().Src.Addr() {
			if !ok {
				last, ok = m, true
			}
		} else if ok {
			ok, last = false, nil // back at the first address: copies of an older message
			if x.Copy == 0 {
				return first, nil, false
			}
		}
	}
	return first, last, ok
}

// next is the usual advice to capture the other end too.
func (s *story) next(because string) []report.Next {
	if s.both() {
		return nil
	}
	miss := 0
	if s.at(0) {
		miss = 1
	}
	return []report.Next{{Collect: "a capture at " + s.name(miss) + " of the same time, beside this one", Because: because, Playbook: "capture-both-ends"}}
}

// device finds the tunnel's end that belongs to an end of the wire.
func (s *story) device(end int) *End {
	v := s.w.Ends[end].View
	for _, e := range s.t.Ends {
		if v != nil && e.Device != nil && (e.Device.Name != "" && e.Device.Name == v.Capture.Device) {
			return e
		}
	}
	for _, e := range s.t.Ends {
		if slices.Contains(s.w.Ends[end].Addrs, e.Own) {
			return e
		}
	}
	return nil
}

// mend makes an action for one end: commands of its platform where that is known, of both
// platforms, named, where it is not.
func (s *story) mend(class report.Class, end int, asa, ios, steps []string, effect string) report.Action {
	a := report.Action{Class: class, Commands: []string{}, Steps: slices.Clone(steps), Effect: effect}
	platform := facts.UnknownPlatform
	var at *End
	if end >= 0 {
		if d := s.device(end); d != nil {
			a.Device = d.Label()
			platform, at = d.Device.Platform, d
		} else if s.w.Ends[end].Name != "" {
			a.Device = s.w.Ends[end].Name
		} else if x := s.w.Public(end); x.IsValid() {
			a.Device = x.String()
		}
	}
	fill := func(cs []string) []string {
		var out []string
		peer := "<peer>"
		if end >= 0 {
			if x := s.w.Public(1 - end); x.IsValid() {
				peer = x.String()
			}
		}
		for _, c := range cs {
			out = append(out, strings.ReplaceAll(c, "<peer>", peer))
		}
		return out
	}
	switch platform {
	case facts.ASA:
		a.Commands = at.dialect(fill(asa))
	case facts.IOS:
		a.Commands = at.dialect(fill(ios))
	default:
		if len(asa) > 0 {
			a.Steps = append(a.Steps, "Cisco ASA: "+strings.Join(fill(asa), "; "))
		}
		if len(ios) > 0 {
			a.Steps = append(a.Steps, "Cisco IOS: "+strings.Join(fill(ios), "; "))
		}
	}
	if a.Commands == nil {
		a.Commands = []string{}
	}
	return a
}

// dialect puts commands of the present form into the one that this device's release takes,
// and names its interface where the configuration does.
func (e *End) dialect(cs []string) []string {
	iface := ""
	if b := e.boundTo(); len(b) == 1 {
		iface = b[0]
	}
	var out []string
	for _, c := range cs {
		if e.isASA() && e.old() {
			if strings.Contains(c, "ikev2 ") && !strings.Contains(c, "ikev1") {
				continue // there is no IKEv2 before 8.4
			}
			c = strings.NewReplacer("crypto ikev1 ", "crypto isakmp ", "ikev1 user-authentication", "isakmp ikev1-user-authentication",
				"vpn-tunnel-protocol ikev1 ikev2", "vpn-tunnel-protocol IPSec").Replace(c)
		}
		if iface != "" {
			c = strings.NewReplacer("<interface>", iface, "<outside>", iface).Replace(c)
		}
		out = append(out, c)
	}
	return out
}

// whichPeer says of which peer a statement is where several share one address.
func (s *story) whichPeer() string {
	for _, e := range s.w.Ends {
		if len(e.Ports) == 0 || len(e.Addrs) == 0 {
			continue
		}
		out := fmt.Sprintf(" %d peers share the address %v (a NAT): this is the one with UDP port %s", e.Peers, e.Addrs[0], portList(e.Ports))
		if s.a != nil {
			out += ", IKE cookies " + facts.SPIHex(s.a.InitSPI)
			if r := s.n.RespSPIs; len(r) > 0 {
				out += " and " + facts.SPIHex(r[len(r)-1])
			}
		}
		return out + "."
	}
	return ""
}

// portList joins the first ports of one peer.
func portList(ps []uint16) string {
	out := ""
	for i, p := range ps {
		switch {
		case i == 4:
			return out + " …"
		case i > 0:
			out += ", "
		}
		out += fmt.Sprint(p)
	}
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "one " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
