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

// Windows on the nights when the clocks change: the window opens by the wall clock and
// stays open for its length, whatever the clock on the wall shows meanwhile.
func TestFreezeWhenClocksChange(t *testing.T) {
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Skip("no time zones here: ", err)
	}
	for _, c := range []struct {
		name, cron string
		length     time.Duration
		loc        *time.Location
		at         map[string]bool // UTC
	}{
		{"autumn: 02:30 comes twice and opens once", "30 2 * * *", 2 * time.Hour, zurich, map[string]bool{
			"2026-10-25T00:29:59Z": false, "2026-10-25T00:30:00Z": true, "2026-10-25T02:29:59Z": true, "2026-10-25T03:30:00Z": false}},
		{"spring: a night of 23 hours", "0 22 * * *", 8 * time.Hour, zurich, map[string]bool{
			"2026-03-28T20:59:59Z": false, "2026-03-28T21:00:00Z": true, "2026-03-29T04:59:59Z": true, "2026-03-29T05:00:00Z": false}},
		{"summer time moves the window against UTC", "0 8 * * 1-5", time.Hour, zurich, map[string]bool{
			"2026-01-05T07:00:00Z": true, "2026-01-05T06:30:00Z": false, "2026-07-06T06:30:00Z": true, "2026-07-06T07:00:00Z": false}},
		{"in UTC nothing moves", "0 8 * * 1-5", time.Hour, time.UTC, map[string]bool{
			"2026-01-05T08:00:00Z": true, "2026-07-06T08:00:00Z": true, "2026-07-06T06:30:00Z": false}},
	} {
		s, err := schedule.Parse(c.cron, c.loc)
		if err != nil {
			t.Fatal(err)
		}
		p := approval.Policy{Enabled: true, Freeze: []approval.Window{{Schedule: s, For: c.length}}}
		for at, open := range c.at {
			now, err := time.Parse(time.RFC3339, at)
			if err != nil {
				t.Fatal(err)
			}
			if r := p.Check(now, approval.Load{}); (r != nil) != open {
				t.Errorf("%s: %s: %v, want open %v", c.name, at, r, open)
			}
		}
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
