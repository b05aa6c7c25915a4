package message

import (
	"slices"

	"vpnbot/diag/report"
)

// byHand tells whether a finding is mended by a change that a person makes on a device.
func byHand(f report.Finding) bool {
	return f.Severity != report.Info && slices.ContainsFunc(f.Actions, func(a report.Action) bool {
		return a.Class == report.Advise && (len(a.Commands) > 0 || a.Device != "")
	})
}

// Checked says what a diagnosis saw after a person said that the change which an earlier
// finding asked for is made.
func Checked(by, tunnel string, was report.Finding, rep report.Report) Message {
	var b builder
	up := false
	for _, t := range rep.Tunnels {
		up = up || t.Name == tunnel && t.State == report.Up
	}
	first := ""
	still := false
	for i, f := range rep.Findings {
		still = still || f.ID == was.ID
		if i == 0 {
			first = f.Title
		}
	}
	title, name := words(was.Title, 300), words(tunnel, 100)
	switch {
	case still:
		b.add(section("⚠️ Checked after " + mention(by) + " changed it: *it is still there:* " + title + ". The evidence in this run says where; the old SAs may have to go first."))
		return b.done(tunnel + ": checked after the change, it is still there: " + was.Title)
	case up:
		b.add(section("✅ Checked after " + mention(by) + " changed it: *" + title + "* is gone and " + name + " is up."))
		return b.done(tunnel + ": checked after the change, the fault is gone and the tunnel is up")
	}
	s := "➖ Checked after " + mention(by) + " changed it: *" + title + "* is no longer found, and " + name + " is not up yet."
	if first != "" {
		s += " Next: " + words(first, 300) + "."
	} else {
		s += " It negotiates with the next traffic."
	}
	b.add(section(s))
	return b.done(tunnel + ": checked after the change, the fault is no longer found and the tunnel is not up yet")
}
