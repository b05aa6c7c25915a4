package report

import (
	"cmp"
	"slices"
)

// Level orders severities, 0 the worst.
func Level(s Severity) int {
	return slices.Index([]Severity{Critical, Major, Minor, Info}, s)
}

// Sort puts the worst tunnel first (highest severity, then confidence) and the findings
// in the order of their tunnels; those of one tunnel keep their order. Healthy and
// harmless statements come after every fault, of whichever tunnel.
func Sort(r *Report) {
	type worst struct {
		level int
		conf  float64
	}
	rank := map[string]worst{}
	for _, f := range r.Findings {
		w, ok := rank[f.Tunnel]
		l := Level(f.Severity)
		switch {
		case !ok || l < w.level:
			rank[f.Tunnel] = worst{l, f.Confidence}
		case l == w.level:
			rank[f.Tunnel] = worst{l, max(w.conf, f.Confidence)}
		}
	}
	of := func(tunnel string) worst {
		if w, ok := rank[tunnel]; ok {
			return w
		}
		return worst{level: 9}
	}
	by := func(a, b string) int {
		x, y := of(a), of(b)
		return cmp.Or(cmp.Compare(x.level, y.level), cmp.Compare(y.conf, x.conf))
	}
	slices.SortStableFunc(r.Tunnels, func(a, b Tunnel) int { return by(a.Name, b.Name) })
	place := map[string]int{}
	for i, t := range r.Tunnels {
		if _, ok := place[t.Name]; !ok {
			place[t.Name] = i
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		info := func(f Finding) int {
			if f.Severity == Info {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(info(a), info(b)), cmp.Compare(place[a.Tunnel], place[b.Tunnel]))
	})
}
