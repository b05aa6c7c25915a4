package payload

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// Payloads with fewer fields than Slack's own, and with more.
func TestSparsePayloads(t *testing.T) {
	for _, c := range []struct {
		name  string
		parse func() (Event, error)
		want  func(Event) bool
	}{
		{"command without trigger", func() (Event, error) {
			return Command([]byte(`{"command":"/vpn","text":"status","user_id":"U1","channel_id":"C1","is_enterprise_install":"false","new_field":{"a":[1]}}`), "env1")
		},
			func(e Event) bool { return e.Key == "delivery:env1" && e.Text == "status" }},
		{"click without action_ts", func() (Event, error) {
			return Interaction([]byte(`{"type":"block_actions","user":{"id":"U1"},"trigger_id":"t1","container":{"channel_id":"C1","message_ts":"1.2"},"actions":[{"action_id":"approval.approve","value":"v"}]}`))
		},
			func(e Event) bool {
				return e.Channel == "C1" && e.TS == "1.2" && e.Value == "v" && strings.HasSuffix(e.Key, ":t1")
			}},
		{"click on the first message of a thread", func() (Event, error) {
			return Interaction([]byte(`{"type":"block_actions","user":{"id":"U1","team_id":"T1"},"team":null,"enterprise":null,"channel":{"id":"C1"},"message":{"ts":"1.2","thread_ts":"1.2","blocks":[{"type":"hologram","volume":3}]},"actions":[{"action_id":"run.cancel","value":"v","action_ts":"9"}]}`))
		},
			func(e Event) bool { return e.Thread == "" && e.Team == "T1" }},
		{"modal with a list", func() (Event, error) {
			return Interaction([]byte(`{"type":"view_submission","user":{"id":"U1"},"view":{"id":"V1","hash":"h","callback_id":"pick.tunnel","private_metadata":"m","state":{"values":{"tunnel":{"tunnel":{"type":"static_select","selected_option":{"value":"a"}}},"reason":{"reason":{"type":"plain_text_input","value":null}}}}}}`))
		},
			func(e Event) bool { return e.Values["tunnel"] == "a" && e.Metadata == "m" }},
		{"mention of an unknown shape", func() (Event, error) {
			return Callback([]byte(`{"type":"event_callback","event_id":"Ev1","team_id":"T1","event":{"type":"app_mention","user":"U1","text":"<@UBOT> status","ts":"1.5","channel":"C1","blocks":[{"type":"rich_text","elements":[{"type":"future"}]}],"files":null}}`))
		},
			func(e Event) bool { return e.Kind == "mention" && e.Key == "mention:C1:1.5" && e.Team == "T1" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := c.parse()
			if err != nil || !c.want(e) {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
	for name, payload := range map[string]string{
		"an edit": `{"type":"event_callback","event_id":"Ev2","event":{"type":"message","subtype":"message_changed","channel":"C1","ts":"1.6"}}`,
		"a bot":   `{"type":"event_callback","event_id":"Ev3","event":{"type":"message","user":"U1","bot_id":"B1","channel":"C1","ts":"1.7","text":"x"}}`,
		"new":     `{"type":"event_callback","event_id":"Ev4","event":{"type":"channel_sang"}}`,
	} {
		if _, err := Callback([]byte(payload)); !errors.Is(err, ErrIgnored) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzPayloads: whatever comes, parsing ends without a panic, and what is accepted can be
// written down: it has a key and a user.
func FuzzPayloads(f *testing.F) {
	f.Add([]byte(`{"type":"block_actions","user":{"id":"U1"},"actions":[{"action_id":"a","selected_option":{"value":"x"}}]}`))
	f.Add([]byte(`{"type":"message_action","user":{"id":"U1"},"callback_id":"explain_message","message":{"blocks":[{"text":{"text":"x"}},[1]]}}`))
	f.Add([]byte(`{"type":"event_callback","event_id":"E","event":{"type":"message","user":"U","ts":"1","files":[{"id":"F"}]}}`))
	f.Add([]byte(`command=%2Fvpn&user_id=U1&channel_id=C1`))
	f.Fuzz(func(t *testing.T, b []byte) {
		ok := func(e Event, err error) {
			if err != nil {
				return
			}
			if e.Key == "" || e.User == "" {
				t.Errorf("%+v", e)
			}
			if out, err := json.Marshal(e); err != nil || !utf8.Valid(out) {
				t.Errorf("%v", err)
			}
		}
		ok(Interaction(b))
		ok(Callback(b))
		ok(Command(b, "d"))
		if v, err := url.ParseQuery(string(b)); err == nil {
			ok(Command(Form(v), "d"))
		}
	})
}
