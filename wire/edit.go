package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// maxAttrLen is the longest value that an attribute can have.
const maxAttrLen = 65535

// AttrEditor changes a set of canonical attributes. What Append writes is
// canonical again: attributes in ascending order, each once, communities in the
// order that they were given in.
//
//	e.Start(attrs)
//	e.Prepend(64512, 1)
//	e.SetUint32(wire.AttrLocalPref, 200)
//	out = e.Append(out[:0])
//
// One is meant to be used again and again, and then allocates nothing. It
// borrows what Start was given until the next Start, and belongs to one
// goroutine. Values that it is given are copied.
//
// A value cannot grow over 65,535 octets: what would not fit is left out, and
// TooLong is true. Such a set does not fit into a message either.
type AttrEditor struct {
	list    []editItem
	buf     []byte  // new values
	one     [8]byte // a community that is looked for; here, and not on the stack, since a function returns it
	changed bool
	tooLong bool
}

// editItem is one attribute; its value lies in what Start was given or in a
// buffer of the editor, and is never written again.
type editItem struct {
	typ   AttrType
	flags byte
	value []byte
}

// Start begins with a set of canonical attributes, which must not change until
// the last Append.
func (e *AttrEditor) Start(canonical []byte) {
	e.list, e.buf = e.list[:0], e.buf[:0]
	e.changed, e.tooLong = false, false
	for w := WalkAttributes(canonical); w.Next(); {
		e.list = append(e.list, editItem{w.typ, w.flags &^ FlagExtended, w.value})
	}
}

// Append appends the set as it is now, in canonical form.
func (e *AttrEditor) Append(dst []byte) []byte {
	for i := range e.list {
		it := &e.list[i]
		dst = AppendAttr(dst, it.flags, it.typ, it.value)
	}
	return dst
}

// Changed is true where anything is not as Start was given it.
func (e *AttrEditor) Changed() bool { return e.changed }

// TooLong is true where a value had no room for all that was to be added.
func (e *AttrEditor) TooLong() bool { return e.tooLong }

// find returns where t is, or would be.
func (e *AttrEditor) find(t AttrType) (int, bool) {
	for i := range e.list {
		if e.list[i].typ >= t {
			return i, e.list[i].typ == t
		}
	}
	return len(e.list), false
}

// Has is true where the attribute is there.
func (e *AttrEditor) Has(t AttrType) bool {
	_, ok := e.find(t)
	return ok
}

// Get returns an attribute's value, which the caller must not change and which
// is valid until the next Start.
func (e *AttrEditor) Get(t AttrType) ([]byte, bool) {
	if i, ok := e.find(t); ok {
		return e.list[i].value, true
	}
	return nil, false
}

// Uint32 returns the value of an attribute of 4 octets: MULTI_EXIT_DISC,
// LOCAL_PREF, ORIGINATOR_ID, OTC.
func (e *AttrEditor) Uint32(t AttrType) (uint32, bool) {
	if v, ok := e.Get(t); ok && len(v) == 4 {
		return be32(v), true
	}
	return 0, false
}

// Set sets an attribute's value. A new one has the flags of its type, one that
// ribd does not know those of an optional transitive attribute; one that was
// there keeps its own. The types that no canonical set has (MP_REACH_NLRI,
// MP_UNREACH_NLRI, AS4_PATH, AS4_AGGREGATOR) are a caller's mistake.
func (e *AttrEditor) Set(t AttrType, value []byte) {
	if old, ok := e.Get(t); ok && string(old) == string(value) {
		return
	}
	if len(value) > maxAttrLen {
		e.tooLong = true
		return
	}
	e.put(t, e.hold(value))
}

// hold copies value into the editor's memory.
func (e *AttrEditor) hold(value []byte) []byte {
	at := len(e.buf)
	e.buf = append(e.buf, value...)
	return e.buf[at:len(e.buf):len(e.buf)]
}

// put makes value, which the editor owns, the value of t.
func (e *AttrEditor) put(t AttrType, value []byte) {
	e.changed = true
	i, ok := e.find(t)
	if !ok {
		e.list = slices.Insert(e.list, i, editItem{typ: t, flags: newFlags(t)})
	}
	e.list[i].value = value
}

// newFlags returns the flags that a new attribute has.
func newFlags(t AttrType) byte {
	switch t {
	case AttrMPReach, AttrMPUnreach, AttrAS4Path, AttrAS4Aggregator:
		panic("BUG: " + t.String() + " is in no canonical set")
	}
	if row := &attrTable[t]; row.known {
		return row.flags
	}
	return optTransitive
}

// SetUint32 sets an attribute whose value is a number of 4 octets.
func (e *AttrEditor) SetUint32(t AttrType, v uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	e.Set(t, b[:])
}

// Remove removes an attribute, and tells whether it was there.
func (e *AttrEditor) Remove(t AttrType) bool {
	i, ok := e.find(t)
	if ok {
		e.list = slices.Delete(e.list, i, i+1)
		e.changed = true
	}
	return ok
}

// RemoveNonTransitive removes the optional attributes that are not transitive
// but those for which keep is true; keep may be nil (RFC 4271 section 5).
func (e *AttrEditor) RemoveNonTransitive(keep func(AttrType) bool) {
	n := len(e.list)
	e.list = slices.DeleteFunc(e.list, func(it editItem) bool {
		return it.flags&(FlagOptional|FlagTransitive) == FlagOptional && (keep == nil || !keep(it.typ))
	})
	e.changed = e.changed || len(e.list) != n
}

// MarkPartial sets the Partial bit of every attribute that ribd does not know,
// as is due when it is passed on (RFC 4271 section 5).
func (e *AttrEditor) MarkPartial() {
	for i := range e.list {
		if it := &e.list[i]; !it.typ.Known() && it.flags&(FlagOptional|FlagPartial) == FlagOptional {
			it.flags |= FlagPartial
			e.changed = true
		}
	}
}

// SetNextHop sets NEXT_HOP to an IPv4 address, an IPv6 address, or an IPv6
// address and a link-local one; linkLocal is the zero Addr where there is none.
// IPv4-mapped addresses are written as IPv6.
func (e *AttrEditor) SetNextHop(global, linkLocal netip.Addr) {
	var b [32]byte
	v := b[:0]
	if global.Is4() {
		a := global.As4()
		v = append(v, a[:]...)
	} else {
		a := global.As16()
		v = append(v, a[:]...)
		if linkLocal.IsValid() {
			a = linkLocal.As16()
			v = append(v, a[:]...)
		}
	}
	e.Set(AttrNextHop, v)
}

// NextHop returns NEXT_HOP as SetNextHop takes it, the zero Addr where there is
// none.
func (e *AttrEditor) NextHop() (global, linkLocal netip.Addr) {
	v, _ := e.Get(AttrNextHop)
	return NextHopAddrs(v)
}

// NextHopAddrs reads the value of a canonical NEXT_HOP: an address, and with 32
// octets a link-local one. Both are the zero Addr for any other length.
func NextHopAddrs(v []byte) (global, linkLocal netip.Addr) {
	switch len(v) {
	case 4:
		return netip.AddrFrom4([4]byte(v)), netip.Addr{}
	case 16:
		return netip.AddrFrom16([16]byte(v)), netip.Addr{}
	case 32:
		return netip.AddrFrom16([16]byte(v)), netip.AddrFrom16([16]byte(v[16:]))
	}
	return netip.Addr{}, netip.Addr{}
}

// PrependCluster puts a cluster id before CLUSTER_LIST (RFC 4456 section 8).
func (e *AttrEditor) PrependCluster(id uint32) {
	old, _ := e.Get(AttrClusterList)
	if len(old)+4 > maxAttrLen {
		e.tooLong = true
		return
	}
	at := len(e.buf)
	e.buf = binary.BigEndian.AppendUint32(e.buf, id)
	e.buf = append(e.buf, old...)
	e.put(AttrClusterList, e.since(at))
}

// since returns what was appended to buf from at on.
func (e *AttrEditor) since(at int) []byte { return e.buf[at:len(e.buf):len(e.buf)] }
