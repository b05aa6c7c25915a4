package message

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/playbooks"
)

// Proposal is a proposal as its card shows it.
type Proposal struct {
	playbooks.Proposal
	State      approval.State
	Approver   string
	Reason     string
	Outcome    playbooks.Outcome
	Commands   []playbooks.CommandState // what became of each; empty before the run
	Steps      []playbooks.Update       // of the run under way
	Approvers  []string                 // ids of who may approve: U…, W…, S…
	FourEyes   bool
	ApprovedAt time.Time
	EndedAt    time.Time
	Now        string // after unknown: what the devices say now
	Loc        *time.Location
}

// ProposalCard shows a proposal in whatever state it is.
func ProposalCard(p Proposal) Message {
	var b builder
	devices := devicesOf(p.Proposal.Commands)
	lines, fits := commandLines(p.Proposal.Commands)
	foot := "asked by " + mention(p.Requester) + " · " + Stamp(p.CreatedAt, p.Loc)
	if p.Approver != "" {
		foot += " · approved by " + mention(p.Approver) + " " + Clock(p.ApprovedAt, p.Loc)
	}
	foot += " · proposal " + words(short(p.ID), 20)
	b.last(context(cut(foot, maxContext)))

	title, text := headline(p, devices)
	b.add(section("*" + title + "*"))
	if p.Finding.Title != "" {
		b.add(section(fmt.Sprintf("%s (%s, confidence %d %%)", words(p.Finding.Title, 300), words(string(p.Finding.Severity), 20), int(p.Finding.Confidence*100+0.5))))
	}
	for _, l := range lines {
		b.add(section(l))
	}
	switch p.State {
	case approval.Proposed:
		var s strings.Builder
		s.WriteString("*Effect:* " + words(sentence(p.Effect), 500) + " A clear cannot be undone.")
		if p.Impact != "" {
			s.WriteString("\n*Drops now:* " + words(p.Impact, 600))
		}
		if p.Outage != "" {
			s.WriteString("\n*Expected outage:* " + words(p.Outage, 200))
		}
		if p.Backup != "" {
			s.WriteString("\n*Backup peer:* " + words(p.Backup, 200))
		}
		if p.Summary != "" {
			s.WriteString("\n*State:* " + code(p.Summary, 400))
			if !p.EvidenceAge.IsZero() {
				s.WriteString(" read " + Clock(p.EvidenceAge, p.Loc))
			}
		}
		approvers := p.Approvers
		if p.FourEyes {
			approvers = slices.DeleteFunc(slices.Clone(approvers), func(id string) bool { return id == p.Requester })
		}
		who := whoMay(approvers)
		if p.FourEyes {
			who += ", but not who asked"
		}
		s.WriteString("\n*May approve:* " + who + "\n*Expires:* " + Clock(p.ExpiresAt, p.Loc))
		b.add(section(s.String()))
		if !fits {
			b.add(section("⚠️ The commands cannot be shown whole, so they cannot be approved here. They stand in the thread, to be pasted by hand."))
			break
		}
		approve := button("approval.approve", p.ID, "Approve and run on "+strings.Join(devices, ", "))
		approve["style"] = "danger"
		approve["confirm"] = map[string]any{
			"title":   plainText("Run this on "+strings.Join(devices, ", ")+"?", 100),
			"text":    mrkdwn(words(fmt.Sprintf("%d command(s) run once, now. %s It cannot be undone.", len(p.Proposal.Commands), sentence(p.Effect)), 290)),
			"confirm": plainText("Run it now", 30),
			"deny":    plainText("Not now", 30),
		}
		b.last(actions("approval:"+p.ID, approve, button("approval.reject", p.ID, "Reject the repair of "+p.Tunnel)))
	case approval.Approved:
		b.add(section("⏳ approved; logging in"))
	case approval.Running:
		b.add(section("⏳ running"))
		if len(p.Steps) > 0 {
			b.add(section(steps(p.Steps)))
		}
	default:
		if p.Reason != "" {
			b.add(section(prose(p.Reason, 800)))
		}
		if p.State == approval.Succeeded || p.State == approval.Failed || p.State == approval.Unknown {
			b.add(section(commandResults(p.Commands)))
		}
		if p.Outcome.Before != "" || p.Outcome.After != "" {
			t, _ := fence(append(append([]string{"before:"}, strings.Split(p.Outcome.Before, "\n")...), append([]string{"after:"}, strings.Split(p.Outcome.After, "\n")...)...), 2500)
			b.add(section("*Verification*\n" + t))
		}
		if p.Outcome.Next != "" && (p.Outcome.Verified == "not-helped" || p.Outcome.Verified == "relapsed") {
			b.add(section("*Next candidate:* " + words(p.Outcome.Next, 400)))
		}
		if p.State == approval.Unknown {
			s := "It is not repeated by itself. Please look at the tunnel; another try is a new proposal."
			if p.Now != "" {
				t, _ := fence(strings.Split(p.Now, "\n"), 2000)
				s += "\n*The devices say now*\n" + t
			}
			b.add(section(s))
		}
	}
	return b.done(text)
}

// sentence ends a text with a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// headline is the verdict: as markup and as plain words.
func headline(p Proposal, devices []string) (string, string) {
	t, d := words(p.Tunnel, 100), words(strings.Join(devices, ", "), 150)
	switch p.State {
	case approval.Proposed:
		return "🔧 Repair of " + t + " proposed on " + d, "Repair of " + p.Tunnel + " proposed: waits for approval"
	case approval.Approved:
		return "🔧 Repair of " + t + " approved", "Repair of " + p.Tunnel + " approved"
	case approval.Running:
		for _, s := range p.Steps {
			if s.Step == "verify" && strings.HasPrefix(s.Note, "up;") {
				return "⏳ " + t + " is up again; the repair is being verified", p.Tunnel + " is up again; the repair is being verified: " + s.Note
			}
		}
		return "🔧 Repair of " + t + " is running", "Repair of " + p.Tunnel + " is running"
	case approval.Succeeded:
		switch p.Outcome.Verified {
		case "helped":
			return "✅ " + t + " repaired: verified up", p.Tunnel + " repaired: the commands ran once and the tunnel is verified up (helped)"
		case "not-helped":
			return "⚠️ " + t + ": the repair ran but did not help", p.Tunnel + ": the repair ran but did not help"
		case "relapsed":
			return "⚠️ " + t + " came back and fell again", p.Tunnel + ": came back after the repair and fell again (relapsed)"
		}
		return "✅ Repair of " + t + " succeeded; not verified", "Repair of " + p.Tunnel + " succeeded; not verified"
	case approval.Failed:
		return "❌ Repair of " + t + " failed", "Repair of " + p.Tunnel + " failed: " + p.Reason
	case approval.Unknown:
		return "❓ Repair of " + t + ": outcome unknown", "Repair of " + p.Tunnel + ": its outcome is unknown; please look"
	case approval.Rejected:
		return "🚫 Repair of " + t + " rejected", "Repair of " + p.Tunnel + " rejected"
	case approval.Withdrawn:
		return "🚫 Repair of " + t + " withdrawn", "Repair of " + p.Tunnel + " withdrawn"
	case approval.Superseded:
		return "➖ Repair of " + t + " superseded", "Repair of " + p.Tunnel + " superseded: " + p.Reason
	}
	return "⌛ Repair of " + t + " expired", "Repair of " + p.Tunnel + " expired: nothing was run"
}

func devicesOf(cs []playbooks.ProposedCommand) []string {
	var out []string
	for _, c := range cs {
		if len(out) == 0 || out[len(out)-1] != c.Device {
			out = append(out, c.Device)
		}
	}
	return out
}

// commandLines shows every command whole, per device; fits is false when that is not possible.
func commandLines(cs []playbooks.ProposedCommand) (out []string, fits bool) {
	total := 0
	for i := 0; i < len(cs); {
		j := i
		var lines []string
		for j < len(cs) && cs[j].Device == cs[i].Device {
			lines = append(lines, cs[j].Line)
			j++
		}
		t, ok := whole(lines, 2000)
		if total += len(t); !ok || total > 6000 || len(out) > 8 {
			t, _ := fence(lines, 1000)
			return append(out, "on "+code(cs[i].Device, 80)+"\n"+t), false
		}
		out = append(out, "on "+code(cs[i].Device, 80)+"\n"+t)
		i = j
	}
	return out, len(cs) > 0
}

func commandResults(cs []playbooks.CommandState) string {
	var b strings.Builder
	for i, c := range cs {
		if i == 12 {
			fmt.Fprintf(&b, "… %d more\n", len(cs)-i)
			break
		}
		icon := map[string]string{"succeeded": "✅", "failed": "❌", "unknown": "❓", "not sent": "➖", "running": "⏳"}[c.State]
		b.WriteString(icon + " " + words(c.State, 20) + ": " + code(c.Device, 60) + " " + code(c.Line, 100))
		if c.State == "failed" && c.Output != "" {
			b.WriteString(" – " + code(c.Output, 200))
		}
		b.WriteString("\n")
	}
	if b.Len() == 0 {
		return "No command was sent."
	}
	return cut(b.String(), maxSection)
}

// whoMay names people and groups by id; Slack shows their names.
func whoMay(ids []string) string {
	var out []string
	for i, id := range ids {
		if i == 8 {
			out = append(out, fmt.Sprintf("%d more", len(ids)-i))
			break
		}
		if strings.HasPrefix(id, "S") && userID("U"+id) {
			out = append(out, "<!subteam^"+id+">")
		} else {
			out = append(out, mention(id))
		}
	}
	if len(out) == 0 {
		return "nobody"
	}
	return strings.Join(out, ", ")
}

// WhoMay says who has a right, for refusals.
func WhoMay(ids []string) string { return whoMay(ids) }

// RejectReason is the modal that asks why.
func RejectReason(proposal, tunnel string) View {
	return View{
		"type": "modal", "callback_id": "approval.reject_reason", "private_metadata": cut(proposal, 3000),
		"title": plainText("Reject the repair", 24), "submit": plainText("Reject", 24), "close": plainText("Back", 24),
		"blocks": []any{
			section("The repair of *" + words(tunnel, 100) + "* will not run."),
			Block{"type": "input", "block_id": "reason", "optional": true, "label": plainText("Why? Everybody reads it.", 150),
				"element": map[string]any{"type": "plain_text_input", "action_id": "reason", "multiline": true, "max_length": 500}},
		},
	}
}

// PickTunnel is the modal that asks which tunnel was meant.
func PickTunnel(metadata string, names []string) View {
	var opts []any
	for i, n := range names {
		if i == 100 {
			break
		}
		opts = append(opts, map[string]any{"text": plainText(n, 75), "value": cut(n, 150)})
	}
	label := "Tunnel"
	if len(names) > len(opts) {
		label = fmt.Sprintf("Tunnel (%d of %d, the worst first; or type its name)", len(opts), len(names))
	}
	return View{
		"type": "modal", "callback_id": "pick.tunnel", "private_metadata": cut(metadata, 3000),
		"title": plainText("Which tunnel?", 24), "submit": plainText("Go on", 24), "close": plainText("Cancel", 24),
		"blocks": []any{
			Block{"type": "input", "block_id": "tunnel", "label": plainText(label, 150),
				"element": map[string]any{"type": "static_select", "action_id": "tunnel", "options": opts, "placeholder": plainText("Choose a tunnel", 150)}},
		},
	}
}

// Notice is a short message of our own words; markup in it is ours, so callers pass
// foreign text through Quote.
func Notice(markup string) Message {
	if len([]rune(markup)) > maxText { // a cut could fall into markup
		markup = words(unescape.Replace(markup), maxText)
	}
	if strings.TrimSpace(markup) == "" {
		markup = "-"
	}
	return Message{Text: markup, Blocks: []Block{section(markup)}}
}

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// Quote makes foreign text safe within a Notice.
func Quote(s string) string { return code(s, 200) }

// Words makes running text safe within a Notice.
func Words(s string) string { return words(s, 500) }
