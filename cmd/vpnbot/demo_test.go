package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestDemo is the whole product as a newcomer uses it: the demo's page in a real browser,
// a diagnosis with captures, a proposal that its requester cannot approve, the approval by
// another person, and the verified repair. Screenshots are kept when it fails, or always
// in the folder that DEMO_SHOTS names.
func TestDemo(t *testing.T) {
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			chromium = p
			break
		}
	}
	if chromium == "" {
		t.Skip("no Chromium found: install the package chromium (test.sh does)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, in := io.Pipe()
	done := make(chan int, 1)
	var log strings.Builder
	go func() {
		code := run(ctx, []string{"demo", "--listen", "127.0.0.1:0", "--dir", t.TempDir()}, streams{in: strings.NewReader(""), out: in, err: &log})
		in.Close()
		done <- code
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the demo printed no address: %v", err)
	}
	address = strings.TrimSpace(address)
	if !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("first line of standard output is %q, want the page's address alone", address)
	}

	p := openPage(t, ctx, chromium, address)
	p.command("/vpn diagnose london-pap")
	p.waitFor("the lost fragments", 90*time.Second, "london-pap", "fragments", "AM_TM_INIT_MODECFG_V6H", "AM_TM_INIT_XAUTH_V6C", "packet")
	p.shot("1-london-pap")
	p.do("open the thread with the ladder diagram", chromedp.WaitVisible(`[data-testid=open-thread]`), chromedp.Click(`[data-testid=open-thread]`), chromedp.WaitVisible(`[data-testid=thread] [data-testid=file-image]`),
		chromedp.Evaluate[chromedp.Void](`document.querySelector('[data-testid=thread] [data-testid=file-image]').scrollIntoView({block: 'center'})`))
	p.shot("1-thread")
	p.do("close the thread", chromedp.Click(`[data-testid=thread-close]`), chromedp.WaitNotVisible(`[data-testid=thread]`))

	p.command("/vpn diagnose london-lima")
	p.waitFor("the proposal", 60*time.Second, "stale SA", "clear crypto isakmp sa 203.0.113.26")
	p.do("scroll to the proposal", chromedp.WaitVisible(`[data-action-id="approval.approve"]`))
	p.shot("2-proposal")

	p.approve()
	p.do("the requester is refused", chromedp.WaitVisible(`[data-testid=message][data-ephemeral]`))
	p.shot("3-own-approval-refused")

	p.do("become Boris", chromedp.Evaluate[chromedp.Void](`{const s=document.querySelector('[data-testid=user-switch]'); s.value="U000BORIS"; s.dispatchEvent(new Event('change'))}`),
		chromedp.WaitReady(`body[data-user=U000BORIS]`), chromedp.WaitVisible(`[data-action-id="approval.approve"]`))
	p.do("the modal for a reason", chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('[data-action-id="approval.reject"]')].pop().click()`), chromedp.WaitVisible(`[data-testid=modal] textarea`))
	p.shot("3-reason")
	p.do("close it", chromedp.Click(`[data-testid=modal-close]`), chromedp.WaitNotVisible(`[data-testid=modal]`))
	p.do("App Home", chromedp.Click(`[data-testid=app-home]`), chromedp.WaitVisible(`[data-testid=home] .block`))
	p.shot("3-home")
	p.do("back to the channel", chromedp.Click(`[data-testid=channel]`), chromedp.WaitVisible(`[data-action-id="approval.approve"]`))
	p.approve()
	p.waitFor("the repair that is watched", 60*time.Second, "is up again", "watched for 1m0s")
	p.waitFor("the verified repair", 120*time.Second, "repaired", "verified up", "Verification")
	p.shot("4-verified")
	p.command("/vpn history")
	p.do("the modal that asks which tunnel", chromedp.WaitVisible(`[data-testid=modal] select`))
	p.shot("5-which-tunnel")
	p.do("choose one", chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-testid=modal] select").value="london-lima"; undefined`), chromedp.Click(`[data-testid=modal-submit]`), chromedp.WaitNotVisible(`[data-testid=modal]`))
	p.waitFor("the history", 30*time.Second, "london-lima – history", "repair succeeded, helped")
	p.shot("5-history")

	cancel()
	select {
	case code := <-done:
		if code != statusDone {
			t.Errorf("the demo ended with status %d\n%s", code, log.String())
		}
	case <-time.After(30 * time.Second):
		t.Error("the demo does not stop")
	}
}

// demoPage is the workspace's page in a browser.
type demoPage struct {
	t   *testing.T
	ctx context.Context
	dir string
}

func openPage(t *testing.T, ctx context.Context, chromium, address string) *demoPage {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.WindowSize(1280, 900), chromedp.Flag("disable-dev-shm-usage", true))
	actx, cancelAlloc := chromedp.NewExecAllocator(ctx, opts...)
	bctx, cancelTab := chromedp.NewContext(actx)
	t.Cleanup(func() { cancelTab(); cancelAlloc() })
	p := &demoPage{t: t, ctx: bctx, dir: os.Getenv("DEMO_SHOTS")}
	if p.dir == "" {
		p.dir = filepath.Join(os.TempDir(), fmt.Sprintf("vpnbot-demo-%d", os.Getpid()))
		t.Cleanup(func() {
			if !t.Failed() {
				os.RemoveAll(p.dir)
			}
		})
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// The browser lives as long as the context of its first action.
	if err := chromedp.Do(bctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address), chromedp.WaitVisible(`[data-testid=composer]`)); err != nil {
		t.Fatalf("open the page: %v", err)
	}
	return p
}

func (p *demoPage) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 60*time.Second)
	defer cancel()
	err := chromedp.Do(ctx, actions...)
	for err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "Could not find node") {
		err = chromedp.Do(ctx, actions...) // the page was drawn anew between the look and the click
	}
	if err != nil {
		p.fail("%s: %v", what, err)
	}
}

// fail keeps what the page shows.
func (p *demoPage) fail(format string, args ...any) {
	p.t.Helper()
	p.shot("failed")
	text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.querySelector('[data-testid=messages]').innerText`))
	p.t.Fatalf("%s\nscreenshots are in %s; the page shows:\n%s", fmt.Sprintf(format, args...), p.dir, text)
}

func (p *demoPage) shot(name string) {
	b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, name+".png"), b, 0o600)
	}
	if err != nil {
		p.t.Logf("no screenshot %s: %v", name, err)
	}
}

func (p *demoPage) command(line string) {
	p.t.Helper()
	p.do(line, chromedp.Click(`[data-testid=composer]`), chromedp.SendKeys(`[data-testid=composer]`, line+"\n"))
}

// approve presses the newest proposal's button and says yes to its confirmation.
func (p *demoPage) approve() {
	p.t.Helper()
	p.do("press Approve", chromedp.Evaluate[chromedp.Void](`{const b=[...document.querySelectorAll('[data-action-id="approval.approve"]')].pop(); b.scrollIntoView(); b.click()}`),
		chromedp.WaitVisible(`[data-testid=confirm-yes]`), chromedp.Click(`[data-testid=confirm-yes]`))
}

// waitFor waits until one message of the channel holds all texts.
func (p *demoPage) waitFor(what string, limit time.Duration, texts ...string) {
	p.t.Helper()
	quoted := make([]string, len(texts))
	for i, s := range texts {
		quoted[i] = fmt.Sprintf("%q", strings.ToLower(s))
	}
	js := fmt.Sprintf(`[...document.querySelectorAll('[data-testid=messages] [data-testid=message]')].some(m => [%s].every(s => m.innerText.toLowerCase().includes(s)))`, strings.Join(quoted, ","))
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](js, chromedp.WithPollingTimeout(limit))); err != nil {
		p.fail("waiting for %s: no message with %q: %v", what, texts, err)
	}
}
