// Package transcript turns bytes that somebody saved from a terminal into outputs:
// which command was typed, and which lines answered it.
//
// In comes a file as it is: any of the usual character sets, line ends, pager and
// terminal remains. Out come facts.Output values with the line numbers of the file.
// It knows prompts and command words, and nothing of what the answers mean.
//
// A prompt counts only when its name is consistent: a name that was seen with commands
// that a device knows, or that the configuration gives as the hostname. A log line or a
// banner that merely looks like a prompt stays a line of the output it stands in.
package transcript

import (
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// Cut cuts a decoded text (see Decode) into outputs. Lines before the first prompt, and
// texts without any, are one output with an empty Command. Source is copied into places.
// Hostname is the last prompt's name without failover and context parts, "" when there is none.
func Cut(text, source string) (outputs []facts.Output, hostname string) {
	lines := Lines(text)
	return CutLines(lines, source)
}

// maxOutputs bounds the answers of one text; what follows stays in the last one.
const maxOutputs = 100000

// CutLines is Cut for lines that were split and cleaned already. The outputs share the lines,
// which may be changed.
func CutLines(lines []facts.Line, source string) (outputs []facts.Output, hostname string) {
	names := learn(lines)
	// Answers are runs of lines: they are sliced, not copied. from is where the open one begins.
	from := -1
	close := func(to int, complete bool) {
		if from >= 0 {
			o := &outputs[len(outputs)-1]
			o.Text = lines[from:to:to]
			o.Complete = complete
			from = -1
		}
	}
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		p, ok := matchPrompt(l.Text)
		if ok {
			ok = names[p.base()] && len(outputs) < maxOutputs
		}
		var kind promptKind
		if ok {
			kind = p.kind(lines, i)
		}
		switch {
		case ok && kind == isPrompt:
			hostname = p.base()
			close(i, true)
			typed := strings.TrimSpace(p.rest)
			if typed == "" {
				continue
			}
			place := facts.Place{Source: source, Line: l.N, Text: strings.TrimSpace(l.Text)}
			// A terminal of 80 columns breaks a long echo without a mark.
			if n := len(l.Text); (n == 79 || n == 80) && i+1 < len(lines) && continues(p, lines[i+1].Text) {
				i++
				typed = strings.TrimSpace(p.rest + strings.TrimRight(lines[i].Text, " "))
			}
			command, filter := Normalise(typed)
			outputs = append(outputs, facts.Output{Command: command, Filter: filter, Typed: typed, Place: place})
			from = i + 1
		case ok && kind == isOutput:
			close(i, true)
			hostname = p.base()
			outputs = append(outputs, facts.Output{Place: facts.Place{Source: source, Line: l.N, Text: strings.TrimSpace(l.Text)}})
			lines[i].Text = strings.TrimLeft(p.rest, " ")
			from = i
		default:
			if ok && kind == isLog {
				lines[i].Text = strings.TrimSpace(p.rest)
			}
			if from < 0 && strings.TrimSpace(lines[i].Text) != "" {
				outputs = append(outputs, facts.Output{Place: facts.Place{Source: source, Line: l.N, Text: strings.TrimSpace(lines[i].Text)}})
				from = i
			}
		}
	}
	close(len(lines), false)
	// An empty answer that no command stands before says nothing, unless it names what is empty.
	kept := outputs[:0]
	for i := range outputs {
		o := &outputs[i]
		finish(o)
		if o.Command == "" && o.Empty && !slices.ContainsFunc(o.Text, noSAs) {
			continue
		}
		kept = append(kept, *o)
	}
	return kept, hostname
}

// New makes an output of one command whose answer is known to be whole: a live session's.
func New(typed, answer, source string) facts.Output {
	command, filter := Normalise(typed)
	o := facts.Output{Command: command, Filter: filter, Typed: typed, Complete: true,
		Place: facts.Place{Source: source, Line: 1, Text: typed}, Text: Lines(answer)}
	finish(&o)
	return o
}

// finish sets Empty and Refused.
func finish(o *facts.Output) {
	o.Empty = true
	seen := 0
	for i := range o.Text {
		t := strings.TrimSpace(o.Text[i].Text)
		if t == "" {
			continue
		}
		if len(t) < 80 && emptySentence(t) {
			continue
		}
		seen++
		o.Empty = false
		if seen > 4 {
			break
		}
		if t == "^" || isRefusal(t) {
			o.Refused = true
			break
		}
	}
}

// noSAs: "There are no isakmp sas", "There are no IKEv1 SAs", "There are no ipsec sas".
func noSAs(l facts.Line) bool {
	t := strings.ToLower(strings.TrimSpace(l.Text))
	return strings.HasPrefix(t, "there are no ") && strings.HasSuffix(t, " sas")
}

func emptySentence(t string) bool {
	l := strings.ToLower(t)
	return strings.HasPrefix(l, "there are no ") || strings.HasPrefix(l, "there is no ") ||
		strings.HasPrefix(l, "no ") && (strings.Contains(l, " found") || strings.Contains(l, "no active") || strings.Contains(l, "session")) ||
		strings.HasPrefix(l, "info: there are presently no")
}

func isRefusal(t string) bool {
	if t[0] != '%' && t[0] != 'E' && t[0] != 'C' && t[0] != 'A' && t[0] != 'L' {
		return false
	}
	for _, s := range []string{"% Invalid", "% Ambiguous", "% Incomplete", "% Unknown command", "% Unrecognized", "% Bad ", "ERROR: ",
		"Command authorization failed", "Authorization failed", "Access denied"} {
		if strings.HasPrefix(t, s) {
			return true
		}
	}
	return strings.HasPrefix(t, "%Error") || strings.HasPrefix(t, "Line has invalid autocommand")
}

type prompt struct {
	name   string // hq/act/pri
	config bool   // (config...)
	mark   byte   // '#' or '>'
	rest   string
}

// base is the name that must be consistent: without the parts that change with failover.
func (p prompt) base() string { return baseName(p.name) }

func baseName(name string) string {
	if !strings.Contains(name, "/") {
		return name
	}
	parts := strings.Split(name, "/")
	kept := parts[:0]
	for _, s := range parts {
		switch strings.ToLower(s) {
		case "act", "stby", "pri", "sec", "actnofailover", "state":
			continue
		}
		kept = append(kept, s)
	}
	if len(kept) == 0 {
		return name
	}
	return strings.Join(kept, "/")
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '/' || c == '@' || c == '+'
}

// matchPrompt takes a line apart: name, optional (mode), # or >, the rest.
func matchPrompt(s string) (prompt, bool) {
	if s == "" || !nameByte(s[0]) { // nearly all lines of the long answers
		return prompt{}, false
	}
	return splitPrompt(s)
}

func splitPrompt(s string) (prompt, bool) {
	i := 0
	for i < len(s) && i < 80 && nameByte(s[i]) {
		i++
	}
	if i == 0 || i >= len(s) || s[0] == '-' || s[0] == '.' || s[0] == '/' {
		return prompt{}, false
	}
	p := prompt{name: s[:i]}
	if s[i] == '(' {
		j := strings.IndexByte(s[i:], ')')
		if j < 0 || j > 64 {
			return prompt{}, false
		}
		p.config = true
		i += j + 1
		if i >= len(s) {
			return prompt{}, false
		}
	}
	if s[i] != '#' && s[i] != '>' {
		return prompt{}, false
	}
	p.mark = s[i]
	p.rest = s[i+1:]
	// "->", "##", ">>" and "#pkts" are no prompts.
	if p.rest != "" && (p.rest[0] == '#' || p.rest[0] == '>' || p.rest[0] == '-') {
		return prompt{}, false
	}
	return p, true
}

type promptKind uint8

const (
	noPrompt promptKind = iota
	isPrompt            // a command, or an empty line
	isOutput            // a prompt whose echo is missing: the answer's first line follows on the same line
	isLog               // a log line written over a prompt, or a line that looks like a prompt
)

// kind tells what stands behind an accepted name.
func (p prompt) kind(lines []facts.Line, i int) promptKind {
	rest := strings.TrimSpace(p.rest)
	if rest == "" {
		return isPrompt
	}
	if strings.HasPrefix(rest, "%") || strings.Contains(rest, " %ASA-") || strings.Contains(rest, ": %") {
		return isLog
	}
	if isCommand(rest) {
		return isPrompt
	}
	if p.config && !strings.HasSuffix(rest, ".") {
		return isPrompt
	}
	// "hq# $w crypto isakmp sa detail": the terminal scrolled the line to the left.
	if rest[0] == '$' || rest[0] == '^' || rest[0] == '?' {
		return isPrompt
	}
	for j := i + 1; j < len(lines) && j < i+4; j++ {
		t := strings.TrimSpace(lines[j].Text)
		if t == "" {
			continue
		}
		if t == "^" || isRefusal(t) {
			return isPrompt // a typing error
		}
		break
	}
	if answerStart(rest) {
		return isOutput
	}
	return noPrompt
}

// answerStart tells whether a text is how an answer begins: seen behind prompts without echo.
func answerStart(s string) bool {
	for _, p := range []string{"There are no", "IKEv1 SAs", "IKEv2 SAs", "Active SA", "interface:", ": Saved", "Crypto ", "Building configuration", "Cisco ", "Session Type", "IPv4 Crypto", "dst  "} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// continues tells whether next is the rest of an echo that was broken at the right margin.
func continues(p prompt, next string) bool {
	if next == "" || next[0] == ' ' || len(next) > 78 {
		return false
	}
	if _, ok := matchPrompt(next); ok {
		return false
	}
	if !isCommand(strings.TrimSpace(p.rest)) || answerStart(next) {
		return false
	}
	// What an answer begins with has capitals or colons; the rest of a typed line seldom has.
	return !strings.ContainsAny(next, ":=,") && strings.ToLower(next) == next
}

// candidate is a name that stood where prompts stand.
type candidate struct {
	score, count, last int
	hop                bool // a telnet, ssh or session command stood right before it
}

// learn finds the names whose prompts are to be believed.
func learn(lines []facts.Line) map[string]bool {
	seen := map[string]*candidate{}
	const bound = 4096 // names; a text with more is no transcript
	get := func(name string) *candidate {
		c := seen[name]
		if c == nil {
			if len(seen) >= bound {
				return &candidate{}
			}
			c = &candidate{}
			seen[name] = c
		}
		return c
	}
	hop := false
	for i := range lines {
		s := lines[i].Text
		if strings.HasPrefix(s, "hostname ") {
			if n := strings.TrimSpace(s[9:]); n != "" {
				get(n).score += 2
			}
			continue
		}
		p, ok := matchPrompt(s)
		if !ok {
			continue
		}
		rest := strings.TrimSpace(p.rest)
		add := 0
		switch {
		case rest == "":
			add = 1
		case isCommand(rest):
			add = 2
		case p.config:
			add = 1
		}
		if add == 0 {
			continue
		}
		c := get(p.base())
		c.score += add
		c.count++
		c.last = i
		c.hop = c.hop || hop
		verb, _, _ := strings.Cut(rest, " ")
		hop = verb == "telnet" || verb == "ssh" || verb == "session" || verb == "changeto" || verb == "hostname"
	}
	best := &candidate{}
	for _, c := range seen {
		if c.count > 0 && (c.score > best.score || c.score == best.score && c.last > best.last) {
			best = c
		}
	}
	names := map[string]bool{}
	for n, c := range seen {
		// A name seen once, in the middle of a session of another name, is a line that looks like a prompt.
		stray := c.count == 1 && best.count > 1 && c.last < best.last && !c.hop
		if c.score >= 2 && !stray {
			names[n] = true
		}
	}
	return names
}

// Prompts tells whether a line of an answer could be taken for a prompt: who writes a
// session to a file sets such a line off.
func Prompts(line string) bool {
	_, ok := matchPrompt(line)
	return ok
}
