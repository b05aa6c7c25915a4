package ike

import "vpnbot/diag/facts"

// foldFrom is the number of peers from which on a capture's rows are handed over folded.
const foldFrom = 200

func (o *Options) fold() int {
	if o.Fold > 0 {
		return o.Fold
	}
	return foldFrom
}

// folded is what a capture shows, in little room. A negotiation with its messages as facts
// takes ten times as much, and of a headend's hundred thousand only one is looked at at a time.
type folded struct {
	negs  []*negotiation // in order of their first message
	flows []*flow
	room  []message
}

func (s *folded) Negotiations() int { return len(s.negs) }
func (s *folded) Flows() int        { return len(s.flows) }

func (s *folded) Negotiation(i int) *facts.Negotiation {
	return s.negs[i].fact(&s.room, len(s.negs))
}

func (s *folded) Flow(i int) *facts.ESPFlow { return s.flows[i].fact() }
