package origin

import (
	"strings"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// entry is a key and what is originated for it. It is in the maps while it is
// live, and until the RIB knows that it is not.
type entry struct {
	t         *table
	key       trie.Key
	n         uint8
	hasPathID bool
	live      bool
	touched   bool // the group in hand has changed it
	gone      bool // it is in no map any more
	pathID    uint32
	heap      int32 // in expiry; -1: it does not end
	nlri      string
	due       int64 // when it ends, since the Manager's epoch
	id        uint64
	val       value
	shown     shown
}

// shown is what the RIB has of an entry; without source: nothing.
type shown struct {
	src    *source
	labels string
	attrs  rib.AttrID
}

// value is what a change of an entry changes.
type value struct {
	attrs   rib.AttrID
	src     *source
	labels  string
	created int64 // these in ns since 1970
	renewed int64
	expires int64 // 0: never
	due     int64 // the same by the steady clock, see entry; 0: put finds it
	guarded bool
	held    *GuardError
}

// keyOf returns the key of an entry as callers know it.
func (e *entry) keyOf() Key {
	k := Key{Family: e.t.family, RD: e.t.rd, PathID: e.pathID, HasPathID: e.hasPathID}
	if e.t.form == wire.FormRaw {
		k.NLRI = e.nlri
	} else {
		k.Prefix = e.key.Prefix(e.n, e.t.v4)
	}
	return k
}

// compare orders entries as Key.Compare does.
func (e *entry) compare(o *entry) int {
	if e.t != o.t || e.t.form == wire.FormRaw {
		a, b := e.keyOf(), o.keyOf()
		return a.Compare(&b)
	}
	if c := e.key.Compare(o.key); c != 0 {
		return c
	}
	if e.n != o.n {
		return int(e.n) - int(o.n)
	}
	return comparePath(e.hasPathID, e.pathID, o.hasPathID, o.pathID)
}

// find returns the entry of a key that is normalised; nil: there is none.
func (m *Manager) find(k *Key) *entry {
	t := m.tables[tableKey{k.Family, k.RD}]
	if t == nil {
		return nil
	}
	return m.lookup(t, k)
}

func (m *Manager) lookup(t *table, k *Key) *entry {
	if t.form == wire.FormRaw {
		return m.raws[rawKey{k.NLRI, t.id, k.PathID, k.HasPathID}]
	}
	key, n := trie.PrefixKey(k.Prefix)
	return m.prefixes[prefixKey{key, t.id, k.PathID, n, k.HasPathID}]
}

// tableOf returns the table of a family and route distinguisher, which it
// registers.
func (m *Manager) tableOf(f wire.Family, rd uint64) (*table, error) {
	if t := m.lastTab; t != nil && t.family == f && t.rd == rd {
		return t, nil
	}
	t := m.tables[tableKey{f, rd}]
	if t == nil {
		id, ok := m.o.RIB.Table(f, rd)
		if !ok {
			return nil, ErrFull
		}
		t = &table{id: id, family: f, rd: rd, form: f.Form(), v4: f.Is4()}
		m.tables[tableKey{f, rd}] = t
	}
	m.lastTab = t
	return t, nil
}

// make returns a new entry, which is not live yet.
func (m *Manager) makeEntry(t *table, k *Key) (*entry, error) {
	e := &entry{t: t, pathID: k.PathID, hasPathID: k.HasPathID, heap: -1}
	if t.form == wire.FormRaw {
		var ok bool
		if e.key, e.n, ok = m.o.RIB.RawKey([]byte(k.NLRI)); !ok {
			return nil, ErrFull
		}
		e.nlri = strings.Clone(k.NLRI)
		if m.o.ID != nil {
			e.id = m.o.ID(m.id, t.family, e.hasPathID, e.pathID, []byte(e.nlri))
		}
		m.raws[rawKey{e.nlri, t.id, e.pathID, e.hasPathID}] = e
	} else {
		e.key, e.n = trie.PrefixKey(k.Prefix)
		m.prefixes[prefixKey{e.key, t.id, e.pathID, e.n, e.hasPathID}] = e
	}
	if e.id != 0 {
		m.rules[e.id] = e
	}
	m.order.add(e)
	return e, nil
}

// forget takes an entry that is not live out of the maps.
func (m *Manager) forget(e *entry) {
	if e.gone {
		return
	}
	e.gone = true
	if m.order.gone++; m.order.gone > slice && m.order.gone > 2*(len(m.prefixes)+len(m.raws)) {
		m.order.list()
	}
	if e.t.form == wire.FormRaw {
		delete(m.raws, rawKey{e.nlri, e.t.id, e.pathID, e.hasPathID})
	} else {
		delete(m.prefixes, prefixKey{e.key, e.t.id, e.pathID, e.n, e.hasPathID})
	}
	if e.id != 0 && m.rules[e.id] == e {
		delete(m.rules, e.id)
	}
}

// put gives an entry a value and says whether it is live; everything that is
// counted follows. The RIB is not touched.
func (m *Manager) put(e *entry, v value, live bool) {
	if e.live {
		m.unset(e.val.attrs)
		e.val.src.ref(-1)
		e.t.entries--
		if e.val.held != nil {
			m.stats.Held--
		} else if e.val.guarded {
			m.counts.add(e.val.src, -1)
		}
		if e.heap >= 0 {
			m.expiry.remove(e)
		}
	}
	e.val, e.live = v, live
	if !live {
		return
	}
	m.setOf(v.attrs).refs++
	v.src.ref(1)
	e.t.entries++
	if v.held != nil {
		m.stats.Held++
	} else if v.guarded {
		m.counts.add(v.src, 1)
	}
	if v.expires != 0 {
		if v.due == 0 { // else it stays, whatever became of the wall clock since
			e.val.due = m.steady + v.expires - m.wall
		}
		e.due = e.val.due
		m.expiry.add(e)
		m.arm()
	}
}

// look reads the clocks: the wall clock says when something ends, the steady one
// how long until then.
func (m *Manager) look() {
	now := time.Now()
	m.wall, m.steady = now.UnixNano(), int64(now.Sub(m.epoch))
}

// setOf returns what is known of a set, which it finds out at first use.
func (m *Manager) setOf(id rib.AttrID) *set {
	s := m.sets[id]
	if s == nil {
		b, _ := m.attrs.Bytes(id)
		s = &set{blackhole: m.guards.blackhole(b)}
		m.sets[id] = s
	}
	return s
}

func (m *Manager) unset(id rib.AttrID) {
	if s := m.sets[id]; s != nil {
		if s.refs--; s.refs <= 0 {
			delete(m.sets, id)
		}
	}
}

// show makes the RIB hold what the entry says. The Fan is not flushed.
func (m *Manager) show(e *entry) {
	want := e.live && e.val.held == nil
	if old := e.shown.src; old != nil && (!want || old != e.val.src) {
		if e.t.form == wire.FormRaw {
			e.key, e.n, _ = m.o.RIB.RawKey([]byte(e.nlri))
		}
		m.fan.Withdraw(e.t.id, e.key, e.n, old.num, e.pathID, e.hasPathID)
		e.shown = shown{}
	}
	if want && (e.shown.src == nil || e.shown.attrs != e.val.attrs || e.shown.labels != e.val.labels) {
		m.announceEntry(e)
	}
	if !e.live && !e.touched {
		m.forget(e)
	}
}

func (m *Manager) announceEntry(e *entry) {
	if e.t.form == wire.FormRaw {
		key, n, ok := m.o.RIB.RawKey([]byte(e.nlri))
		if !ok {
			m.log.Warn("a route can't be shown: the tables are full", "family", e.t.family)
			return
		}
		e.key, e.n = key, n
	}
	labels, ok := uint32(0), true
	if e.val.labels != "" {
		labels, ok = m.o.RIB.InternLabels([]byte(e.val.labels))
	}
	if !ok {
		m.log.Warn("a route can't be shown: the table of labels is full", "family", e.t.family)
		return
	}
	p := rib.Path{
		Peer: e.val.src.num, Attrs: e.val.attrs, PathID: e.pathID, HasPathID: e.hasPathID,
		Labels: labels, Received: uint32(m.wall / int64(time.Second)),
	}
	m.fan.Announce(e.t.id, e.key, e.n, &p)
	e.shown = shown{e.val.src, e.val.labels, e.val.attrs}
}
