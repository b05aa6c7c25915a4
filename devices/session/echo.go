package session

import (
	"bytes"
	"strings"
)

// How far a device's echo of a typed line is.
type echoState int

const (
	echoPartial echoState = iota // so far it is the line's beginning
	echoWhole                    // the whole line and nothing else
	echoWrong
)

// echo follows what a device shows while a line is typed at its prompt, the way a
// terminal would: a row of cells and a cursor. A line longer than the terminal is
// scrolled: backspaces or a return, a "$" for what left on the left side, the line's end
// as far as it fits, blanks over the rest; on Enter some devices draw the line's head
// again, cut with a "$". After every character, all that is visible must be the line's
// beginning, or "$" and the end of what is known to have arrived. So a character that was
// lost, doubled, changed or added anywhere is seen when it comes.
type echo struct {
	prompt, line string
	cells        []byte // the row, prompt included
	cursor       int
	known        int  // how many characters of the line have arrived
	atEnd        bool // the line's last character is visible, with nothing behind it
	wrong        bool
	fed          int
	escape       int // within a terminal sequence: 1 after ESC, 2 after ESC [
}

// maxEcho bounds what a device may draw for one line; a scrolled line of 300 characters
// takes some kilobytes.
const maxEcho = 64 << 10

func newEcho(prompt, line string) *echo {
	return &echo{prompt: prompt, line: line, cells: []byte(prompt), cursor: len(prompt)}
}

// feed takes what the device wrote next.
func (e *echo) feed(b []byte) {
	for _, c := range b {
		if e.fed++; e.fed > maxEcho || e.wrong {
			e.wrong = true
			return
		}
		switch {
		case e.escape == 1:
			e.escape = 0
			if c == '[' {
				e.escape = 2
			}
		case e.escape == 2:
			if c >= '@' && c <= '~' {
				e.escape = 0
				if c == 'K' { // erase to the end of the row
					e.cells = e.cells[:min(e.cursor, len(e.cells))]
				}
			}
		case c == 0x1b:
			e.escape = 1
		case c == '\b':
			e.cursor = max(0, e.cursor-1)
		case c == '\r':
			e.cursor = 0
		case c == 0x07 || c == 0:
		case c < ' ':
			e.wrong = true
		default:
			if e.cursor < len(e.cells) {
				e.cells[e.cursor] = c
			} else {
				e.cells = append(e.cells, c)
			}
			e.cursor++
			e.wrong = len(e.cells) > len(e.prompt)+2*len(e.line)+80 || !e.consistent()
		}
	}
}

// consistent looks at the row, unless it is being drawn over.
func (e *echo) consistent() bool {
	end := len(bytes.TrimRight(e.cells, " "))
	end = max(end, len(e.prompt))
	if e.cursor < end {
		return true
	}
	if !bytes.HasPrefix(e.cells, []byte(e.prompt)) {
		return false
	}
	// Blanks at the end are the line's own, or erase something.
	return e.shows(string(e.cells[len(e.prompt):e.cursor])) || e.shows(string(e.cells[len(e.prompt):end]))
}

func (e *echo) shows(v string) bool {
	switch {
	case strings.HasPrefix(e.line, v):
		switch {
		case len(v) >= e.known:
			e.known = len(v)
			e.atEnd = e.known == len(e.line)
			return true
		case e.known == len(e.line): // its head, on Enter
			e.atEnd = false
			return true
		}
		return strings.Trim(e.line[len(v):e.known], " ") == ""
	case v == "$":
		return true
	case v[0] == '$':
		tail := v[1:]
		for known := max(0, e.known-1); known <= len(e.line) && known-e.known < len(tail); known++ {
			if known < e.known && e.line[known] != ' ' || !strings.HasSuffix(e.line[:known], tail) {
				continue
			}
			e.known = max(e.known, known)
			e.atEnd = known == len(e.line)
			return true
		}
	}
	if head, cut := strings.CutSuffix(v, "$"); cut && e.known == len(e.line) && strings.HasPrefix(e.line, head) {
		e.atEnd = false
		return true
	}
	return false
}

// state before Enter is pressed: whole only while the line's end stands there.
func (e *echo) state() echoState {
	switch {
	case e.wrong:
		return echoWrong
	case e.known == len(e.line) && e.atEnd && e.escape == 0:
		return echoWhole
	}
	return echoPartial
}

// compareEcho judges a whole row, as it stands after Enter.
func compareEcho(prompt []byte, line string, got []byte) echoState {
	if len(got) > maxEcho {
		return echoWrong
	}
	e := newEcho(string(prompt), line)
	e.feed(got)
	switch {
	case e.wrong:
		return echoWrong
	case e.known == len(line):
		return echoWhole
	}
	return echoPartial
}
