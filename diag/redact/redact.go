// Package redact takes secrets out of device text before anything else reads it.
//
// In comes text as a device or a person wrote it; out goes the same text, line for line,
// with every secret replaced by **** and a token. Equal secrets of one run have equal
// tokens, so that the keys of two ends can be compared and never read: a token is an HMAC
// under a key that lives as long as the run. Tokens stay inside the program: Strip takes
// them off whatever is shown, Ordinals replaces them by numbers for bundles on disk.
//
// A key that the device itself masks (*****) or encrypts carries no token: equal texts
// would not mean equal keys.
package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Mask is what stands in a secret's place.
const Mask = "****"

// A token follows the mask directly: "[h:" and 16 hexadecimal digits, or "[k" and an
// ordinal in a bundle on disk, then "]".
const (
	openHMAC = "[h:"
	openOrd  = "[k"
	hexLen   = 16
)

// Redactor replaces secrets in the texts of one run. It may be used by several goroutines.
type Redactor struct {
	key []byte

	mu     sync.Mutex
	learnt map[string]string // secret to its replacement
	index  map[uint32][]int  // first four bytes to the lengths of such secrets, longest first
	starts [256]bool
	order  map[string]int // token to ordinal
}

// maxLearnt bounds the secrets that are remembered for Sweep.
const maxLearnt = 20000

// New returns a Redactor with the key of the run: random bytes, 16 or more, never stored.
func New(key []byte) *Redactor {
	return &Redactor{key: append([]byte(nil), key...), learnt: map[string]string{}, index: map[uint32][]int{}, order: map[string]int{}}
}

// Text replaces the secrets that a text's own grammar shows (key and password commands,
// private keys, addresses with credentials) and learns them for Sweep. Line numbers stay.
func (r *Redactor) Text(s string) string {
	var b strings.Builder
	grow := func() {
		if b.Len() == 0 {
			b.Grow(len(s) + len(s)/64 + 64)
		}
	}
	last := 0        // what is not yet copied
	inKey := false   // within a private key
	inTable := false // within the answer of show crypto isakmp key
	for from := 0; from < len(s); {
		if !inKey && !inTable { // on to the next line that may hold a secret
			at := nextHint(s, from)
			if at < 0 {
				break
			}
			from += strings.LastIndexByte(s[from:at], '\n') + 1
		}
		end := strings.IndexByte(s[from:], '\n')
		if end < 0 {
			end = len(s)
		} else {
			end += from
		}
		line := s[from:end]
		if inKey {
			if strings.Contains(line, "---- END") || strings.Contains(line, "-----END") || strings.Contains(line, "Private-MAC") {
				inKey = false
			} else {
				grow()
				b.WriteString(s[last:from])
				b.WriteString(Mask)
				last = end
				if strings.HasSuffix(line, "\r") {
					last--
				}
			}
		} else if inTable {
			f := strings.Fields(line)
			if n := len(f); n >= 2 && n <= 4 && !strings.HasSuffix(f[0], "#") {
				at := strings.LastIndex(line, f[n-1])
				grow()
				b.WriteString(s[last : from+at])
				b.WriteString(r.replacement(f[n-1], false))
				last = from + at + len(f[n-1])
			} else if n > 0 {
				inTable = false
			}
		} else if privateKey(line) {
			inKey = true
		} else if strings.Contains(line, "Preshared Key") && strings.Contains(line, "Hostname/Address") {
			inTable = true
		} else {
			for _, sp := range secrets(line) {
				if masked(line[sp.from:sp.to]) {
					continue
				}
				grow()
				b.WriteString(s[last : from+sp.from])
				b.WriteString(r.replacement(line[sp.from:sp.to], sp.opaque))
				last = from + sp.to
			}
		}
		from = end + 1
	}
	if last == 0 {
		return s
	}
	b.WriteString(s[last:])
	return b.String()
}

// privateKey tells whether a private key begins behind this line: PEM, SSH2, PuTTY, or
// the whole store that crypto ca export prints.
func privateKey(line string) bool {
	if strings.Contains(line, "PRIVATE KEY") || strings.Contains(line, "PKCS12-----") {
		return strings.Contains(line, "-----BEGIN") || strings.Contains(line, "---- BEGIN")
	}
	return strings.HasPrefix(line, "Private-Lines:")
}

// Sweep replaces what Text has learnt wherever else it stands free: echoed in a log, pasted
// in a mail. Call it after Text has seen all texts of the run. Words that are too short or
// too ordinary to be told from normal text are left.
func (r *Redactor) Sweep(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.index) == 0 {
		return s
	}
	var b strings.Builder
	last := 0
	for i := 0; i+4 <= len(s); i++ {
		if !r.starts[s[i]] || i > 0 && wordByte(s[i-1]) {
			continue
		}
		k := uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
		for _, n := range r.index[k] {
			// Look up only what ends where a word ends: there may be many lengths.
			if i+n > len(s) || i+n < len(s) && wordByte(s[i+n]) && wordByte(s[i+n-1]) {
				continue
			}
			out, ok := r.learnt[s[i:i+n]]
			if !ok {
				continue
			}
			b.WriteString(s[last:i])
			b.WriteString(out)
			last = behindToken(s, i, i+n)
			i = last - 1
			break
		}
	}
	if last == 0 {
		return s
	}
	b.WriteString(s[last:])
	return b.String()
}

// behindToken moves an end between from and to that fell into a mask with its token behind
// it: half a mask would leave the token standing where Strip does not see it.
func behindToken(s string, from, to int) int {
	i := strings.LastIndex(s[from:min(to+len(Mask), len(s))], Mask+"[")
	if i < 0 {
		return to
	}
	i += from + len(Mask)
	return max(to, i+tokenLen(s[i:]))
}

func wordByte(c byte) bool { return wordBytes[c] }

var wordBytes = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
	}
	return t
}()

// Secret returns the replacement of a secret that the caller knows by itself (a password
// that was sent), and learns it for Sweep.
func (r *Redactor) Secret(s string) string { return r.replacement(s, false) }

func (r *Redactor) replacement(secret string, opaque bool) string {
	if masked(secret) {
		return secret
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	have, known := r.learnt[secret]
	if known && (opaque || have != Mask) {
		if opaque {
			return Mask
		}
		return have
	}
	out := Mask
	if !opaque {
		m := hmac.New(sha256.New, r.key)
		m.Write([]byte(secret))
		out = Mask + openHMAC + hex.EncodeToString(m.Sum(nil)[:hexLen/2]) + "]"
	}
	if known || len(r.learnt) < maxLearnt {
		r.learnt[secret] = out
		if !known && distinctive(secret) {
			k := uint32(secret[0]) | uint32(secret[1])<<8 | uint32(secret[2])<<16 | uint32(secret[3])<<24
			if !slices.Contains(r.index[k], len(secret)) {
				r.index[k] = append(r.index[k], len(secret))
				slices.SortFunc(r.index[k], func(a, b int) int { return b - a })
			}
			r.starts[secret[0]] = true
		}
	}
	return out
}

// masked tells that the text hides the secret already: ***, <removed>, xxxxx, one of ours.
func masked(s string) bool {
	if s == "" || strings.HasPrefix(s, Mask+"[") || s[0] == '<' && s[len(s)-1] == '>' {
		return true
	}
	stars := strings.Count(s, "*")
	return stars == len(s) || len(s) >= 4 && strings.Trim(s, "xX") == "" || s == "..." || s == "$1$xxxx$xxxxxxxxxxxxxxxxxxxxxx" || s == "$1$$"
}

// distinctive tells that a secret can be recognised in any text: eight letters, or five of
// which one is a digit or a sign. Addresses and plain short numbers are none.
func distinctive(s string) bool {
	if len(s) < 5 || len(s) > 256 {
		return false
	}
	letters, digits, dots, other := 0, 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.':
			dots++
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			letters++
		default:
			other++
		}
	}
	if letters == 0 && other == 0 {
		return dots == 0 && digits >= 8
	}
	if digits+other > 0 {
		return !(strings.Count(s, "-") == other && digits == 0 && dots == 0) || len(s) >= 12
	}
	return letters >= 8 && !ordinary[strings.ToLower(s)]
}

// ordinary are words of device text that people use as keys and that must stay readable.
var ordinary = map[string]bool{"password": true, "preshare": true, "cisco123": false, "internet": true, "ethernet": true, "firewall": true, "outside": true, "encrypted": true, "management": true, "unencrypted": true, "presharedkey": false}

// Token returns the token that a word carries: equal tokens mean equal secrets. It is false
// for masked and encrypted keys.
func Token(s string) (token string, ok bool) {
	i := strings.Index(s, Mask+"[")
	if i < 0 {
		return "", false
	}
	s = s[i+len(Mask):]
	n := tokenLen(s)
	if n == 0 {
		return "", false
	}
	return s[1 : n-1], true
}

// tokenLen is the length of the token at the beginning of s, with its brackets; 0 when there is none.
func tokenLen(s string) int {
	if strings.HasPrefix(s, openHMAC) {
		n := len(openHMAC) + hexLen
		if len(s) <= n || s[n] != ']' {
			return 0
		}
		for _, c := range []byte(s[len(openHMAC):n]) {
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
				return 0
			}
		}
		return n + 1
	}
	if strings.HasPrefix(s, openOrd) {
		i := len(openOrd)
		for i < len(s) && i < 12 && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		if i > len(openOrd) && i < len(s) && s[i] == ']' {
			return i + 1
		}
	}
	return 0
}

// Strip takes the tokens off: plain **** is left, fit for everything shown or stored.
func Strip(s string) string {
	return rewrite(s, func(string) string { return "" })
}

// Ordinals replaces the tokens of a text by numbers in order of their appearance in the
// run (****[k1], ****[k2] ...). Nothing of the secret is left in it, and a saved bundle
// still shows which keys are equal.
func (r *Redactor) Ordinals(s string) string {
	return rewrite(s, func(token string) string {
		if !strings.HasPrefix(token, openHMAC) {
			return token
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		n, ok := r.order[token]
		if !ok {
			n = len(r.order) + 1
			r.order[token] = n
		}
		return fmt.Sprintf("%s%d]", openOrd, n)
	})
}

// HasOrdinals tells whether a text carries tokens of a saved bundle.
func HasOrdinals(s string) bool {
	for {
		i := strings.Index(s, Mask+openOrd)
		if i < 0 {
			return false
		}
		s = s[i+len(Mask):]
		if tokenLen(s) > 0 {
			return true
		}
	}
}

// rewrite calls f with each token of s, brackets included, and puts what it returns in its place.
func rewrite(s string, f func(token string) string) string {
	i := strings.Index(s, Mask+"[")
	if i < 0 {
		return s
	}
	var b strings.Builder
	for i >= 0 {
		i += len(Mask)
		b.WriteString(s[:i])
		s = s[i:]
		if n := tokenLen(s); n > 0 {
			b.WriteString(f(s[:n]))
			s = s[n:]
		}
		i = strings.Index(s, Mask+"[")
	}
	b.WriteString(s)
	return b.String()
}
