package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"vpnbot/devices/command"
)

// Answer is what the device wrote between a command's echo and its next prompt.
type Answer struct {
	Text    string // line ends are \n, bytes that are no UTF-8 are U+FFFD
	SHA256  string // of the bytes as they came, hex
	At      time.Time
	Took    time.Duration
	Refused bool

	raw []byte
}

// Late adds text that belongs to this answer but came after a line that looked exactly
// like the prompt.
func (s *Session) Late(a *Answer, late []byte) {
	if len(late) == 0 {
		return
	}
	raw := slices.Concat(a.raw, s.prompt, late)
	s.finish(a, raw)
}

func (s *Session) finish(a *Answer, raw []byte) {
	a.raw = raw
	sum := sha256.Sum256(raw)
	a.SHA256 = hex.EncodeToString(sum[:])
	a.Text = clean(raw, s.paging)
	a.Refused = s.refusal(raw)
}

// Exec sends a command that does not disrupt and reads its answer. late is what arrived
// before the echo: the rest of the previous answer, when that held a line which looked
// exactly like the prompt. Changing commands are typed, compared with their echo, and
// only then entered; reading ones are entered at once.
func (s *Session) Exec(ctx context.Context, c command.Command) (a Answer, late []byte, err error) {
	if c.Effect() == command.Disrupts {
		return a, nil, fail(NotUnderstood, c.Line(), "", errors.New("a disruptive command needs the gate"))
	}
	ctx, done := s.bound(ctx, c)
	defer done()
	a.At = s.cfg.Now()
	if err := s.guard(c); err != nil {
		return a, nil, fail(NotUnderstood, clipString(c.Line()), "", err)
	}
	if c.Effect() == command.Captures {
		if _, err := s.typed(ctx, c); err != nil {
			return a, nil, err
		}
	} else if err := s.send(c); err != nil {
		return a, nil, s.failed(ctx, c.Line(), "", err)
	}
	late, err = s.answer(ctx, c, &a)
	return a, late, err
}

// Fate is how far a disruptive command came.
type Fate int

// Fates. Unsent: Enter was not pressed, the device did nothing. Unknown: Enter was
// pressed and no prompt came back. Sent: the device answered.
const (
	Unsent Fate = iota
	Unknown
	Sent
)

// ErrEcho is wrapped when the device's echo of a typed line was not that line; Enter was
// not pressed.
var ErrEcho = errors.New("the device's echo differs from the line")

// ExecClaimed runs a disruptive command: claim is called right before the first byte is
// written, the whole line's echo is compared, and only then Enter is sent.
func (s *Session) ExecClaimed(ctx context.Context, c command.Command, claim func(context.Context) error) (Answer, Fate, error) {
	var a Answer
	ctx, done := s.bound(ctx, c)
	defer done()
	if err := s.guard(c); err != nil {
		return a, Unsent, fail(NotUnderstood, clipString(c.Line()), "", err)
	}
	if !s.Enabled() {
		return a, Unsent, fail(Privilege, c.Line(), "configure enable for its credentials", errors.New("the session is not in privileged exec mode"))
	}
	// Be sure that this is the prompt and not a line of the last answer that looks like it.
	if late, err := s.Fence(ctx); err != nil {
		return a, Unsent, err
	} else if len(late) > 0 {
		s.dead = errors.New("the state that was read was cut short")
		_ = s.t.Close()
		return a, Unsent, fail(NotUnderstood, c.Line(), "nothing was sent; run the diagnosis again", s.dead)
	}
	if err := claim(ctx); err != nil {
		return a, Unsent, err
	}
	a.At = s.cfg.Now()
	entered, err := s.typed(ctx, c)
	if err != nil {
		if entered {
			return a, Unknown, err
		}
		return a, Unsent, err
	}
	if late, err := s.answer(ctx, c, &a); err != nil {
		return a, Unknown, err
	} else if len(late) > 0 {
		return a, Unknown, fail(NotUnderstood, c.Line(), "", errors.New("other text came in between"))
	}
	return a, Sent, nil
}

// Fence sends an empty line and expects the prompt at once. What comes before is the
// rest of the last answer.
func (s *Session) Fence(ctx context.Context) (late []byte, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.CommandTimeout, fmt.Errorf("no prompt within %v", s.cfg.CommandTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, s.t.abort)
	defer stop()
	if s.dead != nil {
		return nil, fail(Closed, "go on in a session", "", s.dead)
	}
	if err := s.t.Write([]byte{'\n'}); err != nil {
		return nil, s.failed(ctx, "confirm the prompt", "", err)
	}
	end := -1
	if err := s.readUntil(func() bool {
		if !s.atPrompt(0) {
			return false
		}
		before := bytes.TrimRight(s.in[:len(s.in)-len(s.prompt)], "\r\n")
		if len(before) == 0 {
			end = 0
			return true
		}
		if bytes.HasSuffix(before, bytes.TrimRight(s.prompt, " ")) || bytes.HasSuffix(before, s.prompt) {
			end = bytes.LastIndexByte(before, '\n') + 1
			return true
		}
		return false
	}); err != nil {
		return nil, s.failed(ctx, "confirm the prompt", "", err)
	}
	if end > 0 {
		late = bytes.Clone(s.in[:end])
	}
	s.in = nil
	return late, nil
}

// bound gives the exchange its time; when that ends, the connection is closed.
func (s *Session) bound(ctx context.Context, c command.Command) (context.Context, func()) {
	limit := s.cfg.CommandTimeout
	if c.Timeout() > limit {
		limit = c.Timeout()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no prompt within %v", limit))
	stop := context.AfterFunc(ctx, s.t.abort)
	return ctx, func() { stop(); cancel() }
}

// guard is the second look at a line, by the grammar that shares nothing with the
// constructors, right before it is written.
func (s *Session) guard(c command.Command) error {
	if s.dead != nil {
		return s.dead
	}
	disrupts, err := command.AllowedDisruptive(s.cfg.Platform, c.Line())
	if err != nil {
		return err
	}
	if disrupts != (c.Effect() == command.Disrupts) {
		return fmt.Errorf("%w: its declared effect is %v", command.ErrNotAllowed, c.Effect())
	}
	return nil
}

func (s *Session) send(c command.Command) error {
	if err := s.guard(c); err != nil {
		return err
	}
	line := make([]byte, 0, len(c.Line())+1)
	line = append(append(line, c.Line()...), '\n')
	return s.t.Write(line)
}

// typed writes a line, compares the device's echo of all of it, and presses Enter.
func (s *Session) typed(ctx context.Context, c command.Command) (entered bool, err error) {
	line := c.Line()
	if err := s.t.Write([]byte(line)); err != nil {
		return false, s.failed(ctx, line, "nothing was entered", err)
	}
	e := newEcho(string(s.prompt), line)
	seen := 0
	err = s.readUntil(func() bool {
		e.feed(s.in[seen:])
		seen = len(s.in)
		return e.state() != echoPartial
	})
	if err == nil && e.state() != echoWhole {
		err = ErrEcho
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if errors.Is(err, ErrEcho) {
			s.dead = err
			_ = s.t.Close()
			return false, fail(NotUnderstood, line, "Enter was not pressed, the device did nothing, and the session was closed", fmt.Errorf("%w: it shows %s", ErrEcho, s.cfg.quote(s.in)))
		}
		return false, s.failed(ctx, line, "Enter was not pressed", err)
	}
	if err := s.t.Write([]byte{'\n'}); err != nil {
		return true, s.failed(ctx, line, "Enter may have been pressed: look at the device", err)
	}
	return true, nil
}

// answer reads the echo's end and everything up to the exact prompt.
func (s *Session) answer(ctx context.Context, c command.Command, a *Answer) (late []byte, err error) {
	line := c.Line()
	body, lineStart, from := -1, 0, 0
	answered := 0 // up to where paging questions were answered
	var settle *time.Timer
	defer func() {
		if settle != nil {
			settle.Stop()
		}
	}()
	changed := false
	err = s.readUntil(func() bool {
		if settle != nil {
			settle.Stop()
			settle = nil
		}
		for body < 0 {
			i := bytes.IndexByte(s.in[from:], '\n')
			if i < 0 {
				from = len(s.in)
				return false
			}
			i += from - lineStart
			l := s.in[lineStart : lineStart+i]
			if lineStart > 0 {
				l = bytes.TrimLeft(l, "\r")
			}
			switch rest, ok := bytes.CutPrefix(l, s.prompt); {
			case lineStart == 0 && compareEcho(s.prompt, line, l) == echoWhole:
				body = i + 1
			case lineStart > 0 && ok && compareEcho(s.prompt, line, rest) == echoWhole:
				late = bytes.Clone(s.in[:lineStart])
				body = lineStart + i + 1
			default:
				lineStart += i + 1
				from = lineStart
			}
		}
		if s.atPrompt(body) {
			return true
		}
		last := s.lastLine()
		if s.paging && len(s.in)-len(last) >= answered && isMore(last) {
			answered = len(s.in)
			_ = s.t.Write([]byte{' '})
			return false
		}
		if l := s.def.level(last); l != "" && len(s.in) > body {
			// It looks like a prompt and is not ours: after a failover the name changes.
			// If nothing follows, this session is no longer where it was.
			changed = true
			settle = time.AfterFunc(min(2*time.Second, s.cfg.CommandTimeout/4), s.t.abort)
		} else {
			changed = false
		}
		return false
	})
	a.Took = s.cfg.Now().Sub(a.At)
	if err != nil {
		if body < 0 && len(s.in) > 0 && ctx.Err() == nil {
			return nil, s.failed(ctx, line, "the device did not echo the command", err)
		}
		if body >= 0 {
			s.finish(a, bytes.Clone(s.in[body:])) // partial: the caller may still show it
		}
		if changed && ctx.Err() == nil && s.t.closed.Load() {
			s.dead = err
			return late, fail(Closed, line, "a failover or a change of its name; try again", fmt.Errorf("the prompt changed from %q to %s", s.prompt, s.cfg.quote(s.lastLine())))
		}
		return late, s.failed(ctx, line, "", err)
	}
	raw := s.in[body : len(s.in)-len(s.prompt)]
	s.in = nil
	s.answered++
	s.finish(a, raw)
	return late, nil
}

// atPrompt tells whether what was read since from ends with the exact prompt on a line
// of its own.
func (s *Session) atPrompt(from int) bool {
	if !bytes.HasSuffix(s.in[from:], s.prompt) {
		return false
	}
	before := len(s.in) - len(s.prompt)
	return before == from || s.in[before-1] == '\n' || s.in[before-1] == '\r'
}

var (
	errEnded = errors.New("the device closed the session")
	errBig   = errors.New("the output is larger than the limit")
)

// readUntil reads until enough says so. It waits in the read; whoever bounds the time
// closes the connection.
func (s *Session) readUntil(enough func() bool) error {
	for {
		if len(s.in) > s.cfg.MaxOutput {
			return errBig
		}
		if free := cap(s.in) - len(s.in); free < 1024 {
			s.in = slices.Grow(s.in, max(2048, min(len(s.in), 4<<20)))
		}
		n, err := s.t.read(s.in[len(s.in):cap(s.in)])
		s.in = s.in[:len(s.in)+n]
		if n > 0 && enough() {
			return nil
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return errEnded
			}
			return err
		}
	}
}

// failed makes the session dead and says why.
func (s *Session) failed(ctx context.Context, tried, hint string, err error) *Failure {
	s.dead = err
	_ = s.t.Close()
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	if ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), context.Canceled) {
			return fail(Closed, clipString(tried), hint, context.Canceled)
		}
		if hint == "" {
			hint = "the device is overloaded, or the command takes longer than ssh.command_timeout"
		}
		return fail(Timeout, clipString(tried), hint, context.Cause(ctx))
	}
	if errors.Is(err, errBig) {
		return fail(NotUnderstood, clipString(tried), "narrow it to one peer; so much is not read into memory", fmt.Errorf("%w of %d bytes", err, s.cfg.MaxOutput))
	}
	if errors.Is(err, command.ErrNotAllowed) {
		return fail(NotUnderstood, clipString(tried), "", err)
	}
	if hint == "" {
		hint = "an administrator or an idle timeout may have ended the session, or the device restarted"
	}
	return fail(Closed, clipString(tried), hint, err)
}

// lastLine is the unfinished line at the end of what was read, without a leading return.
func (s *Session) lastLine() []byte {
	tail := s.in
	if len(tail) > longestPrompt+2 {
		tail = tail[len(tail)-longestPrompt-2:]
	}
	if i := bytes.LastIndexAny(tail, "\r\n"); i >= 0 {
		return tail[i+1:]
	}
	return tail
}

// Paging questions: ASA "<--- More --->", IOS " --More-- ".
func isMore(line []byte) bool {
	line = bytes.Trim(line, " \b")
	return bytes.HasPrefix(line, []byte("<--- More --->")) || bytes.HasPrefix(line, []byte("--More--"))
}

// clean makes text of an answer: line ends \n, valid UTF-8, paging questions with what
// erased them removed. Everything else stays as the device wrote it.
func clean(raw []byte, paging bool) string {
	if paging && (bytes.Contains(raw, []byte("--More--")) || bytes.Contains(raw, []byte("<--- More --->"))) {
		raw = withoutMore(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")))
	}
	var b strings.Builder
	b.Grow(len(raw))
	for {
		line, rest, more := bytes.Cut(raw, []byte{'\r'})
		b.Write(line)
		if raw = rest; !more {
			break
		}
	}
	if text := b.String(); utf8.ValidString(text) { // much faster, and nearly always so
		return text
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

func withoutMore(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		line := raw
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			line = raw[:i+1]
		}
		raw = raw[len(line):]
		for { // several pages may end on one line
			trimmed := bytes.TrimLeft(line, " \r\b")
			rest, ok := bytes.CutPrefix(trimmed, []byte("<--- More --->"))
			if !ok {
				rest, ok = bytes.CutPrefix(trimmed, []byte("--More--"))
			}
			if !ok {
				break
			}
			// "\r      \r" or "\b\b\b   \b\b\b" erases the question
			erased := bytes.TrimLeft(rest, " \r\b")
			gap := rest[:len(rest)-len(erased)]
			if i := bytes.LastIndexAny(gap, "\r\b"); i >= 0 {
				erased = rest[i+1:]
			}
			line = erased
		}
		out = append(out, line...)
	}
	return out
}

func clipString(s string) string { return s[:min(len(s), 120)] }

// Resume marks the beginning of a new use of an idle session; see Silent.
func (s *Session) Resume() { s.answered = 0 }

// Silent tells whether the device answered nothing since Resume: the session had died
// while it was idle, and nothing that was sent in this use was received.
func (s *Session) Silent() bool { return s.answered == 0 && len(s.in) == 0 }
