package devices_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"vpnbot/devices"
	"vpnbot/devices/command"
	"vpnbot/devices/emulator"
	"vpnbot/devices/inventory"
	"vpnbot/diag/dump"
)

var public = netip.MustParseAddr("192.0.2.77") // of a device behind NAT

// administrator types lines on a device, as somebody else would.
func administrator(t testing.TB, d *emulator.Device, lines ...string) string {
	t.Helper()
	user, password, enable := d.Login()
	c, err := ssh.Dial("tcp", d.Addr(), &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err1 := s.StdinPipe()
	out, err2 := s.StdoutPipe()
	if err := errors.Join(err1, err2, s.RequestPty("vt100", 24, 80, nil), s.Shell()); err != nil {
		t.Fatal(err)
	}
	if enable != "" {
		lines = append([]string{"enable", enable}, lines...)
	}
	for _, l := range append(lines, "exit") {
		if _, err := io.WriteString(in, l+"\r"); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := io.ReadAll(out)
	return string(text)
}

// packets waits until a device has captured some.
func packets(t testing.TB, d *emulator.Device) {
	t.Helper()
	for range 1000 {
		if c := d.Captures(); len(c) > 0 && c[0].Packets > 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the emulated device captured nothing")
}

func pcapFrames(t testing.TB, b []byte) [][]byte {
	t.Helper()
	order := binary.ByteOrder(binary.LittleEndian)
	if len(b) < 24 {
		t.Fatalf("%d bytes are no pcap", len(b))
	}
	if b[0] == 0xa1 {
		order = binary.BigEndian
	}
	var out [][]byte
	for b = b[24:]; len(b) >= 16; {
		n := int(order.Uint32(b[8:]))
		out = append(out, b[16:16+n])
		b = b[16+n:]
	}
	return out
}

// A capture is the same by HTTPS and as text over SSH.
func TestBothWaysGiveTheSamePackets(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	c, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
	if err != nil {
		t.Fatal(err)
	}
	packets(t, b.lab.Device("hq-asa"))
	if err := c.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	data, err := c.Fetch(ctx)
	if err != nil || data[0].Via != "https" {
		t.Fatalf("%v %v", data, err)
	}
	target, err := b.fleet.Target(ctx, "hq-asa")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range data {
		cmd, err := command.CaptureDump(target, d.Name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := b.fleet.Run(ctx, "hq-asa", plain, cmd)
		if err != nil {
			t.Fatal(err)
		}
		frames, texts := pcapFrames(t, d.Data), dump.Parse(out[0].Text).Packets
		if len(frames) != len(texts) {
			t.Errorf("%s: %d packets by HTTPS, %d as text", d.Name, len(frames), len(texts))
			continue
		}
		for i := range frames {
			// The text begins with the IP header, or with the frame's.
			if !bytes.HasSuffix(frames[i], texts[i].Data) || len(texts[i].Data) < 20 {
				t.Errorf("%s: packet %d differs:\n%x\n%x", d.Name, i+1, frames[i], texts[i].Data)
			}
		}
	}
	if err := c.Remove(ctx); err != nil {
		t.Error(err)
	}
}

// clean tells that nothing of a capture is left, on the device and in the journal.
func clean(t testing.TB, b *bench, device string) {
	t.Helper()
	if left := b.lab.Device(device).Captures(); len(left) > 0 {
		t.Errorf("left on %s: %v", device, left)
	}
	if out, _ := b.book.Outstanding(context.Background()); len(out) > 0 {
		t.Errorf("left in the journal: %v", out)
	}
}

// returned waits until the journal says that everything was returned.
func (b *bench) returned(t testing.TB) {
	t.Helper()
	for range 3000 {
		if out, _ := b.book.Outstanding(context.Background()); len(out) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	ctx := context.Background()
	t.Run("the device refuses the second filter", func(t *testing.T) {
		b := newBench(t)
		f := b.newFleet(t, devices.Options{Journal: b.book, Random: func() string { return "abcd" }})
		b.lab.Device("hq-asa").AuthorizationDenied("capture VB-abcdn")
		_, err := f.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
		if !errors.Is(err, devices.ErrNoCapture) {
			t.Errorf("%v", err)
		}
		clean(t, b, "hq-asa")
	})
	t.Run("the session breaks while it starts", func(t *testing.T) {
		b := newBench(t)
		hq := b.lab.Device("hq-asa")
		hq.CloseMidCommand("capture VB-")
		_, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
		if reason(t, err) != devices.Closed {
			t.Errorf("%v", err)
		}
		clean(t, b, "hq-asa")
	})
	t.Run("the run is cancelled while it starts", func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithCancel(ctx)
		b.book.lentHook = cancel
		if _, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa")); err == nil {
			t.Error("it started")
		}
		clean(t, b, "hq-asa")
	})
	t.Run("the run is cancelled while it runs", func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithCancel(ctx)
		c, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := c.Stop(ctx); err == nil {
			t.Error("it stopped under a cancelled context")
		}
		if err := c.Remove(ctx); err != nil {
			t.Error(err)
		}
		clean(t, b, "hq-asa")
	})
	t.Run("the device refuses the removal", func(t *testing.T) {
		b := newBench(t)
		hq := b.lab.Device("hq-asa")
		c, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
		if err != nil {
			t.Fatal(err)
		}
		hq.AuthorizationDenied("no capture")
		if err := c.Remove(ctx); reason(t, err) != devices.Privilege || !strings.Contains(err.Error(), "no capture") {
			t.Errorf("%v", err)
		}
		if out, _ := b.book.Outstanding(ctx); len(out) != 2 {
			t.Errorf("the journal forgot it: %v", out)
		}
		r, err := b.fleet.Check(ctx, "hq-asa")
		if err != nil || len(r.Leftovers) != 2 {
			t.Errorf("check lists %v, %v", r.Leftovers, err)
		}
		hq.AuthorizationDenied()
		if err := b.newFleet(t, devices.Options{Journal: b.book}).CleanUp(ctx); err != nil {
			t.Error(err)
		}
		clean(t, b, "hq-asa")
	})
	t.Run("a device that refused the removal is asked again", func(t *testing.T) {
		b := newBench(t)
		f := b.newFleet(t, devices.Options{Journal: b.book, RemoveAgain: time.Millisecond})
		c, err := f.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
		if err != nil {
			t.Fatal(err)
		}
		hq := b.lab.Device("hq-asa")
		hq.AuthorizationDenied("no capture")
		if err := c.Remove(ctx); err == nil {
			t.Error("removed although the device refused")
		}
		hq.AuthorizationDenied()
		b.returned(t)
		clean(t, b, "hq-asa")
	})
	t.Run("the device rebooted meanwhile", func(t *testing.T) {
		b := newBench(t)
		c, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
		if err != nil {
			t.Fatal(err)
		}
		b.lab.Device("hq-asa").Reboot()
		if err := c.Remove(ctx); err != nil {
			t.Error(err)
		}
		clean(t, b, "hq-asa")
	})
	t.Run("a failover left it on the other unit", func(t *testing.T) {
		b := newBench(t)
		oslo := b.lab.Device("oslo-asa")
		oslo.SetOutput("show version", "Cisco Adaptive Security Appliance Software Version 9.6(3)1 \n") // no serial number: the prompt tells
		c, err := b.fleet.StartCapture(ctx, "oslo-asa", spec(t, b, "london-oslo", "oslo-asa"))
		if err != nil {
			t.Fatal(err)
		}
		oslo.Reboot() // the other unit knows nothing of it
		oslo.SetPromptSuffix("/sec/act")
		err = c.Remove(ctx)
		if err == nil || !strings.Contains(err.Error(), "failover") {
			t.Errorf("%v", err)
		}
		if out, _ := b.book.Outstanding(ctx); len(out) == 0 {
			t.Error("the journal forgot it")
		}
	})
	t.Run("the device is away at the next start", func(t *testing.T) {
		b := newBench(t)
		if _, err := b.fleet.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa")); err != nil {
			t.Fatal(err)
		}
		hq := b.lab.Device("hq-asa")
		_ = b.fleet.Close() // the process ends
		_ = hq.Refuse(true)
		f := b.newFleet(t, devices.Options{Journal: b.book, RemoveAgain: time.Millisecond})
		if err := f.CleanUp(ctx); reason(t, err) != devices.Refused {
			t.Errorf("%v", err)
		}
		_ = hq.Refuse(false)
		b.returned(t)
		clean(t, b, "hq-asa")
	})
}

// What others captured stays, even under a name like ours.
func TestForeignCapturesStay(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	hq := b.lab.Device("hq-asa")
	text := administrator(t, hq, "terminal pager 0", "capture theirs interface outside match ip any any", "capture VB-aaaao interface outside match ip any any", "show capture")
	if n := len(hq.Captures()); n != 2 {
		t.Fatalf("%d captures: %s", n, text)
	}
	names := []string{"aaaa", "aaaa", "bbbb"}
	f := b.newFleet(t, devices.Options{Journal: b.book, Random: func() string {
		n := names[0]
		names = names[1:]
		return n
	}})
	c, err := f.StartCapture(ctx, "hq-asa", spec(t, b, "london-pap", "hq-asa"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.CleanUp(ctx); err != nil {
		t.Fatal(err)
	}
	for _, l := range hq.Executed() {
		if strings.HasPrefix(l.Text, "no capture") && !strings.HasPrefix(l.Text, "no capture VB-bbbb") {
			t.Errorf("%q", l.Text)
		}
	}
	if n := len(hq.Captures()); n != 2 {
		t.Errorf("%d of the 2 foreign captures are left", n)
	}
	if left, err := f.Leftovers(ctx, "hq-asa"); err != nil || len(left) != 1 || left[0] != "VB-aaaao" {
		t.Errorf("leftovers %v %v", left, err)
	}
}

// What is captured on each platform: the filters, the sizes, and what it says when it cannot.
func TestCaptureLines(t *testing.T) {
	ctx := context.Background()
	sent := func(d *emulator.Device, prefix string) []string {
		var out []string
		for _, l := range d.Executed() {
			if strings.HasPrefix(l.Text, prefix) {
				out = append(out, l.Text)
			}
		}
		return out
	}
	start := func(t *testing.T, b *bench, tunnel, device string, change func(*devices.CaptureSpec)) (*devices.Capture, error) {
		t.Helper()
		f := b.newFleet(t, devices.Options{Journal: b.book, Random: func() string { return "abcd" }})
		s := spec(t, b, tunnel, device)
		if change != nil {
			change(&s)
		}
		c, err := f.StartCapture(ctx, device, s)
		if err == nil {
			t.Cleanup(func() {
				if err := c.Remove(ctx); err != nil {
					t.Error(err)
				}
				clean(t, b, device)
			})
		}
		return c, err
	}
	want := func(t *testing.T, got []string, want ...string) {
		t.Helper()
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	t.Run("ASA", func(t *testing.T) {
		b := newBench(t)
		if _, err := start(t, b, "london-pap", "hq-asa", nil); err != nil {
			t.Fatal(err)
		}
		want(t, sent(b.lab.Device("hq-asa"), "capture"),
			"capture VB-abcdo interface outside buffer 4194304 packet-length 1522 match ip host 198.51.100.1 host 203.0.113.10 match icmp any host 198.51.100.1",
			"capture VB-abcdn interface outside buffer 524288 packet-length 1522 match udp any host 198.51.100.1 eq 4500")
	})
	t.Run("ASA as a ring", func(t *testing.T) {
		b := newBench(t)
		if _, err := start(t, b, "london-pap", "hq-asa", func(s *devices.CaptureSpec) { s.Ring = true }); err != nil {
			t.Fatal(err)
		}
		for _, l := range sent(b.lab.Device("hq-asa"), "capture") {
			if !strings.Contains(l, " circular-buffer ") {
				t.Error(l)
			}
		}
	})
	t.Run("ASA behind NAT knows the peer by its public address", func(t *testing.T) {
		b := newBench(t, func(c *inventory.Config) {
			for i := range c.Devices {
				if c.Devices[i].Name == "pap-asa" {
					c.Devices[i].NATAddress = public
				}
			}
		})
		if _, err := start(t, b, "london-pap", "hq-asa", nil); err != nil {
			t.Fatal(err)
		}
		if l := sent(b.lab.Device("hq-asa"), "capture"); !strings.Contains(l[0], "host 198.51.100.1 host "+public.String()) {
			t.Error(l)
		}
	})
	t.Run("IOS by the operator's list", func(t *testing.T) {
		b := newBench(t)
		if _, err := start(t, b, "london-lima", "lima-rtr", nil); err != nil {
			t.Fatal(err)
		}
		want(t, sent(b.lab.Device("lima-rtr"), "monitor"),
			"monitor capture buffer VB-abcdo size 4096 max-size 1518 linear",
			"monitor capture buffer VB-abcdo filter access-list VB-CAP",
			"monitor capture point ip cef VB-abcdoC GigabitEthernet0/0 both",
			"monitor capture point ip process-switched VB-abcdoP both",
			"monitor capture point associate VB-abcdoC VB-abcdo",
			"monitor capture point associate VB-abcdoP VB-abcdo",
			"monitor capture point start VB-abcdoC",
			"monitor capture point start VB-abcdoP")
	})
	t.Run("IOS without a list cannot", func(t *testing.T) {
		b := newBench(t, func(c *inventory.Config) {
			for i := range c.Devices {
				c.Devices[i].CaptureACL = ""
			}
		})
		_, err := start(t, b, "london-lima", "lima-rtr", nil)
		if !errors.Is(err, devices.ErrNoCapture) || !strings.Contains(err.Error(), "cannot capture here") || !strings.Contains(err.Error(), "capture_acl") {
			t.Errorf("%v", err)
		}
		clean(t, b, "lima-rtr")
		want(t, sent(b.lab.Device("lima-rtr"), "monitor"))
	})
	t.Run("IOS XE", func(t *testing.T) {
		b := newBench(t)
		c, err := start(t, b, "london-quito", "quito-rtr", nil)
		if err != nil {
			t.Fatal(err)
		}
		want(t, sent(b.lab.Device("quito-rtr"), "monitor"),
			"monitor capture VB-abcdo interface GigabitEthernet0/0/0 both",
			"monitor capture VB-abcdo match ipv4 host 203.0.113.42 host 198.51.100.1 bidirectional",
			"monitor capture VB-abcdo buffer size 4",
			"monitor capture VB-abcdo limit duration 60",
			"monitor capture VB-abcdo start")
		if len(c.Notes) == 0 || !strings.Contains(c.Notes[0], "ICMP") {
			t.Errorf("what it does not see is not said: %q", c.Notes)
		}
	})
	t.Run("larger than the limit", func(t *testing.T) {
		b := newBench(t)
		c, err := start(t, b, "london-pap", "hq-asa", func(s *devices.CaptureSpec) { s.MaxBytes = 100 })
		if err != nil {
			t.Fatal(err)
		}
		packets(t, b.lab.Device("hq-asa"))
		if _, err := c.Fetch(ctx); err == nil || !strings.Contains(err.Error(), "captures.max_bytes") {
			t.Errorf("%v", err)
		}
	})
}
