package devices

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vpnbot/devices/session"
)

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pace{perSecond: 10, now: time.Now}
		began := time.Now()
		var at []time.Duration
		for range 40 {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			at = append(at, time.Since(began))
		}
		// A second's worth at once, then ten in each second: never more than 20 within one.
		for i := range at {
			if i >= 20 && at[i]-at[i-20] < time.Second {
				t.Fatalf("20 logins within %v", at[i]-at[i-20])
			}
		}
		if last := at[len(at)-1]; last < 2900*time.Millisecond || last > 3100*time.Millisecond {
			t.Errorf("40 logins took %v", last)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// login is what a fleet does with the lockout; refuse is the device's answer after a while.
func login(l *lockout, ctx context.Context, a account, refuse bool, after time.Duration) error {
	if err := l.check(a); err != nil {
		return err
	}
	release, err := l.enter(ctx, a)
	if err != nil {
		return err
	}
	defer release()
	time.Sleep(after)
	if refuse {
		l.rejected(a)
		return errors.New("refused by the device")
	}
	l.accepted(a)
	return nil
}

func TestLockout(t *testing.T) {
	shown := func(t *testing.T, devices int, refuse func(int) bool, prepare func(*lockout)) (l *lockout, wrong, right int) {
		l = newLockout(time.Now)
		if prepare != nil {
			prepare(l)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range devices {
			wg.Go(func() {
				err := login(l, t.Context(), account{fmt.Sprint("d", i), "ops", "vpnbot"}, refuse(i), 100*time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					right++
				} else if err.Error() == "refused by the device" {
					wrong++
				}
			})
		}
		wg.Wait()
		return l, wrong, right
	}
	t.Run("a wrong password is shown three times in all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, wrong, right := shown(t, 200, func(int) bool { return true }, nil)
			if wrong != burst || right != 0 {
				t.Errorf("%d times wrong, %d right", wrong, right)
			}
			var f *session.Failure
			if err := l.check(account{"other", "another-credential", "vpnbot"}); !errors.As(err, &f) || f.Reason != session.Auth || f.Hint == "" {
				t.Errorf("another credential: %v", err)
			}
		})
	})
	t.Run("also when it was right before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, wrong, _ := shown(t, 200, func(int) bool { return true }, func(l *lockout) {
				l.accepted(account{"d0", "ops", "vpnbot"})
				time.Sleep(fresh)
			})
			if wrong != burst {
				t.Errorf("%d times wrong", wrong)
			}
		})
	})
	t.Run("two credentials of one user count together", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLockout(time.Now)
			wrong := 0
			for i := range 10 {
				if err := login(l, t.Context(), account{fmt.Sprint("d", i), fmt.Sprint("c", i%2), "vpnbot"}, true, 0); err.Error() == "refused by the device" {
					wrong++
				}
			}
			if wrong != burst {
				t.Errorf("%d times wrong", wrong)
			}
		})
	})
	t.Run("one device that refuses stops nobody else", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, wrong, right := shown(t, 50, func(i int) bool { return i == 7 }, nil)
			if wrong != 1 || right != 49 {
				t.Errorf("%d wrong, %d right", wrong, right)
			}
			if err := l.check(account{"d7", "ops", "vpnbot"}); err == nil {
				t.Error("the device that refused would be tried again")
			}
			if err := l.check(account{"d8", "ops", "vpnbot"}); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a login without answer does not hold up the others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLockout(time.Now)
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { _ = login(l, t.Context(), account{"hangs", "ops", "vpnbot"}, false, time.Minute) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := login(l, ctx, account{"d1", "ops", "vpnbot"}, false, time.Millisecond); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("waiting ends with the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLockout(time.Now)
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { _ = login(l, t.Context(), account{"hangs", "ops", "vpnbot"}, false, time.Minute) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var f *session.Failure
			if err := login(l, ctx, account{"d1", "ops", "vpnbot"}, false, 0); !errors.As(err, &f) || f.Reason != session.Timeout || f.Hint == "" {
				t.Errorf("%v", err)
			}
		})
	})
}
