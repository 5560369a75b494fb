package shard

import (
	"maps"
	"sync"
	"sync/atomic"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// Rejudge asks filters again about every path of their peers that was flushed
// before: a change of import policy. What a path came with (its PreAttrs, or
// Attrs where policy left them) is judged, and where the verdict is another one
// the path is rewritten; labels, time and staleness stay. It goes on in the
// background; the result is closed when all shards are through and have
// published, or when the RIB is closed.
//
// The filters are asked by the shards' goroutines, with the path as it came. A
// later Rejudge of a peer takes the place of one that is not through. Peers that
// are down are left alone.
func (r *RIB) Rejudge(filters map[rib.PeerNum]rib.Filter) <-chan struct{} {
	w := &waiter{done: make(chan struct{})}
	w.left.Store(int32(len(r.shards)))
	r.waiters.add(w)
	r.send(func(s *shard) { s.rejudge(filters, w) })
	return w.done
}

// waiter is closed when all shards are done.
type waiter struct {
	left atomic.Int32
	once sync.Once
	done chan struct{}
}

func (w *waiter) close() { w.once.Do(func() { close(w.done) }) }

// waiters is those that Close has to end.
type waiters struct {
	mu   sync.Mutex
	open map[*waiter]struct{}
	shut bool
}

func (ws *waiters) add(w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.shut {
		w.close()
		return
	}
	if ws.open == nil {
		ws.open = map[*waiter]struct{}{}
	}
	ws.open[w] = struct{}{}
}

// ready notes that one shard is done.
func (ws *waiters) ready(w *waiter) {
	if w.left.Add(-1) > 0 {
		return
	}
	w.close()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.open, w)
}

func (ws *waiters) closeAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.shut = true
	for w := range ws.open {
		w.close()
	}
	ws.open = nil
}

func (s *shard) rejudge(filters map[rib.PeerNum]rib.Filter, w *waiter) {
	for _, j := range s.jobs {
		if j.kind == jobJudge {
			maps.DeleteFunc(j.filters, func(n rib.PeerNum, _ rib.Filter) bool { return filters[n] != nil })
		}
	}
	filters = maps.Clone(filters)
	maps.DeleteFunc(filters, func(n rib.PeerNum, _ rib.Filter) bool { return s.down.Has(n) }) // DropPeer went before it
	s.jobs = append(s.jobs, &job{kind: jobJudge, filters: filters, waiter: w})
}

// RejudgeKeys is Rejudge for the paths of single prefixes of n bits of one table:
// what a filter goes by has changed for these. It is done in order with what is
// flushed and asked, so that Sync and Mark wait for it. filter is called by the
// shards' goroutines; paths of a peer for which it returns nil are left alone, and
// those of peers that are down. keys is the RIB's from then on.
func (r *RIB) RejudgeKeys(t rib.TableID, keys []trie.Key, n uint8, filter func(rib.PeerNum) rib.Filter) {
	info := r.dir.get(t)
	if info == nil || n > info.width {
		return
	}
	parts := make([][]trie.Key, len(r.shards))
	for _, k := range keys {
		i := r.homes.of(info, k, n)
		parts[i] = append(parts[i], k.Mask(n))
	}
	for i, part := range parts {
		for len(part) > 0 {
			some := part[:min(len(part), sliceWrite)]
			part = part[len(some):]
			r.enqueue(r.shards[i], &batch{then: func(s *shard) { s.rejudgeKeys(t, some, n, filter) }})
		}
	}
}

func (s *shard) rejudgeKeys(t rib.TableID, keys []trie.Key, n uint8, filter func(rib.PeerNum) rib.Filter) {
	s.begin()
	for _, k := range keys {
		tb := s.table(t)
		ref := tb.tree.Find(k, n)
		if ref == 0 || !s.misjudged(filter, tb, k, n, ref) {
			continue
		}
		s.openAt(tb, k, n, ref)
		s.editor.Change(func(p *rib.Path, _ bool) bool {
			s.judge(filter(p.Peer), s.open.t, k, n, p)
			return true
		}, s.changed, s.removed)
		s.finish()
		s.pending++
	}
	if s.pending >= publishAt {
		s.publish()
	}
}

// judge asks the filter of a path's peer about it, nil where it is to be left
// alone, and makes p what it says.
func (s *shard) judge(f rib.Filter, tb *table, k trie.Key, n uint8, p *rib.Path) {
	if f == nil || s.down.Has(p.Peer) {
		return
	}
	arrived := p.Attrs
	if p.PreAttrs != 0 {
		arrived = p.PreAttrs
	}
	v, final := f.Set(tb.info.family, p.Peer, arrived)
	if !final {
		q := &s.asked
		*q = *p
		q.Attrs, q.PreAttrs, q.Filtered = arrived, 0, rib.FilterNone
		v = f.Route(tb.info.family, tb.info.rd, k, n, q)
	}
	if v.Attrs == 0 || v.Filtered != rib.FilterNone {
		v.Attrs = arrived
	}
	if v.Attrs != p.Attrs && !s.r.attrs.Touch(v.Attrs) {
		s.stats.late.Add(1) // an id that has ended: the path stays as it was
		return
	}
	p.Attrs, p.PreAttrs, p.Filtered = v.Attrs, arrived, v.Filtered
	if arrived == v.Attrs {
		p.PreAttrs = 0
	}
}

// misjudged says whether a block has a path that judge would change.
func (s *shard) misjudged(filter func(rib.PeerNum) rib.Filter, tb *table, k trie.Key, n uint8, ref uint32) bool {
	rs := s.r.read.Records(ref)
	for rs.Next() {
		f := filter(rs.Peer())
		if f == nil {
			continue
		}
		was, is := &s.paths[0], &s.paths[1]
		rs.Path(was)
		*is = *was
		s.judge(f, tb, k, n, is)
		if is.Attrs != was.Attrs || is.PreAttrs != was.PreAttrs || is.Filtered != was.Filtered {
			return true
		}
	}
	return false
}

// Stale marks, after Refresh and before EndRefresh, the paths of a peer in the
// family of table t that have not been announced again as stale: its session is
// gone, and its routes are kept for a while. each, where it is not nil, says
// what a set becomes (RFC 9494: LLGR_STALE is added) or that the path goes
// (NO_LLGR); it is called by the shards' goroutines, for the attributes before
// policy too where policy changed them, and should remember what it said.
//
// It goes on in the background, in order with Refresh and EndRefresh of the
// peer; what is announced meanwhile is not touched. It may be called again with
// another kind. The caller has flushed its Fan.
func (r *RIB) Stale(peer rib.PeerNum, t rib.TableID, kind rib.Stale, each func(rib.AttrID) (id rib.AttrID, keep bool)) {
	if info := r.dir.get(t); info != nil {
		r.send(func(s *shard) { s.stale(peer, info.index, kind, each) })
	}
}

func (s *shard) stale(n rib.PeerNum, fam uint8, kind rib.Stale, each func(rib.AttrID) (rib.AttrID, bool)) {
	p := s.peer(n)
	bit := uint64(1) << fam
	if p.refreshing&bit == 0 || p.fresh&bit != 0 || s.down.Has(n) { // DropPeer went before it
		return
	}
	s.jobs = append(s.jobs, &job{kind: jobStale, peer: n, fam: fam, mark: p.marks&bit != 0, stale: kind, each: each})
}

// age is what jobStale does to a path that was not announced again. false: it
// goes.
func (s *shard) age(j *job, p *rib.Path) (keep bool) {
	p.Stale = j.stale
	if j.each == nil {
		return true
	}
	attrs, pre := p.Attrs, p.PreAttrs
	if attrs, keep = j.each(attrs); !keep {
		return false
	}
	if pre != 0 {
		if pre, keep = j.each(pre); !keep {
			return false
		}
	}
	if attrs != p.Attrs && !s.r.attrs.Touch(attrs) || pre != p.PreAttrs && !s.r.attrs.Touch(pre) {
		s.stats.late.Add(1)
		return true
	}
	p.Attrs, p.PreAttrs = attrs, pre
	return true
}

// changed notes that a path of the open prefix was rewritten where it is.
func (s *shard) changed(was, is *rib.Path) {
	c := change{peer: is.Peer, kind: ChangeAnnounce}
	c.filtered = bit(is.Filtered != rib.FilterNone) - bit(was.Filtered != rib.FilterNone)
	c.stale = bit(is.Stale != rib.StaleNo) - bit(was.Stale != rib.StaleNo)
	if o := &s.open; s.feed.on {
		o.records = append(o.records, [6]uint32{})
		rib.AppendRecord(o.records[len(o.records)-1][:0], is, true)
	}
	s.open.changes = append(s.open.changes, c)
	if is.PreAttrs == 0 || was.PreAttrs != 0 {
		s.open.removal = true // the block does not grow
	}
}

// PrefixCount returns how many prefixes of a family, over all its tables, a
// peer has paths of, filtered ones too: as of what the shards have published.
// It takes no lock.
func (r *RIB) PrefixCount(peer rib.PeerNum, f wire.Family) int64 {
	if c := r.count(peer, f); c != nil {
		return c.prefixes.Load()
	}
	return 0
}

// PathCount is as PrefixCount, of paths: more than prefixes with Add-Path.
func (r *RIB) PathCount(peer rib.PeerNum, f wire.Family) int64 {
	if c := r.count(peer, f); c != nil {
		return c.paths.Load()
	}
	return 0
}

// count returns a peer's counts of a family, nil where it has had no route.
func (r *RIB) count(peer rib.PeerNum, f wire.Family) *peerCounts {
	i := r.dir.index(f)
	if i < 0 || peer >= rib.MaxPeers {
		return nil
	}
	if st := r.peers.get(peer); st != nil {
		return st.counts[i].Load()
	}
	return nil
}
