package workspace

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// trigger is a trigger_id: it opens one modal for one user within a short time.
type trigger struct {
	user string
	at   time.Time
	used bool
}

// newTrigger gives the user's action a trigger_id. The lock is held.
func (w *Workspace) newTrigger(user string) string {
	if len(w.triggers) > 1000 {
		for k, t := range w.triggers {
			if time.Since(t.at) > w.opt.TriggerTTL {
				delete(w.triggers, k)
			}
		}
	}
	id := "13345224609.738474920." + w.random(16)
	w.triggers[id] = &trigger{user: user, at: time.Now()}
	return id
}

// responseHook is a response_url.
type responseHook struct {
	channel, user string
	message       string // ts of the message that the action was on; empty for a slash command
	thread        string
	uses          int
	at            time.Time
}

const (
	hookUses = 5
	hookLife = 30 * time.Minute
	maxHooks = 2000
)

func (w *Workspace) newHook(h *responseHook) string {
	h.at = w.opt.Now()
	id := w.random(16)
	w.hooks[id] = h
	w.hookOrder = append(w.hookOrder, id)
	if len(w.hookOrder) > maxHooks {
		delete(w.hooks, w.hookOrder[0])
		w.hookOrder = w.hookOrder[1:]
	}
	return "http://" + w.host + "/hooks/" + id
}

// serveResponseURL takes what an app sends to a response_url.
func (w *Workspace) serveResponseURL(rw http.ResponseWriter, r *http.Request) {
	const name = "response_url"
	fault := w.strike(name)
	if fault != nil && !fault.Done && w.misbehave(fault, rw, r, name) {
		return
	}
	var body map[string]json.RawMessage
	err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 1<<20)).Decode(&body)
	params := map[string]string{}
	for k, v := range body {
		var s string
		if json.Unmarshal(v, &s) == nil && string(v) != "null" {
			params[k] = s
		} else {
			params[k] = string(v)
		}
	}
	status, aerr := http.StatusOK, (*apiError)(nil)
	switch {
	case err != nil:
		status, aerr = http.StatusBadRequest, fail("invalid_payload")
	default:
		if aerr = w.respond(r.PathValue("id"), params); aerr != nil {
			status = http.StatusBadRequest
			if strings.HasSuffix(aerr.code, "_url") {
				status = http.StatusNotFound
			}
		}
	}
	rec := Call{At: w.opt.Now(), Method: name, Params: params, Status: status}
	if aerr != nil {
		rec.Error = strings.Join(append([]string{aerr.code}, aerr.messages...), "; ")
	}
	w.record(rec)
	if fault != nil && fault.Done && w.misbehave(fault, rw, r, name) {
		return
	}
	if aerr != nil {
		writeJSON(rw, status, answer{"ok": false, "error": aerr.code, "response_metadata": map[string]any{"messages": aerr.messages}})
		return
	}
	fmt.Fprint(rw, "ok")
}

var hookFields = []string{"text", "blocks", "attachments", "metadata", "response_type", "replace_original", "delete_original", "thread_ts", "mrkdwn", "unfurl_links", "unfurl_media", "parse", "link_names", "reply_broadcast", "channel", "token", "as_user", "username", "icon_url", "icon_emoji"}

func (w *Workspace) respond(id string, p map[string]string) *apiError {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.hooks[id]
	switch {
	case h == nil:
		return fail("invalid_url")
	case w.opt.Now().Sub(h.at) > hookLife:
		return fail("expired_url")
	case h.uses >= hookUses:
		return fail("used_url")
	}
	for k := range p {
		if !slices.Contains(hookFields, k) {
			return fail("invalid_payload", "[ERROR] invalid additional property: "+k)
		}
	}
	h.uses++
	return w.answerTo(h, p)
}

// answerTo does what an answer says that came over a response_url or in an acknowledgement. The lock is held.
func (w *Workspace) answerTo(h *responseHook, p map[string]string) *apiError {
	c := w.channel(h.channel)
	if c == nil {
		return fail("channel_not_found")
	}
	original := c.find(h.message)
	if p["delete_original"] == "true" {
		if original == nil {
			return fail("message_not_found")
		}
		w.remove(c, original)
		return nil
	}
	d, aerr := w.compose(func(k string) (string, bool) { s, ok := p[k]; return s, ok })
	if aerr != nil {
		return aerr
	}
	if d.text == "" && len(d.blocks) == 0 {
		return fail("no_text")
	}
	if p["replace_original"] == "true" {
		if original == nil {
			return fail("message_not_found")
		}
		// Unlike chat.update, the answer is the whole new message.
		d.hasText, d.hasBlocks = true, true
		w.apply(original, d)
		return nil
	}
	m := &Message{User: botUserID, BotID: botID, Text: d.text, Blocks: d.blocks, Metadata: d.metadata, ThreadTS: p["thread_ts"], Warnings: d.warnings}
	if m.ThreadTS == "" {
		m.ThreadTS = h.thread
	}
	switch p["response_type"] {
	case "in_channel":
	case "", "ephemeral":
		m.Ephemeral = h.user
	default:
		return fail("invalid_payload", "[ERROR] response_type must be in_channel or ephemeral")
	}
	w.post(c, m)
	return nil
}

// ackMessage posts the message that an acknowledgement may carry.
func (w *Workspace) ackMessage(h *responseHook, payload json.RawMessage) {
	var body map[string]json.RawMessage
	if json.Unmarshal(payload, &body) != nil || len(body) == 0 {
		return
	}
	p := map[string]string{}
	for k, v := range body {
		var s string
		if json.Unmarshal(v, &s) == nil {
			p[k] = s
		} else {
			p[k] = string(v)
		}
	}
	if aerr := w.answerTo(h, p); aerr != nil {
		w.log.Warn("the acknowledgement's message was dropped", "error", aerr.code, "messages", aerr.messages)
	}
}

func userRef(u *User) map[string]any {
	return map[string]any{"id": u.ID, "username": u.Name, "name": u.Name, "team_id": u.TeamID}
}

// slash sends a slash command. The lock is held.
func (w *Workspace) slash(u *User, c *channel, command, text string) {
	h := &responseHook{channel: c.id, user: u.ID}
	p := map[string]any{
		"token": "verification", "team_id": u.TeamID, "team_domain": "example-networks", "channel_id": c.id, "channel_name": c.name,
		"user_id": u.ID, "user_name": u.Name, "command": command, "text": text, "api_app_id": appID, "is_enterprise_install": "false",
		"response_url": w.newHook(h), "trigger_id": w.newTrigger(u.ID),
	}
	if c.user != "" {
		p["channel_name"] = "directmessage"
	}
	w.deliver(&envelope{
		kind: "slash_commands", payload: p, accepts: true,
		onAck: func(b json.RawMessage) {
			if len(b) > 0 {
				w.ackMessage(h, b)
			}
		},
		onLost: func(why string) {
			code := map[string]string{"undelivered": "dispatch_failed", "failed": "dispatch_failed"}[why]
			if code == "" {
				code = "operation_timeout"
			}
			hint := "the app did not answer within three seconds"
			if why == "undelivered" {
				hint = "the app is not connected"
			}
			w.post(c, &Message{User: "USLACKBOT", Ephemeral: u.ID, Text: fmt.Sprintf("%s failed with the error \"%s\" (operation timed out or was not dispatched: %s)", command, code, hint)})
		},
	})
}

// interactive sends an interaction's payload.
func (w *Workspace) interactive(p map[string]any, onAck func(json.RawMessage), onLost func(string)) {
	w.deliver(&envelope{kind: "interactive", payload: p, accepts: p["type"] == "view_submission", onAck: onAck, onLost: onLost})
}

func (w *Workspace) base(kind string, u *User) map[string]any {
	return map[string]any{
		"type": kind, "token": "verification", "api_app_id": appID, "is_enterprise_install": false, "enterprise": nil,
		"team": map[string]any{"id": teamID, "domain": "example-networks"}, "user": userRef(u),
	}
}

// eventScopes are the scopes without which an app receives no such event.
var eventScopes = map[string]string{
	"app_mention": "app_mentions:read", "message.channels": "channels:history", "message.groups": "groups:history", "message.im": "im:history",
	"file_shared": "files:read", "user_change": "users:read",
}

// event sends an event the app subscribed to. The lock is held.
func (w *Workspace) event(subscription string, ev map[string]any) {
	if !slices.Contains(w.opt.Events, subscription) {
		return
	}
	if s := eventScopes[subscription]; s != "" && !slices.Contains(w.opt.Scopes, s) {
		return // Slack would not have let the app subscribe
	}
	if ev["event_ts"] == nil {
		ev["event_ts"] = w.newTS()
	}
	w.deliver(&envelope{kind: "events_api", event: true, payload: map[string]any{
		"token": "verification", "team_id": teamID, "context_team_id": teamID, "api_app_id": appID, "type": "event_callback", "event": ev,
		"event_id": w.id("Ev"), "event_time": w.opt.Now().Unix(), "is_ext_shared_channel": false,
		"authorizations": []any{map[string]any{"enterprise_id": nil, "team_id": teamID, "user_id": botUserID, "is_bot": true, "is_enterprise_install": false}},
	}})
}

// emitMessage sends a message event of a channel that the app is in.
func (w *Workspace) emitMessage(c *channel, ev map[string]any) {
	if c.user == "" && !c.member {
		return
	}
	w.event("message."+map[string]string{"channel": "channels", "group": "groups", "im": "im"}[c.kind()], ev)
}

var mentionsApp = regexp.MustCompile(`<@` + botUserID + `(\|[^>]*)?>`)

// messageEvent tells the app about a new message: message.*, app_mention, file_shared. The lock is held.
func (w *Workspace) messageEvent(c *channel, m *Message) {
	if c.user == "" && !c.member {
		return
	}
	ev := w.messageJSON(m, true)
	ev["channel"], ev["channel_type"], ev["event_ts"] = c.id, c.kind(), m.TS
	if m.BotID != "" {
		ev["bot_profile"] = map[string]any{"id": botID, "deleted": false, "name": w.opt.AppName, "app_id": appID, "team_id": teamID}
	}
	w.emitMessage(c, ev)
	if m.BotID == "" && c.user == "" && mentionsApp.MatchString(m.Text) {
		at := w.messageJSON(m, false)
		at["type"], at["channel"], at["event_ts"] = "app_mention", c.id, m.TS
		w.event("app_mention", at)
	}
	for _, f := range m.Files {
		w.event("file_shared", map[string]any{"type": "file_shared", "file_id": f.ID, "user_id": m.User, "channel_id": c.id, "file": map[string]any{"id": f.ID}})
	}
}

func (w *Workspace) changedEvent(c *channel, m *Message, before map[string]any) {
	w.emitMessage(c, map[string]any{
		"type": "message", "subtype": "message_changed", "hidden": true, "channel": c.id, "channel_type": c.kind(), "ts": m.EditedTS, "event_ts": m.EditedTS,
		"message": w.messageJSON(m, true), "previous_message": before,
	})
}
