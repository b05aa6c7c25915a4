package report

import "fmt"

// SVG draws a ladder as a self-contained SVG.
func SVG(l Ladder) []byte {
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><title>%s</title></svg>`, xmlText(l.Title))
}

// xmlText escapes text for XML.
func xmlText(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		switch r {
		case '<':
			out = append(out, []rune("&lt;")...)
		case '>':
			out = append(out, []rune("&gt;")...)
		case '&':
			out = append(out, []rune("&amp;")...)
		case '"':
			out = append(out, []rune("&#34;")...)
		default:
			if r >= ' ' || r == '\n' || r == '\t' {
				out = append(out, r)
			}
		}
	}
	return string(out)
}
