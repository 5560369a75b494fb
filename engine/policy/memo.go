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
type memo struct {
	table atomic.Pointer[memoTable]
	grow  sync.Mutex
	room  *memoRoom
	held  *atomic.Int64 // slots
}

// memoTable is the entries of one generation.
type memoTable struct {
	generation uint64
	shift      uint8
	clashes    atomic.Int64 // entries that took another's place
	slots      []memoSlot
}

type memoSlot struct{ mixed, data atomic.Uint64 }

// memoRoom is how many slots the memos of a Set may have together.
type memoRoom struct{ left atomic.Int64 }

// Sizes of tables, in slots of 16 octets: each from 4 KiB to 4 MiB, all of a Set
// together 64 MiB and the least size of each.
const (
	memoLeast = 1 << 8
	memoMost  = 1 << 18
	memoTotal = 1 << 22
)

func newMemo(room *memoRoom) *memo {
	return &memo{room: room, held: new(atomic.Int64)}
}

func newMemoTable(generation uint64, slots int) *memoTable {
	t := &memoTable{generation: generation, shift: 64, slots: make([]memoSlot, slots)}
	for n := slots; n > 1; n >>= 1 {
		t.shift--
	}
	return t
}

func (t *memoTable) slot(key uint64) *memoSlot {
	return &t.slots[key*0x9e3779b97f4a7c15>>t.shift]
}

// get returns what was stored under a key in this generation. Data is never 0.
func (m *memo) get(generation, key uint64) (data uint64, ok bool) {
	t := m.table.Load()
	if t == nil || t.generation != generation {
		return 0, false
	}
	s := t.slot(key)
	data = s.data.Load()
	return data, data != 0 && s.mixed.Load() == key^scramble(data)
}

// scramble is a hash of what is stored: without it, the halves of two entries
// whose numbers are alike could make a third.
func scramble(data uint64) uint64 {
	data *= 0xff51afd7ed558ccd
	data ^= data >> 33
	return data * 0xc4ceb9fe1a85ec53
}

// put stores what was found out in a generation.
func (m *memo) put(generation, key, data uint64) {
	t := m.table.Load()
	if t == nil || t.generation != generation || t.clashes.Load() > int64(len(t.slots)/2) {
		if t = m.renew(generation, t); t == nil {
			return
		}
	}
	s := t.slot(key)
	if old := s.data.Load(); old != 0 && s.mixed.Load() != key^old {
		t.clashes.Add(1)
	}
	s.mixed.Store(key ^ scramble(data))
	s.data.Store(data)
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
	if t != nil {
		if t.generation > generation {
			return nil
		}
		size = len(t.slots)
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

// adopt takes the entries of a smaller table over.
func (t *memoTable) adopt(old *memoTable) {
	for i := range old.slots {
		data := old.slots[i].data.Load()
		if data == 0 {
			continue
		}
		// An entry that is being written may come out wrong here; its key then
		// is no key of t's slot, or is one whose check fails.
		mixed := old.slots[i].mixed.Load()
		if s := t.slot(mixed ^ scramble(data)); old.slots[i].data.Load() == data {
			s.mixed.Store(mixed)
			s.data.Store(data)
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
