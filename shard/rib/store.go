package rib

import (
	"bytes"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"ribd/internal/invariants"
	"ribd/internal/slab"
)

const (
	stripeBits = 5
	numStripes = 1 << stripeBits

	localBits = 22 // of a slot of the index; the rest is a tag of the hash
	maxLocal  = 1<<localBits - 2

	maxSlotLocal = 1<<localBits - 1

	slotEmpty = 0
	slotGone  = ^uint32(0) // no local id is that large

	firstProbes  = 24 // slots asked at the place that XXH64 names
	secondProbes = 64 // slots asked at the place that the keyed hash names
	minSlots     = 1 << 10
	fastSlots    = 1 << 13 // where an index of fewer slots grows to

	// maxString is the longest string, so that its run fits an extent.
	maxString = (slab.ExtentWords - 1) * 4
)

// Entry words of every store; the rest of an entry is its user's.
const (
	entryMeta  = iota // state, and the sweep in which the string was last seen
	entryBytes        // reference to the length in octets, then the octets
	entryUser
)

// maxEntry is the words of the largest entry.
const maxEntry = 8

// States of an entry, in the low bits of its meta word; the stamp is above, and
// above that 24 bits of the hash.
const (
	stateFree = iota
	stateLive
	stateEnded // no longer found; octets and id rest until nobody can know them
	stateMask  = 3

	stampShift = 2
	stampMask  = 63 // sweeps are told apart modulo 64
	hashShift  = 8  // the bits of the hash that lead to the first place
)

// store interns byte strings: equal strings have one id. It is striped by
// hash, and the octets are in one arena. An id is local<<stripeBits | stripe.
type store struct {
	words   uint32 // of an entry
	entries *slab.Table
	arena   *slab.Arena
	limit   uint32 // of local ids
	seed    maphash.Seed
	hash    func([]byte) uint64          // XXH64, but for tests
	fill    func(row []uint32, b []byte) // sets the user's words of a new entry
	sweep   atomic.Uint32                // stamp of what is seen now
	top     atomic.Uint32                // local ids in use are below
	refused atomic.Uint64
	stripes [numStripes]stripe
}

type stripe struct {
	mu    sync.Mutex
	index *index // written with mu held
	warm  atomic.Pointer[index]
	past  []*index // that were too small: empty
	used  uint32   // slots that are not empty
	live  uint32
	next  uint32 // local ids from here on were never used
	free  []uint32
	ended []endedString
	moved []movedString // where strings were before
	heap  *slab.Heap
	size  uint64 // octets of live strings
	row   [maxEntry]uint32
	_     [64]byte
}

// index finds strings of a stripe: a slot has a local id and a tag of the hash.
type index struct {
	*slab.Table
	mask uint32
}

func newIndex(slots uint32) *index { return &index{slab.NewTable(slots), slots - 1} }

type endedString struct{ local, at uint32 }

type movedString struct{ ref, words, at uint32 }

// newStore makes a store of at most maxIDs strings in an arena of its own.
func newStore(name string, words, maxIDs uint32, maxWords uint64) *store {
	limit := min(maxIDs>>stripeBits+1, maxLocal)
	s := &store{
		words:   words,
		entries: slab.NewTable((limit + 1) << stripeBits * words),
		arena:   slab.NewArena(name, maxWords),
		limit:   limit,
		seed:    maphash.MakeSeed(),
		hash:    xxhash.Sum64,
	}
	d := slab.NewDomain()
	s.top.Store(1)
	for i := range s.stripes {
		st := &s.stripes[i]
		st.heap = slab.NewHeap(s.arena, d, nil)
		st.index = newIndex(minSlots)
		st.warm.Store(st.index)
		st.next = 1
	}
	return s
}

func (s *store) close() {
	s.entries.Close()
	s.arena.Close()
	for i := range s.stripes {
		st := &s.stripes[i]
		st.index.Close()
		for _, x := range st.past {
			x.Close()
		}
	}
}

// intern returns the id of b, which it copies where it is new.
func (s *store) intern(b []byte) (id uint32, ok bool) { return s.internHashed(b, s.hash(b)) }

// internHashed is intern for who has hashed b.
func (s *store) internHashed(b []byte, h uint64) (id uint32, ok bool) {
	n := uint32(h) & (numStripes - 1)
	st := &s.stripes[n]
	st.mu.Lock()
	local := s.find(st, n, h, b)
	if local == 0 {
		local = s.add(st, n, h, b)
	} else {
		s.touch(local<<stripeBits | n)
	}
	st.mu.Unlock()
	if local == 0 {
		s.refused.Add(1)
		return 0, false
	}
	return local<<stripeBits | n, true
}

// warm loads what internHashed will of strings with these hashes, several at a
// time, so that the memory is asked for all of them at once. Nothing is locked:
// what was read is only worth its way into the cache. sum is of no use.
func (s *store) warm(hs []uint64) (sum uint32) {
	if invariants.Enabled {
		return 0 // the race detector sees the octets of others
	}
	var ids [warmAtOnce]uint32
	for len(hs) > 0 {
		part := hs[:min(len(hs), warmAtOnce)]
		hs = hs[len(part):]
		for i, h := range part {
			x := s.stripes[h&(numStripes-1)].warm.Load()
			w := x.Load(uint32(h>>stripeBits) & x.mask)
			ids[i] = 0
			if w != slotEmpty && w&^maxSlotLocal == tagOf(h) && w&maxSlotLocal <= maxLocal {
				ids[i] = w&maxSlotLocal<<stripeBits | uint32(h)&(numStripes-1)
			}
		}
		for i := range part {
			if ids[i] != 0 {
				ids[i] = s.entries.Load(ids[i]*s.words + entryBytes)
			}
		}
		for i := range part {
			if ids[i] != 0 {
				sum += s.arena.Load(ids[i])
			}
		}
	}
	return sum
}

// warmAtOnce is about as many loads as a core has on their way at a time.
const warmAtOnce = 16

// lookup returns the id of b, or 0 where b is not interned.
func (s *store) lookup(b []byte) uint32 {
	h := s.hash(b)
	n := uint32(h) & (numStripes - 1)
	st := &s.stripes[n]
	st.mu.Lock()
	defer st.mu.Unlock()
	local := s.find(st, n, h, b)
	if local == 0 {
		return 0
	}
	s.touch(local<<stripeBits | n)
	return local<<stripeBits | n
}

// touch notes that the string is in use now, so that a sweep that began before
// keeps it.
func (s *store) touch(id uint32) {
	m := id * s.words
	w := s.entries.Load(m)
	if now := w&^(stampMask<<stampShift|stateMask) | s.sweep.Load()<<stampShift | stateLive; now != w {
		s.entries.Store(m, now)
	}
}

func tagOf(h uint64) uint32 { return uint32(h>>(64-32+localBits)) << localBits }

// find walks the two places where b may be.
func (s *store) find(st *stripe, n uint32, h uint64, b []byte) (local uint32) {
	tag := tagOf(h)
	at := uint32(h >> stripeBits)
	for i := range uint32(firstProbes) {
		w := st.index.Load((at + i) & st.index.mask)
		if w == slotEmpty {
			return 0
		}
		if w&^maxSlotLocal == tag && s.equal(w&maxSlotLocal, n, b) {
			return w & (1<<localBits - 1)
		}
	}
	at = uint32(maphash.Bytes(s.seed, b))
	for i := range uint32(secondProbes) {
		w := st.index.Load((at + i) & st.index.mask)
		if w == slotEmpty {
			return 0
		}
		if w&^maxSlotLocal == tag && s.equal(w&maxSlotLocal, n, b) {
			return w & (1<<localBits - 1)
		}
	}
	return 0
}

func (s *store) equal(local, stripe uint32, b []byte) bool {
	if local > maxLocal {
		return false // slotGone
	}
	return bytes.Equal(s.octets(local<<stripeBits|stripe), b)
}

// octets returns the string of an id that is not free, in place.
func (s *store) octets(id uint32) []byte {
	ref := s.entries.Load(id*s.words + entryBytes)
	n := s.arena.Load(ref)
	if n == 0 {
		return nil
	}
	words := s.arena.Words(ref+1, (n+3)/4)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), n)
}

// bytes returns the string of an id that is in use.
func (s *store) bytes(id uint32) ([]byte, bool) {
	if !s.isLive(id) {
		return nil, false
	}
	return s.octets(id), true
}

func (s *store) isLive(id uint32) bool {
	return id>>stripeBits < s.top.Load() && s.entries.Load(id*s.words+entryMeta)&stateMask == stateLive
}

// add copies b and gives it an id; 0 where a cap is reached. The stripe is
// locked.
func (s *store) add(st *stripe, n uint32, h uint64, b []byte) (local uint32) {
	if len(b) > maxString {
		return 0
	}
	if st.used >= (st.index.mask+1)/10*7 && !s.rehash(st, n) {
		return 0
	}
	switch k := len(st.free); {
	case k > 0:
		local = st.free[k-1]
		st.free = st.free[:k-1]
	case st.next < s.limit:
		local = st.next
		st.next++
		for t := s.top.Load(); t < st.next && !s.top.CompareAndSwap(t, st.next); t = s.top.Load() {
		}
	default:
		return 0
	}
	id := local<<stripeBits | n
	ref, ok := st.heap.Alloc(runWords(len(b)))
	if !ok {
		st.free = append(st.free, local)
		return 0
	}
	s.arena.Store(ref, uint32(len(b)))
	if len(b) > 0 {
		words := s.arena.Words(ref+1, uint32(len(b)+3)/4)
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(b)), b)
	}
	row := &st.row
	row[entryBytes] = ref
	if s.fill != nil {
		s.fill(row[:], b)
	}
	// The rest of the row is there before the index or its state says so.
	s.entries.StoreRow(id*s.words+entryBytes, row[entryBytes:s.words])
	if !s.place(st, local, h, b) && !s.growFor(st, n, local, h, b) {
		st.heap.Free(ref, runWords(len(b)))
		st.free = append(st.free, local)
		return 0
	}
	s.entries.Store(id*s.words+entryMeta, uint32(h>>stripeBits)<<hashShift|s.sweep.Load()<<stampShift|stateLive)
	st.live++
	st.size += uint64(len(b))
	return local
}

func runWords(octets int) uint32 { return 1 + uint32(octets+3)/4 }

// place enters a local id into the index, unless neither place has room.
func (s *store) place(st *stripe, local uint32, h uint64, b []byte) bool {
	at, probes := uint32(h>>stripeBits), uint32(firstProbes)
	for range 2 {
		for i := range probes {
			x := (at + i) & st.index.mask
			w := st.index.Load(x)
			if w != slotEmpty && w != slotGone {
				continue
			}
			if w == slotEmpty {
				st.used++
			}
			st.index.Store(x, tagOf(h)|local)
			return true
		}
		at, probes = uint32(maphash.Bytes(s.seed, b)), secondProbes
	}
	return false
}

// growFor places a local id that found no room in a larger index, if the index
// is not so empty that only a collision made on purpose explains it.
func (s *store) growFor(st *stripe, n, local uint32, h uint64, b []byte) bool {
	return st.used > (st.index.mask+1)/4 && s.rehash(st, n) && s.place(st, local, h, b)
}

// rehash rebuilds a stripe's index without its gone slots; where a quarter of them
// is in use it is made larger: the first time by as much as the sets of a full table
// need, which comes at once.
func (s *store) rehash(st *stripe, n uint32) bool {
	size := st.index.mask + 1
	switch {
	case st.live < size/4:
	case size < fastSlots:
		size = fastSlots
	default:
		size *= 2
	}
	old, used := st.index, st.used
	for ; size <= 1<<24; size *= 2 {
		x := newIndex(size)
		st.index, st.used = x, 0
		switch {
		case !s.refill(st, n, old):
			x.Close()
			st.index, st.used = old, used
			continue
		case x.mask == old.mask:
			old.copy(x)
			x.Close()
			st.index = old
		default:
			// warm may be reading the old one, at any time: only its memory goes.
			st.warm.Store(x)
			old.Empty()
			st.past = append(st.past, old)
		}
		return true
	}
	return false
}

// copy makes an index what another of its size is.
func (x *index) copy(from *index) {
	var row [64]uint32
	for at := uint32(0); at <= x.mask; at += uint32(len(row)) {
		for i := range row {
			row[i] = from.Load(at + uint32(i))
		}
		x.StoreRow(at, row[:])
	}
}

func (s *store) refill(st *stripe, n uint32, old *index) bool {
next:
	for x := uint32(0); x <= old.mask; x++ {
		w := old.Load(x)
		if w == slotEmpty || w == slotGone {
			continue
		}
		id := w&maxSlotLocal<<stripeBits | n
		at := s.entries.Load(id*s.words+entryMeta) >> hashShift
		for i := range uint32(firstProbes) {
			if y := (at + i) & st.index.mask; st.index.Load(y) == slotEmpty {
				st.index.Store(y, w)
				st.used++
				continue next
			}
		}
		b := s.octets(id)
		if !s.place(st, w&maxSlotLocal, s.hash(b), b) {
			return false
		}
	}
	return true
}

// remove takes a string out of the index. The stripe is locked.
func (s *store) remove(st *stripe, n, local uint32) {
	b := s.octets(local<<stripeBits | n)
	h := s.hash(b)
	at, probes := uint32(h>>stripeBits), uint32(firstProbes)
	for range 2 {
		for i := range probes {
			x := (at + i) & st.index.mask
			if st.index.Load(x) == tagOf(h)|local {
				st.index.Store(x, slotGone)
				return
			}
		}
		at, probes = uint32(maphash.Bytes(s.seed, b)), secondProbes
	}
	panic("BUG: rib: an interned string is not in its index")
}

// max bounds the ids in use.
func (s *store) max() uint32 { return s.top.Load() << stripeBits }

// each calls yield with every string in use until it returns false.
func (s *store) each(yield func(id uint32, b []byte) bool) {
	for id, top := uint32(numStripes), s.max(); id < top; id++ {
		if b, ok := s.bytes(id); ok && !yield(id, b) {
			return
		}
	}
}

type storeStats struct {
	live, ended int
	octets      uint64
	memory      uint64
}

func (s *store) stats() (t storeStats) {
	t.memory = s.arena.Stats().ResidentWords*4 + uint64(s.max())*uint64(s.words)*4
	for i := range s.stripes {
		st := &s.stripes[i]
		st.mu.Lock()
		t.live += int(st.live)
		t.ended += len(st.ended)
		t.octets += st.size
		t.memory += uint64(st.index.mask+1)*4 + uint64(cap(st.free))*4 + uint64(cap(st.ended))*8
		st.mu.Unlock()
	}
	return t
}
