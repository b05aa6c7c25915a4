package store

import (
	"context"
	"time"
)

// What is kept how long. The audit trail and proposals are kept for ever.
const (
	keepInbox    = 7 * 24 * time.Hour  // longer than Slack delivers again
	keepMessages = 30 * 24 * time.Hour // cards older than this are no longer edited
	keepRuns     = 180 * 24 * time.Hour
)

// Prune removes what is no longer needed, so that the store does not grow for ever.
func (s *Store) Prune(ctx context.Context) error {
	now := s.now()
	inbox, messages, runs := us(now.Add(-keepInbox)), us(now.Add(-keepMessages)), us(now.Add(-keepRuns))
	return s.tx(ctx, func(t *tx) error {
		for _, x := range []struct {
			query string
			arg   int64
		}{
			{`DELETE FROM inbox WHERE done_at > 0 AND done_at < ?`, inbox},
			{`DELETE FROM inbox WHERE kind = 'signature' AND at < ?`, inbox},
			{`UPDATE messages SET data = NULL WHERE kind = 'file' AND data IS NOT NULL AND (sent >= version OR failed <> '') AND created_at < ?`, us(now.Add(-time.Hour))},
			{`DELETE FROM messages WHERE (sent >= version OR failed <> '') AND created_at < ? AND sent_at < created_at + 2592000000000`, messages},
			{`DELETE FROM run_files WHERE run IN (SELECT id FROM runs WHERE created_at < ?)`, runs},
			{`DELETE FROM findings WHERE at < ?`, runs},
			{`DELETE FROM runs WHERE state NOT IN ('queued', 'running') AND created_at < ?`, runs},
			{`DELETE FROM transitions WHERE at < ?`, runs},
			{`DELETE FROM mutes WHERE until < ?`, us(now)},
			{`DELETE FROM lent WHERE returned_at > 0 AND returned_at < ?`, messages},
			{`DELETE FROM instances WHERE ended_at > 0 AND ended_at < ?`, messages},
		} {
			if err := t.exec(x.query, x.arg); err != nil {
				return err
			}
		}
		return t.exec(`DELETE FROM meta WHERE k LIKE 'cancel.%' AND substr(k, 8) NOT IN (SELECT id FROM runs WHERE state IN ('queued', 'running'))`)
	})
}
