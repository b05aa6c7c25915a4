package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

var ezvpnUser = Condition{
	ID:       "ezvpn-user-authentication",
	Cause:    "an Easy VPN hardware client cannot pass XAUTH",
	Shows:    "AM_TM_INIT_XAUTH at both ends with small packets passing; captures: the XAUTH request repeats and no reply comes",
	Severity: report.Critical, Prefer: []string{"path-fragments-dropped", "psk-mismatch", "xauth-on-l2l-peer"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, ASA as Easy VPN server; AM_TM_INIT_XAUTH",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var head, spoke *End
		for _, e := range t.Ends {
			for _, sa := range e.inState("AM_TM_INIT_XAUTH", "TM_INIT_XAUTH", "MM_TM_INIT_XAUTH", "CONF_XAUTH") {
				if sa.State == "CONF_XAUTH" && len(e.Entries()) > 0 {
					continue // a site-to-site peer: xauth-on-l2l-peer
				}
				clues = append(clues, For(1.2, e.Label()+" stands in user authentication ("+sa.State+")", saPlace(sa)))
				if strings.HasSuffix(sa.State, "C") && sa.State != "CONF_XAUTH" {
					spoke = e
				} else if !hardware(e.Config()) {
					head = e
				}
			}
			if x := e.inState("AM_TM_INIT_MODECFG", "TM_INIT_MODECFG"); len(x) > 0 {
				clues = append(clues, Against(2.5, e.Label()+" is past user authentication", placesOf(x)...))
			}
			if ofBox(e, "hardware client", func() bool { return hardware(e.Config()) }) {
				spoke = e
			}
		}
		ends := slices.Clone(t.Ends)
		for _, d := range t.Clients { // a hardware client may be filed as a client
			ends = append(ends, &End{Device: d, Others: map[netip.Addr]bool{}})
		}
		for _, e := range ends {
			x := at(saying(e.Events(), "pending xauth request", "crypto ipsec client ezvpn xauth")...)
			x = append(x, e.printed("current state: xauth")...)
			if len(x) > 0 {
				clues = append(clues, For(4, e.Label()+" waits for a person to type user and password", x...))
				spoke = e
			}
		}
		if len(clues) == 0 {
			return nil
		}
		if spoke != nil {
			if p, ok := noStoredUser(spoke.Config()); ok {
				clues = append(clues, For(2.2, spoke.Label()+" is a hardware client without a stored user", p))
			}
		}
		if head == nil && spoke != nil {
			head = t.Other(spoke)
		}
		group := ""
		if head != nil && head.Config() != nil {
			if spoke != nil && spoke.Config() != nil {
				if v, ok := spoke.Config().Setting("vpnclient vpngroup"); ok {
					group = firstField(v.Value)
				}
			}
			for _, tg := range head.Config().TunnelGroups {
				if tg.Type != "remote-access" || group != "" && tg.Name != group {
					continue
				}
				a, ok := facts.Get(tg.Attrs, "ikev1 user-authentication")
				if !ok {
					a, ok = facts.Get(tg.Attrs, "isakmp ikev1-user-authentication")
				}
				switch {
				case ok && strings.Contains(a.Value, "none"):
					clues = append(clues, Against(3, "the group asks for no user", a.Place))
				case spoke != nil && (hardware(spoke.Config()) || group != ""):
					clues = append(clues, For(1.8, "the hardware client's group "+tg.Name+" asks for a user (no user-authentication none)", tg.Place))
				default:
					clues = append(clues, For(0.8, "the group "+tg.Name+" asks for a user", tg.Place))
				}
				if group == "" {
					group = tg.Name
				}
			}
		}
		if group == "" {
			group = "<group>"
		}
		for _, e := range t.Ends {
			if x := refusedUsers(e.Events()); len(x) > 0 {
				clues = append(clues, Against(3, "the user's answer arrives and is refused", at(x...)...))
			}
			if x := saying(e.Events(), "had problems decrypting", "hash verification failed"); len(x) > 0 {
				clues = append(clues, Against(3, "the group key does not fit", at(x...)...))
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 1.5 }) {
			return nil // the state alone: ezvpn-xauth-stall says it
		}
		m := Match{Clues: clues, Title: "The hardware client does not pass user authentication between " + t.between(),
			Explanation: "Aggressive mode is complete, and the headend asks for user and password (XAUTH). A hardware client without a stored user waits for a person, so nothing comes back. If packets were lost instead, the large ones would be missing: captures tell.",
			Next:        []report.Next{bothEnds("separates ezvpn-user-authentication (no reply leaves the client) from path-fragments-dropped (it leaves and does not arrive)")}}
		if head != nil {
			word := "ikev1 user-authentication none"
			if head.old() {
				word = "isakmp ikev1-user-authentication none"
			}
			m.Actions = append(m.Actions, advise(head, []string{"tunnel-group " + group + " ipsec-attributes", word}, "this takes user authentication off the whole group: give hardware clients a group of their own, or store a user on the client"))
		}
		if spoke != nil && spoke.isIOS() {
			m.Actions = append(m.Actions, advise(spoke, []string{"crypto ipsec client ezvpn <name>", "username <user> password ****", "xauth userid mode local"}, "the headend's group must allow the password to be stored (save-password)"))
		} else if spoke != nil {
			m.Actions = append(m.Actions, advise(spoke, []string{"vpnclient username <user> password ****"}, "or no user at all, when the group asks for none"))
		}
		return []Match{m}
	},
}

// hardware tells whether a configuration is that of an Easy VPN hardware client.
func hardware(c *facts.Config) bool {
	_, ok := ezvpnLine(c)
	return ok
}

func ezvpnLine(c *facts.Config) (facts.Place, bool) {
	if c == nil {
		return facts.Place{}, false
	}
	if s, ok := c.Setting("vpnclient server"); ok {
		return s.Place, true
	}
	if s, ok := c.Setting("vpnclient enable"); ok && !s.No {
		return s.Place, true
	}
	for _, l := range c.Lines {
		if l.Parent < 0 && strings.HasPrefix(l.Text, "crypto ipsec client ezvpn ") {
			return facts.Place{Source: c.Source, Line: l.N, Text: l.Text}, true
		}
	}
	return facts.Place{}, false
}

// noStoredUser tells whether a hardware client's configuration holds no user.
func noStoredUser(c *facts.Config) (facts.Place, bool) {
	p, ok := ezvpnLine(c)
	if !ok || c.Partial && !strings.HasPrefix(p.Text, "vpnclient") {
		return p, false
	}
	if _, has := c.Setting("vpnclient username"); has {
		return p, false
	}
	for _, l := range c.Lines {
		if l.Parent >= 0 && strings.HasPrefix(c.Lines[l.Parent].Text, "crypto ipsec client ezvpn") && strings.HasPrefix(l.Text, "username ") {
			return p, false
		}
	}
	return p, true
}

var xauthL2L = Condition{
	ID:        "xauth-on-l2l-peer",
	Cause:     "a site-to-site peer is asked for XAUTH",
	Shows:     "IOS CONF_XAUTH for a static peer; a key without no-xauth under a map with client authentication, or an isakmp profile with it",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, disable XAUTH for L2L peers",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			c := e.Config()
			if e.isASA() {
				continue // an ASA decides by tunnel-group
			}
			var clues []Clue
			static := e.Entries()
			asked := e.inState("CONF_XAUTH")
			l2l := len(static) > 0
			key := ""
			var profile facts.Profile
			if c != nil && e.Peer.IsValid() {
				for _, m := range static {
					if p, users, who, ok := e.usersIn(m); ok {
						profile = p
						clues = append(clues, For(3, fmt.Sprintf("isakmp profile %s asks for users, and the static peer %s is in it", p.Name, e.Peer), users, who))
						continue
					}
					s, ok := c.Setting("crypto map " + m.Map + " client authentication list")
					if !ok || m.Profile != "" {
						continue
					}
					for _, k := range e.keysFor() {
						if k.Keyring != "" || k.Version == 2 {
							continue
						}
						if k.NoXAuth {
							clues = append(clues, Against(3.5, "the peer's key says no-xauth", k.Place))
						} else {
							clues = append(clues, For(3, fmt.Sprintf("crypto map %s asks for users, and the key of its static peer %s lacks no-xauth", m.Map, e.Peer), k.Place, s.Place, place2(m, "peer")))
							key = "address " + k.Peer.Addr().String()
						}
						break // the most specific key counts
					}
				}
			}
			if len(asked) > 0 {
				switch {
				case l2l:
					clues = append(clues, For(3, e.Label()+" asks the site-to-site peer for a user (CONF_XAUTH)", placesOf(asked)...))
				case c == nil && len(asked) > 0:
					clues = append(clues, For(0.9, e.Label()+" asks the peer for a user (CONF_XAUTH)", placesOf(asked)...))
				}
			}
			if x := saying(e.Events(), "need xauth", "starting xauth", "xauth request"); len(x) > 0 && l2l {
				clues = append(clues, For(1, "the debug shows XAUTH with this peer", at(x...)...))
			}
			if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 0 }) {
				continue
			}
			if e.phase2Up() {
				clues = append(clues, Against(5, "the tunnel is up", e.IPsec()[0].Place))
			} else if up, ok := StateOf(e.IKE()); ok && IsUp(up) {
				clues = append(clues, Against(2.5, "phase 1 is up", saPlace(up)))
			}
			peer := e.PeerLabel()
			if key == "" {
				key = "address " + peer
			}
			m := Match{Key: e.Label(), Clues: clues,
				Title:       e.Label() + " asks the site-to-site peer " + peer + " for a user and password (XAUTH)",
				Explanation: "The crypto map that serves remote users also holds this static peer, and its key does not exempt it from extended authentication. The peer is a router that knows no user, so the negotiation stops after phase 1 (CONF_XAUTH).",
				Actions: []report.Action{advise(e, []string{"no crypto isakmp key **** " + key, "crypto isakmp key **** " + key + " no-xauth"}, "the new negotiation uses it: clear this peer's SA, or wait for its next attempt",
					"keys in a keyring take no no-xauth: give the peer an isakmp profile without client authentication")}}
			if profile.Name != "" {
				m.Explanation = "The isakmp profile " + profile.Name + " that serves remote users (client authentication list) also takes this static peer, and within a profile there is no exception from extended authentication. The peer is a router that knows no user, so the negotiation stops after phase 1 (CONF_XAUTH)."
				m.Actions = []report.Action{advise(e, profileForPeer(e, profile, static), "the new negotiation uses it: clear this peer's SA, or wait for its next attempt")}
			}
			out = append(out, m)
		}
		return out
	},
}

// usersIn returns the isakmp profile that a static entry's peer falls into, set in the entry or
// matched by the peer's address, when it asks for users: the lines that say so and that take
// the peer in.
func (e *End) usersIn(m facts.MapEntry) (p facts.Profile, users, who facts.Place, ok bool) {
	for _, p := range e.Config().Profiles {
		if p.Kind != "isakmp" {
			continue
		}
		var asks bool
		in := m.Profile == p.Name
		users, who := facts.Place{}, m.Place
		for _, a := range p.Attrs {
			f := strings.Fields(a.Value)
			switch {
			case a.No:
			case a.Key == "client authentication":
				users, asks = a.Place, true
			case a.Key == "match identity" && len(f) > 1 && f[0] == "address" && (m.Profile == "" || in):
				addr, mask := addrOf(f[1]), netip.Addr{}
				if len(f) > 2 {
					mask = addrOf(f[2])
				}
				if net := prefixOf(addr, mask); addr == e.Peer || net.IsValid() && net.Contains(e.Peer) {
					who, in = a.Place, true
				}
			}
		}
		if in && asks {
			return p, users, who, true
		}
	}
	return facts.Profile{}, facts.Place{}, facts.Place{}, false
}

// profileForPeer are the lines that give a static peer a profile without users.
func profileForPeer(e *End, p facts.Profile, static []facts.MapEntry) []string {
	peer := e.PeerLabel()
	name := p.Name + "-L2L"
	keyring := ""
	out := []string{"crypto isakmp profile " + p.Name}
	for _, a := range p.Attrs {
		if f := strings.Fields(a.Value); a.Key == "match identity" && len(f) > 1 && f[0] == "address" && addrOf(f[1]) == e.Peer {
			out = append(out, "no match identity "+a.Value)
		} else if a.Key == "keyring" {
			keyring = firstField(a.Value)
		}
	}
	if len(out) == 1 {
		out = nil // the peer is in it by its map entry or by a wide range: the narrower match counts
	}
	out = append(out, "crypto isakmp profile "+name)
	if keyring != "" {
		out = append(out, "keyring "+keyring)
	}
	out = append(out, "match identity address "+peer+" 255.255.255.255")
	for _, m := range static {
		if m.Profile == p.Name {
			out = append(out, fmt.Sprintf("crypto map %s %d ipsec-isakmp", m.Map, m.Sequence), "set isakmp-profile "+name)
		}
	}
	return out
}

var transactionV2 = Condition{
	ID:        "transaction-mode-v2",
	Cause:     "the client speaks Mode Config V2, which the ASA does not",
	Shows:     "713904 unsupported Transaction Mode v2 version",
	Severity:  report.Major,
	Reference: "%ASA-3-713904; Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, unsupported Transaction Mode v2 version",
	Look: ofDevice("transaction-mode-v2", func(g *gateway, _ *site) []Match {
		x := saying(g.Device.Events, "unsupported transaction mode v2", "transaction mode v2 version")
		if len(x) == 0 {
			return nil
		}
		who := who(x)
		if who == "" {
			who = "a client"
		}
		return []Match{{Clues: []Clue{For(4.8, "the device ends the session because of the client's mode configuration version", at(x...)...)}, Peer: x[0].Peer,
			Title:       "The client " + who + " speaks a version of mode configuration (V2) that " + g.Label() + " does not support",
			Explanation: "Phase 1 is complete and the client begins mode configuration in the old version V2; an ASA speaks V6 only and ends the session. Nothing on the device can change that.",
			Actions:     []report.Action{advise(g.End, nil, "use a client that speaks Mode Config V6: Cisco VPN Client 4.x or later, or AnyConnect / Secure Client")}}}
	}),
}
