// Package workspace is an emulated Slack workspace: Slack's side of the Web API, of Socket Mode, of signed
// HTTP requests and of response URLs, over real HTTP and WebSocket on loopback, with a page on which people
// read messages, type commands and press buttons. `vpnbot demo` and tests use it.
//
// In come API calls of an app (any Slack client will do) and what users do, on the page or through the test
// hooks (Say, Slash, Click, SubmitModal). Out go envelopes or signed requests to the app, messages, and
// records of every call and every acknowledgement.
//
// It is strict where Slack is: tokens, scopes, channel membership, Block Kit's schema and limits, the three
// seconds of an acknowledgement, the uses of a response URL. It shares no code with the bot, or one mistake
// would pass twice. It is a test double with a face: one workspace, one app, everything in memory, and
// everything that grows is bounded.
//
// Sources: docs.slack.dev (Web API methods, Block Kit reference, Socket Mode, request signing).
package workspace

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a workspace. The zero value is a working workspace on a free loopback port.
type Options struct {
	Listen  string // address of the listener; default 127.0.0.1:0
	Users   []User // default DefaultUsers()
	Channel string // name of the channel that the app is in; default vpn-ops
	Private bool   // that channel is a private one
	Command string // the app's slash command; default /vpn
	AppName string // the app's display name; default vpnbot

	Scopes    []string   // the bot token's scopes; default DefaultScopes()
	Events    []string   // events the app subscribed to; default DefaultEvents()
	Shortcuts []Shortcut // message shortcuts; default explain_message
	Hints     []Hint     // what the page offers while a command is typed; default DefaultHints()

	RequestURL string // base of the app's HTTP mode (…/slack/commands, …/slack/interactions, …/slack/events); empty: Socket Mode
	RateLimits bool   // answer 429 as Slack's published tiers would

	AckTimeout   time.Duration // an acknowledgement later than this is lost; default 3 s
	TriggerTTL   time.Duration // life of a trigger_id; default 3 s
	PingInterval time.Duration // WebSocket pings to the app; default 5 s

	Logger *slog.Logger     // default: discards
	Now    func() time.Time // default time.Now; times shown and written into payloads
	Rand   io.Reader        // default crypto/rand; ids, tokens, secrets
}

// User is a person or bot of the workspace.
type User struct {
	ID       string // U… or W…
	Name     string // handle without @
	RealName string
	TeamID   string // empty: this workspace; another: a stranger in a shared channel
	Admin    bool
	Guest    bool // is_restricted: a multi-channel guest
	Single   bool // is_ultra_restricted: a single-channel guest
	Bot      bool
	Deleted  bool
}

// Shortcut is a message shortcut of the app's manifest.
type Shortcut struct{ CallbackID, Name string }

// Hint is one line of the page's command help.
type Hint struct{ Usage, Text string }

// DefaultUsers are three full members, a guest, and nobody else: the app's own user is added by Start.
func DefaultUsers() []User {
	return []User{
		{ID: "U000AMELIE", Name: "amelie", RealName: "Amélie Laurent"},
		{ID: "U000BORIS", Name: "boris", RealName: "Boris Kovač"},
		{ID: "U000CHIARA", Name: "chiara", RealName: "Chiara Rossi", Admin: true},
		{ID: "U000GUEST", Name: "gus", RealName: "Gus Guest", Guest: true},
	}
}

// DefaultHints are the commands of the product as the page offers them.
func DefaultHints() []Hint {
	return []Hint{
		{"diagnose TUNNEL|PEER|DEVICE [capture|nocapture]", "find out why a tunnel does not work"},
		{"status [TUNNEL|TAG]", "all tunnels at a glance"},
		{"show TUNNEL", "both ends as they are now"},
		{"sweep", "look at all tunnels now"},
		{"capture TUNNEL [30s]", "record packets at both ends and compare them"},
		{"cancel [RUN]", "stop a run"},
		{"clear TUNNEL", "propose a targeted clear; needs an approval"},
		{"evidence TUNNEL", "the report for the provider"},
		{"history TUNNEL", "findings, repairs and outages"},
		{"explain TEXT", "what a message, state or reason number means"},
		{"pending", "open approvals"},
		{"mute TUNNEL 2h [reason]", "no alarms for a tunnel for a while"},
		{"unmute TUNNEL", "alarms again"},
		{"pause [reason]", "no repairs at all (admins)"},
		{"resume", "repairs again (admins)"},
		{"playbooks", "list the playbooks"},
		{"run PLAYBOOK TUNNEL", "run a playbook"},
		{"help", "what you may do"},
	}
}

const (
	teamID    = "T000DEMO01"
	teamName  = "Example Networks"
	appID     = "A000VPNBOT"
	botUserID = "U000VPNBOT"
	botID     = "B000VPNBOT"
	groupID   = "S000NETOPS"

	maxCalls     = 10_000
	maxEnvelopes = 5_000
	maxMessages  = 5_000 // per channel; the oldest go
	maxFiles     = 500
	maxFileBytes = 64 << 20
	maxAllFiles  = 256 << 20 // the oldest go
)

// Workspace is a running workspace. Its methods may be called from any goroutine.
type Workspace struct {
	opt       Options
	log       *slog.Logger
	listener  net.Listener
	server    *http.Server
	host      string // host:port as in every address that is handed out
	loopback  bool
	pageToken string
	appToken  string
	botToken  string
	secret    string

	wg   sync.WaitGroup
	done chan struct{}

	mu        sync.Mutex
	closed    bool
	users     []*User
	groups    []*userGroup
	channels  []*channel
	files     map[string]*file
	fileOrder []string
	hooks     map[string]*responseHook
	hookOrder []string
	triggers  map[string]*trigger
	modals    map[string][]*view // by user, the last one is on top
	homes     map[string]*view
	lastTS    int64 // microseconds
	rev       int64
	changed   chan struct{} // closed and replaced at every change
	calls     []Call
	faults    []*Fault
	limits    map[string][]time.Time
	tickets   map[string]bool
	sockets   []*socket
	nextSock  int
	duplicate int
	dupNewID  bool
	envelopes []*envelope
	members   map[string]bool // channel id + user id
}

type userGroup struct {
	id, handle, name string
	members          []string
}

// Start listens and serves until Close or until ctx ends.
func Start(ctx context.Context, opt Options) (*Workspace, error) {
	if opt.Listen == "" {
		opt.Listen = "127.0.0.1:0"
	}
	if opt.Users == nil {
		opt.Users = DefaultUsers()
	}
	if opt.Channel == "" {
		opt.Channel = "vpn-ops"
	}
	if opt.Command == "" {
		opt.Command = "/vpn"
	}
	if opt.AppName == "" {
		opt.AppName = "vpnbot"
	}
	if opt.Scopes == nil {
		opt.Scopes = DefaultScopes()
	}
	if opt.Events == nil {
		opt.Events = DefaultEvents()
	}
	if opt.Shortcuts == nil {
		opt.Shortcuts = []Shortcut{{CallbackID: "explain_message", Name: "Explain this message"}}
	}
	if opt.Hints == nil {
		opt.Hints = DefaultHints()
	}
	if opt.AckTimeout == 0 {
		opt.AckTimeout = 3 * time.Second
	}
	if opt.TriggerTTL == 0 {
		opt.TriggerTTL = 3 * time.Second
	}
	if opt.PingInterval == 0 {
		opt.PingInterval = 5 * time.Second
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Rand == nil {
		opt.Rand = rand.Reader
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", opt.Listen)
	if err != nil {
		return nil, fmt.Errorf("emulated Slack workspace: listen on %s: %w (is another one running? choose another port)", opt.Listen, err)
	}
	w := &Workspace{
		opt: opt, log: opt.Logger, listener: l, done: make(chan struct{}),
		files: map[string]*file{}, hooks: map[string]*responseHook{}, triggers: map[string]*trigger{},
		modals: map[string][]*view{}, homes: map[string]*view{}, changed: make(chan struct{}),
		limits: map[string][]time.Time{}, tickets: map[string]bool{}, members: map[string]bool{},
	}
	addr := l.Addr().(*net.TCPAddr)
	ip := addr.IP
	w.loopback = ip.IsLoopback()
	if ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	w.host = net.JoinHostPort(ip.String(), fmt.Sprint(addr.Port))
	w.pageToken = w.random(16)
	w.appToken = "xapp-1-" + appID + "-" + w.random(12)
	w.botToken = "xoxb-000demo-" + w.random(12)
	w.secret = w.random(16)

	for i := range opt.Users {
		u := opt.Users[i]
		if u.TeamID == "" {
			u.TeamID = teamID
		}
		w.users = append(w.users, &u)
	}
	w.users = append(w.users, &User{ID: botUserID, Name: opt.AppName, RealName: opt.AppName, TeamID: teamID, Bot: true})
	ops := &channel{id: "C000VPNOPS", name: opt.Channel, topic: "Site-to-site tunnels: alarms, diagnoses, repairs", member: true, private: opt.Private}
	general := &channel{id: "C000GENERAL", name: "general", topic: "Everybody, everything"}
	w.channels = append(w.channels, ops, general)
	g := &userGroup{id: groupID, handle: "netops", name: "Network operations"}
	for _, u := range w.users {
		w.members[general.id+u.ID] = !u.Bot
		w.members[ops.id+u.ID] = true
		if !u.Bot && !u.Guest && !u.Single && u.TeamID == teamID && !u.Deleted {
			g.members = append(g.members, u.ID)
		}
	}
	w.groups = append(w.groups, g)

	w.server = &http.Server{Handler: w.handler(), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }}
	w.wg.Go(func() {
		if err := w.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			w.log.Error("emulated Slack workspace stopped serving", "error", err)
		}
	})
	w.wg.Go(func() {
		select {
		case <-ctx.Done():
			w.shutdown()
		case <-w.done:
		}
	})
	return w, nil
}

// Close ends all connections and waits until nothing of the workspace runs any more.
func (w *Workspace) Close() error {
	w.shutdown()
	w.wg.Wait()
	return nil
}

func (w *Workspace) shutdown() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	close(w.done)
	for _, s := range w.sockets {
		s.close()
	}
	for _, e := range w.envelopes {
		e.stop()
	}
	w.mu.Unlock()
	w.server.Close()
}

// PageURL is the page's address; the token in it is what admits a browser.
func (w *Workspace) PageURL() string { return "http://" + w.host + "/?token=" + w.pageToken }

// APIURL is the base of the Web API, ending in a slash, as clients' api_url option wants it.
func (w *Workspace) APIURL() string { return "http://" + w.host + "/api/" }

// AppToken is the app-level token (connections:write).
func (w *Workspace) AppToken() string { return w.appToken }

// BotToken is the bot token.
func (w *Workspace) BotToken() string { return w.botToken }

// SigningSecret signs the requests of the HTTP mode.
func (w *Workspace) SigningSecret() string { return w.secret }

// ChannelID is the channel that the app is in.
func (w *Workspace) ChannelID() string { return w.channels[0].id }

// GeneralID is a channel that the app is not in.
func (w *Workspace) GeneralID() string { return w.channels[1].id }

// UserGroup is the id of the group @netops: all full members.
func (w *Workspace) UserGroup() string { return groupID }

// BotUserID is the app's own user.
func (w *Workspace) BotUserID() string { return botUserID }

// TeamID is the workspace's id.
func (w *Workspace) TeamID() string { return teamID }

func (w *Workspace) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", w.serveAPI)
	mux.HandleFunc("GET /link", w.serveSocket)
	mux.HandleFunc("POST /upload/v1/{id}", w.serveUpload)
	mux.HandleFunc("GET /files-pri/{id}/{name}", w.serveDownload)
	mux.HandleFunc("GET /files-pri/{id}/download/{name}", w.serveDownload)
	mux.HandleFunc("POST /hooks/{id}", w.serveResponseURL)
	w.pageRoutes(mux)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.hostAllowed(r.Host) {
			http.Error(rw, "unknown host: open the address that was printed at the start", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(rw, r)
	})
}

// hostAllowed keeps foreign web sites from reaching the workspace through a name of theirs that resolves to
// this machine. Addresses cannot be rebound; names other than this machine's are refused.
func (w *Workspace) hostAllowed(host string) bool {
	h, port, err := net.SplitHostPort(host)
	if err != nil {
		h, port = host, "80"
	}
	if _, own, _ := net.SplitHostPort(w.host); w.loopback && port != own {
		return false
	}
	if strings.EqualFold(h, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(h, "[]"))
	if w.loopback {
		return ip != nil && ip.IsLoopback()
	}
	name, _ := os.Hostname()
	return ip != nil || (name != "" && strings.EqualFold(h, name))
}

// random returns n random bytes in hex.
func (w *Workspace) random(n int) string {
	b := make([]byte, n)
	if _, err := io.ReadFull(w.opt.Rand, b); err != nil {
		panic("workspace: the source of randomness handed in has ended: " + err.Error())
	}
	return hex.EncodeToString(b)
}

// id returns a new Slack-like id: a prefix and ten characters.
func (w *Workspace) id(prefix string) string {
	return prefix + "0" + strings.ToUpper(w.random(5))[:9]
}

// touch marks a change of what people see. The lock is held.
func (w *Workspace) touch() int64 {
	w.rev++
	close(w.changed)
	w.changed = make(chan struct{})
	return w.rev
}

// newTS returns the next message time stamp: the clock's, but never twice the same. The lock is held.
func (w *Workspace) newTS() string {
	us := w.opt.Now().UnixMicro()
	if us <= w.lastTS {
		us = w.lastTS + 1
	}
	w.lastTS = us
	return fmt.Sprintf("%d.%06d", us/1e6, us%1e6)
}

func (w *Workspace) user(id string) *User {
	i := slices.IndexFunc(w.users, func(u *User) bool { return u.ID == id })
	if i < 0 {
		return nil
	}
	return w.users[i]
}

func (w *Workspace) channel(id string) *channel {
	i := slices.IndexFunc(w.channels, func(c *channel) bool { return c.id == id })
	if i < 0 {
		return nil
	}
	return w.channels[i]
}
