package wire

import (
	"encoding/binary"
	"net/netip"
)

// NLRI4 walks a block of IPv4 prefixes in place (RFC 4271 section 4.3; with
// path ids, RFC 7911 section 3): it aliases the message and holds no other
// memory. Err, after Next is false, is nil or a *Error.
type NLRI4 struct {
	b    []byte
	at   int // of the next NLRI
	id   int // octets of a path id: 0 or 4
	off  int // of b[0] in the message
	addr uint32
	n    uint8
	path uint32
	err  *Error
}

// idLen returns the octets of a path id.
func idLen(addPath bool) int {
	if addPath {
		return 4
	}
	return 0
}

// NewNLRI4 returns a cursor over b, whose first octet is octet off of what
// errors count from.
func NewNLRI4(b []byte, off int, addPath bool) NLRI4 {
	return NLRI4{b: b, off: off, id: idLen(addPath)}
}

// Next moves to the next prefix, and is false at the end or at an error.
func (w *NLRI4) Next() bool {
	b, p := w.b, w.at+w.id
	// Five octets hold any prefix, so this one cannot overrun.
	if uint(p) < uint(len(b)) && len(b)-p >= 5 && b[p] <= 32 {
		rest := b[p : p+5 : p+5]
		n := rest[0]
		if w.id != 0 {
			w.path = binary.BigEndian.Uint32(b[p-4:])
		}
		w.at = p + 1 + int(n+7)>>3
		w.n = n
		w.addr = binary.BigEndian.Uint32(rest[1:]) & uint32(^uint64(0)<<(32-n))
		return true
	}
	return w.last()
}

// last reads an NLRI near the end of the block.
func (w *NLRI4) last() bool {
	b, p := w.b, w.at+w.id
	if p >= len(b) || b[p] > 32 || p+1+int(b[p]+7)>>3 > len(b) {
		if w.at < len(b) && w.err == nil {
			w.err = prefixError(b, w.at, w.off, 32, w.id != 0)
		}
		return false
	}
	if w.id != 0 {
		w.path = binary.BigEndian.Uint32(b[p-4:])
	}
	w.n = b[p]
	w.at = p + 1 + int(w.n+7)>>3
	hi, _ := bits128(b[p+1 : w.at])
	w.addr = uint32(hi>>32) & uint32(^uint64(0)<<(32-w.n))
	return true
}

// Addr returns the prefix's address, with the bits past its length cleared.
func (w *NLRI4) Addr() uint32 { return w.addr }

// Len returns the prefix's length in bits.
func (w *NLRI4) Len() uint8 { return w.n }

// PathID returns the path id, 0 without Add-Path.
func (w *NLRI4) PathID() uint32 { return w.path }

// HasPathID is true where the NLRI carry path ids.
func (w *NLRI4) HasPathID() bool { return w.id != 0 }

// Prefix returns the prefix, masked.
func (w *NLRI4) Prefix() netip.Prefix { return prefix4(w.addr, w.n) }

// Err returns what ended the walk, nil at the end of the block.
func (w *NLRI4) Err() *Error { return w.err }

// NLRI6 walks a block of IPv6 prefixes in place, as NLRI4 does.
type NLRI6 struct {
	b      []byte
	at     int
	id     int
	off    int
	hi, lo uint64
	n      uint8
	path   uint32
	err    *Error
}

// NewNLRI6 returns a cursor over b, whose first octet is octet off of what
// errors count from.
func NewNLRI6(b []byte, off int, addPath bool) NLRI6 {
	return NLRI6{b: b, off: off, id: idLen(addPath)}
}

// Next moves to the next prefix, and is false at the end or at an error.
func (w *NLRI6) Next() bool {
	b, p := w.b, w.at+w.id
	if uint(p) < uint(len(b)) && len(b)-p >= 17 && b[p] <= 128 {
		rest := b[p : p+17 : p+17]
		n := rest[0]
		if w.id != 0 {
			w.path = binary.BigEndian.Uint32(b[p-4:])
		}
		w.at = p + 1 + (int(n)+7)>>3
		w.n = n
		w.hi, w.lo = mask128(binary.BigEndian.Uint64(rest[1:]), binary.BigEndian.Uint64(rest[9:]), n)
		return true
	}
	return w.last()
}

// last reads an NLRI near the end of the block.
func (w *NLRI6) last() bool {
	b, p := w.b, w.at+w.id
	if p >= len(b) || b[p] > 128 || p+1+(int(b[p])+7)>>3 > len(b) {
		if w.at < len(b) && w.err == nil {
			w.err = prefixError(b, w.at, w.off, 128, w.id != 0)
		}
		return false
	}
	if w.id != 0 {
		w.path = binary.BigEndian.Uint32(b[p-4:])
	}
	w.n = b[p]
	w.at = p + 1 + (int(w.n)+7)>>3
	w.hi, w.lo = bits128(b[p+1 : w.at])
	w.hi, w.lo = mask128(w.hi, w.lo, w.n)
	return true
}

// Hi returns the first 64 bits of the address, masked.
func (w *NLRI6) Hi() uint64 { return w.hi }

// Lo returns the last 64 bits of the address, masked.
func (w *NLRI6) Lo() uint64 { return w.lo }

// Len returns the prefix's length in bits.
func (w *NLRI6) Len() uint8 { return w.n }

// PathID returns the path id, 0 without Add-Path.
func (w *NLRI6) PathID() uint32 { return w.path }

// HasPathID is true where the NLRI carry path ids.
func (w *NLRI6) HasPathID() bool { return w.id != 0 }

// Prefix returns the prefix, masked.
func (w *NLRI6) Prefix() netip.Prefix { return prefix6(w.hi, w.lo, w.n) }

// Err returns what ended the walk, nil at the end of the block.
func (w *NLRI6) Err() *Error { return w.err }

// prefixError says what is wrong with the NLRI at p.
func prefixError(b []byte, p, off, most int, addPath bool) *Error {
	e := &Error{Off: off + p, Start: off, End: off + len(b), Field: "NLRI",
		RFC: "RFC 7606 5.3", Action: SessionReset, Code: CodeUpdate, Subcode: SubInvalidNetwork}
	if addPath {
		p += 4
	}
	switch {
	case p >= len(b):
		e.Reason = "path id runs past the end"
	case int(b[p]) > most:
		e.Off, e.Reason = off+p, "prefix length over 32"
		if most == 128 {
			e.Reason = "prefix length over 128"
		}
	default:
		e.Off, e.Reason = off+p, "prefix runs past the end"
	}
	return e
}

// check4 walks b as NLRI4 does and returns where it ends, len(b) when sound.
func check4(b []byte, addPath bool) int {
	id := 0
	if addPath {
		id = 4
	}
	p := 0
	for p < len(b) {
		at := p + id
		if at >= len(b) || b[at] > 32 {
			return p
		}
		next := at + 1 + int(b[at]+7)>>3
		if next > len(b) {
			return p
		}
		p = next
	}
	return p
}

// check6 is check4 for IPv6.
func check6(b []byte, addPath bool) int {
	id := 0
	if addPath {
		id = 4
	}
	p := 0
	for p < len(b) {
		at := p + id
		if at >= len(b) || b[at] > 128 {
			return p
		}
		next := at + 1 + (int(b[at])+7)>>3
		if next > len(b) {
			return p
		}
		p = next
	}
	return p
}

// bits128 left-aligns up to 16 octets.
func bits128(b []byte) (hi, lo uint64) {
	for i, c := range b {
		if i < 8 {
			hi |= uint64(c) << (56 - 8*i)
		} else {
			lo |= uint64(c) << (120 - 8*i)
		}
	}
	return hi, lo
}

// mask128 clears the bits past the first n.
func mask128(hi, lo uint64, n uint8) (uint64, uint64) {
	if n <= 64 {
		return hi & (^uint64(0) << (64 - n)), 0
	}
	return hi, lo & (^uint64(0) << (128 - n))
}

func addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func addr6(hi, lo uint64) netip.Addr {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], hi)
	binary.BigEndian.PutUint64(a[8:], lo)
	return netip.AddrFrom16(a)
}

func prefix4(a uint32, n uint8) netip.Prefix      { return netip.PrefixFrom(addr4(a), int(n)) }
func prefix6(hi, lo uint64, n uint8) netip.Prefix { return netip.PrefixFrom(addr6(hi, lo), int(n)) }
