package rules

import (
	"bytes"

	"ribd/wire/flowspec"
)

// Bounds of the work of ShadowedBy.
const (
	shadowOctets    = 1 << 16 // of NLRI that are looked at
	shadowOperators = 16      // of a bitmask list that is compared by what it means
)

// ShadowedBy appends to dst the active terminal rules in front of a canonical
// NLRI that match every packet which it matches, so that it never applies; the
// packet's addresses have to be known. Each one told is sure; not each there is
// is told: rules are compared component by component, and no more than some 64 KiB
// of them.
func (r *Rules) ShadowedBy(nlri []byte, dst []Value) []Value {
	s := shadow{layout: r.layout, rule: nlri, left: shadowOctets}
	s.key = r.layout.appendKey(make([]byte, 0, 64), nlri)
	destinations, rest := s.alternatives(r.layout.components(nlri), flowspec.TypeDestination)
	sources, _ := s.alternatives(rest, flowspec.TypeSource)
	for _, d := range destinations {
		for _, src := range sources {
			dst = s.scan(r, d, src, dst)
		}
	}
	return dst
}

// shadow is one search for the rules in front of a rule that cover it.
type shadow struct {
	layout
	rule []byte
	key  []byte
	left int
	mine setBuilder
	its  setBuilder
}

// alternatives returns the keys of the prefix of type t that a rule in front can
// have so that it covers: the same, or, where the rule that c is the components
// of has none, that of all addresses or none, which is nil. A shorter prefix
// comes behind. rest is the components behind it.
func (s *shadow) alternatives(c []byte, t flowspec.Type) (keys [][]byte, rest []byte) {
	if len(c) > 0 && flowspec.Type(c[0]) == t {
		p, n := s.prefix(c[1:])
		return [][]byte{s.appendPrefixKey(nil, t, p)}, c[1+n:]
	}
	return [][]byte{s.appendPrefixKey(nil, t, prefix{}), nil}, c
}

// scan looks at the rules with a destination and a source, by their keys, up to
// the rule itself.
func (s *shadow) scan(r *Rules, destination, source []byte, dst []Value) []Value {
	common := append(bytes.Clone(destination), source...)
	from := common
	if source == nil {
		from = append(bytes.Clone(common), byte(flowspec.TypeSource)+1)
	}
	r.list.from(from, func(e *entry, _ int) bool {
		if s.left -= int(e.size); s.left < 0 || !bytes.HasPrefix(e.key(), common) || bytes.Compare(e.key(), s.key) >= 0 {
			return false
		}
		if e.value.Active && e.value.Terminal && s.covered(e.nlri()) {
			dst = append(dst, e.value)
		}
		return true
	})
	return dst
}

// covered is true where each component of nlri, but for prefixes, follows from
// one of the rule.
func (s *shadow) covered(nlri []byte) bool {
	for c := s.components(nlri); len(c) > 0; {
		t, n := flowspec.Type(c[0]), 0
		if t.IsPrefix() {
			_, n = s.prefix(c[1:])
		} else if n = operatorsLen(c[1:]); !s.follows(t, c[1:1+n]) {
			return false
		}
		c = c[1+n:]
	}
	return true
}

// follows is true where a component follows from one of the rule: what that lets
// through, the component does, too.
func (s *shadow) follows(t flowspec.Type, list []byte) bool {
	for c := s.components(s.rule); len(c) > 0; {
		own, n := flowspec.Type(c[0]), 0
		if own.IsPrefix() {
			_, n = s.prefix(c[1:])
		} else {
			n = operatorsLen(c[1:])
			port := t == flowspec.TypePort && (own == flowspec.TypeDestinationPort || own == flowspec.TypeSourcePort)
			if (own == t || port) && s.within(t, c[1:1+n], list) {
				return true
			}
		}
		c = c[1+n:]
	}
	return false
}

// within is true where every value that the list a lets through passes b.
func (s *shadow) within(t flowspec.Type, a, b []byte) bool {
	switch {
	case bytes.Equal(a, b):
		return true
	case !t.IsBitmask():
		return spansWithin(s.mine.numbers(a, most(t)), s.its.numbers(b, most(t)))
	case len(a) > 2*shadowOperators || len(b) > 2*shadowOperators:
		return false
	}
	last := uint64(0xfff)
	if t == flowspec.TypeFragment {
		last = 0xf
	}
	for v := range last + 1 {
		if bitsHold(a, v) && !bitsHold(b, v) {
			return false
		}
	}
	return true
}

// spansWithin is true where each of a is inside of one of b; both are in order
// and do not touch.
func spansWithin(a, b []span) bool {
	for _, x := range a {
		for len(b) > 0 && b[0].hi < x.lo {
			b = b[1:]
		}
		if len(b) == 0 || b[0].lo > x.lo || b[0].hi < x.hi {
			return false
		}
	}
	return true
}
