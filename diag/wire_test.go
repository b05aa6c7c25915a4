package diag_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vpnbot/diag/report"
)

// wireLabel is a capture case's label.json: what was injected, and the conditions that may
// rightly stand first, best first. Fields not named here are for the reader.
type wireLabel struct {
	Files       []string            `json:"files"`
	HQAddress   string              `json:"hq_address"`
	FailingPeer string              `json:"failing_peer"` // of several peers, the one that is judged
	Conditions  []string            `json:"conditions"`
	OneEnd      map[string][]string `json:"one_end"` // what one end's capture can show: hq, spoke
}

// wireHealthy are the conditions a healthy case may report: anything else is a false alarm.
var wireHealthy = []string{"tunnel-healthy", "loss-but-healthy", "tunnel-idle"}

// wireScore is how many runs were right.
type wireScore struct{ both, oneEnd, healthy int }

func (s wireScore) String() string {
	return fmt.Sprintf("both ends %d, one end %d, healthy with both ends %d", s.both, s.oneEnd, s.healthy)
}

// scoreWire diagnoses each case of a folder with all its captures and with each end's alone
// and prints hits, misses and how many runs there were.
func scoreWire(t *testing.T, root string) wireScore {
	t.Helper()
	labels, err := filepath.Glob(filepath.Join(root, "*", "label.json"))
	if err != nil || len(labels) == 0 {
		t.Fatalf("no cases in %s: %v", root, err)
	}
	var right, of wireScore
	hits, all := map[string]int{}, map[string]int{}
	for _, file := range labels {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var l wireLabel
		if err := json.Unmarshal(b, &l); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		dir := filepath.Dir(file)
		count := func(run string, files, accept []string, n, total *int) {
			ok, got := judgeWire(wireFindings(t, dir, files, l), accept)
			*total++
			all[l.Conditions[0]]++
			if ok {
				*n++
				hits[l.Conditions[0]]++
				return
			}
			t.Logf("miss %s [%s] want %v got %v", filepath.Base(dir), run, accept, got)
		}
		if slices.Contains(wireHealthy, l.Conditions[0]) {
			count("both", l.Files, l.Conditions, &right.healthy, &of.healthy)
		} else {
			count("both", l.Files, l.Conditions, &right.both, &of.both)
		}
		for _, f := range l.Files {
			end := strings.TrimSuffix(f, ".pcap")
			if accept := l.OneEnd[end]; accept != nil {
				count(end, []string{f}, accept, &right.oneEnd, &of.oneEnd)
			}
		}
	}
	table(t, hits, all)
	t.Logf("right: %v\n of: %v", right, of)
	return right
}

// wireFindings diagnoses captures the way the command line does: a folder per device, and of
// the headend its address. Of several peers only the failing one's findings are returned.
func wireFindings(t *testing.T, dir string, files []string, l wireLabel) []report.Finding {
	t.Helper()
	bundle := t.TempDir()
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		end := filepath.Join(bundle, strings.TrimSuffix(f, ".pcap"))
		if err := os.Mkdir(end, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(end, "outside.pcap"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(end) == "hq" {
			y := fmt.Sprintf("platform: other\naddress: %q\nrole: headend\n", l.HQAddress)
			if err := os.WriteFile(filepath.Join(end, "device.yaml"), []byte(y), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := diagnose(t, bundle).Report.Findings
	if l.FailingPeer == "" {
		return all
	}
	mine := slices.DeleteFunc(slices.Clone(all), func(f report.Finding) bool {
		return !strings.Contains(fmt.Sprintf("%+v", f), l.FailingPeer)
	})
	if len(mine) == 0 {
		return all
	}
	return mine
}

// judgeWire says whether the first finding is one of those accepted; on a healthy case no
// finding at all is right too, and one that is not harmless is wrong wherever it stands.
func judgeWire(fs []report.Finding, accept []string) (ok bool, got []string) {
	for _, f := range fs {
		got = append(got, fmt.Sprintf("%s %.2f", f.ID, f.Confidence))
	}
	if slices.Contains(wireHealthy, accept[0]) {
		return !slices.ContainsFunc(fs, func(f report.Finding) bool { return !slices.Contains(wireHealthy, f.ID) }), got
	}
	return len(fs) > 0 && slices.Contains(accept, fs[0].ID), got
}

// TestWire diagnoses captures of real daemons with a fault on the path or at an end. Fewer
// right than when this was last changed is a regression; raise the numbers with every cause
// that is learnt.
func TestWire(t *testing.T) {
	before := wireScore{both: 284, oneEnd: 834, healthy: 128}
	if s := scoreWire(t, filepath.Join("testdata", "wire")); s.both < before.both || s.oneEnd < before.oneEnd || s.healthy < before.healthy {
		t.Errorf("right: %v; before: %v", s, before)
	}
}

// A refusal that one end got stays a refusal beside a capture of the other end that shows
// nothing of that end: it may have run on another interface, so nobody forged anything.
func TestRefusalBesideEmptyCapture(t *testing.T) {
	dir := t.TempDir()
	spoke, err := os.ReadFile(filepath.Join("testdata", "wire", "k10-main-middlebox-forges-answer", "spoke.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"spoke.pcap": spoke, "hq.pcap": spoke[:24]} { // the header of the file alone
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs := wireFindings(t, dir, []string{"hq.pcap", "spoke.pcap"}, wireLabel{})
	if len(fs) == 0 || fs[0].ID != "phase1-policy-mismatch" {
		t.Errorf("first of %+v", fs)
	}
}

// Of several peers behind one address some were captured behind their NAT and some not: what
// is wrong with one of them is said of that one, and nothing of the others.
func TestSomeOfSeveralPeers(t *testing.T) {
	for _, tc := range []struct {
		dir, hq string
		files   []string
		want    string // the first finding
		says    string // a port of the peer, or its capture's name
	}{
		{"p16-main-three-spokes-one-nat-address-one-wrong-psk", "192.0.2.77", []string{"hq.pcap", "spoke1.pcap"}, "psk-mismatch", "36495"},
		{"p16-main-three-spokes-one-nat-address-one-wrong-psk", "192.0.2.77", []string{"hq.pcap", "spoke2.pcap"}, "psk-mismatch", "spoke2"},
		{"p16-main-three-spokes-one-nat-address-one-wrong-psk", "192.0.2.77", []string{"hq.pcap", "spoke1.pcap", "spoke3.pcap"}, "psk-mismatch", "36495"},
		{"n08-three-spokes-one-nat-address", "192.0.2.77", []string{"hq.pcap", "spoke1.pcap"}, "tunnel-healthy", ""},
		{"n08-three-spokes-one-nat-address", "192.0.2.77", []string{"hq.pcap", "spoke1.pcap", "spoke2.pcap"}, "tunnel-healthy", ""},
		{"g07-four-spokes-one-nat-address", "198.51.100.1", []string{"hq.pcap", "spoke2.pcap"}, "tunnel-healthy", ""},
	} {
		t.Run(tc.dir[:3]+" "+strings.Join(tc.files, " "), func(t *testing.T) {
			fs := wireFindings(t, filepath.Join("testdata", "wire", tc.dir), tc.files, wireLabel{HQAddress: tc.hq})
			ok, got := judgeWire(fs, []string{tc.want})
			if !ok {
				t.Fatalf("want %s, got %v", tc.want, got)
			}
			if s := fs[0].Title + fs[0].Explanation; !strings.Contains(s, tc.says) {
				t.Errorf("%s does not say %s", s, tc.says)
			}
		})
	}
}

// An IKE_AUTH answer that is lost on the way leaves the tunnel in negotiation, though one end
// believes that it stands.
func TestLostAnswerNegotiates(t *testing.T) {
	dir := t.TempDir()
	for _, end := range []string{"hq", "spoke"} {
		b, err := os.ReadFile(filepath.Join("testdata", "wire", "a04-ikev2-nat-4500-return-cut", end+".pcap"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, end+".pcap"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ts := diagnose(t, dir).Report.Tunnels
	if len(ts) != 1 || ts[0].State != report.Negotiating || ts[0].StoppedAt == nil || *ts[0].StoppedAt != "IKE_AUTH" {
		t.Errorf("%+v", ts)
	}
}
