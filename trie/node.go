package trie

import (
	"math/bits"

	"ribd/internal/slab"
)

// A node is a run of words of one stride of 6 bits:
//
//	stamp | prefixes 64 bits | children 64 bits | values... | children...
//
// Bit i of prefixes, 1 <= i < 64, is the prefix of bits.Len(i)-1 bits within the
// stride whose bits follow the leading one of i: as in a heap, i/2 covers i.
// Bit b of children is the subtree under the stride b. Values and child words
// stand in the order of their bits.
//
// A leaf is a whole prefix whose path holds nothing else:
//
//	stamp | value | length | key words, as many as the length needs
//
// The stamp is the version that the run was born in. Only the writer reads it.
//
// The shape depends on the set of prefixes alone: a child is a node if at least
// two prefixes are under it, a fringe if one is and ends just at the border of
// the stride, and a leaf otherwise. A tree that holds nothing has root 0.
const (
	nodeHeader = 5
	leafHeader = 3
	stride     = 6
	maxLevels  = 22 // of 128 bits
)

// A child word is a reference or a value, and in its low two bits, which.
const (
	kindNode   = 0
	kindLeaf   = 1
	kindFringe = 2
	kindMask   = 3
)

// MaxValue is the largest value that a prefix can have; the least is 1.
const MaxValue = 1<<30 - 1

// maxRef bounds the words of an arena that a child word can lead to.
const maxRef = 1 << 30

// ancestors[b] is the prefixes of a node that cover the stride b.
var ancestors = func() (t [64]uint64) {
	for b := range t {
		for i := (b | 64) >> 1; i > 0; i >>= 1 {
			t[b] |= 1 << i
		}
	}
	return
}()

// rank counts the bits of m below bit b.
func rank(m uint64, b uint) uint32 { return uint32(bits.OnesCount64(m & (1<<(b&63) - 1))) }

// strideAt returns the 6 bits of k from bit d on.
func (k Key) strideAt(d uint8) uint {
	if d <= 58 {
		return uint(k.Hi << d >> 58)
	}
	if d >= 64 {
		return uint(k.Lo << (d - 64) >> 58)
	}
	return uint(k.Hi<<d>>58 | k.Lo>>(122-d))
}

// withStride returns k, which is zero from bit d on, with b as the bits d..d+6.
func (k Key) withStride(d uint8, b uint) Key {
	x := uint64(b) << 58
	if d < 64 {
		k.Hi |= x >> d
		if d > 58 {
			k.Lo |= x << (64 - d)
		}
	} else {
		k.Lo |= x >> (d - 64)
	}
	return k
}

// index returns the bit of the prefix k/n in a node at depth d, n-d < 6.
func index(k Key, d, n uint8) uint {
	return 1<<(n-d) | k.strideAt(d)>>(stride-(n-d))
}

// unindex is the reverse of index for a node whose path is k.
func unindex(k Key, d uint8, i uint) (Key, uint8) {
	n := uint8(bits.Len(i)) - 1
	return k.withStride(d, (i-1<<n)<<(stride-n)), d + n
}

func maps(a *slab.Arena, o uint32) (p, c uint64) {
	return a.Load64(o + 1), a.Load64(o + 3)
}

func nodeWords(p, c uint64) uint32 {
	return nodeHeader + uint32(bits.OnesCount64(p)) + uint32(bits.OnesCount64(c))
}

// leafWords returns the size of a leaf of length n.
func leafWords(n uint8) uint32 { return leafHeader + max(uint32(n)+31, 32)/32 }

// leafKey returns the prefix and the value of a leaf.
func leafKey(a *slab.Arena, o uint32) (k Key, n uint8, v uint32) {
	n = uint8(a.Load(o + 2))
	k.Hi = uint64(a.Load(o+3)) << 32
	if n > 32 {
		k.Hi |= uint64(a.Load(o + 4))
	}
	if n > 64 {
		k.Lo = uint64(a.Load(o+5)) << 32
	}
	if n > 96 {
		k.Lo |= uint64(a.Load(o + 6))
	}
	return k, n, a.Load(o + 1)
}

func setLeaf(a *slab.Arena, o, stamp uint32, k Key, n uint8, v uint32) {
	w := a.Words(o, leafWords(n))
	w[0], w[1], w[2], w[3] = stamp, v, uint32(n), uint32(k.Hi>>32)
	if n > 32 {
		w[4] = uint32(k.Hi)
	}
	if n > 64 {
		w[5] = uint32(k.Lo >> 32)
	}
	if n > 96 {
		w[6] = uint32(k.Lo)
	}
}

// leafCovers says whether the leaf's prefix, of length n, holds k.
func leafCovers(a *slab.Arena, o uint32, n uint8, k Key) bool {
	if n <= 32 {
		return (a.Load(o+3)^uint32(k.Hi>>32))>>(32-n) == 0
	}
	l, _, _ := leafKey(a, o)
	return l == k.Mask(n)
}
