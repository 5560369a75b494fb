package bench

import (
	"bufio"
	"cmp"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/gaissmai/bart"
	"github.com/klauspost/compress/gzip"

	"ribd/internal/benchkit"
	"ribd/internal/golden"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire/mrt"
)

// probes returns n addresses to ask for: inside prefixes, their first and last, the
// ones before and after, and any.
func probes(ps []netip.Prefix, n int) []netip.Addr {
	rng := rand.New(rand.NewPCG(42, 1))
	everything := netip.PrefixFrom(ps[0].Addr(), 0).Masked()
	out := make([]netip.Addr, 0, n+5)
	for len(out) < n {
		p := ps[rng.IntN(len(ps))]
		out = append(out, benchkit.Inside(p, rng), p.Addr(), last(p), benchkit.Inside(everything, rng))
		if before := p.Addr().Prev(); before.IsValid() {
			out = append(out, before)
		}
		if after := last(p).Next(); after.IsValid() {
			out = append(out, after)
		}
	}
	return out
}

func last(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return benchkit.Addr4(benchkit.Uint32(p.Addr()) | uint32(1<<(32-p.Bits())-1))
	}
	hi, lo := benchkit.Uint64s(p.Addr())
	if n := p.Bits(); n < 64 {
		return benchkit.Addr6(hi|(1<<(64-n)-1), ^uint64(0))
	} else {
		return benchkit.Addr6(hi, lo|(1<<(128-n)-1))
	}
}

func checkMatch(t *testing.T, ps []netip.Prefix, rd *shard.Reader, v *shard.View, a netip.Addr, want int) {
	t.Helper()
	rd.Pin()
	var latest shard.Match
	if a.Is4() {
		latest = rd.Match4(benchkit.Uint32(a))
	} else {
		latest = rd.Match6(benchkit.Uint64s(a))
	}
	tried := rd.Match(tableOf(ps[0]), trie.KeyOf(a), uint8(a.BitLen()))
	rd.Unpin()
	viewed := v.Match(tableOf(ps[0]), trie.KeyOf(a), uint8(a.BitLen()))
	for _, m := range []struct {
		way string
		m   shard.Match
	}{{"Reader by image", latest}, {"Reader by trie", tried}, {"View", viewed}} {
		switch {
		case m.m.OK() != (want >= 0):
			t.Fatalf("%v: %s finds a match %v, want %s", a, m.way, m.m.OK(), name(ps, want))
		case want >= 0 && m.m.Prefix() != ps[want]:
			t.Fatalf("%v: %s matches %v, want %v", a, m.way, m.m.Prefix(), ps[want])
		}
	}
}

// Exact, longer and shorter prefixes of a View are those of bart, in the order of
// addresses, for prefixes of the table and others near them.
func TestExactLongerShorterAreThoseOfBart(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(family(v6), func(t *testing.T) {
			ps := prefixes(t, v6)
			table := tableOf(ps[0])
			bt := &bart.Table[int]{}
			for i, p := range ps {
				bt.Insert(p, i)
			}
			r, _, _ := fill(t, ps)
			v := r.View()
			defer v.Close()
			rng := rand.New(rand.NewPCG(43, 1))
			for range 5000 {
				p := ps[rng.IntN(len(ps))]
				if rng.IntN(3) > 0 {
					up := max(p.Bits()-4+rng.IntN(8), 0)
					p = netip.PrefixFrom(benchkit.Inside(p, rng), min(up, p.Addr().BitLen())).Masked()
				}
				k, n := trie.PrefixKey(p)
				_, want := bt.Get(p)
				if m := v.Get(table, k, n); m.OK() != want || want && m.Prefix() != p {
					t.Fatalf("exact %v: got %v, want %v", p, m.OK(), want)
				}
				var longer, shorter []netip.Prefix
				for q := range bt.Subnets(p) {
					longer = append(longer, q)
				}
				for q := range bt.Supernets(p) {
					shorter = append(shorter, q)
				}
				byAddress := func(a, b netip.Prefix) int {
					return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
				}
				slices.SortFunc(longer, byAddress)
				slices.SortFunc(shorter, byAddress)
				if got := under(v, table, p); !slices.Equal(got, longer) {
					t.Fatalf("longer than %v: got %v, want %v", p, got, longer)
				}
				var got []netip.Prefix
				v.Covering(table, k, n, func(m shard.Match) bool {
					got = append(got, m.Prefix())
					return true
				})
				if !slices.Equal(got, shorter) {
					t.Fatalf("shorter than %v: got %v, want %v", p, got, shorter)
				}
			}
		})
	}
}

// under walks the prefixes that p covers, in order.
func under(v *shard.View, table rib.TableID, p netip.Prefix) (out []netip.Prefix) {
	k, n := trie.PrefixKey(p)
	w := v.Walk(table, shard.WalkRange{Under: k, UnderLen: n})
	defer w.Close()
	for w.Next() {
		out = append(out, w.Match().Prefix())
	}
	return out
}

// A walk of the whole table gives each prefix once, in order.
func TestWalkIsTheTableInOrder(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		ps := prefixes(t, v6)
		r, _, _ := fill(t, ps)
		v := r.View()
		w := v.Walk(tableOf(ps[0]), shard.WalkRange{})
		i := 0
		for ; w.Next(); i++ {
			if i < len(ps) && w.Match().Prefix() != ps[i] {
				t.Fatalf("%s: prefix %d is %v, want %v", family(v6), i, w.Match().Prefix(), ps[i])
			}
		}
		if i != len(ps) || w.Err() != nil {
			t.Errorf("%s: %d prefixes, want %d; %v", family(v6), i, len(ps), w.Err())
		}
		w.Close()
		v.Close()
	}
}

// The questions of the shared data about synth-full-a have the answers of pytricia.
func TestAnswersOfPytricia(t *testing.T) {
	if testing.Short() {
		t.Skip("a full table")
	}
	lookups, specifics := golden.Data(t, "tables", "lookups-full-a.tsv.gz"), golden.Data(t, "tables", "specifics-full-a.tsv.gz")
	ps := dumpPrefixes(t, golden.Data(t, "mrt", "synth-full-a.rib.gz"))
	r, _, _ := fill(t, ps)
	v := r.View()
	defer v.Close()
	rd := r.NewReader()
	defer rd.Close()
	rd.Pin()
	defer rd.Unpin()
	rows(t, lookups, func(f []string) {
		a := netip.MustParseAddr(f[0])
		table, m := rib.TableIPv4Unicast, shard.Match{}
		if a.Is4() {
			m = rd.Match4(benchkit.Uint32(a))
		} else {
			table, m = rib.TableIPv6Unicast, rd.Match6(benchkit.Uint64s(a))
		}
		got, covering := "-", 0
		if m.OK() {
			got = m.Prefix().String()
		}
		v.Covering(table, trie.KeyOf(a), uint8(a.BitLen()), func(shard.Match) bool { covering++; return true })
		if got != f[1] || strconv.Itoa(covering) != f[2] {
			t.Fatalf("%v: got %s and %d covering, want %s and %s", a, got, covering, f[1], f[2])
		}
	})
	rows(t, specifics, func(f []string) {
		p := netip.MustParsePrefix(f[0])
		k, n := trie.PrefixKey(p)
		more, less := len(under(v, tableOf(p), p)), 0
		v.Covering(tableOf(p), k, n, func(shard.Match) bool { less++; return true })
		if v.Get(tableOf(p), k, n).OK() { // the prefix itself is neither
			more, less = more-1, less-1
		}
		if strconv.Itoa(more) != f[1] || strconv.Itoa(less) != f[2] {
			t.Fatalf("%v: got %d more and %d less specific, want %s and %s", p, more, less, f[1], f[2])
		}
	})
}

// dumpPrefixes returns the prefixes of a TABLE_DUMP_V2 file.
func dumpPrefixes(t testing.TB, name string) (out []netip.Prefix) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReaderSize(z, 1<<20)
	var body []byte
	for {
		head, err := in.Peek(mrt.HeaderLen)
		if err == io.EOF && len(head) == 0 {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		h, _ := mrt.ParseHeader(head)
		body = slices.Grow(body[:0], h.Size())[:h.Size()]
		if _, err := io.ReadFull(in, body); err != nil {
			t.Fatal(err)
		}
		var record mrt.Record
		if err := record.Parse(body); err != nil {
			t.Fatal(err)
		}
		if record.Kind() != mrt.KindRIB {
			continue
		}
		var entry mrt.RIB
		if err := entry.Parse(&record); err != nil {
			t.Fatal(err)
		}
		hi, lo, n := entry.Key()
		out = append(out, trie.Key{Hi: hi, Lo: lo}.Prefix(n, entry.Family.Is4()))
	}
}
