package shard

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// street is a RIB in which everything happens at the same time. A path says by
// its attributes what prefix it belongs to, so that memory that is used too
// early shows.
type street struct {
	t      *testing.T
	r      *RIB
	tables []rib.TableID
	stop   atomic.Bool
}

// TestReadersBesideWriters has readers of all kinds beside writers, peers that
// come and go, refreshes and followers.
func TestReadersBesideWriters(t *testing.T) {
	s := &street{t: t, r: open(t, Options{
		Shards: 2, IDRest: time.Nanosecond, SweepEvery: 3 * time.Millisecond, compactEvery: time.Millisecond, MaxViews: 6, FeedSize: 1024,
	})}
	vpn, _ := s.r.Table(wire.IPv4VPN, 7)
	s.tables = []rib.TableID{rib.TableIPv4Unicast, rib.TableIPv6Unicast, vpn}
	var wg sync.WaitGroup
	for g := range uint64(2) {
		wg.Go(func() { s.write(g) })
		wg.Go(func() { s.hold(g) })
	}
	wg.Go(s.read)
	wg.Go(func() {
		c := &copyOf{f: s.r.Follow("")}
		for !s.stop.Load() {
			c.take(t, s.r, 5000)
		}
		c.f.Close()
	})
	d := 3 * time.Second
	if testing.Short() {
		d = time.Second
	}
	time.Sleep(d)
	s.stop.Store(true)
	wg.Wait()
}

func (s *street) key(t rib.TableID, i uint32) (trie.Key, uint8) {
	if t == rib.TableIPv6Unicast {
		return trie.Key{Hi: 0x2001<<48 | uint64(i%64)<<34}, uint8(20 + i%12)
	}
	return trie.Key4(ten + i%64<<18), uint8(6 + i%10)
}

func (s *street) set(t rib.TableID, k trie.Key, n uint8, x uint32) []byte {
	return attrSpec{path: []uint32{uint32(t), uint32(k.Hi >> 34), uint32(n), x}, med: -1, pref: -1}.canonical()
}

// check compares paths with the prefix that they came with; what a view that has
// ended gave means nothing.
func (s *street) check(v *View, m Match, ps []rib.Path) {
	for i := range ps {
		b, ok := s.r.Attrs().Bytes(ps[i].Attrs)
		sum, _ := s.r.Attrs().Summary(ps[i].Attrs)
		want := s.set(m.Table, m.Key, m.Len, sum.OriginAS)
		if v != nil && v.Err() != nil {
			return
		}
		if !ok {
			s.t.Errorf("a path has attributes that have ended: %+v", ps[i])
			return
		}
		if string(b) != string(want) {
			s.t.Errorf("table %d %v/%d has a path with %x, want %x", m.Table, m.Key, m.Len, b, want)
			return
		}
	}
}

// write is one peer after the other, each with a refresh in its life.
func (s *street) write(g uint64) {
	rnd := rand.New(rand.NewPCG(g, 1))
	for !s.stop.Load() {
		num, err := s.r.AddPeer(rib.PeerInfo{Source: rib.SourceBGP, AS: uint32(g), RouterID: rnd.Uint32()})
		if err != nil {
			s.t.Error(err)
			return
		}
		f := s.r.NewFan()
		for i := range 4000 {
			s.change(f, num, rnd)
			if i%50 == 0 {
				f.Flush()
			}
			switch i {
			case 1500:
				s.r.Refresh(num, s.tables[0])
			case 2500:
				s.r.EndRefresh(num, s.tables[0])
			}
		}
		f.Close()
		s.r.DropPeer(num)
	}
}

func (s *street) change(f *Fan, num rib.PeerNum, rnd *rand.Rand) {
	tb := s.tables[rnd.IntN(len(s.tables))]
	k, n := s.key(tb, rnd.Uint32N(640))
	k = k.Mask(n)
	if rnd.IntN(4) == 0 {
		f.Withdraw(tb, k, n, num, 0, false)
		return
	}
	id, ok := s.r.Attrs().Intern(s.set(tb, k, n, rnd.Uint32N(20)))
	if !ok {
		s.t.Error("no id")
	}
	f.Announce(tb, k, n, &rib.Path{Peer: num, Attrs: id})
}

// read looks up in the latest state.
func (s *street) read() {
	rd := s.r.NewReader()
	defer rd.Close()
	rnd := rand.New(rand.NewPCG(9, 1))
	var ps []rib.Path
	for !s.stop.Load() {
		rd.Pin()
		for range 20 {
			k4, _ := s.key(0, rnd.Uint32())
			k6, _ := s.key(1, rnd.Uint32())
			for _, m := range []Match{rd.Match4(uint32(k4.Hi >> 32)), rd.Match6(k6.Hi, 1), rd.Match(s.tables[2], k4, 32)} {
				if m.OK() {
					ps = rd.Paths(m, ps[:0])
					s.check(nil, m, ps)
				}
			}
		}
		rd.Unpin()
	}
}

// hold takes views and looks at each twice.
func (s *street) hold(g uint64) {
	rnd := rand.New(rand.NewPCG(g, 8))
	var ps []rib.Path
	for !s.stop.Load() {
		v := s.r.View()
		sum := func() (n int) {
			for _, tb := range s.tables {
				w := v.Walk(tb, WalkRange{})
				for w.Next() {
					ps = w.Paths(ps[:0])
					s.check(v, w.Match(), ps)
					for i := range ps {
						n += int(ps[i].Attrs) * (i + 1)
					}
				}
				w.Close()
			}
			return n
		}
		first := sum()
		time.Sleep(time.Duration(rnd.IntN(4)) * time.Millisecond)
		if again := sum(); again != first && v.Err() == nil {
			s.t.Errorf("a view changed from %d to %d", first, again)
		}
		v.Close()
	}
}
