package ios

import (
	"strings"

	"vpnbot/diag/facts"
)

// mark is a text that gives a command's output away.
type mark struct {
	text    string
	command string
	score   int
	start   bool // at the start of a line only
}

var marks = []mark{
	{"Crypto ISAKMP SA", "show crypto isakmp sa", 90, false},
	{"C-id  Local", "show crypto isakmp sa detail", 95, false},
	{"dst             src", "show crypto isakmp sa", 85, true},
	{"dst src state conn-id", "show crypto isakmp sa", 85, true},
	{"Crypto session current status", "show crypto session", 95, true},
	{"Session status:", "show crypto session", 80, true},
	{"Crypto IKEv2 Session", "show crypto ikev2 session", 92, false},
	{"Crypto IKEv2  SA", "show crypto ikev2 sa", 90, false},
	{"Crypto IKEv2 SA", "show crypto ikev2 sa", 90, false},
	{"fvrf/ivrf", "show crypto ikev2 sa", 85, false},
	{"protected vrf:", "show crypto ipsec sa", 95, true},
	{"local crypto endpt.:", "show crypto ipsec sa", 60, true},
	{"local ident (addr/mask/prot/port)", "show crypto ipsec sa", 60, true},
	{"local  ident (addr/mask/prot/port)", "show crypto ipsec sa", 80, true},
	{"current_peer", "show crypto ipsec sa", 55, true},
	{"Building configuration...", "show running-config", 90, true},
	{"Current configuration :", "show running-config", 92, true},
	{"crypto isakmp policy ", "show running-config", 50, true},
	{"crypto ipsec transform-set ", "show running-config", 60, true},
	{"crypto ikev2 proposal ", "show running-config", 60, true},
	{"service timestamps ", "show running-config", 80, true},
	{"ip nat inside source ", "show running-config", 60, true},
	{"ip access-list extended ", "show running-config", 55, true},
	{"Extended IP access list", "show access-lists", 85, true},
	{"Standard IP access list", "show access-lists", 85, true},
	{"Gateway of last resort", "show ip route", 50, true},
	{"Pro Inside global", "show ip nat translations", 95, true},
	{"Crypto Export Restrictions Manager", "show platform cerm-information", 95, true},
	{"Cisco IOS Software", "show version", 80, true},
	{"Cisco IOS XE Software", "show version", 80, true},
	{"IOS (tm)", "show version", 80, true},
	{"Syslog logging: enabled (", "show logging", 80, true},
	{"Cryptographic Subsystem:", "show debugging", 90, true},
	{"Type escape sequence to abort.", "ping", 60, true},
	{"Crypto Map IPv4", "show crypto map", 85, true},
	{"Global IKE policy", "show crypto isakmp policy", 85, true},
}

// Recognise tells which command most likely wrote the lines, with a score from 0 (no
// idea) to 100 (no other does). At most the first 400 lines are looked at.
func Recognise(lines []facts.Line) (command string, score int) {
	for i, l := range lines {
		if i == 400 {
			break
		}
		t := strings.TrimSpace(l.Text)
		if t == "" {
			continue
		}
		for _, m := range marks {
			if m.score <= score {
				continue
			}
			if m.start && strings.HasPrefix(t, m.text) || !m.start && strings.Contains(t, m.text) {
				command, score = m.command, m.score
			}
		}
	}
	return command, score
}
