package trie

import (
	"bufio"
	"compress/gzip"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gaissmai/bart"

	"ribd/internal/golden"
	"ribd/internal/invariants"
	"ribd/internal/slab"
)

// realPrefixes returns the prefixes of a real table of 2023, in random order.
func realPrefixes(tb testing.TB, v4 bool) []netip.Prefix {
	tb.Helper()
	f, err := os.Open(golden.Data(tb, "tables", "prefixes-2023.txt.gz"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	var list []netip.Prefix
	for sc := bufio.NewScanner(zr); sc.Scan(); {
		p, err := netip.ParsePrefix(strings.TrimSpace(sc.Text()))
		if err != nil {
			tb.Fatal(err)
		}
		if p.Addr().Is4() == v4 {
			list = append(list, p)
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// table is a real table in all its forms.
type table struct {
	list   []netip.Prefix
	keys   []prefix
	addrs  []netip.Addr // inside the prefixes, in random order
	a4     []uint32
	hi, lo []uint64

	fast   *bart.Fast[uint32]
	view   View
	rig    *rig
	image  *imageRig
	hs     []uint32 // handle of each prefix
	index  map[prefix]int
	parent []int // next shorter prefix of each in the same partition, or -1
}

var tables [2]struct {
	once sync.Once
	t    *table
}

// loadTable builds a table once for all benchmarks; its memory stays.
func loadTable(tb testing.TB, v4 bool) *table {
	i := 0
	if v4 {
		i = 1
	}
	list := realPrefixes(tb, v4) // skips where there is no data
	tables[i].once.Do(func() { tables[i].t = buildTable(tb, list, v4) })
	return tables[i].t
}

// detached keeps the memory of a rig beyond the benchmark that builds it.
type detached struct{ testing.TB }

func (detached) Cleanup(func())      {}
func (detached) Logf(string, ...any) {}

func buildTable(tb testing.TB, list []netip.Prefix, v4 bool) *table {
	t := &table{list: list, fast: new(bart.Fast[uint32]), index: map[prefix]int{}}
	width := uint8(128)
	if v4 {
		width = 32
	}
	t.rig = newRig(detached{tb}, width, 1<<28)
	t.image = newImageRig(detached{tb}, v4, 1<<28, 1<<26)
	for i, p := range list {
		k, n := PrefixKey(p)
		t.keys = append(t.keys, prefix{k, n})
		t.index[prefix{k, n}] = i
		t.fast.Insert(p, uint32(i+1))
		if _, ok := t.rig.tree.Set(k, n, uint32(i+1)); !ok {
			tb.Fatal("no memory")
		}
		if i%256 == 255 {
			t.rig.publish()
			t.rig.begin()
		}
	}
	t.view = t.rig.publish()
	t.rig.begin()
	t.fillImage(tb)
	t.drawAddresses(v4)
	return t
}

// fillImage inserts the prefixes in random order, as a feed would bring them.
func (t *table) fillImage(tb testing.TB) {
	t.hs = make([]uint32, len(t.keys))
	t.parent = make([]int, len(t.keys))
	for i, p := range t.keys {
		h, ok := t.image.handles.Alloc(p.n, uint32(i+1))
		if !ok || !t.image.w.Insert(p.k, p.n, h) {
			tb.Fatal("no memory")
		}
		t.hs[i] = h
		if i%256 == 255 {
			t.image.publish()
		}
		least := uint8(0)
		if p.n >= t.image.least() {
			least = t.image.least()
		}
		t.parent[i] = -1
		if p.n > 0 {
			if v, n := t.view.Match(p.k, p.n-1); v != 0 && n >= least {
				t.parent[i] = int(v) - 1
			}
		}
	}
	t.image.publish()
}

func (t *table) drawAddresses(v4 bool) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 1 << 20 {
		p := t.keys[rnd.IntN(len(t.keys))]
		k := Key{rnd.Uint64(), rnd.Uint64()}
		if v4 {
			k = k.Mask(32)
		}
		h := k.Mask(p.n)
		k = Key{p.k.Hi | (k.Hi ^ h.Hi), p.k.Lo | (k.Lo ^ h.Lo)}
		t.addrs = append(t.addrs, k.Addr(v4))
		t.a4 = append(t.a4, uint32(k.Hi>>32))
		t.hi, t.lo = append(t.hi, k.Hi), append(t.lo, k.Lo)
	}
}

func TestRealTableAgreesWithBart(t *testing.T) {
	if testing.Short() || invariants.Enabled {
		t.Skip("builds two full tables")
	}
	for _, v4 := range []bool{true, false} {
		tb := loadTable(t, v4)
		for i, a := range tb.addrs[:200000] {
			want, _ := tb.fast.Lookup(a)
			k := Key{tb.hi[i], tb.lo[i]}
			if got, _ := tb.view.Match(k, tb.view.width); got != want {
				t.Fatalf("Match(%v) = %d, want %d", a, got, want)
			}
			if h := tb.image.lookup(k); tb.image.hs.Load(h) != want {
				t.Fatalf("Lookup(%v) = %d, want %d", a, tb.image.hs.Load(h), want)
			}
		}
	}
}

const mask20 = 1<<20 - 1

var sink uint32

// BenchmarkLookup is the longest match of addresses inside real prefixes in
// random order; in next, each look-up waits for the one before.
func BenchmarkLookup(b *testing.B) {
	for _, v4 := range []bool{true, false} {
		name := "IPv6"
		if v4 {
			name = "IPv4"
		}
		t := loadTable(b, v4)
		b.Run(name+"/bart", func(b *testing.B) {
			var x uint32
			for i := range b.N {
				v, _ := t.fast.Lookup(t.addrs[i&mask20])
				x ^= v
			}
			sink = x
		})
		b.Run(name+"/bart/next", func(b *testing.B) {
			var x uint32
			for i := range b.N {
				x, _ = t.fast.Lookup(t.addrs[(uint32(i)+x&1)&mask20])
			}
			sink = x
		})
		b.Run(name+"/trie", func(b *testing.B) {
			var x uint32
			for i := range b.N {
				v, _ := t.view.Match(Key{t.hi[i&mask20], t.lo[i&mask20]}, t.view.width)
				x ^= v
			}
			sink = x
		})
		b.Run(name+"/image", func(b *testing.B) { t.benchImage(b, 0) })
		b.Run(name+"/image/next", func(b *testing.B) { t.benchImage(b, 1) })
		b.Run(name+"/image/batch", func(b *testing.B) { t.benchBatch(b) })
	}
}

func (t *table) benchImage(b *testing.B, next uint32) {
	var x uint32
	switch m4, m6 := t.image.m4, t.image.m6; {
	case m4 != nil && next == 0:
		for i := range b.N {
			x ^= m4.Lookup(t.a4[i&mask20])
		}
	case m4 != nil:
		for i := range b.N {
			x = m4.Lookup(t.a4[(uint32(i)+x&1)&mask20])
		}
	case next == 0:
		for i := range b.N {
			x ^= m6.Lookup(t.hi[i&mask20], t.lo[i&mask20])
		}
	default:
		for i := range b.N {
			j := (uint32(i) + x&1) & mask20
			x = m6.Lookup(t.hi[j], t.lo[j])
		}
	}
	sink = x
}

func (t *table) benchBatch(b *testing.B) {
	const size = 1024
	var out [size]uint32
	for i := 0; i < b.N; i += size {
		j := i & mask20
		if t.image.m4 != nil {
			t.image.m4.LookupBatch(t.a4[j:j+size], out[:])
		} else {
			t.image.m6.LookupBatch(t.hi[j:j+size], t.lo[j:j+size], out[:])
		}
	}
	sink = out[0]
}

// BenchmarkUpdate is a route that goes and comes back, in tree, image and
// handles, published in batches and one by one; bart publishes each change.
func BenchmarkUpdate(b *testing.B) {
	for _, v4 := range []bool{true, false} {
		name := "IPv6"
		if v4 {
			name = "IPv4"
		}
		t := loadTable(b, v4)
		b.Run(name+"/bart", func(b *testing.B) {
			b.ReportAllocs()
			f := t.fast
			for i := range b.N {
				j := i * 7919 % len(t.list)
				f = f.InsertPersist(t.list[j], uint32(j+1))
			}
		})
		for _, batch := range []int{1, 256} {
			mode := "/batch"
			if batch == 1 {
				mode = "/single"
			}
			b.Run(name+mode+"/set", func(b *testing.B) {
				b.ReportAllocs()
				for i := range b.N {
					t.replace(i * 7919 % len(t.keys))
					t.endBatch(i, batch)
				}
				t.endBatch(0, 1)
			})
			b.Run(name+mode+"/flap", func(b *testing.B) {
				b.ReportAllocs()
				for i := range b.N {
					j := i / 2 * 7919 % len(t.keys)
					if i&1 == 0 {
						t.withdraw(j)
					} else {
						t.announce(j)
					}
					t.endBatch(i, batch)
				}
				if b.N&1 == 1 {
					t.announce(b.N / 2 * 7919 % len(t.keys))
				}
				t.endBatch(0, 1)
			})
		}
	}
}

// replace is a change of a route's paths: a new value, and the handle's word.
func (t *table) replace(j int) {
	p := t.keys[j]
	t.rig.tree.Set(p.k, p.n, uint32(j+1))
	t.image.hs.Store(t.hs[j], uint32(j+1))
}

func (t *table) withdraw(j int) {
	p := t.keys[j]
	parent := uint32(0)
	if t.parent[j] >= 0 {
		parent = t.hs[t.parent[j]]
	}
	t.rig.tree.Delete(p.k, p.n)
	t.image.w.Delete(p.k, p.n, t.hs[j], parent)
	t.image.handles.Retire(t.hs[j])
}

func (t *table) announce(j int) {
	p := t.keys[j]
	t.rig.tree.Set(p.k, p.n, uint32(j+1))
	t.hs[j], _ = t.image.handles.Alloc(p.n, uint32(j+1))
	t.image.w.Insert(p.k, p.n, t.hs[j])
}

func (t *table) endBatch(i, size int) {
	if i%size == size-1 {
		t.rig.publish()
		t.image.publish()
		t.rig.begin()
	}
}

// compact does what a shard does in quiet times.
func (t *table) compact() {
	for range 30 {
		for at, done := (Position{}), t.rig.heap.Drain(64) == 0; !done; {
			at, done = t.rig.tree.Evacuate(at, 1000)
			t.rig.publish()
			t.rig.begin()
		}
		for at, done := (Position{}), t.image.heap.Drain(64) == 0; !done; {
			at, done = t.image.w.Evacuate(at, 1000)
			t.image.publish()
		}
	}
	t.view = t.rig.tree.View()
}

// BenchmarkMemory prints what a real table takes, loaded in random order, in
// bytes a prefix: in use, and as extents that heaps hold once the owner has had
// the time to empty what are mostly holes.
func BenchmarkMemory(b *testing.B) {
	for _, v4 := range []bool{true, false} {
		name := "IPv6"
		if v4 {
			name = "IPv4"
		}
		b.Run(name, func(b *testing.B) {
			t := loadTable(b, v4)
			t.compact()
			n := float64(len(t.list))
			bytes := func(words uint64) float64 { return float64(words) * 4 / n }
			table := func(tb *slab.Table, bits uint8) (words uint64) {
				for i := uint32(0); i < 1<<bits; i += slab.TablePage {
					if tb.Used(i) {
						words += slab.TablePage
					}
				}
				return words
			}
			w := t.image.w
			root := table(w.home, w.homeLen) + table(w.roof, w.roofLen)
			var all float64
			for _, s := range []struct {
				name string
				s    slab.HeapStats
			}{{"trie", t.rig.heap.Stats()}, {"image", t.image.heap.Stats()}, {"handles", t.image.handles.Stats()}} {
				b.ReportMetric(bytes(s.s.LiveWords), s.name+"-B/prefix")
				b.ReportMetric(bytes(uint64(s.s.Extents)<<14), s.name+"-held-B/prefix")
				all += bytes(uint64(s.s.Extents) << 14)
			}
			b.ReportMetric(bytes(root), "root-B/prefix")
			b.ReportMetric(all+bytes(root)+4, "all-B/prefix") // 4: the head of a path block
			b.ReportMetric(0, "ns/op")
		})
	}
}
