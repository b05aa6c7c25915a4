package devices

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/devices/session"
)

// unit is one chassis of a failover pair. The pair's address leads to whichever is
// active; a capture is on the one where it was started and does not move.
type unit struct {
	serial string // of the chassis; "" where it cannot be read, and on IOS
	prompt string // which may name unit and state: hq/pri/act#
}

func (u unit) String() string {
	if u.serial == "" {
		return strings.TrimSpace(u.prompt)
	}
	return "serial number " + u.serial + ", " + strings.TrimSpace(u.prompt)
}

// other tells whether two sessions were on different units, as far as serial numbers say.
func (u unit) other(v unit) bool { return u.serial != "" && v.serial != "" && u.serial != v.serial }

var serialNumber = regexp.MustCompile(`(?m)^Serial Number: ([0-9A-Za-z]{4,32})\s*$`)

// unitOf tells on which unit a session is.
func (f *Fleet) unitOf(ctx context.Context, d *device, s *session.Session) (unit, error) {
	u := unit{prompt: s.Prompt()}
	if d.conf.Platform != inventory.CiscoASA {
		return u, nil
	}
	cmds, err := command.Evidence(command.TargetOf(d.conf, command.Version{}), "version", command.Query{})
	if err != nil {
		return u, err
	}
	a, _, err := s.Exec(ctx, cmds[0])
	if err != nil {
		return u, err
	}
	if m := serialNumber.FindStringSubmatch(a.Text); m != nil && !a.Refused {
		u.serial = m[1]
	}
	return u, nil
}

// onUnit runs fn in a session of the unit want: at the device's address, or after a
// failover at its standby address.
func (f *Fleet) onUnit(ctx context.Context, d *device, want unit, fn func(*session.Session) error) error {
	missed := false
	var here unit
	try := func(s *session.Session) error {
		var err error
		if here, err = f.unitOf(ctx, d, s); err != nil {
			return err
		}
		if missed = want.other(here); missed {
			return nil
		}
		return fn(s)
	}
	if err := f.with(ctx, d, try); err != nil || !missed {
		return err
	}
	var standby error
	if d.conf.Standby != "" {
		if standby = f.atStandby(ctx, d, try); standby == nil && !missed {
			return nil
		}
	}
	return f.onOtherUnit(d, "reach the unit that captures", "", want, here, standby)
}

// onOtherUnit says that after a failover something is on a unit that was not reached.
func (f *Fleet) onOtherUnit(d *device, tried, hint string, want, here unit, standby error) error {
	hint = "after a failover the capture is on the other unit" + hint
	if d.conf.Standby == "" {
		hint += "; name the standby unit's address as standby of this device and vpnbot looks there"
	}
	err := fmt.Errorf("this is another unit (%v) than the one that captured (%v)", here, want)
	if standby != nil {
		err = fmt.Errorf("%w, and its standby address cannot be used: %w", err, standby)
	}
	return &Error{Device: d.conf.Name, Reason: NotUnderstood, Tried: tried, Hint: hint, Err: err}
}

// atStandby runs fn in a session of its own at the device's standby address.
func (f *Fleet) atStandby(ctx context.Context, d *device, fn func(*session.Session) error) error {
	leave, err := f.enter(ctx, d)
	if err != nil {
		return err
	}
	defer leave()
	s, err := f.login(ctx, d, at{address: d.conf.Standby, standby: true})
	if err != nil {
		return f.explain(d, err)
	}
	defer func() { _ = s.Close() }()
	err = fn(s)
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	return f.explain(d, err)
}
