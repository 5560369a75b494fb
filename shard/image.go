package shard

import (
	"time"

	"ribd/shard/rib"
	"ribd/trie"
)

const (
	// bulkAt is the operations of a batch from which on the forwarding image is
	// not edited prefix by prefix: what changes is deferred, look-ups there go by
	// the tries, and the image catches up when the flood is over.
	bulkAt = 512

	// catchUpWait is how long after the last such batch the image catches up, and
	// catchUpLate how long what was deferred waits while they go on.
	catchUpWait = 20 * time.Millisecond
	catchUpLate = time.Second

	catchUpSlice = 4096 // prefixes that are done at a time
)

// deferImage leaves a prefix to catchUp, in a large batch or where it is left to
// it already.
func (s *shard) deferImage(tb *table, k trie.Key, n uint8) bool {
	if !s.bulk {
		return tb.image.Deferred(k, n)
	}
	if !tb.image.Defer(k, n) {
		return false
	}
	if s.behind.IsZero() {
		s.behind = time.Now()
	}
	return true
}

// catchUp makes a part of what was deferred in the images, and returns true when
// nothing more is to be done.
func (s *shard) catchUp(budget int) (done bool) {
	s.finish()
	done, s.stuck = true, false
	for _, t := range [2]rib.TableID{rib.TableIPv4Unicast, rib.TableIPv6Unicast} {
		if w := s.image(int(t)); w.Behind() > 0 {
			var v trie.View
			if int(t) < len(s.tables) && s.tables[t] != nil {
				v = s.tables[t].tree.View()
			}
			done = w.CatchUp(v, s.toHandles, budget) && done
			s.stuck = s.stuck || done && w.Behind() > 0
		}
	}
	if done && !s.stuck {
		s.behind = time.Time{}
	}
	return done
}

// toHandles turns references of blocks into the handles of their prefixes: loads
// that do not wait for each other.
func (s *shard) toHandles(refs []uint32) {
	for i, ref := range refs {
		refs[i] = s.r.read.Handle(ref)
	}
}

// catchUpAll is for those who wait until all is done.
func (s *shard) catchUpAll() {
	for !s.catchUp(1 << 20) {
	}
}
