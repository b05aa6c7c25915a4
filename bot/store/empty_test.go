package store

import (
	"context"
	"testing"

	"vpnbot/bot/approval"
	"vpnbot/playbooks"
)

// An empty selection is nothing, never all: what names no tunnel, person, device or line
// is no proposal, and nothing of it can be approved or claimed.
func TestEmptyIsNothing(t *testing.T) {
	both(t, func(t *testing.T, again func(approval.Policy, *clock) *Store) {
		ctx := context.Background()
		s := again(policy(), newClock())
		for name, change := range map[string]func(*playbooks.Proposal){
			"no id":        func(p *playbooks.Proposal) { p.ID = "" },
			"no tunnel":    func(p *playbooks.Proposal) { p.Tunnel = "" },
			"no requester": func(p *playbooks.Proposal) { p.Requester = "" },
			"no commands":  func(p *playbooks.Proposal) { p.Commands = nil },
			"no device":    func(p *playbooks.Proposal) { p.Commands[0].Device = "" },
			"no line":      func(p *playbooks.Proposal) { p.Commands[0].Line = "" },
			"other bytes":  func(p *playbooks.Proposal) { p.Commands[0].SHA256 = "00" },
		} {
			p := proposal("p", "london-lima")
			change(&p)
			if err := s.Propose(ctx, p); err == nil {
				t.Errorf("%s: it was proposed", name)
			}
			if s.Approve(ctx, "p", "U0OTHER", "test") == nil || s.Claim(ctx, "p", "hq-asa", sum(clear1)) == nil {
				t.Errorf("%s: it was approved or claimed", name)
			}
		}
	})
}
