package workspace_test

import (
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
)

// newHTTPClient is a client whose idle connections end with the test.
func newHTTPClient(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// dial opens a Socket Mode connection by hand.
func dial(t *testing.T, address string) *websocket.Conn {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	t.Cleanup(func() { ws.Close() })
	return ws
}
