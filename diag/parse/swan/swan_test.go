package swan

import (
	"strings"
	"testing"

	"vpnbot/diag/facts"
)

func lines(s string) []facts.Line {
	var out []facts.Line
	for i, t := range strings.Split(s, "\n") {
		out = append(out, facts.Line{N: i + 1, Text: t})
	}
	return out
}

func TestParse(t *testing.T) {
	cases := []struct{ line, id, peer string }{
		{"Nov 14 02:00:11 gw charon: 11[NET] sending packet: from 192.0.2.1[500] to 198.51.100.9[500] (76 bytes)", "", "198.51.100.9"},
		{"Nov 14 02:00:12 gw charon: 12[NET] <asa|4> received packet: from 198.51.100.9[4500] to 192.0.2.1[4500] (76 bytes)", Received, "198.51.100.9"},
		{"Nov 14 02:02:42 gw charon: 13[IKE] <asa|4> giving up after 5 retransmits", GaveUp, "198.51.100.9"},
		{"Nov 14 02:02:42 gw charon: 13[IKE] initiating IKE_SA asa[5] to 203.0.113.7", Initiating, "203.0.113.7"},
		{"2026-11-14T02:02:42+01:00 gw charon-systemd[81]: 13[IKE] received NO_PROPOSAL_CHOSEN notify error", NoProposal, "203.0.113.7"},
		{"08[IKE] <asa|4> received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built", NoProposal2, "198.51.100.9"},
		{"05[IKE] IKE_SA asa[4] established between 192.0.2.1[192.0.2.1]...198.51.100.9[198.51.100.9]", Up, "198.51.100.9"},
		{"05[IKE] <asa|4> CHILD_SA net{3} established with SPIs c1_i c2_o and TS 10.1.0.0/16 === 10.2.0.0/16", ChildUp, "198.51.100.9"},
		{"05[IKE] <asa|4> received DELETE for IKE_SA asa[4]", Deleted, "198.51.100.9"},
		{"05[IKE] <asa|4> received DELETE for ESP CHILD_SA with SPI c1", "", "198.51.100.9"},
		{"05[IKE] tried 1 shared key for '192.0.2.1' - '198.51.100.9', but MAC mismatched", KeyDiffers, "198.51.100.9"},
		{"Nov 14 02:02:42 gw pluto[77]: \"b\"[2] 198.51.100.9 #4: probable authentication failure (mismatch of preshared secrets?): malformed payload in packet", KeyDiffers, "198.51.100.9"},
		{"Nov 14 02:02:42 gw pluto[77]: packet from 198.51.100.9:500: initial Main Mode message received but no connection has been authorized with policy PSK", NoConfig, "198.51.100.9"},
		{"Nov 14 02:02:42 gw pluto[77]: \"b\" #5: DPD: No response from peer - declaring peer dead", Dead, ""},
	}
	var text []string
	for _, c := range cases {
		text = append(text, c.line)
	}
	log := Parse(append(lines(strings.Join(text, "\n")), facts.Line{N: 90, Text: "crypto map VPN[1] nothing of theirs"}), "gw")
	if len(log.Events) != len(cases) || len(log.Rest) != 1 || len(log.Own) != 1 || log.Own[0].String() != "192.0.2.1" {
		t.Fatalf("%d events, rest %v, own %v", len(log.Events), log.Rest, log.Own)
	}
	for i, c := range cases {
		ev := log.Events[i]
		peer := ""
		if ev.Peer.IsValid() {
			peer = ev.Peer.String()
		}
		if ev.ID != c.id || peer != c.peer || ev.Place.Line != i+1 {
			t.Errorf("%s\n got %q of %q, want %q of %q", c.line, ev.ID, peer, c.id, c.peer)
		}
		if ev.HasTime != strings.Contains(c.line, " gw ") {
			t.Errorf("%s: time %v", c.line, ev.Time)
		}
	}
}

// TestOnePeer: where a log is about one peer, its lines without an address are about that one.
func TestOnePeer(t *testing.T) {
	log := Parse(lines("11[IKE] sending DPD request\n11[NET] sending packet: from 192.0.2.1[500] to 198.51.100.9[500] (76 bytes)"), "gw")
	if len(log.Events) != 2 || log.Events[0].Peer.String() != "198.51.100.9" {
		t.Errorf("%+v", log.Events)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Nov 14 02:00:11 gw charon: 11[NET] <a|4> sending packet: from 192.0.2.1[500] to 198.51.100.9[500]\n11[IKE] x")
	f.Add("pluto[7]: \"a\"[2] 1.1.1.1 #4: initiating v2\npluto[7]: packet from 1.1.1.1:500: x\npluto[")
	f.Fuzz(func(t *testing.T, s string) {
		in := lines(s)
		if log := Parse(in, "x"); len(log.Events)+len(log.Rest) != len(in) {
			t.Errorf("%d lines became %d events and %d others", len(in), len(log.Events), len(log.Rest))
		}
	})
}
