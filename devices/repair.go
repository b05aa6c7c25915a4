package devices

import (
	"context"
	"errors"
	"fmt"

	"vpnbot/devices/command"
	"vpnbot/devices/session"
)

// Repair is one approved disruptive command for one device.
type Repair struct {
	Proposal string            // id of the approved proposal, for the gate
	Decisive []command.Command // reads the state that justified it, again, in the same session
	// Check looks at that state, with secrets replaced, and returns the command to run,
	// connection ids read anew. An error means that the state no longer calls for it;
	// nothing is written then.
	Check    func(before []Output) (command.Command, error)
	Redactor func(string) string
}

// Fate of a repair's command; see RepairError.
type Fate string

// Fates.
const (
	NotSent      Fate = "not sent" // Enter was never pressed: the device did nothing
	Executed     Fate = "executed" // the device answered; whether it refused is in the output
	FateUnknown  Fate = "unknown"  // Enter was pressed, or may have been, and no answer came
	NotClaimed   Fate = "not claimed"
	Superseded   Fate = "superseded" // Check said that the state changed
	NotPermitted Fate = "not permitted"
)

// RepairError says how far a repair came that did not end well. Fate FateUnknown must be
// reported as unknown and looked at by a person; nothing is ever run again by itself.
type RepairError struct {
	Fate    Fate
	Claimed bool // the approval is consumed
	Err     error
}

func (e *RepairError) Error() string { return "repair " + string(e.Fate) + ": " + e.Err.Error() }

func (e *RepairError) Unwrap() error { return e.Err }

// ErrNoGate is wrapped when a disruptive command is asked for and no gate exists.
var ErrNoGate = errors.New("no disruptive command without a gate")

// Repair reads the decisive state again, lets Check decide, claims the approval of the
// exact bytes at the gate, and runs the command, all in one session. There is no other
// way for a disruptive command. Every error is a *RepairError; before holds what was
// read in any case.
func (f *Fleet) Repair(ctx context.Context, name string, r Repair) (before []Output, out Output, err error) {
	no := func(fate Fate, claimed bool, err error) ([]Output, Output, error) {
		return before, out, &RepairError{Fate: fate, Claimed: claimed, Err: err}
	}
	switch {
	case f.opt.Gate == nil:
		return no(NotPermitted, false, fmt.Errorf("%w: approvals are off", ErrNoGate))
	case r.Proposal == "" || r.Check == nil || r.Redactor == nil:
		return no(NotPermitted, false, errors.New("a repair needs a proposal, a check and a redactor"))
	case len(r.Decisive) == 0:
		return no(NotPermitted, false, errors.New("a repair needs the commands that read the decisive state again"))
	}
	for _, c := range r.Decisive {
		if c.IsZero() || c.Effect() != command.Reads {
			return no(NotPermitted, false, fmt.Errorf("%q does not only read", c.Line()))
		}
	}
	d, err := f.device(name)
	if err != nil {
		return no(NotPermitted, false, err)
	}
	var result *RepairError
	err = f.with(ctx, d, func(s *session.Session) error {
		result, before = nil, nil
		var err error
		if s.OnStandby() {
			result = &RepairError{Fate: NotSent, Err: &Error{Device: d.conf.Name, Reason: NotUnderstood, Tried: "repair", Hint: "the clear belongs on the active unit", Err: fmt.Errorf("this is the standby unit (%s)", s.Prompt())}}
			return nil
		}
		if before, err = f.read(ctx, d, s, r.Redactor, r.Decisive); err != nil {
			return err // a stale idle session shows here, before anything is claimed
		}
		for _, o := range before {
			if o.Refused {
				result = &RepairError{Fate: NotSent, Err: &Error{Device: d.conf.Name, Reason: Privilege, Tried: o.Command, Hint: "the account needs it to be sure before a clear; see docs/devices.md", Err: errors.New("the device refused to show its state")}}
				return nil
			}
		}
		c, err := r.Check(before)
		if err != nil {
			result = &RepairError{Fate: Superseded, Err: err}
			return nil
		}
		if c.Effect() != command.Disrupts {
			result = &RepairError{Fate: NotPermitted, Err: fmt.Errorf("%q is not a repair", c.Line())}
			return nil
		}
		claimed := false
		var claimErr error
		a, fate, err := s.ExecClaimed(ctx, c, func(ctx context.Context) error {
			if claimErr = f.opt.Gate.Claim(ctx, r.Proposal, d.conf.Name, c.Sum()); claimErr != nil {
				return claimErr
			}
			claimed = true
			return nil
		})
		out = output(d, c, a, r.Redactor)
		switch {
		case claimErr != nil:
			result = &RepairError{Fate: NotClaimed, Err: claimErr}
		case err != nil && fate == session.Unsent:
			result = &RepairError{Fate: NotSent, Claimed: claimed, Err: f.explain(d, err)}
		case err != nil:
			result = &RepairError{Fate: FateUnknown, Claimed: claimed, Err: f.explain(d, err)}
		case a.Refused:
			result = &RepairError{Fate: Executed, Claimed: claimed, Err: &Error{Device: d.conf.Name, Reason: Privilege, Tried: c.Line(), Hint: "the account may not run it, or this image has another form; see docs/devices.md", Err: errors.New("the device refused the command")}}
		}
		return nil
	})
	if result != nil {
		return before, out, result
	}
	if err != nil {
		return no(NotSent, false, err)
	}
	return before, out, nil
}
