package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

//go:embed isp.html isp.*.yaml
var ispFiles embed.FS

// ISPFacts are the addressee of an evidence report and what goes with it.
type ISPFacts struct {
	Name     string    // of the ISP, "" unknown
	Contact  string    // mail address or telephone
	Files    []ISPFile // reduced captures that go with the report
	Language string    // of the sentences; "" is en
}

// ISPFile is a file beside the report.
type ISPFile struct {
	Name    string
	Source  string  // the capture it was made of, as in Evidence
	Packets Packets // of the source, that are in it
}

// ispWords are the sentences of one language.
type ispWords struct {
	Text       map[string]string `yaml:"text"`
	Protocols  map[int]string    `yaml:"protocols"`
	Conditions map[string]struct {
		What string   `yaml:"what"`
		Why  string   `yaml:"why"`
		Test []string `yaml:"test"`
		Ask  []string `yaml:"ask"`
	} `yaml:"conditions"`
}

// ispCase is one finding that an ISP can mend, told in figures.
type ispCase struct {
	Title, What, Why   string
	From, To, Protocol string
	Passed, Vanished   string
	Span, Counted      string
	ICMP               []string
	Rows               []ispRow
	Test, Ask          []string
	Ladder             *Ladder
	BothEnds           bool
}

type ispRow struct {
	Time, From, To, Proto, Length, ID, Fragment, Fate, Seen string
	Lost                                                    bool
	at                                                      time.Time
}

// ISP writes the evidence report: one page, in HTML that prints, for someone who does not
// know the VPN and doubts it. It says what was sent when, what did not arrive, how to see
// it again and what is asked for. Findings that an ISP cannot mend are left out; without
// any it says so. It fails for a language that has no words.
func ISP(r Report, ladders []Ladder, f ISPFacts) ([]byte, error) {
	lang := f.Language
	if lang == "" {
		lang = "en"
	}
	src, err := ispFiles.ReadFile("isp." + lang + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("evidence report: there are no sentences for language %q", lang)
	}
	var words ispWords
	if err := yaml.UnmarshalWithOptions(src, &words, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("evidence report, language %q: %w", lang, err)
	}
	var cases []ispCase
	for _, x := range r.Findings {
		if _, known := words.Conditions[x.ID]; known && forISP(x) {
			cases = append(cases, words.tell(x, ladders, f.Files))
		}
	}
	var b bytes.Buffer
	t, err := template.New("isp.html").Funcs(template.FuncMap{
		"t":     func(key string) string { return words.Text[key] },
		"plain": Plain,
		"utc":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"svg":   func(l *Ladder) template.HTML { return template.HTML(SVG(*l)) }, // SVG escapes every text it writes
	}).ParseFS(ispFiles, "isp.html")
	if err != nil {
		return nil, fmt.Errorf("evidence report: %w", err)
	}
	data := struct {
		Lang      string
		Generated time.Time
		Facts     ISPFacts
		Cases     []ispCase
	}{lang, r.GeneratedAt, f, cases}
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("evidence report: %w", err)
	}
	return b.Bytes(), nil
}

// tell turns a finding into figures and sentences.
func (w *ispWords) tell(f Finding, ladders []Ladder, files []ISPFile) ispCase {
	c := ispCase{}
	small, big, lost := 0, 0, 0
	var first, last time.Time
	var from, to netip.AddrPort
	proto := uint8(0)
	for _, e := range f.Evidence {
		d := e.Datagram
		if d == nil || e.Time == nil || e.Packet == nil {
			continue
		}
		gone := strings.Contains(d.Fate, "not arrive")
		if d.Proto == 1 {
			c.ICMP = append(c.ICMP, d.Src.Addr().String()+": "+d.Fate)
			continue
		}
		switch {
		case gone:
			lost++
			if !d.Fragment && (big == 0 || d.Length < big) {
				big = d.Length
			}
			if first.IsZero() || e.Time.Before(first) {
				first = *e.Time
			}
			if e.Time.After(last) {
				last = *e.Time
			}
		}
		if !from.IsValid() {
			from, to, proto = d.Src, d.Dst, d.Proto
		}
		c.Rows = append(c.Rows, w.row(e, gone, files))
	}
	slices.SortStableFunc(c.Rows, func(a, b ispRow) int { return a.at.Compare(b.at) })
	// The first lost packet with its ports names the flow.
	for _, e := range f.Evidence {
		if d := e.Datagram; d != nil && d.Proto != 1 && strings.Contains(d.Fate, "not arrive") && d.Offset == 0 {
			from, to, proto = d.Src, d.Dst, d.Proto
			break
		}
	}
	for _, e := range f.Evidence { // what went the other way proves no size of this one
		if d := e.Datagram; d != nil && d.Proto != 1 && e.Time != nil && e.Packet != nil && strings.HasPrefix(d.Fate, "arrived") && d.Dst.Addr() != from.Addr() {
			small = max(small, d.Length)
		}
	}
	if i := ladderOf(f, ladders); i >= 0 {
		l := ladders[i].renumbered(files)
		c.Ladder = &l
	}
	c.BothEnds = c.Ladder != nil && c.Ladder.Recorded == 2
	fill := strings.NewReplacer("{from}", addr(from), "{to}", addr(to), "{small}", size(small), "{big}", size(big),
		"{first}", stampUTC(first), "{last}", stampUTC(last), "{lost}", strconv.Itoa(lost))
	// A sentence whose figure is not known is left out.
	say := func(s string) string {
		for _, k := range []struct {
			mark string
			has  bool
		}{{"{from}", from.IsValid()}, {"{to}", to.IsValid()}, {"{small}", small > 0}, {"{big}", big > 0}, {"{first}", !first.IsZero()}} {
			if strings.Contains(s, k.mark) && !k.has {
				return ""
			}
		}
		return fill.Replace(s)
	}
	each := func(list []string) (out []string) {
		for _, s := range list {
			if s = say(s); s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	x := w.Conditions[f.ID]
	title := "title"
	if f.ID == "nat-pool-address-change" {
		title = "title_change"
	}
	c.Title, c.What, c.Why = say(w.Text[title]), say(x.What), sentences(x.Why, say)
	if c.Title == "" {
		c.Title = f.Title
	}
	if c.What == "" {
		c.What = f.Explanation
	}
	c.From, c.To = addr(from), addr(to)
	c.Protocol = w.protocol(proto, from.Port(), to.Port())
	if small > 0 && big > small { // one size alone is no limit
		c.Passed, c.Vanished = say(w.Text["passed"]), say(w.Text["vanished"])
	}
	c.Span = say(w.Text["span"])
	c.Test, c.Ask = each(x.Test), each(x.Ask)
	if lost > 0 {
		c.Counted = say(w.Text["counted"])
		c.Test = append(c.Test, each([]string{w.Text["test_watch"]})...)
		c.Ask = append(c.Ask, w.Text["ask_name"])
	}
	return c
}

// sentences leaves out single sentences whose figure is not known.
func sentences(s string, say func(string) string) string {
	var out []string
	for _, x := range strings.SplitAfter(s, ". ") {
		if x = strings.TrimSpace(say(x)); x != "" {
			out = append(out, x)
		}
	}
	return strings.Join(out, " ")
}

func (w *ispWords) row(e Evidence, gone bool, files []ISPFile) ispRow {
	d := e.Datagram
	r := ispRow{Time: stampUTC(*e.Time), From: addr(d.Src), To: addr(d.Dst), Proto: w.protocol(d.Proto, d.Src.Port(), d.Dst.Port()),
		Length: size(d.Length), ID: strconv.Itoa(int(d.IPID)), Fragment: w.Text["whole"], Fate: d.Fate, Lost: gone, Seen: Where(e), at: *e.Time}
	if d.Fragment {
		r.Fragment = strings.ReplaceAll(w.Text["at"], "{offset}", strconv.Itoa(d.Offset))
	}
	if gone {
		r.Fate = w.Text["lost"]
	}
	for _, f := range files { // a reduced capture has numbers of its own
		if i, ok := slices.BinarySearch(f.Packets, *e.Packet); ok && f.Source == e.Source {
			r.Seen = fmt.Sprintf("%s %d", f.Name, i+1)
		}
	}
	return r
}

func (w *ispWords) protocol(p uint8, from, to uint16) string {
	name := w.Protocols[int(p)]
	if name == "" && p != 0 {
		name = "IP " + strconv.Itoa(int(p))
	}
	if (p == 17 || p == 6) && (from != 0 || to != 0) {
		name += fmt.Sprintf(" %d → %d", from, to)
	}
	return name
}

func addr(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.Addr().String()
}

func size(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func stampUTC(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

// forISP: a finding is the ISP's when one of its actions hands evidence to another party.
func forISP(f Finding) bool {
	return slices.ContainsFunc(f.Actions, func(a Action) bool { return a.Class == EvidenceOnly })
}

// ladderOf finds the ladder that a finding is about, -1 when there is none: of several with its
// tunnel's name (attempts, peers behind one address) the one that has most of its packets.
func ladderOf(f Finding, ladders []Ladder) int {
	best, most := -1, -1
	for i, l := range ladders {
		if l.Tunnel != f.Tunnel {
			continue
		}
		n := 0
		for _, e := range f.Evidence {
			if e.Packet != nil {
				if _, ok := slices.BinarySearch(l.Shown[e.Source], *e.Packet); ok {
					n++
				}
			}
		}
		if n > most {
			best, most = i, n
		}
	}
	return best
}

// renumbered is the ladder with the packet numbers that the reduced captures give them; a packet
// that is in none of them has no number.
func (l Ladder) renumbered(files []ISPFile) Ladder {
	if len(files) == 0 {
		return l
	}
	l.Steps = slices.Clone(l.Steps)
	for i := range l.Steps {
		var out []string
		for _, p := range l.Steps[i].Packets {
			at := strings.LastIndexByte(p, ' ')
			if at < 0 {
				continue
			}
			k := slices.IndexFunc(files, func(f ISPFile) bool { return f.Source == l.Sources[p[:at]] })
			if k < 0 {
				continue
			}
			from, to, several := strings.Cut(p[at+1:], "-")
			number := func(s string) (string, bool) {
				n, err := strconv.Atoi(s)
				if err != nil {
					return "", false
				}
				j, ok := slices.BinarySearch(files[k].Packets, n)
				return strconv.Itoa(j + 1), ok
			}
			a, ok := number(from)
			if several {
				b, okB := number(to)
				a, ok = a+"-"+b, ok && okB
			}
			if ok {
				out = append(out, p[:at+1]+a)
			}
		}
		l.Steps[i].Packets = out
	}
	return l
}

// Packets is a set of packet numbers of one capture, ascending.
type Packets []int

// Has tells whether a packet is in the set.
func (p Packets) Has(n int) bool {
	_, ok := slices.BinarySearch(p, n)
	return ok
}

// InQuestion are the packets that an ISP's report rests on, by capture: those quoted as
// evidence and those of the exchange they belong to. Nil when nothing is the ISP's.
func InQuestion(r Report, ladders []Ladder) map[string]Packets {
	out := map[string]Packets{}
	for _, f := range r.Findings {
		if !forISP(f) {
			continue
		}
		for _, e := range f.Evidence {
			if e.Packet != nil && *e.Packet > 0 {
				out[e.Source] = append(out[e.Source], *e.Packet)
			}
		}
		if i := ladderOf(f, ladders); i >= 0 {
			for source, list := range ladders[i].Shown {
				out[source] = append(out[source], list...)
			}
		}
	}
	for source, list := range out {
		slices.Sort(list)
		out[source] = slices.Compact(list)
	}
	return out
}

// FileName makes a capture's source a file name: hq/outside.pcap becomes hq-outside.pcap.
func FileName(source string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ':' || r < ' ' {
			return '-'
		}
		return r
	}, strings.TrimSuffix(source, ".gz"))
	if !strings.HasSuffix(name, ".pcap") && !strings.HasSuffix(name, ".pcapng") && !strings.HasSuffix(name, ".cap") {
		name += ".pcap"
	}
	return name
}
