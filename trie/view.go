package trie

import (
	"math/bits"

	"ribd/internal/slab"
)

// View reads the tree that a root leads to, which stays as it is: a batch that
// comes later copies what it changes. It borrows the tree's memory: use it
// under a pin, or while its version is held. Any number of goroutines may share
// one. The zero View is empty.
type View struct {
	arena *slab.Arena
	root  uint32
	width uint8
}

// Entry is a prefix that covers a key, known by its length.
type Entry struct {
	Len   uint8
	Value uint32
}

// NewView opens the tree of the given width in bits at root.
func NewView(a *slab.Arena, root uint32, width uint8) View { return View{a, root, width} }

// Get returns the value of exactly k/n, or 0.
func (v View) Get(k Key, n uint8) uint32 {
	if v.root == 0 || n > v.width {
		return 0
	}
	a, o := v.arena, v.root
	for d := uint8(0); ; d += stride {
		p, c := maps(a, o)
		if n-d < stride {
			i := index(k, d, n)
			if p>>i&1 == 0 {
				return 0
			}
			return a.Load(o + nodeHeader + rank(p, i))
		}
		b := k.strideAt(d)
		if c>>b&1 == 0 {
			return 0
		}
		ref := a.Load(o + nodeHeader + uint32(bits.OnesCount64(p)) + rank(c, b))
		o = ref >> 2
		switch ref & kindMask {
		case kindFringe:
			if n == d+stride {
				return o
			}
			return 0
		case kindLeaf:
			if l, ln, val := leafKey(a, o); ln == n && l == k.Mask(n) {
				return val
			}
			return 0
		}
	}
}

// Match returns the value and the length of the longest prefix of at most
// maxLen bits that holds k, or 0 for none.
func (v View) Match(k Key, maxLen uint8) (val uint32, n uint8) {
	if v.root == 0 {
		return 0, 0
	}
	a, o := v.arena, v.root
	hi, lo := k.Hi, k.Lo
	left := int(maxLen)
	d := uint8(0)
	at := uint32(0) // word of the value of the best so far
	for {
		p, c := maps(a, o)
		b := uint(hi >> 58)
		m := p & ancestors[b]
		if left < stride-1 {
			m &= 1<<(2<<left&63) - 1
		}
		if m != 0 {
			i := 63 - uint(bits.LeadingZeros64(m))
			at = o + nodeHeader + rank(p, i)
			n = d + uint8(bits.Len(i)) - 1
		}
		left -= stride
		if left < 0 || c>>b&1 == 0 {
			break
		}
		ref := a.Load(o + nodeHeader + uint32(bits.OnesCount64(p)) + rank(c, b))
		o = ref >> 2
		d += stride
		if ref&kindMask == kindNode {
			hi, lo = hi<<stride|lo>>(64-stride), lo<<stride
			continue
		}
		if ref&kindMask == kindFringe {
			return o, d
		}
		if l := uint8(a.Load(o + 2)); l <= maxLen && leafCovers(a, o, l, k) {
			return a.Load(o + 1), l
		}
		break
	}
	if at == 0 {
		return 0, 0
	}
	return a.Load(at), n
}

// Covering appends the prefixes of at most maxLen bits that hold k to dst, the
// shortest first, and returns it.
func (v View) Covering(k Key, maxLen uint8, dst []Entry) []Entry {
	if v.root == 0 {
		return dst
	}
	a, o := v.arena, v.root
	for d := uint8(0); d <= maxLen; {
		p, c := maps(a, o)
		b := k.strideAt(d)
		m := p & ancestors[b]
		if maxLen-d < stride-1 {
			m &= 1<<(2<<(maxLen-d)) - 1
		}
		for ; m != 0; m &= m - 1 {
			i := uint(bits.TrailingZeros64(m))
			dst = append(dst, Entry{d + uint8(bits.Len(i)) - 1, a.Load(o + nodeHeader + rank(p, i))})
		}
		if d += stride; d > maxLen || c>>b&1 == 0 {
			break
		}
		ref := a.Load(o + nodeHeader + uint32(bits.OnesCount64(p)) + rank(c, b))
		o = ref >> 2
		if ref&kindMask == kindNode {
			continue
		}
		if ref&kindMask == kindFringe {
			return append(dst, Entry{d, o})
		}
		if l := uint8(a.Load(o + 2)); l <= maxLen && leafCovers(a, o, l, k) {
			dst = append(dst, Entry{l, a.Load(o + 1)})
		}
		break
	}
	return dst
}

// Cursor returns a cursor before the first prefix of v.
func (v View) Cursor() Cursor {
	c := Cursor{view: v}
	c.Seek(Key{}, 0)
	return c
}
