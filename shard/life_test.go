package shard

import (
	"errors"
	"math/rand/v2"
	"runtime"

	"testing"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
)

// lab is a RIB with a few peers and sets, for tests of one thing.
type lab struct {
	t    testing.TB
	r    *RIB
	f    *Fan
	nums []rib.PeerNum
	ids  []rib.AttrID
}

func newLab(t testing.TB, o Options, peers int) *lab {
	l := &lab{t: t, r: open(t, o)}
	l.nums = addPeers(t, l.r, peers)
	l.f = l.r.NewFan()
	for i := range 16 {
		id, _ := l.r.Attrs().Intern(attrSpec{path: []uint32{64500, uint32(i)}, med: -1, pref: -1}.canonical())
		l.ids = append(l.ids, id)
	}
	return l
}

func (l *lab) announce(t rib.TableID, k trie.Key, n uint8, p rib.Path) {
	if p.Attrs == 0 {
		p.Attrs = l.ids[0]
	}
	l.f.Announce(t, k, n, &p)
}

func (l *lab) sync() {
	l.f.Flush()
	l.r.Sync()
}

const ten = uint32(10 << 24)

// eventually waits for what comes by itself; a minute is as long as never.
func eventually(is func() bool) bool {
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func TestMatchFallsBackForEachPeerAndPathID(t *testing.T) {
	l := newLab(t, Options{Shards: 2}, 3)
	k := trie.Key4(ten)
	const tb = rib.TableIPv4Unicast
	a, b, c := l.nums[0], l.nums[1], l.nums[2]
	l.announce(tb, k, 8, rib.Path{Peer: a})
	l.announce(tb, k, 16, rib.Path{Peer: b, HasPathID: true, PathID: 0})
	l.announce(tb, k, 16, rib.Path{Peer: b, HasPathID: true, PathID: 1})
	l.announce(tb, k, 24, rib.Path{Peer: a})
	l.announce(tb, k, 24, rib.Path{Peer: b})
	l.announce(tb, k, 32, rib.Path{Peer: c, Filtered: rib.FilterPolicy})
	l.sync()
	rd := l.r.NewReader()
	defer rd.Close()
	length := func(keep func(*rib.Path) bool) int {
		rd.Pin()
		defer rd.Unpin()
		m, _ := rd.MatchFunc(tb, k, 32, keep, nil)
		if !m.OK() {
			return -1
		}
		return int(m.Len)
	}
	best := func() int {
		rd.Pin()
		defer rd.Unpin()
		m, byTrie := rd.Match4(ten), rd.Match(tb, k, 32)
		if m.OK() != byTrie.OK() || m.Len != byTrie.Len {
			t.Errorf("image says %+v, trie %+v", m, byTrie)
		}
		if !m.OK() {
			return -1
		}
		return int(m.Len)
	}
	of := func(n rib.PeerNum) func(*rib.Path) bool {
		return func(p *rib.Path) bool { return p.Peer == n && p.Filtered == rib.FilterNone }
	}
	check := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: /%d, want /%d", what, got, want)
		}
	}
	check("best", best(), 24)
	check("a", length(of(a)), 24)
	check("b, path id 1", length(func(p *rib.Path) bool { return p.Peer == b && p.HasPathID && p.PathID == 1 }), 16)
	check("b, none", length(func(p *rib.Path) bool { return p.Peer == b && !p.HasPathID }), 24)
	check("c", length(of(c)), -1)
	check("c with filtered", length(func(p *rib.Path) bool { return p.Peer == c }), 32)
	l.f.Withdraw(tb, k, 24, a, 0, false)
	l.f.Withdraw(tb, k, 16, b, 1, true)
	l.sync()
	check("a, withdrawn", length(of(a)), 8)
	check("b, path id 1 withdrawn", length(func(p *rib.Path) bool { return p.PathID == 1 }), -1)
	check("b, path id 0", length(func(p *rib.Path) bool { return p.HasPathID && p.PathID == 0 }), 16)
	l.r.DropPeer(b)
	check("best, b down", best(), 8)
	check("b, down", length(of(b)), -1)
	l.r.Settle()
	check("best, b swept", best(), 8)
	l.announce(tb, k, 8, rib.Path{Peer: a, Filtered: rib.FilterPolicy})
	l.sync()
	check("nothing but filtered", best(), -1)
	l.f.Close()
}

// TestPeerThatGoesIsGone drops peers while a view holds their paths: none shows
// in what comes after, memory comes back, and the number rests.
func TestPeerThatGoesIsGone(t *testing.T) {
	l := newLab(t, Options{Shards: 2, IDRest: time.Nanosecond, compactEvery: time.Millisecond}, 2)
	a, b := l.nums[0], l.nums[1]
	const tb = rib.TableIPv4Unicast
	n := 50000
	if raceEnabled {
		n = 5000
	}
	empty := l.r.SlabBytes()
	for i := range uint32(n) {
		l.announce(tb, trie.Key4(ten+i<<8), 24, rib.Path{Peer: a})
		if i%2 == 0 {
			l.announce(tb, trie.Key4(ten+i<<8), 24, rib.Path{Peer: b, Attrs: l.ids[1]})
		}
		if l.f.Len() > 1000 {
			l.f.Flush()
		}
	}
	l.sync()
	v := l.r.View()
	full := l.r.SlabBytes()
	count := func(v *View) (prefixes, paths int) {
		for w := v.Walk(tb, WalkRange{}); w.Next(); prefixes++ {
			paths += len(w.Paths(nil))
		}
		return
	}
	l.r.DropPeer(a)
	now := l.r.View()
	if prefixes, paths := count(now); prefixes != n/2 || paths != n/2 {
		t.Errorf("after the drop: %d prefixes, %d paths", prefixes, paths)
	}
	now.Close()
	rd := l.r.NewReader()
	defer rd.Close()
	rd.Pin()
	if rd.Match4(ten+256).OK() || !rd.Match4(ten).OK() {
		t.Error("a look-up shows a peer that is down")
	}
	if p := rd.Paths(rd.Match4(ten), nil); len(p) != 1 || p[0].Peer != b || !p[0].Best || p[0].Reason != rib.StepOnlyPath {
		t.Errorf("%+v", p)
	}
	rd.Unpin()
	c, err := l.r.AddPeer(rib.PeerInfo{AS: 7})
	if err != nil || c == a {
		t.Fatalf("number %d after %d was dropped, %v", c, a, err)
	}
	l.r.Settle()
	d, _ := l.r.AddPeer(rib.PeerInfo{AS: 8})
	if d == a {
		t.Fatal("a number is used again that a view still shows")
	}
	if prefixes, paths := count(v); prefixes != n || paths != n+n/2 {
		t.Errorf("the view has %d prefixes, %d paths", prefixes, paths)
	}
	if st := l.r.Stats(); int(st.Tables[0].Prefixes) != n/2 || int(st.Tables[0].Paths) != n/2 {
		t.Errorf("%+v", st.Tables[0])
	}
	if info, ok := l.r.Peer(a); !ok || info.AS != 64500 {
		t.Error("a view's peer is forgotten")
	}
	v.Close()
	l.r.Settle()
	if e, _ := l.r.AddPeer(rib.PeerInfo{AS: 9}); e != a {
		t.Errorf("number %d is not used again: %d", a, e)
	}
	l.announce(tb, trie.Key4(ten), 24, rib.Path{Peer: a})
	l.sync()
	if st, _ := l.r.PeerStatus(a); len(st.Counts) != 1 || st.Counts[0].Paths != 1 || st.Info.AS != 9 {
		t.Errorf("%+v", st)
	}
	l.r.DropPeer(a)
	l.r.DropPeer(b)
	l.announce(tb, trie.Key4(ten), 24, rib.Path{Peer: b})
	l.sync()
	if st := l.r.Stats(); st.Late == 0 {
		t.Error("a route of a peer that is gone is not counted")
	}
	goal := empty + (full-empty)/2 // every heap keeps an extent
	if !raceEnabled && !eventually(func() bool { l.r.Settle(); return l.r.SlabBytes() <= goal }) {
		t.Errorf("%d octets of %d are left when nothing is, %d before", l.r.SlabBytes(), full, empty)
	}
	l.f.Close()
}

// TestANumberThatIsMadeFreeIsWaitedFor has all numbers in use but one, which
// another collectPeers has in hand.
func TestANumberThatIsMadeFreeIsWaitedFor(t *testing.T) {
	l := newLab(t, Options{Shards: 1, IDRest: time.Nanosecond, MaxPeers: 1}, 1)
	defer l.f.Close()
	l.r.DropPeer(l.nums[0])
	l.r.all((*shard).finishJobs)
	held := make(chan struct{})
	l.r.enqueue(l.r.shards[0], &batch{then: func(*shard) { <-held }})
	collected := make(chan struct{})
	go func() {
		l.r.collectPeers()
		close(collected)
	}()
	if !eventually(func() bool {
		l.r.peers.mu.Lock()
		defer l.r.peers.mu.Unlock()
		return len(l.r.peers.resting) == 0
	}) {
		t.Error("nobody collects")
	}
	added := make(chan error, 1)
	go func() {
		_, err := l.r.AddPeer(rib.PeerInfo{AS: 1})
		added <- err
	}()
	go func() {
		time.Sleep(20 * time.Millisecond) // who does not wait has been refused by then
		close(held)
	}()
	if err := <-added; err != nil {
		t.Error(err)
	}
	<-collected
}

func TestViewsAreBounded(t *testing.T) {
	l := newLab(t, Options{Shards: 1, MaxViews: 3, MaxViewAge: time.Hour}, 1)
	const tb = rib.TableIPv4Multicast
	l.announce(tb, trie.Key4(ten), 8, rib.Path{Peer: l.nums[0]})
	l.sync()
	var vs []*View
	for range 5 {
		vs = append(vs, l.r.View())
	}
	for i, v := range vs {
		ended := errors.Is(v.Err(), ErrViewEnded)
		if ended != (i < 2) || v.Get(tb, trie.Key4(ten), 8).OK() == ended {
			t.Errorf("view %d: %v", i, v.Err())
		}
		w := v.Walk(tb, WalkRange{})
		if w.Next() == ended || (w.Err() != nil) != ended {
			t.Errorf("walk of view %d: %v", i, w.Err())
		}
		w.Close()
	}
	if s := l.r.Stats(); s.Views != 3 || s.ViewsEnded != 2 {
		t.Errorf("%d views, %d ended", s.Views, s.ViewsEnded)
	}
	for _, v := range vs {
		v.Close()
	}
	l.r.View() // forgotten
	if !eventually(func() bool { runtime.GC(); return l.r.Stats().Views == 0 && !l.r.shards[0].holds.Any() }) {
		t.Errorf("%d views after all are closed or forgotten", l.r.Stats().Views)
	}
	l.f.Close()
}

func TestOldViewsAreEnded(t *testing.T) {
	l := newLab(t, Options{Shards: 1, MaxViewAge: 20 * time.Millisecond}, 1)
	v := l.r.View()
	defer v.Close()
	if !eventually(func() bool { return v.Err() != nil }) || !errors.Is(v.Err(), ErrViewEnded) {
		t.Error(v.Err())
	}
	l.f.Close()
}

// TestCapsRefuseRoutes fills each part of memory in turn: what is refused is
// counted, what was there stays, and removals go on.
func TestCapsRefuseRoutes(t *testing.T) {
	if raceEnabled {
		t.Skip("too many routes for the race detector")
	}
	for name, o := range map[string]Options{
		"tries":   {MaxTrieWords: 40 << 14},
		"blocks":  {MaxBlockWords: 40 << 14},
		"image":   {MaxImageWords: 40 << 14},
		"flood":   {MaxImageWords: 40 << 14},
		"handles": {MaxHandles: 8 << 14},
	} {
		t.Run(name, func(t *testing.T) {
			o.Shards = 1
			l := newLab(t, o, 2)
			const tb = rib.TableIPv4Unicast
			rnd := rand.New(rand.NewPCG(5, 5))
			keys := map[uint32]bool{}
			for range 30 {
				for i := range 20000 {
					if name == "image" && i%100 == 0 {
						l.f.Flush()
					}
					a := rnd.Uint32() &^ 3
					keys[a] = true
					l.announce(tb, trie.Key4(a), 30, rib.Path{Peer: l.nums[0]})
				}
				l.sync()
				if l.r.Stats().Refused > 1000 {
					break
				}
			}
			s := l.r.Stats()
			if name == "flood" { // the image stays behind, the tries answer
				s.Refused++
			}
			if s.Refused == 0 || s.Tables[0].Prefixes != s.Tables[0].Paths || s.Tables[0].Prefixes == 0 {
				t.Fatalf("refused %d, %+v", s.Refused, s.Tables[0])
			}
			rd := l.r.NewReader()
			defer rd.Close()
			found := 0
			for a := range keys {
				rd.Pin()
				m := rd.Match4(a)
				if g := rd.Get(tb, trie.Key4(a), 30); g.OK() != m.OK() || m.OK() && m.Len != 30 {
					t.Fatalf("%x: image %+v, trie %+v", a, m, g)
				}
				if m.OK() {
					found++
				}
				rd.Unpin()
			}
			if int64(found) != s.Tables[0].Prefixes {
				t.Errorf("%d prefixes are found of %d", found, s.Tables[0].Prefixes)
			}
			for a := range keys {
				l.f.Withdraw(tb, trie.Key4(a), 30, l.nums[0], 0, false)
			}
			l.sync()
			if s := l.r.Stats(); s.Tables[0].Prefixes != 0 {
				t.Errorf("%d prefixes are left after all were withdrawn", s.Tables[0].Prefixes)
			}
			l.announce(tb, trie.Key4(ten), 30, rib.Path{Peer: l.nums[0]})
			l.sync()
			if s := l.r.Stats(); s.Tables[0].Prefixes != 1 {
				t.Error("there is room again, and nothing gets in")
			}
			l.f.Close()
		})
	}
}

func TestUpdatesAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := newLab(t, Options{Shards: 1, SweepEvery: time.Hour}, 2)
	const tb = rib.TableIPv4Unicast
	rnd := rand.New(rand.NewPCG(6, 6))
	i := 0
	round := func() {
		for range 256 {
			i++
			k := trie.Key4(ten + rnd.Uint32N(1<<14)<<8)
			if rnd.IntN(4) == 0 {
				l.f.Withdraw(tb, k, 24, l.nums[i&1], 0, false)
			} else {
				l.announce(tb, k, 24, rib.Path{Peer: l.nums[i&1], Attrs: l.ids[i&15]})
			}
		}
		l.f.Flush()
	}
	for range 500 {
		round()
	}
	l.r.Sync()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 2000 {
		round()
	}
	runtime.ReadMemStats(&after)
	if n := float64(after.Mallocs-before.Mallocs) / 2000; n > 1 {
		t.Errorf("%.2f allocations a batch of 256", n)
	}
	rd := l.r.NewReader()
	paths := make([]rib.Path, 0, 8)
	if n := testing.AllocsPerRun(1000, func() {
		i++
		rd.Pin()
		m := rd.Match4(ten + uint32(i)<<8)
		rd.Best(m)
		paths = rd.Paths(m, paths[:0])
		rd.Unpin()
	}); n != 0 {
		t.Errorf("%v allocations a look-up", n)
	}
	rd.Close()
	l.f.Close()
}

// TestCloseEndsWhateverGoesOn closes a RIB that sweeps all the time, beside a
// Fan whose owner does not know yet.
func TestCloseEndsWhateverGoesOn(t *testing.T) {
	for range 30 {
		r, err := Open(Options{Shards: 2, SweepEvery: time.Microsecond, QueueLen: 1})
		if err != nil {
			t.Fatal(err)
		}
		nums := addPeers(t, r, 2)
		id, _ := r.Attrs().Intern(attrSpec{}.canonical())
		f := r.NewFan()
		for i := range uint32(3000) {
			f.Announce(rib.TableIPv4Unicast, trie.Key4(ten+i<<8), 24, &rib.Path{Peer: nums[0], Attrs: id})
			if i%100 == 0 {
				f.Flush()
			}
		}
		r.DropPeer(nums[0])
		r.Close()
		for range 10 {
			f.Announce(rib.TableIPv4Unicast, trie.Key4(ten), 24, &rib.Path{Peer: nums[1], Attrs: id})
			f.Flush()
		}
	}
}
