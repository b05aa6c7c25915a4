package ike

import (
	"container/list"
	"time"

	"vpnbot/diag/facts"
)

// Bounds of the reassembly. An identification used again after fragmentTimeout is another
// datagram.
const (
	maxDatagrams     = 1024
	maxDatagramBytes = 8 << 20
	maxFragments     = 128 // of one datagram
	fragmentTimeout  = 30 * int64(time.Second)
	maxDatagram      = 65535
)

// fragKey tells datagrams apart (RFC 791, RFC 8200).
type fragKey struct {
	src, dst addr
	id       uint32
	proto    uint8
}

// span is a range of bytes, the end excluded.
type span struct{ from, to int }

// datagram is one datagram being put together.
type datagram struct {
	key      fragKey
	head     ipPacket // of the first fragment, or of the first one seen
	hasFirst bool
	began    int64
	end      int // bytes of the IP payload, -1 until the last fragment was seen
	buf      []byte
	have     []span // on the wire, ascending, merged
	snapped  bool   // some fragment was captured in part: only bytes up to good are real
	good     int
	overlap  bool
	done     bool
	frags    []facts.Fragment
	more     int // fragments beyond maxFragments
	el       *list.Element
}

// complete says whether all bytes passed.
func (d *datagram) complete() bool {
	return d.end >= 0 && len(d.have) == 1 && d.have[0].from == 0 && d.have[0].to >= d.end
}

// reassembler puts datagrams together and keeps their fragments visible. Each datagram
// goes to emit once: when it is complete, or when it is given up: when its identification
// is used again, when there are too many, or at the end of the file. The clock alone gives
// nothing up, for the records of a file may be out of order.
type reassembler struct {
	open  map[fragKey]*datagram
	order *list.List // oldest first
	bytes int
	emit  func(*datagram)
}

func newReassembler(emit func(*datagram)) *reassembler {
	return &reassembler{open: map[fragKey]*datagram{}, order: list.New(), emit: emit}
}

// add takes one fragment; p.data is copied.
func (r *reassembler) add(p *ipPacket) {
	k := fragKey{p.src, p.dst, p.id, p.proto}
	d := r.open[k]
	if d != nil && d.stale(p) {
		r.close(d)
		d = nil
	}
	if d == nil {
		for len(r.open) >= maxDatagrams || r.bytes > maxDatagramBytes {
			r.close(r.order.Front().Value.(*datagram))
		}
		d = &datagram{key: k, began: p.ts, end: -1, head: *p, good: maxDatagram}
		d.head.data = nil
		d.el = r.order.PushBack(d)
		r.open[k] = d
	}
	d.put(p, r)
	if d.complete() {
		// It stays a while, marked as done, so that doubled fragments do not open a new one.
		d.done = true
		r.emit(d)
		r.bytes -= cap(d.buf)
		d.buf = nil
	}
}

// stale tells a new datagram that reuses the identification from more of this one.
func (d *datagram) stale(p *ipPacket) bool {
	if gap := p.ts - d.began; gap > fragmentTimeout || gap < -fragmentTimeout {
		return true
	}
	if !d.done {
		return false
	}
	// After completion the same fragments may come again (a doubled datagram): the first
	// fragment opens it anew.
	return p.offset == 0
}

func (d *datagram) put(p *ipPacket, r *reassembler) {
	f := facts.Fragment{Packet: p.n, Time: stamp(p.ts), Offset: p.offset, Length: p.length, Last: !p.more}
	if d.done { // a doubled later fragment
		return
	}
	if len(d.frags) < maxFragments {
		d.frags = append(d.frags, f)
	} else {
		d.more++
	}
	if p.offset == 0 && !d.hasFirst {
		d.hasFirst = true
		began := d.began
		d.head = *p
		d.head.data = nil
		d.began = min(began, p.ts)
	}
	to := p.offset + p.length
	if to > maxDatagram || p.length == 0 {
		return
	}
	if !p.more && d.end < 0 {
		d.end = to
	}
	if p.snapped() {
		d.snapped = true
		d.good = min(d.good, p.offset+len(p.data))
	}
	if d.mark(span{p.offset, to}) {
		keep := p.data
		if limit := d.limit(); p.offset+len(keep) > limit {
			keep = keep[:max(0, limit-p.offset)]
		}
		if need := p.offset + len(keep); need > len(d.buf) && len(keep) > 0 {
			if need > cap(d.buf) {
				grown := make([]byte, need, max(need, min(2*need, 4096)))
				copy(grown, d.buf)
				r.bytes += cap(grown) - cap(d.buf)
				d.buf = grown
			}
			d.buf = d.buf[:need]
		}
		if len(keep) > 0 {
			copy(d.buf[p.offset:], keep)
		}
	}
}

// limit is how many bytes are worth keeping: of ESP only the header is read.
func (d *datagram) limit() int {
	if d.key.proto == protoESP {
		return 64
	}
	return maxDatagram
}

// mark adds a range; false when its bytes are already there (a doubled fragment) or
// overlap others, in which case the first bytes stay.
func (d *datagram) mark(s span) bool {
	for i := range d.have {
		h := d.have[i]
		if s.from < h.to && h.from < s.to {
			if s.from >= h.from && s.to <= h.to {
				return false
			}
			d.overlap = true
			return false
		}
	}
	if len(d.have) >= maxFragments {
		return false
	}
	i := 0
	for i < len(d.have) && d.have[i].from < s.from {
		i++
	}
	d.have = append(d.have, span{})
	copy(d.have[i+1:], d.have[i:])
	d.have[i] = s
	// merge with the neighbours
	out := d.have[:1]
	for _, h := range d.have[1:] {
		if last := &out[len(out)-1]; h.from == last.to {
			last.to = h.to
			continue
		}
		out = append(out, h)
	}
	d.have = out
	return true
}

// prefix is the length of what was seen without a gap from the start.
func (d *datagram) prefix() int {
	if len(d.have) == 0 || d.have[0].from != 0 {
		return 0
	}
	return min(d.have[0].to, d.good, len(d.buf))
}

// close gives a datagram up, and hands it over when it was not complete.
func (r *reassembler) close(d *datagram) {
	r.order.Remove(d.el)
	if r.open[d.key] == d {
		delete(r.open, d.key)
	}
	if !d.done {
		r.emit(d)
	}
	r.bytes -= cap(d.buf)
	d.buf = nil
}

// flush gives up all that is still open, oldest first.
func (r *reassembler) flush() {
	for e := r.order.Front(); e != nil; e = r.order.Front() {
		r.close(e.Value.(*datagram))
	}
}

func stamp(ns int64) time.Time { return time.Unix(0, ns).UTC() }
