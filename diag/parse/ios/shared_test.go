package ios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

// outputs is the collection of published outputs beside the checkout.
const outputs = "../../../../shared/outputs"

func text(s string) []facts.Line {
	var out []facts.Line
	for i, t := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
		out = append(out, facts.Line{N: i + 1, Text: t})
	}
	return out
}

// run parses one text as the answer to a command.
func run(dev *facts.Device, command, s string) bool {
	out := facts.Output{Command: command, Place: facts.Place{Source: command, Line: len(dev.Outputs) + 1}, Complete: true, Text: text(s)}
	ok := Parse(dev, out)
	dev.Outputs = append(dev.Outputs, out)
	return ok
}

// TestPublishedOutputs parses every published IOS output: nothing may panic, and most
// lines must be understood.
func TestPublishedOutputs(t *testing.T) {
	files, _ := filepath.Glob(outputs + "/cisco_ios*/*/*.txt")
	if len(files) == 0 {
		t.Skip("no published outputs beside the checkout (shared/outputs)")
	}
	type sum struct{ files, lines, skipped, facts int }
	byCommand := map[string]*sum{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		command := strings.ReplaceAll(filepath.Base(filepath.Dir(f)), "_", " ")
		command = strings.Replace(command, "show cryptog", "show crypto g", 1)
		command = strings.ReplaceAll(command, "running config", "running-config")
		dev := &facts.Device{}
		if !run(dev, command, string(b)) {
			continue
		}
		s := byCommand[command]
		if s == nil {
			s = &sum{}
			byCommand[command] = s
		}
		s.files++
		s.lines += strings.Count(string(b), "\n") + 1
		s.skipped += dev.Skipped
		n := len(dev.IKE) + len(dev.IPsec) + len(dev.Sessions) + len(dev.Counters) + len(dev.Routes)
		if dev.Config != nil {
			n += len(dev.Config.Lines)
		}
		s.facts += n
	}
	lines, skipped := 0, 0
	for c, s := range byCommand {
		lines += s.lines
		skipped += s.skipped
		if s.skipped > 0 || s.facts == 0 {
			t.Logf("%-45s %3d files %5d lines %4d skipped %5d facts", c, s.files, s.lines, s.skipped, s.facts)
		}
	}
	t.Logf("%d files, %d lines, %.2f %% understood", len(files), lines, 100-100*float64(skipped)/float64(lines))
	if float64(skipped) > 0.05*float64(lines) {
		t.Errorf("%d of %d lines skipped", skipped, lines)
	}
}
