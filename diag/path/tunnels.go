package path

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"time"

	"vpnbot/diag/facts"
)

type pair struct{ lo, hi netip.Addr }

func mkPair(a, b netip.Addr) pair {
	if b.Less(a) {
		a, b = b, a
	}
	return pair{a, b}
}

// maxPairs bounds the pairs of addresses of one run; the rest of a scanned or flooded capture
// is left out.
const maxPairs = 400000

// maxJoined bounds the pairs of one tunnel. A peer that roams has a few addresses; who has more
// plays with cookies and SPIs, and to compare each with each would take for ever.
const maxJoined = 256

// groups joins pairs of addresses that are one tunnel. Pairs go by their number: there may be
// a hundred thousand.
type groups struct {
	id     map[pair]int32
	pairs  []pair
	parent []int32
	size   []int32 // of what a root has under it
	order  []int32 // those that a tunnel has, as they appeared
	real   []bool  // which these are
	in     []set   // of which captures
}

// set is a set of small numbers.
type set []uint64

func (s set) has(i int32) bool { return int(i>>6) < len(s) && s[i>>6]&(1<<(i&63)) != 0 }

func (s *set) add(i int32) {
	for int(i>>6) >= len(*s) {
		*s = append(*s, 0)
	}
	(*s)[i>>6] |= 1 << (i & 63)
}

// number is the pair's, -1 when there are too many.
func (g *groups) number(p pair) int32 {
	if i, ok := g.id[p]; ok {
		return i
	}
	if len(g.pairs) >= maxPairs {
		return -1
	}
	i := int32(len(g.pairs))
	g.id[p] = i
	g.pairs, g.parent, g.size, g.real = append(g.pairs, p), append(g.parent, i), append(g.size, 1), append(g.real, false)
	return i
}

// use says that a capture has a tunnel between two addresses.
func (g *groups) use(capture int, a, b netip.Addr) int32 {
	i := g.number(mkPair(a, b))
	if i >= 0 {
		if !g.real[i] {
			g.real[i] = true
			g.order = append(g.order, i)
		}
		g.in[capture].add(i)
	}
	return i
}

func (g *groups) find(i int32) int32 {
	for g.parent[i] != i {
		g.parent[i] = g.parent[g.parent[i]]
		i = g.parent[i]
	}
	return i
}

func (g *groups) join(a, b int32) {
	if a < 0 || b < 0 {
		return
	}
	if ra, rb := g.find(a), g.find(b); ra != rb && g.size[ra]+g.size[rb] <= maxJoined {
		g.parent[rb] = ra
		g.size[ra] += g.size[rb]
	}
}

// of lists the pairs of one capture.
func (g *groups) of(capture int) (out []pair) {
	for _, i := range g.order {
		if g.in[capture].has(i) {
			out = append(out, g.pairs[i])
		}
	}
	return out
}

// rows finds the negotiations or the flows of a pair by its number.
type rows struct {
	list  []int32 // sorted by pair
	start []int32
}

// byPair makes the table from each row's pair, -1 for none.
func byPair(of []int32, pairs int) rows {
	r := rows{start: make([]int32, pairs+1)}
	n := 0
	for _, p := range of {
		if p >= 0 {
			r.start[p+1]++
			n++
		}
	}
	for i := range pairs {
		r.start[i+1] += r.start[i]
	}
	r.list = make([]int32, n)
	at := slices.Clone(r.start)
	for i, p := range of {
		if p >= 0 {
			r.list[at[p]] = int32(i)
			at[p]++
		}
	}
	return r
}

func (r rows) of(pair int32) []int32 { return r.list[r.start[pair]:r.start[pair+1]] }

// Tunnels splits captures into tunnels and compares what the captures show of each.
func Tunnels(caps []*facts.Capture) []*Wire { return slices.Collect(Each(caps)) }

// Each splits captures into tunnels (a pair of ends under all their addresses) and compares
// what the captures show of each. A tunnel is made when its turn comes, so that of thousands
// only the one that is looked at takes room. Captures in which there is no tunnel at all come
// as Wires without Attempts, one for each.
func Each(caps []*facts.Capture) iter.Seq[*Wire] {
	return func(yield func(*Wire) bool) { each(caps, yield) }
}

func each(caps []*facts.Capture, yield func(*Wire) bool) {
	g := &groups{id: map[pair]int32{}, in: make([]set, len(caps))}
	cookie := map[uint64]int32{}
	spi := map[uint32]int32{}
	negOf, espOf := make([][]int32, len(caps)), make([][]int32, len(caps))
	away := make([]distance, len(caps))
	for i, c := range caps {
		away[i] = distance{map[netip.Addr]int{}, map[netip.Addr]int{}}
		for _, n := range c.EachNegotiation() {
			p := g.use(i, n.Initiator.Addr(), n.Responder.Addr())
			negOf[i] = append(negOf[i], p)
			away[i].note(n)
			for _, q := range n.Paths {
				g.join(p, g.use(i, q.Initiator.Addr(), q.Responder.Addr()))
			}
			if n.InitSPI == 0 || p < 0 {
				continue
			}
			if q, ok := cookie[n.InitSPI]; ok {
				g.join(q, p)
			} else {
				cookie[n.InitSPI] = p
			}
		}
		for _, f := range c.EachESP() {
			if !f.Trusted && f.UDP {
				espOf[i] = append(espOf[i], g.number(mkPair(f.Src.Addr(), f.Dst.Addr())))
				continue
			}
			p := g.use(i, f.Src.Addr(), f.Dst.Addr())
			espOf[i] = append(espOf[i], p)
			if p < 0 {
				continue
			}
			if q, ok := spi[f.SPI]; ok && q != p && shareAddr(g.pairs[q], g.pairs[p]) {
				g.join(q, p)
			} else if !ok {
				spi[f.SPI] = p
			}
		}
		meant := ctcpMeant(c)
		for _, f := range c.CTCP {
			if meant(f) {
				g.use(i, f.Client.Addr(), f.Server.Addr())
			}
		}
	}
	// ICMP errors about IKE prove that some was sent; they make a tunnel when nothing else does.
	for i, c := range caps {
		for k := range c.ICMP {
			q := &c.ICMP[k].Quoted
			if q.IKE && q.Src.IsValid() && q.Dst.IsValid() {
				if _, ok := cookie[q.InitSPI]; ok {
					continue
				}
				if p, ok := g.id[mkPair(q.Src.Addr(), q.Dst.Addr())]; !ok || !g.real[p] {
					g.use(i, q.Src.Addr(), q.Dst.Addr())
				}
			}
		}
	}
	cookie, spi = nil, nil
	joinNAT(g, caps)

	rootOf := make([]int32, len(g.order)) // by place in g.order: its root's in roots
	var roots []int32
	at := map[int32]int32{}
	for i, p := range g.order {
		r := g.find(p)
		k, ok := at[r]
		if !ok {
			k = int32(len(roots))
			at[r] = k
			roots = append(roots, r)
		}
		rootOf[i] = k
	}
	at = nil
	ofRoot := byPair(rootOf, len(roots))
	own := make([]map[netip.Addr]bool, len(caps))
	idx := make([]index, len(caps))
	neg, esp := make([]rows, len(caps)), make([]rows, len(caps))
	quiet := make([]bool, len(caps))
	for i, c := range caps {
		ps := g.of(i)
		quiet[i] = len(ps) == 0
		own[i] = ownAddrs(c, &away[i], ps)
		away[i] = distance{}
		idx[i] = newTables(c)
		neg[i], esp[i] = byPair(negOf[i], len(g.pairs)), byPair(espOf[i], len(g.pairs))
		negOf[i], espOf[i] = nil, nil
	}
	used := make([]bool, len(caps))
	for k := range roots {
		whole := &lot{caps: caps, own: own, quiet: quiet, idx: slices.Clone(idx), perCap: make([]map[pair]bool, len(caps))}
		for _, o := range ofRoot.of(int32(k)) {
			p := g.order[o]
			whole.ps = append(whole.ps, g.pairs[p])
			for i, c := range caps {
				if g.in[i].has(p) {
					if whole.perCap[i] == nil {
						whole.perCap[i] = map[pair]bool{}
					}
					whole.perCap[i][g.pairs[p]] = true
				}
				whole.idx[i].open(c, g.pairs[p], neg[i].of(p), esp[i].of(p))
			}
		}
		var lots []*lot
		for _, l := range whole.apart() {
			lots = append(lots, l.byPorts()...)
		}
		for _, l := range lots {
			w := build(l, max(len(roots), len(lots)))
			if w == nil {
				continue
			}
			for _, v := range w.Views {
				for i, c := range caps {
					if c.Source == v.Capture.Source && c.Name == v.Capture.Name {
						used[i] = true
					}
				}
			}
			if !yield(w) {
				return
			}
		}
	}
	for i, c := range caps {
		if used[i] {
			continue
		}
		w := &Wire{Views: []*View{{Capture: c, End: -1}}, Comparable: true}
		w.Views[0].Hosts = c.Hosts
		w.Views[0].Garbage = c.Garbage
		w.Addrs = append(w.Addrs, c.Own...)
		if len(w.Addrs) > 1 {
			w.Addrs = w.Addrs[:1]
		}
		if !yield(w) {
			return
		}
	}
}

// ctcpMeant tells of a TCP connection whether it can be IPsec over TCP. One that never carried
// any is known by its port alone, which others use too: then its client speaks IKE or ESP to
// nobody, does with the server nothing else that a VPN client would not do, and beside other
// tunnels it tries more than once, as a scanner does not.
func ctcpMeant(c *facts.Capture) func(f *facts.CTCPFlow) bool {
	if !slices.ContainsFunc(c.CTCP, func(f *facts.CTCPFlow) bool { return !f.Content }) {
		return func(*facts.CTCPFlow) bool { return true }
	}
	vpn, other, tries := map[netip.Addr]bool{}, map[pair]bool{}, map[pair]int{}
	for _, n := range c.EachNegotiation() {
		vpn[n.Initiator.Addr()], vpn[n.Responder.Addr()] = true, true
	}
	for _, f := range c.EachESP() {
		if f.Trusted {
			vpn[f.Src.Addr()], vpn[f.Dst.Addr()] = true, true
		}
	}
	for _, h := range c.Hosts {
		if slices.ContainsFunc(h.Protocols, func(p string) bool { return p != "icmp" && p != "tcp/443" }) {
			other[mkPair(h.Src, h.Dst)] = true
		}
	}
	for _, f := range c.CTCP {
		tries[mkPair(f.Client.Addr(), f.Server.Addr())] += max(1, f.SYNs)
	}
	return func(f *facts.CTCPFlow) bool {
		p := mkPair(f.Client.Addr(), f.Server.Addr())
		return f.Content || !vpn[f.Client.Addr()] && !other[p] && (len(vpn) == 0 || tries[p] > 1)
	}
}

func shareAddr(a, b pair) bool {
	return a.lo == b.lo || a.lo == b.hi || a.hi == b.lo || a.hi == b.hi
}

// joinNAT joins the only tunnel of one capture with the only tunnel of another when they
// share an address and the other one is private on one side: the same tunnel before and
// after a NAT, with no packet in common.
func joinNAT(g *groups, caps []*facts.Capture) {
	if len(caps) != 2 {
		return
	}
	root := func(i int) (only int32, ok bool) {
		for _, p := range g.order {
			if !g.in[i].has(p) {
				continue
			}
			r := g.find(p)
			if ok && r != only {
				return r, false
			}
			only, ok = r, true
		}
		return only, ok
	}
	a, one := root(0)
	b, two := root(1)
	if !one || !two || a == b || !shareAddr(g.pairs[a], g.pairs[b]) {
		return
	}
	private := func(i int32) bool { return g.pairs[i].lo.IsPrivate() || g.pairs[i].hi.IsPrivate() }
	if private(a) != private(b) {
		g.join(a, b)
	}
}

// initialTTL is the least usual initial TTL that is not below ttl.
func initialTTL(ttl uint8) int {
	for _, v := range []int{32, 64, 128} {
		if int(ttl) <= v {
			return v
		}
	}
	return 255
}

// hops says how many routers lie between the sender of a packet and the capture.
func hops(ttl uint8) int {
	if ttl == 0 {
		return 0
	}
	return initialTTL(ttl) - int(ttl)
}

// distance counts the messages of each sender that no router has touched yet, and the others.
type distance struct{ near, far map[netip.Addr]int }

func (d *distance) note(n *facts.Negotiation) {
	for i := range n.Messages {
		m := &n.Messages[i]
		switch {
		case m.TTL == 0:
		case hops(m.TTL) == 0:
			d.near[m.Src.Addr()]++
		default:
			d.far[m.Src.Addr()]++
		}
	}
}

// ownAddrs are the addresses whose packets left at this capture point: given, or told by
// a TTL that no router has touched while the peer's was, or common to all its tunnels.
func ownAddrs(c *facts.Capture, d *distance, pairs []pair) map[netip.Addr]bool {
	own := map[netip.Addr]bool{}
	for _, a := range c.Own {
		own[a] = true
	}
	if len(own) > 0 {
		return own
	}
	near, far := d.near, d.far
	// Its peers must be further away, or silent.
	crowded := map[netip.Addr]bool{}
	for _, p := range pairs {
		crowded[p.lo] = crowded[p.lo] || near[p.hi] > far[p.hi]
		crowded[p.hi] = crowded[p.hi] || near[p.lo] > far[p.lo]
	}
	for a, n := range near {
		if far[a]*4 <= n && !crowded[a] {
			own[a] = true
		}
	}
	if len(own) > 0 || len(pairs) < 2 {
		return own
	}
	var common map[netip.Addr]bool
	for _, p := range pairs {
		if common == nil {
			common = map[netip.Addr]bool{p.lo: true, p.hi: true}
			continue
		}
		for a := range common {
			if a != p.lo && a != p.hi {
				delete(common, a)
			}
		}
	}
	if len(common) == 1 {
		return common
	}
	return own
}

// index finds a capture's rows by pair of addresses without walking all of them for every tunnel.
type index struct {
	neg  map[pair][]*facts.Negotiation
	esp  map[pair][]*facts.ESPFlow
	ctcp map[pair][]*facts.CTCPFlow
	ka   map[pair][]int
	icmp map[pair][]int
	orph map[pair][]int
	garb map[pair][]int
	host map[netip.Addr][]int
}

// newIndex is of a capture that is a share of another, and not folded.
func newIndex(c *facts.Capture) index {
	x := newTables(c)
	x.neg, x.esp = map[pair][]*facts.Negotiation{}, map[pair][]*facts.ESPFlow{}
	for _, n := range c.Negotiations {
		p := mkPair(n.Initiator.Addr(), n.Responder.Addr())
		x.neg[p] = append(x.neg[p], n)
	}
	for _, f := range c.ESP {
		p := mkPair(f.Src.Addr(), f.Dst.Addr())
		x.esp[p] = append(x.esp[p], f)
	}
	return x
}

// open takes the rows of a pair into the index.
func (x *index) open(c *facts.Capture, p pair, negs, flows []int32) {
	if len(negs) > 0 {
		if x.neg == nil {
			x.neg = map[pair][]*facts.Negotiation{}
		}
		for _, i := range negs {
			x.neg[p] = append(x.neg[p], c.NegotiationAt(int(i)))
		}
	}
	if len(flows) > 0 {
		if x.esp == nil {
			x.esp = map[pair][]*facts.ESPFlow{}
		}
		for _, i := range flows {
			x.esp[p] = append(x.esp[p], c.ESPAt(int(i)))
		}
	}
}

// newTables is an index without the negotiations and the ESP.
func newTables(c *facts.Capture) index {
	x := index{
		ctcp: map[pair][]*facts.CTCPFlow{},
		ka:   map[pair][]int{}, icmp: map[pair][]int{}, orph: map[pair][]int{}, garb: map[pair][]int{}, host: map[netip.Addr][]int{},
	}
	meant := ctcpMeant(c)
	for _, f := range c.CTCP {
		if p := mkPair(f.Client.Addr(), f.Server.Addr()); meant(f) {
			x.ctcp[p] = append(x.ctcp[p], f)
		}
	}
	for i, k := range c.Keepalives {
		p := mkPair(k.Src.Addr(), k.Dst.Addr())
		x.ka[p] = append(x.ka[p], i)
	}
	for i := range c.ICMP {
		q := &c.ICMP[i].Quoted
		p := mkPair(q.Src.Addr(), q.Dst.Addr())
		x.icmp[p] = append(x.icmp[p], i)
	}
	for i := range c.Orphans {
		p := mkPair(c.Orphans[i].Src, c.Orphans[i].Dst)
		x.orph[p] = append(x.orph[p], i)
	}
	for i, k := range c.Garbage {
		p := mkPair(k.Src.Addr(), k.Dst.Addr())
		x.garb[p] = append(x.garb[p], i)
	}
	for i, h := range c.Hosts {
		x.host[h.Src] = append(x.host[h.Src], i)
		if h.Dst != h.Src {
			x.host[h.Dst] = append(x.host[h.Dst], i)
		}
	}
	return x
}

// build makes the Wire of one lot; tunnels is how many lots there are.
func build(l *lot, tunnels int) *Wire {
	ps, caps, perCap, own, idx := l.ps, l.caps, l.perCap, l.own, l.idx
	w := &Wire{Comparable: true}
	inGroup := func(i int) bool {
		return slices.ContainsFunc(ps, func(p pair) bool { return perCap[i][p] })
	}
	// Who is who: the initiator of the newest negotiation is end 0. A rekey or a new
	// attempt may come from the other side; addresses keep their end.
	var newest *facts.Negotiation
	var at time.Time
	for i := range caps {
		if !inGroup(i) {
			continue
		}
		for _, p := range ps {
			for _, n := range idx[i].neg[p] {
				t := time.Time{}
				if len(n.Messages) > 0 {
					t = n.Messages[0].Time
				}
				if newest == nil || t.After(at) && n.RoleKnown || n.RoleKnown && !newest.RoleKnown {
					newest, at = n, t
				}
			}
		}
	}
	var a, b netip.Addr
	switch {
	case newest != nil:
		a, b = newest.Initiator.Addr(), newest.Responder.Addr()
	default:
		a, b = ps[0].lo, ps[0].hi
		for i := range caps {
			for _, p := range ps {
				for _, f := range idx[i].ctcp[p] {
					a, b = f.Client.Addr(), f.Server.Addr()
				}
				for _, k := range idx[i].icmp[p] {
					if q := &caps[i].ICMP[k].Quoted; q.IKE && newest == nil {
						a, b = q.Src.Addr(), q.Dst.Addr()
					}
				}
			}
		}
	}
	side := map[netip.Addr]int{a: 0, b: 1}
	w.Ends[0].Addrs, w.Ends[1].Addrs = []netip.Addr{a}, []netip.Addr{b}
	put := func(x netip.Addr, e int) bool {
		if _, ok := side[x]; ok {
			return false
		}
		side[x] = e
		w.Ends[e].Addrs = append(w.Ends[e].Addrs, x)
		return true
	}
	for again := true; again; {
		again = false
		for i := range caps {
			for _, p := range ps {
				for _, n := range idx[i].neg[p] {
					for _, q := range append([]facts.PathUse{{Initiator: n.Initiator, Responder: n.Responder}}, n.Paths...) {
						x, y := q.Initiator.Addr(), q.Responder.Addr()
						if e, ok := side[x]; ok {
							again = put(y, 1-e) || again
						} else if e, ok := side[y]; ok {
							again = put(x, 1-e) || again
						}
					}
				}
			}
		}
		for _, p := range ps {
			if e, ok := side[p.lo]; ok {
				again = put(p.hi, 1-e) || again
			} else if e, ok := side[p.hi]; ok {
				again = put(p.lo, 1-e) || again
			}
		}
	}
	// NAT: the same initiator cookie ties addresses of one end together, also when the
	// pairs share no address.
	byCookie := map[uint64]*facts.Negotiation{}
	for i := range caps {
		for _, p := range ps {
			for _, n := range idx[i].neg[p] {
				o := byCookie[n.InitSPI]
				if o == nil {
					byCookie[n.InitSPI] = n
					continue
				}
				if e, ok := side[o.Initiator.Addr()]; ok {
					put(n.Initiator.Addr(), e)
					put(n.Responder.Addr(), 1-e)
				} else if e, ok := side[n.Initiator.Addr()]; ok { // a NAT before either end: no address is the same
					put(o.Initiator.Addr(), e)
					put(o.Responder.Addr(), 1-e)
				}
			}
		}
	}

	for i, c := range caps {
		relevant := inGroup(i)
		if !relevant {
			// A capture of one of the ends in which nothing of this tunnel is: that is
			// evidence too. So is the other of just two captures, when it has no tunnel at all.
			for x := range side {
				if own[i][x] && !x.IsPrivate() {
					relevant = true
				}
			}
			if len(caps) == 2 && tunnels == 1 && l.quiet[i] {
				relevant = true
			}
		}
		if relevant {
			w.Views = append(w.Views, newView(c, idx[i], ps, side, w))
		}
	}
	if len(w.Views) == 0 {
		return nil
	}
	w.placeViews(own, caps)
	w.sync()
	w.windows()
	w.merge()
	w.flows()
	w.errors()
	w.connections()
	w.comparable()
	w.name()
	for _, v := range w.Views {
		if i := slices.Index(caps, v.Capture); l.orig != nil {
			v.Capture = l.orig[i]
		}
	}
	if e := w.EndOf(l.nat); l.peers > 1 && e >= 0 {
		w.Ends[e].Ports, w.Ends[e].Peers = l.ports, l.peers
	}
	return w
}

func newView(c *facts.Capture, x index, ps []pair, side map[netip.Addr]int, w *Wire) *View {
	v := &View{Capture: c, End: -1}
	hosts := map[int]bool{}
	for _, p := range ps {
		v.Negotiations = append(v.Negotiations, x.neg[p]...)
		v.ESP = append(v.ESP, x.esp[p]...)
		v.CTCP = append(v.CTCP, x.ctcp[p]...)
		for _, i := range x.ka[p] {
			v.Keepalives = append(v.Keepalives, c.Keepalives[i])
		}
		for _, i := range x.orph[p] {
			v.Orphans = append(v.Orphans, c.Orphans[i])
		}
		for _, i := range x.garb[p] {
			v.Garbage = append(v.Garbage, c.Garbage[i])
		}
		for _, i := range x.icmp[p] {
			e := &c.ICMP[i]
			about := -1
			if s, ok := side[e.Quoted.Src.Addr()]; ok {
				about = s
			}
			w.ICMP = append(w.ICMP, ICMP{ICMPError: e, View: v, About: about})
		}
	}
	for a := range side {
		for _, i := range x.host[a] {
			hosts[i] = true
		}
	}
	for i := range hosts {
		v.Hosts = append(v.Hosts, c.Hosts[i])
	}
	slices.SortFunc(v.Hosts, func(a, b facts.HostTraffic) int { return cmp.Compare(a.FirstPacket, b.FirstPacket) })
	slices.SortStableFunc(v.Negotiations, func(a, b *facts.Negotiation) int {
		if len(a.Messages) == 0 || len(b.Messages) == 0 {
			return 0
		}
		return a.Messages[0].Time.Compare(b.Messages[0].Time)
	})
	return v
}

// placeViews finds which end each capture was taken at.
func (w *Wire) placeViews(own []map[netip.Addr]bool, caps []*facts.Capture) {
	score := func(v *View) [2]int {
		var s [2]int
		for i, c := range caps {
			if c != v.Capture {
				continue
			}
			for e := range w.Ends {
				for _, a := range w.Ends[e].Addrs {
					if own[i][a] && w.EndOf(a) == e {
						s[e] += 4
					}
				}
			}
		}
		// A private address is seen on the near side of its NAT only.
		for e := range w.Ends {
			for _, a := range w.Ends[e].Addrs {
				if a.IsPrivate() && len(w.Ends[e].Addrs) > 1 && viewSees(v, a) && !viewSees(v, w.publicOf(e)) {
					s[e] += 3
				}
			}
		}
		// Distance by TTL.
		var sum, n [2]int
		for _, g := range v.Negotiations {
			for i := range g.Messages {
				m := &g.Messages[i]
				if e := w.EndOf(m.Src.Addr()); e >= 0 && m.TTL > 0 {
					sum[e] += hops(m.TTL)
					n[e]++
				}
			}
		}
		if n == [2]int{} {
			// A capture of the session alone. Some gateways give ESP the TTL of the packet within, so
			// only both directions together tell.
			for _, f := range v.ESP {
				if e := w.EndOf(f.Src.Addr()); e >= 0 && f.TTL > 0 {
					sum[e] += hops(f.TTL)
					n[e]++
				}
			}
			if n[0] == 0 || n[1] == 0 {
				n = [2]int{}
			}
		}
		switch {
		case n[0] > 0 && n[1] > 0:
			d0, d1 := float64(sum[0])/float64(n[0]), float64(sum[1])/float64(n[1])
			if d0 < d1 {
				s[0] += 2
			} else if d1 < d0 {
				s[1] += 2
			}
		case n[0] > 0 && sum[0] == 0:
			s[0] += 2
		case n[0] > 0 && sum[0] > 0:
			s[1] += 2
		case n[1] > 0 && sum[1] == 0:
			s[1] += 2
		case n[1] > 0 && sum[1] > 0:
			s[0] += 2
		}
		return s
	}
	scores := make([][2]int, len(w.Views))
	for i, v := range w.Views {
		scores[i] = score(v)
	}
	best := func(e int) int {
		bi, bs := -1, 0
		for i, s := range scores {
			if d := s[e] - s[1-e]; d > bs && w.Views[i].End < 0 {
				bi, bs = i, d
			}
		}
		return bi
	}
	for range 2 {
		for e := range w.Ends {
			if w.Ends[e].View == nil {
				if i := best(e); i >= 0 {
					w.Views[i].End = e
					w.Ends[e].View = w.Views[i]
				}
			}
		}
	}
	// What is left takes the free ends: of two captures one is at each end.
	for _, v := range w.Views {
		if v.End >= 0 {
			continue
		}
		for e := range w.Ends {
			if w.Ends[e].View == nil && (len(w.Views) == 1 || len(w.Views) == 2) {
				v.End, v.Guessed = e, true
				w.Ends[e].View = v
				break
			}
		}
	}
	for e := range w.Ends {
		// Where it cannot be told at which end a lone capture was taken it names none.
		if v := w.Ends[e].View; v != nil && !(v.Guessed && len(w.Views) == 1) {
			w.Ends[e].Name = v.Capture.Name
			if v.Capture.Device != "" {
				w.Ends[e].Name = v.Capture.Device
			}
		}
	}
}

func (w *Wire) publicOf(e int) netip.Addr {
	for _, a := range w.Ends[e].Addrs {
		if !a.IsPrivate() {
			return a
		}
	}
	return netip.Addr{}
}

func viewSees(v *View, a netip.Addr) bool {
	for _, n := range v.Negotiations {
		if n.Initiator.Addr() == a || n.Responder.Addr() == a {
			return true
		}
		for _, p := range n.Paths {
			if p.Initiator.Addr() == a || p.Responder.Addr() == a {
				return true
			}
		}
	}
	for _, f := range v.ESP {
		if f.Src.Addr() == a || f.Dst.Addr() == a {
			return true
		}
	}
	return false
}

// name sets the two addresses a tunnel is known by.
func (w *Wire) name() {
	for e := range w.Ends {
		if a := w.Public(e); a.IsValid() {
			w.Addrs = append(w.Addrs, a)
		}
	}
	slices.SortFunc(w.Addrs, netip.Addr.Compare)
}

// comparable says whether two captures are of the same time. A packet that left one end
// and is missing at the other may be lost; a packet that arrived and never left shows
// that the captures are of different times.
func (w *Wire) comparable() {
	if !w.Both() || w.Common > 0 {
		return
	}
	seen := func(e int) bool {
		v := w.Ends[e].View
		return len(v.Negotiations) > 0 || len(v.CTCP) > 0 || slices.ContainsFunc(v.ESP, func(f *facts.ESPFlow) bool { return f.Trusted })
	}
	if !seen(0) || !seen(1) {
		return
	}
	if w.together() {
		return
	}
	// Each end shows only what it sent itself: everything was lost on the way, both ways.
	for e := range w.Ends {
		for _, n := range w.Ends[e].View.Negotiations {
			for i := range n.Messages {
				if w.EndOf(n.Messages[i].Src.Addr()) == 1-e {
					w.Comparable = false
					return
				}
			}
		}
		for _, f := range w.Ends[e].View.ESP {
			if f.Trusted && w.EndOf(f.Src.Addr()) == 1-e {
				w.Comparable = false
				return
			}
		}
	}
	a, b := w.Ends[0].View.Capture, w.Ends[1].View.Capture
	if a.First.After(b.Last.Add(time.Hour)) || b.First.After(a.Last.Add(time.Hour)) {
		w.Comparable = false
	}
}
