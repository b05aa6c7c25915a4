package ike

import (
	"os"
	"testing"
)

func TestShow(t *testing.T) {
	path := os.Getenv("SHOW")
	if path == "" {
		t.Skip("SHOW names no capture")
	}
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := Read(r, "x", path, Options{})
	if c == nil {
		t.Fatal(err)
	}
	t.Log(err)
	t.Log("\n" + describe(c))
}
