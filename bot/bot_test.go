package bot_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vpnbot/bot"
	"vpnbot/bot/store"
	"vpnbot/bot/store/postgrestest"
	"vpnbot/bot/workspace"
	"vpnbot/devices/inventory"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

// postgres is the server of the conversations that are had on both stores; it starts with
// the first of them.
var postgres struct {
	sync.Mutex
	address   string
	stop      func()
	err       error
	databases int
}

// database gives the address of an empty database: locks of different tests must not meet.
func database(t *testing.T) string {
	t.Helper()
	p := &postgres
	p.Lock()
	defer p.Unlock()
	if p.address == "" && p.err == nil {
		p.address, p.stop, p.err = postgrestest.Start()
	}
	if p.err != nil {
		t.Skip("PostgreSQL is not installed: " + p.err.Error())
	}
	db, err := sql.Open("pgx", p.address+"postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p.databases++
	name := fmt.Sprintf("t%d", p.databases)
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return p.address + name
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if postgres.stop != nil {
			postgres.stop()
		}
		os.Exit(code)
	}))
}

// opener opens an office on one kind of store.
type opener func(*testing.T, workspace.Options, func(*bot.Config)) *office

// onBoth has a conversation once on each kind of store.
func onBoth(t *testing.T, conversation func(t *testing.T, open opener)) {
	t.Run("sqlite", func(t *testing.T) { conversation(t, open) })
	t.Run("postgres", func(t *testing.T) {
		conversation(t, func(t *testing.T, opts workspace.Options, change func(*bot.Config)) *office {
			t.Helper()
			return openOn(t, database(t), opts, change)
		})
	})
}

const (
	amelie = "U000AMELIE"
	boris  = "U000BORIS"
	chiara = "U000CHIARA"
	guest  = "U000GUEST"
)

// office is a conversation: the emulated workspace, the bot, a store, and a runner that
// stands for the devices.
type office struct {
	t     *testing.T
	ws    *workspace.Workspace
	bot   *bot.Bot
	store *store.Store
	net   *network
	cfg   bot.Config
	dsn   string
	stop  func()
	clock *clock
}

// clock is the time as bot, store and workspace see it: it goes on by itself and jumps
// when a test says so.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) jump(d time.Duration) { c.ahead.Add(int64(d)) }

// network stands for playbooks and devices: it answers runs and counts what was written.
type network struct {
	mu      sync.Mutex
	store   *store.Store
	state   map[string]report.State // by tunnel
	sent    []string                // device: line
	runs    int
	gate    chan struct{} // when set, runs wait for it
	panics  bool
	chatty  bool            // a run that waits for its gate tells a change every 50 ms
	lose    bool            // Execute ends after the claim without saying how
	hang    chan struct{}   // Execute closes it when its verification begins, and waits until the process stops
	looked  int             // verifications that were taken up
	watched map[string]bool // tunnels with a ring-buffer capture
	asked   []playbooks.Request
	find    map[string]report.Finding
	errs    map[string][]report.Error
}

func newNetwork() *network {
	n := &network{watched: map[string]bool{}, state: map[string]report.State{}, find: map[string]report.Finding{"london-lima": staleSA, "london-pap": lostFragments}, errs: map[string][]report.Error{}}
	for _, t := range tunnelNames {
		n.state[t] = report.Up
	}
	return n
}

func (n *network) set(tunnel string, s report.State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state[tunnel] = s
}

func (n *network) written() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string{}, n.sent...)
}

func (n *network) Run(ctx context.Context, r playbooks.Request, update func(playbooks.Update)) (*playbooks.Result, error) {
	n.mu.Lock()
	n.runs++
	n.asked = append(n.asked, r)
	gate, panics := n.gate, n.panics
	state := n.state[r.Tunnel]
	f, found := n.find[r.Tunnel]
	errs := n.errs[r.Tunnel]
	n.mu.Unlock()
	if panics {
		panic("a mistake")
	}
	step := func(id, about string, s playbooks.StepState, note string) {
		update(playbooks.Update{Run: r.Run, Step: id, About: about, State: s, Note: note})
	}
	step("read", "read both ends", playbooks.Running, "")
	for i := 0; gate != nil; i++ {
		var again <-chan time.Time
		if n.chatty {
			step("read", "read both ends", playbooks.Running, fmt.Sprintf("%d outputs", i))
			again = time.After(50 * time.Millisecond)
		}
		select {
		case <-gate:
			gate = nil
		case <-again:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	step("read", "read both ends", playbooks.Done, "hq-asa: 6 outputs")
	step("first", "find the cause", playbooks.Done, "")
	res := &playbooks.Result{Report: report.Report{Schema: report.Schema, Tunnels: []report.Tunnel{{Name: r.Tunnel, State: state}}, Errors: errs}}
	if !found {
		f = report.Finding{ID: "tunnel-healthy", Tunnel: r.Tunnel, Title: "The tunnel is up and passes traffic", Severity: report.Info, Confidence: 0.95, Explanation: "Both ends have the same SAs and counters rise.", Evidence: []report.Evidence{{Source: "hq-asa: show crypto ipsec sa", Line: 3, Text: "#pkts encaps: 10"}}}
	}
	res.Report.Findings = []report.Finding{f}
	if r.Playbook == "sweep" {
		return res, nil
	}
	res.Pictures = []playbooks.File{{Name: "ladder.svg", Data: []byte("<svg/>")}, {Name: "ladder.png", Data: []byte("\x89PNG...")}}
	var proposable bool
	for _, a := range f.Actions {
		proposable = proposable || a.Class == report.Approve
	}
	if r.Human && proposable {
		line := f.Actions[0].Commands[0]
		sum := sha256.Sum256([]byte(line))
		p := playbooks.Proposal{
			ID: random(), Run: r.Run, Tunnel: r.Tunnel, Finding: f, Effect: "Drops " + r.Tunnel + " for about 5 s.", Decisive: "x", Summary: "hq-asa: MM_ACTIVE; lima-rtr: no SA",
			Commands: []playbooks.ProposedCommand{{Device: f.Actions[0].Device, Line: line, SHA256: hex.EncodeToString(sum[:])}}, Requester: r.By,
		}
		if err := n.store.Propose(ctx, p); err != nil {
			return res, err
		}
		res.Proposal = &p
	}
	return res, nil
}

func (n *network) Execute(ctx context.Context, p playbooks.Proposal, update func(playbooks.Update)) (playbooks.Outcome, error) {
	out := playbooks.Outcome{Before: "hq-asa: MM_ACTIVE, lima-rtr: no SA"}
	for _, c := range p.Commands {
		out.Commands = append(out.Commands, playbooks.CommandState{Device: c.Device, Line: c.Line, State: "not sent"})
	}
	for i, c := range p.Commands {
		if err := n.store.Claim(ctx, p.ID, c.Device, sha256.Sum256([]byte(c.Line))); err != nil {
			out.State, out.Reason = "failed", "nothing was sent: "+err.Error()
			return out, nil
		}
		n.mu.Lock()
		n.sent = append(n.sent, c.Device+": "+c.Line)
		n.state[p.Tunnel] = report.Up
		delete(n.find, p.Tunnel)
		n.mu.Unlock()
		if n.lose {
			return playbooks.Outcome{}, errors.New("the session was cut")
		}
		out.Commands[i].State = "succeeded"
	}
	out.State = "succeeded"
	if err := n.store.Accepted(ctx, p.ID, out); err != nil {
		return out, err
	}
	update(playbooks.Update{Step: "verify", About: "verify", State: playbooks.Running})
	if n.hang != nil {
		close(n.hang)
		<-ctx.Done()
		return out, nil
	}
	out.State, out.Verified, out.After = "succeeded", "helped", "hq-asa: MM_ACTIVE, lima-rtr: QM_IDLE"
	return out, nil
}

func (n *network) Verify(_ context.Context, _ playbooks.Proposal, out playbooks.Outcome, _ func(playbooks.Update)) playbooks.Outcome {
	n.mu.Lock()
	n.looked++
	n.mu.Unlock()
	out.Verified, out.After = "helped", "hq-asa: MM_ACTIVE, lima-rtr: QM_IDLE"
	return out
}

func (n *network) Watch(_ context.Context, tunnel string, _ time.Duration) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if tunnel == "london-oslo" {
		return nil, errors.New("oslo-rtr: no capture: its CPU is at 93 %, over 80 %")
	}
	n.watched[tunnel] = true
	return []string{"on lima-rtr only packets between the two ends are captured"}, nil
}

func (n *network) Unwatch(_ context.Context, tunnel string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.watched, tunnel)
	return nil
}

func (n *network) Watched(tunnel string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.watched[tunnel]
}

func (n *network) Show(context.Context, string) (string, report.Report, error) {
	return "hq-asa# show crypto isakmp sa\n1   IKE Peer: 203.0.113.10\n", report.Report{}, nil
}

func random() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

var staleSA = report.Finding{
	ID: "stale-sa", Tunnel: "london-lima", Title: "Stale SA: one end has an SA that the other forgot", Severity: report.Critical, Confidence: 0.93,
	Explanation: "The headend still encrypts with an SA that lima-rtr no longer has.",
	Evidence:    []report.Evidence{{Source: "hq-asa: show crypto isakmp sa", Line: 12, Text: "1   IKE Peer: 203.0.113.20  <!channel> `x`"}},
	Actions:     []report.Action{{Class: report.Approve, Device: "hq-asa", Commands: []string{"clear crypto isakmp sa 203.0.113.20"}, Effect: "drops london-lima for about 5 s", Kind: report.ClearIKESA}},
}

var lostFragments = report.Finding{
	ID: "fragments-lost", Tunnel: "london-pap", Title: "The path drops IP fragments", Severity: report.Critical, Confidence: 0.9,
	Explanation: "Both ends are stuck: AM_TM_INIT_MODECFG_V6H at the headend.",
	Evidence:    []report.Evidence{{Source: "captures/hq.pcap", Packet: ptr(17), Text: "fragment 2 of 2 never arrived"}},
	Actions:     []report.Action{{Class: report.Advise, Steps: []string{"Ask the ISP to let fragments pass."}}},
}

func ptr[T any](v T) *T { return &v }

func (o *office) config() bot.Config {
	c := bot.Defaults()
	c.Slack.AppToken, c.Slack.BotToken, c.Slack.APIURL, c.Slack.Channel = o.ws.AppToken(), o.ws.BotToken(), o.ws.APIURL(), o.ws.ChannelID()
	c.Slack.SigningSecret = o.ws.SigningSecret()
	c.Access.Approve, c.Access.Admin = []string{o.ws.UserGroup()}, []string{chiara}
	c.HTTP.Listen = "127.0.0.1:0"
	return c
}

func open(t *testing.T, opts workspace.Options, change func(*bot.Config)) *office {
	t.Helper()
	return openOn(t, "sqlite:"+filepath.Join(t.TempDir(), "bot.db"), opts, change)
}

func openOn(t *testing.T, dsn string, opts workspace.Options, change func(*bot.Config)) *office {
	t.Helper()
	t.Parallel()
	ctx := context.Background()
	c := &clock{}
	opts.Now = c.now
	ws, err := workspace.Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, ws: ws, clock: c, dsn: dsn, net: newNetwork()}
	o.cfg = o.config()
	if change != nil {
		change(&o.cfg)
	}
	o.start()
	t.Cleanup(func() {
		o.stop()
		ws.Close()
	})
	return o
}

var tunnelNames = []string{"london-pap", "london-lima", "london-oslo"}

// start starts the bot; after stop it starts again on the same store.
func (o *office) start() {
	o.t.Helper()
	var tunnels []inventory.Tunnel
	devices := []inventory.Device{{Name: "hq-asa", Platform: inventory.CiscoASA, Address: "198.51.100.1:22", Credentials: "ops", Tags: []string{"london"}}}
	for i, n := range tunnelNames {
		d := strings.TrimPrefix(n, "london-") + "-rtr"
		devices = append(devices, inventory.Device{Name: d, Platform: inventory.CiscoIOS, Address: fmt.Sprintf("203.0.113.%d:22", 10*(i+1)), Credentials: "ops"})
		tunnels = append(tunnels, inventory.Tunnel{Name: n, Kind: inventory.L2L, Ends: []inventory.End{
			{Device: "hq-asa", Address: netip.MustParseAddr("198.51.100.1"), Interface: "outside", Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
			{Device: d, Address: netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 10*(i+1))), Interface: "outside", Networks: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", 20+i))}},
		}})
	}
	known := filepath.Join(o.t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, nil, 0o600); err != nil {
		o.t.Fatal(err)
	}
	ic := inventory.Config{SSH: inventory.Defaults(), Credentials: map[string]inventory.Credential{"ops": {Username: "u", Password: "p"}}, Devices: devices, Tunnels: tunnels}
	ic.SSH.KnownHosts = known
	inv, err := inventory.New(ic)
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	st, err := store.Open(ctx, store.Options{DSN: o.dsn, Policy: o.cfg.Policy(), Now: o.clock.now})
	if err != nil {
		o.t.Fatal(err)
	}
	o.store, o.net.store = st, st
	log := slog.New(slog.NewTextHandler(testLog{o.t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	o.bot, err = bot.New(bot.Options{Config: o.cfg, Runner: o.net, Inventory: inv, Store: st, Logger: log, Now: o.clock.now,
		Analyze: func(_ context.Context, files []playbooks.File) (*playbooks.Result, error) {
			f := lostFragments
			f.Tunnel = "198.51.100.1,203.0.113.10"
			f.Explanation = fmt.Sprintf("%s: %d bytes", files[0].Name, len(files[0].Data))
			return &playbooks.Result{Report: report.Report{Findings: []report.Finding{f}}}, nil
		},
		Explain: func(s string) string { return "It means: " + s },
		Books:   []bot.Playbook{{Name: "diagnose", About: "finds out"}}})
	if err != nil {
		o.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- o.bot.Run(ctx) }()
	o.stop = func() {
		cancel()
		if err := <-done; err != nil {
			o.t.Errorf("Run: %v", err)
		}
		if err := st.Close(); err != nil && !errors.Is(err, io.EOF) {
			o.t.Errorf("Close: %v", err)
		}
	}
	o.eventually("the listener", func() bool { return o.bot.Addr() != "" })
	if o.cfg.Slack.Mode == "socket" {
		o.until("a connection", func() bool { return o.ws.Connections() > 0 })
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	if os.Getenv("VPNBOT_TEST_LOG") != "" {
		os.Stderr.Write(bytes.TrimRight(b, ""))
	}
	return len(b), nil
}

func (o *office) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	o.t.Cleanup(cancel)
	return ctx
}

func (o *office) until(what string, cond func() bool) {
	o.t.Helper()
	if err := o.ws.Wait(o.ctx(), cond); err != nil {
		o.t.Fatalf("waited for %s: %v", what, err)
	}
}

// types is what somebody types: a command, or a message.
func (o *office) types(user, line string) {
	o.t.Helper()
	if err := o.ws.Slash(user, line); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) clicks(user string, m workspace.Message, action string) {
	o.t.Helper()
	if err := o.ws.Click(user, m.TS, action); err != nil {
		o.t.Fatal(err)
	}
}

// reads waits for a message of the channel that contains all words.
func (o *office) reads(words ...string) workspace.Message {
	o.t.Helper()
	return o.message(func(m workspace.Message) bool { return m.Ephemeral == "" && !m.IsReply() }, words)
}

// whispered waits for an answer that only user reads.
func (o *office) whispered(user string, words ...string) workspace.Message {
	o.t.Helper()
	return o.message(func(m workspace.Message) bool { return m.Ephemeral == user }, words)
}

// replied waits for an answer in the thread of m.
func (o *office) replied(m workspace.Message, words ...string) workspace.Message {
	o.t.Helper()
	return o.message(func(r workspace.Message) bool { return r.IsReply() && r.ThreadTS == m.TS }, words)
}

func (o *office) message(want func(workspace.Message) bool, words []string) workspace.Message {
	o.t.Helper()
	m, err := o.ws.WaitFor(o.ctx(), func(m workspace.Message) bool {
		if !want(m) {
			return false
		}
		for _, w := range words {
			if !strings.Contains(unmarked(m.Content()), w) && !strings.Contains(m.Text, w) {
				return false
			}
		}
		return true
	})
	if err != nil {
		o.t.Fatalf("nobody read %q: %v", words, err)
	}
	return m
}

// unmarked is a text as it is read: without the marks of code and bold.
func unmarked(s string) string { return strings.NewReplacer("`", "", "*", "").Replace(s) }

// fine checks what holds after every conversation.
func (o *office) fine() {
	o.t.Helper()
	for _, e := range o.ws.Envelopes() {
		if e.Outcome != "acked" && e.Outcome != "waiting" {
			o.t.Errorf("%s was not acknowledged: %s", e.Kind, e.Outcome)
		}
		if len(e.Ack) > 0 && string(e.Ack) != "null" && string(e.Ack) != "{}" {
			o.t.Errorf("the acknowledgement of %s is not empty: %s", e.Kind, e.Ack)
		}
	}
	for _, c := range o.ws.Calls("") {
		if c.Error != "" && c.Status == 200 {
			o.t.Errorf("Slack refused %s: %s %v", c.Method, c.Error, c.Params)
		}
	}
	for _, m := range o.ws.Messages("") {
		for _, w := range m.Warnings {
			o.t.Errorf("message %s: %s", m.TS, w)
		}
		if m.BotID != "" && strings.TrimSpace(m.Text) == "" && len(m.Files) == 0 {
			o.t.Errorf("message %s has no text", m.TS)
		}
	}
}

// eventually waits for something that Slack does not see.
func (o *office) eventually(what string, cond func() bool) {
	o.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			o.t.Fatalf("waited for %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// passing lets the time go by in steps until something is so.
func (o *office) passing(step time.Duration, what string, cond func() bool) {
	o.t.Helper()
	o.eventually(what, func() bool {
		if cond() {
			return true
		}
		o.clock.jump(step)
		return false
	})
}

// whispers are the answers that only user reads, oldest first.
func (o *office) whispers(user string) (out []workspace.Message) {
	for _, m := range o.ws.Messages("") {
		if m.Ephemeral == user {
			out = append(out, m)
		}
	}
	return out
}

// files counts the files in a message's thread.
func (o *office) files(card workspace.Message) (n int) {
	for _, m := range o.ws.Messages("") {
		if m.ThreadTS == card.TS {
			n += len(m.Files)
		}
	}
	return n
}

// noneTwice checks that no message of the bot and no file stands there twice.
func (o *office) noneTwice() {
	o.t.Helper()
	keys, files := map[string]string{}, map[string]int{}
	for _, m := range o.ws.Messages("") {
		if meta, ok := m.Metadata.(map[string]any); ok && m.Ephemeral == "" {
			key := fmt.Sprint(meta["event_payload"])
			if other, ok := keys[key]; ok {
				o.t.Errorf("messages %s and %s are the same: %s", other, m.TS, m.Text)
			}
			keys[key] = m.TS
		}
		for _, f := range m.Files {
			if files[m.ThreadTS+f.Name]++; files[m.ThreadTS+f.Name] > 1 {
				o.t.Errorf("file %s was shared twice", f.Name)
			}
		}
	}
}
