package mrt

import (
	"encoding/binary"

	"ribd/wire"
)

// RIB is a record of a TABLE_DUMP_V2 table: one prefix and its paths. It
// stands for RIB_IPV4_UNICAST and its kin, RIB_GENERIC, and the Add-Path
// forms. NLRI aliases the record.
type RIB struct {
	Seq    uint32
	Family wire.Family
	NLRI   []byte // as it stands: for the prefix forms a length octet and the bits
	Count  int
	Layout Layout
	PathID uint32 // with LayoutNLRI, of all entries

	entries []byte
	off     int
}

// Layout says where the path ids of a record stand.
type Layout uint8

// The layouts. RFC 8050 section 4.1 puts them into the entries. For
// RIB_GENERIC_ADDPATH its section 4.2 puts them into the NLRI, but GoBGP and
// OpenBGPD write them into the entries; RIB.Parse takes the one that fits.
const (
	LayoutPlain   Layout = iota // no path ids
	LayoutEntries               // in each entry, before the attribute length
	LayoutNLRI                  // once, before the NLRI
)

// Parse decodes a record of [KindRIB] as far as the entries.
func (r *RIB) Parse(rec *Record) *Error {
	sub := rec.Subtype
	r.Layout, r.PathID = LayoutPlain, 0
	if sub >= firstAPTableDump2 {
		r.Layout = LayoutEntries
		sub -= distanceAPTableDump2
	}
	switch sub {
	case RIBIPv4Unicast:
		r.Family = wire.IPv4Unicast
	case RIBIPv4Multicast:
		r.Family = wire.IPv4Multicast
	case RIBIPv6Unicast:
		r.Family = wire.IPv6Unicast
	case RIBIPv6Multicast:
		r.Family = wire.IPv6Multicast
	default:
		return r.generic(rec)
	}
	body := rec.Body
	if len(body) < 4+1+2 {
		return &Error{rec.base, "RIB Entry Header", "cut off", rfcRIB}
	}
	r.Seq = binary.BigEndian.Uint32(body)
	n := int(body[4])
	if v4 := r.Family.Is4(); n > 128 || v4 && n > 32 {
		return &Error{rec.base + 4, "Prefix Length", lengthOver(v4), rfcRIB}
	}
	end := 5 + (n+7)>>3
	if len(body) < end+2 {
		return &Error{rec.base + 5, "Prefix", "cut off", rfcRIB}
	}
	r.NLRI = body[4:end]
	return r.rest(rec, end)
}

// rest takes the entry count at octet at of the body, and what follows it.
func (r *RIB) rest(rec *Record, at int) *Error {
	r.Count = int(binary.BigEndian.Uint16(rec.Body[at:]))
	r.entries, r.off = rec.Body[at+2:], rec.base+at+2
	if r.Count*r.minEntry() > len(r.entries) {
		return &Error{rec.base + at, "Entry Count", "more entries than the record can hold", rfcRIB}
	}
	return nil
}

// minEntry is the size of an entry without attributes.
func (r *RIB) minEntry() int {
	if r.Layout == LayoutEntries {
		return 2 + 4 + 4 + 2
	}
	return 2 + 4 + 2
}

// generic decodes RIB_GENERIC and RIB_GENERIC_ADDPATH. Of the two ways to
// write the latter it takes the first that fills the record exactly: path ids
// in the entries, then one in the NLRI. When neither does, errors speak of the
// former.
func (r *RIB) generic(rec *Record) *Error {
	b := reader{b: rec.Body}
	r.Seq = b.u32()
	r.Family = wire.MakeFamily(b.u16(), b.u8())
	if b.short {
		return &Error{rec.base, "RIB_GENERIC", "cut off", rfcGeneric}
	}
	if r.Layout == LayoutPlain {
		return r.genericFrom(rec, b.at)
	}
	err := r.genericFrom(rec, b.at)
	if err == nil && r.exact() {
		return nil
	}
	if len(rec.Body) >= b.at+4 {
		in := *r
		in.Layout = LayoutNLRI
		in.PathID = binary.BigEndian.Uint32(rec.Body[b.at:])
		if in.genericFrom(rec, b.at+4) == nil && in.exact() {
			*r = in
			return nil
		}
	}
	return err
}

func (r *RIB) genericFrom(rec *Record, at int) *Error {
	n, reason := nlriSize(r.Family, rec.Body[at:])
	if reason == "" && n+2 > len(rec.Body)-at {
		reason = "longer than the record"
	}
	if reason != "" {
		return &Error{rec.base + at, "Network Layer Reachability Information", reason, rfcGeneric}
	}
	r.NLRI = rec.Body[at : at+n]
	return r.rest(rec, at+n)
}

// exact reports whether the entries fill the record.
func (r *RIB) exact() bool {
	w := r.Entries()
	for w.Next() {
	}
	return w.err == nil
}

// nlriSize returns the size of the NLRI at the start of b, or why it has none.
func nlriSize(f wire.Family, b []byte) (n int, reason string) {
	if len(b) == 0 {
		return 0, "missing"
	}
	if form := f.Form(); form != wire.FormRaw {
		if v4 := f.Is4(); form == wire.FormPrefix && (b[0] > 128 || v4 && b[0] > 32) {
			return 0, lengthOver(v4)
		}
		return 1 + (int(b[0])+7)>>3, ""
	}
	w := wire.NewNLRIRaw(b, 0, f, false)
	if !w.Next() {
		return 0, "cut off"
	}
	if n = len(w.Bytes()); n == len(b) {
		return 0, "of a family whose format is not known"
	}
	return n, ""
}

// Key returns the prefix of the unicast and multicast families left-aligned
// in 128 bits, the bits past its length cleared. Other families have none.
func (r *RIB) Key() (hi, lo uint64, n uint8) {
	n = r.NLRI[0]
	b := r.NLRI[1:]
	if len(b) <= 4 {
		for i, c := range b {
			hi |= uint64(c) << (56 - 8*i)
		}
		return hi & (^uint64(0) << (64 - n)), 0, n
	}
	hi, lo = keyBits(b)
	hi, lo = maskBits(hi, lo, n)
	return hi, lo, n
}

// Entries returns a cursor over the paths.
func (r *RIB) Entries() Entries {
	w := Entries{b: r.entries, left: r.Count, base: r.off, layout: r.Layout}
	w.entry.PathID = r.PathID
	return w
}

// Entry is one path of a RIB record. Attrs aliases the record; its AS numbers
// have four octets and its MP_REACH_NLRI should be the next hop alone
// (RFC 6396 section 4.3.4), though some collectors write it whole.
type Entry struct {
	Peer       uint16 // place in the PEER_INDEX_TABLE
	Originated uint32 // seconds since 1970
	PathID     uint32 // with LayoutEntries and LayoutNLRI
	Attrs      []byte
	AttrsOff   int // octet of the record that Attrs starts at
}

// Entries walks the entries of a RIB record in order. Err, after Next is
// false, is nil or an *Error.
type Entries struct {
	b      []byte
	at     int
	left   int
	base   int
	layout Layout
	entry  Entry
	err    *Error
}

// Next moves to the next entry, and is false at the end or at an error.
func (w *Entries) Next() bool {
	if w.left == 0 || w.err != nil {
		return w.end()
	}
	b := w.b[w.at:]
	if len(b) < 8 {
		return w.cut()
	}
	e := &w.entry
	e.Peer = binary.BigEndian.Uint16(b)
	e.Originated = binary.BigEndian.Uint32(b[2:])
	head := 8
	if w.layout == LayoutEntries {
		if len(b) < 12 {
			return w.cut()
		}
		e.PathID = binary.BigEndian.Uint32(b[6:])
		head = 12
	}
	n := int(binary.BigEndian.Uint16(b[head-2:]))
	if len(b) < head+n {
		return w.cut()
	}
	e.Attrs = b[head : head+n]
	e.AttrsOff = w.base + w.at + head
	w.at += head + n
	w.left--
	return true
}

func (w *Entries) end() bool {
	if w.err == nil && w.at != len(w.b) {
		w.err = &Error{w.base + w.at, "RIB Entries", "octets left over after the last entry", rfcEntry}
	}
	return false
}

func (w *Entries) cut() bool {
	w.err = &Error{w.base + w.at, "RIB Entries", "entry longer than the record", rfcEntry}
	return false
}

// Entry returns the entry that Next moved to. It is overwritten by the next
// call of Next.
func (w *Entries) Entry() *Entry { return &w.entry }

// Err returns what ended the walk, nil at its proper end.
func (w *Entries) Err() *Error { return w.err }
