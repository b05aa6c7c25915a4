package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// phase1Config are the phase-1 conditions that configuration and refusals in the log show.
func phase1Config() []Condition {
	return []Condition{peerAddressMismatch, phase1PolicyMismatch, isakmpDisabled, isakmpPortInUse, exchangeModeMismatch}
}

var peerAddressMismatch = Condition{
	ID:         "peer-address-mismatch",
	Cause:      "peer or tunnel-group is not the address that the peer uses",
	Shows:      "DefaultL2LGroup in an error, 713022, 713138, 713255, 713256, 751009; set peer and tunnel-group compared with the address that knocks; MM_WAIT_MSG4",
	Severity:   report.Critical,
	Reference:  "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify the peer IP address; tunnel group and group names",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var actions []report.Action
		who := ""
		var set, gaps []string // peer addresses that nobody has
		for _, e := range t.Ends {
			evs := e.Events()
			before := len(clues)
			var inDefault []facts.Event
			for _, ev := range saying(evs, "had problems decrypting packet", "can't find a valid tunnel group", "unable to find a valid tunnel group", "no group found", "group not found", "base group") {
				if defaultGroup(ev) && e.Names(ev) {
					inDefault = append(inDefault, ev)
				}
			}
			keyOnDefault := ofBox(e, "key on a default group", func() bool {
				c := e.Config()
				return c != nil && slices.ContainsFunc(c.Keys, func(k facts.PSK) bool { return k.Name == "DefaultL2LGroup" || k.Name == "DefaultRAGroup" })
			})
			if len(inDefault) > 0 {
				w := 4.4
				if keyOnDefault {
					w = 2.2
				}
				clues = append(clues, For(w, e.Label()+" files the peer under a default group: no tunnel-group has its address", at(inDefault...)...))
				who = inDefault[0].Peer.String()
			}
			var noGroup, byName []facts.Event
			for _, ev := range saying(evs, "can't find a valid tunnel group", "unable to find a valid tunnel group", "unable to find tunnel group", "no tunnel group found", "no valid tunnel group") {
				if namesHost(ev.Group) {
					byName = append(byName, ev)
				} else if !defaultGroup(ev) || !e.Names(ev) {
					noGroup = append(noGroup, ev)
				}
			}
			if len(noGroup) > 0 {
				clues = append(clues, For(3.4, e.Label()+" has no tunnel-group for this peer", at(noGroup...)...))
				if who == "" && noGroup[0].Peer.IsValid() {
					who = noGroup[0].Peer.String()
				}
			} else if len(byName) > 0 {
				clues = append(clues, Against(4, "the peer is looked up by a name: its identity", at(byName...)...))
			}
			var noKey []facts.Event
			for _, ev := range saying(evs, "no pre-shared key with") {
				if len(ev.Addrs) > 0 {
					noKey = append(noKey, ev)
				}
			}
			if len(noKey) > 0 {
				clues = append(clues, For(4.2, e.Label()+" has no key for the address that knocks", at(noKey...)...))
				who = noKey[0].Addrs[0].String()
			}
			if x := withID(evs, "713022", "713138", "713139", "713187", "713062", "751009"); len(x) > 0 {
				clues = append(clues, For(3.8, e.Label()+" finds no group or policy for the address that knocks", at(x...)...))
			}
			if x := withID(evs, "713255", "713256"); len(x) > 0 {
				clues = append(clues, For(4.2, "the peer names a group that does not exist here", at(x...)...))
			}
			if x := e.inState("MM_WAIT_MSG4"); len(x) > 0 {
				clues = append(clues, For(1, e.Label()+" waits for message 4", placesOf(x)...))
			}
			if c := e.Config(); c != nil && e.isASA() {
				for _, m := range e.Entries() {
					if tg := e.TunnelGroup(); tg == nil && !c.Partial && len(c.TunnelGroups) > 0 {
						for _, g := range c.TunnelGroups {
							a, err := netip.ParseAddr(g.Name)
							if err == nil && g.Type == "ipsec-l2l" && !slices.ContainsFunc(c.MapEntries, func(x facts.MapEntry) bool { return slices.Contains(x.Peers, a) }) {
								clues = append(clues, For(3.6, fmt.Sprintf("crypto map peer %s has no tunnel-group, and tunnel-group %s belongs to no crypto map peer", e.Peer, g.Name), place2(m, "peer"), g.Place))
							}
						}
					}
				}
			}
			if o := t.Other(e); o != nil && e.Own.IsValid() {
				// The other end's configured peer is not this end's address: it knocks elsewhere.
				if c := o.Config(); c != nil && o.Peer.IsValid() && o.Peer != e.Own && !slices.Contains(e.Device.Addresses, o.Peer) && e.Device.Config != nil && len(e.Device.Addresses) > 0 {
					for _, m := range c.MapEntries {
						if slices.Contains(m.Peers, o.Peer) && mirror(c, m, e) && !t.owned(o.Peer) {
							if _, out := t.saidDown(o.Peer); out {
								continue
							}
							gap := fmt.Sprintf("%s has peer %s, %s has the address %s", o.Label(), o.Peer, e.Label(), e.Own)
							set, gaps = append(set, o.Peer.String()), append(gaps, gap)
							clues = append(clues, For(4, gap, place2(m, "peer")))
							if x := t.otherHeadend(o.Peer); len(x) > 0 {
								clues = append(clues, Against(3.5, "people know that address as another headend", x...))
							}
							for _, k := range c.Keys {
								if k.Peer.IsSingleIP() && k.Peer.Addr() == o.Peer {
									clues = append(clues, For(0.4, "the key is filed under that address too", k.Place))
								}
							}
							actions = append(actions, advise(o, fixPeerTo(o, m, o.Peer, e.Own), "take the entries with the wrong address out"))
						}
					}
				}
			}
			if m, wrong, ok := e.meantFor(t); ok {
				// The entry for this peer names an address that nobody has; the peer knocks from another.
				gap := fmt.Sprintf("%s has peer %s, %s has the address %s", e.Label(), wrong, t.Other(e).Label(), e.Peer)
				gaps = append(gaps, gap)
				clues = append(clues, For(3, gap, place2(m, "peer")))
				actions = append(actions, advise(e, fixPeerTo(e, m, wrong, e.Peer), "enter the key again under the right address", "take the entries with the wrong address out"))
			} else if len(clues) > before {
				actions = append(actions, fixPeer(e))
			}
		}
		if len(clues) == 0 {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(5, "phase 1 is up", up...))
		}
		if who == "" {
			who = strings.Join(addrs(t), " and ")
		}
		if len(set) > 0 {
			m := Match{Clues: clues, Actions: actions, Title: "The peer address " + strings.Join(set, " and ") + " is not the address the other end has",
				Explanation: "One end names an address that the other end does not have, so its packets go elsewhere, or the other end's packets find no key and no crypto map entry. " + strings.Join(gaps, "; ") + ". A NAT in front of the peer gives it another address than the one it knows itself."}
			return []Match{m}
		}
		compare := "Compare the peer's real public address with the tunnel-group's name and set peer"
		if len(gaps) > 0 {
			compare = strings.Join(gaps, "; ")
		}
		return []Match{{Clues: clues, Actions: actions,
			Title:       "No group or crypto map peer fits the address " + who,
			Explanation: "The address under which the peer knocks is not the one that the tunnel-group (or the key) and the crypto map name, so the device takes a default group and its key, which cannot fit. " + compare + "; a NAT in front of the peer gives it another address than the one it knows itself."}}
	},
}

// meantFor finds the crypto map entry that mirrors a list of the tunnel's other end but
// names a peer that no device of the bundle is, on an end that has none for its real peer.
func (e *End) meantFor(t *Tunnel) (m facts.MapEntry, wrong netip.Addr, ok bool) {
	c, o := e.Config(), t.Other(e)
	if c == nil || o == nil || !e.Peer.IsValid() || len(e.Entries()) > 0 || !slices.Contains(o.Device.Addresses, e.Peer) {
		return m, wrong, false
	}
	for _, m := range c.MapEntries {
		if len(m.Peers) > 0 && !slices.ContainsFunc(m.Peers, t.owned) && mirror(c, m, o) {
			return m, m.Peers[0], true
		}
	}
	return m, wrong, false
}

// backupWords name a second headend.
var backupWords = []string{"second headend", "second gateway", "second hub", "backup", "standby", "fail over", "failover", "spare", "redundan", "zweite", "ersatz", "secours", "deuxième", "respaldo", "segundo", "segunda", "secondario", "reserve"}

// otherHeadend returns where people name an address in words about several headends.
func (t *Tunnel) otherHeadend(a netip.Addr) []facts.Place {
	if len(t.said(backupWords...)) == 0 {
		return nil
	}
	return t.said(a.String())
}

// owned: a device of the bundle has this address, so naming it is no mistake.
func (t *Tunnel) owned(a netip.Addr) bool {
	return t.Set != nil && slices.ContainsFunc(t.Set.Devices, func(d *facts.Device) bool { return slices.Contains(d.Addresses, a) })
}

func place2(m facts.MapEntry, field string) facts.Place {
	if p, ok := m.Places[field]; ok {
		return p
	}
	return m.Place
}

func addrs(t *Tunnel) []string {
	var out []string
	for _, a := range t.Addrs {
		out = append(out, a.String())
	}
	return out
}

// mirror: the entry's access list is the mirror of one of the end's, so it is meant for it.
func mirror(c *facts.Config, m facts.MapEntry, e *End) bool {
	acl := c.ACL(m.ACL)
	if acl == nil || e.Device.Config == nil {
		return false
	}
	for _, x := range e.Device.Config.MapEntries {
		other := e.Device.Config.ACL(x.ACL)
		if other == nil {
			continue
		}
		for _, a := range acl.Entries {
			for _, b := range other.Entries {
				if a.Permit && b.Permit && len(a.Src) > 0 && len(a.Dst) > 0 && slices.Equal(a.Src, b.Dst) && slices.Equal(a.Dst, b.Src) {
					return true
				}
			}
		}
	}
	return false
}

// namesHost: a tunnel-group's name that is a host name or a DN, neither an address nor a default group.
func namesHost(group string) bool {
	if group == "" || strings.HasPrefix(group, "Default") {
		return false
	}
	_, err := netip.ParseAddr(group)
	return err != nil
}

// fixPeerTo lists the commands that put one peer address in the place of another.
func fixPeerTo(e *End, m facts.MapEntry, wrong, right netip.Addr) []string {
	if e.isIOS() {
		return []string{fmt.Sprintf("crypto map %s %d ipsec-isakmp", m.Map, m.Sequence), "no set peer " + wrong.String(), "set peer " + right.String(), "crypto isakmp key **** address " + right.String()}
	}
	return []string{fmt.Sprintf("crypto map %s %d set peer %s", m.Map, m.Sequence, right), "tunnel-group " + right.String() + " type ipsec-l2l", "tunnel-group " + right.String() + " ipsec-attributes"}
}

func fixPeer(e *End) report.Action {
	peer := e.PeerLabel()
	entry := "<map> <seq>"
	var steps []string
	if m := e.Entries(); len(m) > 0 {
		entry = fmt.Sprintf("%s %d", m[0].Map, m[0].Sequence)
	} else if m, ok := e.neighbour(); ok {
		entry = fmt.Sprintf("%s %d", m.Map, m.Sequence)
		steps = append(steps, fmt.Sprintf("crypto map %s names %s, in the network of %s: check that it is meant for this peer", entry, m.Peers[0], peer))
	}
	if e.isIOS() {
		return advise(e, []string{"crypto map " + entry + " ipsec-isakmp", "set peer " + peer, "crypto isakmp key **** address " + peer}, steps...)
	}
	return advise(e, []string{"crypto map " + entry + " set peer " + peer, "tunnel-group " + peer + " type ipsec-l2l", "tunnel-group " + peer + " ipsec-attributes"},
		append(steps, "enter the key again under the right tunnel-group", "remove the tunnel-group that carries the wrong address")...)
}

// neighbour is the only crypto map entry whose peer lies in the /24 of the address that
// knocks and has no SA: most likely the address that it had before, or a typing error.
func (e *End) neighbour() (only facts.MapEntry, ok bool) {
	c := e.Config()
	if c == nil || !e.Peer.Is4() {
		return only, false
	}
	net, _ := e.Peer.Prefix(24)
	for _, m := range c.MapEntries {
		if len(m.Peers) != 1 || !net.Contains(m.Peers[0]) || slices.ContainsFunc(e.Device.IKE, func(sa facts.IKESA) bool { return sa.Remote == m.Peers[0] && IsUp(sa) }) {
			continue
		}
		if ok {
			return facts.MapEntry{}, false
		}
		only, ok = m, true
	}
	return only, ok
}

var phase1PolicyMismatch = Condition{
	ID:       "phase1-policy-mismatch",
	Cause:    "no IKE policy is common to both ends",
	Shows:    "policies compared attribute by attribute; 713257 phase 1, 713048, NO_PROPOSAL_CHOSEN, IKMP_MODE_FAILURE, 750003; captures: SA answered by notify 14",
	Severity: report.Critical, Prefer: []string{"certificate-rejected", "ike-version-mismatch", "identity-mismatch", "client-proposal-unsupported"},
	Reference:  "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify that ISAKMP policies match; RFC 2408 notify 14",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		for _, e := range t.Ends {
			evs := e.Events()
			done := withID(evs, "713119")
			if x := saying(evs, "un-encrypted no_proposal_chosen"); len(x) > 0 {
				clues = append(clues, For(3.6, e.Label()+" is refused in the clear: no proposal of its first message is accepted", at(x...)...))
			}
			if x := saying(evs, "all sa proposals found unacceptable", "phase 1 sa policy not acceptable", "with no offers accepted", "no matching policy", "no offers accepted", "failed to find a matching policy"); len(x) > 0 {
				clues = append(clues, For(4.2, e.Label()+" accepts none of the offered policies", at(x...)...))
			}
			if x := saying(withID(evs, "713257"), "phase 1"); len(x) > 0 && len(done) == 0 {
				clues = append(clues, For(2.4, "attributes of the policies differ: "+x[0].Text, at(x...)...))
			}
			if x := saying(withID(evs, "713048"), "payload id: 1", "payload id 1"); len(x) > 0 && len(done) == 0 {
				w := 2.0
				if e.Config() == nil && len(x) == 1 && len(slices.DeleteFunc(slices.Clone(evs), func(ev facts.Event) bool { return ev.Peer != x[0].Peer })) == 1 {
					w = 1 // one line of an address that nothing else names: a scanner's packet looks so
				}
				clues = append(clues, For(w, "the SA payload cannot be used", at(x...)...))
			}
			if x := saying(withID(evs, "750003"), "no_proposal_chosen", "no proposal chosen", "no matching policy", "invalid_ke_payload"); len(x) > 0 {
				clues = append(clues, For(3.6, "IKEv2 finds no common proposal", at(x...)...))
			}
			if x := withID(evs, "750011"); len(x) > 0 {
				clues = append(clues, For(1.4, "", at(x...)...))
			}
			if x := withID(evs, "751022", "751008", "751006", "751009", "751002", "751004"); len(x) > 0 {
				clues = append(clues, Against(4, "the log names the reason, and it is none of the policies", at(x...)...))
			}
			if x := saying(withID(evs, "IKMP_MODE_FAILURE", "IKMP_MODE_FAIL"), "main mode", "aggressive mode"); len(x) > 0 {
				clues = append(clues, For(2, "phase 1 processing failed", at(x...)...))
			}
			if x := e.inState("MM_WAIT_MSG2", "MM_NO_STATE", "AG_INIT_EXCH", "AG_NO_STATE", "AM_WAIT_MSG2"); len(x) > 0 {
				clues = append(clues, For(0.6, e.Label()+" got no usable answer to its first message", placesOf(x)...))
			}
			if len(done) > 0 {
				clues = append(clues, Against(4, "phase 1 completes: look at phase 2", at(done...)...))
			}
			if x := e.inState("MM_SA_SETUP", "MM_KEY_EXCH", "MM_WAIT_MSG4", "MM_WAIT_MSG5", "MM_WAIT_MSG6", "AM_WAIT_MSG3", "CONF_XAUTH"); len(x) > 0 {
				clues = append(clues, Against(2.5, "a policy was agreed: the exchange is past it", placesOf(x)...))
			}
		}
		common, diff, where := commonPolicy(t)
		switch {
		case diff != "":
			clues = append(clues, For(4.6, diff, where...))
		case common:
			clues = append(clues, Against(3.5, "a policy is common to both ends", where...))
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 1.4 }) {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(5, "phase 1 is up", up...))
		}
		m := Match{Clues: clues, Title: "No IKE policy is common to " + t.between(),
			Explanation: "The first message offers encryption, hash, authentication and DH group, and the other end has no policy with the same four, so phase 1 ends before any key is used. Lifetimes may differ; they are negotiated."}
		if diff != "" {
			m.Explanation = diff + ". " + m.Explanation
		} else {
			m.Next = append(m.Next, readAlso("both ends' configuration (crypto policies)", "names the attribute that differs"))
		}
		for _, e := range t.Ends {
			word := "crypto " + e.ikeWord() + " policy <n>"
			m.Actions = append(m.Actions, advise(e, []string{word, "authentication pre-share", "encryption ...", "hash ...", "group ..."},
				"use the strongest values that both ends have; one more policy with another number disturbs nobody"))
		}
		return []Match{m}
	},
}

// commonPolicy compares the IKE policies of both ends. diff names the nearest pair's
// differing attributes when no pair agrees; common tells that one does.
func commonPolicy(t *Tunnel) (common bool, diff string, where []facts.Place) {
	if len(t.Ends) != 2 || t.Ends[0].Config() == nil || t.Ends[1].Config() == nil {
		return false, "", nil
	}
	a, b := t.Ends[0], t.Ends[1]
	best := 9
	for _, v := range []int{1, 2} {
		for _, p := range a.Config().IKEPolicies {
			for _, q := range b.Config().IKEPolicies {
				if p.Version != v || q.Version != v {
					continue
				}
				if headingOnly(p, a.Config()) || headingOnly(q, b.Config()) {
					return false, "", nil
				}
				var off []string
				cmp := func(what string, x, y []string) {
					if len(x) > 0 && len(y) > 0 && !slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) }) {
						off = append(off, fmt.Sprintf("%s %s / %s", what, strings.Join(x, "+"), strings.Join(y, "+")))
					}
				}
				cmp("encryption", a.sureOf(p, "encryption", p.Encryption), b.sureOf(q, "encryption", q.Encryption))
				cmp("hash", a.sureOf(p, "hash", p.Hash), b.sureOf(q, "hash", q.Hash))
				cmp("DH group", a.sureOf(p, "group", p.Groups), b.sureOf(q, "group", q.Groups))
				if v == 1 && p.Auth != "" && q.Auth != "" && p.Auth != q.Auth && !a.unsure(p, "auth") && !b.unsure(q, "auth") {
					off = append(off, "authentication "+p.Auth+" / "+q.Auth)
				}
				if len(off) == 0 {
					return true, "", []facts.Place{p.Place, q.Place}
				}
				if len(off) < best {
					best = len(off)
					diff = fmt.Sprintf("the nearest policies, %d on %s and %d on %s, differ in %s", p.Number, a.Label(), q.Number, b.Label(), strings.Join(off, ", "))
					where = []facts.Place{attributePlace(p, off), attributePlace(q, off)}
				}
			}
		}
	}
	return false, diff, where
}

// sureOf are a policy's values of an attribute, none where they are the release's default and a
// filter picked single lines: the attribute's own line may have been left out.
func (e *End) sureOf(p facts.IKEPolicy, attribute string, values []string) []string {
	if e.unsure(p, attribute) {
		return nil
	}
	return values
}

func (e *End) unsure(p facts.IKEPolicy, attribute string) bool {
	return slices.Contains(p.Defaulted, attribute) && e.pickedLines(p.Place)
}

// pickedLines tells whether a line stands in an answer whose lines a filter picked one by one.
func (e *End) pickedLines(at facts.Place) bool {
	for i := range e.Device.Outputs {
		o := &e.Device.Outputs[i]
		if configOutput(o) && byLine(o.Filter) && len(o.Text) > 0 && o.Place.Source == at.Source && at.Line >= o.Text[0].N && at.Line <= o.Text[len(o.Text)-1].N {
			return true
		}
	}
	return false
}

// headingOnly: none of a policy's attributes is at hand, in a configuration that is filtered
// or cut, so that they need not be the defaults.
func headingOnly(p facts.IKEPolicy, c *facts.Config) bool {
	return p.Version == 1 && len(p.Places) == 0 && (c.Partial || !c.Complete)
}

// attributePlace is the line of the first attribute that differs, else the policy's own.
func attributePlace(p facts.IKEPolicy, off []string) facts.Place {
	for _, o := range off {
		for _, key := range []string{"encryption", "hash", "group", "auth"} {
			if strings.HasPrefix(o, key) || key == "group" && strings.HasPrefix(o, "DH") {
				if q, ok := p.Places[key]; ok && q.Source != "" {
					return q
				}
			}
		}
	}
	return p.Place
}

var isakmpDisabled = Condition{
	ID:       "isakmp-disabled",
	Cause:    "IKE is not enabled on the interface that faces the peer",
	Shows:    "crypto map bound and no enable line; 'no crypto isakmp enable'; 710005 to port 500; captures: ICMP port unreachable from the responder",
	Severity: report.Critical, Prefer: []string{"isakmp-port-in-use"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, enable ISAKMP; %ASA-7-710005",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			var clues []Clue
			iface := ""
			c := e.Config()
			if c != nil {
				for _, en := range c.IKEEnabled {
					if en.No && en.Interface == "" && e.isIOS() {
						clues = append(clues, For(5, "ISAKMP is switched off: no crypto isakmp enable", en.Place))
					}
				}
				if !e.isIOS() && !c.Partial && !cutAtMap(c) {
					for _, b := range c.MapBindings {
						if len(e.Entries()) > 0 && !slices.ContainsFunc(e.Entries(), func(m facts.MapEntry) bool { return m.Map == b.Map }) {
							continue
						}
						on, other := false, false
						for _, en := range c.IKEEnabled {
							on = on || !en.No && strings.EqualFold(en.Interface, b.Interface)
							other = other || !en.No
						}
						if !on {
							iface = b.Interface
							w := 4.4
							note := fmt.Sprintf("crypto map %s is bound to %s, and no crypto isakmp/ikev1/ikev2 enable %s stands in the configuration", b.Map, b.Interface, b.Interface)
							if other {
								note += " (it is enabled on another interface)"
							}
							clues = append(clues, For(w, note, b.Place))
						}
					}
				}
			}
			var refused []facts.Event
			for _, ev := range withID(e.Events(), "710005") {
				if hasAny(ev.Text, "/500 ", "/500 to", "/isakmp", ":500") && hasAny(ev.Text, "udp") {
					refused = append(refused, ev)
				}
			}
			if len(refused) > 0 {
				clues = append(clues, For(3, e.Label()+" discards IKE: nothing listens on UDP 500", at(refused...)...))
			}
			if len(clues) == 0 {
				continue
			}
			if up := t.phase1Up(); len(up) > 0 {
				clues = append(clues, Against(5, "phase 1 is up", up...))
			}
			if len(e.IKE()) > 0 {
				clues = append(clues, Against(2, "the device has IKE SAs with this peer"))
			}
			if iface == "" {
				iface = "outside"
				if c != nil && len(c.MapBindings) > 0 {
					iface = c.MapBindings[0].Interface
				}
			}
			cmds := []string{"crypto ikev1 enable " + iface}
			switch {
			case e.isIOS():
				cmds = []string{"crypto isakmp enable"}
			case e.old():
				cmds = []string{"crypto isakmp enable " + iface}
			}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       "IKE is not enabled on " + e.Label() + " (" + iface + ")",
				Explanation: "The crypto map is there and nothing on this device answers IKE on the interface that faces the peer (isakmp enable is missing), so the peer's first message gets no answer.",
				Actions:     []report.Action{advise(e, cmds)}})
		}
		return out
	},
}

var isakmpPortInUse = Condition{
	ID:        "isakmp-port-in-use",
	Cause:     "a translation owns UDP 500, so IKE could not be enabled",
	Shows:     "'IkeReceiverInit, unable to bind to port'; a static PAT of 500 or 4500 on the interface; show xlate",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, enable ISAKMP (IkeReceiverInit)",
	Look: ofDevice("isakmp-port-in-use", func(e *gateway, s *site) []Match {
		var clues []Clue
		iface, holder := "", ""
		x := at(e.logSays("ikereceiverinit", "62465 in use", "unable to bind to port")...)
		if len(x) == 0 {
			x = e.printed("ikereceiverinit", "62465 in use")
		}
		if len(x) == 0 {
			x = s.said.mentioning("ikereceiverinit", "62465 in use")
		}
		if len(x) > 0 {
			clues = append(clues, For(4.6, "ISAKMP could not bind to its port", x...))
		}
		for _, o := range e.Device.Outputs {
			// crypto isakmp enable outside: the command that failed names the interface.
			f := strings.Fields(o.Typed)
			if len(f) >= 3 && f[len(f)-2] == "enable" && (strings.HasPrefix(f[0], "cr") || strings.HasPrefix(f[0], "isa")) {
				iface = f[len(f)-1]
			}
		}
		own := map[string]bool{}
		for _, a := range e.Device.Addresses {
			own[a.String()] = true
		}
		for _, c := range e.readings("xlate") {
			f := strings.Fields(c.Name)
			if len(f) != 2 {
				continue
			}
			addr, port, _ := strings.Cut(f[1], "/")
			ifc, a, named := strings.Cut(addr, ":")
			if !named {
				ifc, a = "", addr
			}
			if (port == "500" || port == "4500") && (own[a] || len(x) > 0) {
				clues = append(clues, For(2.6, "a translation holds UDP "+port, c.Place))
				holder = f[0]
				if iface == "" {
					iface = ifc
				}
			}
		}
		if c := e.Config(); c != nil {
			for _, n := range c.NAT {
				if n.Form == "static" && n.Interface && hasAny(n.Place.Text, " udp ") && hasAny(n.Place.Text, " 500 ", " isakmp ", " 4500 ", " non500-isakmp ") ||
					n.Form == "object" && n.Interface && hasAny(n.Place.Text+" ", "service udp 500 ", "service udp isakmp ", "service udp 4500 ", "service udp non500-isakmp ") {
					clues = append(clues, For(3.4, "a static translation takes the interface's UDP 500 or 4500 away from IKE", n.Place))
				}
			}
			if iface == "" && len(c.MapBindings) > 0 {
				iface = c.MapBindings[0].Interface
			}
		}
		if len(clues) == 0 {
			return nil
		}
		iface = orText(iface, "outside")
		who := ""
		if holder != "" {
			who = " (" + holder + ")"
		}
		return []Match{{Key: e.Label(), Clues: clues,
			Title:       "UDP 500 of " + e.Label() + " (" + iface + ") is taken by a translation" + who + ", so IKE cannot be enabled",
			Explanation: "Enabling ISAKMP failed because a port translation already owns UDP 500 on the interface address. Until it is gone the device answers no IKE.",
			Actions: []report.Action{advise(e.End, []string{"clear xlate gport 500 interface " + iface, "crypto " + e.ikeWord() + " enable " + iface},
				"the clear ends only the translation of the inside host that holds the port", "a static port forward of 500/4500 must move to another address")}}}
	}),
}

// keyedGroups are the places of groups that IKEv1 clients enter by a group key: these always
// start in aggressive mode.
func keyedGroups(c *facts.Config) []facts.Place {
	if c == nil {
		return nil
	}
	var out []facts.Place
	for _, tg := range c.TunnelGroups {
		if tg.Type != "remote-access" {
			continue
		}
		for _, k := range []string{"pre-shared-key", "ikev1 pre-shared-key"} {
			if a, ok := facts.Get(tg.Attrs, k); ok && !a.No {
				out = append(out, a.Place)
			}
		}
	}
	for _, cg := range c.ClientGroups {
		out = append(out, cg.Place)
	}
	return out
}

// refusesAggressive tells whether a message says that aggressive mode is not taken here. The
// wording differs between releases, so it is the mode with a word of refusal right behind it.
func refusesAggressive(ev facts.Event) bool {
	if ev.Kind == "client" {
		return false
	}
	_, rest, ok := strings.Cut(strings.ToLower(ev.Text), "aggressive mode")
	return ok && hasAny(rest[:min(len(rest), 48)], "disabled", "not allowed", "not supported", "unsupported", "not permitted", "not accepted", "not enabled", "refused", "rejected", "denied")
}

var exchangeModeMismatch = Condition{
	ID:         "exchange-mode-mismatch",
	Cause:      "main mode against aggressive mode",
	Shows:      "am-disable with an aggressive client; IKMP_AG_MODE_DISABLED; captures",
	Severity:   report.Critical,
	Reference:  "%CRYPTO-5-IKMP_AG_MODE_DISABLED; crypto isakmp am-disable; Meraki: troubleshooting client VPN",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var out []Match
		aggressive := false // somebody starts in aggressive mode
		var seen []facts.Place
		for _, d := range t.Clients {
			if x := saying(d.Events, "isakmp oak ag", "aggressive mode"); len(x) > 0 {
				aggressive = true
				seen = append(seen, at(x...)...)
			}
		}
		for _, e := range t.Ends {
			if x := e.inState("AM_WAIT_MSG2", "AG_INIT_EXCH", "AG_NO_STATE"); len(x) > 0 {
				aggressive = true
				seen = append(seen, placesOf(x)...)
			}
		}
		if x := t.said("aggressive mode not supported", "rejected aggressive mode", "aggressive mode request rejected", "aggressive mode is not supported", "aggressive mode disabled"); len(x) > 0 {
			out = append(out, Match{Key: "note", Clues: []Clue{For(4.2, "the gateway's event log says so", x...)},
				Title:       "The gateway refuses aggressive mode and its client starts with it",
				Explanation: "A client with a group name and key starts in aggressive mode, and this gateway takes main mode only (Meraki MX 15 and later): " + x[0].Text,
				Actions:     []report.Action{advise(nil, nil, "let the client use main mode, L2TP with main mode, certificates, or IKEv2")}})
		}
		for _, e := range t.Ends {
			var clues []Clue
			who := "its peer"
			named := withID(e.Events(), "IKMP_AG_MODE_DISABLED")
			refused := slices.Concat(named, slices.DeleteFunc(slices.Clone(e.Events()), func(ev facts.Event) bool { return !refusesAggressive(ev) }))
			if len(refused) > 0 {
				w := 4.4
				// The message of IOS names nobody: a scanner's attempt reads the same as a client's.
				if len(named) > 0 && !aggressive && len(t.everything().reason("412")) == 0 && len(keyedGroups(e.Config())) == 0 && (e.allUp() || len(named) == 1 && e.Config() == nil && e.someUp()) {
					w = 0.8
				}
				clues = append(clues, For(w, e.Label()+" refuses aggressive mode", at(refused...)...))
				if p := refused[0].Peer; p.IsValid() {
					who = p.String()
				}
				if e.stranger() {
					clues = append(clues, Against(2, "it comes from no configured peer"))
				}
			}
			for _, key := range []string{"crypto isakmp am-disable", "crypto ikev1 am-disable", "crypto isakmp aggressive-mode disable"} {
				if s, ok := e.Config().Setting(key); ok && !s.No {
					w := 0.4 // a good setting where nobody needs aggressive mode
					groups := keyedGroups(e.Config())
					told := t.everything().reason("412")
					switch {
					case aggressive:
						w = 3.8
					case len(groups) > 0 && len(told) > 0:
						w = 3.6
					case len(groups) > 0:
						w = 1.8
					}
					clues = append(clues, For(w, "aggressive mode is disabled on "+e.Label(), append([]facts.Place{s.Place}, seen...)...))
					if len(groups) > 0 {
						clues = append(clues, For(0.4, "remote users with a group key start in aggressive mode", append(groups[:1], at(told...)...)...))
					}
				}
			}
			if len(clues) == 0 {
				continue
			}
			cmd := "no crypto " + e.ikeWord() + " am-disable"
			if e.isIOS() {
				cmd = "no crypto isakmp aggressive-mode disable"
			}
			out = append(out, Match{Key: e.Label(), Clues: clues,
				Title:       e.Label() + " refuses aggressive mode and " + who + " starts with it",
				Explanation: "A client or hardware client with a group key always starts in aggressive mode; this headend has it disabled (am-disable), so the first message is not answered. Main-mode peers are not affected.",
				Actions:     []report.Action{advise(e, []string{cmd}, "better: main mode, certificates or IKEv2 at the other end")}})
		}
		return out
	},
}
