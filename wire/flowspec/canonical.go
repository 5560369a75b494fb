package flowspec

import (
	"encoding/binary"
	"net/netip"

	"ribd/wire"
)

// MaxLen is the most octets that an NLRI has behind its length field (RFC 8955
// section 4.1).
const MaxLen = 4095

// Bits of operators (RFC 8955 section 4.2.1).
const (
	opEnd     = 0x80 // last of the component
	opAnd     = 0x40
	opKind    = 0x07 // of numbers: less, greater, equal
	opBitKind = 0x03 // of bits: not, match
)

// opOctets returns the octets of the value behind an operator.
func opOctets(op byte) int { return 1 << (op >> 4 & 3) }

// Canonical checks an NLRI of family f, length field included, and appends it in
// canonical form to dst. It allocates nothing but what dst grows by.
//
// The error says which octet of nlri is malformed; dst is as it was then. What
// it asks for is TreatAsWithdraw while the length field frames the octets given
// (RFC 8955 section 10), SessionReset where it does not (RFC 7606 section 5.4).
func Canonical(dst []byte, f wire.Family, nlri []byte) ([]byte, *wire.Error) {
	head, size := frame(nlri)
	if head > len(nlri) || head+size != len(nlri) {
		return dst, malformed(nlri, 0, "NLRI runs past the end", "RFC 8955 4.1", wire.SessionReset)
	}
	c := check{nlri: nlri, at: head, v6: Is6(f)}
	start := len(dst)
	if size < 240 {
		dst = append(dst, byte(size))
	} else {
		dst = append(dst, 0xf0|byte(size>>8), byte(size))
	}
	if IsVPN(f) {
		if size < 8 {
			return dst[:start], c.fail(head-1, "no room for a route distinguisher", "RFC 8955 8")
		}
		dst = append(dst, nlri[head:head+8]...)
		c.at += 8
	}
	if c.at == len(nlri) {
		return dst[:start], c.fail(max(c.at-1, 0), "no component", "RFC 8955 4.2")
	}
	var err *wire.Error
	for c.at < len(nlri) {
		if dst, err = c.component(dst); err != nil {
			return dst[:start], err
		}
	}
	return dst, nil
}

// frame returns the octets of the length field and the number that it says.
func frame(nlri []byte) (head, size int) {
	switch {
	case len(nlri) == 0:
		return 1, 0
	case nlri[0] < 0xf0:
		return 1, int(nlri[0])
	case len(nlri) == 1:
		return 2, 0
	}
	return 2, int(binary.BigEndian.Uint16(nlri)) & 0x0fff
}

// check goes over the components of an NLRI.
type check struct {
	nlri []byte
	at   int
	last Type
	v6   bool
}

func (c *check) fail(at int, reason, rfc string) *wire.Error {
	return malformed(c.nlri, at, reason, rfc, wire.TreatAsWithdraw)
}

func malformed(nlri []byte, at int, reason, rfc string, action wire.Action) *wire.Error {
	return &wire.Error{Off: at, Start: 0, End: max(len(nlri), 1), Field: "NLRI", Reason: reason, RFC: rfc, Action: action,
		Code: wire.CodeUpdate, Subcode: wire.SubOptionalAttribute}
}

// component checks the component at c.at and appends it.
func (c *check) component(dst []byte) ([]byte, *wire.Error) {
	t := Type(c.nlri[c.at])
	switch {
	case t == 0 || t > lastType || t == TypeFlowLabel && !c.v6:
		return dst, c.fail(c.at, "unknown component type", "RFC 8955 4.2")
	case t == c.last:
		return dst, c.fail(c.at, "component type twice", "RFC 8955 4.2")
	case t < c.last:
		return dst, c.fail(c.at, "component types not in ascending order", "RFC 8955 4.2")
	}
	c.last = t
	c.at++
	dst = append(dst, byte(t))
	switch {
	case !t.IsPrefix():
		return c.operators(dst, t)
	case c.v6:
		return c.prefix6(dst)
	}
	return c.prefix4(dst)
}

func (c *check) prefix4(dst []byte) ([]byte, *wire.Error) {
	if c.at == len(c.nlri) {
		return dst, c.fail(c.at-1, "prefix runs past the end", "RFC 8955 4.2.2.1")
	}
	n := int(c.nlri[c.at])
	if n > 32 {
		return dst, c.fail(c.at, "prefix length over 32", "RFC 8955 4.2.2.1")
	}
	return c.bits(append(dst, byte(n)), c.at+1, n, "RFC 8955 4.2.2.1")
}

func (c *check) prefix6(dst []byte) ([]byte, *wire.Error) {
	if len(c.nlri)-c.at < 2 {
		return dst, c.fail(len(c.nlri)-1, "prefix runs past the end", "RFC 8956 3.1")
	}
	n, off := int(c.nlri[c.at]), int(c.nlri[c.at+1])
	if n > 128 {
		return dst, c.fail(c.at, "prefix length over 128", "RFC 8956 3.1")
	}
	if off >= n && (n != 0 || off != 0) {
		return dst, c.fail(c.at+1, "prefix offset not under the length", "RFC 8956 3.1")
	}
	return c.bits(append(dst, byte(n), byte(off)), c.at+2, n-off, "RFC 8956 3.1")
}

// bits appends n bits, with spare ones cleared, and moves behind them.
func (c *check) bits(dst []byte, at, n int, rfc string) ([]byte, *wire.Error) {
	size := (n + 7) / 8
	if size > len(c.nlri)-at {
		return dst, c.fail(len(c.nlri)-1, "prefix runs past the end", rfc)
	}
	c.at = at + size
	dst = append(dst, c.nlri[at:c.at]...)
	if n%8 != 0 {
		dst[len(dst)-1] &= 0xff << (8 - n%8)
	}
	return dst, nil
}

// operators appends the operators and values of a component.
func (c *check) operators(dst []byte, t Type) ([]byte, *wire.Error) {
	kind, most := byte(opKind), t.maxOctets()
	if t.IsBitmask() {
		kind = opBitKind
	}
	for and := byte(0); ; and = opAnd {
		if c.at == len(c.nlri) {
			return dst, c.fail(c.at-1, "operators run past the end", "RFC 8955 4.2.1")
		}
		op := c.nlri[c.at]
		n := opOctets(op)
		if n > most {
			return dst, c.fail(c.at, "value has too many octets", "RFC 8955 4.2.2")
		}
		if n > len(c.nlri)-c.at-1 {
			return dst, c.fail(c.at, "value runs past the end", "RFC 8955 4.2.1")
		}
		dst = append(dst, op&(opEnd|and|0x30|kind))
		dst = append(dst, c.nlri[c.at+1:c.at+1+n]...)
		if t >= TypeDSCP && t <= TypeFragment { // the only ones whose values have bits to ignore
			dst[len(dst)-1] &= byte(t.valueMask(c.v6))
		}
		c.at += 1 + n
		if op&opEnd != 0 {
			return dst, nil
		}
	}
}

// value returns what is behind the length field of a canonical NLRI.
func value(nlri []byte) []byte {
	if len(nlri) != 0 && nlri[0] < 0xf0 {
		return nlri[1:]
	}
	return nlri[min(2, len(nlri)):]
}

// components returns the components of a canonical NLRI.
func components(f wire.Family, nlri []byte) []byte {
	b := value(nlri)
	if IsVPN(f) {
		b = b[min(8, len(b)):]
	}
	return b
}

// RD returns the route distinguisher of a canonical NLRI, 0 where the family
// has none.
func RD(f wire.Family, nlri []byte) uint64 {
	if b := value(nlri); IsVPN(f) && len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Destination returns the destination prefix of a canonical NLRI and, for IPv6,
// its offset (RFC 8956 section 3.1): the bits before it are zero and match
// anything. ok is false where the rule has none.
func Destination(f wire.Family, nlri []byte) (p netip.Prefix, offset uint8, ok bool) {
	b := components(f, nlri)
	if len(b) == 0 || Type(b[0]) != TypeDestination {
		return p, 0, false
	}
	p, offset, _ = prefixOf(Is6(f), b)
	return p, offset, true
}

// Source returns the source prefix of a canonical NLRI as Destination
// does the destination.
func Source(f wire.Family, nlri []byte) (p netip.Prefix, offset uint8, ok bool) {
	b, v6 := components(f, nlri), Is6(f)
	if len(b) != 0 && Type(b[0]) == TypeDestination {
		b = b[componentLen(v6, b):]
	}
	if len(b) == 0 || Type(b[0]) != TypeSource {
		return p, 0, false
	}
	p, offset, _ = prefixOf(v6, b)
	return p, offset, true
}

// prefixOf reads the canonical prefix component that b starts with, and returns
// its octets.
func prefixOf(v6 bool, b []byte) (p netip.Prefix, offset uint8, size int) {
	if !v6 {
		var a [4]byte
		size = 2 + (int(b[1])+7)/8
		copy(a[:], b[2:size])
		return netip.PrefixFrom(netip.AddrFrom4(a), int(b[1])), 0, size
	}
	offset = b[2]
	size = 3 + (int(b[1])-int(offset)+7)/8
	var a [16]byte
	copy(a[:], b[3:size])
	hi, lo := shiftRight(binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:]), offset)
	binary.BigEndian.PutUint64(a[:], hi)
	binary.BigEndian.PutUint64(a[8:], lo)
	return netip.PrefixFrom(netip.AddrFrom16(a), int(b[1])), offset, size
}

// shiftRight shifts 128 bits; Go's shifts by 64 and more give 0.
func shiftRight(hi, lo uint64, n uint8) (uint64, uint64) {
	if n >= 64 {
		return 0, hi >> (n - 64)
	}
	return hi >> n, lo>>n | hi<<(64-n)
}

func shiftLeft(hi, lo uint64, n uint8) (uint64, uint64) {
	if n >= 64 {
		return lo << (n - 64), 0
	}
	return hi<<n | lo>>(64-n), lo << n
}

// componentLen returns the octets of the canonical component that b starts
// with, its type included.
func componentLen(v6 bool, b []byte) int {
	switch t := Type(b[0]); {
	case !t.IsPrefix():
		at := 1
		for {
			op := b[at]
			at += 1 + opOctets(op)
			if op&opEnd != 0 {
				return at
			}
		}
	case v6:
		return 3 + (int(b[1])-int(b[2])+7)/8
	}
	return 2 + (int(b[1])+7)/8
}
