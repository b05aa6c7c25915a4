package ike

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"vpnbot/diag/facts"
)

// Bounds of following TCP connections that may carry IPsec.
const (
	maxTCP          = 4096
	maxSegments     = 600 // of a connection that carries IPsec
	unknownSegments = 12  // of one that does not show it yet
	giveUpAfter     = 64  // segments with data and nothing of IPsec in them
	maxSeqs         = 4096
)

// TCP flags.
const (
	tcpFIN = 1
	tcpSYN = 2
	tcpRST = 4
	tcpACK = 16
)

// tcpConn is one TCP connection while the file is read.
type tcpConn struct {
	facts.CTCPFlow
	key         pairKey // as in its first segment
	client      bool    // the first segment's sender is the client
	known       bool    // by a SYN
	configured  bool
	data        int // segments with data
	dead        bool
	first, last int64
	tail        []facts.CTCPSegment
	at          int
	left        int
	seqs        [2]map[uint32]bool // sequence numbers with data, by side
	mark        [2]segmentMark
	ack         [2]uint32
	acked       [2]bool
}

// segmentMark is what tells a segment seen twice from one sent twice.
type segmentMark struct {
	seq, ack uint32
	length   int
	id       uint16
	flags    uint8
	ts       int64
}

// doubled tells whether a segment is the last one of its side once more: doubled by the
// network or seen on two interfaces. One sent again has another IP id.
func (c *tcpConn) doubled(s *facts.CTCPSegment, side int) bool {
	m := segmentMark{s.Seq, s.Ack, s.Length, s.IPID, s.Flags, s.Time.UnixNano()}
	o := c.mark[side]
	c.mark[side] = m
	within := duplicateWithin
	if m.id == 0 {
		within = time.Millisecond // acknowledgements of a hole come close together too
	}
	gap := time.Duration(m.ts - o.ts)
	m.ts, o.ts = 0, 0
	return m == o && gap >= 0 && gap <= within
}

// Cisco's IPsec over TCP puts one datagram in each segment: a UDP header and IKE, or ESP,
// then 16 bytes of trailer whose first four are zero and whose 14th is the IP protocol of
// what stands before it (observed layout; there is no public specification).
const ctcpTrailer = 16

// ctcpContent returns what a segment carries: protocol 17 with the IKE message, or 50 with ESP.
func ctcpContent(b []byte, n int) (proto uint8, inner []byte, size int) {
	if n < ctcpTrailer+8 || len(b) < 16 {
		return 0, nil, 0
	}
	whole := len(b) >= n
	size = n - ctcpTrailer
	if whole {
		t := b[size:n]
		if binary.BigEndian.Uint32(t) != 0 {
			return 0, nil, 0
		}
		proto = t[13]
	}
	inner = b[:min(len(b), size)]
	if h, ok := parseHeader(inner[min(8, len(inner)):]); ok && (proto == protoUDP || !whole) && h.wrong(size-8) == "" {
		return protoUDP, inner[8:], size - 8
	}
	if whole && proto == protoESP && binary.BigEndian.Uint32(inner) >= 256 {
		return protoESP, inner, size
	}
	return 0, nil, 0
}

// tcpSegment follows TCP connections on the configured ports, and others until it is clear
// that they carry no IPsec.
func (f *follower) tcpSegment(p *ipPacket) {
	b := p.data
	if len(b) < 14 {
		f.other(p, "")
		return
	}
	head := int(b[12]>>4) * 4
	if head < 20 || p.length < head {
		f.other(p, "")
		return
	}
	e := ends{p.src, p.dst, binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}
	flags := b[13]
	n := p.length - head
	var payload []byte
	if len(b) > head {
		payload = b[head:]
	}

	k := pairKey(e)
	c, forward := f.tcp[k], true
	if c == nil {
		if c = f.tcp[pairKey{e.dst, e.src, e.dport, e.sport}]; c != nil {
			forward = false
		}
	}
	fresh := flags&(tcpSYN|tcpACK) == tcpSYN
	if c == nil || fresh && c.dead {
		if len(f.tcpOrder) >= maxTCP && !f.evictTCP() {
			f.other(p, "")
			return
		}
		c, forward = &tcpConn{key: k, client: true, first: p.ts, last: p.ts}, true
		c.configured = f.tcpPorts[e.sport] || f.tcpPorts[e.dport]
		if flags&(tcpSYN|tcpACK) == tcpSYN|tcpACK || f.tcpPorts[e.sport] && !f.tcpPorts[e.dport] || e.sport < 1024 && e.dport >= 1024 {
			c.client = false
		}
		c.FirstPacket = p.n
		delete(f.tcp, pairKey{e.dst, e.src, e.dport, e.sport})
		f.tcp[k] = c
		f.tcpOrder = append(f.tcpOrder, c)
	}
	if c.dead {
		f.other(p, "")
		return
	}
	fromClient := forward == c.client
	proto, inner, size := ctcpContent(payload, n)
	switch {
	case proto != 0:
		c.Content = c.Content || proto == protoUDP || c.configured
	case n > 0:
		c.data++
	}
	if !c.Content && c.data > giveUpAfter {
		c.dead = true
		c.Segments, c.tail, c.seqs = nil, nil, [2]map[uint32]bool{}
	}
	if !c.Content && !c.configured {
		f.other(p, "")
	}
	if c.dead {
		return
	}
	c.LastPacket = p.n
	c.first, c.last = min(c.first, p.ts), max(c.last, p.ts)
	s := facts.CTCPSegment{
		Packet: p.n, Time: stamp(p.ts), FromClient: fromClient, Flags: flags, Length: n, IPID: uint16(p.id),
		Seq: binary.BigEndian.Uint32(b[4:]), Ack: binary.BigEndian.Uint32(b[8:]),
	}
	if n > 0 && len(payload) >= n {
		s.Hash = hash64(payload[:n])
	}
	side := 0
	if !fromClient {
		side = 1
	}
	if c.doubled(&s, side) {
		return
	}
	c.count(&s, side)
	c.keep(s)
	if !c.Content {
		return
	}
	switch proto {
	case protoUDP:
		f.ike(p, e, inner, size, "ctcp")
	case protoESP:
		f.esp(p, e, inner, size, viaTCP)
	}
}

// count names a segment and notes repeats.
func (c *tcpConn) count(s *facts.CTCPSegment, side int) {
	switch {
	case s.Flags&tcpRST != 0:
		s.Label = "RST"
		if c.ResetBy == "" {
			c.ResetBy, c.ResetPacket = "server", s.Packet
			if side == 0 {
				c.ResetBy = "client"
			}
		}
	case s.Flags&(tcpSYN|tcpACK) == tcpSYN:
		s.Label = "SYN"
		c.SYNs++
		c.known = true
	case s.Flags&tcpSYN != 0:
		s.Label = "SYN ACK"
		c.SYNACKs++
		c.known = true
	case s.Flags&tcpFIN != 0:
		s.Label = "FIN"
		c.FINs++
	case s.Length == 0:
		s.Label = "ACK"
	}
	if s.Length > 0 {
		if c.seqs[side] == nil {
			c.seqs[side] = map[uint32]bool{}
		}
		if c.seqs[side][s.Seq] {
			s.Resend = true
		} else if len(c.seqs[side]) < maxSeqs {
			c.seqs[side][s.Seq] = true
		}
		if s.Label == "" {
			s.Label = fmt.Sprintf("data %d bytes", s.Length)
		}
	} else if s.Flags&(tcpACK|tcpSYN|tcpFIN|tcpRST) == tcpACK {
		if c.acked[side] && c.ack[side] == s.Ack {
			s.DupAck = true
			s.Label = "duplicate ACK"
		}
	}
	if s.Flags&tcpACK != 0 {
		c.ack[side], c.acked[side] = s.Ack, true
	}
}

func (c *tcpConn) keep(s facts.CTCPSegment) {
	limit := unknownSegments
	if c.Content || c.configured {
		limit = maxSegments
	}
	if len(c.Segments) < limit/2 {
		c.Segments = append(c.Segments, s)
		return
	}
	if len(c.tail) < limit/2 {
		c.tail = append(c.tail, s)
		return
	}
	c.tail[c.at] = s
	c.at = (c.at + 1) % len(c.tail)
	c.left++
}

// evictTCP makes room: connections that carry no IPsec go.
func (f *follower) evictTCP() bool {
	if f.tcpFull > 0 { // looking again at each connection would take quadratic time
		f.tcpFull--
		return false
	}
	kept := f.tcpOrder[:0]
	for _, c := range f.tcpOrder {
		if c.Content || c.configured && !c.dead {
			kept = append(kept, c)
			continue
		}
		if f.tcp[c.key] == c {
			delete(f.tcp, c.key)
		}
	}
	clear(f.tcpOrder[len(kept):])
	f.tcpOrder = kept
	if len(kept) < maxTCP {
		return true
	}
	f.tcpFull = 1024
	return false
}

func (f *follower) finishTCP(s *folded) {
	for _, c := range f.tcpOrder {
		if c.dead || !c.Content && !c.configured {
			continue
		}
		x := c.CTCPFlow
		a, b := addrPort(c.key.src, c.key.sport), addrPort(c.key.dst, c.key.dport)
		x.Client, x.Server = a, b
		if !c.client {
			x.Client, x.Server = b, a
		}
		x.First, x.Last = stamp(c.first), stamp(c.last)
		x.Segments = append(x.Segments, c.tail[c.at:]...)
		x.Segments = append(x.Segments, c.tail[:c.at]...)
		x.Omitted = c.left
		slices.SortStableFunc(x.Segments, func(a, b facts.CTCPSegment) int { return a.Time.Compare(b.Time) })
		f.c.CTCP = append(f.c.CTCP, &x)
	}
	f.labelSegments(s)
}

// labelSegments writes what IPsec a segment carries beside it.
func (f *follower) labelSegments(s *folded) {
	if len(f.c.CTCP) == 0 {
		return
	}
	labels := map[int]string{}
	for i, g := range s.negs {
		if !g.ctcp {
			continue
		}
		n := s.Negotiation(i)
		for i := range n.Messages {
			labels[n.Messages[i].Packet] = "IKE " + n.Messages[i].Label
		}
	}
	for i, fl := range s.flows {
		if carrier(fl.key.via) != viaTCP {
			continue
		}
		e := s.Flow(i)
		for _, s := range e.Sample {
			labels[s.Packet] = fmt.Sprintf("ESP 0x%08x", e.SPI)
		}
	}
	for _, c := range f.c.CTCP {
		for i := range c.Segments {
			if l := labels[c.Segments[i].Packet]; l != "" {
				c.Segments[i].Label = l
			}
		}
	}
}
