package conditions_test

import (
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func labTap(name, end string) tap { return readTap(filepath.Join("testdata/lab", name, end+".pcap")) }

// An end behind NAT that falls silent in the midst of traffic it had begun is dead: its next packet
// would have made a mapping that the NAT forgot.
func TestPeerBehindNATDies(t *testing.T) {
	for _, name := range []string{"03-main-natt-healthy", "03b-ezvpn-vpnc-natt-healthy", "04b-ikev2-natt-healthy"} {
		taps := []tap{labTap(name, "hq"), labTap(name, "spoke")}
		var end time.Time
		n := 0
		for _, p := range taps[1].pkts {
			if p.ip[9] == 17 && ikeAt(p.ip) == 0 {
				if n++; n == 5 {
					end = p.at
				}
			}
		}
		taps = each(taps, func(tp *tap, p pkt) []pkt {
			if p.at.After(end) && (tp.name == "spoke" || incoming(p)) {
				return nil
			}
			return []pkt{p}
		})
		if fs := judgeTaps(t, taps, "").Findings; len(fs) == 0 || fs[0].ID != "dead-peer" {
			t.Errorf("%s: %v", name, fs)
		}
	}
}

// IKE whose lengths are wrong is damaged IKE and not its absence.
func TestDamagedIKE(t *testing.T) {
	for _, name := range []string{"01-main-psk-healthy", "04-ikev2-psk-healthy"} {
		tp := each([]tap{labTap(name, "spoke")}, func(_ *tap, p pkt) []pkt {
			h := ikeAt(p.ip)
			if h == 0 {
				return nil
			}
			binary.BigEndian.PutUint32(p.ip[h+24:], binary.BigEndian.Uint32(p.ip[h+24:])+77)
			return []pkt{p}
		})
		fs := judgeTaps(t, tp, "").Findings
		if len(fs) != 1 || fs[0].Confidence > 0.6 || !strings.Contains(fs[0].Title, "damaged") {
			t.Errorf("%s: %+v", name, fs)
		}
	}
}

// A question without vendor ids that is refused while another tunnel works is a scanner's. One that
// comes for minutes is a gateway's.
func TestScannerOrGateway(t *testing.T) {
	for _, tc := range []struct {
		times int
		every time.Duration
		want  string
	}{{1, 0, ""}, {3, 5 * time.Second, ""}, {8, 30 * time.Second, "phase1-policy-mismatch"}} {
		hq := labTap("01-main-psk-healthy", "hq")
		o := labTap("10-main-unknown-peer", "hq")
		k := addresses([]tap{o})
		start := hq.pkts[0].at.Sub(o.pkts[0].at) + time.Second
		for i := range tc.times {
			for _, p := range o.pkts {
				h := ikeAt(p.ip)
				if h == 0 {
					continue
				}
				p = readdress(p, func(a netip.Addr) netip.Addr {
					if a == netip.MustParseAddr("198.51.100.1") {
						return a
					}
					return netip.MustParseAddr("198.18.9.77")
				}, k)
				p.ip = slices.Clone(p.ip)
				p.at = p.at.Add(start + time.Duration(i)*tc.every)
				p.ip[h+3] += byte(i) // a new attempt has a new cookie
				if p.ip[h+16] == 1 { // the SA payload alone
					n := h + 28 + int(binary.BigEndian.Uint16(p.ip[h+30:]))
					p.ip = p.ip[:n]
					p.wire, p.ip[h+28] = n, 0
					binary.BigEndian.PutUint16(p.ip[2:], uint16(n))
					binary.BigEndian.PutUint16(p.ip[24:], uint16(n-20))
					binary.BigEndian.PutUint32(p.ip[h+24:], uint32(n-h))
				}
				hq.pkts = append(hq.pkts, p)
			}
		}
		sortTap(&hq)
		first := ""
		for _, f := range judgeTaps(t, []tap{hq}, "").Findings {
			if strings.Contains(f.Tunnel, "198.18.9.77") {
				first = f.ID
				break
			}
		}
		if first != tc.want {
			t.Errorf("%d times: %q, want %q", tc.times, first, tc.want)
		}
	}
}

// ESP that is blocked one way, and a capture that ended early at the end it comes from: that end is
// not dead.
func TestBlockedIsNotDead(t *testing.T) {
	taps := []tap{labTap("12a-esp-blocked-to-hq", "hq"), labTap("12a-esp-blocked-to-hq", "spoke")}
	for _, to := range []float64{0.3, 0.6, 0.7, 0.8, 0.9} {
		fs := judgeTaps(t, part("spoke", 0, to)(taps), "").Findings
		if len(fs) != 1 || fs[0].ID != "esp-blocked" {
			t.Errorf("up to %.1f: %v", to, fs)
		}
	}
}
