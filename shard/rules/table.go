package rules

import (
	"sync"

	"ribd/wire"
)

// Value is what the caller keeps with a rule. Ref is the caller's alone.
type Value struct {
	ID, Ref  uint64
	Active   bool // the rule takes part in matching
	Terminal bool // rules after it do not apply to a packet that matches it (RFC 8955 section 7.3)
}

// Table holds the rules of one family; of a VPN family those of one route
// distinguisher, which it does not compare. Its methods are for one goroutine.
type Table struct {
	family wire.Family
	layout layout
	key    []byte
	list   list
	block  []byte // where octets of entries are put

	counts  [129]int32 // of rules by the length of their destination
	lengths lengths    // those that are not 0

	mu      sync.Mutex // against the goroutine that compiles
	overlay overlay
	changed bool // since last was published
	last    *Rules
}

// NewTable makes an empty table of a Flow Spec family.
func NewTable(f wire.Family) *Table {
	t := &Table{family: f, layout: layoutOf(f)}
	t.overlay.init(t)
	t.last = &Rules{family: f, layout: t.layout}
	t.last.matching.Store(t.overlay.matching())
	return t
}

// Family returns the family of the rules.
func (t *Table) Family() wire.Family { return t.family }

// Len returns the number of rules, active or not.
func (t *Table) Len() int { return t.list.n }

// Set adds a rule, or changes the value of one that is there. nlri is canonical
// (flowspec.Canonical) and is copied.
func (t *Table) Set(nlri []byte, v Value) {
	t.key = t.layout.appendKey(t.key[:0], nlri)
	hi := first8(t.key)
	i, at, same := t.list.find(hi, t.key)
	if !same {
		e := &entry{hi: hi, data: t.keep(nlri, t.key), size: uint16(len(nlri)), value: v, at: atNone}
		t.list.insert(i, at, e)
		t.count(e, 1)
		t.swap(nil, e)
		return
	}
	old := t.list.chunks[i].entries[at]
	if old.value == v {
		return
	}
	e := &entry{hi: hi, data: old.data, size: old.size, value: v, at: atNone}
	t.list.replace(i, at, e)
	t.swap(old, e)
}

// Delete takes a rule out, and is false where it is not there.
func (t *Table) Delete(nlri []byte) bool {
	t.key = t.layout.appendKey(t.key[:0], nlri)
	i, at, same := t.list.find(first8(t.key), t.key)
	if !same {
		return false
	}
	old := t.list.chunks[i].entries[at]
	t.list.remove(i, at)
	t.count(old, -1)
	t.swap(old, nil)
	return true
}

// Get returns the value of a rule; ok is false where it is not there.
func (t *Table) Get(nlri []byte) (v Value, ok bool) {
	t.key = t.layout.appendKey(t.key[:0], nlri)
	i, at, same := t.list.find(first8(t.key), t.key)
	if !same {
		return v, false
	}
	return t.list.chunks[i].entries[at].value, true
}

// swap tells the overlay what changed; either may be nil.
func (t *Table) swap(old, e *entry) {
	t.mu.Lock()
	t.changed = true
	if old != nil && old.at != atNone {
		t.overlay.remove(old)
	}
	if e != nil && e.value.Active {
		t.overlay.add(e)
	}
	t.mu.Unlock()
}

// count keeps the lengths of destinations.
func (t *Table) count(e *entry, d int32) {
	p, ok := t.layout.destination(e.nlri())
	if !ok || p.offset != 0 {
		return
	}
	n := p.bits
	t.counts[n] += d
	if t.counts[n] > 0 {
		t.lengths[n>>6] |= 1 << (n & 63)
	} else {
		t.lengths[n>>6] &^= 1 << (n & 63)
	}
}

// keep copies octets, a and then b, into a block that many entries share.
func (t *Table) keep(a, b []byte) []byte {
	if size := len(a) + len(b); cap(t.block)-len(t.block) < size {
		t.block = make([]byte, 0, max(4096, size))
	}
	n := len(t.block)
	t.block = append(append(t.block, a...), b...)
	return t.block[n:len(t.block):len(t.block)]
}

// Publish returns the rules as they are now, which later changes leave alone. It
// costs in proportion to the changes since the last one; where many have come
// together, a goroutine begins to compile them, and ends by itself.
func (t *Table) Publish() *Rules {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.publish()
	t.overlay.compileBeside()
	return r
}

// PublishCompiled is Publish for rules that stay as they are: it compiles them
// itself, and starts no goroutine.
func (t *Table) PublishCompiled() *Rules {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.publish()
	if o := &t.overlay; !o.compiling {
		o.since = o.published
		o.adopt(compile(r.active(), r.layout))
		r.matching.Store(o.matching())
	}
	return r
}

func (t *Table) publish() *Rules {
	if !t.changed {
		return t.last
	}
	t.changed = false
	t.list.share()
	r := &Rules{family: t.family, layout: t.layout, list: t.list, lengths: t.lengths}
	t.last = r
	r.matching.Store(t.overlay.publish())
	return r
}
