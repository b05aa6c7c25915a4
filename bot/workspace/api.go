package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// method is one method of the Web API.
type method struct {
	scopes []string // one of them is needed; none: any token
	app    bool     // wants the app-level token
	tier   int      // calls a minute by Slack's tiers, used with Options.RateLimits
	run    func(*Workspace, *request) (answer, *apiError)
}

type answer map[string]any

// apiError is an answer with ok false.
type apiError struct {
	code     string
	messages []string // response_metadata.messages
	extra    answer
}

func fail(code string, messages ...string) *apiError {
	return &apiError{code: code, messages: messages}
}

// methods are the methods that exist here; a method that Slack has and this table does not is answered with
// unknown_method, as Slack answers for one that it does not have.
func methods() map[string]method {
	chat, hist, read := []string{"chat:write"}, []string{"channels:history", "groups:history", "im:history", "mpim:history"}, []string{"channels:read", "groups:read", "im:read", "mpim:read"}
	return map[string]method{
		"api.test":                     {tier: 100, run: (*Workspace).apiTest},
		"auth.test":                    {tier: 600, run: (*Workspace).authTest},
		"apps.connections.open":        {app: true, scopes: []string{"connections:write"}, tier: 20, run: (*Workspace).connectionsOpen},
		"bots.info":                    {scopes: []string{"users:read"}, tier: 50, run: (*Workspace).botsInfo},
		"team.info":                    {scopes: []string{"team:read"}, tier: 50, run: (*Workspace).teamInfo},
		"chat.postMessage":             {scopes: chat, tier: 60, run: (*Workspace).chatPost},
		"chat.postEphemeral":           {scopes: chat, tier: 100, run: (*Workspace).chatPostEphemeral},
		"chat.update":                  {scopes: chat, tier: 50, run: (*Workspace).chatUpdate},
		"chat.delete":                  {scopes: chat, tier: 50, run: (*Workspace).chatDelete},
		"chat.getPermalink":            {tier: 600, run: (*Workspace).chatPermalink},
		"conversations.info":           {scopes: read, tier: 50, run: (*Workspace).conversationsInfo},
		"conversations.list":           {scopes: read, tier: 20, run: (*Workspace).conversationsList},
		"conversations.members":        {scopes: read, tier: 100, run: (*Workspace).conversationsMembers},
		"conversations.history":        {scopes: hist, tier: 50, run: (*Workspace).conversationsHistory},
		"conversations.replies":        {scopes: hist, tier: 50, run: (*Workspace).conversationsReplies},
		"conversations.join":           {scopes: []string{"channels:join"}, tier: 50, run: (*Workspace).conversationsJoin},
		"conversations.open":           {scopes: []string{"im:write", "mpim:write"}, tier: 50, run: (*Workspace).conversationsOpen},
		"users.info":                   {scopes: []string{"users:read"}, tier: 100, run: (*Workspace).usersInfo},
		"users.list":                   {scopes: []string{"users:read"}, tier: 20, run: (*Workspace).usersList},
		"usergroups.list":              {scopes: []string{"usergroups:read"}, tier: 20, run: (*Workspace).groupsList},
		"usergroups.users.list":        {scopes: []string{"usergroups:read"}, tier: 20, run: (*Workspace).groupUsersList},
		"views.open":                   {tier: 100, run: (*Workspace).viewsOpen},
		"views.push":                   {tier: 100, run: (*Workspace).viewsPush},
		"views.update":                 {tier: 100, run: (*Workspace).viewsUpdate},
		"views.publish":                {tier: 100, run: (*Workspace).viewsPublish},
		"files.getUploadURLExternal":   {scopes: []string{"files:write"}, tier: 100, run: (*Workspace).filesGetURL},
		"files.completeUploadExternal": {scopes: []string{"files:write"}, tier: 100, run: (*Workspace).filesComplete},
		"files.info":                   {scopes: []string{"files:read"}, tier: 100, run: (*Workspace).filesInfo},
		"files.delete":                 {scopes: []string{"files:write"}, tier: 50, run: (*Workspace).filesDelete},
		"reactions.add":                {scopes: []string{"reactions:write"}, tier: 50, run: (*Workspace).reactionsAdd},
		"reactions.remove":             {scopes: []string{"reactions:write"}, tier: 20, run: (*Workspace).reactionsRemove},
		"pins.add":                     {scopes: []string{"pins:write"}, tier: 20, run: (*Workspace).pinsAdd},
		"pins.remove":                  {scopes: []string{"pins:write"}, tier: 20, run: (*Workspace).pinsRemove},
	}
}

// DefaultScopes are the bot scopes of the app's manifest (docs/slack.md).
func DefaultScopes() []string {
	return []string{
		"app_mentions:read", "channels:history", "channels:read", "chat:write", "commands", "files:read", "files:write",
		"groups:history", "groups:read", "team:read", "usergroups:read", "users:read",
	}
}

// DefaultEvents are the bot events of the app's manifest.
func DefaultEvents() []string {
	return []string{"app_home_opened", "app_mention", "file_shared", "message.channels", "message.groups", "user_change"}
}

// ScopesFor lists the scopes of which a method needs one; none for a method that needs only a token, and false
// for one that does not exist here.
func ScopesFor(name string) ([]string, bool) {
	m, ok := methods()[name]
	return m.scopes, ok
}

// request is a call with its parameters: form values, or the fields of a JSON body (nested ones as JSON).
type request struct {
	method string
	params map[string]string
}

func (r *request) get(k string) string { return r.params[k] }

func (r *request) bool(k string) bool { return r.params[k] == "true" || r.params[k] == "1" }

func (r *request) int(k string, or, most int) int {
	n, err := strconv.Atoi(r.params[k])
	if err != nil || n <= 0 {
		return or
	}
	return min(n, most)
}

// Call is a recorded call of the app.
type Call struct {
	At      time.Time
	Method  string            // chat.postMessage, …, upload, download, response_url
	Params  map[string]string // without the token
	TokenIn string            // body, header, or empty
	Status  int               // HTTP status of the answer
	Error   string            // Slack's error, empty when ok
}

// Calls returns the recorded calls of a method, or all when method is empty, oldest first.
func (w *Workspace) Calls(method string) []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Call
	for _, c := range w.calls {
		if method == "" || c.Method == method {
			out = append(out, c)
		}
	}
	return out
}

func (w *Workspace) record(c Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.calls) >= maxCalls {
		w.calls = slices.Delete(w.calls, 0, maxCalls/10)
	}
	w.calls = append(w.calls, c)
	if c.Error != "" {
		w.log.Warn("Slack call refused", "method", c.Method, "error", c.Error, "status", c.Status)
	} else {
		w.log.Debug("Slack call", "method", c.Method, "status", c.Status)
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// Fault is a misbehaviour of Slack.
type Fault struct {
	Method     string        // an API method, upload, download, response_url, or * for all
	Times      int           // how many calls it strikes; 0: until removed
	After      int           // so many calls pass before it strikes
	Delay      time.Duration // the answer is held back so long (until the client gives up, at most)
	Hang       bool          // no answer comes at all
	Drop       bool          // the connection is cut without an answer
	Status     int           // HTTP status instead of the answer: 429, 500, 503, …
	RetryAfter time.Duration // the Retry-After header, rounded up to seconds
	Error      string        // ok false with this error
	Done       bool          // what was asked is done first: the client cannot know
	Empty      bool          // the status with an HTML body, as from a proxy in between

	active bool
}

// Inject makes calls fail until the fault is used up or remove is called.
func (w *Workspace) Inject(f Fault) (remove func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &f
	p.active = true
	if p.Times == 0 {
		p.Times = math.MaxInt
	}
	w.faults = append(w.faults, p)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.active = false
		w.faults = slices.DeleteFunc(w.faults, func(g *Fault) bool { return g == p })
	}
}

// strike returns the fault that hits this call, if any.
func (w *Workspace) strike(method string) *Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faults {
		if f.Method != "*" && f.Method != method || f.Times == 0 {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		f.Times--
		g := *f
		return &g
	}
	return nil
}

// misbehave does what a fault says, but for doing the work first; it reports whether the call was answered.
func (w *Workspace) misbehave(f *Fault, rw http.ResponseWriter, r *http.Request, name string) bool {
	if f == nil {
		return false
	}
	wait := func(d time.Duration) bool {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return true
		case <-r.Context().Done():
		case <-w.done:
		}
		return false
	}
	if f.Hang {
		wait(time.Hour)
		panic(http.ErrAbortHandler)
	}
	if f.Delay > 0 && !wait(f.Delay) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f.Drop:
		w.record(Call{At: w.opt.Now(), Method: name, Error: "connection dropped by a fault"})
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		if f.Status == http.StatusTooManyRequests {
			secs := max(1, int(math.Ceil(f.RetryAfter.Seconds())))
			rw.Header().Set("Retry-After", strconv.Itoa(secs))
		}
		code := http.StatusText(f.Status)
		if f.Status == http.StatusTooManyRequests {
			code = "ratelimited"
		}
		w.record(Call{At: w.opt.Now(), Method: name, Status: f.Status, Error: code})
		if f.Empty || f.Status >= 500 {
			rw.Header().Set("Content-Type", "text/html")
			rw.WriteHeader(f.Status)
			io.WriteString(rw, "<html><body>Slack is having trouble.</body></html>")
			return true
		}
		writeJSON(rw, f.Status, answer{"ok": false, "error": code})
		return true
	case f.Error != "":
		w.record(Call{At: w.opt.Now(), Method: name, Status: 200, Error: f.Error})
		writeJSON(rw, 200, answer{"ok": false, "error": f.Error})
		return true
	}
	return false
}

// serveAPI answers one call of the Web API.
func (w *Workspace) serveAPI(rw http.ResponseWriter, r *http.Request) {
	name := r.PathValue("method")
	params, token, tokenIn, aerr := readParams(rw, r)
	req := &request{method: name, params: params}
	m, known := methods()[name]
	fault := w.strike(name)
	if fault != nil && !fault.Done && w.misbehave(fault, rw, r, name) {
		return
	}
	var out answer
	if aerr == nil {
		out, aerr = w.call(m, known, req, token, rw)
	}
	rec := Call{At: w.opt.Now(), Method: name, Params: params, TokenIn: tokenIn, Status: 200}
	if aerr != nil && aerr.code == "ratelimited" {
		rec.Status = http.StatusTooManyRequests
	}
	if aerr != nil {
		rec.Error = aerr.code
		if len(aerr.messages) > 0 {
			rec.Error += ": " + strings.Join(aerr.messages, "; ")
		}
	}
	w.record(rec)
	if fault != nil && fault.Done && w.misbehave(fault, rw, r, name) {
		return
	}
	if aerr != nil {
		out = answer{"ok": false, "error": aerr.code}
		if len(aerr.messages) > 0 {
			out["response_metadata"] = map[string]any{"messages": aerr.messages}
			out["errors"] = aerr.messages
		}
		maps.Copy(out, aerr.extra)
	} else {
		if out == nil {
			out = answer{}
		}
		out["ok"] = true
	}
	writeJSON(rw, rec.Status, out)
}

// call checks the token, the scope and the rate, and runs the method under the lock.
func (w *Workspace) call(m method, known bool, req *request, token string, rw http.ResponseWriter) (answer, *apiError) {
	if !known {
		return nil, fail("unknown_method")
	}
	want, scopes := w.botToken, w.opt.Scopes
	if m.app {
		want, scopes = w.appToken, []string{"connections:write"}
	}
	rw.Header().Set("X-OAuth-Scopes", strings.Join(scopes, ","))
	switch {
	case token == "":
		return nil, fail("not_authed")
	case token == want || (token == w.appToken && len(m.scopes) == 0 && req.method == "auth.test"):
	case token == w.appToken || token == w.botToken:
		return nil, fail("not_allowed_token_type")
	default:
		return nil, fail("invalid_auth")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, needed := range w.needed(m, req) {
		if !slices.ContainsFunc(needed, func(s string) bool { return slices.Contains(scopes, s) }) {
			rw.Header().Set("X-Accepted-OAuth-Scopes", strings.Join(needed, ","))
			return nil, &apiError{code: "missing_scope", extra: answer{"needed": needed[0], "provided": strings.Join(scopes, ",")}}
		}
	}
	if wait := w.limit(req, m.tier); wait > 0 {
		rw.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return nil, fail("ratelimited")
	}
	return m.run(w, req)
}

// needed lists what the call needs, one scope of each set: a method on conversations needs the scope of each
// kind of conversation that it touches. The lock is held.
func (w *Workspace) needed(m method, req *request) [][]string {
	if len(m.scopes) == 0 {
		return nil
	}
	var kinds []string
	if c := w.channel(req.get("channel")); c != nil {
		kinds = []string{map[string]string{"channel": "channels:", "group": "groups:", "im": "im:"}[c.kind()]}
	} else if req.method == "conversations.list" {
		kinds = []string{"channels:"}
		if t := req.get("types"); t != "" {
			kinds = nil
			for k := range strings.SplitSeq(t, ",") {
				kinds = append(kinds, map[string]string{"public_channel": "channels:", "private_channel": "groups:", "im": "im:", "mpim": "mpim:"}[k])
			}
		}
	}
	var out [][]string
	for _, k := range kinds {
		for _, s := range m.scopes {
			if strings.HasPrefix(s, k) {
				out = append(out, []string{s})
			}
		}
	}
	if out == nil {
		return [][]string{m.scopes}
	}
	return out
}

// limit counts the call and returns how long the client must wait when it was one too many. The lock is held.
func (w *Workspace) limit(req *request, perMinute int) time.Duration {
	if !w.opt.RateLimits {
		return 0
	}
	now := time.Now()
	count := func(key string, n int, window time.Duration) time.Duration {
		at := slices.DeleteFunc(w.limits[key], func(t time.Time) bool { return now.Sub(t) >= window })
		if len(at) >= n {
			w.limits[key] = at
			return at[0].Add(window).Sub(now)
		}
		w.limits[key] = append(at, now)
		return 0
	}
	if req.method == "chat.postMessage" {
		// One a second for each channel, short bursts allowed.
		return count("post "+req.get("channel"), 5, 5*time.Second)
	}
	return count(req.method, perMinute, time.Minute)
}

// readParams reads a form, multipart or JSON body and takes the token out.
func readParams(rw http.ResponseWriter, r *http.Request) (params map[string]string, token, tokenIn string, aerr *apiError) {
	params = map[string]string{}
	if h, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token, tokenIn = h, "header"
	}
	if r.Method == http.MethodGet {
		for k, v := range r.URL.Query() {
			params[k] = v[0]
		}
		if params["token"] != "" {
			return params, "", "", fail("invalid_auth", "tokens in the query string are not accepted")
		}
		return params, token, tokenIn, nil
	}
	r.Body = http.MaxBytesReader(rw, r.Body, 4<<20)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		var body map[string]json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil && !errors.Is(err, io.EOF) { // an empty body is no parameters
			return params, token, tokenIn, fail("invalid_json")
		}
		for k, v := range body {
			var s string
			if string(v) == "null" {
				continue
			}
			if json.Unmarshal(v, &s) == nil {
				params[k] = s
			} else {
				params[k] = string(v)
			}
		}
		if params["token"] != "" && token == "" {
			return params, "", "", fail("not_authed", "with a JSON body the token goes into the Authorization header")
		}
	case "application/x-www-form-urlencoded", "multipart/form-data", "":
		var values url.Values
		var err error
		if kind == "multipart/form-data" {
			if err = r.ParseMultipartForm(4 << 20); err == nil {
				values = r.MultipartForm.Value
			}
		} else if err = r.ParseForm(); err == nil {
			values = r.PostForm
		}
		if err != nil {
			return params, token, tokenIn, fail("invalid_form_data")
		}
		for k, v := range values {
			params[k] = v[0]
		}
		if t := params["token"]; t != "" {
			token, tokenIn = t, "body"
		}
		delete(params, "token")
	default:
		return params, token, tokenIn, fail("invalid_post_type")
	}
	return params, token, tokenIn, nil
}

func writeJSON(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	if err := json.NewEncoder(rw).Encode(v); err != nil {
		fmt.Fprintln(rw, `{"ok":false,"error":"internal_error"}`)
	}
}
