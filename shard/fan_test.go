package shard

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"ribd/shard/rib"
	"ribd/trie"
)

// TestExpressKeepsTheOrderOfAFan has Fans send small and large batches, and
// requests, beside one that floods the shards: what each has said last counts.
func TestExpressKeepsTheOrderOfAFan(t *testing.T) {
	l := newLab(t, Options{Shards: 2, QueueLen: 2}, 4)
	defer l.f.Close()
	const tb = rib.TableIPv4Unicast
	var stop atomic.Bool
	var flood, wg sync.WaitGroup
	flood.Go(func() {
		f := l.r.NewFan()
		defer f.Close()
		for i := uint32(0); !stop.Load(); i++ {
			f.Announce(tb, trie.Key4(ten|i<<8), 24, &rib.Path{Peer: l.nums[0], Attrs: l.ids[0], Received: i})
		}
	})
	last := make([]map[uint32]uint32, 3) // of each peer: prefix to time, 0: withdrawn
	for i := range last {
		last[i] = map[uint32]uint32{}
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			peer, base := l.nums[i+1], uint32(20+i)<<24
			f := l.r.NewFan()
			defer f.Close()
			f.Express()
			now := uint32(0)
			for range 300 {
				n := 1 + rnd.IntN(20)
				if rnd.IntN(10) == 0 {
					n = 3000
				}
				for range n {
					now++
					a := base | rnd.Uint32N(5000)<<8
					if last[i][a] = now; rnd.IntN(3) == 0 {
						last[i][a] = 0
						f.Withdraw(tb, trie.Key4(a), 24, peer, 0, false)
						continue
					}
					f.Announce(tb, trie.Key4(a), 24, &rib.Path{Peer: peer, Attrs: l.ids[rnd.IntN(4)], Received: now})
				}
				f.Flush()
				if rnd.IntN(30) == 0 {
					l.r.Refresh(peer, tb)
					l.r.EndRefresh(peer, tb)
					clear(last[i])
				}
			}
		})
	}
	wg.Wait()
	stop.Store(true)
	flood.Wait()
	l.r.Sync()
	rd := l.r.NewReader()
	defer rd.Close()
	rd.Pin()
	defer rd.Unpin()
	for i, m := range last {
		for a, want := range m {
			p, n, _ := rd.Best(rd.Get(tb, trie.Key4(a), 24))
			if want == 0 && n != 0 || want != 0 && (n != 1 || p.Received != want) {
				t.Fatalf("peer %d: %x has %d paths, of %d, want %d", i, a, n, p.Received, want)
			}
		}
		ps, _ := l.r.PeerStatus(l.nums[i+1])
		routes := int64(0)
		for _, want := range m {
			if want != 0 {
				routes++
			}
		}
		if ps.Counts[0].Paths != routes {
			t.Errorf("peer %d has %d paths, want %d", i, ps.Counts[0].Paths, routes)
		}
	}
}
