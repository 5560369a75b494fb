package trie

import "ribd/internal/slab"

// Handles is one word for each handle: a prefix of the image is known by its
// handle, which stays the same while the word changes. All goroutines may read.
// A handle is a number below 2^31; 0 is none.
type Handles struct {
	arena *slab.Arena
	lens  []uint8 // prefix length of the handles of each granule
}

// Handles are allocated in granules of one prefix length, so that the length of
// a handle is one byte of a small table.
const (
	granuleBits  = 8
	granuleWords = 1 << granuleBits
	maxHandle    = 1<<31 - 1
)

// NewHandles makes handles in an arena of at most 2^31 words.
func NewHandles(a *slab.Arena) *Handles {
	return &Handles{a, a.Side(int(a.Stats().ReservedWords >> granuleBits))}
}

// Load returns the word of a handle that the caller found under its pin.
func (h *Handles) Load(handle uint32) uint32 { return h.arena.LoadAtomic(handle) }

// Store sets the word of a handle; only the writer it belongs to may.
func (h *Handles) Store(handle, word uint32) { h.arena.StoreAtomic(handle, word) }

// Len returns the length of the prefix that a handle was made for.
func (h *Handles) Len(handle uint32) uint8 { return h.lens[handle>>granuleBits] }

// HandleHeap allocates handles for one writer.
type HandleHeap struct {
	handles *Handles
	domain  *slab.Domain
	heap    *slab.Heap

	extents [][]granule // by extent of the arena; nil: of another heap
	avail   [129]uint32 // first granule with room, by prefix length; 0: none
	live    int
	emptied int // granules since the last Trim

	queue   []uint32 // retired, in order, from head on
	head    int
	batches []handleBatch
	open    int
}

// granule is what is known of a granule: its first free handle and its place in
// the list of those that have room.
type granule struct {
	free       uint16 // granuleWords: none
	used       uint16
	prev, next uint32
}

type handleBatch struct {
	epoch   uint64
	handles int
}

const granulesPerExtent = slab.ExtentWords / granuleWords

// NewHandleHeap makes the allocator of one writer.
func NewHandleHeap(h *Handles, d *slab.Domain) *HandleHeap {
	return &HandleHeap{handles: h, domain: d, heap: slab.NewAlignedHeap(h.arena, d, nil, granuleWords)}
}

// Alloc returns a handle for a prefix of length n, with the given word. ok is
// false where the arena is full.
func (h *HandleHeap) Alloc(n uint8, word uint32) (handle uint32, ok bool) {
	id := h.avail[n]
	if id == 0 {
		if id, ok = h.grow(n); !ok {
			return 0, false
		}
	}
	g := h.granule(id)
	handle = id<<granuleBits + uint32(g.free)
	g.free = uint16(h.handles.arena.Load(handle))
	g.used++
	if g.free == granuleWords {
		h.unlink(n, id, g)
	}
	h.live++
	h.handles.Store(handle, word)
	return handle, true
}

func (h *HandleHeap) grow(n uint8) (id uint32, ok bool) {
	ref, ok := h.heap.Alloc(granuleWords)
	if !ok {
		return 0, false
	}
	if ref+granuleWords-1 > maxHandle {
		h.heap.Free(ref, granuleWords)
		return 0, false
	}
	id = ref >> granuleBits
	e := int(id / granulesPerExtent)
	for e >= len(h.extents) {
		h.extents = append(h.extents, nil)
	}
	if h.extents[e] == nil {
		h.extents[e] = make([]granule, granulesPerExtent)
	}
	for i := range uint32(granuleWords) {
		h.handles.arena.Store(ref+i, i+1)
	}
	h.handles.lens[id] = n
	g := h.granule(id)
	*g = granule{}
	h.link(n, id, g)
	return id, true
}

func (h *HandleHeap) granule(id uint32) *granule {
	return &h.extents[id/granulesPerExtent][id%granulesPerExtent]
}

func (h *HandleHeap) link(n uint8, id uint32, g *granule) {
	g.prev, g.next = 0, h.avail[n]
	if g.next != 0 {
		h.granule(g.next).prev = id
	}
	h.avail[n] = id
}

func (h *HandleHeap) unlink(n uint8, id uint32, g *granule) {
	if g.prev != 0 {
		h.granule(g.prev).next = g.next
	} else {
		h.avail[n] = g.next
	}
	if g.next != 0 {
		h.granule(g.next).prev = g.prev
	}
}

// Free gives back a handle that no reader has ever seen.
func (h *HandleHeap) Free(handle uint32) {
	id := handle >> granuleBits
	n := h.handles.lens[id]
	g := h.granule(id)
	if g.free == granuleWords {
		h.link(n, id, g)
	}
	h.handles.arena.StoreAtomic(handle, uint32(g.free))
	g.free = uint16(handle & (granuleWords - 1))
	g.used--
	h.live--
	if g.used == 0 {
		h.unlink(n, id, g)
		h.heap.Free(id<<granuleBits, granuleWords)
		h.emptied++
	}
}

// Retire gives back a handle that the image has just let go of: it is used
// again when no reader can have it.
func (h *HandleHeap) Retire(handle uint32) {
	h.queue = append(h.queue, handle)
	h.open++
}

// Publish ends a batch: slab.Domain.Advance returned epoch after the image was
// changed.
func (h *HandleHeap) Publish(epoch uint64) {
	if h.open > 0 {
		h.batches = append(h.batches, handleBatch{epoch, h.open})
		h.open = 0
	}
}

// Reclaim frees the handles that no reader can have any more, and gives memory
// that holds none back to the system.
func (h *HandleHeap) Reclaim() {
	if len(h.batches) > 0 {
		least := h.domain.Min()
		done := 0
		for done < len(h.batches) && h.batches[done].epoch <= least {
			for range h.batches[done].handles {
				h.Free(h.queue[h.head])
				h.head++
			}
			done++
		}
		h.batches = h.batches[:copy(h.batches, h.batches[done:])]
		if h.head > len(h.queue)/2 {
			h.queue = h.queue[:copy(h.queue, h.queue[h.head:])]
			h.head = 0
		}
	}
	if h.emptied >= granulesPerExtent {
		h.emptied = 0
		h.heap.Trim()
	}
	h.heap.Reclaim()
}

// Live returns the number of handles in use, those that wait included.
func (h *HandleHeap) Live() int { return h.live }

// Stats returns the memory of the granules.
func (h *HandleHeap) Stats() slab.HeapStats { return h.heap.Stats() }
