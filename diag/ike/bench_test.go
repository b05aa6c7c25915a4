package ike

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// bigCapture is the path of the 220 MB headend capture of shared/tools/gen_big_capture.py, from
// the file that BIG_CAPTURE names or freshly made.
func bigCapture(tb testing.TB) string {
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
	return path
}

// cpu is the processor time this process has used, user and system.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// overFile runs read over the file again and again and reports processor time, in which
// the garbage collector on other cores counts too.
func overFile(b *testing.B, path string, read func(io.Reader)) {
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(st.Size())
	b.ReportAllocs()
	start := cpu(b)
	for b.Loop() {
		r, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		read(r)
		r.Close()
	}
	b.ReportMetric(float64((cpu(b)-start).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// BenchmarkRead follows the big capture: compare its cpu-ms/op with BenchmarkHeadersOnly's.
func BenchmarkRead(b *testing.B) {
	path := bigCapture(b)
	overFile(b, path, func(r io.Reader) {
		if _, err := Read(r, "hq", "big.pcap", Options{}); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkHeadersOnly is the yardstick: gopacket's zero-copy reader and the headers of
// IP, UDP and ESP, nothing else.
func BenchmarkHeadersOnly(b *testing.B) {
	path := bigCapture(b)
	overFile(b, path, func(file io.Reader) {
		r, err := pcapgo.NewReader(bufio.NewReaderSize(file, 1<<20))
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
	})
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
	peers := c.Folded.Negotiations()
	t.Logf("%d negotiations, %d flows: %d KB live, %d KB taken from the system", peers, c.Folded.Flows(), live>>10, after.Sys>>10)
	if limit := uint64(64<<20 + max(0, peers-400)*4<<10); after.Sys > limit {
		t.Errorf("%d MB taken, the limit is %d MB", after.Sys>>20, limit>>20)
	}
}
