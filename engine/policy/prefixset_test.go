package policy

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"ribd/engine/config"
)

// randomRange returns a range near others, so that entries nest.
func randomRange(r *rand.Rand) config.PrefixRange {
	p := randomPrefix(r)
	lo := uint8(p.Bits() + r.IntN(p.Addr().BitLen()-p.Bits()+1))
	hi := lo + uint8(r.IntN(p.Addr().BitLen()-int(lo)+1))
	return config.PrefixRange{Prefix: p, Min: lo, Max: hi}
}

func randomPrefix(r *rand.Rand) netip.Prefix {
	b := [16]byte{0x20, 1, byte(r.IntN(2)), byte(r.IntN(4) << 6), byte(r.IntN(256))}
	if r.IntN(2) == 0 {
		return netip.PrefixFrom(netip.AddrFrom16(b), r.IntN(129)).Masked()
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[1:5])), r.IntN(33)).Masked()
}

func TestPrefixSetsAnswerAsAListDoes(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 3))
	in := 0
	for range 300 {
		var ranges []config.PrefixRange
		for range r.IntN(12) {
			ranges = append(ranges, randomRange(r))
		}
		s := newPrefixSet("s", ranges)
		for range 200 {
			p := randomPrefix(r)
			want := false
			for _, e := range ranges {
				want = want || e.Prefix.Overlaps(p) && p.Bits() >= e.Prefix.Bits() && p.Bits() >= int(e.Min) && p.Bits() <= int(e.Max)
			}
			v, err := prefixOf(p.String())
			check(t, err)
			if got := s.contains(v); got != want {
				t.Fatalf("seed %d: %v in %v: got %v, want %v", seed, p, ranges, got, want)
			}
			if want {
				in++
			}
		}
	}
	if in < 1000 {
		t.Errorf("only %d prefixes were in a set", in)
	}
}
