// Package explain says what a message, state, notify, reason number, client error or
// counter means, and which conditions it points to.
//
// In comes any pasted text, out comes one explanation for each thing that is recognised in
// it, and for what looks like one and is not known the nearest known names. The words are
// in catalogue.txt beside this file.
package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vpnbot/diag/parse/client"
)

// Explanation is what is known about one thing in a text.
type Explanation struct {
	Found      string   // the piece of the text
	Line       int      // its line, first is 1
	Kind       Kind     // "" when nothing like it is known
	Name       string   // as Cisco or the RFC writes it
	Known      bool     //
	Means      string   // one or two sentences
	Conditions []string // ids of conditions that it can point to, most likely first
	Look       string   // what to look at next
	Near       []string // known names that resemble an unknown one, nearest first
}

// Bounds of one text.
const (
	maxBytes   = 256 << 10
	maxResults = 200
	maxUnknown = 20
	maxLine    = 4096
)

// Text explains a pasted text of one or many lines. Each thing is explained once, where it
// stands first. Text that holds nothing known gives the nearest matches, when there are any.
func Text(s string) []Explanation {
	if len(s) > maxBytes {
		s = s[:maxBytes]
	}
	r := reader{c: load(), seen: map[*entry]bool{}, unknown: map[string]bool{}, whole: strings.TrimSpace(s)}
	n := 0
	for line := range strings.Lines(s) {
		n++
		if len(line) > maxLine {
			line = line[:maxLine]
		}
		r.line(strings.TrimSpace(line), n)
		if len(r.out) >= maxResults {
			break
		}
	}
	if len(r.out) == 0 && r.whole != "" {
		r.out = append(r.out, Explanation{Found: cut(r.whole), Line: 1, Near: r.c.nearWords(r.whole)})
	}
	return r.out
}

func cut(s string) string {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	if r := []rune(s); len(r) > 120 {
		return string(r[:120]) + "…"
	}
	return s
}

type reader struct {
	c       *catalogue
	out     []Explanation
	seen    map[*entry]bool
	unknown map[string]bool
	whole   string
}

// hit is one thing found in a line.
type hit struct {
	e     *entry
	at    int
	found string
	name  string
}

func (r *reader) line(t string, n int) {
	if t == "" {
		return
	}
	hits, strange := r.tokens(t)
	hits = append(hits, r.numbers(t)...)
	specific := slices.ContainsFunc(hits, func(h hit) bool { return h.e.kind == Message && !h.e.generic })
	folded := foldWords(t)
	for _, e := range r.c.entries {
		for _, w := range e.words {
			i := strings.Index(folded, w)
			if i < 0 || !bounded(folded, i, i+len(w)) {
				continue
			}
			if specific && e.kind == Words && !adds(e, hits) {
				break
			}
			hits = append(hits, hit{e: e, at: i, found: w, name: e.names[0]})
			break
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(a.at, b.at) })
	for _, h := range hits {
		if r.seen[h.e] {
			continue
		}
		r.seen[h.e] = true
		r.out = append(r.out, Explanation{Found: h.found, Line: n, Kind: h.e.kind, Name: h.e.label(h.name), Known: true, Means: h.e.means, Conditions: h.e.points, Look: h.e.look})
	}
	for _, s := range strange {
		if r.unknown[s] || len(r.unknown) >= maxUnknown {
			continue
		}
		r.unknown[s] = true
		x := Explanation{Found: s, Line: n, Near: r.c.near(s)}
		if i := mnemonic(s); i > 0 {
			x.Kind, x.Name = Message, s
			x.Means = "An IOS message of facility " + s[:i-3] + ", severity " + s[i-2:i-1] + ", that is not in the catalogue."
		} else if strings.HasPrefix(s, "Reason ") {
			x.Kind, x.Name = Reason, s
			x.Means = "An ending of the Cisco VPN Client without a cause of its own in the catalogue: read the sentence that stands with it."
		}
		r.out = append(r.out, x)
	}
}

// label is the name with the number that belongs to it.
func (e *entry) label(name string) string {
	switch e.kind {
	case Notify1, Notify2:
		return fmt.Sprintf("%s (%d)", name, e.number)
	}
	return name
}

// adds tells whether an entry points to a condition that the hits do not point to yet.
func adds(e *entry, hits []hit) bool {
	for _, p := range e.points {
		if !slices.ContainsFunc(hits, func(h hit) bool { return slices.Contains(h.e.points, p) }) {
			return true
		}
	}
	return false
}

// bounded tells whether s[i:j] is not the inside of longer words.
func bounded(s string, i, j int) bool {
	return (i == 0 || !letter(s[i-1]) || !letter(s[i])) && (j >= len(s) || !letter(s[j]) || !letter(s[j-1]))
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }

// tokens looks up the names of one word in a line, and collects the words that look like
// names and are not known.
func (r *reader) tokens(t string) (hits []hit, strange []string) {
	v1 := strings.Contains(t, "IKEv1") || strings.Contains(t, "ISAKMP") || strings.Contains(t, "PHASE")
	v2 := strings.Contains(t, "IKEv2") || strings.Contains(t, "IKEV2") || strings.Contains(t, "-75")
	for i := 0; i < len(t); {
		if !letter(t[i]) {
			i++
			continue
		}
		j := i
		for j < len(t) && (letter(t[j]) || t[j] == '_' || t[j] == '-' || t[j] == '/') {
			j++
		}
		w := strings.TrimRight(t[i:j], "-_/")
		at := i
		i = j
		if len(w) < 4 || len(w) > 64 {
			continue
		}
		if k := r.look(w, at, v1, v2); len(k) > 0 {
			hits = append(hits, k...)
			continue
		}
		// "ASA-4-713903", "PEER_DELETE-IKE_DELETE_UNSPECIFIED", "MM_WAIT_MSG2/3", "IKE/0x..."
		found := false
		if strings.ContainsAny(w, "-/") {
			off := 0
			for _, part := range strings.FieldsFunc(w, func(c rune) bool { return c == '-' || c == '/' }) {
				if len(part) > 4 {
					if k := r.look(part, at+off, v1, v2); len(k) > 0 {
						hits = append(hits, k...)
						found = true
					}
				}
				off += len(part) + 1
			}
		}
		if !found {
			if s := strangeName(w); s != "" {
				strange = append(strange, s)
			}
		}
	}
	return hits, strange
}

// look finds a name; plain words must be written in capitals to be one.
func (r *reader) look(w string, at int, v1, v2 bool) []hit {
	k := fold(w)
	es := r.c.single[k]
	if len(es) == 0 {
		return nil
	}
	if !strings.ContainsAny(w, "_-/0123456789") && w != strings.ToUpper(w) && w != r.c.display[k] {
		return nil
	}
	var out []hit
	for _, e := range es {
		if len(es) > 1 && (e.kind == Notify1 && v2 && !v1 || e.kind == Notify2 && v1 && !v2) {
			continue
		}
		name := r.c.display[k]
		for _, n := range e.names {
			if fold(n) == k {
				name = n
			}
		}
		out = append(out, hit{e: e, at: at, found: w, name: name})
	}
	return out
}

// strangeName returns the word in the form of a name when it looks like one: six digits of
// a message, FACILITY-n-MNEMONIC, or capitals with "_".
func strangeName(w string) string {
	if i := strings.LastIndexByte(w, '-'); i >= 0 && len(w)-i == 7 && digits(w[i+1:]) {
		return w[i+1:]
	}
	if len(w) == 6 && digits(w) && w[0] >= '1' && w[0] <= '7' {
		return w
	}
	if w != strings.ToUpper(w) || digits(w) {
		return ""
	}
	if mnemonic(w) > 0 {
		return w
	}
	if strings.Count(w, "_") >= 1 && len(w) >= 6 && !strings.ContainsRune(w, '/') && (w[0] < '0' || w[0] > '9') {
		return w
	}
	if strings.HasPrefix(w, "IKE/0X") {
		return w
	}
	return ""
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// numbers finds reasons and notify types that are given as numbers.
func (r *reader) numbers(t string) (hits []hit) {
	n, ok := client.ReasonNumber(t)
	if !ok && len(r.whole) == 3 && digits(r.whole) && r.whole[0] == '4' {
		n, _ = strconv.Atoi(r.whole)
		ok = n > 400 && n <= 450
	}
	if ok {
		if e := r.c.reasons[n]; e != nil {
			hits = append(hits, hit{e: e, at: max(strings.Index(t, strconv.Itoa(n)), 0), found: "Reason " + strconv.Itoa(n), name: "Reason " + strconv.Itoa(n)})
		} else if s := "Reason " + strconv.Itoa(n); !r.unknown[s] {
			r.unknown[s] = true
			r.out = append(r.out, Explanation{Found: s, Line: 1, Kind: Reason, Name: s, Near: nil,
				Means: "An ending of the Cisco VPN Client without a cause of its own in the catalogue: read the sentence that stands with it."})
		}
	}
	low := strings.ToLower(t)
	for from := 0; ; {
		i := strings.Index(low[from:], "notif")
		if i < 0 {
			break
		}
		i += from
		from = i + 5
		j := from
		for j < len(low) && j-i < 48 && (low[j] < '0' || low[j] > '9') {
			j++
		}
		k := j
		for k < len(low) && k-j < 6 && low[k] >= '0' && low[k] <= '9' {
			k++
		}
		if k == j || k < len(low) && (letter(low[k]) || low[k] == '.') || j > 0 && (letter(low[j-1]) || low[j-1] == '.' || low[j-1] == '_') {
			continue
		}
		num, _ := strconv.Atoi(low[j:k])
		for v := range r.c.notify {
			if v == 0 && strings.Contains(t, "IKEv2") || v == 1 && (strings.Contains(t, "IKEv1") || strings.Contains(t, "ISAKMP")) {
				continue
			}
			if e := r.c.notify[v][num]; e != nil {
				hits = append(hits, hit{e: e, at: j, found: "notify " + low[j:k], name: e.names[0]})
			}
		}
	}
	return hits
}

// Known tells whether a name, number or sentence is in the catalogue.
func Known(s string) bool {
	for _, x := range Text(s) {
		if x.Known {
			return true
		}
	}
	return false
}

// Format writes explanations as text for a terminal or a message.
func Format(list []Explanation) string {
	var b strings.Builder
	for i, x := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		name := x.Name
		if name == "" {
			name = x.Found
		}
		switch {
		case x.Known:
			fmt.Fprintf(&b, "%s (%s)\n  %s\n", name, x.Kind, x.Means)
		case x.Means != "":
			fmt.Fprintf(&b, "%s\n  %s\n", name, x.Means)
		default:
			fmt.Fprintf(&b, "%s\n  Not known here.\n", name)
		}
		if len(x.Conditions) > 0 {
			fmt.Fprintf(&b, "  points to: %s\n", strings.Join(x.Conditions, ", "))
		}
		if x.Look != "" {
			fmt.Fprintf(&b, "  look at: %s\n", x.Look)
		}
		if len(x.Near) > 0 {
			fmt.Fprintf(&b, "  nearest known: %s\n", strings.Join(x.Near, ", "))
		}
	}
	return b.String()
}
