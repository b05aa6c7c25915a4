package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"syscall"
)

// liveness tells which processes that share the store are alive. It rests on locks that
// the kernel or the server takes away when their process ends, not on clocks.
type liveness interface {
	alive(ctx context.Context, instance string) (bool, error)
	close()
}

// fileLiveness holds a lock on a file beside the database.
type fileLiveness struct {
	path string
	own  string
	file *os.File
}

func newFileLiveness(path, instance string) (*fileLiveness, error) {
	l := &fileLiveness{path: path, own: instance}
	f, err := os.OpenFile(l.name(instance), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	l.file = f
	return l, nil
}

func (l *fileLiveness) name(instance string) string { return l.path + ".run-" + instance }

func (l *fileLiveness) alive(_ context.Context, instance string) (bool, error) {
	if instance == l.own {
		return true, nil
	}
	f, err := os.OpenFile(l.name(instance), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	os.Remove(f.Name())
	return false, nil
}

func (l *fileLiveness) close() {
	os.Remove(l.file.Name())
	l.file.Close()
}

// serverLiveness holds an advisory lock in a session of its own.
type serverLiveness struct {
	db   *sql.DB
	own  string
	mu   sync.Mutex
	conn *sql.Conn
}

func newServerLiveness(ctx context.Context, db *sql.DB, instance string) (*serverLiveness, error) {
	l := &serverLiveness{db: db, own: instance}
	return l, l.hold(ctx)
}

func lockNumber(instance string) int64 {
	h := fnv.New64a()
	h.Write([]byte("vpnbot instance " + instance))
	return int64(h.Sum64())
}

func (l *serverLiveness) hold(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		if l.conn.PingContext(ctx) == nil {
			return nil
		}
		l.conn.Close()
		l.conn = nil
	}
	c, err := l.db.Conn(ctx)
	if err != nil {
		return err
	}
	var got bool
	if err := c.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lockNumber(l.own)).Scan(&got); err != nil || !got {
		c.Close()
		return errors.Join(err, errors.New("the server does not give this process its lock"))
	}
	l.conn = c
	return nil
}

func (l *serverLiveness) alive(ctx context.Context, instance string) (bool, error) {
	if instance == l.own {
		return true, l.hold(ctx)
	}
	c, err := l.db.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer c.Close()
	var got bool
	if err := c.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, lockNumber(instance)).Scan(&got); err != nil {
		return false, err
	}
	if got {
		_, err = c.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, lockNumber(instance))
	}
	return !got, err
}

func (l *serverLiveness) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.ExecContext(context.Background(), `SELECT pg_advisory_unlock($1)`, lockNumber(l.own))
		l.conn.Close()
		l.conn = nil
	}
}
