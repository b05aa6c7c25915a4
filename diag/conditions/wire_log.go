package conditions

import (
	"cmp"
	"slices"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
)

// wpkt is one packet of a tunnel that is up, on the reference clock.
type wpkt struct {
	at      time.Time
	from    int
	esp     bool
	probe   bool // informational: DPD, delete, notify
	size    int
	df      bool
	frag    bool
	sent    bool // seen at its sender's capture
	arrived int  // 1 yes, 0 no, -1 the receiver was not captured
	sure    bool // of a loss: the receiver's capture goes on
	// What place reads, when somebody quotes the packet: a log has thousands.
	view   *path.View
	msg    *facts.Message
	flow   *facts.ESPFlow
	sample *facts.ESPPacket
}

// place is the packet as evidence.
func (p *wpkt) place() facts.Place {
	if p.msg != nil {
		return wirePlace(p.view, p.msg, "")
	}
	return espPlace(p.view, p.flow, p.sample, "")
}

// negotiated says whether the negotiation was seen; an old SA may show its traffic alone.
func (s *story) negotiated() string {
	if s.a == nil {
		return "The negotiation is not in the capture. "
	}
	return "The tunnel is negotiated. "
}

// number is the packet's in its capture.
func (p *wpkt) number() int {
	if p.msg != nil {
		return p.msg.Packet
	}
	return p.sample.Packet
}

// log lists what passed after the tunnel was negotiated, in order of time. It is made once
// and not to be changed.
func (s *story) log() []wpkt {
	if !s.logMade {
		s.logged, s.logMade = s.makeLog(), true
	}
	return s.logged
}

func (s *story) makeLog() []wpkt {
	room := 0
	if s.a != nil {
		room = len(s.a.Msgs)
	}
	for from := range 2 {
		for _, f := range s.esp[from].flows {
			if x := cmp.Or(f.Seen[from], f.Seen[1-from]); x != nil {
				room += len(x.Sample)
			}
		}
	}
	out := make([]wpkt, 0, room)
	if s.a != nil {
		for _, m := range s.a.Msgs {
			if s.up && (m.At.Before(s.upAt) || infoMsg(m) && !m.Encrypted) {
				continue // a notify in the clear, with keys at hand, anybody may have sent
			}
			p := wpkt{at: m.At, from: m.From, probe: infoMsg(m), size: m.IPLength, df: m.DF, frag: len(m.Fragments) > 0, sent: m.Sent() != nil, arrived: -1, sure: m.Sure}
			switch {
			case m.Rcvd() != nil && m.Rcvd().Complete:
				p.arrived = 1
			case m.Gone():
				p.arrived = 0
			}
			end := m.From
			x := m.Sent()
			if x == nil {
				end, x = 1-m.From, m.Rcvd()
			}
			if x == nil || s.w.Ends[end].View == nil {
				continue
			}
			p.view, p.msg = s.w.Ends[end].View, x
			out = append(out, p)
		}
	}
	for from := range 2 {
		sv, rv := s.w.Ends[from].View, s.w.Ends[1-from].View
		for _, f := range s.esp[from].flows {
			lost := map[uint32]bool{}
			for _, p := range f.LostPkts {
				lost[p.Seq] = true
			}
			v, x := sv, f.Seen[from]
			if x == nil {
				v, x = rv, f.Seen[1-from]
			}
			if v == nil || x == nil {
				continue
			}
			rows := []*facts.ESPFlow{x}
			for _, o := range v.ESP { // a NAT that moved the flow makes two rows
				if o != x && o.SPI == f.SPI && s.w.EndOf(o.Src.Addr()) == from {
					rows = append(rows, o)
				}
			}
			for _, o := range rows {
				for i := range o.Sample {
					q := &o.Sample[i]
					p := wpkt{at: q.Time.Add(v.Offset), from: from, esp: true, size: q.Length, df: q.DF, frag: q.Pieces > 0, sent: v == sv, arrived: -1, view: v, flow: o, sample: q}
					switch {
					case v == rv:
						p.arrived = 1
					case rv != nil && !rv.Ran(p.at):
						p.arrived = -1
					case lost[q.Seq]:
						p.arrived = 0
						p.sure = rv != nil && rv.After(p.at.Add(time.Second))
					case rv != nil && !o.Sampled:
						p.arrived = 1
					case rv != nil && f.Seen[1-from] == nil:
						p.arrived = 0
					}
					out = append(out, p)
				}
			}
			// What left while the sender's capture did not run, the receiver's has.
			if y := f.Seen[1-from]; v == sv && y != nil && rv != nil {
				for i := range y.Sample {
					q := &y.Sample[i]
					if at := q.Time.Add(rv.Offset); !sv.Ran(at) {
						out = append(out, wpkt{at: at, from: from, esp: true, size: q.Length, df: q.DF, frag: q.Pieces > 0, arrived: 1, view: rv, flow: y, sample: q})
					}
				}
			}
		}
	}
	// The packets are large: their times are sorted, not they.
	type key struct {
		ns int64
		i  int32
	}
	keys := make([]key, len(out))
	for i := range out {
		keys[i] = key{out[i].at.UnixNano(), int32(i)}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.ns != b.ns {
			return cmp.Compare(a.ns, b.ns)
		}
		if x, y := &out[a.i], &out[b.i]; x.view.Capture.Source == y.view.Capture.Source {
			return cmp.Or(cmp.Compare(x.number(), y.number()), cmp.Compare(a.i, b.i))
		}
		return cmp.Compare(a.i, b.i)
	})
	sorted := make([]wpkt, len(out))
	for i, k := range keys {
		sorted[i] = out[k.i]
	}
	return sorted
}

func placesOfPkts(ps []wpkt, n int, what string) []facts.Place {
	var out []facts.Place
	for i := range ps {
		if len(out) >= n {
			break
		}
		p := ps[i].place()
		if what != "" {
			p.Text += ": " + what
		}
		out = append(out, p)
	}
	return out
}
