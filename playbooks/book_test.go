package playbooks

import (
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
		"unknown key":      {"name: x\nabout: y\nstepz: []\n", `unknown field "stepz"`},
		"unknown kind":     {"name: x\nsteps:\n  - {id: a, kind: exec}\n", `:3: steps[0].kind: "exec" is unknown`},
		"free command":     {"name: x\nsteps:\n  - {id: a, kind: collect, with: {command: \"clear crypto isakmp sa\"}}\n", `unknown field "command"`},
		"setting of other": {"name: x\nsteps:\n  - {id: a, kind: analyze, with: {count: 3}}\n", "a analyze step has no such setting"},
		"unknown evidence": {"name: x\nsteps:\n  - {id: a, kind: collect, with: {evidence: [sa]}}\n", `"sa" is unknown`},
		"same id twice":    {"name: x\nsteps:\n  - {id: a, kind: analyze}\n  - {id: a, kind: analyze}\n", `:4: steps[1].id: "a" is already used`},
		"verify alone":     {"name: x\nsteps:\n  - {id: a, kind: verify}\n", "a propose step must stand before it"},
		"no steps":         {"name: x\n", "at least one step"},
		"two documents":    {"name: x\n---\nname: y\n", "one playbook per file"},
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
