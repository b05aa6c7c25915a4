// Package command holds everything that may be sent to a device, as values made by
// constructors from checked parts, never from free text. A Command cannot be built
// outside this package, and none exists that clears without a peer.
package command

import (
	"crypto/sha256"
	"time"
)

// Effect is what a command does to the device.
type Effect int

// Effects. Only Disrupts needs an approval.
const (
	Reads    Effect = iota // shows something
	Probes                 // sends test packets
	Captures               // starts, stops or removes one of our captures
	Disrupts               // clears an SA or a session
)

func (e Effect) String() string {
	switch e {
	case Reads:
		return "reads"
	case Probes:
		return "probes"
	case Captures:
		return "captures"
	case Disrupts:
		return "disrupts"
	}
	return "unknown"
}

// Command is one exec-mode line for one platform. The zero value is not sendable.
type Command struct {
	line     string
	effect   Effect
	evidence string
	timeout  time.Duration
}

// Line is the exact bytes that are written, without the line end.
func (c Command) Line() string { return c.line }

// Effect of the command.
func (c Command) Effect() Effect { return c.effect }

// Evidence is the evidence name it gathers: clock, ike-sa, ipsec-sa, session, config, log ...; "" for others.
func (c Command) Evidence() string { return c.evidence }

// Timeout overrides the device's command timeout when positive.
func (c Command) Timeout() time.Duration { return c.timeout }

// Sum is the SHA-256 of the line: what an approval covers.
func (c Command) Sum() [32]byte { return sha256.Sum256([]byte(c.line)) }

// IsZero tells whether the value was made by no constructor.
func (c Command) IsZero() bool { return c.line == "" }

// Lent is a capture that was started on a device and must be removed again.
type Lent struct {
	Device    string
	Name      string // our capture's name, VB-...
	Interface string
	Context   string
	Unit      string // serial number of the chassis that captures, of a failover pair one of two; "" when not known
	Prompt    string // as that unit showed it: it may name unit and state
	StartedAt time.Time
}
