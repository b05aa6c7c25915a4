package devices_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"vpnbot/devices"
	"vpnbot/devices/command"
	"vpnbot/devices/emulator"
	"vpnbot/devices/inventory"
	"vpnbot/diag/dump"
)

// keys holds the host keys and secrets of the emulated network: they are made once.
var keys string

func TestMain(m *testing.M) {
	if args := os.Getenv(benchLab); args != "" {
		if err := serveBenchLab(args); err != nil {
			panic(err)
		}
		return
	}
	dir, err := os.MkdirTemp("", "vpnbot-devices")
	if err != nil {
		panic(err)
	}
	lab, err := emulator.Start(context.Background(), emulator.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	lab.Close()
	_ = os.Remove(dir + "/known_hosts")
	keys = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func plain(s string) string { return s }

// bench is an emulated network and a fleet on it.
type bench struct {
	lab   *emulator.Lab
	inv   *inventory.Inventory
	conf  inventory.Config
	fleet *devices.Fleet
	gate  *gate
	book  *journal
}

var secretFile = regexp.MustCompile(`\$\{file:([^}]+)\}`)

// withSecrets reads the files that a configuration names.
func withSecrets(t testing.TB, text string) string {
	t.Helper()
	return secretFile.ReplaceAllStringFunc(text, func(m string) string {
		b, err := os.ReadFile(secretFile.FindStringSubmatch(m)[1])
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimRight(string(b), "\n")
	})
}

func newBench(t testing.TB, change ...func(*inventory.Config)) *bench {
	t.Helper()
	return newBenchWith(t, emulator.Options{Dir: t.TempDir()}, change...)
}

func newBenchWith(t testing.TB, o emulator.Options, change ...func(*inventory.Config)) *bench {
	t.Helper()
	if err := os.CopyFS(o.Dir, os.DirFS(keys)); err != nil {
		t.Fatal(err)
	}
	lab, err := emulator.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	text := withSecrets(t, lab.ConfigYAML())
	b := &bench{lab: lab, gate: &gate{open: map[string]int{}}, book: &journal{lent: map[int64]command.Lent{}}}
	b.conf.SSH = inventory.Defaults()
	if err := yaml.UnmarshalWithOptions([]byte(text), &b.conf, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&b.conf)
	}
	if b.inv, err = inventory.New(b.conf); err != nil {
		t.Fatal(err)
	}
	b.fleet = b.newFleet(t, devices.Options{Gate: b.gate, Journal: b.book})
	return b
}

func (b *bench) newFleet(t testing.TB, o devices.Options) *devices.Fleet {
	t.Helper()
	f, err := devices.New(b.inv, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// gate admits each proposal as often as open says.
type gate struct {
	mu     sync.Mutex
	open   map[string]int
	claims []string
	during func()
}

func (g *gate) Claim(_ context.Context, proposal, device string, sum [32]byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.during != nil {
		g.during()
	}
	if g.open[proposal] == 0 {
		return devices.ErrNotClaimed
	}
	g.open[proposal]--
	g.claims = append(g.claims, proposal+" "+device)
	return nil
}

type journal struct {
	mu   sync.Mutex
	next int64
	lent map[int64]command.Lent
	fail error

	lentHook func() // called when a capture was written down
}

func (j *journal) Lend(_ context.Context, l command.Lent) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fail != nil {
		return 0, j.fail
	}
	j.next++
	j.lent[j.next] = l
	if j.lentHook != nil {
		j.lentHook()
	}
	return j.next, nil
}

func (j *journal) Returned(_ context.Context, id int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.lent, id)
	return nil
}

func (j *journal) Outstanding(context.Context) (map[int64]command.Lent, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := map[int64]command.Lent{}
	for k, v := range j.lent {
		out[k] = v
	}
	return out, nil
}

// Every evidence name, on every emulated device: the device understands each line, and
// nothing but these lines reaches it.
func TestEvidenceOnBothPlatforms(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	for _, tun := range b.inv.Tunnels() {
		for i, e := range tun.Ends {
			if e.Device == "" {
				continue
			}
			t.Run(tun.Name+"/"+e.Device, func(t *testing.T) {
				target, err := b.fleet.Target(ctx, e.Device)
				if err != nil {
					t.Fatal(err)
				}
				if !target.Version.Known() {
					t.Errorf("version of %s is not understood", e.Device)
				}
				q := command.Query{Peer: b.inv.PeerAddress(tun.Ends[1-i]), Kind: tun.Kind, Networks: tun.Ends[1-i].Networks}
				var cmds []command.Command
				for _, n := range command.EvidenceNames {
					c, err := command.Evidence(target, n, q)
					if err != nil {
						t.Fatal(err)
					}
					cmds = append(cmds, c...)
				}
				out, err := b.fleet.Run(ctx, e.Device, plain, cmds...)
				if err != nil {
					t.Fatal(err)
				}
				if len(out) != len(cmds) {
					t.Fatalf("%d outputs of %d commands", len(out), len(cmds))
				}
				for k, o := range out {
					if o.Refused {
						t.Errorf("%s refused: %s", o.Command, o.Text)
					}
					if o.Command != cmds[k].Line() || strings.Contains(o.Text, o.Command) {
						t.Errorf("%s: the answer holds the echo or belongs to another line: %.80q", o.Command, o.Text)
					}
				}
				for _, l := range b.lab.Device(e.Device).Executed() {
					if err := command.Allowed(target.Platform, l.Text); l.Text != "" && err != nil {
						t.Errorf("the device received %q: %v", l.Text, err)
					}
				}
			})
		}
	}
}

func evidence(t testing.TB, b *bench, device, name string) []command.Command {
	t.Helper()
	d, err := b.inv.Device(device)
	if err != nil {
		t.Fatal(err)
	}
	c, err := command.Evidence(command.TargetOf(d, command.Version{}), name, command.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIdleSessionIsReused(t *testing.T) {
	b := newBench(t)
	hq := b.lab.Device("hq-asa")
	clock := evidence(t, b, "hq-asa", "clock")
	for range 3 {
		if _, err := b.fleet.Run(context.Background(), "hq-asa", plain, clock...); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := hq.Logins(); n != 1 {
		t.Errorf("%d logins for three runs", n)
	}
	// A session that the device ended meanwhile is replaced without an error.
	hq.CloseSessions()
	if _, err := b.fleet.Run(context.Background(), "hq-asa", plain, clock...); err != nil {
		t.Errorf("after the device closed the idle session: %v", err)
	}
	if err := b.fleet.Close(); err != nil {
		t.Error(err)
	}
	if n := hq.Count("exit"); n < 1 {
		t.Error("it did not log out")
	}
}

func TestOneSessionPerDevice(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for range 20 {
		wg.Go(func() {
			_, err := b.fleet.Run(context.Background(), "hq-asa", plain, evidence(t, b, "hq-asa", "clock")...)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n, _ := b.lab.Device("hq-asa").Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

func reason(t testing.TB, err error) devices.Reason {
	t.Helper()
	var e *devices.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	return e.Reason
}

func TestRejectedPasswordIsNotTriedAgain(t *testing.T) {
	b := newBench(t)
	hq := b.lab.Device("hq-asa")
	hq.RejectLogins(true)
	for range 3 {
		_, err := b.fleet.Run(context.Background(), "hq-asa", plain, evidence(t, b, "hq-asa", "clock")...)
		if r := reason(t, err); r != devices.Auth {
			t.Errorf("%v", err)
		}
	}
	if _, n := hq.Logins(); n != 1 {
		t.Errorf("the device saw %d wrong passwords", n)
	}
}

func TestFaultsOverTheFleet(t *testing.T) {
	cases := []struct {
		name  string
		fault func(*emulator.Device)
		want  devices.Reason
	}{
		{"refused", func(d *emulator.Device) { _ = d.Refuse(true) }, devices.Refused},
		{"hangs on connect", func(d *emulator.Device) { d.HangOnConnect(true) }, devices.Timeout},
		{"hangs in a command", func(d *emulator.Device) { d.HangAfter("show clock") }, devices.Timeout},
		{"closes in a command", func(d *emulator.Device) { d.CloseMidCommand("show clock") }, devices.Closed},
		{"host key changed", func(d *emulator.Device) { d.WrongHostKey(true) }, devices.HostKey},
		{"old algorithms", func(d *emulator.Device) { d.LegacyAlgorithms(true) }, devices.NotUnderstood},
	}
	b := newBench(t, func(c *inventory.Config) { c.SSH.ConnectTimeout, c.SSH.CommandTimeout = time.Second, time.Second })
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, func(c *inventory.Config) { c.SSH.ConnectTimeout, c.SSH.CommandTimeout = time.Second, time.Second })
			tc.fault(b.lab.Device("hq-asa"))
			_, err := b.fleet.Run(context.Background(), "hq-asa", plain, evidence(t, b, "hq-asa", "clock")...)
			if got := reason(t, err); got != tc.want {
				t.Errorf("%s, want %s: %v", got, tc.want, err)
			}
			t.Log(err) // go test -v shows what the user sees
			for _, s := range b.lab.Secrets() {
				if strings.Contains(err.Error(), s) {
					t.Errorf("%v: holds a secret", err)
				}
			}
		})
	}
	t.Run("full", func(t *testing.T) {
		// Five other people hold all sessions: busy, not down.
		var fleets []*devices.Fleet
		for range emulator.MaxSessions {
			f := b.newFleet(t, devices.Options{})
			if _, err := f.Run(context.Background(), "hq-asa", plain, evidence(t, b, "hq-asa", "clock")...); err != nil {
				t.Fatal(err)
			}
			fleets = append(fleets, f)
		}
		_, err := b.fleet.Run(context.Background(), "hq-asa", plain, evidence(t, b, "hq-asa", "clock")...)
		if got := reason(t, err); got != devices.Busy {
			t.Errorf("%v", err)
		}
		t.Log(err)
		for _, f := range fleets {
			_ = f.Close()
		}
	})
	t.Run("authorisation denied", func(t *testing.T) {
		b.lab.Device("oslo-asa").AuthorizationDenied("show memory")
		out, err := b.fleet.Run(context.Background(), "oslo-asa", plain, slices.Concat(evidence(t, b, "oslo-asa", "memory"), evidence(t, b, "oslo-asa", "clock"))...)
		if err != nil || !out[0].Refused || out[1].Refused {
			t.Errorf("%+v %v", out, err)
		}
	})
	t.Run("paging forced", func(t *testing.T) {
		b := newBench(t)
		b.lab.Device("hq-asa").SetOutput("show logging", strings.Repeat("Nov 27 2026 15:44:51: %ASA-5-713119: Group = 203.0.113.26, IP = 203.0.113.26, PHASE 1 COMPLETED\n", 100))
		cmds := slices.Concat(evidence(t, b, "hq-asa", "config"), evidence(t, b, "hq-asa", "log"))
		whole, err := b.fleet.Run(context.Background(), "hq-asa", plain, cmds...)
		if err != nil {
			t.Fatal(err)
		}
		_ = b.fleet.Close()
		hq := b.lab.Device("hq-asa")
		hq.AuthorizationDenied("terminal pager")
		f := b.newFleet(t, devices.Options{})
		paged, err := f.Run(context.Background(), "hq-asa", plain, cmds...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			if whole[i].Text != paged[i].Text {
				t.Errorf("%s differs when paged:\n%.300q\n%.300q", whole[i].Command, whole[i].Text, paged[i].Text)
			}
		}
	})
	t.Run("split and slow", func(t *testing.T) {
		b := newBench(t)
		b.lab.Device("lima-rtr").SplitOutput(7, time.Microsecond)
		b.lab.Device("lima-rtr").SetBanner("Welcome to lima-rtr#\r\nlima-rtr>\r\n# do not touch >\r\n")
		out, err := b.fleet.Run(context.Background(), "lima-rtr", plain, evidence(t, b, "lima-rtr", "log")...)
		if err != nil || !strings.Contains(out[0].Text, "%CRYPTO") {
			t.Errorf("%v %v", out, err)
		}
	})
}

func repairOf(t testing.TB, b *bench, tunnel, device, kind string) devices.Repair {
	t.Helper()
	tun, err := b.inv.Tunnel(tunnel)
	if err != nil {
		t.Fatal(err)
	}
	target, err := b.fleet.Target(context.Background(), device)
	if err != nil {
		t.Fatal(err)
	}
	var peer netip.Addr
	for i, e := range tun.Ends {
		if e.Device == device {
			peer = b.inv.PeerAddress(tun.Ends[1-i])
		}
	}
	decisive, err := command.Evidence(target, "ike-sa", command.Query{Peer: peer})
	if err != nil {
		t.Fatal(err)
	}
	return devices.Repair{Proposal: "p1", Decisive: decisive, Redactor: plain, Check: func(before []devices.Output) (command.Command, error) {
		return command.FromProposal(target, kind, map[string]string{"peer": peer.String()}, b.inv.Peers(device)...)
	}}
}

func fate(t testing.TB, err error) *devices.RepairError {
	t.Helper()
	var e *devices.RepairError
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	return e
}

func TestRepair(t *testing.T) {
	ctx := context.Background()
	clears := func(b *bench) int {
		n := 0
		for _, d := range b.lab.Devices() {
			n += d.Clears()
		}
		return n
	}
	t.Run("runs once", func(t *testing.T) {
		b := newBench(t)
		b.gate.open["p1"] = 1
		r := repairOf(t, b, "london-lima", "hq-asa", "clear-ike-sa")
		before, out, err := b.fleet.Repair(ctx, "hq-asa", r)
		if err != nil || len(before) == 0 || !strings.HasPrefix(out.Command, "clear crypto isakmp sa ") {
			t.Fatalf("%v %+v", err, out)
		}
		_, _, err = b.fleet.Repair(ctx, "hq-asa", r)
		if e := fate(t, err); e.Fate != devices.NotClaimed || !errors.Is(err, devices.ErrNotClaimed) {
			t.Errorf("second time: %v", err)
		}
		if n := clears(b); n != 1 {
			t.Errorf("%d clears", n)
		}
	})
	t.Run("nothing is written before the claim", func(t *testing.T) {
		b := newBench(t)
		b.gate.open["p1"] = 1
		seen := -1
		b.gate.during = func() { seen = b.lab.Device("hq-asa").Count("clear") }
		if _, _, err := b.fleet.Repair(ctx, "hq-asa", repairOf(t, b, "london-lima", "hq-asa", "clear-ipsec-sa")); err != nil {
			t.Fatal(err)
		}
		if seen != 0 {
			t.Errorf("%d clears at the time of the claim", seen)
		}
	})
	t.Run("no gate", func(t *testing.T) {
		b := newBench(t)
		f := b.newFleet(t, devices.Options{})
		_, _, err := f.Repair(ctx, "hq-asa", repairOf(t, b, "london-lima", "hq-asa", "clear-ike-sa"))
		if !errors.Is(err, devices.ErrNoGate) || clears(b) != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("not through Run", func(t *testing.T) {
		b := newBench(t)
		c, err := command.Clear(command.Target{Platform: inventory.CiscoASA}, "clear-ike-sa", command.ClearParams{Peer: netip.MustParseAddr("203.0.113.26")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.fleet.Run(ctx, "hq-asa", plain, c); err == nil || clears(b) != 0 {
			t.Error("it went")
		}
	})
	t.Run("superseded", func(t *testing.T) {
		b := newBench(t)
		b.gate.open["p1"] = 1
		r := repairOf(t, b, "london-lima", "hq-asa", "clear-ike-sa")
		healed := errors.New("the tunnel came up by itself")
		r.Check = func([]devices.Output) (command.Command, error) { return command.Command{}, healed }
		_, _, err := b.fleet.Repair(ctx, "hq-asa", r)
		if e := fate(t, err); e.Fate != devices.Superseded || e.Claimed || !errors.Is(err, healed) || clears(b) != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("input lost on the way", func(t *testing.T) {
		b := newBench(t, func(c *inventory.Config) { c.SSH.CommandTimeout = time.Second })
		b.gate.open["p1"] = 1
		b.lab.Device("hq-asa").LoseInputAfter("clear crypto isakmp sa")
		_, _, err := b.fleet.Repair(ctx, "hq-asa", repairOf(t, b, "london-lima", "hq-asa", "clear-ike-sa"))
		if e := fate(t, err); e.Fate != devices.NotSent || !e.Claimed {
			t.Errorf("%v", err)
		}
		if n := clears(b); n != 0 {
			t.Errorf("%d clears from a line that was cut short", n)
		}
	})
	t.Run("hangs after Enter", func(t *testing.T) {
		b := newBench(t, func(c *inventory.Config) { c.SSH.CommandTimeout = time.Second })
		b.gate.open["p1"] = 1
		b.lab.Device("hq-asa").HangAfter("clear crypto")
		_, _, err := b.fleet.Repair(ctx, "hq-asa", repairOf(t, b, "london-lima", "hq-asa", "clear-ike-sa"))
		if e := fate(t, err); e.Fate != devices.FateUnknown || !e.Claimed {
			t.Errorf("%v", err)
		}
	})
	t.Run("refused by authorisation", func(t *testing.T) {
		b := newBench(t)
		b.gate.open["p1"] = 1
		b.lab.Device("hq-asa").AuthorizationDenied("clear")
		_, out, err := b.fleet.Repair(ctx, "hq-asa", repairOf(t, b, "london-lima", "hq-asa", "clear-ike-sa"))
		if e := fate(t, err); e.Fate != devices.Executed || !out.Refused {
			t.Errorf("%v %+v", err, out)
		}
	})
}

func spec(t testing.TB, b *bench, tunnel, device string) devices.CaptureSpec {
	t.Helper()
	tun, err := b.inv.Tunnel(tunnel)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range tun.Ends {
		if e.Device == device {
			return devices.CaptureSpec{Interface: e.Interface, Own: e.Address, Peer: b.inv.PeerAddress(tun.Ends[1-i]), Duration: time.Minute}
		}
	}
	t.Fatalf("%s is no end of %s", device, tunnel)
	return devices.CaptureSpec{}
}

func TestCapture(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		tunnel, device, kind string
		https                bool
	}{
		{"london-pap", "hq-asa", "pcap", true},
		{"london-pap", "pap-asa", "pcap", true},
		{"london-pap", "hq-asa", "dump", false},
		{"london-lima", "lima-rtr", "dump", false},
		{"london-quito", "quito-rtr", "dump", false},
	} {
		t.Run(tc.device+" "+tc.kind, func(t *testing.T) {
			b := newBench(t, func(c *inventory.Config) {
				for i := range c.Devices {
					if !tc.https {
						c.Devices[i].HTTPS = inventory.HTTPS{}
					}
				}
			})
			if _, err := b.inv.Tunnel(tc.tunnel); err != nil {
				t.Skip(err)
			}
			c, err := b.fleet.StartCapture(ctx, tc.device, spec(t, b, tc.tunnel, tc.device))
			if err != nil {
				t.Fatal(err)
			}
			out, _ := b.book.Outstanding(ctx)
			running := b.lab.Device(tc.device).Captures()
			if len(running) == 0 || len(out) == 0 {
				t.Fatalf("running %v, in the journal %v", running, out)
			}
			for _, r := range running {
				if !command.IsOurs(strings.TrimRight(strings.TrimPrefix(r.Name, "point "), "CP")) || !r.Running {
					t.Errorf("%+v", r)
				}
			}
			deadline := time.Now().Add(15 * time.Second)
			for b.lab.Device(tc.device).Captures()[0].Packets == 0 {
				if time.Now().After(deadline) {
					t.Fatal("the emulated device captured nothing")
				}
				time.Sleep(20 * time.Millisecond)
			}
			if err := c.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			data, err := c.Fetch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if data[0].Kind != tc.kind {
				t.Errorf("%s via %s (%s)", data[0].Kind, data[0].Via, data[0].Reason)
			}
			if tc.kind == "dump" {
				if n := len(dump.Parse(string(data[0].Data)).Packets); n == 0 {
					t.Errorf("no packets in %.200q", data[0].Data)
				}
			}
			if err := c.Remove(ctx); err != nil {
				t.Fatal(err)
			}
			out, _ = b.book.Outstanding(ctx)
			if left := b.lab.Device(tc.device).Captures(); len(left) > 0 || len(out) > 0 {
				t.Errorf("left %v, in the journal %v", left, out)
			}
		})
	}
}

func TestCaptureIsRefused(t *testing.T) {
	ctx := context.Background()
	cases := []struct {
		name, command, text string
		says                string
	}{
		{"busy CPU", "show cpu usage", "CPU utilization for 5 seconds = 91%; 1 minute: 60%; 5 minutes: 40%\n", "91 %"},
		{"little memory", "show memory", "Free memory:      20000000 bytes ( 4%)\nUsed memory:   500000000 bytes (96%)\nTotal memory:  520000000 bytes (100%)\n", "4 %"},
		{"CPU unknown", "show cpu usage", "nothing\n", "could not be read"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.lab.Device("hq-asa").SetOutput(tc.command, tc.text)
			_, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
			if !errors.Is(err, devices.ErrNoCapture) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
			if n := b.lab.Device("hq-asa").Count("capture"); n != 0 {
				t.Errorf("%d capture commands were sent", n)
			}
		})
	}
	t.Run("no journal", func(t *testing.T) {
		b := newBench(t)
		f := b.newFleet(t, devices.Options{})
		if _, err := f.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa")); !errors.Is(err, devices.ErrNoCapture) {
			t.Errorf("%v", err)
		}
	})
	t.Run("journal does not write", func(t *testing.T) {
		b := newBench(t)
		b.book.fail = errors.New("disk full")
		if _, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa")); !errors.Is(err, devices.ErrNoCapture) {
			t.Errorf("%v", err)
		}
		if n := b.lab.Device("hq-asa").Count("capture"); n != 0 {
			t.Errorf("%d capture commands were sent", n)
		}
	})
}

// A run that was killed leaves its captures; the next start removes them and touches
// nobody else's.
func TestCleanUp(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	if _, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa")); err != nil {
		t.Fatal(err)
	}
	hq := b.lab.Device("hq-asa")
	hq.SetOutput("show clock", "x\n")
	_ = b.fleet.Close() // as if the process had ended; nothing was removed
	ours, err := b.newFleet(t, devices.Options{}).Leftovers(ctx, "hq-asa")
	if err != nil || len(ours) != len(hq.Captures()) || len(ours) == 0 {
		t.Fatalf("%v %v", ours, err)
	}
	b.book.lent[99] = command.Lent{Device: "hq-asa", Name: "somebody", Interface: "outside"}
	f := b.newFleet(t, devices.Options{Journal: b.book})
	err = f.CleanUp(ctx)
	if err == nil || !strings.Contains(err.Error(), "somebody") {
		t.Errorf("a foreign name in the journal: %v", err)
	}
	if left := hq.Captures(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if len(b.book.lent) != 1 {
		t.Errorf("journal: %v", b.book.lent)
	}
	if hq.Count("no capture somebody") != 0 {
		t.Error("a foreign capture was touched")
	}
}

func TestHTTPSChecksTheCertificateFirst(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, func(c *inventory.Config) {
		for i := range c.Devices {
			if c.Devices[i].HTTPS.Fingerprint != "" {
				c.Devices[i].HTTPS.Fingerprint = strings.Repeat("ab", 32)
			}
		}
	})
	c, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.Fetch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range data {
		if d.Via != "ssh" || !strings.Contains(d.Reason, "certificate") {
			t.Errorf("%s: %s", d.Via, d.Reason)
		}
	}
	if err := c.Remove(ctx); err != nil {
		t.Error(err)
	}
}

func TestCheckAndLearn(t *testing.T) {
	ctx := context.Background()
	path := t.TempDir() + "/known_hosts"
	b := newBench(t, func(c *inventory.Config) { c.SSH.KnownHosts = path })
	if _, err := b.fleet.Check(ctx, "hq-asa"); reason(t, err) != devices.HostKey {
		t.Errorf("%v", err)
	}
	if err := b.fleet.LearnHostKeys(ctx, func(string, string) bool { return false }); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("written after a no")
	}
	var asked []string
	if err := b.fleet.LearnHostKeys(ctx, func(d, f string) bool { asked = append(asked, d); return strings.Contains(f, "SHA256:") }); err != nil {
		t.Error(err)
	}
	if len(asked) != len(b.lab.Devices()) {
		t.Errorf("asked for %v", asked)
	}
	for _, d := range b.lab.Devices() {
		r, err := b.fleet.Check(ctx, d.Name())
		if err != nil || r.Version == "" || r.Version == "unknown version" || !r.Enabled {
			t.Errorf("%s: %+v %v", d.Name(), r, err)
		}
	}
	b.lab.Device("hq-asa").WrongHostKey(true)
	if err := b.fleet.LearnHostKeys(ctx, func(string, string) bool { return true }); err == nil {
		t.Error("a changed key was learnt")
	}
}
