package ike

import (
	"encoding/binary"
)

// udpKind is what a UDP datagram is.
type udpKind uint8

const (
	udpOther udpKind = iota // none of our business
	udpIKE
	udpESP
	udpKeepalive
	udpJunk // on an IKE port, and nothing of IPsec
)

// udpClassifier tells what a UDP datagram is by its ports and content.
type udpClassifier struct {
	ports map[uint16]bool     // configured
	natt  map[pairKey]bool    // pairs of ends on unusual ports that use the non-ESP marker
	known func(c uint64) bool // whether an initiator's cookie was seen
}

func newUDPClassifier(opt Options, known func(uint64) bool) udpClassifier {
	u := udpClassifier{ports: map[uint16]bool{}, natt: map[pairKey]bool{}, known: known}
	for _, p := range opt.IKEPorts {
		u.ports[p] = true
	}
	return u
}

// classify looks at b, the payload as far as captured, n bytes on the wire. skip is the
// length of the non-ESP marker; what names junk.
func (u *udpClassifier) classify(e ends, b []byte, n int) (kind udpKind, skip int, what string) {
	switch {
	case e.sport == 4500 || e.dport == 4500:
		return encapsulated(b, n)
	case e.sport == 500 || e.dport == 500:
		return plain(b, n)
	case len(u.ports) > 0 && (u.ports[e.sport] || u.ports[e.dport]),
		len(u.natt) > 0 && u.natt[pairKey(e)]:
		return encapsulated(b, n)
	}
	// Both ports translated: only a known cookie counts.
	if len(b) >= 4+headerLen && binary.BigEndian.Uint32(b) == 0 {
		skip = 4
	}
	h, ok := parseHeader(b[skip:])
	if !ok || h.wrong(n-skip) != "" || h.init == 0 || !u.known(h.init) {
		return udpOther, 0, ""
	}
	if skip > 0 && len(u.natt) < 4096 {
		u.natt[pairKey(e)] = true
		u.natt[pairKey{e.dst, e.src, e.dport, e.sport}] = true
	}
	return udpIKE, skip, ""
}

// plain reads what stands on port 500: IKE without a marker.
func plain(b []byte, n int) (udpKind, int, string) {
	if len(b) >= 4+headerLen && binary.BigEndian.Uint32(b) == 0 { // a peer that marks everything
		if h, _ := parseHeader(b[4:]); h.wrong(n-4) == "" {
			return udpIKE, 4, ""
		}
	}
	if n == 1 && len(b) == 1 && b[0] == 0xff {
		return udpKeepalive, 0, ""
	}
	return udpIKE, 0, ""
}

// encapsulated reads what stands on port 4500 (RFC 3948): a keepalive, IKE after four zero
// bytes, or ESP.
func encapsulated(b []byte, n int) (udpKind, int, string) {
	switch {
	case n == 1 && (len(b) == 0 || b[0] == 0xff):
		return udpKeepalive, 0, ""
	case n < 8 || len(b) < 8:
		return udpJunk, 0, "too short"
	case binary.BigEndian.Uint32(b) == 0:
		return udpIKE, 4, ""
	}
	// Some send the marker only when both ports are 4500.
	if h, ok := parseHeader(b); ok && h.wrong(n) == "" {
		return udpIKE, 0, ""
	}
	if b[0]&0xc0 == 0 && binary.BigEndian.Uint32(b[4:]) == 0x2112a442 { // RFC 8489 section 5
		return udpJunk, 0, "STUN"
	}
	if binary.BigEndian.Uint32(b) < 256 { // reserved, RFC 4303 section 2.1
		return udpJunk, 0, "reserved SPI"
	}
	return udpESP, 0, ""
}

// udpPayload reads a UDP header: the ends, the payload as far as captured, and its length
// on the wire.
func udpPayload(p *ipPacket) (e ends, b []byte, n int) {
	e = ends{p.src, p.dst, binary.BigEndian.Uint16(p.data), binary.BigEndian.Uint16(p.data[2:])}
	n = int(binary.BigEndian.Uint16(p.data[4:])) - 8
	if n < 0 || n > p.length-8 && (p.frag == nil || p.frag.end >= 0) {
		n = p.length - 8 // offloading, or a length that lies
	}
	return e, p.data[8:min(len(p.data), 8+max(n, 0))], n
}
