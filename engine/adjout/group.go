package adjout

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// group is the members that are sent the same but for their own routes. Its
// goroutine follows the Loc-RIB, keeps the state, encodes what changes and
// hands it to the members that are in step. Members that are not have a
// goroutine each while they catch up.
//
// Fields above mu are the goroutine's own. States are changed by it with mu
// held, so it reads them without.
type group struct {
	m      *Manager
	t      Target // what the members have in common
	wake   chan struct{}
	follow *shard.Follower
	judge  judge
	scan   scan
	enc    *wire.Encoder
	keep   keeper

	changes []shard.Change
	late    []prefix
	later   []func() // commands that wait for the end of the scan
	idle    []func() // and for the end of the feed
	taken   []bool
	warmed  uint32    // so that state.warm is not for nothing
	round   []*Member // who is handed the batch in hand
	scratch []byte
	was     []outPath // of setMixed
	ask     judge     // of Explain, with the manager's lock
	last    time.Time // of the last batch, where there is an interval

	waited           atomic.Bool // there is something in waits
	behind           bool        // counts in Manager.behind
	lostAt, lostLast time.Time   // when the feed went past first, and last; zero: no scan is owed

	mu       sync.Mutex
	key      string
	stopped  bool
	commands []func()
	states   []*state // by family
	batch    uint32   // number of the last batch
	telling  bool     // somebody is told of changes as they happen
	filling  bool     // no scan has ended yet
	hold     bool     // nobody is told anything until the scan has ended
	expected bool     // the states know how large they get
	primed   bool     // while filling: there is enough for the first messages
	deltas   []delta
	ring     ring
	dead     []deadEntry
	forgot   uint32 // number of the batch that buried the last one that was let go
	members  map[*Member]struct{}
	nums     rib.PeerSet
	only     *audiences           // as the states are made by them
	named    map[rib.PeerNum]bool // sources that have an audience in the group, or not: see concerns
	step     []*Member            // in step: the goroutine sends to them
	waits    []*told
	full     *runSet // the last whole run, for others that want one
	catch    *runSet // the last partial one
}

const changesAtOnce = 1024

func makeGroup(m *Manager, key string, t Target) *group {
	g := &group{
		m: m, t: t, key: key, wake: make(chan struct{}, 1),
		enc: wire.NewEncoder(t.Send), changes: make([]shard.Change, changesAtOnce),
		batch: 1, filling: true, hold: true, members: map[*Member]struct{}{}, only: m.only.Load(),
	}
	g.ring.reset(1)
	g.judge = judge{m: m, rules: newRules(&g.t, m.rib.Attrs())}
	g.judge.filter = t.filter()
	g.judge.fams = t.families()
	g.ask = judge{m: m, rules: newRules(&g.t, m.rib.Attrs()), fams: g.judge.fams, filter: g.judge.filter}
	for i := range g.judge.fams {
		fam := &g.judge.fams[i]
		table := rib.TableID(0)
		if fam.family.Form() != wire.FormVPN {
			table, _ = m.rib.Table(fam.family, 0)
		}
		g.states = append(g.states, newState(fam.family, table, fam.mode != modeBest))
	}
	g.judge.states = g.states
	return g
}

// poke wakes the goroutine.
func (g *group) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// command has the goroutine do something between two batches.
func (g *group) command(f func()) {
	g.mu.Lock()
	g.commands = append(g.commands, f)
	g.mu.Unlock()
	g.poke()
}

// end makes the goroutine end.
func (g *group) end() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.poke()
}

// errWake is what a wait ends with when the goroutine is wanted.
var errWake = errors.New("adjout: woken")

// wakeContext ends a wait when something is put into wake.
type wakeContext struct {
	context.Context
	wake <-chan struct{}
}

func (c wakeContext) Done() <-chan struct{} { return c.wake }
func (c wakeContext) Err() error            { return errWake }

// run is the group's goroutine.
func (g *group) run() {
	g.judge.rd = g.m.rib.NewReader()
	defer g.judge.rd.Close()
	defer g.unfollow()
	defer g.scan.end()
	defer g.fallBehind(false)
	defer g.passed(true)
	var ctx context.Context = wakeContext{context.Background(), g.wake}
	for g.prepare() {
		if g.tooSoon() {
			continue
		}
		n, ok := g.read()
		g.fallBehind(!ok || n == len(g.changes))
		if !ok {
			g.lost()
			continue
		}
		if n > 0 {
			g.take(g.changes[:n])
			g.commit()
		}
		g.passed(false)
		switch {
		case g.scan.active:
			g.advance()
		case g.owed() && g.quiet():
			g.scan.begin(g.m.rib.View(), g.states)
			g.lostAt = time.Time{}
		case n == 0 && len(g.idle) > 0 && !g.owed():
			for _, f := range g.idle {
				f()
			}
			g.idle = nil
		case g.keep.busy:
			g.keep.slice(g)
		case n == 0:
			if err := g.wait(ctx); err != nil && !errors.Is(err, errWake) {
				return // the RIB is closed
			}
		}
	}
}

// fallBehind notes whether the feed has more than the group takes at once, for
// Manager.Behind.
func (g *group) fallBehind(behind bool) {
	if behind == g.behind {
		return
	}
	g.behind = behind
	if behind {
		g.m.behind.Add(1)
	} else {
		g.m.behind.Add(-1)
	}
}

// nothing says that the group's policy accepts no route.
func (g *group) nothing() bool { return g.judge.filter == nil }

// read reads on in the feed. A group that sends nothing does not follow it.
func (g *group) read() (n int, ok bool) {
	if g.nothing() {
		g.unfollow()
		if g.filling && !g.scan.active {
			g.scan.beginNothing(g.states)
		}
		return 0, true
	}
	if g.follow == nil {
		g.follow = g.m.rib.Follow("")
	}
	return g.follow.Next(g.changes)
}

func (g *group) unfollow() {
	if g.follow != nil {
		g.follow.Close()
		g.follow = nil
	}
}

// wait waits for changes, or for being woken.
func (g *group) wait(ctx context.Context) error {
	if g.follow != nil {
		return g.follow.Wait(ctx)
	}
	select {
	case <-g.wake:
	case <-g.m.stop:
	}
	return errWake
}

// lost goes on at the end of the feed, which has gone past the group. Then a
// scan is owed: at once while members wait for one, else when the flood has
// ebbed, so that it is not for nothing and costs no time that the flood wants.
func (g *group) lost() {
	v := g.follow.Snapshot()
	if g.filling || g.hold || g.scan.active {
		g.scan.begin(v, g.states)
		return
	}
	v.Close()
	g.lostLast = time.Now()
	if !g.owed() {
		g.lostAt = g.lostLast
	}
	time.AfterFunc(g.m.o.ebb+time.Millisecond, g.poke)
}

// owed says whether a scan is owed.
func (g *group) owed() bool { return !g.lostAt.IsZero() }

// quiet says whether a scan that is owed may begin.
func (g *group) quiet() bool {
	return time.Since(g.lostLast) > g.m.o.ebb || time.Since(g.lostAt) > maxOwed
}

const maxOwed = time.Second

// prepare does what the goroutine was asked for; false: it has to end.
func (g *group) prepare() bool {
	g.mu.Lock()
	for len(g.commands) > 0 && !g.stopped {
		f := g.commands[0]
		g.commands = slices.Delete(g.commands, 0, 1)
		g.mu.Unlock()
		f()
		g.mu.Lock()
	}
	stopped := g.stopped
	g.mu.Unlock()
	g.keep.look(g)
	g.judge.forget()
	return !stopped
}

// tooSoon waits for the interval between advertisements to pass, or for
// something else to do. What changes meanwhile stays in the feed.
func (g *group) tooSoon() bool {
	if g.t.Interval == 0 || g.scan.active {
		return false
	}
	left := g.t.Interval - time.Since(g.last)
	if left <= 0 {
		return false
	}
	g.passed(true)
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.wake:
	case <-g.m.stop:
	}
	return true
}

// expect tells the states how large they may get. It is not done before the
// first routes are out.
func (g *group) expect() {
	g.expected = true
	for _, t := range g.m.rib.Stats().Tables {
		for _, st := range g.states {
			if t.Family == st.lay.family && t.Prefixes > 100*numBuckets {
				st.expect(int(t.Prefixes))
			}
		}
	}
}

// take judges what the feed tells of.
func (g *group) take(changes []shard.Change) {
	j := &g.judge
	j.begin()
	j.rd.Pin()
	defer j.rd.Unpin()
	for i := range changes {
		c := &changes[i]
		if c.Kind == shard.ChangePeerDown {
			continue // its prefixes follow, swept
		}
		ref := j.table(c.Table)
		if ref.fam < 0 || c.Same && j.fams[ref.fam].mode == modeBest {
			continue
		}
		p := prefix{c.Key, c.Table, c.Len}
		if n := len(j.results); n > 0 && j.results[n-1].prefix == p {
			continue
		}
		j.latest(&p, ref)
		g.scan.touch(j.results[len(j.results)-1].hash)
	}
}

// advance does a slice of the scan.
func (g *group) advance() {
	done := g.scanSlice()
	g.commit()
	runtime.Gosched() // sessions, and members that begin, come before the rest of a table
	if g.filling && g.primed && !g.expected {
		g.expect()
	}
	if !done {
		return
	}
	g.scan.end()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.filling, g.hold = false, false
	if g.full != nil && g.full.b1 == 0 {
		g.full.b1 = g.batch
	}
	g.kickAll()
	g.commands = append(g.commands, g.later...)
	g.later = nil
}

// commit makes the state what was judged, and tells the members.
func (g *group) commit() {
	if len(g.judge.results) == 0 {
		return
	}
	g.mu.Lock()
	g.renumber()
	g.adopt()
	g.batch++
	for i := range g.judge.results {
		r := &g.judge.results[i]
		g.warmed += g.states[r.fam].warm(r.hash)
	}
	g.telling = !g.hold && (len(g.step) > 0 || g.anyInRing())
	for i := range g.judge.results {
		r := &g.judge.results[i]
		g.apply(r, g.judge.paths[r.first:r.first+r.n])
	}
	if !g.telling {
		g.ring.reset(g.batch)
		g.forget()
		g.prime()
		g.mu.Unlock()
		return
	}
	b := g.ring.take()
	g.encode(b)
	g.ring.push(b, g.m.o.ringBytes)
	g.round = append(g.round[:0], g.step...)
	for _, mb := range g.round {
		mb.sending = true
	}
	tells := len(b.buf) > 0 // b may be another's after hand
	g.mu.Unlock()
	g.hand(b)
	if g.t.Interval > 0 && tells {
		g.last = time.Now()
	}
}

// hand gives a batch to the members that are in step. Who can't take it lags
// from here on.
func (g *group) hand(b *batch) {
	for _, mb := range g.round {
		msgs, updates, withdraws := b.forMember(&mb.t, g.scratch)
		if len(msgs) > 0 && cap(msgs) > cap(g.scratch) && &msgs[0] != &b.buf[0] {
			g.scratch = msgs[:0]
		}
		mb.behind = len(msgs) > 0 && !mb.send.TrySend(msgs, updates, withdraws)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, mb := range g.round {
		mb.sending = false
		if mb.behind || len(mb.pending) > 0 {
			pos := g.batch
			if mb.behind {
				pos--
			}
			mb.behind = false
			g.lag(mb, pos)
		}
	}
	if !g.anyInRing() {
		g.ring.reset(g.batch)
	}
	g.forget()
}

// lag takes a member out of step, at a position: batches up to that are with
// its sender.
func (g *group) lag(mb *Member, pos uint32) {
	if i := slices.Index(g.step, mb); i >= 0 {
		g.step = slices.Delete(g.step, i, i+1)
		mb.pos, mb.given, mb.inStep = pos, pos, false
	}
	g.kick(mb)
}

// anyInRing says whether a member that lags can go on from the ring.
func (g *group) anyInRing() bool {
	if len(g.members) == len(g.step) {
		return false
	}
	for mb := range g.members {
		if at, ok := mb.after(); !mb.inStep && ok && g.ring.has(at) {
			return true
		}
	}
	return false
}

// forget lets dead entries go that no member has to be told of.
func (g *group) forget() {
	if len(g.dead) == 0 {
		return
	}
	floor := g.batch
	if len(g.members) != len(g.step) {
		for mb := range g.members {
			if !mb.inStep {
				floor = min(floor, mb.needs())
			}
		}
	}
	n := 0
	for ; n < len(g.dead) && g.dead[n].stamp <= floor; n++ {
		d := &g.dead[n]
		st := g.states[d.fam]
		if e := st.entry(d.ref); e[wStamp] == d.stamp && e[wMeta]&entryDead != 0 {
			st.remove(d.ref)
			g.forgot = d.stamp
		}
	}
	g.dead = slices.Delete(g.dead, 0, n)
	if len(g.dead) > g.m.o.maxDead {
		g.overrun()
	}
}

// overrun gives up the slowest members: there is no telling them what they have
// to forget without memory for it.
func (g *group) overrun() {
	limit := g.dead[len(g.dead)/2].stamp
	for mb := range g.members {
		if mb.inStep || mb.lost || mb.needs() >= limit {
			continue
		}
		g.m.log.Warn("peer is too slow: too many withdrawn routes wait for it", "peer", mb.t.Name)
		mb.lost = true
		go func() {
			mb.Leave()
			if mb.t.Overrun != nil {
				mb.t.Overrun()
			}
		}()
	}
}

// maxBatch is where the numbers of batches begin anew, when nobody lags.
const maxBatch = 1 << 30

// renumber keeps the numbers of batches within their 32 bits: once in a day or
// more of uninterrupted changes.
func (g *group) renumber() {
	if g.batch < maxBatch || g.hold || len(g.dead) > 0 || len(g.members) != len(g.step) {
		return
	}
	for _, st := range g.states {
		for i := range st.buckets {
			b := &st.buckets[i]
			for n := uint32(1); n <= b.n; n++ {
				if e := b.entry(n, st.lay.stride); e[wStamp] != 0 {
					e[wStamp] = 1
				}
			}
		}
	}
	g.batch, g.forgot, g.full, g.catch = 1, 0, nil, nil
	g.ring.reset(1)
}
