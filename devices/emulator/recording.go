package emulator

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"time"
)

// Addresses of the lab in which the recordings were made.
var (
	labHQ    = netip.MustParseAddr("198.51.100.1")
	labSpoke = netip.MustParseAddr("203.0.113.10")
)

// recording is one run of real daemons, captured at both ends by the same clock.
type recording struct {
	hq, spoke []packet
	begin     time.Time // of the first packet at either end
	end       time.Time
}

// packet is one Ethernet frame.
type packet struct {
	at   time.Time
	orig int // length on the wire
	data []byte
}

func readRecording(files fs.FS, spec recordingSpec) (*recording, error) {
	var r recording
	for _, v := range []struct {
		name string
		to   *[]packet
	}{{spec.HQ, &r.hq}, {spec.Spoke, &r.spoke}} {
		data, err := fs.ReadFile(files, v.name)
		if err != nil {
			return nil, err
		}
		if *v.to, err = readPcap(data); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		for _, p := range *v.to {
			if r.begin.IsZero() || p.at.Before(r.begin) {
				r.begin = p.at
			}
			if p.at.After(r.end) {
				r.end = p.at
			}
		}
	}
	if r.begin.IsZero() {
		return nil, errors.New("no packets")
	}
	return &r, nil
}

// window is the part of the recording that a playback shows, as offsets from its begin.
func (r *recording) window(p playSpec) (from, to time.Duration) {
	to = p.To
	if to == 0 {
		to = math.MaxInt64
	}
	return p.From, to
}

// readPcap reads a classic little-endian Ethernet pcap with microseconds.
func readPcap(b []byte) ([]packet, error) {
	if len(b) < 24 || binary.LittleEndian.Uint32(b) != 0xa1b2c3d4 || binary.LittleEndian.Uint32(b[20:]) != 1 {
		return nil, errors.New("not a little-endian Ethernet pcap")
	}
	var out []packet
	for b = b[24:]; len(b) >= 16; {
		sec, usec := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		n, orig := int(binary.LittleEndian.Uint32(b[8:])), int(binary.LittleEndian.Uint32(b[12:]))
		if n < 0 || n > len(b)-16 {
			return nil, errors.New("cut in the middle of a packet")
		}
		out = append(out, packet{time.Unix(int64(sec), int64(usec)*1000).UTC(), orig, b[16 : 16+n : 16+n]})
		b = b[16+n:]
	}
	return out, nil
}

// writePcap is what the ASA's HTTPS server sends.
func writePcap(ps []packet, snaplen int) []byte {
	var w bytes.Buffer
	le := binary.LittleEndian
	h := make([]byte, 24)
	le.PutUint32(h, 0xa1b2c3d4)
	le.PutUint16(h[4:], 2)
	le.PutUint16(h[6:], 4)
	le.PutUint32(h[16:], uint32(snaplen))
	le.PutUint32(h[20:], 1)
	w.Write(h)
	for _, p := range ps {
		r := make([]byte, 16)
		us := p.at.UnixMicro()
		le.PutUint32(r, uint32(us/1e6))
		le.PutUint32(r[4:], uint32(us%1e6))
		le.PutUint32(r[8:], uint32(len(p.data)))
		le.PutUint32(r[12:], uint32(p.orig))
		w.Write(r)
		w.Write(p.data)
	}
	return w.Bytes()
}

const ethLen = 14

// ip returns the IPv4 packet inside the frame, nil when there is none.
func (p packet) ip() []byte {
	if len(p.data) < ethLen+20 || binary.BigEndian.Uint16(p.data[12:]) != 0x0800 || p.data[ethLen]>>4 != 4 {
		return nil
	}
	return p.data[ethLen:]
}

// header of an IPv4 packet, as far as filters and listings need it.
type header struct {
	src, dst     netip.Addr
	proto        int
	sport, dport int // -1 where there are none: not TCP or UDP, or a later fragment
	offset       int // bytes
	more         bool
	id           int
	hlen, total  int
}

func parseHeader(ip []byte) (header, bool) {
	if len(ip) < 20 {
		return header{}, false
	}
	h := header{
		src: netip.AddrFrom4([4]byte(ip[12:16])), dst: netip.AddrFrom4([4]byte(ip[16:20])), proto: int(ip[9]),
		sport: -1, dport: -1, hlen: int(ip[0]&15) * 4, total: int(binary.BigEndian.Uint16(ip[2:])), id: int(binary.BigEndian.Uint16(ip[4:])),
	}
	f := binary.BigEndian.Uint16(ip[6:])
	h.more, h.offset = f&0x2000 != 0, int(f&0x1fff)*8
	if (h.proto == 6 || h.proto == 17) && h.offset == 0 && len(ip) >= h.hlen+4 {
		h.sport = int(binary.BigEndian.Uint16(ip[h.hlen:]))
		h.dport = int(binary.BigEndian.Uint16(ip[h.hlen+2:]))
	}
	return h, true
}

// esp returns the SPI and the sender of a native ESP packet.
func (p packet) esp() (spi uint32, src netip.Addr, ok bool) {
	ip := p.ip()
	h, ok := parseHeader(ip)
	if !ok || h.proto != 50 || h.offset != 0 || len(ip) < h.hlen+8 {
		return 0, netip.Addr{}, false
	}
	return binary.BigEndian.Uint32(ip[h.hlen:]), h.src, true
}

// move gives a frame another time and other addresses. Everything else stays, but the
// checksums and digests that cover the addresses: IP, UDP, and NAT-D payloads of IKEv1
// main mode (RFC 3947 section 3.2), which are hashes of cookies, address and port.
func (p packet) move(at time.Time, to map[netip.Addr]netip.Addr) packet {
	q := packet{at: at, orig: p.orig, data: bytes.Clone(p.data)}
	ip := q.ip()
	h, ok := parseHeader(ip)
	if !ok || len(ip) < h.hlen || h.hlen < 20 {
		return q
	}
	src, dst := h.src, h.dst
	if a, ok := to[src]; ok {
		src = a
	}
	if a, ok := to[dst]; ok {
		dst = a
	}
	if src == h.src && dst == h.dst {
		return q
	}
	s4, d4 := src.As4(), dst.As4()
	var fix [8]byte
	copy(fix[:4], ip[12:16])
	copy(fix[4:], ip[16:20])
	copy(ip[12:], s4[:])
	copy(ip[16:], d4[:])
	binary.BigEndian.PutUint16(ip[10:], adjust(binary.BigEndian.Uint16(ip[10:]), fix[:], ip[12:20]))
	if h.offset != 0 || h.proto != 17 || len(ip) < h.hlen+8 {
		return q
	}
	udp := ip[h.hlen:]
	sum := binary.BigEndian.Uint16(udp[6:])
	if sum != 0 {
		sum = adjust(sum, fix[:], ip[12:20])
	}
	if !h.more {
		for _, d := range natD(udp[8:]) {
			old := bytes.Clone(d.body)
			if d.replace(h, src, dst) && sum != 0 && len(old)%2 == 0 {
				// the payload may stand at an odd offset; then its bytes count swapped
				sum = adjustAt(sum, old, d.body, d.offset%2 == 1)
			}
		}
	}
	if sum == 0 && binary.BigEndian.Uint16(udp[6:]) != 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	return q
}

// adjust updates an Internet checksum for changed bytes (RFC 1624).
func adjust(sum uint16, old, new []byte) uint16 { return adjustAt(sum, old, new, false) }

func adjustAt(sum uint16, old, new []byte, odd bool) uint16 {
	word := func(b []byte, i int) uint32 {
		if odd {
			return uint32(b[i+1])<<8 | uint32(b[i])
		}
		return uint32(b[i])<<8 | uint32(b[i+1])
	}
	acc := uint32(^sum)
	for i := 0; i+1 < len(old); i += 2 {
		acc += uint32(^uint16(word(old, i)))
		acc += word(new, i)
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return ^uint16(acc)
}

// natPayload is the body of one NAT-D payload of an IKE message in clear.
type natPayload struct {
	ike    []byte
	body   []byte
	offset int // from the UDP payload's begin
}

// natD finds the NAT-D payloads (20) of an unencrypted IKEv1 message.
func natD(ike []byte) []natPayload {
	const hdr, payloadNATD = 28, 20
	if len(ike) < hdr || ike[17]>>4 != 1 || ike[19]&1 != 0 {
		return nil
	}
	var out []natPayload
	next, at := ike[16], hdr
	for next != 0 && at+4 <= len(ike) {
		n := int(binary.BigEndian.Uint16(ike[at+2:]))
		if n < 4 || at+n > len(ike) {
			break
		}
		if next == payloadNATD {
			out = append(out, natPayload{ike, ike[at+4 : at+n], at + 4})
		}
		next, at = ike[at], at+n
	}
	return out
}

// replace writes the digest of the moved address when the digest is that of one of the
// packet's old addresses; it reports whether it did.
func (d natPayload) replace(h header, src, dst netip.Addr) bool {
	for _, c := range []struct {
		old, new netip.Addr
		port     int
	}{{h.src, src, h.sport}, {h.dst, dst, h.dport}} {
		if was := digest(d.ike, c.old, c.port, len(d.body)); was != nil && bytes.Equal(was, d.body) {
			copy(d.body, digest(d.ike, c.new, c.port, len(d.body)))
			return true
		}
	}
	return false
}

func digest(ike []byte, a netip.Addr, port, size int) []byte {
	b := append([]byte(nil), ike[:16]...)
	b = append(b, a.AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	switch size {
	case md5.Size:
		s := md5.Sum(b)
		return s[:]
	case sha1.Size:
		s := sha1.Sum(b)
		return s[:]
	case sha256.Size:
		s := sha256.Sum256(b)
		return s[:]
	}
	return nil
}
