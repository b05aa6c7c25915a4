package redact

import "strings"

// span is a secret's place in its line. Opaque ones are hashed or encrypted by the device:
// they are hidden and never compared.
type span struct {
	from, to int
	opaque   bool
}

// hints are the beginnings of words, in lower case, that a secret may follow in the same line.
var hints = []string{"key", "pass", "psk", "pw", "private", "preshared", "pre-shared", "priv ", "pkcs12", "secret", "snmp", "community", "cipher",
	"md5", "authentication", "aaa-server", "auth ", "tacacs", "radius", "encryption ipsec", "ftp-server", "pmk", "pem ", "srvtab", "static-wep-key",
	"mail server", "token ", "idtoken", "license ", "nthash", "://"}

// hinted tells of three bytes, five bits of each, whether a hint may begin with them.
var hinted = func() (t [1 << 15]bool) {
	for _, h := range hints {
		if len(h) > 2 {
			t[int(h[0]&31)<<10|int(h[1]&31)<<5|int(h[2]&31)] = true
			continue
		}
		for c := range 32 {
			t[int(h[0]&31)<<10|int(h[1]&31)<<5|c] = true
		}
	}
	return t
}()

// nextHint is the fast first look, over every byte of every text: where is the next hint in
// s from that index on? It is -1 when there is none.
func nextHint(s string, from int) int {
	three := uint16(0)
	for i := from; i < len(s); i++ {
		three = three<<5 | uint16(s[i]&31)
		if hinted[three&(1<<15-1)] && i >= from+2 && isHint(s, i-2) {
			return i - 2
		}
	}
	return -1
}

// isHint tells whether a word begins at i, also within one (userPassword, user_password), and is a hint.
func isHint(s string, i int) bool {
	c := s[i]
	if i > 0 && c != ':' {
		prev := s[i-1]
		if wordByte(prev) && prev != '_' && !(c >= 'A' && c <= 'Z' && prev >= 'a' && prev <= 'z') {
			return false
		}
	}
	for _, h := range hints {
		if h[0] == c|0x20 && len(s)-i >= len(h) && strings.EqualFold(s[i:i+len(h)], h) {
			return h != "key" || !strings.HasPrefix(s[i+3:], " lifetime")
		}
	}
	return false
}

type field struct {
	from, to int
	low      string
}

// secrets finds the secrets of one line.
func secrets(line string) []span {
	var out []span
	out = credentials(line, out)
	start, logged := commandStart(line)
	var fs []field
	for i := start; i < len(line); {
		for i < len(line) && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r') {
			i++
		}
		j := i
		if j < len(line) && line[j] == '"' { // quoted: up to the closing quote
			if q := strings.IndexByte(line[j+1:], '"'); q > 0 {
				j += q + 2
			}
		}
		for j < len(line) && line[j] != ' ' && line[j] != '\t' && line[j] != '\r' {
			j++
		}
		if j > i {
			fs = append(fs, field{i, j, strings.ToLower(line[i:j])})
		}
		i = j
		if len(fs) > 200 {
			break
		}
	}
	if len(fs) == 0 {
		return out
	}
	p := parser{line: line, fs: fs, out: out, logged: logged}
	p.command()
	// Spans in order, without overlap.
	for i := 1; i < len(p.out); i++ {
		for j := i; j > 0 && p.out[j].from < p.out[j-1].from; j-- {
			p.out[j], p.out[j-1] = p.out[j-1], p.out[j]
		}
	}
	kept := p.out[:0]
	last := 0
	for _, s := range p.out {
		if s.from >= last && s.to > s.from {
			kept = append(kept, s)
			last = s.to
		}
	}
	return kept
}

// commandStart is where a command begins: behind a prompt, or where a log line quotes one.
// Logged tells that a log line quotes it: its closing quote is no part of a secret.
func commandStart(line string) (at int, logged bool) {
	for _, mark := range []string{"logged command:!exec: ", "logged command:", "executed the '", "executed '", "executed cmd: ", "command = ", "cmd=", `cli command "`} {
		if i := strings.Index(line, mark); i >= 0 {
			return i + len(mark), true
		}
	}
	// A prompt of configuration mode that a log line or an applet quotes.
	if i := strings.Index(line, "(config"); i >= 0 {
		if k := strings.Index(line[i:min(len(line), i+40)], ")#"); k > 0 {
			return i + k + 2, false
		}
	}
	from := margin(line)
	for i := from; i < len(line) && i < from+80; i++ {
		c := line[i]
		if c == '#' || c == '>' {
			if i > from && (wordByte(line[i-1]) || line[i-1] == ')') {
				return i + 1, false
			}
			return from, false
		}
		if !(wordByte(c) || c == '-' || c == '.' || c == '/' || c == '(' || c == ')' || c == '@') {
			break
		}
	}
	return from, false
}

// margin is where a line begins behind what a mail program, a diff, a list, a terminal's log or
// a numbered listing puts before it: "> ", "+", "12: ", "[10:22:33] ".
func margin(line string) int {
	i := 0
	for i < len(line) && i < 120 {
		switch c := line[i]; {
		case c == ' ', c == '\t', c == '>', c == '|', c == '+', c == '-', c == '*', c == '`', c == '!', c == '#', c == '~', c == '"', c == '\'':
			i++
		case strings.HasPrefix(line[i:], "»"):
			i += len("»")
		case strings.HasPrefix(line[i:], "•"), strings.HasPrefix(line[i:], "│"), strings.HasPrefix(line[i:], "–"):
			i += len("•")
		case c == '[':
			end := strings.IndexByte(line[i:min(len(line), i+48)], ']')
			if end < 0 {
				return i
			}
			i += end + 1
		case isDigit(c):
			j := i
			for j < len(line) && isDigit(line[j]) {
				j++
			}
			k := j
			for k < len(line) && line[k] == ' ' {
				k++
			}
			if k+1 >= len(line) || line[k] != ':' && line[k] != '.' && line[k] != ')' && line[k] != '|' || line[k+1] != ' ' {
				return i
			}
			i = k + 1
		default:
			return i
		}
	}
	return i
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// credentials finds user:password@ in addresses of the form scheme://.
func credentials(line string, out []span) []span {
	for from := 0; ; {
		i := strings.Index(line[from:], "://")
		if i < 0 {
			return out
		}
		i += from + 3
		end := i
		for end < len(line) && line[end] != ' ' && line[end] != '"' && line[end] != '\'' && line[end] != '\t' && line[end] != '\r' {
			end++
		}
		auth := line[i:end]
		if s := strings.IndexByte(auth, '/'); s >= 0 {
			// A slash may be part of a password; the last @ before the host decides.
			if a := strings.LastIndexByte(auth, '@'); a < s {
				auth = auth[:s]
			}
		}
		if a := strings.LastIndexByte(auth, '@'); a > 0 {
			if c := strings.IndexByte(auth[:a], ':'); c >= 0 && c+1 < a {
				out = append(out, span{from: i + c + 1, to: i + a})
			}
		}
		from = end
	}
}

type parser struct {
	line   string
	fs     []field
	out    []span
	logged bool
}

func (p *parser) word(i int) string {
	if i < len(p.fs) && i >= 0 {
		return p.fs[i].low
	}
	return ""
}

// hide marks field i as a secret. Encryption types in front of it decide whether it is opaque.
func (p *parser) hide(i int, opaque bool) {
	if i >= len(p.fs) {
		return
	}
	f := p.fs[i]
	from, to := f.from, f.to
	if to-from >= 2 && p.line[from] == '"' && p.line[to-1] == '"' {
		from, to = from+1, to-1
	}
	if p.logged {
		to = from + len(strings.TrimRight(p.line[from:to], "'\""))
	}
	p.out = append(p.out, span{from, to, opaque})
}

// value hides the secret that begins at field i, behind an optional type (0, 5, 6, 7, 8, 9,
// hex, ascii ...). It returns the index behind the secret.
func (p *parser) value(i int) int {
	opaque := false
	for i < len(p.fs)-1 {
		switch p.word(i) {
		case "level": // enable secret level 7 5 X
			if number(p.word(i + 1)) {
				i++
			}
		case "0", "clear", "text", "ascii", "hex", "clear-text", "local", "remote", "is", "=", ":":
		case "4", "5", "6", "7", "8", "9", "10", "encrypted":
			opaque = true
		default:
			goto found
		}
		i++
	}
found:
	if i >= len(p.fs) {
		return i
	}
	// "enable password X encrypted", "password X pbkdf2": the type stands behind.
	switch p.word(i + 1) {
	case "encrypted", "pbkdf2", "nt-encrypted", "mschap", "scrypt":
		opaque = true
	}
	p.hide(i, opaque)
	return i + 1
}

// sentence are words that follow "password" or "key" in prose and in other commands: no secrets.
var sentence = map[string]bool{"is": true, "for": true, "was": true, "of": true, "to": true, "and": true, "has": true, "not": true, "must": true, "required": true,
	"incorrect": true, "encryption": true, "recovery": true, "policy": true, "in": true, "on": true, "or": true, "expired": true, "will": true, "change": true,
	"mismatch": true, "does": true, "the": true, "lifetime": true, "local": true, "database": true, "chain": true, "exchange": true, "prompt": true, "at": true, "with": true, "from": true, "failed": true, "retry": true, "invalid": true, "management": true, "required.": true, "length": true, "minimum-length": true, "by": true, "may": true}

func number(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// command applies the grammar of the device's commands, by the first word.
func (p *parser) command() {
	i := 0
	for p.word(i) == "no" || p.word(i) == "do" || p.word(i) == "default" {
		i++
	}
	first := p.word(i)
	if first != "description" && first != "remark" && first != "access-list" {
		for j := i + 1; j < len(p.fs); j++ { // dot11 SSID wpa-psk ascii 0 X
			if p.word(j) == "wpa-psk" {
				p.value(j + 1)
				return
			}
		}
	}
	switch {
	case first == "":
		return
	case first == "mpls" || first == "encryption" || first == "security" || first == "sap" || first == "mka" || first == "kerberos" && p.word(i+1) == "srvtab" ||
		first == "license" || first == "token" || first == "user" || first == "snmp" || first == "attribute" || first == "macro-substitution" || first == "action" && p.word(i+2) == "mail":
		p.rare(first, i)
		return
	case first == "auto-signon" || first == "digest" || first == "mgmtuser" || first == "ap" || first == "pre-fill-username" || first == "secondary-pre-fill-username":
		p.passwords(i + 1)
		return
	case first == "cts" && p.word(i+1) == "sxp" && p.word(i+2) == "connection": // password default|none: which one, not the word
		return
	case first == "access-list" || first == "description" || first == "remark" || first == "object" || first == "object-group" || first == "name":
		return
	case first == "service" || first == "banner" && !strings.Contains(p.line, "password"):
		return
	case first == "password" || first == "passwd" || first == "pass" || first == "passphrase" || first == "key-string" || first == "wpa-psk" ||
		first == "ldap-login-password" || first == "server-key" || first == "shared-secret" || first == "radius-common-pw" || first == "domain-password" || first == "area-password" || first == "lsp-password" || first == "policy-server-secret" || first == "challenge-password":
		if sentence[p.word(i+1)] && p.word(i+1) != "is" {
			return
		}
		p.value(i + 1)
		return
	case first == "key":
		p.keyLine(i)
		return
	case first == "enable" || first == "username":
		p.passwords(i + 1)
		return
	case prefix(first, "crypto", 2) && prefix(p.word(i+1), "isakmp", 3) && p.word(i+2) == "key":
		p.isakmpKey(i + 3)
		return
	case first == "isakmp" && p.word(i+1) == "key":
		p.isakmpKey(i + 2)
		return
	case first == "crypto" && (p.word(i+1) == "map" || p.word(i+1) == "dynamic-map"):
		for j := i + 2; j < len(p.fs); j++ {
			if p.word(j) == "session-key" {
				p.hex(j + 1)
			}
		}
		p.passwords(i + 2)
		return
	case first == "crypto" && (p.word(i+2) == "import" || p.word(i+2) == "export"):
		p.passphrase(i + 3)
		return
	case first == "crypto" && p.word(i+1) == "isakmp" && p.word(i+2) == "peer", first == "crypto" && (p.word(i+1) == "key" || p.word(i+1) == "ca" || p.word(i+1) == "pki"):
		p.passwords(i + 2)
		return
	case first == "pre-shared-key":
		p.preSharedKey(i + 1)
		return
	case first == "ikev1" || first == "ikev2" || first == "tunnel-group":
		for j := i + 1; j < len(p.fs); j++ {
			if p.word(j) == "pre-shared-key" {
				p.preSharedKey(j + 1)
				return
			}
		}
		return
	case first == "authentication":
		// IOS ikev2 profile: authentication local pre-share key X; wlan: authentication key-management wpa.
		// eigrp: authentication key eigrp 1 X key-id 1, authentication mode hmac-sha-256 X.
		for j := i + 1; j+1 < len(p.fs); j++ {
			switch w := p.word(j); {
			case w == "key" && p.word(j+1) == "eigrp":
				p.value(j + 3)
				return
			case w == "key" || w == "key-string" || strings.HasPrefix(w, "hmac-sha"):
				p.value(j + 1)
				return
			}
		}
		p.passwords(i + 1)
		return
	case first == "logging":
		if p.word(i+1) == "ftp-server" { // address, path, user, password
			p.value(i + 5)
		}
		return
	case first == "snmp-server":
		p.snmp(i + 1)
		return
	case first == "tacacs-server" || first == "radius-server" || first == "server" || first == "server-private" || first == "failover" || first == "radius" || first == "tacacs" || first == "client" || first == "pac" || first == "group" || first == "cluster" || first == "address" || first == "nas":
		p.keyed(i + 1)
		return
	case first == "aaa-server":
		p.aaaServer(i)
		return
	case first == "vpngroup" || first == "vpnclient" || first == "vpdn" || first == "ppp" || first == "test" || first == "http" || first == "auth-prompt" || first == "dialer" || first == "credentials":
		p.passwords(i + 1)
		return
	case first == "ntp":
		if j := i + 4; p.word(i+1) == "authentication-key" { // number, algorithm, [type], key, [type]
			opaque := p.word(j) == "8" && j+1 < len(p.fs)
			if opaque || p.word(j) == "0" && j+1 < len(p.fs) {
				j++
			}
			p.hide(j, opaque || p.word(j+1) == "7")
		}
		return
	case first == "ip" || first == "ipv6" || first == "ospf" || first == "ospfv3" || first == "area" || first == "neighbor" || first == "standby" || first == "vrrp" || first == "glbp" ||
		first == "isis" || first == "eigrp" || first == "bgp" || first == "rip" || first == "peer" || first == "message-digest-key" || first == "authentication-key" || first == "virtual-link":
		p.routing(i)
		return
	case first == "set":
		// set session-key inbound esp 256 cipher HEX authenticator HEX
		if p.word(i+1) == "session-key" {
			p.hex(i + 2)
			return
		}
		p.passwords(i + 1) // set aggressive-mode password X
		return
	case first == "cts" || first == "dot1x" || first == "eap" || first == "identity" || first == "wlan":
		p.passwords(i + 1)
		p.keyed(i + 1)
		return
	}
	p.prose(i)
}

func prefix(s, full string, least int) bool {
	return len(s) >= least && strings.HasPrefix(full, s)
}

func hexText(s string) bool {
	s = strings.TrimPrefix(s, "0x")
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return s != ""
}

// hex hides the keys that are written as hexadecimal digits from field i on.
func (p *parser) hex(i int) {
	for ; i < len(p.fs); i++ {
		if w := strings.TrimRight(p.word(i), "'\""); len(w) >= 16 && hexText(w) {
			p.hide(i, false)
		}
	}
}

// passphrase hides that of a key or certificate that is exported or imported: after its
// form (pkcs12, pem), place (terminal, URL) and cipher.
func (p *parser) passphrase(i int) {
	form := false
	for ; i < len(p.fs); i++ {
		w := p.word(i)
		switch w {
		case "pkcs12", "pem", "terminal":
			form = true
		case "exportable", "url", "password", "passphrase", "3des", "des", "aes":
		default:
			if form && !strings.Contains(w, ":") && !strings.HasSuffix(w, "terminal'") {
				p.hide(i, false)
				return
			}
			if strings.HasSuffix(w, "'") {
				return
			}
		}
	}
}

// rare are commands that carry a secret in a form of their own.
func (p *parser) rare(first string, i int) {
	for j := i + 1; j < len(p.fs); j++ {
		w := p.word(j)
		switch {
		case first == "mpls" && w == "password": // ldp [vrf V] [neighbor A] password [option N for LIST|fallback] [0|7] X
			switch p.word(j + 1) {
			case "required", "rollover":
				return
			case "option":
				j += 4
			case "fallback":
				j++
			}
			if p.word(j+1) != "key-chain" {
				p.value(j + 1)
			}
			return
		case first == "encryption" && w == "size": // key N size 128bit [0|7] X
			p.value(j + 2)
			return
		case first == "encryption" && w == "ipsec":
			p.hex(j + 1)
			return
		case first == "security" && w == "set-key":
			p.value(j + 1)
			return
		case first == "security" && p.word(i+1) == "static-wep-key" && (w == "ascii" || w == "hex"):
			p.value(j + 1)
			return
		case first == "sap" && w == "pmk", (first == "license" || first == "action") && w == "idtoken", first == "snmp" && w == "community-map", first == "macro-substitution" && w == "value" && strings.Contains(p.word(j-1), "password"):
			p.hide(j+1, false)
			return
		case first == "license" || first == "token": // of a cloud service
			if w := strings.TrimRight(w, "'"); j == i+1 && len(w) >= 16 && hexText(w) {
				p.hide(j, false)
				return
			}
		case first == "user" && (w == "nthash" || w == "password"), first == "attribute" && strings.HasSuffix(w, "password"):
			p.value(j + 1)
			return
		case first == "kerberos" && j == i+9: // srvtab entry PRINCIPAL TYPE TIME VERSION KEYTYPE LENGTH X
			p.hide(j, true)
			return
		case first == "action" && p.word(j-1) == "server": // "user:password@host"
			f := p.fs[j]
			if c, a := strings.IndexByte(w, ':'), strings.LastIndexByte(w, '@'); c > 0 && a > c+1 {
				p.out = append(p.out, span{from: f.from + c + 1, to: f.from + a})
			}
			return
		}
	}
}

// keyLine is a line that begins with "key": a group's key, a key chain's number, an RSA key.
func (p *parser) keyLine(i int) {
	switch p.word(i + 1) {
	case "chain", "generate", "zeroize", "import", "export", "pubkey-chain", "eap", "name", "name:", "type:", "pair", "pair:", "usage", "usage:", "data", "data:", "acquire", "engine", "exchange", "group", "lifetime":
		return
	case "config-key":
		p.hide(i+3, false)
		if !p.logged {
			p.hide(i+4, false) // the one before
		}
		return
	}
	if p.word(i+2) == "--" || strings.HasSuffix(p.word(i+1), ":") && p.word(i) != p.line[p.fs[i].from:p.fs[i].to] {
		return // show key chain; "Key type: RSA KEYS"
	}
	if len(p.fs) == i+2 && number(p.word(i+1)) && len(p.word(i+1)) < 4 {
		return // number of a key in a key chain
	}
	if len(p.fs) > i+4 && !number(p.word(i+1)) { // prose
		return
	}
	p.value(i + 1)
}

// isakmpKey: [0|6] KEY address|hostname ..., or address A KEY.
func (p *parser) isakmpKey(i int) {
	if w := p.word(i); (w == "address" || w == "hostname") && len(p.fs) > i+2 && p.word(i+1) != "address" {
		for j := i + 2; j < len(p.fs); j++ {
			w := p.word(j)
			if w == "netmask" || dotted(w) {
				continue
			}
			p.hide(j, false)
			return
		}
		return
	}
	p.value(i)
}

func dotted(s string) bool {
	return strings.Count(s, ".") == 3 && strings.Trim(s, "0123456789.") == ""
}

// preSharedKey: [local|remote] [0|6|hex] KEY, or address A [mask] key [0|6] KEY, or hostname H key KEY.
func (p *parser) preSharedKey(i int) {
	switch p.word(i) {
	case "address", "hostname":
		for j := i + 1; j < len(p.fs); j++ {
			if p.word(j) == "key" {
				p.value(j + 1)
				return
			}
		}
		return
	case "":
		return
	}
	p.value(i)
}

// passwords hides what follows password, secret, passphrase and the like within a command.
func (p *parser) passwords(i int) {
	for ; i < len(p.fs); i++ {
		switch p.word(i) {
		case "password", "secret", "passphrase", "passcode", "pwd", "pw", "auth-pass", "privilege-password", "challenge-password", "use-common-password":
			if w := p.word(i + 1); !sentence[w] && w != "generate" {
				i = p.value(i+1) - 1
			}
		}
	}
}

// keyed hides what follows "key" or "secret" within a command.
func (p *parser) keyed(i int) {
	for ; i < len(p.fs); i++ {
		switch p.word(i) {
		case "key", "secret", "password", "server-key", "shared-secret", "pre-shared-key", "pac-key":
			if !sentence[p.word(i+1)] {
				i = p.value(i+1) - 1
			}
		}
	}
}

// aaaServer: PIX put the key behind the host; ASA has its own line, or "key X" behind the host.
func (p *parser) aaaServer(i int) {
	for j := i + 1; j < len(p.fs); j++ {
		if p.word(j) == "key" {
			p.value(j + 1)
			return
		}
		if p.word(j) == "host" && j+2 < len(p.fs) && p.word(j+2) != "timeout" && p.word(j+2) != "key" && p.word(j+2) != "protocol" {
			p.hide(j+2, false)
			return
		}
	}
}

// snmp: community X, host ... [version ...] X, user U G v3 [encrypted] auth A X priv ... X.
func (p *parser) snmp(i int) {
	switch p.word(i) {
	case "community":
		p.value(i + 1)
	case "host":
		j := i + 1
		for ; j < len(p.fs); j++ {
			if p.word(j) == "community" {
				p.value(j + 1)
				return
			}
		}
		// IOS: host A [traps|informs] [version 1|2c|3 auth|noauth|priv] COMMUNITY [types]
		for j = i + 1; j < len(p.fs); j++ {
			w := p.word(j)
			switch {
			case w == "traps" || w == "informs" || w == "trap" || w == "poll" || w == "1" || w == "2c" || w == "3" || w == "auth" || w == "noauth" || w == "priv" || w == "version" || w == "vrf":
			case j == i+1: // host, or interface name on ASA
			case j == i+2 && strings.ContainsAny(w, ".:") && !strings.ContainsAny(p.word(i+1), ".:"): // host behind an interface name
			case p.word(j-1) == "vrf" || w == "udp-port" || p.word(j-1) == "udp-port":
			case p.word(j-2) == "version" && p.word(j-1) == "3", p.word(j-3) == "version" && p.word(j-2) == "3": // a user's name
				return
			default:
				p.hide(j, false)
				return
			}
		}
	case "user":
		for j := i + 1; j < len(p.fs); j++ {
			switch p.word(j) {
			case "auth":
				k := j + 2
				if p.word(j+1) == "sha-2" && number(p.word(k)) { // 256
					k++
				}
				p.hide(k, false)
			case "priv":
				k := j + 1
				for k < len(p.fs)-1 && (p.word(k) == "aes" || p.word(k) == "des" || p.word(k) == "3des" || p.word(k) == "des56" || p.word(k) == "128" || p.word(k) == "192" || p.word(k) == "256") {
					k++
				}
				p.hide(k, false)
			}
		}
	}
}

// routing: passwords of routing protocols, first-hop redundancy and the router's own clients.
func (p *parser) routing(i int) {
	for j := i; j < len(p.fs); j++ {
		switch p.word(j) {
		case "password", "key-string", "authentication-key", "secret", "passphrase":
			if p.word(j+1) == "peer" { // ip msdp password peer A X
				j += 2
			}
			if !sentence[p.word(j+1)] {
				j = p.value(j+1) - 1
			}
		case "ipsec", "md5", "sha1":
			if p.word(j) != "ipsec" && p.word(i) == "ospfv3" || p.word(j+1) == "spi" {
				p.hex(j + 2)
				return
			}
			if p.word(j) != "md5" {
				continue
			}
			if p.word(j+1) == "key-string" || p.word(j+1) == "key-chain" {
				continue
			}
			if p.word(j-2) == "message-digest-key" || p.word(j-2) == "md5" {
				j = p.value(j+1) - 1
			}
		case "text":
			if p.word(j-1) == "authentication" {
				j = p.value(j+1) - 1
			}
		case "authentication":
			switch n := p.word(j + 1); {
			case n == "" || n == "mode" || n == "key-chain" || n == "md5" || n == "text" || n == "message-digest" || n == "null" || n == "key" || n == "ipsec":
			case p.word(i) == "ip" && p.word(i+1) == "nhrp", p.word(i) == "standby", p.word(i) == "vrrp":
				j = p.value(j+1) - 1
			}
		case "key":
			// authentication key eigrp 1 KEY: only within a longer line that names no chain
			if p.word(j-1) == "authentication" && p.word(j+1) != "eigrp" && p.word(j+1) != "chain" { // rip, rsvp
				j = p.value(j+1) - 1
				continue
			}
			if p.word(j+1) == "chain" || number(p.word(j+1)) && j+2 >= len(p.fs) {
				return
			}
		}
	}
}

// prose finds secrets where no command is known: profile files (GroupPwd=X), mails
// ("pre-shared key: X"), and the word password or secret before a last word.
func (p *parser) prose(i int) {
	free := p.word(i) == "banner" // words of a person, no command
	for j := i; j < len(p.fs); j++ {
		w := p.word(j)
		free = free || w == "description"
		if k := strings.IndexByte(w, '='); k > 0 && k+1 < len(w) && secretName(w[:k]) {
			f := p.fs[j]
			p.out = append(p.out, span{f.from + k + 1, f.to, strings.HasPrefix(w, "enc_")})
			continue
		}
		name := strings.TrimRight(w, ":=")
		colon := (name != w || p.word(j+1) == "=") && !strings.Contains(p.line, "eason")
		switch {
		case colon && secretName(name), colon && name == "key" && (p.word(j-1) == "shared" || p.word(j-1) == "pre-shared" || p.word(j-1) == "preshared" || p.word(j-1) == "group"):
			k := j + 1
			if p.word(k) == "=" {
				k++
			}
			if k < len(p.fs) && !sentence[p.word(k)] && !strings.HasPrefix(p.word(k), "(") {
				p.hide(k, false)
			}
			j = k
		case !free && (w == "password" || w == "secret" || w == "passphrase" || w == "key-string" || w == "pre-shared-key" || w == "shared-secret") && j+1 < len(p.fs) && j+3 >= len(p.fs) && !sentence[p.word(j+1)] && !strings.Contains(p.line, "%"):
			if !strings.HasSuffix(p.word(len(p.fs)-1), ".") {
				p.value(j + 1)
			}
			return
		}
	}
}

func secretName(s string) bool {
	s = strings.TrimPrefix(s, "enc_")
	switch s {
	case "password", "passwort", "passwd", "pwd", "psk", "grouppwd", "userpassword", "secret", "passphrase", "pre-shared-key", "presharedkey", "shared-secret", "sharedsecret", "wpa-psk", "pre-shared", "preshared":
		return true
	}
	return false
}
