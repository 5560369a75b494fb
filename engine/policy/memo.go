package policy

import (
	"sync"
	"sync/atomic"
)

// memo remembers outcomes by key. Any goroutine may ask and store, without a
// lock: an entry is two words of which the first is the key mixed with a hash of
// the second, so that one that was written half is not found.
//
// It holds what was found out in one generation of rib.Attrs, and forgets all
// of it in the next. A new entry takes the place of another; where that happens
// often the table grows, within what all memos of a Set may have.
//
// A near memo is small and does not grow: it lies in the cache, and has what was
// found out about the sets of the last UPDATEs. A far one is for what costs more
// to find out than memory that is not in the cache.
type memo struct {
	table atomic.Pointer[memoTable]
	grow  sync.Mutex
	room  *memoRoom     // nil: it is near
	held  *atomic.Int64 // slots
}

// memoTable is the entries of one generation, in buckets of a cache line.
type memoTable struct {
	generation uint64
	shift      uint8
	clashes    atomic.Int64 // entries that took another's place
	buckets    [][memoWays]memoSlot
}

type memoSlot struct{ mixed, data atomic.Uint64 }

// memoWays is the number of places that a key may have.
const memoWays = 4

// memoRoom is how many slots the memos of a Set may have together.
type memoRoom struct{ left atomic.Int64 }

// Sizes of tables, in slots of 16 octets: near 1 KiB, far from 4 KiB to 4 MiB,
// all far ones of a Set together 64 MiB and the least size of each.
const (
	memoNear  = 1 << 6
	memoLeast = 1 << 8
	memoMost  = 1 << 18
	memoTotal = 1 << 22
)

// newFar makes a memo that grows.
func newFar(room *memoRoom) *memo {
	return &memo{room: room, held: new(atomic.Int64)}
}

func newMemoTable(generation uint64, slots int) *memoTable {
	t := &memoTable{generation: generation, shift: 64, buckets: make([][memoWays]memoSlot, slots/memoWays)}
	for n := len(t.buckets); n > 1; n >>= 1 {
		t.shift--
	}
	return t
}

// slots is the size of a table.
func (t *memoTable) slots() int { return len(t.buckets) * memoWays }

func (t *memoTable) bucket(key uint64) *[memoWays]memoSlot {
	return &t.buckets[key*0x9e3779b97f4a7c15>>t.shift]
}

// get returns what was stored under a key in this generation. Data is never 0.
func (m *memo) get(generation, key uint64) (data uint64, ok bool) {
	t := m.table.Load()
	if t == nil || t.generation != generation {
		return 0, false
	}
	b := t.bucket(key)
	for i := range b {
		data = b[i].data.Load()
		if data != 0 && b[i].mixed.Load() == key^scramble(data) {
			return data, true
		}
	}
	return 0, false
}

// put stores what was found out in a generation.
func (m *memo) put(generation, key, data uint64) {
	t := m.table.Load()
	if t == nil || t.generation != generation || m.room != nil && t.clashes.Load() > int64(t.slots()/8) {
		if t = m.renew(generation, t); t == nil {
			return
		}
	}
	if t.set(key, data) && m.room != nil {
		t.clashes.Add(1)
	}
}

// set stores an entry, in the place of its older self, in one that is free or in
// that of another, which it says.
func (t *memoTable) set(key, data uint64) (clash bool) {
	b := t.bucket(key)
	at := int(data*0x9e3779b97f4a7c15>>62) % memoWays
	clash = true
	for i := range b {
		old := b[i].data.Load()
		if old == 0 || b[i].mixed.Load() == key^scramble(old) {
			at, clash = i, false
			break
		}
	}
	b[at].mixed.Store(key ^ scramble(data))
	b[at].data.Store(data)
	return clash
}

// scramble is a hash of what is stored: without it, the halves of two entries
// whose numbers are alike could make a third.
func scramble(data uint64) uint64 {
	data *= 0xff51afd7ed558ccd
	data ^= data >> 33
	return data * 0xc4ceb9fe1a85ec53
}

// renew makes the table of a new generation, or a larger one. It returns nil for
// a generation that is over.
func (m *memo) renew(generation uint64, was *memoTable) *memoTable {
	m.grow.Lock()
	defer m.grow.Unlock()
	t := m.table.Load()
	if t != was && t.generation == generation {
		return t
	}
	size := memoLeast
	if m.room == nil {
		size = memoNear
	}
	if t != nil {
		if t.generation > generation {
			return nil
		}
		size = t.slots()
		if t.generation == generation {
			if size >= memoMost || !m.room.take(int64(size)) {
				t.clashes.Store(0)
				return t
			}
			m.held.Add(int64(size))
			size *= 2
		}
	}
	next := newMemoTable(generation, size)
	if t != nil && t.generation == generation {
		next.adopt(t)
	}
	m.table.Store(next)
	return next
}

// adopt takes the entries of a smaller table over. One that is being written may
// come out wrong here: as what was stored under a key that nobody has.
func (t *memoTable) adopt(old *memoTable) {
	for i := range old.buckets {
		for j := range old.buckets[i] {
			s := &old.buckets[i][j]
			if data := s.data.Load(); data != 0 {
				t.set(s.mixed.Load()^scramble(data), data)
			}
		}
	}
}

func (r *memoRoom) take(n int64) bool {
	if r.left.Add(-n) < 0 {
		r.left.Add(n)
		return false
	}
	return true
}

// giveBack is called at the end of who held slots.
func (r *memoRoom) giveBack(held *atomic.Int64) { r.left.Add(held.Load()) }
