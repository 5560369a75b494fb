package slab

import "math/bits"

// Runs are counted in units of the heap. Up to 16 units each size is a class;
// above, a doubling has eight classes, so that rounding up wastes at most an
// eighth.
const (
	smallUnits = 16
	numClasses = smallUnits + 10*8 // up to 2^14 units
)

// classOf returns the class of runs of u units, 1 <= u <= ExtentWords.
func classOf(u uint32) int {
	if u <= smallUnits {
		return int(u) - 1
	}
	k := bits.Len32(u - 1)
	return smallUnits + (k-5)*8 + int((u-1)>>(k-4)) - 8
}

// classUnits returns the size of a class's runs in units.
func classUnits(c int) uint32 {
	if c < smallUnits {
		return uint32(c) + 1
	}
	c -= smallUnits
	k := c/8 + 5
	return uint32(c%8+9) << (k - 4)
}

// floorClass returns the largest class whose runs fit into u units.
func floorClass(u uint32) int {
	c := classOf(u)
	if classUnits(c) > u {
		c--
	}
	return c
}
