package bundle

import (
	"path"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
	"vpnbot/diag/transcript"
)

// fileCommand makes a command of a file's name: show_crypto_isakmp_sa.txt, hq-show-version.log,
// sh_cry_isa_sa.txt, running-config. It is "" when the name says nothing.
func fileCommand(base string) string {
	name := strings.ToLower(base)
	for {
		ext := path.Ext(name)
		switch ext {
		case ".txt", ".log", ".out", ".cfg", ".conf", ".text", ".gz":
			name = strings.TrimSuffix(name, ext)
			continue
		}
		break
	}
	switch name {
	case "running-config", "running_config", "startup-config", "startup_config", "show run", "config", "running", "run":
		return "show running-config"
	}
	at := -1
	for _, p := range []string{"show", "sh"} {
		for from := 0; from < len(name); {
			i := strings.Index(name[from:], p)
			if i < 0 {
				break
			}
			i += from
			end := i + len(p)
			if (i == 0 || separator(name[i-1])) && end < len(name) && separator(name[end]) {
				at = i
				break
			}
			from = end
		}
		if at >= 0 {
			break
		}
	}
	if at < 0 {
		return ""
	}
	name = name[at:]
	if strings.ContainsAny(name, "_ +") {
		name = strings.NewReplacer("_", " ", "+", " ").Replace(name)
	} else {
		name = strings.NewReplacer("-", " ", ".", " ").Replace(name)
	}
	for _, w := range []string{"running config", "startup config", "vpn sessiondb", "access list", "transform set", "aaa server", "local host", "threat detection", "vpn context", "tunnel group", "group policy", "cerm information"} {
		name = strings.ReplaceAll(name, w, strings.ReplaceAll(w, " ", "-"))
	}
	command, _ := transcript.Normalise(name)
	// Numbers and dates behind the command ("show crypto ipsec sa 2") only tell files apart.
	f := strings.Fields(command)
	for len(f) > 2 && strings.Trim(f[len(f)-1], "0123456789-tz().:") == "" && strings.Count(f[len(f)-1], ".") != 3 {
		f = f[:len(f)-1]
	}
	return strings.Join(f, " ")
}

func separator(c byte) bool { return c == '_' || c == '-' || c == ' ' || c == '.' || c == '+' }

// segment is a run of lines that answer one command.
type segment struct {
	command string
	lines   []facts.Line
}

// segments cuts lines without prompts into the answers that they contain. Lines before the
// first one recognised get the command def.
func segments(lines []facts.Line, def string) []segment {
	var out []segment
	cur := segment{command: def}
	flush := func() {
		for _, l := range cur.lines {
			if strings.TrimSpace(l.Text) != "" {
				out = append(out, cur)
				return
			}
		}
	}
	for i, l := range lines {
		c := starts(l.Text, cur.command)
		if c != "" && !within(cur, c, l.Text) {
			flush()
			cur = segment{command: c}
		}
		cur.lines = append(cur.lines, lines[i])
	}
	flush()
	return out
}

// within tells whether a start of c belongs into the open segment: the same kind of answer
// whose block goes on, or a configuration line in a configuration.
func within(cur segment, c, line string) bool {
	if cur.command == "" {
		return false
	}
	if c == cur.command {
		switch c {
		case "show running-config":
			// A second whole configuration begins anew.
			return !(strings.HasPrefix(line, ": Saved") || strings.HasPrefix(line, "Building configuration")) || len(cur.lines) < 8
		case "ping", "packet-tracer":
			return false
		}
		return true
	}
	switch c {
	case "show crypto isakmp sa":
		return strings.HasPrefix(cur.command, "show crypto isakmp sa") || strings.HasPrefix(cur.command, "show crypto ikev1 sa") || strings.HasPrefix(cur.command, "show crypto ikev2 sa") || strings.HasPrefix(cur.command, "show isakmp sa")
	case "show crypto ikev2 sa":
		return strings.HasPrefix(cur.command, "show crypto ikev2 s") || strings.HasPrefix(cur.command, "show crypto isakmp sa")
	case "show crypto ipsec sa":
		return strings.HasPrefix(cur.command, "show crypto ipsec sa")
	case "show crypto ca certificates":
		return strings.HasPrefix(cur.command, "show crypto pki cert") || strings.HasPrefix(cur.command, c)
	case "show vpn-sessiondb":
		return strings.HasPrefix(cur.command, "show vpn-sessiondb")
	case "show running-config":
		return strings.HasPrefix(cur.command, "show running-config")
	}
	return strings.HasPrefix(cur.command, c)
}

// bareCommand reads a line that is nothing but a command, pasted without its prompt; "" for
// a sentence that begins with show.
func bareCommand(t string) string {
	f := strings.Fields(t)
	if len(f) < 2 || len(f) > 9 || len(t) > 100 || strings.HasSuffix(t, ".") || strings.HasSuffix(t, ":") || strings.HasSuffix(t, "?") {
		return ""
	}
	switch f[1] {
	case "asp", "crypto", "vpn-sessiondb", "running-config", "run", "access-list", "access-lists", "nat", "xlate", "route", "capture", "isakmp", "version", "memory", "logging", "local-host", "shun", "failover", "aaa-server", "clock", "ntp":
		c, _ := transcript.Normalise(t)
		return c
	case "ip":
		if len(f) > 2 && (f[2] == "route" || f[2] == "nat" || f[2] == "local" || f[2] == "access-lists") {
			c, _ := transcript.Normalise(t)
			return c
		}
	}
	return ""
}

// starts tells which command's answer begins with this line, "" when it is no beginning.
func starts(line, open string) string {
	t := strings.TrimSpace(line)
	if t == "" {
		return ""
	}
	switch t[0] {
	case 'I':
		if rest, ok := strings.CutPrefix(t, "Interface: "); ok && open != "ping" && interfaceOfIOS(rest) {
			return "show crypto session"
		}
		if strings.HasPrefix(t, "IOS (tm) ") && strings.Contains(t, "Version ") {
			return "show version"
		}
		if strings.HasPrefix(t, "IKEv1 SAs:") || strings.HasPrefix(t, "IPv4 Crypto ISAKMP SA") || strings.HasPrefix(t, "IKE Peer:") {
			return "show crypto isakmp sa"
		}
		if strings.HasPrefix(t, "IKEv2 SAs:") || strings.HasPrefix(t, "IPv4 Crypto IKEv2") {
			return "show crypto ikev2 sa"
		}
	case 'A':
		if strings.HasPrefix(t, "Active SA:") {
			return "show crypto isakmp sa"
		}
		if strings.HasPrefix(t, "ASA Version ") {
			return "show running-config"
		}
	case 'T':
		if strings.HasPrefix(t, "There are no isakmp sas") || strings.HasPrefix(t, "There are no IKEv1 SAs") || strings.HasPrefix(t, "There are no IKEv2 SAs") {
			return "show crypto isakmp sa"
		}
		if strings.HasPrefix(t, "There are no ipsec sas") {
			return "show crypto ipsec sa"
		}
		if strings.HasPrefix(t, "Tunnel-id") && strings.Contains(t, "Local") {
			return "show crypto ikev2 sa"
		}
		if strings.HasPrefix(t, "Type escape sequence") {
			return "ping"
		}
	case 'd':
		if strings.HasPrefix(t, "dst ") && strings.Contains(t, "src ") && strings.Contains(t, "state") {
			return "show crypto isakmp sa"
		}
	case 'i':
		if strings.HasPrefix(t, "in ") && strings.Contains(t, "id=0x") && strings.Contains(t, "domain=") {
			return "show asp table classify"
		}
		if rest, ok := strings.CutPrefix(t, "interface: "); ok && !strings.Contains(rest, " ") {
			return "show crypto ipsec sa"
		}
		if strings.HasPrefix(t, "inbound esp sas:") && open == "" {
			return "show crypto ipsec sa"
		}
		if line[0] == 'i' && (strings.HasPrefix(t, "interface ") && strings.Count(t, " ") == 1 || strings.HasPrefix(t, "isakmp ") || strings.HasPrefix(t, "ip local pool ") || strings.HasPrefix(t, "ip route ") || strings.HasPrefix(t, "ip access-list ") || strings.HasPrefix(t, "ip nat inside") || strings.HasPrefix(t, "ip address ")) {
			return config(open)
		}
	case 'C':
		if t == "Certificate" || t == "CA Certificate" {
			return "show crypto ca certificates"
		}
		if strings.HasPrefix(t, "Crypto map tag:") {
			return "show crypto ipsec sa"
		}
		if strings.HasPrefix(t, "Crypto session current status") || strings.HasPrefix(t, "Code: C - IKE Configuration mode") {
			return "show crypto session"
		}
		if strings.HasPrefix(t, "Cisco Adaptive Security Appliance Software") || strings.HasPrefix(t, "Cisco PIX ") || strings.HasPrefix(t, "Cisco IOS Software") || strings.HasPrefix(t, "Cisco Internetwork Operating System") || strings.HasPrefix(t, "Cisco IOS XE Software") {
			return "show version"
		}
		if strings.HasPrefix(t, "Current configuration") {
			return "show running-config"
		}
		if strings.HasPrefix(t, "Codes: ") {
			return "show route"
		}
		if strings.HasPrefix(t, "Crypto Map") && strings.Contains(t, "ipsec-isakmp") {
			return "show crypto map"
		}
	case 'c':
		if strings.HasPrefix(t, "current_peer") && open == "" || strings.HasPrefix(t, "current outbound spi") && open == "" {
			return "show crypto ipsec sa"
		}
		if line[0] == 'c' && strings.HasPrefix(t, "crypto ") && !strings.HasSuffix(t, ".") {
			return config(open)
		}
	case '#':
		if strings.HasPrefix(t, "#pkts encaps") && !strings.HasPrefix(open, "show crypto ipsec sa") {
			return "show crypto ipsec sa"
		}
	case 'l':
		if strings.HasPrefix(t, "local ident (") || strings.HasPrefix(t, "local  ident (") {
			return "show crypto ipsec sa"
		}
		if line[0] == 'l' && (strings.HasPrefix(t, "logging queue") || strings.HasPrefix(t, "logging enable")) {
			return config(open)
		}
	case 'E':
		if strings.HasPrefix(t, "Extended IP access list ") {
			return "show access-lists"
		}
	case 'L':
		if strings.HasPrefix(t, "Legend: Attrb --> S - Static") {
			return "show dmvpn"
		}
	case 'S':
		if strings.HasPrefix(t, "Session status:") {
			return "show crypto session"
		}
		if strings.HasPrefix(t, "Status: A- Active, U - Up") {
			return "show crypto session brief"
		}
		if strings.HasPrefix(t, "Syslog logging: ") {
			return "show logging"
		}
		if strings.HasPrefix(t, "Standard IP access list ") {
			return "show access-lists"
		}
		if strings.HasPrefix(t, "Starting the packet display") {
			return "show monitor capture buffer"
		}
		if strings.HasPrefix(t, "Session Type:") {
			return "show vpn-sessiondb detail"
		}
		if strings.HasPrefix(t, "Server Group:") {
			return "show aaa-server"
		}
		if strings.HasPrefix(t, "Sending ") && strings.Contains(t, "-byte ICMP Echos") && open != "ping" {
			return "ping"
		}
	case 'V':
		if strings.HasPrefix(t, "VPN Session Summary") {
			return "show vpn-sessiondb summary"
		}
		if strings.HasPrefix(t, "VPN CTX ") {
			return "show asp table vpn-context"
		}
	case 'F':
		if strings.HasPrefix(t, "Frame drop:") {
			return "show asp drop"
		}
		if strings.HasPrefix(t, "Free memory:") {
			return "show memory"
		}
		if strings.HasPrefix(t, "Failover On") || strings.HasPrefix(t, "Failover Off") {
			return "show failover"
		}
	case 'B':
		if strings.HasPrefix(t, "Begin ") && strings.Contains(t, "In use") {
			return "show ip local pool"
		}
		if strings.HasPrefix(t, "Building configuration") {
			return "show running-config"
		}
	case 'P':
		if strings.HasPrefix(t, "Pro Inside global") {
			return "show ip nat translations"
		}
		if t == "Phase: 1" {
			return "packet-tracer"
		}
		if strings.HasPrefix(t, "PIX Version ") {
			return "show running-config"
		}
	case 'G':
		if strings.HasPrefix(t, "Gateway of last resort") && !strings.Contains(open, "route") {
			return "show route"
		}
	case ':':
		if t == ": Saved" || strings.HasPrefix(t, ": Hardware:") || strings.HasPrefix(t, ": Serial Number") {
			return "show running-config"
		}
	case '*', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if isClock(t) {
			return "show clock"
		}
		if i := strings.Index(t, "IKE Peer:"); i > 0 && i < 8 {
			return "show crypto isakmp sa"
		}
	case 'M':
		if strings.HasPrefix(t, "Manual NAT Policies") {
			return "show nat"
		}
	case 'v':
		if line[0] == 'v' && (strings.HasPrefix(t, "version 1") || strings.HasPrefix(t, "vpn-tunnel-protocol ")) && len(t) < 80 {
			return config(open)
		}
	case 'a':
		if strings.HasPrefix(t, "access-list ") && line[0] == 'a' {
			if strings.Contains(t, "; ") && strings.Contains(t, " elements") || strings.Contains(t, "(hitcnt=") || strings.HasPrefix(t, "access-list cached ACL") {
				return "show access-list"
			}
			return config(open)
		}
		if strings.HasPrefix(t, "alloc: ") && strings.Contains(t, "total") {
			return ""
		}
	case 'h':
		if line[0] == 'h' && strings.HasPrefix(t, "hostname ") && strings.Count(t, " ") == 1 {
			return config(open)
		}
	case 't':
		if line[0] == 't' && strings.HasPrefix(t, "tunnel-group ") && !strings.HasSuffix(t, ".") {
			return config(open)
		}
	case 'g':
		if line[0] == 'g' && (strings.HasPrefix(t, "group-policy ") || strings.HasPrefix(t, "global (")) {
			return config(open)
		}
	case 'n':
		if line[0] == 'n' && (strings.HasPrefix(t, "nat (") || strings.HasPrefix(t, "no sysopt ") || strings.HasPrefix(t, "no crypto ") || strings.HasPrefix(t, "name ") && strings.Count(t, " ") > 1 && strings.Count(t, ".") >= 3) {
			return config(open)
		}
	case 's':
		if line[0] == 's' && strings.HasPrefix(t, "show ") {
			return bareCommand(t)
		}
		if line[0] == 's' && (strings.HasPrefix(t, "sysopt ") || strings.HasPrefix(t, "same-security-traffic ") || strings.HasPrefix(t, "static (")) {
			return config(open)
		}
	case 'r':
		if line[0] == 'r' && (strings.HasPrefix(t, "route-map ") && strings.Contains(t, "permit")) {
			return config(open)
		}
	case 'o':
		if strings.HasPrefix(t, "out ") && strings.Contains(t, "id=0x") && strings.Contains(t, "domain=") {
			return "show asp table classify"
		}
		if line[0] == 'o' && (strings.HasPrefix(t, "object network ") || strings.HasPrefix(t, "object-group network ")) {
			return config(open)
		}
	case 'u':
		if line[0] == 'u' && strings.HasPrefix(t, "username ") && strings.Contains(t, " password ") {
			return config(open)
		}
	case '!':
		return ""
	}
	return ""
}

// interfaceOfIOS tells whether a word names an interface as IOS does, "GigabitEthernet0/0", "Tunnel84",
// or "(unknown)": a block of show crypto session begins with it.
func interfaceOfIOS(s string) bool {
	if s == "(unknown)" {
		return true
	}
	name := strings.TrimRight(s, "0123456789/.:")
	if name == s || strings.Contains(s, " ") {
		return false
	}
	switch name {
	case "GigabitEthernet", "TenGigabitEthernet", "FastEthernet", "Ethernet", "Tunnel", "Virtual-Access", "Virtual-Template", "Vlan", "Dialer", "Serial", "Loopback", "Cellular", "ATM", "Port-channel", "BDI", "TwentyFiveGigE", "HundredGigE":
		return true
	}
	return false
}

// isClock tells whether a line is the answer of show clock: "*10:43:33.123 CET Mon Mar 27 2019".
func isClock(t string) bool {
	f := strings.Fields(t)
	if len(f) != 6 || len(f[5]) != 4 || strings.Count(f[0], ":") != 2 {
		return false
	}
	at, ok := syslog.Time(t)
	return ok && at.Year() > 0
}

// config is a line that only configurations have: it goes on with one, or begins a section of one.
func config(open string) string {
	if strings.HasPrefix(open, "show running-config") {
		return open
	}
	return "show running-config section"
}

// platformOf weighs what a text says about who wrote it.
func platformOf(body string) (asa, ios int) {
	const enough = 3
	lines := 0
	for line := range strings.Lines(body) {
		if lines++; lines > 200000 || asa-ios > 40*enough || ios-asa > 40*enough {
			break
		}
		t := strings.Trim(line, ">| \t\r\n") // also as mail programs quote it
		if t == "" {
			continue
		}
		// Debug lines of IOS, whatever time stamp stands before them.
		if strings.Contains(t, ": IKEv2:(S") || strings.Contains(t, ": ISAKMP:(") || strings.Contains(t, ": ISAKMP (") {
			ios++
			continue
		}
		switch t[0] {
		case 'A':
			if strings.HasPrefix(t, "ASA Version ") {
				asa += 10 * enough
			}
			if strings.HasPrefix(t, "Active SA:") {
				asa += enough
			}
		case 'C':
			switch {
			case strings.HasPrefix(t, "Cisco Adaptive Security"), strings.HasPrefix(t, "Cisco PIX"):
				asa += 10 * enough
			case strings.HasPrefix(t, "Cisco IOS"), strings.HasPrefix(t, "Cisco Internetwork Operating"):
				ios += 10 * enough
			case strings.HasPrefix(t, "Crypto map tag:"):
				if strings.Contains(t, "seq num") {
					asa += enough
				} else {
					ios++
				}
			case strings.HasPrefix(t, "Crypto session current status"), strings.HasPrefix(t, "Code: C - IKE Configuration mode"):
				ios += enough
			case strings.HasPrefix(t, "Current configuration :"):
				ios += 5 * enough
			}
		case 'P':
			if strings.HasPrefix(t, "PIX Version ") {
				asa += 10 * enough
			}
			if strings.HasPrefix(t, "Pro Inside global") {
				ios += enough
			}
		case 'd':
			if strings.HasPrefix(t, "dst ") && strings.Contains(t, "conn-id") {
				ios += enough
			}
		case 'I':
			if strings.HasPrefix(t, "IPv4 Crypto ISAKMP SA") || strings.HasPrefix(t, "IPv6 Crypto ISAKMP SA") {
				ios += enough
			}
			if strings.HasPrefix(t, "IKEv1 SAs:") {
				asa += enough
			}
			if strings.HasPrefix(t, "ISAKMP:") {
				ios++
			}
			if rest, ok := strings.CutPrefix(t, "Interface: "); ok && interfaceOfIOS(rest) {
				ios += enough
			}
		case 'c':
			// A crypto map's lines are whole on an ASA and a block on IOS.
			switch {
			case strings.HasPrefix(t, "crypto map "):
				if strings.Contains(t, " set ") || strings.Contains(t, " match address ") || strings.Contains(t, " interface ") {
					asa += enough
				} else if strings.Count(t, " ") == 2 {
					ios += enough // in an interface
				}
			case strings.HasPrefix(t, "crypto isakmp key "), strings.HasPrefix(t, "crypto isakmp keepalive "), strings.HasPrefix(t, "crypto isakmp profile "), strings.HasPrefix(t, "crypto keyring "),
				strings.HasPrefix(t, "crypto ikev2 keyring "), strings.HasPrefix(t, "crypto ikev2 profile "), strings.HasPrefix(t, "crypto isakmp client configuration "):
				ios += enough
			case strings.HasPrefix(t, "crypto ikev1 "), strings.HasPrefix(t, "crypto isakmp enable "), strings.HasPrefix(t, "crypto ikev2 enable "):
				asa += enough
			case strings.HasPrefix(t, "current_peer") && strings.Contains(t, " port "):
				ios++
			}
		case 'e':
			if strings.HasPrefix(t, "encr ") {
				ios += enough
			}
		case 'g':
			if strings.HasPrefix(t, "group-policy ") {
				asa += enough
			}
		case 'm':
			if strings.HasPrefix(t, "match address ") {
				ios += enough
			}
		case 'o':
			if strings.HasPrefix(t, "object network ") {
				asa += enough
			}
		case 'n':
			if strings.HasPrefix(t, "nameif ") || strings.HasPrefix(t, "nat (") {
				asa += enough
			}
		case 't':
			if strings.HasPrefix(t, "tunnel-group ") {
				asa += enough
			}
		case 'v':
			if strings.HasPrefix(t, "version 1") && len(t) < 16 {
				ios += 2 * enough
			}
		case 's':
			if strings.HasPrefix(t, "service timestamps") || strings.HasPrefix(t, "set peer ") || strings.HasPrefix(t, "set transform-set ") {
				ios += enough
			}
			if strings.HasPrefix(t, "sysopt connection") {
				asa += enough
			}
		case 'i':
			if strings.HasPrefix(t, "ip access-list extended") || strings.HasPrefix(t, "ip nat inside") || strings.HasPrefix(t, "ip route ") {
				ios += enough
			}
			if strings.HasPrefix(t, "ip local pool") || strings.HasPrefix(t, "isakmp keepalive") {
				asa++
			}
		case 'a':
			if strings.HasPrefix(t, "access-list ") && strings.Contains(t, " extended ") {
				asa += enough
			}
		}
		if i := strings.IndexByte(t, '%'); i >= 0 && i < 120 {
			rest := t[i+1:]
			switch {
			case strings.HasPrefix(rest, "ASA-"), strings.HasPrefix(rest, "PIX-"), strings.HasPrefix(rest, "FTD-"), strings.HasPrefix(rest, "FWSM-"):
				asa += enough
			case strings.HasPrefix(rest, "CRYPTO-"), strings.HasPrefix(rest, "SYS-"), strings.HasPrefix(rest, "SEC-"), strings.HasPrefix(rest, "LINK-"), strings.HasPrefix(rest, "LINEPROTO-"), strings.HasPrefix(rest, "CERM-"), strings.HasPrefix(rest, "IKEV2-"), strings.HasPrefix(rest, "IPSEC-"), strings.HasPrefix(rest, "PKI-"), strings.HasPrefix(rest, "FW-"):
				ios += enough
			}
		}
		if strings.Contains(t, "IKE Peer:") || strings.HasPrefix(t, "[IKEv1") {
			asa += enough
		}
	}
	return asa, ios
}
