package trie

import "math/bits"

// step is where a way down the tree went: word link leads to an owned node.
type step struct{ link, node uint32 }

// Delete takes k/n out and returns its value, or 0 if there was none. It may use
// the reserve of the arena; should even that be gone, because long views hold
// all the rest, it changes nothing and returns 0, and Get still finds the value.
func (t *Tree) Delete(k Key, n uint8) (old uint32) {
	k = k.Mask(n)
	if old = t.Get(k, n); old == 0 {
		return 0
	}
	a := t.heap.Arena()
	var path [maxLevels]step
	at := 0 // of path
	o, ok := t.own(t.root, true)
	if !ok {
		return 0
	}
	t.root, path[0] = o, step{0, o}
	for d := uint8(0); ; d += stride {
		p, c := maps(a, o)
		if n-d < stride {
			i := index(k, d, n)
			t.cut(&path[at], rank(p, i), p&^(1<<i), c)
			break
		}
		b := k.strideAt(d)
		pos := uint32(bits.OnesCount64(p)) + rank(c, b)
		link := o + nodeHeader + pos
		ref := a.Load(link)
		if ref&kindMask != kindNode {
			if ref&kindMask == kindLeaf {
				t.drop(ref>>2, leafWords(n))
			}
			t.cut(&path[at], pos, p, c&^(1<<b))
			break
		}
		if o, ok = t.own(ref>>2, true); !ok {
			return 0
		}
		a.Store(link, o<<2|kindNode)
		at++
		path[at] = step{link, o}
	}
	t.fold(k, path[:at+1])
	return old
}

// cut takes item pos out of an owned node, whose maps become p and c.
func (t *Tree) cut(s *step, pos uint32, p, c uint64) {
	a := t.heap.Arena()
	o := s.node
	n := nodeWords(p, c) // after
	at := nodeHeader + pos
	m := o
	if !t.heap.Fits(n+1, n) {
		var ok bool
		if m, ok = t.alloc(n, true); !ok {
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
	t.relink(s.link, m)
	s.node = m
}

// fold brings the tree back into its shape after a removal: a node that holds
// one prefix becomes a leaf or a fringe of the node above, and an empty root
// goes. Where there is no memory for a leaf, the node stays: it is only larger.
func (t *Tree) fold(k Key, path []step) {
	a := t.heap.Arena()
	for i := len(path) - 1; i > 0; i-- {
		o := path[i].node
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
		a.Store(path[i].link, w)
		t.heap.Free(o, nodeWords(p, c))
		if x.leaf != 0 && w&kindMask == kindFringe {
			t.drop(x.leaf, leafWords(x.n))
		}
	}
	if p, c := maps(a, t.root); p|c == 0 {
		t.heap.Free(t.root, nodeHeader)
		t.root = 0
	}
}

// Clear takes everything out, at the cost of a walk over the nodes.
func (t *Tree) Clear() {
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
