package ike

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of the file reader. A record longer than maxRecord is no packet: the file is
// broken there.
const (
	maxRecord     = 262144
	maxInterfaces = 4096
	readBuffer    = 512 << 10
)

// ErrNotCapture says that the bytes are neither pcap nor pcapng.
var ErrNotCapture = errors.New("not a packet capture (neither pcap nor pcapng)")

// record is one record of a capture file. Data is valid until the next call.
type record struct {
	n    int   // number in the file, the first is 1
	ts   int64 // nanoseconds since 1970, UTC
	link int   // LINKTYPE of the interface
	wire int   // length on the wire
	data []byte
}

// fileReader reads pcap and pcapng, plain or in gzip, told apart by content. It is
// our own and not pcapgo's because captures of devices break where pcapgo stops: lengths
// over the snap length, a file cut short, interfaces of mixed link types, an original
// length smaller than the captured one; and because one pass over the buffer saves a copy.
type fileReader struct {
	src    *bufio.Reader
	order  binary.ByteOrder
	ng     bool
	link   int   // pcap
	nano   int64 // pcap: nanoseconds per unit of the fraction
	ifaces []iface
	n      int
	hold   int // bytes of the last record still to be discarded

	cut    bool   // the file ended in the middle of a record
	broken string // what stopped the reading before the end, "" when nothing did
}

// iface is one interface of a pcapng section.
type iface struct {
	link   int
	snap   int
	unit   uint64 // ticks per second
	offset int64  // seconds
}

// newFileReader looks at the first bytes. Its error wraps ErrNotCapture when the content
// is something else, io.EOF when the file is empty.
func newFileReader(r io.Reader) (*fileReader, error) {
	f := &fileReader{src: bufio.NewReaderSize(r, readBuffer)}
	head, err := f.src.Peek(4)
	if len(head) == 0 {
		if err == io.EOF || err == nil {
			return nil, fmt.Errorf("the file is empty: %w", io.EOF)
		}
		return nil, fmt.Errorf("reading the capture: %w", err)
	}
	if len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(f.src)
		if err != nil {
			return nil, fmt.Errorf("the gzip header is broken: %w", err)
		}
		f.src = bufio.NewReaderSize(z, readBuffer)
		head, err = f.src.Peek(4)
		if len(head) == 0 {
			if errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("the file is empty: %w", io.EOF)
			}
			return nil, fmt.Errorf("reading the gzip data: %w", err)
		}
	}
	if len(head) < 4 {
		return nil, fmt.Errorf("%w: only %d bytes", ErrNotCapture, len(head))
	}
	switch m := binary.LittleEndian.Uint32(head); m {
	case 0xa1b2c3d4, 0xa1b23c4d:
		f.order = binary.LittleEndian
	case 0xd4c3b2a1, 0x4d3cb2a1:
		f.order = binary.BigEndian
	case 0x0a0d0d0a:
		f.ng = true
		f.order = binary.LittleEndian
		return f, nil
	default:
		return nil, fmt.Errorf("%w: it begins with %08x", ErrNotCapture, binary.BigEndian.Uint32(head))
	}
	h, err := f.src.Peek(24)
	if err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("reading the capture's header: %w", err)
		}
		f.cut = true // nothing follows, and it says so
		f.src.Discard(len(h))
		return f, nil
	}
	f.nano = 1000
	if f.order.Uint32(h) == 0xa1b23c4d {
		f.nano = 1
	}
	f.link = int(f.order.Uint32(h[20:]) & 0x0fffffff) // the top bits tell of an FCS
	f.src.Discard(24)
	return f, nil
}

// next fills rec with the next packet. It returns io.EOF at the end, also when the file
// is cut or broken there: cut and broken say so. Other errors are those of the reader below.
func (f *fileReader) next(rec *record) error {
	if f.hold > 0 {
		f.src.Discard(f.hold)
		f.hold = 0
	}
	if f.broken != "" || f.cut {
		return io.EOF
	}
	if f.ng {
		return f.nextBlock(rec)
	}
	h, err := f.src.Peek(16)
	if err != nil {
		return f.ended(len(h), err)
	}
	sec, frac := int64(f.order.Uint32(h)), int64(f.order.Uint32(h[4:]))
	capLen, wire := int64(f.order.Uint32(h[8:])), int64(f.order.Uint32(h[12:]))
	if capLen > maxRecord {
		f.broken = fmt.Sprintf("record %d claims %d bytes: the file is damaged from there on", f.n+1, capLen)
		return io.EOF
	}
	f.src.Discard(16)
	data, err := f.take(int(capLen))
	if err != nil {
		return err
	}
	f.n++
	*rec = record{n: f.n, ts: sec*1e9 + frac*f.nano, link: f.link, wire: int(max(wire, capLen)), data: data}
	return nil
}

// take returns the next n bytes without copying them where they fit the buffer.
func (f *fileReader) take(n int) ([]byte, error) {
	data, err := f.src.Peek(n)
	if err != nil {
		return nil, f.ended(1, err)
	}
	f.hold = n
	return data, nil
}

// ended turns the end of the data into io.EOF and remembers whether a record was begun.
func (f *fileReader) ended(rest int, err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if rest > 0 || errors.Is(err, io.ErrUnexpectedEOF) {
			f.cut = true
		}
		return io.EOF
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		f.broken = "the gzip data is damaged"
		return io.EOF
	default:
		var corrupt flate.CorruptInputError
		if errors.As(err, &corrupt) {
			f.broken = "the gzip data is damaged"
			return io.EOF
		}
		return fmt.Errorf("reading after record %d: %w", f.n, err)
	}
}

// Block types of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacketOld = 2
	blockSimple    = 3
	blockEnhanced  = 6
)

func (f *fileReader) nextBlock(rec *record) error {
	for {
		h, err := f.src.Peek(12)
		if err != nil {
			return f.ended(len(h), err)
		}
		typ := f.order.Uint32(h)
		if typ == blockSection {
			switch binary.LittleEndian.Uint32(h[8:]) {
			case 0x1a2b3c4d:
				f.order = binary.LittleEndian
			case 0x4d3c2b1a:
				f.order = binary.BigEndian
			default:
				f.broken = "a pcapng section header has no byte order mark"
				return io.EOF
			}
			f.ifaces = f.ifaces[:0]
		}
		total := int64(f.order.Uint32(h[4:]))
		if total < 12 || total%4 != 0 {
			f.broken = fmt.Sprintf("after record %d a pcapng block claims %d bytes: the file is damaged from there on", f.n, total)
			return io.EOF
		}
		isPacket := typ == blockEnhanced || typ == blockSimple || typ == blockPacketOld
		if !isPacket && typ != blockInterface {
			if err := f.skip(total); err != nil {
				return err
			}
			continue
		}
		if total > maxRecord+65536 {
			f.broken = fmt.Sprintf("after record %d a pcapng block claims %d bytes: the file is damaged from there on", f.n, total)
			return io.EOF
		}
		b, err := f.take(int(total))
		if err != nil {
			return err
		}
		body := b[8 : total-4]
		if typ == blockInterface {
			if len(f.ifaces) < maxInterfaces {
				f.ifaces = append(f.ifaces, f.parseInterface(body))
			}
			f.src.Discard(f.hold)
			f.hold = 0
			continue
		}
		f.n++
		if f.parsePacket(typ, body, rec) {
			return nil
		}
		f.src.Discard(f.hold)
		f.hold = 0
	}
}

// skip passes over a block of any length, section headers and unknown blocks alike.
func (f *fileReader) skip(n int64) error {
	for n > 0 {
		k, err := f.src.Discard(int(min(n, readBuffer)))
		n -= int64(k)
		if err != nil {
			return f.ended(1, err)
		}
	}
	return nil
}

func (f *fileReader) parseInterface(b []byte) iface {
	i := iface{unit: 1e6}
	if len(b) < 8 {
		return i
	}
	i.link = int(f.order.Uint16(b))
	i.snap = int(f.order.Uint32(b[4:]))
	for o := b[8:]; len(o) >= 4; {
		code, n := f.order.Uint16(o), int(f.order.Uint16(o[2:]))
		if code == 0 || 4+n > len(o) {
			break
		}
		v := o[4 : 4+n]
		switch {
		case code == 9 && n >= 1: // if_tsresol
			if e := v[0] & 0x7f; v[0]&0x80 != 0 && e < 63 {
				i.unit = 1 << e
			} else if v[0]&0x80 == 0 && e <= 18 {
				i.unit = 1
				for range e {
					i.unit *= 10
				}
			}
		case code == 14 && n >= 8: // if_tsoffset
			i.offset = int64(f.order.Uint64(v))
		}
		step := 4 + (n+3)&^3
		if step > len(o) {
			break
		}
		o = o[step:]
	}
	return i
}

// parsePacket reads a packet block; false when it cannot hold a packet.
func (f *fileReader) parsePacket(typ uint32, b []byte, rec *record) bool {
	var id, capLen, wire, from int
	var ticks uint64
	switch {
	case typ == blockSimple && len(b) >= 4:
		wire, from = int(f.order.Uint32(b)), 4
		capLen = min(wire, len(b)-4)
		if len(f.ifaces) > 0 && f.ifaces[0].snap > 0 {
			capLen = min(capLen, f.ifaces[0].snap)
		}
	case typ == blockEnhanced && len(b) >= 20:
		id = int(f.order.Uint32(b))
		ticks = uint64(f.order.Uint32(b[4:]))<<32 | uint64(f.order.Uint32(b[8:]))
		capLen, wire, from = int(f.order.Uint32(b[12:])), int(f.order.Uint32(b[16:])), 20
	case typ == blockPacketOld && len(b) >= 20:
		id = int(f.order.Uint16(b))
		ticks = uint64(f.order.Uint32(b[4:]))<<32 | uint64(f.order.Uint32(b[8:]))
		capLen, wire, from = int(f.order.Uint32(b[12:])), int(f.order.Uint32(b[16:])), 20
	default:
		return false
	}
	if id >= len(f.ifaces) || capLen < 0 || capLen > len(b)-from {
		return false
	}
	i := f.ifaces[id]
	*rec = record{n: f.n, ts: i.nanos(ticks), link: i.link, wire: max(wire, capLen), data: b[from : from+capLen]}
	return true
}

// nanos turns ticks of the interface's clock into nanoseconds.
func (i *iface) nanos(ticks uint64) int64 {
	sec, frac := ticks/i.unit, ticks%i.unit
	var ns uint64
	switch {
	case i.unit <= 1e9 && 1e9%i.unit == 0:
		ns = frac * (1e9 / i.unit)
	default:
		ns = uint64(float64(frac) / float64(i.unit) * 1e9)
	}
	const far = 1 << 33 // seconds; beyond, a stamp is broken and would overflow
	if sec > far || i.offset > far || i.offset < -far || int64(sec)+i.offset > far {
		return 0
	}
	return (int64(sec)+i.offset)*1e9 + int64(ns)
}
