package shard

import (
	"testing"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// Loaders that decode at the same time send in the order of their file, and
// stand on this.
func TestNothingIsSentBeforeFlushBelowAFullBatch(t *testing.T) {
	l := newLab(t, Options{Shards: 1}, 1)
	r, peer := l.r, l.nums[0]
	f := l.f
	p := rib.Path{Peer: peer, Attrs: l.ids[0], Received: 1}
	for i := range FanOps - 1 {
		f.Announce(rib.TableIPv4Unicast, trie.Key4(uint32(20<<24+i<<8)), 24, &p)
	}
	r.Sync()
	if got := r.PathCount(peer, wire.IPv4Unicast); got != 0 {
		t.Errorf("%d paths before Flush", got)
	}
	f.Flush()
	r.Sync()
	if got := r.PathCount(peer, wire.IPv4Unicast); got != FanOps-1 {
		t.Errorf("%d paths after Flush, want %d", got, FanOps-1)
	}
}
