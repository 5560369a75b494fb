package rules

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// matcher is rules compiled for matching. It does not change.
type matcher struct {
	entries []*entry // in order, one for each head
	heads   []head
	extra   []uint64
	groups  []group // 0 is none
	dst     []narrow
	rest    uint32 // the group of the rules without destination
	indexes []index
}

// group is the rules from lo to before hi, which share a destination, or that
// and a source. outer is the group of the next shorter prefix, 0 for none;
// index, where it is not 0, says how they are narrowed further.
type group struct{ lo, hi, outer, index uint32 }

// index narrows the rules of a group: those with a source by that, what is left
// by bitmaps. rest is what is left, as a group; or, in a group that has only
// bitmaps, 0.
type index struct {
	source []narrow
	rest   uint32
	bits   *bitmaps
}

// few is how many rules are compared one by one before it pays to narrow them.
const few = 24

// match appends the rules that fit the probe to hits, in order, as their places
// in entries.
func (m *matcher) match(b *probe, hits []uint32) []uint32 {
	if b.hasDst {
		for i := range m.dst {
			t := &m.dst[i]
			hits = m.chain(t.find(b.dst.shift(t.offset)), b, hits)
		}
	}
	if m.rest != 0 {
		hits = m.group(m.rest, b, hits)
	}
	return hits
}

// chain appends the rules of a prefix that fit, and of the shorter ones around it.
func (m *matcher) chain(r record, b *probe, hits []uint32) []uint32 {
	for {
		if n := r.rules & manyRules; n == manyRules {
			hits = m.large(m.groups[r.rules>>5], b, hits)
		} else {
			hits = m.few(r.rules>>5, r.rules>>5+n, b, hits)
		}
		if r.outer == 0 {
			return hits
		}
		r = m.record(r.outer)
	}
}

// record returns what a narrow holds of a group.
func (m *matcher) record(number uint32) record {
	g := &m.groups[number]
	if n := g.hi - g.lo; n <= few {
		return record{g.lo<<5 | n, g.outer}
	}
	return record{number<<5 | manyRules, g.outer}
}

// group appends the rules of a group that fit.
func (m *matcher) group(number uint32, b *probe, hits []uint32) []uint32 {
	g := m.groups[number]
	if g.index != 0 {
		return m.large(g, b, hits)
	}
	return m.few(g.lo, g.hi, b, hits)
}

// few appends the rules from lo to before hi that fit, one after the other.
func (m *matcher) few(lo, hi uint32, b *probe, hits []uint32) []uint32 {
	heads := m.heads[lo:hi]
	for i := range heads {
		if heads[i].fits(b, m.extra) {
			hits = append(hits, lo+uint32(i))
		}
	}
	return hits
}

// large is group for one with an index.
func (m *matcher) large(g group, b *probe, hits []uint32) []uint32 {
	x := &m.indexes[g.index]
	if x.bits != nil {
		return x.bits.match(m, g.lo, b, hits)
	}
	if b.has&needSource != 0 {
		for i := range x.source {
			t := &x.source[i]
			hits = m.chain(t.find(b.source.shift(t.offset)), b, hits)
		}
	}
	if x.rest != 0 {
		hits = m.group(x.rest, b, hits)
	}
	return hits
}

// builder compiles matchers.
type builder struct {
	m            *matcher
	compiler     compiler
	destinations []prefix // of the entries that have one
	narrower     narrower
	prefixes     []prefix
	bitmaps      bitmapper
}

// compile makes a matcher of entries in order.
func compile(entries []*entry, l layout) *matcher {
	m := &matcher{
		entries: entries, heads: make([]head, len(entries)), extra: make([]uint64, 1, 1+len(entries)),
		groups: make([]group, 1, 1+len(entries)/2), indexes: make([]index, 1),
	}
	b := &builder{m: m, compiler: compiler{layout: l}}
	b.destinations = make([]prefix, 0, len(entries))
	for i, e := range entries { // each is far away in memory: once is enough
		m.heads[i], m.extra = b.compiler.compile(e, m.extra)
		if p, ok := l.destination(e.nlri()); ok { // those that have one come first
			b.destinations = append(b.destinations, p)
		}
	}
	n, with := len(entries), len(b.destinations)
	m.dst = b.split(0, with, func(i int) (prefix, bool) { return b.destinations[i], true })
	if with < n {
		m.rest = b.group(with, n)
	}
	for g := 1; g < len(m.groups); g++ { // grows
		b.index(uint32(g))
	}
	return m
}

func (b *builder) source(i int) (prefix, bool) {
	return b.compiler.source(b.m.entries[i].nlri())
}

// split makes a group of each prefix among the rules from lo to before hi, and
// a narrow of those that have the same offset.
func (b *builder) split(lo, hi int, of func(i int) (prefix, bool)) (tables []narrow) {
	m := b.m
	for lo < hi {
		base := uint32(len(m.groups))
		p, _ := of(lo)
		offset := p.offset
		b.prefixes = b.prefixes[:0]
		for lo < hi && p.offset == offset {
			at, this := lo, p
			for lo++; lo < hi; lo++ {
				if p, _ = of(lo); p != this {
					break
				}
			}
			b.group(at, lo)
			b.prefixes = append(b.prefixes, this)
		}
		tables = append(tables, b.narrower.build(b.prefixes, base, func(i int, outer uint32) {
			m.groups[int(base)+i].outer = outer
		}, m.record))
	}
	return tables
}

func (b *builder) group(lo, hi int) uint32 {
	b.m.groups = append(b.m.groups, group{lo: uint32(lo), hi: uint32(hi)})
	return uint32(len(b.m.groups) - 1)
}

// index narrows a group that is not few rules: by source where one of them has
// any and not all have the same, else by bitmaps.
func (b *builder) index(number uint32) {
	m := b.m
	g := m.groups[number]
	if g.hi-g.lo <= few {
		return
	}
	lo, hi := int(g.lo), int(g.hi)
	m.groups[number].index = uint32(len(m.indexes))
	if first, ok := b.source(lo); ok {
		if last, ok := b.source(hi - 1); !ok || first != last {
			with := hi
			for m.heads[with-1].need&needSource == 0 {
				with--
			}
			x := index{source: b.split(lo, with, b.source)}
			if with < hi {
				x.rest = b.group(with, hi)
			}
			m.indexes = append(m.indexes, x)
			return
		}
	}
	m.indexes = append(m.indexes, index{bits: b.bitmaps.build(m.heads[g.lo:g.hi], m.extra)})
}

// later is a matcher of a run of changes, compiled when it is first asked for.
type later struct {
	entries []*entry // any order
	from    int      // the place of the first among the changes
	gone    []uint64 // changes that were out already
	layout  layout
	once    sync.Once
	ready   atomic.Pointer[matcher]
	places  []uint32 // of the matcher's entries in entries
}

// end is the place behind the last of the changes.
func (l *later) end() int { return l.from + len(l.entries) }

func (l *later) get() *matcher {
	l.once.Do(func() {
		l.places = make([]uint32, 0, len(l.entries))
		for i := range l.entries {
			if !hasBit(l.gone, l.from+i) {
				l.places = append(l.places, uint32(i))
			}
		}
		slices.SortFunc(l.places, func(a, b uint32) int { return compareEntries(l.entries[a], l.entries[b]) })
		sorted := make([]*entry, len(l.places))
		for i, p := range l.places {
			sorted[i] = l.entries[p]
		}
		l.ready.Store(compile(sorted, l.layout))
	})
	return l.ready.Load()
}

func compareEntries(a, b *entry) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return bytes.Compare(a.key(), b.key())
}

func hasBit(set []uint64, i int) bool { return i>>6 < len(set) && set[i>>6]>>(i&63)&1 != 0 }
