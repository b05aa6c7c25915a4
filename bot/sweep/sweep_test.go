package sweep

import (
	"strings"
	"testing"
	"time"
)

// A story is a list of sweeps five minutes apart, written as the states seen; what is
// told is written as before>after.
func TestStep(t *testing.T) {
	for _, c := range []struct{ name, seen, told string }{
		{"baseline tells nothing", "up", ""},
		{"down at the baseline tells nothing", "down down", ""},
		{"nothing changes, nothing is told", "up up up", ""},
		{"went down, told once", "up down down down", "up>down"},
		{"came back", "up down up up", "up>down down>up"},
		{"one negotiating sweep is a rekey", "up negotiating up", ""},
		{"two negotiating sweeps are not", "up negotiating negotiating", "up>negotiating"},
		{"not checked is not down", "up - - up", ""},
		{"one unknown sweep is not told", "up unknown up", ""},
		{"one way", "up degraded degraded up", "up>degraded degraded>up"},
		{"flapping is told once", "up down up down up down up down", "up>down down>up up>down down>flapping"},
		{"quiet again after flapping", "up down up down up up up up up", "up>down down>up up>down down>flapping flapping>up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Memory
			var told []string
			now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
			for _, s := range strings.Fields(c.seen) {
				if s == "-" {
					s = ""
				}
				var ch *Change
				m, ch = Step(Decode(m.Encode()), Seen{State: s, At: now}, Defaults())
				if ch != nil {
					told = append(told, ch.Before+">"+ch.After)
				}
				now = now.Add(5 * time.Minute)
			}
			if got := strings.Join(told, " "); got != c.told {
				t.Errorf("told %q, want %q", got, c.told)
			}
		})
	}
}

func TestOutage(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	m, _ := Step(Memory{}, Seen{State: Up, At: now}, Defaults())
	m, _ = Step(m, Seen{State: Down, At: now.Add(5 * time.Minute)}, Defaults())
	m, _ = Step(m, Seen{State: Negotiating, At: now.Add(10 * time.Minute)}, Defaults())
	m, _ = Step(m, Seen{State: Negotiating, At: now.Add(15 * time.Minute)}, Defaults())
	_, c := Step(m, Seen{State: Up, At: now.Add(20 * time.Minute)}, Defaults())
	if c == nil || !c.Back() || c.Outage != 15*time.Minute {
		t.Errorf("came back: %+v; the outage lasted from down to up, 15 min", c)
	}
}
