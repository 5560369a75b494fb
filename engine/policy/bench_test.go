package policy

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// benchPolicy is of a size that routers have.
const benchPolicy = "prefix_sets:\n  bogons: [\"0.0.0.0/8{8,32}\", \"10.0.0.0/8{8,32}\", \"100.64.0.0/10{10,32}\", \"127.0.0.0/8{8,32}\", \"169.254.0.0/16{16,32}\",\n" +
	"    \"172.16.0.0/12{12,32}\", \"192.0.2.0/24{24,32}\", \"192.168.0.0/16{16,32}\", \"198.18.0.0/15{15,32}\", \"224.0.0.0/3{3,32}\"]\n" +
	"policies:\n  attributes:\n" +
	"    - {if: 'as_path.length > 50 || as_path.contains(64666) || as_path.matches(\"_(174|3356)_174_\")', then: reject}\n" +
	"    - {if: '\"65001:666\" in communities', then: {set: {local_pref: 50}, next: true}}\n" +
	"    - {if: 'as_path.origin == 15169 && origin == \"igp\"', then: {accept: true, set: {local_pref: 150}}}\n" +
	"    - then: accept\n" +
	"  prefixes:\n    - {if: 'prefix.length > 24 || prefix in prefix_set(\"bogons\")', then: reject}\n" +
	"    - {if: 'as_path.length > 50 || as_path.contains(64666)', then: reject}\n" +
	"    - {if: '\"65001:666\" in communities', then: {set: {local_pref: 50}, next: true}}\n" +
	"    - then: accept\n" +
	"  length:\n    - {if: 'prefix.length <= 24', then: accept}\n" +
	"  mixed:\n    - {if: '\"65001:*\" in communities && prefix.length == 24 || as_path.length > 3 && prefix in \"10.0.0.0/8\"', then: reject}\n    - then: accept\n" +
	"  cel:\n    - {if: 'prefix.address.endsWith(\".0\") && as_path.exists(n, n == 64666 + prefix.length)', then: reject}\n    - then: accept\n" +
	"  change:\n    - then: {accept: true, set: {local_pref: 150}, add_communities: [\"64512:1\"], prepend: {as: 64512, times: 2}}\n"

// benchRoutes are sets and prefixes as a table has them.
func benchRoutes(b *testing.B, a *rib.Attrs, n int) (ids []rib.AttrID, keys []trie.Key) {
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		s := set{path: []uint32{65001}, comm: some(r, "65001:1", "65001:666", "65002:7", "3356:100", "3356:2004")}
		for range 1 + r.IntN(5) {
			s.path = append(s.path, uint32(r.IntN(70000)))
		}
		ids = append(ids, s.id(b, a))
		keys = append(keys, trie.Key4(uint32(0x0b000000+r.IntN(0x80000000))&^0xff))
	}
	return ids, keys
}

func benchFilter(b *testing.B, a *rib.Attrs, name string, c Checks) rib.Filter {
	return compile(b, a, benchPolicy).Import(name, external, c)
}

// BenchmarkSet judges sets: the first time, and again.
func BenchmarkSet(b *testing.B) {
	const n = 1 << 14
	full := Checks{LocalAS: []uint32{64512}, RouterID: 1, ClusterID: 1, EnforceFirstAS: true, RejectASSets: true,
		Own: []netip.Addr{netip.MustParseAddr("192.0.2.254")}}
	customer := external
	customer.Role = config.RoleCustomer
	for _, c := range []struct {
		name, policy string
		again        bool
	}{
		{"checks-alone", AcceptAll, true}, {"attributes/first", "attributes", false}, {"attributes/again", "attributes", true},
		{"prefixes/first", "prefixes", false}, {"cel/first", "cel", false}, {"change/first", "change", false}, {"change/again", "change", true},
	} {
		b.Run(c.name, func(b *testing.B) {
			a := newAttrs(b)
			ids, _ := benchRoutes(b, a, n)
			f := benchFilter(b, a, c.policy, full)
			for _, id := range ids {
				f.Set(wire.IPv4Unicast, 1, id)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%n == 0 && !c.again {
					a.BeginSweep() // a new generation: nothing is remembered
				}
				f.Set(wire.IPv4Unicast, 1, ids[i%n])
			}
		})
	}
	b.Run("otc-added/again", func(b *testing.B) {
		a := newAttrs(b)
		ids, _ := benchRoutes(b, a, n)
		f := compile(b, a, benchPolicy).Import(AcceptAll, customer, full)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			f.Set(wire.IPv4Unicast, 1, ids[i%n])
		}
	})
}

// BenchmarkRoute judges routes of sets that are known, where Set is not final.
func BenchmarkRoute(b *testing.B) {
	const n = 1 << 14
	for _, name := range []string{"length", "prefixes", "mixed", "cel"} {
		b.Run(name, func(b *testing.B) {
			a := newAttrs(b)
			ids, keys := benchRoutes(b, a, n)
			f := benchFilter(b, a, name, Checks{LocalAS: []uint32{64512}, EnforceFirstAS: true})
			for _, id := range ids {
				f.Set(wire.IPv4Unicast, 1, id)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p := rib.Path{Peer: 1, Attrs: ids[i/5%n]}
				f.Route(wire.IPv4Unicast, 0, keys[i%n], 24, &p)
			}
		})
	}
}

// BenchmarkPrefixSet looks prefixes up in sets of many entries.
func BenchmarkPrefixSet(b *testing.B) {
	for name, n := range map[string]int{"10": 10, "1000": 1000, "100000": 100_000} {
		b.Run(name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 3))
			var ranges []config.PrefixRange
			for range n {
				a := netip.AddrFrom4([4]byte{byte(1 + r.IntN(220)), byte(r.IntN(256)), byte(r.IntN(256)), 0})
				p := netip.PrefixFrom(a, 8+r.IntN(17)).Masked()
				ranges = append(ranges, config.PrefixRange{Prefix: p, Min: uint8(p.Bits()), Max: 24})
			}
			s := newPrefixSet("s", ranges)
			for i := 0; b.Loop(); i++ {
				s.contains(prefixVal{trie.Key4(uint32(i) * 2654435761 &^ 0xff), 24, true, true})
			}
		})
	}
}

func TestNothingIsAllocatedForWhatIsKnown(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, benchPolicy)
	id := set{path: []uint32{65001, 3356}, comm: []string{"65001:666"}}.id(t, a)
	p := &rib.Path{Peer: 1, Attrs: id}
	k := trie.Key4(0x0b000000)
	peer := external
	peer.Role = config.RoleCustomer
	for _, name := range []string{AcceptAll, "attributes", "prefixes", "length", "mixed", "change"} {
		for kind, f := range map[string]rib.Filter{
			"import": s.Import(name, external, allChecks), "import with OTC": s.Import(name, peer, allChecks), "export": s.Export(name, external, nil),
		} {
			if n := testing.AllocsPerRun(100, func() {
				f.Set(wire.IPv4Unicast, 1, id)
				f.Route(wire.IPv4Unicast, 0, k, 24, p)
			}); n != 0 {
				t.Errorf("%s, %s: %v allocations", name, kind, n)
			}
		}
	}
}
