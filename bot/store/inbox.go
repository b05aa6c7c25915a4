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

// receipt is a request on its way into the inbox.
type receipt struct {
	key, kind, body string
	fresh           bool
	err             error
	done            chan struct{}
}

// Receive writes a request down; fresh is false when its key was seen before. Only after
// it returned may the request be acknowledged. Requests that come at the same time are
// written in one transaction: acknowledgements are due within three seconds at any load.
func (s *Store) Receive(ctx context.Context, key, kind string, body []byte) (fresh bool, err error) {
	r := &receipt{key: key, kind: kind, body: string(body), done: make(chan struct{})}
	s.arrivals.Lock()
	s.arrived = append(s.arrived, r)
	first := len(s.arrived) == 1 && !s.writing
	s.writing = s.writing || first
	s.arrivals.Unlock()
	if first {
		// Not here: under load there is always more to write, and this one is due as well.
		go s.writeArrived(context.WithoutCancel(ctx))
	}
	select {
	case <-r.done:
		return r.fresh, r.err
	case <-ctx.Done():
		return false, ctx.Err() // it may be written all the same; delivered again it is known
	}
}

// writeArrived writes what arrived until nothing is left.
func (s *Store) writeArrived(ctx context.Context) {
	for {
		s.arrivals.Lock()
		batch := s.arrived
		s.arrived = nil
		s.writing = len(batch) > 0
		s.arrivals.Unlock()
		if len(batch) == 0 {
			return
		}
		err := s.urgent(ctx, func(t *tx) error {
			for _, r := range batch {
				n, err := t.count(`INSERT INTO inbox (k, kind, body, at) VALUES (?,?,?,?) ON CONFLICT (k) DO NOTHING`, r.key, r.kind, r.body, us(s.now()))
				if err != nil {
					return err
				}
				r.fresh = n == 1
			}
			return nil
		})
		for _, r := range batch {
			if err != nil {
				r.fresh, r.err = false, err
			}
			close(r.done)
		}
		if err == nil {
			s.signal("inbox")
		}
	}
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
