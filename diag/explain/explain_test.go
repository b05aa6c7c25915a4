package explain

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// knowledge is the specification of the conditions beside the checkout.
const knowledge = "../../../shared/knowledge/conditions.yaml"

func TestText(t *testing.T) {
	cases := []struct{ name, text, found, condition string }{
		{"asa line", "Mar 04 2016 09:12:33 fw : %ASA-3-713061: Group = 192.0.2.9, IP = 192.0.2.9, Rejecting IPSec tunnel: no matching crypto map entry", "713061", "crypto-acl-mismatch"},
		{"bare id", "713123", "713123", "keepalive-mismatch"},
		{"state", "State : MM_WAIT_MSG2", "MM_WAIT_MSG2", "udp-500-blocked"},
		{"state spelt apart", "mm_wait_msg_6", "MM_WAIT_MSG6", "psk-mismatch"},
		{"ios message", "*Oct 25 19:16:01: %CRYPTO-4-IKMP_NO_SA: IKE message from 192.0.2.1 has no SA", "CRYPTO-4-IKMP_NO_SA", "stale-sa"},
		{"other severity", "%VPN_HW-1-PACKET_ERROR: slot: 0 HMAC mismatch", "VPN_HW-4-PACKET_ERROR", "hmac-packet-error"},
		{"mnemonic alone", "RECVD_PKT_INV_SPI", "CRYPTO-4-RECVD_PKT_INV_SPI", "stale-sa"},
		{"reason", "Secure VPN Connection terminated locally by the Client. Reason 412: The remote peer is no longer responding.", "Reason 412", "client-remote-peer-not-responding"},
		{"reason number alone", "433", "Reason 433", "pool-network-or-broadcast-address"},
		{"german", "Die Verbindung wurde getrennt. Grund 426", "Reason 426", "lifetime-mismatch"},
		{"notify by name", "received NOTIFY NO_PROPOSAL_CHOSEN", "NO-PROPOSAL-CHOSEN (14)", "phase1-policy-mismatch"},
		{"notify by number", "Received non-routine Notify message: Invalid ID info (18)", "INVALID-ID-INFORMATION (18)", "crypto-acl-mismatch"},
		{"ikev2 notify", "IKEv2 TS_UNACCEPTABLE", "TS_UNACCEPTABLE (38)", "crypto-acl-mismatch"},
		{"counter", "#pkts encaps: 0, #pkts encrypt: 0", "pkts encaps", "esp-one-way"},
		{"asp", "Expired VPN context (vpn-context-expired)   17", "vpn-context-expired", "expired-vpn-context"},
		{"client code", "IKE/0xE3000099 Failed to authenticate peer", "IKE/0xE3000099", "psk-mismatch"},
		{"debug words", "QM FSM error (P2 struct &0xccd, mess id 0x1)!", "QM FSM error", "crypto-map-sequence"},
		{"ios session", "Session status: UP-NO-IKE", "UP-NO-IKE", "stale-sa"},
		{"curly quotes", "Can’t find a valid tunnel group, aborting", "Can't find a valid tunnel group", "peer-address-mismatch"},
		{"default group", "Group = DefaultL2LGroup, IP = 192.0.2.1", "Group = DefaultL2LGroup", "peer-address-mismatch"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			for _, x := range Text(c.text) {
				names = append(names, x.Name)
				if x.Name == c.found {
					if !x.Known || x.Means == "" || !slices.Contains(x.Conditions, c.condition) {
						t.Errorf("%+v", x)
					}
					return
				}
			}
			t.Errorf("found %q", names)
		})
	}
}

func TestUnknown(t *testing.T) {
	cases := []struct{ text, near string }{
		{"MM_WIAT_MSG2", "MM_WAIT_MSG2"},
		{"713132x", ""},
		{"713124x", ""},
		{"%ASA-3-713064: something", "713063"},
		{"IKMP_NO_SAA", "CRYPTO-4-IKMP_NO_SA"},
		{"NO_PROPOSAL_CHOSSEN", "NO-PROPOSAL-CHOSEN"},
		{"removng peer from corelator table", "Removing peer from correlator table failed"},
		{"Reason 441", ""},
	}
	for _, c := range cases {
		xs := Text(c.text)
		if len(xs) == 0 {
			t.Errorf("%q: no answer", c.text)
			continue
		}
		var near []string
		for _, x := range xs {
			if x.Known {
				t.Errorf("%q is known as %q", c.text, x.Name)
			}
			for _, n := range x.Near {
				near = append(near, strings.ReplaceAll(n, "_", "-"))
			}
		}
		if c.near != "" && !slices.Contains(near, strings.ReplaceAll(c.near, "_", "-")) {
			t.Errorf("%q: nearest %q, want %q", c.text, near, c.near)
		}
	}
}

func TestNothingInOrdinaryText(t *testing.T) {
	for _, s := range []string{"hello, the tunnel is slow today", "ready when you are, redirect me to the cookie", "interface GigabitEthernet0/0"} {
		for _, x := range Text(s) {
			if x.Known {
				t.Errorf("%q explained as %q", s, x.Name)
			}
		}
	}
}

func TestSeveralLines(t *testing.T) {
	xs := Text("%ASA-5-713119: PHASE 1 COMPLETED\n\n%ASA-3-713061: x\n%ASA-3-713061: again\nMM_WAIT_MSG3")
	var got []string
	for _, x := range xs {
		got = append(got, x.Name)
	}
	if !slices.Equal(got, []string{"713119", "713061", "MM_WAIT_MSG3"}) || xs[1].Line != 3 {
		t.Errorf("%q", got)
	}
	if s := Format(xs); !strings.Contains(s, "points to: crypto-acl-mismatch") {
		t.Errorf("%s", s)
	}
}

// TestCatalogue checks the form of every entry.
func TestCatalogue(t *testing.T) {
	c := parse(catalogueText)
	if len(c.entries) < 400 {
		t.Errorf("%d entries only: lines without \" | \" were left out", len(c.entries))
	}
	n := 0
	for line := range strings.Lines(catalogueText) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != '[' {
			n++
			if strings.Count(line, "|") != 3 {
				t.Errorf("not four fields: %s", line)
			}
		}
	}
	if n != len(c.entries) {
		t.Errorf("%d lines, %d entries", n, len(c.entries))
	}
	for _, e := range c.entries {
		if e.means == "" || !strings.HasSuffix(e.means, ".") || len(e.means) > 240 {
			t.Errorf("%v: means %q", e.names, e.means)
		}
	}
	t.Logf("%d entries, %d names", len(c.entries), len(c.display))
}

// TestKnowledge checks that the catalogue knows every id, state and phrase that the
// specification of the conditions quotes, and names only conditions that exist.
func TestKnowledge(t *testing.T) {
	b, err := os.ReadFile(knowledge)
	if err != nil {
		t.Skip("no shared/knowledge/conditions.yaml beside the checkout")
	}
	text := string(b)
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^- id: (\S+)`).FindAllStringSubmatch(text, -1) {
		ids[m[1]] = true
	}
	for _, e := range load().entries {
		for _, p := range e.points {
			if !ids[p] {
				t.Errorf("%v points to %q, which is no condition", e.names, p)
			}
		}
	}
	body := text[strings.Index(text, "\nconditions:"):]
	body = body[:strings.Index(body, "\nsources:")]
	missing := map[string]bool{}
	check := func(re string, skip ...string) {
		n := 0
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(body, -1) {
			s := m[len(m)-1]
			if slices.Contains(skip, s) {
				continue
			}
			n++
			if !Known(s) && !missing[s] {
				missing[s] = true
				t.Errorf("not known: %s", s)
			}
		}
		t.Logf("%-40s %d", re, n)
	}
	check(`\b[1-7]\d{5}\b`)
	check(`%([A-Z_0-9]+-[0-9n]-[A-Z_0-9]+)`)
	check(`\b(?:MM|AM|QM|TM|AG|CONF)_[A-Z0-9_]+\b`)
	check(`Reason (4\d\d)`)
	check(`0xE3[0-9A-F]{6}`)
	// "file:" lines quote messages in single quotes where evidence is listed.
	for _, line := range strings.Split(body, "\n") {
		if !regexp.MustCompile(`^\s+(- "|shows: \[")(syslog|syslog/debug|debug|client|console|counter|syslog/console)`).MatchString(line) {
			continue
		}
		for _, m := range regexp.MustCompile(`'([A-Za-z][^']{11,}?)'`).FindAllStringSubmatch(line, -1) {
			if strings.Contains(m[1], "crypto ") || strings.ContainsAny(m[1], "<;/") || strings.HasPrefix(m[1], "s ") || strings.HasPrefix(m[1], "t ") || strings.HasPrefix(m[1], "d: ") {
				continue
			}
			if !Known(m[1]) {
				t.Errorf("phrase not known: %s", m[1])
			}
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"%ASA-3-713061: x", "MM_WIAT_MSG2", "Reason 412", "notify 14 (18)", "IKE/0xE3000099"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, x := range Text(s) {
			if x.Known && x.Means == "" {
				t.Errorf("known without meaning: %+v", x)
			}
		}
	})
}
