package wire

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// Open is an OPEN message (RFC 4271 section 4.2) with its capabilities (RFC
// 5492). Values of a parsed one alias the message.
type Open struct {
	AS           uint32 // of the AS4 capability where there is one
	HoldTime     uint16 // seconds
	ID           uint32 // BGP identifier
	Capabilities []Capability
}

// Capability is one capability. A code may be there more than once.
type Capability struct {
	Code  CapabilityCode
	Value []byte
}

// Has is true where a capability is there.
func (o *Open) Has(c CapabilityCode) bool {
	return slices.ContainsFunc(o.Capabilities, func(x Capability) bool { return x.Code == c })
}

// AppendOpen appends an OPEN. More than 255 octets of capabilities are written
// in the extended form (RFC 9072). An AS number over 65535 is AS_TRANS in the
// header: it needs AS4Capability.
func AppendOpen(dst []byte, o *Open) []byte {
	at := len(dst)
	as := o.AS
	if as > 0xffff {
		as = ASTrans
	}
	dst = append(appendHeader(dst, MsgOpen), 4, byte(as>>8), byte(as))
	dst = binary.BigEndian.AppendUint16(dst, o.HoldTime)
	dst = binary.BigEndian.AppendUint32(dst, o.ID)
	n := 0
	for _, c := range o.Capabilities {
		if len(c.Value) > 255 {
			panic("BUG: capability over 255 octets")
		}
		n += 2 + len(c.Value)
	}
	switch {
	case n == 0:
		return endMessage(append(dst, 0), at)
	case n+2 <= 255:
		dst = append(dst, byte(n+2), 2, byte(n))
	default:
		dst = append(dst, 255, 255, byte((n+3)>>8), byte(n+3), 2, byte(n>>8), byte(n))
	}
	for _, c := range o.Capabilities {
		dst = append(append(dst, byte(c.Code), byte(len(c.Value))), c.Value...)
	}
	return endMessage(dst, at)
}

// ParseOpen reads a whole OPEN message. Whether AS number, hold time and
// identifier are acceptable is the session's to judge; a version other than 4
// is an error.
func ParseOpen(msg []byte) (Open, *Error) {
	var o Open
	if err := checkHeader(msg, &Session{}, MsgOpen); err != nil {
		return o, err
	}
	if msg[19] != 4 {
		return o, openError(19, 20, SubUnsupportedVersion, "version "+strconv.Itoa(int(msg[19]))+" is not 4")
	}
	o.AS = uint32(binary.BigEndian.Uint16(msg[20:]))
	o.HoldTime = binary.BigEndian.Uint16(msg[22:])
	o.ID = be32(msg[24:])
	p, head := minOpenLen, 2
	n := int(msg[28])
	if n != 0 && len(msg) >= 32 && msg[29] == 255 { // RFC 9072 section 2
		n, p, head = int(binary.BigEndian.Uint16(msg[30:])), 32, 3
	}
	if p+n != len(msg) {
		return o, openError(28, p, 0, "length of the optional parameters is not that of the message")
	}
	for p < len(msg) {
		if len(msg)-p < head {
			return o, openError(p, len(msg), 0, "optional parameter runs past the end")
		}
		t, size := msg[p], int(msg[p+1])
		if head == 3 {
			size = size<<8 | int(msg[p+2])
		}
		end := p + head + size
		if end > len(msg) {
			return o, openError(p, len(msg), 0, "optional parameter runs past the end")
		}
		if t != 2 {
			return o, openError(p, end, SubUnsupportedParam, "optional parameter is not of capabilities")
		}
		if err := o.capabilities(msg[:end], p+head); err != nil {
			return o, err
		}
		p = end
	}
	return o, nil
}

func (o *Open) capabilities(b []byte, p int) *Error {
	for start := p; p < len(b); {
		if len(b)-p < 2 || int(b[p+1]) > len(b)-p-2 {
			return openError(p, len(b), 0, "capability runs past the end").from(start)
		}
		c := Capability{CapabilityCode(b[p]), b[p+2 : p+2+int(b[p+1])]}
		if c.Code == CapAS4 && len(c.Value) == 4 {
			o.AS = be32(c.Value)
		}
		o.Capabilities = append(o.Capabilities, c)
		p += 2 + len(c.Value)
	}
	return nil
}

func openError(at, end int, subcode uint8, reason string) *Error {
	return &Error{Off: at, Start: at, End: end, Field: "OPEN", Reason: reason,
		RFC: "RFC 4271 6.2", Action: SessionReset, Code: CodeOpen, Subcode: subcode}
}

// from widens the field that the error lies in.
func (e *Error) from(start int) *Error {
	e.Start = start
	return e
}
