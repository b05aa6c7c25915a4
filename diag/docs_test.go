package diag_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vpnbot/diag/conditions"
)

var update = flag.Bool("update", false, "write docs/conditions.md anew")

// TestConditionsDoc: docs/conditions.md lists every condition with what shows it and its
// cases, and is current. go test ./diag -run TestConditionsDoc -update writes it.
func TestConditionsDoc(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Conditions\n\nMade by `go test ./diag -run TestConditionsDoc -update` from `diag/conditions`; a test keeps it current.\n\n")
	b.WriteString("\"Yields to\" names the more specific neighbours: when one of them is found too, it is reported instead. \"Symptom of\" names causes that it is reported under. Cases are bundles in `diag/testdata/cases`; what only packets show is tested on captures (`diag/conditions/testdata`).\n\n")
	b.WriteString("| condition | what is wrong | what shows it | severity | yields to | symptom of | cases |\n|---|---|---|---|---|---|---|\n")
	for _, c := range conditions.All() {
		if c.Cause == "" || c.Shows == "" || c.Reference == "" {
			t.Errorf("%s: no cause, no evidence or no reference is written down", c.ID)
		}
		shown, _ := filepath.Glob(filepath.Join("testdata", "cases", c.ID, "*.txtar"))
		if n := len(shown); n > 0 && n < 3 { // none: only packets show it, or it needs none of its own
			t.Errorf("%s has %d cases, and needs three", c.ID, n)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %d |\n", c.ID, c.Cause, strings.ReplaceAll(c.Shows, "|", "\\|"), c.Severity, ids(c.Prefer), ids(c.SymptomOf), len(shown))
	}
	const file = "../docs/conditions.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/conditions.md is not current: go test ./diag -run TestConditionsDoc -update")
	}
}

func ids(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "`" + strings.Join(list, "` `") + "`"
}
