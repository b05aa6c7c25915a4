package bot

import (
	"context"
	"sync"
)

// turns gives each tunnel to one user at a time within this process: a diagnosis waits
// for the sweep's look at its tunnel instead of failing, and a sweep skips a tunnel that
// is being worked on.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{}
}

// wait takes the tunnel as soon as it is free.
func (t *turns) wait(ctx context.Context, tunnel string) (release func(), err error) {
	for {
		t.mu.Lock()
		busy, ok := t.taken[tunnel]
		if !ok {
			release = t.take(tunnel)
			t.mu.Unlock()
			return release, nil
		}
		t.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try takes the tunnel when it is free now.
func (t *turns) try(tunnel string) (release func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, busy := t.taken[tunnel]; busy {
		return nil, false
	}
	return t.take(tunnel), true
}

func (t *turns) take(tunnel string) func() {
	done := make(chan struct{})
	if t.taken == nil {
		t.taken = map[string]chan struct{}{}
	}
	t.taken[tunnel] = done
	return func() {
		t.mu.Lock()
		delete(t.taken, tunnel)
		t.mu.Unlock()
		close(done)
	}
}
