package rib

import (
	"math"

	"ribd/internal/slab"
)

// Blocks reads path blocks. A block is a run of words:
//
//	head      handle of the prefix in the forwarding image, 31 bits; the top
//	          bit says that a birth follows
//	birth     version that the block was born in, where a long view was held
//	          then: a block without is older than every view held
//	records   paths, best first, the last one flagged
//
// More than 64 paths are a list of chunks in the place of the records: a word
// with the peer number that no peer has and the number of chunks, the number
// of paths, a reference to each chunk. A chunk is a head (number of paths, the
// top bit as above), a birth, records. The next version of the block shares the
// chunks that stay the same.
type Blocks struct{ arena *slab.Arena }

// NewBlocks reads the blocks in an arena.
func NewBlocks(a *slab.Arena) Blocks { return Blocks{a} }

// words returns the words from ref to the end of its extent: no run crosses
// that.
func (b Blocks) words(ref uint32) []uint32 {
	return b.arena.Words(ref, slab.ExtentWords-ref&(slab.ExtentWords-1))
}

// Handle returns the handle in a block's head; 0 is none.
func (b Blocks) Handle(ref uint32) uint32 { return b.arena.Load(ref) & headHandle }

// body returns a block from its records or list of chunks on.
func (b Blocks) body(ref uint32) []uint32 {
	w := b.words(ref)
	return w[1+w[0]>>31:]
}

// FirstAttrs returns the attribute set of the first path of a block, or 0 where
// it has chunks: a hint for who reads many blocks.
func (b Blocks) FirstAttrs(ref uint32) AttrID {
	w := b.arena.Words(ref, 4)
	at := 1 + w[0]>>31
	if at == 2 || w[1]>>recPeerShift == MaxPeers {
		return 0
	}
	return AttrID(w[2])
}

// Records walks the records of a block: the quick way through a whole table.
// The zero value is at the end.
type Records struct {
	rec    []uint32 // from the current record on
	next   []uint32 // from the one after it on
	chunks []uint32 // that follow
	b      Blocks
}

// Records returns a cursor before the first path of a block.
func (b Blocks) Records(ref uint32) Records {
	body := b.body(ref)
	if body[0]>>recPeerShift == MaxPeers {
		n := body[0] & (1<<recPeerShift - 1)
		return Records{chunks: body[2 : 2+n], b: b}
	}
	return Records{next: body, b: b}
}

// Next goes to the next path, the best first.
func (r *Records) Next() bool {
	if r.next == nil {
		if len(r.chunks) == 0 {
			return false
		}
		r.next = r.b.body(r.chunks[0])
		r.chunks = r.chunks[1:]
	}
	r.rec = r.next
	if w0 := r.rec[0]; w0&recLast != 0 {
		r.next = nil
	} else {
		r.next = r.rec[recordWords(w0):]
	}
	return true
}

// Peer is the peer of the current path.
func (r *Records) Peer() PeerNum { return PeerNum(r.rec[0] >> recPeerShift) }

// Attrs is the attribute set of the current path.
func (r *Records) Attrs() AttrID { return AttrID(r.rec[1]) }

// Received is when the current path was received, in seconds since 1970.
func (r *Records) Received() uint32 { return r.rec[2] }

// Filtered says whether import refused the current path.
func (r *Records) Filtered() bool { return r.rec[0]&recFiltered != 0 }

// Stale says whether and why the current path is stale.
func (r *Records) Stale() Stale { return Stale(r.rec[0] & recStale >> recStaleShift) }

// Extra returns the attribute set before policy of the current path, 0 where it
// is that after policy, and its stack of labels, 0 where it has none.
func (r *Records) Extra() (pre AttrID, labels uint32) {
	if r.rec[0]&(recPre|recLabels) == 0 {
		return 0, 0
	}
	var it item
	it.read(r.rec)
	return it.pre, it.labels
}

// Path unpacks the current path; Rank is left as it is, and Best is of the
// first path alone, which the caller knows.
func (r *Records) Path(p *Path) {
	var it item
	it.read(r.rec)
	it.path(p)
}

// reason is the nibble of the current record.
func (r *Records) nibble() uint32 { return r.rec[0] & recNibble >> recNibbleShift }

// Len is the number of paths in a block, filtered ones too.
func (b Blocks) Len(ref uint32) (n int) {
	body := b.body(ref)
	if body[0]>>recPeerShift == MaxPeers {
		return int(body[1])
	}
	for {
		n++
		w0 := body[0]
		if w0&recLast != 0 {
			return n
		}
		body = body[recordWords(w0):]
	}
}

// Eligible says whether a block has a path that is not filtered and not of a
// peer that is down.
func (b Blocks) Eligible(ref uint32, down PeerSet) bool {
	rs := b.Records(ref)
	for rs.Next() {
		if rs.Filtered() {
			return false // they come last
		}
		if len(down) == 0 || !down.Has(rs.Peer()) {
			return true
		}
	}
	return false
}

// touches says whether a block has a path of a peer in the set.
func (b Blocks) touches(ref uint32, down PeerSet) bool {
	if len(down) == 0 {
		return false
	}
	rs := b.Records(ref)
	for rs.Next() {
		if down.Has(rs.Peer()) {
			return true
		}
	}
	return false
}

// Touches says whether a block has a path of a peer in the set.
func (b Blocks) Touches(ref uint32, set PeerSet) bool { return b.touches(ref, set) }

// Paths appends the paths of a block, best first and filtered ones last. Those
// of peers that are down are left out, and then r decides again between the
// others.
func (b Blocks) Paths(ref uint32, down PeerSet, r *Ranker, dst []Path) []Path {
	if b.touches(ref, down) {
		return b.decide(ref, down, r, dst)
	}
	rs := b.Records(ref)
	for i := 1; rs.Next(); i++ {
		dst = append(dst, Path{})
		p := &dst[len(dst)-1]
		rs.Path(p)
		p.Rank = uint16(min(i, math.MaxUint16))
		if i == 1 && p.Filtered == FilterNone {
			p.Best, p.Reason = true, Step(rs.nibble())
		}
	}
	return dst
}

// decide is Paths where some paths do not count.
func (b Blocks) decide(ref uint32, down PeerSet, r *Ranker, dst []Path) []Path {
	b.collect(ref, down, r)
	step := r.step()
	for i, x := range r.order {
		dst = append(dst, Path{})
		p := &dst[len(dst)-1]
		r.items[x].path(p)
		p.Rank = uint16(min(i+1, math.MaxUint16))
		if i == 0 && p.Filtered == FilterNone {
			p.Best, p.Reason = true, step
		}
	}
	return dst
}

func (b Blocks) collect(ref uint32, down PeerSet, r *Ranker) {
	r.items = r.items[:0]
	rs := b.Records(ref)
	for rs.Next() {
		if !down.Has(rs.Peer()) {
			r.items = append(r.items, item{})
			r.items[len(r.items)-1].read(rs.rec)
		}
	}
	r.rank()
}

// Best returns the best path, how many paths are not filtered, and whether
// these have more than one origin AS. n is 0 where there is none.
func (b Blocks) Best(ref uint32, down PeerSet, r *Ranker) (p Path, n int, manyOrigins bool) {
	if b.touches(ref, down) {
		b.collect(ref, down, r)
		for _, x := range r.order {
			if !r.items[x].filtered() {
				n++
			}
		}
		if n > 0 {
			r.items[r.order[0]].path(&p)
			p.Best, p.Reason, p.Rank = true, r.step(), 1
		}
		return p, n, r.manyOrigins()
	}
	rs := b.Records(ref)
	for rs.Next() && !rs.Filtered() {
		n++
		switch n {
		case 1:
			rs.Path(&p)
			p.Best, p.Reason, p.Rank = true, Step(rs.nibble()), 1
		case 2:
			manyOrigins = rs.nibble()&nibbleManyOrigins != 0
		}
	}
	return p, n, manyOrigins
}
