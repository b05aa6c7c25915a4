package ike

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"vpnbot/diag/facts"
)

// shared returns the body of a message; equal ones are the same, as devices of one kind
// send the same. whole is set when d is of a message put together from pieces.
func (f *follower) shared(d *decoded, h *header, whole bool) *body {
	b := body{
		payloads: d.payloads, notifies: d.notifies, deletes: d.deletes, encrypted: d.encrypted,
		hasSA: d.hasSA || !whole && (h.next == p1SA && h.major == 1 || h.next == p2SA && h.major == 2),
	}
	k := b.hash()
	if known := f.bodies[k]; known != nil && b.equal(known) {
		return known
	}
	size := 96 + 16*len(b.notifies)
	for i := range b.payloads {
		size += 48 + len(b.payloads[i].Text)
	}
	if !f.afford(size) {
		return &body{encrypted: b.encrypted, hasSA: b.hasSA, deletes: b.deletes}
	}
	own := b
	own.payloads, own.notifies = slices.Clone(b.payloads), slices.Clone(b.notifies)
	f.bodies[k] = &own
	return &own
}

func (b *body) equal(o *body) bool {
	return b.deletes == o.deletes && b.encrypted == o.encrypted && b.hasSA == o.hasSA &&
		slices.Equal(b.payloads, o.payloads) && slices.Equal(b.notifies, o.notifies)
}

func (b *body) hash() uint64 {
	h := fnv(b.deletes)
	if b.encrypted {
		h.add(1)
	}
	for i := range b.payloads {
		h.add(uint64(b.payloads[i].Type))
		h.add(uint64(b.payloads[i].Length))
		h.text(b.payloads[i].Text)
	}
	return uint64(h)
}

// proposals shares equal lists of proposals.
func (f *follower) proposals(ps []facts.Proposal) []facts.Proposal {
	h := fnv(len(ps))
	size := 0
	for i := range ps {
		h.add(uint64(ps[i].Number))
		h.add(uint64(ps[i].SPI))
		size += 64 + 112*len(ps[i].Transforms)
		for _, t := range ps[i].Transforms {
			h.add(uint64(t.Number))
			h.add(uint64(t.Lifetime))
			for _, s := range [...]string{t.Encryption, t.Hash, t.PRF, t.Group, t.Auth} {
				h.text(s)
			}
		}
	}
	if known, ok := f.offers[uint64(h)]; ok {
		same := func(a, b facts.Proposal) bool {
			return a.Number == b.Number && a.Protocol == b.Protocol && a.SPI == b.SPI && slices.Equal(a.Transforms, b.Transforms)
		}
		if slices.EqualFunc(known, ps, same) {
			return known
		}
	}
	if !f.afford(size) {
		return nil
	}
	f.offers[uint64(h)] = ps
	return ps
}

// names shares equal lists of vendor ids; nil when there is no room for one more.
func (f *follower) names(vendors []string) *[]string {
	h := fnv(len(vendors))
	size := 24
	for _, v := range vendors {
		h.text(v)
		size += 16 + len(v)
	}
	if known := f.vendors[uint64(h)]; known != nil && slices.Equal(*known, vendors) {
		return known
	}
	if !f.afford(size) {
		return nil
	}
	own := slices.Clone(vendors)
	f.vendors[uint64(h)] = &own
	return &own
}

// fnv is the FNV-1a hash, for tables within one run.
type fnv uint64

func (h *fnv) add(v uint64) { *h = (*h ^ fnv(v)) * 1099511628211 }

func (h *fnv) text(s string) {
	for i := range len(s) {
		h.add(uint64(s[i]))
	}
	h.add(256)
}

// hash64 is the same for the same bytes in every capture.
func hash64(b []byte) uint64 {
	s := sha256.Sum256(b)
	return max(binary.BigEndian.Uint64(s[:]), 1)
}
