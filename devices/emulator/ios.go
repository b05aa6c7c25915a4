package emulator

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func iosGrammar(privileged, xe bool) *grammar {
	g := newGrammar()
	g.add("exit|quit|logout", func(s *session, a args) string { s.quit = true; return "" })
	g.add("enable", func(s *session, a args) string {
		if !s.privileged {
			s.dialog = (*session).enable
		}
		return ""
	})
	g.add("terminal length <int:lines>", setPager)
	g.add("terminal width <int:columns>", func(s *session, a args) string { s.width = a.int("columns", 80); return "" })
	g.add("show clock [detail]", func(s *session, a args) string { return s.dev.clock() + "\n" })
	g.add("show version", iosVersion)
	g.add("show privilege", func(s *session, a args) string {
		lvl := 1
		if s.privileged {
			lvl = 15
		}
		return fmt.Sprintf("Current privilege level is %d\n", lvl)
	})
	g.add("show users", iosUsers)
	g.add("ping <rest:what>", iosPing)
	if !privileged {
		return g
	}
	g.add("disable", func(s *session, a args) string { s.privileged = false; return "" })
	g.add("configure terminal", func(s *session, a args) string {
		s.config = "config"
		return "Enter configuration commands, one per line.  End with CNTL/Z.\n"
	})
	g.add("show ssh", iosUsers)
	g.add("show processes cpu", iosCPU)
	g.add("show processes cpu sorted", iosCPU)
	g.add("show processes memory", iosMemory)
	g.add("show memory statistics", iosMemory)
	g.add("show memory summary", iosMemory)
	g.add("show logging", iosLogging)
	g.add("show ip interface brief", iosInterfaces)
	g.add("show ip route", func(s *session, a args) string { return s.dev.iosRoutes(netip.Addr{}) })
	g.add("show ip route <ip:to>", func(s *session, a args) string { return s.dev.iosRoutes(a.ip("to")) })
	g.add("show ip nat translations", func(s *session, a args) string {
		return "Pro Inside global      Inside local       Outside local      Outside global\n"
	})
	g.add("show access-lists", func(s *session, a args) string { return s.dev.iosACLs("") })
	g.add("show access-lists <word:name>", func(s *session, a args) string { return s.dev.iosACLs(a["name"]) })
	g.add("show ip access-lists", func(s *session, a args) string { return s.dev.iosACLs("") })
	g.add("show ip access-lists <word:name>", func(s *session, a args) string { return s.dev.iosACLs(a["name"]) })
	g.add("show running-config", func(s *session, a args) string { return s.dev.iosRunning(nil) })
	g.add("show running-config <rest:section>", func(s *session, a args) string { return s.dev.iosRunning(strings.Fields(a["section"])) })
	g.add("show startup-config", func(s *session, a args) string { return s.dev.iosRunning(nil) })
	g.add("show redundancy", func(s *session, a args) string {
		return "Redundant System Information :\n------------------------------\n       Available system uptime = " + words(s.dev.lab.now().Sub(s.dev.booted)) + "\n                 Hardware Mode = Simplex\n"
	})
	g.add("show ip local pool [<word:name>]", func(s *session, a args) string { return "" })
	g.add("show aaa servers", func(s *session, a args) string { return "" })
	g.add("show crypto pki certificates", func(s *session, a args) string { return "" })
	g.add("show platform cerm-information", func(s *session, a args) string {
		return "Crypto Export Restrictions Manager(CERM) Information:\n CERM functionality: DISABLED\n"
	})

	g.add("show crypto isakmp sa", func(s *session, a args) string { return s.dev.iosIsakmp(false) })
	g.add("show crypto isakmp sa detail", func(s *session, a args) string { return s.dev.iosIsakmp(true) })
	g.add("show crypto isakmp policy", iosPolicy)
	g.add("show crypto isakmp key", iosKeys)
	g.add("show crypto isakmp peers", func(s *session, a args) string { return s.dev.iosPeers() })
	g.add("show crypto ikev2 sa [detailed]", func(s *session, a args) string { return s.dev.iosIKEv2(netip.Addr{}) })
	g.add("show crypto ikev2 sa remote <ip:peer> [detailed]", func(s *session, a args) string { return s.dev.iosIKEv2(a.ip("peer")) })
	g.add("show crypto ipsec sa [detail]", func(s *session, a args) string { return s.dev.iosIPsec(netip.Addr{}) })
	g.add("show crypto ipsec sa peer <ip:peer> [detail]", func(s *session, a args) string { return s.dev.iosIPsec(a.ip("peer")) })
	g.add("show crypto session", func(s *session, a args) string { return s.dev.iosSession(netip.Addr{}, false) })
	g.add("show crypto session detail", func(s *session, a args) string { return s.dev.iosSession(netip.Addr{}, true) })
	g.add("show crypto session remote <ip:peer>", func(s *session, a args) string { return s.dev.iosSession(a.ip("peer"), false) })
	g.add("show crypto session remote <ip:peer> detail", func(s *session, a args) string { return s.dev.iosSession(a.ip("peer"), true) })
	g.add("show crypto map", iosMap)
	if xe {
		g.add("show crypto ikev2 diagnose error", func(s *session, a args) string {
			return "Exit-path History depth: 100, entries recorded 0, dropped 0\n"
		})
		xeCaptures(g)
	} else {
		classicCaptures(g)
	}

	all := func(s *session, a args) string { s.dev.clearAll(); return "" }
	one := func(s *session, a args) string { s.dev.clearPeer(a.ip("peer")); return "" }
	g.add("clear crypto isakmp", all)
	g.add("clear crypto isakmp <int:conn>", func(s *session, a args) string {
		for _, e := range s.dev.ends {
			e.t.settle()
			if e.t.lists(e.i) && e.t.conn[e.i] == a.int("conn", -1) {
				e.t.clear(e.i)
			}
		}
		return ""
	})
	g.add("clear crypto ikev2 sa", all)
	g.add("clear crypto ikev2 sa remote <ip:peer>", one)
	g.add("clear crypto sa", all)
	g.add("clear crypto sa counters", func(s *session, a args) string { return "" })
	g.add("clear crypto sa peer <ip:peer>", func(s *session, a args) string {
		for _, e := range s.dev.ends {
			e.t.settle()
			if e.remote() == a.ip("peer") && e.t.carries(e.i) {
				e.t.clear(e.i)
			}
		}
		return ""
	})
	g.add("clear crypto session", all)
	g.add("clear crypto session remote <ip:peer>", one)
	g.add("clear crypto session remote <ip:peer> port <int:port>", one)
	g.add("delete /force <word:file>", func(s *session, a args) string { return "" })
	g.add("write memory", func(s *session, a args) string { return "Building configuration...\n[OK]\n" })
	return g
}

func iosVersion(s *session, a args) string {
	d := s.dev
	up := d.lab.now().Sub(d.booted)
	var b strings.Builder
	if d.spec.XE {
		fmt.Fprintf(&b, "Cisco IOS XE Software, Version %s\nCisco IOS Software [Fuji], %s Software (X86_64_LINUX_IOSD-UNIVERSALK9-M), Version %s, RELEASE SOFTWARE (fc1)\n", padded(d.spec.Version), d.spec.Model, d.spec.Version)
	} else {
		fmt.Fprintf(&b, "Cisco IOS Software, C2900 Software (C2900-UNIVERSALK9-M), Version %s, RELEASE SOFTWARE (fc2)\n", d.spec.Version)
	}
	b.WriteString("Technical Support: http://www.cisco.com/techsupport\nCopyright (c) 1986-2019 by Cisco Systems, Inc.\n\nROM: System Bootstrap\n\n")
	fmt.Fprintf(&b, "%s uptime is %s\nSystem returned to ROM by reload\nSystem image file is \"flash0:%s-universalk9-mz.SPA.bin\"\n\n", d.hostname(), words(up), strings.ToLower(d.spec.Model))
	fmt.Fprintf(&b, "cisco %s (revision 1.0) with 2023488K/73664K bytes of memory.\nProcessor board ID FTX%08d\n3 Gigabit Ethernet interfaces\n1 terminal line\n1 Virtual Private Network (VPN) Module\n255K bytes of non-volatile configuration memory.\n\nConfiguration register is 0x2102\n", d.spec.Model, len(d.spec.Name)*771177)
	return b.String()
}

// padded is 16.9.5 as IOS XE's first line has it: 16.09.05.
func padded(v string) string {
	parts := strings.Split(v, ".")
	for i, p := range parts {
		if len(p) == 1 {
			parts[i] = "0" + p
		}
	}
	return strings.Join(parts, ".")
}

func words(v time.Duration) string {
	m := int(v.Minutes())
	w, dd, h := m/10080, m/1440%7, m/60%24
	var p []string
	for _, x := range []struct {
		n    int
		unit string
	}{{w, "week"}, {dd, "day"}, {h, "hour"}, {m % 60, "minute"}} {
		if x.n == 1 {
			p = append(p, fmt.Sprintf("1 %s", x.unit))
		} else if x.n > 1 {
			p = append(p, fmt.Sprintf("%d %ss", x.n, x.unit))
		}
	}
	if len(p) == 0 {
		return "0 minutes"
	}
	return strings.Join(p, ", ")
}

func iosUsers(s *session, a args) string {
	var b strings.Builder
	b.WriteString("    Line       User       Host(s)              Idle       Location\n")
	s.dev.mu.Lock()
	n := len(s.dev.conns)
	s.dev.mu.Unlock()
	for i := range n {
		fmt.Fprintf(&b, "   %3d vty %d     %-10s idle                 00:00:00 %s\n", 388+i, i, s.user, s.remote())
	}
	return b.String()
}

func iosCPU(s *session, a args) string {
	return "CPU utilization for five seconds: 6%/1%; one minute: 5%; five minutes: 5%\n PID Runtime(ms)     Invoked      uSecs   5Sec   1Min   5Min TTY Process \n   1          24         313         76  0.00%  0.00%  0.00%   0 Chunk Manager    \n 244       91020      402211        226  0.40%  0.31%  0.30%   0 Crypto IKMP      \n"
}

func iosMemory(s *session, a args) string {
	return "                Head    Total(b)     Used(b)     Free(b)   Lowest(b)  Largest(b)\nProcessor   30A4E020   1493048288   206121904   1286926384   1284001120   1281930044\n      I/O    E000000    67108864    38011288    29097576    29008960    29067452\n"
}

func iosLogging(s *session, a args) string {
	d := s.dev
	d.settle()
	var b strings.Builder
	fmt.Fprintf(&b, `Syslog logging: enabled (0 messages dropped, 3 messages rate-limited, 0 flushes, 0 overruns, xml disabled, filtering disabled)

No Active Message Discriminator.



No Inactive Message Discriminator.


    Console logging: level debugging, %[1]d messages logged, xml disabled,
                     filtering disabled
    Monitor logging: level debugging, 0 messages logged, xml disabled,
                     filtering disabled
    Buffer logging:  level informational, %[1]d messages logged, xml disabled,
                     filtering disabled
    Exception Logging: size (4096 bytes)
    Count and timestamp logging messages: disabled
    Persistent logging: disabled

No active filter modules.

    Trap logging: level informational, %[1]d message lines logged

Log Buffer (65536 bytes):

`, d.logged)
	for _, l := range d.log {
		b.WriteString(l + "\n")
	}
	return b.String()
}

func iosInterfaces(s *session, a args) string {
	var b strings.Builder
	b.WriteString("Interface                  IP-Address      OK? Method Status                Protocol\n")
	for _, f := range s.dev.spec.Interfaces {
		fmt.Fprintf(&b, "%-26s %-15s YES NVRAM  up                    up      \n", f.Name, f.Address.Addr())
	}
	return b.String()
}

func (d *Device) iosRoutes(to netip.Addr) string {
	gw := netip.Addr{}
	for _, f := range d.spec.Interfaces {
		if f.Gateway.IsValid() {
			gw = f.Gateway
		}
	}
	if to.IsValid() {
		for _, f := range d.spec.Interfaces {
			if f.Address.Contains(to) {
				return fmt.Sprintf("Routing entry for %s\n  Known via \"connected\", distance 0, metric 0 (connected, via interface)\n  Routing Descriptor Blocks:\n  * directly connected, via %s\n      Route metric is 0, traffic share count is 1\n", f.Address.Masked(), f.Name)
			}
		}
		return fmt.Sprintf("Routing entry for 0.0.0.0/0, supernet\n  Known via \"static\", distance 1, metric 0, candidate default path\n  Routing Descriptor Blocks:\n  * %s\n      Route metric is 0, traffic share count is 1\n", gw)
	}
	var b strings.Builder
	b.WriteString(`Codes: L - local, C - connected, S - static, R - RIP, M - mobile, B - BGP
       D - EIGRP, EX - EIGRP external, O - OSPF, IA - OSPF inter area 
       N1 - OSPF NSSA external type 1, N2 - OSPF NSSA external type 2
       E1 - OSPF external type 1, E2 - OSPF external type 2
       i - IS-IS, su - IS-IS summary, L1 - IS-IS level-1, L2 - IS-IS level-2
       ia - IS-IS inter area, * - candidate default, U - per-user static route
       o - ODR, P - periodic downloaded static route, + - replicated route

`)
	fmt.Fprintf(&b, "Gateway of last resort is %s to network 0.0.0.0\n\nS*    0.0.0.0/0 [1/0] via %s\n", gw, gw)
	for _, f := range d.spec.Interfaces {
		fmt.Fprintf(&b, "C        %s is directly connected, %s\nL        %s/32 is directly connected, %s\n", f.Address.Masked(), f.Name, f.Address.Addr(), f.Name)
	}
	return b.String()
}

func (d *Device) iosACLs(only string) string {
	d.settle()
	var b strings.Builder
	in, n := false, 0
	for _, l := range d.config {
		if name, ok := strings.CutPrefix(l, "ip access-list extended "); ok {
			in, n = only == "" || name == only, 0
			if in {
				fmt.Fprintf(&b, "Extended IP access list %s\n", name)
			}
			continue
		}
		if !strings.HasPrefix(l, " ") {
			in = false
		}
		if in {
			n += 10
			hits := ""
			for _, e := range d.ends {
				if strings.Contains(l, "permit ip "+e.localNet().addr()+" "+e.localNet().wild()+" "+e.remoteNet().addr()) {
					hits = fmt.Sprintf(" (%d matches)", e.encaps()+17)
				}
			}
			fmt.Fprintf(&b, "    %d %s%s\n", n, strings.Join(strings.Fields(l), " "), hits)
		}
	}
	return b.String()
}

// iosRunning prints the configuration with its keys, as IOS does, or a part of it.
func (d *Device) iosRunning(words []string) string {
	if len(words) > 0 && strings.HasPrefix("interface", words[0]) && len(words) > 1 {
		return "Building configuration...\n\nCurrent configuration : 212 bytes\n!\n" + section(d.config, []string{"interface", strings.Join(words[1:], " ")}, false) + "end\n\n"
	}
	body := strings.Join(d.config, "\n") + "\n"
	return fmt.Sprintf("Building configuration...\n\nCurrent configuration : %d bytes\n", len(body)) + body + "\n"
}

func (d *Device) iosIsakmp(detail bool) string {
	d.settle()
	now := d.lab.now()
	var b strings.Builder
	if detail {
		b.WriteString(`Codes: C - IKE configuration mode, D - Dead Peer Detection
       K - Keepalives, N - NAT-traversal
       T - cTCP encapsulation, X - IKE Extended Authentication
       psk - Preshared key, rsig - RSA signature
       renc - RSA encryption
IPv4 Crypto ISAKMP SA

C-id  Local           Remote          I-VRF  Status Encr Hash   Auth DH Lifetime Cap.

`)
		for _, e := range d.ends {
			if e.t.spec.IKE != 1 || !e.t.lists(e.i) {
				continue
			}
			life, status := "0       ", "ACTIVE"
			if e.t.state != Stuck {
				r := remaining(86400, e.age())
				life = fmt.Sprintf("%02d:%02d:%02d", r/3600, r/60%60, r%60)
			}
			fmt.Fprintf(&b, "%-5d %-15s %-15s        %s aes  sha    psk  %-2s %s     \n       Engine-id:Conn-id =  SW:%d\n\n", e.t.conn[e.i], e.local(), e.remote(), status, or(e.t.spec.Group, "2"), life, e.t.conn[e.i]-1000)
		}
		b.WriteString("IPv6 Crypto ISAKMP SA\n\n")
		return b.String()
	}
	b.WriteString("IPv4 Crypto ISAKMP SA\ndst             src             state          conn-id status\n")
	for _, e := range d.ends {
		if e.t.spec.IKE != 1 {
			continue
		}
		dst, src := e.local(), e.remote()
		if e.initiates() {
			dst, src = src, dst
		}
		if e.t.lists(e.i) {
			state := "QM_IDLE"
			if e.t.state == Stuck {
				state = e.stuckState()
			}
			fmt.Fprintf(&b, "%-15s %-15s %-14s %7d ACTIVE\n", dst, src, state, e.t.conn[e.i])
		}
		if now.Before(e.t.deleted[e.i]) {
			fmt.Fprintf(&b, "%-15s %-15s %-14s %7d ACTIVE (deleted)\n", dst, src, "MM_NO_STATE", e.t.dying[e.i])
		}
	}
	b.WriteString("\nIPv6 Crypto ISAKMP SA\n\n")
	return b.String()
}

func iosPolicy(s *session, a args) string {
	return `
Global IKE policy
Protection suite of priority 10
	encryption algorithm:	AES - Advanced Encryption Standard (256 bit keys).
	hash algorithm:		Secure Hash Standard
	authentication method:	Pre-Shared Key
	Diffie-Hellman group:	#5 (1536 bit)
	lifetime:		86400 seconds, no volume limit
`
}

var iosKeyLine = regexp.MustCompile(`^crypto isakmp key (\S+) address (\S+)`)

func iosKeys(s *session, a args) string {
	var b strings.Builder
	b.WriteString("Keyring      Hostname/Address                            Preshared Key\n\n")
	for _, l := range s.dev.config {
		if p := iosKeyLine.FindStringSubmatch(l); p != nil {
			fmt.Fprintf(&b, "default      %-40s %s\n", p[2], p[1])
		}
	}
	return b.String()
}

func (d *Device) iosPeers() string {
	d.settle()
	var b strings.Builder
	for _, e := range d.ends {
		if e.t.lists(e.i) {
			fmt.Fprintf(&b, "Peer: %s Port: 500 Local: %s\n Phase1 id: %s\n", e.remote(), e.local(), e.remote())
		}
	}
	return b.String()
}

func (d *Device) iosIKEv2(peer netip.Addr) string {
	d.settle()
	var b strings.Builder
	n := 0
	for _, e := range d.ends {
		if e.t.spec.IKE != 2 || !e.t.lists(e.i) || peer.IsValid() && peer != e.remote() {
			continue
		}
		n++
		if n == 1 {
			b.WriteString(" IPv4 Crypto IKEv2  SA \n\n")
		}
		state := "READY"
		if e.t.state == Stuck {
			state = e.stuckState()
		}
		fmt.Fprintf(&b, "Tunnel-id Local                 Remote                fvrf/ivrf            Status \n%-9d %-21s %-21s none/none            %-6s \n      Encr: AES-CBC, keysize: 256, PRF: SHA256, Hash: SHA256, DH Grp:14, Auth sign: PSK, Auth verify: PSK\n      Life/Active Time: 86400/%d sec\n\n",
			n, e.local().String()+"/500", e.remote().String()+"/500", state, int(e.age().Seconds()))
	}
	if n > 0 {
		b.WriteString(" IPv6 Crypto IKEv2  SA \n\n")
	}
	return b.String()
}

func (d *Device) iosIPsec(peer netip.Addr) string {
	d.settle()
	var b strings.Builder
	for _, e := range d.ends {
		if peer.IsValid() && e.remote() != peer {
			continue
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "\ninterface: %s\n    Crypto map tag: %s, local addr %s\n", e.spec().Interface, e.spec().Map, e.local())
		}
		up := e.t.carries(e.i)
		enc, dec, out := int64(0), int64(0), uint32(0)
		errs := 0
		if up {
			enc, dec, out = e.encaps(), e.decaps(), e.spiOut()
		} else if e.t.state == Stuck {
			errs = 12
		}
		fmt.Fprintf(&b, "\n   protected vrf: (none)\n   local  ident (addr/mask/prot/port): (%s/%s/0/0)\n   remote ident (addr/mask/prot/port): (%s/%s/0/0)\n   current_peer %s port 500\n     PERMIT, flags={origin_is_acl,}\n",
			e.localNet().addr(), e.localNet().mask(), e.remoteNet().addr(), e.remoteNet().mask(), e.remote())
		fmt.Fprintf(&b, "    #pkts encaps: %d, #pkts encrypt: %d, #pkts digest: %d\n    #pkts decaps: %d, #pkts decrypt: %d, #pkts verify: %d\n    #pkts compressed: 0, #pkts decompressed: 0\n    #pkts not compressed: 0, #pkts compr. failed: 0\n    #pkts not decompressed: 0, #pkts decompress failed: 0\n    #send errors %d, #recv errors 0\n\n", enc, enc, enc, dec, dec, dec, errs)
		fmt.Fprintf(&b, "     local crypto endpt.: %s, remote crypto endpt.: %s\n     plaintext mtu 1438, path mtu 1500, ip mtu 1500, ip mtu idb %s\n     current outbound spi: 0x%X(%d)\n     PFS (Y/N): N, DH group: none\n\n",
			e.local(), e.remote(), e.spec().Interface, out, out)
		life := remaining(28800, e.age())
		for _, s := range []struct {
			dir string
			spi uint32
			n   int64
			id  int
		}{{"inbound", e.spiIn(), dec, 2*e.t.conn[e.i] - 1}, {"outbound", e.spiOut(), enc, 2 * e.t.conn[e.i]}} {
			fmt.Fprintf(&b, "     %s esp sas:\n", s.dir)
			if up {
				fmt.Fprintf(&b, "      spi: 0x%X(%d)\n        transform: esp-256-aes esp-sha-hmac ,\n        in use settings ={Tunnel, }\n        conn id: %d, flow_id: Onboard VPN:%d, sibling_flags 80000046, crypto map: %s\n        sa timing: remaining key lifetime (k/sec): (%d/%d)\n        IV size: 16 bytes\n        replay detection support: Y\n        Status: ACTIVE(ACTIVE)\n",
					s.spi, s.spi, s.id, s.id-2000, e.spec().Map, max(4608000-e.sizeOf(s.n)/1024, 1), life)
			}
			fmt.Fprintf(&b, "\n     %s ah sas:\n\n     %s pcp sas:\n", s.dir, s.dir)
			if s.dir == "inbound" {
				b.WriteString("\n")
			}
		}
	}
	return b.String()
}

func (d *Device) iosSession(peer netip.Addr, detail bool) string {
	d.settle()
	var b strings.Builder
	b.WriteString("Crypto session current status\n\n")
	if detail {
		b.WriteString("Code: C - IKE Configuration mode, D - Dead Peer Detection     \nK - Keepalives, N - NAT-traversal, T - cTCP encapsulation     \nX - IKE Extended Authentication, F - IKE Fragmentation\nR - IKE Auto Reconnect\n\n")
	}
	for _, e := range d.ends {
		if peer.IsValid() && e.remote() != peer {
			continue
		}
		status := "DOWN"
		switch {
		case e.t.carries(e.i):
			status = "UP-ACTIVE     "
		case e.t.state == Stuck:
			status = "DOWN-NEGOTIATING"
		}
		fmt.Fprintf(&b, "Interface: %s\n", e.spec().Interface)
		if detail && e.t.carries(e.i) {
			v := int(e.age().Seconds())
			fmt.Fprintf(&b, "Uptime: %02d:%02d:%02d\n", v/3600, v/60%60, v%60)
		}
		fmt.Fprintf(&b, "Session status: %s\n", status)
		if detail {
			fmt.Fprintf(&b, "Peer: %s port 500 fvrf: (none) ivrf: (none)\n", e.remote())
			if e.t.carries(e.i) {
				fmt.Fprintf(&b, "      Phase1_id: %s\n      Desc: (none)\n", e.remote())
			} else {
				b.WriteString("      Desc: (none)\n      Phase1_id: (none)\n")
			}
		} else {
			fmt.Fprintf(&b, "Peer: %s port 500 \n", e.remote())
		}
		if e.t.lists(e.i) {
			word := "Active"
			if e.t.state == Stuck {
				word = "Inactive"
			}
			ver := "IKEv1"
			if e.t.spec.IKE == 2 {
				ver = "IKEv2"
			}
			if detail {
				b.WriteString("  Session ID: 0  \n")
			}
			fmt.Fprintf(&b, "  %s SA: local %s/500 remote %s/500 %s \n", ver, e.local(), e.remote(), word)
			if detail {
				r := remaining(86400, e.age())
				fmt.Fprintf(&b, "          Capabilities:(none) connid:%d lifetime:%02d:%02d:%02d\n", e.t.conn[e.i], r/3600, r/60%60, r%60)
			}
		}
		sas := 0
		if e.t.carries(e.i) {
			sas = 2
		}
		fmt.Fprintf(&b, "  IPSEC FLOW: permit ip %s/%s %s/%s \n        Active SAs: %d, origin: crypto map\n", e.localNet().addr(), e.localNet().mask(), e.remoteNet().addr(), e.remoteNet().mask(), sas)
		if detail {
			in, out := int64(0), int64(0)
			life := 0
			if sas > 0 {
				in, out, life = e.decaps(), e.encaps(), remaining(28800, e.age())
			}
			fmt.Fprintf(&b, "        Inbound:  #pkts dec'ed %d drop 0 life (KB/Sec) %d/%d\n        Outbound: #pkts enc'ed %d drop 0 life (KB/Sec) %d/%d\n", in, int64(sas/2)*4608000, life, out, int64(sas/2)*4608000, life)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func iosMap(s *session, a args) string {
	d := s.dev
	var b strings.Builder
	for _, e := range d.ends {
		fmt.Fprintf(&b, "Crypto Map IPv4 %q %d ipsec-isakmp\n\tPeer = %s\n\tExtended IP access list %s\n\t    access-list %s permit ip %s %s %s %s\n\tCurrent peer: %s\n\tSecurity association lifetime: 4608000 kilobytes/28800 seconds\n\tResponder-Only (Y/N): N\n\tPFS (Y/N): N\n\tMixed-mode : Disabled\n\tTransform sets={ \n\t\tAES256-SHA:  { esp-256-aes esp-sha-hmac  } , \n\t}\n\tInterfaces using crypto map %s:\n\t\t%s\n\n",
			e.spec().Map, e.spec().Sequence, e.remote(), e.spec().ACL, e.spec().ACL, e.localNet().addr(), e.localNet().wild(), e.remoteNet().addr(), e.remoteNet().wild(), e.remote(), e.spec().Map, e.spec().Interface)
	}
	return b.String()
}

// iosPing reads "[ip] TARGET [source X] [repeat N] [size N] [df-bit] [timeout N]".
func iosPing(s *session, a args) string {
	d := s.dev
	w := strings.Fields(a["what"])
	bad := func(i int) string {
		return strings.Repeat(" ", len(s.prompt())+5+len(strings.Join(w[:i], " "))+min(i, 1)) + "^\n% Invalid input detected at '^' marker.\n\n"
	}
	i := 0
	if i < len(w) && w[i] == "vrf" {
		i += 2
	}
	if i < len(w) && w[i] == "ip" {
		i++
	}
	if i >= len(w) {
		return "% Incomplete command.\n\n"
	}
	to, err := netip.ParseAddr(w[i])
	if err != nil {
		return "% Unrecognized host or address, or protocol not running.\n\n"
	}
	n, size, df := 5, 100, false
	var src netip.Addr
	for i++; i < len(w); {
		value := ""
		if i+1 < len(w) {
			value = w[i+1]
		}
		number, err := strconv.Atoi(value)
		switch {
		case strings.HasPrefix("source", w[i]) && value != "":
			if f := d.iface(value); f != nil {
				src = f.Address.Addr()
			} else if v, err := netip.ParseAddr(value); err == nil {
				src = v
			} else {
				return bad(i + 1)
			}
			i += 2
		case strings.HasPrefix("repeat", w[i]) && err == nil:
			n = min(max(number, 1), 10000)
			i += 2
		case strings.HasPrefix("size", w[i]) && err == nil:
			size = number
			i += 2
		case strings.HasPrefix("timeout", w[i]) && err == nil:
			i += 2
		case strings.HasPrefix("df-bit", w[i]):
			df = true
			i++
		default:
			return bad(i)
		}
	}
	own := false
	for _, f := range d.spec.Interfaces {
		own = own || f.Address.Addr() == src
	}
	if src.IsValid() && !own {
		return "% Invalid source address- IP address not on any of our up interfaces\n"
	}
	r := d.ping(src, to, n, size, df)
	s.pause = time.Duration(r.lost) * lostPing
	var b strings.Builder
	fmt.Fprintf(&b, "Type escape sequence to abort.\nSending %d, %d-byte ICMP Echos to %s, timeout is 2 seconds:\n", n, size, to)
	if src.IsValid() {
		fmt.Fprintf(&b, "Packet sent with a source address of %s \n", src)
	}
	if df {
		b.WriteString("Packet sent with the DF bit set\n")
	}
	mark := "."
	if r.tooBig {
		mark = "M"
	}
	b.WriteString(marks(r, mark))
	writeRate(&b, r, 41)
	return b.String()
}
