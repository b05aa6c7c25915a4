package workspace

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Block Kit's schema as rules over decoded JSON. A rule looks at one value and says what is wrong with it, with
// the JSON pointer that Slack would name. Characters are counted as code points.
// Source of the limits: docs.slack.dev/reference/block-kit (blocks, block elements, composition objects, views).

type rule func(c *checker, at string, v any)

// fields are the rules of an object's fields; a name that ends in ! is required, any other field is refused.
type fields map[string]rule

// surface is where blocks stand: their number and kinds differ.
type surface string

const (
	onMessage surface = "message"
	onModal   surface = "modal"
	onHome    surface = "home"
)

// maxBlockText is what a message's blocks may hold together. Slack does not document it; it answers
// msg_blocks_too_long at about 13,200 characters (slackapi/bolt-js issue 2509).
const maxBlockText = 13_200

// maxSensible is above which a message is recorded with a warning: nobody reads it.
const maxSensible = 12_000

type checker struct {
	surface  surface
	errs     []string
	blockIDs map[string]bool
	actions  map[string]bool // action ids of the block at hand
	chars    int             // all texts
	tables   int
	inputs   int
}

func (c *checker) fail(at, format string, args ...any) {
	if at == "" {
		at = "/"
	}
	c.errs = append(c.errs, "[ERROR] "+fmt.Sprintf(format, args...)+" [json-pointer:"+at+"]")
}

// checkBlocks validates blocks and returns them with block ids filled in, the number of their characters, and
// what is wrong in Slack's words.
func checkBlocks(v any, on surface, root string, newID func() string) (blocks []any, chars int, errs []string) {
	c := &checker{surface: on, blockIDs: map[string]bool{}}
	list, ok := v.([]any)
	if !ok {
		c.fail(root, "must be an array")
		return nil, 0, c.errs
	}
	most := 50
	if on != onMessage {
		most = 100
	}
	if len(list) > most {
		c.fail(root, "no more than %d items allowed", most)
	}
	for i, b := range list {
		if i >= most {
			break
		}
		c.block(fmt.Sprintf("%s/%d", root, i), b)
	}
	if len(c.errs) > 0 {
		return nil, c.chars, c.errs
	}
	out := make([]any, len(list))
	for i, b := range list {
		m := stored(b).(map[string]any)
		if m["block_id"] == nil || m["block_id"] == "" {
			m["block_id"] = newID()
		}
		out[i] = m
	}
	return out, c.chars, nil
}

var entityLike = regexp.MustCompile(`&(?:amp|lt|gt);|&`)
var controlLike = regexp.MustCompile(`<(?:[@#!][^<>\n]*|(?:https?|mailto|tel):[^<>\n]*)>|[<>]`)

// storedText is how Slack keeps a text and gives it back in events and payloads: & < > as entities, but for
// entities that came as such and, in mrkdwn, for control sequences (bolt-python issue 513).
func storedText(s string, mrkdwn bool) string {
	s = entityLike.ReplaceAllStringFunc(s, func(e string) string {
		if e == "&" {
			return "&amp;"
		}
		return e
	})
	if !mrkdwn {
		return strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(s)
	}
	return controlLike.ReplaceAllStringFunc(s, func(e string) string {
		switch e {
		case "<":
			return "&lt;"
		case ">":
			return "&gt;"
		}
		return e
	})
}

// stored copies blocks as Slack keeps them.
func stored(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = stored(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = stored(e)
		}
		if t, ok := v["text"].(string); ok && (v["type"] == "plain_text" || v["type"] == "mrkdwn") {
			out["text"] = storedText(t, v["type"] == "mrkdwn")
		}
		return out
	}
	return v
}

func (c *checker) block(at string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fail(at, "must be an object")
		return
	}
	c.actions = map[string]bool{}
	var f fields
	switch kind, _ := m["type"].(string); kind {
	case "section":
		f = fields{
			"text":      text(1, 3000, "plain_text", "mrkdwn"),
			"fields":    list(1, 10, text(1, 2000, "plain_text", "mrkdwn")),
			"accessory": element("button", "image", "overflow", "static_select", "multi_static_select", "users_select", "multi_users_select", "conversations_select", "channels_select", "external_select", "datepicker", "timepicker", "checkboxes", "radio_buttons"),
			"expand":    boolean,
		}
		if m["text"] == nil && m["fields"] == nil {
			c.fail(at, "missing required field: text")
		}
	case "header":
		f = fields{"text!": text(1, 150, "plain_text"), "level": number}
	case "divider":
		f = fields{}
	case "context":
		f = fields{"elements!": list(1, 10, contextElement)}
	case "actions":
		f = fields{"elements!": list(1, 25, element("button", "overflow", "static_select", "multi_static_select", "users_select", "multi_users_select", "conversations_select", "channels_select", "external_select", "datepicker", "timepicker", "checkboxes", "radio_buttons"))}
	case "image":
		f = fields{"image_url": address, "slack_file": object(fields{"id": chars(1, 255), "url": address}), "alt_text!": chars(1, 2000), "title": text(1, 2000, "plain_text")}
		if (m["image_url"] == nil) == (m["slack_file"] == nil) {
			c.fail(at, "exactly one of image_url and slack_file must be given")
		}
	case "input":
		c.inputs++
		f = fields{
			"label!": text(1, 2000, "plain_text"), "hint": text(1, 2000, "plain_text"), "optional": boolean, "dispatch_action": boolean,
			"element!": element("plain_text_input", "static_select", "multi_static_select", "users_select", "multi_users_select", "conversations_select", "channels_select", "external_select", "checkboxes", "radio_buttons", "datepicker", "timepicker", "number_input"),
		}
	case "rich_text":
		f = fields{"elements!": list(1, 1000, richElement)}
	case "table":
		c.tables++
		if c.tables > 1 {
			c.fail(at, "only one table is allowed in a message")
		}
		f = fields{"rows!": tableRows, "column_settings": list(0, 20, nullable(object(fields{"align": oneOf("left", "center", "right"), "is_wrapped": boolean})))}
	case "markdown":
		f = fields{"text!": chars(1, 12_000)}
		c.chars += utf8.RuneCountInString(str(m["text"]))
	case "":
		c.fail(at, "missing required field: type")
		return
	default:
		c.fail(at+"/type", "unsupported type: %s", kind)
		return
	}
	f["type"] = isString
	f["block_id"] = chars(0, 255)
	c.object(at, m, f)
	if id := str(m["block_id"]); id != "" {
		if c.blockIDs[id] {
			c.fail(at+"/block_id", "`block_id` %q already exists", id)
		}
		c.blockIDs[id] = true
	}
}

func (c *checker) object(at string, v any, f fields) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fail(at, "must be an object")
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		r, ok := f[k]
		if !ok {
			r, ok = f[k+"!"]
		}
		if !ok {
			c.fail(at, "invalid additional property: %s", k)
			continue
		}
		r(c, at+"/"+k, m[k])
	}
	for _, k := range slices.Sorted(maps.Keys(f)) {
		if name, required := strings.CutSuffix(k, "!"); required {
			if _, ok := m[name]; !ok {
				c.fail(at, "missing required field: %s", name)
			}
		}
	}
}

func object(f fields) rule { return func(c *checker, at string, v any) { c.object(at, v, f) } }

func nullable(r rule) rule {
	return func(c *checker, at string, v any) {
		if v != nil {
			r(c, at, v)
		}
	}
}

func list(least, most int, r rule) rule {
	return func(c *checker, at string, v any) {
		l, ok := v.([]any)
		if !ok {
			c.fail(at, "must be an array")
			return
		}
		if len(l) < least {
			c.fail(at, "no fewer than %d items allowed", least)
		}
		if len(l) > most {
			c.fail(at, "no more than %d items allowed", most)
			return
		}
		for i, e := range l {
			r(c, fmt.Sprintf("%s/%d", at, i), e)
		}
	}
}

func isString(c *checker, at string, v any) {
	if _, ok := v.(string); !ok {
		c.fail(at, "must be a string")
	}
}

func boolean(c *checker, at string, v any) {
	if _, ok := v.(bool); !ok {
		c.fail(at, "must be a boolean")
	}
}

func number(c *checker, at string, v any) {
	if _, ok := v.(json.Number); !ok {
		c.fail(at, "must be a number")
	}
}

func between(least, most int64) rule {
	return func(c *checker, at string, v any) {
		n, ok := v.(json.Number)
		if !ok {
			c.fail(at, "must be a number")
			return
		}
		if i, err := n.Int64(); err != nil || i < least || i > most {
			c.fail(at, "must be a whole number from %d to %d", least, most)
		}
	}
}

func oneOf(values ...string) rule {
	return func(c *checker, at string, v any) {
		if s, ok := v.(string); !ok || !slices.Contains(values, s) {
			c.fail(at, "must be one of %s", strings.Join(values, ", "))
		}
	}
}

// chars is a string of least to most characters.
func chars(least, most int) rule {
	return func(c *checker, at string, v any) {
		s, ok := v.(string)
		if !ok {
			c.fail(at, "must be a string")
			return
		}
		if !utf8.ValidString(s) {
			c.fail(at, "must be valid UTF-8")
		}
		switch n := utf8.RuneCountInString(s); {
		case n < least:
			c.fail(at, "must be more than %d characters", least-1)
		case n > most:
			c.fail(at, "must be less than %d characters", most+1)
		}
	}
}

func address(c *checker, at string, v any) {
	chars(1, 3000)(c, at, v)
	s, _ := v.(string)
	if u, err := url.Parse(s); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		c.fail(at, "invalid url")
	}
}

// text is a text object of one of the kinds.
func text(least, most int, kinds ...string) rule {
	return func(c *checker, at string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			c.fail(at, "must be an object")
			return
		}
		kind := str(m["type"])
		if !slices.Contains(kinds, kind) {
			c.fail(at+"/type", "must be one of %s", strings.Join(kinds, ", "))
			return
		}
		f := fields{"type!": isString, "text!": chars(least, most)}
		if kind == "plain_text" {
			f["emoji"] = boolean
		} else {
			f["verbatim"] = boolean
		}
		c.object(at, v, f)
		c.chars += utf8.RuneCountInString(str(m["text"]))
	}
}

func contextElement(c *checker, at string, v any) {
	m, _ := v.(map[string]any)
	if m["type"] == "image" {
		element("image")(c, at, v)
		return
	}
	text(1, 3000, "plain_text", "mrkdwn")(c, at, v)
}

var confirm = object(fields{
	"title!": text(1, 100, "plain_text"), "text!": text(1, 300, "plain_text", "mrkdwn"),
	"confirm!": text(1, 30, "plain_text"), "deny!": text(1, 30, "plain_text"), "style": oneOf("primary", "danger"),
})

func option(kinds ...string) rule {
	return object(fields{"text!": text(1, 75, kinds...), "value!": chars(1, 150), "description": text(1, 75, kinds...), "url": address})
}

var optionGroup = object(fields{"label!": text(1, 75, "plain_text"), "options!": list(1, 100, option("plain_text"))})

// element is an interactive element or picture of one of the kinds.
func element(kinds ...string) rule {
	return func(c *checker, at string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			c.fail(at, "must be an object")
			return
		}
		kind := str(m["type"])
		if !slices.Contains(kinds, kind) {
			c.fail(at+"/type", "unsupported type: %s", kind)
			return
		}
		f := fields{"type!": isString, "action_id": chars(0, 255)}
		placeholder, plain := text(1, 150, "plain_text"), option("plain_text")
		switch kind {
		case "image":
			delete(f, "action_id")
			maps.Copy(f, fields{"image_url": address, "slack_file": object(fields{"id": chars(1, 255), "url": address}), "alt_text!": chars(1, 2000)})
			if (m["image_url"] == nil) == (m["slack_file"] == nil) {
				c.fail(at, "exactly one of image_url and slack_file must be given")
			}
		case "button":
			maps.Copy(f, fields{"text!": text(1, 75, "plain_text"), "url": address, "value": chars(0, 2000), "style": oneOf("primary", "danger"), "confirm": confirm, "accessibility_label": chars(1, 75)})
		case "overflow":
			maps.Copy(f, fields{"options!": list(1, 5, plain), "confirm": confirm})
		case "static_select", "multi_static_select":
			maps.Copy(f, fields{"placeholder": placeholder, "options": list(1, 100, plain), "option_groups": list(1, 100, optionGroup), "confirm": confirm, "focus_on_load": boolean})
			if kind == "static_select" {
				f["initial_option"] = plain
			} else {
				f["initial_options"], f["max_selected_items"] = list(1, 100, plain), between(1, 100)
			}
			if (m["options"] == nil) == (m["option_groups"] == nil) {
				c.fail(at, "exactly one of options and option_groups must be given")
			}
		case "external_select":
			maps.Copy(f, fields{"placeholder": placeholder, "initial_option": plain, "min_query_length": between(0, 255), "confirm": confirm, "focus_on_load": boolean})
		case "users_select", "conversations_select", "channels_select":
			maps.Copy(f, fields{"placeholder": placeholder, "initial_" + strings.TrimSuffix(kind, "s_select"): chars(1, 255), "confirm": confirm, "focus_on_load": boolean, "response_url_enabled": boolean})
		case "multi_users_select":
			maps.Copy(f, fields{"placeholder": placeholder, "initial_users": list(1, 100, isString), "max_selected_items": between(1, 100), "confirm": confirm, "focus_on_load": boolean})
		case "checkboxes", "radio_buttons":
			o := option("plain_text", "mrkdwn")
			maps.Copy(f, fields{"options!": list(1, 10, o), "confirm": confirm, "focus_on_load": boolean})
			if kind == "checkboxes" {
				f["initial_options"] = list(1, 10, o)
			} else {
				f["initial_option"] = o
			}
		case "datepicker":
			maps.Copy(f, fields{"placeholder": placeholder, "initial_date": isString, "confirm": confirm, "focus_on_load": boolean})
		case "timepicker":
			maps.Copy(f, fields{"placeholder": placeholder, "initial_time": isString, "timezone": isString, "confirm": confirm, "focus_on_load": boolean})
		case "plain_text_input":
			maps.Copy(f, fields{"placeholder": placeholder, "initial_value": chars(0, 3000), "multiline": boolean, "min_length": between(0, 3000), "max_length": between(1, 3000), "dispatch_action_config": object(fields{"trigger_actions_on": list(1, 2, oneOf("on_enter_pressed", "on_character_entered"))}), "focus_on_load": boolean})
		case "number_input":
			maps.Copy(f, fields{"placeholder": placeholder, "is_decimal_allowed!": boolean, "initial_value": isString, "min_value": isString, "max_value": isString, "focus_on_load": boolean})
		}
		c.object(at, v, f)
		if id := str(m["action_id"]); id != "" {
			if c.actions[id] {
				c.fail(at+"/action_id", "`action_id` %q already exists in this block", id)
			}
			c.actions[id] = true
		}
	}
}

var inlineStyle = object(fields{"bold": boolean, "italic": boolean, "strike": boolean, "code": boolean, "underline": boolean, "highlight": boolean, "client_highlight": boolean, "unlink": boolean})

// richInline is one piece of a rich text section.
func richInline(c *checker, at string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fail(at, "must be an object")
		return
	}
	f := fields{"type!": isString, "style": inlineStyle}
	switch kind := str(m["type"]); kind {
	case "text":
		f["text!"] = chars(1, 12_000)
	case "link":
		maps.Copy(f, fields{"url!": address, "text": chars(0, 12_000), "unsafe": boolean})
	case "user":
		f["user_id!"] = chars(1, 255)
	case "channel":
		f["channel_id!"] = chars(1, 255)
	case "usergroup":
		f["usergroup_id!"] = chars(1, 255)
	case "broadcast":
		f["range!"] = oneOf("here", "channel", "everyone")
	case "emoji":
		maps.Copy(f, fields{"name!": chars(1, 100), "unicode": isString, "skin_tone": number})
	case "color":
		f["value!"] = isString
	case "date":
		maps.Copy(f, fields{"timestamp!": number, "format!": isString, "url": address, "fallback": isString})
	default:
		c.fail(at+"/type", "unsupported type: %s", kind)
		return
	}
	c.object(at, v, f)
	c.chars += utf8.RuneCountInString(str(m["text"]))
}

func richElement(c *checker, at string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		c.fail(at, "must be an object")
		return
	}
	f := fields{"type!": isString, "elements!": list(0, 1000, richInline)}
	switch kind := str(m["type"]); kind {
	case "rich_text_section":
	case "rich_text_preformatted":
		f["border"], f["language"] = between(0, 1), isString
	case "rich_text_quote":
		f["border"] = between(0, 1)
	case "rich_text_list":
		f = fields{"type!": isString, "style!": oneOf("bullet", "ordered"), "elements!": list(1, 1000, richSection), "indent": between(0, 8), "offset": between(0, 1000), "border": between(0, 1)}
	default:
		c.fail(at+"/type", "unsupported type: %s", kind)
		return
	}
	c.object(at, v, f)
}

// richSection is an item of a rich text list: lists do not nest, they are indented.
func richSection(c *checker, at string, v any) {
	if m, ok := v.(map[string]any); ok && m["type"] != "rich_text_section" {
		c.fail(at+"/type", "must be one of rich_text_section")
		return
	}
	richElement(c, at, v)
}

func tableRows(c *checker, at string, v any) {
	before := c.chars
	list(1, 100, list(1, 20, func(c *checker, at string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			c.fail(at, "must be an object")
			return
		}
		switch kind := str(m["type"]); kind {
		case "raw_text":
			c.object(at, v, fields{"type": isString, "text!": chars(1, 10_000)})
			c.chars += utf8.RuneCountInString(str(m["text"]))
		case "raw_number":
			c.object(at, v, fields{"type": isString, "value!": number, "text": chars(1, 255)})
		case "rich_text":
			c.object(at, v, fields{"type": isString, "block_id": isString, "elements!": list(1, 1000, richElement)})
		default:
			c.fail(at+"/type", "unsupported type: %s", kind)
		}
	}))(c, at, v)
	if c.chars-before > 10_000 {
		c.fail(at, "the table's cells must be less than 10001 characters together")
	}
}

// checkView validates a modal or home view; root is its JSON pointer.
func checkView(v any, newID func() string) (map[string]any, []string) {
	m, ok := v.(map[string]any)
	c := &checker{}
	if !ok {
		c.fail("/view", "must be an object")
		return nil, c.errs
	}
	skip := func(*checker, string, any) {}
	f := fields{"type!": oneOf("modal", "home"), "blocks!": skip, "private_metadata": chars(0, 3000), "callback_id": chars(0, 255), "external_id": chars(0, 255)}
	on := onHome
	if m["type"] == "modal" {
		on = onModal
		maps.Copy(f, fields{"title!": text(1, 24, "plain_text"), "submit": nullable(text(1, 24, "plain_text")), "close": nullable(text(1, 24, "plain_text")), "clear_on_close": boolean, "notify_on_close": boolean, "submit_disabled": boolean})
	}
	c.object("/view", v, f)
	blocks, _, errs := checkBlocks(m["blocks"], on, "/view/blocks", newID)
	c.errs = append(c.errs, errs...)
	if on == onModal && m["submit"] == nil {
		for _, b := range blocks {
			if b.(map[string]any)["type"] == "input" {
				c.fail("/view/submit", "missing required field: submit (a modal with input blocks needs it)")
				break
			}
		}
	}
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	out := maps.Clone(m)
	out["blocks"] = blocks
	return out, nil
}

var eventType = regexp.MustCompile(`^[A-Za-z0-9_.\-]{1,255}$`)

// checkMetadata validates a message's metadata: event_type and event_payload, nothing else.
func checkMetadata(v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("metadata must be an object")
	}
	if len(m) == 0 {
		return nil
	}
	if !eventType.MatchString(str(m["event_type"])) {
		return fmt.Errorf("metadata.event_type must be 1 to 255 letters, digits, _ . -")
	}
	if _, ok := m["event_payload"].(map[string]any); !ok {
		return fmt.Errorf("metadata.event_payload must be an object")
	}
	for k := range m {
		if k != "event_type" && k != "event_payload" && k != "entities" {
			return fmt.Errorf("metadata.%s is unknown", k)
		}
	}
	if b, _ := json.Marshal(m); len(b) > 16_000 {
		return fmt.Errorf("metadata is larger than 16,000 bytes")
	}
	return nil
}
