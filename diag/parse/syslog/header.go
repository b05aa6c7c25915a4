package syslog

import (
	"strings"
	"time"
)

// header is what stands in front of a message: priority, sequence number, time stamps, host.
type header struct {
	time    time.Time
	hasTime bool
	host    string
	end     int // where the message starts
}

// scanHeader reads the header at the start of s. It stops at the first word that is no
// part of one; without time stamp a host name is not told from text, so none is taken.
func scanHeader(s string) header {
	var h header
	i := 0
	for i < len(s) {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == ':' || c == '*' && !h.hasTime:
			i++
		case c == '<' && i+2 < len(s):
			j := i + 1
			for j < len(s) && j-i < 5 && isDigit(s[j]) {
				j++
			}
			if j == i+1 || j >= len(s) || s[j] != '>' {
				h.end = i
				return h
			}
			i = j + 1
			if strings.HasPrefix(s[i:], "1 ") { // RFC 5424 version
				i += 2
			}
		default:
			if t, ok, n := stamp(s[i:]); n > 0 {
				if ok && (!h.hasTime || t.Year() != 0 || h.time.Year() == 0) {
					h.time, h.hasTime = t, true
				}
				i += n
				continue
			}
			if n := sequence(s[i:]); n > 0 {
				i += n
				continue
			}
			if h.hasTime && h.host == "" {
				if n := hostWord(s[i:]); n > 0 {
					h.host = strings.TrimSuffix(s[i:i+n], ":")
					i += n
					continue
				}
			}
			h.end = i
			return h
		}
	}
	h.end = i
	return h
}

// sequence reads "000123: " or "91: " at the start of s and returns its length.
func sequence(s string) int {
	i := 0
	for i < len(s) && i < 11 && isDigit(s[i]) {
		i++
	}
	if i == 0 || i+1 >= len(s) || s[i] != ':' || s[i+1] != ' ' {
		return 0
	}
	// A message id in front of its text is no sequence number.
	if i == 6 && vpnID(s[:6]) && i+2 < len(s) && isLetter(s[i+2]) {
		if _, _, n := stamp(s[i+2:]); n == 0 {
			return 0
		}
	}
	return i + 1
}

// hostWord reads a host name that is followed by a colon, or by a known beginning of a message.
func hostWord(s string) int {
	i := 0
	for i < len(s) && i < 64 && (isWord(s[i]) || s[i] == '-' || s[i] == '.' || s[i] == '/') {
		i++
	}
	if i == 0 || i >= len(s) || isDigits(s[:i]) {
		return 0
	}
	rest := strings.TrimLeft(s[i:], " ")
	if debugLine(s) || consoleLine(s) {
		return 0
	}
	if strings.HasPrefix(rest, ":") {
		return i
	}
	if s[i] == ' ' && (strings.HasPrefix(rest, "%") || strings.HasPrefix(rest, "[IKE") || debugLine(rest) ||
		len(rest) > 7 && isDigits(rest[:6]) && vpnID(rest[:6]) || anyFacility(rest)) {
		return i
	}
	if _, _, n := stamp(rest); n > 0 {
		return i
	}
	return 0
}

func anyFacility(s string) bool {
	_, ok := facility(s, 0)
	return ok
}

// Time reads the time stamp that s consists of or starts with. A stamp without year
// has year 0; without zone it is taken as UTC.
func Time(s string) (time.Time, bool) {
	t, ok, _ := stamp(strings.TrimSpace(s))
	return t, ok
}

var months = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

func month(s string) time.Month {
	if len(s) < 3 {
		return 0
	}
	a, b, c := s[0]|0x20, s[1]|0x20, s[2]|0x20
	for i, m := range months {
		if m[0] == a && m[1] == b && m[2] == c {
			return time.Month(i + 1)
		}
	}
	return 0
}

// stamp reads a time stamp at the start of s: its time, whether it is a time of day (an
// uptime is not), and its length, 0 when there is none.
func stamp(s string) (t time.Time, ok bool, n int) {
	if len(s) < 5 {
		return t, false, 0
	}
	i := 0
	if s[0] == '.' || s[0] == '*' {
		i = 1
	}
	c := s[i]
	switch {
	case isLetter(c):
		// weekday
		if i+4 < len(s) && isWeekday(s[i:i+3]) {
			j := i + 3
			for j < len(s) && (s[j] == ' ' || s[j] == ',') {
				j++
			}
			if t, ok, n := stamp(s[j:]); n > 0 {
				return t, ok, j + n
			}
			return t, false, 0
		}
		if len(s) < i+4 || isLetter(s[i+3]) {
			return t, false, 0
		}
		m := month(s[i:])
		if m == 0 || s[i+3] != ' ' && s[i+3] != '-' {
			return t, false, 0
		}
		return monthFirst(s, i, m)
	case isDigit(c):
		return digitsFirst(s, i)
	}
	return t, false, 0
}

func isWeekday(s string) bool {
	switch strings.ToLower(s) {
	case "mon", "tue", "wed", "thu", "fri", "sat", "sun":
		return true
	}
	return false
}

// monthFirst reads "Oct 25 [2013] 19:16:01[.153][ CET]" with the month at i.
func monthFirst(s string, i int, m time.Month) (time.Time, bool, int) {
	j := spaces(s, i+3)
	day, k := number(s, j, 2)
	if k == j || day < 1 || day > 31 {
		return time.Time{}, false, 0
	}
	j = k
	if j < len(s) && s[j] == ',' {
		j++
	}
	j = spaces(s, j)
	year := 0
	if y, k := number(s, j, 4); k == j+4 && k < len(s) && s[k] == ' ' {
		year, j = y, spaces(s, k)
	}
	h, mi, sec, ns, end, ok := clock(s, j)
	if !ok {
		return time.Time{}, false, 0
	}
	loc, end := zone(s, end)
	if year == 0 { // "Oct 25 19:16:01 2013"
		j := spaces(s, end)
		if y, k := number(s, j, 4); k == j+4 && y >= 1990 && y < 2100 && (k == len(s) || s[k] == ' ' || s[k] == ':') {
			year, end = y, k
		}
	}
	return time.Date(year, m, day, h, mi, sec, ns, loc), true, end
}

// digitsFirst reads RFC 3339, "2013/10/25 19:16:01", "25 Oct 2013 19:16:01",
// "19:16:01.123 CET Fri Oct 25 2013" and IOS uptimes ("00:12:34", "1d02h", "3w2d").
func digitsFirst(s string, i int) (time.Time, bool, int) {
	a, j := number(s, i, 4)
	if j >= len(s) {
		return time.Time{}, false, 0
	}
	switch {
	case j-i == 4 && (s[j] == '-' || s[j] == '/'):
		mo, k := number(s, j+1, 2)
		if k >= len(s) || s[k] != s[j] {
			return time.Time{}, false, 0
		}
		d, l := number(s, k+1, 2)
		if l >= len(s) || s[l] != 'T' && s[l] != ' ' || mo < 1 || mo > 12 || d < 1 || d > 31 {
			return time.Time{}, false, 0
		}
		h, mi, sec, ns, end, ok := clock(s, spaces(s, l+1))
		if !ok {
			return time.Time{}, false, 0
		}
		loc, end := zone(s, end)
		return time.Date(a, time.Month(mo), d, h, mi, sec, ns, loc), true, end
	case j-i <= 2 && (s[j] == ' ' || s[j] == '-') && month(s[j+1:]) != 0:
		m := month(s[j+1:])
		k := j + 4
		if k >= len(s) || s[k] != ' ' && s[k] != '-' || a < 1 || a > 31 {
			return time.Time{}, false, 0
		}
		k = spaces(s, k+1)
		year := 0
		if y, l := number(s, k, 4); l == k+4 {
			year, k = y, spaces(s, l)
		}
		h, mi, sec, ns, end, ok := clock(s, k)
		if !ok {
			return time.Time{}, false, 0
		}
		loc, end := zone(s, end)
		return time.Date(year, m, a, h, mi, sec, ns, loc), true, end
	case j-i <= 2 && s[j] == ':':
		h, mi, sec, ns, end, ok := clock(s, i)
		if !ok {
			return time.Time{}, false, 0
		}
		loc, e := zone(s, end)
		k := spaces(s, e)
		if k+3 < len(s) && isWeekday(s[k:k+3]) {
			k = spaces(s, k+3)
		}
		if k+3 < len(s) {
			if m := month(s[k:]); m != 0 {
				l := spaces(s, k+3)
				if d, q := number(s, l, 2); q > l && d >= 1 && d <= 31 {
					y, z := number(s, spaces(s, q), 4)
					if z > q && y > 1980 {
						return time.Date(y, m, d, h, mi, sec, ns, loc), true, z
					}
				}
			}
		}
		if end < len(s) && s[end] == ':' { // uptime since the last restart
			return time.Time{}, false, end
		}
		return time.Time{}, false, 0
	case j-i <= 3 && (s[j] == 'd' || s[j] == 'w' || s[j] == 'y'):
		k := j + 1
		_, l := number(s, k, 2)
		if l == k || l >= len(s) || s[l] != 'h' && s[l] != 'd' && s[l] != 'w' || l+1 >= len(s) || s[l+1] != ':' {
			return time.Time{}, false, 0
		}
		return time.Time{}, false, l + 1
	}
	return time.Time{}, false, 0
}

func spaces(s string, i int) int {
	for i < len(s) && s[i] == ' ' {
		i++
	}
	return i
}

// number reads up to max digits at i.
func number(s string, i, max int) (n, end int) {
	end = i
	for end < len(s) && end-i < max && isDigit(s[end]) {
		n = n*10 + int(s[end]-'0')
		end++
	}
	return n, end
}

// clock reads hh:mm[:ss[.frac]] at i.
func clock(s string, i int) (h, m, sec, ns, end int, ok bool) {
	h, j := number(s, i, 2)
	if j == i || j >= len(s) || s[j] != ':' {
		return
	}
	m, k := number(s, j+1, 2)
	if k != j+3 || h > 23 || m > 59 {
		return
	}
	end = k
	if k < len(s) && s[k] == ':' {
		v, l := number(s, k+1, 2)
		if l == k+3 && v <= 60 {
			sec, end = v, l
			if l+1 < len(s) && (s[l] == '.' || s[l] == ',') && isDigit(s[l+1]) {
				scale := 100_000_000
				for l++; l < len(s) && isDigit(s[l]); l++ {
					ns += int(s[l]-'0') * scale
					scale /= 10
				}
				end = l
			}
		}
	}
	return h, m, sec, ns, end, true
}

// Zones that device clocks show; others count as UTC. The offset is in minutes.
var zones = map[string]*time.Location{
	"UTC": time.UTC, "GMT": time.UTC, "WET": time.UTC, "Z": time.UTC,
	"BST": offset("BST", 60), "WEST": offset("WEST", 60), "IST": offset("IST", 330),
	"CET": offset("CET", 60), "MET": offset("MET", 60), "MEZ": offset("MEZ", 60),
	"CEST": offset("CEST", 120), "CEDT": offset("CEDT", 120), "MEST": offset("MEST", 120), "MESZ": offset("MESZ", 120),
	"EET": offset("EET", 120), "EEST": offset("EEST", 180), "MSK": offset("MSK", 180),
	"EST": offset("EST", -300), "EDT": offset("EDT", -240), "CST": offset("CST", -360), "CDT": offset("CDT", -300),
	"MST": offset("MST", -420), "MDT": offset("MDT", -360), "PST": offset("PST", -480), "PDT": offset("PDT", -420),
	"JST": offset("JST", 540), "SGT": offset("SGT", 480), "AEST": offset("AEST", 600), "AEDT": offset("AEDT", 660),
}

func offset(name string, minutes int) *time.Location { return time.FixedZone(name, minutes*60) }

// zone reads "Z", "+01:00" or " CET" at i; text that is no zone stays.
func zone(s string, i int) (*time.Location, int) {
	if i >= len(s) {
		return time.UTC, i
	}
	switch s[i] {
	case 'Z':
		return time.UTC, i + 1
	case '+', '-':
		h, j := number(s, i+1, 2)
		if j != i+3 {
			return time.UTC, i
		}
		if j < len(s) && s[j] == ':' {
			j++
		}
		m, k := number(s, j, 2)
		min := h*60 + m
		if s[i] == '-' {
			min = -min
		}
		switch {
		case h > 14 || m > 59:
			return time.UTC, i
		case min == 0:
			return time.UTC, k
		}
		return time.FixedZone("", min*60), k
	case ' ':
		j := i + 1
		k := j
		for k < len(s) && k-j < 5 && isLetter(s[k]) {
			k++
		}
		if k > j+1 && k-j < 5 && (k == len(s) || s[k] == ':' || s[k] == ' ') {
			if loc, ok := zones[strings.ToUpper(s[j:k])]; ok {
				return loc, k
			}
			// A zone of the administrator's own making, as IOS allows: only in front of the colon.
			if k < len(s) && s[k] == ':' && isUpper(s[j]) && isUpper(s[k-1]) && k+1 < len(s) && s[k+1] == ' ' {
				return time.UTC, k
			}
		}
	}
	return time.UTC, i
}
