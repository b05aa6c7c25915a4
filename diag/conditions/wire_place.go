package conditions

import (
	"fmt"
	"net/netip"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
)

// wirePlace is the evidence of one message in one capture.
func wirePlace(v *path.View, m *facts.Message, what string) facts.Place {
	t := m.Time
	txt := fmt.Sprintf("%s %v→%v %s", stamp(t), m.Src.Addr(), m.Dst.Addr(), m.Label)
	switch {
	case len(m.Fragments) > 0:
		txt += fmt.Sprintf(", UDP %d→%d, %d of %d bytes of IKE in %d fragment", m.Src.Port(), m.Dst.Port(), min(m.Captured, m.Length), m.Length, len(m.Fragments))
		if len(m.Fragments) != 1 {
			txt += "s"
		}
	default:
		txt += fmt.Sprintf(", UDP %d→%d, %d bytes", m.Src.Port(), m.Dst.Port(), m.IPLength)
		if m.DF && m.IPLength > 1000 && m.Src.Addr().Is4() {
			txt += " with DF"
		}
	}
	if m.Copy > 0 {
		txt += fmt.Sprintf(", resend %d", m.Copy)
	}
	txt += fmt.Sprintf(", IP id %d", m.IPID)
	if what != "" {
		txt += ": " + what
	}
	return facts.Place{Source: v.Capture.Source, Packet: m.Packet, Wire: true, Time: &t, Text: txt,
		Datagram: &facts.Datagram{Src: m.Src, Dst: m.Dst, Proto: 17, Length: m.IPLength, IPID: m.IPID, DF: m.DF, Fragment: len(m.Fragments) > 0, Fate: what}}
}

// fragPlaces shows each fragment as its own packet.
func fragPlaces(v *path.View, m *facts.Message, what string) []facts.Place {
	var out []facts.Place
	for i, f := range m.Fragments {
		t := f.Time
		n := ""
		if m.Complete {
			n = fmt.Sprintf(" of %d", len(m.Fragments))
		}
		txt := fmt.Sprintf("%s %v→%v %s, fragment %d%s, %d bytes at %d, IP id %d", stamp(t), m.Src.Addr(), m.Dst.Addr(), m.Label, i+1, n, f.Length, f.Offset, m.IPID)
		if what != "" {
			txt += ": " + what
		}
		d := &facts.Datagram{Src: m.Src, Dst: m.Dst, Proto: 17, Length: f.Length + 20, IPID: m.IPID, DF: m.DF, Fragment: true, Offset: f.Offset, Fate: what}
		if m.Src.Addr().Is6() {
			d.Length = f.Length + 48 // the fixed header and the fragment header
		}
		if f.Offset > 0 { // later fragments carry no ports
			d.Src, d.Dst = netip.AddrPortFrom(m.Src.Addr(), 0), netip.AddrPortFrom(m.Dst.Addr(), 0)
		}
		out = append(out, facts.Place{Source: v.Capture.Source, Packet: f.Packet, Wire: true, Time: &t, Text: txt, Datagram: d})
	}
	return out
}

func stamp(t time.Time) string { return t.UTC().Format("15:04:05.0") }

// sentPlaces shows the copies of a message where they left (or, when that end was not
// captured, where they arrived).
func (s *story) sentPlaces(u *path.Unit, what string) []facts.Place {
	if u == nil {
		return nil
	}
	var out []facts.Place
	for _, m := range u.Msgs {
		end := m.From
		x := m.Seen[end]
		if x == nil {
			end = 1 - end
			x = m.Seen[end]
		}
		if x == nil || s.w.Ends[end].View == nil {
			continue
		}
		out = append(out, copyPlaces(s.w.Ends[end].View, x, what)...)
		if len(out) >= 8 {
			break
		}
	}
	return out
}

// copyPlaces is one copy of a message: its packet, or the fragments of it.
func copyPlaces(v *path.View, m *facts.Message, what string) []facts.Place {
	if len(m.Fragments) > 0 {
		return fragPlaces(v, m, what)
	}
	return []facts.Place{wirePlace(v, m, what)}
}

// rcvdPlaces shows the copies where they arrived.
func (s *story) rcvdPlaces(u *path.Unit, what string) []facts.Place {
	if u == nil {
		return nil
	}
	var out []facts.Place
	for _, m := range u.Msgs {
		end := 1 - m.From
		x := m.Seen[end]
		if x == nil || s.w.Ends[end].View == nil {
			continue
		}
		out = append(out, copyPlaces(s.w.Ends[end].View, x, what)...)
		if len(out) >= 6 {
			break
		}
	}
	return out
}

// espPlaces shows some packets of ESP as the end that sent them captured them, or as they arrived.
func (s *story) espPlaces(from, at int, what string, n int) []facts.Place {
	v := s.w.Ends[at].View
	if v == nil {
		return nil
	}
	var out []facts.Place
	for _, f := range s.esp[from].flows {
		x := f.Seen[at]
		if x == nil {
			continue
		}
		for i := range x.Sample {
			if len(out) >= n {
				return out
			}
			out = append(out, espPlace(v, x, &x.Sample[i], what))
		}
		if len(x.Sample) == 0 {
			t := x.First
			out = append(out, facts.Place{Source: v.Capture.Source, Packet: x.FirstPacket, Wire: true, Time: &t,
				Text: fmt.Sprintf("%s %v→%v ESP %s, %d packets", stamp(t), x.Src.Addr(), x.Dst.Addr(), path.Hex(x.SPI), x.Count)})
		}
	}
	return out
}

func espPlace(v *path.View, f *facts.ESPFlow, p *facts.ESPPacket, what string) facts.Place {
	t := p.Time
	kind := "ESP"
	if f.UDP {
		kind = fmt.Sprintf("ESP in UDP %d→%d", f.Src.Port(), f.Dst.Port())
	}
	df := ""
	if p.DF && p.Length > 1000 && f.Src.Addr().Is4() {
		df = " with DF"
	}
	txt := fmt.Sprintf("%s %v→%v %s, SPI %s, sequence %d, %d bytes%s, IP id %d", stamp(t), f.Src.Addr(), f.Dst.Addr(), kind, path.Hex(f.SPI), p.Seq, p.Length, df, p.IPID)
	if what != "" {
		txt += ": " + what
	}
	d := &facts.Datagram{Src: f.Src, Dst: f.Dst, Proto: 50, Length: p.Length, IPID: p.IPID, DF: p.DF, Fragment: p.Pieces > 1, Fate: what}
	if f.UDP {
		d.Proto = 17
	}
	return facts.Place{Source: v.Capture.Source, Packet: p.Packet, Wire: true, Time: &t, Text: txt, Datagram: d}
}

func icmpPlace(e path.ICMP) facts.Place {
	t := e.Time
	q := e.Quoted
	what := fmt.Sprintf("%v→%v", q.Src.Addr(), q.Dst.Addr())
	if q.Src.Port() != 0 {
		what = fmt.Sprintf("%v→%v", q.Src, q.Dst)
	}
	txt := fmt.Sprintf("%s %v→%v ICMP %d/%d (%s) about %s, IP id %d", stamp(t), e.From, e.To, e.Type, e.Code, icmpName(e.Type, e.Code), what, q.IPID)
	if e.MTU > 0 {
		txt += fmt.Sprintf(", MTU %d", e.MTU)
	}
	return facts.Place{Source: e.View.Capture.Source, Packet: e.Packet, Wire: true, Time: &t, Text: txt,
		Datagram: &facts.Datagram{Src: netip.AddrPortFrom(e.From, 0), Dst: netip.AddrPortFrom(e.To, 0), Proto: 1, Fate: icmpName(e.Type, e.Code)}}
}

func icmpName(typ, code uint8) string {
	switch {
	case typ == 3 && code == 0:
		return "network unreachable"
	case typ == 3 && code == 1:
		return "host unreachable"
	case typ == 3 && code == 2:
		return "protocol unreachable"
	case typ == 3 && code == 3:
		return "port unreachable"
	case typ == 3 && code == 4:
		return "fragmentation needed"
	case typ == 3 && (code == 9 || code == 10 || code == 13):
		return "forbidden by a filter"
	case typ == 11 && code == 0:
		return "time to live exceeded"
	case typ == 11 && code == 1:
		return "reassembly time exceeded"
	}
	return "error"
}

// whole is the evidence "the whole capture".
func whole(v *path.View, text string) facts.Place {
	return facts.Place{Source: v.Capture.Source, Packet: 0, Wire: true, Text: text}
}
