package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"vpnbot/bot"
	"vpnbot/devices/inventory"
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

	dir string // of the file: paths are relative to it
}

// secretKeys are the keys whose values are secrets; a literal one is refused and none is
// ever printed. This is the only list.
var secretKeys = regexp.MustCompile(`^\$\.(slack\.(app_token|bot_token|signing_secret)|credentials\.[^.]+\.(password|enable))$`)

// maxConfig bounds the file: a configuration is no data set.
const maxConfig = 16 << 20

// loadConfig reads, interpolates, decodes and validates a configuration file. Every error
// names its line or key and none prints a value or a neighbouring line. needSlack is
// false for commands that use no Slack.
func loadConfig(path string, needSlack bool) (*config, error) {
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
	c, err := parseConfig(path, data, os.LookupEnv)
	if err != nil {
		return nil, usageError{err}
	}
	errs := c.validate(needSlack)
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
func parseConfig(path string, data []byte, env func(string) (string, bool)) (*config, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, false))
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fmt.Errorf("%s: needs exactly one YAML document, found %d", path, len(file.Docs))
	}
	c := defaults()
	c.dir = filepath.Dir(path)
	v := &interpolate{env: env, dir: c.dir, done: map[ast.Node]bool{}}
	ast.Walk(v, file.Docs[0].Body)
	for _, l := range v.literal {
		if !literalAllowed(file) {
			v.errs = append(v.errs, fmt.Errorf("line %d: %s holds a secret in clear text: write ${NAME} or ${file:/path}, or set allow_literal_secrets", l.line, strings.TrimPrefix(l.key, "$.")))
		}
	}
	if len(v.errs) > 0 {
		return nil, fmt.Errorf("configuration %s:\n  %w", path, indent(v.errs))
	}
	if err := yaml.NodeToValue(file.Docs[0].Body, c, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, false))
	}
	c.resolve()
	return c, nil
}

func defaults() *config {
	c := &config{Bot: bot.Defaults(), Network: inventory.Config{SSH: inventory.Defaults()}, Playbooks: playbooks.Defaults()}
	c.Log.Level, c.Log.Format = "info", "text"
	return c
}

func literalAllowed(f *ast.File) bool {
	p, err := yaml.PathString("$.allow_literal_secrets")
	if err != nil {
		return false
	}
	n, err := p.FilterFile(f)
	return err == nil && n != nil && n.String() == "true"
}

// interpolate walks the scalars of the file.
type interpolate struct {
	env     func(string) (string, bool)
	dir     string
	errs    []error
	literal []literal
	done    map[ast.Node]bool // keys, and scalars that were dealt with: the walk comes by some twice
}

type literal struct {
	key  string
	line int
}

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}`)

// Visit replaces the placeholders of one scalar.
func (v *interpolate) Visit(n ast.Node) ast.Visitor {
	if m, ok := n.(*ast.MappingValueNode); ok {
		v.done[m.Key] = true
	}
	s, ok := n.(*ast.StringNode)
	if !ok || v.done[s] {
		return v
	}
	v.done[s] = true
	key, line := s.GetPath(), s.GetToken().Position.Line
	if secretKeys.MatchString(key) && s.Value != "" && !placeholder.MatchString(s.Value) {
		v.literal = append(v.literal, literal{key, line})
		return nil
	}
	s.Value = placeholder.ReplaceAllStringFunc(s.Value, func(m string) string {
		name := m[2 : len(m)-1]
		if path, ok := strings.CutPrefix(name, "file:"); ok {
			if !filepath.IsAbs(path) {
				path = filepath.Join(v.dir, path)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				v.errs = append(v.errs, fmt.Errorf("line %d: %s: %w", line, strings.TrimPrefix(key, "$."), err))
				return ""
			}
			return strings.TrimRight(string(data), "\r\n")
		}
		val, ok := v.env(name)
		if !ok {
			v.errs = append(v.errs, fmt.Errorf("line %d: %s: the environment has no %s", line, strings.TrimPrefix(key, "$."), name))
		}
		return val
	})
	return nil
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

// validate lets every room check its part.
func (c *config) validate(needSlack bool) []error {
	errs := append(c.Network.Validate(), c.Playbooks.Validate()...)
	if needSlack {
		errs = append(errs, c.Bot.Validate()...)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		errs = append(errs, fmt.Errorf("log.level: write debug, info, warn or error"))
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		errs = append(errs, fmt.Errorf("log.format: write text or json"))
	}
	return errs
}
