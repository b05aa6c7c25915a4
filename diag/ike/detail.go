package ike

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"vpnbot/diag/facts"
)

// What a payload says, for people. The first line says it in short; further lines, one per
// transform, selector or attribute, are for those who open the message. Values that may
// be secret (passwords, keys, hashes, nonces) are never read, only their kind and length.

// maxRows bounds the further lines of one payload.
const maxRows = 24

// rows joins a first line and further ones.
func rows(first string, more []string) string {
	if len(more) > maxRows {
		more = append(more[:maxRows:maxRows], fmt.Sprintf("and %d more", len(more)-maxRows))
	}
	return strings.Join(append([]string{first}, more...), "\n")
}

// saText says what an SA payload proposes.
func saText(ps []facts.Proposal) string {
	n := 0
	for _, p := range ps {
		n += len(p.Transforms)
	}
	var more []string
	for _, p := range ps {
		if len(more) > maxRows {
			break
		}
		head := fmt.Sprintf("proposal %d: %s", p.Number, p.Protocol)
		if p.SPI != 0 {
			head += fmt.Sprintf(", SPI 0x%08x", p.SPI)
		}
		if s := alternatives(p); s != "" {
			more = append(more, head+"; "+s)
			continue
		}
		if p.SPI != 0 || len(ps) > 1 {
			more = append(more, head)
		}
		for _, t := range p.Transforms[:min(len(p.Transforms), maxRows)] {
			more = append(more, fmt.Sprintf("transform %d: %s", t.Number, transformText(t)))
		}
		if left := len(p.Transforms) - maxRows; left > 0 {
			more = append(more, fmt.Sprintf("and %d transforms more", left))
		}
	}
	switch {
	case len(ps) == 0:
		return "no proposal"
	case n <= 1 && len(ps) == 1:
		return rows(ps[0].Protocol, more)
	}
	return rows(fmt.Sprintf("%s, %s of %s", ps[0].Protocol, count(n, "transform"), count(len(ps), "proposal")), more)
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// transformText is a transform of IKEv1.
func transformText(t facts.Transform) string {
	var s []string
	for _, w := range []string{t.Encryption, t.PRF, t.Hash, t.Group, t.Auth, t.Mode} {
		if w != "" {
			s = append(s, w)
		}
	}
	if t.Lifetime > 0 {
		s = append(s, fmt.Sprintf("lifetime %d s", t.Lifetime))
	}
	return strings.Join(s, ", ")
}

// alternatives is a proposal of IKEv2, in which each transform is one of several of its
// kind; "" when it is of IKEv1.
func alternatives(p facts.Proposal) string {
	var kinds [4][]string
	for _, t := range p.Transforms {
		set := 0
		for i, w := range []string{t.Encryption, t.PRF, t.Hash, t.Group} {
			if w != "" {
				kinds[i] = append(kinds[i], w)
				set++
			}
		}
		if set > 1 || t.Auth != "" || t.Mode != "" {
			return ""
		}
	}
	var s []string
	for i, name := range []string{"encryption", "PRF", "integrity", "group"} {
		if len(kinds[i]) > 0 {
			s = append(s, name+" "+strings.Join(kinds[i], " or "))
		}
	}
	return strings.Join(s, "; ")
}

// transformESP reads the attributes of a phase-2 transform (RFC 2407 section 4.5); the
// cipher is the transform's number in the registry of its protocol (4.4.3, 4.4.4).
func transformESP(protocol uint8, number, id int, b []byte) facts.Transform {
	t := facts.Transform{Number: number}
	keyLen, seconds := 0, true
	attributes(b, func(typ uint16, v []byte) {
		n := number32(v)
		switch typ {
		case 1:
			seconds = n == 1
		case 2:
			if seconds {
				t.Lifetime = n
			}
		case 3:
			t.Group = "PFS " + group(n)
		case 4:
			switch n {
			case 1, 3, 61443:
				t.Mode = "tunnel"
			case 2, 4, 61444:
				t.Mode = "transport"
			}
			if n > 2 && t.Mode != "" {
				t.Mode += " in UDP"
			}
		case 5:
			t.Hash = authentication(n)
		case 6:
			keyLen = n
		}
	})
	if protocol == 3 {
		t.Encryption = encryption2(id, keyLen)
	}
	return t
}

// authentication names the authentication algorithms of IPsec SAs (RFC 2407 4.5).
func authentication(n int) string {
	switch n {
	case 1:
		return "HMAC-MD5"
	case 2:
		return "HMAC-SHA1"
	case 5:
		return "HMAC-SHA2-256"
	case 6:
		return "HMAC-SHA2-384"
	case 7:
		return "HMAC-SHA2-512"
	}
	return "authentication " + strconv.Itoa(n)
}

// attributes walks data attributes (RFC 2408 3.3): a type with a value of two bytes, or
// with a length and a value.
func attributes(b []byte, each func(typ uint16, v []byte)) {
	for len(b) >= 4 {
		typ := binary.BigEndian.Uint16(b)
		v, size := b[2:4], 4
		if typ&0x8000 == 0 {
			size += int(binary.BigEndian.Uint16(b[2:]))
			if size > len(b) {
				return
			}
			v = b[4:size]
		}
		each(typ&0x7fff, v)
		b = b[size:]
	}
}

// number32 is a value of up to four bytes, 0 for longer ones.
func number32(v []byte) int {
	n := 0
	if len(v) <= 4 {
		for _, c := range v {
			n = n<<8 | int(c)
		}
	}
	return n
}

// configText names the attributes of a mode-config or XAUTH payload (RFC 7296 3.15.1,
// draft-beaulieu-ike-xauth 3.1, draft-dukes-ike-mode-cfg 3.3, Cisco Unity). Their values
// stay unread, they hold passwords; only the status of XAUTH is told.
func configText(kind string, b []byte) string {
	var more []string
	attributes(b, func(typ uint16, v []byte) {
		if len(more) > maxRows {
			return
		}
		s := configName(typ)
		if typ == 16527 { // XAUTH_STATUS
			s += map[bool]string{true: ": OK", false: ": FAIL"}[number32(v) == 1]
		}
		more = append(more, s)
	})
	if len(more) == 0 {
		return kind
	}
	return rows(kind+", "+count(len(more), "attribute"), more)
}

func configName(t uint16) string {
	switch t {
	case 1:
		return "IPv4 address"
	case 2:
		return "IPv4 netmask"
	case 3:
		return "IPv4 DNS server"
	case 4:
		return "IPv4 NBNS server"
	case 5:
		return "address lifetime"
	case 6:
		return "IPv4 DHCP server"
	case 7:
		return "application version"
	case 8:
		return "IPv6 address"
	case 10:
		return "IPv6 DNS server"
	case 13:
		return "IPv4 network"
	case 14:
		return "supported attributes"
	case 15:
		return "IPv6 network"
	case 16520:
		return "XAUTH type"
	case 16521:
		return "XAUTH user name"
	case 16522:
		return "XAUTH password"
	case 16523:
		return "XAUTH passcode"
	case 16524:
		return "XAUTH message"
	case 16525:
		return "XAUTH challenge"
	case 16526:
		return "XAUTH domain"
	case 16527:
		return "XAUTH status"
	case 28672:
		return "banner"
	case 28673:
		return "save password"
	case 28674:
		return "default domain"
	case 28675:
		return "split DNS names"
	case 28676:
		return "split tunnel networks"
	case 28677:
		return "UDP port for NAT"
	case 28678:
		return "split exclude networks"
	case 28679:
		return "PFS"
	case 28680:
		return "firewall type"
	case 28681:
		return "backup servers"
	case 28682:
		return "DDNS host name"
	}
	return "attribute " + strconv.Itoa(int(t))
}

// selectorsText reads traffic selectors (RFC 7296 3.13).
func selectorsText(b []byte) string {
	if len(b) < 4 {
		return ""
	}
	n := int(b[0])
	b = b[4:]
	var more []string
	for len(b) >= 8 && len(more) < maxRows {
		l := int(binary.BigEndian.Uint16(b[2:]))
		if l < 8 || l > len(b) {
			break
		}
		size := (l - 8) / 2
		s := fmt.Sprintf("type %d", b[0])
		switch {
		case b[0] == 7 && size == 4:
			s = addr4(b[8:]).netip().String() + " to " + addr4(b[12:]).netip().String()
		case b[0] == 8 && size == 16:
			s = addr16(b[8:]).netip().String() + " to " + addr16(b[24:]).netip().String()
		}
		if b[1] != 0 {
			s += ", protocol " + strconv.Itoa(int(b[1]))
		}
		if from, to := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]); from != 0 || to != 65535 {
			s += fmt.Sprintf(", ports %d to %d", from, to)
		}
		more = append(more, s)
		b = b[l:]
	}
	if len(more) == 1 && n == 1 {
		return more[0]
	}
	return rows(count(n, "selector"), more)
}

// certText names the encoding of a certificate or request (RFC 2408 3.9, RFC 7296 3.6).
func certText(kind uint8, n int) string {
	name := "encoding " + strconv.Itoa(int(kind))
	switch kind {
	case 1:
		name = "PKCS #7 certificate"
	case 4:
		name = "X.509 certificate, signature"
	case 5:
		name = "X.509 certificate, key exchange"
	case 7:
		name = "revocation list"
	case 12:
		name = "hash and URL of an X.509 certificate"
	case 13:
		name = "hash and URL of X.509 certificates"
	}
	return fmt.Sprintf("%s, %d bytes", name, n)
}

// authText names the method of an IKEv2 AUTH payload (RFC 7296 3.8, RFC 7427).
func authText(method uint8, n int) string {
	name := "method " + strconv.Itoa(int(method))
	switch method {
	case 1:
		name = "RSA signature"
	case 2:
		name = "pre-shared key"
	case 3:
		name = "DSS signature"
	case 9, 10, 11:
		name = "ECDSA signature"
	case 14:
		name = "digital signature"
	}
	return fmt.Sprintf("%s, %d bytes", name, n)
}

// eapText names code and method of an EAP message (RFC 3748 section 4).
func eapText(b []byte) string {
	if len(b) < 4 {
		return ""
	}
	s := map[uint8]string{1: "request", 2: "response", 3: "success", 4: "failure"}[b[0]]
	if s == "" {
		s = "code " + strconv.Itoa(int(b[0]))
	}
	if len(b) > 4 {
		m := map[uint8]string{1: "identity", 3: "NAK", 4: "MD5", 6: "GTC", 13: "TLS", 21: "TTLS", 25: "PEAP", 26: "MSCHAPv2"}[b[4]]
		if m == "" {
			m = "method " + strconv.Itoa(int(b[4]))
		}
		s += ", " + m
	}
	return s
}

// notifyText says name, number and kind of a notify.
func notifyText(n facts.Notify) string {
	s := n.Name
	if !strings.HasPrefix(s, "notify ") {
		s += " (" + strconv.Itoa(int(n.Type)) + ")"
	}
	if n.Error {
		s += ", an error"
	}
	if n.SPI != 0 {
		s += fmt.Sprintf(", SPI 0x%08x", n.SPI)
	}
	return s
}

// deleteText says what a delete payload deletes: n SPIs of size bytes each from b on.
func deleteText(protocol string, size, n int, b []byte) string {
	var more []string
	for i := 0; i < n && size > 0 && len(b) >= size && len(more) < maxRows; i++ {
		if size == 4 {
			more = append(more, fmt.Sprintf("SPI 0x%08x", binary.BigEndian.Uint32(b)))
		} else {
			more = append(more, fmt.Sprintf("SPI %x", b[:min(size, 16)]))
		}
		b = b[size:]
	}
	if n == 0 {
		return protocol + " SA itself"
	}
	return rows(protocol+", "+count(n, "SPI"), more)
}

// keText guesses the group of an IKEv1 KE payload: its length is that of the group's prime.
func keText(n int) string {
	g := map[int]int{96: 1, 128: 2, 192: 5, 256: 14, 384: 15, 512: 16}[n]
	if g == 0 {
		return strconv.Itoa(n) + " bytes"
	}
	return fmt.Sprintf("%d bytes, as of %s", n, group(g))
}
