package strict

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

type site struct {
	Name    string         `yaml:"name"`
	Wait    *time.Duration `yaml:"wait"`
	Address netip.Addr     `yaml:"address"`
	Inner   `yaml:",inline"`
}

// Inner is read as part of a site.
type Inner struct {
	Ports []uint16        `yaml:"ports"`
	Sites map[string]site `yaml:"sites"`
}

func read(t *testing.T, text string) (site, string) {
	t.Helper()
	f, err := Parse([]byte(text))
	if err != nil {
		return site{}, err.Error()
	}
	var s site
	return s, errors.Join(f.Decode(&s)...).Error()
}

// Each mistake is told once with its line and key, whatever else is wrong.
func TestEveryMistake(t *testing.T) {
	for text, want := range map[string]string{
		"name: [a]\nwait: soon\nports: [1, x, 70000]\n": "line 1: name: write one value here\nline 2: wait: write a duration such as 30s or 15m\nline 3: ports[1]: write a whole number from 0 to 65535\nline 3: ports[2]: write a whole number from 0 to 65535",
		"sites:\n  a.b:\n    addres: x\n  c: [1]\n":     "line 3: sites.a.b.addres: unknown key; known here: name, wait, address, ports, sites\nline 4: sites.c: write keys with their values here",
		"address: &a secret\nsites: {x: {address: *a}}": "line 1: address: write an IPv4 or IPv6 address such as 198.51.100.1",
		"name: &a hunter2\nwait: *a\n":                  "what an alias (*) or a merge (<<) stands for does not fit where it is used: write it out there",
		"- name: x\n":                                   "line 1: write keys with their values here",
		"name: a\n---\n":                                "needs exactly one YAML document, found 2",
		"":                                              "needs exactly one YAML document, found 1",
		"name: a\nname: b":                              "line 2: mapping key \"name\" already defined at [1:1]",
	} {
		if _, got := read(t, text); got != want {
			t.Errorf("%q:\n%s\nwant\n%s", text, got, want)
		}
	}
}

// Whatever the file holds, it is read or refused in words, and what the check lets pass
// decodes or is refused with the library's own error.
func FuzzFile(f *testing.F) {
	f.Add("name: a\nwait: 5s\nports: [1]\nsites: {x: &a {name: b}, y: *a, z: {<<: *a}}\n")
	f.Add("sites:\n  - {address: !!str 1.2.3.4}\n? [a]\n: |\n  x\n")
	f.Add("&a")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse([]byte(text))
		if err == nil {
			var s site
			err = errors.Join(file.Decode(&s)...)
			for _, k := range file.Keys("sites") {
				file.Line("sites." + k)
			}
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Error("an error without words")
		}
	})
}
