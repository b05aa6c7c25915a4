package playbooks

import (
	"testing"
	"time"

	"vpnbot/diag/dump"
	"vpnbot/diag/facts"
)

// TestDater: an ASA prints the time of day of its own clock; the day and the zone come
// from its clock reading and from when the capture was fetched.
func TestDater(t *testing.T) {
	at := func(s string) time.Time {
		x, err := time.Parse("2006-01-02 15:04:05 -0700", s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	tod := func(h, m int) time.Time { return time.Date(1970, 1, 1, h, m, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		clock *facts.Clock
		now   string
		dated bool
		last  time.Time
		want  string
	}{
		"the device is right and in UTC": {
			clock: &facts.Clock{Device: at("2026-05-06 10:00:00 +0000"), Read: at("2026-05-06 10:00:00 +0000")},
			now:   "2026-05-06 10:02:00 +0000", last: tod(10, 1), want: "2026-05-06 10:01:00 +0000"},
		"its zone is ahead and past midnight there": {
			clock: &facts.Clock{Device: at("2026-05-07 00:30:00 +0200"), Read: at("2026-05-06 22:30:00 +0000")},
			now:   "2026-05-06 22:33:00 +0000", last: tod(0, 32), want: "2026-05-06 22:32:00 +0000"},
		"its clock is an hour slow": {
			clock: &facts.Clock{Device: at("2026-05-06 09:00:00 +0000"), Read: at("2026-05-06 10:00:00 +0000")},
			now:   "2026-05-06 10:02:00 +0000", last: tod(9, 1), want: "2026-05-06 10:01:00 +0000"},
		"captured before midnight, fetched after": {
			now: "2026-05-07 00:00:20 +0000", last: tod(23, 59), want: "2026-05-06 23:59:00 +0000"},
		"a dated dump only loses the zone": {
			clock: &facts.Clock{Device: at("2026-05-06 12:00:00 +0200"), Read: at("2026-05-06 10:00:00 +0000")},
			now:   "2026-05-06 10:02:00 +0000", dated: true, last: time.Date(2026, 5, 6, 12, 1, 0, 0, time.UTC), want: "2026-05-06 10:01:00 +0000"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &dump.Dump{Dated: c.dated, Timed: true, Packets: []dump.Packet{{Time: c.last}}}
			if got := dater(d, c.clock, at(c.now))(c.last); !got.Equal(at(c.want)) {
				t.Errorf("%s, want %s", got.UTC(), c.want)
			}
		})
	}
}
