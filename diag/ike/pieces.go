package ike

import "slices"

// Bounds of putting together what Cisco's IKE fragmentation (payload 132) cut.
const (
	maxPieceBytes = 65535
	maxPieceSets  = 4
)

// pieces holds messages of one negotiation that are being put together.
type pieces struct{ sets []*pieceSet }

type pieceSet struct {
	e     ends
	id    uint16
	total int // 0 until the last piece was seen
	data  map[int][]byte
	size  int
	first *header // of the message inside, from piece 1
	done  bool
}

// piece takes one piece. m gets the header of the message inside when it is known, and the
// last piece to arrive gets the clear payloads of the whole.
func (f *follower) piece(g *negotiation, m *message, outer *header, e ends, d *decoded) {
	m.fragID = d.fragID
	if g.pieces == nil {
		g.pieces = &pieces{}
	}
	ps := g.pieces
	var s *pieceSet
	for _, x := range ps.sets {
		if x.id == d.fragID && x.e.src == e.src && x.e.dst == e.dst {
			s = x
		}
	}
	if s == nil || s.done && d.part == 1 {
		if len(ps.sets) >= maxPieceSets {
			ps.sets = slices.Delete(ps.sets, 0, 1)
		}
		s = &pieceSet{e: e, id: d.fragID, data: map[int][]byte{}}
		ps.sets = append(ps.sets, s)
	}
	if d.parts > 0 {
		s.total = d.parts
	}
	if d.part == 1 {
		if h, ok := parseHeader(d.piece); ok && h.init == outer.init && h.major == 1 && exchangeKnown(1, h.exchange) {
			s.first = &h
		}
	}
	m.inner = s.first
	m.Parts = s.total
	if s.done || d.part == 0 || s.data[d.part] != nil || s.size+len(d.piece) > maxPieceBytes {
		return
	}
	s.data[d.part] = slices.Clone(d.piece)
	s.size += len(d.piece)
	if s.total == 0 || len(s.data) < s.total {
		return
	}
	whole := make([]byte, 0, s.size)
	for i := 1; i <= s.total; i++ {
		if s.data[i] == nil {
			return
		}
		whole = append(whole, s.data[i]...)
	}
	s.done, s.data = true, nil
	h, ok := parseHeader(whole)
	if !ok || h.init != outer.init || h.length != int64(len(whole)) || h.next == p1Fragment {
		return
	}
	part, parts := d.part, s.total
	decode(whole, &h, e, d)
	d.part, d.parts, d.piece = part, parts, nil
	m.Payloads = append(slices.Clone(m.Payloads), f.intern(d.payloads)...)
	m.Notifies, m.Deletes = slices.Clone(d.notifies), d.deletes
	m.natSrc, m.natDst = d.natSrc, d.natDst
	m.Encrypted = h.flags&flagEncrypted != 0
}
