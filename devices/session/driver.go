package session

import (
	_ "embed"
	"fmt"
	"regexp"
	"sync"

	"github.com/scrapli/scrapligo/driver/network"
	"github.com/scrapli/scrapligo/driver/options"
	"github.com/scrapli/scrapligo/platform"
	"github.com/scrapli/scrapligo/util"

	"vpnbot/devices/inventory"
)

//go:embed cisco_asa.yaml
var asaDefinition []byte

//go:embed cisco_ios.yaml
var iosDefinition []byte

// definition is a platform's scrapligo definition, read and compiled once.
type definition struct {
	options []util.Option
	levels  network.PrivilegeLevels
	regexps map[string]*regexp.Regexp // by level
	secret  *regexp.Regexp            // the question for the enable password
	refused []string
}

var (
	asa = sync.OnceValues(func() (*definition, error) { return readDefinition(asaDefinition) })
	ios = sync.OnceValues(func() (*definition, error) { return readDefinition(iosDefinition) })
)

func definitionOf(p inventory.Platform) (*definition, error) {
	if p == inventory.CiscoASA {
		return asa()
	}
	return ios()
}

func readDefinition(text []byte) (*definition, error) {
	p, err := platform.NewPlatform(text, "definition", options.WithCustomTransport(&sshTransport{}))
	if err != nil {
		return nil, fmt.Errorf("platform definition: %w", err)
	}
	d := &definition{options: p.AsOptions(), levels: p.PrivilegeLevels, regexps: map[string]*regexp.Regexp{}, refused: p.FailedWhenContains}
	for name, l := range p.PrivilegeLevels {
		if d.regexps[name], err = regexp.Compile(l.Pattern); err != nil {
			return nil, fmt.Errorf("platform definition: %s: %w", name, err)
		}
	}
	if d.secret, err = regexp.Compile(p.PrivilegeLevels[levelEnabled].EscalatePrompt); err != nil {
		return nil, fmt.Errorf("platform definition: %w", err)
	}
	return d, nil
}

// Privilege levels of both definitions.
const (
	levelExec          = "exec"
	levelEnabled       = "privilege-exec"
	levelConfiguration = "configuration"
)

// level of a line that may be a prompt; "" for none.
func (d *definition) level(line []byte) string {
	if len(line) < 2 || len(line) > longestPrompt {
		return ""
	}
	for _, l := range [...]string{levelEnabled, levelExec, levelConfiguration} {
		if d.regexps[l].Match(line) {
			return l
		}
	}
	return ""
}

const longestPrompt = 160

// newDriver makes a scrapligo network driver with our definition and our transport.
// onOpen logs in; onClose logs out.
func (d *definition) newDriver(t *sshTransport, onOpen, onClose func(*network.Driver) error) (*network.Driver, error) {
	levels := make(network.PrivilegeLevels, len(d.levels))
	for name, l := range d.levels { // the driver writes into them
		levels[name] = &network.PrivilegeLevel{Name: l.Name, Pattern: l.Pattern, NotContains: l.NotContains, PreviousPriv: l.PreviousPriv,
			Deescalate: l.Deescalate, Escalate: l.Escalate, EscalateAuth: l.EscalateAuth, EscalatePrompt: l.EscalatePrompt}
	}
	opts := append(append([]util.Option(nil), d.options...),
		options.WithCustomTransport(t),
		options.WithAuthBypass(),
		options.WithPrivilegeLevels(levels),
		options.WithNetworkOnOpen(onOpen),
		options.WithNetworkOnClose(onClose),
		options.WithTermWidth(terminalWidth),
		options.WithTermHeight(terminalHeight),
	)
	return network.NewDriver(t.cfg.Address, opts...)
}

// What we ask the terminal to be. An ASA stays at 80 columns whatever it is asked.
const (
	terminalWidth  = 511
	terminalHeight = 1000
)
