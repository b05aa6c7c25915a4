package slack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
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

// Checked is what Check looks at.
type Checked struct {
	Channel string
	Groups  []string // user-group ids of the access lists
	People  []string // user ids of the access lists
	Socket  bool     // Socket Mode is used
}

// Check asks Slack for everything the bot will need: both tokens, the scopes, the channel
// and the bot's membership, the people and user groups of the access lists.
func (a *API) Check(ctx context.Context, k Checked) []CheckLine {
	var out []CheckLine
	add := func(what string, err error, detail string) {
		if err != nil {
			detail = err.Error()
		}
		out = append(out, CheckLine{What: what, Detail: detail, OK: err == nil})
	}
	auth, err := a.c.AuthTestContext(ctx)
	known := err == nil
	if auth == nil {
		auth = &slack.AuthTestResponse{}
	}
	add("slack bot token", Explain("auth.test", err), "workspace "+auth.Team+", user "+auth.User)
	if k.Socket {
		_, _, err := a.c.StartSocketModeContext(ctx)
		if Code(err) == "missing_scope" {
			err = fmt.Errorf("the app-level token lacks the scope connections:write: make a new one under Basic Information, App-Level Tokens (%w)", err)
		}
		add("slack app token", Explain("apps.connections.open", err), "Socket Mode may connect")
	}
	if !known {
		return out // without a token nothing else can be asked
	}
	err = a.missing(ctx, auth.Header.Get("X-OAuth-Scopes"), auth.UserID, k.Channel)
	add("slack scopes", err, fmt.Sprintf("all %d", len(Scopes)))
	var c struct {
		Channel struct {
			Name     string `json:"name"`
			Member   bool   `json:"is_member"`
			Archived bool   `json:"is_archived"`
		} `json:"channel"`
	}
	err = a.ask(ctx, "conversations.info", url.Values{"channel": {k.Channel}}, &c)
	switch {
	case Code(err) == "channel_not_found":
		err = fmt.Errorf("there is no such channel, or it is private and the bot is not in it: type /invite @%s there, and compare the id (%w)", auth.User, err)
	case err != nil:
		err = Explain("conversations.info", err)
	case c.Channel.Archived:
		err = fmt.Errorf("#%s is archived", c.Channel.Name)
	case !c.Channel.Member:
		err = fmt.Errorf("the bot is not in #%s: type /invite @%s there", c.Channel.Name, auth.User)
	}
	add("slack channel "+k.Channel, err, "member of #"+c.Channel.Name)
	for _, g := range k.Groups {
		users, err := a.GroupMembers(ctx, g)
		switch {
		case Code(err) == "no_such_subteam" || Code(err) == "subteam_not_found":
			err = fmt.Errorf("there is no such user group, or it is disabled (%w)", err)
		case err != nil:
			err = Explain("usergroups.users.list", err)
		case len(users) == 0:
			err = errors.New("the group is empty: nobody has its rights")
		}
		add("slack user group "+g, err, fmt.Sprintf("%d members", len(users)))
	}
	people := NewPeople(a)
	for _, id := range k.People {
		p, err := people.Person(ctx, id, true)
		switch {
		case err == nil && !p.Member:
			err = fmt.Errorf("has no rights: %s", p.Why)
		case err == nil && p.Team != auth.TeamID && !slices.Contains(p.Teams, auth.TeamID):
			err = errors.New("has no rights: the account belongs to another workspace")
		}
		add("slack user "+id, err, "full member")
	}
	return out
}

// missing names the scopes that the bot token lacks. Slack lists what was granted in a
// header; where it does not, a call that changes nothing is tried for each.
func (a *API) missing(ctx context.Context, granted, self, channel string) error {
	var lacks []string
	if granted != "" {
		have := strings.FieldsFunc(granted, func(r rune) bool { return r == ',' || r == ' ' })
		for s := range Scopes {
			if !slices.Contains(have, s) {
				lacks = append(lacks, s)
			}
		}
	} else {
		for method, form := range map[string]url.Values{
			"users.info":            {"user": {self}},
			"conversations.info":    {"channel": {channel}},
			"conversations.history": {"channel": {channel}, "limit": {"1"}},
			"files.info":            {"file": {"F0000000000"}},
			"usergroups.users.list": {"usergroup": {"S0000000000"}},
			"chat.update":           {"channel": {channel}, "ts": {"1.000001"}, "text": {"-"}},
		} {
			err := a.ask(ctx, method, form, nil)
			var said slack.SlackErrorResponse
			if errors.As(err, &said) && said.Err == "missing_scope" {
				lacks = append(lacks, strings.Split(cmp.Or(said.Needed, "a scope for "+method), ",")[0])
			}
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	slices.Sort(lacks)
	for i, s := range lacks {
		if why := Scopes[s]; why != "" {
			lacks[i] = s + " (" + why + ")"
		}
	}
	return fmt.Errorf("missing: %s; add them under OAuth & Permissions and install the app again", strings.Join(slices.Compact(lacks), ", "))
}
