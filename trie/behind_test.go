package trie

import (
	"testing"

	"ribd/internal/slab"
)

// behindRig is an image and the tree from which it catches up: home prefixes
// with their handles, and some that do not count.
type behindRig struct {
	*imageRig
	tree *Tree
	hh   *slab.Heap
}

const doesNotCount = 1 << 29

func newBehindRig(t *testing.T, v4 bool, nodeWords uint64) *behindRig {
	r := &behindRig{imageRig: newImageRig(t, v4, nodeWords, 1<<20)}
	a := slab.NewArena("trees", 1<<22)
	t.Cleanup(a.Close)
	r.hh = slab.NewHeap(a, r.domain, nil)
	width := uint8(32)
	if !v4 {
		width = 128
	}
	r.tree = NewTree(r.hh, width)
	r.tree.Begin(1)
	return r
}

func (r *behindRig) set(p prefix, v uint32) {
	if p.n < r.least() {
		return
	}
	if _, ok := r.tree.Set(p.k, p.n, v); !ok {
		r.t.Fatal("no memory for the tree")
	}
}

func (r *behindRig) come(p prefix, deferred bool) {
	if r.truth[p] != 0 {
		return
	}
	h, ok := r.handles.Alloc(p.n, 1)
	if !ok {
		r.t.Fatal("no memory for handles")
	}
	if !(deferred && r.w.Defer(p.k, p.n)) && !r.w.Insert(p.k, p.n, h) {
		r.handles.Free(h)
		return
	}
	r.truth[p] = h
	r.set(p, h)
}

func (r *behindRig) leave(p prefix, deferred bool) {
	h := r.truth[p]
	if h == 0 {
		return
	}
	if p.n >= r.least() {
		r.tree.Delete(p.k, p.n)
	}
	if !(deferred && r.w.Defer(p.k, p.n)) {
		r.delete(p)
		return
	}
	delete(r.truth, p)
	r.handles.Retire(h)
}

func (r *behindRig) catchUp(budget int) bool {
	return r.w.CatchUp(r.tree.View(), func(vs []uint32) {
		for i, v := range vs {
			if v&doesNotCount != 0 {
				vs[i] = 0
			}
		}
	}, budget)
}

// checkBehind asks for random addresses: what is deferred says so, and nothing
// else does.
func (r *behindRig) checkBehind(n int) {
	r.t.Helper()
	for range n {
		p := r.some()
		k := Key{r.rnd.Uint64(), r.rnd.Uint64()}
		h := k.Mask(p.n)
		k = Key{p.k.Hi | (k.Hi ^ h.Hi), p.k.Lo | (k.Lo ^ h.Lo)}.Mask(r.width)
		got := r.lookup(k)
		if r.w.Deferred(k, r.width) {
			if got != Behind {
				r.t.Fatalf("Lookup(%v) = %#x, want Behind", k.Addr(r.v4), got)
			}
			continue
		}
		if want := r.match(k, 0, int(r.width)); got != want {
			r.t.Fatalf("Lookup(%v) = %#x, want %#x", k.Addr(r.v4), got, want)
		}
	}
}

// TestDeferredSlotsSayThatTheyAreBehind has prefixes come and go one by one and
// deferred, mixed, and the image catch up now and then.
func TestDeferredSlotsSayThatTheyAreBehind(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		for _, words := range []uint64{1 << 22, 5 * slab.ExtentWords} {
			r := newBehindRig(t, v4, words)
			for range 100 {
				deferred := r.rnd.IntN(3) > 0
				for range 1 + r.rnd.IntN(200) {
					switch x := r.rnd.IntN(20); {
					case x < 11:
						r.come(r.random(), deferred)
					case x < 12:
						if p := r.random(); r.truth[p] == 0 {
							r.set(p, doesNotCount)
						}
					default:
						r.leave(r.some(), deferred)
					}
				}
				for i := r.rnd.IntN(4); i > 0 && !r.catchUp(1+r.rnd.IntN(100)); i-- {
				}
				if r.rnd.IntN(4) == 0 {
					r.catchUp(1 << 30)
				}
				if r.rnd.IntN(8) == 0 {
					r.heap.Drain(3)
					for at, done := (Position{}), false; !done; {
						at, done = r.w.Evacuate(at, 100)
					}
				}
				r.publish()
				r.checkBehind(200)
			}
			for !r.catchUp(50) {
			}
			r.publish()
			if words == 1<<22 {
				if r.w.Behind() != 0 {
					t.Errorf("%d slots are behind", r.w.Behind())
				}
				r.check(1000)
			}
			r.checkBehind(1000)
			for p := range r.truth {
				r.leave(p, true)
			}
			r.publish()
			r.tree.Clear()
			r.catchUp(1 << 30)
			r.empty()
		}
	}
}

// TestAnImageThatCaughtUpIsTheSame compares the nodes with those of an image
// that was kept up all the time.
func TestAnImageThatCaughtUpIsTheSame(t *testing.T) {
	for _, v4 := range []bool{true, false} {
		a, b := newBehindRig(t, v4, 1<<22), newImageRig(t, v4, 1<<22, 1<<20)
		for range 5000 {
			p := a.random()
			a.come(p, true)
			if b.truth[p] == 0 && !b.insert(p) {
				t.Fatal("no memory")
			}
		}
		a.catchUp(1 << 30)
		if x, y := a.heap.Stats().LiveWords, b.heap.Stats().LiveWords; x != y {
			t.Errorf("nodes take %d words, of an image that was kept up %d", x, y)
		}
	}
}
