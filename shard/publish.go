package shard

import (
	"runtime"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
)

// What a shard publishes is one word: a reference to a run of these.
const (
	stVersion = iota
	stSeqLo
	stSeqHi
	stDown    // reference of the set of peers that are down, 0: none
	stDownLen // its words
	stEra     // of version: how often versions have started again
	stRoots   // root of the tree of the roots of tables without a word here
	stFirst   // roots of the first tables
	stWords   = stFirst + firstTables
)

// firstTables have the roots of their tries in the state itself.
const firstTables = 4

// state is a shard's published state, read under a pin.
type state struct {
	version uint32
	era     uint32
	seq     uint64
	down    rib.PeerSet
	roots   uint32
	first   [firstTables]uint32
}

// load reads the published state of a shard. The caller is pinned.
func (s *shard) load() (st state) {
	w := s.r.trees.Words(s.published.Load(), stWords)
	st.version, st.era = w[stVersion], w[stEra]
	st.seq = uint64(w[stSeqHi])<<32 | uint64(w[stSeqLo])
	st.roots = w[stRoots]
	copy(st.first[:], w[stFirst:])
	if w[stDown] != 0 {
		st.down = s.r.trees.Words(w[stDown], w[stDownLen])
	}
	return st
}

// root returns the trie of a table in a state.
func (r *RIB) root(st *state, t rib.TableID, width uint8) trie.View {
	if t < firstTables {
		return trie.NewView(r.trees, st.first[t], width)
	}
	ref := trie.NewView(r.trees, st.roots, 32).Get(trie.Key4(uint32(t)), 32)
	return trie.NewView(r.trees, ref, width)
}

// publish makes the changes since the last time visible, all at once, and
// gives back what readers have left.
func (s *shard) publish() {
	s.finish()
	s.pending = 0
	if len(s.touched) == 0 && !s.downOld && !s.feed.more && s.published.Load() != 0 {
		s.active = false
		s.reclaim()
		return
	}
	s.begin()
	for _, tb := range s.touched {
		s.publishTable(tb)
	}
	s.settleRoots()
	s.publishDown()
	old := s.published.Load()
	ref := s.must(stWords)
	w := s.r.trees.Words(ref, stWords)
	w[stVersion], w[stEra] = s.version, s.era
	seq := s.feed.seal()
	w[stSeqLo], w[stSeqHi] = uint32(seq), uint32(seq>>32)
	w[stDown], w[stDownLen] = s.downRef, s.downLen
	w[stRoots] = s.roots.Root()
	for i := range firstTables {
		w[stFirst+i] = 0
		if i < len(s.tables) && s.tables[i] != nil {
			w[stFirst+i] = s.tables[i].tree.Root()
		}
	}
	if old != 0 {
		// No long view reads a state again, so it is born when it is replaced.
		s.trees.Retire(old, stWords, s.version)
	}
	s.flushCounts()
	s.published.Store(ref)
	s.feed.publish() // who reads of a change finds it in the tables, and counted
	epoch := s.r.domain.Advance()
	s.trees.Publish(s.version, epoch)
	s.blocks.Publish(s.version, epoch)
	s.nodes.Publish(s.version, epoch)
	s.handles.Publish(epoch)
	s.version++
	s.active = false
	s.feed.wake()
	s.reclaim()
	s.note()
	if s.version > s.r.o.rebaseVersions && !s.guest {
		s.rebase()
	}
}

// must allocates a small run of what a state needs. At the cap it waits for
// readers to leave what they read: the reserve of the arena makes that rare.
func (s *shard) must(n uint32) uint32 {
	for {
		if ref, ok := s.trees.AllocReserved(n); ok {
			return ref
		}
		s.wait()
	}
}

func (s *shard) publishTable(tb *table) {
	tb.dirty = false
	info := tb.info
	if tb.prefixes != 0 {
		info.prefixes.Add(tb.prefixes)
	}
	if tb.paths != 0 {
		info.paths.Add(tb.paths)
	}
	tb.prefixes, tb.paths = 0, 0
}

// settleRoots enters the new roots of tables that have no word of the state.
// Until it is done the last state stays, and with it the memory of its roots.
func (s *shard) settleRoots() {
	later := s.touched[:0]
	for _, tb := range s.touched {
		if tb.info.id >= firstTables && !s.settleRoot(tb) {
			tb.dirty = true
			later = append(later, tb)
		}
	}
	s.touched = later
}

// settleRoot enters the root of one table. false: at the cap of the tries the
// table had to be left out, and is empty to readers until there is memory.
func (s *shard) settleRoot(tb *table) bool {
	k, root := trie.Key4(uint32(tb.info.id)), tb.tree.Root()
	for tries := 0; ; tries++ {
		if root != 0 && tries < 100 {
			if _, ok := s.roots.Set(k, 32, root); ok {
				return true
			}
		} else if s.roots.Get(k, 32) == 0 || s.roots.Delete(k, 32) != 0 {
			return root == 0
		}
		s.wait()
	}
}

// wait lets readers go on, at the cap of the tries.
func (s *shard) wait() {
	s.trees.Reclaim()
	s.stats.stalls.Add(1)
	select {
	case <-s.r.stop:
		if s.guest {
			panic(stopped{})
		}
		runtime.Goexit()
	case <-time.After(time.Millisecond):
	}
}

// publishDown writes the set of peers that are down, where it has changed.
func (s *shard) publishDown() {
	if !s.downOld {
		return
	}
	s.downOld = false
	if s.downRef != 0 {
		// Birth 0: sets of peers are rare and small, so a long view may keep
		// more of them than it can see.
		s.trees.Retire(s.downRef, s.downLen, 0)
	}
	s.downRef, s.downLen = 0, 0
	if len(s.down) > 0 {
		s.downLen = uint32(len(s.down))
		s.downRef = s.must(s.downLen)
		copy(s.r.trees.Words(s.downRef, s.downLen), s.down)
	}
}

// reclaim gives back what no reader can see any more.
func (s *shard) reclaim() {
	s.trees.Reclaim()
	s.blocks.Reclaim()
	s.nodes.Reclaim()
	s.handles.Reclaim()
	// Runs held for long views wait for those, not for a timer; a release is
	// seen at the next batch or tick of house-keeping.
	s.retry = s.trees.Stats().RetiredWords+s.blocks.Stats().RetiredWords+s.nodes.Stats().RetiredWords > 0
}

// rebase makes versions start again at 1, before they would wrap: everything
// that lives counts as older than every version, every view held as the first.
func (s *shard) rebase() {
	// Readers first load a state of version 1, so that nobody registers an old
	// number once the held ones have been renamed.
	ref := s.must(stWords)
	old := s.published.Load()
	copy(s.r.trees.Words(ref, stWords), s.r.trees.Words(old, stWords))
	s.r.trees.Store(ref+stVersion, 1)
	s.r.trees.Store(ref+stEra, s.era+1)
	s.published.Store(ref)
	for epoch := s.r.domain.Advance(); s.r.domain.Min() < epoch; {
		runtime.Gosched()
	}
	s.eraMu.Lock()
	s.holds.Rebase()
	s.era++
	s.eraMu.Unlock()
	s.trees.Rebase()
	s.blocks.Rebase()
	s.roots.Restamp()
	for _, tb := range s.tables {
		if tb == nil {
			continue
		}
		tb.begun = 0
		tb.tree.Restamp()
		c := tb.tree.View().Cursor()
		for c.Next() {
			s.editor.Rebase(c.Value())
		}
	}
	s.version = 2
	s.trees.Retire(old, stWords, s.version)
	s.stats.rebases.Add(1)
}

// release ends the hold of a long view on a state.
func (s *shard) release(st *state) {
	s.eraMu.Lock()
	defer s.eraMu.Unlock()
	if st.era < s.era {
		s.holds.Release(0) // its version was renamed
		return
	}
	s.holds.Release(st.version)
}
