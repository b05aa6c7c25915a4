package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/slack-go/slack"

	"vpnbot/bot/slack/payload"
)

// maxRequest bounds the body of a request of Slack's, in bytes.
const maxRequest = 1 << 20

// Seen tells whether a key was used before, and notes it: replays are refused by it.
type Seen func(ctx context.Context, key string) (before bool, err error)

// HTTPHandler receives events as signed requests: /slack/commands, /slack/interactions,
// /slack/events. Only the body is read, never the query string.
func HTTPHandler(api *API, secret string, seen Seen, h Handler) http.Handler {
	mux := http.NewServeMux()
	handle := func(parse func(body []byte, delivery string, w http.ResponseWriter) (payload.Event, bool, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
			if err != nil {
				http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
				return
			}
			v, err := slack.NewSecretsVerifier(r.Header, secret)
			if err == nil {
				v.Write(body)
				err = v.Ensure()
			}
			if err != nil {
				api.log.Warn("a request with a wrong signature was refused", "from", r.RemoteAddr, "error", err)
				http.Error(w, "signature", http.StatusUnauthorized)
				return
			}
			// Slack's own retries are signed anew; the same time and body again is a replay.
			// (The signature's letters may be written large or small.)
			sum := sha256.Sum256(append([]byte(r.Header.Get("X-Slack-Request-Timestamp")+":"), body...))
			delivery := hex.EncodeToString(sum[:])
			if n := r.Header.Get("X-Slack-Retry-Num"); n != "" {
				api.log.Info("Slack delivers again", "attempt", n, "reason", r.Header.Get("X-Slack-Retry-Reason"))
			}
			before, err := seen(r.Context(), "request:"+delivery)
			if err != nil {
				http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
				return
			}
			if before {
				api.log.Warn("a replayed request was refused", "from", r.RemoteAddr)
				http.Error(w, "replay", http.StatusConflict)
				return
			}
			e, answered, err := parse(body, delivery, w)
			if answered {
				return
			}
			if err != nil && !errors.Is(err, payload.ErrIgnored) {
				api.log.Warn("a request of Slack was not understood", "error", err)
				http.Error(w, "not understood", http.StatusBadRequest)
				return
			}
			var fields map[string]string
			if err == nil {
				if fields, err = h(r.Context(), e); err != nil {
					api.log.Error("a request could not be written down and is not acknowledged", "error", err)
					http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
					return
				}
			}
			if len(fields) > 0 {
				w.Header().Set("Content-Type", "application/json")
				json.NewEncoder(w).Encode(map[string]any{"response_action": "errors", "errors": fields})
				return
			}
			w.WriteHeader(http.StatusOK)
		}
	}
	form := func(body []byte) (url.Values, error) { return url.ParseQuery(string(body)) }
	mux.HandleFunc("POST /slack/commands", handle(func(body []byte, delivery string, _ http.ResponseWriter) (payload.Event, bool, error) {
		v, err := form(body)
		if err != nil {
			return payload.Event{}, false, err
		}
		if v.Get("ssl_check") == "1" {
			return payload.Event{}, false, payload.ErrIgnored
		}
		e, err := payload.Command(payload.Form(v), delivery)
		return e, false, err
	}))
	mux.HandleFunc("POST /slack/interactions", handle(func(body []byte, _ string, _ http.ResponseWriter) (payload.Event, bool, error) {
		v, err := form(body)
		if err != nil {
			return payload.Event{}, false, err
		}
		e, err := payload.Interaction([]byte(v.Get("payload")))
		return e, false, err
	}))
	mux.HandleFunc("POST /slack/events", handle(func(body []byte, _ string, w http.ResponseWriter) (payload.Event, bool, error) {
		var hello struct{ Type, Challenge string }
		if err := json.Unmarshal(body, &hello); err != nil {
			return payload.Event{}, false, err
		}
		if hello.Type == "url_verification" {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, hello.Challenge)
			return payload.Event{}, true, nil
		}
		e, err := payload.Callback(body)
		return e, false, err
	}))
	return mux
}
