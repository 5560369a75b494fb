package slab

type Arena struct{}

func NewArena(name string, maxWords uint64) *Arena { return &Arena{} }
func (a *Arena) Words(ref, n uint32) []uint32      { panic("first version") }
func (a *Arena) Load(ref uint32) uint32            { panic("first version") }
func (a *Arena) Store(ref, w uint32)               { panic("first version") }
func (a *Arena) LoadAtomic(ref uint32) uint32      { panic("first version") }
func (a *Arena) StoreAtomic(ref, w uint32)         { panic("first version") }
func (a *Arena) Stats() ArenaStats                 { panic("first version") }
func (a *Arena) Close()                            {}

type ArenaStats struct {
	Name                         string
	ReservedWords, ResidentWords uint64
}

type Domain struct{}

func NewDomain() *Domain          { return &Domain{} }
func (d *Domain) NewPin() *Pin    { return &Pin{} }
func (d *Domain) Advance() uint64 { return 0 }
func (d *Domain) Min() uint64     { return 0 }

type Pin struct{}

func (p *Pin) Enter() {}
func (p *Pin) Exit()  {}
func (p *Pin) Close() {}

type Holds struct{} // the zero value is ready

func (h *Holds) Hold(v uint32)               {}
func (h *Holds) Release(v uint32)            {}
func (h *Holds) Any() bool                   { return false }
func (h *Holds) Between(b, r uint32) bool    { return false }
func (h *Holds) Oldest() (v uint32, ok bool) { return 0, false }
func (h *Holds) Rebase()                     {} // version numbers start again: every held version becomes 0

type Heap struct{}

func NewHeap(a *Arena, d *Domain, h *Holds) *Heap            { return &Heap{} }
func (h *Heap) Arena() *Arena                                { panic("first version") }
func (h *Heap) Alloc(n uint32) (ref uint32, ok bool)         { panic("first version") }
func (h *Heap) AllocReserved(n uint32) (ref uint32, ok bool) { panic("first version") } // may use the reserve kept for removals
func (h *Heap) Free(ref, n uint32)                           {}
func (h *Heap) Shrink(ref, old, n uint32)                    {} // gives the tail of a run that was never published back
func (h *Heap) Retire(ref, n, birth uint32)                  {}
func (h *Heap) Publish(version uint32, epoch uint64)         {}
func (h *Heap) Reclaim()                                     {}
func (h *Heap) Stats() HeapStats                             { return HeapStats{} }
func (h *Heap) Sparse(ref uint32) bool                       { return false }
func (h *Heap) Drain(maxExtents int) int                     { return 0 } // marks up to so many mostly empty extents: Sparse is true of their runs, which the owner rewrites; returns how many are marked
func (h *Heap) Rebase()                                      {}           // version numbers start again at 1

type HeapStats struct {
	Extents, Draining                             int
	LiveWords, FreeWords, RetiredWords, HeldWords uint64
	Refused                                       uint64
}
