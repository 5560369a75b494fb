package slab

// retirement is the runs that were replaced and may still be read: first in the
// order of their batches, until the pins are past; then, what a long view can
// see, in a bag that is looked through again when a view goes.
type retirement struct {
	queue   []retiredRun // from head on
	head    int
	batches []retiredBatch // from bhead on; their runs are queue's, in order
	bhead   int
	open    int // runs retired since the last Publish

	bag     []heldRun
	look    int    // runs of bag still to be looked through
	seen    uint64 // releases that the bag has been looked through for
	waiting uint64 // words in queue
	kept    uint64 // words in bag
}

type retiredRun struct{ ref, n, birth uint32 }

type retiredBatch struct {
	epoch   uint64
	version uint32
	runs    int
}

type heldRun struct{ ref, n, birth, death uint32 }

// lookStep bounds the runs that one Reclaim looks through for views that went.
const lookStep = 4096

// Retire says that a published run of n words, born at version birth, is
// replaced in the current batch: readers may be in it.
func (h *Heap) Retire(ref, n, birth uint32) {
	o := &h.old
	o.queue = append(o.queue, retiredRun{ref, n, birth})
	o.open++
	o.waiting += h.size(n)
}

func (h *Heap) size(n uint32) uint64 {
	return uint64(classUnits(classOf((n+h.unit-1)>>h.shift)) << h.shift)
}

// Publish ends the current batch: its roots are stored as version, and then
// Advance returned epoch. Versions grow from 1.
func (h *Heap) Publish(version uint32, epoch uint64) {
	o := &h.old
	if o.open > 0 {
		o.batches = append(o.batches, retiredBatch{epoch, version, o.open})
		o.open = 0
	}
}

// Reclaim frees what nobody can read any more. It is cheap: call it with each
// batch.
func (h *Heap) Reclaim() {
	o := &h.old
	if o.bhead < len(o.batches) {
		h.reclaimQueue()
	}
	if len(o.bag) > 0 {
		h.reclaimBag()
	}
	if h.purge.active {
		h.purge.step(h)
	}
}

func (h *Heap) reclaimQueue() {
	o := &h.old
	least := h.domain.Min()
	var held []uint32
	if h.holds != nil {
		// The list is loaded after Min: a view that was taken under a pin
		// which Min no longer sees is in it.
		held = h.holds.list()
	}
	for o.bhead < len(o.batches) && o.batches[o.bhead].epoch <= least {
		b := &o.batches[o.bhead]
		for _, r := range o.queue[o.head : o.head+b.runs] {
			o.waiting -= h.size(r.n)
			if between(held, r.birth, b.version) {
				o.bag = append(o.bag, heldRun{r.ref, r.n, r.birth, b.version})
				o.kept += h.size(r.n)
			} else {
				h.Free(r.ref, r.n)
			}
		}
		o.head += b.runs
		o.bhead++
	}
	if o.head > len(o.queue)/2 {
		o.queue = o.queue[:copy(o.queue, o.queue[o.head:])]
		o.head = 0
	}
	if o.bhead > len(o.batches)/2 {
		o.batches = o.batches[:copy(o.batches, o.batches[o.bhead:])]
		o.bhead = 0
	}
}

func (h *Heap) reclaimBag() {
	o := &h.old
	if gone := h.holds.gone.Load(); gone != o.seen {
		o.seen, o.look = gone, len(o.bag)
	}
	held := h.holds.list()
	for step := 0; o.look > 0 && step < lookStep; step++ {
		o.look--
		r := o.bag[o.look]
		if between(held, r.birth, r.death) {
			continue
		}
		o.kept -= h.size(r.n)
		h.Free(r.ref, r.n)
		last := len(o.bag) - 1
		o.bag[o.look] = o.bag[last]
		o.bag = o.bag[:last]
	}
	if len(o.bag) == 0 && cap(o.bag) > lookStep {
		o.bag = nil
	}
}

// Rebase makes version numbers start again at 1: what is retired counts as
// born at 0 and replaced at 1. It is called between batches, with Rebase of
// Holds and Restamp of the trees.
func (h *Heap) Rebase() {
	o := &h.old
	for i := range o.queue {
		o.queue[i].birth = 0
	}
	for i := range o.batches {
		o.batches[i].version = 1
	}
	for i := range o.bag {
		o.bag[i].birth, o.bag[i].death = 0, 1
	}
	o.look = len(o.bag)
}
