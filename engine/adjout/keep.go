package adjout

import (
	"sync"
	"sync/atomic"

	"ribd/shard/rib"
	"ribd/wire"
)

// keeper keeps the sets, stacks of labels and raw NLRI in a group's state from
// being swept: once in each generation of sets it touches all of them, slice by
// slice.
type keeper struct {
	busy       bool
	generation uint64
	fam        int
	bucket     uint32
}

// look begins where a sweep has begun since.
func (k *keeper) look(g *group) {
	if gen := g.m.rib.Attrs().Generation(); gen != k.generation {
		*k = keeper{busy: true, generation: gen}
	}
}

// slice touches a bucket. The group's goroutine alone changes the state.
func (k *keeper) slice(g *group) {
	if k.fam == len(g.states) {
		k.busy = false
		return
	}
	st := g.states[k.fam]
	b := &st.buckets[k.bucket]
	attrs, touched := g.m.rib.Attrs(), g.m.touched.of(k.generation, g.m.rib.Attrs().MaxSet())
	for n := uint32(1); n <= b.n; n++ {
		e := b.entry(n, st.lay.stride)
		if e[wStamp] == 0 {
			continue
		}
		if e[wMeta]&entryDead == 0 && touched.first(rib.AttrID(e[wAttr])) {
			attrs.Touch(rib.AttrID(e[wAttr]))
		}
		k.strings(g, &st.lay, e)
	}
	if k.bucket++; k.bucket == numBuckets {
		k.fam, k.bucket = k.fam+1, 0
	}
}

// strings touches what an entry has that is no attribute.
func (k *keeper) strings(g *group, lay *layout, e []uint32) {
	if lay.form == wire.FormRaw {
		if nlri, ok := g.m.rib.RawNLRI(lay.prefix(e, 0).key); ok {
			g.m.rib.RawKey(nlri)
		}
	}
	if id := lay.labelsOf(e); id != 0 {
		if stack, ok := g.m.rib.Labels(id); ok {
			g.m.rib.InternLabels(stack)
		}
	}
}

// touchedSets is the sets that some group has touched in a generation, so that
// many groups with the same sets do not all do so.
type touchedSets struct {
	mu  sync.Mutex
	now *touched
}

type touched struct {
	generation uint64
	bits       []atomic.Uint64
}

func (t *touchedSets) of(generation uint64, top rib.AttrID) *touched {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil || t.now.generation != generation {
		t.now = &touched{generation, make([]atomic.Uint64, top/64+1)}
	}
	return t.now
}

// first is true for the first who asks for a set.
func (t *touched) first(id rib.AttrID) bool {
	i := int(id / 64)
	if i >= len(t.bits) {
		return true
	}
	bit := uint64(1) << (id % 64)
	return t.bits[i].Load()&bit == 0 && t.bits[i].Or(bit)&bit == 0
}
