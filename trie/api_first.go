package trie

import "ribd/internal/slab"

type Tree struct{}

func NewTree(h *slab.Heap, width uint8) *Tree                      { return &Tree{} }
func OpenTree(h *slab.Heap, width uint8, root uint32) Tree         { return Tree{} }
func (t *Tree) Begin(version uint32)                               {}
func (t *Tree) Get(k Key, n uint8) uint32                          { panic("first version") }
func (t *Tree) Set(k Key, n uint8, v uint32) (old uint32, ok bool) { panic("first version") }

// Delete uses the heap's reserve; should even that be gone (a long view holds it), it returns 0 and changes nothing: Get still finds the value.
func (t *Tree) Delete(k Key, n uint8) (old uint32)            { panic("first version") }
func (t *Tree) Match(k Key, maxLen uint8) (v uint32, n uint8) { panic("first version") }
func (t *Tree) Root() uint32                                  { panic("first version") } // 0: empty
func (t *Tree) View() View                                    { panic("first version") } // writer's own, not yet published
func (t *Tree) Clear()                                        {}
func (t *Tree) Restamp()                                      {} // every node's birth becomes 0; with Heap.Rebase and Holds.Rebase, version numbers start again at 1

// Position is where an evacuation or restamp stands; zero: at the start.
type Position struct {
	Key Key
	Len uint8
}

// Evacuate rewrites up to budget nodes that sit in extents marked by Heap.Drain, inside a batch; go on from next until done.
func (t *Tree) Evacuate(from Position, budget int) (next Position, done bool) { panic("first version") }

type Entry struct {
	Len   uint8
	Value uint32
}

type View struct{}

func NewView(a *slab.Arena, root uint32, width uint8) View       { return View{} }
func (v View) Get(k Key, n uint8) uint32                         { panic("first version") }
func (v View) Match(k Key, maxLen uint8) (val uint32, n uint8)   { panic("first version") }
func (v View) Covering(k Key, maxLen uint8, dst []Entry) []Entry { panic("first version") }
func (v View) Cursor() Cursor                                    { return Cursor{} }

type Cursor struct{}

func (c *Cursor) Seek(k Key, n uint8)  {} // the next Next finds the first prefix at or after k/n
func (c *Cursor) Under(k Key, n uint8) {} // only k/n and what it covers, from its start
func (c *Cursor) Next() bool           { return false }
func (c *Cursor) Key() Key             { return Key{} }
func (c *Cursor) Len() uint8           { return 0 }
func (c *Cursor) Value() uint32        { return 0 }

type Handles struct{}

func NewHandles(a *slab.Arena) *Handles      { return &Handles{} }
func (h *Handles) Load(handle uint32) uint32 { panic("first version") } // the word (atomic); hot
func (h *Handles) Store(handle, word uint32) {}                         // atomic
func (h *Handles) Len(handle uint32) uint8   { panic("first version") } // prefix length, one byte load

type HandleHeap struct{} // one writer's

func NewHandleHeap(h *Handles, d *slab.Domain) *HandleHeap                { return &HandleHeap{} }
func (h *HandleHeap) Alloc(n uint8, word uint32) (handle uint32, ok bool) { panic("first version") } // n: prefix length
func (h *HandleHeap) Free(handle uint32)                                  {}                         // never published
func (h *HandleHeap) Retire(handle uint32)                                {}                         // after Image Delete; reused after grace
func (h *HandleHeap) Publish(epoch uint64)                                {}
func (h *HandleHeap) Reclaim()                                            {}
func (h *HandleHeap) Live() int                                           { return 0 }
func (h *HandleHeap) Stats() slab.HeapStats                               { return slab.HeapStats{} }

type Image4 struct{}

func NewImage4(nodes *slab.Arena, hs *Handles) *Image4  { return &Image4{} }
func (m *Image4) Lookup(a uint32) (handle uint32)       { panic("first version") }
func (m *Image4) LookupBatch(as []uint32, out []uint32) {}
func (m *Image4) Writer(h *slab.Heap) *ImageWriter      { return &ImageWriter{} }

type Image6 struct{}

func NewImage6(nodes *slab.Arena, hs *Handles) *Image6      { return &Image6{} }
func (m *Image6) Lookup(hi, lo uint64) (handle uint32)      { panic("first version") }
func (m *Image6) LookupBatch(hi, lo []uint64, out []uint32) {}
func (m *Image6) Writer(h *slab.Heap) *ImageWriter          { return &ImageWriter{} }

// ImageWriter: one shard's. IPv4 prefixes shorter than 12 bits and IPv6 prefixes shorter than 24 bits go to the roof tables by themselves (only the roof's writer may give them).
type ImageWriter struct{}

func (w *ImageWriter) Insert(k Key, n uint8, handle uint32) bool    { panic("first version") }
func (w *ImageWriter) Delete(k Key, n uint8, handle, parent uint32) {}
func (w *ImageWriter) Evacuate(from Position, budget int) (next Position, done bool) {
	panic("first version")
}
