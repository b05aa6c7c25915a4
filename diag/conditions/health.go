package conditions

import (
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// health are the statements about tunnels without a fault.
func health() []Condition {
	return []Condition{tunnelHealthy, tunnelIdle}
}

var tunnelHealthy = Condition{
	ID:       "tunnel-healthy",
	Cause:    "nothing is wrong",
	Shows:    "SA up and counters growing both ways, or ESP both ways",
	Severity: report.Info, Healthy: true, Prefer: []string{"rekey-before-lifetime"},
	Reference: "Cisco: MM_ACTIVE / QM_IDLE with counters growing both ways",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		both := 0
		for _, e := range t.Ends {
			sa, ok := StateOf(e.IKE())
			if ok && IsUp(sa) {
				clues = append(clues, For(1.6, e.Label()+" has phase 1 up ("+sa.State+")", saPlace(sa)))
			} else if ok && !sa.Deleted {
				clues = append(clues, Against(4, e.Label()+" stands at "+sa.State))
			}
			f := e.counters()
			switch {
			case f.ok && f.encaps > 0 && f.decaps > 0:
				clues = append(clues, For(2.6, e.Label()+" sends and receives through the tunnel", f.place("encaps"), f.place("decaps")))
				both++
			case f.ok && (f.encaps > 0) != (f.decaps > 0):
				clues = append(clues, Against(3, e.Label()+" counts packets in one direction only"))
			case !f.ok:
				// Only one-way protocols are protected here, or no counters were read.
				for _, ip := range e.IPsec() {
					if oneWay(ip) && (ip.Encaps > 0 || ip.Decaps > 0) {
						clues = append(clues, For(2.2, e.Label()+" carries what is one-way by nature", place(ip, "encaps"), place(ip, "decaps")))
						both++
						break
					}
				}
				for _, x := range e.Sessions() {
					if x.BytesTx > 0 && x.BytesRx > 0 {
						clues = append(clues, For(2.2, e.Label()+" counts bytes both ways for the session", x.Place))
						both++
						break
					}
				}
			}
			if both > 0 || !ok || !IsUp(sa) {
				continue
			}
			for _, x := range e.Sessions() {
				if x.BytesTx > 0 && x.BytesRx > 0 {
					clues = append(clues, For(2.2, e.Label()+" counts bytes both ways for this session", x.Place))
					both++
					break
				}
			}
		}
		if both == 0 && len(clues) == 0 {
			for _, e := range t.Ends {
				if ev, ok := e.upInLog(); ok {
					return []Match{{Clues: []Clue{For(2.6, e.Label()+" logs that phase 2 completed, and nothing that ends the tunnel after it", at(ev)...)},
						Title:       "The log of " + e.Label() + " shows the tunnel to " + e.PeerLabel() + " coming up",
						Explanation: "Phase 2 completed, and no line after it ends the tunnel. The log does not say whether traffic passes.", Actions: []report.Action{harmless()},
						Next: []report.Next{readAlso("show crypto ipsec sa", "its counters show whether traffic passes both ways")}}}
				}
			}
		}
		for _, e := range t.Ends {
			out, x := e.sent("esp")
			in, y := e.got("esp")
			if out > 1 && in > 1 {
				clues = append(clues, For(2.6, "the capture on "+e.Label()+" lists ESP both ways", append(x[:1:1], y[0])...))
				both++
			}
		}
		if both == 0 {
			return nil
		}
		return []Match{{Clues: clues, Title: "The tunnel between " + t.between() + " is healthy",
			Explanation: "Phase 1 is up, IPsec SAs exist, and packets are counted in both directions.", Actions: []report.Action{harmless()}}}
	},
}

// upInLog returns the last line that says that phase 2 with the peer completed, unless a later
// one ends the tunnel.
func (e *End) upInLog() (up facts.Event, ok bool) {
	if !e.Peer.IsValid() || len(e.IKE()) > 0 || len(e.IPsec()) > 0 || len(e.Sessions()) > 0 {
		return up, false
	}
	for _, ev := range e.Events() {
		m, known := momentOf(ev)
		switch {
		case known && (m.step == wentDown || m.step == lostPeer):
			ok = false
		case !e.Names(ev):
		case ev.ID == "713120" || ev.ID == "713049" || ev.ID == "602303" || known && m.step == cameUp && strings.HasSuffix(ev.ID, "SESSION_STATUS") ||
			ev.Kind == "debug" && hasAny(ev.Text, "phase 2 completed"):
			up, ok = ev, true
		}
	}
	return up, ok
}

// counted returns the SAs whose counters say something: those with SPIs, or, in a filtered
// answer or a session table that shows none, all with counters.
func counted(sas []facts.IPsecSA) []facts.IPsecSA {
	if out := live(sas); len(out) > 0 {
		return out
	}
	var out []facts.IPsecSA
	for _, sa := range sas {
		_, flow := sa.Places.At("flow")
		if sa.Encaps >= 0 && sa.Decaps >= 0 && (flow || !sa.Complete) {
			out = append(out, sa)
		}
	}
	return out
}

var tunnelIdle = Condition{
	ID:       "tunnel-idle",
	Cause:    "the tunnel is up and nobody uses it",
	Shows:    "counters that stand still at both ends",
	Severity: report.Info, Healthy: true, Prefer: []string{"tunnel-healthy", "rekey-before-lifetime"},
	Reference: "practice: counters of two readings that stand still",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		for _, e := range t.Ends {
			sa, ok := StateOf(e.IKE())
			sas := counted(e.IPsec())
			if ok && !IsUp(sa) || len(sas) == 0 {
				continue
			}
			still, twice := true, false
			type pair struct{ local, remote facts.Selector }
			first := map[pair]facts.IPsecSA{}
			for _, x := range sas {
				k := pair{x.LocalID, x.RemoteID}
				old, seen := first[k]
				if !seen {
					first[k] = x
					continue
				}
				if x.Reading != old.Reading {
					twice = true
					still = still && x.Encaps == old.Encaps && x.Decaps == old.Decaps
				}
			}
			zero := true
			for _, x := range sas {
				zero = zero && x.Encaps <= 0 && x.Decaps <= 0
			}
			switch {
			case twice && still:
				clues = append(clues, For(3.4, e.Label()+" counts nothing between two readings", place(sas[0], "encaps"), place(sas[len(sas)-1], "encaps")))
			case zero && ok:
				clues = append(clues, For(2.6, e.Label()+" has the tunnel up and has counted nothing", place(sas[0], "encaps"), saPlace(sa)))
			}
		}
		if len(clues) == 0 {
			return nil
		}
		return []Match{{Clues: clues, Title: "The tunnel between " + t.between() + " is up and nobody uses it",
			Explanation: "Phase 1 and the IPsec SAs are up, and the counters stand still. Nothing is wrong; without traffic nothing more can be said.",
			Actions:     []report.Action{harmless()}, Next: []report.Next{{Collect: "a sourced ping through the tunnel", Because: "shows whether traffic passes", Playbook: "diagnose"}}}}
	},
}
