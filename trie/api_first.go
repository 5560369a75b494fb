package trie

import "ribd/internal/slab"

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
