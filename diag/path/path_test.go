package path_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/ike"
	"vpnbot/diag/path"
)

var lab = filepath.Join("..", "conditions", "testdata", "lab")

// Three peers behind one NAT address: three tunnels, whichever of them was captured behind it
// too, and the ESP of one is not looked for in the capture of another.
func TestPeersBehindOneAddress(t *testing.T) {
	dir := filepath.Join("..", "testdata", "wire", "n08-three-spokes-one-nat-address")
	for _, ends := range [][]string{{"hq", "spoke1", "spoke2", "spoke3"}, {"hq", "spoke2", "spoke3"}, {"hq", "spoke2"}, {"spoke1", "hq"}, {"hq"}} {
		t.Run(strings.Join(ends, "+"), func(t *testing.T) {
			var caps []*facts.Capture
			for _, end := range ends {
				r, err := os.Open(filepath.Join(dir, end+".pcap"))
				if err != nil {
					t.Fatal(err)
				}
				c, err := ike.Read(r, end, end+".pcap", ike.Options{})
				r.Close()
				if err != nil {
					t.Fatal(err)
				}
				caps = append(caps, c)
			}
			ws := path.Tunnels(caps)
			if len(ws) != 3 {
				t.Fatalf("%d tunnels, want 3", len(ws))
			}
			both := 0
			for _, w := range ws {
				if len(w.Attempts) != 1 || len(w.Flows) != 2 {
					t.Errorf("%v: %d attempts, %d flows", w.Addrs, len(w.Attempts), len(w.Flows))
				}
				if !w.Both() {
					if len(w.Ends[0].Ports) != 2 || w.Ends[0].Peers != 3 {
						t.Errorf("which of the peers: %+v", w.Ends[0])
					}
					continue
				}
				both++
				for _, f := range w.Flows {
					if f.Arrived != f.Sent || f.Lost > 0 {
						t.Errorf("%s to %s: %d of %d arrived, %d lost", w.Ends[f.From].Name, w.Ends[1-f.From].Name, f.Arrived, f.Sent, f.Lost)
					}
				}
			}
			if both != len(ends)-1 {
				t.Errorf("%d tunnels with both ends captured, want %d", both, len(ends)-1)
			}
		})
	}
}

// load reads captures of a case; own gives the headend's its address, as device.yaml does.
func load(t testing.TB, name string, files ...string) []*facts.Capture {
	t.Helper()
	var out []*facts.Capture
	for _, f := range files {
		r, err := os.Open(filepath.Join(lab, name, f))
		if err != nil {
			t.Fatal(err)
		}
		end, _, _ := strings.Cut(f, ".")
		c, err := ike.Read(r, end, end+"/"+f, ike.Options{})
		r.Close()
		if c == nil {
			t.Fatalf("%s/%s: %v", name, f, err)
		}
		if end == "hq" {
			c.Own = []netip.Addr{netip.MustParseAddr("198.51.100.1")}
		}
		out = append(out, c)
	}
	return out
}

func one(t *testing.T, ws []*path.Wire) *path.Wire {
	t.Helper()
	if len(ws) != 1 {
		t.Fatalf("%d tunnels, want one", len(ws))
	}
	return ws[0]
}

// TestLostPackets compares what the comparison calls lost with the packet numbers that the
// cases' authors found by hand.
func TestLostPackets(t *testing.T) {
	dirs, err := os.ReadDir(lab)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		b, err := os.ReadFile(filepath.Join(lab, d.Name(), "label.json"))
		if err != nil {
			t.Fatal(err)
		}
		var l struct {
			Lost  map[string][]string `json:"lost"`
			Files []string            `json:"files"`
		}
		if err := json.Unmarshal(b, &l); err != nil {
			t.Fatal(err)
		}
		if l.Lost == nil {
			continue
		}
		t.Run(d.Name(), func(t *testing.T) {
			want := []int{}
			for _, ps := range l.Lost {
				for _, p := range ps {
					var n int
					if _, err := fmt.Sscan(p, &n); err != nil {
						t.Fatal(err)
					}
					want = append(want, n)
				}
			}
			w := one(t, path.Tunnels(load(t, d.Name(), l.Files...)))
			got := []int{}
			for _, a := range w.Attempts {
				for _, m := range a.Msgs {
					if m.From != 1 || !m.Gone() {
						continue
					}
					if len(m.Fragments) == 0 {
						got = append(got, m.Packet)
					}
					for i, f := range m.Fragments {
						if r := m.Rcvd(); r != nil && i < len(r.Fragments) && r.Fragments[i].Offset == f.Offset {
							continue // this one arrived
						}
						got = append(got, f.Packet)
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("lost packets of hq.pcap: %v, want %v", got, want)
			}
		})
	}
}

func TestClockOffsetIsMeasuredFromThePackets(t *testing.T) {
	w := one(t, path.Tunnels(load(t, "25h-clock-skew-natpool", "hq.pcap", "spoke.pcap")))
	for _, v := range w.Views[1:] {
		d := v.Offset.Abs() - 41700*time.Millisecond
		if !v.Synced || d.Abs() > 100*time.Millisecond {
			t.Errorf("offset %v (measured %v), want 41.7 s", v.Offset, v.Synced)
		}
	}
}

func TestNATIsSeenAsAChangeAndBothAddressesAreOneEnd(t *testing.T) {
	w := one(t, path.Tunnels(load(t, "13-ezvpn-vpnc-natpool-ignored", "hq.pcap", "spoke.pcap")))
	spoke := w.Ends[0]
	for _, a := range []string{"10.20.0.10", "203.0.113.66", "203.0.113.71"} {
		if !slices.Contains(spoke.Addrs, netip.MustParseAddr(a)) {
			t.Errorf("%s is not known as the spoke: %v", a, spoke.Addrs)
		}
	}
	if got := fmt.Sprint(w.Addrs); got != "[198.51.100.1 203.0.113.66]" {
		t.Errorf("the tunnel is called %s", got)
	}
	changed := false
	for _, m := range w.Attempts[0].Msgs {
		for _, c := range m.Changes {
			changed = changed || c == "source address 10.20.0.10 became 203.0.113.71"
		}
	}
	if !changed {
		t.Error("the changed source address of the second leg was not seen")
	}
}

func TestVantagePointsAreFoundWithoutBeingTold(t *testing.T) {
	for _, name := range []string{"01-main-psk-healthy", "08-main-wrong-psk", "13-ezvpn-vpnc-natpool-ignored"} {
		for _, swap := range []bool{false, true} {
			caps := load(t, name, "hq.pcap", "spoke.pcap")
			caps[0].Own = nil
			if swap {
				slices.Reverse(caps)
			}
			w := one(t, path.Tunnels(caps))
			if w.Ends[0].Name != "spoke" || w.Ends[1].Name != "hq" {
				t.Errorf("%s: ends %q and %q", name, w.Ends[0].Name, w.Ends[1].Name)
			}
		}
	}
}

func TestHubWithFiveSpokes(t *testing.T) {
	ws := path.Tunnels(load(t, "19-five-spokes-one-wrong-psk", "hq.pcap", "spoke1.pcap", "spoke2.pcap", "spoke3.pcap", "spoke4.pcap", "spoke5.pcap"))
	if len(ws) != 5 {
		t.Fatalf("%d tunnels, want 5", len(ws))
	}
	for _, w := range ws {
		if !w.Both() || w.Ends[1].Name != "hq" || len(w.Views) != 2 {
			t.Errorf("%v: ends %q and %q, %d captures", w.Addrs, w.Ends[0].Name, w.Ends[1].Name, len(w.Views))
		}
	}
}

func TestDuplicatesOfTheNetworkAreNotResends(t *testing.T) {
	w := one(t, path.Tunnels(load(t, "18b-ezvpn-vpnc-dup-reorder-healthy", "hq.pcap", "spoke.pcap")))
	doubled := 0
	for _, a := range w.Attempts {
		for _, m := range a.Msgs {
			doubled += len(m.Copies)
			if m.Gone() {
				t.Errorf("%s of packet %d counts as lost", m.Label, m.Packet)
			}
		}
	}
	if doubled == 0 {
		t.Error("no packet was seen doubled")
	}
}

func TestDifferentAttemptsAreNotCompared(t *testing.T) {
	w := one(t, path.Tunnels(load(t, "25n-captures-of-different-attempts", "hq.pcap", "spoke.pcap")))
	if w.Comparable || w.Common != 0 {
		t.Errorf("comparable %v, %d packets in common", w.Comparable, w.Common)
	}
}

// FuzzTunnels compares a damaged capture with a whole one: whatever the decoder makes of
// it, the comparison ends.
func FuzzTunnels(f *testing.F) {
	whole := load(f, "13-ezvpn-vpnc-natpool-ignored", "hq.pcap")
	for _, c := range []string{"13-ezvpn-vpnc-natpool-ignored", "27a-ezvpn-vpnc-modecfg-nonfirst-frags-dropped", "20a-ctcp-lost-segment-never-resent"} {
		b, err := os.ReadFile(filepath.Join(lab, c, "spoke.pcap"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _ := ike.Read(strings.NewReader(string(b)), "x", "x.pcap", ike.Options{})
		if c == nil {
			return
		}
		for _, w := range path.Tunnels(append([]*facts.Capture{c}, whole...)) {
			for _, a := range w.Attempts {
				a.Trades()
				w.Ladder(a, nil, "", "")
			}
			w.Sizes(0)
			w.Sizes(1)
		}
	})
}
