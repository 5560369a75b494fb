package shard

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// rejudgeKeys has a few prefixes of one length judged again, by filters that some
// peers have: those of the others are left alone.
func (w *world) rejudgeKeys() {
	w.f.Flush()
	w.settleJudging() // of what is under way nothing is known here
	w.r.Sync()
	at := w.at()
	keys := []trie.Key{at.k}
	for o := range w.m.routes {
		if o.t == at.t && o.n == at.n && len(keys) < 5 {
			keys = append(keys, o.k)
		}
	}
	// What was judged before stays as it is, but for these keys.
	w.filters[w.peer()] = &testFilter{&w.specs, w.rnd.Uint32N(4)}
	filters := map[rib.PeerNum]rib.Filter{}
	for n, f := range w.filters {
		filters[n] = f
	}
	asked := slices.Clone(keys)
	w.r.RejudgeKeys(at.t, asked, at.n, func(n rib.PeerNum) rib.Filter { return filters[n] })
	w.m.each(func(o prefixKey, p modelPath) modelPath {
		if o.t == at.t && o.n == at.n && slices.Contains(keys, o.k) && filters[p.Peer] != nil {
			return w.judged(o, p)
		}
		return p
	})
}

// mark looks whether everything that was flushed is there when Mark returns: what
// goes on in the background is done with before.
func (w *world) mark() {
	w.f.Flush()
	w.settleJudging()
	w.r.Sync()
	for range 20 {
		at, p := w.at(), w.path()
		p = w.judged(at, p)
		w.f.Announce(at.t, at.k, at.n, &p.Path)
		w.m.announce(at, p)
		if w.rnd.IntN(4) == 0 {
			w.f.Flush()
		}
	}
	w.f.Flush()
	w.r.Mark(nil)
	w.views = append(w.views, heldModel{w.r.View(), w.m.clone()})
}

// checkLonger compares what is under random prefixes.
func (w *world) checkLonger(rd *Reader) {
	for range 200 {
		at := w.at()
		if f, _, _ := w.r.TableInfo(at.t); f.Form() == wire.FormRaw {
			continue
		}
		if w.rnd.IntN(2) == 0 {
			at.n /= 2
			at.k = at.k.Mask(at.n)
		}
		want := map[prefixKey]bool{}
		for o := range w.m.routes {
			if o.t == at.t && o.n > at.n && o.k.Mask(at.n) == at.k {
				want[o] = true
			}
		}
		all := len(want)
		rd.Pin()
		rd.Longer(at.t, at.k, at.n, func(m Match) bool {
			o := prefixKey{m.Table, m.Key, m.Len}
			if !want[o] {
				w.t.Fatalf("%v is said to be under %v, or said twice", o, at)
			}
			delete(want, o)
			if err := w.m.same(w.r, rd.Paths(m, nil), o); err != nil {
				w.t.Fatal(err)
			}
			return true
		})
		if len(want) > 0 {
			w.t.Fatalf("of what is under %v, these are missing: %v", at, want)
		}
		calls := 0
		rd.Longer(at.t, at.k, at.n, func(Match) bool { calls++; return false })
		if calls != min(all, 1) {
			w.t.Fatalf("%d calls of one that returns false", calls)
		}
		rd.Unpin()
	}
}

// TestMarkIsWhereTheFeedHasEverything flushes from several goroutines, each with
// a mark behind its routes: who has passed the mark has read of them.
func TestMarkIsWhereTheFeedHasEverything(t *testing.T) {
	l := newLab(t, Options{Shards: 2}, 4)
	defer l.f.Close()
	const rounds, each = 200, 7
	id := (&specTable{r: l.r}).id(attrSpec{path: []uint32{64500}})
	marks := make(chan [2]any, 4*rounds)
	fl := l.r.Follow("")
	defer fl.Close()
	fl.Snapshot().Close()
	var all sync.WaitGroup
	for g := range uint32(4) {
		all.Go(func() {
			fan := l.r.NewFan()
			defer fan.Close()
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			if g%2 == 0 {
				fan.Express()
			}
			for i := range uint32(rounds) {
				size := uint32(each)
				if rnd.IntN(20) == 0 {
					size = 3000
				}
				for range size {
					fan.Announce(rib.TableIPv4Unicast, trie.Key4(rnd.Uint32()), 32, &rib.Path{Peer: l.nums[g], Attrs: id, Received: i + 1})
				}
				fan.Flush()
				marks <- [2]any{g, append(Mark{uint64(i + 1)}, l.r.Mark(nil)...)}
			}
		})
	}
	go func() { all.Wait(); close(marks) }()
	seen := [4]uint32{}
	buf := make([]Change, 512)
	for x := range marks {
		g, m := x[0].(uint32), x[1].(Mark)
		for !fl.Passed(m[1:]) {
			n, ok := fl.Next(buf)
			if !ok {
				fl.Snapshot().Close()
				seen = [4]uint32{rounds, rounds, rounds, rounds} // it has fallen out: nothing to tell
			}
			for _, c := range buf[:n] {
				i := slices.Index(l.nums, c.Path.Peer)
				seen[i] = max(seen[i], c.Path.Received)
			}
		}
		if seen[g] < uint32(m[0]) {
			t.Fatalf("peer %d: the mark behind round %d is passed, and only round %d was read", g, m[0], seen[g])
		}
	}
}

// TestMarkWakesNobody asks an idle RIB: nothing is allocated.
func TestMarkWakesNobody(t *testing.T) {
	l := newLab(t, Options{Shards: 2}, 1)
	defer l.f.Close()
	m := l.r.Mark(nil)
	if n := testing.AllocsPerRun(100, func() { m = l.r.Mark(m) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOnTableHearsOfEachTableOnce(t *testing.T) {
	r := open(t, Options{Shards: 1})
	var mu sync.Mutex
	heard := map[rib.TableID]int{}
	r.Table(wire.L2VPNEVPN, 0)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for rd := range uint64(50) {
				r.Table(wire.IPv4VPN, rd)
			}
		})
	}
	r.OnTable(func(tb rib.TableID, f wire.Family) {
		mu.Lock()
		defer mu.Unlock()
		heard[tb]++
		if g, _, _ := r.TableInfo(tb); g != f {
			t.Errorf("table %d is of %v, not of %v", tb, g, f)
		}
	})
	all.Wait()
	r.Table(wire.IPv4FlowSpec, 0)
	mu.Lock()
	defer mu.Unlock()
	for tb := range rib.TableID(4 + 1 + 50 + 1) {
		if heard[tb] != 1 {
			t.Errorf("table %d was told of %d times", tb, heard[tb])
		}
	}
}

// TestRejudgeKeysLeavesTheRestAlone has one of many rules judged again: one change
// is told of, and the others were not asked for.
func TestRejudgeKeysLeavesTheRestAlone(t *testing.T) {
	l := newLab(t, Options{Shards: 2}, 2)
	defer l.f.Close()
	tb, _ := l.r.Table(wire.IPv4FlowSpec, 0)
	id := (&specTable{r: l.r}).id(attrSpec{path: []uint32{64500}})
	var keys []trie.Key
	for i := range byte(200) {
		k, n, _ := l.r.RawKey([]byte{3, 3, 0x81, i})
		keys = append(keys, k)
		for _, p := range l.nums {
			l.announce(tb, k, n, rib.Path{Peer: p, Attrs: id, Received: 1})
		}
	}
	l.sync()
	fl := l.r.Follow("")
	defer fl.Close()
	fl.Snapshot().Close()
	f := &countingFilter{}
	l.r.RejudgeKeys(tb, []trie.Key{keys[7]}, 32, func(n rib.PeerNum) rib.Filter {
		if n == l.nums[0] {
			return f
		}
		return nil
	})
	m := l.r.Mark(nil)
	var got []Change
	for buf := make([]Change, 8); !fl.Passed(m); {
		n, _ := fl.Next(buf)
		got = append(got, buf[:n]...)
	}
	if len(got) != 1 || got[0].Key != keys[7] || got[0].Path.Peer != l.nums[0] || got[0].Path.Filtered != rib.FilterMoreSpecific {
		t.Fatalf("the feed has %+v", got)
	}
	if f.routes > 2 {
		t.Errorf("the filter was asked %d times for one path", f.routes)
	}
	if !bytes.Equal([]byte(got[0].Path.Filtered.String()), []byte("more-specific")) || !got[0].Path.Filtered.Invalid() {
		t.Errorf("reason %v", got[0].Path.Filtered)
	}
}

// countingFilter says of each route that it is not feasible.
type countingFilter struct{ routes int }

func (f *countingFilter) Set(wire.Family, rib.PeerNum, rib.AttrID) (rib.Verdict, bool) {
	return rib.Verdict{}, false
}

func (f *countingFilter) Route(_ wire.Family, _ uint64, _ trie.Key, _ uint8, p *rib.Path) rib.Verdict {
	f.routes++
	return rib.Verdict{Attrs: p.Attrs, Filtered: rib.FilterMoreSpecific}
}
