package bot

import (
	"context"
	"errors"
	"slices"
	"strings"

	"vpnbot/bot/approval"
	"vpnbot/bot/message"
)

// right is what a person may do.
type right string

const (
	mayDiagnose right = "diagnose"
	mayOperate  right = "operate"
	mayApprove  right = "approve"
	mayAdmin    right = "admin"
)

// list gives the ids that have a right.
func (c Config) list(r right) []string {
	switch r {
	case mayDiagnose:
		return c.Access.Diagnose
	case mayOperate:
		if len(c.Access.Operate) == 0 {
			return c.Access.Approve
		}
		return c.Access.Operate
	case mayApprove:
		return c.Access.Approve
	case mayAdmin:
		return c.Access.Admin
	}
	return nil
}

// may tells whether a person has a right, by Slack's word now (fresh) or of the last
// minute. An *approval.Refusal says no in words; any other error means that Slack could
// not be asked, which is a no as well.
func (b *Bot) may(ctx context.Context, user, team string, r right, fresh bool) error {
	p, err := b.people.Person(ctx, user, fresh)
	if err != nil {
		return errors.Join(errNotAsked, err)
	}
	id := b.identity.Load()
	if id == nil || id.TeamID == "" {
		return errNotAsked
	}
	// In an enterprise a person's first workspace may be another one; Teams lists all.
	home := func(t string) bool {
		return t == id.TeamID || id.EnterpriseID != "" && p.Enterprise == id.EnterpriseID && slices.Contains(p.Teams, t) && slices.Contains(p.Teams, id.TeamID)
	}
	switch {
	case !p.Member:
		return approval.Refuse("not-member", "You may not do that: %s. Only full members of this workspace may use vpnbot.", p.Why)
	case !home(p.Team), team != "" && !home(team), p.Enterprise != "" && p.Enterprise != id.EnterpriseID:
		return approval.Refuse("other-workspace", "You may not do that: you belong to another workspace. Only full members of this one may use vpnbot.")
	}
	ids := b.cfg.list(r)
	var failed error
	for _, id := range ids {
		switch {
		case id == "everyone" && (r == mayDiagnose || r == mayOperate):
			return nil
		case id == user:
			return nil
		case strings.HasPrefix(id, "S"):
			in, err := b.people.InGroup(ctx, id, user, fresh)
			if err != nil {
				failed = err
			} else if in {
				return nil
			}
		}
	}
	if failed != nil {
		return errors.Join(errNotAsked, failed)
	}
	return approval.Refuse("right", "You need the right *%s* for that (access.%s). These have it: %s. Ask one of them.", r, r, message.WhoMay(ids))
}

var errNotAsked = errors.New("Slack could not be asked who you are and what you may do, so nothing was done; try again in a minute")

// refusal is what a person reads when the answer is no.
func refusal(err error) string {
	var r *approval.Refusal
	if errors.As(err, &r) {
		return "🚫 " + r.Words
	}
	if errors.Is(err, errNotAsked) {
		return "🚫 " + errNotAsked.Error() + "."
	}
	return "❌ That did not work: " + message.Words(err.Error())
}
