package diag_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/tools/txtar"

	"vpnbot/diag"
	"vpnbot/diag/bundle"
	"vpnbot/diag/report"
)

// A case is a bundle in one file: testdata/cases/CONDITION/NAME.txtar. Its comment says
// what a skilled engineer would answer first; its files are the evidence.
type expectation struct {
	Condition string   `yaml:"condition"`    // first finding; none: nothing to judge
	Accept    []string `yaml:"accept"`       // other ids that may stand first
	Mention   []string `yaml:"must_mention"` // texts in that finding; a|b means either
	MustNot   []string `yaml:"must_not"`     // ids that must not be reported
	Also      []string `yaml:"also"`         // ids that must be reported too
	Lines     []string `yaml:"evidence_lines"`
	Healthy   bool     `yaml:"healthy"` // anything beside condition, accept and tunnel-healthy is a false alarm
	Secrets   []string `yaml:"secrets"` // must not occur in the output
	Notes     string   `yaml:"notes"`
}

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// diagnose runs a bundle folder the way the command line does.
func diagnose(t *testing.T, dir string) diag.Result {
	t.Helper()
	set, err := bundle.Read([]string{dir}, bundle.Options{Key: []byte("the key of this test run, 32 byte")})
	if err != nil {
		t.Fatalf("bundle: %v", err)
	}
	return diag.Analyze(set, diag.Options{Now: now})
}

// judge says what is wrong with a report, "" when it is as expected.
func judge(r report.Report, x expectation) string {
	var ids []string
	for _, f := range r.Findings {
		ids = append(ids, f.ID)
	}
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	ok := append([]string{x.Condition}, x.Accept...)
	switch {
	case x.Condition == "none":
		if len(ids) > 0 {
			say("nothing to judge, and reported %v", ids)
		}
	case len(ids) == 0:
		say("nothing found, want %s", x.Condition)
	case !slices.Contains(ok, ids[0]):
		say("first is %s (%.2f), want %s; all: %v", ids[0], r.Findings[0].Confidence, strings.Join(ok, " or "), ids)
	default:
		for _, m := range unmentioned(r.Findings[0], x) {
			say("does not mention %q", m)
		}
		if len(x.Lines) > 0 && !slices.ContainsFunc(r.Findings[0].Evidence, func(e report.Evidence) bool {
			return slices.ContainsFunc(x.Lines, func(l string) bool { return strings.HasSuffix(fmt.Sprintf("%s:%d", e.Source, e.Line), l) })
		}) {
			say("none of the decisive lines %v is quoted", x.Lines)
		}
	}
	if x.Healthy {
		for _, id := range ids {
			if id != "tunnel-healthy" && !slices.Contains(ok, id) {
				say("false alarm %s", id)
			}
		}
	}
	for _, id := range x.MustNot {
		if slices.Contains(ids, id) {
			say("must not report %s", id)
		}
	}
	for _, id := range x.Also {
		if !slices.Contains(ids, id) {
			say("also missing %s", id)
		}
	}
	all := fmt.Sprintf("%+v", r)
	for i, s := range x.Secrets {
		if strings.Contains(all, s) {
			say("secret %d stands in the output", i)
		}
	}
	return strings.Join(wrong, "; ")
}

// unmentioned lists the texts that a finding ought to hold and does not.
func unmentioned(f report.Finding, x expectation) []string {
	text := strings.ToLower(fmt.Sprintf("%+v", f))
	return slices.DeleteFunc(slices.Clone(x.Mention), func(m string) bool {
		return slices.ContainsFunc(strings.Split(m, "|"), func(s string) bool {
			return strings.Contains(text, strings.ToLower(strings.TrimSpace(s)))
		})
	})
}

// unpack writes a case's evidence into a folder and reads what is expected of it.
func unpack(t *testing.T, file string) (expectation, string) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var x expectation
	if err := yaml.UnmarshalWithOptions(a.Comment, &x, yaml.Strict()); err != nil {
		t.Fatalf("%s: %s", file, yaml.FormatError(err, false, true))
	}
	dir := t.TempDir()
	for _, g := range a.Files {
		p := filepath.Join(dir, filepath.FromSlash(g.Name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, g.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return x, dir
}

// TestCases diagnoses every case and prints hits and misses per condition, so that a
// changed weight shows what it cost.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	hits, all := map[string]int{}, map[string]int{}
	for _, f := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(f, "testdata/cases/"), ".txtar"), func(t *testing.T) {
			x, dir := unpack(t, f)
			all[x.Condition]++
			if w := judge(diagnose(t, dir).Report, x); w != "" {
				t.Error(w)
				return
			}
			hits[x.Condition]++
		})
	}
	table(t, hits, all)
}

// How many of the held-out cases were right when this was last changed.
const (
	heldOut  = 100
	heldOut3 = 83
)

// TestHeldOut diagnoses the cases that nobody tuned the weights to. It prints how far a
// confidence can be believed: of the findings that stand first, how many are right, in
// three bins (docs/diagnosis.md), and fails when fewer cases are right than before.
func TestHeldOut(t *testing.T) { measure(t, "heldout", heldOut) }

// TestHeldOut3 is TestHeldOut with a set that was written from failures of networks
// rather than from the descriptions of the conditions.
func TestHeldOut3(t *testing.T) { measure(t, "heldout3", heldOut3) }

// measure diagnoses the cases in a folder of testdata; at least so many must be right.
func measure(t *testing.T, folder string, least int) {
	files, err := filepath.Glob("testdata/" + folder + "/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Skipf("no held-out cases in testdata/%s", folder)
	}
	bins := []struct {
		from       float64
		n, right   int
		confidence float64
	}{{from: 0.3}, {from: 0.7}, {from: 0.9}}
	hits, all := map[string]int{}, map[string]int{}
	right, first, third, named, healthy, silent := 0, 0, 0, 0, 0, 0
	for _, f := range files {
		x, dir := unpack(t, f)
		rep := diagnose(t, dir).Report
		all[x.Condition]++
		if w := judge(rep, x); w != "" {
			t.Logf("miss %s: %s", strings.TrimPrefix(f, "testdata/"+folder+"/"), w)
		} else {
			hits[x.Condition]++
			right++
		}
		ok := append([]string{x.Condition}, x.Accept...)
		if x.Healthy {
			healthy++
			if !slices.ContainsFunc(rep.Findings, func(f report.Finding) bool {
				return f.ID != "tunnel-healthy" && !slices.Contains(ok, f.ID)
			}) {
				silent++
			}
		}
		if len(rep.Findings) == 0 {
			if x.Condition == "none" {
				first, third, named = first+1, third+1, named+1
			}
			continue
		}
		c := rep.Findings[0].Confidence
		for i := len(bins) - 1; i >= 0; i-- {
			if b := &bins[i]; c >= b.from {
				b.n, b.confidence = b.n+1, b.confidence+c
				if slices.Contains(ok, rep.Findings[0].ID) {
					b.right++
				}
				break
			}
		}
		if slices.Contains(ok, rep.Findings[0].ID) {
			first++
			if len(unmentioned(rep.Findings[0], x)) == 0 {
				named++
			}
		}
		if slices.ContainsFunc(rep.Findings[:min(3, len(rep.Findings))], func(f report.Finding) bool { return slices.Contains(ok, f.ID) }) {
			third++
		}
	}
	table(t, hits, all)
	t.Logf("%d cases: first finding right %d, and its object named %d, among the first three %d, everything as expected %d; of %d healthy ones %d without a false alarm",
		len(files), first, named, third, right, healthy, silent)
	for i, b := range bins {
		to := 1.0
		if i+1 < len(bins) {
			to = bins[i+1].from
		}
		if b.n > 0 {
			t.Logf("confidence %.1f to %.1f: %d findings, mean confidence %.2f, right %.2f", b.from, to, b.n, b.confidence/float64(b.n), float64(b.right)/float64(b.n))
		}
	}
	if right < least {
		t.Errorf("%d held-out cases are right, %d were before", right, least)
	}
}

// table prints hits of all per condition.
func table(t *testing.T, hits, all map[string]int) {
	var ids []string
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var b strings.Builder
	sum, of := 0, 0
	for _, id := range ids {
		fmt.Fprintf(&b, "%-36s %d of %d\n", id, hits[id], all[id])
		sum, of = sum+hits[id], of+all[id]
	}
	t.Logf("hits per condition\n%sall %d of %d", b.String(), sum, of)
}

// floor is how many of the shared bundles were right when this was last changed: fewer is
// a regression.
const floor = 28

// TestSharedBundles diagnoses the example bundles that live beside the repository, prints
// hits and misses per condition, and fails when it knows fewer than before.
func TestSharedBundles(t *testing.T) {
	root := filepath.Join("..", "..", "shared", "bundles")
	dirs, _ := filepath.Glob(filepath.Join(root, "*", "expect.yaml"))
	if len(dirs) == 0 {
		t.Skip("no ../shared/bundles beside the repository: its example bundles are not tested")
	}
	hits, all := map[string]int{}, map[string]int{}
	right := 0
	for _, d := range dirs {
		dir := filepath.Dir(d)
		data, err := os.ReadFile(d)
		if err != nil {
			t.Fatal(err)
		}
		var x expectation
		if err := yaml.Unmarshal(data, &x); err != nil {
			t.Fatal(err)
		}
		x.Lines = nil // informational there
		all[x.Condition]++
		rep := diagnose(t, filepath.Join(dir, "evidence")).Report
		if w := judge(rep, x); w != "" {
			t.Logf("miss %s: %s", filepath.Base(dir), w)
		} else {
			hits[x.Condition]++
			right++
		}
		text := fmt.Sprintf("%+v", rep)
		for i, s := range x.Secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s: secret %d stands in the output", filepath.Base(dir), i)
			}
		}
	}
	table(t, hits, all)
	if right < floor {
		t.Errorf("%d bundles are right, %d were before", right, floor)
	}
}
