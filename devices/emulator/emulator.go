// Package emulator is vpnbot's network for demo, lab and tests: ASA and IOS devices over
// real SSH and HTTPS on loopback, with tunnels whose state reacts to probes, clears and
// captures. In goes a scenario (data under scenarios/) and a folder for keys and secrets;
// out come listening devices, a ready configuration for the bot, and a record of every
// line that a session executed.
//
// It is a second opinion of how the platforms behave: it shares no code with what it
// tests. Captures are recordings of real IKE daemons; times and addresses are moved to
// the lab's (with the digests of addresses inside IKE, NAT-D), nothing else.
//
// Start is the entry point. Nothing runs between commands: the state of a tunnel is
// worked out when somebody looks, so that a thousand devices cost a thousand listeners.
package emulator

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"
)

// Options of a lab.
type Options struct {
	Dir      string           // state: keys, certificates, secrets, known_hosts; made when missing
	Scenario string           // "", "all" or "main": the whole network; a tunnel's name: only that one; "corners": rare things, two sites behind one address and an IKEv2 tunnel that hangs; "none": only the fleet
	Devices  int              // extra devices of a generated fleet, each with one healthy tunnel
	Latency  time.Duration    // added round-trip time of every SSH and HTTPS connection
	Listen   string           // host to listen on, default 127.0.0.1; ports are chosen by the kernel
	Logger   *slog.Logger     // default: nothing is logged
	Now      func() time.Time // the network's clock, default time.Now
	Random   io.Reader        // secrets, keys and SPIs, default crypto/rand
}

// Lab is a running network.
type Lab struct {
	opts    Options
	now     func() time.Time
	log     *slog.Logger
	secrets *secrets
	started time.Time
	tables  *tables

	mu         sync.Mutex // the simulated network: tunnels, logs, captures
	random     *rand.Rand
	tunnels    []*tunnel
	recordings map[string]*recording

	devices []*Device
	byName  map[string]*Device
	creds   map[string]credentialSpec

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
}

// Start brings the network up. It is stopped by Close or by the end of ctx.
func Start(ctx context.Context, o Options) (*Lab, error) {
	if o.Dir == "" {
		return nil, errors.New("start lab: no folder given for keys and secrets")
	}
	if o.Devices < 0 || o.Devices > maxFleet {
		return nil, fmt.Errorf("start lab: %d devices: want 0 to %d", o.Devices, maxFleet)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = crand.Reader
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	o.Dir = dir
	for _, sub := range []string{"", "secrets", "keys"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("start lab: make folder for keys and secrets: %w", err)
		}
	}
	var seed [32]byte
	if _, err := io.ReadFull(o.Random, seed[:]); err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	l := &Lab{
		opts: o, now: o.Now, log: o.Logger, started: o.Now(), tables: newTables(),
		secrets:    &secrets{dir: filepath.Join(dir, "secrets"), random: o.Random, values: map[string]string{}},
		random:     rand.New(rand.NewChaCha8(seed)),
		recordings: map[string]*recording{},
		byName:     map[string]*Device{},
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	if err := l.build(); err != nil {
		l.Close()
		return nil, fmt.Errorf("start lab: %w", err)
	}
	stop := context.AfterFunc(ctx, l.Close)
	context.AfterFunc(l.ctx, func() { stop() })
	return l, nil
}

func (l *Lab) build() error {
	name := "main"
	if _, err := fs.Stat(scenarioFiles, path.Join("scenarios", l.opts.Scenario, "scenario.yaml")); err == nil {
		name = l.opts.Scenario
	}
	sc, files, err := loadScenario(name)
	if err != nil {
		return err
	}
	switch l.opts.Scenario {
	case "", "all", name:
	case "none":
		sc.Tunnels, sc.Devices = nil, nil
	default:
		if !sc.only(l.opts.Scenario) {
			return fmt.Errorf("no scenario %q: want main, none, or one tunnel's name", l.opts.Scenario)
		}
	}
	texts := map[string]string{} // the fleet's configurations are generated, not read
	addFleet(sc, texts, l.opts.Devices)
	l.creds = sc.Credentials
	for name, r := range sc.Recordings {
		rec, err := readRecording(files, r)
		if err != nil {
			return fmt.Errorf("recording %s: %w", name, err)
		}
		l.recordings[name] = rec
	}
	for _, spec := range sc.Devices {
		d, err := l.newDevice(spec, files, texts)
		if err != nil {
			return fmt.Errorf("device %s: %w", spec.Name, err)
		}
		l.devices = append(l.devices, d)
		l.byName[spec.Name] = d
	}
	for _, spec := range sc.Tunnels {
		l.tunnels = append(l.tunnels, l.newTunnel(spec))
	}
	for _, d := range l.devices {
		if err := d.listen(); err != nil {
			return fmt.Errorf("device %s: %w", d.spec.Name, err)
		}
	}
	return l.writeKnownHosts()
}

// Close stops every device and waits until nothing of the lab runs any more.
func (l *Lab) Close() {
	l.once.Do(func() {
		l.cancel()
		for _, d := range l.devices {
			d.shut()
		}
	})
	l.wg.Wait()
}

// Device returns a device by name, nil when there is none.
func (l *Lab) Device(name string) *Device { return l.byName[name] }

// Devices returns all devices in the configuration's order.
func (l *Lab) Devices() []*Device { return l.devices }

// Secrets returns every password, key, hash and community that some device could print.
func (l *Lab) Secrets() []string { return l.secrets.all() }

func readText(files fs.FS, texts map[string]string, name string) (string, error) {
	if t, ok := texts[name]; ok {
		return t, nil
	}
	b, err := fs.ReadFile(files, name)
	return string(b), err
}

// listenTCP opens a port chosen by the kernel.
func (l *Lab) listenTCP(addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(l.ctx, "tcp", addr)
}
