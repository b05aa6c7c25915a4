package workspace

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// SetRequestURL switches to HTTP mode (base of the app's addresses) or, when empty, back to Socket Mode.
func (w *Workspace) SetRequestURL(base string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opt.RequestURL = strings.TrimRight(base, "/")
}

// Sign makes the two headers that Slack signs a request with (version v0: HMAC-SHA256 over "v0:time:body").
// Source: docs.slack.dev, Verifying requests from Slack.
func (w *Workspace) Sign(body []byte, at time.Time) (timestamp, signature string) {
	timestamp = strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(w.secret))
	fmt.Fprintf(mac, "v0:%s:%s", timestamp, body)
	return timestamp, "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// request of the HTTP mode: path under the base, content type, body.
func httpForm(e *envelope) (path, kind string, body []byte) {
	switch e.kind {
	case "slash_commands":
		v := url.Values{}
		for k, x := range e.payload {
			v.Set(k, fmt.Sprint(x))
		}
		return "/slack/commands", "application/x-www-form-urlencoded", []byte(v.Encode())
	case "interactive":
		b, _ := json.Marshal(e.payload)
		return "/slack/interactions", "application/x-www-form-urlencoded", []byte(url.Values{"payload": {string(b)}}.Encode())
	}
	b, _ := json.Marshal(e.payload)
	return "/slack/events", "application/json", b
}

// VerifyURL does what Slack does when an events address is entered: a challenge that the app must return.
func (w *Workspace) VerifyURL(ctx context.Context) error {
	challenge := w.random(16)
	body, _ := json.Marshal(map[string]string{"type": "url_verification", "token": "verification", "challenge": challenge})
	w.mu.Lock()
	base := w.opt.RequestURL
	w.mu.Unlock()
	status, answer, err := w.sendSigned(ctx, base+"/slack/events", "application/json", body, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK || !strings.Contains(string(answer), challenge) {
		return fmt.Errorf("verify %s/slack/events: answered %d without the challenge", base, status)
	}
	return nil
}

func (w *Workspace) sendSigned(ctx context.Context, address, kind string, body []byte, extra http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("request to the app: %w", err)
	}
	for k, v := range extra {
		req.Header[k] = v
	}
	ts, sig := w.Sign(body, w.opt.Now())
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	req.Header.Set("X-Slack-Request-Timestamp", ts)
	req.Header.Set("X-Slack-Signature", sig)
	// A connection for each request: Slack's come from many machines.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("request to the app: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, b, err
}

// deliverHTTP sends an envelope as a signed request. The lock is held; the request runs beside.
func (w *Workspace) deliverHTTP(e *envelope) {
	e.attempts++
	path, kind, body := httpForm(e)
	address := w.opt.RequestURL + path
	extra := http.Header{}
	if e.attempts > 1 {
		extra.Set("X-Slack-Retry-Num", strconv.Itoa(e.attempts-1))
		extra.Set("X-Slack-Retry-Reason", "http_timeout")
	}
	times := 1
	if w.duplicate > 0 {
		w.duplicate--
		times = 2
	}
	for i := range times {
		w.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), w.opt.AckTimeout)
			defer cancel()
			go func() {
				select {
				case <-w.done:
					cancel()
				case <-ctx.Done():
				}
			}()
			status, answer, err := w.sendSigned(ctx, address, kind, body, extra)
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.closed || !e.waiting() || i > 0 {
				return
			}
			switch {
			case err == nil && status == http.StatusOK:
				var payload json.RawMessage
				if s := bytes.TrimSpace(answer); len(s) > 0 && json.Valid(s) {
					payload = s
				} else if len(s) > 0 && e.kind == "slash_commands" {
					payload, _ = json.Marshal(map[string]string{"text": string(s)})
				}
				w.acknowledged(e, payload, len(answer))
			case e.event && e.attempts < 4:
				pause := []time.Duration{0, w.opt.AckTimeout / 3, 20 * w.opt.AckTimeout, 100 * w.opt.AckTimeout}[e.attempts]
				e.timer = time.AfterFunc(pause, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					if e.waiting() && !w.closed {
						w.deliverHTTP(e)
					}
				})
			case ctx.Err() != nil:
				w.lose(e, "timeout")
			default:
				w.lose(e, "failed")
			}
		})
	}
}
