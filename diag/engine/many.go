package engine

import (
	"fmt"
	"slices"
	"strings"

	"vpnbot/diag/conditions"
	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// maxFindings bounds the findings of one run about tunnels that only captures show: so many
// about faults, and so many about health.
const maxFindings = 4000

// judged is a tunnel after the conditions were weighed.
type judged struct {
	t       *conditions.Tunnel
	settled []candidate
	finds   []report.Finding // of settled
	sight   sight
	drawn   bool
	ladders []report.Ladder
}

// row says in which state the tunnel is; nil when nothing names it and nothing was found.
func (j *judged) row(mine []report.Finding, found bool) *report.Tunnel {
	if t := j.t; len(t.Ends) == 0 && len(t.Addrs) == 0 && len(t.Clients) == 0 && !found {
		return nil
	}
	row := j.sight.describe(mine)
	return &row
}

func (j *judged) draw() []report.Ladder {
	if j.drawn {
		return j.ladders
	}
	return j.t.Ladders()
}

func faulty(fs []report.Finding) bool {
	return slices.ContainsFunc(fs, func(f report.Finding) bool { return f.Severity != report.Info })
}

// budget counts what is kept of the tunnels that only captures show.
type budget struct {
	faults, healthy           int // findings
	brokenDrawn, healthyDrawn int // diagrams
	left                      int // tunnels with faults whose findings were left out
	ids                       map[string]int
}

// reduce lets go of the packets of a tunnel. It returns its row alone when there are too many
// findings: its state is told all the same.
func (b *budget) reduce(j *judged) *report.Tunnel {
	broken := faulty(j.finds)
	drawn, kept := &b.healthyDrawn, &b.healthy
	if broken {
		drawn, kept = &b.brokenDrawn, &b.faults
	}
	if *drawn < maxLadders {
		j.ladders = j.t.Ladders()
		*drawn += len(j.ladders)
	}
	if *kept+len(j.finds) > maxFindings {
		if broken {
			b.left++
			if b.ids == nil {
				b.ids = map[string]int{}
			}
			b.ids[j.finds[0].ID]++
		}
		return j.row(j.finds, true)
	}
	*kept += len(j.finds)
	j.drawn = true
	j.t = &conditions.Tunnel{Name: j.t.Name, Addrs: j.t.Addrs, Ends: j.t.Ends, Clients: j.t.Clients}
	for i := range j.settled {
		m := &j.settled[i].match
		m.Title, m.Explanation, m.Actions, m.Next = "", "", nil, nil // they are in the finding
		if !m.Wide {
			m.Clues = nil
		}
	}
	return nil
}

// error says what was left out.
func (b *budget) error(set *facts.Set) (e report.Error, ok bool) {
	if b.left == 0 {
		return e, false
	}
	var ids []string
	for id := range b.ids {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y string) int {
		if n := b.ids[y] - b.ids[x]; n != 0 {
			return n
		}
		return strings.Compare(x, y)
	})
	for i, id := range ids {
		ids[i] = fmt.Sprintf("%s %d", id, b.ids[id])
	}
	return report.Error{Source: set.Captures[0].Source, Kind: "truncated",
		Message: fmt.Sprintf("%d tunnels more have faults; their findings are left out, their state is told (%s)", b.left, strings.Join(ids, ", "))}, true
}
