//go:build !(linux || darwin) || race || invariants

package slab

import (
	"sync/atomic"
	"unsafe"
)

// memory is a chunk of Go memory for each extent in use, behind a table that
// never moves. A reader of an extent that went back meets a nil pointer.
type memory struct {
	chunks []atomic.Pointer[[ExtentWords]uint32]
}

func (m *memory) reserve(n uint32) (uint32, error) {
	m.chunks = make([]atomic.Pointer[[ExtentWords]uint32], n)
	return n, nil
}

func (m *memory) release() { m.chunks = nil }

func sideTable[T any](_ *memory, n int) []T { return make([]T, n) }

func (m *memory) commit(extent uint32) { m.chunks[extent].Store(new([ExtentWords]uint32)) }

func (m *memory) decommit(extent uint32) { m.chunks[extent].Store(nil) }

func (m *memory) word(ref uint32) *uint32 {
	return &m.chunks[ref>>extentBits].Load()[ref&(ExtentWords-1)]
}

// Pointer returns the address of the word at ref; the words of its run follow.
func (a *Arena) Pointer(ref uint32) unsafe.Pointer { return unsafe.Pointer(a.word(ref)) }

// Reader is what a reader needs of an Arena to follow references: a copy of it
// saves a load on each look-up.
type Reader struct{ memory }

// Reader returns the arena for reading, until it is closed.
func (a *Arena) Reader() Reader { return Reader{a.memory} }

// Pointer is as Arena.Pointer.
func (r *Reader) Pointer(ref uint32) unsafe.Pointer { return unsafe.Pointer(r.word(ref)) }

// Words returns the n words at ref, in place.
func (a *Arena) Words(ref, n uint32) []uint32 {
	at := ref & (ExtentWords - 1)
	return a.chunks[ref>>extentBits].Load()[at : at+n : at+n]
}

// Load returns the word at ref, which nobody writes meanwhile.
func (a *Arena) Load(ref uint32) uint32 { return *a.word(ref) }

// Store sets the word at ref, which nobody else reads yet.
func (a *Arena) Store(ref, w uint32) { *a.word(ref) = w }

// Load64 returns the two words at ref, the first one low.
func (a *Arena) Load64(ref uint32) uint64 {
	p := a.Words(ref, 2)
	return uint64(p[0]) | uint64(p[1])<<32
}

// Store64 sets the two words at ref.
func (a *Arena) Store64(ref uint32, w uint64) {
	p := a.Words(ref, 2)
	p[0], p[1] = uint32(w), uint32(w>>32)
}

// LoadAtomic returns the word at ref, which its writer may be replacing.
func (a *Arena) LoadAtomic(ref uint32) uint32 { return atomic.LoadUint32(a.word(ref)) }

// StoreAtomic replaces the word at ref under readers.
func (a *Arena) StoreAtomic(ref, w uint32) { atomic.StoreUint32(a.word(ref), w) }

// Table is a large array of words, zero until stored, of which only the pages
// in use take memory. Its words are read and written atomically.
type Table struct {
	chunks []atomic.Pointer[[1 << tablePageBits]uint32]
}

// NewTable makes a table of n words.
func NewTable(n uint32) *Table {
	return &Table{make([]atomic.Pointer[[1 << tablePageBits]uint32], (uint64(n)+1<<tablePageBits-1)>>tablePageBits)}
}

// Load returns word i, which is below the size of the table.
func (t *Table) Load(i uint32) uint32 {
	c := t.chunks[i>>tablePageBits].Load()
	if c == nil {
		return 0
	}
	return atomic.LoadUint32(&c[i&(1<<tablePageBits-1)])
}

// Store sets word i.
func (t *Table) Store(i, w uint32) {
	p := &t.chunks[i>>tablePageBits]
	c := p.Load()
	if c == nil {
		if w == 0 {
			return
		}
		c = new([1 << tablePageBits]uint32)
		if !p.CompareAndSwap(nil, c) {
			c = p.Load()
		}
	}
	atomic.StoreUint32(&c[i&(1<<tablePageBits-1)], w)
}

// StoreRow sets the words from i on, which lie in one page of TablePage words, and
// which nobody reads before an atomic store tells of them.
func (t *Table) StoreRow(i uint32, row []uint32) {
	for j, w := range row {
		t.Store(i+uint32(j), w)
	}
}

// Used says whether the page of TablePage words that holds word i was ever
// stored to.
func (t *Table) Used(i uint32) bool { return t.chunks[i>>tablePageBits].Load() != nil }

// Empty makes all words zero and lets the memory go.
func (t *Table) Empty() {
	for i := range t.chunks {
		t.chunks[i].Store(nil)
	}
}

// Close lets the memory go; nobody may use t after it.
func (t *Table) Close() { t.chunks = nil }
