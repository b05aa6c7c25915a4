package bundle

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/goccy/go-yaml"

	"vpnbot/diag/facts"
)

// meta is device.yaml.
type meta struct {
	Platform  string   `yaml:"platform"`
	Address   string   `yaml:"address"`
	Addresses []string `yaml:"addresses"`
	Role      string   `yaml:"role"`

	platform  facts.Platform
	role      facts.Role
	addresses []netip.Addr
}

// loadMeta reads a device.yaml. An unknown key or a wrong value is an error of the set;
// what is right in the file counts all the same.
func (r *reading) loadMeta(it item) {
	f, err := it.fsys.Open(it.name)
	if err != nil {
		r.fail(it.source, 0, "", "cannot be opened: %v", cause(err))
		return
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		r.fail(it.source, 0, "", "cannot be read: %v", cause(err))
		return
	}
	m, problems := parseMeta(data)
	for _, p := range problems {
		r.fail(it.source, p.line, "not-understood", "%s", p.text)
	}
	g := r.group(it.device)
	g.files++
	g.meta = m
}

type problem struct {
	line int
	text string
}

func parseMeta(data []byte) (*meta, []problem) {
	m := &meta{}
	var problems []problem
	say := func(key, format string, args ...any) {
		problems = append(problems, problem{lineOf(data, key), fmt.Sprintf(format, args...)})
	}
	if err := yaml.UnmarshalWithOptions(data, m, yaml.Strict()); err != nil {
		// Once more without strictness: one unknown key must not lose the rest.
		first, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		problems = append(problems, problem{errorLine(first), "device.yaml: " + first})
		loose := &meta{}
		if yaml.Unmarshal(data, loose) == nil {
			m = loose
		} else {
			m = &meta{}
		}
	}
	switch p := strings.ToLower(strings.TrimSpace(m.Platform)); p {
	case "":
	case "asa", "ios", "meraki", "other":
		m.platform = facts.Platform(p)
	default:
		say("platform", "device.yaml: platform %q is none of asa, ios, meraki, other", m.Platform)
	}
	switch p := strings.ToLower(strings.TrimSpace(m.Role)); p {
	case "":
	case "headend", "spoke", "client", "path":
		m.role = facts.Role(p)
	default:
		say("role", "device.yaml: role %q is none of headend, spoke, client, path", m.Role)
	}
	for _, s := range append([]string{m.Address}, m.Addresses...) {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			say("address", "device.yaml: %q is no IP address", s)
			continue
		}
		m.addresses = append(m.addresses, a.Unmap())
	}
	return m, problems
}

// lineOf finds the line of a key.
func lineOf(data []byte, key string) int {
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if strings.HasPrefix(strings.TrimSpace(line), key) {
			return n
		}
	}
	return 1
}

// errorLine reads the place from a message of the form "[3:1] ...".
func errorLine(s string) int {
	n := 0
	for i := 1; i < len(s) && s[0] == '[' && s[i] >= '0' && s[i] <= '9' && n < 1<<20; i++ {
		n = n*10 + int(s[i]-'0')
	}
	return n
}
