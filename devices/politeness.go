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

// account is what a login is counted for: where it goes, with which credential, and as
// which user, whom several credentials may share.
type account struct{ place, credential, user string }

// lockout keeps vpnbot from locking an account. A password that a device refused is not
// shown to that device again; a few refusals of one credential in a row stop all logins;
// and unless a credential was accepted just now, logins show it one after the other: a
// password that was changed meanwhile is refused a few times, not by the whole fleet.
type lockout struct {
	now func() time.Time

	mu      sync.Mutex
	refused map[string]time.Time     // place: when
	proven  map[string]time.Time     // credential: when it was last accepted
	bursts  map[string]int           // credential, user: refusals since the last acceptance
	first   map[string]chan struct{} // user: the turn while the credential is not proven
	stopped string                   // the credential whose refusals stopped all logins
}

func newLockout(now func() time.Time) *lockout {
	return &lockout{now: now, refused: map[string]time.Time{}, proven: map[string]time.Time{}, bursts: map[string]int{}, first: map[string]chan struct{}{}}
}

// burst is how many refusals of a credential or of a user in a row stop all logins.
const burst = 3

// fresh is how long an acceptance speaks for a credential.
const fresh = 30 * time.Second

// A login that takes longer than turn (an AAA server that does not answer) lets the next
// one go on.
const turn = 5 * time.Second

// enter is called right before a secret is shown. It waits for the credential's turn;
// release must be called when the login has ended.
func (l *lockout) enter(ctx context.Context, a account) (release func(), err error) {
	l.mu.Lock()
	if at, ok := l.proven[a.credential]; ok && l.now().Sub(at) < fresh {
		l.mu.Unlock()
		return func() {}, l.check(a)
	}
	slot := l.first[a.user]
	if slot == nil {
		slot = make(chan struct{}, 1)
		l.first[a.user] = slot
	}
	l.mu.Unlock()
	select {
	case slot <- struct{}{}:
	case <-ctx.Done():
		return nil, &session.Failure{Reason: session.Timeout, Tried: "log in", Hint: "a credential is shown by one login after the other until it was accepted, and an earlier one still waits for its answer; try again", Err: context.Cause(ctx)}
	}
	free := sync.OnceFunc(func() { <-slot })
	if err := l.check(a); err != nil {
		free()
		return nil, err
	}
	t := time.AfterFunc(turn, free)
	return func() { t.Stop(); free() }, nil
}

func (l *lockout) check(a account) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch at, ok := l.refused[a.place]; {
	case l.stopped != "":
		return &session.Failure{Reason: session.Auth, Tried: "log in", Err: fmt.Errorf("credentials.%s was refused %d times in a row: all logins are stopped so that no account is locked", l.stopped, burst),
			Hint: "correct it, check that the account is not locked, and restart vpnbot; when the device was wrong, vpnbot check --connect tries it again"}
	case ok:
		return &session.Failure{Reason: session.Auth, Tried: "log in", Err: fmt.Errorf("the password was refused at %s and is not tried again", at.UTC().Format("15:04:05 UTC")),
			Hint: "correct credentials." + a.credential + " and restart vpnbot; when the device was wrong, vpnbot check --connect tries it again"}
	}
	return nil
}

// restore takes up a refusal from before a restart.
func (l *lockout) restore(a account, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if all {
		l.stopped = a.credential
		return
	}
	l.refused[a.place] = l.now()
}

func (l *lockout) accepted(a account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proven[a.credential] = l.now()
	delete(l.bursts, "credential "+a.credential)
	delete(l.bursts, "user "+a.user)
}

// rejected notes a refusal and tells whether this one stopped the logins.
func (l *lockout) rejected(a account) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[a.place] = l.now()
	delete(l.proven, a.credential)
	worst := 0
	for _, k := range []string{"credential " + a.credential, "user " + a.user} {
		l.bursts[k]++
		worst = max(worst, l.bursts[k])
	}
	if l.stopped == "" && worst >= burst {
		l.stopped = a.credential
		return true
	}
	return false
}
