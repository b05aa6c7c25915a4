package ike

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"vpnbot/diag/facts"
)

// FuzzRead: any bytes as a capture file. What comes back must hold together.
func FuzzRead(f *testing.F) {
	for _, path := range captures(f, "testdata") {
		if b := load(f, path); len(b) < 8000 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Read(bytes.NewReader(b), "x", "x", Options{IKEPorts: []uint16{1234}})
		if c == nil {
			if err == nil {
				t.Fatal("neither capture nor error")
			}
			return
		}
		check(t, c)
	})
}

// check looks for what readers of a capture rely on.
func check(t *testing.T, c *facts.Capture) {
	for _, n := range c.Negotiations {
		if len(n.Messages) == 0 || len(n.Paths) == 0 {
			t.Fatal("a negotiation without messages or paths")
		}
		for i := range n.Messages {
			m := &n.Messages[i]
			if m.Step == "" || m.Label == "" || len(m.Packets) == 0 || m.Packet == 0 {
				t.Fatalf("message without a name or packet: %+v", m)
			}
			if m.CopyOf >= i || m.DuplicateOf >= i || m.Captured > m.Length && m.Malformed == "" {
				t.Fatalf("message %d: %+v", i, m)
			}
			if i > 0 && m.Time.Before(n.Messages[i-1].Time) {
				t.Fatal("messages out of order")
			}
		}
	}
	for _, e := range c.ESP {
		if e.Count == 0 || len(e.Sample) == 0 || len(e.Ranges) == 0 || e.Missing < 0 {
			t.Fatalf("%+v", e)
		}
		for i, r := range e.Ranges {
			if r.From > r.To || i > 0 && r.From <= e.Ranges[i-1].To {
				t.Fatalf("ranges %v", e.Ranges)
			}
		}
	}
}

// FuzzPackets: any bytes as the packets of a well-formed file, cut at every 0xFE 0xEF,
// behind Ethernet and IP headers that are right. It reaches what FuzzRead seldom does.
func FuzzPackets(f *testing.F) {
	for _, path := range captures(f, "testdata") {
		fr, err := newFileReader(bytes.NewReader(load(f, path)))
		if err != nil {
			continue
		}
		var rec record
		var all []byte
		for len(all) < 4000 && fr.next(&rec) == nil {
			if o := ipOffset(rec.link, rec.data); o >= 0 && len(rec.data) > o+20 {
				all = append(append(all, rec.data[o+9]), rec.data[o+20:]...)
				all = append(all, 0xfe, 0xef)
			}
		}
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newFollower("x", "x", Options{})
		s := newScrubber(Options{})
		for i, part := range bytes.Split(b, []byte{0xfe, 0xef}) {
			if len(part) < 2 || len(part) > 60000 || i > 500 {
				continue
			}
			p := make([]byte, 20, 20+len(part))
			p[0], p[8], p[9] = 0x45, 64, part[0]
			if part[0]&0x80 != 0 { // a fragment
				p[9] = part[0] & 0x7f
				binary.BigEndian.PutUint16(p[6:], uint16(part[1])<<3&0x3fff)
			}
			binary.BigEndian.PutUint16(p[2:], uint16(19+len(part)))
			p[15], p[19] = 1+byte(i&1), 2-byte(i&1)
			p = append(p, part[1:]...)
			w.record(&record{n: i + 1, ts: int64(i) * 1e8, link: linkRaw, wire: len(p), data: p})
			s.frame(linkRaw, len(p), p)
		}
		check(t, w.finish())
	})
}

// FuzzDecode: any bytes as one message.
func FuzzDecode(f *testing.F) {
	f.Add(mm1(1, 2)[42:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseHeader(b)
		if !ok {
			return
		}
		var d decoded
		decode(b, &h, ends{}, &d)
		if len(d.payloads) > maxPayloads || len(d.proposals) > maxProposals {
			t.Fatal("bounds")
		}
	})
}

// FuzzReduce: reducing keeps the number and lengths of packets, and is done after one pass.
func FuzzReduce(f *testing.F) {
	for _, path := range captures(f, "testdata") {
		if b := load(f, path); len(b) < 8000 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var once, twice bytes.Buffer
		r, err := Reduce(bytes.NewReader(b), &once, nil, Options{})
		if err != nil {
			return
		}
		r2, err := Reduce(bytes.NewReader(once.Bytes()), &twice, nil, Options{})
		if err != nil || r2.Read != r.Written {
			t.Fatalf("%+v, then %+v, %v", r, r2, err)
		}
		if !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatal("reducing twice is not reducing once")
		}
		if _, err := Read(bytes.NewReader(once.Bytes()), "x", "x", Options{}); err != nil && r.Written > 0 && err != io.EOF {
			t.Fatal(err)
		}
	})
}
