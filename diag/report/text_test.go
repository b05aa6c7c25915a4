package report

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestWriteJSON: written row by row it is the same as in one piece.
func TestWriteJSON(t *testing.T) {
	two, main, packet := 2, "main", 7
	for name, r := range map[string]Report{
		"zero":  {},
		"empty": {Schema: Schema, Tunnels: []Tunnel{}, Findings: []Finding{}, Errors: []Error{}},
		"full": {Schema: Schema, GeneratedAt: time.Date(2026, 11, 28, 9, 0, 0, 5, time.UTC),
			Tunnels: []Tunnel{{Name: "a,b <&>", Ends: []End{{Device: "hq", Address: "192.0.2.1"}, {}}, IKE: &two, Exchange: &main, State: Up}, {Name: "c"}},
			Findings: []Finding{{ID: "x", Tunnel: "a,b", Title: "line\nbreak", Evidence: []Evidence{{Source: "f", Packet: &packet}},
				Actions: []Action{{Steps: []string{"1"}}}, Symptoms: []string{}}, {}},
			Errors: []Error{{Source: "s", Kind: "k", Message: "m"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var rows, whole bytes.Buffer
			enc := json.NewEncoder(&whole)
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			if err := enc.Encode(r); err != nil {
				t.Fatal(err)
			}
			if err := WriteJSON(&rows, r); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(whole.String(), rows.String()); d != "" {
				t.Error(d)
			}
		})
	}
}
