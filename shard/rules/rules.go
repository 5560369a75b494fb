package rules

import (
	"net/netip"
	"sync/atomic"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// Rules is a table as it was when it was published. Any goroutine may use it.
type Rules struct {
	family   wire.Family
	layout   layout
	list     list
	lengths  lengths
	matching atomic.Pointer[matching] // what it finds never changes, how it does may
}

// lengths is a set of prefix lengths.
type lengths [3]uint64

// Family returns the family of the rules.
func (r *Rules) Family() wire.Family { return r.family }

// Len returns the number of rules, active or not.
func (r *Rules) Len() int { return r.list.n }

// Walk yields the rules in the order of RFC 8955 section 5.1, from just behind
// the canonical NLRI after, which need not be there; from the start where that
// is nil. order counts from 1 and is the rule's place among all. The octets of
// nlri are shared and stay as they are. Where to begin costs a binary search.
func (r *Rules) Walk(after []byte, yield func(nlri []byte, v Value, order int) bool) {
	var key []byte
	if after != nil {
		key = append(r.layout.appendKey(make([]byte, 0, 64), after), 0) // the least one behind it
	}
	r.list.from(key, func(e *entry, place int) bool { return yield(e.nlri(), e.value, place+1) })
}

// Get returns the value and the order of a canonical NLRI; ok is false where it
// is not there.
func (r *Rules) Get(nlri []byte) (v Value, order int, ok bool) {
	key := r.layout.appendKey(make([]byte, 0, 64), nlri)
	i, at, same := r.list.find(first8(key), key)
	if !same {
		return v, 0, false
	}
	return r.list.chunks[i].entries[at].value, r.list.before[i] + at + 1, true
}

// active returns the entries that take part in matching, in order.
func (r *Rules) active() []*entry {
	all := make([]*entry, 0, r.list.n)
	for _, c := range r.list.chunks {
		for _, e := range c.entries {
			if e.value.Active {
				all = append(all, e)
			}
		}
	}
	return all
}

// Destinations yields the destinations that overlap p, each once, however many
// rules have it: those that cover p, the shortest first, then p and those inside of
// it in order. Destinations that leave out the first bits of an address (RFC 8956
// section 3.1) are not among them. A prefix of the other IP version has none.
func (r *Rules) Destinations(p netip.Prefix, yield func(netip.Prefix) bool) {
	q, ok := r.prefixOf(p)
	if !ok {
		return
	}
	for n := range q.bits {
		there := false
		if r.lengths[n>>6]>>(n&63)&1 != 0 {
			r.at(q, n, func([]byte, Value) bool { there = true; return false })
		}
		if there && !yield(netip.PrefixFrom(p.Addr(), int(n)).Masked()) {
			return
		}
	}
	first := q
	first.bits = r.bits()
	key := r.layout.appendPrefixKey(make([]byte, 0, prefixKeyLen+2), flowspec.TypeDestination, first)
	for more := true; more; {
		more = false
		r.list.from(key, func(e *entry, _ int) bool {
			d, ok := r.layout.destination(e.nlri())
			if ok && d.offset == 0 && q.has(d.first) {
				key = append(r.layout.appendPrefixKey(key[:0], flowspec.TypeDestination, d), keyEnd, 0) // behind the rules to it
				at, _, _ := flowspec.Destination(r.family, e.nlri())
				more = d.bits < q.bits || yield(at)
			}
			return false
		})
	}
}

// To yields, in order, the rules whose destination is p.
func (r *Rules) To(p netip.Prefix, yield func(nlri []byte, v Value) bool) {
	if q, ok := r.prefixOf(p); ok {
		r.at(q, q.bits, yield)
	}
}

// at yields the rules whose destination is the first n bits of q.
func (r *Rules) at(q prefix, n uint8, yield func(nlri []byte, v Value) bool) (more bool) {
	m := mask(n)
	want := prefix{first: address{q.first.hi & m.hi, q.first.lo & m.lo}, bits: n}
	var buf [prefixKeyLen]byte
	more = true
	r.list.from(r.layout.appendPrefixKey(buf[:0], flowspec.TypeDestination, want), func(e *entry, _ int) bool {
		if d, ok := r.layout.destination(e.nlri()); !ok || d != want {
			return false
		}
		more = yield(e.nlri(), e.value)
		return more
	})
	return more
}

// bits returns how many bits an address has.
func (r *Rules) bits() uint8 {
	if r.layout.v6 {
		return 128
	}
	return 32
}

// prefixOf returns p as rules have it; ok is false where it is of the other IP
// version or no prefix.
func (r *Rules) prefixOf(p netip.Prefix) (q prefix, ok bool) {
	if !p.IsValid() || p.Addr().Is4() == r.layout.v6 {
		return q, false
	}
	a, _ := addressOf(p.Masked().Addr(), r.layout.v6)
	return prefix{first: a, bits: uint8(p.Bits())}, true
}
