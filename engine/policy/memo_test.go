package policy

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"ribd/shard/rib"
	"ribd/wire"
)

// TestAMemoNeverAnswersForAnotherKey has many goroutines store what can be
// told from the key, in tables that grow and end.
func TestAMemoNeverAnswersForAnotherKey(t *testing.T) {
	room := &memoRoom{}
	room.left.Store(memoTotal)
	m := newFar(room)
	// Small numbers, as ids are, so that halves of entries are alike.
	data := func(generation, key uint64) uint64 { return key ^ generation<<20 ^ 0x5555 | 1<<62 }
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for i := range 60_000 {
				generation, key := uint64(i/20_000), uint64(r.IntN(4096))
				if got, ok := m.get(generation, key); ok && got != data(generation, key) {
					t.Errorf("generation %d, key %d: got %x, want %x", generation, key, got, data(generation, key))
					return
				}
				m.put(generation, key, data(generation, key))
			}
		})
	}
	wg.Wait()
	if n := m.table.Load().slots(); n <= memoLeast {
		t.Errorf("the table has not grown: %d slots", n)
	}
	if got, want := room.left.Load(), int64(memoTotal)-m.held.Load(); got != want {
		t.Errorf("room left %d, want %d", got, want)
	}
}

func TestAMemoGrowsWithinItsRoom(t *testing.T) {
	room := &memoRoom{}
	room.left.Store(3 * memoLeast)
	m := newFar(room)
	for key := range uint64(100_000) {
		m.put(1, key, key|1<<62)
	}
	if n := m.table.Load().slots(); n != 4*memoLeast {
		t.Errorf("got %d slots, want %d", n, 4*memoLeast)
	}
	found := 0
	for key := range uint64(100_000) {
		if data, ok := m.get(1, key); ok {
			found++
			if data != key|1<<62 {
				t.Fatalf("key %d: %x", key, data)
			}
		}
	}
	if found < memoLeast || found > 4*memoLeast {
		t.Errorf("found %d", found)
	}
	if _, ok := m.get(2, 99_999); ok {
		t.Error("what was found out in one generation is there in the next")
	}
}

// TestWhatIsRememberedEndsWithItsSet interns a changed set, lets it end, and has
// it made again: the old id is not handed out.
func TestWhatIsRememberedEndsWithItsSet(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, "policies:\n  p:\n    - then: {accept: true, set: {med: 7}}\n")
	f := s.Import("p", external, Checks{})
	in := set{path: []uint32{65001}}
	id := in.id(t, a)
	first, _ := f.Set(wire.IPv4Unicast, 0, id)
	for range 3 {
		sweep := a.BeginSweep()
		sweep.Mark(id)
		sweep.End(true, 1, 0)
	}
	if a.Valid(first.Attrs) {
		t.Fatal("the changed set has not ended")
	}
	again, _ := f.Set(wire.IPv4Unicast, 0, id)
	if !a.Valid(again.Attrs) || again.Filtered != 0 {
		t.Errorf("got %+v, which is not in use", again)
	}
}

// TestFiltersThatAreTheSameShareWhatTheyRemember and give it back at their end.
func TestFiltersThatAreTheSameShareWhatTheyRemember(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, "policies:\n  p:\n    - {if: 'peer.asn > 65000 && as_path.all(n, n > 70000)', then: accept}\n    - {if: 'peer.name in [\"x\"] && prefix.length > med', then: {set: {med: 1}}}\n    - then: {accept: true, set: {med: 2}}\n")
	peer := func(asn uint32, name string) PeerFacts { p := external; p.ASN, p.Name = asn, name; return p }
	cores := map[*core]bool{}
	var filters []rib.Filter
	for i := range uint32(100) {
		f := s.Import("p", peer(65001+i%2, fmt.Sprint(i)), Checks{}).(*importFilter)
		cores[f.core] = true
		filters = append(filters, f)
	}
	if len(cores) != 1 {
		t.Errorf("peers that are the same to the policy have %d cores", len(cores))
	}
	for _, p := range []PeerFacts{peer(65001, "x"), peer(1, "a")} {
		if f := s.Import("p", p, Checks{}).(*importFilter); cores[f.core] {
			t.Errorf("%+v is not the same to the policy", p)
		}
	}
	for i := range uint32(20_000) {
		id, _ := a.Intern(set{path: []uint32{65001, i}, med: 6}.bytes(t))
		filters[0].Set(wire.IPv4Unicast, 0, id)
	}
	if left := s.room.left.Load(); left >= memoTotal {
		t.Errorf("%d slots left: the memo has not grown", left)
	}
	filters, cores = nil, nil
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		runtime.GC() // what it frees is told of later
		if s.room.left.Load() == memoTotal {
			return
		}
	}
	t.Errorf("%d slots left, want %d", s.room.left.Load(), memoTotal)
}

// TestMemoryIsBounded: whatever sets come, sources and expressions, what is
// remembered stays within bounds.
func TestMemoryIsBounded(t *testing.T) {
	a := newAttrs(t)
	s := compile(t, a, condition(`from.name != "" && as_path.matches("^" + string(from.asn)) && prefix.length > med`))
	at := make([]*PeerFacts, 18_000)
	f := s.Export("p", external, func(n rib.PeerNum) *PeerFacts { return at[n] }).(*exportFilter)
	id := set{path: []uint32{65001}}.id(t, a)
	for i := range at {
		at[i] = &PeerFacts{Name: fmt.Sprint("peer", i), ASN: uint32(i)}
		f.Set(wire.IPv4Unicast, rib.PeerNum(i), id)
	}
	if n := len(f.core.classes.byKey); n > maxClasses {
		t.Errorf("%d classes", n)
	}
	if n := f.core.classes.facts; n > maxFacts {
		t.Errorf("%d facts", n)
	}
	if n := f.near.table.Load().slots(); n > memoMost {
		t.Errorf("%d slots", n)
	}
}

func TestExportKeysAreOfWhatThePolicyLooksAt(t *testing.T) {
	a := newAttrs(t)
	const text = "groups: {customers: {}, transits: {}}\nprefix_sets: {own: [\"198.51.100.0/24\"]}\npolicies:\n" +
		"  none:\n    - {if: 'prefix in prefix_set(\"own\") && from.asn > 5', then: accept}\n" +
		"  truth:\n    - {if: 'peer.group == \"customers\" && med == 5 || peer.asn < 100', then: accept}\n" +
		"  value:\n    - {if: 'peer.asn in as_path', then: accept}\n"
	s := compile(t, a, text)
	peer := func(asn uint32, group string) PeerFacts { return PeerFacts{ASN: asn, Group: group, Name: group} }
	for _, c := range []struct {
		policy string
		p, q   PeerFacts
		same   bool
	}{
		{"none", peer(1, "customers"), peer(2, "transits"), true},
		{"truth", peer(1001, "customers"), peer(1002, "customers"), true},
		{"truth", peer(1001, "customers"), peer(1002, "transits"), false},
		{"truth", peer(1001, "customers"), peer(2, "customers"), false},
		{"value", peer(1, "customers"), peer(1, "transits"), true},
		{"value", peer(1, "customers"), peer(2, "customers"), false},
		{AcceptAll, peer(1, "customers"), peer(2, "transits"), true},
		{"", peer(1, "customers"), peer(2, "transits"), true},
	} {
		k, l := s.Export(c.policy, c.p, nil).Key(), s.Export(c.policy, c.q, nil).Key()
		if (k == l) != c.same {
			t.Errorf("%s, %+v and %+v: keys %s and %s, want the same: %v", c.policy, c.p, c.q, k, l, c.same)
		}
	}
	key := func(text string) string {
		return compile(t, a, text).Export("none", external, nil).Key()
	}
	if key(text) != key(text+"  more:\n    - then: accept\n") {
		t.Error("another policy changes the key")
	}
	for name, other := range map[string]string{
		"another prefix set": replace(t, text, "198.51.100.0/24", "198.51.101.0/24"), "another condition": replace(t, text, "from.asn > 5", "from.asn > 6"),
		"another verdict": replace(t, text, "5', then: accept", "5', then: reject"), "a change": replace(t, text, "5', then: accept", "5', then: {accept: true, set: {med: 1}}"),
	} {
		if key(text) == key(other) {
			t.Errorf("%s does not change the key", name)
		}
	}
	names := map[string]bool{}
	for _, n := range []string{"none", "truth", "value", AcceptAll, RejectAll, ""} {
		names[s.Export(n, external, nil).Key()] = true
	}
	if len(names) != 6 {
		t.Errorf("policies share keys: %v", names)
	}
}
