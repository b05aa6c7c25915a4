package workspace

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// channel is a public channel, or a direct message channel when user is set.
type channel struct {
	id, name, topic string
	user            string // the person of a direct message channel
	member          bool   // the app is a member
	archived        bool
	private         bool
	messages        []*Message // in the order of their time stamps, ephemeral ones too
}

// Message is a message as it stands. Values handed out are copies.
type Message struct {
	Channel   string
	TS        string // its id
	ThreadTS  string // the thread's parent, when it is a reply
	User      string // the author
	BotID     string // set when an app posted it
	Text      string // the fallback text, as Slack keeps it (entities escaped)
	Blocks    []any  // decoded JSON
	Metadata  any    // decoded JSON, nil when none
	Files     []File
	Ephemeral string // only this user sees it
	Edits     int    // how often it was edited
	EditedTS  string
	Deleted   bool
	Broadcast bool
	Replies   []string            // ts of its replies, when it is a parent
	Reactions map[string][]string // emoji to users
	Pinned    bool
	Warnings  []string // what Slack would accept but a reader would not, e.g. more than 12,000 characters

	rev int64
}

// File is a file shared in a message.
type File struct {
	ID, Name, Title, Mimetype, AltText string
	User                               string
	Size                               int
	Content                            []byte
}

// Button is a button of a message.
type Button struct {
	BlockID, ActionID, Value, Text, Style, URL string
	Confirm                                    string // title, text and labels of its confirmation, empty when none
}

func (m *Message) copy() Message {
	c := *m
	c.Files = slices.Clone(m.Files)
	c.Replies = slices.Clone(m.Replies)
	c.Warnings = slices.Clone(m.Warnings)
	// Blocks and Metadata are replaced as a whole and never changed in place.
	return c
}

// IsReply says whether the message stands in a thread.
func (m Message) IsReply() bool { return m.ThreadTS != "" && m.ThreadTS != m.TS }

// Content is all that a reader sees of it as plain lines: the blocks' texts, or the text when it has no blocks,
// then the files' names. Slack's entities are decoded.
func (m Message) Content() string {
	var b []string
	if len(m.Blocks) == 0 {
		b = append(b, m.Text)
	}
	for _, blk := range m.Blocks {
		collectText(blk, &b)
	}
	for _, f := range m.Files {
		b = append(b, f.Title+" ("+f.Name+")")
	}
	return unescape(strings.Join(b, "\n"))
}

// Contains says whether a reader sees s in the message.
func (m Message) Contains(s string) bool { return strings.Contains(m.Content(), s) }

// collectText gathers what is shown of a block, in the order of the well-known fields.
func collectText(v any, out *[]string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			collectText(e, out)
		}
	case map[string]any:
		for _, k := range []string{"title", "text", "fields", "accessory", "elements", "rows", "placeholder", "label", "element", "options", "initial_value", "hint", "alt_text", "description"} {
			switch f := v[k].(type) {
			case string:
				*out = append(*out, f)
			case nil:
			default:
				collectText(f, out)
			}
		}
		if v["type"] == "user" {
			if id, ok := v["user_id"].(string); ok {
				*out = append(*out, "<@"+id+">")
			}
		}
	}
}

// Buttons lists the buttons of the message in their order.
func (m Message) Buttons() []Button {
	var out []Button
	walkElements(m.Blocks, func(blockID string, el map[string]any) {
		if el["type"] != "button" {
			return
		}
		b := Button{BlockID: blockID, ActionID: str(el["action_id"]), Value: str(el["value"]), Text: textOf(el["text"]), Style: str(el["style"]), URL: str(el["url"])}
		if c, ok := el["confirm"].(map[string]any); ok {
			b.Confirm = strings.Join([]string{textOf(c["title"]), textOf(c["text"]), textOf(c["confirm"]), textOf(c["deny"])}, "\n")
		}
		out = append(out, b)
	})
	return out
}

// Button returns the first button with this action id.
func (m Message) Button(actionID string) (Button, bool) {
	for _, b := range m.Buttons() {
		if b.ActionID == actionID {
			return b, true
		}
	}
	return Button{}, false
}

var mention = regexp.MustCompile(`<(@[UW][A-Z0-9]+|!(?:here|channel|everyone)|!subteam\^S[A-Z0-9]+)(?:\|[^>]*)?>`)
var link = regexp.MustCompile(`<((?:https?|mailto):[^|>]+)(?:\|[^>]*)?>`)

// Mentions lists who is notified by the message: user ids, here, channel, everyone, subteam^S…
func (m Message) Mentions() []string {
	var out []string
	for _, f := range mention.FindAllStringSubmatch(m.markup(), -1) {
		out = append(out, strings.TrimLeft(f[1], "@!"))
	}
	return out
}

// Links lists the addresses that a reader can follow from the message's markup.
func (m Message) Links() []string {
	var out []string
	for _, f := range link.FindAllStringSubmatch(m.markup(), -1) {
		out = append(out, unescape(f[1]))
	}
	return out
}

// markup is the text in which Slack looks for mentions and links: mrkdwn only, plain_text never.
func (m Message) markup() string {
	b := []string{m.Text}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if v["type"] == "mrkdwn" {
				b = append(b, str(v["text"]))
			}
			if v["type"] == "user" && str(v["user_id"]) != "" {
				b = append(b, "<@"+str(v["user_id"])+">")
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(m.Blocks)
	return strings.Join(b, "\n")
}

// walkElements calls f for every interactive element with its block's id.
func walkElements(blocks []any, f func(blockID string, el map[string]any)) {
	for _, b := range blocks {
		blk, ok := b.(map[string]any)
		if !ok {
			continue
		}
		id := str(blk["block_id"])
		if el, ok := blk["accessory"].(map[string]any); ok {
			f(id, el)
		}
		if el, ok := blk["element"].(map[string]any); ok {
			f(id, el)
		}
		if els, ok := blk["elements"].([]any); ok && blk["type"] != "rich_text" {
			for _, e := range els {
				if el, ok := e.(map[string]any); ok {
					f(id, el)
				}
			}
		}
	}
}

func str(v any) string { s, _ := v.(string); return s }

func textOf(v any) string {
	o, _ := v.(map[string]any)
	return str(o["text"])
}

var unescaper = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func unescape(s string) string { return unescaper.Replace(s) }

// find returns the message of a channel, or nil.
func (c *channel) find(ts string) *Message {
	i, ok := slices.BinarySearchFunc(c.messages, ts, func(m *Message, ts string) int { return strings.Compare(m.TS, ts) })
	if !ok || c.messages[i].Deleted {
		return nil
	}
	return c.messages[i]
}

// post adds a message: gives it its time stamp, files it under its thread, tells the app. The lock is held.
func (w *Workspace) post(c *channel, m *Message) *Message {
	m.Channel = c.id
	m.TS = w.newTS()
	m.rev = w.touch()
	c.messages = append(c.messages, m)
	if len(c.messages) > maxMessages {
		c.messages = slices.Delete(c.messages, 0, len(c.messages)-maxMessages)
	}
	if m.IsReply() && m.Ephemeral == "" {
		if p := c.find(m.ThreadTS); p != nil {
			p.Replies = append(p.Replies, m.TS)
			p.rev = m.rev
		}
	}
	if m.Ephemeral == "" {
		w.messageEvent(c, m)
	}
	return m
}

// messageJSON is the message object of Slack's answers, events and payloads. The lock is held.
func (w *Workspace) messageJSON(m *Message, metadata bool) map[string]any {
	o := map[string]any{"type": "message", "ts": m.TS, "text": m.Text, "team": teamID}
	if m.User != "" {
		o["user"] = m.User
	}
	if m.BotID != "" {
		o["bot_id"] = m.BotID
		o["app_id"] = appID
	}
	if len(m.Blocks) > 0 {
		o["blocks"] = m.Blocks
	}
	if m.ThreadTS != "" {
		o["thread_ts"] = m.ThreadTS
		if m.IsReply() {
			if c := w.channel(m.Channel); c != nil {
				if p := c.find(m.ThreadTS); p != nil {
					o["parent_user_id"] = p.User
				}
			}
		}
	}
	if n := len(m.Replies); n > 0 {
		o["thread_ts"] = m.TS
		o["reply_count"] = n
		o["latest_reply"] = m.Replies[n-1]
	}
	if m.Edits > 0 {
		o["edited"] = map[string]any{"user": m.User, "ts": m.EditedTS}
	}
	if metadata && m.Metadata != nil {
		o["metadata"] = m.Metadata
	}
	if len(m.Files) > 0 {
		var fs []any
		for _, f := range m.Files {
			if g := w.files[f.ID]; g != nil {
				fs = append(fs, w.fileJSON(g))
			}
		}
		o["files"] = fs
		o["upload"] = false
		o["subtype"] = "file_share"
	}
	if len(m.Reactions) > 0 {
		var rs []any
		for name, users := range m.Reactions {
			rs = append(rs, map[string]any{"name": name, "users": users, "count": len(users)})
		}
		o["reactions"] = rs
	}
	if m.Ephemeral != "" {
		o["is_ephemeral"] = true
	}
	return o
}

// decode parses JSON into maps, slices, strings, numbers.
func decode(s string) (any, error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}
