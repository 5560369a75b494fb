package flowspec

import (
	"math/rand/v2"
	"testing"

	"ribd/wire"
)

// benchRules are rules as octets, and taken apart.
func benchRules(b *testing.B, n int) (nlri [][]byte, rules []Rule) {
	b.Helper()
	r := rand.New(rand.NewPCG(8955, 3))
	for range n {
		rule := randomRule(r, wire.IPv4FlowSpec)
		octets, err := rule.AppendNLRI(nil)
		if err != nil {
			b.Fatal(err)
		}
		nlri, rules = append(nlri, octets), append(rules, rule)
	}
	return nlri, rules
}

func BenchmarkCanonical(b *testing.B) {
	nlri, _ := benchRules(b, 1024)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := Canonical(dst, wire.IPv4FlowSpec, nlri[i%1024]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompare(b *testing.B) {
	nlri, _ := benchRules(b, 1024)
	b.ReportAllocs()
	n := 0
	for i := 0; b.Loop(); i++ {
		n += Compare(wire.IPv4FlowSpec, nlri[i%1024], nlri[(i+1)%1024])
	}
}

func BenchmarkText(b *testing.B) {
	nlri, _ := benchRules(b, 1024)
	var dst []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst = NLRIText(dst[:0], wire.IPv4FlowSpec, nlri[i%1024])
	}
}

// BenchmarkNaiveMatch walks 1,024 rules for each packet, component by
// component: what shard/rules is measured against.
func BenchmarkNaiveMatch(b *testing.B) {
	_, rules := benchRules(b, 1024)
	r := rand.New(rand.NewPCG(8955, 4))
	packets := make([]Packet, 256)
	for i := range packets {
		packets[i] = randomPacket(r, false)
	}
	b.ReportAllocs()
	n := 0
	for i := 0; b.Loop(); i++ {
		for j := range rules {
			if rules[j].Match(&packets[i%256]) {
				n++
			}
		}
	}
}
