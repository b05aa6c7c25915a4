package emulator

import (
	"net/netip"
	"sort"
	"strconv"
	"strings"
)

// grammar is the command table of one platform: a tree of keywords and arguments.
// Keywords may be abbreviated as long as they stay unique.
type grammar struct {
	root *node
}

type node struct {
	words map[string]*node
	args  []argument
	run   handler
}

type argument struct {
	kind string // ip, mask, int, word, rest
	name string
	next *node
}

// args are the arguments of a command by their names in the table.
type args map[string]string

func (a args) ip(name string) netip.Addr {
	v, _ := netip.ParseAddr(a[name])
	return v
}

func (a args) int(name string, otherwise int) int {
	if v, err := strconv.Atoi(a[name]); err == nil {
		return v
	}
	return otherwise
}

// handler answers a command. Lab.mu is held.
type handler func(s *session, a args) string

// Failures of a match.
const (
	badWord    = "invalid"
	ambiguous  = "ambiguous"
	incomplete = "incomplete"
)

type matched struct {
	run     handler
	args    args
	words   []string // expanded
	failure string
	at      int // column of the bad word in the line
}

func newGrammar() *grammar { return &grammar{root: &node{words: map[string]*node{}}} }

// add enters a command. The pattern is made of keywords, "a|b" alternatives, "[x y]"
// optional tails (nested at the end only), and arguments "<kind:name>".
func (g *grammar) add(pattern string, h handler) {
	if i := strings.Index(pattern, "["); i >= 0 {
		j := strings.LastIndex(pattern, "]")
		g.add(strings.TrimSpace(pattern[:i]), h)
		g.add(strings.TrimSpace(pattern[:i])+" "+pattern[i+1:j], h)
		return
	}
	g.enter(g.root, strings.Fields(pattern), h)
}

func (g *grammar) enter(n *node, words []string, h handler) {
	if len(words) == 0 {
		n.run = h
		return
	}
	w := words[0]
	if strings.HasPrefix(w, "<") {
		kind, name, _ := strings.Cut(strings.Trim(w, "<>"), ":")
		for _, a := range n.args {
			if a.kind == kind && a.name == name {
				g.enter(a.next, words[1:], h)
				return
			}
		}
		a := argument{kind, name, &node{words: map[string]*node{}}}
		n.args = append(n.args, a)
		g.enter(a.next, words[1:], h)
		return
	}
	for alt := range strings.SplitSeq(w, "|") {
		next := n.words[alt]
		if next == nil {
			next = &node{words: map[string]*node{}}
			n.words[alt] = next
		}
		g.enter(next, words[1:], h)
	}
}

// match finds the command of a line.
func (g *grammar) match(line string) matched {
	m := matched{args: args{}}
	n := g.root
	at := 0
	for {
		for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
			at++
		}
		if at >= len(line) {
			break
		}
		stop := at
		for stop < len(line) && line[stop] != ' ' && line[stop] != '\t' {
			stop++
		}
		word := line[at:stop]
		next, full, failure := n.step(word)
		if failure != "" {
			for _, a := range n.args {
				if a.kind == "rest" {
					m.args[a.name] = strings.TrimSpace(line[at:])
					m.words = append(m.words, strings.Fields(line[at:])...)
					m.run = a.next.run
					return m
				}
				if a.fits(word) {
					m.args[a.name] = word
					next, full, failure = a.next, word, ""
					break
				}
			}
		}
		if failure != "" {
			m.failure, m.at, m.run = failure, at, nil
			return m
		}
		m.words = append(m.words, full)
		n, at = next, stop
	}
	if n.run == nil {
		m.failure, m.at = incomplete, len(line)
		return m
	}
	m.run = n.run
	return m
}

func (n *node) step(word string) (next *node, full, failure string) {
	w := strings.ToLower(word)
	if x := n.words[w]; x != nil {
		return x, w, ""
	}
	for k, x := range n.words {
		if strings.HasPrefix(k, w) {
			if next != nil {
				return nil, "", ambiguous
			}
			next, full = x, k
		}
	}
	if next == nil {
		return nil, "", badWord
	}
	return next, full, ""
}

func (a argument) fits(w string) bool {
	switch a.kind {
	case "ip":
		v, err := netip.ParseAddr(w)
		return err == nil && v.Is4()
	case "int":
		v, err := strconv.Atoi(w)
		return err == nil && v >= 0
	case "word":
		return true
	}
	return false
}

// next lists the words that may follow a line.
func (g *grammar) next(line string) []string {
	n := g.root
	words := strings.Fields(line)
	part := ""
	if len(words) > 0 && !strings.HasSuffix(line, " ") {
		part, words = words[len(words)-1], words[:len(words)-1]
	}
	for _, w := range words {
		next, _, failure := n.step(w)
		if failure != "" {
			return nil
		}
		n = next
	}
	var out []string
	for k := range n.words {
		if strings.HasPrefix(k, part) {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	for _, a := range n.args {
		out = append(out, "<"+a.name+">")
	}
	if n.run != nil && part == "" {
		out = append(out, "<cr>")
	}
	return out
}

// complain is the platform's error for a line that is no command.
func (d *Device) complain(s *session, m matched, line string) string {
	caret := strings.Repeat(" ", len(s.prompt())+max(m.at, 0)) + "^\n"
	clean := strings.TrimSpace(line)
	if d.asa {
		switch m.failure {
		case ambiguous:
			return "ERROR: % Ambiguous command:  \"" + clean + "\"\n"
		case incomplete:
			return "ERROR: % Incomplete command\n"
		}
		return caret + "ERROR: % Invalid input detected at '^' marker.\n"
	}
	switch m.failure {
	case ambiguous:
		return "% Ambiguous command:  \"" + clean + "\"\n"
	case incomplete:
		return "% Incomplete command.\n\n"
	}
	if m.at <= 0 && !strings.Contains(clean, " ") {
		return "% Unknown command or computer name, or unable to find computer address\n"
	}
	return caret + "% Invalid input detected at '^' marker.\n\n"
}
