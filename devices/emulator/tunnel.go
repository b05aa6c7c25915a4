package emulator

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
)

// State of a tunnel between its two ends.
type State string

// States.
const (
	Up    State = "up"    // both ends have IKE and IPsec SAs
	Stuck State = "stuck" // the negotiation hangs and starts again
	Stale State = "stale" // one end (the holder) keeps SAs that the other does not have
	Down  State = "down"  // no SA; the next interesting traffic negotiates
)

// tunnel is one pair of ends. Its methods are called with Lab.mu held.
//
//	         negotiate                      reboot of one end
//	Down ───────────────► leads_to (Up|Stuck)   Up ───────► Stale
//	 ▲                                              │
//	 └────── clear at an end that has SAs ──────────┘
type tunnel struct {
	lab    *Lab
	spec   tunnelSpec
	dev    [2]*Device // nil: an end that the lab does not run
	state  State
	leads  State
	holder int
	since  time.Time // the present SAs' birth, or the begin of the state
	seen   time.Time // counters and logs are settled up to here
	wakeAt time.Time

	spi  [2]uint32 // inbound SPI of each end
	conn [2]int    // IOS connection ids, ASA index
	enc  [2]float64
	dec  [2]float64

	deleted [2]time.Time // IOS lists a dying IKE SA until then
	dying   [2]int       // its connection id
	nextLog time.Time    // begin of the next attempt's log lines
	pending []pendingLine
	plays   int // negotiations so far: which recording comes next
	play    *play
}

type pendingLine struct {
	at   time.Time
	end  int
	text string
}

func (l *Lab) newTunnel(spec tunnelSpec) *tunnel {
	t := &tunnel{lab: l, spec: spec, state: spec.Start, leads: spec.LeadsTo, seen: l.started, since: l.started.Add(-spec.UpFor)}
	for i, e := range spec.Ends {
		if d := l.byName[e.Device]; d != nil {
			t.dev[i] = d
			d.ends = append(d.ends, end{t, i})
			if e.Device == spec.Holder {
				t.holder = i
			}
		}
	}
	t.newSAs()
	switch t.state {
	case Up:
		t.count(spec.UpFor)
	case Stale:
		// both directions ran until the other end forgot; then only the holder counts on
		t.state = Up
		t.count(spec.UpFor - spec.StaleFor)
		t.state = Stale
		t.count(spec.StaleFor)
	case Stuck:
		t.since = l.started.Add(-min(l.stuckFor(spec), 20*time.Second))
	}
	if t.state == Stuck || t.state == Stale {
		t.nextLog = l.started.Add(-30 * time.Minute)
		t.logUpTo(l.started)
	}
	return t
}

func (l *Lab) stuckFor(spec tunnelSpec) time.Duration {
	if spec.attemptGap > 0 {
		return spec.attemptGap
	}
	return time.Minute
}

// newSAs draws new SPIs and ids. When a recording shows this state, its SPIs are taken,
// so that captures and outputs tell one story.
func (t *tunnel) newSAs() {
	for i := range t.spi {
		t.spi[i] = t.lab.random.Uint32()&0x7fffffff | 0x10000000
		t.conn[i] = 1001 + t.lab.random.IntN(900)
	}
	state := t.state
	if state == Down {
		state = Up
	}
	p, rec := t.playback(state)
	if rec == nil {
		return
	}
	_, to := rec.window(p)
	for _, pk := range rec.hq {
		if pk.at.Sub(rec.begin) >= to {
			break
		}
		spi, src, ok := pk.esp()
		if !ok {
			continue
		}
		// an outbound SPI of the sender is the inbound SPI of the receiver
		if src == labHQ {
			t.spi[t.spokeEnd(p)] = spi
		} else {
			t.spi[1-t.spokeEnd(p)] = spi
		}
	}
}

// playback returns what a capture shows in that state, nil when nothing fits.
func (t *tunnel) playback(s State) (playSpec, *recording) {
	list := t.spec.Playback[s]
	if len(list) == 0 {
		return playSpec{}, nil
	}
	p := list[t.plays%len(list)]
	return p, t.lab.recordings[p.Recording]
}

// spokeEnd is the end that plays the lab's spoke.
func (t *tunnel) spokeEnd(p playSpec) int {
	if t.spec.Ends[0].Device == p.Spoke {
		return 0
	}
	return 1
}

func (t *tunnel) initiator() int {
	if t.spec.Ends[0].Device == t.spec.Initiator {
		return 0
	}
	return 1
}

// count lets the background traffic run for d.
func (t *tunnel) count(d time.Duration) {
	if d <= 0 {
		return
	}
	n := [2]float64{t.spec.Rate[0] * d.Seconds(), t.spec.Rate[1] * d.Seconds()}
	switch t.state {
	case Up:
		for i := range n {
			t.enc[i] += n[i]
			t.dec[1-i] += n[i]
		}
	case Stale:
		t.enc[t.holder] += n[t.holder]
	}
}

// settle brings the tunnel to the present moment.
func (t *tunnel) settle() {
	now := t.lab.now()
	if t.play != nil && t.watched() {
		t.play.due(t, now) // before anything that happens now
	}
	if !now.After(t.seen) {
		return
	}
	if t.state == Down && !t.wakeAt.IsZero() && !now.Before(t.wakeAt) {
		wake := t.wakeAt
		t.seen = wake
		t.negotiate(wake, t.initiator())
	}
	t.count(now.Sub(t.seen))
	t.logUpTo(now)
	t.seen = now
}

// logUpTo writes the lines of the attempts that began before now; of a long pause only
// the last half hour is told.
func (t *tunnel) logUpTo(now time.Time) {
	if (t.state == Stuck || t.state == Stale) && t.spec.attemptGap > 0 {
		if now.Sub(t.nextLog) > 30*time.Minute {
			t.nextLog = now.Add(-30 * time.Minute)
		}
		for ; !t.nextLog.After(now); t.nextLog = t.nextLog.Add(t.spec.attemptGap) {
			for i, e := range t.spec.Ends {
				for _, l := range t.spec.attempts[e.Device] {
					t.pending = append(t.pending, pendingLine{t.nextLog.Add(l.at), i, l.text})
				}
			}
			if t.state == Stuck && t.nextLog.After(t.since) {
				t.since = t.nextLog
				t.conn[0]++ // every attempt has an id of its own
				t.conn[1]++
			}
			t.flushLog(t.nextLog.Add(t.spec.attemptGap))
		}
	}
	t.flushLog(now)
}

func (t *tunnel) flushLog(now time.Time) {
	rest := t.pending[:0]
	for _, p := range t.pending {
		if p.at.After(now) || p.at.After(t.lab.now()) {
			rest = append(rest, p)
			continue
		}
		t.logAt(p.end, p.at, p.text)
	}
	t.pending = rest
}

// logAt writes a line at an end, with the SPI of the holder's outbound SA filled in.
func (t *tunnel) logAt(i int, at time.Time, text string) {
	d := t.dev[i]
	if d == nil {
		return
	}
	out := t.spi[1-t.holder]
	text = strings.NewReplacer("{SPI}", fmt.Sprintf("%08X", out), "{SPIDEC}", fmt.Sprint(out)).Replace(text)
	d.logLine(at, text)
}

// negotiate is a new attempt at the given moment, begun by end i.
func (t *tunnel) negotiate(at time.Time, i int) {
	t.wakeAt = time.Time{}
	t.pending = nil
	t.plays++
	t.state = t.leads
	t.since, t.seen = at, at
	t.enc, t.dec = [2]float64{}, [2]float64{}
	t.newSAs()
	switch t.state {
	case Up:
		for j := range t.dev {
			if t.dev[j] != nil {
				t.dev[j].logUp(t, j, at, j == i)
			}
		}
	case Stuck, Stale:
		t.nextLog = at
	case Down:
		t.wakeAt = at.Add(t.spec.WakesAfter)
	}
	if t.play != nil && t.watched() {
		t.play.negotiation(t, at)
	}
}

// watched tells whether a capture runs at one of the ends.
func (t *tunnel) watched() bool {
	for _, d := range t.dev {
		if d != nil && d.capturing(t, nil) {
			return true
		}
	}
	return false
}

// down forgets the SAs of both ends; the next traffic negotiates.
func (t *tunnel) down(at time.Time) {
	t.state = Down
	t.since, t.seen = at, at
	t.pending = nil
	t.wakeAt = at.Add(t.spec.WakesAfter)
}

// lists tells whether an end lists an IKE SA (in whatever state).
func (t *tunnel) lists(i int) bool {
	switch t.state {
	case Up, Stuck:
		return true
	case Stale:
		return i == t.holder
	}
	return false
}

// carries tells whether an end lists IPsec SAs.
func (t *tunnel) carries(i int) bool {
	return t.state == Up || t.state == Stale && i == t.holder
}

// clear is an administrator's clear at end i. It reports whether there was anything.
func (t *tunnel) clear(i int) bool {
	t.settle()
	if !t.lists(i) {
		return false
	}
	now := t.lab.now()
	live := t.state == Up
	for j := range t.dev {
		if t.dev[j] == nil || j != i && !live {
			continue
		}
		t.dev[j].logDown(t, j, now, j == i)
		t.deleted[j], t.dying[j] = now.Add(45*time.Second), t.conn[j]
	}
	t.down(now)
	return true
}

// reboot makes end i forget; the other end keeps what it has.
func (t *tunnel) reboot(i int) {
	t.settle()
	switch {
	case t.state == Up:
		t.state, t.holder = Stale, 1-i
	case t.state == Stale && i == t.holder:
		t.down(t.lab.now())
	case t.state == Stuck:
		t.down(t.lab.now())
	}
	t.deleted[i] = time.Time{}
}

// set forces a state, as an event from outside.
func (t *tunnel) set(s State) {
	t.settle()
	now := t.lab.now()
	if s == Down {
		t.down(now)
		return
	}
	if s == Stale {
		t.state, t.seen, t.nextLog = Stale, now, now
		return
	}
	keep := t.leads
	t.leads = s
	t.negotiate(now, t.initiator())
	t.leads = keep
}

// pingResult of n echo requests through the tunnel.
type pingResult struct {
	sent, lost int
	firstLost  bool // the first ones were lost while the tunnel came up
	tooBig     bool // refused locally: the packet with its overhead does not fit and must not be fragmented
}

// maxInner is the largest inner packet (bytes) that fits a path MTU of 1500 with
// AES-CBC and SHA-1 in tunnel mode.
const maxInner = 1438

// probe sends n pings of size bytes (IP length) from end i through the tunnel.
func (t *tunnel) probe(i, n, size int, df bool) pingResult {
	t.settle()
	r := pingResult{sent: n}
	now := t.lab.now()
	frag := size > maxInner
	if frag && df {
		r.lost, r.tooBig = n, true
		return r
	}
	switch t.state {
	case Down:
		t.negotiate(now, i)
		if t.state != Up {
			r.lost = n
			return r
		}
		r.lost, r.firstLost = 1, true
		t.carry(i, float64(n-1))
	case Up:
		if frag && t.spec.DropsFrags != "" {
			r.lost = n
			t.enc[i] += float64(n)
			break
		}
		t.carry(i, float64(n))
	case Stale:
		r.lost = n
		if i == t.holder {
			t.enc[i] += float64(n)
		}
	case Stuck:
		r.lost = n
	}
	if t.play != nil {
		t.play.traffic(t, now)
	}
	return r
}

// carry counts n requests from end i and their answers.
func (t *tunnel) carry(i int, n float64) {
	t.enc[i] += n
	t.dec[1-i] += n
	t.enc[1-i] += n
	t.dec[i] += n
}

// end is one side of a tunnel, as a device sees it.
type end struct {
	t *tunnel
	i int
}

func (e end) spec() endSpec        { return e.t.spec.Ends[e.i] }
func (e end) local() netip.Addr    { return e.t.spec.Ends[e.i].Address }
func (e end) remote() netip.Addr   { return e.t.spec.Ends[1-e.i].Address }
func (e end) spiIn() uint32        { return e.t.spi[e.i] }
func (e end) spiOut() uint32       { return e.t.spi[1-e.i] }
func (e end) encaps() int64        { return int64(math.Floor(e.t.enc[e.i])) }
func (e end) decaps() int64        { return int64(math.Floor(e.t.dec[e.i])) }
func (e end) initiates() bool      { return e.t.initiator() == e.i }
func (e end) localNet() netipNet   { return netipNet(e.t.spec.Ends[e.i].Networks[0]) }
func (e end) remoteNet() netipNet  { return netipNet(e.t.spec.Ends[1-e.i].Networks[0]) }
func (e end) age() time.Duration   { return e.t.lab.now().Sub(e.t.since) }
func (e end) ezvpn() bool          { return e.t.spec.Kind == "ezvpn" }
func (e end) headend() bool        { return e.i == 0 }
func (e end) sizeOf(n int64) int64 { return n * 148 }

// stuckState is the IKE state that this end shows while the tunnel is stuck.
func (e end) stuckState() string { return e.t.spec.Stuck[e.spec().Device].State }

// netipNet prints as Cisco devices write networks.
type netipNet netip.Prefix

func (n netipNet) addr() string { return netip.Prefix(n).Masked().Addr().String() }
func (n netipNet) mask() string { return maskOf(netip.Prefix(n).Bits()) }

// wild is the inverse mask.
func (n netipNet) wild() string {
	m := ^uint32(0) >> netip.Prefix(n).Bits()
	if netip.Prefix(n).Bits() == 0 {
		m = ^uint32(0)
	}
	return fmt.Sprintf("%d.%d.%d.%d", m>>24, m>>16&255, m>>8&255, m&255)
}

func maskOf(bits int) string {
	m := uint32(0)
	if bits > 0 {
		m = ^uint32(0) << (32 - bits)
	}
	return fmt.Sprintf("%d.%d.%d.%d", m>>24, m>>16&255, m>>8&255, m&255)
}
