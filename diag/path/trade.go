package path

import (
	"cmp"
	"slices"
	"time"

	"vpnbot/diag/facts"
)

// Trade is a request and its answer: MM1 and MM2, a quick mode, an XAUTH question with
// its reply. Either may be missing.
type Trade struct {
	Step  string
	Req   *Unit
	Resp  *Unit
	Final *Unit // QM3
	From  int   // end that asked
	Info  bool  // informational: notify, delete, DPD
	Start time.Time
	End   time.Time
}

// pairOf names the trade that a phase-1 message belongs to.
func pairOf(step string) (trade string, resp bool) {
	switch step {
	case "MM1", "MM2":
		return "MM1", step == "MM2"
	case "MM3", "MM4":
		return "MM3", step == "MM4"
	case "MM5", "MM6":
		return "MM5", step == "MM6"
	case "AM1", "AM2":
		return "AM1", step == "AM2"
	case "AM3":
		return "AM3", false
	}
	return "", false
}

// Trades lists the attempt's exchanges in order of their first message.
func (a *Attempt) Trades() []*Trade {
	var out []*Trade
	type key struct {
		x    uint8
		id   uint32
		from int // who asked
		step string
	}
	by := map[key]*Trade{}
	touch := func(t *Trade, u *Unit) {
		if t.Start.IsZero() || u.First().At.Before(t.Start) {
			t.Start = u.First().At
		}
		if u.Last().At.After(t.End) {
			t.End = u.Last().At
		}
	}
	add := func(k key, step string, info bool) *Trade {
		t := by[k]
		if t == nil {
			t = &Trade{Step: step, From: k.from, Info: info}
			by[k] = t
			out = append(out, t)
		}
		return t
	}
	put := func(t *Trade, u *Unit, resp bool) {
		touch(t, u)
		switch {
		case !resp && t.Req == nil:
			t.Req = u
		case resp && t.Resp == nil:
			t.Resp = u
		case !resp:
			t.Req = better(t.Req, u)
		default:
			t.Resp = better(t.Resp, u)
		}
	}
	for _, u := range a.Units {
		m := u.First()
		if p, resp := pairOf(u.Step); p != "" {
			from := u.From
			if resp {
				from = 1 - from
			}
			t := add(key{step: p, from: from}, p, false)
			if resp && t.Resp != nil && (p == "MM1" || p == "AM1") {
				t.Resp = joined(t.Resp, u)
				touch(t, u)
				continue
			}
			put(t, u, resp)
			continue
		}
		switch {
		case u.Step == "QM1" || u.Step == "QM2" || u.Step == "QM3":
			from := u.From
			if u.Step == "QM2" {
				from = 1 - from
			}
			t := add(key{32, m.MessageID, from, "QM"}, "QM", false)
			if u.Step == "QM3" {
				t.Final = u
				touch(t, u)
			} else {
				put(t, u, u.Step == "QM2")
			}
		case u.Step == facts.StepXAUTH || u.Step == facts.StepMODECFG:
			from := u.From
			if u.Response {
				from = 1 - from
			}
			put(add(key{6, m.MessageID, from, ""}, u.Step, false), u, u.Response)
		case m.Exchange == 34: // IKE_SA_INIT: a second request with a cookie or another group is a trade of its own
			if !u.Response {
				t := &Trade{Step: "IKE_SA_INIT", From: u.From}
				put(t, u, false)
				out = append(out, t)
				continue
			}
			var last *Trade
			for _, t := range out {
				if t.Step == "IKE_SA_INIT" && t.Resp == nil && !t.Start.After(u.First().At.Add(time.Second)) {
					if last == nil || t.Start.After(last.Start) {
						last = t
					}
				}
			}
			if last == nil { // another answer: the half-open SA expired and the request came again
				for _, t := range out {
					if t.Step == "IKE_SA_INIT" && t.From == 1-u.From && (last == nil || t.Start.After(last.Start)) && !t.Start.After(u.First().At) {
						last = t
					}
				}
				if last != nil {
					last.Resp = joined(last.Resp, u)
					touch(last, u)
					continue
				}
				last = &Trade{Step: "IKE_SA_INIT", From: 1 - u.From}
				out = append(out, last)
			}
			put(last, u, true)
		case m.Exchange == 35 || m.Exchange == 36 || m.Exchange == 37:
			from := u.From
			if u.Response {
				from = 1 - from
			}
			put(add(key{m.Exchange, m.MessageID, from, ""}, u.Step, m.Exchange == 37), u, u.Response)
		default:
			put(add(key{m.Exchange, m.MessageID, u.From, u.Step}, u.Step, true), u, false)
		}
	}
	slices.SortStableFunc(out, func(x, y *Trade) int {
		if c := x.Start.Compare(y.Start); c != 0 {
			return c
		}
		return cmp.Compare(x.seq(), y.seq())
	})
	return out
}

func (t *Trade) seq() int {
	n := 1 << 30
	for _, u := range []*Unit{t.Req, t.Resp, t.Final} {
		if u != nil {
			n = min(n, u.First().Seq)
		}
	}
	return n
}

// joined makes one unit of two answers to one request that differ (a new responder cookie).
func joined(a, b *Unit) *Unit {
	u := *a
	u.Msgs = append(slices.Clone(a.Msgs), b.Msgs...)
	u.Sent += b.Sent
	u.Arrived += b.Arrived
	u.Lost += b.Lost
	u.Sure += b.Sure
	u.Partial += b.Partial
	return &u
}

// better keeps of two different units in one place of a trade the one that did worse: of
// several pieces of an IKE-level fragmented message the lost one tells the story.
func better(a, b *Unit) *Unit {
	if b.Arrived == 0 && a.Arrived > 0 && b.Lost > 0 {
		return b
	}
	return a
}

// Answered tells whether the requester got its answer, as far as the captures show: its
// own capture has it; or only the other end was captured, an answer left there, and the
// request did not come again after it.
func (w *Wire) Answered(t *Trade) bool {
	if t.Resp == nil {
		return false
	}
	if w.Ends[t.From].View != nil {
		return t.Resp.Arrived > 0
	}
	if t.Req == nil {
		return len(t.Resp.Msgs) == 1
	}
	first := t.Resp.First().At
	late := 0
	for _, m := range t.Req.Msgs {
		if m.At.After(first.Add(500 * time.Millisecond)) {
			late++
		}
	}
	return late == 0
}
