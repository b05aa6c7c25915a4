package conditions

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// For is a clue that speaks for a condition.
func For(weight float64, note string, places ...facts.Place) Clue {
	return Clue{Weight: weight, Note: note, Places: places}
}

// Against is a clue that speaks against a condition; weight is given positive.
func Against(weight float64, note string, places ...facts.Place) Clue {
	return Clue{Weight: -weight, Note: note, Places: places}
}

// Mine tells whether an address belongs to this tunnel's peer.
func (e *End) Mine(a netip.Addr) bool {
	return a.IsValid() && (a == e.Peer || slices.Contains(e.Peers, a))
}

// Known tells whether an address is this device's own, in this tunnel or as configured.
func (e *End) Known(a netip.Addr) bool {
	return a.IsValid() && (a == e.Own || slices.Contains(e.Device.Addresses, a))
}

// IKE returns the device's IKE SAs with this peer.
func (e *End) IKE() []facts.IKESA {
	return *share(&e.seen.ike, e.Device.IKE, func() []int {
		if e.Peer.IsValid() {
			return e.index().ike.pick(e.mineAnd(false)...)
		}
		return where(e.Device.IKE, func(sa *facts.IKESA) bool { return e.Mine(sa.Remote) || !e.Others[sa.Remote] })
	})
}

// IPsec returns the device's IPsec SAs with this peer.
func (e *End) IPsec() []facts.IPsecSA {
	return *share(&e.seen.ipsec, e.Device.IPsec, func() []int { return e.index().ipsec.pick(e.mineAnd(e.alone())...) })
}

// Sessions returns the rows of the session table for this peer.
func (e *End) Sessions() []facts.Session {
	return *share(&e.seen.sessions, e.Device.Sessions, func() []int { return e.index().sessions.pick(e.mineAnd(!e.Peer.IsValid())...) })
}

// Events returns the log lines that concern this tunnel: those that name its peer, and
// those that name no other peer of the device.
func (e *End) Events() []facts.Event {
	return *share(&e.seen.events, e.Device.Events, func() []int {
		return slices.DeleteFunc(e.index().events.pick(e.mineAnd(true)...), func(i int) bool { return !e.Concerns(e.Device.Events[i]) })
	})
}

// share makes the end's part of a list once.
func share[T any](kept **[]T, list []T, pick func() []int) *[]T {
	if *kept == nil {
		var out []T
		for _, i := range pick() {
			out = append(out, list[i])
		}
		out = slices.Clip(out)
		*kept = &out
	}
	return *kept
}

// where returns the positions that a test holds for.
func where[T any](list []T, test func(*T) bool) (out []int) {
	for i := range list {
		if test(&list[i]) {
			out = append(out, i)
		}
	}
	return out
}

// Concerns tells whether an event belongs to this tunnel rather than to another of the device.
func (e *End) Concerns(ev facts.Event) bool {
	if e.Mine(ev.Peer) {
		return true
	}
	if ev.Peer.IsValid() && e.Others[ev.Peer] {
		return false
	}
	mine, other := false, false
	for _, a := range ev.Addrs {
		mine = mine || e.Mine(a)
		other = other || e.Others[a]
	}
	if g, err := netip.ParseAddr(ev.Group); err == nil {
		mine = mine || e.Mine(g)
		other = other || e.Others[g]
	}
	return mine || !other
}

// Names tells whether an event names this tunnel's peer, not merely no other one.
func (e *End) Names(ev facts.Event) bool {
	if e.Mine(ev.Peer) || slices.ContainsFunc(ev.Addrs, e.Mine) {
		return true
	}
	g, err := netip.ParseAddr(ev.Group)
	return err == nil && e.Mine(g)
}

// Config returns the device's configuration, nil when none was seen.
func (e *End) Config() *facts.Config { return e.Device.Config }

// Entries returns the static crypto map entries that name this peer.
func (e *End) Entries() []facts.MapEntry {
	if e.Device.Config == nil {
		return nil
	}
	return *share(&e.seen.entries, e.Device.Config.MapEntries, func() []int { return e.index().entries.pick(e.mineAnd(false)...) })
}

// TunnelGroup returns the ASA tunnel-group named after the peer's address, or nil.
func (e *End) TunnelGroup() *facts.TunnelGroup {
	if e.Device.Config == nil {
		return nil
	}
	groups := e.index().groups
	if tg := groups[e.Peer]; tg != nil {
		return tg
	}
	for _, a := range e.Peers {
		if tg := groups[a]; tg != nil {
			return tg
		}
	}
	return nil
}

// Other returns the tunnel's other end, or nil.
func (t *Tunnel) Other(e *End) *End {
	for _, o := range t.Ends {
		if o != e {
			return o
		}
	}
	return nil
}

// Label names an end for titles: device name, else its address, else "this end".
func (e *End) Label() string {
	switch {
	case e.Device.Name != "":
		return e.Device.Name
	case e.Device.Hostname != "":
		return e.Device.Hostname
	case e.Own.IsValid():
		return e.Own.String()
	}
	return "this end"
}

// PeerLabel names the peer for titles.
func (e *End) PeerLabel() string {
	if e.Peer.IsValid() {
		return e.Peer.String()
	}
	return "the peer"
}

// StateOf returns the most telling state among SAs: a live one first, else the first.
func StateOf(sas []facts.IKESA) (facts.IKESA, bool) {
	if len(sas) == 0 {
		return facts.IKESA{}, false
	}
	best := sas[0]
	for _, sa := range sas {
		if !sa.Deleted && IsUp(sa) {
			return sa, true
		}
		if best.Deleted && !sa.Deleted {
			best = sa
		}
	}
	return best, true
}

// IsUp tells whether an IKE SA is established.
func IsUp(sa facts.IKESA) bool {
	switch s := strings.ToUpper(sa.State); s {
	case "MM_ACTIVE", "AM_ACTIVE", "QM_IDLE", "READY", "UP-ACTIVE", "ACTIVE",
		"MM_ACTIVE_REKEY", "AM_ACTIVE_REKEY", "MM_REKEY_DONE_H2", "AM_REKEY_DONE_H2": // being made anew, the old one in use
		return !sa.Deleted
	}
	return false
}

// said returns the places where people's words beside the evidence (a mail, a ticket) hold
// one of the phrases, given in lower case. The words name no tunnel, so every tunnel has
// them; they support what the devices show and prove nothing alone.
func (t *Tunnel) said(phrases ...string) []facts.Place {
	var out []facts.Place
	for _, d := range t.Set.Devices {
		for _, n := range d.Notes {
			for _, p := range phrases {
				if strings.Contains(n.Lower, p) {
					out = append(out, n.Place)
					break
				}
			}
		}
	}
	return out
}
