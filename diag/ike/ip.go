package ike

import (
	"encoding/binary"
	"net/netip"
)

// addr is an IP address as two words, IPv4 mapped into IPv6: small, comparable and
// quick to hash.
type addr struct{ hi, lo uint64 }

const mapped = 0xffff << 32

func addr4(b []byte) addr { return addr{0, mapped | uint64(binary.BigEndian.Uint32(b))} }
func addr16(b []byte) addr {
	return addr{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (a addr) netip() netip.Addr {
	var b [16]byte
	if a.hi == 0 && a.lo>>32 == 0xffff {
		binary.BigEndian.PutUint32(b[:4], uint32(a.lo))
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

func addrOf(a netip.Addr) addr {
	b := a.As16()
	return addr16(b[:])
}

// IP protocols.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoESP    = 50
	protoAH     = 51
	protoICMPv6 = 58
)

// ipPacket is one IP packet: a whole one, one fragment, or a datagram put together.
type ipPacket struct {
	n      int   // record number
	ts     int64 // nanoseconds
	src    addr
	dst    addr
	id     uint32 // IPv4 identification, IPv6 fragment identification
	offset int    // of the fragment, bytes
	total  int    // bytes of the packet by its header
	length int    // bytes of the IP payload on the wire
	data   []byte // IP payload as far as it was captured
	proto  uint8
	ttl    uint8
	dscp   uint8
	df     bool
	more   bool
	v6     bool
	frag   *datagram // when put together from fragments
}

func (p *ipPacket) fragment() bool { return p.more || p.offset > 0 }
func (p *ipPacket) snapped() bool  { return len(p.data) < p.length }

// parseIP reads an IPv4 or IPv6 header with its extension headers. wire is the length
// on the wire from the IP header on, for packets whose header does not say (offloading).
func parseIP(b []byte, wire int, p *ipPacket) bool {
	if len(b) < 1 {
		return false
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b, wire, p)
	case 6:
		return parseIPv6(b, wire, p)
	}
	return false
}

func parseIPv4(b []byte, wire int, p *ipPacket) bool {
	if len(b) < 20 {
		return false
	}
	head := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 { // segmentation offload: the card fills it in
		total = wire
	}
	if head < 20 || total < head || len(b) < head {
		return false
	}
	fo := binary.BigEndian.Uint16(b[6:])
	p.src, p.dst = addr4(b[12:]), addr4(b[16:])
	p.id = uint32(binary.BigEndian.Uint16(b[4:]))
	p.offset, p.more, p.df = int(fo&0x1fff)*8, fo&0x2000 != 0, fo&0x4000 != 0
	p.total, p.length = total, total-head
	p.data = b[head:min(len(b), total)]
	p.proto, p.ttl, p.dscp, p.v6 = b[9], b[8], b[1]>>2, false
	p.frag = nil
	return true
}

func parseIPv6(b []byte, wire int, p *ipPacket) bool {
	if len(b) < 40 {
		return false
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n == 0 { // jumbogram or offload
		n = max(wire-40, 0)
	}
	p.src, p.dst = addr16(b[8:]), addr16(b[24:])
	p.id, p.offset, p.more, p.df = 0, 0, false, true // routers never cut IPv6
	p.total, p.ttl, p.v6 = n+40, b[7], true
	p.dscp = uint8(binary.BigEndian.Uint16(b)>>4) >> 2
	p.frag = nil
	next := b[6]
	rest := b[40:min(len(b), n+40)]
	for range 8 {
		switch next {
		case 0, 43, 60: // hop-by-hop, routing, destination options
			if len(rest) < 8 || int(rest[1])*8+8 > n {
				p.proto, p.length, p.data = next, n, rest
				return true
			}
			step := int(rest[1])*8 + 8
			next = rest[0]
			n -= step
			rest = rest[min(step, len(rest)):]
			continue
		case 44:
			if len(rest) < 8 || n < 8 {
				p.proto, p.length, p.data = next, n, rest
				return true
			}
			fo := binary.BigEndian.Uint16(rest[2:])
			p.offset, p.more = int(fo&^7), fo&1 != 0
			p.id = binary.BigEndian.Uint32(rest[4:])
			next = rest[0]
			n -= 8
			rest = rest[8:]
			if p.offset > 0 { // what follows is the middle of something
				p.proto, p.length, p.data = next, n, rest
				return true
			}
			continue
		}
		break
	}
	p.proto, p.length, p.data = next, n, rest
	return true
}

// Link types (LINKTYPE_ values of the pcap formats).
const (
	linkNull     = 0
	linkEthernet = 1
	linkPPP      = 9
	linkRaw12    = 12 // DLT_RAW as some systems write it
	linkRaw14    = 14
	linkPPPHDLC  = 50
	linkPPPoE    = 51
	linkRaw      = 101
	linkCHDLC    = 104
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

// ipOffset says where the IP header begins in a frame, -1 when there is none.
func ipOffset(link int, b []byte) int {
	switch link {
	case linkEthernet:
		return etherOffset(b)
	case linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
		return 0
	case linkNull, linkLoop:
		if len(b) > 4 && (b[4]>>4 == 4 || b[4]>>4 == 6) {
			return 4
		}
	case linkSLL:
		if len(b) >= 16 {
			return typeOffset(binary.BigEndian.Uint16(b[14:]), b, 16)
		}
	case linkSLL2:
		if len(b) >= 20 {
			return typeOffset(binary.BigEndian.Uint16(b), b, 20)
		}
	case linkPPP:
		return pppOffset(b, 0)
	case linkPPPHDLC:
		return pppOffset(b, 0)
	case linkPPPoE:
		return typeOffset(etherPPPoE, b, 0)
	case linkCHDLC:
		if len(b) >= 4 {
			return typeOffset(binary.BigEndian.Uint16(b[2:]), b, 4)
		}
	}
	return -1
}

// EtherTypes.
const (
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	etherPPPoE = 0x8864
	etherMPLS  = 0x8847
)

func etherOffset(b []byte) int {
	if len(b) < 14 {
		return -1
	}
	t := binary.BigEndian.Uint16(b[12:])
	if t == etherIPv4 {
		return 14
	}
	return typeOffset(t, b, 14)
}

// typeOffset follows VLAN tags, PPPoE, MPLS labels and LLC/SNAP from offset o on.
func typeOffset(t uint16, b []byte, o int) int {
	for range 8 {
		switch t {
		case etherIPv4, etherIPv6:
			return o
		case 0x8100, 0x88a8, 0x9100, 0x9200: // 802.1Q and QinQ
			if len(b) < o+4 {
				return -1
			}
			t = binary.BigEndian.Uint16(b[o+2:])
			o += 4
		case etherPPPoE:
			return pppOffset(b, o+6)
		case etherMPLS:
			for {
				if len(b) < o+5 {
					return -1
				}
				bottom := b[o+2]&1 != 0
				o += 4
				if bottom {
					return o // the version nibble tells the rest
				}
			}
		default:
			if t < 1536 && len(b) >= o+8 && b[o] == 0xaa && b[o+1] == 0xaa && b[o+2] == 3 {
				t = binary.BigEndian.Uint16(b[o+6:])
				o += 8
				continue
			}
			return -1
		}
	}
	return -1
}

// pppOffset reads the PPP protocol at o, with or without address and control field,
// one or two bytes long.
func pppOffset(b []byte, o int) int {
	if len(b) >= o+2 && b[o] == 0xff && b[o+1] == 3 {
		o += 2
	}
	switch {
	case len(b) >= o+2 && b[o] == 0 && (b[o+1] == 0x21 || b[o+1] == 0x57):
		return o + 2
	case len(b) >= o+1 && (b[o] == 0x21 || b[o] == 0x57):
		return o + 1
	}
	return -1
}
