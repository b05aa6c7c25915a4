package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"plain":    Plain,
	"where":    Where,
	"byNote":   ByNote,
	"upper":    strings.ToUpper,
	"headline": Headline,
	"percent":  func(f float64) string { return fmt.Sprintf("%.0f %%", 100*f) },
	"class": func(c Class) string {
		return map[Class]string{Approve: "After approval", Advise: "A person does", EvidenceOnly: "Another party mends it", None: "Nothing to do"}[c]
	},
	"utc":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"svg":   func(l Ladder) template.HTML { return template.HTML(SVG(l)) }, // SVG escapes every text it writes
	"times": func(n int) int { return n + 1 },
	"way": func(l Ladder, s LadderStep) string {
		lane := func(i int) string {
			if i < 0 || i >= len(l.Lanes) {
				return ""
			}
			return l.Lanes[i]
		}
		return Plain(lane(s.From) + " → " + lane(s.To))
	},
	"fate":  fateText,
	"clock": func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
}).Parse(page))

// WriteHTML writes the report as one self-contained page: no script, nothing fetched,
// every device text escaped. Each ladder's messages open to their decoded payloads.
func WriteHTML(w io.Writer, r Report, ladders []Ladder) error {
	data := struct {
		Report
		Ladders []Ladder
	}{r, ladders}
	if err := pageTemplate.Execute(w, data); err != nil {
		return fmt.Errorf("report as HTML: %w", err)
	}
	return nil
}

// fateText says what became of a step, in a sentence of its own.
func fateText(s LadderStep) string {
	switch word(s) {
	case "LOST":
		return "LOST: it left and did not arrive"
	case "INCOMPLETE":
		return "INCOMPLETE: not all of its fragments arrived"
	case "NOT SENT BY THIS END":
		return "NOT SENT BY THIS END: it arrived, and its sender's capture does not have it"
	case "changed":
		return "arrived, changed on the way"
	}
	if s.Fate == "unseen" {
		return "seen at one end; the other was not captured"
	}
	return s.Fate
}
