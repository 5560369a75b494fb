package adjout

import (
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
)

// scan goes over the whole Loc-RIB once: to fill a new group, when a policy has
// changed, or when changes came faster than the group could follow. It walks a
// view in slices, between which the group goes on following the feed, so that
// nobody waits for it. Where the feed has been at a prefix since the scan began
// the view is out of date, and the latest state is asked.
//
// A scan that has to begin again, with a later view, goes on from where it is,
// round to there: what it has seen by then is good.
type scan struct {
	active bool
	view   *shard.View
	units  []scanUnit // what is left, the current one first
	from   prefix     // position in it
	begun  bool       // from means something
	seen   [][numBuckets][]uint64
	fed    []uint64 // bits by hash: prefixes that the feed has been at

	sweep  bool // all units are done: what was not seen is looked at
	fam    int
	bucket uint32
	next   uint32
}

// scanUnit is a part of a table; the last one of a scan that began anew may end
// before its end.
type scanUnit struct {
	table rib.TableID
	part  int
	until *prefix
}

const fedBits = 20

// begin starts a scan, or starts it anew.
func (s *scan) begin(v *shard.View, states []*state) {
	old, from, begun := s.units, s.from, s.active && s.begun && len(s.units) > 0
	s.end()
	s.active, s.view, s.sweep = true, v, false
	s.seen = make([][numBuckets][]uint64, len(states))
	if s.fed == nil {
		s.fed = make([]uint64, 1<<fedBits/64)
	}
	clear(s.fed)
	for _, t := range v.Tables() {
		for part := range v.Parts() {
			s.units = append(s.units, scanUnit{table: t, part: part})
		}
	}
	if !begun {
		return
	}
	for i, u := range s.units {
		if u.table == old[0].table && u.part == old[0].part {
			rotated := append([]scanUnit(nil), s.units[i:]...)
			rotated = append(rotated, s.units[:i]...)
			u.until = &from
			s.units = append(rotated, u)
			s.from, s.begun = from, true
			return
		}
	}
}

// beginNothing starts a scan that finds nothing: what the state has is to go.
func (s *scan) beginNothing(states []*state) {
	s.end()
	s.active = true
	s.seen = make([][numBuckets][]uint64, len(states))
}

// renew goes on with a later view, where the limits on views have ended the one
// in hand.
func (s *scan) renew(v *shard.View) {
	s.view.Close()
	s.view = v
}

// end gives up what the scan holds.
func (s *scan) end() {
	if s.view != nil {
		s.view.Close()
	}
	fed := s.fed
	*s = scan{fed: fed}
}

// mark notes that an entry is as it should be.
func (s *scan) mark(fam uint8, at ref) {
	if !s.active {
		return
	}
	bucket, n := at.split()
	bits := s.seen[fam][bucket]
	for int(n/64) >= len(bits) {
		bits = append(bits, 0)
	}
	bits[n/64] |= 1 << (n % 64)
	s.seen[fam][bucket] = bits
}

func (s *scan) marked(fam int, bucket, n uint32) bool {
	bits := s.seen[fam][bucket]
	return int(n/64) < len(bits) && bits[n/64]>>(n%64)&1 != 0
}

// touch notes that the feed has been at a prefix.
func (s *scan) touch(hash uint64) {
	if s.active {
		i := hash >> 8 & (1<<fedBits - 1)
		s.fed[i/64] |= 1 << (i % 64)
	}
}

func (s *scan) touched(hash uint64) bool {
	i := hash >> 8 & (1<<fedBits - 1)
	return s.fed[i/64]>>(i%64)&1 != 0
}

// scanSlice judges some more prefixes; done says that none is left.
func (g *group) scanSlice() (done bool) {
	s := &g.scan
	g.judge.begin()
	for len(s.units) > 0 && len(g.judge.results) < g.m.o.slice {
		u := s.units[0]
		ref := g.judge.table(u.table)
		if ref.fam < 0 || g.scanUnit(u, ref) {
			s.units, s.begun = s.units[1:], false
		}
	}
	if len(s.units) > 0 || len(g.judge.results) > 0 {
		return false
	}
	return g.sweepSlice()
}

// scanUnit judges prefixes of the current unit; done says that it has no others.
func (g *group) scanUnit(u scanUnit, ref tableRef) (done bool) {
	s, j := &g.scan, &g.judge
	more := true // the walk goes on
	rng := shard.WalkRange{}
	if s.begun {
		rng = shard.WalkRange{From: s.from.key, FromLen: s.from.n, After: true}
	}
	w := s.view.WalkPart(u.part, u.table, rng)
	defer w.Close()
	g.late = g.late[:0]
	err := w.Scan(func(k trie.Key, n uint8, rs rib.Records, down rib.PeerSet) bool {
		p := prefix{key: k, table: u.table, n: n}
		if u.until != nil && (k.Compare(u.until.key) > 0 || k == u.until.key && n > u.until.n) {
			return false
		}
		s.from, s.begun = p, true
		if len(down) > 0 || s.touched(j.states[ref.fam].hash(&p)) {
			g.late = append(g.late, p)
		} else {
			j.records(&p, ref, rs)
		}
		more = len(j.results)+len(g.late) < g.m.o.slice
		return more
	})
	if err != nil {
		s.renew(g.m.rib.View())
		more = false
	}
	g.judgeLate(ref)
	return more
}

// judgeLate asks the latest state of what a walk could not answer.
func (g *group) judgeLate(ref tableRef) {
	if len(g.late) == 0 {
		return
	}
	g.judge.rd.Pin()
	defer g.judge.rd.Unpin()
	for i := range g.late {
		g.judge.latest(&g.late[i], ref)
	}
}

// sweepSlice judges entries that the scan has not seen: as a rule their
// prefixes are gone. The group's goroutine alone changes the state, so it reads
// it without the lock.
func (g *group) sweepSlice() (done bool) {
	s, j := &g.scan, &g.judge
	s.sweep = true
	j.rd.Pin()
	defer j.rd.Unpin()
	for ; s.fam < len(g.states); s.fam, s.bucket = s.fam+1, 0 {
		st := g.states[s.fam]
		for ; s.bucket < numBuckets; s.bucket, s.next = s.bucket+1, 0 {
			b := &st.buckets[s.bucket]
			for s.next < b.n {
				s.next++
				e := b.entry(s.next, st.lay.stride)
				if e[wStamp] == 0 || e[wMeta]&entryDead != 0 || s.marked(s.fam, s.bucket, s.next) {
					continue
				}
				p := st.lay.prefix(e, st.table)
				if n := len(j.results); n == 0 || j.results[n-1].prefix != p {
					j.latest(&p, g.judge.table(p.table))
				}
				if len(j.results) >= g.m.o.slice {
					return false
				}
			}
		}
	}
	return len(j.results) == 0
}
