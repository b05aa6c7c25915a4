package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// TunnelState is a tunnel as the last sweep saw it.
type TunnelState struct {
	Name     string
	State    string
	Since    time.Time
	SeenAt   time.Time
	Detail   string
	Incident string          // key of the open incident's card
	Body     json.RawMessage // the sweep's own memory
}

// Transition is one change of a tunnel's state.
type Transition struct {
	Tunnel, Before, After, Detail string
	At                            time.Time
}

// Tunnels are all that a sweep has seen.
func (s *Store) Tunnels(ctx context.Context) (map[string]TunnelState, error) {
	out := map[string]TunnelState{}
	err := s.each(ctx, `SELECT name, state, since, seen_at, detail, incident, body FROM tunnels`, func(r *sql.Rows) error {
		var x TunnelState
		var since, seen int64
		var body string
		if err := r.Scan(&x.Name, &x.State, &since, &seen, &x.Detail, &x.Incident, &body); err != nil {
			return err
		}
		x.Since, x.SeenAt, x.Body = at(since), at(seen), json.RawMessage(body)
		out[x.Name] = x
		return nil
	})
	return out, err
}

// SaveTunnels keeps what a sweep saw, and the changes, in one transaction.
func (s *Store) SaveTunnels(ctx context.Context, states []TunnelState, changes []Transition) error {
	return s.tx(ctx, func(t *tx) error {
		for _, x := range states {
			body := string(x.Body)
			if body == "" {
				body = "{}"
			}
			if err := t.exec(`INSERT INTO tunnels (name, state, since, seen_at, detail, incident, body) VALUES (?,?,?,?,?,?,?)
				ON CONFLICT (name) DO UPDATE SET state = excluded.state, since = excluded.since, seen_at = excluded.seen_at, detail = excluded.detail, incident = excluded.incident, body = excluded.body`,
				x.Name, x.State, us(x.Since), us(x.SeenAt), x.Detail, x.Incident, body); err != nil {
				return err
			}
		}
		for _, c := range changes {
			if err := t.exec(`INSERT INTO transitions (tunnel, before, after, at, detail) VALUES (?,?,?,?,?)`, c.Tunnel, c.Before, c.After, us(c.At), c.Detail); err != nil {
				return err
			}
		}
		return nil
	})
}

// Transitions of a tunnel ("" for all) since a time, oldest first.
func (s *Store) Transitions(ctx context.Context, tunnel string, since time.Time) ([]Transition, error) {
	var out []Transition
	err := s.each(ctx, `SELECT tunnel, before, after, at, detail FROM transitions WHERE (tunnel = ? OR ? = '') AND at > ? ORDER BY at, id LIMIT 1000`, func(r *sql.Rows) error {
		var x Transition
		var when int64
		if err := r.Scan(&x.Tunnel, &x.Before, &x.After, &when, &x.Detail); err != nil {
			return err
		}
		x.At = at(when)
		out = append(out, x)
		return nil
	}, tunnel, tunnel, us(since))
	return out, err
}
