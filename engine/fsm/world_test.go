package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ribd/wire"
)

// inWorld runs a test with two speakers in a bubble of time, and ends both.
func inWorld(t *testing.T, seed uint64, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		f(w)
		for _, s := range []*speaker{w.a, w.b} {
			w.mu.Lock()
			s.up = false
			for _, h := range []*half{s.first, s.second} {
				if h != nil {
					h.event(Event{Kind: EventManualStop}, nil)
				}
			}
			w.mu.Unlock()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range []*speaker{w.a, w.b} {
			if s.first.m.State() != Idle || s.second != nil {
				t.Errorf("%s ends in %v", s.name, s.first.m.State())
			}
			for i, timer := range s.first.timers {
				if timer != nil {
					t.Errorf("%s: %v runs at the end", s.name, Timer(i))
				}
			}
			if s.ups != s.downs {
				t.Errorf("%s: up %d times, down %d times", s.name, s.ups, s.downs)
			}
		}
		if t.Failed() {
			w.dump()
		}
	})
}

// dump prints what both speakers did.
func (w *world) dump() {
	all := append(slices.Clone(w.a.log), w.b.log...)
	all = slices.DeleteFunc(all, func(l string) bool {
		return strings.Contains(l, " keepalive ") && strings.Contains(l, "established -> established")
	})
	slices.Sort(all)
	for _, l := range all[max(0, len(all)-40):] {
		w.t.Log(l)
	}
}

// reach waits until a speaker has a state.
func (w *world) reach(s *speaker, want State, within time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	end := time.Now().Add(within)
	defer time.AfterFunc(within, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	}).Stop()
	for s.first.m.State() != want {
		if !time.Now().Before(end) {
			w.t.Errorf("%s is %v after %v, not %v", s.name, s.first.m.State(), within, want)
			return
		}
		w.changed.Wait()
	}
}

// set changes the world.
func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// both waits until both ends are established.
func (w *world) both(within time.Duration) {
	w.t.Helper()
	w.reach(w.a, Established, within)
	w.reach(w.b, Established, within)
}

// calm checks that for a while nothing happens to a session that stands.
func (w *world) calm(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	ups := w.a.ups + w.b.ups
	w.mu.Unlock()
	time.Sleep(d)
	w.mu.Lock()
	if w.a.first.m.State() != Established || w.b.first.m.State() != Established || w.a.ups+w.b.ups != ups {
		w.t.Errorf("the session did not stand for %v", d)
	}
	if w.a.second != nil || w.b.second != nil || w.a.first.conn.peer != w.b.first.conn {
		w.t.Error("the two ends do not have one connection")
	}
}

// TestTwoThatDialEachOtherEndWithOneSession: whatever the delays, one of two
// connections stays (RFC 4271 section 6.8), and it lasts.
func TestTwoThatDialEachOtherEndWithOneSession(t *testing.T) {
	var late tally
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, seed, func(w *world) {
				if seed%3 == 1 {
					w.a.graceful.Families = wire.NewFamilySet(wire.IPv4Unicast)
					w.b.graceful.Families = wire.NewFamilySet(wire.IPv4Unicast)
				}
				if seed%5 == 1 {
					w.a.set.DelayOpen = 50 * time.Millisecond
				}
				w.a.start()
				time.Sleep(time.Duration(seed*7919%60) * time.Millisecond)
				w.b.start()
				w.both(time.Minute)
				time.Sleep(time.Second)
				w.both(time.Minute)
				w.calm(10 * time.Minute)
				late.count(w.a.ups+w.b.ups > 2)
			})
		})
	}
	t.Logf("in %d of %d the first session did not stay", late.yes, late.yes+late.no)
}

// TestEveryEventInEveryStateIsSurvived brings a speaker to each state, gives it
// each event, and lets time run: the session is there in the end, unless the
// event was a manual stop.
func TestEveryEventInEveryStateIsSurvived(t *testing.T) {
	for s := range State(NumStates) {
		for k := EventKind(1); k < NumEvents; k++ {
			if k == EventTCPAcked || k == EventTCPConfirmed || k == EventTCPInvalid {
				continue // they come with a connection: other tests have them
			}
			t.Run(fmt.Sprintf("%v/%v", s, k), func(t *testing.T) {
				inWorld(t, uint64(k), func(w *world) { survive(w, s, k) })
			})
		}
	}
}

func survive(w *world, s State, k EventKind) {
	w.b.set.Passive = true
	w.b.start()
	switch s {
	case Idle:
	case Active:
		w.set(func() { w.b.up = false })
		w.a.start()
		w.reach(w.a, Active, time.Minute)
	default:
		w.a.start()
		w.reach(w.a, s, time.Minute)
	}
	// The transport is what says that a connection is lost: the other end of it.
	if k == EventTCPFails && s >= OpenSent {
		w.mu.Lock()
		w.a.first.conn.close()
		w.mu.Unlock()
	}
	w.a.do(Event{Kind: k, Notification: &wire.Notification{Code: 6, Subcode: 4}, Negotiated: agreed()})
	w.set(func() { w.b.up = true })
	if k == EventManualStop || s == Idle && w.a.state() == Idle {
		time.Sleep(time.Hour)
		if got := w.a.state(); got != Idle {
			w.t.Errorf("started again after %v: %v", k, got)
		}
		return
	}
	w.both(10 * time.Minute)
	w.calm(10 * time.Minute)
}

type tally struct{ yes, no int }

func (t *tally) count(yes bool) {
	if yes {
		t.yes++
	} else {
		t.no++
	}
}

func TestASilentPeerIsGivenUpWhenHoldTimeIsOver(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.b.set.Passive = true
		w.a.start()
		w.b.start()
		w.both(time.Minute)
		time.Sleep(10 * time.Minute)
		w.set(func() { w.a.deaf = true }) // what b says is lost
		from := time.Now()
		w.reach(w.a, Idle, 5*time.Minute)
		if d := time.Since(from); d < 60*time.Second || d > 91*time.Second {
			w.t.Errorf("given up after %v, with a hold time of 90s", d)
		}
		if n := w.a.sent[len(w.a.sent)-1]; n.Code != wire.CodeHoldTimer {
			w.t.Errorf("it was told %v", n.String())
		}
		w.set(func() { w.a.deaf = false })
		w.both(5 * time.Minute)
	})
}

func TestAnOpenThatDoesNotComeIsGivenUpAfterFourMinutes(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.b.set.Passive = true
		w.a.start()
		w.b.start()
		w.set(func() { w.a.deaf = true })
		w.reach(w.a, OpenSent, time.Second)
		from := time.Now()
		w.reach(w.a, Idle, 10*time.Minute)
		if d := time.Since(from).Round(time.Second); d != 4*time.Minute {
			w.t.Errorf("given up after %v", d)
		}
		w.set(func() { w.a.deaf = false })
	})
}

// attempts returns the times between attempts to connect of a machine whose
// peer is not there.
func attempts(w *world, n int) []time.Duration {
	w.set(func() { w.b.up = false })
	var at []time.Time
	w.a.start()
	for len(at) < n {
		w.reach(w.a, Connect, 10*time.Minute)
		at = append(at, time.Now())
		w.reach(w.a, Active, time.Minute)
	}
	var between []time.Duration
	for i := range at[1:] {
		between = append(between, at[i+1].Sub(at[i]))
	}
	return between
}

func TestAttemptsToConnectComeSlowerAndSlower(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		want := time.Second
		for i, d := range attempts(w, 14) {
			if d < want*3/4 || d > want+50*time.Millisecond {
				w.t.Errorf("%d: after %v, want three quarters of %v to all of it", i, d, want)
			}
			want = min(2*want, 2*time.Minute)
		}
		w.b.start()
		w.set(func() { w.b.up = true })
		w.both(5 * time.Minute)
		// Once a session stood, they are quick again.
		w.mu.Lock()
		w.b.up = false
		w.b.first.conn.close()
		w.mu.Unlock()
		w.b.do(Event{Kind: EventManualStop})
		w.reach(w.a, Active, time.Minute)
		from := time.Now()
		w.reach(w.a, Connect, time.Minute)
		if d := time.Since(from); d > time.Second+50*time.Millisecond {
			w.t.Errorf("after a session the next attempt took %v", d)
		}
	})
}

func TestErrorsKeepAMachineIdleLongerAndLonger(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.b.set.Passive = true
		w.a.start()
		w.b.start()
		want := 2 * time.Second
		for i := range 8 {
			w.both(5 * time.Minute)
			w.a.do(Event{Kind: EventUpdateError})
			from := time.Now()
			w.reach(w.a, Connect, 5*time.Minute)
			if d := time.Since(from); d < want*3/4 || d > want+50*time.Millisecond {
				w.t.Errorf("error %d: idle for %v, want three quarters of %v to all of it", i, d, want)
			}
			want = min(2*want, time.Minute)
		}
		w.both(5 * time.Minute)
		time.Sleep(6 * time.Minute) // stable
		w.a.do(Event{Kind: EventUpdateError})
		from := time.Now()
		w.reach(w.a, Connect, 5*time.Minute)
		if d := time.Since(from); d > 2*time.Second+50*time.Millisecond {
			w.t.Errorf("idle for %v after a session that was stable", d)
		}
	})
}

// TestAPeerThatComesAndGoesIsNotHeldOff: its resets do not count as errors.
func TestAPeerThatComesAndGoesIsNotHeldOff(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.b.set.Passive = true
		w.b.set.IdleHoldMin = time.Millisecond
		w.a.start()
		w.b.start()
		from := time.Now()
		for range 100 {
			w.both(5 * time.Minute)
			w.mu.Lock()
			c := w.b.first.conn
			c.close()
			w.b.first.event(Event{Kind: EventTCPFails}, nil)
			w.mu.Unlock()
			w.reach(w.a, Idle, time.Second)
		}
		w.both(5 * time.Minute)
		if d := time.Since(from); d > 100*3*time.Second {
			w.t.Errorf("100 flaps took %v", d)
		}
	})
}

func TestDelayOpen(t *testing.T) {
	for _, c := range []struct {
		name         string
		delayA, most time.Duration
		delayB, less time.Duration
	}{
		{"one end waits for the other's OPEN", 10 * time.Second, time.Second, 0, 0},
		{"both wait, the first timer ends it", 10 * time.Second, 6 * time.Second, 5 * time.Second, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, 1, func(w *world) {
				w.a.set.DelayOpen, w.b.set.DelayOpen = c.delayA, c.delayB
				w.b.set.Passive = true
				w.b.start()
				w.a.start()
				from := time.Now()
				w.both(time.Minute)
				if d := time.Since(from); d > c.most || d < c.less {
					w.t.Errorf("established after %v", d)
				}
				w.calm(time.Hour)
			})
		})
	}
}

// TestAConnectionThatBreaksWhileOpenIsDelayed: in Connect the machine goes on
// listening, in Active it is an error.
func TestAConnectionThatBreaksWhileOpenIsDelayed(t *testing.T) {
	set := settings()
	set.DelayOpen = time.Minute
	m, _ := Step(at(t, Connect, set), Event{Kind: EventTCPAcked}, nil)
	if m.State() != Connect || !m.Connected() {
		t.Fatalf("got %+v", m)
	}
	n, acts := Step(m, Event{Kind: EventTCPFails}, nil)
	if n.State() != Active || n.Connected() || say(acts) != "stop delay-open, drop, start connect-retry 1s" {
		t.Errorf("Connect: got %v, %s", n.State(), say(acts))
	}
	m, _ = Step(at(t, Active, set), Event{Kind: EventTCPConfirmed}, nil)
	n, acts = Step(m, Event{Kind: EventTCPFails}, nil)
	if n.State() != Idle || say(acts) != "stop connect-retry, stop delay-open, drop, start idle-hold 2s" {
		t.Errorf("Active: got %v, %s", n.State(), say(acts))
	}
	n, acts = Step(m, Event{Kind: EventTCPAcked}, nil)
	if n != m || say(acts) != "track" {
		t.Errorf("a second connection: got %v, %s", n, say(acts))
	}
}

func TestManualStopIsForGood(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.a.start()
		w.b.start()
		w.both(time.Minute)
		w.a.do(Event{Kind: EventManualStop, Notification: &wire.Notification{Code: 6, Subcode: 2, Data: wire.ShutdownData("bye")}})
		time.Sleep(24 * time.Hour)
		if w.a.state() != Idle {
			w.t.Errorf("a is %v", w.a.state())
		}
		if w.b.state() == Established {
			w.t.Error("b did not notice")
		}
		w.a.start()
		w.both(5 * time.Minute)
	})
}

func TestAutomaticStopStartsAgainAsItSays(t *testing.T) {
	for _, c := range []struct {
		restart     time.Duration
		least, most time.Duration
	}{
		{15 * time.Minute, 15 * time.Minute, 15*time.Minute + 2*time.Second},
		{0, time.Second, 3 * time.Second},
	} {
		inWorld(t, 1, func(w *world) {
			w.b.set.Passive = true
			w.b.start()
			w.a.start()
			w.both(time.Minute)
			w.a.do(Event{Kind: EventAutomaticStop, Restart: c.restart})
			from := time.Now()
			w.both(time.Hour)
			if d := time.Since(from); d < c.least || d > c.most {
				w.t.Errorf("back after %v, want %v to %v", d, c.least, c.most)
			}
			w.a.do(Event{Kind: EventAutomaticStop, Restart: Never})
			time.Sleep(time.Hour)
			if w.a.state() != Idle {
				w.t.Errorf("a is %v", w.a.state())
			}
		})
	}
}

// TestAPeerThatRestartsGracefullyIsTakenBackAtOnce: a new connection ends the
// old session, whose routes are kept (RFC 4724 section 5).
func TestAPeerThatRestartsGracefullyIsTakenBackAtOnce(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.b.graceful.Families = wire.NewFamilySet(wire.IPv4Unicast)
		w.a.set.Passive = true
		w.a.start()
		w.b.start()
		w.both(time.Minute)
		w.mu.Lock()
		// b is gone without a word, and another b dials.
		old := w.b.first
		old.stopTimers()
		old.conn = nil
		w.b.downs++
		w.b.first = &half{s: w.b, m: New(w.b.set)}
		w.mu.Unlock()
		w.b.start()
		w.both(5 * time.Second)
		if w.a.retained != 1 || w.a.ups != 2 || len(w.a.sent) != 0 {
			w.t.Errorf("retained %d times, up %d times, sent %v", w.a.retained, w.a.ups, w.a.sent)
		}
		w.calm(10 * time.Minute)
	})
}
