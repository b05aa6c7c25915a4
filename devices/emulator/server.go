package emulator

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	loginTime   = 30 * time.Second
	idleDefault = 5 * time.Minute
)

// hostKey is one host key of a device; known tells whether known_hosts lists it.
type hostKey struct {
	signer ssh.Signer
	known  bool
}

// hostKeys reads the device's keys from Dir/keys, or makes them.
func (l *Lab) hostKeys(spec deviceSpec) ([]hostKey, error) {
	var out []hostKey
	for _, kind := range spec.HostKeys {
		file := filepath.Join(l.opts.Dir, "keys", spec.Name+"-"+kind+".pem")
		signer, err := readKey(file)
		if errors.Is(err, os.ErrNotExist) {
			signer, err = l.makeKey(file, kind)
		}
		if err != nil {
			return nil, fmt.Errorf("host key: %w", err)
		}
		out = append(out, hostKey{signer, slices.Contains(spec.KnownKeys, kind)})
	}
	return out, nil
}

func readKey(file string) (ssh.Signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(b)
}

func (l *Lab) makeKey(file, kind string) (ssh.Signer, error) {
	var key any
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(l.opts.Random)
	case "rsa":
		key, err = rsa.GenerateKey(l.opts.Random, 2048)
	default:
		return nil, fmt.Errorf("unknown kind %q", kind)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}

// conn is one SSH connection.
type conn struct {
	net.Conn
	standby bool // to the standby unit's address
	done    chan struct{}
	once    sync.Once
}

func (c *conn) close() {
	c.once.Do(func() {
		close(c.done)
		c.Conn.Close()
	})
}

func (d *Device) accept(ln net.Listener, standby bool) {
	defer d.lab.wg.Done()
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		if d.lab.opts.Latency > 0 {
			nc = delay(nc, d.lab.opts.Latency)
		}
		c := &conn{Conn: nc, standby: standby, done: make(chan struct{})}
		d.mu.Lock()
		full := len(d.conns) >= MaxSessions || d.lab.ctx.Err() != nil
		if !full {
			d.conns[c] = struct{}{}
			d.lab.wg.Add(1)
		}
		d.mu.Unlock()
		if full {
			c.close()
			continue
		}
		go func() {
			defer d.lab.wg.Done()
			d.serve(c)
			c.close()
			d.mu.Lock()
			delete(d.conns, c)
			d.mu.Unlock()
		}()
	}
}

var errRejected = errors.New("authentication failed")

func (d *Device) serverConfig() *ssh.ServerConfig {
	f := d.broken()
	password := func(user, given string) error {
		ok := subtle.ConstantTimeCompare([]byte(user), []byte(d.user)) & subtle.ConstantTimeCompare([]byte(given), []byte(d.password))
		d.mu.Lock()
		defer d.mu.Unlock()
		if ok != 1 || d.faults.rejectAll {
			d.rejected++
			return errRejected
		}
		d.accepted++
		return nil
	}
	cfg := &ssh.ServerConfig{
		MaxAuthTries:  3,
		ServerVersion: "SSH-2.0-Cisco-1.25",
		PasswordCallback: func(m ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			return nil, password(m.User(), string(p))
		},
		KeyboardInteractiveCallback: func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil {
				return nil, err
			}
			if len(answers) != 1 {
				return nil, errRejected
			}
			return nil, password(m.User(), answers[0])
		},
	}
	if len(f.authKeys) > 0 {
		cfg.PublicKeyCallback = func(m ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			for _, a := range f.authKeys {
				if m.User() == d.user && bytes.Equal(a.Marshal(), k.Marshal()) {
					return nil, nil
				}
			}
			return nil, errRejected
		}
	}
	if f.legacy {
		cfg.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1}
		cfg.Ciphers = []string{ssh.InsecureCipherAES128CBC}
		cfg.MACs = []string{ssh.HMACSHA1}
	}
	if f.wrongKey != nil {
		cfg.AddHostKey(f.wrongKey)
		return cfg
	}
	for _, k := range d.keys {
		s := k.signer
		if f.legacy && s.PublicKey().Type() == ssh.KeyAlgoRSA {
			if as, ok := s.(ssh.AlgorithmSigner); ok {
				if old, err := ssh.NewSignerWithAlgorithms(as, []string{ssh.KeyAlgoRSA}); err == nil {
					s = old
				}
			}
		} else if f.legacy {
			continue
		}
		cfg.AddHostKey(s)
	}
	return cfg
}

func (d *Device) serve(c *conn) {
	if d.broken().hangConnect {
		<-c.done
		return
	}
	c.SetDeadline(time.Now().Add(loginTime))
	sc, chans, reqs, err := ssh.NewServerConn(c.Conn, d.serverConfig())
	if err != nil {
		d.lab.log.Debug("ssh login failed", "device", d.spec.Name, "err", err)
		return
	}
	defer sc.Close()
	c.SetDeadline(time.Time{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer c.close()
	wg.Go(func() { ssh.DiscardRequests(reqs) })
	opened := false
	for nc := range chans {
		if nc.ChannelType() != "session" || opened {
			nc.Reject(ssh.Prohibited, "one session a connection")
			continue
		}
		ch, requests, err := nc.Accept()
		if err != nil {
			return
		}
		opened = true
		wg.Go(func() {
			d.serveChannel(c, &wg, sc.User(), ch, requests)
			sc.Close()
		})
	}
}

// serveChannel waits for a shell. An exec request opens a shell too and its command is
// ignored, as on these platforms; the terminal's size is ignored.
func (d *Device) serveChannel(c *conn, wg *sync.WaitGroup, user string, ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	shell := false
	for r := range requests {
		ok := slices.Contains([]string{"pty-req", "shell", "exec", "env", "window-change"}, r.Type)
		if r.WantReply {
			r.Reply(ok, nil)
		}
		if r.Type == "shell" || r.Type == "exec" {
			shell = true
			break
		}
	}
	if !shell {
		return
	}
	wg.Go(func() { ssh.DiscardRequests(requests) })
	d.mu.Lock()
	d.sessions++
	id := d.sessions
	d.mu.Unlock()
	s := newSession(d, id, user, ch, c)
	s.run()
	ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{0}))
}

// writeKnownHosts writes Dir/known_hosts.
func (l *Lab) writeKnownHosts() error {
	var b strings.Builder
	for _, d := range l.devices {
		for _, addr := range []string{d.addr, d.standby} {
			if addr == "" {
				continue
			}
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return err
			}
			for _, k := range d.keys {
				if k.known {
					fmt.Fprintf(&b, "[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(k.signer.PublicKey()))
				}
			}
		}
	}
	if err := os.WriteFile(filepath.Join(l.opts.Dir, "known_hosts"), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write known_hosts: %w", err)
	}
	return nil
}
