package rules

import (
	"cmp"
	"slices"
)

// span is a run of numbers, both ends in it.
type span struct{ lo, hi uint64 }

// Bits of operators (RFC 8955 section 4.2.1).
const (
	opEnd   = 0x80
	opAnd   = 0x40
	opLess  = 0x04
	opMore  = 0x02
	opEqual = 0x01
	opNot   = 0x02
	opMatch = 0x01
)

// operator is one operator of a list and its value.
type operator struct {
	bits  byte
	value uint64
}

// nextOperator reads the operator that b begins with, and returns what is
// behind it.
func nextOperator(b []byte) (o operator, rest []byte) {
	n := 1 << (b[0] >> 4 & 3)
	o.bits = b[0]
	for _, c := range b[1 : 1+n] {
		o.value = o.value<<8 | uint64(c)
	}
	return o, b[1+n:]
}

// setBuilder turns lists of numeric operators into spans. It keeps its memory.
type setBuilder struct {
	spans []span
	holes []uint64
}

// numbers returns the numbers from 0 to most that a list of numeric operators
// (RFC 8955 section 4.2.1.1) lets through, as spans in order that do not touch.
// They are the builder's until the next call.
func (s *setBuilder) numbers(list []byte, most uint64) []span {
	s.spans = s.spans[:0]
	for len(list) > 0 {
		list = s.alternative(list, most)
	}
	slices.SortFunc(s.spans, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	n := 0
	for _, x := range s.spans {
		if n > 0 && x.lo <= s.spans[n-1].hi+1 && s.spans[n-1].hi != ^uint64(0) {
			s.spans[n-1].hi = max(s.spans[n-1].hi, x.hi)
		} else if n == 0 || s.spans[n-1].hi != ^uint64(0) {
			s.spans[n] = x
			n++
		}
	}
	return s.spans[:n]
}

// alternative adds the spans of the comparisons up to the next one that AND
// does not join: one range, without single numbers.
func (s *setBuilder) alternative(list []byte, most uint64) (rest []byte) {
	lo, hi, none := uint64(0), most, false
	s.holes = s.holes[:0]
	for first := true; len(list) > 0 && (first || list[0]&opAnd != 0); first = false {
		var o operator
		o, list = nextOperator(list)
		v := o.value
		switch o.bits & (opLess | opMore | opEqual) {
		case 0:
			none = true
		case opEqual:
			lo, hi = max(lo, v), min(hi, v)
		case opLess | opEqual:
			hi = min(hi, v)
		case opMore | opEqual:
			lo = max(lo, v)
		case opLess:
			none = none || v == 0
			hi = min(hi, v-1)
		case opMore:
			none = none || v == ^uint64(0)
			lo = max(lo, v+1)
		case opLess | opMore:
			s.holes = append(s.holes, v)
		}
	}
	if none {
		return list
	}
	slices.Sort(s.holes)
	for _, h := range s.holes {
		if h < lo || h > hi || lo > hi {
			continue
		}
		if h > lo {
			s.spans = append(s.spans, span{lo, h - 1})
		}
		if h == ^uint64(0) {
			return list
		}
		lo = h + 1
	}
	if lo <= hi {
		s.spans = append(s.spans, span{lo, hi})
	}
	return list
}

// maskOf returns the mask and value that say the same as a list of bitmask
// operators (RFC 8955 section 4.2.1.2): data & mask == value. exact is false
// where no such pair does, and then they are 0 and let everything through.
func maskOf(list []byte) (mask, value uint16, exact bool) {
	for first := true; len(list) > 0; first = false {
		var o operator
		o, list = nextOperator(list)
		v := uint16(o.value)
		one := v != 0 && v&(v-1) == 0
		var want uint16
		switch not, match := o.bits&opNot != 0, o.bits&opMatch != 0; {
		case !first && o.bits&opAnd == 0:
			return 0, 0, false
		case !not && (match || one):
			want = v
		case not && (!match || one):
			want = 0
		default: // any of several, or not all of them
			return 0, 0, false
		}
		if mask&v&(value^want) != 0 { // the same bit set and not set
			return 0, 0, false
		}
		mask |= v
		value |= want
	}
	return mask, value, true
}

// bitsHold is true where data fits a list of bitmask operators.
func bitsHold(list []byte, data uint64) bool {
	all := false
	for first := true; len(list) > 0; first = false {
		var o operator
		o, list = nextOperator(list)
		if first || o.bits&opAnd == 0 {
			if all {
				return true
			}
			all = true
		}
		hold := data&o.value != 0
		if o.bits&opMatch != 0 {
			hold = data&o.value == o.value
		}
		all = all && hold != (o.bits&opNot != 0)
	}
	return all
}
