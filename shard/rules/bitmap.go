package rules

import (
	"math"
	"math/bits"
	"slices"

	"ribd/wire/flowspec"
)

// bitmaps narrow rules that prefixes do not tell apart. The values of each field
// are cut into classes; each class has a row of bits, one for each rule that a
// packet of the class may match. The rows of a packet's classes, ANDed, leave few
// rules to compare, and of many rules a summary (a bit for each word of a row)
// leaves few words to AND.
type bitmaps struct {
	words  int
	fields []classes
}

// The fields that have bitmaps.
const (
	fieldProtocol = iota
	fieldX
	fieldY
	fieldPort
	fieldLength
	fieldFlags
	fieldCount
)

// maxClasses bounds the rows of a field, and so its memory: 32 octets a rule.
const maxClasses = 256

// classes is the rows of one field: row 0 for packets that do not have it, the
// others for the values from each of from up to the next.
type classes struct {
	field   uint8
	from    []uint16
	rows    []uint64 // words for each row
	summary []uint64 // sums(words) for each row
}

// class returns the row of a value.
func (c *classes) class(v uint16) int {
	i := 0
	for n := len(c.from); n > 1; {
		half := n / 2
		if c.from[i+half] <= v {
			i += half
		}
		n -= half
	}
	return i + 1
}

// rowOf returns the row of the packet's value; for ports there are two.
func (c *classes) rowOf(b *probe) (row, second int) {
	var v uint16
	switch c.field {
	case fieldProtocol:
		if b.has&needProtocol == 0 {
			return 0, 0
		}
		v = uint16(b.protocol)
	case fieldX:
		if b.has&(needSourcePort|needICMPType) == 0 {
			return 0, 0
		}
		v = b.x
	case fieldY:
		if b.has&(needDestinationPort|needICMPCode) == 0 {
			return 0, 0
		}
		v = b.y
	case fieldPort:
		if b.has&needAnyPort == 0 {
			return 0, 0
		}
		return c.class(b.p), c.class(b.q)
	case fieldLength:
		if b.has&needLength == 0 {
			return 0, 0
		}
		v = b.length
	case fieldFlags:
		if b.has&needTCPFlags == 0 {
			return 0, 0
		}
		v = b.flags & flagBits
	}
	row = c.class(v)
	return row, row
}

// sums is the words of a summary.
func sums(words int) int { return (words + 63) / 64 }

// row is the rows of one field for one packet: a OR b.
type row struct{ a, b, sumA, sumB []uint64 }

// match appends the rules that fit; the first has the place lo in the matcher.
func (s *bitmaps) match(m *matcher, lo uint32, b *probe, hits []uint32) []uint32 {
	var all [fieldCount]row
	n := sums(s.words)
	for i := range s.fields {
		c := &s.fields[i]
		x, y := c.rowOf(b)
		all[i] = row{
			c.rows[x*s.words : (x+1)*s.words], c.rows[y*s.words : (y+1)*s.words],
			c.summary[x*n : (x+1)*n], c.summary[y*n : (y+1)*n],
		}
	}
	rows := all[:len(s.fields)]
	for i := range n {
		left := uint64(math.MaxUint64)
		if i == n-1 && s.words&63 != 0 {
			left = 1<<(s.words&63) - 1
		}
		for k := range rows {
			left &= rows[k].sumA[i] | rows[k].sumB[i]
		}
		for ; left != 0; left &= left - 1 {
			w := i*64 + bits.TrailingZeros64(left)
			word := uint64(math.MaxUint64)
			for k := range rows {
				word &= rows[k].a[w] | rows[k].b[w]
			}
			for ; word != 0; word &= word - 1 {
				at := lo + uint32(w*64+bits.TrailingZeros64(word))
				if int(at) < len(m.heads) && m.fits(&m.heads[at], b) {
					hits = append(hits, at)
				}
			}
		}
	}
	return hits
}

// bitmapper builds bitmaps. It keeps its memory.
type bitmapper struct {
	spans []span16
	cuts  []uint16
}

// span16 is a range of a field that a rule lets through.
type span16 struct {
	rule   uint32
	lo, hi uint16
}

// build makes the bitmaps of rules.
func (b *bitmapper) build(heads []head, extra []uint64) *bitmaps {
	s := &bitmaps{words: (len(heads) + 63) / 64}
	for f := range fieldCount {
		if c, ok := b.classes(uint8(f), heads, extra, s.words); ok {
			s.fields = append(s.fields, c)
		}
	}
	return s
}

// classes makes the rows of a field; ok is false where every rule lets every
// value through.
func (b *bitmapper) classes(field uint8, heads []head, extra []uint64, words int) (c classes, ok bool) {
	every := make([]uint64, words)
	b.spans = b.spans[:0]
	for i := range heads {
		if n := len(b.spans); !b.add(field, uint32(i), &heads[i], extra) {
			b.spans = b.spans[:n]
			every[i>>6] |= 1 << (i & 63)
		}
	}
	if len(b.spans) == 0 {
		return c, false
	}
	b.cuts = append(b.cuts[:0], 0)
	for _, s := range b.spans {
		b.cuts = append(b.cuts, s.lo)
		if s.hi != math.MaxUint16 {
			b.cuts = append(b.cuts, s.hi+1)
		}
	}
	slices.Sort(b.cuts)
	b.cuts = slices.Compact(b.cuts)
	if step := (len(b.cuts) + maxClasses - 2) / (maxClasses - 1); step > 1 {
		n := 0
		for i := 0; i < len(b.cuts); i += step {
			b.cuts[n] = b.cuts[i]
			n++
		}
		b.cuts = b.cuts[:n]
	}
	c = classes{field: field, from: slices.Clone(b.cuts)}
	count := 1 + len(c.from)
	c.rows = make([]uint64, count*words)
	for r := range count {
		copy(c.rows[r*words:], every)
	}
	for _, s := range b.spans {
		for r := c.class(s.lo); r < count && c.from[r-1] <= s.hi; r++ {
			c.rows[r*words+int(s.rule>>6)] |= 1 << (s.rule & 63)
		}
	}
	n := sums(words)
	c.summary = make([]uint64, count*n)
	for r := range count {
		for w, x := range c.rows[r*words : (r+1)*words] {
			if x != 0 {
				c.summary[r*n+w>>6] |= 1 << (w & 63)
			}
		}
	}
	return c, true
}

// add appends what a rule lets through of a field, and is false where it lets
// everything through, also packets that do not have the field.
func (b *bitmapper) add(field uint8, rule uint32, h *head, extra []uint64) bool {
	var r range16
	var t flowspec.Type
	var need uint16
	switch field {
	case fieldProtocol:
		need, t, r = needProtocol, flowspec.TypeProtocol, range16{uint16(h.protocol.lo), uint16(h.protocol.span)}
	case fieldX:
		need, t, r = needSourcePort|needICMPType, flowspec.TypeSourcePort, h.x
		if h.need&needICMPType != 0 {
			t = flowspec.TypeICMPType
		}
	case fieldY:
		need, t, r = needDestinationPort|needICMPCode, flowspec.TypeDestinationPort, h.y
		if h.need&needICMPCode != 0 {
			t = flowspec.TypeICMPCode
		}
	case fieldPort:
		need, t, r = needAnyPort, flowspec.TypePort, h.port
	case fieldLength:
		need, t, r = needLength, flowspec.TypePacketLength, h.length
	case fieldFlags:
		need = needTCPFlags
	}
	if h.need&need == 0 {
		return false
	}
	if field == fieldFlags {
		return b.addFlags(rule, h.flags)
	}
	if t != flowspec.TypePacketLength { // of which the head has what fits 16 bits
		if list := spansOf(h, extra, t); list != nil && len(list) <= manySpans {
			for _, s := range list {
				b.spans = append(b.spans, span16{rule, uint16(s >> 32), uint16(s)})
			}
			return true
		}
	}
	b.spans = append(b.spans, span16{rule, r.lo, r.lo + r.span})
	return true
}

// flagBits are the flags that have classes, FIN to URG; of the others the head
// alone knows.
const flagBits = 0x3f

// addFlags appends the values of those flags that fit the mask.
func (b *bitmapper) addFlags(rule uint32, m mask16) bool {
	for v := uint16(0); v <= flagBits; v++ {
		if v&m.mask != m.value&flagBits {
			continue
		}
		if n := len(b.spans); n > 0 && b.spans[n-1].rule == rule && b.spans[n-1].hi == v-1 {
			b.spans[n-1].hi = v
			continue
		}
		b.spans = append(b.spans, span16{rule, v, v})
	}
	return true
}

// manySpans is how many spans of one rule the classes take; of a rule with more
// they take the range.
const manySpans = 64

// spansOf returns the spans of a component among the further conditions, nil
// where it has none.
func spansOf(h *head, extra []uint64, t flowspec.Type) []uint64 {
	at := h.more &^ terminalBit
	if at == 0 {
		return nil
	}
	for w := extra[at:]; w[0] != moreEnd; {
		n := int(uint32(w[0]))
		if w[0]>>56 == moreSpans && flowspec.Type(w[0]>>48) == t {
			return w[1 : 1+n]
		}
		w = w[1+n:]
	}
	return nil
}
