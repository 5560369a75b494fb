package rules

import "slices"

// overlay is what a table has for matching: a base, compiled, and the changes
// since. The table's mutex is held over all its methods.
//
// A rule that comes is appended to changes, one that goes is marked gone where
// it is. The first of the changes, up to midN, are compiled when a packet comes;
// the others are few and are compared one by one.
type overlay struct {
	t           *Table
	base        *matcher
	baseGone    gone
	changes     []*entry
	recents     []recent // of each change
	changesGone gone
	mid         *later
	midN        int

	compiling bool
	since     int      // while compiling: how many of the changes are in it
	lost      []*entry // while compiling: what has gone from the base since
}

// recent is a rule that is compared as it is.
type recent struct {
	head
	dst    prefix
	hasDst bool
	e      *entry
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
	baseLeast  = 256 // changes before a base is compiled; more where the base is large
)

func (o *overlay) init(t *Table) {
	o.t, o.base = t, compile(nil, t.comp.v6)
}

func (o *overlay) add(e *entry) {
	e.at = int32(len(o.changes))
	o.changes = append(o.changes, e)
	o.recents = append(o.recents, recent{head: e.head, dst: e.dst, hasDst: e.hasDst, e: e})
}

func (o *overlay) remove(e *entry) {
	if e.at < 0 {
		o.baseGone.set(int(^e.at))
		if o.compiling {
			o.lost = append(o.lost, e)
		}
	} else {
		o.changesGone.set(int(e.at))
	}
}

// settle leaves few changes that are compared one by one.
func (o *overlay) settle() {
	if n := len(o.changes); n-o.midN > recentMost {
		o.mid = &later{entries: o.changes[:n:n], gone: o.changesGone.share(), v6: o.t.comp.v6}
		o.midN = n
	}
}

// matching returns what matches a packet as the table is now.
func (o *overlay) matching() *matching {
	return &matching{
		base: o.base, baseGone: o.baseGone.share(), mid: o.mid, changesGone: o.changesGone.share(),
		recents: o.recents[o.midN:len(o.recents):len(o.recents)], first: o.midN,
	}
}

// compileBeside starts to compile a new base where the overlay has grown; r is
// the table as it is now.
func (o *overlay) compileBeside(r *Rules) {
	if o.compiling || len(o.changes)+o.baseGone.n <= baseLeast+len(o.base.entries)/8 {
		return
	}
	o.compiling, o.since, o.lost = true, len(o.changes), nil
	work := func() *matcher { return compile(r.active(), o.t.comp.v6) }
	if len(o.base.entries) == 0 && o.midN == len(o.changes) {
		work = o.mid.get // which is all there is
	}
	go func() {
		m := work()
		o.t.mu.Lock()
		defer o.t.mu.Unlock()
		o.adopt(m)
		if !o.t.changed {
			o.settle()
			o.t.last.matching.Store(o.matching())
			o.compileBeside(o.t.last)
		}
	}()
}

// adopt makes m the base: what was changed since it was begun stays a change.
func (o *overlay) adopt(m *matcher) {
	for i, e := range m.entries {
		e.at = int32(^i)
	}
	o.base, o.baseGone = m, gone{}
	for _, e := range o.lost {
		o.baseGone.set(int(^e.at))
	}
	old := o.changesGone
	for i, e := range o.changes[:o.since] {
		if e.at < 0 && hasBit(old.words, i) { // m has it, and it is out by now
			o.baseGone.set(int(^e.at))
		}
	}
	o.changes, o.recents = slices.Clone(o.changes[o.since:]), slices.Clone(o.recents[o.since:])
	o.changesGone = gone{}
	for i, e := range o.changes {
		if hasBit(old.words, o.since+i) {
			o.changesGone.set(i)
		} else {
			e.at = int32(i)
		}
	}
	o.mid, o.midN, o.compiling, o.lost, o.since = nil, 0, false, nil, 0
}
