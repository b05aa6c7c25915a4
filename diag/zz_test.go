package diag_test

import "testing"

func TestBig(t *testing.T) { diagnose(t, "/tmp/big") }
