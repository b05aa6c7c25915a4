package ike

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func reduce(tb testing.TB, b []byte, keep func(int) bool) []byte {
	tb.Helper()
	var out bytes.Buffer
	if _, err := Reduce(bytes.NewReader(b), &out, keep, Options{}); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// everything is all captures at hand: the permanent set and the shared ones.
func everything(t *testing.T) []string {
	paths := captures(t, "testdata")
	if dir, err := filepath.Abs(filepath.Join("..", "..", "..", "shared", "captures")); err == nil {
		if _, err := os.Stat(dir); err == nil {
			paths = append(paths, captures(t, dir)...)
		} else {
			t.Log("no shared captures beside the checkout: ", err)
		}
	}
	return paths
}

// TestReduceKeepsShape: a reduced capture says the same, message by message.
func TestReduceKeepsShape(t *testing.T) {
	for _, path := range everything(t) {
		b := load(t, path)
		before, after := follow(t, b), follow(t, reduce(t, b, nil))
		if before.Packets != after.Packets || before.First != after.First || before.Snapped != after.Snapped {
			t.Errorf("%s: %d packets became %d", path, before.Packets, after.Packets)
		}
		want := shape(before, true)
		if strings.Contains(path, "21b") || strings.Contains(path, "malformed") {
			continue // which of the broken messages is broken in which way may change
		}
		if d := cmp.Diff(want, shape(after, true)); d != "" {
			t.Errorf("%s: %s", path, d)
		}
		again := reduce(t, reduce(t, b, nil), nil)
		if !bytes.Equal(again, reduce(t, b, nil)) {
			t.Errorf("%s: reducing twice is not reducing once", path)
		}
	}
}

// secrets walks the messages of a capture in a way of its own, and returns the bytes that
// must not survive: bodies of key exchange, nonce, hash and the like, of 8 bytes and more.
func secrets(b []byte) [][]byte {
	var out [][]byte
	add := func(v []byte) {
		// In pieces, so that a part that survives is found too.
		for len(v) >= 8 {
			k := min(16, len(v))
			if !bytes.Equal(v[:k], make([]byte, k)) {
				out = append(out, slices.Clone(v[:k]))
			}
			v = v[k:]
		}
	}
	f := newFollower("x", "x", Options{})
	f.re.emit = func(d *datagram) {
		if d.hasFirst && d.key.proto == protoUDP && len(d.buf) > 40 {
			secretParts(d.buf[8:], add)
			add(d.buf[min(len(d.buf), 1400):])
		}
	}
	fr, err := newFileReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	var rec record
	for fr.next(&rec) == nil {
		o := ipOffset(rec.link, rec.data)
		var p ipPacket
		if o < 0 || !parseIP(rec.data[o:], rec.wire-o, &p) {
			continue
		}
		p.n, p.ts = rec.n, rec.ts
		switch {
		case p.fragment():
			f.re.add(&p)
		case p.proto == protoESP && len(p.data) > 8:
			add(p.data[8:])
		case p.proto == protoUDP && len(p.data) > 8:
			secretParts(p.data[8:], add)
			if len(p.data) > 24 && binary.BigEndian.Uint16(p.data) == 4500 && binary.BigEndian.Uint32(p.data[8:]) != 0 {
				add(p.data[16:])
			}
		case p.proto == protoTCP && len(p.data) > 20+8+ctcpTrailer:
			pl := p.data[int(p.data[12]>>4)*4:]
			if len(pl) > 8+ctcpTrailer {
				secretParts(pl[8:len(pl)-ctcpTrailer], add)
			}
		case p.proto == protoICMP && len(p.data) > 8+20+8+28 && p.data[0] == 3 && p.data[17] == protoUDP:
			secretParts(p.data[8+20+8:], add)
		}
	}
	f.re.flush()
	return out
}

func secretParts(b []byte, add func([]byte)) {
	if len(b) > 32 && binary.BigEndian.Uint32(b) == 0 {
		b = b[4:]
	}
	if len(b) <= 28 {
		return
	}
	v, next, flags := b[17]>>4, b[16], b[19]
	if int(binary.BigEndian.Uint32(b[24:])) > 1<<16 || v != 1 && v != 2 {
		return
	}
	if v == 1 && flags&1 != 0 && next != p1Fragment {
		add(b[28:])
		return
	}
	for b = b[28:]; next != 0 && len(b) >= 4; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return
		}
		body := b[4:n]
		switch {
		case v == 1 && slices.Contains([]uint8{p1KE, p1Nonce, p1Hash, p1Sig}, next), v == 2 && next == p2Nonce, next == p2SK && v == 2:
			add(body)
		case v == 1 && next == p1ID && len(body) > 4, v == 2 && (next == p2KE || next == p2Auth) && len(body) > 4:
			add(body[4:])
		case next == p1Cert && v == 1 && len(body) > 1:
			add(body[1:])
		case v == 1 && next == p1Fragment && len(body) > 32:
			add(body[32:])
		}
		next, b = b[0], b[n:]
	}
}

// TestReduceLeavesNoSecret: nothing of the bytes that an attack on the key needs survives.
func TestReduceLeavesNoSecret(t *testing.T) {
	total := 0
	for _, path := range everything(t) {
		b := load(t, path)
		r := reduce(t, b, nil)
		for _, s := range secrets(b) {
			total++
			if i := bytes.Index(r, s); i >= 0 {
				t.Errorf("%s: %x survives at byte %d", path, s, i)
				break
			}
		}
	}
	if total < 1000 {
		t.Errorf("only %d secrets looked for: the test looks at nothing", total)
	}
	t.Logf("%d pieces looked for", total)
}

// TestReduceAgainstTshark: tshark's own idea of what is secret, and whether it can read the result.
func TestReduceAgainstTshark(t *testing.T) {
	if testing.Short() {
		t.Skip("runs tshark")
	}
	for _, path := range captures(t, "testdata") {
		switch filepath.Base(path) { // each start of tshark costs half a second
		case "modecfg-frags-hq.pcap", "ikev2-ikefrag-spoke.pcap", "ctcp-stall-hq.pcap", "sll-hq.pcap", "pcapng-hq.pcapng", "main-frags-dropped-spoke.pcap":
		default:
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			r := reduce(t, load(t, path), nil)
			out := filepath.Join(t.TempDir(), "reduced.pcap")
			if err := os.WriteFile(out, r, 0o600); err != nil {
				t.Fatal(err)
			}
			fields := []string{"-T", "fields", "-e", "isakmp.ispi", "-e", "isakmp.exchangetype", "-e", "isakmp.messageid", "-e", "isakmp.length", "-e", "esp.spi", "-e", "esp.sequence", "-e", "frame.len", "-e", "ip.id"}
			if d := cmp.Diff(tshark(t, path, fields...), tshark(t, out, fields...)); d != "" {
				t.Error(d)
			}
			for _, row := range tshark(t, path, "-T", "fields", "-e", "isakmp.key_exchange.data", "-e", "isakmp.nonce", "-e", "isakmp.hash", "-e", "isakmp.sig", "-e", "isakmp.enc.iv", "-e", "isakmp.enc.icd", "-e", "isakmp.auth.data", "-e", "isakmp.id.data.key_id") {
				for _, cell := range row {
					for v := range strings.SplitSeq(cell, ",") {
						raw, err := hex.DecodeString(strings.ReplaceAll(v, ":", ""))
						if err == nil && len(raw) >= 6 && bytes.Contains(r, raw) {
							t.Errorf("%s survives", v)
						}
					}
				}
			}
		})
	}
}

func TestReduceKeep(t *testing.T) {
	b := load(t, "testdata/pcapng-hq.pcapng")
	var out bytes.Buffer
	got, err := Reduce(bytes.NewReader(b), &out, func(n int) bool { return n == 3 || n == 6 }, Options{})
	if err != nil || got.Read != 12 || got.Written != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	c := follow(t, out.Bytes())
	if c.Packets != 2 || len(c.Negotiations) != 1 || len(c.ICMP) != 1 || c.Negotiations[0].Messages[0].Src.String() != "203.0.113.71:4500" {
		t.Error(describe(c))
	}

	cut := load(t, "testdata/cut-spoke.pcap")
	got, err = Reduce(bytes.NewReader(cut), &out, nil, Options{})
	if err != nil || !got.Cut || got.Written != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err = Reduce(strings.NewReader("no capture"), &out, nil, Options{}); err == nil {
		t.Error("text was reduced")
	}
}

// TestReduceOther: what is no VPN loses its content and keeps its shape.
func TestReduceOther(t *testing.T) {
	secret := []byte("top secret payload of somebody else")
	frames := map[string][]byte{
		"dns":       etherUDP(1, 2, 53, secret),
		"arp":       append(append(make([]byte, 12), 8, 6), secret...),
		"trailer":   append(mm1(1, 2), secret...),
		"keepalive": append(etherUDP(1, 2, 4500, []byte{0xff}), secret...),
		"junk":      etherUDP(1, 2, 4500, append([]byte{0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42}, secret...)),
		"no ip":     append(append(make([]byte, 12), 8, 0), secret...),
	}
	for name, f := range frames {
		t.Run(name, func(t *testing.T) {
			b := append(fileHead(binary.LittleEndian, 0xa1b2c3d4, 65535, 1), record16(binary.LittleEndian, 1, 2, uint32(len(f)), uint32(len(f)), f)...)
			r := reduce(t, b, nil)
			if len(r) != len(b) {
				t.Errorf("%d bytes became %d", len(b), len(r))
			}
			for i := 0; i+6 <= len(secret); i++ {
				if bytes.Contains(r, secret[i:i+6]) {
					t.Fatalf("%q survives", secret[i:i+6])
				}
			}
		})
	}
}
