package slab

// ExtentWords is the number of words of an extent, the unit that an Arena
// hands to a Heap and takes back. A run never crosses an extent.
const ExtentWords = 1 << extentBits

const extentBits = 14

// Poison is what freed words hold in builds with -race or -tags invariants.
const Poison = 0xdeadbeef
