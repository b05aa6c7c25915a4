package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
)

// lifecycleConditions are about tunnels that came up and ended, or are made anew: timeouts,
// keepalives, lifetimes and rekeys.
func lifecycleConditions() []Condition {
	return []Condition{lifetimeMismatch, keepaliveMismatch, natMappingText, idleTimeout, peerDeleted, rekeyBeforeLifetime, flowsLost, peerTableStale}
}

// step is what happened in the life of a tunnel.
type step int

const (
	cameUp    step = iota // phase 1 or 2 completed
	wentDown              // a session or SA ended, whatever for
	lostPeer              // dead-peer detection gave up
	rekeyed               // an SA was made anew while the old one lived
	collision             // both ends began a rekey at once
)

// moment is one step, as a line of the log tells it.
type moment struct {
	step   step
	ev     facts.Event
	why    string        // the reason given, lower case; "" when there is none
	lasted time.Duration // of a session that ended, 0 when not said
}

// life is what the log tells about one peer or user.
type life struct {
	who     string // address of the peer, or the user's name
	peer    netip.Addr
	user    string // remote access; "" for a site
	group   string
	moments []moment
}

// lives reads the log of an end, one life per peer or user, in the order of their first line.
func (e *End) lives() []life {
	if e.lived {
		return e.history
	}
	e.lived = true
	at := map[string]int{}
	for _, ev := range e.Events() {
		m, ok := momentOf(ev)
		if !ok {
			continue
		}
		l := life{peer: ev.Peer, group: ev.Group}
		if !l.peer.IsValid() {
			for _, a := range ev.Addrs {
				if e.Mine(a) {
					l.peer = a
					break
				}
			}
		}
		if _, err := netip.ParseAddr(ev.User); err != nil && ev.User != "" && !strings.EqualFold(ev.User, "unknown") && ev.User != ev.Group {
			l.user = ev.User
		}
		switch {
		case l.user != "":
			l.who = l.user
		case l.peer.IsValid():
			l.who = l.peer.String()
		default:
			l.who = e.PeerLabel()
		}
		i, ok := at[l.who]
		if !ok {
			i = len(e.history)
			at[l.who] = i
			e.history = append(e.history, l)
		}
		if e.history[i].group == "" {
			e.history[i].group = l.group
		}
		// "Lost Service" repeats what the line before it said of dead-peer detection, or stands for it.
		if n := len(e.history[i].moments); m.step == wentDown && strings.Contains(m.why, "lost service") && (n == 0 || e.history[i].moments[n-1].step != lostPeer) {
			m.step = lostPeer
		}
		e.history[i].moments = append(e.history[i].moments, m)
	}
	return e.history
}

// momentOf tells what a log line says about a tunnel's life.
func momentOf(ev facts.Event) (moment, bool) {
	m := moment{ev: ev}
	switch ev.ID {
	case "713119", "713120", "713049", "750006", "602303", "IKEV2-5-SA_UP":
		m.step = cameUp
	case "713123":
		m.step, m.why = lostPeer, "lost contact"
	case "713092":
		m.step = collision
	case "713041":
		if !hasAny(ev.Text, "rekey") {
			return m, false // the first negotiation of a tunnel
		}
		m.step = rekeyed
	case "702307", "713169", "713170":
		m.step = rekeyed
	case "113019", "713050", "713259", "750007", "716002", "722037", "722023", "IKEV2-5-SA_DOWN":
		m.step = wentDown
		m.why = reasonOf(ev.Text)
		m.lasted = durationOf(ev.Text)
		if ev.ID == "750007" && strings.Contains(m.why, "peer lost") || strings.Contains(m.why, "dpd") {
			m.step = lostPeer
		}
	default:
		switch {
		case strings.HasSuffix(ev.ID, "SESSION_STATUS"):
			switch {
			case hasAny(ev.Text, "is down"):
				m.step = wentDown
			case hasAny(ev.Text, "is up"):
				m.step = cameUp
			default:
				return m, false
			}
		case ev.Kind == "debug" && hasAny(ev.Text, "peer not responding", "death by dpd", "not responding!"):
			m.step, m.why = lostPeer, "peer not responding"
		case ev.Kind == "debug" && hasAny(ev.Text, "deleting sa reason"):
			m.step = wentDown
			_, after, _ := strings.Cut(strings.ToLower(ev.Text), "reason")
			m.why = strings.Trim(after, " \"'")
		default:
			return m, false
		}
	}
	return m, true
}

// reasonOf returns what stands behind "Reason:", in lower case.
func reasonOf(text string) string {
	t := strings.ToLower(text)
	if i := strings.LastIndex(t, "reason:"); i >= 0 {
		return strings.TrimSpace(t[i+len("reason:"):])
	}
	if i := strings.LastIndex(t, "terminated:"); i >= 0 {
		return strings.TrimSpace(t[i+len("terminated:"):])
	}
	if i := strings.LastIndex(t, "closing connection:"); i >= 0 {
		return strings.TrimSpace(t[i+len("closing connection:"):])
	}
	return ""
}

// durationOf reads "Duration: 8h:00m:01s", "1d 02h:03m:04s", "0:30:00".
func durationOf(text string) time.Duration {
	i := strings.Index(syslog.Lower(text), "duration:")
	if i < 0 {
		return 0
	}
	s := strings.TrimSpace(text[i+len("duration:"):])
	if j := strings.IndexByte(s, ','); j >= 0 {
		s = s[:j]
	}
	var d time.Duration
	n, digits, bare := 0, 0, []int{}
	for k := 0; k < len(s) && k < 40; k++ {
		switch c := s[k]; {
		case c >= '0' && c <= '9' && digits < 6:
			n, digits = n*10+int(c-'0'), digits+1
			continue
		case c == 'd':
			d += time.Duration(n) * 24 * time.Hour
		case c == 'h':
			d += time.Duration(n) * time.Hour
		case c == 'm':
			d += time.Duration(n) * time.Minute
		case c == 's':
			d += time.Duration(n) * time.Second
		case c == ':' && digits > 0:
			bare = append(bare, n)
		}
		n, digits = 0, 0
	}
	if digits > 0 {
		bare = append(bare, n)
	}
	if len(bare) == 3 {
		d += time.Duration(bare[0])*time.Hour + time.Duration(bare[1])*time.Minute + time.Duration(bare[2])*time.Second
	}
	return d
}

// of returns the moments of the given steps.
func (l life) of(steps ...step) []moment {
	var out []moment
	for _, m := range l.moments {
		if slices.Contains(steps, m.step) {
			out = append(out, m)
		}
	}
	return out
}

// because returns the ends whose reason holds one of the words.
func (l life) because(words ...string) []moment {
	var out []moment
	for _, m := range l.moments {
		if (m.step == wentDown || m.step == lostPeer) && m.why != "" && hasAny(m.why, words...) {
			out = append(out, m)
		}
	}
	return out
}

// backAfter tells how long after a moment the tunnel came up again; ok is false when the log
// does not show it, or has no times.
func (l life) backAfter(m moment) (time.Duration, bool) {
	seen := false
	for _, x := range l.moments {
		if x.ev.Place == m.ev.Place || x.ev.Place.Source == m.ev.Place.Source && x.ev.Place.Line == m.ev.Place.Line {
			seen = true
			continue
		}
		if !seen || x.step != cameUp {
			continue
		}
		if !x.ev.HasTime || !m.ev.HasTime {
			return 0, false
		}
		if d := x.ev.Time.Sub(m.ev.Time); d >= 0 {
			return d, true
		}
	}
	return 0, false
}

// spans returns how long the sessions lasted: as the log says, else from coming up to ending.
func (l life) spans() []time.Duration {
	var out []time.Duration
	var up *moment
	for i := range l.moments {
		m := &l.moments[i]
		switch m.step {
		case cameUp:
			if up == nil {
				up = m
			}
		case wentDown, lostPeer:
			switch {
			case m.lasted > 0:
				out = append(out, m.lasted)
			case up != nil && up.ev.HasTime && m.ev.HasTime && m.ev.Time.After(up.ev.Time):
				out = append(out, m.ev.Time.Sub(up.ev.Time))
			}
			up = nil
		}
	}
	return out
}

// near tells whether a span is a configured time, give or take two minutes or two percent.
func near(d, want time.Duration) bool {
	if want <= 0 {
		return false
	}
	tolerance := max(want/50, 30*time.Second)
	return d >= want-tolerance && d <= want+max(tolerance, 2*time.Minute)
}

func events(ms []moment) []facts.Event {
	var out []facts.Event
	for _, m := range ms {
		out = append(out, m.ev)
	}
	return out
}

// label names whose life it is, for titles.
func (l life) label() string {
	if l.user != "" {
		if l.peer.IsValid() {
			return "user " + l.user + " (" + l.peer.String() + ")"
		}
		return "user " + l.user
	}
	return l.who
}

// policyOf finds the group policy that sessions of a tunnel-group really use: the one it
// names, else DfltGrpPolicy. The tunnel-group is named after the peer for sites.
func (e *End) policyOf(l life) (gp *facts.GroupPolicy, name string) {
	c := e.Config()
	if c == nil {
		return nil, ""
	}
	name = "DfltGrpPolicy"
	for i := range c.TunnelGroups {
		tg := &c.TunnelGroups[i]
		if tg.Name == l.group || l.user == "" && l.peer.IsValid() && tg.Name == l.peer.String() {
			if a, ok := facts.Get(tg.Attrs, "default-group-policy"); ok && !a.No {
				name = strings.TrimSpace(a.Value)
			}
		}
	}
	for i := range c.GroupPolicies {
		if c.GroupPolicies[i].Name == name {
			return &c.GroupPolicies[i], name
		}
	}
	return nil, name
}

// minutes reads an attribute of the policy that a session uses, of the user's attributes
// before it, and of DfltGrpPolicy behind it; 0 when it is "none" or stands nowhere.
func (e *End) minutes(l life, key string) (d time.Duration, where facts.Place, ok bool) {
	c := e.Config()
	if c == nil {
		return 0, facts.Place{}, false
	}
	var lists [][]facts.Attr
	for i := range c.Users {
		if c.Users[i].Name == l.user && l.user != "" {
			lists = append(lists, c.Users[i].Attrs)
		}
	}
	if gp, _ := e.policyOf(l); gp != nil {
		lists = append(lists, gp.Attrs)
	}
	for i := range c.GroupPolicies {
		if c.GroupPolicies[i].Name == "DfltGrpPolicy" {
			lists = append(lists, c.GroupPolicies[i].Attrs)
		}
	}
	for _, attrs := range lists {
		a, found := facts.Get(attrs, key)
		if !found || a.No {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(a.Value))
		if err != nil {
			return 0, a.Place, true // none
		}
		return time.Duration(n) * time.Minute, a.Place, true
	}
	return 0, facts.Place{}, false
}

// about writes a duration the way people say it.
func about(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= time.Hour && d%time.Hour < time.Minute:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute && d%time.Minute < 5*time.Second:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
