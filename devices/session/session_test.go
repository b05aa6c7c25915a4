package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"vpnbot/devices/command"
	"vpnbot/devices/inventory"
	"vpnbot/devices/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var peer = netip.MustParseAddr("203.0.113.10")

func evidence(t testing.TB, p inventory.Platform, name string) command.Command {
	t.Helper()
	c, err := command.Evidence(command.Target{Platform: p}, name, command.Query{Peer: peer})
	if err != nil {
		t.Fatal(err)
	}
	return c[0]
}

func TestOpenEnablesAndReads(t *testing.T) {
	s := serve(t, asa("hq-asa# ", func(t *terminal, line string) bool {
		t.write("10:00:00.000 UTC Sat Nov 21 2026\r\n")
		return true
	}))
	ses := open(t, config(t, s))
	if got, want := ses.Prompt(), "hq-asa# "; got != want {
		t.Errorf("prompt %q, want %q", got, want)
	}
	a, late, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Text != "10:00:00.000 UTC Sat Nov 21 2026\n" || len(late) > 0 {
		t.Errorf("answer %q, late %q", a.Text, late)
	}
	if err := ses.Close(); err != nil {
		t.Error(err)
	}
	want := []string{"enable", "enable-me", "terminal pager 0", "show clock", "exit"}
	if diff := cmp.Diff(want, s.lines()); diff != "" {
		t.Errorf("the device received (-want +got):\n%s", diff)
	}
}

func TestPromptForms(t *testing.T) {
	for _, prompt := range []string{"hq-asa# ", "hq/act/pri# ", "hq/admin/act# ", "rtr.lima-2#", "a#", "asa_1/ctx-b/stby/sec# "} {
		t.Run(prompt, func(t *testing.T) {
			s := serve(t, asa(prompt, func(t *terminal, line string) bool { t.write("x\r\n"); return true }))
			ses := open(t, config(t, s))
			if ses.Prompt() != prompt {
				t.Errorf("prompt %q", ses.Prompt())
			}
			if _, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	plain := asa("hq-asa# ", func(t *terminal, line string) bool { t.write("ok\r\n"); return true })
	cases := []struct {
		name     string
		script   func(*terminal)
		server   func(*server)
		config   func(*session.Config)
		reason   session.Reason
		rejected bool
		says     string
	}{
		{name: "wrong password", script: plain, config: func(c *session.Config) { c.Password = "wrong" }, reason: session.Auth, rejected: true, says: "not tried again"},
		{name: "wrong enable password", script: plain, config: func(c *session.Config) { c.Enable = "wrong" }, reason: session.Privilege, rejected: true, says: "enable password was refused"},
		{name: "unknown host key", script: plain, config: func(c *session.Config) {
			c.KnownHosts = session.NewKnownHosts(filepath.Join(t.TempDir(), "none"))
		}, reason: session.HostKey, says: "--learn-host-keys"},
		{name: "closes before its banner", script: plain, server: func(s *server) { s.beforeOK = func(net.Conn) bool { return false } }, reason: session.Busy, says: "5"},
		{name: "hangs before its banner", script: plain, server: func(s *server) {
			s.beforeOK = func(c net.Conn) bool { _, _ = io.Copy(io.Discard, c); return false }
		}, config: func(c *session.Config) { c.ConnectTimeout = 300 * time.Millisecond }, reason: session.Timeout},
		{name: "no SSH", script: plain, server: func(s *server) {
			s.beforeOK = func(c net.Conn) bool {
				_, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 3000))
				return false
			}
		}, reason: session.NotUnderstood},
		{name: "no prompt", script: func(t *terminal) { t.write("Welcome\r\n"); _, _ = t.read(true) }, config: func(c *session.Config) { c.CommandTimeout = 300 * time.Millisecond }, reason: session.Timeout},
		{name: "closes after login", script: func(t *terminal) { t.write("bye\r\n") }, reason: session.Closed},
		{name: "only old algorithms", script: plain, server: func(s *server) {
			s.conf.Ciphers = []string{ssh.InsecureCipherAES128CBC}
		}, reason: session.NotUnderstood, says: "legacy_algorithms"},
		{name: "enable refused without a question", script: func(t *terminal) {
			for {
				t.write("r1>")
				l, ok := t.read(true)
				if !ok {
					return
				}
				if l == "enable" {
					t.write("% Error in authentication.\r\n")
				}
			}
		}, reason: session.Privilege},
		{name: "left in configuration mode", script: func(t *terminal) {
			for {
				t.write("hq(config)# ")
				if _, ok := t.read(true); !ok {
					return
				}
			}
		}, reason: session.NotUnderstood, says: "configuration mode"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var opts []func(*server)
			if tc.server != nil {
				opts = append(opts, tc.server)
			}
			s := serve(t, tc.script, opts...)
			c := config(t, s)
			if tc.config != nil {
				tc.config(&c)
			}
			ses, err := session.Open(context.Background(), c)
			if err == nil {
				_ = ses.Close()
				t.Fatal("it opened")
			}
			var f *session.Failure
			if !errors.As(err, &f) {
				t.Fatalf("%T: %v", err, err)
			}
			if f.Reason != tc.reason || f.Rejected != tc.rejected {
				t.Errorf("reason %s rejected %v, want %s %v: %v", f.Reason, f.Rejected, tc.reason, tc.rejected, err)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v: want it to say %q", err, tc.says)
			}
			t.Log(err) // go test -v shows what the user sees
			for _, secret := range []string{password, "enable-me", "wrong"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%v: holds the secret %q", err, secret)
				}
			}
		})
	}
}

func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, err = session.Open(context.Background(), session.Config{Platform: inventory.CiscoASA, Address: l.Addr().String(), User: "x", Password: "y",
		KnownHosts: session.NewKnownHosts("none"), ConnectTimeout: time.Second, CommandTimeout: time.Second})
	var f *session.Failure
	if !errors.As(err, &f) || f.Reason != session.Refused {
		t.Errorf("%v", err)
	}
}

// A wrong password is shown to the device once: not as password and again as
// keyboard-interactive, which an AAA server counts as two failures.
func TestPasswordIsShownOnce(t *testing.T) {
	asked := 0
	s := serve(t, shell("x# ", nil), func(s *server) {
		s.conf.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			asked++
			_, err := ask("", "", []string{"Password: "}, []bool{false})
			if err == nil {
				err = errors.New("no")
			}
			return nil, err
		}
	})
	c := config(t, s)
	c.Password = "wrong"
	if _, err := session.Open(context.Background(), c); err == nil {
		t.Fatal("it opened")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passwords != 1 {
		t.Errorf("the password was shown %d times", s.passwords)
	}
}

func TestKeyboardInteractive(t *testing.T) {
	s := serve(t, asa("x# ", func(t *terminal, l string) bool { return true }), func(s *server) {
		s.conf.PasswordCallback = nil
		s.conf.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			a, err := ask("", "", []string{"Password: "}, []bool{false})
			if err == nil && (len(a) != 1 || a[0] != password) {
				err = errors.New("no")
			}
			return nil, err
		}
	})
	open(t, config(t, s))
}

func TestPrivateKey(t *testing.T) {
	user := newSigner(t)
	s := serve(t, asa("x# ", func(t *terminal, l string) bool { return true }), func(s *server) {
		s.conf.PasswordCallback = nil
		s.conf.PublicKeyCallback = func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if bytes.Equal(k.Marshal(), user.PublicKey().Marshal()) {
				return nil, nil
			}
			return nil, errors.New("no")
		}
	})
	c := config(t, s)
	c.Password, c.Signer = "", user
	open(t, c)
	c.Signer = newSigner(t)
	_, err := session.Open(context.Background(), c)
	var f *session.Failure
	if !errors.As(err, &f) || f.Reason != session.Auth || !f.Rejected {
		t.Errorf("%v", err)
	}
}

func TestOutputs(t *testing.T) {
	big := strings.Repeat("0123456789 0123456789 0123456789 0123456789 0123456789\r\n", 20<<20/56)
	cases := []struct {
		name  string
		write func(*terminal)
		want  string
	}{
		{"prompt-like lines stay", func(t *terminal) {
			t.write("line 1\r\nother#\r\nhq-asa#\r\nhq-asa> \r\nPassword: \r\nline 2\r\n")
		}, "line 1\nother#\nhq-asa#\nhq-asa> \nPassword: \nline 2\n"},
		{"exact prompt inside, more in the same packet", func(t *terminal) { t.write("a\r\nhq-asa# show run\r\nb\r\n") }, "a\nhq-asa# show run\nb\n"},
		{"LF only", func(t *terminal) { t.write("a\nb\n") }, "a\nb\n"},
		{"doubled returns", func(t *terminal) { t.write("a\r\r\nb\r\r\n") }, "a\nb\n"},
		{"no UTF-8", func(t *terminal) { t.write("caf\xe9 \xff\r\n") }, "caf\uFFFD \uFFFD\n"},
		{"empty", func(t *terminal) {}, ""},
		{"byte by byte", func(t *terminal) {
			for _, b := range []byte("one\r\nhq-asa\r\ntwo\r\n") {
				t.write(string(b))
			}
		}, "one\nhq-asa\ntwo\n"},
		{"20 MB", func(t *terminal) { t.write(big) }, strings.ReplaceAll(big, "\r\n", "\n")},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, asa("hq-asa# ", func(t *terminal, line string) bool { tc.write(t); return true }))
			ses := open(t, config(t, s))
			a, late, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
			if err != nil {
				t.Fatal(err)
			}
			if a.Text != tc.want || len(late) > 0 {
				t.Errorf("got %.200q (%d bytes), late %q", a.Text, len(a.Text), late)
			}
		})
	}
}

// A line that is exactly the prompt, at the end of a packet, ends the reading early. The
// fence and the next echo find the rest.
func TestExactPromptLineAtPacketEnd(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, shell("rtr#", func(t *terminal, line string) bool {
		if strings.HasPrefix(line, "show logging") {
			t.write("before\r\nrtr#")
			<-release
			t.write("\r\nafter\r\n")
			return true
		}
		t.write("12:00\r\n")
		return true
	}))
	c := config(t, s)
	c.Platform = inventory.CiscoIOS
	for _, how := range []string{"fence", "next command"} {
		t.Run(how, func(t *testing.T) {
			ses := open(t, c)
			a, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoIOS, "log"))
			if err != nil {
				t.Fatal(err)
			}
			if a.Text != "before\n" {
				t.Fatalf("%q", a.Text)
			}
			release <- struct{}{}
			var late []byte
			if how == "fence" {
				late, err = ses.Fence(context.Background())
			} else {
				var b session.Answer
				b, late, err = ses.Exec(context.Background(), evidence(t, inventory.CiscoIOS, "clock"))
				if b.Text != "12:00\n" {
					t.Errorf("the next answer: %q", b.Text)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			ses.Late(&a, late)
			if a.Text != "before\nrtr#\nafter\n" {
				t.Errorf("completed: %q", a.Text)
			}
		})
	}
}

func TestPagingRefused(t *testing.T) {
	for _, tc := range []struct{ name, more, erase string }{
		{"ASA", "<--- More --->", "\r              \r"},
		{"IOS", " --More-- ", "\b\b\b\b\b\b\b\b\b\b          \b\b\b\b\b\b\b\b\b\b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, func(t *terminal) {
				for {
					t.write("x# ")
					line, ok := t.read(true)
					switch {
					case !ok || line == "exit":
						return
					case strings.HasPrefix(line, "terminal"):
						t.write("Command authorization failed\r\n")
					default:
						for _, l := range []string{"one", "two", "  three"} {
							t.write(l + "\r\n")
							if l != "  three" {
								t.write(tc.more)
								if b, err := t.r.ReadByte(); err != nil || b != ' ' {
									return
								}
								t.write(tc.erase)
							}
						}
					}
				}
			})
			ses := open(t, config(t, s))
			if !ses.Paging() {
				t.Error("paging was not noticed")
			}
			a, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
			if err != nil {
				t.Fatal(err)
			}
			if a.Text != "one\ntwo\n  three\n" {
				t.Errorf("%q", a.Text)
			}
		})
	}
}

func TestRefusedCommand(t *testing.T) {
	for _, text := range []string{"      ^\r\nERROR: % Invalid input detected at '^' marker.\r\n", "Command authorization failed\r\n"} {
		s := serve(t, asa("x# ", func(t *terminal, l string) bool { t.write(text); return true }))
		a, _, err := open(t, config(t, s)).Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
		if err != nil || !a.Refused {
			t.Errorf("%q: refused %v, %v", text, a.Refused, err)
		}
	}
	s := serve(t, asa("x# ", func(t *terminal, l string) bool {
		t.write(strings.Repeat("Nov 21 2026: %ASA-6-1\r\n", 10) + "ERROR: somewhere in a log\r\n")
		return true
	}))
	a, _, err := open(t, config(t, s)).Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
	if err != nil || a.Refused {
		t.Errorf("a log line made it refused: %v", err)
	}
}

func TestDeathInTheMiddle(t *testing.T) {
	hang := func(t *terminal) { _, _ = t.read(true) } // until the connection is closed
	cases := []struct {
		name   string
		do     func(*terminal)
		reason session.Reason
	}{
		{"closes", func(t *terminal) { t.write("half of"); _ = t.conn.Close() }, session.Closed},
		{"hangs", func(t *terminal) { t.write("half of"); hang(t) }, session.Timeout},
		{"failover", func(t *terminal) { t.write("x\r\nhq/stby/pri# "); hang(t) }, session.Closed},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, asa("hq/act/pri# ", func(t *terminal, l string) bool { tc.do(t); return false }))
			c := config(t, s)
			c.CommandTimeout = 600 * time.Millisecond
			ses := open(t, c)
			a, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
			var f *session.Failure
			if !errors.As(err, &f) || f.Reason != tc.reason {
				t.Errorf("%v (answer %q)", err, a.Text)
			}
			t.Log(err)
			if ses.Err() == nil {
				t.Error("the session would be used again")
			}
		})
	}
}

func TestCancel(t *testing.T) {
	began := make(chan struct{})
	s := serve(t, asa("x# ", func(t *terminal, l string) bool { close(began); _, _ = t.read(true); return false }))
	ses := open(t, config(t, s))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-began; cancel() }()
	_, _, err := ses.Exec(ctx, evidence(t, inventory.CiscoASA, "clock"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if ses.Err() == nil {
		t.Error("the session would be used again")
	}
}

func clear(t testing.TB) command.Command {
	t.Helper()
	c, err := command.Clear(command.Target{Platform: inventory.CiscoASA}, "clear-ike-sa", command.ClearParams{Peer: peer})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClaimedCommand(t *testing.T) {
	const line = "clear crypto isakmp sa 203.0.113.10"
	t.Run("is entered after the claim", func(t *testing.T) {
		s := serve(t, asa("x# ", func(t *terminal, l string) bool { return true }))
		ses := open(t, config(t, s))
		var before []string
		_, fate, err := ses.ExecClaimed(context.Background(), clear(t), func(context.Context) error { before = s.lines(); return nil })
		if err != nil || fate != session.Sent {
			t.Fatalf("%v %v", fate, err)
		}
		if slices.Contains(before, line) {
			t.Error("it was written before the claim")
		}
		if n := count(s.lines(), line); n != 1 {
			t.Errorf("entered %d times", n)
		}
	})
	t.Run("is not written without the claim", func(t *testing.T) {
		s := serve(t, asa("x# ", func(t *terminal, l string) bool { return true }))
		ses := open(t, config(t, s))
		no := errors.New("no")
		_, fate, err := ses.ExecClaimed(context.Background(), clear(t), func(context.Context) error { return no })
		if !errors.Is(err, no) || fate != session.Unsent || ses.Err() != nil {
			t.Errorf("%v %v %v", fate, err, ses.Err())
		}
		_ = ses.Close()
		if slices.ContainsFunc(s.lines(), func(l string) bool { return strings.HasPrefix(l, "clear") }) {
			t.Error("it was written")
		}
	})
	t.Run("cannot go as a reading command", func(t *testing.T) {
		s := serve(t, asa("x# ", func(t *terminal, l string) bool { return true }))
		if _, _, err := open(t, config(t, s)).Exec(context.Background(), clear(t)); err == nil {
			t.Error("it went")
		}
	})
	for _, tc := range []struct{ name, echo string }{
		{"a character lost", "clear crypto isakmp sa 203.0.113.1"},
		{"cut before the peer", "clear crypto isakmp sa"},
		{"a digit changed", "clear crypto isakmp sa 203.0.113.11"},
		{"something behind", "clear crypto isakmp sa 203.0.113.100"},
		{"a bell for a character", "clear crypto isakmp sa 203.0.113.\a0"},
		{"no echo", ""},
	} {
		t.Run("is not entered when the echo shows "+tc.name, func(t *testing.T) {
			entered := make(chan bool, 1)
			s := serve(t, func(t *terminal) {
				for {
					t.write("x# ")
					first, err := t.r.Peek(1)
					if err == nil && first[0] == 'c' {
						buf := make([]byte, len(line))
						_, _ = io.ReadFull(t.r, buf)
						t.write(tc.echo)
						b, err := t.r.ReadByte()
						entered <- err == nil && b == '\n'
						return
					}
					if _, ok := t.read(true); !ok {
						return
					}
				}
			})
			c := config(t, s)
			c.CommandTimeout = 500 * time.Millisecond
			ses := open(t, c)
			_, fate, err := ses.ExecClaimed(context.Background(), clear(t), func(context.Context) error { return nil })
			if err == nil || fate != session.Unsent || ses.Err() == nil {
				t.Errorf("fate %v, err %v, session %v", fate, err, ses.Err())
			}
			if <-entered {
				t.Error("Enter was pressed")
			}
		})
	}
	t.Run("is unknown when nothing comes back", func(t *testing.T) {
		s := serve(t, asa("x# ", func(t *terminal, l string) bool { _ = t.conn.Close(); return false }))
		_, fate, err := open(t, config(t, s)).ExecClaimed(context.Background(), clear(t), func(context.Context) error { return nil })
		if err == nil || fate != session.Unknown {
			t.Errorf("%v %v", fate, err)
		}
	})
}

func count(lines []string, line string) int {
	n := 0
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}

// An ASA at 80 columns scrolls a long line: "$" and the line's end; on Enter it draws
// the head again.
func TestScrolledEcho(t *testing.T) {
	c, err := command.CaptureStart(command.Target{Platform: inventory.CiscoASA}, command.CaptureOptions{Name: "VB-ab12o", Interface: "outside",
		Own: netip.MustParseAddr("198.51.100.1"), Peer: peer, Bytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	const prompt, width = "hq-asa# ", 80
	var got string
	s := serve(t, func(t *terminal) {
		for {
			t.write(prompt)
			line := ""
			shown := prompt
			for {
				b, err := t.r.ReadByte()
				if err != nil {
					return
				}
				if b == '\n' {
					break
				}
				line += string(b)
				if len(shown)+1 >= width { // scroll half a screen
					t.write(strings.Repeat("\b", len(shown)))
					tail := line[len(line)-width/2:]
					next := prompt + "$" + tail
					t.write(next + strings.Repeat(" ", len(shown)-min(len(shown), len(next))) + strings.Repeat("\b", len(shown)-min(len(shown), len(next))))
					shown = next
					continue
				}
				shown += string(b)
				t.write(string(b))
			}
			if len(prompt)+len(line) > width {
				t.write(strings.Repeat("\b", len(shown)) + prompt + line[:width-len(prompt)-1] + "$")
			}
			t.write("\r\n")
			if strings.HasPrefix(line, "capture") {
				got = line
				t.write("done\r\n")
			}
			if line == "exit" {
				return
			}
		}
	})
	ses := open(t, config(t, s))
	a, _, err := ses.Exec(context.Background(), c[0])
	if err != nil {
		t.Fatal(err)
	}
	if got != c[0].Line() || a.Text != "done\n" {
		t.Errorf("device got %q, answer %q", got, a.Text)
	}
}

func TestHostKeys(t *testing.T) {
	plain := asa("x# ", func(t *terminal, l string) bool { return true })
	t.Run("changed", func(t *testing.T) {
		s := serve(t, plain)
		c := config(t, s)
		s.signer = newSigner(t)
		other := config(t, s)
		_ = c
		_, err := session.Open(context.Background(), other)
		var k *session.HostKeyError
		if !errors.As(err, &k) || !k.Changed {
			t.Errorf("%v", err)
		}
	})
	t.Run("hashed", func(t *testing.T) {
		s := serve(t, plain)
		c := config(t, s)
		path := filepath.Join(t.TempDir(), "kh")
		line := hashed(s.addr) + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.signer.PublicKey())))
		if err := os.WriteFile(path, []byte("# comment\n\n"+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.KnownHosts = session.NewKnownHosts(path)
		open(t, c)
	})
	t.Run("learnt", func(t *testing.T) {
		s := serve(t, plain)
		c := config(t, s)
		c.KnownHosts = session.NewKnownHosts(filepath.Join(t.TempDir(), "kh"))
		if _, err := session.Open(context.Background(), c); err == nil {
			t.Fatal("an unknown key was taken")
		}
		k, err := session.HostKeyOf(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.KnownHosts.Append(c.Address, k); err != nil {
			t.Fatal(err)
		}
		open(t, c)
	})
}
