package ike

import (
	"encoding/binary"
	"math"
	"runtime"
	"testing"

	"vpnbot/diag/facts"
)

// live is the heap in use after a collection.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// attempt feeds one peer's aggressive mode, its float to UDP 4500, and ESP both ways.
func attempt(w *follower, n int, peer uint32, ts int64) int {
	put := func(in bool, port uint16, payload []byte) {
		b := etherUDP(0, 0, port, payload)
		binary.BigEndian.PutUint32(b[26:], 0x0a000000+peer)
		binary.BigEndian.PutUint32(b[30:], 0xc6336401)
		if !in {
			binary.BigEndian.PutUint32(b[26:], 0xc6336401)
			binary.BigEndian.PutUint32(b[30:], 0x0a000000+peer)
		}
		n++
		binary.BigEndian.PutUint16(b[18:], uint16(n))
		w.record(&record{n: n, ts: ts + int64(n)*1e4, link: linkEthernet, wire: len(b), data: b})
	}
	cookie := func(b []byte) []byte {
		binary.BigEndian.PutUint64(b, uint64(peer)+1<<40)
		return b
	}
	marked := func(b []byte) []byte { return append(make([]byte, 4), b...) }
	put(true, 500, cookie(ikeBytes(1, exAggressive, 0, p1SA, 0, 0, clearSA)))
	put(false, 500, cookie(ikeBytes(1, exAggressive, 0, p1SA, uint64(peer)+7, 0, clearSA)))
	put(true, 4500, marked(cookie(ikeBytes(1, exAggressive, flagEncrypted, p1Hash, uint64(peer)+7, 0, opaque(80)))))
	for k := range 3 {
		put(k&1 == 0, 4500, marked(cookie(ikeBytes(1, exQuick, flagEncrypted, p1Hash, uint64(peer)+7, 99+peer, opaque(120+k)))))
	}
	for k := range 8 {
		esp := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 0x10000+peer*2+uint32(k&1)), uint32(k/2+1)), opaque(80)...)
		put(k&1 == 0, 4500, esp)
	}
	return n
}

// TestRoomPerPeer: four hundred peers take less than 64 MB. Each further one may take 4 KB of the
// whole process: here less, the rest is for its diagnosis and for the collector.
func TestRoomPerPeer(t *testing.T) {
	feed := func(peers int) (*facts.Capture, uint64, uint64) {
		before := live()
		w := newFollower("x", "x", Options{})
		n := 0
		for i := range peers {
			n = attempt(w, n, uint32(i), 0)
		}
		reading := live() - before
		c := w.finish()
		done := live() - before
		return c, reading, done
	}
	few, r400, d400 := feed(400)
	if few.Folded == nil || few.Folded.Negotiations() != 400 || few.Folded.Flows() != 800 {
		t.Fatal("not 400 negotiations and their flows")
	}
	few = nil
	const more = 12000
	many, rMany, dMany := feed(400 + more)
	if many.Folded.Negotiations() != 400+more {
		t.Fatalf("%d negotiations", many.Folded.Negotiations())
	}
	t.Logf("400 peers: %d KB while reading, %d KB after; each of %d further ones: %d and %d bytes", r400>>10, d400>>10, more, int64(rMany-r400)/more, int64(dMany-d400)/more)
	if max(r400, d400) > 64<<20 {
		t.Errorf("400 peers take %d and %d MB", r400>>20, d400>>20)
	}
	if each := max(int64(rMany)-int64(r400), int64(dMany)-int64(d400)) / more; each > 2560 {
		t.Errorf("each further peer takes %d bytes", each)
	}
	runtime.KeepAlive(many)
}

// TestOldestNegotiationsGo: of more than a hundred thousand the oldest are dropped, and counted.
func TestOldestNegotiationsGo(t *testing.T) {
	w := newFollower("x", "x", Options{Fold: math.MaxInt})
	const extra = 500
	for i := range maxNegotiations + extra {
		b := mm1(1, 2)
		binary.BigEndian.PutUint64(b[42:], uint64(i)+1)
		w.record(&record{n: i + 1, ts: int64(i) * 1e6, link: linkEthernet, wire: len(b), data: b})
	}
	c := w.finish()
	if len(c.Negotiations) != maxNegotiations || c.Dropped != extra {
		t.Fatalf("%d negotiations, %d dropped", len(c.Negotiations), c.Dropped)
	}
	if first, last := c.Negotiations[0].InitSPI, c.Negotiations[maxNegotiations-1].InitSPI; first != extra+1 || last != maxNegotiations+extra {
		t.Errorf("kept %d to %d: not the youngest", first, last)
	}
}

// TestRoomDoesNotGrowWithTheFile: traffic of the same peers, however much, takes no more room.
func TestRoomDoesNotGrowWithTheFile(t *testing.T) {
	w := newFollower("x", "x", Options{})
	n := 0
	for i := range 50 {
		n = attempt(w, n, uint32(i), 0)
	}
	traffic := func(packets, from int) uint64 {
		for k := range packets {
			peer := uint32(k % 50)
			b := etherUDP(0, 0, 4500, append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 0x10000+peer*2), uint32(from+k/50+10)), opaque(64+k%7)...))
			binary.BigEndian.PutUint32(b[26:], 0x0a000000+peer)
			binary.BigEndian.PutUint32(b[30:], 0xc6336401)
			n++
			w.record(&record{n: n, ts: 1e9 + int64(n)*1e5, link: linkEthernet, wire: len(b), data: b})
		}
		return live()
	}
	base := traffic(100000, 0)
	if grown := int64(traffic(400000, 100000)) - int64(base); grown > 1<<20 {
		t.Errorf("four times the traffic took %d KB more", grown>>10)
	}
	runtime.KeepAlive(w)
}
