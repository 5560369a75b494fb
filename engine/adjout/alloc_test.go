package adjout

import (
	"runtime"
	"sync/atomic"
	"testing"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// TestChangesAllocateNothing sends changes of known sets to two members and
// counts what all of it, the RIB included, allocates.
func TestChangesAllocateNothing(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	a := w.peer(1, false, false)
	var got atomic.Int64
	var members []*Member
	for i := range 2 {
		c := newCounter()
		c.on = func([]byte) { got.Add(1) }
		to := (&testPeer{num: rib.PeerNum(100 + i)}).to()
		members = append(members, w.m.Join(to, c))
	}
	var ids [8]rib.AttrID
	for i := range ids {
		ids[i], _ = w.rib.Attrs().Intern(spec(65001, uint32(i+1)).canonical())
	}
	for _, m := range members {
		eventually(t, "in step", m.InStep)
	}
	n := 0
	change := func() {
		n++
		w.fan.Announce(rib.TableIPv4Unicast, trie.Key4(0x0a000000), 24, &rib.Path{Peer: a.num, Attrs: ids[n%len(ids)], Received: 1})
		want := got.Load() + 2
		w.fan.Flush()
		for got.Load() < want {
			runtime.Gosched()
		}
	}
	for range 2000 {
		change()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const changes = 5000
	for range changes {
		change()
	}
	runtime.ReadMemStats(&after)
	if each := float64(after.Mallocs-before.Mallocs) / changes; each > 0.1 {
		t.Errorf("%.2f allocations a change", each)
	}
}

// TestExplainAllocatesNothing asks for a route that is sent to some members and
// refused to others.
func TestExplainAllocatesNothing(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	l := w.localSource(map[string]struct{}{"1": {}, "2": {}})
	for i := range 4 {
		p := w.peer(i, false, false)
		to := p.to()
		if i == 2 {
			to.Export = &policy{key: "none", rib: w.rib, set: func(a attrSpec) (attrSpec, bool) { return a, false }}
		}
		w.join(p, to)
	}
	w.announce(&testPeer{num: l.num}, "192.0.2.0/24", spec(), -1)
	w.settle()
	k := trie.Key4(0xc0000200)
	dst := make([]Verdict, 0, 8)
	if n := testing.AllocsPerRun(1000, func() { dst = w.m.Explain(rib.TableIPv4Unicast, k, 24, l.num, 0, false, dst[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(dst) != 4 {
		t.Errorf("%d verdicts, want 4", len(dst))
	}
}
