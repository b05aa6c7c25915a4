// Package message draws what people see in Slack: Block Kit views as pure functions of
// state. In come reports, runs, proposals, sweeps; out go messages and views that Slack
// accepts whatever the input was.
//
// The rules of what is written here:
//   - The verdict first, in words; colour and emoji only repeat it. Message.Text says it too.
//   - What a device or a stranger wrote is shown as code and goes through code or fence;
//     everything else that varies goes through words. There is no other way into a view.
//   - Text is cut by characters, never within an entity, with "…"; what was cut stands
//     whole in the thread or in a file.
//   - Under 50 blocks and 12,000 characters a message. A button says what it does to what.
//   - A proposal whose commands do not fit whole has no approve button.
package message

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of Slack (docs.slack.dev, Block Kit reference), and ours below them.
const (
	maxBlocks  = 48     // 50
	maxChars   = 11_500 // Slack refuses at about 13,200; nobody reads more than 12,000
	maxSection = 2_900  // 3000
	maxContext = 1_900  // 2000
	maxLabel   = 75
	maxText    = 1_500 // the message's text: notifications and screen readers
)

// clean removes what could move, hide or reorder text: control and format characters.
func clean(s string, lines bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' && lines:
			return r
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r), unicode.IsControl(r):
			return '�'
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

// escape makes s safe for Slack's markup and at most n characters long.
func escape(s string, n int) string {
	var b strings.Builder
	used := 0
	for i, r := range s {
		e := string(r)
		switch r {
		case '&':
			e = "&amp;"
		case '<':
			e = "&lt;"
		case '>':
			e = "&gt;"
		}
		w := utf8.RuneCountInString(e)
		if used+w > n || used+w == n && i+utf8.RuneLen(r) < len(s) {
			b.WriteString("…")
			break
		}
		b.WriteString(e)
		used += w
	}
	return b.String()
}

// words is running text on one line, at most n characters.
func words(s string, n int) string { return escape(quotes.Replace(clean(s, false)), n) }

// prose is running text that may have line ends, at most n characters.
func prose(s string, n int) string { return escape(quotes.Replace(clean(s, true)), n) }

// A backtick in foreign text would begin or end code.
var (
	ticks  = strings.NewReplacer("`", "ˋ")
	quotes = strings.NewReplacer("`", "'")
)

// code is one line of foreign text as code, at most n characters.
func code(s string, n int) string {
	s = strings.TrimSpace(ticks.Replace(clean(s, false)))
	if s == "" {
		return "``"[:0]
	}
	return "`" + escape(s, n-2) + "`"
}

// fence is foreign text as a block of code, at most n characters; cut tells that lines
// are missing.
func fence(lines []string, n int) (s string, cut bool) {
	left := n - 8
	var b strings.Builder
	for i, l := range lines {
		l = strings.TrimRight(escape(ticks.Replace(clean(l, false)), 400), " ")
		w := utf8.RuneCountInString(l) + 1
		if w > left-20 && i < len(lines)-1 || w > left {
			fmt.Fprintf(&b, "… %d more", len(lines)-i)
			cut = true
			break
		}
		left -= w
		b.WriteString(l + "\n")
	}
	if b.Len() == 0 {
		b.WriteString("-\n")
	}
	return "```\n" + strings.TrimRight(b.String(), "\n") + "\n```", cut
}

// whole is fence without any cutting; ok is false when it does not fit.
func whole(lines []string, n int) (s string, ok bool) {
	var b strings.Builder
	for _, l := range lines {
		if l != clean(l, false) || strings.Contains(l, "`") {
			return "", false // what is shown would not be what is sent
		}
		b.WriteString(escape(l, n+1) + "\n")
		if utf8.RuneCountInString(b.String()) > n-8 {
			return "", false
		}
	}
	return "```\n" + b.String() + "```", len(lines) > 0
}

// plain is text for plain_text objects, which know no markup: what would be read as
// markup by a careless client is replaced by look-alikes.
func plain(s string, n int) string {
	s = strings.TrimSpace(strings.NewReplacer("<", "‹", ">", "›", "&", "＆").Replace(clean(s, false)))
	if s == "" {
		s = "-"
	}
	return cut(s, n)
}

// cut shortens to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// mention names a person by id; anything else stands as words.
func mention(user string) string {
	if userID(user) {
		return "<@" + user + ">"
	}
	return words(user, 60)
}

func userID(s string) bool {
	if len(s) < 2 || len(s) > 30 || s[0] != 'U' && s[0] != 'W' {
		return false
	}
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// Took is a length of time as people say it.
func Took(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		if s := int(d.Seconds()) % 60; s != 0 && d < 10*time.Minute {
			return fmt.Sprintf("%d min %d s", int(d.Minutes()), s)
		}
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// Clock is a time of today, Stamp one with its date.
func Clock(t time.Time, loc *time.Location) string { return in(t, loc).Format("15:04:05 MST") }

// Stamp is a time with its date.
func Stamp(t time.Time, loc *time.Location) string { return in(t, loc).Format("2006-01-02 15:04 MST") }

func in(t time.Time, loc *time.Location) time.Time {
	if loc == nil {
		loc = time.UTC
	}
	return t.In(loc)
}
