package bench

import (
	"net/netip"
	"testing"

	"github.com/kentik/patricia"
	"github.com/kentik/patricia/uint32_tree"

	"ribd/internal/benchkit"
	"ribd/shard"
)

// zero is 0, and the compiler does not know it: a result & zero makes the next
// question wait for it.
var zero uint32

var sink uint32

const questions = 1 << 20

// BenchmarkLongestMatch asks for addresses inside real prefixes, in random order:
// the image, the whole way through a Reader, bart.Fast and patricia; independent
// and each waiting for the one before.
func BenchmarkLongestMatch(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		b.Run(family(v6), func(b *testing.B) {
			ps := prefixes(b, v6)
			as := benchkit.Addresses(ps, questions, 7)
			m, t := buildImage(b, ps), buildBart(ps)
			r, _, _ := fill(b, ps)
			rd := r.NewReader()
			defer rd.Close()
			raw, hi, lo := bits(as)
			sides := []struct {
				name string
				ask  func(i int) uint32
			}{
				{"side=reader", func(i int) uint32 { return readerMatch(rd, raw, hi, lo, i) }},
				{"side=bart", func(i int) uint32 { v, _ := t.Lookup(as[i]); return v }},
				{"side=patricia", patriciaLookup(ps, as)},
			}
			b.Run("side=image", func(b *testing.B) { benchmarkImage(b, m, raw, hi, lo) })
			for _, s := range sides {
				b.Run(s.name+"/independent", func(b *testing.B) {
					sum := uint32(0)
					for i := range b.N {
						sum += s.ask(i & (questions - 1))
					}
					sink += sum
				})
				b.Run(s.name+"/dependent", func(b *testing.B) {
					x := uint32(0)
					for i := range b.N {
						x = s.ask((i + int(x&zero)) & (questions - 1))
					}
					sink += x
				})
			}
		})
	}
}

// benchmarkImage calls Lookup directly: a call through a function value would cost
// as much as the look-up.
func benchmarkImage(b *testing.B, m *image, raw []uint32, hi, lo []uint64) {
	for _, dependent := range []bool{false, true} {
		name, keep := "independent", uint32(0)
		if dependent {
			name, keep = "dependent", ^uint32(0)
		}
		b.Run(name, func(b *testing.B) {
			mask, x, sum := zero&keep, uint32(0), uint32(0)
			v4, v6 := m.v4, m.v6
			switch {
			case v4 != nil && dependent:
				for i := range b.N {
					x = v4.Lookup(raw[(i+int(x&mask))&(questions-1)])
				}
			case v4 != nil:
				for i := range b.N {
					sum += v4.Lookup(raw[i&(questions-1)])
				}
			case dependent:
				for i := range b.N {
					j := (i + int(x&mask)) & (questions - 1)
					x = v6.Lookup(hi[j], lo[j])
				}
			default:
				for i := range b.N {
					j := i & (questions - 1)
					sum += v6.Lookup(hi[j], lo[j])
				}
			}
			sink += x + sum
		})
	}
}

// bits returns addresses as integers: raw of IPv4, else hi and lo.
func bits(as []netip.Addr) (raw []uint32, hi, lo []uint64) {
	for _, a := range as {
		if a.Is4() {
			raw = append(raw, benchkit.Uint32(a))
			continue
		}
		h, l := benchkit.Uint64s(a)
		hi, lo = append(hi, h), append(lo, l)
	}
	return raw, hi, lo
}

// readerMatch asks the Reader for the i-th address, under a pin of its own every
// 1,024 times.
func readerMatch(rd *shard.Reader, raw []uint32, hi, lo []uint64, i int) uint32 {
	if i&1023 == 0 {
		rd.Unpin()
		rd.Pin()
	}
	if raw != nil {
		return uint32(rd.Match4(raw[i]).Len)
	}
	return uint32(rd.Match6(hi[i], lo[i]).Len)
}

func patriciaLookup(ps []netip.Prefix, as []netip.Addr) func(i int) uint32 {
	find := patriciaOf(ps)
	return func(i int) uint32 { return uint32(find(as[i])) }
}

// patriciaOf returns the longest match of kentik/patricia as a place in the list,
// or -1.
func patriciaOf(ps []netip.Prefix) func(netip.Addr) int {
	if ps[0].Addr().Is4() {
		t := uint32_tree.NewTreeV4()
		for i, p := range ps {
			t.Set(patricia.NewIPv4Address(benchkit.Uint32(p.Addr()), uint(p.Bits())), uint32(i))
		}
		return func(a netip.Addr) int {
			if ok, v := t.FindDeepestTag(patricia.NewIPv4Address(benchkit.Uint32(a), 32)); ok {
				return int(v)
			}
			return -1
		}
	}
	t := uint32_tree.NewTreeV6()
	for i, p := range ps {
		t.Set(patricia.NewIPv6Address(p.Addr().AsSlice(), uint(p.Bits())), uint32(i))
	}
	return func(a netip.Addr) int {
		b := a.As16()
		if ok, v := t.FindDeepestTag(patricia.NewIPv6Address(b[:], 128)); ok {
			return int(v)
		}
		return -1
	}
}

// All sides of BenchmarkLongestMatch, and a View, give the same answers: for
// addresses inside real prefixes, at their ends and just outside, and anywhere.
func TestLongestMatchIsThatOfBartAndPatricia(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(family(v6), func(t *testing.T) {
			ps := prefixes(t, v6)
			m, bt, pt := buildImage(t, ps), buildBart(ps), patriciaOf(ps)
			r, _, _ := fill(t, ps)
			rd := r.NewReader()
			defer rd.Close()
			v := r.View()
			defer v.Close()
			for _, a := range probes(ps, 100_000) {
				want := -1
				if i, ok := bt.Lookup(a); ok {
					want = int(i)
				}
				if got := pt(a); got != want {
					t.Fatalf("%v: patricia %d, bart %d", a, got, want)
				}
				if got := m.lookup(a); got != want {
					t.Fatalf("%v: image %s, want %s", a, name(ps, got), name(ps, want))
				}
				checkMatch(t, ps, rd, v, a, want)
			}
		})
	}
}

func name(ps []netip.Prefix, i int) string {
	if i < 0 {
		return "none"
	}
	return ps[i].String()
}
