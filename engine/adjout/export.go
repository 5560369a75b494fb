package adjout

import "time"

// SetExports gives members other export policies. Members of one group that
// get policies with equal keys go over together; each is sent the difference
// alone. It returns before that.
func (m *Manager) SetExports(changes map[*Member]Export) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return
	}
	groups := map[*group]struct{}{}
	for mb, e := range changes {
		g := mb.g.Load()
		if g == nil {
			continue
		}
		t := mb.t
		t.Export = e
		key := t.key()
		g.mu.Lock()
		mb.want, mb.wantKey = e, key
		g.mu.Unlock()
		groups[g] = struct{}{}
	}
	for g := range groups {
		g.command(g.reconcile)
	}
}

// reconcile gives every member the policy that is wanted for it. The group goes
// over to another one where no member wants its own any more; members that want
// something else than the group get a group that begins as a copy.
func (g *group) reconcile() {
	m := g.m
	m.mu.Lock()
	defer m.mu.Unlock()
	g.mu.Lock()
	wants := map[string][]*Member{}
	for mb := range g.members {
		wants[mb.wantKey] = append(wants[mb.wantKey], mb)
	}
	if m.closed.Load() || len(wants) == 0 {
		g.mu.Unlock()
		return
	}
	own := g.key
	swap := len(wants[own]) == 0
	if swap {
		for key, mbs := range wants {
			if len(mbs) > len(wants[own]) {
				own = key
			}
		}
		if m.byKey[g.key] == g {
			delete(m.byKey, g.key)
		}
		if m.byKey[own] == nil {
			m.byKey[own] = g
		}
		g.key = own
	}
	e := wants[own][0].want
	g.mu.Unlock()
	g.use(e)
	if swap {
		g.rejudge()
	}
	defer g.kickLagging() // who was held back and wants nothing else any more
	for key, mbs := range wants {
		if key == own {
			continue
		}
		if g.scan.active {
			g.later = append(g.later, g.reconcile)
			return
		}
		g.split(key, mbs)
	}
}

// use makes e the policy of the group. The manager's lock is held.
func (g *group) use(e Export) {
	g.t.Export = e
	for _, j := range []*judge{&g.judge, &g.ask} {
		j.filter = g.t.filter()
		j.memo.reset(j.memo.generation)
	}
}

// rejudge judges everything again. The members are sent the difference when that
// is done, in order of the sets, so that it is packed.
func (g *group) rejudge() {
	g.mu.Lock()
	for _, mb := range g.step {
		mb.pos, mb.given, mb.inStep = g.batch, g.batch, false
	}
	clear(g.step)
	g.step = g.step[:0]
	g.hold = true
	if g.full != nil && g.full.b1 != 0 {
		g.full = nil
	}
	g.mu.Unlock()
	if g.nothing() {
		g.scan.beginNothing(g.states)
		return
	}
	g.scan.end() // all of it, from the beginning
	if g.follow == nil {
		g.follow = g.m.rib.Follow("") // and no change is missed from here
	}
	g.lostAt = time.Time{}
	g.scan.begin(g.m.rib.View(), g.states)
}

// split moves members into a group of their own. It begins with a copy of the
// state, so that they are sent the difference. The manager's lock is held.
func (g *group) split(key string, mbs []*Member) {
	m := g.m
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.t
	t.Export = mbs[0].want
	c := makeGroup(m, key, t)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands = append(c.commands, c.rejudge)
	c.batch, c.filling, c.only = g.batch, g.filling, g.only
	c.ring.reset(c.batch)
	c.dead = append(c.dead, g.dead...)
	for _, w := range g.waits {
		w.left.Add(1)
	}
	c.waits = append(c.waits, g.waits...)
	c.waited.Store(len(c.waits) > 0)
	for _, mb := range mbs {
		if mb.running {
			mb.leaving = true // and then once more
			continue
		}
		g.remove(mb)
		c.add(mb)
	}
	if len(c.members) == 0 {
		for _, w := range c.waits {
			w.arrive()
		}
		return
	}
	for i, st := range g.states {
		c.states[i] = st.clone()
	}
	for mb := range c.members {
		mb.rebase(c)
	}
	if g.follow != nil && !c.nothing() {
		c.follow = m.rib.Follow(g.follow.Position())
	}
	m.groups[c] = struct{}{}
	if m.byKey[key] == nil {
		m.byKey[key] = c
	}
	m.wg.Go(c.run)
	if len(g.members) == 0 {
		m.drop(g)
	}
}

// drop ends a group that has no members; both locks are held.
func (m *Manager) drop(g *group) {
	g.stopped = true
	g.poke()
	delete(m.groups, g)
	for key, o := range m.byKey {
		if o == g {
			delete(m.byKey, key)
		}
	}
}
