package message

import (
	"fmt"
	"strings"
	"time"
)

// Alert is an incident as its card shows it.
type Alert struct {
	Tunnel  string
	After   string // down, degraded, flapping, unreachable …
	Before  string
	At      time.Time
	Lasted  time.Duration // how long Before had lasted
	Flips   int
	Detail  string
	Device  bool          // it is about a device
	Ended   time.Time     // it is over
	Outage  time.Duration // when over
	EndedAs string
	Loc     *time.Location
}

// AlertCard shows an incident.
func AlertCard(a Alert) Message {
	var b builder
	name := "*" + words(a.Tunnel, 150) + "*"
	var head, text string
	switch a.After {
	case "down":
		head, text = "🔴 "+name+" went down", a.Tunnel+" went down"
	case "negotiating":
		head, text = "🟠 "+name+" does not come up: it keeps negotiating", a.Tunnel+" keeps negotiating"
	case "degraded":
		head, text = "🟡 "+name+" passes traffic one way only", a.Tunnel+" passes traffic one way only"
	case "flapping":
		head, text = fmt.Sprintf("🟠 %s flaps: %d changes; nothing more is said until it is quiet", name, a.Flips), a.Tunnel+" flaps"
	case "unreachable":
		head, text = "⚪ "+name+" cannot be reached", a.Tunnel+" cannot be reached"
	case "unknown":
		head, text = "⚪ "+name+" cannot be checked", a.Tunnel+" cannot be checked"
	default:
		head, text = "🟢 "+name+" is "+words(a.After, 30), a.Tunnel+" is "+a.After
	}
	line := "since " + Stamp(a.At, a.Loc)
	if a.Lasted > 0 && a.Before != "" {
		line += "; it was " + words(a.Before, 30) + " for " + Took(a.Lasted)
	}
	if !a.Ended.IsZero() {
		head = "🟢 " + name + " is " + words(a.EndedAs, 30) + " again"
		text = a.Tunnel + " is " + a.EndedAs + " again"
		line = Stamp(a.At, a.Loc) + " – " + Stamp(a.Ended, a.Loc)
		if a.Outage > 0 {
			head += " after " + Took(a.Outage)
			text += " after " + Took(a.Outage)
		}
	}
	b.add(section(head))
	if a.Detail != "" && a.Ended.IsZero() {
		b.add(section(code(a.Detail, 500)))
	}
	foot := line
	if a.After == "down" && a.Ended.IsZero() {
		foot += "; it is being diagnosed, the findings follow in the thread"
	}
	b.add(context(cut(foot, maxContext)))
	return b.done(text)
}

// Back is the word in the incident's thread, for the channel too.
func Back(a Alert) Message {
	m := AlertCard(a)
	m.Broadcast = true
	return m
}

// Several is one message for many changes at once.
func Several(what string, rows []Row, now time.Time, loc *time.Location) Message {
	var b builder
	title := fmt.Sprintf("%d tunnels %s at once", len(rows), what)
	b.last(context(Stamp(now, loc) + "; probably one cause: look at what they share"))
	b.add(section("🔴 *" + words(title, 150) + "*"))
	table(&b, rows, now, 60)
	return b.done(title)
}

// Baseline is the first sweep after a start.
func Baseline(rows []Row, devices []string, now time.Time, loc *time.Location) Message {
	var b builder
	count := map[string]int{}
	var bad []Row
	for _, r := range rows {
		count[r.State]++
		if r.State != "up" {
			bad = append(bad, r)
		}
	}
	title := fmt.Sprintf("First look at %d tunnels: %s", len(rows), summary(count))
	b.last(context(Stamp(now, loc) + "; from now on only changes are told"))
	b.add(section("*" + words(title, 200) + "*"))
	unreachable(&b, devices)
	table(&b, bad, now, 60)
	return b.done(title)
}

func unreachable(b *builder, devices []string) {
	if len(devices) == 0 {
		return
	}
	var s []string
	for i, d := range devices {
		if i == 20 {
			s = append(s, fmt.Sprintf("and %d more", len(devices)-i))
			break
		}
		s = append(s, code(d, 100))
	}
	b.add(section("⚪ not reached: " + strings.Join(s, ", ")))
}

// Swept is the answer to a sweep that somebody asked for.
func Swept(by string, rows []Row, devices []string, changes int, began, ended time.Time, skipped int, loc *time.Location) Message {
	var b builder
	count := map[string]int{}
	var bad []Row
	for _, r := range rows {
		count[r.State]++
		if r.State != "up" {
			bad = append(bad, r)
		}
	}
	title := fmt.Sprintf("Sweep of %d tunnels: %s", len(rows), summary(count))
	foot := fmt.Sprintf("asked by %s · %s · took %s · %d changes", mention(by), Stamp(began, loc), Took(ended.Sub(began)), changes)
	if skipped > 0 {
		foot += fmt.Sprintf(" · %d not looked at: busy", skipped)
	}
	b.last(context(foot))
	b.add(section("*" + words(title, 200) + "*"))
	unreachable(&b, devices)
	table(&b, bad, ended, 60)
	return b.done(title)
}

// Digest is the state and what changed since the last one.
func Digest(rows []Row, lines []string, head string, since, now time.Time, loc *time.Location) Message {
	var b builder
	count := map[string]int{}
	var bad []Row
	for _, r := range rows {
		count[r.State]++
		if r.State != "up" {
			bad = append(bad, r)
		}
	}
	title := "Tunnels: " + summary(count)
	b.last(context(cut(words("audit trail: "+head, 300), maxContext)))
	b.add(section("*" + words(title, 200) + "*"))
	table(&b, bad, now, 40)
	if len(lines) == 0 {
		b.add(section("Nothing changed since " + Stamp(since, loc) + "."))
	} else {
		t, _ := fence(lines, maxSection-100)
		b.add(section("*Changes since " + Stamp(since, loc) + "*\n" + t))
	}
	return b.done(title)
}

// Home is a person's App Home.
func Home(bad []Row, total int, mine []PendingRow, waiting int, channel string, swept, now time.Time, loc *time.Location) View {
	var b builder
	b.add(section(fmt.Sprintf("*Tunnels that need attention: %d of %d*", len(bad), total)))
	switch {
	case swept.IsZero():
		b.add(section("⚪ not known: no sweep has looked at them yet"))
	case len(bad) == 0:
		b.add(section("🟢 none"))
	default:
		table(&b, bad, now, 60)
	}
	b.add(divider())
	b.add(section(fmt.Sprintf("*Approvals waiting for you: %d*", len(mine))))
	for i, r := range mine {
		if i == 20 {
			break
		}
		b.add(section(code(r.Tunnel, 80) + " – " + words(r.Title, 200) + ", asked by " + mention(r.Requester) + ", expires " + Clock(r.Expires, loc) + ", in <#" + channel + ">"))
	}
	if other := waiting - len(mine); other > 0 {
		b.add(context(fmt.Sprintf("%d more wait for others", other)))
	}
	b.add(divider())
	last := "no sweep yet"
	if !swept.IsZero() {
		last = "last sweep " + Stamp(swept, loc) + " (" + Took(now.Sub(swept)) + " ago)"
	}
	b.add(context(last))
	m := b.done("home")
	blocks := make([]any, len(m.Blocks))
	for i, x := range m.Blocks {
		blocks[i] = x
	}
	return View{"type": "home", "blocks": blocks}
}
