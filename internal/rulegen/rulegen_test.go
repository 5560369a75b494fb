package rulegen

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
)

func TestSameSeedSameRules(t *testing.T) {
	o := Options{Rules: 500, Seed: 3}
	a, b := New(o), New(o)
	if len(a.Rules) != 500 {
		t.Fatalf("%d rules, want 500", len(a.Rules))
	}
	same := func(x, y Rule) bool { return bytes.Equal(x.NLRI, y.NLRI) && x.Hit == y.Hit }
	if !slices.EqualFunc(a.Rules, b.Rules, same) || a.Packet(7) != b.Packet(7) {
		t.Error("the same seed makes other rules or packets")
	}
	o.Seed = 4
	if slices.EqualFunc(a.Rules, New(o).Rules, same) {
		t.Error("another seed makes the same rules")
	}
}

func TestHostsAreInThePrefixesGiven(t *testing.T) {
	given := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.64/26")}
	for _, r := range New(Options{Prefixes: given, Rules: 300, Seed: 1}).Rules {
		if !given[0].Contains(r.Hit.Dst) && !given[1].Contains(r.Hit.Dst) {
			t.Fatalf("%x is for %v", r.NLRI, r.Hit.Dst)
		}
	}
}
