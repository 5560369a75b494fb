package mrt

import "encoding/binary"

// HeaderLen is the size of the common header in octets.
const HeaderLen = 12

// MaxLen is the greatest length of a record that this package takes for real:
// the largest RIB record of a collector with thousands of peers stays far
// below it, and a damaged length field is almost always above it.
const MaxLen = 64 << 20

// Header is the common header of a record (RFC 6396 section 2).
type Header struct {
	Time    uint32 // seconds since 1970
	Type    Type
	Subtype Subtype
	Len     uint32 // octets after the common header, microseconds included
}

// ParseHeader reads the header at the start of b, which must hold
// [HeaderLen] octets at least; ok is false when it does not.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) < HeaderLen {
		return Header{}, false
	}
	return Header{
		Time:    binary.BigEndian.Uint32(b),
		Type:    Type(binary.BigEndian.Uint16(b[4:])),
		Subtype: Subtype(binary.BigEndian.Uint16(b[6:])),
		Len:     binary.BigEndian.Uint32(b[8:]),
	}, true
}

// Size is the whole size of the record in octets, header included.
func (h Header) Size() int { return HeaderLen + int(h.Len) }

// Record is one whole record. Body aliases what it was parsed from.
type Record struct {
	Time    uint32 // seconds since 1970
	Micros  uint32 // microseconds of the *_ET types, else 0
	Type    Type
	Subtype Subtype
	Body    []byte // after the header and the microseconds
	base    int    // octets before Body: 12 or 16
}

// Parse reads the record that b holds, which must be all of it: header and
// as many octets as its length field says.
func (r *Record) Parse(b []byte) *Error {
	h, ok := ParseHeader(b)
	if !ok {
		return &Error{len(b), "MRT header", "shorter than 12 octets", rfcHeader}
	}
	if uint64(h.Len) != uint64(len(b)-HeaderLen) {
		return &Error{8, "Length", "is not the size of the record", rfcHeader}
	}
	r.Time, r.Micros, r.Type, r.Subtype = h.Time, 0, h.Type, h.Subtype
	r.Body, r.base = b[HeaderLen:], HeaderLen
	if h.Type.extended() {
		if len(r.Body) < 4 {
			return &Error{HeaderLen, "Microsecond Timestamp", "cut off", rfcET}
		}
		r.Micros = binary.BigEndian.Uint32(r.Body)
		r.Body, r.base = r.Body[4:], HeaderLen+4
	}
	return nil
}

// reader walks the fixed fields of a body. Past the end it yields zeros and
// remembers that it failed, so that a decoder checks once for a group of
// fields; at stays within the body.
type reader struct {
	b     []byte
	at    int
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || len(r.b)-r.at < n {
		r.short = true
		return nil
	}
	b := r.b[r.at : r.at+n]
	r.at += n
	return b
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// as reads an AS number of 2 or 4 octets.
func (r *reader) as(four bool) uint32 {
	if four {
		return r.u32()
	}
	return uint32(r.u16())
}

// fail makes the error for what lies at the reader's place.
func (r *reader) fail(base int, field, reason, rfc string) *Error {
	return &Error{base + r.at, field, reason, rfc}
}
