package emulator_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"vpnbot/devices/emulator"
)

func TestEnable(t *testing.T) {
	l := start(t, emulator.Options{Dir: sharedKeys})
	t.Run("ASA", func(t *testing.T) {
		c := login(t, l.Device("hq-asa"))
		if out := c.run("hq-asa>", "show crypto isakmp sa"); !strings.Contains(out, "ERROR: % Invalid input") {
			t.Errorf("user mode shows SAs: %s", out)
		}
		c.send("ena\r")
		c.expect("Password: ")
		for range 2 {
			c.send("wrong\r")
			if out := c.expect("Password: "); !strings.Contains(out, "Invalid password") || strings.Contains(out, "wrong") {
				t.Errorf("got %q", out)
			}
		}
		c.send("wrong\r")
		if out := c.expect("hq-asa> "); !strings.Contains(out, "Access denied.") {
			t.Errorf("got %q", out)
		}
		_, _, enable := l.Device("hq-asa").Login()
		c.send("enable\r")
		c.expect("Password: ")
		c.send(enable + "\r")
		c.expect("hq-asa# ")
		if out := c.run("hq-asa#", "enable"); !strings.Contains(out, "ERROR: % Invalid input") {
			t.Errorf("enable in enable mode: %s", out)
		}
	})
	t.Run("IOS", func(t *testing.T) {
		c := login(t, l.Device("quito-rtr"))
		c.send("enable\r")
		c.expect("Password: ")
		c.send("wrong\r")
		c.expect("Password: ")
		c.send("wrong\r")
		c.expect("Password: ")
		c.send("wrong\r")
		if out := c.expect("quito-rtr>"); !strings.Contains(out, "% Bad secrets") {
			t.Errorf("got %q", out)
		}
	})
}

func TestLogin(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-quito", Dir: sharedKeys})
	d := l.Device("quito-rtr")
	user, password, _ := d.Login()
	for _, tc := range []struct {
		name string
		user string
		auth ssh.AuthMethod
		ok   bool
	}{
		{"password", user, ssh.Password(password), true},
		{"wrong password", user, ssh.Password("wrong"), false},
		{"wrong user", "root", ssh.Password(password), false},
		{"keyboard-interactive", user, ssh.KeyboardInteractive(func(_, _ string, q []string, _ []bool) ([]string, error) {
			if len(q) == 0 {
				return nil, nil
			}
			return []string{password}, nil
		}), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := ssh.Dial("tcp", d.Addr(), &ssh.ClientConfig{User: tc.user, Auth: []ssh.AuthMethod{tc.auth}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
			if (err == nil) != tc.ok {
				t.Errorf("error %v", err)
			}
			if c != nil {
				c.Close()
			}
		})
	}
	if ok, bad := d.Logins(); ok != 2 || bad != 2 {
		t.Errorf("%d logins accepted, %d rejected", ok, bad)
	}
	c := login(t, d)
	c.send("\r")
	c.expect("quito-rtr>")
}

func TestErrors(t *testing.T) {
	l := start(t, emulator.Options{Dir: sharedKeys})
	hq, hp := open(t, l.Device("hq-asa"))
	lima, lp := open(t, l.Device("lima-rtr"))
	for _, tc := range []struct {
		c            *client
		prompt, line string
		want         string
	}{
		{hq, hp, "show nosuch", "             ^\nERROR: % Invalid input detected at '^' marker.\n"},
		{hq, hp, "sh c", "ERROR: % Ambiguous command:  \"sh c\"\n"},
		{hq, hp, "show crypto isakmp", "ERROR: % Incomplete command\n"},
		{hq, hp, "terminal width 511", "ERROR: % Invalid input detected"},
		{hq, hp, "show version | section image", "ERROR: % Invalid input detected"},
		{hq, hp, "sh run nosuch", "ERROR: % Invalid input detected"},
		{lima, lp, "show nosuch", "              ^\n% Invalid input detected at '^' marker.\n\n"},
		{lima, lp, "sh c", "% Ambiguous command:  \"sh c\"\n"},
		{lima, lp, "show crypto isakmp", "% Incomplete command.\n\n"},
		{lima, lp, "nosuch", "% Unknown command or computer name, or unable to find computer address\n"},
	} {
		if out := tc.c.run(tc.prompt, tc.line); !strings.Contains(out, tc.want) {
			t.Errorf("%s:\n%q", tc.line, out)
		}
	}
}

func TestFilters(t *testing.T) {
	l := start(t, emulator.Options{Dir: sharedKeys})
	hq, hp := open(t, l.Device("hq-asa"))
	lima, lp := open(t, l.Device("lima-rtr"))
	for _, tc := range []struct {
		c            *client
		prompt, line string
		lines        int
		want         string
	}{
		{hq, hp, "show run | i ^hostname", 1, "hostname hq-asa\n"},
		{hq, hp, "show run sysopt | grep -v tcpmss", 1, "sysopt connection preserve-vpn-flows\n"},
		{hq, hp, "show running-config | begin ^no call-home", 3, ": end\n"},
		{hq, hp, "show running-config crypto map | exclude OUTSIDE_MAP [123]0", 2, "crypto map OUTSIDE_MAP interface outside\n"},
		{lima, lp, "show running-config | section route-map", 3, " match ip address NAT-LAN\n"},
		{lima, lp, "show running-config | section ^interface GigabitEthernet0/1", 8, " ip address 10.30.0.1 255.255.0.0\n"},
		{lima, lp, "show running-config | count hostname", 1, "= 1\n"},
		{lima, lp, "show running-config | include ^hostname|^end", 2, "end\n"},
	} {
		out := tc.c.run(tc.prompt, tc.line)
		if n := strings.Count(out, "\n"); n != tc.lines || !strings.Contains(out, tc.want) {
			t.Errorf("%s: %d lines\n%s", tc.line, n, out)
		}
	}
}

func TestPager(t *testing.T) {
	l := start(t, emulator.Options{Dir: sharedKeys})
	_, _, enable := l.Device("hq-asa").Login()
	c := login(t, l.Device("hq-asa"))
	c.send("enable\r")
	c.expect("Password: ")
	c.send(enable + "\r")
	c.expect("hq-asa# ")
	c.send("show running-config\r")
	first := c.expect("<--- More --->")
	if n := strings.Count(first, "\n"); n != 24 { // echo and 23 lines
		t.Errorf("first page has %d lines", n)
	}
	c.send("\r")
	if out := c.expect("<--- More --->"); strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "\r              \r") {
		t.Errorf("one line more: %q", out)
	}
	c.send(" ")
	if out := c.expect("<--- More --->"); strings.Count(out, "\n") != 23 {
		t.Errorf("next page: %q", out)
	}
	c.send("q")
	c.expect("hq-asa# ")

	r := login(t, l.Device("lima-rtr"))
	r.send("show running-config\r")
	r.expect(" --More-- ")
	r.send(" ")
	if out := r.expect(" --More-- "); !strings.HasPrefix(out, "\b\b\b\b\b\b\b\b\b        \b\b\b\b\b\b\b\b\b") {
		t.Errorf("next page: %q", out)
	}
	r.send("q")
	r.expect("lima-rtr#")

	l.Device("hq-asa").PagerForced(true)
	if out := c.run("hq-asa#", "terminal pager 0"); !strings.Contains(out, "Command authorization failed") {
		t.Errorf("pager off: %q", out)
	}
}

// screen is what a terminal shows of a stream on its last line.
func screen(s string) string {
	var row []byte
	at := 0
	for i := range len(s) {
		switch s[i] {
		case '\r':
			at = 0
		case '\n':
			row, at = nil, 0
		case '\b':
			at = max(at-1, 0)
		default:
			for len(row) <= at {
				row = append(row, ' ')
			}
			row[at] = s[i]
			at++
		}
	}
	return strings.TrimRight(string(row), " ")
}

func TestLongLinesScroll(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo", Dir: sharedKeys})
	c, _ := open(t, l.Device("hq-asa"))
	line := "capture VB-x interface outside buffer 4000000 packet-length 1522 match ip host 198.51.100.1 host 203.0.113.34 match icmp any host 198.51.100.1"
	c.send(line)
	out := c.expect("\b00.1")
	shown := screen("hq-asa# " + out)
	if !strings.HasPrefix(shown, "hq-asa# $") || !strings.HasSuffix(shown, "match icmp any host 198.51.100.1") || len(shown) > 80 {
		t.Errorf("the line shows as %q", shown)
	}
	c.send("\r")
	rest := c.expect("\nhq-asa# ")
	if !strings.Contains(rest, "\bcapture VB-x interface outside buffer 4000000") || !strings.Contains(rest, "$\r\n") {
		t.Errorf("on Enter: %q", rest)
	}
	ex := l.Device("hq-asa").Executed()
	if got := ex[len(ex)-1].Text; got != line {
		t.Errorf("the device executed %q", got)
	}
	if n := len(l.Device("hq-asa").Captures()); n != 1 {
		t.Errorf("%d captures", n)
	}
}

func TestConfigurationModeIsCounted(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo", Dir: sharedKeys})
	c, _ := open(t, l.Device("oslo-asa"))
	c.run("oslo-asa/pri/act(config)#", "conf t")
	c.run("oslo-asa/pri/act(config-if)#", "interface GigabitEthernet1/1")
	c.run("oslo-asa/pri/act#", "end")
	if n := l.Device("oslo-asa").ConfigModeEntered(); n != 1 {
		t.Errorf("counted %d", n)
	}
}

func TestLogoutEndsTheConnection(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo", Dir: sharedKeys})
	c, _ := open(t, l.Device("hq-asa"))
	c.send("exit\r")
	if out := c.closed(); !strings.Contains(out, "Logoff") {
		t.Errorf("got %q", out)
	}
	awaitSessions(t, l.Device("hq-asa"), 0)
}

func TestFaults(t *testing.T) {
	l := start(t, emulator.Options{Dir: sharedKeys})
	d := l.Device("hq-asa")
	t.Run("refused", func(t *testing.T) {
		if err := d.Refuse(true); err != nil {
			t.Fatal(err)
		}
		if _, err := net.DialTimeout("tcp", d.Addr(), time.Second); err == nil {
			t.Error("connected")
		}
		if err := d.Refuse(false); err != nil {
			t.Fatal(err)
		}
		login(t, d)
	})
	t.Run("hangs on connect", func(t *testing.T) {
		o := l.Device("oslo-asa")
		o.HangOnConnect(true)
		c := tcp(t, o.Addr())
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errTimeout(err)) {
			t.Errorf("read %d %v", n, err)
		}
		o.HangOnConnect(false)
	})
	t.Run("hangs after a command", func(t *testing.T) {
		c, prompt := open(t, d)
		d.HangAfter("show clock")
		defer d.HangAfter("")
		c.send("sh clock\r")
		c.expect("sh clock\r\n")
		d.CloseSessions()
		c.closed()
		_ = prompt
	})
	t.Run("closes in the middle of an output", func(t *testing.T) {
		c, _ := open(t, d)
		d.CloseMidCommand("show running-config")
		defer d.CloseMidCommand("")
		c.send("show run\r")
		out := c.closed()
		if !strings.Contains(out, "hostname hq-asa") || strings.Contains(out, ": end") {
			t.Errorf("got %d bytes", len(out))
		}
	})
	t.Run("a line that arrives cut short", func(t *testing.T) {
		c, prompt := open(t, d)
		d.LoseInputAfter("clear crypto isakmp sa")
		out := c.run(prompt, "show version")
		if !strings.Contains(out, "Software Version") {
			t.Errorf("other lines are cut too: %s", out)
		}
		c.send("clear crypto isakmp sa 203.0.113.34")
		if out := c.expect("clear crypto isakmp sa"); strings.Contains(out, "203") {
			t.Errorf("echo %q", out)
		}
		c.send("\x15\r")
		c.expect(prompt)
		d.AlterEcho(nil)
		if n := d.Clears(); n != 0 {
			t.Errorf("%d clears", n)
		}
	})
	t.Run("authorisation denied", func(t *testing.T) {
		c, prompt := open(t, d)
		d.AuthorizationDenied("show crypto", "capture")
		defer d.AuthorizationDenied()
		if out := c.run(prompt, "sh cry ips sa"); out != "Command authorization failed\n" {
			t.Errorf("got %q", out)
		}
	})
	t.Run("the prompt changes", func(t *testing.T) {
		c, _ := open(t, l.Device("oslo-asa"))
		l.Device("oslo-asa").SetPromptSuffix("/sec/act")
		c.send("show clock\r")
		c.expect("oslo-asa/pri/act# ", "oslo-asa/sec/act# ")
		c.run("oslo-asa/sec/act#", "show clock")
	})
	t.Run("slow and split output, and texts of a stranger", func(t *testing.T) {
		c, prompt := open(t, d)
		d.SetOutput("show clock", "one\nhq-asa# \ntwo\n")
		d.SplitOutput(3, time.Millisecond)
		defer d.SplitOutput(0, 0)
		c.send("show clock\r")
		if out := c.expect("two\r\n" + prompt); !strings.Contains(out, "one\r\nhq-asa# \r\ntwo") {
			t.Errorf("got %q", out)
		}
		d.SetOutput("show clock", "")
	})
	t.Run("idle", func(t *testing.T) {
		d.SetIdleTimeout(30 * time.Millisecond)
		defer d.SetIdleTimeout(0)
		c := login(t, d)
		c.closed()
	})
	t.Run("old algorithms", func(t *testing.T) {
		d.LegacyAlgorithms(true)
		defer d.LegacyAlgorithms(false)
		if _, err := dial(t, d); err == nil {
			t.Error("a modern client got in")
		}
		user, password, _ := d.Login()
		c, err := ssh.Dial("tcp", d.Addr(), &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), HostKeyAlgorithms: []string{ssh.KeyAlgoRSA},
			Config: ssh.Config{Ciphers: []string{ssh.InsecureCipherAES128CBC}, KeyExchanges: []string{ssh.InsecureKeyExchangeDH14SHA1}, MACs: []string{ssh.HMACSHA1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func errTimeout(err error) error {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return err
	}
	return io.ErrUnexpectedEOF
}

func TestExecRequestOpensAShell(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo", Dir: sharedKeys})
	c, err := dial(t, l.Device("hq-asa"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, _ := s.StdinPipe()
	out, _ := s.StdoutPipe()
	if err := s.Start("clear crypto isakmp sa"); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "exit\r")
	b, _ := io.ReadAll(out)
	if !strings.Contains(string(b), "hq-asa> ") || l.Device("hq-asa").Clears() != 0 {
		t.Errorf("got %q", b)
	}
}

func TestLatency(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo", Dir: sharedKeys, Latency: 40 * time.Millisecond})
	c, prompt := open(t, l.Device("hq-asa"))
	t0 := time.Now()
	c.run(prompt, "show clock")
	if d := time.Since(t0); d < 40*time.Millisecond {
		t.Errorf("one exchange took %s", d)
	}
	c.send("exit\r")
	if out := c.closed(); !strings.Contains(out, "Logoff") {
		t.Errorf("got %q", out)
	}
}

func TestSecretsAppearWhereDevicesShowThem(t *testing.T) {
	l := start(t, emulator.Options{Dir: sharedKeys})
	count := func(text string) (n int) {
		for _, s := range l.Secrets() {
			if strings.Contains(text, s) {
				n++
			}
		}
		return n
	}
	hq, hp := open(t, l.Device("hq-asa"))
	lima, lp := open(t, l.Device("lima-rtr"))
	run := hq.run(hp, "show running-config")
	if n := count(run); n != 5 { // enable, passwd and three users' hashes
		t.Errorf("show running-config of an ASA shows %d secrets, want its 5 hashes", n)
	}
	if n := count(hq.run(hp, "more system:running-config")); n <= 5 {
		t.Errorf("more system:running-config shows %d", n)
	}
	if n := count(lima.run(lp, "show running-config")); n != 6 {
		t.Errorf("show running-config of a router shows %d, want 6", n)
	}
	if n := count(lima.run(lp, "show crypto isakmp key")); n != 1 {
		t.Errorf("show crypto isakmp key shows %d", n)
	}
}
