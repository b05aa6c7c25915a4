// Package sweep says what changed between two sweeps. In comes what a sweep saw of one
// tunnel or device and what is remembered of it; out go the new memory and, rarely, a
// change worth telling. It is pure: no clock, no network, no store.
//
// Damping: a tunnel that is negotiating counts as changed only when the next sweep sees it
// negotiating again; one that changes too often is flapping, which is told once, and then
// nothing until it has been quiet. "Could not be checked" is not "down".
package sweep

import (
	"encoding/json"
	"slices"
	"time"
)

// States of tunnels as in reports; a device is Reachable or Unreachable.
const (
	Up          = "up"
	Degraded    = "degraded"
	Negotiating = "negotiating"
	Down        = "down"
	Unknown     = "unknown"
	Flapping    = "flapping"
	Reachable   = "reachable"
	Unreachable = "unreachable"
)

// Params of the damping.
type Params struct {
	Flips  int           // changes within Window that make a tunnel flapping
	Window time.Duration //
	Quiet  time.Duration // without a change until it no longer flaps
}

// Defaults: four changes in half an hour, quiet for a quarter.
func Defaults() Params {
	return Params{Flips: 4, Window: 30 * time.Minute, Quiet: 15 * time.Minute}
}

// Seen is what a sweep saw.
type Seen struct {
	State  string
	Detail string
	At     time.Time
}

// Memory is what is remembered of one tunnel or device.
type Memory struct {
	State    string      `json:"state"`
	Since    time.Time   `json:"since"`
	Detail   string      `json:"detail,omitempty"`
	Pending  string      `json:"pending,omitempty"` // seen once, not believed yet
	Down     time.Time   `json:"down,omitzero"`     // when it went down, while it is
	Flips    []time.Time `json:"flips,omitempty"`
	Flapping bool        `json:"flapping,omitempty"`
	Last     string      `json:"last,omitempty"` // while flapping: the state last seen
}

// Change is something worth telling.
type Change struct {
	Before, After string
	At            time.Time
	Since         time.Time     // how long Before had lasted
	Outage        time.Duration // when it came back
	Flips         int           // when it began to flap
	Detail        string
}

// Back tells whether the tunnel came back.
func (c Change) Back() bool { return c.After == Up && c.Outage > 0 }

// Step is one sweep of one tunnel. The change is nil when there is nothing to tell.
func Step(m Memory, s Seen, p Params) (Memory, *Change) {
	if s.State == "" {
		return m, nil // not looked at: busy, or skipped
	}
	if m.State == "" { // the baseline
		m = Memory{State: s.State, Since: s.At, Detail: s.Detail}
		if s.State == Down {
			m.Down = s.At
		}
		return m, nil
	}
	m.Detail = s.Detail
	current := m.State
	if m.Flapping {
		current = m.Last
	}
	if s.State == current {
		m.Pending = ""
		if m.Flapping && s.At.Sub(m.Flips[len(m.Flips)-1]) >= p.Quiet {
			c := &Change{Before: Flapping, After: s.State, At: s.At, Since: m.Since, Detail: s.Detail}
			m = Memory{State: s.State, Since: s.At, Detail: s.Detail, Down: m.Down}
			return m, c
		}
		return m, nil
	}
	if (s.State == Negotiating || s.State == Unknown || s.State == Degraded) && m.Pending != s.State {
		m.Pending = s.State
		return m, nil
	}
	m.Pending = ""
	before, since := m.State, m.Since
	c := &Change{Before: before, After: s.State, At: s.At, Since: since, Detail: s.Detail}
	if s.State == Down && m.Down.IsZero() {
		m.Down = s.At
	}
	if s.State == Up && !m.Down.IsZero() {
		c.Outage = max(s.At.Sub(m.Down), time.Second)
		m.Down = time.Time{}
	}
	m.Flips = append(slices.DeleteFunc(slices.Clone(m.Flips), func(t time.Time) bool { return s.At.Sub(t) > p.Window }), s.At)
	if len(m.Flips) > 100 {
		m.Flips = m.Flips[len(m.Flips)-100:]
	}
	if m.Flapping {
		m.Last = s.State
		return m, nil
	}
	if len(m.Flips) >= p.Flips {
		m.Flapping, m.Last = true, s.State
		m.State, m.Since = Flapping, s.At
		c.After, c.Flips = Flapping, len(m.Flips)
		return m, c
	}
	m.State, m.Since = s.State, s.At
	return m, c
}

// Encode keeps a memory as JSON; Decode reads it. What is not understood is forgotten.
func (m Memory) Encode() json.RawMessage {
	b, _ := json.Marshal(m)
	return b
}

// Decode reads what Encode wrote.
func Decode(b []byte) Memory {
	var m Memory
	if json.Unmarshal(b, &m) != nil || m.Flapping && len(m.Flips) == 0 {
		return Memory{}
	}
	return m
}
