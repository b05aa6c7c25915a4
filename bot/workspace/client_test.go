package workspace_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
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
	_ = slackevents.AppMention
	_ = strings.Contains
}
