package devices_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"vpnbot/devices"
	"vpnbot/devices/command"
	"vpnbot/devices/emulator"
	"vpnbot/devices/inventory"
)

// A burst of refused passwords stops all logins, with one message, before an account can
// be locked.
func TestBurstOfRejectionsStopsAllLogins(t *testing.T) {
	b := newBenchWith(t, emulator.Options{Dir: t.TempDir(), Scenario: "none", Devices: 24})
	var log bytes.Buffer // the handler writes one line at a time; it is read when all runs are over
	f := b.newFleet(t, devices.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var wg sync.WaitGroup
	for _, d := range b.lab.Devices() {
		d.RejectLogins(true)
		wg.Go(func() {
			_, err := f.Run(context.Background(), d.Name(), plain, evidence(t, b, d.Name(), "clock")...)
			if r := reason(t, err); r != devices.Auth {
				t.Errorf("%s: %v", d.Name(), err)
			}
		})
	}
	wg.Wait()
	byUser := map[string]int{}
	for _, d := range b.lab.Devices() {
		user, _, _ := d.Login()
		_, n := d.Logins()
		byUser[user] += n
	}
	for user, n := range byUser {
		if n > 3 {
			t.Errorf("the account %s saw %d wrong passwords", user, n)
		}
	}
	if n := strings.Count(log.String(), "all logins are stopped"); n != 1 {
		t.Errorf("%d messages:\n%s", n, log.String())
	}
	// Also where the password would be right.
	good := b.lab.Devices()[0]
	good.RejectLogins(false)
	before, _ := good.Logins()
	_, err := f.Run(context.Background(), good.Name(), plain, evidence(t, b, good.Name(), "clock")...)
	if after, _ := good.Logins(); reason(t, err) != devices.Auth || after != before {
		t.Errorf("%v", err)
	}
}

func TestWrongEnablePasswordIsNotTriedAgain(t *testing.T) {
	b := newBench(t, func(c *inventory.Config) {
		cred := c.Credentials["asa-ops"]
		cred.Enable = "wrong"
		c.Credentials["asa-ops"] = cred
	})
	for range 3 {
		_, err := b.fleet.Run(context.Background(), "hq-asa", plain, evidence(t, b, "hq-asa", "clock")...)
		if r := reason(t, err); r != devices.Privilege && r != devices.Auth {
			t.Errorf("%v", err)
		}
	}
	if n, _ := b.lab.Device("hq-asa").Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

func TestPrivateKeyFiles(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, block *pem.Block, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open, err1 := ssh.MarshalPrivateKey(key, "")
	locked, err2 := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("opens-the-key"))
	openPath, lockedPath := write("open", open, err1), write("locked", locked, err2)
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, path, password string
		want                 devices.Reason
	}{
		{"without passphrase", openPath, "", ""},
		{"with passphrase", lockedPath, "opens-the-key", ""},
		{"passphrase missing", lockedPath, "", devices.Auth},
		{"passphrase wrong", lockedPath, "wrong", devices.Auth},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, func(c *inventory.Config) {
				cred := c.Credentials["asa-ops"]
				cred.PrivateKey, cred.Password = tc.path, tc.password
				c.Credentials["asa-ops"] = cred
			})
			b.lab.Device("hq-asa").AuthorizeKey(sshPub)
			_, err := b.fleet.Run(context.Background(), "hq-asa", plain, evidence(t, b, "hq-asa", "clock")...)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && reason(t, err) != tc.want:
				t.Error(err)
			case err != nil && strings.Contains(err.Error(), "opens-the-key"):
				t.Errorf("%v: holds the passphrase", err)
			}
			if _, n := b.lab.Device("hq-asa").Logins(); n != 0 {
				t.Errorf("%d refused", n)
			}
		})
	}
}

// When the device does not answer, its standby unit is read; nothing is cleared or
// captured there.
func TestStandbyUnit(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, func(c *inventory.Config) {
		at := func(name string) *inventory.Device {
			for i := range c.Devices {
				if c.Devices[i].Name == name {
					return &c.Devices[i]
				}
			}
			t.Fatal(name)
			return nil
		}
		at("hq-asa").Standby = at("pap-asa").Address
		at("hq-asa").Address = "no-such-device.invalid:22"
	})
	out, err := b.fleet.Run(ctx, "hq-asa", plain, evidence(t, b, "hq-asa", "clock")...)
	if err != nil || len(out) != 1 || out[0].Refused {
		t.Fatalf("%v %v", out, err)
	}
	b.gate.open["p1"] = 1
	_, _, err = b.fleet.Repair(ctx, "hq-asa", repairOf(t, b, "london-pap", "hq-asa", "clear-ike-sa"))
	if e := fate(t, err); e.Fate != devices.NotSent || e.Claimed || !strings.Contains(err.Error(), "standby") {
		t.Errorf("%v", err)
	}
	if _, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa")); err == nil || !strings.Contains(err.Error(), "standby") {
		t.Errorf("%v", err)
	}
	if n := b.lab.Device("pap-asa").Clears() + b.lab.Device("pap-asa").Count("capture"); n != 0 {
		t.Errorf("%d clears and captures", n)
	}
}

// A failover while the session is idle: the prompt is another one. The error says so, the
// session is not used again, and the next use works under the new prompt.
func TestFailoverBetweenCommands(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	clock := evidence(t, b, "oslo-asa", "clock")
	if _, err := b.fleet.Run(ctx, "oslo-asa", plain, clock...); err != nil {
		t.Fatal(err)
	}
	b.lab.Device("oslo-asa").SetPromptSuffix("/sec/act")
	_, err := b.fleet.Run(ctx, "oslo-asa", plain, clock...)
	if reason(t, err) != devices.Closed || !strings.Contains(err.Error(), "failover") || !strings.Contains(err.Error(), "/sec/act") {
		t.Errorf("%v", err)
	}
	if _, err := b.fleet.Run(ctx, "oslo-asa", plain, clock...); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if n, _ := b.lab.Device("oslo-asa").Logins(); n != 2 {
		t.Errorf("%d logins", n)
	}
}

// A device that got another image refuses a line of the old one: the version is read again.
func TestVersionIsReadAgain(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	hq := b.lab.Device("hq-asa")
	target, err := b.fleet.Target(ctx, "hq-asa")
	if err != nil || target.Version.Major != 8 {
		t.Fatalf("%+v %v", target, err)
	}
	hq.SetOutput("show version", "Cisco Adaptive Security Appliance Software Version 9.8(4) \n")
	hq.AuthorizationDenied("show memory")
	if _, err := b.fleet.Run(ctx, "hq-asa", plain, evidence(t, b, "hq-asa", "memory")...); err != nil {
		t.Fatal(err)
	}
	if target, err = b.fleet.Target(ctx, "hq-asa"); err != nil || target.Version != (command.Version{Major: 9, Minor: 8, Text: "9.8(4)"}) {
		t.Errorf("%+v %v", target, err)
	}
}

// Never more sessions than sessions_per_device, and never more devices than
// max_devices_at_once.
func TestLimits(t *testing.T) {
	b := newBench(t, func(c *inventory.Config) { c.SSH.SessionsPerDevice, c.SSH.KeepAlive = 2, 0 })
	hq := b.lab.Device("hq-asa")
	hq.SplitOutput(64, time.Millisecond)
	var wg sync.WaitGroup
	most := make(chan int, 100)
	for range 8 {
		wg.Go(func() {
			if _, err := b.fleet.Run(context.Background(), "hq-asa", func(s string) string { most <- hq.Sessions(); return s }, evidence(t, b, "hq-asa", "clock")...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(most)
	high := 0
	for n := range most {
		high = max(high, n)
	}
	if high < 1 || high > 2 {
		t.Errorf("%d sessions at once", high)
	}
	if n := hq.Count("exit"); n != 8 {
		t.Errorf("logged out %d times of 8", n)
	}
}

// A jump host that refuses its password sees it once, however many devices are behind it,
// also when only host keys are learnt.
func TestJumpHostRefusesOnce(t *testing.T) {
	ctx := context.Background()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	shown := 0
	conf := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		mu.Lock()
		defer mu.Unlock()
		shown++
		return nil, errors.New("no")
	}}
	conf.AddHostKey(host)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _, _, _, _ = ssh.NewServerConn(c, conf); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })

	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(knownhosts.Line([]string{l.Addr().String()}, host.PublicKey())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(c *inventory.Config) {
		c.SSH.KnownHosts = known
		c.Credentials["jump"] = inventory.Credential{Username: "ops", Password: "wrong"}
		for i := range c.Devices {
			c.Devices[i].Jump = "ops@" + l.Addr().String()
		}
	})
	err = b.fleet.LearnHostKeys(ctx, func(string, string) bool { t.Error("a key was shown"); return false })
	if reason(t, err) != devices.Auth {
		t.Errorf("%v", err)
	}
	for _, d := range b.inv.Devices() {
		_, err := b.fleet.Run(ctx, d.Name, plain, evidence(t, b, d.Name, "clock")...)
		if reason(t, err) != devices.Auth {
			t.Errorf("%v", err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if shown != 1 {
		t.Errorf("the jump host saw the password %d times", shown)
	}
}
