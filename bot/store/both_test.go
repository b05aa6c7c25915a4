package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vpnbot/bot/approval"
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
	stop, err := startPostgres()
	if err != nil {
		postgresWhy = err.Error()
	}
	code := m.Run()
	if stop != nil {
		stop()
	}
	os.Exit(code)
}

// startPostgres runs a server of its own on loopback, for this test binary only.
func startPostgres() (stop func(), err error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		return nil, errors.New("no /usr/lib/postgresql/*/bin")
	}
	bin := bins[len(bins)-1]
	dir, err := os.MkdirTemp("", "vpnbot-pg")
	if err != nil {
		return nil, err
	}
	cred := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("nobody")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
		cred.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	clean := func() { os.RemoveAll(dir) }
	init := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "vpnbot", "-E", "UTF8", "--no-locale", "-N")
	init.SysProcAttr, init.Dir = &syscall.SysProcAttr{Credential: cred.Credential}, dir
	if out, err := init.CombinedOutput(); err != nil {
		clean()
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		clean()
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	srv := exec.Command(filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+dir, "-c", "fsync=off", "-c", "max_connections=200")
	srv.SysProcAttr, srv.Dir = cred, dir
	if err := srv.Start(); err != nil {
		clean()
		return nil, err
	}
	stop = func() {
		srv.Process.Signal(syscall.SIGINT)
		srv.Wait()
		clean()
	}
	dsn := fmt.Sprintf("postgres://vpnbot@127.0.0.1:%d/", port)
	for range 100 {
		s, err := Open(context.Background(), Options{DSN: dsn + "postgres", Policy: policy()})
		if err == nil {
			s.Close()
			postgres = dsn
			return stop, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return nil, errors.New("the server did not come up")
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
