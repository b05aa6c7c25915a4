// Package report holds the report of a diagnosis (contracts/report.md) and its forms:
// text, JSON, HTML, the ladder diagram of a negotiation, and the evidence report for
// an ISP. Findings come in from the engine; nothing is decided here.
package report

import (
	"time"

	"vpnbot/diag/facts"
)

// Schema is the report's schema name and version.
const Schema = "vpnbot.report/1"

// Report is one diagnosis of one or more tunnels.
type Report struct {
	Schema      string    `json:"schema"`
	GeneratedAt time.Time `json:"generated_at"`
	Tunnels     []Tunnel  `json:"tunnels"`
	Findings    []Finding `json:"findings"`
	Errors      []Error   `json:"errors"`
}

// State of a tunnel.
type State string

// Tunnel states.
const (
	Up          State = "up"
	Degraded    State = "degraded"
	Negotiating State = "negotiating"
	Down        State = "down"
	Unknown     State = "unknown"
)

// Tunnel is one pair of ends that evidence was found for.
type Tunnel struct {
	Name      string  `json:"name"`
	Ends      []End   `json:"ends"`
	IKE       *int    `json:"ike"`        // 1, 2 or null
	Exchange  *string `json:"exchange"`   // main, aggressive, ikev2 or null
	State     State   `json:"state"`      //
	StoppedAt *string `json:"stopped_at"` // MM1-MM6, AM1-AM3, XAUTH, MODECFG, QM1-QM3, IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA, ESP or null
}

// End is one end of a tunnel.
type End struct {
	Device  string `json:"device"`
	Address string `json:"address"`
}

// Severity of a finding.
type Severity string

// Severities, worst first.
const (
	Critical Severity = "critical"
	Major    Severity = "major"
	Minor    Severity = "minor"
	Info     Severity = "info"
)

// Finding is one condition that the evidence shows.
type Finding struct {
	ID          string     `json:"id"`
	Tunnel      string     `json:"tunnel"`
	Title       string     `json:"title"`
	Severity    Severity   `json:"severity"`
	Confidence  float64    `json:"confidence"` // calibrated, 0.3 to 1
	Explanation string     `json:"explanation"`
	Evidence    []Evidence `json:"evidence"`
	Actions     []Action   `json:"actions"`
	Next        []Next     `json:"next"`
	Symptoms    []string   `json:"symptoms"`
	Reference   string     `json:"reference"`
}

// Evidence is a line or packet that speaks for a finding. Exactly one of Line and Packet is set.
type Evidence struct {
	Source string     `json:"source"`
	Line   int        `json:"line,omitempty"`
	Packet *int       `json:"packet,omitempty"` // first is 1; 0 the whole capture
	Time   *time.Time `json:"time,omitempty"`
	Text   string     `json:"text"`
	Note   string     `json:"note,omitempty"` // what it shows, in words
	// Datagram is the packet in figures, for the ISP's report; nil for lines.
	Datagram *facts.Datagram `json:"-"`
}

// Class of an action.
type Class string

// Classes: approve runs after approval, advise is shown only, evidence goes to another party, none is harmless.
const (
	Approve      Class = "approve"
	Advise       Class = "advise"
	EvidenceOnly Class = "evidence"
	None         Class = "none"
)

// Kinds of approvable actions; the typed command is made from kind and parameters.
const (
	ClearIKESA   = "clear-ike-sa"
	ClearIPsecSA = "clear-ipsec-sa"
	ClearSession = "clear-session"
)

// Action mends a finding.
type Action struct {
	Class      Class             `json:"class"`
	Device     string            `json:"device"`
	Commands   []string          `json:"commands"`
	Steps      []string          `json:"steps"`
	Effect     string            `json:"effect"`
	Kind       string            `json:"kind,omitempty"`       // class approve only
	Parameters map[string]string `json:"parameters,omitempty"` // peer, conn_id, ike (1|2)
}

// Next is the evidence that would separate candidates which remain close.
type Next struct {
	Collect  string `json:"collect"`
	Because  string `json:"because"`
	Playbook string `json:"playbook"`
}

// Error is evidence that could not be used.
type Error struct {
	Source  string `json:"source"`
	Kind    string `json:"kind,omitempty"` // unreachable, refused, busy, host-key, auth, privilege, timeout, closed, not-understood, truncated
	Message string `json:"message"`
}
