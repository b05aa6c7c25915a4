package playbooks

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"vpnbot/devices/command"
)

//go:embed builtin/*.yaml
var builtin embed.FS

// Book is one playbook: steps of known kinds, in order (contracts/playbook.md).
type Book struct {
	Name    string `yaml:"name"`
	About   string `yaml:"about"`
	Steps   []Step `yaml:"steps"`
	Source  string `yaml:"-"` // file, for messages
	BuiltIn bool   `yaml:"-"`
}

// Step is one step of a playbook.
type Step struct {
	ID      string `yaml:"id"`
	Kind    string `yaml:"kind"`
	On      string `yaml:"on"`
	When    string `yaml:"when"`
	With    With   `yaml:"with"`
	Timeout string `yaml:"timeout"`
	timeout time.Duration
}

// With holds the settings of all kinds; which kind knows which is in settings.
type With struct {
	Evidence []string `yaml:"evidence"` // collect
	Duration string   `yaml:"duration"` // capture: a duration or captures.duration
	Wake     bool     `yaml:"wake"`     // capture: send the probe while capturing
	Count    int      `yaml:"count"`    // probe: echo requests
	Size     int      `yaml:"size"`     // probe: bytes
	Sizes    []int    `yaml:"sizes"`    // probe: a size sweep
	DF       bool     `yaml:"df"`       // probe: do not fragment
	Clear    bool     `yaml:"clear"`    // propose: a clear of this tunnel's SA whatever was found
	For      string   `yaml:"for"`      // wait, verify
	Every    string   `yaml:"every"`    // verify
}

// Kinds of steps and the settings that each knows.
var settings = map[string][]string{
	"collect": {"evidence"},
	"probe":   {"count", "size", "sizes", "df"},
	"capture": {"duration", "wake"},
	"analyze": {},
	"propose": {"clear"},
	"wait":    {"for"},
	"verify":  {"for", "every"},
}

var (
	conditionsOfStep = []string{"always", "undecided", "changed", "failed", "healthy"}
)

// EvidenceNames are what a collect step may name.
var EvidenceNames = command.EvidenceNames

// Load reads the built-in playbooks and those of dir ("" for none). A name in dir
// replaces the built-in one of that name. All errors are returned, each with file,
// line and a hint.
func Load(dir string) (map[string]Book, error) {
	books := map[string]Book{}
	var errs []error
	entries, err := fs.Glob(builtin, "builtin/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range entries {
		data, err := builtin.ReadFile(name)
		if err != nil {
			return nil, err
		}
		b, err := Parse(name, data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		b.BuiltIn = true
		books[b.Name] = b
	}
	if dir != "" {
		files, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("playbooks.dir: %w", err)
		}
		for _, f := range files {
			ext := filepath.Ext(f.Name())
			if f.IsDir() || ext != ".yaml" && ext != ".yml" || strings.HasPrefix(f.Name(), ".") {
				continue
			}
			path := filepath.Join(dir, f.Name())
			if info, err := f.Info(); err == nil && info.Size() > 1<<20 {
				errs = append(errs, fmt.Errorf("%s: larger than 1 MiB: this is no playbook", path))
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("playbook: %w", err))
				continue
			}
			b, err := Parse(path, data)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if other, ok := books[b.Name]; ok && !other.BuiltIn {
				errs = append(errs, fmt.Errorf("%s: a playbook named %q is already in %s", path, b.Name, other.Source))
				continue
			}
			books[b.Name] = b
		}
	}
	return books, errors.Join(errs...)
}

// Parse reads one playbook strictly: an unknown key, kind or setting is an error with
// its line. source names the file in messages.
func Parse(source string, data []byte) (Book, error) {
	b := Book{Source: source}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return b, fmt.Errorf("%s: %s", source, yaml.FormatError(err, false, false))
	}
	if n := len(file.Docs); n != 1 {
		return b, fmt.Errorf("%s: one playbook per file, found %d documents", source, n)
	}
	if err := yaml.UnmarshalWithOptions(data, &b, yaml.Strict()); err != nil {
		return b, fmt.Errorf("%s: %s", source, yaml.FormatError(err, false, false))
	}
	fail := func(path, format string, args ...any) error {
		return fmt.Errorf("%s:%d: %s", source, lineOf(file, path), fmt.Sprintf(format, args...))
	}
	if !validName(b.Name) {
		return b, fail("$.name", "name: needs a name of small letters, digits and dashes, got %q", b.Name)
	}
	if len(b.Steps) == 0 {
		return b, fail("$", "steps: a playbook needs at least one step")
	}
	seen := map[string]bool{}
	proposed := false
	for i := range b.Steps {
		s := &b.Steps[i]
		at := fmt.Sprintf("$.steps[%d]", i)
		if !validName(s.ID) {
			return b, fail(at, "steps[%d].id: needs an id of small letters, digits and dashes, got %q", i, s.ID)
		}
		if seen[s.ID] {
			return b, fail(at, "steps[%d].id: %q is already used", i, s.ID)
		}
		seen[s.ID] = true
		known, ok := settings[s.Kind]
		if !ok {
			return b, fail(at, "steps[%d].kind: %q is unknown; known: collect, probe, capture, analyze, propose, wait, verify", i, s.Kind)
		}
		for _, key := range keysOf(file, at+".with") {
			if !slices.Contains(known, key) {
				hint := "it has no settings"
				if len(known) > 0 {
					hint = "it knows " + strings.Join(known, ", ")
				}
				return b, fail(at+".with", "steps[%d].with.%s: a %s step has no such setting; %s", i, key, s.Kind, hint)
			}
		}
		if s.When == "" {
			s.When = "always"
		}
		if !slices.Contains(conditionsOfStep, s.When) {
			return b, fail(at, "steps[%d].when: %q is unknown; known: %s", i, s.When, strings.Join(conditionsOfStep, ", "))
		}
		if s.On == "" {
			s.On = "each-end"
		}
		if s.Timeout != "" {
			d, err := time.ParseDuration(s.Timeout)
			if err != nil || d <= 0 || d > time.Hour {
				return b, fail(at, "steps[%d].timeout: write a duration up to 1h such as 60s, got %q", i, s.Timeout)
			}
			s.timeout = d
		}
		switch s.Kind {
		case "collect":
			if len(s.With.Evidence) == 0 {
				return b, fail(at, "steps[%d].with.evidence: name what to read: %s", i, strings.Join(EvidenceNames, ", "))
			}
			for _, e := range s.With.Evidence {
				if !slices.Contains(EvidenceNames, e) {
					return b, fail(at+".with", "steps[%d].with.evidence: %q is unknown; known: %s", i, e, strings.Join(EvidenceNames, ", "))
				}
			}
		case "capture":
			if d := s.With.Duration; d != "" && d != "captures.duration" {
				if v, err := time.ParseDuration(d); err != nil || v <= 0 || v > 10*time.Minute {
					return b, fail(at+".with", "steps[%d].with.duration: write captures.duration or a duration up to 10m, got %q", i, d)
				}
			}
		case "wait", "verify":
			for key, v := range map[string]string{"for": s.With.For, "every": s.With.Every} {
				if v == "" {
					continue
				}
				if d, err := time.ParseDuration(v); err != nil || d <= 0 || d > time.Hour {
					return b, fail(at+".with", "steps[%d].with.%s: write a duration up to 1h, got %q", i, key, v)
				}
			}
		case "propose":
			proposed = true
		}
		if s.Kind == "verify" && !proposed {
			return b, fail(at, "steps[%d]: verify looks at what an approved proposal did; a propose step must stand before it", i)
		}
	}
	return b, nil
}

func validName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-'
}

func lineOf(f *ast.File, path string) int {
	p, err := yaml.PathString(path)
	if err != nil {
		return 1
	}
	n, err := p.FilterFile(f)
	if err != nil || n == nil || n.GetToken() == nil {
		return 1
	}
	return n.GetToken().Position.Line
}

func keysOf(f *ast.File, path string) []string {
	p, err := yaml.PathString(path)
	if err != nil {
		return nil
	}
	n, err := p.FilterFile(f)
	if err != nil {
		return nil
	}
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return nil
	}
	var out []string
	for _, v := range m.Values {
		out = append(out, v.Key.String())
	}
	return out
}
