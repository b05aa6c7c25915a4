package bot_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"vpnbot/bot"
	"vpnbot/bot/approval"
	"vpnbot/bot/workspace"
	"vpnbot/diag/report"
)

func TestDiagnosis(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.net.gate = make(chan struct{})
	o.types(amelie, "/vpn diagnose london-pap")
	card := o.reads("london-pap", "diagnosing", "read both ends", "running")
	close(o.net.gate)
	end := o.reads("The path drops IP fragments", "critical", "90 %", "hq.pcap packet 17", "fragment 2 of 2 never arrived", "Ask the ISP")
	if end.TS != card.TS {
		t.Errorf("the verdict is another message (%s) than the steps (%s)", end.TS, card.TS)
	}
	if !strings.Contains(end.Text, "london-pap: The path drops IP fragments") {
		t.Errorf("text does not say the verdict: %q", end.Text)
	}
	o.replied(end, "The path drops IP fragments")
	o.until("the ladder diagram", func() bool {
		for _, m := range o.ws.Messages("") {
			for _, f := range m.Files {
				if f.Name == "ladder.png" && strings.Contains(f.AltText, "Ladder diagram") && m.ThreadTS == card.TS {
					return true
				}
			}
		}
		return false
	})
	o.fine()
}

func TestRepair(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, nil)
		o.types(amelie, "/vpn diagnose london-lima")
		o.reads("Stale SA", "london-lima")
		card := o.reads("Repair of london-lima proposed", "clear crypto isakmp sa 203.0.113.20", "hq-asa", "Drops london-lima", "cannot be undone")
		if b, ok := card.Button("approval.approve"); !ok || b.Confirm == "" || len(b.Value) < 32 {
			t.Errorf("approve button: %+v", b)
		}
		for _, m := range o.ws.Messages("") {
			for _, who := range m.Mentions() {
				if who == "channel" || who == "here" || who == "everyone" {
					t.Errorf("device text became a mention of %s: %s", who, m.Content())
				}
			}
		}

		o.clicks(amelie, card, "approval.approve")
		o.whispered(amelie, "another person has to approve")
		if got := o.net.written(); len(got) != 0 {
			t.Fatalf("the device saw %v", got)
		}

		o.clicks(boris, card, "approval.approve")
		end := o.reads("repaired: verified up", "succeeded", "QM_IDLE")
		if end.TS != card.TS {
			t.Error("the outcome is another message than the proposal")
		}
		if got := o.net.written(); len(got) != 1 || got[0] != "hq-asa: clear crypto isakmp sa 203.0.113.20" {
			t.Errorf("the device saw %v", got)
		}
		if _, n, err := o.store.VerifyAudit(o.ctx()); err != nil || n < 6 {
			t.Errorf("audit: %d records, %v", n, err)
		}
		ps, err := o.store.ProposalsOf(o.ctx(), "london-lima", 5)
		if err != nil || len(ps) != 1 || ps[0].State != approval.Succeeded || ps[0].Approver != boris {
			t.Errorf("proposals: %+v, %v", ps, err)
		}
		o.fine()
	})
}

func TestWrongCommands(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	for _, c := range []struct {
		line string
		read []string
	}{
		{"/vpn diagnos london-pap", []string{"no command diagnos", "diagnose TUNNEL"}},
		{"/vpn diagnose london-papp", []string{"london-papp", "Did you mean london-pap"}},
		{"/vpn diagnose london-pap captur", []string{"captur is not understood"}},
		{"/vpn diagnose london-pap capture 9h", []string{"9h", "10m"}},
		{"/vpn mute london-pap", []string{"for how long"}},
		{"/vpn <!channel>", []string{"no command"}},
		{"/vpn run nosuch london-pap", []string{"no playbook nosuch"}},
		{"/vpn history", []string{}},
	} {
		o.types(amelie, c.line)
		if len(c.read) > 0 {
			o.whispered(amelie, c.read...)
		}
	}
	o.until("the modal that asks which tunnel", func() bool { _, open := o.ws.Modal(amelie); return open })
	if err := o.ws.SubmitModal(amelie, map[string]string{"tunnel": "london-oslo"}); err != nil {
		t.Fatal(err)
	}
	o.reads("london-oslo", "history")
	if o.net.runs != 0 {
		t.Errorf("%d runs", o.net.runs)
	}
	o.fine()
}

func TestHelpShowsWhatYouMay(t *testing.T) {
	o := open(t, workspace.Options{}, func(c *bot.Config) { c.Access.Approve = []string{boris} })
	o.types(amelie, "/vpn help")
	m := o.whispered(amelie, "diagnose TUNNEL")
	if m.Contains("pause") || m.Contains("clear TUNNEL") {
		t.Errorf("amelie may neither pause nor clear: %s", m.Content())
	}
	if n := strings.Count(m.Content(), "\n"); n > 30 {
		t.Errorf("help has %d lines", n)
	}
	o.types(chiara, "/vpn")
	o.whispered(chiara, "pause [reason]")
	o.types(amelie, "/vpn pause")
	o.whispered(amelie, "You need the right admin", "<@"+chiara+">")
	o.types(guest, "/vpn diagnose london-pap")
	o.whispered(guest, "guest", "Only full members")
	if o.net.runs != 0 {
		t.Errorf("%d runs", o.net.runs)
	}
	o.fine()
}

func TestWhoMayApprove(t *testing.T) {
	o := open(t, workspace.Options{}, func(c *bot.Config) {
		c.Access.Approve = []string{"S000NETOPS"}
		c.Access.Operate = []string{"everyone"}
	})
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	for _, c := range []struct {
		name   string
		before func()
		who    string
		reads  string
	}{
		{"a guest", func() {}, guest, "guest"},
		{"somebody who left the group", func() { o.ws.SetGroup(boris, chiara) }, amelie, "You need the right approve"},
		{"a deactivated account", func() { o.ws.ChangeUser(boris, func(u *workspace.User) { u.Deleted = true }) }, boris, "deactivated"},
		{"somebody who became a guest", func() {
			o.ws.ChangeUser(boris, func(u *workspace.User) { u.Deleted, u.Single = false, true })
		}, boris, "guest"},
		{"somebody of another workspace", func() {
			o.ws.ChangeUser(boris, func(u *workspace.User) { u.Single, u.TeamID = false, "T000OTHER" })
		}, boris, "another workspace"},
	} {
		c.before()
		before := len(o.whispers(c.who))
		if err := o.ws.Click(c.who, card.TS, "approval.approve"); err != nil {
			continue // deactivated people cannot click
		}
		o.until(c.name+" to be refused", func() bool {
			w := o.whispers(c.who)
			return len(w) > before && strings.Contains(unmarked(w[len(w)-1].Content()), c.reads)
		})
	}
	o.ws.ChangeUser(boris, func(u *workspace.User) { *u = workspace.User{ID: boris, Name: "boris", TeamID: o.ws.TeamID()} })
	// Slack cannot be asked: fails closed.
	remove := o.ws.Inject(workspace.Fault{Method: "usergroups.users.list", Error: "fatal_error"})
	before := len(o.whispers(boris))
	o.clicks(boris, card, "approval.approve")
	o.until("the click to fail closed", func() bool {
		w := o.whispers(boris)
		return len(w) > before && strings.Contains(w[len(w)-1].Content(), "could not be asked")
	})
	remove()
	if got := o.net.written(); len(got) != 0 {
		t.Fatalf("the device saw %v", got)
	}
	o.clicks(boris, card, "approval.approve")
	o.reads("repaired: verified up")
	if got := o.net.written(); len(got) != 1 {
		t.Errorf("the device saw %v", got)
	}
}

// Slack delivers everything twice, people click twice, and two people click at once.
func TestEverythingTwice(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, nil)
		o.ws.DeliverTwice(100, false)
		o.types(amelie, "/vpn diagnose london-lima")
		card := o.reads("Repair of london-lima proposed")
		o.ws.DeliverTwice(100, true)
		o.clicks(boris, card, "approval.approve")
		o.clicks(chiara, card, "approval.approve")
		o.ws.Click(boris, card.TS, "approval.approve") // the button may be gone by now
		o.reads("repaired: verified up")
		if o.net.runs != 1 {
			t.Errorf("%d runs", o.net.runs)
		}
		if got := o.net.written(); len(got) != 1 {
			t.Errorf("the device saw %v", got)
		}
		o.noneTwice()
	})
}

func TestRejectAndWithdraw(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	o.clicks(boris, card, "approval.reject")
	o.until("the modal", func() bool { _, open := o.ws.Modal(boris); return open })
	if err := o.ws.SubmitModal(boris, map[string]string{"reason": "not during <!channel> lunch"}); err != nil {
		t.Fatal(err)
	}
	end := o.reads("rejected", "not during <!channel> lunch")
	if _, ok := end.Button("approval.approve"); ok {
		t.Error("the button is still there")
	}
	o.types(amelie, "/vpn clear london-lima")
	again := o.message(func(m workspace.Message) bool { _, ok := m.Button("approval.approve"); return ok }, nil)
	o.clicks(amelie, again, "approval.reject")
	o.until("the modal", func() bool { _, open := o.ws.Modal(amelie); return open })
	if err := o.ws.SubmitModal(amelie, nil); err != nil {
		t.Fatal(err)
	}
	o.reads("withdrawn")
	o.fine()
}

func TestJoin(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, nil)
		o.net.gate = make(chan struct{})
		o.types(amelie, "/vpn diagnose london-lima")
		o.reads("london-lima", "running")
		o.types(boris, "/vpn diagnose london-lima")
		o.whispered(boris, "joined")
		close(o.net.gate)
		card := o.reads("Repair of london-lima proposed")
		o.clicks(boris, card, "approval.approve")
		o.whispered(boris, "another person has to approve")
		o.clicks(chiara, card, "approval.approve")
		o.reads("repaired: verified up")
		if o.net.runs != 1 {
			t.Errorf("%d runs", o.net.runs)
		}
		o.fine()
	})
}

func TestCancel(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.net.gate = make(chan struct{})
	o.types(amelie, "/vpn diagnose london-pap")
	card := o.reads("london-pap", "running")
	o.clicks(boris, card, "run.cancel") // operates: may stop another one's run
	o.reads("london-pap", "cancelled")
	o.types(amelie, "/vpn cancel")
	o.whispered(amelie, "no run under way")
	o.fine()
}

func TestTooManyRuns(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	for _, n := range tunnelNames {
		o.types(amelie, "/vpn diagnose "+n+" nocapture")
		o.reads(n, "confidence")
	}
	o.types(amelie, "/vpn diagnose london-pap")
	o.whispered(amelie, "3 runs within the last 10 minutes")
	o.fine()
}

// Slack throttles, fails, cuts connections after having done what was asked: everything
// arrives, nothing twice, and the newest state of every card.
func TestSlackMisbehaves(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault workspace.Fault
	}{
		{"429 on posts", workspace.Fault{Method: "chat.postMessage", Times: 2, Status: 429, RetryAfter: time.Second}},
		{"429 on edits", workspace.Fault{Method: "chat.update", Times: 2, Status: 429, RetryAfter: time.Second}},
		{"5xx", workspace.Fault{Method: "*", After: 4, Times: 4, Status: 503, Empty: true}},
		{"done, but the answer is lost", workspace.Fault{Method: "chat.postMessage", Times: 3, Drop: true, Done: true}},
		{"not done, and no answer", workspace.Fault{Method: "chat.postMessage", Times: 2, Drop: true}},
		{"done, and answered 500", workspace.Fault{Method: "chat.postMessage", Times: 2, Status: 500, Done: true}},
		{"internal_error", workspace.Fault{Method: "chat.postMessage", Times: 2, Error: "internal_error"}},
		{"upload fails", workspace.Fault{Method: "upload", Times: 2, Status: 500}},
		{"share is done, but the answer is lost", workspace.Fault{Method: "files.completeUploadExternal", Times: 2, Drop: true, Done: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := open(t, workspace.Options{}, nil)
			o.ws.Inject(c.fault)
			o.types(amelie, "/vpn diagnose london-pap")
			card := o.reads("The path drops IP fragments")
			o.replied(card, "1. The path drops IP fragments")
			o.until("the files", func() bool { return o.files(card) == 2 })
			o.noneTwice()
		})
	}
}

// The bot stops in the middle of a diagnosis and between proposal and approval.
func TestRestart(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, nil)
		o.net.gate = make(chan struct{})
		o.types(amelie, "/vpn diagnose london-lima")
		card := o.reads("london-lima", "running")
		o.stop()
		close(o.net.gate)
		o.start()
		end := o.reads("Stale SA", "confidence", "took")
		if end.TS != card.TS {
			t.Error("another card after the restart")
		}
		p := o.reads("Repair of london-lima proposed")
		o.stop()
		o.start()
		o.clicks(boris, p, "approval.approve")
		o.reads("repaired: verified up")
		if got := o.net.written(); len(got) != 1 {
			t.Errorf("the device saw %v", got)
		}
		o.noneTwice()
	})
}

// Nobody saw how the run ended: final, never repeated, and a look at the devices.
func TestUnknown(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, nil)
		o.net.lose = true
		o.types(amelie, "/vpn diagnose london-lima")
		card := o.reads("Repair of london-lima proposed")
		o.clicks(boris, card, "approval.approve")
		o.reads("outcome unknown", "not repeated")
		o.replied(card, "nobody saw", "show crypto isakmp sa")
		o.stop()
		o.start()
		if err := o.ws.Click(boris, card.TS, "approval.approve"); err == nil {
			t.Error("the button is still there")
		}
		if got := o.net.written(); len(got) != 1 {
			t.Errorf("the device saw %v", got)
		}
	})
}

func TestPause(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, nil)
		o.types(amelie, "/vpn diagnose london-lima")
		card := o.reads("Repair of london-lima proposed")
		o.types(chiara, "/vpn pause storm <&>")
		o.reads("Repairs are paused", "storm <&>")
		o.clicks(boris, card, "approval.approve")
		o.whispered(boris, "Repairs are paused")
		o.types(boris, "/vpn pending")
		o.whispered(boris, "1 open approvals", "london-lima", "paused")
		o.types(chiara, "/vpn resume")
		o.reads("Repairs may run again")
		o.clicks(boris, card, "approval.approve")
		o.reads("repaired: verified up")
		o.fine()
	})
}

// A tunnel falls, is diagnosed by itself, somebody presses "Propose repair", it comes back.
func TestSweeps(t *testing.T) {
	onBoth(t, func(t *testing.T, open opener) {
		o := open(t, workspace.Options{}, func(c *bot.Config) {
			c.Schedules = []bot.Schedule{{Name: "tunnels", Cron: "@every 1s", Playbook: "sweep"}}
		})
		o.reads("First look at 3 tunnels: 3 up")
		o.net.set("london-lima", report.Down)
		alert := o.reads("london-lima went down")
		found := o.replied(alert, "Stale SA", "tunnel is down")
		if _, ok := found.Button("approval.propose"); !ok {
			t.Fatalf("no button to propose under %s", found.Content())
		}
		for _, m := range o.ws.Messages("") {
			if _, ok := m.Button("approval.approve"); ok {
				t.Error("a sweep proposed by itself")
			}
		}
		o.clicks(amelie, found, "approval.propose")
		card := o.reads("Repair of london-lima proposed", "asked by <@"+amelie+">")
		o.clicks(boris, card, "approval.approve")
		o.reads("repaired: verified up")
		back := o.reads("london-lima", "is up again after")
		if back.TS != alert.TS {
			t.Error("the incident's card was not edited")
		}
		o.types(amelie, "/vpn mute london-oslo 2h <works>")
		o.reads("london-oslo is muted", "<works>")
		o.net.set("london-oslo", report.Down)
		o.eventually("the state to be seen", func() bool {
			s, err := o.store.Tunnels(o.ctx())
			return err == nil && s["london-oslo"].State == "down"
		})
		o.types(amelie, "/vpn status")
		o.whispered(amelie, "1 down, 2 up", "london-oslo", "muted")
		for _, m := range o.ws.Messages("") {
			if m.Contains("london-oslo went down") {
				t.Error("a muted tunnel was told")
			}
		}
		o.types(amelie, "/vpn history london-lima")
		o.reads("london-lima", "history", "up → down", "repair succeeded, helped", "Stale SA")
		o.until("the timeline", func() bool {
			for _, m := range o.ws.Messages("") {
				for _, f := range m.Files {
					if f.Name == "timeline-london-lima.png" && strings.HasPrefix(string(f.Content), "\x89PNG") && strings.Contains(f.AltText, "Timeline of london-lima") {
						return true
					}
				}
			}
			return false
		})
	})
}

func TestAnswers(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.types(amelie, "/vpn explain Reason 412 <!here>")
	o.whispered(amelie, "It means: Reason 412")
	o.types(amelie, "/vpn playbooks")
	o.whispered(amelie, "diagnose – finds out")
	o.types(amelie, "/vpn show london-oslo")
	o.reads("london-oslo now", "IKE Peer: 203.0.113.10")
	o.types(amelie, "/vpn evidence london-oslo")
	o.whispered(amelie, "was not diagnosed yet")
	o.types(amelie, "/vpn sweep")
	o.reads("Sweep of 3 tunnels: 3 up")
	ts, err := o.ws.Say(boris, "look: AM_TM_INIT_XAUTH_V6C")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.ws.UseShortcut(amelie, ts, "explain_message"); err != nil {
		t.Fatal(err)
	}
	o.whispered(amelie, "It means: look: AM_TM_INIT_XAUTH_V6C")
	if _, err := o.ws.SayIn("", ts, amelie, "@vpnbot diagnose london-oslo"); err != nil {
		t.Fatal(err)
	}
	parent, _ := o.ws.Message(ts)
	o.replied(parent, "The tunnel is up and passes traffic", "london-oslo")
	if err := o.ws.OpenHome(amelie); err != nil {
		t.Fatal(err)
	}
	o.until("App Home", func() bool { _, ok := o.ws.Home(amelie); return ok })
	if _, err := o.ws.ShareFiles("", "", amelie, "@vpnbot what is this?", workspace.File{Name: "hq.pcap", Content: []byte("1234")}); err != nil {
		t.Fatal(err)
	}
	o.message(func(m workspace.Message) bool { return m.IsReply() }, []string{"The path drops IP fragments", "hq.pcap: 4 bytes"})
	o.fine()
}

// The same conversation by signed HTTP requests.
func TestHTTPMode(t *testing.T) {
	o := open(t, workspace.Options{}, func(c *bot.Config) { c.Slack.Mode = "http" })
	base := "http://" + o.bot.Addr()
	o.ws.SetRequestURL(base)
	if err := o.ws.VerifyURL(o.ctx()); err != nil {
		t.Fatal(err)
	}
	o.types(amelie, "/vpn diagnose london-lima")
	card := o.reads("Repair of london-lima proposed")
	o.clicks(boris, card, "approval.approve")
	o.reads("repaired: verified up")
	post := func(path, body, ts, sig string) int {
		req, err := http.NewRequestWithContext(o.ctx(), "POST", base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Slack-Request-Timestamp", ts)
		req.Header.Set("X-Slack-Signature", sig)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	body := "command=%2Fvpn&text=pending&user_id=" + amelie + "&channel_id=" + o.ws.ChannelID() + "&trigger_id=1.2.3&team_id=" + o.ws.TeamID()
	ts, sig := o.ws.Sign([]byte(body), time.Now())
	old, oldSig := o.ws.Sign([]byte(body), time.Now().Add(-6*time.Minute))
	for _, c := range []struct {
		name, path, body, ts, sig string
		want                      int
	}{
		{"signed", "/slack/commands", body, ts, sig, 200},
		{"replayed", "/slack/commands", body, ts, sig, 409},
		{"changed", "/slack/commands", body + "x", ts, sig, 401},
		{"old", "/slack/commands", body, old, oldSig, 401},
		{"unsigned", "/slack/interactions?payload=%7B%7D", "", ts, "", 401},
	} {
		if got := post(c.path, c.body, c.ts, c.sig); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/nosuch": 404} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	o.fine()
}

// Slack refreshes its connections and the network cuts them; nothing is lost.
func TestConnections(t *testing.T) {
	o := open(t, workspace.Options{PingInterval: time.Second}, nil)
	o.until("two connections", func() bool { return o.ws.Connections() == 2 })
	opened := len(o.ws.Calls("apps.connections.open"))
	o.ws.Disconnect("refresh_requested") // both at once; Slack refreshes one after the other
	o.until("fresh connections", func() bool { return len(o.ws.Calls("apps.connections.open")) >= opened+2 && o.ws.Connections() >= 2 })
	o.types(amelie, "/vpn playbooks")
	o.whispered(amelie, "finds out")
	before := len(o.ws.Calls("apps.connections.open"))
	o.ws.DropConnections()
	o.until("new connections", func() bool { return len(o.ws.Calls("apps.connections.open")) >= before+2 && o.ws.Connections() == 2 })
	o.types(boris, "/vpn playbooks")
	o.whispered(boris, "finds out")
}

// A playbook that breaks costs its run and nothing else.
func TestPanic(t *testing.T) {
	o := open(t, workspace.Options{}, nil)
	o.net.panics = true
	o.types(amelie, "/vpn diagnose london-pap")
	o.reads("could not be diagnosed", "vpnbot made a mistake")
	o.types(amelie, "/vpn playbooks")
	o.whispered(amelie, "finds out")
	o.fine()
}
