package message

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// History is what happened to a tunnel, newest first.
type History struct {
	Tunnel  string
	State   string
	Since   time.Time
	Entries []Entry
	Changes []Change // oldest first
}

// Entry is one thing that happened.
type Entry struct {
	At       time.Time
	Kind     string // finding, repair, state
	Text     string
	Who      string
	Approver string
}

// Change is a change of state.
type Change struct {
	At    time.Time
	State string
}

// HistoryOf shows it.
func HistoryOf(h History, loc *time.Location) Message {
	var b builder
	title := "*" + words(h.Tunnel, 150) + "* – history"
	if h.State != "" {
		title += "; " + words(h.State, 20) + " since " + Stamp(h.Since, loc)
	}
	b.add(section(title))
	if len(h.Entries) == 0 {
		b.add(section("Nothing is remembered yet."))
	}
	icon := map[string]string{"finding": "🔎", "repair": "🔧", "state": "↕️"}
	for i, e := range h.Entries {
		if i == 30 {
			b.add(context(fmt.Sprintf("… %d older entries", len(h.Entries)-i)))
			break
		}
		s := icon[e.Kind] + " " + Stamp(e.At, loc) + " – " + words(e.Text, 300)
		if e.Who != "" {
			s += ", asked by " + mention(e.Who)
		}
		if e.Approver != "" {
			s += ", approved by " + mention(e.Approver)
		}
		b.add(section(s))
	}
	return b.done(h.Tunnel + ": history")
}

// Colours of states in the timeline; the legend names them.
var colours = map[string]color.RGBA{
	"up": {0x2e, 0x9e, 0x5b, 255}, "degraded": {0xe0, 0xb4, 0x30, 255}, "negotiating": {0xe0, 0x8a, 0x30, 255},
	"down": {0xcc, 0x3a, 0x3a, 255}, "flapping": {0xa0, 0x50, 0xb0, 255}, "unknown": {0x9a, 0x9a, 0x9a, 255},
}

// Timeline is the history of the states as a picture (PNG) with its description; nil
// when there is nothing to draw.
func Timeline(h History, now time.Time, loc *time.Location) (data []byte, alt string, err error) {
	if len(h.Changes) == 0 {
		return nil, "", nil
	}
	const width, height, left, top, bar = 900, 150, 20, 44, 46
	start := h.Changes[0].At
	if d := now.Sub(start); d < time.Hour {
		start = now.Add(-time.Hour)
	}
	span := now.Sub(start)
	x := func(t time.Time) int {
		return left + int(float64(width-2*left)*max(0, min(1, float64(t.Sub(start))/float64(span))))
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	text := func(px, py int, s string) {
		d := font.Drawer{Dst: img, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(px, py)}
		d.DrawString(s)
	}
	fill := func(x0, x1 int, c color.Color) {
		draw.Draw(img, image.Rect(x0, top, max(x1, x0+1), top+bar), image.NewUniform(c), image.Point{}, draw.Src)
	}
	fill(left, width-left, color.RGBA{0xea, 0xea, 0xea, 255})
	ascii := func(s string) string {
		out := make([]rune, 0, len(s))
		for _, r := range s {
			if r < 32 || r > 126 {
				r = '?'
			}
			out = append(out, r)
		}
		return cut(string(out), 80)
	}
	text(left, 24, ascii(h.Tunnel))
	down := time.Duration(0)
	for i, c := range h.Changes {
		end := now
		if i+1 < len(h.Changes) {
			end = h.Changes[i+1].At
		}
		if c.State == "down" {
			down += end.Sub(c.At)
		}
		col, ok := colours[c.State]
		if !ok {
			col = colours["unknown"]
		}
		fill(x(c.At), x(end), col)
	}
	text(left, top+bar+18, in(start, loc).Format("2006-01-02 15:04"))
	label := in(now, loc).Format("2006-01-02 15:04")
	text(width-left-7*len(label), top+bar+18, label)
	px := left
	for _, s := range []string{"up", "degraded", "negotiating", "down", "flapping", "unknown"} {
		draw.Draw(img, image.Rect(px, height-22, px+12, height-10), image.NewUniform(colours[s]), image.Point{}, draw.Src)
		text(px+17, height-11, s)
		px += 17 + 7*len(s) + 20
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		return nil, "", err
	}
	alt = fmt.Sprintf("Timeline of %s from %s to %s: %d changes, %s down in all, %s now", h.Tunnel, Stamp(start, loc), Stamp(now, loc), len(h.Changes), Took(down), h.State)
	return buf.Bytes(), alt, nil
}
