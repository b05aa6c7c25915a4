package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
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
