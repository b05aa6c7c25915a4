package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteJSON writes the report as contracts/report.md has it.
func WriteJSON(w io.Writer, r Report) error {
	out := &jsonWriter{w: bufio.NewWriter(w)}
	out.enc = json.NewEncoder(&out.one)
	out.enc.SetEscapeHTML(false)
	out.text("{\n  \"schema\": ")
	out.value(r.Schema, "  ")
	out.text(",\n  \"generated_at\": ")
	out.value(r.GeneratedAt, "  ")
	list(out, "tunnels", r.Tunnels)
	list(out, "findings", r.Findings)
	list(out, "errors", r.Errors)
	out.text("\n}\n")
	if out.err == nil {
		out.err = out.w.Flush()
	}
	if out.err != nil {
		return fmt.Errorf("report as JSON: %w", out.err)
	}
	return nil
}

// jsonWriter writes a report row by row: a headend's has a hundred megabytes, which nobody
// wants to hold twice.
type jsonWriter struct {
	w   *bufio.Writer
	one bytes.Buffer
	enc *json.Encoder
	err error
}

func (o *jsonWriter) text(s string) {
	if o.err == nil {
		_, o.err = o.w.WriteString(s)
	}
}

func (o *jsonWriter) value(v any, indent string) {
	o.one.Reset()
	o.enc.SetIndent(indent, "  ")
	if o.err == nil {
		o.err = o.enc.Encode(v)
	}
	if o.err == nil {
		_, o.err = o.w.Write(bytes.TrimSuffix(o.one.Bytes(), []byte("\n")))
	}
}

func list[T any](o *jsonWriter, name string, rows []T) {
	o.text(",\n  \"" + name + "\": ")
	switch {
	case rows == nil:
		o.text("null")
		return
	case len(rows) == 0:
		o.text("[]")
		return
	}
	for i := range rows {
		if i == 0 {
			o.text("[\n    ")
		} else {
			o.text(",\n    ")
		}
		o.value(&rows[i], "    ")
	}
	o.text("\n  ]")
}

// Plain makes a device's text safe for a terminal or a chat message: control and
// bidirectional characters could move the cursor, hide or reorder what is read.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return '�'
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

// line is Plain for what must stay on one line.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, Plain(s))
}

// width of the text form, in characters.
const width = 96

// maxHealthy tunnels are named one by one in the text form; more are counted.
const maxHealthy = 5

// WriteText writes the report for a terminal: per tunnel one line, then its findings,
// the most likely cause first, each with its evidence and what mends it.
func WriteText(w io.Writer, r Report) error {
	var b strings.Builder
	healthy, shown := 0, 0
	for _, t := range r.Tunnels {
		var fs []Finding
		for _, f := range r.Findings {
			if f.Tunnel == t.Name {
				fs = append(fs, f)
			}
		}
		quiet := true
		for _, f := range fs {
			quiet = quiet && f.Severity == Info
		}
		if quiet && len(r.Tunnels) > maxHealthy {
			healthy++
			if healthy > maxHealthy {
				continue
			}
		}
		if shown > 0 {
			b.WriteString("\n")
		}
		shown++
		b.WriteString(Headline(t) + "\n")
		for i, f := range fs {
			writeFinding(&b, i+1, f)
		}
		if len(fs) == 0 {
			b.WriteString("  nothing found: the evidence neither shows a fault nor proves the tunnel healthy\n")
		}
	}
	if healthy > maxHealthy {
		fmt.Fprintf(&b, "\n%d more tunnels without a fault\n", healthy-maxHealthy)
	}
	if len(r.Tunnels) == 0 {
		b.WriteString("no VPN evidence found\n")
	}
	if len(r.Errors) > 0 {
		b.WriteString("\nNot used:\n")
		for _, e := range r.Errors {
			fmt.Fprintf(&b, "  %s: %s\n", line(e.Source), line(e.Message))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Headline is a tunnel in one line: name, ends, exchange, state.
func Headline(t Tunnel) string {
	var ends []string
	for _, e := range t.Ends {
		if end := strings.TrimSpace(e.Device + " " + e.Address); end != "" { // a device nobody named
			ends = append(ends, end)
		}
	}
	s := line(t.Name)
	if j := strings.Join(ends, " – "); j != "" && j != t.Name {
		s += "  " + line(j)
	}
	if t.IKE != nil {
		s += fmt.Sprintf("  IKEv%d", *t.IKE)
	}
	if t.Exchange != nil && *t.Exchange != "ikev2" {
		s += " " + *t.Exchange + " mode"
	}
	s += "  " + strings.ToUpper(string(t.State))
	if t.StoppedAt != nil {
		s += ", stopped at " + *t.StoppedAt
	}
	return s
}

func writeFinding(b *strings.Builder, n int, f Finding) {
	fmt.Fprintf(b, "\n%d. %s  %s\n", n, strings.ToUpper(string(f.Severity)), line(f.Title))
	fmt.Fprintf(b, "   %s, confidence %.2f\n", f.ID, f.Confidence)
	wrap(b, "   ", f.Explanation)
	if len(f.Symptoms) > 0 {
		wrap(b, "   ", "Also explains: "+strings.Join(f.Symptoms, ", "))
	}
	if len(f.Evidence) > 0 {
		b.WriteString("   Evidence\n")
		for _, g := range ByNote(f.Evidence) {
			pad := "     "
			if g[0].Note != "" {
				wrap(b, pad, g[0].Note)
				pad += "  "
			}
			for _, e := range g {
				fmt.Fprintf(b, "%s%s  %s\n", pad, Where(e), line(e.Text))
			}
		}
	}
	if len(f.Actions) > 0 {
		b.WriteString("   What mends it\n")
		for _, a := range f.Actions {
			writeAction(b, a)
		}
	}
	for _, x := range f.Next {
		wrap(b, "   ", "To be surer: "+x.Collect+" ("+x.Because+"; playbook "+x.Playbook+")")
	}
	if f.Reference != "" {
		wrap(b, "   ", "Reference: "+f.Reference)
	}
}

func writeAction(b *strings.Builder, a Action) {
	head := map[Class]string{Approve: "after approval", Advise: "a person does", EvidenceOnly: "another party mends it", None: "nothing to do"}[a.Class]
	if a.Device != "" {
		head += " on " + line(a.Device)
	}
	if len(a.Commands)+len(a.Steps) > 0 || a.Effect != "" {
		head += ":"
	}
	fmt.Fprintf(b, "     %s\n", head)
	for _, c := range a.Commands {
		fmt.Fprintf(b, "       %s\n", line(c))
	}
	for _, s := range a.Steps {
		wrap(b, "       - ", s)
	}
	if a.Effect != "" {
		wrap(b, "       effect: ", a.Effect)
	}
}

// ByNote groups evidence by what it shows, in the order of first appearance.
func ByNote(es []Evidence) [][]Evidence {
	var out [][]Evidence
	at := map[string]int{}
	for _, e := range es {
		i, ok := at[e.Note]
		if !ok {
			i = len(out)
			at[e.Note] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], e)
	}
	return out
}

// Where names a piece of evidence: file and line, or file and packet.
func Where(e Evidence) string {
	switch {
	case e.Packet != nil && *e.Packet == 0:
		return line(e.Source)
	case e.Packet != nil:
		return fmt.Sprintf("%s packet %d", line(e.Source), *e.Packet)
	}
	return fmt.Sprintf("%s:%d", line(e.Source), e.Line)
}

// wrap writes text in lines of at most width characters; prefix stands before the first,
// blanks of its length before the others.
func wrap(b *strings.Builder, prefix, text string) {
	pad := prefix
	col := 0
	for _, word := range strings.Fields(Plain(text)) {
		n := len([]rune(word))
		switch {
		case col == 0:
			b.WriteString(pad)
			col = len([]rune(pad))
		case col+1+n > width:
			b.WriteString("\n")
			pad = strings.Repeat(" ", len([]rune(prefix)))
			b.WriteString(pad)
			col = len([]rune(pad))
		default:
			b.WriteString(" ")
			col++
		}
		b.WriteString(word)
		col += n
	}
	if col > 0 {
		b.WriteString("\n")
	}
}
