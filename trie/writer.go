package trie

import "ribd/internal/slab"

// ImageWriter changes an image for one shard: its slots are no other writer's.
// The shard gives it the prefixes that are at home there; IPv4 prefixes of less
// than 12 bits and IPv6 prefixes of less than 24 go to the roof, which has one
// writer too.
type ImageWriter struct {
	heap    *slab.Heap
	handles *Handles
	home    *slab.Table
	roof    *slab.Table
	homeLen uint8    // bits that index home
	roofLen uint8    // bits that index roof
	least   uint8    // prefixes shorter than that are in the roof
	untidy  []prefix // what Delete had no memory to tidy up after
	scratch runs

	behind  []uint32 // slots of home that are deferred
	sorted  bool     // behind is sorted, the last one first
	builder builder
	cursor  Cursor
}

// prefix is a prefix by its bits.
type prefix struct {
	k Key
	n uint8
}

// NewImageHeap makes a heap for a shard's nodes of an image, which are read by
// 64 bits at a time.
func NewImageHeap(nodes *slab.Arena, d *slab.Domain) *slab.Heap {
	return slab.NewAlignedHeap(nodes, d, nil, imageUnit)
}

// Insert puts a new prefix into the image, where it shows at once; its handle is
// for length n and has its word already. Without memory it returns false, and
// the image is as it was.
func (w *ImageWriter) Insert(k Key, n uint8, handle uint32) bool {
	return w.apply(k, n, &change{handles: w.handles, to: handle, len: n, insert: true})
}

// Delete takes a prefix out: what it showed, parent shows from now on, the
// handle of the longest prefix that covers it in the same partition, or 0. It
// never fails. The handle is to be retired then, and the heap told
// (slab.Heap.Publish).
func (w *ImageWriter) Delete(k Key, n uint8, handle, parent uint32) {
	if len(w.untidy) > 0 {
		w.tidyLast()
	}
	w.apply(k, n, &change{handles: w.handles, to: parent, from: handle})
}

func (w *ImageWriter) table(n uint8) (t *slab.Table, bits uint8) {
	if n < w.least {
		return w.roof, w.roofLen
	}
	return w.home, w.homeLen
}

func (w *ImageWriter) apply(k Key, n uint8, f *change) bool {
	t, bits := w.table(n)
	i := uint32(k.Hi >> (64 - bits))
	if n > bits {
		x := t.Load(i)
		if x == behindWord {
			return true
		}
		y, ok := w.edit(x, k, n, bits, f)
		if ok && y != x {
			t.Store(i, y)
			w.retire(x)
		}
		return ok
	}
	for end := i + 1<<(bits-n); i < end; i++ {
		x := t.Load(i)
		if x == behindWord {
			continue
		}
		if x&childBit != 0 {
			f.below(w.heap.Arena(), x&^childBit)
		} else if y := f.of(x); y != x {
			t.Store(i, y)
		}
	}
	return true
}

// retire lets the node go that a word no longer leads to.
func (w *ImageWriter) retire(x uint32) {
	if x&childBit != 0 {
		o := x &^ childBit
		w.heap.Retire(o, runWords(runCount(w.heap.Arena(), o)), 0)
	}
}

// edit returns the word that takes the place of x, which stands for the first d
// bits of k, d < n. The node at x, if the result is another, is for the caller
// to retire.
func (w *ImageWriter) edit(x uint32, k Key, n, d uint8, f *change) (uint32, bool) {
	if n <= d+runStride {
		return w.editRange(x, k, n, d, f)
	}
	b := k.byteAt(d)
	if x&childBit == 0 {
		y, ok := w.edit(x, k, n, d+runStride, f)
		if !ok || y == x {
			return x, ok
		}
		w.scratch.fill(x, b, b+1, y)
		z, ok := w.build(false)
		if !ok {
			w.discard(y)
			return x, false
		}
		return z, true
	}
	a := w.heap.Arena()
	o := x &^ childBit
	i, alone := runAt(a, o, b)
	i += o + runHeader
	was := a.Load(i)
	y, ok := w.edit(was, k, n, d+runStride, f)
	if !ok || y == was {
		return x, ok
	}
	if alone && y&childBit != 0 {
		a.StoreAtomic(i, y)
		w.retire(was)
		return x, true
	}
	w.scratch.replace(a, o, b, b+1, &change{to: y, force: true})
	z, ok := w.build(!f.insert)
	switch {
	case ok:
		w.retire(was)
		return z, true
	case !f.insert:
		a.StoreAtomic(i, y) // alone, since it was a node
		w.untidy = append(w.untidy, prefix{k, n})
		w.retire(was)
		return x, true
	}
	w.discard(y)
	return x, false
}

// editRange is edit where the prefix ends within the 8 bits from d on.
func (w *ImageWriter) editRange(x uint32, k Key, n, d uint8, f *change) (uint32, bool) {
	size := uint32(1) << (d + runStride - n)
	lo := k.byteAt(d) &^ (size - 1)
	hi := lo + size
	if x&childBit == 0 {
		y := f.of(x)
		if y == x {
			return x, true
		}
		w.scratch.fill(x, lo, hi, y)
		z, ok := w.build(!f.insert)
		if !ok {
			return x, false
		}
		return z, true
	}
	a := w.heap.Arena()
	o := x &^ childBit
	first, _ := runAt(a, o, lo)
	last, _ := runAt(a, o, hi-1)
	w.scratch.replace(a, o, lo, hi, f)
	y, ok := x, true
	if f.insert && w.scratch.n == runCount(a, o) {
		// The same runs: their words change in place below.
	} else if y, ok = w.build(!f.insert); !ok {
		if f.insert {
			return x, false
		}
		y = x // Equal neighbours stay apart, for want of memory.
		w.untidy = append(w.untidy, prefix{k, n})
	}
	for i := o + runHeader + first; i <= o+runHeader+last; i++ {
		if v := a.Load(i); v&childBit != 0 {
			f.below(a, v&^childBit)
		} else if u := f.of(v); y == x && u != v {
			a.StoreAtomic(i, u)
		}
	}
	return y, true
}

// build makes a word of scratch: a node, or the word of its only run.
func (w *ImageWriter) build(reserved bool) (uint32, bool) {
	if w.scratch.n == 1 && w.scratch.words[0]&childBit == 0 {
		return w.scratch.words[0], true
	}
	o, ok := w.scratch.write(w.heap, reserved)
	return o | childBit, ok
}

// discard frees nodes that edit has just made, one below the other.
func (w *ImageWriter) discard(x uint32) {
	if x&childBit == 0 {
		return
	}
	a := w.heap.Arena()
	o := x &^ childBit
	n := runCount(a, o)
	for i := range n {
		w.discard(a.Load(o + runHeader + i))
	}
	w.heap.Free(o, runWords(n))
}

// Evacuate is a piece of a pass that moves the writer's nodes out of the extents
// that slab.Heap.Drain has marked. It looks at about budget nodes from the
// position on, and returns where the next piece goes on, or done.
func (w *ImageWriter) Evacuate(from Position, budget int) (next Position, done bool) {
	for n := len(w.untidy); n > 0; n-- {
		w.tidyLast()
	}
	t, bits := w.home, w.homeLen
	if from.Key.Lo != 0 {
		t, bits = w.roof, w.roofLen
	}
	budget *= slotsPerNode
	for i := uint64(from.Key.Hi >> (64 - bits)); i < 1<<bits; i++ {
		if budget <= 0 {
			return Position{Key{i << (64 - bits), from.Key.Lo}}, false
		}
		budget--
		if !t.Used(uint32(i)) {
			i |= slab.TablePage - 1
			continue
		}
		x := t.Load(uint32(i))
		if x&childBit == 0 || x == behindWord || !w.heap.Owns(x&^childBit) {
			continue
		}
		if y := w.move(x, &budget); y != x {
			t.Store(uint32(i), y)
			w.retire(x)
		}
	}
	if t == w.home {
		return Position{Key{Lo: 1}}, false
	}
	return Position{}, true
}

// slotsPerNode is how many slots of a table cost as much as a node to look at.
const slotsPerNode = 16

// move moves what is under the node word x in place, and returns the word that
// takes the place of x. Without memory it moves nothing.
func (w *ImageWriter) move(x uint32, budget *int) uint32 {
	*budget -= slotsPerNode
	a := w.heap.Arena()
	o := x &^ childBit
	n := runCount(a, o)
	for i := o + runHeader; i < o+runHeader+n; i++ {
		if v := a.Load(i); v&childBit != 0 {
			if y := w.move(v, budget); y != v {
				a.StoreAtomic(i, y)
				w.retire(v)
			}
		}
	}
	if !w.heap.Sparse(o) {
		return x
	}
	m, ok := w.heap.Alloc(runWords(n))
	if !ok {
		return x
	}
	if m >= childBit {
		w.heap.Free(m, runWords(n))
		return x
	}
	copy(a.Words(m, runWords(n)), a.Words(o, runWords(n)))
	return m | childBit
}

// tidyLast joins what the last of untidy left apart.
func (w *ImageWriter) tidyLast() {
	p := w.untidy[len(w.untidy)-1]
	w.untidy = w.untidy[:len(w.untidy)-1]
	t, bits := w.table(p.n)
	i := uint32(p.k.Hi >> (64 - bits))
	x := t.Load(i)
	if x == behindWord {
		return
	}
	if y := w.tidy(x, p, bits); y != x {
		t.Store(i, y)
		w.retire(x)
	}
}

// tidy returns the word that takes the place of x, d bits down to p.
func (w *ImageWriter) tidy(x uint32, p prefix, d uint8) uint32 {
	if x&childBit == 0 {
		return x
	}
	a := w.heap.Arena()
	o := x &^ childBit
	if p.n > d+runStride {
		i, _ := runAt(a, o, p.k.byteAt(d))
		i += o + runHeader
		v := a.Load(i)
		if y := w.tidy(v, p, d+runStride); y != v {
			a.StoreAtomic(i, y)
			w.retire(v)
		}
	}
	w.scratch.join(a, o)
	if w.scratch.n == runCount(a, o) {
		return x
	}
	y, ok := w.build(true)
	if !ok {
		w.untidy = append(w.untidy, p)
		return x
	}
	return y
}
