package path

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// maxSteps bounds a ladder: what does not fit on a page is not read at 3 a.m.
const maxSteps = 40

// Ladder draws up one attempt: lanes for the initiator, a NAT when there is one, and the
// responder; one step per message with its copies folded, in order of time. failing is
// the message the negotiation waits for, or nil.
func (w *Wire) Ladder(a *Attempt, failing *Unit, title, note string) report.Ladder {
	l := report.Ladder{Title: title, Note: note}
	for _, x := range w.Addrs {
		if l.Tunnel != "" {
			l.Tunnel += ","
		}
		l.Tunnel += x.String()
	}
	ini, res := 0, 1
	if a != nil {
		ini, res = a.Initiator, 1-a.Initiator
	}
	lanes := map[int]int{ini: 0, res: 1}
	l.Lanes = []string{w.lane(ini), w.lane(res)}
	if nat := w.natLane(a); nat != "" {
		l.Lanes = []string{w.lane(ini), nat, w.lane(res)}
		lanes[res] = 2
	}
	l.Shown = w.shown(a)
	l.Sources = map[string]string{}
	for _, v := range w.Views {
		l.Sources[vantage(v)] = v.Capture.Source
	}
	for i := range w.Ends {
		if w.Ends[i].View != nil {
			l.Recorded++
		}
	}
	if a == nil {
		for _, f := range w.Flows {
			l.Steps = append(l.Steps, w.espStep(f, lanes))
		}
		return l
	}
	// Probes and notifies are new messages each time, and the same to the eye: one row per kind.
	type kind struct {
		from  int
		label string
		fate  string
	}
	infos := map[kind]int{}
	for _, u := range a.Units {
		s := w.step(a, u, lanes, u == failing)
		if m := u.First(); (m.Exchange == 5 || m.Exchange == 37) && u != failing {
			k := kind{u.From, s.Label, s.Fate}
			if i, ok := infos[k]; ok {
				l.Steps[i].Repeat += len(u.Msgs)
				if len(l.Steps[i].Packets) < 12 {
					l.Steps[i].Packets = append(l.Steps[i].Packets, s.Packets...)
				}
				continue
			}
			infos[k] = len(l.Steps)
		}
		l.Steps = append(l.Steps, s)
	}
	for _, f := range w.Flows {
		if !f.End.Before(a.Start) {
			s := w.espStep(f, lanes)
			s.Failing = failing == nil && s.Fate == string(Lost) && f.Sent > 1
			l.Steps = append(l.Steps, s)
		}
	}
	l.Steps = append(l.Steps, w.icmpSteps(a, lanes)...)
	slices.SortStableFunc(l.Steps, func(x, y report.LadderStep) int { return x.At.Compare(y.At) })
	if len(l.Steps) > maxSteps {
		// The beginning, and everything around the failing step or the end.
		at := len(l.Steps) - 1
		for i, s := range l.Steps {
			if s.Failing {
				at = i
			}
		}
		head := l.Steps[:maxSteps/2]
		from := max(maxSteps/2, min(at-maxSteps/4, len(l.Steps)-maxSteps/2))
		tail := l.Steps[from:min(len(l.Steps), from+maxSteps/2)]
		l.Steps = append(slices.Clone(head), tail...)
		l.Steps[len(head)].Skipped = from - len(head)
	}
	return l
}

// maxShown bounds the packets per capture that a ladder stands for.
const maxShown = 2000

// shown lists the packets of an attempt and what belongs to it, by capture: its messages
// with all their fragments, samples of its ESP, the ICMP errors about its packets.
func (w *Wire) shown(a *Attempt) map[string][]int {
	out := map[string][]int{}
	add := func(v *View, packets ...int) {
		if v != nil && len(out[v.Capture.Source]) < maxShown {
			out[v.Capture.Source] = append(out[v.Capture.Source], packets...)
		}
	}
	if a != nil {
		for i, n := range a.Negs {
			for j := range n.Messages {
				m := &n.Messages[j]
				add(a.NegViews[i], m.Packet)
				add(a.NegViews[i], m.Packets...)
			}
		}
	}
	for _, f := range w.Flows {
		if a != nil && f.End.Before(a.Start) {
			continue
		}
		for end, x := range f.Seen {
			for i := 0; x != nil && i < len(x.Sample); i++ {
				add(w.Ends[end].View, x.Sample[i].Packet)
			}
		}
	}
	for _, e := range w.ICMP {
		if a == nil || !e.At.Before(a.Start.Add(-time.Second)) {
			add(e.View, e.Packet)
		}
	}
	for _, v := range w.Views {
		for _, o := range v.Orphans { // later fragments whose first one was not seen here
			for _, f := range o.Fragments {
				add(v, f.Packet)
			}
		}
	}
	for source, list := range out {
		slices.Sort(list)
		out[source] = slices.Compact(list)
	}
	return out
}

func (w *Wire) lane(end int) string {
	e := w.Ends[end]
	var a string
	if v := e.View; v != nil {
		// The address the end has itself, as its own capture shows it.
		for _, x := range e.Addrs {
			if viewSees(v, x) {
				a = x.String()
				break
			}
		}
	}
	if a == "" {
		if x := w.Public(end); x.IsValid() {
			a = x.String()
		}
	}
	if e.Name != "" && e.Name != a {
		return e.Name + " " + a
	}
	for i, p := range e.Ports { // one of several behind this address
		if i == 0 {
			a += " port"
		} else {
			a += ","
		}
		a += fmt.Sprintf(" %d", p)
		if i == 3 {
			break
		}
	}
	return a
}

// natLane names the NAT between the ends by the addresses it gave, "" when there is none.
func (w *Wire) natLane(a *Attempt) string {
	if a == nil || !a.NAT() {
		return ""
	}
	var out []string
	for _, m := range a.Msgs {
		s, r := m.Sent(), m.Rcvd()
		if s == nil || r == nil || s.Src.Addr() == r.Src.Addr() {
			continue
		}
		if x := r.Src.Addr().String(); !slices.Contains(out, x) && len(out) < 3 {
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		return "NAT"
	}
	return "NAT " + strings.Join(out, ", ")
}

// vantage is the name of the capture point that stands before packet numbers.
func vantage(v *View) string {
	if v.Capture.Device != "" {
		return v.Capture.Device
	}
	return v.Capture.Name
}

func (w *Wire) packetNames(m *Msg) []string {
	var out []string
	for _, end := range []int{m.From, 1 - m.From} {
		x, v := m.Seen[end], w.Ends[end].View
		if x == nil || v == nil {
			continue
		}
		name := vantage(v)
		if len(x.Fragments) > 1 {
			out = append(out, fmt.Sprintf("%s %d-%d", name, x.Fragments[0].Packet, x.Fragments[len(x.Fragments)-1].Packet))
		} else {
			out = append(out, fmt.Sprintf("%s %d", name, x.Packet))
		}
	}
	return out
}

// step is one message with its copies.
func (w *Wire) step(a *Attempt, u *Unit, lanes map[int]int, failing bool) report.LadderStep {
	m := u.First()
	x := m.Sent()
	if x == nil {
		x = m.Message
	}
	s := report.LadderStep{At: m.At, From: lanes[u.From], To: lanes[1-u.From], Label: u.Label, Failing: failing}
	if s.Label == "" {
		s.Label = u.Step
	}
	size := fmt.Sprintf("%d bytes", x.IPLength)
	if len(x.Fragments) > 1 {
		size = fmt.Sprintf("%d bytes of IKE in %d fragments", x.Length, len(x.Fragments))
	} else if x.DF && x.IPLength > 1000 && x.Src.Addr().Is4() {
		size += " with DF"
	}
	s.Detail = fmt.Sprintf("UDP %d→%d, %s", x.Src.Port(), x.Dst.Port(), size)
	if a.Negs[0].Transport == "ctcp" {
		s.Detail = "in TCP, " + size
	}
	if c := seenAs(m); c != "" {
		s.Detail += "; " + c
	}
	switch {
	case u.Arrived > 0 && u.Lost == 0 && m.Fate == Unseen:
		s.Fate = string(Unseen)
	case u.Arrived > 0:
		s.Fate = string(Arrived)
		if len(m.Changes) > 0 {
			s.Fate = "changed"
		}
		if m.Fate == Injected {
			s.Fate = string(Injected)
		}
	case u.Lost > 0 || u.Partial > 0:
		s.Fate = string(Lost)
	default:
		s.Fate = string(Unseen)
	}
	if n := len(u.Msgs); n > 1 {
		var at []string
		for i, c := range u.Msgs[1:] {
			if i >= 6 {
				at = append(at, "…")
				break
			}
			at = append(at, fmt.Sprintf("+%s", seconds(c.At.Sub(m.At))))
		}
		s.Repeat = n - 1
		s.Detail += fmt.Sprintf("; sent %d times (again %s)", n, strings.Join(at, ", "))
		if u.Arrived > 0 && u.Lost > 0 {
			s.Detail += fmt.Sprintf(", %d lost", u.Lost)
		}
	}
	for _, c := range u.Msgs {
		s.Packets = append(s.Packets, w.packetNames(c)...)
		if len(s.Packets) > 12 {
			break
		}
	}
	src := x
	if len(src.Fragments) == 0 && m.Rcvd() != nil {
		src = m.Rcvd()
	}
	for i, f := range src.Fragments {
		if i >= 12 {
			break
		}
		lf := report.LadderFragment{Offset: f.Offset, Length: f.Length, Fate: string(Unseen)}
		if v := w.Ends[u.From].View; v != nil && src == x {
			lf.Packet = fmt.Sprintf("%s %d", vantage(v), f.Packet)
			if w.Ends[1-u.From].View != nil {
				lf.Fate = string(Lost)
				for _, c := range u.Msgs {
					if fragArrived(w, c, f.Offset) {
						lf.Fate = string(Arrived)
					}
				}
			}
		} else {
			lf.Fate = string(Arrived)
		}
		s.Fragments = append(s.Fragments, lf)
	}
	s.Decoded = decoded(x, m.Rcvd())
	return s
}

// seenAs says in short what the path made of a message: a NAT's address and port, and what else.
func seenAs(m *Msg) string {
	var out []string
	if a, b := m.Sent(), m.Rcvd(); a != nil && b != nil {
		if a.Src != b.Src {
			out = append(out, "arrives from "+b.Src.String())
		}
		if a.Dst != b.Dst {
			out = append(out, "arrives at "+b.Dst.String())
		}
	}
	for _, c := range m.Changes {
		if !strings.HasPrefix(c, "source ") && !strings.HasPrefix(c, "destination ") {
			out = append(out, c)
		}
	}
	return strings.Join(out, ", ")
}

// fragArrived tells whether the fragment at an offset of a copy was seen at the receiver,
// cut again or not.
func fragArrived(w *Wire, m *Msg, offset int) bool {
	if r := m.Rcvd(); r != nil {
		if r.Complete {
			return true
		}
		for _, f := range r.Fragments {
			if f.Offset == offset {
				return true
			}
		}
		return len(r.Fragments) == 0 && offset == 0
	}
	rv := w.Ends[1-m.From].View
	if rv == nil {
		return false
	}
	for _, o := range rv.Orphans {
		if o.IPID == m.IPID && w.EndOf(o.Src) == m.From {
			for _, f := range o.Fragments {
				if f.Offset == offset {
					return true
				}
			}
		}
	}
	return false
}

func seconds(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// espStep sums one ESP flow up.
func (w *Wire) espStep(f *Flow, lanes map[int]int) report.LadderStep {
	x := f.Any()
	s := report.LadderStep{At: f.Start, From: lanes[f.From], To: lanes[1-f.From], Label: fmt.Sprintf("ESP %s, %d packets", Hex(f.SPI), f.Sent)}
	kind := "IP protocol 50"
	if f.UDP {
		kind = fmt.Sprintf("in UDP %d→%d", x.Src.Port(), x.Dst.Port())
	}
	s.Detail = fmt.Sprintf("%s, for %s", kind, seconds(f.End.Sub(f.Start)))
	if n := len(x.Sizes); n > 0 {
		if x.Sizes[0].Length != x.Sizes[n-1].Length {
			s.Detail += fmt.Sprintf(", %d to %d bytes", x.Sizes[0].Length, x.Sizes[n-1].Length)
		} else {
			s.Detail += fmt.Sprintf(", %d bytes", x.Sizes[0].Length)
		}
	}
	switch {
	case !w.Both():
		s.Fate = string(Unseen)
	case f.Arrived == 0:
		s.Fate = string(Lost)
		s.Detail += "; none arrived"
	default:
		s.Fate = string(Arrived)
		if f.Lost > 0 {
			s.Detail += fmt.Sprintf("; %d lost", f.Lost)
		}
	}
	for end, y := range f.Seen {
		if v := w.Ends[end].View; y != nil && v != nil {
			s.Packets = append(s.Packets, fmt.Sprintf("%s %d-%d", vantage(v), y.FirstPacket, y.LastPacket))
		}
	}
	return s
}

// icmpSteps are the ICMP errors about the attempt's packets, one row per kind and sender.
func (w *Wire) icmpSteps(a *Attempt, lanes map[int]int) []report.LadderStep {
	type key struct {
		about int
		end   bool // sent by the end itself, not by a router
		t, c  uint8
	}
	type row struct {
		step  *report.LadderStep
		count map[*View]int
	}
	by := map[key]*row{}
	var out []*row
	for _, e := range w.ICMP {
		if e.At.Before(a.Start.Add(-time.Second)) || e.About < 0 {
			continue
		}
		k := key{e.About, w.EndOf(e.From) >= 0, e.Type, e.Code}
		r := by[k]
		if r == nil {
			from := lanes[1-e.About]
			who := ""
			if w.EndOf(e.From) < 0 {
				who = " from " + e.From.String()
			}
			s := &report.LadderStep{At: e.At, From: from, To: lanes[e.About], Label: fmt.Sprintf("ICMP %d/%d%s", e.Type, e.Code, who), Fate: string(Arrived),
				Detail: icmpText(e.Type, e.Code) + ", about " + quoted(e.Quoted)}
			if e.MTU > 0 {
				s.Detail += fmt.Sprintf(", MTU %d", e.MTU)
			}
			r = &row{s, map[*View]int{}}
			by[k] = r
			out = append(out, r)
		}
		r.count[e.View]++
		if len(r.step.Packets) < 8 {
			r.step.Packets = append(r.step.Packets, fmt.Sprintf("%s %d", vantage(e.View), e.Packet))
		}
	}
	var steps []report.LadderStep
	for _, r := range out {
		n := 0
		for _, c := range r.count { // the same error seen at both ends is one error
			n = max(n, c)
		}
		r.step.Repeat = n - 1
		steps = append(steps, *r.step)
	}
	return steps
}

func icmpText(t, c uint8) string {
	switch {
	case t == 3 && c == 3:
		return "port unreachable"
	case t == 3 && c == 4:
		return "fragmentation needed"
	case t == 3 && (c == 0 || c == 1):
		return "unreachable"
	case t == 3 && (c == 9 || c == 10 || c == 13):
		return "forbidden by a filter"
	case t == 11 && c == 1:
		return "reassembly time exceeded"
	}
	return "error"
}

func quoted(q facts.Quoted) string {
	switch {
	case q.Proto == 50:
		return "ESP " + Hex(q.SPI)
	case q.Src.Port() != 0:
		return fmt.Sprintf("UDP %d→%d", q.Src.Port(), q.Dst.Port())
	}
	return fmt.Sprintf("IP protocol %d", q.Proto)
}
