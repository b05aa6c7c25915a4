package slack_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"vpnbot/bot/slack"
	"vpnbot/bot/slack/payload"
	"vpnbot/bot/workspace"
)

// check starts a workspace, changes it, and checks it as `vpnbot check --connect` does.
func check(t *testing.T, opt workspace.Options, o slack.Options, k slack.Checked, change func(*workspace.Workspace)) (lines []string, failed int) {
	t.Helper()
	ws, err := workspace.Start(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	if change != nil {
		change(ws)
	}
	o.APIURL = ws.APIURL()
	if o.BotToken == "" {
		o.BotToken = ws.BotToken()
	}
	if o.AppToken == "" {
		o.AppToken = ws.AppToken()
	}
	if k.Channel == "" {
		k.Channel = ws.ChannelID()
	}
	api, err := slack.NewAPI(o)
	if err != nil {
		t.Fatal(err)
	}
	k.Socket = true
	for _, l := range api.Check(t.Context(), k) {
		state := "ok"
		if !l.OK {
			state = "failed"
			failed++
		}
		lines = append(lines, l.What+": "+state+": "+l.Detail)
	}
	return lines, failed
}

// Check says exactly which token, scope, membership, group or person is wrong.
func TestCheck(t *testing.T) {
	without := func(scopes ...string) []string {
		return slices.DeleteFunc(workspace.DefaultScopes(), func(s string) bool { return slices.Contains(scopes, s) })
	}
	groups := []string{"S000NETOPS"}
	for _, c := range []struct {
		name   string
		opt    workspace.Options
		o      slack.Options
		k      slack.Checked
		change func(*workspace.Workspace)
		failed int
		says   string
	}{
		{name: "all is well", k: slack.Checked{Groups: groups, People: []string{"U000AMELIE"}}, says: "member of #vpn-ops"},
		{name: "wrong bot token", o: slack.Options{BotToken: "xoxb-wrong"}, failed: 1, says: "slack bot token: failed: slack auth.test: invalid_auth (the token is wrong or was revoked"},
		{name: "wrong app token", o: slack.Options{AppToken: "xapp-wrong"}, failed: 1, says: "slack app token: failed: slack apps.connections.open: invalid_auth"},
		{name: "scopes", opt: workspace.Options{Scopes: without("files:write", "chat:write")}, failed: 1, says: "missing: chat:write (cards, findings, proposals), files:write (diagrams"},
		{name: "user groups cannot be read", opt: workspace.Options{Scopes: without("usergroups:read")}, k: slack.Checked{Groups: groups}, failed: 2, says: "slack user group S000NETOPS: failed: slack usergroups.users.list: missing_scope (add the scope usergroups:read"},
		{name: "not in the channel", change: func(w *workspace.Workspace) { w.Kick(w.ChannelID()) }, failed: 1, says: "the bot is not in #vpn-ops: type /invite @vpnbot there"},
		{name: "private channel", opt: workspace.Options{Private: true}, change: func(w *workspace.Workspace) { w.Kick(w.ChannelID()) }, failed: 1, says: "it is private and the bot is not in it: type /invite @vpnbot there"},
		{name: "no such channel", k: slack.Checked{Channel: "C000NOWHERE"}, failed: 1, says: "there is no such channel"},
		{name: "unknown group", k: slack.Checked{Groups: []string{"S000NONE"}}, failed: 1, says: "there is no such user group"},
		{name: "empty group", k: slack.Checked{Groups: groups}, change: func(w *workspace.Workspace) { w.SetGroup() }, failed: 1, says: "the group is empty"},
		{name: "a guest", k: slack.Checked{People: []string{"U000GUEST"}}, failed: 1, says: "slack user U000GUEST: failed: has no rights: the account is a guest's"},
		{name: "somebody unknown", k: slack.Checked{People: []string{"U000NOBODY"}}, failed: 1, says: "slack user U000NOBODY: failed: has no rights"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, failed := check(t, c.opt, c.o, c.k, c.change)
			all := strings.Join(lines, "\n")
			if failed != c.failed || !strings.Contains(all, c.says) {
				t.Errorf("%d failed, want %d and %q:\n%s", failed, c.failed, c.says, all)
			}
		})
	}
}

// Where Slack lists no granted scopes, calls that change nothing find the missing ones.
func TestCheckWithoutHeader(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.URL.Path, "/api/") {
		case "auth.test":
			w.Write([]byte(`{"ok":true,"user_id":"U1","team_id":"T1","user":"vpnbot"}`))
		case "conversations.info":
			w.Write([]byte(`{"ok":true,"channel":{"id":"C1","name":"ops","is_member":true}}`))
		case "conversations.history":
			w.Write([]byte(`{"ok":false,"error":"missing_scope","needed":"channels:history","provided":"chat:write"}`))
		case "users.info":
			w.Write([]byte(`{"ok":true,"user":{"id":"U1"}}`))
		default:
			w.Write([]byte(`{"ok":false,"error":"message_not_found"}`))
		}
	}))
	defer srv.Close()
	api, err := slack.NewAPI(slack.Options{APIURL: srv.URL + "/api/", BotToken: "xoxb-1"})
	if err != nil {
		t.Fatal(err)
	}
	lines := api.Check(t.Context(), slack.Checked{Channel: "C1"})
	if l := lines[1]; l.OK || !strings.Contains(l.Detail, "missing: channels:history (look up") {
		t.Errorf("%+v", lines)
	}
}

// The token goes to Slack's hosts and the api_url's only, and never along a redirect.
func TestFilesAreFetchedFromSlackOnly(t *testing.T) {
	var stolen bool
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen = true }))
	defer thief.Close()
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/redirect"):
			http.Redirect(w, r, strings.Replace(thief.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/login"):
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte("<!DOCTYPE html>sign in"))
		case strings.HasSuffix(r.URL.Path, "/files.info"):
			w.Write([]byte(`{"ok":true,"file":{"id":"F1","url_private":"http://` + r.Host + `/files-pri/x.pcap","size":4}}`))
		case strings.HasSuffix(r.URL.Path, "/large"):
			for range 21 << 4 {
				w.Write(make([]byte, 64<<10))
			}
		default:
			w.Write([]byte("pcap"))
		}
	}))
	defer home.Close()
	api, err := slack.NewAPI(slack.Options{APIURL: home.URL + "/api/", BotToken: "xoxb-secret"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		file payload.File
		says string
	}{
		{"ours", payload.File{Name: "x.pcap", URL: home.URL + "/files-pri/x.pcap", Size: 4}, ""},
		{"by its id", payload.File{ID: "F1", Name: "x.pcap"}, ""},
		{"elsewhere", payload.File{URL: strings.Replace(thief.URL, "127.0.0.1", "localhost", 1)}, "does not lie at Slack"},
		{"like Slack's", payload.File{URL: "https://files.slack.com.evil.example/x"}, "does not lie at Slack"},
		{"a name in it", payload.File{URL: "https://files.slack.com@evil.example/x"}, "does not lie at Slack"},
		{"a file of this host", payload.File{URL: "file:///etc/passwd"}, "does not lie at Slack"},
		{"redirected", payload.File{URL: home.URL + "/redirect"}, "302"},
		{"a page", payload.File{URL: home.URL + "/login", Name: "x.pcap"}, "files:read"},
		{"announced too large", payload.File{URL: home.URL + "/x", Size: 30 << 20}, "30 MiB"},
		{"larger than announced", payload.File{URL: home.URL + "/large", Size: 4}, "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := api.Fetch(t.Context(), c.file)
			switch {
			case c.says == "" && (err != nil || string(data) != "pcap"):
				t.Errorf("%q, %v", data, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	if stolen {
		t.Error("another host was asked")
	}
	for hook, want := range map[string]bool{
		"https://hooks.slack.com/commands/T/1/x": true, home.URL + "/hooks/1": true,
		"http://hooks.slack.com/x": false, "https://hooks.slack.com.evil.example/": false, "https://evil.example/": false, "https://u@hooks.slack.com/": false, "": false,
	} {
		if got := api.HookAllowed(hook); got != want {
			t.Errorf("%s: %v", hook, got)
		}
	}
}
