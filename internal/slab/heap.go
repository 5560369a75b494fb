package slab

import (
	"fmt"
	"math/bits"

	"ribd/internal/invariants"
)

// spareWords is what a heap keeps free for removals: without as much, only
// AllocReserved goes on.
const spareWords = 4096 + vaultWords

// Heap allocates runs of words for one writer from extents of an Arena. All
// its methods belong to that writer. Free runs of a class are a list through
// their first words; a large one is split when nothing smaller fits.
type Heap struct {
	arena  *Arena
	domain *Domain
	holds  *Holds // nil: nothing but pins keeps memory

	id    uint32 // owner of its extents
	unit  uint32 // words; runs are multiples of it, and aligned to it
	shift uint32 // log2(unit)
	spare uint32 // least remainder in units that is worth a split

	lists [numClasses]uint32             // heads of the free lists
	full  [(numClasses + 63) / 64]uint64 // classes whose list holds something

	extents []uint32 // those this heap holds
	bump    uint32   // next word never used in the newest extent
	end     uint32   // its end
	tight   bool     // the arena had no extent when last asked

	live    uint64 // words in use, rounded up to classes
	refused uint64
	joined  uint64 // frees at the last coalesce, which is not repeated for few
	asked   uint64 // frees and refusals then
	frees   uint64

	vault vault
	old   retirement
	purge purge
}

// HeapStats counts a heap's words. Retired and held words are in none of the
// other two; what an extent has left is free.
type HeapStats struct {
	Extents  int
	Draining int // extents being emptied

	LiveWords    uint64 // in runs that are in use, rounded up to classes
	FreeWords    uint64
	RetiredWords uint64 // wait for pins
	HeldWords    uint64 // wait for long views

	Refused uint64 // allocations that the cap of the arena did not allow
}

// NewHeap makes a heap in an arena. A nil h is for memory of which only the
// latest state is read.
func NewHeap(a *Arena, d *Domain, h *Holds) *Heap { return NewAlignedHeap(a, d, h, 1) }

// NewAlignedHeap makes a heap whose runs are multiples of unit words, a power
// of two, and begin at such.
func NewAlignedHeap(a *Arena, d *Domain, h *Holds, unit uint32) *Heap {
	if unit == 0 || unit&(unit-1) != 0 || unit > ExtentWords {
		panic(fmt.Sprintf("BUG: slab: unit %d", unit))
	}
	heap := &Heap{arena: a, domain: d, holds: h, unit: unit, shift: uint32(bits.TrailingZeros32(unit)), spare: 1}
	heap.id = a.heaps.Add(1)
	if unit == 1 {
		heap.spare = 4
	}
	return heap
}

// Arena returns the arena that the heap's references lead into.
func (h *Heap) Arena() *Arena { return h.arena }

// Alloc returns a run of n words with unknown content, 1 <= n <= ExtentWords.
// When the arena is at its cap, less a reserve, ok is false and the caller
// refuses what it was asked to store.
func (h *Heap) Alloc(n uint32) (ref uint32, ok bool) { return h.alloc(n, false) }

// AllocMore is Alloc for what replaces nothing, and so gives nothing back: it waits
// while removals live on the vault. Copies go on: they are what fills it.
func (h *Heap) AllocMore(n uint32) (ref uint32, ok bool) {
	if h.tight && h.starved() && !h.extend(false) {
		h.refused++
		return 0, false
	}
	return h.alloc(n, false)
}

// AllocReserved is Alloc for what must go on at the cap, a removal above all:
// it may use the reserve.
func (h *Heap) AllocReserved(n uint32) (ref uint32, ok bool) { return h.alloc(n, true) }

func (h *Heap) alloc(n uint32, deep bool) (ref uint32, ok bool) {
	c := classOf((n + h.unit - 1) >> h.shift)
	if !deep && uint64(len(h.extents))<<extentBits < h.live+spareWords && !h.extend(false) {
		h.refused++
		return 0, false
	}
	if ref = h.lists[c]; ref != 0 {
		h.pop(c)
	} else if ref, ok = h.cut(c, deep); !ok {
		h.refused++
		return 0, false
	}
	words := classUnits(c) << h.shift
	h.live += uint64(words)
	h.arena.live[ref>>extentBits] += words
	if invariants.Enabled {
		h.unpoison(ref, words)
	}
	return ref, true
}

// starved is true at the cap of the arena while the removals that came last live on
// the vault: what they have replaced is for the next ones. Where a quarter is free
// there are large runs again.
func (h *Heap) starved() bool {
	room := uint64(len(h.extents)) << extentBits
	return h.vault.low() && room-h.live < room/4
}

// cut finds a run of class c where its list is empty.
func (h *Heap) cut(c int, deep bool) (ref uint32, ok bool) {
	if ref, ok = h.split(c, deep); ok {
		return ref, true
	}
	if h.purge.take(h, c, &ref) {
		return ref, true
	}
	words := classUnits(c) << h.shift
	for h.end-h.bump < words {
		if h.extend(deep) {
			continue // the vault may have taken a part
		}
		if !deep {
			// Every change of a tree copies its root: without a large run all of them
			// would be refused, however much is free in pieces.
			if classUnits(c) <= smallUnits || h.frees+h.refused-h.asked < joinEach*uint64(len(h.extents)) {
				return 0, false
			}
			return h.splitAny(c)
		}
		if ref, ok = h.splitAny(c); !ok {
			ref, ok = h.fromVault(c)
		}
		return ref, ok
	}
	ref = h.bump
	h.bump += words
	return ref, true
}

// extend takes an extent for bump.
func (h *Heap) extend(deep bool) bool {
	e, ok := h.arena.take(h.id, deep)
	if h.tight = !ok; !ok {
		return false
	}
	h.release(h.bump, (h.end-h.bump)>>h.shift)
	h.extents = append(h.extents, e)
	h.bump = e << extentBits
	h.end = h.bump + ExtentWords
	if invariants.Enabled {
		poison(h.arena.Words(h.bump, ExtentWords))
	}
	h.setVault()
	return true
}

// split takes the smallest larger run whose remainder is worth keeping. Near
// the cap the large runs stay whole for removals, which have to copy large runs
// as well as small ones.
func (h *Heap) split(c int, deep bool) (ref uint32, ok bool) {
	u := classUnits(c)
	end := numClasses
	if !deep && h.tight && u <= smallUnits {
		end = classOf(2*smallUnits) + 1
	}
	for d := h.nextFull(classOf(min(u+h.spare, ExtentWords>>h.shift))); d < end; d = h.nextFull(d + 1) {
		if rest := classUnits(d); rest >= u+h.spare {
			return h.splitRun(d, u), true
		}
	}
	return 0, false
}

// splitAny takes any larger run at the cap of the arena, and where there is
// none, first joins the free runs that touch.
func (h *Heap) splitAny(c int) (ref uint32, ok bool) {
	d := h.nextFull(c)
	if d >= numClasses {
		h.coalesce()
		if d = h.nextFull(c); d >= numClasses {
			return 0, false
		}
	}
	return h.splitRun(d, classUnits(c)), true
}

func (h *Heap) splitRun(d int, u uint32) uint32 {
	ref := h.lists[d]
	h.pop(d)
	h.release(ref+u<<h.shift, classUnits(d)-u)
	return ref
}

// nextFull returns the first class from c on whose list holds something, or
// numClasses or more.
func (h *Heap) nextFull(c int) int {
	for w := c >> 6; w < len(h.full); w++ {
		m := h.full[w]
		if w == c>>6 {
			m &= ^uint64(0) << (c & 63)
		}
		if m != 0 {
			return w<<6 + bits.TrailingZeros64(m)
		}
	}
	return numClasses
}

func (h *Heap) push(c int, ref uint32) {
	h.arena.Store(ref, h.lists[c])
	h.lists[c] = ref
	h.full[c>>6] |= 1 << (c & 63)
}

func (h *Heap) pop(c int) {
	ref := h.lists[c]
	next := h.arena.Load(ref)
	h.lists[c] = next
	if next == 0 {
		h.full[c>>6] &^= 1 << (c & 63)
	}
	if invariants.Enabled {
		h.arena.Store(ref, Poison)
	}
}

// release puts units that no run holds into the free lists.
func (h *Heap) release(ref, units uint32) {
	if units == 0 || h.arena.drain[ref>>extentBits] {
		return
	}
	for units > 0 {
		c := floorClass(units)
		u := classUnits(c)
		h.push(c, ref)
		ref += u << h.shift
		units -= u
	}
}

// Free gives back a run of n words that no reader has ever seen.
func (h *Heap) Free(ref, n uint32) {
	c := classOf((n + h.unit - 1) >> h.shift)
	words := classUnits(c) << h.shift
	if invariants.Enabled {
		h.checkLive(ref, words)
		poison(h.arena.Words(ref, words))
	}
	e := ref >> extentBits
	h.frees++
	h.live -= uint64(words)
	h.arena.live[e] -= words
	if h.vault.holds(ref) {
		h.vault.put(ref)
		return
	}
	if h.arena.drain[e] {
		h.drained(e)
		return
	}
	h.push(c, ref)
}

// Shrink cuts a run of old words that no reader has ever seen down to n, and
// never fails.
func (h *Heap) Shrink(ref, old, n uint32) {
	had := classUnits(classOf((old + h.unit - 1) >> h.shift))
	has := classUnits(classOf((n + h.unit - 1) >> h.shift))
	if had == has {
		return
	}
	words := (had - has) << h.shift
	if invariants.Enabled {
		poison(h.arena.Words(ref+has<<h.shift, words))
	}
	h.live -= uint64(words)
	h.arena.live[ref>>extentBits] -= words
	if !h.vault.holds(ref) {
		h.release(ref+has<<h.shift, had-has)
	}
}

// Fits says whether runs of n and m words take the same room, so that one may
// become the other in place.
func (h *Heap) Fits(n, m uint32) bool {
	return classOf((n+h.unit-1)>>h.shift) == classOf((m+h.unit-1)>>h.shift)
}

// Stats counts the heap's words.
func (h *Heap) Stats() HeapStats {
	s := HeapStats{
		Extents:      len(h.extents),
		Draining:     h.purge.draining,
		LiveWords:    h.live - h.old.waiting - h.old.kept,
		RetiredWords: h.old.waiting,
		HeldWords:    h.old.kept,
		Refused:      h.refused,
	}
	s.FreeWords = uint64(len(h.extents))<<extentBits - h.live
	return s
}

func poison(words []uint32) {
	for i := range words {
		words[i] = Poison
	}
}

// unpoison checks that nobody wrote to a run while it was free, and fills it
// with what is neither poison nor zero: the content of a new run is unknown.
func (h *Heap) unpoison(ref, words uint32) {
	run := h.arena.Words(ref, words)
	for i, w := range run {
		if w != Poison {
			panic(fmt.Sprintf("BUG: slab: arena %s: word %d of free run %#x was written: %#x", h.arena.name, i, ref, w))
		}
		run[i] = fresh
	}
}

// checkLive finds runs that are freed twice: behind the link of their list they are
// poison from end to end. One word alone proves nothing, it may be of an address.
func (h *Heap) checkLive(ref, words uint32) {
	if ref == 0 || h.arena.live[ref>>extentBits] < words || words > 1 && poisoned(h.arena.Words(ref, words)[1:]) {
		panic(fmt.Sprintf("BUG: slab: arena %s: run %#x of %d words is freed twice", h.arena.name, ref, words))
	}
}

func poisoned(words []uint32) bool {
	for _, w := range words {
		if w != Poison {
			return false
		}
	}
	return true
}
