package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"vpnbot/bot/approval"
)

// ErrNotClaimed is wrapped by Claim's errors: nothing may be written to the device.
var ErrNotClaimed = errors.New("the approval does not cover this command")

// Pause is the stop of all repairs.
type Pause struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Claim consumes the approval of exactly these bytes for this device. It succeeds at most
// once per command, in the order of the proposal, for the process that took the proposal,
// while policy and limits hold; everything is looked at and written in one transaction.
// The command is running from here on: whatever stops the process now, its end is unknown.
func (s *Store) Claim(ctx context.Context, proposal, device string, sum [32]byte) error {
	want := hex.EncodeToString(sum[:])
	var refused *approval.Refusal
	err := s.tx(ctx, func(t *tx) error {
		p, err := t.proposal(proposal)
		if errors.Is(err, ErrNotFound) {
			refused = approval.Refuse("gone", "There is no such proposal.")
			return t.audit("vpnbot", "command.refused", proposal, map[string]any{"device": device, "sha256": want, "code": refused.Code})
		}
		if err != nil {
			return err
		}
		cs, err := t.commandStates(proposal)
		if err != nil {
			return err
		}
		now := s.now()
		n := slices.IndexFunc(cs, func(c commandRow) bool { return c.state == approval.NotSent })
		gone, err := t.ended(s.instance)
		if err != nil {
			return err
		}
		switch {
		case p.State != approval.Approved && p.State != approval.Running:
			refused = approval.Refuse("state", "The proposal is %s.", p.State)
		case p.Owner != s.instance || gone:
			refused = approval.Refuse("owner", "Another process runs this proposal.")
		case p.Approver == "" || s.policy.FourEyes && slices.Contains(p.Requesters(), p.Approver):
			refused = approval.Refuse("four-eyes", "The approver is not another person than the requester.")
		case sumOf(p.Commands) != p.Sum:
			refused = approval.Refuse("command", "The proposal's commands are not those that were approved.")
		case n < 0 || p.Accepted != nil:
			refused = approval.Refuse("command", "All its commands were sent already.")
		case cs[n].device != device || cs[n].sum != want:
			refused = approval.Refuse("command", "The next approved command is another one, or for another device.")
		case n > 0 && cs[n-1].state != approval.CommandRunning && cs[n-1].state != approval.CommandSucceeded:
			refused = approval.Refuse("command", "The command before it did not succeed.")
		case n > 0 && approval.Stale(now, cs[n-1].claimedAt, s.policy.StartWithin):
			refused = approval.Refuse("expired", "The command before it was sent more than %s ago.", s.policy.StartWithin)
		case p.State == approval.Approved && approval.Stale(now, p.ApprovedAt, s.policy.StartWithin):
			refused = approval.Refuse("expired", "The approval is older than %s.", s.policy.StartWithin)
			if err := t.audit("vpnbot", "command.refused", proposal, map[string]any{"device": device, "sha256": want, "code": refused.Code}); err != nil {
				return err
			}
			return t.move(proposal, approval.Approved, approval.Expired, "vpnbot", fmt.Sprintf("It was not begun within %s of the approval. Nothing was sent.", s.policy.StartWithin), nil)
		default:
			load, err := t.load(p, []approval.State{approval.Running})
			if err != nil {
				return err
			}
			if p.State == approval.Running {
				load.Tunnel, load.Devices = 0, nil // counted when it began
			}
			refused = s.policy.Check(now, load)
		}
		if refused != nil {
			return t.audit("vpnbot", "command.refused", proposal, map[string]any{"device": device, "sha256": want, "code": refused.Code})
		}
		if p.State == approval.Approved {
			if err := t.move(proposal, approval.Approved, approval.Running, "vpnbot", "", map[string]any{"approver": p.Approver, "instance": s.instance}); err != nil {
				return err
			}
		}
		if n > 0 && cs[n-1].state == approval.CommandRunning {
			// The session goes on to the next command only after the one before was accepted.
			if err := t.exec(`UPDATE commands SET state = ? WHERE proposal = ? AND n = ?`, string(approval.CommandSucceeded), proposal, n-1); err != nil {
				return err
			}
		}
		k, err := t.count(`UPDATE commands SET state = ?, owner = ?, claimed_at = ? WHERE proposal = ? AND n = ? AND state = ?`,
			string(approval.CommandRunning), s.instance, us(now), proposal, n, string(approval.NotSent))
		if err != nil {
			return err
		}
		if k != 1 {
			return fmt.Errorf("store: command %d of proposal %s was claimed meanwhile", n+1, proposal)
		}
		return t.audit("vpnbot", "command.running", proposal, map[string]any{"device": device, "line": cs[n].line, "sha256": want, "requester": p.Requester, "approver": p.Approver})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotClaimed, err)
	}
	s.signal("proposals")
	if refused != nil {
		return fmt.Errorf("%w: %w", ErrNotClaimed, refused)
	}
	return nil
}

// load counts, over all replicas, what the policy limits; p itself is not counted.
func (t *tx) load(p Proposal, busy []approval.State) (approval.Load, error) {
	l := approval.Load{Devices: map[string]int{}}
	pause, err := t.get("pause")
	if err != nil {
		return l, err
	}
	if pause != "" {
		var x Pause
		if err := json.Unmarshal([]byte(pause), &x); err != nil {
			return l, fmt.Errorf("store: pause: %w", err)
		}
		l.Paused, l.PausedBy, l.PauseReason = true, x.By, x.Reason
	}
	for _, st := range busy {
		var n int
		if err := t.row(`SELECT count(*) FROM proposals WHERE state = ? AND id <> ?`, string(st), p.ID).Scan(&n); err != nil {
			return l, err
		}
		l.Running += n
		if err := t.row(`SELECT count(*) FROM proposals WHERE state = ? AND tunnel = ? AND id <> ?`, string(st), p.Tunnel, p.ID).Scan(&n); err != nil {
			return l, err
		}
		l.Here += n
	}
	since := us(t.s.now().Add(-time.Hour))
	if err := t.row(`SELECT count(*) FROM proposals WHERE tunnel = ? AND started_at > ? AND id <> ?`, p.Tunnel, since, p.ID).Scan(&l.Tunnel); err != nil {
		return l, err
	}
	for _, c := range p.Commands {
		var n int
		if err := t.row(`SELECT count(DISTINCT proposal) FROM commands WHERE device = ? AND claimed_at > ? AND proposal <> ?`, c.Device, since, p.ID).Scan(&n); err != nil {
			return l, err
		}
		l.Devices[c.Device] = n
	}
	return l, nil
}

// SetPause stops all repairs, or lets them go on when p is nil.
func (s *Store) SetPause(ctx context.Context, actor string, p *Pause) error {
	return s.tx(ctx, func(t *tx) error {
		if p == nil {
			if err := t.exec(`DELETE FROM meta WHERE k = 'pause'`); err != nil {
				return err
			}
			return t.audit(actor, "resume", "", map[string]any{})
		}
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if err := t.set("pause", string(b)); err != nil {
			return err
		}
		return t.audit(actor, "pause", "", map[string]any{"reason": p.Reason})
	})
}

// Paused tells whether repairs are stopped; nil when not.
func (s *Store) Paused(ctx context.Context) (*Pause, error) {
	v, err := s.Get(ctx, "pause")
	if err != nil || v == "" {
		return nil, err
	}
	var p Pause
	return &p, json.Unmarshal([]byte(v), &p)
}

// Mute keeps sweep messages of a tunnel away until a time.
type Mute struct {
	Tunnel, By, Reason string
	Until              time.Time
}

// SetMute mutes a tunnel; a zero Until unmutes it.
func (s *Store) SetMute(ctx context.Context, m Mute) error {
	return s.tx(ctx, func(t *tx) error {
		if m.Until.IsZero() {
			if err := t.exec(`DELETE FROM mutes WHERE tunnel = ?`, m.Tunnel); err != nil {
				return err
			}
			return t.audit(m.By, "unmute", m.Tunnel, map[string]any{})
		}
		if err := t.exec(`INSERT INTO mutes (tunnel, until, by_user, reason) VALUES (?,?,?,?) ON CONFLICT (tunnel) DO UPDATE SET until = excluded.until, by_user = excluded.by_user, reason = excluded.reason`,
			m.Tunnel, us(m.Until), m.By, m.Reason); err != nil {
			return err
		}
		return t.audit(m.By, "mute", m.Tunnel, map[string]any{"until": m.Until.UTC(), "reason": m.Reason})
	})
}

// Mutes are those in force.
func (s *Store) Mutes(ctx context.Context) (map[string]Mute, error) {
	out := map[string]Mute{}
	err := s.each(ctx, `SELECT tunnel, until, by_user, reason FROM mutes WHERE until > ?`, func(r *sql.Rows) error {
		var m Mute
		var until int64
		if err := r.Scan(&m.Tunnel, &until, &m.By, &m.Reason); err != nil {
			return err
		}
		m.Until = at(until)
		out[m.Tunnel] = m
		return nil
	}, us(s.now()))
	return out, err
}
