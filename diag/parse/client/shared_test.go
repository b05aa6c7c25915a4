package client

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPublishedOutputs reads the published device outputs: none of their lines is a client's.
func TestPublishedOutputs(t *testing.T) {
	files, _ := filepath.Glob("../../../../shared/outputs/cisco_*/*/*.txt")
	if len(files) == 0 {
		t.Skip("no published outputs beside the checkout (shared/outputs)")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		evs, pings, _ := Parse(lines(string(b)), f)
		for _, e := range evs {
			t.Errorf("%s/%s:%d taken for %s: %.90q", filepath.Base(filepath.Dir(f)), filepath.Base(f), e.Place.Line, e.ID, e.Text)
		}
		if len(pings) > 0 {
			t.Errorf("%s: pings %+v", f, pings)
		}
	}
}
