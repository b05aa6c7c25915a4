package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

// Run is one run of a playbook.
type Run struct {
	playbooks.Request
	Card      string // key of the message that shows it
	State     string // queued, running, done, failed, cancelled
	Joined    []string
	Error     string
	Report    *report.Report
	CreatedAt time.Time
	EndedAt   time.Time
}

// Limits on what a person may start.
const (
	userRuns   = 3
	userWindow = 10 * time.Minute
)

// Begin writes a run down and gives it to this process. When the tunnel already has one,
// that one is returned with began false, and the person has joined it. A person who
// started too many gets an *approval.Refusal. Beginning a run that is there already
// (a request that is dealt with again after a stop) continues it.
func (s *Store) Begin(ctx context.Context, req playbooks.Request, card string) (run Run, began bool, err error) {
	err = s.tx(ctx, func(t *tx) error {
		began = false
		switch old, err := t.run(`id = ?`, req.Run); {
		case err == nil:
			run = old
			if old.State == "queued" {
				began = true
				return t.exec(`UPDATE runs SET state = 'running', owner = ? WHERE id = ?`, s.instance, req.Run)
			}
			return nil
		case !errors.Is(err, ErrNotFound):
			return err
		}
		switch old, err := t.run(`tunnel = ? AND state IN ('queued', 'running')`, req.Tunnel); {
		case err == nil:
			run = old
			if !req.Human || old.By == req.By || slices.Contains(old.Joined, req.By) {
				return nil
			}
			run.Joined = append(run.Joined, req.By)
			b, err := json.Marshal(run.Joined)
			if err != nil {
				return err
			}
			if err := t.exec(`UPDATE runs SET joined = ? WHERE id = ?`, string(b), old.Run); err != nil {
				return err
			}
			if err := t.exec(`UPDATE proposals SET joined = ? WHERE run = ?`, string(b), old.Run); err != nil {
				return err
			}
			return t.audit(req.By, "run.joined", old.Run, map[string]any{"tunnel": req.Tunnel})
		case !errors.Is(err, ErrNotFound):
			return err
		}
		if req.Human {
			var n int
			if err := t.row(`SELECT count(*) FROM runs WHERE by_user = ? AND created_at > ?`, req.By, us(s.now().Add(-userWindow))).Scan(&n); err != nil {
				return err
			}
			if n >= userRuns {
				return approval.Refuse("rate", "You started %d runs within the last %s; the devices need a break. Try again in a few minutes.", n, "10 minutes")
			}
		}
		body, err := json.Marshal(req)
		if err != nil {
			return err
		}
		human := 0
		if req.Human {
			human = 1
		}
		now := s.now()
		if err := t.exec(`INSERT INTO runs (id, playbook, tunnel, by_user, human, request, card, state, owner, created_at) VALUES (?,?,?,?,?,?,?,'running',?,?)`,
			req.Run, req.Playbook, req.Tunnel, req.By, human, string(body), card, s.instance, us(now)); err != nil {
			return err
		}
		run, began = Run{Request: req, Card: card, State: "running", CreatedAt: now}, true
		return t.audit(req.By, "run.begun", req.Run, map[string]any{"playbook": req.Playbook, "tunnel": req.Tunnel})
	})
	return run, began, err
}

const runColumns = `id, request, card, state, joined, error, report, created_at, ended_at`

func scanRun(scan func(...any) error) (Run, error) {
	var r Run
	var id, request, joined, rep string
	var created, ended int64
	if err := scan(&id, &request, &r.Card, &r.State, &joined, &r.Error, &rep, &created, &ended); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return r, fmt.Errorf("run: %w", ErrNotFound)
		}
		return r, fmt.Errorf("store: %w", err)
	}
	if err := errors.Join(json.Unmarshal([]byte(request), &r.Request), json.Unmarshal([]byte(joined), &r.Joined)); err != nil {
		return r, fmt.Errorf("store: run %s: %w", id, err)
	}
	if rep != "" {
		r.Report = new(report.Report)
		if err := json.Unmarshal([]byte(rep), r.Report); err != nil {
			return r, fmt.Errorf("store: run %s: %w", id, err)
		}
	}
	r.CreatedAt, r.EndedAt = at(created), at(ended)
	return r, nil
}

func (t *tx) run(where string, args ...any) (Run, error) {
	return scanRun(t.row(`SELECT `+runColumns+` FROM runs WHERE `+where, args...).Scan)
}

// Run reads one.
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	return scanRun(s.row(ctx, `SELECT `+runColumns+` FROM runs WHERE id = ?`, id).Scan)
}

// LastRun is the last finished run of a tunnel with findings to show.
func (s *Store) LastRun(ctx context.Context, tunnel string) (Run, error) {
	return scanRun(s.row(ctx, `SELECT `+runColumns+` FROM runs WHERE tunnel = ? AND state = 'done' AND playbook NOT IN ('sweep', 'digest') ORDER BY created_at DESC LIMIT 1`, tunnel).Scan)
}

// ActiveRuns are those under way, over all processes.
func (s *Store) ActiveRuns(ctx context.Context) ([]Run, error) {
	var out []Run
	err := s.each(ctx, `SELECT `+runColumns+` FROM runs WHERE state IN ('queued', 'running') ORDER BY created_at`, func(r *sql.Rows) error {
		x, err := scanRun(r.Scan)
		out = append(out, x)
		return err
	})
	return out, err
}

// TakeRun gives this process a run that lost its process; nil when there is none.
func (s *Store) TakeRun(ctx context.Context) (*Run, error) {
	var n int
	if err := s.row(ctx, `SELECT count(*) FROM runs WHERE state = 'queued'`).Scan(&n); err != nil || n == 0 {
		return nil, err
	}
	var out *Run
	err := s.tx(ctx, func(t *tx) error {
		r, err := t.run(`state = 'queued' ORDER BY created_at LIMIT 1`)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		out = &r
		return t.exec(`UPDATE runs SET state = 'running', owner = ? WHERE id = ?`, s.instance, r.Run)
	})
	return out, err
}

// End writes down how a run ended, with its report, findings and files.
func (s *Store) End(ctx context.Context, id, state, failure string, res *playbooks.Result) error {
	return s.tx(ctx, func(t *tx) error {
		r, err := t.run(`id = ?`, id)
		if err != nil {
			return err
		}
		now := us(s.now())
		rep := ""
		if res != nil {
			b, err := json.Marshal(res.Report)
			if err != nil {
				return err
			}
			rep = string(b)
		}
		n, err := t.count(`UPDATE runs SET state = ?, error = ?, report = ?, ended_at = ? WHERE id = ? AND state IN ('queued', 'running')`, state, failure, rep, now, id)
		if err != nil || n == 0 {
			return err
		}
		if res != nil {
			for i, f := range res.Report.Findings {
				b, err := json.Marshal(f)
				if err != nil {
					return err
				}
				if err := t.exec(`INSERT INTO findings (run, rank, tunnel, at, finding, title, severity, confidence, body) VALUES (?,?,?,?,?,?,?,?,?)`,
					id, i, r.Tunnel, now, f.ID, f.Title, string(f.Severity), f.Confidence, string(b)); err != nil {
					return err
				}
			}
			for kind, files := range map[string][]playbooks.File{"isp": res.ISP, "picture": res.Pictures, "capture": res.Reduced} {
				for _, f := range files {
					if err := t.exec(`INSERT INTO run_files (run, kind, name, data) VALUES (?,?,?,?) ON CONFLICT (run, kind, name) DO UPDATE SET data = excluded.data`, id, kind, f.Name, f.Data); err != nil {
						return err
					}
				}
			}
			// Only the last runs of a tunnel keep their files.
			if err := t.exec(`DELETE FROM run_files WHERE run IN (SELECT id FROM runs WHERE tunnel = ? AND id NOT IN (SELECT id FROM runs WHERE tunnel = ? AND state = 'done' ORDER BY created_at DESC LIMIT 3))`, r.Tunnel, r.Tunnel); err != nil {
				return err
			}
		}
		if err := t.exec(`DELETE FROM run_steps WHERE run = ?`, id); err != nil {
			return err
		}
		return t.audit("vpnbot", "run."+state, id, map[string]any{"tunnel": r.Tunnel, "error": failure})
	})
}

// Files of a run: isp, picture or capture.
func (s *Store) Files(ctx context.Context, run, kind string) ([]playbooks.File, error) {
	var out []playbooks.File
	err := s.each(ctx, `SELECT name, data FROM run_files WHERE run = ? AND kind = ? ORDER BY name`, func(r *sql.Rows) error {
		var f playbooks.File
		if err := r.Scan(&f.Name, &f.Data); err != nil {
			return err
		}
		out = append(out, f)
		return nil
	}, run, kind)
	return out, err
}

// StepDone remembers a finished step (playbooks.Journal).
func (s *Store) StepDone(ctx context.Context, run, step string, state playbooks.StepState, data []byte) error {
	return s.tx(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO run_steps (run, step, state, data, at) VALUES (?,?,?,?,?) ON CONFLICT (run, step) DO UPDATE SET state = excluded.state, data = excluded.data, at = excluded.at`,
			run, step, string(state), data, us(s.now()))
	})
}

// StepsDone are the steps of a run that need not be done again (playbooks.Journal).
func (s *Store) StepsDone(ctx context.Context, run string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := s.each(ctx, `SELECT step, data FROM run_steps WHERE run = ?`, func(r *sql.Rows) error {
		var step string
		var data []byte
		if err := r.Scan(&step, &data); err != nil {
			return err
		}
		out[step] = data
		return nil
	}, run)
	return out, err
}

// PastFinding is a finding of a run that ended.
type PastFinding struct {
	At time.Time
	report.Finding
}

// FindingsOf lists the first findings of a tunnel's last runs, newest first.
func (s *Store) FindingsOf(ctx context.Context, tunnel string, limit int) ([]PastFinding, error) {
	var out []PastFinding
	err := s.each(ctx, `SELECT at, body FROM findings WHERE tunnel = ? AND rank = 0 ORDER BY at DESC LIMIT ?`, func(r *sql.Rows) error {
		var f PastFinding
		var t int64
		var body string
		if err := r.Scan(&t, &body); err != nil {
			return err
		}
		f.At = at(t)
		out = append(out, f)
		return json.Unmarshal([]byte(body), &out[len(out)-1].Finding)
	}, tunnel, limit)
	return out, err
}
