package conditions

import (
	"fmt"
	"regexp"
	"slices"
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
	Look: ofDevice("aaa-timeout", func(g *gateway, s *site) []Match {
		if !s.takesUsers() && !slices.ContainsFunc(g.Device.IKE, func(sa facts.IKESA) bool { return hasAny(sa.State, "xauth", "conf_") }) {
			return nil // the server's users are those who manage the device
		}
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
		if y := withID(evs, "RADIUS_DEAD", "RADIUS_ALIVE"); len(y) == 2 && strings.HasSuffix(y[1].ID, "RADIUS_ALIVE") {
			clues = append(clues, Against(2, "it was back, and has been since", y[1].Place))
		}
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
		case "605004", "611102", "308001", "SEC_LOGIN-4-LOGIN_FAILED":
			// Only a login that was denied on the device itself explains a refusal: people who
			// manage the device are VPN users too.
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
		case "113015", "113005", "113021", "713167", "713166", "713198", "751011", "713060", "611311":
			ok = true
		default:
			ok = (ev.Kind == "debug" || ev.Kind == "ios" || ev.ID == "" || ev.Kind == "console") && hasAny(ev.Text, "aaa user authentication rejected", "has failed user authentication", "remote peer has failed user authentication", "user authentication failed", "xauth: authentication failed", "xauth authentication failed", "xauth failed", "failed xauth", "authentication failed: user", "access-reject", "user authentication failure", "authentication rejected: reason = ")
			ok = ok && !hasAny(ev.Text, "simultaneous logins")
		}
		if !ok {
			continue
		}
		u := userOf(ev)
		vpn := slices.Contains(vpnRefusals, ev.ID)
		if u != "" && (admin[u] && !vpn || in[u] > i+1) {
			continue
		}
		out = append(out, ev)
	}
	return out
}

// vpnRefusals are the messages that only a VPN user's refusal causes.
var vpnRefusals = []string{"713167", "713166", "713198", "751011", "713060", "611311"}

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
			strong := withID(x, vpnRefusals...)
			w := 2.2
			switch {
			case len(strong) > 0:
				w = 3.8
			case len(x) > 2:
				w = 3.4
			case len(x) > 1:
				w = 2.8
			}
			if len(strong) == 0 && !s.takesUsers() {
				continue // logins of those who manage the device, or of who tries to
			}
			clues := []Clue{For(w, g.Label()+" refuses the user", at(x...)...)}
			if len(x) == 1 && len(strong)+len(told) == 0 && g.Config() == nil && slices.ContainsFunc(g.Device.IKE, func(sa facts.IKESA) bool { return IsUp(sa) && sa.Type == "L2L" }) {
				clues = append(clues, Against(1.4, "one login beside site-to-site tunnels that work"))
			}
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
