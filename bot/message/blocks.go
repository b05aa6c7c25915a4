package message

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Message is what is posted: Text is the verdict in words.
type Message struct {
	Text      string  `json:"text"`
	Blocks    []Block `json:"blocks,omitempty"`
	Broadcast bool    `json:"broadcast,omitempty"` // a reply that the channel shall see too
}

// Block is a Block Kit block as JSON.
type Block map[string]any

// View is a modal or a home tab as JSON.
type View map[string]any

// JSON is the message as kept in the queue.
func (m Message) JSON() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("message: a view holds what JSON cannot: " + err.Error()) // only strings, numbers, maps and slices of ours
	}
	return b
}

func mrkdwn(s string) map[string]any {
	if strings.TrimSpace(s) == "" {
		s = "-" // Slack takes no empty text
	}
	return map[string]any{"type": "mrkdwn", "text": s, "verbatim": true}
}

func plainText(s string, n int) map[string]any {
	return map[string]any{"type": "plain_text", "text": plain(s, n), "emoji": true}
}

func section(markup string) Block {
	return Block{"type": "section", "text": mrkdwn(markup)}
}

func context(markup string) Block {
	return Block{"type": "context", "elements": []any{mrkdwn(markup)}}
}

func divider() Block { return Block{"type": "divider"} }

func actions(id string, buttons ...map[string]any) Block {
	els := make([]any, len(buttons))
	for i, b := range buttons {
		els[i] = b
	}
	return Block{"type": "actions", "block_id": cut(id, 255), "elements": els}
}

func button(action, value, label string) map[string]any {
	return map[string]any{"type": "button", "action_id": action, "value": cut(value, 2000), "text": plainText(label, maxLabel)}
}

// builder collects blocks and stops before Slack's limits. What stands at the end of a
// message (buttons, footers) is reserved first.
type builder struct {
	blocks []Block
	chars  int
	tail   []Block
	short  bool // something did not fit
}

func (b *builder) add(bs ...Block) {
	for _, x := range bs {
		n := size(x)
		if b.short || len(b.blocks)+len(b.tail)+1 >= maxBlocks || b.chars+n > maxChars-100 {
			b.short = true
			return
		}
		b.blocks = append(b.blocks, x)
		b.chars += n
	}
}

// last reserves blocks for the end.
func (b *builder) last(bs ...Block) {
	for _, x := range bs {
		b.tail = append(b.tail, x)
		b.chars += size(x)
	}
}

func (b *builder) done(text string) Message {
	if b.short {
		b.blocks = append(b.blocks, context("… shortened; the whole stands in the thread or in its files"))
	}
	if strings.TrimSpace(clean(text, false)) == "" {
		text = "vpnbot"
	}
	return Message{Text: words(text, maxText), Blocks: append(b.blocks, b.tail...)}
}

// size counts the characters of all texts of a block.
func size(v any) int {
	switch v := v.(type) {
	case Block:
		return size(map[string]any(v))
	case map[string]any:
		n := 0
		for k, e := range v {
			if s, ok := e.(string); ok {
				if k == "text" || k == "alt_text" {
					n += utf8.RuneCountInString(s)
				}
				continue
			}
			n += size(e)
		}
		return n
	case []any:
		n := 0
		for _, e := range v {
			n += size(e)
		}
		return n
	}
	return 0
}

// WithBacklog notes on a message that Slack throttles and how much waits.
func WithBacklog(m Message, waiting int) Message {
	if len(m.Blocks) == 0 || len(m.Blocks) >= maxBlocks {
		return m
	}
	note := context("⏳ Slack slows vpnbot down: " + strconv.Itoa(waiting) + " more messages wait. Nothing is lost.")
	m.Blocks = append(m.Blocks[:len(m.Blocks):len(m.Blocks)], note)
	return m
}
