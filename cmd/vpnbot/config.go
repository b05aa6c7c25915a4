package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"vpnbot/bot"
	"vpnbot/devices/inventory"
	"vpnbot/devices/inventory/strict"
	"vpnbot/playbooks"
)

// config is the whole configuration file; each room owns its part and validates it.
type config struct {
	Bot       bot.Config       `yaml:",inline"`
	Network   inventory.Config `yaml:",inline"`
	Playbooks playbooks.Config `yaml:",inline"`

	Log struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	} `yaml:"log"`
	AllowLiteralSecrets bool `yaml:"allow_literal_secrets"`

	path  string
	dir   string       // of the file: paths are relative to it
	file  *strict.File // tells the line of a key
	books map[string]playbooks.Book
}

// secretKeys are the keys whose values are secrets; a literal one is refused and none is
// ever printed. This is the only list.
var secretKeys = regexp.MustCompile(`^(slack\.(app_token|bot_token|signing_secret)|credentials\..+\.(password|enable))$`)

// maxConfig bounds the file: a configuration is no data set.
const maxConfig = 16 << 20

// loadConfig reads a configuration file and validates it with its playbooks. Every error
// names its line and key. needSlack is false for commands that use no Slack.
func loadConfig(path string, needSlack bool) (*config, error) {
	c, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	errs, ofBot := c.validate()
	if needSlack {
		errs = append(errs, ofBot...)
	}
	return c, c.wrong(errs)
}

// wrong makes one error of many, nil when there are none.
func (c *config) wrong(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("configuration %s:\n  %w", c.path, indent(c.file.Place(errs)))}
}

// readConfig reads, interpolates and decodes a configuration file. No error prints a
// value or a neighbouring line.
func readConfig(path string) (*config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("configuration: %w", err)}
	}
	if info.Size() > maxConfig {
		return nil, usageError{fmt.Errorf("configuration %s: larger than 16 MiB", path)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("configuration: %w", err)}
	}
	c, errs := parseConfig(path, data, os.LookupEnv)
	if len(errs) > 0 {
		return nil, usageError{fmt.Errorf("configuration %s:\n  %w", path, indent(errs))}
	}
	return c, nil
}

func indent(errs []error) error {
	var s []string
	for _, e := range errs {
		s = append(s, e.Error())
	}
	return errors.New(strings.Join(s, "\n  "))
}

// parseConfig decodes the file strictly, after ${NAME} and ${file:/path} were put into
// its scalars (never into its structure).
func parseConfig(path string, data []byte, env func(string) (string, bool)) (*config, []error) {
	file, err := strict.Parse(data)
	if err != nil {
		return nil, []error{err}
	}
	c := defaults()
	c.path, c.dir, c.file = path, filepath.Dir(path), file
	v := &interpolate{env: env, dir: c.dir, literals: literalAllowed(file)}
	file.Walk(v.visit)
	errs := v.errs
	if len(errs) == 0 { // what is missing would be a wrong value too
		errs = file.Decode(c)
	}
	if len(errs) > 0 {
		return nil, file.Place(errs)
	}
	c.resolve()
	return c, nil
}

func defaults() *config {
	c := &config{Bot: bot.Defaults(), Network: inventory.Config{SSH: inventory.Defaults()}, Playbooks: playbooks.Defaults()}
	c.Log.Level, c.Log.Format = "info", "text"
	return c
}

func literalAllowed(f *strict.File) (allowed bool) {
	f.Walk(func(key string, _ int, value ast.Node) {
		if b, ok := value.(*ast.BoolNode); ok && key == "allow_literal_secrets" {
			allowed = b.Value
		}
	})
	return allowed
}

// interpolate puts the values of placeholders into the scalars of the file.
type interpolate struct {
	env      func(string) (string, bool)
	dir      string
	literals bool
	errs     []error
}

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}`)

func (v *interpolate) visit(key string, line int, value ast.Node) {
	fail := func(format string, args ...any) {
		v.errs = append(v.errs, strict.Error{Line: line, Key: key, Message: fmt.Sprintf(format, args...)})
	}
	if secretKeys.MatchString(key) && !v.literals && literal(value) {
		fail("holds a secret in clear text: write ${NAME} or ${file:/path}, or set allow_literal_secrets")
		return
	}
	if block, ok := value.(*ast.LiteralNode); ok {
		value = block.Value
	}
	s, ok := value.(*ast.StringNode)
	if !ok {
		return
	}
	s.Value = placeholder.ReplaceAllStringFunc(s.Value, func(m string) string {
		name := m[2 : len(m)-1]
		if path, ok := strings.CutPrefix(name, "file:"); ok {
			if !filepath.IsAbs(path) {
				path = filepath.Join(v.dir, path)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				fail("%v", err)
				return ""
			}
			return strings.TrimRight(string(data), "\r\n")
		}
		val, ok := v.env(name)
		if !ok {
			fail("the environment has no %s", name)
		}
		return val
	})
}

// literal tells whether a value is written out in the file: a string without a
// placeholder, a number, or what another key holds.
func literal(value ast.Node) bool {
	switch n := value.(type) {
	case nil, *ast.NullNode:
		return false
	case *ast.StringNode:
		return n.Value != "" && !placeholder.MatchString(n.Value)
	case *ast.LiteralNode:
		return !placeholder.MatchString(n.Value.Value)
	}
	return true
}

// resolve makes paths relative to the file absolute.
func (c *config) resolve() {
	abs := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(c.dir, *p)
		}
	}
	abs(&c.Network.SSH.KnownHosts)
	abs(&c.Playbooks.Captures.Dir)
	abs(&c.Playbooks.Playbooks.Dir)
	for i := range c.Network.Devices {
		abs(&c.Network.Devices[i].HTTPS.CA)
		if p := c.Network.Devices[i].SSH.KnownHosts; p != nil {
			abs(p)
		}
	}
	for name, cred := range c.Network.Credentials {
		abs(&cred.PrivateKey)
		c.Network.Credentials[name] = cred
	}
}

// validate lets every room check its part and reads the playbooks. ofBot are the errors of
// what only Slack needs.
func (c *config) validate() (errs, ofBot []error) {
	errs = append(c.Network.Validate(), c.Playbooks.Validate()...)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		errs = append(errs, errors.New("log.level: write debug, info, warn or error"))
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		errs = append(errs, errors.New("log.format: write text or json"))
	}
	books, err := playbooks.Load(c.Playbooks.Playbooks.Dir)
	if err == nil {
		err = playbooks.CheckPlaces(books, func(name string) bool {
			return slices.ContainsFunc(c.Network.Devices, func(d inventory.Device) bool { return strings.EqualFold(d.Name, name) })
		})
	}
	if err != nil {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			return append(errs, many.Unwrap()...), c.Bot.Validate()
		}
		return append(errs, err), c.Bot.Validate()
	}
	c.books = books
	return errs, c.Bot.Validate(slices.Sorted(maps.Keys(books))...)
}
