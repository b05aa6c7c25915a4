// Package slack is the bot's connection to Slack. Inbound, over Socket Mode or signed
// HTTP requests, become Events that a handler writes down before they are acknowledged
// (socket.go, http.go, payload). Outbound, a Sender empties the store's queue of messages
// (sender.go). People are looked up here too (people.go). Everything of slack-go stays
// behind this package.
package slack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"vpnbot/bot/message"
	"vpnbot/bot/slack/payload"
)

// Options of a connection.
type Options struct {
	APIURL   string // ends in /
	AppToken string
	BotToken string
	Logger   *slog.Logger
	Now      func() time.Time
}

// API is Slack's Web API as far as the bot uses it.
type API struct {
	c     *slack.Client
	files *slack.Client // the same with time for large bodies
	http  *http.Client
	slow  *http.Client // for large bodies
	base  *url.URL
	token string
	log   *slog.Logger
	now   func() time.Time
}

// callTimeout bounds one call, fileTimeout one with a file's bytes; an answer later than
// this is a call of unknown fate.
const (
	callTimeout = 15 * time.Second
	fileTimeout = 3 * time.Minute
)

// NewAPI makes the client; nothing is sent yet.
func NewAPI(o Options) (*API, error) {
	base, err := url.Parse(o.APIURL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("slack.api_url: %q is not an address", o.APIURL)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	hc, slow := &http.Client{Timeout: callTimeout, CheckRedirect: stay}, &http.Client{Timeout: fileTimeout, CheckRedirect: stay}
	client := func(h *http.Client) *slack.Client {
		return slack.New(o.BotToken, slack.OptionAPIURL(o.APIURL), slack.OptionAppLevelToken(o.AppToken), slack.OptionHTTPClient(h))
	}
	return &API{c: client(hc), files: client(slow), http: hc, slow: slow, base: base, token: o.BotToken, log: o.Logger, now: o.Now}, nil
}

// call posts one call of the Web API by ourselves: form values, or JSON when body is not
// nil. The library's types would have to know every field of every message that strangers
// post, and of our views. out is filled from the answer's JSON.
func (a *API) call(ctx context.Context, method string, form url.Values, body, out any) error {
	kind, data := "application/x-www-form-urlencoded", []byte(form.Encode())
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
		kind = "application/json; charset=utf-8"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base.JoinPath(method).String(), bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusTooManyRequests {
		after, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After")))
		if err != nil || after < 1 {
			after = 5
		}
		return &slack.RateLimitedError{RetryAfter: time.Duration(after) * time.Second}
	}
	if resp.StatusCode != http.StatusOK {
		return slack.StatusCodeError{Code: resp.StatusCode, Status: resp.Status}
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	var r struct {
		OK     bool   `json:"ok"`
		Error  string `json:"error"`
		Needed string `json:"needed"`
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return fmt.Errorf("answer not understood: %w", err)
	}
	if !r.OK {
		return slack.SlackErrorResponse{Err: cmp.Or(r.Error, "unknown_error"), Needed: r.Needed}
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("answer not understood: %w", err)
		}
	}
	return nil
}

// ask is call for what only reads: repeated a few times while Slack is slow or busy.
func (a *API) ask(ctx context.Context, method string, form url.Values, out any) error {
	for try := 0; ; try++ {
		err := a.call(ctx, method, form, nil, out)
		fate, after := Judge(err)
		if err == nil || fate == Refused || try == 2 || after > 10*time.Second || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(after, 300*time.Millisecond)):
		}
	}
}

// Identity is who the bot is, as auth.test says.
type Identity struct {
	UserID, BotID, TeamID, EnterpriseID, Team string
}

// Identify asks Slack who the bot token belongs to.
func (a *API) Identify(ctx context.Context) (Identity, error) {
	r, err := a.c.AuthTestContext(ctx)
	if err != nil {
		return Identity{}, Explain("auth.test", err)
	}
	return Identity{r.UserID, r.BotID, r.TeamID, r.EnterpriseID, r.Team}, nil
}

// Fate is what is known about a call that failed.
type Fate int

// Fates.
const (
	Refused Fate = iota // Slack said no and will say no again
	Wait                // Slack did not do it; again after a while
	Lost                // nobody knows whether Slack did it
)

// Judge says what a failed call means; after is how long Slack asked to wait.
func Judge(err error) (f Fate, after time.Duration) {
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	var said slack.SlackErrorResponse
	var op *net.OpError
	switch {
	case errors.As(err, &limited):
		return Wait, max(limited.RetryAfter, time.Second)
	case errors.As(err, &said):
		switch said.Err {
		case "ratelimited", "rate_limited", "message_limit_exceeded":
			return Wait, 5 * time.Second
		case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "unknown_error":
			return Lost, 0
		case "team_added_to_org", "org_login_required", "not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired",
			"missing_scope", "no_permission", "not_allowed_token_type", "access_denied", "two_factor_setup_required", "ekm_access_denied", "accesslimited":
			return Wait, time.Minute // an operator mends that; the queue waits
		}
		return Refused, 0
	case errors.As(err, &status):
		switch {
		case status.Code >= 500 || status.Code == http.StatusRequestTimeout:
			return Lost, 0
		case status.Code == http.StatusRequestEntityTooLarge:
			return Refused, 0
		case status.Code == http.StatusTooManyRequests:
			return Wait, 5 * time.Second
		}
		return Wait, 30 * time.Second // not Slack's word but of something in between
	case errors.As(err, &op) && op.Op == "dial":
		return Wait, 0
	}
	return Lost, 0
}

// Code is Slack's error code, "" when Slack did not answer with one.
func Code(err error) string {
	var said slack.SlackErrorResponse
	if errors.As(err, &said) {
		return said.Err
	}
	return ""
}

// Explain adds to Slack's error code what an operator can do about it.
func Explain(method string, err error) error {
	if err == nil {
		return nil
	}
	hint := ""
	var said slack.SlackErrorResponse
	if errors.As(err, &said) {
		switch said.Err {
		case "missing_scope":
			hint = "add the scope " + said.Needed + " to the app and install it again"
		case "not_in_channel", "channel_not_found":
			hint = "invite the app to the channel with /invite"
		case "invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive":
			hint = "the token is wrong or was revoked: copy it again from the app's page"
		case "not_allowed_token_type":
			hint = "app token (xapp-…) and bot token (xoxb-…) may be mixed up"
		}
	}
	if hint != "" {
		return fmt.Errorf("slack %s: %w (%s)", method, err, hint)
	}
	return fmt.Errorf("slack %s: %w", method, err)
}

type rawBlock struct{ message.Block }

func (b rawBlock) BlockType() slack.MessageBlockType {
	t, _ := b.Block["type"].(string)
	return slack.MessageBlockType(t)
}

func (b rawBlock) ID() string {
	id, _ := b.Block["block_id"].(string)
	return id
}

func (b rawBlock) MarshalJSON() ([]byte, error) { return json.Marshal(b.Block) }

func content(m message.Message) []slack.MsgOption {
	blocks := make([]slack.Block, len(m.Blocks))
	for i, b := range m.Blocks {
		blocks[i] = rawBlock{b}
	}
	return []slack.MsgOption{slack.MsgOptionText(m.Text, false), slack.MsgOptionBlocks(blocks...)}
}

const metadataType = "vpnbot_message"

func tag(key string) slack.MsgOption {
	return slack.MsgOptionMetadata(slack.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{"key": key}})
}

// Post posts a message; key finds it again.
func (a *API) Post(ctx context.Context, channel, thread, key string, m message.Message) (ts string, err error) {
	opts := append(content(m), tag(key), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl())
	if thread != "" {
		opts = append(opts, slack.MsgOptionTS(thread))
		if m.Broadcast {
			opts = append(opts, slack.MsgOptionBroadcast())
		}
	}
	_, ts, err = a.c.PostMessageContext(ctx, channel, opts...)
	return ts, err
}

// Update edits a posted message.
func (a *API) Update(ctx context.Context, channel, ts, key string, m message.Message) error {
	_, _, _, err := a.c.UpdateMessageContext(ctx, channel, ts, append(content(m), tag(key))...)
	return err
}

// Whisper shows a message to one person only.
func (a *API) Whisper(ctx context.Context, channel, thread, user string, m message.Message) error {
	opts := content(m)
	if thread != "" {
		opts = append(opts, slack.MsgOptionTS(thread))
	}
	_, err := a.c.PostEphemeralContext(ctx, channel, user, opts...)
	return err
}

// Slack's hosts for files and for response_urls.
const (
	fileHost = "files.slack.com"
	hookHost = "hooks.slack.com"
)

// HookAllowed tells whether a response_url belongs to Slack, or to the host that stands for it.
func (a *API) HookAllowed(hook string) bool { return a.trusted(hook, hookHost) }

// trusted tells whether an address lies at one of Slack's hosts or at the host of
// api_url; on this machine that host's other ports too.
func (a *API) trusted(address, host string) bool {
	u, err := url.Parse(address)
	if err != nil || u.User != nil {
		return false
	}
	if u.Scheme == "https" && u.Host == host {
		return true
	}
	if ip := net.ParseIP(u.Hostname()); (ip != nil && ip.IsLoopback() || u.Hostname() == "localhost") && u.Hostname() == a.base.Hostname() {
		return u.Scheme == "http" || u.Scheme == "https"
	}
	return u.Scheme == a.base.Scheme && u.Host == a.base.Host
}

// Respond answers by a response_url, to the person who asked only.
func (a *API) Respond(ctx context.Context, hook string, m message.Message) error {
	if !a.HookAllowed(hook) {
		return errors.New("the response_url is not Slack's")
	}
	body, err := json.Marshal(map[string]any{"response_type": "ephemeral", "replace_original": false, "text": m.Text, "blocks": m.Blocks})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK {
		return slack.StatusCodeError{Code: resp.StatusCode, Status: resp.Status}
	}
	return nil
}

// posted is a message of the history, as far as it is looked at.
type posted struct {
	TS       string `json:"ts"`
	Metadata struct {
		EventType    string         `json:"event_type"`
		EventPayload map[string]any `json:"event_payload"`
	} `json:"metadata"`
	Files []struct {
		ID string `json:"id"`
	} `json:"files"`
}

// scan looks through a channel's or a thread's messages that are not older than since for
// one that match accepts; "" when there is none.
func (a *API) scan(ctx context.Context, channel, thread string, since time.Time, match func(posted) bool) (ts string, err error) {
	method := "conversations.history"
	form := url.Values{"channel": {channel}, "oldest": {fmt.Sprintf("%d.000000", since.Unix())}, "limit": {"100"}, "include_all_metadata": {"true"}}
	if thread != "" {
		method = "conversations.replies"
		form.Set("ts", thread)
	}
	for range 50 {
		var r struct {
			Messages []posted `json:"messages"`
			Meta     struct {
				Cursor string `json:"next_cursor"`
			} `json:"response_metadata"`
		}
		if err := a.ask(ctx, method, form, &r); err != nil {
			if Code(err) == "thread_not_found" {
				return "", nil
			}
			return "", err
		}
		for _, m := range r.Messages {
			if match(m) {
				return m.TS, nil
			}
		}
		if r.Meta.Cursor == "" {
			return "", nil
		}
		form.Set("cursor", r.Meta.Cursor)
	}
	return "", errors.New("the channel has too many messages since then to look through")
}

// Find looks for a post of ours by its key, among those not older than since; "" when
// Slack does not have it.
func (a *API) Find(ctx context.Context, channel, thread, key string, since time.Time) (ts string, err error) {
	return a.scan(ctx, channel, thread, since, func(m posted) bool {
		return m.Metadata.EventType == metadataType && m.Metadata.EventPayload["key"] == key
	})
}

// Upload hands a file's bytes to Slack without sharing it; Share makes it visible.
func (a *API) Upload(ctx context.Context, name, alt string, data []byte) (file string, err error) {
	if len(data) == 0 {
		data = []byte("\n") // Slack takes no empty file
	}
	u, err := a.files.GetUploadURLExternalContext(ctx, slack.GetUploadURLExternalParameters{FileName: name, FileSize: len(data), AltTxt: alt})
	if err != nil {
		return "", err
	}
	if err := a.files.UploadToURL(ctx, slack.UploadToURLParameters{UploadURL: u.UploadURL, Filename: name, Reader: bytes.NewReader(data)}); err != nil {
		return "", err
	}
	return u.FileID, nil
}

// Share posts an uploaded file.
func (a *API) Share(ctx context.Context, file, title, channel, thread string) error {
	_, err := a.c.CompleteUploadExternalContext(ctx, slack.CompleteUploadExternalParameters{Files: []slack.FileSummary{{ID: file, Title: title}}, Channel: channel, ThreadTimestamp: thread})
	return err
}

// Shared tells whether a file stands in the channel: by what Slack says of the file, which
// may lag behind, and by the messages themselves.
func (a *API) Shared(ctx context.Context, file, channel, thread string, since time.Time) (bool, error) {
	var r struct {
		File struct {
			Channels []string `json:"channels"`
			Groups   []string `json:"groups"`
			IMs      []string `json:"ims"`
			Shares   struct {
				Public  map[string]any `json:"public"`
				Private map[string]any `json:"private"`
			} `json:"shares"`
		} `json:"file"`
	}
	switch err := a.ask(ctx, "files.info", url.Values{"file": {file}}, &r); {
	case Code(err) == "file_not_found":
		return false, nil
	case err != nil:
		return false, err
	}
	_, public := r.File.Shares.Public[channel]
	_, private := r.File.Shares.Private[channel]
	if public || private || slices.Contains(slices.Concat(r.File.Channels, r.File.Groups, r.File.IMs), channel) {
		return true, nil
	}
	ts, err := a.scan(ctx, channel, thread, since, func(m posted) bool {
		for _, f := range m.Files {
			if f.ID == file {
				return true
			}
		}
		return false
	})
	return ts != "", err
}

// OpenView opens a modal; trigger is valid for three seconds.
func (a *API) OpenView(ctx context.Context, trigger string, v message.View) error {
	return Explain("views.open", a.call(ctx, "views.open", nil, map[string]any{"trigger_id": trigger, "view": v}, nil))
}

// PublishHome shows a user's App Home.
func (a *API) PublishHome(ctx context.Context, user string, v message.View) error {
	return Explain("views.publish", a.call(ctx, "views.publish", nil, map[string]any{"user_id": user, "view": v}, nil))
}

// maxShared bounds a file that a person shared with the bot, in bytes.
const maxShared = 20 << 20

// Fetch downloads a file that was shared with the bot. Only Slack's own hosts get the
// token, without redirects, and the size is checked before and while reading.
func (a *API) Fetch(ctx context.Context, f payload.File) ([]byte, error) {
	if f.URL == "" && f.ID != "" {
		// In shared channels Slack sends the file's id only.
		var r struct {
			File struct {
				Name     string `json:"name"`
				Download string `json:"url_private_download"`
				Private  string `json:"url_private"`
				Size     int64  `json:"size"`
			} `json:"file"`
		}
		if err := a.ask(ctx, "files.info", url.Values{"file": {f.ID}}, &r); err != nil {
			return nil, Explain("files.info", err)
		}
		f.URL, f.Size = cmp.Or(r.File.Download, r.File.Private), r.File.Size
	}
	if !a.trusted(f.URL, fileHost) {
		return nil, errors.New("the file does not lie at Slack, so it is not fetched")
	}
	if f.Size > maxShared {
		return nil, fmt.Errorf("the file has %d MiB; up to %d MiB are read", f.Size>>20, maxShared>>20)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.slow.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the file: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the file: Slack answered %s (does the app have the scope files:read?)", resp.Status)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && !strings.HasSuffix(f.Name, ".html") {
		return nil, errors.New("fetch the file: Slack answered with a page instead (does the app have the scope files:read?)")
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxShared+1))
	if err != nil {
		return nil, fmt.Errorf("fetch the file: %w", err)
	}
	if len(data) > maxShared {
		return nil, fmt.Errorf("the file is larger than %d MiB", maxShared>>20)
	}
	return data, nil
}
