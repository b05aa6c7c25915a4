package conditions_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"vpnbot/diag"
	"vpnbot/diag/bundle"
	"vpnbot/diag/report"
)

// label is a case's label.json: what was injected, and which findings may stand first.
type label struct {
	GroundTruth string              `json:"ground_truth"`
	Conditions  []string            `json:"conditions"`
	OneEnd      map[string][]string `json:"one_end"`
	Files       []string            `json:"files"`
	FailingPeer string              `json:"failing_peer"`
}

var healthyIDs = []string{"tunnel-healthy", "loss-but-healthy", "tunnel-idle"}

// diagnoseCaptures lays captures out as a bundle, the headend with its address, and diagnoses it.
func diagnoseCaptures(t *testing.T, files []string) diag.Result {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		base := filepath.Base(f)
		end, ext, _ := strings.Cut(base, ".")
		if err := os.MkdirAll(filepath.Join(dir, end), 0o755); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, end, "outside."+ext), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if end == "hq" {
			y := "platform: other\naddress: 198.51.100.1\nrole: headend\n"
			if err := os.WriteFile(filepath.Join(dir, end, "device.yaml"), []byte(y), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	set, err := bundle.Read([]string{dir}, bundle.Options{Key: []byte("the key of this test run, 32 byte")})
	if err != nil {
		t.Fatalf("bundle: %v", err)
	}
	return diag.Analyze(set, diag.Options{Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
}

// judgeCapture compares the findings with the label.
func judgeCapture(fs []report.Finding, accept []string, failing string) (ids []string, ok bool) {
	if failing != "" {
		var mine []report.Finding
		for _, f := range fs {
			b, _ := json.Marshal(f)
			if strings.Contains(string(b), failing) {
				mine = append(mine, f)
			}
		}
		if len(mine) > 0 {
			fs = mine
		}
	}
	for _, f := range fs {
		ids = append(ids, f.ID)
	}
	if slices.Contains(healthyIDs, accept[0]) {
		for _, id := range ids {
			if !slices.Contains(healthyIDs, id) {
				return ids, false
			}
		}
		return ids, len(ids) > 0
	}
	return ids, len(ids) > 0 && slices.Contains(accept, ids[0])
}

// scoreCases runs all cases of a folder with all captures and with each end alone.
func scoreCases(t *testing.T, root string) (hits, total int, misses []string) {
	t.Helper()
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	perCondition := map[string][2]int{}
	for _, d := range dirs {
		b, err := os.ReadFile(filepath.Join(root, d.Name(), "label.json"))
		if err != nil {
			continue
		}
		var l label
		if err := json.Unmarshal(b, &l); err != nil {
			t.Fatalf("%s: %v", d.Name(), err)
		}
		var caps []string
		for _, f := range l.Files {
			caps = append(caps, filepath.Join(root, d.Name(), f))
		}
		type run struct {
			name    string
			files   []string
			accept  []string
			failing string
		}
		runs := []run{{"both", caps, l.Conditions, l.FailingPeer}}
		if len(caps) == 2 && !slices.Contains([]string{"captures_do_not_overlap", "no_packets", "no_ike_packets", "no_ike_exchange"}, l.GroundTruth) {
			for _, f := range caps {
				end, _, _ := strings.Cut(filepath.Base(f), ".")
				acc := l.OneEnd[end]
				if acc == nil {
					acc = l.Conditions
				}
				runs = append(runs, run{end, []string{f}, acc, ""})
			}
		}
		for _, r := range runs {
			res := diagnoseCaptures(t, r.files)
			ids, ok := judgeCapture(res.Report.Findings, r.accept, r.failing)
			total++
			c := perCondition[l.Conditions[0]]
			c[1]++
			if ok {
				hits++
				c[0]++
			} else {
				confs := []string{}
				for _, f := range res.Report.Findings {
					confs = append(confs, fmt.Sprintf("%s %.2f", f.ID, f.Confidence))
				}
				misses = append(misses, fmt.Sprintf("%s [%s] want %v got %v", d.Name(), r.name, r.accept[:min(3, len(r.accept))], confs))
			}
			perCondition[l.Conditions[0]] = c
			_ = ids
			checkEvidence(t, d.Name()+" ["+r.name+"]", res.Report)
		}
	}
	var names []string
	for n := range perCondition {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		t.Logf("%-28s %d of %d", n, perCondition[n][0], perCondition[n][1])
	}
	return hits, total, misses
}

// checkEvidence: every finding names a title, an explanation and real packets.
func checkEvidence(t *testing.T, name string, r report.Report) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Title == "" || f.Explanation == "" || len(f.Evidence) == 0 || len(f.Actions) == 0 {
			t.Errorf("%s: %s lacks title, explanation, evidence or action: %+v", name, f.ID, f)
		}
		for _, e := range f.Evidence {
			if e.Source == "" || e.Text == "" || e.Packet == nil && e.Line == 0 {
				t.Errorf("%s: %s has evidence without a place: %+v", name, f.ID, e)
			}
		}
	}
}

// undecidable are runs in which one end's packets cannot tell what was injected.
//   - 07b: who is behind a NAT shows in the message that is lost; without it a wrong group
//     key looks the same at the headend (08b), so both are named.
//   - 15f: the end behind the NAT has nothing to send while its mapping expires.
var undecidable = []string{"07b-ezvpn-vpnc-udp4500-blocked [hq]", "15f-nat-mapping-expired [spoke]"}

// TestLab scores captures of real daemons with a fault of known kind on the path or at an
// end: all captures of a case together, and each end's alone.
func TestLab(t *testing.T) {
	hits, total, misses := scoreCases(t, filepath.Join("testdata", "lab"))
	t.Logf("%d of %d right", hits, total)
	for _, m := range misses {
		if slices.ContainsFunc(undecidable, func(u string) bool { return strings.HasPrefix(m, u) }) {
			t.Logf("undecidable from one end: %s", m)
			continue
		}
		t.Errorf("%s", m)
	}
}

// TestLabBeside scores further labelled captures, when some lie beside the checkout.
func TestLabBeside(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "captures", "lab")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("no labelled captures beside the checkout: %v", err)
	}
	hits, total, misses := scoreCases(t, root)
	for _, m := range misses {
		t.Logf("MISS %s", m)
	}
	t.Logf("%d of %d right", hits, total)
	if hits*100 < total*97 {
		t.Errorf("%d of %d right, less than 97 %%", hits, total)
	}
}
