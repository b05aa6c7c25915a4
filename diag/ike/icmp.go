package ike

import (
	"encoding/binary"

	"vpnbot/diag/facts"
)

// icmp4 reads an ICMP error with the packet it quotes (RFC 792, RFC 1191). Everything
// else of ICMP is other traffic.
func (f *follower) icmp4(p *ipPacket) {
	b := p.data
	if len(b) < 8 || b[0] != 3 && b[0] != 11 && b[0] != 12 {
		f.other(p, "")
		return
	}
	e := facts.ICMPError{Type: b[0], Code: b[1]}
	if b[0] == 3 && b[1] == 4 {
		e.MTU = int(binary.BigEndian.Uint16(b[6:]))
	}
	f.icmpError(p, e, b[8:])
}

// icmp6 reads an ICMPv6 error (RFC 4443) and gives it the numbers of ICMPv4.
func (f *follower) icmp6(p *ipPacket) {
	b := p.data
	if len(b) < 8 || b[0] < 1 || b[0] > 4 {
		f.other(p, "")
		return
	}
	var e facts.ICMPError
	switch b[0] {
	case 1:
		e.Type = 3
		switch b[1] {
		case 1, 5, 6: // prohibited by policy
			e.Code = 13
		case 3: // address
			e.Code = 1
		case 4:
			e.Code = 3
		default:
			e.Code = 0
		}
	case 2:
		e.Type, e.Code, e.MTU = 3, 4, int(binary.BigEndian.Uint32(b[4:])&0xffffff)
	case 3:
		e.Type, e.Code = 11, b[1]
	case 4:
		e.Type, e.Code = 12, b[1]
	}
	f.icmpError(p, e, b[8:])
}

func (f *follower) icmpError(p *ipPacket, e facts.ICMPError, quote []byte) {
	var in ipPacket
	if !parseIP(quote, 0, &in) {
		f.other(p, "")
		return
	}
	if len(f.c.ICMP) >= maxICMP {
		f.c.ICMPDropped++
		return
	}
	e.Packet, e.Time, e.From, e.To = p.n, stamp(p.ts), p.src.netip(), p.dst.netip()
	q := &e.Quoted
	q.Proto, q.IPID, q.Length, q.DF = in.proto, uint16(in.id), in.total, in.df
	q.Offset, q.More = in.offset, in.more
	q.Src, q.Dst = addrPort(in.src, 0), addrPort(in.dst, 0)
	b := in.data
	if in.offset == 0 && len(b) >= 4 && (in.proto == protoUDP || in.proto == protoTCP) {
		sport, dport := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		q.Src, q.Dst = addrPort(in.src, sport), addrPort(in.dst, dport)
		if in.proto == protoUDP && len(b) > 8 {
			f.quotedUDP(q, b[8:], sport, dport)
		}
	}
	if in.offset == 0 && in.proto == protoESP && len(b) >= 4 {
		q.SPI = binary.BigEndian.Uint32(b)
		if len(b) >= 8 {
			q.Seq = binary.BigEndian.Uint32(b[4:])
		}
	}
	f.c.ICMP = append(f.c.ICMP, e)
}

// quotedUDP reads the IKE header or the SPI that an ICMP error quotes, as far as it goes.
func (f *follower) quotedUDP(q *facts.Quoted, b []byte, sport, dport uint16) {
	natt := sport == 4500 || dport == 4500
	usual := natt || sport == 500 || dport == 500
	if len(b) >= 4 && binary.BigEndian.Uint32(b) == 0 && (natt || !usual) {
		b = b[4:]
	} else if natt && len(b) >= 8 {
		if h, ok := parseHeader(b); !ok || h.wrong(int(h.length)) != "" {
			q.SPI, q.Seq = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
			return
		}
	}
	if h, ok := parseHeader(b); ok && h.wrong(int(h.length)) == "" && (usual || f.byCookie[h.init] != nil) {
		q.IKE, q.InitSPI, q.RespSPI, q.Exchange, q.MessageID = true, h.init, h.resp, h.exchange, h.msgID
	} else if !ok && usual && len(b) >= 8 { // RFC 792 asks for no more than eight bytes of payload
		q.IKE, q.InitSPI = true, binary.BigEndian.Uint64(b)
		if len(b) >= 16 {
			q.RespSPI = binary.BigEndian.Uint64(b[8:])
		}
	} else if !ok && usual && len(b) == 0 {
		q.IKE = !natt
	}
}
