package session_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"vpnbot/devices/inventory"
	"vpnbot/devices/session"
)

// server is a device of a test's making over real SSH. What it does on the terminal is
// the script; all that reached it is in got.
type server struct {
	t        testing.TB
	addr     string
	signer   ssh.Signer
	conf     *ssh.ServerConfig
	script   func(*terminal)
	beforeOK func(net.Conn) bool       // false: the connection is dropped as it is
	forward  func(ssh.NewChannel) bool // for a jump host

	mu        sync.Mutex
	got       []string
	passwords int
	open      int
	wg        sync.WaitGroup
	conns     map[net.Conn]bool
}

const password = "s3cret-of-the-test"

func newKey(t testing.TB) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub, key
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, key := newKey(t)
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRSA(t testing.TB) ssh.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serve(t testing.TB, script func(*terminal), opts ...func(*server)) *server {
	t.Helper()
	s := &server{t: t, signer: newSigner(t), script: script, conns: map[net.Conn]bool{}}
	s.conf = &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
		s.mu.Lock()
		s.passwords++
		s.mu.Unlock()
		if c.User() == "ops" && string(p) == password {
			return nil, nil
		}
		return nil, fmt.Errorf("no")
	}}
	for _, o := range opts {
		o(s)
	}
	s.conf.AddHostKey(s.signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.wg.Go(func() { s.handle(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *server) handle(c net.Conn) {
	defer func() { _ = c.Close() }()
	if s.beforeOK != nil && !s.beforeOK(c) {
		return
	}
	conn, chans, reqs, err := ssh.NewServerConn(c, s.conf)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
		_ = conn.Close()
	}()
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		if nc.ChannelType() == "direct-tcpip" && s.forward != nil && s.forward(nc) {
			continue
		}
		if nc.ChannelType() != "session" {
			_ = nc.Reject(ssh.UnknownChannelType, "")
			continue
		}
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		started := make(chan struct{})
		s.wg.Go(func() {
			for r := range reqs {
				_ = r.Reply(r.Type == "pty-req" || r.Type == "shell", nil)
				if r.Type == "shell" {
					close(started)
				}
			}
		})
		<-started
		gone := make(chan struct{})
		s.wg.Go(func() { _ = conn.Wait(); close(gone) })
		s.script(&terminal{s: s, ch: ch, r: bufio.NewReader(ch), conn: c, gone: gone})
		_ = ch.Close()
		return
	}
}

// shown is how often a password was shown to the server.
func (s *server) shown() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passwords
}

// connections that are logged in now.
func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

func (s *server) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

// terminal is the device's side of one session.
type terminal struct {
	s    *server
	ch   ssh.Channel
	r    *bufio.Reader
	conn net.Conn
	gone chan struct{} // closed when the client's connection is
}

func (t *terminal) write(s string) { _, _ = io.WriteString(t.ch, s) }

// read takes one line; echo is written for every byte, as a device does.
func (t *terminal) read(echo bool) (string, bool) {
	var line []byte
	for {
		b, err := t.r.ReadByte()
		if err != nil {
			return "", false
		}
		if b == '\n' || b == '\r' {
			t.write("\r\n")
			t.s.mu.Lock()
			t.s.got = append(t.s.got, string(line))
			t.s.mu.Unlock()
			return string(line), true
		}
		line = append(line, b)
		if echo {
			t.write(string(b))
		}
	}
}

// shell is a plain privileged session; answer gives the output of each line.
func shell(prompt string, answer func(t *terminal, line string) bool) func(*terminal) {
	return func(t *terminal) {
		for {
			t.write(prompt)
			line, ok := t.read(true)
			if !ok || line == "exit" {
				return
			}
			if line == "" || strings.HasPrefix(line, "terminal ") {
				continue
			}
			if !answer(t, line) {
				return
			}
		}
	}
}

// asa is the usual device: banner, user prompt, enable, then the shell.
func asa(prompt string, answer func(t *terminal, line string) bool) func(*terminal) {
	user := strings.Replace(prompt, "#", ">", 1)
	return func(t *terminal) {
		t.write("User ops logged in\r\nWelcome # do not touch >\r\n" + user)
		for {
			line, ok := t.read(true)
			if !ok {
				return
			}
			if line == "enable" {
				t.write("Password: ")
				if p, ok := t.read(false); !ok {
					return
				} else if p == "enable-me" {
					break
				}
				t.write("Invalid password\r\nPassword: ")
				if _, ok := t.read(false); !ok {
					return
				}
			}
			t.write(user)
		}
		shell(prompt, answer)(t)
	}
}

func config(t testing.TB, s *server) session.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	line := knownhosts.Line([]string{s.addr}, s.signer.PublicKey())
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return session.Config{Platform: inventory.CiscoASA, Address: s.addr, User: "ops", Password: password, Enable: "enable-me",
		KnownHosts: session.NewKnownHosts(path), ConnectTimeout: 5 * time.Second, CommandTimeout: time.Minute}
}

func open(t testing.TB, c session.Config) *session.Session {
	t.Helper()
	s, err := session.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func hashed(addr string) string { return xknownhosts.HashHostname(xknownhosts.Normalize(addr)) }
