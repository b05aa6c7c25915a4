package ike

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math"
	"net/netip"
	"slices"
	"sort"

	"vpnbot/diag/facts"
)

// Bounds of what is kept of one capture.
const (
	maxNegotiations  = 100000
	maxMessages      = 400   // of one negotiation while reading: the first ones and the last ones
	fewMessages      = 24    // the least for up to manyNegotiations, beyond them half of it
	allMessages      = 48000 // of all negotiations
	manyNegotiations = 4000
	maxDetailBytes   = 16 << 20
	maxKeepalives    = 4096
	maxGarbage       = 1024
	maxHosts         = 1024
	maxProtocols     = 8
	maxOrphans       = 1024
	maxICMP          = 4096
	maxKeepTimes     = 64
	maxPaths         = 16
	maxTwins         = 16 // negotiations with one cookie
	maxVendors       = 16 // messages with vendor ids, of one negotiation
)

// sighting is one message while the file is being read, in little room: of a headend's
// capture there may be a million.
type sighting struct {
	ts         int64
	hash, head uint64
	body       *body
	rare       *rare  // nil for most
	n          uint32 // packet
	ipLength   uint32
	length     uint32
	captured   uint32
	msgID      uint32
	way        uint16 // index of the negotiation's ways
	resp       uint16 // index of its responder's cookies
	id         uint16
	exchange   uint8
	flags      uint8
	next       uint8 // first payload
	major      uint8
	ttl        uint8
	dscp       uint8
	natSrc     natState
	natDst     natState
	df         bool
	noCookie   bool // it carried no initiator's cookie, and belongs here by its ends
}

// body is what the clear part of a message says; equal ones are shared.
type body struct {
	payloads  []facts.Payload
	notifies  []facts.Notify
	deletes   int
	encrypted bool
	hasSA     bool
}

// rare is what few messages have.
type rare struct {
	packets    []int
	fragments  []facts.Fragment
	incomplete bool
	malformed  string
	part       int
	parts      int
	set        *pieceSet // of a message cut by payload 132
}

// message is a message while its negotiation is put in order.
type message struct {
	facts.Message
	next   uint8 // first payload
	major  uint8
	natSrc natState
	natDst natState
	hasSA  bool
	inner  *header // of a message cut by payload 132, known from its first piece
	set    *pieceSet
}

// expand makes the fact of a sighting.
func (s *sighting) expand(g *negotiation, m *message) {
	*m = message{next: s.next, major: s.major, natSrc: s.natSrc, natDst: s.natDst, hasSA: s.body.hasSA}
	e := g.ways[s.way]
	m.Message = facts.Message{
		Packet: int(s.n), Time: stamp(s.ts), Src: addrPort(e.src, e.sport), Dst: addrPort(e.dst, e.dport),
		IPLength: int(s.ipLength), IPID: s.id, DF: s.df, TTL: s.ttl, DSCP: s.dscp,
		InitSPI: g.initSPI, RespSPI: g.cookies[s.resp], Exchange: s.exchange, MessageID: s.msgID, Flags: s.flags,
		Length: int(s.length), Captured: int(s.captured), Encrypted: s.body.encrypted,
		Payloads: s.body.payloads, Notifies: s.body.notifies, Deletes: s.body.deletes,
		Hash: s.hash, Head: s.head, CopyOf: -1, DuplicateOf: -1, Complete: true,
	}
	if s.noCookie {
		m.InitSPI = 0
	}
	r := s.rare
	if r == nil {
		m.Packets = []int{int(s.n)}
		return
	}
	m.Packets, m.Fragments, m.Complete, m.Malformed = r.packets, r.fragments, !r.incomplete, r.malformed
	m.Part, m.Parts = uint16(r.part), uint16(r.parts)
	if r.set != nil {
		m.set, m.inner, m.Parts = r.set, r.set.first, uint16(r.set.total)
	}
}

// negotiation is an IKE SA in little room: as it grows while the file is being read, and
// until somebody wants to see it.
type negotiation struct {
	initSPI uint64
	cookies []uint64     // of the responder as they appear in messages, with the 0 before it answered
	ways    []ends       // between which messages went, each direction by itself
	addrs   [4]addr      // some of the addresses it was seen with
	twin    *negotiation // another one with the same cookie between other ends
	head    []sighting
	ring    *ring // nil for most

	identity        string
	offered, chosen []facts.Proposal
	vendors         []vendorSeen
	odd             *odd // nil for most

	known, version          uint8
	ctcp, fragIKE, floated  bool
	nattInit, nattResponder bool // announced by the initiator, by the responder
}

// ring holds the last messages of a long negotiation.
type ring struct {
	tail []sighting
	at   int
	left int
}

// odd is what few negotiations have.
type odd struct {
	seen   []natSeen
	pieces []*pieceSet
}

func (g *negotiation) rarely() *odd {
	if g.odd == nil {
		g.odd = &odd{}
	}
	return g.odd
}

// natSeen is a NAT detection payload about the receiver that does not fit the packet.
type natSeen struct {
	src  netip.AddrPort
	resp uint64
	sum  []byte
}

// Bounds of the tables of one negotiation; what is beyond stands under the last entry.
const (
	maxCookies = 64
	maxWays    = 256
	freeWays   = 16 // that need not be afforded
)

// way returns the place of two ends in the table of a negotiation.
func (f *follower) way(g *negotiation, e ends) uint16 {
	for i := len(g.ways) - 1; i >= 0; i-- {
		if g.ways[i] == e {
			return uint16(i)
		}
	}
	if len(g.ways) >= maxWays || len(g.ways) >= freeWays && !f.afford(40) {
		return uint16(len(g.ways) - 1)
	}
	g.ways = append(few(g.ways), e)
	return uint16(len(g.ways) - 1)
}

// cookie returns the place of a responder's cookie in the table of a negotiation.
func (g *negotiation) cookie(c uint64) uint16 {
	if i := slices.Index(g.cookies, c); i >= 0 {
		return uint16(i)
	}
	if len(g.cookies) >= maxCookies {
		return maxCookies - 1
	}
	g.cookies = append(few(g.cookies), c)
	return uint16(len(g.cookies) - 1)
}

// few makes room for the next two of a list that stays short: doubling it would waste more.
func few[T any](s []T) []T {
	if len(s) < cap(s) || len(s) >= 16 {
		return s
	}
	return append(make([]T, 0, len(s)+2), s...)
}

// sees keeps what the sender of a message calls the other end's address, once for each sender.
func (g *negotiation) sees(h *header, e ends, d *decoded) {
	if d.natDst != natChanged {
		return
	}
	o := g.rarely()
	src := addrPort(e.src, e.sport)
	if len(o.seen) >= 2 || slices.ContainsFunc(o.seen, func(x natSeen) bool { return x.src == src }) {
		return
	}
	o.seen = append(few(o.seen), natSeen{src, h.resp, slices.Clone(d.natSum)})
}

// vendorSeen is the vendor ids of one message; equal lists are shared.
type vendorSeen struct {
	names *[]string
	way   uint16
}

// follower is the state of one pass.
type follower struct {
	opt Options
	c   *facts.Capture
	re  *reassembler
	pkt ipPacket
	dec decoded
	min int64
	max int64

	byCookie map[uint64]*negotiation
	order    []*negotiation // oldest first
	dropped  int

	flows     map[uint64]*flow // by the hash of the key
	flowOrder []*flow
	lastFlow  *flow
	spis      map[uint64]uint32 // flows from one host to another, by the hash of the pair
	seed      maphash.Seed

	keep     map[pairKey]int
	garbage  map[garbageKey]int
	hosts    map[hostKey]*hostTraffic
	hostSeq  []*hostTraffic
	lastHost *hostTraffic
	tcp      map[pairKey]*tcpConn
	tcpOrder []*tcpConn
	tcpFull  int // connections turned away since the last look for room
	udpClass udpClassifier
	bodies   map[uint64]*body
	offers   map[uint64][]facts.Proposal
	vendors  map[uint64]*[]string
	spent    int // of maxDetailBytes
	tcpPorts map[uint16]bool

	// broken are the cookies of messages that were skipped, so that the answers to them do
	// not look like negotiations.
	broken map[uint64]bool
	latest map[hostKey]*negotiation // the newest between two hosts, by the direction it began in

	noMAC           bool // the frame at hand has no link addresses
	bare, dressed   int  // IKE frames without and with link addresses and IP identification
	afterDecryption bool
}

// pairKey is one direction between two ends.
type pairKey struct {
	src, dst     addr
	sport, dport uint16
}

type garbageKey struct {
	pairKey
	what string
}

func newFollower(name, source string, opt Options) *follower {
	f := &follower{
		opt: opt, c: &facts.Capture{Name: name, Source: source},
		byCookie: map[uint64]*negotiation{},
		flows:    map[uint64]*flow{},
		spis:     map[uint64]uint32{},
		seed:     maphash.MakeSeed(),
		keep:     map[pairKey]int{},
		garbage:  map[garbageKey]int{},
		hosts:    map[hostKey]*hostTraffic{},
		tcp:      map[pairKey]*tcpConn{},
		bodies:   map[uint64]*body{},
		offers:   map[uint64][]facts.Proposal{},
		vendors:  map[uint64]*[]string{},
		broken:   map[uint64]bool{},
		latest:   map[hostKey]*negotiation{},
		tcpPorts: map[uint16]bool{10000: true},
		min:      math.MaxInt64, max: math.MinInt64,
	}
	f.udpClass = newUDPClassifier(opt, func(c uint64) bool { return f.byCookie[c] != nil })
	for _, p := range opt.CTCPPorts {
		f.tcpPorts[p] = true
	}
	f.re = newReassembler(f.datagram)
	return f
}

// record takes one record of the file.
func (f *follower) record(r *record) {
	f.c.Packets++
	f.min, f.max = min(f.min, r.ts), max(f.max, r.ts)
	if len(r.data) < r.wire {
		f.c.Snapped++
	}
	o := ipOffset(r.link, r.data)
	if o < 0 || o >= len(r.data) {
		return
	}
	p := &f.pkt
	if !parseIP(r.data[o:], r.wire-o, p) {
		return
	}
	p.n, p.ts = r.n, r.ts
	f.noMAC = r.link == linkEthernet && [12]byte(r.data) == [12]byte{}
	if p.fragment() {
		switch p.proto {
		case protoUDP, protoESP, protoTCP:
			f.re.add(p)
		default:
			f.other(p, "")
		}
		return
	}
	f.packet(p)
}

// datagram takes a datagram from the reassembly, complete or not.
func (f *follower) datagram(d *datagram) {
	if !d.hasFirst {
		f.orphan(d)
		return
	}
	p := d.head
	p.more, p.frag = false, d
	p.data = d.buf[:min(d.prefix(), len(d.buf))]
	if p.proto == protoESP {
		p.data = d.buf[:min(len(d.buf), d.good)]
	}
	head := p.total - p.length
	switch {
	case d.end >= 0:
		p.length = d.end
	case len(d.have) > 0: // none when the first fragment holds nothing
		p.length = max(p.length, d.have[len(d.have)-1].to)
	}
	p.total = head + p.length
	f.packet(&p)
}

func (f *follower) orphan(d *datagram) {
	if len(f.c.Orphans) >= maxOrphans {
		return
	}
	f.c.Orphans = append(f.c.Orphans, facts.FragmentGroup{
		Src: d.key.src.netip(), Dst: d.key.dst.netip(), Proto: d.key.proto, IPID: uint16(d.key.id), Fragments: d.frags,
	})
}

// packet sorts one whole packet by its kind.
func (f *follower) packet(p *ipPacket) {
	switch p.proto {
	case protoESP:
		f.esp(p, ends{src: p.src, dst: p.dst}, p.data, p.length, viaIP)
	case protoUDP:
		f.udp(p)
	case protoAH: // RFC 4302: authentication around ESP
		if n := 8; len(p.data) > n && p.data[0] == protoESP {
			if n = int(p.data[1])*4 + 8; n <= len(p.data) {
				f.esp(p, ends{src: p.src, dst: p.dst}, p.data[n:], p.length-n, viaIP)
				return
			}
		}
		f.other(p, "")
	case protoTCP:
		f.tcpSegment(p)
	case protoICMP:
		f.icmp4(p)
	case protoICMPv6:
		f.icmp6(p)
	default:
		f.other(p, "")
	}
}

// udp tells IKE, ESP in UDP, keepalives and what is none of these.
func (f *follower) udp(p *ipPacket) {
	if len(p.data) < 8 {
		f.other(p, "")
		return
	}
	e, b, n := udpPayload(p)
	kind, skip, what := f.udpClass.classify(e, b, n)
	switch kind {
	case udpIKE:
		f.ike(p, e, b[skip:], n-skip, "udp")
	case udpESP:
		f.esp(p, e, b, n, viaUDP)
	case udpKeepalive:
		f.keepalive(p, e)
	case udpJunk:
		f.junk(p, e, what, false)
	default:
		f.other(p, "")
	}
}

// ike takes one message: b as far as captured, n bytes on the wire.
func (f *follower) ike(p *ipPacket, e ends, b []byte, n int, transport string) {
	h, ok := parseHeader(b)
	if !ok {
		if len(b) < 20 || n < headerLen {
			f.junk(p, e, "too short", false)
			return
		}
		// Snapped within the header: what is there is used.
		var full [headerLen]byte
		copy(full[:], b)
		binary.BigEndian.PutUint32(full[24:], uint32(n))
		h, _ = parseHeader(full[:])
	}
	if what := h.wrong(n); what != "" {
		f.junk(p, e, what, h.damaged())
		f.shun(h.init)
		return
	}
	d := &f.dec
	if ok {
		decode(b, &h, e, d)
	} else {
		d.reset()
		d.encrypted = h.major == 1 && h.flags&flagEncrypted != 0
	}
	g := f.find(&h, e)
	if g == nil {
		if d.malformed != "" && h.resp == 0 {
			// A stranger's broken first message is no attempt of anybody to build a tunnel.
			f.junk(p, e, d.malformed, true)
			f.shun(h.init)
			return
		}
		if f.broken[h.init] {
			f.junk(p, e, "answers a broken message", true)
			return
		}
		g = f.open(&h, e, transport)
	}
	f.afterDecryption = f.afterDecryption || d.opened
	if f.noMAC && p.id == 0 {
		f.bare++
	} else {
		f.dressed++
	}
	g.sees(&h, e, d)
	m := sighting{
		ts: p.ts, resp: g.cookie(h.resp), way: f.way(g, e), n: uint32(p.n), ipLength: uint32(p.total), length: uint32(h.length), captured: uint32(len(b)),
		msgID: h.msgID, id: uint16(p.id), exchange: h.exchange, flags: h.flags, next: h.next, major: h.major,
		ttl: p.ttl, dscp: p.dscp, natSrc: d.natSrc, natDst: d.natDst, df: p.df, noCookie: h.init == 0,
	}
	if len(b) >= n {
		m.hash = hash64(b[:n])
	}
	if k := min(44, n); len(b) >= k {
		m.head = hash64(b[:k])
	}
	if p.frag != nil || d.malformed != "" || d.part > 0 {
		m.rare = &rare{malformed: d.malformed, part: d.part, parts: d.parts, packets: []int{p.n}}
	}
	if fr := p.frag; fr != nil {
		r := m.rare
		r.incomplete = !fr.complete()
		r.packets = make([]int, 0, len(fr.frags))
		for _, x := range fr.frags {
			r.packets = append(r.packets, x.Packet)
			m.ts = min(m.ts, x.Time.UnixNano())
		}
		r.fragments = fr.frags
		if !f.afford(len(fr.frags) * 64) {
			r.packets, r.fragments = r.packets[:min(3, len(r.packets))], slices.Clone(fr.frags[:min(3, len(fr.frags))])
		}
		if fr.overlap {
			r.malformed = "overlapping fragments"
		}
		if r.incomplete && fr.end < 0 {
			m.ipLength = uint32(p.total - p.length + n + 8)
			if transport == "udp" && len(b) > 0 && (e.sport == 4500 || e.dport == 4500) {
				m.ipLength += 4
			}
		}
	}
	whole := false
	if d.piece != nil && d.part > 0 { // a piece without a number belongs nowhere
		whole = f.piece(g, &m, &h, e, d)
	}
	m.body = f.shared(d, &h, whole)
	f.learn(g, &m, h.resp, d, e)
	g.add(m, f.keepMessages())
}

// keepMessages is how many messages of one negotiation are kept while reading: less, the
// more negotiations there are.
func (f *follower) keepMessages() int {
	n := max(len(f.order), 1)
	few := fewMessages
	if n > manyNegotiations {
		few /= 2
	}
	return min(max(allMessages/n, few), maxMessages)
}

// add keeps the first messages and, in a ring, the last ones.
func (g *negotiation) add(m sighting, limit int) {
	if g.ring == nil {
		if len(g.head) < limit*2/3 {
			g.head = append(few(g.head), m)
			return
		}
		g.ring = &ring{}
	}
	r := g.ring
	if len(r.tail) < limit/3 {
		r.tail = append(r.tail, m)
		return
	}
	r.tail[r.at] = m
	r.at = (r.at + 1) % len(r.tail)
	r.left++
}

// shun remembers the cookie of a message that was skipped.
func (f *follower) shun(cookie uint64) {
	if cookie != 0 && len(f.broken) < 8192 && f.byCookie[cookie] == nil {
		f.broken[cookie] = true
	}
}

// find returns the negotiation of a message: by the initiator's cookie and a shared end.
// Addresses and ports may move, and the responder's cookie may change.
func (f *follower) find(h *header, e ends) *negotiation {
	if h.init == 0 { // a notify of one who could make nothing of the request: it is about the latest
		if g := f.latest[hostKey{e.dst, e.src}]; g != nil {
			return g
		}
	}
	n := 0
	for g := f.byCookie[h.init]; g != nil; g = g.twin {
		if n++; n > maxTwins { // somebody plays with one cookie: no chain to walk for ever
			return g
		}
		if g.version != h.major {
			continue
		}
		if g.met(e.src) || g.met(e.dst) {
			g.meet(e.src)
			g.meet(e.dst)
			return g
		}
		if h.resp != 0 && slices.Contains(g.cookies, h.resp) { // both ends translated
			g.meet(e.src)
			g.meet(e.dst)
			return g
		}
	}
	return nil
}

func (g *negotiation) met(a addr) bool {
	for i := range int(g.known) {
		if g.addrs[i] == a {
			return true
		}
	}
	return false
}

func (g *negotiation) meet(a addr) {
	if int(g.known) < len(g.addrs) && !g.met(a) {
		g.addrs[g.known] = a
		g.known++
	}
}

func (f *follower) open(h *header, e ends, transport string) *negotiation {
	if len(f.order) >= maxNegotiations {
		f.drop(f.order[0])
		f.order = f.order[1:]
		f.dropped++
	}
	g := &negotiation{initSPI: h.init, version: h.major, ctcp: transport == "ctcp"}
	g.meet(e.src)
	g.meet(e.dst)
	g.twin = f.byCookie[h.init]
	f.byCookie[h.init] = g
	if k := (hostKey{e.src, e.dst}); len(f.latest) < 4096 || f.latest[k] != nil {
		f.latest[k] = g
	}
	f.order = append(f.order, g)
	return g
}

func (f *follower) drop(old *negotiation) {
	g := f.byCookie[old.initSPI]
	if g == old {
		if g.twin == nil {
			delete(f.byCookie, old.initSPI)
		} else {
			f.byCookie[old.initSPI] = g.twin
		}
		return
	}
	for ; g != nil; g = g.twin {
		if g.twin == old {
			g.twin = old.twin
			return
		}
	}
}

// learn takes from a message what belongs to the whole negotiation.
func (f *follower) learn(g *negotiation, m *sighting, resp uint64, d *decoded, e ends) {
	answer := resp != 0
	if m.major == 2 {
		answer = m.flags&flagResponse != 0
	}
	if d.hasSA && len(d.proposals) > 0 && (m.major == 1 || m.exchange == exSAInit) {
		if answer && g.chosen == nil {
			g.chosen = f.proposals(d.proposals)
		} else if !answer && g.offered == nil {
			g.offered = f.proposals(d.proposals)
		}
	}
	if len(d.vendors) > 0 && len(g.vendors) < maxVendors {
		if names := f.names(d.vendors); names != nil {
			if v := (vendorSeen{names, m.way}); !slices.Contains(g.vendors, v) {
				g.vendors = append(few(g.vendors), v)
			}
		}
	}
	if d.fragOffer {
		g.fragIKE = true
	}
	if d.identity != "" && g.identity == "" && m.major == 1 && resp == 0 {
		g.identity = d.identity
	}
	if d.natOffer {
		if answer {
			g.nattResponder = true
		} else {
			g.nattInit = true
		}
	}
	if !g.ctcp && (e.sport == 4500 || e.dport == 4500) {
		g.floated = true
	}
}

// afford takes bytes from what may be spent on detail that differs from message to
// message. A capture of honest devices hardly touches it; one made to exhaust memory does.
func (f *follower) afford(n int) bool {
	if f.spent+n > maxDetailBytes {
		return false
	}
	f.spent += n
	return true
}

func (f *follower) keepalive(p *ipPacket, e ends) {
	k := pairKey(e)
	i, ok := f.keep[k]
	if !ok {
		if len(f.c.Keepalives) >= maxKeepalives {
			return
		}
		i = len(f.c.Keepalives)
		f.keep[k] = i
		f.c.Keepalives = append(f.c.Keepalives, facts.Keepalive{
			Src: addrPort(e.src, e.sport), Dst: addrPort(e.dst, e.dport), First: stamp(p.ts), Last: stamp(p.ts), FirstPacket: p.n,
		})
	}
	a := &f.c.Keepalives[i]
	a.Count++
	a.LastPacket = p.n
	if t := stamp(p.ts); t.After(a.Last) {
		a.Last = t
	} else if t.Before(a.First) {
		a.First = t
	}
	if len(a.Packets) < maxKeepTimes {
		a.Packets = append(a.Packets, p.n)
		a.Times = append(a.Times, stamp(p.ts))
	}
}

// junk counts what stands on an IKE port and is nothing of IPsec.
func (f *follower) junk(p *ipPacket, e ends, what string, ike bool) {
	k := garbageKey{pairKey(e), what}
	i, ok := f.garbage[k]
	if !ok {
		if len(f.c.Garbage) >= maxGarbage {
			return
		}
		i = len(f.c.Garbage)
		f.garbage[k] = i
		f.c.Garbage = append(f.c.Garbage, facts.Garbage{
			Src: addrPort(e.src, e.sport), Dst: addrPort(e.dst, e.dport), What: what, IKE: ike, FirstPacket: p.n,
		})
	}
	f.c.Garbage[i].Count++
	f.c.Garbage[i].LastPacket = p.n
}

// finish closes the pass and hands over what was seen.
func (f *follower) finish() *facts.Capture {
	f.re.flush()
	c := f.c
	if c.Packets > 0 {
		c.First, c.Last = stamp(f.min), stamp(f.max)
	}
	c.Dropped = f.dropped
	// The tables of the pass go before the facts come: both at once would be too much.
	f.byCookie, f.latest, f.broken, f.bodies, f.offers, f.vendors = nil, nil, nil, nil, nil, nil
	f.flows, f.lastFlow, f.spis = nil, nil, nil
	for _, g := range f.order {
		g.twin = nil
		if g.odd != nil {
			for _, p := range g.odd.pieces {
				p.data = nil
			}
			g.odd.pieces = nil
		}
	}
	slices.SortStableFunc(f.order, func(a, b *negotiation) int { return cmp.Compare(a.first(), b.first()) })
	s := &folded{negs: f.order, flows: f.flowOrder}
	f.order, f.flowOrder = nil, nil
	s.trust()
	f.finishHosts()
	f.finishTCP(s)
	if len(s.negs)+len(s.flows)/2 >= f.opt.fold() {
		c.Folded = s
	} else {
		for i := range s.negs {
			c.Negotiations = append(c.Negotiations, s.Negotiation(i))
		}
		for i := range s.flows {
			c.ESP = append(c.ESP, s.Flow(i))
		}
	}
	sort.SliceStable(c.ICMP, func(i, j int) bool { return c.ICMP[i].Time.Before(c.ICMP[j].Time) })
	c.MadeUp = f.afterDecryption || f.bare > 0 && f.dressed == 0
	return c
}
