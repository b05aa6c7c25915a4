package command

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vpnbot/devices/inventory"
)

var update = flag.Bool("update", false, "write testdata/commands.txt anew")

var (
	own   = netip.MustParseAddr("198.51.100.1")
	peer  = netip.MustParseAddr("203.0.113.10")
	peer6 = netip.MustParseAddr("2001:db8:2::10")
	own6  = netip.MustParseAddr("2001:db8:1::1")
)

// targets are the releases that the issue of a command differs on.
func targets() []Target {
	asa := func(v Version) Target { return Target{Platform: inventory.CiscoASA, Version: v} }
	ios := func(v Version) Target { return Target{Platform: inventory.CiscoIOS, Version: v} }
	return []Target{
		asa(Version{}),
		asa(Version{Major: 7, Minor: 2, Text: "7.2(4)"}),
		asa(Version{Major: 8, Minor: 2, Text: "8.2(5)"}),
		asa(Version{Major: 8, Minor: 4, Text: "8.4(7)"}),
		asa(Version{Major: 9, Minor: 8, Text: "9.8(4)"}),
		ios(Version{}),
		ios(Version{Major: 12, Minor: 4, Text: "12.4(24)T8"}),
		ios(Version{Major: 15, Minor: 2, Text: "15.2(4)M6"}),
		ios(Version{Major: 16, Minor: 9, XE: true, Text: "16.9.5"}),
		ios(Version{Major: 17, Minor: 3, XE: true, Text: "17.3.4a"}),
		{Platform: inventory.CiscoIOS, Version: Version{Major: 15, Minor: 2, Text: "15.2(4)M6"}, VRF: "INTERNET"},
	}
}

type made struct {
	what string
	cmd  Command
}

// everything is all that the constructors make for a target.
func everything(t testing.TB, tg Target) []made {
	t.Helper()
	var out []made
	add := func(what string, err error, cmds ...Command) {
		if err != nil {
			out = append(out, made{what + ": " + err.Error(), Command{}})
		}
		for _, c := range cmds {
			out = append(out, made{what, c})
		}
	}
	add("enable", nil, Enable())
	add("no paging", nil, NoPaging(tg.Platform))
	add("exit", nil, Exit())
	if tg.asa() {
		c, err := ChangeContext(tg, "cust-a")
		add("context", err, c)
	}
	nets := []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("2001:db8:20::/48")}
	for _, name := range EvidenceNames {
		for _, q := range []Query{{}, {Peer: peer}, {Peer: peer, Kind: inventory.EasyVPN}, {Peer: peer6, Kind: inventory.RemoteAccess, Networks: nets, Pools: []string{"VPN-POOL"}}} {
			cmds, err := Evidence(tg, name, q)
			if err != nil {
				t.Fatalf("%+v %s: %v", tg, name, err)
			}
			add("evidence "+name, nil, cmds...)
		}
	}
	c, err := Ping(tg, PingOptions{To: peer, Source: "inside", Count: 3, Size: 1400})
	add("ping", err, c)
	if !tg.asa() {
		c, err = Ping(tg, PingOptions{To: peer, Source: "Gi0/1", Size: 1400, DF: true})
		add("ping DF", err, c)
	} else {
		c, err = PacketTracer(tg, "inside", netip.MustParseAddr("10.1.0.9"), netip.MustParseAddr("10.20.0.9"))
		add("packet-tracer", err, c)
	}
	for _, o := range []CaptureOptions{
		{Filter: PeerTraffic, Own: own, Peer: peer},
		{Filter: PeerTraffic, Own: own6, Peer: peer6, Ring: true},
		{Filter: ClientIKE, Own: own},
		{Filter: NATTraffic, Own: own},
		{Filter: ListTraffic, ACL: "VB-CAP"},
		{Filter: PeerTraffic, Own: own, Peer: peer, ACL: "VB-CAP", Ring: true},
	} {
		o.Name, o.Interface, o.Bytes, o.Duration = "VB-ab12o", "outside", 4<<20, 30*time.Second
		cmds, err := CaptureStart(tg, o)
		add(fmt.Sprintf("capture, filter %d", o.Filter), err, cmds...)
	}
	cmds, err := CaptureStop(tg, "VB-ab12o", "outside")
	add("capture stop", err, cmds...)
	cmds, err = CaptureRemove(tg, "VB-ab12o", "outside")
	add("capture remove", err, cmds...)
	c, err = CaptureDump(tg, "VB-ab12o")
	add("capture dump", err, c)
	for _, kind := range []string{kindIKESA, kindIPsecSA, kindSession} {
		for _, p := range []ClearParams{{Peer: peer}, {Peer: peer6, IKE: 2}, {Peer: peer, ConnID: 1007}, {Peer: peer, Index: 41}} {
			c, err := Clear(tg, kind, p)
			if err != nil {
				add(kind, err)
				continue
			}
			add(kind, nil, c)
		}
	}
	return out
}

// Every line that can be made is written down per release: what may be sent to a device
// is reviewed there, and a new line shows as a difference.
func TestAllCommands(t *testing.T) {
	var b strings.Builder
	for _, tg := range targets() {
		v := tg.Version.Text
		if v == "" {
			v = "version not known"
		}
		fmt.Fprintf(&b, "== %s %s", tg.Platform, v)
		if tg.VRF != "" {
			fmt.Fprintf(&b, ", vrf %s", tg.VRF)
		}
		b.WriteString("\n")
		seen := map[string]bool{}
		for _, m := range everything(t, tg) {
			line := fmt.Sprintf("%-9s %s\n", m.cmd.Effect(), m.cmd.Line())
			if m.cmd.IsZero() {
				line = fmt.Sprintf("%-9s %s\n", "none", m.what)
			}
			if !seen[line] {
				b.WriteString(line)
			}
			seen[line] = true
		}
	}
	const file = "testdata/commands.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")); diff != "" {
		t.Errorf("commands differ from %s (-update writes it):\n%s", file, diff)
	}
}

// The two guards agree on every line that can be made: allowed, and of the same effect.
func TestGuardAllowsWhatIsMade(t *testing.T) {
	for _, tg := range targets() {
		for _, m := range everything(t, tg) {
			if m.cmd.IsZero() {
				continue
			}
			disrupts, err := AllowedDisruptive(tg.Platform, m.cmd.Line())
			if err != nil {
				t.Errorf("%s: %v", m.what, err)
			}
			if disrupts != (m.cmd.Effect() == Disrupts) {
				t.Errorf("%q: made as %v, the guard says disruptive %v", m.cmd.Line(), m.cmd.Effect(), disrupts)
			}
		}
	}
}

// What must never be written, however it came about.
func TestGuardRefuses(t *testing.T) {
	both := []string{
		"", " ", "show", "s", "reload", "reload noconfirm", "write memory", "write erase", "configure terminal", "conf t", "config t",
		"copy running-config startup-config", "erase nvram:", "delete flash:x", "debug crypto isakmp", "undebug all", "no debug all",
		"shutdown", "disable", "end", "telnet 203.0.113.10", "ssh -l x 203.0.113.10", "more system:running-config", "show running-config",
		"show startup-config", "show tech-support", "terminal pager 24", "terminal monitor", "crypto map x 1 set peer 203.0.113.10",
		"no crypto map x", "access-list x permit ip any any", "username x password y", "failover active", "no failover active",
		// clears without a peer, and with everything
		"clear", "clear crypto", "clear crypto isakmp", "clear crypto isakmp sa", "clear crypto ikev1 sa", "clear crypto ikev2 sa", "clear crypto ipsec sa",
		"clear crypto ipsec sa peer", "clear crypto sa", "clear crypto sa peer", "clear crypto session", "clear crypto session remote", "clear crypto sa counters",
		"clear crypto ipsec sa counters", "clear isakmp sa", "clear ipsec sa", "clear xlate", "clear local-host", "clear conn", "clear capture VB-abcdo", "clear arp",
		"clear configure all", "clear configure access-list x", "clear crypto ikev2 sa fast", "clear crypto ipsec sa map x", "clear crypto ipsec sa entry 203.0.113.10 esp 1",
		"vpn-sessiondb logoff all", "vpn-sessiondb logoff all noconfirm", "vpn-sessiondb logoff l2l noconfirm", "vpn-sessiondb logoff ipaddress noconfirm", "vpn-sessiondb logoff index noconfirm", "vpn-sessiondb logoff index 0 noconfirm", "vpn-sessiondb logoff index all noconfirm", "vpn-sessiondb logoff index 41", "vpn-sessiondb logoff index 4 1 noconfirm",
		"vpn-sessiondb logoff name x noconfirm", "vpn-sessiondb logoff tunnel-group x noconfirm",
		// peers that are no one host
		"clear crypto isakmp sa 0.0.0.0", "clear crypto isakmp sa 255.255.255.255", "clear crypto isakmp sa 224.0.0.1", "clear crypto isakmp sa 127.0.0.1",
		"clear crypto isakmp sa 203.0.113.0/24", "clear crypto isakmp sa 203.0.113", "clear crypto isakmp sa 203.0.113.010", "clear crypto isakmp sa 203.0.113.10.",
		"clear crypto isakmp sa 0xcb00710a", "clear crypto isakmp sa 3405803786", "clear crypto isakmp sa any", "clear crypto isakmp sa peer-name", "clear crypto isakmp sa ::",
		"clear crypto ikev2 sa ::ffff:203.0.113.10", "clear crypto ikev2 sa fe80::1%outside", "clear crypto ikev2 sa ff02::1", "clear crypto ikev2 sa 2001:DB8::1",
		"clear crypto ipsec sa peer 203.0.113.10 203.0.113.11", "clear crypto isakmp sa 203.0.113.10 detail",
		// a second line or command in the first
		"show clock\nreload", "show clock\rreload", "show clock\r\nreload", "show clock\x00reload", "show clock;reload", "show clock\x1b[A", "show clock\x08\x08", "show clock\x7f",
		"show clock\x03reload", "show clock\x1areload", "show clock\x15reload", "show clock\treload", "show clock\u0085reload", "show clock\u2028reload",
		"clear crypto isakmp sa 203.0.113.10\n", "\nclear crypto isakmp sa 203.0.113.10", "clear crypto isakmp sa\n203.0.113.10",
		// words that only look right
		"show сlock", "show clock\u200b", "ｓhow clock", "show\u00a0clock", "show  clock", " show clock", "show clock ", "show clock?", "show c?", "SHOW CLOCK", "Show clock",
		"clear crypto isakmp sa 203.0.113.1٠", "clear crypto isakmp sa 203.0.113.10\u202e",
		// abbreviations: what they mean depends on the image
		"sh clock", "cl cr isa sa 203.0.113.10", "clear crypto isa sa 203.0.113.10", "ter pag 0", "en", "ex",
		// output that goes somewhere
		"show clock | redirect flash:x", "show clock | tee flash:x", "show clock | append flash:x", "show logging | redirect tftp://203.0.113.10/x",
		"show logging | include a | redirect flash:x", "show logging | include a |redirect flash:x", "show logging | include a| redirect flash:x", "show logging | include",
		"show logging | include a > flash:x", "show logging | include ", "show logging | include \"a\"", "show logging | include $(reload)", "show logging | include `reload`",
		// captures of others, and other forms of our own
		"no capture other", "no capture vb-abcdo", "no capture VB-", "no capture VB-abcdefg", "no capture VB-ABCDO", "no capture VB-abcdo interface", "no capture VB-abcdo VB-x",
		"capture other interface outside", "capture VB-abcdo type asp-drop all", "capture VB-abcdo interface outside buffer 1 packet-length 1", "no monitor capture other",
		"monitor capture other start", "capture VB-abcdo interface outside buffer 4194304 packet-length 1522 match ip any any",
		"show capture other dump", "copy /pcap capture:VB-abcdo tftp://203.0.113.10/x", "monitor capture VB-abcdo export tftp://203.0.113.10/x",
		strings.Repeat("a", 400), "show crypto ipsec sa peer " + strings.Repeat("2", 400),
	}
	for _, p := range []inventory.Platform{inventory.CiscoASA, inventory.CiscoIOS} {
		for _, l := range both {
			if err := Allowed(p, l); !errors.Is(err, ErrNotAllowed) {
				t.Errorf("%s: %q: %v", p, l, err)
			}
		}
	}
	for p, lines := range map[inventory.Platform][]string{
		inventory.CiscoIOS: {"clear crypto isakmp sa 203.0.113.10", "clear crypto isakmp 0", "clear crypto isakmp 01", "clear crypto isakmp -1", "clear crypto isakmp 1001 active",
			"clear crypto isakmp 99999999999", "clear crypto isakmp 1 2", "terminal pager 0", "changeto context x", "vpn-sessiondb logoff ipaddress 203.0.113.10 noconfirm", "ping 203.0.113.10"},
		inventory.CiscoASA: {"clear crypto sa peer 203.0.113.10", "clear crypto isakmp 7", "clear crypto session remote 203.0.113.10", "terminal length 0", "changeto system", "changeto context",
			"changeto context -x", "vpn-sessiondb logoff ipaddress 203.0.113.10", "ping 203.0.113.10"},
		"": {"show clock"}, "cisco_nxos": {"show clock"},
	} {
		for _, l := range lines {
			if err := Allowed(p, l); !errors.Is(err, ErrNotAllowed) {
				t.Errorf("%s: %q: %v", p, l, err)
			}
		}
	}
}

// bad are strings that must not become a part of a line anywhere.
var bad = []string{"", " ", "a b", "a\nreload", "a\rreload", "a;reload", "a|reload", "a>b", "a?", "a\"b", "a'b", "a\x00", "a\x1b[A", "a\x7f", "a\u2028b", "оutside", "out\u200bside",
	"-x", ".x", "/x", ":x", "a\\b", "$(x)", "`x`", "a,b", "a*", strings.Repeat("x", 49), "inside host", "out side"}

func TestConstructorsRefuse(t *testing.T) {
	asa, ios := targets()[2], targets()[7]
	refused := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	for _, s := range bad {
		_, err := Ping(asa, PingOptions{To: peer, Source: s})
		refused(fmt.Sprintf("ping source %q", s), err)
		_, err = PacketTracer(asa, s, own, peer)
		refused(fmt.Sprintf("packet-tracer interface %q", s), err)
		_, err = ChangeContext(asa, s)
		refused(fmt.Sprintf("context %q", s), err)
		_, err = Evidence(asa, "pools", Query{Pools: []string{s}})
		refused(fmt.Sprintf("pool %q", s), err)
		_, err = Evidence(asa, s, Query{})
		refused(fmt.Sprintf("evidence %q", s), err)
		for _, tg := range []Target{asa, ios} {
			o := CaptureOptions{Name: "VB-ab12o", Interface: "outside", Own: own, Peer: peer, Bytes: 1 << 20, ACL: "VB-CAP"}
			for _, change := range []func(*CaptureOptions){
				func(o *CaptureOptions) { o.Name = s },
				func(o *CaptureOptions) { o.Interface = s },
				func(o *CaptureOptions) { o.ACL, o.Filter = s, ListTraffic },
			} {
				c := o
				change(&c)
				_, err := CaptureStart(tg, c)
				refused(fmt.Sprintf("capture %+v", c), err)
			}
			_, err = CaptureStop(tg, s, "outside")
			refused(fmt.Sprintf("capture stop %q", s), err)
			_, err = CaptureRemove(tg, "VB-ab12o", s)
			refused(fmt.Sprintf("capture remove on %q", s), err)
			_, err = CaptureDump(tg, s)
			refused(fmt.Sprintf("capture dump %q", s), err)
		}
		if s != "" {
			_, err = Evidence(Target{Platform: inventory.CiscoIOS, VRF: s}, "clock", Query{})
			refused(fmt.Sprintf("vrf %q", s), err)
			_, err = CaptureName(s, "o")
			refused(fmt.Sprintf("capture name of %q", s), err)
		}
		for _, kind := range []string{kindIKESA, kindIPsecSA, kindSession} {
			_, err = FromProposal(asa, kind, map[string]string{"peer": s}, peer)
			refused(fmt.Sprintf("%s of %q", kind, s), err)
			_, err = FromProposal(ios, kind, map[string]string{"peer": peer.String(), "conn_id": s}, peer)
			refused(fmt.Sprintf("%s with connection id %q", kind, s), err)
			_, err = FromProposal(asa, kind, map[string]string{"peer": peer.String(), "index": s, "session": "x"}, peer)
			refused(fmt.Sprintf("%s with index %q", kind, s), err)
		}
		_, err = Clear(asa, s, ClearParams{Peer: peer})
		refused(fmt.Sprintf("kind %q", s), err)
	}
	for _, a := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("224.0.0.5"),
		netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("fe80::1%outside"), netip.MustParseAddr("::ffff:203.0.113.10")} {
		for _, tg := range []Target{asa, ios} {
			for _, kind := range []string{kindIKESA, kindIPsecSA, kindSession} {
				_, err := Clear(tg, kind, ClearParams{Peer: a, ConnID: 7})
				refused(fmt.Sprintf("%s of %v", kind, a), err)
			}
			_, err := CaptureStart(tg, CaptureOptions{Name: "VB-ab12o", Interface: "outside", Own: own, Peer: a, Bytes: 1 << 20})
			refused(fmt.Sprintf("capture with peer %v", a), err)
			_, err = Ping(tg, PingOptions{To: a, Source: "inside"})
			refused(fmt.Sprintf("ping to %v", a), err)
		}
	}
	for name, p := range map[string]map[string]string{
		"a peer that is no tunnel's end": {"peer": "203.0.113.99"},
		"a peer written otherwise":       {"peer": "203.0.113.010"},
		"an unknown parameter":           {"peer": peer.String(), "all": "yes"},
		"IKE version 3":                  {"peer": peer.String(), "ike": "3"},
		"no parameters":                  nil,
	} {
		_, err := FromProposal(asa, kindIKESA, p, peer)
		refused(name, err)
	}
	_, err := FromProposal(asa, kindIKESA, map[string]string{"peer": peer.String()})
	refused("a peer although the inventory knows none", err)
	_, err = FromProposal(asa, kindSession, map[string]string{"peer": peer.String(), "index": "41"}, peer)
	refused("an index that is nobody's", err)
	_, err = FromProposal(asa, kindSession, map[string]string{"index": "41", "session": "x"}, peer)
	refused("an index without a peer", err)
	_, err = Clear(asa, kindIKESA, ClearParams{Peer: peer, Index: 41})
	refused("an SA by index", err)
	_, err = Clear(ios, kindSession, ClearParams{Peer: peer, Index: 41})
	refused("an index on IOS", err)
	_, err = Clear(ios, kindIKESA, ClearParams{Peer: peer})
	refused("an IKEv1 clear on IOS without a connection id", err)
	_, err = Ping(asa, PingOptions{To: peer, Source: "inside", DF: true})
	refused("DF on an ASA", err)
	for _, size := range []int{35, 18025, -1} {
		_, err = Ping(ios, PingOptions{To: peer, Source: "Gi0/1", Size: size})
		refused(fmt.Sprintf("size %d", size), err)
	}
	for _, n := range []int64{0, 1, 33 << 20, -1} {
		_, err = CaptureStart(asa, CaptureOptions{Name: "VB-ab12o", Interface: "outside", Own: own, Peer: peer, Bytes: n})
		refused(fmt.Sprintf("buffer of %d bytes", n), err)
	}
	if _, err := Evidence(Target{Platform: inventory.CiscoASA, VRF: "x"}, "clock", Query{}); err == nil {
		t.Error("a VRF on an ASA was taken")
	}
}

// Classic IOS filters by access list only: without the operator's list it says so.
func TestClassicIOSNeedsAList(t *testing.T) {
	_, err := CaptureStart(targets()[6], CaptureOptions{Name: "VB-ab12o", Interface: "FastEthernet4", Own: own, Peer: peer, Bytes: 1 << 20})
	if err == nil || !strings.Contains(err.Error(), "cannot capture here") || !strings.Contains(err.Error(), "capture_acl") {
		t.Errorf("%v", err)
	}
}

func FuzzAllowed(f *testing.F) {
	for _, tg := range targets() {
		for _, m := range everything(f, tg) {
			f.Add(m.cmd.Line())
		}
	}
	f.Add("clear crypto isakmp sa 203.0.113.10\nreload")
	f.Add("show logging | include a|b | redirect x")
	f.Fuzz(func(t *testing.T, line string) {
		for _, p := range []inventory.Platform{inventory.CiscoASA, inventory.CiscoIOS} {
			disrupts, err := AllowedDisruptive(p, line)
			if err != nil {
				continue
			}
			words := strings.Split(line, " ")
			for _, r := range line {
				if r < ' ' || r > '~' {
					t.Fatalf("%q holds %q", line, r)
				}
			}
			if strings.Count(line, " | ") > 1 || strings.Contains(line, ">") {
				t.Fatalf("%q: a second filter or a redirection", line)
			}
			first := words[0]
			if disrupts != (first == "clear" || first == "vpn-sessiondb") {
				t.Fatalf("%q: disruptive %v", line, disrupts)
			}
			if disrupts {
				last := words[len(words)-1]
				if last == "noconfirm" {
					last = words[len(words)-2]
				}
				a, err := netip.ParseAddr(last)
				byIndex := p == inventory.CiscoASA && len(words) == 5 && words[2] == "index" && strings.Trim(last, "0123456789") == ""
				byID := byIndex || p == inventory.CiscoIOS && len(words) == 4 && words[2] == "isakmp" && strings.Trim(last, "0123456789") == ""
				if !byID && (err != nil || a.IsUnspecified() || a.String() != last) {
					t.Fatalf("%q clears without one peer", line)
				}
			}
			switch first {
			case "show", "clear", "vpn-sessiondb", "enable", "exit", "terminal", "changeto", "ping", "packet-tracer", "capture", "monitor", "no":
			default:
				t.Fatalf("%q begins with a word that nothing needs", line)
			}
			if (first == "capture" || first == "no" || first == "monitor") && !strings.Contains(line, "VB-") {
				t.Fatalf("%q is not about a capture of ours", line)
			}
		}
	})
}

func TestParseVersion(t *testing.T) {
	for _, tc := range []struct {
		p    inventory.Platform
		text string
		want Version
	}{
		{inventory.CiscoASA, "\nCisco Adaptive Security Appliance Software Version 8.2(5) \nDevice Manager Version 6.4(5)\n", Version{Major: 8, Minor: 2, Text: "8.2(5)"}},
		{inventory.CiscoASA, "Cisco PIX Security Appliance Software Version 7.2(4)\n", Version{Major: 7, Minor: 2, Text: "7.2(4)"}},
		{inventory.CiscoASA, "Cisco Adaptive Security Appliance Software Version 9.16(4)27 \n", Version{Major: 9, Minor: 16, Text: "9.16(4)27"}},
		{inventory.CiscoIOS, "Cisco IOS Software, C870 Software (C870-ADVIPSERVICESK9-M), Version 12.4(24)T8, RELEASE SOFTWARE (fc1)\n", Version{Major: 12, Minor: 4, Text: "12.4(24)T8"}},
		{inventory.CiscoIOS, "Cisco IOS XE Software, Version 16.09.05\nCisco IOS Software [Fuji], ISR Software (X86_64_LINUX_IOSD-UNIVERSALK9-M), Version 16.9.5, RELEASE SOFTWARE (fc1)\n", Version{Major: 16, Minor: 9, XE: true, Text: "16.09.05"}},
		{inventory.CiscoIOS, "Cisco IOS Software, IOS-XE Software (X86_64_LINUX_IOSD-UNIVERSALK9-M), Version 15.2(4)S, RELEASE SOFTWARE\n", Version{Major: 15, Minor: 2, XE: true, Text: "15.2(4)S"}},
		{inventory.CiscoIOS, "Cisco Adaptive Security Appliance Software Version 8.2(5)\n", Version{}},
		{inventory.CiscoASA, "", Version{}},
		{inventory.CiscoASA, "Version 99999999999999999999.1", Version{}},
	} {
		if got := ParseVersion(tc.p, tc.text); got != tc.want {
			t.Errorf("%q: %+v, want %+v", tc.text, got, tc.want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("Cisco Adaptive Security Appliance Software Version 8.2(5)")
	f.Add("Cisco IOS Software, X, Version 15.2(4)M6, RELEASE")
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range []inventory.Platform{inventory.CiscoASA, inventory.CiscoIOS} {
			if v := ParseVersion(p, s); v.Known() && v.Text == "" {
				t.Fatalf("%q: %+v", s, v)
			}
		}
	})
}
