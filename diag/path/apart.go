package path

import (
	"net/netip"
	"slices"

	"vpnbot/diag/facts"
)

// lot is what one tunnel is built of.
type lot struct {
	ps     []pair
	caps   []*facts.Capture
	perCap []map[pair]bool
	own    []map[netip.Addr]bool
	idx    []index
}

// sign is what a packet of one tunnel has whatever a NAT does to it: a cookie or a SPI.
type sign struct {
	cookie uint64
	spi    uint32
}

// signs are those of a lot's capture.
func (l *lot) signs(i int) map[sign]bool {
	out := map[sign]bool{}
	for _, p := range l.ps {
		for _, n := range l.idx[i].neg[p] {
			if n.InitSPI != 0 {
				out[sign{cookie: n.InitSPI}] = true
			}
		}
		for _, f := range l.idx[i].esp[p] {
			if f.Trusted || !f.UDP {
				out[sign{spi: f.SPI}] = true
			}
		}
	}
	return out
}

func common(a, b map[sign]bool) bool {
	for s := range a {
		if b[s] {
			return true
		}
	}
	return false
}

// hub finds the capture that shows several peers under one address, each of which was
// captured under an address of its own, behind their NAT: it has signs in common with
// every other one, no pair of addresses, and the others have no sign in common.
func (l *lot) hub() (hub int, signs []map[sign]bool, ok bool) {
	var in []int
	signs = make([]map[sign]bool, len(l.caps))
	for i := range l.caps {
		if slices.ContainsFunc(l.ps, func(p pair) bool { return l.perCap[i][p] }) {
			in = append(in, i)
			signs[i] = l.signs(i)
		}
	}
	if len(in) < 3 {
		return 0, nil, false
	}
	// The captures behind the NAT are told apart at once or never: a sign of two of them ends it.
	owners := map[sign]int{}
	for _, i := range in {
		for s := range signs[i] {
			owners[s]++
		}
	}
	for _, h := range in {
		ok := true
		for _, i := range in {
			if i == h {
				continue
			}
			if !common(signs[i], signs[h]) || slices.ContainsFunc(l.ps, func(p pair) bool { return l.perCap[i][p] && l.perCap[h][p] }) {
				ok = false
				break
			}
			for s := range signs[i] {
				if n := owners[s]; n > 2 || n == 2 && !signs[h][s] {
					ok = false
				}
			}
		}
		if ok {
			return h, signs, true
		}
	}
	return 0, nil, false
}

// apart splits a lot in which several peers share one address into one for each: without
// it the ESP of one would be looked for in the capture of another. Cookies and SPIs say
// whose a row is, else the ports of the rows that they name. What nobody's capture names
// stays together, as the hub alone shows it.
func (l *lot) apart() []*lot {
	h, signs, ok := l.hub()
	if !ok {
		return []*lot{l}
	}
	type ports [2]netip.AddrPort
	key := func(a, b netip.AddrPort) ports {
		if b.Compare(a) < 0 {
			a, b = b, a
		}
		return ports{a, b}
	}
	owner := map[sign]int{}
	for i := range l.caps {
		if i != h {
			for s := range signs[i] {
				owner[s] = i
			}
		}
	}
	const nobody = -1
	byPorts := map[ports]int{}
	var negs []*facts.Negotiation
	var esp []*facts.ESPFlow
	var near []pair
	for _, p := range l.ps {
		if !l.perCap[h][p] {
			continue
		}
		near = append(near, p)
		for _, n := range l.idx[h].neg[p] {
			negs = append(negs, n)
			if i, ok := owner[sign{cookie: n.InitSPI}]; ok && n.InitSPI != 0 {
				for _, q := range n.Paths {
					byPorts[key(q.Initiator, q.Responder)] = i
				}
			}
		}
		for _, f := range l.idx[h].esp[p] {
			esp = append(esp, f)
			if i, ok := owner[sign{spi: f.SPI}]; ok && f.UDP {
				byPorts[key(f.Src, f.Dst)] = i
			}
		}
	}
	of := func(s sign, ks ...ports) int {
		if i, ok := owner[s]; ok && s != (sign{}) {
			return i
		}
		for _, k := range ks {
			if i, ok := byPorts[k]; ok {
				return i
			}
		}
		return nobody
	}
	part := map[int]*facts.Capture{}
	take := func(i int) *facts.Capture {
		if part[i] == nil {
			c := *l.caps[h]
			c.Negotiations, c.ESP, c.Keepalives, c.Garbage, c.ICMP = nil, nil, nil, nil, nil
			part[i] = &c
		}
		return part[i]
	}
	for _, n := range negs {
		var ks []ports
		for _, q := range n.Paths {
			ks = append(ks, key(q.Initiator, q.Responder))
		}
		c := take(of(sign{cookie: n.InitSPI}, ks...))
		c.Negotiations = append(c.Negotiations, n)
	}
	for _, f := range esp {
		c := take(of(sign{spi: f.SPI}, key(f.Src, f.Dst)))
		c.ESP = append(c.ESP, f)
	}
	for i, c := range part {
		for _, k := range l.caps[h].Keepalives {
			if of(sign{}, key(k.Src, k.Dst)) == i {
				c.Keepalives = append(c.Keepalives, k)
			}
		}
		for _, g := range l.caps[h].Garbage {
			if of(sign{}, key(g.Src, g.Dst)) == i {
				c.Garbage = append(c.Garbage, g)
			}
		}
		for _, e := range l.caps[h].ICMP {
			if j := of(sign{cookie: e.Quoted.InitSPI}, key(e.Quoted.Src, e.Quoted.Dst)); j == i || j == nobody {
				c.ICMP = append(c.ICMP, e)
			}
		}
	}
	var out []*lot
	for i := range l.caps {
		c := part[i]
		if c == nil || i == h {
			continue
		}
		n := &lot{ps: slices.Clone(near)}
		for _, p := range l.ps {
			if l.perCap[i][p] {
				n.ps = append(n.ps, p)
			}
		}
		for _, k := range []int{min(i, h), max(i, h)} {
			if k == h {
				n.add(c, l, k, newIndex(c))
			} else {
				n.add(l.caps[k], l, k, l.idx[k])
			}
		}
		out = append(out, n)
	}
	if c := part[nobody]; c != nil {
		n := &lot{ps: near}
		n.add(c, l, h, newIndex(c))
		out = append(out, n)
	}
	return out
}

func (l *lot) add(c *facts.Capture, from *lot, i int, x index) {
	l.caps = append(l.caps, c)
	l.perCap = append(l.perCap, from.perCap[i])
	l.own = append(l.own, from.own[i])
	l.idx = append(l.idx, x)
}
