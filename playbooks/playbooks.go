// Package playbooks is the procedures: which evidence to gather, in which order, what to
// propose. A Runner runs one playbook for one tunnel: it asks devices for evidence, hands
// it to diag, and may propose a repair. An approved proposal is again a run.
package playbooks

import (
	"context"
	"time"

	"vpnbot/diag/report"
)

// Request asks for one run.
type Request struct {
	Run      string // id, made by the caller; unique
	Playbook string // diagnose, capture-both-ends, sweep, show, or an operator's own
	Tunnel   string
	By       string        // Slack user id, "cli", "schedule"
	Human    bool          // a person asked; only then may a proposal follow
	Capture  CaptureWish   //
	Duration time.Duration // capture duration, 0: captures.duration
	After    string        // the run whose advice a person says to have carried out; this one checks it
	Ring     bool          // a capture step takes the packets of the tunnel's ring-buffer capture (Watch)
}

// CaptureWish says whether the run may capture.
type CaptureWish int

// Capture wishes.
const (
	CaptureAuto  CaptureWish = iota // when nothing decisive is found
	CaptureForce                    // always
	CaptureNever
)

// StepState is how far a step is.
type StepState string

// Step states.
const (
	Waiting StepState = "waiting"
	Running StepState = "running"
	Done    StepState = "done"
	Failed  StepState = "failed"
	Skipped StepState = "skipped"
)

// Update tells the caller about one step's change.
type Update struct {
	Run   string
	Step  string // the step's id in the playbook
	About string // "read both ends"
	State StepState
	Note  string // "hq-asa: 6 outputs; pap-asa: 6 outputs"
	At    time.Time
}

// Result is what a run found.
type Result struct {
	Report   report.Report
	Steps    []Update // the last state of every step, in order
	Files    []File   // the evidence as a bundle (contracts/bundle.md), secrets replaced
	Pictures []File   // ladder diagrams: SVG and PNG of the same base name
	Ladders  []report.Ladder
	ISP      []File    // the ISP evidence report
	Reduced  []File    // captures with key material zeroed, for upload
	Proposal *Proposal // set when the first finding can be repaired and nothing forbids to propose
	Refusal  string    // why there is no proposal although the finding could be repaired
}

// File is a named blob; the name is relative, with forward slashes.
type File struct {
	Name string
	Data []byte
}

// Proposal is a repair with its exact commands, waiting for approval.
type Proposal struct {
	ID          string // 128 random bits, hex
	Run         string
	Tunnel      string
	Finding     report.Finding
	Commands    []ProposedCommand
	Effect      string   // which tunnel drops, for how long
	Impact      string   // SAs, users, packets and bytes that drop now; "" when unknown
	Outage      string   // how long traffic is expected to be interrupted
	Backup      string   // whether another peer could take over
	Others      []string // what else may be the cause, likeliest first
	Playbook    string   // whose steps after the proposal verify the repair
	Decisive    string   // fingerprint of the state that justifies it, compared again before the run
	Summary     string   // the decisive state in words: "hq-asa: MM_ACTIVE; lima-rtr: no SA"
	Requester   string   // user id
	CreatedAt   time.Time
	ExpiresAt   time.Time
	EvidenceAge time.Time // when the decisive state was read
}

// ProposedCommand is one exact line for one device. Kind and Parameters make the typed
// command again at the moment of the run; the line must come out the same.
type ProposedCommand struct {
	Device     string
	Kind       string // report.ClearIKESA ...
	Parameters map[string]string
	Line       string
	SHA256     string // hex of the line's bytes
}

// CommandState is what became of one command of a proposal.
type CommandState struct {
	Device, Line string
	State        string // "not sent", "succeeded", "failed", "unknown"
	Output       string // redacted
	SHA256Output string
}

// Outcome is what became of an approved proposal.
type Outcome struct {
	State    string    // succeeded, failed, unknown, superseded (contracts/slack.md)
	Verified string    // helped, not-helped, relapsed; "" when not verified
	Reason   string    // for failed, superseded, unknown: one sentence
	SentAt   time.Time // when the first command was about to be sent
	Commands []CommandState
	Before   string // SA state and counters before, words
	After    string
	Next     string         // after a repair that did not help: the next candidate
	Report   *report.Report // the verification's diagnosis
}

// Approvals receives proposals and what becomes of them; bot/store implements it.
type Approvals interface {
	Propose(ctx context.Context, p Proposal) error
	// Accepted writes down, before the verification begins, that the devices took all
	// commands: a verification that a stop interrupts can be taken up again (Verify).
	Accepted(ctx context.Context, proposal string, out Outcome) error
	// LastRepair is when a command of a repair of the tunnel was sent last; zero for never.
	LastRepair(ctx context.Context, tunnel string) (time.Time, error)
}

// Journal records finished steps so that an interrupted run goes on after them.
type Journal interface {
	StepDone(ctx context.Context, run, step string, state StepState, data []byte) error
	StepsDone(ctx context.Context, run string) (map[string][]byte, error)
}
