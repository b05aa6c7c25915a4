package conditions

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/client"
	"vpnbot/diag/report"
)

// remoteAuth are the conditions of user authentication and of limits on users.
func remoteAuth() []Condition {
	return []Condition{aaaTimeout, userAuth, simultaneousLogins, threatShun, ezvpnUser, xauthL2L, transactionV2}
}

var (
	serverIn = regexp.MustCompile(`(?i)server\s*(?:=\s*)?\(?(\d+\.\d+\.\d+\.\d+|[a-z0-9][a-z0-9.-]*\.[a-z]{2,})`)
	groupIn  = regexp.MustCompile(`(?i)(?:aaa-server|server) group ([^\s,:;]+)`)
	userIn   = regexp.MustCompile(`(?i)user\s*=\s*([^\s,:;]+)`)
)

func find(re *regexp.Regexp, evs []facts.Event) string {
	for _, ev := range evs {
		if m := re.FindStringSubmatch(ev.Text); m != nil {
			return strings.Trim(m[1], "'\".*")
		}
	}
	return ""
}

// userOf is the user a message is about.
func userOf(ev facts.Event) string {
	if ev.User != "" {
		return ev.User
	}
	return find(userIn, []facts.Event{ev})
}

var aaaTimeout = Condition{
	ID:        "aaa-timeout",
	Cause:     "the AAA server answers late or not at all",
	Shows:     "113014, 113022; show aaa-server timeouts or FAILED; captures: the XAUTH reply repeats",
	Severity:  report.Critical,
	Reference: "%ASA-4-113014, %ASA-2-113022, %RADIUS-4-RADIUS_DEAD; Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, XAUTH with RADIUS",
	Look: ofDevice("aaa-timeout", func(g *gateway, _ *site) []Match {
		var clues []Clue
		evs := g.Device.Events
		var x []facts.Event
		add := func(w float64, note string, evs []facts.Event) {
			if len(evs) > 0 {
				clues = append(clues, For(w, note, at(evs...)...))
				x = append(x, evs...)
			}
		}
		add(3.8, "the authentication server was not reached in time", withID(evs, "113014"))
		add(3.8, "the device marked its authentication server as FAILED", withID(evs, "113022"))
		add(3.6, "the RADIUS server does not answer", withID(evs, "RADIUS_DEAD", "NOSERVERS", "RADIUS_NOSERVERS"))
		if len(x) == 0 {
			add(3, "the authentication server does not answer", saying(evs, "aaa authentication server not accessible", " as failed", "radius server is not responding", "no response from (", "radius: no response", "no radius servers", "radius: timed out", "radius server timed out", "aaa server timed out", "all radius servers have failed", "request timed out for id"))
		}
		status, timeouts := map[string]facts.Counter{}, map[string][]facts.Counter{}
		for _, c := range g.readings("aaa-server") {
			switch {
			case strings.HasSuffix(c.Name, " status"):
				status[c.Name] = c
			case strings.HasSuffix(c.Name, " timeouts"):
				timeouts[c.Name] = append(timeouts[c.Name], c)
			}
		}
		server := ""
		for _, n := range sortedKeys(status) {
			if c := status[n]; hasAny(c.Text, "failed") {
				clues = append(clues, For(2.8, "show aaa-server: the server's status is FAILED", c.Place))
				server = afterFirst(strings.TrimSuffix(n, " status"))
			}
		}
		for _, n := range sortedKeys(timeouts) {
			c := timeouts[n]
			last := c[len(c)-1]
			switch {
			case len(c) > 1 && last.Value > c[0].Value:
				clues = append(clues, For(2.6, fmt.Sprintf("timeouts grow: %d, %d", c[0].Value, last.Value), c[0].Place, last.Place))
			case last.Value > 0 && len(clues) > 0:
				clues = append(clues, For(0.8, fmt.Sprintf("%d requests timed out", last.Value), last.Place))
			case last.Value >= 20:
				clues = append(clues, For(1.8, fmt.Sprintf("%d requests timed out", last.Value), last.Place))
			}
			if server == "" && last.Value > 0 {
				server = afterFirst(strings.TrimSuffix(n, " timeouts"))
			}
		}
		if len(clues) == 0 {
			return nil
		}
		if s := find(serverIn, x); s != "" {
			server = s
		}
		grp := find(groupIn, x)
		var host facts.AAAServer
		if c := g.Config(); c != nil {
			for _, a := range c.AAAServers {
				if a.Host != "" && (a.Host == server || server == "" || a.Group == grp) {
					host = a
					if a.Host == server {
						break
					}
				}
			}
		}
		if host.Host != "" {
			if server == "" {
				server = host.Host
			}
			if grp == "" {
				grp = host.Group
			}
			if host.Timeout > 0 && host.Timeout < 10 {
				clues = append(clues, For(0.8, fmt.Sprintf("it has %d s to answer", host.Timeout), host.Place))
			}
		}
		if y := withID(evs, "113005"); len(y) > len(x) {
			clues = append(clues, Against(1.5, "the server does answer, with a refusal", at(y...)...))
		}
		m := Match{Clues: clues}
		for _, ev := range x {
			if ev.Peer.IsValid() && g.peers[ev.Peer] {
				m.Peer = ev.Peer
			}
		}
		if server == "" {
			server = "its authentication server"
		}
		m.Title = fmt.Sprintf("%s gets no answer from %s in time, so users cannot log in", g.Label(), server)
		var users []string
		for _, ev := range x {
			if u := userOf(ev); u != "" && !slices.Contains(users, u) && len(users) < 3 {
				users = append(users, u)
			}
		}
		if len(users) > 0 {
			m.Title += " (" + strings.Join(users, ", ") + ")"
		}
		m.Explanation = "Phase 1 passes and the user authentication waits for the AAA server until the client gives up. The server is too slow, not reachable, or does not know this device (a wrong shared secret looks like silence). A server that refuses would answer at once: that is another fault."
		if grp == "" {
			grp = "<group>"
		}
		if g.isIOS() {
			m.Actions = append(m.Actions, advise(g.End, []string{"radius-server timeout 10", "ping " + server, "show aaa servers"}, "compare the shared secret on both sides; debug radius with one test user", "isolate with local authentication"))
		} else {
			ifc := ""
			if host.Interface != "" {
				ifc = " (" + host.Interface + ")"
			}
			m.Actions = append(m.Actions, advise(g.End, []string{"aaa-server " + grp + ifc + " host " + server, "timeout 10", "ping " + server, "show aaa-server " + grp},
				"isolate with LOCAL authentication: tunnel-group <group> general-attributes, authentication-server-group LOCAL", "compare the shared secret on both sides; debug radius with one test user",
				"test aaa-server authentication "+grp+" host "+server+": by a person, it needs a password"))
		}
		m.Next = append(m.Next, readAlso("show aaa-server "+grp+" twice, and the server's own log", "tells a silent server (aaa-timeout) from one that refuses (user-auth-backend)"))
		return []Match{m}
	}),
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// afterFirst drops the first word: "RADIUS 192.0.2.9" is 192.0.2.9.
func afterFirst(s string) string {
	if _, rest, ok := strings.Cut(s, " "); ok {
		return rest
	}
	return s
}

// refusedUsers returns the messages that a VPN user was refused: without administrators at
// SSH, HTTPS or console, and without users who got in with a later try.
func refusedUsers(evs []facts.Event) []facts.Event {
	admin, in := map[string]bool{}, map[string]int{}
	for i, ev := range evs {
		switch ev.ID {
		case "605004", "605005", "611102", "611101", "308001", "502103", "111008", "111010", "SEC_LOGIN-4-LOGIN_FAILED", "SEC_LOGIN-5-LOGIN_SUCCESS":
			for _, u := range quotedNames(ev.Text) {
				admin[u] = true
			}
		case "113012", "113004", "113009", "113039", "713228", "722051", "737016", "751025", "746012":
			if u := userOf(ev); u != "" {
				in[u] = i + 1
			}
		}
	}
	var out []facts.Event
	for i, ev := range evs {
		ok := false
		switch ev.ID {
		case "113015", "113005", "713167", "713166", "713198", "751011", "713060", "611311":
			ok = true
		case "113021":
			ok = true
		default:
			ok = (ev.Kind == "debug" || ev.Kind == "ios" || ev.ID == "" || ev.Kind == "console") && hasAny(ev.Text, "aaa user authentication rejected", "has failed user authentication", "remote peer has failed user authentication", "user authentication failed", "xauth: authentication failed", "xauth authentication failed", "xauth failed", "failed xauth", "authentication failed: user", "access-reject", "user authentication failure", "authentication rejected: reason = ")
			ok = ok && !hasAny(ev.Text, "simultaneous logins")
		}
		if !ok {
			continue
		}
		u := userOf(ev)
		if u != "" && (admin[u] || in[u] > i+1) {
			continue
		}
		out = append(out, ev)
	}
	return out
}

// quotedNames returns the user names in a login message.
func quotedNames(s string) []string {
	var out []string
	for _, k := range []string{"user \"", "user '", "User '", "Uname: ", "user=", "user: ", "[user: ", "user = "} {
		if _, v, ok := strings.Cut(s, k); ok {
			if i := strings.IndexAny(v, "\"', ]:"); i > 0 {
				v = v[:i]
			}
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

var userAuth = Condition{
	ID:        "user-auth-backend",
	Cause:     "user authentication behind the gateway fails",
	Shows:     "113015, 113005, 713167, 713166, 713198, 751011; Reason 413; Windows error 691; captures: XAUTH ends after its status",
	Severity:  report.Critical,
	Prefer:    []string{"aaa-timeout", "simultaneous-logins", "tunnel-group-policy-conflict", "address-pool-exhausted"},
	Reference: "%ASA-6-113005, %ASA-6-113015, %ASA-3-713167, %ASA-3-713198; Cisco VPN Client Reason 413",
	Look: ofBundle("user-auth-backend", func(s *site) []Match {
		var out []Match
		told := s.reason("413")
		for _, g := range s.gateways {
			x := refusedUsers(g.Device.Events)
			if len(x) == 0 {
				continue
			}
			strong := withID(x, "713167", "713166", "713198", "751011", "713060", "611311")
			w := 2.2
			switch {
			case len(strong) > 0:
				w = 3.8
			case len(x) > 2:
				w = 3.4
			case len(x) > 1:
				w = 2.8
			}
			clues := []Clue{For(w, g.Label()+" refuses the user", at(x...)...)}
			if len(told) > 0 {
				clues = append(clues, For(1, "the client says so", at(told...)...))
			}
			if y := s.reason("433"); len(y) > 0 {
				clues = append(clues, For(0.6, "the client was cut off without a reason", at(y...)...))
			}
			m := Match{Key: g.Label(), Clues: clues}
			var users []string
			for _, ev := range x {
				if u := userOf(ev); u != "" && !slices.Contains(users, u) {
					users = append(users, u)
				}
				if ev.Peer.IsValid() && g.peers[ev.Peer] && !m.Peer.IsValid() {
					m.Peer = ev.Peer
				}
			}
			server := find(serverIn, x)
			local := hasAny(x[0].Text, "local database") || len(withID(x, "113015")) > 0
			lock := len(withID(x, "713060")) > 0
			m.Title = "User authentication fails on " + g.Label()
			if len(users) > 0 {
				m.Title += " for " + strings.Join(users[:min(3, len(users))], ", ")
				if len(users) > 3 {
					m.Title += fmt.Sprintf(" and %d others", len(users)-3)
				}
			}
			if p := m.Peer; p.IsValid() {
				m.Title += " (" + p.String() + ")"
			}
			m.Explanation = "IKE, group key and path are in order: the device talks with the user's client and then refuses the user. "
			switch {
			case lock:
				m.Explanation += "The user belongs to another group than the one that was dialled (group-lock)."
			case local:
				m.Explanation += "The decision was made in the device's own user database (LOCAL), so no server is involved: a wrong password, or a user that is not there."
			case server != "":
				m.Explanation += "The server " + server + " answered with a refusal, so it is reached and in time."
			default:
				m.Explanation += "The answer was a refusal, not a silence."
			}
			if len(users) == 1 {
				m.Explanation += " Only this user is refused: password, account or group first."
			} else if len(users) > 1 {
				m.Explanation += " Several users are refused: look at the server, its shared secret or the directory behind it first."
			}
			m.Actions = []report.Action{authSteps(g, server, local)}
			m.Next = []report.Next{readAlso("the reject's reason in the RADIUS or directory log", "tells a wrong password from a wrong shared secret or policy")}
			out = append(out, m)
		}
		if windows := withID(s.client, client.Windows691); len(out) == 0 && len(windows) > 0 {
			out = append(out, Match{Clues: []Clue{For(3, "Windows says that the user was refused", at(windows...)...)},
				Title:       "A VPN user is refused: Windows error 691, user name or password not accepted",
				Explanation: "Windows got as far as the sign-in inside the tunnel (L2TP in IPsec, PPP), so IKE, the pre-shared key and ESP are in order; the headend or the server behind it refused the user, or offers none of the client's methods (PAP, CHAP, MS-CHAP v2).",
				Actions:     []report.Action{authSteps(&gateway{End: &End{Device: &facts.Device{}}}, "", false)},
				Next:        []report.Next{readAlso("the log of the headend or its authentication server of that moment", "a refusal names password, account or method; no entry means that another server was asked")}})
		}
		if len(out) == 0 && len(told) > 0 {
			w := 2.4
			if len(s.said.of(fewUsers)) > 0 {
				w = 1.4
			}
			out = append(out, Match{Clues: []Clue{For(w, "the client says that user authentication failed", at(told...)...)},
				Title:       "A VPN user is refused: Reason 413, user authentication failed",
				Explanation: "The client reached the headend and passed its group key; the headend refused the user. One user: password or account. All users since a moment: the authentication server. The first ones connect and the next do not: a limit of sessions.",
				Actions:     []report.Action{authSteps(&gateway{End: &End{Device: &facts.Device{}}}, "", false)},
				Next:        []report.Next{readAlso("the headend's log of that moment", "113005 or 113015 is a refusal, 113014 a silent server (aaa-timeout), 113013 or 713239 a limit (simultaneous-logins)")}})
		}
		return out
	}),
}

func authSteps(g *gateway, server string, local bool) report.Action {
	grp := "<group>"
	if c := g.Config(); c != nil {
		for _, a := range c.AAAServers {
			if a.Host != "" && (a.Host == server || server == "") {
				grp, server = a.Group, a.Host
				break
			}
		}
	}
	if server == "" {
		server = "<server>"
	}
	steps := []string{"look for the refusal and its reason in the RADIUS log (NPS, ISE, ACS); with Active Directory also TLS to the domain controller", "one user fails: password or account; all fail since a moment: server, shared secret or policy"}
	if local {
		return advise(g.End, []string{"show running-config username"}, append([]string{"set the user's password again (a person does it)"}, steps[1:]...)...)
	}
	if g.isIOS() {
		return advise(g.End, []string{"show aaa servers", "debug radius authentication"}, append(steps, "try local authentication to isolate")...)
	}
	return advise(g.End, []string{"show aaa-server " + grp}, append(steps, "test aaa-server authentication "+grp+" host "+server+": by a person, it needs a password", "try LOCAL to isolate: tunnel-group <group> general-attributes, authentication-server-group LOCAL")...)
}

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
