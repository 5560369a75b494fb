package wire

import "encoding/binary"

// NLRIRaw walks a block of NLRI of the other families in place, one NLRI at a
// time where the family's framing is known, as one piece where not. It looks
// at nothing inside of an NLRI.
type NLRIRaw struct {
	b       []byte
	nlri    []byte
	at      int
	off     int
	pathID  uint32
	addPath bool
	frame   frame
	err     *Error
}

// frame is how the NLRI of a family are told apart.
type frame uint8

const (
	frameWhole   frame = iota // not known: the block is one NLRI
	frameBits                 // length in bits, 1 octet (RFC 4684, RFC 6514 section 11, RFC 9830)
	frameTypeLen              // type and length, 1 octet each (RFC 7432, RFC 6514 section 4)
	frameType2                // type and length, 2 octets each (RFC 9552)
	frameLen2                 // length, 2 octets (RFC 4761)
	frameFlow                 // length, 1 octet below 240, else 2 (RFC 8955 section 4.1)
	frameMUP                  // architecture 1, route type 2, length 1 (BGP MUP)
)

func (f Family) frame() frame {
	afi := f.AFI()
	switch ip := afi == afiIPv4 || afi == afiIPv6; f.SAFI() {
	case safiFlowSpec, safiFlowSpecVPN:
		if ip || afi == afiL2VPN {
			return frameFlow
		}
	case safiEVPN:
		if afi == afiL2VPN {
			return frameTypeLen
		}
	case safiVPLS:
		if afi == afiL2VPN {
			return frameLen2
		}
	case safiLS, safiLSVPN:
		if afi == afiLS {
			return frameType2
		}
	case safiMVPN:
		if ip {
			return frameTypeLen
		}
	case safiMUP:
		if ip {
			return frameMUP
		}
	case safiRTC, safiSRPolicy, safiVPNMulticast:
		if ip {
			return frameBits
		}
	}
	return frameWhole
}

// NewNLRIRaw returns a cursor over b, NLRI of a family whose form is FormRaw.
// b[0] is octet off of what errors count from. Where the framing of the family
// is not known, path ids are not either, and stay in the NLRI.
func NewNLRIRaw(b []byte, off int, f Family, addPath bool) NLRIRaw {
	w := NLRIRaw{b: b, off: off, frame: f.frame()}
	w.addPath = addPath && w.frame != frameWhole
	return w
}

// Next moves to the next NLRI, and is false at the end or at an error.
func (w *NLRIRaw) Next() bool {
	p := w.at
	if p >= len(w.b) || w.err != nil {
		return false
	}
	if w.addPath {
		if len(w.b)-p < 5 {
			return w.fail(p, "path id runs past the end")
		}
		w.pathID = binary.BigEndian.Uint32(w.b[p:])
		p += 4
	}
	head, size := w.frame.size(w.b[p:])
	if head > len(w.b)-p || size > len(w.b)-p-head {
		return w.fail(p, "NLRI runs past the end")
	}
	w.at = p + head + size
	w.nlri = w.b[p:w.at]
	return true
}

// size returns the octets of the framing that b starts with, and of what it
// frames; the head alone where b is too short for it.
func (f frame) size(b []byte) (head, size int) {
	switch f {
	case frameBits:
		return 1, (int(b[0]) + 7) / 8
	case frameTypeLen:
		if len(b) >= 2 {
			size = int(b[1])
		}
		return 2, size
	case frameType2:
		if len(b) >= 4 {
			size = int(binary.BigEndian.Uint16(b[2:]))
		}
		return 4, size
	case frameLen2:
		if len(b) >= 2 {
			size = int(binary.BigEndian.Uint16(b))
		}
		return 2, size
	case frameFlow:
		if b[0] < 0xf0 {
			return 1, int(b[0])
		}
		if len(b) >= 2 {
			size = int(binary.BigEndian.Uint16(b)) & 0x0fff
		}
		return 2, size
	case frameMUP:
		if len(b) >= 4 {
			size = int(b[3])
		}
		return 4, size
	}
	return 0, len(b)
}

func (w *NLRIRaw) fail(p int, reason string) bool {
	w.err = &Error{Off: w.off + p, Start: w.off, End: w.off + len(w.b), Field: "NLRI", Reason: reason,
		RFC: "RFC 7606 5.4", Action: SessionReset, Code: CodeUpdate, Subcode: SubOptionalAttribute}
	return false
}

// Bytes returns the NLRI with its own type and length octets, without the
// path id.
func (w *NLRIRaw) Bytes() []byte { return w.nlri }

// Off returns the octet at which the NLRI, less its path id, begins: what errors
// count from.
func (w *NLRIRaw) Off() int { return w.off + w.at - len(w.nlri) }

// PathID returns the path id, 0 without Add-Path.
func (w *NLRIRaw) PathID() uint32 { return w.pathID }

// HasPathID is true where the NLRI carry path ids.
func (w *NLRIRaw) HasPathID() bool { return w.addPath }

// Err returns what ended the walk, nil at the end of the block.
func (w *NLRIRaw) Err() *Error { return w.err }
