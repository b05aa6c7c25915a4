package conditions

import (
	"fmt"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// advise is an action that a person does: commands to paste, steps to take.
func advise(e *End, commands []string, steps ...string) report.Action {
	a := report.Action{Class: report.Advise, Commands: commands, Steps: steps}
	if e != nil {
		a.Device = e.Label()
		if e.isPIX() {
			a.Commands = pixForm(commands)
		}
	}
	return a
}

// isPIX tells whether an end is a PIX 6: its commands have no modes.
func (e *End) isPIX() bool { return e.isASA() && e.Device.Version.Before(7, 0) }

// pixForm writes an ASA's commands as a PIX 6 takes them: isakmp without crypto in front, a
// policy's lines each with its number, the key beside its peer, lists without "extended".
func pixForm(commands []string) []string {
	var out []string
	head, peer := "", ""
	for _, c := range commands {
		c = strings.TrimSpace(c)
		policy, isPolicy := strings.CutPrefix(c, "crypto isakmp policy ")
		group, isGroup := strings.CutPrefix(c, "tunnel-group ")
		no := ""
		if strings.HasPrefix(c, "no pre-shared-key") {
			no = "no "
		}
		switch {
		case isPolicy && !strings.Contains(policy, " "):
			head = "isakmp policy " + policy + " "
		case head != "" && (strings.HasPrefix(c, "authentication ") || strings.HasPrefix(c, "encryption ") || strings.HasPrefix(c, "hash ") || strings.HasPrefix(c, "group ") || strings.HasPrefix(c, "lifetime ")):
			out = append(out, head+c)
		case isGroup && strings.HasSuffix(group, " ipsec-attributes"):
			peer = strings.TrimSuffix(group, " ipsec-attributes")
		case peer != "" && strings.Contains(c, "pre-shared-key"):
			out = append(out, no+"isakmp key **** address "+peer+" netmask 255.255.255.255")
		default:
			head = ""
			c = strings.Replace(c, "crypto isakmp ", "isakmp ", 1)
			if strings.HasPrefix(c, "access-list ") || strings.HasPrefix(c, "no access-list ") {
				c = strings.Replace(c, " extended ", " ", 1)
			}
			out = append(out, c)
		}
	}
	return out
}

// hand is an action that goes to another party with the evidence report.
func hand(steps ...string) report.Action {
	return report.Action{Class: report.EvidenceOnly, Steps: steps}
}

// harmless says that nothing needs to be done.
func harmless(steps ...string) report.Action {
	return report.Action{Class: report.None, Steps: steps}
}

// isASA tells the command dialect of an end; unknown platforms are told by their texts.
func (e *End) isASA() bool { return e.Device.Platform == facts.ASA }

func (e *End) isIOS() bool { return e.Device.Platform == facts.IOS }

// old: an ASA of the crypto isakmp form (to 8.3). Unknown versions count as new.
func (e *End) old() bool { return e.Device.Version.Before(8, 4) }

// ikeWord is the word of phase-1 commands on this device: "isakmp" or "ikev1".
func (e *End) ikeWord() string {
	if e.isIOS() || e.old() {
		return "isakmp"
	}
	return "ikev1"
}

// clearIKE proposes to clear the IKE SA with this peer on this device; the lines are those
// of knowledge procedures 10 for the platform and version.
func clearIKE(e *End, sa facts.IKESA) report.Action {
	peer := e.PeerLabel()
	if sa.Remote.IsValid() {
		peer = sa.Remote.String()
	}
	version := max(sa.Version, 1)
	params := map[string]string{"peer": peer, "ike": strconv.Itoa(version)}
	if sa.ConnID != "" {
		params["conn_id"] = sa.ConnID
	}
	var lines []string
	switch {
	case e.isIOS() && version == 2:
		lines = []string{"clear crypto ikev2 sa remote " + peer}
	case e.isIOS() && sa.ConnID != "":
		lines = []string{"clear crypto isakmp " + sa.ConnID}
	case e.isIOS():
		lines = []string{"clear crypto session remote " + peer}
	case version == 2:
		lines = []string{"clear crypto ikev2 sa " + peer}
	case e.Device.Version.AtLeast(8, 4):
		lines = []string{"clear crypto ikev1 sa " + peer}
	default:
		lines = []string{"clear crypto isakmp sa " + peer}
	}
	return report.Action{Class: report.Approve, Device: e.Label(), Kind: report.ClearIKESA, Parameters: params, Commands: lines,
		Effect: fmt.Sprintf("the tunnel to %s drops and comes back with the next traffic, usually within seconds; other tunnels stay", peer)}
}

// clearIPsec proposes to clear the IPsec SAs with this peer on this device.
func clearIPsec(e *End) report.Action {
	peer := e.PeerLabel()
	line := "clear crypto ipsec sa peer " + peer
	if e.isIOS() {
		line = "clear crypto sa peer " + peer
	}
	return report.Action{Class: report.Approve, Device: e.Label(), Kind: report.ClearIPsecSA, Parameters: map[string]string{"peer": peer}, Commands: []string{line},
		Effect: fmt.Sprintf("the IPsec SAs with %s drop and are negotiated again with the next traffic; other tunnels stay", peer)}
}

// bothEnds is the next evidence that separates most path faults.
func bothEnds(because string) report.Next {
	return report.Next{Collect: "captures at both ends of the same moment", Because: because, Playbook: "capture-both-ends"}
}

// readAlso asks for texts that are missing.
func readAlso(what, because string) report.Next {
	return report.Next{Collect: what, Because: because, Playbook: "diagnose"}
}

// hasAny tells whether the text holds one of the phrases, in any letter case; phrases are
// given in lower case.
func hasAny(text string, phrases ...string) bool {
	t := strings.ToLower(text)
	for _, p := range phrases {
		if strings.Contains(t, p) {
			return true
		}
	}
	return false
}

// withID returns the events with one of the message ids. Severities differ between
// releases: an IOS id may be given as FACILITY-MNEMONIC or by its mnemonic alone.
func withID(evs []facts.Event, ids ...string) []facts.Event {
	var out []facts.Event
	for _, ev := range evs {
		for _, id := range ids {
			if ev.ID == id || len(ev.ID) > len(id) && ev.ID[len(ev.ID)-len(id)-1] == '-' && strings.HasSuffix(ev.ID, id) {
				out = append(out, ev)
				break
			}
		}
	}
	return out
}

// saying returns the events whose body holds one of the phrases.
func saying(evs []facts.Event, phrases ...string) []facts.Event {
	var out []facts.Event
	for _, ev := range evs {
		if hasAny(ev.Text, phrases...) {
			out = append(out, ev)
		}
	}
	return out
}

// at returns the places of events, the first three and the last: enough to prove a row of them.
func at(evs ...facts.Event) []facts.Place {
	var out []facts.Place
	for i, ev := range evs {
		if i < 3 || i == len(evs)-1 {
			out = append(out, ev.Place)
		}
	}
	return out
}
