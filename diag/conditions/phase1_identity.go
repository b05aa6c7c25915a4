package conditions

import (
	"fmt"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// identityWords are texts of a peer whose identity, not whose key, is not what is expected.
var identityWords = []string{"idi not matched", "received idi", "received idr", "id not matched", "identity not matched", "identity does not match", "identity mismatch", "unable to compare ike id", "ike id against peer cert", "peer-id-validate",
	"peer id validation failed", "id mismatch", "does not match the identity", "peer's identity", "unknown ike peer identity", "failed to match identity", "no profile found for", "profile not found", "does not match peer cert", "id_type mismatch", "ike id check"}

var identityMismatch = Condition{
	ID:         "identity-mismatch",
	Cause:      "the IKE identity sent is not the one expected",
	Shows:      "crypto isakmp identity hostname against address-named groups or keys; a host name in Group; IKEv2 IDi not matched; 713906",
	Severity:   report.Critical,
	Prefer:     []string{"certificate-rejected"},
	Reference:  "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify ISAKMP identity; crypto isakmp identity",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var actions []report.Action
		failing := false
		name := ""
		for _, e := range t.Ends {
			evs := e.Events()
			var group, key []facts.Event
			for _, ev := range saying(evs, "find a valid tunnel group", "unable to find tunnel group", "no tunnel group found", "no valid tunnel group") {
				if namesHost(ev.Group) {
					group = append(group, ev)
					name = ev.Group
				}
			}
			for _, ev := range withID(evs, "713906", "713903", "713902") {
				if len(group) == 0 && namesHost(ev.Group) && strings.Contains(ev.Group, ".") && hasAny(ev.Text, "tunnel group", "removing peer from peer table", "pre-shared key") {
					group = append(group, ev)
					name = ev.Group
				}
			}
			if len(group) > 0 {
				clues = append(clues, For(3.8, e.Label()+" looks the peer up by the hostname or DN that it sends", at(group...)...))
				failing = true
			}
			for _, ev := range saying(evs, "no pre-shared key with") {
				if len(ev.Addrs) == 0 {
					key = append(key, ev)
				}
			}
			if len(key) > 0 {
				clues = append(clues, For(4, e.Label()+" has no key for the hostname that the peer sends", at(key...)...))
				failing = true
			}
			if x := saying(evs, "type : 2", "fqdn name", "id_fqdn", "id type fqdn"); len(x) > 0 && len(key)+len(group) > 0 {
				clues = append(clues, For(0.6, "the identity is a hostname", at(x...)...))
			}
			if x := saying(evs, identityWords...); len(x) > 0 {
				clues = append(clues, For(3.6, e.Label()+" does not find the identity that it expects", at(x...)...))
				failing = true
			}
			if x := saying(evs, "authentication_failed", "authentication failed (24)", "invalid_id_information", "invalid id information"); len(x) > 0 {
				failing = true
			}
			failing = failing || slices.ContainsFunc(e.IKE(), func(sa facts.IKESA) bool { return !IsUp(sa) })
		}
		for _, e := range t.Ends {
			s, ok := e.Config().Setting("crypto isakmp identity")
			if !ok || s.No || hasAny(s.Value, "address", "auto") {
				continue
			}
			o := t.Other(e)
			w, note := 0.8, fmt.Sprintf("%s sends %s as its identity", e.Label(), s.Value)
			if failing {
				w = 1.6
			}
			places := []facts.Place{s.Place}
			switch {
			case o != nil && o.Config() != nil && o.knowsName():
				w = 0.2
			case o != nil && o.Config() != nil:
				w = 3.2
				note += ", and " + o.Label() + " knows its peer by address only"
				if tg := o.TunnelGroup(); tg != nil {
					places = append(places, tg.Place)
				} else if k := o.keysFor(); len(k) > 0 {
					places = append(places, k[0].Place)
				}
			}
			clues = append(clues, For(w, note, places...))
			cmd := "crypto isakmp identity address"
			steps := []string{}
			if !e.isIOS() {
				steps = append(steps, "crypto isakmp identity auto where keys and certificates live on one device")
			}
			actions = append(actions, advise(e, []string{cmd}, steps...))
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 1.2 }) {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(4.5, "phase 1 is up", up...))
		}
		if len(actions) == 0 {
			for _, e := range t.Ends {
				actions = append(actions, advise(e, []string{"crypto isakmp identity address"}, "at the end that sends the hostname; or file key and tunnel-group under that name"))
			}
		}
		title := "The identity that one end of " + t.between() + " sends is not what the other expects"
		if name != "" {
			title = fmt.Sprintf("The peer sends its hostname %s as identity, and %s knows it by address", name, t.Ends[0].Label())
		}
		m := Match{Clues: clues, Actions: actions, Title: title,
			Explanation: "The ends agree on a policy and fail when the identity is looked up: one sends its hostname (or DN, key-id), and the other has key and tunnel-group under the address. " +
				"Addresses and keys are right; only the kind of identity differs. An ASA with identity auto sends the address with keys and the DN with certificates."}
		if len(t.Ends) < 2 || t.Ends[0].Config() == nil || t.Ends[1].Config() == nil {
			m.Next = []report.Next{readAlso("the other end's crypto isakmp identity, keys and tunnel-groups", "shows what it sends and what it expects")}
		}
		return []Match{m}
	},
}

// knowsName: the end has a key, tunnel-group or profile under a host name, so it may expect one.
func (e *End) knowsName() bool {
	c := e.Config()
	for _, k := range c.Keys {
		if !k.Peer.IsValid() && namesHost(k.Name) && strings.Contains(k.Name, ".") {
			return true
		}
	}
	for _, p := range c.Profiles {
		for _, a := range p.Attrs {
			if strings.HasPrefix(a.Key, "match identity") && hasAny(a.Key+" "+a.Value, "host", "fqdn", "domain") {
				return true
			}
		}
	}
	for _, tg := range c.TunnelGroups {
		if tg.Type == "ipsec-l2l" && namesHost(tg.Name) && strings.Contains(tg.Name, ".") {
			return true
		}
	}
	return false
}

// speaks tells which IKE versions an end can use with its peer, by its configuration; known is
// false when that cannot be told.
func (e *End) speaks() (v1, v2, known bool, where []facts.Place) {
	c := e.Config()
	if c == nil {
		return false, false, false, nil
	}
	for _, m := range e.Entries() {
		profile2 := slices.ContainsFunc(c.Profiles, func(p facts.Profile) bool { return p.Kind == "ikev2" && p.Name == m.Profile })
		switch {
		case e.isIOS():
			v2 = v2 || profile2
			v1 = v1 || !profile2 && len(m.Transforms) > 0
		default:
			v1 = v1 || len(m.Transforms) > 0
			v2 = v2 || len(m.Proposals) > 0
		}
		if p, ok := m.Places["profile"]; ok && profile2 {
			where = append(where, p)
			continue
		}
		where = append(where, place2(m, "transform"))
		if k := e.keysFor(); e.isIOS() && len(k) > 0 {
			where = append(where, k[0].Place)
		}
	}
	if e.isIOS() {
		for _, i := range c.Interfaces {
			if i.Protection == "" || !e.Mine(i.TunnelDst) {
				continue
			}
			for _, p := range c.Profiles {
				if p.Kind != "ipsec" || p.Name != i.Protection {
					continue
				}
				a, ok := facts.Get(p.Attrs, "set ikev2-profile")
				if ok && !a.No {
					v2, where = true, append(where, a.Place)
				} else {
					v1, where = true, append(where, p.Place)
				}
			}
		}
	} else if (v1 || v2) && !c.Partial && len(c.IKEEnabled) > 0 {
		// Enabled versions cut what the map would allow.
		on1, on2 := false, false
		var p1, p2 facts.Place
		for _, en := range c.IKEEnabled {
			if en.No {
				continue
			}
			if en.Version == 2 {
				on2, p2 = true, en.Place
			} else {
				on1, p1 = true, en.Place
			}
		}
		if v1 && !on1 && on2 {
			where = append(where, p2)
		}
		if v2 && !on2 && on1 {
			where = append(where, p1)
		}
		v1, v2 = v1 && on1, v2 && on2
		if !v1 && !v2 {
			return false, false, false, nil // nothing works: isakmp-disabled
		}
	}
	return v1, v2, v1 || v2, where
}

var ikeVersionMismatch = Condition{
	ID:         "ike-version-mismatch",
	Cause:      "one end speaks IKEv1, the other IKEv2",
	Shows:      "versions compared; 752010, 752011, 752015; captures: INVALID_MAJOR_VERSION",
	Severity:   report.Critical,
	Reference:  "%ASA-4-752010, %ASA-4-752011, %ASA-3-752015; RFC 7296 INVALID_MAJOR_VERSION",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		text := ""
		if len(t.Ends) == 2 {
			a, b := t.Ends[0], t.Ends[1]
			a1, a2, oka, pa := a.speaks()
			b1, b2, okb, pb := b.speaks()
			if oka && okb {
				if !(a1 && b1) && !(a2 && b2) {
					text = fmt.Sprintf("%s speaks %s with this peer, %s speaks %s", a.Label(), versions(a1, a2), b.Label(), versions(b1, b2))
					clues = append(clues, For(4.8, text, append(pa, pb...)...))
				} else {
					clues = append(clues, Against(2.5, "a version is common to both ends"))
				}
			}
		}
		for _, e := range t.Ends {
			evs := e.Events()
			failed := withID(evs, "752015")
			if x := withID(evs, "752010"); len(x) > 0 {
				w := 1.6
				if len(failed) > 0 {
					w = 2.6
				}
				clues = append(clues, For(w, e.Label()+" has no IKEv2 proposal for this entry", at(x...)...))
			}
			if x := withID(evs, "752011"); len(x) > 0 {
				w := 1.6
				if len(failed) > 0 {
					w = 2.6
				}
				clues = append(clues, For(w, e.Label()+" has no IKEv1 transform set for this entry", at(x...)...))
			}
			if len(failed) > 0 && len(clues) > 0 {
				clues = append(clues, For(1.2, "all configured IKE versions failed", at(failed...)...))
			}
			if x := saying(evs, "invalid_major_version", "invalid major version", "unsupported ike version", "unsupported version", "major version mismatch", "ike version mismatch", "not an ikev1", "not an ikev2"); len(x) > 0 {
				clues = append(clues, For(4, "a message of the other IKE version is refused", at(x...)...))
			}
			if x := withID(evs, "713119", "713120", "750006", "752016"); len(x) > 0 && len(clues) > 0 {
				clues = append(clues, Against(4, "the tunnel comes up", at(x...)...))
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 1 }) {
			return nil
		}
		if up := t.phase1Up(); len(up) > 0 {
			clues = append(clues, Against(5, "phase 1 is up", up...))
		}
		m := Match{Clues: clues, Title: t.between() + " speak different IKE versions",
			Explanation: "One end offers IKEv1 and the other accepts IKEv2 only, or the other way round, so no first message is ever answered usefully. Keys, policies and access lists were not even looked at."}
		if text != "" {
			m.Explanation = text + ". " + m.Explanation
		} else {
			m.Next = []report.Next{readAlso("both ends' crypto maps and IKE policies", "shows which version each end has for this peer")}
		}
		for _, e := range t.Ends {
			entry := "<map> <seq>"
			if x := e.Entries(); len(x) > 0 {
				entry = fmt.Sprintf("%s %d", x[0].Map, x[0].Sequence)
			}
			if e.isIOS() {
				m.Actions = append(m.Actions, advise(e, []string{"crypto map " + entry + " ipsec-isakmp", "set ikev2-profile <profile>"}, "or let the other end speak this end's version"))
				continue
			}
			iface := "<interface>"
			if c := e.Config(); c != nil && len(c.MapBindings) > 0 {
				iface = c.MapBindings[0].Interface
			}
			if v1, v2, ok, _ := e.speaks(); ok && v2 && !v1 {
				m.Actions = append(m.Actions, advise(e, []string{"crypto map " + entry + " set ikev1 transform-set <name>", "crypto ikev1 enable " + iface, "tunnel-group " + e.PeerLabel() + " ipsec-attributes", "ikev1 pre-shared-key ****"}, "one of the two: this, or IKEv2 at the other end"))
			} else {
				m.Actions = append(m.Actions, advise(e, []string{"crypto map " + entry + " set ikev2 ipsec-proposal <name>", "crypto ikev2 enable " + iface}, "with an IKEv2 policy and ikev2 keys in the tunnel-group; vpn-tunnel-protocol of the group policy must allow it"))
			}
		}
		return []Match{m}
	},
}

func versions(v1, v2 bool) string {
	switch {
	case v1 && v2:
		return "IKEv1 and IKEv2"
	case v2:
		return "IKEv2 only"
	}
	return "IKEv1 only"
}
