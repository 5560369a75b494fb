package shard

import (
	"time"

	"ribd/shard/rib"
	"ribd/trie"
)

const (
	sliceScan  = 8192 // prefixes that a slice of a job looks at
	sliceWrite = 2048 // prefixes that a slice of a job changes: half a millisecond
)

// job is work over whole tables that a shard does in slices, between batches.
type job struct {
	kind  jobKind
	peers rib.PeerSet // jobDown
	peer  rib.PeerNum // jobRefresh, jobMark, jobStale
	fam   uint8       // of these
	mark  bool        // what stays, or what is set

	stale   rib.Stale // jobStale
	each    func(rib.AttrID) (rib.AttrID, bool)
	filters map[rib.PeerNum]rib.Filter // jobJudge
	waiter  *waiter

	begun bool
	table int // position
	from  jobKey
	moved trie.Position // instead of from, in the second stage of jobCompact
	stage int
}

type jobKind uint8

const (
	jobDown    jobKind = iota // takes away the paths of peers that are down
	jobRefresh                // takes away what was not announced again
	jobMark                   // sets the generation bit of all paths of a peer
	jobStale                  // marks what was not announced again as stale
	jobJudge                  // asks import policy again
	jobCompact                // moves what lies in sparse memory
)

type jobKey struct {
	k trie.Key
	n uint8
}

// slice does a part of the first job.
func (s *shard) slice() {
	s.since = 0
	j := s.jobs[0]
	if j.kind == jobCompact && j.stage > 0 {
		s.evacuate(j)
	} else if s.scan(j) {
		s.jobs = s.jobs[1:]
		s.end(j)
	}
	s.publish()
}

// end is what remains to be done when a job is through all tables.
func (s *shard) end(j *job) {
	switch j.kind {
	case jobDown:
		for n := range rib.PeerNum(len(j.peers) * 32) {
			if j.peers.Has(n) {
				s.down = s.down.Without(n)
			}
		}
		s.downOld = true
		s.publish()
		s.r.peers.swept(s.r, j.peers)
	case jobJudge:
		s.publish()
		s.r.waiters.ready(j.waiter)
	case jobCompact:
		j.stage, j.table = 1, 0
		s.jobs = append(s.jobs, j)
	}
}

// ofFamily says whether a job is about the tables of one family.
func (j *job) ofFamily() bool { return j.kind == jobRefresh || j.kind == jobMark || j.kind == jobStale }

// filter is that of a peer, nil: its paths are left alone.
func (j *job) filter(n rib.PeerNum) rib.Filter { return j.filters[n] }

// scan goes on through the tables; done is true behind the last.
func (s *shard) scan(j *job) (done bool) {
	j.begun = true
	if j.kind == jobJudge && len(j.filters) == 0 {
		return true
	}
	budget := sliceScan
	for ; j.table < len(s.tables); j.table, j.from = j.table+1, (jobKey{}) {
		tb := s.tables[j.table]
		if tb == nil || j.ofFamily() && tb.info.index != j.fam {
			continue
		}
		if budget = s.scanTable(j, tb, budget); budget <= 0 {
			return false
		}
	}
	return true
}

// scanTable finds prefixes that the job is about, then changes them: a cursor
// does not outlive a change. It returns what is left of the budget, 0 where the
// table has more.
func (s *shard) scanTable(j *job, tb *table, budget int) int {
	s.finish()
	s.keys = s.keys[:0]
	c := tb.tree.View().Cursor()
	c.Seek(j.from.k, j.from.n)
	more := true
	for budget > 0 && len(s.keys) < sliceWrite {
		if more = c.Next(); !more {
			break
		}
		budget--
		j.from = jobKey{c.Key(), c.Len()}
		if s.wanted(j, tb, c.Key(), c.Len(), c.Value()) {
			s.keys = append(s.keys, jobKey{c.Key(), c.Len()})
		}
	}
	if len(s.keys) > 0 {
		s.begin()
		s.bulk = len(s.keys) >= bulkAt
		for _, at := range s.keys {
			s.table(tb.info.id)
			ref := tb.tree.Find(at.k, at.n)
			if j.kind == jobDown && s.dropOnly(tb, at.k, at.n, ref, j.peers) {
				continue
			}
			s.openAt(tb, at.k, at.n, ref)
			s.change(j, at)
			s.finish()
		}
		s.bulk = false
		s.pending += len(s.keys)
	}
	if more {
		// Seek finds the last prefix seen again: it costs one look.
		return 0
	}
	return max(budget, 1)
}

func (s *shard) wanted(j *job, tb *table, k trie.Key, n uint8, ref uint32) bool {
	switch j.kind {
	case jobDown:
		return s.r.read.Touches(ref, j.peers)
	case jobRefresh, jobMark, jobStale:
		return s.r.read.Unmarked(ref, j.peer, j.mark)
	case jobJudge:
		return s.misjudged(j.filter, tb, k, n, ref)
	}
	return s.editor.Sparse(ref)
}

func (s *shard) change(j *job, at jobKey) {
	switch j.kind {
	case jobDown:
		s.editor.RemovePeers(j.peers, s.removed)
	case jobRefresh:
		s.editor.RemoveUnmarked(j.peer, j.mark, s.removed)
	case jobMark:
		s.editor.Mark(j.peer, j.mark)
	case jobStale:
		s.editor.Change(func(p *rib.Path, mark bool) bool {
			return p.Peer != j.peer || mark == j.mark || s.age(j, p)
		}, s.changed, s.removed)
	case jobJudge:
		s.editor.Change(func(p *rib.Path, _ bool) bool {
			s.judge(j.filters[p.Peer], s.open.t, at.k, at.n, p)
			return true
		}, s.changed, s.removed)
	case jobCompact:
		s.editor.Rewrite()
	}
}

// evacuate moves nodes of the tries, then of the images.
func (s *shard) evacuate(j *job) {
	s.begin()
	done := true
	if j.table < len(s.tables) {
		if s.tables[j.table] != nil {
			tb := s.table(rib.TableID(j.table))
			j.moved, done = tb.tree.Evacuate(j.moved, sliceWrite)
			s.touch(tb)
		}
	} else if w := s.image(j.table - len(s.tables)); w != nil {
		j.moved, done = w.Evacuate(j.moved, sliceWrite)
		s.feed.more = true // there is something to publish
	} else {
		s.jobs = s.jobs[1:]
		return
	}
	if done {
		j.table, j.moved = j.table+1, trie.Position{}
	}
}

func (s *shard) image(i int) *trie.ImageWriter {
	switch i {
	case 0:
		return s.image4
	case 1:
		return s.image6
	}
	return nil
}

// compact looks, when there is nothing else to do, for memory that is mostly
// holes. A flood that only pauses would fill them by itself.
func (s *shard) compact() {
	if s.flooded {
		s.flooded, s.idle = false, time.Now()
	}
	if time.Since(s.idle) < s.r.o.compactEvery || len(s.jobs) > 0 {
		return
	}
	s.idle = time.Now()
	if s.trees.Drain(64)+s.blocks.Drain(64)+s.nodes.Drain(64) > 0 {
		s.jobs = append(s.jobs, &job{kind: jobCompact})
	}
	s.note()
}

// finishJobs does all background work now.
func (s *shard) finishJobs() {
	for len(s.jobs) > 0 {
		s.slice()
	}
	s.catchUpAll()
}

// settleRefreshes does the refreshes that have ended, and the marking of stale
// paths, before anything else.
func (s *shard) settleRefreshes() {
	for i := 0; i < len(s.jobs); {
		if j := s.jobs[i]; j.kind == jobRefresh || j.kind == jobStale {
			s.runJob(i)
		} else {
			i++
		}
	}
	s.catchUpAll()
}

// runJob does job number i to its end.
func (s *shard) runJob(i int) {
	j := s.jobs[i]
	s.jobs = append(s.jobs[:i:i], s.jobs[i+1:]...)
	for !s.scan(j) {
		s.publish()
	}
	s.end(j)
	s.publish()
}
