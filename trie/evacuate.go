package trie

import "math/bits"

// Position is how far a pass over a table has come: what lies before Key is
// done. The zero Position is the start.
type Position struct{ Key Key }

// Evacuate is a piece of a pass that moves the tree's runs out of the extents
// that slab.Heap.Drain has marked. It is part of a batch, looks at about budget
// runs from the position on, and returns where the next piece goes on, or done.
// Without memory for the copies it is done early.
func (t *Tree) Evacuate(from Position, budget int) (next Position, done bool) {
	t.forget()
	e := evacuation{t: t, at: from.Key, budget: max(budget, 4*maxLevels)}
	for t.root != 0 && e.find(t.root, 0, Key{}) {
		if e.budget <= 0 {
			return Position{e.at}, false
		}
		if !t.move(e.at, e.depth, e.leaf) {
			break
		}
	}
	return Position{}, true
}

// evacuation looks for runs to move. A run is known by a key under it, its
// depth, and whether it is a leaf.
type evacuation struct {
	t      *Tree
	at     Key // what lies before it is done
	budget int

	depth uint8
	leaf  bool
}

// find goes on from e.at to the next run that has to move, at or under node o,
// or to where the budget ends; it returns false after the last run.
func (e *evacuation) find(o uint32, d uint8, path Key) bool {
	a := e.t.heap.Arena()
	e.budget--
	if e.t.heap.Sparse(o) {
		if path.Compare(e.at) > 0 {
			e.at = path
		}
		e.depth, e.leaf = d, false
		return true
	}
	p, c := maps(a, o)
	first := uint(0)
	if path == e.at.Mask(d) {
		first = e.at.strideAt(d)
	}
	pos := o + nodeHeader + uint32(bits.OnesCount64(p)) + rank(c, first)
	for c &= ^uint64(0) << first; c != 0; c &= c - 1 {
		b := uint(bits.TrailingZeros64(c))
		below := path.withStride(d, b)
		if e.budget <= 0 {
			if below.Compare(e.at) > 0 {
				e.at = below
			}
			return true
		}
		switch ref := a.Load(pos); ref & kindMask {
		case kindNode:
			if e.find(ref>>2, d+stride, below) {
				return true
			}
		case kindLeaf:
			e.budget--
			if e.t.heap.Sparse(ref >> 2) {
				if below.Compare(e.at) > 0 {
					e.at = below
				}
				e.depth, e.leaf = d+stride, true
				return true
			}
		}
		pos++
	}
	return false
}

// move copies the run at depth that k leads to, and the nodes above it that are
// not of this batch.
func (t *Tree) move(k Key, depth uint8, leaf bool) bool {
	a := t.heap.Arena()
	o, link := t.root, uint32(0)
	for d := uint8(0); ; d += stride {
		if leaf && d == depth {
			n := leafWords(uint8(a.Load(o + 2)))
			m, ok := t.copyOf(o, n)
			if ok {
				a.Store(link, m<<2|kindLeaf)
			}
			return ok
		}
		m, ok := t.own(o, false)
		if ok && d == depth && t.heap.Sparse(m) {
			p, c := maps(a, m)
			m, ok = t.copyOf(m, nodeWords(p, c))
		}
		if !ok {
			return false
		}
		t.relink(link, m)
		o = m
		if !leaf && d == depth {
			return true
		}
		p, c := maps(a, o)
		link = o + nodeHeader + uint32(bits.OnesCount64(p)) + rank(c, k.strideAt(d))
		o = a.Load(link) >> 2
	}
}

// copyOf puts a copy of the run o of n words, born in this batch, in its place.
func (t *Tree) copyOf(o, n uint32) (m uint32, ok bool) {
	if m, ok = t.alloc(n, false, false); !ok {
		return o, false
	}
	a := t.heap.Arena()
	copy(a.Words(m, n), a.Words(o, n))
	a.Store(m, t.version)
	t.drop(o, n)
	return m, true
}

// relink makes the word link lead to node o; 0 is the root.
func (t *Tree) relink(link, o uint32) {
	if link == 0 {
		t.root = o
	} else {
		t.heap.Arena().Store(link, o<<2|kindNode)
	}
}
