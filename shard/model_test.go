package shard

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// attrSpec is what the decision process asks of a set.
type attrSpec struct {
	origin     byte
	path       []uint32
	set        bool // the path ends in an AS_SET of its last two
	med, pref  int64
	originator uint32
	clusters   int
	community  uint32
}

const llgrStale = 0xffff0006

func attr(dst []byte, flags, typ byte, v ...byte) []byte {
	return append(append(dst, flags, typ, byte(len(v))), v...)
}

func be(vs ...uint32) (b []byte) {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// canonical is the canonical bytes of a spec.
func (a attrSpec) canonical() []byte {
	b := attr(nil, 0x40, 1, a.origin)
	var path []byte
	if seq := a.path; len(seq) > 0 {
		if a.set && len(seq) > 2 {
			head, tail := seq[:len(seq)-2], seq[len(seq)-2:]
			path = append(append(path, 2, byte(len(head))), be(head...)...)
			path = append(append(path, 1, 2), be(tail...)...)
		} else {
			path = append(append(path, 2, byte(len(seq))), be(seq...)...)
		}
	}
	b = attr(b, 0x40, 2, path...)
	b = attr(b, 0x40, 3, 192, 0, 2, 1)
	if a.med >= 0 {
		b = attr(b, 0x80, 4, be(uint32(a.med))...)
	}
	if a.pref >= 0 {
		b = attr(b, 0x40, 5, be(uint32(a.pref))...)
	}
	if a.community != 0 {
		b = attr(b, 0xc0, 8, be(a.community)...)
	}
	if a.originator != 0 {
		b = attr(b, 0x80, 9, be(a.originator)...)
	}
	if a.clusters > 0 {
		b = attr(b, 0x80, 10, make([]byte, 4*a.clusters)...)
	}
	return b
}

func randomSpec(rnd *rand.Rand) attrSpec {
	a := attrSpec{origin: byte(rnd.IntN(3)), med: -1, pref: -1, community: rnd.Uint32N(6)}
	for range rnd.IntN(4) {
		a.path = append(a.path, 64500+rnd.Uint32N(3))
	}
	if a.community == 5 {
		a.community = llgrStale
	}
	a.set = rnd.IntN(8) == 0
	if rnd.IntN(2) == 0 {
		a.med = int64(rnd.IntN(3))
	}
	if rnd.IntN(4) == 0 {
		a.pref = int64(99 + rnd.IntN(3))
	}
	if rnd.IntN(6) == 0 {
		a.originator = 1 + rnd.Uint32N(3)
		a.clusters = rnd.IntN(3)
	}
	return a
}

type prefixKey struct {
	t rib.TableID
	k trie.Key
	n uint8
}

type pathKey struct {
	peer rib.PeerNum
	has  bool
	id   uint32
}

type modelPath struct {
	rib.Path
	spec attrSpec
	pre  *attrSpec // where PreAttrs is set
	mark int
}

// model is the slow, obvious RIB.
type model struct {
	peers  map[rib.PeerNum]rib.PeerInfo
	routes map[prefixKey]map[pathKey]modelPath
}

func newModel() *model {
	return &model{map[rib.PeerNum]rib.PeerInfo{}, map[prefixKey]map[pathKey]modelPath{}}
}

func (m *model) clone() *model {
	c := newModel()
	for n, i := range m.peers {
		c.peers[n] = i
	}
	for k, ps := range m.routes {
		q := make(map[pathKey]modelPath, len(ps))
		for i, p := range ps {
			q[i] = p
		}
		c.routes[k] = q
	}
	return c
}

func (m *model) announce(at prefixKey, p modelPath) {
	if m.routes[at] == nil {
		m.routes[at] = map[pathKey]modelPath{}
	}
	m.routes[at][pathKey{p.Peer, p.HasPathID, p.PathID}] = p
}

func (m *model) withdraw(at prefixKey, k pathKey) {
	delete(m.routes[at], k)
	if len(m.routes[at]) == 0 {
		delete(m.routes, at)
	}
}

func (m *model) drop(f func(at prefixKey, p modelPath) bool) {
	for at, ps := range m.routes {
		for k, p := range ps {
			if f(at, p) {
				m.withdraw(at, k)
			}
		}
	}
}

// ranked decides by eliminating again and again, as RFC 4271 section 9.1 says.
func (m *model) ranked(ps map[pathKey]modelPath) []modelPath {
	var rest, filtered, out []modelPath
	for _, p := range ps {
		if p.Filtered != rib.FilterNone {
			filtered = append(filtered, p)
		} else {
			rest = append(rest, p)
		}
	}
	for len(rest) > 0 {
		best := m.best(slices.Clone(rest))
		out = append(out, best)
		rest = slices.DeleteFunc(rest, func(p modelPath) bool { return key(p) == key(best) })
	}
	return append(out, filtered...)
}

func key(p modelPath) pathKey { return pathKey{p.Peer, p.HasPathID, p.PathID} }

func neighborOf(a attrSpec) uint32 {
	if len(a.path) == 0 {
		return 0
	}
	return a.path[0]
}

func (m *model) best(ps []modelPath) modelPath {
	least := func(f func(modelPath) int64) {
		lo := f(ps[0])
		for _, p := range ps {
			lo = min(lo, f(p))
		}
		ps = slices.DeleteFunc(ps, func(p modelPath) bool { return f(p) != lo })
	}
	flag := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	least(func(p modelPath) int64 { return flag(!m.peers[p.Peer].Source.Live()) })
	least(func(p modelPath) int64 { return flag(m.peers[p.Peer].Source != rib.SourceLocal) })
	least(func(p modelPath) int64 { return flag(p.Stale == rib.StaleLLGR || p.spec.community == llgrStale) })
	least(func(p modelPath) int64 {
		if p.spec.pref < 0 {
			return -100
		}
		return -p.spec.pref
	})
	least(func(p modelPath) int64 {
		if p.spec.set && len(p.spec.path) > 2 {
			return int64(len(p.spec.path) - 1)
		}
		return int64(len(p.spec.path))
	})
	least(func(p modelPath) int64 { return int64(p.spec.origin) })
	med := map[uint32]int64{}
	for _, p := range ps {
		v, n := max(p.spec.med, 0), neighborOf(p.spec)
		if old, ok := med[n]; !ok || v < old {
			med[n] = v
		}
	}
	ps = slices.DeleteFunc(ps, func(p modelPath) bool { return max(p.spec.med, 0) > med[neighborOf(p.spec)] })
	least(func(p modelPath) int64 { return flag(m.peers[p.Peer].Internal) })
	least(func(p modelPath) int64 {
		if p.spec.originator != 0 {
			return int64(p.spec.originator)
		}
		return int64(m.peers[p.Peer].RouterID)
	})
	least(func(p modelPath) int64 { return int64(p.spec.clusters) })
	slices.SortFunc(ps, func(a, b modelPath) int {
		return cmp.Or(compareAddr(m.peers[a.Peer].Addr, m.peers[b.Peer].Addr),
			cmp.Compare(flag(a.HasPathID), flag(b.HasPathID)), cmp.Compare(a.PathID, b.PathID), cmp.Compare(a.Peer, b.Peer))
	})
	return ps[0]
}

func compareAddr(a, b netip.Addr) int {
	if a.Is4() != b.Is4() && a.IsValid() && b.IsValid() {
		if a.Is4() {
			return -1
		}
		return 1
	}
	return a.Compare(b)
}

func (m *model) prefixes(t rib.TableID) []prefixKey {
	var out []prefixKey
	for at := range m.routes {
		if at.t == t {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, func(a, b prefixKey) int {
		return cmp.Or(a.k.Compare(b.k), cmp.Compare(a.n, b.n))
	})
	return out
}

func (m *model) match(t rib.TableID, k trie.Key, maxLen int, keep func(modelPath) bool) (prefixKey, bool) {
	for n := maxLen; n >= 0; n-- {
		at := prefixKey{t, k.Mask(uint8(n)), uint8(n)}
		for _, p := range m.routes[at] {
			if keep(p) {
				return at, true
			}
		}
	}
	return prefixKey{}, false
}

// same compares paths that the RIB gave with those of the model.
func (m *model) same(r *RIB, got []rib.Path, at prefixKey) error {
	want := m.ranked(m.routes[at])
	if len(got) != len(want) {
		return fmt.Errorf("%v: %d paths, want %d: %+v, want %+v", at, len(got), len(want), got, want)
	}
	ordered := 0
	for i := range got {
		g := got[i]
		j := i
		if g.Filtered != rib.FilterNone { // in any order
			j = slices.IndexFunc(want, func(p modelPath) bool { return key(p) == pathKey{g.Peer, g.HasPathID, g.PathID} })
			if j < ordered {
				return fmt.Errorf("%v: path %d is filtered before others: %+v", at, i, got)
			}
		} else {
			ordered++
		}
		w := want[j].Path
		w.Rank, w.Best, w.Reason = uint16(i+1), i == 0 && g.Filtered == rib.FilterNone, g.Reason
		w.Attrs, w.PreAttrs = g.Attrs, g.PreAttrs // compared by their octets
		if pre := want[j].pre; pre == nil && g.PreAttrs != 0 {
			return fmt.Errorf("%v: path %d has attributes before policy %d", at, i, g.PreAttrs)
		} else if pre != nil {
			if b, ok := r.Attrs().Bytes(g.PreAttrs); !ok || string(b) != string(pre.canonical()) {
				return fmt.Errorf("%v: path %d has attributes before policy %x, %v", at, i, b, ok)
			}
		}
		if g != w {
			return fmt.Errorf("%v: path %d is %+v, want %+v (of %+v)", at, i, g, w, want)
		}
		b, ok := r.Attrs().Bytes(g.Attrs)
		if !ok || string(b) != string(want[j].spec.canonical()) {
			return fmt.Errorf("%v: path %d has attributes %x, %v", at, i, b, ok)
		}
		if (g.Reason != rib.StepNone) != g.Best {
			return fmt.Errorf("%v: path %d has reason %v", at, i, g.Reason)
		}
	}
	return nil
}

// checkView compares a whole view with the model that it was taken beside.
func (m *model) checkView(t *testing.T, r *RIB, v *View, tables []rib.TableID, rnd *rand.Rand) {
	t.Helper()
	var paths []rib.Path
	for _, tb := range tables {
		want := m.prefixes(tb)
		f, _, _ := r.TableInfo(tb)
		w := v.Walk(tb, WalkRange{})
		i := 0
		last := prefixKey{}
		for ; w.Next(); i++ {
			at := prefixKey{tb, w.Key(), w.Len()}
			if f.Form() != wire.FormRaw {
				if i >= len(want) || at != want[i] {
					t.Fatalf("table %v: walk is at %v as number %d of %d", f, at, i, len(want))
				}
			} else if i > 0 && (last.k.Compare(at.k) >= 0 || m.routes[at] == nil) {
				t.Fatalf("table %v: walk is at %v after %v", f, at, last)
			}
			last = at
			paths = w.Paths(paths[:0])
			if err := m.same(r, paths, at); err != nil {
				t.Fatal(err)
			}
		}
		if i != len(want) {
			t.Fatalf("table %v: walk ends after %d of %d", f, i, len(want))
		}
		n := 0
		for p := range v.Parts() {
			for w := v.WalkPart(p, tb, WalkRange{}); w.Next(); n++ {
			}
		}
		if n != len(want) {
			t.Fatalf("table %v: parts hold %d of %d", f, n, len(want))
		}
		if f.Form() == wire.FormRaw {
			continue
		}
		for range 30 {
			m.checkMatch(t, r, v, tb, randomPrefix(f, rnd), rnd)
		}
	}
	if v.Err() != nil {
		t.Fatal(v.Err())
	}
}

func (m *model) checkMatch(t *testing.T, r *RIB, v *View, tb rib.TableID, at prefixKey, rnd *rand.Rand) {
	t.Helper()
	at.t = tb
	want, ok := m.match(tb, at.k, int(at.n), func(p modelPath) bool { return p.Filtered == rib.FilterNone })
	got := v.Match(tb, at.k, at.n)
	if got.OK() != ok || ok && (prefixKey{tb, got.Key, got.Len}) != want {
		t.Fatalf("match of %v is %+v, want %v %v", at, got, want, ok)
	}
	peer := rib.PeerNum(1 + rnd.IntN(6))
	want, ok = m.match(tb, at.k, int(at.n), func(p modelPath) bool { return p.Peer == peer && p.PathID == 1 })
	got, paths := v.MatchFunc(tb, at.k, at.n, func(p *rib.Path) bool { return p.Peer == peer && p.PathID == 1 }, nil)
	if got.OK() != ok || ok && (prefixKey{tb, got.Key, got.Len}) != want || ok && (len(paths) != 1 || paths[0].Peer != peer) {
		t.Fatalf("match of %v for peer %d is %+v %+v, want %v %v", at, peer, got, paths, want, ok)
	}
	n := -1
	v.Covering(tb, at.k, at.n, func(c Match) bool {
		for n++; ; n++ {
			p := prefixKey{tb, at.k.Mask(uint8(n)), uint8(n)}
			if p.n == c.Len {
				if m.routes[p] == nil || p.k != c.Key {
					t.Fatalf("covering %v has %+v", at, c)
				}
				return true
			}
			if m.routes[p] != nil {
				t.Fatalf("covering %v lacks %v", at, p)
			}
		}
	})
	for n++; n <= int(at.n); n++ {
		if p := (prefixKey{tb, at.k.Mask(uint8(n)), uint8(n)}); m.routes[p] != nil {
			t.Fatalf("covering %v lacks %v", at, p)
		}
	}
	var under []prefixKey
	for _, p := range m.prefixes(tb) {
		if p.n >= at.n && p.k.Mask(at.n) == at.k {
			under = append(under, p)
		}
	}
	from := WalkRange{Under: at.k, UnderLen: at.n}
	if len(under) > 0 && rnd.IntN(2) == 0 {
		i := rnd.IntN(len(under))
		from.From, from.FromLen, from.After = under[i].k, under[i].n, rnd.IntN(2) == 0
		if under = under[i:]; from.After {
			under = under[1:]
		}
	}
	w := v.Walk(tb, from)
	i := 0
	for ; w.Next(); i++ {
		if p := (prefixKey{tb, w.Key(), w.Len()}); i >= len(under) || p != under[i] {
			t.Fatalf("walk %+v is at %v as number %d of %v", from, p, i, under)
		}
	}
	if i != len(under) {
		t.Fatalf("walk %+v ends after %d of %v", from, i, under)
	}
}

// randomPrefix is one of few, so that operations meet.
func randomPrefix(f wire.Family, rnd *rand.Rand) prefixKey {
	if f.Is4() {
		n := uint8(rnd.IntN(33))
		k := trie.Key4(10<<24 | rnd.Uint32N(4)<<19 | rnd.Uint32N(2)<<9 | rnd.Uint32N(2))
		return prefixKey{k: k.Mask(n), n: n}
	}
	n := uint8(rnd.IntN(129))
	k := trie.Key{Hi: 0x20010db8<<32 | uint64(rnd.IntN(4))<<38 | uint64(rnd.IntN(2)), Lo: uint64(rnd.IntN(2)) << 63}
	return prefixKey{k: k.Mask(n), n: n}
}
