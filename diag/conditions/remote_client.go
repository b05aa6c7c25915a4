package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/client"
	"vpnbot/diag/report"
)

// remoteClient are the conditions that show at the user's computer.
func remoteClient() []Condition {
	return []Condition{clientNotResponding, clientPortsBlocked, clientProposal, vaInstaller, dataCardWindows7, largePacket, clientLatency, ctcpStateful, ctcpPort}
}

var clientNotResponding = Condition{
	ID:       "client-remote-peer-not-responding",
	Cause:    "the gateway does not answer the client",
	Shows:    "Reason 412",
	Severity: report.Major,
	SymptomOf: []string{"nat-t-disabled", "isakmp-disabled", "isakmp-port-in-use", "udp-500-blocked", "udp-500-return-blocked", "udp-4500-blocked", "client-ports-blocked", "exchange-mode-mismatch",
		"nat-pool-address-change", "nat-mapping-lost", "keepalive-mismatch", "dead-peer", "threat-detection-shun", "client-data-card-windows7", "ctcp-stateful-drop", "ctcp-port-blocked", "low-memory", "psk-mismatch", "peer-address-mismatch"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, Reason 412",
	Look: ofBundle("client-remote-peer-not-responding", func(s *site) []Match {
		x := s.reason("412")
		if len(x) == 0 {
			return nil
		}
		clues := []Clue{For(2.4, "the client got no answer (any more)", at(x...)...)}
		server := s.dialled()
		m := Match{Title: "The VPN client reports Reason 412: the remote peer is no longer responding"}
		if server.IsValid() {
			m.Title = "The VPN client gets no answer from " + server.String() + " (Reason 412: the remote peer is no longer responding)"
		}
		m.Explanation = "The client's packets got no answer. From this message alone it cannot be told whether they arrive: UDP 500, UDP 4500 or ESP may be blocked on the way, ISAKMP may be off on the headend's interface, or a NAT in between needs NAT-T."
		if p := s.said.of(breaksOff); len(p) > 0 {
			clues = append(clues, For(0.4, "it works for a time first", p...))
			m.Explanation += " It works for a time and then breaks off, which speaks for keepalives or a NAT that forgets its mapping."
		}
		m.Clues = clues
		m.Actions = []report.Action{advise(nil, []string{"crypto isakmp nat-traversal 20", "show crypto isakmp sa"}, "headend: NAT-T on, ISAKMP enabled on the interface that the client dials", "path: open UDP 500, UDP 4500 and ESP, or use IPsec over TCP 10000",
			"client: transparent tunnelling on, IPSec over UDP (NAT/PAT); try from another network")}
		m.Next = []report.Next{bothEnds("shows whether the client's packets reach the headend and which answer is lost"), readAlso("the headend's configuration and log of that moment", "separates isakmp-disabled, exchange-mode-mismatch and nat-t-disabled from a blocked path")}
		return []Match{m}
	}),
}

// dialled is the gateway's address in a client's log.
func (s *site) dialled() netip.Addr {
	for _, ev := range s.client {
		if strings.HasPrefix(ev.ID, "CM/") || strings.HasPrefix(ev.ID, "IKE/") {
			if ev.Peer.IsValid() {
				return ev.Peer
			}
			if len(ev.Addrs) > 0 && hasAny(ev.Text, "server", "connection with") {
				return ev.Addrs[0]
			}
		}
	}
	for _, ev := range s.client {
		if strings.HasPrefix(ev.ID, "Reason ") && len(ev.Addrs) > 0 {
			return ev.Addrs[0]
		}
	}
	return netip.Addr{}
}

// lostLater returns the lines of client logs in which a client that was connected loses its
// peer, and whether that connection was IPsec over TCP.
func lostLater(log []facts.Event) (lost []facts.Event, overTCP bool) {
	tcp, connected := false, false
	for _, ev := range log {
		switch {
		case hasAny(ev.Text, "attempt connection with server"):
			tcp, connected = false, false
		case hasAny(ev.Text, "tcp connection established"):
			tcp = true
		case hasAny(ev.Text, "secure connection established", "established phase 1 sa"):
			connected = true
		case connected && (ev.ID == "Reason 412" || hasAny(ev.Text, "peer_not_responding", "tcp connection reset", "connection to the peer was lost")):
			lost = append(lost, ev)
			overTCP = overTCP || tcp
		}
	}
	return lost, overTCP
}

// unanswered returns Wireshark's remarks of duplicate ACKs in a pasted list of packets, three at
// least, when no segment of it was sent again.
func (s *site) unanswered() []facts.Place {
	var dup []facts.Place
	for _, d := range s.set.Devices {
		for _, n := range d.Notes {
			switch {
			case strings.Contains(n.Lower, "[tcp retransmission]"), strings.Contains(n.Lower, "[tcp fast retransmission]"), strings.Contains(n.Lower, "[tcp spurious"):
				return nil
			case strings.Contains(n.Lower, "[tcp dup ack"):
				dup = append(dup, n.Place)
			}
		}
	}
	if len(dup) < 3 {
		return nil
	}
	return dup
}

var clientPortsBlocked = Condition{
	ID:        "client-ports-blocked",
	Cause:     "the client's network blocks ESP and UDP",
	Shows:     "one site fails while others work; TCP 10000 works",
	Severity:  report.Major,
	Prefer:    []string{"ctcp-port-blocked", "ctcp-stateful-drop", "isakmp-disabled", "nat-t-disabled", "exchange-mode-mismatch", "nat-pool-address-change", "threat-detection-shun"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, VPN client cannot connect",
	Look: ofBundle("client-ports-blocked", func(s *site) []Match {
		failed := s.reason("412")
		failed = append(failed, s.reason("414")...)
		failed = append(failed, saying(s.client, "isakmp oak ag (retransmission)", "peer_not_responding")...)
		later, _ := lostLater(s.client)
		failed = slices.DeleteFunc(failed, func(ev facts.Event) bool {
			return slices.ContainsFunc(later, func(l facts.Event) bool { return l.Place == ev.Place }) // it had connected
		})
		site, tcp := s.said.of(oneSite), s.said.of(overTCP)
		up := saying(s.client, "tcp connection established")
		if len(site) == 0 && len(tcp)+len(up) == 0 {
			return nil
		}
		if len(failed) == 0 && len(s.said.naming(" vpn client", " vpn-client", " client", " cliente vpn", " reason 41")) == 0 {
			return nil // no word of a client
		}
		if len(s.said.mentioning(" carrier", " mobilfunkanbieter", " mobile operator", " opérateur", " operador", " mobile provider")) > 0 && len(s.said.mentioning(" now and then", " sometimes", " manchmal", " ab und zu", " parfois", " a veces", " at the third try", " of 10 ", " von 10 ", " sporad", " occasion")) > 0 {
			return nil // a NAT pool of that carrier
		}
		var clues []Clue
		if len(up) > 0 && len(failed) > 0 {
			clues = append(clues, For(1.6, "over TCP the same client gets through, over UDP it gets no answer", append(at(up...), at(failed...)...)...))
		}
		if len(failed) > 0 {
			clues = append(clues, For(1.2, "the client gets no answer", at(failed...)...))
		}
		if len(site) > 0 {
			clues = append(clues, For(2.4, "it fails from one place and works from others", site...))
		}
		if len(tcp) > 0 && len(s.reason("414")) == 0 {
			w := 1.2
			if !slices.ContainsFunc(s.said.clause, func(c clause) bool {
				return slices.Contains(s.said.places[overTCP], c.place) && hasAny(c.text, " works", " ok ", " fine", " geht ", " funktion", " fonctionne", " marche", " funciona", " klappt")
			}) {
				w = 0.4
			}
			clues = append(clues, For(w, "IPsec over TCP gets through", tcp...))
		}
		if len(s.said.of(dataCard)) > 0 && len(s.said.of(windows7)) > 0 {
			clues = append(clues, Against(1.5, "a data card on Windows 7 is in use"))
		}
		if x := s.said.naming(" now and then", " sometimes", " manchmal", " ab und zu", " parfois", " a veces", " carrier", " mobilfunk"); len(x) > 0 {
			clues = append(clues, Against(1, "it works now and then: a NAT pool rather", x...))
		}
		for _, g := range s.gateways {
			for _, sa := range g.Device.IKE {
				if strings.HasPrefix(sa.State, "AM_ACTIVE") || IsUp(sa) && sa.Type == "user" {
					clues = append(clues, For(0.6, "other clients are connected to "+g.Label(), saPlace(sa)))
					break
				}
			}
		}
		port := "10000"
		var actions []report.Action
		for _, g := range s.gateways {
			if v, on := ctcpPorts(g.Config()); on {
				port = firstField(v.Value)
			} else if g.Config() != nil && g.isASA() {
				actions = append(actions, advise(g.End, []string{"crypto " + g.ikeWord() + " ipsec-over-tcp port 10000"}))
			}
		}
		where := "the network that this client is in"
		if a := s.dialled(); a.IsValid() {
			where += " (towards " + a.String() + ")"
		}
		return []Match{{Clues: clues,
			Title:       "The client's network blocks UDP 500/4500 or ESP: " + where,
			Explanation: "The client connects from other places and gets no answer from this one, and other users work at the same time: headend, group and key are in order, and the network in front of this client does not let IKE or ESP through. The client shows Reason 412 in this case.",
			Actions:     append([]report.Action{advise(nil, nil, "client: Modify > Transport > IPSec over TCP, port "+port, "or ask that network's operator to permit UDP 500, UDP 4500 and ESP, or use an SSL VPN")}, actions...),
			Next:        []report.Next{{Collect: "a capture at the headend while the client dials", Because: "shows whether anything of this client arrives", Playbook: "capture-both-ends"}}}}
	}),
}

// ctcpPorts is the setting that turns IPsec over TCP on.
func ctcpPorts(c *facts.Config) (facts.Setting, bool) {
	for _, k := range []string{"crypto ikev1 ipsec-over-tcp", "crypto isakmp ipsec-over-tcp", "crypto ctcp port"} {
		if s, ok := c.Setting(k); ok {
			s.Value = strings.TrimPrefix(s.Value, "port ")
			if s.Value == "" || s.Value == "port" {
				s.Value = "10000"
			}
			return s, !s.No
		}
	}
	return facts.Setting{}, false
}

var clientProposal = Condition{
	ID:        "client-proposal-unsupported",
	Cause:     "only DES with SHA is offered to Cisco VPN Clients",
	Shows:     "policies and transform sets of a remote-access headend",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, ISAKMP policies and transform sets: DES with SHA is not offered by the VPN client",
	Look: ofDevice("client-proposal-unsupported", func(g *gateway, s *site) []Match {
		c := g.Config()
		if c == nil {
			return nil
		}
		dynamic := slices.ContainsFunc(c.MapEntries, func(m facts.MapEntry) bool { return m.DynamicMap || m.Dynamic != "" })
		if !g.remoteAccess() && !dynamic || len(g.groups) == 0 {
			return nil
		}
		var clues []Clue
		var what []string
		var bad []facts.Place
		n := 0
		for _, p := range c.IKEPolicies {
			if p.Version != 1 {
				continue
			}
			n++
			if slices.Equal(p.Encryption, []string{"des"}) && slices.Equal(p.Hash, []string{"sha"}) {
				bad = append(bad, p.Place)
			}
		}
		if n > 0 && len(bad) == n {
			clues = append(clues, For(4.2, "every ISAKMP policy is DES with SHA", bad...))
			what = append(what, "ISAKMP policy")
		}
		sets := map[string]facts.TransformSet{}
		for _, t := range c.TransformSets {
			sets[t.Name] = t
		}
		bad, n = nil, 0
		for _, m := range c.MapEntries {
			if !m.DynamicMap {
				continue
			}
			for _, name := range m.Transforms {
				t, ok := sets[name]
				if !ok {
					continue
				}
				n++
				if slices.Contains(t.Transforms, "esp-des") && slices.Contains(t.Transforms, "esp-sha-hmac") {
					bad = append(bad, t.Place)
				}
			}
		}
		if n > 0 && len(bad) == n {
			clues = append(clues, For(4.2, "every transform set of the dynamic map is DES with SHA", bad...))
			what = append(what, "transform set")
		}
		if len(clues) == 0 {
			return nil
		}
		if x := append(s.reason("412"), s.reason("433")...); len(x) > 0 {
			clues = append(clues, For(0.6, "a client fails", at(x...)...))
		}
		cmds := []string{"crypto " + g.ikeWord() + " policy <n>", "encryption aes-256", "hash sha", "group 2"}
		if g.isIOS() {
			cmds = []string{"crypto isakmp policy <n>", "encr aes 256", "hash sha", "group 2"}
		}
		if slices.Contains(what, "transform set") {
			if g.isIOS() || g.old() {
				cmds = append(cmds, "crypto ipsec transform-set RA-AES256-SHA esp-aes-256 esp-sha-hmac")
			} else {
				cmds = append(cmds, "crypto ipsec ikev1 transform-set RA-AES256-SHA esp-aes-256 esp-sha-hmac")
			}
		}
		return []Match{{Clues: clues,
			Title:       "The Cisco VPN Client cannot agree with " + g.Label() + ": its only " + strings.Join(what, " and ") + " is DES with SHA",
			Explanation: "The Cisco VPN Client offers DES only together with MD5, and 3DES or AES with either hash. A headend that knows nothing but DES with SHA has nothing in common with it. One other policy and one other transform set are enough; site-to-site tunnels are not affected.",
			Actions:     []report.Action{advise(g.End, cmds, "DES+MD5, 3DES+SHA and 3DES+MD5 work too; AES is what should be used", "add it beside the old one: existing tunnels stay")}}}
	}),
}

var vaInstaller = Condition{
	ID:        "anyconnect-va-installer",
	Cause:     "the 64-bit virtual-adapter installer cannot start",
	Shows:     "error 0xffffffff in the client's message",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, AnyConnect 64-bit VA installer error 0xffffffff",
	Look: ofBundle("anyconnect-va-installer", func(s *site) []Match {
		p := at(saying(s.client, "va installer")...)
		for _, c := range s.said.clause {
			if hasAny(c.text, "va installer", "va-installer", "virtual adapter due to error 0xffffffff") {
				p = append(p, c.place)
			}
		}
		if len(p) == 0 {
			return nil
		}
		return []Match{{Clues: []Clue{For(4.6, "the virtual adapter's installer cannot be started", p...)},
			Title:       "AnyConnect cannot install its 64-bit virtual adapter (VA installer, error 0xffffffff)",
			Explanation: "The client connects and then cannot start the installer of its virtual adapter, because Windows may not update root certificates and so does not trust the installer's signature. Headend and tunnel have no part in it.",
			Actions: []report.Action{advise(nil, nil, "on that computer: Internet communication settings, 'Turn off automatic root certificates update' must be disabled (group policy: Computer Configuration > Administrative Templates > System > Internet Communication Management)",
				"it is disabled already: take the administrative-template part of the group policy off this machine and test again")}}}
	}),
}

var dataCardWindows7 = Condition{
	ID:        "client-data-card-windows7",
	Cause:     "Cisco VPN Client on Windows 7 with a data card",
	Shows:     "Windows 7 and a WWAN adapter in the client log",
	Severity:  report.Major,
	Prefer:    []string{"nat-pool-address-change"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, VPN client on Windows 7 with a 3G data card",
	Look: ofBundle("client-data-card-windows7", func(s *site) []Match {
		var card, seven []facts.Place
		for _, ev := range s.client {
			switch ev.ID {
			case client.Adapter:
				card = append(card, ev.Place)
			case client.System, client.Version:
				if hasAny(ev.Text, "6.1.7600", "6.1.7601", "windows 7", "version 6.1") {
					seven = append(seven, ev.Place)
				}
			}
		}
		card = append(card, s.said.of(dataCard)...)
		seven = append(seven, s.said.of(windows7)...)
		if len(card) == 0 || len(seven) == 0 {
			return nil
		}
		clues := []Clue{For(2.4, "a mobile data card is in use", card...), For(1.8, "the computer runs Windows 7", seven...)}
		for _, n := range s.notes() {
			wired := hasAny(n.Lower, " cable", " kabel", " câble", " ethernet", " wlan", " wi-fi", " wifi", " dsl")
			alike := hasAny(n.Lower, "reason 41", "same error", "same message", "same reason", "same result", "same problem", "gleiche fehler", "selbe fehler", "gleicher fehler", "même erreur", "mismo error") ||
				hasAny(n.Lower, " too", " also ", " auch ", " aussi ", " también ") && slices.ContainsFunc(fails, func(f string) bool { return strings.Contains(n.Lower, f) })
			if wired && alike && !hasAny(n.Lower, " works", " fine", " connects at once", " funktioniert", " klappt", " geht es", " fonctionne", " funciona") {
				clues = append(clues, Against(6, "it fails by cable or WLAN too", n.Place))
				break
			}
		}
		for _, c := range s.said.clause {
			wired := hasAny(c.text, " cable", " lan ", " wlan", " wi-fi", " wifi", " ethernet", " dsl", " kabel", " câble", " cable ")
			bad := slices.ContainsFunc(fails, func(f string) bool { return strings.Contains(c.text, f) })
			if wired && !bad {
				clues = append(clues, For(0.6, "by cable or WLAN it works", c.place))
			}
		}
		if x := s.said.naming(" now and then", " sometimes", " manchmal", " ab und zu", " parfois", " a veces", " other devices", " andere geräte"); len(x) > 0 {
			clues = append(clues, Against(1, "it works now and then: rather the carrier's NAT", x...))
		}
		if x := append(s.reason("412"), s.reason("442")...); len(x) > 0 {
			clues = append(clues, For(0.4, "the client fails", at(x...)...))
		}
		return []Match{{Clues: clues,
			Title:       "The Cisco VPN Client does not work with a mobile data card on Windows 7",
			Explanation: "The Cisco VPN Client's driver does not bind to the WWAN adapters of Windows 7, so with a 3G/UMTS card nothing goes through the tunnel (or the client reports that it cannot enable the virtual adapter, or Reason 412). The same client by cable or WLAN works: headend and account are in order.",
			Actions:     []report.Action{advise(nil, nil, "use AnyConnect / Secure Client on that computer", "or another uplink: a phone's hotspot or a router with the card in it, so that the computer sees Ethernet or WLAN")}}}
	}),
}

var largePacket = Condition{
	ID:        "large-packet-to-client",
	Cause:     "packets are larger than the SSL client's MTU",
	Shows:     "722036",
	Severity:  report.Minor,
	Reference: "%ASA-6-722036; Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions",
	Look: ofDevice("large-packet-to-client", func(g *gateway, s *site) []Match {
		x := withID(g.Device.Events, "722036")
		if len(x) == 0 {
			x = saying(g.Device.Events, "transmitting large packet")
		}
		if len(x) == 0 {
			return nil
		}
		clues := []Clue{For(4, "packets over the client's MTU are sent to it", at(x...)...)}
		grp := g.of(x[0].Group)
		compressed := facts.Place{}
		gp := "<gp>"
		if grp != nil {
			if a, ok := grp.get("webvpn svc compression", "webvpn anyconnect ssl compression", "svc compression", "anyconnect ssl compression"); ok && !a.No && a.Value != "none" {
				compressed = a.Place
				clues = append(clues, For(0.8, "compression is on, which inflates what is compressed already", a.Place))
			}
			gp = inForce(grp)
		}
		m := Match{Clues: clues, Peer: x[0].Peer,
			Title:       g.Label() + " sends packets to SSL clients that are larger than their MTU",
			Explanation: "A packet for the client is longer than what fits into its tunnel (message 722036 names size and threshold). It is sent all the same, in pieces or not at all, and transfers to that user stall. The source ignores the MTU, or compression makes packets longer that are compressed already."}
		if u := who(x); u != "" {
			m.Title += " (" + u + ")"
		}
		if compressed.Source == "" {
			m.Explanation += " The opposite direction would be 722035."
		}
		word := "anyconnect ssl compression none"
		if g.old() {
			word = "svc compression none"
		}
		m.Actions = []report.Action{advise(g.End, []string{"group-policy " + gp + " attributes", "webvpn", word}, "or lower the MTU of the source; takes effect when users connect again")}
		return []Match{m}
	}),
}

var clientLatency = Condition{
	ID:        "client-latency",
	Cause:     "VPN users see high latency",
	Shows:     "round trip small outside and large inside the tunnel; tcpmss at default with IPsec over TCP",
	Severity:  report.Major,
	Prefer:    []string{"crypto-throughput-license", "low-memory", "ctcp-stateful-drop"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, latency for VPN client traffic",
	Look: ofBundle("client-latency", func(s *site) []Match {
		if !s.takesUsers() {
			return nil
		}
		var clues []Clue
		slow := s.said.of(slowness)
		if len(slow) > 0 {
			clues = append(clues, For(1.8, "users say that it is slow", slow...))
		}
		out, in := facts.Ping{MillisRT: -1}, facts.Ping{MillisRT: -1}
		lostBig := false
		for _, p := range s.pings {
			switch {
			case p.Received == 0:
				lostBig = lostBig || p.Size > 1000
			case p.MillisRT < 0:
			case p.Target.IsPrivate():
				if p.MillisRT > in.MillisRT {
					in = p
				}
			case out.MillisRT < 0 || s.isGateway(p.Target):
				out = p
			}
		}
		if in.MillisRT >= 0 && out.MillisRT >= 0 {
			switch {
			case in.MillisRT >= 150 && in.MillisRT >= 3*out.MillisRT:
				clues = append(clues, For(3, fmt.Sprintf("round trip outside the tunnel %d ms, through it %d ms", out.MillisRT, in.MillisRT), out.Place, in.Place))
			case in.MillisRT < 2*out.MillisRT+20:
				clues = append(clues, Against(3, "the path outside the tunnel is as slow", out.Place, in.Place))
			}
		} else if in.MillisRT >= 250 && len(slow) > 0 {
			clues = append(clues, For(1.2, fmt.Sprintf("the round trip through the tunnel takes %d ms", in.MillisRT), in.Place))
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 0 }) {
			return nil
		}
		if lostBig || len(s.said.of(hanging)) > 0 && len(slow) == 0 {
			clues = append(clues, Against(2.5, "large packets are lost: a question of sizes"))
		}
		var where *gateway
		tcp := false
		for _, g := range s.gateways {
			c := g.Config()
			if c == nil || !g.remoteAccess() && where != nil {
				continue
			}
			if !g.remoteAccess() && len(c.MapEntries) == 0 {
				continue
			}
			where = g
			if v, on := ctcpPorts(c); on {
				tcp = true
				clues = append(clues, For(1, "IPsec over TCP is configured", v.Place))
			}
			mss, set := c.Setting("sysopt connection tcpmss")
			for _, v := range allSettings(c, "sysopt connection tcpmss") {
				if !strings.Contains(v.Value, "minimum") {
					mss, set = v, true
				}
			}
			switch n := numberIn(mss.Value); {
			case set && !mss.No && (n == 1380 || n > 1380):
				clues = append(clues, For(0.6, fmt.Sprintf("sysopt connection tcpmss is %d", n), mss.Place))
			case set && n > 0 && n < 1380:
				clues = append(clues, Against(0.6, "tcpmss is lowered already", mss.Place))
			}
			if v, ok := c.Setting("sysopt connection preserve-vpn-flows"); ok && v.No {
				clues = append(clues, For(0.6, "sysopt connection preserve-vpn-flows is off", v.Place))
			}
		}
		if x := s.said.of(overTCP); len(x) > 0 && !tcp {
			clues = append(clues, For(0.6, "IPsec over TCP is in use", x...))
		}
		name := "the headend"
		var end *End
		if where != nil {
			name, end = where.Label(), where.End
		} else {
			clues = append(clues, Against(0.4, "no headend's configuration is at hand"))
		}
		m := Match{Clues: clues,
			Title:       "VPN users of " + name + " see high latency through the tunnel",
			Explanation: "The path outside the tunnel is fast enough, what goes through the tunnel is slow. On the headend, tcpmss at its default lets full segments be fragmented after encryption, IPsec over TCP makes each loss stop everything behind it, and without preserve-vpn-flows connections start again after each renegotiation.",
			Actions: []report.Action{advise(end, []string{"sysopt connection tcpmss 1300", "sysopt connection preserve-vpn-flows"}, "IPsec over UDP in place of TCP where the network allows it",
				"the last step in Cisco's list, reloading the ASA, cuts everybody: a maintenance window")},
			Next: []report.Next{readAlso("pings of the user to the headend's outside address and to an inside host, at the same time", "tells a slow tunnel from a slow line")}}
		if in.MillisRT >= 0 && out.MillisRT >= 0 {
			m.Explanation = fmt.Sprintf("The user's ping takes %d ms to %s outside the tunnel and %d ms to %s through it. ", out.MillisRT, out.Target, in.MillisRT, in.Target) + m.Explanation
		}
		return []Match{m}
	}),
}

// ctcpPort numbers that messages name: IPsec over TCP uses 10000 unless configured otherwise.
func (s *site) ctcpNumbers() []string {
	out := []string{"10000"}
	for _, g := range s.gateways {
		if v, on := ctcpPorts(g.Config()); on {
			out = append(out, strings.Fields(v.Value)...)
		}
	}
	return out
}

// toPort tells whether a message names one of the ports as destination.
func toPort(text string, ports []string) bool {
	return slices.ContainsFunc(ports, func(p string) bool {
		return hasAny(text+" ", "/"+p+" ", "("+p+") ", "/"+p+",", "port "+p+" ", "("+p+"),", ":"+p+" ")
	})
}

var ctcpStateful = Condition{
	ID:        "ctcp-stateful-drop",
	Cause:     "a stateful device drops IPsec over TCP after duplicate ACKs",
	Shows:     "captures: a gap, three duplicate ACKs, no retransmission, silence; client log: IPsec over TCP up and then lost",
	Severity:  report.Critical,
	Reference: "Cisco: IPsec over TCP clients connect and then fail (cTCP)",
	Look: ofBundle("ctcp-stateful-drop", func(s *site) []Match {
		ports := s.ctcpNumbers()
		var clues []Clue
		var dev *gateway
		inUse := s.said.of(overTCP)
		used := at(saying(s.client, "tcp connection established", "tcp syn-ack received")...)
		broke := s.said.of(breaksOff)
		for _, g := range s.gateways {
			evs := g.Device.Events
			var x []facts.Event
			for _, ev := range withID(evs, "106015", "106100", "419002", "402117") {
				if ev.ID == "106015" && toPort(ev.Text, ports) {
					x = append(x, ev)
				}
			}
			if len(x) > 0 {
				clues = append(clues, For(3.4, g.Label()+" drops segments of the cTCP connection as not belonging to one", at(x...)...))
				dev = g
			}
			x = nil
			for _, ev := range withID(evs, "302014") {
				if toPort(ev.Text, ports) && hasAny(ev.Text, "reset", "normalizer", "conn-timeout", "flow closed by inspection", "invalid", "proxy") {
					x = append(x, ev)
				}
			}
			if len(x) > 0 {
				clues = append(clues, For(1.8, g.Label()+" tears the cTCP connection down", at(x...)...))
				dev = g
			}
			if x := saying(evs, "tcp normalizer", "tcp-not-syn", "tcp-seq-past-win", "tcp-dual-open"); len(x) > 0 && len(clues) > 0 {
				clues = append(clues, For(1, "the TCP normaliser is at work", at(x...)...))
			}
			if v, on := ctcpPorts(g.Config()); on {
				w := 0.0
				if len(broke) > 0 || len(s.reason("412")) > 0 && len(inUse)+len(used) > 0 {
					w = 0.8
				}
				if w > 0 {
					clues = append(clues, For(w, "IPsec over TCP is configured", v.Place))
				}
				if dev == nil {
					dev = g
				}
			}
		}
		if len(inUse)+len(used) > 0 && len(broke) > 0 {
			clues = append(clues, For(2.8, "the client connects over TCP and is lost after a time", slices.Concat(broke, inUse, used)...))
		}
		if x, tcp := lostLater(s.client); len(x) > 0 && tcp && len(broke) == 0 {
			clues = append(clues, For(2.2, "the client was connected over TCP and lost its peer", slices.Concat(at(x...), used)...))
		}
		if x := s.unanswered(); len(x) > 0 && len(inUse)+len(used) > 0 {
			clues = append(clues, For(2.8, "three and more duplicate ACKs ask for a segment, and it is not sent again", x...))
		} else if x := s.said.of(dupAcks); len(x) > 0 {
			clues = append(clues, For(2.4, "a capture is described: duplicate ACKs, and the segment is not sent again", x...))
		}
		if len(inUse)+len(used) > 0 && len(s.said.of(hanging)) > 0 {
			clues = append(clues, For(0.8, "traffic stalls while the tunnel is up", s.said.of(hanging)...))
		}
		if x := saying(s.client, "tcp connection reset", "tcp rst", "received tcp rst", "tcp connection lost", "connection to the peer was lost"); len(x) > 0 && len(used)+len(inUse) > 0 {
			clues = append(clues, For(1.4, "the TCP connection was reset later", at(x...)...))
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 0.9 }) {
			return nil
		}
		if x := s.reason("414"); len(x) > 0 {
			clues = append(clues, Against(2.5, "the TCP connection never comes up", at(x...)...))
		}
		name, end, port, ifc := "the path", (*End)(nil), ports[len(ports)-1], "<interface>"
		if dev != nil {
			name, end = "the path to "+dev.Label(), dev.End
			if c := dev.Config(); c != nil && len(c.MapBindings) > 0 {
				ifc = c.MapBindings[0].Interface
			}
		}
		return []Match{{Clues: clues,
			Title:       "A stateful device on " + name + " drops IPsec over TCP (cTCP, port " + port + ") after a loss",
			Explanation: "cTCP looks like TCP and does not resend: after one lost segment the receiver's duplicate ACKs stay unanswered, and a firewall or normaliser in between drops what follows as invalid. So the client connects, works, and loses the session, without any fault of key, group or policy.",
			Actions: []report.Action{advise(nil, nil, "move the client to IPsec over UDP or native ESP", "or to AnyConnect / Secure Client, which is a real TCP stack", "find the source of the loss; on the Internet it is often out of reach"),
				advise(end, []string{"access-list CTCP extended permit tcp any any eq " + port, "class-map CTCP", "match access-list CTCP", "policy-map BYPASS", "class CTCP", "set connection advanced-options tcp-state-bypass", "service-policy BYPASS interface " + ifc},
					"a stopgap on a firewall in between: tcp-state-bypass takes its TCP checks away for these flows, so anything may be sent through that port")},
			Next: []report.Next{bothEnds("shows the gap, the duplicate ACKs and that nothing is sent again")}}}
	}),
}

var ctcpPort = Condition{
	ID:        "ctcp-port-blocked",
	Cause:     "the cTCP port is blocked or refused",
	Shows:     "captures: SYN repeats or is reset; client log of IPsec over TCP",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, TCP 10000; Cisco VPN Client Reason 414",
	Look: ofBundle("ctcp-port-blocked", func(s *site) []Match {
		var clues []Clue
		failed := s.reason("414")
		if x := saying(s.client, "failed to establish a tcp connection", "unable to establish tcp", "tcp connection failed"); len(failed) == 0 {
			failed = x
		}
		if len(failed) > 0 {
			clues = append(clues, For(3.4, "the client cannot open its TCP connection", at(failed...)...))
		}
		asked := ""
		if x := saying(s.client, "tcp syn sent", "tcp syn"); len(x) > 1 {
			clues = append(clues, For(0.8, "the client repeats its SYN", at(x...)...))
			asked = portIn(x)
		}
		if x := saying(s.client, "tcp rst received", "received tcp rst", "rst received"); len(x) > 0 {
			clues = append(clues, For(1.2, "it is answered by a reset", at(x...)...))
		}
		var end *gateway
		ports := s.ctcpNumbers()
		for _, g := range s.gateways {
			var x []facts.Event
			for _, ev := range g.Device.Events {
				switch {
				case ev.ID == "106023" || ev.ID == "106001" || ev.ID == "710005" || ev.ID == "710003" || ev.ID == "106100" && hasAny(ev.Text, "denied"),
					strings.HasSuffix(ev.ID, "IPACCESSLOGP") && hasAny(ev.Text, "denied"):
					if hasAny(ev.Text, "tcp") && toPort(ev.Text, ports) {
						x = append(x, ev)
					}
				}
			}
			if len(x) > 0 {
				clues = append(clues, For(3.2, g.Label()+" refuses the cTCP port", at(x...)...))
				end = g
			}
			c := g.Config()
			if c == nil || !g.remoteAccess() {
				continue
			}
			v, on := ctcpPorts(c)
			switch {
			case len(failed) == 0 && len(s.said.of(overTCP)) == 0:
			case !on && !c.Partial:
				clues = append(clues, For(1.8, "IPsec over TCP is not configured on "+g.Label(), g.groups[0].place))
				end = g
			case on && asked != "" && !slices.Contains(strings.Fields(v.Value), asked):
				clues = append(clues, For(2.8, fmt.Sprintf("the client asks for TCP %s, and %s listens on %s", asked, g.Label(), v.Value), v.Place))
				end = g
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 2.4 }) {
			return nil
		}
		if x := s.said.of(breaksOff); len(x) > 0 {
			clues = append(clues, Against(1.5, "it connects first and is lost later", x...))
		}
		if asked == "" {
			asked = ports[len(ports)-1]
		}
		m := Match{Clues: clues,
			Title:       "The client's IPsec over TCP connection (port " + asked + ") does not come up",
			Explanation: "The client wants to carry IPsec in a TCP connection, and that connection is not established: the port is blocked on the way, or the headend does not listen on it. Over UDP the same client may work."}
		if a := s.dialled(); a.IsValid() {
			m.Title = "The client's IPsec over TCP connection to " + a.String() + " (port " + asked + ") does not come up"
		}
		var e *End
		cmd := "crypto ikev1 ipsec-over-tcp port " + asked
		if end != nil {
			e = end.End
			cmd = "crypto " + end.ikeWord() + " ipsec-over-tcp port " + asked
			if end.isIOS() {
				cmd = "crypto ctcp port " + asked
			}
		}
		m.Actions = []report.Action{advise(e, []string{cmd}, "open TCP "+asked+" on the path, both ways", "client and headend must name the same port (client: Modify > Transport)")}
		return []Match{m}
	}),
}

// portIn finds the destination port of the client's SYN.
func portIn(evs []facts.Event) string {
	for _, ev := range evs {
		for _, k := range []string{"dst port ", "dst port: ", "destination port "} {
			if _, v, ok := strings.Cut(strings.ToLower(ev.Text), k); ok {
				if n, err := strconv.Atoi(strings.TrimRight(firstField(v), ".,;")); err == nil {
					return strconv.Itoa(n)
				}
			}
		}
	}
	return ""
}
