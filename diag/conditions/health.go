package conditions

import (
	"vpnbot/diag/report"
)

// health are the statements about tunnels without a fault.
func health() []Condition {
	return []Condition{tunnelHealthy, tunnelIdle}
}

var tunnelHealthy = Condition{
	ID: "tunnel-healthy", Severity: report.Info, Healthy: true, Prefer: []string{"rekey-before-lifetime"},
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
			for _, ip := range e.IPsec() {
				if ip.Encaps > 0 && ip.Decaps > 0 {
					clues = append(clues, For(2.6, e.Label()+" sends and receives through the tunnel", place(ip, "encaps"), place(ip, "decaps")))
					both++
					break
				}
			}
		}
		if both == 0 {
			return nil
		}
		return []Match{{Clues: clues, Title: "The tunnel between " + t.between() + " is healthy",
			Explanation: "Phase 1 is up, IPsec SAs exist, and packets are counted in both directions.", Actions: []report.Action{harmless()}}}
	},
}

var tunnelIdle = Condition{
	ID: "tunnel-idle", Severity: report.Info, Healthy: true, Prefer: []string{"tunnel-healthy", "rekey-before-lifetime"},
	Reference: "practice: counters of two readings that stand still",
	Look: func(t *Tunnel) []Match {
		var clues []Clue
		for _, e := range t.Ends {
			sa, ok := StateOf(e.IKE())
			sas := live(e.IPsec())
			if !ok || !IsUp(sa) || len(sas) == 0 {
				continue
			}
			still, twice := true, false
			for _, x := range sas {
				for _, y := range sas {
					if y.Reading > x.Reading && x.LocalID == y.LocalID && x.RemoteID == y.RemoteID {
						twice = true
						still = still && x.Encaps == y.Encaps && x.Decaps == y.Decaps
					}
				}
			}
			zero := true
			for _, x := range sas {
				zero = zero && x.Encaps <= 0 && x.Decaps <= 0
			}
			switch {
			case twice && still:
				clues = append(clues, For(3.4, e.Label()+" counts nothing between two readings", place(sas[0], "encaps"), place(sas[len(sas)-1], "encaps")))
			case zero:
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
