package conditions

import (
	"net/netip"
	"testing"
	"time"

	"vpnbot/diag/facts"
)

func TestDurationOf(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"Duration: 8h:00m:01s, Bytes xmt: 1":     8*time.Hour + time.Second,
		"Duration: 9d 12h:01m:11s, Bytes xmt: 1": 228*time.Hour + time.Minute + 11*time.Second,
		"Duration: 0:30:00, Reason: x":           30 * time.Minute,
		"Duration: , Reason: x":                  0,
		"no such word 8h:00m:01s":                0,
	} {
		if got := durationOf(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A line of the log becomes the step in a tunnel's life that it tells of.
func TestMomentOf(t *testing.T) {
	for _, c := range []struct {
		ev   facts.Event
		ok   bool
		step step
		why  string
	}{
		{facts.Event{ID: "713119", Text: "PHASE 1 COMPLETED"}, true, cameUp, ""},
		{facts.Event{ID: "713041", Text: "IKE Initiator: New Phase 1, Intf inside"}, false, 0, ""},
		{facts.Event{ID: "713041", Text: "IKE Initiator: Rekeying Phase 2"}, true, rekeyed, ""},
		{facts.Event{ID: "113019", Text: "Session disconnected. Duration: 0h:30m:00s, Reason: Idle Timeout"}, true, wentDown, "idle timeout"},
		{facts.Event{ID: "750007", Text: "IKEv2 SA DOWN. Reason: peer lost"}, true, lostPeer, "peer lost"},
		{facts.Event{ID: "CRYPTO-5-SESSION_STATUS", Text: "Crypto tunnel is DOWN.  Peer 192.0.2.1:500"}, true, wentDown, ""},
		{facts.Event{Kind: "debug", Text: "ISAKMP:(1033):peer 192.0.2.1 not responding!"}, true, lostPeer, "peer not responding"},
		{facts.Event{ID: "302013", Text: "Built outbound TCP connection"}, false, 0, ""},
	} {
		m, ok := momentOf(c.ev)
		if ok != c.ok || ok && (m.step != c.step || m.why != c.why) {
			t.Errorf("%s %q: %v %+v", c.ev.ID, c.ev.Text, ok, m)
		}
	}
}

func TestNeighbours(t *testing.T) {
	a, b, far := netip.MustParseAddr("122.54.9.14"), netip.MustParseAddr("122.54.11.97"), netip.MustParseAddr("122.55.9.14")
	if !neighbours(a, b) || neighbours(a, a) || neighbours(a, far) {
		t.Error("the pool of a carrier is one /16, and an address is not its own neighbour")
	}
}
