package workspace

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"
)

const (
	maxSockets = 10
	// maxAck is from where Slack drops an acknowledgement's payload without a word.
	maxAck = 20_000
)

// socket is one Socket Mode connection of the app.
type socket struct {
	id   int
	ws   *websocket.Conn
	out  chan any
	done chan struct{}
	shut bool // closed by us or draining: no new envelopes
}

func (s *socket) close() {
	if !s.shut {
		s.shut = true
	}
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	s.ws.NetConn().Close()
}

// connectionsOpen hands out the address of a new connection, good for one use.
func (w *Workspace) connectionsOpen(*request) (answer, *apiError) {
	if w.opt.RequestURL != "" {
		return nil, fail("socket_mode_disabled", "[ERROR] the app is set to HTTP mode")
	}
	if len(w.sockets) >= maxSockets {
		return nil, fail("too_many_websockets")
	}
	if len(w.tickets) > 100 {
		clear(w.tickets)
	}
	t := w.random(16)
	w.tickets[t] = true
	return answer{"url": "ws://" + w.host + "/link?ticket=" + t + "&app_id=" + appID}, nil
}

var upgrader = websocket.Upgrader{
	// The ticket admits, not the origin: it was given to the holder of the app token a moment ago.
	CheckOrigin: func(*http.Request) bool { return true },
}

func (w *Workspace) serveSocket(rw http.ResponseWriter, r *http.Request) {
	if f := w.strike("websocket"); f != nil && w.misbehave(f, rw, r, "websocket") {
		return
	}
	w.mu.Lock()
	ticket := r.URL.Query().Get("ticket")
	ok := w.tickets[ticket] && !w.closed
	delete(w.tickets, ticket)
	w.mu.Unlock()
	if !ok {
		http.Error(rw, "unknown or used ticket", http.StatusForbidden)
		return
	}
	ws, err := upgrader.Upgrade(rw, r, nil)
	if err != nil {
		return
	}
	ws.SetReadLimit(1 << 20)
	s := &socket{ws: ws, out: make(chan any, 256), done: make(chan struct{})}

	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		ws.Close()
		return
	}
	w.nextSock++
	s.id = w.nextSock
	w.sockets = append(w.sockets, s)
	s.out <- map[string]any{
		"type": "hello", "num_connections": len(w.sockets), "connection_info": map[string]any{"app_id": appID},
		"debug_info": map[string]any{"host": "applink-emulated", "build_number": 1, "approximate_connection_time": 18060},
	}
	// What was under way when the last connection broke comes over this one.
	for _, e := range slices.Clone(w.envelopes) {
		if e.waiting() && e.conn == nil {
			w.route(e)
		}
	}
	w.touch()
	w.wg.Add(1)
	w.mu.Unlock()
	w.log.Info("Socket Mode connection opened", "connection", s.id)

	go func() {
		defer w.wg.Done()
		w.writeSocket(s)
	}()
	w.wg.Add(1)
	defer w.wg.Done()
	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			break
		}
		w.ackFrom(data)
	}
	w.mu.Lock()
	s.close()
	w.sockets = slices.DeleteFunc(w.sockets, func(t *socket) bool { return t == s })
	w.touch()
	closed := w.closed
	var orphans []*envelope
	for _, e := range w.envelopes {
		if e.conn == s && e.waiting() {
			orphans = append(orphans, e)
		}
	}
	if !closed {
		for _, e := range orphans {
			e.conn = nil
			w.route(e)
		}
	}
	w.mu.Unlock()
	w.log.Info("Socket Mode connection closed", "connection", s.id)
}

func (w *Workspace) writeSocket(s *socket) {
	defer s.ws.Close()
	ping := time.NewTicker(w.opt.PingInterval)
	defer ping.Stop()
	// The first ping at once: clients count the time without pings from the start.
	_ = s.ws.WriteControl(websocket.PingMessage, []byte("hello"), time.Now().Add(5*time.Second))
	for {
		select {
		case <-s.done:
			return
		case v := <-s.out:
			_ = s.ws.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if err := s.ws.WriteJSON(v); err != nil {
				return
			}
		case t := <-ping.C:
			if err := s.ws.WriteControl(websocket.PingMessage, []byte(t.Format(time.RFC3339)), time.Now().Add(5*time.Second)); err != nil {
				return
			}
		}
	}
}

// Connections is the number of Socket Mode connections that take envelopes.
func (w *Workspace) Connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open())
}

// Disconnect asks the app to connect again, as Slack does every few hours: reason is warning,
// refresh_requested or link_disabled. The connections end a little later, warning's do not.
func (w *Workspace) Disconnect(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sockets {
		select {
		case s.out <- map[string]any{"type": "disconnect", "reason": reason, "debug_info": map[string]any{"host": "applink-emulated"}}:
		default:
		}
		if reason == "warning" {
			continue
		}
		s.shut = true
		w.wg.Go(func() {
			t := time.NewTimer(time.Second)
			defer t.Stop()
			select {
			case <-t.C:
				w.mu.Lock()
				s.close()
				w.mu.Unlock()
			case <-s.done:
			}
		})
	}
}

// DropConnections cuts all connections without a word, as a network does.
func (w *Workspace) DropConnections() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sockets {
		s.close()
	}
}

// DeliverTwice makes the next n envelopes arrive twice, the second time on another connection when there is
// one; with newID under another envelope id, as a redelivery has.
func (w *Workspace) DeliverTwice(n int, newID bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.duplicate, w.dupNewID = n, newID
}

// envelope is one thing told to the app.
type envelope struct {
	id, kind string // kind: slash_commands, interactive, events_api
	payload  map[string]any
	accepts  bool // an answer may carry a payload
	event    bool // sent again when not acknowledged

	conn     *socket
	sent     time.Time
	acked    time.Time
	ack      json.RawMessage
	ackBytes int
	attempts int
	outcome  string
	timer    *time.Timer
	onAck    func(payload json.RawMessage) // under the lock
	onLost   func(why string)              // under the lock
}

func (e *envelope) waiting() bool { return e.outcome == "waiting" }

func (e *envelope) stop() {
	if e.timer != nil {
		e.timer.Stop()
	}
}

// Envelope is the record of one delivery.
type Envelope struct {
	ID, Kind string
	Payload  map[string]any
	Sent     time.Time
	Acked    time.Time // zero when it never was
	Ack      json.RawMessage
	AckBytes int
	Attempts int
	// Outcome: waiting, acked, timeout (not within the time), late (acknowledged after it),
	// too large (20 kB and more), undelivered (no connection), failed (HTTP mode: not answered with 200).
	Outcome string
}

// Envelopes returns the record of all deliveries, oldest first.
func (w *Workspace) Envelopes() []Envelope {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Envelope
	for _, e := range w.envelopes {
		out = append(out, Envelope{ID: e.id, Kind: e.kind, Payload: e.payload, Sent: e.sent, Acked: e.acked, Ack: e.ack, AckBytes: e.ackBytes, Attempts: e.attempts, Outcome: e.outcome})
	}
	return out
}

// deliver sends an envelope to the app by the mode that is set. The lock is held.
func (w *Workspace) deliver(e *envelope) {
	if w.closed {
		return
	}
	e.id = w.random(4) + "-" + w.random(2) + "-" + w.random(2) + "-" + w.random(6)
	e.outcome = "waiting"
	e.sent = time.Now()
	if len(w.envelopes) >= maxEnvelopes {
		w.envelopes = slices.Delete(w.envelopes, 0, maxEnvelopes/10)
	}
	w.envelopes = append(w.envelopes, e)
	if w.opt.RequestURL != "" {
		w.deliverHTTP(e)
		return
	}
	w.route(e)
}

// open lists the connections that take envelopes.
func (w *Workspace) open() []*socket {
	var out []*socket
	for _, s := range w.sockets {
		if !s.shut {
			out = append(out, s)
		}
	}
	return out
}

// route sends an envelope over one of the connections, in turn. The lock is held.
func (w *Workspace) route(e *envelope) {
	conns := w.open()
	if len(conns) == 0 {
		if e.event {
			// Kept for the next attempt; Slack tries an event again within the hour.
			w.retry(e, "no_connection")
			return
		}
		if e.timer != nil {
			// It was on its way when the connection broke: another one may come in time.
			return
		}
		w.lose(e, "undelivered")
		return
	}
	s := conns[len(w.envelopes)%len(conns)]
	w.sendOn(s, e, e.id)
	if w.duplicate > 0 {
		w.duplicate--
		other := conns[(len(w.envelopes)+1)%len(conns)]
		id := e.id
		if w.dupNewID {
			// Its acknowledgement is of no interest: the first one's counts.
			id = w.random(16)
		}
		w.frame(other, e, id)
	}
}

func (w *Workspace) frame(s *socket, e *envelope, id string) {
	f := map[string]any{"type": e.kind, "envelope_id": id, "payload": e.payload, "accepts_response_payload": e.accepts}
	if e.event {
		f["retry_attempt"], f["retry_reason"] = e.attempts-1, ""
		if e.attempts > 1 {
			f["retry_reason"] = "timeout"
		}
	}
	select {
	case s.out <- f:
	default:
		s.close() // the app does not read any more
	}
}

func (w *Workspace) sendOn(s *socket, e *envelope, id string) {
	e.conn = s
	e.attempts++
	w.frame(s, e, id)
	if e.timer == nil || e.event {
		e.stop()
		e.timer = time.AfterFunc(w.opt.AckTimeout, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !e.waiting() || w.closed {
				return
			}
			if e.event {
				w.retry(e, "timeout")
				return
			}
			w.lose(e, "timeout")
		})
	}
}

// retry sends an event again, three times in all, as Slack does (at once, after a minute, after five).
func (w *Workspace) retry(e *envelope, why string) {
	if e.attempts >= 4 {
		w.lose(e, why)
		return
	}
	pause := []time.Duration{w.opt.AckTimeout / 3, w.opt.AckTimeout, 20 * w.opt.AckTimeout, 100 * w.opt.AckTimeout}[min(e.attempts, 3)]
	if why == "no_connection" {
		e.attempts++
	}
	e.stop()
	e.timer = time.AfterFunc(pause, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if e.waiting() && !w.closed {
			w.route(e)
		}
	})
}

// lose ends an envelope that was not acknowledged as it must be. The lock is held.
func (w *Workspace) lose(e *envelope, why string) {
	e.outcome = why
	e.stop()
	w.log.Warn("the app did not acknowledge", "kind", e.kind, "envelope", e.id, "why", why)
	if e.onLost != nil {
		e.onLost(why)
	}
	w.touch()
}

// ackFrom takes what the app wrote on a connection.
func (w *Workspace) ackFrom(data []byte) {
	var a struct {
		EnvelopeID string          `json:"envelope_id"`
		Payload    json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(data, &a); err != nil || a.EnvelopeID == "" {
		w.log.Warn("the app sent something that is no acknowledgement", "bytes", len(data))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.envelopes, func(e *envelope) bool { return e.id == a.EnvelopeID })
	if i < 0 {
		return
	}
	e := w.envelopes[i]
	if !e.acked.IsZero() {
		return // the second delivery's
	}
	if len(data) >= maxAck {
		// Slack drops it without a word; the user sees the time-out.
		e.ackBytes = len(data)
		if e.waiting() {
			w.lose(e, "too large")
		}
		return
	}
	w.acknowledged(e, a.Payload, len(data))
}

func (w *Workspace) acknowledged(e *envelope, payload json.RawMessage, n int) {
	e.acked, e.ack, e.ackBytes = time.Now(), payload, n
	if !e.waiting() {
		if e.outcome == "timeout" {
			e.outcome = "late"
		}
		return
	}
	e.outcome = "acked"
	e.stop()
	if string(payload) == "null" {
		payload = nil
	}
	if e.onAck != nil {
		e.onAck(payload)
	}
	w.touch()
}
