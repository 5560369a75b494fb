package rules

import (
	"encoding/binary"
	"math/bits"

	"ribd/wire"
	"ribd/wire/flowspec"
)

// Octets of keys: the end of a rule comes after every type of component.
const keyEnd = 0xff

// layout says how the NLRI of a family are read.
type layout struct{ v6, vpn bool }

func layoutOf(f wire.Family) layout { return layout{flowspec.Is6(f), flowspec.IsVPN(f)} }

// components returns the components of a canonical NLRI: what is behind the
// length and the route distinguisher.
func (l layout) components(nlri []byte) []byte {
	n := 1
	if len(nlri) > 0 && nlri[0] >= 0xf0 {
		n = 2
	}
	if l.vpn {
		n += 8
	}
	return nlri[min(n, len(nlri)):]
}

// appendKey appends the key of a canonical NLRI: octets whose order is that of
// RFC 8955 section 5.1 and RFC 8956 section 4.
//
// A prefix is written as its offset, its last address, and its length turned
// over. A prefix inside of another has a lower last address or the same one and
// is longer, so it comes first; of two apart the lower comes first. Lists of
// operators stand as they are: the bit that ends a list makes that none is the
// beginning of another one.
func (l layout) appendKey(dst, nlri []byte) []byte {
	for c := l.components(nlri); len(c) > 0; {
		if t := flowspec.Type(c[0]); t == flowspec.TypeDestination || t == flowspec.TypeSource {
			p, n := l.prefix(c[1:])
			dst = l.appendPrefixKey(dst, t, p)
			c = c[1+n:]
			continue
		}
		n := 1 + operatorsLen(c[1:])
		dst = append(dst, c[:n]...)
		c = c[n:]
	}
	return append(dst, keyEnd)
}

// prefixKeyLen is the most octets that a prefix takes in a key.
const prefixKeyLen = 19

func (l layout) appendPrefixKey(dst []byte, t flowspec.Type, p prefix) []byte {
	last := p.last()
	dst = append(dst, byte(t))
	if !l.v6 {
		dst = binary.BigEndian.AppendUint32(dst, uint32(last.hi>>32))
		return append(dst, 32-p.bits)
	}
	dst = append(dst, p.offset)
	dst = binary.BigEndian.AppendUint64(dst, last.hi)
	dst = binary.BigEndian.AppendUint64(dst, last.lo)
	return append(dst, 128-p.bits)
}

// operatorsLen returns the octets of the operators and values that b begins
// with, up to the one that ends the list.
func operatorsLen(b []byte) int {
	n := 0
	for n < len(b) {
		op := b[n]
		n += 1 + 1<<(op>>4&3)
		if op&0x80 != 0 {
			break
		}
	}
	return min(n, len(b))
}

// address is 128 bits, an IPv4 address in the first 32 of them.
type address struct{ hi, lo uint64 }

// shift returns the address n bits to the left, as a prefix with that offset
// looks at it.
func (a address) shift(n uint8) address {
	switch {
	case n == 0:
		return a
	case n >= 64:
		return address{a.lo << (n - 64), 0}
	}
	return address{a.hi<<n | a.lo>>(64-n), a.lo << n}
}

func (a address) less(b address) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// next returns the address behind a; ok is false behind the last one.
func (a address) next() (b address, ok bool) {
	lo, carry := bits.Add64(a.lo, 1, 0)
	hi, carry := bits.Add64(a.hi, 0, carry)
	return address{hi, lo}, carry == 0
}

func (a address) before() address {
	lo, borrow := bits.Sub64(a.lo, 1, 0)
	hi, _ := bits.Sub64(a.hi, 0, borrow)
	return address{hi, lo}
}

// prefix is a prefix of a rule: first has the bits behind the offset moved to
// the left, and bits is how many of them count.
type prefix struct {
	first        address
	bits, offset uint8
}

func mask(bits uint8) address {
	if bits >= 64 {
		return address{^uint64(0), ^(^uint64(0) >> (bits - 64))}
	}
	return address{^(^uint64(0) >> bits), 0}
}

// last returns the last address of the prefix, all 128 bits of it.
func (p prefix) last() address {
	m := mask(p.bits)
	return address{p.first.hi | ^m.hi, p.first.lo | ^m.lo}
}

// has is true where the prefix has a, which is shifted by the offset already.
func (p prefix) has(a address) bool {
	m := mask(p.bits)
	return (a.hi^p.first.hi)&m.hi|(a.lo^p.first.lo)&m.lo == 0
}

// prefix reads the prefix that b, behind the type of the component, begins
// with, and returns the octets that it takes.
func (l layout) prefix(b []byte) (p prefix, n int) {
	var a [16]byte
	if !l.v6 {
		n = 1 + (int(b[0])+7)/8
		copy(a[:4], b[1:n])
		p.bits = b[0]
	} else {
		p.bits, p.offset = b[0]-b[1], b[1]
		n = 2 + (int(p.bits)+7)/8
		copy(a[:], b[2:n])
	}
	p.first = address{binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:])}
	return p, n
}

// destination returns the destination of a canonical NLRI; ok is false where it
// has none.
func (l layout) destination(nlri []byte) (p prefix, ok bool) {
	c := l.components(nlri)
	if len(c) == 0 || flowspec.Type(c[0]) != flowspec.TypeDestination {
		return p, false
	}
	p, _ = l.prefix(c[1:])
	return p, true
}

// source returns the source as destination does.
func (l layout) source(nlri []byte) (p prefix, ok bool) {
	c := l.components(nlri)
	if len(c) > 0 && flowspec.Type(c[0]) == flowspec.TypeDestination {
		_, n := l.prefix(c[1:])
		c = c[1+n:]
	}
	if len(c) == 0 || flowspec.Type(c[0]) != flowspec.TypeSource {
		return p, false
	}
	p, _ = l.prefix(c[1:])
	return p, true
}
