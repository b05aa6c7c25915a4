package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/bot/message"
	"vpnbot/bot/store"
	"vpnbot/devices/inventory"
)

func (b *Bot) show(a *ask) {
	t, ok := b.target(a, "show", strings.TrimSpace(a.rest))
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, 2*time.Minute)
	defer cancel()
	key := "show:" + id(a.Key)
	a.post(key, message.Notice("⏳ reading both ends of "+message.Quote(t.Name)))
	text, _, err := b.runner.Show(ctx, t.Name)
	m := message.Shown(t.Name, text, err, b.now(), b.loc)
	a.post(key, m)
	if message.TooLong(text) {
		b.upload(a.ctx, a.Channel, a.Thread, parentOf(a, key), key+":file", upload{file("show-"+t.Name+".txt", text), "All of it: " + t.Name, ""})
	}
}

// parentOf is the thread in which what belongs to an answer stands.
func parentOf(a *ask, key string) string {
	if a.Thread != "" {
		return ""
	}
	return key
}

func (b *Bot) status(a *ask) {
	want := strings.TrimSpace(a.rest)
	tunnels := b.inv.Tunnels()
	if want != "" {
		tunnels = b.inv.Tagged(want)
		if len(tunnels) == 0 {
			t, ok := b.target(a, "status", want)
			if !ok {
				return
			}
			tunnels = []inventory.Tunnel{t}
		}
	}
	rows, swept, err := b.states(a.ctx, tunnels)
	if err != nil {
		a.no(err)
		return
	}
	a.whisper(message.Status(rows, want, swept, b.now(), b.loc))
}

// states are tunnels as last seen, the worst first; swept is the last sweep.
func (b *Bot) states(ctx context.Context, tunnels []inventory.Tunnel) (rows []message.Row, swept time.Time, err error) {
	seen, err := b.store.Tunnels(ctx)
	if err != nil {
		return nil, swept, err
	}
	mutes, err := b.store.Mutes(ctx)
	if err != nil {
		return nil, swept, err
	}
	for _, t := range tunnels {
		r := message.Row{Tunnel: t.Name, State: "not seen yet"}
		if s, ok := seen[t.Name]; ok {
			r.State, r.Since, r.Detail = s.State, s.Since, s.Detail
			if s.SeenAt.After(swept) {
				swept = s.SeenAt
			}
		}
		if m, ok := mutes[t.Name]; ok {
			r.MutedUntil = m.Until
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(x, y message.Row) int { return message.Worse(x.State) - message.Worse(y.State) })
	return rows, swept, nil
}

func (b *Bot) explain(a *ask) {
	text := strings.TrimSpace(a.rest)
	switch {
	case text == "":
		c, _ := find("explain")
		a.say("What? %s", b.usage(c))
	case b.opt.Explain == nil:
		a.say("Explaining is not available in this installation.")
	default:
		if len(text) > 20_000 {
			text = text[:20_000]
		}
		a.whisper(message.Explained(text, b.opt.Explain(text)))
	}
}

func (b *Bot) history(a *ask) {
	t, ok := b.target(a, "history", strings.TrimSpace(a.rest))
	if !ok {
		return
	}
	h, err := b.historyOf(a.ctx, t.Name)
	if err != nil {
		a.no(err)
		return
	}
	key := "history:" + id(a.Key)
	a.post(key, message.HistoryOf(h, b.loc))
	if png, alt, err := message.Timeline(h, b.now(), b.loc); err == nil && png != nil {
		b.upload(a.ctx, a.Channel, a.Thread, parentOf(a, key), key+":png", upload{file("timeline-"+t.Name+".png", string(png)), "Timeline of " + t.Name, alt})
	}
}

func (b *Bot) historyOf(ctx context.Context, tunnel string) (message.History, error) {
	h := message.History{Tunnel: tunnel}
	fs, err := b.store.FindingsOf(ctx, tunnel, 20)
	if err != nil {
		return h, err
	}
	for _, f := range fs {
		h.Entries = append(h.Entries, message.Entry{At: f.At, Kind: "finding", Text: fmt.Sprintf("%s (%s, %d %%)", f.Title, f.Severity, int(f.Confidence*100+0.5))})
	}
	ps, err := b.store.ProposalsOf(ctx, tunnel, 20)
	if err != nil {
		return h, err
	}
	for _, p := range ps {
		text := "repair " + string(p.State)
		if p.Outcome.Verified != "" {
			text += ", " + p.Outcome.Verified
		}
		for _, c := range p.Commands {
			text += "; " + c.Device + ": " + c.Line
		}
		h.Entries = append(h.Entries, message.Entry{At: p.CreatedAt, Kind: "repair", Text: text, Who: p.Requester, Approver: p.Approver})
	}
	ts, err := b.store.Transitions(ctx, tunnel, b.now().Add(-30*24*time.Hour))
	if err != nil {
		return h, err
	}
	for _, x := range ts {
		h.Entries = append(h.Entries, message.Entry{At: x.At, Kind: "state", Text: x.Before + " → " + x.After + " " + x.Detail})
		h.Changes = append(h.Changes, message.Change{At: x.At, State: x.After})
	}
	if all, err := b.store.Tunnels(ctx); err == nil {
		if s, ok := all[tunnel]; ok {
			h.State, h.Since = s.State, s.Since
		}
	}
	slices.SortStableFunc(h.Entries, func(x, y message.Entry) int { return y.At.Compare(x.At) })
	return h, nil
}

func (b *Bot) evidence(a *ask) {
	t, ok := b.target(a, "evidence", strings.TrimSpace(a.rest))
	if !ok {
		return
	}
	r, err := b.store.LastRun(a.ctx, t.Name)
	if errors.Is(err, store.ErrNotFound) {
		a.say("%s was not diagnosed yet. `%s diagnose %s` first.", message.Quote(t.Name), b.cfg.Slack.Command, t.Name)
		return
	}
	if err != nil {
		a.no(err)
		return
	}
	files, err := b.store.Files(a.ctx, r.Run, "isp")
	if err != nil {
		a.no(err)
		return
	}
	if len(files) == 0 {
		a.say("The last diagnosis of %s found nothing that an ISP has to act on, so there is no report.", message.Quote(t.Name))
		return
	}
	key := "evidence:" + id(a.Key)
	a.post(key, message.Notice(fmt.Sprintf("Evidence for the ISP of %s, from the diagnosis of %s: %d files in the thread. Key material is removed.", message.Quote(t.Name), message.Stamp(r.CreatedAt, b.loc), len(files))))
	for i, f := range files {
		if i < maxFiles {
			b.upload(a.ctx, a.Channel, a.Thread, parentOf(a, key), fmt.Sprintf("%s:%d", key, i), upload{f, "Evidence: " + f.Name, ""})
		}
	}
}

func (b *Bot) pending(a *ask) {
	ps, err := b.store.Pending(a.ctx)
	if err != nil {
		a.no(err)
		return
	}
	p, err := b.store.Paused(a.ctx)
	if err != nil {
		a.no(err)
		return
	}
	var rows []message.PendingRow
	for _, x := range ps {
		rows = append(rows, message.PendingRow{Tunnel: x.Tunnel, Title: x.Finding.Title, Requester: x.Requester, Expires: x.ExpiresAt})
	}
	why := ""
	if p != nil {
		why = "Repairs are paused by " + people(p.By)
		if p.Reason != "" {
			why += ": " + message.Words(p.Reason)
		}
	}
	a.whisper(message.PendingList(rows, why, b.cfg.Slack.Channel, b.loc))
}

func (b *Bot) playbooks(a *ask) {
	var lines []string
	for _, p := range b.opt.Books {
		lines = append(lines, p.Name+" – "+p.About)
	}
	slices.Sort(lines)
	a.whisper(message.List("Playbooks", lines, "Run one with `"+b.cfg.Slack.Command+" run PLAYBOOK TUNNEL`."))
}

func (b *Bot) mute(a *ask) {
	f := strings.Fields(a.rest)
	c, _ := find("mute")
	if len(f) < 2 {
		a.say("Which tunnel, for how long? %s", b.usage(c))
		return
	}
	d, err := wantsDuration(f[1], time.Minute, 30*24*time.Hour)
	if err != nil {
		a.say("%s. %s", message.Words(err.Error()), b.usage(c))
		return
	}
	t, ok := b.target(a, "mute", f[0])
	if !ok {
		return
	}
	m := store.Mute{Tunnel: t.Name, By: a.User, Until: b.now().Add(d), Reason: strings.Join(f[2:], " ")}
	if r := []rune(m.Reason); len(r) > 300 {
		m.Reason = string(r[:300])
	}
	if err := b.store.SetMute(a.ctx, m); err != nil {
		a.no(err)
		return
	}
	text := fmt.Sprintf("🔇 %s is muted until %s by %s", message.Quote(t.Name), message.Stamp(m.Until, b.loc), people(a.User))
	if m.Reason != "" {
		text += ": " + message.Words(m.Reason)
	}
	a.post("mute:"+id(a.Key), message.Notice(text))
}

func (b *Bot) unmute(a *ask) {
	t, ok := b.target(a, "unmute", strings.TrimSpace(a.rest))
	if !ok {
		return
	}
	if err := b.store.SetMute(a.ctx, store.Mute{Tunnel: t.Name, By: a.User}); err != nil {
		a.no(err)
		return
	}
	a.post("mute:"+id(a.Key), message.Notice(fmt.Sprintf("🔔 %s is no longer muted (%s)", message.Quote(t.Name), people(a.User))))
}

func (b *Bot) pause(a *ask) {
	reason := strings.TrimSpace(a.rest)
	if r := []rune(reason); len(r) > 300 {
		reason = string(r[:300])
	}
	if err := b.store.SetPause(a.ctx, a.User, &store.Pause{By: a.User, Reason: reason, At: b.now()}); err != nil {
		a.no(err)
		return
	}
	text := "⏸️ Repairs are paused by " + people(a.User)
	if reason != "" {
		text += ": " + message.Words(reason)
	}
	b.announce(a, "pause:"+id(a.Key), text+". No repair runs until `resume`.")
}

func (b *Bot) resume(a *ask) {
	p, err := b.store.Paused(a.ctx)
	if err == nil && p == nil {
		a.say("Repairs are not paused.")
		return
	}
	if err == nil {
		err = b.store.SetPause(a.ctx, a.User, nil)
	}
	if err != nil {
		a.no(err)
		return
	}
	b.announce(a, "resume:"+id(a.Key), "▶️ Repairs may run again ("+people(a.User)+").")
}

// announce tells the channel where approvals are asked.
func (b *Bot) announce(a *ask, key, text string) {
	b.put(a.ctx, store.Message{Key: key, Kind: "post", Channel: b.cfg.Slack.Channel, Body: message.Notice(text).JSON()})
	if a.Channel != b.cfg.Slack.Channel {
		a.say("%s", text)
	}
}
