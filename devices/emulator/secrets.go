package emulator

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// secrets makes the lab's passwords and keys and keeps them under Dir/secrets, mode 0600,
// so that a second start on the same folder has the same ones.
type secrets struct {
	dir    string
	random io.Reader
	values map[string]string
}

const (
	alnum = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
	b64   = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

func (s *secrets) draw(alphabet string, n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.random, b); err != nil {
		return "", err
	}
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b), nil
}

// get returns the secret of that kind and name, and makes it when there is none.
func (s *secrets) get(kind, name string) (string, error) {
	key := kind + "-" + name
	if v, ok := s.values[key]; ok {
		return v, nil
	}
	file := s.path(kind, name)
	if b, err := os.ReadFile(file); err == nil && len(b) > 0 {
		s.values[key] = strings.TrimSpace(string(b))
		return s.values[key], nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read lab secret: %w", err)
	}
	v, err := s.make(kind)
	if err != nil {
		return "", fmt.Errorf("make lab secret: %w", err)
	}
	if err := os.WriteFile(file, []byte(v), 0o600); err != nil {
		return "", fmt.Errorf("keep lab secret: %w", err)
	}
	s.values[key] = v
	return v, nil
}

func (s *secrets) path(kind, name string) string {
	return filepath.Join(s.dir, kind+"-"+name)
}

func (s *secrets) make(kind string) (string, error) {
	switch kind {
	case "login", "enable", "psk", "word":
		return s.draw(alnum, 18)
	case "hex":
		return s.draw("0123456789abcdef", 40)
	case "asahash":
		return s.draw(b64, 16)
	case "pbkdf2":
		a, err := s.draw(alnum, 22)
		if err != nil {
			return "", err
		}
		b, err := s.draw(alnum, 22)
		return "$sha512$5000$" + a + "==$" + b + "==", err
	case "hash5":
		a, err := s.draw(b64, 4)
		if err != nil {
			return "", err
		}
		b, err := s.draw(b64, 22)
		return "$1$" + a + "$" + b, err
	case "hash9":
		a, err := s.draw(b64, 14)
		if err != nil {
			return "", err
		}
		b, err := s.draw(b64, 43)
		return "$9$" + a + "$" + b, err
	case "type7":
		b := make([]byte, 9)
		if _, err := io.ReadFull(s.random, b); err != nil {
			return "", err
		}
		b[0] = 0x05 // the salt is a small decimal number
		return strings.ToUpper(hex.EncodeToString(b)), nil
	}
	return "", fmt.Errorf("unknown kind of secret %q", kind)
}

// fill replaces <<kind:name>> in a text.
func (s *secrets) fill(text string) (string, error) {
	var first error
	out := secretMark.ReplaceAllStringFunc(text, func(m string) string {
		p := secretMark.FindStringSubmatch(m)
		v, err := s.get(p[1], p[2])
		if err != nil && first == nil {
			first = err
		}
		return v
	})
	return out, first
}

// all returns every secret value made so far, sorted.
func (s *secrets) all() []string {
	var out []string
	for _, v := range s.values {
		out = append(out, v)
	}
	sort.Strings(out)
	return out
}
