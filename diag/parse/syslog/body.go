package syslog

import (
	"net/netip"
	"strings"
	"time"

	"vpnbot/diag/facts"
)

// scanner reads bodies; it keeps storage for addresses and times so that a large log
// does not cost an allocation for each.
type scanner struct {
	addrs []netip.Addr
	times []time.Time
}

const slab = 256

// event makes the fact from a whole message.
func (sc *scanner) event(sh shape, text, source string, line int) facts.Event {
	ev := facts.Event{Kind: sh.kind, ID: sh.id, Severity: sh.severity, Time: sh.time, HasTime: sh.hasTime, Host: sh.host}
	if !sh.asdm && sh.header != "" {
		h := scanHeader(sh.header + "%")
		if !h.hasTime && h.host == "" {
			// "fw-1 : %ASA-..." without a time
			if w := strings.Trim(sh.header[min(h.end, len(sh.header)):], " :"); w != "" && len(w) < 64 && !strings.ContainsAny(w, " \t,;=\"'([") {
				h.host = w
			}
		}
		ev.Time, ev.HasTime, ev.Host = h.time, h.hasTime, h.host
	}
	if sh.body > len(text) {
		sh.body = len(text)
	}
	ev.Text = text[sh.body:]
	if ev.Kind == "debug" && ev.ID == "" {
		ev.ID = numbered(ev.Text)
	}
	ev.Place = facts.Place{Source: source, Line: line, Text: text}
	if ev.HasTime {
		if len(sc.times) == cap(sc.times) {
			sc.times = make([]time.Time, 0, slab)
		}
		sc.times = append(sc.times, ev.Time)
		ev.Place.Time = &sc.times[len(sc.times)-1]
	}
	sc.fields(&ev)
	return ev
}

// fields fills group, user, session, peer and addresses from the body.
func (sc *scanner) fields(ev *facts.Event) {
	b := ev.Text
	ev.Addrs = sc.Addrs(b)
	// "Group = x, Username = y, IP = z, text", in any order, with or without blanks.
	rest := b
	for n := 0; n < 6; n++ {
		key, value, after, ok := assignment(rest)
		if !ok {
			break
		}
		switch key {
		case "Group", "group":
			ev.Group = value
		case "Username", "User", "user", "username":
			ev.User = value
		case "IP", "ip":
			ev.Peer, ev.PeerPort = Endpoint(value)
		case "Session":
			ev.Session = value
		}
		rest = after
	}
	if ev.Kind == "asa" && !hasPeer(ev.ID) || ev.Kind == "ios" && !crypto(ev.ID) {
		return
	}
	if ev.User == "" {
		if v, ok := between(b, "(user= ", ")"); ok {
			ev.User = v
		} else if v, ok := between(b, "Username:", " "); ok {
			ev.User = v
		} else if v, ok := between(b, "User <", ">"); ok {
			ev.User = v
		} else if v, ok := between(b, "user = ", ","); ok {
			ev.User = v
		} else if v, ok := between(b, "user = ", " "); ok {
			ev.User = v
		}
	}
	if ev.Group == "" {
		if v, ok := between(b, "Group <", ">"); ok {
			ev.Group = v
		}
	}
	if ev.Peer.IsValid() {
		return
	}
	for _, k := range [...]string{"Received Packet [From ", "Sending Packet [To ", "sending packet to ", "IP = ", "IP=", "IP <", "Remote:", "srcaddr=", "srcaddr =", "remote_peer_addr ", "remote= ", "remote=",
		"peer address ", "peer at ", "peer: ", "peer ", "Peer ", "Peer: ", "peer_addr ", "(peer ", "Remote Proxy N/A", "host ", "from "} {
		i := strings.Index(b, k)
		for tries := 0; i >= 0 && tries < 4; tries++ {
			if v := b[i+len(k):]; k != "from " || !strings.HasPrefix(v, "0.0.0.0") {
				if a, p := Endpoint(firstWord(v)); a.IsValid() {
					ev.Peer, ev.PeerPort = a, p
					return
				}
			}
			j := strings.Index(b[i+len(k):], k)
			if j < 0 {
				break
			}
			i += len(k) + j
		}
	}
	if ev.ID == "401004" && len(ev.Addrs) > 0 {
		ev.Peer = ev.Addrs[0]
	}
}

// hasPeer tells whether an ASA message of this id can name a VPN peer outside "IP =".
func hasPeer(id string) bool {
	if len(id) < 3 {
		return true
	}
	switch id[:3] {
	case "106", "302", "304", "305", "303", "111", "605", "411", "609", "110", "434", "419", "500", "313":
		return false
	}
	return true
}

// crypto tells whether an IOS message comes from a facility that speaks of VPN peers; others
// have peers of their own (NTP, BGP).
func crypto(id string) bool {
	for _, f := range [...]string{"CRYPTO-", "IKEV2-", "IPSEC-", "ISAKMP-", "VPN_HW-", "VPN-", "CERM-", "PKI-", "GDOI-", "DMVPN-", "ACE-", "IOSXE-"} {
		if strings.HasPrefix(id, f) {
			return true
		}
	}
	return false
}

// assignment reads "Key = value," at the start of s.
func assignment(s string) (key, value, after string, ok bool) {
	s = strings.TrimLeft(s, " \t(")
	i := 0
	for i < len(s) && i < 12 && isLetter(s[i]) {
		i++
	}
	switch key = s[:i]; key {
	case "Group", "Username", "User", "IP", "Session", "group", "user", "username", "ip":
	default:
		return "", "", "", false
	}
	j := spaces(s, i)
	if j >= len(s) || s[j] != '=' {
		return "", "", "", false
	}
	v := strings.TrimLeft(s[j+1:], " ")
	end := strings.IndexByte(v, ',')
	if end < 0 {
		if end = strings.IndexByte(v, ' '); end < 0 {
			end = len(v)
		}
	}
	value = strings.TrimSpace(v[:end])
	if (key == "IP" || key == "ip") && strings.ContainsRune(value, ' ') {
		value = firstWord(value)
		end = strings.IndexByte(v, ' ')
	}
	after = strings.TrimLeft(v[end:], ",")
	return key, value, after, true
}

// between returns the text after open up to end (or the end of s), without quotes.
func between(s, open, end string) (string, bool) {
	i := strings.Index(s, open)
	if i < 0 {
		return "", false
	}
	v := strings.TrimLeft(s[i+len(open):], " ")
	if j := strings.Index(v, end); j >= 0 {
		v = v[:j]
	} else if end != " " {
		return "", false
	}
	v = strings.Trim(v, "'\"")
	return v, v != "" && len(v) < 128
}

// firstWord returns what stands before the next blank, without punctuation around it.
func firstWord(s string) string {
	s = strings.TrimLeft(s, " \t\"'<(=")
	if i := strings.IndexAny(s, " \t,;<>\"'()"); i >= 0 {
		s = s[:i]
	}
	return strings.TrimRight(s, ".:")
}

// Endpoint reads an address with an optional port behind "/", ":" or, for IPv6, the
// last colon group of what would otherwise be too long: "192.0.2.1:500", "192.0.2.1/4500",
// "2001:db8::1:4500". Port 0 means that none stands there. A leading "interface:" is left out.
func Endpoint(s string) (netip.Addr, int) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Is6() && a.Zone() == "" { // "2001:db8::1:4500": a decimal port that IKE uses
			i := strings.LastIndexByte(s, ':')
			if p := s[i+1:]; p == "500" || p == "4500" {
				if b, err := netip.ParseAddr(s[:i]); err == nil {
					n, _ := leadingInt(p)
					return b, n
				}
			}
		}
		return a.Unmap().WithZone(""), 0
	}
	for _, sep := range [...]byte{'/', ':', '('} {
		i := strings.LastIndexByte(s, sep)
		if i <= 0 {
			continue
		}
		a, err := netip.ParseAddr(s[:i])
		if err != nil {
			continue
		}
		n, ok := leadingInt(s[i+1:])
		if !ok || n > 65535 {
			n = 0
		}
		return a.Unmap().WithZone(""), n
	}
	if i := strings.IndexByte(s, ':'); i > 0 && i+1 < len(s) && isLetter(s[0]) {
		if _, err := netip.ParseAddr(s); err != nil {
			return Endpoint(s[i+1:])
		}
	}
	return netip.Addr{}, 0
}

// Lower turns capital letters of ASCII into small ones and leaves the rest, so that a
// position in the result is one in s; strings.ToLower changes the length of some texts.
func Lower(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if c := b[j]; c >= 'A' && c <= 'Z' {
					b[j] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// Addrs returns the addresses in a text in their order, at most 32.
func (sc *scanner) Addrs(s string) []netip.Addr {
	if cap(sc.addrs)-len(sc.addrs) < 32 {
		sc.addrs = make([]netip.Addr, 0, slab)
	}
	start := len(sc.addrs)
	six := strings.Contains(s, "::") || strings.Count(s, ":") >= 7
	for i := 0; i < len(s) && len(sc.addrs)-start < 32; {
		c := s[i]
		if !isDigit(c) && !(six && (isHex(c) || c == ':')) {
			i++
			continue
		}
		if i > 0 && (isWord(s[i-1]) && c != ':' || s[i-1] == '.' && i > 1 && isDigit(s[i-2])) {
			i = skipWord(s, i)
			continue
		}
		if isDigit(c) {
			if a, n := four(s[i:]); n > 0 {
				sc.addrs = append(sc.addrs, a)
				i += n
				continue
			}
		}
		if six {
			j := i
			for j < len(s) && j-i < 46 && (isHex(s[j]) || s[j] == ':' || s[j] == '.') {
				j++
			}
			if j-i > 2 && (j == len(s) || !isLetter(s[j])) {
				if a, _ := Endpoint(strings.TrimRight(s[i:j], ".:")); a.IsValid() {
					sc.addrs = append(sc.addrs, a)
					i = j
					continue
				}
			}
			if c == ':' {
				i++
				continue
			}
		}
		i = skipWord(s, i)
	}
	if len(sc.addrs) == start {
		return nil
	}
	return sc.addrs[start:len(sc.addrs):len(sc.addrs)]
}

// skipWord returns where the word at i ends, always behind i.
func skipWord(s string, i int) int {
	for i++; i < len(s) && (isWord(s[i]) || s[i] == '.'); {
		i++
	}
	return i
}

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// four reads a dotted IPv4 address at the start of s and returns its length.
func four(s string) (netip.Addr, int) {
	var b [4]byte
	i := 0
	for part := 0; part < 4; part++ {
		v, j := number(s, i, 3)
		if j == i || v > 255 {
			return netip.Addr{}, 0
		}
		b[part] = byte(v)
		i = j
		if part < 3 {
			if i >= len(s) || s[i] != '.' {
				return netip.Addr{}, 0
			}
			i++
		}
	}
	if i < len(s) && (isWord(s[i]) || s[i] == '.' && i+1 < len(s) && isDigit(s[i+1])) {
		return netip.Addr{}, 0
	}
	return netip.AddrFrom4(b), i
}

// Addrs returns the addresses in a text in their order, at most 32.
func Addrs(s string) []netip.Addr {
	var sc scanner
	return sc.Addrs(s)
}
