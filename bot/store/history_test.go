package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vpnbot/bot/approval"
	"vpnbot/playbooks"
)

// Random histories of requests, clicks, runs, stops, pauses and clocks that jump. The
// promises are counted outside the store: what was written to the device, who approved.
func TestHistories(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		ctx := context.Background()
		dsn := "sqlite:" + filepath.Join(dir, fmt.Sprintf("h%d.db", n))
		clk := newClock()
		open := func() *Store {
			s, err := Open(ctx, Options{DSN: dsn, Policy: policy(), Now: clk.now})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		procs := []*Store{open(), open()}
		defer func() {
			for _, s := range procs {
				s.Close()
			}
		}()
		approved := map[string]time.Time{} // by proposal: the accepted click
		written := map[string]int{}
		taken := map[string]*Store{} // who runs what
		var ids []string
		paused := false
		people := []string{"U0ASKED", "U0OTHER", "U0THIRD"}
		pick := func() string { return rapid.SampledFrom(ids).Draw(t, "proposal") }
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "process")
			s := procs[i]
			act := rapid.SampledFrom([]string{"propose", "approve", "approve", "reject", "take", "claim", "claim", "finish", "crash", "recover", "clock", "expire", "pause", "supersede"}).Draw(t, "act")
			if len(ids) == 0 && act != "clock" {
				act = "propose"
			}
			switch act {
			case "propose":
				id := fmt.Sprintf("p%d", len(ids))
				if err := s.Propose(ctx, proposal(id, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tunnel"))); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			case "approve":
				id, u := pick(), rapid.SampledFrom(people).Draw(t, "who")
				if s.Approve(ctx, id, u, "test") == nil {
					if u == "U0ASKED" {
						t.Fatal("the requester approved")
					}
					if _, twice := approved[id]; twice {
						t.Fatal("approved twice")
					}
					if paused {
						t.Fatal("approved while paused")
					}
					approved[id] = clk.now()
				}
			case "reject":
				s.Reject(ctx, pick(), "U0OTHER", "no")
			case "take":
				p, err := s.TakeApproved(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if p != nil {
					taken[p.ID] = s
				}
			case "claim":
				id := pick()
				if s.Claim(ctx, id, "hq-asa", sum(clear1)) == nil {
					at, ok := approved[id]
					late := clk.now().Sub(at)
					switch {
					case !ok:
						t.Fatal("claimed without an approval")
					case late >= 2*time.Minute:
						t.Fatalf("claimed %s after the approval", late)
					case paused:
						t.Fatal("claimed while paused")
					case taken[id] != s:
						t.Fatal("claimed by a process that did not take it")
					}
					written[id]++
				}
			case "finish":
				id := pick()
				if taken[id] == s {
					s.Finish(ctx, id, playbooks.Outcome{State: rapid.SampledFrom([]string{"succeeded", "failed", "unknown", "superseded", "nonsense"}).Draw(t, "end")})
				}
			case "accepted":
				id := pick()
				if taken[id] == s {
					s.Accepted(ctx, id, playbooks.Outcome{State: "succeeded", Commands: []playbooks.CommandState{{Device: "hq-asa", Line: clear1, State: "succeeded"}}})
				}
			case "look":
				p, err := s.TakeAccepted(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if p != nil {
					if written[p.ID] != 1 {
						t.Fatal("a verification of what was not sent")
					}
					taken[p.ID] = s
				}
			case "crash":
				s.Close() // the kernel takes the lock; nothing else is tidied
				procs[i] = open()
			case "recover":
				if _, err := s.Recover(ctx); err != nil {
					t.Fatal(err)
				}
			case "clock":
				clk.advance(time.Duration(rapid.SampledFrom([]int{1, 30, 119, 121, 900, 4000, -30, -7200}).Draw(t, "seconds")) * time.Second)
			case "expire":
				if err := s.Expire(ctx); err != nil {
					t.Fatal(err)
				}
			case "pause":
				paused = !paused
				var p *Pause
				if paused {
					p = &Pause{By: "U0ADMIN"}
				}
				if err := s.SetPause(ctx, "U0ADMIN", p); err != nil {
					t.Fatal(err)
				}
			case "supersede":
				s.Supersede(ctx, "a", "", "newer")
			}
			running := 0
			for _, id := range ids {
				p, err := procs[0].Proposal(ctx, id)
				if err != nil {
					t.Fatal(err)
				}
				if p.State == approval.Running {
					running++
				}
				if written[id] > 1 {
					t.Fatalf("%s was written %d times", id, written[id])
				}
				if (p.State == approval.Succeeded || p.State == approval.Running) != (written[id] == 1) && p.State != approval.Failed && p.State != approval.Unknown {
					t.Fatalf("%s is %s and was written %d times", id, p.State, written[id])
				}
			}
			if running > 1 {
				t.Fatalf("%d run at once", running)
			}
		}
		// Every run ends in a state once its process is gone.
		procs[0].Close()
		procs[1].Close()
		procs = []*Store{open()}
		if _, err := procs[0].Recover(ctx); err != nil {
			t.Fatal(err)
		}
		for {
			p, err := procs[0].TakeAccepted(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if p == nil {
				break
			}
			if end, err := procs[0].Finish(ctx, p.ID, *p.Accepted); err != nil || end.State != approval.Succeeded || written[p.ID] != 1 {
				t.Fatalf("%s, which was accepted, ends as %s, %v", p.ID, end.State, err)
			}
		}
		clk.advance(48 * time.Hour)
		if err := procs[0].Expire(ctx); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if p, err := procs[0].Proposal(ctx, id); err != nil || !p.State.Final() {
				t.Fatalf("%s ends as %s, %v", id, p.State, err)
			}
		}
		if _, _, err := procs[0].VerifyAudit(ctx); err != nil {
			t.Fatal(err)
		}
		if err := procs[0].Prune(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
