package playbooks

import (
	"fmt"
	"time"
)

// Config is the playbooks' part of the configuration file.
type Config struct {
	Playbooks struct {
		Dir string `yaml:"dir"` // operators' own, beside the built-in ones
	} `yaml:"playbooks"`
	Captures Captures `yaml:"captures"`
}

// Captures says how captures are taken and kept.
type Captures struct {
	Dir       string        `yaml:"dir"`
	Keep      time.Duration `yaml:"keep"`      // raw captures are deleted after it
	MaxBytes  Size          `yaml:"max_bytes"` // of one capture
	Duration  time.Duration `yaml:"duration"`
	Auto      bool          `yaml:"auto"` // capture when nothing decisive is found
	CTCPPorts []uint16      `yaml:"ctcp_ports"`
}

// Size is a number of bytes, written 20MiB, 512KiB or as a plain number.
type Size int64

// UnmarshalYAML reads a size.
func (s *Size) UnmarshalYAML(data []byte) error {
	var n int64
	var unit string
	if _, err := fmt.Sscanf(string(data), "%d%s", &n, &unit); err != nil && n == 0 {
		return fmt.Errorf("%q is no size: write %s", data, s.Want())
	}
	f, ok := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
	if !ok || n < 0 || n > 1<<40/f {
		return fmt.Errorf("%q is no size: write %s", data, s.Want())
	}
	*s = Size(n * f)
	return nil
}

// Want says what a size looks like.
func (*Size) Want() string { return "20MiB, 512KiB or a number of bytes" }

// Defaults are the values of contracts/config.yaml.
func Defaults() Config {
	var c Config
	c.Captures = Captures{Dir: "./captures", Keep: 72 * time.Hour, MaxBytes: 20 << 20, Duration: 30 * time.Second, Auto: true, CTCPPorts: []uint16{10000}}
	return c
}

// Validate checks the playbooks' part; each error names its key.
func (c Config) Validate() (errs []error) {
	fail := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+": "+format, args...))
	}
	if c.Captures.Dir == "" {
		fail("captures.dir", "name a folder for raw captures")
	}
	if c.Captures.Keep < 0 {
		fail("captures.keep", "must not be negative")
	}
	if c.Captures.MaxBytes < 64<<10 || c.Captures.MaxBytes > 512<<20 {
		fail("captures.max_bytes", "must lie between 64KiB and 512MiB")
	}
	if c.Captures.Duration < time.Second || c.Captures.Duration > 10*time.Minute {
		fail("captures.duration", "must lie between 1s and 10m")
	}
	for i, p := range c.Captures.CTCPPorts {
		if p == 0 {
			fail(fmt.Sprintf("captures.ctcp_ports[%d]", i), "0 is no port")
		}
	}
	return errs
}
