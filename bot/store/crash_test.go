package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/playbooks"
)

// Boundaries between the approval and the end of the verification at which the child
// kills itself; beyond them it is killed at a random moment.
const boundaries = 7

// childMain is a bot's process that runs whatever is approved: "DSN|device file|boundary".
func childMain(spec string) {
	parts := strings.Split(spec, "|")
	at, _ := strconv.Atoi(parts[2])
	die := func(n int) {
		if n == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	ctx := context.Background()
	s, err := Open(ctx, Options{DSN: parts[0], Policy: policy()})
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	die(0)
	for {
		if err := runOne(ctx, s, parts[1], die); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		time.Sleep(time.Millisecond)
	}
}

// runOne is the order in which a run touches the store and the device.
func runOne(ctx context.Context, s *Store, device string, die func(int)) error {
	p, err := s.TakeApproved(ctx)
	if err != nil || p == nil {
		return err
	}
	die(1)
	out := playbooks.Outcome{State: "succeeded", Verified: "helped"}
	for _, c := range p.Commands {
		if err := s.Claim(ctx, p.ID, c.Device, sha256.Sum256([]byte(c.Line))); err != nil {
			out = playbooks.Outcome{State: "failed", Reason: err.Error()}
			break
		}
		die(2)
		f, err := os.OpenFile(device, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		fmt.Fprintf(f, "%s %s %s\n", p.ID, c.Device, c.Line)
		f.Close()
		die(3)
		out.Commands = append(out.Commands, playbooks.CommandState{Device: c.Device, Line: c.Line, State: "succeeded"})
	}
	die(4)
	if _, err := s.Finish(ctx, p.ID, out); err != nil {
		return err
	}
	die(5)
	return nil
}

// Processes are killed at every boundary and at random moments while another process
// works on the same store: the device counts at most one execution per approval, and
// every proposal ends in a state.
func TestKill(t *testing.T) {
	rounds := 40
	if n, err := strconv.Atoi(os.Getenv("VPNBOT_KILLS")); err == nil {
		rounds = n
	}
	if testing.Short() {
		rounds = boundaries
	}
	run := func(t *testing.T, dsn string) {
		ctx := context.Background()
		device := filepath.Join(t.TempDir(), "device.log")
		s, err := Open(ctx, Options{DSN: dsn, Policy: policy()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		unique := strconv.FormatInt(rand.Int64(), 36)
		var died [boundaries]int // by boundary; the kill that ends a round does not count
		for i := range rounds {
			boundary := i % boundaries
			name := fmt.Sprintf("%d-%s", i, unique) // PostgreSQL keeps what an earlier run of the test did
			id, tunnel := "p"+name, "t"+name
			lines := []string{"d" + name + ": clear crypto isakmp sa 203.0.113.20"}
			if i%2 == 1 {
				lines = append(lines, "e"+name+": clear crypto isakmp sa 198.51.100.1")
			}
			if err := s.Propose(ctx, proposal(id, tunnel, lines...)); err != nil {
				t.Fatal(err)
			}
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "VPNBOT_STORE_CHILD="+dsn+"|"+device+"|"+strconv.Itoa(boundary))
			ready := make(chan struct{})
			var once sync.Once
			child.Stdout = lineWriter(func(l string) {
				if l == "ready" {
					once.Do(func() { close(ready) })
				} else {
					t.Error(l)
				}
			})
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ready:
			case <-time.After(20 * time.Second):
				t.Fatal("the child did not start")
			}
			// Two people click, one of them twice, and the same click is delivered again.
			var wg sync.WaitGroup
			for _, u := range []string{"U0OTHER", "U0THIRD", "U0OTHER"} {
				wg.Go(func() {
					if err := s.Approve(ctx, id, u, "test"); err != nil && code(err) != "state" {
						t.Errorf("approve: %v", err)
					}
				})
			}
			wg.Wait()
			if boundary == boundaries-1 {
				time.Sleep(time.Duration(rand.IntN(15000)) * time.Microsecond) // a random moment is the point of this round
				child.Process.Kill()
			}
			exited := make(chan struct{})
			go func() { child.Wait(); close(exited) }()
			deadline := time.Now().Add(30 * time.Second)
			for {
				// The other process: gives up what the dead one held, and runs what is left.
				if _, err := s.Recover(ctx); err != nil {
					t.Fatal(err)
				}
				// In the first round of each boundary nobody competes, so that the child reaches it.
				if i >= boundaries && (i%3 == 0 || boundary < 2) {
					if err := runOne(ctx, s, device, func(int) {}); err != nil {
						t.Fatal(err)
					}
				}
				p, err := s.Proposal(ctx, id)
				if err != nil {
					t.Fatal(err)
				}
				if p.State.Final() {
					break
				}
				select {
				case <-exited:
					if err := runOne(ctx, s, device, func(int) {}); err != nil {
						t.Fatal(err)
					}
				default:
				}
				if time.Now().After(deadline) {
					t.Fatalf("round %d, boundary %d: still %s", i, boundary, p.State)
				}
			}
			select {
			case <-exited:
				if child.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
					died[boundary]++
				}
			default:
				child.Process.Kill()
				<-exited
			}
			log, _ := os.ReadFile(device)
			p, err := s.Proposal(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range p.Commands {
				n := strings.Count(string(log), fmt.Sprintf("%s %s %s\n", id, c.Device, c.Line))
				if n > 1 || n != 1 && p.State == approval.Succeeded || n != 0 && p.State == approval.Expired {
					t.Fatalf("round %d, boundary %d: %s was executed %d times; the proposal is %s", i, boundary, c.Device, n, p.State)
				}
			}
		}
		all := 0
		for b, n := range died {
			all += n
			// After the end (5) and at a random moment (6) the round may be over before the child is gone.
			if n == 0 && b < 5 && rounds >= 5*boundaries {
				t.Errorf("no process died at boundary %d: the test does not test it", b)
			}
		}
		if all < rounds/2 {
			t.Errorf("only %d of %d processes died before their round ended: the test tests little", all, rounds)
		}
		if _, _, err := s.VerifyAudit(ctx); err != nil {
			t.Error(err)
		}
		t.Logf("%d rounds; processes that died at each boundary: %v", rounds, died)
	}
	t.Run("sqlite", func(t *testing.T) { run(t, "sqlite:"+filepath.Join(t.TempDir(), "bot.db")) })
	t.Run("postgres", func(t *testing.T) {
		if postgres == "" {
			t.Skip("PostgreSQL is not installed: " + postgresWhy)
		}
		rounds = min(rounds, boundaries*2)
		run(t, postgres+"postgres")
	})
}

type lineWriter func(string)

func (f lineWriter) Write(b []byte) (int, error) {
	for l := range strings.Lines(string(b)) {
		if l = strings.TrimSpace(l); l != "" {
			f(l)
		}
	}
	return len(b), nil
}
