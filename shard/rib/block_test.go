package rib

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ribd/internal/slab"
)

func peerAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}) }

type bench struct {
	heap   *slab.Heap
	domain *slab.Domain
	holds  *slab.Holds
	attrs  *Attrs
	peers  *Peers
	e      *Editor
	b      Blocks
	ids    []AttrID
}

func newBench(t testing.TB, peers int) *bench {
	x := &bench{domain: slab.NewDomain(), holds: &slab.Holds{}, attrs: newAttrs(t, AttrsOptions{}), peers: &Peers{}}
	a := slab.NewArena("blocks", 1<<22)
	t.Cleanup(a.Close)
	x.heap = slab.NewHeap(a, x.domain, x.holds)
	x.e = NewEditor(x.heap, x.attrs, x.peers)
	x.b = NewBlocks(a)
	for i := range peers {
		x.peers.Set(NewPeer(PeerNum(i+1), PeerInfo{Addr: peerAddr(i), RouterID: uint32(i % 7)}))
	}
	for i := range 40 {
		b := []byte{0x40, 1, 1, byte(i % 3), 0x40, 2, 6, 2, 1, 0, 0, 1, byte(i % 4), 0x40, 3, 4, 1, 2, 3, 4, 0x80, 4, 4, 0, 0, 0, byte(i / 8)}
		id, _ := x.attrs.Intern(b)
		x.ids = append(x.ids, id)
	}
	return x
}

// TestManyPathsShareChunks changes one path of a thousand: little is written,
// and the versions before stay as they were.
func TestManyPathsShareChunks(t *testing.T) {
	const n = 1000
	x := newBench(t, n)
	rnd := rand.New(rand.NewPCG(1, 1))
	x.e.Open(0)
	var rec []uint32
	truth := map[PeerNum]Path{}
	put := func(n PeerNum) {
		p := Path{Peer: n, Attrs: x.ids[rnd.IntN(len(x.ids))], Received: rnd.Uint32()}
		rec = AppendRecord(rec[:0], &p, true)
		x.e.Put(rec, false)
		truth[n] = p
	}
	for i := range n {
		put(PeerNum(i + 1))
	}
	ref, ok := x.e.Commit(5, 1, false, false)
	if !ok {
		t.Fatal("no memory")
	}
	var r Ranker
	r.Attrs, r.Peers = x.attrs, x.peers
	x.holds.Hold(1)
	first := x.b.Paths(ref, nil, &r, nil)
	old := ref
	publish := func(v uint32) {
		x.heap.Publish(v, x.domain.Advance())
		x.heap.Reclaim()
	}
	publish(1)
	before := x.heap.Stats().LiveWords
	total := uint64(0)
	for v := uint32(2); v < 500; v++ {
		x.e.Open(ref)
		put(PeerNum(1 + rnd.IntN(n)))
		next, ok := x.e.Commit(5, v, true, false)
		if !ok {
			t.Fatal("no memory")
		}
		x.e.Retire()
		ref = next
		publish(v)
		if v == 2 {
			total = x.heap.Stats().HeldWords
		}
	}
	if total > before/3 {
		t.Errorf("one change kept %d words of %d from reuse", total, before)
	}
	got := x.b.Paths(ref, nil, &r, nil)
	if len(got) != n || x.b.Len(ref) != n || x.b.Handle(ref) != 5 {
		t.Fatalf("%d paths, length %d", len(got), x.b.Len(ref))
	}
	for _, p := range got {
		p.Rank, p.Best, p.Reason = 0, false, 0
		if truth[p.Peer] != p {
			t.Fatalf("%+v, want %+v", p, truth[p.Peer])
		}
	}
	// The order is that of a block made at once.
	x.e.Open(0)
	for _, p := range truth {
		rec = AppendRecord(rec[:0], &p, true)
		x.e.Put(rec, false)
	}
	fresh, _ := x.e.Commit(5, 500, false, false)
	if want := x.b.Paths(fresh, nil, &r, nil); !slices.Equal(got, want) {
		t.Error("the order depends on the history")
	}
	if now := x.b.Paths(old, nil, &r, nil); !slices.Equal(now, first) {
		t.Error("the first version has changed")
	}
	x.holds.Release(1)
	x.heap.Reclaim()
	x.e.Open(ref)
	x.e.Retire()
	x.e.Open(fresh)
	x.e.Retire()
	publish(501)
	if s := x.heap.Stats(); s.LiveWords+s.HeldWords+s.RetiredWords != 0 {
		t.Errorf("memory is lost: %+v", s)
	}
}

// TestCommitAtTheCapChangesNothing fills a small heap with chunks and blocks.
func TestCommitAtTheCapChangesNothing(t *testing.T) {
	x := newBench(t, 300)
	a := slab.NewArena("small", 3*slab.ExtentWords)
	defer a.Close()
	x.heap = slab.NewHeap(a, x.domain, nil)
	x.e, x.b = NewEditor(x.heap, x.attrs, x.peers), NewBlocks(a)
	var rec []uint32
	var refs []uint32
	r := Ranker{Attrs: x.attrs, Peers: x.peers}
	for {
		x.e.Open(0)
		for i := range 200 {
			rec = AppendRecord(rec[:0], &Path{Peer: PeerNum(i + 1), Attrs: x.ids[i%len(x.ids)]}, true)
			x.e.Put(rec, false)
		}
		ref, ok := x.e.Commit(0, 1, false, false)
		if !ok {
			break
		}
		refs = append(refs, ref)
	}
	live := x.heap.Stats().LiveWords
	x.e.Open(refs[0])
	for i := range 100 {
		rec = AppendRecord(rec[:0], &Path{Peer: PeerNum(i + 201), Attrs: x.ids[0]}, true)
		x.e.Put(rec, false)
	}
	if _, ok := x.e.Commit(0, 2, false, false); ok {
		t.Fatal("there was room")
	}
	if now := x.heap.Stats().LiveWords; now != live {
		t.Errorf("%d words live, %d before", now, live)
	}
	if n := len(x.b.Paths(refs[0], nil, &r, nil)); n != 200 {
		t.Errorf("%d paths", n)
	}
}

func TestBestAgreesWithPaths(t *testing.T) {
	x := newBench(t, 200)
	rnd := rand.New(rand.NewPCG(4, 4))
	r := Ranker{Attrs: x.attrs, Peers: x.peers}
	var rec []uint32
	for range 500 {
		x.e.Open(0)
		n := 1 + rnd.IntN(6)
		if rnd.IntN(10) == 0 {
			n = 100
		}
		for range n {
			p := Path{Peer: PeerNum(1 + rnd.IntN(200)), Attrs: x.ids[rnd.IntN(len(x.ids))], Filtered: FilterReason(rnd.IntN(2) * rnd.IntN(3))}
			rec = AppendRecord(rec[:0], &p, true)
			x.e.Put(rec, false)
		}
		ref, _ := x.e.Commit(0, 1, false, false)
		var down PeerSet
		if rnd.IntN(2) == 0 {
			for range 3 {
				down = down.With(PeerNum(1 + rnd.IntN(200)))
			}
			down = down.With(x.b.Paths(ref, nil, &r, nil)[0].Peer)
		}
		paths := x.b.Paths(ref, down, &r, nil)
		best, count, many := x.b.Best(ref, down, &r)
		want, origins := 0, map[uint32]bool{}
		for _, p := range paths {
			if down.Has(p.Peer) {
				t.Fatal("a path of a peer that is down")
			}
			if p.Filtered == FilterNone {
				want++
				s, _ := x.attrs.Summary(p.Attrs)
				origins[s.OriginAS] = true
			}
		}
		if count != want || many != (len(origins) > 1) || x.b.Eligible(ref, down) != (want > 0) {
			t.Fatalf("count %d, want %d; many origins %v of %v", count, want, many, origins)
		}
		if want > 0 && best != paths[0] {
			t.Fatalf("best %+v of %+v", best, paths)
		}
	}
}
