package syslog

import (
	"fmt"
	"strings"
	"testing"
)

// busy writes n lines of a busy firewall's log, one in ten about VPNs.
func busy(n int) string {
	var b strings.Builder
	for i := range n {
		at := fmt.Sprintf("Oct 28 2011 15:%02d:%02d fw-1 : ", i/60%60, i%60)
		switch i % 10 {
		case 0:
			fmt.Fprintf(&b, "%s%%ASA-5-713041: Group = 198.51.100.%d, IP = 198.51.100.%d, IKE Initiator: New Phase 1, Intf inside, IKE Peer 198.51.100.%d\n", at, i%250, i%250, i%250)
		default:
			fmt.Fprintf(&b, "%s%%ASA-6-302013: Built outbound TCP connection %d for outside:203.0.113.%d/443 (203.0.113.%d/443) to inside:10.1.2.%d/48328 (192.0.2.7/48328)\n", at, i, i%250, i%250, i%250)
		}
	}
	return b.String()
}

var sink int

// BenchmarkFields is the measure for the parser: the same text cut into lines and fields.
func BenchmarkFields(b *testing.B) {
	s := busy(50000)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		for line := range strings.Lines(s) {
			sink += len(strings.Fields(line))
		}
	}
}

func BenchmarkParse(b *testing.B) {
	s := busy(50000)
	in := lines(s)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		evs, _ := Parse(in, "log")
		sink += len(evs)
	}
}

// BenchmarkNothing parses lines without any message in them.
func BenchmarkNothing(b *testing.B) {
	s := strings.Repeat("    #pkts encaps: 332341, #pkts encrypt: 332341, #pkts digest: 332341\n   current_peer 88.249.45.35 port 500\n        sa timing: remaining key lifetime (k/sec): (4390001/3327)\n crypto map VPN 10 ipsec-isakmp\n", 10000)
	in := lines(s)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		_, rest := Parse(in, "log")
		sink += len(rest)
	}
}
