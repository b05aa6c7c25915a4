package schedule

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		expr string
		ok   bool
	}{
		{"*/5 * * * *", true}, {"@every 5m", true}, {"0 8 * * 1-5", true},
		{"", false}, {"TZ=0", false}, {"CRON_TZ=Europe/Berlin", false}, {"0 0 31 2 *", false}, {"* * * *", false}, {"61 * * * *", false},
	} {
		if _, err := Parse(c.expr, time.UTC); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.expr, err)
		}
	}
}

func TestDaylightSaving(t *testing.T) {
	ny, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Skip("no time zones here: ", err)
	}
	due := func(expr, from, to string) (out []string) {
		s, err := Parse(expr, ny)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := time.Parse(time.RFC3339, from)
		b, _ := time.Parse(time.RFC3339, to)
		keys := map[string]bool{}
		for x := s.Next(a); x.Before(b); x = s.Next(x) {
			if k := s.Key(x); !keys[k] {
				keys[k] = true
				out = append(out, x.UTC().Format("02T15:04"))
			}
		}
		return out
	}
	for _, c := range []struct {
		name, expr, from, to string
		want                 int
	}{
		{"a time that is skipped in spring is due once", "30 2 * * *", "2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00", 1},
		{"a time that occurs twice in autumn is due once", "30 1 * * *", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00", 1},
		{"every five minutes goes on through the doubled hour", "*/5 * * * *", "2026-11-01T00:00:00-04:00", "2026-11-01T04:00:00-05:00", 59},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := due(c.expr, c.from, c.to); len(got) != c.want {
				t.Errorf("%d times, want %d: %v", len(got), c.want, got)
			}
		})
	}
}
