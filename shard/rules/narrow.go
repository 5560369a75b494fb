package rules

import (
	"math"
	"math/bits"
	"slices"
)

// narrow finds the longest of some prefixes that an address is in, and with it the
// rules of that prefix. All prefixes have the same offset.
//
// The addresses are cut where a prefix begins or ends. The first 64 bits of the
// cuts are a search tree without pointers, eight to a node, which is one cache
// line. Where cuts differ only in the bits behind those, the cut leads to a part,
// which is searched by them.
type narrow struct {
	offset uint8
	levels [][][8]uint64 // the top first; a number of a level is the first of a node of the next
	values []record      // what holds from each cut
	parts  []part
	lows   []uint64 // cuts of the parts
	holds  []record // what holds from each
}

// record is the rules of a prefix: the place of the first<<5 | how many, or where
// they are many a group<<5 | manyRules; and the group of the next shorter prefix, 0
// for none. The zero record is no prefix.
type record struct{ rules, outer uint32 }

// manyRules stands for a number of rules that is over few.
const manyRules = 31

// isPart in record.rules says that record.outer is a part, and not a group.
const isPart = 1<<32 - 1

// part is the cuts that have the same first 64 bits.
type part struct{ at, n uint32 }

// find returns the rules of the longest prefix that has a, which is shifted by the
// offset already.
func (t *narrow) find(a address) record {
	at := 0
	for _, l := range t.levels {
		// The place of the last of eight numbers in order that is not above the
		// address; the first one never is. Borrows need no branches, and a call
		// would take as long as this does.
		n := &l[min(at, len(l)-1)]
		_, c1 := bits.Sub64(a.hi, n[1], 0)
		_, c2 := bits.Sub64(a.hi, n[2], 0)
		_, c3 := bits.Sub64(a.hi, n[3], 0)
		_, c4 := bits.Sub64(a.hi, n[4], 0)
		_, c5 := bits.Sub64(a.hi, n[5], 0)
		_, c6 := bits.Sub64(a.hi, n[6], 0)
		_, c7 := bits.Sub64(a.hi, n[7], 0)
		at = at*8 + 7 - int((c1+c2)+(c3+c4)+(c5+c6)+c7)
	}
	r := t.values[min(at, len(t.values)-1)]
	if r.rules != isPart {
		return r
	}
	p := t.parts[r.outer]
	lows := t.lows[p.at : p.at+p.n]
	i := 0 // the first is 0
	for n := len(lows); n > 1; {
		half := n / 2
		if lows[i+half] <= a.lo {
			i += half
		}
		n -= half
	}
	return t.holds[int(p.at)+i]
}

// cut is where another prefix begins to hold.
type cut struct {
	from  address
	value uint32
}

// narrower builds narrows. It keeps its memory.
type narrower struct {
	cuts  []cut
	stack []uint32
	keys  []uint64
}

// build makes a narrow of prefixes in the order of their keys: what is inside
// comes first. The prefix at place i has the number base+i; inside is told for
// each the number of the longest prefix that it is inside of, 0 for none, and of
// is asked then what the prefixes hold, by number.
func (b *narrower) build(prefixes []prefix, base uint32, inside func(i int, outer uint32), of func(number uint32) record) narrow {
	b.sweep(prefixes, base, inside)
	return b.pack(prefixes[0].offset, of)
}

// sweep fills cuts, from the last address down: so a prefix comes before those
// inside of it.
func (b *narrower) sweep(prefixes []prefix, base uint32, inside func(i int, outer uint32)) {
	b.cuts, b.stack = b.cuts[:0], b.stack[:0]
	top, open := address{math.MaxUint64, math.MaxUint64}, true // what is not told yet ends here
	emit := func(from address, value uint32) {
		b.cuts = append(b.cuts, cut{from, value})
		if open = from != (address{}); open {
			top = from.before()
		}
	}
	holder := func() uint32 {
		if len(b.stack) == 0 {
			return 0
		}
		return base + b.stack[len(b.stack)-1]
	}
	pop := func() {
		first := prefixes[b.stack[len(b.stack)-1]].first
		if open && !top.less(first) {
			emit(first, holder())
		}
		b.stack = b.stack[:len(b.stack)-1]
	}
	for i := len(prefixes) - 1; i >= 0; i-- {
		p := prefixes[i]
		last := p.last()
		for len(b.stack) > 0 && last.less(prefixes[b.stack[len(b.stack)-1]].first) {
			pop()
		}
		inside(i, holder())
		if last.less(top) {
			from, _ := last.next()
			emit(from, holder())
		}
		b.stack = append(b.stack, uint32(i))
	}
	for len(b.stack) > 0 {
		pop()
	}
	if open {
		emit(address{}, 0)
	}
}

// pack makes the tree of the cuts, which are in descending order.
func (b *narrower) pack(offset uint8, of func(number uint32) record) narrow {
	t := narrow{offset: offset}
	b.keys = b.keys[:0]
	c := b.cuts
	add := func(key uint64, r record) {
		b.keys, t.values = append(b.keys, key), append(t.values, r)
	}
	for at := len(c) - 1; at >= 0; {
		end := at // c[end+1:at+1] have the same first bits
		for end >= 0 && c[end].from.hi == c[at].from.hi {
			end--
		}
		hi := c[at].from.hi
		if end == at-1 && c[at].from.lo == 0 {
			add(hi, of(c[at].value))
			at = end
			continue
		}
		p := part{at: uint32(len(t.lows))}
		if c[at].from.lo != 0 { // what holds before goes on at first
			t.lows, t.holds = append(t.lows, 0), append(t.holds, of(c[at+1].value))
		}
		for ; at > end; at-- {
			t.lows, t.holds = append(t.lows, c[at].from.lo), append(t.holds, of(c[at].value))
		}
		p.n = uint32(len(t.lows)) - p.at
		add(hi, record{isPart, uint32(len(t.parts))})
		t.parts = append(t.parts, p)
		if hi != math.MaxUint64 && (end < 0 || c[end].from.hi != hi+1) {
			add(hi+1, of(c[end+1].value))
		}
	}
	b.plant(&t)
	return t
}

// plant makes the nodes, the lowest first.
func (b *narrower) plant(t *narrow) {
	for level := b.keys; ; {
		nodes := make([][8]uint64, (len(level)+7)/8)
		for i := range nodes {
			n := copy(nodes[i][:], level[i*8:])
			for ; n < 8; n++ {
				nodes[i][n] = math.MaxUint64
			}
			level[i] = nodes[i][0]
		}
		t.levels = append(t.levels, nodes)
		if level = level[:len(nodes)]; len(level) == 1 {
			break
		}
	}
	slices.Reverse(t.levels)
}
