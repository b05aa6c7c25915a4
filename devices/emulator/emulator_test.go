package emulator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"vpnbot/devices/emulator"
)

// sharedKeys is a folder that labs of several tests use one after the other: RSA keys
// take time to make.
var sharedKeys string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "vpnbot-emulator-")
	if err != nil {
		panic(err)
	}
	sharedKeys = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// start runs a lab for one test.
func start(t testing.TB, o emulator.Options) *emulator.Lab {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	l, err := emulator.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// client is a bare terminal on a device: it types and waits for texts.
type client struct {
	t    testing.TB
	ssh  *ssh.Client
	sess *ssh.Session
	in   io.WriteCloser

	mu   sync.Mutex
	cond *sync.Cond
	got  bytes.Buffer
	eof  bool
}

func dial(t testing.TB, d *emulator.Device) (*ssh.Client, error) {
	t.Helper()
	user, password, _ := d.Login()
	cfg := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second}
	return ssh.Dial("tcp", d.Addr(), cfg)
}

// login opens a terminal and waits for the first prompt.
func login(t testing.TB, d *emulator.Device) *client {
	t.Helper()
	sc, err := dial(t, d)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, ssh: sc}
	c.cond = sync.NewCond(&c.mu)
	if c.sess, err = sc.NewSession(); err != nil {
		t.Fatal(err)
	}
	if err := c.sess.RequestPty("vt100", 24, 511, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	c.in, _ = c.sess.StdinPipe()
	out, _ := c.sess.StdoutPipe()
	if err := c.sess.Shell(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := out.Read(buf)
			c.mu.Lock()
			c.got.Write(buf[:n])
			c.eof = c.eof || err != nil
			c.cond.Broadcast()
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { sc.Close(); <-done })
	c.expect(">", "#")
	return c
}

// expect waits until what came ends in one of the texts and returns all of it.
func (c *client) expect(ends ...string) string {
	c.t.Helper()
	timer := time.AfterFunc(10*time.Second, func() { c.mu.Lock(); c.eof = true; c.cond.Broadcast(); c.mu.Unlock() })
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		s := strings.TrimRight(c.got.String(), " ")
		for _, e := range ends {
			if strings.HasSuffix(s, strings.TrimRight(e, " ")) && c.got.Len() > 0 {
				out := c.got.String()
				c.got.Reset()
				return out
			}
		}
		if c.eof {
			c.t.Fatalf("waiting for %q, got %q", ends, c.got.String())
		}
		c.cond.Wait()
	}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, s); err != nil {
		c.t.Fatal(err)
	}
}

// closed waits for the end of the terminal.
func (c *client) closed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.eof {
		c.cond.Wait()
	}
	return c.got.String()
}

// run sends one command and returns its output without echo and prompt.
func (c *client) run(prompt, line string) string {
	c.t.Helper()
	c.send(line + "\r")
	out := c.expect("\n" + prompt)
	_, out, _ = strings.Cut(out, "\r\n")
	out = strings.TrimSuffix(strings.TrimRight(out, " "), strings.TrimRight(prompt, " "))
	return strings.ReplaceAll(out, "\r\n", "\n")
}

// open logs in, enables and turns the pager off.
func open(t testing.TB, d *emulator.Device) (*client, string) {
	t.Helper()
	c := login(t, d)
	_, _, enable := d.Login()
	asa := d.HTTPSAddr() != ""
	prompt := d.Name() + "#"
	if d.Name() == "oslo-asa" {
		prompt = "oslo-asa/pri/act#"
	}
	if enable != "" {
		c.send("enable\r")
		c.expect("Password: ")
		c.send(enable + "\r")
		c.expect(prompt)
	}
	if asa {
		c.run(prompt, "terminal pager 0")
	} else {
		c.run(prompt, "terminal length 0")
		c.run(prompt, "terminal width 0")
	}
	return c, prompt
}

func TestTunnelsAsTheirDevicesListThem(t *testing.T) {
	l := start(t, emulator.Options{})
	for _, tc := range []struct {
		device, command string
		want, not       []string
	}{
		{"hq-asa", "show crypto isakmp sa", []string{"Active SA:", "Total IKE SA: 4", "AM_TM_INIT_MODECFG_V6H", "MM_WAIT_MSG5", "IKE Peer: 203.0.113.26\n    Type    : L2L             Role    : initiator \n    Rekey   : no              State   : MM_ACTIVE"}, nil},
		{"hq-asa", "sh cry isa sa det", []string{"Lifetime: 86400", "Total IKE SA: 4"}, nil},
		{"hq-asa", "show crypto ipsec sa peer 203.0.113.26", []string{"current_peer: 203.0.113.26", "#pkts encaps: ", "current outbound spi: 91F36BCC"}, []string{"203.0.113.34"}},
		{"hq-asa", "show crypto ipsec sa peer 203.0.113.10", []string{"There are no ipsec sas"}, nil},
		{"hq-asa", "show vpn-sessiondb detail l2l filter ipaddress 203.0.113.34", []string{"Session Type: LAN-to-LAN Detailed", "Connection   : 203.0.113.34"}, nil},
		{"hq-asa", "show logging | include 203.0.113.42", []string{"mismatched pre-shared key"}, []string{"203.0.113.10"}},
		{"hq-asa", "show running-config tunnel-group", []string{"pre-shared-key *", "tunnel-group EZ-PAP type remote-access"}, nil},
		{"hq-asa", "show running-config all sysopt", []string{"sysopt connection permit-vpn", "sysopt connection tcpmss 1350"}, []string{"tcpmss 1380"}},
		{"pap-asa", "show crypto isakmp sa", []string{"Total IKE SA: 1", "AM_TM_INIT_XAUTH_V6C", "Type    : user"}, []string{"IKEv1"}},
		{"pap-asa", "show crypto ikev1 sa", []string{"ERROR: % Invalid input detected at '^' marker."}, nil},
		{"lima-rtr", "show crypto isakmp sa", []string{"dst             src             state"}, []string{"QM_IDLE"}},
		{"lima-rtr", "show crypto session remote 198.51.100.1 detail", []string{"Session status: DOWN", "Active SAs: 0"}, nil},
		{"lima-rtr", "show logging | include CRYPTO", []string{"%CRYPTO-4-RECVD_PKT_INV_SPI", "spi=0x91F36BCC(2448649164)", "%CRYPTO-4-IKMP_NO_SA"}, []string{"Syslog logging"}},
		{"lima-rtr", "show running-config | section crypto", []string{"crypto map VPN 10", " set peer 198.51.100.1", " crypto map VPN"}, []string{"ip route"}},
		{"oslo-asa", "show crypto ipsec sa", []string{"current_peer: 198.51.100.1", "IKEv1, }"}, nil},
		{"oslo-asa", "show failover", []string{"This host: Primary - Active"}, nil},
		{"quito-rtr", "show crypto isakmp sa", []string{"198.51.100.1    203.0.113.42    MM_KEY_EXCH"}, nil},
		{"quito-rtr", "show logging", []string{"%CRYPTO-4-IKMP_BAD_MESSAGE: IKE message from 198.51.100.1"}, nil},
	} {
		t.Run(tc.device+"/"+tc.command, func(t *testing.T) {
			c, prompt := open(t, l.Device(tc.device))
			out := c.run(prompt, tc.command)
			for _, w := range tc.want {
				if !strings.Contains(out, w) {
					t.Errorf("no %q in\n%s", w, out)
				}
			}
			for _, n := range tc.not {
				if strings.Contains(out, n) {
					t.Errorf("%q in\n%s", n, out)
				}
			}
			c.ssh.Close()
			awaitSessions(t, l.Device(tc.device), 0)
		})
	}
}

// awaitSessions waits until a device has n connections.
func awaitSessions(t testing.TB, d *emulator.Device, n int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for d.Sessions() != n {
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d sessions, want %d", d.Name(), d.Sessions(), n)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestKnownHostsFitTheKeys(t *testing.T) {
	dir := t.TempDir()
	l := start(t, emulator.Options{Dir: dir, Scenario: "london-oslo"})
	check, err := knownhosts.New(filepath.Join(dir, "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	d := l.Device("oslo-asa")
	user, password, _ := d.Login()
	cfg := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: check, HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}}
	c, err := ssh.Dial("tcp", d.Addr(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	d.WrongHostKey(true)
	var key *knownhosts.KeyError
	if _, err := ssh.Dial("tcp", d.Addr(), cfg); !errors.As(err, &key) {
		t.Errorf("wrong host key: %v", err)
	}
}

// addrPort splits an address for net.Dial tests.
func tcp(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSixthSessionIsClosedBeforeItsBanner(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo"})
	d := l.Device("hq-asa")
	for range emulator.MaxSessions {
		login(t, d)
	}
	b, err := io.ReadAll(tcp(t, d.Addr()))
	if len(b) != 0 {
		t.Errorf("sixth connection got %q (%v)", b, err)
	}
}

func TestConfigNamesEverything(t *testing.T) {
	l := start(t, emulator.Options{Devices: 4})
	text := l.ConfigYAML()
	for _, d := range l.Devices() {
		if !strings.Contains(text, fmt.Sprintf("address: %s\n", d.Addr())) {
			t.Errorf("no address of %s", d.Name())
		}
	}
	for _, s := range l.Secrets() {
		if strings.Contains(text, s) {
			t.Errorf("the configuration holds the secret %q", s)
		}
	}
	for _, w := range []string{"name: hub-site-0001", "name: london-pap", "kind: ezvpn", "capture_acl: VB-CAP", "fingerprint:"} {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
}
