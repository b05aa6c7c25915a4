package conditions

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// Peers lists whom a device treats as VPN peers: known are those with SAs or sessions, then
// those that are configured; knocking are further addresses that its VPN messages name, the most
// frequent first. Own addresses are among them where a text says so.
func Peers(d *facts.Device) (known, knocking []netip.Addr) {
	seen := map[netip.Addr]bool{}
	add := func(a netip.Addr) {
		if a.IsValid() && !a.IsUnspecified() && !seen[a] {
			seen[a] = true
			known = append(known, a)
		}
	}
	for i := range d.IKE {
		add(d.IKE[i].Remote)
	}
	for i := range d.IPsec {
		add(d.IPsec[i].Peer)
	}
	for i := range d.Sessions {
		add(d.Sessions[i].Peer)
	}
	if c := d.Config; c != nil {
		for i := range c.MapEntries {
			for _, p := range c.MapEntries[i].Peers {
				add(p)
			}
		}
		for i := range c.TunnelGroups {
			if a, err := netip.ParseAddr(c.TunnelGroups[i].Name); err == nil {
				add(a)
			}
		}
		for i := range c.Keys {
			if c.Keys[i].Peer.IsSingleIP() {
				add(c.Keys[i].Peer.Addr())
			}
		}
		for i := range c.Interfaces {
			if c.Interfaces[i].Protection != "" {
				add(c.Interfaces[i].TunnelDst)
			}
		}
	}
	counts := map[netip.Addr]int{}
	for i := range d.Events {
		ev := &d.Events[i]
		if a := ev.Peer; a.IsValid() && !a.IsUnspecified() && !seen[a] && vpnEvent(ev) {
			if counts[a] == 0 {
				knocking = append(knocking, a)
			}
			counts[a]++
		}
	}
	for _, a := range listedPeers(d) {
		if !seen[a] && counts[a] == 0 {
			knocking = append(knocking, a)
			counts[a] = 1
		}
	}
	slices.SortStableFunc(knocking, func(a, b netip.Addr) int { return cmp.Compare(counts[b], counts[a]) })
	return known, knocking
}

// vpnEvent tells whether an event is about IKE or IPsec with a peer.
func vpnEvent(ev *facts.Event) bool {
	switch ev.Kind {
	case "debug", "client", "swan":
		return true
	case "asa":
		if len(ev.ID) == 6 {
			switch ev.ID[:3] {
			case "713", "715", "714", "750", "751", "752", "113", "402", "737", "722", "716", "717", "720":
				return true
			}
		}
	case "ios":
		return strings.HasPrefix(ev.ID, "CRYPTO-") || strings.HasPrefix(ev.ID, "IPSEC-") || strings.HasPrefix(ev.ID, "IKEV2-")
	}
	return false
}
