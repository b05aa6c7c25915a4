package ios

import (
	"net/netip"
	"strings"

	"vpnbot/diag/facts"
)

// interfaceName joins "GigabitEthernet 0/0" and leaves options out.
func interfaceName(s string) string {
	f := strings.Fields(s)
	switch {
	case len(f) == 0:
		return ""
	case len(f) > 1 && isDigit(f[1][0]) && !isDigit(f[0][len(f[0])-1]):
		return f[0] + f[1]
	}
	return f[0]
}

func (c *configParser) interfaceLine(w, rest string, f []string, no bool, place facts.Place) {
	i := &c.cfg.Interfaces[len(c.cfg.Interfaces)-1]
	switch w {
	case "ip", "ipv6":
		if len(f) == 0 {
			return
		}
		switch f[0] {
		case "address":
			c.address(i, f[1:], no)
		case "access-group":
			if len(f) > 2 && !no {
				if f[2] == "in" {
					i.ACLIn = f[1]
				} else {
					i.ACLOut = f[1]
				}
			}
		case "traffic-filter":
			if len(f) > 2 && !no && f[2] == "in" {
				i.ACLIn = f[1]
			}
		case "nat":
			if len(f) > 1 && !no {
				i.NATInside = i.NATInside || f[1] == "inside"
				i.NATOutside = i.NATOutside || f[1] == "outside"
			}
		case "tcp":
			if len(f) > 2 && f[1] == "adjust-mss" && !no {
				i.AdjustMSS = atoi(f[2])
			}
		case "mtu":
			if len(f) > 1 && !no {
				i.MTU = atoi(f[1])
			}
		case "vrf":
			if len(f) > 2 && f[1] == "forwarding" && !no {
				i.VRF = f[2]
			}
		case "unnumbered":
			if len(f) > 1 && !no {
				name := interfaceName(strings.Join(f[1:], " "))
				for k := range c.cfg.Interfaces {
					if c.cfg.Interfaces[k].Name == name {
						i.Address = c.cfg.Interfaces[k].Address
						break
					}
				}
			}
		}
	case "vrf":
		if len(f) > 1 && f[0] == "forwarding" && !no {
			i.VRF = f[1]
		}
	case "mtu":
		if len(f) > 0 && !no && i.MTU == 0 {
			i.MTU = atoi(f[0])
		}
	case "crypto":
		switch {
		case len(f) > 1 && f[0] == "map" && !no:
			i.Map = f[1]
		case len(f) > 2 && f[0] == "ipsec" && f[1] == "df-bit" && !no:
			i.DFBit = f[2]
		case len(f) > 2 && f[0] == "ipsec" && f[1] == "fragmentation":
			c.cfg.Settings = append(c.cfg.Settings, facts.Setting{Key: "crypto ipsec fragmentation", Value: f[2] + " " + i.Name, No: no, Place: place})
		}
	case "shutdown":
		i.Shutdown = !no
	case "tunnel":
		if len(f) < 2 || no {
			return
		}
		switch f[0] {
		case "source":
			i.TunnelSrc = interfaceName(strings.Join(f[1:], " "))
		case "destination":
			i.TunnelDst = addr(f[1])
		case "protection":
			if len(f) > 3 && f[2] == "profile" {
				i.Protection = f[3]
			}
		case "mode":
			i.Hardware = "tunnel " + strings.Join(f[1:], " ")
		}
	}
	_ = rest
}

func (c *configParser) address(i *facts.Interface, f []string, no bool) {
	if no || len(f) == 0 {
		return
	}
	switch f[0] {
	case "dhcp", "negotiated", "pool", "autoconfig":
		i.Dynamic = true
		return
	}
	if len(f) > 2 && f[2] == "secondary" {
		return
	}
	if len(f) > 1 {
		if a, bits := addr(f[0]), 0; a.Is4() {
			if n, ok := maskBits(addr(f[1])); ok {
				bits = n
				i.Address = netip.PrefixFrom(a, bits)
			}
			return
		}
	}
	if p, err := netip.ParsePrefix(f[0]); err == nil && !i.Address.IsValid() {
		i.Address = p
	}
}

// acl opens the access list of that name and returns its index.
func (c *configParser) acl(name string, standard bool, place facts.Place) int {
	if i, ok := c.acls[name]; ok {
		return i
	}
	c.acls[name] = len(c.cfg.ACLs)
	c.cfg.ACLs = append(c.cfg.ACLs, facts.ACL{Name: name, Standard: standard, Place: place})
	return len(c.cfg.ACLs) - 1
}

// numberedACL reads what follows "access-list".
func (c *configParser) numberedACL(rest string, no bool, place facts.Place) {
	name, r := word(rest)
	if no || name == "" {
		return
	}
	n := atoi(name)
	standard := n >= 1 && n <= 99 || n >= 1300 && n <= 1999
	if w, x := word(r); w == "extended" || w == "standard" {
		standard, r = w == "standard", x
	}
	c.name, c.six = name, false
	i := c.acl(name, standard, place)
	c.entryOf(i, r, place)
}

// aclEntry reads a line below "ip access-list".
func (c *configParser) aclEntry(t string, place facts.Place) {
	c.entryOf(c.acl(c.name, false, place), t, place)
}

func (c *configParser) entryOf(i int, t string, place facts.Place) {
	a := &c.cfg.ACLs[i]
	e, src, dst, ok := parseACE(t, a.Standard)
	if !ok || len(a.Entries) >= 200_000 {
		return
	}
	e.Place = place
	a.Entries = append(a.Entries, e)
	if src != "" || dst != "" {
		c.ace = append(c.ace, pendingACE{i, len(a.Entries) - 1, src, dst})
	}
}

// parseACE reads an entry with or without sequence number; object groups are named, not resolved.
func parseACE(t string, standard bool) (e facts.ACE, srcGroup, dstGroup string, ok bool) {
	f := strings.Fields(t)
	if len(f) > 0 && isDigit(f[0][0]) && atoi(f[0]) > 0 {
		e.Sequence, f = atoi(f[0]), f[1:]
	} else if len(f) > 2 && f[0] == "sequence" {
		e.Sequence, f = atoi(f[1]), f[2:]
	}
	e.Hits = facts.NotShown
	for i, w := range f { // "(12 matches)", "sequence 10" at the end
		if strings.HasPrefix(w, "(") && i+1 < len(f) && strings.HasPrefix(f[i+1], "match") {
			e.Hits = int64(atoi(strings.TrimPrefix(w, "(")))
			f = f[:i]
			break
		}
	}
	if n := len(f); n > 2 && f[n-2] == "sequence" {
		e.Sequence, f = atoi(f[n-1]), f[:n-2]
	}
	if len(f) < 2 || f[0] != "permit" && f[0] != "deny" {
		return e, "", "", false
	}
	e.Permit = f[0] == "permit"
	f = f[1:]
	if standard || isDigit(f[0][0]) && addr(f[0]).IsValid() || f[0] == "any" || f[0] == "host" {
		e.Proto = "ip"
		f = trimComma(f)
		e.Src, e.SrcAny, srcGroup, _ = aceAddress(f)
		return e, srcGroup, "", true
	}
	e.Proto = protocol(f[0])
	f = f[1:]
	if e.Proto == "object-group" && len(f) > 0 {
		e.Proto, f = f[0], f[1:]
	}
	e.Src, e.SrcAny, srcGroup, f = aceAddress(f)
	e.SrcPort, f = acePort(f)
	e.Dst, e.DstAny, dstGroup, f = aceAddress(f)
	e.DstPort, f = acePort(f)
	for _, w := range f {
		if w == "inactive" {
			e.Inactive = true
		}
	}
	return e, srcGroup, dstGroup, true
}

func trimComma(f []string) []string {
	out := make([]string, len(f))
	for i, s := range f {
		out[i] = strings.TrimSuffix(s, ",")
	}
	return out
}

func protocol(s string) string {
	switch s {
	case "0", "ipv4":
		return "ip"
	case "1":
		return "icmp"
	case "6":
		return "tcp"
	case "17":
		return "udp"
	case "47":
		return "gre"
	case "50":
		return "esp"
	case "51", "ahp":
		return "ah"
	case "ipv6":
		return "ip"
	}
	return s
}

// aceAddress reads one address of an entry: any, host A, A wildcard, A/n, object-group G.
func aceAddress(f []string) (p []netip.Prefix, any bool, group string, rest []string) {
	if len(f) == 0 {
		return nil, false, "", nil
	}
	switch f[0] {
	case "any", "any4", "any6":
		return nil, true, "", f[1:]
	case "host":
		if len(f) > 1 {
			if a := addr(f[1]); a.IsValid() {
				p = []netip.Prefix{host(a)}
			}
			return p, false, "", f[2:]
		}
		return nil, false, "", nil
	case "object-group":
		if len(f) > 1 {
			return nil, false, f[1], f[2:]
		}
		return nil, false, "", nil
	case "addrgroup", "object":
		if len(f) > 1 {
			return nil, false, f[1], f[2:]
		}
		return nil, false, "", nil
	}
	if x, err := netip.ParsePrefix(f[0]); err == nil {
		return []netip.Prefix{x.Masked()}, false, "", f[1:]
	}
	a := addr(f[0])
	if !a.IsValid() {
		return nil, false, "", f
	}
	rest = f[1:]
	m := netip.Addr{}
	if len(f) > 1 && f[1] == "wildcard" && len(f) > 3 { // show access-lists of standard lists: "A, wildcard bits W"
		m, rest = addr(f[3]), f[4:]
	} else if len(f) > 1 {
		if m = addr(f[1]); m.Is4() {
			rest = f[2:]
		}
	}
	if !m.Is4() {
		return []netip.Prefix{host(a)}, false, "", rest
	}
	if m == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return nil, true, "", rest
	}
	if n, ok := wildcardBits(m); ok {
		x, _ := a.Prefix(n)
		return []netip.Prefix{x}, false, "", rest
	}
	return scattered(a, m), false, "", rest
}

// scattered lists the prefixes of a wildcard mask with gaps, when they are few.
func scattered(a, m netip.Addr) []netip.Prefix {
	w, v := m.As4(), a.As4()
	tail := 0
	var bits []int // gaps above the contiguous tail
	contiguous := true
	for i := 0; i < 32; i++ {
		if w[3-i/8]>>(i%8)&1 == 1 {
			if contiguous {
				tail++
			} else {
				bits = append(bits, i)
			}
		} else {
			contiguous = false
		}
	}
	if len(bits) > 8 {
		return nil
	}
	var out []netip.Prefix
	for n := 0; n < 1<<len(bits); n++ {
		x := v
		for k, b := range bits {
			i, mask := 3-b/8, byte(1)<<(b%8)
			x[i] &^= mask
			if n>>k&1 == 1 {
				x[i] |= mask
			}
		}
		p, _ := netip.AddrFrom4(x).Prefix(32 - tail)
		out = append(out, p)
	}
	return out
}

// acePort reads "eq 500", "range 1 2", "gt 1023" behind an address.
func acePort(f []string) (string, []string) {
	if len(f) < 2 {
		return "", f
	}
	switch f[0] {
	case "eq", "neq":
		i := 2 // IOS allows several ports behind eq
		for i < len(f) && portWord(f[i]) {
			i++
		}
		return strings.Join(f[:i], " "), f[i:]
	case "gt", "lt":
		return f[0] + " " + f[1], f[2:]
	case "range":
		if len(f) > 2 {
			return "range " + f[1] + " " + f[2], f[3:]
		}
	case "portgroup":
		return "object-group " + f[1], f[2:]
	}
	return "", f
}

func portWord(s string) bool {
	switch s {
	case "any", "host", "log", "log-input", "established", "object-group", "time-range", "dscp", "tos", "fragments", "precedence", "sequence", "inactive", "ack", "syn", "rst", "fin", "option":
		return false
	}
	return !strings.ContainsAny(s, ".:/(")
}

func (c *configParser) objectLine(w string, f []string, no bool) {
	if no || c.name == "" || len(c.groups[c.name]) > 20000 {
		return
	}
	add := func(p netip.Prefix) {
		if p.IsValid() {
			c.groups[c.name] = append(c.groups[c.name], p)
		}
	}
	switch {
	case w == "host" && len(f) > 0:
		add(host(addr(f[0])))
	case w == "range" && len(f) > 1:
		for _, p := range rangePrefixes(addr(f[0]), addr(f[1])) {
			add(p)
		}
	case w == "group-object" && len(f) > 0:
		c.cfg.Objects[len(c.cfg.Objects)-1].Refs = append(c.cfg.Objects[len(c.cfg.Objects)-1].Refs, f[0])
		for _, p := range c.groups[f[0]] {
			add(p)
		}
	case addr(w).IsValid() && len(f) > 0:
		add(masked(w, f[0]))
	case strings.ContainsRune(w, '/'):
		if p, err := netip.ParsePrefix(w); err == nil {
			add(p.Masked())
		}
	}
}

// rangePrefixes covers a range of IPv4 addresses with prefixes.
func rangePrefixes(from, to netip.Addr) []netip.Prefix {
	if !from.Is4() || !to.Is4() || to.Less(from) {
		return nil
	}
	num := func(a netip.Addr) uint64 {
		b := a.As4()
		return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	}
	a, b := num(from), num(to)
	var out []netip.Prefix
	for a <= b && len(out) < 64 {
		bits := 32
		for bits > 0 {
			size := uint64(1) << (32 - bits + 1)
			if a%size != 0 || a+size-1 > b {
				break
			}
			bits--
		}
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), bits))
		a += uint64(1) << (32 - bits)
	}
	return out
}

// ip reads a top-level ip line; t is the whole line without "no".
func (c *configParser) ip(t, rest string, no bool, place facts.Place) {
	w, r := word(rest)
	f := strings.Fields(r)
	switch w {
	case "route":
		c.route(r, no, place)
	case "access-list":
		if no || len(f) < 2 {
			return
		}
		switch f[0] {
		case "extended", "standard":
			c.sec, c.name, c.six = inACL, f[1], false
			c.acl(f[1], f[0] == "standard", place)
		default:
			c.sec = inOther
		}
	case "nat":
		c.nat(f, no, place)
	case "local":
		if len(f) > 1 && f[0] == "pool" && !no {
			p := facts.Pool{Name: f[1], Place: place}
			if len(f) > 2 {
				p.From, p.To = addr(f[2]), addr(f[2])
			}
			if len(f) > 3 && addr(f[3]).IsValid() {
				p.To = addr(f[3])
			}
			c.cfg.Pools = append(c.cfg.Pools, p)
			return
		}
		c.set(t, no, place)
	case "dhcp", "sla", "vrf", "inspect", "ips", "prefix-list":
		c.sec = inOther
		c.set(t, no, place)
	default:
		c.set(t, no, place)
	}
}

// route reads what follows "ip route".
func (c *configParser) route(s string, no bool, place facts.Place) {
	f := strings.Fields(s)
	if no {
		return
	}
	r := facts.StaticRoute{Metric: 1, Place: place}
	if len(f) > 2 && f[0] == "vrf" {
		r.VRF, f = f[1], f[2:]
	}
	if len(f) < 2 {
		return
	}
	if p, err := netip.ParsePrefix(f[0]); err == nil {
		r.Prefix, f = p.Masked(), f[1:]
	} else if len(f) > 2 {
		r.Prefix, f = masked(f[0], f[1]), f[2:]
	}
	if !r.Prefix.IsValid() || len(f) == 0 {
		return
	}
	for i := 0; i < len(f); i++ {
		switch {
		case addr(f[i]).IsValid() && !isNumber(f[i]):
			r.Via = addr(f[i])
		case isNumber(f[i]):
			if i > 0 && (f[i-1] == "tag" || f[i-1] == "track") {
				continue
			}
			if i == 1 && r.Interface != "" && !strings.ContainsAny(r.Interface, "0123456789") { // "Dialer 1"
				r.Interface += f[i]
				continue
			}
			r.Metric = atoi(f[i])
		case f[i] == "name":
			i++
		case i == 0:
			r.Interface = f[i]
		}
	}
	c.cfg.Routes = append(c.cfg.Routes, r)
}

func isNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// nat reads what follows "ip nat".
func (c *configParser) nat(f []string, no bool, place facts.Place) {
	if no || len(f) < 3 || f[0] != "inside" && f[0] != "outside" || f[1] != "source" {
		return
	}
	r := facts.NATRule{Form: "dynamic", Dynamic: true, RealIf: f[0], Order: len(c.cfg.NAT) + 1, Place: place}
	for i := 2; i < len(f); i++ {
		next := func() string {
			if i+1 < len(f) {
				return f[i+1]
			}
			return ""
		}
		switch f[i] {
		case "list":
			r.ACL = next()
			i++
		case "route-map":
			r.RouteMap = next()
			i++
		case "pool":
			r.Service = strings.TrimSpace(r.Service + " pool " + next())
			i++
		case "interface":
			r.Interface, r.MappedIf = true, interfaceName(strings.Join(f[i+1:], " "))
			if i+2 < len(f) && isDigit(f[i+2][0]) && r.MappedIf != f[i+1] {
				i++
			}
			i++
			if r.Form == "static" && i+1 < len(f) && r.Service != "" {
				r.Service += " " + f[i+1]
				i++
			}
		case "static":
			r.Form, r.Dynamic = "static", false
			i = c.staticNAT(&r, f, i+1)
		}
	}
	if f[0] == "outside" {
		r.MappedIf = "inside"
	}
	c.cfg.NAT = append(c.cfg.NAT, r)
}

// staticNAT reads what follows "static" and returns the index of the last word it took.
func (c *configParser) staticNAT(r *facts.NATRule, f []string, i int) int {
	if i >= len(f) {
		return i
	}
	switch f[i] {
	case "tcp", "udp":
		r.Service = f[i]
		i++
		if i < len(f) {
			r.SrcReal = prefixOf(f[i])
			i++
		}
		if i < len(f) {
			r.Service += " " + f[i]
			i++
		}
		if i < len(f) && f[i] != "interface" {
			r.SrcMapped = prefixOf(f[i])
			if i+1 < len(f) {
				r.Service += " " + f[i+1]
				i++
			}
			return i
		}
		return i - 1
	case "network":
		if i+3 < len(f) {
			if p, err := netip.ParsePrefix(f[i+1] + f[i+3]); err == nil {
				r.SrcReal = []netip.Prefix{p.Masked()}
			} else if p := masked(f[i+1], f[i+3]); p.IsValid() {
				r.SrcReal = []netip.Prefix{p}
			}
			if p, err := netip.ParsePrefix(f[i+2] + f[i+3]); err == nil {
				r.SrcMapped = []netip.Prefix{p.Masked()}
			} else if p := masked(f[i+2], f[i+3]); p.IsValid() {
				r.SrcMapped = []netip.Prefix{p}
			}
			return i + 3
		}
		return len(f)
	case "esp":
		r.Service = "esp"
		i++
	}
	if i < len(f) {
		r.SrcReal = prefixOf(f[i])
	}
	if i+1 < len(f) && f[i+1] != "interface" {
		r.SrcMapped = prefixOf(f[i+1])
		return i + 1
	}
	return i
}

func prefixOf(s string) []netip.Prefix {
	if a := addr(s); a.IsValid() {
		return []netip.Prefix{host(a)}
	}
	return nil
}

// aaaHost reads radius-server and tacacs-server lines.
func (c *configParser) aaaHost(kind, rest string, no bool, place facts.Place) {
	f := strings.Fields(rest)
	if no || len(f) < 2 || f[0] != "host" {
		c.set(kind+" "+rest, no, place)
		return
	}
	s := facts.AAAServer{Protocol: strings.TrimSuffix(kind, "-server"), Host: f[1], Place: place}
	for i := 2; i+1 < len(f); i++ {
		if f[i] == "timeout" {
			s.Timeout = atoi(f[i+1])
		}
	}
	c.cfg.AAAServers = append(c.cfg.AAAServers, s)
}
