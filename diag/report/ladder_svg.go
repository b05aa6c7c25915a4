package report

import (
	"bytes"
	"fmt"
	"strings"
)

// SVG draws a ladder as one self-contained SVG. All text of captures and devices in it is escaped.
func SVG(l Ladder) []byte {
	shapes, height := layout(l)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" font-family="Go, 'DejaVu Sans', Verdana, Helvetica, sans-serif">`+"\n", ladderWidth, height, ladderWidth, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<desc>%s</desc>\n", xmlText(l.Title), xmlText(describeLadder(l)))
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="#ffffff"/>`+"\n", ladderWidth, height)
	for _, s := range shapes {
		switch s.kind {
		case 'l':
			dash := ""
			if s.dash {
				dash = ` stroke-dasharray="8 5"`
			}
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f"%s/>`+"\n", s.x1, s.y1, s.x2, s.y2, s.ink, s.width, dash)
		case 'r':
			stroke := `stroke="none"`
			if s.ink != none {
				stroke = fmt.Sprintf(`stroke="%s" stroke-width="%.1f"`, s.ink, s.width)
			}
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" %s/>`+"\n", s.x1, s.y1, s.x2, s.y2, s.fill, stroke)
		case 'p':
			fmt.Fprintf(&b, `<polygon points="%.1f,%.1f %.1f,%.1f %.1f,%.1f" fill="%s"/>`+"\n", s.x1, s.y1, s.x2, s.y2, s.x3, s.y3, s.ink)
		case 'd':
			fmt.Fprintf(&b, `<polygon points="%.1f,%.1f %.1f,%.1f %.1f,%.1f %.1f,%.1f" fill="%s" stroke="%s" stroke-width="%.1f"/>`+"\n",
				s.x1-s.x2, s.y1, s.x1, s.y1-s.x2, s.x1+s.x2, s.y1, s.x1, s.y1+s.x2, s.fill, s.ink, s.width)
		case 't':
			anchor := map[byte]string{'s': "start", 'm': "middle", 'e': "end"}[s.anchor]
			weight := ""
			if s.bold {
				weight = ` font-weight="bold"`
			}
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" font-size="%.1f" text-anchor="%s" fill="%s"%s>%s</text>`+"\n", s.x1, s.y1, s.size, anchor, s.ink, weight, xmlText(s.text))
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// describeLadder says the ladder in words, for those who cannot see it.
func describeLadder(l Ladder) string {
	var b strings.Builder
	if l.Note != "" {
		b.WriteString(l.Note + ". ")
	}
	for i, s := range l.Steps {
		if i >= 30 {
			fmt.Fprintf(&b, "and %d more.", len(l.Steps)-i)
			break
		}
		from, to := "", ""
		if s.From >= 0 && s.From < len(l.Lanes) {
			from = l.Lanes[s.From]
		}
		if s.To >= 0 && s.To < len(l.Lanes) {
			to = l.Lanes[s.To]
		}
		fmt.Fprintf(&b, "%s from %s to %s, %s", s.Label, from, to, s.Fate)
		if s.Repeat > 0 {
			fmt.Fprintf(&b, ", sent %d times", s.Repeat+1)
		}
		if s.Failing {
			b.WriteString(", the failing step")
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// xmlText escapes text for XML and leaves out what XML does not allow.
func xmlText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '"':
			b.WriteString("&#34;")
		case r == '\'':
			b.WriteString("&#39;")
		case r == 0xFFFD || r < ' ' && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
