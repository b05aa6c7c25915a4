package workspace_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
	"go.uber.org/goleak"

	"vpnbot/bot/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	amelie = "U000AMELIE"
	boris  = "U000BORIS"
	guest  = "U000GUEST"
)

// start runs a workspace and a real Slack client for it.
func start(t *testing.T, opt workspace.Options) (*workspace.Workspace, *slack.Client) {
	t.Helper()
	if testing.Verbose() && os.Getenv("WORKSPACE_LOG") != "" {
		opt.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w, err := workspace.Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	client := newHTTPClient(t)
	return w, slack.New(w.BotToken(), slack.OptionAPIURL(w.APIURL()), slack.OptionAppLevelToken(w.AppToken()), slack.OptionHTTPClient(client))
}

// connect runs a Socket Mode client that hands every event to handle and acknowledges by itself when handle
// returns true.
func connect(t *testing.T, w *workspace.Workspace, api *slack.Client, handle func(*socketmode.Client, socketmode.Event) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	sm := socketmode.New(api)
	want := w.Connections() + 1
	done := make(chan struct{}, 2)
	go func() { sm.RunContext(ctx); done <- struct{}{} }()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			select {
			case e := <-sm.Events:
				if e.Request != nil && e.Request.EnvelopeID != "" && handle(sm, e) {
					_ = sm.AckCtx(ctx, e.Request.EnvelopeID, nil)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done; <-done })
	if err := w.Wait(within(t), func() bool { return w.Connections() >= want }); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestSlashCommandButtonAndUpdate(t *testing.T) {
	w, api := start(t, workspace.Options{})
	connect(t, w, api, func(_ *socketmode.Client, e socketmode.Event) bool {
		switch d := e.Data.(type) {
		case slack.SlashCommand:
			go api.PostMessage(d.ChannelID, slack.MsgOptionText("Diagnosis of "+d.Text, false), slack.MsgOptionBlocks(
				slack.NewSectionBlock(slack.NewTextBlockObject("mrkdwn", "*"+d.Text+"* asked by <@"+d.UserID+">", false, false), nil, nil),
				slack.NewActionBlock("act", slack.NewButtonBlockElement("approval.approve", "p-1", slack.NewTextBlockObject("plain_text", "Approve", true, false)).WithStyle("primary")),
			))
		case slack.InteractionCallback:
			go api.UpdateMessage(d.Channel.ID, d.Message.Timestamp, slack.MsgOptionText("approved by "+d.User.ID+" value "+d.ActionCallback.BlockActions[0].Value, false), slack.MsgOptionBlocks())
		}
		return true
	})
	if err := w.Slash(amelie, "/vpn diagnose london-pap"); err != nil {
		t.Fatal(err)
	}
	m, err := w.WaitFor(within(t), func(m workspace.Message) bool { return m.Contains("diagnose london-pap") })
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Mentions(); len(got) != 1 || got[0] != amelie {
		t.Errorf("mentions %v", got)
	}
	if err := w.Click(boris, m.TS, "approval.approve"); err != nil {
		t.Fatal(err)
	}
	if _, err = w.WaitFor(within(t), func(m workspace.Message) bool { return m.Text == "approved by U000BORIS value p-1" }); err != nil {
		t.Fatal(err)
	}
	if err := w.Click(boris, m.TS, "no.such.button"); !errors.Is(err, workspace.ErrNo) {
		t.Errorf("a button that is not there was clicked: %v", err)
	}
}

func TestTokensAndScopes(t *testing.T) {
	w, api := start(t, workspace.Options{})
	as := func(token string) *slack.Client {
		return slack.New(token, slack.OptionAPIURL(w.APIURL()), slack.OptionHTTPClient(newHTTPClient(t)))
	}
	who, err := api.AuthTest()
	if err != nil || who.UserID != w.BotUserID() || who.TeamID != w.TeamID() || who.BotID == "" {
		t.Fatalf("auth.test: %+v %v", who, err)
	}
	for _, c := range []struct {
		name string
		call func() error
		want string
	}{
		{"no such token", func() error { _, err := as("xoxb-other").AuthTest(); return err }, "invalid_auth"},
		{"no token", func() error { _, err := as("").AuthTest(); return err }, "not_authed"},
		{"app token where the bot's belongs", func() error { _, err := as(w.AppToken()).GetUserInfo(amelie); return err }, "not_allowed_token_type"},
		{"scope missing", func() error { return api.AddReaction("eyes", slack.NewRefToMessage(w.ChannelID(), "1.0")) }, "missing_scope"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.call(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestScopeOfTheKindOfConversation(t *testing.T) {
	w, _ := start(t, workspace.Options{Private: true, Scopes: []string{"channels:history", "chat:write"}})
	out := call(t, w, "conversations.history", map[string]string{"channel": w.ChannelID()})
	if out["error"] != "missing_scope" || out["needed"] != "groups:history" || out["provided"] != "channels:history,chat:write" {
		t.Errorf("a private channel was read with the scope of public ones: %v", out)
	}
}

func TestPeopleAndChannels(t *testing.T) {
	w, api := start(t, workspace.Options{})
	u, err := api.GetUserInfo(guest)
	if err != nil || !u.IsRestricted || u.TeamID != w.TeamID() {
		t.Errorf("the guest: %+v %v", u, err)
	}
	if u, err = api.GetUserInfo(w.BotUserID()); err != nil || !u.IsBot {
		t.Errorf("the bot: %+v %v", u, err)
	}
	w.AddUser(workspace.User{ID: "W00STRANGER", Name: "stranger", RealName: "Stranger", TeamID: "T00FOREIGN"})
	if u, err = api.GetUserInfo("W00STRANGER"); err != nil || !u.IsStranger || u.TeamID != "T00FOREIGN" {
		t.Errorf("the stranger: %+v %v", u, err)
	}
	users, err := api.GetUsers(slack.GetUsersOptionLimit(2))
	if err != nil || len(users) != 6 {
		t.Errorf("%d users in pages of 2: %v", len(users), err)
	}
	members, err := api.GetUserGroupMembers(w.UserGroup())
	if err != nil || len(members) != 3 {
		t.Errorf("members of the group: %v %v", members, err)
	}
	c, err := api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: w.ChannelID()})
	if err != nil || !c.IsMember || c.Name != "vpn-ops" {
		t.Errorf("channel: %+v %v", c, err)
	}
	if _, err = api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: w.GeneralID()}); err == nil || err.Error() != "not_in_channel" {
		t.Errorf("history of a channel without the app: %v", err)
	}
	w.Kick(w.ChannelID())
	if _, _, err = api.PostMessage(w.ChannelID(), slack.MsgOptionText("x", false)); err == nil || err.Error() != "not_in_channel" {
		t.Errorf("posting after being removed: %v", err)
	}
	if _, _, err = api.PostMessage(amelie, slack.MsgOptionText("direct", false)); err != nil {
		t.Errorf("a direct message: %v", err)
	}
}

// TestMetadataFindsAMessageOfUnknownFate is what a careful client does after a timeout.
func TestMetadataFindsAMessageOfUnknownFate(t *testing.T) {
	w, api := start(t, workspace.Options{})
	w.Inject(workspace.Fault{Method: "chat.postMessage", Times: 1, Done: true, Drop: true})
	_, _, err := api.PostMessage(w.ChannelID(), slack.MsgOptionText("run 7", false), slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "run", EventPayload: map[string]any{"id": "7"}}))
	if err == nil {
		t.Fatal("the connection was cut, and the client saw no error")
	}
	h, err := api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: w.ChannelID(), IncludeAllMetadata: true})
	if err != nil || len(h.Messages) != 1 || h.Messages[0].Metadata.EventPayload["id"] != "7" {
		t.Errorf("history: %+v %v", h, err)
	}
}

func TestThreadsUpdatesAndDeletes(t *testing.T) {
	w, api := start(t, workspace.Options{})
	ch := w.ChannelID()
	_, parent, err := api.PostMessage(ch, slack.MsgOptionText("card", false), slack.MsgOptionBlocks(slack.NewHeaderBlock(pt("Card"))))
	if err != nil {
		t.Fatal(err)
	}
	_, reply, err := api.PostMessage(ch, slack.MsgOptionText("detail", false), slack.MsgOptionTS(parent))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = api.PostMessage(ch, slack.MsgOptionText("x", false), slack.MsgOptionTS(reply)); err == nil || err.Error() != "cannot_reply_to_message" {
		t.Errorf("a reply to a reply: %v", err)
	}
	msgs, _, _, err := api.GetConversationReplies(&slack.GetConversationRepliesParameters{ChannelID: ch, Timestamp: parent})
	if err != nil || len(msgs) != 2 || msgs[0].ReplyCount != 1 || msgs[1].ThreadTimestamp != parent {
		t.Errorf("replies: %+v %v", msgs, err)
	}
	if h, err := api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: ch}); err != nil || len(h.Messages) != 1 {
		t.Errorf("a reply stands in the channel: %v", err)
	}
	if _, _, _, err = api.UpdateMessage(ch, parent, slack.MsgOptionText("new text", false)); err != nil {
		t.Fatal(err)
	}
	m, _ := w.Message(parent)
	if m.Edits != 1 || m.Text != "new text" || len(m.Blocks) != 1 {
		t.Errorf("an update without blocks keeps them: %+v", m)
	}
	his, err := w.Say(amelie, "mine")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err = api.UpdateMessage(ch, his, slack.MsgOptionText("yours", false)); err == nil || err.Error() != "cant_update_message" {
		t.Errorf("somebody else's message was edited: %v", err)
	}
	if _, _, _, err = api.UpdateMessage(ch, "9.000000", slack.MsgOptionText("x", false)); err == nil || err.Error() != "message_not_found" {
		t.Errorf("a message that is not there: %v", err)
	}
	if _, _, err = api.DeleteMessage(ch, reply); err != nil {
		t.Fatal(err)
	}
	if m, _ = w.Message(parent); len(m.Replies) != 0 {
		t.Errorf("the deleted reply is still counted: %v", m.Replies)
	}
	link, err := api.GetPermalink(&slack.PermalinkParameters{Channel: ch, Ts: parent})
	if err != nil || !strings.Contains(link, "/archives/"+ch+"/p") {
		t.Errorf("permalink %q %v", link, err)
	}
}

func TestFiles(t *testing.T) {
	w, api := start(t, workspace.Options{})
	w.Inject(workspace.Fault{Method: "upload", Times: 1, Status: 503})
	up := slack.UploadFileParameters{Content: "report", FileSize: 6, Filename: "report.txt", Title: "Report", Channel: w.ChannelID(), InitialComment: "here"}
	if _, err := api.UploadFile(up); err == nil {
		t.Error("the upload was refused, and the client saw no error")
	}
	f, err := api.UploadFile(up)
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.WaitFor(within(t), func(m workspace.Message) bool { return len(m.Files) == 1 })
	if err != nil || m.Text != "here" || string(m.Files[0].Content) != "report" || m.Files[0].Title != "Report" {
		t.Errorf("%+v %v", m, err)
	}
	up.FileSize = 7
	if _, err := api.UploadFile(up); err == nil {
		t.Error("fewer bytes than announced were accepted")
	}
	info, _, _, err := api.GetFileInfo(f.ID, 0, 0)
	if err != nil || info.Size != 6 {
		t.Fatalf("files.info: %+v %v", info, err)
	}
	var b strings.Builder
	if err := api.GetFile(info.URLPrivateDownload, &b); err != nil || b.String() != "report" {
		t.Errorf("download: %q %v", b.String(), err)
	}
	var page strings.Builder
	resp, err := newHTTPClient(t).Get(info.URLPrivate)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(&page, resp.Body)
	if !strings.Contains(page.String(), "Sign in") {
		t.Errorf("without the token one gets %q", page.String())
	}
	if out := call(t, w, "files.completeUploadExternal", map[string]string{"files": `[{"id":"` + f.ID + `"}]`}); out["ok"] == true {
		t.Error("a file was completed twice")
	}
}

func TestFaults(t *testing.T) {
	w, api := start(t, workspace.Options{})
	w.Inject(workspace.Fault{Method: "auth.test", Times: 1, Status: 429, RetryAfter: 7 * time.Second})
	_, err := api.AuthTest()
	var limited *slack.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("got %v, want a rate limit of 7 s", err)
	}
	w.Inject(workspace.Fault{Method: "auth.test", Times: 1, Status: 502})
	var status slack.StatusCodeError
	if _, err = api.AuthTest(); !errors.As(err, &status) || status.Code != 502 {
		t.Errorf("got %v, want status 502", err)
	}
	remove := w.Inject(workspace.Fault{Method: "*", Error: "internal_error"})
	if _, err = api.AuthTest(); err == nil || err.Error() != "internal_error" {
		t.Errorf("got %v", err)
	}
	remove()
	w.Inject(workspace.Fault{Method: "auth.test", Times: 1, Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err = api.AuthTestContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want no answer", err)
	}
	if _, err = api.AuthTest(); err != nil {
		t.Errorf("after the faults: %v", err)
	}
	calls := w.Calls("auth.test")
	if last := calls[len(calls)-1]; last.Error != "" || last.TokenIn == "" {
		t.Errorf("the last call is recorded as %+v", last)
	}
}

func TestRateLimits(t *testing.T) {
	w, api := start(t, workspace.Options{RateLimits: true})
	var limited *slack.RateLimitedError
	for i := range 6 {
		_, _, err := api.PostMessage(w.ChannelID(), slack.MsgOptionText("x", false))
		if (i < 5) != (err == nil) || (i == 5) != errors.As(err, &limited) {
			t.Fatalf("post %d: %v", i, err)
		}
	}
	if limited.RetryAfter < time.Second {
		t.Errorf("retry after %v", limited.RetryAfter)
	}
}
