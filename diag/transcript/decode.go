package transcript

import (
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"vpnbot/diag/facts"
)

// ErrBinary says that bytes are no text.
var ErrBinary = errors.New("not a text: too many control characters")

// Decode makes UTF-8 of a file's bytes: UTF-8 itself, UTF-16 (by its mark, or recognised by
// its zero bytes) or Latin-1. It fails with ErrBinary when the bytes are no text.
func Decode(data string) (string, error) {
	switch {
	case strings.HasPrefix(data, "\xef\xbb\xbf"):
		data = data[3:]
	case strings.HasPrefix(data, "\xff\xfe"):
		s, err := decode16(data[2:], true)
		return plain(s), err
	case strings.HasPrefix(data, "\xfe\xff"):
		s, err := decode16(data[2:], false)
		return plain(s), err
	default:
		if little, ok := looks16(data); ok {
			s, err := decode16(data, little)
			return plain(s), err
		}
	}
	if err := checkText(data); err != nil {
		return "", err
	}
	if utf8.ValidString(data) {
		return plain(data), nil
	}
	// Latin-1; a few broken bytes in UTF-8 come out as two letters each, which harms nothing.
	var b strings.Builder
	b.Grow(len(data) + len(data)/16)
	for len(data) > 0 {
		i := 0
		for i < len(data) && data[i] < 0x80 {
			i++
		}
		b.WriteString(data[:i])
		if i < len(data) {
			b.WriteRune(rune(data[i]))
			i++
		}
		data = data[i:]
	}
	return plain(b.String()), nil
}

// plain puts a blank in the place of the spaces that web pages and chat programs put into what is
// copied from them, and takes out what has no width.
func plain(s string) string {
	if strings.Contains(s, "\u00a0") || strings.Contains(s, "\u202f") || strings.Contains(s, "\u2007") || strings.Contains(s, "\u200b") || strings.Contains(s, "\ufeff") {
		return spaces.Replace(s)
	}
	return s
}

var spaces = strings.NewReplacer("\u00a0", " ", "\u202f", " ", "\u2007", " ", "\u200b", "", "\ufeff", "")

// looks16 recognises UTF-16 without a mark: nearly every second byte is zero.
func looks16(data string) (little, ok bool) {
	n := min(len(data), 4096) &^ 1
	if n < 8 {
		return false, false
	}
	var even, odd int
	for i := 0; i < n; i += 2 {
		if data[i] == 0 {
			even++
		}
		if data[i+1] == 0 {
			odd++
		}
	}
	half := n / 2
	switch {
	case odd*10 >= half*7 && even*10 < half:
		return true, true
	case even*10 >= half*7 && odd*10 < half:
		return false, true
	}
	return false, false
}

func decode16(data string, little bool) (string, error) {
	var b strings.Builder
	b.Grow(len(data)/2 + 16)
	unit := func(i int) uint16 {
		if little {
			return uint16(data[i]) | uint16(data[i+1])<<8
		}
		return uint16(data[i])<<8 | uint16(data[i+1])
	}
	for i := 0; i+1 < len(data); i += 2 {
		r := rune(unit(i))
		if utf16.IsSurrogate(r) && i+3 < len(data) {
			if d := utf16.DecodeRune(r, rune(unit(i+2))); d != utf8.RuneError {
				r = d
				i += 2
			}
		}
		b.WriteRune(r)
	}
	s := b.String()
	if err := checkText(s[:min(len(s), 1<<16)]); err != nil {
		return "", err
	}
	return s, nil
}

// checkText refuses bytes of which more than two in a hundred are control characters that
// no terminal session leaves, in any of the first pieces of the file.
func checkText(data string) error {
	const piece = 64 << 10
	for from := 0; from < len(data) && from < 64*piece; from += piece {
		part := data[from:min(len(data), from+piece)]
		bad := 0
		for i := range len(part) {
			bad += int(control[part[i]] >> 1)
		}
		if bad > 4 && bad*50 > len(part) || bad > 0 && len(part) < 50 && bad*10 > len(part) {
			return ErrBinary
		}
	}
	return nil
}

// maxLine bounds the length of one line; what is longer is cut.
const maxLine = 64 << 10

// Lines splits a text at its line ends and takes off what a terminal left in it: carriage
// returns and backspaces are carried out, escape sequences and pager prompts taken out.
// Lines keep the numbers they have in the file; a line that was nothing but a pager prompt
// is left out.
func Lines(text string) []facts.Line {
	sep := byte('\n')
	if strings.IndexByte(text, '\n') < 0 && strings.IndexByte(text, '\r') >= 0 {
		sep = '\r' // very old Macs, and some terminal programs
	}
	out := make([]facts.Line, 0, strings.Count(text, string(sep))+1)
	plain := !moves(text)
	for n, from := 1, 0; from < len(text); n++ {
		line := text[from:]
		if i := strings.IndexByte(line, sep); i >= 0 {
			line = line[:i]
		}
		from += len(line) + 1
		if len(line) > maxLine {
			line = strings.ToValidUTF8(line[:maxLine], "")
		}
		if !plain {
			for strings.HasSuffix(line, "\r") {
				line = line[:len(line)-1]
			}
			if moves(line) {
				line = screen(line)
			}
		}
		line, drop := unpaged(line)
		if !drop {
			out = append(out, facts.Line{N: n, Text: line})
		}
	}
	return out
}

// unpaged returns a line without the pager prompt before it. Drop tells that nothing else stood there.
func unpaged(s string) (line string, drop bool) {
	for i := 0; i < len(s) && i < 4; i++ {
		switch s[i] {
		case '-':
			if strings.HasPrefix(s[i:], "--More--") {
				return cutPager(s, i, len("--More--"))
			}
		case '<':
			if strings.HasPrefix(s[i:], "<--- More --->") {
				return cutPager(s, i, len("<--- More --->"))
			}
		}
	}
	return s, false
}

// cutPager takes a pager prompt off the beginning of a line, with the blanks that wiped it out.
func cutPager(s string, at, length int) (string, bool) {
	rest := s[at+length:]
	if strings.TrimSpace(rest) == "" {
		return "", true
	}
	wipe := 0
	for wipe < len(rest) && wipe < length+at && rest[wipe] == ' ' {
		wipe++
	}
	if wipe == length+at || wipe == length {
		rest = rest[wipe:]
	}
	return rest, false
}

// Kinds of control characters: those that move within a line of a screen, and those that no terminal session leaves.
const (
	moving  = 1
	foreign = 2
)

// control is the kind of every byte; text has none.
var control = func() (t [256]uint8) {
	for c := range 0x20 {
		if c != '\t' && c != '\n' {
			t[c] |= moving
		}
		if !(c >= 7 && c <= 13) && c != 0x1b {
			t[c] |= foreign
		}
	}
	t[0x7f] = moving | foreign
	return t
}()

func moves(s string) bool {
	var any uint8
	for i := range len(s) {
		any |= control[s[i]]
	}
	return any&moving != 0
}

// screen plays a line on a terminal of one row.
func screen(s string) string {
	row := make([]rune, 0, len(s))
	col := 0
	put := func(r rune) {
		if col < len(row) {
			row[col] = r
		} else {
			row = append(row, r)
		}
		col++
	}
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case r == '\r':
			col = 0
		case r == '\b' || r == 0x7f:
			if col > 0 {
				col--
			}
		case r == 0x1b:
			i = escape(runes, i, &row, &col)
		case r == '\t':
			put('\t')
		case r < 0x20:
		default:
			put(r)
		}
	}
	end := len(row)
	// Blanks that only wiped something out are no text.
	for end > 0 && row[end-1] == ' ' {
		end--
	}
	return string(row[:end])
}

// escape skips one escape sequence and returns the index of its last rune. Of its effects
// only "erase to the end of the line" is carried out.
func escape(r []rune, i int, row *[]rune, col *int) int {
	if i+1 >= len(r) {
		return i
	}
	switch r[i+1] {
	case '[':
		for j := i + 2; j < len(r); j++ {
			if r[j] >= 0x40 && r[j] <= 0x7e {
				if r[j] == 'K' && (j == i+2 || r[i+2] == '0') && *col < len(*row) {
					*row = (*row)[:*col]
				}
				return j
			}
		}
		return len(r) - 1
	case ']':
		for j := i + 2; j < len(r); j++ {
			if r[j] == 7 {
				return j
			}
			if r[j] == 0x1b && j+1 < len(r) && r[j+1] == '\\' {
				return j + 1
			}
		}
		return len(r) - 1
	case '(', ')', '#':
		return min(i+2, len(r)-1)
	}
	return i + 1
}
