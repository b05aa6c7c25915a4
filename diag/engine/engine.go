// Package engine weighs all conditions over the facts of each tunnel: it adds up the
// clues, keeps causes apart from their symptoms, prefers the more specific neighbour,
// ranks what is left, and says which evidence would separate what is still close.
// In: facts and conditions. Out: the report.
package engine

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"vpnbot/diag/conditions"
	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
	"vpnbot/diag/report"
)

// Threshold is the confidence under which nothing is reported (contracts/report.md).
const Threshold = 0.3

// maxLadders bounds the diagrams of one run.
const maxLadders = 40

// maxEvidence bounds the evidence quoted per finding; the strongest clues come first.
const maxEvidence = 12

// Options of one diagnosis.
type Options struct {
	Tunnels []Named   // configured tunnels, for names
	Only    string    // name, or "A,B": report this tunnel only; "" all
	Now     time.Time // generated_at
}

// candidate is one condition that matched one tunnel.
type candidate struct {
	cond  *conditions.Condition
	match conditions.Match
	conf  float64
	sym   []string
}

// Diagnose weighs the conditions over the set.
func Diagnose(set *facts.Set, conds []conditions.Condition, opt Options) (report.Report, []report.Ladder) {
	var ladders, fine []report.Ladder
	r := report.Report{Schema: report.Schema, GeneratedAt: opt.Now, Tunnels: []report.Tunnel{}, Findings: []report.Finding{}, Errors: []report.Error{}}
	healthy := map[string]bool{}
	for _, c := range conds {
		healthy[c.ID] = c.Healthy
	}
	// Tunnels that only captures show come as they are read; of too many the row is all that stays.
	type either struct {
		*judged
		row *report.Tunnel
	}
	var wired []either
	var keep budget
	folded := map[string]bool{} // about whole devices: explained by another finding in some tunnel
	judge := func(t *conditions.Tunnel) *judged {
		all := weigh(t, conds)
		j := &judged{t: t, settled: settle(unite(t, all))}
		fold(folded, all, j.settled)
		for _, c := range j.settled {
			j.finds = append(j.finds, finding(t, c))
		}
		j.sight = look(t)
		return j
	}
	texts := cut(set, opt.Tunnels, func(t *conditions.Tunnel) {
		if opt.Only == "" || named(t, opt.Only) {
			j := judge(t)
			if row := keep.reduce(j); row != nil {
				wired = append(wired, either{row: row})
			} else {
				wired = append(wired, either{judged: j})
			}
		}
	})
	var tunnels []either
	homes := map[netip.Addr]bool{} // peers that have a tunnel of their own
	for _, t := range texts {
		if opt.Only == "" || named(t, opt.Only) {
			tunnels = append(tunnels, either{judged: judge(t)})
			for _, e := range t.Ends {
				if e.Peer.IsValid() {
					homes[e.Peer] = true
				}
			}
		}
	}
	tunnels = append(tunnels, wired...)
	seen := map[string]bool{} // what a condition saw, whichever tunnel it was looked at from
	r.Tunnels = slices.Grow(r.Tunnels, len(tunnels))
	for _, x := range tunnels {
		if x.row != nil {
			r.Tunnels = append(r.Tunnels, *x.row)
			continue
		}
		j, t := x.judged, x.judged.t
		var finds, mine []report.Finding
		for k, c := range j.settled {
			if c.match.Wide && (folded[c.name()] || homes[c.match.Peer] && !about(t, c.match.Peer)) {
				continue
			}
			f := j.finds[k]
			key := c.cond.ID + "\x00" + c.match.Key + "\x00" + places(f.Evidence)
			if seen[key] {
				continue // the same lines seen from another peer's tunnel of the same device
			}
			seen[key] = true
			finds = append(finds, f)
			if !c.match.Wide || about(t, c.match.Peer) {
				mine = append(mine, f)
			}
		}
		if row := j.row(mine, len(finds) > 0); row != nil {
			r.Tunnels = append(r.Tunnels, *row)
		}
		// The diagrams of what is broken come before those of what works.
		broken := faulty(finds)
		if broken && len(ladders) < maxLadders {
			ladders = append(ladders, j.draw()...)
		} else if !broken && len(fine) < maxLadders {
			fine = append(fine, j.draw()...)
		}
		r.Findings = append(r.Findings, finds...)
	}
	if e, cut := keep.error(set); cut {
		r.Errors = append(r.Errors, e)
	}
	// One incident, one answer: beside a fault the health of other tunnels stands in their state.
	if faulty(r.Findings) {
		r.Findings = slices.DeleteFunc(r.Findings, func(f report.Finding) bool { return healthy[f.ID] })
	}
	quoted := map[string]bool{}
	for _, f := range r.Findings {
		for _, e := range f.Evidence {
			quoted[e.Source] = true
		}
	}
	for _, e := range set.Errors {
		if e.Message == facts.NothingKnown && quoted[e.Source] {
			continue // the complaint in it was understood
		}
		src := e.Source
		if e.Line > 0 {
			src = fmt.Sprintf("%s:%d", e.Source, e.Line)
		}
		r.Errors = append(r.Errors, report.Error{Source: src, Kind: e.Kind, Message: e.Message})
	}
	report.Sort(&r)
	health(&r)
	ladders = append(ladders, fine...)
	return r, ladders[:min(len(ladders), maxLadders)]
}

// health puts what is special about healthy tunnels before the plain statement: a tunnel
// that is made anew on time, or lies idle, is what the question was about. Where others work
// it is only said when it is sure.
func health(r *report.Report) {
	plain := slices.ContainsFunc(r.Findings, func(f report.Finding) bool { return f.ID == "tunnel-healthy" })
	if !plain || faulty(r.Findings) {
		return
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f report.Finding) bool { return f.ID == "tunnel-idle" && f.Confidence < 0.75 })
	slices.SortStableFunc(r.Findings, func(a, b report.Finding) int {
		return cmp.Compare(b2i(a.ID == "tunnel-healthy"), b2i(b.ID == "tunnel-healthy"))
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// name tells candidates of one run apart.
func (c candidate) name() string {
	for _, cl := range c.match.Clues {
		if cl.Weight > 0 && len(cl.Places) > 0 {
			return fmt.Sprintf("%s\x00%s\x00%s:%d", c.cond.ID, c.match.Key, cl.Places[0].Source, cl.Places[0].Line)
		}
	}
	return c.cond.ID + "\x00" + c.match.Key
}

// fold notes what about whole devices was weighed and did not stand.
func fold(folded map[string]bool, all, kept []candidate) {
	for _, c := range all {
		if c.match.Wide && !slices.ContainsFunc(kept, func(k candidate) bool { return k.match.Wide && k.name() == c.name() }) {
			folded[c.name()] = true
		}
	}
}

// about tells whether a tunnel is the one with a peer.
func about(t *conditions.Tunnel, peer netip.Addr) bool {
	return slices.ContainsFunc(t.Ends, func(e *conditions.End) bool { return e.Mine(peer) })
}

func named(t *conditions.Tunnel, want string) bool {
	if t.Name == want {
		return true
	}
	a, b, ok := strings.Cut(want, ",")
	if !ok || len(t.Addrs) < 2 {
		return false
	}
	x, y := t.Addrs[0].String(), t.Addrs[1].String()
	return a == x && b == y || a == y && b == x
}

// weigh asks every condition about a tunnel.
func weigh(t *conditions.Tunnel, conds []conditions.Condition) []candidate {
	var out []candidate
	for i := range conds {
		c := &conds[i]
		for _, m := range merge(c.Look(t)) {
			if c.Negotiates && !m.Wide {
				m.Clues = append(m.Clues, t.Knock()...)
			}
			sum, shown := conditions.Prior, false
			for _, cl := range m.Clues {
				sum += cl.Weight
				shown = shown || cl.Weight > 0 && len(cl.Places) > 0
			}
			conf := Confidence(sum)
			// A finding without evidence does not exist.
			if conf < Threshold || !shown {
				continue
			}
			out = append(out, candidate{cond: c, match: m, conf: conf})
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return cmp.Compare(b.conf, a.conf) })
	return out
}

// merge joins the matches of one key: text and packets that show the same thing are one
// case. The words of the one with more behind it stand.
func merge(ms []conditions.Match) []conditions.Match {
	if len(ms) < 2 {
		return ms
	}
	var out []conditions.Match
	for _, m := range ms {
		i := slices.IndexFunc(out, func(o conditions.Match) bool { return o.Key == m.Key })
		if i < 0 {
			out = append(out, m)
			continue
		}
		clues := append(slices.Clone(out[i].Clues), m.Clues...)
		if total(m) > total(out[i]) {
			m.Next = append(m.Next, out[i].Next...)
			out[i] = m
		}
		out[i].Clues = clues
	}
	return out
}

// unite joins a match that names no object with the surest one of the same condition that
// does: packets show that a user is refused, the log of the gateway says by whom. What is
// about the device of another peer stays apart.
func unite(t *conditions.Tunnel, cands []candidate) []candidate {
	out := slices.Clone(cands)
	for i := 0; i < len(out); i++ {
		if out[i].match.Key != "" || out[i].match.Wide {
			continue
		}
		j := slices.IndexFunc(out, func(o candidate) bool {
			return o.cond.ID == out[i].cond.ID && o.match.Key != "" && (!o.match.Wide || !o.match.Peer.IsValid() || about(t, o.match.Peer))
		})
		if j < 0 {
			continue
		}
		a, b := out[i].match, out[j].match
		m := a
		if total(b) > total(a) {
			m = b
		}
		m.Key, m.Wide, m.Peer = b.Key, false, netip.Addr{}
		m.Clues = append(slices.Clone(a.Clues), b.Clues...)
		out[j].match, out[j].conf = m, Confidence(conditions.Prior+total(m))
		out = slices.Delete(out, i, i+1)
		i--
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return cmp.Compare(b.conf, a.conf) })
	return slices.DeleteFunc(out, func(c candidate) bool { return c.conf < Threshold })
}

func total(m conditions.Match) (sum float64) {
	for _, c := range m.Clues {
		sum += c.Weight
	}
	return sum
}

// Confidence turns log-odds into a probability, capped at 0.98: text and packets never
// prove more.
func Confidence(logOdds float64) float64 {
	return math.Min(0.98, math.Round(100/(1+math.Exp(-logOdds)))/100)
}

// settle folds symptoms into their causes, lets general conditions yield to specific
// neighbours, drops health where something is wrong, and ranks.
func settle(cands []candidate) []candidate {
	best := map[string]float64{}
	for _, c := range cands {
		best[c.cond.ID] = max(best[c.cond.ID], c.conf)
	}
	gone := make([]bool, len(cands))
	for i, c := range cands {
		for _, p := range c.cond.Prefer {
			// A neighbour that is much less sure does not push a well-shown condition out.
			if q, ok := best[p]; ok && q >= c.conf-0.25 && p != c.cond.ID {
				gone[i] = true
			}
		}
	}
	for i, c := range cands {
		if gone[i] || len(c.cond.SymptomOf) == 0 {
			continue
		}
		for j := range cands {
			if i != j && !gone[j] && slices.Contains(c.cond.SymptomOf, cands[j].cond.ID) && !slices.Contains(cands[j].cond.SymptomOf, c.cond.ID) {
				if !slices.Contains(cands[j].sym, c.cond.ID) {
					cands[j].sym = append(cands[j].sym, c.cond.ID)
				}
				gone[i] = true
				break
			}
		}
	}
	var faults, healthy []candidate
	for i, c := range cands {
		switch {
		case gone[i]:
		case c.cond.Healthy:
			healthy = append(healthy, c)
		default:
			faults = append(faults, c)
		}
	}
	if len(faults) == 0 {
		// Exactly one statement of health.
		if len(healthy) > 1 {
			healthy = healthy[:1]
		}
		return healthy
	}
	// Two candidates close together cannot both be this sure.
	if len(faults) > 1 && faults[0].conf-faults[1].conf < 0.1 && faults[0].conf > 0.6 && exclusive(faults[0], faults[1]) {
		for k := range 2 {
			faults[k].conf = math.Round(100*(faults[k].conf-0.1)) / 100
		}
	}
	slices.SortStableFunc(faults, func(a, b candidate) int { return cmp.Compare(rank(b), rank(a)) })
	return faults
}

// exclusive: two conditions explain the same breakdown when they rest on a common place.
func exclusive(a, b candidate) bool {
	for _, x := range a.match.Clues {
		for _, y := range b.match.Clues {
			for _, p := range x.Places {
				for _, q := range y.Places {
					if p.Source == q.Source && p.Line == q.Line && p.Packet == q.Packet && x.Weight > 0 && y.Weight > 0 {
						return true
					}
				}
			}
		}
	}
	return false
}

func rank(c candidate) float64 {
	return c.conf * map[report.Severity]float64{report.Critical: 1, report.Major: 0.97, report.Minor: 0.8, report.Info: 0.5}[severity(c)]
}

func severity(c candidate) report.Severity {
	if c.match.Severity != "" {
		return c.match.Severity
	}
	return c.cond.Severity
}

func finding(t *conditions.Tunnel, c candidate) report.Finding {
	f := report.Finding{ID: c.cond.ID, Tunnel: t.Name, Title: c.match.Title, Severity: severity(c), Confidence: c.conf,
		Explanation: c.match.Explanation, Actions: c.match.Actions, Next: c.match.Next, Symptoms: c.sym, Reference: c.cond.Reference,
		Evidence: evidence(c.match.Clues)}
	if t.Wire != nil && t.Wire.Both() {
		// What was done needs no asking for.
		f.Next = slices.DeleteFunc(slices.Clone(f.Next), func(n report.Next) bool {
			return n.Playbook == "capture-both-ends" && c.cond.ID != "captures-not-comparable"
		})
	}
	if f.Actions == nil {
		f.Actions = []report.Action{}
	}
	if f.Next == nil {
		f.Next = []report.Next{}
	}
	if f.Symptoms == nil {
		f.Symptoms = []string{}
	}
	f.Title, f.Explanation = redact.Strip(f.Title), redact.Strip(f.Explanation)
	for _, s := range []*string{&f.Title, &f.Explanation} {
		if rest, ok := strings.CutPrefix(*s, "this end"); ok { // a device without a name begins the sentence
			*s = "This end" + rest
		}
	}
	for i := range f.Actions {
		for j, s := range f.Actions[i].Commands {
			f.Actions[i].Commands[j] = redact.Strip(s)
		}
		for j, s := range f.Actions[i].Steps {
			f.Actions[i].Steps[j] = redact.Strip(s)
		}
		if f.Actions[i].Commands == nil {
			f.Actions[i].Commands = []string{}
		}
		if f.Actions[i].Steps == nil {
			f.Actions[i].Steps = []string{}
		}
	}
	return f
}

// evidence quotes the places of the positive clues, strongest clue first, each place once.
func evidence(clues []conditions.Clue) []report.Evidence {
	cs := slices.Clone(clues)
	slices.SortStableFunc(cs, func(a, b conditions.Clue) int { return cmp.Compare(b.Weight, a.Weight) })
	out := []report.Evidence{}
	type spot struct {
		source       string
		line, packet int
		wire         bool
	}
	have := map[spot]bool{}
	for round := range maxEvidence { // one place of every clue before a second one of the first
		for _, c := range cs {
			if c.Weight <= 0 || round >= len(c.Places) || len(out) >= maxEvidence {
				continue
			}
			p := c.Places[round]
			k := spot{p.Source, p.Line, p.Packet, p.Wire}
			if have[k] || p.Source == "" {
				continue
			}
			have[k] = true
			e := report.Evidence{Source: p.Source, Line: p.Line, Time: p.Time, Text: clip(redact.Strip(p.Text)), Note: clip(redact.Strip(c.Note)), Datagram: p.Datagram}
			if p.Wire || p.Packet > 0 {
				n := p.Packet
				e.Packet, e.Line = &n, 0
			}
			out = append(out, e)
		}
	}
	return out
}

// clip bounds a quoted line; device text can be of any length.
func clip(s string) string {
	const n = 400
	s = strings.TrimSpace(s)
	if len(s) <= n && utf8.ValidString(s) {
		return s
	}
	r := []rune(s)
	if len(r) <= n {
		return string(r)
	}
	return string(r[:n-1]) + "…"
}

func places(es []report.Evidence) string {
	var b strings.Builder
	for _, e := range es {
		fmt.Fprintf(&b, "%s:%d", e.Source, e.Line)
		if e.Packet != nil {
			fmt.Fprintf(&b, "p%d", *e.Packet)
		}
		b.WriteByte(' ')
	}
	return b.String()
}
