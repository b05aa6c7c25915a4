package conditions

import (
	"fmt"
	"slices"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
)

// loss is the message that the negotiation waits for, and what is known about its way.
type loss struct {
	u       *path.Unit
	from    int
	kind    stopKind
	answer  bool // the answer of the exchange, not its request
	n       int  // copies whose fate could show before the captures end
	partial int  // of these, how many arrived in part
	m       *path.Msg
	frag    bool
	big     bool // whole, large, DF
	size    int
	passed  int
	passedP []facts.Place
	open    bool // UDP 4500 passes in this direction
	openP   []facts.Place
	first   bool // nothing ever arrived from that end
	port    uint16
}

// missing describes the message the attempt waits for; nil when it waits for none.
func (s *story) missing() *loss {
	if s == nil || s.a == nil || s.stop.unit == nil {
		return nil
	}
	k := s.stop.kind
	if k != msgLost && k != unanswered && k != unaccepted && k != silence && k != pieceLost {
		return nil
	}
	l := &loss{u: s.stop.unit, kind: k, from: s.stop.unit.From}
	l.answer = s.stop.trade != nil && l.u == s.stop.trade.Resp
	l.m = l.u.First()
	x := l.m.Sent()
	if x == nil {
		x = l.m.Message
	}
	for _, m := range l.u.Msgs {
		if k != silence && len(l.u.Msgs) > 1 && !s.goesOn(m.At, 1500*time.Millisecond) && s.msgs()[0].At != s.msgs()[len(s.msgs())-1].At {
			continue // under way when the capture ended
		}
		if k == msgLost && s.both() && m.Fate == path.Unseen {
			continue // sent while the other capture did not run
		}
		l.n++
		if m.Sent() != nil && len(m.Sent().Fragments) > 0 || m.Rcvd() != nil && !m.Rcvd().Complete {
			l.frag = true
		}
		if m.Fate == path.Partial || m.Fate != path.Arrived && m.Rcvd() != nil && !m.Rcvd().Complete {
			l.partial++
		}
	}
	l.size = x.IPLength
	l.port = x.Dst.Port()
	if l.answer || x.Src.Port() == 4500 { // to a NAT's port
		l.port = x.Src.Port()
	}
	l.big = !l.frag && l.size >= bigPacket && x.DF
	l.passed, l.passedP = s.passed(l.from)
	l.open, l.openP = s.portPassed(l.from)
	l.first = true
	for _, m := range s.a.Msgs {
		if m.From != l.from {
			continue
		}
		if m.RespSPI != 0 && m.From == s.ini || m.Fate == path.Arrived || m.Fate == path.Unseen && (m.Rcvd() != nil || s.answeredMsg(m)) {
			l.first = false
		}
	}
	if k == unaccepted || k == silence {
		// Only the answering end was captured. That the request goes on after an answer
		// shows which answers arrived.
		l.first = true
		for _, t := range s.trades {
			if !t.Info && t != s.stop.trade && t.Resp != nil && t.From != l.from && t.Start.Before(s.stop.trade.Start) {
				l.first = false
				if sz := t.Resp.First().IPLength; sz > l.passed && len(t.Resp.First().Fragments) == 0 {
					l.passed, l.passedP = sz, s.sentPlaces(t.Resp, "was understood")
				}
				if t.Resp.First().Src.Port() == 4500 {
					l.open = true
				}
			}
		}
	}
	return l
}

// lossWeights are the log-odds (without Prior) that the loss has each of the path's causes.
func (s *story) lossWeights(l *loss) map[string]float64 {
	w := map[string]float64{}
	if l == nil {
		return w
	}
	nat := s.nat() || s.otherPort()
	bigger := l.size > l.passed
	if s.fresh(l.u) && len(s.forgedPlaces(1-l.from)) == 0 && (l.kind == msgLost || l.kind == unanswered || s.stop.step == "AM2") {
		return w
	}
	switch l.kind {
	case msgLost:
		switch {
		case l.partial > 0:
			w["path-fragments-dropped"] = 7
		case l.frag && l.first:
			w["path-fragments-dropped"], w["udp-500-blocked"] = 5, 2
		case l.frag:
			w["path-fragments-dropped"] = 6
		case l.first && l.answer:
			w["udp-500-return-blocked"] = 6
		case l.first:
			w["udp-500-blocked"] = 6
			if l.big {
				w["udp-500-blocked"], w["pmtu-black-hole"] = 4.6, 2.6
			}
		case l.port == 4500 && !l.open && l.big:
			w["pmtu-black-hole"], w["udp-4500-blocked"] = 4.8, 3.1
		case l.port == 4500 && !l.open:
			w["udp-4500-blocked"] = 6
		case bigger && l.big:
			w["pmtu-black-hole"] = 6
		case bigger && l.size > 100:
			w["path-large-packets-dropped"] = 5.4
		default:
			w["path-lost-midway"] = 5
		}
		if l.n <= 1 {
			lighter(w, 3.2) // one lost packet is an accident
		} else if l.n == 2 {
			lighter(w, 0.6)
		}
		if l.u.Sure == 0 && l.partial == 0 {
			// The other capture may have ended before.
			lighter(w, 0.5)
		}
	case unanswered:
		switch {
		case l.frag:
			w["path-fragments-dropped"] = 4.4
			if l.first {
				w["path-fragments-dropped"] = 3.6
			}
		case l.first:
			w["udp-500-blocked"], w["udp-500-return-blocked"] = 3.4, 1.6
		case l.big && bigger:
			w["pmtu-black-hole"] = 3.8
			if l.port == 4500 && !l.open {
				w["udp-4500-blocked"] = 2.4
			}
		case l.port == 4500 && !l.open:
			w["udp-4500-blocked"] = 4
		case s.stop.step == "MODECFG":
			w["path-fragments-dropped"], w["pmtu-black-hole"] = 3.1, 2.2
		case s.stop.step == "MM3":
			w["path-large-packets-dropped"] = 3.4
		case s.stop.step == "IKE_AUTH":
			w["path-large-packets-dropped"] = 2.2
		}
		if l.n == 1 {
			lighter(w, 1.2)
		}
	case unaccepted:
		switch {
		case l.partial > 0:
			w["path-fragments-dropped"] = 6.5
		case l.frag:
			w["path-fragments-dropped"] = 4.6
		case l.first && l.port == 500:
			w["udp-500-return-blocked"] = 5
		case l.big && bigger:
			w["pmtu-black-hole"] = 4.4
		case l.port == 4500 && !l.open:
			w["udp-4500-blocked"] = 4
		case bigger && l.size > 100:
			w["path-large-packets-dropped"] = 3.4
		default:
			w["path-lost-midway"] = 3
		}
		// The question that comes again and again after the answer weighs like copies of it.
		if l.n <= 1 && !s.askedAgain(3) {
			lighter(w, 2.4)
		}
	case pieceLost:
		if l.m.Part == l.m.Parts { // what is missing is as large or larger
			w["pmtu-black-hole"], w["path-large-packets-dropped"] = 4.4, 3.2
		} else {
			w["path-lost-midway"] = 4
		}
		if l.n <= 1 {
			lighter(w, 2.6)
		}
	case silence:
		// Keepalives on 4500 show that the port is open to the message that is missing.
		nextOpen, _ := s.portPassed(1 - l.from)
		switch s.stop.step {
		case "AM2":
			w["udp-4500-blocked"] = 2.4 // who is behind a NAT shows in message 3 only
			if nat {
				w["udp-4500-blocked"] = 4
			}
		case "MM2":
			w["path-large-packets-dropped"] = 3.2
		case "MM4":
			switch {
			case nextOpen:
				w["path-fragments-dropped"], w["pmtu-black-hole"] = 4.2, 3
			case nat:
				w["udp-4500-blocked"] = 4
			case s.certs():
				w["path-fragments-dropped"], w["pmtu-black-hole"] = 3.4, 2.8
			case s.cutShort("MM3") && s.cutShort("MM4"):
				w["udp-4500-blocked"], w["path-lost-midway"] = 2.4, 1.6 // NAT detection was not captured
			default:
				w["path-lost-midway"] = 2
			}
		case "IKE_SA_INIT":
			switch {
			case nextOpen:
				w["path-fragments-dropped"], w["pmtu-black-hole"] = 3.6, 3.2
			case nat:
				w["udp-4500-blocked"] = 3.8
			case s.certs():
				w["pmtu-black-hole"], w["path-fragments-dropped"] = 3.3, 2.9
			default:
				w["udp-4500-blocked"] = 3
			}
		case "MODECFG":
			if l.frag {
				w["path-fragments-dropped"] = 4
			} else if l.big {
				w["pmtu-black-hole"] = 3
			}
		}
	}
	if l.kind == silence && !s.goesOn(l.u.Last().At, 3*time.Second) {
		for k := range w {
			w[k] *= 0.75 // nothing at all follows: the capture may simply end here
		}
	}
	// Later fragments without their first one: the message that is waited for, in pieces.
	if s.orphans(l) {
		clear(w)
		w["path-fragments-dropped"] = 6
	}
	// Everything else between the two ends ceased as well: no port, no size.
	if at := s.silenced(l); !at.IsZero() && l.partial == 0 && !l.frag {
		clear(w)
		w["path-lost-midway"] = 4.4
	}
	// What routers and hosts say about it.
	if len(s.icmpAbout(l.from, 11, 1)) > 0 {
		w["path-fragments-dropped"] += 3
	}
	if es := s.icmpAbout(l.from, 3, 4); len(es) > 0 {
		w["pmtu-black-hole"] -= 4
	}
	return w
}

// askedAgain tells whether the request came so often after the answer that is waited for.
func (s *story) askedAgain(n int) bool {
	t := s.stop.trade
	if t == nil || t.Req == nil || t.Resp == nil {
		return false
	}
	for _, m := range t.Req.Msgs {
		if m.At.After(t.Resp.Last().At) {
			n--
		}
	}
	return n <= 0
}

// orphans tells whether later fragments of UDP came from the end whose message is missing,
// at least twice and without the first one, which has the ports.
func (s *story) orphans(l *loss) bool {
	from := l.from
	if l.kind == silence {
		from = 1 - from
	}
	v := s.w.Ends[1-from].View
	if v == nil || l.kind == unanswered {
		return false
	}
	n := 0
	for _, o := range v.Orphans {
		if o.Proto == 17 && s.w.EndOf(o.Src) == from && len(o.Fragments) > 0 && o.Fragments[0].Time.Add(v.Offset).After(l.u.First().At.Add(-time.Second)) {
			n++
		}
	}
	return n >= 2
}

// silenced is the moment from which the captured end hears nothing at all of the other one, pings
// and whatever else there is beside the tunnel, though it goes on sending: zero when it hears it,
// or when there was nothing of the kind.
func (s *story) silenced(l *loss) time.Time {
	for e := range 2 {
		v := s.w.Ends[e].View
		if v == nil || s.both() {
			continue
		}
		var out, in facts.HostTraffic
		for _, h := range v.Hosts {
			switch {
			case s.w.EndOf(h.Src) == e && s.w.EndOf(h.Dst) == 1-e && h.Last.After(out.Last):
				out = h
			case s.w.EndOf(h.Src) == 1-e && s.w.EndOf(h.Dst) == e && h.Last.After(in.Last):
				in = h
			}
		}
		if in.Count == 0 || out.Last.Sub(in.Last) < 3*gap || out.Count < in.Count+4 || l.u.Last().At.Before(in.Last.Add(v.Offset-2*time.Second)) {
			continue
		}
		if s.lastSent(1 - e).After(in.Last.Add(v.Offset + gap)) {
			continue
		}
		return in.Last.Add(v.Offset)
	}
	return time.Time{}
}

// cutShort tells whether the capture's snap length left only the beginning of a message.
func (s *story) cutShort(step string) bool {
	u := s.unit(step)
	return u != nil && !slices.ContainsFunc(u.Msgs, func(m *path.Msg) bool { return m.Captured >= m.Length })
}

// lighter takes the same off all weights.
func lighter(w map[string]float64, by float64) {
	for k := range w {
		w[k] -= by
	}
}

// otherPort: the initiator's messages to UDP 500 come from a port that no IKE device uses by
// itself: a NAT gave it. It counts where the payloads that say so were cut off.
func (s *story) otherPort() bool {
	return slices.ContainsFunc(s.a.Msgs, func(m *path.Msg) bool {
		if m.From != s.ini || m.Rcvd() == nil || m.Rcvd().Dst.Port() != 500 {
			return false
		}
		p := m.Rcvd().Src.Port()
		return p != 500 && p != 4500
	})
}

// what names the message for a sentence.
func (l *loss) what() string {
	lbl := l.u.Label
	if lbl == "" {
		lbl = l.u.Step
	}
	return lbl
}

// wireLoss makes a condition of the path out of the shared weights.
func wireLoss(id string, look func(s *story, l *loss, weight float64) *Match) func(*Tunnel) []Match {
	return func(t *Tunnel) []Match {
		s := t.reading()
		if s == nil || s.a == nil || !s.w.Comparable {
			return nil
		}
		l := s.missing()
		if l == nil || s.outranked(l) {
			return nil
		}
		w := s.lossWeights(l)[id]
		if w <= 0 {
			return nil
		}
		m := look(s, l, w)
		if m == nil {
			return nil
		}
		return []Match{*m}
	}
}

// outranked: something else answers for the silence: a refusal on the way, an answer from
// another address, a moved address, a port that nobody listens on.
func (s *story) outranked(l *loss) bool {
	if _, _, _, ok := s.strangeAnswer(); ok {
		return true
	}
	if l.kind != msgLost {
		if l.kind == unaccepted && s.ignored() {
			return true
		}
	}
	if es := s.portClosed(s.ini); l.first && len(es) > 0 && !s.inItsName(es) {
		return true
	}
	return false
}

// lossClues turns the loss into evidence.
func (s *story) lossClues(l *loss, w float64) []Clue {
	var cs []Clue
	n := plural(max(1, l.n), "copy", "copies")
	switch l.kind {
	case msgLost:
		if l.partial > 0 {
			cs = append(cs, For(w, fmt.Sprintf("%s of %s left %s and only part of their fragments arrived at %s", n, l.what(), s.name(l.from), s.name(1-l.from)), s.rcvdPlaces(l.u, "only this part arrived")...))
			cs = append(cs, For(0.01, "as it left", s.sentPlaces(l.u, "left")...))
		} else {
			cs = append(cs, For(w, fmt.Sprintf("%s of %s left %s, none arrived at %s", n, l.what(), s.name(l.from), s.name(1-l.from)), s.sentPlaces(l.u, "did not arrive")...))
		}
	case unanswered:
		cs = append(cs, For(w, fmt.Sprintf("%s of %s left %s, no answer came", n, l.what(), s.name(l.from)), s.sentPlaces(l.u, "no answer")...))
	case unaccepted:
		cs = append(cs, For(w, fmt.Sprintf("%s left %s and the question came again after it", l.what(), s.name(l.from)), s.sentPlaces(l.u, "did not help")...))
		if s.stop.trade != nil && s.stop.trade.Req != nil {
			cs = append(cs, For(0.01, "asked again", s.rcvdPlaces(s.stop.trade.Req, "")...))
		}
	case pieceLost:
		cs = append(cs, For(w, fmt.Sprintf("%s of piece %d of %d of %s arrived, and never the message whole", n, l.m.Part, l.m.Parts, l.what()), s.rcvdPlaces(l.u, "only this piece arrived")...))
	case silence:
		cs = append(cs, For(w, fmt.Sprintf("after %s nothing more came from %s", l.what(), s.name(1-l.from)), s.sentPlaces(l.u, "the last thing that was understood")...))
	}
	if len(l.passedP) > 0 && l.kind != silence {
		cs = append(cs, For(0.01, fmt.Sprintf("smaller packets pass: %d bytes", l.passed), l.passedP[:1]...))
	}
	return cs
}

var ispSteps = []string{
	"give the ISP the evidence report: what left, what did not arrive, with addresses, ports, sizes, IP ids and times in UTC",
}
