package slab

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Holds is the versions that long views of one writer's tables hold. The zero
// value holds none. Readers change it; the writer only looks, without a lock.
type Holds struct {
	held atomic.Pointer[[]uint32] // ascending, a version once for each holder
	gone atomic.Uint64            // releases so far
	mu   sync.Mutex
}

// Hold registers version v, which the caller has just loaded under a pin that
// still stands.
func (h *Holds) Hold(v uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := slices.Clone(h.list())
	i, _ := slices.BinarySearch(list, v)
	list = slices.Insert(list, i, v)
	h.held.Store(&list)
}

// Release ends one Hold(v). A version held since before Rebase is known as 0.
func (h *Holds) Release(v uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := slices.Clone(h.list())
	i, ok := slices.BinarySearch(list, v)
	if !ok {
		if i = 0; len(list) == 0 || list[0] != 0 {
			return
		}
	}
	list = slices.Delete(list, i, i+1)
	h.held.Store(&list)
	h.gone.Add(1)
}

// Any says whether a version is held.
func (h *Holds) Any() bool { return len(h.list()) > 0 }

// Oldest returns the least version held.
func (h *Holds) Oldest() (v uint32, ok bool) {
	if list := h.list(); len(list) > 0 {
		return list[0], true
	}
	return 0, false
}

// Between says whether a version v with b <= v < r is held.
func (h *Holds) Between(b, r uint32) bool { return between(h.list(), b, r) }

// Rebase makes every held version 0, when the writer's version numbers start
// again at 1 and all that lives counts as born at 0.
func (h *Holds) Rebase() {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]uint32, len(h.list()))
	h.held.Store(&list)
}

func (h *Holds) list() []uint32 {
	if p := h.held.Load(); p != nil {
		return *p
	}
	return nil
}

func between(list []uint32, b, r uint32) bool {
	for _, v := range list {
		if v >= b {
			return v < r
		}
	}
	return false
}
