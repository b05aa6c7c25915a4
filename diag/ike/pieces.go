package ike

import "slices"

// Bounds of putting together what Cisco's IKE fragmentation (payload 132) cut.
const (
	maxPieceBytes = 65535
	maxPieceSets  = 4
)

type pieceSet struct {
	e     ends
	id    uint16
	total int // 0 until the last piece was seen
	data  map[int][]byte
	size  int
	first *header // of the message inside, from piece 1
	done  bool
}

// piece takes one piece. When it is the last to arrive, d becomes what the whole message
// says in the clear, behind the payload of the piece itself, and piece returns true.
func (f *follower) piece(g *negotiation, m *sighting, outer *header, e ends, d *decoded) bool {
	var s *pieceSet
	o := g.rarely()
	for _, x := range o.pieces {
		if x.id == d.fragID && x.e.src == e.src && x.e.dst == e.dst {
			s = x
		}
	}
	if s == nil || s.done && d.part == 1 {
		if len(o.pieces) >= maxPieceSets {
			o.pieces[0].data = nil
			o.pieces = slices.Delete(o.pieces, 0, 1)
		}
		s = &pieceSet{e: e, id: d.fragID, data: map[int][]byte{}}
		o.pieces = append(o.pieces, s)
	}
	m.rare.set = s
	if d.parts > 0 {
		s.total = d.parts
	}
	if d.part == 1 {
		if h, ok := parseHeader(d.piece); ok && h.init == outer.init && h.major == 1 && exchangeKnown(1, h.exchange) {
			s.first = &h
		}
	}
	if s.done || s.data == nil || d.part == 0 || s.data[d.part] != nil || s.size+len(d.piece) > maxPieceBytes || !f.afford(len(d.piece)) {
		return false
	}
	s.data[d.part] = slices.Clone(d.piece)
	s.size += len(d.piece)
	if s.total == 0 || len(s.data) < s.total {
		return false
	}
	whole := make([]byte, 0, s.size)
	for i := 1; i <= s.total; i++ {
		if s.data[i] == nil {
			return false
		}
		whole = append(whole, s.data[i]...)
	}
	s.done, s.data = true, nil
	f.spent -= s.size // given back
	h, ok := parseHeader(whole)
	if !ok || h.init != outer.init || h.length != int64(len(whole)) || h.next == p1Fragment {
		return false
	}
	own := slices.Clone(d.payloads)
	decode(whole, &h, e, d)
	d.payloads = slices.Insert(d.payloads, 0, own...)
	d.malformed, d.piece = "", nil
	m.natSrc, m.natDst = d.natSrc, d.natDst
	g.sees(&h, e, d)
	return true
}
