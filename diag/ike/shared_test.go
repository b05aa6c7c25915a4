package ike

import (
	"os"
	"path/filepath"
	"testing"
)

// shared is the folder of shared material beside the checkout; the test skips without it.
func shared(tb testing.TB) string {
	tb.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "shared"))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("no shared folder beside the checkout: ", err)
	}
	return dir
}
