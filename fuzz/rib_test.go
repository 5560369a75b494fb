package fuzz

import (
	"maps"
	"slices"
	"testing"

	"ribd/internal/slab"
	"ribd/shard/rib"
)

// FuzzBlocks promises of any sequence of changes of one prefix, three octets
// each: its block holds what a plain map holds; every version that somebody
// holds stays as it was, in chunks and out of them; and when all is withdrawn
// and nobody holds anything, no word of memory is lost.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6})
	seed := make([]byte, 3*400)
	for i := range seed {
		seed[i] = byte(i*7 + i>>3)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newBlockWorld(t)
		defer w.close()
		for ; len(data) >= 3 && w.version < 300; data = data[3:] {
			w.step(data[0], data[1], data[2])
		}
		w.finish()
	})
}

type blockKey struct {
	peer rib.PeerNum
	has  bool
	id   uint32
}

type heldBlock struct {
	version, ref uint32
	truth        map[blockKey]rib.Path
}

type blockWorld struct {
	t       *testing.T
	arena   *slab.Arena
	heap    *slab.Heap
	domain  *slab.Domain
	holds   slab.Holds
	attrs   *rib.Attrs
	peers   rib.Peers
	e       *rib.Editor
	r       rib.Ranker
	ids     []rib.AttrID
	version uint32
	ref     uint32
	truth   map[blockKey]rib.Path
	held    []heldBlock
}

func newBlockWorld(t *testing.T) *blockWorld {
	w := &blockWorld{t: t, domain: slab.NewDomain(), version: 1, truth: map[blockKey]rib.Path{}}
	w.attrs = rib.NewAttrs(rib.AttrsOptions{MaxSets: 1 << 10, MaxWords: 1 << 18})
	w.arena = slab.NewArena("blocks", 1<<20)
	w.heap = slab.NewHeap(w.arena, w.domain, &w.holds)
	w.e = rib.NewEditor(w.heap, w.attrs, &w.peers)
	w.r = rib.Ranker{Attrs: w.attrs, Peers: &w.peers}
	for i := range 256 {
		w.peers.Set(rib.NewPeer(rib.PeerNum(i+1), rib.PeerInfo{RouterID: uint32(i % 9)}))
	}
	for i := range byte(8) {
		id, _ := w.attrs.Intern([]byte{0x40, 1, 1, i % 3, 0x40, 2, 6, 2, 1, 0, 0, 0, i & 1, 0x80, 4, 4, 0, 0, 0, i})
		w.ids = append(w.ids, id)
	}
	return w
}

func (w *blockWorld) close() {
	w.arena.Close()
	w.attrs.Close()
}

func (w *blockWorld) step(op, peer, x byte) {
	w.e.Open(w.ref)
	for i := range int(1 + op>>5) { // one operation touches several paths
		k := blockKey{peer: rib.PeerNum(peer) + rib.PeerNum(i) + 1}
		if k.peer > 256 {
			break
		}
		if x&1 != 0 {
			k.has, k.id = true, uint32(x>>1&1)
		}
		if op&7 == 0 {
			var gone rib.Path
			if _, ok := w.e.Remove(k.peer, k.has, k.id, &gone); ok != (w.truth[k].Peer != 0) {
				w.t.Fatalf("version %d: %+v was there: %v", w.version, k, ok)
			}
			delete(w.truth, k)
			continue
		}
		p := rib.Path{Peer: k.peer, HasPathID: k.has, PathID: k.id, Attrs: w.ids[x>>2&7], Received: w.version, Filtered: rib.FilterReason(x >> 7), Stale: rib.Stale(x >> 5 & 3)}
		if op&8 != 0 {
			p.PreAttrs = w.ids[0]
			if p.PreAttrs == p.Attrs {
				p.PreAttrs = 0
			}
		}
		if op&16 != 0 {
			p.Labels = 5
		}
		w.e.Put(rib.AppendRecord(nil, &p, true), false)
		w.truth[k] = p
	}
	w.commit()
	if op&7 == 7 && len(w.held) < 20 && w.ref != 0 {
		w.holds.Hold(w.version - 1)
		w.held = append(w.held, heldBlock{w.version - 1, w.ref, maps.Clone(w.truth)})
	}
	if op&7 == 6 && len(w.held) > 0 {
		i := int(x) % len(w.held)
		w.check(w.held[i].ref, w.held[i].truth)
		w.holds.Release(w.held[i].version)
		w.held = slices.Delete(w.held, i, i+1)
	}
}

// commit writes the block as a shard does, and publishes it.
func (w *blockWorld) commit() {
	if w.e.Len() != len(w.truth) {
		w.t.Fatalf("version %d: %d paths, want %d", w.version, w.e.Len(), len(w.truth))
	}
	switch {
	case !w.e.Dirty():
	case w.e.Len() == 0:
		w.e.Retire()
		w.ref = 0
	default:
		ref, ok := w.e.Commit(w.version, w.version, w.holds.Any(), false)
		if !ok {
			w.t.Fatal("no room for a block")
		}
		w.e.Retire()
		w.ref = ref
	}
	w.heap.Publish(w.version, w.domain.Advance())
	w.heap.Reclaim()
	w.version++
	if w.ref != 0 && (len(w.truth) < 80 || w.version%8 == 0) {
		w.check(w.ref, w.truth)
	}
}

func (w *blockWorld) check(ref uint32, truth map[blockKey]rib.Path) {
	b := rib.NewBlocks(w.arena)
	got := b.Paths(ref, nil, &w.r, nil)
	if len(got) != len(truth) || b.Len(ref) != len(truth) {
		w.t.Fatalf("block %#x has %d paths, %d by its length, want %d", ref, len(got), b.Len(ref), len(truth))
	}
	filtered := false
	for i, p := range got {
		filtered = filtered || p.Filtered != rib.FilterNone
		if filtered != (p.Filtered != rib.FilterNone) || p.Best != (i == 0 && !filtered) || int(p.Rank) != i+1 {
			w.t.Fatalf("path %d of %#x is %+v", i, ref, p)
		}
		p.Rank, p.Best, p.Reason = 0, false, rib.StepNone
		if want := truth[blockKey{p.Peer, p.HasPathID, p.PathID}]; want != p {
			w.t.Fatalf("path %d of %#x is %+v, want %+v", i, ref, p, want)
		}
	}
}

func (w *blockWorld) finish() {
	for _, h := range w.held {
		w.check(h.ref, h.truth)
		w.holds.Release(h.version)
	}
	w.e.Open(w.ref)
	w.truth = map[blockKey]rib.Path{}
	w.e.RemovePeers(allPeers(), func(*rib.Path, bool) {})
	w.commit()
	w.heap.Reclaim()
	if s := w.heap.Stats(); s.LiveWords+s.RetiredWords+s.HeldWords != 0 {
		w.t.Fatalf("memory is lost: %+v", s)
	}
}

func allPeers() (s rib.PeerSet) {
	for n := range rib.PeerNum(300) {
		s = s.With(n)
	}
	return s
}
