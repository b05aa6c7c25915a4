package diag_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/tools/txtar"

	"vpnbot/diag/report"
)

// A surface is a way in which the same text reaches us: it changes what mail programs,
// terminals, syslog servers and people change, and none of what the text says.
type surface struct {
	name   string
	change func([]txtar.File) []txtar.File
}

// eachText changes the text files and leaves captures and what describes a device alone.
func eachText(change func(name, text string) (string, []byte)) func([]txtar.File) []txtar.File {
	return func(files []txtar.File) (out []txtar.File) {
		for _, f := range files {
			if plain(f) {
				f.Name, f.Data = change(f.Name, string(f.Data))
			}
			out = append(out, f)
		}
		return out
	}
}

func plain(f txtar.File) bool {
	return !strings.HasSuffix(f.Name, ".yaml") && utf8.Valid(f.Data) && !bytes.ContainsRune(f.Data, 0)
}

func lines(change func(line string) string) func([]txtar.File) []txtar.File {
	return eachText(func(name, text string) (string, []byte) {
		ls := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		for i, l := range ls {
			ls[i] = change(l)
		}
		return name, []byte(strings.Join(ls, "\n") + "\n")
	})
}

var (
	asaHeader = regexp.MustCompile(`^(?:<\d+>)?(?:(\w{3}) +(\d+) (?:(\d{4}) )?|(\d{4})-(\d\d)-(\d\d)T)(\d\d:\d\d:\d\d)(?:\.\d+)?Z?:? (?:\S+ ?)??:? ?(%(?:ASA|PIX|FWSM)-\d-\d{6}: .*)$`)
	months    = []string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}
)

// header writes the head of an ASA's log line anew; other lines stay.
func header(format func(year, month, day int, clock, message string) string) func(string) string {
	return func(l string) string {
		m := asaHeader.FindStringSubmatch(strings.TrimSuffix(l, "\r"))
		if m == nil {
			return l
		}
		year, month, day := 2026, 1, 1
		if m[4] != "" {
			fmt.Sscan(m[4], &year)
			fmt.Sscanf(m[5]+" "+m[6], "%d %d", &month, &day)
		} else {
			month = slices.Index(months, m[1]) + 1
			fmt.Sscan(m[2], &day)
			if m[3] != "" {
				fmt.Sscan(m[3], &year)
			}
		}
		if month < 1 {
			return l
		}
		return format(year, month, day, m[7], m[8])
	}
}

var prompt = regexp.MustCompile(`(?m)^([A-Za-z][\w.-]*)((?:/[a-z]+)*)([#>]) ?((?:sh|do sh|pi|cl|ter|en|deb|te)[a-z]*( .*)?)?$`)

// wrap breaks a line at a width: at a blank when a mail program does it, anywhere else.
func wrap(l string, width int, atBlank bool) string {
	var out []string
	for len(l) > width {
		cut := width
		if atBlank {
			if i := strings.LastIndexByte(l[:width], ' '); i > 20 {
				cut = i
			} else {
				break
			}
		}
		out = append(out, l[:cut])
		l = l[cut:]
		if atBlank {
			l = strings.TrimPrefix(l, " ")
		}
	}
	return strings.Join(append(out, l), "\n")
}

var surfaces = []surface{
	{"crlf", lines(func(l string) string { return strings.TrimSuffix(l, "\r") + "\r" })},
	{"utf-16", eachText(func(n, s string) (string, []byte) {
		b := []byte{0xff, 0xfe}
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return n, b
	})},
	{"latin-1", eachText(func(n, s string) (string, []byte) {
		return n, []byte("Störung, g\xfcltig ab sofort\n" + s + "Gru\xdf\n")
	})},
	{"trailing blanks", lines(func(l string) string { return strings.TrimSuffix(l, "\r") + "  " })},
	{"quoted", lines(func(l string) string { return "> " + l })},
	{"quoted with a bar", lines(func(l string) string { return "| " + l })},
	{"indented", lines(func(l string) string { return "    " + l })},
	{"tab", lines(func(l string) string { return "\t" + l })},
	{"double spaced", lines(func(l string) string { return l + "\n" })},
	{"paged", eachText(func(n, s string) (string, []byte) {
		ls := strings.Split(s, "\n")
		for i := 23; i < len(ls); i += 23 {
			ls[i] = "<--- More --->\r              \r" + ls[i]
		}
		return n, []byte(strings.Join(ls, "\n"))
	})},
	{"paged, IOS", eachText(func(n, s string) (string, []byte) {
		ls := strings.Split(s, "\n")
		for i := 23; i < len(ls); i += 23 {
			ls[i] = " --More-- \b\b\b\b\b\b\b\b\b        \b\b\b\b\b\b\b\b\b" + ls[i]
		}
		return n, []byte(strings.Join(ls, "\n"))
	})},
	{"mailed", eachText(func(n, s string) (string, []byte) {
		return n, []byte("Hi all,\n\nthis is what I see, can somebody have a look please?\n\n" + s + "\nThanks,\nJo\n-- \nJo Miller, Network Operations, +44 20 7946 0000\n")
	})},
	{"mailed in a code block", eachText(func(n, s string) (string, []byte) {
		return n, []byte("Output of the box:\n```\n" + s + "```\n")
	})},
	{"wrapped at 80 by a terminal", lines(func(l string) string {
		if asaHeader.MatchString(l) {
			return wrap(l, 80, false)
		}
		return l
	})},
	{"wrapped at 76 by a mail program", lines(func(l string) string {
		if asaHeader.MatchString(l) {
			return wrap(l, 76, true)
		}
		return l
	})},
	{"log with priority", lines(header(func(_, _, _ int, _, m string) string { return "<166>" + m }))},
	{"log of a syslog server", lines(header(func(y, mo, d int, c, m string) string {
		return fmt.Sprintf("%s %2d %s 192.0.2.1 %s %02d %d %s: %s", months[mo-1], d, c, months[mo-1], d, y, c, m)
	}))},
	{"log, RFC 5424", lines(header(func(y, mo, d int, c, m string) string {
		return fmt.Sprintf("<166>1 %04d-%02d-%02dT%s.000Z fw - - - - : %s", y, mo, d, c, m)
	}))},
	{"log, RFC 3339", lines(header(func(y, mo, d int, c, m string) string {
		return fmt.Sprintf("%04d-%02d-%02dT%s+00:00 fw %s", y, mo, d, c, m)
	}))},
	{"log of ASDM", lines(header(func(y, mo, d int, c, m string) string {
		return fmt.Sprintf("%s|%s %02d %d|%s|%s||||%s", m[5:6], months[mo-1], d, y, c, m[7:13], strings.TrimSpace(m[14:]))
	}))},
	{"log without host", lines(header(func(y, mo, d int, c, m string) string {
		return fmt.Sprintf("%s %02d %d %s: %s", months[mo-1], d, y, c, m)
	}))},
	{"files renamed", func(files []txtar.File) (out []txtar.File) {
		for i, f := range files {
			if plain(f) && !strings.HasPrefix(filepath.Base(f.Name), "show") {
				f.Name = filepath.Join(filepath.Dir(f.Name), fmt.Sprintf("putty %d.log", i))
			}
			out = append(out, f)
		}
		return out
	}},
	{"one file per device", func(files []txtar.File) (out []txtar.File) {
		at := map[string]int{}
		for _, f := range files {
			d := filepath.Dir(f.Name)
			if !plain(f) || strings.HasPrefix(filepath.Base(f.Name), "show") {
				out = append(out, f)
			} else if i, ok := at[d]; ok {
				out[i].Data = append(slices.Clone(out[i].Data), f.Data...)
			} else {
				at[d] = len(out)
				out = append(out, f)
			}
		}
		return out
	}},
	{"prompt of a failover unit", eachText(func(n, s string) (string, []byte) {
		return n, []byte(prompt.ReplaceAllStringFunc(s, func(l string) string {
			m := prompt.FindStringSubmatch(l)
			if m[2] != "" {
				return l
			}
			return m[1] + "/pri/act" + m[3] + " " + m[4]
		}))
	})},
	{"prompt without a blank", eachText(func(n, s string) (string, []byte) {
		return n, []byte(prompt.ReplaceAllString(s, "$1$2$3$4"))
	})},
}

// TestSurfaces: what is found does not depend on how the text came here. Every surface
// meets a part of the cases, another one each; VPNBOT_SURFACES=all tries all of them. One in
// twenty may differ: some cases are about their own surface (times, what was cut off).
func TestSurfaces(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	every := 25
	if os.Getenv("VPNBOT_SURFACES") == "all" {
		every = 1
	}
	for k, s := range surfaces {
		t.Run(s.name, func(t *testing.T) {
			same, all := 0, 0
			for i, file := range files {
				if i%every != k%every {
					continue
				}
				a, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				before := first(diagnose(t, spread(t, a.Files)).Report)
				after := first(diagnose(t, spread(t, s.change(a.Files))).Report)
				all++
				if before == after {
					same++
				} else {
					t.Logf("%s: %s, was %s", strings.TrimPrefix(file, "testdata/cases/"), after, before)
				}
			}
			t.Logf("%d of %d", same, all)
			if 20*same < 19*all {
				t.Errorf("only %d of %d cases are judged as before", same, all)
			}
		})
	}
}

// first is what stands first, and on which tunnel.
func first(r report.Report) string {
	if len(r.Findings) == 0 {
		return "nothing"
	}
	return r.Findings[0].ID
}

// spread writes files into a folder of their own.
func spread(t *testing.T, files []txtar.File) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		p := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
