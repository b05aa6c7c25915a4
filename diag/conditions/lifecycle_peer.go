package conditions

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

var lifetimeMismatch = Condition{
	ID:        "lifetime-mismatch",
	Cause:     "lifetimes differ or are too short, so rekeys collide",
	Shows:     "713092 repeated; Reason 426; 713168; sessions that end at the shorter lifetime",
	Severity:  report.Major,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, verify the ISAKMP lifetime; %ASA-5-713092, %ASA-5-713168; VPN Client Reason 426",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var steps []string
		reason426 := false
		differ, text, where := lifetimes(t)
		for _, e := range t.Ends {
			collided := saying(e.Events(), "due to collision")
			if len(collided) == 0 {
				collided = withID(e.Events(), "713092")
			}
			switch {
			case len(collided) > 1:
				clues = append(clues, For(3.2, fmt.Sprintf("%d rekeys of phase 1 collide on %s", len(collided), e.Label()), at(collided...)...))
			case len(collided) == 1:
				clues = append(clues, For(1.7, "a rekey of phase 1 collided on "+e.Label(), at(collided...)...))
			}
			if x := withID(e.Events(), "713168"); len(x) > 0 {
				clues = append(clues, For(3.6, "the user must authenticate again at the rekey, and the client cannot do it by itself", at(x...)...))
				steps = append(steps, "re-xauth disable in the group policy")
			}
			if x := append(withID(e.Events(), "Reason 426"), saying(e.Events(), "maximum configured lifetime exceeded")...); len(x) > 0 {
				reason426 = true
				clues = append(clues, For(4.2, "the client is told that the maximum configured lifetime is exceeded", at(x...)...))
			}
			if short, p := e.shortLifetime(); short > 0 && short < time.Hour {
				for _, l := range e.lives() {
					var hit []facts.Event
					for i, d := range l.spans() {
						if near(d, short) && i < len(l.of(wentDown, lostPeer)) {
							hit = append(hit, l.of(wentDown, lostPeer)[i].ev)
						}
					}
					if len(hit) > 0 && len(l.because(timeoutWords...)) == 0 {
						clues = append(clues, For(2.2, fmt.Sprintf("sessions of %s end after %s, the configured lifetime", l.label(), about(short)), append(at(hit...), p)...))
					}
				}
				if len(clues) > 0 {
					clues = append(clues, For(1.4, "the lifetime of "+about(short)+" is very short", p))
				}
			}
			if differ {
				// Sessions that end at the shorter lifetime without a rekey.
				for _, l := range e.lives() {
					for i, d := range l.spans() {
						ends := l.of(wentDown, lostPeer)
						if i < len(ends) && slices.ContainsFunc(t.allLifetimes(), func(x time.Duration) bool { return near(d, x) }) && len(l.because(timeoutWords...)) == 0 {
							clues = append(clues, For(2.6, fmt.Sprintf("the session of %s ends after %s, the shorter lifetime", l.label(), about(d)), ends[i].ev.Place))
							break
						}
					}
				}
			}
		}
		for _, d := range t.Clients {
			if x := append(withID(d.Events, "Reason 426"), saying(d.Events, "maximum configured lifetime exceeded")...); len(x) > 0 && !reason426 {
				reason426 = true
				clues = append(clues, For(4.2, "Reason 426: the maximum configured lifetime is exceeded", at(x...)...))
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 1.7 }) {
			return nil // differing values alone are negotiated
		}
		switch {
		case differ:
			clues = append(clues, For(2.2, text, where...))
		case len(where) > 0 && !reason426:
			clues = append(clues, Against(2.5, "the lifetimes of both ends are equal"))
		}
		for _, e := range t.Ends {
			if slices.ContainsFunc(e.IKE(), IsUp) && !differ && len(withID(e.Events(), "713092")) == 1 && !reason426 {
				clues = append(clues, Against(1.5, "the tunnel is up again after one collision"))
			}
		}
		m := Match{Clues: clues,
			Title: "The lifetimes of " + t.between() + " do not suit each other: rekeys collide or sessions end early",
			Explanation: "Both platforms negotiate the shorter lifetime, so differing values alone are no fault. Here they have an effect: rekeys of both ends meet, or a session ends at the shorter lifetime without a new SA. " +
				"Set the same lifetime at both ends, an hour or longer."}
		if text != "" {
			m.Explanation = text + ". " + m.Explanation
		}
		if reason426 {
			m.Title = "The VPN client is thrown out when the maximum configured lifetime is over (Reason 426)"
			m.Explanation = "The IKE lifetime ended and the client did not make a new SA, mostly because the gateway wants its user to authenticate again at the rekey. A longer lifetime, or no re-authentication at the rekey, mends it."
			steps = append(steps, "lifetime none (0 on old images) is Cisco's way for Reason 426; the key then never changes", "re-xauth disable in the group policy for Reason 426")
		}
		for _, e := range t.Ends {
			number := "<n>"
			if c := e.Config(); c != nil && len(c.IKEPolicies) > 0 {
				number = strconv.Itoa(c.IKEPolicies[0].Number)
			}
			m.Actions = append(m.Actions, advise(e, []string{"crypto " + e.ikeWord() + " policy " + number, "lifetime 86400"}, steps...))
		}
		if len(t.Ends) == 0 {
			m.Actions = append(m.Actions, advise(nil, []string{"crypto ikev1 policy <n>", "lifetime 86400"}, steps...))
		}
		if len(where) == 0 {
			m.Next = []report.Next{readAlso("both ends' IKE policies", "shows whether the lifetimes differ")}
		}
		return []Match{m}
	},
}

// lifetimes compares the phase-1 lifetimes of the policies that both ends have in common;
// where is empty when nothing could be compared.
func lifetimes(t *Tunnel) (differ bool, text string, where []facts.Place) {
	if len(t.Ends) != 2 || t.Ends[0].Config() == nil || t.Ends[1].Config() == nil {
		return false, "", nil
	}
	a, b := t.Ends[0], t.Ends[1]
	for _, p := range a.Config().IKEPolicies {
		for _, q := range b.Config().IKEPolicies {
			if p.Version != q.Version || !meets(p.Encryption, q.Encryption) || !meets(p.Hash, q.Hash) || !meets(p.Groups, q.Groups) || p.Auth != q.Auth && p.Version == 1 {
				continue
			}
			x, y := p.Place, q.Place
			if z, ok := p.Places["lifetime"]; ok {
				x = z
			}
			if z, ok := q.Places["lifetime"]; ok {
				y = z
			}
			if p.Lifetime == q.Lifetime {
				return false, "", []facts.Place{x, y}
			}
			return true, fmt.Sprintf("policy %d of %s has a lifetime of %d s, policy %d of %s one of %d s", p.Number, a.Label(), p.Lifetime, q.Number, b.Label(), q.Lifetime), []facts.Place{x, y}
		}
	}
	return false, "", nil
}

func meets(x, y []string) bool {
	return slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) })
}

// allLifetimes lists the configured phase-1 lifetimes of both ends, shortest first, the longest left out.
func (t *Tunnel) allLifetimes() []time.Duration {
	var out []time.Duration
	for _, e := range t.Ends {
		if c := e.Config(); c != nil {
			for _, p := range c.IKEPolicies {
				if p.Lifetime > 0 {
					out = append(out, time.Duration(p.Lifetime)*time.Second)
				}
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) < 2 {
		return nil
	}
	return out[:len(out)-1]
}

// shortLifetime is the shortest phase-1 lifetime that is configured.
func (e *End) shortLifetime() (time.Duration, facts.Place) {
	best, where := time.Duration(0), facts.Place{}
	if c := e.Config(); c != nil {
		for _, p := range c.IKEPolicies {
			if d := time.Duration(p.Lifetime) * time.Second; d > 0 && (best == 0 || d < best) {
				best, where = d, p.Place
				if q, ok := p.Places["lifetime"]; ok {
					where = q
				}
			}
		}
	}
	return best, where
}

// probing tells whether an end has dead-peer detection on: an ASA by default, IOS by a line.
// known is false without a configuration.
func (e *End) probing() (on, known bool, where facts.Place) {
	c := e.Config()
	if c == nil {
		return false, false, facts.Place{}
	}
	if e.isIOS() {
		for _, key := range []string{"crypto isakmp keepalive", "crypto ikev2 dpd"} {
			if s, ok := c.Setting(key); ok {
				return !s.No, true, s.Place
			}
		}
		for _, p := range c.Profiles {
			if a, ok := facts.Get(p.Attrs, "keepalive"); ok && !a.No {
				return true, true, a.Place
			}
			if a, ok := facts.Get(p.Attrs, "dpd"); ok && !a.No {
				return true, true, a.Place
			}
		}
		// The place of what is missing: the key or policy beside which it would stand.
		where = c.Place
		if len(c.IKEPolicies) > 0 {
			where = c.IKEPolicies[0].Place
		}
		return false, !c.Partial || len(c.IKEPolicies) > 0, where
	}
	tg := e.TunnelGroup()
	if tg == nil {
		return true, len(c.TunnelGroups) > 0, c.Place
	}
	a, ok := facts.Get(tg.Attrs, "isakmp keepalive")
	if ok && (a.No || hasAny(a.Value, "disable") || hasAny(a.Key, "disable")) {
		return false, true, a.Place
	}
	if ok {
		return true, true, a.Place
	}
	return true, true, tg.Place
}

// idleWords are what people say when a tunnel dies after a pause.
var idleWords = []string{"idle", "sporadic", "sporadisch", "after a while", "nach einer weile", "pause", "inactiv", "leerlauf", "unused", "without traffic", "ohne verkehr", "lunch", "mittag", "minutes of silence", "intermittent", "de temps en temps", "de vez en cuando", "from time to time", "ab und zu", "drops"}

var keepaliveMismatch = Condition{
	ID:         "keepalive-mismatch",
	Cause:      "dead-peer detection is on at one end only, or its probes are dropped",
	Shows:      "713123, 713122; keepalive lines compared; captures: R-U-THERE without acknowledgement while other traffic passes",
	Severity:   report.Major,
	Prefer:     []string{"nat-mapping-lost"},
	Reference:  "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, enable or disable ISAKMP keepalives; %ASA-3-713123, %ASA-3-713122; RFC 3706",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		var actions []report.Action
		losses, returned, gone := 0, 0, false
		who := ""
		for _, e := range t.Ends {
			for _, l := range e.lives() {
				lost := l.of(lostPeer)
				if len(lost) == 0 {
					continue
				}
				who = l.label()
				losses += len(lost)
				back := 0
				for _, m := range lost {
					if d, ok := l.backAfter(m); ok && d <= 2*time.Minute {
						back++
					}
				}
				returned += back
				switch {
				case back > 1:
					clues = append(clues, For(3.4, fmt.Sprintf("%s gave %s up %d times and had it back within two minutes each time: it was alive", e.Label(), l.label(), back), at(events(lost)...)...))
				case back == 1:
					clues = append(clues, For(2.2, fmt.Sprintf("%s gave %s up and had it back within two minutes: it was alive", e.Label(), l.label()), at(events(lost)...)...))
				case len(lost) > 1:
					clues = append(clues, For(1.8, fmt.Sprintf("%s gave %s up %d times, so it was there between", e.Label(), l.label(), len(lost)), at(events(lost)...)...))
				default:
					clues = append(clues, For(1, e.Label()+" lost contact with "+l.label(), at(events(lost)...)...))
				}
				if _, ok := l.backAfter(lost[len(lost)-1]); !ok && len(e.inState("MM_WAIT_MSG2", "MM_NO_STATE")) > 0 {
					gone = true
				}
			}
			if x := withID(e.Events(), "713122"); len(x) > 0 {
				clues = append(clues, For(3.2, "the device says that keepalives are configured and the peer does not do them", at(x...)...))
			}
			if x := saying(withID(e.Events(), "713121"), "none"); len(x) > 0 && losses > 0 {
				clues = append(clues, For(0.8, "no keepalives were agreed", at(x...)...))
			}
		}
		said := t.said(idleWords...)
		for _, e := range t.Ends {
			on, known, where := e.probing()
			if !known || on {
				continue
			}
			o := t.Other(e)
			explicit := !e.isIOS()
			switch {
			case o != nil:
				other, ok, there := o.probing()
				if !ok || !other {
					continue
				}
				note := fmt.Sprintf("%s probes and %s has keepalives off", o.Label(), e.Label())
				switch {
				case losses > 0 || len(said) > 0:
					clues = append(clues, For(2.4, note, where, there))
				case explicit:
					clues = append(clues, For(1.6, note, where, there))
				default:
					continue // the default of two healthy devices
				}
			case explicit:
				w := 0.9
				if losses > 0 || len(said) > 0 || t.clientsLose() {
					w = 2.2
				}
				clues = append(clues, For(w, "keepalives are switched off for this peer on "+e.Label(), where))
			case losses > 0 || len(said) > 0:
				clues = append(clues, For(1.4, "no crypto isakmp keepalive on "+e.Label(), where))
			default:
				continue
			}
			if e.isIOS() {
				actions = append(actions, advise(e, []string{"crypto isakmp keepalive 15 3 periodic"}))
			} else {
				actions = append(actions, advise(e, []string{"tunnel-group " + e.PeerLabel() + " ipsec-attributes", "isakmp keepalive threshold 15 retry 10"}))
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 0.9 }) {
			return nil
		}
		if len(said) > 0 {
			clues = append(clues, For(0.6, "people say so", said...))
		}
		if gone {
			clues = append(clues, Against(2, "a new negotiation gets no answer: the peer is gone"))
		}
		if losses == 0 && len(said) == 0 {
			for _, e := range t.Ends {
				if e.phase2Up() {
					clues = append(clues, Against(2.5, "the tunnel is up and no contact was lost"))
					break
				}
			}
		}
		for _, e := range t.Ends {
			if x := l713050(e); len(x) > 0 {
				clues = append(clues, Against(2, "a timeout ended the session", at(x...)...))
			}
		}
		if who == "" {
			who = "the peer"
			if len(t.Ends) > 0 {
				who = t.Ends[0].PeerLabel()
			}
		}
		m := Match{Clues: clues, Actions: actions,
			Title: "Keepalives between " + t.between() + " do not fit: " + who + " is given up although it is alive",
			Explanation: "Dead-peer detection (RFC 3706) found no answer and deleted the tunnel, and the peer negotiates again at once, so it was never dead. " +
				"One end does not answer the probes (keepalives are off there), or a device between drops them after a pause. An ASA probes by default, IOS only with crypto isakmp keepalive."}
		if len(actions) == 0 {
			for _, e := range t.Ends {
				if e.isIOS() {
					m.Actions = append(m.Actions, advise(e, []string{"crypto isakmp keepalive 15 3 periodic"}))
				} else {
					m.Actions = append(m.Actions, advise(e, []string{"tunnel-group " + e.PeerLabel() + " ipsec-attributes", "isakmp keepalive threshold 15 retry 10"},
						"isakmp keepalive disable when a device between drops the probes"))
				}
			}
			m.Next = []report.Next{readAlso("the other end's keepalive configuration", "shows whether it answers probes"), bothEnds("shows probes without answer while other traffic passes (keepalive-mismatch), or silence (dead-peer)")}
		}
		if len(t.Clients) > 0 {
			m.Actions = append(m.Actions, advise(nil, nil, "Cisco VPN Client 4.x behind a firewall that stops the probes: ForceKeepAlives=1 in its .pcf file"))
		}
		return []Match{m}
	},
}

// l713050 returns the ends by timeout that an end's log names.
func l713050(e *End) []facts.Event {
	var out []facts.Event
	for _, l := range e.lives() {
		out = append(out, events(l.because(timeoutWords...))...)
	}
	return out
}

// clientsLose: a client of the bundle lost a connection that worked.
func (t *Tunnel) clientsLose() bool {
	for _, d := range t.Clients {
		if len(withID(d.Events, "Reason 412")) > 0 && len(saying(d.Events, "established", "loading ipsec sa")) > 0 {
			return true
		}
	}
	return false
}

// movedTranslation finds a NAT device's table, read more than once, in which one inside address
// has another outside port for UDP 4500 towards the same far end than before.
func (t *Tunnel) movedTranslation() (before, after facts.Place, ok bool) {
	type row struct{ local, remote string }
	first := map[row]facts.Place{}
	global := map[row]string{}
	for _, d := range t.Set.Devices {
		for _, o := range d.Outputs {
			if !strings.HasPrefix(o.Command, "show ip nat translations") {
				continue
			}
			for _, l := range o.Text {
				f := strings.Fields(l.Text) // udp 203.0.113.44:1055 192.168.8.2:4500 198.51.100.99:4500 198.51.100.99:4500
				if len(f) != 5 || f[0] != "udp" || !strings.HasSuffix(f[2], ":4500") || !strings.HasSuffix(f[4], ":4500") {
					continue
				}
				far, _ := netip.ParseAddrPort(f[4])
				if !slices.ContainsFunc(t.Ends, func(e *End) bool { return e.Known(far.Addr()) || e.Mine(far.Addr()) }) {
					continue
				}
				k, p := row{f[2], f[4]}, facts.Place{Source: o.Place.Source, Line: l.N, Text: strings.TrimSpace(l.Text)}
				if g, seen := global[k]; seen && g != f[1] {
					return first[k], p, true
				} else if !seen {
					global[k], first[k] = f[1], p
				}
			}
		}
	}
	return before, after, false
}

var natMappingText = Condition{
	ID:        "nat-mapping-lost",
	Cause:     "the NAT in front of one end forgot its mapping",
	Shows:     "captures: after idling, packets to the old port vanish; keepalives rarer than the mapping lives; it comes back when the near end sends",
	Severity:  report.Major,
	Reference: "RFC 3948 section 4, NAT keepalive; crypto isakmp nat-traversal, crypto isakmp nat keepalive",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		nat := false
		lost := 0
		for _, e := range t.Ends {
			if x := natSigns(e); len(x) > 0 {
				nat = true
				clues = append(clues, For(0.8, "a NAT is on the path", x...))
			}
			for _, l := range e.lives() {
				if x := l.of(lostPeer); len(x) > 0 {
					lost += len(x)
					w := 1.2
					back := 0
					for _, m := range x {
						if d, ok := l.backAfter(m); ok && d < 5*time.Minute {
							back++
						}
					}
					if back > 0 {
						w = 2
					}
					clues = append(clues, For(w, e.Label()+" lost contact with "+l.label(), at(events(x)...)...))
				}
				if a, b, ok := movedPort(l); ok {
					clues = append(clues, For(2.6, fmt.Sprintf("the peer's port changes from %d to %d", a.PeerPort, b.PeerPort), a.Place, b.Place))
				}
			}
			if a, b, ok := e.movedSA(); ok {
				nat = true
				clues = append(clues, For(2.6, "the peer is seen behind another port than before", saPlace(a), saPlace(b)))
			}
			if s, ok := e.Config().Setting("crypto isakmp nat-traversal"); ok && !s.No {
				if n := seconds(s.Value); n >= 2*time.Minute {
					clues = append(clues, For(2.4, "NAT keepalives are sent every "+s.Value+" s only, rarer than most NATs remember", s.Place))
				}
			}
			if s, ok := e.Config().Setting("crypto isakmp nat keepalive"); ok && !s.No {
				if n := seconds(s.Value); n >= 2*time.Minute {
					clues = append(clues, For(2.4, "NAT keepalives are sent every "+s.Value+" s only", s.Place))
				}
			}
		}
		if a, b, ok := t.movedTranslation(); ok {
			nat = true
			clues = append(clues, For(2.8, "the NAT in front gives UDP 4500 of one end another port than before", a, b))
		}
		idle := append(t.said(idleWords...), t.said("quiet", "nobody works", "no traffic for", "some minutes without", "ruhe ", "stille", "calme", "inactivid", "silence")...)
		first := t.said("initiat", "sends first", "first packet from", "zuerst sendet", "envoie en premier", "envía primero", "ping from", "from the branch", "from the spoke", "von dort", "from that side", "from their side", "der gegenseite", "von der filiale")
		words := t.said("nat ", "nat-", "router", "behind nat", "hinter nat", "mapping", "udp timeout")
		if len(idle) > 0 && (nat || lost > 0) {
			clues = append(clues, For(1, "people say: after a pause", idle...))
		}
		if len(first) > 0 && nat {
			w := 1.0
			if len(idle) > 0 {
				w = 1.8 // the whole story
			}
			clues = append(clues, For(w, "it comes back when the end behind the NAT sends first", first...))
		}
		if len(words) > 0 && nat {
			clues = append(clues, For(0.4, "", words...))
		}
		if !nat || !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight >= 1.2 }) {
			return nil
		}
		m := Match{Clues: clues,
			Title: "The NAT in front of one end of " + t.between() + " forgets its mapping during a pause",
			Explanation: "The tunnel runs through a NAT (UDP 4500). After a pause the NAT has forgotten its mapping, so packets from the far end go to a port that no longer leads anywhere, and the peer looks dead until the end behind the NAT sends first. " +
				"NAT keepalives must come more often than the mapping lives, 20 s is usual."}
		for _, e := range t.Ends {
			if e.isIOS() {
				m.Actions = append(m.Actions, advise(e, []string{"crypto isakmp nat keepalive 20"}))
			} else {
				m.Actions = append(m.Actions, advise(e, []string{"crypto isakmp nat-traversal 20"}))
			}
		}
		m.Actions = append(m.Actions, advise(nil, nil, "a longer UDP timeout on the NAT device"))
		m.Next = []report.Next{bothEnds("shows whether packets of the far end still reach the NAT's old port")}
		return []Match{m}
	},
}

// natSigns returns where an end shows that its tunnel runs through a NAT.
func natSigns(e *End) []facts.Place {
	var out []facts.Place
	out = append(out, at(saying(withID(e.Events(), "713172"), "is behind a nat", "end is behind")...)...)
	for _, sa := range e.IPsec() {
		if inUDP(sa) {
			out = append(out, sa.Place)
			break
		}
	}
	for _, sa := range e.IKE() {
		if sa.RemotePort != 0 && sa.RemotePort != 500 {
			out = append(out, saPlace(sa))
			break
		}
	}
	for _, s := range e.Sessions() {
		if p := s.Fields["port"]; p != "" && p != "500" && p != "0" {
			out = append(out, s.Place)
			break
		}
	}
	for _, ev := range e.Events() {
		if ev.PeerPort != 0 && ev.PeerPort != 500 && strings.HasSuffix(ev.ID, "SESSION_STATUS") || ev.Kind == "debug" && hasAny(ev.Text, "dport 4500") {
			out = append(out, ev.Place)
			break
		}
	}
	return out
}

// movedPort finds two lines of one peer with different ports, neither of them IKE's own.
func movedPort(l life) (facts.Event, facts.Event, bool) {
	var first facts.Event
	for _, m := range l.moments {
		if m.ev.PeerPort == 0 || m.ev.PeerPort == 500 {
			continue
		}
		if first.PeerPort == 0 {
			first = m.ev
		} else if m.ev.PeerPort != first.PeerPort {
			return first, m.ev, true
		}
	}
	return facts.Event{}, facts.Event{}, false
}

// movedSA finds the peer behind different ports in two readings.
func (e *End) movedSA() (facts.IKESA, facts.IKESA, bool) {
	sas := e.IKE()
	for i, a := range sas {
		for _, b := range sas[i+1:] {
			if a.RemotePort > 0 && b.RemotePort > 0 && a.RemotePort != b.RemotePort && a.RemotePort != 500 && b.RemotePort != 500 && a.Remote == b.Remote && a.Reading != b.Reading {
				return a, b, true
			}
		}
	}
	return facts.IKESA{}, facts.IKESA{}, false
}

var peerTableStale = Condition{
	ID:        "peer-table-stale",
	Cause:     "old peer entries block the new tunnel",
	Shows:     "'Stale PeerTblEntry found', 'No SPI to identify Phase 2 SA' after a migration",
	Severity:  report.Critical,
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, ASA configuration migration",
	Look: func(t *Tunnel) []Match {
		var out []Match
		for _, e := range t.Ends {
			evs := e.Events()
			var clues []Clue
			if x := saying(evs, "stale peertblentry", "old peertblentry", "alten peertblentry", "peertblentry found"); len(x) > 0 {
				clues = append(clues, For(4.4, "an old entry of the peer table is in the way", at(x...)...))
			}
			if x := saying(evs, "no spi to identify phase 2 sa"); len(x) > 0 {
				clues = append(clues, For(2, "the device wants to delete an SA that it cannot name", at(x...)...))
			}
			if len(clues) == 0 {
				continue
			}
			if x := saying(evs, "removing peer from correlator table failed"); len(x) > 0 {
				clues = append(clues, For(0.8, "", at(x...)...))
			}
			if x := saying(evs, "qm fsm error"); len(x) > 0 {
				clues = append(clues, Against(2.5, "quick mode fails: the crypto map's sequence first", at(x...)...))
			}
			if x := saying(evs, "no_proposal_chosen", "no proposal chosen"); len(x) > 0 {
				clues = append(clues, Against(3, "a proposal is refused", at(x...)...))
			}
			if x := t.said("migrat", "upgrade", "umstellung", "hardware tausch", "replaced"); len(x) > 0 {
				clues = append(clues, For(0.6, "after a migration", x...))
			}
			peer := e.PeerLabel()
			for _, ev := range evs {
				if hasAny(ev.Text, "peertblentry", "no spi to identify") && ev.Peer.IsValid() {
					peer = ev.Peer.String()
				}
			}
			act := clearIKE(e, facts.IKESA{Version: 1, Remote: e.Peer})
			m := Match{Key: e.Label() + " " + peer, Clues: clues,
				Title: fmt.Sprintf("An old peer entry on %s blocks the new tunnel to %s", e.Label(), peer),
				Explanation: "After a change or migration of the configuration the device still has an entry for this peer from before and removes it while the new tunnel is negotiated (PeerTblEntry). " +
					"Clearing this one peer's SA takes the remains away. It is no refusal by the peer: no notify was received.",
				Actions: []report.Action{act, advise(e, []string{"crypto isakmp identity address"}, "when it returns: enter the crypto map again; every tunnel of the interface drops, so in a maintenance window")}}
			if strings.Contains(peer, "peer") {
				m.Actions = m.Actions[1:] // no address, no clear
			}
			out = append(out, m)
		}
		return out
	},
}
