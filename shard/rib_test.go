package shard

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o Options) *RIB {
	t.Helper()
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func randomPeer(rnd *rand.Rand) rib.PeerInfo {
	i := rib.PeerInfo{
		Source:   []rib.Source{rib.SourceBGP, rib.SourceBGP, rib.SourceBGP, rib.SourceMRT, rib.SourceLocal}[rnd.IntN(5)],
		Addr:     netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.IntN(3))}),
		AS:       64500 + rnd.Uint32N(3),
		RouterID: rnd.Uint32N(3),
		Internal: rnd.IntN(3) == 0,
	}
	if rnd.IntN(4) == 0 {
		i.Addr = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(rnd.IntN(3))})
	}
	if i.Source == rib.SourceLocal {
		i.Addr = netip.Addr{}
	}
	return i
}

// world is a RIB and the model beside it.
type world struct {
	t      *testing.T
	rnd    *rand.Rand
	r      *RIB
	f      *Fan
	m      *model
	tables []rib.TableID
	live   []rib.PeerNum
	fresh  map[[2]uint32]int // mark of a refresh that is open
	turn   int
	views  []heldModel

	filters map[rib.PeerNum]*testFilter
	judging []<-chan struct{}
	specs   specTable
}

type heldModel struct {
	v *View
	m *model
}

func (w *world) addPeer() {
	i := randomPeer(w.rnd)
	n, err := w.r.AddPeer(i)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, at := range w.m.routes {
		for k := range at {
			if k.peer == n {
				w.t.Fatalf("number %d is used again while it has paths", n)
			}
		}
	}
	w.live = append(w.live, n)
	w.m.peers[n] = i
}

func (w *world) peer() rib.PeerNum { return w.live[w.rnd.IntN(len(w.live))] }

func (w *world) path() modelPath {
	p := modelPath{spec: randomSpec(w.rnd), mark: w.turn}
	p.Peer, p.Received = w.peer(), w.rnd.Uint32()
	if w.rnd.IntN(3) == 0 {
		p.HasPathID, p.PathID = true, w.rnd.Uint32N(3)
	}
	if w.rnd.IntN(5) == 0 && w.filters[p.Peer] == nil {
		pre := p.spec
		pre.pref = 7
		p.pre = &pre
	}
	if w.rnd.IntN(5) == 0 {
		p.Labels, _ = w.r.InternLabels([]byte{0, 0, byte(w.rnd.IntN(9))})
	}
	if w.rnd.IntN(6) == 0 {
		p.Filtered = rib.FilterReason(1 + w.rnd.IntN(10))
	}
	if w.rnd.IntN(6) == 0 {
		p.Stale = rib.Stale(w.rnd.IntN(4))
	}
	w.intern(&p)
	return p
}

func (w *world) at() prefixKey {
	tb := w.tables[w.rnd.IntN(len(w.tables))]
	f, _, _ := w.r.TableInfo(tb)
	var at prefixKey
	if f.Form() == wire.FormRaw {
		k, n, ok := w.r.RawKey([]byte{9, byte(w.rnd.IntN(40))})
		if !ok {
			w.t.Fatal("no key")
		}
		at = prefixKey{k: k, n: n}
	} else {
		at = randomPrefix(f, w.rnd)
	}
	at.t = tb
	return at
}

func (w *world) step() {
	w.turn++
	switch x := w.rnd.IntN(1000); {
	case x < 550:
		at, p := w.at(), w.path()
		p = w.judged(at, p)
		w.f.Announce(at.t, at.k, at.n, &p.Path)
		w.m.announce(at, p)
	case x < 600:
		at := w.at()
		paths := make([]rib.Path, 1+w.rnd.IntN(8))
		for i := range paths {
			p := w.judged(at, w.path())
			paths[i] = p.Path
			w.m.announce(at, p)
		}
		w.f.Entry(at.t, at.k, at.n, paths)
	case x < 950:
		at := w.at()
		k := pathKey{peer: w.peer()}
		for o := range w.m.routes[at] {
			k = o
		}
		w.f.Withdraw(at.t, at.k, at.n, k.peer, k.id, k.has)
		w.m.withdraw(at, k)
	case x < 960 && len(w.live) < 6:
		w.addPeer()
	case x < 965 && len(w.live) > 2:
		w.f.Flush()
		i := w.rnd.IntN(len(w.live))
		n := w.live[i]
		w.live = append(w.live[:i], w.live[i+1:]...)
		delete(w.filters, n)
		w.r.DropPeer(n)
		w.m.drop(func(_ prefixKey, p modelPath) bool { return p.Peer == n })
		for k := range w.fresh {
			if k[0] == uint32(n) {
				delete(w.fresh, k)
			}
		}
	case x < 973:
		w.refresh()
	case x < 976:
		w.age()
	case x < 977:
		w.rejudge()
	case x < 979:
		w.rejudgeKeys()
	case x == 979:
		w.mark()
	case x < 985:
		w.f.Flush()
		w.settleJudging()
		w.r.Sync()
		v := w.r.View()
		w.views = append(w.views, heldModel{v, w.m.clone()})
	case x < 987 && len(w.views) > 4:
		i := w.rnd.IntN(len(w.views))
		w.views[i].m.checkView(w.t, w.r, w.views[i].v, w.tables, w.rnd)
		w.views[i].v.Close()
		w.views = append(w.views[:i], w.views[i+1:]...)
	case x == 990:
		w.r.Settle()
	case x > 980:
		w.f.Flush()
	}
}

func (w *world) refresh() {
	w.f.Flush()
	n, tb := w.peer(), w.tables[w.rnd.IntN(len(w.tables))]
	f, _, _ := w.r.TableInfo(tb)
	k := [2]uint32{uint32(n), uint32(f)}
	if begun, ok := w.fresh[k]; ok && w.rnd.IntN(3) > 0 {
		w.r.EndRefresh(n, tb)
		delete(w.fresh, k)
		w.m.drop(func(at prefixKey, p modelPath) bool {
			g, _, _ := w.r.TableInfo(at.t)
			return p.Peer == n && g == f && p.mark < begun
		})
		return
	}
	w.r.Refresh(n, tb)
	w.fresh[k] = w.turn
}

func newWorld(t *testing.T, seed uint64, o Options) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), r: open(t, o), m: newModel(), fresh: map[[2]uint32]int{},
		filters: map[rib.PeerNum]*testFilter{}}
	w.specs.r = w.r
	w.f = w.r.NewFan()
	if w.rnd.IntN(3) > 0 {
		w.f.Express()
	}
	for _, f := range []wire.Family{wire.IPv4Multicast, wire.IPv6Multicast, wire.IPv4LabelledUnicast, wire.L2VPNEVPN, wire.IPv4Unicast, wire.IPv6Unicast} {
		tb, ok := w.r.Table(f, 0)
		if !ok {
			t.Fatal("no table")
		}
		w.tables = append(w.tables, tb)
	}
	for rd := range uint64(3) {
		tb, _ := w.r.Table(wire.IPv4VPN, rd)
		w.tables = append(w.tables, tb)
		tb, _ = w.r.Table(wire.IPv6VPN, rd)
		w.tables = append(w.tables, tb)
	}
	for range 3 {
		w.addPeer()
	}
	return w
}

// TestModel runs random operations on a RIB and on a plain map; every view is
// compared when it is taken or later, after much else has happened.
func TestModel(t *testing.T) {
	steps := 20000
	if testing.Short() {
		steps = 4000
	}
	for _, o := range []Options{{Shards: 1}, {Shards: 3}, {Shards: 2, firstVersion: 50, rebaseVersions: 90}} {
		o.MaxViews = 1000
		o.IDRest, o.SweepEvery, o.compactEvery = time.Nanosecond, 20*time.Millisecond, 5*time.Millisecond
		seed := rand.Uint64()
		t.Logf("seed %d, options %+v", seed, o)
		w := newWorld(t, seed, o)
		for range steps {
			w.step()
		}
		w.f.Flush()
		w.settleJudging()
		w.r.Sync()
		w.views = append(w.views, heldModel{w.r.View(), w.m})
		for _, h := range w.views {
			h.m.checkView(t, w.r, h.v, w.tables, w.rnd)
			h.v.Close()
		}
		w.checkReader()
		w.checkCounts()
		if o.rebaseVersions > 0 && w.r.Stats().Rebases == 0 {
			t.Error("versions were never rebased")
		}
		w.f.Close()
	}
}

// checkReader compares look-ups in the latest state, by image too.
func (w *world) checkReader() {
	rd := w.r.NewReader()
	defer rd.Close()
	for range 500 {
		rd.Pin()
		for _, f := range []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast} {
			at := randomPrefix(f, w.rnd)
			tb, _ := w.r.FindTable(f, 0)
			size := 128
			if f.Is4() {
				size = 32
			}
			want, ok := w.m.match(tb, at.k, size, func(p modelPath) bool { return p.Filtered == rib.FilterNone })
			var got Match
			if f.Is4() {
				got = rd.Match4(uint32(at.k.Hi >> 32))
			} else {
				got = rd.Match6(at.k.Hi, at.k.Lo)
			}
			if got.OK() != ok || ok && (prefixKey{tb, got.Key, got.Len}) != want {
				w.t.Fatalf("image finds %+v for %v, want %v %v", got, at, want, ok)
			}
			if byTrie := rd.Match(tb, at.k, uint8(size)); byTrie != got && (byTrie.OK() || got.OK()) {
				byTrie.shard, byTrie.block = 0, got.block // which may have moved in between
				if byTrie != got {
					w.t.Fatalf("trie finds %+v, image %+v", byTrie, got)
				}
			}
			if ok {
				if err := w.m.same(w.r, rd.Paths(got, nil), want); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		rd.Unpin()
	}
	w.checkLonger(rd)
}

// checkCounts compares the counts by table and peer.
func (w *world) checkCounts() {
	w.r.Settle()
	for _, ts := range w.r.Stats().Tables {
		var prefixes, paths int64
		for at, ps := range w.m.routes {
			if at.t == ts.Table {
				prefixes++
				paths += int64(len(ps))
			}
		}
		if ts.Prefixes != prefixes || ts.Paths != paths {
			w.t.Errorf("table %v %d counts %d prefixes and %d paths, want %d and %d", ts.Family, ts.RD, ts.Prefixes, ts.Paths, prefixes, paths)
		}
	}
	for _, ps := range w.r.Peers() {
		for _, c := range ps.Counts {
			want := FamilyCount{Family: c.Family}
			for at, paths := range w.m.routes {
				if f, _, _ := w.r.TableInfo(at.t); f != c.Family {
					continue
				}
				has := false
				for _, p := range paths {
					if p.Peer != ps.Num {
						continue
					}
					has = true
					want.Paths++
					if p.Filtered != rib.FilterNone {
						want.Filtered++
					}
					if p.Stale != rib.StaleNo {
						want.Stale++
					}
				}
				if has {
					want.Prefixes++
				}
				if r := w.m.ranked(paths); r[0].Filtered == rib.FilterNone && r[0].Peer == ps.Num {
					want.Best++
				}
			}
			if n := w.r.PrefixCount(ps.Num, c.Family); n != want.Prefixes {
				w.t.Errorf("peer %d has %d prefixes of %v, want %d", ps.Num, n, c.Family, want.Prefixes)
			}
			if n := w.r.PathCount(ps.Num, c.Family); n != want.Paths {
				w.t.Errorf("peer %d has %d paths of %v, want %d", ps.Num, n, c.Family, want.Paths)
			}
			if c != want {
				w.t.Errorf("peer %d counts %+v, want %+v", ps.Num, c, want)
			}
		}
	}
}

var _ = trie.Key{}
