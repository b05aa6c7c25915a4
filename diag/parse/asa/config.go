package asa

import (
	"net/netip"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

// config reads show running-config, whole or in sections. A whole configuration replaces
// what was read before; what only "show running-config all" prints is kept beside it.
func (p *reader) config() {
	section := p.out.Filter != "" || !wholeCommand(p.out.Command)
	if section && p.dev.Config != nil && p.dev.Config.Complete && !strings.Contains(p.out.Command, " all") {
		return // the whole is known already
	}
	old := p.dev.Config
	c := &facts.Config{Place: p.out.Place, Source: p.src, Partial: section, All: strings.Contains(p.out.Command, " all")}
	if c.Place.Line == 0 && len(p.out.Text) > 0 {
		c.Place = p.place(p.out.Text[0])
	}
	if section && old != nil {
		c = old
		if c.Partial {
			c.All = c.All || strings.Contains(p.out.Command, " all")
		}
	}
	if c.Names == nil {
		c.Names = map[string]netip.Addr{}
	}
	k := &configReader{reader: p, c: c, parent: [4]int{-1, -1, -1, -1}}
	before := len(c.Lines)
	k.flat = flat(p.out.Text)
	for i := range p.out.Text {
		k.line(p.out.Text[i])
	}
	if len(c.Lines) == before && (old != nil || p.out.Refused) {
		return
	}
	// The end of a configuration, or its name alone, without what a device prints first.
	if c != old && !k.began && (c.Hostname == "" || len(c.Interfaces) == 0) && (k.ended || !section) {
		c.Tail, c.Partial, c.Complete = true, true, false
	}
	if !section && old != nil && old.Partial {
		keep(c, old)
	}
	p.dev.Config = c
	k.finish()
}

// wholeCommand tells whether a command prints all of the configuration.
func wholeCommand(c string) bool {
	switch c {
	case "show running-config", "show running-config all", "show startup-config", "show configuration", "write terminal", "more system:running-config", "":
		return true
	}
	return false
}

// keep carries over what sections read before the whole configuration said beyond it:
// defaults that only "all" prints. Settings of the whole come last and win.
func keep(c, old *facts.Config) {
	if !old.All {
		return
	}
	c.Settings = append(append([]facts.Setting(nil), old.Settings...), c.Settings...)
}

// flat tells that a configuration lost its indentation, or the first blank of it: most lines
// that open a block are followed by one that begins at the margin.
func flat(lines []facts.Line) bool {
	indented, lost, inside, top := 0, 0, 0, 0
	opened := false
	for i := range lines {
		t := lines[i].Text
		if t == "" || t[0] == '!' {
			opened = false
			continue
		}
		in := t[0] == ' ' || t[0] == '\t'
		switch {
		case in:
			inside++
		default:
			top++
		}
		if opened {
			if in {
				indented++
			} else if !opens(t) {
				lost++
			}
		}
		opened = !in && opens(t)
	}
	return inside == 0 && top > 3 || lost > indented
}

// opens tells whether a line begins a block that is hardly ever empty.
func opens(t string) bool {
	switch {
	case strings.HasPrefix(t, "interface "), strings.HasPrefix(t, "object network "), strings.HasPrefix(t, "object-group network "):
		return true
	case strings.HasPrefix(t, "tunnel-group "), strings.HasPrefix(t, "group-policy "):
		return strings.HasSuffix(strings.TrimRight(t, " \r"), "-attributes") || strings.HasSuffix(strings.TrimRight(t, " \r"), " attributes")
	case strings.HasPrefix(t, "crypto ikev1 policy "), strings.HasPrefix(t, "crypto ikev2 policy "), strings.HasPrefix(t, "crypto isakmp policy "):
		return strings.Count(strings.TrimSpace(t), " ") == 3
	}
	return false
}

// mode is the kind of block that sub-commands belong to.
type mode uint8

const (
	noMode mode = iota
	ifMode
	ikePolicyMode
	proposalMode
	tunnelMode
	groupMode
	objectMode
	objectGroupMode
	serviceGroupMode
	aaaMode
	profileMode
	otherMode // a block that has no typed form: webvpn, policy-map, ...
)

type configReader struct {
	*reader
	c      *facts.Config
	flat   bool
	began  bool   // its first lines were seen: ": Saved", "ASA Version"
	ended  bool   // so were its last
	parent [4]int // index in c.Lines of the last line of each depth

	mode     mode
	at       int    // index into the slice of the mode
	sub      string // tunnel-group section, "webvpn" in a group policy
	users    bool   // groupMode writes c.Users
	natOrder int
	index    map[entryKey]int
	groups   map[string]int // tunnel-groups by name
	objects  map[string]int // objects and object-groups by name
	lists    map[string]int // access lists by name
	policies map[string]int // group policies by name
	people   map[string]int // users by name
}

// words splits a line at blanks; a quoted part is one word without its quotes.
func words(t string) []string {
	if strings.IndexByte(t, '"') < 0 {
		return strings.Fields(t)
	}
	var out []string
	for t = strings.TrimSpace(t); t != ""; t = strings.TrimLeft(t, " \t") {
		if t[0] == '"' {
			if i := strings.IndexByte(t[1:], '"'); i >= 0 {
				out = append(out, t[1:1+i])
				t = t[2+i:]
				continue
			}
		}
		i := strings.IndexAny(t, " \t")
		if i < 0 {
			out = append(out, t)
			break
		}
		out = append(out, t[:i])
		t = t[i:]
	}
	return out
}

func (k *configReader) line(l facts.Line) {
	t := strings.TrimSpace(l.Text)
	if t == "" {
		return
	}
	switch t[0] {
	case '!':
		return
	case ':':
		if t == ": end" {
			k.c.Complete, k.ended = !k.c.Partial, true
		}
		k.began = k.began || t == ": Saved" || strings.HasPrefix(t, ": Serial") || strings.HasPrefix(t, ": Hardware")
		return
	}
	f := words(t)
	if len(f) == 0 {
		return
	}
	if len(f) >= 3 && f[1] == "Version" && (f[0] == "ASA" || f[0] == "PIX") || f[0] == "FWSM" {
		setVersion(k.dev, f[2])
		k.began = true
		return
	}
	if strings.HasPrefix(t, "Cryptochecksum:") {
		k.c.Complete, k.ended = !k.c.Partial, true
		return
	}
	depth := 0
	for depth < len(l.Text) && (l.Text[depth] == ' ' || l.Text[depth] == '\t') {
		depth++
	}
	depth = min(depth, 3)
	no := false
	if f[0] == "no" && len(f) > 1 {
		no = true
		f = f[1:]
	}
	if depth == 0 && k.mode != noMode && k.flat && k.child(f, no, l, depth) {
		k.keep(l, 1)
		return
	}
	if depth > 0 {
		k.keep(l, depth)
		if k.mode == noMode || !k.child(f, no, l, depth) {
			if k.mode == noMode && !k.top(f, no, l) { // a filter took the parent away
				k.dev.Skipped++
			}
		}
		return
	}
	k.mode = noMode
	k.keep(l, 0)
	if !k.top(f, no, l) {
		k.mode = otherMode
	}
}

// keep appends the line to Config.Lines with its parent.
func (k *configReader) keep(l facts.Line, depth int) {
	parent := -1
	if depth > 0 {
		for d := depth - 1; d >= 0; d-- {
			if k.parent[d] >= 0 {
				parent = k.parent[d]
				break
			}
		}
	}
	k.c.Lines = append(k.c.Lines, facts.ConfigLine{N: l.N, Text: redact.Strip(strings.TrimSpace(l.Text)), Parent: parent})
	k.parent[depth] = len(k.c.Lines) - 1
	for d := depth + 1; d < len(k.parent); d++ {
		k.parent[d] = -1
	}
}

func setVersion(dev *facts.Device, text string) {
	text = strings.TrimRight(text, " <,")
	v := facts.Version{Text: text}
	major, rest, _ := strings.Cut(text, ".")
	v.Major, v.Minor = atoi(major), atoi(rest)
	if v.Major > 0 {
		dev.Version = v
		if dev.Platform == facts.UnknownPlatform {
			dev.Platform = facts.ASA
		}
	}
}

// addr reads an address or a name of the names table.
func (k *configReader) addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	if c := s[0]; c >= '0' && c <= '9' || strings.IndexByte(s, ':') >= 0 {
		if a, err := netip.ParseAddr(s); err == nil {
			return a
		}
	}
	return k.c.Names[s]
}

// prefix reads a network and a mask; the network may be a name.
func (k *configReader) prefix(net, mask string) netip.Prefix {
	a := k.addr(net)
	m, err := netip.ParseAddr(mask)
	if !a.IsValid() || err != nil || !m.Is4() || !a.Is4() {
		return netip.Prefix{}
	}
	return maskPrefix(a, m)
}

func host(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, a.BitLen())
}

func arg(f []string, i int) string {
	if i < len(f) {
		return f[i]
	}
	return ""
}

// top reads a line of the top level. It is false for what has no typed form.
func (k *configReader) top(f []string, no bool, l facts.Line) bool {
	switch f[0] {
	case "hostname":
		k.c.Hostname = arg(f, 1)
		if k.dev.Hostname == "" {
			k.dev.Hostname = k.c.Hostname
		}
	case "name":
		if a, err := netip.ParseAddr(arg(f, 1)); err == nil && len(f) > 2 {
			k.c.Names[f[2]] = a
		}
	case "names", "domain-name", "enable", "passwd", "ftp", "pager", "asdm", "arp", "boot", "banner", "dns", "clock":
		if f[0] == "dns" && arg(f, 1) == "server-group" {
			k.mode = otherMode
		}
	case "interface":
		k.openInterface(f, l)
	case "nameif": // PIX 6: nameif ethernet0 outside security0
		if len(f) >= 3 {
			i := k.interfaceBy(f[2], l)
			i.Hardware = f[1]
			i.Security = atoi(strings.TrimPrefix(arg(f, 3), "security"))
		}
	case "mtu":
		if len(f) >= 3 {
			k.interfaceBy(f[1], l).MTU = atoi(f[2])
		}
	case "ip":
		return k.ip(f, no, l)
	case "crypto":
		return k.crypto(f, no, l)
	case "isakmp": // PIX 6 and 7.0: the same without crypto in front
		return k.isakmp(f[1:], no, l)
	case "access-list":
		k.accessList(f, l)
	case "access-group":
		k.accessGroup(f, no, l)
	case "object":
		return k.object(f, l)
	case "object-group":
		return k.objectGroup(f, l)
	case "nat", "global", "static":
		k.nat(f, no, l)
	case "nat-control":
		k.setting("nat-control", "", no, l)
	case "route":
		k.route(f, l)
	case "tunnel-group":
		k.tunnelGroup(f, l)
	case "group-policy":
		k.groupPolicy(f, l)
	case "username":
		k.username(f, l)
	case "aaa-server":
		k.aaaServer(f, l)
	default:
		return k.setting1(f, no, l)
	}
	return true
}

// child reads a line of the open block. It is false when the line does not belong into it.
func (k *configReader) child(f []string, no bool, l facts.Line, depth int) bool {
	switch k.mode {
	case ifMode:
		return k.interfaceLine(&k.c.Interfaces[k.at], f, no, l)
	case ikePolicyMode:
		return k.policyLine(&k.c.IKEPolicies[k.at], f, l)
	case proposalMode:
		return k.proposalLine(&k.c.Proposals[k.at], f)
	case tunnelMode:
		return k.tunnelLine(f, no, l)
	case groupMode:
		return k.groupLine(f, no, l, depth)
	case objectMode:
		return k.objectLine(f, l)
	case objectGroupMode:
		return k.objectGroupLine(f, l)
	case serviceGroupMode:
		return f[0] == "port-object" || f[0] == "service-object" || f[0] == "group-object" || f[0] == "description" || f[0] == "protocol-object" || f[0] == "icmp-object"
	case aaaMode:
		return k.aaaLine(f)
	case profileMode:
		pr := &k.c.Profiles[k.at]
		if f[0] != "set" && f[0] != "responder-only" && f[0] != "description" {
			return false
		}
		key, value := splitKey(f, profileKeys)
		pr.Attrs = append(pr.Attrs, facts.Attr{Key: key, Value: value, No: no, Place: k.place(l)})
		return true
	case otherMode:
		return !k.flat
	}
	return false
}

// ---- interfaces

// attrKeys are keys of more than one word; the longest that fits is taken.
var attrKeys = keyTree(
	"isakmp keepalive", "isakmp ikev1-user-authentication", "ikev1 user-authentication", "ikev1 pre-shared-key", "ikev1 trust-point", "ikev1 radius-sdi-xauth",
	"ikev2 remote-authentication pre-shared-key", "ikev2 remote-authentication certificate", "ikev2 local-authentication pre-shared-key", "ikev2 local-authentication certificate", "ikev2 remote-authentication", "ikev2 local-authentication", "ikev2 rsa-sig-hash",
	"ipsec-udp-port", "webvpn", "svc compression", "svc dtls", "svc mtu", "svc keepalive", "svc dpd-interval client", "svc dpd-interval gateway", "svc rekey", "svc df-bit-ignore", "svc keep-installer",
	"anyconnect ssl compression", "anyconnect ssl dtls", "anyconnect ssl keepalive", "anyconnect ssl df-bit-ignore", "anyconnect ssl rekey", "anyconnect mtu", "anyconnect dpd-interval client", "anyconnect dpd-interval gateway", "anyconnect dtls compression", "anyconnect keep-installer", "anyconnect modules",
	"client-firewall", "vpn-idle-timeout alert-interval", "vpn-session-timeout alert-interval", "vpn-idle-timeout", "vpn-session-timeout", "service-type",
)

var profileKeys = keyTree("set ikev1 transform-set", "set ikev2 ipsec-proposal", "set pfs", "set security-association lifetime", "set trustpoint", "set transform-set")

type tree map[string]tree

func keyTree(keys ...string) tree {
	root := tree{}
	for _, k := range keys {
		n := root
		for w := range strings.FieldsSeq(k) {
			if n[w] == nil {
				n[w] = tree{}
			}
			n = n[w]
		}
	}
	return root
}

// splitKey divides a line into its fixed words and the rest; "value" is left out.
func splitKey(f []string, keys tree) (key, value string) {
	n := keys
	i := 0
	for i < len(f) {
		next := n[f[i]]
		if next == nil {
			break
		}
		n = next
		i++
	}
	if i == 0 {
		i = 1
	}
	rest := f[i:]
	if len(rest) > 1 && rest[0] == "value" {
		rest = rest[1:]
	}
	return strings.Join(f[:i], " "), redact.Strip(strings.Join(rest, " "))
}

// settingKeys are the fixed words of one-line settings; what follows is the value.
var settingKeys = keyTree(
	"sysopt connection permit-vpn", "sysopt connection permit-ipsec", "sysopt connection permit-l2tp", "sysopt connection tcpmss", "sysopt connection tcpmss minimum", "sysopt connection preserve-vpn-flows", "sysopt connection reclassify-vpn", "sysopt connection timewait", "sysopt connection tcp-max-unprocessed-seg", "sysopt noproxyarp", "sysopt nodnsalias", "sysopt radius ignore-secret", "sysopt traffic detailed-statistics", "sysopt ipsec pl-compatible",
	"same-security-traffic permit intra-interface", "same-security-traffic permit inter-interface",
	"management-access", "threat-detection basic-threat", "threat-detection scanning-threat", "threat-detection statistics", "threat-detection rate",
	"logging queue", "logging enable", "logging buffered", "logging trap", "logging timestamp", "logging host", "logging class", "logging console", "logging monitor", "logging asdm", "logging buffer-size", "logging message", "logging standby",
	"failover lan unit", "failover lan interface", "failover link", "failover interface ip", "failover polltime", "failover key",
	"crypto isakmp nat-traversal", "crypto isakmp identity", "crypto isakmp am-disable", "crypto isakmp disconnect-notify", "crypto isakmp ipsec-over-tcp", "crypto isakmp reload-wait", "crypto isakmp invalid-spi-recovery", "crypto isakmp keepalive", "crypto isakmp peer", "crypto isakmp log",
	"crypto ikev1 am-disable", "crypto ikev1 ipsec-over-tcp", "crypto ikev1 limit", "crypto ikev2 limit", "crypto ikev2 cookie-challenge", "crypto ikev2 fragmentation", "crypto ikev2 remote-access", "crypto ikev2 redirect", "crypto ikev2 notify",
	"crypto ipsec security-association lifetime seconds", "crypto ipsec security-association lifetime kilobytes", "crypto ipsec security-association lifetime", "crypto ipsec security-association replay window-size", "crypto ipsec security-association replay disable", "crypto ipsec security-association idle-time", "crypto ipsec security-association pmtu-aging",
	"crypto ipsec df-bit", "crypto ipsec fragmentation", "crypto ipsec inner-routing-lookup", "crypto ca trustpoint", "crypto engine large-mod-accel",
	"vpn-sessiondb max-session-limit", "vpn-sessiondb max-other-vpn-limit", "vpn-sessiondb max-anyconnect-premium-or-essentials-limit", "vpn-sessiondb max-webvpn-session-limit", "vpn-sessiondb",
	"ip audit signature", "ip audit name", "ip audit interface", "ip audit info", "ip audit attack", "ip verify reverse-path",
	"http server enable", "fragment chain", "fragment size", "fragment timeout", "service resetinbound", "service resetoutside", "timeout xlate", "timeout conn",
	"vpnclient server", "vpnclient mode", "vpnclient vpngroup", "vpnclient enable", "vpnclient username", "vpnclient management", "vpnclient nem-st-autoconnect", "vpnclient ipsec-over-tcp", "vpngroup", "firewall transparent", "dynamic-access-policy-record", "vpn-addr-assign", "access-group", "compression", "url-server", "snmp-server host", "aaa authentication", "icmp unreachable", "vpn load-balancing",
)

// setting1 reads one-line settings of any kind.
func (k *configReader) setting1(f []string, no bool, l facts.Line) bool {
	switch f[0] {
	case "webvpn", "policy-map", "class-map", "dynamic-access-policy-record", "router", "time-range", "prompt", "vpn", "ssl", "dhcpd", "http", "ssh", "telnet", "console", "snmp-server", "ntp", "timeout", "service-policy", "aaa", "tls-proxy", "privilege", "anyconnect-essentials", "zonelabs-integrity", "call-home", "cluster", "regex", "track", "sla", "group-object", "flow-export", "hpm", "terminal", "user-identity", "password-policy", "quota", "jumbo-frame", "monitor-interface", "ldap", "mac-address", "route-map", "prefix-list", "multicast-routing", "context", "mode":
		key, value := splitKey(f, settingKeys)
		k.setting(key, value, no, l)
		return len(f) > 1 && f[0] != "policy-map" && f[0] != "class-map" && f[0] != "router" && f[0] != "dynamic-access-policy-record" && f[0] != "time-range" && f[0] != "vpn" && f[0] != "ldap" && f[0] != "sla" && f[0] != "context" && f[0] != "route-map"
	}
	key, value := splitKey(f, settingKeys)
	if settingKeys[f[0]] == nil && f[0] != "icmp" && f[0] != "failover" && f[0] != "shun" && f[0] != "service" && f[0] != "fragment" && f[0] != "compression" {
		return false
	}
	k.setting(key, value, no, l)
	return true
}

func (k *configReader) setting(key, value string, no bool, l facts.Line) {
	k.c.Settings = append(k.c.Settings, facts.Setting{Key: key, Value: value, No: no, Place: k.place(l)})
}

// ---- finish

// finish fills in what needs the whole: names, object groups, defaults of the release.
func (k *configReader) finish() {
	k.resolve()
	for i := range k.c.IKEPolicies {
		policyDefaults(&k.c.IKEPolicies[i], k.dev.Version)
	}
	// The addresses that face a peer: those of interfaces with a crypto map, else of the outside.
	bound := map[string]bool{}
	for _, b := range k.c.MapBindings {
		bound[b.Interface] = true
	}
	for _, e := range k.c.IKEEnabled {
		if !e.No {
			bound[e.Interface] = true
		}
	}
	if len(bound) == 0 {
		bound["outside"] = true
	}
	for _, i := range k.c.Interfaces {
		if a := i.Address.Addr(); bound[i.Name] && a.IsValid() && !own(k.dev, a) {
			k.dev.Addresses = append(k.dev.Addresses, a)
		}
	}
}

func policyDefaults(p *facts.IKEPolicy, v facts.Version) {
	def := func(name string, at *[]string, value string) {
		if len(*at) == 0 {
			*at = []string{value}
			p.Defaulted = append(p.Defaulted, name)
		}
	}
	pix := v.Text != "" && v.Major < 7
	enc, group, auth := "3des", "2", "pre-share"
	if pix {
		enc, group, auth = "des", "1", "rsa-sig"
	}
	if v.AtLeast(9, 13) {
		group = "14"
		if p.Version == 2 {
			enc = "aes-256"
		}
	}
	def("encryption", &p.Encryption, enc)
	def("hash", &p.Hash, "sha")
	def("group", &p.Groups, group)
	if p.Version == 2 {
		def("prf", &p.PRF, "sha")
	} else if p.Auth == "" {
		p.Auth = auth
		p.Defaulted = append(p.Defaulted, "auth")
	}
	if _, ok := p.Places["lifetime"]; !ok && p.Lifetime == 0 {
		p.Lifetime = 86400
		p.Defaulted = append(p.Defaulted, "lifetime")
	}
}

func number(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}
