package engine

import (
	"strings"

	"vpnbot/diag/conditions"
	"vpnbot/diag/report"
)

// stops maps an SA state to the message that is missing (knowledge/procedures.md 2:
// an ASA names the message it waits for).
var stops = []struct{ prefix, stop, exchange string }{
	{"MM_WAIT_MSG2", "MM2", "main"}, {"MM_WAIT_MSG3", "MM3", "main"}, {"MM_WAIT_MSG4", "MM4", "main"},
	{"MM_WAIT_MSG5", "MM5", "main"}, {"MM_WAIT_MSG_5", "MM5", "main"}, {"MM_WAIT_MSG6", "MM6", "main"}, {"MM_WAIT_MSG_6", "MM6", "main"},
	{"MM_NO_STATE", "MM2", "main"}, {"MM_SA_SETUP", "MM4", "main"}, {"MM_KEY_EXCH", "MM5", "main"},
	{"AM_WAIT_MSG2", "AM2", "aggressive"}, {"AM_WAIT_MSG3", "AM3", "aggressive"}, {"AG_NO_STATE", "AM1", "aggressive"}, {"AG_INIT_EXCH", "AM2", "aggressive"},
	{"AM_TM_INIT_XAUTH", "XAUTH", "aggressive"}, {"AM_TM_INIT_MODECFG", "MODECFG", "aggressive"}, {"TM_INIT_XAUTH", "XAUTH", ""}, {"TM_INIT_MODECFG", "MODECFG", ""},
	{"MM_TM_INIT_XAUTH", "XAUTH", "main"}, {"MM_TM_INIT_MODECFG", "MODECFG", "main"}, {"CONF_XAUTH", "XAUTH", ""}, {"CONF_ADDR", "MODECFG", ""},
	{"MM_", "", "main"}, {"AM_", "", "aggressive"}, {"AG_", "", "aggressive"},
}

// sight is what evidence shows of a tunnel's state, before the findings are looked at.
type sight struct {
	row               report.Tunnel
	phase1, pending   int
	ipsec, asked      bool // an IPsec SA is there; the device was asked for its SAs
	oneWay            bool // an SA counts in one direction only
	wireUp, wireTried bool
}

// look says what is known about a tunnel beside its findings.
func look(t *conditions.Tunnel) sight {
	out := report.Tunnel{Name: t.Name, Ends: []report.End{}, State: report.Unknown}
	for _, e := range t.Ends {
		r := report.End{Device: e.Device.Name}
		if e.Own.IsValid() {
			r.Address = e.Own.String()
		}
		out.Ends = append(out.Ends, r)
	}
	if len(t.Ends) == 1 && t.Ends[0].Peer.IsValid() {
		out.Ends = append(out.Ends, report.End{Address: t.Ends[0].Peer.String()})
	}
	if len(t.Ends) == 0 {
		for _, a := range t.Addrs {
			out.Ends = append(out.Ends, report.End{Address: a.String()})
		}
	}
	phase1, pending, ipsec := 0, 0, false
	var decaps, encaps int64
	for _, e := range t.Ends {
		for _, sa := range e.IKE() {
			v := sa.Version
			if v != 0 && out.IKE == nil {
				out.IKE = &v
			}
			if v == 2 {
				ex := "ikev2"
				out.Exchange = &ex
			}
			if conditions.IsUp(sa) {
				phase1++
				continue
			}
			if sa.Deleted {
				continue
			}
			pending++
			for _, s := range stops {
				if strings.HasPrefix(sa.State, s.prefix) {
					if s.exchange != "" && out.Exchange == nil {
						ex := s.exchange
						out.Exchange = &ex
					}
					if s.stop != "" && (out.StoppedAt == nil || later(s.stop, *out.StoppedAt)) {
						st := s.stop
						out.StoppedAt = &st
					}
					break
				}
			}
		}
		for _, sa := range e.IPsec() {
			if len(sa.SPIIn) > 0 || len(sa.SPIOut) > 0 {
				ipsec = true
			}
			encaps, decaps = max(encaps, sa.Encaps), max(decaps, sa.Decaps)
		}
	}
	wireUp, wireTried := wire(t, &out)
	return sight{row: out, phase1: phase1, pending: pending, ipsec: ipsec, asked: len(t.Ends) > 0 && sawSAs(t),
		oneWay: (encaps > 0) != (decaps > 0), wireUp: wireUp, wireTried: wireTried}
}

// describe says in which state a tunnel is, by what was seen and found.
func (s *sight) describe(finds []report.Finding) report.Tunnel {
	out := s.row
	fault := false
	for _, f := range finds {
		fault = fault || f.Severity == report.Critical || f.Severity == report.Major
	}
	switch {
	case s.phase1 > 0 && s.ipsec && !fault:
		out.State, out.StoppedAt = report.Up, nil
	case s.phase1 > 0 && s.ipsec, s.ipsec && s.pending == 0:
		out.State, out.StoppedAt = report.Degraded, nil
		if !fault {
			out.State = report.Up
		}
		if fault && s.oneWay {
			esp := "ESP"
			out.StoppedAt = &esp
		}
	case s.pending > 0:
		out.State = report.Negotiating
	case s.phase1 > 0:
		out.State = report.Degraded
	case s.wireUp && !fault:
		out.State, out.StoppedAt = report.Up, nil
	case s.wireUp:
		out.State = report.Degraded
	case s.wireTried:
		out.State = report.Negotiating
	case s.asked:
		out.State = report.Down
	}
	for _, f := range finds {
		switch f.ID {
		case "tunnel-healthy", "tunnel-idle", "loss-but-healthy", "rekey-before-lifetime":
			if out.State == report.Unknown || out.State == report.Degraded {
				out.State, out.StoppedAt = report.Up, nil
			}
		}
	}
	return out
}

// sawSAs: the device was asked for its SAs, so that none means none.
func sawSAs(t *conditions.Tunnel) bool {
	for _, e := range t.Ends {
		for _, o := range e.Device.Outputs {
			if strings.Contains(o.Command, " sa") && strings.HasPrefix(o.Command, "show crypto") && !o.Refused {
				return true
			}
		}
	}
	return false
}

var order = []string{"MM1", "MM2", "MM3", "MM4", "MM5", "MM6", "AM1", "AM2", "AM3", "IKE_SA_INIT", "IKE_AUTH", "XAUTH", "MODECFG", "QM1", "QM2", "QM3", "CREATE_CHILD_SA", "ESP"}

// later: the end that is further on is stuck because the other's message is missing there;
// the earlier stop is where the negotiation stands. Two ends out of step stop at the earlier one.
func later(a, b string) bool { return index(a) < index(b) }

func index(s string) int {
	for i, o := range order {
		if o == s {
			return i
		}
	}
	return len(order)
}

// wire adds what captures tell about the state; without captures it changes nothing.
// Texts are read at one moment, captures show what happened: where both speak of the
// state, the texts stand, where they stop, the packets name the message.
func wire(t *conditions.Tunnel, out *report.Tunnel) (up, tried bool) {
	o := t.OnWire()
	if o.Version != 0 && out.IKE == nil {
		v := o.Version
		out.IKE = &v
	}
	switch o.Exchange {
	case "main", "aggressive", "ikev2":
		if out.Exchange == nil {
			e := o.Exchange
			out.Exchange = &e
		}
	}
	if o.Stopped != "" && index(o.Stopped) < len(order) {
		st := o.Stopped
		out.StoppedAt = &st
	}
	return o.Up, o.Tried
}
