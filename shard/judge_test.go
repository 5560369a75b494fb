package shard

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// specTable knows the specs behind ids, for filters that read them.
type specTable struct {
	r  *RIB
	mu sync.Mutex
	by map[rib.AttrID]attrSpec
}

func (s *specTable) id(a attrSpec) rib.AttrID {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.r.Attrs().Intern(a.canonical())
	if !ok {
		panic("no id")
	}
	if s.by == nil {
		s.by = map[rib.AttrID]attrSpec{}
	}
	s.by[id] = a
	return id
}

func (s *specTable) spec(id rib.AttrID) attrSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.by[id]
	if !ok {
		panic("an id that nobody interned")
	}
	return a
}

// testFilter refuses some communities, and half of the prefixes of another, and
// sets the MED of a third.
type testFilter struct {
	specs *specTable
	salt  uint32
}

func (f *testFilter) verdict(a attrSpec, n uint8, whole bool) (out attrSpec, why rib.FilterReason, final bool) {
	switch (a.community + f.salt) % 4 {
	case 0:
		return a, rib.FilterASSet, true
	case 1:
		if whole && n%2 == 0 {
			return a, rib.FilterPolicy, true
		}
		a.med = 77
		return a, rib.FilterNone, whole
	case 2:
		a.med = int64(f.salt)
	}
	return a, rib.FilterNone, true
}

func (f *testFilter) Set(_ wire.Family, _ rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	a, why, final := f.verdict(f.specs.spec(id), 0, false)
	return rib.Verdict{Attrs: f.specs.id(a), Filtered: why}, final
}

func (f *testFilter) Route(_ wire.Family, _ uint64, _ trie.Key, n uint8, p *rib.Path) rib.Verdict {
	a, why, _ := f.verdict(f.specs.spec(p.Attrs), n, true)
	return rib.Verdict{Attrs: f.specs.id(a), Filtered: why}
}

// intern gives a path its ids.
func (w *world) intern(p *modelPath) {
	p.Attrs, p.PreAttrs = w.specs.id(p.spec), 0
	if p.pre != nil {
		if p.PreAttrs = w.specs.id(*p.pre); p.PreAttrs == p.Attrs {
			p.PreAttrs, p.pre = 0, nil
		}
	}
}

// judged is the path as the filter of its peer has it, where there is one.
func (w *world) judged(at prefixKey, p modelPath) modelPath {
	f := w.filters[p.Peer]
	if f == nil {
		return p
	}
	arrived := p.spec
	if p.pre != nil {
		arrived = *p.pre
	}
	p.spec, p.Filtered, _ = f.verdict(arrived, at.n, true)
	p.pre = &arrived
	w.intern(&p)
	return p
}

// each applies f to all paths of the model.
func (m *model) each(f func(at prefixKey, p modelPath) modelPath) {
	for at, ps := range m.routes {
		for k, p := range ps {
			ps[k] = f(at, p)
		}
	}
}

func (w *world) rejudge() {
	w.f.Flush()
	w.r.Sync() // what Stale changes is not in order with it
	filters := map[rib.PeerNum]rib.Filter{}
	for _, n := range w.live {
		if w.rnd.IntN(2) == 0 {
			w.filters[n] = &testFilter{&w.specs, w.rnd.Uint32N(4)}
			filters[n] = w.filters[n]
		}
	}
	w.judging = append(w.judging, w.r.Rejudge(filters))
	w.m.each(func(at prefixKey, p modelPath) modelPath {
		if filters[p.Peer] == nil {
			return p
		}
		return w.judged(at, p)
	})
}

func (w *world) settleJudging() {
	for _, c := range w.judging {
		<-c
	}
	w.judging = w.judging[:0]
}

// aged is what becomes of a set of a peer that is gone.
func aged(a attrSpec) (attrSpec, bool) {
	a.community = llgrStale
	return a, a.origin != 1
}

// age marks what was not announced again in one of the open refreshes.
func (w *world) age() {
	for k, begun := range w.fresh {
		w.f.Flush()
		w.settleJudging() // what it changes is not in order with Stale
		n := rib.PeerNum(k[0])
		tb, _ := w.r.Table(wire.Family(k[1]), 0)
		kind := rib.Stale(1 + w.rnd.IntN(3))
		var each func(rib.AttrID) (rib.AttrID, bool)
		if kind == rib.StaleLLGR {
			each = func(id rib.AttrID) (rib.AttrID, bool) {
				a, keep := aged(w.specs.spec(id))
				return w.specs.id(a), keep
			}
		}
		w.r.Stale(n, tb, kind, each)
		old := func(at prefixKey, p modelPath) bool {
			f, _, _ := w.r.TableInfo(at.t)
			return p.Peer == n && uint32(f) == k[1] && p.mark < begun
		}
		if each != nil {
			w.m.drop(func(at prefixKey, p modelPath) bool { return old(at, p) && p.spec.origin == 1 })
		}
		w.m.each(func(at prefixKey, p modelPath) modelPath {
			if !old(at, p) {
				return p
			}
			p.Stale = kind
			if each != nil {
				p.spec, _ = aged(p.spec)
				if p.pre != nil {
					pre, _ := aged(*p.pre)
					p.pre = &pre
				}
				w.intern(&p)
			}
			return p
		})
		return
	}
}

// TestRejudgeKeepsWhatArrived changes a policy there and back: the table is as
// it was, and the feed told each change once.
func TestRejudgeKeepsWhatArrived(t *testing.T) {
	l := newLab(t, Options{Shards: 2}, 2)
	defer l.f.Close()
	st := &specTable{r: l.r}
	var ids []rib.AttrID
	for i := range uint32(4) {
		ids = append(ids, st.id(attrSpec{path: []uint32{64500}, med: 5, pref: -1, community: i + 1}))
	}
	const routes = 4000
	for i := range uint32(routes) {
		p := rib.Path{Peer: l.nums[i%2], Attrs: ids[i/2%4], Labels: 0, Received: i, Stale: rib.Stale(i / 8 % 2)}
		l.announce(rib.TableIPv4Unicast, trie.Key4(ten|i<<8), 24, p)
	}
	l.sync()
	paths := func() (out []rib.Path) {
		v := l.r.View()
		defer v.Close()
		for w := v.Walk(rib.TableIPv4Unicast, WalkRange{}); w.Next(); {
			out = w.Paths(out)
		}
		return out
	}
	before := paths()
	f := l.r.Follow("")
	defer f.Close()
	v := f.Snapshot()
	v.Close()
	<-l.r.Rejudge(map[rib.PeerNum]rib.Filter{l.nums[0]: &testFilter{st, 0}})
	changed := 0
	for i, p := range paths() {
		was := before[i]
		if p.Peer == l.nums[1] {
			if p != was {
				t.Fatalf("a path of another peer is %+v, was %+v", p, was)
			}
			continue
		}
		a, why, _ := (&testFilter{st, 0}).verdict(st.spec(was.Attrs), 24, true)
		if p.Filtered != why || p.Attrs != st.id(a) || p.Attrs != was.Attrs && p.PreAttrs != was.Attrs {
			t.Fatalf("path %+v, was %+v", p, was)
		}
		if p.Received != was.Received || p.Stale != was.Stale {
			t.Fatalf("path %+v, was %+v", p, was)
		}
		if plain(p) != plain(was) {
			changed++
		}
	}
	told := 0
	buf := make([]Change, 100)
	for {
		n, ok := f.Next(buf)
		if !ok {
			t.Fatal("the follower fell out")
		}
		if n == 0 {
			break
		}
		told += n
	}
	if changed == 0 || told != changed {
		t.Errorf("%d paths changed, the feed told %d", changed, told)
	}
	<-l.r.Rejudge(map[rib.PeerNum]rib.Filter{l.nums[0]: acceptAll{}})
	for i, p := range paths() {
		if p != before[i] {
			t.Fatalf("path %+v, was %+v", p, before[i])
		}
	}
}

type acceptAll struct{}

func (acceptAll) Set(_ wire.Family, _ rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	return rib.Verdict{Attrs: id}, true
}

func (acceptAll) Route(wire.Family, uint64, trie.Key, uint8, *rib.Path) rib.Verdict {
	panic("not asked")
}

// TestRejudgeEndsWithTheRIB closes a RIB that may not have begun yet.
func TestRejudgeEndsWithTheRIB(t *testing.T) {
	r, err := Open(Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	done := r.Rejudge(map[rib.PeerNum]rib.Filter{1: acceptAll{}})
	r.Close()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("the result is not closed")
	}
}

// TestStaleRoutes runs the life of routes whose peer went: kept, aged, announced
// again, removed.
func TestStaleRoutes(t *testing.T) {
	l := newLab(t, Options{Shards: 1 + rand.IntN(3)}, 1)
	defer l.f.Close()
	const tb = rib.TableIPv4Unicast
	peer := l.nums[0]
	st := &specTable{r: l.r}
	plainSet := st.id(attrSpec{path: []uint32{64500}, med: -1, pref: -1})
	noLLGR := st.id(attrSpec{origin: 1, path: []uint32{64500}, med: -1, pref: -1})
	key := func(i uint32) trie.Key { return trie.Key4(ten | i<<12) }
	for i := range uint32(300) {
		p := rib.Path{Peer: peer, Attrs: plainSet}
		if i%3 == 1 {
			p.Attrs = noLLGR
		}
		if i%3 == 2 {
			p.Attrs, p.PreAttrs = plainSet, noLLGR
		}
		l.announce(tb, key(i), 24, p)
	}
	l.sync()
	count := func(want map[rib.Stale]int) {
		t.Helper()
		l.sync()
		got := map[rib.Stale]int{}
		v := l.r.View()
		defer v.Close()
		for w := v.Walk(tb, WalkRange{}); w.Next(); {
			for _, p := range w.Paths(nil) {
				got[p.Stale]++
				if s, _ := l.r.Attrs().Summary(p.Attrs); s.LLGRStale != (p.Stale == rib.StaleLLGR) {
					t.Fatalf("path %+v has summary %+v", p, s)
				}
			}
		}
		if len(got) != len(want) {
			t.Fatalf("stale paths: %v, want %v", got, want)
		}
		stale := int64(0)
		for k, n := range want {
			if got[k] != n {
				t.Fatalf("stale paths: %v, want %v", got, want)
			}
			if k != rib.StaleNo {
				stale += int64(n)
			}
		}
		if ps, _ := l.r.PeerStatus(peer); ps.Counts[0].Stale != stale {
			t.Fatalf("peer counts %+v, want %d stale", ps.Counts, stale)
		}
	}
	l.r.Stale(peer, tb, rib.StaleGR, nil) // nothing: no refresh is open
	count(map[rib.Stale]int{rib.StaleNo: 300})
	l.r.Refresh(peer, tb)
	l.r.Stale(peer, tb, rib.StaleGR, nil)
	count(map[rib.Stale]int{rib.StaleGR: 300})
	for i := range uint32(30) {
		l.announce(tb, key(i), 24, rib.Path{Peer: peer, Attrs: plainSet})
	}
	count(map[rib.Stale]int{rib.StaleGR: 270, rib.StaleNo: 30})
	l.r.Stale(peer, tb, rib.StaleLLGR, func(id rib.AttrID) (rib.AttrID, bool) {
		a, keep := aged(st.spec(id))
		return st.id(a), keep
	})
	count(map[rib.Stale]int{rib.StaleLLGR: 90, rib.StaleNo: 30})
	l.r.EndRefresh(peer, tb)
	count(map[rib.Stale]int{rib.StaleNo: 30})
}

// TestNobodyHearsOfAPeerThatIsGone drops a peer while what Stale asks for still
// waits: DropPeer goes before it. Its routes, marked, would come after the end of
// their peer.
func TestNobodyHearsOfAPeerThatIsGone(t *testing.T) {
	l := newLab(t, Options{Shards: 1}, 1)
	defer l.f.Close()
	const tb = rib.TableIPv4Unicast
	peer := l.nums[0]
	for i := range uint32(10) {
		l.announce(tb, trie.Key4(ten|i<<12), 24, rib.Path{Peer: peer})
	}
	l.sync()
	l.r.Refresh(peer, tb)
	c := &copyOf{f: l.r.Follow("")}
	defer c.f.Close()
	c.reset()
	if len(c.routes) != 10 {
		t.Fatalf("the follower has %d prefixes", len(c.routes))
	}
	queued, dropped := make(chan struct{}), make(chan struct{})
	l.r.enqueue(l.r.shards[0], &batch{then: func(s *shard) {
		<-queued
		go func() {
			l.r.DropPeer(peer)
			close(dropped)
		}()
		(<-s.ctl)()
	}})
	l.r.Stale(peer, tb, rib.StaleGR, nil)
	l.r.enqueue(l.r.shards[0], &batch{then: (*shard).settleRefreshes}) // as Sync does
	close(queued)
	<-dropped
	l.r.Settle()
	c.take(t, l.r, 1<<30)
	if len(c.routes) != 0 {
		t.Errorf("the follower has %+v of a peer that is gone", c.routes)
	}
}
