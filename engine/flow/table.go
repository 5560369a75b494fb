package flow

import (
	"cmp"
	"math"
	"slices"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// family is what is known of the rules of a family: those of all route
// distinguishers, which are one table of the RIB.
type family struct {
	family  wire.Family
	table   rib.TableID
	entries map[uint32]entry      // by the number that a raw key holds
	witness map[uint32]changedKey // of rules that are not feasible for a longer prefix: one such
	counts  *familyCounts
}

// entry is a rule, with what is counted of it.
type entry struct {
	id      uint64   // of its first path
	more    []uint64 // of the others
	paths   uint16
	active  bool
	invalid [reasons]uint16
}

// reasons are those of FilterReason.Invalid, from FilterNoDestination on.
const reasons = int(rib.FilterMoreSpecific-rib.FilterNoDestination) + 1

// rawBits is the length of keys of rules.
const rawBits = 32

func rawNumber(k trie.Key) uint32 { return uint32(k.Hi >> 32) }

// family returns what is known of a family, made at first use.
func (t *Tables) family(f wire.Family, id rib.TableID) *family {
	for _, x := range t.families {
		if x.family == f {
			return x
		}
	}
	x := &family{family: f, table: id, entries: map[uint32]entry{}, witness: map[uint32]changedKey{}, counts: t.counts.family(f)}
	t.families = append(t.families, x)
	return x
}

// familyOf returns the family of a table.
func (t *Tables) familyOf(tb *table) *family {
	for _, x := range t.families {
		if x.family == tb.family {
			return x
		}
	}
	return nil
}

// settle takes over what the changes read so far have come to, and publishes it.
func (t *Tables) settle() {
	if len(t.unicast) > 0 {
		t.unicast = distinct(t.unicast)
	}
	t.noteWide()
	t.refreshAll()
	t.publish()
	t.revalidate()
	t.judgeAgain()
}

// refreshAll reads the rules anew of which a change was read.
func (t *Tables) refreshAll() {
	if len(t.changed) == 0 {
		return
	}
	t.changed = distinct(t.changed)
	for keys := t.changed; len(keys) > 0; {
		part := keys[:min(len(keys), atOnce)]
		keys = keys[len(part):]
		t.pin()
		for _, c := range part {
			t.refresh(t.roles[c.t].family, c.k)
		}
		t.rd.Unpin()
	}
	t.changed = t.changed[:0]
}

// distinct sorts keys and leaves each once.
func distinct(keys []changedKey) []changedKey {
	slices.SortFunc(keys, func(a, b changedKey) int {
		if a.t != b.t {
			return cmp.Compare(a.t, b.t)
		}
		if c := a.k.Compare(b.k); c != 0 {
			return c
		}
		return cmp.Compare(a.n, b.n)
	})
	return slices.Compact(keys)
}

// refresh makes the entry of a rule what the RIB has. t.rd is pinned.
func (t *Tables) refresh(f *family, k trie.Key) {
	nlri, ok := t.rib.RawNLRI(k)
	if !ok {
		return
	}
	n := rawNumber(k)
	old, had := f.entries[n]
	m := t.rd.Get(f.table, k, rawBits)
	t.paths = t.paths[:0]
	if m.OK() {
		t.paths = t.rd.Paths(m, t.paths)
	}
	key := tableKey{f.family, flowspec.RD(f.family, nlri)}
	if len(t.paths) == 0 {
		if !had {
			return
		}
		f.counts.less(&old)
		t.place.forget(f.table, n, &old)
		delete(f.entries, n)
		delete(f.witness, n)
		if tb := t.tables[key]; tb != nil {
			tb.rules.Delete(nlri)
			t.touch(tb)
		}
		return
	}
	e, v := t.entryOf(f, nlri)
	f.entries[n] = e
	if had {
		f.counts.less(&old)
		if !old.sameIDs(&e) {
			t.place.forget(f.table, n, &old)
			t.place.note(f.table, n, &e)
		}
	} else {
		t.place.note(f.table, n, &e)
	}
	f.counts.more(&e)
	tb := t.tables[key]
	if tb == nil {
		tb = &table{tableKey: key, rules: rules.NewTable(key.family)}
		t.tables[key] = tb
		t.epoch++
		t.watch(key, true)
	}
	tb.rules.Set(nlri, v)
	t.touch(tb)
	t.check(f, k, nlri)
}

// entryOf makes the entry of the rule whose paths are t.paths, the best first.
func (t *Tables) entryOf(f *family, nlri []byte) (e entry, v rules.Value) {
	for i := range t.paths {
		p := &t.paths[i]
		var id uint64
		if peer, ok := t.rib.Peer(p.Peer); ok {
			id = RuleID(peer.ID, f.family, p.HasPathID, p.PathID, nlri)
		}
		if i == 0 {
			e.id = id
		} else {
			e.more = append(e.more, id)
		}
		if p.Filtered.Invalid() {
			e.invalid[p.Filtered-rib.FilterNoDestination]++
		}
	}
	e.paths = uint16(min(len(t.paths), math.MaxUint16))
	v.ID = e.id
	if best := &t.paths[0]; best.Filtered == rib.FilterNone {
		e.active, v.Active = true, true
		v.Ref, v.Terminal = uint64(best.Attrs), t.terms.of(t.attrs, best.Attrs)
	}
	return e, v
}

func (e *entry) sameIDs(o *entry) bool { return e.id == o.id && slices.Equal(e.more, o.more) }

// terminals remembers whether sets end the matching, by a bit.
type terminals struct {
	generation uint64
	known      map[rib.AttrID]bool
}

// of says whether the actions in a set end the matching (RFC 8955 section 7.3).
func (x *terminals) of(attrs *rib.Attrs, id rib.AttrID) bool {
	const most = 1 << 14
	if g := attrs.Generation(); x.known == nil || g != x.generation || len(x.known) > most {
		x.generation, x.known = g, map[rib.AttrID]bool{}
	}
	v, ok := x.known[id]
	if !ok {
		b, _ := attrs.Bytes(id)
		v = !flowspec.GoesOn(b)
		x.known[id] = v
	}
	return v
}

// watch says whether changes of the routes that rules are validated against are
// read from now on.
func (t *Tables) watch(k tableKey, on bool) {
	if id, ok := t.rib.FindTable(flowspec.Unicast(k.family), k.rd); ok {
		t.wide.watch(id, on)
	}
}

// touch notes that the rules of a table have changed.
func (t *Tables) touch(tb *table) {
	if !tb.dirty {
		tb.dirty = true
		t.dirty = append(t.dirty, tb)
	}
}

// publish makes what has changed visible.
func (t *Tables) publish() {
	for _, tb := range t.dirty {
		tb.dirty = false
		tb.current.Store(tb.rules.Publish())
		if tb.rules.Len() == 0 {
			delete(t.tables, tb.tableKey)
			t.epoch++
			t.watch(tb.tableKey, false)
		}
	}
	t.dirty = t.dirty[:0]
	if t.listed == t.epoch {
		return
	}
	t.listed = t.epoch
	list := make([]*table, 0, len(t.tables))
	for _, tb := range t.tables {
		list = append(list, tb)
	}
	slices.SortFunc(list, func(a, b *table) int { return a.compare(b.tableKey) })
	t.list.Store(&list)
}

func (k tableKey) compare(o tableKey) int {
	if c := cmp.Compare(k.family, o.family); c != 0 {
		return c
	}
	return cmp.Compare(k.rd, o.rd)
}

// rebuild begins again from a snapshot of the RIB: what came since the last change
// that was read is not known.
func (t *Tables) rebuild(f *shard.Follower) {
	t.counts.rebuilt.Add(1)
	v := f.Snapshot()
	defer v.Close()
	t.wide.forget()
	t.changed, t.unicast, t.again = t.changed[:0], t.unicast[:0], t.again[:0]
	// What is no longer there has to go too.
	for _, x := range t.families {
		for n := range x.entries {
			t.changed = append(t.changed, changedKey{x.table, trie.Key{Hi: uint64(n) << 32}, rawBits})
		}
	}
	for _, id := range v.Tables() {
		if t.role(id).family == nil {
			continue
		}
		w := v.Walk(id, shard.WalkRange{})
		for w.Next() {
			t.changed = append(t.changed, changedKey{id, w.Key(), w.Len()})
		}
		w.Close()
	}
	t.settle()
	t.place.reached(f)
}

// TableRef is a table and a snapshot of it.
type TableRef struct {
	Family wire.Family
	RD     uint64 // 0 where the family has none
	Rules  *rules.Rules
}

// Tables returns the tables that have rules, by family and route distinguisher.
func (t *Tables) Tables() []TableRef {
	list := *t.list.Load()
	out := make([]TableRef, len(list))
	for i, tb := range list {
		out[i] = TableRef{tb.family, tb.rd, tb.current.Load()}
	}
	return out
}

// Families returns the families that have rules.
func (t *Tables) Families() (fs []wire.Family) {
	for _, tb := range *t.list.Load() {
		if len(fs) == 0 || fs[len(fs)-1] != tb.family {
			fs = append(fs, tb.family)
		}
	}
	return fs
}

// Rules returns a snapshot of the rules of a family and route distinguisher, which
// is 0 where the family has none; nil without rules.
func (t *Tables) Rules(f wire.Family, rd uint64) *rules.Rules {
	list := *t.list.Load()
	i, ok := slices.BinarySearchFunc(list, tableKey{f, rd}, func(tb *table, k tableKey) int { return tb.compare(k) })
	if !ok {
		return nil
	}
	return list[i].current.Load()
}
