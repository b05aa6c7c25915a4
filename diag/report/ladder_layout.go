package report

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The ladder is laid out once as plain shapes; SVG and PNG draw the same shapes. What
// happened to a message is told by shape and word first (a line that ends in a cross and
// says LOST, a dashed line that was seen at one end only, a thick frame around the step
// where it stops), and by colour only besides: it is read in greyscale too.

type shape struct {
	kind   byte // 'l' line, 'r' rectangle, 't' text, 'p' filled triangle, 'd' diamond
	x1, y1 float64
	x2, y2 float64
	x3, y3 float64
	ink    ink
	fill   ink
	width  float64
	dash   bool
	text   string
	size   float64
	bold   bool
	anchor byte // 's' start, 'm' middle, 'e' end
}

type ink string

const (
	none  ink = ""
	black ink = "#111111"
	grey  ink = "#666666"
	light ink = "#bbbbbb"
	pale  ink = "#eeeeee"
	white ink = "#ffffff"
	red   ink = "#b00020" // as dark as black in greyscale
	green ink = "#1b5e20"
)

const (
	ladderWidth = 1200.0
	timeCol     = 92.0
	laneLeft    = 190.0
	laneRight   = 820.0
	noteCol     = 935.0
	rowHeight   = 50.0
)

// textWidth is a little more than the text takes in the fonts used.
func textWidth(s string, size float64, bold bool) float64 {
	w := 0.56
	if bold {
		w = 0.61
	}
	return float64(utf8.RuneCountInString(s)) * size * w
}

// stick is a blank at which no line breaks: it stands between a number and what it counts.
const stick = "\u00a0"

// wrapText breaks text at blanks.
func wrapText(s string, width, size float64, bold bool, most int) []string {
	var out []string
	defer func() {
		for i := range out {
			out[i] = strings.ReplaceAll(out[i], stick, " ")
		}
	}()
	var words []string
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }) {
		for textWidth(w, size, bold) > width { // a name longer than the line
			head := cutText(w, width, size, bold)
			if head == "" {
				break
			}
			words, w = append(words, head), w[len(head):]
		}
		words = append(words, w)
	}
	line := ""
	for _, w := range words {
		switch {
		case line == "":
			line = w
		case textWidth(line+" "+w, size, bold) <= width:
			line += " " + w
		default:
			out = append(out, line)
			line = w
		}
	}
	if line != "" {
		out = append(out, line)
	}
	if len(out) > most {
		out = out[:most]
		out[most-1] = cutText(out[most-1], width-size, size, bold) + "…"
	}
	return out
}

// packetList writes the packets of a step, those of one capture together: "hq 4, 8; spoke 3, 7".
func packetList(ps []string) string {
	by := map[string][]string{}
	var order []string
	for _, p := range ps {
		i := strings.LastIndexByte(p, ' ')
		if i < 0 {
			i = 0
		}
		name := p[:i]
		if by[name] == nil {
			order = append(order, name)
		}
		by[name] = append(by[name], strings.TrimSpace(p[i:]))
	}
	var out []string
	for _, name := range order {
		ns := by[name]
		if len(ns) > 8 {
			ns = append(slices.Clone(ns[:7]), "…")
		}
		out = append(out, strings.TrimSpace(name+stick+strings.Join(ns, ", ")))
	}
	return strings.Join(out, "; ")
}

func cutText(s string, width, size float64, bold bool) string {
	for textWidth(s, size, bold) > width && s != "" {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// layout places everything; it returns the shapes and the height.
func layout(l Ladder) ([]shape, float64) {
	var out []shape
	line := func(x1, y1, x2, y2, w float64, c ink, dash bool) {
		out = append(out, shape{kind: 'l', x1: x1, y1: y1, x2: x2, y2: y2, width: w, ink: c, dash: dash})
	}
	text := func(x, y float64, s string, size float64, bold bool, anchor byte, c ink) {
		out = append(out, shape{kind: 't', x1: x, y1: y, text: s, size: size, bold: bold, anchor: anchor, ink: c})
	}
	rect := func(x, y, w, h float64, fill, c ink, width float64) {
		out = append(out, shape{kind: 'r', x1: x, y1: y, x2: w, y2: h, fill: fill, ink: c, width: width})
	}

	y := 34.0
	for _, s := range wrapText(l.Title, ladderWidth-60, 22, true, 2) {
		text(30, y, s, 22, true, 's', black)
		y += 28
	}
	if l.Tunnel != "" {
		text(30, y-4, cutText(l.Tunnel, ladderWidth-60, 13, false), 13, false, 's', grey)
		y += 14
	}
	if l.Note != "" {
		lines := wrapText(l.Note, ladderWidth-110, 17, true, 3)
		h := float64(len(lines))*23 + 16
		rect(30, y, ladderWidth-60, h, pale, none, 0)
		rect(30, y, 8, h, red, none, 0)
		for i, s := range lines {
			text(52, y+24+float64(i)*23, s, 17, true, 's', black)
		}
		y += h + 14
	}

	n := max(2, len(l.Lanes))
	lane := func(i int) float64 {
		i = max(0, min(n-1, i))
		return laneLeft + (laneRight-laneLeft)*float64(i)/float64(n-1)
	}
	top := y
	boxH := 0.0
	boxes := make([][]string, n)
	width := 220.0
	if n > 2 {
		width = 200
	}
	for i := range n {
		name := ""
		if i < len(l.Lanes) {
			name = l.Lanes[i]
		}
		boxes[i] = wrapText(name, width-16, 14, true, 6)
		boxH = max(boxH, float64(len(boxes[i]))*18+14)
	}
	for i := range n {
		rect(lane(i)-width/2, top, width, boxH, white, black, 1.8)
		for k, s := range boxes[i] {
			text(lane(i), top+21+float64(k)*18, s, 14, true, 'm', black)
		}
	}
	text(timeCol-62, top+boxH-6, "UTC", 12, false, 's', grey)
	text(noteCol, top+boxH-6, "packets", 12, false, 's', grey)
	y = top + boxH + 18
	railTop := top + boxH
	rails := len(out)  // rails go here, below everything else
	var frames []shape // and the frame of the failing step below them

	if len(l.Steps) == 0 {
		text((lane(0)+lane(n-1))/2, y+30, "no message was captured", 15, false, 'm', grey)
		y += 60
	}
	var last time.Time
	for i, s := range l.Steps {
		if s.Skipped > 0 {
			text((lane(0)+lane(n-1))/2, y+12, fmt.Sprintf("… %d more messages, not drawn …", s.Skipped), 13, true, 'm', black)
			y += 28
		}
		if i > 0 && s.At.Sub(last) > 1500*time.Millisecond {
			for _, x := range []float64{lane(0), lane(n - 1)} {
				rect(x-4, y-2, 8, 16, white, none, 0)
				line(x-6, y+2, x+6, y-2, 1.4, grey, false)
				line(x-6, y+12, x+6, y+8, 1.4, grey, false)
			}
			pause := wait(s.At.Sub(last))
			pw := textWidth(pause, 12, false)
			rect((lane(0)+lane(n-1))/2-pw/2-4, y-1, pw+8, 14, white, none, 0)
			text((lane(0)+lane(n-1))/2, y+10, pause, 12, false, 'm', grey)
			y += 24
		}
		last = s.At
		details := wrapText(strings.NewReplacer(" s,", stick+"s,", " s)", stick+"s)", " bytes", stick+"bytes").Replace(s.Detail), laneRight-laneLeft-60, 12.5, false, 3)
		packets := wrapText(packetList(s.Packets), ladderWidth-noteCol-24, 11.5, false, 4)
		h := rowHeight
		if len(s.Fragments) > 0 {
			h += 26
		}
		h += float64(max(0, len(details)-1)) * 15
		down := 0.0 // the cross of a lost message needs room
		if s.Fate == "lost" && len(s.Fragments) == 0 {
			down = 4
			h += down
		}
		note := 20.0 + float64(len(packets))*14
		if word(s) != "" {
			note += 17
		}
		if s.Failing {
			note += 15
		}
		h = max(h, note-4)
		if s.Failing {
			frames = append(frames, shape{kind: 'r', x1: 14, y1: y - 2, x2: ladderWidth - 28, y2: h + 2, fill: pale, ink: black, width: 3})
			out = append(out, shape{kind: 'p', x1: 22, y1: y + 8, x2: 22, y2: y + 24, x3: 36, y3: y + 16, ink: black})
		}
		text(timeCol-50, y+20, s.At.UTC().Format("15:04:05.00"), 12.5, false, 's', grey)
		x1, x2 := lane(s.From), lane(s.To)
		if s.From == s.To {
			x2 = x1 + 60
		}
		mid := (lane(0) + lane(n-1)) / 2
		label := s.Label
		if s.Repeat > 0 {
			label += fmt.Sprintf("   ×%d", s.Repeat+1)
		}
		lw := textWidth(label, 15.5, true)
		rect(mid-lw/2-5, y+2, lw+10, 20, bg(s.Failing), none, 0)
		text(mid, y+17, label, 15.5, true, 'm', black)
		ly := y + 28.0
		ty := ly + 17 + down
		if len(s.Fragments) > 0 {
			out = append(out, fragments(s, mid, ly+7, s.From > s.To)...)
			ty += 26
		}
		for k, d := range details {
			dw := textWidth(d, 12.5, false)
			rect(mid-dw/2-4, ty-11+float64(k)*15, dw+8, 14, bg(s.Failing), none, 0)
			text(mid, ty+float64(k)*15, d, 12.5, false, 'm', black)
		}
		out = append(out, arrow(s, x1, x2, ly)...)
		ny := y + 20.0
		if w := word(s); w != "" {
			c, strong := grey, false
			if s.Fate == "lost" || s.Fate == "injected" {
				c, strong = red, true
			}
			for _, ws := range wrapText(w, ladderWidth-noteCol-20, 14, strong, 1) {
				text(noteCol, ny, ws, 14, strong, 's', c)
			}
			ny += 17
		}
		if s.Failing {
			text(noteCol, ny, "it stops here", 12.5, true, 's', black)
			ny += 15
		}
		for _, ps := range packets {
			text(noteCol, ny, ps, 11.5, false, 's', grey)
			ny += 14
		}
		y += h + 6
	}
	// The lanes' lines lie below everything drawn on them.
	lanes := frames
	for i := range n {
		lanes = append(lanes, shape{kind: 'l', x1: lane(i), y1: railTop, x2: lane(i), y2: y + 6, width: 1.6, ink: grey, dash: n == 3 && i == 1})
	}
	out = append(out[:rails:rails], append(lanes, out[rails:]...)...)
	y += 22
	legend := "solid: arrived;  dashed: only one end was captured;  X LOST: left one end, never reached the other;  <> changed on the way"
	text(30, y, legend, 12, false, 's', grey)
	return out, y + 18
}

func bg(failing bool) ink {
	if failing {
		return pale
	}
	return white
}

// wait names a pause.
func wait(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%.1f hours later", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f minutes later", d.Minutes())
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s later", d.Seconds())
	}
	return fmt.Sprintf("%.1f s later", d.Seconds())
}

// word says in a word what became of a step.
func word(s LadderStep) string {
	switch s.Fate {
	case "lost":
		for _, f := range s.Fragments {
			if f.Fate == "arrived" {
				return "INCOMPLETE"
			}
		}
		return "LOST"
	case "changed":
		return "changed"
	case "unseen":
		return ""
	case "injected":
		return "NOT SENT BY THIS END"
	}
	return ""
}

// arrow draws the line of a step from x1 to x2 at y.
func arrow(s LadderStep, x1, x2, y float64) []shape {
	var out []shape
	dir := 1.0
	if x2 < x1 {
		dir = -1
	}
	w := 2.0
	if s.Failing {
		w = 3
	}
	head := func(x float64, c ink) {
		out = append(out, shape{kind: 'p', x1: x, y1: y, x2: x - dir*13, y2: y - 6.5, x3: x - dir*13, y3: y + 6.5, ink: c})
	}
	switch s.Fate {
	case "lost":
		stop := x1 + (x2-x1)*0.72
		out = append(out, shape{kind: 'l', x1: x1, y1: y, x2: stop - dir*4, y2: y, width: w, ink: black})
		for _, k := range []float64{-1, 1} {
			out = append(out, shape{kind: 'l', x1: stop - 9, y1: y - 9*k, x2: stop + 9, y2: y + 9*k, width: 4, ink: red})
		}
	case "unseen":
		out = append(out, shape{kind: 'l', x1: x1, y1: y, x2: x2 - dir*12, y2: y, width: w, ink: black, dash: true})
		head(x2, black)
	case "injected":
		from := x1 + (x2-x1)*0.5
		out = append(out, shape{kind: 'l', x1: from, y1: y - 8, x2: from, y2: y + 8, width: 3, ink: red})
		out = append(out, shape{kind: 'l', x1: from, y1: y, x2: x2 - dir*12, y2: y, width: w, ink: black})
		head(x2, black)
	default:
		out = append(out, shape{kind: 'l', x1: x1, y1: y, x2: x2 - dir*12, y2: y, width: w, ink: black})
		head(x2, black)
		if s.Fate == "changed" {
			m := x1 + (x2-x1)*0.5
			out = append(out, shape{kind: 'd', x1: m, y1: y, x2: 7, ink: black, fill: white, width: 2})
		}
	}
	return out
}

// fragments draws the pieces of a message as boxes: filled arrived, crossed out lost.
func fragments(s LadderStep, mid, y float64, leftward bool) []shape {
	var out []shape
	n := min(len(s.Fragments), 8)
	w := 92.0
	x := mid - float64(n)*(w+8)/2
	for i := range n {
		f := s.Fragments[i]
		if leftward {
			f = s.Fragments[n-1-i]
		}
		fx := x + float64(i)*(w+8)
		r := shape{kind: 'r', x1: fx, y1: y, x2: w, y2: 20, ink: black, width: 1.4, fill: white}
		if f.Fate == "arrived" {
			r.fill = light
		}
		out = append(out, r)
		label := fmt.Sprintf("%d at %d", f.Length, f.Offset)
		if f.Fate == "lost" { // crossed out, and to be read all the same
			out = append(out, shape{kind: 'l', x1: fx, y1: y, x2: fx + w, y2: y + 20, width: 2.4, ink: red}, shape{kind: 'l', x1: fx, y1: y + 20, x2: fx + w, y2: y, width: 2.4, ink: red})
			lw := textWidth(label, 11.5, false)
			out = append(out, shape{kind: 'r', x1: fx + (w-lw)/2, y1: y + 3, x2: lw, y2: 14, fill: white})
		}
		out = append(out, shape{kind: 't', x1: fx + w/2, y1: y + 14, text: label, size: 11.5, anchor: 'm', ink: black})
	}
	if len(s.Fragments) > n {
		out = append(out, shape{kind: 't', x1: x + float64(n)*(w+8), y1: y + 14, text: fmt.Sprintf("and %d more", len(s.Fragments)-n), size: 11.5, anchor: 's', ink: black})
	}
	return out
}
