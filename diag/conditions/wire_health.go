package conditions

import (
	"fmt"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// wireHealth are the statements that nothing is wrong.
func wireHealth() []Condition {
	return []Condition{
		{ID: "tunnel-healthy", Severity: report.Info, Healthy: true, Reference: "S1: MM_ACTIVE; S2: ESP both ways", Look: wireLook(func(s *story) *Match {
			h := s.health()
			if h == nil || h.kind != "tunnel-healthy" {
				return nil
			}
			return h.match
		})},
		{ID: "loss-but-healthy",
			Cause:    "packets are lost and the tunnel comes up all the same",
			Shows:    "captures: repeated messages, then progress to ESP both ways",
			Severity: report.Info, Healthy: true, Reference: "S3: loss is normal on the Internet", Look: wireLook(func(s *story) *Match {
				h := s.health()
				if h == nil || h.kind != "loss-but-healthy" {
					return nil
				}
				return h.match
			})},
		{ID: "tunnel-idle", Severity: report.Info, Healthy: true, Reference: "practice", Look: wireLook(func(s *story) *Match {
			h := s.health()
			if h == nil || h.kind != "tunnel-idle" {
				return nil
			}
			return h.match
		})},
	}
}

type health1 struct {
	kind  string
	match *Match
}

// health says which of the three it is.
func (s *story) health() *health1 {
	if len(s.w.CTCP) > 0 {
		for _, c := range s.w.CTCP {
			f := c.Any()
			if f == nil || !f.Content || len(f.Segments) == 0 {
				continue
			}
			v := s.w.Ends[0].View
			for e := range 2 {
				if c.Seen[e] == f {
					v = s.w.Ends[e].View
				}
			}
			resent := 0
			for i := range f.Segments {
				if f.Segments[i].Resend {
					resent++
				}
			}
			h := &health1{kind: "tunnel-healthy"}
			if resent > 0 {
				h.kind = "loss-but-healthy"
			}
			g := &f.Segments[len(f.Segments)-1]
			h.match = &Match{Clues: []Clue{For(4, "IPsec over TCP passes both ways", ctcpPlace(v, f, &f.Segments[0], ""), ctcpPlace(v, f, g, ""))},
				Title: "IPsec over TCP between " + s.name(0) + " and " + s.name(1) + " works", Explanation: "The TCP connection carries IKE and ESP, and every gap in it was filled.", Actions: harmlessWire("nothing to repair")}
			return h
		}
	}
	if !s.up {
		return nil
	}
	var ps []facts.Place
	for e := range 2 {
		at := 1 - e
		if !s.at(at) {
			at = e
		}
		ps = append(ps, s.espPlaces(e, at, "", 2)...)
	}
	repeats := 0
	var rp []facts.Place
	if s.a != nil {
		for _, u := range s.a.Units {
			if len(u.Msgs) > 1 {
				repeats += len(u.Msgs) - 1
			}
		}
		rp = s.repeated()
	}
	lost, sent, missing := 0, 0, 0
	for e := range 2 {
		lost += s.esp[e].lost
		sent += s.esp[e].sent
		for _, f := range s.esp[e].flows {
			if x := f.Seen[1-e]; x != nil {
				missing += x.Missing
			}
		}
	}
	both := s.esp[0].sent > 0 && s.esp[1].sent > 0
	switch {
	case both && (repeats > 0 || lost > 0 || missing > 0):
		expl := fmt.Sprintf("The negotiation completes and ESP runs both ways. %s had to be repeated; of %d packets of ESP %d did not arrive. That is ordinary loss, spread over sizes and time.", plural(repeats, "message", "messages"), sent, max(lost, missing))
		return &health1{"loss-but-healthy", &Match{Clues: []Clue{For(4, "ESP both ways after repeated messages", append(rp, ps...)...)}, Title: "The tunnel between " + s.name(0) + " and " + s.name(1) + " works, with some loss",
			Explanation: expl, Actions: harmlessWire("nothing to repair; the loss rate is reported")}}
	case both:
		return &health1{"tunnel-healthy", &Match{Clues: []Clue{For(4.6, "ESP both ways", ps...)}, Title: "The tunnel between " + s.name(0) + " and " + s.name(1) + " works",
			Explanation: s.negotiated() + "ESP runs both ways.", Actions: harmlessWire("nothing to repair")}}
	}
	var last *path.Unit
	if s.a != nil {
		for _, t := range s.trades {
			switch {
			case t.Info:
			case t.Final != nil:
				last = t.Final
			case t.Resp != nil:
				last = t.Resp
			}
		}
	}
	if last != nil {
		ps = append(ps, s.sentPlaces(last, "")...)
	}
	if len(ps) == 0 {
		return nil
	}
	return &health1{"tunnel-idle", &Match{Clues: []Clue{For(3, "negotiated, and little or no traffic", ps...)}, Title: "The tunnel between " + s.name(0) + " and " + s.name(1) + " is up and idle",
		Explanation: "The negotiation is complete; nobody uses the tunnel while the capture runs.", Actions: harmlessWire("nothing to repair; send traffic to test it")}}
}

func harmlessWire(step string) []report.Action {
	return []report.Action{{Class: report.None, Commands: []string{}, Steps: []string{step}, Effect: "none"}}
}
