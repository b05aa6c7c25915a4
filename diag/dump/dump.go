// Package dump reads the hex dumps that devices print of their own captures: ASA
// "show capture NAME dump", IOS "show monitor capture buffer NAME dump" and IOS XE
// "show monitor capture NAME buffer dump" (also "detailed"). Text in, packets out; it
// knows nothing of what is inside the packets but where an IP header begins.
//
// Pasted text is taken as it comes: prompts, blank lines, lost indentation, CRLF and
// other outputs around the dump do no harm.
package dump

import (
	"strconv"
	"strings"
	"time"
)

// Bounds. What lies beyond is counted in Skipped.
const (
	maxPackets = 200000
	maxBytes   = 65535 + 18 // of one packet
)

// Dump is what one output holds.
type Dump struct {
	Packets []Packet
	// Dated is false when the device printed the time of day alone (ASA) or no time (IOS XE):
	// then only distances between times mean something, on 1970-01-01 and the days after.
	Dated   bool
	Timed   bool   // there is a time with each packet
	Zone    string // as printed: "UTC", "CET"; times are taken as printed, as if they were UTC
	Skipped int    // hex lines that did not fit where they stand
}

// Packet is one packet of a dump.
type Packet struct {
	Number int       // as printed, from 1 on; counted when the device prints none
	Time   time.Time // see Dump.Dated and Dump.Timed; zero when there is none
	Data   []byte
	IP     bool // Data begins with an IP header; else with Ethernet
	Line   int  // of its first line, the first of the text is 1
}

// Parse reads a dump. A text without one gives a Dump without packets.
func Parse(text string) *Dump {
	p := parser{d: &Dump{}}
	for line := range strings.Lines(text) {
		p.n++
		p.line(strings.TrimRight(line, " \t\r\n"))
	}
	p.close()
	d := p.d
	for i := range d.Packets {
		d.Packets[i].IP = beginsWithIP(d.Packets[i].Data)
	}
	return d
}

type parser struct {
	d    *Dump
	n    int // line
	cur  *Packet
	next int64 // address the next line must have
	hole bool  // a line of this packet is missing: the rest is not usable

	head    Packet // of the header line seen last
	hasHead bool
	clock   time.Duration
	days    int
}

func (p *parser) line(s string) {
	if at, style, rest := address(s); style != noHex {
		if b, indent := hexBytes(rest, style); len(b) > 0 {
			p.hex(at, style, b, indent)
			return
		}
	}
	t := strings.TrimSpace(s)
	if t == "" {
		return
	}
	if h, ok := p.header(t); ok {
		p.close()
		h.Line = p.n
		p.head, p.hasHead = h, true
	}
}

// The three ways to print a line of hex.
type style int

const (
	noHex style = iota
	asa         // 0x0010 a453 0ef3 ...
	ios         // 0F1A2C10: 568494FB 08004588 ... , a memory address
	xe          //   0010:  00547549 40003F11 ...
)

// address reads the offset or address that a hex line begins with.
func address(s string) (int64, style, string) {
	t := strings.TrimLeft(s, " \t")
	if strings.HasPrefix(t, "0x") || strings.HasPrefix(t, "0X") {
		i := 2
		for i < len(t) && isHex(t[i]) {
			i++
		}
		if i < 6 || i > 10 || i == len(t) || t[i] != ' ' && t[i] != ':' && t[i] != '\t' {
			return 0, noHex, ""
		}
		v, err := strconv.ParseInt(t[2:i], 16, 64)
		if err != nil {
			return 0, noHex, ""
		}
		return v, asa, strings.TrimPrefix(t[i:], ":")
	}
	i := 0
	for i < len(t) && isHex(t[i]) {
		i++
	}
	if i != 4 && i != 8 && i != 16 || i == len(t) || t[i] != ':' {
		return 0, noHex, ""
	}
	v, err := strconv.ParseInt(t[:i], 16, 64)
	if err != nil {
		return 0, noHex, ""
	}
	if i == 4 {
		return v, xe, t[i+1:]
	}
	return v, ios, t[i+1:]
}

// hexBytes reads up to 16 bytes: groups one blank apart; a wider gap, or something that is
// no group, begins the readable column. indent is the number of bytes that were left
// blank in front (the first line of an IOS packet that begins at an odd address).
func hexBytes(s string, st style) (b []byte, indent int) {
	group := 8
	if st == asa {
		group = 4
	}
	t := strings.TrimLeft(s, " \t")
	lead := len(s) - len(t)
	if st == ios && lead > 1 {
		indent = (lead - 1) / 9 * 4
		if r := (lead - 1) % 9; r > 1 {
			indent += r / 2
		}
	}
	b = make([]byte, 0, 16)
	for len(b) < 16 && t != "" {
		i := 0
		for i < len(t) && i <= group && isHex(t[i]) {
			i++
		}
		if i == 0 || i%2 != 0 || i > group || i < len(t) && t[i] != ' ' && t[i] != '\t' {
			break
		}
		for j := 0; j < i && len(b) < 16; j += 2 {
			b = append(b, unhex(t[j])<<4|unhex(t[j+1]))
		}
		t = t[i:]
		if len(t) < 2 || t[0] != ' ' || t[1] == ' ' {
			break
		}
		t = t[1:]
	}
	return b, indent
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// hex adds a line of bytes to the packet it belongs to.
func (p *parser) hex(at int64, st style, b []byte, indent int) {
	if p.cur == nil || p.hasHead || st != ios && at == 0 {
		if st != ios && at != 0 { // its beginning is lost
			if p.cur != nil || p.hasHead || len(p.d.Packets) > 0 {
				p.d.Skipped++
			}
			return
		}
		p.open(at)
	} else if at != p.next {
		if st == ios {
			p.close()
			p.open(at)
		} else {
			p.hole = true
		}
	}
	if p.hole || len(p.cur.Data)+len(b) > maxBytes {
		p.d.Skipped++
		return
	}
	p.cur.Data = append(p.cur.Data, b...)
	p.next = at + 16
}

func (p *parser) open(at int64) {
	p.close()
	p.cur = &Packet{Line: p.n}
	if p.hasHead {
		*p.cur = p.head
		p.cur.Data = nil
		p.hasHead = false
	}
	p.next, p.hole = at, false
}

func (p *parser) close() {
	c := p.cur
	p.cur = nil
	if c == nil || len(c.Data) == 0 {
		return
	}
	if len(p.d.Packets) >= maxPackets {
		p.d.Skipped++
		return
	}
	if c.Number <= 0 {
		c.Number = 1
		if n := len(p.d.Packets); n > 0 {
			c.Number = p.d.Packets[n-1].Number + 1
		}
	}
	p.d.Timed = p.d.Timed || !c.Time.IsZero()
	p.d.Packets = append(p.d.Packets, *c)
}

// header recognises the line in front of a packet.
func (p *parser) header(t string) (Packet, bool) {
	// ASA: "1: 20:40:01.108469 10.124.255.212 > ..."
	if num, rest, ok := strings.Cut(t, ": "); ok {
		if n, err := strconv.Atoi(num); err == nil && n > 0 {
			clock, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
			if d, ok := timeOfDay(clock); ok {
				return Packet{Number: n, Time: p.undated(d)}, true
			}
		}
	}
	f := strings.Fields(t)
	// IOS: "22:45:44.700 UTC Nov 27 2021 : IPv4 LES CEF    : Fa4.320 None"
	if len(f) >= 6 && f[5] == ":" {
		if d, ok := timeOfDay(strings.TrimPrefix(strings.TrimPrefix(f[0], "*"), ".")); ok {
			if day, err := time.Parse("Jan 2 2006", f[2]+" "+f[3]+" "+f[4]); err == nil {
				p.d.Dated, p.d.Zone = true, f[1]
				return Packet{Time: day.Add(d)}, true
			}
		}
	}
	// IOS XE: "0", or with "detailed" "0  114  0.000000  10.0.0.1 -> 10.0.0.2 ..."
	if n, err := strconv.Atoi(f[0]); err == nil && n >= 0 && n < 10*maxPackets && (len(f) == 1 || len(f) >= 5) {
		h := Packet{Number: n + 1}
		if len(f) >= 5 {
			if _, err := strconv.Atoi(f[1]); err != nil {
				return h, false
			}
			s, err := strconv.ParseFloat(f[2], 64)
			if err != nil || s < 0 || s > 1e7 || !strings.Contains(f[2], ".") {
				return h, false
			}
			h.Time = time.Unix(0, int64(s*1e9)).UTC()
		}
		return h, true
	}
	return Packet{}, false
}

// undated puts a time of day on a day: the next one when the clock passed midnight.
func (p *parser) undated(d time.Duration) time.Time {
	if d+12*time.Hour < p.clock {
		p.days++
	}
	p.clock = d
	return time.Unix(0, 0).UTC().AddDate(0, 0, p.days).Add(d)
}

// timeOfDay reads "20:40:01.108469".
func timeOfDay(s string) (time.Duration, bool) {
	if len(s) < 8 || len(s) > 18 || s[2] != ':' || s[5] != ':' {
		return 0, false
	}
	h, err1 := strconv.Atoi(s[:2])
	m, err2 := strconv.Atoi(s[3:5])
	sec, err3 := strconv.ParseFloat(s[6:], 64)
	if err1 != nil || err2 != nil || err3 != nil || h < 0 || h > 23 || m < 0 || m > 59 || !(sec >= 0 && sec < 61) {
		return 0, false
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(sec*1e6+0.5)*time.Microsecond, true
}

// beginsWithIP tells a bare IP packet from an Ethernet frame: the header checksum decides,
// and without one the type field of the frame.
func beginsWithIP(b []byte) bool {
	if len(b) < 20 {
		return len(b) > 0 && b[0]>>4 == 4 && len(b) < 14
	}
	if b[0]>>4 == 4 && b[0]&15 >= 5 && len(b) >= int(b[0]&15)*4 {
		sum := 0
		for i := 0; i < int(b[0]&15)*4; i += 2 {
			sum += int(b[i])<<8 | int(b[i+1])
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		if sum == 0xffff {
			return true
		}
	}
	switch int(b[12])<<8 | int(b[13]) {
	case 0x0800, 0x86dd, 0x8100, 0x88a8, 0x8864:
		return false
	}
	if b[0]>>4 == 6 && len(b) >= 40 {
		return int(b[4])<<8|int(b[5]) <= 65535 && b[6] <= 60
	}
	return b[0]>>4 == 4 && b[0]&15 >= 5 && int(b[2])<<8|int(b[3]) >= 20
}
