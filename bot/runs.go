package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"vpnbot/bot/message"
	"vpnbot/bot/slack"
	"vpnbot/bot/store"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

// Limits of durations that people may ask for.
const (
	shortestCapture = 5 * time.Second
	longestCapture  = 10 * time.Minute
)

func (b *Bot) diagnose(a *ask) {
	f := strings.Fields(a.rest)
	name := ""
	if len(f) > 0 {
		name = f[0]
	}
	req := playbooks.Request{Playbook: "diagnose"}
	for i := 1; i < len(f); i++ {
		switch {
		case f[i] == "capture" && req.Capture == playbooks.CaptureAuto:
			req.Capture = playbooks.CaptureForce
		case f[i] == "nocapture" && req.Capture == playbooks.CaptureAuto:
			req.Capture = playbooks.CaptureNever
		case req.Capture == playbooks.CaptureForce && req.Duration == 0:
			d, err := wantsDuration(f[i], shortestCapture, longestCapture)
			if err != nil {
				a.say("%s", message.Words(err.Error()))
				return
			}
			req.Duration = d
		default:
			c, _ := find("diagnose")
			a.say("%s is not understood here. %s", message.Quote(f[i]), b.usage(c))
			return
		}
	}
	if t, ok := b.target(a, "diagnose", name); ok {
		req.Tunnel = t.Name
		b.start(a, req)
	}
}

func (b *Bot) capture(a *ask) {
	f := strings.Fields(a.rest)
	name := ""
	if len(f) > 0 {
		name = f[0]
	}
	req := playbooks.Request{Playbook: "capture-both-ends", Capture: playbooks.CaptureForce}
	if len(f) > 1 {
		if f[1] == "start" || f[1] == "fetch" || f[1] == "stop" {
			if t, ok := b.target(a, "capture", name); ok {
				b.ringCommand(a, t.Name, f[1], f[2:])
			}
			return
		}
		d, err := wantsDuration(f[1], shortestCapture, longestCapture)
		if err != nil || len(f) > 2 {
			c, _ := find("capture")
			a.say("%s is not understood here. %s", message.Quote(strings.Join(f[1:], " ")), b.usage(c))
			return
		}
		req.Duration = d
	}
	if t, ok := b.target(a, "capture", name); ok {
		req.Tunnel = t.Name
		b.start(a, req)
	}
}

func (b *Bot) run(a *ask) {
	f := strings.Fields(a.rest)
	c, _ := find("run")
	if len(f) == 0 {
		a.say("Which playbook? %s `%s playbooks` lists them.", b.usage(c), b.cfg.Slack.Command)
		return
	}
	known := false
	for _, p := range b.opt.Books {
		known = known || p.Name == f[0]
	}
	if !known && len(b.opt.Books) > 0 {
		a.say("There is no playbook %s. `%s playbooks` lists them.", message.Quote(f[0]), b.cfg.Slack.Command)
		return
	}
	name := ""
	if len(f) > 1 {
		name = f[1]
	}
	a.rest = strings.Join(f[1:], " ")
	if t, ok := b.target(a, "run", name); ok {
		b.start(a, playbooks.Request{Playbook: f[0], Tunnel: t.Name})
	}
}

func (b *Bot) clear(a *ask) {
	if !b.cfg.enabled() {
		a.say("This installation only reads: approval.enabled is false. Diagnose shows what to paste by hand.")
		return
	}
	if t, ok := b.target(a, "clear", strings.TrimSpace(a.rest)); ok {
		b.start(a, playbooks.Request{Playbook: "clear-sa", Tunnel: t.Name, Capture: playbooks.CaptureNever})
	}
}

// start begins a run that a person asked for, and shows its card where they asked.
func (b *Bot) start(a *ask, req playbooks.Request) {
	req.Run, req.By, req.Human = id("run", a.Key), a.User, true
	card := "run:" + req.Run
	r, began, err := b.store.Begin(a.ctx, req, card)
	if err != nil {
		b.refused(a, req.Playbook, err)
		return
	}
	if !began {
		if r.Run == req.Run {
			return // the request was dealt with before
		}
		a.say("%s is being worked on already (%s, asked by %s). You joined that run; its card shows how it goes.", message.Quote(r.Tunnel), message.Words(r.Playbook), people(r.By))
		b.joined(a.ctx, r)
		return
	}
	b.show1(a.ctx, place{Channel: a.Channel, Thread: a.Thread, Hook: a.Hook}, r, nil)
	b.wg.Go(func() { b.work(context.WithoutCancel(a.ctx), a.ctx, r) })
}

func people(by string) string {
	if by == "schedule" || by == "" {
		return "vpnbot itself"
	}
	if by == "cli" {
		return "the command line"
	}
	return message.WhoMay([]string{by})
}

// place is where a card stands.
type place struct {
	Channel, Thread, Parent string
	Hook                    string // response_url, should the bot not be in the channel
}

// show1 puts the card of a run under way into the queue.
func (b *Bot) show1(ctx context.Context, p place, r store.Run, steps []playbooks.Update) {
	m := message.Progress(message.Run{ID: r.Run, Playbook: r.Playbook, Tunnel: r.Tunnel, By: r.By, Joined: r.Joined, Steps: steps, Started: r.CreatedAt, Loc: b.loc})
	b.put(ctx, store.Message{Key: r.Card, Kind: "post", Channel: p.Channel, Thread: p.Thread, Parent: p.Parent, Hook: p.Hook, Body: m.JSON()})
}

func (b *Bot) put(ctx context.Context, m store.Message) {
	if err := b.store.Put(ctx, m); err != nil && ctx.Err() == nil {
		b.log.Error("a message could not be queued", "key", m.Key, "error", err)
	}
}

// joined shows on the card that somebody joined; the next step draws it again anyway.
func (b *Bot) joined(ctx context.Context, r store.Run) {
	b.mu.Lock()
	t := b.tracks[r.Run]
	b.mu.Unlock()
	if t != nil {
		t.join(r.Joined)
	}
}

// track is what the card of a run of this process shows.
type track struct {
	mu     sync.Mutex
	b      *Bot
	ctx    context.Context
	place  place
	run    store.Run
	steps  []playbooks.Update
	closed bool
}

func (t *track) update(u playbooks.Update) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.steps, func(s playbooks.Update) bool { return s.Step == u.Step })
	if i < 0 {
		t.steps = append(t.steps, u)
	} else {
		t.steps[i] = u
	}
	t.draw()
}

func (t *track) join(users []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.run.Joined = users
	t.draw()
}

func (t *track) draw() {
	if !t.closed {
		t.b.show1(t.ctx, t.place, t.run, t.steps)
	}
}

func (t *track) close() ([]playbooks.Update, store.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return slices.Clone(t.steps), t.run
}

// work runs a run to its end. ctx is for the store, life ends when the process stops.
func (b *Bot) work(ctx, life context.Context, r store.Run) {
	rctx, cancel := context.WithCancel(life)
	defer cancel()
	p := b.placeOf(ctx, r)
	t := &track{b: b, ctx: ctx, place: p, run: r}
	b.mu.Lock()
	b.cancels[r.Run], b.tracks[r.Run] = cancel, t
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.cancels, r.Run)
		delete(b.tracks, r.Run)
		b.mu.Unlock()
	}()
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-rctx.Done():
	}
	var res *playbooks.Result
	err := rctx.Err()
	if err == nil {
		var done func()
		if done, err = b.turns.wait(rctx, r.Tunnel); err == nil {
			res, err = b.runSafely(rctx, r.Request, t.update)
			done()
		}
	}
	if life.Err() != nil {
		return // the process stops: the run goes on after the next start
	}
	steps, run := t.close()
	b.finish(ctx, p, run, steps, res, err, rctx.Err() != nil)
}

// runSafely keeps a panic of a playbook from ending the bot.
func (b *Bot) runSafely(ctx context.Context, req playbooks.Request, update func(playbooks.Update)) (res *playbooks.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("a run ended in a panic", "run", req.Run, "panic", p)
			res, err = nil, errors.New("vpnbot made a mistake in this run; its log says more")
		}
	}()
	return b.runner.Run(ctx, req, update)
}

// placeOf finds where the card of a run stands; a run without one stands in the channel.
func (b *Bot) placeOf(ctx context.Context, r store.Run) place {
	if m, err := b.store.Message(ctx, r.Card); err == nil {
		return place{Channel: m.Channel, Thread: m.Thread, Parent: m.Parent}
	}
	return place{Channel: b.cfg.Slack.Channel}
}

// finish shows a run's verdict, hands its details to the thread, and asks for approval.
// It may be repeated after a stop: every message has its key.
func (b *Bot) finish(ctx context.Context, p place, r store.Run, steps []playbooks.Update, res *playbooks.Result, err error, cancelled bool) {
	v := message.Run{ID: r.Run, Playbook: r.Playbook, Tunnel: r.Tunnel, By: r.By, Joined: r.Joined, Steps: steps, Started: r.CreatedAt, Ended: b.now(), Loc: b.loc}
	state, failure := "done", ""
	switch {
	case cancelled:
		state, v.Canceled = "cancelled", true
		res = nil
	case err != nil && res == nil:
		state, failure = "failed", err.Error()
		v.Failed = failure
	default:
		v.Report, v.Refusal = &res.Report, res.Refusal
	}
	if res != nil {
		if res.Proposal != nil && r.Human {
			if perr := b.store.Propose(ctx, *res.Proposal); perr != nil {
				b.log.Error("a proposal could not be written down", "run", r.Run, "error", perr)
				v.Refusal = "the proposal could not be written down; the log says more"
			} else {
				v.Proposed = true
			}
		} else {
			b.supersede(ctx, r, res.Report)
		}
		v.CanAsk = !r.Human && b.cfg.enabled() && repairable(res.Report)
		v.Files = b.details(ctx, p, r, res)
		if r.After != "" {
			b.checked(ctx, p, r, res.Report)
		}
	}
	b.put(ctx, store.Message{Key: r.Card, Kind: "post", Channel: p.Channel, Thread: p.Thread, Parent: p.Parent, Body: message.Verdict(v).JSON()})
	if err := b.store.End(ctx, r.Run, state, failure, res); err != nil {
		b.log.Error("a run's end could not be written down", "run", r.Run, "error", err)
	}
	b.metrics.Ran(r.Playbook, state, v.Ended.Sub(v.Started))
}

// repairable tells whether the first finding can be repaired after an approval.
func repairable(rep report.Report) bool {
	if len(rep.Findings) == 0 || rep.Findings[0].Confidence < 0.7 {
		return false
	}
	return slices.ContainsFunc(rep.Findings[0].Actions, func(a report.Action) bool { return a.Class == report.Approve })
}

// supersede ends open proposals that a newer diagnosis no longer supports.
func (b *Bot) supersede(ctx context.Context, r store.Run, rep report.Report) {
	if r.Playbook == "show" || r.Playbook == "digest" || len(rep.Findings) == 0 {
		return
	}
	f := rep.Findings[0]
	agrees := f.ID // proposals that rest on the same finding stay, as long as it can be repaired
	reason := "A newer diagnosis found something else: " + f.Title + "."
	switch {
	case f.Severity == report.Info:
		agrees, reason = "", "The tunnel came up by itself: "+f.Title+". Nothing has to be done."
	case r.Playbook == "sweep":
		return // it reads too little to disagree with a diagnosis
	case !repairable(rep):
		agrees = ""
	}
	if _, err := b.store.Supersede(ctx, r.Tunnel, agrees, reason); err != nil {
		b.log.Error("proposals could not be superseded", "tunnel", r.Tunnel, "error", err)
	}
}

// maxFiles of a run that are uploaded, and their size.
const (
	maxFiles     = 12
	maxFileBytes = 20 << 20
)

// details puts everything longer into the run's thread; it returns the number of files.
func (b *Bot) details(ctx context.Context, p place, r store.Run, res *playbooks.Result) int {
	parent, thread := r.Card, ""
	if p.Thread != "" {
		parent, thread = "", p.Thread
	} else if p.Parent != "" {
		parent = p.Parent
	}
	for i, m := range message.Details(r.Tunnel, res.Report) {
		b.put(ctx, store.Message{Key: fmt.Sprintf("detail:%s:%d", r.Run, i), Kind: "post", Channel: p.Channel, Thread: thread, Parent: parent, Body: m.JSON()})
	}
	var files []upload
	for _, f := range res.Pictures {
		if strings.HasSuffix(f.Name, ".png") {
			files = append(files, upload{f, "Ladder diagram of " + r.Tunnel, ladderText(r.Tunnel, f.Name, res)})
		}
	}
	for _, f := range res.Reduced {
		files = append(files, upload{f, "Capture with keys removed: " + path.Base(f.Name), ""})
	}
	if js, err := json.MarshalIndent(res.Report, "", "  "); err == nil && len(res.Report.Findings) > 0 {
		files = append(files, upload{playbooks.File{Name: "report.json", Data: js}, "Report of " + r.Tunnel, ""})
	}
	n := 0
	for _, f := range files {
		if n == maxFiles || len(f.Data) > maxFileBytes {
			continue
		}
		b.upload(ctx, p.Channel, thread, parent, fmt.Sprintf("file:%s:%d", r.Run, n), f)
		n++
	}
	return n
}

type upload struct {
	playbooks.File
	title, alt string
}

func (b *Bot) upload(ctx context.Context, channel, thread, parent, key string, f upload) {
	body, err := json.Marshal(slack.FileBody{Name: fileName(f.Name), Title: message.FileTitle(f.title), Alt: message.AltText(f.alt)})
	if err != nil {
		return
	}
	b.put(ctx, store.Message{Key: key, Kind: "file", Channel: channel, Thread: thread, Parent: parent, Body: body, Data: f.Data})
}

// fileName keeps a name's last part and its harmless characters.
func fileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 128 && (r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '_'
	}, path.Base(name))
	if len(name) > 100 {
		name = name[len(name)-100:]
	}
	return strings.TrimLeft(name, ".")
}

// ladderText describes a ladder diagram for those who cannot see it.
func ladderText(tunnel, name string, res *playbooks.Result) string {
	s := "Ladder diagram of the negotiation of " + tunnel
	for _, t := range res.Report.Tunnels {
		if t.Name != tunnel && len(res.Report.Tunnels) > 1 {
			continue
		}
		for i, e := range t.Ends {
			sep := " between "
			if i > 0 {
				sep = " and "
			}
			s += sep + e.Device + " " + e.Address
		}
		s += ", state " + string(t.State)
		if t.StoppedAt != nil {
			s += ", stopped at " + *t.StoppedAt
		}
		break
	}
	return s
}

// cancel stops one run: the one named, or the only one that this person may mean.
func (b *Bot) cancel(a *ask) {
	runs, err := b.store.ActiveRuns(a.ctx)
	if err != nil {
		a.no(err)
		return
	}
	want := strings.TrimSpace(a.rest)
	var match []store.Run
	for _, r := range runs {
		if want == "" && (r.By == a.User || slices.Contains(r.Joined, a.User)) || want != "" && (strings.HasPrefix(r.Run, want) || strings.EqualFold(r.Tunnel, want)) {
			match = append(match, r)
		}
	}
	switch {
	case len(match) == 0 && want == "":
		a.say("You have no run under way.")
		return
	case len(match) == 0:
		a.say("There is no run %s under way; it may have ended.", message.Quote(want))
		return
	case len(match) > 1:
		var names []string
		for _, r := range match {
			names = append(names, message.Quote(r.Tunnel))
		}
		a.say("Several runs are under way: %s. Write `%s cancel TUNNEL`.", strings.Join(names, ", "), b.cfg.Slack.Command)
		return
	}
	r := match[0]
	if r.By != a.User && !slices.Contains(r.Joined, a.User) {
		if err := b.may(a.ctx, a.User, a.Team, mayOperate, true); err != nil {
			b.refused(a, "cancel", err)
			return
		}
	}
	if err := errors.Join(b.store.Note(a.ctx, a.User, "run.cancel", r.Run, map[string]any{"tunnel": r.Tunnel}), b.store.Set(a.ctx, "cancel."+r.Run, a.User)); err != nil {
		a.no(err)
		return
	}
	b.cancelAsked(a.ctx)
	a.say("The run on %s stops; captures are removed.", message.Quote(r.Tunnel))
}

// cancelAsked stops runs of this process that somebody cancelled, perhaps at another one.
func (b *Bot) cancelAsked(ctx context.Context) {
	b.mu.Lock()
	runs := make([]string, 0, len(b.cancels))
	for r := range b.cancels {
		runs = append(runs, r)
	}
	b.mu.Unlock()
	for _, r := range runs {
		if by, err := b.store.Get(ctx, "cancel."+r); err == nil && by != "" {
			b.mu.Lock()
			if c := b.cancels[r]; c != nil {
				c()
			}
			b.mu.Unlock()
		}
	}
}

// resumeRuns goes on with runs whose process died.
func (b *Bot) resumeRuns(ctx context.Context) {
	for {
		r, err := b.store.TakeRun(ctx)
		if err != nil {
			if ctx.Err() == nil {
				b.log.Error("interrupted runs cannot be read", "error", err)
			}
			return
		}
		if r == nil {
			return
		}
		b.wg.Go(func() { b.work(context.WithoutCancel(ctx), ctx, *r) })
	}
}
