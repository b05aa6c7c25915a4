package approval_test

import (
	"testing"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/bot/schedule"
)

func TestStates(t *testing.T) {
	for _, from := range approval.States() {
		for _, to := range approval.States() {
			if approval.Allowed(from, to) && (from.Final() || to == approval.Proposed || from == to) {
				t.Errorf("%s → %s is allowed", from, to)
			}
		}
	}
	for _, s := range []approval.State{approval.Approved, approval.Rejected, approval.Expired, approval.Superseded, approval.Withdrawn} {
		if !approval.Allowed(approval.Proposed, s) {
			t.Errorf("proposed → %s is not allowed", s)
		}
	}
	if approval.Allowed(approval.Proposed, approval.Running) || approval.Allowed(approval.Approved, approval.Succeeded) {
		t.Error("a step can be left out")
	}
}

func TestFreeze(t *testing.T) {
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Skip("no time zones here: ", err)
	}
	s, err := schedule.Parse("0 17 * * 5", zurich)
	if err != nil {
		t.Fatal(err)
	}
	p := approval.Policy{Enabled: true, Freeze: []approval.Window{{Schedule: s, For: 60 * time.Hour, Reason: "weekend"}}}
	for _, c := range []struct {
		at   string
		open bool
	}{
		{"2026-03-06T16:59:59+01:00", false}, {"2026-03-06T17:00:00+01:00", true}, {"2026-03-07T12:00:00+01:00", true},
		{"2026-03-09T04:59:59+01:00", true}, {"2026-03-09T05:00:00+01:00", false},
		{"2026-03-27T16:59:59+01:00", false}, {"2026-03-27T17:00:00+01:00", true}, // the clocks change in this window
	} {
		now, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if r := p.Check(now, approval.Load{}); (r != nil) != c.open || r != nil && r.Code != "freeze" {
			t.Errorf("%s: %v, want open %v", c.at, r, c.open)
		}
	}
}
