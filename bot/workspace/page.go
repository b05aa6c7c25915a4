package workspace

import (
	"crypto/subtle"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

//go:embed page
var pageFiles embed.FS

// policy lets the page load what it brings itself and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (w *Workspace) pageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", w.guarded(w.servePage))
	mux.HandleFunc("GET /page/app.js", w.asset("app.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /page/render.js", w.asset("render.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /page/style.css", w.asset("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /page/state", w.guarded(w.serveState))
	mux.HandleFunc("GET /page/events", w.guarded(w.serveEvents))
	mux.HandleFunc("GET /page/file/{id}", w.guarded(w.servePageFile))
	mux.HandleFunc("POST /page/act", w.guarded(w.serveAct))
	mux.HandleFunc("POST /page/upload", w.guarded(w.servePageUpload))
}

func headers(rw http.ResponseWriter) {
	h := rw.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// guarded admits whoever holds the page's token and does not come from a foreign page.
func (w *Workspace) guarded(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		headers(rw)
		if o := r.Header.Get("Origin"); o != "" {
			if u, err := url.Parse(o); err != nil || u.Host != r.Host {
				http.Error(rw, "requests from other pages are refused", http.StatusForbidden)
				return
			}
		}
		token := r.Header.Get("X-Workspace-Token")
		if r.Method == http.MethodGet && token == "" {
			token = r.URL.Query().Get("token")
		}
		if subtle.ConstantTimeCompare([]byte(token), []byte(w.pageToken)) != 1 {
			http.Error(rw, "Open the whole address that was printed at the start: the token in it is what admits you.", http.StatusForbidden)
			return
		}
		next(rw, r)
	}
}

func (w *Workspace) asset(name, kind string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		b, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			http.Error(rw, "not found", http.StatusNotFound)
			return
		}
		headers(rw)
		rw.Header().Set("Content-Type", kind)
		rw.Write(b)
	}
}

func (w *Workspace) servePage(rw http.ResponseWriter, _ *http.Request) {
	b, _ := pageFiles.ReadFile("page/index.html")
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Write(b)
}

type pageMessage struct {
	Channel   string              `json:"channel"`
	TS        string              `json:"ts"`
	Thread    string              `json:"thread,omitempty"`
	User      string              `json:"user"`
	App       bool                `json:"app,omitempty"`
	Text      string              `json:"text"`
	Blocks    []any               `json:"blocks,omitempty"`
	Files     []pageFile          `json:"files,omitempty"`
	Ephemeral bool                `json:"ephemeral,omitempty"`
	Edited    bool                `json:"edited,omitempty"`
	Deleted   bool                `json:"deleted,omitempty"`
	Broadcast bool                `json:"broadcast,omitempty"`
	Pinned    bool                `json:"pinned,omitempty"`
	Replies   []string            `json:"replies,omitempty"`
	Reactions map[string][]string `json:"reactions,omitempty"`
}

type pageFile struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Title string `json:"title"`
	Type  string `json:"type"`
	Alt   string `json:"alt"`
	Size  int    `json:"size"`
	Image bool   `json:"image"`
	Gone  bool   `json:"gone,omitempty"`
}

// serveState answers what a user sees, or what changed of the messages since a revision.
func (w *Workspace) serveState(rw http.ResponseWriter, r *http.Request) {
	since, _ := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
	me := r.URL.Query().Get("user")
	w.mu.Lock()
	if u, err := w.person(me); err != nil || u == nil {
		me = ""
		for _, u := range w.users {
			if !u.Bot && !u.Deleted {
				me = u.ID
				break
			}
		}
	}
	out := map[string]any{
		"rev": w.rev, "me": me, "team": teamName, "app": botUserID, "appName": w.opt.AppName, "command": w.opt.Command,
		"hints": w.opt.Hints, "connected": len(w.sockets) > 0 || w.opt.RequestURL != "",
	}
	var users, channels, shortcuts []any
	for _, u := range w.users {
		users = append(users, map[string]any{"id": u.ID, "name": u.Name, "real": u.RealName, "bot": u.Bot, "guest": u.Guest || u.Single, "admin": u.Admin, "deleted": u.Deleted, "stranger": u.TeamID != teamID})
	}
	messages := []pageMessage{}
	for _, c := range w.channels {
		if !w.isMember(c, me) {
			continue
		}
		channels = append(channels, map[string]any{"id": c.id, "name": c.name, "topic": c.topic, "direct": c.user != "", "app": c.member, "members": len(w.channelMembers(c))})
		for _, m := range c.messages {
			if m.rev <= since || (m.Ephemeral != "" && m.Ephemeral != me) || (m.Deleted && since == 0) {
				continue
			}
			messages = append(messages, w.pageMessage(m))
		}
	}
	for _, s := range w.opt.Shortcuts {
		shortcuts = append(shortcuts, map[string]any{"id": s.CallbackID, "name": s.Name})
	}
	for _, g := range w.groups {
		out["groups"] = map[string]string{g.id: g.handle}
	}
	out["users"], out["channels"], out["shortcuts"], out["messages"] = users, channels, shortcuts, messages
	if stack := w.modals[me]; len(stack) > 0 {
		v := stack[len(stack)-1]
		out["modal"] = map[string]any{"id": v.id, "rev": v.rev, "view": v.def, "errors": v.errors, "pending": v.pending, "depth": len(stack)}
	}
	if v := w.homes[me]; v != nil {
		out["home"] = map[string]any{"id": v.id, "rev": v.rev, "view": v.def}
	}
	b, err := json.Marshal(out)
	w.mu.Unlock()
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.Write(b)
}

func (w *Workspace) pageMessage(m *Message) pageMessage {
	p := pageMessage{Channel: m.Channel, TS: m.TS, Thread: m.ThreadTS, User: m.User, App: m.BotID != "", Ephemeral: m.Ephemeral != "", Edited: m.Edits > 0, Deleted: m.Deleted, Broadcast: m.Broadcast, Pinned: m.Pinned}
	if m.Deleted {
		return p
	}
	p.Text, p.Blocks, p.Replies, p.Reactions = m.Text, m.Blocks, m.Replies, m.Reactions
	for _, f := range m.Files {
		x := pageFile{ID: f.ID, Name: f.Name, Title: f.Title, Type: f.Mimetype, Alt: f.AltText, Size: f.Size, Gone: true}
		if g := w.files[f.ID]; g != nil {
			x.Gone = false
			x.Image = g.Mimetype == "image/png" || g.Mimetype == "image/jpeg" || g.Mimetype == "image/gif"
		}
		p.Files = append(p.Files, x)
	}
	return p
}

// serveEvents tells the page that something changed; it then asks for the state.
func (w *Workspace) serveEvents(rw http.ResponseWriter, r *http.Request) {
	f, ok := rw.(http.Flusher)
	if !ok {
		http.Error(rw, "no streaming", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/event-stream")
	alive := time.NewTicker(20 * time.Second)
	defer alive.Stop()
	last := int64(-1)
	for {
		w.mu.Lock()
		rev, changed := w.rev, w.changed
		w.mu.Unlock()
		line := ": still here\n\n"
		if rev != last {
			line = fmt.Sprintf("data: %d\n\n", rev)
		}
		last = rev
		if _, err := io.WriteString(rw, line); err != nil {
			return
		}
		f.Flush()
		select {
		case <-changed:
			// A burst of changes is one message.
			t := time.NewTimer(30 * time.Millisecond)
			select {
			case <-t.C:
			case <-r.Context().Done():
			}
			t.Stop()
		case <-alive.C:
		case <-r.Context().Done():
			return
		case <-w.done:
			return
		}
	}
}

func (w *Workspace) servePageFile(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	f := w.files[r.PathValue("id")]
	if f != nil && !f.received {
		f = nil
	}
	w.mu.Unlock()
	if f == nil {
		http.Error(rw, "file not found", http.StatusNotFound)
		return
	}
	sendFile(rw, f)
}

// serveAct does what a person did on the page.
func (w *Workspace) serveAct(rw http.ResponseWriter, r *http.Request) {
	var a struct {
		Kind, User, Channel, Thread, Text, TS, Block, Action, Value, View, Shortcut string
		Values                                                                      map[string]string
	}
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 256<<10)).Decode(&a); err != nil {
		http.Error(rw, "not understood", http.StatusBadRequest)
		return
	}
	var err error
	switch a.Kind {
	case "say":
		_, err = w.SayIn(a.Channel, a.Thread, a.User, a.Text)
	case "slash":
		err = w.SlashIn(a.Channel, a.User, a.Text)
	case "click":
		if a.View != "" {
			err = w.ActView(a.User, a.View, a.Block, a.Action, a.Value)
		} else {
			err = w.Act(a.User, a.TS, a.Block, a.Action, a.Value)
		}
	case "submit":
		err = w.SubmitModal(a.User, a.Values)
	case "close":
		err = w.CloseModal(a.User)
	case "home":
		err = w.OpenHome(a.User)
	case "shortcut":
		err = w.UseShortcut(a.User, a.TS, a.Shortcut)
	default:
		err = fmt.Errorf("%w: %q", ErrNo, a.Kind)
	}
	if err != nil {
		writeJSON(rw, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(rw, http.StatusOK, map[string]bool{"ok": true})
}

// servePageUpload shares a file that a person chose.
func (w *Workspace) servePageUpload(rw http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	b, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxFileBytes))
	if err == nil {
		_, err = w.ShareFiles(q.Get("channel"), q.Get("thread"), q.Get("user"), q.Get("text"), File{Name: q.Get("name"), Content: b})
	}
	if err != nil {
		writeJSON(rw, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(rw, http.StatusOK, map[string]bool{"ok": true})
}
