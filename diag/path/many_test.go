package path_test

import (
	"net/netip"
	"testing"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
)

// crowd is a capture with one message each way of n peers, taken at the headend or, as one who
// collects all of them would have it, at the peers.
func crowd(n int, headend bool) *facts.Capture {
	hq := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, 1}), 500)
	c := &facts.Capture{Name: "peers", Source: "peers.pcap", Packets: 2 * n}
	ttl := [2]uint8{64, 60}
	if headend {
		c.Name, c.Source = "hq", "hq.pcap"
		ttl = [2]uint8{60, 64}
	}
	for i := range n {
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{40, byte(i >> 16), byte(i >> 8), byte(i)}), 500)
		at := time.Unix(1700000000, int64(i)*1e6).UTC()
		g := &facts.Negotiation{InitSPI: uint64(i) + 1, Version: 1, Exchange: "main", Initiator: peer, Responder: hq, RoleKnown: true,
			Paths: []facts.PathUse{{Initiator: peer, Responder: hq}}}
		for k := range 2 {
			m := facts.Message{Packet: 2*i + k + 1, Time: at, Src: peer, Dst: hq, TTL: ttl[k], FromInitiator: k == 0, InitSPI: g.InitSPI,
				Hash: uint64(2*i+k) + 1, IPID: uint16(i), CopyOf: -1, DuplicateOf: -1, Complete: true, Step: [2]string{"MM1", "MM2"}[k]}
			if k == 1 {
				m.Src, m.Dst = hq, peer
			}
			g.Messages = append(g.Messages, m)
		}
		c.Negotiations = append(c.Negotiations, g)
	}
	if n > 0 {
		c.First, c.Last = c.Negotiations[0].Messages[0].Time, c.Negotiations[n-1].Messages[0].Time
	}
	return c
}

// TestManyPeersAtBothEnds: with the square of the peers this would not come back.
func TestManyPeersAtBothEnds(t *testing.T) {
	const n = 50000
	seen := 0
	for w := range path.Each([]*facts.Capture{crowd(n, true), crowd(n, false)}) {
		if !w.Both() || w.Common != 2 || w.Ends[0].Name != "peers" || w.Ends[1].Name != "hq" {
			t.Fatalf("%v: both ends %v, %d packets in common, taken at %q and %q", w.Addrs, w.Both(), w.Common, w.Ends[0].Name, w.Ends[1].Name)
		}
		if seen++; seen == 1000 {
			return
		}
	}
	t.Fatalf("%d tunnels", seen)
}

// TestOneSPIOfManyPeers: who sends one SPI from everywhere joins all addresses to one tunnel, and
// comparing each with each would not come back.
func TestOneSPIOfManyPeers(t *testing.T) {
	c := crowd(0, true)
	c.Packets = 50000
	for i := range c.Packets {
		a := netip.AddrFrom4([4]byte{40, byte(i >> 16), byte(i >> 8), byte(i)})
		c.ESP = append(c.ESP, &facts.ESPFlow{SPI: 300, Src: netip.AddrPortFrom(a, 0), Dst: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, 1}), 0),
			Trusted: true, Count: 1, FirstPacket: i + 1, LastPacket: i + 1})
	}
	flows := 0
	for w := range path.Each([]*facts.Capture{c}) {
		flows += len(w.Views[0].ESP)
	}
	if flows != c.Packets {
		t.Errorf("%d flows of %d", flows, c.Packets)
	}
}
