package rib

import (
	"slices"

	"ribd/internal/slab"
)

const (
	chunkPaths = 64 // of a new chunk; more paths in a block make chunks
	maxChunks  = 1<<recPeerShift - 1
)

// Editor makes new versions of blocks, for the one writer of a heap: Open, any
// number of changes, Commit or Drop.
//
// An operation of a shard that touches one prefix several times in a row opens
// its block once.
type Editor struct {
	Ranker
	b    Blocks
	heap *slab.Heap

	ref    uint32 // the block that was opened, 0: none yet
	size   uint32 // its words: of the directory, where it has chunks
	birth  uint32
	handle uint32
	chunks []uint32 // of the block that was opened
	ranked bool     // order is that of items
	dirty  bool
	anew   bool // order was made anew since Open: nibbles does not count

	nibbles [2]uint32 // of the first two records of the block that was opened

	fresh []uint32 // references of the chunks being written
	reuse []bool   // of e.chunks: kept in the next version

	written uint32  // words of the new block: of the directory, where it has chunks
	paths   [2]Path // of Change
}

// NewEditor makes an editor of the blocks in a heap.
func NewEditor(h *slab.Heap, attrs *Attrs, peers *Peers) *Editor {
	return &Editor{Ranker: Ranker{Attrs: attrs, Peers: peers}, b: NewBlocks(h.Arena()), heap: h}
}

// Open begins with the paths of a block, or none for reference 0.
func (e *Editor) Open(ref uint32) {
	e.ref, e.items, e.chunks = ref, e.items[:0], e.chunks[:0]
	e.fresh, e.reuse = e.fresh[:0], e.reuse[:0]
	e.handle, e.size, e.birth = 0, 0, 0
	e.dirty, e.ranked, e.anew = false, true, false
	e.order = e.order[:0]
	if ref == 0 {
		return
	}
	w := e.b.words(ref)
	e.handle = w[0] & headHandle
	head := 1 + w[0]>>31
	if head == 2 {
		e.birth = w[1]
	}
	body := w[head:]
	if body[0]>>recPeerShift == MaxPeers {
		n := body[0] & (1<<recPeerShift - 1)
		e.chunks = append(e.chunks, body[2:2+n]...)
		e.size = head + 2 + n
		for _, c := range e.chunks {
			e.open(e.b.body(c))
		}
	} else {
		e.size = head + e.open(body)
	}
}

func (e *Editor) open(body []uint32) (size uint32) {
	for {
		e.items = append(e.items, item{})
		if i := len(e.items) - 1; i < len(e.nibbles) {
			e.nibbles[i] = body[size] & recNibble
		}
		last := body[size]&recLast != 0
		size += e.items[len(e.items)-1].read(body[size:])
		e.order = append(e.order, int32(len(e.order)))
		if last {
			return size
		}
	}
}

// Handle is the handle of the block that was opened.
func (e *Editor) Handle() uint32 { return e.handle }

// Len is the number of paths as changed so far.
func (e *Editor) Len() int { return len(e.items) }

// Dirty says whether anything has changed since Open.
func (e *Editor) Dirty() bool { return e.dirty }

// PutResult says what Put did.
type PutResult struct {
	Added    bool // a path that was not there
	Same     bool // it was there, and just so but for the time
	Other    bool // the peer has another path of this prefix
	Filtered bool // the path that was replaced was
	Stale    bool // the path that was replaced was
}

// Put announces the path in a record as AppendRecord writes it, and returns the
// length of the record. It replaces the path with its key. mark is the
// generation bit that the path gets.
func (e *Editor) Put(rec []uint32, mark bool) (n uint32, res PutResult) {
	var it item
	n = it.read(rec)
	it.w0 &^= recMark
	if mark {
		it.w0 |= recMark
	}
	at := -1
	for i := range e.items {
		old := &e.items[i]
		if old.num() != it.num() {
			continue
		}
		if at < 0 && old.pathID == it.pathID && (old.w0^it.w0)&recPathID == 0 {
			at = i
		} else {
			res.Other = true
		}
	}
	if at < 0 {
		res.Added = true
		e.items = append(e.items, it)
		e.dirty, e.ranked = true, false
		return n, res
	}
	old := &e.items[at]
	res.Filtered = old.filtered()
	res.Stale = old.w0&recStale != 0
	res.Same = old.attrs == it.attrs && (old.w0^it.w0)&(recContent|recFilterNibble(it.w0)) == 0 && old.pre == it.pre && old.labels == it.labels
	if !res.Same || old.received != it.received || old.w0 != it.w0 {
		// What the ranking asks of a path is its key, its set, and these flags.
		const asked = recStale | recFiltered
		e.ranked = e.ranked && old.attrs == it.attrs && (old.w0^it.w0)&asked == 0
		*old = it
		e.dirty = true
	}
	return n, res
}

func recFilterNibble(w0 uint32) uint32 {
	if w0&recFiltered != 0 {
		return recNibble
	}
	return 0
}

// Remove takes a path away. ok is false where there is none with that key;
// other says that the peer has another path of this prefix.
func (e *Editor) Remove(peer PeerNum, hasPathID bool, pathID uint32, gone *Path) (other, ok bool) {
	at := -1
	for i := range e.items {
		it := &e.items[i]
		if it.num() != peer {
			continue
		}
		if at < 0 && it.same(peer, hasPathID, pathID) {
			at = i
		} else {
			other = true
		}
	}
	if at < 0 {
		return other, false
	}
	e.items[at].path(gone)
	e.remove(at)
	return other, true
}

func (e *Editor) remove(at int) {
	e.items = slices.Delete(e.items, at, at+1)
	e.dirty, e.ranked = true, false
}

// RemovePeers takes all paths of the peers in a set away and calls gone for
// each, with last set for the last of its peer.
func (e *Editor) RemovePeers(set PeerSet, gone func(p *Path, last bool)) {
	e.removeFunc(func(it *item) bool { return set.Has(it.num()) }, gone)
}

// RemoveUnmarked takes the paths of a peer away whose generation bit is not
// mark, and calls gone for each as RemovePeers does.
func (e *Editor) RemoveUnmarked(peer PeerNum, mark bool, gone func(p *Path, last bool)) {
	e.removeFunc(func(it *item) bool { return it.num() == peer && it.w0&recMark != 0 != mark }, gone)
}

// Unmarked says whether a block has a path that RemoveUnmarked would take.
func (b Blocks) Unmarked(ref uint32, peer PeerNum, mark bool) bool {
	rs := b.Records(ref)
	for rs.Next() {
		if rs.Peer() == peer && rs.rec[0]&recMark != 0 != mark {
			return true
		}
	}
	return false
}

// Mark sets the generation bit of all paths of a peer.
func (e *Editor) Mark(peer PeerNum, mark bool) {
	for i := range e.items {
		it := &e.items[i]
		if it.num() == peer && it.w0&recMark != 0 != mark {
			it.w0 ^= recMark
			e.dirty, e.ranked = true, false
		}
	}
}

func (e *Editor) removeFunc(drop func(*item) bool, gone func(p *Path, last bool)) {
	var p Path
	for i := 0; i < len(e.items); {
		it := &e.items[i]
		if !drop(it) {
			i++
			continue
		}
		it.path(&p)
		num := it.num()
		e.remove(i)
		last := !slices.ContainsFunc(e.items, func(o item) bool { return o.num() == num })
		gone(&p, last)
	}
}

// Best is the best path of a prefix, but for when it was received. OK is false,
// and the rest is zero, where there is none.
type Best struct {
	OK     bool
	Peer   PeerNum
	flags  uint32
	attrs  AttrID
	pre    AttrID
	pathID uint32
	labels uint32
}

func (it *item) best() Best {
	if it.filtered() {
		return Best{}
	}
	return Best{true, it.num(), it.w0 & (recPathID | recStale), it.attrs, it.pre, it.pathID, it.labels}
}

// Rank decides, if anything has changed, and returns the best path.
func (e *Editor) Rank() Best {
	if !e.ranked {
		e.rank()
		e.ranked, e.anew = true, true
	}
	if len(e.order) == 0 {
		return Best{}
	}
	return e.items[e.order[0]].best()
}

// FirstBest returns the best path of the block as it was opened: to be called
// before any change.
func (e *Editor) FirstBest() Best {
	if len(e.items) == 0 {
		return Best{}
	}
	return e.items[0].best()
}

// Rewrite makes Commit write a new block although nothing has changed, which is
// how blocks move.
func (e *Editor) Rewrite() { e.dirty, e.ranked = true, false }

// Commit writes the changed paths, of which there is one at least, as a new
// block, to be followed by Retire of the one that was opened, or by Discard of
// the new one. version is that of the batch, and held says whether a long view
// is held now. reserved may use the memory that is kept for removals. ok is
// false when the heap is at its cap; then nothing has changed.
func (e *Editor) Commit(handle, version uint32, held, reserved bool) (ref uint32, ok bool) {
	e.Rank()
	e.fresh, e.reuse, e.written = e.fresh[:0], e.reuse[:0], 0
	if len(e.items) > chunkPaths {
		return e.commitChunks(handle, version, held, reserved)
	}
	size := e.headWords(held)
	for i := range e.items {
		size += recordWords(e.items[i].w0)
	}
	ref, ok = e.alloc(size, reserved)
	if !ok {
		return 0, false
	}
	w := e.b.arena.Words(ref, size)
	n := writeHead(w, handle, version, held)
	last := len(e.order) - 1
	for i, x := range e.order {
		bits := e.nibble(i)
		if i == last {
			bits |= recLast
		}
		n += e.items[x].write(w[n:], bits)
	}
	e.written = size
	return ref, true
}

func (e *Editor) headWords(held bool) uint32 {
	if held {
		return 2
	}
	return 1
}

func writeHead(w []uint32, head, version uint32, held bool) uint32 {
	w[0] = head
	if !held {
		return 1
	}
	w[0] |= headBirth
	w[1] = version
	return 2
}

// nibble is what the record at position i of the order says of the table.
func (e *Editor) nibble(i int) uint32 {
	switch {
	case i > 1 || e.items[e.order[i]].filtered():
		return 0
	case !e.anew:
		return e.nibbles[i]
	case i == 0:
		return uint32(e.step()) << recNibbleShift
	case e.manyOrigins():
		return nibbleManyOrigins << recNibbleShift
	}
	return 0
}

func (e *Editor) alloc(n uint32, reserved bool) (uint32, bool) {
	if reserved {
		return e.heap.AllocReserved(n)
	}
	return e.heap.Alloc(n)
}

// Retire gives back the block that was opened, and those of its chunks that the
// new one does not share: after Commit, or when its prefix goes.
func (e *Editor) Retire() {
	if e.ref == 0 {
		return
	}
	e.heap.Retire(e.ref, e.size, e.birth)
	for i, c := range e.chunks {
		if i >= len(e.reuse) || !e.reuse[i] {
			e.retireChunk(c)
		}
	}
	e.ref = 0
}

// Discard frees the block that Commit has returned, which nobody has read. The
// one that was opened stays.
func (e *Editor) Discard(ref uint32) {
	e.heap.Free(ref, e.written)
	e.dropFresh()
}
