//go:build unix

package diag_test

import (
	"syscall"
	"testing"
)

// cpu reports the processor time of the loop beside the clock's, which a busy machine spoils.
func cpu(b *testing.B) func() {
	now := func() int64 {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return 0
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := now()
	return func() { b.ReportMetric(float64(now()-start)/float64(b.N)/1e6, "cpu-ms/op") }
}
