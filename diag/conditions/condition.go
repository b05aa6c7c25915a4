// Package conditions is the knowledge: every failure that diagnosis recognises is one
// Condition value in one place — id, what it looks at, how strongly each piece of
// evidence speaks for or against it, its words, its remedy. Families share a file; each
// family's cases stand beside it in testdata. The engine weighs them; nothing here ranks.
package conditions

import (
	"net/netip"

	"vpnbot/diag/facts"
	"vpnbot/diag/path"
	"vpnbot/diag/report"
)

// Condition is one failure (or one healthy state) and how it is recognised.
type Condition struct {
	ID        string
	Cause     string // what is wrong, in one line; docs/conditions.md is made of it and of Shows
	Shows     string // the evidence that shows it, the strongest first
	Severity  report.Severity
	SymptomOf []string // ids whose symptom it is: reported inside those when they are found
	Prefer    []string // more specific neighbours: when one of them is found too, this one yields
	Healthy   bool     // reported only when no fault is found
	// Negotiates marks what an attempt with one peer shows: the same lines come from strangers
	// that scan, so it yields where the peer is one (Knock).
	Negotiates bool
	Reference  string // document and section
	// Look weighs the evidence of one tunnel. No match: nil. It may return several
	// (one per peer, list or interface); the engine keeps them apart by Match.Key.
	Look func(*Tunnel) []Match
}

// Tunnel is the evidence about one pair of ends, as the engine cuts it out of a bundle:
// the devices and captures that concern it, and everything that concerns no other tunnel.
type Tunnel struct {
	Name  string       // configured name, or "A,B", lower address first
	Addrs []netip.Addr // the ends' public addresses, lower first; one when the other is unknown
	Ends  []*End       // zero, one or two; devices whose texts belong to this tunnel
	// Clients are client logs and pastes of the bundle; they name no tunnel, so every tunnel has them.
	Clients []*facts.Device
	Set     *facts.Set // everything, for conditions that concern a device as a whole
	// Wire is what the captures show of this tunnel, compared; nil when no capture does.
	Wire  *path.Wire
	Run   *Run           // what the tunnels of one diagnosis share
	inUDP *[]facts.Place // signs of ESP in UDP, found on first use
	story *story         // reading of Wire, made on first use
}

// End is one device of a tunnel.
type End struct {
	Device *facts.Device
	Own    netip.Addr   // its own address in this tunnel, zero when unknown
	Peer   netip.Addr   // the other end's address as this device knows it, zero when unknown
	Peers  []netip.Addr // all addresses under which the peer is known here (NAT)
	// Others are the addresses of the device's peers, with or without this one: evidence that
	// names another belongs to another tunnel. The ends of a device share the map.
	Others map[netip.Addr]bool
	Index  *Index // shared like Others; made when missing

	flow *flow    // the reading of the counters, made on first use
	seen struct { // the end's share of the device's facts, made on first use
		ike      *[]facts.IKESA
		ipsec    *[]facts.IPsecSA
		sessions *[]facts.Session
		events   *[]facts.Event
		entries  *[]facts.MapEntry
	}

	history []life // reading of the log, made on first use
	lived   bool
	nets    *[]network // protected networks, made on first use
}

// Match is one condition found in one tunnel.
type Match struct {
	Key         string // tells several matches of one condition apart: list, interface, user; "" when there is one
	Clues       []Clue
	Title       string // a title a manager understands; names the device or peer
	Explanation string // what is wrong, on which side, why this and not its neighbour
	Actions     []report.Action
	Next        []report.Next
	Severity    report.Severity // overrides the condition's when set
	// Wide says that it concerns a device, or the clients, as a whole: every tunnel weighs it
	// against its own conditions, one reports it, and it says nothing about a tunnel's state.
	Wide bool
	// Peer is whose tunnel a wide match is reported with, where there is one.
	Peer netip.Addr
}

// Clue is one piece of evidence for (positive) or against (negative) a condition.
// Weights are log-odds: 1 is a hint, 2 a good sign, 3 strong, 4 and more nearly decisive;
// Prior (-2) is added once. Confidence = 1/(1+exp(-(Prior+sum))).
type Clue struct {
	Weight float64
	Places []facts.Place // at least one for a positive clue
	Note   string        // one short sentence; shown with the evidence
}

// Prior is the log-odds of a condition before any evidence.
const Prior = -2.0
