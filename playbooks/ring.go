package playbooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"vpnbot/devices"
)

// A ring-buffer capture waits at a tunnel's ends for a fault that comes now and then: the
// oldest packets go, the newest stay. It is no run: runs go on beside it, and one with
// Request.Ring takes its packets. It lives in this process; what a process leaves behind
// is removed at the next start like every capture.
type ring struct {
	mu     sync.Mutex // held while captures are started, fetched or removed
	ends   []int
	caps   []*devices.Capture
	since  time.Time // of what the buffers hold
	until  time.Time
	closed bool
}

// ErrNoRing says that no ring-buffer capture waits at the tunnel.
var ErrNoRing = errors.New("no ring-buffer capture waits at this tunnel")

// Watch starts a ring-buffer capture at the managed ends of a tunnel, for most at the
// longest. notes say what it cannot see. A tunnel has one at a time.
func (r *Runner) Watch(ctx context.Context, tunnel string, most time.Duration) (notes []string, err error) {
	t, err := r.opt.Inventory.Tunnel(tunnel)
	if err != nil {
		return nil, err
	}
	x := r.start(Request{Run: "ring", Tunnel: t.Name}, Book{}, t, nil)
	g := &ring{ends: x.ends("both"), until: r.opt.Now().Add(most)}
	if len(g.ends) == 0 {
		return nil, fmt.Errorf("no end of %s is managed: there is nowhere to capture", t.Name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r.mu.Lock()
	if r.ring[t.Name] != nil {
		r.mu.Unlock()
		return nil, fmt.Errorf("%s: a ring-buffer capture waits there already", t.Name)
	}
	r.ring[t.Name] = g
	r.mu.Unlock()
	g.since = r.opt.Now()
	if g.caps, notes, err = x.startAll(ctx, g.ends, most, true); err != nil {
		r.drop(t.Name, g)
		return nil, err
	}
	return notes, nil
}

func (r *Runner) drop(tunnel string, g *ring) {
	g.closed = true
	r.mu.Lock()
	if r.ring[tunnel] == g {
		delete(r.ring, tunnel)
	}
	r.mu.Unlock()
}

func (r *Runner) ringOf(tunnel string) *ring {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ring[tunnel]
}

// Watched tells whether a ring-buffer capture of this process waits at a tunnel.
func (r *Runner) Watched(tunnel string) bool { return r.ringOf(tunnel) != nil }

// Unwatch ends a tunnel's ring-buffer capture and removes it from the devices; without
// one nothing happens. What cannot be removed now stays in the journal, and is the error.
func (r *Runner) Unwatch(ctx context.Context, tunnel string) error {
	g := r.ringOf(tunnel)
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	r.drop(tunnel, g)
	return r.removeAll(ctx, g.caps)
}

// fromRing takes the packets of the tunnel's ring-buffer capture as evidence and lets it
// begin anew for the rest of its time.
func (x *run) fromRing(ctx context.Context) (string, error) {
	g := x.ringOf(x.tunnel.Name)
	if g == nil {
		return "", fmt.Errorf("%s: %w; it may have ended, or vpnbot was started again", x.tunnel.Name, ErrNoRing)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return "", fmt.Errorf("%s: %w", x.tunnel.Name, ErrNoRing)
	}
	now := x.opt.Now()
	notes := x.home(ctx, g.ends, g.caps, fmt.Sprintf("ring buffer of %s brought home", now.Sub(g.since).Round(time.Second)))
	if err := x.removeAll(ctx, g.caps); err != nil {
		notes = append(notes, err.Error())
	}
	g.caps = nil
	rest := g.until.Sub(now)
	if rest < time.Minute || ctx.Err() != nil {
		x.drop(x.tunnel.Name, g)
	} else {
		g.since = now
		var more []string
		var err error
		if g.caps, more, err = x.startAll(ctx, g.ends, rest, true); err != nil {
			x.drop(x.tunnel.Name, g)
			notes = append(notes, "it could not begin anew: "+err.Error())
		} else {
			notes = append(notes, append(more, "it begins anew")...)
		}
	}
	if len(x.caps) == 0 {
		return "", errors.New(strings.Join(notes, "; "))
	}
	return strings.Join(notes, "; "), nil
}
