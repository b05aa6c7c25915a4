package workspace_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"vpnbot/bot/workspace"
)

// browser opens the page in headless Chromium. Screenshots go to the folder in WORKSPACE_SHOTS when it is set,
// else to a temporary one that is kept when the test fails.
func browser(t *testing.T, address string) (ctx context.Context, shot func(name string)) {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium found: install the package chromium to run the test of the page")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 800), chromedp.Flag("disable-dev-shm-usage", true))
	actx, cancelAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	bctx, cancel := chromedp.NewContext(actx)
	bctx, cancelTime := context.WithTimeout(bctx, 90*time.Second)
	t.Cleanup(func() { cancelTime(); cancel(); cancelAlloc() })
	dir := os.Getenv("WORKSPACE_SHOTS")
	keep := dir != ""
	if !keep {
		dir, _ = os.MkdirTemp("", "workspace-page-")
	}
	shot = func(name string) {
		if b, err := chromedp.Run(bctx, chromedp.CaptureScreenshot()); err == nil {
			os.WriteFile(filepath.Join(dir, name+".png"), b, 0o600)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			shot("failed")
			t.Logf("screenshots are in %s", dir)
		} else if !keep {
			os.RemoveAll(dir)
		}
	})
	if err := chromedp.Do(bctx, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(address), chromedp.WaitVisible(`[data-testid=composer]`)); err != nil {
		t.Fatal(err)
	}
	return bctx, shot
}

func do(t *testing.T, ctx context.Context, what string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func eval[T any](t *testing.T, ctx context.Context, js string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return v
}

// switchUser chooses another person on the page.
func switchUser(id string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{const s=document.querySelector('[data-testid=user-switch]'); s.value=%q; s.dispatchEvent(new Event('change'))}`, id)),
		chromedp.WaitReady(fmt.Sprintf(`body[data-user=%s]`, id)),
	)
}

func ladder() []byte {
	m := image.NewRGBA(image.Rect(0, 0, 480, 150))
	for x := range 480 {
		for y := range 150 {
			c := color.RGBA{250, 251, 252, 255}
			if x == 80 || x == 400 || (y%30 == 0 && x > 80 && x < 400) {
				c = color.RGBA{15, 118, 110, 255}
			}
			m.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	png.Encode(&b, m)
	return b.Bytes()
}

func md(s string) *slack.TextBlockObject { return slack.NewTextBlockObject("mrkdwn", s, false, false) }
func pt(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject("plain_text", s, true, false)
}

// card is a message with everything that the product shows.
func card(state string) []slack.Block {
	table := slack.NewTableBlock("tbl")
	table.AddRow(slack.NewTableRawTextCell("Tunnel"), slack.NewTableRawTextCell("State"), slack.NewTableRawTextCell("Packets"))
	table.AddRow(slack.NewTableRawTextCell("london-pap"), slack.NewTableRawTextCell("stuck"), slack.NewTableRawTextCell("0"))
	table.AddRow(slack.NewTableRawTextCell("london-lima"), slack.NewTableRawTextCell("up"), slack.NewTableRawTextCell("18 204"))
	table.WithColumnSettings(slack.ColumnSetting{Align: slack.ColumnAlignmentLeft}, slack.ColumnSetting{Align: slack.ColumnAlignmentLeft}, slack.ColumnSetting{Align: slack.ColumnAlignmentRight})
	approve := slack.NewButtonBlockElement("approval.approve", "prop-1", pt("Approve and run")).WithStyle("primary").WithConfirm(
		slack.NewConfirmationBlockObject(pt("Clear the SA of 192.0.2.7?"), md("On *hq-asa*: `clear crypto isakmp sa 192.0.2.7`\nThe tunnel drops for about 10 s."), pt("Clear it"), pt("Not now")))
	reject := slack.NewButtonBlockElement("approval.reject", "prop-1", pt("Reject")).WithStyle("danger")
	return []slack.Block{
		slack.NewHeaderBlock(pt(":red_circle: london-lima: stale SA")),
		slack.NewSectionBlock(md("The headend keeps an SA that the spoke has lost :warning: (*confidence 0.93*).\n• hq-asa encrypts, 0 packets come back\n• lima-rtr has _no_ SA for this peer\n> `%CRYPTO-4-RECVD_PKT_INV_SPI: decaps: rec'd IPSEC packet has invalid spi`"), nil, nil),
		slack.NewSectionBlock(nil, []*slack.TextBlockObject{md("*Device*\nhq-asa"), md("*Asked by*\n<@U000AMELIE>"), md("*May approve*\n<!subteam^S000NETOPS>"), md("*State*\n" + state)}, nil),
		slack.NewSectionBlock(md("```clear crypto isakmp sa 192.0.2.7\nclear crypto ipsec sa peer 192.0.2.7```"), nil, nil),
		table,
		slack.NewDividerBlock(),
		slack.NewActionBlock("decide", approve, reject),
		slack.NewContextBlock("ctx", md("Expires <!date^1900000000^{time}|later> · <https://example.net/report?a=1&amp;b=2|full report>")),
	}
}

// TestPage drives the page as people do: a command, a refused and an accepted confirmation, another user, a
// modal, a thread, files, hostile text.
func TestPage(t *testing.T) {
	w, api := start(t, workspace.Options{})
	connect(t, w, api, func(_ *socketmode.Client, e socketmode.Event) bool {
		switch d := e.Data.(type) {
		case slack.SlashCommand:
			go func() {
				_, ts, err := api.PostMessage(d.ChannelID, slack.MsgOptionText("london-lima: stale SA", false), slack.MsgOptionBlocks(card("waiting for approval")...))
				if err != nil {
					t.Error(err)
				}
				api.PostMessage(d.ChannelID, slack.MsgOptionTS(ts), slack.MsgOptionText("Evidence: `show crypto isakmp sa` on both ends", false))
				_, err = api.UploadFile(slack.UploadFileParameters{Reader: bytes.NewReader(ladder()), FileSize: len(ladder()), Filename: "ladder.png", Title: "Ladder diagram", AltTxt: "Four messages sent by hq-asa, none answered", Channel: d.ChannelID, ThreadTimestamp: ts, InitialComment: "The negotiation as it was seen at *hq-asa*:"})
				if err != nil {
					t.Error(err)
				}
				_, err = api.UploadFile(slack.UploadFileParameters{Content: "pcap", FileSize: 4, Filename: "hq-asa.pcap", Channel: d.ChannelID, ThreadTimestamp: ts})
				if err != nil {
					t.Error(err)
				}
				api.PostEphemeral(d.ChannelID, d.UserID, slack.MsgOptionText("You asked for it; somebody else has to approve it.", false))
			}()
		case slack.InteractionCallback:
			go func() {
				switch {
				case d.Type == slack.InteractionTypeViewSubmission:
					v := d.View.State.Values["why"]["reason"].Value
					api.PostMessage(w.ChannelID(), slack.MsgOptionText("rejected because "+v, false))
				case d.ActionCallback.BlockActions[0].ActionID == "approval.reject":
					in := slack.NewPlainTextInputBlockElement(pt("Why not?"), "reason")
					in.Multiline = true
					pick := slack.NewOptionsSelectBlockElement("static_select", pt("Tunnel"), "tunnel", slack.NewOptionBlockObject("lima", pt("london-lima"), nil), slack.NewOptionBlockObject("pap", pt("london-pap"), nil))
					_, err := api.OpenView(d.TriggerID, slack.ModalViewRequest{Type: "modal", Title: pt("Reject"), Submit: pt("Reject it"), Close: pt("Back"), CallbackID: "approval.reject_reason", Blocks: slack.Blocks{BlockSet: []slack.Block{
						slack.NewInputBlock("why", pt("Reason"), pt("The requester will read it."), in), slack.NewInputBlock("which", pt("Tunnel"), nil, pick),
					}}})
					if err != nil {
						t.Error(err)
					}
				default:
					api.UpdateMessage(d.Channel.ID, d.Message.Timestamp, slack.MsgOptionText("approved", false), slack.MsgOptionBlocks(append(card("approved by <@" + d.User.ID + ">")[:5:5], slack.NewSectionBlock(md(":white_check_mark: *Helped*: 214 packets both ways since"), nil, nil))...))
				}
			}()
		}
		return true
	})
	ctx, shot := browser(t, w.PageURL())

	do(t, ctx, "hints", chromedp.SendKeys(`[data-testid=composer]`, "/vpn d"), chromedp.WaitVisible(`[data-testid=hint]`))
	shot("1-hints")
	do(t, ctx, "type a command", chromedp.Evaluate[chromedp.Void](`{const c=document.querySelector("[data-testid=composer]"); c.value=""; c.dispatchEvent(new Event("input"))}`), chromedp.SendKeys(`[data-testid=composer]`, "/vpn diagnose london-lima\n"),
		chromedp.WaitVisible(`[data-testid=message] [data-action-id="approval.approve"]`), chromedp.WaitVisible(`[data-testid=message][data-ephemeral]`))
	m, err := w.WaitFor(within(t), func(m workspace.Message) bool { return len(m.Replies) == 3 })
	if err != nil {
		t.Fatal(err)
	}
	do(t, ctx, "open the thread", chromedp.WaitVisible(`[data-testid=message][data-replies="3"]`), chromedp.Click(`[data-testid=open-thread]`), chromedp.WaitVisible(`[data-testid=thread] [data-testid=file-image]`),
		chromedp.SendKeys(`[data-testid=thread-composer]`, "looking, @boris please approve\n"), chromedp.WaitVisible(`[data-testid=thread-messages] [data-user="U000AMELIE"] .mention`))
	shot("2-card-and-thread")

	approve := `[data-testid=messages] [data-action-id="approval.approve"]`
	do(t, ctx, "refuse the confirmation", switchUser(boris), chromedp.WaitVisible(approve), chromedp.Click(approve), chromedp.WaitVisible(`[data-testid=confirm-yes]`))
	shot("3-confirm")
	do(t, ctx, "refuse the confirmation", chromedp.Click(`[data-testid=confirm-no]`), chromedp.WaitNotVisible(`[data-testid=confirm-dialog]`))
	if n := len(interactions(w)); n != 0 {
		t.Errorf("%d interactions arrived though the confirmation was refused", n)
	}
	if eval[bool](t, ctx, `!!document.querySelector('[data-ephemeral]')`) {
		t.Error("Boris sees an ephemeral message that is for Amélie")
	}
	do(t, ctx, "open the modal", chromedp.Click(`[data-testid=messages] [data-action-id="approval.reject"]`), chromedp.WaitVisible(`[data-testid=modal] textarea[data-action-id=reason]`),
		chromedp.Click(`[data-testid=modal-submit]`), chromedp.WaitVisible(`[data-testid=input-error]`))
	shot("4-modal")
	do(t, ctx, "submit the modal", chromedp.SendKeys(`[data-testid=modal] textarea`, "maintenance until 23:00"), chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-testid=modal] select").value="lima"; undefined`), chromedp.Click(`[data-testid=modal-submit]`), chromedp.WaitNotVisible(`[data-testid=modal]`))
	if _, err := w.WaitFor(within(t), func(m workspace.Message) bool { return m.Text == "rejected because maintenance until 23:00" }); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, "approve", chromedp.WaitEnabled(approve), chromedp.Click(approve), chromedp.WaitVisible(`[data-testid=confirm-yes]`), chromedp.Click(`[data-testid=confirm-yes]`),
		chromedp.WaitVisible(`[data-testid=message][data-edited]`), chromedp.WaitNotPresent(approve))
	shot("5-approved")

	// Device text, as hostile as it gets, stays text.
	hostile := "</code><img src=x onerror=alert(1)> <script>document.title='owned'</script> <javascript:alert(1)|click> <!channel> \u202egnp.exe"
	_, _, err = api.PostMessage(w.ChannelID(), slack.MsgOptionText("hostile", false), slack.MsgOptionBlocks(slack.NewSectionBlock(md("`"+hostile+"`\n```"+hostile+"```\n"+hostile), nil, nil), slack.NewHeaderBlock(pt("<b>bold?</b> & &amp;"))))
	if err != nil {
		t.Fatal(err)
	}
	do(t, ctx, "hostile text", chromedp.WaitVisible(`[data-testid=messages] li:last-child .block.header h3`))
	bad := eval[[]string](t, ctx, `[...document.querySelectorAll('#messages script, #messages img:not([data-testid]), #messages [onerror], a[href^="javascript" i]')].map(n => n.outerHTML)`)
	if got := eval[string](t, ctx, `document.querySelector('[data-testid=messages] li:last-child .block.header h3').textContent`); got != "<b>bold?</b> & &" {
		t.Errorf("the header shows %q", got)
	}
	if len(bad) > 0 {
		t.Errorf("text became markup: %v", bad)
	}
	if strings.Contains(eval[string](t, ctx, `document.title`), "owned") {
		t.Error("a script in a message ran")
	}

	pcap := filepath.Join(t.TempDir(), "mine.pcap")
	if err := os.WriteFile(pcap, []byte("capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, "share a file in the thread", chromedp.SetUploadFiles(`[data-testid=thread-attach]`, []string{pcap}), chromedp.WaitVisible(`[data-testid=thread] [data-file-name="mine.pcap"]`))
	if r, err := w.WaitFor(within(t), func(m workspace.Message) bool { return m.User == boris && len(m.Files) == 1 }); err != nil || r.ThreadTS != m.TS || string(r.Files[0].Content) != "capture" {
		t.Errorf("the file that Boris shared: %+v %v", r, err)
	}
	do(t, ctx, "no commands in threads", chromedp.SendKeys(`[data-testid=thread-composer]`, "/vpn status\n"), chromedp.WaitVisible(`[data-testid=toast]`))

	do(t, ctx, "App Home", chromedp.Click(`[data-testid=app-home]`), chromedp.WaitVisible(`[data-testid=home]`))
	if _, err := api.PublishView(boris, slack.HomeTabViewRequest{Type: "home", Blocks: slack.Blocks{BlockSet: []slack.Block{slack.NewHeaderBlock(pt("1 tunnel needs attention")), slack.NewSectionBlock(md(":red_circle: *london-pap* stuck since 12 min"), nil, slack.NewAccessory(slack.NewButtonBlockElement("home.diagnose", "london-pap", pt("Diagnose london-pap")))), slack.NewDividerBlock(), slack.NewContextBlock("", md("Last sweep: 2 of 24 tunnels down"))}}}, ""); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, "App Home published", chromedp.WaitVisible(`[data-testid=home] [data-action-id="home.diagnose"]`))
	shot("6-home")
	do(t, ctx, "press a button of the App Home", chromedp.Click(`[data-testid=home] [data-action-id="home.diagnose"]`))
	if err := w.Wait(within(t), func() bool {
		es := interactions(w)
		return es[len(es)-1].Payload["container"].(map[string]any)["type"] == "view"
	}); err != nil {
		t.Error(err)
	}
}

func interactions(w *workspace.Workspace) []workspace.Envelope {
	var out []workspace.Envelope
	for _, e := range w.Envelopes() {
		if e.Kind == "interactive" {
			out = append(out, e)
		}
	}
	return out
}
