package origin

import (
	"net/netip"
	"slices"
	"time"

	"ribd/shard/rib"
	"ribd/wire/flowspec"
)

type addr = netip.Addr

// isGuarded says whether a route is one that the guards are for.
func (m *Manager) isGuarded(k *Key, id rib.AttrID) bool {
	s := m.sets[id]
	if s == nil { // the entry is not there yet
		b, _ := m.attrs.Bytes(id)
		if m.guards.blackhole(b) {
			return true
		}
		return filters(k.Family) && ruleActs(b)
	}
	if s.blackhole || !filters(k.Family) {
		return s.blackhole
	}
	if !s.asked {
		b, _ := m.attrs.Bytes(id)
		s.asked, s.acts = true, ruleActs(b)
	}
	return s.acts
}

// askOwn asks once in a group for the addresses that are not to be hit. The lock
// is given up meanwhile: what ends by itself must not wait for the answer.
func (m *Manager) askOwn() {
	b := &m.batch
	if b.hasOwn {
		return
	}
	m.mu.Unlock()
	defer m.mu.Lock()
	own := sortedAddrs(m.o.Own())
	b.ownIs, b.hasOwn = own, true // the leader's
}

// guard judges a guarded route that is to be the value of an entry (nil: of one
// that is new). askOwn comes before it.
func (m *Manager) guard(k *Key, e *entry, v *value, ttl time.Duration) error {
	if err := m.guards.place(targetOf(k), m.batch.ownIs); err != nil {
		return err
	}
	if err := m.guards.ttl(ttl); err != nil {
		return err
	}
	// What it takes the place of leaves room.
	counted := e != nil && e.live && e.val.guarded && e.val.held == nil
	if counted {
		m.counts.add(e.val.src, -1)
	}
	err := m.guards.room(&m.counts, v.src)
	if counted {
		m.counts.add(e.val.src, 1)
	}
	if err != nil {
		return err
	}
	return nil
}

// setGuards judges everything by other guards. No group is in hand.
func (m *Manager) setGuards(g Guards) (held, released int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, 0
	}
	m.guards = g
	b := &m.batch
	b.begin()
	m.askOwn()
	m.look()
	for id, s := range m.sets {
		attrs, _ := m.attrs.Bytes(id)
		*s = set{refs: s.refs, blackhole: m.guards.blackhole(attrs)}
	}
	var list []*entry
	for _, e := range m.order.list() {
		if !e.live {
			continue
		}
		k := e.keyOf()
		if e.val.guarded || m.isGuarded(&k, e.val.attrs) {
			list = append(list, e)
		}
	}
	held, released = m.judge(list)
	m.fan.Flush()
	b.end()
	return held, released
}

// maxLogged bounds the routes that are logged one by one.
const maxLogged = 20

// judge asks the guards again about entries, in the order in which they came, as
// if they came now.
func (m *Manager) judge(list []*entry) (held, released int) {
	slices.SortStableFunc(list, func(a, b *entry) int {
		switch {
		case a.val.created < b.val.created:
			return -1
		case a.val.created > b.val.created:
			return 1
		}
		return 0
	})
	was := make([]value, len(list))
	for i, e := range list {
		was[i] = e.val
		m.put(e, e.val, false)
	}
	for i, e := range list {
		v := was[i]
		k := e.keyOf()
		v.guarded, v.held = m.isGuarded(&k, v.attrs), nil
		if v.guarded {
			ttl := time.Duration(0)
			if v.expires != 0 {
				ttl = time.Duration(v.expires - v.renewed)
			}
			if err := m.guard(&k, nil, &v, ttl); err != nil {
				v.held = err.(*GuardError)
			}
		}
		m.put(e, v, true)
		m.show(e)
		switch {
		case v.held != nil && was[i].held == nil:
			if held++; held <= maxLogged {
				m.log.Warn("the guards refuse what is originated: it is held back", "route", keyText(&k), "guard", string(v.held.Guard), "why", v.held.Detail)
			}
		case v.held == nil && was[i].held != nil:
			if released++; released <= maxLogged {
				m.log.Info("the guards allow what was held back", "route", keyText(&k))
			}
		}
	}
	if held > maxLogged || released > maxLogged {
		m.log.Warn("the guards judged what is originated anew", "held", held, "released", released)
	}
	return held, released
}

// keyText names a route in the log.
func keyText(k *Key) string {
	if k.Prefix.IsValid() {
		return k.Prefix.String()
	}
	if flowspec.Is(k.Family) {
		return string(flowspec.NLRIText(nil, k.Family, []byte(k.NLRI)))
	}
	return k.Family.String() + " " + hexText(k.NLRI)
}
