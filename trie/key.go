package trie

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Key is the bits of an address, left aligned: an IPv4 address fills the top
// 32 bits of Hi, and a shorter opaque key is zero at its end.
type Key struct{ Hi, Lo uint64 }

// Key4 returns the key of the IPv4 address a in host order.
func Key4(a uint32) Key { return Key{Hi: uint64(a) << 32} }

// KeyOf returns the key of an address; an IPv4 address mapped into IPv6 counts
// as IPv6.
func KeyOf(a netip.Addr) Key {
	if a.Is4() {
		b := a.As4()
		return Key4(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return Key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// PrefixKey returns the key of a prefix, its host bits cleared, and its length.
func PrefixKey(p netip.Prefix) (Key, uint8) {
	n := uint8(p.Bits())
	return KeyOf(p.Addr()).Mask(n), n
}

// Mask returns k with all but its first n bits cleared; n is at most 128.
func (k Key) Mask(n uint8) Key {
	if n <= 64 {
		return Key{Hi: k.Hi &^ (^uint64(0) >> n)}
	}
	return Key{k.Hi, k.Lo &^ (^uint64(0) >> (n - 64))}
}

// Addr returns the address of k, of IPv4 where v4 is set.
func (k Key) Addr(v4 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.Hi)
	if v4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	binary.BigEndian.PutUint64(b[8:], k.Lo)
	return netip.AddrFrom16(b)
}

// Prefix returns the prefix of length n at k, of IPv4 where v4 is set.
func (k Key) Prefix(n uint8, v4 bool) netip.Prefix {
	return netip.PrefixFrom(k.Addr(v4), int(n))
}

// Compare orders keys by address: -1, 0 or +1.
func (k Key) Compare(o Key) int {
	hi, borrow := bits.Sub64(k.Lo, o.Lo, 0)
	lo := hi
	hi, borrow = bits.Sub64(k.Hi, o.Hi, borrow)
	switch {
	case borrow != 0:
		return -1
	case hi|lo != 0:
		return 1
	}
	return 0
}

// covers says whether the prefix k/n holds o.
func (k Key) covers(n uint8, o Key) bool {
	return k == o.Mask(n)
}

// byteAt returns the 8 bits of k from bit d on, a multiple of 8.
func (k Key) byteAt(d uint8) uint32 {
	if d < 64 {
		return uint32(k.Hi>>(56-d)) & 0xff
	}
	return uint32(k.Lo>>(120-d)) & 0xff
}
