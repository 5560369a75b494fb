package api

import "sync/atomic"

// memo remembers a yes or no for each id, two bits a piece, so that a question
// about attributes is answered once for each set however many paths share it.
// Any goroutine may use it: two may judge the same id, and agree.
type memo struct{ words []atomic.Uint32 }

// newMemo makes a memo for ids below max; those that come later are not kept.
func newMemo(max uint32) *memo { return &memo{make([]atomic.Uint32, (max+15)/16)} }

// get answers what is known of an id.
func (m *memo) get(id uint32) (yes, known bool) {
	if m == nil || id/16 >= uint32(len(m.words)) {
		return false, false
	}
	w := m.words[id/16].Load() >> (id % 16 * 2)
	return w&2 != 0, w&1 != 0
}

func (m *memo) set(id uint32, yes bool) {
	if m == nil || id/16 >= uint32(len(m.words)) {
		return
	}
	w := uint32(1)
	if yes {
		w = 3
	}
	m.words[id/16].Or(w << (id % 16 * 2))
}
