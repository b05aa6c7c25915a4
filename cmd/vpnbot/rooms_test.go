package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// TestRooms keeps the import rules between the rooms: diag knows none of the others,
// devices knows three leaves of diag, playbooks knows diag and devices, bot knows
// playbooks, diag and two leaves of devices. Emulators share no code with what they test
// and nobody but cmd imports them.
func TestRooms(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "vpnbot/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	n := 0
	for dec.More() {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		n++
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "vpnbot/") && !allowed(p.ImportPath, i) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
	if n < 10 {
		t.Fatalf("only %d packages listed", n)
	}
}

func allowed(from, to string) bool {
	in := func(path string, rooms ...string) bool {
		for _, r := range rooms {
			if path == "vpnbot/"+r || strings.HasPrefix(path, "vpnbot/"+r+"/") {
				return true
			}
		}
		return false
	}
	switch {
	case in(from, "cmd"):
		return true
	case in(from, "devices/emulator"):
		return in(to, "devices/emulator")
	case in(from, "bot/workspace"):
		return in(to, "bot/workspace")
	case in(to, "devices/emulator", "bot/workspace"):
		return false
	case in(from, "diag"):
		return in(to, "diag")
	case in(from, "devices"):
		return in(to, "devices", "diag/redact", "diag/transcript", "diag/dump")
	case in(from, "playbooks"):
		return in(to, "playbooks", "devices", "diag")
	case in(from, "bot"):
		return in(to, "bot", "playbooks", "diag", "devices/inventory", "devices/command")
	}
	return false
}
