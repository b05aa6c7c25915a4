package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// What people do: the page and tests call the same functions.

// ErrNo is wrapped by the errors of actions that Slack's client would not let a person do.
var ErrNo = errors.New("not possible in this workspace")

func (w *Workspace) person(id string) (*User, error) {
	u := w.user(id)
	if u == nil || u.Bot || u.Deleted {
		return nil, fmt.Errorf("%w: there is no active person %q", ErrNo, id)
	}
	return u, nil
}

func (w *Workspace) place(u *User, id, thread string) (*channel, error) {
	if id == "" {
		id = w.channels[0].id
	}
	c := w.channel(id)
	if c == nil {
		return nil, fmt.Errorf("%w: there is no channel %q", ErrNo, id)
	}
	if !w.isMember(c, u.ID) {
		return nil, fmt.Errorf("%w: %s is not in #%s", ErrNo, u.Name, c.name)
	}
	if thread != "" {
		if p := c.find(thread); p == nil || p.IsReply() || p.Ephemeral != "" {
			return nil, fmt.Errorf("%w: there is no message %s to reply to", ErrNo, thread)
		}
	}
	return c, nil
}

// Say writes a message into the app's channel. @name becomes a mention. It returns the message's ts.
func (w *Workspace) Say(user, text string) (string, error) { return w.SayIn("", "", user, text) }

// SayIn writes a message into a channel (empty: the app's), or into a thread when thread is set.
func (w *Workspace) SayIn(channel, thread, user, text string) (string, error) {
	return w.ShareFiles(channel, thread, user, text)
}

// ShareFiles writes a message with files.
func (w *Workspace) ShareFiles(channel, thread, user, text string, files ...File) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.person(user)
	if err != nil {
		return "", err
	}
	c, err := w.place(u, channel, thread)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(text) == "" && len(files) == 0 {
		return "", fmt.Errorf("%w: an empty message", ErrNo)
	}
	if utf8.RuneCountInString(text) > 12_000 {
		return "", fmt.Errorf("%w: a message of more than 12,000 characters", ErrNo)
	}
	m := &Message{User: u.ID, Text: w.mentionNames(escaper.Replace(text)), ThreadTS: thread}
	for _, f := range files {
		if len(f.Content) > maxFileBytes {
			return "", fmt.Errorf("%w: %s is larger than %d bytes", ErrNo, f.Name, maxFileBytes)
		}
		f.User, f.Size, f.Mimetype = u.ID, len(f.Content), mimeOf(f.Name, f.Content)
		if f.Title == "" {
			f.Title = f.Name
		}
		x := &file{File: f, length: f.Size, received: true, complete: true, channels: []string{c.id}}
		w.addFile(x)
		m.Files = append(m.Files, x.shared())
	}
	return w.post(c, m).TS, nil
}

var atName = regexp.MustCompile(`@[\p{L}0-9._-]+`)

// mentionNames turns @name into the mention that Slack's client sends.
func (w *Workspace) mentionNames(s string) string {
	return atName.ReplaceAllStringFunc(s, func(at string) string {
		name := strings.TrimRight(at[1:], ".-_")
		rest := at[1+len(name):]
		for _, u := range w.users {
			if u.Name == name {
				return "<@" + u.ID + ">" + rest
			}
		}
		for _, g := range w.groups {
			if g.handle == name {
				return "<!subteam^" + g.id + ">" + rest
			}
		}
		return at
	})
}

// Slash types a command ("/vpn diagnose x") in the app's channel.
func (w *Workspace) Slash(user, line string) error { return w.SlashIn("", user, line) }

// SlashIn types a command in a channel; Slack has no commands in threads.
func (w *Workspace) SlashIn(channel, user, line string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.person(user)
	if err != nil {
		return err
	}
	c, err := w.place(u, channel, "")
	if err != nil {
		return err
	}
	command, text, _ := strings.Cut(strings.TrimSpace(line), " ")
	if command != w.opt.Command || !slices.Contains(w.opt.Scopes, "commands") {
		w.post(c, &Message{User: "USLACKBOT", Ephemeral: u.ID, Text: fmt.Sprintf("%s is not a valid command. In Slack, all messages that start with \"/\" are interpreted as commands.", escaper.Replace(command))})
		return nil
	}
	w.slash(u, c, command, escaper.Replace(strings.TrimSpace(text)))
	return nil
}

// Click presses a button of a message (any channel), as if its confirmation had been accepted.
func (w *Workspace) Click(user, messageTS, actionID string) error {
	return w.Act(user, messageTS, "", actionID, "")
}

// Act uses an interactive element: block may be empty when the action id is unique in the message; value is
// what is chosen in a menu.
func (w *Workspace) Act(user, messageTS, block, actionID, value string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.person(user)
	if err != nil {
		return err
	}
	for _, c := range w.channels {
		m := c.find(messageTS)
		if m == nil || !w.isMember(c, u.ID) || (m.Ephemeral != "" && m.Ephemeral != u.ID) {
			continue
		}
		var chosen map[string]any
		walkElements(m.Blocks, func(id string, el map[string]any) {
			if chosen == nil && str(el["action_id"]) == actionID && (block == "" || block == id) && interactiveKind(el) {
				chosen, block = el, id
			}
		})
		if chosen == nil {
			return fmt.Errorf("%w: the message %s has no element %q now", ErrNo, messageTS, actionID)
		}
		act, err := w.action(chosen, block, value)
		if err != nil {
			return err
		}
		p := w.base("block_actions", u)
		p["channel"] = map[string]any{"id": c.id, "name": c.name}
		p["container"] = map[string]any{"type": "message", "message_ts": m.TS, "channel_id": c.id, "is_ephemeral": m.Ephemeral != ""}
		if m.IsReply() {
			p["container"].(map[string]any)["thread_ts"] = m.ThreadTS
		}
		if m.Ephemeral == "" {
			p["message"] = w.messageJSON(m, true)
		}
		h := &responseHook{channel: c.id, user: u.ID, message: m.TS}
		if m.IsReply() {
			h.thread = m.ThreadTS
		}
		p["response_url"], p["trigger_id"] = w.newHook(h), w.newTrigger(u.ID)
		p["state"] = map[string]any{"values": map[string]any{}}
		p["actions"] = []any{act}
		w.interactive(p, nil, w.lostClick(u, c, h.thread, textOf(chosen["text"])))
		return nil
	}
	return fmt.Errorf("%w: %s sees no message %s", ErrNo, u.Name, messageTS)
}

// lostClick is how the client shows that a click was not answered in time.
func (w *Workspace) lostClick(u *User, c *channel, thread, label string) func(string) {
	return func(why string) {
		if label == "" {
			label = "this"
		}
		text := fmt.Sprintf("The app did not answer to “%s” within three seconds: operation timed out.", escaper.Replace(label))
		if why == "undelivered" || why == "failed" {
			text = fmt.Sprintf("“%s” could not be delivered: the app is not connected.", escaper.Replace(label))
		}
		w.post(c, &Message{User: "USLACKBOT", Ephemeral: u.ID, ThreadTS: thread, Text: text})
	}
}

func interactiveKind(el map[string]any) bool {
	k := str(el["type"])
	return k != "image" && k != "plain_text" && k != "mrkdwn"
}

// action is the entry of a payload's actions for an element; value is the choice.
func (w *Workspace) action(el map[string]any, block, value string) (map[string]any, error) {
	a := map[string]any{"type": el["type"], "action_id": el["action_id"], "block_id": block, "action_ts": w.newTS()}
	switch kind := str(el["type"]); kind {
	case "button":
		a["text"] = el["text"]
		for _, k := range []string{"value", "style", "url"} {
			if el[k] != nil {
				a[k] = el[k]
			}
		}
		return a, nil
	default:
		v, err := w.stateOf(el, value)
		if err != nil {
			return nil, err
		}
		maps.Copy(a, v)
		if el["placeholder"] != nil {
			a["placeholder"] = el["placeholder"]
		}
		return a, nil
	}
}

// choice finds an option by its value.
func choice(el map[string]any, value string) map[string]any {
	lists := []any{el["options"]}
	if groups, ok := el["option_groups"].([]any); ok {
		for _, g := range groups {
			lists = append(lists, g.(map[string]any)["options"])
		}
	}
	for _, l := range lists {
		opts, _ := l.([]any)
		for _, o := range opts {
			if m := o.(map[string]any); str(m["value"]) == value {
				return m
			}
		}
	}
	return nil
}

// stateOf is an element's entry in a state's values. Several values are separated by a newline.
func (w *Workspace) stateOf(el map[string]any, value string) (map[string]any, error) {
	kind := str(el["type"])
	out := map[string]any{"type": kind}
	var many []string
	if value != "" {
		many = strings.Split(value, "\n")
	}
	switch kind {
	case "plain_text_input", "number_input":
		out["value"] = nil
		if value != "" {
			out["value"] = value
		}
		n := int64(utf8.RuneCountInString(value))
		if m, ok := el["max_length"].(json.Number); ok {
			if most, _ := m.Int64(); n > most {
				return nil, fmt.Errorf("%w: the input takes %d characters", ErrNo, most)
			}
		} else if n > 3000 {
			return nil, fmt.Errorf("%w: the input takes 3000 characters", ErrNo)
		}
	case "static_select", "radio_buttons", "overflow":
		out["selected_option"] = nil
		if value != "" {
			o := choice(el, value)
			if o == nil {
				return nil, fmt.Errorf("%w: there is no option %q", ErrNo, value)
			}
			out["selected_option"] = o
		}
	case "multi_static_select", "checkboxes":
		sel := []any{}
		for _, v := range many {
			o := choice(el, v)
			if o == nil {
				return nil, fmt.Errorf("%w: there is no option %q", ErrNo, v)
			}
			sel = append(sel, o)
		}
		out["selected_options"] = sel
	case "users_select", "conversations_select", "channels_select":
		out["selected_"+strings.TrimSuffix(kind, "s_select")] = nil
		if value != "" {
			out["selected_"+strings.TrimSuffix(kind, "s_select")] = value
		}
	case "multi_users_select":
		out["selected_users"] = many
	case "datepicker":
		out["selected_date"] = value
	case "timepicker":
		out["selected_time"] = value
	default:
		return nil, fmt.Errorf("%w: %s cannot be used here", ErrNo, kind)
	}
	return out, nil
}

// Modal returns the view on top of a user's screen.
func (w *Workspace) Modal(user string) (view map[string]any, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stack := w.modals[user]
	if len(stack) == 0 {
		return nil, false
	}
	return w.viewJSON(stack[len(stack)-1], nil), true
}

// ModalErrors are the errors that the app answered to the last submission, by block id.
func (w *Workspace) ModalErrors(user string) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	stack := w.modals[user]
	if len(stack) == 0 {
		return nil
	}
	return maps.Clone(stack[len(stack)-1].errors)
}

// Home returns what the app published as a user's App Home.
func (w *Workspace) Home(user string) (view map[string]any, published bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.homes[user]
	if v == nil {
		return nil, false
	}
	return w.viewJSON(v, nil), true
}

// SubmitModal presses the modal's submit button; values are by action id or block id.
func (w *Workspace) SubmitModal(user string, values map[string]string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.person(user)
	if err != nil {
		return err
	}
	stack := w.modals[user]
	if len(stack) == 0 {
		return fmt.Errorf("%w: %s has no modal open", ErrNo, u.Name)
	}
	v := stack[len(stack)-1]
	if v.pending {
		return fmt.Errorf("%w: it was submitted already", ErrNo)
	}
	state := map[string]any{}
	v.errors = nil
	for _, b := range v.def["blocks"].([]any) {
		blk := b.(map[string]any)
		walkElements([]any{blk}, func(id string, el map[string]any) {
			if !interactiveKind(el) || el["type"] == "button" || el["type"] == "overflow" {
				return
			}
			action := str(el["action_id"])
			value, ok := values[action]
			if !ok {
				value, ok = values[id]
			}
			if !ok {
				value = initial(el)
			}
			if value == "" && blk["type"] == "input" && blk["optional"] != true {
				if v.errors == nil {
					v.errors = map[string]string{}
				}
				v.errors[id] = "Please complete this required field."
				return
			}
			st, e := w.stateOf(el, value)
			if e != nil {
				err = e
				return
			}
			state[id] = map[string]any{action: st}
		})
	}
	if err != nil {
		return err
	}
	if v.errors != nil {
		v.rev = w.touch()
		return nil
	}
	v.pending = true
	v.rev = w.touch()
	p := w.base("view_submission", u)
	p["trigger_id"] = w.newTrigger(u.ID)
	p["view"] = w.viewJSON(v, state)
	p["response_urls"] = []any{}
	w.interactive(p, func(b json.RawMessage) { w.submitted(v, b) }, func(string) {
		v.pending = false
		v.errors = map[string]string{"": "We had some trouble connecting: the operation timed out. Try again?"}
		v.rev = w.touch()
	})
	return nil
}

func initial(el map[string]any) string {
	for _, k := range []string{"initial_value", "initial_user", "initial_conversation", "initial_channel", "initial_date", "initial_time"} {
		if s := str(el[k]); s != "" {
			return s
		}
	}
	if o, ok := el["initial_option"].(map[string]any); ok {
		return str(o["value"])
	}
	if l, ok := el["initial_options"].([]any); ok {
		var vs []string
		for _, o := range l {
			vs = append(vs, str(o.(map[string]any)["value"]))
		}
		return strings.Join(vs, "\n")
	}
	return ""
}

// CloseModal closes the view on top; the app hears of it when the view says notify_on_close.
func (w *Workspace) CloseModal(user string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.person(user)
	if err != nil {
		return err
	}
	stack := w.modals[user]
	if len(stack) == 0 {
		return fmt.Errorf("%w: %s has no modal open", ErrNo, u.Name)
	}
	v := stack[len(stack)-1]
	w.modals[user] = stack[:len(stack)-1]
	if v.def["clear_on_close"] == true {
		w.modals[user] = nil
	}
	w.touch()
	if v.def["notify_on_close"] == true {
		p := w.base("view_closed", u)
		p["view"], p["is_cleared"] = w.viewJSON(v, nil), false
		w.interactive(p, nil, nil)
	}
	return nil
}

// ActView uses an element of the modal on top, or of the App Home.
func (w *Workspace) ActView(user, viewID, block, actionID, value string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.person(user)
	if err != nil {
		return err
	}
	v := w.homes[user]
	if v == nil || v.id != viewID {
		v = nil
		for _, x := range w.modals[user] {
			if x.id == viewID {
				v = x
			}
		}
	}
	if v == nil {
		return fmt.Errorf("%w: the view %s is not open", ErrNo, viewID)
	}
	var chosen map[string]any
	walkElements(v.def["blocks"].([]any), func(id string, el map[string]any) {
		if chosen == nil && str(el["action_id"]) == actionID && (block == "" || block == id) && interactiveKind(el) {
			chosen, block = el, id
		}
	})
	if chosen == nil {
		return fmt.Errorf("%w: the view has no element %q", ErrNo, actionID)
	}
	act, err := w.action(chosen, block, value)
	if err != nil {
		return err
	}
	p := w.base("block_actions", u)
	p["container"] = map[string]any{"type": "view", "view_id": v.id}
	p["view"], p["trigger_id"], p["actions"] = w.viewJSON(v, nil), w.newTrigger(u.ID), []any{act}
	w.interactive(p, nil, w.lostClick(u, w.direct(u), "", textOf(chosen["text"])))
	return nil
}

// OpenHome opens the App Home of the app.
func (w *Workspace) OpenHome(user string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.person(user)
	if err != nil {
		return err
	}
	ev := map[string]any{"type": "app_home_opened", "user": u.ID, "channel": w.direct(u).id, "tab": "home"}
	if v := w.homes[u.ID]; v != nil {
		ev["view"] = w.viewJSON(v, nil)
	}
	w.event("app_home_opened", ev)
	return nil
}

// UseShortcut runs a message shortcut on a message.
func (w *Workspace) UseShortcut(user, messageTS, callbackID string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := w.person(user)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(w.opt.Shortcuts, func(s Shortcut) bool { return s.CallbackID == callbackID }) {
		return fmt.Errorf("%w: there is no shortcut %q", ErrNo, callbackID)
	}
	for _, c := range w.channels {
		m := c.find(messageTS)
		if m == nil || m.Ephemeral != "" || !w.isMember(c, u.ID) {
			continue
		}
		p := w.base("message_action", u)
		h := &responseHook{channel: c.id, user: u.ID, thread: m.ThreadTS}
		p["callback_id"], p["action_ts"], p["message_ts"] = callbackID, w.newTS(), m.TS
		p["channel"] = map[string]any{"id": c.id, "name": c.name}
		p["message"] = w.messageJSON(m, true)
		p["response_url"], p["trigger_id"] = w.newHook(h), w.newTrigger(u.ID)
		w.interactive(p, nil, w.lostClick(u, c, h.thread, "shortcut"))
		return nil
	}
	return fmt.Errorf("%w: %s sees no message %s", ErrNo, u.Name, messageTS)
}

// ChangeUser changes a person (deactivates them, makes them a guest) and tells the app.
func (w *Workspace) ChangeUser(id string, change func(*User)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.user(id)
	if u == nil {
		return
	}
	change(u)
	w.touch()
	w.event("user_change", map[string]any{"type": "user_change", "user": w.userJSON(u), "cache_ts": w.opt.Now().Unix()})
}

// AddUser adds a person to the workspace and to the app's channel.
func (w *Workspace) AddUser(u User) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u.TeamID == "" {
		u.TeamID = teamID
	}
	w.users = append(w.users, &u)
	w.members[w.channels[0].id+u.ID] = true
	w.touch()
}

// SetGroup sets the members of the user group.
func (w *Workspace) SetGroup(users ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.groups[0].members = append([]string{}, users...)
}

// Invite adds the app to a channel; Kick removes it.
func (w *Workspace) Invite(channel string) { w.setMember(channel, true) }

// Kick removes the app from a channel.
func (w *Workspace) Kick(channel string) { w.setMember(channel, false) }

func (w *Workspace) setMember(channel string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.channel(channel); c != nil {
		c.member = on
		w.members[c.id+botUserID] = on
		w.touch()
	}
}

// Messages returns what stands in a channel (empty: the app's), ephemeral messages too, oldest first.
func (w *Workspace) Messages(channel string) []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	if channel == "" {
		channel = w.channels[0].id
	}
	var out []Message
	if c := w.channel(channel); c != nil {
		for _, m := range c.messages {
			if !m.Deleted {
				out = append(out, w.filled(m))
			}
		}
	}
	return out
}

// filled is a copy with the files' bytes.
func (w *Workspace) filled(m *Message) Message {
	c := m.copy()
	for i, f := range c.Files {
		if g := w.files[f.ID]; g != nil {
			c.Files[i] = g.File
		}
	}
	return c
}

// Message returns one message by its ts, from whatever channel.
func (w *Workspace) Message(ts string) (Message, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.channels {
		if m := c.find(ts); m != nil {
			return w.filled(m), true
		}
	}
	return Message{}, false
}

// WaitFor returns the first message (of all channels, oldest first) that match accepts, as soon as there is one.
func (w *Workspace) WaitFor(ctx context.Context, match func(Message) bool) (Message, error) {
	for {
		w.mu.Lock()
		changed := w.changed
		var all []Message
		for _, c := range w.channels {
			for _, m := range c.messages {
				if !m.Deleted {
					all = append(all, w.filled(m))
				}
			}
		}
		w.mu.Unlock()
		for _, m := range all {
			if match(m) {
				return m, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			var last strings.Builder
			for _, m := range all[max(0, len(all)-5):] {
				fmt.Fprintf(&last, "\n  %s %s: %.200s", m.TS, m.User, strings.ReplaceAll(m.Content(), "\n", " | "))
			}
			return Message{}, fmt.Errorf("waiting for a message in Slack: %w; the last of %d messages:%s", ctx.Err(), len(all), last.String())
		}
	}
}

// Wait returns as soon as cond is true; it is asked again at every change of the workspace and may call it.
func (w *Workspace) Wait(ctx context.Context, cond func() bool) error {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the Slack workspace: %w", ctx.Err())
		}
	}
}
