package diag_test

import (
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"vpnbot/diag/report"
)

// running is a whole configuration within a text: the line of its command (-1 when it has
// none), its first line and the line behind its last.
type running struct{ command, from, to int }

var (
	runHead   = regexp.MustCompile(`^(: Saved|ASA Version |PIX Version |Building configuration|Current configuration|version 1[0-9])`)
	runEnd    = regexp.MustCompile(`^(: end|end)\s*$`)
	runPrompt = regexp.MustCompile(`^[A-Za-z][\w./-]*[#>] ?`)
)

// findRunning finds a configuration of some length in a text.
func findRunning(lines []string) (running, bool) {
	r := running{command: -1, from: slices.IndexFunc(lines, runHead.MatchString)}
	if r.from < 0 {
		return r, false
	}
	for i := r.from - 1; i >= max(0, r.from-4); i-- {
		if runPrompt.MatchString(lines[i]) && strings.Contains(lines[i], "run") {
			r.command = i
		}
	}
	r.to = len(lines)
	for i := r.from + 1; i < len(lines); i++ {
		if runEnd.MatchString(lines[i]) {
			r.to = i + 1
			break
		}
		if runPrompt.MatchString(lines[i]) {
			r.to = i
			break
		}
	}
	return r, r.to-r.from > 20
}

// part makes a part of a configuration as people paste it, and the command that prints it ("" when
// the end is missing only).
type part struct {
	name string
	make func(cfg []string, rnd *rand.Rand) (command string, out []string)
}

func include(pattern string) part {
	re := regexp.MustCompile(pattern)
	return part{"include " + pattern, func(cfg []string, _ *rand.Rand) (string, []string) {
		return "show running-config | include " + pattern, slices.DeleteFunc(slices.Clone(cfg), func(l string) bool { return !re.MatchString(l) })
	}}
}

// section prints the top-level lines with a pattern and what stands under them.
func section(command, pattern string) part {
	re := regexp.MustCompile(pattern)
	return part{command, func(cfg []string, _ *rand.Rand) (string, []string) {
		var out []string
		keep := false
		for _, l := range cfg {
			if !strings.HasPrefix(l, " ") {
				keep = re.MatchString(l)
			}
			if keep && l != "!" {
				out = append(out, l)
			}
		}
		return command, out
	}}
}

var parts = []part{
	include(`crypto map`), include(`crypto`), include(`set peer`), include(`match address`), include(`access-list`), include(`tunnel-group`), include(`group-policy`),
	include(`nat`), include(`route`), include(`policy|encryption|hash|group|authentication`), include(`isakmp|ikev1`), include(`peer|match`), include(`keepalive`), include(`interface`),
	section("show running-config crypto map", `^crypto (dynamic-)?map`), section("show running-config crypto", `^crypto`), section("show running-config access-list", `^access-list`),
	section("show running-config tunnel-group", `^tunnel-group`), section("show running-config group-policy", `^group-policy`), section("show running-config nat", `^nat`),
	section("show running-config object", `^object`), section("show running-config interface", `^interface`), section("show running-config | section crypto", `crypto`),
	section("show running-config | section isakmp", `isakmp`), section("show running-config | section interface", `^interface`), section("show running-config | section access-list", `access-list`),
	{"begin crypto", func(cfg []string, _ *rand.Rand) (string, []string) {
		i := slices.IndexFunc(cfg, func(l string) bool { return strings.HasPrefix(l, "crypto") })
		return "show running-config | begin crypto", cfg[max(i, 0):]
	}},
	{"cut", func(cfg []string, rnd *rand.Rand) (string, []string) { return "", cfg[:10+rnd.IntN(len(cfg)-10)] }},
	{"cut within a line", func(cfg []string, rnd *rand.Rand) (string, []string) {
		out := slices.Clone(cfg[:10+rnd.IntN(len(cfg)-10)])
		last := &out[len(out)-1]
		*last = (*last)[:len(*last)/2]
		return "", out
	}},
	{"left at the pager", func(cfg []string, rnd *rand.Rand) (string, []string) {
		return "", append(slices.Clone(cfg[:10+rnd.IntN(len(cfg)-10)]), "<--- More --->")
	}},
	{"head lost", func(cfg []string, rnd *rand.Rand) (string, []string) { return "", cfg[5+rnd.IntN(len(cfg)-10):] }},
}

// perConfig is how many parts are made of one configuration.
const perConfig = 3

// TestParts: a part of a healthy configuration is no fault. What a filter, a section or a cut left
// out was not said to be absent.
func TestParts(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	all, wrong := 0, 0
	for _, file := range files {
		x, dir := unpack(t, file)
		if !x.Healthy {
			continue
		}
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// Each case has its own parts, whatever others are added.
		seed := fnv.New64()
		seed.Write([]byte(file))
		rnd := rand.New(rand.NewPCG(seed.Sum64(), 9))
		fine := map[string]bool{"tunnel-healthy": true, x.Condition: true}
		for _, id := range x.Accept {
			fine[id] = true
		}
		for _, f := range diagnose(t, dir).Report.Findings {
			fine[f.ID] = true
		}
		for k, f := range a.Files {
			ls := strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n")
			r, ok := findRunning(ls)
			if !ok {
				continue
			}
			// What the whole configuration says by itself, a part may say as well.
			alone := []txtar.File{{Name: f.Name, Data: []byte(strings.Join(ls[r.from:r.to], "\n") + "\n")}}
			for _, g := range a.Files {
				if filepath.Dir(g.Name) == filepath.Dir(f.Name) && !plain(g) {
					alone = append(alone, g)
				}
			}
			for _, f := range diagnose(t, spread(t, alone)).Report.Findings {
				fine[f.ID] = true
			}
			for n := range perConfig {
				p := parts[rnd.IntN(len(parts))]
				command, out := p.make(ls[r.from:r.to], rnd)
				prompt := "gw# "
				if r.command >= 0 {
					prompt = runPrompt.FindString(ls[r.command])
				}
				switch {
				case command != "":
					out = append([]string{prompt + command}, append(out, prompt)...)
				case r.command >= 0 && p.name != "head lost":
					out = append([]string{ls[r.command]}, out...)
				}
				from, to := 1, len(out)
				bundle := slices.Clone(alone) // the part alone
				if n%2 == 1 {                 // beside everything else
					head := ls[:r.from]
					if r.command >= 0 {
						head = ls[:r.command]
					}
					from, to = len(head)+1, len(head)+len(out)
					out = slices.Concat(head, out, ls[r.to:])
					bundle = slices.Clone(a.Files)
					bundle[0], bundle[k] = bundle[k], bundle[0]
				}
				bundle[0].Data = []byte(strings.Join(out, "\n") + "\n")
				all++
				for _, g := range diagnose(t, spread(t, bundle)).Report.Findings {
					rests := slices.ContainsFunc(g.Evidence, func(e report.Evidence) bool {
						return e.Source == bundle[0].Name && e.Line >= from && e.Line <= to
					})
					if rests && !fine[g.ID] {
						wrong++
						t.Errorf("%s, %s: %s (%.2f) %s\n%v", strings.TrimPrefix(file, "testdata/cases/"), p.name, g.ID, g.Confidence, g.Title, g.Evidence)
					}
				}
			}
		}
	}
	t.Logf("%d parts, %d false findings", all, wrong)
	if all < 300 {
		t.Errorf("only %d parts were made", all)
	}
}
