// Package schedule parses cron expressions and tells when they are due. In come an
// expression (five fields, or @every) and a time zone; out come the next time and a key
// by which several replicas, and the doubled hour of autumn, run a due time once.
package schedule

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is a parsed expression in a time zone.
type Schedule struct {
	spec  cron.Schedule
	loc   *time.Location
	short bool // due more often than every two hours: wall-clock jumps do not matter to it
}

// Parse reads an expression. The expression itself must not carry a time zone: the
// configuration has one for all.
func Parse(expr string, loc *time.Location) (s *Schedule, err error) {
	// The library's parser panics on TZ= without a space.
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("cron %q: not understood", expr)
		}
	}()
	if strings.Contains(expr, "TZ=") {
		return nil, fmt.Errorf("cron %q: write the zone under time_zone, not in the expression", expr)
	}
	if loc == nil {
		loc = time.UTC
	}
	spec, err := cron.ParseStandard(expr)
	if err != nil {
		return nil, fmt.Errorf("cron %q: %w (five fields such as \"*/5 * * * *\", or \"@every 5m\")", expr, err)
	}
	s = &Schedule{spec: spec, loc: loc}
	probe := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	first := spec.Next(probe)
	if first.IsZero() {
		return nil, fmt.Errorf("cron %q: never due", expr)
	}
	s.short = spec.Next(first).Sub(first) < 2*time.Hour
	return s, nil
}

// Next is the first due time after t. A time that a zone skips in spring is due at the
// moment to which the clock jumps forward; one that occurs twice in autumn is due once.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.short {
		return s.spec.Next(t.In(s.loc))
	}
	local := t.In(s.loc)
	wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
	for range 4 {
		wall = s.spec.Next(wall)
		if wall.IsZero() {
			return wall
		}
		due := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, s.loc)
		if due.After(t) {
			return due
		}
	}
	return s.spec.Next(local)
}

// Key names one due time; the same for all replicas.
func (s *Schedule) Key(due time.Time) string {
	if s.short {
		return due.UTC().Format(time.RFC3339)
	}
	return due.In(s.loc).Format("2006-01-02T15:04")
}

// Run calls f at every due time until ctx ends. A due time that passed while the process
// slept is called once, late; f must return quickly.
func (s *Schedule) Run(ctx context.Context, now func() time.Time, f func(due time.Time)) {
	due := s.Next(now())
	for !due.IsZero() {
		t := time.NewTimer(min(max(due.Sub(now()), 10*time.Millisecond), time.Minute))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		if n := now(); !n.Before(due) {
			f(due)
			due = s.Next(n)
		}
	}
}
