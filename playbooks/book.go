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
	line    int // in its file
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

// maxSteps bounds a playbook.
const maxSteps = 50

var (
	afterProposal    = []string{"wait", "probe", "verify"}
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
	if b := books["clear-sa"]; !b.BuiltIn && !slices.ContainsFunc(b.Steps, func(s Step) bool { return s.Kind == "propose" }) {
		errs = append(errs, fmt.Errorf("%s: it stands in the place of the built-in clear-sa and proposes nothing, so `clear TUNNEL` would do nothing; add a propose step or give it another name", b.Source))
	}
	return books, errors.Join(errs...)
}

// Parse reads one playbook strictly: an unknown key, kind or setting is an error with
// its line. source names the file in messages.
func Parse(source string, data []byte) (b Book, err error) {
	// The library panics on some broken documents.
	defer func() {
		if r := recover(); r != nil {
			b, err = Book{Source: source}, fmt.Errorf("%s: this YAML is not understood: look for a tag (!), an anchor (&) or an empty list", source)
		}
	}()
	b.Source = source
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return b, fmt.Errorf("%s: %s", source, yaml.FormatError(err, false, false))
	}
	if n := len(file.Docs); n != 1 {
		return b, fmt.Errorf("%s: one playbook per file, found %d documents", source, n)
	}
	if err := yaml.UnmarshalWithOptions(data, &b, yaml.Strict()); err != nil {
		hint := ""
		if strings.Contains(err.Error(), "unknown field") {
			hint = "; a playbook has name, about and steps, a step has id, kind, on, when, with and timeout, and no playbook holds commands"
		}
		return b, fmt.Errorf("%s: %s%s", source, yaml.FormatError(err, false, false), hint)
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
	if len(b.Steps) > maxSteps {
		return b, fail("$.steps", "steps: %d are too many for one run of one tunnel; write up to %d", len(b.Steps), maxSteps)
	}
	seen := map[string]bool{}
	proposed := false
	for i := range b.Steps {
		s := &b.Steps[i]
		at := fmt.Sprintf("$.steps[%d]", i)
		s.line = lineOf(file, at)
		if !validName(s.ID) {
			return b, fail(at, "steps[%d].id: needs an id of small letters, digits and dashes, got %q", i, s.ID)
		}
		if seen[s.ID] {
			return b, fail(at, "steps[%d].id: %q is already used", i, s.ID)
		}
		seen[s.ID] = true
		known, ok := settings[s.Kind]
		if !ok {
			return b, fail(at, "steps[%d].kind: %q is unknown; known: collect, probe, capture, analyze, propose, wait, verify. Nothing that disrupts runs from a playbook: propose asks people for it", i, s.Kind)
		}
		if proposed && !slices.Contains(afterProposal, s.Kind) {
			return b, fail(at, "steps[%d].kind: after a proposal comes only what verifies it (%s); a %s step stands before it, and one playbook proposes once", i, strings.Join(afterProposal, ", "), s.Kind)
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
		case "probe":
			sizes := append([]int{s.With.Size}, s.With.Sizes...)
			if s.With.Count < 0 || s.With.Count > 100 || len(s.With.Sizes) > 30 || slices.ContainsFunc(sizes, func(n int) bool { return n != 0 && (n < 36 || n > 18024) }) {
				return b, fail(at+".with", "steps[%d].with: a probe sends 1 to 100 pings of up to 30 sizes between 36 and 18024 bytes", i)
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

// places are the words that a step's on may hold beside a device's name.
var places = []string{"each-end", "both", "initiator", "responder"}

// CheckPlaces tells which steps name a device that is not configured; known tells.
func CheckPlaces(books map[string]Book, known func(device string) bool) error {
	var errs []error
	for _, b := range books {
		for i, s := range b.Steps {
			if !slices.Contains(places, s.On) && !known(s.On) {
				errs = append(errs, fmt.Errorf("%s:%d: steps[%d].on: %q is no device of this configuration; write one, or %s", b.Source, s.line, i, s.On, strings.Join(places, ", ")))
			}
		}
	}
	return errors.Join(errs...)
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
