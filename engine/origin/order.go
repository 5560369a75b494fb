package origin

import (
	"net/netip"
	"slices"
	"time"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// order is the entries in the order of their keys, brought up to date when
// somebody asks: what came since is sorted and merged in, what is gone left out.
type order struct {
	sorted []*entry // never changed in place: who has it may go on reading
	fresh  []*entry
	gone   int
}

func (o *order) add(e *entry) { o.fresh = append(o.fresh, e) }

func (o *order) list() []*entry {
	if len(o.fresh) == 0 && o.gone == 0 {
		return o.sorted
	}
	slices.SortFunc(o.fresh, (*entry).compare)
	all := make([]*entry, 0, len(o.sorted)+len(o.fresh))
	a, b := o.sorted, o.fresh
	for len(a) > 0 || len(b) > 0 {
		var e *entry
		if len(b) == 0 || len(a) > 0 && a[0].compare(b[0]) < 0 {
			e, a = a[0], a[1:]
		} else {
			e, b = b[0], b[1:]
		}
		if !e.gone {
			all = append(all, e)
		}
	}
	o.sorted, o.fresh, o.gone = all, nil, 0
	return all
}

// Filter says what List returns. Its zero value is everything.
type Filter struct {
	Family wire.Family // 0: all
	HasRD  bool
	RD     uint64
	Prefix netip.Prefix // not valid: all
	Rules  bool         // only those of Flow Spec families
}

func (f *Filter) match(e *entry) bool {
	switch {
	case f.Family != 0 && e.t.family != f.Family, f.HasRD && e.t.rd != f.RD, f.Rules && !flowspec.Is(e.t.family):
		return false
	case f.Prefix.IsValid():
		return e.t.form != wire.FormRaw && e.key.Prefix(e.n, e.t.v4) == f.Prefix
	}
	return true
}

// List appends the routes that f lets through to dst, in the order of their
// keys, from just behind after (nil: from the first), up to limit (0: all of
// them). more says that there are others behind them.
func (m *Manager) List(dst []Route, f Filter, after *Key, limit int) (routes []Route, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.order.list()
	if after != nil {
		at, _ := slices.BinarySearchFunc(list, after, func(e *entry, k *Key) int {
			o := e.keyOf()
			if c := o.Compare(k); c != 0 {
				return c
			}
			return -1
		})
		list = list[at:]
	}
	n := 0
	for i, e := range list {
		if i%slice == slice-1 { // who announces does not wait for who looks through all
			m.mu.Unlock()
			m.mu.Lock()
		}
		if !e.live || !f.match(e) {
			continue
		}
		if limit > 0 && n == limit {
			return dst, true
		}
		dst = append(dst, m.routeOf(e))
		n++
	}
	return dst, false
}

// Get returns the route of a key.
func (m *Manager) Get(k Key) (Route, bool) {
	if _, err := k.normalise(nil); err != nil {
		return Route{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(&k)
	if e == nil || !e.live {
		return Route{}, false
	}
	return m.routeOf(e), true
}

// Rule returns the rule of an id (Options.ID).
func (m *Manager) Rule(id uint64) (Route, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.rules[id]
	if e == nil || !e.live {
		return Route{}, false
	}
	return m.routeOf(e), true
}

func (m *Manager) routeOf(e *entry) Route {
	attrs, _ := m.attrs.Bytes(e.val.attrs)
	return Route{
		Key: e.keyOf(), Labels: clone([]byte(e.val.labels)), Attrs: attrs, Peers: e.val.src.only,
		Expires: timeOf(e.val.expires), Created: timeOf(e.val.created),
		Num: e.val.src.num, AttrsID: e.val.attrs, ID: e.id, Held: e.val.held,
	}
}

// timeOf is the reverse of UnixNano, with 0 for the zero time.
func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
