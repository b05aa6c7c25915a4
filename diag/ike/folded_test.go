package ike

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vpnbot/diag/facts"
)

// TestFolded: folded or not, a capture shows the same, and shows it again.
func TestFolded(t *testing.T) {
	files := append(captures(t, "testdata"), captures(t, filepath.Join("..", "conditions", "testdata"))...)
	for _, path := range files {
		read := func(fold int) *facts.Capture {
			r, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			c, _ := Read(r, "x", "x", Options{Fold: fold})
			return c
		}
		open, small := read(1<<30), read(1)
		if open == nil {
			continue
		}
		if len(open.Negotiations)+len(open.ESP)/2 > 0 && small.Folded == nil {
			t.Fatalf("%s: not folded", path)
		}
		for range 2 {
			again := *small
			again.Folded = nil
			for _, n := range small.EachNegotiation() {
				again.Negotiations = append(again.Negotiations, n)
			}
			for _, f := range small.EachESP() {
				again.ESP = append(again.ESP, f)
			}
			if !reflect.DeepEqual(open, &again) {
				t.Fatalf("%s:\n%s", path, cmp.Diff(describe(open), describe(&again)))
			}
		}
	}
}
