package shard

// Mark is a point in the feed: a position in each shard's changes.
type Mark []uint64

// Mark returns when everything that was flushed or asked before is applied and
// published, with the point in the feed that is behind it, in dst where it has
// room. Shards that have nothing to do are not woken.
//
// What goes on in the background is not waited for: sweeps of peers that went,
// Rejudge, what EndRefresh and Stale asked for. When the RIB is closed meanwhile the mark means nothing.
func (r *RIB) Mark(dst Mark) Mark {
	dst = dst[:0]
	busy := false
	for _, s := range r.shards {
		head, ok := s.rest()
		busy = busy || !ok
		dst = append(dst, head)
	}
	if busy {
		return r.markBusy(dst)
	}
	return dst
}

// markBusy is Mark where a shard has something to do. Those that rest are asked
// too: what they say is behind everything that they were sent before.
func (r *RIB) markBusy(dst Mark) Mark {
	m := make(Mark, len(r.shards))
	r.all(func(s *shard) {
		s.publish()
		m[s.id] = s.feed.head.Load()
	})
	return append(dst[:0], m...)
}

// rest returns the end of the feed of a shard that has nothing to do. false: it
// has.
func (s *shard) rest() (head uint64, ok bool) {
	if s.queued.Load() != 0 || !s.mu.TryLock() {
		return 0, false
	}
	defer s.mu.Unlock()
	if s.queued.Load() != 0 || s.pending > 0 || s.feed.more {
		return 0, false
	}
	return s.feed.head.Load(), true
}

// Passed says whether Next has returned everything up to m.
func (f *Follower) Passed(m Mark) bool { return !f.lost && Mark(f.pos).Passes(m) }

// Mark returns where the follower stands, as a Mark that it has just passed, in dst
// where it has room.
func (f *Follower) Mark(dst Mark) Mark { return append(dst[:0], f.pos...) }

// Passes says whether everything up to o is before m.
func (m Mark) Passes(o Mark) bool {
	if len(m) != len(o) {
		return false
	}
	for i := range m {
		if m[i] < o[i] {
			return false
		}
	}
	return true
}
