package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// pathText are the path conditions as far as SA states, counters, logs and access lists
// show them; packets show them better (wire.go).
func pathText() []Condition {
	return []Condition{udp500Text, udp500ReturnText, udp4500Text, fragmentsText, natPoolText, responderSilentText, espBlockedText, espUDPText, espOneWay, noReturnText, noIKEText, noIKECaptureText, deadPeerText, largeText, shapedText, replyElsewhereText, silentListed, poolListed, notComparableText}
}

// denied returns log lines that drop the given UDP port or IP protocol between the two ends of
// this tunnel: of the ends' own logs, and of devices between them. proto is "udp" with ports, or "esp".
func (t *Tunnel) denied(proto string, ports ...string) []facts.Event {
	var out []facts.Event
	for _, e := range t.Ends {
		out = append(out, e.dropped(proto, ports...)...)
	}
	if len(t.Ends) == 0 {
		return out
	}
	e := t.Ends[0]
	for _, d := range t.Set.Devices {
		if d == e.Device || len(t.Ends) > 1 && d == t.Ends[1].Device || d.Role == facts.Client {
			continue
		}
		for _, ev := range d.Events {
			if len(ev.Addrs) > 1 && drops(ev, proto, ports...) && (slices.ContainsFunc(ev.Addrs, e.Known) || !e.Own.IsValid()) && slices.ContainsFunc(ev.Addrs, e.Mine) {
				out = append(out, ev)
			}
		}
	}
	return out
}

// dropped are the lines about dropped packets of that kind that name the tunnel's peer. They
// are sorted by the addresses they name once for all tunnels of the device.
func (e *End) dropped(proto string, ports ...string) []facts.Event {
	all := ofBox(e, "dropped "+proto+" "+strings.Join(ports, " "), func() lookup {
		l := lookup{}
		for i, ev := range e.Device.Events {
			if !drops(ev, proto, ports...) {
				continue
			}
			l.add(i, ev.Peer)
			for _, a := range ev.Addrs {
				l.add(i, a)
			}
			if g, err := netip.ParseAddr(ev.Group); err == nil {
				l.add(i, g)
			}
		}
		return l
	})
	var out []facts.Event
	for _, i := range all.pick(e.mineAnd(false)...) {
		if ev := e.Device.Events[i]; e.Names(ev) {
			out = append(out, ev)
		}
	}
	return out
}

// drops tells whether a log line is about a dropped packet of that UDP port or IP protocol.
func drops(ev facts.Event, proto string, ports ...string) bool {
	switch {
	case ev.ID == "106023" || ev.ID == "106010" || ev.ID == "106006" || ev.ID == "106100" || ev.ID == "106001" || ev.ID == "106014":
		if !hasAny(ev.Text, "den") {
			return false
		}
	case len(ev.ID) > 4 && ev.ID[:4] == "SEC-":
		if !hasAny(ev.Text, "denied") {
			return false
		}
	default:
		return false
	}
	if proto == "udp" {
		return hasAny(ev.Text, "udp") && slices.ContainsFunc(ports, func(p string) bool {
			return hasAny(ev.Text, "/"+p+" ", "("+p+")", "/"+p+"(", ":"+p+" ") || endsWith(ev.Text, "/"+p)
		})
	}
	return hasAny(ev.Text, "protocol 50", "protocol esp", " esp ", "denied 50 ", " 50 src", "deny esp")
}

func endsWith(s, suffix string) bool {
	return len(s) >= len(suffix) && s[len(s)-len(suffix):] == suffix
}

// aclDrops walks the access list on the interface that faces the peer and says whether it
// drops this traffic from the peer, and which line does (the list itself for the implicit deny).
// An interface list sees traffic to the box itself on IOS only; on an ASA a list that is bound
// as control-plane does, and what it does not name passes.
func (e *End) aclDrops(proto, port, number string) (facts.Place, bool) {
	c := e.Config()
	if c == nil || !e.Peer.IsValid() {
		return facts.Place{}, false
	}
	matches := func(a facts.ACE) bool {
		if a.Inactive || !(a.Proto == "ip" || a.Proto == proto || a.Proto == number) || !covers(a.Src, a.SrcAny, e.Peer) {
			return false
		}
		if !strings.HasPrefix(a.DstName, "interface ") && !covers(a.Dst, a.DstAny, e.Own) {
			return false
		}
		return proto != "udp" || (a.DstPort == "" || slices.Contains(portNames[port], a.DstPort)) && (a.SrcPort == "" || slices.Contains(portNames[port], a.SrcPort))
	}
	if !e.isIOS() {
		for _, s := range c.Settings {
			f := strings.Fields(s.Value)
			if s.Key != "access-group" || s.No || len(f) < 5 || f[4] != "control-plane" || !anyFits(f[3], e.boundTo()) {
				continue
			}
			if acl := c.ACL(f[0]); acl != nil {
				for _, a := range acl.Entries {
					if matches(a) {
						return a.Place, !a.Permit
					}
				}
			}
		}
		return facts.Place{}, false
	}
	for _, i := range c.Interfaces {
		if i.ACLIn == "" || i.Map == "" && !(e.Own.IsValid() && i.Address.IsValid() && i.Address.Addr() == e.Own) {
			continue
		}
		acl := c.ACL(i.ACLIn)
		if acl == nil || len(acl.Entries) == 0 {
			continue
		}
		for _, a := range acl.Entries {
			if matches(a) {
				return a.Place, !a.Permit
			}
		}
		if cutInList(c, acl) {
			return facts.Place{}, false
		}
		return acl.Place, true
	}
	return facts.Place{}, false
}

// cutInList tells whether a configuration without its end stops within a list, which may go on.
func cutInList(c *facts.Config, acl *facts.ACL) bool {
	return within(lastLine(c), "access-list "+acl.Name+" ", "ip access-list extended "+acl.Name, "ip access-list standard "+acl.Name)
}

var portNames = map[string][]string{
	"500":  {"eq 500", "eq isakmp"},
	"4500": {"eq 4500", "eq non500-isakmp"},
}

func covers(ps []netip.Prefix, wild bool, a netip.Addr) bool {
	return wild || !a.IsValid() || slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

var udp500Text = Condition{
	ID:         "udp-500-blocked",
	Cause:      "UDP 500 does not arrive",
	Shows:      "captures: the first message repeats and never arrives; initiator MM_WAIT_MSG2 or AG_INIT_EXCH with nothing at the responder; 713157, 713136; a list that denies UDP 500",
	Severity:   report.Critical,
	Prefer:     []string{"exchange-mode-mismatch", "isakmp-disabled", "isakmp-port-in-use", "ike-version-mismatch", "responder-silent", "peer-deleted-sa", "nat-pool-address-change", "threat-detection-shun"},
	Reference:  "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions; Meraki: no ISAKMP from the client",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var own []report.Action // where a list of one end is the filter
		for _, e := range t.Ends {
			waiting := e.inState("MM_WAIT_MSG2", "MM_NO_STATE", "AG_INIT_EXCH", "AG_NO_STATE", "AM_WAIT_MSG2")
			if len(waiting) > 0 {
				clues = append(clues, For(1.5, e.Label()+" has no answer to its first message", placesOf(waiting)...))
				if o := t.Other(e); o != nil {
					if p, ok := o.askedIKE(); ok && len(o.IKE()) == 0 {
						clues = append(clues, For(2, o.Label()+" has seen nothing of it", p))
					} else if x := o.inState("MM_WAIT_MSG3", "AM_WAIT_MSG3", "MM_SA_SETUP"); len(x) > 0 {
						clues = append(clues, Against(3.5, o.Label()+" answered: its reply is lost", placesOf(x)...))
					}
				}
			}
			evs := e.Events()
			if x := withID(evs, "713157"); len(x) > 0 {
				clues = append(clues, For(2.2, "the first contact timed out", at(x...)...))
			}
			if x := withID(evs, "713219"); len(x) > 0 && len(waiting) > 0 {
				clues = append(clues, For(0.5, "requests for keys wait for phase 1", at(x...)...))
			}
			if x := saying(withID(evs, "713136"), "msg2"); len(x) > 0 {
				clues = append(clues, For(2, "the negotiation timed out at message 2", at(x...)...))
			}
			var on500, on4500 []facts.Event
			for _, ev := range saying(withID(evs, "750003"), "maximum number of retrans") {
				if ev.PeerPort == 4500 {
					on4500 = append(on4500, ev)
				} else {
					on500 = append(on500, ev)
				}
			}
			if o := t.Other(e); o != nil && len(saying(evs, "maximum number of retransmissions", "failed sa init exchange")) > 0 {
				if x := saying(o.Events(), "ike_sa_init exchange response"); len(x) > 0 {
					clues = append(clues, Against(3, o.Label()+" got the first message and answered it", at(x...)...))
				}
			}
			if o := t.Other(e); o != nil && len(on500) > 0 && len(o.IKE()) > 0 {
				clues = append(clues, Against(3, o.Label()+" got the first message", placesOf(o.IKE())...))
			}
			if len(on500) > 0 {
				w := 1.6
				if o := t.Other(e); o != nil && o.Device.Config != nil && len(o.Device.Events) > 0 && len(o.IKE()) == 0 && !slices.ContainsFunc(o.Events(), func(ev facts.Event) bool { return o.Names(ev) && vpnLine(ev) }) {
					w = 3
				}
				clues = append(clues, For(w, "nothing answered the retransmissions", at(on500...)...))
			}
			// The debug of IKEv2 on IOS: no packet of the peer stands between.
			if x := saying(evs, "maximum number of retransmissions", "failed sa init exchange"); len(x) > 0 && len(on500)+len(on4500) == 0 && len(saying(evs, "received packet [from", "ike_auth exchange")) == 0 {
				clues = append(clues, For(1.6, "nothing answered the retransmissions", at(x...)...))
			}
			if len(on4500) > 0 {
				clues = append(clues, Against(3, "IKE_SA_INIT passed on UDP 500: the exchange had moved to 4500", at(on4500...)...))
			}
			if p, drop := e.aclDrops("udp", "500", "17"); drop && len(e.IKE()) == 0 || drop && len(waiting) > 0 {
				own = append(own, advise(e, nil, "permit UDP 500, UDP 4500 and esp from "+e.PeerLabel()+" in that list, above the line that denies it"))
				clues = append(clues, For(3.6, "the list on the outside interface does not let UDP 500 from the peer in", p))
			}
			if x := saying(evs, "no_proposal_chosen", "sa proposals found unacceptable", "not acceptable", "no matching policy", "with no offers accepted"); len(x) > 0 {
				clues = append(clues, Against(4, "the other end answers with a refusal", at(x...)...))
			}
			if x := saying(evs, "had problems decrypting", "no valid tunnel group", "find a valid tunnel group"); len(x) > 0 {
				clues = append(clues, Against(3, "messages do arrive", at(x...)...))
			}
			if x := withID(evs, "710005", "713119"); len(x) > 0 {
				clues = append(clues, Against(3, "messages do arrive", at(x...)...))
			}
		}
		if x := t.denied("udp", "500", "isakmp"); len(x) > 0 {
			clues = append(clues, For(4.4, "UDP 500 of this tunnel is dropped", at(x...)...))
		}
		if _, _, one := t.missing("500"); !one {
			clues = append(clues, t.listedLost("500")...)
		}
		for _, e := range t.Ends {
			if from, where, ok := e.elsewhere(); ok {
				clues = append(clues, Against(4, "it is answered, from "+from.String(), where...))
			} else if n, where := e.sent("500"); n > 2 && len(t.Ends) == 1 {
				if back, _ := e.got("500"); back == 0 {
					clues = append(clues, For(1.4, "the capture lists requests and no answer", where...))
				} else {
					clues = append(clues, Against(2, "answers arrive"))
				}
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 0 }) {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(5, "phase 1 is up", up...))
		}
		return []Match{{Clues: clues, Title: "UDP 500 does not get through between " + t.between(),
			Explanation: "The first IKE message is sent again and again and nothing comes back. Either it does not arrive (a filter or the ISP on the way drops UDP 500), or the peer's address is wrong. Without the other end's capture a silent peer looks the same.",
			Actions:     append(own, hand("permit UDP 500 both ways on every hop between "+t.between(), "check that the initiator targets the right public address (the virtual one of a warm spare)", "check upstream port forwarding when the gateway is behind NAT")),
			Next:        []report.Next{bothEnds("separates udp-500-blocked (does not arrive) from udp-500-return-blocked (the answer is lost) and responder-silent")}}}
	},
}

var udp500ReturnText = Condition{
	ID:       "udp-500-return-blocked",
	Cause:    "the answers from UDP 500 do not come back",
	Shows:    "captures: the answer leaves and does not arrive; initiator MM_WAIT_MSG2 with responder MM_WAIT_MSG3",
	Severity: report.Critical, Prefer: []string{"nat-pool-address-change"},
	Reference:  "Meraki: troubleshooting client VPN, both sides keep sending Security Association",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		for _, e := range t.Ends {
			if x := e.inState("MM_WAIT_MSG3", "AM_WAIT_MSG3"); len(x) > 0 {
				clues = append(clues, For(2.6, e.Label()+" answered and waits for message 3", placesOf(x)...))
				if o := t.Other(e); o != nil {
					if y := o.inState("MM_WAIT_MSG2", "MM_NO_STATE", "AG_INIT_EXCH", "AM_WAIT_MSG2"); len(y) > 0 {
						clues = append(clues, For(2.6, o.Label()+" has not got the answer", placesOf(y)...))
					}
				}
			}
			// IOS names the state by what it sent: (R) MM_SA_SETUP has answered the first message.
			if x := e.answeredFirst(); len(x) > 0 {
				clues = append(clues, For(2.2, e.Label()+" answered the first message and gets no further", x...))
				if y := saying(e.Events(), "phase 1 packet is a duplicate of a previous packet"); len(y) > 0 {
					clues = append(clues, For(1.4, "the peer repeats its first message: it did not get the answer", at(y...)...))
				}
				if o := t.Other(e); o != nil {
					if y := o.inState("MM_WAIT_MSG2", "MM_NO_STATE", "AG_INIT_EXCH", "AM_WAIT_MSG2"); len(y) > 0 && len(saying(o.Events(), "received packet from")) == 0 {
						clues = append(clues, For(2.2, o.Label()+" has not got the answer", placesOf(y)...))
					} else if y := saying(o.Events(), "(i) mm_no_state", "(i) ag_init_exch"); len(y) > 0 && len(saying(o.Events(), "received packet from")) == 0 {
						clues = append(clues, For(2.2, o.Label()+" has not got the answer", at(y...)...))
					}
				}
			}
			if x := saying(withID(e.Events(), "713136"), "msg3"); len(x) > 0 {
				clues = append(clues, For(1.6, "the negotiation timed out at message 3", at(x...)...))
			}
			// IKEv2 debug of IOS XE: the same request comes again and is answered again.
			evs := e.Events()
			if x := saying(evs, "ike_sa_init exchange response"); len(x) > 0 && len(saying(evs, "ike_auth exchange", "sending no proposal", "invalid_ke", "invalid ke", "authentication data")) == 0 {
				if in := saying(evs, "received packet [from"); len(in) > 1 {
					clues = append(clues, For(2.4, e.Label()+" answered IKE_SA_INIT and gets the same request again", append(at(in...), at(x...)...)...))
					if o := t.Other(e); o != nil {
						if y := saying(o.Events(), "maximum number of retransmissions", "retransmitting packet"); len(y) > 0 && len(saying(o.Events(), "received packet [from")) == 0 {
							clues = append(clues, For(2.6, o.Label()+" gets no answer on UDP 500", at(y...)...))
						}
					}
				}
			}
			for _, sa := range e.IKE() {
				if sa.Version != 2 || IsUp(sa) || sa.Role != "responder" || sa.RemotePort == 4500 {
					continue
				}
				clues = append(clues, For(1.2, e.Label()+" answered IKE_SA_INIT and got nothing further", saPlace(sa)))
				if x := saying(e.Events(), "retransmitting packet"); len(x) > 0 {
					clues = append(clues, For(1, e.Label()+" answers each copy of the request again", at(x...)...))
				}
				if o := t.Other(e); o != nil {
					if x := saying(withID(o.Events(), "750003"), "maximum number of retrans"); len(x) > 0 && x[0].PeerPort != 4500 {
						clues = append(clues, For(2.4, o.Label()+" gets no answer on UDP 500", at(x...)...))
					}
				}
				break
			}
		}
		if _, _, one := t.missing("500"); one {
			clues = append(clues, t.listedLost("500")...)
		}
		if len(clues) == 0 {
			return nil
		}
		for _, e := range t.Ends {
			if x := saying(e.Events(), "had problems decrypting", "failed its sanity check", "hash payload cannot be verified"); len(x) > 0 {
				clues = append(clues, Against(3, "the peer went on with the answer", at(x...)...))
			}
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(5, "phase 1 is up", up...))
		}
		return []Match{{Clues: clues, Title: "The answers on UDP 500 are lost between " + t.between(),
			Explanation: "The responder gets the first message and answers it, and the initiator never sees the answer; both repeat. The way back is blocked: a stateful filter or NAT before the initiator, or the ISP.",
			Actions:     []report.Action{hand("permit UDP 500 from the responder to the initiator", "check a stateful firewall or NAT in front of the initiator")},
			Next:        []report.Next{bothEnds("shows whether the answers leave and do not arrive")}}}
	},
}

// answeredFirst returns where an IOS router shows that it answered a peer's first message and
// still waits for the second: its state as responder, or the debug of its answers.
func (e *End) answeredFirst() []facts.Place {
	if x := saying(e.Events(), "(r) mm_sa_setup", "(r) ag_init_exch"); len(x) > 0 {
		if len(saying(e.Events(), "(r) mm_key_exch", "(r) qm_idle", "authentication status: authenticated")) > 0 {
			return nil // it went on
		}
		return at(x...)
	}
	var out []facts.Place
	for _, sa := range e.inState("MM_SA_SETUP") {
		if sa.Role == "responder" && !sa.Deleted {
			out = append(out, saPlace(sa))
		}
	}
	return out
}

var udp4500Text = Condition{
	ID:        "udp-4500-blocked",
	Cause:     "the exchange moves to UDP 4500 and is lost there",
	Shows:     "captures: UDP 500 passes, the first message on 4500 does not; initiator MM_WAIT_MSG6 with responder MM_WAIT_MSG5; a list that denies UDP 4500",
	Severity:  report.Critical,
	Reference: "Cisco: NAT traversal ports; Meraki: key exchange repeated because UDP 4500 is dropped",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		nat := false
		for _, e := range t.Ends {
			evs := e.Events()
			if x := behindNAT(withID(evs, "713172")); len(x) > 0 {
				nat = true
				clues = append(clues, For(0.8, "a NAT is on the path, so the exchange moves to UDP 4500", at(x...)...))
			}
			if x := e.inState("MM_WAIT_MSG5"); len(x) > 0 {
				clues = append(clues, For(1.3, e.Label()+" waits for message 5, the first on UDP 4500 behind a NAT", placesOf(x)...))
			}
			if x := saying(withID(evs, "750003"), "maximum number of retrans"); len(x) > 0 && x[0].PeerPort == 4500 {
				clues = append(clues, For(2.4, e.Label()+" gets no answer on UDP 4500 (IKE_AUTH)", at(x...)...))
			}
			// The responder's message 4 goes again, and the next message, due on 4500 behind a NAT, never comes.
			if again := saying(evs, "retransmitting phase 1 mm_key_exch"); len(again) > 0 && len(saying(evs, "(r) mm_key_exch")) > 0 && len(saying(evs, "dport 4500")) == 0 {
				if x := saying(evs, "nat found", "this node outside nat", "this node inside nat"); len(x) > 0 {
					clues = append(clues, For(2.4, e.Label()+" sends message 4 again and again and gets nothing on UDP 4500", at(again...)...), For(0.8, "a NAT is on the path, so the exchange moves to UDP 4500", at(x...)...))
					if y := saying(evs, "duplicate of a previous packet"); len(y) > 0 {
						clues = append(clues, Against(1.6, "the peer repeats its message on UDP 500: it may not have got the answer", at(y...)...))
					}
				}
			}
			if sent := saying(evs, "my_port 4500"); len(sent) > 1 {
				if x := saying(evs, "dport 4500"); len(x) == 0 {
					clues = append(clues, For(2.4, e.Label()+" sends on UDP 4500 again and again and gets nothing there", at(sent...)...))
					if y := saying(evs, "duplicate of a previous packet"); len(y) > 0 {
						clues = append(clues, For(0.8, "the peer repeats its message on UDP 500: it did not get ours", at(y...)...))
					}
				}
			}
			for _, sa := range e.IKE() {
				if sa.Version == 2 && !IsUp(sa) && sa.RemotePort == 4500 {
					clues = append(clues, For(0.8, e.Label()+" negotiates on UDP 4500", saPlace(sa)))
				} else if sa.Version == 2 && !IsUp(sa) && sa.Role == "responder" && sa.RemotePort == 500 {
					clues = append(clues, For(1, e.Label()+" answered on UDP 500 and got nothing on 4500", saPlace(sa)))
				}
			}
			if x := saying(withID(evs, "713136"), "msg5", "msg6", "msg_5", "msg_6"); len(x) > 0 {
				clues = append(clues, For(1.3, "the negotiation timed out at message 5 or 6", at(x...)...))
			}
			if x := e.inState("MM_WAIT_MSG6"); len(x) > 0 {
				clues = append(clues, For(1.1, e.Label()+" has no answer to message 5", placesOf(x)...))
			}
			if x := e.inState("MM_KEY_EXCH"); len(x) > 0 {
				clues = append(clues, For(0.9, e.Label()+" exchanged keys and got no further", placesOf(x)...))
			}
			if p, drop := e.aclDrops("udp", "4500", "17"); drop {
				if q, drop500 := e.aclDrops("udp", "500", "17"); !drop500 {
					w := 1.4
					if nat {
						w = 3.2
					}
					clues = append(clues, For(w, "the inbound list permits UDP 500 and not 4500", p, q))
				}
			}
			if x := saying(evs, "had problems decrypting", "failed its sanity check", "hash payload cannot be verified", "reserved not zero"); len(x) > 0 {
				clues = append(clues, Against(4, "message 5 arrives and cannot be read", at(x...)...))
			}
		}
		if d, where := compareKeys(t); d > 0 {
			clues = append(clues, Against(4, "the keys differ", where...))
		}
		if x := t.denied("udp", "4500", "non500-isakmp"); len(x) > 0 {
			clues = append(clues, For(4.4, "UDP 4500 of this tunnel is dropped", at(x...)...))
		}
		clues = append(clues, t.listedLost("4500")...)
		if len(clues) == 0 {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(5, "phase 1 is up", up...))
		}
		return []Match{{Clues: clues, Title: "UDP 4500 does not get through between " + t.between(),
			Explanation: "Messages 1 to 4 pass on UDP 500. With a NAT on the path message 5 goes on UDP 4500, and there it stops. A wrong key looks the same in the SA states: only a message 5 that arrives tells them apart.",
			Actions:     []report.Action{hand("permit UDP 4500 both ways", "forward it to the gateway when the gateway is behind NAT")},
			Next:        []report.Next{bothEnds("separates udp-4500-blocked (message 5 does not arrive) from psk-mismatch (it arrives and is not understood)")}}}
	},
}

var fragmentsText = Condition{
	ID:        "path-fragments-dropped",
	Cause:     "IP fragments of IKE or ESP are lost on the path",
	Shows:     "captures: fragments leave and do not arrive while whole packets pass, ICMP 11/1 comes back; SA states out of step (headend MODECFG, client XAUTH); it works on another line",
	Severity:  report.Critical,
	Reference: "a report on Easy VPN between two ASAs whose ISP blocked ICMP and fragments",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		for _, e := range t.Ends {
			head := e.inState("AM_TM_INIT_MODECFG", "TM_INIT_MODECFG")
			if o := t.Other(e); o != nil && len(head) > 0 {
				if x := o.inState("AM_TM_INIT_XAUTH", "TM_INIT_XAUTH", "CONF_XAUTH"); len(x) > 0 {
					clues = append(clues, For(2.8, fmt.Sprintf("the ends are out of step: %s already waits for mode configuration, %s still for XAUTH, so a message of %s did not arrive", e.Label(), o.Label(), e.Label()), append(placesOf(head), placesOf(x)...)...))
				}
			}
			if x := withID(e.Events(), "209003", "209004", "209005"); len(x) > 0 {
				clues = append(clues, Against(2, e.Label()+" drops fragments itself: repair there", at(x...)...))
			}
		}
		explain := ""
		if len(clues) > 0 {
			explain = "The headend is one message further than the client: its last message, the large one, did not arrive. "
		}
		for _, e := range t.Ends {
			got, rest := e.fragments(false), e.fragmentsRest(false)
			if (len(got) > 0) == (len(rest) > 0) {
				continue
			}
			// A capture that looks for ports sees first fragments only.
			which, w := "the first fragments of its messages and not the rest", 1.2
			if len(rest) > 0 {
				which, w = "only the rest of its fragmented messages, not the first fragments", 3.0
			}
			where := append(slices.Clone(got), rest...)
			if o := t.Other(e); o != nil && len(o.fragments(true)) > 0 && len(o.fragmentsRest(true)) > 0 {
				w += 1.2
				where = append(where, o.fragments(true)...)
			}
			explain = "A large message leaves as IP fragments and not all of them arrive, while whole packets pass. "
			clues = append(clues, For(w, "of "+e.PeerLabel()+" "+e.Label()+" gets "+which, where...))
		}
		for _, s := range t.sweeps() {
			if !s.told && !s.df && s.fragments > 1472 {
				explain = "Pings that go as one packet pass and those that leave as fragments are lost. "
				clues = append(clues, For(3.2, fmt.Sprintf("pings that leave as fragments vanish (%d bytes), whole ones pass (%d)", s.fragments, s.pass), s.lost, s.passed))
				break
			}
		}
		certs := t.certificates()
		for _, e := range t.Ends {
			if x := saying(e.Events(), "time exceeded (reassembly)", "type 11, code 1", "reassembly time exceeded"); len(x) > 0 {
				explain = "The far end reports that it waited in vain for the rest of a fragmented packet (ICMP 11/1): proof that a fragment was lost on the way. "
				clues = append(clues, For(3.8, "the far end got some fragments and not all", at(x...)...))
			}
			if x := e.inState("MM_WAIT_MSG5", "MM_WAIT_MSG6", "MM_KEY_EXCH"); len(x) > 0 && len(certs) > 0 {
				if explain == "" {
					explain = "Phase 1 stops where the certificates travel, the first messages that are larger than a packet. "
				}
				clues = append(clues, For(1.4, e.Label()+" waits for the message that carries the certificate, a large one", placesOf(x)...), For(0.6, "certificates are in use", certs...))
			}
			for _, ev := range saying(e.Events(), "total payload length") {
				if n := lastNumber(ev.Text); n > 1400 {
					clues = append(clues, For(0.8, fmt.Sprintf("a message of %d bytes, more than one packet holds", n), ev.Place))
					break
				}
			}
		}
		if x := t.said("reassembly time exceeded"); len(x) > 0 {
			explain = "The far end reports that it waited in vain for the rest of a fragmented packet (ICMP 11/1): proof that a fragment was lost on the way. "
			clues = append(clues, For(3.8, "the far end got some fragments and not all", x...))
		}
		if x := t.said("fragment"); len(x) > 0 {
			x = slices.DeleteFunc(x, func(p facts.Place) bool {
				return inClause(strings.ToLower(p.Text), []string{"fragment"}, []string{" pass", " get through", " go through", "kommen durch", "passent", "pasan"}) || !hasAny(p.Text, "never arrive", "not arrive", "doesn't arrive", "don't arrive", "missing", "are lost", "is lost", "get lost", "gets lost", "nicht an", "verloren", "fehlt", "fehlen", "n'arrive", "perdu", "no llega", "perdid")
			})
			if len(x) > 0 {
				clues = append(clues, For(2.2, "people saw that fragments do not arrive", x...))
			}
		}
		if len(clues) > 0 {
			if x := t.said("other line", "another line", "another isp", "other isp", "other provider", "another provider", "lte works", "anderen anschluss", "anderer anschluss", "anderen provider", "anderem provider", "other uplink", "second isp", "mobile hotspot", "hotspot"); len(x) > 0 {
				clues = append(clues, For(0.8, "the same device works on another line", x...))
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 1 }) {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(3, "a tunnel is up", up...))
		}
		if len(t.invalid(false)) > 0 {
			clues = append(clues, Against(2, "a certificate's dates do not hold the clock, which stops the same message"))
		}
		return []Match{{Clues: clues, Title: "The path between " + t.between() + " loses large messages, most likely IP fragments",
			Explanation: explain + "Large IKE messages travel as IP fragments, and paths that drop fragments let everything smaller pass. Captures at both ends prove it.",
			Actions: []report.Action{hand("give the ISP the evidence report: which fragments left, which arrived, time stamps", "ask for fragments of UDP 500/4500 and ESP to be passed and ICMP type 3 code 4 not to be blocked"),
				advise(nil, nil, "smaller messages meanwhile: IKE fragmentation at both ends, a shorter banner or split-tunnel list, a shorter certificate chain")},
			Next: []report.Next{bothEnds("names the fragments that left and did not arrive")}}}
	},
}

// fragments returns where a capture on the device printed first fragments of IP packets to the
// peer (sent), or from it; fragmentsRest those of the later ones.
func (e *End) fragments(sent bool) []facts.Place     { return e.pieces(sent, " first") }
func (e *End) fragmentsRest(sent bool) []facts.Place { return e.pieces(sent, " rest") }

func (e *End) pieces(sent bool, which string) []facts.Place {
	var out []facts.Place
	for _, c := range e.Device.Counters {
		if c.Group != "capture-fragment" || !strings.HasSuffix(c.Name, which) {
			continue
		}
		src, dst, _ := strings.Cut(strings.TrimSuffix(c.Name, which), " > ")
		if sent {
			src = dst
		}
		if a, err := netip.ParseAddr(src); err == nil && e.Mine(a) {
			out = append(out, c.Place)
		}
	}
	return out
}

// lastNumber reads the last decimal number of a text, 0 when there is none.
func lastNumber(s string) int {
	end := len(s)
	for end > 0 && (s[end-1] < '0' || s[end-1] > '9') {
		end--
	}
	begin := end
	for begin > 0 && end-begin < 7 && s[begin-1] >= '0' && s[begin-1] <= '9' {
		begin--
	}
	n := 0
	for _, c := range []byte(s[begin:end]) {
		n = n*10 + int(c-'0')
	}
	return n
}
