package ike

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Reduced says what Reduce wrote.
type Reduced struct {
	Read    int // packets of the input
	Written int
	Cut     bool   // the input ended in the middle of a packet
	Damaged string // what stopped the reading before the end, "" when nothing did
}

// Reduce rewrites a capture so that it can be handed to others: addresses, ports, lengths,
// IP headers, times, IKE headers, proposals, vendor ids and notify types stay; key
// exchange, nonce, hash, identity, signature, certificate and encrypted bodies become
// zeros of the same length, also where an ICMP error quotes them; of ESP the SPI and the
// sequence number stay; all other payload becomes zeros. Names, comments and other
// blocks of a pcapng file are left out, and UDP checksums, which no longer fit, are zero.
//
// keep chooses packets by their number in the input (1 is the first); nil keeps all. What
// it leaves out is not written, so numbers in the output differ.
//
// The output is of the input's kind, pcap or pcapng, never compressed. It is complete
// when the error is nil; Cut and Damaged tell of an input that was not whole.
func Reduce(r io.Reader, w io.Writer, keep func(packet int) bool, opt Options) (Reduced, error) {
	var out Reduced
	f, err := newFileReader(r)
	if err != nil {
		return out, fmt.Errorf("reducing a capture: %w", err)
	}
	bw := bufio.NewWriterSize(w, 256<<10)
	dst := captureWriter{w: bw, ng: f.ng, links: map[int]uint32{}}
	s := newScrubber(opt)
	var rec record
	for {
		if err = f.next(&rec); err != nil {
			break
		}
		out.Read++
		s.frame(rec.link, rec.wire, rec.data)
		if keep != nil && !keep(rec.n) {
			continue
		}
		if err := dst.write(&rec); err != nil {
			return out, fmt.Errorf("writing the reduced capture: %w", err)
		}
		out.Written++
	}
	if err != io.EOF {
		return out, fmt.Errorf("reducing a capture: %w", err)
	}
	out.Cut, out.Damaged = f.cut, f.broken
	if out.Written == 0 {
		err = dst.begin(f.link)
	}
	if err == nil || err == io.EOF {
		err = bw.Flush()
	}
	if err != nil {
		return out, fmt.Errorf("writing the reduced capture: %w", err)
	}
	return out, nil
}

// captureWriter writes pcap with nanoseconds, or pcapng with one interface per link type.
type captureWriter struct {
	w     io.Writer
	ng    bool
	begun bool
	links map[int]uint32
	buf   []byte
}

func (c *captureWriter) begin(link int) error {
	if c.begun {
		return nil
	}
	c.begun = true
	le := binary.LittleEndian
	var b []byte
	if c.ng {
		b = le.AppendUint32(b, blockSection)
		b = le.AppendUint32(b, 28)
		b = le.AppendUint32(b, 0x1a2b3c4d)
		b = le.AppendUint32(b, 1) // version 1.0
		b = le.AppendUint64(b, ^uint64(0))
		b = le.AppendUint32(b, 28)
	} else {
		b = le.AppendUint32(b, 0xa1b23c4d)
		b = le.AppendUint16(b, 2)
		b = le.AppendUint16(b, 4)
		b = le.AppendUint64(b, 0)
		b = le.AppendUint32(b, maxRecord)
		b = le.AppendUint32(b, uint32(link))
	}
	_, err := c.w.Write(b)
	return err
}

func (c *captureWriter) write(r *record) error {
	if err := c.begin(r.link); err != nil {
		return err
	}
	le := binary.LittleEndian
	b := c.buf[:0]
	if !c.ng {
		b = le.AppendUint32(b, uint32(r.ts/1e9))
		b = le.AppendUint32(b, uint32(r.ts%1e9))
		b = le.AppendUint32(b, uint32(len(r.data)))
		b = le.AppendUint32(b, uint32(r.wire))
		c.buf = append(b, r.data...)
		_, err := c.w.Write(c.buf)
		return err
	}
	id, ok := c.links[r.link]
	if !ok {
		id = uint32(len(c.links))
		c.links[r.link] = id
		b = le.AppendUint32(b, blockInterface)
		b = le.AppendUint32(b, 32)
		b = le.AppendUint16(b, uint16(r.link))
		b = le.AppendUint16(b, 0)
		b = le.AppendUint32(b, maxRecord)
		b = append(b, 9, 0, 1, 0, 9, 0, 0, 0) // if_tsresol: nanoseconds
		b = le.AppendUint32(b, 0)             // end of options
		b = le.AppendUint32(b, 32)
	}
	pad := -len(r.data) & 3
	size := uint32(32 + len(r.data) + pad)
	b = le.AppendUint32(b, blockEnhanced)
	b = le.AppendUint32(b, size)
	b = le.AppendUint32(b, id)
	b = le.AppendUint32(b, uint32(uint64(r.ts)>>32))
	b = le.AppendUint32(b, uint32(r.ts))
	b = le.AppendUint32(b, uint32(len(r.data)))
	b = le.AppendUint32(b, uint32(r.wire))
	b = append(b, r.data...)
	b = append(b, make([]byte, pad)...)
	c.buf = le.AppendUint32(b, size)
	_, err := c.w.Write(c.buf)
	return err
}

// Bounds of what the scrubber remembers.
const (
	maxScrubCookies   = 200000
	maxScrubFragments = 1024
)

// scrubber zeroes what must not leave. It works in place and keeps, for datagrams in
// fragments, how far it got; a later fragment that comes out of order is zeroed whole.
type scrubber struct {
	class   udpClassifier
	cookies map[uint64]bool
	frags   map[fragKey]*fragScrub
	order   []fragKey
}

// fragScrub continues a message in its next fragment.
type fragScrub struct {
	next int // offset within the IP payload
	m    masker
}

func newScrubber(opt Options) *scrubber {
	s := &scrubber{cookies: map[uint64]bool{}, frags: map[fragKey]*fragScrub{}}
	s.class = newUDPClassifier(opt, func(c uint64) bool { return s.cookies[c] })
	return s
}

// frame scrubs one frame.
func (s *scrubber) frame(link, wire int, b []byte) {
	o := ipOffset(link, b)
	if o < 0 || o >= len(b) {
		clear(b[linkHead(link, b):]) // ARP, CDP, LLDP and the like
		return
	}
	s.ip(b[o:], wire-o, 0)
}

// linkHead is the length of the link header that stays of a frame without IP.
func linkHead(link int, b []byte) int {
	n := 0
	switch link {
	case linkEthernet:
		n = 14
	case linkSLL:
		n = 16
	case linkSLL2:
		n = 20
	case linkNull, linkLoop:
		n = 4
	}
	return min(n, len(b))
}

// ip scrubs an IP packet; depth is 1 for one that an ICMP error quotes.
func (s *scrubber) ip(b []byte, wire, depth int) {
	var p ipPacket
	if !parseIP(b, wire, &p) {
		clear(b)
		return
	}
	// Padding and whatever else stands behind the packet.
	if p.total < len(b) && depth == 0 {
		clear(b[p.total:])
	}
	d := p.data
	if depth > 0 && p.total < len(b) {
		clear(b[p.total:])
	}
	if p.offset > 0 {
		s.later(&p, depth)
		return
	}
	switch p.proto {
	case protoESP:
		clear(d[min(8, len(d)):])
	case protoAH:
		rest := d[min(12, len(d)):]
		if len(d) > 12 && d[0] == protoESP { // the ICV goes, SPI and number of the ESP behind it stay
			icv := min(max(int(d[1])*4+8-12, 0), len(rest))
			clear(rest[:icv])
			rest = rest[min(icv+8, len(rest)):]
		}
		clear(rest)
	case protoUDP:
		s.udp(&p, depth)
	case protoTCP:
		s.tcp(&p)
	case protoICMP, protoICMPv6:
		if len(d) > 8 && depth == 0 && quotes(p.proto, d[0]) {
			s.ip(d[8:], 0, 1)
			return
		}
		clear(d[min(8, len(d)):])
	default:
		clear(d)
	}
}

// quotes tells ICMP errors, which quote a packet.
func quotes(proto, typ uint8) bool {
	if proto == protoICMP {
		return typ == 3 || typ == 4 || typ == 5 || typ == 11 || typ == 12
	}
	return typ >= 1 && typ <= 4
}

func (s *scrubber) udp(p *ipPacket, depth int) {
	if len(p.data) < 8 {
		clear(p.data[min(4, len(p.data)):])
		return
	}
	if depth > 0 || p.fragment() {
		p.frag = &datagram{end: -1} // the rest is elsewhere: the length field is believed
	}
	e, b, n := udpPayload(p)
	p.data[6], p.data[7] = 0, 0
	clear(p.data[8+len(b):])
	kind, skip, _ := s.class.classify(e, b, n)
	if depth > 0 && kind == udpJunk && len(b) >= 4 && binary.BigEndian.Uint32(b) == 0 {
		kind, skip = udpIKE, 4
	}
	switch kind {
	case udpIKE:
		m := masker{}
		m.write(b[min(skip, len(b)):])
		if depth == 0 {
			if h, ok := parseHeader(b[min(skip, len(b)):]); ok && len(s.cookies) < maxScrubCookies {
				s.cookies[h.init] = true
			}
			if p.more {
				s.begin(p, m)
			}
		}
	case udpESP, udpJunk:
		clear(b[min(8, len(b)):])
	case udpKeepalive:
	default:
		clear(b)
	}
}

func (s *scrubber) tcp(p *ipPacket) {
	d := p.data
	if len(d) < 20 {
		return
	}
	head := int(d[12]>>4) * 4
	if head < 20 || head > len(d) {
		clear(d[20:])
		return
	}
	payload, n := d[head:], p.length-head
	proto, inner, _ := ctcpContent(payload, n)
	body := payload
	if proto != 0 && n-ctcpTrailer < len(payload) {
		body = payload[:max(0, n-ctcpTrailer)] // the trailer stays
	}
	switch proto {
	case protoUDP:
		m := masker{}
		m.write(inner)
		body[6], body[7] = 0, 0
	case protoESP:
		clear(body[min(8, len(body)):])
	default:
		clear(payload)
	}
}

// begin remembers a message whose other fragments follow.
func (s *scrubber) begin(p *ipPacket, m masker) {
	k := fragKey{p.src, p.dst, p.id, p.proto}
	if _, ok := s.frags[k]; !ok {
		if len(s.order) >= maxScrubFragments {
			delete(s.frags, s.order[0])
			s.order = s.order[1:]
		}
		s.order = append(s.order, k)
	}
	next := p.length
	if p.snapped() {
		next = -1 // bytes are missing: nothing can be continued
	}
	s.frags[k] = &fragScrub{next: next, m: m}
}

// later scrubs a fragment that is not the first.
func (s *scrubber) later(p *ipPacket, depth int) {
	f := s.frags[fragKey{p.src, p.dst, p.id, p.proto}]
	if f == nil || depth > 0 || f.next != p.offset {
		clear(p.data)
		return
	}
	f.m.write(p.data)
	f.next += p.length
	if p.snapped() {
		f.next = -1
	}
}

// masker walks one IKE message, in pieces as they come, and zeroes what must not leave.
type masker struct {
	pos   int // within the message
	head  [headerLen]byte
	zero  bool // all that follows becomes zeros
	next  uint8
	major uint8

	hp   int     // bytes of the payload header read, 4 when within a payload
	ph   [4]byte // payload header
	typ  uint8
	left int // bytes of the payload's body to come
	body int // bytes of it that passed
	keep int // bytes of it that stay
	peek [8]byte
}

const keepAll = 1 << 30

func (m *masker) write(b []byte) {
	for i := range b {
		switch {
		case m.zero:
			clear(b[i:])
			return
		case m.pos < headerLen:
			m.head[m.pos] = b[i]
			if m.pos++; m.pos == headerLen {
				m.begin()
			}
		case m.hp < 4:
			m.ph[m.hp] = b[i]
			if m.hp++; m.hp == 4 {
				m.payload()
			}
		default:
			if m.body < len(m.peek) {
				m.peek[m.body] = b[i]
			}
			if m.body >= m.keep {
				b[i] = 0
			}
			m.body++
			m.decide()
			if m.body >= m.left {
				m.endPayload()
			}
		}
	}
}

// begin looks at the header of the message.
func (m *masker) begin() {
	h, _ := parseHeader(m.head[:])
	m.major, m.next = h.major, h.next
	switch {
	case h.major != 1 && h.major != 2, h.next == 0:
		m.zero = true
	case h.major == 1 && h.flags&flagEncrypted != 0 && h.next != p1Fragment:
		m.zero = true
	}
}

// payload looks at a payload's header and decides what of its body stays.
func (m *masker) payload() {
	n := int(binary.BigEndian.Uint16(m.ph[2:]))
	if n < 4 {
		m.zero = true
		return
	}
	m.typ, m.next, m.left, m.body, m.keep = m.next, m.ph[0], n-4, 0, 0
	if m.major == 1 {
		switch m.typ {
		case p1SA, p1Vendor, p1NATD, p1NATDDraft, p1NATDOld, p1Delete:
			m.keep = keepAll
		case p1ID, p1NATOA, p1NATOADr, p1NATOAOld, p1Fragment:
			m.keep = 4
		case p1Notify:
			m.keep = 8
		case p1Cert, p1CertReq, p1Attr:
			m.keep = 1
		}
	} else {
		switch m.typ {
		case p2SA, p2Vendor, p2Delete:
			m.keep = keepAll
		case p2KE, p2IDi, p2IDr, p2Auth, p2SKF, p2Notify:
			m.keep = 4
		case p2Cert, p2CertReq:
			m.keep = 1
		case p2SK:
			m.zero = true
		}
	}
	if m.left == 0 {
		m.endPayload()
	}
}

// decide extends what stays once the start of the body tells more.
func (m *masker) decide() {
	switch {
	case m.major == 2 && m.typ == p2Notify && m.body == 4:
		m.keep += int(m.peek[1]) // SPI
		switch binary.BigEndian.Uint16(m.peek[2:]) {
		case 16388, 16389, 17, 11, 16407, 16408: // NAT detection, group wanted, SPI, gateway
			m.keep = keepAll
		}
	case m.major == 1 && m.typ == p1Notify && m.body == 8:
		m.keep += min(int(m.peek[5]), 16) // SPI
	case m.major == 1 && m.typ == p1Fragment && m.body == 4 && m.peek[2] == 1:
		m.keep += headerLen // of the message inside
	}
}

func (m *masker) endPayload() {
	m.hp = 0
	if m.next == 0 || m.major == 1 && m.typ == p1Fragment || m.major == 2 && m.typ == p2SKF {
		m.zero = true
	}
}
