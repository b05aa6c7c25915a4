package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vpnbot/bot/workspace"
	"vpnbot/devices/emulator"
)

// product is serve between emulated devices and an emulated workspace, as in demo.
type product struct {
	t   *testing.T
	lab *emulator.Lab
	ws  *workspace.Workspace
	log *bytes.Buffer
}

func startProduct(t *testing.T) *product {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	lab, err := emulator.Start(ctx, emulator.Options{Dir: filepath.Join(dir, "lab")})
	if err != nil {
		t.Fatal(err)
	}
	ws, err := workspace.Start(ctx, workspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.yaml")
	if err := writeDemoConfig(path, lab, ws); err != nil {
		t.Fatal(err)
	}
	conf, err := loadConfig(path, true)
	if err != nil {
		t.Fatal(err)
	}
	conf.Log.Level = "debug"
	p := &product{t: t, lab: lab, ws: ws, log: &bytes.Buffer{}}
	done := make(chan error, 1)
	go func() { done <- serve(ctx, conf, streams{in: strings.NewReader(""), out: p.log, err: p.log}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		ws.Close()
		lab.Close()
		p.noSecrets("the log", p.log.String())
	})
	if err := ws.Wait(p.within(30*time.Second), func() bool { return ws.Connections() > 0 }); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *product) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	p.t.Cleanup(cancel)
	return ctx
}

func (p *product) types(user, line string) {
	p.t.Helper()
	if err := p.ws.Slash(user, line); err != nil {
		p.t.Fatal(err)
	}
}

// reads waits for a message of the channel, a thread or for one person with all words.
func (p *product) reads(words ...string) workspace.Message {
	p.t.Helper()
	m, err := p.ws.WaitFor(p.within(2*time.Minute), func(m workspace.Message) bool {
		for _, w := range words {
			if !strings.Contains(strings.NewReplacer("`", "", "*", "").Replace(m.Content()), w) {
				return false
			}
		}
		return true
	})
	if err != nil {
		p.t.Fatalf("nobody read %q: %v", words, err)
	}
	return m
}

// noSecrets looks for everything that must not leave the host.
func (p *product) noSecrets(where, text string) {
	p.t.Helper()
	for _, s := range append(p.lab.Secrets(), p.ws.AppToken(), p.ws.BotToken(), p.ws.SigningSecret()) {
		if strings.Contains(text, s) {
			p.t.Errorf("%s holds the secret %.4s…", where, s)
		}
	}
}

// TestSlackWithDevices is a shift of three people with real sessions and captures: what
// they read, what the devices saw, and that no secret went to Slack.
func TestSlackWithDevices(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute: real sessions and captures")
	}
	t.Parallel()
	p := startProduct(t)
	const amelie, boris, chiara = "U000AMELIE", "U000BORIS", "U000CHIARA"
	hq := p.lab.Device("hq-asa")

	// A fault that comes now and then: a ring buffer waits at both ends, is brought home,
	// begins anew, and leaves nothing behind when it is stopped.
	p.types(chiara, "/vpn capture london-pap start max 2h")
	p.reads("london-pap", "a ring-buffer capture waits for the fault")
	rings := hq.Count("capture")
	if rings == 0 || len(hq.Captures()) == 0 {
		t.Errorf("hq-asa saw %d captures and holds %v", rings, hq.Captures())
	}
	ring := false
	for _, l := range hq.Executed() {
		ring = ring || strings.Contains(l.Text, "circular-buffer")
	}
	if !ring {
		t.Error("no ring buffer was asked for")
	}
	p.types(chiara, "/vpn capture london-pap fetch")
	p.reads("Capture with keys removed: hq-asa")
	if len(hq.Captures()) == 0 {
		t.Error("the ring buffer did not begin anew")
	}
	p.types(chiara, "/vpn capture london-pap stop")
	p.reads("london-pap", "the ring-buffer capture ended", "stopped by")
	if left := hq.Captures(); len(left) > 0 {
		t.Errorf("hq-asa still holds %v", left)
	}

	p.types(amelie, "/vpn diagnose london-pap capture 5s")
	card := p.reads("london-pap", "fragments", "AM_TM_INIT_XAUTH_V6C", "confidence")
	p.types(amelie, "/vpn show london-pap")
	p.types(boris, "/vpn diagnose london-quito nocapture")
	p.reads("london-quito", "confidence")
	p.types(amelie, "/vpn diagnose london-lima nocapture")
	repair := p.reads("Repair of london-lima proposed", "clear crypto isakmp sa")
	if err := p.ws.Click(boris, repair.TS, "approval.approve"); err != nil {
		t.Fatal(err)
	}
	p.reads("london-lima", "repaired: verified up")
	if n := hq.Clears() + p.lab.Device("lima-rtr").Clears(); n != 1 {
		t.Errorf("the devices saw %d clears", n)
	}
	p.types(amelie, "/vpn evidence london-pap")
	p.types(amelie, "/vpn history london-lima")
	p.reads("london-lima", "history", "repair succeeded, helped")
	p.types(boris, "/vpn sweep")
	p.reads("Sweep of 4 tunnels")
	if err := p.ws.Wait(p.within(time.Minute), func() bool {
		n := 0
		for _, m := range p.ws.Messages("") {
			if m.ThreadTS == card.TS {
				n += len(m.Files)
			}
		}
		return n >= 3 // a diagram, two reduced captures …
	}); err != nil {
		t.Errorf("files of the diagnosis: %v", err)
	}

	said := 0
	for _, c := range p.ws.Calls("") {
		b, err := json.Marshal(c.Params)
		if err != nil {
			t.Fatal(err)
		}
		p.noSecrets(c.Method, string(b))
		said += len(b)
		if c.Error != "" {
			t.Errorf("Slack refused %s: %s", c.Method, c.Error)
		}
	}
	files := 0
	for _, m := range p.ws.Messages("") {
		p.noSecrets("a message", m.Content())
		for _, f := range m.Files {
			p.noSecrets(f.Name, string(f.Content))
			files++
		}
	}
	if said < 20_000 || files < 5 || len(p.lab.Secrets()) < 10 {
		t.Errorf("%d characters, %d files and %d secrets are too few to prove anything", said, files, len(p.lab.Secrets()))
	}
}
