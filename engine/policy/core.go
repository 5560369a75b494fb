package policy

import (
	"sync"

	"ribd/engine/config"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// core judges routes by one policy for peers that are the same to it: filters
// share it, and so what it remembers.
type core struct {
	*policy
	attrs *rib.Attrs
	nlri  func(trie.Key) ([]byte, bool) // of rules, by key; nil where none are judged
	peer  *PeerFacts
	// from returns whose a route is; nil where all are peer's (import).
	from    func(rib.PeerNum) *PeerFacts
	far     *memo // nil: nothing costs enough
	classes classes
}

// outcome is what judging an attribute set from a term on came to, without a
// prefix: accepted or rejected, or stuck at a term that looks at one, with what
// is known of its condition. It is a word of memo.
//
//	attributes 32 | kind 2 | term 12 | slots 16
type outcome uint64

// The kinds of outcome.
const (
	accepted = 1 + iota
	rejected
	stuck
)

func (o outcome) id() rib.AttrID { return rib.AttrID(o) }
func (o outcome) kind() int      { return int(o >> 32 & 3) }
func (o outcome) term() int      { return int(o >> 34 & (maxTerms - 1)) }
func (o outcome) slots() uint16  { return uint16(o >> 46) }

// maxTerms bounds the terms of a policy.
const maxTerms = 1 << 11

func makeOutcome(kind, term int, slots uint16, id rib.AttrID) outcome {
	return outcome(id) | outcome(kind)<<32 | outcome(term)<<34 | outcome(slots)<<46
}

// context is what outcomes depend on besides attributes and term: the
// generation, and the family and source as far as the policy tells them apart.
type context struct {
	generation uint64
	bits       uint64 // of the key: class 14, family 6
	keep       bool   // outcomes may be kept
	near       *memo
}

// recall returns what is remembered under a key, and notes it nearby.
func (c *core) recall(x *context, key uint64) (outcome, bool) {
	if !x.keep {
		return 0, false
	}
	if o, ok := x.near.get(x.generation, key); ok {
		return outcome(o), true
	}
	if c.far != nil {
		if o, ok := c.far.get(x.generation, key); ok {
			x.near.put(x.generation, key, o)
			return outcome(o), true
		}
	}
	return 0, false
}

// remember keeps what was found out, far as well where it was costly.
func (c *core) remember(x *context, key uint64, o outcome, costly bool) {
	if !x.keep {
		return
	}
	x.near.put(x.generation, key, uint64(o))
	if costly && c.far != nil {
		c.far.put(x.generation, key, uint64(o))
	}
}

// contextOf returns the context of a family and source.
func (c *core) contextOf(f wire.Family, from *PeerFacts, near *memo) context {
	x := context{generation: c.attrs.Generation(), keep: true, near: near}
	family := uint64(1)
	switch {
	case c.usesFamily:
		family = familyIndex(f)
		x.keep = family != 0
	case !plain(f):
		family = 2
	}
	var class uint64
	if c.usesFrom && c.from != nil {
		n, ok := c.classes.of(from, c.policy.from)
		class, x.keep = uint64(n), x.keep && ok
	}
	x.bits = class<<44 | family<<58
	return x
}

// familyIndex numbers the families that have names, from 1; 0 are others.
func familyIndex(f wire.Family) uint64 {
	switch f {
	case wire.IPv4Unicast:
		return 1
	case wire.IPv6Unicast:
		return 2
	case wire.IPv4Multicast:
		return 3
	case wire.IPv6Multicast:
		return 4
	case wire.IPv4LabelledUnicast:
		return 5
	case wire.IPv6LabelledUnicast:
		return 6
	case wire.IPv4VPN:
		return 7
	case wire.IPv6VPN:
		return 8
	case wire.IPv4FlowSpec:
		return 9
	case wire.IPv6FlowSpec:
		return 10
	case wire.IPv4FlowSpecVPN:
		return 11
	case wire.IPv6FlowSpecVPN:
		return 12
	case wire.L2VPNEVPN:
		return 13
	case wire.LS:
		return 14
	}
	return 0
}

// key is that of judging a set from a term on or, with act, of the changes of a
// term to a set.
func (x *context) key(id rib.AttrID, term int, act bool) uint64 {
	k := uint64(id) | uint64(term)<<32 | x.bits
	if act {
		k |= 1 << 43
	}
	return k
}

// source returns whose routes of a peer number are.
func (c *core) source(n rib.PeerNum) *PeerFacts {
	if c.from == nil {
		return c.peer
	}
	if p := c.from(n); p != nil {
		return p
	}
	return nobody
}

// set judges what holds for all routes of a set.
func (c *core) set(near *memo, f wire.Family, n rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	from := c.source(n)
	x := c.contextOf(f, from, near)
	key := x.key(id, 0, false)
	o, ok := c.recall(&x, key)
	if !ok {
		r := getRoute(c.attrs, c.peer, from, f)
		o = c.judge(r, &x, 0, id)
		c.remember(&x, key, o, r.costly)
		r.release()
	}
	return o.verdict(id)
}

// verdict is what an outcome says of routes that came with a set.
func (o outcome) verdict(id rib.AttrID) (v rib.Verdict, final bool) {
	switch o.kind() {
	case accepted:
		return rib.Verdict{Attrs: o.id()}, true
	case rejected:
		return rib.Verdict{Attrs: id, Filtered: rib.FilterPolicy}, true
	}
	return rib.Verdict{}, false
}

// run judges a set from a term on, by what is remembered where it can.
func (c *core) run(r *route, x *context, start int, id rib.AttrID) outcome {
	key := x.key(id, start, false)
	if o, ok := c.recall(x, key); ok {
		return o
	}
	had := r.hasRoute
	r.hasRoute = false
	o := c.judge(r, x, start, id)
	r.hasRoute = had
	c.remember(x, key, o, r.costly)
	return o
}

// judge is run without a memo for where it ends.
func (c *core) judge(r *route, x *context, start int, id rib.AttrID) outcome {
	r.costly = false
	for i := start; i < len(c.terms); i++ {
		t := c.terms[i]
		if !t.judges(r.family) {
			continue
		}
		if t.cond != nil {
			r.setAttrs(id)
			r.slotsValid, r.err = false, nil
			switch t.cond.judge(r) {
			case no:
				continue
			case failed:
				t.fail(r.err)
				return makeOutcome(rejected, i, 0, id)
			case unknown:
				return makeOutcome(stuck, i, t.cond.settle(r), id)
			}
		}
		var ok bool
		if id, ok = c.act(r, x, i, id); !ok {
			return makeOutcome(rejected, i, 0, id)
		}
		switch t.verdict {
		case config.Accept:
			return makeOutcome(accepted, i, 0, id)
		case config.Reject:
			return makeOutcome(rejected, i, 0, id)
		}
	}
	return makeOutcome(rejected, 0, 0, id)
}

// act changes a set as a term says; ok is false where that can't be done.
func (c *core) act(r *route, x *context, i int, id rib.AttrID) (_ rib.AttrID, ok bool) {
	t := c.terms[i]
	if t.actions == nil || t.verdict == config.Reject {
		return id, true
	}
	key := x.key(id, i, true)
	if o, ok := c.recall(x, key); ok {
		return o.id(), o.kind() == accepted
	}
	r.setAttrs(id)
	r.costly = true
	kind := accepted
	changed, err := t.actions.apply(r)
	if err != nil {
		t.fail(err)
		kind, changed = rejected, id
	}
	c.remember(x, key, makeOutcome(kind, i, 0, changed), true)
	return changed, kind == accepted
}

// route judges one route.
func (c *core) route(near *memo, f wire.Family, k trie.Key, n uint8, p *rib.Path) rib.Verdict {
	from := c.source(p.Peer)
	x := c.contextOf(f, from, near)
	r := getRoute(c.attrs, c.peer, from, f)
	defer r.release()
	r.setRoute(k, n, p)
	if c.nlri != nil && flowspec.Is(f) {
		if nlri, ok := c.nlri(k); ok {
			r.setDestination(nlri)
		}
	}
	o := c.run(r, &x, 0, p.Attrs)
	for o.kind() == stuck {
		t := c.terms[o.term()]
		id := o.id()
		r.setAttrs(id)
		r.slots, r.slotsValid = o.slots(), true
		held := t.cond.judge(r)
		r.slotsValid = false
		if held == failed {
			if r.err == nil { // it failed when it was settled
				t.cond.judge(r)
			}
			t.fail(r.err)
			break
		}
		if held == yes {
			var ok bool
			if id, ok = c.act(r, &x, o.term(), id); !ok || t.verdict == config.Reject {
				break
			}
			if t.verdict == config.Accept {
				return rib.Verdict{Attrs: id}
			}
		}
		o = c.run(r, &x, o.term()+1, id)
	}
	if v, final := o.verdict(p.Attrs); final {
		return v
	}
	return rib.Verdict{Attrs: p.Attrs, Filtered: rib.FilterPolicy}
}

// classes numbers sources by the facts that a policy looks at, from 1.
type classes struct {
	known sync.Map // *PeerFacts: uint32
	facts int      // in known

	mu    sync.Mutex
	byKey map[string]uint32
}

// Bounds of classes: numbers fit a key of memo, and facts that have gone are
// forgotten.
const (
	maxClasses = 1<<14 - 1
	maxFacts   = 1 << 12
)

// of returns the class of a source; ok is false where there are too many.
func (c *classes) of(p *PeerFacts, fields uint16) (n uint32, ok bool) {
	if n, ok := c.known.Load(p); ok {
		return n.(uint32), true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := string(p.appendFields(nil, fields))
	n, ok = c.byKey[key]
	if !ok {
		if len(c.byKey) >= maxClasses {
			return 0, false
		}
		if c.byKey == nil {
			c.byKey = map[string]uint32{}
		}
		n = uint32(len(c.byKey)) + 1
		c.byKey[key] = n
	}
	if c.facts >= maxFacts {
		c.known.Clear()
		c.facts = 0
	}
	c.known.Store(p, n)
	c.facts++
	return n, true
}
