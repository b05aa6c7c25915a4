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

// flat tells that a configuration lost its indentation.
func flat(lines []facts.Line) bool {
	indented, top := 0, 0
	for i := range lines {
		switch t := lines[i].Text; {
		case t == "":
		case t[0] == ' ' || t[0] == '\t':
			indented++
		default:
			top++
		}
	}
	return indented == 0 && top > 3
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
			k.c.Complete = !k.c.Partial
		}
		return
	}
	f := words(t)
	if len(f) == 0 {
		return
	}
	if len(f) >= 3 && f[1] == "Version" && (f[0] == "ASA" || f[0] == "PIX") || f[0] == "FWSM" {
		setVersion(k.dev, f[2])
		return
	}
	if strings.HasPrefix(t, "Cryptochecksum:") {
		k.c.Complete = !k.c.Partial
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

func (k *configReader) openInterface(f []string, l facts.Line) {
	if len(f) < 2 {
		return
	}
	if len(f) == 3 && (f[2] == "auto" || strings.HasSuffix(f[2], "full") || strings.HasSuffix(f[2], "half") || f[2] == "shutdown") { // PIX 6
		return
	}
	k.c.Interfaces = append(k.c.Interfaces, facts.Interface{Hardware: strings.Join(f[1:], ""), Security: -1, Place: k.place(l)})
	k.mode, k.at = ifMode, len(k.c.Interfaces)-1
}

// interfaceBy finds an interface by its nameif, or makes one (PIX, sections).
func (k *configReader) interfaceBy(name string, l facts.Line) *facts.Interface {
	for i := range k.c.Interfaces {
		if k.c.Interfaces[i].Name == name {
			return &k.c.Interfaces[i]
		}
	}
	k.c.Interfaces = append(k.c.Interfaces, facts.Interface{Name: name, Security: -1, Place: k.place(l)})
	return &k.c.Interfaces[len(k.c.Interfaces)-1]
}

func (k *configReader) interfaceLine(i *facts.Interface, f []string, no bool, l facts.Line) bool {
	switch f[0] {
	case "nameif":
		if !no {
			i.Name = arg(f, 1)
		}
	case "security-level":
		if !no {
			i.Security = atoi(arg(f, 1))
		}
	case "ip":
		if arg(f, 1) != "address" {
			return arg(f, 1) == "verify"
		}
		if no {
			return true
		}
		i.Place = k.place(l)
		switch arg(f, 2) {
		case "dhcp", "pppoe":
			i.Dynamic = true
		default:
			k.setAddress(i, arg(f, 2), arg(f, 3))
		}
	case "shutdown":
		i.Shutdown = !no
	case "mtu":
		i.MTU = atoi(arg(f, 1))
	case "tunnel":
		switch arg(f, 1) {
		case "source":
			i.TunnelSrc = f[len(f)-1]
		case "destination":
			i.TunnelDst = k.addr(arg(f, 2))
		case "protection":
			i.Protection = f[len(f)-1]
		}
	case "description", "speed", "duplex", "vlan", "management-only", "switchport", "no", "allow-ssc-mgmt", "channel-group", "mac-address", "standby", "ospf", "rip", "pppoe", "forward", "backup", "igmp", "pim", "ipv6", "delay", "flowcontrol", "dhcp", "ddns", "lacp", "port-channel", "hello-interval", "authentication", "media-type", "zone-member", "policy-route", "summary-address", "split-horizon", "cts", "nve-only", "vtep-nve", "bridge-group", "member-interface", "priority-queue":
	default:
		return false
	}
	return true
}

// setAddress keeps the host bits: an interface's address is its own.
func (k *configReader) setAddress(i *facts.Interface, addr, mask string) {
	a := k.addr(addr)
	if !a.IsValid() {
		return
	}
	bits := a.BitLen()
	if p := masked(a.String(), mask); p.IsValid() {
		bits = p.Bits()
	}
	i.Address = netip.PrefixFrom(a, bits)
}

// ---- ip ...

func (k *configReader) ip(f []string, no bool, l facts.Line) bool {
	switch arg(f, 1) {
	case "local":
		if arg(f, 2) != "pool" || len(f) < 5 || no {
			return true
		}
		from, to, _ := strings.Cut(f[4], "-")
		pool := facts.Pool{Name: f[3], From: k.addr(from), To: k.addr(to), Place: k.place(l)}
		if to == "" {
			pool.To = pool.From
		}
		if arg(f, 5) == "mask" {
			pool.Mask = k.addr(arg(f, 6))
		}
		k.c.Pools = append(k.c.Pools, pool)
	case "address": // PIX 6: ip address outside 192.0.2.1 255.255.255.0
		if len(f) >= 4 && !no {
			i := k.interfaceBy(f[2], l)
			i.Place = k.place(l)
			if f[3] == "dhcp" || f[3] == "pppoe" {
				i.Dynamic = true
			} else {
				k.setAddress(i, f[3], arg(f, 4))
			}
		}
	default:
		return k.setting1(f, no, l)
	}
	return true
}

func (k *configReader) accessGroup(f []string, no bool, l facts.Line) {
	// access-group NAME in|out interface IF [control-plane], access-group NAME global
	if len(f) >= 5 && f[3] == "interface" && !no && f[len(f)-1] != "control-plane" {
		i := k.interfaceBy(f[4], l)
		if f[2] == "out" {
			i.ACLOut = f[1]
		} else {
			i.ACLIn = f[1]
		}
		return
	}
	k.setting("access-group", strings.Join(f[1:], " "), no, l)
}

func (k *configReader) route(f []string, l facts.Line) {
	// route IF NET MASK GW [metric] [track N | tunneled]
	if len(f) < 5 {
		return
	}
	net, mask := f[2], f[3]
	if net == "0" {
		net = "0.0.0.0"
	}
	if mask == "0" {
		mask = "0.0.0.0"
	}
	r := facts.StaticRoute{Interface: f[1], Prefix: k.prefix(net, mask), Via: k.addr(f[4]), Metric: atoi(arg(f, 5)), Place: k.place(l)}
	if r.Prefix.IsValid() {
		k.c.Routes = append(k.c.Routes, r)
	}
}

// ---- AAA

func (k *configReader) aaaServer(f []string, l facts.Line) {
	if len(f) < 3 {
		return
	}
	group := f[1]
	if f[2] == "protocol" {
		k.c.AAAServers = append(k.c.AAAServers, facts.AAAServer{Group: group, Protocol: arg(f, 3), Place: k.place(l)})
		k.mode, k.at = aaaMode, len(k.c.AAAServers)-1
		return
	}
	s := facts.AAAServer{Group: group, Place: k.place(l)}
	for i := 2; i < len(f); i++ {
		switch {
		case f[i][0] == '(':
			s.Interface = strings.Trim(f[i], "()")
		case f[i] == "host":
			s.Host = arg(f, i+1)
			i++
		case f[i] == "timeout":
			s.Timeout = atoi(arg(f, i+1))
			i++
		}
	}
	for i := range k.c.AAAServers {
		if k.c.AAAServers[i].Group == group && k.c.AAAServers[i].Protocol != "" {
			s.Protocol = k.c.AAAServers[i].Protocol
		}
	}
	if s.Host == "" {
		return
	}
	if a := k.addr(s.Host); a.IsValid() {
		s.Host = a.String()
	}
	k.c.AAAServers = append(k.c.AAAServers, s)
	k.mode, k.at = aaaMode, len(k.c.AAAServers)-1
}

func (k *configReader) aaaLine(f []string) bool {
	s := &k.c.AAAServers[k.at]
	switch f[0] {
	case "timeout":
		s.Timeout = atoi(arg(f, 1))
	case "key", "authentication-port", "accounting-port", "radius-common-pw", "retry-interval", "max-failed-attempts", "reactivation-mode", "ldap-base-dn", "ldap-scope", "ldap-naming-attribute",
		"ldap-login-password", "ldap-login-dn", "server-type", "server-port", "nt-auth-domain-controller", "mschapv2-capable", "acl-netmask-convert", "ldap-over-ssl", "sasl-mechanism", "ldap-attribute-map",
		"dynamic-authorization", "interim-accounting-update", "accounting-mode", "authorize-only", "merge-dacl", "ad-agent-mode", "sdi-version", "sdi-pre-5-slave", "kerberos-realm", "ldap-group-base-dn", "group-search-timeout", "realm-id":
	default:
		return false
	}
	return true
}

// ---- tunnel-groups, group policies, users

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

func (k *configReader) tunnelGroup(f []string, l facts.Line) {
	if len(f) < 3 {
		return
	}
	name := f[1]
	if k.groups == nil {
		k.groups = make(map[string]int, len(k.c.TunnelGroups))
		for i := range k.c.TunnelGroups {
			k.groups[k.c.TunnelGroups[i].Name] = i
		}
	}
	at, ok := k.groups[name]
	if !ok {
		k.c.TunnelGroups = append(k.c.TunnelGroups, facts.TunnelGroup{Name: name, Place: k.place(l)})
		at = len(k.c.TunnelGroups) - 1
		k.groups[name] = at
	}
	k.at = at
	if f[2] == "type" {
		t := arg(f, 3)
		if t == "ipsec-ra" || t == "webvpn" && len(f) == 4 {
			if t == "ipsec-ra" {
				t = "remote-access"
			}
		}
		k.c.TunnelGroups[k.at].Type = t
		k.c.TunnelGroups[k.at].Place = k.place(l)
		return
	}
	k.sub = f[2]
	k.mode = tunnelMode
}

// tunnelWords are the first words of tunnel-group lines, for configurations without indentation.
var tunnelWords = set("pre-shared-key", "ikev1", "ikev2", "isakmp", "peer-id-validate", "trust-point", "chain", "default-group-policy", "address-pool", "authentication-server-group", "authorization-server-group", "accounting-server-group", "authentication", "group-alias", "group-url", "strip-realm", "strip-group", "dhcp-server", "authorization-required", "radius-reject-message", "override-account-disable", "password-management", "username-from-certificate", "nat-assigned-to-public-ip", "ipv6-address-pool", "secondary-authentication-server-group", "annotation", "customization", "radius-sdi-xauth", "without-csd", "secondary-username-from-certificate", "hic-fail-group-policy", "nbns-server", "proxy-auth", "pre-fill-username", "authentication-attr-from-server", "authenticated-session-username", "scep-enrollment", "dns-group", "override-svc-download", "virtual-http")

func (k *configReader) tunnelLine(f []string, no bool, l facts.Line) bool {
	if k.flat && !tunnelWords[f[0]] {
		return false
	}
	g := &k.c.TunnelGroups[k.at]
	key, value := splitKey(f, attrKeys)
	place := k.place(l)
	if strings.HasSuffix(key, "pre-shared-key") && !no {
		psk := facts.PSK{Name: g.Name, Place: place}
		if a := k.addr(g.Name); a.IsValid() {
			psk.Peer = host(a)
		}
		switch {
		case strings.HasPrefix(key, "ikev1"):
			psk.Version = 1
		case strings.HasPrefix(key, "ikev2 remote"):
			psk.Version, psk.Side = 2, "remote"
		case strings.HasPrefix(key, "ikev2 local"):
			psk.Version, psk.Side = 2, "local"
		}
		psk.Token, _ = redact.Token(f[len(f)-1])
		k.c.Keys = append(k.c.Keys, psk)
	}
	g.Attrs = append(g.Attrs, facts.Attr{Key: key, Value: value, No: no, Place: place})
	return true
}

func (k *configReader) groupPolicy(f []string, l facts.Line) {
	if len(f) < 3 {
		return
	}
	k.at = findGroup(&k.policies, &k.c.GroupPolicies, f[1], k.place(l))
	g := &k.c.GroupPolicies[k.at]
	switch f[2] {
	case "external":
		g.External = true
	case "internal":
		if arg(f, 3) == "from" {
			g.From = arg(f, 4)
		}
	case "attributes":
		k.mode, k.users, k.sub = groupMode, false, ""
	}
}

func (k *configReader) username(f []string, l facts.Line) {
	if len(f) < 3 {
		return
	}
	k.at = findGroup(&k.people, &k.c.Users, f[1], k.place(l))
	if f[2] == "attributes" {
		k.mode, k.users, k.sub = groupMode, true, ""
	}
}

func findGroup(index *map[string]int, list *[]facts.GroupPolicy, name string, place facts.Place) int {
	if *index == nil {
		*index = make(map[string]int, len(*list))
		for i := range *list {
			(*index)[(*list)[i].Name] = i
		}
	}
	if i, ok := (*index)[name]; ok {
		return i
	}
	*list = append(*list, facts.GroupPolicy{Name: name, Place: place})
	(*index)[name] = len(*list) - 1
	return len(*list) - 1
}

// groupWords tell lines of a group policy from commands of the top level when indentation is lost.
var groupWords = set("wins-server", "dns-server", "dhcp-network-scope", "vpn-access-hours", "vpn-simultaneous-logins", "vpn-idle-timeout", "vpn-session-timeout", "vpn-filter", "vpn-tunnel-protocol", "password-storage", "ip-comp", "re-xauth", "group-lock", "pfs", "ipsec-udp", "ipsec-udp-port", "split-tunnel-policy", "split-tunnel-network-list", "default-domain", "split-dns", "intercept-dhcp", "secure-unit-authentication", "user-authentication", "user-authentication-idle-timeout", "ip-phone-bypass", "leap-bypass", "nem", "backup-servers", "msie-proxy", "vlan", "nac-settings", "address-pools", "banner", "smartcard-removal-disconnect", "client-firewall", "client-access-rule", "vpn-group-policy", "vpn-framed-ip-address", "service-type", "memberof", "group-policy-type", "ipv6-vpn-filter", "gateway-fqdn", "periodic-authentication", "split-tunnel-all-dns", "ipv6-split-tunnel-policy", "ipv6-address-pools", "scep-forwarding-url", "client-bypass-protocol", "security-group-tag", "nac", "anyconnect", "svc", "url-list", "functions", "homepage", "filter", "port-forward", "customization", "keep-alive-ignore", "http-comp", "user-storage", "hidden-shares", "file-entry", "file-browsing", "url-entry", "html-content-filter", "sso-server", "deny-message", "always-on-vpn", "smart-tunnel", "activex-relay", "http-proxy", "storage-key", "storage-objects", "unix-auth-gid", "unix-auth-uid", "auto-signon", "ike-retry-timeout", "ike-retry-count", "ipsec-backup-servers", "bypass")

func (k *configReader) groupLine(f []string, no bool, l facts.Line, depth int) bool {
	if f[0] == "webvpn" && len(f) == 1 {
		k.sub = "webvpn"
		return true
	}
	if k.flat && !groupWords[f[0]] {
		return false
	}
	if depth <= 1 && !k.flat {
		k.sub = ""
	}
	key, value := splitKey(f, attrKeys)
	if k.sub != "" {
		key = k.sub + " " + key
	}
	list := k.c.GroupPolicies
	if k.users {
		list = k.c.Users
	}
	if k.at < len(list) {
		list[k.at].Attrs = append(list[k.at].Attrs, facts.Attr{Key: key, Value: value, No: no, Place: k.place(l)})
	}
	return true
}

// ---- settings

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
