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

	"vpnbot/devices/command"
	"vpnbot/devices/inventory/strict"
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
// its line and key. All errors are returned; source names the file in them.
func Parse(source string, data []byte) (Book, error) {
	b := Book{Source: source}
	file, err := strict.Parse(data)
	if err != nil {
		return b, in(source, err)
	}
	if errs := file.Decode(&b); len(errs) > 0 {
		for i, err := range errs {
			if errs[i] = in(source, err); strings.Contains(err.Error(), ": unknown key") {
				errs[i] = fmt.Errorf("%w; no playbook holds commands", errs[i])
			}
		}
		return b, errors.Join(errs...)
	}
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, in(source, file.Place([]error{strict.Error{Key: key, Message: fmt.Sprintf(format, args...)}})[0]))
	}
	if !validName(b.Name) {
		fail("name", "needs a name of small letters, digits and dashes, got %q", b.Name)
	}
	if len(b.Steps) == 0 {
		fail("steps", "a playbook needs at least one step")
	}
	if len(b.Steps) > maxSteps {
		fail("steps", "%d are too many for one run of one tunnel; write up to %d", len(b.Steps), maxSteps)
	}
	seen := map[string]bool{}
	proposed := false
	for i := range b.Steps {
		s := &b.Steps[i]
		at := fmt.Sprintf("steps[%d]", i)
		s.line = file.Line(at)
		if !validName(s.ID) {
			fail(at+".id", "needs an id of small letters, digits and dashes, got %q", s.ID)
		}
		if seen[s.ID] {
			fail(at+".id", "%q is already used", s.ID)
		}
		seen[s.ID] = true
		known, ok := settings[s.Kind]
		if !ok {
			fail(at+".kind", "%q is unknown; known: collect, probe, capture, analyze, propose, wait, verify. Nothing that disrupts runs from a playbook: propose asks people for it", s.Kind)
			continue
		}
		if proposed && !slices.Contains(afterProposal, s.Kind) {
			fail(at+".kind", "after a proposal comes only what verifies it (%s); a %s step stands before it, and one playbook proposes once", strings.Join(afterProposal, ", "), s.Kind)
		}
		for _, key := range file.Keys(at + ".with") {
			if !slices.Contains(known, key) {
				hint := "it has no settings"
				if len(known) > 0 {
					hint = "it knows " + strings.Join(known, ", ")
				}
				fail(at+".with."+key, "a %s step has no such setting; %s", s.Kind, hint)
			}
		}
		if s.When == "" {
			s.When = "always"
		}
		if !slices.Contains(conditionsOfStep, s.When) {
			fail(at+".when", "%q is unknown; known: %s", s.When, strings.Join(conditionsOfStep, ", "))
		}
		if s.On == "" {
			s.On = "each-end"
		}
		if s.Timeout != "" {
			d, err := time.ParseDuration(s.Timeout)
			if err != nil || d <= 0 || d > time.Hour {
				fail(at+".timeout", "write a duration up to 1h such as 60s, got %q", s.Timeout)
			}
			s.timeout = d
		}
		switch s.Kind {
		case "collect":
			if len(s.With.Evidence) == 0 {
				fail(at+".with.evidence", "name what to read: %s", strings.Join(EvidenceNames, ", "))
			}
			for _, e := range s.With.Evidence {
				if !slices.Contains(EvidenceNames, e) {
					fail(at+".with.evidence", "%q is unknown; known: %s", e, strings.Join(EvidenceNames, ", "))
				}
			}
		case "probe":
			sizes := append([]int{s.With.Size}, s.With.Sizes...)
			if s.With.Count < 0 || s.With.Count > 100 || len(s.With.Sizes) > 30 || slices.ContainsFunc(sizes, func(n int) bool { return n != 0 && (n < 36 || n > 18024) }) {
				fail(at+".with", "a probe sends 1 to 100 pings of up to 30 sizes between 36 and 18024 bytes")
			}
		case "capture":
			if d := s.With.Duration; d != "" && d != "captures.duration" {
				if v, err := time.ParseDuration(d); err != nil || v <= 0 || v > 10*time.Minute {
					fail(at+".with.duration", "write captures.duration or a duration up to 10m, got %q", d)
				}
			}
		case "wait", "verify":
			for key, v := range map[string]string{"for": s.With.For, "every": s.With.Every} {
				if v == "" {
					continue
				}
				if d, err := time.ParseDuration(v); err != nil || d <= 0 || d > time.Hour {
					fail(at+".with."+key, "write a duration up to 1h, got %q", v)
				}
			}
		case "propose":
			proposed = true
		}
		if s.Kind == "verify" && !proposed {
			fail(at, "verify looks at what an approved proposal did; a propose step must stand before it")
		}
	}
	return b, errors.Join(errs...)
}

// in names the file of a mistake in it.
func in(source string, err error) error {
	e, ok := err.(strict.Error)
	if !ok {
		return fmt.Errorf("%s: %w", source, err)
	}
	at := source
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d", source, e.Line)
		e.Line = 0
	}
	return fmt.Errorf("%s: %v", at, e)
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
