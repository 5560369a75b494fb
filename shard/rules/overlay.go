package rules

import (
	"slices"
	"time"
)

// overlay is what a table has for matching: a base, compiled, and the changes
// since. The table's mutex is held over all its methods.
//
// A rule that comes is appended to changes, one that goes is marked gone where
// it is. The latest changes are few and are compared one by one; those before are
// in runs, each several times as long as the next, which are compiled when a
// packet comes. So a change is compiled a few times, whatever the base's size.
type overlay struct {
	t           *Table
	base        *matcher
	baseGone    gone
	changes     []*entry
	changesGone gone
	runs        []*later // the longest, which is the oldest, first; snapshots share it
	recents     []recent // of the changes behind the runs; snapshots share what they have
	compiler    compiler

	compiling bool     // a goroutine is about to, or does
	published int      // how many of the changes were published last
	since     int      // how many of the changes are in what is compiled
	lost      []*entry // what has gone from the base since that, or since it was published last
}

// recent is a rule that is compared as it is.
type recent struct {
	head
	extra  []uint64
	dst    prefix
	hasDst bool
	e      *entry
}

func (r *recent) fits(b *probe) bool {
	if r.hasDst && (!b.hasDst || !r.dst.has(b.dst.shift(r.dst.offset))) {
		return false
	}
	return r.head.fits(b, r.extra)
}

// gone is a set of places. Snapshots share the words until the next change.
type gone struct {
	words []uint64
	n     int
	owned bool
}

func (g *gone) set(i int) {
	if n := i>>6 + 1; !g.owned || n > len(g.words) {
		w := make([]uint64, max(n, len(g.words)), max(n+n/4, cap(g.words)))
		copy(w, g.words)
		g.words, g.owned = w, true
	}
	g.words[i>>6] |= 1 << (i & 63)
	g.n++
}

// share returns the words for a snapshot.
func (g *gone) share() []uint64 {
	g.owned = false
	return g.words
}

// Sizes of an overlay.
const (
	recentMost = 32  // changes that are compared one by one
	runRatio   = 4   // a run is at least so many times as long as the next
	baseLeast  = 256 // changes before a base is compiled; more where the base is large
	bulk       = 512 // changes within a lull after which more are waited for
)

// A goroutine that is to compile waits for a lull, so that a peer's rules are
// compiled when they are there, and not over and over while they come.
const (
	lull      = 5 * time.Millisecond
	lullsMost = 50
)

func (o *overlay) init(t *Table) {
	o.t, o.base = t, compile(nil, t.layout)
	o.compiler.layout = t.layout
}

func (o *overlay) add(e *entry) {
	e.at = int32(len(o.changes))
	o.changes = append(o.changes, e)
}

func (o *overlay) remove(e *entry) {
	if e.at < 0 {
		o.baseGone.set(int(^e.at))
		o.lost = append(o.lost, e)
	} else {
		o.changesGone.set(int(e.at))
	}
}

// publish says that a snapshot of the table is taken, and returns what matches
// packets of it.
func (o *overlay) publish() *matching {
	o.published = len(o.changes)
	if !o.compiling {
		o.lost = o.lost[:0]
	}
	return o.matching()
}

// matching returns what matches a packet as the table is now. It leaves few
// changes that are compared one by one.
func (o *overlay) matching() *matching {
	if len(o.changes)-o.runsEnd() > recentMost {
		o.addRun()
	}
	at := o.runsEnd()
	s := &matching{base: o.base, baseGone: o.baseGone.share(), runs: o.runs, changesGone: o.changesGone.share(), first: at}
	for _, e := range o.changes[at+len(o.recents):] {
		r := recent{e: e}
		r.dst, r.hasDst = o.t.layout.destination(e.nlri())
		r.head, r.extra = o.compiler.compile(e, make([]uint64, 1))
		o.recents = append(o.recents, r)
	}
	s.recents = o.recents[:len(o.recents):len(o.recents)]
	return s
}

// runsEnd returns the place behind the last change that is in a run.
func (o *overlay) runsEnd() int {
	if len(o.runs) == 0 {
		return 0
	}
	return o.runs[len(o.runs)-1].end()
}

// addRun makes a run of the changes behind the last one, and of runs before that
// are not long enough to stay.
func (o *overlay) addRun() {
	n := len(o.changes)
	from, keep := o.runsEnd(), len(o.runs)
	for keep > 0 && len(o.runs[keep-1].entries) < runRatio*(n-from) {
		keep--
		from = o.runs[keep].from
	}
	run := &later{entries: o.changes[from:n:n], from: from, gone: o.changesGone.share(), layout: o.t.layout}
	o.runs = append(slices.Clone(o.runs[:keep]), run)
	o.recents = nil
}

// grown is true where the overlay costs more than a new base.
func (o *overlay) grown() bool {
	least := baseLeast + len(o.base.entries)/8
	if len(o.base.entries) == 0 {
		least = recentMost
	}
	return len(o.changes)+o.baseGone.n > least
}

// compileBeside has a goroutine compile a new base where the overlay has grown.
func (o *overlay) compileBeside() {
	if !o.compiling && o.grown() {
		o.compiling, o.since = true, 0
		go o.compile()
	}
}

// compile waits for a lull, and makes what was published last the base.
func (o *overlay) compile() {
	t := o.t
	for range lullsMost {
		t.mu.Lock()
		n := len(o.changes)
		t.mu.Unlock()
		time.Sleep(lull)
		t.mu.Lock()
		n = len(o.changes) - n
		t.mu.Unlock()
		if n < bulk {
			break
		}
	}
	t.mu.Lock()
	o.since = o.published
	r, m := t.last, (*matcher)(nil)
	if len(o.base.entries) == 0 && len(o.runs) == 1 && o.runsEnd() == o.since {
		m = o.runs[0].ready.Load() // which is all there is, and was asked already
	}
	t.mu.Unlock()
	if m == nil {
		m = compile(r.active(), r.layout)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	o.adopt(m)
	if !t.changed {
		t.last.matching.Store(o.matching())
		o.compileBeside()
	}
}

// adopt makes m the base: what was changed since it was begun stays a change.
func (o *overlay) adopt(m *matcher) {
	for i, e := range m.entries {
		e.at = int32(^i)
	}
	o.base, o.baseGone = m, gone{}
	old := o.changesGone
	for _, e := range o.lost {
		if int(^e.at) < len(m.entries) && m.entries[^e.at] == e {
			o.baseGone.set(int(^e.at))
		}
	}
	for i, e := range o.changes[:o.since] {
		if e.at < 0 && hasBit(old.words, i) { // m has it, and it is out by now
			o.baseGone.set(int(^e.at))
		}
	}
	o.changes = slices.Clone(o.changes[o.since:])
	o.changesGone = gone{}
	for i, e := range o.changes {
		if hasBit(old.words, o.since+i) {
			o.changesGone.set(i)
		} else {
			e.at = int32(i)
		}
	}
	o.published -= o.since
	o.runs, o.recents, o.compiling, o.lost, o.since = nil, nil, false, nil, 0
}
