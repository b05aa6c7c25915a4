package syslog

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vpnbot/diag/facts"
)

func lines(s string) []facts.Line {
	var out []facts.Line
	for i, t := range strings.Split(s, "\n") {
		out = append(out, facts.Line{N: i + 1, Text: t})
	}
	return out
}

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestParseOneLine(t *testing.T) {
	at := func(s string) time.Time { v, _ := time.Parse(time.RFC3339Nano, s); return v }
	cases := []struct {
		name, line, kind, id string
		severity             int
		time                 time.Time
		host, peer           string
		port                 int
		group, user, text    string
	}{
		{"asa with year", "Mar 04 2016 09:12:33: %ASA-5-713119: Group = 192.0.2.9, IP = 192.0.2.9, PHASE 1 COMPLETED", "asa", "713119", 5,
			at("2016-03-04T09:12:33Z"), "", "192.0.2.9", 0, "192.0.2.9", "", "Group = 192.0.2.9, IP = 192.0.2.9, PHASE 1 COMPLETED"},
		{"asa with host and colon", "Mar 04 2016 09:12:33 gw-oslo : %ASA-4-113019: Group = ra, Username = eva, IP = 198.51.100.7, Session disconnected.", "asa", "113019", 4,
			at("2016-03-04T09:12:33Z"), "gw-oslo", "198.51.100.7", 0, "ra", "eva", ""},
		{"priority and RFC 3339", "<166>2021-06-26T01:35:42Z: %ASA-6-302013: Built inbound", "asa", "302013", 6, at("2021-06-26T01:35:42Z"), "", "", 0, "", "", "Built inbound"},
		{"offset and fraction", "2022-11-24T10:53:10.5+01:00 fw %ASA-3-713048: IP = 203.0.113.5, Error processing payload: Payload ID: 1", "asa", "713048", 3,
			at("2022-11-24T09:53:10.5Z"), "fw", "203.0.113.5", 0, "", "", ""},
		{"class name inside", "%FTD-session-5-305013: Asymmetric NAT rules matched", "asa", "305013", 5, time.Time{}, "", "", 0, "", "", "Asymmetric NAT rules matched"},
		{"pix", "%PIX-3-402119: IPSEC: Received an ESP packet (SPI = 0x12) from 192.0.2.4 (user= bob) to 192.0.2.5 that failed anti-replay checking", "asa", "402119", 3,
			time.Time{}, "", "192.0.2.4", 0, "", "bob", ""},
		{"host without time", "edge-fw : %ASA-3-713902: IP = 192.0.2.8, Removing peer from peer table failed, no match!", "asa", "713902", 3, time.Time{}, "edge-fw", "192.0.2.8", 0, "", "", ""},
		{"relay stamp first", "Apr 27 02:03:03 relay Apr 27 2012 02:03:01 fw9 : %ASA-4-713903: Group = g, IP = 192.0.2.1, x", "asa", "713903", 4, at("2012-04-27T02:03:01Z"), "relay", "192.0.2.1", 0, "g", "", ""},
		{"no percent", "ASA-5-713041: IP = 192.0.2.77, IKE Initiator: New Phase 1", "asa", "713041", 5, time.Time{}, "", "192.0.2.77", 0, "", "", ""},
		{"bare id", "Mar 04 2016 09:12:33: 713257: Phase 1 failure:  Mismatched attribute types", "asa", "713257", -1, at("2016-03-04T09:12:33Z"), "", "", 0, "", "", ""},
		{"id in a sentence", "Wir sehen immer die Meldung 713061 im Log", "asa", "713061", -1, time.Time{}, "", "", 0, "", "", "im Log"},
		{"asdm", "3|Oct 28 2011|15:24:32|713123|192.0.2.3|||| Group = x, IP = 192.0.2.3, IKE lost contact", "asa", "713123", 3, at("2011-10-28T15:24:32Z"), "", "192.0.2.3", 0, "x", "", ""},
		{"ikev2", "%ASA-4-750003: Local:192.0.2.1:500 Remote:203.0.113.9:4500 Username:Unknown IKEv2 Negotiation aborted due to ERROR: x", "asa", "750003", 4, time.Time{}, "", "203.0.113.9", 4500, "", "Unknown", ""},
		{"ikev2 on IPv6", "%ASA-5-750002: Local:2001:db8::1:500 Remote:2001:db8::2:500 Username:Unknown IKEv2 Received", "asa", "750002", 5, time.Time{}, "", "2001:db8::2", 500, "", "Unknown", ""},
		{"session in front", "%ASA-4-713903: Session = 7, Group = g1, IP = 192.0.2.2, text", "asa", "713903", 4, time.Time{}, "", "192.0.2.2", 0, "g1", "", ""},
		{"anyconnect", "%ASA-4-722041: TunnelGroup <T> GroupPolicy <P> User <ann> IP <198.51.100.9> No IPv6 address", "asa", "722041", 4, time.Time{}, "", "198.51.100.9", 0, "T", "ann", ""},
		{"ios", "*Oct 25 19:16:01.153: %CRYPTO-4-IKMP_NO_SA: IKE message from 203.0.113.27  has no SA and is not an initialization offer", "ios", "CRYPTO-4-IKMP_NO_SA", 4,
			at("0000-10-25T19:16:01.153Z"), "", "203.0.113.27", 0, "", "", ""},
		{"ios sequence, zone", "002841: Apr 23 11:45:54.295 CEST: %CRYPTO-4-RECVD_PKT_INV_SPI: decaps: rec'd IPSEC packet has invalid spi for destaddr=82.0.2.9, prot=50, spi=0xAE3CF711(2923230993), srcaddr=203.0.113.27",
			"ios", "CRYPTO-4-RECVD_PKT_INV_SPI", 4, at("0000-04-23T09:45:54.295Z"), "", "203.0.113.27", 0, "", "", ""},
		{"ios priority, sequence, host", "<189>91: *Oct 07 03:10:04: rtr1 %CRYPTO-6-IKMP_MODE_FAILURE: Processing of Quick mode failed with peer at 192.0.2.66", "ios", "CRYPTO-6-IKMP_MODE_FAILURE", 6,
			at("0000-10-07T03:10:04Z"), "rtr1", "192.0.2.66", 0, "", "", ""},
		{"ios uptime", "000017: 3w2d: %CRYPTO-6-ISAKMP_ON_OFF: ISAKMP is OFF", "ios", "CRYPTO-6-ISAKMP_ON_OFF", 6, time.Time{}, "", "", 0, "", "", "ISAKMP is OFF"},
		{"ios sub-facility", "%SYS-SP-5-RESTART: System restarted", "ios", "SYS-SP-5-RESTART", 5, time.Time{}, "", "", 0, "", "", "System restarted"},
		{"ios bare", "CRYPTO-4-PKT_REPLAY_ERR: decrypt: replay check failed", "ios", "CRYPTO-4-PKT_REPLAY_ERR", 4, time.Time{}, "", "", 0, "", "", "decrypt: replay check failed"},
		{"asa debug", "Apr 27 12:00:01 [IKEv1]: Group = 192.0.2.9, IP = 192.0.2.9, QM FSM error (P2 struct &0xcc, mess id 0x1)!", "debug", "", -1, at("0000-04-27T12:00:01Z"), "", "192.0.2.9", 0, "192.0.2.9", "", ""},
		{"asa debug without colon", "[IKEv1 DEBUG]Group = a, IP = 192.0.2.1, processing SA payload", "debug", "", -1, time.Time{}, "", "192.0.2.1", 0, "a", "", ""},
		{"ios debug", "*Mar  1 00:03:51.227: ISAKMP:(1001):atts are not acceptable. Next payload is 0", "debug", "", -1, at("0000-03-01T00:03:51.227Z"), "", "", 0, "", "", "ISAKMP:(1001):atts are not acceptable. Next payload is 0"},
		{"ios old debug", "1d02h: ISAKMP (0:1): received packet from 192.0.2.30 dport 500 sport 500 Global (R) MM_NO_STATE", "debug", "", -1, time.Time{}, "", "192.0.2.30", 0, "", "", ""},
		{"ios ikev2 debug", "*Jan 11 20:30:34.811: IKEv2:(SA ID = 1):Failed to verify the proposed policies", "debug", "", -1, at("0000-01-11T20:30:34.811Z"), "", "", 0, "", "", ""},
		{"console", "WARNING: The crypto map entry is incomplete!", "console", "", -1, time.Time{}, "", "", 0, "", "", ""},
		{"console memory", "WARNING, system is running low on memory. Performance may start to degrade.", "console", "", -1, time.Time{}, "", "", 0, "", "", ""},
		{"pasted words", "Die ASA meldet: Removing peer from correlator table failed, no match!", "debug", "", -1, time.Time{}, "", "", 0, "", "", ""},
		{"pasted words with id", "im Log: IKE Initiator unable to find policy: Intf outside, Src: 10.1.1.1, Dst: 10.2.2.2", "debug", "713042", -1, time.Time{}, "", "", 0, "", "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			evs, rest := Parse(lines(c.line), "log.txt")
			if len(evs) != 1 || len(rest) != 0 {
				t.Fatalf("%d events, %d left over: %+v", len(evs), len(rest), evs)
			}
			e := evs[0]
			if e.Kind != c.kind || e.ID != c.id || e.Severity != c.severity {
				t.Errorf("kind %q id %q severity %d", e.Kind, e.ID, e.Severity)
			}
			if e.HasTime == c.time.IsZero() || !e.Time.Equal(c.time) && e.HasTime {
				t.Errorf("time %v (%v), want %v", e.Time, e.HasTime, c.time)
			}
			if e.Host != c.host {
				t.Errorf("host %q", e.Host)
			}
			if e.Peer != addr(c.peer) || e.PeerPort != c.port {
				t.Errorf("peer %v port %d", e.Peer, e.PeerPort)
			}
			if e.Group != c.group || e.User != c.user {
				t.Errorf("group %q user %q", e.Group, e.User)
			}
			if c.text != "" && e.Text != c.text {
				t.Errorf("text %q", e.Text)
			}
		})
	}
}

func TestNoMessages(t *testing.T) {
	for _, s := range []string{
		"% Invalid input detected at '^' marker.",
		"crypto isakmp policy 10",
		"    #pkts encaps: 713048, #pkts encrypt: 713048, #pkts digest: 713048",
		"access-list 101 permit udp any host 198.51.100.195 eq isakmp",
		"203.0.113.1 203.0.113.2 QM_IDLE 1001 ACTIVE",
		"Session status: UP-ACTIVE",
		"  IPSEC FLOW: permit ip 10.0.0.0/255.0.0.0 10.1.0.0/255.255.0.0",
		"ERROR: % Invalid input detected",
		"ntp server 10.1.1.1",
		"hq# show crypto isakmp sa",
		"crypto map outside_map 713048 ipsec-isakmp",
	} {
		if evs, _ := Parse(lines(s), "x"); len(evs) != 0 {
			t.Errorf("%q became %+v", s, evs[0])
		}
	}
}

func TestJoining(t *testing.T) {
	evs, rest := Parse(lines(strings.Join([]string{
		"%ASA-3-713061: Group = 192.0.2.9, IP = 192.0.2.9, Rejecting IPSec tunnel: no mat",
		"ching crypto map entry for remote proxy 10.9.0.0/255.255.0.0/0/0 local proxy 10.",
		"8.0.0/255.255.0.0/0/0 on interface outside",
		"*Mar  1 00:03:51.227: IPSEC(sa_request): ,",
		"  (key eng. msg.) OUTBOUND local= 192.0.2.1:500, remote= 192.0.2.2:500,",
		"    local_proxy= 10.1.0.0/255.255.0.0/0/0 (type=4),",
		"last message repeated 3 times",
		"",
		"hq# show crypto isakmp sa",
	}, "\n")), "x")
	if len(evs) != 2 {
		t.Fatalf("%d events: %+v", len(evs), evs)
	}
	if want := "no matching crypto map entry for remote proxy 10.9.0.0/255.255.0.0/0/0 local proxy 10.8.0.0/255.255.0.0/0/0 on"; !strings.Contains(evs[0].Text, want) {
		t.Errorf("not joined: %q", evs[0].Text)
	}
	if evs[1].Peer != addr("192.0.2.2") || evs[1].Repeat != 3 {
		t.Errorf("debug block: peer %v repeat %d text %q", evs[1].Peer, evs[1].Repeat, evs[1].Text)
	}
	if len(rest) != 2 {
		t.Errorf("rest: %v", rest)
	}
}

func TestLogLineInsideTableKeepsTheRow(t *testing.T) {
	_, rest := Parse(lines("dst src state conn-id status\n"+
		"*Oct 25 19:16:01.153: %CRYPTO-4-IKMP_NO_SA: IKE message from 203.0.113.27  has no SA and is not an initialization offer\n"+
		"192.0.2.1       192.0.2.2       QM_IDLE           1001 ACTIVE"), "x")
	if len(rest) != 2 {
		t.Errorf("the row was taken for the message's continuation: %v", rest)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"%ASA-3-713048: IP = 1.2.3.4, x", "<1>1: *Oct 25 19:16:01.153: h %A-1-B: c", "3|a|b|713123|1.1.1.1||||x", "[IKEv1]: Group = ", "2001:db8::1:4500 [IKEv1", "00:00:01: ISAKMP:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		in := lines(s)
		evs, rest := Parse(in, "f")
		if len(evs)+len(rest) > len(in) {
			t.Errorf("%d lines became %d events and %d left over", len(in), len(evs), len(rest))
		}
	})
}

// A terminal that breaks a line behind a blank leaves that blank at its edge.
func TestWrappedBehindBlank(t *testing.T) {
	first := "Mar 15 12:02:37 fw-a : %ASA-4-750003: Local:198.51.100.145:500 Remote:203.0.113."
	second := "209:500 Username:Unknown IKEv2 Negotiation aborted due to ERROR: Maximum number "
	evs, _ := Parse([]facts.Line{{N: 1, Text: first}, {N: 2, Text: second}, {N: 3, Text: "of retransmissions reached"}}, "log")
	if len(evs) != 1 || !strings.HasSuffix(evs[0].Text, "Remote:203.0.113.209:500 Username:Unknown IKEv2 Negotiation aborted due to ERROR: Maximum number of retransmissions reached") {
		t.Errorf("%+v", evs)
	}
}
