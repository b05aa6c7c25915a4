package message

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Help is the list of commands that this person may use; it fits one screen.
func Help(lines []string, extra string) Message {
	var b builder
	t, _ := fence(lines, maxSection)
	b.add(section(t))
	b.add(context(words(extra, 500)))
	return b.done("vpnbot: what you can type")
}

// List is a titled list of lines.
func List(title string, lines []string, hint string) Message {
	var b builder
	if len(lines) == 0 {
		lines = []string{"none"}
	}
	t, _ := fence(lines, maxSection-100)
	b.add(section("*" + words(title, 80) + "*\n" + t))
	if hint != "" {
		b.add(context(cut(hint, maxContext)))
	}
	return b.done(title)
}

// Elsewhere tells a person that the bot cannot post where they asked.
func Elsewhere(channel string) Message {
	return Notice("I am not in this channel, so the answer stands in <#" + channel + ">. To have it here, type /invite and my name.")
}

// FileTitle is a file's title.
func FileTitle(s string) string { return plain(s, 150) }

// AltText describes a picture.
func AltText(s string) string {
	if s == "" {
		return ""
	}
	return plain(s, 900)
}

// maxShown is how much device output stands in a message, in characters.
const maxShown = 8000

// TooLong tells whether Shown leaves something out.
func TooLong(text string) bool { return len([]rune(text)) > maxShown-500 }

// Shown is what both ends say now.
func Shown(tunnel, text string, err error, at time.Time, loc *time.Location) Message {
	var b builder
	b.last(context("read " + Stamp(at, loc)))
	b.add(section("*" + words(tunnel, 150) + "* now"))
	if err != nil {
		b.add(section("❌ " + prose(err.Error(), 1500)))
	}
	left := maxShown
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for len(lines) > 0 && text != "" {
		n, size := 0, 0
		for n < len(lines) && size+len([]rune(escape(clean(lines[n], false), 400)))+1 < maxSection-60 {
			size += len([]rune(escape(clean(lines[n], false), 400))) + 1
			n++
		}
		n = max(n, 1)
		if left -= size; left < 0 {
			b.add(context("… all of it stands in the thread"))
			break
		}
		t, _ := fence(lines[:n], maxSection)
		b.add(section(t))
		lines = lines[n:]
	}
	if err != nil && text == "" {
		return b.done(tunnel + ": could not be read: " + err.Error())
	}
	return b.done(tunnel + ": SAs and counters as they are now")
}

// AfterUnknown says what the devices say after a repair whose end nobody saw.
func AfterUnknown(tunnel string, requesters []string, approver, text string, err error) Message {
	var b builder
	var who []string
	for _, u := range append(slices.Clone(requesters), approver) {
		if userID(u) && !slices.Contains(who, mention(u)) && len(who) < 6 {
			who = append(who, mention(u))
		}
	}
	b.add(section(strings.Join(who, " ") + " nobody saw how the repair of *" + words(tunnel, 100) + "* ended, and it is not repeated. Please look; another try is a new proposal. This is what the devices say now:"))
	if err != nil {
		b.add(section("❌ they could not be read: " + prose(err.Error(), 800)))
	}
	if text != "" {
		t, _ := fence(strings.Split(text, "\n"), maxSection)
		b.add(section(t))
	}
	return b.done("The repair of " + tunnel + " ended unseen; please look at the tunnel")
}

// Row is a tunnel of a table.
type Row struct {
	Tunnel, State, Detail string
	Since                 time.Time
	MutedUntil            time.Time
}

// Worse orders states: the worst has the lowest number.
func Worse(state string) int {
	i := slices.Index([]string{"down", "flapping", "negotiating", "degraded", "unknown", "not seen yet", "up"}, state)
	if i < 0 {
		return 5
	}
	return i
}

// Status is the table of tunnels, the worst first.
func Status(rows []Row, filter string, swept, now time.Time, loc *time.Location) Message {
	var b builder
	count := map[string]int{}
	for _, r := range rows {
		count[r.State]++
	}
	last := "no sweep yet"
	if !swept.IsZero() {
		last = "last sweep " + Stamp(swept, loc)
	}
	b.last(context(last))
	sum := summary(count)
	title := "Tunnels: " + sum
	if filter != "" {
		title = "Tunnels of " + words(filter, 60) + ": " + sum
	}
	b.add(section("*" + title + "*"))
	table(&b, rows, now, 150)
	return b.done(title)
}

func summary(count map[string]int) string {
	var parts []string
	for _, s := range []string{"down", "flapping", "negotiating", "degraded", "unknown", "not seen yet", "up"} {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func table(b *builder, rows []Row, now time.Time, most int) {
	width := 6
	for i, r := range rows {
		if i < most {
			width = min(max(width, len([]rune(r.Tunnel))), 40)
		}
	}
	var lines []string
	for i, r := range rows {
		if i == most {
			break
		}
		since := ""
		if !r.Since.IsZero() {
			since = "since " + Took(now.Sub(r.Since))
		}
		l := fmt.Sprintf("%-*s  %-12s  %-16s  %s", width, cut(clean(r.Tunnel, false), width), cut(r.State, 12), since, cut(clean(r.Detail, false), 60))
		if r.MutedUntil.After(now) {
			l += "  muted for " + Took(r.MutedUntil.Sub(now))
		}
		lines = append(lines, strings.TrimRight(l, " "))
	}
	shown := 0
	for shown < len(lines) {
		n, size := 0, 0
		for shown+n < len(lines) && n < 30 {
			w := len([]rune(escape(lines[shown+n], 400))) + 1
			if size+w > maxSection-100 {
				break
			}
			size += w
			n++
		}
		t, _ := fence(lines[shown:shown+max(n, 1)], maxSection)
		if b.chars+size+200 > maxChars {
			break
		}
		b.add(section(t))
		shown += max(n, 1)
	}
	if shown < len(rows) {
		b.add(context(fmt.Sprintf("… and %d more, none of them worse; name a tunnel or a tag to see them", len(rows)-shown)))
	}
}

// Explained is what a pasted text means.
func Explained(text, meaning string) Message {
	var b builder
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	b.add(section(code(cut(first, 200), 250)))
	if strings.TrimSpace(meaning) == "" {
		meaning = "Nothing is known about this. Paste the whole line, a state such as MM_WAIT_MSG2, or `Reason 412`."
	}
	rest := meaning
	for i := 0; rest != "" && i < 4; i++ {
		part := rest
		if r := []rune(rest); len(r) > 2500 {
			part = string(r[:2500])
			if k := strings.LastIndexByte(part, '\n'); k > 500 {
				part = part[:k]
			}
		}
		rest = strings.TrimPrefix(rest[len(part):], "\n")
		b.add(section(prose(part, maxSection)))
	}
	return b.done(meaning)
}

// PendingRow is an open approval.
type PendingRow struct {
	Tunnel, Title, Requester string
	Expires                  time.Time
}

// PendingList lists the open approvals.
func PendingList(rows []PendingRow, paused, channel string, loc *time.Location) Message {
	var b builder
	if paused != "" {
		b.add(section("⏸️ " + cut(paused, 700)))
	}
	if len(rows) == 0 {
		b.add(section("No approval is open."))
		return b.done("No approval is open")
	}
	b.add(section(fmt.Sprintf("*%d open approvals*; their cards stand in <#%s>", len(rows), channel)))
	for i, r := range rows {
		if i == 20 {
			b.add(context(fmt.Sprintf("… %d more", len(rows)-i)))
			break
		}
		b.add(section(code(r.Tunnel, 80) + " – " + words(r.Title, 200) + ", asked by " + mention(r.Requester) + ", expires " + Clock(r.Expires, loc)))
	}
	return b.done(fmt.Sprintf("%d open approvals", len(rows)))
}
