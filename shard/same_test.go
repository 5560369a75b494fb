package shard

import (
	"testing"

	"ribd/shard/rib"
	"ribd/trie"
)

// TestFeedSaysWhenTheBestPathStays holds Change.Same to what it says, also where
// a prefix comes, goes, or has one path only.
func TestFeedSaysWhenTheBestPathStays(t *testing.T) {
	r, err := Open(Options{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := r.NewFan()
	defer f.Close()
	var peers [2]rib.PeerNum
	for i := range peers {
		if peers[i], err = r.AddPeer(rib.PeerInfo{AS: uint32(i + 1), RouterID: uint32(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	short := attrSpec{path: []uint32{1}, med: -1, pref: -1}
	long := attrSpec{path: []uint32{1, 2, 3}, med: -1, pref: -1}
	longer := attrSpec{path: []uint32{1, 2, 3, 4}, med: -1, pref: -1}
	fl := r.Follow("")
	defer fl.Close()
	fl.Snapshot().Close()
	k := trie.Key4(0xc0000200)
	for i, c := range []struct {
		peer int
		a    *attrSpec // nil: withdrawn
		same bool
		pre  *attrSpec // as it came
	}{
		{0, &short, false, nil}, {1, &long, true, nil}, {1, &longer, true, nil}, {1, nil, true, nil}, {1, &long, true, nil},
		{0, &long, false, nil}, {0, &longer, false, nil}, {1, nil, false, nil}, {0, nil, false, nil}, {1, &long, false, nil},
		{0, &short, false, nil}, {0, nil, false, nil},
		// One path, then beside another, that came with other attributes.
		{1, nil, false, nil}, {0, &short, false, nil}, {0, &short, false, &long}, {0, &short, false, &longer}, {1, &longer, true, nil},
		{0, &short, false, &long}, {1, &longer, true, &long}, {0, &short, false, nil},
	} {
		if c.a != nil {
			id, _ := r.Attrs().Intern(c.a.canonical())
			pre := rib.AttrID(0)
			if c.pre != nil {
				pre, _ = r.Attrs().Intern(c.pre.canonical())
			}
			f.Announce(rib.TableIPv4Unicast, k, 24, &rib.Path{Peer: peers[c.peer], Attrs: id, PreAttrs: pre, Received: 1})
		} else {
			f.Withdraw(rib.TableIPv4Unicast, k, 24, peers[c.peer], 0, false)
		}
		f.Flush()
		r.Sync()
		var got [4]Change
		if n, ok := fl.Next(got[:]); n != 1 || !ok || got[0].Same != c.same {
			t.Errorf("step %d: %d changes, %t, the same best path %t, want %t", i, n, ok, got[0].Same, c.same)
		}
	}
}
