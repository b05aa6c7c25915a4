package message

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vpnbot/bot/approval"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

var update = flag.Bool("update", false, "write the golden files")

var when = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// nasty draws text as strangers write it: markup, mentions, backticks, right-to-left
// overrides, emoji, control characters, broken UTF-8, and a lot of it.
func nasty(t *rapid.T, label string) string {
	pieces := []string{"london-pap", "<!channel>", "<@U000AMELIE>", "<https://evil.example|ok>", "```", "`", "*bold* _it_ ~no~", "&amp;", "<>&", "\u202e", "\u2066", "é", "👩‍👩‍👧", "مرحبا", "\x00", "\x1b[2J", "\xff\xfe", "\n", "\t", " ", "@here", ":fire:", strings.Repeat("x", 10_000), strings.Repeat("<", 4000), strings.Repeat("é", 3000), "'\"", ""}
	n := rapid.IntRange(0, 6).Draw(t, label)
	var b strings.Builder
	for range n {
		b.WriteString(rapid.SampledFrom(pieces).Draw(t, label))
	}
	return b.String()
}

func many[T any](t *rapid.T, label string, most int, f func() T) []T {
	n := rapid.IntRange(0, most).Draw(t, label)
	out := make([]T, n)
	for i := range out {
		out[i] = f()
	}
	return out
}

func anyReport(t *rapid.T) report.Report {
	s := func(l string) string { return nasty(t, l) }
	return report.Report{
		Tunnels: many(t, "tunnels", 2, func() report.Tunnel {
			stop := s("stopped")
			return report.Tunnel{Name: s("name"), State: report.State(s("state")), StoppedAt: &stop}
		}),
		Findings: many(t, "findings", 8, func() report.Finding {
			return report.Finding{
				ID: s("id"), Title: s("title"), Severity: report.Severity(s("sev")), Confidence: rapid.Float64Range(0, 1).Draw(t, "conf"), Explanation: s("expl"),
				Evidence: many(t, "evidence", 60, func() report.Evidence {
					return report.Evidence{Source: s("src"), Line: rapid.IntRange(0, 9).Draw(t, "line"), Text: s("text")}
				}),
				Actions: many(t, "actions", 8, func() report.Action {
					return report.Action{Class: report.Class(rapid.SampledFrom([]string{"approve", "advise", "evidence", "none", "?"}).Draw(t, "class")), Device: s("dev"), Commands: many(t, "cmds", 30, func() string { return s("cmd") }), Steps: many(t, "steps", 12, func() string { return s("step") }), Effect: s("eff")}
				}),
				Next:     many(t, "next", 4, func() report.Next { return report.Next{Collect: s("c"), Because: s("b"), Playbook: s("p")} }),
				Symptoms: many(t, "symptoms", 50, func() string { return s("sym") }), Reference: s("ref"),
			}
		}),
		Errors: many(t, "errors", 50, func() report.Error { return report.Error{Source: s("es"), Kind: s("ek"), Message: s("em")} }),
	}
}

func anyRows(t *rapid.T) []Row {
	n := rapid.SampledFrom([]int{0, 1, 7, 5000}).Draw(t, "rows")
	r := Row{Tunnel: nasty(t, "tunnel"), State: rapid.SampledFrom([]string{"up", "down", "flapping", "not seen yet", "\u202e<>"}).Draw(t, "rowstate"), Detail: nasty(t, "detail"), Since: when, MutedUntil: when.Add(time.Hour)}
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = r
	}
	return rows
}

func steps20(t *rapid.T) []playbooks.Update {
	return many(t, "steps", 30, func() playbooks.Update {
		return playbooks.Update{Step: nasty(t, "s"), About: nasty(t, "a"), State: playbooks.StepState(rapid.SampledFrom([]string{"running", "done", "odd"}).Draw(t, "ss")), Note: nasty(t, "n")}
	})
}

// views draws every view once, from nasty state.
func views(t *rapid.T) map[string]any {
	rep := anyReport(t)
	s := func(l string) string { return nasty(t, l) }
	run := Run{ID: s("id"), Playbook: s("playbook"), Tunnel: s("tunnel"), By: rapid.SampledFrom([]string{"U000AMELIE", "schedule", "<!channel>"}).Draw(t, "by"), Joined: many(t, "joined", 30, func() string { return "U000BORIS" }), Steps: steps20(t), Started: when, Ended: when.Add(time.Minute), Refusal: s("refusal"), CanAsk: true, Files: 3, Failed: s("failed")}
	done := run
	done.Report = &rep
	p := Proposal{
		Proposal: playbooks.Proposal{ID: s("pid"), Tunnel: s("pt"), Effect: s("eff"), Impact: s("imp"), Outage: s("out"), Backup: s("back"), Summary: s("sum"), Requester: "U000AMELIE", CreatedAt: when, ExpiresAt: when, EvidenceAge: when,
			Commands: many(t, "pc", 40, func() playbooks.ProposedCommand { return playbooks.ProposedCommand{Device: s("pd"), Line: s("pl")} })},
		State: rapid.SampledFrom(approval.States()).Draw(t, "pstate"), Approver: "U000BORIS", Reason: s("reason"), Steps: steps20(t), Approvers: many(t, "appr", 20, func() string { return "S000NETOPS" }), FourEyes: true,
		Outcome: playbooks.Outcome{Verified: rapid.SampledFrom([]string{"", "helped", "not-helped", "relapsed"}).Draw(t, "ver"), Before: s("bef"), After: s("aft")},
		Commands: many(t, "cs", 30, func() playbooks.CommandState {
			return playbooks.CommandState{Device: s("d"), Line: s("l"), State: "failed", Output: s("o")}
		}),
	}
	if len(rep.Findings) > 0 {
		p.Finding = rep.Findings[0]
	}
	rows := anyRows(t)
	h := History{Tunnel: s("ht"), State: s("hs"), Entries: many(t, "entries", 60, func() Entry { return Entry{At: when, Kind: s("k"), Text: s("t"), Who: s("w"), Approver: s("a")} })}
	pend := many(t, "pend", 40, func() PendingRow { return PendingRow{Tunnel: s("a"), Title: s("b"), Requester: s("c"), Expires: when} })
	out := map[string]any{
		"progress": Progress(run), "verdict": Verdict(done), "failed": Verdict(run), "proposal": ProposalCard(p),
		"status": Status(rows, s("filter"), when, when, nil), "baseline": Baseline(rows, many(t, "devs", 60, func() string { return s("dev") }), when, nil),
		"several": Several(s("what"), rows, when, nil), "swept": Swept("U000AMELIE", rows, nil, 3, when, when, 2, nil),
		"digest": Digest(rows, many(t, "lines", 400, func() string { return s("l") }), s("head"), when, when, nil),
		"alert":  AlertCard(Alert{Tunnel: s("at"), Before: s("ab"), After: rapid.SampledFrom([]string{"down", "up", "flapping", "<>"}).Draw(t, "after"), At: when, Lasted: time.Hour, Detail: s("ad")}),
		"shown":  Shown(s("st"), s("text")+strings.Repeat("a line\n", rapid.IntRange(0, 3000).Draw(t, "shown")), errors.New(s("err")), when, nil),
		"help":   Help(many(t, "help", 40, func() string { return s("h") }), s("extra")), "list": List(s("lt"), many(t, "list", 300, func() string { return s("i") }), "hint"),
		"explained": Explained(s("q"), strings.Repeat(s("m"), 3)), "pending": PendingList(pend, Words(s("why")), "C000", nil), "history": HistoryOf(h, nil),
		"ring": RingCard(Ring{Tunnel: s("rt"), By: "U000AMELIE", Since: when, Until: when, Started: rapid.Bool().Draw(t, "started"), Notes: many(t, "notes", 20, func() string { return s("rn") }), Command: "/vpn"}), "ring ended": RingCard(Ring{Tunnel: s("rt"), Ended: when, Why: s("why"), StoppedBy: "U000BORIS"}),
		"elsewhere": Elsewhere("C000"), "unknown": AfterUnknown(s("ut"), []string{"U000AMELIE"}, "U000BORIS", s("utext"), errors.New(s("uerr"))), "notice": Notice(Words(s("nw")) + Quote(s("nq"))),
		"home": Home(rows, 5000, pend, 50, "C000", when, when, nil), "reject": RejectReason(s("rp"), s("rt")),
	}
	if names := many(t, "names", 300, func() string { return s("pn") + "x" }); len(names) > 0 {
		out["pick"] = PickTunnel(s("meta"), names)
	}
	for i, m := range Details(s("dt"), rep) {
		out[fmt.Sprintf("details %d", i)] = m
	}
	return out
}

func TestNeverInvalid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for name, v := range views(t) {
			if errs := check(v); len(errs) > 0 {
				t.Fatalf("%s: %s", name, strings.Join(errs[:min(3, len(errs))], "\n"))
			}
		}
	})
}

// ours is the markup that views may contain: mentions of people and groups by id,
// channels by id. Nothing of it is drawn from device text.
var ours = regexp.MustCompile(`<@[UW][A-Z0-9]+>|<!subteam\^S[A-Z0-9]+>|<#C[A-Z0-9]+>`)

// check is written from Slack's reference (docs.slack.dev), apart from the code above.
func check(v any) (errs []string) {
	b, err := json.Marshal(v)
	if err != nil {
		return []string{err.Error()}
	}
	if !utf8.Valid(b) {
		errs = append(errs, "not UTF-8")
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return []string{err.Error()}
	}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Sprintf(format, args...)) }
	most := 50
	if m["type"] != nil {
		most = 100
	} else if s, _ := m["text"].(string); strings.TrimSpace(s) == "" || utf8.RuneCountInString(s) > 4000 || badMarkup(s) {
		bad("text: %.100q", s)
	}
	blocks, _ := m["blocks"].([]any)
	if len(blocks) == 0 || len(blocks) > most {
		bad("%d blocks", len(blocks))
	}
	ids := map[string]bool{}
	total := 0
	length := func(at string, v any, most int) {
		s, ok := v.(string)
		if n := utf8.RuneCountInString(s); !ok || n == 0 || n > most {
			bad("%s: %d characters of %d", at, n, most)
		}
		total += utf8.RuneCountInString(s)
	}
	text := func(at string, v any, most int, plainOnly bool) {
		o, ok := v.(map[string]any)
		if !ok {
			bad("%s: no text object", at)
			return
		}
		length(at, o["text"], most)
		s, _ := o["text"].(string)
		switch o["type"] {
		case "mrkdwn":
			if plainOnly {
				bad("%s must be plain_text", at)
			}
			if badMarkup(s) {
				bad("%s: markup in %.200q", at, s)
			}
		case "plain_text":
			if strings.ContainsAny(s, "<>&") {
				bad("%s: markup characters in plain text %.100q", at, s)
			}
		default:
			bad("%s: text type %v", at, o["type"])
		}
	}
	for i, x := range blocks {
		o := x.(map[string]any)
		at := fmt.Sprintf("block %d %v", i, o["type"])
		if id, _ := o["block_id"].(string); id != "" {
			if ids[id] || utf8.RuneCountInString(id) > 255 {
				bad("%s: block_id %.40q", at, id)
			}
			ids[id] = true
		}
		switch o["type"] {
		case "section":
			text(at, o["text"], 3000, false)
		case "context":
			els := o["elements"].([]any)
			if len(els) < 1 || len(els) > 10 {
				bad("%s: %d elements", at, len(els))
			}
			for _, e := range els {
				text(at, e, 2000, false)
			}
		case "divider":
		case "actions":
			els := o["elements"].([]any)
			if len(els) < 1 || len(els) > 25 {
				bad("%s: %d elements", at, len(els))
			}
			for _, e := range els {
				b := e.(map[string]any)
				text(at+" button", b["text"], 75, true)
				if s, _ := b["value"].(string); utf8.RuneCountInString(s) > 2000 {
					bad("%s: value", at)
				}
				if c, ok := b["confirm"].(map[string]any); ok {
					text(at+" confirm title", c["title"], 100, true)
					text(at+" confirm text", c["text"], 300, false)
					text(at+" confirm yes", c["confirm"], 30, true)
					text(at+" confirm no", c["deny"], 30, true)
				}
			}
		case "input":
			text(at, o["label"], 2000, true)
			if e := o["element"].(map[string]any); e["type"] == "static_select" {
				opts := e["options"].([]any)
				if len(opts) == 0 || len(opts) > 100 {
					bad("%s: %d options", at, len(opts))
				}
				for _, p := range opts {
					text(at+" option", p.(map[string]any)["text"], 75, true)
					length(at+" option value", p.(map[string]any)["value"], 150)
				}
			}
		default:
			bad("%s: unknown type", at)
		}
	}
	if m["type"] == nil && total > 12_000 {
		bad("%d characters in all", total)
	}
	if m["type"] == "modal" {
		text("title", m["title"], 24, true)
		text("submit", m["submit"], 24, true)
		if s, _ := m["private_metadata"].(string); utf8.RuneCountInString(s) > 3000 {
			bad("private_metadata: %d characters", utf8.RuneCountInString(s))
		}
	}
	return errs
}

// badMarkup tells whether a text has markup that is not ours, an entity cut in half, an
// invisible character, or a code span that does not end.
func badMarkup(s string) bool {
	rest := ours.ReplaceAllString(s, "")
	if strings.ContainsAny(rest, "<>") {
		return true
	}
	for _, e := range []string{"&amp;", "&lt;", "&gt;"} {
		rest = strings.ReplaceAll(rest, e, "")
	}
	if strings.Contains(rest, "&") || strings.ContainsAny(s, "\u202e\u2066\x00\x1b") {
		return true
	}
	return strings.Count(s, "`")%2 != 0
}

func TestGolden(t *testing.T) {
	seventeen := 17
	am := "XAUTH"
	rep := report.Report{
		Tunnels: []report.Tunnel{{Name: "london-pap", State: report.Down, StoppedAt: &am}},
		Findings: []report.Finding{{
			ID: "fragments-lost", Title: "The path drops IP fragments", Severity: report.Critical, Confidence: 0.93, Explanation: "Both ends wait: the second fragment never arrives.",
			Evidence: []report.Evidence{{Source: "hq-asa: show crypto isakmp sa", Line: 12, Text: "State : AM_TM_INIT_MODECFG_V6H <&>"}, {Source: "captures/hq.pcap", Packet: &seventeen, Text: "fragment 2 of 2 left and never arrived"}},
			Actions:  []report.Action{{Class: report.Advise, Steps: []string{"Ask the ISP to let fragments pass."}}, {Class: report.Advise, Device: "hq-asa", Commands: []string{"crypto ipsec fragmentation before-encryption"}, Effect: "none until the next rekey"}},
			Next:     []report.Next{{Collect: "capture at both ends", Because: "names the hop", Playbook: "capture-both-ends"}},
		}},
		Errors: []report.Error{{Source: "pap-asa", Kind: "timeout", Message: "show running-config: no answer within 30 s"}},
	}
	run := Run{ID: "0123456789abcdef", Playbook: "diagnose", Tunnel: "london-pap", By: "U000AMELIE", Started: when, Steps: []playbooks.Update{{Step: "read", About: "read both ends", State: playbooks.Done, Note: "hq-asa: 6 outputs"}, {Step: "first", About: "find the cause", State: playbooks.Running}}}
	done := run
	done.Report, done.Ended, done.Files = &rep, when.Add(83*time.Second), 3
	prop := Proposal{
		Proposal: playbooks.Proposal{ID: "feedbeef00112233", Tunnel: "london-lima", Finding: report.Finding{Title: "Stale SA", Severity: report.Critical, Confidence: 0.9}, Effect: "Drops london-lima for about 5 s.", Impact: "hq-asa: 1 IKE SA and 2 IPsec SAs (inbound SPI 0x1A2B3C4D, 0x1A2B3C4E) with 203.0.113.20; so far 4711 packets out, 12 in; no user of a client", Outage: "none beyond the one that is there; the next traffic negotiates it again", Backup: "none is configured", Summary: "hq-asa: MM_ACTIVE; lima-rtr: no SA", Requester: "U000AMELIE", CreatedAt: when, ExpiresAt: when.Add(15 * time.Minute), EvidenceAge: when,
			Commands: []playbooks.ProposedCommand{{Device: "hq-asa", Line: "clear crypto isakmp sa 203.0.113.20"}}},
		State: approval.Proposed, Approvers: []string{"S000NETOPS", "U000CHIARA"}, FourEyes: true,
	}
	after := prop
	after.State, after.Approver, after.ApprovedAt = approval.Succeeded, "U000BORIS", when.Add(time.Minute)
	after.Outcome = playbooks.Outcome{Verified: "helped", Before: "hq-asa: MM_ACTIVE\nlima-rtr: no SA", After: "hq-asa: MM_ACTIVE\nlima-rtr: QM_IDLE"}
	after.Commands = []playbooks.CommandState{{Device: "hq-asa", Line: "clear crypto isakmp sa 203.0.113.20", State: "succeeded"}}
	for name, m := range map[string]Message{
		"progress": Progress(run), "verdict": Verdict(done), "proposed": ProposalCard(prop), "succeeded": ProposalCard(after),
		"down": AlertCard(Alert{Tunnel: "london-oslo", Before: "up", After: "down", At: when, Lasted: 3 * time.Hour}),
		"back": AlertCard(Alert{Tunnel: "london-oslo", Before: "up", After: "down", At: when, Ended: when.Add(12 * time.Minute), EndedAs: "up", Outage: 12 * time.Minute}),
	} {
		t.Run(name, func(t *testing.T) {
			if errs := check(m); len(errs) > 0 {
				t.Error(errs)
			}
			b, err := json.MarshalIndent(m, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(b)+"\n"); d != "" {
				t.Errorf("changed (-want +got); run with -update when it shall be so:\n%s", d)
			}
		})
	}
}

// A proposal whose commands cannot be shown exactly has no approve button.
func TestNoButtonWithoutTheWholeCommand(t *testing.T) {
	for _, c := range []struct {
		name, line string
		button     bool
	}{
		{"plain", "clear crypto isakmp sa 203.0.113.20", true},
		{"markup is shown escaped", "clear crypto session remote a<b", true},
		{"too long", "clear " + strings.Repeat("x", 3000), false},
		{"reordered", "clear \u202e02.311.0.302", false},
		{"invisible", "clear a\u200bb", false},
		{"control", "clear a\x07", false},
		{"two lines", "clear a\nreload", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ProposalCard(Proposal{State: approval.Proposed, Proposal: playbooks.Proposal{ID: "x", Tunnel: "t", Commands: []playbooks.ProposedCommand{{Device: "hq", Line: c.line}}}})
			if got := strings.Contains(string(m.JSON()), "approval.approve"); got != c.button {
				t.Errorf("button %v, want %v", got, c.button)
			}
		})
	}
}
