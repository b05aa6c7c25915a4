package devices_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"vpnbot/devices"
	"vpnbot/devices/command"
	"vpnbot/devices/emulator"
	"vpnbot/devices/inventory"
	"vpnbot/devices/session"
)

// The benchmarks of docs/devices.md. The devices run in another process; ours and the
// bare client take turns on them within one run, so that the machine's load is the same
// for both, and what counts is the ratio.

// benchLab names the environment variable that makes this test binary serve devices.
const benchLab = "VPNBOT_BENCH_LAB"

// serveBenchLab is the other process: "devices latency directory".
func serveBenchLab(args string) error {
	var n int
	var latency time.Duration
	var dir, l string
	if _, err := fmt.Sscan(args, &n, &l, &dir); err != nil {
		return err
	}
	latency, err := time.ParseDuration(l)
	if err != nil {
		return err
	}
	lab, err := emulator.Start(context.Background(), emulator.Options{Dir: dir, Scenario: "none", Devices: n, Latency: latency})
	if err != nil {
		return err
	}
	defer lab.Close()
	for i, megabytes := range largeOutputs { // ASAs are the first, third, ...
		if d := lab.Device(fmt.Sprintf("site-%04d", 2*i+1)); d != nil {
			line := "Nov 27 2026 15:44:51: %ASA-6-602303: IPSEC: An inbound LAN-to-LAN SA (SPI= 0x7B16A0B7) has been created.\n"
			d.SetOutput("show logging", strings.Repeat(line, megabytes<<20/len(line)))
		}
	}
	fmt.Print(lab.ConfigYAML(), "---\n")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark ends
	return nil
}

var largeOutputs = []int{1, 5, 10, 20} // MB

type remoteLab struct {
	inv   *inventory.Inventory
	known *session.KnownHosts
	check ssh.HostKeyCallback
}

func startRemote(b *testing.B, n int, latency time.Duration) *remoteLab {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %v %s", benchLab, n, latency, dir))
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	var text strings.Builder
	for r := bufio.NewScanner(out); r.Scan() && r.Text() != "---"; {
		text.WriteString(r.Text() + "\n")
	}
	conf := inventory.Config{SSH: inventory.Defaults()}
	if err := yaml.UnmarshalWithOptions([]byte(withSecrets(b, text.String())), &conf, yaml.Strict()); err != nil {
		b.Fatal(err)
	}
	conf.SSH.LoginsPerSecond, conf.SSH.KeepAlive = 0, 0
	conf.SSH.ConnectTimeout, conf.SSH.CommandTimeout = time.Minute, time.Minute
	l := &remoteLab{known: session.NewKnownHosts(filepath.Join(dir, "known_hosts"))}
	if l.inv, err = inventory.New(conf); err != nil {
		b.Fatal(err)
	}
	if l.check, err = knownhosts.New(filepath.Join(dir, "known_hosts")); err != nil {
		b.Fatal(err)
	}
	return l
}

func (l *remoteLab) config(d inventory.Device) session.Config {
	cred := l.inv.Credential(d)
	return session.Config{Platform: d.Platform, Address: d.Address, User: cred.Username, Password: cred.Password, Enable: cred.Enable, KnownHosts: l.known,
		ConnectTimeout: time.Minute, CommandTimeout: time.Minute}
}

// show is the one command of the jobs.
func show(b *testing.B, d inventory.Device, evidence string) command.Command {
	b.Helper()
	c, err := command.Evidence(command.TargetOf(d, command.Version{}), evidence, command.Query{})
	if err != nil {
		b.Fatal(err)
	}
	return c[0]
}

// bare is golang.org/x/crypto/ssh and nothing else: it sends the same lines and waits for
// the same prompts.
type bare struct {
	client *ssh.Client
	in     io.WriteCloser
	out    io.Reader
	buf    []byte
}

func (l *remoteLab) bare(d inventory.Device) (*bare, error) {
	cred := l.inv.Credential(d)
	client, err := ssh.Dial("tcp", d.Address, &ssh.ClientConfig{User: cred.Username, Auth: []ssh.AuthMethod{ssh.Password(cred.Password)},
		HostKeyCallback: l.check, HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}})
	if err != nil {
		return nil, err
	}
	s, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	x := &bare{client: client}
	x.in, err = s.StdinPipe()
	if err != nil {
		return nil, err
	}
	if x.out, err = s.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := errors.Join(s.RequestPty("vt100", 1000, 511, nil), s.Shell()); err != nil {
		return nil, err
	}
	paging := "terminal length 0"
	if d.Platform == inventory.CiscoASA {
		paging = "terminal pager 0"
	}
	if cred.Enable == "" {
		return x, errors.Join(x.until("#"), x.send(paging, "#"))
	}
	return x, errors.Join(x.until("> "), x.send("enable", "Password: "), x.send(cred.Enable, "# "), x.send(paging, "# "))
}

func (x *bare) send(line, prompt string) error {
	if _, err := io.WriteString(x.in, line+"\n"); err != nil {
		return err
	}
	return x.until(prompt)
}

// until reads to a prompt at the end of what came.
func (x *bare) until(prompt string) error {
	x.buf = x.buf[:0]
	for !bytes.HasSuffix(x.buf, []byte(prompt)) {
		if cap(x.buf)-len(x.buf) < 1024 {
			x.buf = append(x.buf, make([]byte, max(2048, len(x.buf)))...)[:len(x.buf)]
		}
		n, err := x.out.Read(x.buf[len(x.buf):cap(x.buf)])
		x.buf = x.buf[:len(x.buf)+n]
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *bare) close() error {
	_, _ = io.WriteString(x.in, "exit\n")
	_, _ = io.Copy(io.Discard, x.out)
	_ = x.client.Close() // the device was first
	return nil
}

// turns measures two ways of the same job, in turn.
type turns struct{ ours, bare time.Duration }

func (t *turns) run(b *testing.B, ours, bare func() error) {
	b.Helper()
	for _, j := range []struct {
		sum *time.Duration
		do  func() error
	}{{&t.ours, ours}, {&t.bare, bare}} {
		began := time.Now()
		if err := j.do(); err != nil {
			b.Fatal(err)
		}
		*j.sum += time.Since(began)
	}
}

// report gives milliseconds a job for both, and how fast ours is against the bare one.
func (t *turns) report(b *testing.B) {
	n := float64(b.N)
	b.ReportMetric(float64(t.ours.Microseconds())/1000/n, "ours-ms")
	b.ReportMetric(float64(t.bare.Microseconds())/1000/n, "bare-ms")
	b.ReportMetric(t.bare.Seconds()/t.ours.Seconds(), "rate-vs-bare")
	b.ReportMetric(0, "ns/op") // the two together: says nothing
}

// BenchmarkOpen: login, enable, paging off, one show, logout.
func BenchmarkOpen(b *testing.B) {
	l := startRemote(b, 1, 0)
	d := l.inv.Devices()[0]
	c := show(b, d, "ike-sa")
	var t turns
	for b.Loop() {
		t.run(b, func() error {
			s, err := session.Open(context.Background(), l.config(d))
			if err != nil {
				return err
			}
			_, _, err = s.Exec(context.Background(), c)
			return errors.Join(err, s.Close())
		}, func() error {
			x, err := l.bare(d)
			if err != nil {
				return err
			}
			return errors.Join(x.send(c.Line(), "# "), x.close())
		})
	}
	t.report(b)
}

// BenchmarkSweep: 1,000 devices cold, 64 at once, one show each, by the whole fleet: its
// queues, its politeness (without the limit of logins in a second), redaction, logout.
func BenchmarkSweep(b *testing.B) {
	const atOnce = 64
	l := startRemote(b, 1000, 0)
	all := l.inv.Devices()
	each := func(f func(inventory.Device) error) error {
		var wg sync.WaitGroup
		slots := make(chan struct{}, atOnce)
		errs := make([]error, len(all))
		for i, d := range all {
			wg.Go(func() {
				slots <- struct{}{}
				errs[i] = f(d)
				<-slots
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	var t turns
	for b.Loop() {
		f, err := devices.New(l.inv, devices.Options{})
		if err != nil {
			b.Fatal(err)
		}
		t.run(b, func() error {
			return each(func(d inventory.Device) error {
				_, err := f.Run(context.Background(), d.Name, plain, show(b, d, "ike-sa"))
				return err
			})
		}, func() error {
			return each(func(d inventory.Device) error {
				x, err := l.bare(d)
				if err != nil {
					return err
				}
				prompt := "#"
				if d.Platform == inventory.CiscoASA {
					prompt = "# "
				}
				return errors.Join(x.send(show(b, d, "ike-sa").Line(), prompt), x.close())
			})
		})
		_ = f.Close()
	}
	t.report(b)
	b.ReportMetric(float64(len(all)*b.N)/t.ours.Seconds(), "devices/s")
	b.ReportMetric(t.ours.Seconds()/t.bare.Seconds(), "time-vs-bare")
}

// BenchmarkCommand: one more command in an open session.
func BenchmarkCommand(b *testing.B) {
	l := startRemote(b, 1, 0)
	d := l.inv.Devices()[0]
	c := show(b, d, "ike-sa")
	s, err := session.Open(context.Background(), l.config(d))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	x, err := l.bare(d)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = x.close() }()
	var t turns
	for b.Loop() {
		t.run(b, func() error { _, _, err := s.Exec(context.Background(), c); return err }, func() error { return x.send(c.Line(), "# ") })
	}
	t.report(b)
}

// BenchmarkRoundTrips: a line of 50 ms there and back. The fleet's further command in an
// idle session, as a sweep sends it, costs one exchange and no login.
func BenchmarkRoundTrips(b *testing.B) {
	const rtt = 50 * time.Millisecond
	l := startRemote(b, 1, rtt)
	d := l.inv.Devices()[0]
	conf := l.config(d)
	c := show(b, d, "ike-sa")
	var open, exec time.Duration
	for b.Loop() {
		began := time.Now()
		s, err := session.Open(context.Background(), conf)
		if err != nil {
			b.Fatal(err)
		}
		open += time.Since(began)
		began = time.Now()
		if _, _, err := s.Exec(context.Background(), c); err != nil {
			b.Fatal(err)
		}
		exec += time.Since(began)
		_ = s.Close()
	}
	b.ReportMetric(open.Seconds()/rtt.Seconds()/float64(b.N), "open-round-trips")
	b.ReportMetric(exec.Seconds()/rtt.Seconds()/float64(b.N), "command-round-trips")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIdle: what an idle session holds: (HeapAlloc + StackInuse) / sessions after a
// collection.
func BenchmarkIdle(b *testing.B) {
	const n = 400
	l := startRemote(b, n, 0)
	held := func(open func(inventory.Device) (func(), error)) float64 {
		var before, after runtime.MemStats
		closers := make([]func(), n)
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i, d := range l.inv.Devices() {
			var err error
			if closers[i], err = open(d); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		for _, c := range closers {
			c()
		}
		return float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse) / n
	}
	for b.Loop() {
		ours := held(func(d inventory.Device) (func(), error) {
			s, err := session.Open(context.Background(), l.config(d))
			if err != nil {
				return nil, err
			}
			_, _, err = s.Exec(context.Background(), show(b, d, "ike-sa"))
			return func() { _ = s.Close() }, err
		})
		bare := held(func(d inventory.Device) (func(), error) {
			x, err := l.bare(d)
			return func() { _ = x.close() }, err
		})
		b.ReportMetric(ours, "B/session")
		b.ReportMetric(bare, "B/bare-session")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLargeOutput: show logging of 1 to 20 MB. In linear time the rate stays the same.
func BenchmarkLargeOutput(b *testing.B) {
	l := startRemote(b, 2*len(largeOutputs), 0)
	for i, megabytes := range largeOutputs {
		b.Run(strconv.Itoa(megabytes)+"MB", func(b *testing.B) {
			d := l.inv.Devices()[2*i]
			c := show(b, d, "log")
			s, err := session.Open(context.Background(), l.config(d))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			x, err := l.bare(d)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = x.close() }()
			whole := 0
			var t turns
			for b.Loop() {
				t.run(b, func() error {
					a, _, err := s.Exec(context.Background(), show(b, d, "log"))
					whole = len(a.Text)
					return err
				}, func() error { return x.send(c.Line(), "# ") })
			}
			if whole == 0 {
				b.Fatal("nothing came")
			}
			t.report(b)
			b.ReportMetric(float64(whole)*float64(b.N)/1e6/t.ours.Seconds(), "MB/s")
		})
	}
}

// BenchmarkNetmiko: the job of BenchmarkOpen by python3-netmiko, beside ours.
func BenchmarkNetmiko(b *testing.B) {
	const python = "/usr/bin/python3" // Debian's, which has Debian's packages
	if out, err := exec.Command(python, "-c", "import netmiko").CombinedOutput(); err != nil {
		b.Skipf("no netmiko: install the package python3-netmiko (%s)", bytes.TrimSpace(out))
	}
	l := startRemote(b, 1, 0)
	d := l.inv.Devices()[0]
	cred := l.inv.Credential(d)
	host, port, err := net.SplitHostPort(d.Address)
	if err != nil {
		b.Fatal(err)
	}
	portNumber, err := strconv.Atoi(port)
	if err != nil {
		b.Fatal(err)
	}
	c := show(b, d, "ike-sa")
	const jobs = 3
	var t turns
	for b.Loop() {
		job, err := json.Marshal(map[string]any{"host": host, "port": portNumber, "user": cred.Username, "password": cred.Password, "enable": cred.Enable, "count": jobs})
		if err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(python, "testdata/netmiko_bench.py")
		cmd.Stdin, cmd.Stderr = bytes.NewReader(job), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		for f := range strings.FieldsSeq(string(out)) {
			seconds, err := strconv.ParseFloat(f, 64)
			if err != nil {
				b.Fatal(err)
			}
			t.bare += time.Duration(seconds * float64(time.Second) / jobs)
		}
		for range jobs {
			began := time.Now()
			s, err := session.Open(context.Background(), l.config(d))
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := s.Exec(context.Background(), c); err != nil {
				b.Fatal(err)
			}
			_ = s.Close()
			t.ours += time.Since(began) / jobs
		}
	}
	b.ReportMetric(float64(t.ours.Microseconds())/1000/float64(b.N), "ours-ms")
	b.ReportMetric(float64(t.bare.Microseconds())/1000/float64(b.N), "netmiko-ms")
	b.ReportMetric(0, "ns/op")
}
