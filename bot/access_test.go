package bot_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"vpnbot/bot"
	"vpnbot/bot/workspace"
)

// signed sends a request as Slack would, to one of the bot's addresses of the HTTP mode.
func (o *office) signed(path, body string, at time.Time, header ...string) int {
	o.t.Helper()
	ts, sig := o.ws.Sign([]byte(body), at)
	return o.raw(path, body, append([]string{"X-Slack-Request-Timestamp", ts, "X-Slack-Signature", sig}, header...)...)
}

func (o *office) raw(path, body string, header ...string) int {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.ctx(), "POST", "http://"+o.bot.Addr()+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode
}

func httpOffice(t *testing.T, change func(*bot.Config)) *office {
	o := open(t, workspace.Options{}, func(c *bot.Config) {
		c.Slack.Mode = "http"
		if change != nil {
			change(c)
		}
	})
	o.ws.SetRequestURL("http://" + o.bot.Addr())
	return o
}

// Clicks that Slack would never send: the button of another message, of another channel,
// with another value, by somebody of another team. None reaches a device.
func TestForgedClicks(t *testing.T) {
	o := httpOffice(t, nil)
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	button, _ := card.Button("approval.approve")
	other := o.reads("Stale SA", "A repair was proposed")
	click := func(n int, user, team, channel, ts, value string) string {
		b, err := json.Marshal(map[string]any{
			"type": "block_actions", "user": map[string]any{"id": user, "team_id": team}, "team": map[string]any{"id": team},
			"channel": map[string]any{"id": channel}, "message": map[string]any{"ts": ts}, "container": map[string]any{"type": "message", "channel_id": channel, "message_ts": ts},
			"trigger_id": fmt.Sprint("1.2.", n), "response_url": strings.Replace(o.ws.APIURL(), "/api/", "/hooks/x", 1),
			"actions": []any{map[string]any{"action_id": "approval.approve", "block_id": "b", "type": "button", "value": value, "action_ts": fmt.Sprint(n, ".1")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return url.Values{"payload": {string(b)}}.Encode()
	}
	team, channel := o.ws.TeamID(), o.ws.ChannelID()
	for _, c := range []struct {
		name, body, reads string
	}{
		{"another message", click(1, boris, team, channel, other.TS, button.Value), "does not belong to a proposal"},
		{"another channel", click(2, boris, team, o.ws.GeneralID(), card.TS, button.Value), ""},
		{"another value", click(3, boris, team, channel, card.TS, "0123456789abcdef0123456789abcdef"), "does not belong to a proposal"},
		{"another team", click(4, boris, "T000OTHER", channel, card.TS, button.Value), "another workspace"},
		{"the bot itself", click(5, o.ws.BotUserID(), team, channel, card.TS, button.Value), ""},
		{"nobody", click(6, "U000NOBODY", team, channel, card.TS, button.Value), ""},
	} {
		before, refused := len(o.whispers(boris)), o.records()
		if got := o.signed("/slack/interactions", c.body, o.clock.now()); got != 200 {
			t.Errorf("%s: %d", c.name, got)
		}
		if c.reads != "" {
			o.until(c.name+" to be refused", func() bool {
				w := o.whispers(boris)
				return len(w) > before && strings.Contains(w[len(w)-1].Content(), c.reads)
			})
		}
		o.eventually(c.name+" to be in the audit trail", func() bool { return o.records() > refused })
	}
	if got := o.net.written(); len(got) != 0 {
		t.Fatalf("the device saw %v", got)
	}
	if p, err := o.store.Proposal(o.ctx(), button.Value); err != nil || p.State != "proposed" {
		t.Errorf("the proposal is %s, %v", p.State, err)
	}
	o.clicks(boris, card, "approval.approve")
	o.reads("repaired: verified up")
}

// records counts the audit trail.
func (o *office) records() int64 {
	_, n, err := o.store.VerifyAudit(o.ctx())
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

// Who may approve is asked of Slack at the click; when it cannot be asked, nobody may.
func TestSlackCannotBeAsked(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault workspace.Fault
	}{
		{"users.info refused", workspace.Fault{Method: "users.info", Error: "missing_scope"}},
		{"users.info away", workspace.Fault{Method: "users.info", Status: 503, Empty: true}},
		{"group throttled for long", workspace.Fault{Method: "usergroups.users.list", Status: 429, RetryAfter: time.Minute}},
		{"group cut off", workspace.Fault{Method: "usergroups.users.list", Drop: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := open(t, workspace.Options{}, func(c *bot.Config) { c.Access.Operate = []string{"everyone"} })
			o.types(amelie, "/vpn diagnose london-lima")
			card := o.reads("Repair of london-lima proposed")
			o.ws.Inject(c.fault)
			o.clicks(boris, card, "approval.approve")
			o.whispered(boris, "could not be asked")
			if got := o.net.written(); len(got) != 0 {
				t.Fatalf("the device saw %v", got)
			}
		})
	}
}

// A short throttle does not cost the click.
func TestShortThrottleAtTheClick(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	o.ws.Inject(workspace.Fault{Method: "usergroups.users.list", Times: 1, Status: 429, RetryAfter: time.Second})
	o.ws.Inject(workspace.Fault{Method: "users.info", Times: 1, Drop: true})
	o.clicks(boris, card, "approval.approve")
	o.reads("repaired: verified up")
}

// Every call takes more than a second: a rejection still gets its modal and its reason.
func TestSlowSlack(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.ws.Inject(workspace.Fault{Method: "*", Delay: 1200 * time.Millisecond})
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	o.clicks(boris, card, "approval.reject")
	o.until("the modal", func() bool { _, open := o.ws.Modal(boris); return open })
	if err := o.ws.SubmitModal(boris, map[string]string{"reason": "at noon"}); err != nil {
		t.Fatal(err)
	}
	o.reads("rejected", "at noon")
	o.noneTwice()
}

// The HTTP mode: signature, window, replays, body and query kept apart, retries recognised.
func TestSignedRequests(t *testing.T) {
	o := httpOffice(t, nil)
	command := func(text, trigger string) string {
		v := url.Values{"command": {"/vpn"}, "text": {text}, "user_id": {amelie}, "channel_id": {o.ws.ChannelID()}, "team_id": {o.ws.TeamID()}}
		if trigger != "" {
			v.Set("trigger_id", trigger)
		}
		return v.Encode()
	}
	now := o.clock.now()
	ts, sig := o.ws.Sign([]byte(command("pending", "1.1")), now)
	for _, c := range []struct {
		name string
		do   func() int
		want int
	}{
		{"signed", func() int {
			return o.raw("/slack/commands", command("pending", "1.1"), "X-Slack-Request-Timestamp", ts, "X-Slack-Signature", sig)
		}, 200},
		{"replayed", func() int {
			return o.raw("/slack/commands", command("pending", "1.1"), "X-Slack-Request-Timestamp", ts, "X-Slack-Signature", sig)
		}, 409},
		{"replayed in capitals", func() int {
			return o.raw("/slack/commands", command("pending", "1.1"), "X-Slack-Request-Timestamp", ts, "X-Slack-Signature", "v0="+strings.ToUpper(sig[3:]))
		}, 409},
		{"six minutes old", func() int { return o.signed("/slack/commands", command("pending", "1.2"), now.Add(-6*time.Minute)) }, 401},
		{"six minutes ahead", func() int { return o.signed("/slack/commands", command("pending", "1.3"), now.Add(6*time.Minute)) }, 401},
		{"changed", func() int {
			return o.raw("/slack/commands", command("pause", "1.1"), "X-Slack-Request-Timestamp", ts, "X-Slack-Signature", sig)
		}, 401},
		{"payload in the query", func() int {
			return o.signed("/slack/interactions?payload="+url.QueryEscape(`{"type":"block_actions","user":{"id":"`+boris+`"},"actions":[{"action_id":"run.cancel"}]}`), "", now)
		}, 400},
		{"command in the query", func() int { return o.signed("/slack/commands?"+command("playbooks", "1.4"), "x=1", now) }, 400},
		{"delivered again, signed anew", func() int {
			return o.signed("/slack/commands", command("pending", "1.1"), now.Add(time.Second), "X-Slack-Retry-Num", "1", "X-Slack-Retry-Reason", "http_timeout")
		}, 200},
		{"without trigger", func() int { return o.signed("/slack/commands", command("playbooks", ""), now) }, 200},
		{"another without trigger", func() int { return o.signed("/slack/commands", command("explain Reason 412", ""), now) }, 200},
		{"certificate check", func() int { return o.signed("/slack/commands", "ssl_check=1&token=x", now) }, 200},
	} {
		if got := c.do(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	resp, err := http.Get("http://" + o.bot.Addr() + "/slack/commands?" + command("pending", "1.5"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", resp.StatusCode)
	}
	o.whispered(amelie, "It means: Reason 412")
	o.whispered(amelie, "finds out")
	n := 0
	for _, w := range o.whispers(amelie) {
		if w.Contains("No approval is open") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("pending was answered %d times", n)
	}
}

// Two replicas on one store, and every envelope comes to both: one run, one command.
func TestTwoReplicas(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	second := o.replica()
	o.until("four connections", func() bool { return o.ws.Connections() == 4 })
	o.ws.DeliverTwice(100, false)
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	o.clicks(boris, card, "approval.approve")
	o.clicks(chiara, card, "approval.approve")
	o.reads("repaired: verified up")
	if runs, sent := o.net.runs+second.runs, append(o.net.written(), second.written()...); runs != 1 || len(sent) != 1 {
		t.Errorf("%d runs, the devices saw %v", runs, sent)
	}
	o.noneTwice()
	// The first one goes; the other takes over what it held, sending included.
	o.stop()
	o.stop = func() {}
	o.types(amelie, "/vpn playbooks")
	o.whispered(amelie, "finds out")
	o.noneTwice()
}

// Hundreds of commands at once: each is acknowledged, whatever is under way. How long the
// slowest took is in the log of the test; Slack waits for three seconds.
func TestLoad(t *testing.T) {
	o := open(t, workspace.Options{AckTimeout: 20 * time.Second}, nil)
	const n = 200
	for i := range n {
		o.types([]string{amelie, boris, chiara}[i%3], "/vpn explain Reason "+fmt.Sprint(i))
	}
	o.until("all acknowledgements", func() bool {
		done := 0
		for _, e := range o.ws.Envelopes() {
			if e.Outcome != "waiting" {
				done++
			}
		}
		return done == n
	})
	var slowest time.Duration
	for _, e := range o.ws.Envelopes() {
		if e.Outcome != "acked" {
			t.Errorf("%s: %s", e.Kind, e.Outcome)
		}
		slowest = max(slowest, e.Acked.Sub(e.Sent))
	}
	t.Logf("the slowest of %d acknowledgements took %s", n, slowest)
}

// replica starts another bot on the same store; it returns its runner.
func (o *office) replica() *network {
	o.t.Helper()
	first, net, stop, b := o.store, o.net, o.stop, o.bot
	o.net = newNetwork()
	o.start()
	second, end := o.net, o.stop
	o.store, o.net, o.stop, o.bot = first, net, stop, b
	o.t.Cleanup(end)
	return second
}
