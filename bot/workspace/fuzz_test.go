package workspace

import (
	"encoding/json"
	"testing"
)

// FuzzBlocks: whatever an app sends as blocks, the validation ends, and what it accepts can be read, shown and
// stored again.
func FuzzBlocks(f *testing.F) {
	f.Add(`[{"type":"section","text":{"type":"mrkdwn","text":"x <@U1> & <b>"}}]`)
	f.Add(`[{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"x"},"confirm":null}]}]`)
	f.Add(`[{"type":"table","rows":[[null,{"type":"rich_text","elements":[]}]]}]`)
	f.Add(`[{"type":"rich_text","elements":[{"type":"rich_text_list","style":"bullet","elements":[{"type":"rich_text_section","elements":[]}]}]}]`)
	f.Add(`[{"type":"input","label":{"type":"plain_text","text":"l"},"element":{"type":"static_select","action_id":"a","option_groups":[{"label":{"type":"plain_text","text":"g"},"options":[{"text":{"type":"plain_text","text":"o"},"value":"v"}]}]}}]`)
	f.Fuzz(func(t *testing.T, s string) {
		v, err := decode(s)
		if err != nil {
			return
		}
		id := func() string { return "gen" }
		blocks, _, errs := checkBlocks(v, onMessage, "/blocks", id)
		if len(errs) > 0 {
			if blocks != nil {
				t.Error("refused blocks were handed on")
			}
			return
		}
		if l, ok := v.([]any); ok && len(blocks) != len(l) {
			t.Errorf("%d blocks became %d", len(l), len(blocks))
		}
		m := Message{Blocks: blocks}
		m.Content()
		m.Mentions()
		m.Links()
		m.Buttons()
		walkElements(blocks, func(_ string, el map[string]any) {
			initial(el)
			choice(el, "v")
		})
		if _, err := json.Marshal(blocks); err != nil {
			t.Error(err)
		}
		checkView(map[string]any{"type": "home", "blocks": v}, id)
	})
}
