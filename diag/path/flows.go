package path

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
)

// flows merges ESP by SPI and sender.
func (w *Wire) flows() {
	type key struct {
		spi  uint32
		from int
	}
	by := map[key]*Flow{}
	for _, v := range w.Views {
		// A short flow that cannot be trusted by itself is the other direction of one that can.
		sure := map[[2]netip.AddrPort]bool{}
		for _, f := range v.ESP {
			if f.Trusted {
				sure[[2]netip.AddrPort{f.Src, f.Dst}] = true
			}
		}
		for _, f := range v.ESP {
			e := w.EndOf(f.Src.Addr())
			if e < 0 || v.End < 0 {
				continue
			}
			if f.UDP && !f.Trusted && (!sure[[2]netip.AddrPort{f.Dst, f.Src}] || sure[[2]netip.AddrPort{f.Src, f.Dst}]) {
				continue
			}
			k := key{f.SPI, e}
			x := by[k]
			if x == nil {
				x = &Flow{SPI: f.SPI, From: e, UDP: f.UDP, CTCP: f.CTCP, Start: v.clock(f.First), End: v.clock(f.Last)}
				by[k] = x
				w.Flows = append(w.Flows, x)
			}
			if t := v.clock(f.First); t.Before(x.Start) {
				x.Start = t
			}
			if t := v.clock(f.Last); t.After(x.End) {
				x.End = t
			}
			if o := x.Seen[v.End]; o == nil || f.Count > o.Count {
				// A NAT that moved the flow makes two rows: the greater stands for it, the
				// sum is kept in the counts below.
				x.Seen[v.End] = f
			}
		}
	}
	for _, x := range w.Flows {
		w.countFlow(x)
	}
	slices.SortStableFunc(w.Flows, func(a, b *Flow) int { return a.Start.Compare(b.Start) })
}

func (w *Wire) countFlow(x *Flow) {
	to := 1 - x.From
	sv, rv := w.Ends[x.From].View, w.Ends[to].View
	total := func(v *View) (n int, seqs map[uint32]bool, sampled bool, ranges []facts.SeqRange) {
		if v == nil {
			return
		}
		seqs = map[uint32]bool{}
		for _, f := range v.ESP {
			if f.SPI != x.SPI || w.EndOf(f.Src.Addr()) != x.From {
				continue
			}
			n += f.Count - f.Duplicates
			sampled = sampled || f.Sampled
			for i := range f.Sample {
				if f.Sample[i].Complete {
					seqs[f.Sample[i].Seq] = true
				}
			}
			ranges = append(ranges, f.Ranges...)
		}
		return
	}
	sn, _, ssampled, sranges := total(sv)
	rn, rseqs, rsampled, rranges := total(rv)
	x.Sent, x.Arrived = sn, rn
	if sv == nil {
		x.Sent = rn
		return
	}
	if rv == nil {
		return
	}
	if sn > 0 && rn > 0 {
		w.Common += min(sn, rn)
	}
	if !ssampled && !rsampled {
		for _, f := range sv.ESP {
			if f.SPI != x.SPI || w.EndOf(f.Src.Addr()) != x.From {
				continue
			}
			seen := map[uint32]bool{}
			for i := range f.Sample {
				p := f.Sample[i]
				if seen[p.Seq] || rseqs[p.Seq] {
					seen[p.Seq] = true
					continue
				}
				seen[p.Seq] = true
				t := sv.clock(p.Time)
				if !rv.Before(t.Add(time.Second)) && len(rv.Negotiations)+len(rv.ESP) > 0 {
					continue // before the receiver's capture began
				}
				if !rv.Ran(t) {
					continue
				}
				x.Lost++
				if rv.After(t.Add(time.Second)) {
					x.Sure++
				}
				if len(x.LostPkts) < 200 {
					x.LostPkts = append(x.LostPkts, p)
				}
			}
		}
		return
	}
	// Large flows: by ranges of sequence numbers, within what the receiver can have seen.
	if len(rranges) == 0 {
		x.Lost = sn
		return
	}
	lo, hi := rranges[0].From, rranges[0].To
	for _, r := range rranges {
		lo, hi = min(lo, r.From), max(hi, r.To)
	}
	count := func(rs []facts.SeqRange) (n int) {
		for _, r := range rs {
			a, b := max(r.From, lo), min(r.To, hi)
			if a <= b {
				n += int(b-a) + 1
			}
		}
		return
	}
	if d := count(sranges) - count(rranges); d > 0 {
		x.Lost, x.Sure = d, d
	}
}

// SizeLoss is the fate of one packet length in one direction.
type SizeLoss struct {
	Length  int
	Sent    int
	Arrived int
	DF      bool
	Frag    bool // left as fragments
	Packet  int  // at the sender, one of them
	IKE     bool
}

// Sizes lists what lengths left an end and how many of each arrived, IKE and ESP, ascending.
// Only when both ends were captured, and only what was sent while the receiver's capture ran.
func (w *Wire) Sizes(from int) []SizeLoss {
	if !w.Both() {
		return nil
	}
	type key struct {
		l    int
		frag bool
		ike  bool
	}
	by := map[key]*SizeLoss{}
	at := func(k key, df bool, pkt int) *SizeLoss {
		s := by[k]
		if s == nil {
			s = &SizeLoss{Length: k.l, Frag: k.frag, IKE: k.ike, DF: df, Packet: pkt}
			by[k] = s
		}
		return s
	}
	for _, a := range w.Attempts {
		for _, m := range a.Msgs {
			if m.From != from || m.Sent() == nil || m.Fate == Unseen {
				continue
			}
			s := at(key{m.Sent().IPLength, len(m.Sent().Fragments) > 0, true}, m.Sent().DF, m.Sent().Packet)
			s.Sent++
			if m.Fate == Arrived {
				s.Arrived++
			}
		}
	}
	for _, f := range w.Flows {
		if f.From != from || f.Seen[from] == nil {
			continue
		}
		lost := map[int]int{}
		for _, p := range f.LostPkts {
			lost[p.Length]++
		}
		if !f.Seen[from].Sampled && (f.Seen[1-from] == nil || !f.Seen[1-from].Sampled) {
			for i := range f.Seen[from].Sample {
				p := &f.Seen[from].Sample[i]
				if !w.Ends[1-from].View.Ran(w.Ends[from].View.clock(p.Time)) {
					continue
				}
				s := at(key{p.Length, p.Pieces > 0, false}, p.DF, p.Packet)
				s.Sent++
				if lost[p.Length] > 0 {
					lost[p.Length]--
				} else {
					s.Arrived++
				}
			}
			continue
		}
		var rs map[int]int
		if o := f.Seen[1-from]; o != nil {
			rs = map[int]int{}
			for _, c := range o.Sizes {
				rs[c.Length] += c.Count
			}
		}
		for _, c := range f.Seen[from].Sizes {
			s := at(key{c.Length, c.Frag > 0, false}, c.DF > 0, c.First)
			s.Sent += c.Count
			s.Arrived += min(c.Count, rs[c.Length])
		}
	}
	out := make([]SizeLoss, 0, len(by))
	for _, s := range by {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b SizeLoss) int {
		if a.Length != b.Length {
			return a.Length - b.Length
		}
		return a.Packet - b.Packet
	})
	return out
}

// errors puts ICMP errors on the reference clock and drops those seen twice.
func (w *Wire) errors() {
	for i := range w.ICMP {
		w.ICMP[i].At = w.ICMP[i].View.clock(w.ICMP[i].Time)
	}
	slices.SortStableFunc(w.ICMP, func(a, b ICMP) int { return a.At.Compare(b.At) })
}

func (w *Wire) connections() {
	for _, v := range w.Views {
		for _, f := range v.CTCP {
			if v.End < 0 {
				continue
			}
			var c *CTCP
			for _, o := range w.CTCP {
				if o.Seen[v.End] == nil && sameConn(o, f) {
					c = o
					break
				}
			}
			if c == nil {
				c = &CTCP{Client: max(0, w.EndOf(f.Client.Addr()))}
				w.CTCP = append(w.CTCP, c)
			} else {
				w.Common++
			}
			c.Seen[v.End] = f
		}
	}
}

func sameConn(o *CTCP, f *facts.CTCPFlow) bool {
	for _, s := range o.Seen {
		if s == nil {
			continue
		}
		if s.Server.Port() != f.Server.Port() {
			return false
		}
		for i := range f.Segments {
			for k := range s.Segments {
				if f.Segments[i].Seq == s.Segments[k].Seq && f.Segments[i].FromClient == s.Segments[k].FromClient && f.Segments[i].Flags == s.Segments[k].Flags {
					return true
				}
				if k > 8 {
					break
				}
			}
			if i > 8 {
				break
			}
		}
	}
	return false
}

// Hex writes a SPI of ESP.
func Hex(spi uint32) string { return "0x" + strings.ToLower(fmt.Sprintf("%08x", spi)) }
