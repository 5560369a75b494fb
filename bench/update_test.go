package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/gaissmai/bart"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// scattered returns the prefixes in random order.
func scattered(ps []netip.Prefix) []netip.Prefix {
	out := slices.Clone(ps)
	rng := rand.New(rand.NewPCG(5, 1))
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// changes are the two kinds of update: the attributes of a prefix change, or it goes
// and comes back.
var changes = []struct {
	name   string
	comeGo bool
}{{"change=attributes", false}, {"change=prefix", true}}

// BenchmarkUpdate changes a full table, trie, image and path block, each batch
// waited for until readers see it, beside bart's persistent table, which holds one
// integer a prefix.
func BenchmarkUpdate(b *testing.B) {
	ps := prefixes(b, false)
	order := scattered(ps)
	r, peer, ids := fill(b, ps)
	f := r.NewFan()
	defer f.Close()
	table := buildBart(ps)
	for _, c := range changes {
		for _, batch := range []int{256, 1} {
			b.Run(fmt.Sprintf("%s/batch=%d/side=ribd", c.name, batch), func(b *testing.B) {
				b.ReportAllocs()
				for i := range b.N {
					ribChange(f, peer, ids, order, i, c.comeGo)
					if (i+1)%batch == 0 || i == b.N-1 {
						f.Flush()
						r.Sync()
					}
				}
			})
		}
		b.Run(c.name+"/side=bart", func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				table = bartChange(table, order, i, c.comeGo)
			}
		})
	}
}

func ribChange(f *shard.Fan, peer rib.PeerNum, ids []rib.AttrID, order []netip.Prefix, i int, comeGo bool) {
	at := i
	if comeGo {
		at /= 2
	}
	k, n := trie.PrefixKey(order[at%len(order)])
	if comeGo && i%2 == 0 {
		f.Withdraw(rib.TableIPv4Unicast, k, n, peer, 0, false)
		return
	}
	f.Announce(rib.TableIPv4Unicast, k, n, &rib.Path{Peer: peer, Attrs: ids[i*31%len(ids)], Received: 1_767_225_601})
}

func bartChange(t *bart.Fast[uint32], order []netip.Prefix, i int, comeGo bool) *bart.Fast[uint32] {
	at := i
	if comeGo {
		at /= 2
	}
	p := order[at%len(order)]
	if comeGo && i%2 == 0 {
		return t.DeletePersist(p)
	}
	return t.InsertPersist(p, uint32(i))
}

// Both sides of BenchmarkUpdate leave the same table, and a View from before it
// stays as it was.
func TestUpdatesLeaveTheTableOfBart(t *testing.T) {
	ps := prefixes(t, false)
	if len(ps) > 100_000 {
		ps = ps[400_000:500_000]
	}
	order := scattered(ps)
	r, peer, ids := fill(t, ps)
	before := r.View()
	defer before.Close()
	f := r.NewFan()
	table := buildBart(ps)
	rng := rand.New(rand.NewPCG(6, 1))
	for i := range 60_000 {
		p := order[rng.IntN(len(order))]
		k, n := trie.PrefixKey(p)
		if rng.IntN(3) == 0 {
			f.Withdraw(rib.TableIPv4Unicast, k, n, peer, 0, false)
			table = table.DeletePersist(p)
		} else {
			id := rng.IntN(len(ids))
			f.Announce(rib.TableIPv4Unicast, k, n, &rib.Path{Peer: peer, Attrs: ids[id], Received: 1})
			table = table.InsertPersist(p, uint32(1_000_000+id))
		}
		if i%700 == 0 {
			f.Flush()
		}
	}
	f.Close()
	r.Sync()
	now := r.View()
	defer now.Close()
	want := 0
	for p, v := range table.AllSorted4() {
		want++
		k, n := trie.PrefixKey(p)
		m := now.Get(rib.TableIPv4Unicast, k, n)
		if !m.OK() {
			t.Fatalf("%v is missing", p)
		}
		if path, _, _ := now.Best(m); v >= 1_000_000 && path.Attrs != ids[v-1_000_000] {
			t.Fatalf("%v: attributes %d, want %d", p, path.Attrs, ids[v-1_000_000])
		}
	}
	if got := len(under(now, rib.TableIPv4Unicast, netip.MustParsePrefix("0.0.0.0/0"))); got != want {
		t.Errorf("%d prefixes, want %d", got, want)
	}
	if got := under(before, rib.TableIPv4Unicast, netip.MustParsePrefix("0.0.0.0/0")); !slices.Equal(got, ps) {
		t.Errorf("the view from before has %d prefixes, want %d as they were", len(got), len(ps))
	}
}

// Updates in steady state allocate nothing on the Go heap.
func TestUpdatesDoNotAllocate(t *testing.T) {
	ps := prefixes(t, false)
	if len(ps) > 100_000 {
		ps = ps[400_000:500_000]
	}
	order := scattered(ps)
	r, peer, ids := fill(t, ps)
	f := r.NewFan()
	defer f.Close()
	at := 0
	round := func(n int) {
		for range n {
			ribChange(f, peer, ids, order, at, at%3 > 0)
			if at++; at%256 == 0 {
				f.Flush()
			}
		}
		r.Sync() // allocates for each shard, of which there are as many as processors
	}
	round(100_000) // buffers find their size
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	round(100_000)
	runtime.ReadMemStats(&b)
	if n := float64(b.Mallocs-a.Mallocs) / 100_000; n > 0.05 {
		t.Errorf("%.3f allocations an update", n)
	}
}
