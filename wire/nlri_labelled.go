package wire

import (
	"encoding/binary"
	"net/netip"
)

// NLRILabelled walks a block of labelled prefixes (RFC 8277) or VPN routes
// (RFC 4364, RFC 4659) in place, as NLRI4 does. An IPv4 prefix stands in the
// top 32 bits of Hi.
//
// A label stack ends at the bottom-of-stack bit or at the label 0x800000 of a
// withdrawal; in a withdrawal it is one label long (RFC 8277 section 2.4). A
// stack without an end is read as one label, since a peer that does not send
// stacks may leave the bit clear (section 2.2).
type NLRILabelled struct {
	b       []byte
	labels  []byte
	at      int
	off     int
	hi, lo  uint64
	rd      uint64
	pathID  uint32
	n       uint8
	most    uint8 // 32 or 128
	vpn     bool
	addPath bool
	single  bool
	err     *Error
}

// NewNLRILabelled returns a cursor over b, NLRI of a family whose form is
// FormLabelled or FormVPN. With single every label stack is one label, as in a
// withdrawal. b[0] is octet off of what errors count from.
func NewNLRILabelled(b []byte, off int, f Family, addPath, single bool) NLRILabelled {
	w := NLRILabelled{b: b, off: off, addPath: addPath, single: single, most: 128, vpn: f.SAFI() == safiVPN}
	if f.Is4() {
		w.most = 32
	}
	return w
}

// Next moves to the next route, and is false at the end or at an error.
func (w *NLRILabelled) Next() bool {
	b, p := w.b, w.at
	if p >= len(b) || w.err != nil {
		return false
	}
	if w.addPath {
		if len(b)-p < 5 {
			return w.fail(p, "path id runs past the end")
		}
		w.pathID = binary.BigEndian.Uint32(b[p:])
		p += 4
	}
	bits := int(b[p])
	next := p + 1 + (bits+7)/8
	if next > len(b) {
		return w.fail(p, "route runs past the end")
	}
	v := b[p+1 : next]
	k := w.stack(v, bits)
	bits -= 8 * k
	if bits < 0 {
		return w.fail(p, "length too short for a label")
	}
	w.labels, v = v[:k], v[k:]
	if w.vpn {
		if bits -= 64; bits < 0 {
			return w.fail(p, "length too short for a route distinguisher")
		}
		w.rd, v = binary.BigEndian.Uint64(v), v[8:]
	}
	if bits > int(w.most) {
		if w.most == 32 {
			return w.fail(p, "prefix length over 32")
		}
		return w.fail(p, "prefix length over 128")
	}
	w.n = uint8(bits)
	w.hi, w.lo = bits128(v)
	w.hi, w.lo = mask128(w.hi, w.lo, w.n)
	w.at = next
	return true
}

// stack returns the octets of the label stack that v starts with.
func (w *NLRILabelled) stack(v []byte, bits int) int {
	if w.single {
		return 3
	}
	room := bits
	if w.vpn {
		room -= 64
	}
	for k := 3; 8*k <= room; k += 3 {
		if v[k-1]&1 != 0 || v[k-3] == 0x80 && v[k-2] == 0 && v[k-1] == 0 {
			return k
		}
	}
	return 3
}

func (w *NLRILabelled) fail(p int, reason string) bool {
	w.err = &Error{Off: w.off + p, Start: w.off, End: w.off + len(w.b), Field: "NLRI", Reason: reason,
		RFC: "RFC 7606 5.3", Action: SessionReset, Code: CodeUpdate, Subcode: SubInvalidNetwork}
	return false
}

// RD returns the route distinguisher, 0 without one.
func (w *NLRILabelled) RD() uint64 { return w.rd }

// HasRD is true for the VPN families.
func (w *NLRILabelled) HasRD() bool { return w.vpn }

// Labels returns the label stack, three octets each: label, traffic class and
// bottom of stack.
func (w *NLRILabelled) Labels() []byte { return w.labels }

// Hi returns the first 64 bits of the address, masked.
func (w *NLRILabelled) Hi() uint64 { return w.hi }

// Lo returns the last 64 bits of the address, masked.
func (w *NLRILabelled) Lo() uint64 { return w.lo }

// Len returns the prefix's length in bits, without labels and distinguisher.
func (w *NLRILabelled) Len() uint8 { return w.n }

// PathID returns the path id, 0 without Add-Path.
func (w *NLRILabelled) PathID() uint32 { return w.pathID }

// HasPathID is true where the NLRI carry path ids.
func (w *NLRILabelled) HasPathID() bool { return w.addPath }

// Prefix returns the prefix, masked.
func (w *NLRILabelled) Prefix() netip.Prefix {
	if w.most == 32 {
		return prefix4(uint32(w.hi>>32), w.n)
	}
	return prefix6(w.hi, w.lo, w.n)
}

// Err returns what ended the walk, nil at the end of the block.
func (w *NLRILabelled) Err() *Error { return w.err }
