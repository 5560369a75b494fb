package wire

import (
	"encoding/binary"
	"strconv"
)

// AttrType is a path attribute's type code (RFC 4271 section 4.3).
type AttrType uint8

// The path attributes that ribd knows.
const (
	AttrOrigin             AttrType = 1
	AttrASPath             AttrType = 2
	AttrNextHop            AttrType = 3
	AttrMED                AttrType = 4
	AttrLocalPref          AttrType = 5
	AttrAtomicAggregate    AttrType = 6
	AttrAggregator         AttrType = 7
	AttrCommunities        AttrType = 8
	AttrOriginatorID       AttrType = 9
	AttrClusterList        AttrType = 10
	AttrMPReach            AttrType = 14
	AttrMPUnreach          AttrType = 15
	AttrExtCommunities     AttrType = 16
	AttrAS4Path            AttrType = 17
	AttrAS4Aggregator      AttrType = 18
	AttrPMSITunnel         AttrType = 22
	AttrTunnelEncap        AttrType = 23
	AttrTrafficEngineering AttrType = 24
	AttrIPv6ExtCommunities AttrType = 25
	AttrAIGP               AttrType = 26
	AttrPEDistinguisher    AttrType = 27
	AttrLS                 AttrType = 29
	AttrLargeCommunities   AttrType = 32
	AttrBGPsecPath         AttrType = 33
	AttrOTC                AttrType = 35
	AttrDomainPath         AttrType = 36
	AttrSFP                AttrType = 37
	AttrBFDDiscriminator   AttrType = 38
	AttrPrefixSID          AttrType = 40
	AttrSet                AttrType = 128
)

// String returns the attribute's name in its RFC, or "attribute N".
func (t AttrType) String() string {
	if n := attrTable[t].name; n != "" {
		return n
	}
	return "attribute " + strconv.Itoa(int(t))
}

// Known is true for the attributes that have a row in the table of attributes.
func (t AttrType) Known() bool { return attrTable[t].known }

// Flags returns the Optional and Transitive bits that an attribute of the type
// has to have. known is that of Known; what is not known has none.
func (t AttrType) Flags() (flags byte, known bool) {
	return attrTable[t].flags, attrTable[t].known
}

// LenOK is true where a value of n octets has a length that the type allows, as
// any has of a type that is not known.
func (t AttrType) LenOK(n int) bool { return attrTable[t].ok(n) }

// Attribute flags (RFC 4271 section 4.3).
const (
	FlagOptional   byte = 0x80
	FlagTransitive byte = 0x40
	FlagPartial    byte = 0x20
	FlagExtended   byte = 0x10
)

// Values of ORIGIN.
const (
	OriginIGP        byte = 0
	OriginEGP        byte = 1
	OriginIncomplete byte = 2
)

// Attributes walks canonical attribute bytes, or any others that are well
// framed: for a.Next() { a.Type(), a.Value() }. It ends at the first attribute
// that overruns.
type Attributes struct {
	rest  []byte
	value []byte
	typ   AttrType
	flags byte
}

// WalkAttributes returns a cursor over canonical attribute bytes.
func WalkAttributes(canonical []byte) Attributes { return Attributes{rest: canonical} }

// Next moves to the next attribute, and is false at the end.
func (a *Attributes) Next() bool {
	b := a.rest
	if len(b) < 3 {
		return false
	}
	n, h := int(b[2]), 3
	if b[0]&FlagExtended != 0 {
		if len(b) < 4 {
			return false
		}
		n, h = n<<8|int(b[3]), 4
	}
	if n > len(b)-h {
		return false
	}
	a.flags, a.typ = b[0], AttrType(b[1])
	a.value, a.rest = b[h:h+n], b[h+n:]
	return true
}

// Type returns the attribute's type.
func (a *Attributes) Type() AttrType { return a.typ }

// Flags returns the attribute's flags, without the extended length bit.
func (a *Attributes) Flags() byte { return a.flags &^ FlagExtended }

// Value returns the attribute's value, which aliases what is walked.
func (a *Attributes) Value() []byte { return a.value }

// FindAttr returns the value of the attribute of type t in canonical bytes, nil
// where it is not there.
func FindAttr(canonical []byte, t AttrType) ([]byte, bool) {
	a := WalkAttributes(canonical)
	for a.Next() && a.typ <= t {
		if a.typ == t {
			return a.value, true
		}
	}
	return nil, false
}

// AppendAttr appends an attribute in canonical form: the extended length bit
// is set only where the value is longer than 255 octets. A value longer than
// 65,535 octets cannot be written: it panics.
func AppendAttr(dst []byte, flags byte, t AttrType, value []byte) []byte {
	dst = appendAttrHead(dst, flags, t, len(value))
	return append(dst, value...)
}

func appendAttrHead(dst []byte, flags byte, t AttrType, n int) []byte {
	flags &^= FlagExtended
	if n <= 255 {
		return append(dst, flags, byte(t), byte(n))
	}
	if n > 65535 {
		panic("BUG: attribute longer than 65,535 octets")
	}
	return append(dst, flags|FlagExtended, byte(t), byte(n>>8), byte(n))
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
