package adjout

import (
	"maps"
	"time"

	"ribd/shard/rib"
)

// audiences is which members are sent the routes of a source (Source.Only).
// Sources that are not there are for everybody. It is never changed once others
// see it.
type audiences map[rib.PeerNum]*audience

// audience is members by their Target.ID; nil: everybody.
type audience struct {
	ids     map[string]struct{}
	changed bool      // the source was there before, with another one
	gone    time.Time // RemoveSource; zero: not
}

// goneFor is how long an audience stays when its source is gone: longer than a
// group is behind with the source's routes.
const goneFor = 10 * time.Minute

// reach says whether a member is sent the routes of a source: nobody is sent its
// own.
func (a audiences) reach(src rib.PeerNum, t *Target) bool {
	if src == t.Num {
		return false
	}
	if len(a) == 0 {
		return true
	}
	only := a[src]
	if only == nil || only.ids == nil {
		return true
	}
	_, ok := only.ids[t.ID]
	return ok
}

// restricted says whether a source has an audience of its own.
func (a audiences) restricted(src rib.PeerNum) bool {
	if len(a) == 0 {
		return false
	}
	only := a[src]
	return only != nil && only.ids != nil
}

// restrict notes the audience of a source; known says that it has one already.
// The manager's lock is held.
func (m *Manager) restrict(n rib.PeerNum, ids map[string]struct{}, known bool) {
	old := *m.only.Load()
	if old[n] == nil && ids == nil {
		return
	}
	now := maps.Clone(old)
	if now == nil {
		now = audiences{}
	}
	for src, a := range now {
		if !a.gone.IsZero() && time.Since(a.gone) > goneFor {
			delete(now, src)
		}
	}
	now[n] = &audience{ids: maps.Clone(ids), changed: known}
	if ids == nil && !known {
		delete(now, n)
	}
	m.only.Store(&now)
}

// unrestrict notes that a source is gone. What groups still have of its routes
// stays with its audience until they have read that. The manager's lock is held.
func (m *Manager) unrestrict(n rib.PeerNum) {
	old := *m.only.Load()
	a := old[n]
	if a == nil {
		return
	}
	now := maps.Clone(old)
	now[n] = &audience{ids: a.ids, changed: a.changed, gone: time.Now()} // a group may not have adopted the change yet
	m.only.Store(&now)
}

// adopt takes over audiences that have changed since. Sources come with theirs
// before their first route; of one that has routes already, everybody is told
// again. The lock is held, and nobody is being sent to.
func (g *group) adopt() {
	now := g.m.only.Load()
	if now == g.only {
		return
	}
	was := g.only
	g.only = now
	clear(g.named)
	var changed rib.PeerSet
	for n, a := range *now {
		if a.changed && (*was)[n] != a {
			changed = changed.With(n)
		}
	}
	if len(changed) > 0 {
		g.retell(changed)
	}
}

// retell makes all entries of some sources changed ones, and has every member
// take what has changed by a run: who is in the audience now is sent them, and
// who is not is sent withdrawals.
func (g *group) retell(sources rib.PeerSet) {
	g.batch++
	for _, mb := range g.step {
		mb.pos, mb.given, mb.inStep = g.batch-1, g.batch-1, false
	}
	clear(g.step)
	g.step = g.step[:0]
	g.ring.reset(g.batch)
	if g.full != nil && g.full.b1 != 0 {
		g.full = nil
	}
	for i, st := range g.states {
		st.retell(sources, g.batch, g.judge.fams[i].mode == modeServer)
	}
	if !g.hold {
		g.kickAll()
	}
}

// retell gives all entries of some sources the number of a batch. server: those
// of the same prefix too, which one of them may have stood for.
func (s *state) retell(sources rib.PeerSet, batch uint32, server bool) {
	for i := range s.buckets {
		b := &s.buckets[i]
		for n := uint32(1); n <= b.n; n++ {
			e := b.entry(n, s.lay.stride)
			if e[wStamp] == 0 || !sources.Has(entryPeer(e)) {
				continue
			}
			if !server {
				s.restamp(e, batch)
				continue
			}
			p := s.lay.prefix(e, s.table)
			for m := s.find(&p, s.hash(&p)); m != 0; m = s.following(m) {
				s.restamp(s.entry(m), batch)
			}
		}
	}
}

// restamp makes a live entry a changed one. What it was before is not known any
// more.
func (s *state) restamp(e []uint32, batch uint32) {
	e[wMeta] &^= entryConst | entryFresh
	if e[wMeta]&entryDead == 0 {
		e[wStamp] = batch
	}
}

// concerns says whether a source that has an audience of its own has one in
// the group. The lock is held.
func (g *group) concerns(src rib.PeerNum) bool {
	if yes, known := g.named[src]; known {
		return yes
	}
	yes := false
	for mb := range g.members {
		yes = yes || g.only.reach(src, &mb.t)
	}
	if g.named == nil {
		g.named = map[rib.PeerNum]bool{}
	}
	g.named[src] = yes
	return yes
}

// moved tells that an entry has gone from one source to another where one of them
// at least has an audience of its own. had: it was live; known: a member that lags
// may have it from the old one.
func (g *group) moved(r *result, old rib.PeerNum, o *outPath, had, known bool, id uint32) {
	all, none := toOthers, toOne
	if g.only.restricted(o.peer) {
		all, none = toOnly, toRest
	}
	g.emit(all, o.peer, r.fam, &r.prefix, o.attrs, o.labels, id)
	if known {
		g.emit(none|late, o.peer, r.fam, &r.prefix, 0, 0, id)
	}
	if !had || old == o.peer {
		return
	}
	for mb := range g.members {
		if g.only.reach(old, &mb.t) && !g.only.reach(o.peer, &mb.t) {
			g.emit(toOne, mb.t.Num, r.fam, &r.prefix, 0, 0, id)
		}
	}
}
