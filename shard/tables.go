package shard

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// tableInfo is a table as all shards know it. It never changes but for the
// counts.
type tableInfo struct {
	id     rib.TableID
	family wire.Family
	rd     uint64
	hasRD  bool
	raw    bool
	v4     bool
	width  uint8 // of its tries
	split  uint8 // prefixes shorter than this live in the roof
	index  uint8 // of the family, see families

	prefixes, paths atomic.Int64
}

// maxFamilies bounds the families in use: generation marks of a peer are bits
// of a word.
const maxFamilies = 64

// directory is the registered tables. Readers take no lock.
type directory struct {
	mu       sync.Mutex
	byKey    map[tableKey]rib.TableID
	families atomic.Pointer[[]wire.Family] // by tableInfo.index; grows like list
	list     atomic.Pointer[[]*tableInfo]
	max      int
	hooks    []func(rib.TableID, wire.Family) // of OnTable
}

type tableKey struct {
	f  wire.Family
	rd uint64
}

func newDirectory(limit int) *directory {
	d := &directory{byKey: map[tableKey]rib.TableID{}, max: limit}
	d.list.Store(new([]*tableInfo))
	d.families.Store(new([]wire.Family))
	for _, f := range []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast, wire.IPv4Multicast, wire.IPv6Multicast} {
		d.table(f, 0)
	}
	return d
}

func (d *directory) get(t rib.TableID) *tableInfo {
	if list := *d.list.Load(); int(t) < len(list) {
		return list[t]
	}
	return nil
}

func (d *directory) find(f wire.Family, rd uint64) (rib.TableID, bool) {
	if f.Form() != wire.FormVPN {
		rd = 0
	}
	switch f {
	case wire.IPv4Unicast:
		return rib.TableIPv4Unicast, true
	case wire.IPv6Unicast:
		return rib.TableIPv6Unicast, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, ok := d.byKey[tableKey{f, rd}]
	return t, ok
}

func (d *directory) table(f wire.Family, rd uint64) (rib.TableID, bool) {
	if f.Form() != wire.FormVPN {
		rd = 0
	}
	d.mu.Lock()
	t, ok := d.byKey[tableKey{f, rd}]
	if ok {
		d.mu.Unlock()
		return t, true
	}
	t, ok = d.register(f, rd)
	hooks := d.hooks
	d.mu.Unlock()
	if ok {
		for _, h := range hooks {
			h(t, f)
		}
	}
	return t, ok
}

// register makes a table that is not there. d.mu is held.
func (d *directory) register(f wire.Family, rd uint64) (rib.TableID, bool) {
	form := f.Form()
	list := *d.list.Load()
	if len(list) >= d.max {
		return 0, false
	}
	index := d.index(f)
	if index < 0 {
		families := *d.families.Load()
		if index = len(families); index == maxFamilies {
			return 0, false
		}
		families = append(families, f)
		d.families.Store(&families)
	}
	info := &tableInfo{
		id: rib.TableID(len(list)), family: f, rd: rd, hasRD: form == wire.FormVPN,
		raw: form == wire.FormRaw, v4: f.Is4(), index: uint8(index),
	}
	switch {
	case info.raw:
		info.width = 32
	case info.v4:
		info.width, info.split = 32, split4
	default:
		info.width, info.split = 128, split6
	}
	// The list grows like a slice: entries behind its published length are
	// written before a longer one is published.
	list = append(list, info)
	d.list.Store(&list)
	d.byKey[tableKey{f, rd}] = info.id
	return info.id, true
}

func (d *directory) family(i int) (wire.Family, bool) {
	if families := *d.families.Load(); i < len(families) {
		return families[i], true
	}
	return 0, false
}

// index is the number of a family that has a table, else -1.
func (d *directory) index(f wire.Family) int { return slices.Index(*d.families.Load(), f) }

// Table returns the table of a family, and of a route distinguisher for VPN
// families (rd is 0 for others), which it registers at first use. ok is false
// when there are too many tables.
func (r *RIB) Table(f wire.Family, rd uint64) (t rib.TableID, ok bool) { return r.dir.table(f, rd) }

// OnTable calls f with each table: now with those that are registered, later with
// each new one, by the goroutine that registers it and before it has the table. f
// must be quick.
func (r *RIB) OnTable(f func(t rib.TableID, fam wire.Family)) {
	d := r.dir
	d.mu.Lock()
	d.hooks = append(slices.Clip(d.hooks), f)
	list := *d.list.Load()
	d.mu.Unlock()
	for _, info := range list {
		f(info.id, info.family)
	}
}

// FindTable is Table for those who only ask: it registers nothing.
func (r *RIB) FindTable(f wire.Family, rd uint64) (t rib.TableID, ok bool) { return r.dir.find(f, rd) }

// TableInfo says which table t is. hasRD is true for VPN families.
func (r *RIB) TableInfo(t rib.TableID) (f wire.Family, rd uint64, hasRD bool) {
	if info := r.dir.get(t); info != nil {
		return info.family, info.rd, info.hasRD
	}
	return 0, 0, false
}

// Tables returns the tables that hold a prefix, and the unicast ones always.
func (r *RIB) Tables() []rib.TableID {
	var ts []rib.TableID
	for _, info := range *r.dir.list.Load() {
		if info.id <= rib.TableIPv6Unicast || info.prefixes.Load() > 0 {
			ts = append(ts, info.id)
		}
	}
	return ts
}

// Prefix returns a prefix of table t; it is not valid for families whose NLRI
// are not prefixes.
func (r *RIB) Prefix(t rib.TableID, k trie.Key, n uint8) netip.Prefix {
	info := r.dir.get(t)
	if info == nil || info.raw || n > info.width {
		return netip.Prefix{}
	}
	return k.Prefix(n, info.v4)
}

// RawKey returns the key of an NLRI of a family whose NLRI are not prefixes
// (wire.FormRaw), given as its octets: the NLRI is interned. ok is false when
// the table of NLRI is full.
func (r *RIB) RawKey(nlri []byte) (k trie.Key, n uint8, ok bool) {
	id, ok := r.raw.Intern(nlri)
	return rawKey(id), rawBits, ok
}

// FindRawKey is RawKey for those who only ask.
func (r *RIB) FindRawKey(nlri []byte) (k trie.Key, n uint8, ok bool) {
	id := r.raw.Find(nlri)
	return rawKey(id), rawBits, id != 0
}

// RawNLRI returns the octets of a key that RawKey made, in place.
func (r *RIB) RawNLRI(k trie.Key) (nlri []byte, ok bool) { return r.raw.Bytes(uint32(k.Hi >> 32)) }

const rawBits = 32

func rawKey(id uint32) trie.Key { return trie.Key{Hi: uint64(id) << 32} }

// InternLabels returns the id of a stack of labels, 3 octets each, for
// rib.Path.Labels. No labels are 0.
func (r *RIB) InternLabels(labels []byte) (id uint32, ok bool) {
	if len(labels) == 0 {
		return 0, true
	}
	return r.labels.Intern(labels)
}

// Labels returns the stack of labels of an id, in place; none for 0.
func (r *RIB) Labels(id uint32) (labels []byte, ok bool) {
	if id == 0 {
		return nil, true
	}
	return r.labels.Bytes(id)
}
