package slack

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Person is a user as Slack says now.
type Person struct {
	ID, Team, Enterprise string
	Teams                []string // of an enterprise, that the person is in
	Member               bool     // a full member: no bot, guest, stranger or deactivated account
	Why                  string   // why not
	TZ                   string
}

// People looks users and user groups up, with a short memory.
type People struct {
	api *API
	ttl time.Duration

	mu      sync.Mutex
	persons map[string]remembered[Person]
	groups  map[string]remembered[[]string]
}

type remembered[T any] struct {
	v  T
	at time.Time
}

// NewPeople remembers answers for a minute.
func NewPeople(api *API) *People {
	return &People{api: api, ttl: time.Minute, persons: map[string]remembered[Person]{}, groups: map[string]remembered[[]string]{}}
}

// maxRemembered bounds the memory.
const maxRemembered = 10_000

// Person looks a user up; fresh asks Slack whatever is remembered.
func (p *People) Person(ctx context.Context, id string, fresh bool) (Person, error) {
	now := p.api.now()
	p.mu.Lock()
	r, ok := p.persons[id]
	p.mu.Unlock()
	if ok && !fresh && now.Sub(r.at) < p.ttl {
		return r.v, nil
	}
	var answer struct {
		User struct {
			ID              string `json:"id"`
			TeamID          string `json:"team_id"`
			TZ              string `json:"tz"`
			Deleted         bool   `json:"deleted"`
			Bot             bool   `json:"is_bot"`
			WorkflowBot     bool   `json:"is_workflow_bot"`
			ConnectorBot    bool   `json:"is_connector_bot"`
			Restricted      bool   `json:"is_restricted"`
			UltraRestricted bool   `json:"is_ultra_restricted"`
			Stranger        bool   `json:"is_stranger"`
			Invited         bool   `json:"is_invited_user"`
			Enterprise      struct {
				ID    string   `json:"enterprise_id"`
				Teams []string `json:"teams"`
			} `json:"enterprise_user"`
		} `json:"user"`
	}
	err := p.api.ask(ctx, "users.info", url.Values{"user": {id}}, &answer)
	switch Code(err) {
	case "user_not_found", "user_not_visible":
		return Person{ID: id, Why: "Slack does not show your account to vpnbot"}, nil
	}
	if err != nil {
		return Person{}, Explain("users.info", err)
	}
	u := answer.User
	x := Person{ID: u.ID, Team: u.TeamID, Enterprise: u.Enterprise.ID, Teams: u.Enterprise.Teams, TZ: u.TZ}
	switch {
	case u.ID != id:
		return Person{}, fmt.Errorf("users.info: asked for %s, got %s", id, u.ID)
	case u.Deleted:
		x.Why = "the account is deactivated"
	case u.Bot || u.WorkflowBot || u.ConnectorBot || id == "USLACKBOT":
		x.Why = "it is a bot"
	case u.Restricted || u.UltraRestricted:
		x.Why = "the account is a guest's"
	case u.Stranger:
		x.Why = "the account belongs to another workspace"
	case u.Invited:
		x.Why = "the account was not accepted yet"
	default:
		x.Member = true
	}
	p.mu.Lock()
	if len(p.persons) > maxRemembered {
		clear(p.persons)
	}
	p.persons[id] = remembered[Person]{x, now}
	p.mu.Unlock()
	return x, nil
}

// InGroup tells whether a user is in a user group.
func (p *People) InGroup(ctx context.Context, group, user string, fresh bool) (bool, error) {
	now := p.api.now()
	p.mu.Lock()
	r, ok := p.groups[group]
	p.mu.Unlock()
	if !ok || fresh || now.Sub(r.at) >= p.ttl {
		members, err := p.api.GroupMembers(ctx, group)
		if err != nil {
			return false, Explain("usergroups.users.list", err)
		}
		r = remembered[[]string]{members, now}
		p.mu.Lock()
		if len(p.groups) > maxRemembered {
			clear(p.groups)
		}
		p.groups[group] = r
		p.mu.Unlock()
	}
	return slices.Contains(r.v, user), nil
}

// GroupMembers lists the users of a user group.
func (a *API) GroupMembers(ctx context.Context, group string) ([]string, error) {
	var r struct {
		Users []string `json:"users"`
	}
	err := a.ask(ctx, "usergroups.users.list", url.Values{"usergroup": {group}}, &r)
	return r.Users, err
}
