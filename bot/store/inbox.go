package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Request is something that came in and has to be dealt with once.
type Request struct {
	ID   int64
	Key  string // what makes two deliveries the same
	Kind string // slack, schedule
	Body []byte
	At   time.Time
}

// Receive writes a request down; fresh is false when its key was seen before. Only after
// it returned may the request be acknowledged.
func (s *Store) Receive(ctx context.Context, key, kind string, body []byte) (fresh bool, err error) {
	err = s.tx(ctx, func(t *tx) error {
		n, err := t.count(`INSERT INTO inbox (k, kind, body, at) VALUES (?,?,?,?) ON CONFLICT (k) DO NOTHING`, key, kind, string(body), us(s.now()))
		fresh = n == 1
		return err
	})
	if fresh && err == nil {
		s.signal("inbox")
	}
	return fresh && err == nil, err
}

// Seen tells whether a key was received before.
func (s *Store) Seen(ctx context.Context, key string) (bool, error) {
	var n int
	err := s.row(ctx, `SELECT count(*) FROM inbox WHERE k = ?`, key).Scan(&n)
	return n > 0, err
}

// Take gives the oldest request that nobody has; nil when there is none.
func (s *Store) Take(ctx context.Context) (*Request, error) {
	var r Request
	var body string
	var t0 int64
	err := s.tx(ctx, func(t *tx) error {
		return t.row(`UPDATE inbox SET owner = ? WHERE id = (SELECT min(id) FROM inbox WHERE done_at = 0 AND owner = '') RETURNING id, k, kind, body, at`, s.instance).
			Scan(&r.ID, &r.Key, &r.Kind, &body, &t0)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: take from the inbox: %w", err)
	}
	r.Body, r.At = []byte(body), at(t0)
	return &r, nil
}

// Dealt marks a request as done.
func (s *Store) Dealt(ctx context.Context, id int64, failure string) error {
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`UPDATE inbox SET done_at = ?, error = ? WHERE id = ?`, us(s.now()), failure, id)
	})
}
