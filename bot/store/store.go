// Package store is the bot's memory: what was asked (inbox), what ran (runs, findings),
// what is shown (messages, also the outbound queue), what may run (proposals and their
// commands), what is lent on devices (captures), and the audit trail. SQLite by default,
// PostgreSQL for several replicas; the queries are the same.
//
// Every change of a proposal is one transaction with its audit record: no record, no
// change, no command. Claim (gate.go) is the only way to a disruptive command.
//
// Times are kept as microseconds since 1970, UTC.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"vpnbot/bot/approval"
)

//go:embed schema/*.sql
var schema embed.FS

// Options of a store.
type Options struct {
	DSN    string // sqlite:PATH or postgres://…
	Dir    string // what a relative SQLite path is relative to; "" the working directory
	Policy approval.Policy
	Now    func() time.Time // default time.Now
	Rand   io.Reader        // default crypto/rand
}

// Store is an open store. It is safe for concurrent use, also by several processes.
type Store struct {
	db       *sql.DB
	pg       bool
	policy   approval.Policy
	now      func() time.Time
	rand     io.Reader
	instance string
	alive    liveness

	mu    sync.Mutex
	wakes map[string]chan struct{}

	// One writer at a time in this process, in turn: SQLite's own wait is not fair. All but
	// the inbox's queue at the door first, so that it waits for one other writer at most.
	writer, door sync.Mutex

	arrivals sync.Mutex // guards the two below
	arrived  []*receipt
	writing  bool // somebody writes what arrived
}

// ErrNotFound is returned when a named thing is not in the store.
var ErrNotFound = errors.New("not in the store")

// Open opens the store, brings its schema up to date and registers this process.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{policy: o.Policy, now: o.Now, rand: o.Rand, wakes: map[string]chan struct{}{}}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	var path string
	switch {
	case strings.HasPrefix(o.DSN, "sqlite:"):
		path = strings.TrimPrefix(strings.TrimPrefix(o.DSN, "sqlite:"), "//")
		if path == "" {
			return nil, fmt.Errorf("store: %q names no file; write sqlite:./vpnbot.db", o.DSN)
		}
		if !filepath.IsAbs(path) && o.Dir != "" {
			path = filepath.Join(o.Dir, path)
		}
		q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}}
		u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
		db, err := sql.Open("sqlite", u.String())
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", path, err)
		}
		db.SetMaxOpenConns(8)
		s.db = db
	case strings.HasPrefix(o.DSN, "postgres://"), strings.HasPrefix(o.DSN, "postgresql://"):
		db, err := sql.Open("pgx", o.DSN)
		if err != nil {
			return nil, errors.New("store: the postgres:// address is not understood") // the error would print the password
		}
		db.SetMaxOpenConns(16)
		s.db, s.pg = db, true
	default:
		return nil, errors.New("store: write sqlite:PATH or postgres://user@host/database")
	}
	if err := s.open(ctx, path); err != nil {
		s.db.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string) error {
	what := "the PostgreSQL database"
	if !s.pg {
		what = path
	}
	if err := s.db.PingContext(ctx); err != nil {
		return fmt.Errorf("store: open %s: %w (is the folder writable, the server running?)", what, err)
	}
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("store: bring %s up to date: %w", what, err)
	}
	s.instance = s.newID(8)
	var err error
	if s.pg {
		s.alive, err = newServerLiveness(ctx, s.db, s.instance)
	} else {
		s.alive, err = newFileLiveness(path, s.instance)
	}
	if err != nil {
		return fmt.Errorf("store: register this process at %s: %w", what, err)
	}
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO instances (id, started_at) VALUES (?, ?)`, s.instance, us(s.now()))
	})
}

// register keeps this process among the living: it takes its lock again when the server
// lost it, and its place again when another process took it for dead meanwhile.
func (s *Store) register(ctx context.Context) error {
	if _, err := s.alive.alive(ctx, s.instance); err != nil {
		return fmt.Errorf("store: keep this process registered: %w", err)
	}
	var ended int64
	if err := s.row(ctx, `SELECT ended_at FROM instances WHERE id = ?`, s.instance).Scan(&ended); err == nil && ended == 0 {
		return nil
	}
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO instances (id, started_at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET ended_at = 0`, s.instance, us(s.now()))
	})
}

// ended tells whether a process was taken for dead; what it held was given up then.
func (t *tx) ended(instance string) (bool, error) {
	var at int64
	err := t.row(`SELECT ended_at FROM instances WHERE id = ?`, instance).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return at != 0, err
}

// Close gives up this process's registration and closes the store. What it still held is
// given up by the next Recover of whatever process.
func (s *Store) Close() error {
	s.alive.close()
	return s.db.Close()
}

// Ping says whether the store answers and can be written.
func (s *Store) Ping(ctx context.Context) error {
	return s.tx(ctx, func(t *tx) error { return nil })
}

// Instance is the id of this process.
func (s *Store) Instance() string { return s.instance }

// Living tells whether the process of an instance is alive.
func (s *Store) Living(ctx context.Context, instance string) (bool, error) {
	return s.alive.alive(ctx, instance)
}

// Policy is what Open was given.
func (s *Store) Policy() approval.Policy { return s.policy }

// NewID returns n random bytes in hex.
func (s *Store) newID(n int) string {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.rand, b); err != nil {
		panic("store: the source of randomness handed in has ended: " + err.Error())
	}
	return hex.EncodeToString(b)
}

// Wake returns a channel that gets a value after this process wrote something new for
// the topic: inbox, messages, proposals. What other processes write is found by polling.
func (s *Store) Wake(topic string) <-chan struct{} { return s.wake(topic) }

func (s *Store) wake(topic string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.wakes[topic]
	if c == nil {
		c = make(chan struct{}, 1)
		s.wakes[topic] = c
	}
	return c
}

func (s *Store) signal(topic string) {
	select {
	case s.wake(topic) <- struct{}{}:
	default:
	}
}

// tx is a writing transaction. Writers are serialised, so that what is read in it stays
// true until it ends: SQLite by BEGIN IMMEDIATE, PostgreSQL by one advisory lock.
type tx struct {
	*sql.Tx
	ctx context.Context
	s   *Store
}

const writersLock = 0x76706e62 // "vpnb"

func (s *Store) tx(ctx context.Context, f func(*tx) error) error {
	s.door.Lock()
	defer s.door.Unlock()
	return s.urgent(ctx, f)
}

// urgent is tx before all others of this process.
func (s *Store) urgent(ctx context.Context, f func(*tx) error) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	raw, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	defer raw.Rollback()
	t := &tx{raw, ctx, s}
	if s.pg {
		if _, err := raw.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, writersLock); err != nil {
			return fmt.Errorf("store: lock: %w", err)
		}
	}
	if err := f(t); err != nil {
		return err
	}
	if err := raw.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

// q turns ? into $1, $2 … for PostgreSQL. No query of ours has a ? in a literal.
func (s *Store) q(query string) string {
	if !s.pg {
		return query
	}
	var b strings.Builder
	n := 0
	for i := range len(query) {
		if query[i] == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
		} else {
			b.WriteByte(query[i])
		}
	}
	return b.String()
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.count(query, args...)
	return err
}

// count executes and says how many rows were changed.
func (t *tx) count(query string, args ...any) (int64, error) {
	r, err := t.ExecContext(t.ctx, t.s.q(query), args...)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return r.RowsAffected()
}

func (t *tx) row(query string, args ...any) *sql.Row {
	return t.QueryRowContext(t.ctx, t.s.q(query), args...)
}

func (t *tx) rows(query string, args ...any) (*sql.Rows, error) {
	return t.QueryContext(t.ctx, t.s.q(query), args...)
}

func (s *Store) row(ctx context.Context, query string, args ...any) *sql.Row {
	return s.db.QueryRowContext(ctx, s.q(query), args...)
}

// each runs a query and calls scan for every row.
func (s *Store) each(ctx context.Context, query string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := s.db.QueryContext(ctx, s.q(query), args...)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	return rows.Err()
}

func (s *Store) migrate(ctx context.Context) error {
	names, err := fs.Glob(schema, "schema/0*.sql")
	if err != nil {
		return err
	}
	slices.Sort(names)
	return s.tx(ctx, func(t *tx) error {
		if err := t.exec(`CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, at BIGINT NOT NULL)`); err != nil {
			return err
		}
		var done int
		if err := t.row(`SELECT count(*) FROM migrations`).Scan(&done); err != nil {
			return err
		}
		if done > len(names) {
			return fmt.Errorf("it was written by a newer version of vpnbot (%d migrations, this one knows %d): use that version", done, len(names))
		}
		for _, name := range names[done:] {
			if err := t.script(name); err != nil {
				return err
			}
			if err := t.exec(`INSERT INTO migrations (name, at) VALUES (?, ?)`, name, us(s.now())); err != nil {
				return err
			}
		}
		if s.pg {
			return t.script("schema/postgres.sql")
		}
		return t.script("schema/sqlite.sql")
	})
}

func (t *tx) script(name string) error {
	text, err := schema.ReadFile(name)
	if err != nil {
		return err
	}
	words := []string{"{{serial}}", "INTEGER PRIMARY KEY AUTOINCREMENT", "{{blob}}", "BLOB", "{{real}}", "REAL"}
	if t.s.pg {
		words = []string{"{{serial}}", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "{{blob}}", "BYTEA", "{{real}}", "DOUBLE PRECISION"}
	}
	if _, err := t.ExecContext(t.ctx, strings.NewReplacer(words...).Replace(string(text))); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// us is a time as kept; the zero time is 0.
func us(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
