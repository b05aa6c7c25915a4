package workspace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// draft is the content of a message as an app sends it.
type draft struct {
	text      string
	hasText   bool
	blocks    []any
	hasBlocks bool
	metadata  any
	hasMeta   bool
	warnings  []string
}

// compose validates the content that chat.* and response URLs share. The lock is held.
func (w *Workspace) compose(get func(string) (string, bool)) (draft, *apiError) {
	var d draft
	d.text, d.hasText = get("text")
	if s, ok := get("blocks"); ok && s != "" && s != "null" {
		v, err := decode(s)
		if err != nil {
			return d, fail("invalid_blocks_format", "[ERROR] blocks are not JSON: "+err.Error())
		}
		blocks, chars, errs := checkBlocks(v, onMessage, "/blocks", func() string { return w.random(3)[:5] })
		if len(errs) > 0 {
			return d, fail("invalid_blocks", errs...)
		}
		if chars > maxBlockText {
			return d, fail("msg_blocks_too_long", fmt.Sprintf("[ERROR] the blocks hold %d characters together, Slack takes about %d", chars, maxBlockText))
		}
		if chars > maxSensible {
			d.warnings = append(d.warnings, fmt.Sprintf("the blocks hold %d characters: nobody reads more than %d", chars, maxSensible))
		}
		d.blocks, d.hasBlocks = blocks, true
	}
	if s, ok := get("attachments"); ok && s != "" && s != "null" && s != "[]" {
		return d, fail("invalid_attachments", "[ERROR] this workspace does not take legacy attachments; use blocks")
	}
	if s, ok := get("metadata"); ok && s != "" && s != "null" {
		v, err := decode(s)
		if err != nil {
			return d, fail("invalid_metadata_format", "[ERROR] "+err.Error())
		}
		// Clients send an object of empty fields for "none".
		if m, ok := v.(map[string]any); ok && str(m["event_type"]) == "" && m["event_payload"] == nil {
			v = map[string]any{}
		}
		if err := checkMetadata(v); err != nil {
			return d, fail("invalid_metadata_format", "[ERROR] "+err.Error())
		}
		if m := v.(map[string]any); len(m) > 0 {
			d.metadata = v
		}
		d.hasMeta = true
	}
	if n := utf8.RuneCountInString(d.text); n > 40_000 {
		d.warnings = append(d.warnings, fmt.Sprintf("the text of %d characters was cut at 40,000", n))
		d.text = string([]rune(d.text)[:40_000])
	} else if n > maxSensible {
		d.warnings = append(d.warnings, fmt.Sprintf("the text holds %d characters: nobody reads more than %d", n, maxSensible))
	}
	d.text = storedText(d.text, true)
	if len(d.blocks) > 0 && strings.TrimSpace(d.text) == "" {
		d.warnings = append(d.warnings, "missing_text_in_message: without text, notifications and screen readers have nothing")
	}
	return d, nil
}

func (r *request) lookup(k string) (string, bool) { s, ok := r.params[k]; return s, ok }

// target finds the channel that an app may write to: by id, or a user's id for a direct message.
func (w *Workspace) target(id string) (*channel, *apiError) {
	if u := w.user(id); u != nil && !u.Bot {
		return w.direct(u), nil
	}
	c := w.channel(id)
	switch {
	case c == nil:
		return nil, fail("channel_not_found")
	case c.archived:
		return nil, fail("is_archived")
	case c.user == "" && !c.member:
		return nil, fail("not_in_channel")
	}
	return c, nil
}

// direct is the direct message channel between a user and the app.
func (w *Workspace) direct(u *User) *channel {
	for _, c := range w.channels {
		if c.user == u.ID {
			return c
		}
	}
	c := &channel{id: "D" + strings.TrimPrefix(u.ID, "U"), name: u.ID, user: u.ID, member: true, private: true}
	w.channels = append(w.channels, c)
	return c
}

// thread checks a thread_ts.
func (c *channel) thread(ts string) *apiError {
	if ts == "" {
		return nil
	}
	p := c.find(ts)
	switch {
	case p == nil:
		return fail("thread_not_found")
	case p.IsReply() || p.Ephemeral != "":
		return fail("cannot_reply_to_message")
	}
	return nil
}

func (w *Workspace) chatPost(r *request) (answer, *apiError) {
	c, aerr := w.target(r.get("channel"))
	if aerr != nil {
		return nil, aerr
	}
	d, aerr := w.compose(r.lookup)
	if aerr != nil {
		return nil, aerr
	}
	if d.text == "" && len(d.blocks) == 0 {
		return nil, fail("no_text")
	}
	if aerr := c.thread(r.get("thread_ts")); aerr != nil {
		return nil, aerr
	}
	m := &Message{User: botUserID, BotID: botID, Text: d.text, Blocks: d.blocks, Metadata: d.metadata, ThreadTS: r.get("thread_ts"), Broadcast: r.bool("reply_broadcast"), Warnings: d.warnings}
	w.post(c, m)
	out := answer{"channel": c.id, "ts": m.TS, "message": w.messageJSON(m, true)}
	warn(out, d.warnings)
	return out, nil
}

func warn(out answer, warnings []string) {
	if len(warnings) > 0 {
		out["response_metadata"] = map[string]any{"warnings": warnings}
	}
}

func (w *Workspace) chatPostEphemeral(r *request) (answer, *apiError) {
	c, aerr := w.target(r.get("channel"))
	if aerr != nil {
		return nil, aerr
	}
	u := w.user(r.get("user"))
	switch {
	case u == nil:
		return nil, fail("user_not_found")
	case !w.isMember(c, u.ID):
		return nil, fail("user_not_in_channel")
	}
	d, aerr := w.compose(r.lookup)
	if aerr != nil {
		return nil, aerr
	}
	if d.text == "" && len(d.blocks) == 0 {
		return nil, fail("no_text")
	}
	if aerr := c.thread(r.get("thread_ts")); aerr != nil {
		return nil, aerr
	}
	m := w.post(c, &Message{User: botUserID, BotID: botID, Text: d.text, Blocks: d.blocks, ThreadTS: r.get("thread_ts"), Ephemeral: u.ID, Warnings: d.warnings})
	return answer{"message_ts": m.TS}, nil
}

func (w *Workspace) isMember(c *channel, user string) bool {
	return c.user == user || w.members[c.id+user]
}

// apply edits a message. The lock is held.
func (w *Workspace) apply(m *Message, d draft) {
	before := w.messageJSON(m, false)
	if d.hasText {
		m.Text = d.text
	}
	if d.hasBlocks {
		m.Blocks = d.blocks
	}
	if d.hasMeta {
		m.Metadata = d.metadata
	}
	m.Warnings = append(m.Warnings, d.warnings...)
	if len(m.Warnings) > 10 {
		m.Warnings = m.Warnings[len(m.Warnings)-10:]
	}
	m.Edits++
	m.EditedTS = w.newTS()
	m.rev = w.touch()
	if c := w.channel(m.Channel); m.Ephemeral == "" && c != nil {
		w.changedEvent(c, m, before)
	}
}

func (w *Workspace) chatUpdate(r *request) (answer, *apiError) {
	m, c, aerr := w.own(r, "cant_update_message")
	if aerr != nil {
		return nil, aerr
	}
	d, aerr := w.compose(r.lookup)
	if aerr != nil {
		return nil, aerr
	}
	if !d.hasText && !d.hasBlocks {
		return nil, fail("no_text")
	}
	if d.hasText && d.text == "" && !d.hasBlocks && len(m.Blocks) == 0 {
		return nil, fail("no_text")
	}
	w.apply(m, d)
	out := answer{"channel": c.id, "ts": m.TS, "text": m.Text, "message": w.messageJSON(m, true)}
	warn(out, d.warnings)
	return out, nil
}

// own finds a message that the app itself wrote.
func (w *Workspace) own(r *request, otherwise string) (*Message, *channel, *apiError) {
	c := w.channel(r.get("channel"))
	if c == nil {
		return nil, nil, fail("channel_not_found")
	}
	m := c.find(r.get("ts"))
	switch {
	case m == nil || m.Ephemeral != "":
		return nil, nil, fail("message_not_found")
	case m.BotID != botID:
		return nil, nil, fail(otherwise)
	}
	return m, c, nil
}

func (w *Workspace) chatDelete(r *request) (answer, *apiError) {
	m, c, aerr := w.own(r, "cant_delete_message")
	if aerr != nil {
		return nil, aerr
	}
	w.remove(c, m)
	return answer{"channel": c.id, "ts": m.TS}, nil
}

// remove takes a message away; the page learns it by its revision. The lock is held.
func (w *Workspace) remove(c *channel, m *Message) {
	before := w.messageJSON(m, false)
	m.Deleted = true
	m.rev = w.touch()
	if m.IsReply() && m.Ephemeral == "" {
		if p := c.find(m.ThreadTS); p != nil {
			p.Replies = slices.DeleteFunc(p.Replies, func(ts string) bool { return ts == m.TS })
			p.rev = m.rev
		}
	}
	if m.Ephemeral == "" {
		w.emitMessage(c, map[string]any{"type": "message", "subtype": "message_deleted", "hidden": true, "channel": c.id, "channel_type": c.kind(), "ts": w.newTS(), "deleted_ts": m.TS, "event_ts": m.TS, "previous_message": before})
	}
}

func (w *Workspace) chatPermalink(r *request) (answer, *apiError) {
	c := w.channel(r.get("channel"))
	if c == nil {
		return nil, fail("channel_not_found")
	}
	m := c.find(r.get("message_ts"))
	if m == nil {
		return nil, fail("message_not_found")
	}
	link := fmt.Sprintf("http://%s/archives/%s/p%s", w.host, c.id, strings.ReplaceAll(m.TS, ".", ""))
	if m.IsReply() {
		link += "?thread_ts=" + m.ThreadTS + "&cid=" + c.id
	}
	return answer{"channel": c.id, "permalink": link}, nil
}

func (w *Workspace) reaction(r *request, f func(m *Message, name string) *apiError) (answer, *apiError) {
	c := w.channel(r.get("channel"))
	if c == nil {
		return nil, fail("channel_not_found")
	}
	if c.user == "" && !c.member {
		return nil, fail("not_in_channel")
	}
	m := c.find(r.get("timestamp"))
	if m == nil {
		return nil, fail("message_not_found")
	}
	name := strings.Trim(r.get("name"), ":")
	if name == "" {
		return nil, fail("invalid_name")
	}
	if aerr := f(m, name); aerr != nil {
		return nil, aerr
	}
	m.rev = w.touch()
	return nil, nil
}

func (w *Workspace) reactionsAdd(r *request) (answer, *apiError) {
	return w.reaction(r, func(m *Message, name string) *apiError {
		if slices.Contains(m.Reactions[name], botUserID) {
			return fail("already_reacted")
		}
		if len(m.Reactions) >= 23 {
			return fail("too_many_emoji")
		}
		next := maps.Clone(m.Reactions)
		if next == nil {
			next = map[string][]string{}
		}
		next[name] = append(slices.Clone(next[name]), botUserID)
		m.Reactions = next
		return nil
	})
}

func (w *Workspace) reactionsRemove(r *request) (answer, *apiError) {
	return w.reaction(r, func(m *Message, name string) *apiError {
		if !slices.Contains(m.Reactions[name], botUserID) {
			return fail("no_reaction")
		}
		next := maps.Clone(m.Reactions)
		next[name] = slices.DeleteFunc(slices.Clone(next[name]), func(u string) bool { return u == botUserID })
		if len(next[name]) == 0 {
			delete(next, name)
		}
		m.Reactions = next
		return nil
	})
}

func (w *Workspace) pin(r *request, on bool, otherwise string) (answer, *apiError) {
	c, aerr := w.target(r.get("channel"))
	if aerr != nil {
		return nil, aerr
	}
	m := c.find(r.get("timestamp"))
	switch {
	case m == nil:
		return nil, fail("message_not_found")
	case m.Pinned == on:
		return nil, fail(otherwise)
	}
	m.Pinned = on
	m.rev = w.touch()
	return nil, nil
}

func (w *Workspace) pinsAdd(r *request) (answer, *apiError) { return w.pin(r, true, "already_pinned") }

func (w *Workspace) pinsRemove(r *request) (answer, *apiError) { return w.pin(r, false, "no_pin") }
