package conditions

import (
	"fmt"
	"slices"
	"time"

	"vpnbot/diag/facts"
)

// sizeSplit is a direction in which large packets are lost and small ones are not.
type sizeSplit struct {
	passed, lost int // bytes
	df, frag     bool
	lostPkts     []wpkt
	passPkt      *wpkt
}

// bySize finds it with both captures.
func (s *story) bySize(from int) *sizeSplit {
	if !s.both() || !s.up {
		return nil
	}
	type tally struct{ sent, got, frag, df int }
	by := map[int]*tally{}
	var sizes []int
	for _, z := range s.w.Sizes(from) {
		if by[z.Length] == nil {
			by[z.Length] = &tally{}
			sizes = append(sizes, z.Length)
		}
		t := by[z.Length]
		t.sent += z.Sent
		t.got += z.Arrived
		if z.Frag {
			t.frag += z.Sent - z.Arrived
		}
		if z.DF {
			t.df++
		}
	}
	slices.Sort(sizes)
	// From the top: sizes of which nothing arrived.
	lost, least, df, frag := 0, 0, false, false
	i := len(sizes) - 1
	for ; i >= 0; i-- {
		t := by[sizes[i]]
		if t.got > 0 {
			break
		}
		lost += t.sent
		least = sizes[i]
		df = df || t.df > 0
		frag = frag || t.frag > 0
	}
	if i < 0 || lost < 2 || least < 300 {
		return nil
	}
	small, smallGot := 0, 0
	for _, z := range sizes[:i+1] {
		small += by[z].sent
		smallGot += by[z].got
	}
	if smallGot*10 < small*7 || sizes[i] >= least {
		return nil
	}
	sp := &sizeSplit{passed: sizes[i], lost: least, df: df, frag: frag}
	for _, p := range s.log() {
		if p.from != from {
			continue
		}
		if p.size >= least && p.arrived == 0 {
			sp.lostPkts = append(sp.lostPkts, p)
		}
		if p.size == sizes[i] && p.arrived == 1 {
			q := p
			sp.passPkt = &q
		}
	}
	// Lost at the end of the capture only, with nothing small after: time, not size.
	if len(sp.lostPkts) > 0 {
		first := sp.lostPkts[0].at
		after := false
		for _, p := range s.log() {
			after = after || p.from == from && p.arrived == 1 && p.at.After(first)
		}
		if !after && least < 1000 {
			return nil
		}
	}
	return sp
}

// answersBySize finds it at the sender alone: small packets are answered, large ones never.
func (s *story) answersBySize(from int) *sizeSplit {
	if s.both() || !s.at(from) || !s.up {
		return nil
	}
	log := s.log()
	var bigs []wpkt
	small, smallAns, bigAns, bigN, burstAns := 0, 0, 0, 0, 0
	maxSmall := 0
	var pass *wpkt
	for i := range log {
		p := &log[i]
		if p.from != from || !p.esp {
			continue
		}
		if i > 0 && log[i-1].from != from && log[i-1].esp && p.at.Sub(log[i-1].at) < 60*time.Millisecond {
			continue // an answer asks for none
		}
		// Packets that leave as one burst are pieces of one inner packet, or of one window of
		// TCP: what answers the last of them answers all.
		ans, burst, last := false, false, p.at
		for k := i + 1; k < len(log) && log[k].at.Sub(p.at) < 1200*time.Millisecond; k++ {
			if log[k].from == from {
				if !log[k].esp || log[k].at.Sub(last) > 5*time.Millisecond {
					break
				}
				burst, last = true, log[k].at
				continue
			}
			if log[k].esp {
				ans = true
				break
			}
		}
		if p.size >= 1000 {
			bigN++
			switch {
			case ans && burst:
				burstAns++
			case ans:
				bigAns++
			}
			if !ans {
				bigs = append(bigs, *p)
			}
			continue
		}
		small++
		if ans {
			smallAns++
			if p.size > maxSmall {
				maxSmall, pass = p.size, p
			}
		}
	}
	if len(bigs) < 2 || bigAns > 0 || burstAns*2 >= bigN || smallAns < 2 || smallAns*10 < small*6 {
		return nil
	}
	sp := &sizeSplit{passed: maxSmall, lost: bigs[0].size, lostPkts: bigs, passPkt: pass}
	for _, b := range bigs {
		sp.lost = min(sp.lost, b.size)
		sp.df = sp.df || b.df
		sp.frag = sp.frag || b.frag
	}
	return sp
}

// espBlackHole is the path MTU condition seen in the traffic of a tunnel that is up.
func espBlackHole(t *Tunnel) []Match {
	s := t.reading()
	if s == nil || !s.w.Comparable {
		return nil
	}
	for from := range 2 {
		sp, w := s.bySize(from), 5.4
		if sp == nil {
			sp, w = s.answersBySize(from), 4
		}
		if sp == nil {
			continue
		}
		if sp.frag && !sp.df || sp.lost < 1000 {
			continue
		}
		if len(s.icmpAbout(from, 3, 4)) > 0 {
			w -= 3.5
		}
		how := "did not arrive"
		if !s.both() {
			how = "was not answered"
		}
		cs := []Clue{For(w, fmt.Sprintf("%d packets of %d bytes and more from %s: %s", len(sp.lostPkts), sp.lost, s.name(from), how), placesOfPkts(sp.lostPkts, 6, how)...)}
		if sp.passPkt != nil {
			cs = append(cs, For(0.01, fmt.Sprintf("smaller ones pass: %d bytes", sp.passed), sp.passPkt.place()))
		}
		return []Match{{Key: "esp", Clues: cs,
			Title:       fmt.Sprintf("Large packets from %s vanish in the tunnel's path (path MTU black hole)", s.name(from)),
			Explanation: fmt.Sprintf("The tunnel is up and packets of up to %d bytes pass; those of %d bytes and more from %s never get through, and no ICMP \"fragmentation needed\" comes back. Logins and small pages work, transfers hang.", sp.passed, sp.lost, s.name(from)),
			Actions:     s.pmtuActions(from),
			Next:        s.next("shows which sizes arrive")}}
	}
	// Only the receiver was captured: a run of sequence numbers is missing and nothing large ever arrived.
	for from := range 2 {
		if s.at(from) || !s.at(1-from) || !s.up {
			continue
		}
		for _, f := range s.esp[from].flows {
			x := f.Seen[1-from]
			if x == nil || x.Sampled || len(x.Sample) < 6 || len(x.Ranges) != 2 || x.Missing < 4 {
				continue
			}
			most := 0
			for _, p := range x.Sample {
				most = max(most, p.Length)
			}
			if most >= 600 {
				continue
			}
			var a, b *facts.ESPPacket
			for i := range x.Sample {
				if x.Sample[i].Seq == x.Ranges[0].To {
					a = &x.Sample[i]
				}
				if x.Sample[i].Seq == x.Ranges[1].From {
					b = &x.Sample[i]
				}
			}
			if a == nil || b == nil {
				continue
			}
			v := s.w.Ends[1-from].View
			if s.deafBetween(1-from, a.Time.Add(v.Offset), b.Time.Add(v.Offset)) {
				continue // nothing came in that time, whatever its size
			}
			return []Match{{Key: "esp", Clues: []Clue{For(2.8, fmt.Sprintf("%d sequence numbers in a row never arrived, everything before and after did, and no packet over %d bytes ever came", x.Missing, most),
				espPlace(v, x, a, "the last before the gap"), espPlace(v, x, b, "the first after it"))},
				Title:       fmt.Sprintf("Large packets from %s seem to vanish in the tunnel's path", s.name(from)),
				Explanation: fmt.Sprintf("%s sent %d packets that never arrived here, one after the other, while those before and after all did; only packets of up to %d bytes arrive at all. Loss by chance is spread out: this is what large packets do in a path MTU black hole. The sender's capture would show their size.", s.name(from), x.Missing, most),
				Actions:     s.pmtuActions(from),
				Next:        s.next("shows the size of the packets that did not arrive")}}
		}
	}
	return nil
}

// deafBetween tells whether an end asked within a time, with small IKE messages, and heard
// nothing at all before that time was over.
func (s *story) deafBetween(end int, from, to time.Time) bool {
	asked := false
	for _, p := range s.log() {
		if !p.at.After(from) || !p.at.Before(to) {
			continue
		}
		if p.from != end {
			return false
		}
		asked = asked || p.probe
	}
	return asked
}
