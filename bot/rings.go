package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"vpnbot/bot/message"
	"vpnbot/bot/store"
	"vpnbot/playbooks"
)

// Ring-buffer captures wait for faults that come now and then. Each belongs to the process
// that started it; what is known about it stands in the store, so that every process can
// say so, and ask the owner to fetch it.

const (
	longestRing  = 24 * time.Hour
	shortestRing = time.Minute
	ringPrefix   = "ring."
	askPrefix    = "ringask."
)

// ringNote is what the store keeps of a ring-buffer capture.
type ringNote struct {
	message.Ring
	Card, Owner, Channel, Thread string
}

// ringAsk asks the owner to fetch a ring-buffer capture, or to stop it.
type ringAsk struct {
	Request playbooks.Request
	Place   place
	Stop    string // who stops it
}

func (b *Bot) ringOf(ctx context.Context, tunnel string) (n ringNote, ok bool, err error) {
	v, err := b.store.Get(ctx, ringPrefix+tunnel)
	if err != nil || v == "" {
		return n, false, err
	}
	if err := json.Unmarshal([]byte(v), &n); err != nil {
		return n, false, fmt.Errorf("ring-buffer capture of %s: %w", tunnel, err)
	}
	return n, n.Ended.IsZero(), nil
}

// keepRing writes a ring-buffer capture down and draws its card.
func (b *Bot) keepRing(ctx context.Context, n ringNote) error {
	n.Loc = nil
	v, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := b.store.Set(ctx, ringPrefix+n.Tunnel, string(v)); err != nil {
		return err
	}
	n.Loc, n.Command = b.loc, b.cfg.Slack.Command
	return b.store.Put(ctx, store.Message{Key: n.Card, Kind: "post", Channel: n.Channel, Thread: n.Thread, Body: message.RingCard(n.Ring).JSON()})
}

// ringCommand is `capture TUNNEL start|fetch|stop`.
func (b *Bot) ringCommand(a *ask, tunnel, what string, args []string) {
	most := longestRing
	c, _ := find("capture")
	if len(args) > 0 && args[0] == "max" {
		args = args[1:]
	}
	if len(args) > 1 || what != "start" && len(args) > 0 {
		a.say("%s is not understood here. %s", message.Quote(strings.Join(args, " ")), b.usage(c))
		return
	}
	if len(args) == 1 {
		var err error
		if most, err = wantsDuration(args[0], shortestRing, longestRing); err != nil {
			a.say("%s", message.Words(err.Error()))
			return
		}
	}
	n, active, err := b.ringOf(a.ctx, tunnel)
	switch {
	case err != nil:
		a.no(err)
	case what == "start" && active && n.Card == "ring:"+id(a.Key):
		// dealt with before a stop; the capture ended with the process
	case what == "start" && active:
		a.say("A ring-buffer capture waits at %s already, since %s, asked by %s. `%s capture %s fetch` brings it home.", message.Quote(tunnel), message.Stamp(n.Since, b.loc), people(n.By), b.cfg.Slack.Command, tunnel)
	case what == "start":
		b.startRing(a, tunnel, most)
	case !active:
		a.say("No ring-buffer capture waits at %s. `%s capture %s start` starts one.", message.Quote(tunnel), b.cfg.Slack.Command, tunnel)
	case what == "fetch":
		b.fetchRing(a.ctx, n, playbooks.Request{Run: id("run", a.Key), Playbook: "capture-both-ends", By: a.User, Human: true}, place{Channel: a.Channel, Thread: a.Thread, Hook: a.Hook})
	default:
		b.askRing(a.ctx, n, ringAsk{Stop: a.User})
		a.say("The ring-buffer capture at %s ends; it is removed from the devices.", message.Quote(tunnel))
	}
}

func (b *Bot) startRing(a *ask, tunnel string, most time.Duration) {
	now := b.now()
	n := ringNote{Ring: message.Ring{Tunnel: tunnel, By: a.User, Since: now, Until: now.Add(most)}, Card: "ring:" + id(a.Key), Owner: b.store.Instance(), Channel: a.Channel, Thread: a.Thread}
	err := errors.Join(b.store.Note(a.ctx, a.User, "capture.ring", tunnel, map[string]any{"until": n.Until.UTC()}), b.keepRing(a.ctx, n))
	if err != nil {
		a.no(err)
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, 3*time.Minute)
	defer cancel()
	notes, err := b.runner.Watch(ctx, tunnel, most)
	n.Notes, n.Started = notes, true
	if err != nil {
		n.Ended, n.Why = b.now(), "it could not start: "+err.Error()
	}
	if err := b.keepRing(context.WithoutCancel(a.ctx), n); err != nil {
		b.log.Error("a ring-buffer capture could not be written down", "tunnel", tunnel, "error", err)
	}
}

// fetchRing begins a run that takes the capture's packets, at the process that holds it.
func (b *Bot) fetchRing(ctx context.Context, n ringNote, req playbooks.Request, p place) {
	req.Tunnel, req.Capture, req.Ring = n.Tunnel, playbooks.CaptureForce, true
	b.askRing(ctx, n, ringAsk{Request: req, Place: p})
}

// askRing does what is asked of a ring-buffer capture when it is ours, or leaves it to
// its owner.
func (b *Bot) askRing(ctx context.Context, n ringNote, q ringAsk) {
	if n.Owner == b.store.Instance() {
		b.answerRing(ctx, n, q)
		return
	}
	v, err := json.Marshal(q)
	if err == nil {
		err = b.store.Set(ctx, askPrefix+n.Tunnel, string(v))
	}
	if err != nil && ctx.Err() == nil {
		b.log.Error("a ring-buffer capture's process could not be asked", "tunnel", n.Tunnel, "error", err)
	}
}

func (b *Bot) answerRing(ctx context.Context, n ringNote, q ringAsk) {
	if q.Stop != "" {
		n.StoppedBy = q.Stop
		b.endRing(ctx, n, "it is removed from the devices")
		return
	}
	r, began, err := b.store.Begin(ctx, q.Request, "run:"+q.Request.Run)
	if err != nil || !began {
		text := "❌ The ring-buffer capture could not be fetched: another run works on the tunnel. It goes on."
		if err != nil {
			text = refusal(err)
		}
		if err != nil || r.Run != q.Request.Run {
			b.put(ctx, store.Message{Key: "ringno:" + q.Request.Run, Kind: "post", Channel: q.Place.Channel, Thread: q.Place.Thread, Parent: q.Place.Parent, Hook: q.Place.Hook, Body: message.Notice(text).JSON()})
		}
		return
	}
	b.show1(ctx, q.Place, r, nil)
	b.wg.Go(func() { b.work(context.WithoutCancel(ctx), ctx, r) })
}

// endRing removes a capture from its devices and says so on its card.
func (b *Bot) endRing(ctx context.Context, n ringNote, why string) {
	if err := b.runner.Unwatch(context.WithoutCancel(ctx), n.Tunnel); err != nil {
		why += "; it could not be removed everywhere yet, which is tried again: " + err.Error()
	}
	n.Ended, n.Why = b.now(), why
	if err := b.keepRing(context.WithoutCancel(ctx), n); err != nil {
		b.log.Error("a ring-buffer capture's end could not be written down", "tunnel", n.Tunnel, "error", err)
	}
}

// rings looks after all ring-buffer captures: those whose time is over, those that other
// processes ask about, and those whose process died.
func (b *Bot) rings(ctx context.Context) {
	all, err := b.store.Under(ctx, ringPrefix)
	if err != nil {
		if ctx.Err() == nil {
			b.log.Error("ring-buffer captures cannot be read", "error", err)
		}
		return
	}
	for key := range all {
		n, active, err := b.ringOf(ctx, strings.TrimPrefix(key, ringPrefix))
		if err != nil || !active {
			continue
		}
		if n.Owner != b.store.Instance() {
			if alive, err := b.store.Living(ctx, n.Owner); err == nil && !alive {
				n.Ended, n.Why = b.now(), "vpnbot was started again, which removes it from the devices"
				if err := b.keepRing(ctx, n); err != nil && ctx.Err() == nil {
					b.log.Error("a ring-buffer capture's end could not be written down", "tunnel", n.Tunnel, "error", err)
				}
			}
			continue
		}
		if v, err := b.store.Get(ctx, askPrefix+n.Tunnel); err == nil && v != "" {
			var q ringAsk
			if err := errors.Join(json.Unmarshal([]byte(v), &q), b.store.Set(ctx, askPrefix+n.Tunnel, "")); err != nil {
				b.log.Error("what was asked of a ring-buffer capture cannot be read", "tunnel", n.Tunnel, "error", err)
				continue
			}
			b.answerRing(ctx, n, q)
			continue
		}
		switch {
		case b.now().After(n.Until):
			b.endRing(ctx, n, "its time is over")
		case n.Started && !b.runner.Watched(n.Tunnel):
			b.endRing(ctx, n, "it ended on the devices")
		}
	}
}

// stopRings ends what this process holds, when it stops.
func (b *Bot) stopRings() {
	ctx := context.Background()
	all, err := b.store.Under(ctx, ringPrefix)
	if err != nil {
		b.log.Error("ring-buffer captures cannot be read", "error", err)
		return
	}
	for key := range all {
		if n, active, err := b.ringOf(ctx, strings.TrimPrefix(key, ringPrefix)); err == nil && active && n.Owner == b.store.Instance() {
			b.endRing(ctx, n, "vpnbot stopped")
		}
	}
}

// fell brings home what a ring-buffer capture saw of a tunnel's fall; false without one.
func (b *Bot) fell(ctx context.Context, tunnel, run string, p place) bool {
	n, active, err := b.ringOf(ctx, tunnel)
	if err != nil || !active {
		return false
	}
	if p.Parent == "" {
		p = place{Channel: n.Channel, Thread: n.Thread}
		if n.Thread == "" {
			p.Parent = n.Card
		}
	}
	b.fetchRing(ctx, n, playbooks.Request{Run: run, Playbook: "diagnose", By: "schedule"}, p)
	return true
}
