package slab

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// ExtentWords is the number of words of an extent, the unit that an Arena
// hands to a Heap and takes back. A run never crosses an extent.
const ExtentWords = 1 << extentBits

const extentBits = 14

// TablePage is the number of words of a Table that begin to take memory
// together.
const TablePage = 1 << tablePageBits

const tablePageBits = 10

// Poison is what freed words hold in builds with -race or -tags invariants.
const Poison = 0xdeadbeef

// fresh is what new runs hold in those builds.
const fresh = 0xfeedface

// Arena is one range of words, shared by the heaps of all writers, so that a
// reference is enough to find a word. The methods that take a reference may be
// called by any goroutine; what they return is as safe as the pin or the
// ownership that the caller has. Reference 0 is never handed out.
type Arena struct {
	memory // base address or chunks, by build

	name    string
	extents uint32 // cap; extent 0 is never handed out
	reserve uint32 // extents kept for AllocReserved

	// live is the words in use of each extent and drain marks those that are
	// being emptied; only the heap that holds an extent touches its entries.
	live  []uint32
	drain []bool

	owner []atomic.Uint32 // number of the heap that holds an extent
	heaps atomic.Uint32   // numbers given out

	mu     sync.Mutex
	static bool     // extent 0 is in use
	next   uint32   // first extent that was never handed out
	free   []uint32 // extents that came back
}

// ArenaStats is what an Arena takes, in words.
type ArenaStats struct {
	Name          string
	ReservedWords uint64 // address space
	ResidentWords uint64 // in extents that heaps hold
}

// NewArena reserves room for maxWords words, rounded up to whole extents, and
// at most 2^32. It panics where the system has no address space at all.
func NewArena(name string, maxWords uint64) *Arena {
	maxWords = min(maxWords, 1<<32-ExtentWords)
	n := max(uint32((maxWords+ExtentWords-1)>>extentBits), 1) + 1
	a := &Arena{name: name, next: 1}
	n, err := a.memory.reserve(n)
	if err != nil {
		panic(fmt.Sprintf("slab: arena %s: no address space: %v (raise the limit of virtual memory)", name, err))
	}
	a.extents = n
	a.reserve = min(max((n-1)/16, 1), 128)
	if n <= 3 {
		a.reserve = 0
	}
	a.live = sideTable[uint32](&a.memory, int(n))
	a.drain = sideTable[bool](&a.memory, int(n))
	a.owner = sideTable[atomic.Uint32](&a.memory, int(n))
	return a
}

// Stats may be called by any goroutine.
func (a *Arena) Stats() ArenaStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ArenaStats{
		Name:          a.name,
		ReservedWords: uint64(a.extents) << extentBits,
		ResidentWords: uint64(a.next-1-uint32(len(a.free))) << extentBits,
	}
}

// Close gives the address space back. No reader or heap may use a after it.
func (a *Arena) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.memory.release()
}

// Static makes the words of the first extent usable, which no heap is given, for
// what all of its users share. Reference 0 stays what it is. It is called before
// anybody reads.
func (a *Arena) Static() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.static {
		a.static = true
		a.memory.commit(0)
	}
}

// Side returns n zero octets outside the Go heap, until the arena is closed.
func (a *Arena) Side(n int) []uint8 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return sideTable[uint8](&a.memory, n)
}

// take hands out an extent; deep may use the reserve.
func (a *Arena) take(heap uint32, deep bool) (extent uint32, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.extents - a.next + uint32(len(a.free))
	if left == 0 || !deep && left <= a.reserve {
		return 0, false
	}
	if n := len(a.free); n > 0 {
		extent = a.free[n-1]
		a.free = a.free[:n-1]
	} else {
		extent = a.next
		a.next++
	}
	a.memory.commit(extent)
	a.owner[extent].Store(heap)
	return extent, true
}

// give takes an extent back and its memory back to the system.
func (a *Arena) give(extent uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owner[extent].Store(0)
	a.live[extent], a.drain[extent] = 0, false
	a.memory.decommit(extent)
	a.free = append(a.free, extent)
}
