package rib

import (
	"encoding/binary"
	"math"
	"slices"

	"ribd/wire"
)

// Bits of the decision key, which orders paths by all that comes before MED;
// less is better. Below keyStale: LOCAL_PREF inverted, length of AS_PATH,
// ORIGIN.
const (
	keyFiltered = 1 << 63
	keyNotLive  = 1 << 62
	keyNotLocal = 1 << 61
	keyLLGR     = 1 << 60

	keyLocalPrefShift = 24
	keyPathLenShift   = 8
)

// Ranker orders the paths of a prefix, best first. It holds scratch memory and
// belongs to one goroutine.
//
// The order is that of deciding again and again: the best path by RFC 4271
// section 9.1, then the best of those that are left, and so on. MED compares
// only paths of one neighbour AS, so it gives no order between all paths, and
// taking the worst away can change which of two others is better. The ranking
// is nevertheless unique and does not depend on the order of arrival: among
// paths that are equal up to MED, those of one neighbour AS are sorted by MED
// and what follows it, and these lists are merged by what follows MED alone.
// At each point the head of a list is the path that the elimination of
// section 9.1.2.2 c would leave of its neighbour AS, so the least head is what
// section 9.1 selects ("deterministic MED").
//
// Paths without a neighbour AS (an empty AS_PATH) count as of one neighbour.
type Ranker struct {
	Attrs *Attrs
	Peers *Peers

	items []item
	order []int32
	heads []int32
}

// load asks the tables for what the decision process wants to know of an item.
func (r *Ranker) load(it *item) {
	e := r.Attrs.sets.entries
	base := uint32(it.attrs) * sumWords
	rest := e.Load(base + sumRest)
	it.rest = rest
	it.med = e.Load(base + sumMED)
	it.neighbor = e.Load(base + sumNeighbor)
	it.originAS = e.Load(base + sumOriginAS)
	key := uint64(^e.Load(base+sumLocalPref))<<keyLocalPrefShift |
		uint64(rest>>16)<<keyPathLenShift | uint64(rest>>8&0xff)
	if it.w0&recStale == uint32(StaleLLGR)<<recStaleShift || rest&sumLLGRStale != 0 {
		key |= keyLLGR
	}
	if it.w0&recFiltered != 0 {
		key |= keyFiltered
	}
	if p := r.Peers.Get(it.num()); p != nil {
		key |= p.rank
	}
	it.key = key
}

// rank orders r.items into r.order. They are nearly in order as a rule.
func (r *Ranker) rank() {
	n := len(r.items)
	r.order = slices.Grow(r.order[:0], n)[:n]
	for i := range r.items {
		r.load(&r.items[i])
		r.order[i] = int32(i)
	}
	if !r.insertionSort() {
		slices.SortFunc(r.order, func(a, b int32) int { return r.compare(a, b) })
	}
	for i := 0; i+1 < n; {
		key := r.items[r.order[i]].key
		j := i + 1
		for j < n && r.items[r.order[j]].key == key {
			j++
		}
		if j-i > 1 && key&keyFiltered == 0 {
			r.settleMED(r.order[i:j])
		}
		i = j
	}
}

// insertionSort gives up where the paths are far from their order.
func (r *Ranker) insertionSort() bool {
	budget := 4*len(r.order) + 16
	for i := 1; i < len(r.order); i++ {
		x := r.order[i]
		j := i
		for ; j > 0 && r.compare(x, r.order[j-1]) < 0; j-- {
			r.order[j] = r.order[j-1]
			budget--
		}
		r.order[j] = x
		if budget < 0 {
			return false
		}
	}
	return true
}

// compare orders two items by everything but MED.
func (r *Ranker) compare(a, b int32) int {
	x, y := &r.items[a], &r.items[b]
	if x.key != y.key {
		if x.key < y.key {
			return -1
		}
		return 1
	}
	c, _ := r.compareTail(x, y)
	return c
}

// compareTail orders two items by the steps after MED, and says which decided.
func (r *Ranker) compareTail(x, y *item) (int, Step) {
	px, py := r.Peers.Get(x.num()), r.Peers.Get(y.num())
	if px != nil && py != nil && px != py {
		if px.Internal != py.Internal {
			if py.Internal {
				return -1, StepExternal
			}
			return 1, StepExternal
		}
	}
	if px != py || (x.rest|y.rest)&sumReflected != 0 {
		if a, b := r.routerID(x, px), r.routerID(y, py); a != b {
			return order(a < b), StepRouterID
		}
		if (x.rest|y.rest)&sumReflected != 0 {
			if a, b := r.clusters(x), r.clusters(y); a != b {
				return order(a < b), StepClusterList
			}
		}
		if px != nil && py != nil {
			if px.hi != py.hi {
				return order(px.hi < py.hi), StepPeerAddress
			}
			if px.lo != py.lo {
				return order(px.lo < py.lo), StepPeerAddress
			}
		}
	}
	if hx, hy := x.w0&recPathID, y.w0&recPathID; hx != hy {
		return order(hx < hy), StepPathID
	}
	if x.pathID != y.pathID {
		return order(x.pathID < y.pathID), StepPathID
	}
	return order(x.w0>>recPeerShift < y.w0>>recPeerShift), StepPeerNumber
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}

func (r *Ranker) routerID(it *item, p *Peer) uint32 {
	if it.rest&sumReflected != 0 {
		if b, ok := r.Attrs.Bytes(it.attrs); ok {
			if v, ok := wire.FindAttr(b, wire.AttrOriginatorID); ok && len(v) == 4 {
				return binary.BigEndian.Uint32(v)
			}
		}
	}
	if p != nil {
		return p.RouterID
	}
	return math.MaxUint32
}

func (r *Ranker) clusters(it *item) int {
	if it.rest&sumReflected != 0 {
		if b, ok := r.Attrs.Bytes(it.attrs); ok {
			v, _ := wire.FindAttr(b, wire.AttrClusterList)
			return len(v)
		}
	}
	return 0
}

// settleMED puts MED into a run of items that are equal up to it and sorted by
// what follows it.
func (r *Ranker) settleMED(run []int32) {
	if !r.medMatters(run) {
		return
	}
	// Sort into lists of one neighbour, by MED and what follows.
	slices.SortFunc(run, func(a, b int32) int {
		x, y := &r.items[a], &r.items[b]
		switch {
		case x.neighbor != y.neighbor:
			return order(x.neighbor < y.neighbor)
		case x.med != y.med:
			return order(x.med < y.med)
		}
		return r.compare(a, b)
	})
	// Merge the lists: heads holds what is left of each, as positions in run.
	lists := slices.Grow(r.heads[:0], 2*len(run))
	merged := lists[len(run) : len(run) : 2*len(run)]
	for i := range run {
		if i == 0 || r.items[run[i]].neighbor != r.items[run[i-1]].neighbor {
			lists = append(lists, int32(i))
		}
	}
	r.heads = lists
	for len(merged) < len(run) {
		best := -1
		for l, at := range lists {
			if at >= 0 && (best < 0 || r.compare(run[at], run[lists[best]]) < 0) {
				best = l
			}
		}
		at := lists[best]
		merged = append(merged, run[at])
		next := at + 1
		if int(next) == len(run) || r.items[run[next]].neighbor != r.items[run[at]].neighbor {
			next = -1
		}
		lists[best] = next
	}
	copy(run, merged)
}

// medMatters says whether two items of the run have one neighbour and not one
// MED.
func (r *Ranker) medMatters(run []int32) bool {
	first := &r.items[run[0]]
	mixed := false
	for _, i := range run[1:] {
		mixed = mixed || r.items[i].med != first.med
	}
	if !mixed {
		return false
	}
	if len(run) > 64 {
		return true
	}
	for i, a := range run {
		x := &r.items[a]
		for _, b := range run[:i] {
			if y := &r.items[b]; x.neighbor == y.neighbor && x.med != y.med {
				return true
			}
		}
	}
	return false
}

// step says what decided for the first item of the order against the second.
func (r *Ranker) step() Step {
	if len(r.order) == 0 || r.items[r.order[0]].filtered() {
		return StepNone
	}
	x := &r.items[r.order[0]]
	if len(r.order) == 1 || r.items[r.order[1]].filtered() {
		return StepOnlyPath
	}
	y := &r.items[r.order[1]]
	if d := x.key ^ y.key; d != 0 {
		switch {
		case d&keyNotLive != 0:
			return StepLive
		case d&keyNotLocal != 0:
			return StepLocalOrigin
		case d&keyLLGR != 0:
			return StepStale
		case d>>keyLocalPrefShift != 0:
			return StepLocalPref
		case d>>keyPathLenShift != 0:
			return StepASPathLength
		}
		return StepOrigin
	}
	if x.neighbor == y.neighbor && x.med != y.med {
		return StepMED
	}
	_, s := r.compareTail(x, y)
	return s
}

// manyOrigins says whether the paths that are not filtered have more than one
// origin AS; paths without one do not count.
func (r *Ranker) manyOrigins() bool {
	var first uint32
	seen := false
	for i := range r.items {
		it := &r.items[i]
		if it.filtered() || it.rest&sumHasOrigin == 0 {
			continue
		}
		if seen && it.originAS != first {
			return true
		}
		first, seen = it.originAS, true
	}
	return false
}
