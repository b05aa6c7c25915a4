package explain

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

//go:embed catalogue.txt
var catalogueText string

// Kind says what an entry is about.
type Kind string

// Kinds of entries.
const (
	Message Kind = "message"      // ASA, PIX, FTD or IOS log message
	State   Kind = "state"        // of an SA or session
	Notify1 Kind = "IKEv1 notify" // RFC 2408 section 3.14.1, RFC 3706
	Notify2 Kind = "IKEv2 notify" // RFC 7296 section 3.10.1
	Reason  Kind = "client reason"
	Client  Kind = "client error"
	Counter Kind = "counter"
	Words   Kind = "words" // of a log, debug or console line
)

// entry is one line of the catalogue.
type entry struct {
	kind    Kind
	names   []string // as written
	words   []string // names of several words, folded
	number  int      // notify type or reason, -1 when none
	means   string
	points  []string
	look    string
	generic bool // free-text ids whose words say more
}

// catalogue is the parsed text with its indexes. It never changes.
type catalogue struct {
	entries []*entry
	single  map[string][]*entry // by folded name
	display map[string]string   // folded name to the name as written
	notify  [2]map[int]*entry
	reasons map[int]*entry
}

var load = sync.OnceValue(func() *catalogue { return parse(catalogueText) })

// parse reads the catalogue's text; lines that are none are left out, and a test finds them.
func parse(text string) *catalogue {
	c := &catalogue{single: map[string][]*entry{}, display: map[string]string{}, notify: [2]map[int]*entry{{}, {}}, reasons: map[int]*entry{}}
	kinds := map[string]Kind{"message": Message, "state": State, "notify1": Notify1, "notify2": Notify2, "reason": Reason, "client": Client, "counter": Counter, "phrase": Words}
	kind := Message
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			kind = kinds[strings.Trim(line, "[]")]
			continue
		}
		f := strings.SplitN(line, "|", 4)
		if len(f) < 2 {
			continue
		}
		e := &entry{kind: kind, means: strings.TrimSpace(f[1]), number: -1}
		if len(f) > 2 {
			e.points = list(f[2])
		}
		if len(f) > 3 {
			e.look = strings.TrimSpace(f[3])
		}
		names := list(f[0])
		if kind == Notify1 || kind == Notify2 {
			num, name, _ := strings.Cut(names[0], " ")
			if n, err := strconv.Atoi(num); err == nil {
				e.number = n
				names[0] = name
				v := 0
				if kind == Notify2 {
					v = 1
				}
				c.notify[v][n] = e
			}
		}
		for _, n := range names {
			switch {
			case n[0] == '"':
				n = strings.Trim(n, "\"")
				e.words = append(e.words, foldWords(n))
			case kind == Reason:
				e.number, _ = strconv.Atoi(n)
				c.reasons[e.number] = e
				n = "Reason " + n
			default:
				k := fold(n)
				c.single[k] = append(c.single[k], e)
				c.display[k] = n
				i := mnemonic(n)
				if strings.HasPrefix(n, "IKE/0x") || strings.HasPrefix(n, "CM/0x") {
					i = strings.IndexByte(n, '/') + 1
				}
				if i > 0 { // also without its facility
					k := fold(n[i:])
					c.single[k] = append(c.single[k], e)
					c.display[k] = n
				}
			}
			e.names = append(e.names, n)
		}
		e.generic = kind == Message && strings.HasPrefix(e.names[0], "71390")
		c.entries = append(c.entries, e)
	}
	return c
}

func list(s string) []string {
	var out []string
	for _, p := range strings.Split(s, ";") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// fold brings a name to the form under which it is looked up: capitals, no "_" and "-",
// no severity between facility and mnemonic.
func fold(s string) string {
	if i := mnemonic(s); i > 0 {
		s = s[:i-3] + s[i:]
	}
	var b [64]byte
	n := 0
	for i := 0; i < len(s) && n < len(b); i++ {
		c := s[i]
		switch {
		case c == '_' || c == '-':
			continue
		case c >= 'a' && c <= 'z':
			c -= 32
		}
		b[n] = c
		n++
	}
	return string(b[:n])
}

// mnemonic returns where the mnemonic of "FACILITY-n-MNEMONIC" begins, 0 when s is none.
func mnemonic(s string) int {
	for i := 2; i+3 < len(s); i++ {
		if s[i] == '-' && s[i+2] == '-' && (s[i+1] >= '0' && s[i+1] <= '7' || s[i+1] == 'n') {
			return i + 3
		}
	}
	return 0
}

// foldWords brings running text to the form under which phrases are looked for: small
// letters, one blank between words, plain quotes.
func foldWords(s string) string {
	s = strings.ToLower(s)
	s = strings.NewReplacer("’", "'", "‘", "'", "´", "'", "`", "'", "“", "\"", "”", "\"", "\u00a0", " ").Replace(s)
	return strings.Join(strings.Fields(s), " ")
}
