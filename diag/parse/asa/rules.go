package asa

import (
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
)

// ---- access lists

var protocols = map[string]string{"0": "ip", "1": "icmp", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "51": "ah", "58": "icmp6", "ipsec": "esp"}

// accessList reads a line of the configuration: access-list NAME [line N] [extended|standard] permit ...
func (k *configReader) accessList(f []string, l facts.Line) {
	if len(f) < 3 {
		return
	}
	if k.lists == nil {
		k.lists = make(map[string]int, len(k.c.ACLs))
		for i := range k.c.ACLs {
			k.lists[k.c.ACLs[i].Name] = i
		}
	}
	name := f[1]
	rest := f[2:]
	if rest[0] == "line" && len(rest) > 2 {
		rest = rest[2:]
	}
	standard := false
	switch rest[0] {
	case "remark", "webtype", "ethertype", "deny-flow-max", "alert-interval", "compiled", "mode":
		return
	case "extended":
		rest = rest[1:]
	case "standard":
		standard = true
		rest = rest[1:]
	}
	e, ok := k.ace(rest, standard, l)
	if !ok {
		k.skip(l)
		return
	}
	at, found := k.lists[name]
	if !found {
		k.c.ACLs = append(k.c.ACLs, facts.ACL{Name: name, Standard: standard, Place: k.place(l)})
		at = len(k.c.ACLs) - 1
		k.lists[name] = at
	}
	list := &k.c.ACLs[at]
	list.Entries = append(list.Entries, e)
}

// ace reads permit|deny PROTO SRC [PORT] DST [PORT] ...
func (k *configReader) ace(f []string, standard bool, l facts.Line) (facts.ACE, bool) {
	e := facts.ACE{Hits: facts.NotShown, Place: k.place(l)}
	switch arg(f, 0) {
	case "permit":
		e.Permit = true
	case "deny":
	default:
		return e, false
	}
	f = f[1:]
	if standard {
		e.Proto = "ip"
		e.Src, e.SrcName, e.SrcAny, _ = k.end(f)
		e.DstAny = true
		return e, e.SrcAny || len(e.Src) > 0 || e.SrcName != ""
	}
	switch arg(f, 0) {
	case "":
		return e, false
	case "object-group", "object":
		e.Proto = arg(f, 1)
		f = f[min(2, len(f)):]
	default:
		e.Proto = f[0]
		if p, ok := protocols[e.Proto]; ok {
			e.Proto = p
		}
		f = f[1:]
	}
	f = skipUser(f)
	var n int
	e.Src, e.SrcName, e.SrcAny, n = k.end(f)
	if n == 0 {
		return e, false
	}
	f = f[n:]
	e.SrcPort, n = port(f, k)
	f = skipUser(f[n:])
	e.Dst, e.DstName, e.DstAny, n = k.end(f)
	if n == 0 {
		return e, false
	}
	f = f[n:]
	e.DstPort, n = port(f, k)
	for _, w := range f[n:] {
		switch {
		case w == "inactive":
			e.Inactive = true
		case strings.HasPrefix(w, "(hitcnt="):
			e.Hits = count(strings.TrimPrefix(w, "(hitcnt="))
		}
	}
	return e, true
}

// skipUser steps over user, user-group and security-group of newer releases.
func skipUser(f []string) []string {
	for len(f) > 1 {
		switch f[0] {
		case "user", "user-group", "object-group-user", "object-group-security":
			f = f[2:]
		case "security-group":
			f = f[min(3, len(f)):]
		default:
			return f
		}
	}
	return f
}

// end reads one end of an entry and returns how many words it took.
func (k *configReader) end(f []string) (nets []netip.Prefix, name string, any bool, n int) {
	switch w := arg(f, 0); w {
	case "":
		return nil, "", false, 0
	case "any", "any4":
		return nil, "", true, 1
	case "any6":
		return nil, "any6", false, 1
	case "host":
		h := arg(f, 1)
		if a := k.addr(h); a.IsValid() {
			return []netip.Prefix{host(a)}, "", false, 2
		}
		return nil, h, false, min(2, len(f))
	case "object", "object-group":
		return nil, arg(f, 1), false, min(2, len(f))
	case "interface":
		return nil, "interface " + arg(f, 1), false, min(2, len(f))
	default:
		if strings.Contains(w, "/") {
			if p, err := netip.ParsePrefix(w); err == nil {
				return []netip.Prefix{p.Masked()}, "", false, 1
			}
			return nil, "", false, 0
		}
		mask := arg(f, 1)
		if _, err := netip.ParseAddr(mask); err != nil {
			return nil, "", false, 0
		}
		p := k.prefix(w, mask)
		if !p.IsValid() {
			return nil, w + " " + mask, false, 2
		}
		if p.Bits() == 0 {
			return nil, "", true, 2
		}
		return []netip.Prefix{p}, "", false, 2
	}
}

// port reads an operator with its ports, or a port group.
func port(f []string, k *configReader) (string, int) {
	switch arg(f, 0) {
	case "eq", "neq", "lt", "gt":
		if len(f) > 1 {
			return f[0] + " " + f[1], 2
		}
	case "range":
		if len(f) > 2 {
			return strings.Join(f[:3], " "), 3
		}
	case "object-group":
		// A group of ports here, a group of networks when it is the next end.
		if len(f) > 1 {
			if i, ok := k.objectIndex()[f[1]]; ok && k.c.Objects[i].Service {
				return "object-group " + f[1], 2
			}
			// Another end must follow a source; after a destination nothing does.
			if len(f) > 2 {
				switch f[2] {
				case "log", "inactive", "time-range":
				default:
					if _, _, any, n := k.end(f[2:]); (any || n > 0) && !known(k, f[1]) {
						return "object-group " + f[1], 2
					}
				}
			}
		}
	}
	return "", 0
}

func known(k *configReader, name string) bool {
	_, ok := k.objectIndex()[name]
	return ok
}

// ---- objects

func (k *configReader) objectIndex() map[string]int {
	if k.objects == nil {
		k.objects = make(map[string]int, len(k.c.Objects))
		for i := range k.c.Objects {
			k.objects[k.c.Objects[i].Name] = i
		}
	}
	return k.objects
}

func (k *configReader) objectNamed(name string, group, service bool, l facts.Line) int {
	if i, ok := k.objectIndex()[name]; ok {
		return i
	}
	k.c.Objects = append(k.c.Objects, facts.Object{Name: name, Group: group, Service: service, Place: k.place(l)})
	k.objects[name] = len(k.c.Objects) - 1
	return len(k.c.Objects) - 1
}

func (k *configReader) object(f []string, l facts.Line) bool {
	if len(f) < 3 {
		return false
	}
	k.at = k.objectNamed(f[2], false, f[1] != "network", l)
	if f[1] == "network" {
		k.mode = objectMode
	} else {
		k.mode = serviceGroupMode
	}
	return true
}

func (k *configReader) objectGroup(f []string, l facts.Line) bool {
	if len(f) < 3 {
		return false
	}
	k.at = k.objectNamed(f[2], true, f[1] != "network", l)
	if f[1] == "network" {
		k.mode = objectGroupMode
	} else {
		k.mode = serviceGroupMode
	}
	return true
}

func (k *configReader) objectLine(f []string, l facts.Line) bool {
	o := &k.c.Objects[k.at]
	switch f[0] {
	case "subnet":
		if p := k.prefix(arg(f, 1), arg(f, 2)); p.IsValid() {
			o.Prefixes = []netip.Prefix{p}
		} else if p, err := netip.ParsePrefix(arg(f, 1)); err == nil {
			o.Prefixes = []netip.Prefix{p.Masked()}
		}
	case "host":
		if a := k.addr(arg(f, 1)); a.IsValid() {
			o.Prefixes = []netip.Prefix{host(a)}
		}
	case "range":
		o.Prefixes = span(k.addr(arg(f, 1)), k.addr(arg(f, 2)))
	case "fqdn":
		o.FQDN = f[len(f)-1]
	case "nat":
		r := k.natPair(f, l)
		r.Form = "object"
		r.Names.SrcReal = o.Name
		k.objectNAT(r, f[2:])
		k.c.NAT = append(k.c.NAT, *r)
		o.NAT = r
	case "description":
	default:
		return false
	}
	return true
}

// span makes prefixes of a range of addresses; a range that would need too many gives none.
func span(from, to netip.Addr) []netip.Prefix {
	if !from.IsValid() || !to.IsValid() || from.BitLen() != to.BitLen() || to.Less(from) {
		return nil
	}
	var out []netip.Prefix
	for len(out) < 64 {
		bits := from.BitLen()
		best := netip.PrefixFrom(from, bits)
		for bits > 0 {
			p := netip.PrefixFrom(from, bits-1).Masked()
			if p.Addr() != from || to.Less(last(p)) {
				break
			}
			best = p
			bits--
		}
		out = append(out, best)
		end := last(best)
		if end == to || !end.Next().IsValid() {
			return out
		}
		from = end.Next()
	}
	return nil
}

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (k *configReader) objectGroupLine(f []string, l facts.Line) bool {
	o := &k.c.Objects[k.at]
	switch f[0] {
	case "network-object":
		switch arg(f, 1) {
		case "host":
			if a := k.addr(arg(f, 2)); a.IsValid() {
				o.Prefixes = append(o.Prefixes, host(a))
			}
		case "object":
			o.Refs = append(o.Refs, arg(f, 2))
		default:
			if p := k.prefix(arg(f, 1), arg(f, 2)); p.IsValid() {
				o.Prefixes = append(o.Prefixes, p)
			} else if p, err := netip.ParsePrefix(arg(f, 1)); err == nil {
				o.Prefixes = append(o.Prefixes, p.Masked())
			} else {
				k.skip(l)
			}
		}
	case "group-object":
		o.Refs = append(o.Refs, arg(f, 1))
	case "description":
	default:
		return false
	}
	return true
}

// resolver expands objects once each; a group that contains itself ends there.
type resolver struct {
	k    *configReader
	done map[string][]netip.Prefix
	open map[string]bool
	left int // prefixes that may still be made
}

// Bounds of the prefixes of one group, and of those that all groups together copy.
const (
	maxExpanded = 20000
	maxCopied   = 2000000
)

func (r *resolver) get(name string) ([]netip.Prefix, bool) {
	if p, ok := r.done[name]; ok {
		return p, true
	}
	i, ok := r.k.objectIndex()[name]
	if !ok {
		if a := r.k.addr(name); a.IsValid() {
			return []netip.Prefix{host(a)}, true
		}
		return nil, false
	}
	if r.open[name] {
		return nil, true
	}
	r.open[name] = true
	o := &r.k.c.Objects[i]
	out := slices.Clip(o.Prefixes)
	if len(o.Refs) > 0 {
		seen := make(map[netip.Prefix]bool, len(out))
		for _, p := range out {
			seen[p] = true
		}
		for _, ref := range o.Refs {
			nets, _ := r.get(ref)
			for _, p := range nets {
				if !seen[p] && len(out) < maxExpanded && r.left > 0 {
					r.left--
					seen[p] = true
					out = append(out, p)
				}
			}
		}
	}
	r.open[name] = false
	r.done[name] = out
	return out, true
}

// resolve puts networks in the place of names, everywhere. It may be called again when
// another section was read.
func (k *configReader) resolve() {
	r := &resolver{k: k, done: map[string][]netip.Prefix{}, open: map[string]bool{}, left: maxCopied}
	for i := range k.c.Objects {
		o := &k.c.Objects[i]
		if nets, ok := r.get(o.Name); ok {
			o.Prefixes = nets
		}
	}
	end := func(name string, nets *[]netip.Prefix, any *bool) {
		if name == "" || len(*nets) > 0 || *any {
			return
		}
		if net, mask, ok := strings.Cut(name, " "); ok {
			if net == "interface" {
				for _, i := range k.c.Interfaces {
					if i.Name == mask && i.Address.IsValid() {
						*nets = []netip.Prefix{host(i.Address.Addr())}
					}
				}
				return
			}
			if p := k.prefix(net, mask); p.IsValid() {
				*nets = []netip.Prefix{p}
			}
			return
		}
		found, _ := r.get(name)
		if len(found) == 1 && found[0].Bits() == 0 {
			*any = true
			return
		}
		*nets = found
	}
	for i := range k.c.ACLs {
		for j := range k.c.ACLs[i].Entries {
			e := &k.c.ACLs[i].Entries[j]
			end(e.SrcName, &e.Src, &e.SrcAny)
			end(e.DstName, &e.Dst, &e.DstAny)
		}
	}
	var ignore bool
	for i := range k.c.NAT {
		n := &k.c.NAT[i]
		end(n.Names.SrcReal, &n.SrcReal, &n.SrcAny)
		end(n.Names.SrcMapped, &n.SrcMapped, &ignore)
		end(n.Names.DstReal, &n.DstReal, &n.DstAny)
		end(n.Names.DstMapped, &n.DstMapped, &ignore)
		if n.Names.SrcReal != "" && n.Names.SrcReal == n.Names.SrcMapped {
			n.Identity = true
		}
		if n.Form == "object" && !n.Dynamic && len(n.SrcReal) > 0 && len(n.SrcMapped) == len(n.SrcReal) && n.SrcReal[0] == n.SrcMapped[0] {
			n.Identity = true
		}
		if i, ok := k.objectIndex()[n.Names.SrcReal]; ok && n.Form == "object" {
			rule := *n
			k.c.Objects[i].NAT = &rule
		}
	}
	for i := range k.c.MapEntries {
		e := &k.c.MapEntries[i]
		kept := e.PeerNames[:0]
		for _, name := range e.PeerNames {
			if a, ok := k.c.Names[name]; ok {
				e.Peers = append(e.Peers, a)
			} else {
				kept = append(kept, name)
			}
		}
		e.PeerNames = kept
	}
	for i := range k.c.Keys {
		if key := &k.c.Keys[i]; !key.Peer.IsValid() && key.Name != "" {
			key.Peer = host(k.c.Names[key.Name])
		}
	}
}

// ---- NAT

// natPair reads the interfaces of nat (real,mapped) ...
func (k *configReader) natPair(f []string, l facts.Line) *facts.NATRule {
	r := &facts.NATRule{Place: k.place(l), Order: k.natOrder}
	k.natOrder++
	real, mapped, _ := strings.Cut(strings.Trim(arg(f, 1), "()"), ",")
	r.RealIf, r.MappedIf = real, mapped
	return r
}

func (k *configReader) nat(f []string, no bool, l facts.Line) {
	if len(f) < 3 || no {
		return
	}
	// nat (a,b) may have a blank behind its comma.
	if strings.HasPrefix(f[1], "(") && !strings.HasSuffix(f[1], ")") && len(f) > 3 {
		f = append([]string{f[0], f[1] + f[2]}, f[3:]...)
	}
	// 9.x prints (any,any) rules without interfaces: nat source static ...
	if f[0] == "nat" && (f[1] == "source" || f[1] == "after-auto") {
		f = append([]string{"nat", "(any,any)"}, f[1:]...)
	}
	r := k.natPair(f, l)
	rest := f[2:]
	switch {
	case f[0] == "global": // global (outside) 1 interface | ADDRESS[-ADDRESS] [netmask M]
		r.Form, r.ID = "global", atoi(rest[0])
		r.MappedIf, r.RealIf = r.RealIf, ""
		if arg(rest, 1) == "interface" {
			r.Interface = true
		} else {
			from, to, ok := strings.Cut(arg(rest, 1), "-")
			if !ok {
				to = from
			}
			r.SrcMapped = span(k.addr(from), k.addr(to))
		}
	case f[0] == "static":
		k.static(r, rest)
	case strings.Contains(f[1], ","):
		k.twice(r, rest)
	default:
		k.nat82(r, rest)
	}
	k.c.NAT = append(k.c.NAT, *r)
}

// nat82: (inside) ID access-list X | NET MASK [options]
func (k *configReader) nat82(r *facts.NATRule, f []string) {
	r.ID = atoi(f[0])
	r.Form, r.Dynamic = "dynamic", true
	if r.ID == 0 {
		r.Form, r.Dynamic, r.Identity = "nat0", false, true
		r.MappedIf = "any"
	}
	if arg(f, 1) == "access-list" {
		r.ACL = arg(f, 2)
		return
	}
	net, mask := arg(f, 1), arg(f, 2)
	if net == "0" {
		net = "0.0.0.0"
	}
	if mask == "0" || mask == "" {
		mask = "0.0.0.0"
	}
	p := k.prefix(net, mask)
	switch {
	case p.IsValid() && p.Bits() == 0:
		r.SrcAny = true
	case p.IsValid():
		r.SrcReal = []netip.Prefix{p}
	default:
		r.Names.SrcReal = net + " " + mask
	}
}

// static: (real,mapped) [tcp|udp] MAPPED|interface [PORT] REAL [PORT] [netmask M] | MAPPED access-list X
func (k *configReader) static(r *facts.NATRule, f []string) {
	r.Form = "static"
	proto := ""
	if f[0] == "tcp" || f[0] == "udp" {
		proto = f[0]
		f = f[1:]
	}
	mapped := arg(f, 0)
	i := 1
	mport, rport := "", ""
	if proto != "" {
		mport = arg(f, i)
		i++
	}
	mask := "255.255.255.255"
	for j := range f {
		if f[j] == "netmask" {
			mask = arg(f, j+1)
		}
	}
	if mapped == "interface" {
		r.Interface = true
	} else if p := k.prefix(mapped, mask); p.IsValid() {
		r.SrcMapped = []netip.Prefix{p}
	}
	if arg(f, i) == "access-list" {
		r.ACL = arg(f, i+1)
	} else {
		real := arg(f, i)
		if p := k.prefix(real, mask); p.IsValid() {
			r.SrcReal = []netip.Prefix{p}
		} else {
			r.Names.SrcReal = real
		}
		if proto != "" {
			rport = arg(f, i+1)
		}
		r.Identity = len(r.SrcReal) == 1 && len(r.SrcMapped) == 1 && r.SrcReal[0] == r.SrcMapped[0]
	}
	if proto != "" {
		r.Service = strings.TrimSpace(proto + " " + rport + " " + mport)
	}
}

// twice: [after-auto] [N] source static|dynamic REAL MAPPED [destination static MAPPED REAL] [service A B] ...
func (k *configReader) twice(r *facts.NATRule, f []string) {
	r.Form = "twice"
	for i := 0; i < len(f); i++ {
		switch f[i] {
		case "after-auto":
			r.After = true
		case "source":
			r.Dynamic = arg(f, i+1) == "dynamic"
			real, mapped := arg(f, i+2), arg(f, i+3)
			if mapped == "pat-pool" {
				mapped = arg(f, i+4)
				i++
			}
			if real == "any" {
				r.SrcAny = true
			} else {
				r.Names.SrcReal = real
			}
			if mapped == "interface" {
				r.Interface = true
			} else if mapped == "any" && real == "any" {
				r.Identity = true
			} else {
				r.Names.SrcMapped = mapped
			}
			i += 3
		case "destination":
			mapped, real := arg(f, i+2), arg(f, i+3)
			if real == "any" || real == "" {
				r.DstAny = real == "any"
			} else {
				r.Names.DstReal = real
			}
			r.Names.DstMapped = mapped
			i += 3
		case "service":
			r.Service = strings.TrimSpace(arg(f, i+1) + " " + arg(f, i+2))
			i += 2
		case "no-proxy-arp":
			r.NoProxyARP = true
		case "route-lookup":
			r.RouteLook = true
		case "inactive":
			r.Inactive = true
		case "description":
			i = len(f)
		}
	}
	if r.Names.DstReal == "" && !r.DstAny {
		r.DstAny = true // no destination part: any
	}
	if r.Dynamic {
		r.Identity = false
	}
}

// objectNAT: static|dynamic MAPPED|interface [service ...] [dns] [no-proxy-arp] [route-lookup]
func (k *configReader) objectNAT(r *facts.NATRule, f []string) {
	r.DstAny = true
	for i := 0; i < len(f); i++ {
		switch f[i] {
		case "static", "dynamic":
			r.Dynamic = f[i] == "dynamic"
			m := arg(f, i+1)
			if m == "pat-pool" {
				m = arg(f, i+2)
			}
			if m == "interface" {
				r.Interface = true
			} else if a := k.addr(m); a.IsValid() {
				r.SrcMapped = []netip.Prefix{host(a)}
			} else {
				r.Names.SrcMapped = m
			}
			i++
		case "service":
			r.Service = strings.Join(f[i+1:min(len(f), i+4)], " ")
		case "no-proxy-arp":
			r.NoProxyARP = true
		case "route-lookup":
			r.RouteLook = true
		}
	}
}
