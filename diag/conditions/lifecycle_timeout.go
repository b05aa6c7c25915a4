package conditions

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// timeoutWords are the reasons of a session that the device ended by its own clock.
var timeoutWords = []string{"idle timeout", "max time exceeded", "maximum time", "idle-timeout", "session timeout", "idle timer"}

var idleTimeout = Condition{
	ID:        "sa-idle-timeout",
	Cause:     "the tunnel is torn down by an idle or session timeout",
	Shows:     "113019, 713050 or 713259 with the timeout as reason; vpn-idle-timeout, vpn-session-timeout, security-association idle-time",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, idle/session timeout; %ASA-4-113019, %ASA-5-713050, %ASA-5-713259",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			for _, l := range e.lives() {
				if m, ok := e.timedOut(t, l); ok {
					out = append(out, m)
				}
			}
		}
		for _, d := range t.Clients {
			if m, ok := clientTimedOut(t, d); ok {
				out = append(out, m)
			}
		}
		return out
	},
}

// timedOut weighs one life against idle and session timeout.
func (e *End) timedOut(t *Tunnel, l life) (Match, bool) {
	var clues []Clue
	session := false // the session timeout, not the idle timeout
	if x := l.because(timeoutWords...); len(x) > 0 {
		session = hasAny(x[0].why, "max time", "maximum time", "session timeout")
		w := 4.4
		if len(x) > 1 {
			w = 4.8
		}
		clues = append(clues, For(w, fmt.Sprintf("%s ended the session of %s itself: %s", e.Label(), l.label(), x[0].why), at(events(x)...)...))
	}
	idle, idlePlace, hasIdle := e.minutes(l, "vpn-idle-timeout")
	max, maxPlace, hasMax := e.minutes(l, "vpn-session-timeout")
	// Without the reason: sessions that last just as long as a configured timeout.
	downs := l.of(wentDown)
	if len(clues) == 0 && len(downs) > 0 {
		spans := l.spans()
		fits := func(want time.Duration) int {
			n := 0
			for _, d := range spans {
				if near(d, want) {
					n++
				}
			}
			return n
		}
		switch {
		case hasMax && fits(max) > 0 && fits(max) == len(spans):
			session = true
			clues = append(clues, For(2.6+0.8*float64(min(len(spans), 2)), fmt.Sprintf("every session lasts %s, the configured vpn-session-timeout", about(max)), append(at(events(downs)...), maxPlace)...))
		case hasIdle && fits(idle) > 0 && fits(idle) == len(spans):
			clues = append(clues, For(2.0+0.6*float64(min(len(spans), 3)), fmt.Sprintf("the sessions end after %s, the configured vpn-idle-timeout", about(idle)), append(at(events(downs)...), idlePlace)...))
		case !hasIdle && !hasMax && len(l.because("peer terminate")) > 0 && fits(30*time.Minute) > 0 && fits(30*time.Minute) == len(spans):
			clues = append(clues, For(2.2+0.5*float64(min(len(spans), 3)), "the sessions end after 30 min, the default idle timeout of an ASA, at the peer's side", at(events(downs)...)...))
		}
	}
	if s, ok := idleTime(e); ok {
		ios := e.isIOS()
		var fitting []facts.Event
		for _, m := range downs {
			if m.why == "" || hasAny(m.why, "idle") {
				fitting = append(fitting, m.ev)
			}
		}
		if ios && len(fitting) > 0 && len(l.of(lostPeer)) == 0 {
			long := true
			for _, d := range l.spans() {
				long = long && d >= seconds(s.Value)-5*time.Second
			}
			if long {
				clues = append(clues, For(1.8, "the session ends with no reason but silence", at(fitting...)...), For(2.6, "IPsec SAs without traffic are deleted after "+s.Value+" s", s.Place))
			}
		}
	}
	if len(clues) == 0 {
		return Match{}, false
	}
	if hasIdle && idle > 0 && !session {
		clues = append(clues, For(0.8, "the idle timeout that applies", idlePlace))
	}
	if hasMax && max > 0 && session {
		clues = append(clues, For(0.8, "the session timeout that applies", maxPlace))
	}
	if x := l.of(lostPeer); len(x) > 0 && len(l.because(timeoutWords...)) == 0 {
		clues = append(clues, Against(3, "contact was lost: no timeout"))
	}
	what, attr := "idle timeout", "vpn-idle-timeout"
	if session {
		what, attr = "session timeout", "vpn-session-timeout"
	}
	m := Match{Key: l.who, Clues: clues,
		Title: fmt.Sprintf("%s ends the tunnel of %s by its %s", e.Label(), l.label(), what),
		Explanation: fmt.Sprintf("The session did not fail: the %s of the group policy ran out and the device took it down on purpose. "+
			"The default idle timeout of an ASA is 30 minutes; the next traffic, or the user, brings the tunnel back. Nothing was lost on the path and no peer fell silent.", what)}
	if session {
		m.Explanation += " It ends after its full time even under load."
	} else if l.user != "" {
		m.Explanation += " With everything tunnelled a client's own chatter keeps a session busy: then look at the session timeout."
	}
	switch {
	case e.isIOS():
		m.Actions = []report.Action{advise(e, []string{"no crypto ipsec security-association idle-time"}, "or a longer time; inside a crypto map entry: no set security-association idle-time")}
	default:
		_, name := e.policyOf(l)
		if name == "" {
			name = "<gp>"
		}
		m.Actions = []report.Action{advise(e, []string{"group-policy " + name + " attributes", attr + " none"},
			"a longer time in place of none keeps forgotten sessions from staying for ever", "the group policy that the tunnel-group really uses (DfltGrpPolicy when it names none); username attributes override it")}
		if e.Config() == nil {
			m.Next = []report.Next{readAlso("the configuration (tunnel-group, group-policy)", "names the policy and its timeout")}
		}
	}
	return m, true
}

// idleTime is IOS's idle timer of IPsec SAs, global or of a crypto map entry.
func idleTime(e *End) (facts.Setting, bool) {
	c := e.Config()
	if s, ok := c.Setting("crypto ipsec security-association idle-time"); ok && !s.No {
		return s, true
	}
	for _, m := range e.Entries() {
		if s, ok := c.Setting(fmt.Sprintf("crypto map %s %d set security-association idle-time", m.Map, m.Sequence)); ok && !s.No {
			return s, true
		}
	}
	return facts.Setting{}, false
}

// seconds reads a number of seconds; 0 when it is none.
func seconds(s string) time.Duration {
	var n int
	if _, err := fmt.Sscan(strings.TrimSpace(s), &n); err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// clientTimedOut: a client's log in which the gateway ends the session with no reason after
// just the default idle timeout.
func clientTimedOut(t *Tunnel, d *facts.Device) (Match, bool) {
	var up, end *facts.Event
	for i := range d.Events {
		ev := &d.Events[i]
		switch {
		case hasAny(ev.Text, "max time exceeded", "idle timeout", "maximum session time", "inactivity timeout") && !hasAny(ev.Text, "idle timeout:", "idle timeout ="):
			return Match{Key: "client", Clues: []Clue{For(4.2, "the client is told so", ev.Place)},
				Title:       "The VPN gateway ends the client's session by its timeout",
				Explanation: "The gateway took the session down on purpose when its idle or session timeout ran out. " + ev.Text,
				Actions:     []report.Action{advise(nil, []string{"group-policy <gp> attributes", "vpn-idle-timeout none", "vpn-session-timeout none"}, "the group policy that the tunnel-group really uses (DfltGrpPolicy when it names none); username attributes override it")}}, true
		case up == nil && hasAny(ev.Text, "vpn session established", "established phase 1 sa", "secure connection established", "tunnel established", "mode config established", "loading ipsec sa"):
			up = ev
		case hasAny(ev.Text, "ike_delete_unspecified"):
			end = ev
		}
	}
	if end == nil {
		return Match{}, false
	}
	var clues []Clue
	if up != nil && up.HasTime && end.HasTime && near(end.Time.Sub(up.Time), 30*time.Minute) {
		clues = append(clues, For(4.2, "the gateway deletes the SA 30 min after the connection: the default idle timeout", up.Place, end.Place))
	} else if x := t.said("30 min", "half an hour", "halbe stunde", "halben stunde", "30 mn", "demi-heure"); len(x) > 0 {
		clues = append(clues, For(1.6, "the gateway deleted the SA without a reason", end.Place), For(1.8, "people say: after 30 minutes", x...))
	}
	if len(clues) == 0 {
		return Match{}, false
	}
	return Match{Key: "client", Clues: clues,
		Title:       "The VPN gateway ends the client's session after 30 idle minutes",
		Explanation: "The gateway deletes the SA without naming a reason just when the default idle timeout of 30 minutes runs out. The client and the path are fine.",
		Actions:     []report.Action{advise(nil, []string{"group-policy <gp> attributes", "vpn-idle-timeout none"}, "the group policy that the tunnel-group really uses (DfltGrpPolicy when it names none); username attributes override it")},
		Next:        []report.Next{readAlso("the gateway's log (113019) and group policy", "113019 names the reason")}}, true
}

// The peer's own words for an end that somebody wanted.
var byPeerWords = []string{"peer terminate", "user requested", "peer request", "peer terminated", "receive delete", "received delete", "peer deleted"}

var peerDeleted = Condition{
	ID:       "peer-deleted-sa",
	Cause:    "the peer closed the tunnel on purpose",
	Shows:    "713050 Peer Terminate, 113019 User Requested; a client's PEER_DELETE-IKE_DELETE_UNSPECIFIED; captures: a delete and no new attempt",
	Severity: report.Minor,
	Prefer: []string{"sa-idle-timeout", "keepalive-mismatch", "lifetime-mismatch", "flows-lost-on-rekey", "user-auth-backend", "crypto-acl-mismatch", "transform-set-mismatch", "pfs-mismatch", "tunnel-group-policy-conflict",
		"aaa-timeout", "address-pool-exhausted", "pool-network-or-broadcast-address", "simultaneous-logins", "transaction-mode-v2", "threat-detection-shun"},
	Reference: "%ASA-5-713050 Connection terminated for peer … Reason: Peer Terminate; %ASA-4-113019 Reason: User Requested",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			for _, l := range e.lives() {
				x := l.because(byPeerWords...)
				if len(x) == 0 {
					// A debug line names no peer: the end that follows it does.
					for _, y := range saying(e.Events(), "received delete", "processing delete payload", "receive delete") {
						for _, m := range l.of(wentDown) {
							if y.Kind == "debug" && m.ev.Place.Source == y.Place.Source && m.ev.Place.Line >= y.Place.Line && m.ev.Place.Line-y.Place.Line <= 8 {
								m.why = "a delete from the peer"
								x = append(x, moment{step: wentDown, ev: y, why: m.why}, m)
								break
							}
						}
					}
				}
				if len(x) == 0 {
					continue
				}
				last := x[len(x)-1]
				clues := []Clue{For(3.4, fmt.Sprintf("%s: the other side closed the tunnel (%s)", l.label(), last.why), at(events(x)...)...)}
				if l.user != "" {
					// Users log off all day. It is an answer only where nothing else is asked.
					clues = append(clues, Against(1.2, "a user who logs off is no incident"))
					if t.anyTraffic() || e.someUp() {
						clues = append(clues, Against(2, "tunnels of this device work"))
					}
				}
				if d, ok := l.backAfter(last); ok && d < time.Minute {
					clues = append(clues, Against(3, "a new negotiation followed within seconds: a rekey"))
				}
				if sas := e.IKE(); slices.ContainsFunc(sas, IsUp) && (!l.peer.IsValid() || e.Mine(l.peer)) {
					clues = append(clues, Against(2.5, "the tunnel is up again"))
				} else if _, asked := e.askedIKE(); asked && len(sas) == 0 {
					clues = append(clues, For(0.8, "no SA and no new attempt since", last.ev.Place))
				}
				if len(saying(e.Events(), "had problems decrypting", "no_proposal_chosen", "no proposal chosen", "proposals found unacceptable", "no matching crypto map", "policy not found")) > 0 {
					clues = append(clues, Against(2.5, "the peer gave up after a refusal"))
				}
				side := "the peer " + l.label()
				if l.user != "" {
					side = l.label()
				}
				out = append(out, Match{Key: l.who, Clues: clues,
					Title:       fmt.Sprintf("The tunnel to %s was closed on purpose by %s", e.Label(), side),
					Explanation: "The other side sent a delete: somebody there logged off, cleared the SA, or changed the configuration. It is no fault of this device or of the path, and no new attempt was made since.",
					Actions:     []report.Action{harmless("nothing to repair here; ask the other side why it closed the tunnel")},
					Next:        []report.Next{readAlso("the other side's log of that moment", "says who or what closed the tunnel")}})
			}
		}
		for _, d := range t.Clients {
			if m, ok := deletedByGateway(d); ok {
				out = append(out, m)
			}
		}
		return out
	},
}

// deletedByGateway reads a client's log: the gateway's delete ended a connection that was up.
// One that ends before it is up is a refusal, and the gateway's log has its reason.
func deletedByGateway(d *facts.Device) (Match, bool) {
	var was, gone []facts.Event
	for _, ev := range d.Events {
		switch {
		case hasAny(ev.Text, "secure connection established", "connection is now established"):
			was = append(was, ev)
		case hasAny(ev.Text, "before first phase 2 sa is up"):
			return Match{}, false
		case hasAny(ev.Text, "peer_delete") && hasAny(ev.Text, "lifetime", "idle"): // the reason is given
			return Match{}, false
		case hasAny(ev.Text, "peer_delete-ike_delete"), len(was) > 0 && hasAny(ev.Text, "received a delete payload for ike sa"):
			gone = append(gone, ev)
		}
	}
	if len(gone) == 0 || len(saying(gone, "peer_delete-ike_delete")) == 0 {
		return Match{}, false
	}
	clues := []Clue{For(2.6, "the gateway's delete ended the connection, without a reason", at(gone...)...)}
	if len(was) > 0 {
		clues = append(clues, For(1.4, "the connection was up until then", at(was[len(was)-1:]...)...))
	}
	m := Match{Key: "client", Wide: true, Clues: clues, Title: "The gateway closed the client's connection",
		Explanation: "The gateway sent a delete for the IKE SA (PEER_DELETE-IKE_DELETE_UNSPECIFIED), and the client did as it was told. A delete says no reason: somebody logged the session off, or the gateway was reloaded or changed.",
		Actions:     []report.Action{harmless("nothing to repair at the client; dial in again")},
		Next:        []report.Next{readAlso("the gateway's log of that moment (113019)", "says who or what closed the session: a timeout, an administrator, a lost contact")}}
	for _, ev := range slices.Concat(gone, d.Events) {
		if ev.Peer.IsValid() {
			m.Peer = ev.Peer
			m.Title = "The gateway " + ev.Peer.String() + " closed the client's connection"
			break
		}
	}
	return m, true
}

// anyTraffic: some tunnel of the bundle's devices encrypts and decrypts.
func (t *Tunnel) anyTraffic() bool {
	for _, e := range t.Ends {
		for i := range e.Device.IPsec {
			if e.Device.IPsec[i].Encaps > 0 && e.Device.IPsec[i].Decaps > 0 {
				return true
			}
		}
		for i := range e.Device.Sessions {
			if e.Device.Sessions[i].BytesTx > 0 && e.Device.Sessions[i].BytesRx > 0 {
				return true
			}
		}
	}
	return false
}

// Periods at which a device makes its SAs anew before they end: 75 % of the lifetime.
const rekeyShare = 0.75

// eighteenHours are people's words for the period of the default lifetime's rekey.
var eighteenHours = []string{"18 hour", "18-hour", "eighteen hours", "18 stunden", "18-stunden", "18 heures", "18 horas", "18 uur", "18 ore", "every 18h", "alle 18h", "18 h "}

var rekeyBeforeLifetime = Condition{
	ID:       "rekey-before-lifetime",
	Cause:    "the tunnel rekeys at 75 % of its lifetime, as it should",
	Shows:    "a rekey or short break every 18 hours with lifetime 86400",
	Severity: report.Info, Healthy: true,
	Reference: "Cisco: VPN tunnel disconnects every 18 hours (75 % of a lifetime of 86400 s)",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			for _, l := range e.lives() {
				lifetime, where := e.ikeLifetime()
				period := time.Duration(float64(lifetime) * rekeyShare)
				events, steps := l.periods()
				var hits []facts.Event
				for i, d := range steps {
					if nearPeriod(d, period) || lifetime == 0 && nearPeriod(d, 18*time.Hour) {
						hits = append(hits, events[i])
					}
				}
				var clues []Clue
				if len(hits) > 0 {
					clues = append(clues, For(2.8+0.5*float64(min(len(hits), 3)), fmt.Sprintf("%s: made anew every %s", l.label(), about(steps[0])), at(hits...)...))
				}
				if len(clues) == 0 {
					continue
				}
				if lifetime > 0 {
					clues = append(clues, For(0.8, "three quarters of the lifetime of "+about(lifetime), where))
				}
				out = append(out, rekeyMatch(t, e, l, clues))
			}
			for _, ev := range saying(e.Events(), "rekey timer: 64800") {
				out = append(out, rekeyMatch(t, e, life{who: ev.Peer.String()}, []Clue{For(2.4, "the timer of the rekey is 18 h", ev.Place)}))
				break
			}
			if x := t.said(eighteenHours...); len(x) > 0 {
				clues := []Clue{For(2.2, "people say: every 18 hours", x...)}
				if lifetime, where := e.ikeLifetime(); lifetime == 24*time.Hour {
					clues = append(clues, For(2.4, "the lifetime is 24 h, of which 18 h are three quarters", where))
				}
				if y := rekeys(e); len(y) > 0 {
					clues = append(clues, For(1, "rekeys", at(y...)...))
				}
				out = append(out, rekeyMatch(t, e, life{who: e.PeerLabel()}, clues))
			}
		}
		if x := t.said(eighteenHours...); len(t.Ends) == 0 && len(x) > 0 {
			out = append(out, Match{Key: "said", Clues: []Clue{For(2.2, "people say: every 18 hours", x...)},
				Title:       "A tunnel that is made anew every 18 hours follows its lifetime of 24 hours",
				Explanation: "A device makes a new SA when 75 % of the lifetime has passed: after 18 hours of 24. The short interruption is that rekey, not a fault.",
				Actions:     []report.Action{harmless("nothing to repair; where connections drop at that moment look at sysopt connection preserve-vpn-flows")},
				Next:        []report.Next{readAlso("the log around one interruption", "a rekey comes back within seconds")}})
		}
		for i := range out {
			for _, e := range t.Ends {
				if x := withID(e.Events(), "713092"); len(x) > 0 {
					out[i].Clues = append(out[i].Clues, Against(3, "rekeys collide"))
				}
				for _, l := range e.lives() {
					if x := l.because(timeoutWords...); len(x) > 0 {
						out[i].Clues = append(out[i].Clues, Against(3, "a timeout ends the session"))
					}
				}
			}
		}
		return out
	},
}

func rekeyMatch(t *Tunnel, e *End, l life, clues []Clue) Match {
	return Match{Key: l.who, Clues: clues,
		Title:       fmt.Sprintf("The tunnel %s to %s is made anew at three quarters of its lifetime, as it should be", e.Label(), l.who),
		Explanation: "A device makes a new SA when 75 % of the lifetime has passed: after 18 hours of 24. The short interruption in the log is that rekey, not a fault.",
		Actions:     []report.Action{harmless("nothing to repair; where connections drop at that moment look at sysopt connection preserve-vpn-flows")}}
}

// rekeys returns the log lines of an end that tell of a rekey.
func rekeys(e *End) []facts.Event {
	var out []facts.Event
	for _, l := range e.lives() {
		out = append(out, events(l.of(rekeyed))...)
	}
	return out
}

// periods returns the distances between the beginnings of a life's SAs, with the line that ends each.
func (l life) periods() (ends []facts.Event, out []time.Duration) {
	var last time.Time
	for _, m := range l.moments {
		if m.lasted > time.Hour {
			ends, out = append(ends, m.ev), append(out, m.lasted)
		}
		if m.step != cameUp && m.step != rekeyed || !m.ev.HasTime || m.ev.ID == "713120" || m.ev.ID == "602303" {
			continue
		}
		if !last.IsZero() {
			if d := m.ev.Time.Sub(last); d > time.Hour {
				ends, out = append(ends, m.ev), append(out, d)
			} else if d >= 0 {
				continue // the same rekey's next line
			}
		}
		last = m.ev.Time
	}
	return ends, out
}

// nearPeriod: within three percent; devices add some seconds of chance.
func nearPeriod(d, want time.Duration) bool {
	return want > 0 && d > want-want*3/100 && d < want+want*3/100
}

// ikeLifetime is the phase-1 lifetime that an end offers: of its running SA, else of its first policy.
func (e *End) ikeLifetime() (time.Duration, facts.Place) {
	for _, sa := range e.IKE() {
		if sa.Lifetime > 0 && sa.Lifetime != sa.Remaining {
			return time.Duration(sa.Lifetime) * time.Second, sa.Place
		}
	}
	if c := e.Config(); c != nil {
		for _, p := range c.IKEPolicies {
			if p.Lifetime > 0 {
				where := p.Place
				if q, ok := p.Places["lifetime"]; ok {
					where = q
				}
				return time.Duration(p.Lifetime) * time.Second, where
			}
		}
	}
	return 0, facts.Place{}
}

var flowsLost = Condition{
	ID:        "flows-lost-on-rekey",
	Cause:     "TCP connections die when the tunnel renegotiates",
	Shows:     "teardowns 'Tunnel has been torn down' at each rekey without sysopt connection preserve-vpn-flows",
	Severity:  report.Major,
	Reference: "Cisco: traffic flow is not maintained after the tunnel is renegotiated; sysopt connection preserve-vpn-flows",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			if e.isIOS() {
				continue
			}
			var clues []Clue
			torn, why, who := e.torn()
			if len(torn) > 0 {
				clues = append(clues, For(2.6+0.4*float64(min(len(torn), 4)-1), "connections are torn down in the moment in which the tunnel is made anew", at(torn...)...))
				if len(why) > 0 {
					clues = append(clues, For(0.8, "the tunnel ends and comes back", at(why...)...))
				}
			}
			complaint := t.complains("rekey", "re-key", "renegotiat", "neu aushandel", "neuaushandlung", "neu ausgehandelt", "neu aufgebaut", "renégoci", "renegocia", "rinegozia", "tunnel comes back", "tunnel bounces")
			s, set := e.Config().Setting("sysopt connection preserve-vpn-flows")
			off := e.Config() != nil && (!e.Config().Partial || set)
			if !set {
				for _, o := range e.Device.Outputs {
					if strings.HasPrefix(o.Command, "show running-config") && strings.Contains(o.Command, "sysopt") {
						for _, line := range o.Text {
							if hasAny(line.Text, "sysopt connection preserve-vpn-flows") {
								set, off = true, true
								s = facts.Setting{No: hasAny(line.Text, "no sysopt"), Place: facts.Place{Source: o.Place.Source, Line: line.N, Text: line.Text}}
							}
						}
					}
				}
			}
			switch {
			case set && !s.No:
				if len(clues) > 0 {
					clues = append(clues, Against(4, "preserve-vpn-flows is on", s.Place))
				}
			case len(clues) > 0 || len(complaint) > 0:
				if set {
					clues = append(clues, For(1.6, "preserve-vpn-flows is off", s.Place))
				} else if off {
					clues = append(clues, For(1.2, "no sysopt connection preserve-vpn-flows in the configuration (off by default)", e.Config().Place))
				}
				if len(complaint) > 0 {
					clues = append(clues, For(1.8, "people say that sessions drop when the tunnel is made anew", complaint...))
					if x := rekeys(e); len(x) > 0 {
						clues = append(clues, For(0.8, "rekeys in the log", at(x...)...))
					}
				}
			}
			if len(clues) == 0 {
				continue
			}
			peer := e.PeerLabel()
			if who != "" {
				peer = who
			}
			m := Match{Key: e.Label() + " " + peer, Clues: clues,
				Title: fmt.Sprintf("Connections through the tunnel %s to %s die when it is made anew", e.Label(), peer),
				Explanation: "The tunnel is renegotiated on time and comes back at once, but the firewall throws away the connections that ran through the old SA: sysopt connection preserve-vpn-flows is off, as it is by default. " +
					"Long-lived sessions (databases, terminals) break at each rekey.",
				Actions: []report.Action{advise(e, []string{"sysopt connection preserve-vpn-flows"}, "it keeps the state of TCP connections of site-to-site tunnels over a renegotiation; nothing drops when it is entered")}}
			if e.Config() == nil && !set {
				m.Next = []report.Next{readAlso("show running-config all sysopt", "shows whether preserve-vpn-flows is on")}
			}
			out = append(out, m)
		}
		return out
	},
}

// complains returns people's sentences that hold one of the phrases and speak of a loss, not of its absence.
func (t *Tunnel) complains(phrases ...string) []facts.Place {
	var out []facts.Place
	for _, p := range t.said(phrases...) {
		if hasAny(p.Text, "drop", "lost", "lose", "break", "broke", "cut", "die", "dead", "abort", "disconnect", "reset", "hang", "freeze", "kick", "tear", "torn", "gone",
			"abbr", "abgebroch", "verlier", "verloren", "trenn", "getrennt", "hängt", "weg", "coup", "perd", "déconnect", "interromp", "cort", "pierd", "cae", "caduta", "cade") &&
			!hasAny(p.Text, "no connection", "not lost", "no drop", "without los", "nothing is lost", "nothing was lost", "keine verbindung", "ohne verlust", "sin corte", "sans coupure", "no session",
				"nothing break", "nothing drop", "nothing dies", "nothing is cut", "nothing gets", "not drop", "not break", "not cut", "n't drop", "n't break", "n't lose", "never drop", "never break", "without drop", "without break", "without interr", "no interr",
				"nobody notice", "no one notice", "no complaint", "nobody complain", "nichts bricht", "ohne unterbr", "ohne abbr", "niemand merkt", "rien ne", "sans interr", "personne ne remarque", "sin interr", "nada se corta", "nadie nota") {
			out = append(out, p)
		}
	}
	return out
}

// torn returns connections that ended because their tunnel was torn down or renegotiated,
// with the lines that tell of it and the peer.
func (e *End) torn() (conns, why []facts.Event, who string) {
	type instant struct {
		ev   facts.Event
		peer string
		bad  bool // the end has another cause
		back bool
	}
	var breaks []instant
	for _, l := range e.lives() {
		if l.user != "" {
			continue
		}
		for _, m := range l.moments {
			i := instant{ev: m.ev, peer: l.who}
			switch m.step {
			case rekeyed:
				i.back = true
			case wentDown:
				i.bad = m.why != "" && hasAny(m.why, "idle", "max time", "lost service", "user requested", "administrator", "port preempted", "peer address changed", "acct", "preempted")
				d, ok := l.backAfter(m)
				i.back = !ok || d < 2*time.Minute
			case lostPeer:
				i.bad = true
			case cameUp:
				i.back = true
			default:
				continue
			}
			breaks = append(breaks, i)
		}
	}
	if len(breaks) == 0 {
		return nil, nil, ""
	}
	find := func(ev facts.Event, after time.Duration) *instant {
		for k := range breaks {
			b := &breaks[k]
			if !b.ev.HasTime || !ev.HasTime {
				if d := ev.Place.Line - b.ev.Place.Line; b.ev.Place.Source == ev.Place.Source && d >= -6 && d <= 12 {
					return b
				}
				continue
			}
			if d := ev.Time.Sub(b.ev.Time); d >= -3*time.Second && d <= after {
				return b
			}
		}
		return nil
	}
	seen := map[*instant]bool{}
	for _, ev := range e.Device.Events {
		var b *instant
		switch ev.ID {
		case "302014", "302016", "302021":
			if hasAny(ev.Text, "tunnel has been torn down", "tunnel being brought up or torn down") {
				b = find(ev, 15*time.Second)
			}
		case "106015":
			if inside := e.protects(ev); inside {
				b = find(ev, time.Minute)
			}
		}
		if b == nil || b.bad || !b.back {
			continue
		}
		conns = append(conns, ev)
		who = b.peer
		if !seen[b] {
			seen[b] = true
			why = append(why, b.ev)
		}
	}
	return conns, why, who
}

// protects: both addresses of an event lie in networks of one crypto access list entry of this peer.
func (e *End) protects(ev facts.Event) bool {
	if len(ev.Addrs) < 2 || e.Config() == nil {
		return false
	}
	a, b := ev.Addrs[0], ev.Addrs[1]
	for _, m := range e.Entries() {
		acl := e.Config().ACL(m.ACL)
		if acl == nil {
			continue
		}
		for _, x := range acl.Entries {
			if x.Permit && len(x.Src) > 0 && len(x.Dst) > 0 && (covers(x.Src, false, a) && covers(x.Dst, false, b) || covers(x.Src, false, b) && covers(x.Dst, false, a)) {
				return true
			}
		}
	}
	return false
}
