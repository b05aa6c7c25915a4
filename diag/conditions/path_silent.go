package conditions

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// oneWay: the identities name a protocol that never answers: syslog, SNMP traps, flow records.
func oneWay(sa facts.IPsecSA) bool {
	for _, id := range []facts.Selector{sa.LocalID, sa.RemoteID} {
		if id.Proto == 17 {
			switch id.Port {
			case 514, 162, 2055, 4739, 9995, 9996, 6343:
				return true
			}
		}
	}
	return false
}

// standby: another peer of the same crypto map entry is up, so this one only waits.
func (e *End) standby() bool {
	for _, m := range e.Entries() {
		for _, p := range m.Peers {
			if !e.Mine(p) && slices.ContainsFunc(e.Device.IKE, func(sa facts.IKESA) bool { return sa.Remote == p && IsUp(sa) }) {
				return true
			}
		}
	}
	return false
}

// meant: the device is meant to have tunnels, as far as its configuration is at hand.
func (e *End) meant() bool {
	c := e.Config()
	return c == nil || c.Partial || len(c.MapEntries)+len(c.Keys)+len(c.Profiles)+len(c.TunnelGroups) > 0
}

// stranger: the configuration names the device's peers, and this is none of them.
func (e *End) stranger() bool {
	c := e.Config()
	if c == nil || !e.Peer.IsValid() || len(e.Entries()) > 0 || e.TunnelGroup() != nil {
		return false
	}
	known := false
	for _, m := range c.MapEntries {
		if m.DynamicMap || m.Dynamic != "" {
			return false
		}
		known = known || len(m.Peers) > 0
	}
	for _, k := range c.Keys {
		if k.Peer.IsValid() && k.Peer.Contains(e.Peer) {
			return false
		}
		known = known || k.Peer.IsValid()
	}
	for _, i := range c.Interfaces {
		if i.Protection != "" && (!i.TunnelDst.IsValid() || e.Mine(i.TunnelDst)) {
			return false
		}
	}
	return known
}

// allUp: the configuration is whole and each of its peers, or one of each entry's, has an IKE
// SA that is up.
func (e *End) allUp() bool { return ofBox(e, "all peers up", e.findAllUp) }

func (e *End) findAllUp() bool {
	c := e.Config()
	if c == nil || c.Partial {
		return false
	}
	up := map[netip.Addr]bool{}
	for _, sa := range e.Device.IKE {
		up[sa.Remote] = up[sa.Remote] || IsUp(sa)
	}
	some := false
	for _, m := range c.MapEntries {
		if len(m.Peers) == 0 {
			continue
		}
		if !slices.ContainsFunc(m.Peers, func(p netip.Addr) bool { return up[p] }) {
			return false
		}
		some = true
	}
	for _, i := range c.Interfaces {
		if i.Protection == "" || !i.TunnelDst.IsValid() {
			continue
		}
		if !up[i.TunnelDst] {
			return false
		}
		some = true
	}
	return some
}

// someUp: an IKE SA of the device is up.
func (e *End) someUp() bool {
	return ofBox(e, "an SA up", func() bool { return slices.ContainsFunc(e.Device.IKE, IsUp) })
}

// Knock weighs against what one peer's attempt shows where that peer is a stranger: scanners of
// the Internet send what a wrong key or policy sends too. It is one when all the device's own
// peers work and it is none of them, or when nothing but a line or two knows its address beside
// peers that work. Who asks about an address by name wants to hear about it.
func (t *Tunnel) Knock() []Clue {
	if t.Wire != nil || len(t.Ends) != 1 || len(t.Clients) > 0 {
		return nil
	}
	e := t.Ends[0]
	if !e.Peer.IsValid() || len(t.said(e.Peer.String())) > 0 {
		return nil
	}
	if e.stranger() && e.allUp() {
		return []Clue{Against(4.5, "the address is none of the device's peers, and those all work")}
	}
	if !e.unheardOf() {
		return nil
	}
	lines := 0
	for _, ev := range e.Events() {
		if e.Names(ev) {
			lines++
		}
	}
	if lines <= 2 {
		return []Clue{Against(3.5, "nothing but a line or two knows the address, and the device's peers work")}
	}
	return nil
}

// resting counts the configured peers without an IKE SA beside some that are up.
func (e *End) resting() int { return ofBox(e, "resting peers", e.countResting) }

func (e *End) countResting() int {
	c := e.Config()
	if c == nil {
		return 0
	}
	up := map[netip.Addr]bool{}
	for _, sa := range e.Device.IKE {
		up[sa.Remote] = true
	}
	n := 0
	for _, m := range c.MapEntries {
		if len(up) > 0 && len(m.Peers) > 0 && !slices.ContainsFunc(m.Peers, func(p netip.Addr) bool { return up[p] }) {
			n++
		}
	}
	return n
}

// vpnLine: a log line about IKE or IPsec.
func vpnLine(ev facts.Event) bool {
	return ev.Kind == "debug" || ev.Kind == "asa" && len(ev.ID) == 6 && (ev.ID[:2] == "71" || ev.ID[:2] == "75" || ev.ID[:3] == "402") || ev.Kind == "ios" && hasAny(ev.ID, "crypto", "ikev2")
}

var responderSilentText = Condition{
	ID:        "responder-silent",
	Cause:     "requests arrive and nothing answers",
	Shows:     "capture at the responder; 713191, 713276, 713235, 401004",
	Severity:  report.Critical,
	SymptomOf: []string{"isakmp-disabled", "isakmp-port-in-use", "peer-address-mismatch", "phase1-policy-mismatch", "ike-version-mismatch", "exchange-mode-mismatch", "connection-type-conflict", "threat-detection-shun", "low-memory"},
	Reference: "%ASA-4-713191, %ASA-4-713276, %ASA-6-713235; Meraki: the gateway does not answer the client",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			evs := e.Events()
			for _, r := range []struct{ id, title, why, step string }{
				{"713191", "answers no further peer: its limit of concurrent IKE negotiations is reached (713191)", "More peers negotiate at once than the device takes, so it drops the first messages of the others.", "let fewer peers start at once; the limit is that of the platform"},
				{"713276", "answers no further peer: its in-negotiation limit is reached (713276)", "More negotiations are half open than the device allows, so new first messages are dropped.", "crypto ikev1 limit max-in-negotiation-sa, or the flood of half-open negotiations"},
				{"713235", "is the standby unit and must not answer (713235)", "IKE arrives at the standby unit of a failover pair, which drops its answer. The peer uses the standby unit's address, or the units' roles changed under it.", "let the peer use the active unit's address; look at show failover"},
			} {
				x := withID(evs, r.id)
				if len(x) == 0 {
					continue
				}
				w := 3.2
				if len(x) > 1 {
					w = 4
				}
				clues := []Clue{For(w, "the device says why it does not answer", at(x...)...)}
				if y := withID(evs, "713236"); len(y) > 0 {
					clues = append(clues, For(0.4, "requests arrive", at(y...)...))
				}
				if up := t.phase1Up(); len(up) > 0 {
					clues = append(clues, Against(1.5, "this tunnel is up"))
				}
				out = append(out, Match{Key: e.Label() + r.id, Clues: clues, Title: e.Label() + " " + r.title,
					Explanation: "Requests arrive at " + e.Label() + " and no answer leaves. " + r.why + " The path and the keys are not the point.",
					Actions:     []report.Action{advise(e, nil, r.step, "check destination address and MAC (virtual address of a warm spare)")}})
			}
		}
		return out
	},
}

// unhit returns the entries of the peer's crypto access lists as the device counts them, when
// none has a hit.
func (e *End) unhit() []facts.Place {
	var out []facts.Place
	for _, m := range e.Entries() {
		for _, ct := range e.Device.Counters {
			if ct.Group != "access-list" || m.ACL == "" || !strings.HasPrefix(ct.Name, m.ACL+" ") {
				continue
			}
			if ct.Value > 0 {
				return nil
			}
			out = append(out, ct.Place)
		}
	}
	return out
}

var noIKEText = Condition{
	ID:       "no-ike-from-initiator",
	Cause:    "the initiator never sends IKE",
	Shows:    "captures without IKE from it; no SA and no attempt in the log; IOS session DOWN",
	Severity: report.Major,
	SymptomOf: []string{"crypto-map-no-policy", "crypto-acl-unbound", "route-missing", "isakmp-disabled", "connection-type-conflict", "ping-source-wrong", "isakmp-port-in-use", "udp-500-blocked", "dead-peer",
		"sa-idle-timeout", "peer-deleted-sa", "responder-silent", "threat-detection-shun", "keepalive-mismatch", "no-nat-exemption"},
	Reference: "Cisco: no sign that the tunnel works; Meraki: no ISAKMP from the client",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		quiet := 0
		for _, e := range t.Ends {
			p, asked := e.askedIKE()
			if e.standby() {
				return nil
			}
			if c := e.Config(); c != nil && !e.Peer.IsValid() && len(c.MapEntries)+len(c.TunnelGroups)+len(c.Profiles) == 0 {
				return nil // no tunnel is configured
			}
			if n := e.resting(); n > 3 && t.Other(e) == nil {
				clues = append(clues, Against(1.2, "many peers of this device are at rest"))
			}
			if asked && len(e.IKE()) == 0 && !e.phase2Up() && len(e.Entries()) > 0 || asked && len(e.Device.IKE) == 0 && !e.phase2Up() && e.meant() {
				clues = append(clues, For(1.5, e.Label()+" has no IKE SA with the peer", p))
				quiet++
				if x := e.unhit(); len(x) > 0 {
					clues = append(clues, For(0.8, "no packet has matched the crypto access list", x...))
				}
			}
			for _, s := range e.Sessions() {
				if s.Status == "DOWN" {
					clues = append(clues, For(1.4, e.Label()+" lists the session as down and does not negotiate", s.Place))
					quiet++
				}
			}
			for _, ev := range e.Events() {
				if e.Names(ev) && (ev.Kind == "asa" && len(ev.ID) == 6 && (ev.ID[:2] == "71" || ev.ID[:2] == "75" || ev.ID[:3] == "402") || ev.Kind == "debug" || hasAny(ev.ID, "crypto")) {
					clues = append(clues, Against(1.5, "the log shows attempts with this peer", ev.Place))
					break
				}
			}
			if len(e.IKE()) > 0 {
				return nil
			}
		}
		if quiet == 0 {
			return nil
		}
		return []Match{{Clues: clues, Title: "Nobody starts the tunnel between " + t.between(),
			Explanation: "There is no SA and no sign of an attempt: no packet from the protected network reaches the crypto map, so nothing is negotiated. A ping from the device itself without a source address does not count.",
			Actions: []report.Action{advise(nil, nil, "send interesting traffic from behind the device, sourced from the protected network", "check that the crypto map is bound to the interface, its access list, and the route", "check that ISAKMP is enabled",
				"client: does it dial the gateway's right public address; does another device connect from the same place")},
			Next: []report.Next{{Collect: "a sourced ping and a capture at both ends", Because: "shows whether any IKE leaves", Playbook: "capture-both-ends"}}}}
	},
}

var deadPeerText = Condition{
	ID:       "dead-peer",
	Cause:    "the peer stopped answering on every port",
	Shows:    "713123 with nothing else from it; captures: own packets unanswered, ICMP unreachable from the path",
	Severity: report.Critical, Prefer: []string{"nat-mapping-lost"},
	Reference: "%ASA-3-713123 IKE lost contact with remote peer; RFC 3706",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		for _, e := range t.Ends {
			evs := e.Events()
			var lost []facts.Event
			back := false
			for _, l := range e.lives() {
				x := l.of(lostPeer)
				lost = append(lost, events(x)...)
				if n := len(x); n > 0 {
					d, ok := l.backAfter(x[n-1])
					back = back || ok && d < 5*time.Minute
				}
			}
			if back {
				clues = append(clues, Against(2, "the peer came back within minutes"))
			}
			if x := saying(withID(evs, "750003"), "maximum number of retrans"); len(lost) > 0 && len(x) > 0 {
				clues = append(clues, For(1.2, "new negotiations get no answer", at(x...)...))
			}
			if len(lost) > 0 {
				clues = append(clues, For(2.2, e.Label()+" lost contact with the peer", at(lost...)...))
				if len(lost) > 2 {
					clues = append(clues, Against(1.2, "contact was lost again and again: the peer is alive between"))
				}
			}
			if x := saying(withID(evs, "SESSION_STATUS"), "is down"); len(x) > 0 {
				if y := saying(evs, "death by retransmission"); len(y) > 0 {
					clues = append(clues, For(2.4, "the tunnel went down, and a new negotiation gets no answer", append(at(x...), at(y...)...)...))
				}
			}
			if x := saying(evs, "peer not responding", "dpd: peer", "dead peer"); len(x) > 0 {
				clues = append(clues, For(1, "", at(x...)...))
			}
			for _, p := range e.Device.Pings {
				if e.Mine(p.Target) && p.Sent > 0 && p.Received == 0 {
					clues = append(clues, For(1.4, "the peer's public address does not answer pings", p.Place))
				} else if e.Mine(p.Target) && p.Received > 0 {
					clues = append(clues, Against(2.5, "the peer's public address answers pings", p.Place))
				}
			}
			if len(lost) > 0 {
				if x := e.inState("MM_WAIT_MSG2", "MM_NO_STATE"); len(x) > 0 {
					clues = append(clues, For(1.2, "a new negotiation gets no answer", placesOf(x)...))
				}
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 1 }) {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(3.5, "the tunnel is up again", up...))
		}
		return []Match{{Clues: clues, Title: "The peer of " + t.between() + " stopped answering",
			Explanation: "The peer was there and answers nothing any more: its host, power or line is down, or everything between is cut. Nothing points to the VPN's configuration.",
			Actions:     []report.Action{hand("check the far site's power and uplink; another ISP line proves the configuration innocent", "ask whether other tunnels of that site and its public address answer")},
			Next:        []report.Next{bothEnds("a peer that still sends means path-lost-midway, one that does not means dead-peer")}}}
	},
}
