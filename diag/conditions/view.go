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
	var out []facts.IKESA
	for _, sa := range e.Device.IKE {
		if e.Mine(sa.Remote) || !e.Peer.IsValid() && !e.Others[sa.Remote] {
			out = append(out, sa)
		}
	}
	return out
}

// IPsec returns the device's IPsec SAs with this peer.
func (e *End) IPsec() []facts.IPsecSA {
	var out []facts.IPsecSA
	for _, sa := range e.Device.IPsec {
		if e.Mine(sa.Peer) || !sa.Peer.IsValid() && len(e.Others) == 0 {
			out = append(out, sa)
		}
	}
	return out
}

// Sessions returns the rows of the session table for this peer.
func (e *End) Sessions() []facts.Session {
	var out []facts.Session
	for _, s := range e.Device.Sessions {
		if e.Mine(s.Peer) || !s.Peer.IsValid() && !e.Peer.IsValid() {
			out = append(out, s)
		}
	}
	return out
}

// Events returns the log lines that concern this tunnel: those that name its peer, and
// those that name no other peer of the device.
func (e *End) Events() []facts.Event {
	var out []facts.Event
	for _, ev := range e.Device.Events {
		if e.Concerns(ev) {
			out = append(out, ev)
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
	var out []facts.MapEntry
	for _, m := range e.Device.Config.MapEntries {
		if slices.ContainsFunc(m.Peers, e.Mine) {
			out = append(out, m)
		}
	}
	return out
}

// TunnelGroup returns the ASA tunnel-group named after the peer's address, or nil.
func (e *End) TunnelGroup() *facts.TunnelGroup {
	if e.Device.Config == nil {
		return nil
	}
	for i := range e.Device.Config.TunnelGroups {
		tg := &e.Device.Config.TunnelGroups[i]
		if a, err := netip.ParseAddr(tg.Name); err == nil && e.Mine(a) {
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
	case "MM_ACTIVE", "AM_ACTIVE", "QM_IDLE", "READY", "UP-ACTIVE", "ACTIVE":
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
