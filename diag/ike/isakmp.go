package ike

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
)

const headerLen = 28

// Flags of the header.
const (
	flagEncrypted = 0x01 // IKEv1
	flagInitiator = 0x08 // IKEv2
	flagResponse  = 0x20 // IKEv2
)

// header is an ISAKMP or IKEv2 header (RFC 2408 3.1, RFC 7296 3.1).
type header struct {
	init, resp uint64
	length     int64
	msgID      uint32
	next       uint8
	major      uint8
	minor      uint8
	exchange   uint8
	flags      uint8
}

func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < headerLen {
		return h, false
	}
	return header{
		init: binary.BigEndian.Uint64(b), resp: binary.BigEndian.Uint64(b[8:]),
		next: b[16], major: b[17] >> 4, minor: b[17] & 15, exchange: b[18], flags: b[19],
		msgID: binary.BigEndian.Uint32(b[20:]), length: int64(binary.BigEndian.Uint32(b[24:])),
	}, true
}

// wrong says why the header of a datagram of n bytes cannot be IKE; "" when it can.
func (h *header) wrong(n int) string {
	switch {
	case h.major != 1 && h.major != 2:
		return "unknown version"
	case h.init == 0 && h.exchange != exInfo && h.exchange != exInfo2:
		return "no initiator cookie"
	case !exchangeKnown(h.major, h.exchange):
		return "unknown exchange type"
	case h.length < headerLen || h.length != int64(n):
		return "length field lies"
	}
	return ""
}

// damaged tells whether a header that cannot be right is one of IKE all the same.
func (h *header) damaged() bool {
	return (h.major == 1 || h.major == 2) && h.minor == 0 && exchangeKnown(h.major, h.exchange)
}

// decoded is what the clear part of one message says. Its slices are reused.
type decoded struct {
	payloads  []facts.Payload
	notifies  []facts.Notify
	vendors   []string
	proposals []facts.Proposal
	identity  string
	deletes   int
	encrypted bool
	opened    bool // it says encrypted and is not: captured after decryption
	malformed string
	natOffer  bool // NAT_DETECTION or NAT-D payloads, or a NAT-T vendor id
	fragOffer bool
	natSrc    natState // whether the sender's own address is the one of the packet
	natDst    natState
	natSum    []byte // the payload behind natDst, in the caller's buffer
	hasSA     bool

	part, parts int // of an IKE-level fragment
	fragID      uint16
	piece       []byte // its data (payload 132), in the caller's buffer
}

// natState is the outcome of comparing a NAT detection hash with the packet's address.
type natState uint8

const (
	natUnknown natState = iota
	natSame
	natChanged
)

// ends are the addresses and ports of the packet a message came in.
type ends struct {
	src, dst     addr
	sport, dport uint16
}

func (d *decoded) reset() {
	*d = decoded{payloads: d.payloads[:0], notifies: d.notifies[:0], vendors: d.vendors[:0], proposals: nil}
}

// Bounds of what is kept of one message.
const (
	maxPayloads   = 64
	maxProposals  = 16
	maxTransforms = 64
)

// decode reads the clear payloads of b, which holds a message from its header on, as far
// as it was captured. Nothing of b is kept but names and numbers.
func decode(b []byte, h *header, e ends, d *decoded) {
	d.reset()
	end := max(int(min(h.length, int64(len(b)))), headerLen)
	whole := int64(len(b)) >= h.length
	body := b[headerLen:end]
	if h.major == 1 && h.flags&flagEncrypted != 0 && h.next != p1Fragment {
		d.encrypted = true
		if !whole || !clearAfterAll(h.next, body) {
			return
		}
		d.opened = true
	}
	next := h.next
	for off := 0; next != 0; {
		if len(d.payloads) >= maxPayloads {
			d.malformed = "more payloads than a message can have"
			return
		}
		p := body[off:]
		if len(p) < 4 {
			if whole && !(d.encrypted && h.major == 1) {
				d.malformed = fmt.Sprintf("the payload chain runs past the end at byte %d", headerLen+off)
			}
			return
		}
		n := int(binary.BigEndian.Uint16(p[2:]))
		if n < 4 || whole && n > len(p) {
			d.malformed = fmt.Sprintf("payload %s at byte %d claims %d bytes", payloadName(h.major, next), headerLen+off, n)
			return
		}
		v := p[4:min(n, len(p))]
		pl := facts.Payload{Type: next, Name: payloadName(h.major, next), Length: n}
		if h.major == 1 {
			d.payload1(next, v, n, h, e, &pl)
		} else {
			d.payload2(next, v, n, h, e, &pl)
		}
		d.payloads = append(d.payloads, pl)
		if d.malformed != "" {
			return
		}
		if h.major == 2 && (next == p2SK || next == p2SKF) {
			return // the rest is inside
		}
		if h.major == 1 && next == p1Fragment {
			return
		}
		if n > len(p) {
			return
		}
		next = p[0]
		off += n
	}
}

func payloadName(major, t uint8) string {
	if major == 1 {
		return payloadName1(t)
	}
	return payloadName2(t)
}

// clearAfterAll tells whether the body of a message that calls itself encrypted is a clean
// payload chain: a device that captures IKE after decryption leaves the flag as it was.
func clearAfterAll(next uint8, b []byte) bool {
	if next != p1Hash && next != p1ID {
		return false
	}
	count := 0
	for next != 0 {
		if len(b) < 4 || b[1] != 0 || next > p1Attr && next != p1NATD && next != p1NATOA {
			return false
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return false
		}
		next, b = b[0], b[n:]
		count++
	}
	if count < 2 || len(b) > 16 {
		return false
	}
	return true
}

func (d *decoded) payload1(t uint8, v []byte, n int, h *header, e ends, p *facts.Payload) {
	short := len(v) < n-4
	switch t {
	case p1SA:
		d.hasSA = true
		before := len(d.proposals)
		if len(v) >= 8 {
			d.proposals1(v[8:], short)
		}
		p.Text = saText(d.proposals[before:])
	case p1KE:
		p.Text = keText(n - 4)
	case p1Nonce, p1Hash, p1Sig:
		p.Text = strconv.Itoa(n-4) + " bytes"
	case p1Cert, p1CertReq:
		if len(v) >= 1 {
			p.Text = certText(v[0], n-5)
		}
	case p1ID:
		if len(v) >= 4 && !short {
			d.identity = idText(1, v[0], v[4:])
			p.Text = d.identity
		}
	case p1Notify:
		if len(v) < 8 {
			if !short {
				d.malformed = "a notify payload is too short"
			}
			return
		}
		nt := facts.Notify{Type: binary.BigEndian.Uint16(v[6:])}
		nt.Name, nt.Error = notifyName1(nt.Type), notifyError(1, nt.Type)
		if s := int(v[5]); s == 4 && len(v) >= 12 {
			nt.SPI = binary.BigEndian.Uint32(v[8:])
		}
		p.Text = notifyText(nt)
		d.notifies = append(d.notifies, nt)
	case p1Delete:
		d.deletes++
		if len(v) >= 8 {
			p.Text = deleteText(protocolName(1, v[4]), int(v[5]), int(binary.BigEndian.Uint16(v[6:])), v[8:])
		}
	case p1Vendor:
		if short {
			return
		}
		d.vendor(vendorName(v), p)
	case p1Attr:
		if len(v) >= 4 {
			p.Text = configText(attrKind(v[0]), v[4:])
		}
	case p1NATD, p1NATDDraft, p1NATDOld:
		d.natOffer = true
		if short {
			return
		}
		// The first is about the receiver, the others are the sender's (RFC 3947 3.2).
		first := true
		for i := range d.payloads {
			if d.payloads[i].Type == t {
				first = false
			}
		}
		if first {
			d.natDst, d.natSum = natHash(v, h, e.dst, e.dport), v
			p.Text = "receiver's address, " + natText(d.natDst)
			return
		}
		s := natHash(v, h, e.src, e.sport)
		if d.natSrc != natSame {
			d.natSrc = s
		}
		p.Text = "sender's address, " + natText(s)
	case p1Fragment:
		if len(v) < 4 {
			if !short {
				d.malformed = "a fragment payload is too short"
			}
			return
		}
		d.fragID = binary.BigEndian.Uint16(v)
		d.part = int(v[2])
		if v[3]&1 != 0 {
			d.parts = d.part // the last one tells how many there are
		}
		d.piece = v[4:]
		p.Text = fmt.Sprintf("fragment %d of message %d", d.part, d.fragID)
		if v[3]&1 != 0 {
			p.Text += ", the last"
		}
	}
}

func natText(s natState) string {
	switch s {
	case natSame:
		return "as in the packet"
	case natChanged:
		return "differs from the packet: NAT"
	}
	return "not checked"
}

func (d *decoded) vendor(name string, p *facts.Payload) {
	p.Text = name
	d.vendors = append(d.vendors, name)
	switch {
	case strings.HasPrefix(name, natt):
		d.natOffer = true
	case name == "IKE fragmentation":
		d.fragOffer = true
	}
}

// attrKind names the kinds of a mode-config or XAUTH attribute payload; values stay unread,
// they hold passwords.
func attrKind(k uint8) string {
	switch k {
	case 1:
		return "request"
	case 2:
		return "reply"
	case 3:
		return "set"
	case 4:
		return "ack"
	}
	return "attributes"
}

// natHash compares a NAT detection payload with the packet's address.
func natHash(v []byte, h *header, a addr, port uint16) natState {
	var buf [16]byte
	ip := buf[:]
	if a.hi == 0 && a.lo>>32 == 0xffff {
		ip = buf[:4]
		binary.BigEndian.PutUint32(ip, uint32(a.lo))
	} else {
		binary.BigEndian.PutUint64(ip, a.hi)
		binary.BigEndian.PutUint64(ip[8:], a.lo)
	}
	same, known := facts.SameNATSum(v, h.init, h.resp, ip, port)
	switch {
	case same:
		return natSame
	case known:
		return natChanged
	}
	return natUnknown
}

// proposals1 reads the proposals of an IKEv1 SA payload (RFC 2408 3.5, 3.6).
func (d *decoded) proposals1(b []byte, short bool) {
	for len(b) >= 8 && len(d.proposals) < maxProposals {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 8 || n > len(b) && !short {
			d.malformed = fmt.Sprintf("a proposal claims %d bytes", n)
			return
		}
		p := facts.Proposal{Number: int(b[4]), Protocol: protocolName(1, b[5])}
		body := b[8:min(n, len(b))]
		spi := int(b[6])
		if spi > len(body) {
			if !short {
				d.malformed = "a proposal's SPI is longer than the proposal"
			}
			return
		}
		p.SPI = proposalSPI(body[:spi])
		body = body[spi:]
		for len(body) >= 8 && len(p.Transforms) < maxTransforms {
			m := int(binary.BigEndian.Uint16(body[2:]))
			if m < 8 || m > len(body) && !short {
				d.malformed = fmt.Sprintf("a transform claims %d bytes", m)
				return
			}
			attrs := body[8:min(m, len(body))]
			if b[5] == 2 || b[5] == 3 { // AH, ESP
				p.Transforms = append(p.Transforms, transformESP(b[5], int(body[4]), int(body[5]), attrs))
			} else {
				p.Transforms = append(p.Transforms, transform1(int(body[4]), attrs))
			}
			if body[0] == 0 || m > len(body) {
				break
			}
			body = body[m:]
		}
		d.proposals = append(d.proposals, p)
		if b[0] == 0 || n > len(b) {
			return
		}
		b = b[n:]
	}
}

// proposalSPI is the SPI of an IPsec SA; that of an IKE SA stands in the header.
func proposalSPI(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// transform1 reads the attributes of a phase-1 transform (RFC 2409 appendix A).
func transform1(number int, b []byte) facts.Transform {
	t := facts.Transform{Number: number}
	enc, keyLen, lifeType := 0, 0, 0
	attributes(b, func(typ uint16, value []byte) {
		v := number32(value)
		switch typ {
		case 1:
			enc = v
		case 2:
			t.Hash = hash1(v)
		case 3:
			t.Auth = auth1(v)
		case 4:
			t.Group = group(v)
		case 11:
			lifeType = v
		case 12:
			if lifeType == 1 {
				t.Lifetime = v
			}
		case 14:
			keyLen = v
		}
	})
	if enc != 0 {
		t.Encryption = encryption1(enc, keyLen)
	}
	return t
}

func (d *decoded) payload2(t uint8, v []byte, n int, h *header, e ends, p *facts.Payload) {
	short := len(v) < n-4
	switch t {
	case p2SA:
		d.hasSA = true
		before := len(d.proposals)
		d.proposals2(v, short)
		p.Text = saText(d.proposals[before:])
	case p2KE:
		if len(v) >= 4 {
			p.Text = fmt.Sprintf("%s, %d bytes", group(int(binary.BigEndian.Uint16(v))), n-8)
		}
	case p2Nonce:
		p.Text = strconv.Itoa(n-4) + " bytes"
	case p2Cert, p2CertReq:
		if len(v) >= 1 {
			p.Text = certText(v[0], n-5)
		}
	case p2Auth:
		if len(v) >= 4 {
			p.Text = authText(v[0], n-8)
		}
	case p2TSi, p2TSr:
		p.Text = selectorsText(v)
	case p2CP:
		if len(v) >= 4 {
			p.Text = configText(attrKind(v[0]), v[4:])
		}
	case p2EAP:
		p.Text = eapText(v)
	case p2IDi, p2IDr:
		if len(v) >= 4 && !short {
			d.identity = idText(2, v[0], v[4:])
			p.Text = d.identity
		}
	case p2Notify:
		if len(v) < 4 {
			if !short {
				d.malformed = "a notify payload is too short"
			}
			return
		}
		nt := facts.Notify{Type: binary.BigEndian.Uint16(v[2:])}
		nt.Name, nt.Error = notifyName2(nt.Type), notifyError(2, nt.Type)
		spi := int(v[1])
		if spi == 4 && len(v) >= 8 {
			nt.SPI = binary.BigEndian.Uint32(v[4:])
		}
		data := v[min(4+spi, len(v)):]
		p.Text = notifyText(nt)
		switch nt.Type {
		case 11:
			if nt.SPI == 0 && len(data) >= 4 {
				nt.SPI = binary.BigEndian.Uint32(data)
			}
		case 16388: // NAT_DETECTION_SOURCE_IP; there may be several
			d.natOffer = true
			if !short {
				s := natHash(data, h, e.src, e.sport)
				if d.natSrc != natSame {
					d.natSrc = s
				}
				p.Text += ": " + natText(s)
			}
		case 16389:
			d.natOffer = true
			if !short {
				d.natDst, d.natSum = natHash(data, h, e.dst, e.dport), data
				p.Text += ": " + natText(d.natDst)
			}
		case 17:
			if len(data) >= 2 {
				p.Text += ": wants " + group(int(binary.BigEndian.Uint16(data)))
			}
		case 16407, 16408: // REDIRECT, REDIRECTED_FROM (RFC 5685 section 4)
			if len(data) >= 2 && len(data) >= 2+int(data[1]) {
				p.Text += ": " + gatewayText(data[0], data[2:2+int(data[1])])
			}
		case 16430:
			d.fragOffer = true
		}
		d.notifies = append(d.notifies, nt)
	case p2Delete:
		d.deletes++
		if len(v) >= 4 {
			p.Text = deleteText(protocolName(2, v[0]), int(v[1]), int(binary.BigEndian.Uint16(v[2:])), v[4:])
		}
	case p2Vendor:
		if !short {
			d.vendor(vendorName(v), p)
		}
	case p2SK:
		d.encrypted = true
		p.Text = strconv.Itoa(n-4) + " bytes encrypted"
	case p2SKF:
		d.encrypted = true
		if len(v) >= 4 {
			d.part, d.parts = int(binary.BigEndian.Uint16(v)), int(binary.BigEndian.Uint16(v[2:]))
			p.Text = fmt.Sprintf("fragment %d of %d, %d bytes encrypted", d.part, d.parts, n-8)
			if d.part == 0 || d.part > d.parts {
				d.malformed = fmt.Sprintf("fragment number %d of %d", d.part, d.parts)
			}
		} else if !short {
			d.malformed = "a fragment payload is too short"
		}
	}
}

func gatewayText(kind uint8, v []byte) string {
	switch {
	case kind == 1 && len(v) == 4:
		return "to " + addr4(v).netip().String()
	case kind == 2 && len(v) == 16:
		return "to " + addr16(v).netip().String()
	case kind == 3:
		if s := printable(v, 64); s != "" {
			return "to " + s
		}
	}
	return "to another gateway"
}

// proposals2 reads the proposals of an IKEv2 SA payload (RFC 7296 3.3).
func (d *decoded) proposals2(b []byte, short bool) {
	for len(b) >= 8 && len(d.proposals) < maxProposals {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 8 || n > len(b) && !short {
			d.malformed = fmt.Sprintf("a proposal claims %d bytes", n)
			return
		}
		p := facts.Proposal{Number: int(b[4]), Protocol: protocolName(2, b[5])}
		body := b[8:min(n, len(b))]
		if spi := int(b[6]); spi <= len(body) {
			p.SPI = proposalSPI(body[:spi])
			body = body[spi:]
		} else {
			if !short {
				d.malformed = "a proposal's SPI is longer than the proposal"
			}
			return
		}
		for len(body) >= 8 && len(p.Transforms) < maxTransforms {
			m := int(binary.BigEndian.Uint16(body[2:]))
			if m < 8 || m > len(body) && !short {
				d.malformed = fmt.Sprintf("a transform claims %d bytes", m)
				return
			}
			p.Transforms = append(p.Transforms, transform2(body[4], int(binary.BigEndian.Uint16(body[6:])), body[8:min(m, len(body))], len(p.Transforms)+1))
			if body[0] == 0 || m > len(body) {
				break
			}
			body = body[m:]
		}
		d.proposals = append(d.proposals, p)
		if b[0] == 0 || n > len(b) {
			return
		}
		b = b[n:]
	}
}

func transform2(kind uint8, id int, attrs []byte, number int) facts.Transform {
	t := facts.Transform{Number: number}
	keyLen := 0
	attributes(attrs, func(typ uint16, v []byte) {
		if typ == 14 {
			keyLen = number32(v)
		}
	})
	switch kind {
	case 1:
		t.Encryption = encryption2(id, keyLen)
	case 2:
		t.PRF = prf2(id)
	case 3:
		t.Hash = integrity2(id)
	case 4:
		t.Group = group(id)
	}
	return t
}

// proposalText is one line about proposals, for people.
func proposalText(ps []facts.Proposal) string {
	var s strings.Builder
	for i, p := range ps {
		if i > 0 {
			s.WriteString("; ")
		}
		s.WriteString(p.Protocol)
		for j, t := range p.Transforms {
			if s.Len() > 240 {
				s.WriteString(" ...")
				return s.String()
			}
			if j > 0 && (t.Encryption != "" && t.Hash+t.Group+t.Auth != "") {
				s.WriteString(",")
			}
			for _, w := range []string{t.Encryption, t.PRF, t.Hash, t.Group, t.Auth} {
				if w != "" {
					s.WriteString(" ")
					s.WriteString(w)
				}
			}
		}
	}
	return s.String()
}
