package command

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vpnbot/devices/inventory"
)

// EvidenceNames are the names that Evidence knows.
var EvidenceNames = []string{"clock", "version", "ike-sa", "ipsec-sa", "session", "config", "log", "asp-drop", "memory", "cpu",
	"failover", "ssh-sessions", "routes", "nat", "pools", "aaa", "captures", "shun", "certificates", "license", "acl",
	"crypto-map", "asp-table", "ikev2-errors"}

// Query narrows evidence to one tunnel. All fields are optional: without a peer the
// outputs of all peers are read.
type Query struct {
	Peer     netip.Addr     // the other end
	Kind     inventory.Kind // which kind of VPN session to read; "" is l2l
	Networks []netip.Prefix // protected networks behind the peer, for routes
	Pools    []string       // address pools by name, as the device's configuration has them: an ASA shows one at a time
}

// Evidence gives the read-only commands that gather the named evidence from a device,
// oldest image's form where the version is not known. Evidence that the platform does
// not have gives none; a name that nobody knows is an error.
func Evidence(t Target, name string, q Query) ([]Command, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if !slices.Contains(EvidenceNames, name) {
		return nil, fmt.Errorf("evidence %q is unknown; known: %v", name, EvidenceNames)
	}
	peer := ""
	if q.Peer.IsValid() {
		var err error
		if peer, err = address("peer", q.Peer); err != nil {
			return nil, err
		}
	}
	for _, p := range q.Pools {
		if err := checkWord("pool", p); err != nil {
			return nil, err
		}
	}
	var lines []string
	if t.asa() {
		lines = asaEvidence(t, name, peer, q)
	} else {
		lines = iosEvidence(t, name, peer, q)
	}
	cmds := make([]Command, 0, len(lines))
	for _, l := range lines {
		c := Command{line: l, effect: Reads, evidence: name}
		if slices.Contains(slow, name) {
			c.timeout = 2 * time.Minute
		}
		cmds = append(cmds, c)
	}
	return cmds, nil
}

// slow evidence may be megabytes on a headend.
var slow = []string{"config", "log", "ipsec-sa", "session", "routes", "nat", "acl", "crypto-map", "asp-table", "license"}

func with(line, option, value string) string {
	if value == "" {
		return line
	}
	return line + " " + option + " " + value
}

func asaEvidence(t Target, name, peer string, q Query) []string {
	old := t.Version.Before(8, 4)
	new84 := t.Version.Known() && !old
	switch name {
	case "clock":
		return []string{"show clock"}
	case "version":
		return []string{"show version"}
	case "ike-sa":
		if new84 {
			return []string{"show crypto ikev1 sa detail", "show crypto ikev2 sa detail"}
		}
		return []string{"show crypto isakmp sa detail"}
	case "ipsec-sa":
		return []string{with("show crypto ipsec sa", "peer", peer)}
	case "session":
		switch q.Kind {
		case inventory.L2L, "":
			return []string{with("show vpn-sessiondb detail l2l", "filter ipaddress", peer)}
		case inventory.EasyVPN, inventory.RemoteAccess:
			kinds := []string{"remote"}
			if !old {
				kinds = []string{"ra-ikev1-ipsec"}
				if q.Kind == inventory.RemoteAccess {
					kinds = append(kinds, "anyconnect")
				}
			} else if q.Kind == inventory.RemoteAccess && !t.Version.Before(8, 0) {
				kinds = append(kinds, "svc")
			}
			var out []string
			for _, k := range kinds {
				out = append(out, with("show vpn-sessiondb detail "+k, "filter p-ipaddress", peer))
			}
			return append(out, "show vpn-sessiondb summary")
		}
	case "config":
		out := []string{"show running-config crypto"}
		if t.Version.Before(7, 3) {
			out = append(out, "show running-config isakmp")
		}
		out = append(out, "show running-config tunnel-group", "show running-config group-policy",
			"show running-config access-list", "show running-config object-group")
		if !t.Version.Before(8, 3) {
			out = append(out, "show running-config object")
		}
		out = append(out, "show running-config nat")
		if !t.Version.Known() || t.Version.Before(8, 3) {
			out = append(out, "show running-config global", "show running-config static")
		}
		return append(out, "show running-config interface", "show running-config route", "show running-config all sysopt",
			"show running-config ip local pool", "show running-config aaa-server", "show running-config threat-detection",
			"show running-config management-access", "show running-config same-security-traffic", "show running-config access-group",
			"show running-config icmp", "show running-config name", "show running-config username", "show running-config vpn-sessiondb",
			"show running-config logging")
	case "log":
		if peer == "" {
			return []string{"show logging | include -713|-714|-715|-402|-602|-113|-722|-737|-750|-751|-752"}
		}
		return []string{"show logging | include " + peer}
	case "asp-drop":
		return []string{"show asp drop"}
	case "memory":
		return []string{"show memory"}
	case "cpu":
		return []string{"show cpu usage"}
	case "failover":
		return []string{"show failover"}
	case "ssh-sessions":
		return []string{"show ssh sessions"}
	case "routes":
		if t.Version.Known() && !t.Version.Before(9, 2) && len(q.Networks) > 0 {
			var out []string
			for _, n := range q.Networks {
				if a, err := address("network", n.Masked().Addr()); err == nil {
					out = append(out, "show route "+a)
				}
			}
			return out
		}
		return []string{"show route"}
	case "nat":
		// Who holds the ports of IKE on the interface's address; all translations may be
		// hundreds of thousands.
		out := []string{"show nat detail"}
		if old {
			out = []string{"show nat"}
		}
		return append(out, "show xlate gport 500", "show xlate gport 4500")
	case "pools":
		out := []string{"show running-config ip local pool"}
		for _, p := range q.Pools {
			out = append(out, "show ip local pool "+p)
		}
		return out
	case "aaa":
		return []string{"show aaa-server"}
	case "captures":
		return []string{"show capture"}
	case "shun":
		return []string{"show shun", "show threat-detection shun"}
	case "certificates":
		return []string{"show crypto ca certificates"}
	case "license":
		return []string{"show version", "show local-host | include host limit|active"}
	case "acl":
		return []string{"show access-list"}
	case "asp-table":
		return []string{"show asp table classify domain encrypt", "show asp table vpn-context detail"}
	}
	return nil
}

func iosEvidence(t Target, name, peer string, q Query) []string {
	switch name {
	case "clock":
		return []string{"show clock"}
	case "version":
		return []string{"show version"}
	case "ike-sa":
		ikev2 := "show crypto ikev2 sa detailed"
		if peer != "" {
			ikev2 = "show crypto ikev2 sa remote " + peer + " detailed"
		}
		// "detail" has no column for the state; the plain form has no cipher and no lifetime.
		out := []string{"show crypto isakmp sa", "show crypto isakmp sa detail"}
		if t.Version.Before(15, 1) {
			return out
		}
		return append(out, ikev2)
	case "ipsec-sa":
		return []string{with("show crypto ipsec sa", "peer", peer)}
	case "session":
		return []string{with("show crypto session", "remote", peer) + " detail"}
	case "config":
		return []string{"show running-config | section crypto|access-list|route-map|ip nat|interface|ip route|ip local pool|aaa|radius|tacacs|hostname|ip vrf|vrf definition"}
	case "log":
		if peer == "" {
			return []string{"show logging | include CRYPTO"}
		}
		return []string{"show logging | include CRYPTO|" + peer}
	case "memory":
		return []string{"show memory statistics"}
	case "cpu":
		return []string{"show processes cpu | include CPU utilization"}
	case "failover":
		return []string{"show redundancy"}
	case "ssh-sessions":
		return []string{"show ssh"}
	case "routes":
		vrf := ""
		if t.VRF != "" {
			vrf = "vrf " + t.VRF + " "
		}
		var out []string
		for _, n := range q.Networks {
			if a, err := address("network", n.Masked().Addr()); err == nil {
				family := "ip"
				if n.Addr().Is6() {
					family = "ipv6"
				}
				out = append(out, "show "+family+" route "+vrf+a)
			}
		}
		if peer != "" {
			family := "ip"
			if q.Peer.Is6() {
				family = "ipv6"
			}
			out = append(out, "show "+family+" route "+vrf+peer)
		}
		if len(out) == 0 {
			return []string{"show ip route"}
		}
		return out
	case "nat":
		return []string{"show ip nat translations"}
	case "pools":
		return []string{"show ip local pool"}
	case "aaa":
		return []string{"show aaa servers"}
	case "captures":
		if t.Version.XE || !t.Version.Known() {
			return []string{"show monitor capture"}
		}
		return []string{"show monitor capture buffer all parameters", "show monitor capture point all"}
	case "certificates":
		return []string{"show crypto pki certificates"}
	case "license":
		return []string{"show platform cerm-information"}
	case "acl":
		return []string{"show access-lists"}
	case "crypto-map":
		return []string{"show crypto map"}
	case "ikev2-errors":
		if t.Version.XE {
			return []string{"show crypto ikev2 diagnose error"}
		}
	}
	return nil
}
