package store

import (
	"context"
	"database/sql"

	"vpnbot/devices/command"
)

// Lend writes a capture down before it is started on a device.
func (s *Store) Lend(ctx context.Context, l command.Lent) (id int64, err error) {
	err = s.tx(ctx, func(t *tx) error {
		if err := t.row(`INSERT INTO lent (device, name, interface, context, unit, prompt, started_at, owner) VALUES (?,?,?,?,?,?,?,?) RETURNING id`,
			l.Device, l.Name, l.Interface, l.Context, l.Unit, l.Prompt, us(l.StartedAt), s.instance).Scan(&id); err != nil {
			return err
		}
		return t.audit("vpnbot", "capture.lent", l.Device, map[string]any{"name": l.Name, "interface": l.Interface})
	})
	return id, err
}

// Returned notes that a capture is no longer on its device.
func (s *Store) Returned(ctx context.Context, id int64) error {
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`UPDATE lent SET returned_at = ? WHERE id = ?`, us(s.now()), id)
	})
}

// Outstanding are the captures that dead processes, or this one, left on devices. Those
// of a living other process are its own to remove.
func (s *Store) Outstanding(ctx context.Context) (map[int64]command.Lent, error) {
	out := map[int64]command.Lent{}
	owners := map[int64]string{}
	err := s.each(ctx, `SELECT id, device, name, interface, context, unit, prompt, started_at, owner FROM lent WHERE returned_at = 0`, func(r *sql.Rows) error {
		var id, t int64
		var l command.Lent
		var owner string
		if err := r.Scan(&id, &l.Device, &l.Name, &l.Interface, &l.Context, &l.Unit, &l.Prompt, &t, &owner); err != nil {
			return err
		}
		l.StartedAt = at(t)
		out[id], owners[id] = l, owner
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, owner := range owners {
		if owner == s.instance {
			continue
		}
		alive, err := s.alive.alive(ctx, owner)
		if err != nil {
			return nil, err
		}
		if alive {
			delete(out, id)
		}
	}
	return out, nil
}
