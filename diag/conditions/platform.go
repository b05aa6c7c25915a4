package conditions

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// platformConditions are limits and faults of the device itself: licence, memory, failover,
// the switch that carries it.
func platformConditions() []Condition {
	return []Condition{hostLicense, lowMemory, throughputLicense, failoverData, trunkVLAN, windowScale}
}

// readings returns the device's counters of a group.
func (e *End) readings(group string) []facts.Counter {
	var out []facts.Counter
	for _, c := range e.Device.Counters {
		if c.Group == group {
			out = append(out, c)
		}
	}
	return out
}

var (
	deniedHost   = regexp.MustCompile(`local-host\s+([^\s,]+)`)
	licenseLimit = regexp.MustCompile(`limit of (\d+)`)
)

var hostLicense = Condition{
	ID:        "host-license-limit",
	Cause:     "the licence's host limit is reached",
	Shows:     "407001; show local-host at the limit",
	Severity:  report.Major,
	Reference: "%ASA-4-407001; Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, license limit",
	Look: ofDevice("host-license-limit", func(g *gateway, _ *site) []Match {
		var clues []Clue
		hosts, limit := []string{}, ""
		denied := withID(g.Device.Events, "407001")
		if len(denied) == 0 {
			denied = saying(g.Device.Events, "deny traffic for local-host")
		}
		if len(denied) > 0 {
			clues = append(clues, For(4.6, "traffic of inside hosts is refused because the licence's number of hosts is reached", at(denied...)...))
		}
		for _, ev := range denied {
			if m := deniedHost.FindStringSubmatch(ev.Text); m != nil && !slices.Contains(hosts, m[1]) {
				hosts = append(hosts, m[1])
			}
			if m := licenseLimit.FindStringSubmatch(ev.Text); m != nil {
				limit = m[1]
			}
		}
		for _, c := range g.readings("local-host") {
			full := c.Name == "hosts" && c.Limit > 0 && c.Value >= c.Limit
			refused := strings.HasSuffix(c.Name, " denied") && c.Value > 0
			if full {
				limit = fmt.Sprint(c.Limit)
			}
			if full || refused {
				clues = append(clues, For(2.4, "show local-host: the limit is reached", c.Place))
			}
		}
		if len(clues) == 0 {
			return nil
		}
		for _, c := range g.readings("version") {
			if c.Name == "inside-hosts" && c.Value > 0 {
				clues = append(clues, For(0.6, fmt.Sprintf("the licence allows %d inside hosts", c.Value), c.Place))
				if limit == "" {
					limit = fmt.Sprint(c.Value)
				}
			}
		}
		who := ""
		if len(hosts) > 0 {
			who = " (refused: " + strings.Join(hosts[:min(len(hosts), 5)], ", ") + ")"
		}
		of := ""
		if limit != "" {
			of = " of " + limit + " hosts"
		}
		return []Match{{Clues: clues,
			Title:       "The licence limit" + of + " of " + g.Label() + " is reached" + who,
			Explanation: "The device counts the inside hosts that talk through it, and its licence allows" + of + ". One host more is refused, tunnel or not; that VPN users notice it first is chance. Sessions are not what is counted here (that would be 113029 or 713239).",
			Actions:     []report.Action{advise(g.End, []string{"show version", "show local-host"}, "upgrade the user licence (50, 100, unlimited)", "until then: fewer hosts behind the device, or shorter idle times for their connections")},
		}}
	}),
}

var lowMemory = Condition{
	ID:       "low-memory",
	Cause:    "the device runs short of memory",
	Shows:    "'system is running low on memory'; 713176; show memory under 10 % free; logging queue 0",
	Severity: report.Major, Prefer: []string{"isakmp-port-in-use"},
	Reference: "Cisco: most common IPsec L2L and remote access VPN troubleshooting solutions, system is running low on memory; %ASA-3-713176",
	Look: ofDevice("low-memory", func(g *gateway, _ *site) []Match {
		var clues []Clue
		if x := saying(g.Device.Events, "running low on memory"); len(x) > 0 {
			clues = append(clues, For(4.4, g.Label()+" warns that it runs short of memory", at(x...)...))
		} else if p := g.printed("running low on memory"); len(p) > 0 {
			clues = append(clues, For(4.4, g.Label()+" warns that it runs short of memory", p...))
		}
		if x := withID(g.Device.Events, "713176"); len(x) > 0 {
			clues = append(clues, For(4, "IKE requests are ignored for lack of memory", at(x...)...))
		}
		if x := saying(g.Device.Events, "memory allocation", "malloc fail", "out of memory", "unable to allocate", "memory resources are critical"); len(x) > 0 && len(clues) == 0 {
			clues = append(clues, For(2.4, "memory could not be allocated", at(x...)...))
		}
		last, found := facts.Counter{}, false
		for _, c := range g.readings("memory") {
			if c.Name == "free" && c.Limit > 0 {
				last, found = c, true
			}
		}
		if found {
			switch pct := 100 * last.Value / last.Limit; {
			case pct < 10:
				clues = append(clues, For(3, fmt.Sprintf("%d %% of the memory is free", pct), last.Place))
			case pct >= 20:
				clues = append(clues, Against(2.5, "memory is ample", last.Place))
			}
		}
		if !slices.ContainsFunc(clues, func(c Clue) bool { return c.Weight > 0 }) {
			return nil
		}
		queue := "logging queue 512"
		if s, ok := g.Config().Setting("logging queue"); ok && !s.No && (s.Value == "0" || s.Value == "8192") {
			clues = append(clues, For(0.8, "logging queue 0 means 8192 messages, which take memory", s.Place))
		}
		var actions []report.Action
		if g.isIOS() {
			actions = append(actions, advise(g.End, []string{"show memory statistics", "show processes memory sorted"}, "find what holds the memory; a device with little memory needs more, or fewer features"))
		} else {
			actions = append(actions, advise(g.End, []string{queue, "show memory", "show memory detail"},
				"a logging queue of 0 stands for 8192 messages; 512 is the default", "ASA 5505 and 5510: more memory, or fewer features (WebVPN, threat detection statistics) at the same time"))
		}
		return []Match{{Clues: clues,
			Title:       g.Label() + " runs short of memory, and VPN features fail first",
			Explanation: "With little free memory the device may not start ISAKMP, SSL clients or HTTPS although SSH still answers; what fails looks like a VPN fault. Free memory and the logging queue are the first things to look at; no port is taken (that would be a bind error).",
			Actions:     actions,
		}}
	}),
}

// printed finds lines of short or unknown answers with one of the phrases, which are given in
// lower case: console warnings stand between commands.
func (e *End) printed(phrases ...string) []facts.Place {
	var out []facts.Place
	for i := range e.Device.Outputs {
		o := &e.Device.Outputs[i]
		if len(o.Text) > 400 {
			continue
		}
		for _, l := range o.Text {
			if len(out) < 4 && hasAny(l.Text, phrases...) {
				out = append(out, facts.Place{Source: o.Place.Source, Line: l.N, Text: strings.TrimSpace(l.Text)})
			}
		}
	}
	return out
}

var throughputLicense = Condition{
	ID:        "crypto-throughput-license",
	Cause:     "the export licence's crypto limit is reached",
	Shows:     "CERM-4 messages; show platform cerm-information with 0 available",
	Severity:  report.Major,
	Reference: "%CERM-4-TX_BW_LIMIT, %CERM-4-RX_BW_LIMIT, %CERM-4-TUNNEL_LIMIT, %CERM-4-TLS_SESSION_LIMIT",
	Look: ofDevice("crypto-throughput-license", func(g *gateway, _ *site) []Match {
		var clues []Clue
		x := withID(g.Device.Events, "TX_BW_LIMIT", "RX_BW_LIMIT", "TUNNEL_LIMIT", "TLS_SESSION_LIMIT")
		if len(x) == 0 {
			x = saying(g.Device.Events, "bandwidth limit of")
		}
		what := "throughput"
		if len(x) > 0 {
			clues = append(clues, For(4.6, "the export limit of the securityk9 licence is reached", at(x...)...))
			switch {
			case strings.HasSuffix(x[0].ID, "TUNNEL_LIMIT"):
				what = "number of tunnels (225)"
			case strings.HasSuffix(x[0].ID, "TLS_SESSION_LIMIT"):
				what = "number of TLS sessions (1000)"
			default:
				what = "throughput (85 Mbit/s each way)"
			}
		}
		for _, c := range g.readings("cerm") {
			if c.Value == 0 && c.Limit > 0 {
				clues = append(clues, For(4, "nothing of the licence is left: "+c.Name, c.Place))
			}
		}
		if len(clues) == 0 {
			return nil
		}
		return []Match{{Clues: clues,
			Title:       "The crypto licence of " + g.Label() + " is at its limit: " + what,
			Explanation: "An ISR G2 with securityk9 alone encrypts at most 85 Mbit/s in each direction and 225 tunnels (export rules). What exceeds it is dropped, so transfers slow down or new tunnels fail, although path and configuration are in order.",
			Actions:     []report.Action{advise(g.End, []string{"show platform cerm-information", "show license"}, "install the HSECK9 licence", "until then move large transfers out of the tunnel or to another router")},
		}}
	}),
}

var failoverData = Condition{
	ID:        "failover-runtime-data",
	Cause:     "IPsec failover data could not be updated on the standby unit",
	Shows:     "720012",
	Severity:  report.Minor,
	Reference: "%ASA-6-720012",
	Look: ofDevice("failover-runtime-data", func(g *gateway, _ *site) []Match {
		x := withID(g.Device.Events, "720012")
		if len(x) == 0 {
			return nil
		}
		clues := []Clue{For(4.2, "IPsec runtime data did not reach the standby unit", at(x...)...)}
		for _, c := range g.readings("failover") {
			if c.Name == "other-host" && hasAny(c.Text, "failed") {
				clues = append(clues, Against(1.5, "the standby unit itself has failed", c.Place))
			}
		}
		return []Match{{Clues: clues,
			Title:       "IPsec failover data of " + g.Label() + " was not updated on the standby unit",
			Explanation: "Message 720012 is informational: an item of IPsec runtime data could not be copied to the standby unit, often because that unit had not yet, or no longer, the session. Tunnels go on. Only when it repeats, or when show failover has a unit not in Standby Ready, is there something to repair.",
			Actions:     []report.Action{{Class: report.None, Device: g.Label(), Commands: []string{"show failover", "write standby"}, Steps: []string{"no repair needed; write standby on the active unit copies its configuration once more"}}},
		}}
	}),
}

var vlanPair = regexp.MustCompile(`(?i)vlan\s*(\d+)\s+and\s+(?:vlan\s*)?(\d+)`)

var trunkVLAN = Condition{
	ID:        "trunk-crypto-vlan",
	Cause:     "a VLAN with a crypto connection cannot be changed on the trunk",
	Shows:     "'Command rejected: delete crypto connection'",
	Severity:  report.Minor,
	Reference: "Cisco: Command rejected: delete crypto connection between VLAN x and VLAN y, first (Catalyst 6500 / 7600, IPsec VPN module)",
	Look: ofDevice("trunk-crypto-vlan", func(g *gateway, _ *site) []Match {
		p := at(saying(g.Device.Events, "delete crypto connection between")...)
		if len(p) == 0 {
			p = g.printed("delete crypto connection between")
		}
		if len(p) == 0 {
			return nil
		}
		which := "a VLAN"
		if m := vlanPair.FindStringSubmatch(p[0].Text); m != nil {
			which = "VLAN " + m[1] + " or VLAN " + m[2]
		}
		return []Match{{Clues: []Clue{For(4.8, "the switch refuses to change the trunk", p...)},
			Title:       "The trunk of " + g.Label() + " cannot be changed: " + which + " belongs to a crypto connection",
			Explanation: "With an IPsec VPN module the interface VLAN of a crypto connection may not stand in a trunk's list, so the change is rejected as a whole. Nothing is wrong with the tunnels; the list has to leave that VLAN out.",
			Actions: []report.Action{advise(g.End, []string{"switchport trunk allowed vlan none", "switchport trunk allowed vlan <list without the crypto VLAN>"},
				"'none' cuts the trunk until the list is entered: both lines in one go, from the console", "or take only that VLAN off: switchport trunk allowed vlan remove <vlan>")},
		}}
	}),
}

var windowScale = Condition{
	ID:        "window-scale-drop",
	Cause:     "the firewall drops TCP with an invalid window scale",
	Shows:     "FW-3-RESPONDER_WND_SCALE_INI_NO_SCALE",
	Severity:  report.Major,
	Reference: "%FW-3-RESPONDER_WND_SCALE_INI_NO_SCALE; RFC 7323 section 2",
	Look: ofDevice("window-scale-drop", func(g *gateway, _ *site) []Match {
		x := withID(g.Device.Events, "RESPONDER_WND_SCALE_INI_NO_SCALE")
		if len(x) == 0 {
			x = saying(g.Device.Events, "invalid window scale option")
		}
		if len(x) == 0 {
			return nil
		}
		m := Match{Clues: []Clue{For(4.6, "the firewall drops TCP handshakes", at(x...)...)},
			Title:       "The firewall of " + g.Label() + " drops TCP because of its window scale option",
			Explanation: "The responder offers TCP window scaling although the initiator did not, which RFC 7323 forbids, and the IOS firewall drops the handshake. Typically it is Telnet from or to the router through the tunnel. With a window over 65535 the side that starts offers scaling too.",
			Actions:     []report.Action{advise(g.End, []string{"ip tcp window-size 65536"}, "on the device that starts the session")}}
		if len(x[0].Addrs) > 0 {
			m.Title += " (" + x[0].Addrs[0].String() + ")"
		}
		return []Match{m}
	}),
}
