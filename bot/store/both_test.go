package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/bot/store/postgrestest"
	"vpnbot/playbooks"
)

// clock is a clock that tests move.
type clock struct{ us atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.us.Store(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMicro(c.us.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.us.Add(d.Microseconds()) }

func policy() approval.Policy {
	return approval.Policy{Enabled: true, FourEyes: true, TTL: 15 * time.Minute, StartWithin: 2 * time.Minute, PerTunnel: 2, PerDevice: 5, MaxRunning: 1}
}

// both runs a test on both kinds of store. again opens the same store once more, as
// another process would.
func both(t *testing.T, f func(t *testing.T, again func(approval.Policy, *clock) *Store)) {
	t.Run("sqlite", func(t *testing.T) {
		dsn := "sqlite:" + filepath.Join(t.TempDir(), "bot.db")
		f(t, opener(t, dsn))
	})
	t.Run("postgres", func(t *testing.T) {
		if postgres == "" {
			t.Skip("PostgreSQL is not installed: " + postgresWhy)
		}
		name := fmt.Sprintf("t%d", databases.Add(1))
		admin, err := Open(t.Context(), Options{DSN: postgres + "postgres", Policy: policy()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := admin.db.Exec("CREATE SCHEMA " + name); err != nil {
			t.Fatal(err)
		}
		admin.Close()
		f(t, opener(t, postgres+"postgres?search_path="+name))
	})
}

func opener(t *testing.T, dsn string) func(approval.Policy, *clock) *Store {
	return func(p approval.Policy, c *clock) *Store {
		t.Helper()
		s, err := Open(context.Background(), Options{DSN: dsn, Policy: p, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
}

var (
	postgres    string // postgres://vpnbot@127.0.0.1:PORT/
	postgresWhy string
	databases   atomic.Int64
)

func TestMain(m *testing.M) {
	if child := os.Getenv("VPNBOT_STORE_CHILD"); child != "" {
		childMain(child)
		return
	}
	dsn, stop, err := postgrestest.Start()
	if err != nil {
		postgresWhy = err.Error()
	}
	postgres = dsn
	code := m.Run()
	if stop != nil {
		stop()
	}
	os.Exit(code)
}

func proposal(id, tunnel string, lines ...string) playbooks.Proposal {
	p := playbooks.Proposal{ID: id, Run: "run-" + id, Tunnel: tunnel, Requester: "U0ASKED", Effect: "drops it"}
	if len(lines) == 0 {
		lines = []string{"hq-asa: clear crypto isakmp sa 203.0.113.20"}
	}
	for _, l := range lines {
		d, line, _ := cutLine(l)
		p.Commands = append(p.Commands, playbooks.ProposedCommand{Device: d, Line: line})
	}
	return p
}
