package bot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vpnbot/bot/message"
)

// command is one thing that people can type.
type command struct {
	name  string
	args  string
	about string
	right right
	run   func(*Bot, *ask)
}

// commands in the order of help. One line each; help fits one screen.
func commands() []command {
	return []command{
		{"diagnose", "TUNNEL|PEER-IP|DEVICE [capture [30s]|nocapture]", "finds out what is wrong", mayDiagnose, (*Bot).diagnose},
		{"status", "[TUNNEL|TAG]", "tunnels as the last sweep saw them", mayDiagnose, (*Bot).status},
		{"show", "TUNNEL", "both ends' SAs and counters now", mayDiagnose, (*Bot).show},
		{"explain", "TEXT", "what a message, state or Reason number means", mayDiagnose, (*Bot).explain},
		{"history", "TUNNEL", "findings, repairs and state changes", mayDiagnose, (*Bot).history},
		{"evidence", "TUNNEL", "the report for the ISP", mayDiagnose, (*Bot).evidence},
		{"pending", "", "open approvals", mayDiagnose, (*Bot).pending},
		{"playbooks", "", "what can be run", mayDiagnose, (*Bot).playbooks},
		{"sweep", "", "looks at all tunnels now", mayOperate, (*Bot).sweep},
		{"capture", "TUNNEL [30s] | start [max 24h] | fetch | stop", "captures at both ends; start: until it falls", mayOperate, (*Bot).capture},
		{"run", "PLAYBOOK TUNNEL", "runs a playbook", mayOperate, (*Bot).run},
		{"cancel", "[RUN]", "stops a run and removes its captures", mayDiagnose, (*Bot).cancel},
		{"clear", "TUNNEL", "proposes to clear its SAs; needs approval", mayOperate, (*Bot).clear},
		{"mute", "TUNNEL 2h [reason]", "no sweep messages for it", mayOperate, (*Bot).mute},
		{"unmute", "TUNNEL", "ends that", mayOperate, (*Bot).unmute},
		{"pause", "[reason]", "no repairs at all", mayAdmin, (*Bot).pause},
		{"resume", "", "repairs again", mayAdmin, (*Bot).resume},
		{"help", "", "this list", mayDiagnose, (*Bot).help},
	}
}

// find gives the command of a name, or the nearest one.
func find(name string) (c command, exact bool) {
	name = strings.ToLower(name)
	best := 1 << 30
	for _, x := range commands() {
		if x.name == name {
			return x, true
		}
		d := distance(name, x.name)
		if strings.HasPrefix(x.name, name) && name != "" {
			d = 0
		}
		if d < best {
			best, c = d, x
		}
	}
	return c, false
}

// distance counts the edits between two short words.
func distance(a, b string) int {
	if len(a) > 40 {
		a = a[:40]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
		}
	}
	return row[len(b)]
}

// usage of a command as typed.
func (b *Bot) usage(c command) string {
	return message.Quote(strings.TrimSpace(b.cfg.Slack.Command + " " + c.name + " " + c.args))
}

// wantsDuration reads "30s" within limits; the error says what to write.
func wantsDuration(s string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("%q is not a length of time from %s to %s, such as %s", s, least, most, least)
	}
	return d, nil
}

func (b *Bot) help(a *ask) {
	var lines []string
	rights := map[right]bool{}
	for _, r := range []right{mayDiagnose, mayOperate, mayApprove, mayAdmin} {
		rights[r] = b.may(a.ctx, a.User, a.Team, r, false) == nil
	}
	for _, c := range commands() {
		if rights[c.right] && (b.cfg.enabled() || !slices.Contains([]string{"clear", "pending", "pause", "resume"}, c.name)) {
			lines = append(lines, strings.TrimSpace(b.cfg.Slack.Command+" "+c.name+" "+c.args)+" – "+c.about)
		}
	}
	extra := "In threads: mention me instead. Share a capture file with a mention and I read it."
	if rights[mayApprove] {
		extra += " You may approve repairs that others asked for."
	}
	a.whisper(message.Help(lines, extra))
}
