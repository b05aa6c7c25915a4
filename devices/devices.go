// Package devices is the network's side: sessions with ASA and IOS devices, what may be
// sent to them, and captures on them. Fleet is the entry point; everything that reaches
// a device goes through it. The seams that the store implements are declared here.
package devices

import (
	"context"
	"errors"
	"time"

	"vpnbot/devices/command"
)

// Gate decides whether a disruptive line may be written. It is called by the session
// itself, after login and after the last read of the decisive state, right before the
// first byte. Claim is a compare-and-set that consumes the approval of exactly these
// bytes (sum is the SHA-256 of the line) for this device; it succeeds at most once.
type Gate interface {
	Claim(ctx context.Context, proposal, device string, sum [32]byte) error
}

// Journal remembers captures that were started, so that a restart can remove them.
// Lend is written before the capture's first command is sent.
type Journal interface {
	Lend(ctx context.Context, l command.Lent) (id int64, err error)
	Returned(ctx context.Context, id int64) error
	Outstanding(ctx context.Context) (map[int64]command.Lent, error)
}

// Reason is why a device could not be used (contracts/report.md errors[].kind).
type Reason string

// Reasons. "Busy" is not "down".
const (
	Unreachable   Reason = "unreachable"
	Refused       Reason = "refused"
	Busy          Reason = "busy"
	HostKey       Reason = "host-key"
	Auth          Reason = "auth"
	Privilege     Reason = "privilege"
	Timeout       Reason = "timeout"
	Closed        Reason = "closed"
	NotUnderstood Reason = "not-understood"
)

// Error is a failure on a device: what was tried, why it failed, what to do about it.
type Error struct {
	Device string
	Reason Reason
	Tried  string // "log in", "show crypto isakmp sa"
	Hint   string // what the user can do
	Err    error
}

func (e *Error) Error() string {
	s := e.Device + ": " + e.Tried + ": " + string(e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// ErrNotClaimed is wrapped by Gate.Claim's errors when the approval is gone, used, or
// covers other bytes; nothing was written to the device then.
var ErrNotClaimed = errors.New("the approval does not cover this command")

// Output is what a device answered to one command, with secrets replaced.
type Output struct {
	Device   string
	Command  string // the exact line
	Evidence string
	Effect   command.Effect
	Text     string    // redacted: keys are **** plus a token that only compares
	SHA256   string    // of the raw bytes, hex
	At       time.Time // when the command was sent
	Took     time.Duration
	Refused  bool // the device rejected the command (caret, ERROR:, authorisation)
}
