package conditions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// Tunnels that are up: what ESP, keepalives, probes and deletes show.

// wpkt is one packet of a tunnel that is up, on the reference clock.
type wpkt struct {
	at      time.Time
	from    int
	esp     bool
	probe   bool // informational: DPD, delete, notify
	size    int
	df      bool
	frag    bool
	sent    bool // seen at its sender's capture
	arrived int  // 1 yes, 0 no, -1 the receiver was not captured
	sure    bool // of a loss: the receiver's capture goes on
	// What place reads, when somebody quotes the packet: a log has thousands.
	view   *path.View
	msg    *facts.Message
	flow   *facts.ESPFlow
	sample *facts.ESPPacket
}

// place is the packet as evidence.
func (p *wpkt) place() facts.Place {
	if p.msg != nil {
		return wirePlace(p.view, p.msg, "")
	}
	return espPlace(p.view, p.flow, p.sample, "")
}

// negotiated says whether the negotiation was seen; an old SA may show its traffic alone.
func (s *story) negotiated() string {
	if s.a == nil {
		return "The negotiation is not in the capture. "
	}
	return "The tunnel is negotiated. "
}

// number is the packet's in its capture.
func (p *wpkt) number() int {
	if p.msg != nil {
		return p.msg.Packet
	}
	return p.sample.Packet
}

// log lists what passed after the tunnel was negotiated, in order of time. It is made once
// and not to be changed.
func (s *story) log() []wpkt {
	if !s.logMade {
		s.logged, s.logMade = s.makeLog(), true
	}
	return s.logged
}

func (s *story) makeLog() []wpkt {
	var out []wpkt
	if s.a != nil {
		for _, m := range s.a.Msgs {
			if s.up && m.At.Before(s.upAt) {
				continue
			}
			p := wpkt{at: m.At, from: m.From, probe: infoMsg(m), size: m.IPLength, df: m.DF, frag: len(m.Fragments) > 0, sent: m.Sent() != nil, arrived: -1, sure: m.Sure}
			switch {
			case m.Rcvd() != nil && m.Rcvd().Complete:
				p.arrived = 1
			case m.Gone():
				p.arrived = 0
			}
			end := m.From
			x := m.Sent()
			if x == nil {
				end, x = 1-m.From, m.Rcvd()
			}
			if x == nil || s.w.Ends[end].View == nil {
				continue
			}
			p.view, p.msg = s.w.Ends[end].View, x
			out = append(out, p)
		}
	}
	for from := range 2 {
		sv, rv := s.w.Ends[from].View, s.w.Ends[1-from].View
		for _, f := range s.esp[from].flows {
			lost := map[uint32]bool{}
			for _, p := range f.LostPkts {
				lost[p.Seq] = true
			}
			v, x := sv, f.Seen[from]
			if x == nil {
				v, x = rv, f.Seen[1-from]
			}
			if v == nil || x == nil {
				continue
			}
			rows := []*facts.ESPFlow{x}
			for _, o := range v.ESP { // a NAT that moved the flow makes two rows
				if o != x && o.SPI == f.SPI && s.w.EndOf(o.Src.Addr()) == from {
					rows = append(rows, o)
				}
			}
			for _, o := range rows {
				for i := range o.Sample {
					q := &o.Sample[i]
					p := wpkt{at: q.Time.Add(v.Offset), from: from, esp: true, size: q.Length, df: q.DF, frag: q.Pieces > 0, sent: v == sv, arrived: -1, view: v, flow: o, sample: q}
					switch {
					case v == rv:
						p.arrived = 1
					case rv != nil && !rv.Ran(p.at):
						p.arrived = -1
					case lost[q.Seq]:
						p.arrived = 0
						p.sure = rv != nil && rv.After(p.at.Add(time.Second))
					case rv != nil && !o.Sampled:
						p.arrived = 1
					case rv != nil && f.Seen[1-from] == nil:
						p.arrived = 0
					}
					out = append(out, p)
				}
			}
			// What left while the sender's capture did not run, the receiver's has.
			if y := f.Seen[1-from]; v == sv && y != nil && rv != nil {
				for i := range y.Sample {
					q := &y.Sample[i]
					if at := q.Time.Add(rv.Offset); !sv.Ran(at) {
						out = append(out, wpkt{at: at, from: from, esp: true, size: q.Length, df: q.DF, frag: q.Pieces > 0, arrived: 1, view: rv, flow: y, sample: q})
					}
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b wpkt) int {
		if c := a.at.Compare(b.at); c != 0 || a.view.Capture.Source != b.view.Capture.Source {
			return c
		}
		return cmp.Compare(a.number(), b.number())
	})
	return out
}

func placesOfPkts(ps []wpkt, n int, what string) []facts.Place {
	var out []facts.Place
	for i := range ps {
		if len(out) >= n {
			break
		}
		p := ps[i].place()
		if what != "" {
			p.Text += ": " + what
		}
		out = append(out, p)
	}
	return out
}

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

// natBefore tells whether a NAT stands in front of an end.
func (s *story) natBefore(end int) bool {
	if s.a == nil {
		priv, pub := false, false
		for _, a := range s.w.Ends[end].Addrs {
			priv, pub = priv || a.IsPrivate(), pub || !a.IsPrivate()
		}
		return priv && pub
	}
	for _, n := range s.a.Negs {
		if n.NATSide == "both" || n.NATSide == "initiator" && end == s.ini || n.NATSide == "responder" && end == s.res {
			return true
		}
		if n.NATDetected && n.NATSide == "" && end == s.ini {
			return true
		}
	}
	for _, m := range s.a.Msgs {
		if m.From == end && m.Sent() != nil && m.Rcvd() != nil && m.Sent().Src.Addr() != m.Rcvd().Src.Addr() {
			return true
		}
	}
	return s.a.Floated() && s.esp[end].udp && s.w.Ends[end].Addrs[0].IsPrivate()
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
		over := true
		for _, m := range s.a.Msgs {
			if m.At.After(at.Add(700*time.Millisecond)) && !m.Response {
				over = false
			}
		}
		for d := range 2 {
			if s.esp[d].last.After(at.Add(time.Second)) {
				over = false
			}
		}
		if !over {
			continue
		}
		clear, dpd := false, false
		for _, u := range run {
			m := u.First()
			clear = clear || m.Deletes > 0 || strings.Contains(m.Label, "delete")
			dpd = dpd || strings.Contains(m.Label, "R-U-THERE")
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

// lonelyInfo: the only informational request of an IKEv2 session, and at its end. A probe
// would come after a pause and go on; a delete comes once. With traffic just before it, a
// probe has no reason.
func (s *story) lonelyInfo(u *path.Unit) bool {
	n := 0
	for _, t := range s.trades {
		if t.Info && t.Req != nil && t.Req != u && t.Start.After(s.upAt) {
			n++
		}
	}
	return n == 0
}

func wireDeleted(s *story) *Match {
	e, us, ok := s.deleted()
	if !ok {
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
	// One of the receivers' captures must go on: else they may just have been stopped.
	if !slices.ContainsFunc(fs, func(f fall) bool { return slices.ContainsFunc(f.lost, func(p wpkt) bool { return p.sure }) }) {
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
		if !ike && s.esp[f.from].arrived == 0 {
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
		if s.natBefore(1-f.from) || s.answersBySize(f.from) != nil || s.hearsOther(1-f.from, f.last.at) {
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
	for _, f := range s.falls() {
		if f.last == nil || s.natBefore(1-f.from) {
			continue
		}
		// The other end is silent since the same moment.
		o := s.lastSent(1 - f.from)
		if o.After(f.lost[0].at) {
			continue
		}
		return &Match{Clues: []Clue{For(3.2, fmt.Sprintf("%d packets of %s did not arrive, and %s sends nothing since %s", len(f.lost), s.name(f.from), s.name(1-f.from), o.UTC().Format("15:04:05")), placesOfPkts(f.lost, 6, "did not arrive")...)},
			Title:       fmt.Sprintf("%s or its line is down since %s UTC", s.name(1-f.from), o.UTC().Format("2006-01-02 15:04:05")),
			Explanation: "One end goes on sending and probing; its packets do not arrive, and the other end sends nothing either.",
			Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, []string{"check the far site's power and uplink"}, "nothing changes on the devices")}}
	}
	return nil
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

// wireKeepalive: probes without an answer while other traffic passes.
func wireKeepalive(s *story) *Match {
	if s.a == nil || !s.up || s.n.Version != 1 {
		return nil
	}
	for e := range 2 {
		var open []*path.Unit
		for _, t := range s.trades {
			if !t.Info || t.Req == nil || t.From != e || !strings.Contains(t.Req.Label, "R-U-THERE") || strings.Contains(t.Req.Label, "ACK") {
				continue
			}
			answered := false
			for _, o := range s.trades {
				if o.Info && o.From != e && o.Req != nil {
					if d := o.Start.Sub(t.Start); d >= -50*time.Millisecond && d < 4*time.Second {
						answered = true
					}
				}
			}
			if !answered {
				open = append(open, t.Req)
			} else {
				open = nil
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

// sizeSplit is a direction in which large packets are lost and small ones are not.
type sizeSplit struct {
	passed, lost int // bytes
	df, frag     bool
	lostPkts     []wpkt
	passPkt      *wpkt
}

// bySize finds it with both captures.
func (s *story) bySize(from int) *sizeSplit {
	if !s.both() || !s.up {
		return nil
	}
	type tally struct{ sent, got, frag, df int }
	by := map[int]*tally{}
	var sizes []int
	for _, z := range s.w.Sizes(from) {
		if by[z.Length] == nil {
			by[z.Length] = &tally{}
			sizes = append(sizes, z.Length)
		}
		t := by[z.Length]
		t.sent += z.Sent
		t.got += z.Arrived
		if z.Frag {
			t.frag += z.Sent - z.Arrived
		}
		if z.DF {
			t.df++
		}
	}
	slices.Sort(sizes)
	// From the top: sizes of which nothing arrived.
	lost, least, df, frag := 0, 0, false, false
	i := len(sizes) - 1
	for ; i >= 0; i-- {
		t := by[sizes[i]]
		if t.got > 0 {
			break
		}
		lost += t.sent
		least = sizes[i]
		df = df || t.df > 0
		frag = frag || t.frag > 0
	}
	if i < 0 || lost < 2 || least < 300 {
		return nil
	}
	small, smallGot := 0, 0
	for _, z := range sizes[:i+1] {
		small += by[z].sent
		smallGot += by[z].got
	}
	if smallGot*10 < small*7 || sizes[i] >= least {
		return nil
	}
	sp := &sizeSplit{passed: sizes[i], lost: least, df: df, frag: frag}
	for _, p := range s.log() {
		if p.from != from {
			continue
		}
		if p.size >= least && p.arrived == 0 {
			sp.lostPkts = append(sp.lostPkts, p)
		}
		if p.size == sizes[i] && p.arrived == 1 {
			q := p
			sp.passPkt = &q
		}
	}
	// Lost at the end of the capture only, with nothing small after: time, not size.
	if len(sp.lostPkts) > 0 {
		first := sp.lostPkts[0].at
		after := false
		for _, p := range s.log() {
			after = after || p.from == from && p.arrived == 1 && p.at.After(first)
		}
		if !after && least < 1000 {
			return nil
		}
	}
	return sp
}

// answersBySize finds it at the sender alone: small packets are answered, large ones never.
func (s *story) answersBySize(from int) *sizeSplit {
	if s.both() || !s.at(from) || !s.up {
		return nil
	}
	log := s.log()
	var bigs []wpkt
	small, smallAns, bigAns, bigN := 0, 0, 0, 0
	maxSmall := 0
	var pass *wpkt
	for i := range log {
		p := &log[i]
		if p.from != from || !p.esp {
			continue
		}
		ans := false
		for k := i + 1; k < len(log) && log[k].at.Sub(p.at) < 1200*time.Millisecond; k++ {
			if log[k].from == from {
				break
			}
			if log[k].esp {
				ans = true
				break
			}
		}
		if p.size >= 1000 {
			bigN++
			if ans {
				bigAns++
			} else {
				bigs = append(bigs, *p)
			}
			continue
		}
		small++
		if ans {
			smallAns++
			if p.size > maxSmall {
				maxSmall, pass = p.size, p
			}
		}
	}
	if bigN < 2 || bigAns > 0 || smallAns < 2 || smallAns*10 < small*6 {
		return nil
	}
	sp := &sizeSplit{passed: maxSmall, lost: bigs[0].size, lostPkts: bigs, passPkt: pass}
	for _, b := range bigs {
		sp.lost = min(sp.lost, b.size)
		sp.df = sp.df || b.df
		sp.frag = sp.frag || b.frag
	}
	return sp
}

// espBlackHole is the path MTU condition seen in the traffic of a tunnel that is up.
func espBlackHole(t *Tunnel) []Match {
	s := t.reading()
	if s == nil || !s.w.Comparable {
		return nil
	}
	for from := range 2 {
		sp, w := s.bySize(from), 5.4
		if sp == nil {
			sp, w = s.answersBySize(from), 4
		}
		if sp == nil {
			continue
		}
		if sp.frag && !sp.df || sp.lost < 1000 {
			continue
		}
		if len(s.icmpAbout(from, 3, 4)) > 0 {
			w -= 3.5
		}
		how := "did not arrive"
		if !s.both() {
			how = "was not answered"
		}
		cs := []Clue{For(w, fmt.Sprintf("%d packets of %d bytes and more from %s: %s", len(sp.lostPkts), sp.lost, s.name(from), how), placesOfPkts(sp.lostPkts, 6, how)...)}
		if sp.passPkt != nil {
			cs = append(cs, For(0.01, fmt.Sprintf("smaller ones pass: %d bytes", sp.passed), sp.passPkt.place()))
		}
		return []Match{{Key: "esp", Clues: cs,
			Title:       fmt.Sprintf("Large packets from %s vanish in the tunnel's path (path MTU black hole)", s.name(from)),
			Explanation: fmt.Sprintf("The tunnel is up and packets of up to %d bytes pass; those of %d bytes and more from %s never get through, and no ICMP \"fragmentation needed\" comes back. Logins and small pages work, transfers hang.", sp.passed, sp.lost, s.name(from)),
			Actions:     s.pmtuActions(from),
			Next:        s.next("shows which sizes arrive")}}
	}
	// Only the receiver was captured: a run of sequence numbers is missing and nothing large ever arrived.
	for from := range 2 {
		if s.at(from) || !s.at(1-from) || !s.up {
			continue
		}
		for _, f := range s.esp[from].flows {
			x := f.Seen[1-from]
			if x == nil || x.Sampled || len(x.Sample) < 6 || len(x.Ranges) != 2 || x.Missing < 4 {
				continue
			}
			most := 0
			for _, p := range x.Sample {
				most = max(most, p.Length)
			}
			if most >= 600 {
				continue
			}
			var a, b *facts.ESPPacket
			for i := range x.Sample {
				if x.Sample[i].Seq == x.Ranges[0].To {
					a = &x.Sample[i]
				}
				if x.Sample[i].Seq == x.Ranges[1].From {
					b = &x.Sample[i]
				}
			}
			if a == nil || b == nil {
				continue
			}
			v := s.w.Ends[1-from].View
			return []Match{{Key: "esp", Clues: []Clue{For(2.8, fmt.Sprintf("%d sequence numbers in a row never arrived, everything before and after did, and no packet over %d bytes ever came", x.Missing, most),
				espPlace(v, x, a, "the last before the gap"), espPlace(v, x, b, "the first after it"))},
				Title:       fmt.Sprintf("Large packets from %s seem to vanish in the tunnel's path", s.name(from)),
				Explanation: fmt.Sprintf("%s sent %d packets that never arrived here, one after the other, while those before and after all did; only packets of up to %d bytes arrive at all. Loss by chance is spread out: this is what large packets do in a path MTU black hole. The sender's capture would show their size.", s.name(from), x.Missing, most),
				Actions:     s.pmtuActions(from),
				Next:        s.next("shows the size of the packets that did not arrive")}}
		}
	}
	return nil
}

// espVerdict is what one direction's ESP says.
func wireESPConditions() []Condition {
	return []Condition{
		{
			ID: "esp-blocked", Severity: report.Critical, Prefer: []string{"nat-t-disabled", "path-lost-midway", "pmtu-black-hole", "quick-mode-last-message-lost"}, Reference: "S0: protocols are not ports; S1; S2",
			Look: wireLook(func(s *story) *Match { return s.espLost(false) }),
		},
		{
			ID: "esp-udp-blocked", Severity: report.Critical, Prefer: []string{"path-lost-midway", "pmtu-black-hole", "quick-mode-last-message-lost", "nat-mapping-lost"}, Reference: "S1: NAT-T; RFC 3948",
			Look: wireLook(func(s *story) *Match { return s.espLost(true) }),
		},
		{
			ID: "esp-one-way", Severity: report.Critical, Reference: "S1: unable to pass traffic (encaps 0, decaps 393)",
			SymptomOf: []string{"no-nat-exemption", "nat-exemption-with-ports", "crypto-acl-mismatch", "crypto-acl-overlap", "route-missing", "sysopt-permit-vpn-off", "vpn-filter-denies", "no-return-traffic", "esp-blocked", "stale-sa", "quick-mode-last-message-lost", "duplicate-asp-rules", "expired-vpn-context"},
			Prefer:    []string{"dead-peer", "pmtu-black-hole"},
			Look:      wireLook(wireOneWay),
		},
		{
			ID: "no-return-traffic", Severity: report.Major, Prefer: []string{"quick-mode-last-message-lost", "stale-sa", "pmtu-black-hole"}, Reference: "S1: routing, hosts behind the device need a route back",
			Look: wireLook(wireNoReturn),
		},
		{
			ID: "stale-sa", Severity: report.Critical, Reference: "S1: clear old or existing SAs; RFC 4303 3.4.2",
			Look: wireLook(wireStale),
		},
		{
			ID: "nat-mapping-lost", Severity: report.Critical, Prefer: []string{"nat-pool-address-change"}, Reference: "S1: NAT-T keepalive; S4; RFC 3948 4",
			Look: wireLook(wireMapping),
		},
		{
			ID: "nat-t-disabled", Severity: report.Critical, Reference: "S1: enable NAT-Traversal; RFC 3947",
			Look: wireLook(wireNoNATT),
		},
		{
			ID: "no-ike-from-initiator", Severity: report.Major, Reference: "S2; S1",
			Look: func(t *Tunnel) []Match { return nil }, // text decides; a capture without IKE is no-ike-in-capture
		},
		{
			ID: "ctcp-stateful-drop", Severity: report.Critical, Reference: "S3",
			Look: wireLook(wireCTCPDrop),
		},
		{
			ID: "ctcp-port-blocked", Severity: report.Critical, Reference: "S1: TCP 10000; S3",
			Look: wireLook(wireCTCPBlocked),
		},
		{
			ID:       "traffic-shaped-as-p2p",
			Cause:    "an ISP throttles the tunnel as peer-to-peer traffic",
			Shows:    "captures: a steady ceiling or loss that begins after seconds, whatever the packet size",
			Severity: report.Major, Prefer: []string{"pmtu-black-hole", "path-lost-midway"}, Reference: "S0: second answer",
			Look: wireLook(wireShaped),
		},
	}
}

// espLost: ESP leaves one end and none of it arrives, while IKE passes.
func (s *story) espLost(udp bool) *Match {
	if !s.up || s.stop.kind == lastMissing {
		return nil
	}
	id := "protocol 50"
	if udp {
		id = "ESP in UDP 4500"
	}
	var cs []Clue
	var dirs []int
	for from := range 2 {
		d := s.esp[from]
		if d.sent == 0 || udp && !d.udp || !udp && !d.native {
			continue
		}
		if s.both() {
			if d.arrived > 0 || d.lost == 0 {
				continue
			}
			w := 5.6
			switch {
			case d.sent == 1 && !s.goesOn(d.last, 3*time.Second):
				continue // it may be under way
			case d.sent == 1:
				w = 1.8
			case d.sent == 2:
				w = 3.6
			case d.sure == 0 && !s.w.Ends[1-from].View.After(d.first):
				w = 4.4
			}
			cs = append(cs, For(w, fmt.Sprintf("%d packets of ESP left %s, none arrived at %s", d.sent, s.name(from), s.name(1-from)), s.espPlaces(from, from, "did not arrive", 4)...))
			dirs = append(dirs, from)
			continue
		}
		// One end: ESP leaves and nothing ever comes.
		if udp && s.at(from) && s.esp[1-from].sent == 0 && d.sent >= 3 {
			cs = append(cs, For(3.4, fmt.Sprintf("%d packets of ESP in UDP left %s and none ever came, while IKE passes on the same port", d.sent, s.name(from)), s.espPlaces(from, from, "nothing comes back", 4)...))
			dirs = append(dirs, from)
		}
	}
	if len(cs) == 2 {
		cs[1].Weight = min(cs[1].Weight, 0.6)
	}
	if len(cs) == 0 && udp && !s.both() && s.at(s.res) && s.esp[0].sent+s.esp[1].sent == 0 && s.quietAfterUp() && s.a != nil && s.a.Floated() && s.a.NAT() {
		// The answering end saw a finished negotiation behind NAT and not one packet of ESP.
		t := s.trade("QM")
		var u *path.Unit
		if t != nil {
			u = t.Final
		} else if t = s.trade("IKE_AUTH"); t != nil {
			u = t.Resp
		}
		if u == nil {
			return nil
		}
		ps := s.rcvdPlaces(u, "the negotiation is complete, and no ESP follows")
		if len(ps) == 0 {
			ps = s.sentPlaces(u, "the negotiation is complete, and no ESP follows")
		}
		return &Match{Clues: []Clue{For(2.4, "IKE on UDP 4500 is complete and not one packet of ESP in UDP follows", ps...)},
			Title:       fmt.Sprintf("No ESP in UDP from %s arrives", s.name(s.ini)),
			Explanation: fmt.Sprintf("%s started the tunnel (traffic does that), the negotiation on UDP 4500 ran to its end, and then not one packet of ESP in UDP arrives, nor a keepalive. Either a device on the path drops what is not IKE on UDP 4500, or there was no traffic: the other end's capture tells.", s.name(s.ini)),
			Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "a device inspects UDP 4500 and drops what is not IKE")...), "nothing changes on the devices")},
			Next:        s.next("separates esp-udp-blocked (ESP leaves there) from tunnel-idle (none leaves)")}
	}
	if len(cs) == 0 {
		return nil
	}
	dir := fmt.Sprintf("from %s to %s", s.name(dirs[0]), s.name(1-dirs[0]))
	if len(dirs) == 2 {
		dir = "in both directions between " + s.name(0) + " and " + s.name(1)
	}
	m := &Match{Clues: cs, Title: "ESP (" + id + ") is blocked " + dir,
		Explanation: fmt.Sprintf("IKE completes, the tunnel is up at both ends, and ESP (%s) leaves and does not arrive %s. ESP is an IP protocol of its own, not a port: rules that permit UDP 500 and 4500 do not permit it.", id, dir),
		Actions: []report.Action{
			s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "permit IP protocol 50 on every hop, beside UDP 500 and 4500")...), "nothing changes on the devices"),
			s.mend(report.Advise, s.res, []string{"crypto isakmp nat-traversal 20"}, []string{"crypto ipsec nat-transparency udp-encapsulation"}, []string{"or force UDP encapsulation at both ends"}, "ESP travels in UDP 4500 where a NAT is detected"),
		},
		Next: s.next("shows whether ESP arrives there")}
	if udp {
		m.Explanation = fmt.Sprintf("IKE passes on UDP 4500 (with its marker of four zero bytes), the negotiation is complete, and ESP in UDP from the same ports does not arrive %s. A device looks into UDP 4500 and drops what is not IKE.", dir)
		if !s.both() {
			m.Explanation = fmt.Sprintf("IKE passes on UDP 4500 and the negotiation is complete; %s sends ESP in UDP from the same ports and nothing ever comes back. A device that drops what is not IKE fits best; a far end that does not answer would look the same from here.", s.name(dirs[0]))
		}
		m.Actions = m.Actions[:1]
		m.Actions[0].Steps = append(append([]string{}, ispSteps...), "a device inspects UDP 4500 and drops what is not IKE: ask for all of UDP 4500 to be passed")
	}
	return m
}

// quietAfterUp: nothing at all follows the negotiation, no probe, no keepalive.
func (s *story) quietAfterUp() bool {
	if s.upAt.IsZero() {
		return false
	}
	for _, m := range s.msgs() {
		if m.At.After(s.upAt.Add(2 * time.Second)) {
			return false
		}
	}
	for _, v := range s.w.Views {
		for _, k := range v.Keepalives {
			if k.Count > 0 {
				return false
			}
		}
	}
	return true
}

// wireOneWay: one end alone was captured; its ESP leaves and none comes.
func wireOneWay(s *story) *Match {
	if !s.up || s.both() || s.stop.kind == lastMissing {
		return nil
	}
	for e := range 2 {
		if !s.at(e) {
			continue
		}
		out, in := s.esp[e], s.esp[1-e]
		if out.udp {
			continue
		}
		w := 0.0
		note := fmt.Sprintf("%d packets of ESP left %s and none ever came", out.sent, s.name(e))
		ps := s.espPlaces(e, e, "nothing comes back", 5)
		switch {
		case out.sent >= 3 && in.sent == 0:
			w = 3.6
		case out.sent > 0 && in.sent == 0 && s.goesOn(out.first, 3*time.Second):
			w = 2
		case out.sent >= 5 && in.sent > 0:
			asked, ans := s.asked(e)
			if len(asked) >= 5 && ans == 0 {
				w = 3
				note = fmt.Sprintf("none of %d packets that %s sent of its own accord was answered; what comes in is only what the other end asks", len(asked), s.name(e))
				ps = placesOfPkts(asked, 5, "not answered")
			}
		}
		if w == 0 {
			continue
		}
		if s.a == nil || s.w.Ends[e].View.Guessed {
			w -= 1.4 // where the capture was taken, and what came before, is not known
		}
		return &Match{Clues: []Clue{For(w, note, ps...)},
			Title:       fmt.Sprintf("Traffic from %s into the tunnel stays without an answer", s.name(e)),
			Explanation: s.negotiated() + fmt.Sprintf("%s sends ESP and gets nothing for it. Either ESP is dropped on the path, or %s or the network behind it does not answer: from this end alone they look the same.", s.name(e), s.name(1-e)),
			Actions:     []report.Action{s.mend(report.Advise, 1-e, nil, nil, []string{"look at encaps and decaps at the other end: decaps 0 there: the path drops ESP; decaps grow and encaps 0: NAT exemption, crypto access list, routing or the hosts behind it", "packet-tracer from the silent side says which step drops it"}, "none by itself")},
			Next:        s.next("separates esp-blocked (it does not arrive) from no-return-traffic (it arrives and nothing goes back)")}
	}
	return nil
}

// asked lists the packets an end sent of its own accord, and counts those that something
// came back for within a second.
func (s *story) asked(e int) (open []wpkt, answered int) {
	log := s.log()
	var heard time.Time
	for i := range log {
		p := &log[i]
		if p.from != e {
			if p.esp {
				heard = p.at
			}
			continue
		}
		if !p.esp {
			continue
		}
		if !heard.IsZero() && p.at.Sub(heard) < 60*time.Millisecond {
			heard = time.Time{} // an answer
			continue
		}
		ans := false
		for k := i + 1; k < len(log) && log[k].at.Sub(p.at) < 700*time.Millisecond; k++ {
			if log[k].from == e && log[k].esp {
				break
			}
			if log[k].from != e && log[k].esp {
				ans = true
				break
			}
		}
		if ans {
			answered++
		} else {
			open = append(open, *p)
		}
	}
	return open, answered
}

// wireNoReturn: ESP arrives and the receiver sends none.
func wireNoReturn(s *story) *Match {
	if !s.up || s.stop.kind == lastMissing || s.deletedOK() {
		return nil
	}
	for e := range 2 {
		d, back := s.esp[e], s.esp[1-e]
		if !s.at(1-e) || d.arrived < 3 || back.sent > 0 {
			continue
		}
		w := 4.2
		if s.both() {
			w = 5
		}
		if d.arrived*2 < d.sent {
			w -= 2
		}
		if s.a == nil || s.w.Ends[1-e].View.Guessed {
			w -= 1.6
		}
		return &Match{Clues: []Clue{For(w, fmt.Sprintf("%d packets of ESP arrive at %s, which sends none", d.arrived, s.name(1-e)), s.espPlaces(e, 1-e, "arrived, nothing goes back", 5)...)},
			Title:       fmt.Sprintf("ESP reaches %s and nothing comes back from there", s.name(1-e)),
			Explanation: fmt.Sprintf("The tunnel is up and ESP of %s arrives at %s, so the path passes it. %s sends no ESP at all: the network behind it does not answer, or the answers do not find the tunnel (NAT exemption, crypto access list, route).", s.name(e), s.name(1-e), s.name(1-e)),
			Actions: []report.Action{s.mend(report.Advise, 1-e, nil, nil, []string{"ping from that device's inside interface; check default gateway and firewall of the hosts behind it",
				"when its own sourced ping works, it is the hosts; when not: NAT exemption, crypto access list, route"}, "none by itself")},
			Next: []report.Next{{Collect: "counters and configuration of " + s.name(1-e), Because: "decaps grow and encaps 0 there proves it; the configuration separates no-return-traffic from no-nat-exemption and route-missing", Playbook: "diagnose"}}}
	}
	return nil
}

// wireStale: ESP went both ways, then one end stops while the other's still arrives (or is still sent).
func wireStale(s *story) *Match {
	if !s.up || s.deletedOK() {
		return nil
	}
	for e := range 2 {
		d, back := s.esp[e], s.esp[1-e]
		if d.sent < 5 || back.sent < 1 {
			continue
		}
		if !s.at(1-e) && s.natBefore(1-e) {
			continue
		}
		if s.bySize(e) != nil || s.answersBySize(e) != nil {
			continue
		}
		var tail []wpkt
		lost := 0
		var lastBack time.Time
		for _, p := range s.log() {
			if p.from != e {
				if p.esp || p.probe {
					lastBack, tail, lost = p.at, nil, 0
				}
				continue
			}
			if p.esp && p.at.Sub(lastBack) > 60*time.Millisecond {
				tail = append(tail, p)
				if p.arrived == 0 {
					lost++
				}
			}
		}
		if len(tail) < 4 || tail[len(tail)-1].at.Sub(tail[0].at) < time.Second || lost*3 > len(tail) || lastBack.IsZero() {
			continue
		}
		w := 3.4
		switch {
		case s.both():
			w = 4.6
		case s.at(1 - e):
			w = 4
		}
		if !s.at(1 - e) {
			for _, u := range s.infos(1-e, s.upAt) {
				if strings.Contains(u.Label, "DPD") {
					w = 1.6 // a peer that probed and falls silent is dead rather than forgetful
				}
			}
		}
		if u, n, ok := s.notify(1 - e); ok && n.Type == 11 {
			w += 1.5
			_ = u
		}
		x := s.w.Public(1 - e).String()
		return &Match{Clues: []Clue{For(w, fmt.Sprintf("%d packets of ESP from %s after %s stopped using the SA", len(tail), s.name(e), s.name(1-e)), placesOfPkts(tail, 6, "on an SA that is no longer answered")...)},
			Title:       fmt.Sprintf("%s still uses an SA that %s seems to have dropped", s.name(e), s.name(1-e)),
			Explanation: fmt.Sprintf("ESP ran both ways; since %s UTC %s sends none while %s goes on with the same SPI. No delete was sent. That is what a restart or a lost delete leaves behind: one end has no SA any more, the other does not notice.", lastBack.UTC().Format("15:04:05"), s.name(1-e), s.name(e)),
			Actions: []report.Action{s.approve(report.ClearIPsecSA, e, []string{"clear crypto ipsec sa peer " + x}, []string{"clear crypto sa peer " + x},
				"the SAs with this peer are negotiated again with the next packet; traffic stops for some seconds")},
			Next: append(s.next("shows whether ESP arrives there, and whether that end answers"), report.Next{Collect: "the SAs of both ends", Because: "SPIs that do not pair prove it", Playbook: "diagnose"})}
	}
	return nil
}

// wireMapping: packets toward the end behind NAT stop arriving, or its own come from a new port.
func wireMapping(s *story) *Match {
	if !s.up || s.deletedOK() {
		return nil
	}
	for _, f := range s.falls() {
		to := 1 - f.from
		if !s.natBefore(to) || s.bySize(f.from) != nil || s.answersBySize(f.from) != nil || s.esp[0].native || s.esp[1].native {
			continue // native ESP has no mapping that could be lost
		}
		w := 3.4
		if f.proven {
			w = 4.6
		}
		// Idle before the fall.
		cs := []Clue{}
		if f.last != nil {
			if idle := f.lost[0].at.Sub(f.last.at); idle > 2*time.Second {
				w += 0.6
			}
		}
		if f.proven && f.last == nil && s.esp[f.from].arrived == 0 && s.esp[f.from].sent > 0 && s.esp[to].arrived > 0 {
			// Never anything: rather a block of ESP in UDP.
			w -= 3
		}
		cs = append(cs, For(w, fmt.Sprintf("%d packets to %s behind its NAT after the pause, none gets through", len(f.lost), s.name(to)), placesOfPkts(f.lost, 6, "does not reach the end behind NAT")...))
		var un []path.ICMP
		for _, e := range s.w.ICMP {
			if e.About == f.from && e.Type == 3 && e.Code != 4 && s.w.EndOf(e.From) != to {
				un = append(un, e)
			}
		}
		if len(un) > 0 {
			cs = append(cs, For(0.8, "a router refuses them: no mapping is left", icmpPlaces(un)...))
		}
		if f.last != nil {
			cs = append(cs, For(0.01, "the last that was heard", f.last.place()))
		}
		return &Match{Clues: cs, Title: fmt.Sprintf("The NAT in front of %s forgot the tunnel", s.name(to)),
			Explanation: fmt.Sprintf("The tunnel was up through NAT. After a pause packets from %s to the NAT's address and port do not reach %s any more, and keepalives were rarer than the NAT's memory. Traffic from behind the NAT opens it again.", s.name(f.from), s.name(to)),
			Actions: []report.Action{s.mend(report.Advise, to, []string{"crypto isakmp nat-traversal 20"}, []string{"crypto isakmp nat keepalive 20"},
				[]string{"shorter NAT keepalive at the end behind NAT; a longer UDP timeout on the NAT device"}, "the mapping stays open")},
			Next: s.next("shows whether packets arrive behind the NAT, and whether that end still sends")}
	}
	// The near end's packets come from a new port or address, and are not answered there.
	for e := range 2 {
		v := s.w.Ends[1-e].View
		if v == nil || !s.natBefore(e) {
			continue
		}
		rows := map[uint32][]*facts.ESPFlow{}
		for _, f := range v.ESP {
			if f.UDP && f.Trusted && s.w.EndOf(f.Src.Addr()) == e {
				rows[f.SPI] = append(rows[f.SPI], f)
			}
		}
		for _, fs := range rows {
			if len(fs) < 2 {
				continue
			}
			slices.SortFunc(fs, func(a, b *facts.ESPFlow) int { return a.First.Compare(b.First) })
			old, now := fs[0], fs[len(fs)-1]
			if !now.First.After(old.Last) || now.Count < 3 {
				continue
			}
			followed := false
			for _, f := range v.ESP {
				if f.UDP && s.w.EndOf(f.Src.Addr()) == 1-e && f.Dst == now.Src {
					followed = true
				}
			}
			for _, m := range s.msgs() {
				if m.From == 1-e && m.Sent() != nil && m.Sent().Dst == now.Src {
					followed = true
				}
			}
			if followed {
				continue
			}
			return &Match{Clues: []Clue{For(4.4, fmt.Sprintf("the same SPI comes from %v and later from %v, and is not followed there", old.Src, now.Src),
				s.flowPlace(v, old, "the old mapping"), s.flowPlace(v, now, "the new mapping, not answered"))},
				Title:       fmt.Sprintf("The NAT in front of %s changed its mapping during the session", s.name(e)),
				Explanation: fmt.Sprintf("ESP with the same SPI first comes from %v and then from %v: the NAT made a new mapping. %s goes on sending to the old one.", old.Src, now.Src, s.name(1-e)),
				Actions: []report.Action{s.mend(report.Advise, e, []string{"crypto isakmp nat-traversal 20"}, []string{"crypto isakmp nat keepalive 20"},
					[]string{"shorter NAT keepalive; a longer UDP timeout on the NAT device"}, "the mapping stays open")},
				Next: s.next("shows what the end behind NAT still receives")}
		}
	}
	return nil
}

func (s *story) flowPlace(v *path.View, f *facts.ESPFlow, what string) facts.Place {
	t := f.First
	return facts.Place{Source: v.Capture.Source, Packet: f.FirstPacket, Wire: true, Time: &t,
		Text: fmt.Sprintf("%s %v→%v ESP in UDP, SPI %s, %d packets: %s", stamp(t), f.Src, f.Dst, path.Hex(f.SPI), f.Count, what)}
}

// wireNoNATT: a NAT was seen, the exchange did not float, and native ESP does not come through.
func wireNoNATT(s *story) *Match {
	// Where both ends announced NAT-T, a NAT makes them float: then something else is wrong.
	if s.a == nil || !s.up || s.a.Floated() || !s.a.NAT() || s.n.NATTOffered {
		return nil
	}
	for e := range 2 {
		d := s.esp[e]
		if !d.native || d.sent < 2 || s.both() && d.arrived > 0 || !s.both() && s.esp[1-e].sent > 0 {
			continue
		}
		return &Match{Clues: []Clue{For(4, "a NAT is on the path, nothing moved to UDP 4500, and native ESP gets no answer", s.espPlaces(e, e, "", 4)...)},
			Title:       "NAT traversal is off although a NAT is on the path",
			Explanation: "The negotiation shows a NAT (addresses differ between the ends or from the NAT-D payloads), but it stays on UDP 500 and ESP is sent natively: a NAT that translates ports cannot pass it.",
			Actions:     []report.Action{s.mend(report.Advise, s.res, []string{"crypto isakmp nat-traversal 20"}, []string{"crypto ipsec nat-transparency udp-encapsulation"}, []string{"at both ends"}, "new tunnels through NAT use UDP 4500")},
			Next:        s.next("shows whether ESP arrives")}
	}
	return nil
}

// ctcpName is a segment as evidence.
func ctcpPlace(v *path.View, f *facts.CTCPFlow, g *facts.CTCPSegment, what string) facts.Place {
	t := g.Time
	a, b := f.Client, f.Server
	if !g.FromClient {
		a, b = b, a
	}
	txt := fmt.Sprintf("%s %v→%v TCP %s, seq %d ack %d, %d bytes", stamp(t), a, b, g.Label, g.Seq, g.Ack, g.Length)
	if what != "" {
		txt += ": " + what
	}
	return facts.Place{Source: v.Capture.Source, Packet: g.Packet, Wire: true, Time: &t, Text: txt}
}

// wireCTCPDrop: a hole in the byte stream, duplicate acknowledgements, no resend.
func wireCTCPDrop(s *story) *Match {
	for _, c := range s.w.CTCP {
		for end := range 2 {
			f, v := c.Seen[end], s.w.Ends[end].View
			if f == nil || v == nil || !f.Content {
				continue
			}
			// Runs of one acknowledgement number from the server (or the client).
			for _, fromClient := range []bool{false, true} {
				acks := map[uint32][]*facts.CTCPSegment{}
				var order []uint32
				top := uint32(0)
				topSet := false
				for i := range f.Segments {
					g := &f.Segments[i]
					if g.FromClient != fromClient || g.Flags&(2|4) != 0 {
						continue
					}
					if g.Length == 0 && g.Flags&16 != 0 {
						if acks[g.Ack] == nil {
							order = append(order, g.Ack)
						}
						acks[g.Ack] = append(acks[g.Ack], g)
						if !topSet || int32(g.Ack-top) > 0 {
							top, topSet = g.Ack, true
						}
					}
				}
				for _, a := range order {
					run := acks[a]
					dups := 0
					for _, g := range run {
						if g.DupAck {
							dups++
						}
					}
					if dups == 0 && len(run) >= 4 {
						dups = len(run) - 1
					}
					if dups < 3 || int32(top-a) > 0 {
						continue // the acknowledgement moved on: the hole was filled
					}
					// The other side sent past the hole and never the missing bytes again.
					var past []*facts.CTCPSegment
					resent, lostSeg := false, (*facts.CTCPSegment)(nil)
					for i := range f.Segments {
						g := &f.Segments[i]
						if g.FromClient == fromClient || g.Length == 0 {
							continue
						}
						if int32(g.Seq-a) > 0 {
							past = append(past, g)
						}
						if g.Seq == a {
							if lostSeg != nil || g.Resend {
								resent = true
							}
							lostSeg = g
						}
					}
					if len(past) < 3 || resent {
						continue
					}
					var ps []facts.Place
					if lostSeg != nil {
						ps = append(ps, ctcpPlace(v, f, lostSeg, "left once, never again"))
					}
					for i, g := range run {
						if i > 4 {
							break
						}
						ps = append(ps, ctcpPlace(v, f, g, "the same acknowledgement again"))
					}
					cs := []Clue{For(5, fmt.Sprintf("%d duplicate acknowledgements for byte %d, and it is never sent again", dups, a), ps...),
						For(0.3, "the sender goes on with new data", ctcpPlace(v, f, past[len(past)-1], "new data, not the missing bytes"))}
					if f.ResetBy != "" {
						cs = append(cs, For(0.3, "then the connection is reset", facts.Place{Source: v.Capture.Source, Packet: f.ResetPacket, Wire: true, Text: "RST by the " + f.ResetBy}))
					}
					return &Match{Clues: cs, Title: "A device between the ends treats IPsec over TCP as real TCP and drops it",
						Explanation: fmt.Sprintf("IPsec over TCP between %v and %v only looks like TCP: its ends never resend. A segment was lost, something that keeps TCP state asks for it again with %d duplicate acknowledgements, nobody answers, and the flow dies while the client goes on sending.", f.Client, f.Server, dups),
						Actions: []report.Action{s.mend(report.Advise, 1-c.Client, []string{"access-list CTCP extended permit tcp any any eq " + fmt.Sprint(f.Server.Port()), "class-map CTCP", "match access-list CTCP", "policy-map BYPASS", "class CTCP", "set connection advanced-options tcp-state-bypass", "service-policy BYPASS interface <interface>"}, nil,
							[]string{"move the client to IPsec over UDP (NAT-T) or native ESP, or to AnyConnect (a real TCP stack)", "tcp-state-bypass on the firewall between is a stopgap only"}, "the firewall no longer checks the TCP state of these flows")},
						Next: s.next("shows whether the missing segment left, and who sends the duplicate acknowledgements")}
				}
			}
		}
	}
	return nil
}

// wireCTCPBlocked: SYNs without an answer, or answered by a reset.
func wireCTCPBlocked(s *story) *Match {
	for _, c := range s.w.CTCP {
		for _, end := range []int{c.Client, 1 - c.Client} {
			f, v := c.Seen[end], s.w.Ends[end].View
			if f == nil || v == nil || f.SYNs == 0 || f.SYNACKs > 0 && (f.Content || len(f.Segments) > 4) {
				continue
			}
			var syn []facts.Place
			var rst []facts.Place
			for i := range f.Segments {
				g := &f.Segments[i]
				if g.Flags&2 != 0 && g.FromClient && len(syn) < 4 {
					syn = append(syn, ctcpPlace(v, f, g, ""))
				}
				if g.Flags&4 != 0 && !g.FromClient && len(rst) < 3 {
					rst = append(rst, ctcpPlace(v, f, g, "refused"))
				}
			}
			w, expl := 0.0, ""
			var cs []Clue
			switch {
			case f.ResetBy == "server" || len(rst) > 0:
				w = 4.6
				expl = fmt.Sprintf("Port %d is answered by a reset: nobody listens there, or a device on the path refuses.", f.Server.Port())
				cs = append(cs, For(w, "the connection is refused", append(rst, syn...)...))
			case f.SYNs >= 2 && f.SYNACKs == 0:
				w = 4
				if o := c.Seen[1-end]; s.both() && o == nil {
					w = 5
				}
				expl = fmt.Sprintf("The SYN to port %d repeats and gets no answer.", f.Server.Port())
				cs = append(cs, For(w, fmt.Sprintf("%d SYNs without an answer", f.SYNs), syn...))
			default:
				continue
			}
			return &Match{Clues: cs, Title: fmt.Sprintf("TCP port %d of %s does not get through", f.Server.Port(), s.name(1-c.Client)), Explanation: expl + " IPsec over TCP cannot start.",
				Actions: []report.Action{s.mend(report.Advise, 1-c.Client, []string{fmt.Sprintf("crypto ikev1 ipsec-over-tcp port %d", f.Server.Port())}, nil, []string{"ASA to 8.3: crypto isakmp ipsec-over-tcp port", "open the port on the path"}, "the headend listens on the port")},
				Next:    s.next("shows whether the SYN arrives, and who sends the reset")}
		}
	}
	return nil
}

// wireShaped: one direction's rate falls to a ceiling, or loss starts after some seconds, whatever the size.
func wireShaped(s *story) *Match {
	if !s.up || !s.both() {
		return nil
	}
	for from := range 2 {
		for _, f := range s.esp[from].flows {
			a, b := f.Seen[from], f.Seen[1-from]
			if a == nil || b == nil || len(a.PerSecond) < 10 || len(b.PerSecond) < 10 || s.bySize(from) != nil {
				continue
			}
			n := min(len(a.PerSecond), len(b.PerSecond))
			k := n / 3
			loss := func(lo, hi int) float64 {
				sum := func(r []facts.RateBucket) (t int) {
					for _, x := range r[lo:min(hi, len(r))] {
						t += x.Packets
					}
					return
				}
				x, y := sum(a.PerSecond), sum(b.PerSecond)
				if x == 0 {
					return 0
				}
				return 1 - float64(y)/float64(x)
			}
			early, late := loss(0, k), loss(n-k, n)
			if early > 0.05 || late < 0.3 {
				continue
			}
			// A steady ceiling at the receiver.
			var rates []int
			for _, x := range b.PerSecond[n-k : n] {
				rates = append(rates, x.Bytes)
			}
			slices.Sort(rates)
			if rates[0]*10 < rates[len(rates)-1]*5 {
				continue
			}
			back := s.esp[1-from]
			if back.lost*5 > back.sent {
				continue
			}
			v := s.w.Ends[from].View
			return &Match{Clues: []Clue{For(3.4, fmt.Sprintf("loss rises from %.0f %% to %.0f %% in one direction and what arrives stays at %d bytes a second", 100*early, 100*late, rates[len(rates)/2]), s.flowPlaceAny(v, a))},
				Title:       fmt.Sprintf("Traffic from %s is throttled on the path", s.name(from)),
				Explanation: "The tunnel starts at full rate; after some seconds what arrives falls to a steady ceiling, in one direction, whatever the packets' size. That is a shaper that classifies the tunnel, not congestion.",
				Actions:     []report.Action{s.mend(report.EvidenceOnly, -1, nil, nil, append([]string{}, append(ispSteps, "measure at M-Lab for the record")...), "nothing changes on the devices")}}
		}
	}
	return nil
}

func (s *story) flowPlaceAny(v *path.View, f *facts.ESPFlow) facts.Place {
	t := f.First
	return facts.Place{Source: v.Capture.Source, Packet: f.FirstPacket, Wire: true, Time: &t,
		Text: fmt.Sprintf("%s %v→%v ESP SPI %s, %d packets, %d bytes", stamp(t), f.Src.Addr(), f.Dst.Addr(), path.Hex(f.SPI), f.Count, f.Bytes)}
}

// wireHealth are the statements that nothing is wrong.
func wireHealth() []Condition {
	return []Condition{
		{ID: "tunnel-healthy", Severity: report.Info, Healthy: true, Reference: "S1: MM_ACTIVE; S2: ESP both ways", Look: wireLook(func(s *story) *Match {
			h := s.health()
			if h == nil || h.kind != "tunnel-healthy" {
				return nil
			}
			return h.match
		})},
		{ID: "loss-but-healthy",
			Cause:    "packets are lost and the tunnel comes up all the same",
			Shows:    "captures: repeated messages, then progress to ESP both ways",
			Severity: report.Info, Healthy: true, Reference: "S3: loss is normal on the Internet", Look: wireLook(func(s *story) *Match {
				h := s.health()
				if h == nil || h.kind != "loss-but-healthy" {
					return nil
				}
				return h.match
			})},
		{ID: "tunnel-idle", Severity: report.Info, Healthy: true, Reference: "practice", Look: wireLook(func(s *story) *Match {
			h := s.health()
			if h == nil || h.kind != "tunnel-idle" {
				return nil
			}
			return h.match
		})},
	}
}

type health1 struct {
	kind  string
	match *Match
}

// health says which of the three it is.
func (s *story) health() *health1 {
	if len(s.w.CTCP) > 0 {
		for _, c := range s.w.CTCP {
			f := c.Any()
			if f == nil || !f.Content || len(f.Segments) == 0 {
				continue
			}
			v := s.w.Ends[0].View
			for e := range 2 {
				if c.Seen[e] == f {
					v = s.w.Ends[e].View
				}
			}
			resent := 0
			for i := range f.Segments {
				if f.Segments[i].Resend {
					resent++
				}
			}
			h := &health1{kind: "tunnel-healthy"}
			if resent > 0 {
				h.kind = "loss-but-healthy"
			}
			g := &f.Segments[len(f.Segments)-1]
			h.match = &Match{Clues: []Clue{For(4, "IPsec over TCP passes both ways", ctcpPlace(v, f, &f.Segments[0], ""), ctcpPlace(v, f, g, ""))},
				Title: "IPsec over TCP between " + s.name(0) + " and " + s.name(1) + " works", Explanation: "The TCP connection carries IKE and ESP, and every gap in it was filled.", Actions: harmlessWire("nothing to repair")}
			return h
		}
	}
	if !s.up {
		return nil
	}
	var ps []facts.Place
	for e := range 2 {
		at := 1 - e
		if !s.at(at) {
			at = e
		}
		ps = append(ps, s.espPlaces(e, at, "", 2)...)
	}
	repeats := 0
	var rp []facts.Place
	if s.a != nil {
		for _, u := range s.a.Units {
			if len(u.Msgs) > 1 {
				repeats += len(u.Msgs) - 1
			}
		}
		rp = s.repeated()
	}
	lost, sent, missing := 0, 0, 0
	for e := range 2 {
		lost += s.esp[e].lost
		sent += s.esp[e].sent
		for _, f := range s.esp[e].flows {
			if x := f.Seen[1-e]; x != nil {
				missing += x.Missing
			}
		}
	}
	both := s.esp[0].sent > 0 && s.esp[1].sent > 0
	switch {
	case both && (repeats > 0 || lost > 0 || missing > 0):
		expl := fmt.Sprintf("The negotiation completes and ESP runs both ways. %s had to be repeated; of %d packets of ESP %d did not arrive. That is ordinary loss, spread over sizes and time.", plural(repeats, "message", "messages"), sent, max(lost, missing))
		return &health1{"loss-but-healthy", &Match{Clues: []Clue{For(4, "ESP both ways after repeated messages", append(rp, ps...)...)}, Title: "The tunnel between " + s.name(0) + " and " + s.name(1) + " works, with some loss",
			Explanation: expl, Actions: harmlessWire("nothing to repair; the loss rate is reported")}}
	case both:
		return &health1{"tunnel-healthy", &Match{Clues: []Clue{For(4.6, "ESP both ways", ps...)}, Title: "The tunnel between " + s.name(0) + " and " + s.name(1) + " works",
			Explanation: s.negotiated() + "ESP runs both ways.", Actions: harmlessWire("nothing to repair")}}
	}
	var last *path.Unit
	if s.a != nil {
		for _, t := range s.trades {
			switch {
			case t.Info:
			case t.Final != nil:
				last = t.Final
			case t.Resp != nil:
				last = t.Resp
			}
		}
	}
	if last != nil {
		ps = append(ps, s.sentPlaces(last, "")...)
	}
	if len(ps) == 0 {
		return nil
	}
	return &health1{"tunnel-idle", &Match{Clues: []Clue{For(3, "negotiated, and little or no traffic", ps...)}, Title: "The tunnel between " + s.name(0) + " and " + s.name(1) + " is up and idle",
		Explanation: "The negotiation is complete; nobody uses the tunnel while the capture runs.", Actions: harmlessWire("nothing to repair; send traffic to test it")}}
}

func harmlessWire(step string) []report.Action {
	return []report.Action{{Class: report.None, Commands: []string{}, Steps: []string{step}, Effect: "none"}}
}
