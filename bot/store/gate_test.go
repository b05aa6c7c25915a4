package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/bot/schedule"
	"vpnbot/playbooks"
)

func cutLine(s string) (device, line string, ok bool) { return strings.Cut(s, ": ") }

func sum(line string) [32]byte { return sha256.Sum256([]byte(line)) }

const clear1, clear2 = "clear crypto isakmp sa 203.0.113.20", "clear crypto ipsec sa peer 203.0.113.20"

// code is the refusal's code, "" for yes, "error" for anything else.
func code(err error) string {
	var r *approval.Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.Code
	}
	return "error: " + err.Error()
}

// A story is told step by step; each step's answer is compared.
func TestGate(t *testing.T) {
	friday, err := schedule.Parse("0 17 * * 5", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	type story struct {
		t *testing.T
		*Store
		c *clock
	}
	ctx := context.Background()
	take := func(s story) {
		s.t.Helper()
		if p, err := s.TakeApproved(ctx); err != nil || p == nil {
			s.t.Fatalf("take: %v, %v", p, err)
		}
	}
	want := func(s story, got error, code_ string) {
		s.t.Helper()
		if c := code(got); c != code_ {
			s.t.Errorf("answer %q (%v), want %q", c, got, code_)
		}
	}
	state := func(s story, id string, st approval.State) {
		s.t.Helper()
		p, err := s.Proposal(ctx, id)
		if err != nil || p.State != st {
			s.t.Errorf("%s is %s (%v), want %s", id, p.State, err, st)
		}
	}
	for _, c := range []struct {
		name   string
		policy func(*approval.Policy)
		tell   func(s story)
	}{
		{"approved, claimed once, never again", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "command")
			state(s, "p", approval.Running)
			if _, err := s.Finish(ctx, "p", playbooks.Outcome{State: "succeeded", Verified: "helped"}); err != nil {
				s.t.Error(err)
			}
			state(s, "p", approval.Succeeded)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "state")
		}},
		{"nothing without an approval", nil, func(s story) {
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "state")
			want(s, s.Claim(ctx, "nosuch", "hq-asa", sum(clear1)), "gone")
			state(s, "p", approval.Proposed)
		}},
		{"other bytes", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum("clear crypto isakmp sa")), "command")
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1+" ")), "command")
			want(s, s.Claim(ctx, "p", "lima-rtr", sum(clear1)), "command")
			state(s, "p", approval.Approved)
		}},
		{"not taken by this process", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "owner")
		}},
		{"the requester cannot approve", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0ASKED", "test"), "four-eyes")
			state(s, "p", approval.Proposed)
		}},
		{"nor who joined the run", nil, func(s story) {
			if _, _, err := s.Begin(ctx, playbooks.Request{Run: "r2", Tunnel: "other", By: "U0ONE", Human: true}, "c"); err != nil {
				s.t.Fatal(err)
			}
			if _, began, err := s.Begin(ctx, playbooks.Request{Run: "r3", Tunnel: "other", By: "U0TWO", Human: true}, "c"); err != nil || began {
				s.t.Fatal(began, err)
			}
			p := proposal("p2", "other")
			p.Run, p.Requester = "r2", "U0ONE"
			if err := s.Propose(ctx, p); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "p2", "U0TWO", "test"), "four-eyes")
			want(s, s.Approve(ctx, "p2", "U0THREE", "test"), "")
		}},
		{"without four eyes the requester may", func(p *approval.Policy) { p.FourEyes = false }, func(s story) {
			want(s, s.Approve(ctx, "p", "U0ASKED", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
		}},
		{"a double click of two people counts once", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			want(s, s.Approve(ctx, "p", "U0THIRD", "test"), "state")
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "state")
			p, _ := s.Proposal(ctx, "p")
			if p.Approver != "U0OTHER" {
				s.t.Errorf("approver %s", p.Approver)
			}
		}},
		{"expired by the click", nil, func(s story) {
			s.c.advance(15 * time.Minute)
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "expired")
			state(s, "p", approval.Expired)
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "expired")
		}},
		{"expired by the clock", nil, func(s story) {
			s.c.advance(15 * time.Minute)
			if err := s.Expire(ctx); err != nil {
				s.t.Error(err)
			}
			state(s, "p", approval.Expired)
		}},
		{"not begun within two minutes", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			s.c.advance(2 * time.Minute)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "expired")
			state(s, "p", approval.Expired)
		}},
		{"a clock that jumped back is late too", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			s.c.advance(-time.Hour)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "expired")
			state(s, "p", approval.Expired)
		}},
		{"a clock that jumped back before the click: nobody knows how old the evidence is", nil, func(s story) {
			s.c.advance(-time.Hour)
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "expired")
			state(s, "p", approval.Expired)
		}},
		{"a clock that jumped back ends what waits", nil, func(s story) {
			if err := s.Propose(ctx, proposal("q", "other")); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			s.c.advance(-time.Hour)
			if err := s.Expire(ctx); err != nil {
				s.t.Error(err)
			}
			state(s, "p", approval.Expired)
			state(s, "q", approval.Expired)
		}},
		{"one repair per tunnel, however many may run", func(p *approval.Policy) { p.MaxRunning = 5 }, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			if err := s.Propose(ctx, proposal("q", "london-lima", "lima-rtr: "+clear2)); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "busy")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "busy")
			s.Finish(ctx, "p", playbooks.Outcome{State: "succeeded"})
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "")
		}},
		{"the second command comes too late", nil, func(s story) {
			if err := s.Propose(ctx, proposal("q", "other", "hq-asa: "+clear1, "lima-rtr: "+clear2)); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "q", "hq-asa", sum(clear1)), "")
			s.c.advance(2 * time.Minute)
			want(s, s.Claim(ctx, "q", "lima-rtr", sum(clear2)), "expired")
			state(s, "q", approval.Running)
		}},
		{"a process that was taken for dead claims nothing until it registered again", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			if _, err := s.db.Exec(`UPDATE instances SET ended_at = 1`); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "owner")
			if _, err := s.Recover(ctx); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
		}},
		{"newer evidence: the same finding leaves it open, another ends it", nil, func(s story) {
			p := proposal("q", "other")
			p.Finding.ID = "stale-sa"
			if err := s.Propose(ctx, p); err != nil {
				s.t.Fatal(err)
			}
			if n, err := s.Supersede(ctx, "other", "stale-sa", "x"); n != 0 || err != nil {
				s.t.Errorf("%d, %v", n, err)
			}
			state(s, "q", approval.Proposed)
			if n, err := s.Supersede(ctx, "other", "psk-mismatch", "x"); n != 1 || err != nil {
				s.t.Errorf("%d, %v", n, err)
			}
			state(s, "q", approval.Superseded)
			state(s, "p", approval.Proposed)
		}},
		{"what the devices took is not unknown when its process dies, and is never sent again", nil, func(s story) {
			if err := s.Propose(ctx, proposal("q", "t", "hq-asa: "+clear1, "lima-rtr: "+clear2)); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "")
			take(s)
			said := playbooks.Outcome{State: "succeeded", Commands: []playbooks.CommandState{{Device: "hq-asa", Line: clear1, State: "succeeded"}, {Device: "lima-rtr", Line: clear2, State: "not sent"}}}
			want(s, s.Accepted(ctx, "q", said), "state") // nothing was claimed
			want(s, s.Claim(ctx, "q", "hq-asa", sum(clear1)), "")
			want(s, s.Accepted(ctx, "q", said), "")
			want(s, s.Claim(ctx, "q", "lima-rtr", sum(clear2)), "command") // it was gone already
			if p, err := s.TakeAccepted(ctx); p != nil || err != nil {
				s.t.Errorf("taken from the living: %v, %v", p, err)
			}
			if _, err := s.db.Exec(`UPDATE proposals SET owner = 'dead' WHERE id = 'q'`); err != nil {
				s.t.Fatal(err)
			}
			if _, err := s.db.Exec(`INSERT INTO instances (id, started_at) VALUES ('dead', 1)`); err != nil {
				s.t.Fatal(err)
			}
			if lost, err := s.Recover(ctx); len(lost) != 0 || err != nil {
				s.t.Errorf("%v became unknown, %v", lost, err)
			}
			state(s, "q", approval.Running)
			p, err := s.TakeAccepted(ctx)
			if err != nil || p == nil || p.ID != "q" || p.Accepted == nil || len(p.Accepted.Commands) != 2 {
				s.t.Fatalf("%+v, %v", p, err)
			}
			want(s, s.Claim(ctx, "q", "lima-rtr", sum(clear2)), "command")
			p.Accepted.Verified = "helped"
			if end, err := s.Finish(ctx, "q", *p.Accepted); err != nil || end.State != approval.Succeeded || end.Outcome.Verified != "helped" {
				s.t.Errorf("%+v, %v", end, err)
			}
			if at, err := s.LastRepair(ctx, "t"); err != nil || at.IsZero() {
				s.t.Errorf("last repair %v, %v", at, err)
			}
			if at, err := s.LastRepair(ctx, "another"); err != nil || !at.IsZero() {
				s.t.Errorf("last repair of another %v, %v", at, err)
			}
		}},
		{"a look at the devices after unknown is owed until it is written down", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
			if _, err := s.Finish(ctx, "p", playbooks.Outcome{State: "unknown"}); err != nil {
				s.t.Fatal(err)
			}
			if ps, err := s.UnknownUnseen(ctx); err != nil || len(ps) != 1 || ps[0].ID != "p" {
				s.t.Errorf("%v, %v", ps, err)
			}
			if err := s.Put(ctx, Message{Key: "unknown:p", Kind: "post", Channel: "C", Body: []byte("{}")}); err != nil {
				s.t.Fatal(err)
			}
			if ps, err := s.UnknownUnseen(ctx); err != nil || len(ps) != 0 {
				s.t.Errorf("%v, %v", ps, err)
			}
		}},
		{"the audit trail says who, by which way, and exactly what", nil, func(s story) {
			s.Approve(ctx, "p", "U0ASKED", "slack T0 C0 1.2 action:x")
			want(s, s.Approve(ctx, "p", "U0OTHER", "slack T0 C0 1.2 action:y"), "")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
			s.Finish(ctx, "p", playbooks.Outcome{State: "succeeded", Commands: []playbooks.CommandState{{Device: "hq-asa", Line: clear1, State: "succeeded", SHA256Output: "abc123"}}})
			var trail []string
			if err := s.Audit(ctx, func(r Record) error {
				trail = append(trail, r.Actor+" "+r.Action+" "+string(r.Details))
				return nil
			}); err != nil {
				s.t.Fatal(err)
			}
			all := strings.Join(trail, "\n")
			for _, w := range []string{
				"U0ASKED proposal.proposed", "U0ASKED proposal.refused", `"code":"four-eyes"`, "action:x", "U0OTHER proposal.approved", "slack T0 C0 1.2 action:y",
				"vpnbot proposal.running", "vpnbot command.running", `"line":"` + clear1 + `"`, `"approver":"U0OTHER"`, `"requester":"U0ASKED"`, `"output_sha256":"abc123"`, "vpnbot proposal.succeeded",
			} {
				if !strings.Contains(all, w) {
					s.t.Errorf("the trail does not say %s:\n%s", w, all)
				}
			}
		}},
		{"paused before the click, and after it", nil, func(s story) {
			if err := s.SetPause(ctx, "U0ADMIN", &Pause{By: "U0ADMIN", Reason: "storm"}); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "paused")
			state(s, "p", approval.Proposed)
			s.SetPause(ctx, "U0ADMIN", nil)
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			s.SetPause(ctx, "U0ADMIN", &Pause{By: "U0ADMIN"})
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "paused")
			state(s, "p", approval.Approved)
		}},
		{"freeze window", func(p *approval.Policy) {
			p.Freeze = []approval.Window{{Schedule: friday, For: 60 * time.Hour, Reason: "weekend"}}
		}, func(s story) {
			s.c.us.Store(time.Date(2026, 3, 6, 16, 59, 0, 0, time.UTC).UnixMicro())
			if err := s.Propose(ctx, proposal("f", "frozen")); err != nil {
				s.t.Fatal(err)
			}
			s.c.advance(time.Minute)
			want(s, s.Approve(ctx, "f", "U0OTHER", "test"), "freeze")
			state(s, "f", approval.Proposed)
		}},
		{"read-only install", func(p *approval.Policy) { p.Enabled = false }, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "disabled")
		}},
		{"one at a time", nil, func(s story) {
			if err := s.Propose(ctx, proposal("q", "other")); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "busy")
			state(s, "q", approval.Proposed)
		}},
		{"limit per tunnel and hour", func(p *approval.Policy) { p.PerTunnel = 1 }, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
			s.Finish(ctx, "p", playbooks.Outcome{State: "succeeded"})
			if err := s.Propose(ctx, proposal("q", "london-lima")); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "limit-tunnel")
			s.c.advance(61 * time.Minute)
			if err := s.Propose(ctx, proposal("r", "london-lima")); err != nil {
				s.t.Fatal(err)
			}
			state(s, "q", approval.Superseded)
			want(s, s.Approve(ctx, "r", "U0OTHER", "test"), "")
		}},
		{"limit per device and hour", func(p *approval.Policy) { p.PerDevice = 1 }, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
			s.Finish(ctx, "p", playbooks.Outcome{State: "succeeded"})
			if err := s.Propose(ctx, proposal("q", "other")); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "limit-device")
		}},
		{"two commands in their order, the second only after the first was accepted", nil, func(s story) {
			if err := s.Propose(ctx, proposal("q", "other", "hq-asa: "+clear1, "lima-rtr: "+clear2)); err != nil {
				s.t.Fatal(err)
			}
			want(s, s.Approve(ctx, "q", "U0OTHER", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "q", "lima-rtr", sum(clear2)), "command")
			want(s, s.Claim(ctx, "q", "hq-asa", sum(clear1)), "")
			want(s, s.Claim(ctx, "q", "lima-rtr", sum(clear2)), "")
			if _, err := s.Finish(ctx, "q", playbooks.Outcome{State: "failed", Reason: "no", Commands: []playbooks.CommandState{{Device: "hq-asa", Line: clear1, State: "succeeded"}, {Device: "lima-rtr", Line: clear2, State: "failed"}}}); err != nil {
				s.t.Fatal(err)
			}
			cs, err := s.Commands(ctx, "q")
			if err != nil || len(cs) != 2 || cs[0].State != "succeeded" || cs[1].State != "failed" {
				s.t.Errorf("commands %+v, %v", cs, err)
			}
		}},
		{"a run that claimed nothing has not failed on a device", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			p, err := s.Finish(ctx, "p", playbooks.Outcome{State: "succeeded"})
			if err != nil || p.State != approval.Expired {
				s.t.Errorf("%s, %v", p.State, err)
			}
		}},
		{"the state changed: superseded, nothing sent", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			p, err := s.Finish(ctx, "p", playbooks.Outcome{State: "superseded", Reason: "the tunnel came up by itself"})
			if err != nil || p.State != approval.Superseded || p.Reason != "the tunnel came up by itself" {
				s.t.Errorf("%s %q, %v", p.State, p.Reason, err)
			}
		}},
		{"a run that does not say how it ended is unknown", nil, func(s story) {
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "")
			take(s)
			want(s, s.Claim(ctx, "p", "hq-asa", sum(clear1)), "")
			p, err := s.Finish(ctx, "p", playbooks.Outcome{})
			if err != nil || p.State != approval.Unknown {
				s.t.Errorf("%s, %v", p.State, err)
			}
			cs, _ := s.Commands(ctx, "p")
			if cs[0].State != "unknown" {
				s.t.Errorf("command is %s", cs[0].State)
			}
		}},
		{"rejected, withdrawn", nil, func(s story) {
			if st, err := s.Reject(ctx, "p", "U0OTHER", "not now"); err != nil || st != approval.Rejected {
				s.t.Errorf("%s, %v", st, err)
			}
			want(s, s.Approve(ctx, "p", "U0OTHER", "test"), "state")
			if err := s.Propose(ctx, proposal("q", "other")); err != nil {
				s.t.Fatal(err)
			}
			if st, err := s.Reject(ctx, "q", "U0ASKED", ""); err != nil || st != approval.Withdrawn {
				s.t.Errorf("%s, %v", st, err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, again func(approval.Policy, *clock) *Store) {
				clk, p := newClock(), policy()
				if c.policy != nil {
					c.policy(&p)
				}
				s := again(p, clk)
				if err := s.Propose(ctx, proposal("p", "london-lima")); err != nil {
					t.Fatal(err)
				}
				c.tell(story{t, s, clk})
				if _, n, err := s.VerifyAudit(ctx); err != nil || n == 0 {
					t.Errorf("audit: %d records: %v", n, err)
				}
			})
		})
	}
}

// The trail verifies while others append to it.
func TestAuditGrows(t *testing.T) {
	both(t, func(t *testing.T, again func(approval.Policy, *clock) *Store) {
		ctx := context.Background()
		s, w := again(policy(), newClock()), again(policy(), newClock())
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := w.Note(ctx, "U0", "refused", "x", nil); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		for last := int64(0); last < 60; {
			_, n, err := s.VerifyAudit(ctx)
			if err != nil {
				t.Error(err)
				break
			}
			last = n
		}
		close(stop)
		wg.Wait()
	})
}

// Many processes want to run the same approval at the same moment.
func TestClaimRace(t *testing.T) {
	both(t, func(t *testing.T, again func(approval.Policy, *clock) *Store) {
		ctx := context.Background()
		clk := newClock()
		stores := []*Store{again(policy(), clk), again(policy(), clk), again(policy(), clk)}
		if err := stores[0].Propose(ctx, proposal("p", "london-lima")); err != nil {
			t.Fatal(err)
		}
		var approvals, claims atomic.Int32
		var wg sync.WaitGroup
		for i := range 12 {
			s := stores[i%len(stores)]
			wg.Go(func() {
				err := s.Approve(ctx, "p", "U0OTHER", "test")
				if err == nil {
					approvals.Add(1)
				} else if code(err) != "state" {
					t.Errorf("approve: %v", err)
				}
				if _, err := s.TakeApproved(ctx); err != nil {
					t.Errorf("take: %v", err)
				}
				if s.Claim(ctx, "p", "hq-asa", sum(clear1)) == nil {
					claims.Add(1)
				}
			})
		}
		wg.Wait()
		if approvals.Load() != 1 || claims.Load() != 1 {
			t.Errorf("%d approvals and %d claims succeeded, want one each", approvals.Load(), claims.Load())
		}
		if _, _, err := stores[1].VerifyAudit(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestAuditTamper(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct{ name, sql, want string }{
		{"changed", `UPDATE audit SET details = '{"x":1}' WHERE seq = 2`, "record 2 was changed"},
		{"removed in the middle", `DELETE FROM audit WHERE seq = 2`, "missing or out of order"},
		{"removed at the end", `DELETE FROM audit WHERE seq = 4`, "removed at the end"},
		{"all removed", `DELETE FROM audit`, "removed at the end"},
		{"inserted", `UPDATE audit SET seq = 5 WHERE seq = 4; INSERT INTO audit SELECT 4, at, actor, action, subject, details, prev, hash FROM audit WHERE seq = 3`, "record 4"},
		{"swapped", `UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3); UPDATE audit SET seq = -seq WHERE seq < 0`, "record"},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, again func(approval.Policy, *clock) *Store) {
				s := again(policy(), newClock())
				for range 4 {
					if err := s.Note(ctx, "U0", "refused", "x", map[string]any{"code": "right"}); err != nil {
						t.Fatal(err)
					}
				}
				if _, n, err := s.VerifyAudit(ctx); err != nil || n != 4 {
					t.Fatalf("%d, %v", n, err)
				}
				if _, err := s.db.Exec(c.sql); err == nil {
					t.Fatal("the trail can be changed while its triggers stand")
				}
				drop := "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete"
				if s.pg {
					drop = "DROP TRIGGER audit_no_change ON audit"
				}
				if _, err := s.db.Exec(drop); err != nil {
					t.Fatal(err)
				}
				if _, err := s.db.Exec(c.sql); err != nil {
					t.Fatal(err)
				}
				if _, _, err := s.VerifyAudit(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("VerifyAudit: %v, want %q", err, c.want)
				}
			})
		})
	}
}
