//go:build !race

package ribd_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ribd"
)

func TestAReaderAllocatesNothing(t *testing.T) {
	tab := table(t)
	rd := tab.NewReader()
	defer rd.Close()
	a := netip.MustParseAddr("8.8.8.8")
	addrs := slices.Repeat([]netip.Addr{a, netip.MustParseAddr("2606:4700:4700::1111")}, 512)
	answers := make([]ribd.Answer, len(addrs))
	rd.LookupBatch(addrs, answers)
	if n := testing.AllocsPerRun(100, func() { rd.Lookup(a) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
	if n := testing.AllocsPerRun(20, func() { rd.LookupBatch(addrs, answers) }); n != 0 {
		t.Errorf("LookupBatch allocates %v times", n)
	}
}

// known are addresses inside the sample's prefixes, in no order.
func known(b *testing.B, v *ribd.View) []netip.Addr {
	b.Helper()
	var addrs []netip.Addr
	for r := range v.Walk(netip.MustParsePrefix("0.0.0.0/0")) {
		addrs = append(addrs, r.Prefix().Addr())
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs[:1<<15]
}

// BenchmarkLookup asks for the longest match of random known addresses and the
// origin AS of its best path.
func BenchmarkLookup(b *testing.B) {
	tab := table(b)
	v := tab.View()
	defer v.Close()
	addrs := known(b, v)
	rd := tab.NewReader()
	defer rd.Close()
	b.Run("reader", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			rd.Lookup(addrs[i&(1<<15-1)])
		}
	})
	b.Run("reader batch of 1024", func(b *testing.B) {
		b.ReportAllocs()
		out := make([]ribd.Answer, 1024)
		for i := 0; i < b.N; i += 1024 {
			at := i & (1<<15 - 1)
			rd.LookupBatch(addrs[at:at+1024], out)
		}
	})
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r, _ := v.Lookup(addrs[i&(1<<15-1)])
			if !r.OK() {
				b.Fatal("no route")
			}
		}
	})
	b.Run("view, best path decoded", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r, _ := v.Lookup(addrs[i&(1<<15-1)])
			r.Best().Attributes().ASPath.Origin()
		}
	})
}
