package bot_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"vpnbot/bot/workspace"
)

// event sends an event as Slack would in HTTP mode.
func (o *office) event(n int, ev map[string]any) {
	o.t.Helper()
	b, err := json.Marshal(map[string]any{"type": "event_callback", "team_id": o.ws.TeamID(), "event_id": fmt.Sprint("Ev", n), "event": ev})
	if err != nil {
		o.t.Fatal(err)
	}
	if got := o.signed("/slack/events", string(b), o.clock.now()); got != 200 {
		o.t.Fatalf("event %d: %d", n, got)
	}
}

// Files in the bot's threads are read once; its own uploads never, also when Slack does
// not say that a bot wrote them; a name cannot become a mention.
func TestSharedFiles(t *testing.T) {
	o := httpOffice(t, nil)
	o.types(amelie, "/vpn diagnose london-pap")
	card := o.reads("The path drops IP fragments")
	o.until("the files", func() bool { return o.files(card) == 2 })

	ts, err := o.ws.ShareFiles("", card.TS, boris, "from the far end", workspace.File{Name: "<!channel> `x`.pcap", Content: []byte("1234")})
	if err != nil {
		t.Fatal(err)
	}
	read := o.message(func(m workspace.Message) bool { return m.IsReply() && m.Contains("4 bytes") }, nil)
	for _, who := range read.Mentions() {
		if who != boris {
			t.Errorf("a file's name mentions %s: %s", who, read.Content())
		}
	}
	shared, _ := o.ws.Message(ts)
	file := map[string]any{"id": shared.Files[0].ID, "name": "own.pcap", "size": 4}
	o.event(1, map[string]any{"type": "message", "subtype": "file_share", "user": o.ws.BotUserID(), "channel": card.Channel, "ts": "1.1", "thread_ts": card.TS, "files": []any{file}})
	// A mention comes twice: as a mention, here without its files, and as a message.
	mention := map[string]any{"type": "message", "subtype": "file_share", "user": boris, "channel": card.Channel, "ts": "1.2", "thread_ts": card.TS, "text": "<@" + o.ws.BotUserID() + ">", "files": []any{file}}
	o.event(2, mention)
	o.message(func(m workspace.Message) bool {
		return m.IsReply() && m.Contains("own.pcap: 4 bytes") && m.Contains("took")
	}, nil)
	o.event(3, map[string]any{"type": "app_mention", "user": boris, "channel": card.Channel, "ts": "1.2", "thread_ts": card.TS, "text": "<@" + o.ws.BotUserID() + ">", "files": []any{file}})
	o.types(boris, "/vpn playbooks") // dealt with after them
	o.whispered(boris, "finds out")
	n := 0
	for _, m := range o.ws.Messages("") {
		if strings.Contains(m.Content(), "own.pcap: 4 bytes") && strings.Contains(m.Content(), "took") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the file was read %d times", n)
	}
	for _, c := range o.ws.Calls("chat.postEphemeral") {
		if c.Params["user"] == o.ws.BotUserID() {
			t.Error("the bot refused itself")
		}
	}
	o.noneTwice()
}
