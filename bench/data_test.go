package bench

import (
	"bufio"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gaissmai/bart"
	"github.com/klauspost/compress/gzip"

	"ribd/internal/benchkit"
	"ribd/internal/golden"
	"ribd/internal/slab"
	"ribd/internal/tablegen"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

var real2023 struct {
	sync.Once
	v4, v6 []netip.Prefix
	err    error
}

// prefixes returns the real prefixes of 2023, one family; with -short one in
// twenty of them.
func prefixes(t testing.TB, v6 bool) []netip.Prefix {
	t.Helper()
	name := golden.Data(t, "tables", "prefixes-2023.txt.gz")
	real2023.Do(func() {
		f, err := os.Open(name)
		if err != nil {
			real2023.err = err
			return
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			real2023.err = err
			return
		}
		ps, err := tablegen.ReadPrefixes(z)
		real2023.err = err
		for i, p := range ps {
			switch {
			case testing.Short() && i%20 != 0:
			case p.Addr().Is4():
				real2023.v4 = append(real2023.v4, p)
			default:
				real2023.v6 = append(real2023.v6, p)
			}
		}
	})
	if real2023.err != nil {
		t.Fatal(real2023.err)
	}
	if v6 {
		return real2023.v6
	}
	return real2023.v4
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// rows calls f for the tab-separated fields of each line of a gzip file.
func rows(t testing.TB, name string, f func(fields []string)) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(z)
	for sc.Scan() {
		if line := sc.Text(); line != "" && line[0] != '#' {
			f(strings.Split(line, "\t"))
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
}

func tableOf(p netip.Prefix) rib.TableID {
	if p.Addr().Is4() {
		return rib.TableIPv4Unicast
	}
	return rib.TableIPv6Unicast
}

// openRIB returns a RIB with one peer and some attribute sets.
func openRIB(t testing.TB, o shard.Options) (r *shard.RIB, peer rib.PeerNum, ids []rib.AttrID) {
	t.Helper()
	r, err := shard.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	peer, err = r.AddPeer(rib.PeerInfo{ID: "bench", Addr: netip.MustParseAddr("192.0.2.1"), AS: 64496, RouterID: 0xc0000201})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		b := []byte{0x40, 1, 1, 0, 0x40, 2, 10, 2, 2, 0, 0, 0xfb, 0xf0, 0, 1, byte(i >> 8), byte(i), 0x40, 3, 4, 192, 0, 2, 1}
		id, ok := r.Attrs().Intern(b)
		if !ok {
			t.Fatal("no room for an attribute set")
		}
		ids = append(ids, id)
	}
	return r, peer, ids
}

// fill returns a RIB that holds one path for each prefix.
func fill(t testing.TB, ps []netip.Prefix) (r *shard.RIB, peer rib.PeerNum, ids []rib.AttrID) {
	t.Helper()
	r, peer, ids = openRIB(t, shard.Options{})
	f := r.NewFan()
	for i, p := range ps {
		k, n := trie.PrefixKey(p)
		f.Announce(tableOf(p), k, n, &rib.Path{Peer: peer, Attrs: ids[i%len(ids)], Received: 1_767_225_600})
	}
	f.Close()
	r.Sync()
	return r, peer, ids
}

// image is the forwarding image of a list of prefixes. The value of a prefix is its
// place in the list, plus one.
type image struct {
	v4      *trie.Image4
	v6      *trie.Image6
	handles *trie.Handles
}

func buildImage(t testing.TB, ps []netip.Prefix) *image {
	t.Helper()
	nodes, words := slab.NewArena("image", 1<<28), slab.NewArena("handles", 1<<26)
	t.Cleanup(func() { nodes.Close(); words.Close() })
	m := &image{handles: trie.NewHandles(words)}
	domain := slab.NewDomain()
	heap, handles := trie.NewImageHeap(nodes, domain), trie.NewHandleHeap(m.handles, domain)
	var w *trie.ImageWriter
	if ps[0].Addr().Is4() {
		m.v4 = trie.NewImage4(nodes, m.handles)
		w = m.v4.Writer(heap)
	} else {
		m.v6 = trie.NewImage6(nodes, m.handles)
		w = m.v6.Writer(heap)
	}
	for i, p := range ps {
		k, n := trie.PrefixKey(p)
		h, ok := handles.Alloc(n, uint32(i+1))
		if !ok || !w.Insert(k, n, h) {
			t.Fatalf("no room for %v in the image", p)
		}
		if i%1024 == 0 || i == len(ps)-1 {
			epoch := domain.Advance()
			heap.Publish(uint32(i/1024+2), epoch)
			handles.Publish(epoch)
			heap.Reclaim()
			handles.Reclaim()
		}
	}
	return m
}

// lookup returns the place of the longest match of a in the list, or -1.
func (m *image) lookup(a netip.Addr) int {
	var h uint32
	if m.v4 != nil {
		h = m.v4.Lookup(benchkit.Uint32(a))
	} else {
		h = m.v6.Lookup(benchkit.Uint64s(a))
	}
	if h == 0 {
		return -1
	}
	return int(m.handles.Load(h)) - 1
}

func buildBart(ps []netip.Prefix) *bart.Fast[uint32] {
	t := &bart.Fast[uint32]{}
	for i, p := range ps {
		t.Insert(p, uint32(i))
	}
	return t
}
