package shard

import (
	"ribd/shard/rib"
	"ribd/trie"
)

// record is the path of an announcement, and what is known of it once for all
// prefixes that it is announced for.
type record struct {
	words    []uint32 // in the batch; nil: none
	ok       bool     // its peer is there, its set is valid
	peer     rib.PeerNum
	filtered int8
	stale    int8

	table *table // for which the rest is
	mark  bool
	delta *famDelta
}

// setRecord takes the record at the front of w.
func (s *shard) setRecord(w []uint32) {
	n, _ := rib.SkipRecord(w)
	filtered, stale := rib.RecordState(w)
	s.rec = record{words: w[:n], peer: rib.RecordPeer(w), filtered: bit(filtered), stale: bit(stale)}
	peer := s.r.peers.known.Get(s.rec.peer)
	s.rec.ok = peer != nil && !peer.Down.Load() && s.r.attrs.Valid(rib.AttrID(w[1]))
}

// counts returns the open counts of the record's peer in a table.
func (s *shard) recordCounts(tb *table) *famDelta {
	r := &s.rec
	if r.table != tb {
		r.table, r.mark = tb, s.marked(r.peer, tb.info.index)
		r.delta = s.delta(r.peer, tb.info.index)
	}
	if !r.delta.listed {
		r.delta = s.delta(r.peer, tb.info.index)
	}
	return r.delta
}

// route announces the record for the prefix k/n with the block at ref, 0 for none,
// which is not open. It returns
// false, and has changed nothing, where the prefix has other paths, its place in
// the image changes, or there is no memory: then the editor does it.
func (s *shard) route(tb *table, k trie.Key, n uint8, ref uint32) bool {
	d := s.recordCounts(tb)
	if ref == 0 {
		return s.routeNew(tb, k, n, d)
	}
	r := &s.rec
	old, ok := s.r.read.Single(ref)
	if !ok || !old.IsOf(r.words) {
		return false
	}
	wasFiltered, wasStale := rib.RecordState(old.Record())
	if bit(wasFiltered) != r.filtered {
		return false
	}
	if old.Same(r.words, r.mark) {
		return true
	}
	ref, ok = s.editor.WriteSingle(r.words, r.mark, old.Handle, s.version, s.held, false)
	if !ok {
		return false
	}
	if _, ok = tb.tree.Set(k, n, ref); !ok {
		s.editor.DiscardSingle(ref, r.words, s.held)
		return false
	}
	if old.Handle != 0 {
		s.r.hs.Store(old.Handle, ref)
	}
	s.editor.RetireSingle(&old)
	s.touch(tb)
	d.stale += int64(r.stale - bit(wasStale))
	s.tell(ChangeAnnounce, s.feed.on && old.SameBest(r.words), tb, k, n, r.words)
	return true
}

// routeNew is route for a prefix that is not there.
func (s *shard) routeNew(tb *table, k trie.Key, n uint8, d *famDelta) bool {
	r := &s.rec
	handle := uint32(0)
	if tb.image != nil && r.filtered == 0 {
		h, ok := s.handles.Alloc(n, 0)
		if !ok {
			return false
		}
		handle = h
	}
	ref, ok := s.editor.WriteSingle(r.words, r.mark, handle, s.version, s.held, false)
	if !ok {
		if handle != 0 {
			s.handles.Free(handle)
		}
		return false
	}
	if _, ok = tb.tree.Set(k, n, ref); ok && handle != 0 {
		s.r.hs.Store(handle, ref)
		if !s.deferImage(tb, k, n) && !tb.image.Insert(k, n, handle) {
			tb.tree.Delete(k, n) // the node is this batch's: no memory is needed
			ok = false
		}
	}
	if !ok {
		s.editor.DiscardSingle(ref, r.words, s.held)
		if handle != 0 {
			s.handles.Free(handle)
		}
		return false
	}
	s.touch(tb)
	tb.paths++
	tb.prefixes++
	d.paths++
	d.prefixes++
	d.filtered += int64(r.filtered)
	d.stale += int64(r.stale)
	d.best += int64(1 - r.filtered)
	s.tell(ChangeAnnounce, r.filtered != 0, tb, k, n, r.words)
	return true
}

// unroute withdraws the only path of the prefix k/n with the block at ref. It
// returns false, and has changed nothing, where there are others, or no memory.
func (s *shard) unroute(tb *table, k trie.Key, n uint8, ref uint32, peer rib.PeerNum, hasPathID bool, id uint32) bool {
	if ref == 0 {
		return true
	}
	old, ok := s.r.read.Single(ref)
	if !ok {
		return false
	}
	return !old.Is(peer, hasPathID, id) || s.unrouteOnly(tb, k, n, &old)
}

// unrouteOnly takes the only path of the prefix k/n away, which was just looked
// for. It returns false, and has changed nothing, where there is no memory.
func (s *shard) unrouteOnly(tb *table, k trie.Key, n uint8, old *rib.Single) bool {
	if tb.tree.Delete(k, n) == 0 {
		return false
	}
	peer := rib.RecordPeer(old.Record())
	if old.Handle != 0 {
		s.unimage(tb, k, n, old.Handle)
	}
	s.editor.RetireSingle(old)
	s.touch(tb)
	tb.paths--
	tb.prefixes--
	d := s.unrouted
	if d == nil || !d.listed || d.peer != peer || d.fam != tb.info.index {
		d = s.delta(peer, tb.info.index)
		s.unrouted = d
	}
	filtered, stale := rib.RecordState(old.Record())
	d.paths--
	d.prefixes--
	d.filtered -= int64(bit(filtered))
	d.stale -= int64(bit(stale))
	d.best -= int64(1 - bit(filtered))
	s.tell(ChangeWithdraw, filtered, tb, k, n, old.Record())
	return true
}

// dropOnly takes the only path of a prefix away, if its peer is in the set: what
// most prefixes of a peer that goes are.
func (s *shard) dropOnly(tb *table, k trie.Key, n uint8, ref uint32, peers rib.PeerSet) bool {
	old, ok := s.r.read.Single(ref)
	return ok && peers.Has(rib.RecordPeer(old.Record())) && s.unrouteOnly(tb, k, n, &old)
}

// tell notes a change in the feed.
func (s *shard) tell(kind ChangeKind, same bool, tb *table, k trie.Key, n uint8, rec []uint32) {
	if !s.feed.on {
		s.feed.skip(1)
		return
	}
	swept := kind == ChangeWithdraw && s.down.Has(rib.RecordPeer(rec))
	s.feed.add(kind, swept, same, tb, k, n, rec)
}
