package emulator

import (
	"fmt"
	"slices"
)

// An ASA whose prompt names its unit is a failover pair: two units that share one
// configuration and, statefully, its SAs. The device's address leads to the active unit,
// the standby address to the other one. Captures are a unit's own: they are neither
// replicated nor moved, as on the real one.

// paired tells whether the device is a failover pair.
func (d *Device) paired() bool { return d.asa && d.spec.Suffix != "" }

// StandbyAddr is host:port of the standby unit, "" without one.
func (d *Device) StandbyAddr() string { return d.standby }

// Failover makes the standby unit the active one. Sessions end, SAs stay, and what the
// old active unit captured stays there.
func (d *Device) Failover() {
	d.CloseSessions()
	d.lab.mu.Lock()
	defer d.lab.mu.Unlock()
	now := d.lab.now()
	for _, c := range d.captures { // no traffic passes a standby unit
		if c.running() {
			c.kept, c.plays = c.packets(now), nil
		}
	}
	d.captures, d.mate = d.mate, d.captures
	d.mu.Lock()
	d.second = !d.second
	d.mu.Unlock()
}

// unit is 0 for the primary, 1 for the secondary: the one that a session is on.
func (s *session) unit() int {
	s.dev.mu.Lock()
	defer s.dev.mu.Unlock()
	if s.dev.second != s.conn.standby {
		return 1
	}
	return 0
}

// suffix of the prompt: "/pri/act".
func (s *session) suffix() string {
	if f := s.dev.broken(); f.suffix != nil {
		return *f.suffix
	}
	if !s.dev.paired() {
		return s.dev.spec.Suffix
	}
	name, state := []string{"pri", "sec"}[s.unit()], "act"
	if s.conn.standby {
		state = "stby"
	}
	return "/" + name + "/" + state
}

// serial number of a unit.
func (d *Device) serial(unit int) string {
	return fmt.Sprintf("FCH%07d%d", len(d.spec.Name)*111777, unit+1)
}

// onUnit runs a command's handler with the captures of the session's own unit.
// Lab.mu is held.
func (s *session) onUnit(run func() string) string {
	if !s.conn.standby {
		return run()
	}
	d := s.dev
	d.captures, d.mate = d.mate, d.captures
	text := run()
	d.captures, d.mate = d.mate, d.captures
	return text
}

// everyCapture lists those of both units.
func (d *Device) everyCapture() []*capture { return slices.Concat(d.captures, d.mate) }
