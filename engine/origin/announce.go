package origin

import (
	"errors"

	"ribd/shard/rib"
)

// request does one request of a group, as far as the entries.
func (m *Manager) request(r *request) {
	start := m.batch.mark()
	m.look()
	switch r.kind {
	case requestWithdraw:
		r.found = make([]bool, len(r.keys))
		for i := range r.keys {
			r.found[i] = m.withdraw(&r.keys[i])
			m.pause(i)
		}
	case requestAnnounce, requestCheck:
		r.results = make([]Result, len(r.routes))
		for i := range r.routes {
			err := m.announce(&r.routes[i], &r.results[i])
			if err == nil {
				m.pause(i)
				continue
			}
			var g *GuardError
			if errors.As(err, &g) && r.kind == requestAnnounce {
				m.stats.Refused[g.Guard]++
			}
			if r.mode == EachAlone {
				r.results[i].Err = err
				continue
			}
			r.results, r.err = nil, &RouteError{i, err}
			m.undoTo(start)
			return
		}
		if r.kind == requestCheck {
			m.undoTo(start)
		}
	}
}

// pause lets others have the lock now and then.
func (m *Manager) pause(i int) {
	if i%slice == slice-1 {
		m.mu.Unlock()
		m.mu.Lock()
		m.look()
	}
}

// withdraw takes a route away, as far as the entries.
func (m *Manager) withdraw(k *Key) (found bool) {
	key := *k
	var err error
	if m.scratch, err = key.normalise(m.scratch); err != nil {
		return false
	}
	e := m.find(&key)
	if e == nil || !e.live {
		return false
	}
	m.batch.records.withdraw(e)
	m.change(e, e.val, false)
	return true
}

// announce checks a route and makes it the value of its key, as far as the
// entries.
func (m *Manager) announce(r *Route, res *Result) (err error) {
	k := r.Key
	if m.scratch, err = k.normalise(m.scratch); err != nil {
		return err
	}
	if err = r.check(); err != nil {
		return err
	}
	id, err := m.intern(r.Attrs, &k)
	if err != nil {
		return err
	}
	t, err := m.tableOf(k.Family, k.RD)
	if err != nil {
		return err
	}
	if err = m.roomForSource(r.Peers); err != nil {
		return err
	}
	src, err := m.sourceOf(r.Peers)
	if err != nil {
		return err
	}
	v := value{attrs: id, src: src, created: m.wall, renewed: m.wall}
	if v.guarded = m.isGuarded(&k, id); v.guarded {
		m.askOwn()
	}
	ttl := r.TTL
	if ttl == 0 && v.guarded {
		ttl = m.guards.DefaultTTL
	}
	if ttl > 0 {
		v.expires = v.renewed + int64(ttl)
		if !r.From.IsZero() && r.TTL > 0 {
			v.expires = r.From.UnixNano() + int64(ttl)
		}
	}
	e := m.lookup(t, &k)
	isNew := e == nil || !e.live
	same := false
	if !isNew {
		old := &e.val
		v.created = old.created
		same = old.attrs == id && old.src == src && sameString(old.labels, r.Labels) && old.held == nil
		if same {
			v.labels = old.labels
		}
	}
	if v.labels == "" && len(r.Labels) > 0 {
		v.labels = string(r.Labels)
	}
	if isNew {
		// Which of two came first is asked when there are too many.
		v.created = max(v.created, m.newest+1)
		m.newest = v.created
	}
	if v.guarded {
		if err := m.guard(&k, e, &v, ttl); err != nil {
			return err
		}
	}
	if e == nil {
		if e, err = m.makeEntry(t, &k); err != nil {
			return err
		}
	}
	*res = Result{
		Num: src.num, Table: t.id, Key: e.key, Len: e.n, AttrsID: id, ID: e.id,
		Expires: timeOf(v.expires), New: isNew, Changed: !same,
	}
	if same && v.expires == 0 && e.val.expires == 0 {
		return nil
	}
	m.change(e, v, true)
	m.batch.records.announce(e, r.Attrs)
	return nil
}

func sameString(a string, b []byte) bool { return a == string(b) }

// intern returns the set of attributes, checked where it is not one of those
// that are here.
func (m *Manager) intern(attrs []byte, k *Key) (rib.AttrID, error) {
	b := &m.batch
	if b.beforeID != 0 && string(b.before) == string(attrs) {
		return b.beforeID, nil
	}
	id := m.attrs.Find(attrs)
	if id == 0 || m.sets[id] == nil {
		if err := checkAttrs(attrs, k.Family); err != nil {
			return 0, err
		}
	}
	id, ok := m.attrs.Intern(attrs)
	if !ok {
		return 0, ErrFull
	}
	b.before, b.beforeID = attrs, id
	return id, nil
}
