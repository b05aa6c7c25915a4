package ike

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sort"
	"time"

	"vpnbot/diag/facts"
)

// Bounds of the ESP flows. The first flows of a capture are kept in more detail than
// those of a headend with hundreds of peers.
const (
	maxFlows     = 200000
	maxSPIs      = 1000 // from one host to another
	detailFlows  = 64   // flows with full detail
	mediumFlows  = 800  // with less; the rest with little
	maxSeconds   = 900  // PerSecond of a detailed flow
	fewPackets   = 64   // under this many packets a flow has no PerSecond
	sizeKinds    = 64   // SizeCount rows
	plainPackets = 2    // samples at each end of a flow with little detail
	maxRanges    = 1024 // of sequence numbers
)

type carrier uint8

const (
	viaIP carrier = iota
	viaUDP
	viaTCP
)

type flowKey struct {
	src, dst     addr
	spi          uint32
	sport, dport uint16
	via          uint64 // carrier; a full word keeps the key free of padding
}

// flow is one SA's traffic in one direction, in little room: as it grows while the file is
// read, and until somebody wants to see it.
type flow struct {
	key     flowKey
	next    *flow // another one with the same hash
	first   int64
	last    int64
	topTime int64 // time of the packet with the highest sequence number
	bytes   int64
	ranges  []facts.SeqRange
	sizes   []sizeCount
	head    []sample
	tail    []sample // ring
	rates   *rates   // nil for flows with little detail

	count, duplicates, reordered, late, missing uint32
	firstPacket, lastPacket                     uint32
	at                                          uint16 // in tail
	sizeHit                                     uint16 // index of the size seen last
	detail                                      detail
	merged, trusted                             bool
	ttl                                         uint8 // of the first packet
}

// detail is how much is kept of a flow.
type detail uint8

const (
	little detail = iota
	medium
	full
)

// limits of one flow.
type limits struct{ head, tail, ranges, sizes, seconds int }

var keeps = [...]limits{
	little: {plainPackets, plainPackets, 16, 6, 0},
	medium: {24, 16, 128, 32, 120},
	full:   {768, 256, maxRanges, sizeKinds, maxSeconds},
}

// rates is the traffic by seconds.
type rates struct{ seconds []second }

// sizeCount is facts.SizeCount in less room.
type sizeCount struct{ length, count, df, frag, first, last uint32 }

// sample is facts.ESPPacket in less room.
type sample struct {
	ts         int64
	packet     uint32
	seq        uint32
	length     uint32
	id         uint16
	pieces     uint8
	dscp       uint8
	df         bool
	incomplete bool
}

func (s *sample) packetFact() facts.ESPPacket {
	return facts.ESPPacket{
		Packet: int(s.packet), Time: stamp(s.ts), Seq: s.seq, Length: int(s.length), IPID: s.id,
		DF: s.df, DSCP: s.dscp, Pieces: int(s.pieces), Complete: !s.incomplete,
	}
}

type second struct {
	at             int64 // seconds since 1970
	bytes, packets uint32
}

// esp counts one ESP packet: b from the SPI on, n bytes on the wire.
func (f *follower) esp(p *ipPacket, e ends, b []byte, n int, via carrier) {
	if len(b) < 8 {
		if via == viaUDP {
			f.junk(p, e, "too short", false)
		} else {
			f.other(p, "esp")
		}
		return
	}
	k := flowKey{p.src, p.dst, binary.BigEndian.Uint32(b), e.sport, e.dport, uint64(via)}
	fl := f.lastFlow
	if fl == nil || fl.key != k {
		if fl = f.flow(k, p); fl == nil {
			return
		}
		f.lastFlow = fl
	}
	fl.packet(p, binary.BigEndian.Uint32(b[4:]))
}

// flow finds or opens a flow; nil when there are too many.
func (f *follower) flow(k flowKey, p *ipPacket) *flow {
	h := maphash.Comparable(f.seed, k)
	known := f.flows[h]
	for fl := known; fl != nil; fl = fl.next {
		if fl.key == k {
			return fl
		}
	}
	pair := maphash.Comparable(f.seed, hostKey{p.src, p.dst})
	if len(f.flowOrder) >= maxFlows || f.spis[pair] >= maxSPIs {
		f.c.ESPDropped++
		return nil
	}
	f.spis[pair]++
	fl := &flow{key: k, next: known, first: p.ts, last: p.ts, topTime: p.ts, firstPacket: uint32(p.n), ttl: p.ttl}
	switch n := len(f.flowOrder); {
	case n < detailFlows:
		fl.detail, fl.rates = full, &rates{}
	case n < mediumFlows:
		fl.detail, fl.rates = medium, &rates{}
	}
	f.flows[h] = fl
	f.flowOrder = append(f.flowOrder, fl)
	return fl
}

func (fl *flow) packet(p *ipPacket, seq uint32) {
	fl.count++
	fl.lastPacket = uint32(p.n)
	fl.bytes += int64(p.total)
	fl.first, fl.last = min(fl.first, p.ts), max(fl.last, p.ts)
	if fl.number(seq, p.ts) {
		fl.rate(p)
		return // seen before: doubled by the network, or by a tap on two interfaces
	}
	fl.size(p)
	x := sample{ts: p.ts, packet: uint32(p.n), seq: seq, length: uint32(p.total), id: uint16(p.id), dscp: p.dscp, df: p.df}
	if p.frag != nil {
		x.pieces = uint8(min(len(p.frag.frags), 255))
		x.incomplete = !p.frag.complete()
		x.packet = uint32(p.frag.frags[0].Packet)
	}
	limit := &keeps[fl.detail]
	switch {
	case len(fl.head) < limit.head:
		fl.head = append(few(fl.head), x)
	case len(fl.tail) < limit.tail:
		fl.tail = append(few(fl.tail), x)
	default:
		fl.tail[fl.at] = x
		if fl.at++; int(fl.at) == len(fl.tail) {
			fl.at = 0
		}
	}
	fl.rate(p)
}

// number enters a sequence number into the ranges seen, and tells whether it was there.
func (fl *flow) number(seq uint32, ts int64) (again bool) {
	r := fl.ranges
	n := len(r)
	switch {
	case n == 0:
		fl.ranges = append(make([]facts.SeqRange, 0, 1), facts.SeqRange{From: seq, To: seq})
		return false
	case seq == r[n-1].To+1 && seq > r[n-1].To: // the common case
		r[n-1].To = seq
		fl.topTime = ts
		return false
	case seq > r[n-1].To:
		fl.ranges = append(few(r), facts.SeqRange{From: seq, To: seq})
		fl.topTime = ts
		fl.trim()
		return false
	}
	// Lower than one before. In a file whose records are not sorted by time only the
	// time tells whether the network did that.
	i := sort.Search(n, func(i int) bool { return r[i].To >= seq })
	if r[i].From <= seq {
		if !fl.merged {
			fl.duplicates++
		}
		return !fl.merged
	}
	if ts >= fl.topTime {
		fl.reordered++
		if r[n-1].To-seq >= 64 {
			fl.late++
		}
	}
	left, right := i > 0 && r[i-1].To+1 == seq, r[i].From == seq+1
	switch {
	case left && right:
		r[i-1].To = r[i].To
		fl.ranges = slices.Delete(r, i, i+1)
	case left:
		r[i-1].To = seq
	case right:
		r[i].From = seq
	default:
		fl.ranges = slices.Insert(r, i, facts.SeqRange{From: seq, To: seq})
		fl.trim()
	}
	return false
}

// trim merges the two neighbours with the smallest gap when there are too many ranges,
// a quarter of them at once so that it stays cheap.
func (fl *flow) trim() {
	if len(fl.ranges) <= keeps[fl.detail].ranges {
		return
	}
	fl.merged = true
	gaps := make([]uint32, 0, len(fl.ranges))
	for i := 1; i < len(fl.ranges); i++ {
		gaps = append(gaps, fl.ranges[i].From-fl.ranges[i-1].To)
	}
	slices.Sort(gaps)
	limit := gaps[len(gaps)/4]
	out := fl.ranges[:1]
	for _, r := range fl.ranges[1:] {
		if last := &out[len(out)-1]; r.From-last.To <= limit {
			fl.missing += r.From - last.To - 1
			last.To = r.To
			continue
		}
		out = append(out, r)
	}
	fl.ranges = out
}

func (fl *flow) size(p *ipPacket) {
	n := uint32(p.total)
	i := int(fl.sizeHit)
	if i >= len(fl.sizes) || fl.sizes[i].length != n {
		i = slices.IndexFunc(fl.sizes, func(s sizeCount) bool { return s.length == n })
		if i < 0 {
			if len(fl.sizes) >= keeps[fl.detail].sizes {
				fl.mergeSizes()
			}
			i = len(fl.sizes)
			fl.sizes = append(few(fl.sizes), sizeCount{length: n, first: uint32(p.n)})
		}
		fl.sizeHit = uint16(i)
	}
	s := &fl.sizes[i]
	s.count++
	s.last = uint32(p.n)
	if p.df {
		s.df++
	}
	if p.frag != nil {
		s.frag++
	}
}

// mergeSizes merges the rarer half of the sizes into the next greater ones.
func (fl *flow) mergeSizes() {
	slices.SortFunc(fl.sizes, func(a, b sizeCount) int { return cmp.Compare(a.length, b.length) })
	counts := make([]uint32, len(fl.sizes))
	for i := range fl.sizes {
		counts[i] = fl.sizes[i].count
	}
	slices.Sort(counts)
	limit := counts[len(counts)/2]
	out := fl.sizes[:0]
	var carry sizeCount
	for i, s := range fl.sizes {
		if carry.count > 0 {
			s.count, s.df, s.frag = s.count+carry.count, s.df+carry.df, s.frag+carry.frag
			s.first, s.last = min(s.first, carry.first), max(s.last, carry.last)
			carry = sizeCount{}
		}
		if i < len(fl.sizes)-1 && counts[0] <= limit && s.count <= limit && len(out)+len(fl.sizes)-i > keeps[fl.detail].sizes/2 {
			carry = s
			continue
		}
		out = append(out, s)
	}
	fl.sizes = out
	fl.sizeHit = uint16(len(out))
}

func (fl *flow) rate(p *ipPacket) {
	if fl.rates == nil || fl.count < 8 {
		return
	}
	at := p.ts / 1e9
	if n := len(fl.rates.seconds); n > 0 && fl.rates.seconds[n-1].at >= at {
		s := &fl.rates.seconds[n-1] // a record out of order counts for the latest second
		s.bytes += uint32(p.total)
		s.packets++
		return
	}
	if len(fl.rates.seconds) < keeps[fl.detail].seconds {
		fl.rates.seconds = append(fl.rates.seconds, second{at, uint32(p.total), 1})
	}
}

// fact is the flow as it was seen. It may be asked again and gives the same.
func (fl *flow) fact() *facts.ESPFlow {
	k := &fl.key
	x := facts.ESPFlow{
		SPI: k.spi, Src: addrPort(k.src, k.sport), Dst: addrPort(k.dst, k.dport), UDP: carrier(k.via) == viaUDP, CTCP: carrier(k.via) == viaTCP,
		Trusted: fl.trusted, Count: int(fl.count), Duplicates: int(fl.duplicates), Reordered: int(fl.reordered), Late: int(fl.late), Missing: int(fl.missing),
		First: stamp(fl.first), Last: stamp(fl.last), TTL: fl.ttl, FirstPacket: int(fl.firstPacket), LastPacket: int(fl.lastPacket), Bytes: fl.bytes,
		Ranges: slices.Clone(fl.ranges), RangesCut: fl.merged,
	}
	x.FirstSeq, x.LastSeq = fl.span()
	for j := 1; j < len(x.Ranges); j++ {
		x.Missing += int(x.Ranges[j].From - x.Ranges[j-1].To - 1)
	}
	x.Sampled = x.Count-x.Duplicates > len(fl.head)+len(fl.tail)
	x.Sample = make([]facts.ESPPacket, 0, len(fl.head)+len(fl.tail))
	for _, part := range [][]sample{fl.head, fl.tail[fl.at:], fl.tail[:fl.at]} {
		for i := range part {
			x.Sample = append(x.Sample, part[i].packetFact())
		}
	}
	slices.SortStableFunc(x.Sample, func(a, b facts.ESPPacket) int { return a.Time.Compare(b.Time) })
	x.Sizes = make([]facts.SizeCount, len(fl.sizes))
	for i, s := range fl.sizes {
		x.Sizes[i] = facts.SizeCount{Length: int(s.length), Count: int(s.count), DF: int(s.df), Frag: int(s.frag), First: int(s.first), Last: int(s.last)}
	}
	slices.SortFunc(x.Sizes, func(a, b facts.SizeCount) int { return a.Length - b.Length })
	if x.Count >= fewPackets && fl.rates != nil {
		for _, s := range fl.rates.seconds {
			x.PerSecond = append(x.PerSecond, facts.RateBucket{At: time.Unix(s.at, 0).UTC(), Bytes: int(s.bytes), Packets: int(s.packets)})
		}
	}
	return &x
}

// span is the lowest and the highest sequence number.
func (fl *flow) span() (from, to uint32) {
	if n := len(fl.ranges); n > 0 {
		from, to = fl.ranges[0].From, fl.ranges[n-1].To
	}
	return from, to
}

// trust marks the flows that are ESP: all of IP protocol 50; in UDP those whose numbers
// rise, and those between ends whose negotiation came to an SA.
func (s *folded) trust() {
	type pair struct{ a, b addr }
	key := func(a, b addr) pair {
		if a.hi > b.hi || a.hi == b.hi && a.lo > b.lo {
			a, b = b, a
		}
		return pair{a, b}
	}
	done := map[pair]time.Time{}
	if slices.ContainsFunc(s.flows, func(fl *flow) bool { return carrier(fl.key.via) == viaUDP }) {
		for i := range s.negs {
			n := s.Negotiation(i)
			at, ok := finished(n)
			if !ok {
				continue
			}
			for _, p := range n.Paths {
				k := key(addrOf(p.Initiator.Addr()), addrOf(p.Responder.Addr()))
				if t, known := done[k]; !known || at.Before(t) {
					done[k] = at
				}
			}
		}
	}
	for _, x := range s.flows {
		if carrier(x.key.via) != viaUDP {
			x.trusted = true
			continue
		}
		first, last := x.span()
		span := int64(last) - int64(first)
		count := int64(x.count)
		rising := x.reordered*4 <= x.count && x.duplicates*2 <= x.count && span <= count*16+1024
		at, ok := done[key(x.key.src, x.key.dst)]
		// A new SA counts from 1; a negotiation that ended in the capture cannot have a far number.
		young := ok && rising && first >= 1 && first < 1<<16 && !stamp(x.last).Before(at.Add(-time.Second))
		// Three numbers in a row are no chance; of more, some may be missing or late.
		row := count >= 3 && span == count-1 && x.reordered == 0 && x.duplicates == 0
		x.trusted = young || row || rising && count >= 4 && span > 0
	}
}

// finished says when a negotiation came to a first IPsec SA, as far as the wire shows it.
func finished(n *facts.Negotiation) (time.Time, bool) {
	for i := range n.Messages {
		m := &n.Messages[i]
		switch m.Step {
		case "QM2", "QM3":
			return m.Time, true
		case "IKE_AUTH", "CREATE_CHILD_SA":
			if m.Response {
				return m.Time, true
			}
		}
	}
	return time.Time{}, false
}
