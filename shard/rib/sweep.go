package rib

import (
	"sync/atomic"

	"ribd/internal/slab"
)

// drainExtents is the extents of a stripe that a sweep empties.
const drainExtents = 8

// marks says which ids of a table are in use. Any goroutine may mark.
type marks struct{ bits []atomic.Uint64 }

func newMarks(n uint32) *marks { return &marks{make([]atomic.Uint64, (n+63)/64)} }

func (m *marks) mark(id uint32) {
	if i := id / 64; i < uint32(len(m.bits)) {
		w := &m.bits[i]
		if bit := uint64(1) << (id % 64); w.Load()&bit == 0 {
			w.Or(bit)
		}
	}
}

func (m *marks) has(id uint32) bool {
	i := id / 64
	return i < uint32(len(m.bits)) && m.bits[i].Load()>>(id%64)&1 != 0
}

// begin starts a sweep: what is interned from now on is seen in it.
func (s *store) begin() *marks {
	s.sweep.Store((s.sweep.Load() + 1) & stampMask)
	return newMarks(s.max())
}

// end ends the strings that neither this sweep nor the one before has seen, if
// mayEnd, and frees those that ended at or before rested. It returns how many
// it ended and freed.
//
// Two sweeps, because a string that was interned just before a sweep began may
// be on its way to a shard while the blocks are marked: it carries the stamp of
// the sweep before. The caller waits at the beginning of a sweep for what was on
// its way then, so that the next one finds it in a block.
func (s *store) end(m *marks, mayEnd bool, now, rested uint32) (ended, freed int) {
	cur := s.sweep.Load()
	for n := range uint32(numStripes) {
		st := &s.stripes[n]
		st.mu.Lock()
		for local := uint32(1); local < st.next; local++ {
			id := local<<stripeBits | n
			w := s.entries.Load(id * s.words)
			if w&stateMask != stateLive {
				continue
			}
			if m.has(id) {
				s.touch(id)
				continue
			}
			if age := (cur - w>>stampShift) & stampMask; !mayEnd || age < 2 {
				continue
			}
			s.remove(st, n, local)
			s.entries.Store(id*s.words, stateEnded)
			st.ended = append(st.ended, endedString{local, now})
			st.live--
			st.size -= uint64(len(s.octets(id)))
			ended++
		}
		freed += s.free(st, n, rested)
		s.move(st, n, now)
		st.mu.Unlock()
	}
	return ended, freed
}

// free gives back the strings and ids that have rested.
func (s *store) free(st *stripe, n, rested uint32) (freed int) {
	for freed < len(st.ended) && st.ended[freed].at <= rested {
		local := st.ended[freed].local
		id := local<<stripeBits | n
		st.heap.Free(s.entries.Load(id*s.words+entryBytes), runWords(len(s.octets(id))))
		s.entries.Store(id*s.words+entryMeta, stateFree)
		st.free = append(st.free, local)
		freed++
	}
	st.ended = append(st.ended[:0], st.ended[freed:]...)
	gone := 0
	for gone < len(st.moved) && st.moved[gone].at <= rested {
		st.heap.Free(st.moved[gone].ref, st.moved[gone].words)
		gone++
	}
	st.moved = append(st.moved[:0], st.moved[gone:]...)
	return freed
}

// move copies the strings that lie in extents with many holes, so that these go
// back once the old copies have rested: somebody may be reading them.
func (s *store) move(st *stripe, n, now uint32) {
	if len(st.moved) > 0 || st.heap.Drain(drainExtents) == 0 {
		return
	}
	for range 1 + slab.ExtentWords*drainExtents/64 {
		st.heap.Reclaim() // takes the holes out of the lists of what is free
	}
	for local := uint32(1); local < st.next; local++ {
		id := local<<stripeBits | n
		if s.entries.Load(id*s.words)&stateMask != stateLive {
			continue
		}
		old := s.entries.Load(id*s.words + entryBytes)
		if !st.heap.Sparse(old) {
			continue
		}
		words := runWords(int(s.arena.Load(old)))
		ref, ok := st.heap.Alloc(words)
		if !ok {
			return
		}
		copy(s.arena.Words(ref, words), s.arena.Words(old, words))
		s.entries.Store(id*s.words+entryBytes, ref)
		st.moved = append(st.moved, movedString{old, words, now})
	}
}
