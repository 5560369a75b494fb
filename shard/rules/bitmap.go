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
	fieldDSCP
	fieldLabel
	fieldCount
)

// fieldNeeds are the needs of rules that look at the field, and of packets that
// have it.
var fieldNeeds = [fieldCount]uint16{
	fieldProtocol: needProtocol, fieldX: needSourcePort | needICMPType, fieldY: needDestinationPort | needICMPCode,
	fieldPort: needAnyPort, fieldLength: needLength, fieldFlags: needTCPFlags, fieldDSCP: needDSCP, fieldLabel: needFlowLabel,
}

// maxClasses bounds the rows of a field, and so its memory: 32 octets a rule.
const maxClasses = 256

// classes is the rows of one field: row 0 for packets that do not have it, the
// others for the values from each of from up to the next.
type classes struct {
	field   uint8
	from    []uint32
	rows    []uint64 // words for each row
	summary []uint64 // sums(words) for each row
}

// class returns the row of a value.
func (c *classes) class(v uint32) int {
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
	if b.has&fieldNeeds[c.field] == 0 {
		return 0, 0
	}
	var v uint32
	switch c.field {
	case fieldProtocol:
		v = uint32(b.protocol)
	case fieldX:
		v = uint32(b.x)
	case fieldY:
		v = uint32(b.y)
	case fieldPort:
		return c.class(uint32(b.p)), c.class(uint32(b.q))
	case fieldLength:
		v = uint32(b.length)
	case fieldFlags:
		v = uint32(b.flags & flagBits)
	case fieldDSCP:
		v = uint32(b.dscp)
	case fieldLabel:
		v = b.flowLabel
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
				if int(at) < len(m.heads) && m.heads[at].fits(b, m.extra) {
					hits = append(hits, at)
				}
			}
		}
	}
	return hits
}

// bitmapper builds bitmaps. It keeps its memory.
type bitmapper struct {
	spans []ruleSpan
	cuts  []uint32
	many  int // spans that are taken of one rule and field
}

// ruleSpan is a range of a field that a rule lets through.
type ruleSpan struct{ rule, lo, hi uint32 }

// build makes the bitmaps of rules.
func (b *bitmapper) build(heads []head, extra []uint64) *bitmaps {
	s := &bitmaps{words: (len(heads) + 63) / 64}
	b.many = min(manySpans, max(4, spansMost/len(heads)))
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
		b.cuts = append(b.cuts, s.lo, s.hi+1)
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
	if h.need&fieldNeeds[field] == 0 {
		return false
	}
	var t flowspec.Type
	var r range16
	switch field {
	case fieldProtocol:
		t, r = flowspec.TypeProtocol, range16{uint16(h.protocol.lo), uint16(h.protocol.span)}
	case fieldX:
		if t, r = flowspec.TypeSourcePort, h.x; h.need&needICMPType != 0 {
			t = flowspec.TypeICMPType
		}
	case fieldY:
		if t, r = flowspec.TypeDestinationPort, h.y; h.need&needICMPCode != 0 {
			t = flowspec.TypeICMPCode
		}
	case fieldPort:
		t, r = flowspec.TypePort, h.port
	case fieldLength: // of which the head has what fits 16 bits
		b.spans = append(b.spans, ruleSpan{rule, uint32(h.length.lo), uint32(h.length.lo) + uint32(h.length.span)})
		return true
	case fieldFlags:
		b.addFlags(rule, h.flags)
		return true
	case fieldDSCP:
		t, r = flowspec.TypeDSCP, range16{uint16(h.dscp.lo), uint16(h.dscp.span)}
	case fieldLabel:
		t = flowspec.TypeFlowLabel
	}
	list := spansOf(h, extra, t)
	if len(list) > b.many {
		list = []uint64{list[0]&^math.MaxUint32 | list[len(list)-1]&math.MaxUint32}
	}
	for _, s := range list {
		b.spans = append(b.spans, ruleSpan{rule, uint32(s >> 32), uint32(s)})
	}
	if list == nil {
		b.spans = append(b.spans, ruleSpan{rule, uint32(r.lo), uint32(r.lo) + uint32(r.span)})
	}
	return true
}

// flagBits are the flags that have classes, FIN to URG; of the others the head
// alone knows.
const flagBits = 0x3f

// addFlags appends the values of those flags that fit the mask.
func (b *bitmapper) addFlags(rule uint32, m mask16) {
	for v := uint32(0); v <= flagBits; v++ {
		if v&uint32(m.mask) != uint32(m.value)&flagBits {
			continue
		}
		if n := len(b.spans); n > 0 && b.spans[n-1].rule == rule && b.spans[n-1].hi+1 == v {
			b.spans[n-1].hi = v
			continue
		}
		b.spans = append(b.spans, ruleSpan{rule, v, v})
	}
}

// manySpans is how many spans of one rule the classes take; of a rule with more
// they take the range. spansMost bounds those of all rules of a group, and so the
// time to compile what a peer has made for that.
const (
	manySpans = 64
	spansMost = 1 << 20
)

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
