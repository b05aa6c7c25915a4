package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

var simultaneousLogins = Condition{
	ID:       "simultaneous-logins",
	Cause:    "the limit of simultaneous sessions is reached",
	Shows:    "113013, 713239, 113029; Reason 413 after the limit; vpn-simultaneous-logins",
	Severity: report.Major, Prefer: []string{"host-license-limit"},
	Reference: "%ASA-5-113013, %ASA-4-113029, %ASA-3-713239; Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, more than three clients cannot connect",
	Look: ofBundle("simultaneous-logins", func(s *site) []Match {
		var out []Match
		few := s.said.of(fewUsers)
		told := s.reason("413")
		for _, g := range s.gateways {
			var clues []Clue
			evs := g.Device.Events
			x := saying(evs, "simultaneous logins exceeded", "simultaneous login", "maximum tunnel count has been reached", "session limit of", "session limit has been reached", "max session limit", "maximum session limit", "maximum number of sessions", "max-logins", "max-users", "maximum simultaneous", "maximum number of users", "maximum number of logins")
			for _, ev := range withID(evs, "713239", "113029") {
				if !slices.ContainsFunc(x, func(o facts.Event) bool { return o.Place.Source == ev.Place.Source && o.Place.Line == ev.Place.Line }) {
					x = append(x, ev)
				}
			}
			x = slices.DeleteFunc(x, func(ev facts.Event) bool { return hasAny(ev.Text, "port preempted") })
			if len(x) > 0 {
				clues = append(clues, For(4.4, "a limit of sessions is reached", at(x...)...))
			}
			var grp *group
			if len(x) > 0 {
				grp = g.of(x[0].Group)
			} else {
				grp = g.of("")
			}
			limit := ""
			if grp != nil {
				if a, ok := grp.get("vpn-simultaneous-logins", "max-logins", "max-users"); ok && !a.No {
					limit = a.Value
					if len(x)+len(few) > 0 {
						clues = append(clues, For(0.6, "the group "+grp.title()+" allows "+a.Value, a.Place))
					}
				}
			}
			for _, key := range []string{"vpn-sessiondb max-session-limit", "vpn-sessiondb max-other-vpn-limit", "vpn-sessiondb max-anyconnect-premium-or-essentials-limit", "vpn-sessiondb max-webvpn-session-limit", "vpn-sessiondb"} {
				v, ok := g.Config().Setting(key)
				n := numberIn(v.Value)
				if !ok || v.No || n == 0 {
					continue
				}
				w := 0.0
				switch {
				case len(x) > 0:
					w = 0.6
				case len(few) > 0 || len(told) > 0:
					w = 1.6
				}
				if used := len(g.Device.Sessions); used >= n {
					w = max(w, 2.6)
				}
				if w > 0 {
					clues = append(clues, For(w, fmt.Sprintf("the device allows %d sessions", n), v.Place))
					if limit == "" {
						limit = strconv.Itoa(n)
					}
				}
			}
			if len(few) > 0 && (g.remoteAccess() || len(clues) > 0) {
				w := 1.6
				if len(told) > 0 {
					w = 2.6
				}
				clues = append(clues, For(w, "the first users connect and the next do not", append(few, at(told...)...)...))
			}
			if len(clues) == 0 {
				continue
			}
			m := Match{Key: g.Label(), Clues: clues}
			user := ""
			for _, ev := range x {
				if user == "" {
					user = userOf(ev)
				}
				if ev.Peer.IsValid() && g.peers[ev.Peer] {
					m.Peer = ev.Peer
				}
			}
			m.Title = "A limit of simultaneous VPN sessions is reached on " + g.Label()
			if user != "" {
				m.Title += " for " + user
			}
			if limit != "" {
				m.Title += " (limit " + limit + ")"
			}
			m.Explanation = "User and password are right; the session is refused because as many as allowed are open already. Three per user is the default that a group policy inherits, and stale sessions count too."
			if limit == "0" {
				m.Explanation = "vpn-simultaneous-logins 0 allows no session at all: every login of this group is refused, whatever the password."
			}
			m.Actions = []report.Action{limitSteps(g, grp)}
			out = append(out, m)
		}
		if len(out) > 0 {
			return out
		}
		if x := saying(s.client, "simultaneous logins exceeded"); len(x) > 0 {
			m := Match{Clues: []Clue{For(4.2, "a limit of sessions is reached", at(x...)...)}, Title: "A limit of simultaneous VPN sessions is reached", Explanation: "The headend refuses the session because the user (or the group) has as many open as allowed. Stale sessions count too.", Actions: []report.Action{advise(nil, []string{"group-policy <gp> attributes", "vpn-simultaneous-logins 20"})}}
			if u := userOf(x[0]); u != "" {
				m.Title += " for " + u
			}
			return []Match{m}
		}
		if len(few) > 0 && len(told) > 0 {
			return []Match{{Clues: []Clue{For(3.4, "the first users connect, the next are refused with Reason 413", append(few, at(told...)...)...)},
				Title:       "The headend's limit of simultaneous VPN sessions is reached (Reason 413)",
				Explanation: "The first sessions come up and the next is refused: that is a limit, not a wrong password. Three per user is the default that a group policy inherits.",
				Actions:     []report.Action{advise(nil, []string{"group-policy <gp> attributes", "vpn-simultaneous-logins 20", "no vpn-sessiondb max-session-limit"}, "stale sessions count too: log them off")}}}
		}
		return nil
	}),
}

func numberIn(s string) int {
	for f := range strings.FieldsSeq(s) {
		if n, err := strconv.Atoi(f); err == nil {
			return n
		}
	}
	return 0
}

func limitSteps(g *gateway, grp *group) report.Action {
	if g.isIOS() {
		name := "<group>"
		if grp != nil {
			name = grp.name
		}
		return advise(g.End, []string{"crypto isakmp client configuration group " + name, "max-logins 10", "max-users 100"}, "stale sessions count too: show crypto session, then clear crypto session remote <peer> for dead ones")
	}
	gp := "<gp>"
	if grp != nil && grp.policy != "" {
		gp = grp.policy
	}
	total := "no vpn-sessiondb max-other-vpn-limit"
	if g.old() {
		total = "no vpn-sessiondb max-session-limit"
	}
	return advise(g.End, []string{"group-policy " + gp + " attributes", "vpn-simultaneous-logins 20", total}, "3 is the default that a group policy inherits; a username's own attributes stand above it", "stale sessions count too: show vpn-sessiondb remote, then log off the dead ones by a person")
}

var threatShun = Condition{
	ID:        "threat-detection-shun",
	Cause:     "threat detection shuns a VPN peer",
	Shows:     "733102, 401004 with the peer's address; show shun, show threat-detection shun",
	Severity:  report.Critical,
	Reference: "%ASA-4-733101, %ASA-4-733102, %ASA-4-401004; Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, Reason 433",
	Look: ofDevice("threat-detection-shun", func(g *gateway, s *site) []Match {
		evs := g.Device.Events
		type target struct {
			clues []Clue
			vpn   bool
		}
		found := map[netip.Addr]*target{}
		var order []netip.Addr
		get := func(a netip.Addr) *target {
			if found[a] == nil {
				found[a] = &target{vpn: g.peers[a]}
				order = append(order, a)
			}
			return found[a]
		}
		by := map[netip.Addr]map[string][]facts.Event{}
		for _, ev := range withID(evs, "733102", "733101", "401004", "401002") {
			// The host that is shunned stands first in all of them.
			if len(ev.Addrs) == 0 {
				continue
			}
			a := ev.Addrs[0]
			if by[a] == nil {
				by[a] = map[string][]facts.Event{}
			}
			if get(a); hasAny(ev.Text, "/500", "/4500", "port 500", "isakmp") {
				found[a].vpn = true
			}
			by[a][ev.ID] = append(by[a][ev.ID], ev)
		}
		for _, c := range append(g.readings("shun"), g.readings("threat-detection")...) {
			if a, err := netip.ParseAddr(c.Name); err == nil {
				t := get(a)
				if c.Group == "shun" {
					t.clues = append(t.clues, For(3.4, a.String()+" is in the shun list", c.Place))
				} else {
					t.clues = append(t.clues, For(0.8, a.String()+" is listed by scanning-threat", c.Place))
				}
			}
		}
		shuns := false
		var where facts.Place
		for _, v := range allSettings(g.Config(), "threat-detection scanning-threat") {
			if !v.No && strings.Contains(v.Value, "shun") && !strings.Contains(v.Value, "except") {
				shuns, where = true, v.Place
			}
		}
		trouble := append(s.reason("433"), s.reason("412")...)
		var out []Match
		for _, a := range order {
			t := found[a]
			for _, id := range []string{"733102", "401002", "401004", "733101"} {
				x := by[a][id]
				if len(x) == 0 {
					continue
				}
				switch id {
				case "733102", "401002":
					t.clues = append(t.clues, For(3.6, a.String()+" was put on the shun list", at(x...)...))
				case "401004":
					t.clues = append(t.clues, For(3.4, "packets from "+a.String()+" are dropped because it is shunned", at(x...)...))
				case "733101":
					w := 0.8
					if shuns {
						w = 2
					}
					t.clues = append(t.clues, For(w, a.String()+" is taken for an attacker", at(x...)...))
				}
			}
			if len(t.clues) == 0 {
				continue
			}
			if shuns {
				t.clues = append(t.clues, For(0.6, "scanning-threat shuns without exceptions", where))
			}
			if p := s.said.mentioning(" " + a.String()); len(p) > 0 || slices.ContainsFunc(s.client, func(ev facts.Event) bool { return slices.Contains(ev.Addrs, a) }) {
				t.vpn = true
				t.clues = append(t.clues, For(0.4, "users name this address", p...))
			}
			if !t.vpn {
				// A stranger who scans is what shunning is for.
				if len(trouble) > 0 {
					t.clues = append(t.clues, For(0.4, "a client was cut off", at(trouble...)...), Against(4, "the address is no VPN peer that is known here"))
				} else {
					t.clues = append(t.clues, Against(9, "the address is no VPN peer that is known here"))
				}
			}
			ip := a.String()
			cmds := []string{"clear threat-detection shun " + ip, "no shun " + ip, "threat-detection scanning-threat shun except ip-address " + ip + " 255.255.255.255"}
			out = append(out, Match{Key: ip, Peer: a, Clues: t.clues,
				Title:       "Threat detection of " + g.Label() + " shuns the VPN peer " + ip,
				Explanation: "The device took the peer's repeated packets for an attack and drops everything from " + ip + ", IKE included, so the peer gets no answer or is cut off in the middle. The peer is no attacker, but why it repeats so much is a question of its own: look at the path and at its settings next.",
				Actions:     []report.Action{advise(g.End, cmds, "the exception keeps the protection for everybody else", "turning threat detection off is a test, not a repair: it removes the protection against scanners")},
				Next:        []report.Next{readAlso("the peer's state and log", "says why it retransmits so much")}})
		}
		return out
	}),
}

// allSettings returns every line with that key.
func allSettings(c *facts.Config, key string) []facts.Setting {
	var out []facts.Setting
	if c != nil {
		for _, s := range c.Settings {
			if s.Key == key {
				out = append(out, s)
			}
		}
	}
	return out
}
