package ribd

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"ribd/wire"
)

// Attributes is a decoded attribute set. What it holds is its own.
type Attributes struct {
	Origin Origin
	ASPath ASPath
	// NextHop is the next hop; not valid where the set has none.
	NextHop netip.Addr
	// NextHopLinkLocal is the link-local address beside it (RFC 2545).
	NextHopLinkLocal netip.Addr
	// MED and LocalPref are nil where the set has none.
	MED, LocalPref *uint32

	Communities      []Community
	LargeCommunities []LargeCommunity
	ExtCommunities   []ExtCommunity

	AtomicAggregate bool
	Aggregator      *Aggregator
	OriginatorID    netip.Addr
	ClusterList     []netip.Addr
	// OnlyToCustomer is the AS of OTC (RFC 9234), nil where there is none.
	OnlyToCustomer *uint32
	// Others are the attributes that have no field here, as they came.
	Others []Attribute
}

// Attribute is a path attribute as it came.
type Attribute struct {
	Type  uint8
	Flags uint8
	Value []byte
}

// Origin is the ORIGIN of a route.
type Origin uint8

// The origins.
const (
	OriginIGP Origin = iota
	OriginEGP
	OriginIncomplete
)

// String returns igp, egp or incomplete.
func (o Origin) String() string {
	switch o {
	case OriginIGP:
		return "igp"
	case OriginEGP:
		return "egp"
	}
	return "incomplete"
}

// Aggregator is who aggregated a route.
type Aggregator struct {
	AS   uint32
	Addr netip.Addr
}

// SegmentType is the type of an AS_PATH segment.
type SegmentType = wire.SegmentType

// The types of segments.
const (
	ASSet            = wire.SegSet
	ASSequence       = wire.SegSequence
	ASConfedSequence = wire.SegConfedSequence
	ASConfedSet      = wire.SegConfedSet
)

// Segment is a run of AS numbers of one type.
type Segment struct {
	Type SegmentType
	AS   []uint32
}

// ASPath is the way that a route came, the last AS first.
type ASPath []Segment

// String writes the path as routers do: "65001 3356 {64500,64501}".
func (p ASPath) String() string {
	var v []byte
	for _, s := range p {
		v = append(v, byte(s.Type), byte(len(s.AS)))
		for _, as := range s.AS {
			v = binary.BigEndian.AppendUint32(v, as)
		}
	}
	return string(wire.AppendASPath(nil, v))
}

// Origin returns the AS that the route starts at; ok is false for an empty path
// and for one that ends in a set.
func (p ASPath) Origin() (as uint32, ok bool) {
	if len(p) == 0 {
		return 0, false
	}
	last := p[len(p)-1]
	if last.Type != ASSequence || len(last.AS) == 0 {
		return 0, false
	}
	return last.AS[len(last.AS)-1], true
}

// Contains says whether an AS is anywhere on the path.
func (p ASPath) Contains(as uint32) bool {
	for _, s := range p {
		for _, a := range s.AS {
			if a == as {
				return true
			}
		}
	}
	return false
}

// Community is an RFC 1997 community.
type Community uint32

// String writes it as 65001:100.
func (c Community) String() string { return string(wire.AppendCommunity(nil, uint32(c))) }

// LargeCommunity is an RFC 8092 community.
type LargeCommunity struct {
	Global, Local1, Local2 uint32
}

// String writes it as 65001:1:2.
func (c LargeCommunity) String() string {
	var b strings.Builder
	for i, v := range [...]uint32{c.Global, c.Local1, c.Local2} {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strconv.FormatUint(uint64(v), 10))
	}
	return b.String()
}

// ExtCommunity is an RFC 4360 community: its eight octets.
type ExtCommunity uint64

// String writes it as rt:65001:1, or as 0x and 16 hex digits.
func (c ExtCommunity) String() string { return string(wire.AppendExtCommunity(nil, uint64(c))) }

// decodeAttributes reads canonical octets, which the caller gives away.
func decodeAttributes(raw []byte) Attributes {
	var a Attributes
	a.Origin = OriginIncomplete
	for w := wire.WalkAttributes(raw); w.Next(); {
		v := w.Value()
		switch w.Type() {
		case wire.AttrOrigin:
			if len(v) == 1 {
				a.Origin = Origin(v[0])
			}
		case wire.AttrASPath:
			a.ASPath = decodeASPath(v)
		case wire.AttrNextHop:
			a.NextHop, a.NextHopLinkLocal = decodeNextHop(v)
		case wire.AttrMED:
			a.MED = decode32(v)
		case wire.AttrLocalPref:
			a.LocalPref = decode32(v)
		case wire.AttrAtomicAggregate:
			a.AtomicAggregate = true
		case wire.AttrAggregator:
			if len(v) == 8 {
				a.Aggregator = &Aggregator{binary.BigEndian.Uint32(v), netip.AddrFrom4([4]byte(v[4:8]))}
			}
		case wire.AttrCommunities:
			for ; len(v) >= 4; v = v[4:] {
				a.Communities = append(a.Communities, Community(binary.BigEndian.Uint32(v)))
			}
		case wire.AttrLargeCommunities:
			for ; len(v) >= 12; v = v[12:] {
				a.LargeCommunities = append(a.LargeCommunities,
					LargeCommunity{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:]), binary.BigEndian.Uint32(v[8:])})
			}
		case wire.AttrExtCommunities:
			for ; len(v) >= 8; v = v[8:] {
				a.ExtCommunities = append(a.ExtCommunities, ExtCommunity(binary.BigEndian.Uint64(v)))
			}
		case wire.AttrOriginatorID:
			if len(v) == 4 {
				a.OriginatorID = netip.AddrFrom4([4]byte(v))
			}
		case wire.AttrClusterList:
			for ; len(v) >= 4; v = v[4:] {
				a.ClusterList = append(a.ClusterList, netip.AddrFrom4([4]byte(v[:4])))
			}
		case wire.AttrOTC:
			a.OnlyToCustomer = decode32(v)
		default:
			a.Others = append(a.Others, Attribute{uint8(w.Type()), w.Flags(), v})
		}
	}
	return a
}

func decode32(v []byte) *uint32 {
	if len(v) != 4 {
		return nil
	}
	n := binary.BigEndian.Uint32(v)
	return &n
}

func decodeASPath(v []byte) ASPath {
	var p ASPath
	for w := wire.WalkASPath(v); w.Next(); {
		s := Segment{Type: w.Type(), AS: make([]uint32, w.Len())}
		for i := range s.AS {
			s.AS[i] = w.AS(i)
		}
		p = append(p, s)
	}
	return p
}

// decodeNextHop reads the canonical next hop: 4, 16 or 32 octets, the last two
// of these a global and a link-local address.
func decodeNextHop(v []byte) (global, linkLocal netip.Addr) {
	switch len(v) {
	case 4:
		return netip.AddrFrom4([4]byte(v)), netip.Addr{}
	case 16:
		return netip.AddrFrom16([16]byte(v)), netip.Addr{}
	case 32:
		return netip.AddrFrom16([16]byte(v[:16])), netip.AddrFrom16([16]byte(v[16:]))
	}
	return netip.Addr{}, netip.Addr{}
}
