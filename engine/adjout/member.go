package adjout

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"ribd/shard/rib"
	"ribd/wire"
)

// Member is a peer in an update group. Any goroutine may call its methods.
type Member struct {
	m    *Manager
	t    Target
	send Sender
	g    atomic.Pointer[group] // nil: gone

	// With the lock of the group.
	want    Export // the policy that it is to have
	wantKey string // and the key of a group that has it
	inStep  bool   // the group's goroutine sends to it
	sending bool   // just now
	behind  bool   // of the group's goroutine: the batch was not taken
	running bool   // catchUp runs
	leaving bool   // it is to end, so that the member can go to another group
	lost    bool   // so slow that it has to go
	synced  bool   // pos means something
	pos     uint32 // batches up to this are with the sender, or in Send
	given   uint32 // batches up to this are with the sender, where the member lags
	joined  uint32 // batches up to this were encoded for a group without it
	pending []errand
	job     *job
	closing []ending
	waiting []waiter
	ends    []time.Time // of the initial sync, by family

	buf []byte        // of catchUp
	enc *wire.Encoder // of catchUp
}

// errand is a family that is to be sent whole.
type errand struct {
	fam           int
	before, after []byte // messages around the routes
	initial       bool
}

// ending is a message that ends what was to be sent whole: a run leaves out what
// changes while it goes on, so it is sent when the member has come to a position.
type ending struct {
	errand
	at uint32
}

// job is a run that a member is in.
type job struct {
	set    *runSet
	todo   []errand
	begun  bool // the messages before it are sent
	first  bool // the first window is sent
	window int
	at     *window // in hand, or nil
	chunk  int     // in it
}

type waiter struct {
	at   uint32
	done chan struct{}
}

// join adds a new member.
func (g *group) join(mb *Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mb.ends = make([]time.Time, len(g.states))
	for i, f := range g.t.Families {
		mb.pending = append(mb.pending, errand{fam: i, after: wire.AppendEndOfRIB(nil, f), initial: true})
	}
	g.add(mb)
	g.kick(mb)
}

func (g *group) add(mb *Member) {
	g.members[mb] = struct{}{}
	mb.joined = g.batch
	g.nums = g.nums.With(mb.t.Num)
	clear(g.named)
	mb.g.Store(g)
}

// remove takes a member out of the group.
func (g *group) remove(mb *Member) {
	delete(g.members, mb)
	if i := slices.Index(g.step, mb); i >= 0 {
		g.step = slices.Delete(g.step, i, i+1)
		mb.inStep, mb.pos, mb.given = false, g.batch, g.batch
	}
	clear(g.named)
	g.nums = rib.PeerSet{}
	for o := range g.members {
		g.nums = g.nums.With(o.t.Num)
	}
}

// leave is remove for good.
func (g *group) leave(mb *Member) {
	g.remove(mb)
	mb.g.Store(nil)
	if mb.job != nil {
		mb.job.end()
		mb.job = nil
	}
	for _, w := range mb.waiting {
		close(w.done)
	}
	mb.waiting = nil
}

// Leave ends the membership. It does not wait: the Sender may be called once
// more. A group ends with its last member.
func (mb *Member) Leave() {
	mb.m.mu.Lock()
	defer mb.m.mu.Unlock()
	g := mb.g.Load()
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave(mb)
	if len(g.members) == 0 {
		mb.m.drop(g)
	}
}

// lock locks the group that the member is in; nil: none any more.
func (mb *Member) lock() *group {
	for {
		g := mb.g.Load()
		if g == nil {
			return nil
		}
		g.mu.Lock()
		if mb.g.Load() == g {
			return g
		}
		g.mu.Unlock()
	}
}

// Refresh sends a family again (RFC 2918); with enhanced between the messages of
// RFC 7313.
func (mb *Member) Refresh(f wire.Family, enhanced bool) {
	g := mb.lock()
	if g == nil {
		return
	}
	defer g.mu.Unlock()
	fam := slices.Index(g.t.Families, f)
	if fam < 0 {
		return
	}
	if mb.hasErrand(fam) {
		return // it is to be sent whole anyway
	}
	e := errand{fam: fam}
	if enhanced {
		e.before = wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: f, Subtype: 1})
		e.after = wire.AppendRouteRefresh(nil, wire.RouteRefresh{Family: f, Subtype: 2})
	}
	mb.pending = append(mb.pending, e)
	if !mb.sending {
		g.lag(mb, g.batch)
	}
}

// hasErrand says whether a family waits for being sent whole.
func (mb *Member) hasErrand(fam int) bool {
	return slices.ContainsFunc(mb.pending, func(e errand) bool { return e.fam == fam })
}

// hasEnhanced is hasErrand for one between marks: its end is that of one before,
// too.
func (mb *Member) hasEnhanced(fam int) bool {
	return slices.ContainsFunc(mb.pending, func(e errand) bool { return e.fam == fam && len(e.after) > 0 })
}

// SetExport gives the member another export policy; see Manager.SetExports.
func (mb *Member) SetExport(e Export) { mb.m.SetExports(map[*Member]Export{mb: e}) }

// Wait returns when everything that was in the RIB at the call is with the
// Sender, or with the error of ctx. Changes of policy that were asked for before
// are part of it.
func (mb *Member) Wait(ctx context.Context) error {
	done := make(chan struct{})
	g := mb.lock()
	if g == nil {
		return nil
	}
	g.commands = append(g.commands, func() { g.idle = append(g.idle, func() { mb.await(done) }) })
	g.mu.Unlock()
	g.poke()
	select {
	case <-done:
		return nil
	case <-mb.m.stop:
		return context.Canceled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await notes who waits. The group has read the feed up to now.
func (mb *Member) await(done chan struct{}) {
	g := mb.lock()
	if g == nil {
		close(done)
		return
	}
	defer g.mu.Unlock()
	at := uint32(0) // when it is in step
	if !g.hold && mb.wantKey == g.key {
		at = g.batch
	}
	mb.waiting = append(mb.waiting, waiter{at, done})
	if !mb.running { // else what was taken last may not be with the sender yet
		mb.arrive(g)
	}
}

// arrive tells those who wait for a position.
func (mb *Member) arrive(g *group) {
	if len(mb.waiting) == 0 || !mb.inStep && (!mb.synced || mb.job != nil || len(mb.pending)+len(mb.closing) > 0) {
		return
	}
	pos := mb.pos
	if mb.inStep {
		pos = g.batch
	}
	mb.waiting = slices.DeleteFunc(mb.waiting, func(w waiter) bool {
		if w.at == 0 && !mb.inStep || w.at > pos {
			return false
		}
		close(w.done)
		return true
	})
}

// needs is the number of the last batch whose withdrawals the member has no use
// for.
func (mb *Member) needs() uint32 {
	switch j := mb.job; {
	case mb.lost:
		return math.MaxUint32
	case j != nil && j.set.b0 == 0 && !mb.synced || j != nil && j.todo[0].initial:
		return j.set.skipAt
	case !mb.synced:
		return math.MaxUint32
	}
	return mb.pos
}

// after is where the member will be when it is through with its job; ok is false
// where that is not known yet.
func (mb *Member) after() (pos uint32, ok bool) {
	if mb.job != nil && mb.job.set.b0 != 0 {
		return mb.job.set.b1, true
	}
	return mb.pos, mb.synced && !mb.lost
}

// kick has a member that is not in step catch up.
func (g *group) kick(mb *Member) {
	if mb.running || mb.lost || mb.inStep || mb.sending || g.stopped {
		return
	}
	mb.running = true
	go mb.catchUp()
}

func (g *group) kickAll() {
	for mb := range g.members {
		g.kick(mb)
	}
}

func (g *group) kickLagging() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kickAll()
}

// prime lets members that wait for a group to be filled send the first routes,
// once there are some.
func (g *group) prime() {
	if !g.filling || g.primed {
		return
	}
	for _, st := range g.states {
		if st.live >= g.m.o.slice/2 {
			g.primed = true
		}
	}
	if g.primed {
		g.kickAll()
	}
}

// parcel is what is sent at once.
type parcel struct {
	msgs               []byte
	updates, withdraws int
}

// catchUp sends to a member until it is in step, or has to wait for its group.
func (mb *Member) catchUp() {
	for {
		mb.m.use.RLock()
		p, more := mb.next()
		mb.m.use.RUnlock()
		if !more {
			return
		}
		if len(p.msgs) == 0 {
			continue
		}
		if err := mb.send.Send(p.msgs, p.updates, p.withdraws); err != nil {
			mb.Leave() // the session is over
			return
		}
	}
}

// next returns what is to be sent next. more is false when catchUp has to end.
func (mb *Member) next() (p parcel, more bool) {
	if mb.m.closed.Load() {
		return p, false
	}
	g := mb.lock()
	if g == nil {
		return p, false
	}
	if mb.job == nil {
		mb.given = mb.pos // Send has returned
	}
	mb.arrive(g)
	if g.stopped || !mb.ready(g) {
		mb.running = false
		if mb.leaving {
			mb.leaving = false
			g.commands = append(g.commands, g.reconcile)
			g.poke()
		}
		g.mu.Unlock()
		return p, false
	}
	if mb.job != nil {
		job := mb.job
		g.mu.Unlock()
		p = mb.work(job)
		return p, true
	}
	defer g.mu.Unlock()
	if len(mb.closing) > 0 && mb.pos >= mb.closing[0].at {
		return mb.close(), true
	}
	return mb.follow(g), true
}

// ready finds out what to do. It is false where the member is in step, or has to
// wait.
func (mb *Member) ready(g *group) bool {
	if mb.leaving || mb.lost || mb.m.held.Load() {
		return false
	}
	if mb.job != nil && mb.job.set.b1 != 0 {
		if !mb.synced {
			mb.synced, mb.pos = true, mb.job.set.b1
		}
		return !g.hold
	}
	if !mb.synced {
		if mb.job != nil {
			return !mb.job.first // and then wait for the end of the filling
		}
		if g.hold && !(g.filling && g.primed) {
			return false
		}
		set := g.whole()
		mb.job = &job{set: set, todo: mb.pending, first: set.first == nil}
		mb.pending = nil
		set.users++
		if set.b1 != 0 {
			mb.synced, mb.pos = true, set.b1
		}
		return true
	}
	if g.hold {
		return false
	}
	if len(mb.closing) > 0 && mb.pos >= mb.closing[0].at {
		return true
	}
	if len(mb.pending) > 0 {
		mb.closing = slices.DeleteFunc(mb.closing, func(e ending) bool { return !e.initial && mb.hasEnhanced(e.fam) })
		set := &runSet{g: g, b1: mb.pos, skipAt: mb.pos, made: time.Now()}
		mb.job = &job{set: set, todo: mb.pending, first: true}
		mb.pending = nil
		set.users++
		return true
	}
	if mb.pos == g.batch {
		mb.inStep = true
		mb.buf, mb.enc = nil, nil
		g.step = append(g.step, mb)
		mb.arrive(g)
		return false
	}
	if !g.ring.has(mb.pos) || mb.pos < mb.joined {
		set := g.partial(mb.pos)
		mb.job = &job{set: set, first: true}
		for i := range g.states {
			mb.job.todo = append(mb.job.todo, errand{fam: i})
		}
		set.users++
	}
	return true
}

const maxGather = 256 << 10

// follow returns what the ring has for a member that lags.
func (mb *Member) follow(g *group) (p parcel) {
	mb.buf = mb.buf[:0]
	for mb.pos < g.batch && len(mb.buf) < maxGather {
		var u, w int
		mb.buf, u, w = g.ring.after(mb.pos).appendFor(&mb.t, true, mb.buf)
		p.updates += u
		p.withdraws += w
		mb.pos++
	}
	p.msgs = mb.buf
	return p
}

// finish ends the errand in hand, and the job with the last one.
func (mb *Member) finish(job *job) {
	g := mb.lock()
	if g == nil {
		return
	}
	defer g.mu.Unlock()
	if mb.job != job {
		return
	}
	if e := job.todo[0]; len(e.after) > 0 {
		mb.closing = append(mb.closing, ending{e, g.batch})
	}
	job.todo = job.todo[1:]
	job.begun, job.window, job.chunk = false, 0, 0
	if len(job.todo) == 0 {
		if job.set.b0 != 0 {
			mb.pos = job.set.b1
		}
		// What the run has left out comes by the ring.
		for i := range mb.closing {
			mb.closing[i].at = g.batch
		}
		for i := range mb.waiting {
			if w := &mb.waiting[i]; w.at != 0 {
				w.at = g.batch
			}
		}
		job.end()
		mb.job = nil
	}
}

// close returns the message that is due.
func (mb *Member) close() (p parcel) {
	e := mb.closing[0]
	mb.closing = mb.closing[1:]
	if e.initial {
		mb.ends[e.fam] = time.Now()
		p.updates = 1
	}
	p.msgs = e.after
	return p
}
