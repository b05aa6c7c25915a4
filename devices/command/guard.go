package command

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"vpnbot/devices/inventory"
)

// This file is the second guard. It knows nothing of the constructors: it reads the line
// that is about to be written to a device's channel as the device would, against a
// grammar of its own, and refuses everything that the grammar does not derive. Words are
// written out whole, so an abbreviation is refused; no rule enters configuration mode, and
// no rule clears without naming one peer, one connection or one session.
//
// In a rule, capital words are places: IP an address, N a number, IF an interface, NAME
// a list, context or VRF name, CAP one of our capture names, POINT a capture point of
// ours, PAT a pattern of log or section words. Brackets hold what may be left out.

const asaGrammar = `
enable
exit
terminal pager 0
changeto context NAME
show clock
show version
show crypto isakmp sa [detail]
show crypto ikev1 sa [detail]
show crypto ikev2 sa [detail]
show crypto ipsec sa [peer IP]
show crypto ca certificates
show vpn-sessiondb summary
show vpn-sessiondb detail l2l [filter ipaddress IP]
show vpn-sessiondb detail remote [filter p-ipaddress IP]
show vpn-sessiondb detail ra-ikev1-ipsec [filter p-ipaddress IP]
show vpn-sessiondb detail anyconnect [filter p-ipaddress IP]
show vpn-sessiondb detail svc [filter p-ipaddress IP]
show running-config crypto
show running-config isakmp
show running-config tunnel-group
show running-config group-policy
show running-config access-list
show running-config object
show running-config object-group
show running-config nat
show running-config global
show running-config static
show running-config interface
show running-config route
show running-config all sysopt
show running-config ip local pool
show running-config aaa-server
show running-config threat-detection
show running-config management-access
show running-config same-security-traffic
show running-config access-group
show running-config icmp
show running-config name
show running-config username
show running-config vpn-sessiondb
show running-config logging
show logging | include PAT
show asp drop
show memory
show cpu usage
show failover
show ssh sessions
show route [IP]
show nat [detail]
show xlate gport N
show ip local pool NAME
show local-host | include host limit|active
show asp table classify domain encrypt
show asp table vpn-context detail
show aaa-server
show access-list
show shun
show threat-detection shun
show capture [CAP dump]
ping IF IP repeat N size N
packet-tracer input IF icmp IP 8 0 IP detailed
capture CAP interface IF buffer N packet-length N [circular-buffer] match ip host IP host IP match icmp any host IP
capture CAP interface IF buffer N packet-length N [circular-buffer] match ip host IP host IP match icmp6 any host IP
capture CAP interface IF buffer N packet-length N [circular-buffer] match udp any host IP eq 4500
capture CAP interface IF buffer N packet-length N [circular-buffer] match udp any host IP eq 500 match udp any host IP eq 4500 match esp any host IP
capture CAP access-list NAME interface IF buffer N packet-length N [circular-buffer]
no capture CAP [interface IF]
clear crypto isakmp sa IP
clear crypto ikev1 sa IP
clear crypto ikev2 sa IP
clear crypto ipsec sa peer IP
vpn-sessiondb logoff ipaddress IP noconfirm
vpn-sessiondb logoff index N noconfirm
`

const iosGrammar = `
enable
exit
terminal length 0
show clock
show version
show crypto isakmp sa [detail]
show crypto map
show crypto ikev2 diagnose error
show crypto ikev2 sa detailed
show crypto ikev2 sa remote IP detailed
show crypto ipsec sa [peer IP]
show crypto session [remote IP] detail
show crypto pki certificates
show running-config | section PAT
show logging | include PAT
show memory statistics
show processes cpu | include CPU utilization
show redundancy
show ssh
show ip route [vrf NAME] [IP]
show ipv6 route [vrf NAME] [IP]
show ip nat translations
show ip local pool
show aaa servers
show access-lists
show platform cerm-information
show monitor capture [CAP buffer dump]
show monitor capture buffer all parameters
show monitor capture point all
show monitor capture buffer CAP dump
ping [vrf NAME] IP source IF repeat N size N [df-bit]
monitor capture CAP interface IF both
monitor capture CAP match ipv4 host IP host IP bidirectional
monitor capture CAP match ipv6 host IP host IP bidirectional
monitor capture CAP access-list NAME
monitor capture CAP buffer [circular] size N
monitor capture CAP limit duration N
monitor capture CAP start
monitor capture CAP stop
no monitor capture CAP
monitor capture buffer CAP size N max-size N linear
monitor capture buffer CAP size N max-size N circular
monitor capture buffer CAP filter access-list NAME
monitor capture point ip cef POINT IF both
monitor capture point ip process-switched POINT both
monitor capture point associate POINT CAP
monitor capture point start POINT
monitor capture point stop POINT
no monitor capture point ip cef POINT IF both
no monitor capture point ip process-switched POINT both
no monitor capture buffer CAP
clear crypto isakmp N
clear crypto ikev2 sa remote IP
clear crypto sa peer [vrf NAME] IP
clear crypto session remote IP
`

// ErrNotAllowed is wrapped by every refusal of Allowed.
var ErrNotAllowed = errors.New("this line may not be sent to a device")

const longestLine = 300

// Allowed tells whether the line, without its line end, may be written to an exec-mode
// channel of the platform. Every line passes here right before it is written.
func Allowed(platform inventory.Platform, line string) error {
	_, err := rule(platform, line)
	return err
}

// AllowedDisruptive tells whether an allowed line would cut a tunnel, by the grammar's
// own account: it is how a session notices a command whose effect is declared wrongly.
func AllowedDisruptive(platform inventory.Platform, line string) (bool, error) {
	r, err := rule(platform, line)
	if err != nil {
		return false, err
	}
	return strings.HasPrefix(r, "clear ") || strings.HasPrefix(r, "vpn-sessiondb "), nil
}

func rule(platform inventory.Platform, line string) (string, error) {
	if line == "" || len(line) > longestLine {
		return "", fmt.Errorf("%w: %d characters", ErrNotAllowed, len(line))
	}
	for i := 0; i < len(line); i++ {
		if c := line[i]; c < ' ' || c > '~' || c == '?' || c == ';' || c == '\\' || c == '"' || c == '\'' || c == '`' || c == '$' || c == '^' || c == '!' {
			return "", fmt.Errorf("%w: character %#x at %d", ErrNotAllowed, c, i)
		}
	}
	words := strings.Split(line, " ")
	for _, w := range words {
		if w == "" {
			return "", fmt.Errorf("%w: blanks in a row or at an end", ErrNotAllowed)
		}
	}
	var rules []guardRule
	switch platform {
	case "cisco_asa":
		rules = asaRules()
	case "cisco_ios":
		rules = iosRules()
	default:
		return "", fmt.Errorf("%w: platform %q is unknown", ErrNotAllowed, platform)
	}
	for _, r := range rules {
		if r.derives(words) {
			return r.text, nil
		}
	}
	return "", fmt.Errorf("%w: %q", ErrNotAllowed, line)
}

type guardRule struct {
	text  string
	parts []guardPart
}

type guardPart struct {
	words    []string
	optional bool
}

var (
	asaRules = sync.OnceValue(func() []guardRule { return readGrammar(asaGrammar) })
	iosRules = sync.OnceValue(func() []guardRule { return readGrammar(iosGrammar) })
)

func readGrammar(text string) []guardRule {
	var rules []guardRule
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		r := guardRule{text: l}
		for l != "" {
			if l[0] == '[' {
				inner, rest, _ := strings.Cut(l[1:], "]")
				r.parts = append(r.parts, guardPart{strings.Fields(inner), true})
				l = strings.TrimLeft(rest, " ")
				continue
			}
			plain, rest, found := strings.Cut(l, "[")
			r.parts = append(r.parts, guardPart{strings.Fields(plain), false})
			l = ""
			if found {
				l = "[" + rest
			}
		}
		rules = append(rules, r)
	}
	return rules
}

func (r guardRule) derives(words []string) bool { return derives(r.parts, words) }

func derives(parts []guardPart, words []string) bool {
	if len(parts) == 0 {
		return len(words) == 0
	}
	p := parts[0]
	if n := len(p.words); n > 0 && p.words[n-1] == "PAT" {
		return len(words) >= n && fits(p.words[:n-1], words[:n-1]) && isPattern(words[n-1:])
	}
	if len(words) >= len(p.words) && fits(p.words, words[:len(p.words)]) && derives(parts[1:], words[len(p.words):]) {
		return true
	}
	return p.optional && derives(parts[1:], words)
}

func fits(places, words []string) bool {
	for i, place := range places {
		w := words[i]
		ok := false
		switch place {
		case "IP":
			ok = isHost(w)
		case "N":
			ok = only(w, "0123456789") && len(w) <= 10 && w[0] != '0'
		case "IF", "NAME":
			ok = len(w) <= 48 && only(w, letters+"0123456789_-./:") && w[0] != '-' && w[0] != '.' && w[0] != '/' && w[0] != ':'
		case "CAP":
			ok = isOwnCapture(w)
		case "POINT":
			ok = (strings.HasSuffix(w, "C") || strings.HasSuffix(w, "P")) && isOwnCapture(w[:len(w)-1])
		default:
			ok = w == place
		}
		if !ok {
			return false
		}
	}
	return true
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func only(s, alphabet string) bool {
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

func isHost(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.String() == s && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() &&
		!a.IsLoopback() && s != "255.255.255.255"
}

func isOwnCapture(s string) bool {
	rest, ok := strings.CutPrefix(s, "VB-")
	return ok && len(rest) <= 5 && only(rest, "abcdefghijklmnopqrstuvwxyz0123456789")
}

// isPattern admits words to search for: no blank beside a bar, so that nothing after
// one can be read as a second filter or a redirection.
func isPattern(words []string) bool {
	if len(words) > 12 {
		return false
	}
	for _, w := range words {
		if len(w) > 120 || !only(w, letters+"0123456789.:|-") || strings.Trim(w, "|") != w {
			return false
		}
	}
	return true
}
