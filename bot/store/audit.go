package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Record is one entry of the audit trail.
type Record struct {
	Seq     int64           `json:"seq"` // 1, 2, 3 … without a gap
	Time    time.Time       `json:"time"`
	Actor   string          `json:"actor"`   // Slack user id, "cli", "schedule", "vpnbot"
	Action  string          `json:"action"`  // "proposal.approved", "command.running", "refused" …
	Subject string          `json:"subject"` // proposal, run, tunnel
	Details json.RawMessage `json:"details"`
	Prev    string          `json:"prev"` // hash of the record before; "" for the first
	Hash    string          `json:"hash"` // of all the above
}

func (r Record) sum() string {
	b, _ := json.Marshal([]string{strconv.FormatInt(r.Seq, 10), strconv.FormatInt(us(r.Time), 10), r.Actor, r.Action, r.Subject, string(r.Details), r.Prev})
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// audit appends a record within a transaction.
func (t *tx) audit(actor, action, subject string, details any) error {
	d, err := json.Marshal(details)
	if err != nil {
		return fmt.Errorf("store: audit %s: %w", action, err)
	}
	r := Record{Seq: 1, Time: at(us(t.s.now())), Actor: actor, Action: action, Subject: subject, Details: d}
	err = t.row(`SELECT seq + 1, hash FROM audit ORDER BY seq DESC LIMIT 1`).Scan(&r.Seq, &r.Prev)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("store: audit: %w", err)
	}
	r.Hash = r.sum()
	if err := t.exec(`INSERT INTO audit (seq, at, actor, action, subject, details, prev, hash) VALUES (?,?,?,?,?,?,?,?)`,
		r.Seq, us(r.Time), r.Actor, r.Action, r.Subject, string(r.Details), r.Prev, r.Hash); err != nil {
		return err
	}
	return t.set("audit.head", fmt.Sprintf("%d %s", r.Seq, r.Hash))
}

// Note appends a record that changes nothing else: a refusal, a request.
func (s *Store) Note(ctx context.Context, actor, action, subject string, details any) error {
	return s.tx(ctx, func(t *tx) error { return t.audit(actor, action, subject, details) })
}

// Audit calls f for every record in order.
func (s *Store) Audit(ctx context.Context, f func(Record) error) error {
	return s.each(ctx, `SELECT seq, at, actor, action, subject, details, prev, hash FROM audit ORDER BY seq`, func(rows *sql.Rows) error {
		var r Record
		var t int64
		var d string
		if err := rows.Scan(&r.Seq, &t, &r.Actor, &r.Action, &r.Subject, &d, &r.Prev, &r.Hash); err != nil {
			return err
		}
		r.Time, r.Details = at(t), json.RawMessage(d)
		return f(r)
	})
}

// VerifyAudit checks every record against its hash and its predecessor, and the last one
// against the head that is kept beside the trail. head is the last record's hash, n the
// number of records; both are what was read until the first error. A file rewritten as a
// whole verifies: compare the head with one that was posted to the channel.
func (s *Store) VerifyAudit(ctx context.Context) (head string, n int64, err error) {
	// The head is read first: what is appended while the trail is read comes after it.
	kept, err := s.Get(ctx, "audit.head")
	if err != nil {
		return "", 0, err
	}
	found := kept == ""
	err = s.Audit(ctx, func(r Record) error {
		switch {
		case r.Seq != n+1:
			return fmt.Errorf("audit: after record %d comes record %d: records are missing or out of order", n, r.Seq)
		case r.Prev != head:
			return fmt.Errorf("audit: record %d does not follow record %d: one of them was changed or replaced", r.Seq, n)
		case r.Hash != r.sum():
			return fmt.Errorf("audit: record %d was changed: its hash does not match", r.Seq)
		}
		head, n = r.Hash, r.Seq
		found = found || kept == fmt.Sprintf("%d %s", n, head)
		return nil
	})
	if err != nil {
		return head, n, err
	}
	switch {
	case !found:
		return head, n, fmt.Errorf("audit: the trail ends at record %d, but %q is kept as its head: records were removed at the end", n, kept)
	case kept == "" && n > 0:
		// Nothing was written yet when the head was read, unless it was removed.
		if kept, err = s.Get(ctx, "audit.head"); err != nil || kept == "" {
			return head, n, errors.Join(err, fmt.Errorf("audit: there are %d records and no head: it was removed", n))
		}
	}
	return head, n, nil
}

func (t *tx) set(key, value string) error {
	return t.exec(`INSERT INTO meta (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v`, key, value)
}

func (t *tx) get(key string) (v string, err error) {
	err = t.row(`SELECT v FROM meta WHERE k = ?`, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return v, err
}

// Get reads a small value; "" when it is not there.
func (s *Store) Get(ctx context.Context, key string) (v string, err error) {
	err = s.row(ctx, `SELECT v FROM meta WHERE k = ?`, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return v, err
}

// Set keeps a small value.
func (s *Store) Set(ctx context.Context, key, value string) error {
	return s.tx(ctx, func(t *tx) error { return t.set(key, value) })
}

// Under lists the small values whose keys begin with prefix, which holds no % or _.
func (s *Store) Under(ctx context.Context, prefix string) (map[string]string, error) {
	out := map[string]string{}
	err := s.each(ctx, `SELECT k, v FROM meta WHERE k LIKE ?`, func(r *sql.Rows) error {
		var k, v string
		err := r.Scan(&k, &v)
		out[k] = v
		return err
	}, prefix+"%")
	return out, err
}
