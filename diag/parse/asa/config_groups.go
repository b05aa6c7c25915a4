package asa

import (
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

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
