package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vpnbot/bot"
	"vpnbot/bot/approval"
	"vpnbot/bot/store"
	"vpnbot/bot/store/postgrestest"
	"vpnbot/bot/workspace"
	"vpnbot/devices"
	"vpnbot/devices/emulator"
	"vpnbot/playbooks"
)

// Where a bot's process is killed (SIGKILL) between the approval and the end of the
// verification. Those of the device's side are killed by the test, the others by the
// process itself, so that nothing lies between.
var boundaries = []string{
	"taken", "reading again", "before the gate's session", "before the claim", "after the claim",
	"typed, not entered", "entered", "before the verification", "verifying", "before the end is written", "any moment", "none: the clock jumps",
}

const (
	atTyped     = 5
	atEntered   = 6
	atVerifying = 8
	atRandom    = 10
	atJump      = 11
)

// killChild is the environment of a bot that may be told to die: "CONFIG|FOLDER".
const killChild = "VPNBOT_KILL_CHILD"

// doomed is a bot's process in a test: it dies at the boundary that the folder names.
type doomed struct{ dir string }

// die kills this process when it is the boundary's turn; of two processes only one dies.
func (d doomed) die(boundary int) {
	name := filepath.Join(d.dir, "die-"+strconv.Itoa(boundary))
	if os.Rename(name, name+"-done") == nil {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// now is the clock, which the test can make jump.
func (d doomed) now() time.Time {
	b, _ := os.ReadFile(filepath.Join(d.dir, "clock"))
	s, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return time.Now().Add(time.Duration(s) * time.Second)
}

// gate is the store's, with boundaries around it.
type doomedGate struct {
	doomed
	devices.Gate
}

func (g doomedGate) Claim(ctx context.Context, proposal, device string, sum [32]byte) error {
	g.die(3)
	err := g.Gate.Claim(ctx, proposal, device, sum)
	if err == nil {
		os.WriteFile(filepath.Join(g.dir, "holder"), []byte(strconv.Itoa(os.Getpid())), 0o600)
		g.die(4)
	}
	return err
}

// doomedRunner is the runner, with boundaries at its steps.
type doomedRunner struct {
	doomed
	*playbooks.Runner
}

func (r doomedRunner) Execute(ctx context.Context, p playbooks.Proposal, update func(playbooks.Update)) (playbooks.Outcome, error) {
	r.die(0)
	out, err := r.Runner.Execute(ctx, p, func(u playbooks.Update) {
		switch u.Step + " " + string(u.State) {
		case "reread running":
			r.die(1)
		case "repair running":
			r.die(2)
		case "repair done":
			r.die(7)
		case "verify running":
			r.die(8)
		}
		update(u)
	})
	r.die(9)
	return out, err
}

// killChildMain is `vpnbot serve` with boundaries and a clock that jumps.
func killChildMain(spec string) error {
	path, dir, _ := strings.Cut(spec, "|")
	d := doomed{dir}
	ctx := context.Background()
	conf, err := loadConfig(path, true)
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Options{DSN: conf.Bot.Store, Policy: conf.Bot.Policy(), Now: d.now})
	if err != nil {
		return err
	}
	log := logger(os.Stderr, "error", "text")
	rt, err := wire(conf, st, log)
	if err != nil {
		return err
	}
	fleet, err := devices.New(rt.inventory, devices.Options{Logger: log, Now: d.now, Gate: doomedGate{d, st}, Journal: st})
	if err != nil {
		return err
	}
	books, err := playbooks.Load(conf.Playbooks.Playbooks.Dir)
	if err != nil {
		return err
	}
	runner := playbooks.New(playbooks.Options{Inventory: rt.inventory, Fleet: fleet, Books: books, Config: conf.Playbooks, Journal: st, Approvals: st, TTL: conf.Bot.Approval.TTL, Logger: log, Now: d.now,
		Random: func(b []byte) { copy(b, newID()+newID()) }})
	b, err := bot.New(bot.Options{Config: conf.Bot, Runner: doomedRunner{d, runner}, Inventory: rt.inventory, Store: st, Logger: log, Now: d.now})
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

// TestKillTheBot kills bots at every boundary between approval and verification: two
// processes on one store, Slack that delivers every click twice and out of order, two
// people who click, one of them twice, clocks that jump. The device counts at most one
// execution per approval, and every proposal ends in a state that fits what the device
// saw. VPNBOT_KILLS=300 runs more rounds, on each store.
func TestKillTheBot(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("VPNBOT_KILLS"))
	if err != nil && testing.Short() {
		t.Skip("short: starts and kills a dozen processes")
	}
	all := make([]int, len(boundaries))
	for i := range all {
		all[i] = i
	}
	t.Run("sqlite", func(t *testing.T) {
		killTheBot(t, "sqlite:"+filepath.Join(t.TempDir(), "bot.db"), all, cmp.Or(rounds, len(all)))
	})
	t.Run("postgres", func(t *testing.T) {
		dsn, stop, err := postgrestest.Start()
		if err != nil {
			t.Skip("PostgreSQL is not installed: " + err.Error())
		}
		t.Cleanup(stop)
		if rounds > 0 {
			killTheBot(t, dsn+"postgres", all, rounds)
			return
		}
		few := []int{4, atEntered, atVerifying, atJump} // where its locks and clocks count
		killTheBot(t, dsn+"postgres", few, len(few))
	})
}

func killTheBot(t *testing.T, dsn string, places []int, rounds int) {
	ctx := t.Context()
	p := newPlantOn(t, dsn, "london-oslo", map[string]string{"bounce": fmt.Sprintf(bounce, "200ms")})
	ws, err := workspace.Start(ctx, workspace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	dir := t.TempDir()
	for name, secret := range map[string]string{"app": ws.AppToken(), "bot": ws.BotToken()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.Replace(string(text), "access: {approve: [U000BORIS]", "access: {approve: [U000BORIS, U000CHIARA]", 1) + fmt.Sprintf(
		"approval: {max_per_tunnel_per_hour: 100000, max_per_device_per_hour: 100000}\nslack: {app_token: %q, bot_token: %q, api_url: %q, channel: %s}\nhttp: {listen: %q}\n",
		"${file:"+filepath.Join(dir, "app")+"}", "${file:"+filepath.Join(dir, "bot")+"}", ws.APIURL(), ws.ChannelID(), "")
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &killers{t: t, spec: path + "|" + dir}
	t.Cleanup(k.end)
	st, hq := p.rooms.store, p.lab.Device("hq-asa")
	died, states := make([]int, len(boundaries)), map[approval.State]int{}
	for i := range rounds {
		ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
		defer cancel()
		at := places[i%len(places)]
		ws.DeliverTwice(20, true)
		k.start(2)
		if err := ws.Wait(ctx, func() bool { return ws.Connections() >= 4 }); err != nil {
			t.Fatalf("the bots did not connect: %v", err)
		}
		p.lab.SetTunnel("london-oslo", emulator.Up)
		before := hq.Clears()
		q := p.propose("bounce", "london-oslo")
		card, err := ws.WaitFor(ctx, func(m workspace.Message) bool { b, ok := m.Button("approval.approve"); return ok && b.Value == q.ID })
		if err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		kill := func() {
			once.Do(func() {
				b, err := os.ReadFile(filepath.Join(dir, "holder"))
				if pid, _ := strconv.Atoi(string(b)); err == nil && k.kill(pid) {
					died[at]++
				}
			})
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		switch at {
		case atTyped:
			hq.AlterEcho(func(sofar string, c byte) (stored, echoed []byte) {
				if sofar+string(c) == q.Commands[0].Line {
					kill()
				}
				return []byte{c}, []byte{c}
			})
		case atEntered:
			wg.Go(func() {
				for hq.Clears() == before {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Microsecond):
					}
				}
				kill()
			})
		case atRandom, atJump:
		default:
			if err := os.WriteFile(filepath.Join(dir, "die-"+strconv.Itoa(at)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, u := range []string{"U000BORIS", "U000CHIARA", "U000BORIS"} {
			wg.Go(func() { _ = ws.Click(u, card.TS, "approval.approve") }) // the button may be gone by now
		}
		switch at {
		case atRandom:
			wg.Go(func() {
				time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond) // a random moment is the point of this round
				if k.killAny() {
					died[at]++
				}
			})
		case atJump:
			wg.Go(func() {
				time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
				jump := []int{3600, -3600, 119, -30}[rand.IntN(4)]
				os.WriteFile(filepath.Join(dir, "clock.new"), []byte(strconv.Itoa(jump)), 0o600)
				os.Rename(filepath.Join(dir, "clock.new"), filepath.Join(dir, "clock"))
			})
		}
		var end store.Proposal
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if end, err = st.Proposal(ctx, q.ID); err != nil {
				t.Fatal(err)
			}
			if end.State.Final() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d, %s: still %s", i, boundaries[at], end.State)
			}
		}
		close(stop)
		wg.Wait()
		hq.AlterEcho(nil)
		os.Remove(filepath.Join(dir, "clock"))
		os.Remove(filepath.Join(dir, "holder"))
		if name := filepath.Join(dir, "die-"+strconv.Itoa(at)); os.Remove(name+"-done") == nil {
			died[at]++
		} else {
			os.Remove(name)
		}
		n := hq.Clears() - before
		states[end.State]++
		if n > 1 || n != 1 && end.State == approval.Succeeded || n != 0 && (end.State == approval.Expired || end.State == approval.Superseded || end.State == approval.Rejected) {
			t.Fatalf("round %d, %s: the device saw %d clears; the proposal is %s: %s", i, boundaries[at], n, end.State, end.Reason)
		}
		// Whoever held the claim is dead: nobody saw the end, unless the device's answer was
		// written down already; then the other process took the verification up.
		right := end.State == approval.Unknown
		if at == atEntered {
			right = right || end.State == approval.Succeeded
		} else if at > atEntered {
			right = end.State == approval.Succeeded
		}
		if at > 3 && at < atRandom && !right {
			t.Fatalf("round %d, %s: the proposal is %s: %s", i, boundaries[at], end.State, end.Reason)
		}
		k.reap()
	}
	for _, at := range places {
		if died[at] == 0 && at < atRandom && rounds >= len(places) {
			t.Errorf("no process died at %q: the test does not test it", boundaries[at])
		}
	}
	// What became unknown is looked at, reading only, and a person is asked.
	if states[approval.Unknown] > 0 {
		k.start(1)
		ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
		defer cancel()
		if _, err := ws.WaitFor(ctx, func(m workspace.Message) bool {
			return m.IsReply() && m.Contains("nobody saw how the repair") && m.Contains("hq-asa")
		}); err != nil {
			t.Errorf("nobody looked after an unknown repair: %v", err)
		}
	}
	if head, n, err := st.VerifyAudit(ctx); err != nil || head == "" {
		t.Errorf("audit: %d records: %v", n, err)
	}
	if err := st.Audit(ctx, func(r store.Record) error {
		for _, s := range p.lab.Secrets() {
			if s != "" && strings.Contains(string(r.Details), s) {
				return fmt.Errorf("record %d holds a secret", r.Seq)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	t.Logf("%d rounds; killed at each boundary: %v; states: %v; clears at other devices: %d", rounds, died, states, p.clears("oslo-asa"))
}

// killers are the bots' processes.
type killers struct {
	t    *testing.T
	spec string
	mu   sync.Mutex
	live map[int]*exec.Cmd
	gone map[int]chan struct{}
}

// start starts bots until there are n.
func (k *killers) start(n int) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.live == nil {
		k.live, k.gone = map[int]*exec.Cmd{}, map[int]chan struct{}{}
	}
	for len(k.live) < n {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), killChild+"="+k.spec)
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		c.Stdout, c.Stderr = io.Discard, io.Discard
		if os.Getenv("VPNBOT_TEST_LOG") != "" {
			c.Stderr = os.Stderr
		}
		if err := c.Start(); err != nil {
			k.t.Fatal(err)
		}
		done := make(chan struct{})
		k.live[c.Process.Pid], k.gone[c.Process.Pid] = c, done
		go func() { c.Wait(); close(done) }()
	}
}

// kill ends a process and waits until it is gone.
func (k *killers) kill(pid int) bool {
	k.mu.Lock()
	c, done := k.live[pid], k.gone[pid]
	k.mu.Unlock()
	if c == nil || errors.Is(c.Process.Kill(), os.ErrProcessDone) {
		return false
	}
	<-done
	return true
}

func (k *killers) killAny() bool {
	k.mu.Lock()
	var pid int
	for pid = range k.live {
		break
	}
	k.mu.Unlock()
	return k.kill(pid)
}

// reap forgets those that died.
func (k *killers) reap() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for pid, done := range k.gone {
		select {
		case <-done:
			delete(k.live, pid)
			delete(k.gone, pid)
		default:
		}
	}
}

func (k *killers) end() {
	k.mu.Lock()
	var pids []int
	for pid := range k.live {
		pids = append(pids, pid)
	}
	k.mu.Unlock()
	for _, pid := range pids {
		k.kill(pid)
	}
}
