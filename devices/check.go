package devices

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"

	"vpnbot/devices/command"
	"vpnbot/devices/session"
)

// CheckResult is what Check saw on a device.
type CheckResult struct {
	Prompt    string
	Enabled   bool // privileged exec mode was reached
	Paging    bool // the device refused to turn paging off; outputs take longer
	Version   string
	Leftovers []string // captures with our names
}

// Check logs in and reads what "vpnbot check --connect" shows.
func (f *Fleet) Check(ctx context.Context, name string) (CheckResult, error) {
	var r CheckResult
	d, err := f.device(name)
	if err != nil {
		return r, err
	}
	err = f.with(ctx, d, func(s *session.Session) error {
		r = CheckResult{Prompt: s.Prompt(), Enabled: s.Enabled(), Paging: s.Paging()}
		v, err := f.versionIn(ctx, d, s)
		if err != nil {
			return err
		}
		r.Version = v.Text
		if !v.Known() {
			r.Version = "unknown version"
		}
		r.Leftovers, err = f.listIn(ctx, s, command.TargetOf(d.conf, v))
		return err
	})
	return r, err
}

// LearnHostKeys asks every device that has no known host key for it, and writes those to
// known_hosts that yes accepts after a person has compared the fingerprint. No
// credential is sent to the devices. A key that changed is never learnt: it is an error.
func (f *Fleet) LearnHostKeys(ctx context.Context, yes func(device, fingerprint string) bool) error {
	var errs []error
	for _, conf := range f.inv.Devices() {
		d, err := f.device(conf.Name)
		if err != nil {
			return err
		}
		for {
			c, err := f.sessionConfig(d, f.inv.Credential(conf))
			if err != nil {
				errs = append(errs, f.explain(d, err))
				break
			}
			// The jump host sees a real login: the same rules as for any other.
			turn, err := f.takeTurns(d, f.inv.Credential(conf), &c)
			if err != nil {
				errs = append(errs, f.explain(d, err))
				break
			}
			_, err = f.learn(ctx, c, conf.Name, yes)
			var fail *session.Failure
			if errors.As(err, &fail) && fail.Rejected {
				turn.rejected(fail)
			}
			turn.end()
			var unknown *session.HostKeyError
			if c.Jump != nil && errors.As(err, &unknown) && unknown.Address == c.Jump.Address && !unknown.Changed {
				jump := *c.Jump
				var learnt bool
				learnt, err = f.learn(ctx, jump, conf.Name+"'s jump host", yes)
				if err == nil && learnt {
					continue // now the device itself
				}
			}
			if err != nil {
				errs = append(errs, f.explain(d, err))
			}
			break
		}
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
	}
	return errors.Join(errs...)
}

func (f *Fleet) learn(ctx context.Context, c session.Config, name string, yes func(string, string) bool) (bool, error) {
	key, err := session.HostKeyOf(ctx, c)
	if err != nil {
		return false, err
	}
	err = c.KnownHosts.Known(c.Address, key)
	var e *session.HostKeyError
	switch {
	case err == nil:
		return false, nil
	case !errors.As(err, &e):
		return false, err
	case e.Changed || e.Revoked:
		return false, &session.Failure{Reason: session.HostKey, Tried: "learn the host key of " + c.Address, Hint: e.Hint(), Err: e}
	}
	if !yes(name, fmt.Sprintf("%s %s", key.Type(), ssh.FingerprintSHA256(key))) {
		return false, nil
	}
	return true, c.KnownHosts.Append(c.Address, key)
}
