package workspace

import (
	"encoding/json"
	"fmt"
	"time"
)

// view is a modal that is open, or a user's App Home.
type view struct {
	id, root, previous string
	user               string
	hash               string
	def                map[string]any    // as validated
	errors             map[string]string // block id to what is wrong, after a submission
	pending            bool              // submitted, not answered yet
	rev                int64
}

func (w *Workspace) viewJSON(v *view, state map[string]any) map[string]any {
	o := map[string]any{
		"id": v.id, "team_id": teamID, "app_id": appID, "app_installed_team_id": teamID, "bot_id": botID, "hash": v.hash,
		"root_view_id": v.root, "previous_view_id": nil, "private_metadata": "", "callback_id": "", "external_id": "", "state": map[string]any{"values": map[string]any{}},
		"clear_on_close": false, "notify_on_close": false, "submit": nil, "close": nil,
	}
	for k, x := range v.def {
		o[k] = x
	}
	if v.previous != "" {
		o["previous_view_id"] = v.previous
	}
	if state != nil {
		o["state"] = map[string]any{"values": state}
	}
	return o
}

func (w *Workspace) newHash() string { return fmt.Sprintf("%d.%s", w.opt.Now().Unix(), w.random(4)) }

func (w *Workspace) readView(s, kind string) (map[string]any, *apiError) {
	if s == "" {
		return nil, fail("invalid_arguments", "[ERROR] missing required field: view")
	}
	v, err := decode(s)
	if err != nil {
		return nil, fail("invalid_arguments", "[ERROR] view is not JSON: "+err.Error())
	}
	def, errs := checkView(v, func() string { return w.random(3)[:5] })
	if len(errs) > 0 {
		return nil, fail("invalid_arguments", errs...)
	}
	if def["type"] != kind {
		return nil, fail("invalid_arguments", fmt.Sprintf("[ERROR] must be a view of type %s [json-pointer:/view/type]", kind))
	}
	if b, _ := json.Marshal(def); len(b) > 250_000 {
		return nil, fail("view_too_large")
	}
	return def, nil
}

// takeTrigger uses up a trigger_id.
func (w *Workspace) takeTrigger(id string) (*trigger, *apiError) {
	t := w.triggers[id]
	switch {
	case id == "" || t == nil:
		return nil, fail("invalid_trigger_id")
	case time.Since(t.at) > w.opt.TriggerTTL:
		return nil, fail("expired_trigger_id")
	case t.used:
		return nil, fail("exchanged_trigger_id")
	}
	t.used = true
	return t, nil
}

func (w *Workspace) viewsOpen(r *request) (answer, *apiError) { return w.openView(r, false) }

func (w *Workspace) viewsPush(r *request) (answer, *apiError) { return w.openView(r, true) }

func (w *Workspace) openView(r *request, push bool) (answer, *apiError) {
	def, aerr := w.readView(r.get("view"), "modal")
	if aerr != nil {
		return nil, aerr
	}
	t, aerr := w.takeTrigger(r.get("trigger_id"))
	if aerr != nil {
		return nil, aerr
	}
	stack := w.modals[t.user]
	if push && len(stack) >= 3 {
		return nil, fail("push_limit_reached")
	}
	if !push {
		stack = nil
	}
	v := w.pushView(t.user, stack, def)
	return answer{"view": w.viewJSON(v, nil)}, nil
}

func (w *Workspace) pushView(user string, stack []*view, def map[string]any) *view {
	v := &view{id: w.id("V"), user: user, def: def, hash: w.newHash()}
	v.root = v.id
	if n := len(stack); n > 0 {
		v.root, v.previous = stack[0].id, stack[n-1].id
	}
	v.rev = w.touch()
	w.modals[user] = append(stack, v)
	return v
}

func (w *Workspace) viewsUpdate(r *request) (answer, *apiError) {
	var v *view
	for _, stack := range w.modals {
		for _, x := range stack {
			if x.id == r.get("view_id") && x.id != "" || r.get("external_id") != "" && str(x.def["external_id"]) == r.get("external_id") {
				v = x
			}
		}
	}
	if v == nil {
		return nil, fail("not_found")
	}
	if h := r.get("hash"); h != "" && h != v.hash {
		return nil, fail("hash_conflict")
	}
	def, aerr := w.readView(r.get("view"), "modal")
	if aerr != nil {
		return nil, aerr
	}
	v.def, v.hash, v.errors, v.pending = def, w.newHash(), nil, false
	v.rev = w.touch()
	return answer{"view": w.viewJSON(v, nil)}, nil
}

func (w *Workspace) viewsPublish(r *request) (answer, *apiError) {
	u := w.user(r.get("user_id"))
	if u == nil || u.Bot {
		return nil, fail("user_not_found")
	}
	def, aerr := w.readView(r.get("view"), "home")
	if aerr != nil {
		return nil, aerr
	}
	old := w.homes[u.ID]
	if h := r.get("hash"); h != "" && (old == nil || h != old.hash) {
		return nil, fail("hash_conflict")
	}
	v := &view{id: w.id("V"), user: u.ID, def: def, hash: w.newHash()}
	if old != nil {
		v.id = old.id
	}
	v.root = v.id
	v.rev = w.touch()
	w.homes[u.ID] = v
	return answer{"view": w.viewJSON(v, nil)}, nil
}

// submitted does what the app's answer to a submission says. The lock is held.
func (w *Workspace) submitted(v *view, payload json.RawMessage) {
	v.pending = false
	defer func() { v.rev = w.touch() }()
	var a struct {
		Action string            `json:"response_action"`
		Errors map[string]string `json:"errors"`
		View   json.RawMessage   `json:"view"`
	}
	if len(payload) > 0 {
		if err := json.Unmarshal(payload, &a); err != nil {
			v.errors = map[string]string{"": "The app's answer could not be read."}
			return
		}
	}
	stack := w.modals[v.user]
	switch a.Action {
	case "":
		if n := len(stack); n > 0 && stack[n-1] == v {
			w.modals[v.user] = stack[:n-1]
		}
	case "clear":
		w.modals[v.user] = nil
	case "errors":
		known := map[string]bool{}
		for _, b := range v.def["blocks"].([]any) {
			if m := b.(map[string]any); m["type"] == "input" {
				known[str(m["block_id"])] = true
			}
		}
		for id := range a.Errors {
			if !known[id] || a.Errors[id] == "" {
				v.errors = map[string]string{"": "We had some trouble connecting. Try again? (the app named an unknown input: " + id + ")"}
				return
			}
		}
		v.errors = a.Errors
	case "update", "push":
		def, aerr := w.readView(string(a.View), "modal")
		if aerr != nil {
			v.errors = map[string]string{"": "We had some trouble connecting. Try again? (" + aerr.code + ")"}
			w.log.Warn("the app's view was refused", "error", aerr.code, "messages", aerr.messages)
			return
		}
		if a.Action == "push" {
			w.pushView(v.user, stack, def)
			return
		}
		v.def, v.hash, v.errors = def, w.newHash(), nil
	default:
		v.errors = map[string]string{"": "The app answered with an unknown response_action."}
	}
}
