package rib

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"ribd/internal/invariants"
)

func set(v ...byte) []byte {
	b := []byte{0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4, 192, 0, 2, 1}
	return append(append(b, 0xc0, 8, byte(len(v))), v...)
}

func numbered(i uint32) []byte { return set(binary.BigEndian.AppendUint32(nil, i)...) }

func newAttrs(t testing.TB, o AttrsOptions) *Attrs {
	a := NewAttrs(o)
	t.Cleanup(a.Close)
	return a
}

func TestEqualBytesHaveOneID(t *testing.T) {
	a := newAttrs(t, AttrsOptions{})
	const n = 50000
	ids := make([]AttrID, n)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range uint32(n) {
				if _, ok := a.Intern(numbered(i)); !ok {
					t.Errorf("set %d is refused", i)
				}
			}
		})
	}
	wg.Wait()
	seen := map[AttrID]bool{}
	for i := range uint32(n) {
		ids[i], _ = a.Intern(numbered(i))
		if ids[i] == 0 || seen[ids[i]] || ids[i] >= a.MaxSet() {
			t.Fatalf("set %d has id %d", i, ids[i])
		}
		seen[ids[i]] = true
		if b, ok := a.Bytes(ids[i]); !ok || !bytes.Equal(b, numbered(i)) {
			t.Fatalf("set %d is %x, %v", i, b, ok)
		}
		if a.Find(numbered(i)) != ids[i] {
			t.Fatalf("set %d is not found", i)
		}
	}
	if s := a.Stats(); s.Sets != n || s.ASPaths != 1 || s.SetBytes != uint64(n*len(numbered(0))) {
		t.Errorf("%+v", s)
	}
	if a.Find(set(1)) != 0 {
		t.Error("a set is found that is not there")
	}
	for _, id := range []AttrID{0, 1, a.MaxSet(), ^AttrID(0)} {
		if _, ok := a.Bytes(id); ok {
			t.Errorf("id %d is in use", id)
		}
		if _, ok := a.Summary(id); ok {
			t.Errorf("id %d has a summary", id)
		}
	}
}

func TestSetsTakeLittleMoreThanTheirBytes(t *testing.T) {
	a := newAttrs(t, AttrsOptions{})
	if testing.Short() || invariants.Enabled {
		t.Skip("many sets")
	}
	const n = 600000
	for i := range uint32(n) {
		a.Intern(numbered(i))
	}
	s := a.Stats()
	t.Logf("%.1f octets a set beside its own", float64(s.MemoryBytes-s.SetBytes)/n)
	if over := float64(s.MemoryBytes-s.SetBytes) / n; over > 52 {
		t.Errorf("%.1f octets a set beside its own", over)
	}
}

func TestSummary(t *testing.T) {
	a := newAttrs(t, AttrsOptions{})
	path := func(v ...byte) []byte {
		b := append([]byte{0x40, 1, 1, 2, 0x40, 2, byte(len(v))}, v...)
		return append(b, 0x40, 3, 4, 192, 0, 2, 1)
	}
	for _, c := range []struct {
		name string
		set  []byte
		want Summary
	}{
		{"empty path", path(), Summary{LocalPref: 100, Origin: 2}},
		{"sequence", path(2, 2, 0, 0, 0, 5, 0, 0, 0, 6), Summary{LocalPref: 100, Origin: 2, PathLen: 2, NeighborAS: 5, OriginAS: 6, HasNeighbor: true, HasOrigin: true}},
		{"final set", path(2, 1, 0, 0, 0, 5, 1, 2, 0, 0, 0, 6, 0, 0, 0, 7), Summary{LocalPref: 100, Origin: 2, PathLen: 2, NeighborAS: 5, HasNeighbor: true}},
		{"confederation", path(3, 2, 0, 0, 0, 8, 0, 0, 0, 9, 2, 1, 0, 0, 0, 5), Summary{LocalPref: 100, Origin: 2, PathLen: 1, NeighborAS: 5, OriginAS: 5, HasNeighbor: true, HasOrigin: true}},
		{"preferences", append(path(), 0x80, 4, 4, 0, 0, 0, 9, 0x40, 5, 4, 0, 0, 1, 0), Summary{LocalPref: 256, MED: 9, Origin: 2, HasLocalPref: true, HasMED: true}},
	} {
		id, _ := a.Intern(c.set)
		got, ok := a.Summary(id)
		if !ok {
			t.Fatalf("%s: no summary", c.name)
		}
		if v, ok := a.ASPathBytes(a.ASPathOf(id)); !ok || !bytes.Equal(v, c.set[7:7+int(c.set[6])]) {
			t.Errorf("%s: AS_PATH %x", c.name, v)
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	x, _ := a.Intern(path(2, 1, 0, 0, 0, 5))
	y, _ := a.Intern(append(path(2, 1, 0, 0, 0, 5), 0x80, 4, 4, 0, 0, 0, 9))
	if x == y || a.ASPathOf(x) != a.ASPathOf(y) {
		t.Error("equal paths of two sets have two ids")
	}
}

// TestCollisionsCostBoundedWork has every string hash alike, as somebody could
// arrange for XXH64: ids stay right, and what finds no room is refused.
func TestCollisionsCostBoundedWork(t *testing.T) {
	a := newAttrs(t, AttrsOptions{})
	a.sets.hash = func([]byte) uint64 { return 0xffc0000000000003 }
	const n = 3000
	ids := map[AttrID]uint32{}
	refused := 0
	for i := range uint32(n) {
		id, ok := a.Intern(numbered(i))
		if !ok {
			refused++
			continue
		}
		if j, ok := ids[id]; ok {
			t.Fatalf("sets %d and %d have id %d", i, j, id)
		}
		ids[id] = i
	}
	for id, i := range ids {
		if b, ok := a.Bytes(id); !ok || !bytes.Equal(b, numbered(i)) {
			t.Fatalf("set %d is %x, %v", i, b, ok)
		}
		if a.Find(numbered(i)) != id {
			t.Fatalf("set %d is not found", i)
		}
	}
	t.Logf("%d of %d refused", refused, n)
	if len(ids) < n/4 {
		t.Errorf("only %d of %d found room", len(ids), n)
	}
}

func TestCapsRefuse(t *testing.T) {
	a := newAttrs(t, AttrsOptions{MaxSets: 320})
	refused := 0
	for i := range uint32(1000) {
		if _, ok := a.Intern(numbered(i)); !ok {
			refused++
		}
	}
	if s := a.Stats(); refused == 0 || s.Sets+refused != 1000 || s.Refused != uint64(refused) || s.Sets > 400 {
		t.Errorf("%d refused, %+v", refused, s)
	}
	b := newAttrs(t, AttrsOptions{MaxWords: 1 << 14})
	for i := range uint32(100000) {
		b.Intern(numbered(i))
	}
	if s := b.Stats(); s.Refused == 0 {
		t.Errorf("%+v", s)
	}
	if _, ok := a.Intern(make([]byte, maxString+1)); ok {
		t.Error("a string that fits no extent is taken")
	}
}

// TestSweep plays the life of sets against a plain map, with the clock in its
// own hands.
func TestSweep(t *testing.T) {
	a := newAttrs(t, AttrsOptions{})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	const rest = 600
	type life struct {
		id    AttrID
		seen  int // sweep in which it was last seen
		ended uint32
	}
	sets := map[uint32]*life{}
	byID := map[AttrID]uint32{}
	now := uint32(1000)
	for sweep := 1; sweep < 60; sweep++ {
		for range 300 {
			i := rnd.Uint32N(1500)
			id, ok := a.Intern(numbered(i))
			if !ok {
				t.Fatal("refused")
			}
			l := sets[i]
			if l != nil && l.ended == 0 {
				if l.id != id {
					t.Fatalf("set %d had id %d, has %d", i, l.id, id)
				}
			} else {
				if old, ok := byID[id]; ok && sets[old].id == id && sets[old].ended != 0 && now-sets[old].ended < rest {
					t.Fatalf("id %d is used again after %d seconds", id, now-sets[old].ended)
				}
				l = &life{id: id}
				sets[i], byID[id] = l, i
			}
			l.seen = sweep - 1
		}
		s := a.BeginSweep()
		for _, l := range sets {
			if l.ended == 0 && rnd.IntN(4) > 0 {
				s.Mark(l.id)
				l.seen = sweep
			}
		}
		now += 60
		mayEnd := rnd.IntN(5) > 0
		s.End(mayEnd, now, now-rest)
		for i, l := range sets {
			if l.ended == 0 && mayEnd && sweep-l.seen >= 2 {
				l.ended = now
			}
			b, ok := a.Bytes(l.id)
			if l.ended == 0 && (!ok || !bytes.Equal(b, numbered(i))) {
				t.Fatalf("sweep %d: set %d, seen in %d, is %x, %v", sweep, i, l.seen, b, ok)
			}
			if l.ended == now && (ok || a.Find(numbered(i)) != 0 || a.Touch(l.id)) {
				t.Fatalf("sweep %d: set %d, seen in %d, has not ended", sweep, i, l.seen)
			}
			if l.ended != 0 && now-l.ended < rest && byID[l.id] == i && !bytes.Equal(a.sets.octets(uint32(l.id)), numbered(i)) {
				t.Fatalf("bytes of set %d changed %d seconds after its end", i, now-l.ended)
			}
		}
	}
	for range 4 {
		now += rest
		a.BeginSweep().End(true, now, now)
	}
	if s := a.Stats(); s.Sets != 0 || s.Ended != 0 || s.ASPaths != 1 || s.SetBytes != 0 {
		t.Errorf("after all is gone: %+v", s)
	}
}

func TestInternAllocatesNothing(t *testing.T) {
	a := newAttrs(t, AttrsOptions{})
	b := numbered(1)
	i := uint32(0)
	if n := testing.AllocsPerRun(1000, func() {
		a.Intern(b)
		i++
		binary.BigEndian.PutUint32(b[len(b)-4:], i)
		a.Intern(b)
	}); n > 0.1 {
		t.Errorf("%v allocations", n)
	}
}

func TestStrings(t *testing.T) {
	s := NewStrings("test", 0)
	defer s.Close()
	x, _ := s.Intern([]byte("x"))
	y, _ := s.Intern([]byte("y"))
	if z, _ := s.Intern([]byte("x")); x == y || x != z || s.Find([]byte("y")) != y || s.Find([]byte("z")) != 0 {
		t.Fatal(x, y, z)
	}
	for range 3 {
		w := s.BeginSweep()
		w.Mark(x)
		w.End(true, 1, 1)
	}
	if b, ok := s.Bytes(x); !ok || string(b) != "x" {
		t.Errorf("%q %v", b, ok)
	}
	if _, ok := s.Bytes(y); ok {
		t.Error("y is still there")
	}
	if n, _ := s.Len(); n != 1 {
		t.Errorf("%d strings", n)
	}
}

func TestPeerIDIsStable(t *testing.T) {
	if got := PeerID(SourceMRT, "rrc00", peerAddr(1), 64500); got != PeerID(SourceMRT, "rrc00", peerAddr(1), 64500) || len(got) != 16 || got == PeerID(SourceMRT, "rrc01", peerAddr(1), 64500) {
		t.Errorf("%q", got)
	}
}

// TestSweptMemoryGoesBack interns many sets and keeps a few: the memory of the
// others goes back to the system, those that move keep their bytes, and so
// do the copies that somebody may still be reading.
func TestSweptMemoryGoesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("many sets")
	}
	a := newAttrs(t, AttrsOptions{})
	const n = 500000
	rnd := rand.New(rand.NewPCG(1, 1))
	kept := map[AttrID]uint32{}
	before := map[AttrID][]byte{}
	for i := range uint32(n) {
		id, _ := a.Intern(numbered(i))
		if rnd.IntN(40) == 0 || i < n/8 && i%2 == 0 {
			kept[id] = i
			before[id], _ = a.Bytes(id)
		}
	}
	full := a.sets.arena.Stats().ResidentWords
	now := uint32(1)
	for range 40 {
		s := a.BeginSweep()
		for id := range kept {
			s.Mark(id)
		}
		s.End(true, now, now-1)
		if now == 3 {
			for id, i := range kept {
				if !bytes.Equal(before[id], numbered(i)) {
					t.Fatal("bytes changed before they had rested")
				}
			}
		}
		now++
	}
	for id, i := range kept {
		if b, ok := a.Bytes(id); !ok || !bytes.Equal(b, numbered(i)) {
			t.Fatalf("set %d is %x, %v", i, b, ok)
		}
		if a.Find(numbered(i)) != id {
			t.Fatalf("set %d is not found", i)
		}
	}
	if left := a.sets.arena.Stats().ResidentWords; left > full/2 {
		t.Errorf("%d words of %d are left for %d of %d sets", left, full, len(kept), n)
	}
}

// WarmHashes may come at any time: beside new sets, sweeps, and indexes that are
// replaced.
func TestWarmingNeedsNoLock(t *testing.T) {
	if invariants.Enabled {
		t.Skip("nothing is warmed")
	}
	a := newAttrs(t, AttrsOptions{})
	const n = 60_000
	hashes := make([]uint64, n)
	for i := range hashes {
		hashes[i] = a.Hash(numbered(uint32(i)))
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i = (i + 40) % (n - 40) {
				a.WarmHashes(hashes[i : i+40])
			}
		})
	}
	now := uint32(1)
	for round := range uint32(8) {
		for i := round * n / 2; i < round*n/2+n; i++ { // half of them are new: slots of the others are gone
			id, ok := a.InternHashed(numbered(i), a.Hash(numbered(i)))
			if b, _ := a.Bytes(id); !ok || !bytes.Equal(b, numbered(i)) {
				t.Fatalf("round %d: set %d is %x", round, i, b)
			}
		}
		for range 3 {
			now += 1000
			a.BeginSweep().End(true, now, now-500)
		}
		if got := a.Stats().Sets; got != 0 {
			t.Fatalf("round %d: %d sets are in use", round, got)
		}
	}
	stop.Store(true)
	wg.Wait()
}
