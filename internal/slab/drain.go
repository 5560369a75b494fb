package slab

import "ribd/internal/invariants"

// purge takes the free runs of extents that are being emptied out of the free
// lists, a few at each Reclaim: a list is set aside, and what may stay is put
// back.
type purge struct {
	active   bool
	class    int
	aside    uint32 // rest of the list of class
	draining int    // extents marked
}

// drainBelow is the part of a heap that may be holes: one in so many words.
const drainBelow = 8

// purgeStep bounds the free runs that one Reclaim looks at.
const purgeStep = 2048

// Drain marks up to maxExtents extents for emptying that have more holes than
// others, if the heap has holes enough to make it worth the copying, and returns
// how many are marked. Sparse is true of their runs: the owner rewrites these, in
// batches as any other change, and an extent whose last run is gone goes back
// to the arena.
func (h *Heap) Drain(maxExtents int) int {
	p := &h.purge
	if p.active || p.draining > 0 {
		return p.draining
	}
	n := uint64(len(h.extents))
	holes := n<<extentBits - min(n<<extentBits, h.live+uint64(h.end-h.bump)+vaultWords)
	if n < 2 || holes*drainBelow < n<<extentBits {
		return 0
	}
	average := uint32(h.live / n)
	newest := h.newest()
	for _, e := range h.extents {
		if p.draining == maxExtents {
			break
		}
		if e != newest && e != h.vault.base>>extentBits && h.arena.live[e] <= average {
			h.arena.drain[e] = true
			p.draining++
		}
	}
	if p.draining > 0 {
		p.active, p.class, p.aside = true, -1, 0
	}
	return p.draining
}

// Trim gives extents back that hold nothing at all, in the course of the next
// calls of Reclaim: Drain for owners that cannot move their runs.
func (h *Heap) Trim() {
	p := &h.purge
	if p.active || p.draining > 0 {
		return
	}
	for _, e := range h.extents {
		if h.arena.live[e] == 0 && e != h.newest() && e != h.vault.base>>extentBits {
			h.arena.drain[e] = true
			p.draining++
		}
	}
	if p.draining > 0 {
		p.active, p.class, p.aside = true, -1, 0
	}
}

// newest is the extent that still has words never used, or 0.
func (h *Heap) newest() uint32 {
	if h.bump == h.end {
		return 0
	}
	return h.bump >> extentBits
}

// Sparse says whether a run is in an extent that is being emptied.
func (h *Heap) Sparse(ref uint32) bool { return h.arena.drain[ref>>extentBits] }

// Owns says whether a run, which the caller has met where several writers'
// references are, is of this heap.
func (h *Heap) Owns(ref uint32) bool { return h.arena.owner[ref>>extentBits].Load() == h.id }

func (p *purge) step(h *Heap) {
	for budget := purgeStep; budget > 0; budget-- {
		for p.aside == 0 {
			if p.class++; p.class == numClasses {
				p.finish(h)
				return
			}
			p.aside = h.lists[p.class]
			h.lists[p.class] = 0
			h.full[p.class>>6] &^= 1 << (p.class & 63)
		}
		ref := p.aside
		p.aside = h.arena.Load(ref)
		if !h.arena.drain[ref>>extentBits] {
			h.push(p.class, ref)
		} else if invariants.Enabled {
			h.arena.Store(ref, Poison)
		}
	}
}

// finish ends the purge: no free list leads into a marked extent any more, so
// that the empty ones can go.
func (p *purge) finish(h *Heap) {
	p.active = false
	for i := len(h.extents) - 1; i >= 0; i-- {
		if e := h.extents[i]; h.arena.drain[e] && h.arena.live[e] == 0 {
			h.giveBack(i)
		}
	}
}

// take finds a run of class c in the list that is set aside, for a heap that
// would grow otherwise.
func (p *purge) take(h *Heap, c int, ref *uint32) bool {
	if !p.active || p.class != c {
		return false
	}
	for p.aside != 0 {
		*ref = p.aside
		p.aside = h.arena.Load(*ref)
		if invariants.Enabled {
			h.arena.Store(*ref, Poison)
		}
		if !h.arena.drain[*ref>>extentBits] {
			return true
		}
	}
	return false
}

// drained is called when words of a marked extent were freed.
func (h *Heap) drained(e uint32) {
	if h.purge.active || h.arena.live[e] != 0 {
		return
	}
	for i := range h.extents {
		if h.extents[i] == e {
			h.giveBack(i)
			return
		}
	}
}

func (h *Heap) giveBack(i int) {
	e := h.extents[i]
	last := len(h.extents) - 1
	h.extents[i] = h.extents[last]
	h.extents = h.extents[:last]
	h.purge.draining--
	h.arena.give(e)
}

// joinEach is how many frees and refusals for each extent come between two times that
// coalesce, which looks at all of them, serves others than removals.
const joinEach = 16

// coalesce joins the free runs that touch. The lists do not do it as they go,
// since what is freed is soon used again; at the cap of the arena it is done
// before a removal fails, or a copy of a large node. It allocates Go memory.
func (h *Heap) coalesce() {
	if h.purge.active || h.frees < h.joined+64 && h.joined != 0 {
		return
	}
	h.joined, h.asked = h.frees, h.frees+h.refused
	const words = ExtentWords / 64
	free := make(map[uint32]*[words]uint64, len(h.extents))
	for _, e := range h.extents {
		free[e] = new([words]uint64)
	}
	for c := range h.lists {
		units := classUnits(c)
		for ref := h.lists[c]; ref != 0; ref = h.arena.Load(ref) {
			bits := free[ref>>extentBits]
			at := ref & (ExtentWords - 1) >> h.shift
			for i := at; i < at+units; i++ {
				bits[i>>6] |= 1 << (i & 63)
			}
		}
	}
	h.lists, h.full = [numClasses]uint32{}, [len(h.full)]uint64{}
	for _, e := range h.extents {
		bits, base := free[e], e<<extentBits
		if invariants.Enabled {
			for i := range uint32(ExtentWords) >> h.shift {
				if bits[i>>6]>>(i&63)&1 != 0 {
					poison(h.arena.Words(base+i<<h.shift, h.unit))
				}
			}
		}
		run := uint32(0)
		for i := uint32(0); i <= ExtentWords>>h.shift; i++ {
			if i < ExtentWords>>h.shift && bits[i>>6]>>(i&63)&1 != 0 {
				run++
				continue
			}
			h.release(base+(i-run)<<h.shift, run)
			run = 0
		}
	}
}
