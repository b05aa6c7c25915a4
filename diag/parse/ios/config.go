package ios

import (
	"net/netip"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
)

// config parses show running-config, whole or a section of it.
func (o *output) config() {
	c := newConfigParser(o)
	for _, l := range o.out.Text {
		c.line(l)
	}
	c.finish()
	cmd := strings.TrimSpace(strings.TrimPrefix(o.out.Command, "do "))
	whole := cmd == "show running-config" || cmd == "show startup-config" || cmd == "show configuration" || cmd == "write terminal" ||
		cmd == "show running-config all" || strings.HasPrefix(cmd, "more system:")
	if cmd == "show running-config section" { // recognised by its lines: whole when it has both ends
		whole = c.sawBegin && c.sawEnd
	}
	c.cfg.All = strings.HasSuffix(cmd, " all") || strings.Contains(cmd, " all |")
	c.cfg.Partial = !whole || o.piped || !c.sawBegin && !c.sawEnd && (c.cfg.Hostname == "" || len(c.cfg.Interfaces) == 0)
	c.cfg.Tail = whole && !c.sawBegin && c.cfg.Hostname == "" || !c.sawBegin && c.sawEnd && c.cfg.Hostname == ""
	c.cfg.Complete = !c.cfg.Partial && c.sawEnd // a prompt may follow where somebody left the pager
	if len(c.cfg.Lines) == 0 {
		return
	}
	o.dev.Config = merge(o.dev.Config, c.cfg)
	adopt(o.dev)
}

// adopt takes the device's name and addresses from its configuration.
func adopt(dev *facts.Device) {
	cfg := dev.Config
	if cfg.Hostname != "" {
		dev.Hostname = cfg.Hostname
	}
	if dev.Inventory {
		return
	}
	have := map[netip.Addr]bool{}
	for _, a := range dev.Addresses {
		have[a] = true
	}
	sources := map[string]bool{}
	for _, i := range cfg.Interfaces {
		if i.TunnelSrc != "" {
			sources[i.TunnelSrc] = true
		}
	}
	for _, i := range cfg.Interfaces {
		if a := i.Address.Addr(); a.IsValid() && !have[a] && (i.Map != "" || sources[i.Name] || sources[a.String()]) {
			dev.Addresses = append(dev.Addresses, a)
			have[a] = true
		}
	}
}

// kinds of sections.
type section int

const (
	none section = iota
	inInterface
	inIsakmpPolicy
	inIKEv2Proposal
	inIKEv2Policy
	inProfile // isakmp, ikev2, ipsec
	inKeyring
	inIKEv2Keyring
	inTransform
	inMap
	inACL
	inRouteMap
	inClientGroup
	inObjects
	inRadius
	inAAAGroup
	inOther
)

type configParser struct {
	o        *output
	cfg      *facts.Config
	sec      section
	indented bool // the text still has its indentation
	sawEnd   bool
	sawBegin bool
	parents  [4]parent // open sections by depth
	depth    int

	name     string // of the open section
	keyring  string
	peer     string // IKEv2 keyring peer
	peerAddr []netip.Prefix
	peerKeys int               // where the keys of the keyring's peer begin
	mapProfs map[string]string // crypto map to its isakmp-profile
	six      bool              // IPv6 access list
	groups   map[string][]netip.Prefix
	policies map[string][]string // IKEv2 policy to proposals
	ace      []pendingACE
	acls     map[string]int // access list to its index
	entries  map[mapKey]int // crypto map entry to its index
	current  int            // index of the open crypto map entry
}

// mapKey names a crypto map entry.
type mapKey struct {
	name    string
	seq     int
	dynamic bool
}

type parent struct{ indent, index int }

// pendingACE is an entry whose object groups are resolved at the end.
type pendingACE struct {
	acl, entry int
	src, dst   string
}

func newConfigParser(o *output) *configParser {
	c := &configParser{o: o, cfg: &facts.Config{Source: o.source, Place: o.out.Place, Lines: make([]facts.ConfigLine, 0, len(o.out.Text))}, groups: map[string][]netip.Prefix{}, policies: map[string][]string{},
		mapProfs: map[string]string{}, acls: map[string]int{}, entries: map[mapKey]int{}}
	c.indented = indented(o.out.Text)
	return c
}

// indented tells whether a configuration still has its indentation: of the lines behind those
// that open a block, most begin with a blank.
func indented(lines []facts.Line) bool {
	kept, lost, any := 0, 0, false
	opened := false
	for i := range lines {
		t := lines[i].Text
		if t == "" || t[0] == '!' {
			opened = false
			continue
		}
		in := (t[0] == ' ' || t[0] == '\t') && strings.TrimSpace(t) != ""
		any = any || in
		opens := strings.HasPrefix(t, "interface ") || strings.HasPrefix(t, "crypto isakmp policy ") || strings.HasPrefix(t, "ip access-list extended ") ||
			strings.HasPrefix(t, "crypto map ") && strings.Contains(t, " ipsec-isakmp") && !strings.Contains(t, " dynamic ") || strings.HasPrefix(t, "crypto isakmp client configuration group ")
		if opened && in {
			kept++
		} else if opened && !opens {
			lost++
		}
		opened = opens
	}
	return any && (kept > 0 || lost == 0)
}

func (c *configParser) line(l facts.Line) {
	text := strings.TrimRight(l.Text, " \t\r")
	t := strings.TrimLeft(text, " \t")
	if t == "" {
		return
	}
	if t[0] == '!' {
		if len(text) == len(t) {
			c.sec = none
			c.depth = 0
		}
		if strings.HasPrefix(t, "! Last configuration") {
			c.sawBegin = true
		}
		return
	}
	switch {
	case t == "end":
		c.sawEnd = true
		c.sec = none
		return
	case strings.HasPrefix(t, "Building configuration"), strings.HasPrefix(t, "Current configuration"), strings.HasPrefix(t, "Using "), strings.HasPrefix(t, "Load for "):
		c.sawBegin = c.sawBegin || t[0] != 'L'
		return
	}
	indent := len(text) - len(t)
	child := c.sec != none && (indent > 0 || !c.indented && childWord(c.sec, t))
	if !child && indent == 0 {
		c.depth = 0
		c.sec = none
	}
	c.record(l, t, indent, child)
	place := c.o.place(l)
	no := false
	if strings.HasPrefix(t, "no ") {
		no, t = true, strings.TrimLeft(t[3:], " ")
	} else if strings.HasPrefix(t, "default ") && !child {
		return
	}
	if child {
		c.child(t, no, place)
		return
	}
	c.top(t, no, place)
}

// record keeps the line with its parent.
func (c *configParser) record(l facts.Line, t string, indent int, child bool) {
	if child && indent == 0 {
		indent = 1
	}
	for c.depth > 0 && c.parents[c.depth-1].indent >= indent {
		c.depth--
	}
	p := -1
	if c.depth > 0 {
		p = c.parents[c.depth-1].index
	}
	c.cfg.Lines = append(c.cfg.Lines, facts.ConfigLine{N: l.N, Text: t, Parent: p})
	if c.depth < len(c.parents) {
		c.parents[c.depth] = parent{indent, len(c.cfg.Lines) - 1}
		c.depth++
	}
}

// childWord tells whether a line without indentation goes on with the section.
func childWord(s section, t string) bool {
	w, _ := word(strings.TrimPrefix(t, "no "))
	var words string
	switch s {
	case inInterface:
		words = " description ip ipv6 duplex speed crypto tunnel shutdown mtu bandwidth encapsulation keepalive delay vrf negotiation standby cdp load-interval pppoe-client ppp dialer qos zone-member media-type service-policy switchport peer nat64 "
		if w == "ip" {
			rest := strings.TrimPrefix(strings.TrimPrefix(t, "no "), "ip ")
			switch v, _ := word(rest); v {
			case "route", "access-list", "local", "forward-protocol", "http", "cef", "domain", "ssh", "name-server", "dhcp", "classless", "subnet-zero", "tacacs", "radius", "prefix-list", "sla":
				return false
			case "nat":
				return rest == "nat inside" || rest == "nat outside"
			}
			return true
		}
		if w == "crypto" {
			return len(strings.Fields(t)) == 3
		}
	case inIsakmpPolicy:
		words = " encr encryption hash authentication group lifetime "
	case inIKEv2Proposal:
		words = " encryption integrity prf group pqc "
	case inIKEv2Policy:
		words = " proposal match "
	case inProfile:
		words = " match set keyring self-identity ca initiate keepalive client isakmp virtual-template authentication identity lifetime dpd aaa pki nat ivrf accounting description responder-only config-exchange redirect "
		if w == "aaa" {
			return strings.HasPrefix(t, "aaa authori") && !strings.HasPrefix(t, "aaa authorization exec")
		}
	case inKeyring:
		words = " pre-shared-key rsa-pubkey local-address description "
	case inIKEv2Keyring:
		words = " peer address hostname identity pre-shared-key description "
	case inTransform:
		words = " mode esn "
	case inMap:
		words = " set match description reverse-route qos "
	case inACL:
		words = " permit deny remark evaluate "
		return strings.Contains(words, " "+w+" ") || w != "" && isDigit(w[0])
	case inRouteMap:
		words = " match set description continue "
	case inClientGroup:
		words = " key dns wins domain pool acl netmask save-password include-local-lan max-users max-logins split-dns backup-gateway banner firewall group-lock pfs auto-update browser-proxy configuration dhcp "
	case inObjects:
		words = " host range group-object network-object "
		return strings.Contains(words, " "+w+" ") || addr(w).IsValid()
	case inRadius:
		words = " address key timeout retransmit automate-tester "
	case inAAAGroup:
		words = " server server-private ip "
	}
	return strings.Contains(words, " "+w+" ")
}

// top reads a line outside any section.
func (c *configParser) top(t string, no bool, place facts.Place) {
	w, rest := word(t)
	switch w {
	case "version":
		v := parseVersion(rest)
		if v.Text != "" && (c.o.dev.Version.Text == "" || strings.HasPrefix(c.o.dev.Version.Text, v.Text)) && len(c.o.dev.Version.Text) <= len(v.Text) {
			c.o.dev.Version = v
		}
		c.sawBegin = true
	case "hostname":
		c.cfg.Hostname = strings.Trim(rest, "\"")
	case "interface":
		if no {
			return
		}
		c.sec = inInterface
		c.cfg.Interfaces = append(c.cfg.Interfaces, facts.Interface{Name: interfaceName(rest), Security: -1, Place: place})
	case "crypto":
		c.crypto(t, rest, no, place)
	case "access-list":
		c.numberedACL(rest, no, place)
	case "ip":
		c.ip(t, rest, no, place)
	case "ipv6":
		switch v, r := word(rest); v {
		case "route":
			c.route(r, no, place)
		case "access-list":
			if !no {
				c.sec, c.name, c.six = inACL, r, true
				c.acl(r, false, place)
			}
		case "local":
			c.sec = none
		}
	case "route-map":
		if no {
			return
		}
		f := strings.Fields(rest)
		if len(f) == 0 {
			return
		}
		rm := facts.RouteMap{Name: f[0], Permit: true, Sequence: 10, Place: place}
		if len(f) > 1 {
			rm.Permit = f[1] != "deny"
		}
		if len(f) > 2 {
			rm.Sequence = atoi(f[2])
		}
		c.sec = inRouteMap
		c.cfg.RouteMaps = append(c.cfg.RouteMaps, rm)
	case "object-group":
		f := strings.Fields(rest)
		if !no && len(f) >= 2 && f[0] == "network" {
			c.sec, c.name = inObjects, f[1]
			c.cfg.Objects = append(c.cfg.Objects, facts.Object{Name: f[1], Group: true, Place: place})
			c.groups[f[1]] = nil
		} else {
			c.sec, c.name = inOther, ""
		}
	case "radius-server", "tacacs-server":
		c.aaaHost(w, rest, no, place)
	case "radius", "tacacs":
		if f := strings.Fields(rest); !no && len(f) >= 2 && f[0] == "server" {
			c.sec = inRadius
			c.cfg.AAAServers = append(c.cfg.AAAServers, facts.AAAServer{Group: f[1], Protocol: w, Place: place})
		}
	case "aaa":
		if strings.HasPrefix(rest, "group server ") {
			f := strings.Fields(rest)
			c.sec, c.name = inAAAGroup, f[len(f)-1]
			c.peer = strings.TrimSuffix(f[2], "+")
			return
		}
		c.set(t, no, place)
	default:
		c.set(t, no, place)
		switch w {
		case "line", "router", "vrf", "class-map", "policy-map", "control-plane", "archive", "username", "key", "track", "voice", "dial-peer", "webvpn", "zone", "parameter-map", "event", "redundancy", "banner":
			c.sec = inOther
		}
	}
}

// settingKeys are the one-line settings; the rest of the line is the value. Longer keys
// stand before the shorter ones that they start with.
var settingKeys = []string{
	"crypto isakmp keepalive", "crypto isakmp identity", "crypto isakmp aggressive-mode disable", "crypto isakmp invalid-spi-recovery",
	"crypto isakmp nat keepalive", "crypto isakmp fragmentation", "crypto isakmp enable", "crypto isakmp xauth timeout", "crypto isakmp diagnose error",
	"crypto isakmp default policy",
	"crypto ipsec security-association lifetime seconds", "crypto ipsec security-association lifetime kilobytes", "crypto ipsec security-association lifetime days",
	"crypto ipsec security-association idle-time", "crypto ipsec security-association replay window-size", "crypto ipsec security-association replay disable",
	"crypto ipsec security-association multi-sn", "crypto ipsec security-association dummy",
	"crypto ipsec df-bit", "crypto ipsec nat-transparency udp-encapsulation", "crypto ipsec nat-transparency spi-matching", "crypto ipsec fragmentation", "crypto ipsec optional",
	"crypto ikev2 fragmentation mtu", "crypto ikev2 fragmentation", "crypto ikev2 dpd", "crypto ikev2 nat keepalive", "crypto ikev2 window", "crypto ikev2 cookie-challenge",
	"crypto ikev2 limit max-in-negotation-sa", "crypto ikev2 limit max-in-negotiation-sa", "crypto ikev2 limit max-sa", "crypto ikev2 http-url cert", "crypto ikev2 diagnose error",
	"crypto ikev2 certificate-cache", "crypto ikev2 enable", "crypto engine", "crypto ctcp port", "crypto ctcp", "crypto call admission limit ike sa", "crypto call admission limit",
	"crypto logging session", "crypto logging ezvpn", "crypto logging ikev2", "crypto mib",
	"ip tcp window-size", "ip tcp adjust-mss", "ip tcp path-mtu-discovery", "ip tcp mss", "radius-server timeout", "radius-server retransmit", "radius-server deadtime",
	"tacacs-server timeout", "aaa new-model", "aaa authentication login", "aaa authentication", "aaa authorization network", "aaa authorization", "aaa accounting",
	"ip audit", "ip inspect", "ip domain name", "ip domain-name", "ip name-server", "ip cef", "logging buffered", "logging rate-limit", "throughput level", "platform hardware throughput crypto",
	"license boot level", "license boot module", "service timestamps log", "service timestamps debug",
	"clock timezone", "clock summer-time", "ntp server",
}

// set keeps a one-line setting.
func (c *configParser) set(t string, no bool, place facts.Place) {
	for _, k := range settingKeys {
		if strings.HasPrefix(t, k) && (len(t) == len(k) || t[len(k)] == ' ') {
			c.cfg.Settings = append(c.cfg.Settings, facts.Setting{Key: k, Value: strings.TrimSpace(t[len(k):]), No: no, Place: place})
			return
		}
	}
}

// crypto reads a top-level crypto line; t is the whole line without "no".
func (c *configParser) crypto(t, rest string, no bool, place facts.Place) {
	w, r := word(rest)
	f := strings.Fields(r)
	switch w {
	case "isakmp":
		if len(f) == 0 {
			return
		}
		switch f[0] {
		case "policy":
			if !no && len(f) > 1 {
				c.sec = inIsakmpPolicy
				c.cfg.IKEPolicies = append(c.cfg.IKEPolicies, newPolicy(atoi(f[1]), place))
			}
			return
		case "key":
			if !no {
				c.isakmpKey(f[1:], place)
			}
			return
		case "enable":
			c.cfg.IKEEnabled = append(c.cfg.IKEEnabled, facts.IKEEnable{Version: 1, No: no, Place: place})
		case "client":
			if !no && len(f) > 3 && f[1] == "configuration" && f[2] == "group" {
				c.sec = inClientGroup
				c.cfg.ClientGroups = append(c.cfg.ClientGroups, facts.GroupPolicy{Name: f[3], Place: place})
			}
			return
		case "profile":
			if !no && len(f) > 1 {
				c.profile("isakmp", f[1], place)
			}
			return
		case "peer":
			c.sec = inOther
			return
		}
		c.set(t, no, place)
	case "ikev2":
		if len(f) > 1 && !no {
			switch f[0] {
			case "proposal":
				c.sec = inIKEv2Proposal
				c.cfg.Proposals = append(c.cfg.Proposals, facts.IKEv2Proposal{Name: f[1], Place: place})
				return
			case "policy":
				c.sec, c.name = inIKEv2Policy, f[1]
				if _, ok := c.policies[f[1]]; !ok {
					c.policies[f[1]] = nil
				}
				return
			case "profile":
				c.profile("ikev2", f[1], place)
				return
			case "keyring":
				c.sec, c.keyring, c.peer, c.peerAddr, c.peerKeys = inIKEv2Keyring, f[1], "", nil, len(c.cfg.Keys)
				return
			case "authorization", "name-mangler", "client", "cluster":
				c.sec = inOther
				return
			}
		}
		c.set(t, no, place)
	case "keyring":
		if !no && len(f) > 0 {
			c.sec, c.keyring = inKeyring, f[0]
		}
	case "ipsec":
		if len(f) > 1 && !no {
			switch f[0] {
			case "transform-set":
				c.sec = inTransform
				c.cfg.TransformSets = append(c.cfg.TransformSets, facts.TransformSet{Name: f[1], Transforms: transforms(f[2:]), Place: place})
				return
			case "profile":
				c.profile("ipsec", f[1], place)
				return
			case "client":
				c.sec = inOther
				return
			}
		}
		c.set(t, no, place)
	case "map":
		c.cryptoMapLine(t, f, no, place)
	case "dynamic-map":
		if !no && len(f) > 1 && atoi(f[1]) > 0 {
			c.mapEntry(facts.MapEntry{Map: f[0], Sequence: atoi(f[1]), DynamicMap: true, Place: place})
		}
	case "pki", "ca", "key", "identity", "gdoi", "gkm", "provisioning":
		c.sec = inOther
	default:
		c.set(t, no, place)
	}
}

// cryptoMapLine reads "crypto map NAME ...".
func (c *configParser) cryptoMapLine(t string, f []string, no bool, place facts.Place) {
	if len(f) > 0 && f[0] == "ipv6" {
		f = f[1:]
	}
	if len(f) < 2 || no {
		return
	}
	if seq := atoi(f[1]); seq > 0 {
		e := facts.MapEntry{Map: f[0], Sequence: seq, Place: place}
		for i := 2; i < len(f); i++ {
			switch f[i] {
			case "dynamic":
				if i+1 < len(f) {
					e.Dynamic = f[i+1]
				}
			case "profile":
				if i+1 < len(f) {
					e.Profile = f[i+1]
				}
			case "gdoi":
				c.sec = inOther
				return
			}
		}
		c.mapEntry(e)
		if e.Dynamic != "" {
			c.entry().Places["dynamic"] = place
		}
		return
	}
	switch f[1] {
	case "local-address", "client", "isakmp", "redundancy", "isakmp-profile", "gdoi", "ctcp":
		key := "crypto map " + f[0] + " " + f[1]
		n := 2
		if (f[1] == "client" || f[1] == "isakmp") && len(f) > 2 { // client authentication list X, isakmp authorization list X
			n = 3
			key += " " + f[2]
			if len(f) > 3 && f[3] == "list" {
				key, n = key+" list", 4
			}
		}
		c.cfg.Settings = append(c.cfg.Settings, facts.Setting{Key: key, Value: strings.Join(f[min(n, len(f)):], " "), Place: place})
		if f[1] == "isakmp-profile" && len(f) > 2 {
			c.mapProfs[f[0]] = f[2]
		}
	}
}

func (c *configParser) mapEntry(e facts.MapEntry) {
	c.sec = inMap
	k := mapKey{e.Map, e.Sequence, e.DynamicMap}
	if i, ok := c.entries[k]; ok { // entered twice: goes on
		c.current = i
		if e.Dynamic != "" {
			c.cfg.MapEntries[i].Dynamic = e.Dynamic
		}
		return
	}
	e.Places = map[string]facts.Place{}
	c.current = len(c.cfg.MapEntries)
	c.entries[k] = c.current
	c.cfg.MapEntries = append(c.cfg.MapEntries, e)
}

func (c *configParser) entry() *facts.MapEntry { return &c.cfg.MapEntries[c.current] }

func (c *configParser) profile(kind, name string, place facts.Place) {
	c.sec = inProfile
	c.cfg.Profiles = append(c.cfg.Profiles, facts.Profile{Kind: kind, Name: name, Place: place})
}

// mapLine reads a line of a crypto map entry.
func (c *configParser) mapLine(w string, f []string, rest string, no bool, place facts.Place) {
	if len(c.cfg.MapEntries) == 0 {
		return
	}
	e := c.entry()
	switch w {
	case "match":
		if len(f) > 1 && f[0] == "address" && !no {
			e.ACL = f[1]
			e.Places["acl"] = place
		}
	case "reverse-route":
		e.Reverse = !no
		e.Places["reverse-route"] = place
	case "set":
		if len(f) == 0 || no {
			return
		}
		v := f[1:]
		switch f[0] {
		case "peer":
			for _, s := range v {
				if a := addr(s); a.IsValid() {
					e.Peers = append(e.Peers, a)
				} else if s != "default" && s != "dynamic" {
					e.PeerNames = append(e.PeerNames, s)
				}
			}
			if _, ok := e.Places["peer"]; !ok {
				e.Places["peer"] = place
			}
		case "transform-set":
			e.Transforms = v
			e.Places["transform"] = place
		case "pfs":
			e.PFS = "default"
			if len(v) > 0 {
				e.PFS = v[0]
			}
			e.Places["pfs"] = place
		case "security-association":
			if len(v) > 2 && v[0] == "lifetime" && v[1] == "seconds" {
				e.Lifetime = atoi(v[2])
			}
			if len(v) > 1 && v[0] == "idle-time" {
				c.cfg.Settings = append(c.cfg.Settings, facts.Setting{Key: "crypto map " + e.Map + " " + strconv.Itoa(e.Sequence) + " set security-association idle-time", Value: v[1], Place: place})
			}
		case "isakmp-profile", "ikev2-profile":
			if len(v) > 0 {
				e.Profile = v[0]
				e.Places["profile"] = place
			}
		case "reverse-route":
			e.Reverse = true
			e.Places["reverse-route"] = place
		}
	}
}

// finish resolves what could be told only at the end.
func (c *configParser) finish() {
	for _, p := range c.ace {
		e := &c.cfg.ACLs[p.acl].Entries[p.entry]
		if p.src != "" {
			e.Src, e.SrcName = c.groups[p.src], p.src
		}
		if p.dst != "" {
			e.Dst, e.DstName = c.groups[p.dst], p.dst
		}
	}
	if len(c.mapProfs) > 0 {
		for i := range c.cfg.MapEntries {
			if e := &c.cfg.MapEntries[i]; e.Profile == "" && !e.DynamicMap {
				e.Profile = c.mapProfs[e.Map]
			}
		}
	}
	for i := range c.cfg.Objects {
		c.cfg.Objects[i].Prefixes = c.groups[c.cfg.Objects[i].Name]
	}
	for i := range c.cfg.Interfaces {
		if m := c.cfg.Interfaces[i].Map; m != "" {
			c.cfg.MapBindings = append(c.cfg.MapBindings, facts.MapBinding{Map: m, Interface: c.cfg.Interfaces[i].Name, Place: c.cfg.Interfaces[i].Place})
		}
	}
	c.ikev2Policies()
}

// ikev2Policies makes one policy of each proposal that an IKEv2 policy names.
func (c *configParser) ikev2Policies() {
	if len(c.policies) == 0 {
		return
	}
	used := map[string]bool{}
	for _, names := range c.policies {
		for _, n := range names {
			used[n] = true
		}
	}
	for i, p := range c.cfg.Proposals {
		if !used[p.Name] {
			continue
		}
		pol := facts.IKEPolicy{Version: 2, Number: i + 1, Encryption: p.Encryption, Hash: p.Integrity, PRF: p.PRF, Groups: p.Groups, Lifetime: 86400,
			Defaulted: []string{"lifetime"}, Place: p.Place, Places: map[string]facts.Place{}}
		c.cfg.IKEPolicies = append(c.cfg.IKEPolicies, pol)
	}
}
