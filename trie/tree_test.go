package trie

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/gaissmai/bart"
	"github.com/kentik/patricia"
	"github.com/kentik/patricia/uint32_tree"

	"ribd/internal/slab"
)

func (p prefix) compare(o prefix) int {
	if c := p.k.Compare(o.k); c != 0 {
		return c
	}
	return int(p.n) - int(o.n)
}

// rig is a tree with all that it stands on, and the map that it must agree with.
type rig struct {
	t       testing.TB
	rnd     *rand.Rand
	arena   *slab.Arena
	domain  *slab.Domain
	holds   *slab.Holds
	heap    *slab.Heap
	tree    *Tree
	truth   map[prefix]uint32
	version uint32
	width   uint8
}

func newRig(t testing.TB, width uint8, words uint64) *rig {
	seed := rand.Uint64()
	t.Logf("width %d seed %d", width, seed)
	r := &rig{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), width: width, truth: map[prefix]uint32{}}
	r.arena = slab.NewArena("test", words)
	t.Cleanup(r.arena.Close)
	r.domain, r.holds = slab.NewDomain(), &slab.Holds{}
	r.heap = slab.NewHeap(r.arena, r.domain, r.holds)
	r.tree = NewTree(r.heap, width)
	r.begin()
	return r
}

func (r *rig) begin() {
	r.version++
	r.tree.Begin(r.version)
}

func (r *rig) publish() View {
	v := NewView(r.arena, r.tree.Root(), r.width)
	r.heap.Publish(r.version, r.domain.Advance())
	r.heap.Reclaim()
	return v
}

// random returns a prefix from a few crowded regions, so that prefixes share
// nodes, cover each other and come again.
func (r *rig) random() prefix {
	var k Key
	k.Hi, k.Lo = r.rnd.Uint64(), r.rnd.Uint64()
	n := uint8(r.rnd.IntN(int(r.width) + 1))
	switch r.rnd.IntN(4) {
	case 0:
		k.Hi &= 0x0000_0f00_0000_0000
		k.Lo = 0
	case 1:
		k.Hi &= 0x0300_0000_0000_00ff
		k.Lo &= 3 << 62
	case 2:
		k.Hi &= 0xf000_7f00_3f3f_0000
		n = min(24, r.width)
	}
	return prefix{k.Mask(n), n}
}

func (r *rig) set(p prefix, v uint32) {
	r.t.Helper()
	old, ok := r.tree.Set(p.k, p.n, v)
	if !ok {
		r.t.Fatalf("no memory for %v", p)
	}
	if old != r.truth[p] {
		r.t.Fatalf("Set(%v) returned %d, want %d", p, old, r.truth[p])
	}
	r.truth[p] = v
}

func (r *rig) delete(p prefix) {
	r.t.Helper()
	if got, want := r.tree.Delete(p.k, p.n), r.truth[p]; got != want {
		r.t.Fatalf("Delete(%v) = %d, want %d", p, got, want)
	}
	delete(r.truth, p)
}

// some returns a prefix of the truth, or a random one.
func (r *rig) some() prefix {
	if r.rnd.IntN(4) != 0 {
		for p := range r.truth {
			return p
		}
	}
	return r.random()
}

func sorted(truth map[prefix]uint32) []prefix {
	list := make([]prefix, 0, len(truth))
	for p := range truth {
		list = append(list, p)
	}
	slices.SortFunc(list, prefix.compare)
	return list
}

// check compares a view with a map in every way of asking.
func check(t testing.TB, rnd *rand.Rand, v View, width uint8, truth map[prefix]uint32) {
	t.Helper()
	list := sorted(truth)
	i := 0
	for c := v.Cursor(); c.Next(); i++ {
		if i == len(list) || list[i] != (prefix{c.Key(), c.Len()}) || truth[list[i]] != c.Value() {
			t.Fatalf("walk: item %d is %v/%d = %d", i, c.Key(), c.Len(), c.Value())
		}
	}
	if i != len(list) {
		t.Fatalf("walk: %d prefixes, want %d", i, len(list))
	}
	for _, p := range list {
		if got := v.Get(p.k, p.n); got != truth[p] {
			t.Fatalf("Get(%v) = %d, want %d", p, got, truth[p])
		}
	}
	for range 60 {
		k := Key{rnd.Uint64(), rnd.Uint64()}.Mask(width)
		if len(list) > 0 && rnd.IntN(8) != 0 {
			p := list[rnd.IntN(len(list))]
			h := k.Mask(p.n)
			k = Key{p.k.Hi | (k.Hi ^ h.Hi), p.k.Lo | (k.Lo ^ h.Lo)}
		}
		most := uint8(rnd.IntN(int(width) + 1))
		if rnd.IntN(2) == 0 {
			most = width
		}
		checkKey(t, v, truth, k, most)
		checkSeek(t, rnd, v, list, prefix{k.Mask(most), most})
	}
}

func checkKey(t testing.TB, v View, truth map[prefix]uint32, k Key, most uint8) {
	t.Helper()
	var want []Entry
	for n := 0; n <= int(most); n++ {
		if x := truth[prefix{k.Mask(uint8(n)), uint8(n)}]; x != 0 {
			want = append(want, Entry{uint8(n), x})
		}
	}
	if got := v.Covering(k, most, nil); !slices.Equal(got, want) {
		t.Fatalf("Covering(%v, %d) = %v, want %v", k, most, got, want)
	}
	var best Entry
	if len(want) > 0 {
		best = want[len(want)-1]
	}
	if x, n := v.Match(k, most); x != best.Value || x != 0 && n != best.Len {
		t.Fatalf("Match(%v, %d) = %d/%d, want %v", k, most, x, n, best)
	}
	if got, want := v.Get(k, most), truth[prefix{k.Mask(most), most}]; got != want {
		t.Fatalf("Get(%v, %d) = %d, want %d", k, most, got, want)
	}
}

func checkSeek(t testing.TB, rnd *rand.Rand, v View, list []prefix, p prefix) {
	t.Helper()
	c := v.Cursor()
	c.Seek(p.k, p.n)
	at, _ := slices.BinarySearchFunc(list, p, prefix.compare)
	for i := at; i < min(at+5, len(list)+1); i++ {
		if c.Next() != (i < len(list)) {
			t.Fatalf("Seek(%v): end at %d, want %d", p, i, len(list))
		}
		if i < len(list) && list[i] != (prefix{c.Key(), c.Len()}) {
			t.Fatalf("Seek(%v): item %d is %v/%d, want %v", p, i-at, c.Key(), c.Len(), list[i])
		}
	}
	p.n = uint8(rnd.IntN(int(p.n) + 1))
	p.k = p.k.Mask(p.n)
	c = v.Cursor()
	c.Under(p.k, p.n)
	at, _ = slices.BinarySearchFunc(list, p, prefix.compare)
	for ; at < len(list) && p.k.covers(p.n, list[at].k); at++ {
		if !c.Next() || list[at] != (prefix{c.Key(), c.Len()}) {
			t.Fatalf("Under(%v): %v/%d, want %v", p, c.Key(), c.Len(), list[at])
		}
	}
	if c.Next() {
		t.Fatalf("Under(%v): %v/%d is not under it", p, c.Key(), c.Len())
	}
}

// shape returns the words of the nodes under o without their stamps and
// addresses.
func shape(v View) []uint32 {
	var words []uint32
	var visit func(o uint32)
	visit = func(o uint32) {
		p, c := maps(v.arena, o)
		n := nodeWords(p, c)
		leaves := n - uint32(popcount(c))
		words = append(words, v.arena.Words(o, n)[1:leaves]...)
		for i := leaves; i < n; i++ {
			ref := v.arena.Load(o + i)
			words = append(words, ref&kindMask)
			switch ref & kindMask {
			case kindNode:
				visit(ref >> 2)
			case kindLeaf:
				size := leafWords(uint8(v.arena.Load(ref>>2 + 2)))
				words = append(words, v.arena.Words(ref>>2, size)[1:]...)
			default:
				words = append(words, ref)
			}
		}
	}
	if v.root != 0 {
		visit(v.root)
	}
	return words
}

func popcount(x uint64) (n int) {
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

type snapshot struct {
	view    View
	truth   map[prefix]uint32
	version uint32
}

func TestTreeAgreesWithAMapAndOldViewsStay(t *testing.T) {
	for _, width := range []uint8{32, 64, 128} {
		r := newRig(t, width, 1<<22)
		var held []snapshot
		for batch := range 300 {
			for range 1 + r.rnd.IntN(40) {
				switch p := r.some(); {
				case r.rnd.IntN(100) < 55-batch/10%30:
					r.set(r.random(), 1+r.rnd.Uint32N(MaxValue))
				case r.rnd.IntN(3) == 0:
					r.set(p, 1+r.rnd.Uint32N(MaxValue))
				default:
					r.delete(p)
				}
			}
			if r.rnd.IntN(40) == 0 {
				r.tree.Clear()
				clear(r.truth)
			}
			if r.rnd.IntN(10) == 0 {
				r.heap.Drain(1 + r.rnd.IntN(4))
				for at, done := (Position{}), false; !done; {
					at, done = r.tree.Evacuate(at, 1)
				}
			}
			v := r.publish()
			check(t, r.rnd, v, width, r.truth)
			if r.rnd.IntN(4) == 0 {
				r.holds.Hold(r.version)
				held = append(held, snapshot{v, mapsClone(r.truth), r.version})
			}
			for i := 0; i < len(held); i++ {
				if r.rnd.IntN(20) == 0 {
					check(t, r.rnd, held[i].view, width, held[i].truth)
					r.holds.Release(held[i].version)
					held = slices.Delete(held, i, i+1)
				}
			}
			r.begin()
		}
		for _, s := range held {
			check(t, r.rnd, s.view, width, s.truth)
			r.holds.Release(s.version)
		}
		for _, p := range sorted(r.truth) {
			r.delete(p)
		}
		r.publish()
		r.heap.Reclaim()
		if s := r.heap.Stats(); r.tree.Root() != 0 || s.LiveWords+s.RetiredWords+s.HeldWords != 0 {
			t.Fatalf("an empty tree has root %d and %+v", r.tree.Root(), s)
		}
	}
}

func mapsClone(m map[prefix]uint32) map[prefix]uint32 {
	c := make(map[prefix]uint32, len(m))
	for p, v := range m {
		c[p] = v
	}
	return c
}

func TestShapeDependsOnThePrefixesAlone(t *testing.T) {
	for _, width := range []uint8{32, 64, 128} {
		for range 30 {
			a, b := newRig(t, width, 1<<20), newRig(t, width, 1<<20)
			for range a.rnd.IntN(400) {
				a.set(a.random(), 7)
			}
			for range 300 {
				if p := a.some(); a.rnd.IntN(2) == 0 {
					a.delete(p)
				}
				if a.rnd.IntN(9) == 0 {
					a.publish()
					a.begin()
				}
			}
			for p, v := range a.truth {
				b.set(p, v)
			}
			if got, want := shape(a.tree.View()), shape(b.tree.View()); !slices.Equal(got, want) {
				t.Fatalf("%d prefixes: shapes differ:\n%x\n%x", len(a.truth), got, want)
			}
		}
	}
}

// TestAFullArenaRefusesAndChangesNothing also withdraws at the cap.
func TestAFullArenaRefusesAndChangesNothing(t *testing.T) {
	for _, width := range []uint8{32, 128} {
		r := newRig(t, width, 6*slab.ExtentWords)
		refused := 0
		for round := range 400 {
			for range 200 {
				p := r.random()
				before := r.truth[p]
				if _, ok := r.tree.Set(p.k, p.n, uint32(round+1)); ok {
					r.truth[p] = uint32(round + 1)
				} else {
					refused++
					if got := r.tree.Get(p.k, p.n); got != before {
						t.Fatalf("a refused Set of %v left %d, want %d", p, got, before)
					}
				}
			}
			if refused > 0 {
				for range 50 {
					p := r.some()
					if r.truth[p] != 0 && r.tree.Delete(p.k, p.n) == 0 {
						// The batch has used the reserve up: end it.
						r.publish()
						r.begin()
						if r.tree.Delete(p.k, p.n) == 0 {
							t.Fatalf("no memory to delete %v: %+v %+v", p, r.heap.Stats(), r.arena.Stats())
						}
					}
					delete(r.truth, p)
				}
			}
			v := r.publish()
			if round%20 == 0 {
				check(t, r.rnd, v, width, r.truth)
			}
			r.begin()
		}
		if refused == 0 {
			t.Error("the cap was never met")
		}
		check(t, r.rnd, r.publish(), width, r.truth)
		if s := r.heap.Stats(); s.Refused == 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestVersionsStartAgain(t *testing.T) {
	r := newRig(t, 32, 1<<20)
	for range 500 {
		r.set(r.random(), 9)
	}
	v := r.publish()
	truth := mapsClone(r.truth)
	r.holds.Hold(r.version)
	held := r.version
	r.begin()
	for range 100 {
		r.delete(r.some())
	}
	r.publish()
	r.tree.Restamp()
	r.heap.Rebase()
	r.holds.Rebase()
	r.version = 0
	for range 20 {
		r.begin()
		for range 50 {
			r.delete(r.some())
			r.set(r.random(), 5)
		}
		r.publish()
		check(t, r.rnd, v, 32, truth)
	}
	r.holds.Release(held)
	r.heap.Reclaim()
	if s := r.heap.Stats(); s.HeldWords != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTreeAgreesWithBartAndPatricia(t *testing.T) {
	for _, width := range []uint8{32, 128} {
		r := newRig(t, width, 1<<22)
		v4 := width == 32
		var rival bart.Table[uint32]
		pat4, pat6 := uint32_tree.NewTreeV4(), uint32_tree.NewTreeV6()
		same := func(a, b uint32) bool { return a == b }
		for i := range uint32(6000) {
			p := r.random()
			if i > 3000 && i%3 == 0 {
				p = r.some()
				old := r.truth[p]
				r.delete(p)
				rival.Delete(p.k.Prefix(p.n, v4))
				if v4 && old != 0 {
					pat4.Delete(patricia.NewIPv4Address(uint32(p.k.Hi>>32), uint(p.n)), same, old)
				} else if old != 0 {
					b := p.k.Addr(false).As16()
					pat6.Delete(patricia.NewIPv6Address(b[:], uint(p.n)), same, old)
				}
				continue
			}
			r.set(p, i+1)
			rival.Insert(p.k.Prefix(p.n, v4), i+1)
			if v4 {
				pat4.Set(patricia.NewIPv4Address(uint32(p.k.Hi>>32), uint(p.n)), i+1)
			} else {
				b := p.k.Addr(false).As16()
				pat6.Set(patricia.NewIPv6Address(b[:], uint(p.n)), i+1)
			}
		}
		list := sorted(r.truth)
		for range 20000 {
			p := list[r.rnd.IntN(len(list))]
			h := Key{r.rnd.Uint64(), r.rnd.Uint64()}.Mask(width)
			m := h.Mask(p.n)
			k := Key{p.k.Hi | (h.Hi ^ m.Hi), p.k.Lo | (h.Lo ^ m.Lo)}
			got, n := r.tree.Match(k, width)
			pfx, want, _ := rival.LookupPrefixLPM(netip.PrefixFrom(k.Addr(v4), int(width)))
			if got != want || got != 0 && int(n) != pfx.Bits() {
				t.Fatalf("Match(%v) = %d/%d, bart says %d %v", k.Addr(v4), got, n, want, pfx)
			}
			var ok bool
			if v4 {
				ok, want = pat4.FindDeepestTag(patricia.NewIPv4Address(uint32(k.Hi>>32), 32))
			} else {
				b := k.Addr(false).As16()
				ok, want = pat6.FindDeepestTag(patricia.NewIPv6Address(b[:], 128))
			}
			if ok != (got != 0) || ok && got != want {
				t.Fatalf("Match(%v) = %d, patricia says %d", k.Addr(v4), got, want)
			}
		}
	}
}

func TestChangesAllocateNothing(t *testing.T) {
	r := newRig(t, 32, 1<<22)
	var list []prefix
	for range 2000 {
		p := r.random()
		r.set(p, 3)
		list = append(list, p)
	}
	i := 0
	batch := func() {
		for range 64 {
			p := list[i%len(list)]
			if i/len(list)%2 == 0 {
				r.tree.Delete(p.k, p.n)
			} else {
				r.tree.Set(p.k, p.n, 4)
			}
			i++
		}
		r.publish()
		r.begin()
	}
	for range 200 {
		batch()
	}
	if n := testing.AllocsPerRun(200, batch); n != 0 {
		t.Errorf("%v allocations a batch of changes", n)
	}
	v := r.tree.View()
	dst := make([]Entry, 0, 40)
	if n := testing.AllocsPerRun(200, func() {
		p := list[i%len(list)]
		i++
		v.Match(p.k, 32)
		v.Get(p.k, p.n)
		dst = v.Covering(p.k, 32, dst[:0])
		c := v.Cursor()
		c.Under(p.k, p.n)
		for c.Next() {
		}
	}); n != 0 {
		t.Errorf("%v allocations a look-up", n)
	}
}
