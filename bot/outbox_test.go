package bot_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vpnbot/bot/workspace"
)

// The answer to a post is lost, and the look-up that follows fails as well: the post is
// still not repeated.
func TestLookUpFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault workspace.Fault
	}{
		{"429", workspace.Fault{Method: "conversations.history", Times: 4, Status: 429, RetryAfter: time.Second}},
		{"scope", workspace.Fault{Method: "conversations.history", Times: 1, Error: "channel_not_found"}},
		{"5xx", workspace.Fault{Method: "conversations.history", Times: 4, Status: 502, Empty: true}},
		{"dropped", workspace.Fault{Method: "conversations.history", Times: 4, Drop: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := open(t, workspace.Options{}, nil)
			o.ws.Inject(workspace.Fault{Method: "chat.postMessage", Times: 1, Drop: true, Done: true})
			o.ws.Inject(c.fault)
			o.types(amelie, "/vpn diagnose london-pap")
			if c.name == "scope" {
				o.until("the look-up", func() bool { return len(o.ws.Calls("conversations.history")) > 0 })
				o.passing(10*time.Second, "the look-up", func() bool { return len(o.ws.Calls("conversations.history")) > 1 })
			}
			card := o.reads("The path drops IP fragments")
			o.until("the files", func() bool { return o.files(card) == 2 })
			o.noneTwice()
		})
	}
}

// A card is edited at most once in two seconds, however often its state changes, and the
// last state arrives.
func TestPaceOfEdits(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.net.gate, o.net.chatty = make(chan struct{}), true
	o.types(amelie, "/vpn diagnose london-pap")
	o.until("three edits", func() bool { return len(o.ws.Calls("chat.update")) >= 3 })
	close(o.net.gate)
	o.reads("The path drops IP fragments")
	last := map[string]time.Time{}
	for _, c := range o.ws.Calls("chat.update") {
		if before, ok := last[c.Params["ts"]]; ok && c.At.Sub(before) < 2*time.Second {
			t.Errorf("two edits of %s within %s", c.Params["ts"], c.At.Sub(before))
		}
		last[c.Params["ts"]] = c.At
	}
	o.fine()
}

// A command in a channel that the bot is not in: the answer stands in its own channel, and
// the person is told so.
func TestWhereTheBotIsNot(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	if err := o.ws.SlashIn(o.ws.GeneralID(), amelie, "/vpn diagnose london-pap"); err != nil {
		t.Fatal(err)
	}
	o.whispered(amelie, "not in this channel", "<#"+o.ws.ChannelID()+">")
	card := o.reads("The path drops IP fragments")
	if card.Channel != o.ws.ChannelID() {
		t.Errorf("the card stands in %s", card.Channel)
	}
	o.replied(card, "1. The path drops IP fragments")
	if err := o.ws.SlashIn(o.ws.GeneralID(), amelie, "/vpn playbooks"); err != nil {
		t.Fatal(err)
	}
	o.whispered(amelie, "finds out")
	o.noneTwice()
}

// The bot is removed from its channel in the middle and invited again: nothing is lost.
func TestRemovedAndInvitedAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, nil)
		o.ws.Kick(o.ws.ChannelID())
		o.types(amelie, "/vpn diagnose london-lima")
		o.until("a refused post", func() bool { return len(o.ws.Calls("chat.postMessage")) > 0 })
		posts := len(o.ws.Calls("chat.postMessage"))
		o.ws.Invite(o.ws.ChannelID())
		o.passing(10*time.Second, "another attempt", func() bool { return len(o.ws.Calls("chat.postMessage")) > posts })
		o.reads("Stale SA", "tunnel is")
		o.reads("Repair of london-lima proposed")
		o.noneTwice()
	})
}

// Somebody deletes the card of a repair that waits for approval: its outcome is still shown.
func TestDeletedCard(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	resp, err := http.PostForm(o.ws.APIURL()+"chat.delete", url.Values{"token": {o.ws.BotToken()}, "channel": {card.Channel}, "ts": {card.TS}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	o.clock.jump(20 * time.Minute)
	o.reads("Repair of london-lima expired")
	if got := o.net.written(); len(got) != 0 {
		t.Errorf("the device saw %v", got)
	}
}

// Slack is away for an hour: everything that happened meanwhile arrives once, in its
// newest state, and old clicks do nothing.
func TestOutageOfAnHour(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, nil)
		o.net.gate = make(chan struct{})
		o.types(amelie, "/vpn diagnose london-lima")
		card := o.reads("london-lima", "running")
		back := o.ws.Inject(workspace.Fault{Method: "*", Status: 503, Empty: true})
		close(o.net.gate)
		o.eventually("the run to end", func() bool {
			r, err := o.store.LastRun(o.ctx(), "london-lima")
			return err == nil && r.State == "done"
		})
		o.until("a refused call", func() bool {
			for _, c := range o.ws.Calls("") {
				if c.Status == 503 {
					return true
				}
			}
			return false
		})
		for range 6 {
			o.clock.jump(10 * time.Minute)
		}
		back()
		o.clock.jump(time.Minute)
		end := o.reads("Stale SA", "tunnel is")
		if end.TS != card.TS {
			t.Error("another card after the outage")
		}
		o.reads("Repair of london-lima expired")
		o.replied(card, "1. Stale SA")
		o.noneTwice()
	})
}

// A card that is days old still gets its newest state, though Slack fails on the way.
func TestOldCard(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.types(amelie, "/vpn capture london-pap start max 24h")
	card := o.reads("a ring-buffer capture waits")
	o.clock.jump(23 * time.Hour)
	o.ws.Inject(workspace.Fault{Method: "chat.update", Times: 3, Status: 503, Empty: true})
	o.clock.jump(2 * time.Hour)
	end := o.reads("the ring-buffer capture ended", "its time is over")
	if end.TS != card.TS {
		t.Error("another message")
	}
}

// When Slack throttles, a card says how much waits, and later no longer.
func TestThrottled(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.ws.Inject(workspace.Fault{Method: "chat.postMessage", Times: 1, Status: 429, RetryAfter: 2 * time.Second})
	for _, n := range tunnelNames {
		o.types(amelie, "/vpn show "+n)
	}
	o.reads("Slack slows vpnbot down")
	o.clock.jump(time.Minute)
	o.until("the note to go", func() bool {
		for _, m := range o.ws.Messages("") {
			if strings.Contains(m.Content(), "slows vpnbot down") {
				return false
			}
		}
		return true
	})
	o.noneTwice()
}
