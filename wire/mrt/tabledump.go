package mrt

import (
	"encoding/binary"
	"net/netip"

	"ribd/wire"
)

// TableDump is a TABLE_DUMP record: one path of one peer to one prefix
// (RFC 6396 section 4.2). Attrs aliases the record; its AS numbers have two
// octets unless AS4 is set, and its IPv6 routes have a whole MP_REACH_NLRI.
type TableDump struct {
	View       uint16
	Seq        uint16
	Family     wire.Family // IPv4Unicast or IPv6Unicast
	Prefix     [16]byte    // as it stands: 4 or 16 octets count
	Len        uint8
	Status     uint8  // 1, and of no use
	Originated uint32 // seconds since 1970
	Peer       netip.Addr
	PeerAS     uint32
	AS4        bool
	Attrs      []byte
	AttrsOff   int // octet of the record that Attrs starts at
}

// Parse decodes a record of [KindTableDump].
func (t *TableDump) Parse(r *Record) *Error {
	v4 := r.Subtype == TableDumpIPv4 || r.Subtype == TableDumpIPv4AS4
	t.AS4 = r.Subtype == TableDumpIPv4AS4 || r.Subtype == TableDumpIPv6AS4
	t.Family = wire.IPv6Unicast
	size, bits := 16, uint8(128)
	if v4 {
		t.Family = wire.IPv4Unicast
		size, bits = 4, 32
	}
	b := reader{b: r.Body}
	t.View, t.Seq = b.u16(), b.u16()
	t.Prefix = [16]byte{}
	copy(t.Prefix[:], b.take(size))
	lenAt := b.at
	t.Len, t.Status, t.Originated = b.u8(), b.u8(), b.u32()
	t.Peer = addr(b.take(size))
	t.PeerAS = b.as(t.AS4)
	n := int(b.u16())
	if b.short {
		return b.fail(r.base, "TABLE_DUMP", "cut off", rfcTableDump)
	}
	if t.Len > bits {
		return &Error{r.base + lenAt, "Prefix Length", lengthOver(v4), rfcTableDump}
	}
	t.AttrsOff = r.base + b.at
	if n != len(r.Body)-b.at {
		return &Error{t.AttrsOff - 2, "Attribute Length", "is not what is left of the record", rfcTableDump}
	}
	t.Attrs = b.take(n)
	return nil
}

// Key returns the prefix left-aligned in 128 bits, the bits past its length
// cleared.
func (t *TableDump) Key() (hi, lo uint64, n uint8) {
	hi, lo = keyBits(t.Prefix[:])
	hi, lo = maskBits(hi, lo, t.Len)
	return hi, lo, t.Len
}

// addr makes an address of 4 or 16 octets; anything else yields the zero Addr.
func addr(b []byte) netip.Addr {
	switch len(b) {
	case 4:
		return netip.AddrFrom4([4]byte(b))
	case 16:
		return netip.AddrFrom16([16]byte(b))
	}
	return netip.Addr{}
}

func lengthOver(v4 bool) string {
	if v4 {
		return "over 32"
	}
	return "over 128"
}

// keyBits reads up to 16 octets as the top of 128 bits.
func keyBits(b []byte) (hi, lo uint64) {
	if len(b) >= 16 {
		return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	}
	if len(b) >= 8 {
		hi = binary.BigEndian.Uint64(b)
		for i, c := range b[8:] {
			lo |= uint64(c) << (56 - 8*i)
		}
		return hi, lo
	}
	for i, c := range b {
		hi |= uint64(c) << (56 - 8*i)
	}
	return hi, 0
}

// maskBits clears all but the first n of 128 bits.
func maskBits(hi, lo uint64, n uint8) (uint64, uint64) {
	if n >= 64 {
		if n >= 128 {
			return hi, lo
		}
		return hi, lo & (^uint64(0) << (128 - n))
	}
	return hi & (^uint64(0) << (64 - n)), 0
}
