package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"vpnbot/bot/message"
	"vpnbot/bot/store"
	"vpnbot/bot/sweep"
	"vpnbot/devices/inventory"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

// many changes of one kind in one sweep are told in one message.
const many = 5

// device is how a device's memory is named in the table of tunnels.
const devicePrefix = "device:"

// scheduled runs what the clock asked for.
func (b *Bot) scheduled(ctx context.Context, s Schedule) {
	switch s.Playbook {
	case "sweep":
		b.sweepAll(ctx, s.Tags)
	case "digest":
		b.digest(ctx, s.Name)
	case "audit-head":
		b.auditHead(ctx)
	default:
		for _, t := range b.inv.Tagged(s.Tags...) {
			b.diagnoseBySelf(ctx, s.Playbook, t.Name, place{Channel: b.cfg.Slack.Channel}, id("scheduled", s.Name, t.Name, b.now().UTC().Format(time.RFC3339)))
		}
	}
}

// sweep is a sweep that a person asked for.
func (b *Bot) sweep(a *ask) {
	key := "sweep:" + id(a.Key)
	a.post(key, message.Notice(fmt.Sprintf("⏳ sweeping %d tunnels for %s", len(b.inv.Tunnels()), people(a.User))))
	began := b.now()
	r, ok := b.sweepAll(a.ctx, nil)
	if !ok {
		a.post(key, message.Notice("A sweep is under way already; its changes are told in the channel."))
		return
	}
	rows, _, err := b.states(a.ctx, b.inv.Tunnels())
	if err != nil {
		a.no(err)
		return
	}
	a.post(key, message.Swept(a.User, rows, r.unreachable, r.changes, began, b.now(), r.skipped, b.loc))
}

// swept is what came out of a sweep.
type swept struct {
	unreachable []string
	changes     int
	skipped     int
}

// told is a change of one tunnel or device.
type told struct {
	name  string // tunnel or device
	after store.TunnelState
	memo  sweep.Memory
	sweep.Change
}

// sweepAll looks at all tunnels with the tags and tells what changed; ok is false when
// another sweep of this process is under way.
func (b *Bot) sweepAll(ctx context.Context, tags []string) (r swept, ok bool) {
	if !b.sweepMu.TryLock() {
		return r, false
	}
	defer b.sweepMu.Unlock()
	tunnels := b.inv.Tagged(tags...)
	seen, failing := b.look(ctx, tunnels)
	if ctx.Err() != nil {
		return r, true
	}
	before, err := b.store.Tunnels(ctx)
	if err != nil {
		b.log.Error("a sweep cannot be compared with the one before", "error", err)
		return r, true
	}
	mutes, err := b.store.Mutes(ctx)
	if err != nil {
		b.log.Error("mutes cannot be read", "error", err)
		return r, true
	}
	// A device that cannot be reached is told once, not once per tunnel.
	devices := map[string]bool{}
	for _, t := range tunnels {
		for _, e := range t.Ends {
			if e.Device != "" {
				devices[e.Device] = true
			}
		}
	}
	now := b.now()
	for d := range devices {
		s := sweep.Seen{State: sweep.Reachable, At: now}
		if why, bad := failing[d]; bad {
			s.State, s.Detail = sweep.Unreachable, why
			r.unreachable = append(r.unreachable, d)
		}
		seen[devicePrefix+d] = s
	}
	slices.Sort(r.unreachable)
	baseline := !b.swept
	var states []store.TunnelState
	var transitions []store.Transition
	var changes []told
	for name, s := range seen {
		old := before[name]
		m, c := sweep.Step(sweep.Decode(old.Body), s, sweep.Defaults())
		if m.State == "" {
			r.skipped++
			continue
		}
		st := store.TunnelState{Name: name, State: m.State, Since: m.Since, SeenAt: s.At, Detail: m.Detail, Incident: old.Incident, Body: m.Encode()}
		if s.State == "" {
			r.skipped++
			st.SeenAt = old.SeenAt
		}
		if c != nil {
			t := told{name: strings.TrimPrefix(name, devicePrefix), after: st, memo: m, Change: *c}
			if !strings.HasPrefix(name, devicePrefix) {
				transitions = append(transitions, store.Transition{Tunnel: name, Before: c.Before, After: c.After, At: c.At, Detail: c.Detail})
				r.changes++
			}
			if good(c.After) {
				t.after.Incident, st.Incident = old.Incident, ""
			} else if old.Incident == "" || c.After == sweep.Down {
				st.Incident = incidentKey(name, c.At)
				t.after.Incident = st.Incident
			}
			if _, muted := mutes[name]; !muted {
				changes = append(changes, t)
			} else if c.After == sweep.Down {
				b.fell(ctx, name, id("fell", st.Incident), place{})
			}
		}
		states = append(states, st)
	}
	if err := b.store.SaveTunnels(ctx, states, transitions); err != nil {
		b.log.Error("a sweep could not be written down", "error", err)
		return r, true
	}
	count := map[string]int{}
	for _, s := range states {
		if !strings.HasPrefix(s.Name, devicePrefix) {
			count[s.State]++
		}
	}
	b.metrics.Tunnels(count)
	b.swept = true
	slices.SortFunc(changes, func(x, y told) int {
		return cmp.Or(cmp.Compare(message.Worse(x.After), message.Worse(y.After)), cmp.Compare(x.name, y.name))
	})
	if baseline {
		rows, _, err := b.states(ctx, tunnels)
		if err == nil {
			b.put(ctx, store.Message{Key: "baseline:" + b.store.Instance(), Kind: "post", Channel: b.cfg.Slack.Channel, Body: message.Baseline(rows, r.unreachable, now, b.loc).JSON()})
		}
		// Cards of incidents from before the start are made right; nothing else is told.
		changes = slices.DeleteFunc(changes, func(t told) bool { return !good(t.After) || t.after.Incident == "" })
	}
	b.tell(ctx, changes)
	return r, true
}

func incidentKey(name string, at time.Time) string {
	return fmt.Sprintf("incident:%s:%d", id(name), at.Unix())
}

func good(state string) bool { return state == sweep.Up || state == sweep.Reachable }

// look asks all tunnels' ends, many at once; failing names devices that did not answer.
func (b *Bot) look(ctx context.Context, tunnels []inventory.Tunnel) (seen map[string]sweep.Seen, failing map[string]string) {
	seen, failing = map[string]sweep.Seen{}, map[string]string{}
	n := b.inv.SSH().MaxDevicesAtOnce
	if n < 1 {
		n = 16
	}
	sem := make(chan struct{}, n)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, t := range tunnels {
		select {
		case sem <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return seen, failing
		}
		wg.Go(func() {
			defer func() { <-sem }()
			done, free := b.turns.try(t.Name)
			if !free {
				mu.Lock()
				defer mu.Unlock()
				seen[t.Name] = sweep.Seen{At: b.now()}
				return
			}
			defer done()
			res, err := b.runSafely(ctx, playbooks.Request{Run: id("sweep", t.Name, b.now().String()), Playbook: "sweep", Tunnel: t.Name, By: "schedule", Capture: playbooks.CaptureNever}, func(playbooks.Update) {})
			s, bad := b.judge(t, res, err)
			mu.Lock()
			defer mu.Unlock()
			seen[t.Name] = s
			maps.Copy(failing, bad)
		})
	}
	wg.Wait()
	return seen, failing
}

// judge turns a run's report into what a sweep saw. "Busy" and "not asked" are nothing
// seen; a device that does not answer makes the tunnel unknown, never down.
func (b *Bot) judge(t inventory.Tunnel, res *playbooks.Result, err error) (sweep.Seen, map[string]string) {
	s := sweep.Seen{At: b.now()}
	bad := map[string]string{}
	if res == nil {
		if err != nil {
			b.log.Debug("a tunnel was not looked at", "tunnel", t.Name, "error", err)
		}
		return s, bad
	}
	busy := false
	for _, e := range res.Report.Errors {
		device := ""
		for _, end := range t.Ends {
			if end.Device != "" && (e.Source == end.Device || strings.HasPrefix(e.Source, end.Device+":") || strings.HasPrefix(e.Source, end.Device+"/")) {
				device = end.Device
			}
		}
		switch e.Kind {
		case "unreachable", "refused", "timeout", "closed", "auth", "host-key":
			if device != "" {
				bad[device] = e.Kind + ": " + e.Message
			}
			s.Detail = cmp.Or(device, e.Source) + ": " + e.Kind
		case "busy":
			busy = true
		}
	}
	for i, x := range res.Report.Tunnels {
		if x.Name == t.Name || i == 0 {
			s.State = string(x.State)
		}
	}
	if len(res.Report.Findings) > 0 && s.Detail == "" && s.State != string(report.Up) {
		s.Detail = res.Report.Findings[0].Title
	}
	if s.State == sweep.Unknown && busy || s.State == "" {
		s.State = ""
	}
	if s.State == sweep.Unknown && len(bad) > 0 {
		// The device's own alert says it; the tunnel keeps what was last known.
		s.State = ""
	}
	return s, bad
}

// tell posts changes: each its own incident, or one message for many.
func (b *Bot) tell(ctx context.Context, changes []told) {
	groups := map[string][]told{}
	for _, c := range changes {
		kind := c.After
		if c.Back() {
			kind = "back"
		}
		groups[kind] = append(groups[kind], c)
	}
	for _, kind := range slices.Sorted(maps.Keys(groups)) {
		cs := groups[kind]
		if kind == sweep.Reachable {
			for _, c := range cs {
				b.over(ctx, c, true)
			}
			continue
		}
		if len(cs) > many && kind != sweep.Unreachable {
			b.tellMany(ctx, kind, cs)
			continue
		}
		for _, c := range cs {
			if good(c.After) {
				b.over(ctx, c, false)
			} else {
				b.alert(ctx, c)
			}
		}
	}
}

func (b *Bot) alertOf(c told) message.Alert {
	a := message.Alert{Tunnel: c.name, Before: c.Before, After: c.After, At: c.At, Flips: c.Flips, Detail: c.Detail, Device: strings.HasPrefix(c.after.Name, devicePrefix), Loc: b.loc}
	if !c.Since.IsZero() {
		a.Lasted = c.At.Sub(c.Since)
	}
	return a
}

// alert opens an incident's card; a tunnel that went down is diagnosed in its thread.
func (b *Bot) alert(ctx context.Context, c told) {
	b.put(ctx, store.Message{Key: c.after.Incident, Kind: "post", Channel: b.cfg.Slack.Channel, Body: message.AlertCard(b.alertOf(c)).JSON()})
	kept, _ := json.Marshal(b.alertOf(c))
	if err := b.store.Set(ctx, "alert."+c.after.Incident, string(kept)); err != nil && ctx.Err() == nil {
		b.log.Error("an incident could not be written down", "tunnel", c.name, "error", err)
	}
	if c.After == sweep.Down {
		p := place{Channel: b.cfg.Slack.Channel, Parent: c.after.Incident}
		if !b.fell(ctx, c.name, id(c.after.Incident), p) {
			b.diagnoseBySelf(ctx, "diagnose", c.name, p, id(c.after.Incident))
		}
	}
}

// over ends an incident: its card says so, and a word goes to the channel.
func (b *Bot) over(ctx context.Context, c told, quiet bool) {
	a := b.alertOf(c)
	kept, err := b.store.Get(ctx, "alert."+c.after.Incident)
	if err != nil {
		b.log.Error("an incident cannot be read", "tunnel", c.name, "error", err)
		return
	}
	known := c.after.Incident != "" && kept != "" && json.Unmarshal([]byte(kept), &a) == nil
	a.Loc, a.Ended, a.EndedAs, a.Outage = b.loc, c.At, c.After, c.Outage
	if !known {
		if quiet && c.after.Incident == "" {
			return
		}
		a.At = c.Since
		b.put(ctx, store.Message{Key: fmt.Sprintf("back:%s:%d", id(c.after.Name), c.At.Unix()), Kind: "post", Channel: b.cfg.Slack.Channel, Body: message.AlertCard(a).JSON()})
	} else {
		b.put(ctx, store.Message{Key: c.after.Incident, Kind: "post", Channel: b.cfg.Slack.Channel, Body: message.AlertCard(a).JSON()})
		b.put(ctx, store.Message{Key: "back:" + c.after.Incident, Kind: "post", Channel: b.cfg.Slack.Channel, Parent: c.after.Incident, Body: message.Back(a).JSON()})
	}
	if c.After == sweep.Up {
		if _, err := b.store.Supersede(ctx, c.name, "", "The tunnel came up by itself. Nothing has to be done."); err != nil && ctx.Err() == nil {
			b.log.Error("proposals could not be superseded", "tunnel", c.name, "error", err)
		}
	}
}

// tellMany says many changes in one message and diagnoses one tunnel per shared device.
func (b *Bot) tellMany(ctx context.Context, kind string, cs []told) {
	what := map[string]string{sweep.Down: "went down", "back": "came back", sweep.Flapping: "flap", sweep.Degraded: "pass traffic one way only", sweep.Negotiating: "keep negotiating", sweep.Unknown: "cannot be checked"}[kind]
	if what == "" {
		what = "changed to " + kind
	}
	now := b.now()
	var rows []message.Row
	for _, c := range cs {
		rows = append(rows, message.Row{Tunnel: c.name, State: c.After, Detail: c.Detail})
		if kind == sweep.Down {
			b.fell(ctx, c.name, id("fell", c.after.Incident), place{})
		}
	}
	key := fmt.Sprintf("many:%s:%s:%d", kind, id(cs[0].name), now.Unix())
	b.put(ctx, store.Message{Key: key, Kind: "post", Channel: b.cfg.Slack.Channel, Body: message.Several(what, rows, now, b.loc).JSON()})
	if kind != sweep.Down {
		return
	}
	done := map[string]bool{}
	n := 0
	for _, c := range cs {
		t, err := b.inv.Tunnel(c.name)
		if err != nil || n == 3 || slices.ContainsFunc(t.Ends, func(e inventory.End) bool { return e.Device != "" && done[e.Device] }) {
			continue
		}
		for _, e := range t.Ends {
			done[e.Device] = true
		}
		n++
		b.diagnoseBySelf(ctx, "diagnose", c.name, place{Channel: b.cfg.Slack.Channel, Parent: key}, id(key, c.name))
	}
}

// diagnoseBySelf begins a run that nobody asked for; it posts findings, never a proposal.
func (b *Bot) diagnoseBySelf(ctx context.Context, playbook, tunnel string, p place, run string) {
	r, began, err := b.store.Begin(ctx, playbooks.Request{Run: run, Playbook: playbook, Tunnel: tunnel, By: "schedule"}, "run:"+run)
	if err != nil {
		b.log.Error("a run could not be written down", "tunnel", tunnel, "error", err)
		return
	}
	if !began {
		return // somebody works on it already
	}
	b.show1(ctx, p, r, nil)
	b.wg.Go(func() { b.work(context.WithoutCancel(ctx), ctx, r) })
}

// digest posts the state of all tunnels and what changed since the last digest.
func (b *Bot) digest(ctx context.Context, name string) {
	now := b.now()
	since := now.Add(-24 * time.Hour)
	if v, err := b.store.Get(ctx, "digest."+name); err == nil && v != "" {
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			since = t
		}
	}
	rows, _, err := b.states(ctx, b.inv.Tunnels())
	ts, terr := b.store.Transitions(ctx, "", since)
	if err = errors.Join(err, terr); err != nil {
		b.log.Error("the digest cannot be made", "error", err)
		return
	}
	var lines []string
	for _, t := range ts {
		lines = append(lines, message.Stamp(t.At, b.loc)+"  "+t.Tunnel+"  "+t.Before+" → "+t.After+"  "+t.Detail)
	}
	head, n, err := b.store.VerifyAudit(ctx)
	audit := fmt.Sprintf("%d records, head %s", n, head)
	if err != nil {
		audit = "DOES NOT VERIFY: " + err.Error()
	}
	b.put(ctx, store.Message{Key: "digest:" + name + ":" + now.UTC().Format(time.RFC3339), Kind: "post", Channel: b.cfg.Slack.Channel, Body: message.Digest(rows, lines, audit, since, now, b.loc).JSON()})
	if err := b.store.Set(ctx, "digest."+name, now.UTC().Format(time.RFC3339)); err != nil {
		b.log.Error("the digest's time could not be kept", "error", err)
	}
}

// auditHead posts the audit trail's head, so that a rewritten trail shows.
func (b *Bot) auditHead(ctx context.Context) {
	head, n, err := b.store.VerifyAudit(ctx)
	text := fmt.Sprintf("Audit trail: %d records verified, head %s", n, message.Quote(head))
	if err != nil {
		text = "⚠️ The audit trail does not verify: " + message.Words(err.Error())
	}
	b.put(ctx, store.Message{Key: "audit-head:" + b.now().UTC().Format(time.RFC3339), Kind: "post", Channel: b.cfg.Slack.Channel, Body: message.Notice(text).JSON()})
}
