package emulator

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

func asaVersion(s *session, a args) string {
	d := s.dev
	up := d.lab.now().Sub(d.booted)
	days, hours := int(up.Hours())/24, int(up.Hours())%24
	var b strings.Builder
	fmt.Fprintf(&b, "\nCisco Adaptive Security Appliance Software Version %s \n", d.spec.Version)
	fmt.Fprintf(&b, "Device Manager Version 7.1(3)\n\nCompiled on Thu 12-Jan-17 11:26 by builders\nSystem image file is \"disk0:/asa-k8.bin\"\nConfig file at boot was \"startup-config\"\n\n")
	if days > 0 {
		fmt.Fprintf(&b, "%s up %d days %d hours\n", d.hostname(), days, hours)
	} else {
		fmt.Fprintf(&b, "%s up %d hours %d mins\n", d.hostname(), hours, int(up.Minutes())%60)
	}
	if d.spec.Suffix != "" {
		fmt.Fprintf(&b, "failover cluster up %d days %d hours\n", days, hours)
	}
	fmt.Fprintf(&b, "\nHardware:   %s, %d MB RAM, CPU 1 GHz,\n", d.spec.Model, d.ramMB())
	b.WriteString(`
Licensed features for this platform:
Maximum Physical Interfaces       : Unlimited      perpetual
Failover                          : Active/Active  perpetual
Encryption-DES                    : Enabled        perpetual
Encryption-3DES-AES               : Enabled        perpetual
AnyConnect Premium Peers          : 2              perpetual
Other VPN Peers                   : 750            perpetual
Total VPN Peers                   : 750            perpetual

`)
	fmt.Fprintf(&b, "Serial Number: %s\n", d.serial(s.unit()))
	b.WriteString("Running Permanent Activation Key: 0x00000000 0x00000000 0x00000000 0x00000000 0x00000000 \nConfiguration register is 0x1\n")
	fmt.Fprintf(&b, "Configuration last modified by netadmin at %s\n", d.booted.In(d.zone).Format("15:04:05.000 ")+d.zoneName()+d.booted.In(d.zone).Format(" Mon Jan 2 2006"))
	return b.String()
}

func (d *Device) ramMB() int {
	if d.atLeast(9, 0) {
		return 8192
	}
	return 512
}

func asaMemory(s *session, a args) string {
	total := int64(s.dev.ramMB()) << 20
	used := total / 100 * 38
	return fmt.Sprintf("Free memory:    %15d bytes (62%%)\nUsed memory:    %15d bytes (38%%)\n-------------     ------------------\nTotal memory:   %15d bytes (100%%)\n", total-used, used, total)
}

func asaFailover(s *session, a args) string {
	d := s.dev
	if d.spec.Suffix == "" {
		return "Failover Off \nFailover unit Secondary\nFailover LAN Interface: not Configured\nReconnect timeout 0:00:00\nUnit Poll frequency 1 seconds, holdtime 15 seconds\nInterface Poll frequency 5 seconds, holdtime 25 seconds\nInterface Policy 1\nMonitored Interfaces 2 of 160 maximum\nfailover replication http\n"
	}
	secs := int64(d.lab.now().Sub(d.booted).Seconds())
	u, names, states := s.unit(), []string{"Primary", "Secondary"}, []string{"Active", "Standby Ready"}
	if s.conn.standby {
		slices.Reverse(states)
	}
	return fmt.Sprintf(`Failover On 
Failover unit %[9]s
Failover LAN Interface: FO GigabitEthernet1/8 (up)
Reconnect timeout 0:00:00
Unit Poll frequency 1 seconds, holdtime 15 seconds
Interface Poll frequency 5 seconds, holdtime 25 seconds
Interface Policy 1
Monitored Interfaces 2 of 160 maximum
MAC Address Move Notification Interval not set
Version: Ours %[1]s, Mate %[1]s
Serial Number: Ours %[5]s, Mate %[6]s
Last Failover at: %[2]s
	This host: %[7]s 
		Active time: %[3]d (sec)
		slot 1: %[4]s hw/sw rev (1.0/%[1]s) status (Up Sys)
		  Interface outside (203.0.113.34): Normal (Monitored)
		  Interface inside (10.40.0.1): Normal (Monitored)
	Other host: %[8]s 
		Active time: 0 (sec)
		slot 1: %[4]s hw/sw rev (1.0/%[1]s) status (Up Sys)
		  Interface outside (203.0.113.35): Normal (Monitored)
		  Interface inside (10.40.0.2): Normal (Monitored)
`, d.spec.Version, d.booted.In(d.zone).Format("15:04:05 ")+d.zoneName()+d.booted.In(d.zone).Format(" Jan 2 2006"), secs, d.spec.Model,
		d.serial(u), d.serial(1-u), names[u]+" - "+states[0], names[1-u]+" - "+states[1], names[u])
}

func asaASPDrop(s *session, a args) string {
	now := s.dev.lab.now().Sub(s.dev.booted)
	var b strings.Builder
	b.WriteString("\nFrame drop:\n")
	for _, l := range []struct {
		name string
		n    int64
	}{
		{"Flow is denied by configured rule (acl-drop)", int64(now.Seconds()) / 3},
		{"First TCP packet not SYN (tcp-not-syn)", int64(now.Seconds()) / 60},
		{"TCP RST/FIN out of order (tcp-rstfin-ooo)", int64(now.Seconds()) / 400},
		{"Slowpath security checks failed (sp-security-failed)", int64(now.Seconds()) / 90},
	} {
		fmt.Fprintf(&b, "  %-60s %20d\n", l.name, l.n)
	}
	b.WriteString("\nLast clearing: Never\n\nFlow drop:\n\nLast clearing: Never\n")
	return b.String()
}

func asaSSHSessions(s *session, a args) string {
	var b strings.Builder
	b.WriteString("\nSID Client IP       Version Mode Encryption Hmac     State            Username\n")
	s.dev.mu.Lock()
	n := len(s.dev.conns)
	s.dev.mu.Unlock()
	for i := range n {
		for _, mode := range []string{"IN ", "OUT"} {
			if mode == "IN " {
				fmt.Fprintf(&b, "%-3d %-15s 2.0     IN   aes256-ctr sha1     SessionStarted   %s\n", i, s.remote(), s.user)
			} else {
				fmt.Fprintf(&b, "%27s OUT  aes256-ctr sha1     SessionStarted   %s\n", "", s.user)
			}
		}
	}
	return b.String()
}

func asaLogging(s *session, a args) string {
	d := s.dev
	d.settle()
	var b strings.Builder
	fmt.Fprintf(&b, `Syslog logging: enabled
    Facility: 20
    Timestamp logging: enabled
    Standby logging: disabled
    Debug-trace logging: disabled
    Console logging: disabled
    Monitor logging: disabled
    Buffer logging: level informational, %d messages logged
    Trap logging: disabled
    Permit-hostdown logging: disabled
    History logging: disabled
    Device ID: disabled
    Mail logging: disabled
    ASDM logging: disabled
`, d.logged)
	for _, l := range d.log {
		b.WriteString(l + "\n")
	}
	return b.String()
}

func asaInterfaces(s *session, a args) string {
	var b strings.Builder
	b.WriteString("Interface                  IP-Address      OK? Method Status                Protocol\n")
	for _, f := range s.dev.spec.Interfaces {
		fmt.Fprintf(&b, "%-26s %-15s YES CONFIG up                    up  \n", f.Hardware, f.Address.Addr())
	}
	return b.String()
}

func asaAAA(s *session, a args) string {
	return `Server Group:	LOCAL
Server Protocol: Local database
Server Address:	None
Server port:	None
Server status:	ACTIVE, Last transaction at unknown
Number of pending requests		0
Average round trip time			0ms
Number of authentication requests	412
Number of authorization requests	0
Number of accounting requests		0
Number of retransmissions		0
Number of accepts			409
Number of rejects			3
Number of challenges			0
Number of bad authenticators		0
Number of timeouts			0
Number of unrecognized responses	0
`
}

var poolForm = regexp.MustCompile(`^ip local pool (\S+) (\S+)-(\S+) mask (\S+)`)

func asaPool(s *session, a args) string {
	for _, l := range s.dev.config {
		if p := poolForm.FindStringSubmatch(l); p != nil && p[1] == a["name"] {
			return fmt.Sprintf("Begin           End             Mask            Free     Held     In use\n%-15s %-15s %-15s %8d %8d %8d\n\nAvailable Addresses:\n%s\n", p[2], p[3], p[4], 191, 0, 0, p[2])
		}
	}
	return fmt.Sprintf("ERROR: Pool <%s> not found\n", a["name"])
}

var (
	aclLine   = regexp.MustCompile(`^access-list (\S+) (extended|standard) (.*)$`)
	routeLine = regexp.MustCompile(`^route (\S+) (\S+) (\S+) (\S+)`)
)

func (d *Device) asaACLs(only string) string {
	d.settle()
	var names []string
	lines := map[string][]string{}
	for _, l := range d.config {
		if p := aclLine.FindStringSubmatch(strings.TrimSpace(l)); p != nil && (only == "" || p[1] == only) {
			if lines[p[1]] == nil {
				names = append(names, p[1])
			}
			n := len(lines[p[1]]) + 1
			hits := int64(n * 7)
			for _, e := range d.ends {
				if e.spec().ACL == p[1] {
					hits = e.encaps()/40 + 3
				}
			}
			lines[p[1]] = append(lines[p[1]], fmt.Sprintf("access-list %s line %d %s %s (hitcnt=%d) 0x%08x ", p[1], n, p[2], strings.TrimSpace(p[3]), hits, hash32(l)))
		}
	}
	if only != "" && len(names) == 0 {
		return fmt.Sprintf("ERROR: access-list <%s> does not exist\n", only)
	}
	var b strings.Builder
	if only == "" {
		b.WriteString("access-list cached ACL log flows: total 0, denied 0 (deny-flow-max 4096)\n            alert-interval 300\n")
	}
	for _, n := range names {
		fmt.Fprintf(&b, "access-list %s; %d elements; name hash: 0x%08x\n", n, len(lines[n]), hash32(n))
		for _, l := range lines[n] {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

func hash32(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

func (d *Device) asaRoutes(to netip.Addr) string {
	gw := netip.Addr{}
	for _, f := range d.spec.Interfaces {
		if f.Gateway.IsValid() {
			gw = f.Gateway
		}
	}
	var b strings.Builder
	if to.IsValid() {
		for _, f := range d.spec.Interfaces {
			if f.Address.Contains(to) {
				return fmt.Sprintf("\nRouting entry for %s %s\n  Known via \"connected\", distance 0, metric 0 (connected, via interface)\n  Routing Descriptor Blocks:\n  * directly connected, via %s\n      Route metric is 0, traffic share count is 1\n", f.Address.Masked().Addr(), maskOf(f.Address.Bits()), f.Name)
			}
		}
		return fmt.Sprintf("\nRouting entry for 0.0.0.0 0.0.0.0, supernet\n  Known via \"static\", distance 1, metric 0, candidate default path\n  Routing Descriptor Blocks:\n  * %s, via outside\n      Route metric is 0, traffic share count is 1\n", gw)
	}
	b.WriteString(`
Codes: C - connected, S - static, I - IGRP, R - RIP, M - mobile, B - BGP
       D - EIGRP, EX - EIGRP external, O - OSPF, IA - OSPF inter area 
       N1 - OSPF NSSA external type 1, N2 - OSPF NSSA external type 2
       E1 - OSPF external type 1, E2 - OSPF external type 2, E - EGP
       i - IS-IS, L1 - IS-IS level-1, L2 - IS-IS level-2, ia - IS-IS inter area
       * - candidate default, U - per-user static route, o - ODR
       P - periodic downloaded static route

`)
	fmt.Fprintf(&b, "Gateway of last resort is %s to network 0.0.0.0\n\n", gw)
	for _, f := range d.spec.Interfaces {
		fmt.Fprintf(&b, "C    %s %s is directly connected, %s\n", f.Address.Masked().Addr(), maskOf(f.Address.Bits()), f.Name)
	}
	for _, l := range d.config {
		if p := routeLine.FindStringSubmatch(l); p != nil {
			star := " "
			if p[2] == "0.0.0.0" {
				star = "*"
			}
			fmt.Fprintf(&b, "S%s   %s %s [1/0] via %s, %s\n", star, p[2], p[3], p[4], p[1])
		}
	}
	return b.String()
}

var natLine = regexp.MustCompile(`^nat \((\S+),(\S+)\) (after-auto )?source (.*)$`)

func asaNAT(s *session, a args) string {
	d := s.dev
	if !d.atLeast(8, 3) {
		return "NAT policies on Interface inside:\n  match ip inside 10.20.0.0 255.255.0.0 outside 10.1.0.0 255.255.0.0\n    NAT exempt\n    translate_hits = 310, untranslate_hits = 298\n  match ip inside any outside any\n    dynamic translation to pool 1 (" + d.spec.Interfaces[0].Address.Addr().String() + " [Interface PAT])\n    translate_hits = 8021, untranslate_hits = 510\n"
	}
	var manual, after []string
	for _, l := range d.config {
		if p := natLine.FindStringSubmatch(l); p != nil {
			text := fmt.Sprintf("(%s) to (%s) source %s", p[1], p[2], strings.Replace(p[4], " destination", "   destination", 1))
			if p[3] != "" {
				after = append(after, text)
			} else {
				manual = append(manual, text)
			}
		}
	}
	var b strings.Builder
	section := func(title string, rules []string) {
		if len(rules) == 0 {
			return
		}
		b.WriteString(title + "\n")
		for i, r := range rules {
			fmt.Fprintf(&b, "%d %s\n    translate_hits = %d, untranslate_hits = %d\n", i+1, r, 900*(i+1), 870*(i+1))
		}
	}
	section("Manual NAT Policies (Section 1)", manual)
	if len(manual) > 0 {
		b.WriteString("\n")
	}
	section("Manual NAT Policies (Section 3)", after)
	return b.String()
}

// Secrets are masked in show running-config; more system:running-config shows them.
var asaMasks = []*regexp.Regexp{
	regexp.MustCompile(`^(\s*(?:ikev1 |ikev2 (?:local|remote)-authentication )?pre-shared-key )\S+`),
	regexp.MustCompile(`^(vpnclient vpngroup \S+ password )\S+`),
	regexp.MustCompile(`^(vpnclient username \S+ password )\S+`),
	regexp.MustCompile(`^(\s+key )\S+`),
	regexp.MustCompile(`^(failover key )\S+`),
	regexp.MustCompile(`^(snmp-server community )\S+`),
	regexp.MustCompile(`^(snmp-server host \S+ \S+ community )\S+`),
}

func (d *Device) masked() []string {
	stars := "*****"
	if !d.atLeast(8, 3) {
		stars = "*"
	}
	out := make([]string, len(d.config))
	for i, l := range d.config {
		for n, re := range asaMasks {
			m := stars
			if n == 1 || n == 2 {
				m = "********"
			}
			l = re.ReplaceAllString(l, "${1}"+m)
		}
		out[i] = l
	}
	return out
}

// Defaults that only "show running-config all" prints.
var asaDefaults = map[string][]string{
	"sysopt": {
		"no sysopt traffic detailed-statistics", "no sysopt connection timewait", "sysopt connection tcpmss 1380", "sysopt connection tcpmss minimum 0",
		"sysopt connection permit-vpn", "sysopt connection reclassify-vpn", "no sysopt connection preserve-vpn-flows", "no sysopt radius ignore-secret",
		"no sysopt noproxyarp outside", "no sysopt noproxyarp inside",
	},
}

// asaRunning prints the configuration, or the part that begins with the given words.
func asaRunning(s *session, a args) string {
	d := s.dev
	words := strings.Fields(a["section"])
	all := len(words) > 0 && words[0] == "all"
	if all {
		words = words[1:]
	}
	lines := d.masked()
	if len(words) == 0 {
		text := strings.Join(lines, "\n") + "\n"
		if all {
			text = strings.Replace(text, "\n: end\n", "\n"+strings.Join(asaDefaults["sysopt"], "\n")+"\n: end\n", 1)
		}
		return text
	}
	known := map[string]bool{}
	for _, l := range lines {
		if w, _, _ := strings.Cut(l, " "); w != "" && l[0] != ' ' && l[0] != ':' && l[0] != '!' {
			known[w] = true
		}
	}
	for _, w := range []string{"crypto", "sysopt", "tunnel-group", "group-policy", "access-list", "access-group", "nat", "global", "static", "object", "object-group", "route", "ip",
		"aaa-server", "username", "interface", "threat-detection", "management-access", "http", "ssh", "logging", "vpnclient", "vpn-sessiondb", "webvpn", "names", "name", "same-security-traffic", "mtu", "ntp", "icmp"} {
		known[w] = true
	}
	first := words[0]
	if !known[first] {
		full := ""
		for w := range known {
			if strings.HasPrefix(w, first) && (full == "" || w < full) {
				full = w
			}
		}
		if full == "" {
			return strings.Repeat(" ", len(s.prompt())+len("show running-config ")) + "^\nERROR: % Invalid input detected at '^' marker.\n"
		}
		words[0] = full
	}
	return section(lines, words, all)
}

// section selects the top-level lines that begin with the words, with what is below them.
func section(lines, words []string, all bool) string {
	prefix := strings.Join(words, " ")
	var b strings.Builder
	var blocks [][]string
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, " ") && len(blocks) > 0:
			blocks[len(blocks)-1] = append(blocks[len(blocks)-1], l)
		case l != "" && l[0] != ':' && l[0] != '!':
			blocks = append(blocks, []string{l})
		}
	}
	seen := map[string]bool{}
	if all && words[0] == "sysopt" {
		for _, l := range lines {
			if strings.HasPrefix(l, "sysopt ") {
				w := strings.Fields(l)
				seen[strings.Join(w[:min(3, len(w))], " ")] = true
			}
		}
		for _, l := range asaDefaults["sysopt"] {
			w := strings.Fields(strings.TrimPrefix(l, "no "))
			if !seen[strings.Join(w[:min(3, len(w))], " ")] {
				b.WriteString(l + "\n")
			}
		}
	}
	for _, bl := range blocks {
		nat := strings.HasPrefix(bl[0], "object network") && len(bl) > 1 && strings.HasPrefix(bl[1], " nat ")
		hit := bl[0] == prefix || strings.HasPrefix(bl[0], prefix+" ")
		switch {
		case words[0] == "nat" && nat && len(words) == 1:
			hit = true
		case words[0] == "object" && nat:
			hit = false
		}
		if hit {
			b.WriteString(strings.Join(bl, "\n") + "\n")
		}
	}
	return b.String()
}

func asaTracer(s *session, a args) string {
	d := s.dev
	w := strings.Fields(a["packet"])
	if d.iface(a["interface"]) == nil || len(w) < 3 {
		return "ERROR: % Incomplete command\n"
	}
	var ips []netip.Addr
	for _, x := range w {
		if v, err := netip.ParseAddr(x); err == nil {
			ips = append(ips, v)
		}
	}
	if len(ips) != 2 {
		return "ERROR: % Incomplete command\n"
	}
	action, reason := "allow", ""
	for _, e := range d.ends {
		for _, p := range e.t.spec.Ends[1-e.i].Networks {
			if !p.Contains(ips[1]) {
				continue
			}
			e.t.settle()
			switch e.t.state {
			case Down:
				e.t.negotiate(d.lab.now(), e.i)
				action, reason = "drop", "(acl-drop) Flow is denied by configured rule"
			case Stuck:
				action, reason = "drop", "(acl-drop) Flow is denied by configured rule"
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nPhase: 1\nType: ROUTE-LOOKUP\nSubtype: input\nResult: ALLOW\nConfig:\nAdditional Information:\nin   0.0.0.0         0.0.0.0         outside\n")
	fmt.Fprintf(&b, "\nPhase: 2\nType: NAT\nSubtype: \nResult: ALLOW\nConfig:\nAdditional Information:\nStatic translate %s/0 to %s/0\n", ips[0], ips[0])
	vpn := "ALLOW"
	if action == "drop" {
		vpn = "DROP"
	}
	fmt.Fprintf(&b, "\nPhase: 3\nType: VPN\nSubtype: encrypt\nResult: %s\nConfig:\nAdditional Information:\n", vpn)
	fmt.Fprintf(&b, "\nResult:\ninput-interface: %s\ninput-status: up\ninput-line-status: up\noutput-interface: outside\noutput-status: up\noutput-line-status: up\nAction: %s\n", a["interface"], action)
	if reason != "" {
		fmt.Fprintf(&b, "Drop-reason: %s\n", reason)
	}
	return b.String()
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// asaVPNClient is show vpnclient of an Easy VPN hardware client.
func asaVPNClient(s *session, a args) string {
	d := s.dev
	d.settle()
	for _, e := range d.ends {
		if !e.ezvpn() || e.headend() {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "\nLOCAL CONFIGURATION\nvpnclient server %s\nvpnclient mode network-extension-mode\nvpnclient vpngroup %s password ********\nvpnclient username %s password ********\nvpnclient enable\n\n", e.remote(), e.t.spec.Group, e.t.spec.User)
		if e.t.state == Up {
			fmt.Fprintf(&b, "DOWNLOADED DYNAMIC POLICY\nCurrent Server                     : %s\nPrimary DNS                        : 10.1.0.10\nDefault Domain                     : corp.example.com\nPFS Enabled                        : No\nSecure Unit Authentication Enabled : No\nUser Authentication Enabled        : No\nSplit Tunnel Networks              : %s/%s\n", e.remote(), e.remoteNet().addr(), e.remoteNet().mask())
		} else {
			b.WriteString("NO ACTIVE CONNECTION\n")
		}
		return b.String()
	}
	return "ERROR: vpnclient is not configured\n"
}

func asaCaptures(s *session, a args) string {
	var b strings.Builder
	now := s.dev.lab.now()
	for _, c := range s.dev.captures {
		status := "Capturing"
		ifname := " interface " + c.ifname
		if !c.running() {
			status, ifname = "Stopped", ""
		}
		opts := c.options
		if opts != "" {
			opts = " " + opts
		}
		fmt.Fprintf(&b, "capture %s type %s%s%s [%s - %d bytes] \n", c.name, c.kind, opts, ifname, status, c.bytes(now))
		for _, m := range c.matches {
			if c.acl == "" {
				fmt.Fprintf(&b, "  match %s\n", m.text)
			}
		}
	}
	return b.String()
}

// asaCapture lists a capture's packets; dump adds the bytes from the IP header on (the
// ASA leaves the MAC addresses out).
func (d *Device) asaCapture(name string, dump, detail bool) string {
	c := d.capture(name)
	if c == nil {
		return fmt.Sprintf("ERROR: Capture <%s> does not exist\n", name)
	}
	ps := c.packets(d.lab.now())
	var b strings.Builder
	if len(ps) == 0 {
		return "\n0 packet captured\n\n0 packet shown\n"
	}
	word := "packets"
	if len(ps) == 1 {
		word = "packet"
	}
	fmt.Fprintf(&b, "\n%d %s captured\n\n", len(ps), word)
	for i, p := range ps {
		mac := ""
		if detail && len(p.data) >= ethLen {
			mac = fmt.Sprintf("%x.%x.%x %x.%x.%x 0x0800 Length: %d\n     ", p.data[6:8], p.data[8:10], p.data[10:12], p.data[0:2], p.data[2:4], p.data[4:6], p.orig)
		}
		fmt.Fprintf(&b, "%4d: %s       %s%s \n", i+1, p.at.In(d.zone).Format("15:04:05.000000"), mac, describe(p))
		if dump {
			hexDump(&b, p.ip())
		}
	}
	fmt.Fprintf(&b, "%d %s shown\n", len(ps), word)
	return b.String()
}

func hexDump(b *strings.Builder, data []byte) {
	for at := 0; at < len(data); at += 16 {
		row := data[at:min(at+16, len(data))]
		var hex, text strings.Builder
		for i := range 16 {
			if i < len(row) {
				fmt.Fprintf(&hex, "%02x", row[i])
				if row[i] >= 0x20 && row[i] < 0x7f {
					text.WriteByte(row[i])
				} else {
					text.WriteByte('.')
				}
			} else {
				hex.WriteString("  ")
			}
			if i%2 == 1 && i < 15 {
				hex.WriteByte(' ')
			}
		}
		fmt.Fprintf(b, "0x%04x   %s        %s\n", at, hex.String(), text.String())
	}
}
