package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

func nets(s string) network {
	src, dst, _ := strings.Cut(s, " ")
	return network{src: netip.MustParsePrefix(src), dst: netip.MustParsePrefix(dst)}
}

func TestLess(t *testing.T) {
	for _, c := range []struct {
		name  string
		whole string
		parts []string
		want  []string
	}{
		{"all", "10.1.0.0/24 10.2.0.0/24", []string{"10.1.0.0/16 10.2.0.0/16"}, nil},
		{"apart", "10.1.0.0/24 10.2.0.0/24", []string{"10.3.0.0/16 10.2.0.0/16"}, []string{"10.1.0.0/24 10.2.0.0/24"}},
		{"half of the destination", "10.1.0.0/24 10.2.0.0/24", []string{"10.1.0.0/24 10.2.0.0/25"}, []string{"10.1.0.0/24 10.2.0.128/25"}},
		{"both halves", "10.1.0.0/24 10.2.0.0/24", []string{"10.1.0.0/24 10.2.0.0/25", "10.1.0.0/24 10.2.0.128/25"}, nil},
		{"corner", "10.1.0.0/24 10.2.0.0/24", []string{"10.1.0.0/25 10.2.0.0/25"}, []string{"10.1.0.128/25 10.2.0.0/24", "10.1.0.0/25 10.2.0.128/25"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			left := []network{nets(c.whole)}
			for _, p := range c.parts {
				left = less(left, nets(p))
			}
			var got []string
			for _, n := range left {
				got = append(got, n.src.String()+" "+n.dst.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("left %v, want %v", got, c.want)
			}
		})
	}
}

// A list cut into two hundred hosts is no mirror of the network, and one cut into all its
// quarters is.
func TestUnmirrored(t *testing.T) {
	a := []network{nets("10.1.0.0/24 10.2.0.0/24")}
	var quarters, hosts []network
	for i := range 4 {
		quarters = append(quarters, nets(fmt.Sprintf("10.2.0.%d/26 10.1.0.0/24", i*64)))
	}
	for i := range 200 {
		hosts = append(hosts, nets(fmt.Sprintf("10.2.0.%d/32 10.1.0.0/24", i)))
	}
	if x := unmirrored(a, quarters); len(x) != 0 {
		t.Errorf("the quarters sum up, and %v is missing", x)
	}
	if x := unmirrored(a, hosts); len(x) != 1 {
		t.Errorf("56 hosts are missing, and nothing was found")
	}
	if x := unmirrored(a, []network{nets("10.2.0.0/16 10.1.0.0/24")}); len(x) != 1 {
		t.Errorf("a wider entry counts as a mirror")
	}
}

func TestEgress(t *testing.T) {
	c := &facts.Config{
		Interfaces: []facts.Interface{{Name: "outside", Address: netip.MustParsePrefix("192.0.2.1/24")}, {Name: "inside", Address: netip.MustParsePrefix("10.1.0.1/24")}},
		Routes: []facts.StaticRoute{{Interface: "outside", Prefix: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.254"), Metric: 1},
			{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Via: netip.MustParseAddr("10.1.0.2"), Metric: 1},
			{Interface: "inside", Prefix: netip.MustParsePrefix("10.8.4.0/24"), Via: netip.MustParseAddr("10.1.0.2"), Metric: 1}},
	}
	e := &End{Device: &facts.Device{Config: c}}
	for to, want := range map[string]string{"10.1.0.0/24": "inside", "10.9.3.0/24": "inside", "203.0.113.0/24": "outside", "10.8.0.0/16": "outside", "10.8.4.128/25": "inside"} {
		if h, ok := e.egress(netip.MustParsePrefix(to)); !ok || h.iface != want {
			t.Errorf("%s leaves by %q, want %s", to, h.iface, want)
		}
	}
	// The routing table is what is in force.
	e = &End{Device: &facts.Device{Config: c, Routes: []facts.RouteEntry{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "backup"}}}}
	if h, _ := e.egress(netip.MustParsePrefix("203.0.113.0/24")); h.iface != "backup" {
		t.Errorf("the default route of the table is %q, want backup", h.iface)
	}
}

// The device's own pings are no traffic of its hosts.
func TestCountersWithoutOwnPings(t *testing.T) {
	sa := func(reading int, encaps, decaps int64) facts.IPsecSA {
		return facts.IPsecSA{Peer: netip.MustParseAddr("198.51.100.9"), Reading: reading, Encaps: encaps, Decaps: decaps,
			LocalID: facts.Selector{Prefix: netip.MustParsePrefix("10.1.0.0/24")}, RemoteID: facts.Selector{Prefix: netip.MustParsePrefix("10.2.0.0/24")}}
	}
	ping := facts.Ping{Target: netip.MustParseAddr("10.2.0.5"), Source: "inside", Sent: 5, Received: 5}
	for _, c := range []struct {
		name           string
		sas            []facts.IPsecSA
		pings          []facts.Ping
		encaps, decaps int64
	}{
		{"one reading", []facts.IPsecSA{sa(0, 40, 50)}, nil, 40, 50},
		{"difference of two", []facts.IPsecSA{sa(0, 40, 50), sa(1, 40, 90)}, nil, 0, 40},
		{"pings between two", []facts.IPsecSA{sa(0, 0, 5118), sa(1, 5, 5123)}, []facts.Ping{ping}, 0, 5118},
		{"pings before one", []facts.IPsecSA{sa(0, 5, 3319)}, []facts.Ping{ping}, 0, 3319},
		{"nothing but pings", []facts.IPsecSA{sa(0, 5, 5)}, []facts.Ping{ping}, 5, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := netip.MustParseAddr("198.51.100.9")
			e := &End{Device: &facts.Device{IPsec: c.sas, Pings: c.pings}, Peer: p, Peers: []netip.Addr{p}}
			if f := e.counters(); f.encaps != c.encaps || f.decaps != c.decaps {
				t.Errorf("encaps %d, decaps %d, want %d and %d", f.encaps, f.decaps, c.encaps, c.decaps)
			}
		})
	}
}
