package report_test

import (
	"strings"
	"testing"
	"time"

	"vpnbot/diag"
	"vpnbot/diag/bundle"
	"vpnbot/diag/report"
)

// lab diagnoses the two captures of a lab case.
func lab(t *testing.T, name string) diag.Result {
	t.Helper()
	dir := "../conditions/testdata/lab/" + name + "/"
	set, err := bundle.Read([]string{dir + "hq.pcap", dir + "spoke.pcap"}, bundle.Options{Key: []byte("a key for the test run, 32 bytes")})
	if err != nil {
		t.Fatal(err)
	}
	return diag.Analyze(set, diag.Options{Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
}

// TestISP: the page says in figures what left and did not arrive, numbers packets as the
// attached capture has them, and never shows VPN-internal titles in place of its own words.
func TestISP(t *testing.T) {
	res := lab(t, "27-ezvpn-vpnc-modecfg-frags-dropped")
	q := report.InQuestion(res.Report, res.Ladders)
	if len(q["hq.pcap"]) == 0 || !q["hq.pcap"].Has(9) || q["hq.pcap"].Has(100000) {
		t.Fatalf("packets in question: %v", q)
	}
	// As if packets 1 to 8 had been left out of the attached file.
	page, err := report.ISP(res.Report, res.Ladders, report.ISPFacts{Name: `<b>"Telecom"`, Contact: "noc@example.net",
		Files: []report.ISPFile{{Name: "isp-hq.pcap", Source: "hq.pcap", Packets: q["hq.pcap"][8:]}}})
	if err != nil {
		t.Fatal(err)
	}
	s := string(page)
	for _, want := range []string{
		"Packets lost on the path from 198.51.100.1 to 203.0.113.10",
		"Both sides recorded",
		"2026-11-22 00:07:28.815", "61911", "from byte 1480", "UDP 500 → 500", "<td>256</td>",
		"isp-hq.pcap 1</td>", // packet 9 of hq.pcap
		">hq 1-2,",           // and so in the drawing
		"8 of the packets below did not arrive",
		"Pass IP fragments",
		"ping -s 1700 203.0.113.10",
		"<svg",
		"&lt;b&gt;",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<b>", "{from}", "{small}", "{big}", "largest that passed"} {
		if strings.Contains(s, never) {
			t.Errorf("the page holds %q", never)
		}
	}
}

// What arrived in the other direction is no size that passed in this one.
func TestISPSizesOfOneDirection(t *testing.T) {
	res := lab(t, "06-main-udp500-replies-blocked")
	page, err := report.ISP(res.Report, res.Ladders, report.ISPFacts{})
	if err != nil || strings.Contains(string(page), "largest that passed") {
		t.Errorf("%v: two directions are compared by size", err)
	}
}

// TestISPOther: other faults of the path, one end only, and what is not the ISP's.
func TestISPOther(t *testing.T) {
	for name, want := range map[string][]string{
		"06-main-udp500-replies-blocked":     {"UDP packets from port 500 leave 198.51.100.1 in answer", "arrived"},
		"05-main-udp500-blocked-to-hq":       {"Both sides recorded", "to port 500 leave 203.0.113.10", "did not arrive", "Permit UDP 500"},
		"07-main-udp4500-blocked":            {"port 4500", "Permit UDP 4500"},
		"12-esp-blocked-both":                {"IP protocol 50", "Permit IP protocol 50"},
		"11b2-ikev2-pmtu-blackhole-ike-auth": {"ICMP type 3 code 4", "smallest that did not"},
		"13b-main-natpool-ignored":           {"Addresses changed", "paired pooling"},
		"08-main-wrong-psk":                  {"Nothing in this evidence points to a fault that an ISP could mend."},
	} {
		t.Run(name, func(t *testing.T) {
			res := lab(t, name)
			page, err := report.ISP(res.Report, res.Ladders, report.ISPFacts{})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				if !strings.Contains(string(page), w) {
					t.Errorf("the page lacks %q", w)
				}
			}
			for _, never := range []string{"{from}", "{to}", "{small}", "{big}", "{first}", "{lost}"} {
				if strings.Contains(string(page), never) {
					t.Errorf("the page holds %q", never)
				}
			}
		})
	}
	if _, err := report.ISP(report.Report{}, nil, report.ISPFacts{Language: "xx"}); err == nil {
		t.Error("a language without words is no error")
	}
}
