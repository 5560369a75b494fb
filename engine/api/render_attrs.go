package api

import (
	"encoding/binary"
	"net/netip"

	"ribd/shard/rib"
	"ribd/wire"
)

// decoded is an attribute set taken apart: each value aliases the canonical bytes.
type decoded struct {
	id                                       rib.AttrID
	origin, path, hop, med, pref, comms      []byte
	large, ext, ext6, aggregator, originator []byte
	clusters, otc, aigp                      []byte
	all                                      []byte
	hasPath, atomic, hasUnknown              bool
}

// decode takes a set apart in one pass.
func (d *decoded) decode(id rib.AttrID, canonical []byte) {
	*d = decoded{id: id, all: canonical}
	w := wire.WalkAttributes(canonical)
	for w.Next() {
		v := w.Value()
		switch w.Type() {
		case wire.AttrOrigin:
			d.origin = v
		case wire.AttrASPath:
			d.path, d.hasPath = v, true
		case wire.AttrNextHop:
			d.hop = v
		case wire.AttrMED:
			d.med = v
		case wire.AttrLocalPref:
			d.pref = v
		case wire.AttrAtomicAggregate:
			d.atomic = true
		case wire.AttrAggregator:
			d.aggregator = v
		case wire.AttrCommunities:
			d.comms = v
		case wire.AttrOriginatorID:
			d.originator = v
		case wire.AttrClusterList:
			d.clusters = v
		case wire.AttrExtCommunities:
			d.ext = v
		case wire.AttrIPv6ExtCommunities:
			d.ext6 = v
		case wire.AttrLargeCommunities:
			d.large = v
		case wire.AttrOTC:
			d.otc = v
		case wire.AttrAIGP:
			d.aigp = v
		default:
			d.hasUnknown = true
		}
	}
}

// shownAttr reports whether a type has a field of its own.
func shownAttr(t wire.AttrType) bool {
	switch t {
	case wire.AttrOrigin, wire.AttrASPath, wire.AttrNextHop, wire.AttrMED, wire.AttrLocalPref, wire.AttrAtomicAggregate,
		wire.AttrAggregator, wire.AttrCommunities, wire.AttrOriginatorID, wire.AttrClusterList, wire.AttrExtCommunities,
		wire.AttrIPv6ExtCommunities, wire.AttrLargeCommunities, wire.AttrOTC, wire.AttrAIGP:
		return true
	}
	return false
}

// nextHops reads a canonical next hop: 4, 16 or 32 octets.
func nextHops(v []byte) (global, linkLocal netip.Addr) {
	switch len(v) {
	case 4:
		global = netip.AddrFrom4([4]byte(v))
	case 16:
		global = netip.AddrFrom16([16]byte(v))
	case 32:
		global, linkLocal = netip.AddrFrom16([16]byte(v[:16])), netip.AddrFrom16([16]byte(v[16:]))
	}
	return global, linkLocal
}

// aigpMetric reads the first metric TLV of an AIGP attribute (RFC 7311 3).
func aigpMetric(v []byte) (uint64, bool) {
	for len(v) >= 3 {
		n := int(binary.BigEndian.Uint16(v[1:]))
		if n < 3 || n > len(v) {
			return 0, false
		}
		if v[0] == 1 && n == 11 {
			return binary.BigEndian.Uint64(v[3:]), true
		}
		v = v[n:]
	}
	return 0, false
}

// appendField appends one field of the set, its name and its value.
func (d *decoded) appendField(dst []byte, f field) []byte {
	dst = append(dst, fieldKeys[f]...)
	switch f {
	case fOrigin:
		if len(d.origin) != 1 {
			return append(dst, "null"...)
		}
		dst = append(dst, '"')
		return append(wire.AppendOrigin(dst, d.origin[0]), '"')
	case fASPath:
		dst = append(dst, '"')
		return append(wire.AppendASPath(dst, d.path), '"')
	case fOriginASN:
		as, ok := wire.ASPathOrigin(d.path)
		return appendMaybe(dst, as, ok)
	case fNeighborASN:
		as, ok := wire.ASPathNeighbor(d.path)
		return appendMaybe(dst, as, ok)
	case fNextHop:
		a, _ := nextHops(d.hop)
		return appendAddr(dst, a)
	case fNextHopLinkLocal:
		_, a := nextHops(d.hop)
		return appendAddr(dst, a)
	case fMED:
		return appendWord(dst, d.med)
	case fLocalPref:
		return appendWord(dst, d.pref)
	case fCommunities:
		return d.appendCommunities(dst)
	case fLargeCommunities:
		return d.appendLarge(dst)
	case fExtCommunities:
		return d.appendExt(dst)
	case fAtomicAggregate:
		return appendBool(dst, d.atomic)
	case fAggregator:
		if len(d.aggregator) != 8 {
			return append(dst, "null"...)
		}
		dst = append(dst, '"')
		return append(wire.AppendAggregator(dst, d.aggregator), '"')
	case fOriginatorID:
		if len(d.originator) != 4 {
			return append(dst, "null"...)
		}
		dst = append(dst, '"')
		return append(wire.AppendIPv4(dst, binary.BigEndian.Uint32(d.originator)), '"')
	case fClusterList:
		dst = append(dst, '[')
		for v := d.clusters; len(v) >= 4; v = v[4:] {
			dst = append(openItem(dst), '"')
			dst = append(wire.AppendIPv4(dst, binary.BigEndian.Uint32(v)), '"')
		}
		return append(dst, ']')
	case fOnlyToCustomer:
		return appendWord(dst, d.otc)
	case fAIGP:
		m, ok := aigpMetric(d.aigp)
		if !ok {
			return append(dst, "null"...)
		}
		return appendUint(dst, m)
	case fUnknownAttributes:
		return d.appendUnknown(dst)
	default: // fAttrsID
		return appendUint(dst, uint32(d.id))
	}
}

// openItem puts a comma before an item of a list that is not the first.
func openItem(dst []byte) []byte {
	if dst[len(dst)-1] != '[' {
		dst = append(dst, ',')
	}
	return dst
}

func appendMaybe(dst []byte, v uint32, ok bool) []byte {
	if !ok {
		return append(dst, "null"...)
	}
	return appendUint(dst, v)
}

func appendWord(dst, v []byte) []byte {
	if len(v) != 4 {
		return append(dst, "null"...)
	}
	return appendUint(dst, binary.BigEndian.Uint32(v))
}

func (d *decoded) appendCommunities(dst []byte) []byte {
	dst = append(dst, '[')
	for v := d.comms; len(v) >= 4; v = v[4:] {
		dst = append(openItem(dst), '"')
		dst = append(wire.AppendCommunity(dst, binary.BigEndian.Uint32(v)), '"')
	}
	return append(dst, ']')
}

func (d *decoded) appendLarge(dst []byte) []byte {
	dst = append(dst, '[')
	for v := d.large; len(v) >= 12; v = v[12:] {
		dst = append(openItem(dst), '"')
		dst = append(wire.AppendLargeCommunity(dst, v[:12]), '"')
	}
	return append(dst, ']')
}

// appendExt lists those of 8 octets and then those of IPv6 (RFC 5701).
func (d *decoded) appendExt(dst []byte) []byte {
	dst = append(dst, '[')
	for v := d.ext; len(v) >= 8; v = v[8:] {
		dst = append(openItem(dst), '"')
		dst = append(wire.AppendExtCommunity(dst, binary.BigEndian.Uint64(v)), '"')
	}
	for v := d.ext6; len(v) >= 20; v = v[20:] {
		dst = append(openItem(dst), '"')
		dst = append(wire.AppendIPv6ExtCommunity(dst, v[:20]), '"')
	}
	return append(dst, ']')
}

func (d *decoded) appendUnknown(dst []byte) []byte {
	dst = append(dst, '[')
	if !d.hasUnknown {
		return append(dst, ']')
	}
	w := wire.WalkAttributes(d.all)
	for w.Next() {
		if shownAttr(w.Type()) {
			continue
		}
		dst = append(openItem(dst), `{"type":`...)
		dst = appendUint(dst, uint8(w.Type()))
		dst = append(dst, `,"flags":`...)
		dst = appendUint(dst, w.Flags())
		dst = append(dst, `,"value":`...)
		dst = append(appendHex(dst, w.Value()), '}')
	}
	return append(dst, ']')
}
