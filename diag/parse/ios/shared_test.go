package ios

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	// Commands that are known and give no facts count apart: they would flatter the share.
	lines, skipped, idle := 0, 0, 0
	for c, s := range byCommand {
		if s.facts == 0 {
			idle += s.lines
			continue
		}
		lines += s.lines
		skipped += s.skipped
		t.Logf("%-45s %3d files %5d lines %4d skipped %5d facts", c, s.files, s.lines, s.skipped, s.facts)
	}
	t.Logf("%d files; %.2f %% of %d lines understood; %d lines of commands without facts", len(files), 100-100*float64(skipped)/float64(lines), lines, idle)
	if float64(skipped) > 0.05*float64(lines) {
		t.Errorf("%d of %d lines skipped", skipped, lines)
	}
}

// TestPublishedValues compares key fields with what the publishers' own parsers found. Those
// have bugs of their own; a difference is an error here only where their answer is right.
func TestPublishedValues(t *testing.T) {
	files, _ := filepath.Glob(outputs + "/cisco_ios*/show_crypto_*/*.txt")
	if len(files) == 0 {
		t.Skip("no published outputs beside the checkout (shared/outputs)")
	}
	fields := map[string]func(*facts.Device) []string{
		"pkts_encaps": func(d *facts.Device) []string { return counts(d, func(x *facts.IPsecSA) int64 { return x.Encaps }) },
		"pkts_decaps": func(d *facts.Device) []string { return counts(d, func(x *facts.IPsecSA) int64 { return x.Decaps }) },
		"session_status": func(d *facts.Device) (out []string) {
			for _, x := range d.Sessions {
				out = append(out, x.Status)
			}
			return out
		},
		"conn_id": func(d *facts.Device) (out []string) {
			for _, x := range d.IKE {
				out = append(out, x.ConnID)
			}
			return out
		},
	}
	compared := 0
	for _, f := range files {
		command := strings.ReplaceAll(filepath.Base(filepath.Dir(f)), "_", " ")
		known := strings.HasPrefix(command, "show crypto ipsec sa") || strings.HasPrefix(command, "show crypto session") || strings.HasPrefix(command, "show crypto isakmp sa")
		want, err := os.ReadFile(strings.TrimSuffix(f, ".txt") + ".expected.json")
		if err != nil {
			want, err = os.ReadFile(strings.TrimSuffix(f, ".txt") + ".expected.yml")
		}
		b, err2 := os.ReadFile(f)
		if !known || err != nil || err2 != nil {
			continue
		}
		dev := &facts.Device{}
		run(dev, command, string(b))
		for name, get := range fields {
			if name == "conn_id" && command != "show crypto isakmp sa" { // in detail they take the engine's number
				continue
			}
			var theirs []string
			for _, m := range regexp.MustCompile(`\b`+name+`"?: "?([^",\n]+)`).FindAllStringSubmatch(string(want), -1) {
				theirs = append(theirs, strings.TrimSpace(m[1]))
			}
			ours := get(dev)
			if len(theirs) == 0 || len(ours) == 0 {
				continue
			}
			compared++
			slices.Sort(ours)
			slices.Sort(theirs)
			if !slices.Equal(slices.Compact(ours), slices.Compact(theirs)) {
				t.Errorf("%s %s: %v, the publisher's parser found %v", f, name, ours, theirs)
			}
		}
	}
	t.Logf("%d fields of files compared", compared)
}

func counts(d *facts.Device, get func(*facts.IPsecSA) int64) (out []string) {
	for i := range d.IPsec {
		if n := get(&d.IPsec[i]); n != facts.NotShown {
			out = append(out, strconv.FormatInt(n, 10))
		}
	}
	return out
}
