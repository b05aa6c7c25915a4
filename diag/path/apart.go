package path

import (
	"net/netip"
	"slices"
	"time"

	"vpnbot/diag/facts"
)

// lot is what one tunnel is built of.
type lot struct {
	ps     []pair
	caps   []*facts.Capture
	perCap []map[pair]bool
	own    []map[netip.Addr]bool
	quiet  []bool // captures without any tunnel
	idx    []index
	orig   []*facts.Capture // what caps are shares of; nil when they are whole

	// Of one of several peers behind an address: that address, this peer's ports there, how many there are.
	nat   netip.Addr
	ports []uint16
	peers int
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
			c.Folded, c.Negotiations, c.ESP, c.Keepalives, c.Garbage, c.ICMP = nil, nil, nil, nil, nil, nil
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
		n := &lot{ps: near, nat: l.natIn(h), peers: len(out) + 1}
		n.add(c, l, h, newIndex(c))
		if n.nat.IsValid() {
			ends := map[netip.AddrPort]bool{}
			for _, g := range c.Negotiations {
				for _, q := range g.Paths {
					for _, e := range []netip.AddrPort{q.Initiator, q.Responder} {
						if e.Addr() == n.nat {
							ends[e] = true
						}
					}
				}
			}
			n.ports = portsOf(ends)
		}
		out = append(out, n)
	}
	return out
}

func (l *lot) add(c *facts.Capture, from *lot, i int, x index) {
	l.caps = append(l.caps, c)
	o := from.caps[i]
	if from.orig != nil {
		o = from.orig[i]
	}
	l.orig = append(l.orig, o)
	l.perCap = append(l.perCap, from.perCap[i])
	l.own = append(l.own, from.own[i])
	l.quiet = append(l.quiet, from.quiet[i])
	l.idx = append(l.idx, x)
}

// peer is what one capture shows of one of several peers behind an address.
type peer struct {
	ends        map[netip.AddrPort]bool // its own addresses with ports
	first, last time.Time               // of what it sent
	negs        []*facts.Negotiation
	esp         []*facts.ESPFlow
}

func (p *peer) sent(first, last time.Time) {
	if p.first.IsZero() || first.Before(p.first) {
		p.first = first
	}
	if last.After(p.last) {
		p.last = last
	}
}

func (p *peer) shares(o *peer) bool {
	for e := range o.ends {
		if p.ends[e] {
			return true
		}
	}
	return false
}

func (p *peer) take(o *peer) {
	for e := range o.ends {
		p.ends[e] = true
	}
	if !o.first.IsZero() {
		p.sent(o.first, o.last)
	}
	p.negs, p.esp = append(p.negs, o.negs...), append(p.esp, o.esp...)
}

// maxPeers bounds the peers that are told apart behind one address.
const maxPeers = 64

// byPorts splits a lot in which a capture shows peers that send from several ports of one
// address at the same time: a NAT stands before them, and of some or all of them there is no
// capture of their own. The others' captures go with the peer whose cookies or SPIs they have.
func (l *lot) byPorts() []*lot {
	h := -1
	var peers []*peer
	var nat netip.Addr
	for i := range l.caps {
		ps, at := l.peersIn(i)
		switch {
		case len(ps) < 2:
		case h >= 0:
			return []*lot{l} // taken at two places that show all of them
		default:
			h, peers, nat = i, ps, at
		}
	}
	if h < 0 {
		return []*lot{l}
	}
	var near []pair
	for _, p := range l.ps {
		if l.perCap[h][p] {
			near = append(near, p)
		}
	}
	with := make([]int, len(l.caps)) // whose a capture is
	for i := range l.caps {
		with[i] = -1
		signs := l.signs(i)
		if i == h || len(signs) == 0 {
			continue
		}
		for k, p := range peers {
			if !p.has(signs) {
				continue
			}
			if with[i] >= 0 {
				return []*lot{l}
			}
			with[i] = k
		}
		if with[i] < 0 {
			return []*lot{l}
		}
	}
	var out []*lot
	for k, p := range peers {
		c := *l.caps[h]
		c.Folded, c.Negotiations, c.ESP, c.Keepalives, c.Garbage, c.ICMP = nil, p.negs, p.esp, nil, nil, nil
		mine := func(a, b netip.AddrPort) bool { return p.ends[a] || p.ends[b] }
		for _, q := range near {
			for _, f := range l.idx[h].esp[q] {
				if !f.Trusted && mine(f.Src, f.Dst) {
					c.ESP = append(c.ESP, f)
				}
			}
		}
		for _, k := range l.caps[h].Keepalives {
			if mine(k.Src, k.Dst) {
				c.Keepalives = append(c.Keepalives, k)
			}
		}
		for _, g := range l.caps[h].Garbage {
			if mine(g.Src, g.Dst) {
				c.Garbage = append(c.Garbage, g)
			}
		}
		for _, e := range l.caps[h].ICMP {
			if mine(e.Quoted.Src, e.Quoted.Dst) {
				c.ICMP = append(c.ICMP, e)
			}
		}
		n := &lot{ps: slices.Clone(near), nat: nat, ports: portsOf(p.ends), peers: len(peers)}
		for i := range l.caps {
			switch {
			case i == h:
				n.add(&c, l, i, newIndex(&c))
			case with[i] == k:
				n.add(l.caps[i], l, i, l.idx[i])
				for _, q := range l.ps {
					if l.perCap[i][q] && !slices.Contains(n.ps, q) {
						n.ps = append(n.ps, q)
					}
				}
			case with[i] < 0:
				n.add(l.caps[i], l, i, l.idx[i]) // it shows nothing of this address
			}
		}
		out = append(out, n)
	}
	return out
}

// peersIn tells the peers apart that a capture shows behind one address, nat. One peer whose
// NAT gave it another port, or which began anew, leaves its old port first: it stays one.
func (l *lot) peersIn(h int) (peers []*peer, nat netip.Addr) {
	if nat = l.natIn(h); !nat.IsValid() {
		return nil, nat
	}
	add := func(n *peer) bool {
		rest := peers[:0]
		for _, o := range peers {
			if o.shares(n) {
				o.take(n)
				n = o
				continue
			}
			rest = append(rest, o)
		}
		peers = append(rest, n)
		return len(peers) <= maxPeers
	}
	for _, p := range l.ps {
		for _, n := range l.idx[h].neg[p] {
			x := &peer{ends: map[netip.AddrPort]bool{}, negs: []*facts.Negotiation{n}}
			for i := range n.Messages {
				m := &n.Messages[i]
				for _, e := range []netip.AddrPort{m.Src, m.Dst} {
					if e.Addr() == nat {
						x.ends[e] = true
					}
				}
				if m.Src.Addr() == nat {
					x.sent(m.Time, m.Time)
				}
			}
			if !add(x) {
				return nil, nat
			}
		}
		for _, f := range l.idx[h].esp[p] {
			if !f.Trusted {
				continue
			}
			x := &peer{ends: map[netip.AddrPort]bool{f.Dst: true}, esp: []*facts.ESPFlow{f}}
			if f.Src.Addr() == nat {
				x.ends = map[netip.AddrPort]bool{f.Src: true}
				x.sent(f.First, f.Last)
			}
			if !add(x) {
				return nil, nat
			}
		}
	}
	// What did not send while another one of them did may be that one, begun anew.
	beside := func(a, b *peer) bool {
		return !a.first.IsZero() && !b.first.IsZero() && a.first.Before(b.last) && b.first.Before(a.last)
	}
	for i := 0; i < len(peers); i++ {
		var as []int
		for j := range peers {
			if j != i && !beside(peers[i], peers[j]) {
				as = append(as, j)
			}
		}
		if len(as) == 1 || len(as) > 1 && len(as) == len(peers)-1 && len(peers[i].negs) == 0 {
			peers[as[0]].take(peers[i])
			peers = slices.Delete(peers, i, i+1)
			i = -1
		}
	}
	return peers, nat
}

// natIn finds the address that many ports of a capture are of: the ends that peers talk to
// use few (500, 4500). The zero value when there is none, or ESP has no ports.
func (l *lot) natIn(h int) (nat netip.Addr) {
	ports := map[netip.Addr]map[uint16]bool{}
	use := func(as ...netip.AddrPort) {
		for _, a := range as {
			if ports[a.Addr()] == nil {
				ports[a.Addr()] = map[uint16]bool{}
			}
			ports[a.Addr()][a.Port()] = true
		}
	}
	for _, p := range l.ps {
		for _, n := range l.idx[h].neg[p] {
			if n.Transport == "ctcp" {
				return nat
			}
			use(n.Initiator, n.Responder)
			for _, q := range n.Paths {
				use(q.Initiator, q.Responder)
			}
		}
		for _, f := range l.idx[h].esp[p] {
			switch {
			case !f.Trusted:
			case !f.UDP:
				return nat
			default:
				use(f.Src, f.Dst)
			}
		}
	}
	var many []netip.Addr
	for a, ps := range ports {
		if len(ps) > 3 {
			many = append(many, a)
		}
	}
	if len(ports) != 2 || len(many) != 1 {
		return nat
	}
	return many[0]
}

// has tells whether a capture with these signs shows this peer.
func (p *peer) has(signs map[sign]bool) bool {
	return slices.ContainsFunc(p.negs, func(n *facts.Negotiation) bool { return n.InitSPI != 0 && signs[sign{cookie: n.InitSPI}] }) ||
		slices.ContainsFunc(p.esp, func(f *facts.ESPFlow) bool { return signs[sign{spi: f.SPI}] })
}

func portsOf(m map[netip.AddrPort]bool) (out []uint16) {
	for e := range m {
		out = append(out, e.Port())
	}
	slices.Sort(out)
	return out
}
