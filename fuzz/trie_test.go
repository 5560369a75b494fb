package fuzz

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"ribd/internal/slab"
	"ribd/trie"
)

// FuzzTree promises that whatever is announced and withdrawn in whatever order,
// the tree holds just what a plain map holds: for exact and longest match, for
// what covers an address and in an ordered walk; that the image of it gives the
// same longest match; that a view which is held stays as it was; and that
// nothing is left in memory after all is withdrawn.
//
// The input is a byte for the width and then steps of ten bytes: what to do, a
// length, and the address.
func FuzzTree(f *testing.F) {
	f.Add([]byte("\x00" + "\x00\x18\x0a\x00\x00\x00\x00\x00\x00\x00" + "\x00\x19\x0a\x00\x00\x80\x00\x00\x00\x00" + "\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x03\x18\x0a\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01" + "\x00\x30\x20\x01\x0d\xb8\x00\x01\x00\x00" + "\x00\x80\x20\x01\x0d\xb8\x00\x01\x00\x00" + "\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x03\x80\x20\x01\x0d\xb8\x00\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 || len(in) > 1+10*400 {
			return
		}
		m := newTreeModel(t, in[0]&1 != 0)
		defer m.close()
		for in = in[1:]; len(in) >= 10; in = in[10:] {
			m.step(in[0], in[1], binary.BigEndian.Uint64(in[2:]))
		}
		m.finish()
	})
}

type treePrefix struct {
	key trie.Key
	len uint8
}

func compareTreePrefixes(a, b treePrefix) int {
	if c := a.key.Compare(b.key); c != 0 {
		return c
	}
	return int(a.len) - int(b.len)
}

type heldView struct {
	view    trie.View
	truth   map[treePrefix]uint32
	version uint32
}

type treeModel struct {
	t       *testing.T
	v4      bool
	width   uint8
	least   uint8 // shorter prefixes are in the roof
	arenas  [3]*slab.Arena
	domain  *slab.Domain
	holds   slab.Holds
	heap    *slab.Heap
	tree    *trie.Tree
	nodes   *slab.Heap
	handles *trie.HandleHeap
	hs      *trie.Handles
	image4  *trie.Image4
	image6  *trie.Image6
	writer  *trie.ImageWriter

	truth   map[treePrefix]uint32 // to the handle
	version uint32
	held    []heldView
}

func newTreeModel(t *testing.T, v6 bool) *treeModel {
	m := &treeModel{t: t, v4: !v6, width: 32, least: 12, truth: map[treePrefix]uint32{}, domain: slab.NewDomain()}
	for i := range m.arenas {
		m.arenas[i] = slab.NewArena("fuzz", 1<<19)
	}
	m.heap = slab.NewHeap(m.arenas[0], m.domain, &m.holds)
	m.nodes = trie.NewImageHeap(m.arenas[1], m.domain)
	m.hs = trie.NewHandles(m.arenas[2])
	m.handles = trie.NewHandleHeap(m.hs, m.domain)
	if v6 {
		m.width, m.least = 128, 24
		m.image6 = trie.NewImage6(m.arenas[1], m.hs)
		m.writer = m.image6.Writer(m.nodes)
	} else {
		m.image4 = trie.NewImage4(m.arenas[1], m.hs)
		m.writer = m.image4.Writer(m.nodes)
	}
	m.tree = trie.NewTree(m.heap, m.width)
	m.begin()
	return m
}

func (m *treeModel) close() {
	if m.v4 {
		m.image4.Close()
	} else {
		m.image6.Close()
	}
	for _, a := range m.arenas {
		a.Close()
	}
}

func (m *treeModel) begin() {
	m.version++
	m.tree.Begin(m.version)
}

func (m *treeModel) publish() trie.View {
	v := trie.NewView(m.arenas[0], m.tree.Root(), m.width)
	e := m.domain.Advance()
	m.heap.Publish(m.version, e)
	m.nodes.Publish(m.version, e)
	m.handles.Publish(e)
	m.heap.Reclaim()
	m.nodes.Reclaim()
	m.handles.Reclaim()
	return v
}

func (m *treeModel) step(op, n uint8, bits uint64) {
	key := trie.Key{Hi: bits}
	if m.v4 {
		key.Hi &= 0xffffffff << 32
	} else {
		key.Lo = bits << 32
	}
	p := treePrefix{len: n % (m.width + 1)}
	p.key = key.Mask(p.len)
	switch op % 6 {
	case 0, 1, 2:
		m.announce(p)
	case 3, 4:
		m.withdraw(p)
	case 5:
		v := m.publish()
		if n&1 != 0 {
			m.holds.Hold(m.version)
			m.held = append(m.held, heldView{v, maps.Clone(m.truth), m.version})
		} else if len(m.held) > 0 {
			m.release(0)
		}
		m.begin()
	}
	m.match(m.tree.View(), m.truth, key)
	m.lookup(key)
}

func (m *treeModel) announce(p treePrefix) {
	h := m.truth[p]
	if h == 0 {
		var ok bool
		if h, ok = m.handles.Alloc(p.len, 1); !ok || !m.writer.Insert(p.key, p.len, h) {
			m.t.Fatal("no memory")
		}
	}
	if old, ok := m.tree.Set(p.key, p.len, h); !ok || old != m.truth[p] {
		m.t.Fatalf("Set(%v) = %d, %v, want %d", p, old, ok, m.truth[p])
	}
	m.truth[p] = h
}

func (m *treeModel) withdraw(p treePrefix) {
	h := m.truth[p]
	if old := m.tree.Delete(p.key, p.len); old != h {
		m.t.Fatalf("Delete(%v) = %d, want %d", p, old, h)
	}
	if h == 0 {
		return
	}
	delete(m.truth, p)
	parent, n := uint32(0), uint8(0)
	if p.len > 0 {
		parent, n = m.tree.Match(p.key, p.len-1)
	}
	if p.len >= m.least && n < m.least {
		parent = 0 // it is in the roof
	}
	m.writer.Delete(p.key, p.len, h, parent)
	m.handles.Retire(h)
}

// match compares the longest match of k and what covers it with the map.
func (m *treeModel) match(v trie.View, truth map[treePrefix]uint32, k trie.Key) {
	var want []trie.Entry
	for n := 0; n <= int(m.width); n++ {
		if x := truth[treePrefix{k.Mask(uint8(n)), uint8(n)}]; x != 0 {
			want = append(want, trie.Entry{Len: uint8(n), Value: x})
		}
	}
	if got := v.Covering(k, m.width, nil); !slices.Equal(got, want) {
		m.t.Fatalf("Covering(%v) = %v, want %v", k, got, want)
	}
	var best trie.Entry
	if len(want) > 0 {
		best = want[len(want)-1]
	}
	if x, n := v.Match(k, m.width); x != best.Value || x != 0 && n != best.Len {
		m.t.Fatalf("Match(%v) = %d/%d, want %v", k, x, n, best)
	}
}

func (m *treeModel) lookup(k trie.Key) {
	var got uint32
	if m.v4 {
		got = m.image4.Lookup(uint32(k.Hi >> 32))
	} else {
		got = m.image6.Lookup(k.Hi, k.Lo)
	}
	if want, _ := m.tree.Match(k, m.width); got != want {
		m.t.Fatalf("the image has %#x for %v, the tree %#x", got, k, want)
	}
}

// walk compares a view with a map, prefix by prefix.
func (m *treeModel) walk(v trie.View, truth map[treePrefix]uint32) {
	list := slices.SortedFunc(maps.Keys(truth), compareTreePrefixes)
	c := v.Cursor()
	for _, p := range list {
		if !c.Next() || p != (treePrefix{c.Key(), c.Len()}) || c.Value() != truth[p] {
			m.t.Fatalf("walk: %v/%d = %d, want %v = %d", c.Key(), c.Len(), c.Value(), p, truth[p])
		}
		if got := v.Get(p.key, p.len); got != truth[p] {
			m.t.Fatalf("Get(%v) = %d, want %d", p, got, truth[p])
		}
		m.match(v, truth, p.key)
	}
	if c.Next() {
		m.t.Fatalf("walk: %v/%d is too much", c.Key(), c.Len())
	}
}

func (m *treeModel) release(i int) {
	m.walk(m.held[i].view, m.held[i].truth)
	m.holds.Release(m.held[i].version)
	m.held = slices.Delete(m.held, i, i+1)
}

func (m *treeModel) finish() {
	m.walk(m.publish(), m.truth)
	for len(m.held) > 0 {
		m.release(0)
	}
	m.begin()
	for p := range m.truth {
		m.withdraw(p)
		m.lookup(p.key)
	}
	m.publish()
	m.heap.Reclaim()
	for _, s := range []slab.HeapStats{m.heap.Stats(), m.nodes.Stats(), m.handles.Stats()} {
		if s.LiveWords+s.RetiredWords+s.HeldWords != 0 {
			m.t.Fatalf("words are left: %+v", s)
		}
	}
}
