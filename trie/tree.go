package trie

import (
	"fmt"
	"math/bits"

	"ribd/internal/slab"
)

// Tree is the writer's side of a tree: a batch begins with Begin, changes the
// tree, and ends when its Root is stored for readers and the heap is told
// (slab.Heap.Publish). Views of earlier roots stay as they were; a batch copies
// each node once. A Tree is small, and belongs to the goroutine of its heap.
type Tree struct {
	heap    *slab.Heap
	root    uint32
	version uint32
	width   uint8
	finger  *Finger
}

// NewTree makes an empty tree of keys of width bits: 32, 64 or 128.
func NewTree(h *slab.Heap, width uint8) *Tree {
	t := OpenTree(h, width, 0)
	return &t
}

// OpenTree returns the tree at root, 0 for an empty one, of which no other
// Tree is in use.
func OpenTree(h *slab.Heap, width uint8, root uint32) Tree {
	if width != 32 && width != 64 && width != 128 {
		panic(fmt.Sprintf("BUG: trie: width %d", width))
	}
	return Tree{heap: h, root: root, width: width}
}

// Begin starts the batch that becomes the given version, 1 or more: nodes that
// it makes are its own to change until the next Begin.
func (t *Tree) Begin(version uint32) { t.version = version }

// Root returns what a View of the tree opens, 0 while it is empty.
func (t *Tree) Root() uint32 { return t.root }

// View returns the writer's own view of the unfinished batch, which the next
// change ends.
func (t *Tree) View() View { return View{t.heap.Arena(), t.root, t.width} }

// Get returns the value of exactly k/n, or 0.
func (t *Tree) Get(k Key, n uint8) uint32 { return t.View().Get(k, n) }

// Match returns the value and the length of the longest prefix of at most
// maxLen bits that holds k, or 0 for none.
func (t *Tree) Match(k Key, maxLen uint8) (v uint32, n uint8) { return t.View().Match(k, maxLen) }

// Set gives k/n the value v, 1 to MaxValue, and returns the one before or 0.
// Where the arena is full, ok is false and nothing has changed. Bits of k after
// the first n do not count.
func (t *Tree) Set(k Key, n uint8, v uint32) (old uint32, ok bool) {
	if v == 0 || v > MaxValue || n > t.width {
		panic(fmt.Sprintf("BUG: trie: value %d of a prefix of length %d in a tree of %d bits", v, n, t.width))
	}
	k = k.Mask(n)
	if t.root == 0 {
		ref, _, ok := t.join(0, item{}, item{k: k, n: n, v: v})
		t.root = ref >> 2 // 0 where there is no memory
		t.forget()
		return 0, ok
	}
	f := t.locate(k, n)
	if !t.ownPath(f, false) {
		return 0, false
	}
	a, o, d := t.heap.Arena(), f.path[f.depth].node, uint8(f.depth)*stride
	p, c := maps(a, o)
	if n-d < stride {
		i := index(k, d, n)
		pos := rank(p, i)
		if p>>i&1 != 0 {
			old = a.Load(o + nodeHeader + pos)
			a.Store(o+nodeHeader+pos, v)
			return old, true
		}
		return 0, t.grow(f, pos, v, p|1<<i, c)
	}
	b := k.strideAt(d)
	pos := uint32(bits.OnesCount64(p)) + rank(c, b)
	if c>>b&1 != 0 {
		return t.setAtEnd(o+nodeHeader+pos, d, item{k: k, n: n, v: v})
	}
	w, ok := t.child(d, item{k: k, n: n, v: v}, false)
	if !ok {
		return 0, false
	}
	if !t.grow(f, pos, w, p, c|1<<b) {
		t.unmake(w, n)
		return 0, false
	}
	return 0, true
}

// setAtEnd sets x where word at, a child of an owned node at depth d, holds a
// leaf or a fringe.
func (t *Tree) setAtEnd(at uint32, d uint8, x item) (old uint32, ok bool) {
	a := t.heap.Arena()
	ref := a.Load(at)
	was := t.itemOf(ref, d, x.k)
	if was.k != x.k || was.n != x.n {
		w, kept, ok := t.join(d+stride, was, x)
		if !ok {
			return 0, false
		}
		a.Store(at, w)
		if was.leaf != 0 && !kept {
			t.drop(was.leaf, leafWords(was.n))
		}
		return 0, true
	}
	if ref&kindMask == kindLeaf && a.Load(ref>>2) == t.version {
		a.Store(ref>>2+1, x.v)
		return was.v, true
	}
	w, ok := t.child(d, x, false)
	if !ok {
		return 0, false
	}
	a.Store(at, w)
	if ref&kindMask == kindLeaf {
		t.drop(ref>>2, leafWords(x.n))
	}
	return was.v, true
}

// own returns the node o, or a copy of it if it was born before this batch.
func (t *Tree) own(o uint32, reserved bool) (uint32, bool) {
	a := t.heap.Arena()
	if a.Load(o) == t.version {
		return o, true
	}
	p, c := maps(a, o)
	n := nodeWords(p, c)
	m, ok := t.alloc(n, reserved, false)
	if !ok {
		return o, false
	}
	to := a.Words(m, n)
	from := a.Words(o, n)
	copy(to, from)
	to[0] = t.version
	t.heap.Retire(o, n, from[0])
	return m, true
}

func (t *Tree) alloc(n uint32, reserved, more bool) (ref uint32, ok bool) {
	switch {
	case reserved:
		ref, ok = t.heap.AllocReserved(n)
	case more:
		ref, ok = t.heap.AllocMore(n)
	default:
		ref, ok = t.heap.Alloc(n)
	}
	if ok && ref >= maxRef {
		t.heap.Free(ref, n)
		return 0, false
	}
	return ref, ok
}

// drop lets a run of n words go, which readers may be in unless this batch made
// it.
func (t *Tree) drop(o, n uint32) {
	if birth := t.heap.Arena().Load(o); birth == t.version {
		t.heap.Free(o, n)
	} else {
		t.heap.Retire(o, n, birth)
	}
}

// grow puts word w in before item pos of the last node under the finger, which
// is owned, and whose maps become p and c.
func (t *Tree) grow(f *Finger, pos, w uint32, p, c uint64) bool {
	a := t.heap.Arena()
	o := f.path[f.depth].node
	n := nodeWords(p, c) // after
	m := o
	if !t.heap.Fits(n-1, n) {
		var ok bool
		if m, ok = t.alloc(n, false, true); !ok {
			return false
		}
	}
	to := a.Words(m, n)
	at := nodeHeader + pos
	if m == o {
		copy(to[at+1:], to[at:n-1])
	} else {
		from := a.Words(o, n-1)
		copy(to[:at], from[:at])
		copy(to[at+1:], from[at:])
		t.heap.Free(o, n-1)
		t.replace(f, f.depth, m)
	}
	to[at] = w
	a.Store64(m+1, p)
	a.Store64(m+3, c)
	return true
}

// item is a prefix on its way into a node; leaf is its run if it has one.
type item struct {
	k    Key
	n    uint8
	v    uint32
	leaf uint32
}

// itemOf returns the prefix that the child word ref of a node at depth d stands
// for, where k is a key under that child.
func (t *Tree) itemOf(ref uint32, d uint8, k Key) item {
	if ref&kindMask == kindFringe {
		return item{k: k.Mask(d + stride), n: d + stride, v: ref >> 2}
	}
	x := item{leaf: ref >> 2}
	x.k, x.n, x.v = leafKey(t.heap.Arena(), x.leaf)
	return x
}

// child returns the child word for x in a node at depth d, x.n >= d+6: a leaf
// that x has already, a new one, or a fringe.
func (t *Tree) child(d uint8, x item, reserved bool) (w uint32, ok bool) {
	if x.n == d+stride {
		return x.v<<2 | kindFringe, true
	}
	if x.leaf != 0 {
		return x.leaf<<2 | kindLeaf, true
	}
	o, ok := t.alloc(leafWords(x.n), reserved, true)
	if !ok {
		return 0, false
	}
	setLeaf(t.heap.Arena(), o, t.version, x.k, x.n, x.v)
	return o<<2 | kindLeaf, true
}

// unmake undoes child for a new leaf of length n.
func (t *Tree) unmake(w uint32, n uint8) {
	if w&kindMask == kindLeaf {
		t.heap.Free(w>>2, leafWords(n))
	}
}

// join makes nodes from depth d on that hold x and y, two different prefixes
// with the same first d bits, and returns the child word that leads to them; x
// may be nothing (v 0). A leaf of x that is still needed is used again, and kept
// says so; y has none yet.
func (t *Tree) join(d uint8, x, y item) (w uint32, kept, ok bool) {
	xb, yb := x.k.strideAt(d), y.k.strideAt(d)
	if x.v != 0 && x.n >= d+stride && y.n >= d+stride && xb == yb {
		below, kept, ok := t.join(d+stride, x, y)
		if !ok {
			return 0, false, false
		}
		o, ok := t.newNode(0, 1<<xb, [2]uint32{below}, 1)
		if !ok {
			t.unjoin(below, x.leaf)
			return 0, false, false
		}
		return o<<2 | kindNode, kept, true
	}
	var n node
	if x.v != 0 {
		wx := x.v
		if x.n >= d+stride {
			wx, _ = t.child(d, x, false) // a fringe or the leaf that x has
			kept = wx&kindMask == kindLeaf
		}
		n.add(d, x, wx)
	}
	wy := y.v
	if y.n >= d+stride {
		if wy, ok = t.child(d, y, false); !ok {
			return 0, false, false
		}
	}
	n.add(d, y, wy)
	o, ok := t.newNode(n.p, n.c, n.words, n.n)
	if !ok {
		if y.n >= d+stride {
			t.unmake(wy, y.n)
		}
		return 0, false, false
	}
	return o<<2 | kindNode, kept, true
}

// unjoin frees what join made, and leaves the leaf that it used again.
func (t *Tree) unjoin(w, leaf uint32) {
	a := t.heap.Arena()
	o := w >> 2
	switch w & kindMask {
	case kindLeaf:
		if o != leaf {
			t.heap.Free(o, leafWords(uint8(a.Load(o+2))))
		}
	case kindNode:
		p, c := maps(a, o)
		n := nodeWords(p, c)
		for i := nodeHeader + uint32(bits.OnesCount64(p)); i < n; i++ {
			t.unjoin(a.Load(o+i), leaf)
		}
		t.heap.Free(o, n)
	}
}

// node is a new node of up to two items, in order.
type node struct {
	p, c  uint64
	words [2]uint32
	n     int
}

func (n *node) add(d uint8, x item, w uint32) {
	var before bool // x stands before what is there
	if x.n < d+stride {
		i := index(x.k, d, x.n)
		before = n.p>>i == 0 && n.c != 0 || n.p>>i != 0
		n.p |= 1 << i
	} else {
		b := x.k.strideAt(d)
		before = n.c>>b != 0
		n.c |= 1 << b
	}
	if n.n == 1 && before {
		n.words[1] = n.words[0]
		n.words[0] = w
	} else {
		n.words[n.n] = w
	}
	n.n++
}

func (t *Tree) newNode(p, c uint64, words [2]uint32, n int) (o uint32, ok bool) {
	size := nodeHeader + uint32(n)
	o, ok = t.alloc(size, false, true)
	if !ok {
		return 0, false
	}
	a := t.heap.Arena()
	to := a.Words(o, size)
	to[0] = t.version
	copy(to[nodeHeader:], words[:n])
	a.Store64(o+1, p)
	a.Store64(o+3, c)
	return o, true
}
