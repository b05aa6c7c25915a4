package asa

import (
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/redact"
)

var sessionKeys = set("session type", "connection", "index", "ip addr", "protocol", "encryption", "hashing", "bytes tx", "bytes rx", "login time", "duration", "username", "assigned ip", "public ip", "license", "group policy", "tunnel group", "inactivity", "nac result", "vlan mapping", "vlan", "audt sess id", "security grp", "tunnel zone",
	"pkts tx", "pkts rx", "pkts tx drop", "pkts rx drop", "client ver", "client os", "client type", "client os ver", "tunnel id", "local addr", "remote addr", "udp src port", "udp dst port", "tcp src port", "tcp dst port", "ike neg mode", "auth mode", "rekey int (t)", "rekey left(t)", "rekey int (d)", "rekey left(d)", "d/h group", "filter name", "encapsulation", "pfs group", "idle time out", "idle to left", "conn time out", "conn to left", "ipsec", "ikev1", "ikev2", "ike", "ikev1 tunnels", "ikev2 tunnels", "ipsec tunnels", "ike tunnels", "ipsecovernatt", "ipsecovernatt tunnels", "assigned ipv6", "reval int (t)", "reval left(t)", "sq int (t)", "eou age(t)", "hold left (t)", "posture token", "redirect url", "ipsecoverudp", "ipsecovertcp", "prf", "clientless tunnels", "ssl-tunnel tunnels", "dtls-tunnel tunnels", "anyconnect-parent tunnels", "anyconnect-parent", "ssl-tunnel", "dtls-tunnel", "ciphersuite", "compression", "enc packets", "dec packets", "idle time out")

// sessions reads show vpn-sessiondb in all its forms. Fields holds everything as printed,
// keys in lower case; what belongs to a tunnel of the session has its kind in front ("ipsec local addr").
func (p *reader) sessions() {
	kind := ""
	var cur *facts.Session
	var buf []pair
	part := ""
	for _, l := range p.out.Text {
		t := strings.TrimSpace(l.Text)
		if t == "" || strings.HasPrefix(t, "---") {
			continue
		}
		buf = pairs(t, sessionKeys, buf)
		if len(buf) == 0 {
			p.sessionRow(t, l)
			continue
		}
		for _, kv := range buf {
			v := redact.Strip(kv.value)
			switch kv.key {
			case "session type":
				kind, cur = strings.TrimSpace(strings.TrimSuffix(v, "Detailed")), nil
				continue
			case "connection", "username":
				if cur == nil || cur.Fields["index"] != "" || kv.key == "connection" {
					p.dev.Sessions = append(p.dev.Sessions, facts.Session{Type: kind, Name: v, BytesTx: facts.NotShown, BytesRx: facts.NotShown, Fields: map[string]string{}, Place: p.place(l)})
					cur = &p.dev.Sessions[len(p.dev.Sessions)-1]
					cur.Peer, _ = address(v)
					part = ""
					continue
				}
			case "ikev1", "ikev2", "ike", "ipsec", "ipsecovernatt", "ipsecoverudp", "ipsecovertcp", "anyconnect-parent", "ssl-tunnel", "dtls-tunnel":
				if v == "" && len(buf) == 1 {
					part = kv.key + " "
					continue
				}
			}
			if cur == nil {
				continue
			}
			if part == "" {
				sessionValue(cur, kv.key, v)
			}
			key := part + kv.key
			if _, ok := cur.Fields[key]; !ok && len(cur.Fields) < 200 {
				cur.Fields[key] = v
			}
		}
	}
}

func sessionValue(s *facts.Session, key, v string) {
	switch key {
	case "ip addr":
		if a, _ := address(v); a.IsValid() {
			s.Peer = a
		} else if !s.Peer.IsValid() && s.Name == "" {
			s.Name = v
		}
	case "public ip":
		if a, _ := address(v); a.IsValid() {
			s.Peer = a
		}
	case "assigned ip":
		s.Assigned, _ = address(v)
	case "bytes tx":
		s.BytesTx = count(v)
	case "bytes rx":
		s.BytesRx = count(v)
	case "group policy":
		s.Policy = v
	case "tunnel group":
		s.Group = v
	}
}

// sessionRow reads the rows of the summary: "Site-to-Site VPN :  99 : 3506999 : 99".
func (p *reader) sessionRow(t string, l facts.Line) {
	k, v, ok := strings.Cut(t, ":")
	if !ok {
		return
	}
	n := count(strings.TrimSpace(v))
	if n == facts.NotShown {
		return
	}
	p.counter("vpn-sessiondb", strings.ToLower(strings.Join(strings.Fields(k), "-")), n, facts.NotShown, t, l)
}
