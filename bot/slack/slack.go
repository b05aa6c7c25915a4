// Package slack is the bot's connection to Slack. Inbound, over Socket Mode or signed
// HTTP requests, become Events that a handler writes down before they are acknowledged
// (socket.go, http.go, event.go). Outbound, a Sender empties the store's queue of messages
// (sender.go). People are looked up here too (people.go). Everything of slack-go stays
// behind this package.
package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"vpnbot/bot/message"
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
	http  *http.Client
	base  *url.URL
	token string
	log   *slog.Logger
	now   func() time.Time
}

// callTimeout bounds one call; an answer later than this is a call of unknown fate.
const callTimeout = 15 * time.Second

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
	hc := &http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &API{
		c:    slack.New(o.BotToken, slack.OptionAPIURL(o.APIURL), slack.OptionAppLevelToken(o.AppToken), slack.OptionHTTPClient(hc)),
		http: hc, base: base, token: o.BotToken, log: o.Logger, now: o.Now,
	}, nil
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
		case "ratelimited", "rate_limited":
			return Wait, 5 * time.Second
		case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "unknown_error":
			return Lost, 0
		case "team_added_to_org", "org_login_required", "not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired":
			return Wait, time.Minute // an operator mends that; the queue waits
		}
		return Refused, 0
	case errors.As(err, &status):
		if status.Code == http.StatusTooManyRequests {
			return Wait, 5 * time.Second
		}
		if status.Code >= 500 {
			return Lost, 0
		}
		return Refused, 0
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
	return []slack.MsgOption{slack.MsgOptionText(m.Text, false), slack.MsgOptionBlocks(blocks...), slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl()}
}

const metadataType = "vpnbot_message"

func tag(key string) slack.MsgOption {
	return slack.MsgOptionMetadata(slack.SlackMetadata{EventType: metadataType, EventPayload: map[string]any{"key": key}})
}

// Post posts a message; key finds it again.
func (a *API) Post(ctx context.Context, channel, thread, key string, m message.Message) (ts string, err error) {
	opts := append(content(m), tag(key))
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

// HookAllowed tells whether a response_url belongs to Slack, or to the host that stands for it.
func (a *API) HookAllowed(hook string) bool {
	u, err := url.Parse(hook)
	if err != nil || u.User != nil {
		return false
	}
	if u.Scheme == "https" && u.Host == "hooks.slack.com" {
		return true
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

// Find looks for a post of ours by its key, among those not older than since; "" when
// Slack does not have it.
func (a *API) Find(ctx context.Context, channel, thread, key string, since time.Time) (ts string, err error) {
	oldest := fmt.Sprintf("%d.000000", since.Unix())
	cursor := ""
	for range 20 {
		var msgs []slack.Message
		var next string
		if thread != "" {
			m, more, c, err := a.c.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: thread, Cursor: cursor, Limit: 100, Oldest: oldest, IncludeAllMetadata: true})
			if err != nil {
				return "", err
			}
			if msgs = m; more {
				next = c
			}
		} else {
			r, err := a.c.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: channel, Cursor: cursor, Limit: 100, Oldest: oldest, IncludeAllMetadata: true})
			if err != nil {
				return "", err
			}
			if msgs = r.Messages; r.HasMore {
				next = r.ResponseMetaData.NextCursor
			}
		}
		for _, m := range msgs {
			if m.Metadata.EventType == metadataType && m.Metadata.EventPayload["key"] == key {
				return m.Timestamp, nil
			}
		}
		if next == "" {
			return "", nil
		}
		cursor = next
	}
	return "", nil
}

// Upload hands a file's bytes to Slack without sharing it; Share makes it visible.
func (a *API) Upload(ctx context.Context, name, alt string, data []byte) (file string, err error) {
	if len(data) == 0 {
		data = []byte("\n") // Slack takes no empty file
	}
	u, err := a.c.GetUploadURLExternalContext(ctx, slack.GetUploadURLExternalParameters{FileName: name, FileSize: len(data), AltTxt: alt})
	if err != nil {
		return "", err
	}
	if err := a.c.UploadToURL(ctx, slack.UploadToURLParameters{UploadURL: u.UploadURL, Filename: name, Reader: bytes.NewReader(data)}); err != nil {
		return "", err
	}
	return u.FileID, nil
}

// Share posts an uploaded file.
func (a *API) Share(ctx context.Context, file, title, channel, thread string) error {
	_, err := a.c.CompleteUploadExternalContext(ctx, slack.CompleteUploadExternalParameters{Files: []slack.FileSummary{{ID: file, Title: title}}, Channel: channel, ThreadTimestamp: thread})
	return err
}

// Shared tells whether a file stands in the channel.
func (a *API) Shared(ctx context.Context, file, channel string) (bool, error) {
	f, _, _, err := a.c.GetFileInfoContext(ctx, file, 0, 0)
	if err != nil {
		if Code(err) == "file_not_found" {
			return false, nil
		}
		return false, err
	}
	_, public := f.Shares.Public[channel]
	_, private := f.Shares.Private[channel]
	return public || private, nil
}

// OpenView opens a modal; trigger is valid for three seconds.
func (a *API) OpenView(ctx context.Context, trigger string, v message.View) error {
	return a.viewCall(ctx, "views.open", map[string]any{"trigger_id": trigger, "view": v})
}

// PublishHome shows a user's App Home.
func (a *API) PublishHome(ctx context.Context, user string, v message.View) error {
	return a.viewCall(ctx, "views.publish", map[string]any{"user_id": user, "view": v})
}

// viewCall posts JSON by ourselves: the library's view types would have to know every
// field of a view of ours.
func (a *API) viewCall(ctx context.Context, method string, args map[string]any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base.JoinPath(method).String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return slack.StatusCodeError{Code: resp.StatusCode, Status: resp.Status}
	}
	var r slack.SlackResponse
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&r); err != nil {
		return fmt.Errorf("answer not understood: %w", err)
	}
	return Explain(method, r.Err())
}

// maxShared bounds a file that a person shared with the bot, in bytes.
const maxShared = 20 << 20

// Fetch downloads a file that was shared with the bot. Only Slack's own hosts get the
// token, without redirects, and the size is checked before and while reading.
func (a *API) Fetch(ctx context.Context, f File) ([]byte, error) {
	u, err := url.Parse(f.URL)
	if err != nil || u.User != nil || !(u.Scheme == "https" && u.Host == "files.slack.com" || u.Scheme == a.base.Scheme && u.Host == a.base.Host) {
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
	resp, err := a.http.Do(req)
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
