package fsm

import (
	"math/rand/v2"
	"testing"
	"time"

	"ribd/wire"
)

// forEachWalk walks machines of all settings through random events, the
// likelier the nearer they are to a session, and shows each step to check.
func forEachWalk(t *testing.T, check func(*testing.T, Machine, Event, Machine, []Action)) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 4271))
	way := []EventKind{EventManualStart, EventTCPAcked, EventTCPConfirmed, EventOpen, EventKeepalive, EventKeepalive, EventUpdate}
	for range 2000 {
		set := settings()
		set.Passive = r.IntN(4) == 0
		set.Active = !set.Passive && r.IntN(4) == 0
		set.DelayOpen = time.Duration(r.IntN(2)) * time.Second
		set.IdleHoldMin *= time.Duration(r.IntN(2))
		m := New(set)
		if r.IntN(4) == 0 {
			m = NewSecond(set)
		}
		for range 30 {
			e := Event{Kind: EventKind(1 + r.IntN(NumEvents-1))}
			if r.IntN(2) == 0 {
				e.Kind = way[r.IntN(len(way))]
			}
			e.Graceful = r.IntN(4) == 0
			e.Restart = []time.Duration{0, Never, time.Minute}[r.IntN(3)]
			if r.IntN(8) > 0 {
				e.Negotiated = someNegotiated(r)
			}
			if r.IntN(2) == 0 {
				e.Notification = &wire.Notification{Code: 6, Subcode: uint8(1 + r.IntN(9)), Data: []byte{6, 2}}
			}
			next, acts := Step(m, e, nil)
			check(t, m, e, next, acts)
			if t.Failed() {
				t.Fatalf("seed %d: %v (%+v) in %+v of %+v:\n%s\n%+v", seed, e.Kind, e, m, *set, say(acts), next)
			}
			m = next
		}
	}
}

func someNegotiated(r *rand.Rand) *Negotiated {
	n := agreed()
	if r.IntN(4) == 0 {
		n.HoldTime, n.Keepalive = 0, 0
	}
	if r.IntN(2) == 0 {
		n.Graceful.Families = wire.NewFamilySet(wire.IPv4Unicast)
		n.Graceful.ByPeer = r.IntN(2) == 0
		n.Graceful.Notification = r.IntN(2) == 0
	}
	return n
}

// TestTimersRunWhereTheyAreWaitedFor keeps the set of timers that run: in each
// state only those of that state do, and a machine that waits for something has
// one that ends the wait.
func TestTimersRunWhereTheyAreWaitedFor(t *testing.T) {
	may := map[State]map[Timer]bool{
		Idle:        {TimerIdleHold: true},
		Connect:     {TimerConnectRetry: true, TimerDelayOpen: true},
		Active:      {TimerConnectRetry: true, TimerDelayOpen: true},
		OpenSent:    {TimerHold: true},
		OpenConfirm: {TimerHold: true, TimerKeepalive: true},
		Established: {TimerHold: true, TimerKeepalive: true, TimerSendHold: true, TimerStable: true},
	}
	running := map[Timer]bool{}
	var last Machine
	forEachWalk(t, func(t *testing.T, m Machine, e Event, next Machine, acts []Action) {
		if m != last {
			clear(running)
		}
		last = next
		// A timer that does not run cannot expire; the walk's events say
		// otherwise, and the machine has to be right all the same.
		for _, a := range acts {
			switch a.Kind {
			case ActStartTimer:
				running[a.Timer] = true
				if a.After < 0 || a.After == 0 && a.Timer != TimerIdleHold {
					t.Errorf("%v for %v", a.Timer, a.After)
				}
			case ActStopTimer:
				delete(running, a.Timer)
			}
		}
		for timer := range running {
			if timer.Expires() == e.Kind && !startedIn(acts, timer) {
				delete(running, timer) // it ran out
				continue
			}
			if !may[next.State()][timer] {
				t.Errorf("%v runs in %v", timer, next.State())
			}
		}
		switch {
		case next.State() == Connect && !next.delaying && !running[TimerConnectRetry],
			next.State() == OpenSent && !running[TimerHold],
			next.State() >= OpenConfirm && next.hold > 0 && (!running[TimerHold] || !running[TimerKeepalive]):
			if e.Kind != EventHoldExpires && e.Kind != EventKeepaliveExpires {
				t.Errorf("nothing ends the wait in %v: %v", next.State(), running)
			}
		}
	})
}

func startedIn(acts []Action, timer Timer) bool {
	for _, a := range acts {
		if a.Kind == ActStartTimer && a.Timer == timer {
			return true
		}
	}
	return false
}
