package slab

import (
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"ribd/internal/invariants"
)

func TestClassesCoverEverySizeWithLittleWaste(t *testing.T) {
	last := -1
	for u := uint32(1); u <= ExtentWords; u++ {
		c := classOf(u)
		size := classUnits(c)
		if c < last || c > last+1 || c >= numClasses {
			t.Fatalf("class of %d is %d after %d", u, c, last)
		}
		if size < u || c > 0 && classUnits(c-1) >= u {
			t.Fatalf("class %d of %d units holds %d", c, u, size)
		}
		if f := classUnits(floorClass(u)); f > u {
			t.Fatalf("floor class of %d units holds %d", u, f)
		}
		if u > smallUnits && (size-u)*8 > u {
			t.Fatalf("%d units are rounded up to %d", u, size)
		}
		last = c
	}
}

// run is a live run of the model; each of its words is its stamp.
type run struct{ ref, n, stamp uint32 }

type model struct {
	t     *testing.T
	h     *Heap
	runs  []run
	stamp uint32
}

func (m *model) alloc(n uint32) bool {
	ref, ok := m.h.Alloc(n)
	if !ok {
		return false
	}
	if ref == 0 || ref>>extentBits != (ref+n-1)>>extentBits || ref%m.h.unit != 0 {
		m.t.Fatalf("run %#x of %d words", ref, n)
	}
	m.stamp++
	for i := range n {
		m.h.arena.Store(ref+i, m.stamp)
	}
	m.runs = append(m.runs, run{ref, n, m.stamp})
	return true
}

func (m *model) check(r run) {
	m.t.Helper()
	for i := range r.n {
		if w := m.h.arena.Load(r.ref + i); w != r.stamp {
			m.t.Fatalf("word %d of run %#x is %#x, want %#x", i, r.ref, w, r.stamp)
		}
	}
}

func (m *model) remove(i int) run {
	r := m.runs[i]
	m.check(r)
	m.runs[i] = m.runs[len(m.runs)-1]
	m.runs = m.runs[:len(m.runs)-1]
	return r
}

func TestHeapKeepsRunsApart(t *testing.T) {
	for _, unit := range []uint32{1, 8, 256} {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 1))
		t.Logf("unit %d seed %d", unit, seed)
		a := NewArena("test", 40*ExtentWords)
		d := NewDomain()
		m := &model{t: t, h: NewAlignedHeap(a, d, nil, unit)}
		refused := 0
		for step := range 60000 {
			switch k := rnd.IntN(10); {
			case k < 5+step/5000%3:
				n := 1 + rnd.Uint32N(1<<rnd.IntN(12))
				if !m.alloc(n) {
					refused++
					for range len(m.runs) / 2 {
						r := m.remove(rnd.IntN(len(m.runs)))
						m.h.Free(r.ref, r.n)
					}
				}
			case len(m.runs) == 0:
			case k == 9:
				r := &m.runs[rnd.IntN(len(m.runs))]
				n := 1 + rnd.Uint32N(r.n)
				m.h.Shrink(r.ref, r.n, n)
				r.n = n
				m.check(*r)
			default:
				r := m.remove(rnd.IntN(len(m.runs)))
				m.h.Free(r.ref, r.n)
			}
		}
		if refused == 0 {
			t.Error("the cap was never met")
		}
		for len(m.runs) > 0 {
			r := m.remove(0)
			m.h.Free(r.ref, r.n)
		}
		if s := m.h.Stats(); s.LiveWords != 0 || s.FreeWords != uint64(s.Extents)*ExtentWords {
			t.Errorf("after freeing all: %+v", s)
		}
		for m.h.Drain(1000) > 0 {
			m.h.Reclaim()
		}
		if s := a.Stats(); s.ResidentWords > 2*ExtentWords { // the newest, and that of the vault
			t.Errorf("after draining: %+v", s)
		}
		a.Close()
	}
}

// What a run holds may be any octets, those that freed ones are filled with among
// them: an IPv6 address of dead:beef ends a leaf of the trie.
func TestARunThatEndsLikeAFreedOneIsFreed(t *testing.T) {
	a := NewArena("test", 8*ExtentWords)
	defer a.Close()
	h := NewHeap(a, NewDomain(), nil)
	ref, _ := h.Alloc(7)
	words := a.Words(ref, 7)
	words[0] = 1
	for i := 3; i < 7; i++ {
		words[i] = Poison
	}
	h.Free(ref, 7)
	if live := h.Stats().LiveWords; live != 0 {
		t.Errorf("%d words are live", live)
	}
	if invariants.Enabled {
		defer func() {
			if recover() == nil {
				t.Error("a run is freed twice, and nobody notices")
			}
		}()
		h.live, a.live[ref>>extentBits] = 64, 64 // as if others were there
		h.Free(ref, 7)
	}
}

func TestReserveIsForRemovals(t *testing.T) {
	a := NewArena("test", 8*ExtentWords)
	defer a.Close()
	h := NewHeap(a, NewDomain(), nil)
	n := 0
	for {
		if _, ok := h.Alloc(ExtentWords / 2); !ok {
			break
		}
		n++
	}
	if n == 0 || n >= 14 {
		t.Fatalf("%d half extents of 16 before the reserve", n)
	}
	more := 0
	for {
		if _, ok := h.AllocReserved(ExtentWords / 2); !ok {
			break
		}
		more++
	}
	if more == 0 || n+more < 14 {
		t.Fatalf("%d half extents and %d of the reserve", n, more)
	}
	for range vaultWords / vaultBlock {
		if _, ok := h.AllocReserved(vaultBlock); !ok {
			t.Fatal("the vault is not there")
		}
	}
	if s := h.Stats(); s.Refused != 2 {
		t.Errorf("refused %d, want 2", s.Refused)
	}
}

// At the cap, with free words in pieces, removals live on the vault. What they give
// back is for copies, but for nothing more until half of it is there again.
func TestADrawnVaultIsFilledBeforeOthersGetMore(t *testing.T) {
	a := NewArena("test", 4*ExtentWords)
	defer a.Close()
	h := NewHeap(a, NewDomain(), nil)
	blocks := bits.OnesCount32(1<<(vaultWords/vaultBlock) - 1)
	var small, large []uint32
	for {
		ref, ok := h.AllocReserved(8)
		if !ok {
			t.Fatal("the vault was never drawn on")
		}
		if h.vault.holds(ref) {
			h.Free(ref, 8)
			break
		}
		small = append(small, ref)
	}
	for i := range 1500 { // no two of them touch
		h.Free(small[2*i], 8)
	}
	if ref, ok := h.Alloc(8); !ok {
		t.Fatal("no memory before the vault is drawn on")
	} else {
		h.Free(ref, 8)
	}
	for range blocks/2 + 1 {
		ref, ok := h.AllocReserved(100)
		if !ok || !h.vault.holds(ref) {
			t.Fatalf("run %#x, %v is not of the vault", ref, ok)
		}
		large = append(large, ref)
	}
	if _, ok := h.AllocMore(8); ok {
		t.Error("others get more while less than half of the vault is left")
	}
	if ref, ok := h.Alloc(8); !ok {
		t.Error("a copy, which gives back as much, has to wait too")
	} else {
		h.Free(ref, 8)
	}
	if ref, ok := h.AllocReserved(8); !ok || h.vault.holds(ref) {
		t.Error("a removal gets none that others left")
	}
	h.Free(large[0], 100)
	h.Free(large[1], 100)
	if _, ok := h.AllocMore(8); !ok {
		t.Error("others get no more when half of the vault is there again")
	}
}

// At the cap, with free words in pieces that touch, a large run is put together for
// a copy too: the root of a tree is one, and every change copies it.
func TestPiecesAreJoinedForLargeCopies(t *testing.T) {
	a := NewArena("test", 4*ExtentWords)
	defer a.Close()
	h := NewHeap(a, NewDomain(), nil)
	fill := func(n uint32) (refs []uint32) {
		for {
			ref, ok := h.Alloc(n)
			if !ok {
				return refs
			}
			refs = append(refs, ref)
		}
	}
	small := fill(8)
	fill(100) // what was whole
	const pieces = 2048
	for _, ref := range small[:pieces] {
		h.Free(ref, 8)
	}
	if n := len(fill(100)); n < pieces*8/128/2 {
		t.Errorf("%d words are free, and %d runs of 100 are found", pieces*8, n)
	}
}

func TestRetiredRunsWaitForPinsAndHolds(t *testing.T) {
	a := NewArena("test", 8*ExtentWords)
	defer a.Close()
	d, holds := NewDomain(), &Holds{}
	h := NewHeap(a, d, holds)
	pin := d.NewPin()
	defer pin.Close()
	version := uint32(1)
	publish := func() {
		h.Publish(version, d.Advance())
		version++
		h.Reclaim()
	}
	want := func(live, retired, held uint64) {
		t.Helper()
		if s := h.Stats(); s.LiveWords != live || s.RetiredWords != retired || s.HeldWords != held {
			t.Fatalf("live %d retired %d held %d, want %d %d %d", s.LiveWords, s.RetiredWords, s.HeldWords, live, retired, held)
		}
	}
	r1, _ := h.Alloc(10) // born at 1
	publish()            // 1
	pin.Enter()
	holds.Hold(1)
	pin.Exit()
	pin.Enter()
	h.Retire(r1, 10, 1)
	r2, _ := h.Alloc(12) // born at 2
	publish()            // 2: r1 is replaced
	want(12, 10, 0)
	pin.Exit()
	h.Reclaim()
	want(12, 0, 10)
	h.Retire(r2, 12, 2) // nobody holds 2
	publish()
	h.Reclaim()
	want(0, 0, 10)
	holds.Release(1)
	h.Reclaim()
	want(0, 0, 0)

	r3, _ := h.Alloc(7)
	publish()
	holds.Hold(version - 1)
	old := version - 1
	h.Retire(r3, 7, 4)
	publish()
	h.Reclaim()
	want(0, 0, 7)
	holds.Rebase()
	h.Rebase()
	version = 1
	h.Reclaim()
	want(0, 0, 7)
	r4, _ := h.Alloc(5)
	h.Retire(r4, 5, 0) // as if restamped
	publish()
	h.Reclaim()
	want(0, 0, 12)
	holds.Release(old)
	h.Reclaim()
	want(0, 0, 0)
	if holds.Any() {
		t.Error("a version is still held")
	}
}

func TestHoldsBetween(t *testing.T) {
	var h Holds
	for _, v := range []uint32{9, 3, 3, 20} {
		h.Hold(v)
	}
	h.Release(3)
	for _, c := range []struct {
		b, r uint32
		want bool
	}{{0, 3, false}, {0, 4, true}, {3, 3, false}, {4, 9, false}, {4, 10, true}, {10, 20, false}, {20, 21, true}, {21, 99, false}} {
		if got := h.Between(c.b, c.r); got != c.want {
			t.Errorf("Between(%d, %d) = %v, want %v", c.b, c.r, got, c.want)
		}
	}
	if v, ok := h.Oldest(); v != 3 || !ok {
		t.Errorf("Oldest = %d, %v", v, ok)
	}
	h.Release(77) // never held: nothing happens
}

func TestDrainGivesExtentsBack(t *testing.T) {
	a := NewArena("test", 64*ExtentWords)
	defer a.Close()
	m := &model{t: t, h: NewHeap(a, NewDomain(), nil)}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		if !m.alloc(4 + rnd.Uint32N(40)) {
			t.Fatal("no memory")
		}
	}
	for range 18000 {
		r := m.remove(rnd.IntN(len(m.runs)))
		m.h.Free(r.ref, r.n)
	}
	before := m.h.Stats()
	for round := 0; m.h.Drain(4) > 0; round++ {
		if round > 1000 {
			t.Fatalf("draining does not end: %+v", m.h.Stats())
		}
		for i, r := range m.runs {
			if m.h.Sparse(r.ref) {
				m.check(r)
				if !m.alloc(r.n) {
					t.Fatal("no memory")
				}
				m.h.Free(r.ref, r.n)
				m.runs[i] = m.runs[len(m.runs)-1]
				m.runs = m.runs[:len(m.runs)-1]
			}
		}
		m.h.Reclaim()
	}
	after := m.h.Stats()
	for _, r := range m.runs {
		m.check(r)
	}
	if after.Extents*2 > before.Extents || after.LiveWords != before.LiveWords {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if got := a.Stats().ResidentWords; got != uint64(after.Extents)*ExtentWords {
		t.Errorf("resident %d words, heap has %d extents", got, after.Extents)
	}
}

// TestReadersNeverSeeFreedWords runs pinned readers against a writer that
// replaces one run over and over; each run's words are all equal.
func TestReadersNeverSeeFreedWords(t *testing.T) {
	a := NewArena("test", 64*ExtentWords)
	defer a.Close()
	d, holds := NewDomain(), &Holds{}
	h := NewHeap(a, d, holds)
	const n = 9
	var root atomic.Uint64 // version<<32 | ref
	write := func(version uint32) uint32 {
		ref, ok := h.Alloc(n)
		if !ok {
			return 0
		}
		for i := range uint32(n) {
			a.Store(ref+i, version)
		}
		return ref
	}
	root.Store(1<<32 | uint64(write(1)))
	h.Publish(1, d.Advance())
	var stop atomic.Bool
	var wg sync.WaitGroup
	for r := range 4 {
		wg.Go(func() {
			pin := d.NewPin()
			defer pin.Close()
			for !stop.Load() {
				pin.Enter()
				x := root.Load()
				ref, v := uint32(x), uint32(x>>32)
				if r%2 == 0 {
					holds.Hold(v)
					pin.Exit()
					runtime.Gosched()
				}
				for i := range uint32(n) {
					if w := a.Load(ref + i); w != v {
						t.Errorf("version %d reads %#x", v, w)
						stop.Store(true)
					}
				}
				if r%2 == 0 {
					holds.Release(v)
				} else {
					pin.Exit()
				}
			}
		})
	}
	for version := uint32(2); version < 20000 && !stop.Load(); version++ {
		old := root.Load()
		ref := write(version)
		if ref == 0 {
			runtime.Gosched()
			h.Reclaim()
			continue
		}
		h.Retire(uint32(old), n, uint32(old>>32))
		root.Store(uint64(version)<<32 | uint64(ref))
		h.Publish(version, d.Advance())
		h.Reclaim()
	}
	stop.Store(true)
	wg.Wait()
	h.Reclaim()
	if s := h.Stats(); s.LiveWords != n || s.HeldWords != 0 {
		t.Errorf("at the end: %+v", s)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	a := NewArena("test", 64*ExtentWords)
	defer a.Close()
	d := NewDomain()
	h := NewHeap(a, d, &Holds{})
	version := uint32(0)
	var refs [256]uint32
	batch := func() {
		version++
		for i := range refs {
			if refs[i] != 0 {
				h.Retire(refs[i], uint32(i%40+1), version-1)
			}
			refs[i], _ = h.Alloc(uint32(i%40 + 1))
		}
		h.Publish(version, d.Advance())
		h.Reclaim()
	}
	for range 10 {
		batch()
	}
	if n := testing.AllocsPerRun(100, batch); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestTable(t *testing.T) {
	tb := NewTable(1 << 24)
	defer tb.Close()
	for _, i := range []uint32{0, 1, 1023, 1024, 1<<24 - 1} {
		if w := tb.Load(i); w != 0 {
			t.Fatalf("word %d is %d before it is stored", i, w)
		}
		tb.Store(i, i+1)
		if w := tb.Load(i); w != i+1 {
			t.Fatalf("word %d is %d", i, w)
		}
	}
}
