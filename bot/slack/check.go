package slack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"
)

// Scopes are the bot scopes that the app's manifest asks for (docs/slack.md), each with
// what it is for.
var Scopes = map[string]string{
	"app_mentions:read": "commands by mention inside threads",
	"channels:history":  "look up a message whose delivery is not known",
	"channels:read":     "is the bot in its channel",
	"chat:write":        "cards, findings, proposals",
	"commands":          "the slash command and the message shortcut",
	"files:read":        "captures that people share",
	"files:write":       "diagrams, reports, reduced captures",
	"groups:history":    "the same in a private channel",
	"groups:read":       "the same in a private channel",
	"usergroups:read":   "who may approve",
	"users:read":        "is this a full member of this workspace",
}

// CheckLine is one thing that was checked.
type CheckLine struct {
	What, Detail string
	OK           bool
}

// Check asks Slack for everything the bot will need: both tokens, the scopes, the channel
// and the bot's membership, the user groups of the access lists.
func (a *API) Check(ctx context.Context, channel string, groups []string, socket bool) []CheckLine {
	var out []CheckLine
	add := func(what string, err error, detail string) bool {
		if err != nil {
			detail = err.Error()
		}
		out = append(out, CheckLine{What: what, Detail: detail, OK: err == nil})
		return err == nil
	}
	auth, err := a.c.AuthTestContext(ctx)
	if err != nil {
		add("slack bot token", Explain("auth.test", err), "")
		return out
	}
	add("slack bot token", nil, "workspace "+auth.Team+", user "+auth.User)
	if granted := auth.Header.Get("X-OAuth-Scopes"); granted != "" {
		have := strings.FieldsFunc(granted, func(r rune) bool { return r == ',' || r == ' ' })
		var missing []string
		for s, why := range Scopes {
			if !slices.Contains(have, s) {
				missing = append(missing, s+" ("+why+")")
			}
		}
		slices.Sort(missing)
		var err error
		if len(missing) > 0 {
			err = fmt.Errorf("missing: %s; add them under OAuth & Permissions and install the app again", strings.Join(missing, ", "))
		}
		add("slack scopes", err, fmt.Sprintf("all %d", len(Scopes)))
	}
	if socket {
		_, _, err := a.c.StartSocketModeContext(ctx)
		add("slack app token", Explain("apps.connections.open", err), "Socket Mode may connect")
	}
	c, err := a.c.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: channel})
	switch {
	case err != nil:
		add("slack channel "+channel, Explain("conversations.info", err), "")
	case c.IsArchived:
		add("slack channel "+channel, fmt.Errorf("#%s is archived", c.Name), "")
	case !c.IsMember:
		add("slack channel "+channel, fmt.Errorf("the bot is not in #%s: type /invite @%s there", c.Name, auth.User), "")
	default:
		add("slack channel "+channel, nil, "member of #"+c.Name)
	}
	for _, g := range groups {
		users, err := a.c.GetUserGroupMembersContext(ctx, g)
		if err == nil && len(users) == 0 {
			err = fmt.Errorf("the group is empty: nobody has its rights")
			add("slack user group "+g, err, "")
			continue
		}
		add("slack user group "+g, Explain("usergroups.users.list", err), fmt.Sprintf("%d members", len(users)))
	}
	return out
}
