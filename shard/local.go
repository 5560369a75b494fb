package shard

import "ribd/shard/rib"

// localPeer is what a shard keeps of a peer.
type localPeer struct {
	marks      uint64 // generation of its routes, a bit a family
	refreshing uint64 // families between Refresh and EndRefresh
	fresh      uint64 // of these, families that had no route when it began
	deltas     []*famDelta
}

// famDelta is changes of a peer's counts since the last publish.
type famDelta struct {
	peer                                   rib.PeerNum
	fam                                    uint8
	listed                                 bool
	prefixes, paths, best, filtered, stale int64
	published                              int64 // paths, up to the last publish
}

func (s *shard) peer(n rib.PeerNum) *localPeer {
	for int(n) >= len(s.local) {
		s.local = append(s.local, localPeer{})
	}
	return &s.local[n]
}

// marked is the generation that a peer's announcements get.
func (s *shard) marked(n rib.PeerNum, fam uint8) bool {
	return int(n) < len(s.local) && s.local[n].marks>>fam&1 != 0
}

// delta returns the open counts of a peer and family.
func (s *shard) delta(n rib.PeerNum, fam uint8) *famDelta {
	p := s.peer(n)
	for int(fam) >= len(p.deltas) {
		p.deltas = append(p.deltas, nil)
	}
	d := p.deltas[fam]
	if d == nil {
		d = &famDelta{peer: n, fam: fam}
		p.deltas[fam] = d
	}
	if !d.listed {
		d.listed = true
		s.counts = append(s.counts, d)
	}
	return d
}

// flushCounts adds the open counts to those that everybody reads.
func (s *shard) flushCounts() {
	for _, d := range s.counts {
		d.listed = false
		if c := s.r.peers.counts(d.peer, d.fam); c != nil {
			c.prefixes.Add(d.prefixes)
			c.paths.Add(d.paths)
			c.best.Add(d.best)
			c.filtered.Add(d.filtered)
			c.stale.Add(d.stale)
		}
		d.published += d.paths
		d.prefixes, d.paths, d.best, d.filtered, d.stale = 0, 0, 0, 0, 0
	}
	s.counts = s.counts[:0]
}

// none says whether a peer has no route of a family in this shard.
func (s *shard) none(n rib.PeerNum, fam uint8) bool {
	p := s.peer(n)
	if int(fam) >= len(p.deltas) || p.deltas[fam] == nil {
		return true
	}
	d := p.deltas[fam]
	return d.published+d.paths == 0
}

// refresh begins a generation of a peer's routes of a family.
func (s *shard) refresh(n rib.PeerNum, fam uint8) {
	for i := 0; i < len(s.jobs); {
		if j := s.jobs[i]; (j.kind == jobRefresh || j.kind == jobStale) && j.peer == n && j.fam == fam {
			s.runJob(i) // the bit is needed again
		} else {
			i++
		}
	}
	p := s.peer(n)
	bit := uint64(1) << fam
	if p.refreshing&bit != 0 {
		// Begun again before its end: what came in between is old now.
		p.fresh &^= bit
		s.jobs = append(s.jobs, &job{kind: jobMark, peer: n, fam: fam, mark: p.marks&bit == 0})
		s.runJob(len(s.jobs) - 1)
		return
	}
	p.marks ^= bit
	p.refreshing |= bit
	p.fresh &^= bit
	if s.none(n, fam) {
		p.fresh |= bit
	}
}

// endRefresh takes away, in the background, what was not announced since.
func (s *shard) endRefresh(n rib.PeerNum, fam uint8) {
	p := s.peer(n)
	bit := uint64(1) << fam
	if p.refreshing&bit == 0 {
		return
	}
	p.refreshing &^= bit
	if p.fresh&bit != 0 || s.down.Has(n) {
		return // a first dump: all there is has come since; or DropPeer went before it
	}
	s.jobs = append(s.jobs, &job{kind: jobRefresh, peer: n, fam: fam, mark: p.marks&bit != 0})
}

// Refresh begins a generation of a peer's routes in the family of table t (of
// all its route distinguishers): a later dump, a route refresh, a restarted
// session. What is not announced again before EndRefresh is removed then. The
// caller has flushed its Fan.
func (r *RIB) Refresh(peer rib.PeerNum, t rib.TableID) {
	if info := r.dir.get(t); info != nil {
		r.send(func(s *shard) { s.refresh(peer, info.index) })
	}
}

// EndRefresh ends what Refresh began. The caller has flushed its Fan.
func (r *RIB) EndRefresh(peer rib.PeerNum, t rib.TableID) {
	if info := r.dir.get(t); info != nil {
		r.send(func(s *shard) { s.endRefresh(peer, info.index) })
	}
}

// send queues f for each shard, behind what is queued now.
func (r *RIB) send(f func(*shard)) {
	for _, s := range r.shards {
		r.enqueue(s, &batch{then: f})
	}
}
