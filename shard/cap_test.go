package shard

import (
	"testing"

	"ribd/shard/rib"
	"ribd/trie"
)

// TestChangesGoOnAtTheCapOfBlocks: many peers announce the same prefixes until no
// block is left, and one of them goes. What it leaves is for those who stay: for
// changes, and for the paths of another peer.
func TestChangesGoOnAtTheCapOfBlocks(t *testing.T) {
	const tb, some = rib.TableIPv4Unicast, 2000
	for _, peers := range []int{12, 25} {
		l := newLab(t, Options{Shards: 1, MaxBlockWords: 40 << 14, IDRest: 1}, peers)
		refused := func() uint64 { return l.r.Stats().Refused }
		key := func(i uint32) trie.Key { return trie.Key4(ten + i<<8) }
		for i := uint32(0); refused() < 500; {
			for range 100 {
				for _, p := range l.nums {
					l.announce(tb, key(i), 24, rib.Path{Peer: p})
				}
				i++
			}
			l.sync()
		}
		l.r.DropPeer(l.nums[0])
		l.r.Settle()
		another := addPeers(t, l.r, 1)[0]
		for _, c := range []struct {
			what string
			path rib.Path
		}{
			{"changes", rib.Path{Peer: l.nums[1], Attrs: l.ids[1]}},
			{"paths of another peer", rib.Path{Peer: another}},
			{"more changes", rib.Path{Peer: l.nums[2], Attrs: l.ids[1]}},
		} {
			before := refused()
			for i := range uint32(some) {
				l.announce(tb, key(i), 24, c.path)
				if i%50 == 49 {
					l.sync()
				}
			}
			l.sync()
			if n := refused() - before; n > some/100 {
				t.Errorf("%d peers: %d of %d %s were refused", peers, n, some, c.what)
			}
		}
		l.f.Close()
	}
}
