package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/playbooks"
)

// Proposal is a proposal as it stands.
type Proposal struct {
	playbooks.Proposal
	State    approval.State
	Joined   []string // who joined the run; requesters too
	Approver string
	Reason   string // why rejected, expired, superseded …
	Outcome  playbooks.Outcome
	Sum      string             // over all commands
	Owner    string             // the process that runs it
	Accepted *playbooks.Outcome // while it runs: the devices took all commands

	ApprovedAt, StartedAt, EndedAt, ChangedAt time.Time
	Drawn                                     time.Time // ChangedAt of what its card shows
}

// Requesters are all who count as having asked.
func (p Proposal) Requesters() []string {
	return append([]string{p.Requester}, p.Joined...)
}

func sumOf(cs []playbooks.ProposedCommand) string {
	h := sha256.New()
	for _, c := range cs {
		line := sha256.Sum256([]byte(c.Line))
		fmt.Fprintf(h, "%q %x\n", c.Device, line)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Propose writes a proposal down. Open proposals for the same tunnel are superseded: the
// newer evidence counts. A proposal that is already there is left as it is.
func (s *Store) Propose(ctx context.Context, p playbooks.Proposal) error {
	if p.ID == "" || p.Tunnel == "" || p.Requester == "" || len(p.Commands) == 0 {
		return errors.New("store: a proposal needs an id, a tunnel, a requester and at least one command")
	}
	for i, c := range p.Commands {
		sum := sha256.Sum256([]byte(c.Line))
		if c.Device == "" || c.Line == "" {
			return fmt.Errorf("store: command %d of the proposal names no device or has no line", i+1)
		}
		if c.SHA256 != "" && c.SHA256 != hex.EncodeToString(sum[:]) {
			return fmt.Errorf("store: command %d of the proposal does not match its hash", i+1)
		}
		p.Commands[i].SHA256 = hex.EncodeToString(sum[:])
	}
	now := s.now()
	if p.CreatedAt.IsZero() {
		p.CreatedAt = now
	}
	if latest := now.Add(s.policy.TTL); p.ExpiresAt.IsZero() || p.ExpiresAt.After(latest) {
		p.ExpiresAt = latest
	}
	err := s.tx(ctx, func(t *tx) error {
		var n int
		if err := t.row(`SELECT count(*) FROM proposals WHERE id = ?`, p.ID).Scan(&n); err != nil || n > 0 {
			return err
		}
		old, err := t.ids(`SELECT id FROM proposals WHERE tunnel = ? AND state = ?`, p.Tunnel, string(approval.Proposed))
		if err != nil {
			return err
		}
		for _, id := range old {
			if err := t.move(id, approval.Proposed, approval.Superseded, "vpnbot", "A newer diagnosis proposes again.", map[string]any{"by": p.ID}); err != nil {
				return err
			}
		}
		body, err := json.Marshal(p)
		if err != nil {
			return err
		}
		joined := "[]"
		if err := t.row(`SELECT joined FROM runs WHERE id = ?`, p.Run).Scan(&joined); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		sum := sumOf(p.Commands)
		if err := t.exec(`INSERT INTO proposals (id, run, tunnel, requester, state, sum, body, joined, created_at, expires_at, changed_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)`,
			p.ID, p.Run, p.Tunnel, p.Requester, string(approval.Proposed), sum, string(body), joined, us(p.CreatedAt), us(p.ExpiresAt), us(now)); err != nil {
			return err
		}
		var lines []map[string]string
		for i, c := range p.Commands {
			if err := t.exec(`INSERT INTO commands (proposal, n, device, line, sum, state) VALUES (?,?,?,?,?,?)`, p.ID, i, c.Device, c.Line, c.SHA256, string(approval.NotSent)); err != nil {
				return err
			}
			lines = append(lines, map[string]string{"device": c.Device, "line": c.Line, "sha256": c.SHA256})
		}
		return t.audit(p.Requester, "proposal.proposed", p.ID, map[string]any{"tunnel": p.Tunnel, "finding": p.Finding.ID, "commands": lines, "sum": sum, "expires": p.ExpiresAt.UTC()})
	})
	if err == nil {
		s.signal("proposals")
	}
	return err
}

// move is the one place where a proposal's state changes: compare-and-set, with its
// audit record in the same transaction.
func (t *tx) move(id string, from, to approval.State, actor, reason string, details map[string]any) error {
	if !approval.Allowed(from, to) {
		return fmt.Errorf("store: a proposal never goes from %s to %s", from, to)
	}
	now := us(t.s.now())
	set := `state = ?, reason = ?, changed_at = CASE WHEN changed_at >= ? THEN changed_at + 1 ELSE ? END`
	args := []any{string(to), reason, now, now}
	switch {
	case to == approval.Approved:
		set += `, approved_at = ?, approver = ?`
		args = append(args, now, actor)
	case to == approval.Running:
		set += `, started_at = ?`
		args = append(args, now)
	case to.Final():
		set += `, ended_at = ?`
		args = append(args, now)
	}
	n, err := t.count(`UPDATE proposals SET `+set+` WHERE id = ? AND state = ?`, append(args, id, string(from))...)
	if err != nil {
		return err
	}
	if n != 1 {
		return approval.Refuse("state", "It is no longer %s.", from)
	}
	d := map[string]any{"from": from}
	if reason != "" {
		d["reason"] = reason
	}
	for k, v := range details {
		d[k] = v
	}
	return t.audit(actor, "proposal."+string(to), id, d)
}

func (t *tx) ids(query string, args ...any) ([]string, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

// Approve is the click of a person whose right to approve was just looked up. In one
// transaction: it is still proposed and not expired, four eyes, policy and limits hold,
// and it becomes approved, which is also its place in the queue of those to run. The
// error is an *approval.Refusal when the answer is no; refusals are in the audit trail.
// via says how the click came here, for the audit trail: workspace, channel, message, event.
func (s *Store) Approve(ctx context.Context, id, user, via string) error {
	var refused *approval.Refusal
	err := s.tx(ctx, func(t *tx) error {
		p, err := t.proposal(id)
		if err != nil {
			return err
		}
		now := s.now()
		refused = nil
		switch {
		case p.State == approval.Proposed && (!now.Before(p.ExpiresAt) || approval.Stale(now, p.CreatedAt, p.ExpiresAt.Sub(p.CreatedAt))):
			refused = approval.Refuse("expired", "This proposal expired at %s. Diagnose again.", p.ExpiresAt.UTC().Format("15:04:05 UTC"))
			if err := t.audit(user, "proposal.refused", id, map[string]any{"code": refused.Code, "state": p.State, "via": via}); err != nil {
				return err
			}
			return t.move(id, approval.Proposed, approval.Expired, "vpnbot", "Nobody answered in time.", nil)
		case p.State != approval.Proposed:
			refused = alreadyDecided(p)
		case s.policy.FourEyes && slices.Contains(p.Requesters(), user):
			refused = approval.Refuse("four-eyes", "You asked for this repair, so another person has to approve it (access.four_eyes).")
		default:
			load, err := t.load(p, []approval.State{approval.Approved, approval.Running})
			if err != nil {
				return err
			}
			refused = s.policy.Check(now, load)
		}
		if refused != nil {
			return t.audit(user, "proposal.refused", id, map[string]any{"code": refused.Code, "state": p.State, "via": via})
		}
		return t.move(id, approval.Proposed, approval.Approved, user, "", map[string]any{"sum": p.Sum, "requester": p.Requester, "via": via})
	})
	if err != nil {
		return err
	}
	s.signal("proposals")
	if refused != nil {
		return refused
	}
	return nil
}

func alreadyDecided(p Proposal) *approval.Refusal {
	switch {
	case p.Approver != "":
		return approval.Refuse("state", "<@%s> approved it already; it is %s.", p.Approver, p.State)
	case p.State == approval.Expired:
		return approval.Refuse("expired", "This proposal has expired. Diagnose again.")
	}
	return approval.Refuse("state", "It was decided already: %s.", p.State)
}

// Reject ends a proposal: withdrawn when a requester does it, rejected otherwise.
func (s *Store) Reject(ctx context.Context, id, user, reason string) (approval.State, error) {
	to := approval.Rejected
	var refused *approval.Refusal
	err := s.tx(ctx, func(t *tx) error {
		p, err := t.proposal(id)
		if err != nil {
			return err
		}
		if p.State != approval.Proposed {
			refused = alreadyDecided(p)
			return t.audit(user, "proposal.refused", id, map[string]any{"code": refused.Code, "state": p.State})
		}
		if slices.Contains(p.Requesters(), user) {
			to = approval.Withdrawn
		}
		return t.move(id, approval.Proposed, to, user, reason, nil)
	})
	if err == nil && refused != nil {
		return "", refused
	}
	if err == nil {
		s.signal("proposals")
	}
	return to, err
}

// Supersede ends the open proposals of a tunnel because newer evidence disagrees: those
// that rest on another finding than the one given. A finding of "" agrees with none.
func (s *Store) Supersede(ctx context.Context, tunnel, finding, reason string) (int, error) {
	n := 0
	err := s.tx(ctx, func(t *tx) error {
		ids, err := t.ids(`SELECT id FROM proposals WHERE tunnel = ? AND state = ?`, tunnel, string(approval.Proposed))
		if err != nil {
			return err
		}
		n = 0
		for _, id := range ids {
			p, err := t.proposal(id)
			if err != nil {
				return err
			}
			if finding != "" && p.Finding.ID == finding {
				continue
			}
			if err := t.move(id, approval.Proposed, approval.Superseded, "vpnbot", reason, map[string]any{"finding": finding}); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err == nil && n > 0 {
		s.signal("proposals")
	}
	return n, err
}

// Expire ends what nobody answered and what was approved but not begun in time.
func (s *Store) Expire(ctx context.Context) error {
	var due int
	now := s.now()
	// What lies in the future was written before the clock jumped back (approval.Skew).
	approvedBefore, future := us(now.Add(-s.policy.StartWithin)), us(now.Add(approval.Skew))
	const late = `(state = 'approved' AND (approved_at <= ? OR approved_at > ?))`
	const unanswered = `(state = 'proposed' AND (expires_at <= ? OR created_at > ?))`
	if err := s.row(ctx, `SELECT count(*) FROM proposals WHERE `+unanswered+` OR `+late, us(now), future, approvedBefore, future).Scan(&due); err != nil || due == 0 {
		return err
	}
	err := s.tx(ctx, func(t *tx) error {
		ids, err := t.ids(`SELECT id FROM proposals WHERE `+unanswered, us(now), future)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := t.move(id, approval.Proposed, approval.Expired, "vpnbot", "Nobody answered in time.", nil); err != nil {
				return err
			}
		}
		ids, err = t.ids(`SELECT id FROM proposals WHERE `+late, approvedBefore, future)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := t.move(id, approval.Approved, approval.Expired, "vpnbot", fmt.Sprintf("It was not begun within %s of the approval. Nothing was sent.", s.policy.StartWithin), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.signal("proposals")
	}
	return err
}

// TakeApproved gives this process one approved proposal to run; nil when there is none.
// Taking is not running: it only keeps two processes from trying at once. One taken by a
// process that died before its first command was claimed may be taken again.
func (s *Store) TakeApproved(ctx context.Context) (*Proposal, error) {
	var n int
	if err := s.row(ctx, `SELECT count(*) FROM proposals WHERE state = 'approved' AND owner <> ?`, s.instance).Scan(&n); err != nil || n == 0 {
		return nil, err
	}
	var taken *Proposal
	err := s.tx(ctx, func(t *tx) error {
		rows, err := t.rows(`SELECT id, owner FROM proposals WHERE state = 'approved' AND owner <> ? ORDER BY approved_at`, s.instance)
		if err != nil {
			return err
		}
		owners := [][2]string{}
		for rows.Next() {
			var id, owner string
			if err := rows.Scan(&id, &owner); err != nil {
				rows.Close()
				return err
			}
			owners = append(owners, [2]string{id, owner})
		}
		rows.Close()
		for _, o := range owners {
			if o[1] != "" {
				if alive, err := s.alive.alive(ctx, o[1]); err != nil || alive {
					continue
				}
			}
			if n, err := t.count(`UPDATE proposals SET owner = ? WHERE id = ? AND state = 'approved' AND owner = ?`, s.instance, o[0], o[1]); err != nil || n != 1 {
				return err
			}
			p, err := t.proposal(o[0])
			taken = &p
			return err
		}
		return nil
	})
	return taken, err
}

// Accepted writes down that the devices took all commands of a running proposal, before
// its verification begins.
func (s *Store) Accepted(ctx context.Context, id string, o playbooks.Outcome) error {
	return s.tx(ctx, func(t *tx) error {
		p, err := t.proposal(id)
		if err != nil {
			return err
		}
		if p.State != approval.Running || p.Owner != s.instance {
			return approval.Refuse("state", "It is %s, or another process runs it.", p.State)
		}
		states, err := t.commandStates(id)
		if err != nil {
			return err
		}
		var lines []map[string]string
		for n, c := range states {
			if n >= len(o.Commands) || o.Commands[n].Device != c.device || o.Commands[n].Line != c.line {
				return fmt.Errorf("store: command %d of proposal %s is not the one that was run", n+1, id)
			}
			said := o.Commands[n]
			if c.state == approval.CommandRunning {
				if said.State != string(approval.CommandSucceeded) {
					return fmt.Errorf("store: command %d of proposal %s was sent and is said to be %q", n+1, id, said.State)
				}
				if err := t.exec(`UPDATE commands SET state = ?, output = ?, output_sum = ? WHERE proposal = ? AND n = ?`, said.State, said.Output, said.SHA256Output, id, n); err != nil {
					return err
				}
			}
			lines = append(lines, map[string]string{"device": c.device, "line": c.line, "state": said.State, "output_sha256": said.SHA256Output})
		}
		body, err := json.Marshal(o)
		if err != nil {
			return err
		}
		if err := t.exec(`UPDATE proposals SET accepted = ? WHERE id = ?`, string(body), id); err != nil {
			return err
		}
		return t.audit("vpnbot", "proposal.accepted", id, map[string]any{"commands": lines})
	})
}

// TakeAccepted gives this process one running proposal whose commands the devices took and
// whose process stopped, to take up its verification; nil when there is none.
func (s *Store) TakeAccepted(ctx context.Context) (*Proposal, error) {
	const where = `state = 'running' AND accepted <> '' AND owner = ''`
	var n int
	if err := s.row(ctx, `SELECT count(*) FROM proposals WHERE `+where).Scan(&n); err != nil || n == 0 {
		return nil, err
	}
	var taken *Proposal
	err := s.tx(ctx, func(t *tx) error {
		ids, err := t.ids(`SELECT id FROM proposals WHERE ` + where + ` ORDER BY started_at LIMIT 1`)
		if err != nil || len(ids) == 0 {
			return err
		}
		if n, err := t.count(`UPDATE proposals SET owner = ? WHERE id = ? AND `+where, s.instance, ids[0]); err != nil || n != 1 {
			return err
		}
		p, err := t.proposal(ids[0])
		if err != nil {
			return err
		}
		taken = &p
		return t.audit("vpnbot", "verification.taken", p.ID, map[string]any{"instance": s.instance})
	})
	return taken, err
}

// LastRepair is when a command of a repair of the tunnel was claimed last; zero for never.
func (s *Store) LastRepair(ctx context.Context, tunnel string) (time.Time, error) {
	var t int64
	err := s.row(ctx, `SELECT coalesce(max(c.claimed_at), 0) FROM commands c JOIN proposals p ON p.id = c.proposal WHERE p.tunnel = ?`, tunnel).Scan(&t)
	if err != nil || t == 0 {
		return time.Time{}, err
	}
	return at(t), nil
}

// Finish writes down how a run ended. It never contradicts what the gate saw: a run none
// of whose commands was claimed cannot have succeeded or failed on a device, and one that
// was already called unknown stays so.
func (s *Store) Finish(ctx context.Context, id string, o playbooks.Outcome) (Proposal, error) {
	var out Proposal
	err := s.tx(ctx, func(t *tx) error {
		p, err := t.proposal(id)
		if err != nil {
			return err
		}
		var to approval.State
		switch {
		case p.State.Final():
			// A late word, for instance after the process was taken for dead: the words are kept, the state stays.
			return t.audit("vpnbot", "proposal.late", id, map[string]any{"state": p.State, "said": o.State, "reason": o.Reason})
		case p.State == approval.Approved:
			to = approval.Expired
			if o.State == string(approval.Superseded) {
				to = approval.Superseded
			}
			if o.Reason == "" {
				o.Reason = "It was not begun."
			}
			o.State = string(to)
		case p.State == approval.Running:
			to = approval.State(o.State)
			if to == approval.Superseded {
				to = approval.Failed // some of it was sent; the rest was not
				o.State = string(to)
			}
			if !approval.Allowed(approval.Running, to) {
				to = approval.Unknown
				o.Reason = "The run ended without saying how: " + o.State + ". " + o.Reason
				o.State = string(to)
			}
		default:
			return approval.Refuse("state", "It is %s and was never approved.", p.State)
		}
		results := map[string]int{}
		states, err := t.commandStates(id)
		if err != nil {
			return err
		}
		for n, c := range states {
			st := c.state
			var said *playbooks.CommandState
			for i := range o.Commands {
				if o.Commands[i].Device == c.device && o.Commands[i].Line == c.line && i >= results[c.device+"\n"+c.line] {
					said = &o.Commands[i]
					results[c.device+"\n"+c.line] = i + 1
					break
				}
			}
			if st == approval.CommandRunning {
				st = approval.CommandUnknown
				if said != nil && (said.State == string(approval.CommandSucceeded) || said.State == string(approval.CommandFailed)) {
					st = approval.CommandState(said.State)
				}
			}
			output, sum := "", ""
			if said != nil {
				output, sum = said.Output, said.SHA256Output
			}
			if err := t.exec(`UPDATE commands SET state = ?, output = ?, output_sum = ? WHERE proposal = ? AND n = ?`, string(st), output, sum, id, n); err != nil {
				return err
			}
			if err := t.audit("vpnbot", "command."+string(st), id, map[string]any{"device": c.device, "line": c.line, "output_sha256": sum}); err != nil {
				return err
			}
		}
		body, err := json.Marshal(o)
		if err != nil {
			return err
		}
		if err := t.exec(`UPDATE proposals SET outcome = ? WHERE id = ?`, string(body), id); err != nil {
			return err
		}
		return t.move(id, p.State, to, "vpnbot", o.Reason, map[string]any{"verified": o.Verified, "before": o.Before, "after": o.After})
	})
	if err == nil {
		out, err = s.Proposal(ctx, id)
		s.signal("proposals")
	}
	return out, err
}

// Recover gives up what dead processes held: running proposals become unknown, their
// running commands too, unless the devices had taken all of them (TakeAccepted);
// requests and runs can be taken again. It returns the proposals
// that became unknown.
func (s *Store) Recover(ctx context.Context) ([]string, error) {
	if err := s.register(ctx); err != nil {
		return nil, err
	}
	var gone []string
	err := s.each(ctx, `SELECT id FROM instances WHERE ended_at = 0 AND id <> ?`, func(r *sql.Rows) error {
		var id string
		if err := r.Scan(&id); err != nil {
			return err
		}
		gone = append(gone, id)
		return nil
	}, s.instance)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, id := range gone {
		alive, err := s.alive.alive(ctx, id)
		if err != nil {
			return unknown, err
		}
		if alive {
			continue
		}
		err = s.tx(ctx, func(t *tx) error {
			lost, err := t.ids(`SELECT id FROM proposals WHERE state = 'running' AND owner = ?`, id)
			if err != nil {
				return err
			}
			for i := 0; i < len(lost); i++ {
				p := lost[i]
				// What the devices answered is known: only the verification was cut short.
				n, err := t.count(`UPDATE proposals SET owner = '' WHERE id = ? AND accepted <> ''`, p)
				if err != nil {
					return err
				}
				if n > 0 {
					if err := t.audit("vpnbot", "verification.orphaned", p, map[string]any{"instance": id}); err != nil {
						return err
					}
					lost = slices.Delete(lost, i, i+1)
					i--
					continue
				}
				if err := t.exec(`UPDATE commands SET state = ? WHERE proposal = ? AND state = ?`, string(approval.CommandUnknown), p, string(approval.CommandRunning)); err != nil {
					return err
				}
				if err := t.move(p, approval.Running, approval.Unknown, "vpnbot", "vpnbot stopped in the middle of the run. It is not repeated.", map[string]any{"instance": id}); err != nil {
					return err
				}
			}
			unknown = append(unknown, lost...)
			if err := t.exec(`UPDATE inbox SET owner = '' WHERE owner = ? AND done_at = 0`, id); err != nil {
				return err
			}
			if err := t.exec(`UPDATE runs SET owner = '', state = 'queued' WHERE owner = ? AND state = 'running'`, id); err != nil {
				return err
			}
			return t.exec(`UPDATE instances SET ended_at = ? WHERE id = ?`, us(s.now()), id)
		})
		if err != nil {
			return unknown, err
		}
	}
	if len(gone) > 0 {
		s.signal("inbox")
		s.signal("proposals")
	}
	return unknown, nil
}

const proposalColumns = `id, run, tunnel, requester, state, sum, body, joined, approver, reason, outcome, accepted, owner, created_at, expires_at, approved_at, started_at, ended_at, changed_at, drawn`

func scanProposal(scan func(...any) error) (Proposal, error) {
	var p Proposal
	var id, run, tunnel, requester, state, body, joined, outcome, accepted string
	var created, expires, approved, started, ended, changed, drawn int64
	if err := scan(&id, &run, &tunnel, &requester, &state, &p.Sum, &body, &joined, &p.Approver, &p.Reason, &outcome, &accepted, &p.Owner, &created, &expires, &approved, &started, &ended, &changed, &drawn); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return p, fmt.Errorf("proposal: %w", ErrNotFound)
		}
		return p, fmt.Errorf("store: %w", err)
	}
	if err := json.Unmarshal([]byte(body), &p.Proposal); err != nil {
		return p, fmt.Errorf("store: proposal %s: %w", id, err)
	}
	if outcome != "" {
		if err := json.Unmarshal([]byte(outcome), &p.Outcome); err != nil {
			return p, fmt.Errorf("store: proposal %s: %w", id, err)
		}
	}
	if accepted != "" {
		p.Accepted = new(playbooks.Outcome)
		if err := json.Unmarshal([]byte(accepted), p.Accepted); err != nil {
			return p, fmt.Errorf("store: proposal %s: %w", id, err)
		}
	}
	if err := json.Unmarshal([]byte(joined), &p.Joined); err != nil {
		return p, fmt.Errorf("store: proposal %s: %w", id, err)
	}
	p.ID, p.Run, p.Tunnel, p.Requester, p.State = id, run, tunnel, requester, approval.State(state)
	p.CreatedAt, p.ExpiresAt = at(created), at(expires)
	p.ApprovedAt, p.StartedAt, p.EndedAt, p.ChangedAt, p.Drawn = at(approved), at(started), at(ended), at(changed), at(drawn)
	return p, nil
}

func (t *tx) proposal(id string) (Proposal, error) {
	return scanProposal(t.row(`SELECT `+proposalColumns+` FROM proposals WHERE id = ?`, id).Scan)
}

// Proposal reads one.
func (s *Store) Proposal(ctx context.Context, id string) (Proposal, error) {
	return scanProposal(s.row(ctx, `SELECT `+proposalColumns+` FROM proposals WHERE id = ?`, id).Scan)
}

func (s *Store) proposals(ctx context.Context, where string, args ...any) ([]Proposal, error) {
	var out []Proposal
	err := s.each(ctx, `SELECT `+proposalColumns+` FROM proposals WHERE `+where, func(r *sql.Rows) error {
		p, err := scanProposal(r.Scan)
		out = append(out, p)
		return err
	}, args...)
	return out, err
}

// Pending are the proposals that wait for an answer, oldest first.
func (s *Store) Pending(ctx context.Context) ([]Proposal, error) {
	return s.proposals(ctx, `state = 'proposed' ORDER BY created_at LIMIT 100`)
}

// Undrawn are the proposals whose card does not show their last change.
func (s *Store) Undrawn(ctx context.Context) ([]Proposal, error) {
	return s.proposals(ctx, `drawn < changed_at ORDER BY created_at LIMIT 100`)
}

// Draw puts the card of a proposal as the proposal stands now. Both are one transaction, so
// that no other process overwrites the card with an older state. Nothing is drawn when
// view returns nil.
func (s *Store) Draw(ctx context.Context, id string, view func(Proposal, []playbooks.CommandState) *Message) error {
	err := s.tx(ctx, func(t *tx) error {
		p, err := t.proposal(id)
		if err != nil {
			return err
		}
		cs, err := s.Commands(ctx, id) // of another connection; nobody else writes now
		if err != nil {
			return err
		}
		m := view(p, cs)
		if m == nil {
			return nil
		}
		if err := t.put(*m); err != nil {
			return err
		}
		return t.exec(`UPDATE proposals SET drawn = ? WHERE id = ? AND drawn < ?`, us(p.ChangedAt), id, us(p.ChangedAt))
	})
	if err == nil {
		s.signal("messages")
	}
	return err
}

// ProposalsOf lists the last proposals of a tunnel, newest first.
func (s *Store) ProposalsOf(ctx context.Context, tunnel string, limit int) ([]Proposal, error) {
	return s.proposals(ctx, `tunnel = ? ORDER BY created_at DESC LIMIT ?`, tunnel, limit)
}

// UnknownUnseen are the proposals that became unknown within the last day and whose look
// at the devices was not written down yet: the process that found them may have stopped too.
func (s *Store) UnknownUnseen(ctx context.Context) ([]Proposal, error) {
	return s.proposals(ctx, `state = 'unknown' AND ended_at > ? AND NOT EXISTS (SELECT 1 FROM messages WHERE k = 'unknown:' || proposals.id) ORDER BY created_at LIMIT 100`, us(s.now().Add(-24*time.Hour)))
}

type commandRow struct {
	device, line, sum string
	state             approval.CommandState
	owner             string
	claimedAt         time.Time
}

func (t *tx) commandStates(id string) ([]commandRow, error) {
	rows, err := t.rows(`SELECT device, line, sum, state, owner, claimed_at FROM commands WHERE proposal = ? ORDER BY n`, id)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []commandRow
	for rows.Next() {
		var c commandRow
		var st string
		var claimed int64
		if err := rows.Scan(&c.device, &c.line, &c.sum, &st, &c.owner, &claimed); err != nil {
			return nil, err
		}
		c.state, c.claimedAt = approval.CommandState(st), at(claimed)
		out = append(out, c)
	}
	return out, rows.Err()
}

// Commands says what became of each command of a proposal.
func (s *Store) Commands(ctx context.Context, id string) ([]playbooks.CommandState, error) {
	var out []playbooks.CommandState
	err := s.each(ctx, `SELECT device, line, state, output, output_sum FROM commands WHERE proposal = ? ORDER BY n`, func(r *sql.Rows) error {
		var c playbooks.CommandState
		if err := r.Scan(&c.Device, &c.Line, &c.State, &c.Output, &c.SHA256Output); err != nil {
			return err
		}
		out = append(out, c)
		return nil
	}, id)
	return out, err
}
