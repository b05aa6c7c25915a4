// Package session holds one login to one ASA or IOS device: in come the device's address,
// its credential and typed commands, out come raw answers and typed failures.
//
// What scrapligo does here and what it does not. A session is a scrapligo network driver
// with platform definitions of ours (cisco_asa.yaml, cisco_ios.yaml: prompts by privilege
// level, how to escalate, what a refusal looks like) and a transport of ours over
// golang.org/x/crypto/ssh (transport.go). The driver opens and closes: Open dials through
// the transport and calls our login, Close calls our logout. The exchange of a command is
// our own (exchange.go), on the same transport, because three of scrapligo's reading
// rules cannot hold here: it ends an output at any line that looks like a prompt and
// deletes such lines; it presses Enter after a fuzzy comparison of the echo; and it polls.
// Ours learns the exact prompt at login, compares the echo, waits in the read itself, and
// takes time linear in the output. The driver's own reading loop is ended at its start by
// the transport's Read.
//
// A session is for one goroutine at a time. After an error that is not a device's own
// refusal of a command it is dead and must be closed.
package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/scrapli/scrapligo/driver/network"
	"golang.org/x/crypto/ssh"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
)

// Config is what a session needs. Secrets in it are written to the device and nowhere else.
type Config struct {
	Platform       inventory.Platform
	Address        string // host:port
	User           string
	Password       string
	Enable         string // "" for no enable step
	Signer         ssh.Signer
	AgentSocket    string // ssh-agent, used when there is neither password nor key
	Context        string // of an ASA in multiple context mode
	KnownHosts     *KnownHosts
	Legacy         bool
	ConnectTimeout time.Duration
	CommandTimeout time.Duration
	Jump           *Config // login of the jump host; Address, User, Password or Signer, KnownHosts
	MaxOutput      int     // bytes of one output; 0 is 64 MiB
	Now            func() time.Time
	// Present is asked right before a password or key is shown to the device; its error
	// keeps it from being shown. Nil admits.
	Present func(context.Context) error
	// Standby: Address is that of a standby unit.
	Standby bool
}

// String hides the secrets.
func (c Config) String() string { return fmt.Sprintf("session config of %q at %s", c.User, c.Address) }

// GoString hides the secrets.
func (c Config) GoString() string { return c.String() }

// Session is one open login.
type Session struct {
	cfg    Config
	def    *definition
	t      *sshTransport
	driver *network.Driver
	prompt []byte // exactly as the device writes it, learnt at login
	level  string
	paging bool // the device refused to turn paging off
	dead   error

	in       []byte // read and not yet consumed
	answered int    // exchanges since Resume
}

// Open dials, checks the host key, logs in, enables, enters the context and turns paging
// off. Errors are *Failure; nothing stays open after one.
func Open(ctx context.Context, c Config) (*Session, error) {
	def, err := definitionOf(c.Platform)
	if err != nil {
		return nil, err
	}
	if c.MaxOutput == 0 {
		c.MaxOutput = 64 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Session{cfg: c, def: def, t: &sshTransport{cfg: c, ctx: ctx}}
	s.driver, err = def.newDriver(s.t,
		func(*network.Driver) error { return s.login(ctx) },
		func(*network.Driver) error { return s.logout() })
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if err := s.driver.Open(); err != nil {
		_ = s.t.Close()
		return nil, err
	}
	s.t.ctx = nil
	return s, nil
}

// Prompt is the exact prompt that the device showed at login.
func (s *Session) Prompt() string { return string(s.prompt) }

// Enabled tells whether the session is in privileged exec mode.
func (s *Session) Enabled() bool { return s.level == levelEnabled }

// Paging tells whether the device refused to turn paging off.
func (s *Session) Paging() bool { return s.paging }

// OnStandby tells whether this is the standby unit of a failover pair: its prompt says
// so, or it was reached at the standby address and its prompt does not say "active".
func (s *Session) OnStandby() bool {
	if bytes.Contains(s.prompt, []byte("/stby")) {
		return true
	}
	return s.cfg.Standby && !bytes.Contains(s.prompt, []byte("/act"))
}

// Err is why the session can no longer be used; nil while it can.
func (s *Session) Err() error { return s.dead }

// Close logs out when the session is sound and closes the connection in any case.
func (s *Session) Close() error {
	if s.dead != nil {
		return s.t.Close()
	}
	err := s.driver.Close()
	s.dead = errors.New("the session was closed")
	_ = s.t.Close()
	return err
}

// logout says exit and waits shortly for the device to close, so that it frees the session.
func (s *Session) logout() error {
	line := command.Exit().Line()
	if err := command.Allowed(s.cfg.Platform, line); err != nil {
		return err
	}
	timer := time.AfterFunc(2*time.Second, s.t.abort)
	defer timer.Stop()
	if err := s.driver.Channel.Write([]byte(line+"\n"), false); err != nil {
		return nil // it is gone already
	}
	var p [512]byte
	for n := 0; n < 1<<20; {
		k, err := s.t.read(p[:])
		if err != nil {
			return nil
		}
		n += k
	}
	return nil
}

// login brings a fresh shell to its exact prompt.
func (s *Session) login(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.CommandTimeout, fmt.Errorf("no prompt within %v", s.cfg.CommandTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, s.t.abort)
	defer stop()

	// The banner may hold lines that look like a prompt: this is a guess, which the echo
	// of the next command corrects.
	if err := s.readUntil(func() bool { return s.def.level(s.lastLine()) != "" }); err != nil {
		return s.failed(ctx, "wait for the prompt", "", err)
	}
	s.level = s.def.level(s.lastLine())
	if s.level == levelExec && s.cfg.Enable != "" {
		if err := s.enable(ctx); err != nil {
			return err
		}
	}
	if s.cfg.Context != "" {
		if err := s.enterContext(ctx); err != nil {
			return err
		}
	}
	return s.learnPrompt(ctx)
}

func (s *Session) enable(ctx context.Context) error {
	const tried = "enable"
	if err := s.send(command.Enable()); err != nil {
		return s.failed(ctx, tried, "", err)
	}
	asked := false
	if err := s.readUntil(func() bool {
		i := bytes.LastIndex(s.in, []byte("enable"))
		if i < 0 || bytes.IndexByte(s.in[i:], '\n') < 0 {
			return false // the echo is not complete
		}
		asked = s.def.secret.Match(s.lastLine())
		return asked || s.def.level(s.lastLine()) != ""
	}); err != nil {
		return s.failed(ctx, tried, "the device does not answer to enable: its AAA server may be down", err)
	}
	if !asked {
		if s.level = s.def.level(s.lastLine()); s.level == levelEnabled {
			return nil
		}
		return fail(Privilege, tried, "the account may not enter privileged exec mode: see docs/devices.md for the privileges it needs", errors.New("the device refused"))
	}
	s.in = s.in[:0]
	if err := s.t.Write([]byte(s.cfg.Enable + "\n")); err != nil {
		return s.failed(ctx, tried, "", err)
	}
	refused := false
	if err := s.readUntil(func() bool {
		last := s.lastLine()
		l := s.def.level(last)
		refused = l == levelExec || s.def.secret.Match(last) || s.refusal(s.in)
		return refused || l != ""
	}); err != nil {
		if errors.Is(err, errEnded) {
			refused = true // some images close after a wrong password
		} else {
			return s.failed(ctx, tried, "the device does not answer to the enable password: its AAA server may be down", err)
		}
	}
	if refused {
		f := fail(Privilege, tried, "check enable under credentials; it is not tried again until vpnbot is restarted with another", errors.New("the enable password was refused"))
		f.Rejected = true
		return f
	}
	s.level = s.def.level(s.lastLine())
	return nil
}

func (s *Session) enterContext(ctx context.Context) error {
	tried := "enter context " + s.cfg.Context
	c, err := command.ChangeContext(command.Target{Platform: s.cfg.Platform}, s.cfg.Context)
	if err != nil {
		return fail(NotUnderstood, tried, "", err)
	}
	if err := s.send(c); err != nil {
		return s.failed(ctx, tried, "", err)
	}
	if err := s.readUntil(func() bool {
		i := bytes.Index(s.in, []byte(c.Line()))
		return i >= 0 && bytes.IndexByte(s.in[i:], '\n') >= 0 && s.def.level(s.lastLine()) != ""
	}); err != nil {
		return s.failed(ctx, tried, "", err)
	}
	if !bytes.Contains(s.lastLine(), []byte("/"+s.cfg.Context)) {
		return fail(Privilege, tried, "log in to the admin context, and check the context's name with \"show context\"", errors.New("the prompt does not show the context"))
	}
	return nil
}

// learnPrompt turns paging off and learns the prompt from that command's echo: the
// prompt is what stands before the echo, whatever a banner looked like.
func (s *Session) learnPrompt(ctx context.Context) error {
	const tried = "turn paging off"
	c := command.NoPaging(s.cfg.Platform)
	guess := bytes.Clone(s.lastLine())
	if err := s.send(c); err != nil {
		return s.failed(ctx, tried, "", err)
	}
	echo := []byte(c.Line())
	body, from := -1, 0 // from: where the echo may begin
	if err := s.readUntil(func() bool {
		if body < 0 {
			for {
				i := bytes.Index(s.in[from:], echo)
				if i < 0 {
					from = max(from, len(s.in)-len(echo)+1)
					return false
				}
				i += from
				end := bytes.IndexByte(s.in[i:], '\n')
				if end < 0 {
					from = i
					return false
				}
				start := bytes.LastIndexByte(s.in[:i], '\n') + 1
				if p := bytes.TrimLeft(s.in[start:i], "\r"); s.def.level(p) != "" && len(bytes.TrimRight(s.in[i+len(echo):i+end], "\r ")) == 0 {
					s.prompt = bytes.Clone(p)
					body = i + end + 1
					break
				}
				from = i + end
			}
		}
		return bytes.HasSuffix(s.in[body:], s.prompt) && (len(s.in) == body+len(s.prompt) || s.in[len(s.in)-len(s.prompt)-1] == '\n' || s.in[len(s.in)-len(s.prompt)-1] == '\r')
	}); err != nil {
		if body < 0 {
			return s.failed(ctx, tried, "no prompt was recognised after "+s.cfg.quote(guess), err)
		}
		return s.failed(ctx, tried, "", err)
	}
	s.level = s.def.level(s.prompt)
	s.paging = s.refusal(s.in[body : len(s.in)-len(s.prompt)])
	s.in = nil
	if s.level == levelConfiguration {
		return fail(NotUnderstood, "log in", "somebody left this session in configuration mode; nothing is sent there", fmt.Errorf("prompt %q", s.prompt))
	}
	return nil
}

// refusal tells whether an answer is the device's refusal of a command: one of its
// first lines begins with the words of a refusal.
func (s *Session) refusal(answer []byte) bool { return s.def.isRefusal(answer) }

func (d *definition) isRefusal(answer []byte) bool {
	for range 6 {
		line, rest, more := bytes.Cut(answer, []byte("\n"))
		line = bytes.TrimLeft(line, " \r\t")
		for _, f := range d.refused {
			if bytes.HasPrefix(line, []byte(f)) {
				return true
			}
		}
		if bytes.HasPrefix(line, []byte("Invalid password")) || bytes.HasPrefix(line, []byte("% Bad ")) {
			return true
		}
		if !more {
			return false
		}
		answer = rest
	}
	return false
}
