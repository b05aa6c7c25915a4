package ike

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// bigCapture returns the 220 MB headend capture of shared/tools/gen_big_capture.py, from
// the file that BIG_CAPTURE names or freshly made.
func bigCapture(tb testing.TB) []byte {
	tb.Helper()
	path := os.Getenv("BIG_CAPTURE")
	if path == "" {
		tool := filepath.Join(shared(tb), "tools", "gen_big_capture.py")
		if _, err := os.Stat(tool); err != nil {
			tb.Skip("no generator: ", err)
		}
		path = filepath.Join(tb.TempDir(), "big.pcap")
		if out, err := exec.Command("python3", tool, path, "--mb", "220", "--clients", "400", "--seed", "1").CombinedOutput(); err != nil {
			tb.Skipf("the generator failed: %v: %s", err, out)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// BenchmarkRead follows the big capture, from memory: compare with BenchmarkHeadersOnly.
func BenchmarkRead(b *testing.B) {
	data := bigCapture(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(bytes.NewReader(data), "hq", "big.pcap", Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHeadersOnly is the yardstick: gopacket's zero-copy reader and the headers of
// IP, UDP and ESP, nothing else.
func BenchmarkHeadersOnly(b *testing.B) {
	data := bigCapture(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := pcapgo.NewReader(bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		var (
			eth  layers.Ethernet
			ip4  layers.IPv4
			udp  layers.UDP
			esp  layers.IPSecESP
			seen []gopacket.LayerType
		)
		parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip4, &udp, &esp)
		parser.IgnoreUnsupported = true
		n := 0
		for {
			p, _, err := r.ZeroCopyReadPacketData()
			if err != nil {
				break
			}
			if parser.DecodeLayers(p, &seen) == nil {
				n += len(seen)
			}
		}
		if n == 0 {
			b.Fatal("nothing decoded")
		}
	}
}

// TestMemoryBound: what stays after a headend capture with many peers is bounded.
func TestMemoryBound(t *testing.T) {
	path := os.Getenv("BIG_CAPTURE")
	if path == "" {
		t.Skip("BIG_CAPTURE names no capture")
	}
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c, err := Read(r, "hq", path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	live := after.HeapAlloc - before.HeapAlloc
	peers := len(c.Negotiations)
	t.Logf("%d negotiations, %d flows: %d KB live, %d KB taken from the system", peers, len(c.ESP), live>>10, after.Sys>>10)
	if limit := uint64(64<<20 + max(0, peers-400)*4<<10); after.Sys > limit {
		t.Errorf("%d MB taken, the limit is %d MB", after.Sys>>20, limit>>20)
	}
}
