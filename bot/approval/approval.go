// Package approval is the law of approved repairs: the states of a proposal, the steps
// between them, and the policy that says whether one may be approved or run now. It is
// pure: the store asks it inside its transactions, nothing here waits or writes.
//
//	proposed ──approve──► approved ──gate──► running ──► succeeded | failed | unknown
//	   │                     │
//	   ├─ rejected           ├─ expired (not begun in time, or no longer allowed)
//	   ├─ expired (ttl)      └─ superseded (the state changed)
//	   ├─ superseded
//	   └─ withdrawn (requester)
//
// A running one whose process stops becomes unknown, or, when the devices' answers to all
// commands are written down, stays running until another process has verified it.
//
// docs/safety.md says which promises rest on it and how they are tested.
package approval

import (
	"fmt"
	"slices"
	"time"
)

// State of a proposal (contracts/slack.md).
type State string

// States. Everything but Proposed, Approved and Running is final.
const (
	Proposed   State = "proposed"
	Approved   State = "approved"
	Rejected   State = "rejected"
	Expired    State = "expired"
	Superseded State = "superseded"
	Withdrawn  State = "withdrawn"
	Running    State = "running"
	Succeeded  State = "succeeded" // the commands were accepted; whether it helped is the outcome's word
	Failed     State = "failed"
	Unknown    State = "unknown" // a run whose end nobody saw; never repeated
)

var steps = map[State][]State{
	Proposed: {Approved, Rejected, Expired, Superseded, Withdrawn},
	Approved: {Running, Expired, Superseded},
	Running:  {Succeeded, Failed, Unknown},
}

// States lists all of them.
func States() []State {
	return []State{Proposed, Approved, Rejected, Expired, Superseded, Withdrawn, Running, Succeeded, Failed, Unknown}
}

// Allowed tells whether a proposal may go from one state to the other.
func Allowed(from, to State) bool { return slices.Contains(steps[from], to) }

// Final tells whether nothing follows.
func (s State) Final() bool { return len(steps[s]) == 0 }

// CommandState is what became of one command of a proposal.
type CommandState string

// States of a command. NotSent is final after its proposal's end.
const (
	NotSent          CommandState = "not sent"
	CommandRunning   CommandState = "running"
	CommandSucceeded CommandState = "succeeded"
	CommandFailed    CommandState = "failed"
	CommandUnknown   CommandState = "unknown"
)

// Policy is what the configuration says about repairs.
type Policy struct {
	Enabled     bool
	FourEyes    bool
	TTL         time.Duration // of an unanswered proposal
	StartWithin time.Duration // of the approval; later it is expired
	PerTunnel   int           // runs per tunnel and hour
	PerDevice   int           // runs per device and hour
	MaxRunning  int           // at once, over all replicas
	Freeze      []Window
}

// Window is a time without repairs: it opens whenever the schedule fires and stays open for For.
type Window struct {
	Schedule Schedule
	For      time.Duration
	Reason   string
}

// Schedule tells the next time after t; it is what bot/schedule parses.
type Schedule interface{ Next(t time.Time) time.Time }

// Open tells whether the window is open and until when. In the hour that an autumn night
// has twice it opens at the first of the two and counts its length from the second: what
// is frozen stays frozen by whichever clock people mean.
func (w Window) Open(now time.Time) (until time.Time, open bool) {
	t := w.Schedule.Next(now.Add(-w.For - time.Hour))
	for range 10_000 {
		if t.IsZero() || t.After(now.Add(time.Hour)) {
			return until, open
		}
		begin, end := t, t.Add(w.For)
		if first := t.Add(-time.Hour); sameWall(first, t) {
			begin = first
		}
		if second := t.Add(time.Hour); sameWall(second, t) {
			end = second.Add(w.For)
		}
		if !begin.After(now) && end.After(now) {
			until, open = end, true // a later opening within the window makes it longer
		}
		t = w.Schedule.Next(t)
	}
	return now.Add(w.For), true // it opens faster than it can be counted
}

// sameWall tells whether a wall clock shows the same at both times.
func sameWall(a, b time.Time) bool {
	return a.Format(time.DateTime) == b.Format(time.DateTime)
}

// Load is what the store counted, over all replicas, in the transaction that asks.
type Load struct {
	Paused      bool
	PausedBy    string
	PauseReason string
	Running     int            // other proposals that are approved or running
	Here        int            // those of them that are for this tunnel
	Tunnel      int            // runs for this tunnel that began within the last hour
	Devices     map[string]int // the same per device
}

// Skew is how far the clocks of replicas may differ. A clock that stands further back than
// that has jumped: how long ago something was, cannot be known, so it counts as too long.
const Skew = time.Minute

// Stale tells whether something that happened at a time is older than the limit, or
// whether that cannot be known.
func Stale(now, at time.Time, limit time.Duration) bool {
	age := now.Sub(at)
	return age >= limit || age < -Skew
}

// Refusal is why something was not done: a stable code and a sentence for people.
type Refusal struct {
	Code  string // disabled, paused, freeze, limit-tunnel, limit-device, busy, four-eyes, expired, state, gone, command, owner
	Words string
}

func (r *Refusal) Error() string { return r.Words }

// Refuse builds a refusal.
func Refuse(code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Words: fmt.Sprintf(format, args...)}
}

// Check says whether a repair may be approved or run now; nil when it may.
func (p Policy) Check(now time.Time, l Load) *Refusal {
	if !p.Enabled {
		return Refuse("disabled", "This installation only reads: approval.enabled is false. The commands can be pasted by hand.")
	}
	if l.Paused {
		why := ""
		if l.PauseReason != "" {
			why = " (" + l.PauseReason + ")"
		}
		return Refuse("paused", "Repairs are paused by %s%s. An admin ends it with `resume`.", orSomeone(l.PausedBy), why)
	}
	for _, w := range p.Freeze {
		if until, open := w.Open(now); open {
			why := ""
			if w.Reason != "" {
				why = " (" + w.Reason + ")"
			}
			return Refuse("freeze", "A freeze window is open until %s%s: no repairs.", until.UTC().Format("Mon 2006-01-02 15:04 UTC"), why)
		}
	}
	if l.Here > 0 {
		return Refuse("busy", "Another repair of this tunnel is approved or running. Wait for its outcome.")
	}
	if p.MaxRunning > 0 && l.Running >= p.MaxRunning {
		return Refuse("busy", "Another repair is running (%d at once are allowed). Try again when it has ended.", p.MaxRunning)
	}
	if p.PerTunnel > 0 && l.Tunnel >= p.PerTunnel {
		return Refuse("limit-tunnel", "This tunnel was repaired %d times within the last hour; the limit is %d. What does not last needs another remedy.", l.Tunnel, p.PerTunnel)
	}
	for _, d := range slices.Sorted(keys(l.Devices)) {
		if n := l.Devices[d]; p.PerDevice > 0 && n >= p.PerDevice {
			return Refuse("limit-device", "%s had %d repairs within the last hour; the limit is %d.", d, n, p.PerDevice)
		}
	}
	return nil
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func orSomeone(user string) string {
	if user == "" {
		return "an admin"
	}
	return "<@" + user + ">"
}
