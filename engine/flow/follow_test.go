package flow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// TestAChangeRevalidatesOnlyWhatIsUnderIt counts: of 1,000 rules, a unicast change
// concerns those whose destination it covers or is covered by.
func TestAChangeRevalidatesOnlyWhatIsUnderIt(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 2})
	n, other := l.peer("192.0.2.1", 65001, Strict), l.peer("192.0.2.2", 65002, Strict)
	one, two := l.attrs(set{path: []uint32{65001}}), l.attrs(set{path: []uint32{65002}})
	l.announce(l.prefix(wire.IPv4Unicast, 0, "10.0.0.0/8"), rib.Path{Peer: n, Attrs: one})
	l.announce(l.prefix(wire.IPv4Unicast, 0, "0.0.0.0/0"), rib.Path{Peer: n, Attrs: one})
	for i := range 1000 { // 10.0.0.0/24 to 10.3.231.0/24
		l.announce(l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), 53)), rib.Path{Peer: n, Attrs: one})
	}
	l.announce(l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "10.0.0.0/15", 53)), rib.Path{Peer: n, Attrs: one})
	l.announce(l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "", 53)), rib.Path{Peer: n, Attrs: one})
	l.wait()
	if s := l.fl.Stats(); s.Families[0].Active != 1001 || s.Families[0].Invalid[rib.FilterNoDestination] != 1 {
		t.Fatalf("%+v", s)
	}
	for _, c := range []struct {
		prefix          string
		from            rib.PeerNum
		attrs           rib.AttrID
		looked, changed uint64
	}{
		{"10.1.5.0/24", n, one, 2, 0},         // the rule, and the one of 15 bits
		{"10.1.5.0/24", n, one, 0, 0},         // nothing has changed
		{"10.1.4.0/22", n, one, 5, 0},         // four and the wide one
		{"10.3.0.0/16", other, two, 232, 232}, // those are another's now
		{"10.3.0.0/16", other, 0, 232, 232},   // and again not
		{"10.1.9.77/32", other, two, 2, 2},    // under one, and under the wide one
		{"10.1.9.77/32", other, 0, 2, 2},      // and gone
		{"11.0.0.0/8", other, two, 0, 0},      // no rule is there
		{"10.0.0.0/8", other, two, 0, 0},      // not the best path
		{"2001:db8::/32", other, two, 0, 0},   // nor here
		{"0.0.0.0/0", n, 0, 1001, 0},          // it covers them all, and something longer as well
		{"10.0.0.0/8", n, 0, 1001, 1001 - 4},  // the other has it, but for what has a longer one
	} {
		before := l.fl.Stats()
		f := wire.IPv4Unicast
		if netip.MustParsePrefix(c.prefix).Addr().Is6() {
			f = wire.IPv6Unicast
		}
		at := l.prefix(f, 0, c.prefix)
		if c.attrs != 0 {
			l.announce(at, rib.Path{Peer: c.from, Attrs: c.attrs})
		} else {
			l.withdraw(at, c.from)
		}
		l.wait()
		after := l.fl.Stats()
		if looked, changed := after.Revalidations-before.Revalidations, after.Changes-before.Changes; looked != c.looked || changed != c.changed {
			t.Errorf("%s of peer %d, %d: %d rules looked at and %d changed, want %d and %d", c.prefix, c.from, c.attrs, looked, changed, c.looked, c.changed)
		}
	}
}

// TestWideRulesCostLittle has 20,000 routes under 500 rules with one destination,
// and changes the routes one by one: neither each rule nor each change walks all
// that is under it.
func TestWideRulesCostLittle(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 2})
	n, other := l.peer("192.0.2.1", 65001, Strict), l.peer("192.0.2.2", 65002, Strict)
	one, two, far := l.attrs(set{path: []uint32{65001}}), l.attrs(set{path: []uint32{65002}}), l.attrs(set{path: []uint32{65001, 7}})
	l.announce(l.prefix(wire.IPv4Unicast, 0, "10.0.0.0/8"), rib.Path{Peer: n, Attrs: one})
	const routes = 20000
	under := func(i uint32) place { return place{rib.TableIPv4Unicast, trie.Key4(10<<24 | i<<8), 24} }
	for i := range uint32(routes) {
		l.announce(under(i), rib.Path{Peer: n, Attrs: one})
	}
	var at []place
	for i := range uint16(500) {
		at = append(at, l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "10.0.0.0/8", i)))
	}
	l.announce(at[0], rib.Path{Peer: n, Attrs: one})
	l.wait() // from now on its routes are watched
	walked := l.fl.counts.walked.Load()
	for _, x := range at {
		l.announce(x, rib.Path{Peer: n, Attrs: one})
	}
	all := func(verdict, when string) {
		t.Helper()
		l.wait()
		for i, x := range at {
			if got := l.verdict(x, n); got != verdict {
				t.Fatalf("%s: rule %d is %s, want %s", when, i, got, verdict)
			}
		}
	}
	all("valid", "all is of one AS")
	for i := range uint32(routes) {
		l.announce(under(i), rib.Path{Peer: n, Attrs: far})
	}
	all("valid", "all has changed, and is of one AS")
	// The last of them is another's; then the others change again.
	l.announce(under(routes-1), rib.Path{Peer: other, Attrs: two})
	l.withdraw(under(routes-1), n)
	all("more-specific", "one is another's")
	before := l.fl.Stats()
	for i := range uint32(routes - 1) {
		l.announce(under(i), rib.Path{Peer: n, Attrs: one})
	}
	all("more-specific", "it still is")
	if looked := l.fl.Stats().Revalidations - before.Revalidations; looked > 10*500 {
		t.Errorf("rules were looked at %d times for changes that mean nothing to them", looked)
	}
	l.withdraw(under(routes-1), other)
	all("valid", "it is gone")
	if n := (l.fl.counts.walked.Load() - walked) / routes; n > 10 {
		t.Errorf("all that is under the rules was walked %d times", n)
	}

	// Without rules nobody watches the routes; what was known is forgotten.
	for _, x := range at {
		l.withdraw(x, n)
	}
	l.wait()
	l.announce(under(7), rib.Path{Peer: other, Attrs: two})
	l.withdraw(under(7), n)
	l.wait()
	if why := l.announce(at[0], rib.Path{Peer: n, Attrs: one}); why != rib.FilterMoreSpecific {
		t.Errorf("what changed while there was no rule is not seen: %q", why)
	}
	l.want(at[0], n, "more-specific", "a route changed while there was no rule")
}

// TestManyRulesOfOneDestinationCostLittle has 250 routes under 3,000 rules with one
// destination: rules times changes, or times routes, would be a peer's to demand.
func TestManyRulesOfOneDestinationCostLittle(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 2})
	n, other := l.peer("192.0.2.1", 65001, Strict), l.peer("192.0.2.2", 65002, Strict)
	one, two, far := l.attrs(set{path: []uint32{65001}}), l.attrs(set{path: []uint32{65002}}), l.attrs(set{path: []uint32{65001, 7}})
	cover := l.prefix(wire.IPv4Unicast, 0, "10.0.0.0/8")
	l.announce(cover, rib.Path{Peer: n, Attrs: one})
	const routes, count = 250, 3000
	under := func(i uint32) place { return place{rib.TableIPv4Unicast, trie.Key4(10<<24 | i<<8), 24} }
	for i := range uint32(routes) {
		l.announce(under(i), rib.Path{Peer: n, Attrs: one})
	}
	var at []place
	for i := range uint16(count) {
		at = append(at, l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "10.0.0.0/8", i)))
		l.announce(at[i], rib.Path{Peer: n, Attrs: one})
	}
	l.wait()
	for _, c := range []struct {
		when, want string
		change     func()
	}{
		{"each route under it changes", "valid", func() {
			for i := range uint32(routes) {
				l.announce(under(i), rib.Path{Peer: n, Attrs: far})
			}
		}},
		{"the route over it changes", "valid", func() { l.announce(cover, rib.Path{Peer: n, Attrs: far}) }},
		{"one is another's", "more-specific", func() { l.announce(under(7), rib.Path{Peer: other, Attrs: two}); l.withdraw(under(7), n) }},
		{"the route over it goes", "no-unicast-route", func() { l.withdraw(cover, n) }},
		{"and comes, and all is of one AS", "valid", func() {
			l.announce(cover, rib.Path{Peer: n, Attrs: one})
			l.withdraw(under(7), other)
		}},
	} {
		before, walked := l.fl.Stats(), l.fl.counts.walked.Load()
		c.change()
		l.wait()
		for i, x := range at {
			if got := l.verdict(x, n); got != c.want {
				t.Fatalf("%s: rule %d is %s, want %s", c.when, i, got, c.want)
			}
		}
		// Batches of the feed end where they will: a handful is well under 250.
		if looked := l.fl.Stats().Revalidations - before.Revalidations; looked > 20*count {
			t.Errorf("%s: rules were looked at %d times", c.when, looked)
		}
		if walked := l.fl.counts.walked.Load() - walked; walked > 20*count {
			t.Errorf("%s: %d routes were walked", c.when, walked)
		}
	}
}

// TestATableYoungerThanItsRulesIsWatched: the routes of a VPN come after the rules
// that depend on them.
func TestATableYoungerThanItsRulesIsWatched(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 2})
	n, other := l.peer("192.0.2.1", 65001, Strict), l.peer("192.0.2.2", 65002, Strict)
	one, two := l.attrs(set{path: []uint32{65001}}), l.attrs(set{path: []uint32{65002}})
	const rd, routes, count = 65001<<32 | 1, 1000, 300
	var at []place
	for i := range uint16(count) {
		at = append(at, l.at(wire.IPv4FlowSpecVPN, rule(wire.IPv4FlowSpecVPN, rd, "10.0.0.0/8", i)))
	}
	l.announce(at[0], rib.Path{Peer: n, Attrs: one})
	l.want(at[0], n, "no-unicast-route", "there is no VPN")
	cover := l.prefix(wire.IPv4VPN, rd, "10.0.0.0/8")
	l.announce(cover, rib.Path{Peer: n, Attrs: one})
	under := func(i uint32) place { return place{cover.t, trie.Key4(10<<24 | i<<8), 24} }
	for i := range uint32(routes) {
		l.announce(under(i), rib.Path{Peer: n, Attrs: one})
	}
	l.want(at[0], n, "valid", "there is one")
	before := l.fl.counts.walked.Load()
	for _, x := range at {
		l.announce(x, rib.Path{Peer: n, Attrs: one})
	}
	l.wait()
	if walked := (l.fl.counts.walked.Load() - before) / routes; walked > 10 {
		t.Errorf("all that is under the rules was walked %d times", walked)
	}
	l.announce(under(7), rib.Path{Peer: other, Attrs: two})
	l.withdraw(under(7), n)
	for _, x := range at {
		l.want(x, n, "more-specific", "one is another's")
	}
}

// TestARouteThatGoesWithItsPeer: the routes of a peer that is dropped end what
// depends on them.
func TestARouteThatGoesWithItsPeer(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 2})
	n, other := l.peer("192.0.2.1", 65001, Strict), l.peer("192.0.2.2", 65002, Strict)
	one, two := l.attrs(set{path: []uint32{65001}}), l.attrs(set{path: []uint32{65002}})
	l.announce(l.prefix(wire.IPv4Unicast, 0, "203.0.113.0/24"), rib.Path{Peer: n, Attrs: one})
	l.announce(l.prefix(wire.IPv4Unicast, 0, "203.0.113.128/25"), rib.Path{Peer: other, Attrs: two})
	at := l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "203.0.113.0/24", 53))
	l.announce(at, rib.Path{Peer: n, Attrs: one})
	l.want(at, n, "more-specific", "there is a longer route")
	l.fan.Flush()
	l.r.DropPeer(other)
	l.r.Settle()
	l.want(at, n, "valid", "it went with its peer")
	l.r.DropPeer(n)
	l.r.Settle()
	l.want(at, n, "gone", "the peer of the rule is gone")
	if tables := l.fl.Tables(); len(tables) != 0 {
		t.Errorf("tables: %+v", tables)
	}
	if s := l.fl.Stats().Families[0]; s.Rules != 0 || s.Paths != 0 || s.Active != 0 {
		t.Errorf("counts: %+v", s)
	}
}

// TestSnapshotsStayAsTheyWere.
func TestSnapshotsStayAsTheyWere(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 1})
	n := l.peer("192.0.2.1", 65001, Off)
	one := l.attrs(set{path: []uint32{65001}})
	var held []*rules.Rules
	for i := range 50 {
		l.announce(l.at(wire.IPv4FlowSpecVPN, rule(wire.IPv4FlowSpecVPN, 9, fmt.Sprintf("10.0.%d.0/24", i), 53)), rib.Path{Peer: n, Attrs: one})
		l.wait()
		held = append(held, l.fl.Rules(wire.IPv4FlowSpecVPN, 9))
	}
	for i, r := range held {
		if r.Len() != i+1 {
			t.Errorf("snapshot %d has %d rules", i, r.Len())
		}
	}
	if fs := l.fl.Families(); len(fs) != 1 || fs[0] != wire.IPv4FlowSpecVPN || l.fl.Rules(wire.IPv4FlowSpecVPN, 8) != nil || l.fl.Rules(wire.IPv4FlowSpec, 0) != nil {
		t.Errorf("families: %v", fs)
	}
}

// TestWithoutFlowSpecNothingFollows: changes are counted, not recorded.
func TestWithoutFlowSpecNothingFollows(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 1})
	n := l.peer("192.0.2.1", 65001, Strict)
	goroutines := runtime.NumGoroutine()
	l.announce(l.prefix(wire.IPv4Unicast, 0, "203.0.113.0/24"), rib.Path{Peer: n, Attrs: l.attrs(set{path: []uint32{65001}})})
	l.wait()
	if l.fl.started.Load() || runtime.NumGoroutine() > goroutines {
		t.Error("something follows")
	}
	if s := l.fl.Stats(); len(s.Families) != 0 || s.Evaluations != 0 {
		t.Errorf("%+v", s)
	}
	// The filter leaves what it wraps final: no route is asked for by itself.
	if _, final := l.filters[n].Set(wire.IPv4Unicast, n, l.attrs(set{})); !final {
		t.Error("unicast routes are asked for one by one")
	}
}

func TestWaitEnds(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 1})
	n := l.peer("192.0.2.1", 65001, Off)
	l.announce(l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "10.0.0.0/8", 53)), rib.Path{Peer: n, Attrs: l.attrs(set{})})
	l.wait()
	far := l.r.Mark(nil)
	for i := range far {
		far[i]++
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := l.fl.Wait(ctx, far); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	l.fl.Close()
	if err := l.fl.Wait(t.Context(), far); !errors.Is(err, shard.ErrClosed) {
		t.Error(err)
	}
}

// TestRuleIDs are what clients keep: they do not change from version to version.
func TestRuleIDs(t *testing.T) {
	small := rule(wire.IPv4FlowSpec, 0, "203.0.113.0/24", 53)
	large := []byte{0xf1, 0}
	for len(large) < 258 {
		large = append(large, 3, 1, 6)
	}
	for _, c := range []struct {
		peer string
		f    wire.Family
		has  bool
		id   uint32
		nlri []byte
		want uint64
	}{
		{"0123456789abcdef", wire.IPv4FlowSpec, false, 0, small, 0x9da4a120422f45f4},
		{"0123456789abcdef", wire.IPv4FlowSpec, false, 7, small, 0x9da4a120422f45f4},
		{"0123456789abcdef", wire.IPv4FlowSpec, true, 0, small, 0x541b084adb66ea99},
		{"0123456789abcdef", wire.IPv6FlowSpec, true, 7, large, 0x62494da1f52ca744},
	} {
		octets := append([]byte(c.peer), 0, byte(c.f>>16), byte(c.f>>8), byte(c.f))
		if c.has {
			octets = append(octets, 1, 0, 0, 0, byte(c.id))
		} else {
			octets = append(octets, 0, 0, 0, 0, 0)
		}
		if got := RuleID(c.peer, c.f, c.has, c.id, c.nlri); got != c.want || got != xxhash.Sum64(append(octets, c.nlri...)) {
			t.Errorf("%s %v %v %d: %#x, want %#x", c.peer, c.f, c.has, c.id, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		RuleID("0123456789abcdef", wire.IPv4FlowSpec, false, 0, small)
		RuleID("0123456789abcdef", wire.IPv4FlowSpec, false, 0, large)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestValidationAllocatesNothing: it is on the path of every rule.
func TestValidationAllocatesNothing(t *testing.T) {
	l := newLab(t, shard.Options{Shards: 2})
	n := l.peer("192.0.2.1", 65001, Strict)
	one := l.attrs(set{path: []uint32{65001}})
	for i := range uint32(64) {
		l.announce(place{rib.TableIPv4Unicast, trie.Key4(10<<24 | i<<8), 24}, rib.Path{Peer: n, Attrs: one})
	}
	l.announce(l.prefix(wire.IPv4Unicast, 0, "10.0.0.0/16"), rib.Path{Peer: n, Attrs: one})
	at := l.at(wire.IPv4FlowSpec, rule(wire.IPv4FlowSpec, 0, "10.0.0.0/16", 53))
	l.wait()
	p := rib.Path{Peer: n, Attrs: one}
	f := l.filters[n]
	if a := testing.AllocsPerRun(100, func() {
		if v := f.Route(wire.IPv4FlowSpec, 0, at.k, at.n, &p); v.Filtered != rib.FilterNone {
			t.Fatal(v.Filtered)
		}
	}); a > 0 {
		t.Errorf("%v allocations", a)
	}
}

// BenchmarkTake100000 takes 100,000 rules of one peer in, from octets to a published
// table, validated against as many unicast routes.
func BenchmarkTake100000(b *testing.B) {
	const count = 100_000
	var nlris [][]byte
	for i := range uint32(count) {
		n := []byte{0, 1, 32, 0, 0, 0, 0, 3, 0x81, 17, 6, 0x91, 0, 53}
		n[0] = byte(len(n) - 1)
		binary.BigEndian.PutUint32(n[3:], 0x0a000000|i*97)
		nlris = append(nlris, n)
	}
	for b.Loop() {
		b.StopTimer()
		l := newLab(b, shard.Options{Shards: 2})
		n := l.peer("192.0.2.1", 65001, Strict)
		one := l.attrs(set{path: []uint32{65001}})
		for i := range uint32(count) {
			l.announce(place{rib.TableIPv4Unicast, trie.Key4((0x0a000000 | i*97) &^ 255), 24}, rib.Path{Peer: n, Attrs: one})
		}
		l.fan.Flush()
		l.r.Sync()
		var scratch []byte
		tb, _ := l.r.Table(wire.IPv4FlowSpec, 0)
		b.StartTimer()
		for i, nlri := range nlris {
			c, err := flowspec.Canonical(scratch[:0], wire.IPv4FlowSpec, nlri)
			if err != nil {
				b.Fatal(err)
			}
			scratch = c
			k, bits, _ := l.r.RawKey(c)
			l.announce(place{tb, k, bits}, rib.Path{Peer: n, Attrs: one})
			if i%200 == 199 {
				l.fan.Flush()
			}
		}
		l.fan.Flush()
		if err := l.fl.Wait(b.Context(), l.r.Mark(nil)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if s := l.fl.Stats().Families[0]; s.Active != count {
			b.Fatalf("%+v", s)
		}
		l.fan.Close()
		l.fl.Close()
		l.r.Close()
		l.fan = l.r.NewFan()
		b.StartTimer()
	}
}
