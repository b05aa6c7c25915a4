package bundle_test

import (
	"os"
	"path/filepath"
	"testing"

	"vpnbot/diag/bundle"
)

// Decoded packets are no complaint; a sentence in a text of its own is one.
func TestDissectedPacketsAreNoWords(t *testing.T) {
	for name, x := range map[string]struct {
		text string
		want int
	}{
		"packets": {"Frame 1: 342 bytes on wire\nEthernet II, Src: 00:11:01:00:00:01, Dst: ff:ff:ff:ff:ff:ff\n    Server host name not given\n    Boot file name not given\n", 0},
		"words":   {"The server host name is not found by anybody.\n", 1},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
		set, err := bundle.Read([]string{dir}, bundle.Options{Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, d := range set.Devices {
			n += len(d.Notes)
		}
		if n != x.want {
			t.Errorf("%s: %d notes, want %d", name, n, x.want)
		}
	}
}
