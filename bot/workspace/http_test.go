package workspace_test

import (
	"net/http"
	"testing"
)

// newHTTPClient is a client whose idle connections end with the test.
func newHTTPClient(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}
