package inventory

import (
	"fmt"
	"net/netip"
)

// The YAML library writes the whole rest of the document anew for each value that
// unmarshals itself from text, as addresses do: a configuration of a thousand tunnels
// took minutes. Ends and probes, which every tunnel has, take their addresses as strings.

// UnmarshalYAML reads an end.
func (e *End) UnmarshalYAML(decode func(any) error) error {
	var t struct {
		Device    string   `yaml:"device"`
		Address   string   `yaml:"address"`
		Interface string   `yaml:"interface"`
		Networks  []string `yaml:"networks"`
	}
	if err := decode(&t); err != nil {
		return err
	}
	*e = End{Device: t.Device, Interface: t.Interface}
	if err := e.Address.UnmarshalText([]byte(t.Address)); err != nil {
		return fmt.Errorf("address %q: %w", t.Address, err)
	}
	for _, s := range t.Networks {
		var p netip.Prefix
		if err := p.UnmarshalText([]byte(s)); err != nil {
			return fmt.Errorf("networks %q: %w", s, err)
		}
		e.Networks = append(e.Networks, p)
	}
	return nil
}

// UnmarshalYAML reads a probe.
func (p *Probe) UnmarshalYAML(decode func(any) error) error {
	var t struct {
		From   string `yaml:"from"`
		Source string `yaml:"source"`
		To     string `yaml:"to"`
	}
	if err := decode(&t); err != nil {
		return err
	}
	*p = Probe{From: t.From, Source: t.Source}
	if err := p.To.UnmarshalText([]byte(t.To)); err != nil {
		return fmt.Errorf("to %q: %w", t.To, err)
	}
	return nil
}
