package conditions

import (
	"fmt"
	"slices"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// Whoever sees a negotiation can write a notify or a delete into it in an end's name: before
// there are keys nothing protects it (RFC 2408 5.14, RFC 7296 2.21.1).

// withoutInjected leaves such messages out of the attempt that is judged.
func (s *story) withoutInjected() {
	if s.a == nil {
		return
	}
	is := s.twoAnswers
	if s.both() {
		is = s.neverSent
	}
	a := *s.a
	a.Units, a.Msgs = nil, nil
	for _, u := range s.a.Units {
		if is(u) {
			s.injected = append(s.injected, u)
			for _, m := range u.Msgs {
				m.Fate = path.Injected // for the picture
			}
			continue
		}
		a.Units = append(a.Units, u)
	}
	if len(s.injected) == 0 {
		return
	}
	for _, m := range s.a.Msgs {
		if !slices.ContainsFunc(s.injected, func(u *path.Unit) bool { return slices.Contains(u.Msgs, m) }) {
			a.Msgs = append(a.Msgs, m)
		}
	}
	s.whole, s.a = s.a, &a
}

// inClear tells whether a message holds notifies and deletes alone, and in the clear.
func inClear(m *path.Msg) bool {
	return !m.Encrypted && len(m.Payloads) > 0 && !slices.ContainsFunc(m.Payloads, func(p facts.Payload) bool { return p.Name != "N" && p.Name != "D" })
}

// neverSent: it arrived, and the capture of the end that should have sent it has this very
// negotiation at that time, in both directions, and not this message.
func (s *story) neverSent(u *path.Unit) bool {
	if !s.w.Comparable {
		return false
	}
	v := s.w.Ends[u.From].View
	var first, last time.Time
	var ways [2]bool
	for _, m := range s.a.Msgs {
		if m.Seen[u.From] == nil {
			continue
		}
		ways[m.From] = true
		if first.IsZero() {
			first = m.At
		}
		last = m.At
	}
	if !ways[0] || !ways[1] {
		return false
	}
	return !slices.ContainsFunc(u.Msgs, func(m *path.Msg) bool {
		ran := !m.At.Before(first.Add(-time.Second)) && (v.After(m.At) || !m.At.After(last.Add(50*time.Millisecond)))
		return !inClear(m) || m.Sent() != nil || m.Rcvd() == nil || !v.Ran(m.At) || !ran
	})
}

// twoAnswers: one end alone was captured, and the first message, sent once, got a refusal and a
// real answer in one name. Nobody refuses what he accepts in the same moment.
func (s *story) twoAnswers(u *path.Unit) bool {
	m := u.First()
	if m.Sent() != nil || !inClear(m) || !slices.ContainsFunc(m.Notifies, func(n facts.Notify) bool { return n.Error && n.Type != 17 }) {
		return false
	}
	asked := 0 // before the refusal, by the end that got it
	for _, o := range s.a.Msgs {
		if o.From != u.From && o.At.Before(m.At) {
			asked++
		}
	}
	return asked == 1 && slices.ContainsFunc(s.a.Units, func(o *path.Unit) bool {
		d := o.First().At.Sub(m.At)
		return o.From == u.From && (o.Step == "MM2" || o.Step == "AM2" || o.Step == "IKE_SA_INIT" && o.Response) && d > -2*time.Second && d < 5*time.Second &&
			slices.ContainsFunc(o.First().Payloads, func(p facts.Payload) bool { return p.Name == "SA" })
	})
}

// killer is a message injected in the responder's name after which the initiator gave up.
func (s *story) killer() *path.Unit {
	if s.a == nil || s.up {
		return nil
	}
	for _, u := range s.injected {
		at := u.First().At
		if u.From == s.res && !slices.ContainsFunc(s.a.Msgs, func(m *path.Msg) bool { return m.From != u.From && m.At.After(at.Add(50*time.Millisecond)) }) && s.goesOn(at, gap) {
			return u
		}
	}
	return nil
}

// wireInjected names the answer that somebody gave in the responder's name.
func wireInjected(s *story) []Match {
	u := s.killer()
	if u == nil {
		return nil
	}
	what := u.Label
	if n := u.First().Notifies; len(n) > 0 {
		what = n[0].Name
	}
	w, how := 4.8, fmt.Sprintf("%s's own capture shows this negotiation at that time and no such message", s.name(u.From))
	if !s.both() {
		w, how = 3.4, "there is a real answer to the same question too"
	}
	cs := []Clue{For(w, fmt.Sprintf("%s in the name of %s, which did not send it: %s", what, s.name(u.From), how), s.rcvdPlaces(u, "not written by "+s.name(u.From))...)}
	for _, o := range s.a.Units {
		if o.From == u.From && o.Response {
			cs = append(cs, For(0.01, "what it really answered", s.sentPlaces(o, "")...))
			break
		}
	}
	expl := fmt.Sprintf("%s got %s in the clear and gave the negotiation up; %s. Something on the way (a firewall, an intrusion prevention system, another VPN gateway behind the same address, or somebody who means harm) answers in its name. Neither the policies nor the keys of the two ends are the cause.", s.name(1-u.From), what, how)
	return []Match{{Clues: cs, Title: fmt.Sprintf("Something on the way ends the negotiation in the name of %s", s.name(u.From)), Explanation: expl,
		Actions: []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "compare TTL and IP id of that answer with those of the end's real packets: they tell how far away its writer is")...), "nothing changes on the devices")},
		Next:    s.next("shows whether that answer leaves there")}}
}
