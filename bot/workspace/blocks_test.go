package workspace_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"vpnbot/bot/workspace"
)

// call is a call of the Web API without any client in between.
func call(t *testing.T, w *workspace.Workspace, method string, params map[string]string) map[string]any {
	t.Helper()
	v := url.Values{"token": {w.BotToken()}}
	for k, x := range params {
		v.Set(k, x)
	}
	resp, err := newHTTPClient(t).PostForm(w.APIURL()+method, v)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// problem is the error and its messages in one line; empty when the answer is ok.
func problem(out map[string]any) string {
	if out["ok"] == true {
		return ""
	}
	return fmt.Sprint(out["error"], " ", out["response_metadata"])
}

func long(n int) string { return strings.Repeat("ü", n) }

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

func plainText(s string) string { return `{"type":"plain_text","text":` + quote(s) + `}` }
func markdown(s string) string  { return `{"type":"mrkdwn","text":` + quote(s) + `}` }

func times(n int, f func(int) string) string {
	var out []string
	for i := range n {
		out = append(out, f(i))
	}
	return strings.Join(out, ",")
}

func button(i int) string {
	return fmt.Sprintf(`{"type":"button","action_id":"a%d","text":%s}`, i, plainText("Go"))
}

func actions(els string) string { return `[{"type":"actions","elements":[` + els + `]}]` }

func confirmed(title, text, yes, no string) string {
	return actions(`{"type":"button","text":` + plainText("Go") + `,"confirm":{"title":` + plainText(title) + `,"text":` + markdown(text) + `,"confirm":` + plainText(yes) + `,"deny":` + plainText(no) + `}}`)
}

func menu(option string) string {
	return actions(`{"type":"static_select","action_id":"m","options":[` + option + `]}`)
}

// TestBlockKitLimits breaks every limit once; the value at the limit itself is accepted.
func TestBlockKitLimits(t *testing.T) {
	w, _ := start(t, workspace.Options{})
	section := func(s string) string { return `[{"type":"section","text":` + markdown(s) + `}]` }
	for _, c := range []struct{ name, good, bad, says string }{
		{"50 blocks", `[` + times(50, func(int) string { return `{"type":"divider"}` }) + `]`, `[` + times(51, func(int) string { return `{"type":"divider"}` }) + `]`, "no more than 50 items allowed [json-pointer:/blocks]"},
		{"section text of 3000", section(long(3000)), section(long(3001)), "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"},
		{"section text not empty", section("x"), section(""), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"},
		{"section needs something", section("x"), `[{"type":"section"}]`, "missing required field: text [json-pointer:/blocks/0]"},
		{"10 fields", `[{"type":"section","fields":[` + times(10, func(int) string { return markdown("f") }) + `]}]`, `[{"type":"section","fields":[` + times(11, func(int) string { return markdown("f") }) + `]}]`, "no more than 10 items"},
		{"field of 2000", `[{"type":"section","fields":[` + markdown(long(2000)) + `]}]`, `[{"type":"section","fields":[` + markdown(long(2001)) + `]}]`, "less than 2001 characters [json-pointer:/blocks/0/fields/0/text]"},
		{"header of 150", `[{"type":"header","text":` + plainText(long(150)) + `}]`, `[{"type":"header","text":` + plainText(long(151)) + `}]`, "less than 151"},
		{"header is plain", `[{"type":"header","text":` + plainText("x") + `}]`, `[{"type":"header","text":` + markdown("x") + `}]`, "must be one of plain_text [json-pointer:/blocks/0/text/type]"},
		{"context of 10", `[{"type":"context","elements":[` + times(10, func(int) string { return markdown("c") }) + `]}]`, `[{"type":"context","elements":[` + times(11, func(int) string { return markdown("c") }) + `]}]`, "no more than 10 items allowed [json-pointer:/blocks/0/elements]"},
		{"25 actions", actions(times(25, button)), actions(times(26, button)), "no more than 25 items"},
		{"some action", actions(button(1)), actions(""), "no fewer than 1 items"},
		{"button label of 75", actions(`{"type":"button","text":` + plainText(long(75)) + `}`), actions(`{"type":"button","text":` + plainText(long(76)) + `}`), "less than 76"},
		{"button label is plain", actions(button(1)), actions(`{"type":"button","text":` + markdown("x") + `}`), "must be one of plain_text"},
		{"button value of 2000", actions(`{"type":"button","text":` + plainText("x") + `,"value":"` + long(2000) + `"}`), actions(`{"type":"button","text":` + plainText("x") + `,"value":"` + long(2001) + `"}`), "less than 2001 characters [json-pointer:/blocks/0/elements/0/value]"},
		{"button style", actions(`{"type":"button","style":"danger","text":` + plainText("x") + `}`), actions(`{"type":"button","style":"default","text":` + plainText("x") + `}`), "must be one of primary, danger"},
		{"url of 3000", actions(`{"type":"button","text":` + plainText("x") + `,"url":"https://e.net/` + strings.Repeat("a", 2986) + `"}`), actions(`{"type":"button","text":` + plainText("x") + `,"url":"https://e.net/` + strings.Repeat("a", 2987) + `"}`), "less than 3001"},
		{"url with a scheme", actions(`{"type":"button","text":` + plainText("x") + `,"url":"https://e.net"}`), actions(`{"type":"button","text":` + plainText("x") + `,"url":"javascript:alert(1)"}`), "invalid url"},
		{"action_id of 255", actions(`{"type":"button","action_id":"` + long(255) + `","text":` + plainText("x") + `}`), actions(`{"type":"button","action_id":"` + long(256) + `","text":` + plainText("x") + `}`), "less than 256"},
		{"action_id unique in its block", actions(button(1) + "," + button(2)), actions(button(1) + "," + button(1)), "already exists in this block"},
		{"block_id of 255", `[{"type":"divider","block_id":"` + long(255) + `"}]`, `[{"type":"divider","block_id":"` + long(256) + `"}]`, "less than 256 characters [json-pointer:/blocks/0/block_id]"},
		{"block_id unique", `[{"type":"divider","block_id":"a"},{"type":"divider","block_id":"b"}]`, `[{"type":"divider","block_id":"a"},{"type":"divider","block_id":"a"}]`, "already exists"},
		{"confirm title of 100", confirmed(long(100), "t", "y", "n"), confirmed(long(101), "t", "y", "n"), "confirm/title/text"},
		{"confirm text of 300", confirmed("t", long(300), "y", "n"), confirmed("t", long(301), "y", "n"), "less than 301"},
		{"confirm label of 30", confirmed("t", "t", long(30), "n"), confirmed("t", "t", long(31), "n"), "less than 31"},
		{"deny label of 30", confirmed("t", "t", "y", long(30)), confirmed("t", "t", "y", long(31)), "confirm/deny"},
		{"picture has alt text", `[{"type":"image","image_url":"https://e.net/a.png","alt_text":"a"}]`, `[{"type":"image","image_url":"https://e.net/a.png"}]`, "missing required field: alt_text"},
		{"alt text of 2000", `[{"type":"image","image_url":"https://e.net/a.png","alt_text":"` + long(2000) + `"}]`, `[{"type":"image","image_url":"https://e.net/a.png","alt_text":"` + long(2001) + `"}]`, "less than 2001"},
		{"one source of a picture", `[{"type":"image","slack_file":{"id":"F1"},"alt_text":"a"}]`, `[{"type":"image","alt_text":"a"}]`, "exactly one of image_url and slack_file"},
		{"option text of 75", menu(`{"text":` + plainText(long(75)) + `,"value":"v"}`), menu(`{"text":` + plainText(long(76)) + `,"value":"v"}`), "options/0/text/text"},
		{"option value", menu(`{"text":` + plainText("x") + `,"value":"` + long(150) + `"}`), menu(`{"text":` + plainText("x") + `,"value":"` + long(151) + `"}`), "less than 151"},
		{"100 options", menu(times(100, func(i int) string { return fmt.Sprintf(`{"text":%s,"value":"%d"}`, plainText("x"), i) })), menu(times(101, func(i int) string { return fmt.Sprintf(`{"text":%s,"value":"%d"}`, plainText("x"), i) })), "no more than 100"},
		{"known type", `[{"type":"divider"}]`, `[{"type":"fancy"}]`, "unsupported type: fancy [json-pointer:/blocks/0/type]"},
		{"known field", `[{"type":"divider"}]`, `[{"type":"divider","color":"red"}]`, "invalid additional property: color [json-pointer:/blocks/0]"},
		{"known field inside", section("x"), `[{"type":"section","text":{"type":"mrkdwn","text":"x","emoji":true}}]`, "invalid additional property: emoji"},
		{"one table", `[{"type":"table","rows":[[{"type":"raw_text","text":"a"}]]}]`, `[{"type":"table","rows":[[{"type":"raw_text","text":"a"}]]},{"type":"table","rows":[[{"type":"raw_text","text":"a"}]]}]`, "only one table"},
		{"table of 20 columns", `[{"type":"table","rows":[[` + times(20, func(int) string { return `{"type":"raw_text","text":"a"}` }) + `]]}]`, `[{"type":"table","rows":[[` + times(21, func(int) string { return `{"type":"raw_text","text":"a"}` }) + `]]}]`, "no more than 20"},
		{"table cell not empty", `[{"type":"table","rows":[[{"type":"raw_text","text":"a"}]]}]`, `[{"type":"table","rows":[[{"type":"raw_text","text":""}]]}]`, "rows/0/0/text"},
		{"rich text", `[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"a","style":{"bold":true}}]},{"type":"rich_text_list","style":"bullet","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"a"}]}]}]}]`, `[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text"}]}]}]`, "missing required field: text"},
		{"array", `[]`, `{}`, "must be an array"},
	} {
		t.Run(c.name, func(t *testing.T) {
			post := func(blocks string) map[string]any {
				return call(t, w, "chat.postMessage", map[string]string{"channel": w.ChannelID(), "text": "x", "blocks": blocks})
			}
			if p := problem(post(c.good)); p != "" {
				t.Errorf("at the limit it was refused: %s", p)
			}
			p := problem(post(c.bad))
			if !strings.HasPrefix(p, "invalid_blocks ") || !strings.Contains(p, c.says) {
				t.Errorf("over the limit: got %q, want invalid_blocks with %q", p, c.says)
			}
		})
	}
}

func TestMessageContent(t *testing.T) {
	w, _ := start(t, workspace.Options{})
	three := func(n int) string {
		return `[` + times(4, func(int) string { return `{"type":"section","text":` + markdown(long(n)) + `}` }) + `]`
	}
	for _, c := range []struct {
		name   string
		params map[string]string
		says   string
	}{
		{"nothing", map[string]string{}, "no_text"},
		{"blocks that are no JSON", map[string]string{"text": "x", "blocks": "[{"}, "invalid_blocks_format"},
		{"all blocks too long together", map[string]string{"text": "x", "blocks": `[` + times(5, func(int) string { return `{"type":"section","text":` + markdown(long(2900)) + `}` }) + `]`}, "msg_blocks_too_long"},
		{"legacy attachments", map[string]string{"text": "x", "attachments": `[{"text":"a"}]`}, "invalid_attachments"},
		{"metadata without payload", map[string]string{"text": "x", "metadata": `{"event_type":"run"}`}, "invalid_metadata_format"},
		{"metadata with a strange type", map[string]string{"text": "x", "metadata": `{"event_type":"a b","event_payload":{}}`}, "invalid_metadata_format"},
		{"unknown channel", map[string]string{"text": "x", "channel": "C404"}, "channel_not_found"},
		{"channel by name", map[string]string{"text": "x", "channel": "#vpn-ops"}, "channel_not_found"},
		{"channel without the app", map[string]string{"text": "x", "channel": w.GeneralID()}, "not_in_channel"},
		{"thread that is not there", map[string]string{"text": "x", "thread_ts": "1.000000"}, "thread_not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := map[string]string{"channel": w.ChannelID()}
			for k, v := range c.params {
				p[k] = v
			}
			if got := problem(call(t, w, "chat.postMessage", p)); !strings.HasPrefix(got, c.says) {
				t.Errorf("got %q, want %s", got, c.says)
			}
		})
	}
	t.Run("12,000 characters warn", func(t *testing.T) {
		out := call(t, w, "chat.postMessage", map[string]string{"channel": w.ChannelID(), "text": "x", "blocks": three(3000)})
		if problem(out) != "" || len(w.Messages("")) != 1 || len(w.Messages("")[0].Warnings) != 0 {
			t.Errorf("12,000 are sensible: %v", out)
		}
		call(t, w, "chat.postMessage", map[string]string{"channel": w.ChannelID(), "text": long(12_001)})
		if ms := w.Messages(""); len(ms[1].Warnings) != 1 {
			t.Errorf("no warning: %v", ms[1].Warnings)
		}
	})
	t.Run("40,000 characters are cut", func(t *testing.T) {
		call(t, w, "chat.postMessage", map[string]string{"channel": w.ChannelID(), "text": long(40_001)})
		ms := w.Messages("")
		if got := len([]rune(ms[len(ms)-1].Text)); got != 40_000 {
			t.Errorf("%d characters", got)
		}
	})
}

func TestViewLimits(t *testing.T) {
	w, _ := start(t, workspace.Options{})
	view := func(extra string) string {
		return `{"type":"modal","title":` + plainText("T") + `,"blocks":[{"type":"divider"}]` + extra + `}`
	}
	input := `"blocks":[{"type":"input","block_id":"b","label":` + plainText("L") + `,"element":{"type":"plain_text_input","action_id":"a"}}]`
	for _, c := range []struct{ name, view, says string }{
		{"title of 24", `{"type":"modal","title":` + plainText(long(25)) + `,"blocks":[]}`, "/view/title/text"},
		{"submit of 24", view(`,"submit":` + plainText(long(25))), "/view/submit/text"},
		{"close of 24", view(`,"close":` + plainText(long(25))), "/view/close/text"},
		{"private_metadata of 3000", view(`,"private_metadata":"` + long(3001) + `"`), "/view/private_metadata"},
		{"callback_id of 255", view(`,"callback_id":"` + long(256) + `"`), "/view/callback_id"},
		{"100 blocks", `{"type":"modal","title":` + plainText("T") + `,"blocks":[` + times(101, func(int) string { return `{"type":"divider"}` }) + `]}`, "no more than 100"},
		{"input needs submit", `{"type":"modal","title":` + plainText("T") + `,` + input + `}`, "missing required field: submit"},
		{"unknown field", view(`,"colour":"red"`), "invalid additional property: colour"},
		{"home where a modal belongs", `{"type":"home","blocks":[]}`, "must be a view of type modal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := problem(call(t, w, "views.open", map[string]string{"trigger_id": "x", "view": c.view}))
			if !strings.HasPrefix(p, "invalid_arguments ") || !strings.Contains(p, c.says) {
				t.Errorf("got %q, want invalid_arguments with %q", p, c.says)
			}
		})
	}
	if p := problem(call(t, w, "views.open", map[string]string{"trigger_id": "x", "view": view("")})); !strings.HasPrefix(p, "invalid_trigger_id") {
		t.Errorf("a good view with a bad trigger: %s", p)
	}
}

func TestPageIsGuarded(t *testing.T) {
	w, _ := start(t, workspace.Options{})
	client := newHTTPClient(t)
	page, _ := url.Parse(w.PageURL())
	base := "http://" + page.Host
	token := page.Query().Get("token")
	for _, c := range []struct {
		name, method, path, host, origin, token string
		want                                    int
	}{
		{"with the token", "GET", "/?token=" + token, "", "", "", 200},
		{"without the token", "GET", "/", "", "", "", 403},
		{"wrong token", "GET", "/?token=0000", "", "", "", 403},
		{"state without the token", "GET", "/page/state", "", "", "", 403},
		{"state with the token", "GET", "/page/state", "", "", token, 200},
		{"a name that points here", "GET", "/?token=" + token, "evil.example:80", "", "", 421},
		{"another port's name", "GET", "/?token=" + token, "localhost:1", "", "", 421},
		{"localhost", "GET", "/?token=" + token, "localhost:" + page.Port(), "", "", 200},
		{"from a foreign page", "POST", "/page/act", "", "https://evil.example", token, 403},
		{"from the page itself", "POST", "/page/act", "", base, token, 400}, // not understood, but let in
		{"token of a post in the address", "POST", "/page/act?token=" + token, "", base, "", 403},
		{"API by a foreign name", "POST", "/api/auth.test", "evil.example", "", "", 421},
		{"file without the token", "GET", "/page/file/F1", "", "", "", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, _ := http.NewRequest(c.method, base+c.path, nil)
			if c.host != "" {
				req.Host = c.host
			}
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			if c.token != "" {
				req.Header.Set("X-Workspace-Token", c.token)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("status %d, want %d", resp.StatusCode, c.want)
			}
			if c.want == 200 && !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Error("no content security policy")
			}
		})
	}
}

func TestTextIsKeptAsSlackKeepsIt(t *testing.T) {
	w, _ := start(t, workspace.Options{})
	for _, c := range []struct{ name, kind, sent, kept string }{
		{"bare characters", "mrkdwn", "a < b & c > d", "a &lt; b &amp; c &gt; d"},
		{"entities stay", "mrkdwn", "a &lt; b &amp; c", "a &lt; b &amp; c"},
		{"control sequences stay", "mrkdwn", "<@U1> <!here> <https://e.net/?a=1&amp;b|x>", "<@U1> <!here> <https://e.net/?a=1&amp;b|x>"},
		{"no control sequence", "mrkdwn", "<script> <javascript:x|y>", "&lt;script&gt; &lt;javascript:x|y&gt;"},
		{"plain text has none", "plain_text", "<@U1> & more", "&lt;@U1&gt; &amp; more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := call(t, w, "chat.postMessage", map[string]string{"channel": w.ChannelID(), "text": "x", "blocks": `[{"type":"section","text":{"type":"` + c.kind + `","text":` + quote(c.sent) + `}}]`})
			got := out["message"].(map[string]any)["blocks"].([]any)[0].(map[string]any)["text"].(map[string]any)["text"]
			if got != c.kept {
				t.Errorf("kept %q, want %q", got, c.kept)
			}
		})
	}
}
