package emulator_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vpnbot/devices/emulator"
)

// clock is a network's clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// counter reads "#pkts NAME: N" of the first block.
func counter(t testing.TB, text, name string) int {
	t.Helper()
	p := regexp.MustCompile(`#pkts ` + name + `: (\d+)`).FindStringSubmatch(text)
	if p == nil {
		t.Fatalf("no %s in\n%s", name, text)
	}
	n, _ := strconv.Atoi(p[1])
	return n
}

func spiOut(t testing.TB, text string) string {
	t.Helper()
	p := regexp.MustCompile(`(?i)current outbound spi: (?:0x)?([0-9A-F]+)`).FindStringSubmatch(text)
	if p == nil {
		t.Fatalf("no outbound SPI in\n%s", text)
	}
	return strings.ToUpper(p[1])
}

func TestHealthyTunnelCountsOnBothEnds(t *testing.T) {
	clk := newClock()
	l := start(t, emulator.Options{Scenario: "london-oslo", Now: clk.Now})
	hq, hp := open(t, l.Device("hq-asa"))
	oslo, op := open(t, l.Device("oslo-asa"))
	a1 := hq.run(hp, "show crypto ipsec sa peer 203.0.113.34")
	b1 := oslo.run(op, "show crypto ipsec sa")
	if counter(t, a1, "encaps") != counter(t, b1, "decaps") || counter(t, b1, "encaps") != counter(t, a1, "decaps") {
		t.Errorf("the ends do not agree:\n%s\n%s", a1, b1)
	}
	in := regexp.MustCompile(`current inbound spi : (\w+)`).FindStringSubmatch(b1)
	if in == nil || in[1] != spiOut(t, a1) {
		t.Errorf("outbound SPI %s at hq is not the inbound one of oslo: %v", spiOut(t, a1), in)
	}
	if out := hq.run(hp, "ping inside 10.40.0.1"); !strings.Contains(out, "!!!!!\nSuccess rate is 100 percent (5/5)") {
		t.Errorf("ping: %s", out)
	}
	if d := counter(t, hq.run(hp, "show crypto ipsec sa peer 203.0.113.34"), "encaps") - counter(t, a1, "encaps"); d != 5 {
		t.Errorf("5 pings counted %d", d)
	}
	clk.forward(10 * time.Second)
	a2 := hq.run(hp, "show crypto ipsec sa peer 203.0.113.34")
	if counter(t, a2, "decaps") <= counter(t, a1, "decaps")+5 {
		t.Error("background traffic does not count")
	}
}

func TestStaleSAIsHealedByClearingItsHolder(t *testing.T) {
	clk := newClock()
	l := start(t, emulator.Options{Now: clk.Now})
	hq, hp := open(t, l.Device("hq-asa"))
	lima, lp := open(t, l.Device("lima-rtr"))
	show := "show crypto ipsec sa peer 203.0.113.26"

	before := hq.run(hp, show)
	if out := hq.run(hp, "ping inside 10.30.0.1"); !strings.Contains(out, "?????\nSuccess rate is 0 percent (0/5)") {
		t.Errorf("ping over a stale SA: %s", out)
	}
	clk.forward(30 * time.Second)
	after := hq.run(hp, show)
	if counter(t, after, "encaps") < counter(t, before, "encaps")+5 || counter(t, after, "decaps") != counter(t, before, "decaps") {
		t.Errorf("encaps must grow and decaps stand still:\n%s\n%s", before, after)
	}

	// a clear at the end without SAs changes nothing
	lima.run(lp, "clear crypto session remote 198.51.100.1")
	if l.TunnelState("london-lima") != emulator.Stale {
		t.Fatalf("state %s", l.TunnelState("london-lima"))
	}

	hq.run(hp, "clear crypto isakmp sa 203.0.113.26")
	if out := hq.run(hp, "show crypto isakmp sa"); strings.Contains(out, "203.0.113.26") || !strings.Contains(out, "203.0.113.34") {
		t.Errorf("after the clear:\n%s", out)
	}
	if out := hq.run(hp, "ping inside 10.30.0.1 repeat 5"); !strings.Contains(out, "?!!!!\nSuccess rate is 80 percent (4/5)") {
		t.Errorf("first ping after the clear: %s", out)
	}
	a, b := hq.run(hp, show), lima.run(lp, "show crypto ipsec sa peer 198.51.100.1")
	if spiOut(t, a) == spiOut(t, before) {
		t.Error("the new SA has the old SPI")
	}
	if counter(t, a, "encaps") != counter(t, b, "decaps") || counter(t, a, "encaps") > 10 {
		t.Errorf("counters of the new SA:\n%s\n%s", a, b)
	}
	if out := lima.run(lp, "show crypto isakmp sa"); !strings.Contains(out, "203.0.113.26    198.51.100.1    QM_IDLE") {
		t.Errorf("lima: %s", out)
	}
	if out := lima.run(lp, "show logging | include SESSION"); !strings.Contains(out, "Crypto tunnel is UP") {
		t.Errorf("lima's log: %s", out)
	}
	if out := hq.run(hp, "show logging | include 203.0.113.26"); !strings.Contains(out, "Reason: Administrator Reset") || strings.Count(out, "PHASE 2 COMPLETED") != 2 {
		t.Errorf("hq's log: %s", out)
	}
	if out := hq.run(hp, "show logging | include 111008"); !strings.Contains(out, "User 'vpnbot' executed the 'clear crypto isakmp sa 203.0.113.26' command.") {
		t.Errorf("hq's log: %s", out)
	}
	if n := l.Device("hq-asa").Clears(); n != 1 {
		t.Errorf("%d clears counted, want 1", n)
	}
}

func TestWhatEachClearDrops(t *testing.T) {
	for _, tc := range []struct {
		device, line string
		down         []string // tunnels that are down afterwards
	}{
		{"hq-asa", "clear crypto isakmp sa 203.0.113.34", []string{"london-oslo"}},
		{"hq-asa", "clear crypto isakmp sa 203.0.113.34", []string{"london-oslo"}},
		{"hq-asa", "clear crypto ipsec sa peer 203.0.113.34", []string{"london-oslo"}},
		{"hq-asa", "vpn-sessiondb logoff ipaddress 203.0.113.26 noconfirm", []string{"london-lima"}},
		{"hq-asa", "clear crypto ikev2 sa 203.0.113.99", nil},
		{"hq-asa", "clear crypto ikev2 sa", nil},
		{"hq-asa", "clear crypto ipsec sa counters", nil},
		{"hq-asa", "clear crypto isakmp sa", []string{"london-pap", "london-lima", "london-oslo", "london-quito"}},
		{"hq-asa", "cle cry ips sa", []string{"london-pap", "london-lima", "london-oslo", "london-quito"}},
		{"pap-asa", "clear crypto isakmp sa 198.51.100.1", []string{"london-pap"}},
		{"oslo-asa", "clear crypto ikev1 sa", []string{"london-oslo"}},
		{"quito-rtr", "clear crypto sa peer 198.51.100.1", nil}, // it has none
		{"quito-rtr", "clear crypto session remote 198.51.100.1", []string{"london-quito"}},
		{"quito-rtr", "clear crypto isakmp 1", nil},
		{"quito-rtr", "clear crypto isakmp", []string{"london-quito"}},
	} {
		t.Run(tc.device+"/"+tc.line, func(t *testing.T) {
			clk := newClock()
			l := start(t, emulator.Options{Now: clk.Now, Dir: sharedKeys})
			c, prompt := open(t, l.Device(tc.device))
			c.run(prompt, tc.line)
			for _, name := range []string{"london-pap", "london-lima", "london-oslo", "london-quito"} {
				want := false
				for _, d := range tc.down {
					want = want || d == name
				}
				if got := l.TunnelState(name) == emulator.Down; got != want {
					t.Errorf("%s is %s", name, l.TunnelState(name))
				}
			}
		})
	}
}

func TestConnectionIDClearsItsSAOnly(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-quito", Dir: sharedKeys})
	c, prompt := open(t, l.Device("quito-rtr"))
	p := regexp.MustCompile(`MM_KEY_EXCH\s+(\d+) ACTIVE`).FindStringSubmatch(c.run(prompt, "show crypto isakmp sa"))
	if p == nil {
		t.Fatal("no connection id")
	}
	if out := c.run(prompt, "show crypto isakmp sa detail"); !strings.Contains(out, "\n"+p[1]) {
		t.Errorf("the detail lists another id:\n%s", out)
	}
	c.run(prompt, "clear crypto isakmp "+p[1])
	if s := l.TunnelState("london-quito"); s != emulator.Down {
		t.Errorf("state %s", s)
	}
	if out := c.run(prompt, "show crypto isakmp sa"); !strings.Contains(out, "MM_NO_STATE") || !strings.Contains(out, "(deleted)") {
		t.Errorf("no dying SA: %s", out)
	}
}

func TestNegotiationsThatCannotSucceedComeBack(t *testing.T) {
	clk := newClock()
	l := start(t, emulator.Options{Now: clk.Now, Scenario: "london-pap", Dir: sharedKeys})
	hq, hp := open(t, l.Device("hq-asa"))
	hq.run(hp, "clear crypto isakmp sa 203.0.113.10")
	if out := hq.run(hp, "show crypto isakmp sa"); !strings.Contains(out, "There are no isakmp sas") {
		t.Fatalf("after the clear: %s", out)
	}
	clk.forward(5 * time.Second)
	if out := hq.run(hp, "show crypto isakmp sa"); !strings.Contains(out, "AM_TM_INIT_MODECFG_V6H") {
		t.Errorf("the client did not try again: %s", out)
	}
	if out := hq.run(hp, "ping inside 10.20.0.1"); !strings.Contains(out, "0 percent") {
		t.Errorf("ping: %s", out)
	}
	l.Leads("london-pap", emulator.Up) // the ISP repaired its path
	hq.run(hp, "clear crypto isakmp sa 203.0.113.10")
	clk.forward(5 * time.Second)
	if out := hq.run(hp, "show crypto isakmp sa"); !strings.Contains(out, "AM_ACTIVE") {
		t.Errorf("after the repair: %s", out)
	}
	if out := hq.run(hp, "show crypto ipsec sa peer 203.0.113.10"); !strings.Contains(out, "username: pap-hw") {
		t.Errorf("IPsec SA of the client: %s", out)
	}
}

func TestRebootLeavesAStaleSAAtThePeer(t *testing.T) {
	clk := newClock()
	l := start(t, emulator.Options{Now: clk.Now, Scenario: "london-oslo", Dir: sharedKeys})
	c := login(t, l.Device("oslo-asa"))
	l.Device("oslo-asa").Reboot()
	c.closed()
	if s := l.TunnelState("london-oslo"); s != emulator.Stale {
		t.Fatalf("state %s", s)
	}
	hq, hp := open(t, l.Device("hq-asa"))
	oslo, op := open(t, l.Device("oslo-asa"))
	if out := hq.run(hp, "show crypto isakmp sa"); !strings.Contains(out, "MM_ACTIVE") {
		t.Errorf("hq: %s", out)
	}
	if out := oslo.run(op, "show crypto ikev1 sa"); !strings.Contains(out, "There are no IKEv1 SAs") {
		t.Errorf("oslo: %s", out)
	}
	l.RestoreSA("london-oslo")
	if out := oslo.run(op, "show crypto ikev1 sa"); !strings.Contains(out, "MM_ACTIVE") {
		t.Errorf("oslo after it came up by itself: %s", out)
	}
}

func TestPings(t *testing.T) {
	l := start(t, emulator.Options{Dir: sharedKeys})
	hq, hp := open(t, l.Device("hq-asa"))
	quito, qp := open(t, l.Device("quito-rtr"))
	l.SetTunnel("london-quito", emulator.Up)
	for _, tc := range []struct {
		c            *client
		prompt, line string
		want         string
	}{
		{hq, hp, "ping 10.40.0.1", "Success rate is 0 percent"},              // outside address: not interesting
		{hq, hp, "ping inside 203.0.113.10", "Success rate is 100"},          // the path
		{hq, hp, "ping inside 203.0.113.10 size 2000", "Success rate is 0 "}, // fragments are lost on it
		{hq, hp, "ping inside 203.0.113.34 size 2000", "Success rate is 100"},
		{hq, hp, "ping inside 10.40.0.1 repeat 3 size 1400", "!!!\nSuccess rate is 100 percent (3/3)"},
		{hq, hp, "ping nosuch 10.40.0.1", "ERROR: % Invalid input"},
		{quito, qp, "ping 10.1.0.1 source GigabitEthernet0/0/1 repeat 2 size 1438 df-bit", "!!\nSuccess rate is 100 percent (2/2)"},
		{quito, qp, "ping 10.1.0.1 source GigabitEthernet0/0/1 repeat 2 size 1439 df-bit", "MM\nSuccess rate is 0 percent (0/2)"},
		{quito, qp, "ping 10.1.0.1", "....."},
		{quito, qp, "ping 10.1.0.1 source 10.9.9.9", "% Invalid source address"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			if out := tc.c.run(tc.prompt, tc.line); !strings.Contains(out, tc.want) {
				t.Errorf("no %q in %s", tc.want, out)
			}
		})
	}
}

func TestFleet(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "none", Devices: 40})
	if n := len(l.Devices()); n != 40 {
		t.Fatalf("%d devices", n)
	}
	var wg sync.WaitGroup
	for i, d := range l.Devices() {
		wg.Go(func() {
			user, _, enable := d.Login()
			c := login(t, d)
			prompt := d.Name() + "#"
			if enable != "" {
				c.send("enable\r")
				c.expect("Password: ")
				c.send(enable + "\r")
				c.expect(prompt)
				c.run(prompt, "terminal pager 0")
			} else {
				c.run(prompt, "terminal length 0")
			}
			want := "QM_IDLE"
			if i%2 == 0 {
				want = "MM_ACTIVE"
			}
			if i%8 == 0 {
				want = "READY    INITIATOR"
			}
			if out := c.run(prompt, "show crypto isakmp sa"); !strings.Contains(out, want) || !strings.Contains(out, "198.51.100.250") {
				t.Errorf("%s as %s: no %q in\n%s", d.Name(), user, want, out)
			}
			if out := c.run(prompt, "show running-config"); !strings.Contains(out, "hostname "+d.Name()) || strings.Contains(out, "{") {
				t.Errorf("%s: configuration\n%s", d.Name(), out)
			}
		})
	}
	wg.Wait()
}

func TestConcurrentSessionsSeeOneState(t *testing.T) {
	l := start(t, emulator.Options{Scenario: "london-oslo", Dir: sharedKeys})
	var wg sync.WaitGroup
	for _, name := range []string{"hq-asa", "oslo-asa"} {
		for i := range 3 {
			wg.Go(func() {
				c, prompt := open(t, l.Device(name))
				peer := map[string]string{"hq-asa": "203.0.113.34", "oslo-asa": "198.51.100.1"}[name]
				for n := range 8 {
					c.run(prompt, "show crypto ipsec sa")
					c.run(prompt, fmt.Sprintf("capture VB-x%d%d interface outside match ip any any", i, n))
					if i == 0 {
						c.run(prompt, "clear crypto isakmp sa "+peer)
					}
					c.run(prompt, "ping inside 10.1.0.1")
					c.run(prompt, "ping inside 10.40.0.1")
					c.run(prompt, fmt.Sprintf("no capture VB-x%d%d", i, n))
				}
			})
		}
	}
	wg.Wait()
	for _, name := range []string{"hq-asa", "oslo-asa"} {
		if c := l.Device(name).Captures(); len(c) != 0 {
			t.Errorf("%s holds %v", name, c)
		}
		if n := l.Device(name).Clears(); n != 8 {
			t.Errorf("%s counted %d clears", name, n)
		}
	}
}
