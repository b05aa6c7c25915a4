package session_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
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
	"golang.org/x/crypto/ssh/agent"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/devices/session"
)

func failure(t testing.TB, err error) *session.Failure {
	t.Helper()
	var f *session.Failure
	if !errors.As(err, &f) {
		t.Fatalf("%T: %v", err, err)
	}
	if f.Hint == "" {
		t.Errorf("%v: no hint", err)
	}
	return f
}

func ok(*terminal, string) bool { return true }

// jumpHost is an SSH server that forwards TCP connections to where it may.
func jumpHost(t testing.TB, allowed string) (*server, session.Config) {
	t.Helper()
	s := serve(t, nil)
	s.forward = func(nc ssh.NewChannel) bool {
		var m struct {
			Host       string
			Port       uint32
			From       string
			OriginPort uint32
		}
		if ssh.Unmarshal(nc.ExtraData(), &m) != nil || net.JoinHostPort(m.Host, itoa(m.Port)) != allowed {
			return false
		}
		out, err := net.Dial("tcp", allowed)
		if err != nil {
			return false
		}
		ch, reqs, err := nc.Accept()
		if err != nil {
			_ = out.Close()
			return false
		}
		go ssh.DiscardRequests(reqs)
		s.wg.Go(func() { _, _ = io.Copy(out, ch); _ = out.Close() })
		s.wg.Go(func() { _, _ = io.Copy(ch, out); _ = ch.Close() })
		return true
	}
	return s, config(t, s)
}

func itoa(n uint32) string {
	var b [10]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}

func TestJumpHost(t *testing.T) {
	s := serve(t, asa("x# ", func(t *terminal, l string) bool { t.write("12:00\r\n"); return true }))
	t.Run("through", func(t *testing.T) {
		_, j := jumpHost(t, s.addr)
		c := config(t, s)
		c.Jump = &j
		ses := open(t, c)
		if a, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock")); err != nil || a.Text != "12:00\n" {
			t.Errorf("%q %v", a.Text, err)
		}
		if err := ses.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("does not forward there", func(t *testing.T) {
		_, j := jumpHost(t, "192.0.2.1:22")
		c := config(t, s)
		c.Jump = &j
		_, err := session.Open(context.Background(), c)
		if f := failure(t, err); f.Reason != session.Unreachable || !strings.Contains(f.Hint, "jump host") {
			t.Errorf("%v", err)
		}
	})
	t.Run("refuses the password", func(t *testing.T) {
		_, j := jumpHost(t, s.addr)
		j.Password = "wrong"
		c := config(t, s)
		c.Jump = &j
		before := s.shown()
		_, err := session.Open(context.Background(), c)
		if f := failure(t, err); f.Reason != session.Auth || !f.Rejected || !f.Jump {
			t.Errorf("%v", err)
		}
		if s.shown() != before {
			t.Error("the device's password was shown although the jump host refused")
		}
	})
	t.Run("has an unknown key", func(t *testing.T) {
		_, j := jumpHost(t, s.addr)
		j.KnownHosts = session.NewKnownHosts(filepath.Join(t.TempDir(), "none"))
		c := config(t, s)
		c.Jump = &j
		_, err := session.Open(context.Background(), c)
		if f := failure(t, err); f.Reason != session.HostKey || !f.Jump || !strings.Contains(err.Error(), j.Address) {
			t.Errorf("%v", err)
		}
	})
	t.Run("is down", func(t *testing.T) {
		_, j := jumpHost(t, s.addr)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		j.Address = l.Addr().String()
		_ = l.Close()
		c := config(t, s)
		c.Jump = &j
		_, err = session.Open(context.Background(), c)
		if f := failure(t, err); f.Reason != session.Refused || !f.Jump {
			t.Errorf("%v", err)
		}
	})
}

// socket serves an ssh-agent; keys nil makes one that never answers.
func socket(t testing.TB, keys agent.Agent) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				if keys == nil {
					_, _ = io.Copy(io.Discard, c)
					return
				}
				_ = agent.ServeAgent(keys, c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return path
}

func TestAgent(t *testing.T) {
	ring := agent.NewKeyring()
	_, key := newKey(t)
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	want, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, asa("x# ", ok), func(s *server) {
		s.conf.PasswordCallback = nil
		s.conf.PublicKeyCallback = func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if bytes.Equal(k.Marshal(), want.PublicKey().Marshal()) {
				return nil, nil
			}
			return nil, errors.New("no")
		}
	})
	c := config(t, s)
	c.Password, c.AgentSocket = "", socket(t, ring)
	open(t, c)
	for _, tc := range []struct {
		name   string
		socket string
		reason session.Reason
	}{
		{"no agent", filepath.Join(t.TempDir(), "none"), session.Auth},
		{"no key in it", socket(t, agent.NewKeyring()), session.Auth},
		{"never answers", socket(t, nil), session.Auth},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := c
			c.AgentSocket, c.ConnectTimeout = tc.socket, 500*time.Millisecond
			_, err := session.Open(context.Background(), c)
			if f := failure(t, err); f.Reason != tc.reason || f.Rejected {
				t.Errorf("%v", err)
			}
		})
	}
}

// Present is asked once and before any secret is shown; its refusal is the error.
func TestPresentKeepsTheSecretBack(t *testing.T) {
	s := serve(t, asa("x# ", ok))
	c := config(t, s)
	no := &session.Failure{Reason: session.Auth, Tried: "log in", Hint: "not now", Err: errors.New("stopped")}
	asked := 0
	c.Present = func(context.Context) error { asked++; return no }
	_, err := session.Open(context.Background(), c)
	if !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	if asked != 1 || s.shown() != 0 {
		t.Errorf("asked %d times, the password was shown %d times", asked, s.shown())
	}
}

func TestKnownHostsForms(t *testing.T) {
	script := asa("x# ", ok)
	write := func(t *testing.T, lines ...string) *session.KnownHosts {
		path := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return session.NewKnownHosts(path)
	}
	line := func(s *server, k ssh.PublicKey) string { return knownhosts.Line([]string{s.addr}, k) }
	t.Run("several keys of a host", func(t *testing.T) {
		s := serve(t, script)
		c := config(t, s)
		c.KnownHosts = write(t, line(s, newSigner(t).PublicKey()), line(s, s.signer.PublicKey()))
		open(t, c)
	})
	t.Run("host shows a type that is not the known one first", func(t *testing.T) {
		other := newRSA(t)
		s := serve(t, script, func(s *server) { s.conf.AddHostKey(other) })
		for name, known := range map[string]ssh.PublicKey{"ed25519": s.signer.PublicKey(), "rsa": other.PublicKey()} {
			c := config(t, s)
			c.KnownHosts = write(t, line(s, known))
			ses, err := session.Open(context.Background(), c)
			if err != nil {
				t.Fatalf("only %s is known: %v", name, err)
			}
			_ = ses.Close()
		}
	})
	t.Run("cert-authority", func(t *testing.T) {
		authority, stranger := newSigner(t), newSigner(t)
		for _, tc := range []struct {
			name  string
			by    ssh.Signer
			until time.Time
			good  bool
		}{
			{"signed", authority, time.Now().Add(time.Hour), true},
			{"signed by another", stranger, time.Now().Add(time.Hour), false},
			{"expired", authority, time.Now().Add(-time.Hour), false},
		} {
			host := newSigner(t)
			cert := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"},
				ValidAfter: uint64(time.Now().Add(-2 * time.Hour).Unix()), ValidBefore: uint64(tc.until.Unix())}
			if err := cert.SignCert(rand.Reader, tc.by); err != nil {
				t.Fatal(err)
			}
			withCert, err := ssh.NewCertSigner(cert, host)
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, script, func(s *server) { s.signer = withCert })
			c := config(t, s)
			c.KnownHosts = write(t, "@cert-authority "+line(s, authority.PublicKey()))
			ses, err := session.Open(context.Background(), c)
			if tc.good {
				if err != nil {
					t.Errorf("%s: %v", tc.name, err)
					continue
				}
				_ = ses.Close()
			} else if f := failure(t, err); f.Reason != session.HostKey {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
	})
	t.Run("revoked", func(t *testing.T) {
		s := serve(t, script)
		c := config(t, s)
		c.KnownHosts = write(t, line(s, s.signer.PublicKey()), "@revoked * "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.signer.PublicKey()))))
		_, err := session.Open(context.Background(), c)
		var k *session.HostKeyError
		if f := failure(t, err); f.Reason != session.HostKey || !errors.As(err, &k) || !k.Revoked {
			t.Errorf("%v", err)
		}
	})
	t.Run("broken file", func(t *testing.T) {
		s := serve(t, script)
		c := config(t, s)
		c.KnownHosts = write(t, "host ssh-rsa not-base64")
		_, err := session.Open(context.Background(), c)
		if f := failure(t, err); f.Reason != session.HostKey {
			t.Errorf("%v", err)
		}
	})
	t.Run("no secret before the key is checked", func(t *testing.T) {
		s := serve(t, script)
		c := config(t, s)
		c.KnownHosts = write(t, line(s, newSigner(t).PublicKey()))
		if _, err := session.Open(context.Background(), c); err == nil || s.shown() != 0 {
			t.Errorf("shown %d times, %v", s.shown(), err)
		}
	})
}

// Legacy adds algorithms: an old image is admitted only with it, and a new one still is.
func TestLegacyAlgorithms(t *testing.T) {
	modern := serve(t, asa("x# ", ok))
	old := serve(t, asa("x# ", ok), func(s *server) {
		rsa := newRSA(t)
		sha1, err := ssh.NewSignerWithAlgorithms(rsa.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
		if err != nil {
			t.Fatal(err)
		}
		s.signer = sha1
		s.conf.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1}
		s.conf.Ciphers = []string{ssh.InsecureCipherTripleDESCBC}
		s.conf.MACs = []string{ssh.HMACSHA1}
	})
	for _, tc := range []struct {
		s      *server
		legacy bool
		good   bool
	}{{modern, false, true}, {modern, true, true}, {old, false, false}, {old, true, true}} {
		c := config(t, tc.s)
		c.Legacy = tc.legacy
		ses, err := session.Open(context.Background(), c)
		if tc.good {
			if err != nil {
				t.Errorf("old %v, legacy %v: %v", tc.s == old, tc.legacy, err)
				continue
			}
			_ = ses.Close()
		} else if f := failure(t, err); !strings.Contains(err.Error(), "legacy_algorithms") {
			t.Errorf("%s: %v", f.Reason, err)
		}
	}
}

func TestContext(t *testing.T) {
	prompt := "hq/admin/act"
	s := serve(t, func(t *terminal) {
		p := prompt
		for {
			t.write(p + "# ")
			l, ok := t.read(true)
			switch {
			case !ok || l == "exit":
				return
			case l == "changeto context cust-a":
				p = "hq/cust-a/act"
			case strings.HasPrefix(l, "changeto"):
				t.write("ERROR: Context <" + l[17:] + "> does not exist\r\n")
			case strings.HasPrefix(l, "show"):
				t.write(p + "\r\n")
			}
		}
	})
	c := config(t, s)
	c.Context = "cust-a"
	ses := open(t, c)
	if a, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock")); err != nil || a.Text != "hq/cust-a/act\n" {
		t.Errorf("%q %v", a.Text, err)
	}
	c.Context = "cust-b"
	_, err := session.Open(context.Background(), c)
	if f := failure(t, err); f.Reason != session.Privilege {
		t.Errorf("%v", err)
	}
	c.Context = "cust-a\nreload"
	if _, err := session.Open(context.Background(), c); err == nil {
		t.Error("a context with a line end was taken")
	}
	for _, l := range s.lines() {
		if l != "" && command.Allowed(inventory.CiscoASA, l) != nil {
			t.Errorf("the device received %q", l)
		}
	}
}

func TestStandby(t *testing.T) {
	for _, tc := range []struct {
		prompt        string
		standby, want bool
	}{
		{"hq/act/pri# ", false, false}, {"hq/stby/sec# ", false, true}, {"hq# ", false, false},
		{"hq# ", true, true}, {"hq/act/sec# ", true, false}, {"hq/sec/stby# ", true, true},
	} {
		s := serve(t, asa(tc.prompt, ok))
		c := config(t, s)
		c.Standby = tc.standby
		if got := open(t, c).OnStandby(); got != tc.want {
			t.Errorf("%q reached at the standby address %v: %v", tc.prompt, tc.standby, got)
		}
	}
}

// Without an enable password the session stays where the device put it, and nothing that
// disrupts is possible there.
func TestNoEnable(t *testing.T) {
	s := serve(t, asa("hq# ", ok))
	c := config(t, s)
	c.Enable = ""
	ses := open(t, c)
	if ses.Enabled() || ses.Prompt() != "hq> " {
		t.Errorf("enabled %v at %q", ses.Enabled(), ses.Prompt())
	}
	claimed := false
	_, fate, err := ses.ExecClaimed(context.Background(), clear(t), func(context.Context) error { claimed = true; return nil })
	if f := failure(t, err); f.Reason != session.Privilege || fate != session.Unsent || claimed {
		t.Errorf("%v %v, claimed %v", err, fate, claimed)
	}
	if i := len(s.lines()); i == 0 || s.lines()[0] == "enable" {
		t.Errorf("%q", s.lines())
	}
	// A router's account with privilege 15 arrives enabled.
	r := serve(t, shell("rtr#", ok))
	c = config(t, r)
	c.Platform = inventory.CiscoIOS
	if !open(t, c).Enabled() {
		t.Error("not enabled at rtr#")
	}
}
