package bot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"vpnbot/bot/approval"
	"vpnbot/bot/message"
	"vpnbot/bot/store"
	"vpnbot/diag/report"
	"vpnbot/playbooks"
)

// proposalOf checks that a button stands on the card of the proposal that it names.
func (b *Bot) proposalOf(a *ask) (store.Proposal, bool) {
	p, err := b.store.Proposal(a.ctx, a.Value)
	if err == nil {
		var m store.Message
		m, err = b.store.Message(a.ctx, "proposal:"+p.ID)
		// A quick click may come before Slack's answer to the post was written down.
		for i := 0; err == nil && m.TS == "" && i < 400 && a.ctx.Err() == nil; i++ {
			time.Sleep(50 * time.Millisecond)
			m, err = b.store.Message(a.ctx, "proposal:"+p.ID)
		}
		if err == nil && (m.Channel != a.Channel || m.TS != a.TS || m.TS == "") {
			err = store.ErrNotFound
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		b.refused(a, "approve", approval.Refuse("gone", "This button does not belong to a proposal of vpnbot. Nothing was done."))
		return p, false
	case err != nil:
		a.no(err)
		return p, false
	}
	return p, true
}

// approve is a click on the button: the person is looked up again, then the store decides.
func (b *Bot) approve(a *ask) {
	p, ok := b.proposalOf(a)
	if !ok {
		return
	}
	if err := b.may(a.ctx, a.User, a.Team, mayApprove, true); err != nil {
		b.refused(a, p.ID, err)
		return
	}
	if err := b.store.Approve(a.ctx, p.ID, a.User, a.via()); err != nil {
		a.no(err) // the store noted the refusal
	}
}

// via says how a click came here, for the audit trail.
func (a *ask) via() string {
	return "slack " + a.Team + " " + a.Channel + " " + a.TS + " " + a.Key
}

// askReason opens the modal of a rejection; without it the rejection counts at once.
func (b *Bot) askReason(a *ask) {
	p, ok := b.proposalOf(a)
	if !ok {
		return
	}
	// The modal opens within three seconds of the click or never. When Slack is too slow to
	// say who it was, it opens all the same: what is sent from it is looked up afresh.
	quick, cancel := context.WithTimeout(a.ctx, time.Second)
	defer cancel()
	var no *approval.Refusal
	if err := b.mayReject(quick, a, p, false); errors.As(err, &no) {
		b.refused(a, p.ID, err)
		return
	}
	if p.State != approval.Proposed {
		a.say("It was decided already: %s.", p.State)
		return
	}
	if err := b.api.OpenView(a.ctx, a.Trigger, message.RejectReason(p.ID, p.Tunnel)); err != nil {
		b.log.Warn("the modal for a reason could not be opened; the rejection counts without one", "error", err)
		b.reject(a, p.ID, "")
	}
}

// mayReject: approvers may, and whoever asked may withdraw.
func (b *Bot) mayReject(ctx context.Context, a *ask, p store.Proposal, fresh bool) error {
	right := mayApprove
	if slices.Contains(p.Requesters(), a.User) {
		right = mayDiagnose
	}
	return b.may(ctx, a.User, a.Team, right, fresh)
}

func (b *Bot) reject(a *ask, proposal, reason string) {
	p, err := b.store.Proposal(a.ctx, proposal)
	if err != nil {
		a.no(err)
		return
	}
	if a.Channel == "" {
		a.Channel = b.cfg.Slack.Channel // a modal stands in no channel
	}
	if err := b.mayReject(a.ctx, a, p, true); err != nil {
		b.refused(a, p.ID, err)
		return
	}
	who := "by " + a.User
	if reason = strings.TrimSpace(reason); reason != "" {
		who += ": " + reason
	}
	if _, err := b.store.Reject(a.ctx, proposal, a.User, who); err != nil {
		a.no(err)
	}
}

// propose is "Propose repair" under findings that the bot made by itself: a fresh
// diagnosis that a person asked for.
func (b *Bot) propose(a *ask) {
	r, err := b.store.Run(a.ctx, a.Value)
	if err != nil {
		a.no(approval.Refuse("gone", "This button does not belong to findings of vpnbot."))
		return
	}
	if err := b.may(a.ctx, a.User, a.Team, mayOperate, true); err != nil {
		b.refused(a, "propose", err)
		return
	}
	b.start(a, playbooks.Request{Playbook: "diagnose", Tunnel: r.Tunnel, Capture: playbooks.CaptureNever})
}

// check is "I changed it" under findings that a person mends by hand: a fresh diagnosis
// that says whether the fault is gone.
func (b *Bot) check(a *ask) {
	r, err := b.store.Run(a.ctx, a.Value)
	if err != nil || r.Report == nil || len(r.Report.Findings) == 0 {
		a.no(approval.Refuse("gone", "This button does not belong to findings of vpnbot."))
		return
	}
	if err := b.may(a.ctx, a.User, a.Team, mayDiagnose, true); err != nil {
		b.refused(a, "check", err)
		return
	}
	if err := b.store.Note(a.ctx, a.User, "advice.done", r.Run, map[string]any{"tunnel": r.Tunnel, "finding": r.Report.Findings[0].ID}); err != nil {
		a.no(err)
		return
	}
	b.start(a, playbooks.Request{Playbook: "diagnose", Tunnel: r.Tunnel, Capture: playbooks.CaptureAuto, After: r.Run})
}

// checked says in the thread of a check what became of the fault.
func (b *Bot) checked(ctx context.Context, p place, r store.Run, rep report.Report) {
	old, err := b.store.Run(ctx, r.After)
	if err != nil || old.Report == nil || len(old.Report.Findings) == 0 {
		b.log.Error("the run that a person acted on cannot be read", "run", r.After, "error", err)
		return
	}
	parent, thread := r.Card, ""
	if p.Thread != "" {
		parent, thread = "", p.Thread
	} else if p.Parent != "" {
		parent = p.Parent
	}
	b.put(ctx, store.Message{Key: "check:" + r.Run, Kind: "post", Channel: p.Channel, Thread: thread, Parent: parent, Body: message.Checked(r.By, r.Tunnel, old.Report.Findings[0], rep).JSON()})
}

// repairs draws proposals, ends those whose time is over, and runs what is approved.
func (b *Bot) repairs(ctx context.Context) {
	wake := b.store.Wake("proposals")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := b.repairsOnce(ctx); err != nil && ctx.Err() == nil {
			b.log.Error("proposals cannot be looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
		}
	}
}

func (b *Bot) repairsOnce(ctx context.Context) error {
	if err := b.store.Expire(ctx); err != nil {
		return err
	}
	ps, err := b.store.Undrawn(ctx)
	if err != nil {
		return err
	}
	for _, p := range ps {
		if err := b.draw(ctx, p.ID, nil); err != nil {
			return err
		}
	}
	for _, take := range []func(context.Context) (*store.Proposal, error){b.store.TakeAccepted, b.store.TakeApproved} {
		p, err := take(ctx)
		if err != nil {
			return err
		}
		if p != nil {
			b.wg.Go(func() { b.execute(ctx, *p) })
		}
	}
	return nil
}

// draw queues the card of a proposal as it is; with steps only while it runs.
func (b *Bot) draw(ctx context.Context, proposal string, steps []playbooks.Update) error {
	return b.store.Draw(ctx, proposal, func(p store.Proposal, commands []playbooks.CommandState) *store.Message {
		if steps != nil && p.State != approval.Running {
			return nil
		}
		m := message.ProposalCard(message.Proposal{
			Proposal: p.Proposal, State: p.State, Approver: p.Approver, Reason: p.Reason, Outcome: p.Outcome, Commands: commands, Steps: steps,
			Approvers: b.cfg.Access.Approve, FourEyes: b.cfg.fourEyes(), ApprovedAt: p.ApprovedAt, EndedAt: p.EndedAt, Loc: b.loc,
		})
		return &store.Message{Key: "proposal:" + p.ID, Kind: "post", Channel: b.cfg.Slack.Channel, Body: m.JSON(), Urgent: p.State.Final()}
	})
}

// execute runs an approved proposal. The gate decides, command by command, whether it
// may; whatever comes back is written down. A process that stops here leaves a proposal
// that becomes unknown, or, when the devices had taken its commands, one whose
// verification the next process takes up.
func (b *Bot) execute(ctx context.Context, p store.Proposal) {
	var mu sync.Mutex
	var steps []playbooks.Update
	update := func(u playbooks.Update) {
		mu.Lock()
		defer mu.Unlock()
		found := false
		for i := range steps {
			if steps[i].Step == u.Step {
				steps[i], found = u, true
			}
		}
		if !found {
			steps = append(steps, u)
		}
		if err := b.draw(ctx, p.ID, steps); err != nil && ctx.Err() == nil {
			b.log.Error("a repair's card could not be drawn", "proposal", p.ID, "error", err)
		}
	}
	out, err := b.executeSafely(ctx, p, update)
	if err != nil {
		if out.State == "" {
			out.State = string(approval.Unknown)
		}
		if out.Reason == "" {
			out.Reason = err.Error()
		}
	}
	if ctx.Err() != nil && out.State == string(approval.Succeeded) && out.Verified == "" {
		return // stopped in the verification
	}
	end, ok := b.finished(ctx, p.ID, out)
	if !ok {
		return
	}
	b.metrics.Repaired(string(end.State), out.Verified)
	if end.State == approval.Unknown {
		b.lookAfterUnknown(ctx, end)
	}
}

// finished writes down how a repair ended, for as long as the store does not take it: a
// repair must not stay running for ever because of one bad minute. When the process stops
// before, the next one calls it unknown.
func (b *Bot) finished(ctx context.Context, proposal string, out playbooks.Outcome) (store.Proposal, bool) {
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		end, err := b.store.Finish(wctx, proposal, out)
		cancel()
		if err == nil {
			return end, true
		}
		b.log.Error("a repair's end could not be written down yet", "proposal", proposal, "error", err)
		select {
		case <-ctx.Done():
			return end, false
		case <-time.After(wait):
		}
	}
}

func (b *Bot) executeSafely(ctx context.Context, p store.Proposal, update func(playbooks.Update)) (out playbooks.Outcome, err error) {
	defer func() {
		if r := recover(); r != nil {
			b.log.Error("a repair ended in a panic", "proposal", p.ID, "panic", r)
			out, err = playbooks.Outcome{}, errors.New("vpnbot made a mistake in this run; its log says more")
			if p.Accepted != nil {
				out = *p.Accepted
			}
		}
	}()
	if p.Accepted != nil {
		done, err := b.turns.wait(ctx, p.Tunnel)
		if err != nil {
			return *p.Accepted, nil // this process stops
		}
		defer done()
		return b.runner.Verify(ctx, p.Proposal, *p.Accepted, update), nil
	}
	wctx, cancel := context.WithTimeout(ctx, StartWithin)
	defer cancel()
	done, err := b.turns.wait(wctx, p.Tunnel)
	if err != nil {
		return playbooks.Outcome{State: string(approval.Failed), Reason: "Another run worked on the tunnel all the time, so nothing was sent."}, nil
	}
	defer done()
	if err := b.mayStill(wctx, p.Approver); err != nil {
		if nerr := b.store.Note(context.WithoutCancel(ctx), p.Approver, "refused", p.ID, map[string]any{"code": "approver", "when": "before the run"}); nerr != nil {
			return playbooks.Outcome{State: string(approval.Failed), Reason: "The audit trail cannot be written, so nothing was sent."}, nil
		}
		return playbooks.Outcome{State: string(approval.Failed), Reason: "Right before the run " + p.Approver + " was looked up once more and may not approve (any longer), so nothing was sent: " + refusal(err)}, nil
	}
	return b.runner.Execute(ctx, p.Proposal, update)
}

// mayStill asks Slack right before the run whether the approver may still approve. While
// Slack cannot be asked it tries again; in the end that is a no.
func (b *Bot) mayStill(ctx context.Context, approver string) error {
	for wait := time.Second; ; wait *= 2 {
		err := b.may(ctx, approver, "", mayApprove, true)
		if err == nil || !errors.Is(err, errNotAsked) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// lookAfterUnknown looks at the devices after a run whose end nobody saw, reading only,
// and says in the proposal's thread what is there. It is done again until that is written
// down, whatever process stops meanwhile.
func (b *Bot) lookAfterUnknown(ctx context.Context, p store.Proposal) {
	b.mu.Lock()
	busy := b.looks[p.ID]
	b.looks[p.ID] = true
	b.mu.Unlock()
	if busy {
		return
	}
	defer func() {
		b.mu.Lock()
		delete(b.looks, p.ID)
		b.mu.Unlock()
	}()
	cctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	text, _, err := b.runner.Show(cctx, p.Tunnel)
	if ctx.Err() != nil {
		return
	}
	b.put(ctx, store.Message{Key: "unknown:" + p.ID, Kind: "post", Channel: b.cfg.Slack.Channel, Parent: "proposal:" + p.ID, Body: message.AfterUnknown(p.Tunnel, p.Requesters(), p.Approver, text, err).JSON()})
}
