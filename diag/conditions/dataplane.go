package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// dataplaneConditions are the faults of tunnels that negotiate and do not carry what they
// should: translation, routing, filters, and what becomes of the encrypted packets.
func dataplaneConditions() []Condition {
	return []Condition{noNATExemption, natExemptionPorts, asymmetricNAT, natTDisabled,
		sysoptPermitVPN, vpnFilter, policyConflict,
		routeMissing, hairpinDisabled, multicastOverIPsec, backupPeerMissing,
		antiReplay, noIntegrity, hmacError, duplicateRules, expiredContext, mapReapply,
		managementAccess, pingSource, largeICMP, pmtuText}
}

// maxPairs bounds the pairs of networks that one tunnel is asked about.
const maxPairs = 2000

// protected returns the pairs of networks (own, remote) that this tunnel protects: those of
// its crypto access lists, else the identities of its IPsec SAs.
func (e *End) protected() []network {
	if e.nets != nil {
		return *e.nets
	}
	var out []network
	if c := e.Config(); c != nil {
		for _, m := range e.Entries() {
			if m.ACL == "" {
				continue
			}
			x, _ := networks(c, m.ACL)
			out = append(out, x...)
		}
	}
	if len(out) == 0 {
		for _, sa := range e.IPsec() {
			if sa.LocalID.Prefix.IsValid() && sa.RemoteID.Prefix.IsValid() {
				out = append(out, network{sa.LocalID.Prefix.Masked(), sa.RemoteID.Prefix.Masked(), place(sa, "ident")})
			}
		}
	}
	out = out[:min(len(out), maxPairs)]
	e.nets = &out
	return out
}

// inside tells whether a network pair holds both addresses, in either direction.
func (n network) inside(a, b netip.Addr) bool {
	return n.src.Contains(a) && n.dst.Contains(b) || n.src.Contains(b) && n.dst.Contains(a)
}

// carries tells whether a packet between the two addresses belongs into this tunnel.
func (e *End) carries(a, b netip.Addr) bool {
	return slices.ContainsFunc(e.protected(), func(n network) bool { return n.inside(a, b) })
}

// innerEvents returns log lines with one of the ids that are about packets of this tunnel.
// Where the protected networks are unknown, they are those that could be: both addresses
// private, and no other peer named.
func (e *End) innerEvents(ids ...string) []facts.Event {
	var out []facts.Event
	known := len(e.protected()) > 0
	for _, ev := range e.logged(ids...) {
		as := ev.Addrs
		if len(as) < 2 {
			if !known || e.Names(ev) {
				out = append(out, ev)
			}
			continue
		}
		switch {
		case known && e.carries(as[0], as[1]):
			out = append(out, ev)
		case !known && (e.Config() == nil || e.Config().Partial) && as[0].IsPrivate() && as[1].IsPrivate():
			out = append(out, ev)
		}
	}
	return out
}

// saOf returns the IPsec SA of a pair of networks, newest reading first.
func (e *End) saOf(n network) (facts.IPsecSA, bool) {
	var best facts.IPsecSA
	found := false
	for _, sa := range e.IPsec() {
		if sa.LocalID.Prefix.IsValid() && sa.LocalID.Prefix.Masked() == n.src && sa.RemoteID.Prefix.IsValid() && sa.RemoteID.Prefix.Masked() == n.dst && (!found || sa.Reading >= best.Reading) {
			best, found = sa, true
		}
	}
	return best, found
}

// flowsBothWays tells whether an SA of the pair counts packets in both directions.
func (e *End) flowsBothWays(n network) bool {
	sa, ok := e.saOf(n)
	return ok && sa.Encaps > 0 && sa.Decaps > 0
}

// tracesOf returns packet-tracer runs with packets of this tunnel.
func (e *End) tracesOf() []facts.PacketTrace {
	var out []facts.PacketTrace
	for _, tr := range e.Device.Traces {
		if len(e.protected()) == 0 || !tr.Src.IsValid() || e.carries(tr.Src, tr.Dst) {
			out = append(out, tr)
		}
	}
	return out
}

// stoppedAt returns the phase of a trace that dropped the packet.
func stoppedAt(tr facts.PacketTrace) (facts.TracePhase, bool) {
	for _, p := range tr.Phases {
		if strings.EqualFold(p.Result, "DROP") {
			return p, true
		}
	}
	return facts.TracePhase{}, false
}

// traceLine is the line of a packet-tracer phase that holds the text, else the phase's own.
func (e *End) traceLine(ph facts.TracePhase, text string) facts.Place {
	for _, o := range e.Device.Outputs {
		if o.Place.Source != ph.Place.Source || !strings.HasPrefix(o.Command, "packet-tracer") {
			continue
		}
		for _, l := range o.Text {
			if l.N > ph.Place.Line && l.N < ph.Place.Line+40 && hasAny(l.Text, text) {
				return facts.Place{Source: ph.Place.Source, Line: l.N, Text: strings.TrimSpace(l.Text)}
			}
		}
	}
	return ph.Place
}

// boundTo returns the interfaces that carry the map of this tunnel's entries.
func (e *End) boundTo() []string {
	c := e.Config()
	if c == nil {
		return nil
	}
	var out []string
	entries := e.Entries()
	for _, b := range c.MapBindings {
		if slices.ContainsFunc(entries, func(m facts.MapEntry) bool { return m.Map == b.Map }) && !slices.Contains(out, b.Interface) {
			out = append(out, b.Interface)
		}
	}
	return out
}

// minus takes a pair of networks out of another and returns the pieces that are left.
func (n network) minus(o network) []network {
	if !n.src.Overlaps(o.src) || !n.dst.Overlaps(o.dst) {
		return []network{n}
	}
	var out []network
	for o.src.Bits() > n.src.Bits() {
		lo, hi, ok := split(n.src)
		if !ok {
			return append(out, n)
		}
		if !lo.Overlaps(o.src) {
			lo, hi = hi, lo
		}
		out = append(out, network{hi, n.dst, n.place})
		n.src = lo
	}
	for o.dst.Bits() > n.dst.Bits() {
		lo, hi, ok := split(n.dst)
		if !ok {
			return append(out, n)
		}
		if !lo.Overlaps(o.dst) {
			lo, hi = hi, lo
		}
		out = append(out, network{n.src, hi, n.place})
		n.dst = lo
	}
	return out
}

// maxPieces bounds what is left of one pair while exemptions are taken out of it.
const maxPieces = 1000

// less takes a pair out of all pieces. Too many pieces end the work as if nothing were left:
// an exemption cut that fine cannot be judged here.
func less(pieces []network, o network) []network {
	var out []network
	for _, p := range pieces {
		out = append(out, p.minus(o)...)
		if len(out) > maxPieces {
			return nil
		}
	}
	return out
}

// pairText writes a pair of networks for titles.
func (n network) String() string { return n.src.String() + " to " + n.dst.String() }

// pairsText lists the first pairs.
func pairsText(ns []network) string {
	var out []string
	for i, n := range ns {
		if i == 3 {
			out = append(out, "…")
			break
		}
		out = append(out, n.String())
	}
	return strings.Join(out, ", ")
}

// hop is where a device sends packets for an address.
type hop struct {
	prefix netip.Prefix
	iface  string // "" when it cannot be told
	metric int
	seen   bool // in the routing table, not only in the configuration
	place  facts.Place
}

// egress finds the way to a network: the longest route that covers its first host, from the
// routing table and the configuration (connected, static). ok is false when none is known.
func (e *End) egress(p netip.Prefix) (best hop, ok bool) {
	ways := ofBox(e, "ways", e.ways)
	for _, bits := range ways.lengths {
		if bits > p.Bits() && p.Bits() > 0 {
			continue
		}
		at, err := p.Addr().Prefix(bits)
		if err != nil {
			continue
		}
		for _, h := range ways.hops[at] {
			if !ok || h.seen && !best.seen || h.seen == best.seen && h.metric < best.metric {
				best, ok = h, true
			}
		}
		if ok {
			return best, true
		}
	}
	return best, false
}

// ways are a device's routes by their networks; there may be thousands, for thousands of tunnels.
type ways struct {
	hops    map[netip.Prefix][]hop
	lengths []int // of these networks, the longest first
}

func (e *End) ways() ways {
	w := ways{hops: map[netip.Prefix][]hop{}}
	add := func(h hop) {
		if h.prefix = h.prefix.Masked(); !h.prefix.IsValid() {
			return
		}
		if !slices.Contains(w.lengths, h.prefix.Bits()) {
			w.lengths = append(w.lengths, h.prefix.Bits())
		}
		w.hops[h.prefix] = append(w.hops[h.prefix], h)
	}
	c := e.Config()
	if c != nil {
		for _, i := range c.Interfaces {
			if i.Address.IsValid() && !i.Shutdown && i.VRF == "" {
				add(hop{prefix: i.Address, iface: ifName(i), place: i.Place})
			}
			if i.Dynamic && !i.Shutdown && i.VRF == "" {
				add(hop{prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), iface: ifName(i), metric: 250, place: i.Place})
			}
		}
		for _, r := range c.Routes {
			if r.VRF != "" || hasAny(r.Place.Text, "tunneled") {
				continue
			}
			h := hop{prefix: r.Prefix, iface: r.Interface, metric: r.Metric, place: r.Place}
			if h.iface == "" {
				h.iface = e.connectedTo(r.Via)
			}
			add(h)
		}
	}
	for _, r := range e.Device.Routes {
		h := hop{prefix: r.Prefix, iface: r.Interface, seen: true, place: r.Place}
		if h.iface == "" {
			h.iface = e.connectedTo(r.Via)
		}
		add(h)
	}
	slices.SortFunc(w.lengths, func(a, b int) int { return b - a })
	return w
}

// ifName is the name that routes and maps use for an interface.
func ifName(i facts.Interface) string {
	if i.Name != "" {
		return i.Name
	}
	return i.Hardware
}

// connectedTo names the interface whose network holds a next hop.
func (e *End) connectedTo(a netip.Addr) string {
	c := e.Config()
	if c == nil || !a.IsValid() {
		return ""
	}
	for _, i := range c.Interfaces {
		if i.Address.IsValid() && !i.Shutdown && i.Address.Contains(a) {
			return ifName(i)
		}
	}
	return ""
}

// entryName writes the tunnel's crypto map entry for commands and texts.
func (e *End) entryName() string {
	for _, m := range e.Entries() {
		return fmt.Sprintf("%s %d", m.Map, m.Sequence)
	}
	return "<map> <seq>"
}
