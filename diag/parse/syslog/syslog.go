// Package syslog finds log and debug lines in text: ASA, PIX and FTD messages, IOS
// messages, debug output of both, console warnings, ASDM rows, and Cisco's fixed words
// pasted into mail without any of that around them.
//
// In come numbered lines (redacted), out go facts.Events in their order and the lines
// that are none. It never fails; what it does not know it hands back.
package syslog

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"vpnbot/diag/facts"
)

// Bounds of one message put together from several lines.
const (
	maxJoined = 4096 // bytes
	maxLines  = 24
	wrapFrom  = 70 // a line at least this long may have been wrapped

	narrowest, widest = 60, 100 // what mail programs wrap at
)

// shape is what classify learnt about a line that starts a message.
type shape struct {
	kind     string // facts.Event.Kind
	id       string
	severity int
	header   string // before the message's id
	body     int    // offset of the body in the line
	time     time.Time
	hasTime  bool
	host     string
	asdm     bool // header fields are already taken
}

// Parse finds the messages among lines. source goes into their places. The second
// result holds the lines that belong to no message, blank ones included, in order.
func Parse(lines []facts.Line, source string) (events []facts.Event, rest []facts.Line) {
	var (
		cur    shape
		text   string // the message so far
		at     int    // its first line
		joined int
		last   int  // physical length of its last line
		padded bool // that line ended with blanks
		open   bool
		in     scanner
		done   int // lines looked at
		clean  = true
		width  = wrapped(lines)
	)
	finish := func() {
		if open {
			if len(events) == cap(events) { // grow once to what the rest of the text will need
				need := len(events)*len(lines)/max(done, 1) + len(events)/8 + 8
				events = slices.Grow(events, min(need, len(lines))-len(events)+1)
			}
			events = append(events, in.event(cur, text, source, at))
			open = false
		}
	}
	keep := func(l facts.Line) {
		if clean { // nothing but left-over lines so far: they stand side by side in the input
			rest = lines[: len(rest)+1 : len(rest)+1]
			return
		}
		rest = append(rest, l)
	}
	for i, l := range lines {
		done = i
		clean = clean && len(rest) == i
		raw := strings.TrimRight(l.Text, " \t\r")
		if raw == "" {
			finish()
			keep(l)
			continue
		}
		// The last line had no room for the first word of this one.
		full := open && width > 0 && last+1+len(upTo(raw)) > width && joined < maxLines && len(text) < maxJoined
		if s, ok := classify(raw); ok && !(full && s.header == "" && (s.kind == "console" || s.kind == "debug")) {
			finish()
			cur, text, at, joined, last, open = s, raw, l.N, 1, len(l.Text), true
			padded = len(raw) < len(l.Text)
			continue
		}
		if n := repeated(raw); n > 0 && (open || len(events) > 0) {
			finish()
			events[len(events)-1].Repeat += n
			continue
		}
		if full && !prompt(raw) || open && joined < maxLines && len(text) < maxJoined && continues(text, last, raw, cur.kind) {
			if padded && raw[0] != ' ' && raw[0] != '\t' { // the terminal's edge fell behind a blank
				text += " "
			}
			text = join(text, last, raw)
			joined++
			last, padded = len(l.Text), len(raw) < len(l.Text)
			continue
		}
		finish()
		if s, ok := phrase(raw); ok {
			cur, text, at, joined, last, open = s, raw, l.N, 1, len(l.Text), true
			padded = len(raw) < len(l.Text)
			continue
		}
		keep(l)
	}
	finish()
	return events, rest
}

// wrapped returns the width at which a mail program has wrapped the messages, 0 when none
// has: no message is longer, and several lines without a head stand behind lines that had
// no room for their first word.
func wrapped(lines []facts.Line) (width int) {
	for _, l := range lines {
		if strings.IndexByte(l.Text, '%') >= 0 {
			if width = max(width, len(l.Text)); width > widest {
				return 0
			}
		}
	}
	if width < narrowest {
		return 0
	}
	turns, messages := 0, 0
	for i := 1; i < len(lines); i++ {
		before, l := lines[i-1].Text, lines[i].Text
		if strings.IndexByte(before, '%') < 0 {
			continue
		}
		messages++
		if l != "" && l[0] != ' ' && strings.IndexByte(l, '%') < 0 && len(before)+1+len(upTo(l)) > width && len(l) <= width && !prompt(l) {
			turns++
		}
	}
	if turns < 3 || 4*turns < messages {
		return 0
	}
	return width
}

// upTo returns what stands before the first blank.
func upTo(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// continues tells whether raw goes on with the message whose last physical line had
// the given length: debug dumps indent, terminals and mail programs wrap long lines.
func continues(text string, last int, raw, kind string) bool {
	if prompt(raw) {
		return false
	}
	indented := raw[0] == ' ' || raw[0] == '\t'
	if kind == "debug" && indented && !showLine(raw) {
		return true
	}
	if last < wrapFrom || len(raw) > last+1 || showLine(raw) {
		return false
	}
	if last%80 == 0 { // cut at the terminal's edge, whatever stands there
		return true
	}
	switch text[len(text)-1] {
	case '.', ')', ']', '"', '!', '\'':
		return false
	}
	return true
}

// join puts a wrapped line behind its beginning: without a blank where a terminal broke
// the line at its edge, with one where a mail program broke it between words.
func join(text string, last int, raw string) string {
	switch {
	case text[len(text)-1] == ' ':
		return text + raw
	case raw[0] == ' ' || raw[0] == '\t':
		return text + " " + strings.TrimLeft(raw, " \t")
	case last%80 == 0 || (last == 100 || last == 132) && len(text)%last == 0:
		return text + raw
	}
	return text + " " + raw
}

// prompt tells whether a line looks like a device's or shell's prompt.
func prompt(s string) bool {
	for i := 0; i < len(s) && i < 64; i++ {
		switch c := s[i]; {
		case c == '#' || c == '>':
			return i > 0
		case c == ' ' || c == '\t' || c == ':' || c == '=':
			return false
		}
	}
	return false
}

// showLine tells whether a line looks like a row of a show output, which may follow a
// log line that the console printed into it.
func showLine(s string) bool {
	t := strings.TrimLeft(s, " \t")
	if t == "" {
		return true
	}
	if t[0] == '#' || t[0] == '!' || strings.HasPrefix(t, "interface") || strings.HasPrefix(t, "Interface") ||
		strings.HasPrefix(t, "spi:") || strings.HasPrefix(t, "Peer:") || strings.HasPrefix(t, "dst ") {
		return true
	}
	if t[0] >= '0' && t[0] <= '9' {
		word, _, _ := strings.Cut(t, " ")
		_, err := netip.ParseAddr(word)
		return err == nil
	}
	return false
}

// repeated reads "last message repeated n times".
func repeated(s string) int {
	_, after, ok := strings.Cut(s, "message repeated ")
	if !ok {
		return 0
	}
	n, ok := leadingInt(after)
	if !ok || !strings.Contains(after, "time") || n > 1_000_000 {
		return 0
	}
	return n
}

// leadingInt reads the decimal number at the start of s.
func leadingInt(s string) (int, bool) {
	i := 0
	for i < len(s) && i < 10 && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.Atoi(s[:i])
	return n, err == nil
}

// classify recognises the start of a message.
func classify(s string) (shape, bool) {
	// With the percent sign, wherever it stands.
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '%')
		if i < 0 {
			break
		}
		i += from
		if sh, ok := facility(s, i+1); ok {
			sh.header = s[:i]
			return sh, true
		}
		from = i + 1
	}
	if i := strings.Index(s, "[IKEv1"); i >= 0 && i < 200 {
		if j := strings.IndexByte(s[i:], ']'); j > 0 && j < 24 {
			b := skipColon(s, i+j+1)
			return shape{kind: "debug", severity: -1, header: s[:i], body: b}, true
		}
	}
	if s[0] >= '0' && s[0] <= '7' && len(s) > 10 && (s[1] == '|' || s[1] == '\t') {
		if sh, ok := asdm(s); ok {
			return sh, true
		}
	}
	for _, p := range [...]string{"ASA-", "PIX-", "FTD-"} {
		if i := strings.Index(s, p); i >= 0 && (i == 0 || !isWord(s[i-1])) {
			if sh, ok := facility(s, i); ok {
				sh.header = s[:i]
				return sh, true
			}
		}
	}
	// Without it: what stands behind the header decides.
	h := scanHeader(s)
	body := s[h.end:]
	if body == "" {
		return shape{}, false
	}
	if sh, ok := facility(s, h.end); ok {
		sh.header = s[:h.end]
		return sh, true
	}
	if debugLine(body) {
		return shape{kind: "debug", severity: -1, header: s[:h.end], body: h.end}, true
	}
	if id, b, ok := bareID(s, h.end); ok {
		return shape{kind: "asa", id: id, severity: -1, header: s[:h.end], body: b}, true
	}
	if h.hasTime || h.end == 0 || strings.TrimSpace(s[:h.end]) == "" {
		if consoleLine(body) {
			return shape{kind: "console", severity: -1, header: s[:h.end], body: h.end}, true
		}
	}
	return shape{}, false
}

// facility reads "ASA-4-713903:", "ASA-auth-4-113004:", "CRYPTO-4-IKMP_NO_SA:" at i.
func facility(s string, i int) (shape, bool) {
	start := i
	for i < len(s) && i-start < 40 && (isUpper(s[i]) || isDigit(s[i]) || s[i] == '_') {
		i++
	}
	if i-start < 2 || i >= len(s) || s[i] != '-' || !isUpper(s[start]) {
		if i == start && i+4 < len(s) && s[i+3] == '-' {
			switch strings.ToUpper(s[i : i+3]) { // pasted in lower case
			case "ASA", "PIX", "FTD":
				return asaTail(s, i+4)
			}
		}
		return shape{}, false
	}
	switch s[start:i] {
	case "ASA", "PIX", "FTD", "FWSM":
		return asaTail(s, i+1)
	}
	// IOS: further facility parts, the severity digit, the mnemonic.
	for seg := 0; seg < 5; seg++ {
		j := i + 1
		k := j
		for k < len(s) && k-j < 60 && (isWord(s[k]) || s[k] == '/') {
			k++
		}
		if k == j {
			return shape{}, false
		}
		if k-j == 1 && (s[j] >= '0' && s[j] <= '7' || s[j] == 'n') && k < len(s) && s[k] == '-' {
			m := k + 1
			for m < len(s) && m-k < 80 && isWord(s[m]) {
				m++
			}
			if m == k+1 || !isUpper(s[k+1]) && !isDigit(s[k+1]) {
				return shape{}, false
			}
			if m < len(s) && s[m] != ':' && s[m] != ' ' && s[m] != '-' && s[m] != '\'' && s[m] != '"' && s[m] != ',' && s[m] != '.' {
				return shape{}, false
			}
			sev := int(s[j] - '0')
			if s[j] == 'n' {
				sev = -1
			}
			return shape{kind: "ios", id: s[start:m], severity: sev, body: skipColon(s, m)}, true
		}
		if k >= len(s) || s[k] != '-' {
			return shape{}, false
		}
		i = k
	}
	return shape{}, false
}

// asaTail reads "[class-]n-NNNNNN:" at i.
func asaTail(s string, i int) (shape, bool) {
	j := i
	for j < len(s) && j-i < 24 && (isLower(s[j]) || s[j] == '_') {
		j++
	}
	if j > i+1 && j < len(s) && s[j] == '-' {
		i = j + 1
	}
	if i+8 > len(s) || s[i+1] != '-' || !isDigits(s[i+2:i+8]) || i+8 < len(s) && isWord(s[i+8]) {
		return shape{}, false
	}
	sev := -1
	switch {
	case s[i] >= '0' && s[i] <= '7':
		sev = int(s[i] - '0')
	case s[i] != 'n':
		return shape{}, false
	}
	return shape{kind: "asa", id: s[i+2 : i+8], severity: sev, body: skipColon(s, i+8)}, true
}

// asdm reads a row of ASDM's log viewer: severity|date|time|id|src|port|dst|port|text.
func asdm(s string) (shape, bool) {
	sep := s[1]
	rest := s[2:]
	off := 2
	var when []string
	for n := 0; n < 5; n++ {
		i := strings.IndexByte(rest, sep)
		if i < 0 {
			return shape{}, false
		}
		f := strings.TrimSpace(rest[:i])
		rest, off = rest[i+1:], off+i+1
		if len(f) != 6 || !isDigits(f) {
			when = append(when, f)
			continue
		}
		sh := shape{kind: "asa", id: f, severity: int(s[0] - '0'), asdm: true}
		sh.time, sh.hasTime = Time(strings.Join(when, " "))
		for k := 0; k < 4; k++ {
			i := strings.IndexByte(rest, sep)
			if i < 0 {
				break
			}
			f := strings.TrimSpace(rest[:i])
			if f != "" && !isDigits(f) && strings.ContainsRune(f, ' ') {
				break
			}
			rest, off = rest[i+1:], off+i+1
		}
		sh.body = off
		return sh, true
	}
	return shape{}, false
}

// bareID reads "713903: text" behind a header, or the number after a word such as
// "ID" or "syslog" in running text.
func bareID(s string, i int) (id string, body int, ok bool) {
	// "6-113014: text": the facility was cut off with the percent sign.
	if i+10 < len(s) && s[i] >= '0' && s[i] <= '7' && s[i+1] == '-' && isDigits(s[i+2:i+8]) && s[i+8] == ':' && s[i+9] == ' ' {
		return s[i+2 : i+8], skipColon(s, i+8), true
	}
	if i+7 < len(s) && isDigits(s[i:i+6]) && vpnID(s[i:i+6]) {
		if s[i+6] == ':' && i+9 < len(s) && (s[i+7] == ' ' || isLetter(s[i+7])) && isLetter(s[i+8]) {
			if scanHeader(s[i:]).hasTime {
				return "", 0, false // a sequence number in front of a time
			}
			return s[i : i+6], skipColon(s, i+6), true
		}
		if s[i+6] == ' ' && (strings.HasPrefix(s[i+7:], "Group ") || strings.HasPrefix(s[i+7:], "Group=") || strings.HasPrefix(s[i+7:], "IP ")) {
			return s[i : i+6], i + 7, true
		}
	}
	for j := i; j+6 <= len(s); j++ {
		if s[j] < '1' || s[j] > '8' || j > 0 && (isWord(s[j-1]) || s[j-1] == '.' || s[j-1] == ':' || s[j-1] == '/' || s[j-1] == '-') {
			continue
		}
		if !isDigits(s[j:j+6]) || !vpnID(s[j:j+6]) {
			continue
		}
		end := j + 6
		if end < len(s) && (isWord(s[end]) || s[end] == '.' && end+1 < len(s) && isDigit(s[end+1])) {
			continue
		}
		before := strings.ToLower(strings.TrimRight(s[:j], " #:(\"'"))
		for _, w := range [...]string{"syslog", "syslog id", "message", "message id", "msg", "meldung", "mensaje", "nachricht", "id"} {
			if strings.HasSuffix(before, w) && (len(before) == len(w) || !isWord(before[len(before)-len(w)-1])) {
				return s[j:end], skipColon(s, end), true
			}
		}
		if end+2 < len(s) && s[end] == ':' && s[end+1] == ' ' && isLetter(s[end+2]) && j > 0 && s[j-1] == ' ' && isLetter(s[0]) && !strings.Contains(s[:j], "#") {
			if j >= 2 && isLetter(s[j-2]) {
				return s[j:end], skipColon(s, end), true
			}
		}
	}
	return "", 0, false
}

// vpnID tells whether six digits lie in a range whose messages concern VPNs.
func vpnID(s string) bool {
	switch s[:3] {
	case "113", "402", "713", "715", "717", "720", "722", "737", "750", "751", "752", "733", "716", "725", "702", "602":
		return true
	}
	switch s {
	case "305005", "305006", "305013", "106023", "106103", "106010", "110002", "110003", "400023", "400024",
		"401002", "401003", "401004", "407001", "710005", "209003", "209004", "209005", "404101", "404102", "611103":
		return true
	}
	return false
}

// debugLine tells whether a body is debug output of a crypto subsystem.
func debugLine(b string) bool {
	if len(b) < 5 {
		return false
	}
	switch b[0] {
	case 'I':
		switch {
		case strings.HasPrefix(b, "ISAKMP"):
			r := b[6:]
			return r != "" && (r[0] == ':' || r[0] == '-' || strings.HasPrefix(r, " (") || r[0] == '(')
		case strings.HasPrefix(b, "IKEv2:"), strings.HasPrefix(b, "IKEv2-"), strings.HasPrefix(b, "IKEv1:"):
			// Alone, or with columns behind it, it is a heading of show vpn-sessiondb detail.
			r := strings.TrimLeft(b[6:], " ")
			return r != "" && !strings.HasPrefix(r, "Tunnel ID")
		case strings.HasPrefix(b, "IKEv2 "): // IOS XE: the line of a message, "IKEv2 IKE_SA_INIT Exchange REQUEST"
			return strings.Contains(b, " Exchange RE")
		case strings.HasPrefix(b, "IPSEC("), strings.HasPrefix(b, "IPSec("), strings.HasPrefix(b, "IPSEC:"), strings.HasPrefix(b, "IPSEC-"):
			return true
		case strings.HasPrefix(b, "ICMP: dst"), strings.HasPrefix(b, "ICMP: time"), strings.HasPrefix(b, "IPSec: "):
			return true
		}
	case 'C':
		return strings.HasPrefix(b, "CRYPTO_PKI") || strings.HasPrefix(b, "CryptoEngine") || strings.HasPrefix(b, "CRYPTO: ") ||
			strings.HasPrefix(b, "CRYPTO_ENGINE") || strings.HasPrefix(b, "CRYPTO-") && len(b) > 7 && !isDigit(b[7])
	case 'c':
		return strings.HasPrefix(b, "crypto_engine") || strings.HasPrefix(b, "crypto_isakmp") || strings.HasPrefix(b, "construct_ipsec_delete")
	case 'K':
		return strings.HasPrefix(b, "KMI:") || strings.HasPrefix(b, "KMI(")
	case 'R':
		return strings.HasPrefix(b, "RADIUS:") || strings.HasPrefix(b, "RADIUS(")
	case 'E':
		return strings.HasPrefix(b, "EZVPN(")
	case 'T':
		return strings.HasPrefix(b, "Tunnel Manager")
	}
	return false
}

// consoleLine tells whether a body is a warning that a device prints on its console.
func consoleLine(b string) bool {
	b = strings.TrimLeft(b, "* ")
	switch {
	case strings.HasPrefix(b, "WARNING:"), strings.HasPrefix(b, "WARNING,"), strings.HasPrefix(b, "UDP: ERROR"),
		strings.HasPrefix(b, "Command rejected:"), strings.HasPrefix(b, "WARNING "):
		return true
	case strings.HasPrefix(b, "ERROR:"):
		t := strings.TrimLeft(b[6:], " ")
		return t != "" && t[0] != '%'
	}
	return false
}

func skipColon(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == ':' || s[i] == '\t') {
		i++
	}
	return i
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isUpper(c byte) bool  { return c >= 'A' && c <= 'Z' }
func isLower(c byte) bool  { return c >= 'a' && c <= 'z' }
func isLetter(c byte) bool { return isUpper(c) || isLower(c) }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || c == '_' }
