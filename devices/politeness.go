package devices

import (
	"context"
	"fmt"
	"sync"
	"time"

	"vpnbot/devices/session"
)

// pace spaces logins out over the whole fleet: AAA servers are the bottleneck. Up to a
// second's worth may come at once.
type pace struct {
	perSecond float64
	now       func() time.Time

	mu   sync.Mutex
	next time.Time // when the next login would be due if they came evenly
}

// wait until a login may begin, or until ctx ends.
func (p *pace) wait(ctx context.Context) error {
	if p.perSecond <= 0 {
		return nil
	}
	gap := time.Duration(float64(time.Second) / p.perSecond)
	p.mu.Lock()
	now := p.now()
	if floor := now.Add(gap - max(gap, time.Second)); p.next.Before(floor) {
		p.next = floor
	}
	due := p.next
	p.next = p.next.Add(gap)
	p.mu.Unlock()
	d := due.Sub(now)
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lockout keeps vpnbot from locking an account. A password that a device refused is not
// shown to that device again; a few refusals of one credential in a row stop it for all;
// and until a credential was accepted once, only so few logins with it run at a time.
type lockout struct {
	now func() time.Time

	mu      sync.Mutex
	refused map[string]time.Time     // device: when
	proven  map[string]bool          // credential: accepted since the start
	bursts  map[string][]time.Time   // credential: refusals since the last acceptance
	first   map[string]chan struct{} // credential: slots while it is not proven
}

// burst is how many refusals of a credential in a row stop it.
const burst = 3

func (l *lockout) enter(ctx context.Context, device, credential string) (release func(), err error) {
	if err := l.check(device, credential); err != nil {
		return nil, err
	}
	l.mu.Lock()
	if l.proven[credential] {
		l.mu.Unlock()
		return func() {}, nil
	}
	slots := l.first[credential]
	if slots == nil {
		slots = make(chan struct{}, burst)
		l.first[credential] = slots
	}
	l.mu.Unlock()
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, &session.Failure{Reason: session.Timeout, Tried: "log in", Hint: "the first logins with a credential go a few at a time", Err: context.Cause(ctx)}
	}
	if err := l.check(device, credential); err != nil {
		<-slots
		return nil, err
	}
	return func() { <-slots }, nil
}

func (l *lockout) check(device, credential string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.refused[device]; ok {
		return &session.Failure{Reason: session.Auth, Tried: "log in", Err: fmt.Errorf("the password was refused at %s and is not tried again", at.UTC().Format("15:04:05 UTC")),
			Hint: "correct credentials." + credential + " and restart vpnbot"}
	}
	if len(l.bursts[credential]) >= burst {
		return &session.Failure{Reason: session.Auth, Tried: "log in", Err: fmt.Errorf("%d devices refused credentials.%s in a row: logins with it are stopped so that no account is locked", burst, credential),
			Hint: "correct it, check that the account is not locked, and restart vpnbot"}
	}
	return nil
}

func (l *lockout) accepted(credential string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proven[credential] = true
	delete(l.bursts, credential)
}

// rejected notes a refusal and tells whether this one stopped the credential.
func (l *lockout) rejected(device, credential string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[device] = l.now()
	if len(l.bursts[credential]) < burst {
		l.bursts[credential] = append(l.bursts[credential], l.now())
		return len(l.bursts[credential]) == burst
	}
	return false
}
