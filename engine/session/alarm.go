package session

import (
	"sync"
	"time"
)

// alarm is a timer that is cheap to put off: a later time is noted, and the
// runtime's timer, which rings too early then, is set again when it rings. All
// of it is guarded by mu, and ring is called with mu held.
type alarm struct {
	mu    *sync.Mutex
	ring  func()
	at    time.Time // zero: off
	armed time.Time // when t rings; zero: it does not
	t     *time.Timer
}

// start sets the alarm, on or off before, to d from now.
func (a *alarm) start(d time.Duration) {
	now := time.Now()
	a.at = now.Add(d)
	if !a.armed.IsZero() && !a.armed.After(a.at) {
		return
	}
	a.arm(d)
}

func (a *alarm) arm(d time.Duration) {
	a.armed = time.Now().Add(d)
	if a.t == nil {
		a.t = time.AfterFunc(d, a.wake)
	} else {
		a.t.Reset(d)
	}
}

// stop turns the alarm off. Stopping for good also frees the runtime's timer.
func (a *alarm) stop() {
	a.at = time.Time{}
	if a.t != nil && !a.armed.IsZero() {
		a.t.Stop()
		a.armed = time.Time{}
	}
}

// on says whether it will ring.
func (a *alarm) on() bool { return !a.at.IsZero() }

func (a *alarm) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at.IsZero() {
		a.armed = time.Time{}
		return
	}
	if left := time.Until(a.at); left > 0 {
		a.arm(left)
		return
	}
	a.at, a.armed = time.Time{}, time.Time{}
	a.ring()
}
