package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Message is something shown in Slack: a post that may change (a card), a file, or words
// for one person. It is queued until the newest version of it was sent.
type Message struct {
	ID        int64
	Key       string // unique; also in the post's metadata, by which it is found again
	Kind      string // post, file, ephemeral
	Channel   string
	Parent    string // key of the post in whose thread it stands
	Thread    string // ts of that post, when it is not ours
	User      string // ephemeral: for whom
	Hook      string // ephemeral: a response_url to fall back to
	Body      []byte // JSON: message.Message or the file's name, title and alt text
	Data      []byte // file
	Urgent    bool   // goes before others
	Version   int64
	Sent      int64  // version that Slack has
	Trying    int64  // version whose fate is unknown while it is higher than Sent
	TS        string // Slack's, once posted
	File      string // Slack's file id, once uploaded
	NotBefore time.Time
	Attempts  int
	Failed    string // given up: why
	CreatedAt time.Time
	SentAt    time.Time
}

// EditPause is the least time between two edits of one message.
const EditPause = 2 * time.Second

// Put queues a message, or a newer version of it. The same content again changes nothing.
func (s *Store) Put(ctx context.Context, m Message) error {
	err := s.tx(ctx, func(t *tx) error { return t.put(m) })
	if err == nil {
		s.signal("messages")
	}
	return err
}

func (t *tx) put(m Message) error {
	var id int64
	var body string
	err := t.row(`SELECT id, body FROM messages WHERE k = ?`, m.Key).Scan(&id, &body)
	switch {
	case err == nil && body == string(m.Body):
		return nil
	case err == nil:
		// What waits for the pace of edits goes on waiting; what waits for longer need not.
		return t.exec(`UPDATE messages SET body = ?, version = version + 1, attempts = 0, failed = '',
			not_before = CASE WHEN sent > 0 AND not_before > sent_at + ? THEN sent_at + ? ELSE not_before END WHERE id = ?`, string(m.Body), EditPause.Microseconds(), EditPause.Microseconds(), id)
	case !errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("store: message %s: %w", m.Key, err)
	}
	urgent := 0
	if m.Urgent {
		urgent = 1
	}
	return t.exec(`INSERT INTO messages (k, kind, channel, parent, thread, usr, hook, body, data, version, urgent, created_at) VALUES (?,?,?,?,?,?,?,?,?,1,?,?)`,
		m.Key, m.Kind, m.Channel, m.Parent, m.Thread, m.User, m.Hook, string(m.Body), m.Data, urgent, us(t.s.now()))
}

const messageColumns = `id, k, kind, channel, parent, thread, usr, hook, body, data, version, sent, trying, ts, file, not_before, attempts, failed, urgent, created_at, sent_at`

func scanMessage(scan func(...any) error) (Message, error) {
	var m Message
	var body string
	var urgent, notBefore, created, sent int64
	err := scan(&m.ID, &m.Key, &m.Kind, &m.Channel, &m.Parent, &m.Thread, &m.User, &m.Hook, &body, &m.Data, &m.Version, &m.Sent, &m.Trying, &m.TS, &m.File, &notBefore, &m.Attempts, &m.Failed, &urgent, &created, &sent)
	if errors.Is(err, sql.ErrNoRows) {
		return m, fmt.Errorf("message: %w", ErrNotFound)
	}
	m.Body, m.Data, m.Urgent = []byte(body), bytes.Clone(m.Data), urgent == 1
	m.NotBefore, m.CreatedAt, m.SentAt = at(notBefore), at(created), at(sent)
	return m, err
}

// Message reads one by its key.
func (s *Store) Message(ctx context.Context, key string) (Message, error) {
	return scanMessage(s.row(ctx, `SELECT `+messageColumns+` FROM messages WHERE k = ?`, key).Scan)
}

// Unsent are the messages that Slack does not have in their newest version and that can be
// sent now, without their Data: of each channel the first most, so that what waits in one
// keeps no other waiting. Those of a channel stand in their order, but the urgent before
// the others. A reply whose post waits elsewhere, or for a time, waits with it.
func (s *Store) Unsent(ctx context.Context, most int) ([]Message, error) {
	var out []Message
	now := us(s.now())
	err := s.each(ctx, `SELECT `+strings.Replace(messageColumns, "data", "NULL", 1)+` FROM messages WHERE id IN (
		SELECT id FROM (
			SELECT m.id, row_number() OVER (PARTITION BY m.channel ORDER BY m.urgent DESC, m.id) AS place
			FROM messages m LEFT JOIN messages p ON p.k = m.parent AND m.parent <> '' AND p.ts = '' AND p.failed = ''
			WHERE m.sent < m.version AND m.failed = '' AND m.not_before <= ? AND (p.id IS NULL OR p.channel = m.channel AND p.not_before <= ?)
		) AS places WHERE place <= ?) ORDER BY urgent DESC, id`, func(r *sql.Rows) error {
		m, err := scanMessage(r.Scan)
		out = append(out, m)
		return err
	}, now, now, most)
	return out, err
}

// Waiting counts the messages that Slack does not have yet, and tells when the next one
// that has to wait is due (zero: none waits).
func (s *Store) Waiting(ctx context.Context) (n int, next time.Time, err error) {
	var due sql.NullInt64
	err = s.row(ctx, `SELECT count(*), min(CASE WHEN not_before > ? THEN not_before END) FROM messages WHERE sent < version AND failed = ''`, us(s.now())).Scan(&n, &due)
	return n, at(due.Int64), err
}

// sending is the duty of emptying the queue.
const sending = "send"

// Trying is called right before a version is sent: until Delivered its fate is unknown. It
// is a compare-and-set: false says that another process sends by now, or that the message
// is no longer as m has it, and that this process must not send it.
//
// answer is how long Slack's answer may take. A server may take this process for dead while
// it is only cut off, so that whoever takes its duty over leaves the message alone so long;
// the lock on a file is free only when the process is gone, and a moment is enough.
func (s *Store) Trying(ctx context.Context, m *Message, answer time.Duration) (ok bool, err error) {
	if !s.pg {
		answer = EditPause
	}
	err = s.tx(ctx, func(t *tx) error {
		ok = false
		if leads, err := t.leads(sending); err != nil || !leads {
			return err
		}
		n, err := t.count(`UPDATE messages SET trying = ?, attempts = attempts + 1, not_before = ? WHERE id = ? AND sent = ? AND trying = ? AND ts = ? AND file = ?`,
			m.Version, us(s.now().Add(answer)), m.ID, m.Sent, m.Trying, m.TS, m.File)
		ok = n == 1
		return err
	})
	if err != nil {
		return false, err
	}
	if ok {
		m.Trying = m.Version
	}
	return ok, nil
}

// Move gives a message that was never posted another channel, outside of threads; its
// replies go with it.
func (s *Store) Move(ctx context.Context, m Message, channel string) error {
	return s.tx(ctx, func(t *tx) error {
		if err := t.exec(`UPDATE messages SET channel = ? WHERE parent = ? AND ts = ''`, channel, m.Key); err != nil {
			return err
		}
		return t.exec(`UPDATE messages SET channel = ?, thread = '', trying = sent, not_before = 0 WHERE id = ? AND ts = ''`, channel, m.ID)
	})
}

// Gone notes that Slack no longer has a posted message: its newest version is posted anew.
func (s *Store) Gone(ctx context.Context, m Message) error {
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`UPDATE messages SET ts = '', sent = 0, trying = 0, not_before = 0 WHERE id = ? AND ts = ?`, m.ID, m.TS)
	})
}

// Delivered notes that Slack has a version. ts and file are kept when not empty; the next
// edit waits for pause.
func (s *Store) Delivered(ctx context.Context, m Message, ts, file string, pause time.Duration) error {
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`UPDATE messages SET sent = ?, trying = ?, ts = CASE WHEN ? = '' THEN ts ELSE ? END, file = CASE WHEN ? = '' THEN file ELSE ? END,
			not_before = ?, attempts = 0, sent_at = ? WHERE id = ?`, m.Version, m.Version, ts, ts, file, file, us(s.now().Add(pause)), us(s.now()), m.ID)
	})
}

// Uploaded keeps the id of a file whose bytes Slack has but which is not shared yet; ""
// forgets it. False says, as with Trying, that another process has the message by now.
func (s *Store) Uploaded(ctx context.Context, m *Message, file string) (ok bool, err error) {
	err = s.tx(ctx, func(t *tx) error {
		ok = false
		if leads, err := t.leads(sending); err != nil || !leads {
			return err
		}
		n, err := t.count(`UPDATE messages SET file = ? WHERE id = ? AND file = ?`, file, m.ID, m.File)
		ok = n == 1
		return err
	})
	if err != nil {
		return false, err
	}
	if ok {
		m.File = file
	}
	return ok, nil
}

// Later puts a message off; known tells that Slack certainly does not have it.
func (s *Store) Later(ctx context.Context, m Message, wait time.Duration, known bool) error {
	return s.tx(ctx, func(t *tx) error {
		if err := t.exec(`UPDATE messages SET not_before = ? WHERE id = ?`, us(s.now().Add(wait)), m.ID); err != nil || !known {
			return err
		}
		return t.exec(`UPDATE messages SET trying = sent WHERE id = ?`, m.ID)
	})
}

// GiveUp ends the attempts to send a version.
func (s *Store) GiveUp(ctx context.Context, m Message, why string) error {
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`UPDATE messages SET failed = ? WHERE id = ? AND version = ?`, why, m.ID, m.Version)
	})
}

// LeadSending gives this process the duty of emptying the queue (Lead).
func (s *Store) LeadSending(ctx context.Context) (bool, error) { return s.Lead(ctx, sending) }

func leadKey(duty string) string { return "lead." + duty }

// leads tells whether this process has a duty.
func (t *tx) leads(duty string) (bool, error) {
	holder, err := t.get(leadKey(duty))
	return holder == t.s.instance, err
}

// Lead gives this process a duty that one process at a time has; false when another
// living process has it.
func (s *Store) Lead(ctx context.Context, duty string) (bool, error) {
	key := leadKey(duty)
	holder, err := s.Get(ctx, key)
	if err != nil || holder == s.instance {
		return err == nil, err
	}
	if holder != "" {
		if alive, err := s.alive.alive(ctx, holder); err != nil || alive {
			return false, err
		}
	}
	got := false
	err = s.tx(ctx, func(t *tx) error {
		got = false
		now, err := t.get(key)
		if err != nil || now != holder {
			return err
		}
		got = true
		return t.set(key, s.instance)
	})
	return got && err == nil, err
}

// Again makes the newest version of a delivered message due once more after a while.
func (s *Store) Again(ctx context.Context, m Message, wait time.Duration) error {
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`UPDATE messages SET version = version + 1, not_before = ? WHERE id = ? AND version = ?`, us(s.now().Add(wait)), m.ID, m.Version)
	})
}

// Posted tells whether a message of the channel is ours.
func (s *Store) Posted(ctx context.Context, channel, ts string) (bool, error) {
	var n int
	err := s.row(ctx, `SELECT count(*) FROM messages WHERE channel = ? AND ts = ?`, channel, ts).Scan(&n)
	return n > 0, err
}
