package client

import (
	"net/netip"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
)

// ping is the ping whose answers are being read.
type ping struct {
	open    bool
	fact    facts.Ping
	replies int
	lost    int
	total   int // sum of round trips in ms
	unix    bool
	stats   bool // the statistics have been read
	bare    bool // its head was left out
	told    bool // its command too: the target is known from its answers only
	quiet   int  // blank lines since the last answer
	first   int  // line of the first packet that got no answer
}

// pingCommand reads "C:\>ping -f -l 1400 192.0.2.1" and "$ ping -M do -s 1372 192.0.2.1".
func (p *parser) pingCommand(t string) bool {
	i := strings.Index(t, "ping")
	if i < 0 {
		i = strings.Index(t, "Ping")
	}
	if i < 0 || i > 0 && strings.IndexByte(">$#% \\", t[i-1]) < 0 || i > 120 {
		return false
	}
	shell := i == 0 || t[i-1] == '>' || strings.HasSuffix(strings.TrimRight(t[:i], " "), "$") || strings.HasSuffix(strings.TrimRight(t[:i], " "), "%") || strings.HasSuffix(strings.TrimRight(t[:i], " "), "#")
	f := strings.Fields(t[i:])
	if !shell || len(f) < 2 || f[0] != "ping" && f[0] != "ping.exe" && f[0] != "ping6" || strings.HasPrefix(f[1], "statistic") {
		return false
	}
	a := facts.Ping{MillisRT: -1}
	target := ""
	for k := 1; k < len(f); k++ {
		next := ""
		if k+1 < len(f) {
			next = f[k+1]
		}
		switch f[k] {
		case "-f", "-D":
			a.DF = true
		case "-l", "-s", "/l":
			if n, err := strconv.Atoi(next); err == nil && n >= 0 && n < 100000 {
				a.Size = n
				k++
			}
		case "-M":
			a.DF = next == "do" || next == "probe"
			k++
		case "-S", "-I":
			a.Source = next
			k++
		case "-n", "-c", "-w", "-W", "-i", "-t", "-4", "-6", "-r":
			if _, err := strconv.Atoi(next); err == nil {
				k++
			}
		default:
			if f[k][0] != '-' {
				target = f[k]
			}
		}
	}
	if target == "" {
		return false
	}
	if ip, err := netip.ParseAddr(target); err == nil {
		a.Target = ip
	}
	p.endPing(true)
	p.asked, p.has = a, true
	return true
}

// pingTold reads a ping that somebody wrote down in one line: "ping 192.0.2.1: 15ms 14 ms 16ms",
// "ping 192.0.2.1 through the tunnel: time=366ms".
func (p *parser) pingTold(l facts.Line, t string) bool {
	i := strings.Index(syslog.Lower(t), "ping ")
	if i < 0 || i > 0 && t[i-1] != ' ' && t[i-1] != '-' && t[i-1] != '>' {
		return false
	}
	addrs := syslog.Addrs(t)
	if len(addrs) != 1 {
		return false
	}
	a := facts.Ping{Target: addrs[0], MillisRT: -1, Place: facts.Place{Source: p.source, Line: l.N, Text: strings.TrimSpace(l.Text)}}
	total := 0
	for rest := t; a.Sent < 32; {
		k := strings.Index(rest, "ms")
		if k < 0 {
			break
		}
		if ms, ok := millis(rest[:k+2]); ok && (k+2 == len(rest) || !isLetter(rest[k+2])) {
			total, a.Sent = total+ms, a.Sent+1
		}
		rest = rest[k+2:]
	}
	if a.Sent == 0 {
		return false
	}
	a.Received, a.MillisRT = a.Sent, total/a.Sent
	p.endPing(true)
	p.has = false
	p.pings = append(p.pings, a)
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// maxHead bounds the words of a ping's head: "Ejecutando ping a 192.0.2.1 desde 192.0.2.9 con 32 bytes de datos:" has eleven.
const maxHead = 14

// pingHead reads the line that begins a ping's answers, in any language of Windows: one
// address, a number, a word for bytes, a colon; and PING of Linux and macOS.
func (p *parser) pingHead(l facts.Line, t string) bool {
	unix := strings.HasPrefix(t, "PING ")
	if !unix && !strings.HasSuffix(t, ":") {
		return false
	}
	addrs := syslog.Addrs(t)
	if len(addrs) == 0 || len(addrs) > 2 {
		return false
	}
	size := -1
	f := strings.Fields(t)
	if len(f) > maxHead {
		return false // a sentence about sizes
	}
	for i := 0; i+1 < len(f); i++ {
		w := f[i]
		if k := strings.IndexByte(w, '('); k > 0 { // 1372(1400)
			w = w[:k]
		}
		n, err := strconv.Atoi(w)
		if err != nil || n < 0 || n > 100000 {
			continue
		}
		next := strings.ToLower(f[i+1])
		if strings.HasPrefix(next, "byt") || strings.HasPrefix(next, "octet") || strings.HasPrefix(next, "bajt") || strings.HasPrefix(next, "байт") || strings.HasPrefix(next, "data") {
			size = n
			break
		}
	}
	if size < 0 {
		return false
	}
	p.endPing(true)
	fact := facts.Ping{Target: addrs[0], Size: size, MillisRT: -1, Place: facts.Place{Source: p.source, Line: l.N, Text: strings.TrimRight(l.Text, " \t\r")}}
	if p.has {
		fact.DF, fact.Source = p.asked.DF, p.asked.Source
		if p.asked.Size > 0 {
			fact.Size = p.asked.Size
		}
		p.has = false
	}
	p.ping = ping{open: true, fact: fact, unix: unix}
	return true
}

// pingBare opens a ping whose head was left out: an answer, or none, or the summary alone right
// below the command.
func (p *parser) pingBare(l facts.Line, t string) bool {
	asked := p.asked
	if !asked.Target.IsValid() || strings.ContainsAny(t, ">$#") {
		return false
	}
	low := strings.ToLower(t)
	reply := strings.Contains(low, "ttl=") && len(syslog.Addrs(t)) > 0
	lost := strings.HasSuffix(t, ".") && len(t) < 80 && (strings.Contains(low, "time") || strings.Contains(low, "zeit") || strings.Contains(low, "délai") || strings.Contains(low, "agotado") || strings.Contains(low, "unreachable") || strings.Contains(low, "frag"))
	sum := strings.Contains(low, "packets transmitted") && strings.Contains(t, "%")
	if !reply && !lost && !sum && !(strings.Count(t, "=") >= 3 && strings.Contains(t, "%")) {
		return false
	}
	p.endPing(true)
	asked.Place = facts.Place{Source: p.source, Line: l.N, Text: strings.TrimSpace(l.Text)}
	p.ping = ping{open: true, bare: true, fact: asked, unix: sum || strings.Contains(low, "bytes from")}
	p.has = false
	return p.pingLine(l)
}

// pingReply opens a ping of which only answers were pasted: "Reply from 192.0.2.1: bytes=32
// time=41ms TTL=127", in any language of Windows.
func (p *parser) pingReply(l facts.Line, t string) bool {
	if !strings.Contains(t, "TTL=") {
		return false
	}
	addrs := syslog.Addrs(t)
	if _, ok := millis(t); !ok || len(addrs) != 1 {
		return false
	}
	p.endPing(true)
	p.ping = ping{open: true, bare: true, told: true, fact: facts.Ping{Target: addrs[0], MillisRT: -1,
		Place: facts.Place{Source: p.source, Line: l.N, Text: strings.TrimSpace(l.Text)}}}
	return p.pingLine(l)
}

// pingLine reads a line below a ping's head; false ends the ping.
func (p *parser) pingLine(l facts.Line) bool {
	if p.ping.told {
		if a := syslog.Addrs(l.Text); len(a) > 0 && a[0] != p.ping.fact.Target { // answers of another ping
			p.endPing(true)
			return false
		}
	}
	lost := p.ping.lost
	ok := p.pingLineOf(l)
	if p.ping.lost > lost && p.ping.first == 0 {
		p.ping.first = l.N
	}
	return ok
}

func (p *parser) pingLineOf(l facts.Line) bool {
	t := strings.TrimSpace(l.Text)
	q := &p.ping
	if t == "" {
		q.quiet++
		return !(q.stats && q.quiet > 1)
	}
	q.quiet = 0
	low := strings.ToLower(t)
	switch {
	case strings.Contains(low, "ttl=") || q.unix && strings.Contains(low, "bytes from"):
		q.replies++
		if ms, ok := millis(t); ok {
			q.total += ms
		}
		return true
	case strings.Contains(low, "frag") && strings.Contains(t, "DF"), strings.Contains(low, "message too long"), strings.Contains(low, "frag needed"):
		q.fact.TooBig = true
		q.lost++
		return true
	case q.unix && strings.Contains(t, "%") && strings.Contains(t, ","): // "3 packets transmitted, 0 received, 100% packet loss"
		if sent, got, ok := transmitted(t); ok {
			q.fact.Sent, q.fact.Received, q.stats = sent, got, true
			p.outcome(l, t)
		}
		return true
	case q.unix && strings.Contains(t, "min/avg/max"):
		if _, v, ok := strings.Cut(t, "= "); ok {
			if f := strings.Split(v, "/"); len(f) > 1 {
				if x, err := strconv.ParseFloat(f[1], 64); err == nil && x < 1e6 {
					q.fact.MillisRT = int(x + 0.5)
				}
			}
		}
		p.endPing(true)
		return true
	case q.unix && (strings.HasPrefix(t, "---") || strings.HasPrefix(low, "from ") || strings.HasPrefix(low, "request timeout") || strings.HasPrefix(low, "ping:") || strings.HasPrefix(low, "no answer")):
		if !strings.HasPrefix(t, "---") {
			q.lost++
		}
		return true
	case !q.unix && strings.Count(t, "=") >= 3 && strings.Contains(t, "%"): // Packets: Sent = 3, Received = 3, Lost = 0 (0% loss),
		if v := equals(t); len(v) >= 2 {
			q.fact.Sent, q.fact.Received, q.stats = v[0], v[1], true
			p.outcome(l, t)
		}
		return true
	case !q.unix && strings.Count(t, "=") >= 2 && strings.Contains(low, "ms"): // Minimum = 41ms, Maximum = 41ms, Average = 41ms
		if v := equals(t); len(v) >= 3 {
			q.fact.MillisRT = v[2]
		}
		return true
	case q.stats:
		if strings.HasSuffix(t, ":") && len(t) < 60 && len(syslog.Addrs(t)) == 0 && !strings.ContainsAny(t, "\\>$#") { // "Approximate round trip times in milli-seconds:"
			return true
		}
		if strings.HasPrefix(low, "(") && strings.HasSuffix(low, ",") { // a wrapped loss figure
			return true
		}
		p.endPing(true)
		return false
	case strings.HasSuffix(t, ":") && len(syslog.Addrs(t)) == 1 && !strings.Contains(t, "="): // "Ping statistics for 192.0.2.1:"
		return true
	case !q.unix && (strings.HasSuffix(t, ".") || strings.HasSuffix(t, "!")) && len(t) < 120: // timed out, unreachable, in any language
		q.lost++
		return true
	}
	p.endPing(true)
	return false
}

// outcome moves the place of a ping to the line with its statistics; what was sent stands in its text.
func (p *parser) outcome(l facts.Line, t string) {
	if p.ping.bare {
		return // its first answer stands for it
	}
	f := &p.ping.fact
	f.Place.Line, f.Place.Text = l.N, strings.TrimSpace(f.Place.Text)+" … "+t
}

// endPing closes the ping at hand. With a blank line only a finished one ends.
func (p *parser) endPing(now bool) {
	q := &p.ping
	if !q.open || !now && !q.stats {
		return
	}
	q.open = false
	f := q.fact
	if f.Sent == 0 {
		f.Sent, f.Received = q.replies+q.lost, q.replies
	} else if q.replies < f.Received && q.replies+q.lost >= f.Sent {
		f.Received = q.replies // "Destination host unreachable" counts as received on Windows
	}
	if f.MillisRT < 0 && q.replies > 0 {
		f.MillisRT = q.total / q.replies
	}
	if f.Received == 0 && q.first > 0 {
		f.Place.Line = q.first // the silence itself
	}
	if f.Sent > 0 {
		p.pings = append(p.pings, f)
	}
}

// millis reads the round trip of an answer: "time=41ms", "Zeit<1ms", "time=1.23 ms".
func millis(t string) (int, bool) {
	i := strings.Index(t, "ms")
	if i < 1 {
		return 0, false
	}
	e := i
	for e > 0 && t[e-1] == ' ' {
		e--
	}
	b := e
	for b > 0 && (isDigit(t[b-1]) || t[b-1] == '.') && e-b < 9 {
		b--
	}
	x, err := strconv.ParseFloat(t[b:e], 64)
	if err != nil || x > 1e6 {
		return 0, false
	}
	return int(x + 0.5), true
}

// equals returns the numbers behind the equal signs of a line.
func equals(t string) []int {
	var out []int
	for i := 0; i < len(t) && len(out) < 8; i++ {
		if t[i] != '=' {
			continue
		}
		j := i + 1
		for j < len(t) && t[j] == ' ' {
			j++
		}
		k := j
		for k < len(t) && k-j < 8 && isDigit(t[k]) {
			k++
		}
		if n, err := strconv.Atoi(t[j:k]); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// transmitted reads the first two numbers of a Unix summary that are no percentages or errors.
func transmitted(t string) (sent, got int, ok bool) {
	var v []int
	for _, part := range strings.Split(t, ",") {
		part = strings.TrimSpace(part)
		if part == "" || part[0] == '+' || !isDigit(part[0]) {
			continue
		}
		k := 0
		for k < len(part) && k < 9 && isDigit(part[k]) {
			k++
		}
		if k < len(part) && (part[k] == '%' || part[k] == '.') {
			continue
		}
		n, _ := strconv.Atoi(part[:k])
		v = append(v, n)
	}
	if len(v) < 2 {
		return 0, 0, false
	}
	return v[0], v[1], true
}
