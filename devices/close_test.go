package devices

import (
	"context"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"vpnbot/devices/emulator"
	"vpnbot/devices/inventory"
)

// busyFleet is a fleet with one emulated device and a session of it that is in use.
func busyFleet(t *testing.T, keep time.Duration) (*Fleet, *device, *idleSession) {
	t.Helper()
	lab, err := emulator.Start(context.Background(), emulator.Options{Dir: t.TempDir(), Scenario: "none", Devices: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	text := regexp.MustCompile(`\$\{file:([^}]+)\}`).ReplaceAllStringFunc(lab.ConfigYAML(), func(m string) string {
		b, err := os.ReadFile(strings.TrimSuffix(strings.TrimPrefix(m, "${file:"), "}"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	})
	conf := inventory.Config{SSH: inventory.Defaults()}
	if err := yaml.Unmarshal([]byte(text), &conf); err != nil {
		t.Fatal(err)
	}
	conf.SSH.KeepAlive = keep
	inv, err := inventory.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(inv, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	d, err := f.device(lab.Devices()[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := f.session(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return f, d, &idleSession{s: s}
}

// A session that is given back while the fleet closes is closed once: it is not left in
// the list, from which Close would take it and close it again.
func TestGivenBackWhileClosing(t *testing.T) {
	f, d, i := busyFleet(t, time.Minute)
	var wg sync.WaitGroup
	d.mu.Lock()
	wg.Go(func() { f.giveBack(d, i.s) })
	time.Sleep(20 * time.Millisecond) // it waits for the lock; when it does not yet, nothing is proven and nothing fails
	f.cancel()                        // Close begins
	d.mu.Unlock()
	wg.Wait()
	if len(d.idle) != 0 {
		t.Error("it was closed and is listed as idle")
	}
	if i.s.Err() == nil {
		t.Error("it is open")
	}
}

// keep_alive that ends while the fleet closes: one of the two closes the session. Only the
// race detector sees when both do.
func TestKeepAliveEndsWhileClosing(t *testing.T) {
	f, d, i := busyFleet(t, 40*time.Millisecond)
	f.giveBack(d, i.s)
	d.mu.Lock()
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.Close() }) // waits for the lock first
	time.Sleep(80 * time.Millisecond)
	d.mu.Unlock()
	wg.Wait()
	if i.s.Err() == nil {
		t.Error("it is open")
	}
}
