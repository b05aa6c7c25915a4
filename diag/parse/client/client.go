// Package client reads what users and help desks paste: logs of the Cisco VPN Client,
// AnyConnect and Secure Client, "Reason NNN" messages in any text and language, VPN 3000
// lines, and pings, traces, routes and statistics of Windows, Linux and macOS.
//
// In come numbered lines (redacted), out go events, pings, and the lines that are none of
// these. It never fails. Events of kind "client" have the client's own id where the text
// has one ("IKE/0xE3000056", "Reason 412", "AUTH/5"), else one of the words below.
package client

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"vpnbot/diag/facts"
	"vpnbot/diag/parse/syslog"
)

// Ids of events that carry no id of Cisco's.
const (
	Version    = "client-version" // "Cisco Systems VPN Client Version 5.0.07.0290"
	System     = "client-os"      // "Running on: 6.1.7601", "Microsoft Windows [Version 6.1.7601]"
	Adapter    = "client-adapter" // a line that names a mobile data card
	Statistics = "statistics"     // Status > Statistics: packets encrypted, decrypted ...
	Routes     = "secured-routes" // Status > Route Details
	RoutePrint = "route-print"    // route print, netstat -rn
	Trace      = "traceroute"     // tracert, traceroute
	Windows691 = "windows-691"    // error 691 of Windows (ERROR_AUTHENTICATION_FAILURE): user or password refused
	Address    = "client-address" // ipconfig, ifconfig: an own address with its mask
	AnyConnect = "anyconnect"     // a line of AnyConnect or Secure Client
)

// maxText bounds the text of one event.
const maxText = 4096

// what a word in a line can announce.
type hint uint16

const (
	vpnHeader hint = 1 << iota // Sev=Info/4 CM/0x63100002
	reason                     // Reason 412
	code                       // 0xE3000056, DEL_REASON_...
	bytesWord                  // the head of a ping
	pingWord                   // a ping command
	vpn3000                    // SEV=4 AUTH/5
	system
	adapter
	anyconnect
	stats
	route
	trace
	fixed
	address
)

// hints are looked up by word, cut at "=", ":" and ",".
var hints = map[string]hint{
	"Sev": vpnHeader, "SEV": vpn3000,
	"Reason": reason, "REASON": reason, "reason": reason, "Grund": reason, "Razón": reason, "Razon": reason, "Motivo": reason, "Raison": reason, "Motif": reason,
	"Причина": reason, "причина": reason, "理由": reason, "原因": reason, "Reden": reason, "Powód": reason, "Orsak": reason, "Error": reason, "error": reason, "Fehler": reason, "erreur": reason, "Erreur": reason, "errore": reason, "Errore": reason,
	"Code": reason, "Neden": reason, "Důvod": reason, "Árak": reason, "Fehlercode": reason,
	"bytes": bytesWord, "Bytes": bytesWord, "byte": bytesWord, "octets": bytesWord, "bajtami": bytesWord, "байтами": bytesWord, "bajtů": bytesWord, "bytů": bytesWord, "Byte": bytesWord, "data": bytesWord,
	"ping": pingWord, "Ping": pingWord, "PING": pingWord | bytesWord, "ping.exe": pingWord,
	"Cisco": system | anyconnect, "Running": system, "Microsoft": system | anyconnect, "OS": system,
	"WWAN": adapter, "UMTS": adapter, "HSDPA": adapter, "HSPA": adapter, "3G": adapter, "LTE": adapter, "Huawei": adapter, "Sierra": adapter, "Mobile": adapter, "data-card": adapter, "modem": adapter, "Modem": adapter, "Surfstick": adapter, "Novatel": adapter, "Option": adapter, "datacard": adapter, "WWAN-Adapter": adapter, "broadband": adapter, "Broadband": adapter, "card": adapter,
	"acvpnui": anyconnect, "acvpnagent": anyconnect, "acvpndownloader": anyconnect, "vpnagentd": anyconnect, "csc_vpnagent": anyconnect, "csc_ui": anyconnect, "AnyConnect": anyconnect | system, "Function": anyconnect, "Description": anyconnect,
	"IP": address, "IPv4-Adresse": address, "IP-Adresse": address, "Adresse": address, "Dirección": address, "inet": address,
	"Packets": stats, "Transparent": stats, "Tunnel": stats, "Encryption": stats, "Decrypted": stats, "Encrypted": stats, "Discarded": stats, "Bypassed": stats, "Local": stats | route, "Tunneling": stats,
	"Secured": route, "Route": route, "Non-Secured": route, "Network": route, "Active": route, "IPv4": route | address, "Routing": route, "Destination": route, "Kernel": route, "Netzwerkziel": route,
	"Tracing": trace, "traceroute": trace, "Routenverfolgung": trace, "tracert": trace, "Détermination": trace, "Traza": trace,
}

// Parse finds client events and pings among lines. source goes into their places.
func Parse(lines []facts.Line, source string) (events []facts.Event, pings []facts.Ping, rest []facts.Line) {
	p := parser{source: source}
	for i := 0; i < len(lines); i++ {
		if p.ping.open && p.pingLine(lines[i]) {
			continue
		}
		t := strings.TrimSpace(lines[i].Text)
		if t == "" {
			p.endPing(false)
			rest = append(rest, lines[i])
			continue
		}
		if p.has && p.pingBare(lines[i], t) {
			continue
		}
		h := scan(t)
		if h == 0 {
			rest = append(rest, lines[i])
			continue
		}
		if n := p.try(lines, i, t, h); n > 0 {
			i += n - 1
			continue
		}
		rest = append(rest, lines[i])
	}
	p.endPing(true)
	return p.events, p.pings, rest
}

type parser struct {
	source string
	events []facts.Event
	pings  []facts.Ping
	ping   ping
	asked  facts.Ping // what the last ping command said
	has    bool
}

// scan collects what the words of a line announce.
func scan(t string) hint {
	var h hint
	for i := 0; i < len(t); {
		for i < len(t) && (t[i] == ' ' || t[i] == '\t') {
			i++
		}
		j := i
		for j < len(t) && t[j] != ' ' && t[j] != '\t' {
			j++
		}
		w := t[i:j]
		i = j
		if len(w) > 5 && (strings.HasSuffix(w, ">ping") || strings.HasSuffix(w, ">ping.exe")) {
			h |= pingWord
			continue
		}
		if len(w) > 8 && (strings.HasSuffix(w, ">tracert") || strings.HasSuffix(w, "$traceroute")) {
			h |= trace
			continue
		}
		for w != "" && strings.IndexByte("\"'([<>*|", w[0]) >= 0 {
			w = w[1:]
		}
		if k := strings.IndexAny(w, "=:,[;)]"); k > 0 {
			w = w[:k]
		}
		if len(w) < 2 {
			continue
		}
		h |= hints[w]
		h |= phraseHint[w]
		if w[0] == '0' && len(w) == 10 && (w[1] == 'x' || w[1] == 'X') || len(w) > 11 && w[0] == 'D' && strings.HasPrefix(w, "DEL_REASON_") || strings.HasPrefix(w, "IKE/0x") {
			h |= code
		}
		if w[0] >= 0x80 && (strings.HasSuffix(w, "理由") || strings.HasSuffix(w, "原因")) {
			h |= reason
		}
	}
	if h&reason == 0 && strings.Contains(t, "eason ") {
		h |= reason
	}
	return h
}

// try reads what starts at line i and returns the number of lines that it took.
func (p *parser) try(lines []facts.Line, i int, t string, h hint) int {
	switch {
	case h&vpnHeader != 0:
		if n := p.vpnClient(lines, i, t); n > 0 {
			return n
		}
	case h&vpn3000 != 0:
		if n := p.concentrator(lines, i, t); n > 0 {
			return n
		}
	}
	if h&pingWord != 0 && (p.pingTold(lines[i], t) || p.pingCommand(t)) {
		return 1
	}
	if h&bytesWord != 0 && (p.pingHead(lines[i], t) || p.pingReply(lines[i], t)) {
		return 1
	}
	if h&reason != 0 {
		if n := p.reason(lines, i, t); n > 0 {
			return n
		}
	}
	if h&trace != 0 {
		if n := p.trace(lines, i, t); n > 0 {
			return n
		}
	}
	if h&route != 0 {
		if n := p.routes(lines, i, t); n > 0 {
			return n
		}
	}
	if h&stats != 0 {
		if n := p.statistics(lines, i, t); n > 0 {
			return n
		}
	}
	if h&(fixed|code) != 0 && p.fixedWords(lines[i], t) {
		return 1
	}
	if h&anyconnect != 0 {
		if n := p.anyConnect(lines, i, t); n > 0 {
			return n
		}
	}
	if h&address != 0 {
		if n := p.address(lines, i, t); n > 0 {
			return n
		}
	}
	if h&system != 0 && p.system(lines[i], t) {
		return 1
	}
	if h&adapter != 0 && p.adapter(lines[i], t) {
		return 1
	}
	return 0
}

// add makes an event of kind client.
func (p *parser) add(l facts.Line, id, text string, severity int, at time.Time) *facts.Event {
	if len(text) > maxText {
		text = text[:maxText]
	}
	ev := facts.Event{Kind: "client", ID: id, Severity: severity, Text: text, Addrs: syslog.Addrs(text),
		Place: facts.Place{Source: p.source, Line: l.N, Text: strings.TrimRight(l.Text, " \t\r")}}
	if !at.IsZero() {
		ev.Time, ev.HasTime = at, true
		ev.Place.Time = &at
	}
	if len(ev.Addrs) > 0 {
		for _, k := range [...]string{"to ", "from ", "server \"", "peer ", "with ", "IKE_PEER_ADDRESS ", "Remote peer "} {
			if j := strings.Index(text, k); j >= 0 {
				w := strings.TrimRight(firstWord(text[j+len(k):]), ".\",:;)")
				if a, err := netip.ParseAddr(w); err == nil {
					ev.Peer = a
					break
				}
			}
		}
		if !ev.Peer.IsValid() && len(ev.Addrs) == 1 && strings.HasPrefix(id, "IKE") {
			ev.Peer = ev.Addrs[0]
		}
	}
	p.events = append(p.events, ev)
	return &p.events[len(p.events)-1]
}

func firstWord(s string) string {
	s = strings.TrimLeft(s, " \t\"'")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i]
	}
	return s
}

// vpnClient reads an entry of the Cisco VPN Client's log: a header line
// "12  10:11:12.345  05/06/09  Sev=Warning/2  IKE/0xE3000099" and its text.
func (p *parser) vpnClient(lines []facts.Line, i int, t string) int {
	before, after, _ := strings.Cut(t, "Sev=")
	f := strings.Fields(after)
	if len(f) < 2 || !strings.Contains(f[1], "/0x") {
		return 0
	}
	sev := -1
	if _, n, ok := strings.Cut(f[0], "/"); ok {
		if v, err := strconv.Atoi(n); err == nil && v >= 0 && v < 100 {
			sev = v
		}
	}
	var at time.Time
	b := strings.Fields(before)
	for k := 0; k+1 < len(b); k++ {
		if v, ok := clientTime(b[k], b[k+1]); ok {
			at = v
		}
	}
	text := strings.Join(f[2:], " ")
	words := lines[i] // the line that holds the words
	n := 1
	for ; i+n < len(lines) && n < 12 && len(text) < maxText; n++ {
		more := strings.TrimSpace(lines[i+n].Text)
		if more == "" || strings.Contains(more, "Sev=") && scan(more)&vpnHeader != 0 {
			break
		}
		if n > 1 && (strings.HasPrefix(more, "C:\\") || strings.HasPrefix(more, "Pinging ")) {
			break
		}
		if text == "" || strings.Contains(more, "IS behind a NAT") {
			words = lines[i+n]
		}
		text = strings.TrimSpace(text + " " + more)
	}
	p.add(words, f[1], text, sev, at)
	if k := strings.Index(text, "DEL_REASON_"); k >= 0 {
		if num, ok := delReasons[word(text[k:])]; ok {
			p.add(words, "Reason "+strconv.Itoa(num), text, sev, at)
		}
	}
	p.adapter(words, text)
	return n
}

// word returns the upper-case identifier at the start of s.
func word(s string) string {
	i := 0
	for i < len(s) && (s[i] >= 'A' && s[i] <= 'Z' || s[i] == '_' || s[i] >= '0' && s[i] <= '9') {
		i++
	}
	return s[:i]
}

// delReasons are the client's internal names of the reasons that it shows as numbers.
var delReasons = map[string]int{
	"DEL_REASON_PEER_NOT_RESPONDING":       412,
	"DEL_REASON_WE_FAILED_AUTH":            413,
	"DEL_REASON_TCP_CONNECTION_FAILED":     414,
	"DEL_REASON_UNKNOWN":                   401,
	"DEL_REASON_IKE_NEG_FAILED":            427,
	"DEL_REASON_CANNOT_AUTH":               413,
	"DEL_REASON_ADDRESS_ASSIGNMENT_FAILED": 425,
	"DEL_REASON_RESET_SADB":                401,
	"DEL_REASON_REASON_NOT_SPECIFIED":      433,
	"DEL_REASON_MAX_LIFETIME_EXCEEDED":     426,
	"DEL_REASON_IKE_SA_LIFETIME_EXCEEDED":  426,
	"DEL_REASON_FIREWALL_POLICY_MISMATCH":  417,
	"DEL_REASON_LOST_CONTACT":              412,
	"DEL_REASON_DPD":                       412,
	"DEL_REASON_XAUTH_FAILED":              413,
}

// clientTime reads the client's "10:11:12.345" and "05/06/09", month first unless that is no month.
func clientTime(clock, date string) (time.Time, bool) {
	if len(clock) < 7 || strings.Count(clock, ":") != 2 {
		return time.Time{}, false
	}
	d := strings.FieldsFunc(date, func(r rune) bool { return r == '/' || r == '.' || r == '-' })
	if len(d) != 3 {
		return time.Time{}, false
	}
	var n [3]int
	for i := range d {
		v, err := strconv.Atoi(d[i])
		if err != nil {
			return time.Time{}, false
		}
		n[i] = v
	}
	y, m, day := n[2], n[0], n[1]
	if len(d[0]) == 4 {
		y, m, day = n[0], n[1], n[2]
	} else if m > 12 || strings.ContainsRune(date, '.') {
		m, day = day, m
	}
	if y < 100 {
		y += 2000
	}
	if m < 1 || m > 12 || day < 1 || day > 31 {
		return time.Time{}, false
	}
	c := strings.FieldsFunc(clock, func(r rune) bool { return r == ':' || r == '.' })
	var v [4]int
	for i := 0; i < len(c) && i < 4; i++ {
		x, err := strconv.Atoi(c[i])
		if err != nil {
			return time.Time{}, false
		}
		v[i] = x
	}
	return time.Date(y, time.Month(m), day, v[0], v[1], v[2], v[3]*1e6, time.UTC), true
}

// concentrator reads a VPN 3000 entry: "5 02/05/2004 10:11:12.340 SEV=4 AUTH/5 RPT=10 192.0.2.4"
// and the indented or following lines of its text.
func (p *parser) concentrator(lines []facts.Line, i int, t string) int {
	before, after, _ := strings.Cut(t, "SEV=")
	f := strings.Fields(after)
	if len(f) < 2 || !strings.Contains(f[1], "/") {
		return 0
	}
	sev, err := strconv.Atoi(f[0])
	if err != nil {
		sev = -1
	}
	var at time.Time
	b := strings.Fields(before)
	for k := 0; k+1 < len(b); k++ {
		if v, ok := clientTime(b[k+1], b[k]); ok {
			at = v
		}
	}
	text := strings.Join(f[2:], " ")
	n := 1
	for ; i+n < len(lines) && n < 6; n++ {
		more := strings.TrimSpace(lines[i+n].Text)
		if more == "" || strings.Contains(more, "SEV=") {
			break
		}
		text += " " + more
	}
	ev := p.add(lines[i], f[1], text, sev, at)
	ev.Kind = "debug"
	for _, w := range f[2:] {
		if a, err := netip.ParseAddr(w); err == nil {
			ev.Peer = a
		}
	}
	if _, v, ok := strings.Cut(text, "user = "); ok {
		ev.User = strings.TrimRight(firstWord(v), ",.")
	}
	return n
}

// reason reads "Reason 412: ..." and its translations.
func (p *parser) reason(lines []facts.Line, i int, t string) int {
	n, ok := ReasonNumber(t)
	if !ok {
		if !refusedByRAS(t) {
			return 0
		}
		p.add(lines[i], Windows691, t, -1, time.Time{})
		return 1
	}
	text := t
	// The sentence before it belongs to it: "Secure VPN Connection terminated locally by the Client."
	if i > 0 && !strings.Contains(t, "VPN") {
		if prev := strings.TrimSpace(lines[i-1].Text); strings.Contains(prev, "VPN") {
			text = prev + " " + t
		}
	}
	if i+1 < len(lines) && strings.HasSuffix(t, strconv.Itoa(n)+":") { // the words stand on the next line
		text += " " + strings.TrimSpace(lines[i+1].Text)
	}
	p.add(lines[i], "Reason "+strconv.Itoa(n), text, -1, time.Time{})
	return 1
}

// ReasonNumber finds the number of a VPN Client message, 401 to 450, behind "Reason" in any
// language, or behind "error" in a line about VPN.
func ReasonNumber(t string) (int, bool) {
	for i := 0; i+3 <= len(t); i++ {
		if t[i] != '4' || i > 0 && (isDigit(t[i-1]) || t[i-1] == '.' || t[i-1] == '-' || t[i-1] == 'x') || !isDigit(t[i+1]) || !isDigit(t[i+2]) {
			continue
		}
		if i+3 < len(t) && (isDigit(t[i+3]) || t[i+3] == '.' && i+4 < len(t) && isDigit(t[i+4])) {
			continue
		}
		n, _ := strconv.Atoi(t[i : i+3])
		if n < 401 || n > 450 {
			continue
		}
		before := strings.TrimRight(t[:i], " #:(=.\u00a0")
		before = strings.TrimSuffix(before, "code")
		before = strings.TrimRight(before, " ")
		w := before
		if k := strings.LastIndexAny(before, " \t(\"'.,"); k >= 0 {
			w = before[k+1:]
		}
		switch strings.ToLower(w) {
		case "reason", "grund", "razón", "razon", "motivo", "raison", "motif", "причина", "理由", "原因", "reden", "powód", "orsak", "neden", "důvod", "causa", "årsag":
			return n, true
		case "error", "fehler", "erro", "fehlercode", "erreur", "errore", "code", "message", "meldung":
			if l := strings.ToLower(t); strings.Contains(l, "vpn") || strings.Contains(l, "remote peer") {
				return n, true
			}
		}
		if strings.HasSuffix(w, "原因") || strings.HasSuffix(w, "理由") {
			return n, true
		}
	}
	return 0, false
}

// refusedByRAS tells whether a line names error 691 of the client that is part of Windows:
// "Error 691:", "(Fehler 691)", "The error code returned on failure is 691." (event 20227).
func refusedByRAS(t string) bool {
	const number = "691"
	for from := 0; ; {
		i := strings.Index(t[from:], number)
		if i < 0 {
			return false
		}
		i += from
		from = i + len(number)
		if from < len(t) && isDigit(t[from]) || i == 0 || strings.IndexByte(" :#=", t[i-1]) < 0 {
			continue
		}
		f := strings.Fields(strings.ToLower(t[max(0, i-40):i]))
		for len(f) > 0 && strings.Trim(f[len(f)-1], ":#=") == "" {
			f = f[:len(f)-1]
		}
		if len(f) == 0 {
			continue
		}
		switch strings.Trim(f[len(f)-1], "(:#=") {
		case "error", "fehler", "erreur", "errore", "code", "fehlercode":
			return true
		case "is":
			if len(f) > 1 && f[len(f)-2] == "failure" {
				return true
			}
		}
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// phrases are fixed words of the clients with the id that belongs to them.
var phrases = []struct{ words, id string }{
	{"The received HASH payload cannot be verified", "IKE/0xE3000056"},
	{"Hash verification failed", "IKE/0xE300007D"},
	{"may be configured with invalid group password", "IKE/0xE300007D"},
	{"Failed to authenticate peer", "IKE/0xE3000099"},
	{"Unexpected SW error occurred while processing Aggressive Mode", "IKE/0xE30000A5"},
	{"The remote peer is no longer responding", "Reason 412"},
	{"remote peer is no longer responding", "Reason 412"},
	{"Maximum configured lifetime exceeded", "Reason 426"},
	{"User Authentication failed", "Reason 413"},
	{"User authentication failed", "Reason 413"},
	{"(Reason Not Specified by Peer)", "Reason 433"},
	{"The remote connection was denied because the user name and password combination you provided is not recognized", Windows691},
	{"Failed to launch 64-bit VA installer", AnyConnect},
	{"VA installer to enable the virtual adapter", AnyConnect},
	{"Unable to establish VPN", AnyConnect},
	{"Connection attempt has failed", AnyConnect},
	{"The secure gateway has rejected the connection attempt", AnyConnect},
	{"The VPN client driver encountered an error", AnyConnect},
	{"Certificate Validation Failure", AnyConnect},
	{"The VPN connection was terminated", AnyConnect},
	{"Reconnecting to", AnyConnect},
	{"The secure gateway failed to reply", AnyConnect},
	{"AnyConnect was not able to establish a connection", AnyConnect},
	{"Secure VPN Connection terminated", "vpn-terminated"},
}

// phraseHint leads from the first word of each phrase to the search for it.
var phraseHint = func() map[string]hint {
	m := map[string]hint{}
	for _, ph := range phrases {
		w, _, _ := strings.Cut(ph.words, " ")
		m[strings.Trim(w, "(")] |= fixed
	}
	return m
}()

func (p *parser) fixedWords(l facts.Line, t string) bool {
	for _, ph := range phrases {
		if !strings.Contains(t, ph.words) {
			continue
		}
		if ph.id == "vpn-terminated" { // alone it says nothing; its reason follows on the next line
			return false
		}
		at, _ := lineTime(t)
		p.add(l, ph.id, t, -1, at)
		return true
	}
	for _, pre := range [...]string{"IKE/0x", "0xE3000", "0xe3000"} {
		if i := strings.Index(t, pre); i >= 0 {
			hex := strings.TrimPrefix(t[i:], "IKE/")
			if len(hex) >= 10 && (len(hex) == 10 || !isHex(hex[10])) && isHexAll(hex[2:10]) {
				p.add(l, "IKE/0x"+strings.ToUpper(hex[2:10]), t, -1, time.Time{})
				return true
			}
		}
	}
	if i := strings.Index(t, "DEL_REASON_"); i >= 0 {
		id := word(t[i:])
		if n, ok := delReasons[id]; ok {
			id = "Reason " + strconv.Itoa(n)
		}
		p.add(l, id, t, -1, time.Time{})
		return true
	}
	return false
}

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func isHexAll(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isHex(s[i]) {
			return false
		}
	}
	return true
}

// lineTime reads "[04/27/2017 10:11:12]" or a syslog time at the start of a line.
func lineTime(t string) (time.Time, bool) {
	if v, ok := syslog.Time(strings.TrimLeft(t, "[")); ok {
		return v, true
	}
	f := strings.Fields(strings.Trim(strings.NewReplacer("[", " ", "]", " ", ",", " ").Replace(t[:min(len(t), 40)]), " "))
	for i := 0; i+1 < len(f); i++ {
		if v, ok := clientTime(f[i+1], f[i]); ok {
			return v, true
		}
	}
	return time.Time{}, false
}

// anyConnect reads a line of AnyConnect's message history or system log, or a block of its
// event log ("Date : ...", "Type : Error", "Source : acvpnui", "Description : ...").
func (p *parser) anyConnect(lines []facts.Line, i int, t string) int {
	named := false
	for _, w := range [...]string{"acvpnui", "acvpnagent", "acvpndownloader", "vpnagentd", "csc_vpnagent", "csc_ui"} {
		if strings.Contains(t, w) {
			named = true
			break
		}
	}
	if !named {
		return 0
	}
	at, _ := lineTime(t)
	text := t
	n := 1
	if strings.HasPrefix(t, "Source") {
		for ; i+n < len(lines) && n < 24 && len(text) < maxText; n++ {
			more := strings.TrimSpace(lines[i+n].Text)
			if strings.HasPrefix(more, "***") || strings.HasPrefix(more, "Date ") || strings.HasPrefix(more, "Source ") {
				break
			}
			if more != "" {
				text += " " + more
			}
		}
	}
	p.add(lines[i], AnyConnect, text, -1, at)
	return n
}

// system reads the lines that name client and operating system.
func (p *parser) system(l facts.Line, t string) bool {
	switch {
	case strings.Contains(t, "VPN Client Version"), strings.Contains(t, "AnyConnect Secure Mobility Client") && strings.Contains(t, "ersion"):
		p.add(l, Version, t, -1, time.Time{})
	case strings.HasPrefix(t, "Running on:"), strings.HasPrefix(t, "Microsoft Windows ["), strings.HasPrefix(t, "OS Name:"), strings.HasPrefix(t, "OS Version:"), strings.HasPrefix(t, "Client Type(s):"):
		p.add(l, System, t, -1, time.Time{})
	default:
		return false
	}
	return true
}

// adapter reads lines that name a mobile data card.
func (p *parser) adapter(l facts.Line, t string) bool {
	low := strings.ToLower(t)
	for _, w := range [...]string{"wwan", "data card", "datacard", "data-card", "mobile broadband", "umts", "hsdpa", "hspa", "3g modem", "3g card", "3g usb", "surfstick", "sierra wireless", "huawei", "novatel", "3g data", "usb modem", "hsupa"} {
		if strings.Contains(low, w) {
			p.add(l, Adapter, t, -1, time.Time{})
			return true
		}
	}
	return false
}

// statistics reads a paste of the client's Status > Statistics.
func (p *parser) statistics(lines []facts.Line, i int, t string) int {
	begins := strings.HasPrefix(t, "Packets ") || strings.HasPrefix(t, "Transparent ") || strings.HasPrefix(t, "Tunnel Details")
	if (!statLine(t) || !begins) && !strings.Contains(t, "Transparent Tunneling:") && !strings.HasSuffix(t, "Tunnel Details") {
		return 0
	}
	text := t
	n := 1
	at := lines[i]
	for ; i+n < len(lines) && n < 40 && len(text) < maxText; n++ {
		more := strings.TrimSpace(lines[i+n].Text)
		if more == "" || scan(more)&stats == 0 && !statLine(more) {
			break
		}
		if strings.Contains(more, "Transparent Tunneling: Inactive") { // what is off is the line to quote
			at = lines[i+n]
		}
		text += "; " + more
	}
	p.add(at, Statistics, text, -1, time.Time{})
	return n
}

func statLine(t string) bool {
	k, v, ok := strings.Cut(t, ":")
	if !ok {
		f := strings.Fields(t)
		if len(f) != 3 && len(f) != 2 {
			return false
		}
		v = f[len(f)-1]
		k = strings.Join(f[:len(f)-1], " ")
	}
	v = strings.TrimSpace(v)
	switch strings.TrimSpace(k) {
	case "Packets Encrypted", "Packets Decrypted", "Packets Discarded", "Packets Bypassed", "Encrypted", "Decrypted", "Discarded", "Bypassed", "Packets encrypted", "Packets decrypted", "Packets discarded", "Packets bypassed":
		return v != "" && isDigit(v[0])
	case "Transparent Tunneling", "Local LAN", "Local LAN Access", "Encryption", "Authentication", "Compression", "Tunnel Details", "Bytes Received", "Bytes Sent", "Received", "Sent", "Client", "Server", "Entry", "Time":
		return ok
	}
	return false
}

// routes reads the secured routes of the client's Route Details, and route print.
func (p *parser) routes(lines []facts.Line, i int, t string) int {
	id := ""
	switch {
	case strings.HasPrefix(t, "Secured Routes"), strings.HasPrefix(t, "Route Details"), strings.HasPrefix(t, "Non-Secured Routes"), strings.HasPrefix(t, "Local LAN Routes"):
		id = Routes
	case strings.HasPrefix(t, "Active Routes"), strings.HasPrefix(t, "IPv4 Route Table"), strings.HasPrefix(t, "Kernel IP routing table"), strings.HasPrefix(t, "Routing tables"),
		strings.HasPrefix(t, "Network Destination"), strings.HasPrefix(t, "Netzwerkziel"), strings.HasPrefix(t, "Aktive Routen"):
		id = RoutePrint
	default:
		return 0
	}
	text := t
	n, rows := 1, 0
	for ; i+n < len(lines) && n < 200 && len(text) < maxText; n++ {
		more := strings.TrimSpace(lines[i+n].Text)
		a := syslog.Addrs(more)
		if more != "" && len(a) == 0 && rows > 0 {
			break
		}
		if more == "" && rows > 0 {
			break
		}
		if n > 4 && rows == 0 {
			return 0
		}
		if len(a) > 0 {
			rows++
			text += "; " + strings.Join(strings.Fields(more), " ")
		}
	}
	if rows == 0 {
		return 0
	}
	p.add(lines[i], id, text, -1, time.Time{})
	return n
}

// address reads "IPv4 Address. . . : 192.0.2.7" with the mask on the next line, and "inet
// 192.0.2.7 netmask ..." of Unix.
func (p *parser) address(lines []facts.Line, i int, t string) int {
	a := syslog.Addrs(t)
	if len(a) == 0 || !a[0].Is4() || a[0].IsLoopback() {
		return 0
	}
	if strings.HasPrefix(t, "inet ") {
		p.add(lines[i], Address, t, -1, time.Time{})
		return 1
	}
	if len(a) != 1 || !strings.Contains(t, ". :") || i+1 >= len(lines) {
		return 0
	}
	m := syslog.Addrs(lines[i+1].Text)
	if len(m) != 1 || !strings.Contains(lines[i+1].Text, ". :") || !m[0].Is4() || m[0].As4()[0] != 255 {
		return 0
	}
	p.add(lines[i], Address, t+"; "+strings.TrimSpace(lines[i+1].Text), -1, time.Time{})
	return 2
}

// traceCommand tells whether a line is the command itself, behind a prompt of Windows or Unix or
// bare: people cut the head of its answer off.
func traceCommand(t string) bool {
	if i := strings.LastIndexAny(t[:min(len(t), 200)], ">$"); i >= 0 {
		t = strings.TrimSpace(t[i+1:])
	}
	return (strings.HasPrefix(t, "tracert ") || strings.HasPrefix(t, "traceroute ")) && len(t) < 100 && len(syslog.Addrs(t)) == 1
}

// trace reads tracert and traceroute.
func (p *parser) trace(lines []facts.Line, i int, t string) int {
	if !traceCommand(t) && !strings.HasPrefix(t, "Tracing route") && !strings.HasPrefix(t, "traceroute to") && !strings.HasPrefix(t, "Routenverfolgung") && !strings.HasPrefix(t, "Détermination") && !strings.HasPrefix(t, "Traza") {
		return 0
	}
	text := t
	n, hops := 1, 0
	for ; i+n < len(lines) && n < 80 && len(text) < maxText; n++ {
		more := strings.TrimSpace(lines[i+n].Text)
		if more == "" {
			if hops > 0 {
				break
			}
			continue
		}
		if !isDigit(more[0]) {
			if hops > 0 || n > 3 {
				break
			}
			continue
		}
		hops++
		text += "; " + strings.Join(strings.Fields(more), " ")
	}
	if hops == 0 {
		return 0
	}
	p.add(lines[i], Trace, text, -1, time.Time{})
	return n
}
