package engine

import (
	"fmt"
	"net/netip"
	"slices"

	"vpnbot/diag/conditions"
	"vpnbot/diag/facts"
	"vpnbot/diag/path"
)

// Named is a tunnel whose name and addresses are configured. Without one a tunnel is
// named after its addresses.
type Named struct {
	Name    string
	Addrs   []netip.Addr // the ends' public addresses
	Devices []string     // the ends' device names, "" for an unmanaged end; same order as Addrs
}

// maxTunnels bounds what one bundle can make of itself: a log full of strangers'
// addresses is not a thousand tunnels.
const maxTunnels = 6000

// cut makes the tunnels of a set: one per pair of a device and a peer it knows, both
// ends together where both devices are there. Those that only captures show go to wired,
// one after the other, and are nowhere kept: there may be a hundred thousand.
func cut(set *facts.Set, named []Named, wired func(*conditions.Tunnel)) []*conditions.Tunnel {
	var gateways, clients []*facts.Device
	for _, d := range set.Devices {
		switch {
		case silent(d): // a folder with captures only
		case isClient(d):
			clients = append(clients, d)
		default:
			gateways = append(gateways, d)
		}
	}
	peers := make(map[*facts.Device][]netip.Addr, len(gateways))
	for _, d := range gateways {
		peers[d] = peersOf(d)
	}
	var ends []*conditions.End
	for _, d := range gateways {
		x := conditions.NewIndex(d, peers[d])
		for _, p := range peers[d] {
			if len(ends) >= maxTunnels {
				set.Errors = append(set.Errors, facts.Error{Source: d.Name, Kind: "truncated",
					Message: fmt.Sprintf("more than %d tunnels in one bundle; the rest is not judged", maxTunnels)})
				break
			}
			o := x.Own(p)
			if !o.IsValid() {
				o = own(d)
			}
			ends = append(ends, &conditions.End{Device: d, Own: o, Peer: p, Peers: []netip.Addr{p}, Others: x.Peers, Index: x})
		}
	}
	var out []*conditions.Tunnel
	run := conditions.NewRun()
	used := map[*conditions.End]bool{}
	add := func(es ...*conditions.End) {
		t := &conditions.Tunnel{Ends: es, Clients: clients, Set: set, Run: run}
		for _, e := range es {
			used[e] = true
		}
		name(t, named)
		out = append(out, t)
	}
	// Both ends know each other, or one of them knows the other's own address.
	partners := partnersOf(ends)
	for _, strict := range []bool{true, false} {
		for i, a := range ends {
			for _, j := range partners(i) {
				b := ends[j]
				if used[a] || used[b] || a.Device == b.Device {
					continue
				}
				ab, ba := owns(b.Device, a.Peer), owns(a.Device, b.Peer)
				if ab && ba || !strict && (ab || ba) && (lonely(ends, used, a) || lonely(ends, used, b)) {
					adopt(a, b)
					add(a, b)
				}
			}
		}
	}
	// A device that knows its peer's address, beside a device that names no peer at all.
	for _, e := range ends {
		if used[e] {
			continue
		}
		for _, d := range gateways {
			if d != e.Device && len(peers[d]) == 0 && owns(d, e.Peer) {
				o := &conditions.End{Device: d, Own: e.Peer, Peer: e.Own, Others: map[netip.Addr]bool{}}
				if e.Own.IsValid() {
					o.Peers = []netip.Addr{e.Own}
				}
				add(e, o)
				break
			}
		}
	}
	// Exactly two gateways and nothing that pairs them by address: they are the two ends
	// all the same, or nobody would have put them into one bundle; a NAT or a wrong
	// address hides it.
	if len(gateways) == 2 && len(out) == 0 {
		a, b := main(ends, gateways[0]), main(ends, gateways[1])
		if a != nil && b != nil {
			adopt(a, b)
			add(a, b)
		}
	}
	for _, e := range ends {
		if !used[e] {
			add(e)
		}
	}
	for _, d := range gateways {
		if !slices.ContainsFunc(out, func(t *conditions.Tunnel) bool {
			return slices.ContainsFunc(t.Ends, func(e *conditions.End) bool { return e.Device == d })
		}) {
			add(&conditions.End{Device: d, Own: own(d), Others: map[netip.Addr]bool{}})
		}
	}
	if len(out) == 0 && (len(clients) > 0 || slices.ContainsFunc(set.Devices, func(d *facts.Device) bool { return len(d.Notes) > 0 })) {
		add() // clients' logs, or words alone
	}
	all := len(out)
	for w := range path.Each(set.Captures) {
		if t := home(out, all, w); t != nil {
			t.Wire = w
			continue
		}
		t := &conditions.Tunnel{Clients: clients, Set: set, Wire: w, Run: run}
		for _, we := range w.Ends {
			if we.View == nil {
				continue
			}
			for _, d := range set.Devices {
				if d.Name == we.Name && d.Name != "" && silent(d) {
					e := &conditions.End{Device: d, Others: map[netip.Addr]bool{}}
					if len(we.Addrs) > 0 {
						e.Own = we.Addrs[0]
					}
					t.Ends = append(t.Ends, e)
				}
			}
		}
		name(t, named)
		all++
		wired(t)
	}
	return out
}

// partnersOf finds the later ends that an end may belong to: one knows an address of the
// other's device as its peer.
func partnersOf(ends []*conditions.End) func(i int) []int {
	byPeer, byOwner := map[netip.Addr][]int{}, map[netip.Addr][]int{}
	for i, e := range ends {
		byPeer[e.Peer] = append(byPeer[e.Peer], i)
		for _, a := range e.Device.Addresses {
			byOwner[a] = append(byOwner[a], i)
		}
	}
	return func(i int) []int {
		out := slices.Clone(byOwner[ends[i].Peer])
		for _, a := range ends[i].Device.Addresses {
			out = append(out, byPeer[a]...)
		}
		out = slices.DeleteFunc(out, func(j int) bool { return j <= i })
		slices.Sort(out)
		return slices.Compact(out)
	}
}

// silent: a device of which no text is at hand.
func silent(d *facts.Device) bool {
	return d.Config == nil && len(d.Outputs)+len(d.IKE)+len(d.IPsec)+len(d.Sessions)+len(d.Events)+len(d.Counters)+len(d.Pings)+len(d.Traces) == 0
}

// home finds the tunnel of the texts that a wire belongs to: by the ends' addresses, else
// by the vantage points' names where that is no question. all counts the tunnels that only
// captures showed up to now, too.
func home(ts []*conditions.Tunnel, all int, w *path.Wire) *conditions.Tunnel {
	var best *conditions.Tunnel
	score := 0
	for _, t := range ts {
		if t.Wire != nil {
			continue
		}
		n := 0
		for _, we := range w.Ends {
			if slices.ContainsFunc(we.Addrs, func(a netip.Addr) bool {
				return slices.ContainsFunc(t.Ends, func(e *conditions.End) bool { return e.Own == a || e.Mine(a) }) || slices.Contains(t.Addrs, a)
			}) {
				n += 2
			}
		}
		if len(w.Addrs) == 1 && len(w.Attempts) == 0 && slices.Contains(t.Addrs, w.Addrs[0]) {
			n += 2
		}
		for _, v := range w.Views {
			if slices.ContainsFunc(t.Ends, func(e *conditions.End) bool {
				return e.Device.Name == v.Capture.Device && v.Capture.Device != ""
			}) {
				n++
			}
		}
		if n > score {
			best, score = t, n
		}
	}
	if score >= 4 || score >= 1 && (all == 1 || len(w.Attempts)+len(w.Flows)+len(w.CTCP) == 0) || score >= 3 {
		return best
	}
	return nil
}

func isClient(d *facts.Device) bool {
	if d.Role == facts.Client {
		return true
	}
	if d.Platform == facts.UnknownPlatform && d.Config == nil && len(d.IKE)+len(d.IPsec)+len(d.Events)+len(d.Outputs) == 0 && len(d.Pings) > 0 {
		return true // a host's test pings
	}
	return d.Platform == facts.UnknownPlatform && d.Config == nil && len(d.IKE) == 0 && len(d.IPsec) == 0 &&
		len(d.Events) > 0 && !slices.ContainsFunc(d.Events, func(e facts.Event) bool { return e.Kind != "client" })
}

// adopt lets two ends that belong together know each other under every address in use.
func adopt(a, b *conditions.End) {
	for _, e := range [][2]*conditions.End{{a, b}, {b, a}} {
		me, other := e[0], e[1]
		for _, x := range append([]netip.Addr{other.Own}, other.Device.Addresses...) {
			if x.IsValid() && (!me.Others[x] || x == me.Peer) && !slices.Contains(me.Peers, x) {
				me.Peers = append(me.Peers, x)
			}
		}
		if !me.Own.IsValid() && owns(me.Device, other.Peer) {
			me.Own = other.Peer
		}
	}
}

func lonely(ends []*conditions.End, used map[*conditions.End]bool, e *conditions.End) bool {
	n := 0
	for _, o := range ends {
		if o.Device == e.Device && !used[o] {
			n++
		}
	}
	return n == 1
}

func main(ends []*conditions.End, d *facts.Device) *conditions.End {
	for _, e := range ends {
		if e.Device == d {
			return e
		}
	}
	return nil
}

func owns(d *facts.Device, a netip.Addr) bool {
	return a.IsValid() && slices.Contains(d.Addresses, a)
}

// own is the address under which a device talks to a peer where no SA says it: that of the
// interface that holds the crypto map, which comes first, else the first one known.
func own(d *facts.Device) netip.Addr {
	if len(d.Addresses) > 0 {
		return d.Addresses[0]
	}
	return conditions.ListedOwn(d)
}

// peersOf lists the addresses that a device has tunnels with, the ones with trouble or traffic
// first. Strangers that knock are no tunnels where the device's own peers are known, unless the
// log is about hardly anything else.
func peersOf(d *facts.Device) []netip.Addr {
	own := func(a netip.Addr) bool { return slices.Contains(d.Addresses, a) }
	known, knocking := conditions.Peers(d)
	known, knocking = slices.DeleteFunc(known, own), slices.DeleteFunc(knocking, own)
	if len(known) > 0 {
		knocking = knocking[:min(len(knocking), 20)]
	}
	return append(known, knocking...)
}

// name gives a tunnel its addresses and its name: the configured one, else "A,B".
func name(t *conditions.Tunnel, named []Named) {
	var addrs []netip.Addr
	add := func(a netip.Addr) {
		if a.IsValid() && !slices.Contains(addrs, a) && len(addrs) < 2 {
			addrs = append(addrs, a)
		}
	}
	for _, e := range t.Ends {
		add(e.Own)
	}
	for _, e := range t.Ends {
		add(e.Peer)
	}
	if t.Wire != nil {
		for _, a := range t.Wire.Addrs {
			add(a)
		}
		if len(t.Wire.Addrs) == 2 && len(t.Ends) < 2 {
			addrs = slices.Clone(t.Wire.Addrs)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	t.Addrs = addrs
	for _, n := range named {
		if matches(t, n) {
			t.Name = n.Name
			return
		}
	}
	switch {
	case len(addrs) == 2:
		t.Name = addrs[0].String() + "," + addrs[1].String()
	case len(addrs) == 1:
		t.Name = addrs[0].String()
	case len(t.Ends) > 0:
		t.Name = t.Ends[0].Label()
	case len(t.Clients) > 0 && t.Clients[0].Name != "":
		t.Name = t.Clients[0].Name
	default:
		t.Name = "unknown"
	}
}

func matches(t *conditions.Tunnel, n Named) bool {
	hit := 0
	for _, a := range n.Addrs {
		if slices.Contains(t.Addrs, a) {
			hit++
			continue
		}
		for _, e := range t.Ends {
			if e.Mine(a) || e.Known(a) {
				hit++
				break
			}
		}
	}
	if hit >= 2 || hit == 1 && len(n.Addrs) == 1 {
		return true
	}
	if len(t.Ends) != 2 {
		return false
	}
	return len(n.Devices) == 2 && n.Devices[0] != "" && n.Devices[1] != "" &&
		slices.Contains(n.Devices, t.Ends[0].Device.Name) && slices.Contains(n.Devices, t.Ends[1].Device.Name)
}
