package syslog

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPublishedLogs reads the published outputs of show logging and finds in them the
// messages that the publishers' own parsers found.
func TestPublishedLogs(t *testing.T) {
	files, _ := filepath.Glob("../../../../shared/outputs/cisco_*/*/*.txt")
	if len(files) == 0 {
		t.Skip("no published outputs beside the checkout (shared/outputs)")
	}
	logs, found, noise := 0, 0, 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		evs, _ := Parse(lines(string(b)), f)
		dir := filepath.Base(filepath.Dir(f))
		if !strings.Contains(dir, "logging") && !strings.Contains(dir, "syslog") {
			if !strings.Contains(dir, "event_trace") {
				noise += len(evs)
				for _, e := range evs {
					t.Logf("%s:%d taken for a message: %.90q", filepath.Base(dir), e.Place.Line, e.Text)
				}
			}
			continue
		}
		logs++
		found += len(evs)
		want, err := os.ReadFile(strings.TrimSuffix(f, ".txt") + ".expected.yml")
		if err != nil {
			continue
		}
		ids := ""
		for _, e := range evs {
			ids += " " + e.ID
		}
		for _, m := range regexp.MustCompile(`mnemonic: "?([A-Z0-9_]+)`).FindAllStringSubmatch(string(want), -1) {
			// Only what has the form of a message; theirs also takes "CEF-HWIDB: text".
			if regexp.MustCompile(`[0-7]-`+m[1]).Match(b) && !strings.Contains(ids, m[1]) {
				t.Errorf("%s: %s not found", f, m[1])
			}
		}
	}
	if noise > 0 {
		t.Errorf("%d lines that are no messages", noise)
	}
	t.Logf("%d logs, %d messages; %d lines of other outputs taken for messages", logs, found, noise)
}
