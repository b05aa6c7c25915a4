package ios

import (
	"strings"

	"vpnbot/diag/facts"
)

// maxFlows bounds the pairs kept of a capture's list.
const maxFlows = 2000

// captured reads the packets that a capture's buffer lists: "1 0.000000 A -> B UDP 114 500 → 500",
// "0 114 0.000000 A -> B UDP", "A -> B UDP 53". They become counters "capture-flow", named as those
// of an ASA: "A.PORT > B.PORT udp", without ports where the list has none.
func (o *output) captured() {
	type row struct {
		n  int64
		at facts.Line
	}
	rows := map[string]*row{}
	var order []string
	for _, l := range o.out.Text {
		f := strings.Fields(l.Text)
		at := -1
		for i := 1; i+2 < len(f) && i < 8; i++ {
			if f[i] == "->" {
				at = i
				break
			}
		}
		if at < 0 || !addr(f[at-1]).IsValid() || !addr(f[at+1]).IsValid() {
			continue
		}
		src, dst, proto := f[at-1], f[at+1], strings.ToLower(f[at+2])
		rest := f[at+3:]
		switch {
		case len(rest) > 3 && (rest[2] == "→" || rest[2] == "->" || rest[2] == ">"): // length, ports
			src, dst = src+"."+rest[1], dst+"."+rest[3]
		case len(rest) == 1 && num(rest[0]) > 0:
			dst += "." + rest[0]
		}
		name := src + " > " + dst + " " + proto
		r := rows[name]
		if r == nil {
			if len(rows) >= maxFlows {
				continue
			}
			r = &row{at: l}
			rows[name] = r
			order = append(order, name)
		}
		r.n++
	}
	for _, name := range order {
		o.counter(rows[name].at, "capture-flow", name, rows[name].n, facts.NotShown)
	}
}
