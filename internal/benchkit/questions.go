package benchkit

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// Addresses returns n addresses in random order, each inside one of the prefixes
// (of one family), each prefix as likely as any other.
func Addresses(ps []netip.Prefix, n int, seed uint64) []netip.Addr {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]netip.Addr, n)
	for i := range out {
		out[i] = Inside(ps[rng.IntN(len(ps))], rng)
	}
	return out
}

// Inside returns a random address of p.
func Inside(p netip.Prefix, rng *rand.Rand) netip.Addr {
	if p.Addr().Is4() {
		mask := uint32(1<<(32-p.Bits()) - 1)
		return Addr4(Uint32(p.Addr()) | rng.Uint32()&mask)
	}
	hi, lo := Uint64s(p.Addr())
	x, y := rng.Uint64(), rng.Uint64()
	switch n := p.Bits(); {
	case n >= 64:
		lo |= y & (1<<(128-n) - 1)
	default:
		hi |= x & (1<<(64-n) - 1)
		lo = y
	}
	return Addr6(hi, lo)
}

// Uint32 returns the bits of an IPv4 address.
func Uint32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Uint64s returns the bits of an IPv6 address.
func Uint64s(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
}

// Addr4 is the inverse of Uint32.
func Addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// Addr6 is the inverse of Uint64s.
func Addr6(hi, lo uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return netip.AddrFrom16(b)
}
