package trie

import "math/bits"

// Finger is where a writer was last in one of its trees: the nodes from the
// root down to a prefix. What it asks for or changes next is near by as a rule,
// and the way down begins where the two ways part; a change after a question
// about the same prefix has no way to go at all.
//
// A finger serves any number of trees of one writer, one at a time.
type Finger struct {
	tree  *Tree // nil: nowhere
	k     Key
	depth int // of the last node
	path  [maxLevels]place
}

// place is a node on the way down, and which word of the node above leads to
// it, counted from its first word.
type place struct{ node, link uint32 }

// UseFinger gives the tree a finger that it shares with others. Without, it
// makes one for itself.
func (t *Tree) UseFinger(f *Finger) { t.finger = f }

// forget says that the tree has changed otherwise than along the finger.
func (t *Tree) forget() {
	if t.finger != nil && t.finger.tree == t {
		t.finger.tree = nil
	}
}

// locate puts the finger on the node where k/n is or would be, the last one on
// its way. The tree is not empty.
func (t *Tree) locate(k Key, n uint8) *Finger {
	f := t.finger
	if f == nil {
		f = new(Finger)
		t.finger = f
	}
	level := 0
	if f.tree == t {
		same := bits.LeadingZeros64(k.Hi ^ f.k.Hi)
		if same == 64 {
			same += bits.LeadingZeros64(k.Lo ^ f.k.Lo)
		}
		level = min(f.depth, min(same, int(n))/stride)
	} else {
		f.tree = t
		f.path[0] = place{node: t.root}
	}
	f.k = k
	a, o := t.heap.Arena(), f.path[level].node
	for d := uint8(level) * stride; n-d >= stride; d += stride {
		p, c := maps(a, o)
		b := k.strideAt(d)
		if c>>b&1 == 0 {
			break
		}
		link := nodeHeader + uint32(bits.OnesCount64(p)) + rank(c, b)
		ref := a.Load(o + link)
		if ref&kindMask != kindNode {
			break
		}
		o = ref >> 2
		level++
		f.path[level] = place{o, link}
	}
	f.depth = level
	return f
}

// Find returns the value of exactly k/n, or 0, as Get does, for who may change
// it next. k has no bits after its first n.
func (t *Tree) Find(k Key, n uint8) uint32 {
	if t.root == 0 {
		return 0
	}
	v, _ := t.at(t.locate(k, n), k, n)
	return v
}

// at returns the value of k/n, which locate has looked for, or 0, and the place
// of its item in the last node.
func (t *Tree) at(f *Finger, k Key, n uint8) (v, pos uint32) {
	a, o, d := t.heap.Arena(), f.path[f.depth].node, uint8(f.depth)*stride
	p, c := maps(a, o)
	if n-d < stride {
		i := index(k, d, n)
		pos = rank(p, i)
		if p>>i&1 == 0 {
			return 0, pos
		}
		return a.Load(o + nodeHeader + pos), pos
	}
	b := k.strideAt(d)
	pos = uint32(bits.OnesCount64(p)) + rank(c, b)
	if c>>b&1 == 0 {
		return 0, pos
	}
	ref := a.Load(o + nodeHeader + pos)
	if ref&kindMask == kindFringe {
		if n == d+stride {
			return ref >> 2, pos
		}
		return 0, pos
	}
	if l, ln, val := leafKey(a, ref>>2); ln == n && l == k {
		return val, pos
	}
	return 0, pos
}

// ownPath makes the nodes under the finger this batch's own. A node that is, has
// none above it that is not.
func (t *Tree) ownPath(f *Finger, reserved bool) bool {
	a := t.heap.Arena()
	i := f.depth
	for i >= 0 && a.Load(f.path[i].node) != t.version {
		i--
	}
	for i++; i <= f.depth; i++ {
		m, ok := t.own(f.path[i].node, reserved)
		if !ok {
			return false
		}
		t.replace(f, i, m)
	}
	return true
}

// replace makes m the node at a depth of the finger.
func (t *Tree) replace(f *Finger, depth int, m uint32) {
	f.path[depth].node = m
	if depth == 0 {
		t.root = m
	} else {
		t.heap.Arena().Store(f.path[depth-1].node+f.path[depth].link, m<<2|kindNode)
	}
}
