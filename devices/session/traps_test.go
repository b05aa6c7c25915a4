package session_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"vpnbot/devices/inventory"
	"vpnbot/devices/session"
)

// What scrapligo v1.4.3 does wrong on its own, one test each: the session uses its driver
// and definitions and must not have any of it. The others stand in session_test.go:
// prompt-like lines (TestOutputs), a wrong enable password and a hanging open
// (TestFaults), scrolled echoes (TestScrolledEcho), no reuse after a timeout
// (TestDeathInTheMiddle), contexts (TestCancel), "ERROR:" in a log (TestRefusedCommand).

func gone(t *testing.T, s *server) {
	t.Helper()
	for range 500 {
		if s.connections() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d connections are still open", s.connections())
}

// Open waits for ever for a peer that stops within the SSH handshake.
func TestTrapHangsInTheHandshake(t *testing.T) {
	for name, says := range map[string]string{"after the banner": "SSH-2.0-Cisco-1.25\r\n", "within the banner": "SSH-2.0", "in text before it": strings.Repeat("wait\r\n", 20)} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, func(s *server) {
				s.beforeOK = func(c net.Conn) bool {
					_, _ = io.WriteString(c, says)
					_, _ = io.Copy(io.Discard, c)
					return false
				}
			})
			c := config(t, s)
			c.ConnectTimeout = 300 * time.Millisecond
			_, err := session.Open(context.Background(), c)
			if f := failure(t, err); f.Reason != session.Timeout {
				t.Errorf("%v", err)
			}
		})
	}
}

// Close waits, returns EOF or leaves the TCP connection open, depending on which side
// closes what first. TestMain looks for goroutines that are left.
func TestTrapCloseLeaks(t *testing.T) {
	for name, script := range map[string]func(*terminal){
		"device ignores exit": func(t *terminal) {
			t.write("x# ")
			for {
				l, ok := t.read(true)
				if !ok {
					return
				}
				if l != "exit" {
					t.write("x# ")
				}
			}
		},
		"device closes the channel and keeps the connection": func(t *terminal) {
			shell("x# ", ok)(t)
			_ = t.ch.Close()
			<-t.gone
		},
		"device closes at once": shell("x# ", ok),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, script)
			c := config(t, s)
			c.Enable = ""
			ses := open(t, c)
			if err := ses.Close(); err != nil {
				t.Error(err)
			}
			gone(t, s)
			if err := ses.Close(); err != nil {
				t.Errorf("closed twice: %v", err)
			}
		})
	}
}

// A failed Open panics at Close, or leaves its connection behind.
func TestTrapFailedOpenLeaks(t *testing.T) {
	for name, change := range map[string]func(*session.Config){
		"wrong password": func(c *session.Config) { c.Password = "wrong" },
		"wrong enable":   func(c *session.Config) { c.Enable = "wrong" },
		"no such key":    func(c *session.Config) { c.KnownHosts = session.NewKnownHosts(t.TempDir() + "/none") },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, asa("x# ", ok))
			c := config(t, s)
			change(&c)
			if ses, err := session.Open(context.Background(), c); err == nil || ses != nil {
				t.Fatalf("%v %v", ses, err)
			}
			gone(t, s)
		})
	}
}

// Two round trips for every command: the text, then Enter. A device that echoes nothing
// before Enter would hang such a client; ours sends a reading line whole.
func TestTrapTwoRoundTrips(t *testing.T) {
	s := serve(t, func(t *terminal) {
		r := bufio.NewReader(t.ch)
		for {
			t.write("rtr#")
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			t.write(line + "\r\n")
			if line == "exit" {
				return
			}
			if strings.HasPrefix(line, "show") {
				t.write("12:00\r\n")
			}
		}
	})
	c := config(t, s)
	c.Platform, c.Enable = inventory.CiscoIOS, ""
	ses := open(t, c)
	if a, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoIOS, "clock")); err != nil || a.Text != "12:00\n" {
		t.Errorf("%q %v", a.Text, err)
	}
}

// The platform definition that scrapligo brings takes a failed command authorisation for
// an answer.
func TestTrapAuthorisationFailureOnIOS(t *testing.T) {
	for _, text := range []string{"Command authorization failed.\r\n\r\n", "% Authorization failed.\r\n", "            ^\r\n% Invalid input detected at '^' marker.\r\n\r\n",
		"% Incomplete command.\r\n", "% Ambiguous command:  \"show c\"\r\n", "% Unknown command or computer name, or unable to find computer address\r\n"} {
		s := serve(t, shell("rtr#", func(t *terminal, l string) bool { t.write(text); return true }))
		c := config(t, s)
		c.Platform = inventory.CiscoIOS
		a, _, err := open(t, c).Exec(context.Background(), evidence(t, inventory.CiscoIOS, "clock"))
		if err != nil || !a.Refused {
			t.Errorf("%q: refused %v, %v", text, a.Refused, err)
		}
	}
}

// A dead connection counts as alive.
func TestTrapDeadSessionLooksAlive(t *testing.T) {
	s := serve(t, asa("x# ", func(t *terminal, l string) bool { t.write("half"); _ = t.conn.Close(); return false }))
	ses := open(t, config(t, s))
	if _, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock")); err == nil || ses.Err() == nil {
		t.Errorf("%v %v", err, ses.Err())
	}
	_, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
	if f := failure(t, err); f.Reason != session.NotUnderstood && f.Reason != session.Closed {
		t.Errorf("%v", err)
	}
}

// The time of an output must grow with its size alone, not with its size times the number
// of pieces it comes in. There is no clock here: with a regular expression over the whole,
// or a search from its beginning at every piece, 20 MB in pieces of 200 bytes would not
// end within the test's time.
func TestTrapLargeOutputInSmallPieces(t *testing.T) {
	const pieces = 20 << 20 / 200
	piece := strings.Repeat("x", 198) + "\r\n"
	s := serve(t, asa("hq-asa# ", func(t *terminal, l string) bool {
		for range pieces {
			t.write(piece)
		}
		return true
	}))
	a, _, err := open(t, config(t, s)).Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
	if err != nil || len(a.Text) != pieces*199 {
		t.Errorf("%d bytes, %v", len(a.Text), err)
	}
}

// One line of 20 MB, and one before the echo: neither is searched again and again.
func TestTrapOneLongLine(t *testing.T) {
	long := strings.Repeat("y", 20<<20)
	s := serve(t, shell("rtr#", func(t *terminal, l string) bool { t.write(long + "\r\n"); return true }))
	c := config(t, s)
	c.Platform = inventory.CiscoIOS
	a, _, err := open(t, c).Exec(context.Background(), evidence(t, inventory.CiscoIOS, "clock"))
	if err != nil || len(a.Text) != len(long)+1 {
		t.Errorf("%d bytes, %v", len(a.Text), err)
	}
}

func TestOutputLimit(t *testing.T) {
	s := serve(t, asa("x# ", func(t *terminal, l string) bool {
		t.write(strings.Repeat("0123456789\r\n", 1000))
		return true
	}))
	c := config(t, s)
	c.MaxOutput = 4096
	ses := open(t, c)
	_, _, err := ses.Exec(context.Background(), evidence(t, inventory.CiscoASA, "clock"))
	if f := failure(t, err); f.Reason != session.NotUnderstood || ses.Err() == nil {
		t.Errorf("%v", err)
	}
}
