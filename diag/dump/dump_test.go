package dump

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// frame is an Ethernet frame with an IPv4 packet of n bytes, its checksum right.
func frame(n int) []byte {
	b := make([]byte, 14+n)
	copy(b, []byte{0xa4, 0x53, 0x0e, 0xf3, 0x7f, 0xc0, 0x74, 0xad, 0x98, 0xe5, 0, 4, 8, 0})
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(n))
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	sum := 0
	for i := 0; i < 20; i += 2 {
		sum += int(ip[i])<<8 | int(ip[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	for i := 20; i < n; i++ {
		ip[i] = byte(0x30 + i%10) // looks like text, and like hex
	}
	return b
}

// asaText and the like print a packet as the device does.
func asaText(n int, clock string, b []byte) string {
	var s strings.Builder
	fmt.Fprintf(&s, "   %d: %s       10.0.0.1.500 > 10.0.0.2.500:  udp %d \n", n, clock, len(b)-42)
	for o := 0; o < len(b); o += 16 {
		row := b[o:min(o+16, len(b))]
		hex := ""
		for i := 0; i < len(row); i += 2 {
			hex += fmt.Sprintf("%x ", row[i:min(i+2, len(row))])
		}
		fmt.Fprintf(&s, "0x%04x %-40s%s\n", o, hex, readable(row))
	}
	return s.String()
}

func iosText(clock string, at int, b []byte) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s UTC Nov 27 2021 : IPv4 LES CEF    : Fa4.320 None\n\n", clock)
	col := at % 16
	at -= col
	for len(b) > 0 {
		row := b[:min(16-col, len(b))]
		cells := make([]string, 16)
		for i := range cells {
			cells[i] = "  "
			if i >= col && i < col+len(row) {
				cells[i] = fmt.Sprintf("%02X", row[i-col])
			}
		}
		hex := ""
		for i := 0; i < 16; i += 4 {
			hex += strings.Join(cells[i:i+4], "") + " "
		}
		fmt.Fprintf(&s, "%08X: %s %s%s\n", at, hex, strings.Repeat(" ", col), readable(row))
		b, at, col = b[len(row):], at+16, 0
	}
	return s.String() + "\n"
}

func xeText(n int, b []byte) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d\n", n)
	for o := 0; o < len(b); o += 16 {
		row := b[o:min(o+16, len(b))]
		hex := ""
		for i := 0; i < len(row); i += 4 {
			hex += fmt.Sprintf("%X ", row[i:min(i+4, len(row))])
		}
		fmt.Fprintf(&s, "  %04X:  %-38s%s\n", o, hex, readable(row))
	}
	return s.String() + "\n"
}

func readable(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = '.'
		if c > ' ' && c <= '~' {
			out[i] = c
		}
	}
	return string(out)
}

func TestParse(t *testing.T) {
	one, two := frame(100), frame(47)
	bare := one[14:]
	at := func(day, clock string) time.Time {
		v, err := time.Parse("2006-01-02 15:04:05.999999", day+" "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	tests := map[string]struct {
		text    string
		numbers []int
		data    [][]byte
		ip      bool
		times   []time.Time
		dated   bool
		skipped int
	}{
		"asa": {
			text:    "hq# show capture VB dump\n\n2 packets captured\n\n" + asaText(1, "20:40:01.108469", one) + asaText(2, "20:40:02.000001", two) + "2 packets shown\nhq# \n",
			numbers: []int{1, 2}, data: [][]byte{one, two},
			times: []time.Time{at("1970-01-01", "20:40:01.108469"), at("1970-01-01", "20:40:02.000001")},
		},
		"asa over midnight, without link header, CRLF": {
			text:    strings.ReplaceAll(asaText(7, "23:59:59.900000", bare)+asaText(8, "00:00:00.100000", bare), "\n", "\r\n"),
			numbers: []int{7, 8}, data: [][]byte{bare, bare}, ip: true,
			times: []time.Time{at("1970-01-01", "23:59:59.9"), at("1970-01-02", "00:00:00.1")},
		},
		"asa with a line lost": {
			text:    strings.Replace(asaText(1, "10:00:00.000000", one), "0x0030", "lost", 1) + asaText(2, "10:00:00.000000", two),
			numbers: []int{1, 2}, data: [][]byte{one[:0x30], two},
			times:   []time.Time{at("1970-01-01", "10:00:00"), at("1970-01-01", "10:00:00")},
			skipped: 4,
		},
		"ios": {
			text:    iosText("22:45:44.700", 0x0f1a2c08, one) + iosText("22:45:44.800", 0x0f1a2c06, two),
			numbers: []int{1, 2}, data: [][]byte{one, two}, dated: true,
			times: []time.Time{at("2021-11-27", "22:45:44.7"), at("2021-11-27", "22:45:44.8")},
		},
		"ios without link header": {
			text:    iosText("22:45:44.700", 0x8752654c, bare),
			numbers: []int{1}, data: [][]byte{bare}, ip: true, dated: true,
			times: []time.Time{at("2021-11-27", "22:45:44.7")},
		},
		"ios xe": {
			text:    "Router#show monitor capture VB buffer dump\n" + xeText(0, one) + xeText(1, two) + "Router#",
			numbers: []int{1, 2}, data: [][]byte{one, two}, times: []time.Time{{}, {}},
		},
		"ios xe with indentation and columns lost in a paste": {
			text:    collapse(xeText(0, two)),
			numbers: []int{1}, data: [][]byte{two}, times: []time.Time{{}},
		},
		"no dump": {text: "hq# show capture VB\n\n0 packet captured\n\n0 packet shown\nhq#"},
		"nothing": {},
		"a log":   {text: "Nov 23 2026 10:00:00: %ASA-6-302015: Built\n00:10:20.300 something\nbeef: cafe\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := Parse(tt.text)
			if len(d.Packets) != len(tt.numbers) {
				t.Fatalf("%d packets, want %d: %+v", len(d.Packets), len(tt.numbers), d)
			}
			for i, p := range d.Packets {
				if p.Number != tt.numbers[i] {
					t.Errorf("packet %d has number %d, want %d", i, p.Number, tt.numbers[i])
				}
				got := p.Data
				if name == "ios xe with indentation and columns lost in a paste" {
					got = got[:min(len(got), len(tt.data[i]))] // the readable column may look like hex
				}
				if string(got) != string(tt.data[i]) {
					t.Errorf("packet %d:\n%x\nwant\n%x", i, got, tt.data[i])
				}
				if p.IP != tt.ip {
					t.Errorf("packet %d: IP %v", i, p.IP)
				}
				if !p.Time.Equal(tt.times[i]) {
					t.Errorf("packet %d at %v, want %v", i, p.Time, tt.times[i])
				}
				if p.Line < 1 {
					t.Errorf("packet %d has no line", i)
				}
			}
			if d.Dated != tt.dated || d.Skipped != tt.skipped {
				t.Errorf("dated %v, skipped %d", d.Dated, d.Skipped)
			}
		})
	}
}

// collapse makes every run of blanks one blank, as some web pages do.
func collapse(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

func FuzzParse(f *testing.F) {
	f.Add(asaText(1, "20:40:01.108469", frame(60)))
	f.Add(iosText("22:45:44.700", 0x0f1a2c08, frame(60)))
	f.Add(xeText(0, frame(60)))
	f.Add("0x0000 45\n0x0000 4500\n0000: 00 11\n1: 1:2:3\n")
	f.Fuzz(func(t *testing.T, s string) {
		d := Parse(s)
		for _, p := range d.Packets {
			if len(p.Data) == 0 || len(p.Data) > maxBytes || p.Number < 1 || p.Line < 1 {
				t.Fatalf("%+v", p)
			}
		}
	})
}
