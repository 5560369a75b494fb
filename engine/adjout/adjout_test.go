package adjout

import (
	"testing"

	"ribd/shard"
)

func TestExternalPeersAreSentBestPathsButNotTheirOwn(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 2}, Options{})
	a, b, c := w.peer(1, false, false), w.peer(2, false, false), w.peer(3, false, false)
	w.join(b, b.to())
	w.announce(a, "192.0.2.0/24", with(spec(65001, 65009), func(s *attrSpec) { s.MED, s.Communities = 7, []uint32{5} }), -1)
	w.settle()
	w.join(c, c.to())
	w.join(a, a.to())
	w.settle()
	want := spec(ourAS, 65001, 65009)
	want.Hop, want.Communities = "192.0.2.254", []uint32{5}
	b.has(t, "192.0.2.0/24", &want)
	c.has(t, "192.0.2.0/24", &want)
	a.has(t, "192.0.2.0/24", nil)

	// A better path from another: its source is told of the withdrawal, the
	// first one gets it.
	w.announce(b, "192.0.2.0/24", spec(65002), -1)
	w.settle()
	want2 := spec(ourAS, 65002)
	want2.Hop = "192.0.2.254"
	b.has(t, "192.0.2.0/24", nil)
	a.has(t, "192.0.2.0/24", &want2)
	c.has(t, "192.0.2.0/24", &want2)

	w.rib.DropPeer(b.num)
	w.settle()
	b.has(t, "192.0.2.0/24", &want)
	c.has(t, "192.0.2.0/24", &want)
	a.has(t, "192.0.2.0/24", nil)
	w.withdraw(a, "192.0.2.0/24", -1)
	w.settle()
	for _, p := range []*testPeer{a, b, c} {
		p.has(t, "192.0.2.0/24", nil)
		for f, n := range p.sink.ends {
			if n != 1 {
				t.Errorf("%d End-of-RIB for %v", n, f)
			}
		}
		if len(p.sink.ends) != 2 || p.sink.spurious != 0 {
			t.Errorf("peer %s: ends %v, %d withdrawals of what it did not have", p.info.ID, p.sink.ends, p.sink.spurious)
		}
	}
}
