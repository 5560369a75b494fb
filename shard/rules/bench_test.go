package rules

import (
	"fmt"
	"testing"

	"ribd/internal/rulegen"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// realistic makes a table of n rules, and packets for it.
func realistic(tb testing.TB, v6 bool, n, packets int) (*Table, []flowspec.Packet, [][]byte) {
	f := wire.IPv4FlowSpec
	if v6 {
		f = wire.IPv6FlowSpec
	}
	set := rulegen.New(rulegen.Options{IPv6: v6, Rules: n, Seed: 1})
	t := NewTable(f)
	var all [][]byte
	for i, r := range set.Rules {
		nlri, err := flowspec.Canonical(nil, f, r.NLRI)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, nlri)
		t.Set(nlri, Value{ID: uint64(i + 1), Active: true, Terminal: i%8 != 0})
	}
	ps := make([]flowspec.Packet, packets)
	for i := range ps {
		ps[i] = packetOf(set.Packet(uint64(i)))
	}
	return t, ps, all
}

func packetOf(p rulegen.Packet) flowspec.Packet {
	return flowspec.Packet{
		Src: p.Src, Dst: p.Dst, Protocol: p.Protocol, SrcPort: p.SrcPort, DstPort: p.DstPort, ICMPType: p.Type, ICMPCode: p.Code,
		TCPFlags: p.TCPFlags, Length: uint32(p.Length), DSCP: p.DSCP, Fragment: flowspec.FragmentBits(p.Fragment), Has: flowspec.HasAll,
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, n := range []int{100, 10_000, 100_000} {
			b.Run(fmt.Sprintf("v6=%v/rules=%d", v6, n), func(b *testing.B) {
				t, ps, _ := realistic(b, v6, n, 1<<15)
				r := t.Publish()
				t.wait()
				var m Matches
				hits := 0
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					r.Match(&ps[i&(1<<15-1)], &m)
					hits += len(m.Hits)
				}
				b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		set := rulegen.New(rulegen.Options{Rules: n, Seed: 1})
		b.Run(fmt.Sprintf("set/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				t := NewTable(wire.IPv4FlowSpec)
				for i, r := range set.Rules {
					t.Set(r.NLRI, Value{ID: uint64(i), Active: true})
					if i%1000 == 999 {
						t.Publish()
					}
				}
				t.Publish()
			}
		})
		t, _, _ := realistic(b, false, n, 1)
		r := t.Publish()
		t.wait()
		b.Run(fmt.Sprintf("compile/%d", n), func(b *testing.B) {
			for b.Loop() {
				compile(r.active(), r.layout)
			}
		})
		b.Run(fmt.Sprintf("change/%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				i++
				t.Set(set.Rules[i%n].NLRI, Value{ID: uint64(i), Active: true})
				t.Publish()
			}
		})
	}
}
