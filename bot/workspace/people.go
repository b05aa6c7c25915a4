package workspace

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (w *Workspace) apiTest(*request) (answer, *apiError) { return nil, nil }

func (w *Workspace) authTest(*request) (answer, *apiError) {
	return answer{"url": "http://" + w.host + "/", "team": teamName, "user": w.opt.AppName, "team_id": teamID, "user_id": botUserID, "bot_id": botID, "is_enterprise_install": false}, nil
}

func (w *Workspace) botsInfo(r *request) (answer, *apiError) {
	if b := r.get("bot"); b != "" && b != botID {
		return nil, fail("bot_not_found")
	}
	return answer{"bot": map[string]any{"id": botID, "deleted": false, "name": w.opt.AppName, "updated": 1, "app_id": appID, "user_id": botUserID, "icons": map[string]any{}}}, nil
}

func (w *Workspace) teamInfo(*request) (answer, *apiError) {
	return answer{"team": map[string]any{"id": teamID, "name": teamName, "domain": "example-networks", "email_domain": "example.net", "icon": map[string]any{"image_default": true}}}, nil
}

func (w *Workspace) userJSON(u *User) map[string]any {
	return map[string]any{
		"id": u.ID, "team_id": u.TeamID, "name": u.Name, "deleted": u.Deleted, "real_name": u.RealName, "tz": "Etc/UTC", "tz_label": "UTC", "tz_offset": 0,
		"profile":  map[string]any{"real_name": u.RealName, "display_name": u.Name, "real_name_normalized": u.RealName, "display_name_normalized": u.Name, "team": u.TeamID, "image_48": "http://" + w.host + "/page/avatar.svg"},
		"is_admin": u.Admin, "is_owner": false, "is_primary_owner": false, "is_restricted": u.Guest, "is_ultra_restricted": u.Single, "is_bot": u.Bot,
		"is_app_user": false, "is_stranger": u.TeamID != teamID, "updated": 1, "has_2fa": true,
	}
}

func (w *Workspace) usersInfo(r *request) (answer, *apiError) {
	u := w.user(r.get("user"))
	if u == nil {
		return nil, fail("user_not_found")
	}
	return answer{"user": w.userJSON(u)}, nil
}

// page cuts a list by limit and cursor; the cursor is an offset that clients must not read.
func page[T any](r *request, all []T, or, most int) (part []T, next string, aerr *apiError) {
	from := 0
	if c := r.get("cursor"); c != "" {
		s, ok := strings.CutPrefix(c, "bmV4dD")
		n, err := strconv.Atoi(s)
		if !ok || err != nil || n < 0 || n > len(all) {
			return nil, "", fail("invalid_cursor")
		}
		from = n
	}
	to := min(len(all), from+r.int("limit", or, most))
	if to < len(all) {
		next = fmt.Sprintf("bmV4dD%d", to)
	}
	return all[from:to], next, nil
}

func (w *Workspace) usersList(r *request) (answer, *apiError) {
	part, next, aerr := page(r, w.users, 200, 1000)
	if aerr != nil {
		return nil, aerr
	}
	members := []any{}
	for _, u := range part {
		members = append(members, w.userJSON(u))
	}
	return answer{"members": members, "cache_ts": w.opt.Now().Unix(), "response_metadata": map[string]any{"next_cursor": next}}, nil
}

func (g *userGroup) json(withUsers bool) map[string]any {
	o := map[string]any{"id": g.id, "team_id": teamID, "is_usergroup": true, "name": g.name, "handle": g.handle, "description": "", "is_external": false, "date_create": 1, "date_update": 1, "date_delete": 0, "user_count": len(g.members)}
	if withUsers {
		o["users"] = g.members
	}
	return o
}

func (w *Workspace) groupsList(r *request) (answer, *apiError) {
	list := []any{}
	for _, g := range w.groups {
		list = append(list, g.json(r.bool("include_users")))
	}
	return answer{"usergroups": list}, nil
}

func (w *Workspace) groupUsersList(r *request) (answer, *apiError) {
	for _, g := range w.groups {
		if g.id == r.get("usergroup") {
			return answer{"users": g.members}, nil
		}
	}
	return nil, fail("no_such_subteam")
}

func (c *channel) kind() string {
	switch {
	case c.user != "":
		return "im"
	case c.private:
		return "group"
	}
	return "channel"
}

func (w *Workspace) channelJSON(c *channel) map[string]any {
	o := map[string]any{"id": c.id, "created": 1, "is_archived": c.archived, "is_im": c.user != "", "is_mpim": false, "is_org_shared": false, "context_team_id": teamID}
	if c.user != "" {
		o["user"] = c.user
		return o
	}
	o["name"], o["name_normalized"] = c.name, c.name
	o["is_channel"], o["is_group"], o["is_private"], o["is_member"], o["is_general"] = !c.private, c.private, c.private, c.member, c.name == "general"
	o["is_shared"], o["is_ext_shared"] = false, false
	o["topic"] = map[string]any{"value": c.topic, "creator": "", "last_set": 0}
	o["purpose"] = map[string]any{"value": "", "creator": "", "last_set": 0}
	return o
}

func (w *Workspace) conversationsInfo(r *request) (answer, *apiError) {
	c := w.channel(r.get("channel"))
	if c == nil || (c.private && !c.member) {
		return nil, fail("channel_not_found")
	}
	o := w.channelJSON(c)
	if r.bool("include_num_members") {
		o["num_members"] = len(w.channelMembers(c))
	}
	return answer{"channel": o}, nil
}

func (w *Workspace) channelMembers(c *channel) []string {
	out := []string{}
	for _, u := range w.users {
		if w.isMember(c, u.ID) && (u.ID != botUserID || c.member) {
			out = append(out, u.ID)
		}
	}
	return out
}

func (w *Workspace) conversationsList(r *request) (answer, *apiError) {
	types := r.get("types")
	if types == "" {
		types = "public_channel"
	}
	want := strings.Split(types, ",")
	var match []*channel
	for _, c := range w.channels {
		kind := map[string]string{"channel": "public_channel", "group": "private_channel", "im": "im"}[c.kind()]
		if slices.Contains(want, kind) && (!c.private || c.member) && !(c.archived && r.bool("exclude_archived")) {
			match = append(match, c)
		}
	}
	part, next, aerr := page(r, match, 100, 1000)
	if aerr != nil {
		return nil, aerr
	}
	list := []any{}
	for _, c := range part {
		list = append(list, w.channelJSON(c))
	}
	return answer{"channels": list, "response_metadata": map[string]any{"next_cursor": next}}, nil
}

func (w *Workspace) conversationsMembers(r *request) (answer, *apiError) {
	c := w.channel(r.get("channel"))
	if c == nil {
		return nil, fail("channel_not_found")
	}
	part, next, aerr := page(r, w.channelMembers(c), 100, 1000)
	if aerr != nil {
		return nil, aerr
	}
	return answer{"members": part, "response_metadata": map[string]any{"next_cursor": next}}, nil
}

// readable finds the channel that an app may read.
func (w *Workspace) readable(r *request) (*channel, *apiError) {
	c := w.channel(r.get("channel"))
	switch {
	case c == nil:
		return nil, fail("channel_not_found")
	case c.user == "" && !c.member:
		return nil, fail("not_in_channel")
	}
	return c, nil
}

// inRange says whether ts is between oldest and latest.
func inRange(r *request, ts string) bool {
	oldest, latest, inclusive := r.get("oldest"), r.get("latest"), r.bool("inclusive")
	t, _ := strconv.ParseFloat(ts, 64)
	if f, err := strconv.ParseFloat(oldest, 64); err == nil && (t < f || t == f && !inclusive) {
		return false
	}
	if f, err := strconv.ParseFloat(latest, 64); err == nil && f > 0 && (t > f || t == f && !inclusive) {
		return false
	}
	return true
}

func (w *Workspace) conversationsHistory(r *request) (answer, *apiError) {
	c, aerr := w.readable(r)
	if aerr != nil {
		return nil, aerr
	}
	var match []*Message
	for _, m := range slices.Backward(c.messages) {
		if !m.Deleted && m.Ephemeral == "" && (!m.IsReply() || m.Broadcast) && inRange(r, m.TS) {
			match = append(match, m)
		}
	}
	return w.messagePage(r, match)
}

func (w *Workspace) conversationsReplies(r *request) (answer, *apiError) {
	c, aerr := w.readable(r)
	if aerr != nil {
		return nil, aerr
	}
	p := c.find(r.get("ts"))
	if p == nil || p.Ephemeral != "" {
		return nil, fail("thread_not_found")
	}
	root := p.TS
	if p.IsReply() {
		root = p.ThreadTS
	}
	var match []*Message
	for _, m := range c.messages {
		if !m.Deleted && m.Ephemeral == "" && (m.TS == root || m.ThreadTS == root && inRange(r, m.TS)) {
			match = append(match, m)
		}
	}
	return w.messagePage(r, match)
}

func (w *Workspace) messagePage(r *request, match []*Message) (answer, *apiError) {
	part, next, aerr := page(r, match, 100, 999)
	if aerr != nil {
		return nil, aerr
	}
	list := []any{}
	for _, m := range part {
		list = append(list, w.messageJSON(m, r.bool("include_all_metadata")))
	}
	return answer{"messages": list, "has_more": next != "", "pin_count": 0, "response_metadata": map[string]any{"next_cursor": next}}, nil
}

func (w *Workspace) conversationsJoin(r *request) (answer, *apiError) {
	c := w.channel(r.get("channel"))
	switch {
	case c == nil:
		return nil, fail("channel_not_found")
	case c.kind() != "channel":
		return nil, fail("method_not_supported_for_channel_type")
	case c.archived:
		return nil, fail("is_archived")
	}
	out := answer{"channel": w.channelJSON(c)}
	if c.member {
		out["warning"] = "already_in_channel"
	}
	c.member = true
	w.members[c.id+botUserID] = true
	w.touch()
	return out, nil
}

func (w *Workspace) conversationsOpen(r *request) (answer, *apiError) {
	u := w.user(r.get("users"))
	if u == nil || u.Bot {
		return nil, fail("user_not_found")
	}
	c := w.direct(u)
	return answer{"channel": map[string]any{"id": c.id}, "no_op": false, "already_open": len(c.messages) > 0}, nil
}
