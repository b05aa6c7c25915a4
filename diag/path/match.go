package path

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"vpnbot/diag/facts"
)

// msgKey says what two captures of one packet have in common whatever NAT did to it.
type msgKey struct {
	spi  uint64
	from int
	hash uint64
}

func (w *Wire) from(n *facts.Negotiation, m *facts.Message) int {
	if e := w.EndOf(m.Src.Addr()); e >= 0 {
		return e
	}
	if e := w.EndOf(m.Dst.Addr()); e >= 0 {
		return 1 - e
	}
	return 0
}

func sameBytes(a, b *facts.Message) bool {
	if a.Hash != 0 && b.Hash != 0 {
		return a.Hash == b.Hash
	}
	if a.Head != 0 && b.Head != 0 {
		return a.Head == b.Head && a.Length == b.Length
	}
	return a.InitSPI == b.InitSPI && a.MessageID == b.MessageID && a.Exchange == b.Exchange && a.Length == b.Length && a.IPID == b.IPID
}

// sync estimates the clock offset of every view against the first from common packets:
// with both directions half the round trip drops out, with one a short delay is assumed.
func (w *Wire) sync() {
	if len(w.Views) == 0 {
		return
	}
	ref := w.Views[0]
	ref.Synced = true
	for _, v := range w.Views[1:] {
		// Least difference of packets from end 0 and from end 1, by first copies only:
		// a retransmission is ambiguous where the IP id was changed.
		var best [2]time.Duration
		var have [2]bool
		note := func(from int, d time.Duration) {
			if !have[from] || d < best[from] && from == 0 || d > best[from] && from == 1 {
				best[from], have[from] = d, true
			}
		}
		// d is time in v minus time in ref. Packets from the end nearer to ref take longer to v.
		near := ref.End
		if near < 0 {
			near = 1 - max(v.End, 0)
		}
		dir := func(from int) int {
			if from == near {
				return 0
			}
			return 1
		}
		type occ struct {
			m *facts.Message
			n int
		}
		firsts := map[msgKey]map[uint16]occ{}
		walk := func(v *View, f func(k msgKey, m *facts.Message)) {
			for _, n := range v.Negotiations {
				for i := range n.Messages {
					m := &n.Messages[i]
					if m.DuplicateOf >= 0 {
						continue
					}
					h := m.Hash
					if h == 0 {
						h = m.Head
					}
					if h == 0 {
						continue
					}
					f(msgKey{n.InitSPI, w.from(n, m), h}, m)
				}
			}
		}
		walk(ref, func(k msgKey, m *facts.Message) {
			if firsts[k] == nil {
				firsts[k] = map[uint16]occ{}
			}
			o := firsts[k][m.IPID]
			firsts[k][m.IPID] = occ{m, o.n + 1}
		})
		var weak []struct {
			from int
			d    time.Duration
		}
		walk(v, func(k msgKey, m *facts.Message) {
			s := firsts[k]
			if s == nil {
				return
			}
			if o, ok := s[m.IPID]; ok && o.n == 1 && m.IPID != 0 {
				note(dir(k.from), m.Time.Sub(o.m.Time))
				return
			}
			if len(s) == 1 {
				for _, o := range s {
					weak = append(weak, struct {
						from int
						d    time.Duration
					}{dir(k.from), m.Time.Sub(o.m.Time)})
				}
			}
		})
		if !have[0] && !have[1] {
			for _, x := range weak {
				note(x.from, x.d)
			}
		}
		// ESP: SPI and sequence number name a packet.
		type key struct {
			spi, seq uint32
		}
		esp := map[key]time.Time{}
		for _, f := range ref.ESP {
			for i := range f.Sample {
				k := key{f.SPI, f.Sample[i].Seq}
				if _, ok := esp[k]; !ok {
					esp[k] = f.Sample[i].Time
				}
			}
		}
		for _, f := range v.ESP {
			e := w.EndOf(f.Src.Addr())
			if e < 0 || f.UDP && !f.Trusted {
				continue
			}
			for i := range f.Sample {
				if t, ok := esp[key{f.SPI, f.Sample[i].Seq}]; ok {
					note(dir(e), f.Sample[i].Time.Sub(t))
				}
			}
		}
		// cTCP: sequence numbers and payload.
		seg := map[uint64]time.Time{}
		for _, f := range ref.CTCP {
			for i := range f.Segments {
				if h := f.Segments[i].Hash; h != 0 {
					if _, ok := seg[h]; !ok {
						seg[h] = f.Segments[i].Time
					}
				}
			}
		}
		for _, f := range v.CTCP {
			for i := range f.Segments {
				s := &f.Segments[i]
				if t, ok := seg[s.Hash]; ok && s.Hash != 0 && !s.Resend {
					e := w.EndOf(f.Client.Addr())
					if !s.FromClient {
						e = 1 - e
					}
					note(dir(e), s.Time.Sub(t))
				}
			}
		}
		switch {
		case have[0] && have[1]:
			v.Offset, v.Synced = -(best[0]+best[1])/2, true
		case have[0] || have[1]:
			d := best[0]
			if have[1] {
				d = best[1]
			}
			// One direction only: under a second of difference is travel time, not a clock.
			if d > -time.Millisecond && d < time.Second || -d > -time.Millisecond && -d < time.Second {
				d = 0
			}
			v.Offset, v.Synced = -d, true
		}
	}
}

// clock turns a view's time into the reference clock's.
func (v *View) clock(t time.Time) time.Time { return t.Add(v.Offset) }

// After tells whether the capture surely was still running at time t of the reference clock.
func (v *View) After(t time.Time) bool {
	return v.Capture.Packets > 0 && v.clock(v.Capture.Last).After(t)
}

// Before tells whether the capture surely was already running at time t.
func (v *View) Before(t time.Time) bool {
	return v.Capture.Packets > 0 && !v.clock(v.Capture.First).After(t)
}

// windows finds captures that began later or ended earlier than the other end's: packets
// of their own end arrive there at times at which they show none leaving. Two people seldom
// start and stop at the same second, and what one of them did not see is not lost.
func (w *Wire) windows() {
	if !w.Both() {
		return
	}
	for e := range w.Ends {
		v, o := w.Ends[e].View, w.Ends[1-e].View
		if len(v.Negotiations)+len(v.ESP)+len(v.CTCP) == 0 {
			// Nothing of the tunnel, and ESP of this end arrives at the other: it looked at
			// another time or place.
			if slices.ContainsFunc(o.ESP, func(f *facts.ESPFlow) bool {
				return f.Trusted && f.Count-f.Duplicates > 1 && w.EndOf(f.Src.Addr()) == e
			}) {
				v.Blind = true
			}
			continue
		}
		if !dated(v) || !dated(o) || !(v.Synced && o.Synced || w.together()) {
			continue
		}
		first, last := v.clock(v.Capture.First), v.clock(v.Capture.Last)
		if first.Equal(last) {
			continue
		}
		type id struct{ hash, spi uint64 }
		left := map[id]int{} // what left, by its own capture
		for _, n := range v.Negotiations {
			for i := range n.Messages {
				if m := &n.Messages[i]; w.from(n, m) == e {
					left[id{m.Hash, n.InitSPI}]++
				}
			}
		}
		var early, late int
		note := func(at time.Time) {
			switch {
			case at.Before(first):
				early++
			case at.After(last):
				late++
			}
		}
		for _, n := range o.Negotiations {
			for i := range n.Messages {
				m := &n.Messages[i]
				if w.from(n, m) != e || m.DuplicateOf >= 0 || m.Hash == 0 {
					continue
				}
				if k := (id{m.Hash, n.InitSPI}); left[k] > 0 {
					left[k]--
					continue
				}
				note(o.clock(m.Time))
			}
		}
		for _, f := range o.ESP {
			if w.EndOf(f.Src.Addr()) != e || f.UDP && !f.Trusted {
				continue
			}
			for i := range f.Sample {
				q := &f.Sample[i]
				if !slices.ContainsFunc(v.ESP, func(x *facts.ESPFlow) bool {
					return x.SPI == f.SPI && slices.ContainsFunc(x.Ranges, func(r facts.SeqRange) bool { return r.From <= q.Seq && q.Seq <= r.To })
				}) {
					note(o.clock(q.Time))
				}
			}
		}
		// One packet alone may be a middlebox's answer, or one that the tap missed.
		if early >= 2 {
			v.Began = first
		}
		if late >= 2 {
			v.Ended = last
		}
	}
}

// dated tells whether a capture's times are those of a clock.
func dated(v *View) bool {
	return v.Capture.Packets > 0 && !v.Capture.Undated && !v.Capture.MadeUp
}

// together tells of two captures without a packet in common whether they are of one run by
// their clocks: all that would be in common fell outside of one of them. Then what each end
// got and the other does not show leaving was sent before that one began or after it ended;
// a packet within shows other clocks or another attempt.
func (w *Wire) together() bool {
	a, b := w.Ends[0].View, w.Ends[1].View
	if !dated(a) || !dated(b) {
		return false
	}
	const (
		slack = time.Second     // clocks set by NTP, and the way
		pause = 5 * time.Minute // one negotiation does not last longer
	)
	cookie := slices.ContainsFunc(a.Negotiations, func(n *facts.Negotiation) bool {
		return n.InitSPI != 0 && slices.ContainsFunc(b.Negotiations, func(m *facts.Negotiation) bool { return m.InitSPI == n.InitSPI })
	})
	near := slack
	if cookie {
		near = pause
	}
	if a.Capture.First.After(b.Capture.Last.Add(near)) || b.Capture.First.After(a.Capture.Last.Add(near)) {
		return false
	}
	for e := range w.Ends {
		v, o := w.Ends[e].View, w.Ends[1-e].View
		within := func(t time.Time) bool {
			return t.After(v.Capture.First.Add(slack)) && t.Before(v.Capture.Last.Add(-slack))
		}
		for _, n := range o.Negotiations {
			for i := range n.Messages {
				if m := &n.Messages[i]; w.from(n, m) == e && within(m.Time) {
					return false
				}
			}
		}
		for _, f := range o.ESP {
			if f.Trusted && w.EndOf(f.Src.Addr()) == e && (f.Sampled || slices.ContainsFunc(f.Sample, func(p facts.ESPPacket) bool { return within(p.Time) })) {
				return false
			}
		}
	}
	return true
}

// Partly tells whether one of the two ends' captures surely missed a part of what the other shows.
func (w *Wire) Partly() bool {
	if !w.Both() {
		return false
	}
	for e := range w.Ends {
		if v := w.Ends[e].View; v.Blind || !v.Began.IsZero() || !v.Ended.IsZero() {
			return true
		}
	}
	return false
}

// Alone is the tunnel as one end's capture shows it, with what both say of the addresses:
// for the time in which the other capture did not run.
func (w *Wire) Alone(end int) *Wire {
	v := *w.Ends[end].View
	v.Began, v.Ended = time.Time{}, time.Time{}
	o := &Wire{Addrs: w.Addrs, Comparable: true, Views: []*View{&v}, Ends: w.Ends}
	o.Ends[end].View, o.Ends[1-end].View = &v, nil
	for _, e := range w.ICMP {
		if e.View == w.Ends[end].View {
			e.View = &v
			o.ICMP = append(o.ICMP, e)
		}
	}
	o.merge()
	o.flows()
	o.connections()
	return o
}

// Ran tells whether nothing proves that the capture did not run at time t.
func (v *View) Ran(t time.Time) bool {
	const travel = 200 * time.Millisecond
	return !v.Blind && (v.Began.IsZero() || !t.Add(travel).Before(v.Began)) && (v.Ended.IsZero() || !t.Add(travel).After(v.Ended))
}

// Saw tells whether the capture has packets from before and after time t, so that it ran then.
func (v *View) Saw(t time.Time) bool { return v.Ran(t) && v.Before(t) && v.After(t) }

// merge matches every negotiation's messages between the captures.
func (w *Wire) merge() {
	byCookie := map[uint64]*Attempt{}
	for _, v := range w.Views {
		for _, n := range v.Negotiations {
			a := byCookie[n.InitSPI]
			if a == nil {
				a = &Attempt{InitSPI: n.InitSPI, Initiator: max(0, w.EndOf(n.Initiator.Addr()))}
				byCookie[n.InitSPI] = a
				w.Attempts = append(w.Attempts, a)
			}
			a.Negs = append(a.Negs, n)
			a.NegViews = append(a.NegViews, v)
		}
	}
	for _, a := range w.Attempts {
		w.mergeAttempt(a)
	}
	w.Attempts = slices.DeleteFunc(w.Attempts, func(a *Attempt) bool { return len(a.Msgs) == 0 })
	slices.SortStableFunc(w.Attempts, func(a, b *Attempt) int { return a.Start.Compare(b.Start) })
}

type seenMsg struct {
	m    *facts.Message
	used bool
}

func (w *Wire) mergeAttempt(a *Attempt) {
	var at [2][2][]*seenMsg // by end where seen, by sender
	var mid [2][]*seenMsg
	for i, n := range a.Negs {
		v := a.NegViews[i]
		for k := range n.Messages {
			m := &n.Messages[k]
			f := w.from(n, m)
			s := &seenMsg{m: m}
			if v.End < 0 {
				mid[f] = append(mid[f], s)
			} else {
				at[v.End][f] = append(at[v.End][f], s)
			}
		}
	}
	for from := range 2 {
		to := 1 - from
		sv, rv := w.Ends[from].View, w.Ends[to].View
		sent, got := at[from][from], at[to][from]
		// The sender's own capture: what it sent, with doubles of the tap folded.
		var msgs []*Msg
		for _, s := range sent {
			if s.m.DuplicateOf >= 0 {
				s.used = true
				continue
			}
			m := &Msg{Message: s.m, From: from, At: sv.clock(s.m.Time)}
			m.Seen[from] = s.m
			msgs = append(msgs, m)
		}
		take := func(m *Msg, r *seenMsg) {
			r.used = true
			if m.Seen[to] == nil || !m.Seen[to].Complete && r.m.Complete {
				if m.Seen[to] != nil {
					m.Copies = append(m.Copies, m.Seen[to])
				}
				m.Seen[to] = r.m
			} else {
				m.Copies = append(m.Copies, r.m)
			}
		}
		for _, r := range got {
			if r.m.IPID == 0 {
				continue
			}
			for _, m := range msgs {
				if m.IPID == r.m.IPID && (sameBytes(m.Message, r.m) || !r.m.Complete && r.m.Hash == 0 && r.m.MessageID == m.MessageID) &&
					near(m.At, rv.clock(r.m.Time), rv.Synced) {
					take(m, r)
					break
				}
			}
		}
		for _, r := range got {
			if r.used {
				continue
			}
			t := rv.clock(r.m.Time)
			var best *Msg
			for _, m := range msgs {
				if !sameBytes(m.Message, r.m) || m.Seen[to] != nil && r.m.DuplicateOf < 0 {
					continue
				}
				if m.At.After(t.Add(2 * time.Second)) {
					continue
				}
				if best == nil || m.At.After(best.At) || m.Seen[to] == nil && best.Seen[to] != nil {
					best = m
				}
			}
			if best != nil {
				take(best, r)
			}
		}
		// Arrived and not seen leaving.
		var last *Msg
		for _, r := range got {
			if r.used {
				continue
			}
			if r.m.DuplicateOf >= 0 && last != nil && sameBytes(last.Message, r.m) {
				last.Copies = append(last.Copies, r.m)
				continue
			}
			m := &Msg{Message: r.m, From: from, At: rv.clock(r.m.Time)}
			m.Seen[to] = r.m
			msgs = append(msgs, m)
			last = m
		}
		for _, s := range mid[from] {
			ok := false
			for _, m := range msgs {
				if sameBytes(m.Message, s.m) && (m.IPID == s.m.IPID || m.IPID == 0) {
					m.Mid = append(m.Mid, s.m)
					ok = true
					break
				}
			}
			if !ok && s.m.DuplicateOf < 0 {
				msgs = append(msgs, &Msg{Message: s.m, From: from, At: s.m.Time, Mid: []*facts.Message{s.m}})
			}
		}
		for _, m := range msgs {
			w.judge(m, sv, rv)
		}
		a.Msgs = append(a.Msgs, msgs...)
	}
	slices.SortStableFunc(a.Msgs, func(x, y *Msg) int {
		if c := x.At.Compare(y.At); c != 0 {
			return c
		}
		// Captures without usable time stamps still have an order, where one capture saw both.
		for e := range x.Seen {
			if x.Seen[e] != nil && y.Seen[e] != nil {
				return cmp.Compare(x.Seen[e].Packet, y.Seen[e].Packet)
			}
		}
		return 0
	})
	if len(a.Msgs) == 0 {
		return
	}
	for i, m := range a.Msgs {
		m.Seq = i
	}
	a.Start, a.End = a.Msgs[0].At, a.Msgs[len(a.Msgs)-1].At
	a.units()
}

func near(a, b time.Time, synced bool) bool {
	if !synced {
		return true
	}
	d := b.Sub(a)
	return d > -3*time.Second && d < 60*time.Second
}

// judge says what became of one message.
func (w *Wire) judge(m *Msg, sv, rv *View) {
	s, r := m.Sent(), m.Rcvd()
	switch {
	case s != nil && r != nil && r.Complete:
		m.Fate = Arrived
		w.Common++
		m.Changes = changes(s, r)
	case s != nil && r != nil:
		m.Fate = Partial
		w.Common++
		m.Got = max(1, len(r.Fragments))
		m.GotFirst = len(r.Fragments) == 0 || r.Fragments[0].Offset == 0
		m.Sure = rv.After(m.At)
	case s != nil && rv != nil && !rv.Ran(m.At):
		m.Fate = Unseen
	case s != nil && rv != nil:
		m.Fate = Lost
		m.Sure = rv.After(m.At.Add(time.Second))
		// Fragments after the first without it carry no ports and stand apart.
		for _, o := range rv.Orphans {
			if o.IPID == s.IPID && w.EndOf(o.Src) == m.From && len(s.Fragments) > 0 {
				m.Fate, m.Got, m.Sure = Partial, len(o.Fragments), true
				w.Common++
			}
		}
		if !rv.Before(m.At.Add(2*time.Second)) && rv.Capture.Packets > 0 && rv.Synced && len(rv.Negotiations) > 0 {
			m.Sure = false
		}
	case s == nil && r != nil && sv != nil && sv.Before(m.At.Add(-time.Second)) && sv.After(m.At) && sv.Synced:
		m.Fate = Injected
	default:
		m.Fate = Unseen
	}
}

// changes lists what the path did to a packet that arrived.
func changes(s, r *facts.Message) []string {
	var out []string
	add := func(what string, a, b any) { out = append(out, fmt.Sprintf("%s %v became %v", what, a, b)) }
	if s.Src.Addr() != r.Src.Addr() {
		add("source address", s.Src.Addr(), r.Src.Addr())
	}
	if s.Src.Port() != r.Src.Port() {
		add("source port", s.Src.Port(), r.Src.Port())
	}
	if s.Dst.Addr() != r.Dst.Addr() {
		add("destination address", s.Dst.Addr(), r.Dst.Addr())
	}
	if s.Dst.Port() != r.Dst.Port() {
		add("destination port", s.Dst.Port(), r.Dst.Port())
	}
	if s.DSCP != r.DSCP {
		add("DSCP", s.DSCP, r.DSCP)
	}
	if n, m := max(1, len(s.Fragments)), max(1, len(r.Fragments)); n != m {
		switch {
		case n == 1:
			out = append(out, fmt.Sprintf("cut into %d fragments on the way", m))
		case m == 1:
			out = append(out, fmt.Sprintf("%d fragments were put together on the way", n))
		default:
			out = append(out, fmt.Sprintf("%d fragments became %d", n, m))
		}
	}
	return out
}

// units folds the copies of each message.
func (a *Attempt) units() {
	type key struct {
		from int
		hash uint64
		id   uint32
		x    uint8
		part int
		l    int
	}
	by := map[key]*Unit{}
	for _, m := range a.Msgs {
		k := key{from: m.From, hash: m.Hash}
		if m.Hash == 0 {
			k = key{m.From, m.Head, m.MessageID, m.Exchange, int(m.Part), m.Length}
		}
		u := by[k]
		if u == nil {
			// An incomplete or snapped copy and a complete one of the same head are one message.
			for _, o := range a.Units {
				f := o.First()
				if f.From == m.From && f.Head != 0 && f.Head == m.Head && f.Length == m.Length && (m.Hash == 0 || f.Hash == 0) {
					u, by[k] = o, o
					break
				}
			}
		}
		if u == nil {
			u = &Unit{Step: m.Step, Label: m.Label, From: m.From, FromInitiator: m.From == a.Initiator, Response: m.Response}
			by[k] = u
			a.Units = append(a.Units, u)
		}
		u.Msgs = append(u.Msgs, m)
	}
	for _, u := range a.Units {
		for _, m := range u.Msgs {
			u.Sent++
			switch m.Fate {
			case Arrived:
				u.Arrived++
			case Partial:
				u.Partial++
				u.Lost++
				if m.Sure {
					u.Sure++
				}
			case Lost:
				u.Lost++
				if m.Sure {
					u.Sure++
				}
			case Unseen, Injected:
				if m.Rcvd() != nil && m.Rcvd().Complete {
					u.Arrived++
				} else if m.Rcvd() != nil {
					u.Partial++
				}
			}
		}
	}
}
