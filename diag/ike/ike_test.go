package ike

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"vpnbot/diag/facts"
)

var update = flag.Bool("update", false, "write the golden files anew")

// captures are all captures of a folder tree, by path.
func captures(tb testing.TB, dir string) []string {
	tb.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			switch filepath.Ext(p) {
			case ".pcap", ".pcapng", ".cap":
				out = append(out, p)
			}
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func load(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// follow reads a capture; damage and emptiness are no failure here.
func follow(tb testing.TB, b []byte) *facts.Capture {
	tb.Helper()
	c, err := Read(bytes.NewReader(b), "x", "x.pcap", Options{})
	if c == nil {
		tb.Fatal(err)
	}
	return c
}

// TestGolden: what the small permanent set of captures says, message by message.
func TestGolden(t *testing.T) {
	for _, path := range captures(t, "testdata") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			got := describe(follow(t, load(t, path)))
			golden := path + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(strings.Split(string(load(t, golden)), "\n"), strings.Split(got, "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}

// record16 makes a classic record.
func record16(order binary.AppendByteOrder, sec, frac, capLen, wire uint32, data []byte) []byte {
	var b []byte
	for _, v := range []uint32{sec, frac, capLen, wire} {
		b = order.AppendUint32(b, v)
	}
	return append(b, data...)
}

func fileHead(order binary.AppendByteOrder, magic, snap, link uint32) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = order.AppendUint64(b, 0)
	b = order.AppendUint32(b, snap)
	return order.AppendUint32(b, link)
}

// mm1 is an Ethernet frame with a small first message of main mode.
func mm1(src, dst byte) []byte {
	msg := make([]byte, 28+4+8)
	binary.BigEndian.PutUint64(msg, 0x1122334455667788)
	msg[16], msg[17], msg[18] = p1SA, 0x10, exMain
	binary.BigEndian.PutUint32(msg[24:], uint32(len(msg)))
	binary.BigEndian.PutUint16(msg[30:], 12)
	return etherUDP(src, dst, 500, msg)
}

// etherUDP wraps a payload into UDP, IPv4 and Ethernet.
func etherUDP(src, dst byte, port uint16, payload []byte) []byte {
	b := make([]byte, 14+20+8, 42+len(payload))
	b[12] = 8
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], []byte{10, 0, 0, src, 10, 0, 0, dst})
	binary.BigEndian.PutUint16(ip[20:], port)
	binary.BigEndian.PutUint16(ip[22:], port)
	binary.BigEndian.PutUint16(ip[24:], uint16(8+len(payload)))
	return append(b, payload...)
}

// TestFormats: the same packet in every file format and behind every link header.
func TestFormats(t *testing.T) {
	frame := mm1(1, 2)
	ip := frame[14:]
	le, be := binary.LittleEndian, binary.BigEndian
	classic := func(order binary.AppendByteOrder, magic, link uint32, data []byte) []byte {
		return append(fileHead(order, magic, 65535, link), record16(order, 1000, 5, uint32(len(data)), uint32(len(data)), data)...)
	}
	pre := func(head ...byte) []byte { return append(head, ip...) }
	mac := frame[:12]
	after := func(head ...byte) []byte { return append(append(append([]byte{}, mac...), head...), ip...) }
	gz := func(b []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
		return out.Bytes()
	}
	ng := func(order binary.AppendByteOrder, blocks ...[]byte) []byte {
		body := order.AppendUint32(nil, 0x1a2b3c4d)
		body = order.AppendUint32(body, 1)
		body = order.AppendUint64(body, ^uint64(0))
		b := block(order, blockSection, body)
		for _, x := range blocks {
			b = append(b, x...)
		}
		return b
	}
	iface := func(order binary.AppendByteOrder, link uint16) []byte {
		b := order.AppendUint16(nil, link)
		b = order.AppendUint16(b, 0)
		return block(order, blockInterface, order.AppendUint32(b, 0))
	}
	epb := func(order binary.AppendByteOrder, id uint32, data []byte) []byte {
		b := order.AppendUint32(nil, id)
		b = order.AppendUint32(b, 0)
		b = order.AppendUint32(b, 1000e6)
		b = order.AppendUint32(b, uint32(len(data)))
		b = order.AppendUint32(b, uint32(len(data)))
		b = append(b, data...)
		return block(order, blockEnhanced, append(b, make([]byte, -len(data)&3)...))
	}
	v6 := make([]byte, 40)
	v6[0], v6[6], v6[7] = 0x60, protoUDP, 64
	be.PutUint16(v6[4:], uint16(len(ip)-20))
	v6[23], v6[39] = 1, 2
	v6 = append(v6, ip[20:]...)

	tests := map[string]struct {
		file []byte
		n    int
	}{
		"little endian":             {classic(le, 0xa1b2c3d4, 1, frame), 1},
		"big endian":                {classic(be, 0xa1b2c3d4, 1, frame), 1},
		"nanoseconds":               {classic(le, 0xa1b23c4d, 1, frame), 1},
		"nanoseconds big endian":    {classic(be, 0xa1b23c4d, 1, frame), 1},
		"gzip":                      {gz(classic(le, 0xa1b2c3d4, 1, frame)), 1},
		"snap length zero":          {append(fileHead(le, 0xa1b2c3d4, 0, 1), record16(le, 1, 2, uint32(len(frame)), uint32(len(frame)), frame)...), 1},
		"longer than snap length":   {append(fileHead(le, 0xa1b2c3d4, 20, 1), record16(le, 1, 2, uint32(len(frame)), uint32(len(frame)), frame)...), 1},
		"original length too small": {append(fileHead(le, 0xa1b2c3d4, 65535, 1), record16(le, 1, 2, uint32(len(frame)), 3, frame)...), 1},
		"raw 101":                   {classic(le, 0xa1b2c3d4, 101, ip), 1},
		"raw 12":                    {classic(le, 0xa1b2c3d4, 12, ip), 1},
		"raw 228":                   {classic(le, 0xa1b2c3d4, 228, ip), 1},
		"raw 229":                   {classic(le, 0xa1b2c3d4, 229, v6), 1},
		"null":                      {classic(le, 0xa1b2c3d4, 0, pre(2, 0, 0, 0)), 1},
		"loop":                      {classic(le, 0xa1b2c3d4, 108, pre(0, 0, 0, 2)), 1},
		"vlan":                      {classic(le, 0xa1b2c3d4, 1, after(0x81, 0, 0, 7, 8, 0)), 1},
		"qinq":                      {classic(le, 0xa1b2c3d4, 1, after(0x88, 0xa8, 0, 7, 0x81, 0, 0, 9, 8, 0)), 1},
		"pppoe":                     {classic(le, 0xa1b2c3d4, 1, after(0x88, 0x64, 0x11, 0, 0, 1, 0, byte(len(ip)+2), 0, 0x21)), 1},
		"vlan and pppoe":            {classic(le, 0xa1b2c3d4, 1, after(0x81, 0, 0, 7, 0x88, 0x64, 0x11, 0, 0, 1, 0, byte(len(ip)+2), 0, 0x21)), 1},
		"mpls":                      {classic(le, 0xa1b2c3d4, 1, after(0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64)), 1},
		"llc snap":                  {classic(le, 0xa1b2c3d4, 1, after(0, byte(len(ip)+8), 0xaa, 0xaa, 3, 0, 0, 0, 8, 0)), 1},
		"sll":                       {classic(le, 0xa1b2c3d4, 113, append(append(make([]byte, 14), 8, 0), ip...)), 1},
		"sll2":                      {classic(le, 0xa1b2c3d4, 276, append(append([]byte{8, 0}, make([]byte, 18)...), ip...)), 1},
		"ppp":                       {classic(le, 0xa1b2c3d4, 9, pre(0xff, 3, 0, 0x21)), 1},
		"hdlc":                      {classic(le, 0xa1b2c3d4, 104, pre(0x0f, 0, 8, 0)), 1},
		"pcapng":                    {ng(le, iface(le, 1), epb(le, 0, frame)), 1},
		"pcapng big endian":         {ng(be, iface(be, 1), epb(be, 0, frame)), 1},
		"pcapng gzip":               {gz(ng(le, iface(le, 1), epb(le, 0, frame))), 1},
		"pcapng, mixed link types":  {ng(le, iface(le, 1), iface(le, 101), epb(le, 0, frame), epb(le, 1, mm1(3, 4)[14:])), 2},
		"pcapng, unknown blocks":    {ng(le, block(le, 0x0bad, make([]byte, 8)), iface(le, 1), block(le, 5, make([]byte, 16)), epb(le, 0, frame)), 1},
		"pcapng, two sections":      {append(ng(le, iface(le, 101), epb(le, 0, ip)), ng(be, iface(be, 1), epb(be, 0, mm1(3, 4)))...), 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Read(bytes.NewReader(tt.file), "x", "x.pcap", Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Negotiations) != tt.n {
				t.Fatalf("%d negotiations, want %d:\n%s", len(c.Negotiations), tt.n, describe(c))
			}
			n := c.Negotiations[0]
			if n.Exchange != "main" || n.Messages[0].Label != "MM1" || n.Messages[0].Packet != 1 {
				t.Errorf("%s", describe(c))
			}
			if c.First.Unix() != 1000 && c.First.Unix() != 1 {
				t.Errorf("at %v", c.First)
			}
			// Byte by byte, as a slow pipe hands it over.
			slow, err := Read(iotest.OneByteReader(bytes.NewReader(tt.file)), "x", "x.pcap", Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(describe(c), describe(slow)); d != "" {
				t.Error(d)
			}
		})
	}
}

func block(order binary.AppendByteOrder, typ uint32, body []byte) []byte {
	b := order.AppendUint32(nil, typ)
	b = order.AppendUint32(b, uint32(12+len(body)))
	b = append(b, body...)
	return order.AppendUint32(b, uint32(12+len(body)))
}

// TestPartly: what comes back when a file is not whole.
func TestPartly(t *testing.T) {
	whole := load(t, "testdata/main-healthy-hq.pcap")
	head := whole[:24]
	tests := map[string]struct {
		file    []byte
		packets int // -1: no capture
		is      error
		damaged bool
		cut     bool
	}{
		"empty":                      {nil, -1, io.EOF, false, false},
		"text":                       {[]byte("show crypto isakmp sa\n"), -1, ErrNotCapture, false, false},
		"two bytes":                  {[]byte{0xd4, 0xc3}, -1, ErrNotCapture, false, false},
		"header only":                {head, 0, ErrNoPackets, false, false},
		"half a header":              {whole[:12], 0, nil, true, true},
		"cut in the data":            {whole[:len(whole)-7], 20, nil, true, true},
		"cut in the record's header": {whole[:24+16+222+5], 1, nil, true, true},
		"a record of 2 GB":           {append(append([]byte{}, whole...), record16(binary.LittleEndian, 1, 1, 1<<31, 1<<31, nil)...), 21, nil, true, false},
		"gzip cut":                   {gzipCut(whole), -2, nil, true, true},
		"gzip damaged":               {gzipDamaged(whole), -2, nil, true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Read(bytes.NewReader(tt.file), "x", "x.pcap", Options{})
			if tt.packets == -1 {
				if c != nil || !errors.Is(err, tt.is) {
					t.Fatalf("capture %v, error %v", c, err)
				}
				return
			}
			if c == nil {
				t.Fatal(err)
			}
			if tt.packets >= 0 && c.Packets != tt.packets {
				t.Errorf("%d packets, want %d", c.Packets, tt.packets)
			}
			var d *DamagedError
			if got := errors.As(err, &d); got != tt.damaged {
				t.Errorf("error %v", err)
			}
			if d != nil && d.Cut != tt.cut || c.Cut != tt.cut {
				t.Errorf("cut %v, error %+v", c.Cut, d)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v", err, tt.is)
			}
		})
	}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func gzipCut(b []byte) []byte {
	z := gzipped(b)
	return z[:len(z)*2/3]
}

func gzipDamaged(b []byte) []byte {
	z := gzipped(b)
	z[len(z)-6] ^= 0xff // checksum
	return z
}

// TestReadError: an error of the reader below is handed on, not taken for the end.
func TestReadError(t *testing.T) {
	boom := errors.New("disk on fire")
	whole := load(t, "testdata/main-healthy-hq.pcap")
	_, err := Read(io.MultiReader(bytes.NewReader(whole[:1000]), iotest.ErrReader(boom)), "x", "x.pcap", Options{})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
}

// TestFloods: what strangers send in masses is counted and takes no room.
func TestFloods(t *testing.T) {
	const many = 60000
	tests := map[string]struct {
		frame func(i int) []byte
		check func(c *facts.Capture) bool
	}{
		"random SPIs on 4500": {
			func(i int) []byte {
				b := make([]byte, 64)
				binary.BigEndian.PutUint64(b, uint64(i+300)*0x9e3779b97f4a7c15|1<<40)
				return etherUDP(1, 2, 4500, b)
			},
			func(c *facts.Capture) bool { return len(c.ESP) <= maxSPIs && c.ESPDropped > many/2 },
		},
		"one cookie, many addresses": {
			func(i int) []byte {
				b := mm1(1, 2)
				binary.BigEndian.PutUint32(b[26:], uint32(i))
				binary.BigEndian.PutUint32(b[30:], uint32(i)+many)
				return b
			},
			func(c *facts.Capture) bool { return len(c.Negotiations) <= maxTwins+1 },
		},
		"new cookies": {
			func(i int) []byte {
				b := mm1(1, 2)
				binary.BigEndian.PutUint64(b[42:], uint64(i)+1)
				return b
			},
			func(c *facts.Capture) bool { return len(c.Negotiations) == many && c.Dropped == 0 },
		},
		"first fragments alone": {
			func(i int) []byte {
				b := mm1(1, 2)
				b[20] = 0x20
				binary.BigEndian.PutUint16(b[18:], uint16(i))
				binary.BigEndian.PutUint64(b[42:], uint64(i)+1)
				return b
			},
			func(c *facts.Capture) bool { return len(c.Negotiations) > 0 },
		},
		"later fragments alone": {
			func(i int) []byte {
				b := mm1(1, 2)
				b[20], b[21] = 0x20, 9
				binary.BigEndian.PutUint16(b[18:], uint16(i))
				return b
			},
			func(c *facts.Capture) bool { return len(c.Orphans) == maxOrphans },
		},
		"broken messages": {
			func(i int) []byte {
				b := mm1(1, 2)
				b[42+30] = byte(i) | 1
				binary.BigEndian.PutUint64(b[42:], uint64(i)+1)
				return b
			},
			func(c *facts.Capture) bool { return len(c.Negotiations) == 0 && len(c.Garbage) > 0 },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newFollower("x", "x", Options{Fold: math.MaxInt})
			for i := range many {
				b := tt.frame(i)
				w.record(&record{n: i + 1, ts: int64(i) * 1e6, link: linkEthernet, wire: len(b), data: b})
			}
			if c := w.finish(); !tt.check(c) {
				t.Errorf("%d negotiations (%d dropped), %d flows (%d dropped), %d orphans, %d kinds of garbage", len(c.Negotiations), c.Dropped, len(c.ESP), c.ESPDropped, len(c.Orphans), len(c.Garbage))
			}
		})
	}
}

// TestUnsorted: the order of the records does not matter to what a capture says.
func TestUnsorted(t *testing.T) {
	for _, name := range []string{"modecfg-frags-hq.pcap", "nat-expired-hq.pcap", "rekey-hq.pcap", "main-frags-dropped-spoke.pcap"} {
		t.Run(name, func(t *testing.T) {
			b := load(t, filepath.Join("testdata", name))
			var recs [][]byte
			for o := 24; o < len(b); {
				n := 16 + int(binary.LittleEndian.Uint32(b[o+8:]))
				recs = append(recs, b[o:o+n])
				o += n
			}
			shuffled := append([]byte{}, b[:24]...)
			for i := range recs {
				shuffled = append(shuffled, recs[(i*7+3)%len(recs)]...)
			}
			if len(recs)%7 == 0 {
				t.Skip("the permutation needs another step")
			}
			if d := cmp.Diff(shape(follow(t, b), false), shape(follow(t, shuffled), false)); d != "" {
				t.Error(d)
			}
		})
	}
}

// shape is a capture without packet numbers and bytes: what stays equal when records
// change places or bodies become zeros.
func shape(c *facts.Capture, packets bool) []string {
	var out []string
	num := func(n int) string {
		if packets {
			return strconv.Itoa(n)
		}
		return "-"
	}
	for _, n := range c.Negotiations {
		out = append(out, strings.Join([]string{"negotiation", facts.SPIHex(n.InitSPI), n.Exchange, n.Initiator.String(), n.Responder.String(), n.NATSide, proposalText(n.Chosen), strconv.FormatBool(n.Floated), strconv.FormatBool(n.NATTOffered)}, " "))
		for i := range n.Messages {
			m := &n.Messages[i]
			s := []string{num(m.Packet), m.Label, m.Src.String(), m.Dst.String(), strconv.Itoa(m.IPLength), strconv.Itoa(m.Length), strconv.Itoa(len(m.Fragments)), strconv.FormatBool(m.Complete), strconv.Itoa(m.Copy), strconv.FormatBool(m.CopyOf >= 0), strconv.FormatBool(m.DuplicateOf >= 0), m.Malformed}
			for _, p := range m.Payloads {
				s = append(s, p.Name, strconv.Itoa(p.Length))
			}
			for _, x := range m.Notifies {
				s = append(s, x.Name)
			}
			out = append(out, strings.Join(s, " "))
		}
	}
	for _, e := range c.ESP {
		out = append(out, strings.Join([]string{"esp", e.Src.String(), e.Dst.String(), strconv.Itoa(e.Count), strconv.Itoa(e.Missing), strconv.FormatBool(e.Trusted), strconv.Itoa(int(e.LastSeq)), strconv.FormatInt(e.Bytes, 10)}, " "))
	}
	for _, i := range c.ICMP {
		out = append(out, strings.Join([]string{"icmp", num(i.Packet), i.From.String(), i.To.String(), strconv.Itoa(int(i.Type)), strconv.Itoa(int(i.Code)), strconv.Itoa(i.MTU), i.Quoted.Src.String(), i.Quoted.Dst.String(), facts.SPIHex(i.Quoted.InitSPI), strconv.FormatBool(i.Quoted.IKE)}, " "))
	}
	for _, k := range c.Keepalives {
		out = append(out, strings.Join([]string{"keepalive", k.Src.String(), k.Dst.String(), strconv.Itoa(k.Count)}, " "))
	}
	for _, k := range c.CTCP {
		out = append(out, strings.Join([]string{"ctcp", k.Client.String(), k.Server.String(), strconv.Itoa(len(k.Segments)), k.ResetBy}, " "))
	}
	sort.Strings(out)
	return out
}

// tshark runs tshark over a capture; the test skips without it.
func tshark(tb testing.TB, path string, args ...string) [][]string {
	tb.Helper()
	exe, err := exec.LookPath("tshark")
	if err != nil {
		tb.Skip("tshark is not installed")
	}
	out, err := exec.Command(exe, append([]string{"-n", "-r", path}, args...)...).Output()
	if err != nil && len(out) == 0 {
		var x *exec.ExitError
		if errors.As(err, &x) && !strings.Contains(string(x.Stderr), "cut short") {
			tb.Fatalf("tshark %s: %v: %s", path, err, x.Stderr)
		}
	}
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimRight(line, "\r\n"), "\t"))
	}
	return rows
}

// TestAgainstTshark compares every message, ESP packet and keepalive of every capture at
// hand with what tshark says of it.
func TestAgainstTshark(t *testing.T) {
	if testing.Short() {
		t.Skip("runs tshark over every capture")
	}
	dir := filepath.Join(shared(t), "captures")
	for i, path := range captures(t, dir) {
		if os.Getenv("ALL_CAPTURES") == "" && i%7 != 0 {
			continue // starting tshark 170 times takes two minutes
		}
		name, _ := filepath.Rel(dir, path)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := follow(t, load(t, path))
			theirs := map[string]bool{}
			esp := map[string]int{}
			for _, r := range tshark(t, path, "-Y", "(isakmp || esp) && !icmp && !icmpv6", "-T", "fields",
				"-e", "frame.number", "-e", "isakmp.ispi", "-e", "isakmp.rspi", "-e", "isakmp.exchangetype", "-e", "isakmp.messageid", "-e", "isakmp.length", "-e", "esp.spi", "-e", "udp.length", "-e", "_ws.malformed") {
				if r[6] != "" {
					esp[strings.TrimPrefix(r[6], "0x")]++
				}
				if r[1] == "" || strings.Contains(r[1], ",") {
					continue
				}
				if r[5] == "" {
					r[5] = "?" // snapped: tshark gives up before the length
				}
				theirs[strings.Join(r[:6], " ")] = true
			}
			ours := map[string]bool{}
			for _, n := range c.Negotiations {
				for i := range n.Messages {
					m := &n.Messages[i]
					if !m.Complete {
						continue
					}
					length := strconv.Itoa(m.Length)
					last := m.Packets[len(m.Packets)-1]
					id := "0x" + strconv.FormatUint(uint64(m.MessageID)|1<<32, 16)[1:]
					k := []string{strconv.Itoa(last), facts.SPIHex(m.InitSPI), facts.SPIHex(m.RespSPI), strconv.Itoa(int(m.Exchange)), id, length}
					if m.Captured < m.Length && !theirs[strings.Join(k, " ")] {
						k[5] = "?"
					}
					ours[strings.Join(k, " ")] = true
				}
			}
			garbage := 0
			for _, g := range c.Garbage {
				garbage += g.Count
			}
			for k := range ours {
				if !theirs[k] {
					t.Errorf("tshark has no %s", k)
				}
			}
			missing := 0
			for k := range theirs {
				if !ours[k] {
					if missing++; garbage == 0 {
						t.Errorf("only tshark has %s", k)
					}
				}
			}
			if missing > garbage {
				t.Errorf("tshark has %d messages more, %d are garbage here", missing, garbage)
			}
			for _, e := range c.ESP {
				k := strconv.FormatUint(uint64(e.SPI)|1<<32, 16)[1:]
				esp[k] -= e.Count
				if e.CTCP { // tshark does not look into a segment that TCP sent again
					esp[k] += e.Duplicates + e.Reordered
				}
			}
			for k, n := range esp {
				if n != 0 && garbage == 0 && len(c.Orphans) == 0 {
					t.Errorf("ESP %s: tshark has %d packets more", k, n)
				}
			}
		})
	}
}
