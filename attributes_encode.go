package ribd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"ribd/wire"
)

// Flags of path attributes (RFC 4271 section 4.3): of the well-known ones, of
// optional ones that stay with the neighbour, and of those that are passed on.
const (
	flagsWellKnown  = wire.FlagTransitive
	flagsOptional   = wire.FlagOptional
	flagsTransitive = wire.FlagOptional | wire.FlagTransitive
)

// Encode returns the path attributes in canonical form: in ascending order of
// type, with 4-octet AS numbers, the next hop in NEXT_HOP whatever its length.
// ORIGIN and AS_PATH are always there (RFC 4271 section 5). An AS_SEQUENCE of
// more than 255 ASes becomes several segments.
//
// What a session sends may differ (2-octet AS numbers, MP_REACH_NLRI): that is
// for Update.Encode. The error names the attribute that cannot be written.
func (a Attributes) Encode() ([]byte, error) {
	var l attrList
	if a.Origin > OriginIncomplete {
		return nil, fmt.Errorf("ribd: ORIGIN: there is no %d", a.Origin)
	}
	l.add(flagsWellKnown, wire.AttrOrigin, []byte{byte(a.Origin)})
	path, err := a.ASPath.encode()
	if err != nil {
		return nil, fmt.Errorf("ribd: AS_PATH: %w", err)
	}
	l.add(flagsWellKnown, wire.AttrASPath, path)
	if err := l.addNextHop(a.NextHop, a.NextHopLinkLocal); err != nil {
		return nil, err
	}
	l.add32(flagsOptional, wire.AttrMED, a.MED)
	l.add32(flagsWellKnown, wire.AttrLocalPref, a.LocalPref)
	if a.AtomicAggregate {
		l.add(flagsWellKnown, wire.AttrAtomicAggregate, nil)
	}
	l.addCommunities(&a)
	if err := l.addRouters(&a); err != nil {
		return nil, err
	}
	l.add32(flagsTransitive, wire.AttrOTC, a.OnlyToCustomer)
	if err := l.addOthers(a.Others); err != nil {
		return nil, err
	}
	return l.encode()
}

// DecodeAttributes reads what Attributes.Encode returns, or the attributes of an
// UPDATE with 4-octet AS numbers: in any order, each once. The error is what RFC
// 7606 finds wrong with them; its octet counts from b[0].
func DecodeAttributes(b []byte) (Attributes, error) {
	rest, hop := b, []byte(nil)
	for w := wire.WalkAttributes(b); w.Next(); {
		// A next hop of IPv6 is canonical, though no message has one in NEXT_HOP.
		if v := w.Value(); w.Type() == wire.AttrNextHop && (len(v) == 16 || len(v) == 32) {
			rest, hop = without(b, wire.AttrNextHop), v
		}
	}
	const head = 4 // the two lengths of an UPDATE
	if len(b) > wire.MaxExtendedLen-wire.HeaderLen-head {
		return Attributes{}, fmt.Errorf("ribd: %d octets of attributes do not fit into a message", len(b))
	}
	body := append([]byte{0, 0, byte(len(rest) >> 8), byte(len(rest))}, rest...)
	var u wire.Update
	if err := u.ParseBody(body, &wire.Session{AS4: true}); err != nil {
		err.Off, err.Start, err.End = max(err.Off-head, 0), max(err.Start-head, 0), max(err.End-head, 0)
		return Attributes{}, fmt.Errorf("ribd: %w", err)
	}
	a := decodeAttributes(slices.Clone(u.Attributes(nil)))
	if hop != nil {
		a.NextHop, a.NextHopLinkLocal = decodeNextHop(hop)
	}
	return a, nil
}

// without returns the attributes but for those of a type.
func without(b []byte, t wire.AttrType) []byte {
	var out []byte
	for w := wire.WalkAttributes(b); w.Next(); {
		if w.Type() != t {
			out = wire.AppendAttr(out, w.Flags(), w.Type(), w.Value())
		}
	}
	return out
}

// attrList are attributes that wait for their order.
type attrList []Attribute

func (l *attrList) add(flags byte, t wire.AttrType, value []byte) {
	*l = append(*l, Attribute{Type: uint8(t), Flags: flags, Value: value})
}

func (l *attrList) add32(flags byte, t wire.AttrType, v *uint32) {
	if v != nil {
		l.add(flags, t, binary.BigEndian.AppendUint32(nil, *v))
	}
}

func (l *attrList) addNextHop(global, linkLocal netip.Addr) error {
	switch {
	case !global.IsValid() && linkLocal.IsValid():
		return errors.New("ribd: next hop: a link-local one alone (RFC 2545 3: beside a global one)")
	case linkLocal.IsValid() && (!global.Is6() || !linkLocal.Is6()):
		return fmt.Errorf("ribd: next hop: %v beside %v (RFC 2545 3: both are IPv6)", linkLocal, global)
	case !global.IsValid():
		return nil
	}
	v := global.AsSlice()
	if linkLocal.IsValid() {
		v = append(v, linkLocal.AsSlice()...)
	}
	l.add(flagsWellKnown, wire.AttrNextHop, v)
	return nil
}

func (l *attrList) addCommunities(a *Attributes) {
	var v []byte
	for _, c := range a.Communities {
		v = binary.BigEndian.AppendUint32(v, uint32(c))
	}
	if v != nil {
		l.add(flagsTransitive, wire.AttrCommunities, v)
	}
	v = nil
	for i, c := range a.LargeCommunities { // each once (RFC 8092 section 5)
		if !slices.Contains(a.LargeCommunities[:i], c) {
			v = binary.BigEndian.AppendUint32(v, c.Global)
			v = binary.BigEndian.AppendUint32(v, c.Local1)
			v = binary.BigEndian.AppendUint32(v, c.Local2)
		}
	}
	if v != nil {
		l.add(flagsTransitive, wire.AttrLargeCommunities, v)
	}
	v = nil
	for _, c := range a.ExtCommunities {
		v = binary.BigEndian.AppendUint64(v, uint64(c))
	}
	if v != nil {
		l.add(flagsTransitive, wire.AttrExtCommunities, v)
	}
}

// addRouters adds the attributes that name routers by IPv4 addresses.
func (l *attrList) addRouters(a *Attributes) error {
	if g := a.Aggregator; g != nil {
		if !g.Addr.Is4() || g.AS == 0 {
			return fmt.Errorf("ribd: AGGREGATOR: %d %v is not an AS and an IPv4 address (RFC 4271 5.1.7, RFC 7607)", g.AS, g.Addr)
		}
		l.add(flagsTransitive, wire.AttrAggregator, append(binary.BigEndian.AppendUint32(nil, g.AS), g.Addr.AsSlice()...))
	}
	if id := a.OriginatorID; id.IsValid() {
		if !id.Is4() {
			return fmt.Errorf("ribd: ORIGINATOR_ID: %v is not an IPv4 address (RFC 4456 8)", id)
		}
		l.add(flagsOptional, wire.AttrOriginatorID, id.AsSlice())
	}
	var v []byte
	for _, id := range a.ClusterList {
		if !id.Is4() {
			return fmt.Errorf("ribd: CLUSTER_LIST: %v is not an IPv4 address (RFC 4456 8)", id)
		}
		v = append(v, id.AsSlice()...)
	}
	if v != nil {
		l.add(flagsOptional, wire.AttrClusterList, v)
	}
	return nil
}

// addOthers adds the attributes that have no field.
func (l *attrList) addOthers(others []Attribute) error {
	for _, o := range others {
		t := wire.AttrType(o.Type)
		switch t {
		case wire.AttrMPReach, wire.AttrMPUnreach, wire.AttrAS4Path, wire.AttrAS4Aggregator:
			return fmt.Errorf("ribd: %v is written where a session needs it, and is none of the attributes", t)
		case wire.AttrOrigin, wire.AttrASPath, wire.AttrNextHop, wire.AttrMED, wire.AttrLocalPref, wire.AttrAtomicAggregate,
			wire.AttrAggregator, wire.AttrCommunities, wire.AttrOriginatorID, wire.AttrClusterList, wire.AttrExtCommunities,
			wire.AttrLargeCommunities, wire.AttrOTC:
			return fmt.Errorf("ribd: %v has a field of its own", t)
		}
		l.add(o.Flags, t, o.Value)
	}
	return nil
}

func (l attrList) encode() ([]byte, error) {
	slices.SortStableFunc(l, func(x, y Attribute) int { return int(x.Type) - int(y.Type) })
	var b []byte
	for i, it := range l {
		t := wire.AttrType(it.Type)
		if i > 0 && l[i-1].Type == it.Type {
			return nil, fmt.Errorf("ribd: %v is there twice (RFC 4271 5)", t)
		}
		if len(it.Value) > 65535 {
			return nil, fmt.Errorf("ribd: %v has %d octets, and may have 65535", t, len(it.Value))
		}
		b = wire.AppendAttr(b, it.Flags, t, it.Value)
	}
	return b, nil
}

// encode returns the value of AS_PATH with 4-octet AS numbers.
func (p ASPath) encode() ([]byte, error) {
	var v []byte
	for _, s := range p {
		switch {
		case s.Type < ASSet || s.Type > ASConfedSet:
			return nil, fmt.Errorf("there is no segment of type %d", s.Type)
		case len(s.AS) == 0:
			return nil, errors.New("a segment without an AS (RFC 7606 7.2)")
		case slices.Contains(s.AS, 0):
			return nil, errors.New("AS 0 (RFC 7607)")
		case len(s.AS) > 255 && s.Type != ASSequence && s.Type != ASConfedSequence:
			return nil, fmt.Errorf("a set of %d ASes, and 255 is the most", len(s.AS))
		}
		for part := range slices.Chunk(s.AS, 255) {
			v = append(v, byte(s.Type), byte(len(part)))
			for _, as := range part {
				v = binary.BigEndian.AppendUint32(v, as)
			}
		}
	}
	return v, nil
}
