package message

import (
	"fmt"
	"strings"
	"time"

	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

// Run is a run as its card shows it.
type Run struct {
	ID       string
	Playbook string
	Tunnel   string
	By       string   // user id, "schedule"
	Joined   []string // user ids
	Steps    []playbooks.Update
	Started  time.Time
	Ended    time.Time
	Report   *report.Report // set when done
	Refusal  string         // why nothing is proposed
	Proposed bool
	CanAsk   bool   // show "Propose repair": found by the bot itself, and repairable
	Failed   string // why it ended without a report
	Canceled bool
	Files    int // in the thread
	Loc      *time.Location
}

// icons of step states. The word beside it says the same.
var icons = map[playbooks.StepState]string{
	playbooks.Waiting: "▫️", playbooks.Running: "⏳", playbooks.Done: "✅", playbooks.Failed: "❌", playbooks.Skipped: "➖",
}

// Progress is the card of a run under way.
func Progress(r Run) Message {
	var b builder
	what := verb(r.Playbook)
	now := ""
	for _, s := range r.Steps {
		if s.State == playbooks.Running {
			now = s.About
		}
	}
	text := r.Tunnel + ": " + what
	if now != "" {
		text += " – " + now
	}
	b.last(context(footer(r)), actions("run:"+r.ID, cancelButton(r)))
	b.add(section("*" + words(r.Tunnel, 150) + "* – " + words(what, 150)))
	b.add(section(steps(r.Steps)))
	return b.done(text)
}

func cancelButton(r Run) map[string]any {
	return button("run.cancel", r.ID, "Cancel the run on "+r.Tunnel)
}

// Ring is a ring-buffer capture that waits for a fault, as its card shows it.
type Ring struct {
	Tunnel, By   string
	Since, Until time.Time
	Started      bool     // it runs on the devices
	Notes        []string // what it cannot see
	Ended        time.Time
	Why          string         // it ended
	StoppedBy    string         // who ended it
	Command      string         `json:"-"`
	Loc          *time.Location `json:"-"`
}

// RingCard shows a ring-buffer capture.
func RingCard(r Ring) Message {
	var b builder
	b.last(context(cut("asked by "+mention(r.By)+" · since "+Stamp(r.Since, r.Loc)+" · until "+Stamp(r.Until, r.Loc)+" at the latest", maxContext)))
	name := "*" + words(r.Tunnel, 150) + "*"
	switch {
	case !r.Ended.IsZero():
		b.add(section(name + " – ⏹️ the ring-buffer capture ended " + Stamp(r.Ended, r.Loc)))
		why := prose(r.Why, 800)
		if r.StoppedBy != "" {
			why = "stopped by " + mention(r.StoppedBy) + "; " + why
		}
		b.add(section(why))
		return b.done(r.Tunnel + ": the ring-buffer capture ended")
	case !r.Started:
		b.add(section(name + " – ⏳ starting a ring-buffer capture"))
		return b.done(r.Tunnel + ": starting a ring-buffer capture")
	}
	b.add(section(name + " – ⏺️ a ring-buffer capture waits for the fault; it is fetched when a sweep sees the tunnel fall"))
	b.add(section("Bring it home with " + code(r.Command+" capture "+r.Tunnel+" fetch", 150) + ", end it with " + code(r.Command+" capture "+r.Tunnel+" stop", 150) + "."))
	if len(r.Notes) > 0 {
		b.add(context(words(strings.Join(r.Notes, "; "), 1500)))
	}
	return b.done(r.Tunnel + ": a ring-buffer capture waits for the fault")
}

func verb(playbook string) string {
	switch playbook {
	case "diagnose":
		return "diagnosing"
	case "capture-both-ends":
		return "capturing at both ends"
	case "clear-sa":
		return "preparing a clear"
	case "sweep":
		return "sweeping"
	}
	return "running " + playbook
}

func steps(us []playbooks.Update) string {
	if len(us) == 0 {
		return "⏳ waiting for its turn"
	}
	var b strings.Builder
	for i, u := range us {
		if i == 20 {
			fmt.Fprintf(&b, "… %d more steps\n", len(us)-i)
			break
		}
		icon := icons[u.State]
		if icon == "" {
			icon = "▫️"
		}
		about := u.About
		if about == "" {
			about = u.Step
		}
		line := icon + " " + words(about, 60) + " – " + words(string(u.State), 20)
		if u.Note != "" {
			line += ": " + words(u.Note, 200)
		}
		b.WriteString(line + "\n")
	}
	return cut(b.String(), maxSection)
}

func footer(r Run) string {
	s := "asked by " + mention(r.By)
	if r.By == "schedule" || r.By == "" {
		s = "started by vpnbot itself"
	}
	if len(r.Joined) > 0 {
		var j []string
		for i, u := range r.Joined {
			if i == 10 {
				break
			}
			j = append(j, mention(u))
		}
		s += ", joined by " + strings.Join(j, ", ")
	}
	s += " · " + Stamp(r.Started, r.Loc)
	if !r.Ended.IsZero() {
		s += " · took " + Took(r.Ended.Sub(r.Started))
	}
	return cut(s+" · run "+words(short(r.ID), 20), maxContext)
}

func short(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

// Verdict is the card of a run that ended.
func Verdict(r Run) Message {
	var b builder
	b.last(context(footer(r)))
	switch {
	case r.Canceled:
		b.add(section("*"+words(r.Tunnel, 150)+"* – 🛑 cancelled; captures are removed"), section(steps(r.Steps)))
		return b.done(r.Tunnel + ": the run was cancelled")
	case r.Report == nil:
		b.add(section("*"+words(r.Tunnel, 150)+"* – ❌ could not be diagnosed"), section(prose(r.Failed, 1500)))
		if len(r.Steps) > 0 {
			b.add(section(steps(r.Steps)))
		}
		return b.done(r.Tunnel + ": could not be diagnosed: " + r.Failed)
	}
	fs := r.Report.Findings
	state := report.Unknown
	stopped := ""
	for i, t := range r.Report.Tunnels {
		if t.Name == r.Tunnel || i == 0 {
			state = t.State
			if t.StoppedAt != nil {
				stopped = *t.StoppedAt
			}
		}
	}
	if len(fs) == 0 {
		b.add(section("*" + words(r.Tunnel, 150) + "* – ❔ nothing found; the tunnel is " + words(string(state), 20)))
		b.add(section("The evidence neither shows a fault nor proves the tunnel healthy."))
		notUsed(&b, r.Report.Errors)
		if len(r.Steps) > 0 {
			b.add(section(steps(r.Steps)))
		}
		return b.done(r.Tunnel + ": nothing found; the tunnel is " + string(state))
	}
	f := fs[0]
	var buttons []map[string]any
	if r.CanAsk {
		buttons = append(buttons, button("approval.propose", r.ID, "Propose repair of "+r.Tunnel))
	}
	if byHand(f) {
		buttons = append(buttons, button("advice.done", r.ID, "I changed it: check "+r.Tunnel))
	}
	if len(buttons) > 0 {
		b.last(actions("propose:"+r.ID, buttons...))
	}
	b.add(section("*" + severityIcon(f.Severity) + " " + words(r.Tunnel, 100) + ": " + words(f.Title, 250) + "*"))
	facts := fmt.Sprintf("*%s* · confidence %d %% · tunnel is *%s*", words(string(f.Severity), 20), int(f.Confidence*100+0.5), words(string(state), 20))
	if stopped != "" {
		facts += ", stopped at " + code(stopped, 30)
	}
	b.add(section(facts))
	if f.Explanation != "" {
		b.add(section(prose(f.Explanation, 1500)))
	}
	if len(f.Evidence) > 0 {
		t, _ := fence(evidence(f.Evidence, 6), 2000)
		b.add(section("*Evidence*\n" + t))
	}
	mends(&b, f.Actions, 2)
	if r.Refusal != "" {
		b.add(section("No repair is proposed: " + prose(r.Refusal, 500)))
	}
	if r.Proposed {
		b.add(section("A repair was proposed; its own card says how it goes."))
	}
	if len(fs) > 1 {
		var more []string
		for i, g := range fs[1:] {
			if i == 4 {
				more = append(more, fmt.Sprintf("and %d more", len(fs)-1-i))
				break
			}
			more = append(more, fmt.Sprintf("%s (%d %%)", words(g.Title, 150), int(g.Confidence*100+0.5)))
		}
		b.add(section("Also found: " + strings.Join(more, "; ")))
	}
	for i, n := range f.Next {
		if i == 2 {
			break
		}
		b.add(context("To be surer: " + words(n.Collect, 200) + " – " + words(n.Because, 300)))
	}
	notUsed(&b, r.Report.Errors)
	if r.Files > 0 {
		files := fmt.Sprintf("%d files", r.Files)
		if r.Files == 1 {
			files = "1 file"
		}
		b.add(context("all evidence and " + files + " stand in the thread"))
	}
	return b.done(fmt.Sprintf("%s: %s (%s, confidence %d %%, tunnel %s)", r.Tunnel, f.Title, f.Severity, int(f.Confidence*100+0.5), state))
}

func severityIcon(s report.Severity) string {
	switch s {
	case report.Critical:
		return "🔴"
	case report.Major:
		return "🟠"
	case report.Minor:
		return "🟡"
	}
	return "🟢"
}

// evidence as lines of code: where, then what.
func evidence(es []report.Evidence, most int) []string {
	var out []string
	for i, e := range es {
		if i == most {
			out = append(out, fmt.Sprintf("… %d more in the thread", len(es)-i))
			break
		}
		out = append(out, where(e)+"  "+e.Text)
	}
	return out
}

func where(e report.Evidence) string {
	src := cut(clean(e.Source, false), 80)
	switch {
	case e.Packet != nil && *e.Packet > 0:
		return fmt.Sprintf("%s packet %d", src, *e.Packet)
	case e.Packet != nil:
		return src + " (whole capture)"
	case e.Line > 0:
		return fmt.Sprintf("%s:%d", src, e.Line)
	}
	return src
}

func mends(b *builder, as []report.Action, most int) {
	for i, a := range as {
		if i == most {
			more := fmt.Sprintf("%d more remedies stand in the thread", len(as)-i)
			if len(as)-i == 1 {
				more = "1 more remedy stands in the thread"
			}
			b.add(context(more))
			return
		}
		head := map[report.Class]string{
			report.Approve: "*What mends it* (after approval)", report.Advise: "*What mends it* (by hand)",
			report.EvidenceOnly: "*What to hand on*", report.None: "*What to do*",
		}[a.Class]
		if head == "" {
			head = "*What mends it*"
		}
		if a.Device != "" {
			head += " on " + code(a.Device, 60)
		}
		var s strings.Builder
		s.WriteString(head)
		for j, st := range a.Steps {
			if j == 8 {
				fmt.Fprintf(&s, "\n• … %d more steps in the thread", len(a.Steps)-j)
				break
			}
			s.WriteString("\n• " + words(st, 200))
		}
		if len(a.Commands) > 0 {
			t, _ := fence(a.Commands, 1000)
			s.WriteString("\n" + t)
		}
		if a.Effect != "" && a.Effect != "none" {
			s.WriteString("\nEffect: " + words(a.Effect, 200))
		}
		b.add(section(s.String()))
	}
}

func notUsed(b *builder, es []report.Error) {
	if len(es) == 0 {
		return
	}
	var s []string
	for i, e := range es {
		if i == 4 {
			s = append(s, fmt.Sprintf("… %d more in the thread", len(es)-i))
			break
		}
		kind := ""
		if e.Kind != "" {
			kind = " [" + words(e.Kind, 20) + "]"
		}
		s = append(s, "⚠️ "+words(e.Source, 80)+kind+": "+words(e.Message, 250))
	}
	b.add(context(cut(strings.Join(s, "\n"), maxContext)))
}

// Details are the thread's messages: every finding whole, then what was not used.
func Details(tunnel string, rep report.Report) []Message {
	var out []Message
	for i, f := range rep.Findings {
		if i == 5 {
			break
		}
		var b builder
		b.add(section(fmt.Sprintf("*%d. %s*\n%s · confidence %d %% · %s", i+1, words(f.Title, 250), words(string(f.Severity), 20), int(f.Confidence*100+0.5), code(f.ID, 60))))
		if f.Explanation != "" {
			b.add(section(prose(f.Explanation, maxSection)))
		}
		lines := evidence(f.Evidence, 40)
		for len(lines) > 0 {
			n := min(len(lines), 10)
			t, _ := fence(lines[:n], maxSection-20)
			b.add(section(t))
			lines = lines[n:]
		}
		mends(&b, f.Actions, 6)
		for _, n := range f.Next {
			b.add(context("To be surer: " + words(n.Collect, 300) + " – " + words(n.Because, 400) + " (playbook " + code(n.Playbook, 60) + ")"))
		}
		if len(f.Symptoms) > 0 {
			b.add(context("Also explains: " + words(strings.Join(f.Symptoms, ", "), 800)))
		}
		if f.Reference != "" {
			b.add(context("Reference: " + words(f.Reference, 300)))
		}
		out = append(out, b.done(fmt.Sprintf("%d. %s", i+1, f.Title)))
	}
	if len(rep.Errors) > 4 {
		var lines []string
		for _, e := range rep.Errors {
			lines = append(lines, e.Source+": "+e.Message)
		}
		var b builder
		t, _ := fence(lines, maxSection-40)
		b.add(section("*Not used*\n" + t))
		out = append(out, b.done("Not used"))
	}
	return out
}
