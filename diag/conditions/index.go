package conditions

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// Index finds a device's facts by the peer they name. One is made per device and shared by
// all its tunnels, so that a headend's diagnosis grows with its size and not with its square.
type Index struct {
	Peers map[netip.Addr]bool // every peer of the device

	ike, ipsec, sessions, events, entries lookup
	groups                                map[netip.Addr]*facts.TunnelGroup
	own                                   map[netip.Addr]netip.Addr
	made                                  map[string]any
}

// lookup are positions in one of the device's lists, ascending, by the peer that stands
// there; under the zero address those that name no peer of the device.
type lookup map[netip.Addr][]int

// maxStray bounds the log lines without a peer that are looked at for each of a device's
// tunnels, all tunnels together: on a headend they are no evidence about one of hundreds.
const maxStray = 512 << 10

// headend is the number of peers from which a log line with two protected addresses is filed
// under the peer whose crypto access list covers them.
const headend = 64

// NewIndex sorts a device's facts by its peers.
func NewIndex(d *facts.Device, peers []netip.Addr) *Index {
	x := &Index{Peers: make(map[netip.Addr]bool, len(peers)), ike: lookup{}, ipsec: lookup{}, sessions: lookup{}, events: lookup{}, entries: lookup{},
		groups: map[netip.Addr]*facts.TunnelGroup{}, own: map[netip.Addr]netip.Addr{}, made: map[string]any{}}
	for _, p := range peers {
		x.Peers[p] = true
	}
	for i := range d.IKE {
		sa := &d.IKE[i]
		x.ike.add(i, sa.Remote)
		x.faces(sa.Remote, sa.Local)
	}
	for i := range d.IPsec {
		x.ipsec.add(i, d.IPsec[i].Peer)
	}
	for i := len(d.IPsec) - 1; i >= 0; i-- { // the first one stands, before what an IKE SA says
		if sa := &d.IPsec[i]; sa.Peer.IsValid() && sa.Local.IsValid() {
			x.own[sa.Peer] = sa.Local
		}
	}
	for i := range d.Sessions {
		x.sessions.add(i, d.Sessions[i].Peer)
	}
	for i := range d.Events {
		x.event(i, &d.Events[i])
	}
	if len(peers) > headend && d.Config != nil {
		x.fileInner(d)
	}
	if stray := x.events[netip.Addr{}]; len(stray)*len(peers) > maxStray {
		x.events[netip.Addr{}] = stray[:maxStray/len(peers)]
	}
	if c := d.Config; c != nil {
		for i := range c.MapEntries {
			for _, p := range c.MapEntries[i].Peers {
				x.entries.add(i, p)
			}
		}
		for i := range c.TunnelGroups {
			if a, err := netip.ParseAddr(c.TunnelGroups[i].Name); err == nil && x.groups[a] == nil {
				x.groups[a] = &c.TunnelGroups[i]
			}
		}
	}
	return x
}

// fileInner moves log lines that name no peer, but a packet that some crypto access lists
// cover, from those that all tunnels look at to the peers of these lists.
func (x *Index) fileInner(d *facts.Device) {
	covering := carriers(d.Config)
	var rest []int
	for _, i := range x.events[netip.Addr{}] {
		ev := &d.Events[i]
		var entries []int
		if len(ev.Addrs) == 2 {
			entries = covering(ev.Addrs[0], ev.Addrs[1])
		}
		if len(entries) == 0 {
			rest = append(rest, i)
		}
		for _, n := range entries {
			for _, p := range d.Config.MapEntries[n].Peers {
				x.events[p] = append(x.events[p], i)
			}
		}
	}
	for p, l := range x.events {
		slices.Sort(l)
		x.events[p] = slices.Compact(l)
	}
	x.events[netip.Addr{}] = rest
}

// Own is the address under which SAs show the device to a peer, zero when none does.
func (x *Index) Own(peer netip.Addr) netip.Addr { return x.own[peer] }

func (x *Index) faces(peer, own netip.Addr) {
	if peer.IsValid() && own.IsValid() && !x.own[peer].IsValid() {
		x.own[peer] = own
	}
}

func (l lookup) add(i int, a netip.Addr) {
	if n := len(l[a]); n > 0 && l[a][n-1] == i {
		return
	}
	l[a] = append(l[a], i)
}

// event files a log line under the peers it names, and under none when it names no peer.
func (x *Index) event(i int, ev *facts.Event) {
	named := false
	file := func(a netip.Addr) {
		if a.IsValid() && x.Peers[a] {
			x.events.add(i, a)
			named = true
		}
	}
	file(ev.Peer)
	for _, a := range ev.Addrs {
		file(a)
	}
	if g, err := netip.ParseAddr(ev.Group); err == nil {
		file(g)
	}
	if !named && !traffic(ev) {
		x.events.add(i, netip.Addr{})
	}
}

// traffic tells whether a log line is only about connections and logins that pass through or
// to a firewall. They are most of every log; without a peer in them they are no evidence
// about a tunnel. Conditions that need them look at the device's events.
func traffic(ev *facts.Event) bool {
	if ev.Kind != "asa" || len(ev.ID) != 6 {
		return false
	}
	switch ev.ID[:3] {
	case "302", "303", "304", "605", "609", "111", "725", "411":
		return true
	}
	return ev.ID == "305011" || ev.ID == "305012" || ev.ID == "106015" || ev.ID == "611101"
}

// pick merges what is filed under some addresses, in the order of the list.
func (l lookup) pick(as ...netip.Addr) []int {
	var out []int
	for i, a := range as {
		if !slices.Contains(as[:i], a) {
			out = append(out, l[a]...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// index is the end's index; an end that nobody gave one makes its own.
func (e *End) index() *Index {
	if e.Index == nil {
		var peers []netip.Addr
		for p := range e.Others {
			peers = append(peers, p)
		}
		if e.Peer.IsValid() {
			peers = append(peers, e.Peer)
		}
		e.Index = NewIndex(e.Device, peers)
	}
	return e.Index
}

// alone tells whether the device has no other peer than this one.
func (e *End) alone() bool {
	n := len(e.Others)
	if e.Peer.IsValid() && e.Others[e.Peer] {
		n--
	}
	if n == 0 {
		return true
	}
	known := ofBox(e, "known peers", func() []netip.Addr { known, _ := Peers(e.Device); return known })
	return len(known) == 1 && known[0] == e.Peer
}

// mineAnd are the peer's addresses, and the zero address for what names no peer.
func (e *End) mineAnd(none bool) []netip.Addr {
	out := append([]netip.Addr{e.Peer}, e.Peers...)
	out = slices.DeleteFunc(out, func(a netip.Addr) bool { return !a.IsValid() })
	if none {
		out = append(out, netip.Addr{})
	}
	return out
}

// lines are the top-level lines of the configuration that begin with prefix.
func (e *End) lines(prefix string) []facts.ConfigLine {
	return ofBox(e, "lines "+prefix, func() (out []facts.ConfigLine) {
		for _, l := range e.Device.Config.Lines {
			if l.Parent < 0 && strings.HasPrefix(l.Text, prefix) {
				out = append(out, l)
			}
		}
		return out
	})
}

// ofBox makes what depends on the device alone once for all its tunnels.
func ofBox[T any](e *End, what string, look func() T) T {
	x := e.index()
	if v, ok := x.made[what]; ok {
		return v.(T)
	}
	v := look()
	x.made[what] = v
	return v
}

// logged are the lines with one of the ids in the device's whole log, looked for once for all
// its tunnels.
func (e *End) logged(ids ...string) []facts.Event {
	return ofBox(e, "logged "+strings.Join(ids, " "), func() []facts.Event { return slices.Clip(withID(e.Device.Events, ids...)) })
}

// logSays are the lines with one of the phrases in the device's whole log, likewise.
func (e *End) logSays(phrases ...string) []facts.Event {
	return ofBox(e, "says "+strings.Join(phrases, "\x00"), func() []facts.Event { return slices.Clip(saying(e.Device.Events, phrases...)) })
}
