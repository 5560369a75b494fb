package trie

import "math/bits"

// Delete takes k/n out and returns its value, or 0 if there was none. It may use
// the reserve of the arena; should even that be gone, because long views hold
// all the rest, it changes nothing and returns 0, and Get still finds the value.
func (t *Tree) Delete(k Key, n uint8) (old uint32) {
	if t.root == 0 || n > t.width {
		return 0
	}
	k = k.Mask(n)
	f := t.locate(k, n)
	old, pos := t.at(f, k, n)
	if old == 0 || !t.ownPath(f, true) {
		return 0
	}
	a, o, d := t.heap.Arena(), f.path[f.depth].node, uint8(f.depth)*stride
	p, c := maps(a, o)
	if n-d < stride {
		p &^= 1 << index(k, d, n)
	} else {
		if ref := a.Load(o + nodeHeader + pos); ref&kindMask == kindLeaf {
			t.drop(ref>>2, leafWords(n))
		}
		c &^= 1 << k.strideAt(d)
	}
	t.cut(f, pos, p, c)
	t.fold(k, f)
	return old
}

// cut takes item pos out of the last node under the finger, which is owned, and
// whose maps become p and c.
func (t *Tree) cut(f *Finger, pos uint32, p, c uint64) {
	a := t.heap.Arena()
	o := f.path[f.depth].node
	n := nodeWords(p, c) // after
	at := nodeHeader + pos
	m := o
	if !t.heap.Fits(n+1, n) {
		var ok bool
		if m, ok = t.alloc(n, true, false); !ok {
			m = o
		}
	}
	to, from := a.Words(m, n), a.Words(o, n+1)
	if m != o {
		copy(to[:at], from[:at])
	}
	copy(to[at:], from[at+1:])
	a.Store64(m+1, p)
	a.Store64(m+3, c)
	if m == o {
		t.heap.Shrink(o, n+1, n)
		return
	}
	t.heap.Free(o, n+1)
	t.replace(f, f.depth, m)
}

// fold brings the tree back into its shape after a removal: a node that holds
// one prefix becomes a leaf or a fringe of the node above, and an empty root
// goes. Where there is no memory for a leaf, the node stays: it is only larger.
func (t *Tree) fold(k Key, f *Finger) {
	a := t.heap.Arena()
	for i := f.depth; i > 0; i-- {
		o := f.path[i].node
		p, c := maps(a, o)
		if bits.OnesCount64(p)+bits.OnesCount64(c) != 1 {
			return
		}
		word := a.Load(o + nodeHeader)
		if c != 0 && word&kindMask == kindNode {
			return
		}
		d := uint8(i) * stride
		base := k.Mask(d)
		var x item
		if c != 0 {
			b := uint(bits.TrailingZeros64(c))
			x = t.itemOf(word, d, base.withStride(d, b))
		} else {
			x.v = word
			x.k, x.n = unindex(base, d, uint(bits.TrailingZeros64(p)))
		}
		w, ok := t.child(d-stride, x, true)
		if !ok {
			return
		}
		a.Store(f.path[i-1].node+f.path[i].link, w)
		f.depth = i - 1
		t.heap.Free(o, nodeWords(p, c))
		if x.leaf != 0 && w&kindMask == kindFringe {
			t.drop(x.leaf, leafWords(x.n))
		}
	}
	if p, c := maps(a, t.root); p|c == 0 {
		t.heap.Free(t.root, nodeHeader)
		t.root = 0
		t.forget()
	}
}

// Clear takes everything out, at the cost of a walk over the nodes.
func (t *Tree) Clear() {
	t.forget()
	if t.root != 0 {
		t.clear(t.root)
		t.root = 0
	}
}

func (t *Tree) clear(o uint32) {
	a := t.heap.Arena()
	p, c := maps(a, o)
	n := nodeWords(p, c)
	for i := nodeHeader + uint32(bits.OnesCount64(p)); i < n; i++ {
		switch ref := a.Load(o + i); ref & kindMask {
		case kindNode:
			t.clear(ref >> 2)
		case kindLeaf:
			t.drop(ref>>2, leafWords(uint8(a.Load(ref>>2+2))))
		}
	}
	t.drop(o, n)
}

// Restamp makes every run of the tree one that was born at version 0, so that
// version numbers can start again at 1: see slab.Heap.Rebase and
// slab.Holds.Rebase, which belong to it. It is called between batches.
func (t *Tree) Restamp() {
	if t.root != 0 {
		t.restamp(t.root)
	}
	t.version = 0
}

func (t *Tree) restamp(o uint32) {
	a := t.heap.Arena()
	a.Store(o, 0)
	p, c := maps(a, o)
	n := nodeWords(p, c)
	for i := nodeHeader + uint32(bits.OnesCount64(p)); i < n; i++ {
		switch ref := a.Load(o + i); ref & kindMask {
		case kindNode:
			t.restamp(ref >> 2)
		case kindLeaf:
			a.Store(ref>>2, 0)
		}
	}
}
