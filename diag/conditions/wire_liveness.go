package conditions

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// fall is the moment at which packets of one direction stop arriving although they go on being sent.
type fall struct {
	from   int
	last   *wpkt  // last that arrived
	lost   []wpkt // sent after it, none arrived (or, one end only, none answered)
	proven bool
}

// falls finds directions that worked and then did not: by both captures, or, with one,
// by its own packets that stay without anything coming back.
func (s *story) falls() []fall {
	if !s.up {
		return nil
	}
	log := s.log()
	var out []fall
	for from := range 2 {
		if s.both() {
			var last *wpkt
			var lost []wpkt
			for i := range log {
				p := &log[i]
				if p.from != from {
					continue
				}
				switch p.arrived {
				case 1:
					last, lost = p, nil
				case 0:
					lost = append(lost, *p)
				}
			}
			if len(lost) >= 3 && (last != nil || s.a != nil) && lost[len(lost)-1].at.Sub(lost[0].at) >= time.Second {
				out = append(out, fall{from, last, lost, true})
			}
			continue
		}
		if !s.at(from) {
			continue
		}
		// Only the sender was captured: nothing comes back after the last packet heard.
		var heard, answeredBy *wpkt
		var lost []wpkt
		for i := range log {
			p := &log[i]
			if p.from != from {
				heard, lost = p, nil
				answeredBy = p
				continue
			}
			// An answer to what was just heard asks for nothing.
			if answeredBy != nil && p.at.Sub(answeredBy.at) < 60*time.Millisecond && !p.probe {
				continue
			}
			lost = append(lost, *p)
		}
		if heard != nil && len(lost) >= 3 && lost[len(lost)-1].at.Sub(lost[0].at) >= time.Second {
			out = append(out, fall{from, heard, lost, false})
		}
	}
	return out
}

// midTraffic tells whether a direction fell silent in the midst of traffic that the other end had
// begun, with nothing from there after it. A NAT's mapping lives for some seconds at least, and that
// end's next packet would make it anew: rather the end itself, or its line, went down. An end that
// only answers says nothing by its silence, and a router that refuses says where it broke.
func (s *story) midTraffic(f fall) bool {
	at := f.lost[0].at
	var before, asked time.Time
	began := false
	for _, p := range s.log() {
		if p.arrived == 0 && p.from == f.from {
			continue
		}
		switch {
		case !p.at.Before(at):
			return false
		case p.from == f.from:
			asked = p.at
		default:
			began = began || p.at.Sub(asked) > 100*time.Millisecond && !before.IsZero() && p.at.Sub(before) < 5*time.Second
			before = p.at
		}
	}
	return began && at.Sub(before) < 2*time.Second && !slices.ContainsFunc(s.w.ICMP, func(e path.ICMP) bool {
		return e.About == f.from && e.Type == 3 && e.Code != 4 && !e.At.Before(at)
	})
}

// deleted finds a delete: informational messages of one end after which the session is over.
func (s *story) deleted() (end int, us []*path.Unit, ok bool) {
	if s.a == nil || !s.up {
		return 0, nil, false
	}
	var last *path.Unit
	var lastAt time.Time
	for _, t := range s.trades {
		if t.Info && t.Req != nil && !t.Start.Before(lastAt) {
			last, lastAt = t.Req, t.Start
		}
	}
	if last == nil {
		return 0, nil, false
	}
	for e := range 2 {
		var run []*path.Unit
		for _, u := range s.infos(e, s.upAt) {
			if !u.First().Encrypted {
				continue // the keys are there: what is in the clear anybody may have written, and nobody believes
			}
			if len(run) > 0 && u.First().At.Sub(run[len(run)-1].First().At) > 500*time.Millisecond {
				run = nil
			}
			run = append(run, u)
		}
		if len(run) == 0 {
			continue
		}
		at := run[len(run)-1].Last().At
		// Nothing of this session may follow, but answers within a moment.
		over := !s.esp[e].last.After(at.Add(100 * time.Millisecond)) // who deletes an SA sends nothing on it
		for _, m := range s.a.Msgs {
			if m.From == e && !m.Response && m.At.After(at.Add(100*time.Millisecond)) && !infoMsg(m) {
				over = false
			}
			if m.At.After(at.Add(700*time.Millisecond)) && !m.Response && m.Encrypted {
				over = false
			}
		}
		for d := range 2 {
			if s.esp[d].last.After(at.Add(time.Second)) {
				over = false
			}
		}
		if !over || s.probesCross(e, run) || s.likeProbes(e, run) || s.gaveUp(e, run[0].First().At) {
			continue
		}
		clear, dpd := false, false
		for _, u := range run {
			m := u.First()
			clear = clear || strings.Contains(m.Label, "delete")
			dpd = dpd || strings.Contains(m.Label, "R-U-THERE") && s.echoed(u)
		}
		switch {
		case clear, len(run) >= 2 && !dpd:
			return e, run, true
		case s.n.Version == 2 && len(run) == 1 && len(run[0].Msgs) == 1 && !dpd && s.lonelyInfo(run[0]):
			return e, run, true
		}
	}
	return 0, nil, false
}

// gaveUp tells whether an end that closes a session at a moment had asked several times since
// the last packet that it got: nobody closed the tunnel on purpose then.
func (s *story) gaveUp(e int, at time.Time) bool {
	var heard time.Time
	var asked int
	for _, p := range s.log() {
		switch {
		case !p.at.Before(at):
		case p.from != e && p.arrived != 0:
			heard, asked = p.at, 0
		case p.from == e && p.probe:
			asked++
		}
	}
	return asked >= 2 && at.Sub(heard) > gap
}

// echoed tells whether the other end answered an informational with one of its length, as a
// probe is acknowledged. What an encrypted message is, its label only guesses.
func (s *story) echoed(u *path.Unit) bool {
	at := u.First().At
	return slices.ContainsFunc(s.infos(1-u.From, at.Add(-2*time.Second)), func(o *path.Unit) bool {
		return o.First().Length == u.First().Length && o.First().At.Before(at.Add(2*time.Second))
	})
}

// probesCross: both ends sent equally many messages of one length in this moment: two probes
// and their acknowledgements. A delete is answered by nothing, or by one of another length.
func (s *story) probesCross(e int, run []*path.Unit) bool {
	from, to := run[0].First().At.Add(-500*time.Millisecond), run[len(run)-1].Last().At.Add(500*time.Millisecond)
	l, n := run[0].First().Length, 0
	for _, u := range s.infos(1-e, from) {
		if u.First().At.After(to) {
			break
		}
		if u.First().Length != l {
			return false
		}
		n++
	}
	return n == len(run) && !slices.ContainsFunc(run, func(u *path.Unit) bool { return u.First().Length != l })
}

// likeProbes: every message of the run has the length of the probes that both ends exchanged
// before, and the other end sent one of that length in the same moment.
func (s *story) likeProbes(e int, run []*path.Unit) bool {
	l := run[0].First().Length
	var before [2]int
	for end := range 2 {
		for _, u := range s.infos(end, s.upAt) {
			if u.First().Length == l && u.First().At.Before(run[0].First().At.Add(-time.Second)) {
				before[end]++
			}
		}
	}
	return s.n.Version == 1 && before[0] >= 2 && before[1] >= 2 &&
		!slices.ContainsFunc(run, func(u *path.Unit) bool { return u.From != e || u.First().Length != l || !s.echoed(u) })
}

// daemonEnded: a tunnel was up, and from one moment on a host answers IKE with port unreachable and
// sends nothing else: it lives, and nobody listens there any more.
func (s *story) daemonEnded() (end int, es []path.ICMP) {
	if !s.up || s.deletedOK() {
		return 0, nil
	}
	for e := range 2 {
		es := s.portClosed(e)
		if len(es) < 2 || s.inItsName(es) || s.lastSent(1-e).IsZero() || s.lastSent(1-e).After(es[0].At) {
			continue
		}
		return 1 - e, es
	}
	return 0, nil
}

// lonelyInfo: the only informational request of an IKEv2 session, and at its end. A probe
// would come after a pause and go on; a delete comes once. With traffic just before it, a
// probe has no reason; after a pause the two look the same (both are one encrypted message and an
// empty answer), and an answered probe is the sign of a tunnel that lives.
func (s *story) lonelyInfo(u *path.Unit) bool {
	var heard time.Time
	for _, p := range s.log() {
		if p.from != u.From && p.at.Before(u.First().At) {
			heard = p.at
		}
	}
	if pause := u.First().At.Sub(heard); !heard.IsZero() && pause >= probePause && !s.goesOn(u.Last().At, pause+gap) {
		return false
	}
	n := 0
	for _, t := range s.trades {
		if t.Info && t.Req != nil && t.Req != u && t.Start.After(s.upAt) {
			n++
		}
	}
	return n == 0
}

// probePause is the shortest pause in the peer's traffic after which a gateway probes it: the
// shortest in use is some 5 s (RFC 7296 2.4 leaves it open; Cisco's least is 10 s).
const probePause = 4500 * time.Millisecond

func wireDeleted(s *story) *Match {
	e, us, ok := s.deleted()
	if !ok || s.eapEnd() != nil || wireKeepalive(s) != nil {
		return nil
	}
	w := 4.2
	if s.n.Version == 2 {
		w = 3
	}
	var ps []facts.Place
	for _, u := range us {
		ps = append(ps, s.sentPlaces(u, "the session ends here")...)
	}
	// The other end goes on with ESP: it did not get the delete.
	idle := us[0].First().At.Sub(maxTime(s.esp[0].last, s.esp[1].last))
	expl := fmt.Sprintf("%s sends informational messages and nothing of the session follows from either end: that is how a delete looks (it is encrypted). Path and keys were fine, the tunnel was up.", s.name(e))
	if idle > 5*time.Second && !s.esp[0].last.IsZero() {
		expl += fmt.Sprintf(" The last traffic was %s before: an idle timeout looks the same; only the log tells.", idle.Round(time.Second))
	}
	return &Match{Clues: []Clue{For(w, fmt.Sprintf("%s ends the session", s.name(e)), ps...)},
		Title: fmt.Sprintf("%s closed the tunnel on purpose", s.name(e)), Explanation: expl,
		Actions: []report.Action{{Class: report.None, Commands: []string{}, Steps: []string{"nothing to repair here; ask the other side, or look for the reason in its log"}, Effect: "none"}},
		Next:    []report.Next{{Collect: "the log of " + s.name(e), Because: "separates a person's logoff from sa-idle-timeout", Playbook: "diagnose"}}}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// cutMidway: both ends go on sending and nothing arrives any more.
func cutMidway(t *Tunnel) []Match {
	s := t.reading()
	if s == nil || !s.w.Comparable || !s.both() || s.deletedOK() {
		return nil
	}
	fs := s.falls()
	// One of the receivers' captures must go on: else they may just have been stopped. ESP that
	// never passed is blocked and says nothing of the other direction.
	if !slices.ContainsFunc(fs, func(f fall) bool {
		return slices.ContainsFunc(f.lost, func(p wpkt) bool { return p.sure }) &&
			(s.espPassed(f.from) || slices.ContainsFunc(f.lost, func(p wpkt) bool { return !p.esp }))
	}) {
		return nil
	}
	for _, f := range fs {
		if f.last == nil || s.natBefore(1-f.from) || s.bySize(f.from) != nil {
			continue
		}
		ike := false
		for _, p := range f.lost {
			ike = ike || !p.esp
		}
		if !ike && !s.espPassed(f.from) {
			continue // ESP never passed in this direction: it is blocked, the path is not cut
		}
		w := 4.4
		if len(fs) == 2 {
			w = 5
		}
		if !ike && len(fs) == 1 {
			w = 3.2
		}
		at := f.last.at.UTC().Format("2006-01-02 15:04:05.0")
		return []Match{{Clues: []Clue{For(w, fmt.Sprintf("%d packets from %s after %s did not arrive", len(f.lost), s.name(f.from), at), placesOfPkts(f.lost, 6, "did not arrive")...),
			For(0.01, "the last that arrived", f.last.place())},
			Title:       fmt.Sprintf("Since %s UTC nothing from %s reaches %s", at, s.name(f.from), s.name(1-f.from)),
			Explanation: fmt.Sprintf("The tunnel was up and passed traffic. After %s UTC everything that %s sends is lost, whatever its size and kind, although it goes on sending: the path was cut in the middle of the session. No end closed the tunnel.", at, s.name(f.from)),
			Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "name the moment in UTC")...), "nothing changes on the devices")}}}
	}
	return nil
}

func (s *story) deletedOK() bool { _, _, ok := s.deleted(); return ok }

// wireDead: one end alone was captured and hears nothing any more.
func wireDead(s *story) *Match {
	if s.deletedOK() || s.both() {
		return s.deadBoth()
	}
	for _, f := range s.falls() {
		probes := 0
		for _, p := range f.lost {
			if p.probe {
				probes++
			}
		}
		peerProbed := false
		for _, u := range s.infos(1-f.from, s.upAt) {
			peerProbed = peerProbed || strings.Contains(u.Label, "DPD") || s.n.Version == 2
		}
		if s.natBefore(1-f.from) && !s.midTraffic(f) || s.answersBySize(f.from) != nil || s.hearsOther(1-f.from, f.last.at) {
			continue
		}
		if probes < 2 && s.esp[1-f.from].sent == 0 {
			continue // its ESP was never answered
		}
		w := 0.0
		switch {
		case probes >= 2:
			w = 4
		case probes == 1 || peerProbed:
			w = 3
		default:
			w = 1.4
		}
		return &Match{Clues: []Clue{For(w, fmt.Sprintf("%d packets of %s without anything coming back", len(f.lost), s.name(f.from)), placesOfPkts(f.lost, 6, "nothing comes back")...),
			For(0.01, "the last that was heard", f.last.place())},
			Title: fmt.Sprintf("%s is not heard any more since %s UTC", s.name(1-f.from), f.last.at.UTC().Format("2006-01-02 15:04:05")),
			Explanation: fmt.Sprintf("The tunnel was up; then nothing comes from %s any more, neither traffic nor answers to probes, and no delete was sent. Host or link there is down, or the path is cut: the capture at the other end tells which.",
				s.name(1-f.from)),
			Actions: []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, []string{"check the far site's power and uplink; ask whether its other tunnels and its public address answer", "give the ISP the moment in UTC"}, "nothing changes on the devices")},
			Next:    s.next("separates dead-peer (it sends nothing) from path-lost-midway (it sends and nothing arrives)")}
	}
	return nil
}

// deadBoth: both ends were captured, one stopped sending although it is asked and the questions arrive nowhere.
func (s *story) deadBoth() *Match {
	if !s.both() || s.deletedOK() {
		return nil
	}
	for e := range 2 {
		if m := s.deaf(e); m != nil {
			return m
		}
	}
	for _, f := range s.falls() {
		if f.last == nil || s.natBefore(1-f.from) && !s.midTraffic(f) || s.bySize(f.from) != nil {
			continue
		}
		// The other end is silent since the same moment.
		o := s.lastSent(1 - f.from)
		if o.IsZero() || o.After(f.lost[0].at) {
			continue
		}
		// None of what it sent last arrived: then nothing coming from it says nothing of it, and its
		// capture may just have ended.
		if !slices.ContainsFunc(s.log(), func(p wpkt) bool { return p.from != f.from && p.at.After(o.Add(-gap)) && p.arrived != 0 }) {
			continue
		}
		return &Match{Clues: []Clue{For(3.2, fmt.Sprintf("%d packets of %s did not arrive, and %s sends nothing since %s", len(f.lost), s.name(f.from), s.name(1-f.from), o.UTC().Format("15:04:05")), placesOfPkts(f.lost, 6, "did not arrive")...)},
			Title:       fmt.Sprintf("%s or its line is down since %s UTC", s.name(1-f.from), o.UTC().Format("2006-01-02 15:04:05")),
			Explanation: "One end goes on sending and probing; its packets do not arrive, and the other end sends nothing either.",
			Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, []string{"check the far site's power and uplink"}, "nothing changes on the devices")}}
	}
	return nil
}

// deaf: what an end sends arrives at its peer, IKE and ESP, and from one moment on nothing
// at all comes back: the line lives and the host behind the capture does not.
func (s *story) deaf(e int) *Match {
	o := s.lastSent(1 - e)
	if o.IsZero() || !s.w.Ends[1-e].View.After(o.Add(gap)) {
		return nil
	}
	var open []wpkt
	asked := 0
	for _, p := range s.log() {
		if p.from != e || p.at.Sub(o) < 60*time.Millisecond || p.arrived != 1 {
			continue
		}
		open = append(open, p)
		if p.probe {
			asked++
		}
	}
	if asked < 2 || len(open) < 4 || open[len(open)-1].at.Sub(open[0].at) < gap {
		return nil
	}
	at := o.UTC().Format("2006-01-02 15:04:05")
	return &Match{Clues: []Clue{For(4.6, fmt.Sprintf("%d packets of %s arrived, %d of them IKE, and %s has sent nothing since %s", len(open), s.name(e), asked, s.name(1-e), at), placesOfPkts(open, 6, "arrived, nothing goes back")...)},
		Title:       fmt.Sprintf("%s does not react since %s UTC: packets arrive at it and nothing leaves it", s.name(1-e), at),
		Explanation: fmt.Sprintf("The path is fine: ESP and IKE of %s arrive at %s. It answers neither, not even the liveness probes of IKE, and sends nothing of its own: the host behind this capture hangs, is off, or was restarted and does not know the SA.", s.name(e), s.name(1-e)),
		Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, []string{fmt.Sprintf("look at %s itself: power, console, load; does it answer a ping or SSH", s.name(1-e))}, "nothing changes on the devices")}}
}

func (s *story) lastSent(end int) time.Time {
	var t time.Time
	for _, p := range s.log() {
		if p.from == end && p.at.After(t) {
			t = p.at
		}
	}
	return t
}

// hearsOther tells whether other traffic from an end still arrived after a moment.
func (s *story) hearsOther(end int, after time.Time) bool {
	v := s.w.Ends[1-end].View
	if v == nil {
		return false
	}
	for _, h := range v.Hosts {
		if s.w.EndOf(h.Src) == end && h.Last.Add(v.Offset).After(after.Add(gap)) {
			return true
		}
	}
	return false
}

// renewals are the times of the quick modes that replaced an SA: all but the first of a
// session whose beginning was captured. Each is followed by a delete of the old SA, which
// is encrypted and stays without an answer as a lost probe does.
func (s *story) renewals() []time.Time {
	var out []time.Time
	for _, t := range s.trades {
		if t.Step == "QM" && t.Resp != nil {
			out = append(out, t.Start)
		}
	}
	if len(out) > 0 && s.begun() {
		out = out[1:]
	}
	return out
}

// wireKeepalive: probes without an answer while other traffic passes.
func wireKeepalive(s *story) *Match {
	if s.a == nil || !s.up {
		return nil
	}
	if s.n.Version == 2 {
		return s.livenessUnanswered()
	}
	for e := range 2 {
		var open []*path.Unit
		renewed := s.renewals()
		for _, t := range s.trades {
			if !t.Info || t.Req == nil || t.From != e || !strings.Contains(t.Req.Label, "R-U-THERE") || strings.Contains(t.Req.Label, "ACK") {
				continue
			}
			answered := false
			for _, o := range s.trades {
				if o.Info && o.From != e && o.Req != nil && (o.Req.Arrived > 0 || !s.at(e)) {
					if d := o.Start.Sub(t.Start); d >= -50*time.Millisecond && d < 4*time.Second {
						answered = true
					}
				}
			}
			switch {
			case answered:
				open = nil
			case len(renewed) > 0 && !t.Start.Before(renewed[0]):
				renewed = renewed[1:] // the delete of the SA that the new one replaced
			default:
				open = append(open, t.Req)
			}
		}
		if len(open) < 3 {
			continue
		}
		// Other traffic from the peer between the probes.
		from, to := open[0].First().At, open[len(open)-1].First().At
		alive := false
		for _, p := range s.log() {
			if p.from == 1-e && p.arrived != 0 && p.at.After(from) && p.at.Before(to.Add(10*time.Second)) {
				alive = true
			}
		}
		if !alive && !s.hearsOther(1-e, from) {
			continue
		}
		var ps []facts.Place
		for _, u := range open {
			ps = append(ps, s.sentPlaces(u, "no answer")...)
		}
		return &Match{Clues: []Clue{For(4.2, fmt.Sprintf("%d probes of %s without an answer while other packets of the peer arrive", len(open), s.name(e)), ps...)},
			Title:       fmt.Sprintf("%s does not answer the keepalives of %s", s.name(1-e), s.name(e)),
			Explanation: "Dead-peer detection asks and gets no answer although the peer lives and sends: it has keepalives switched off, or a device between drops them. The tunnel will be torn down for nothing.",
			Actions: []report.Action{s.mend(report.Advise, 1-e, []string{"tunnel-group <peer> ipsec-attributes", "isakmp keepalive threshold 15 retry 10"}, []string{"crypto isakmp keepalive 15 3 periodic"},
				[]string{"same setting at both ends"}, "probes are answered")},
			Next: s.next("shows whether the probe arrives there and is answered")}
	}
	return nil
}

// livenessUnanswered: the last informational request of an IKEv2 end repeats without an answer
// while ESP of the peer arrives as before.
func (s *story) livenessUnanswered() *Match {
	for e := range 2 {
		us := s.infos(e, s.upAt)
		if len(us) == 0 {
			continue
		}
		u := us[len(us)-1]
		if len(u.Msgs) < 4 || u.Last().At.Sub(u.First().At) < gap || s.answered(u) {
			continue
		}
		heard, only := 0, true
		for _, p := range s.log() {
			if p.from == e || p.arrived == 0 || !p.at.After(u.First().At.Add(500*time.Millisecond)) {
				continue
			}
			if p.esp {
				heard++
			} else {
				only = false
			}
		}
		if heard < 4 || !only {
			continue
		}
		return &Match{Clues: []Clue{For(4.2, fmt.Sprintf("%d copies of a probe of %s without an answer while %d packets of ESP of the peer arrive", len(u.Msgs), s.name(e), heard), s.sentPlaces(u, "no answer")...)},
			Title:       fmt.Sprintf("%s does not answer the liveness probes of %s, ESP goes on", s.name(1-e), s.name(e)),
			Explanation: fmt.Sprintf("%s asks whether its peer lives (IKEv2 INFORMATIONAL) and gets no answer, although ESP of the peer arrives all the time: a device between the ends drops the probes or their answers, or has closed IKE for this session. The tunnel will be torn down for nothing.", s.name(e)),
			Actions:     []report.Action{s.mend(report.Advise, -1, nil, nil, []string{"look for a firewall between that ends the IKE session by a timer or by its inspection, and let UDP 500 and 4500 pass both ways", "a longer liveness interval only hides it"}, "probes are answered")},
			Next:        s.next("shows whether the probe arrives there and is answered")}
	}
	return nil
}

// answered tells whether an IKEv2 request got its response, whole, at its sender.
func (s *story) answered(u *path.Unit) bool {
	for _, t := range s.trades {
		if t.Req == u {
			return t.Resp != nil && (t.Resp.Arrived > 0 || !s.at(u.From))
		}
	}
	return false
}
