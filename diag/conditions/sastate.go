package conditions

import (
	"fmt"
	"slices"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// saState are the conditions about security associations that exist, ended, or exist on
// one side only.
func saState() []Condition {
	return []Condition{staleSA}
}

// askedIKE tells whether the device was asked for its IKE SAs and answered whole, so that
// no SA means none.
func (e *End) askedIKE() (facts.Place, bool) {
	for _, o := range e.Device.Outputs {
		switch o.Command {
		case "show crypto isakmp sa", "show crypto isakmp sa detail", "show crypto ikev1 sa", "show crypto ikev1 sa detail":
			if !o.Refused && (o.Complete || o.Empty) {
				return o.Place, true
			}
		}
	}
	return facts.Place{}, false
}

// live returns the IPsec SAs that have SPIs.
func live(sas []facts.IPsecSA) []facts.IPsecSA {
	dead := func(sa facts.IPsecSA) bool { return len(sa.SPIIn) == 0 && len(sa.SPIOut) == 0 }
	if !slices.ContainsFunc(sas, dead) {
		return sas // nearly always
	}
	return slices.DeleteFunc(slices.Clone(sas), dead)
}

// place returns the place of a field of an IPsec SA, else of its block.
func place(sa facts.IPsecSA, field string) facts.Place {
	if p, ok := sa.Places.At(field); ok {
		return p
	}
	return sa.Place
}

var staleSA = Condition{
	ID:         "stale-sa",
	Cause:      "one end uses an SA that the other has dropped",
	Shows:      "IKMP_NO_SA, RECVD_PKT_INV_SPI, 402114, 713117; an SA at one end only; SPIs that do not pair; captures: ESP with an ended SPI",
	Severity:   report.Critical,
	Reference:  "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, clear old or existing security associations; %CRYPTO-4-IKMP_NO_SA, %CRYPTO-4-RECVD_PKT_INV_SPI, %ASA-4-402114",
	Negotiates: true,
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		holder := -1 // the end that still uses an SA the other has dropped
		for i, e := range t.Ends {
			evs := e.Events()
			named := func(in []facts.Event) []facts.Event {
				return slices.DeleteFunc(slices.Clone(in), func(ev facts.Event) bool { return !e.Names(ev) })
			}
			if x := named(withID(evs, "IKMP_NO_SA")); len(x) > 0 {
				w := 1.8
				if len(x) > 1 {
					w = 2.6
				}
				clues = append(clues, For(w, e.Label()+" gets IKE messages for an SA it does not have", at(x...)...))
				holder = other(t, i)
				if ps := e.moved(); len(ps) > 0 {
					clues = append(clues, Against(3, "a neighbour of that address has just begun: the message is of another attempt", at(ps[0].first)...))
				}
			}
			if x := named(withID(evs, "RECVD_PKT_INV_SPI", "402114")); len(x) > 1 {
				clues = append(clues, For(2.4, e.Label()+" gets ESP with SPIs it does not have, again and again", at(x...)...))
				holder = other(t, i)
			} else if len(x) == 1 {
				clues = append(clues, For(1, e.Label()+" got ESP with an SPI it does not have", at(x...)...))
				holder = other(t, i)
			}
			if x := named(withID(evs, "RECVD_PKT_INV_SPI", "402114")); len(x) > 0 && e.aroundRekey(x) {
				clues = append(clues, Against(2.6, "packets of the old SA around the moment when a new one came up: normal"))
			} else if f := e.counters(); len(clues) > 0 && len(withID(evs, "IKMP_NO_SA", "RECVD_PKT_INV_SPI", "402114")) <= 2 && len(t.phase1Up()) > 0 && f.ok && f.encaps > 0 && f.decaps > 0 {
				clues = append(clues, Against(2, "the tunnel is up and counts both ways: a line or two around a rekey are normal"))
			}
			if len(clues) > 0 && e.stranger() {
				clues = append(clues, Against(3, "the address belongs to none of the device's peers"))
			}
			if x := withID(evs, "713117"); len(x) > 0 {
				clues = append(clues, For(1.6, "the peer says it does not know our SPI", at(x...)...))
				holder = i
			}
		}
		if len(t.Ends) == 2 {
			for i, e := range t.Ends {
				o := t.Ends[1-i]
				mine, theirs := e.IKE(), o.IKE()
				sa, _ := StateOf(mine)
				p, asked := o.askedIKE()
				upThere := slices.ContainsFunc(theirs, func(s facts.IKESA) bool { return !s.Deleted })
				if len(mine) > 0 && IsUp(sa) && asked && !upThere {
					clues = append(clues, For(3, e.Label()+" has an SA, "+o.Label()+" has none", saPlace(sa), p))
					holder = i
				}
			}
			if a, b, ok := unpaired(t.Ends[0], t.Ends[1]); ok {
				clues = append(clues, For(2, "the SPIs of the two ends do not pair", a, b))
			} else if a, b, ok := paired(t.Ends[0], t.Ends[1]); ok {
				clues = append(clues, Against(4, "the SPIs of the two ends pair", a, b))
			}
		}
		for _, e := range t.Ends {
			if moving(e) {
				clues = append(clues, Against(3, "traffic is decrypted there now"))
			}
		}
		if len(clues) == 0 {
			return nil
		}
		m := Match{Clues: clues,
			Title: "A stale SA between " + t.between() + ": one end still uses an SA that the other has dropped",
			Explanation: "One end goes on encrypting under an SA that its peer no longer has, so the peer drops everything it sends. " +
				"It happens after a reload, a lost delete or a change at one end, where keepalives do not notice. Clearing this one peer's SA at the end that still has it lets the next traffic build a new one."}
		if holder >= 0 && holder < len(t.Ends) {
			e := t.Ends[holder]
			m.Title = fmt.Sprintf("A stale SA on %s: it still uses an SA that %s has dropped", e.Label(), e.PeerLabel())
			if sas := e.IKE(); len(sas) > 0 {
				m.Actions = append(m.Actions, clearIKE(e, sas[0]))
			}
			m.Actions = append(m.Actions, clearIPsec(e))
		} else {
			for _, e := range t.Ends {
				// Only the end that got the strangers' packets is at hand; its peer holds the SA.
				a := clearIPsec(e)
				a.Steps = []string{"better at the other end, which still uses the old SA"}
				m.Actions = append(m.Actions, a)
			}
			m.Next = append(m.Next, readAlso("the other end's SAs", "shows which end holds the stale SA"))
		}
		m.Actions = append(m.Actions, advise(nil, nil, "look at the SAs first, clear this peer's only, then send traffic to bring the tunnel back",
			"when it returns: keepalives on both ends; on IOS crypto isakmp invalid-spi-recovery"))
		return []Match{m}
	},
}

// unheardOf: neither configuration nor SAs know the peer, but for a deleted row of an attempt
// that it began, and another peer's SA is up.
func (e *End) unheardOf() bool {
	if len(e.Entries()) > 0 || e.TunnelGroup() != nil || len(e.IPsec()) > 0 || slices.ContainsFunc(e.IKE(), func(s facts.IKESA) bool { return !s.Deleted || s.Role != "responder" }) {
		return false
	}
	return slices.ContainsFunc(e.Device.IKE, func(s facts.IKESA) bool { return s.Remote != e.Peer && IsUp(s) })
}

func other(t *Tunnel, i int) int {
	if len(t.Ends) == 2 {
		return 1 - i
	}
	return -1
}

// spis returns the SPIs of an end's IPsec SAs with the peer, by direction.
func spis(e *End) (in, out map[uint32]facts.Place) {
	in, out = map[uint32]facts.Place{}, map[uint32]facts.Place{}
	for _, sa := range e.IPsec() {
		for _, s := range sa.SPIIn {
			in[s.Value] = s.Place
		}
		for _, s := range sa.SPIOut {
			out[s.Value] = s.Place
		}
	}
	return in, out
}

// paired finds an SPI that goes out at one end and in at the other.
func paired(a, b *End) (facts.Place, facts.Place, bool) {
	ain, aout := spis(a)
	bin, bout := spis(b)
	for v, p := range aout {
		if q, ok := bin[v]; ok {
			return p, q, true
		}
	}
	for v, p := range ain {
		if q, ok := bout[v]; ok {
			return p, q, true
		}
	}
	return facts.Place{}, facts.Place{}, false
}

// unpaired: both ends have SAs with each other and no SPI of one is the other's.
func unpaired(a, b *End) (facts.Place, facts.Place, bool) {
	_, aout := spis(a)
	bin, _ := spis(b)
	if len(aout) == 0 || len(bin) == 0 {
		return facts.Place{}, facts.Place{}, false
	}
	if _, _, ok := paired(a, b); ok {
		return facts.Place{}, facts.Place{}, false
	}
	var p, q facts.Place
	for _, p = range aout {
		break
	}
	for _, q = range bin {
		break
	}
	return p, q, true
}

// aroundRekey: one or two packets with an unknown SPI within a minute, beside a new SA or with
// SAs that carry traffic both ways.
func (e *End) aroundRekey(x []facts.Event) bool {
	last := x[len(x)-1]
	if len(x) > 2 || !last.HasTime || last.Repeat > 1 || last.Time.Sub(x[0].Time) > time.Minute {
		return false
	}
	for _, l := range e.lives() {
		for _, m := range l.moments {
			if d := m.ev.Time.Sub(last.Time); (m.step == cameUp || m.step == rekeyed) && m.ev.HasTime && d.Abs() <= 2*time.Minute {
				return true
			}
		}
	}
	return slices.ContainsFunc(e.IPsec(), func(sa facts.IPsecSA) bool { return len(sa.SPIIn) > 0 && sa.Decaps > 0 && sa.Encaps > 0 })
}

// moving: two readings of the same SA show that decapsulations grow.
func moving(e *End) bool {
	first := map[uint32]int64{}
	for _, sa := range e.IPsec() {
		for _, s := range sa.SPIIn {
			if before, ok := first[s.Value]; ok && sa.Decaps > before {
				return true
			}
			if _, ok := first[s.Value]; !ok {
				first[s.Value] = sa.Decaps
			}
		}
	}
	return false
}
