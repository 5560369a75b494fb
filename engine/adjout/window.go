package adjout

import (
	"slices"
	"sync"

	"ribd/shard/rib"
	"ribd/wire"
)

// window is entries of a run, in the order of their sets.
type window struct {
	set   *runSet
	fam   int
	lay   layout
	mode  mode
	made  uint64 // generation of the sets when it was collected
	known bool   // its own entries may be with a member, from before they were its own
	only  audiences
	lists map[uint32][]rib.PeerNum // by number: the sources of a prefix that is mixed
	users int                      // with the run's lock
	words []uint32
	order []uint64 // set, number of the entry before it was put in order

	mu     sync.Mutex
	enc    *wire.Encoder
	chunks []chunk
}

// chunk is messages with a part of a window, as members are sent them that have
// no route of their own in it.
type chunk struct {
	parcel
	from, upto int
	peers      rib.PeerSet   // who is sent something else
	some       []rib.PeerNum // sources whose routes are for some alone
	mixed      bool          // everybody is sent something else
}

func newWindow(s *runSet, fam int) *window {
	return &window{set: s, fam: fam, lay: s.g.states[fam].lay, mode: s.g.judge.fams[fam].mode, made: s.g.m.rib.Attrs().Generation()}
}

// stale says whether sets in the window may have ended: those that no entry of
// the state has any more.
func (w *window) stale() bool { return w.set.g.m.rib.Attrs().Generation() > w.made+1 }

// add takes an entry in. The group's lock is held.
func (w *window) add(st *state, e []uint32, attrs uint32) {
	if w.mode == modeServer && len(w.only) > 0 {
		p := w.lay.prefix(e, st.table)
		if head := st.find(&p, st.hash(&p)); st.isMixed(head) {
			if w.lists == nil {
				w.lists = map[uint32][]rib.PeerNum{}
			}
			w.lists[uint32(len(w.words)/w.lay.stride)] = st.sources(head, nil)
		}
	}
	w.order = append(w.order, uint64(attrs)<<32|uint64(len(w.words)/w.lay.stride))
	w.words = append(w.words, e...)
}

// sort puts the entries in order, by their sets alone.
func (w *window) sort() {
	const digit = 11
	var most uint64
	for _, o := range w.order {
		most = max(most, o>>32)
	}
	spare := make([]uint64, len(w.order))
	for shift := uint(32); most>>(shift-32) > 0; shift += digit {
		var at [1<<digit + 1]int
		for _, o := range w.order {
			at[o>>shift&(1<<digit-1)+1]++
		}
		for i := 1; i < len(at); i++ {
			at[i] += at[i-1]
		}
		for _, o := range w.order {
			d := o >> shift & (1<<digit - 1)
			spare[at[d]] = o
			at[d]++
		}
		w.order, spare = spare, w.order
	}
	// The entries too: one pass that waits for nothing is quicker than to look
	// for each while it is encoded.
	stride := w.lay.stride
	words := make([]uint32, len(w.words))
	for i, o := range w.order {
		at := int(uint32(o)) * stride
		copy(words[i*stride:(i+1)*stride], w.words[at:at+stride])
	}
	w.words = words
}

// chunkSize is about how many octets a chunk has; it ends with a set, but where
// that alone is very long.
const chunkSize = 64 << 10

// chunk returns chunk i for a member; ok is false past the last.
func (w *window) chunk(i int, mb *Member) (p parcel, ok bool) {
	w.mu.Lock()
	for len(w.chunks) <= i {
		from := 0
		if n := len(w.chunks); n > 0 {
			from = w.chunks[n-1].upto
		}
		if from == len(w.order) {
			w.mu.Unlock()
			return parcel{}, false
		}
		if w.enc == nil {
			w.enc = wire.NewEncoder(w.set.g.t.Send)
		}
		w.chunks = append(w.chunks, w.encode(from))
	}
	c := &w.chunks[i]
	w.mu.Unlock()
	if c.mixed || c.peers.Has(mb.t.Num) || len(c.some) > 0 && slices.ContainsFunc(c.some, func(src rib.PeerNum) bool { return !w.only.reach(src, &mb.t) }) {
		return w.private(c, mb), true
	}
	return c.parcel, true
}

// encode makes the chunk from an entry on.
func (w *window) encode(from int) chunk {
	c := chunk{from: from}
	w.enc.Reset()
	last, size, open := uint64(1<<63), 0, false // no set
	i := from
	for ; i < len(w.order); i++ {
		e := w.entry(i)
		w.special(i, e, &c)
		if w.isAlt(e) || w.listOf(i) != nil {
			continue
		}
		id := w.order[i] >> 32
		if id != last {
			if size >= chunkSize {
				break
			}
			open = w.set.g.m.openSet(w.enc, w.lay.family, rib.AttrID(id))
			attrs, _ := w.set.g.m.rib.Attrs().Bytes(rib.AttrID(id))
			size += wire.HeaderLen + 4 + len(attrs)
			last = id
		} else if size >= 4*chunkSize {
			break
		}
		if !open {
			continue
		}
		if id == 0 {
			c.withdraws++
		}
		w.route(w.enc, e)
		size += 8 * (w.lay.stride - wKey)
	}
	c.upto = i
	c.msgs = append([]byte(nil), w.enc.Flush()...)
	c.updates = countMessages(c.msgs)
	return c
}

func (w *window) entry(i int) []uint32 {
	return w.words[i*w.lay.stride : (i+1)*w.lay.stride]
}

func (w *window) isAlt(e []uint32) bool { return w.mode == modeServer && w.lay.id(e) != idMain }

// listOf returns the sources of the prefix of entry i where it is mixed.
func (w *window) listOf(i int) []rib.PeerNum {
	if w.lists == nil {
		return nil
	}
	return w.lists[uint32(w.order[i])]
}

// special notes who is sent something else than entry i says.
func (w *window) special(i int, e []uint32, c *chunk) {
	peer := entryPeer(e)
	if w.isAlt(e) {
		peer = rib.PeerNum(e[w.lay.chain+chainFrom])
	}
	if peer != noMember && !c.peers.Has(peer) {
		c.peers = c.peers.With(peer)
	}
	if len(w.only) == 0 {
		return
	}
	if w.listOf(i) != nil {
		c.mixed = true
	}
	if w.only.restricted(peer) && !slices.Contains(c.some, peer) {
		c.some = append(c.some, peer)
	}
}

func (w *window) route(enc *wire.Encoder, e []uint32) {
	p := w.lay.prefix(e, 0)
	id := w.lay.id(e)
	w.set.g.route(enc, &w.lay, &p, w.lay.labelsOf(e), id)
}

// what a member is sent for an entry.
type what uint8

const (
	nothing what = iota
	announce
	withdraw
)

// to says what a member is sent for entry i.
func (w *window) to(i int, e []uint32, t *Target) what {
	meta := e[wMeta]
	does := announce
	if meta&entryDead != 0 {
		does = withdraw
	}
	if list := w.listOf(i); list != nil {
		return w.ofList(list, does, e, t)
	}
	switch {
	case w.isAlt(e):
		if rib.PeerNum(e[w.lay.chain+chainFrom]) != t.Num {
			return nothing
		}
		return does
	case w.only.reach(entryPeer(e), t):
		return does
	case meta&(entryConst|entryFresh) != 0 || !w.known:
		return nothing // not for it, and was never sent it
	case does == announce && w.mode == modeServer && meta&entryAlt != 0:
		return nothing // another entry has what it is sent instead
	}
	return withdraw
}

// ofList is to for an entry of a prefix that is mixed: the main entry stands for
// what a member is sent no more.
func (w *window) ofList(list []rib.PeerNum, does what, e []uint32, t *Target) what {
	n := w.only.first(list, t)
	switch {
	case n < 0 && w.lay.id(e) == idMain && w.known:
		return withdraw
	case n >= 0 && w.lay.id(e) == uint32(n) && does == announce:
		return announce
	}
	return nothing
}

// private encodes a chunk for a member of which routes are in it.
func (w *window) private(c *chunk, mb *Member) (p parcel) {
	if mb.enc == nil {
		mb.enc = wire.NewEncoder(mb.t.Send)
	}
	g := w.set.g
	mb.enc.Reset()
	taken := false
	for i := c.from; i < c.upto; i++ {
		if e := w.entry(i); w.to(i, e, &mb.t) == withdraw {
			if !taken {
				mb.enc.Withdraw(w.lay.family)
				taken = true
			}
			w.route(mb.enc, e)
			p.withdraws++
		}
	}
	last, open := uint64(0), false
	for i := c.from; i < c.upto; i++ {
		e := w.entry(i)
		if w.to(i, e, &mb.t) != announce {
			continue
		}
		if id := w.order[i] >> 32; id != last {
			open = g.m.openSet(mb.enc, w.lay.family, rib.AttrID(id))
			last = id
		}
		if open {
			w.route(mb.enc, e)
		}
	}
	p.msgs = mb.enc.Flush()
	p.updates = countMessages(p.msgs)
	return p
}
