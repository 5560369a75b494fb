package trie

import "math/bits"

// Cursor walks the prefixes of a View by address, and from short to long where
// addresses are equal. It is a value of fixed size and borrows what its View
// borrows; a copy goes on by itself from where it was made.
//
//	for c := v.Cursor(); c.Next(); {
//		use(c.Key(), c.Len(), c.Value())
//	}
type Cursor struct {
	view  View
	depth int // frames in use

	key   Key
	value uint32
	len   uint8

	bounded  bool
	under    Key
	underLen uint8

	path  Key // of the last frame
	stack [maxLevels]frame
}

// frame is a node whose items are not all walked yet.
type frame struct {
	node     uint32
	prefixes uint64 // still to come, in the order of walking
	children uint64 // still to come
}

// walkOrder has the prefixes of a node by address and then length; walkPlace is
// its reverse, and walkStart the first stride that a prefix covers.
var walkOrder, walkPlace, walkStart = func() (order, place, start [64]uint8) {
	at := uint8(0)
	var visit func(i int)
	visit = func(i int) {
		if i < 64 {
			n := bits.Len(uint(i)) - 1
			order[at], place[i] = uint8(i), at
			start[i] = uint8((i - 1<<n) << (stride - n))
			at++
			visit(2 * i)
			visit(2*i + 1)
		}
	}
	visit(1)
	return
}()

// after[b] is the places of the prefixes that start after the stride b.
var after = func() (t [64]uint64) {
	for b := range t {
		for i := 1; i < 64; i++ {
			if int(walkStart[i]) > b {
				t[b] |= 1 << walkPlace[i]
			}
		}
	}
	return
}()

// Under bounds the cursor to k/n and what it covers, and puts it at their start.
func (c *Cursor) Under(k Key, n uint8) {
	c.bounded, c.under, c.underLen = true, k.Mask(n), n
	c.Seek(c.under, n)
}

// Seek puts the cursor so that Next goes to the first prefix at or after k/n,
// where k has no bits after its first n. Bounds that Under set stay.
func (c *Cursor) Seek(k Key, n uint8) {
	if c.bounded {
		if o := k.Compare(c.under); o < 0 || o == 0 && n < c.underLen {
			k, n = c.under, c.underLen
		}
	}
	c.depth, c.path = 0, Key{}
	if c.view.root == 0 {
		return
	}
	a := c.view.arena
	c.push(c.view.root, Key{})
	for d := uint8(0); ; d += stride {
		f := &c.stack[c.depth-1]
		if n-d < stride {
			i := index(k, d, n)
			f.prefixes &= ^uint64(0) << walkPlace[i]
			f.children &= ^uint64(0) << walkStart[i]
			return
		}
		b := k.strideAt(d)
		f.prefixes &= after[b]
		f.children &= ^uint64(0) << b
		if f.children>>b&1 == 0 {
			return
		}
		p, m := maps(a, f.node)
		ref := a.Load(f.node + nodeHeader + uint32(bits.OnesCount64(p)) + rank(m, b))
		switch ref & kindMask {
		case kindNode:
			f.children &^= 1 << b
			c.push(ref>>2, c.path.withStride(d, b))
			continue
		case kindLeaf:
			l, ln, _ := leafKey(a, ref>>2)
			if o := l.Compare(k); o < 0 || o == 0 && ln < n {
				f.children &^= 1 << b
			}
		case kindFringe:
			// The fringe's length is d+6 <= n, so it comes before k/n
			// unless it is k/n.
			l := c.path.withStride(d, b)
			if o := l.Compare(k); o < 0 || o == 0 && d+stride < n {
				f.children &^= 1 << b
			}
		}
		return
	}
}

func (c *Cursor) push(node uint32, path Key) {
	f := &c.stack[c.depth]
	c.depth++
	c.path = path
	p, m := maps(c.view.arena, node)
	f.node, f.children, f.prefixes = node, m, 0
	for ; p != 0; p &= p - 1 {
		f.prefixes |= 1 << walkPlace[bits.TrailingZeros64(p)]
	}
}

// Next goes to the next prefix, and returns false after the last.
func (c *Cursor) Next() bool {
	a := c.view.arena
	for c.depth > 0 {
		f := &c.stack[c.depth-1]
		d := uint8(c.depth-1) * stride
		b := uint(bits.TrailingZeros64(f.children)) // 64: none
		if f.prefixes != 0 {
			place := bits.TrailingZeros64(f.prefixes)
			i := uint(walkOrder[place])
			if uint(walkStart[i]) <= b {
				f.prefixes &= f.prefixes - 1
				p, _ := maps(a, f.node)
				c.value = a.Load(f.node + nodeHeader + rank(p, i))
				c.key, c.len = unindex(c.path, d, i)
				return c.within()
			}
		}
		if b == 64 {
			c.depth--
			if c.depth > 0 {
				c.path = c.path.Mask(d - stride)
			}
			continue
		}
		f.children &= f.children - 1
		p, m := maps(a, f.node)
		ref := a.Load(f.node + nodeHeader + uint32(bits.OnesCount64(p)) + rank(m, b))
		switch ref & kindMask {
		case kindNode:
			c.push(ref>>2, c.path.withStride(d, b))
			continue
		case kindLeaf:
			c.key, c.len, c.value = leafKey(a, ref>>2)
		default:
			c.key, c.len, c.value = c.path.withStride(d, b), d+stride, ref>>2
		}
		return c.within()
	}
	return false
}

// within ends the walk where it leaves what Under asked for.
func (c *Cursor) within() bool {
	if c.bounded && (c.len < c.underLen || !c.under.covers(c.underLen, c.key)) {
		c.depth = 0
		return false
	}
	return true
}

// Key returns the address bits of the prefix that the cursor is at.
func (c *Cursor) Key() Key { return c.key }

// Len returns its length.
func (c *Cursor) Len() uint8 { return c.len }

// Value returns its value.
func (c *Cursor) Value() uint32 { return c.value }
