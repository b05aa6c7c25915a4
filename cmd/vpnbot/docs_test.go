package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSafetyNamesTests: the tests that docs/safety.md names for its promises exist.
func TestSafetyNamesTests(t *testing.T) {
	text, err := os.ReadFile("../../docs/safety.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile("`([a-z/]+)`: ((?:Test\\w+(?:, )?)+)").FindAllStringSubmatch(string(text), -1) {
		files, err := filepath.Glob(filepath.Join("../..", m[1], "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no tests (%v)", m[1], err)
		}
		var code strings.Builder
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
		for name := range strings.SplitSeq(strings.TrimSuffix(m[2], ", "), ", ") {
			n++
			if !strings.Contains(code.String(), "func "+name+"(") {
				t.Errorf("%s has no %s", m[1], name)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d tests are named", n)
	}
}
