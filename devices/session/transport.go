package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scrapli/scrapligo/transport"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// sshTransport is a scrapligo transport over golang.org/x/crypto/ssh: every wait in Open
// ends with its context, host keys are strict, and Close closes everything, always.
type sshTransport struct {
	cfg  Config
	ctx  context.Context // of Open
	conn net.Conn
	jump io.Closer
	ssh  ssh.Conn
	ch   ssh.Channel

	mu     sync.Mutex // guards the closers above against abort
	closed atomic.Bool
}

var _ transport.Implementation = (*sshTransport)(nil)

// Open dials, logs in and starts a shell on a terminal of a.TermWidth columns. Errors
// are *Failure.
func (t *sshTransport) Open(a *transport.Args) error {
	ctx, cancel := context.WithTimeoutCause(t.ctx, t.cfg.ConnectTimeout, fmt.Errorf("no login within %v", t.cfg.ConnectTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, t.abort)
	defer stop()

	conn, err := t.dial(ctx)
	if err != nil {
		_ = t.Close()
		return err
	}
	if err := t.login(ctx, conn); err != nil {
		_ = t.Close()
		return err
	}
	if err := t.shell(a.TermWidth, a.TermHeight); err != nil {
		_ = t.Close()
		if ctx.Err() != nil {
			return fail(Timeout, "open a terminal on "+t.cfg.Address, "the device is overloaded, or its AAA server does not answer", cause(ctx, err))
		}
		if closedEarly(err) {
			return fail(Busy, "open a terminal on "+t.cfg.Address, "the device let us in and closed: all its sessions may be in use, or the account may not open a shell", err)
		}
		return fail(Privilege, "open a terminal on "+t.cfg.Address, "the account may not open a shell", err)
	}
	return nil
}

func (t *sshTransport) dial(ctx context.Context) (net.Conn, error) {
	if t.cfg.Jump == nil {
		d := net.Dialer{KeepAlive: 30 * time.Second}
		c, err := d.DialContext(ctx, "tcp", t.cfg.Address)
		if err != nil {
			return nil, dialFailure(ctx, t.cfg.Address, err)
		}
		t.keep(func() { t.conn = c })
		return c, nil
	}
	j := t.cfg.Jump
	d := net.Dialer{KeepAlive: 30 * time.Second}
	c, err := d.DialContext(ctx, "tcp", j.Address)
	if err != nil {
		f := dialFailure(ctx, j.Address, err)
		f.Tried, f.Jump = "connect to the jump host "+j.Address, true
		return nil, f
	}
	t.keep(func() { t.conn = c })
	jt := &sshTransport{cfg: *j, ctx: ctx}
	jc, err := jt.handshake(ctx, c)
	if err != nil {
		var f *Failure
		if errors.As(err, &f) {
			f.Tried, f.Jump = "log in to the jump host "+j.Address, true
		}
		return nil, err
	}
	client := ssh.NewClient(jc.conn, jc.chans, jc.reqs)
	t.keep(func() { t.jump = client })
	inner, err := client.DialContext(ctx, "tcp", t.cfg.Address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fail(Unreachable, "connect to "+t.cfg.Address+" over the jump host", "no answer: the jump host may not reach the device", cause(ctx, err))
		}
		return nil, fail(Unreachable, "connect to "+t.cfg.Address+" over the jump host", "the jump host cannot reach the device, or does not allow TCP forwarding", err)
	}
	return inner, nil
}

// keep stores a closer unless abort was first; then everything is closed at once.
func (t *sshTransport) keep(store func()) {
	t.mu.Lock()
	store()
	t.mu.Unlock()
	if t.closed.Load() {
		t.closeAll()
	}
}

type handshaken struct {
	conn  ssh.Conn
	chans <-chan ssh.NewChannel
	reqs  <-chan *ssh.Request
}

func (t *sshTransport) handshake(ctx context.Context, raw net.Conn) (handshaken, error) {
	callback, algos, err := t.cfg.KnownHosts.check(t.cfg.Address, t.cfg.Legacy)
	if err != nil {
		return handshaken{}, fail(HostKey, "check the host key of "+t.cfg.Address, "", err)
	}
	var keyErr error
	auth, err := newAuth(ctx, t.cfg)
	if err != nil {
		return handshaken{}, err
	}
	defer auth.close()
	conn := &countingConn{Conn: raw}
	config := &ssh.ClientConfig{
		Config: algorithms(t.cfg.Legacy),
		User:   t.cfg.User,
		Auth:   auth.methods,
		HostKeyCallback: func(h string, r net.Addr, k ssh.PublicKey) error {
			keyErr = callback(h, r, k)
			return keyErr
		},
		HostKeyAlgorithms: algos,
		ClientVersion:     "SSH-2.0-vpnbot",
		BannerCallback:    func(string) error { return nil },
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, t.cfg.Address, config)
	if err != nil {
		if keyErr != nil {
			err = keyErr
		}
		return handshaken{}, t.handshakeFailure(ctx, t.cfg.Address, conn, auth, err)
	}
	return handshaken{c, chans, reqs}, nil
}

func (t *sshTransport) login(ctx context.Context, raw net.Conn) error {
	h, err := t.handshake(ctx, raw)
	if err != nil {
		_ = raw.Close()
		return err
	}
	t.keep(func() { t.ssh = h.conn })
	go ssh.DiscardRequests(h.reqs)
	go func() {
		for nc := range h.chans {
			_ = nc.Reject(ssh.Prohibited, "")
		}
	}()
	return nil
}

// shell asks for a terminal and a shell without ssh.Session: three goroutines fewer.
func (t *sshTransport) shell(width, height int) error {
	ch, reqs, err := t.ssh.OpenChannel("session", nil)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(reqs)
	t.keep(func() { t.ch = ch })
	pty := struct {
		Term                   string
		Columns, Rows          uint32
		PixelWidth, PixelHeigh uint32
		Modes                  string
	}{Term: "vt100", Columns: uint32(width), Rows: uint32(height), Modes: "\x00"}
	if ok, err := ch.SendRequest("pty-req", true, ssh.Marshal(pty)); err != nil {
		return err
	} else if !ok {
		return errors.New("no terminal")
	}
	if ok, err := ch.SendRequest("shell", true, nil); err != nil {
		return err
	} else if !ok {
		return errors.New("no shell")
	}
	return nil
}

// Read is for scrapligo's own reading loop, which ends at once on io.EOF: the exchange
// reads with read, without copies and without polling (see the package comment).
func (t *sshTransport) Read(int) ([]byte, error) { return nil, io.EOF }

func (t *sshTransport) read(p []byte) (int, error) { return t.ch.Read(p) }

// Write writes b to the terminal. A write that blocks ends when the context of the
// exchange ends, because that closes the connection.
func (t *sshTransport) Write(b []byte) error {
	if t.ch == nil {
		return net.ErrClosed
	}
	_, err := t.ch.Write(b)
	return err
}

// IsAlive tells whether the transport was not closed from this side.
func (t *sshTransport) IsAlive() bool { return !t.closed.Load() }

// Close closes everything that was opened, once, and never blocks.
func (t *sshTransport) Close() error {
	t.closed.Store(true)
	t.closeAll()
	return nil
}

func (t *sshTransport) abort() { _ = t.Close() }

func (t *sshTransport) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The TCP connection first: closing a channel or an SSH connection writes, and a
	// write to a device that stopped reading would block.
	if t.conn != nil {
		_ = t.conn.Close()
	}
	if t.ssh != nil {
		_ = t.ssh.Close()
	}
	if t.jump != nil {
		_ = t.jump.Close()
	}
}

type countingConn struct {
	net.Conn
	n atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *countingConn) received() int64 { return c.n.Load() }

// algorithms: without legacy only those without known weakness; old images need more.
func algorithms(legacy bool) ssh.Config {
	a := ssh.SupportedAlgorithms()
	c := ssh.Config{KeyExchanges: a.KeyExchanges, Ciphers: a.Ciphers, MACs: a.MACs}
	if legacy {
		c.KeyExchanges = append(c.KeyExchanges, ssh.InsecureKeyExchangeDH14SHA1, ssh.InsecureKeyExchangeDHGEXSHA1, ssh.InsecureKeyExchangeDH1SHA1)
		c.Ciphers = append(c.Ciphers, ssh.InsecureCipherAES128CBC, ssh.InsecureCipherTripleDESCBC)
		c.MACs = append(c.MACs, ssh.InsecureHMACSHA196)
	}
	return c
}

// authState presents one secret once: a device whose AAA server counts failures must
// not see the same wrong password as "password" and again as "keyboard-interactive".
type authState struct {
	methods []ssh.AuthMethod
	used    atomic.Bool // a password or key was presented
	asked   bool        // Config.Present was asked
	denied  error       // why no secret was shown
	agent   net.Conn
	stop    func() bool
}

// present is called once, right before a secret is shown.
func (a *authState) present(ctx context.Context, c Config) error {
	if c.Present != nil && !a.asked {
		a.asked = true
		a.denied = c.Present(ctx)
	}
	return a.denied
}

var errOnce = errors.New("the password was refused; it is not sent a second time")

func newAuth(ctx context.Context, c Config) (*authState, error) {
	a := &authState{}
	switch {
	case c.Signer != nil:
		a.methods = append(a.methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			if err := a.present(ctx, c); err != nil {
				return nil, err
			}
			a.used.Store(true)
			return []ssh.Signer{c.Signer}, nil
		}))
	case c.Password != "":
		a.methods = append(a.methods,
			ssh.PasswordCallback(func() (string, error) {
				if a.used.Load() {
					return "", errOnce
				}
				if err := a.present(ctx, c); err != nil {
					return "", err
				}
				a.used.Store(true)
				return c.Password, nil
			}),
			ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
				if len(questions) == 0 {
					return nil, nil
				}
				if len(questions) != 1 || echos[0] {
					return nil, errors.New("the device asks something else than a password")
				}
				if a.used.Load() {
					return nil, errOnce
				}
				if err := a.present(ctx, c); err != nil {
					return nil, err
				}
				a.used.Store(true)
				return []string{c.Password}, nil
			}))
	case c.AgentSocket != "":
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", c.AgentSocket)
		if err != nil {
			return nil, fail(Auth, "reach ssh-agent", "start ssh-agent and add the key, or configure password or private_key", err)
		}
		a.agent = conn
		a.stop = context.AfterFunc(ctx, func() { _ = conn.Close() }) // an agent may wait for a person
		keys := agent.NewClient(conn)
		a.methods = append(a.methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			if err := a.present(ctx, c); err != nil {
				return nil, err
			}
			s, err := keys.Signers()
			if err == nil && len(s) == 0 {
				err = errors.New("it holds no key")
			}
			if err != nil {
				a.denied = fail(Auth, "use ssh-agent", "unlock ssh-agent and add the key with ssh-add", cause(ctx, err))
				return nil, a.denied
			}
			if len(s) > 3 { // a device closes after some refused keys, and counts them
				s = s[:3]
			}
			a.used.Store(true)
			return s, nil
		}))
	default:
		return nil, fail(Auth, "log in to "+c.Address, "configure password or private_key for its credentials, or start ssh-agent", errors.New("no password and no key"))
	}
	return a, nil
}

// rejected tells whether err means that the device looked at the secret and refused it.
func (a *authState) rejected(err error) bool {
	if !a.used.Load() {
		return false
	}
	s := err.Error()
	return errors.Is(err, errOnce) || strings.Contains(s, errOnce.Error()) || strings.Contains(s, "unable to authenticate") ||
		strings.Contains(s, "disconnect, reason") || closedEarly(err) && !errors.Is(err, net.ErrClosed)
}

func (a *authState) close() {
	if a.agent != nil {
		a.stop()
		_ = a.agent.Close()
	}
}
