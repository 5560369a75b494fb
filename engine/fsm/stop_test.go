package fsm

import (
	"bytes"
	"testing"
	"time"

	"ribd/wire"
)

// established returns a machine whose session has graceful restart as given.
func established(t testing.TB, g Retention) Machine {
	t.Helper()
	m := at(t, OpenSent, settings())
	n := agreed()
	n.Graceful = g
	m, _ = Step(m, Event{Kind: EventOpen, Negotiated: n}, nil)
	m, _ = Step(m, Event{Kind: EventKeepalive}, nil)
	if m.State() != Established {
		t.Fatalf("got to %v", m.State())
	}
	return m
}

// TestWhatALostSessionRetains is RFC 4724 section 4.2 and RFC 8538 section 4:
// routes of the peer outlive a session by how it ended.
func TestWhatALostSessionRetains(t *testing.T) {
	retains := Retention{Families: wire.NewFamilySet(wire.IPv4Unicast)}
	notify := retains
	notify.Notification = true
	hard := wire.HardReset(wire.Notification{Code: 6, Subcode: 2})
	for _, c := range []struct {
		name                 string
		e                    Event
		none, plain, noticed bool // without graceful restart, with it, with RFC 8538
	}{
		{"the transport fails", Event{Kind: EventTCPFails}, false, true, true},
		{"a NOTIFICATION comes", Event{Kind: EventNotification, Notification: &wire.Notification{Code: 6, Subcode: 2}}, false, false, true},
		{"a Hard Reset comes", Event{Kind: EventNotification, Notification: &hard}, false, false, false},
		{"the hold time is over", Event{Kind: EventHoldExpires}, false, false, true},
		{"the send hold time is over", Event{Kind: EventSendHoldExpires}, false, false, true},
		{"an UPDATE is malformed", Event{Kind: EventUpdateError}, false, false, true},
		{"we disable it", Event{Kind: EventManualStop}, false, false, false},
		{"we reset it", Event{Kind: EventAutomaticStop}, false, false, false},
	} {
		for i, g := range []Retention{{}, retains, notify} {
			_, acts := Step(established(t, g), c.e, nil)
			var down *Action
			for j := range acts {
				if acts[j].Kind == ActDown {
					down = &acts[j]
				}
			}
			if want := []bool{c.none, c.plain, c.noticed}[i]; down == nil || down.Retain != want {
				t.Errorf("%s (%d): got %s, want retained: %v", c.name, i, say(acts), want)
			}
		}
	}
}

// TestStopsAreHardResetsWhereOthersKeepRoutes: RFC 8538 section 3.
func TestStopsAreHardResetsWhereOthersKeepRoutes(t *testing.T) {
	said := &wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseAdminShutdown, Data: wire.ShutdownData("bye")}
	for _, c := range []struct {
		name     string
		g        Retention
		graceful bool
		want     *wire.Notification // nil: none is sent
	}{
		{"nothing negotiated", Retention{}, false, said},
		{"RFC 4724", Retention{ByPeer: true}, false, said},
		{"RFC 8538", Retention{ByPeer: true, Notification: true}, false, &wire.Notification{Code: 6, Subcode: 9, Data: append([]byte{6, 2}, said.Data...)}},
		{"nothing negotiated, graceful", Retention{}, true, said},
		{"RFC 4724, graceful", Retention{ByPeer: true}, true, nil},
		{"RFC 8538, graceful", Retention{ByPeer: true, Notification: true}, true, said},
	} {
		for _, k := range []EventKind{EventManualStop, EventAutomaticStop} {
			_, acts := Step(established(t, c.g), Event{Kind: k, Notification: said, Graceful: c.graceful}, nil)
			var got *wire.Notification
			for i := range acts {
				if acts[i].Kind == ActSendNotification {
					got = &acts[i].Notification
				}
			}
			if (got == nil) != (c.want == nil) || got != nil && (got.Subcode != c.want.Subcode || !bytes.Equal(got.Data, c.want.Data)) {
				t.Errorf("%s, %v: got %v, want %v", c.name, k, got, c.want)
			}
		}
	}
}

// TestASessionWithoutHoldTime has no timers but its own end (RFC 4271 section
// 4.2, RFC 9687 section 4).
func TestASessionWithoutHoldTime(t *testing.T) {
	m := at(t, OpenSent, settings())
	m, acts := Step(m, Event{Kind: EventOpen, Negotiated: &Negotiated{}}, nil)
	if got := say(acts); got != "stop connect-retry, send-keepalive, stop hold" {
		t.Errorf("OPEN: %s", got)
	}
	m, acts = Step(m, Event{Kind: EventKeepalive}, nil)
	if got := say(acts); got != "up" {
		t.Errorf("KEEPALIVE: %s", got)
	}
	for _, k := range []EventKind{EventKeepalive, EventKeepaliveExpires} {
		if _, acts = Step(m, Event{Kind: k}, nil); len(acts) != 0 {
			t.Errorf("%v: %s", k, say(acts))
		}
	}
}

// TestSendHoldTimeIsNeverUnderTwiceTheHoldTime: RFC 9687 sections 4.4 and 6.
func TestSendHoldTimeIsNeverUnderTwiceTheHoldTime(t *testing.T) {
	for _, c := range []struct{ set, hold, want time.Duration }{
		{8 * time.Minute, 90 * time.Second, 8 * time.Minute},
		{8 * time.Minute, 10 * time.Minute, 20 * time.Minute},
		{time.Second, 3 * time.Second, 6 * time.Second},
		{0, 90 * time.Second, 0},
	} {
		set := settings()
		set.SendHoldTime = c.set
		m := at(t, OpenSent, set)
		m, _ = Step(m, Event{Kind: EventOpen, Negotiated: &Negotiated{HoldTime: c.hold, Keepalive: c.hold / 3}}, nil)
		_, acts := Step(m, Event{Kind: EventKeepalive}, nil)
		got := time.Duration(0)
		for _, a := range acts {
			if a.Kind == ActStartTimer && a.Timer == TimerSendHold {
				got = a.After
			}
		}
		if got != c.want {
			t.Errorf("%v with a hold time of %v: got %v, want %v", c.set, c.hold, got, c.want)
		}
	}
}

func TestModesOfConnecting(t *testing.T) {
	passive, active := settings(), settings()
	passive.Passive, active.Active = true, true
	m, acts := Step(New(passive), Event{Kind: passive.StartKind(true)}, nil)
	if m.State() != Active || say(acts) != "stop idle-hold, stop connect-retry" {
		t.Errorf("passive starts in %v: %s", m.State(), say(acts))
	}
	for _, k := range []EventKind{EventManualStart, EventAutomaticStart, EventAutomaticStartDamped, EventIdleHoldExpires} {
		if m, _ := Step(New(passive), Event{Kind: k}, nil); m.State() != Active {
			t.Errorf("passive, %v: %v", k, m.State())
		}
	}
	for s := range State(NumStates) {
		if s == Active {
			continue
		}
		m := at(t, s, active)
		n, acts := Step(m, Event{Kind: EventTCPConfirmed}, nil)
		if n != m || say(acts) != "refuse" {
			t.Errorf("active, %v: a connection that comes in leads to %v: %s", s, n.State(), say(acts))
		}
	}
	m = at(t, Connect, settings())
	m.Use(passive) // changed while it is under way
	m, acts = Step(m, Event{Kind: EventConnectRetryExpires}, nil)
	if m.State() != Active || say(acts) != "drop, stop connect-retry" {
		t.Errorf("made passive: %v: %s", m.State(), say(acts))
	}
}

func TestStartKinds(t *testing.T) {
	for _, c := range []struct {
		passive, damped, manual bool
		want                    EventKind
	}{
		{false, false, true, EventManualStart}, {true, false, true, EventManualStartPassive},
		{false, true, true, EventManualStart}, {true, true, true, EventManualStartPassive},
		{false, false, false, EventAutomaticStart}, {true, false, false, EventAutomaticStartPassive},
		{false, true, false, EventAutomaticStartDamped}, {true, true, false, EventAutomaticStartDampedPassive},
	} {
		s := Settings{Passive: c.passive}
		if c.damped {
			s.IdleHoldMin = 1
		}
		if got := s.StartKind(c.manual); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

// TestASecondMachineEndsInIdle: no timer starts it again, and no event.
func TestASecondMachineEndsInIdle(t *testing.T) {
	for k := EventKind(1); k < NumEvents; k++ {
		m, _ := Step(NewSecond(settings()), Event{Kind: EventTCPConfirmed}, nil)
		if m.State() != OpenSent || !m.Second() {
			t.Fatalf("got %+v", m)
		}
		m, acts := Step(m, Event{Kind: k, Negotiated: agreed()}, nil)
		if m.State() == Active {
			t.Errorf("%v: back to Active", k)
		}
		for _, a := range acts {
			if m.State() == Idle && a.Kind == ActStartTimer {
				t.Errorf("%v: %v", k, a)
			}
		}
		if m.State() != Idle {
			continue
		}
		for again := EventKind(1); again < NumEvents; again++ {
			if n, acts := Step(m, Event{Kind: again}, nil); n != m || len(acts) > 1 {
				t.Errorf("%v, %v: %v: %s", k, again, n.State(), say(acts))
			}
		}
	}
}

func TestSwapKeepsTheCountsWithTheFirst(t *testing.T) {
	first := at(t, OpenSent, settings())
	first.damping, first.retries, first.counter, first.waits = 3, 4, 5, true
	second, _ := Step(NewSecond(first.set), Event{Kind: EventTCPConfirmed}, nil)
	a, b := Swap(first, second)
	if a.Second() || !b.Second() || a.damping != 3 || a.retries != 4 || a.ConnectRetryCounter() != 5 || !a.waits {
		t.Errorf("got %+v and %+v", a, b)
	}
}

func TestCountsOfErrors(t *testing.T) {
	m := New(settings())
	for i := range 3 {
		m, _ = Step(m, Event{Kind: EventIdleHoldExpires}, nil)
		m, _ = Step(m, Event{Kind: EventTCPAcked}, nil)
		m, _ = Step(m, Event{Kind: EventHeaderError}, nil)
		if got := m.ConnectRetryCounter(); got != uint32(i+1) {
			t.Errorf("got %d after %d errors", got, i+1)
		}
	}
	m, _ = Step(m, Event{Kind: EventManualStop}, nil)
	if m.ConnectRetryCounter() != 0 {
		t.Error("a manual stop does not clear it")
	}
}

func TestReasonsAndNames(t *testing.T) {
	for k := EventKind(1); k < NumEvents; k++ {
		if s := k.String(); s == "" || s[:3] == "eve" {
			t.Errorf("event %d is %q", k, s)
		}
	}
	for k := ActConnect; k <= ActDeliver; k++ {
		if s := k.String(); s == "" || len(s) > 6 && s[:7] == "action-" {
			t.Errorf("action %d is %q", k, s)
		}
	}
	for tm := range Timer(NumTimers) {
		if tm.Expires() == 0 || tm.String()[:2] == "ti" {
			t.Errorf("timer %d is %q", tm, tm)
		}
	}
	for s, want := range []string{"idle", "connect", "active", "open-sent", "open-confirm", "established", "state-6"} {
		if got := State(s).String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if EventKind(99).String() != "event-99" || ActionKind(99).String() != "action-99" || Timer(99).String() != "timer-99" {
		t.Error("numbers out of range")
	}
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Kind: EventKeepalive}, "keepalive received"},
		{Event{Kind: EventHoldExpires}, "hold timer expired"},
		{Event{Kind: EventTCPFails, Cause: "connection refused"}, "connection failed: connection refused"},
		{Event{Kind: EventNotification, Notification: &wire.Notification{Code: 6, Subcode: 2, Data: wire.ShutdownData("maintenance")}},
			"notification received: cease, administrative shutdown (6/2): maintenance"},
		{Event{Kind: EventOpenError, Notification: &wire.Notification{Code: 2, Subcode: 2}, Cause: "AS 1, not 2"},
			"OPEN refused: OPEN message error, bad peer AS (2/2): AS 1, not 2"},
		{Event{Kind: EventManualStop}, "disabled"},
		{Event{Kind: EventManualStop, Notification: &wire.Notification{Code: 6, Subcode: 2, Data: wire.ShutdownData("moving racks")}}, "disabled: moving racks"},
		{Event{Kind: EventAutomaticStop, Notification: &wire.Notification{Code: 6, Subcode: 4}}, "stopped: administrative reset"},
		{Event{Kind: EventManualStop, Notification: &wire.Notification{Code: 6, Subcode: 2}, Cause: "disabled here: moving racks"}, "disabled here: moving racks"},
	} {
		if got := c.e.Reason(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestJitterIsThreeQuartersToAll(t *testing.T) {
	for _, d := range []time.Duration{0, 1, time.Second, 2 * time.Minute, 24 * time.Hour} {
		if got := Jitter(d, 0); got != d {
			t.Errorf("%v: got %v at most", d, got)
		}
		for _, r := range []uint32{1 << 16, 1 << 31, 1<<32 - 1} {
			if got := Jitter(d, r); got < d*3/4 || got > d {
				t.Errorf("%v: got %v", d, got)
			}
		}
	}
}
