package conditions

import (
	"fmt"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// name calls an end by its vantage point's name and address.
func (s *story) name(end int) string {
	e := s.w.Ends[end]
	a := s.w.Public(end)
	switch {
	case e.Name == "" && len(e.Ports) > 0 && a.IsValid():
		return fmt.Sprintf("%v (port %s)", a, portList(e.Ports))
	case e.Name != "" && a.IsValid():
		return e.Name + " (" + a.String() + ")"
	case e.Name != "":
		return e.Name
	case a.IsValid():
		return a.String()
	}
	return "the other end"
}

// next is the usual advice to capture the other end too.
func (s *story) next(because string) []report.Next {
	if s.both() {
		return nil
	}
	miss := 0
	if s.at(0) {
		miss = 1
	}
	return []report.Next{{Collect: "a capture at " + s.name(miss) + " of the same time, beside this one", Because: because, Playbook: "capture-both-ends"}}
}

// device finds the tunnel's end that belongs to an end of the wire.
func (s *story) device(end int) *End {
	v := s.w.Ends[end].View
	for _, e := range s.t.Ends {
		if v != nil && e.Device != nil && (e.Device.Name != "" && e.Device.Name == v.Capture.Device) {
			return e
		}
	}
	for _, e := range s.t.Ends {
		if slices.Contains(s.w.Ends[end].Addrs, e.Own) {
			return e
		}
	}
	return nil
}

// mend makes an action for one end: commands of its platform where that is known, of both
// platforms, named, where it is not.
func (s *story) mend(class report.Class, end int, asa, ios, steps []string, effect string) report.Action {
	a := report.Action{Class: class, Commands: []string{}, Steps: slices.Clone(steps), Effect: effect}
	platform := facts.UnknownPlatform
	var at *End
	if end >= 0 {
		if d := s.device(end); d != nil {
			a.Device = d.Label()
			platform, at = d.Device.Platform, d
		} else if s.w.Ends[end].Name != "" {
			a.Device = s.w.Ends[end].Name
		} else if x := s.w.Public(end); x.IsValid() {
			a.Device = x.String()
		}
	}
	fill := func(cs []string) []string {
		var out []string
		peer := "<peer>"
		if end >= 0 {
			if x := s.w.Public(1 - end); x.IsValid() {
				peer = x.String()
			}
		}
		for _, c := range cs {
			out = append(out, strings.ReplaceAll(c, "<peer>", peer))
		}
		return out
	}
	switch platform {
	case facts.ASA:
		a.Commands = at.dialect(fill(asa))
	case facts.IOS:
		a.Commands = at.dialect(fill(ios))
	default:
		if len(asa) > 0 {
			a.Steps = append(a.Steps, "Cisco ASA: "+strings.Join(fill(asa), "; "))
		}
		if len(ios) > 0 {
			a.Steps = append(a.Steps, "Cisco IOS: "+strings.Join(fill(ios), "; "))
		}
	}
	if a.Commands == nil {
		a.Commands = []string{}
	}
	return a
}

// dialect puts commands of the present form into the one that this device's release takes,
// and names its interface where the configuration does.
func (e *End) dialect(cs []string) []string {
	iface := ""
	if b := e.boundTo(); len(b) == 1 {
		iface = b[0]
	}
	var out []string
	for _, c := range cs {
		if e.isASA() && e.old() {
			if strings.Contains(c, "ikev2 ") && !strings.Contains(c, "ikev1") {
				continue // there is no IKEv2 before 8.4
			}
			c = strings.NewReplacer("crypto ikev1 ", "crypto isakmp ", "ikev1 user-authentication", "isakmp ikev1-user-authentication",
				"vpn-tunnel-protocol ikev1 ikev2", "vpn-tunnel-protocol IPSec").Replace(c)
		}
		if iface != "" {
			c = strings.NewReplacer("<interface>", iface, "<outside>", iface).Replace(c)
		}
		out = append(out, c)
	}
	return out
}

// whichPeer says of which peer a statement is where several share one address.
func (s *story) whichPeer() string {
	for _, e := range s.w.Ends {
		if len(e.Ports) == 0 || len(e.Addrs) == 0 {
			continue
		}
		out := fmt.Sprintf(" %d peers share the address %v (a NAT): this is the one with UDP port %s", e.Peers, e.Addrs[0], portList(e.Ports))
		if s.a != nil {
			out += ", IKE cookies " + facts.SPIHex(s.a.InitSPI)
			if r := s.n.RespSPIs; len(r) > 0 {
				out += " and " + facts.SPIHex(r[len(r)-1])
			}
		}
		return out + "."
	}
	return ""
}

// portList joins the first ports of one peer.
func portList(ps []uint16) string {
	out := ""
	for i, p := range ps {
		switch {
		case i == 4:
			return out + " …"
		case i > 0:
			out += ", "
		}
		out += fmt.Sprint(p)
	}
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "one " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
