package ike

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"vpnbot/diag/facts"
)

// frames follows frames, one per 100 ms.
func frames(fs ...[]byte) *facts.Capture {
	w := newFollower("x", "x", Options{})
	for i, b := range fs {
		w.record(&record{n: i + 1, ts: int64(i+1) * 1e8, link: linkEthernet, wire: len(b), data: b})
	}
	return w.finish()
}

// ikeBytes is a message with a body that may be anything.
func ikeBytes(version, exchange, flags, next uint8, resp uint64, msgID uint32, body []byte) []byte {
	b := make([]byte, 28, 28+len(body))
	binary.BigEndian.PutUint64(b, 0xc00c1e)
	binary.BigEndian.PutUint64(b[8:], resp)
	b[16], b[17], b[18], b[19] = next, version<<4, exchange, flags
	binary.BigEndian.PutUint32(b[20:], msgID)
	binary.BigEndian.PutUint32(b[24:], uint32(28+len(body)))
	return append(b, body...)
}

// between wraps a payload into UDP from one port to another, with an IP id.
func between(src, dst byte, sport, dport, id uint16, payload []byte) []byte {
	b := etherUDP(src, dst, 0, payload)
	binary.BigEndian.PutUint16(b[18:], id)
	binary.BigEndian.PutUint16(b[34:], sport)
	binary.BigEndian.PutUint16(b[36:], dport)
	return b
}

var (
	clearSA = append([]byte{0, 0, 0, 12}, make([]byte, 8)...)
	opaque  = func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*7 + n)
		}
		return b
	}
)

// TestTranslatedPorts: IKE on ports that nobody configured is known by its cookie, and so is
// the ESP between the same ends once IKE there used the non-ESP marker.
func TestTranslatedPorts(t *testing.T) {
	marked := append(make([]byte, 4), ikeBytes(1, exMain, flagEncrypted, p1ID, 2, 0, opaque(64))...)
	esp := opaque(100)
	esp[0] = 0x7a
	c := frames(
		between(1, 2, 1024, 500, 1, ikeBytes(1, exMain, 0, p1SA, 0, 0, clearSA)),
		between(2, 1, 500, 1024, 2, ikeBytes(1, exMain, 0, p1SA, 2, 0, clearSA)),
		between(1, 2, 30001, 30002, 3, marked),
		between(1, 2, 30001, 30002, 4, esp),
		between(1, 2, 40001, 40002, 5, ikeBytes(1, exMain, 0, p1SA, 0, 0, clearSA)[:20]),
	)
	if len(c.Negotiations) != 1 || len(c.Negotiations[0].Messages) != 3 || c.Negotiations[0].Messages[2].Label != "MM5" {
		t.Error(describe(c))
	}
	if len(c.ESP) != 1 || c.ESP[0].Src != netip.MustParseAddrPort("10.0.0.1:30001") {
		t.Error(describe(c))
	}
	if len(c.Hosts) != 1 || c.Hosts[0].Count != 1 {
		t.Errorf("%+v", c.Hosts)
	}
}

// TestCopies: sent again, doubled by the network, another attempt, and the cookie of the
// responder that changes.
func TestCopies(t *testing.T) {
	one := ikeBytes(1, exMain, 0, p1SA, 0, 0, clearSA)
	again := between(1, 2, 500, 500, 7, one)
	w := newFollower("x", "x", Options{})
	at := func(n int, ms int64, b []byte) {
		w.record(&record{n: n, ts: ms * 1e6, link: linkEthernet, wire: len(b), data: b})
	}
	at(1, 0, between(1, 2, 500, 500, 6, one))
	at(2, 1, between(1, 2, 500, 500, 6, one)) // the network's double
	at(3, 50, between(2, 1, 500, 500, 1, ikeBytes(1, exMain, 0, p1SA, 0x11, 0, clearSA)))
	at(4, 4000, again)
	at(5, 4001, again)
	at(6, 47000, between(1, 2, 500, 500, 8, one))
	at(7, 47050, between(2, 1, 500, 500, 2, ikeBytes(1, exMain, 0, p1SA, 0x22, 0, clearSA)))
	c := w.finish()
	if len(c.Negotiations) != 1 {
		t.Fatal(describe(c))
	}
	n := c.Negotiations[0]
	if len(n.RespSPIs) != 2 {
		t.Errorf("responder cookies %x", n.RespSPIs)
	}
	want := []struct{ copyOf, copies, double int }{{-1, 0, -1}, {-1, 0, 0}, {-1, 0, -1}, {0, 1, -1}, {-1, 1, 3}, {0, 2, -1}, {-1, 0, -1}}
	for i, m := range n.Messages {
		if got := (struct{ copyOf, copies, double int }{m.CopyOf, m.Copy, m.DuplicateOf}); got != want[i] {
			t.Errorf("message %d: %+v, want %+v", i, got, want[i])
		}
	}
}

// TestPiecesOfIKE: what payload 132 cut is put together, whatever order it comes in, and
// its exchange is that of the message inside.
func TestPiecesOfIKE(t *testing.T) {
	inside := ikeBytes(1, exQuick, flagEncrypted, p1Hash, 2, 0x77, opaque(300))
	piece := func(n byte, last byte, data []byte) []byte {
		body := []byte{0, 0, 0, 0, 0, 9, n, last}
		binary.BigEndian.PutUint16(body[2:], uint16(8+len(data)))
		return ikeBytes(1, exAggressive, 0, p1Fragment, 2, 0, append(body, data...))
	}
	start := [][]byte{
		between(1, 2, 500, 500, 1, ikeBytes(1, exAggressive, 0, p1SA, 0, 0, clearSA)),
		between(2, 1, 500, 500, 2, ikeBytes(1, exAggressive, 0, p1SA, 2, 0, clearSA)),
	}
	pieces := [][]byte{
		between(1, 2, 500, 500, 3, piece(1, 0, inside[:150])),
		between(1, 2, 500, 500, 4, piece(2, 0, inside[150:250])),
		between(1, 2, 500, 500, 5, piece(3, 1, inside[250:])),
	}
	for name, order := range map[string][]int{"in order": {0, 1, 2}, "backwards": {2, 1, 0}, "one missing": {2, 0}} {
		t.Run(name, func(t *testing.T) {
			all := start
			for _, i := range order {
				all = append(all[:len(all):len(all)], pieces[i])
			}
			c := frames(all...)
			if len(c.Negotiations) != 1 {
				t.Fatal(describe(c))
			}
			n := c.Negotiations[0]
			for i, m := range n.Messages[2:] {
				if m.Step != "QM1" || m.Parts != 3 || int(m.Part) != order[i]+1 || m.CopyOf >= 0 {
					t.Errorf("%d: %s %q part %d of %d, copy of %d", i, m.Step, m.Label, m.Part, m.Parts, m.CopyOf)
				}
			}
			if n.Exchange != "aggressive" {
				t.Error(n.Exchange)
			}
		})
	}
}

// TestIPv6: fragments by extension header, and ICMPv6 errors in the numbers of ICMPv4.
func TestIPv6(t *testing.T) {
	udp := etherUDP(1, 2, 500, ikeBytes(2, exAuth, flagInitiator, p2SK, 2, 1, append([]byte{0, 0, 0x07, 0xd0}, opaque(1996)...)))[34:]
	v6 := func(next byte, payload []byte) []byte {
		b := make([]byte, 54, 54+len(payload))
		b[12], b[13] = 0x86, 0xdd
		b[14], b[20], b[21] = 0x60, next, 64
		binary.BigEndian.PutUint16(b[18:], uint16(len(payload)))
		b[37], b[53] = 1, 2
		return append(b, payload...)
	}
	part := func(from, to int, more byte) []byte {
		head := []byte{protoUDP, 0, byte(from >> 8), byte(from) | more, 0, 1, 2, 3}
		return v6(44, append(head, udp[from:to]...))
	}
	first := part(0, 1240, 1)
	tooBig := v6(protoICMPv6, append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, first[14:14+200]...))
	c := frames(part(1240, len(udp), 0), first, tooBig)
	if len(c.Negotiations) != 1 || len(c.Negotiations[0].Messages) != 1 {
		t.Fatal(describe(c))
	}
	m := c.Negotiations[0].Messages[0]
	if !m.Complete || len(m.Fragments) != 2 || m.Hash == 0 || m.Label != "IKE_AUTH request" || m.Length != 2028 {
		t.Error(describe(c))
	}
	if len(c.ICMP) != 1 || c.ICMP[0].Type != 3 || c.ICMP[0].Code != 4 || c.ICMP[0].MTU != 1280 || !c.ICMP[0].Quoted.IKE || !c.ICMP[0].Quoted.More {
		t.Errorf("%+v", c.ICMP)
	}
}

// TestSnapped: forty bytes of IKE or less still tell exchange, cookies and copies.
func TestSnapped(t *testing.T) {
	for _, keep := range []int{22, 26, 28, 40, 60} {
		w := newFollower("x", "x", Options{})
		for i := range 2 {
			b := between(1, 2, 500, 500, uint16(i+1), ikeBytes(1, exMain, flagEncrypted, p1ID, 2, 0, opaque(80)))
			w.record(&record{n: i + 1, ts: int64(i) * 4e9, link: linkEthernet, wire: len(b), data: b[:42+keep]})
		}
		c := w.finish()
		if len(c.Negotiations) != 1 || len(c.Negotiations[0].Messages) != 2 || c.Snapped != 2 {
			t.Fatalf("%d bytes: %s", keep, describe(c))
		}
		m := c.Negotiations[0].Messages[1]
		if m.Label != "MM5" || m.Length != 108 || m.Captured != keep || m.CopyOf != 0 || m.Malformed != "" {
			t.Errorf("%d bytes: %+v", keep, m)
		}
	}
}

// TestESPNumbers: loss, order and doubles from sequence numbers.
func TestESPNumbers(t *testing.T) {
	tests := map[string]struct {
		seqs                        []uint32
		missing, reordered, doubles int
	}{
		"clean":                {[]uint32{1, 2, 3, 4}, 0, 0, 0},
		"a gap":                {[]uint32{1, 2, 5, 6}, 2, 0, 0},
		"reordered":            {[]uint32{1, 3, 2, 4}, 0, 1, 0},
		"doubled":              {[]uint32{1, 2, 2, 3}, 0, 0, 1},
		"late and doubled":     {[]uint32{5, 9, 7, 7, 6}, 1, 2, 1},
		"near the end":         {[]uint32{0xfffffffe, 0xffffffff}, 0, 0, 0},
		"starts in the middle": {[]uint32{900, 901}, 0, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newFollower("x", "x", Options{})
			for i, s := range tt.seqs {
				b := etherUDP(1, 2, 0, opaque(80))
				b[23] = protoESP
				binary.BigEndian.PutUint32(b[34:], 0x12345678)
				binary.BigEndian.PutUint32(b[38:], s)
				w.record(&record{n: i + 1, ts: int64(i) * 1e7, link: linkEthernet, wire: len(b), data: b})
			}
			c := w.finish()
			if len(c.ESP) != 1 {
				t.Fatal(describe(c))
			}
			if e := c.ESP[0]; e.Missing != tt.missing || e.Reordered != tt.reordered || e.Duplicates != tt.doubles || e.Count != len(tt.seqs) {
				t.Errorf("%+v", e)
			}
		})
	}
}
