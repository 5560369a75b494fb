//go:build (linux || darwin) && !race && !invariants

package slab

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory is one reserved mapping; it grows by being touched and never moves.
type memory struct {
	base unsafe.Pointer
	raw  []byte
	side [][]byte // see sideTable
}

func reserveBytes(n uint64) ([]byte, error) {
	return unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
}

// reserve asks for n extents, and for half as many until the system agrees.
func (m *memory) reserve(n uint32) (uint32, error) {
	for {
		raw, err := reserveBytes(uint64(n) * ExtentWords * 4)
		if err == nil {
			m.raw, m.base = raw, unsafe.Pointer(unsafe.SliceData(raw))
			return n, nil
		}
		if n < 4 {
			return 0, err
		}
		n /= 2
	}
}

func (m *memory) release() {
	if m.raw != nil {
		_ = unix.Munmap(m.raw) // nothing to be done about an address that is no mapping
		m.raw, m.base = nil, nil
	}
	for _, b := range m.side {
		_ = unix.Munmap(b)
	}
	m.side = nil
}

// sideTable returns n zero values of a type without pointers, until m is
// released. They are large and mostly never touched: on Go's heap they would
// count as live, and as much garbage as is live may stay.
func sideTable[T any](m *memory, n int) []T {
	var t T
	b, err := reserveBytes(uint64(n) * uint64(unsafe.Sizeof(t)))
	if err != nil {
		return make([]T, n)
	}
	m.side = append(m.side, b)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

func (m *memory) commit(uint32) {}

func (m *memory) decommit(extent uint32) {
	const size = ExtentWords * 4
	_ = unix.Madvise(m.raw[uint64(extent)*size:][:size], unix.MADV_DONTNEED) // advice
}

func (m *memory) word(ref uint32) *uint32 {
	return (*uint32)(unsafe.Add(m.base, uintptr(ref)<<2))
}

// Pointer returns the address of the word at ref; the words of its run follow.
func (a *Arena) Pointer(ref uint32) unsafe.Pointer {
	return unsafe.Add(a.base, uintptr(ref)<<2)
}

// Reader is what a reader needs of an Arena to follow references: a copy of it
// saves a load on each look-up.
type Reader struct{ base unsafe.Pointer }

// Reader returns the arena for reading, until it is closed.
func (a *Arena) Reader() Reader { return Reader{a.base} }

// Pointer is as Arena.Pointer.
func (r Reader) Pointer(ref uint32) unsafe.Pointer {
	return unsafe.Add(r.base, uintptr(ref)<<2)
}

// Words returns the n words at ref, in place.
func (a *Arena) Words(ref, n uint32) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Add(a.base, uintptr(ref)<<2)), n)
}

// Load returns the word at ref, which nobody writes meanwhile.
func (a *Arena) Load(ref uint32) uint32 { return *a.word(ref) }

// Store sets the word at ref, which nobody else reads yet.
func (a *Arena) Store(ref, w uint32) { *a.word(ref) = w }

// Load64 returns the two words at ref, the first one low.
func (a *Arena) Load64(ref uint32) uint64 {
	p := (*[2]uint32)(unsafe.Add(a.base, uintptr(ref)<<2))
	return uint64(p[0]) | uint64(p[1])<<32
}

// Store64 sets the two words at ref.
func (a *Arena) Store64(ref uint32, w uint64) {
	p := (*[2]uint32)(unsafe.Add(a.base, uintptr(ref)<<2))
	p[0], p[1] = uint32(w), uint32(w>>32)
}

// LoadAtomic returns the word at ref, which its writer may be replacing.
func (a *Arena) LoadAtomic(ref uint32) uint32 { return atomic.LoadUint32(a.word(ref)) }

// StoreAtomic replaces the word at ref under readers.
func (a *Arena) StoreAtomic(ref, w uint32) { atomic.StoreUint32(a.word(ref), w) }

// Table is a large array of words, zero until stored, of which only the pages
// in use take memory. Its words are read and written atomically.
type Table struct {
	base unsafe.Pointer
	raw  []byte
	used []atomic.Uint32 // a bit a page
}

// NewTable reserves a table of n words. It panics where the system has no
// address space for it.
func NewTable(n uint32) *Table {
	raw, err := reserveBytes(uint64(n) * 4)
	if err != nil {
		panic("slab: no address space for a table (raise the limit of virtual memory): " + err.Error())
	}
	return &Table{unsafe.Pointer(unsafe.SliceData(raw)), raw, make([]atomic.Uint32, (uint64(n)+32*TablePage-1)/(32*TablePage))}
}

// Load returns word i, which is below the size of the table.
func (t *Table) Load(i uint32) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Add(t.base, uintptr(i)<<2)))
}

// Store sets word i.
func (t *Table) Store(i, w uint32) {
	t.use(i)
	atomic.StoreUint32((*uint32)(unsafe.Add(t.base, uintptr(i)<<2)), w)
}

// StoreRow sets the words from i on, which lie in one page of TablePage words, and
// which nobody reads before an atomic store tells of them: it costs no more than
// a copy.
func (t *Table) StoreRow(i uint32, row []uint32) {
	t.use(i)
	copy(unsafe.Slice((*uint32)(unsafe.Add(t.base, uintptr(i)<<2)), len(row)), row)
}

// Used says whether the page of TablePage words that holds word i was ever
// stored to.
func (t *Table) Used(i uint32) bool {
	page := i / TablePage
	return t.used[page/32].Load()>>(page%32)&1 != 0
}

// use notes that word i is stored to.
func (t *Table) use(i uint32) {
	page := i / TablePage
	if p, bit := &t.used[page/32], uint32(1)<<(page%32); p.Load()&bit == 0 {
		p.Or(bit)
	}
}

// Empty makes all words zero and gives the memory back. Who reads meanwhile sees
// a word as it was or zero.
func (t *Table) Empty() {
	_ = unix.Madvise(t.raw, unix.MADV_DONTNEED) // what it was stays readable
	for i := range t.used {
		t.used[i].Store(0)
	}
}

// Close gives the memory back; nobody may use t after it.
func (t *Table) Close() {
	if t.raw != nil {
		_ = unix.Munmap(t.raw)
		t.raw, t.base = nil, nil
	}
}
