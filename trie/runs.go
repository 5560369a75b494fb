package trie

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"ribd/internal/slab"
)

// A node of the image maps the next 8 bits of an address to words, run by run:
//
//	256 bits of run starts | runs before each 64 of them, 4 bytes | words...
//
// A word is 0, a handle, or with its top bit set a node below. A reader takes
// the one bit map word, the count, and the run's word. Maps and counts never
// change while a reader can see them; a run's word may be replaced in place,
// since the image shows nothing but the latest state.
const (
	runMap    = 8 // words
	runHeader = runMap + 1
	runStride = 8
	childBit  = 1 << 31
)

// stepRun returns the word for the low 8 bits of b of the node at p. It inlines,
// and is written for few instructions: a look-up is little else, and the fewer
// they are the more look-ups the processor has under way.
func stepRun(p unsafe.Pointer, b uint32) uint32 {
	return atomic.LoadUint32((*uint32)(runWord(p, b)))
}

// runWord returns the address of that word.
func runWord(p unsafe.Pointer, b uint32) unsafe.Pointer {
	w := uintptr(b >> 6 & 3)
	m := *(*uint64)(unsafe.Add(p, w<<3))
	before := uintptr(*(*uint8)(unsafe.Add(p, 4*runMap+w)))
	before += uintptr(bits.OnesCount64(m << (^b & 63)))
	return unsafe.Add(p, 4*runMap+before<<2)
}

// runs is a node taken apart, or a new one before it is written.
type runs struct {
	starts [4]uint64
	words  [256]uint32
	n      uint32
}

func (r *runs) has(b uint32) bool { return r.starts[b>>6]>>(b&63)&1 != 0 }

// runsBefore returns the number of runs before the w-th 64 of the 256 bits of
// node o, and which of those start one.
func runsBefore(a *slab.Arena, o, w uint32) (uint32, uint64) {
	p := a.Pointer(o)
	return uint32(*(*uint8)(unsafe.Add(p, 4*runMap+w))), *(*uint64)(unsafe.Add(p, w<<3))
}

// runCount returns the number of runs of node o.
func runCount(a *slab.Arena, o uint32) uint32 {
	before, m := runsBefore(a, o, 3)
	return before + uint32(bits.OnesCount64(m))
}

func runWords(n uint32) uint32 { return runHeader + n }

// runAt returns the run of node o that holds b, and whether it is b alone.
func runAt(a *slab.Arena, o, b uint32) (i uint32, alone bool) {
	before, m := runsBefore(a, o, b>>6)
	i = before + uint32(bits.OnesCount64(m<<(63-b&63))) - 1
	if m>>(b&63)&1 == 0 {
		return i, false
	}
	if b++; b&63 != 0 {
		return i, m>>(b&63)&1 != 0
	}
	if b < 256 {
		_, m = runsBefore(a, o, b>>6)
	}
	return i, b == 256 || m&1 != 0
}

// replace fills r with the runs of node o, of which those within lo..hi-1 have
// their words changed by f; the runs around are joined where words are equal.
func (r *runs) replace(a *slab.Arena, o, lo, hi uint32, f *change) {
	for w := range uint32(4) {
		_, r.starts[w] = runsBefore(a, o, w)
	}
	first, _ := runAt(a, o, lo)
	last, _ := runAt(a, o, hi-1)
	old := a.Words(o+runHeader, runCount(a, o))
	n := uint32(copy(r.words[:], old[:first]))
	if !r.has(lo) {
		r.starts[lo>>6] |= 1 << (lo & 63)
		r.words[n] = old[first]
		n++
	}
	for i := first; i <= last; i++ {
		x := f.of(old[i])
		if i == first && n > 0 && r.words[n-1] == x {
			r.starts[lo>>6] &^= 1 << (lo & 63)
			continue
		}
		r.words[n] = x
		n++
	}
	if hi < 256 {
		tail := last + 1
		if !r.has(hi) {
			r.starts[hi>>6] |= 1 << (hi & 63)
			tail = last
		}
		if n > 0 && old[tail] == r.words[n-1] {
			r.starts[hi>>6] &^= 1 << (hi & 63)
			tail++
		}
		n += uint32(copy(r.words[n:], old[tail:]))
	}
	r.n = n
}

// join fills r with the runs of node o, equal neighbours made one.
func (r *runs) join(a *slab.Arena, o uint32) {
	*r = runs{}
	i := o + runHeader
	for b := range uint32(256) {
		if _, m := runsBefore(a, o, b>>6); m>>(b&63)&1 == 0 {
			continue
		}
		if x := a.Load(i); r.n == 0 || x != r.words[r.n-1] {
			r.starts[b>>6] |= 1 << (b & 63)
			r.words[r.n] = x
			r.n++
		}
		i++
	}
}

// fill makes r the runs of a node that is the word x but for lo..hi-1, which
// are y.
func (r *runs) fill(x, lo, hi, y uint32) {
	*r = runs{}
	r.starts[0] = 1
	if lo > 0 {
		r.words[0] = x
		r.n = 1
	}
	r.starts[lo>>6] |= 1 << (lo & 63)
	r.words[r.n] = y
	r.n++
	if hi < 256 {
		r.starts[hi>>6] |= 1 << (hi & 63)
		r.words[r.n] = x
		r.n++
	}
}

// write makes a node of r.
func (r *runs) write(h *slab.Heap, reserved bool) (o uint32, ok bool) {
	n := runWords(r.n)
	if reserved {
		o, ok = h.AllocReserved(n)
	} else {
		o, ok = h.Alloc(n)
	}
	if !ok {
		return 0, false
	}
	if o >= childBit {
		h.Free(o, n)
		return 0, false
	}
	r.put(h.Arena(), o)
	return o, true
}

// put writes r to the words at o.
func (r *runs) put(a *slab.Arena, o uint32) {
	p := a.Pointer(o)
	sum := 0
	for w, m := range r.starts {
		*(*uint64)(unsafe.Add(p, w<<3)) = m
		*(*uint8)(unsafe.Add(p, 4*runMap+w)) = uint8(sum)
		sum += bits.OnesCount64(m)
	}
	copy(a.Words(o+runHeader, r.n), r.words[:r.n])
}

// change is what an insertion or a removal does to the words under its prefix.
type change struct {
	handles *Handles
	to      uint32
	from    uint32 // a removal: the handle that goes
	len     uint8  // an insertion: longer prefixes stay
	insert  bool
	force   bool // whatever the word is
}

// of returns the new word for x; nodes below are changed in their place.
func (f *change) of(x uint32) uint32 {
	switch {
	case f.force:
		return f.to
	case x&childBit != 0:
	case f.insert && (x == 0 || f.handles.Len(x) <= f.len), !f.insert && x == f.from:
		return f.to
	}
	return x
}

// below changes a whole node in place. What a change touches there is parts of
// one run that more specific prefixes interrupt, so no two runs become equal
// neighbours and the node keeps its shape.
func (f *change) below(a *slab.Arena, o uint32) {
	n := runCount(a, o)
	for i := o + runHeader; i < o+runHeader+n; i++ {
		x := a.Load(i)
		if x&childBit != 0 {
			f.below(a, x&^childBit)
		} else if y := f.of(x); y != x {
			a.StoreAtomic(i, y)
		}
	}
}
