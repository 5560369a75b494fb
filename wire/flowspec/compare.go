package flowspec

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"ribd/wire"
)

// Compare orders two canonical NLRI of one family as RFC 8955 section 5.1 and
// RFC 8956 section 4 do: it is negative where a has precedence. NLRI of the VPN
// families are ordered by route distinguisher first. It is 0 for equal NLRI
// only, and allocates nothing.
func Compare(f wire.Family, a, b []byte) int {
	a, b = value(a), value(b)
	if IsVPN(f) {
		if c := bytes.Compare(a[:8], b[:8]); c != 0 {
			return c
		}
		a, b = a[8:], b[8:]
	}
	v6 := Is6(f)
	for len(a) != 0 && len(b) != 0 {
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		var c, na, nb int
		switch {
		case !Type(a[0]).IsPrefix():
			na, nb = componentLen(v6, a), componentLen(v6, b)
			n := min(na, nb)
			if c = bytes.Compare(a[1:n], b[1:n]); c == 0 {
				c = cmp.Compare(nb, na) // the longer one first
			}
		case v6:
			c, na, nb = comparePrefix6(a, b)
		default:
			c, na, nb = comparePrefix4(a, b)
		}
		if c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return cmp.Compare(len(b), len(a)) // the end of the list comes after every type
}

// comparePrefix4 compares two IPv4 prefix components, and returns their octets.
func comparePrefix4(a, b []byte) (c, na, nb int) {
	na, nb = 2+(int(a[1])+7)/8, 2+(int(b[1])+7)/8
	x, y := load4(a[2:na]), load4(b[2:nb])
	spare := 32 - min(a[1], b[1])
	if c = cmp.Compare(x>>spare, y>>spare); c == 0 {
		c = cmp.Compare(b[1], a[1]) // the longer prefix first
	}
	return c, na, nb
}

// comparePrefix6 compares two IPv6 prefix components: the lower offset first,
// then as IPv4 ones.
func comparePrefix6(a, b []byte) (c, na, nb int) {
	na, nb = componentLen(true, a), componentLen(true, b)
	if c = cmp.Compare(a[2], b[2]); c != 0 {
		return c, na, nb
	}
	xh, xl := load16(a[3:na])
	yh, yl := load16(b[3:nb])
	spare := 128 - (min(a[1], b[1]) - a[2])
	xh, xl = shiftRight(xh, xl, spare)
	yh, yl = shiftRight(yh, yl, spare)
	if c = cmp.Compare(xh, yh); c == 0 {
		if c = cmp.Compare(xl, yl); c == 0 {
			c = cmp.Compare(b[1], a[1])
		}
	}
	return c, na, nb
}

// load4 reads up to 4 octets as if zeros came after them.
func load4(b []byte) uint32 {
	var a [4]byte
	copy(a[:], b)
	return binary.BigEndian.Uint32(a[:])
}

// load16 reads up to 16 octets as load4 does.
func load16(b []byte) (hi, lo uint64) {
	var a [16]byte
	copy(a[:], b)
	return binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:])
}
