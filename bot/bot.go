// Package bot is the people's side: it turns what people type and press in Slack, and
// what the clock says, into runs of playbooks, shows how they go, asks for approvals,
// and remembers. In come Slack's events and schedules; out go runs (Runner), messages
// (the store's queue) and approved repairs.
//
// Everything that comes in is written to the store's inbox before it is acknowledged and
// is dealt with once. Everything that goes out is a message in the store's queue. Between
// them this package holds no state that a restart may lose.
package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"vpnbot/bot/schedule"
	"vpnbot/bot/slack"
	"vpnbot/bot/slack/payload"
	"vpnbot/bot/store"
	"vpnbot/bot/web"
	"vpnbot/devices/inventory"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

// Runner runs playbooks; playbooks.Runner is one.
type Runner interface {
	// Run runs a playbook for a tunnel; update is called for every change of a step.
	Run(ctx context.Context, r playbooks.Request, update func(playbooks.Update)) (*playbooks.Result, error)
	// Execute runs an approved proposal and verifies it.
	Execute(ctx context.Context, p playbooks.Proposal, update func(playbooks.Update)) (playbooks.Outcome, error)
	// Verify takes up the verification of a repair that the devices took and whose process stopped.
	Verify(ctx context.Context, p playbooks.Proposal, out playbooks.Outcome, update func(playbooks.Update)) playbooks.Outcome
	// Show reads both ends of a tunnel: SAs and counters as plain text, secrets replaced.
	Show(ctx context.Context, tunnel string) (string, report.Report, error)
	// Watch starts a ring-buffer capture that waits for a fault, Unwatch ends it; a Run with
	// Request.Ring takes its packets.
	Watch(ctx context.Context, tunnel string, most time.Duration) (notes []string, err error)
	Unwatch(ctx context.Context, tunnel string) error
	Watched(tunnel string) bool
}

// Options of a Bot. Explain and Analyze may be nil: then these commands say so.
type Options struct {
	Config    Config
	Runner    Runner
	Inventory *inventory.Inventory
	Store     *store.Store
	Books     []Playbook // for `playbooks` and `run`
	Logger    *slog.Logger
	Now       func() time.Time
	Rand      io.Reader

	Explain func(text string) string                                                     // what a pasted message means, as plain text
	Analyze func(ctx context.Context, files []playbooks.File) (*playbooks.Result, error) // evidence that a person shared
}

// Playbook is a playbook's name and its sentence.
type Playbook struct{ Name, About string }

// Bot is the running bot.
type Bot struct {
	opt    Options
	cfg    Config
	runner Runner
	inv    *inventory.Inventory
	store  *store.Store
	log    *slog.Logger
	now    func() time.Time
	loc    *time.Location

	api      *slack.API
	people   *slack.People
	socket   *slack.Socket
	sender   *slack.Sender
	identity atomic.Pointer[slack.Identity]
	metrics  *web.Metrics
	listener atomic.Pointer[net.Listener]

	slots   chan struct{} // runs at once
	turns   turns
	wg      sync.WaitGroup
	mu      sync.Mutex
	cancels map[string]context.CancelFunc // runs of this process
	tracks  map[string]*track             // their cards
	looks   map[string]bool               // unknown repairs whose devices are being looked at
	reading sync.Map                      // keys of shared files that are being read
	swept   bool                          // the baseline was taken; sweepMu guards it
	sweepMu sync.Mutex
}

// maxRuns at once in this process; the rest waits with its card showing it.
const maxRuns = 16

// New makes a bot; nothing is sent before Run.
func New(o Options) (*Bot, error) {
	if errs := o.Config.Validate(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if o.Runner == nil || o.Inventory == nil || o.Store == nil {
		return nil, errors.New("bot: needs a runner, an inventory and a store")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	api, err := slack.NewAPI(slack.Options{APIURL: o.Config.Slack.APIURL, AppToken: o.Config.Slack.AppToken, BotToken: o.Config.Slack.BotToken, Logger: o.Logger, Now: o.Now})
	if err != nil {
		return nil, err
	}
	b := &Bot{
		opt: o, cfg: o.Config, runner: o.Runner, inv: o.Inventory, store: o.Store, log: o.Logger, now: o.Now, loc: o.Config.Location(),
		api: api, people: slack.NewPeople(api), sender: slack.NewSender(api, o.Store, o.Config.Slack.Channel), metrics: web.NewMetrics(),
		slots: make(chan struct{}, maxRuns), cancels: map[string]context.CancelFunc{}, tracks: map[string]*track{}, looks: map[string]bool{},
	}
	b.socket = slack.NewSocket(api, b.receive)
	return b, nil
}

// Addr is where the HTTP listener is, once Run began; "" before and without one.
func (b *Bot) Addr() string {
	if l := b.listener.Load(); l != nil {
		return (*l).Addr().String()
	}
	return ""
}

// Ready tells whether the bot can work: the store answers and Slack is connected.
func (b *Bot) Ready(ctx context.Context) error {
	if err := b.store.Ping(ctx); err != nil {
		return err
	}
	if b.identity.Load() == nil {
		return errors.New("Slack has not answered yet")
	}
	if b.cfg.Slack.Mode == "socket" && !b.socket.Connected() {
		return errors.New("no Socket Mode connection to Slack")
	}
	return nil
}

// Run works until ctx ends; then it waits for what is under way to stop.
func (b *Bot) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer b.stopRings()
	defer b.wg.Wait()
	defer cancel()
	if b.cfg.HTTP.Listen != "" {
		if err := b.serve(ctx); err != nil {
			return err
		}
	}
	if err := b.recover(ctx); err != nil {
		return err
	}
	b.wg.Go(func() { b.sender.Run(ctx) })
	b.wg.Go(func() { b.identify(ctx) })
	b.wg.Go(func() { b.repairs(ctx) })
	b.wg.Go(func() { b.housekeeping(ctx) })
	for _, s := range b.cfg.Schedules {
		spec, err := schedule.Parse(s.Cron, b.loc)
		if err != nil {
			return err
		}
		b.wg.Go(func() {
			spec.Run(ctx, b.now, func(due time.Time) {
				body, _ := json.Marshal(s)
				if _, err := b.store.Receive(ctx, "schedule:"+s.Name+":"+spec.Key(due), "schedule", body); err != nil && ctx.Err() == nil {
					b.log.Error("a scheduled run could not be written down", "schedule", s.Name, "error", err)
				}
			})
		})
	}
	if b.cfg.Slack.Mode == "socket" {
		b.wg.Go(func() { b.socket.Run(ctx) })
	}
	b.inbox(ctx)
	return nil
}

// serve listens for health checks, metrics and Slack's requests.
func (b *Bot) serve(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", b.cfg.HTTP.Listen)
	if err != nil {
		return errors.Join(errors.New("http.listen: "+b.cfg.HTTP.Listen+" cannot be used; is another vpnbot running?"), err)
	}
	b.listener.Store(&l)
	var requests http.Handler
	if b.cfg.Slack.Mode == "http" {
		requests = slack.HTTPHandler(b.api, b.cfg.Slack.SigningSecret, func(ctx context.Context, key string) (bool, error) {
			fresh, err := b.store.Receive(ctx, key, "signature", nil)
			return !fresh, err
		}, b.receive)
	}
	srv := &http.Server{Handler: web.Handler(b.Ready, b.metrics, requests), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10}
	b.wg.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.log.Error("the HTTP listener stopped", "error", err)
		}
	})
	b.wg.Go(func() {
		<-ctx.Done()
		srv.Close()
	})
	return nil
}

// identify learns who the bot is; without it nobody may do anything.
func (b *Bot) identify(ctx context.Context) {
	wait := time.Second
	for {
		id, err := b.api.Identify(ctx)
		if err == nil {
			b.identity.Store(&id)
			b.log.Info("connected to Slack", "workspace", id.Team, "bot", id.UserID)
			return
		}
		if ctx.Err() != nil {
			return
		}
		b.log.Error("Slack does not know this bot", "error", err, "again_in", wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Minute)
	}
}

// receive writes an event down; it is acknowledged only when this succeeded.
func (b *Bot) receive(ctx context.Context, e payload.Event) (map[string]string, error) {
	if fields := validate(e); len(fields) > 0 {
		return fields, nil
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	_, err = b.store.Receive(ctx, e.Key, "slack", body)
	b.metrics.Received(e.Kind, err)
	return nil, err
}

// validate checks a modal's fields while it is still open.
func validate(e payload.Event) map[string]string {
	if e.Kind == "submit" && e.Callback == "approval.reject_reason" && len([]rune(e.Values["reason"])) > 500 {
		return map[string]string{"reason": "Please say it in 500 characters."}
	}
	return nil
}

// inbox deals with what was written down, until ctx ends.
func (b *Bot) inbox(ctx context.Context) {
	wake := b.store.Wake("inbox")
	busy := make(chan struct{}, 128) // some wait for devices; clicks must not wait for them
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for {
			select {
			case <-ctx.Done():
				return
			case busy <- struct{}{}:
			}
			r, err := b.store.Take(ctx)
			if err != nil || r == nil {
				<-busy
				if err != nil && ctx.Err() == nil {
					b.log.Error("the inbox cannot be read", "error", err)
				}
				break
			}
			b.wg.Go(func() {
				defer func() { <-busy }()
				b.deal(ctx, r)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
		}
	}
}

// deal handles one request; a panic costs that request and nothing else.
func (b *Bot) deal(ctx context.Context, r *store.Request) {
	failure := ""
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("a request ended in a panic", "key", r.Key, "panic", p)
			failure = "panic"
		}
		if ctx.Err() != nil && failure == "" && r.Kind == "slack" {
			return // stopped in the middle: it is dealt with again after the start
		}
		if err := b.store.Dealt(context.WithoutCancel(ctx), r.ID, failure); err != nil {
			b.log.Error("a request could not be marked as done", "key", r.Key, "error", err)
		}
	}()
	switch r.Kind {
	case "slack":
		var e payload.Event
		if err := json.Unmarshal(r.Body, &e); err != nil {
			failure = err.Error()
			return
		}
		b.handle(ctx, e, r.At)
	case "schedule":
		var s Schedule
		if err := json.Unmarshal(r.Body, &s); err != nil {
			failure = err.Error()
			return
		}
		if b.now().Sub(r.At) < 10*time.Minute {
			b.scheduled(ctx, s)
		}
	}
}

// recover gives up what dead processes held and looks at what they left behind.
func (b *Bot) recover(ctx context.Context) error {
	if _, err := b.store.Recover(ctx); err != nil {
		return err
	}
	unseen, err := b.store.UnknownUnseen(ctx)
	if err != nil {
		return err
	}
	for _, p := range unseen {
		b.wg.Go(func() { b.lookAfterUnknown(ctx, p) })
	}
	return nil
}

// housekeeping does what is due now and then.
func (b *Bot) housekeeping(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	var pruned time.Time
	for {
		b.resumeRuns(ctx)
		if now := b.now(); now.Sub(pruned) > time.Hour {
			pruned = now
			if err := b.store.Prune(ctx); err != nil && ctx.Err() == nil {
				b.log.Error("old records could not be removed", "error", err)
			}
		}
		b.cancelAsked(ctx)
		b.rings(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := b.recover(ctx); err != nil && ctx.Err() == nil {
			b.log.Error("what dead processes held could not be given up", "error", err)
		}
	}
}

// id makes a stable id from what came in, so that a request dealt with twice is one run.
func id(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		io.WriteString(h, p)
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
