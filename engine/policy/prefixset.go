package policy

import (
	"cmp"
	"slices"

	"github.com/kentik/patricia"
	"github.com/kentik/patricia/generics_tree"

	"ribd/engine/config"
	"ribd/trie"
)

// prefixSet is a set of prefixes with ranges of lengths. It is never changed
// once it is made, so any goroutine may ask.
//
// A prefix is in the set if an entry covers it and has its length in range. An
// entry knows the ranges of those above it as well, so one search for the
// longest entry that covers the prefix has the answer.
type prefixSet struct {
	name    string
	v4      *generics_tree.TreeV4[uint32]
	v6      *generics_tree.TreeV6[uint32]
	lengths []lengthSet // by tag
}

// lengthSet is a set of prefix lengths, 0 to 128.
type lengthSet [3]uint64

func (s *lengthSet) add(least, most uint8) {
	for n := int(least); n <= int(most); n++ {
		s[n/64] |= 1 << (n % 64)
	}
}

func (s *lengthSet) has(n uint8) bool { return s[n/64]>>(n%64)&1 != 0 }

func (s *lengthSet) join(o *lengthSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

func newPrefixSet(name string, ranges []config.PrefixRange) *prefixSet {
	s := &prefixSet{name: name, v4: generics_tree.NewTreeV4[uint32](), v6: generics_tree.NewTreeV6[uint32]()}
	// Shorter entries first, so that an entry finds those above it.
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b config.PrefixRange) int {
		return cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits())
	})
	for _, r := range sorted {
		k, n := trie.PrefixKey(r.Prefix)
		v4 := r.Prefix.Addr().Is4()
		own := lengthSet{}
		own.add(r.Min, r.Max)
		if ok, tag := s.find(v4, k, n); ok {
			own.join(&s.lengths[tag])
		}
		s.put(v4, k, n, own)
	}
	return s
}

// put sets the lengths of an entry, in place of those that it had.
func (s *prefixSet) put(v4 bool, k trie.Key, n uint8, l lengthSet) {
	tag := uint32(len(s.lengths))
	s.lengths = append(s.lengths, l)
	if v4 {
		s.v4.Set(patricia.NewIPv4Address(uint32(k.Hi>>32), uint(n)), tag)
	} else {
		s.v6.Set(patricia.IPv6Address{Left: k.Hi, Right: k.Lo, Length: uint(n)}, tag)
	}
}

// find returns the tag of the longest entry that covers a prefix.
func (s *prefixSet) find(v4 bool, k trie.Key, n uint8) (bool, uint32) {
	if v4 {
		return s.v4.FindDeepestTag(patricia.NewIPv4Address(uint32(k.Hi>>32), uint(n)))
	}
	return s.v6.FindDeepestTag(patricia.IPv6Address{Left: k.Hi, Right: k.Lo, Length: uint(n)})
}

// contains says whether a prefix is in the set.
func (s *prefixSet) contains(p prefixVal) bool {
	ok, tag := s.find(p.v4, p.key, p.n)
	return ok && s.lengths[tag].has(p.n)
}
