package emulator_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"vpnbot/devices/emulator"
)

// BenchmarkSession is what the emulator itself costs: login, enable, paging off, one
// show, logout, by a bare client in the same process.
func BenchmarkSession(b *testing.B) {
	l := start(b, emulator.Options{Scenario: "none", Devices: 1})
	d := l.Device("site-0001")
	_, _, enable := d.Login()
	b.ReportAllocs()
	for b.Loop() {
		c, err := dial(b, d)
		if err != nil {
			b.Fatal(err)
		}
		s, err := c.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		s.RequestPty("vt100", 24, 80, ssh.TerminalModes{})
		in, _ := s.StdinPipe()
		out, _ := s.StdoutPipe()
		if err := s.Shell(); err != nil {
			b.Fatal(err)
		}
		io.WriteString(in, "enable\r"+enable+"\rterminal pager 0\rshow crypto isakmp sa\rexit\r")
		text, _ := io.ReadAll(out)
		if !strings.Contains(string(text), "READY    INITIATOR") {
			b.Fatalf("got %q", text)
		}
		c.Close()
	}
}

// BenchmarkFleet is the start and stop of a thousand devices; B/device is what an idle
// one holds.
func BenchmarkFleet(b *testing.B) {
	const n = 1000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := start(b, emulator.Options{Scenario: "none", Devices: n})
		runtime.GC()
		runtime.ReadMemStats(&after)
		l.Close()
	}
	b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/n, "B/device")
}
