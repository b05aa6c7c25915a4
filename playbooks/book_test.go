package playbooks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBuiltIn(t *testing.T) {
	books, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"diagnose", "capture-both-ends", "clear-sa", "sweep", "digest"} {
		if b, ok := books[name]; !ok || !b.BuiltIn || b.About == "" {
			t.Errorf("built-in playbook %s: %+v", name, b)
		}
	}
}

// Every mistake is named with its line and with what is right.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":      {"name: x\nabout: y\nstepz: []\n", `own.yaml:3: stepz: unknown key; known here: name, about, steps`},
		"unknown kind":     {"name: x\nsteps:\n  - {id: a, kind: exec}\n", `:3: steps[0].kind: "exec" is unknown`},
		"free command":     {"name: x\nsteps:\n  - {id: a, kind: collect, with: {command: \"clear crypto isakmp sa\"}}\n", `steps[0].with.command: unknown key`},
		"setting of other": {"name: x\nsteps:\n  - {id: a, kind: analyze, with: {count: 3}}\n", "a analyze step has no such setting"},
		"unknown evidence": {"name: x\nsteps:\n  - {id: a, kind: collect, with: {evidence: [sa]}}\n", `"sa" is unknown`},
		"same id twice":    {"name: x\nsteps:\n  - {id: a, kind: analyze}\n  - {id: a, kind: analyze}\n", `:4: steps[1].id: "a" is already used`},
		"verify alone":     {"name: x\nsteps:\n  - {id: a, kind: verify}\n", "a propose step must stand before it"},
		"a command":        {"name: x\nsteps:\n  - {id: a, kind: clear}\n", ":3: steps[0].kind: \"clear\" is unknown; known: collect, probe, capture, analyze, propose, wait, verify. Nothing that disrupts runs from a playbook: propose asks people for it"},
		"commands":         {"name: x\nsteps:\n  - {id: a, kind: collect, commands: [reload]}\n", "no playbook holds commands"},
		"proposes twice":   {"name: x\nsteps:\n  - {id: a, kind: propose}\n  - {id: b, kind: propose}\n", ":4: steps[1].kind: after a proposal comes only what verifies it (wait, probe, verify)"},
		"captures after":   {"name: x\nsteps:\n  - {id: a, kind: propose}\n  - {id: b, kind: capture}\n", "a capture step stands before it"},
		"flood":            {"name: x\nsteps:\n  - {id: a, kind: probe, with: {count: 100000}}\n", "1 to 100 pings"},
		"huge":             {"name: x\nsteps:\n  - {id: a, kind: probe, with: {sizes: [100, 65000]}}\n", "between 36 and 18024 bytes"},
		"too many":         {"name: x\nsteps:\n" + manySteps(51), "51 are too many"},
		"long capture":     {"name: x\nsteps:\n  - {id: a, kind: capture, with: {duration: 3h}}\n", "a duration up to 10m"},
		"no steps":         {"name: x\n", "at least one step"},
		"two documents":    {"name: x\n---\nname: y\n", "exactly one YAML document"},
		"endless timeout":  {"name: x\nsteps:\n  - {id: a, kind: analyze, timeout: 48h}\n", "write a duration up to 1h"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("own.yaml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "own.yaml") {
				t.Errorf("got %v, want one that names own.yaml and says %q", err, c.want)
			}
		})
	}
}

func manySteps(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  - {id: s%d, kind: analyze}\n", i)
	}
	return b.String()
}

// A step on a device that does not exist is named with its line before anything runs.
func TestPlaces(t *testing.T) {
	b, err := Parse("own.yaml", []byte("name: x\nsteps:\n  - {id: a, kind: collect, on: hq-asa, with: {evidence: [clock]}}\n  - {id: b, kind: collect, on: nosuch, with: {evidence: [clock]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = CheckPlaces(map[string]Book{"x": b}, func(d string) bool { return d == "hq-asa" })
	if err == nil || err.Error() != `own.yaml:4: steps[1].on: "nosuch" is no device of this configuration; write one, or each-end, both, initiator, responder` {
		t.Error(err)
	}
}

// The examples of the documentation are playbooks.
func TestDocumentedExamples(t *testing.T) {
	text, err := os.ReadFile("../docs/playbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, part := range strings.Split(string(text), "```yaml\n") {
		if i == 0 {
			continue
		}
		example, _, _ := strings.Cut(part, "```")
		if _, err := Parse(fmt.Sprintf("example %d", i), []byte(example)); err != nil {
			t.Error(err)
		}
		n++
	}
	if n < 3 {
		t.Errorf("%d examples", n)
	}
}

// Whatever stands in a file, it is a playbook of known kinds or an error that names it.
func FuzzParse(f *testing.F) {
	entries, err := builtin.ReadDir("builtin")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		text, err := builtin.ReadFile("builtin/" + e.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("name: x\nsteps: &a [*a]\n"))
	f.Add([]byte("name: x\nsteps: [{id: a, kind: propose, with: {clear: true}}, {id: b, kind: verify, with: {for: 1h}}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4<<10 {
			return
		}
		b, err := Parse("fuzz.yaml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.yaml") {
				t.Errorf("the file is not named: %v", err)
			}
			return
		}
		proposals := 0
		for _, s := range b.Steps {
			if _, ok := settings[s.Kind]; !ok {
				t.Errorf("kind %q", s.Kind)
			}
			if s.Kind == "propose" {
				proposals++
			}
		}
		if proposals > 1 {
			t.Error("two proposals")
		}
	})
}

// Operators' playbooks stand beside the built-in ones; a broken one does not hide the others.
func TestOwnFolder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"mtu.yaml":    "name: mtu\nabout: a size sweep\nsteps:\n  - {id: sizes, kind: probe, with: {sizes: [100, 1400], df: true}}\n",
		"broken.yaml": "name: broken\nsteps: 3\n",
		"notes.txt":   "no playbook",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	books, err := Load(dir)
	if err == nil || !strings.Contains(err.Error(), "broken.yaml") {
		t.Errorf("broken.yaml is not named: %v", err)
	}
	if _, ok := books["mtu"]; !ok {
		t.Error("the good playbook is missing")
	}
}
