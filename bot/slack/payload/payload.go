// Package payload reads what Slack says: slash commands, interactions and events, in the one
// form of JSON that Socket Mode and signed requests share. In come bytes, out comes an Event
// or a reason why there is none. It knows nothing of connections and stores.
package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Event is something a person did, in one form for both modes of connection.
type Event struct {
	Kind       string // command, mention, message, action, submit, shortcut, home
	Key        string // the same for every delivery of the same act
	User       string
	Team       string // of the user
	Enterprise string
	Channel    string
	Text       string // command: after /vpn; mention: without the mention; shortcut: the message's text
	Command    string // /vpn
	TS         string // of the message that was acted on or written
	Thread     string // ts of the thread it stands in
	Trigger    string // trigger_id
	Hook       string // response_url
	Action     string // action_id
	Value      string
	Callback   string            // callback_id
	Metadata   string            // private_metadata
	Values     map[string]string // of a modal, by action id
	Files      []File
	Bot        bool // written by a bot
}

// File is a file that a person shared.
type File struct {
	ID, Name, URL string
	Size          int64
}

// ErrIgnored marks payloads that are understood and of no interest.
var ErrIgnored = errors.New("of no interest")

// Form turns the fields of a slash command into the same JSON that Socket Mode has.
func Form(v url.Values) []byte {
	m := map[string]string{}
	for k := range v {
		m[k] = v.Get(k)
	}
	b, _ := json.Marshal(m)
	return b
}

// Command reads a slash command; delivery is a name that its repetitions share.
func Command(payload []byte, delivery string) (Event, error) {
	var p struct {
		Command      string `json:"command"`
		Text         string `json:"text"`
		UserID       string `json:"user_id"`
		TeamID       string `json:"team_id"`
		EnterpriseID string `json:"enterprise_id"`
		ChannelID    string `json:"channel_id"`
		TriggerID    string `json:"trigger_id"`
		ResponseURL  string `json:"response_url"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return Event{}, fmt.Errorf("slash command not understood: %w", err)
	}
	if p.UserID == "" || p.ChannelID == "" {
		return Event{}, errors.New("slash command without user or channel")
	}
	key := "command:" + p.TriggerID
	if p.TriggerID == "" {
		key = "delivery:" + delivery
	}
	return Event{Kind: "command", Key: key, User: p.UserID, Team: p.TeamID, Enterprise: p.EnterpriseID, Channel: p.ChannelID, Text: p.Text, Command: p.Command, Trigger: p.TriggerID, Hook: p.ResponseURL}, nil
}

// Interaction reads a click, a submitted modal or a shortcut.
func Interaction(payload []byte) (Event, error) {
	var p struct {
		Type string `json:"type"`
		User struct {
			ID           string `json:"id"`
			TeamID       string `json:"team_id"`
			EnterpriseID string `json:"enterprise_id"`
		} `json:"user"`
		Team *struct {
			ID           string `json:"id"`
			EnterpriseID string `json:"enterprise_id"`
		} `json:"team"`
		Channel struct {
			ID string `json:"id"`
		} `json:"channel"`
		Container struct {
			ChannelID string `json:"channel_id"`
			MessageTS string `json:"message_ts"`
			ThreadTS  string `json:"thread_ts"`
		} `json:"container"`
		Message struct {
			TS       string          `json:"ts"`
			ThreadTS string          `json:"thread_ts"`
			Text     string          `json:"text"`
			Blocks   json.RawMessage `json:"blocks"`
		} `json:"message"`
		CallbackID  string `json:"callback_id"`
		TriggerID   string `json:"trigger_id"`
		ResponseURL string `json:"response_url"`
		ActionTS    string `json:"action_ts"`
		Actions     []struct {
			ActionID       string `json:"action_id"`
			BlockID        string `json:"block_id"`
			Value          string `json:"value"`
			ActionTS       string `json:"action_ts"`
			SelectedOption *struct {
				Value string `json:"value"`
			} `json:"selected_option"`
		} `json:"actions"`
		View struct {
			ID              string `json:"id"`
			Hash            string `json:"hash"`
			CallbackID      string `json:"callback_id"`
			PrivateMetadata string `json:"private_metadata"`
			State           struct {
				Values map[string]map[string]struct {
					Value          *string `json:"value"`
					SelectedOption *struct {
						Value string `json:"value"`
					} `json:"selected_option"`
				} `json:"values"`
			} `json:"state"`
		} `json:"view"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return Event{}, fmt.Errorf("interaction not understood: %w", err)
	}
	e := Event{User: p.User.ID, Team: p.User.TeamID, Enterprise: p.User.EnterpriseID, Channel: p.Channel.ID, Trigger: p.TriggerID, Hook: p.ResponseURL, TS: p.Message.TS, Thread: p.Message.ThreadTS}
	if e.Channel == "" {
		e.Channel = p.Container.ChannelID
	}
	if e.TS == "" {
		e.TS = p.Container.MessageTS
	}
	if e.Team == "" && p.Team != nil {
		e.Team, e.Enterprise = p.Team.ID, p.Team.EnterpriseID
	}
	if e.User == "" {
		return Event{}, errors.New("interaction without a user")
	}
	if e.Thread == e.TS {
		e.Thread = "" // the first message of a thread stands in the channel
	}
	switch p.Type {
	case "block_actions":
		if len(p.Actions) == 0 {
			return Event{}, ErrIgnored
		}
		a := p.Actions[0]
		e.Kind, e.Action, e.Value = "action", a.ActionID, a.Value
		if a.SelectedOption != nil {
			e.Value = a.SelectedOption.Value
		}
		if a.ActionTS == "" { // two clicks must not look like one
			a.ActionTS = p.TriggerID
		}
		e.Key = "action:" + strings.Join([]string{e.User, e.Channel, e.TS, p.View.ID, a.BlockID, a.ActionID, a.Value, a.ActionTS}, ":")
	case "view_submission":
		e.Kind, e.Callback, e.Metadata = "submit", p.View.CallbackID, p.View.PrivateMetadata
		e.Values = map[string]string{}
		for _, block := range p.View.State.Values {
			for id, v := range block {
				switch {
				case v.SelectedOption != nil:
					e.Values[id] = v.SelectedOption.Value
				case v.Value != nil:
					e.Values[id] = *v.Value
				}
			}
		}
		e.Key = "submit:" + p.View.ID + ":" + p.View.Hash
	case "message_action", "shortcut":
		e.Kind, e.Callback, e.Text = "shortcut", p.CallbackID, p.Message.Text
		if e.Text == "" {
			e.Text = textOfBlocks(p.Message.Blocks)
		}
		e.Key = "shortcut:" + p.TriggerID + ":" + p.ActionTS
	default:
		return Event{}, ErrIgnored
	}
	return e, nil
}

// Callback reads an event of the Events API.
func Callback(payload []byte) (Event, error) {
	var p struct {
		Type    string `json:"type"`
		TeamID  string `json:"team_id"`
		EventID string `json:"event_id"`
		Event   struct {
			Type     string `json:"type"`
			Subtype  string `json:"subtype"`
			User     string `json:"user"`
			UserTeam string `json:"user_team"`
			Team     string `json:"team"`
			BotID    string `json:"bot_id"`
			Channel  string `json:"channel"`
			Text     string `json:"text"`
			TS       string `json:"ts"`
			ThreadTS string `json:"thread_ts"`
			Tab      string `json:"tab"`
			Files    []struct {
				ID                 string `json:"id"`
				Name               string `json:"name"`
				URLPrivate         string `json:"url_private"`
				URLPrivateDownload string `json:"url_private_download"`
				Size               int64  `json:"size"`
			} `json:"files"`
		} `json:"event"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return Event{}, fmt.Errorf("event not understood: %w", err)
	}
	x := p.Event
	e := Event{Key: "event:" + p.EventID, User: x.User, Team: x.UserTeam, Channel: x.Channel, Text: x.Text, TS: x.TS, Thread: x.ThreadTS, Bot: x.BotID != ""}
	if e.Thread == e.TS {
		e.Thread = ""
	}
	if e.Team == "" {
		e.Team = x.Team
	}
	if e.Team == "" {
		e.Team = p.TeamID
	}
	for i, f := range x.Files {
		if i == 5 {
			break
		}
		u := f.URLPrivateDownload
		if u == "" {
			u = f.URLPrivate
		}
		e.Files = append(e.Files, File{ID: f.ID, Name: f.Name, URL: u, Size: f.Size})
	}
	switch x.Type {
	case "app_mention":
		e.Kind = "mention"
	case "message":
		if x.Subtype != "" && x.Subtype != "file_share" || e.Bot || e.User == "" {
			return Event{}, ErrIgnored
		}
		e.Kind = "message"
	case "app_home_opened":
		if x.Tab != "home" {
			return Event{}, ErrIgnored
		}
		e.Kind = "home"
	default:
		return Event{}, ErrIgnored
	}
	if e.Bot || e.User == "" || p.EventID == "" {
		return Event{}, ErrIgnored
	}
	// A mention arrives as app_mention and, where the app reads messages, as message too:
	// both are the same act.
	if e.Kind != "home" && e.TS != "" {
		e.Key = e.Kind + ":" + e.Channel + ":" + e.TS
	}
	return e, nil
}

// textOfBlocks gathers the texts of a message that has no text of its own.
func textOfBlocks(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return ""
	}
	var b strings.Builder
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if s, ok := v["text"].(string); ok && b.Len() < 8000 {
				b.WriteString(s + "\n")
			}
			for k, x := range v {
				if k != "text" || !isString(x) {
					walk(x)
				}
			}
		}
	}
	walk(v)
	return b.String()
}

func isString(v any) bool { _, ok := v.(string); return ok }
