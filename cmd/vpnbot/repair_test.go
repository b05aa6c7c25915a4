package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vpnbot/bot/store"
	"vpnbot/devices/emulator"
	"vpnbot/playbooks"
)

// plant is the network's side of the product: emulated devices over real SSH, the store,
// the fleet and the runner, without Slack.
type plant struct {
	t     *testing.T
	lab   *emulator.Lab
	ahead atomic.Int64 // the network's clock runs ahead by that
	rooms *rooms
	path  string // of the configuration
}

// jump lets time pass for the network.
func (p *plant) jump(d time.Duration) { p.ahead.Add(int64(d)) }

// newPlant starts the lab's scenario; books are files of the playbooks folder. Its store
// is SQLite.
func newPlant(t *testing.T, scenario string, books map[string]string) *plant {
	t.Helper()
	return newPlantOn(t, "sqlite:"+filepath.Join(t.TempDir(), "bot.db"), scenario, books)
}

func newPlantOn(t *testing.T, dsn, scenario string, books map[string]string) *plant {
	t.Helper()
	p := &plant{t: t}
	dir := t.TempDir()
	lab, err := emulator.Start(t.Context(), emulator.Options{Dir: filepath.Join(dir, "lab"), Scenario: scenario, Devices: map[string]int{"none": 3}[scenario], Now: func() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	p.lab = lab
	if err := os.Mkdir(filepath.Join(dir, "books"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range books {
		if err := os.WriteFile(filepath.Join(dir, "books", name+".yaml"), []byte("name: "+name+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.path = filepath.Join(dir, "config.yaml")
	text := lab.ConfigYAML() + fmt.Sprintf("access: {approve: [U000BORIS], four_eyes: true}\nstore: %q\nplaybooks: {dir: %s}\ncaptures: {dir: %s}\n",
		dsn, filepath.Join(dir, "books"), filepath.Join(dir, "captures"))
	if err := os.WriteFile(p.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := loadConfig(p.path, false)
	if err != nil {
		t.Fatal(err)
	}
	st, err := openStore(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	if p.rooms, err = wire(conf, st, logger(io.Discard, "error", "text")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.rooms.fleet.Close()
		st.Close()
	})
	return p
}

// propose runs a playbook that proposes.
func (p *plant) propose(playbook, tunnel string) *playbooks.Proposal {
	p.t.Helper()
	res, err := p.rooms.runner.Run(p.t.Context(), playbooks.Request{Run: newID(), Playbook: playbook, Tunnel: tunnel, By: "U000AMELIE", Human: true, Capture: playbooks.CaptureNever}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if res.Proposal == nil {
		p.t.Fatalf("nothing was proposed: %q; findings %+v", res.Refusal, res.Report.Findings)
	}
	return res.Proposal
}

// approve is a click, and the beginning of the run.
func (p *plant) approve(id string) {
	p.t.Helper()
	if err := p.rooms.store.Approve(p.t.Context(), id, "U000BORIS", "test"); err != nil {
		p.t.Fatal(err)
	}
	if taken, err := p.rooms.store.TakeApproved(p.t.Context()); err != nil || taken == nil || taken.ID != id {
		p.t.Fatalf("taken: %v, %v", taken, err)
	}
}

// execute runs what was approved and writes its end down, as the bot does.
func (p *plant) execute(q *playbooks.Proposal, update func(playbooks.Update)) (playbooks.Outcome, store.Proposal) {
	p.t.Helper()
	out, err := p.rooms.runner.Execute(p.t.Context(), *q, update)
	if err != nil {
		p.t.Fatal(err)
	}
	end, err := p.rooms.store.Finish(p.t.Context(), q.ID, out)
	if err != nil {
		p.t.Fatal(err)
	}
	return out, end
}

func (p *plant) clears(devices ...string) (n int) {
	for _, d := range devices {
		n += p.lab.Device(d).Clears()
	}
	return n
}

const bounce = `about: proposes a clear and looks for a short time
steps:
  - {id: read, kind: collect, with: {evidence: [ike-sa, ipsec-sa, session, config]}}
  - {id: judge, kind: analyze}
  - {id: propose, kind: propose, with: {clear: true}}
  - {id: verify, kind: verify, with: {for: %s, every: 50ms}}
`

// What verification sees is said: helped, did not help with the next candidate, came back
// and fell again, came up by itself, changed; and the proposal says what it will cost.
func TestOutcomes(t *testing.T) {
	quick := map[string]string{"clear-sa": fmt.Sprintf(bounce, "1500ms")}
	t.Run("helped", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-lima", map[string]string{"clear-sa": fmt.Sprintf(bounce, "8s")})
		q := p.propose("diagnose", "london-lima")
		if q.Finding.ID != "stale-sa" || len(q.Commands) != 1 || q.Commands[0].Device != "hq-asa" || q.Commands[0].Line != "clear crypto isakmp sa 203.0.113.26" {
			t.Fatalf("proposed %+v for %s", q.Commands, q.Finding.ID)
		}
		for what, c := range map[string][2]string{"impact": {q.Impact, "hq-asa: 1 IKE SA and 1 IPsec SA (inbound SPI 0x"}, "packets": {q.Impact, " packets out, "}, "users": {q.Impact, "no user of a client"},
			"outage": {q.Outage, "none beyond the one that is there; vpnbot sends a ping"}, "backup": {q.Backup, "none is configured"}, "state": {q.Summary, "lima-rtr: no IKE SA, no IPsec SA"}} {
			if !strings.Contains(c[0], c[1]) {
				t.Errorf("%s is %q, want %q in it", what, c[0], c[1])
			}
		}
		if q.EvidenceAge.IsZero() || time.Since(q.EvidenceAge) > time.Minute {
			t.Errorf("evidence of %s", q.EvidenceAge)
		}
		p.approve(q.ID)
		out, end := p.execute(q, func(u playbooks.Update) {
			if u.Step == "verify" && u.Note == "" {
				p.jump(25 * time.Second) // the site sends traffic again after 20 s
			}
		})
		if end.State != "succeeded" || out.Verified != "helped" || !strings.Contains(out.Before, "no IKE SA") || !strings.Contains(out.After, "QM_IDLE") {
			t.Errorf("%s, %s, before %q, after %q, %s", end.State, out.Verified, out.Before, out.After, out.Reason)
		}
		if p.clears("hq-asa") != 1 || p.clears("lima-rtr") != 0 {
			t.Errorf("%d and %d clears", p.clears("hq-asa"), p.clears("lima-rtr"))
		}
	})
	t.Run("did not help", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-lima", map[string]string{"clear-sa": fmt.Sprintf(bounce, "3s")})
		q := p.propose("diagnose", "london-lima")
		p.approve(q.ID)
		out, end := p.execute(q, func(u playbooks.Update) {
			if u.Step == "verify" && u.Note == "" {
				// It negotiates again and is stuck, and the headend says why.
				p.lab.SetTunnel("london-lima", emulator.Stuck)
				for began := time.Now().Unix(); time.Now().Unix() == began; { // its log counts in seconds
					time.Sleep(10 * time.Millisecond)
				}
				for range 3 {
					p.lab.Device("hq-asa").Log("%ASA-6-713905: Group = 203.0.113.26, IP = 203.0.113.26, WARNING, had problems decrypting packet, probably due to mismatched pre-shared key.  Aborting")
					p.lab.Device("hq-asa").Log("%ASA-4-713903: Group = 203.0.113.26, IP = 203.0.113.26, Received encrypted Oakley Main Mode packet with invalid payloads, MessID = 0")
				}
			}
		})
		if end.State != "succeeded" || out.Verified != "not-helped" || out.Next == "" {
			t.Errorf("%s, %s, next %q; %+v", end.State, out.Verified, out.Next, out.Report)
		}
		if p.clears("hq-asa") != 1 {
			t.Errorf("%d clears: a repair that does not help is not repeated", p.clears("hq-asa"))
		}
	})
	t.Run("came back and fell again", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-lima", map[string]string{"clear-sa": fmt.Sprintf(bounce, "60s")})
		q := p.propose("diagnose", "london-lima")
		p.approve(q.ID)
		out, _ := p.execute(q, func(u playbooks.Update) {
			switch {
			case u.Step != "verify":
			case u.Note == "":
				p.lab.RestoreSA("london-lima")
			case strings.HasPrefix(u.Note, "up; watched"):
				p.lab.SetTunnel("london-lima", emulator.Stale)
			}
		})
		if out.Verified != "relapsed" || out.Next == "" && len(q.Others) > 0 {
			t.Errorf("%s, next %q", out.Verified, out.Next)
		}
	})
	t.Run("came up by itself", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-lima", quick)
		q := p.propose("diagnose", "london-lima")
		p.approve(q.ID)
		p.lab.RestoreSA("london-lima")
		out, end := p.execute(q, nil)
		if end.State != "superseded" || !strings.Contains(end.Reason, "london-lima came up by itself meanwhile, so nothing was sent. Thank you") || out.Verified != "" {
			t.Errorf("%s: %s", end.State, end.Reason)
		}
		if p.clears("hq-asa", "lima-rtr") != 0 {
			t.Error("something was cleared")
		}
	})
	t.Run("changes between the reading and the session", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-lima", quick)
		q := p.propose("diagnose", "london-lima")
		p.approve(q.ID)
		_, end := p.execute(q, func(u playbooks.Update) {
			if u.Step == "reread" && u.State == playbooks.Done {
				p.lab.SetTunnel("london-lima", emulator.Down)
			}
		})
		if end.State != "superseded" || strings.Contains(end.Reason, "Thank you") || p.clears("hq-asa", "lima-rtr") != 0 {
			t.Errorf("%s: %s; %d clears", end.State, end.Reason, p.clears("hq-asa", "lima-rtr"))
		}
	})
	t.Run("the answer is lost", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-lima", quick)
		q := p.propose("diagnose", "london-lima")
		p.approve(q.ID)
		p.lab.Device("hq-asa").CloseMidCommand("clear crypto")
		out, end := p.execute(q, nil)
		if end.State != "unknown" || out.Commands[0].State != "unknown" || out.After == "" || p.clears("hq-asa") != 1 {
			t.Errorf("%s, command %s, after %q, %d clears", end.State, out.Commands[0].State, out.After, p.clears("hq-asa"))
		}
	})
	t.Run("both ends with the responder first", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-pap", map[string]string{"clear-sa": fmt.Sprintf(bounce, "300ms")})
		q := p.propose("clear-sa", "london-pap")
		if len(q.Commands) != 2 || q.Commands[0].Device != "hq-asa" || q.Commands[1].Device != "pap-asa" || q.Commands[1].Line != "clear crypto isakmp sa 198.51.100.1" {
			t.Fatalf("proposed %+v", q.Commands)
		}
		p.approve(q.ID)
		out, end := p.execute(q, nil)
		// The first end's delete cleared the second, so there was nothing left to send.
		if end.State != "succeeded" || out.Commands[0].State != "succeeded" || out.Commands[1].State != "not sent" || p.clears("hq-asa") != 1 || p.clears("pap-asa") != 0 {
			t.Errorf("%s: %s; commands %+v; %d and %d clears", end.State, end.Reason, out.Commands, p.clears("hq-asa"), p.clears("pap-asa"))
		}
	})
	for _, c := range []struct{ name, tunnel, device, line string }{
		{"ASA with IKEv2", "hub-site-0001", "site-0001", "clear crypto ikev2 sa 198.51.100.250"},
		{"IOS with IKEv1 and both phases", "hub-site-0002", "site-0002", "clear crypto session remote 198.51.100.250"},
		{"ASA with IKEv1", "hub-site-0003", "site-0003", "clear crypto ikev1 sa 198.51.100.250"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t, "none", map[string]string{"clear-sa": fmt.Sprintf(bounce, "500ms")})
			q := p.propose("clear-sa", c.tunnel)
			if len(q.Commands) != 1 || q.Commands[0].Line != c.line || q.Commands[0].Device != c.device {
				t.Fatalf("proposed %+v", q.Commands)
			}
			p.approve(q.ID)
			out, end := p.execute(q, func(u playbooks.Update) {
				if u.Step == "verify" && u.Note == "" {
					p.lab.RestoreSA(c.tunnel)
				}
			})
			if end.State != "succeeded" || out.Verified != "helped" || p.clears(c.device) != 1 {
				t.Errorf("%s, %s: %s; %d clears", end.State, out.Verified, end.Reason, p.clears(c.device))
			}
		})
	}
	t.Run("one of two behind an address", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "corners", map[string]string{"clear-sa": fmt.Sprintf(bounce, "20s")})
		q := p.propose("clear-sa", "edge-south")
		var index int
		if _, err := fmt.Sscanf(q.Commands[0].Line, "vpn-sessiondb logoff index %d noconfirm", &index); err != nil || len(q.Commands) != 1 || !strings.Contains(q.Impact, "1 IKE SA and 1 IPsec SA (inbound SPI 0x") || !strings.Contains(q.Impact, fmt.Sprintf("the session with index %d only (LAN-to-LAN 203.0.113.66, logged in ", index)) {
			t.Fatalf("proposed %+v: %s", q.Commands, q.Impact)
		}
		p.approve(q.ID)
		out, end := p.execute(q, func(u playbooks.Update) {
			if u.Step == "verify" && u.Note == "" {
				p.jump(5 * time.Second)
			}
		})
		if end.State != "succeeded" || out.Verified != "helped" || p.clears("edge-asa") != 1 {
			t.Errorf("%s, %s: %s; %d clears", end.State, out.Verified, end.Reason, p.clears("edge-asa"))
		}
		// The other site's SAs are those of before.
		kept := 0
		for _, w := range strings.Fields(out.Before) {
			if w = strings.Trim(w, ","); len(w) == 8 && strings.Contains(out.After, w) {
				kept++
			}
		}
		if kept != 2 {
			t.Errorf("%d SPIs of before are there after:\n%s\n%s", kept, out.Before, out.After)
		}
	})
	t.Run("IOS with IKEv2 stuck and then up", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "corners", map[string]string{"clear-sa": fmt.Sprintf(bounce, "8s")})
		for i, line := range []string{"clear crypto ikev2 sa remote 198.51.100.77", "clear crypto session remote 198.51.100.77"} {
			q := p.propose("clear-sa", "core-east")
			if len(q.Commands) != 1 || q.Commands[0].Line != line {
				t.Fatalf("proposed %+v: %s", q.Commands, q.Summary)
			}
			p.approve(q.ID)
			out, end := p.execute(q, func(u playbooks.Update) {
				if u.Step == "verify" && u.Note == "" {
					p.lab.RestoreSA("core-east")
				}
			})
			if end.State != "succeeded" || out.Verified != "helped" || p.clears("core-rtr") != i+1 {
				t.Errorf("%s, %s: %s; %d clears", end.State, out.Verified, end.Reason, p.clears("core-rtr"))
			}
			if !strings.Contains(out.Before, []string{"IN-NEG", "READY"}[i]) || !strings.Contains(out.After, "READY") {
				t.Errorf("before %q, after %q", out.Before, out.After)
			}
		}
	})
	t.Run("the next candidate does not rest on what was before", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-oslo", quick)
		for range 3 {
			p.lab.Device("hq-asa").Log("%ASA-6-713905: Group = 203.0.113.34, IP = 203.0.113.34, WARNING, had problems decrypting packet, probably due to mismatched pre-shared key.  Aborting")
		}
		q := p.propose("clear-sa", "london-oslo")
		p.approve(q.ID)
		p.lab.Leads("london-oslo", emulator.Stuck)
		out, _ := p.execute(q, nil)
		if out.Verified != "not-helped" || strings.Contains(out.Next, "re-shared") && !strings.Contains(out.Next, "of the diagnosis before") {
			t.Errorf("%s, next %q", out.Verified, out.Next)
		}
	})
	t.Run("own playbook", func(t *testing.T) {
		t.Parallel()
		p := newPlant(t, "london-oslo", map[string]string{"bounce": fmt.Sprintf(bounce, "300ms")})
		q := p.propose("bounce", "london-oslo")
		if q.Playbook != "bounce" || !strings.Contains(q.Outage, "usually 2 to 10 seconds") {
			t.Errorf("%s: %s", q.Playbook, q.Outage)
		}
		p.approve(q.ID)
		began := time.Now()
		out, _ := p.execute(q, func(u playbooks.Update) {
			if u.Step == "verify" && u.Note == "" {
				p.lab.RestoreSA("london-oslo")
			}
		})
		if out.Verified != "helped" || time.Since(began) > 30*time.Second {
			t.Errorf("%s after %s: the verification is not the playbook's", out.Verified, time.Since(began))
		}
	})
}

// A capture with wake: the probe is sent while both ends capture, before the first of the
// captures is stopped.
func TestWakeWhileCapturing(t *testing.T) {
	p := newPlant(t, "london-oslo", nil)
	res, err := p.rooms.runner.Run(t.Context(), playbooks.Request{Run: newID(), Playbook: "capture-both-ends", Tunnel: "london-oslo", By: "cli", Capture: playbooks.CaptureForce, Duration: 200 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(device, prefix string) (first, last time.Time) {
		for _, l := range p.lab.Device(device).Executed() {
			if strings.HasPrefix(l.Command, prefix) {
				if first.IsZero() {
					first = l.At
				}
				last = l.At
			}
		}
		return first, last
	}
	ping, _ := at("hq-asa", "ping ")
	if ping.IsZero() {
		t.Fatalf("no probe was sent: %+v", res.Steps)
	}
	for _, d := range []string{"hq-asa", "oslo-asa"} {
		_, started := at(d, "capture ")
		stopped, _ := at(d, "no capture ")
		if started.IsZero() || stopped.IsZero() || ping.Before(started) || ping.After(stopped) {
			t.Errorf("%s: capture from %v to %v, probe at %v", d, started, stopped, ping)
		}
	}
}

// An ASA's pools are asked for by the names that its configuration has just told.
func TestPoolsByName(t *testing.T) {
	p := newPlant(t, "corners", map[string]string{"pools": "about: reads pools\nsteps:\n  - {id: read, kind: collect, with: {evidence: [pools]}}\n"})
	if _, err := p.rooms.runner.Run(t.Context(), playbooks.Request{Run: newID(), Playbook: "pools", Tunnel: "edge-north", By: "cli"}, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"show running-config ip local pool", "show ip local pool VPN-POOL", "show ip local pool OLD_POOL"} {
		if n := p.lab.Device("edge-asa").Count(c); n != 1 {
			t.Errorf("%s was sent %d times", c, n)
		}
	}
}
