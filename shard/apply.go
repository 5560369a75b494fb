package shard

import (
	"ribd/shard/rib"
	"ribd/trie"
)

// openPrefix is the prefix whose block is in the editor: operations on one
// prefix that follow each other are one change of its block.
type openPrefix struct {
	t       *table
	key     trie.Key
	n       uint8
	ref     uint32 // its block before, 0: none
	best    rib.Best
	removal bool // a path was taken away: it may use the reserve
	changes []change
	records [][6]uint32 // of the changes, while somebody follows the feed
}

// change is one path that came, changed or went.
type change struct {
	peer                             rib.PeerNum
	paths, prefixes, filtered, stale int8
	kind                             ChangeKind
	swept                            bool
}

// apply does the operations of a batch.
func (s *shard) apply(w []uint32) {
	s.rec = record{}
	for len(w) > 0 {
		h := w[0]
		n := uint8(h >> opLenShift)
		k := trie.Key{Hi: uint64(w[1]) << 32}
		w = w[2:]
		switch {
		case h&opKey2 != 0:
			k.Hi |= uint64(w[0])
			w = w[1:]
		case h&opKey4 != 0:
			k.Hi |= uint64(w[0])
			k.Lo = uint64(w[1])<<32 | uint64(w[2])
			w = w[3:]
		}
		t := rib.TableID(h >> opTabShift)
		if h&opTable != 0 {
			t = rib.TableID(w[0])
			w = w[1:]
		}
		// An operation on a prefix of which more follow goes by the editor.
		o := &s.open
		isOpen := o.t != nil && o.t.info.id == t && o.key == k && o.n == n
		switch {
		case h&opWithdraw != 0:
			peer, id := rib.PeerNum(w[0]), uint32(0)
			w = w[1:]
			if h&opPathID != 0 {
				id = w[0]
				w = w[1:]
			}
			if !isOpen {
				s.finish()
				tb := s.table(t)
				ref := tb.tree.Find(k, n)
				if !follows(w, h, k) && s.unroute(tb, k, n, ref, peer, h&opPathID != 0, id) {
					continue
				}
				s.openAt(tb, k, n, ref)
			}
			s.withdraw(peer, h&opPathID != 0, id)
			continue
		case h&opSame == 0 && !rib.RecordLast(w):
			if !isOpen {
				s.finish()
				tb := s.table(t)
				s.openAt(tb, k, n, tb.tree.Find(k, n))
			}
			w = s.announce(w)
			continue
		case h&opSame == 0:
			s.setRecord(w)
			w = w[len(s.rec.words):]
		}
		if !s.rec.ok {
			s.stats.late.Add(1)
			continue
		}
		if !isOpen {
			s.finish()
			tb := s.table(t)
			ref := tb.tree.Find(k, n)
			if !follows(w, h, k) && s.route(tb, k, n, ref) {
				continue
			}
			s.openAt(tb, k, n, ref)
		}
		s.put(s.rec.words)
	}
}

// follows says whether the next operation may be one on the same prefix.
func follows(w []uint32, h uint32, k trie.Key) bool {
	return len(w) > 1 && (w[0]^h)>>opLenShift == 0 && w[1] == uint32(k.Hi>>32)
}

// openAt takes the block at ref of a prefix, 0 for none, into the editor.
func (s *shard) openAt(tb *table, k trie.Key, n uint8, ref uint32) {
	o := &s.open
	o.t, o.key, o.n = tb, k, n
	o.ref = ref
	s.editor.Open(ref)
	o.best = s.editor.FirstBest()
	o.removal = false
	o.changes, o.records = o.changes[:0], o.records[:0]
}

// announce does the records at the front of w up to the last of the operation.
func (s *shard) announce(w []uint32) []uint32 {
	for {
		num := rib.RecordPeer(w)
		peer := s.r.peers.known.Get(num)
		if peer == nil || peer.Down.Load() || !s.r.attrs.Valid(rib.AttrID(w[1])) {
			n, last := rib.SkipRecord(w)
			w = w[n:]
			s.stats.late.Add(1)
			if last {
				return w
			}
			continue
		}
		n := s.put(w)
		last := rib.RecordLast(w)
		w = w[n:]
		if last {
			return w
		}
	}
}

// put announces the path in the record at the front of w for the open prefix,
// and returns its length.
func (s *shard) put(w []uint32) (n uint32) {
	num := rib.RecordPeer(w)
	n, res := s.editor.Put(w, s.marked(num, s.open.t.info.index))
	c := change{peer: num, kind: ChangeAnnounce}
	if res.Added {
		c.paths = 1
		if !res.Other {
			c.prefixes = 1
		}
	}
	filtered, stale := rib.RecordState(w)
	c.filtered = bit(filtered) - bit(res.Filtered)
	c.stale = bit(stale) - bit(res.Stale)
	if s.feed.on {
		o := &s.open
		o.records = append(o.records, [6]uint32{})
		copy(o.records[len(o.records)-1][:], w[:n])
	}
	s.open.changes = append(s.open.changes, c)
	return n
}

func bit(b bool) int8 {
	if b {
		return 1
	}
	return 0
}

func (s *shard) withdraw(peer rib.PeerNum, hasPathID bool, id uint32) {
	var gone rib.Path
	other, ok := s.editor.Remove(peer, hasPathID, id, &gone)
	if ok {
		s.removed(&gone, !other)
	}
}

// removed notes that a path was taken out of the open prefix; last says that
// the peer has no other there. A path of a peer that is down was gone before.
func (s *shard) removed(p *rib.Path, last bool) {
	c := change{
		peer: p.Peer, kind: ChangeWithdraw, swept: s.down.Has(p.Peer), paths: -1,
		prefixes: -bit(last), filtered: -bit(p.Filtered != rib.FilterNone), stale: -bit(p.Stale != rib.StaleNo),
	}
	if o := &s.open; s.feed.on {
		o.records = append(o.records, [6]uint32{})
		rib.AppendRecord(o.records[len(o.records)-1][:0], p, true)
	}
	s.open.changes = append(s.open.changes, c)
	s.open.removal = true
}

// finish writes the open prefix, if it has changed.
func (s *shard) finish() {
	o := &s.open
	if o.t == nil {
		return
	}
	if s.editor.Dirty() {
		if s.write() || o.removal && s.insist() {
			s.account()
		} else {
			s.refuse()
		}
	}
	o.t = nil
}

// insist writes a removal that found no memory once readers have left some.
func (s *shard) insist() bool {
	o := &s.open
	t := o.t
	s.feed.stay = true
	defer func() { s.feed.stay = false }()
	for range 20 {
		o.t = nil // publish does not finish it
		s.publish()
		s.wait()
		s.begin()
		o.t = s.table(t.info.id)
		if s.write() {
			return true
		}
	}
	return false
}

// write makes the block of the open prefix what the editor holds. false: there
// is no memory, and nothing has changed.
func (s *shard) write() bool {
	o, e := &s.open, s.editor
	if e.Len() == 0 {
		return o.ref == 0 || s.writeGone()
	}
	eligible := e.Rank().OK
	had := e.Handle()
	handle := had
	switch {
	case o.t.image == nil:
	case eligible && had == 0:
		h, ok := s.handles.Alloc(o.n, 0)
		if !ok {
			return false
		}
		handle = h
	case !eligible:
		handle = 0
	}
	ref, ok := e.Commit(handle, s.version, s.held, o.removal)
	if !ok {
		if handle != had && handle != 0 {
			s.handles.Free(handle)
		}
		return false
	}
	if _, ok = o.t.tree.Set(o.key, o.n, ref); !ok {
		e.Discard(ref)
		if handle != had && handle != 0 {
			s.handles.Free(handle)
		}
		return false
	}
	if handle != 0 {
		s.r.hs.Store(handle, ref)
	}
	switch {
	case handle == had:
	case handle == 0:
		s.unimage(o.t, o.key, o.n, had)
	case s.deferImage(o.t, o.key, o.n):
	case !o.t.image.Insert(o.key, o.n, handle):
		// The node is this batch's by now: taking the value back needs no
		// memory.
		if o.ref == 0 {
			o.t.tree.Delete(o.key, o.n)
		} else {
			o.t.tree.Set(o.key, o.n, o.ref)
		}
		e.Discard(ref)
		s.handles.Free(handle)
		return false
	}
	e.Retire()
	s.touch(o.t)
	return true
}

// writeGone takes the open prefix out of the table.
func (s *shard) writeGone() bool {
	o, e := &s.open, s.editor
	if o.t.tree.Delete(o.key, o.n) == 0 {
		return false
	}
	if h := e.Handle(); h != 0 {
		s.unimage(o.t, o.key, o.n, h)
	}
	e.Retire()
	s.touch(o.t)
	return true
}

// unimage takes a prefix out of the forwarding image.
func (s *shard) unimage(tb *table, k trie.Key, n uint8, handle uint32) {
	if s.deferImage(tb, k, n) {
		s.handles.Retire(handle)
		return
	}
	parent, l := uint32(0), n
	for l > 0 && parent == 0 {
		v, m := tb.tree.Match(k, l-1)
		if v == 0 {
			break
		}
		parent, l = s.r.read.Handle(v), m
	}
	tb.image.Delete(k, n, handle, parent)
	s.handles.Retire(handle)
}

// refuse counts what found no memory.
func (s *shard) refuse() {
	s.stats.refused.Add(uint64(len(s.open.changes)))
}

// account counts the changes of the open prefix and tells the feed.
func (s *shard) account() {
	o := &s.open
	fam := o.t.info.index
	var paths int64
	best := s.editor.Rank()
	for i := range o.changes {
		c := &o.changes[i]
		paths += int64(c.paths)
		if c.paths|c.prefixes|c.filtered|c.stale != 0 {
			d := s.delta(c.peer, fam)
			d.paths += int64(c.paths)
			d.prefixes += int64(c.prefixes)
			d.filtered += int64(c.filtered)
			d.stale += int64(c.stale)
		}
		if s.feed.on {
			s.feed.add(c.kind, c.swept, best == o.best, o.t, o.key, o.n, o.records[i][:])
		}
	}
	o.t.paths += paths
	switch now := s.editor.Len() > 0; {
	case now && o.ref == 0:
		o.t.prefixes++
	case !now && o.ref != 0:
		o.t.prefixes--
	}
	if best.Peer != o.best.Peer {
		if o.best.OK {
			s.delta(o.best.Peer, fam).best--
		}
		if best.OK {
			s.delta(best.Peer, fam).best++
		}
	}
	if !s.feed.on {
		s.feed.skip(len(o.changes))
	}
}
