package policy

import "slices"

// tri is what a condition, or a part of one, comes to. The order is of no
// meaning.
type tri uint8

const (
	no      tri = iota
	yes         // it holds
	failed      // it failed at run time
	unknown     // it looks at a prefix or path id that nobody has said yet
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

// op is what a node of a condition does.
type op uint8

const (
	opLeaf op = iota
	opAnd
	opOr
	opNot
	opCond // c ? a : b
)

// node is a condition or a part of one. It is never changed once it is made.
type node struct {
	op   op
	slot int8 // where a stuck outcome keeps what this part came to; -1: nowhere
	deps deps // of all below

	// The fields of peer and from that are looked at below, as bits.
	peer, from uint16

	kids []*node
	leaf func(*route) tri
	slow bool // the leaf, or one below, takes longer than memory does
}

// costly says whether judging an attribute set goes by a slow leaf.
func (n *node) costly() bool {
	return n.slow && n.deps&depRoute == 0 || slices.ContainsFunc(n.kids, (*node).costly)
}

// numSlots is how many parts of a condition a stuck outcome remembers.
const numSlots = 8

// judge judges a part. Where r has no route yet, what looks at one is unknown.
//
// It is CEL's logic: && is false if a side is, however the other fails, and || is
// true if a side is. A failure counts where the sides that are known do not
// decide; what is unknown may yet decide.
func (n *node) judge(r *route) tri {
	if n.slot >= 0 && r.slotsValid {
		return tri(r.slots >> (2 * n.slot) & 3)
	}
	switch n.op {
	case opLeaf:
		if n.deps&depRoute != 0 && !r.hasRoute {
			return unknown
		}
		if n.slow {
			r.costly = true
		}
		return n.leaf(r)
	case opNot:
		switch v := n.kids[0].judge(r); v {
		case yes:
			return no
		case no:
			return yes
		default:
			return v
		}
	case opCond:
		switch v := n.kids[0].judge(r); v {
		case yes:
			return n.kids[1].judge(r)
		case no:
			return n.kids[2].judge(r)
		default:
			return v
		}
	}
	decides, otherwise := no, yes
	if n.op == opOr {
		decides, otherwise = yes, no
	}
	worst := otherwise
	for _, k := range n.kids {
		switch v := k.judge(r); {
		case v == decides:
			return v
		case v == unknown, v == failed && worst != unknown:
			worst = v
		}
	}
	return worst
}

// join makes one node of nodes that && or || stands between, those of the same
// operator taken into one, what looks at a route after what does not, and what
// is slow last: the order means nothing for the result.
func join(o op, parts []*node) *node {
	var flat, early, late []*node
	for _, p := range parts {
		if p.op == o {
			flat = append(flat, p.kids...)
		} else {
			flat = append(flat, p)
		}
	}
	for _, p := range flat {
		if p.deps&depRoute == 0 {
			early = append(early, p)
		} else {
			late = append(late, p)
		}
	}
	for _, parts := range [][]*node{early, late} {
		slices.SortStableFunc(parts, func(a, b *node) int {
			switch {
			case a.slow == b.slow:
				return 0
			case b.slow:
				return -1
			}
			return 1
		})
	}
	if len(early) > 1 && len(late) > 0 {
		early = []*node{parent(o, early)}
	}
	return parent(o, append(early, late...))
}

// parent makes a node over others.
func parent(o op, kids []*node) *node {
	n := &node{op: o, slot: -1, kids: kids}
	for _, k := range kids {
		n.deps |= k.deps
		n.peer |= k.peer
		n.from |= k.from
		n.slow = n.slow || k.slow
	}
	return n
}

// number gives the largest parts that look at no route their slots, and returns
// how many there are. What is left without one is judged again for each route.
func (n *node) number(used int8) int8 {
	if n.deps&depRoute == 0 {
		if used < numSlots {
			n.slot = used
			used++
		}
		return used
	}
	for _, k := range n.kids {
		used = k.number(used)
	}
	return used
}

// settle judges what looks at no route, and returns it for the slots.
func (n *node) settle(r *route) (slots uint16) {
	if n.slot >= 0 {
		return uint16(n.judge(r)) << (2 * n.slot)
	}
	for _, k := range n.kids {
		slots |= k.settle(r)
	}
	return slots
}

// peerParts calls part for the largest parts that look at peer alone, and rest
// for the leaves that look at it among other things.
func (n *node) peerParts(fixed deps, part, rest func(*node)) {
	switch {
	case n.deps&^fixed == 0:
		part(n)
	case n.op == opLeaf:
		rest(n)
	default:
		for _, k := range n.kids {
			k.peerParts(fixed, part, rest)
		}
	}
}
