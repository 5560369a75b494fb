package fsm

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ribd/wire"
)

// world is two speakers and what lies between them, in the time of a synctest
// bubble: timers run, connections and messages take their while.
type world struct {
	t    testing.TB
	mu   sync.Mutex
	rand *rand.Rand
	// latency is how long a message, and a step of a connection, takes.
	latency func() time.Duration
	changed *sync.Cond // after each step
	a, b    *speaker
}

// speaker is one end: what a session manager does around the machines.
type speaker struct {
	w          *world
	name       string
	id, as     uint32
	set        *Settings
	other      *speaker
	up         bool // takes connections
	deaf       bool // takes no octets any more: what is sent to it waits
	graceful   Retention
	first      *half
	second     *half
	ups, downs int
	retained   int
	log        []string
	sent       []wire.Notification
}

// half is a machine with its timers and its connection.
type half struct {
	s      *speaker
	m      Machine
	timers [NumTimers]*time.Timer
	gen    [NumTimers]int
	conn   *end
	dial   int           // the attempt that counts
	hold   time.Duration // of TimerSendHold
}

// end is one end of a connection.
type end struct {
	s      *speaker
	peer   *end
	out    bool
	closed bool
	last   time.Time // when the last message arrives
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1))}
	w.changed = sync.NewCond(&w.mu)
	w.latency = func() time.Duration { return time.Millisecond + time.Duration(w.rand.IntN(int(20*time.Millisecond))) }
	w.a = w.speaker("a", 1, 65001)
	w.b = w.speaker("b", 2, 65002)
	w.a.other, w.b.other = w.b, w.a
	return w
}

func (w *world) speaker(name string, id, as uint32) *speaker {
	s := &speaker{w: w, name: name, id: id, as: as, set: settings(), up: true}
	s.first = &half{s: s, m: New(s.set)}
	return s
}

// start starts a machine as it is configured.
func (s *speaker) start() { s.do(Event{Kind: s.set.StartKind(true)}) }

// do gives an event to the first machine.
func (s *speaker) do(e Event) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.first.event(e, nil)
}

// state returns the state of the first machine.
func (s *speaker) state() State {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.first.m.State()
}

func (h *half) note(format string, args ...any) {
	h.s.log = append(h.s.log, fmt.Sprintf("%v %s ", time.Now().Format("04:05.000"), h.s.name)+fmt.Sprintf(format, args...))
}

// event takes one step, and does what it says. c is the connection of the
// event, if it has one.
func (h *half) event(e Event, c *end) {
	was := h.m.State()
	m, acts := Step(h.m, e, nil)
	h.m = m
	h.note("%v, %v -> %v: %s", e.Reason(), was, m.State(), say(acts))
	for _, a := range acts {
		h.act(a, e, c)
	}
	h.s.settle(h)
	h.s.w.changed.Broadcast()
}

// settle applies the rules for two machines.
func (s *speaker) settle(h *half) {
	if s.second != nil && s.first.m.State() == Idle && s.second.m.State() != Idle {
		s.first.stopTimers()
		s.swap()
	}
	if s.second != nil && s.second.m.State() == Idle {
		s.second.stopTimers()
		s.second = nil
	}
	if s.second == nil || h.m.State() < OpenConfirm {
		return
	}
	out, in := s.first, s.second
	if isOut(in) {
		out, in = in, out
	}
	dumpOut, dumpIn := Collide(out.m.State(), in.m.State(), KeepOutgoing(s.id, s.as, s.other.id, s.other.as))
	loser := in
	switch {
	case dumpOut:
		loser = out
	case !dumpIn:
		return
	}
	if loser == s.first {
		s.swap()
	}
	loser.event(Event{Kind: EventCollisionDump}, nil)
}

// isOut is true where the machine's connection is ours, or would be.
func isOut(h *half) bool { return h.conn == nil || h.conn.out }

func (s *speaker) swap() {
	s.first, s.second = s.second, s.first
	s.first.m, s.second.m = Swap(s.second.m, s.first.m)
}

func (h *half) act(a Action, e Event, c *end) {
	s := h.s
	switch a.Kind {
	case ActConnect:
		h.connect()
	case ActAdopt:
		h.conn = c
	case ActTrack:
		if s.second != nil {
			c.close()
			return
		}
		s.second = &half{s: s, m: NewSecond(s.set)}
		s.second.event(e, c)
	case ActRefuse:
		if c != nil {
			c.close()
		}
	case ActDrop:
		h.dial++
		if h.conn != nil {
			h.conn.close()
			h.conn = nil
		}
	case ActSendOpen:
		h.send(Event{Kind: EventOpen, Negotiated: &Negotiated{HoldTime: 90 * time.Second, Keepalive: 30 * time.Second, Graceful: s.graceful}})
	case ActSendKeepalive:
		h.send(Event{Kind: EventKeepalive})
	case ActSendNotification:
		s.sent = append(s.sent, a.Notification)
		h.send(Event{Kind: EventNotification, Notification: &a.Notification})
	case ActStartTimer:
		h.startTimer(a)
	case ActStopTimer:
		h.stopTimer(a.Timer)
	case ActUp:
		s.ups++
	case ActDown:
		s.downs++
		if a.Retain {
			s.retained++
		}
	}
}

// send sends, and starts SendHoldTimer anew where the other end takes it.
func (h *half) send(e Event) {
	h.conn.send(e)
	if h.timers[TimerSendHold] != nil && !h.s.other.deaf {
		h.startTimer(Action{Timer: TimerSendHold, After: h.hold})
	}
}

func (h *half) startTimer(a Action) {
	h.stopTimer(a.Timer)
	if a.Timer == TimerSendHold {
		h.hold = a.After
	}
	gen, after := h.gen[a.Timer], a.After
	if a.Timer.Jittered() && !a.Exact {
		after = Jitter(after, h.s.w.rand.Uint32())
	}
	h.timers[a.Timer] = time.AfterFunc(after, func() {
		h.s.w.mu.Lock()
		defer h.s.w.mu.Unlock()
		if h.gen[a.Timer] == gen {
			h.timers[a.Timer] = nil
			h.event(Event{Kind: a.Timer.Expires()}, nil)
		}
	})
}

func (h *half) stopTimer(t Timer) {
	h.gen[t]++
	if h.timers[t] != nil {
		h.timers[t].Stop()
		h.timers[t] = nil
	}
}

func (h *half) stopTimers() {
	for t := range Timer(NumTimers) {
		h.stopTimer(t)
	}
}

// later runs f after a while, with the world locked.
func (w *world) later(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	})
}

// connect makes a connection, unless the attempt is given up.
func (h *half) connect() {
	h.dial++
	dial, w := h.dial, h.s.w
	w.later(w.latency(), func() {
		if h.dial != dial {
			return
		}
		if !h.s.other.up {
			h.event(Event{Kind: EventTCPFails, Cause: "connection refused"}, nil)
			return
		}
		mine, theirs := &end{s: h.s, out: true}, &end{s: h.s.other}
		mine.peer, theirs.peer = theirs, mine
		w.later(w.latency(), func() { theirs.s.first.event(Event{Kind: EventTCPConfirmed}, theirs) })
		h.event(Event{Kind: EventTCPAcked}, mine)
	})
}

// send delivers an event to the other end, in order.
func (c *end) send(e Event) {
	c.deliver(func(h *half) { h.event(e, nil) })
}

func (c *end) deliver(f func(*half)) {
	w := c.s.w
	at := time.Now().Add(w.latency())
	if !at.After(c.last) {
		at = c.last.Add(time.Millisecond)
	}
	c.last = at
	if c.peer.s.deaf {
		return
	}
	w.later(time.Until(at), func() { c.peer.hand(f) })
}

// hand gives what came to the machine that has the connection. Before the
// connection is adopted it waits.
func (c *end) hand(f func(*half)) {
	if c.closed {
		return
	}
	for _, h := range []*half{c.s.first, c.s.second} {
		if h != nil && h.conn == c {
			f(h)
			return
		}
	}
	c.s.w.later(time.Millisecond, func() { c.hand(f) })
}

// close closes the connection: the other end hears of it after what was sent.
func (c *end) close() {
	if c.closed {
		return
	}
	c.closed = true
	c.deliver(func(h *half) { h.event(Event{Kind: EventTCPFails}, nil) })
}
