package conditions

// OnWire is what the captures tell about a tunnel's state, for the report's head.
type OnWire struct {
	Version  int    // 1 or 2, 0 unknown
	Exchange string // main, aggressive, ikev2, ""
	Stopped  string // report.stopped_at, ""
	Up       bool   // negotiated to its end
	Tried    bool   // an attempt was seen
}

// OnWire reads the state off the tunnel's captures; the zero value without captures.
func (t *Tunnel) OnWire() OnWire {
	s := t.reading()
	if s == nil {
		return OnWire{}
	}
	o := OnWire{Up: s.up && !s.answerLost()}
	if s.a != nil {
		o.Tried = true
		o.Version, o.Exchange = s.a.Version(), s.a.Exchange()
		if !s.up || s.stop.kind != noStop {
			o.Stopped = s.stop.step
		}
	}
	return o
}

// answerLost: the answer that would bring the tunnel up left and did not arrive, and no traffic of its
// asker shows otherwise. One end believes that the tunnel stands; it does not.
func (s *story) answerLost() bool {
	t := s.stop.trade
	return t != nil && t.Resp != nil && (t.Step == "IKE_AUTH" || t.Step == "QM") && t.Final == nil && s.esp[t.From].sent == 0 &&
		(s.stop.kind == msgLost || s.stop.kind == unaccepted || s.stop.kind == pieceLost)
}
