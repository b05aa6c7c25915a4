package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"vpnbot/diag/redact"
)

// Reason is why a session could not be used; the same words as devices.Reason.
type Reason string

// Reasons.
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

// Failure says what was tried, why it failed and what the user can do.
type Failure struct {
	Reason Reason
	Tried  string
	Hint   string
	Err    error
	// Rejected: the device looked at a password or key and refused it. It must not be sent again.
	Rejected bool
	// Jump: it was the jump host's login that failed, not the device's.
	Jump bool
}

func (f *Failure) Error() string {
	s := f.Tried + ": " + string(f.Reason)
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

func (f *Failure) Unwrap() error { return f.Err }

func fail(r Reason, tried, hint string, err error) *Failure {
	if hint == "" {
		hint = hints[r]
	}
	return &Failure{Reason: r, Tried: tried, Hint: hint, Err: err}
}

// hints for failures that have none of their own.
var hints = map[Reason]string{
	Unreachable:   "check the address and the route to it",
	Refused:       "check that SSH is on and that this host is among those that may manage the device",
	Busy:          "its SSH sessions are in use; try again later",
	HostKey:       "check ssh.known_hosts; vpnbot check --connect --learn-host-keys shows what the device has",
	Auth:          "check its credentials in the configuration",
	Privilege:     "the account needs more; docs/devices.md says what",
	Timeout:       "the device is overloaded or does not answer; try again later",
	Closed:        "try again; if it goes on, look at the device's log",
	NotUnderstood: "nothing more was sent; look at the device by hand, and report the command and its answer",
}

// quote makes a piece of a device's text fit for an error: short, and without secrets.
func (c Config) quote(b []byte) string {
	if len(b) > 400 {
		b = b[len(b)-400:]
	}
	s := string(b)
	for _, secret := range []string{c.Password, c.Enable} {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, redact.Mask)
		}
	}
	s = redact.Strip(redact.New([]byte("not shown")).Text(s))
	if r := []rune(s); len(r) > 80 {
		s = string(r[len(r)-80:])
	}
	return strconv.Quote(s)
}

// dialFailure says why no TCP connection came up.
func dialFailure(ctx context.Context, addr string, err error) *Failure {
	tried := "connect to " + addr
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(Refused, tried, "nothing listens there, or a management access list refuses this host: check \"ssh <this host>\" (ASA) or the vty access-class (IOS)", err)
	case errors.As(err, &dns):
		return fail(Unreachable, tried, "the name does not resolve: check address in the configuration", err)
	case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err):
		return fail(Unreachable, tried, "no answer: check the route, firewalls between, and that the device is up", cause(ctx, err))
	}
	return fail(Unreachable, tried, "check the address and the route to it", err)
}

// handshakeFailure says why SSH did not come up on a connection that did.
func (t *sshTransport) handshakeFailure(ctx context.Context, addr string, conn *countingConn, auth *authState, err error) *Failure {
	tried := "log in to " + addr
	var key *HostKeyError
	var algo *ssh.AlgorithmNegotiationError
	var denied *Failure
	switch {
	case errors.As(auth.denied, &denied):
		return denied
	case auth.denied != nil:
		return fail(Timeout, tried, "", auth.denied)
	case errors.As(err, &key):
		return fail(HostKey, "check the host key of "+addr, key.Hint(), key)
	case knownhosts.IsHostKeyChanged(err) || knownhosts.IsHostUnknown(err):
		return fail(HostKey, "check the host key of "+addr, "run vpnbot check --connect --learn-host-keys and compare the fingerprint", err)
	case auth.rejected(err) && (ctx.Err() == nil || strings.Contains(err.Error(), "unable to authenticate")):
		f := fail(Auth, tried, "the device or its AAA server refused user "+fmt.Sprintf("%q", t.cfg.User)+"; it is not tried again until vpnbot is restarted with another", errors.New("the password or key was refused"))
		f.Rejected = true
		return f
	case ctx.Err() != nil:
		hint := "the device accepted the connection and then said nothing: it may be overloaded, or a firewall between answers for it"
		if conn.received() > 0 {
			hint = "the device stopped answering during the login: its AAA server may not answer, or the device is overloaded"
		}
		return fail(Timeout, tried, hint, cause(ctx, err))
	case errors.As(err, &algo):
		hint := "set legacy_algorithms: true for this device if it is an old image, or upgrade it"
		if t.cfg.Legacy {
			hint = "the device and vpnbot have no algorithm in common: see \"show ssh\" and \"ssh key-exchange\" on the device"
		}
		return fail(NotUnderstood, tried, hint, algo)
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fail(Auth, tried, "the device offers no way to log in that the configuration has (password, private_key or an SSH key in ssh-agent)", err)
	case conn.received() == 0 && closedEarly(err):
		return fail(Busy, tried, "it closed before its banner: all its SSH sessions are in use (an ASA takes 5); try again later, see \"show ssh sessions\"", err)
	case closedEarly(err):
		return fail(Closed, tried, "the device closed the connection during the login", err)
	}
	return fail(NotUnderstood, tried, "what answers there does not speak SSH 2 as expected: check the address and port", err)
}

func closedEarly(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "EOF")
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// cause prefers why the context ended over "use of closed network connection".
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}
