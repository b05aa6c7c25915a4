package slack

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"vpnbot/bot/message"
	"vpnbot/bot/store"
)

// FileBody is the body of a queued file.
type FileBody struct {
	Name, Title, Alt string
}

// Sender empties the store's queue of messages: one worker per channel, in order, edits
// at most once in two seconds and only the newest. What Slack certainly did not do is
// tried again; what it may have done is looked up by its metadata first.
type Sender struct {
	api   *API
	store *store.Store
	home  string
	log   *slog.Logger
	now   func() time.Time

	mu        sync.Mutex
	busy      map[string]bool      // channels with a worker
	hold      map[string]time.Time // channels that wait
	failures  map[string]int       // in a row, by channel
	edits     float64              // edits left in this minute's budget
	editsAt   time.Time
	throttled time.Time // when Slack last said 429
}

// Pace of what is sent.
const (
	editPause   = store.EditPause
	editBudget  = 50.0           // edits per minute, all channels together (chat.update is tier 3)
	keepTrying  = 24 * time.Hour // a new post
	maxEdits    = 1000           // attempts at one state of a card, however old the card is
	lookupDelay = time.Second    // before a lost post is looked for: Slack needs a moment
	atOnce      = 100            // messages of a channel that are read from the queue
)

// NewSender makes a sender for the store's queue.
// home is the channel for what cannot be posted where it was asked.
func NewSender(api *API, st *store.Store, home string) *Sender {
	return &Sender{api: api, store: st, home: home, log: api.log, now: api.now, busy: map[string]bool{}, hold: map[string]time.Time{}, failures: map[string]int{}, edits: editBudget, editsAt: api.now()}
}

// Run sends until ctx ends. With several replicas one of them sends.
func (s *Sender) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wake := s.store.Wake("messages")
	done := make(chan struct{}, 1)
	for {
		next := time.Second
		lead, err := s.store.LeadSending(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Error("the queue of messages cannot be read", "error", err)
		}
		if lead {
			due, err := s.start(ctx, &wg, done)
			if err != nil && ctx.Err() == nil {
				s.log.Error("the queue of messages cannot be read", "error", err)
			}
			next = due
		}
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-wake:
		case <-done:
		case <-t.C:
		}
		t.Stop()
	}
}

// start gives every channel with something to send a worker; it returns how long to sleep.
func (s *Sender) start(ctx context.Context, wg *sync.WaitGroup, done chan struct{}) (time.Duration, error) {
	msgs, err := s.store.Unsent(ctx, atOnce)
	if err != nil {
		return time.Second, err
	}
	byChannel := map[string][]store.Message{}
	var order []string
	for _, m := range msgs {
		if byChannel[m.Channel] == nil {
			order = append(order, m.Channel)
		}
		byChannel[m.Channel] = append(byChannel[m.Channel], m)
	}
	now := s.now()
	sleep := time.Second
	for _, ch := range order {
		s.mu.Lock()
		if wait := s.hold[ch].Sub(now); wait > 0 || s.busy[ch] {
			if wait > 0 {
				sleep = min(sleep, wait)
			}
			s.mu.Unlock()
			continue
		}
		s.busy[ch] = true
		s.mu.Unlock()
		wg.Go(func() {
			s.channel(ctx, byChannel[ch])
			s.mu.Lock()
			delete(s.busy, ch)
			s.mu.Unlock()
			select {
			case done <- struct{}{}:
			default:
			}
		})
	}
	if _, due, err := s.store.Waiting(ctx); err == nil && !due.IsZero() {
		sleep = min(sleep, due.Sub(now))
	}
	return max(sleep, 20*time.Millisecond), nil
}

// channel sends the messages of one channel until one has to wait.
func (s *Sender) channel(ctx context.Context, msgs []store.Message) {
	for _, old := range msgs {
		if ctx.Err() != nil {
			return
		}
		// While others were sent it may have changed.
		m, err := s.store.Message(ctx, old.Key)
		if err == nil && (m.Sent >= m.Version || m.Failed != "" || m.NotBefore.After(s.now())) {
			continue
		}
		goOn := false
		if err == nil {
			goOn, err = s.send(ctx, m)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("a message could not be read or marked in the store", "key", old.Key, "error", err)
			return
		}
		if !goOn {
			return
		}
	}
}

// send sends one message; goOn is false when the rest of its channel has to wait. The
// error is the store's.
func (s *Sender) send(ctx context.Context, m store.Message) (goOn bool, err error) {
	thread := m.Thread
	if m.Parent != "" {
		p, err := s.store.Message(ctx, m.Parent)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return true, s.store.GiveUp(ctx, m, "its thread is not known")
		case err != nil:
			return false, err
		case p.TS == "" && p.Failed != "":
			return true, s.store.GiveUp(ctx, m, "its thread could not be posted: "+p.Failed)
		case p.TS == "":
			return true, nil // its turn comes after the parent's
		}
		m.Channel = p.Channel
		// A thread hangs on its first message.
		switch {
		case p.Thread != "":
			thread = p.Thread
		case p.Parent != "":
			first, err := s.store.Message(ctx, p.Parent)
			if err != nil {
				return false, err
			}
			thread = first.TS
		default:
			thread = p.TS
		}
	}
	edit := m.Kind == "post" && m.TS != ""
	if edit && !s.mayEdit() {
		return true, s.store.Later(ctx, m, editPause, true)
	}
	lost := m.Trying > m.Sent
	if m.Kind == "post" && m.TS == "" && lost {
		// Sent before, fate unknown: perhaps Slack has it.
		ts, err := s.api.Find(ctx, m.Channel, thread, m.Key, m.CreatedAt.Add(-5*time.Minute))
		if err != nil {
			return s.failed(ctx, m, err, "look a lost post up", reads)
		}
		if ts != "" {
			found := m
			found.Version = m.Trying
			return true, s.store.Delivered(ctx, found, ts, "", editPause)
		}
	}
	if m.Kind == "file" {
		return s.file(ctx, m, thread)
	}
	if ok, err := s.trying(ctx, &m); err != nil || !ok {
		return false, err
	}
	cctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body message.Message
	if err := json.Unmarshal(m.Body, &body); err != nil {
		return true, s.store.GiveUp(ctx, m, "its body is not understood: "+err.Error())
	}
	switch m.Kind {
	case "post":
		noted := false
		if n := s.waiting(ctx); n > 0 {
			body, noted = message.WithBacklog(body, n), true
		}
		ts := m.TS
		if edit {
			err = s.api.Update(cctx, m.Channel, m.TS, m.Key, body)
		} else {
			ts, err = s.api.Post(cctx, m.Channel, thread, m.Key, body)
		}
		switch code := Code(err); {
		case edit && code == "message_not_found":
			// Somebody deleted the card; what it says now must be seen all the same.
			return true, s.store.Gone(ctx, m)
		case !edit && m.Parent == "" && m.Channel != s.home && unwelcome(code):
			if m.Hook != "" {
				if err := s.api.Respond(cctx, m.Hook, message.Elsewhere(s.home)); err != nil {
					s.log.Warn("a person was not told where the answer stands", "key", m.Key, "error", err)
				}
			}
			return true, s.store.Move(ctx, m, s.home)
		case err != nil:
			return s.failed(ctx, m, err, "post", once)
		}
		s.fine(m.Channel)
		if err := s.store.Delivered(ctx, m, ts, "", editPause); err != nil || !noted {
			return true, err
		}
		return true, s.store.Again(ctx, m, 15*time.Second)
	case "ephemeral":
		err = s.api.Whisper(cctx, m.Channel, thread, m.User, body)
		if code := Code(err); m.Hook != "" && (unwelcome(code) || code == "user_not_in_channel") {
			err = s.api.Respond(cctx, m.Hook, body)
		}
		if err != nil {
			// It cannot be looked up; twice is better than never.
			return s.failed(ctx, m, err, "post to one person", again)
		}
		s.fine(m.Channel)
		return true, s.store.Delivered(ctx, m, "", "", 0)
	}
	return true, s.store.GiveUp(ctx, m, "unknown kind "+m.Kind)
}

// trying claims a message right before it is sent; false when it is not ours to send any
// more: perhaps another process took this one for dead.
func (s *Sender) trying(ctx context.Context, m *store.Message) (bool, error) {
	answer := callTimeout + lookupDelay
	if m.Kind == "post" && m.TS != "" {
		answer = editPause // an edit may happen twice
	}
	return s.store.Trying(ctx, m, answer)
}

// unwelcome are Slack's words for a channel that the bot cannot post in.
func unwelcome(code string) bool {
	switch code {
	case "not_in_channel", "channel_not_found", "is_archived", "restricted_action", "restricted_action_read_only_channel", "method_not_supported_for_channel_type":
		return true
	}
	return false
}

// file uploads in three steps; after the bytes are there their id is kept, so that only
// the sharing is repeated, and only after Slack was asked whether it happened.
func (s *Sender) file(ctx context.Context, m store.Message, thread string) (bool, error) {
	var f FileBody
	if err := json.Unmarshal(m.Body, &f); err != nil {
		return true, s.store.GiveUp(ctx, m, "its body is not understood: "+err.Error())
	}
	cctx, cancel := context.WithTimeout(ctx, fileTimeout)
	defer cancel()
	if m.File != "" {
		shared, err := s.api.Shared(cctx, m.File, m.Channel, thread, m.CreatedAt.Add(-5*time.Minute))
		if err != nil {
			return s.failed(ctx, m, err, "look a lost upload up", reads)
		}
		if shared {
			return true, s.store.Delivered(ctx, m, "", m.File, 0)
		}
	} else {
		id, err := s.api.Upload(cctx, f.Name, f.Alt, m.Data)
		if err != nil {
			// Bytes that nobody shared are seen by nobody: another try does no harm.
			return s.failed(ctx, m, err, "upload", again)
		}
		if ok, err := s.store.Uploaded(ctx, &m, id); err != nil || !ok {
			return false, err
		}
	}
	if ok, err := s.trying(ctx, &m); err != nil || !ok {
		return false, err
	}
	if err := s.api.Share(cctx, m.File, f.Title, m.Channel, thread); err != nil {
		return s.failed(ctx, m, err, "share a file", once)
	}
	s.fine(m.Channel)
	return true, s.store.Delivered(ctx, m, "", m.File, 0)
}

// sort says what a failed call may have done.
type sort int

const (
	once  sort = iota // it must not happen twice: it is looked up before it is repeated
	again             // it may be repeated whatever its fate
	reads             // it was the look-up, and says nothing about the message
)

// failed decides what follows a failed call.
func (s *Sender) failed(ctx context.Context, m store.Message, err error, what string, kind sort) (bool, error) {
	if ctx.Err() != nil {
		// This process stops. The call has ended, so that the next one need not wait for it.
		return false, s.store.Later(context.WithoutCancel(ctx), m, lookupDelay, false)
	}
	fate, after := Judge(err)
	if fate == Refused && (kind == reads || m.Channel == s.home && unwelcome(Code(err))) {
		fate, after = Wait, time.Minute // until somebody invites the bot or adds the scope
	}
	limited := errors.As(err, new(*slack.RateLimitedError)) || strings.HasSuffix(Code(err), "ratelimited") || Code(err) == "rate_limited"
	s.mu.Lock()
	s.failures[m.Channel]++
	n := s.failures[m.Channel]
	if limited {
		s.throttled = s.now()
	}
	s.mu.Unlock()
	switch {
	case fate == Refused && m.Kind == "file" && m.File != "" && Code(err) == "file_not_found":
		_, err := s.store.Uploaded(ctx, &m, "") // begin again
		return true, err
	case fate == Refused, m.TS == "" && s.now().Sub(m.CreatedAt) > keepTrying, m.Attempts > maxEdits:
		s.log.Error("Slack refused a message", "what", what, "key", m.Key, "error", Explain(what, err))
		s.fine(m.Channel)
		return true, s.store.GiveUp(ctx, m, err.Error())
	}
	wait := after
	if wait == 0 {
		wait = min(time.Second<<min(n-1, 6), time.Minute)
	}
	edit := m.TS != ""
	switch {
	case edit:
		wait = max(wait, editPause)
	case fate == Lost:
		wait = max(wait, lookupDelay)
	}
	s.log.Warn("Slack did not take a message; again later", "what", what, "key", m.Key, "in", wait, "error", Explain(what, err))
	s.mu.Lock()
	if edit && limited {
		s.edits, s.editsAt = 0, s.now().Add(wait) // the budget of edits is one for all channels
	} else {
		// New posts keep their order; an outage stops the whole channel.
		s.hold[m.Channel] = s.now().Add(wait)
	}
	s.mu.Unlock()
	known := kind == again || kind == once && fate == Wait
	return edit && limited, s.store.Later(ctx, m, wait, known)
}

func (s *Sender) fine(channel string) {
	s.mu.Lock()
	delete(s.failures, channel)
	delete(s.hold, channel)
	s.mu.Unlock()
}

// mayEdit takes one edit from the budget that all channels share.
func (s *Sender) mayEdit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if d := now.Sub(s.editsAt); d > 0 {
		s.edits = min(editBudget, s.edits+d.Minutes()*editBudget)
		s.editsAt = now
	}
	if s.edits < 1 {
		return false
	}
	s.edits--
	return true
}

// waiting is how many messages wait because Slack throttles; 0 when it does not.
func (s *Sender) waiting(ctx context.Context) int {
	s.mu.Lock()
	recent := !s.throttled.IsZero() && s.now().Sub(s.throttled) < 30*time.Second
	s.mu.Unlock()
	if !recent {
		return 0
	}
	n, _, err := s.store.Waiting(ctx)
	if err != nil || n <= 1 {
		return 0
	}
	return n - 1
}
