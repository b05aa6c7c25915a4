package workspace_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	"vpnbot/bot/workspace"
)

// inbox collects what an app receives.
type inbox chan socketmode.Event

func newInbox() inbox { return make(inbox, 100) }

func (b inbox) add(e socketmode.Event) { b <- e }

func (b inbox) next(t *testing.T) socketmode.Event {
	t.Helper()
	select {
	case e := <-b:
		return e
	case <-within(t).Done():
		t.Fatal("nothing arrived")
	}
	panic("not reached")
}

func outcome(w *workspace.Workspace, kind string) func() string {
	return func() string {
		for _, e := range w.Envelopes() {
			if e.Kind == kind {
				return e.Outcome
			}
		}
		return ""
	}
}

func TestNotConnected(t *testing.T) {
	w, _ := start(t, workspace.Options{})
	if err := w.Slash(amelie, "/vpn help"); err != nil {
		t.Fatal(err)
	}
	m, err := w.WaitFor(within(t), func(m workspace.Message) bool { return strings.Contains(m.Text, "dispatch_failed") })
	if err != nil || m.Ephemeral != amelie {
		t.Errorf("%+v %v", m, err)
	}
	if err := w.Slash(amelie, "/other"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WaitFor(within(t), func(m workspace.Message) bool { return strings.Contains(m.Text, "not a valid command") }); err != nil {
		t.Error(err)
	}
}

func TestAcknowledgements(t *testing.T) {
	for _, c := range []struct {
		name, want string
		ack        func(sm *socketmode.Client, e socketmode.Event) bool
	}{
		{"in time", "acked", func(*socketmode.Client, socketmode.Event) bool { return true }},
		{"never", "timeout", func(*socketmode.Client, socketmode.Event) bool { return false }},
		{"19 kB", "acked", func(sm *socketmode.Client, e socketmode.Event) bool {
			sm.AckCtx(context.Background(), e.Request.EnvelopeID, map[string]string{"text": strings.Repeat("x", 19_000)})
			return false
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, api := start(t, workspace.Options{AckTimeout: 300 * time.Millisecond})
			connect(t, w, api, c.ack)
			if err := w.Slash(amelie, "/vpn status"); err != nil {
				t.Fatal(err)
			}
			get := outcome(w, "slash_commands")
			if err := w.Wait(within(t), func() bool { return get() == c.want }); err != nil {
				t.Errorf("the outcome is %s: %v", get(), err)
			}
			if c.want == "timeout" {
				if _, err := w.WaitFor(within(t), func(m workspace.Message) bool {
					return m.Ephemeral == amelie && strings.Contains(m.Text, "operation timed out")
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestTooLargeAcknowledgementIsLost(t *testing.T) {
	w, api := start(t, workspace.Options{})
	_, address, err := slack.New("", slack.OptionAppLevelToken(w.AppToken()), slack.OptionAPIURL(w.APIURL()), slack.OptionHTTPClient(newHTTPClient(t))).StartSocketModeContext(t.Context())
	_ = api
	if err != nil {
		t.Fatal(err)
	}
	ws := dial(t, address)
	var hello, slash map[string]any
	if err := ws.ReadJSON(&hello); err != nil || hello["type"] != "hello" {
		t.Fatalf("%v %v", hello, err)
	}
	w.Slash(amelie, "/vpn status")
	if err := ws.ReadJSON(&slash); err != nil || slash["accepts_response_payload"] != true {
		t.Fatalf("%v %v", slash, err)
	}
	ws.WriteJSON(map[string]any{"envelope_id": slash["envelope_id"], "payload": map[string]string{"text": strings.Repeat("x", 20_000)}})
	get := outcome(w, "slash_commands")
	if err := w.Wait(within(t), func() bool { return get() == "too large" }); err != nil {
		t.Error(get(), err)
	}
}

func TestDeliveredTwice(t *testing.T) {
	for _, newID := range []bool{false, true} {
		w, api := start(t, workspace.Options{})
		box := newInbox()
		connect(t, w, api, func(_ *socketmode.Client, e socketmode.Event) bool { box.add(e); return true })
		w.DeliverTwice(1, newID)
		w.Slash(amelie, "/vpn sweep")
		a, b := box.next(t), box.next(t)
		if (a.Request.EnvelopeID != b.Request.EnvelopeID) != newID {
			t.Errorf("envelope ids %s and %s", a.Request.EnvelopeID, b.Request.EnvelopeID)
		}
		if x, y := a.Data.(slack.SlashCommand), b.Data.(slack.SlashCommand); x != y {
			t.Errorf("%+v and %+v", x, y)
		}
	}
}

func TestReconnectAndRedelivery(t *testing.T) {
	w, api := start(t, workspace.Options{})
	box := newInbox()
	first := true
	connect(t, w, api, func(_ *socketmode.Client, e socketmode.Event) bool {
		box.add(e)
		if first { // the connection breaks before the acknowledgement
			first = false
			w.DropConnections()
			return false
		}
		return true
	})
	w.Slash(amelie, "/vpn sweep")
	a, b := box.next(t), box.next(t)
	if a.Request.EnvelopeID != b.Request.EnvelopeID && len(w.Envelopes()) != 1 {
		t.Error("another envelope was made")
	}
	get := outcome(w, "slash_commands")
	if err := w.Wait(within(t), func() bool { return get() == "acked" }); err != nil {
		t.Error(get(), err)
	}
	w.Disconnect("refresh_requested")
	opened := len(w.Calls("apps.connections.open"))
	if err := w.Wait(within(t), func() bool { return len(w.Calls("apps.connections.open")) > opened && w.Connections() > 0 }); err != nil {
		t.Error("no connection after a refresh:", err)
	}
}

func TestEvents(t *testing.T) {
	w, api := start(t, workspace.Options{})
	box := newInbox()
	var kinds []string
	connect(t, w, api, func(_ *socketmode.Client, e socketmode.Event) bool {
		ev := e.Data.(slackevents.EventsAPIEvent)
		kinds = append(kinds, ev.InnerEvent.Type)
		box.add(e)
		return true
	})
	parent, err := w.Say(amelie, "look at this, @vpnbot diagnose london-pap <script>")
	if err != nil {
		t.Fatal(err)
	}
	box.next(t)
	at := box.next(t)
	if m, ok := at.Data.(slackevents.EventsAPIEvent).InnerEvent.Data.(*slackevents.AppMentionEvent); !ok || m.User != amelie || m.Text != "look at this, <@U000VPNBOT> diagnose london-pap &lt;script&gt;" {
		t.Errorf("mention: %+v", at.Data)
	}
	if _, err := w.ShareFiles("", parent, boris, "here", workspace.File{Name: "a.pcap", Content: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	box.next(t)
	shared := box.next(t).Data.(slackevents.EventsAPIEvent).InnerEvent.Data.(*slackevents.FileSharedEvent)
	if f, _, _, err := api.GetFileInfo(shared.FileID, 0, 0); err != nil || f.Name != "a.pcap" {
		t.Errorf("the shared file: %+v %v", f, err)
	}
	w.OpenHome(amelie)
	box.next(t)
	w.ChangeUser(boris, func(u *workspace.User) { u.Deleted = true })
	box.next(t)
	if want := []string{"message", "app_mention", "message", "file_shared", "app_home_opened", "user_change"}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
	if _, err := w.Say(boris, "I am gone"); !errors.Is(err, workspace.ErrNo) {
		t.Errorf("a deactivated user wrote: %v", err)
	}
}

func TestResponseURL(t *testing.T) {
	clock := time.Now()
	var mu sync.Mutex
	w, api := start(t, workspace.Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return clock }})
	box := newInbox()
	connect(t, w, api, func(_ *socketmode.Client, e socketmode.Event) bool { box.add(e); return true })
	api.PostMessage(w.ChannelID(), slack.MsgOptionText("card", false), slack.MsgOptionBlocks(slack.NewActionBlock("b", slack.NewButtonBlockElement("go", "v", pt("Go")))))
	box.next(t) // its own message event
	m := w.Messages("")[0]
	w.Click(amelie, m.TS, "go")
	cb := box.next(t).Data.(slack.InteractionCallback)
	if cb.Message.Timestamp != m.TS || cb.Channel.ID != w.ChannelID() || cb.Team.ID != w.TeamID() || cb.ActionCallback.BlockActions[0].BlockID != "b" || cb.Container.MessageTs != m.TS {
		t.Errorf("payload: %+v", cb)
	}
	if _, _, err := api.PostMessage(w.ChannelID(), slack.MsgOptionReplaceOriginal(cb.ResponseURL), slack.MsgOptionText("replaced", false)); err != nil {
		t.Fatal(err)
	}
	if m, _ = w.Message(m.TS); m.Text != "replaced" || len(m.Blocks) != 0 {
		t.Errorf("after replace_original: %+v", m)
	}
	for i := 1; i < 5; i++ {
		if _, _, err := api.PostMessage(w.ChannelID(), slack.MsgOptionResponseURL(cb.ResponseURL, slack.ResponseTypeEphemeral), slack.MsgOptionText("only you", false)); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, _, err := api.PostMessage(w.ChannelID(), slack.MsgOptionResponseURL(cb.ResponseURL, slack.ResponseTypeInChannel), slack.MsgOptionText("sixth", false)); err == nil {
		t.Error("a response_url was used six times")
	}
	if n := len(w.Messages("")); n != 5 {
		t.Errorf("%d messages", n)
	}
	w.Slash(amelie, "/vpn x")
	sc := box.next(t)
	for sc.Type != socketmode.EventTypeSlashCommand {
		sc = box.next(t)
	}
	mu.Lock()
	clock = clock.Add(31 * time.Minute)
	mu.Unlock()
	if _, _, err := api.PostMessage(w.ChannelID(), slack.MsgOptionResponseURL(sc.Data.(slack.SlashCommand).ResponseURL, slack.ResponseTypeInChannel), slack.MsgOptionText("late", false)); err == nil {
		t.Error("a response_url was used after 31 minutes")
	}
}

func TestModal(t *testing.T) {
	w, api := start(t, workspace.Options{})
	first := true
	connect(t, w, api, func(sm *socketmode.Client, e socketmode.Event) bool {
		cb, ok := e.Data.(slack.InteractionCallback)
		if !ok {
			return true
		}
		switch cb.Type {
		case slack.InteractionTypeMessageAction:
			v := slack.ModalViewRequest{Type: "modal", Title: pt("Why"), Submit: pt("Send"), NotifyOnClose: true, CallbackID: "why", PrivateMetadata: cb.Message.Timestamp, Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewInputBlock("r", pt("Reason"), nil, slack.NewPlainTextInputBlockElement(nil, "reason"))}}}
			if _, err := api.OpenView(cb.TriggerID, v); err != nil {
				t.Error(err)
			}
			if _, err := api.OpenView(cb.TriggerID, v); err == nil || !strings.Contains(err.Error(), "exchanged_trigger_id") {
				t.Errorf("a trigger was used twice: %v", err)
			}
		case slack.InteractionTypeViewSubmission:
			if first {
				first = false
				sm.AckCtx(t.Context(), e.Request.EnvelopeID, slack.NewErrorsViewSubmissionResponse(map[string]string{"r": "too short"}))
				return false
			}
		}
		return true
	})
	ts, _ := w.Say(amelie, "%ASA-4-402116")
	if err := w.UseShortcut(boris, ts, "explain_message"); err != nil {
		t.Fatal(err)
	}
	open := func() bool { _, ok := w.Modal(boris); return ok }
	if err := w.Wait(within(t), open); err != nil {
		t.Fatal(err)
	}
	if v, _ := w.Modal(boris); v["callback_id"] != "why" || v["private_metadata"] != ts {
		t.Errorf("view %v", v)
	}
	w.SubmitModal(boris, map[string]string{"reason": "no"})
	if err := w.Wait(within(t), func() bool { return w.ModalErrors(boris)["r"] == "too short" }); err != nil {
		t.Fatal(err)
	}
	w.SubmitModal(boris, map[string]string{"reason": "a longer one"})
	if err := w.Wait(within(t), func() bool { return !open() }); err != nil {
		t.Fatal(err)
	}
	es := interactions(w)
	state := es[len(es)-1].Payload["view"].(map[string]any)["state"].(map[string]any)["values"].(map[string]any)
	if got := state["r"].(map[string]any)["reason"].(map[string]any)["value"]; got != "a longer one" {
		t.Errorf("state %v", state)
	}
}

func TestExpiredTrigger(t *testing.T) {
	w, api := start(t, workspace.Options{TriggerTTL: time.Nanosecond})
	box := newInbox()
	connect(t, w, api, func(_ *socketmode.Client, e socketmode.Event) bool { box.add(e); return true })
	w.Slash(amelie, "/vpn x")
	sc := box.next(t).Data.(slack.SlashCommand)
	_, err := api.OpenView(sc.TriggerID, slack.ModalViewRequest{Type: "modal", Title: pt("T"), Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewDividerBlock()}}})
	if err == nil || !strings.Contains(err.Error(), "expired_trigger_id") {
		t.Errorf("got %v", err)
	}
}

// TestHTTPMode checks the signature with the client library's own verifier.
func TestHTTPMode(t *testing.T) {
	w, _ := start(t, workspace.Options{AckTimeout: 2 * time.Second})
	type seen struct{ path, retry, body string }
	got := make(chan seen, 10)
	var failures int
	app := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		v, err := slack.NewSecretsVerifier(r.Header, w.SigningSecret())
		if err != nil {
			t.Error(err)
			return
		}
		body, _ := io.ReadAll(io.TeeReader(r.Body, &v))
		if err := v.Ensure(); err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		if strings.Contains(string(body), "url_verification") {
			rw.Write(body)
			return
		}
		got <- seen{r.URL.Path, r.Header.Get("X-Slack-Retry-Num"), string(body)}
		if r.URL.Path == "/slack/events" && failures == 0 {
			failures++
			rw.WriteHeader(500)
		}
	}))
	defer app.Close()
	w.SetRequestURL(app.URL)
	if err := w.VerifyURL(t.Context()); err != nil {
		t.Error(err)
	}
	w.Slash(amelie, "/vpn status")
	if s := <-got; s.path != "/slack/commands" || !strings.Contains(s.body, "text=status") {
		t.Errorf("%+v", s)
	}
	w.OpenHome(amelie)
	if s := <-got; s.path != "/slack/events" || s.retry != "" {
		t.Errorf("%+v", s)
	}
	if s := <-got; s.path != "/slack/events" || s.retry != "1" {
		t.Errorf("the event was not tried again: %+v", s)
	}
	ts, _ := w.Say(amelie, "%ASA-4-402116")
	<-got
	w.UseShortcut(amelie, ts, "explain_message")
	if s := <-got; s.path != "/slack/interactions" || !strings.HasPrefix(s.body, "payload=%7B") {
		t.Errorf("%+v", s)
	}
	if out := call(t, w, "auth.test", nil); out["ok"] != true {
		t.Error(out)
	}
}
