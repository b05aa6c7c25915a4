package conditions

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// phase1 are the conditions of IKE phase 1 (and IKE_SA_INIT / IKE_AUTH) that texts show.
func phase1() []Condition {
	return []Condition{pskMismatch, identityMismatch, certificateRejected, ikeVersionMismatch, ezvpnStall}
}

// between names both ends of a tunnel for titles.
func (t *Tunnel) between() string {
	switch {
	case len(t.Ends) == 2:
		return t.Ends[0].Label() + " and " + t.Ends[1].Label()
	case len(t.Ends) == 1 && t.Ends[0].Peer.IsValid():
		return t.Ends[0].Label() + " and " + t.Ends[0].Peer.String()
	case len(t.Ends) == 1:
		return t.Ends[0].Label() + " and its peer"
	}
	if server := t.server(); server != "" {
		return "the client and " + server
	}
	return strings.Join(strings.Split(t.Name, ","), " and ")
}

// server is the gateway that a client's log names, "" when none does.
func (t *Tunnel) server() string {
	for _, d := range t.Clients {
		for _, ev := range d.Events {
			if ev.Peer.IsValid() {
				return ev.Peer.String()
			}
		}
	}
	return ""
}

// phase1Up returns the places where an end shows phase 1 established.
func (t *Tunnel) phase1Up() []facts.Place {
	var out []facts.Place
	for _, e := range t.Ends {
		for _, sa := range e.IKE() {
			if IsUp(sa) {
				out = append(out, saPlace(sa))
			}
		}
	}
	return out
}

// inState returns the SAs whose state begins with one of the names; underscores before
// digits are not the same in all releases (MM_WAIT_MSG6, MM_WAIT_MSG_6).
func (e *End) inState(names ...string) []facts.IKESA {
	var out []facts.IKESA
	for _, sa := range e.IKE() {
		s := strings.ReplaceAll(strings.ToUpper(sa.State), "MSG_", "MSG")
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(s, n) }) {
			out = append(out, sa)
		}
	}
	return out
}

func placesOf(sas []facts.IKESA) []facts.Place {
	var out []facts.Place
	for _, sa := range sas {
		out = append(out, saPlace(sa))
	}
	return out
}

// saPlace is the place of an IKE SA, its state in the text: an ASA writes peer and state
// in different lines.
func saPlace(sa facts.IKESA) facts.Place {
	p := sa.Place
	if q := sa.StatePlace; q.Source != "" && q.Line != p.Line {
		q.Text = strings.Join(strings.Fields(p.Text), " ") + " … State: " + sa.State
		return q
	}
	if sa.State != "" && !strings.Contains(strings.ToUpper(p.Text), strings.ToUpper(sa.State)) {
		p.Text = strings.Join(strings.Fields(p.Text), " ") + " … State: " + sa.State
	}
	return p
}

// defaultGroup: the message was filed under a default group, so no group fits the peer.
func defaultGroup(ev facts.Event) bool {
	return ev.Group == "DefaultL2LGroup" || ev.Group == "DefaultRAGroup" || ev.Group == "DefaultWEBVPNGroup"
}

// keysFor returns the pre-shared keys that this device would use with its peer in the
// tunnel, the most specific first.
func (e *End) keysFor() []facts.PSK {
	if e.Device.Config == nil {
		return nil
	}
	var exact, wide []facts.PSK
	for _, k := range e.Device.Config.Keys {
		switch {
		case k.Peer.IsValid() && k.Peer.IsSingleIP() && e.Mine(k.Peer.Addr()):
			exact = append(exact, k)
		case k.Peer.IsValid() && !k.Peer.IsSingleIP() && slices.ContainsFunc(append([]netip.Addr{e.Peer}, e.Peers...), k.Peer.Contains):
			wide = append(wide, k)
		default:
			if a, err := netip.ParseAddr(k.Name); err == nil && e.Mine(a) {
				exact = append(exact, k)
			}
		}
	}
	return append(exact, wide...)
}

var pskMismatch = Condition{
	ID:         "psk-mismatch",
	Cause:      "the pre-shared keys differ",
	Shows:      "the keys compared; 'mismatched pre-shared key', IKMP_BAD_MESSAGE, HASH errors of clients; MM_WAIT_MSG6/5, MM_KEY_EXCH; captures: message 5 arrives and repeats",
	Severity:   report.Critical,
	Prefer:     []string{"peer-address-mismatch", "identity-mismatch", "certificate-rejected", "tunnel-group-policy-conflict"},
	Reference:  "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, re-enter or recover pre-shared keys; RFC 2409 section 5.4",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		for _, e := range t.Ends {
			evs := e.Events()
			decrypt := saying(evs, "had problems decrypting packet, probably due to mismatched pre-shared key")
			named := slices.DeleteFunc(slices.Clone(decrypt), defaultGroup)
			if len(named) > 0 {
				clues = append(clues, For(4.6, e.Label()+" cannot read the peer's first encrypted message", at(named...)...))
			} else if len(decrypt) > 0 {
				clues = append(clues, For(1, "", at(decrypt...)...), Against(2, "the message is filed under a default group: no group fits the peer"))
			}
			if bad := withID(evs, "IKMP_BAD_MESSAGE"); len(bad) > 0 {
				clues = append(clues, For(3.6, e.Label()+" finds the peer's message malformed, as it is after a wrong key", at(bad...)...))
			}
			if x := saying(evs, "reserved not zero on id payload", "reserved not zero on hash payload"); len(x) > 0 {
				clues = append(clues, For(3.6, "decryption gave no sensible identity payload: the keys differ", at(x...)...))
			}
			if x := saying(evs, "hash verification failed", "may be configured with invalid group password", "received hash payload cannot be verified", "0xe3000056", "0xe300007d"); len(x) > 0 {
				clues = append(clues, For(4, "the hash made from the key does not fit", at(x...)...))
			}
			if x := withID(evs, "751002", "751004"); len(x) > 0 {
				clues = append(clues, For(3.4, "no usable key for this peer", at(x...)...))
			}
			if x := slices.DeleteFunc(saying(withID(evs, "750003"), "auth"), func(ev facts.Event) bool { return hasAny(ev.Text, identityWords...) }); len(x) > 0 {
				clues = append(clues, For(2.6, "IKEv2 authentication failed", at(x...)...))
			} else if x := saying(evs, "authentication_failed", "auth exchange failed", "failed to verify auth", "verification of peer's authentication data failed"); len(x) > 0 {
				clues = append(clues, For(2.4, "IKEv2 authentication failed", at(x...)...))
			}
			if x := saying(evs, "payload_malformed", "invalid_payload", "payload malformed"); len(x) > 0 {
				clues = append(clues, For(1.2, "the peer could not read our message", at(x...)...))
			}
			if x := saying(withID(evs, "713136"), "msg5", "msg6", "msg_5", "msg_6"); len(x) > 0 {
				clues = append(clues, For(1.2, "the negotiation timed out at message 5 or 6", at(x...)...))
			}
			if x := withID(evs, "713201"); len(x) > 1 {
				clues = append(clues, For(0.6, "phase 1 messages repeat", at(x...)...))
			}
			if x := saying(evs, "encrypted packet with no matching sa"); len(x) > 0 {
				clues = append(clues, For(0.6, "", at(x...)...))
			}
			if x := e.inState("MM_WAIT_MSG6"); len(x) > 0 {
				clues = append(clues, For(1.3, e.Label()+" waits for the peer's identity (message 6)", placesOf(x)...))
			}
			if x := e.inState("MM_WAIT_MSG5"); len(x) > 0 {
				clues = append(clues, For(1.3, e.Label()+" waits for a readable message 5", placesOf(x)...))
				if y, where := e.got("500"); y > 0 && len(behindNAT(withID(evs, "713172"))) > 0 {
					if n, _ := e.got("4500"); n == 0 {
						clues = append(clues, Against(2, "behind the NAT message 5 comes on UDP 4500, and the capture lists none", where...))
					}
				}
			}
			if x := e.inState("MM_KEY_EXCH"); len(x) > 0 {
				clues = append(clues, For(1.6, e.Label()+" exchanged keys and did not authenticate", placesOf(x)...))
			}
			if x := withID(evs, "713255", "713256"); len(x) > 0 {
				clues = append(clues, Against(3.5, "the group name is unknown there: peer-address-mismatch"))
			}
			if p, drop := e.aclDrops("udp", "4500", "17"); drop && natPath(t) {
				clues = append(clues, Against(2.5, "the list drops UDP 4500", p))
			}
			if x := withID(evs, "751008", "713206", "113015", "113005", "751011", "713167", "713166"); len(x) > 0 {
				clues = append(clues, Against(4, "the peer is authenticated, and refused after it", at(x...)...))
			}
			if x := saying(evs, "time exceeded (reassembly)", "type 11, code 1"); len(x) > 0 {
				clues = append(clues, Against(4, "the far end could not put the fragments together", at(x...)...))
			}
			if x := saying(evs, "no pre-shared key with"); len(x) > 0 {
				clues = append(clues, Against(2.5, "there is no key for that name or address at all", at(x...)...))
			}
			if x := withID(evs, "717009", "717027", "IKMP_INVAL_CERT", "CERTIFICATE_INVALID_EXPIRED"); len(x) > 0 {
				clues = append(clues, Against(3, "certificates are in use and refused"))
			}
		}
		for _, d := range t.Clients {
			if x := saying(d.Events, groupKeyWords...); len(x) > 0 {
				clues = append(clues, For(4.2, "the client's check of the group key fails", at(x...)...))
			} else if x := withID(d.Events, "IKE/0xE3000056", "IKE/0xE300007D", "IKE/0xE3000099", "IKE/0xE30000A5"); len(x) > 0 {
				clues = append(clues, For(3.6, "the client's check of the group key fails", at(x...)...))
			}
		}
		differ, where := compareKeys(t)
		switch {
		case differ > 0:
			clues = append(clues, For(6, "the keys in both configurations differ (compared, never shown)", where...))
		case differ < 0:
			clues = append(clues, Against(5, "the keys in both configurations are equal", where...))
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 1 }) {
			return nil
		}
		if x := t.denied("udp", "4500", "non500-isakmp", "500", "isakmp"); len(x) > 0 {
			clues = append(clues, Against(4, "a filter drops the message before anybody can read it", at(x...)...))
		}
		if x := t.certificates(); len(x) > 0 && differ <= 0 {
			clues = append(clues, Against(3, "certificates are in use, not keys", x...))
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(5, "phase 1 is up", up...))
		}
		m := Match{Clues: clues,
			Title: "The pre-shared keys of " + t.between() + " differ",
			Explanation: fmt.Sprintf("Phase 1 between %s stops where the key is first used: the key exchange is done and the first encrypted message cannot be read or verified. "+
				"That is a wrong pre-shared key. A lost message 5 (UDP 4500, fragments) looks the same in the SA state alone; the log or packets that arrive tell them apart.", t.between()),
			Next: []report.Next{bothEnds("separates psk-mismatch (message 5 arrives and is not understood) from udp-4500-blocked and path-fragments-dropped (it does not arrive)")}}
		for _, e := range t.Ends {
			m.Actions = append(m.Actions, enterKey(e))
		}
		if len(t.Clients) > 0 && slices.ContainsFunc(t.Clients, func(d *facts.Device) bool { return len(saying(d.Events, groupKeyWords...)) > 0 }) {
			m.Title = "The group key of the VPN client and of " + cmp.Or(t.server(), t.between()) + " differ"
			m.Explanation = "The client gets the gateway's second message and cannot verify its hash: the group password in the client's profile is not the key of that group on the gateway. An unknown group name looks the same to the client; the gateway's log (713255, 713256) tells them apart."
			m.Actions = append(m.Actions, advise(nil, nil, "enter the group's key again on the client and on the headend", "check the group's name in the profile, letter by letter"))
			m.Next = []report.Next{readAlso("the gateway's log of one attempt", "713255 or 713256 means an unknown group name (peer-address-mismatch)")}
		}
		return []Match{m}
	},
}

// groupKeyWords are the client's words for a group key that does not fit.
var groupKeyWords = []string{"received hash payload cannot be verified", "hash verification failed", "invalid group password", "failed to authenticate peer", "processing aggressive mode negotiator", "invalid_hash_info"}

// natPath: some end shows a NAT on the path.
func natPath(t *Tunnel) bool {
	return slices.ContainsFunc(t.Ends, func(e *End) bool { return len(natSigns(e)) > 0 })
}

// compareKeys compares the keys of both ends where both stand in clear text: 1 they
// differ, -1 they are equal, 0 nothing can be said.
func compareKeys(t *Tunnel) (int, []facts.Place) {
	if len(t.Ends) != 2 {
		return 0, nil
	}
	a, b := t.Ends[0].keysFor(), t.Ends[1].keysFor()
	for _, x := range a {
		for _, y := range b {
			if x.Token == "" || y.Token == "" || x.Version != 0 && y.Version != 0 && x.Version != y.Version {
				continue
			}
			// IKEv2 keys cross: one end's local key is the other's remote key.
			if x.Side != "" && x.Side == y.Side {
				continue
			}
			if x.Token == y.Token {
				return -1, []facts.Place{x.Place, y.Place}
			}
			return 1, []facts.Place{x.Place, y.Place}
		}
	}
	return 0, nil
}

// enterKey shows how to type the key again on an end.
func enterKey(e *End) report.Action {
	peer := e.PeerLabel()
	steps := []string{"type the key again at both ends at the same time; an ASA shows it masked, so a typing error cannot be seen; a trailing blank counts"}
	v2 := e.speaksV2()
	switch {
	case e.isIOS() && v2:
		return advise(e, []string{"crypto ikev2 keyring <keyring>", "peer <name>", "address " + peer, "pre-shared-key ****"}, steps...)
	case e.isIOS():
		return advise(e, []string{"no crypto isakmp key **** address " + peer, "crypto isakmp key **** address " + peer}, steps...)
	}
	group := "tunnel-group " + e.groupInUse() + " ipsec-attributes"
	switch {
	case v2:
		return advise(e, []string{group, "ikev2 remote-authentication pre-shared-key ****", "ikev2 local-authentication pre-shared-key ****"},
			append(steps, "the two keys of IKEv2 cross: this end's local key is the other end's remote key")...)
	case e.old():
		return advise(e, []string{group, "no pre-shared-key", "pre-shared-key ****"}, steps...)
	}
	return advise(e, []string{group, "no ikev1 pre-shared-key", "ikev1 pre-shared-key ****"}, steps...)
}

// groupInUse is the tunnel-group whose key this peer is held to: that of the
// configuration, else the one that all lines of the log name, else the peer's address.
func (e *End) groupInUse() string {
	if tg := e.TunnelGroup(); tg != nil {
		return tg.Name
	}
	group := ""
	for _, ev := range e.Events() {
		if ev.Group == "" || strings.HasPrefix(ev.Group, "Default") {
			continue
		}
		if group != "" && group != ev.Group {
			return e.PeerLabel()
		}
		group = ev.Group
	}
	return cmp.Or(group, e.PeerLabel())
}

// speaksV2: all that is seen of this peer is IKEv2 (SAs, messages 750xxx and 751xxx, debug
// lines). 713906 is free text of both versions.
func (e *End) speaksV2() bool {
	v1, v2 := 0, 0
	for _, sa := range e.IKE() {
		if sa.Version == 2 {
			v2++
		} else {
			v1++
		}
	}
	for _, ev := range e.Events() {
		switch {
		case strings.HasPrefix(ev.ID, "750"), strings.HasPrefix(ev.ID, "751"), strings.HasPrefix(ev.ID, "IKEV2"), ev.Kind == "debug" && strings.HasPrefix(ev.Text, "IKEv2"):
			v2++
		case strings.HasPrefix(ev.ID, "713") && ev.ID != "713906", strings.HasPrefix(ev.ID, "CRYPTO-4-IKMP"), ev.Kind == "debug" && strings.HasPrefix(ev.Text, "ISAKMP"):
			v1++
		}
	}
	return v2 > 0 && v1 == 0
}

var ezvpnStall = Condition{
	ID:       "ezvpn-xauth-stall",
	Cause:    "an Easy VPN session is stuck and the cause cannot be told yet",
	Shows:    "the SA state alone",
	Severity: report.Critical,
	SymptomOf: []string{"path-fragments-dropped", "pmtu-black-hole", "psk-mismatch", "ezvpn-user-authentication", "user-auth-backend", "aaa-timeout",
		"address-pool-exhausted", "udp-500-return-blocked", "udp-4500-blocked", "nat-pool-address-change", "xauth-on-l2l-peer"},
	Reference: "a report on Easy VPN between two ASAs whose ISP blocked ICMP (AM_TM_INIT_XAUTH_V6C, AM_TM_INIT_MODECFG_V6H)",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var clear []report.Action
		for _, e := range t.Ends {
			for _, sa := range e.inState("AM_TM_INIT_XAUTH", "AM_TM_INIT_MODECFG", "TM_INIT_XAUTH", "TM_INIT_MODECFG", "MM_TM_INIT", "CONF_XAUTH", "CONF_ADDR") {
				clues = append(clues, For(2.6, e.Label()+" stands at "+sa.State, saPlace(sa)))
				clear = append(clear, clearIKE(e, sa))
			}
		}
		if len(clues) == 0 {
			return nil
		}
		return []Match{{Clues: clues,
			Title: "Easy VPN between " + t.between() + " is stuck between phase 1 and mode configuration",
			Explanation: "Phase 1 completed and the session does not get past user authentication or mode configuration. The state alone does not say why: " +
				"a lost large reply (fragments), a wrong group key, user authentication and a blocked port all end here. Captures at both ends decide.",
			Actions: clear,
			Next:    []report.Next{bothEnds("separates path-fragments-dropped, ezvpn-user-authentication, psk-mismatch and udp-500-return-blocked")},
		}}
	},
}
