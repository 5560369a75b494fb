package trie

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"ribd/internal/slab"
)

// imageRig is an image with one writer, and the map that it must agree
// with.
type imageRig struct {
	t       testing.TB
	rnd     *rand.Rand
	v4      bool
	nodes   *slab.Arena
	words   *slab.Arena
	domain  *slab.Domain
	hs      *Handles
	heap    *slab.Heap
	handles *HandleHeap
	m4      *Image4
	m6      *Image6
	w       *ImageWriter
	truth   map[prefix]uint32
	width   uint8
}

func newImageRig(t testing.TB, v4 bool, nodeWords, handleWords uint64) *imageRig {
	seed := rand.Uint64()
	t.Logf("IPv4 %v seed %d", v4, seed)
	r := &imageRig{t: t, v4: v4, rnd: rand.New(rand.NewPCG(seed, 0)), truth: map[prefix]uint32{}}
	r.nodes, r.words = slab.NewArena("nodes", nodeWords), slab.NewArena("handles", handleWords)
	r.domain = slab.NewDomain()
	r.hs = NewHandles(r.words)
	r.heap = NewImageHeap(r.nodes, r.domain)
	r.handles = NewHandleHeap(r.hs, r.domain)
	if v4 {
		r.m4 = NewImage4(r.nodes, r.hs)
		r.w = r.m4.Writer(r.heap)
		r.width = 32
	} else {
		r.m6 = NewImage6(r.nodes, r.hs)
		r.w = r.m6.Writer(r.heap)
		r.width = 128
	}
	t.Cleanup(func() {
		if v4 {
			r.m4.Close()
		} else {
			r.m6.Close()
		}
		r.nodes.Close()
		r.words.Close()
	})
	return r
}

func (r *imageRig) random() prefix {
	k := Key{r.rnd.Uint64(), r.rnd.Uint64()}
	n := uint8(r.rnd.IntN(int(r.width) + 1))
	switch r.rnd.IntN(6) {
	case 0:
		n = uint8(r.rnd.IntN(26))
	case 1:
		k.Hi &= 0x0000_0f03_0000_0000
	case 2:
		k.Hi = k.Hi&0x0000_000f_0000_000f | 0x2001_0db8_0000_0000
		k.Lo &= 0xc000_0000_0000_0003
	case 3:
		k.Hi = k.Hi&0x0000_000f_8000_0000 | 0x2001_0db8_0000_0000
		n = 16 + uint8(r.rnd.IntN(int(min(r.width, 64))-15))
	case 4:
		k.Hi &= 0x0001_ff00_ff00_0000
		n = 16 + uint8(r.rnd.IntN(17))
	}
	return prefix{k.Mask(n), n}
}

// at is the first bit that a home prefix has: shorter ones are in the roof.
func (r *imageRig) least() uint8 { return r.w.least }

// match returns the handle of the longest prefix in the map that holds k and
// has a length of lo to hi.
func (r *imageRig) match(k Key, lo, hi int) uint32 {
	for n := hi; n >= lo; n-- {
		if h := r.truth[prefix{k.Mask(uint8(n)), uint8(n)}]; h != 0 {
			return h
		}
	}
	return 0
}

func (r *imageRig) lookup(k Key) uint32 {
	if r.v4 {
		return r.m4.Lookup(uint32(k.Hi >> 32))
	}
	return r.m6.Lookup(k.Hi, k.Lo)
}

func (r *imageRig) insert(p prefix) bool {
	if r.truth[p] != 0 {
		return true
	}
	h, ok := r.handles.Alloc(p.n, 1)
	if !ok {
		return false
	}
	if r.hs.Len(h) != p.n {
		r.t.Fatalf("handle %#x of length %d says %d", h, p.n, r.hs.Len(h))
	}
	if !r.w.Insert(p.k, p.n, h) {
		r.handles.Free(h)
		return false
	}
	r.truth[p] = h
	return true
}

func (r *imageRig) delete(p prefix) {
	h := r.truth[p]
	if h == 0 {
		return
	}
	delete(r.truth, p)
	least := 0
	if p.n >= r.least() {
		least = int(r.least())
	}
	r.w.Delete(p.k, p.n, h, r.match(p.k, least, int(p.n)-1))
	r.handles.Retire(h)
}

func (r *imageRig) publish() {
	e := r.domain.Advance()
	r.heap.Publish(1, e)
	r.handles.Publish(e)
	r.heap.Reclaim()
	r.handles.Reclaim()
}

func (r *imageRig) some() prefix {
	for p := range r.truth {
		return p
	}
	return r.random()
}

// check asks for random addresses, and for the first and last of prefixes and
// their neighbours.
func (r *imageRig) check(n int) {
	r.t.Helper()
	for range n {
		k := Key{r.rnd.Uint64(), r.rnd.Uint64()}.Mask(r.width)
		if p := r.some(); r.rnd.IntN(10) > 0 {
			h := k.Mask(p.n)
			switch r.rnd.IntN(4) {
			case 0:
				k = p.k
			case 1:
				k = Key{p.k.Hi | ^Key{^uint64(0), 0}.Mask(p.n).Hi, p.k.Lo | ^Key{0, ^uint64(0)}.Mask(p.n).Lo}.Mask(r.width)
			default:
				k = Key{p.k.Hi | (k.Hi ^ h.Hi), p.k.Lo | (k.Lo ^ h.Lo)}
			}
		}
		if got, want := r.lookup(k), r.match(k, 0, int(r.width)); got != want {
			r.t.Fatalf("Lookup(%v) = %#x, want %#x (length %d)", k.Addr(r.v4), got, want, r.hs.Len(want))
		}
	}
}

// empty checks that nothing is left of what was deleted.
func (r *imageRig) empty() {
	r.t.Helper()
	for p := range r.truth {
		r.delete(p)
		if len(r.truth)%50 == 0 {
			r.publish()
		}
	}
	r.publish()
	r.w.Evacuate(Position{}, 1)
	r.publish()
	for i := 0; i < 1000 && r.heap.Drain(100) > 0; i++ {
		r.heap.Reclaim()
	}
	if s := r.heap.Stats(); s.LiveWords+s.RetiredWords != 0 {
		r.t.Errorf("nodes are left: %+v", s)
	}
	if r.handles.Live() != 0 || r.handles.Stats().LiveWords != 0 {
		r.t.Errorf("handles are left: %d %+v", r.handles.Live(), r.handles.Stats())
	}
	for _, tb := range []struct {
		t    *slab.Table
		bits uint8
	}{{r.w.home, r.w.homeLen}, {r.w.roof, r.w.roofLen}} {
		for i := uint32(0); i < 1<<tb.bits; i++ {
			if !tb.t.Used(i) {
				i |= slab.TablePage - 1
			} else if x := tb.t.Load(i); x != 0 {
				r.t.Fatalf("slot %#x of an empty image holds %#x", i, x)
			}
		}
	}
}

func TestImageAgreesWithAMap(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		r := newImageRig(t, v4, 1<<22, 1<<20)
		for batch := range 400 {
			for range 1 + r.rnd.IntN(60) {
				if r.rnd.IntN(100) < 60-batch/20%25 {
					if !r.insert(r.random()) {
						t.Fatal("no memory")
					}
				} else {
					r.delete(r.some())
				}
			}
			if r.rnd.IntN(8) == 0 {
				r.heap.Drain(3)
				for at, done := (Position{}), false; !done; {
					at, done = r.w.Evacuate(at, 100)
				}
			}
			r.publish()
			r.check(100)
		}
		r.check(5000)
		r.empty()
	}
}

func TestAFullImageRefusesAndStaysRight(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		r := newImageRig(t, v4, 5*slab.ExtentWords, 1<<20)
		refused := 0
		for range 300 {
			for range 100 {
				if p := r.random(); !r.insert(p) {
					refused++
				}
			}
			if refused > 0 {
				for range 60 {
					r.delete(r.some())
				}
			}
			r.publish()
			r.check(100)
		}
		if refused == 0 {
			t.Error("the cap was never met")
		}
		r.empty()
	}
	r := newImageRig(t, true, 1<<20, 4*slab.ExtentWords)
	refused := 0
	for range 200000 {
		if !r.insert(r.random()) {
			refused++
		}
	}
	if refused == 0 {
		t.Error("the cap of handles was never met")
	}
	r.check(1000)
	r.empty()
}

// TestImageReadersBesideAWriter asks under pins, while routes come and go, for
// addresses whose answer must be one of two handles, and for their words.
func TestImageReadersBesideAWriter(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		r := newImageRig(t, v4, 1<<22, 1<<20)
		base := prefix{Key{Hi: 0x2001_0db8_0000_0000}.Mask(26), 26}
		if !r.insert(base) {
			t.Fatal("no memory")
		}
		cover := r.truth[base]
		r.publish()
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
				pin := r.domain.NewPin()
				defer pin.Close()
				for !stop.Load() {
					pin.Enter()
					for range 16 {
						k := Key{base.k.Hi | rnd.Uint64()>>26, rnd.Uint64()}
						h := r.lookup(k)
						if h != cover && (h == 0 || r.hs.Len(h) <= 26 || r.hs.Load(h) != uint32(r.hs.Len(h))) {
							t.Errorf("handle %#x in a prefix of handle %#x", h, cover)
							stop.Store(true)
						}
					}
					pin.Exit()
					runtime.Gosched()
				}
			})
		}
		for step := 0; step < 6000 && !stop.Load(); step++ {
			n := 27 + uint8(r.rnd.IntN(int(min(r.width, 64))-26))
			p := prefix{Key{Hi: base.k.Hi | r.rnd.Uint64()>>26}.Mask(n), n}
			if r.rnd.IntN(2) == 0 {
				if r.truth[p] == 0 {
					h, ok := r.handles.Alloc(n, uint32(n))
					if !ok || !r.w.Insert(p.k, n, h) {
						t.Fatal("no memory")
					}
					r.truth[p] = h
				}
			} else if p = r.some(); p != base {
				r.delete(p)
			}
			if step%16 == 0 {
				r.heap.Drain(2)
				r.w.Evacuate(Position{}, 1<<20)
				r.publish()
			}
		}
		stop.Store(true)
		wg.Wait()
		r.check(1000)
		r.empty()
	}
}

func TestImageAllocatesNothing(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		r := newImageRig(t, v4, 1<<22, 1<<20)
		var list []prefix
		var hs []uint32
		for range 2000 {
			if p := r.random(); r.truth[p] == 0 {
				r.insert(p)
				list = append(list, p)
				hs = append(hs, r.truth[p])
			}
		}
		var as [64]uint32
		var his, los [64]uint64
		var out [64]uint32
		if n := testing.AllocsPerRun(100, func() {
			if v4 {
				r.m4.LookupBatch(as[:], out[:])
			} else {
				r.m6.LookupBatch(his[:], los[:], out[:])
			}
		}); n != 0 {
			t.Errorf("%v allocations a look-up", n)
		}
		i := 0
		cycle := func() {
			for range 64 {
				j := i % len(list)
				p := list[j]
				i++
				least := 0
				if p.n >= r.least() {
					least = int(r.least())
				}
				r.w.Delete(p.k, p.n, hs[j], r.match(p.k, least, int(p.n)-1))
				r.handles.Retire(hs[j])
				h, ok := r.handles.Alloc(p.n, 1)
				if !ok || !r.w.Insert(p.k, p.n, h) {
					t.Fatal("no memory")
				}
				hs[j] = h
				r.truth[p] = h
			}
			r.publish()
		}
		for range 100 {
			cycle()
		}
		if n := testing.AllocsPerRun(100, cycle); n != 0 {
			t.Errorf("%v allocations a batch of changes", n)
		}
	}
}

// TestHandlesGiveMemoryBack has handles of all lengths come and go, and then
// only a few stay.
func TestHandlesGiveMemoryBack(t *testing.T) {
	a, d := slab.NewArena("handles", 1<<22), slab.NewDomain()
	defer a.Close()
	h := NewHandleHeap(NewHandles(a), d)
	var list []uint32
	for i := range 400000 {
		x, ok := h.Alloc(uint8(i%129), uint32(i))
		if !ok {
			t.Fatal("no memory")
		}
		list = append(list, x)
	}
	full := a.Stats().ResidentWords
	for i, x := range list {
		if got := h.handles.Load(x); got != uint32(i) {
			t.Fatalf("handle %#x has %d, want %d", x, got, i)
		}
		if i >= 1000 {
			h.Retire(x)
		}
		if i%1000 == 0 {
			h.Publish(d.Advance())
			h.Reclaim()
		}
	}
	h.Publish(d.Advance())
	for range 10 {
		h.Reclaim()
	}
	if got := a.Stats().ResidentWords; h.Live() != 1000 || got*2 > full {
		t.Errorf("%d handles hold %d words, all of them held %d", h.Live(), got, full)
	}
	for i, x := range list[:1000] {
		if h.handles.Load(x) != uint32(i) || h.handles.Len(x) != uint8(i%129) {
			t.Fatalf("handle %#x has changed", x)
		}
	}
}
