package asa

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
	"vpnbot/diag/transcript"
)

// readDevice parses a text whose command is known beforehand (used where no prompt stands in it).
func readDevice(text, command, source string) (*facts.Device, int) {
	dev := &facts.Device{Platform: facts.ASA}
	red := redact.New([]byte("test"))
	outs, _ := transcript.Cut(red.Text(text), source)
	lines := 0
	for _, o := range outs {
		if o.Command == "" {
			o.Command = command
		}
		for _, l := range o.Text {
			if strings.TrimSpace(l.Text) != "" {
				lines++
			}
		}
		Parse(dev, o)
		dev.Outputs = append(dev.Outputs, o)
	}
	return dev, lines
}

// TestShared parses the published outputs when they lie beside the checkout and prints what
// was understood.
func TestShared(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..", "shared", "outputs")
	if _, err := os.Stat(root); err != nil {
		t.Skip("no published outputs beside the checkout: " + root)
	}
	total, skipped := 0, 0
	for _, platform := range []string{"cisco_asa", "cisco_ftd"} {
		err := filepath.WalkDir(filepath.Join(root, platform), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txt") || strings.Contains(path, ".expected.") {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text, err := transcript.Decode(data)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
			command := strings.ReplaceAll(filepath.Base(filepath.Dir(path)), "_", " ")
			dev, lines := readDevice(text, command, filepath.Base(path))
			total += lines
			skipped += dev.Skipped
			n := len(dev.IKE) + len(dev.IPsec) + len(dev.Sessions) + len(dev.Counters) + len(dev.Routes)
			if dev.Config != nil {
				n += len(dev.Config.Lines) + len(dev.Config.ACLs)
			}
			t.Logf("%5d lines %4d skipped %5d facts  %s/%s", lines, dev.Skipped, n, filepath.Base(filepath.Dir(path)), filepath.Base(path))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("understood %d of %d lines (%.1f %%)", total-skipped, total, 100*float64(total-skipped)/float64(total))
	if skipped*100 > total*5 {
		t.Errorf("more than one line in twenty was skipped")
	}
}
