package slack

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slack-go/slack/socketmode"

	"vpnbot/bot/slack/payload"
)

// connections that are held at once: while Slack refreshes one the other goes on.
const connections = 2

// Handler writes an event down, quickly. answer is for modals only: field errors by
// block id. When it fails the event is not acknowledged and Slack delivers it again.
type Handler func(ctx context.Context, e payload.Event) (errorsByBlock map[string]string, err error)

// Socket receives events over Socket Mode.
type Socket struct {
	api     *API
	handler Handler
	log     *slog.Logger
	up      atomic.Int32
}

// NewSocket makes a receiver; Run connects it.
func NewSocket(api *API, h Handler) *Socket {
	return &Socket{api: api, handler: h, log: api.log}
}

// Connected tells whether at least one connection is up.
func (s *Socket) Connected() bool { return s.up.Load() > 0 }

// Run holds the connections until ctx ends.
func (s *Socket) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			wait := time.Second
			for ctx.Err() == nil {
				begun := time.Now()
				err := s.hold(ctx)
				if ctx.Err() != nil {
					return
				}
				// The library gives up on refused tokens and on 404 only; an operator may mend that.
				s.log.Error("Slack's Socket Mode ended; connecting again", "in", wait, "error", Explain("apps.connections.open", err))
				if time.Since(begun) > time.Minute {
					wait = time.Second
				}
				select {
				case <-ctx.Done():
				case <-time.After(wait):
				}
				wait = min(2*wait, time.Minute)
			}
		})
	}
	wg.Wait()
}

type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Output(_ int, s string) error {
	l.log.Debug("slack library", "says", s)
	return nil
}

func (s *Socket) hold(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := socketmode.New(s.api.c, socketmode.OptionLog(libraryLog{s.log}))
	var mine atomic.Bool
	setUp := func(up bool) {
		if mine.Swap(up) != up {
			if up {
				s.up.Add(1)
			} else {
				s.up.Add(-1)
			}
		}
	}
	defer setUp(false)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	// Several readers: an event that waits for the disk must not keep the next one waiting.
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case e := <-c.Events:
					switch e.Type {
					case socketmode.EventTypeConnected, socketmode.EventTypeHello:
						setUp(true)
					case socketmode.EventTypeConnecting, socketmode.EventTypeDisconnect, socketmode.EventTypeConnectionError:
						setUp(false)
					case socketmode.EventTypeErrorBadMessage:
						// The library knows every field of every kind of event; we need few.
						if bad, ok := e.Data.(*socketmode.ErrorBadMessage); ok {
							s.receiveRaw(ctx, c, bad.Message)
						}
					case socketmode.EventTypeErrorWriteFailed:
						s.log.Warn("an acknowledgement did not reach Slack; it will deliver again")
					case socketmode.EventTypeSlashCommand, socketmode.EventTypeInteractive, socketmode.EventTypeEventsAPI:
						if e.Request != nil {
							s.receive(ctx, c, *e.Request)
						}
					}
				}
			}
		})
	}
	return c.RunContext(ctx)
}

// receiveRaw takes an envelope that the library could not read.
func (s *Socket) receiveRaw(ctx context.Context, c *socketmode.Client, raw []byte) {
	var r socketmode.Request
	if err := json.Unmarshal(raw, &r); err != nil || r.EnvelopeID == "" {
		s.log.Warn("a message of Slack was not understood", "error", err)
		return
	}
	s.receive(ctx, c, r)
}

func (s *Socket) receive(ctx context.Context, c *socketmode.Client, r socketmode.Request) {
	var e payload.Event
	err := payload.ErrIgnored
	switch r.Type {
	case "slash_commands":
		e, err = payload.Command(r.Payload, r.EnvelopeID)
	case "interactive":
		e, err = payload.Interaction(r.Payload)
	case "events_api":
		e, err = payload.Callback(r.Payload)
	}
	if r.RetryAttempt > 0 {
		s.log.Info("Slack delivers again", "envelope", r.EnvelopeID, "attempt", r.RetryAttempt, "reason", r.RetryReason)
	}
	var answer any
	switch {
	case errors.Is(err, payload.ErrIgnored):
	case err != nil:
		s.log.Warn("a request of Slack was not understood", "error", err)
	default:
		fields, err := s.handler(ctx, e)
		if err != nil {
			s.log.Error("a request could not be written down and is not acknowledged", "error", err)
			return
		}
		if len(fields) > 0 {
			answer = map[string]any{"response_action": "errors", "errors": fields}
		}
	}
	actx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := c.AckCtx(actx, r.EnvelopeID, answer); err != nil {
		s.log.Warn("an acknowledgement could not be sent", "error", err)
	}
}
