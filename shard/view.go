package shard

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ribd/internal/slab"
	"ribd/shard/rib"
	"ribd/trie"
)

// ErrViewEnded is what Err returns when the limits of views have ended one.
var ErrViewEnded = errors.New("shard: the view was ended, since too many views are held or this one was held too long: take a new one")

// View is a snapshot of every shard, each consistent in itself: what was
// published when it was taken stays as it was until Close. It costs memory for
// what has changed since, so there are limits on number and age (see Options):
// the oldest is ended, after which it finds nothing and Err says so.
//
// A View is for one goroutine at a time; Walks have goroutines of their own.
// Its methods pin while they run: nothing is pinned between them.
type View struct {
	look
	h       *heldView
	cleanup runtime.Cleanup
}

// heldView is what the limits and the clean-up know of a View.
type heldView struct {
	r      *RIB
	number uint64
	taken  time.Time
	states []state
	ended  atomic.Bool
	pin    *slab.Pin
	once   sync.Once
	grace  uint64 // epoch that ends the last look-up, once ended
}

// viewTable is the views that are held.
type viewTable struct {
	mu     sync.Mutex
	last   uint64
	held   []*heldView // oldest first
	ending []*heldView // ended, but a look-up may still be in them
	pins   []*slab.Pin // free
	ends   atomic.Uint64
}

// View takes a snapshot. Close it; a forgotten one is cleaned up by the garbage
// collector.
func (r *RIB) View() *View {
	h := &heldView{r: r, taken: time.Now(), states: make([]state, len(r.shards))}
	h.pin = r.views.pin(r)
	h.pin.Enter()
	for i, s := range r.shards {
		st := s.load()
		s.holds.Hold(st.version)
		h.states[i] = st
	}
	h.pin.Exit()
	r.views.add(r, h)
	v := &View{look: newLook(r, h.states), h: h}
	v.cleanup = runtime.AddCleanup(v, (*heldView).close, h)
	return v
}

// Close gives the snapshot up. Nothing that came out of it may be used after
// it, nor may a Walk of it.
func (v *View) Close() {
	v.cleanup.Stop()
	v.h.close()
}

// Err returns ErrViewEnded where the limits have ended the view, else nil.
func (v *View) Err() error {
	if v.h.ended.Load() {
		return ErrViewEnded
	}
	return nil
}

// Version names the snapshot: equal text, the same content of every shard.
func (v *View) Version() string { return versionText(v.h.states) }

func versionText(states []state) string {
	var b strings.Builder
	for i := range states {
		if i > 0 {
			b.WriteByte('.')
		}
		fmt.Fprintf(&b, "%x", states[i].seq)
	}
	return b.String()
}

// Taken is when the view was taken.
func (v *View) Taken() time.Time { return v.h.taken }

// enter pins for one call; false where the view has ended.
func (h *heldView) enter(p *slab.Pin) bool {
	p.Enter()
	if h.ended.Load() {
		p.Exit()
		return false
	}
	return true
}

// Tables returns the tables that have a prefix in some shard.
func (v *View) Tables() []rib.TableID {
	if !v.h.enter(v.h.pin) {
		return nil
	}
	defer v.h.pin.Exit()
	var ts []rib.TableID
	for _, info := range *v.r.dir.list.Load() {
		for i := range v.h.states {
			c := v.r.root(&v.h.states[i], info.id, info.width).Cursor()
			if c.Next() {
				ts = append(ts, info.id)
				break
			}
		}
	}
	return ts
}

// Get returns the prefix k/n of a table, also one of which all paths are
// filtered.
func (v *View) Get(t rib.TableID, k trie.Key, n uint8) Match {
	if !v.h.enter(v.h.pin) {
		return Match{}
	}
	defer v.h.pin.Exit()
	return v.get(t, k, n)
}

// Match returns the longest prefix of at most maxLen bits that covers k and has
// a path that is not filtered.
func (v *View) Match(t rib.TableID, k trie.Key, maxLen uint8) Match {
	if !v.h.enter(v.h.pin) {
		return Match{}
	}
	defer v.h.pin.Exit()
	return v.match(t, k, maxLen)
}

// MatchFunc is Reader.MatchFunc.
func (v *View) MatchFunc(t rib.TableID, k trie.Key, maxLen uint8, keep func(*rib.Path) bool, dst []rib.Path) (Match, []rib.Path) {
	if !v.h.enter(v.h.pin) {
		return Match{}, dst
	}
	defer v.h.pin.Exit()
	return v.matchFunc(t, k, maxLen, keep, dst)
}

// Covering calls yield with every prefix that covers k/n, the shortest first
// and k/n too, until it returns false.
func (v *View) Covering(t rib.TableID, k trie.Key, n uint8, yield func(Match) bool) {
	var ms [129]Match
	count := 0
	if !v.h.enter(v.h.pin) {
		return
	}
	v.covering(t, k, n, func(m Match) bool {
		ms[count] = m
		count++
		return true
	})
	v.h.pin.Exit()
	for _, m := range ms[:count] {
		if !yield(m) {
			return
		}
	}
}

// Best returns the best path of a match, the number of paths that are not
// filtered (0: there is no best path), and flags.
func (v *View) Best(m Match) (p rib.Path, count int, f Flags) {
	if m.block == 0 || !v.h.enter(v.h.pin) {
		return rib.Path{}, 0, 0
	}
	defer v.h.pin.Exit()
	return v.best(m.block, v.h.states[m.shard].down)
}

// Paths appends the paths of a match to dst, best first, filtered ones last,
// none of peers that are down.
func (v *View) Paths(m Match, dst []rib.Path) []rib.Path {
	if m.block == 0 || !v.h.enter(v.h.pin) {
		return dst
	}
	defer v.h.pin.Exit()
	return v.r.read.Paths(m.block, v.h.states[m.shard].down, &v.ranker, dst)
}

// close gives up what the view holds, once.
func (h *heldView) close() {
	h.once.Do(func() {
		t := &h.r.views
		t.mu.Lock()
		defer t.mu.Unlock()
		for i, o := range t.held {
			if o == h {
				t.held = append(t.held[:i:i], t.held[i+1:]...)
				h.release()
			}
		}
		// One that was ended is released when its grace is over.
		t.pins = append(t.pins, h.pin)
		h.ended.Store(true)
	})
}

// release lets the shards reuse what only this view can see.
func (h *heldView) release() {
	for i, s := range h.r.shards {
		s.release(&h.states[i])
	}
}

func (t *viewTable) pin(r *RIB) *slab.Pin {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := len(t.pins); k > 0 {
		p := t.pins[k-1]
		t.pins = t.pins[:k-1]
		return p
	}
	return r.domain.NewPin()
}

func (t *viewTable) unpin(p *slab.Pin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pins = append(t.pins, p)
}

// add registers a view, and ends the oldest where there are too many.
func (t *viewTable) add(r *RIB, h *heldView) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	h.number = t.last
	t.held = append(t.held, h)
	for len(t.held) > r.o.MaxViews {
		t.endOldest(r)
	}
	t.settle(r)
}

// endOldest takes the oldest view from its holder. What it held stays until the
// look-up that may be in it is over.
func (t *viewTable) endOldest(r *RIB) {
	h := t.held[0]
	t.held = append(t.held[:0:0], t.held[1:]...)
	h.ended.Store(true)
	h.grace = r.domain.Advance()
	t.ending = append(t.ending, h)
	t.ends.Add(1)
}

// settle releases ended views that nobody is in any more.
func (t *viewTable) settle(r *RIB) {
	if len(t.ending) == 0 {
		return
	}
	least := r.domain.Min()
	rest := t.ending[:0]
	for _, h := range t.ending {
		if h.grace <= least {
			h.release()
		} else {
			rest = append(rest, h)
		}
	}
	clear(t.ending[len(rest):])
	t.ending = rest
}

// expire ends the views that are held too long, and settles.
func (t *viewTable) expire(r *RIB) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.held) > 0 && time.Since(t.held[0].taken) >= r.o.MaxViewAge {
		t.endOldest(r)
	}
	t.settle(r)
}

// next is the number that the next view gets at least.
func (t *viewTable) next() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last + 1
}

// oldest is the least number of a view that is held.
func (t *viewTable) oldest() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	oldest := uint64(math.MaxUint64)
	for _, h := range t.held {
		oldest = min(oldest, h.number)
	}
	for _, h := range t.ending {
		oldest = min(oldest, h.number)
	}
	return oldest
}

// count is the number of views held and the age of the oldest.
func (t *viewTable) count() (n int, age time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.held) > 0 {
		age = time.Since(t.held[0].taken)
	}
	return len(t.held), age
}

func (t *viewTable) closeAll(r *RIB) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.held {
		h.ended.Store(true)
	}
	t.held, t.ending = nil, nil
}
