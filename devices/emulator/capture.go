package emulator

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// play is a recording shown to the captures that run on a tunnel's ends. It waits until
// traffic flows: a probe, a negotiation, or a short time after the last end's capture
// began; then both ends see the same recording by the same clock.
type play struct {
	armed time.Time // moment of the latest capture's start
	both  bool      // captures run at both ends: no need to wait for the other one
	shows []showing
}

// showing is one recording from one moment on.
type showing struct {
	base  time.Time
	spec  playSpec
	rec   *recording
	skip  bool // the tunnel was up already: what is seen is its traffic, not its negotiation
	spoke int
}

// Waiting times for traffic that nobody asked for.
const (
	graceBoth = 700 * time.Millisecond
	graceOne  = 3 * time.Second
)

// traffic starts the recording that fits the tunnel's state, unless one was started.
func (p *play) traffic(t *tunnel, at time.Time) {
	if len(p.shows) == 0 {
		p.show(t, at, t.state == Up)
	}
}

// negotiation shows a new one after what was seen so far.
func (p *play) negotiation(t *tunnel, at time.Time) { p.show(t, at, false) }

// maxShowings bounds what one capture can be shown.
const maxShowings = 16

func (p *play) show(t *tunnel, at time.Time, skip bool) {
	spec, rec := t.playback(t.state)
	if rec == nil || len(p.shows) >= maxShowings {
		return
	}
	p.shows = append(p.shows, showing{base: at.Add(30 * time.Millisecond), spec: spec, rec: rec, skip: skip, spoke: t.spokeEnd(spec)})
}

// due starts the recording when nothing else did for long enough.
func (p *play) due(t *tunnel, now time.Time) {
	wait := graceOne
	if p.both {
		wait = graceBoth
	}
	if now.Sub(p.armed) >= wait && t.state != Down {
		p.traffic(t, p.armed.Add(wait))
	}
}

// packets returns what passed end i up to now, moved to the lab's time and addresses.
func (p *play) packets(t *tunnel, i int, now time.Time) []packet {
	var out []packet
	for n, s := range p.shows {
		until := now
		if n+1 < len(p.shows) && p.shows[n+1].base.Before(until) {
			until = p.shows[n+1].base // the old SAs' traffic ends where new ones begin
		}
		out = append(out, s.packets(t, i, until)...)
	}
	return out
}

func (s showing) packets(t *tunnel, i int, now time.Time) []packet {
	list, other := s.rec.hq, 1-s.spoke
	if i == s.spoke {
		list = s.rec.spoke
	}
	to := map[netip.Addr]netip.Addr{
		labSpoke: t.spec.Ends[s.spoke].Address,
		labHQ:    t.spec.Ends[other].Address,
	}
	from, until := s.rec.window(s.spec)
	if s.skip {
		from = max(from, s.rec.firstESP())
	}
	var out []packet
	for _, q := range list {
		off := q.at.Sub(s.rec.begin)
		if off < from || off >= until {
			continue
		}
		at := s.base.Add(off - from)
		if at.After(now) {
			continue
		}
		if _, _, esp := q.esp(); s.skip && !esp {
			continue
		}
		out = append(out, q.move(at, to))
	}
	return out
}

// firstESP is the offset of the first ESP packet.
func (r *recording) firstESP() time.Duration {
	first := r.end.Sub(r.begin)
	for _, list := range [][]packet{r.hq, r.spoke} {
		for _, q := range list {
			if _, _, ok := q.esp(); ok {
				first = min(first, q.at.Sub(r.begin))
				break
			}
		}
	}
	return first
}

// capture is one packet capture on a device.
type capture struct {
	name     string
	kind     string // raw-data, isakmp, asp-drop ...
	ifname   string
	acl      string
	buffer   int // bytes
	snaplen  int
	circular bool
	matches  []match
	options  string // as show capture prints them
	started  time.Time
	stopped  time.Time // zero while it runs
	plays    []seenPlay
	kept     []packet // what a stopped capture holds

	// IOS
	limit      time.Duration
	configured bool // monitor capture: exists, may not have been started
	point      []string
}

type seenPlay struct {
	t *tunnel
	i int
	p *play
}

func (c *capture) running() bool { return !c.started.IsZero() && c.stopped.IsZero() }

// start lets the capture see the tunnels of its device.
func (c *capture) start(d *Device) {
	now := d.lab.now()
	c.started, c.stopped, c.kept, c.plays = now, time.Time{}, nil, nil
	for _, e := range d.ends {
		e.t.settle()
		t := e.t
		if t.play != nil {
			t.play.due(t, now)
		}
		running := [2]bool{}
		for j, other := range t.dev {
			running[j] = other != nil && other.capturing(t, c)
		}
		if t.play == nil || !running[0] && !running[1] {
			t.play = &play{}
		}
		if len(t.play.shows) == 0 {
			t.play.armed = now
			t.play.both = t.play.both || running[1-e.i] || t.dev[1-e.i] == nil
		}
		c.plays = append(c.plays, seenPlay{t, e.i, t.play})
	}
}

// capturing tells whether a capture other than c watches t on this device.
func (d *Device) capturing(t *tunnel, c *capture) bool {
	for _, x := range d.captures {
		if x != c && x.running() {
			for _, p := range x.plays {
				if p.t == t {
					return true
				}
			}
		}
	}
	return false
}

func (c *capture) stop(now time.Time) {
	if !c.running() {
		return
	}
	c.kept = c.packets(now)
	c.stopped = now
	c.plays = nil
}

// packets returns what the capture holds now.
func (c *capture) packets(now time.Time) []packet {
	if !c.running() || c.kept != nil { // kept: the unit is no longer the active one
		return c.kept
	}
	if c.limit > 0 && now.Sub(c.started) > c.limit {
		now = c.started.Add(c.limit)
	}
	var all []packet
	for _, s := range c.plays {
		s.p.due(s.t, now)
		for _, q := range s.p.packets(s.t, s.i, now) {
			if !q.at.Before(c.started) && c.wants(q) {
				all = append(all, q)
			}
		}
	}
	sortPackets(all)
	var out []packet
	size := 0
	for _, q := range all {
		if len(q.data) > c.snaplen && c.snaplen > 0 {
			q.data = q.data[:c.snaplen]
		}
		if c.buffer > 0 && size+len(q.data) > c.buffer {
			if !c.circular {
				break
			}
			for len(out) > 0 && size+len(q.data) > c.buffer {
				size -= len(out[0].data)
				out = out[1:]
			}
		}
		size += len(q.data)
		out = append(out, q)
	}
	return out
}

func (c *capture) bytes(now time.Time) int {
	n := 0
	for _, q := range c.packets(now) {
		n += len(q.data)
	}
	return n
}

func (c *capture) wants(q packet) bool {
	if c.kind != "raw-data" {
		return false
	}
	h, ok := parseHeader(q.ip())
	if !ok {
		return false
	}
	if len(c.matches) == 0 {
		return true
	}
	for _, m := range c.matches {
		if m.matches(h) {
			return true
		}
	}
	return false
}

// match is one filter clause. A clause with a port sees no later fragments: they have none.
type match struct {
	text         string
	proto        int // -1: any IP
	src, dst     netip.Prefix
	sport, dport int // -1: any
	oneWay       bool
}

func (m match) matches(h header) bool {
	fits := func(src, dst netip.Addr, sport, dport int) bool {
		return m.src.Contains(src) && m.dst.Contains(dst) &&
			(m.sport < 0 || m.sport == sport) && (m.dport < 0 || m.dport == dport)
	}
	if m.proto >= 0 && m.proto != h.proto {
		return false
	}
	return fits(h.src, h.dst, h.sport, h.dport) || !m.oneWay && fits(h.dst, h.src, h.dport, h.sport)
}

var anyNet = netip.MustParsePrefix("0.0.0.0/0")

var protoNumbers = map[string]int{"ip": -1, "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "eigrp": 88, "ospf": 89}

var portNames = map[string]int{"isakmp": 500, "non500-isakmp": 4500, "domain": 53, "ssh": 22, "https": 443, "www": 80, "snmp": 161, "syslog": 514}

// parseMatch reads PROTO SRC [eq PORT] DST [eq PORT] and returns how many words it took,
// or the index of the word that it did not understand.
func parseMatch(w []string, inverse bool) (m match, used, bad int) {
	m = match{sport: -1, dport: -1}
	i := 0
	if len(w) == 0 {
		return m, 0, 0
	}
	p, ok := protoNumbers[w[0]]
	if !ok {
		n, err := strconv.Atoi(w[0])
		if err != nil || n < 0 || n > 255 {
			return m, 0, 0
		}
		p = n
	}
	m.proto = p
	i++
	address := func() (netip.Prefix, bool) {
		switch {
		case i < len(w) && w[i] == "any":
			i++
			return anyNet, true
		case i+1 < len(w) && w[i] == "host":
			a, err := netip.ParseAddr(w[i+1])
			if err != nil || !a.Is4() {
				i++
				return anyNet, false
			}
			i += 2
			return netip.PrefixFrom(a, 32), true
		case i+1 < len(w):
			a, err := netip.ParseAddr(w[i])
			bits, ok := maskBits(w[i+1], inverse)
			if err != nil || !a.Is4() || !ok {
				return anyNet, false
			}
			i += 2
			return netip.PrefixFrom(a, bits).Masked(), true
		}
		return anyNet, false
	}
	port := func() (int, bool) {
		if i+1 < len(w) && w[i] == "eq" && (m.proto == 6 || m.proto == 17) {
			n, named := portNames[w[i+1]]
			if !named {
				var err error
				if n, err = strconv.Atoi(w[i+1]); err != nil || n < 0 || n > 65535 {
					return -1, false
				}
			}
			i += 2
			return n, true
		}
		return -1, true
	}
	if m.src, ok = address(); !ok {
		return m, 0, i
	}
	if m.sport, ok = port(); !ok {
		return m, 0, i + 1
	}
	if m.dst, ok = address(); !ok {
		return m, 0, i
	}
	if m.dport, ok = port(); !ok {
		return m, 0, i + 1
	}
	m.text = strings.Join(w[:i], " ")
	return m, i, -1
}

func maskBits(s string, inverse bool) (int, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return 0, false
	}
	b := a.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	if inverse {
		v = ^v
	}
	bits := 0
	for ; bits < 32 && v&(1<<(31-bits)) != 0; bits++ {
	}
	return bits, v<<bits == 0 || bits == 32
}

func sortPackets(ps []packet) {
	for i := 1; i < len(ps); i++ {
		for j := i; j > 0 && ps[j].at.Before(ps[j-1].at); j-- {
			ps[j], ps[j-1] = ps[j-1], ps[j]
		}
	}
}

// describe is a packet's line in show capture.
func describe(q packet) string {
	ip := q.ip()
	h, ok := parseHeader(ip)
	if !ok {
		return fmt.Sprintf("%d bytes", q.orig)
	}
	payload := h.total - h.hlen
	frag := ""
	if h.more || h.offset > 0 {
		plus := ""
		if h.more {
			plus = "+"
		}
		frag = fmt.Sprintf(" (frag %d:%d@%d%s)", h.id, payload, h.offset, plus)
	}
	switch {
	case h.proto == 17 && h.sport >= 0:
		n := payload - 8
		if len(ip) >= h.hlen+8 {
			n = int(ip[h.hlen+4])<<8 | int(ip[h.hlen+5]) - 8
		}
		return fmt.Sprintf("%s.%d > %s.%d:  udp %d%s", h.src, h.sport, h.dst, h.dport, n, frag)
	case h.proto == 17:
		return fmt.Sprintf("%s > %s: %s", h.src, h.dst, strings.TrimPrefix(frag, " "))
	case h.proto == 1:
		kind := "icmp"
		if len(ip) > h.hlen+1 && h.offset == 0 {
			switch ip[h.hlen] {
			case 0:
				kind = "icmp: echo reply"
			case 8:
				kind = "icmp: echo request"
			case 3:
				kind = "icmp: unreachable"
			case 11:
				kind = "icmp: time exceeded"
			}
		}
		return fmt.Sprintf("%s > %s: %s%s", h.src, h.dst, kind, frag)
	}
	return fmt.Sprintf("%s > %s:  ip-proto-%d, length %d%s", h.src, h.dst, h.proto, payload, frag)
}
