package bot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/bot/message"
	"vpnbot/bot/slack/payload"
	"vpnbot/bot/store"
	"vpnbot/devices/inventory"
)

// ask is one request of one person, with the ways to answer it.
type ask struct {
	payload.Event
	ctx  context.Context
	bot  *Bot
	rest string // what follows the command's name
	n    int    // answers so far
}

// whisper answers the person only.
func (a *ask) whisper(m message.Message) {
	a.n++
	err := a.bot.store.Put(a.ctx, store.Message{
		Key: fmt.Sprintf("whisper:%s:%d", id(a.Key), a.n), Kind: "ephemeral", Channel: a.Channel, Thread: a.Thread, User: a.User, Hook: a.Hook, Body: m.JSON(), Urgent: true,
	})
	if err != nil && a.ctx.Err() == nil {
		a.bot.log.Error("an answer could not be queued", "error", err)
	}
}

func (a *ask) say(format string, args ...any) {
	a.whisper(message.Notice(fmt.Sprintf(format, args...)))
}

// no answers a refusal or an error.
func (a *ask) no(err error) { a.whisper(message.Notice(refusal(err))) }

// post answers so that everybody in the channel or thread reads it.
func (a *ask) post(key string, m message.Message) {
	if err := a.bot.store.Put(a.ctx, store.Message{Key: key, Kind: "post", Channel: a.Channel, Thread: a.Thread, Hook: a.Hook, Body: m.JSON()}); err != nil && a.ctx.Err() == nil {
		a.bot.log.Error("an answer could not be queued", "error", err)
	}
}

// stale is how old a request may be when it is dealt with: after an outage nobody expects
// an old click to count.
const stale = 2 * time.Minute

var mentionPattern = regexp.MustCompile(`^\s*<@[UW][A-Z0-9]+(\|[^>]*)?>\s*`)

// handle deals with one event from Slack.
func (b *Bot) handle(ctx context.Context, e payload.Event, received time.Time) {
	a := &ask{Event: e, ctx: ctx, bot: b}
	// Nobody may do anything before Slack said who the bot is.
	for b.identity.Load() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
		if b.now().Sub(received) > stale {
			break
		}
	}
	if me := b.identity.Load(); me != nil && e.User == me.UserID && (e.Kind == "message" || e.Kind == "mention") {
		return // our own upload; Slack does not always say that a bot wrote it
	}
	if e.Kind != "home" && b.now().Sub(received) > stale {
		if _, err := b.store.Run(ctx, id("run", e.Key)); err == nil {
			return // it began a run before the stop; that run goes on by itself
		}
		a.say("vpnbot was away when you did that (%s ago), so it did nothing. Please do it again.", message.Took(b.now().Sub(received)))
		return
	}
	switch e.Kind {
	case "command":
		b.command(a, unescape(e.Text))
	case "mention":
		text := e.Text
		for mentionPattern.MatchString(text) {
			text = mentionPattern.ReplaceAllString(text, "")
		}
		if len(e.Files) > 0 {
			b.shared(a)
			return
		}
		b.command(a, unescape(text))
	case "message":
		b.overheard(a)
	case "shortcut":
		if e.Callback == "explain_message" {
			if err := b.may(ctx, e.User, e.Team, mayDiagnose, false); err != nil {
				a.no(err)
				return
			}
			a.rest = unescape(e.Text)
			b.explain(a)
		}
	case "home":
		b.home(a)
	case "action":
		b.action(a)
	case "submit":
		b.submitted(a)
	}
}

var unescaper = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// unescape undoes what Slack does to typed text: entities, and links around addresses.
func unescape(s string) string {
	s = regexp.MustCompile(`<(?:https?://|mailto:)[^|>]*\|([^>]*)>`).ReplaceAllString(s, "$1")
	s = regexp.MustCompile(`<(https?://[^|>]*)>`).ReplaceAllString(s, "$1")
	return unescaper.Replace(s)
}

// command reads what was typed and runs it.
func (b *Bot) command(a *ask, text string) {
	name, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(text, "\u00a0", " ")), " ")
	if name == "" {
		name = "help"
	}
	c, exact := find(name)
	if !exact {
		a.say("There is no command %s. Did you mean %s? `%s help` lists all.", message.Quote(name), b.usage(c), b.cfg.Slack.Command)
		return
	}
	if err := b.may(a.ctx, a.User, a.Team, c.right, c.right == mayAdmin); err != nil {
		b.refused(a, c.name, err)
		return
	}
	a.rest = strings.TrimSpace(rest)
	c.run(b, a)
}

// refused answers no and keeps it in the audit trail.
func (b *Bot) refused(a *ask, what string, err error) {
	var r *approval.Refusal
	code := "slack"
	if errors.As(err, &r) {
		code = r.Code
	}
	if nerr := b.store.Note(a.ctx, a.User, "refused", what, map[string]any{"code": code}); nerr != nil && a.ctx.Err() == nil {
		b.log.Error("a refusal could not be noted", "error", nerr)
	}
	a.no(err)
}

// target finds the tunnel that was named; it answers by itself when that is not clear.
func (b *Bot) target(a *ask, command, name string) (inventory.Tunnel, bool) {
	c, _ := find(command)
	if name == "" {
		if a.Trigger != "" && a.Kind == "command" && b.pick(a, command, "", b.worstFirst(a.ctx)) {
			return inventory.Tunnel{}, false
		}
		a.say("Which tunnel? %s", b.usage(c))
		return inventory.Tunnel{}, false
	}
	t, err := b.inv.Tunnel(name)
	if err == nil {
		return t, true
	}
	var unknown *inventory.UnknownError
	if errors.As(err, &unknown) && len(unknown.Near) > 0 {
		near := unknown.Near
		if strings.HasPrefix(unknown.What, "one tunnel") {
			near = b.names(func(t inventory.Tunnel) bool {
				for _, e := range t.Ends {
					if strings.EqualFold(e.Device, name) || e.Address.String() == name {
						return true
					}
				}
				return false
			})
		}
		if len(near) > 1 && a.Trigger != "" && a.Kind == "command" {
			tail := strings.TrimSpace(strings.TrimPrefix(a.rest, name))
			if b.pick(a, command, tail, near) {
				return inventory.Tunnel{}, false
			}
		}
		quoted := make([]string, 0, 3)
		for i, n := range near {
			if i == 3 {
				break
			}
			quoted = append(quoted, message.Quote(n))
		}
		a.say("%s is not one of the configured tunnels. Did you mean %s? %s", message.Quote(name), strings.Join(quoted, ", "), b.usage(c))
		return inventory.Tunnel{}, false
	}
	a.say("%s is not configured. `%s status` lists the tunnels.", message.Quote(name), b.cfg.Slack.Command)
	return inventory.Tunnel{}, false
}

func (b *Bot) names(want func(inventory.Tunnel) bool) []string {
	var out []string
	for _, t := range b.inv.Tunnels() {
		if want == nil || want(t) {
			out = append(out, t.Name)
		}
	}
	return out
}

// worstFirst are all tunnels' names, those that need attention first: a menu holds 100.
func (b *Bot) worstFirst(ctx context.Context) []string {
	rows, _, err := b.states(ctx, b.inv.Tunnels())
	if err != nil {
		return b.names(nil)
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Tunnel
	}
	return names
}

// pick asks by a modal which tunnel was meant; false when it could not be opened.
func (b *Bot) pick(a *ask, command, tail string, names []string) bool {
	if len(names) == 0 {
		return false
	}
	meta := strings.Join([]string{a.Channel, command, tail}, "\n")
	err := b.api.OpenView(a.ctx, a.Trigger, message.PickTunnel(meta, names))
	if err != nil {
		b.log.Warn("a modal could not be opened", "error", err)
	}
	return err == nil
}

// submitted deals with a modal that was sent.
func (b *Bot) submitted(a *ask) {
	switch a.Callback {
	case "approval.reject_reason":
		b.reject(a, a.Metadata, a.Values["reason"])
	case "pick.tunnel":
		parts := strings.SplitN(a.Metadata, "\n", 3)
		if len(parts) != 3 {
			return
		}
		a.Channel = parts[0]
		a.Kind = "submit"
		b.command(a, strings.TrimSpace(parts[1]+" "+a.Values["tunnel"]+" "+parts[2]))
	}
}

// action deals with a pressed button.
func (b *Bot) action(a *ask) {
	switch a.Action {
	case "approval.approve":
		b.approve(a)
	case "approval.reject":
		b.askReason(a)
	case "approval.propose":
		b.propose(a)
	case "advice.done":
		b.check(a)
	case "run.cancel":
		a.rest = a.Value
		if err := b.may(a.ctx, a.User, a.Team, mayDiagnose, false); err != nil {
			b.refused(a, "cancel", err)
			return
		}
		b.cancel(a)
	}
}
