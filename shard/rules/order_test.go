package rules

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// TestKeysCompareAsRulesDo holds keys against flowspec.Compare.
func TestKeysCompareAsRulesDo(t *testing.T) {
	for _, f := range families {
		seed := rand.Uint64()
		m := newMaker(f, seed, 3)
		l := layoutOf(f)
		for range 20_000 {
			a, b := m.nlri(t), m.nlri(t)
			ka, kb := l.appendKey(nil, a), l.appendKey(nil, b)
			if got, want := bytes.Compare(ka, kb), flowspec.Compare(f, a, b); got != cmp.Compare(want, 0) {
				t.Fatalf("%v, seed %d: %x and %x: keys %x and %x compare as %d, rules as %d", f, seed, a, b, ka, kb, got, want)
			}
		}
	}
}

// filled makes a table of random rules, and the naive one of the same.
func filled(t testing.TB, m *maker, n int) (*Table, *truth, *Rules) {
	tbl, want := NewTable(m.family), &truth{family: m.family}
	for i := range n {
		nlri, v := m.nlri(t), Value{ID: uint64(i), Active: m.IntN(8) != 0, Terminal: m.IntN(4) != 0}
		tbl.Set(nlri, v)
		want.set(t, nlri, v)
	}
	return tbl, want, tbl.Publish()
}

func TestWalkBeginsBehindAnyNLRI(t *testing.T) {
	for _, f := range families {
		m := newMaker(f, rand.Uint64(), 4)
		_, want, r := filled(t, m, 1000)
		for i := range 300 {
			after := m.nlri(t)
			if i%2 == 0 {
				after = want.rules[m.IntN(len(want.rules))].nlri
			}
			at, found := want.find(after)
			v, order, ok := r.Get(after)
			if ok != found || ok && (v != want.rules[at].v || order != at+1) {
				t.Fatalf("Get(%x): got %v, %d, %v; want place %d, %v", after, v, order, ok, at, found)
			}
			if found {
				at++
			}
			n := 0
			r.Walk(after, func(nlri []byte, v Value, order int) bool {
				if w := want.rules[at]; !bytes.Equal(nlri, w.nlri) || v != w.v || order != at+1 {
					t.Fatalf("after %x: got %x, order %d; want %x, order %d", after, nlri, order, w.nlri, at+1)
				}
				at++
				n++
				return n < 20
			})
			if n < 20 && at != len(want.rules) {
				t.Fatalf("after %x: ended at %d of %d", after, at, len(want.rules))
			}
		}
	}
}

func TestRulesOfADestination(t *testing.T) {
	for _, f := range families {
		seed := rand.Uint64()
		t.Logf("%v, seed %d", f, seed)
		m := newMaker(f, seed, 4)
		_, want, r := filled(t, m, 1000)
		for range 500 {
			p := m.prefix(m.addr())
			var under, over [][]byte
			bits := func(nlri []byte) int {
				d, _, _ := flowspec.Destination(f, nlri)
				return d.Bits()
			}
			for _, w := range want.rules {
				d, offset, ok := flowspec.Destination(f, w.nlri)
				switch {
				case !ok || offset != 0:
				case d.Bits() >= p.Bits() && p.Contains(d.Addr()):
					under = append(under, w.nlri)
				case d.Bits() < p.Bits() && d.Contains(p.Addr()):
					over = append(over, w.nlri)
				}
			}
			slices.SortStableFunc(over, func(a, b []byte) int { return bits(a) - bits(b) })
			var to [][]byte
			seen := map[netip.Prefix]bool{}
			r.Destinations(p, func(d netip.Prefix) bool {
				if seen[d] || d != d.Masked() {
					t.Errorf("%v: the destination %v twice", p, d)
				}
				seen[d] = true
				to = append(to, collect(func(y func([]byte, Value) bool) { r.To(d, y) })...)
				return true
			})
			sameNLRI(t, p, "Destinations and To", to, append(over, under...))
		}
		other := netip.MustParsePrefix("::/0")
		if flowspec.Is6(f) {
			other = netip.MustParsePrefix("0.0.0.0/0")
		}
		for _, p := range []netip.Prefix{other, {}} {
			r.Destinations(p, func(d netip.Prefix) bool { t.Errorf("%v overlaps %v", p, d); return true })
			r.To(p, func(nlri []byte, _ Value) bool { t.Errorf("%x is to %v", nlri, p); return true })
		}
	}
}

func TestYieldEndsAWalk(t *testing.T) {
	m := newMaker(wire.IPv4FlowSpec, 1, 4)
	_, _, r := filled(t, m, 500)
	n := 0
	r.Destinations(netip.MustParsePrefix("0.0.0.0/0"), func(netip.Prefix) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("Destinations: %d after the third was refused", n)
	}
	n = 0
	r.Walk(nil, func([]byte, Value, int) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("Walk: %d rules after the third was refused", n)
	}
}

func collect(walk func(func([]byte, Value) bool)) (all [][]byte) {
	walk(func(nlri []byte, _ Value) bool { all = append(all, nlri); return true })
	return all
}

func sameNLRI(t *testing.T, p netip.Prefix, name string, got, want [][]byte) {
	t.Helper()
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("%s(%v): got %d rules %x, want %d %x", name, p, len(got), got, len(want), want)
	}
}

// TestNarrowIsTheLongestPrefix holds narrow against trying each prefix.
func TestNarrowIsTheLongestPrefix(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		f := wire.IPv4FlowSpec
		if v6 {
			f = wire.IPv6FlowSpec
		}
		seed := rand.Uint64()
		m := newMaker(f, seed, 4)
		l := layout{v6: v6}
		for round := range 200 {
			var ps []prefix
			for range 1 + m.IntN(1<<(round%11)) {
				p := m.prefix(m.addr())
				a, _ := addressOf(p.Addr(), v6)
				ps = append(ps, prefix{first: a, bits: uint8(p.Bits())})
			}
			key := func(p prefix) []byte { return l.appendPrefixKey(nil, flowspec.TypeDestination, p) }
			slices.SortFunc(ps, func(a, b prefix) int { return bytes.Compare(key(a), key(b)) })
			ps = slices.Compact(ps)
			outer := make([]uint32, len(ps))
			var n narrower
			tbl := n.build(ps, 1, func(i int, o uint32) { outer[i] = o }, func(number uint32) record { return record{rules: number} })
			best := func(a address, shorter int) (found uint32) {
				bits := -1
				for i, p := range ps {
					if p.has(a) && int(p.bits) > bits && int(p.bits) < shorter {
						found, bits = uint32(i+1), int(p.bits)
					}
				}
				return found
			}
			for i, p := range ps {
				if got, want := outer[i], best(p.first, int(p.bits)); got != want {
					t.Fatalf("seed %d, %v: inside of %d, want %d", seed, p, got, want)
				}
			}
			ends := []address{{}, {^uint64(0), ^uint64(0)}}
			for _, p := range ps {
				ends = append(ends, p.first, p.last(), p.first.before())
				if next, ok := p.last().next(); ok {
					ends = append(ends, next)
				}
			}
			for range 100 {
				a, _ := addressOf(m.addr(), v6)
				ends = append(ends, a)
			}
			for _, a := range ends {
				if got, want := tbl.find(a).rules, best(a, 129); got != want {
					t.Fatalf("seed %d, round %d, %x: got %d, want %d of %v", seed, round, a, got, want, ps)
				}
			}
		}
	}
}
