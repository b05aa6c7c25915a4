package conditions

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// series is one run of iperf as people paste it: its intervals in order.
type series struct {
	from  []float64 // seconds, begin of each interval
	rate  []float64 // Mbit/s
	place []facts.Place
}

// runs reads the runs of iperf in people's words. A run begins where an interval begins at 0.
func (t *Tunnel) runs() []series {
	var out []series
	for _, d := range t.Set.Devices {
		for _, n := range d.Notes {
			from, to, rate, ok := interval(n.Lower)
			if !ok {
				continue
			}
			if from == 0 || len(out) == 0 {
				out = append(out, series{})
			}
			s := &out[len(out)-1]
			if k := len(s.from); k > 1 && from < s.from[k-1] || to-from > 60 {
				continue // the summary
			}
			s.from, s.rate, s.place = append(s.from, from), append(s.rate, rate), append(s.place, n.Place)
		}
	}
	return out
}

// interval reads "[ 4] 0.0- 5.0 sec 23.1 mbytes 38.8 mbits/sec".
func interval(line string) (from, to, rate float64, ok bool) {
	before, after, ok := strings.Cut(line, " sec ")
	if !ok {
		return
	}
	if _, b, cut := strings.Cut(before, "]"); cut {
		before = b
	}
	a, b, ok := strings.Cut(strings.ReplaceAll(before, " ", ""), "-")
	if !ok {
		return
	}
	from, err1 := strconv.ParseFloat(a, 64)
	to, err2 := strconv.ParseFloat(b, 64)
	f := strings.Fields(after)
	i := slices.IndexFunc(f, func(w string) bool { return strings.HasSuffix(w, "bits/sec") })
	if err1 != nil || err2 != nil || i < 1 || !(from >= 0 && to > from) {
		return 0, 0, 0, false
	}
	rate, err1 = strconv.ParseFloat(f[i-1], 64)
	switch f[i][0] {
	case 'g':
		rate *= 1000
	case 'k':
		rate /= 1000
	case 'b':
		rate /= 1e6
	}
	return from, to, rate, err1 == nil && rate >= 0
}

// ceiling tells whether a run falls to a steady rate far below the one it began with: from which
// interval on, and to what.
func (s series) ceiling() (at int, rate float64, ok bool) {
	if len(s.rate) < 5 {
		return 0, 0, false
	}
	rate = s.rate[len(s.rate)-1]
	at = len(s.rate)
	for at > 0 && s.rate[at-1] <= rate*1.15 && s.rate[at-1] >= rate*0.85 {
		at--
	}
	return at, rate, rate > 0 && at > 0 && len(s.rate)-at >= 3 && slices.Max(s.rate[:at]) >= 4*rate && slices.Min(s.rate[:at]) >= 2*rate
}

var shapedText = Condition{
	ID:       "traffic-shaped-as-p2p",
	Severity: report.Major,
	Prefer:   []string{"pmtu-black-hole", "path-large-packets-dropped", "crypto-throughput-license"},
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var ceilings []float64
		for _, s := range t.runs() {
			at, rate, ok := s.ceiling()
			if !ok {
				continue
			}
			w, note := 2.8, fmt.Sprintf("the rate falls after %g s to a steady %.3g Mbit/s", s.from[at], rate)
			switch {
			case len(ceilings) == 0:
			case slices.ContainsFunc(ceilings, func(c float64) bool { return c > rate*0.8 && c < rate*1.25 }):
				w, note = 1.2, "again the same ceiling: "+note
			default:
				w = 0.4
			}
			ceilings = append(ceilings, rate)
			clues = append(clues, For(w, note, s.place[at-1], s.place[at]))
			if rate > 80 && rate < 90 {
				clues = append(clues, Against(2.5, "85 Mbit/s is the export limit of routers without HSECK9"))
			}
		}
		// What people say alone: slower through the tunnel only, from some moment on, whatever the size.
		said := t.said("throttl", "shaped", "shaping", "peer-to-peer", " p2p", "drossel", "bride le", "bridé", "estrangul", "limita el ancho")
		if len(said) > 0 {
			clues = append(clues, For(1.6, "people suspect that the provider throttles", said...))
		}
		if x := t.said("whatever the size", "whatever size", "independent of the size", "independent of packet size", "regardless of size", "regardless of packet size", "any packet size", "small segments", "unabhängig von der größe", "unabhängig von der paketgröße", "quelle que soit la taille", "sin importar el tamaño"); len(x) > 0 {
			clues = append(clues, For(0.8, "the size of the packets plays no part", x...))
		}
		if x := t.said("without the tunnel", "without vpn", "without the vpn", "outside the tunnel", "plain ", "ohne tunnel", "ohne vpn", "sans vpn", "sans le tunnel", "sin vpn", "sin el túnel"); len(x) > 0 {
			clues = append(clues, For(0.6, "without the tunnel the line is fast", x...))
		}
		if x := t.said("other direction", "one direction", "andere richtung", "eine richtung", "autre sens", "un seul sens", "otra dirección", "una dirección"); len(x) > 0 {
			clues = append(clues, For(0.6, "one direction only", x...))
		}
		if len(ceilings) == 0 && (len(said) == 0 || len(clues) < 3) {
			return nil // a suspicion alone, or the circumstances without it
		}
		for _, e := range t.Ends {
			if x := e.logged("TX_BW_LIMIT", "RX_BW_LIMIT"); len(x) > 0 {
				clues = append(clues, Against(4, "the router's own licence limits it", at(x...)...))
			}
		}
		limit := ""
		if len(ceilings) > 0 {
			limit = fmt.Sprintf(" to %.3g Mbit/s", ceilings[0])
		}
		where := ""
		if len(t.Ends) > 0 {
			where = " between " + t.between()
		}
		return []Match{{Clues: clues, Wide: true,
			Title:       "The provider slows the tunnel" + where + " down" + limit,
			Explanation: "Small and short traffic passes at full speed; what lasts falls after some seconds to the same rate each time, whatever the size of the packets, and the line is fast without the tunnel. A provider that takes the tunnel for peer-to-peer traffic does that. Loss by size or a licence limit looks different.",
			Actions:     []report.Action{hand("measure at M-Lab for the record, then give the ISP the evidence report: rates, direction, time stamps")},
			Next:        []report.Next{bothEnds("shows in which direction the loss begins, and when")}}}
	},
}
