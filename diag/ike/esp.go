package ike

import (
	"encoding/binary"
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

// flow is one SA's traffic in one direction while the file is read.
type flow struct {
	facts.ESPFlow
	key     flowKey
	ordinal int
	first   int64
	last    int64
	topTime int64 // time of the packet with the highest sequence number
	lowSeq  uint32
	sizeHit int // index of the size seen last

	headLimit, tailLimit, rangeLimit, sizeLimit, secondLimit int
	head, tail                                               []sample
	at                                                       int
	seconds                                                  []second
	merged                                                   bool
}

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
		fl = f.flows[k]
		if fl == nil {
			if fl = f.openFlow(k, e, p, via); fl == nil {
				return
			}
		}
		f.lastFlow = fl
	}
	fl.packet(p, binary.BigEndian.Uint32(b[4:]))
}

func (f *follower) openFlow(k flowKey, e ends, p *ipPacket, via carrier) *flow {
	pair := hostKey{p.src, p.dst}
	if len(f.flowOrder) >= maxFlows || f.spis[pair] >= maxSPIs {
		f.c.ESPDropped++
		return nil
	}
	f.spis[pair]++
	fl := &flow{key: k, ordinal: len(f.flowOrder), first: p.ts, last: p.ts, topTime: p.ts}
	fl.SPI, fl.UDP, fl.CTCP = k.spi, via == viaUDP, via == viaTCP
	fl.Src, fl.Dst = addrPort(e.src, e.sport), addrPort(e.dst, e.dport)
	fl.FirstPacket = p.n
	switch {
	case fl.ordinal < detailFlows:
		fl.headLimit, fl.tailLimit, fl.rangeLimit, fl.sizeLimit, fl.secondLimit = 768, 256, maxRanges, sizeKinds, maxSeconds
	case fl.ordinal < mediumFlows:
		fl.headLimit, fl.tailLimit, fl.rangeLimit, fl.sizeLimit, fl.secondLimit = 24, 16, 128, 32, 120
	default:
		fl.headLimit, fl.tailLimit, fl.rangeLimit, fl.sizeLimit, fl.secondLimit = plainPackets, plainPackets, 16, 6, 0
	}
	f.flows[k] = fl
	f.flowOrder = append(f.flowOrder, fl)
	return fl
}

func (fl *flow) packet(p *ipPacket, seq uint32) {
	fl.Count++
	fl.LastPacket = p.n
	fl.Bytes += int64(p.total)
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
	switch {
	case len(fl.head) < fl.headLimit:
		fl.head = append(fl.head, x)
	case len(fl.tail) < fl.tailLimit:
		fl.tail = append(fl.tail, x)
	default:
		fl.tail[fl.at] = x
		if fl.at++; fl.at == len(fl.tail) {
			fl.at = 0
		}
	}
	fl.rate(p)
}

// number enters a sequence number into the ranges seen, and tells whether it was there.
func (fl *flow) number(seq uint32, ts int64) (again bool) {
	r := fl.Ranges
	n := len(r)
	switch {
	case n == 0:
		fl.FirstSeq, fl.LastSeq, fl.lowSeq = seq, seq, seq
		fl.Ranges = append(make([]facts.SeqRange, 0, 2), facts.SeqRange{From: seq, To: seq})
		return false
	case seq == r[n-1].To+1 && seq > r[n-1].To: // the common case
		r[n-1].To = seq
		fl.LastSeq, fl.topTime = seq, ts
		return false
	case seq > r[n-1].To:
		fl.Ranges = append(r, facts.SeqRange{From: seq, To: seq})
		fl.LastSeq, fl.topTime = seq, ts
		fl.trim()
		return false
	}
	// Lower than one before. In a file whose records are not sorted by time only the
	// time tells whether the network did that.
	i := sort.Search(n, func(i int) bool { return r[i].To >= seq })
	if r[i].From <= seq {
		if !fl.merged {
			fl.Duplicates++
		}
		return !fl.merged
	}
	if ts >= fl.topTime {
		fl.Reordered++
		if fl.LastSeq-seq >= 64 {
			fl.Late++
		}
	}
	fl.lowSeq = min(fl.lowSeq, seq)
	left, right := i > 0 && r[i-1].To+1 == seq, r[i].From == seq+1
	switch {
	case left && right:
		r[i-1].To = r[i].To
		fl.Ranges = slices.Delete(r, i, i+1)
	case left:
		r[i-1].To = seq
	case right:
		r[i].From = seq
	default:
		fl.Ranges = slices.Insert(r, i, facts.SeqRange{From: seq, To: seq})
		fl.trim()
	}
	return false
}

// trim merges the two neighbours with the smallest gap when there are too many ranges,
// a quarter of them at once so that it stays cheap.
func (fl *flow) trim() {
	if len(fl.Ranges) <= fl.rangeLimit {
		return
	}
	fl.merged, fl.RangesCut = true, true
	gaps := make([]uint32, 0, len(fl.Ranges))
	for i := 1; i < len(fl.Ranges); i++ {
		gaps = append(gaps, fl.Ranges[i].From-fl.Ranges[i-1].To)
	}
	slices.Sort(gaps)
	limit := gaps[len(gaps)/4]
	out := fl.Ranges[:1]
	for _, r := range fl.Ranges[1:] {
		if last := &out[len(out)-1]; r.From-last.To <= limit {
			fl.Missing += int(r.From - last.To - 1)
			last.To = r.To
			continue
		}
		out = append(out, r)
	}
	fl.Ranges = out
}

func (fl *flow) size(p *ipPacket) {
	n := p.total
	i := fl.sizeHit
	if i >= len(fl.Sizes) || fl.Sizes[i].Length != n {
		i = -1
		for j := range fl.Sizes {
			if fl.Sizes[j].Length == n {
				i = j
				break
			}
		}
		if i < 0 {
			if len(fl.Sizes) >= fl.sizeLimit {
				fl.mergeSizes()
			}
			i = len(fl.Sizes)
			fl.Sizes = append(fl.Sizes, facts.SizeCount{Length: n, First: p.n})
		}
		fl.sizeHit = i
	}
	s := &fl.Sizes[i]
	s.Count++
	s.Last = p.n
	if p.df {
		s.DF++
	}
	if p.frag != nil {
		s.Frag++
	}
}

// mergeSizes merges the rarer half of the sizes into the next greater ones.
func (fl *flow) mergeSizes() {
	slices.SortFunc(fl.Sizes, func(a, b facts.SizeCount) int { return a.Length - b.Length })
	counts := make([]int, len(fl.Sizes))
	for i := range fl.Sizes {
		counts[i] = fl.Sizes[i].Count
	}
	slices.Sort(counts)
	limit := counts[len(counts)/2]
	out := fl.Sizes[:0]
	var carry facts.SizeCount
	for i, s := range fl.Sizes {
		if carry.Count > 0 {
			s.Count, s.DF, s.Frag = s.Count+carry.Count, s.DF+carry.DF, s.Frag+carry.Frag
			s.First, s.Last = min(s.First, carry.First), max(s.Last, carry.Last)
			carry = facts.SizeCount{}
		}
		if i < len(fl.Sizes)-1 && counts[0] <= limit && s.Count <= limit && len(out)+len(fl.Sizes)-i > fl.sizeLimit/2 {
			carry = s
			continue
		}
		out = append(out, s)
	}
	fl.Sizes = out
	fl.sizeHit = len(out)
}

func (fl *flow) rate(p *ipPacket) {
	if fl.secondLimit == 0 || fl.Count < 8 {
		return
	}
	at := p.ts / 1e9
	if n := len(fl.seconds); n > 0 && fl.seconds[n-1].at >= at {
		s := &fl.seconds[n-1] // a record out of order counts for the latest second
		s.bytes += uint32(p.total)
		s.packets++
		return
	}
	if len(fl.seconds) < fl.secondLimit {
		fl.seconds = append(fl.seconds, second{at, uint32(p.total), 1})
	}
}

// finishFlows puts the flows into the capture and decides which are ESP at all.
func (f *follower) finishFlows() {
	f.flows, f.lastFlow = nil, nil
	f.c.ESP = make([]*facts.ESPFlow, 0, len(f.flowOrder))
	for i, fl := range f.flowOrder {
		x := fl.ESPFlow
		x.First, x.Last = stamp(fl.first), stamp(fl.last)
		x.FirstSeq = fl.lowSeq
		if n := len(x.Ranges); n > 0 {
			for j := 1; j < n; j++ {
				x.Missing += int(x.Ranges[j].From - x.Ranges[j-1].To - 1)
			}
			x.LastSeq = x.Ranges[n-1].To
		}
		x.Sampled = x.Count-x.Duplicates > len(fl.head)+len(fl.tail)
		x.Sample = make([]facts.ESPPacket, 0, len(fl.head)+len(fl.tail))
		for _, part := range [][]sample{fl.head, fl.tail[fl.at:], fl.tail[:fl.at]} {
			for i := range part {
				x.Sample = append(x.Sample, part[i].packetFact())
			}
		}
		fl.head, fl.tail = nil, nil
		slices.SortStableFunc(x.Sample, func(a, b facts.ESPPacket) int { return a.Time.Compare(b.Time) })
		x.Sizes, x.Ranges = slices.Clone(x.Sizes), slices.Clone(x.Ranges)
		slices.SortFunc(x.Sizes, func(a, b facts.SizeCount) int { return a.Length - b.Length })
		if x.Count >= fewPackets {
			for _, s := range fl.seconds {
				x.PerSecond = append(x.PerSecond, facts.RateBucket{At: time.Unix(s.at, 0).UTC(), Bytes: int(s.bytes), Packets: int(s.packets)})
			}
		}
		f.c.ESP = append(f.c.ESP, &x)
		f.flowOrder[i] = nil
	}
	f.trust()
}

// trust marks the flows that are ESP: all of IP protocol 50; in UDP those whose numbers
// rise, and those between ends whose negotiation came to an SA.
func (f *follower) trust() {
	type pair struct{ a, b [16]byte }
	key := func(src, dst addr) pair {
		var p pair
		s, d := src.netip().As16(), dst.netip().As16()
		if slices.Compare(s[:], d[:]) > 0 {
			s, d = d, s
		}
		p.a, p.b = s, d
		return p
	}
	done := map[pair]time.Time{}
	for _, n := range f.c.Negotiations {
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
	for _, x := range f.c.ESP {
		if !x.UDP {
			x.Trusted = true
			continue
		}
		span := int64(x.LastSeq) - int64(x.FirstSeq)
		rising := x.Reordered*4 <= x.Count && x.Duplicates*2 <= x.Count && span <= int64(x.Count)*16+1024
		at, ok := done[key(addrOf(x.Src.Addr()), addrOf(x.Dst.Addr()))]
		// A new SA counts from 1; a negotiation that ended in the capture cannot have a far number.
		young := ok && rising && x.FirstSeq >= 1 && x.FirstSeq < 1<<16 && !x.Last.Before(at.Add(-time.Second))
		// Three numbers in a row are no chance; of more, some may be missing or late.
		row := x.Count >= 3 && span == int64(x.Count)-1 && x.Reordered == 0 && x.Duplicates == 0
		x.Trusted = young || row || rising && x.Count >= 4 && span > 0
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
