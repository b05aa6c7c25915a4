// Package asa makes facts of what an ASA (or a PIX) prints: the states of IKE and IPsec,
// the configuration, and the counters that diagnosis looks at.
//
// In comes one output at a time: a command and the lines that answered it. The facts go
// into the device. Nothing fails as a whole; a line that is not understood is skipped and
// counted in Device.Skipped. Lines may carry redact tokens: what is kept as a place's text
// is stripped of them.
//
// Configuration: a tunnel-group's, group policy's or user's line becomes an Attr whose Key
// is the command's fixed words ("ikev1 pre-shared-key", "isakmp keepalive",
// "vpn-tunnel-protocol", "webvpn svc compression") and whose Value is the rest without the
// word "value". One-line settings are keyed the same way (see settingKeys).
//
// Counters (Group: Name): asp-drop: the reason's short name; memory: free, used (Limit: all);
// ip-local-pool: the pool (Value free, Limit all); version: inside-hosts, vpn-peers ... ("Unlimited"
// has no value); shun: an address, also of threat-detection shun; threat-detection: an address of
// scanning-threat; xlate: in-use, or the two ends as printed; nat: the rule, and "RULE untranslate";
// local-host: an interface (Limit: most seen), "IF denied", hosts (Limit: licence); access-list:
// "NAME line"; failover: on, this-host, other-host; aaa-server: "GROUP ADDRESS timeouts", "... status";
// asp-classify: "domain src dst" with cs_id in the text; vpn-context: "PEER ENCR|DECR"; logging: queue
// (Limit: its length), discarded; capture: a capture's name (bytes), "NAME packets";
// capture-flow: "SRC.PORT > DST.PORT PROTO" with the packets that a capture printed; capture-fragment:
// "SRC > DST first|rest" with its IP fragments; cpu: 5s, 1m, 5m;
// vpn-sessiondb: the summary's rows.
package asa

import (
	"net/netip"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/pki"
	"vpnbot/diag/redact"
)

// Parse adds the facts of one output to the device and tells whether it knew the command.
// Outputs that belong to one device are given in the order in which they were read.
func Parse(dev *facts.Device, out facts.Output) bool {
	p := reader{dev: dev, out: &out, src: out.Place.Source, reading: -1}
	c := out.Command
	for _, k := range commands {
		if c == k.command || strings.HasPrefix(c, k.command) && (k.command[len(k.command)-1] == ' ' || c[len(k.command)] == ' ') {
			k.parse(&p)
			resolveNames(dev)
			return true
		}
	}
	return false
}

// commands in the order in which they are tried; a longer one stands before its prefix.
var commands = []struct {
	command string
	parse   func(*reader)
}{
	{"show crypto isakmp sa", (*reader).ikeSA},
	{"show crypto ikev1 sa", (*reader).ikeSA},
	{"show crypto ikev2 sa", (*reader).ikeSA},
	{"show isakmp sa", (*reader).ikeSA},
	{"show crypto ipsec sa", (*reader).ipsecSA},
	{"show ipsec sa", (*reader).ipsecSA},
	{"show crypto map", (*reader).cryptoMap},
	{"show crypto ca certificates", (*reader).certificates},
	{"show running-config", (*reader).config},
	{"show startup-config", (*reader).config},
	{"show configuration", (*reader).config},
	{"write terminal", (*reader).config},
	{"more system:running-config", (*reader).config},
	{"show object-group", (*reader).config},
	{"show vpn-sessiondb", (*reader).sessions},
	{"show asp drop", (*reader).aspDrop},
	{"show asp table vpn-context", (*reader).vpnContext},
	{"show asp table classify", (*reader).classify},
	{"show memory", (*reader).memory},
	{"show ip local pool", (*reader).localPool},
	{"show version", (*reader).version},
	{"show shun", (*reader).shun},
	{"show threat-detection shun", (*reader).shun},
	{"show threat-detection scanning-threat", (*reader).shun},
	{"show xlate", (*reader).xlate},
	{"show nat", (*reader).natTable},
	{"show local-host", (*reader).localHost},
	{"show access-list", (*reader).accessListTable},
	{"show route", (*reader).routes},
	{"show failover", (*reader).failover},
	{"show aaa-server", (*reader).aaaServer},
	{"show logging queue", (*reader).logging},
	{"show capture", (*reader).capture},
	{"show cpu", (*reader).cpu},
	{"show clock", (*reader).clock},
	{"packet-tracer", (*reader).trace},
	{"ping", (*reader).ping},
}

func (p *reader) certificates() { pki.Parse(p.dev, *p.out) }

// reader works on one output.
type reader struct {
	dev *facts.Device
	out *facts.Output
	src string

	reading int // see earlier; -1 not yet counted
	rows    int // counters added
}

func (p *reader) place(l facts.Line) facts.Place {
	return facts.Place{Source: p.src, Line: l.N, Text: redact.Strip(strings.TrimSpace(l.Text))}
}

func (p *reader) skip(l facts.Line) {
	t := strings.TrimSpace(l.Text)
	if t != "" && t[0] != '!' && t[0] != ':' {
		p.dev.Skipped++
	}
}

// address parses an address with or without a port: A, A/port, A:port (IPv4), A port N.
func address(s string) (netip.Addr, int) {
	s = strings.TrimRight(strings.TrimSpace(s), ",;")
	if s == "" {
		return netip.Addr{}, 0
	}
	if c := s[0]; !(c >= '0' && c <= '9') && !strings.Contains(s, ":") {
		return netip.Addr{}, 0
	}
	port := 0
	if i := strings.IndexByte(s, '/'); i >= 0 {
		port, _ = strconv.Atoi(s[i+1:])
		s = s[:i]
	} else if strings.Count(s, ":") == 1 {
		i := strings.IndexByte(s, ':')
		port, _ = strconv.Atoi(s[i+1:])
		s = s[:i]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, 0
	}
	return a.Unmap(), port
}

// masked makes a prefix of an address and a netmask. The zero Prefix means that they are none.
func masked(addr, mask string) netip.Prefix {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || !m.Is4() || !a.Is4() {
		return netip.Prefix{}
	}
	return maskPrefix(a, m)
}

func maskPrefix(a, m netip.Addr) netip.Prefix {
	b := m.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	bits := 0
	for v&0x80000000 != 0 {
		bits++
		v <<= 1
	}
	if v != 0 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// selector parses a proxy identity: (net/mask/prot/port), net/mask/0/0, net/mask, net.
func selector(s string) facts.Selector {
	text := strings.Trim(strings.TrimSpace(s), "()")
	out := facts.Selector{Text: text}
	addr, rest, more := strings.Cut(text, "/")
	if !more {
		if a, err := netip.ParseAddr(text); err == nil {
			out.Prefix = netip.PrefixFrom(a, a.BitLen())
		}
		return out
	}
	mask, rest, _ := strings.Cut(rest, "/")
	if strings.IndexByte(mask, '.') >= 0 {
		out.Prefix = masked(addr, mask)
	} else if bits, err := strconv.Atoi(mask); err == nil {
		if a, err := netip.ParseAddr(addr); err == nil && bits <= a.BitLen() {
			out.Prefix = netip.PrefixFrom(a, bits).Masked()
		}
	}
	proto, port, _ := strings.Cut(rest, "/")
	port, _, _ = strings.Cut(port, "/")
	out.Proto, _ = strconv.Atoi(proto)
	out.Port, _ = strconv.Atoi(port)
	return out
}

// pair is one "Key : Value" of a line that may hold several.
type pair struct{ key, value string }

// pairs takes a line apart at known keys. Keys are lower case; a key counts when a colon
// follows it, with or without blanks between. Columns may be lost.
func pairs(line string, keys map[string]bool, buf []pair) []pair {
	buf = buf[:0]
	valueFrom := -1
	for i := 0; i < len(line); i++ {
		if line[i] != ':' {
			continue
		}
		end := i
		for end > 0 && (line[end-1] == ' ' || line[end-1] == '\t') {
			end--
		}
		// The longest known key that ends here.
		best := -1
		words := 0
		for j := end; j > 0 && words < 4; {
			for j > 0 && end-j < longestKey && line[j-1] != ' ' && line[j-1] != '\t' && line[j-1] != ',' {
				j--
			}
			if end-j >= longestKey {
				break
			}
			if j < valueFrom {
				break
			}
			words++
			if keys[strings.ToLower(line[j:end])] {
				best = j
			}
			for j > 0 && (line[j-1] == ' ' || line[j-1] == '\t' || line[j-1] == ',') {
				j--
			}
			if j == 0 {
				break
			}
		}
		if best < 0 {
			continue
		}
		if n := len(buf); n > 0 {
			buf[n-1].value = strings.Trim(line[valueFrom:best], " \t,")
		}
		buf = append(buf, pair{key: strings.ToLower(line[best:end])})
		valueFrom = i + 1
	}
	if n := len(buf); n > 0 {
		buf[n-1].value = strings.Trim(line[valueFrom:], " \t,")
	}
	return buf
}

// longestKey bounds the way back from a colon.
const longestKey = 48

// set makes a key set for pairs.
func set(keys ...string) map[string]bool {
	m := make(map[string]bool, len(keys))
	for _, k := range keys {
		m[k] = true
	}
	return m
}

// atoi reads the digits at the beginning of s; 0 when there are none or too many.
func atoi(s string) int {
	n := 0
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if n > 1<<40 {
			return 0
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// count reads a counter; NotShown when s does not begin with a digit.
func count(s string) int64 {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return facts.NotShown
	}
	var n int64
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if n > 1<<58 {
			return n
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

// resolveNames puts addresses in the place of names that the configuration knows.
func resolveNames(dev *facts.Device) {
	if dev.Config == nil || len(dev.Config.Names) == 0 {
		return
	}
	names := dev.Config.Names
	for i := range dev.IKE {
		if s := &dev.IKE[i]; !s.Remote.IsValid() && s.RemoteName != "" {
			s.Remote = names[s.RemoteName]
		}
	}
	for i := range dev.IPsec {
		if s := &dev.IPsec[i]; !s.Peer.IsValid() && s.PeerName != "" {
			s.Peer = names[s.PeerName]
		}
		if s := &dev.IPsec[i]; !s.LocalID.Prefix.IsValid() {
			s.LocalID = named(s.LocalID, names)
		}
		if s := &dev.IPsec[i]; !s.RemoteID.Prefix.IsValid() {
			s.RemoteID = named(s.RemoteID, names)
		}
	}
	for i := range dev.Sessions {
		if s := &dev.Sessions[i]; !s.Peer.IsValid() && s.Name != "" {
			s.Peer = names[s.Name]
		}
	}
}

// named resolves a selector whose network is a name: (net-berlin/255.255.255.0/0/0).
func named(s facts.Selector, names map[string]netip.Addr) facts.Selector {
	name, rest, ok := strings.Cut(s.Text, "/")
	if !ok {
		return s
	}
	if a, found := names[name]; found {
		text := s.Text
		s = selector(a.String() + "/" + rest)
		s.Text = text
	}
	return s
}
