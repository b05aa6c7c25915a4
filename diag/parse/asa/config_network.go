package asa

import (
	"net/netip"
	"strings"

	"vpnbot/diag/facts"
)

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
