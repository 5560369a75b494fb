package flow

import (
	"slices"
	"sync"
	"sync/atomic"

	"ribd/shard"
	"ribd/shard/rib"
)

// wideTargets remembers of wide destinations whether a route under them is of
// another AS, so that not every rule to one walks all that is under it. The
// goroutine that follows keeps it right: it sees each change of a route.
//
// What others read here may lack changes that the follower has not read yet. A rule
// that is judged so is in the table, or on its way, when the follower reads them.
type wideTargets struct {
	count atomic.Int32 // of list

	mu      sync.Mutex
	watched map[rib.TableID]bool // tables of which the follower notes each change
	list    []*wideTarget
	next    int // the one that goes when there are too many
}

// wideTarget is one of them, for one neighbouring AS.
type wideTarget struct {
	at       target
	neighbor uint32
	walking  bool // it is not known yet
	touched  bool // and what is found may be old: it is not to be kept
	found    bool
	witness  changedKey

	// The verdicts on the rules to it are in line with found being this: the
	// follower has gone through them. What is found may be of changes that it has
	// not read yet, so that it can't go by found alone.
	inLine, applied bool
}

const (
	maxWide  = 32  // destinations that are remembered
	wideFrom = 256 // routes that are walked without, see Tables.wideFrom
)

// lookup returns what is known of a destination.
func (x *wideTargets) lookup(at target, neighbor uint32) (w wideTarget, ok bool) {
	if x.count.Load() == 0 {
		return w, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.list {
		if e.at == at && e.neighbor == neighbor && !e.walking {
			return *e, true
		}
	}
	return w, false
}

// begin notes that somebody walks what is under a destination, and returns where
// to put what is found; nil where nobody is to.
func (x *wideTargets) begin(at target, neighbor uint32) *wideTarget {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.watched[at.table] {
		return nil
	}
	e := &wideTarget{at: at, neighbor: neighbor, walking: true}
	if len(x.list) < maxWide {
		x.list = append(x.list, e)
		x.count.Store(int32(len(x.list)))
		return e
	}
	x.next = (x.next + 1) % len(x.list)
	x.list[x.next] = e // who still walks for the one before finds it gone
	return e
}

// end notes what was found.
func (x *wideTargets) end(e *wideTarget, w changedKey, found bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.walking, e.found, e.witness = false, found, w
	if e.touched {
		x.drop(e)
	}
}

func (x *wideTargets) drop(e *wideTarget) {
	x.list = slices.DeleteFunc(x.list, func(o *wideTarget) bool { return o == e })
	x.next = 0
	x.count.Store(int32(len(x.list)))
}

// watch says whether changes of the routes of a table are noted from now on.
func (x *wideTargets) watch(t rib.TableID, on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watched == nil {
		x.watched = map[rib.TableID]bool{}
	}
	if x.watched[t] = on; !on {
		delete(x.watched, t)
		x.clear(func(e *wideTarget) bool { return e.at.table == t })
	}
}

// forget drops everything: changes were lost.
func (x *wideTargets) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.clear(func(*wideTarget) bool { return true })
}

func (x *wideTargets) clear(which func(*wideTarget) bool) {
	x.list = slices.DeleteFunc(x.list, func(e *wideTarget) bool {
		e.touched = e.touched || which(e)
		return !e.walking && which(e)
	})
	x.next = 0
	x.count.Store(int32(len(x.list)))
}

// apply notes that the verdicts on all rules to a destination are in line with
// what was known of it.
func (x *wideTargets) apply(w *wideTarget) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.list {
		if e.at == w.at && e.neighbor == w.neighbor {
			e.inLine, e.applied = true, w.found
		}
	}
}

// changed takes a change of a route over, which foreign looks at.
func (x *wideTargets) changed(c changedKey, foreign func(neighbor uint32) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := 0; i < len(x.list); i++ {
		e := x.list[i]
		switch {
		case e.at.table != c.t || c.n <= e.at.n || c.k.Mask(e.at.n) != e.at.k:
		case e.walking:
			e.touched = true
		case !e.found:
			if foreign(e.neighbor) {
				e.found, e.witness = true, c
			}
		case e.witness == c && !foreign(e.neighbor):
			x.drop(e)
			i--
		}
	}
}

// noteWide takes the changes of routes that were read over into what is known of
// wide destinations: before any rule is looked at.
func (t *Tables) noteWide() {
	if t.wide.count.Load() == 0 {
		return
	}
	for _, c := range t.unicast {
		t.rd.Pin()
		t.wide.changed(c, func(neighbor uint32) bool { return t.isForeign(t.rd, c, neighbor) })
		t.rd.Unpin()
	}
}

// foreign looks for a route under a destination that is of another neighbouring AS
// (RFC 8955 section 6 c). What counts is the best path of each prefix: it is the
// one that the rule would affect. Paths without an AS are of our own.
func (t *Tables) foreign(rd *shard.Reader, at target, neighbor uint32) (w changedKey, found bool) {
	if e, ok := t.wide.lookup(at, neighbor); ok {
		return e.witness, e.found
	}
	w, found, whole := t.walk(rd, at, neighbor, t.wideFrom)
	if whole {
		return w, found
	}
	e := t.wide.begin(at, neighbor)
	w, found, _ = t.walk(rd, at, neighbor, 0)
	if e != nil {
		t.wide.end(e, w, found)
	}
	return w, found
}

// walk goes through the routes under a destination up to the first of another AS.
// whole is false where it gave up after limit of them; 0 is no limit.
func (t *Tables) walk(rd *shard.Reader, at target, neighbor uint32, limit int) (w changedKey, found, whole bool) {
	n := 0
	whole = true
	rd.Longer(at.table, at.k, at.n, func(m shard.Match) bool {
		if n++; n > limit && limit > 0 {
			whole = false
			return false
		}
		if u, ok := t.bestOf(rd, m); ok && u.neighbor != neighbor {
			w, found = changedKey{at.table, m.Key, m.Len}, true
		}
		return !found
	})
	t.counts.walked.Add(uint64(n))
	return w, found, whole
}

// known returns what is known of the destination of rules, to be held against a
// change of a route under it. ok is false where nothing is.
func (t *Tables) known(at target) (w wideTarget, ok bool) {
	if t.wide.count.Load() == 0 {
		return w, false
	}
	t.rd.Pin()
	defer t.rd.Unpin()
	b, ok := t.bestMatch(t.rd, at)
	if !ok {
		return w, false
	}
	return t.wide.lookup(at, b.neighbor)
}
