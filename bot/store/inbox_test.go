package store

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// Requests that never stop coming keep nobody from its acknowledgement: the first one
// returns although there is always another to write.
func TestReceiveUnderLoad(t *testing.T) {
	const endless = 500
	var s *Store
	var n atomic.Int64
	var stop atomic.Bool
	more := func() time.Time { // called for every request that is being written
		i := n.Add(1)
		if s == nil || stop.Load() || i > endless {
			return time.Now()
		}
		go s.Receive(t.Context(), fmt.Sprint("more ", i), "slack", nil)
		for arrived := false; !arrived; {
			s.arrivals.Lock()
			arrived = len(s.arrived) > 0
			s.arrivals.Unlock()
		}
		return time.Now()
	}
	opened, err := Open(t.Context(), Options{DSN: "sqlite:" + filepath.Join(t.TempDir(), "bot.db"), Policy: policy(), Now: more})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	n.Store(0)
	s = opened
	fresh, err := s.Receive(t.Context(), "first", "slack", nil)
	stop.Store(true)
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	if i := n.Load(); i >= endless {
		t.Errorf("the first request waited for %d others", i)
	}
	for writing := true; writing; time.Sleep(time.Millisecond) { // before the store is closed
		s.arrivals.Lock()
		writing = s.writing
		s.arrivals.Unlock()
	}
}
