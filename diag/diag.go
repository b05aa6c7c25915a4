// Package diag is the diagnosis: evidence in, findings out. It is pure: no network, no
// clock, no files but those handed to it. The command line, the schedule and Slack all
// end here.
package diag

import (
	"time"

	"vpnbot/diag/conditions"
	"vpnbot/diag/engine"
	"vpnbot/diag/facts"
	"vpnbot/diag/report"
)

// Options of one diagnosis.
type Options struct {
	Tunnels []engine.Named // configured tunnels, for names
	Only    string         // a tunnel's name, or "A,B": report this tunnel only
	Now     time.Time      // generated_at
}

// Result is the report with the ladder diagrams of the negotiations seen.
type Result struct {
	Report  report.Report
	Ladders []report.Ladder
}

// Analyze diagnoses a set of evidence.
func Analyze(set *facts.Set, opt Options) Result {
	r, ladders := engine.Diagnose(set, conditions.All(), engine.Options{Tunnels: opt.Tunnels, Only: opt.Only, Now: opt.Now})
	return Result{Report: r, Ladders: ladders}
}
