package conditions

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
	"vpnbot/diag/report"
)

// toldSize is what somebody wrote down of a test: packets over a size are lost.
type toldSize struct {
	bytes     int // the limit
	places    []facts.Place
	addrs     []netip.Addr  // between whom, as far as the words say
	clear     []facts.Place // "DF is clear"
	set       bool          // "with DF"
	fragments []facts.Place // fragments are said to pass
}

var (
	overSize = regexp.MustCompile(`(?:longer|larger|bigger|greater|more|above|over|beyond|exceeding|größer|grösser|länger|mehr|über|ab|oberhalb|plus|supérieurs?|au-delà|mayor(?:es)?|más)\b[^.0-9]{0,24}\b([1-9][0-9]{2,4})[ -]?(?:bytes?|byte-|octets?|b\b)`)
	sizeLost = []string{" lost", "vanish", "disappear", "not arrive", "n't arrive", "never arrive", "dropped", "do not get through", "does not get through", "don't get through", "never seen", "verloren", "verschwind", "nicht an", "perdu", "n'arrive", "pierde", "no llega"}
	dfClear  = []string{"df is clear", "df clear", "df bit off", "df bit clear", "df bit is clear", "df is not set", "df not set", "df bit not set", "df bit is not set", "without df", "no df", "df off", "df is off", "df-bit off", "df bit cleared", "ohne df", "df nicht gesetzt", "df-bit nicht gesetzt", "sans df", "sin df"}
	dfSet    = []string{"with df", "df set", "df is set", "df bit set", "df-bit set", "df bit is set", "mit df", "df gesetzt", "avec df", "con df"}
	pieces   = []string{"fragment", "piece", "stück", "morceau"}
	passes   = []string{" pass", "arrive", "get through", "go through", "kommen an", "kommen durch", "passen durch", "passent", "llegan", "pasan"}
)

// inClause tells whether one clause of a text, in lower case, has a word of both lists.
func inClause(text string, subject, verb []string) bool {
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '.' || r == ';' }) {
		if hasAny(s, subject...) && hasAny(s, verb...) {
			return true
		}
	}
	return false
}

// toldSize reads it from the words beside the evidence; nil when nobody says so.
func (t *Tunnel) toldSize() *toldSize {
	for _, d := range t.Set.Devices {
		for _, para := range paragraphs(d.Notes) {
			for i := range para {
				text, here := para[i].Lower, []facts.Place{para[i].Place}
				if i+1 < len(para) && !strings.HasSuffix(text, ".") {
					text, here = text+" "+para[i+1].Lower, append(here, para[i+1].Place)
				}
				m := overSize.FindStringSubmatch(text)
				if m == nil || !hasAny(text, sizeLost...) || hasAny(text, "no packet", "none of", "kein paket") {
					continue
				}
				n, _ := strconv.Atoi(m[1])
				x := &toldSize{bytes: n, places: here[:1], addrs: syslog.Addrs(text)}
				for _, o := range d.Notes {
					x.set = x.set || hasAny(o.Lower, dfSet...) && !hasAny(o.Lower, dfClear...)
					if hasAny(o.Lower, dfClear...) {
						x.clear = append(x.clear, o.Place)
					}
					if inClause(o.Lower, pieces, passes) && !inClause(o.Lower, pieces, []string{" not ", "n't ", " never ", " nicht "}) {
						x.fragments = append(x.fragments, o.Place)
					}
				}
				return x
			}
		}
	}
	return nil
}

// largeText is a path that drops by length, as test pings and people's words show it. Packets
// tell it better (wire_path.go).
var largeText = Condition{
	ID:       "path-large-packets-dropped",
	Severity: report.Critical,
	Prefer:   []string{"large-icmp-signature"},
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		limit, between := "", t.between()
		said := t.toldSize()
		if said != nil {
			limit = fmt.Sprintf("over %d bytes", said.bytes)
			clues = append(clues, For(2.6, fmt.Sprintf("people tested it: packets over %d bytes are lost", said.bytes), said.places...))
			if len(said.addrs) == 2 {
				between = said.addrs[0].String() + " and " + said.addrs[1].String()
			}
			if len(said.clear) > 0 {
				clues = append(clues, For(0.8, "DF plays no part", said.clear...))
			}
			if said.set {
				clues = append(clues, Against(2.5, "DF is set: path-MTU discovery is what fails"))
			}
			if len(said.fragments) > 0 {
				clues = append(clues, For(0.8, "fragments that are shorter pass", said.fragments...))
			}
			if said.bytes > 1472 {
				clues = append(clues, Against(1.5, "what is larger travels as fragments"))
			}
		}
		for _, s := range t.sweeps() {
			if s.told {
				clues = append(clues, Against(3, "path-MTU discovery answers (fragmentation needed)", s.toldAt))
				continue
			}
			if s.df || s.fail > 1472 {
				continue
			}
			w := 1.6
			if len(t.said(dfClear...)) > 0 {
				w = 2.6
			}
			clues = append(clues, For(w, fmt.Sprintf("without DF %d bytes pass and %d bytes vanish, as a whole packet", s.pass, s.fail), s.lost, s.passed))
			if limit == "" {
				limit = fmt.Sprintf("between %d and %d bytes and more", s.pass, s.fail)
				between = t.between()
				if s.target.IsValid() && !strings.Contains(between, s.target.String()) {
					between += " (" + s.target.String() + ")"
				}
			}
			break
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 1.6 }) {
			return nil
		}
		return []Match{{Clues: clues, Title: "Packets " + limit + " are dropped between " + between,
			Explanation: "Smaller packets pass and larger ones vanish, although DF is not set and they are no fragments: path-MTU discovery has no part in it, a device on the path drops by length. With DF set it would be a path-MTU black hole.",
			Actions:     []report.Action{hand("evidence report for the ISP with the two sizes: the largest that passed, the smallest that did not", "IKE fragmentation as a way around")},
			Next:        []report.Next{bothEnds("shows whether whole packets, packets with DF or fragments vanish")}}}
	},
}
