package adjout

// SetExports gives members other export policies. Members of one group that
// get policies with equal keys go over together; each is sent the difference
// alone. It returns before that.
func (m *Manager) SetExports(changes map[*Member]Export) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return
	}
	moves := map[*group]map[string][]*Member{}
	for mb, e := range changes {
		g := mb.g.Load()
		if g == nil {
			continue
		}
		t := mb.t
		t.Export = e
		if moves[g] == nil {
			moves[g] = map[string][]*Member{}
		}
		moves[g][t.key()] = append(moves[g][t.key()], mb)
	}
	for g, keys := range moves {
		m.move(g, keys, changes)
	}
}

// move carries changes of policy to the members of one group: where all go over
// to the same one the group does, others get a group that begins as a copy.
func (m *Manager) move(g *group, keys map[string][]*Member, changes map[*Member]Export) {
	g.mu.Lock()
	total, old := len(g.members), g.key
	g.mu.Unlock()
	for key, mbs := range keys {
		e := changes[mbs[0]]
		if len(mbs) < total && key != old {
			g.command(func() { g.split(key, mbs, e) })
			continue
		}
		if m.byKey[old] == g {
			delete(m.byKey, old)
		}
		if m.byKey[key] == nil {
			m.byKey[key] = g
		}
		g.command(func() { g.swap(key, e) })
	}
}

// swap gives the group another policy, and judges everything again where it is
// not equal to the one before.
func (g *group) swap(key string, e Export) {
	g.judge.filter = nil
	if e != nil {
		g.judge.filter = e
	}
	g.t.Export = e
	g.judge.memo.reset(g.judge.memo.generation)
	g.mu.Lock()
	same := g.key == key
	g.key = key
	for mb := range g.members {
		mb.t.Export = e
	}
	g.mu.Unlock()
	if !same {
		g.rejudge()
	}
}

// rejudge judges everything again. The members are sent the difference when that
// is done, in order of the sets, so that it is packed.
func (g *group) rejudge() {
	g.mu.Lock()
	for _, mb := range g.step {
		mb.pos, mb.inStep = g.batch, false
	}
	clear(g.step)
	g.step = g.step[:0]
	g.hold = true
	if g.full != nil && g.full.b1 != 0 {
		g.full = nil
	}
	g.mu.Unlock()
	g.scan.end() // all of it, from the beginning
	g.scan.begin(g.m.rib.View(), g.states)
}

// split moves members with a policy of their own into a group of their own. It
// begins with a copy of the state, so that they are sent the difference.
func (g *group) split(key string, mbs []*Member, e Export) {
	if g.scan.active {
		g.later = append(g.later, func() { g.split(key, mbs, e) })
		return
	}
	m := g.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.t
	t.Export = e
	c := makeGroup(m, key, t)
	c.batch, c.filling = g.batch, g.filling
	c.ring.reset(c.batch)
	c.dead = append(c.dead, g.dead...)
	for _, mb := range mbs {
		if _, ok := g.members[mb]; !ok {
			continue
		}
		if mb.running {
			mb.leaving = func() { g.split(key, []*Member{mb}, e) }
			continue
		}
		mb.t.Export = e
		g.remove(mb)
		c.add(mb)
	}
	if len(c.members) == 0 {
		return
	}
	for i, st := range g.states {
		c.states[i] = st.clone()
	}
	for mb := range c.members {
		mb.rebase(c)
	}
	c.follow = m.rib.Follow(g.follow.Position())
	c.commands = append(c.commands, c.rejudge)
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
	if m.byKey[g.key] == g {
		delete(m.byKey, g.key)
	}
}
