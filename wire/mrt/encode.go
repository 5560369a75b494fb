package mrt

import (
	"encoding/binary"
	"net/netip"

	"ribd/wire"
)

// Begin appends the header of a record whose length End fills in; micros is
// written for the *_ET types alone.
//
//	at := len(dst)
//	dst = mrt.Begin(dst, now, 0, mrt.TypeTableDump2, mrt.RIBIPv4Unicast)
//	dst = rib.Append(dst, rib.Subtype())
//	mrt.End(dst[at:])
func Begin(dst []byte, time, micros uint32, t Type, s Subtype) []byte {
	dst = binary.BigEndian.AppendUint32(dst, time)
	dst = binary.BigEndian.AppendUint16(dst, uint16(t))
	dst = binary.BigEndian.AppendUint16(dst, uint16(s))
	dst = binary.BigEndian.AppendUint32(dst, 0)
	if t.extended() {
		dst = binary.BigEndian.AppendUint32(dst, micros)
	}
	return dst
}

// End writes the length of the one record that b is into its header.
func End(b []byte) {
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-HeaderLen))
}

// appendAddr appends 16 octets for IPv6 and 4 for IPv4.
func appendAddr(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		b := a.As4()
		return append(dst, b[:]...)
	}
	b := a.As16()
	return append(dst, b[:]...)
}

func appendAS(dst []byte, as uint32, four bool) []byte {
	if four {
		return binary.BigEndian.AppendUint32(dst, as)
	}
	return binary.BigEndian.AppendUint16(dst, uint16(as))
}

// Append appends the peer as a PEER_INDEX_TABLE holds it. Type has to agree
// with the address; an AS number over 65535 wants PeerAS4.
func (p *Peer) Append(dst []byte) []byte {
	dst = append(dst, p.Type)
	dst = binary.BigEndian.AppendUint32(dst, p.BGPID)
	dst = appendAddr(dst, p.Addr)
	return appendAS(dst, p.AS, p.Type&PeerAS4 != 0)
}

// Append appends the body of a PEER_INDEX_TABLE up to the peers: Count of
// them have to follow, each by [Peer.Append].
func (x *PeerIndex) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, x.CollectorID)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(x.ViewName)))
	dst = append(dst, x.ViewName...)
	return binary.BigEndian.AppendUint16(dst, uint16(x.Count))
}

// Append appends the peer as a GEO_PEER_TABLE holds it.
func (p *GeoPeer) Append(dst []byte) []byte {
	dst = p.Peer.Append(dst)
	dst = binary.BigEndian.AppendUint32(dst, p.Latitude)
	return binary.BigEndian.AppendUint32(dst, p.Longitude)
}

// Append appends the body of a GEO_PEER_TABLE up to the peers.
func (x *GeoPeers) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, x.CollectorID)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(x.ViewName)))
	dst = append(dst, x.ViewName...)
	dst = binary.BigEndian.AppendUint32(dst, x.Latitude)
	dst = binary.BigEndian.AppendUint32(dst, x.Longitude)
	return binary.BigEndian.AppendUint16(dst, uint16(x.Count))
}

// Subtype returns the subtype that a record of the family and layout has.
func (r *RIB) Subtype() Subtype {
	s := RIBGeneric
	switch r.Family {
	case wire.IPv4Unicast:
		s = RIBIPv4Unicast
	case wire.IPv4Multicast:
		s = RIBIPv4Multicast
	case wire.IPv6Unicast:
		s = RIBIPv6Unicast
	case wire.IPv6Multicast:
		s = RIBIPv6Multicast
	}
	if r.Layout != LayoutPlain {
		s += distanceAPTableDump2
	}
	return s
}

// Append appends the body of a RIB record of subtype s up to the entries:
// Count of them have to follow, each by [Entry.Append]. A family that has a
// subtype of its own may still be written as RIB_GENERIC.
func (r *RIB) Append(dst []byte, s Subtype) []byte {
	dst = binary.BigEndian.AppendUint32(dst, r.Seq)
	if s == RIBGeneric || s == RIBGenericAP {
		dst = binary.BigEndian.AppendUint16(dst, r.Family.AFI())
		dst = append(dst, r.Family.SAFI())
		if r.Layout == LayoutNLRI {
			dst = binary.BigEndian.AppendUint32(dst, r.PathID)
		}
	}
	dst = append(dst, r.NLRI...)
	return binary.BigEndian.AppendUint16(dst, uint16(r.Count))
}

// Append appends the entry as a RIB record of layout l holds it.
func (e *Entry) Append(dst []byte, l Layout) []byte {
	dst = binary.BigEndian.AppendUint16(dst, e.Peer)
	dst = binary.BigEndian.AppendUint32(dst, e.Originated)
	if l == LayoutEntries {
		dst = binary.BigEndian.AppendUint32(dst, e.PathID)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Attrs)))
	return append(dst, e.Attrs...)
}

// Append appends the body of a TABLE_DUMP record.
func (t *TableDump) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, t.View)
	dst = binary.BigEndian.AppendUint16(dst, t.Seq)
	size := 16
	if t.Family.Is4() {
		size = 4
	}
	dst = append(dst, t.Prefix[:size]...)
	dst = append(dst, t.Len, t.Status)
	dst = binary.BigEndian.AppendUint32(dst, t.Originated)
	dst = appendAddr(dst, t.Peer)
	dst = appendAS(dst, t.PeerAS, t.AS4)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.Attrs)))
	return append(dst, t.Attrs...)
}

// Subtype returns the subtype that the message has in a BGP4MP record.
func (m *Message) Subtype() Subtype {
	s := MessageAS2
	switch {
	case m.AS4 && m.Sent:
		s = MessageAS4Local
	case m.AS4:
		s = MessageAS4
	case m.Sent:
		s = MessageLocal
	}
	if m.AddPath {
		switch s {
		case MessageAS2:
			return MessageAP
		case MessageAS4:
			return MessageAS4AP
		case MessageLocal:
			return MessageLocalAP
		}
		return MessageAS4LocalAP
	}
	return s
}

// Append appends the body of a BGP4MP message record, or, where Data is nil,
// of a record of the deprecated types.
func (m *Message) Append(dst []byte) []byte {
	if m.Data == nil {
		dst = appendAS(dst, m.PeerAS, false)
		dst = appendAddr(dst, m.Peer)
		dst = appendAS(dst, m.LocalAS, false)
		dst = appendAddr(dst, m.Local)
		return append(dst, m.Body...)
	}
	dst = appendSession(dst, m.PeerAS, m.LocalAS, m.Interface, m.Peer, m.Local, m.AS4)
	return append(dst, m.Data...)
}

func appendSession(dst []byte, peerAS, localAS uint32, iface uint16, peer, local netip.Addr, as4 bool) []byte {
	dst = appendAS(dst, peerAS, as4)
	dst = appendAS(dst, localAS, as4)
	dst = binary.BigEndian.AppendUint16(dst, iface)
	afi := uint16(2)
	if peer.Is4() {
		afi = 1
	}
	dst = binary.BigEndian.AppendUint16(dst, afi)
	dst = appendAddr(dst, peer)
	return appendAddr(dst, local)
}

// Append appends the body of a STATE_CHANGE record of BGP4MP, or, where the
// local address is missing, of the deprecated types.
func (s *StateChange) Append(dst []byte) []byte {
	if s.Local.IsValid() {
		dst = appendSession(dst, s.PeerAS, s.LocalAS, s.Interface, s.Peer, s.Local, s.AS4)
	} else {
		dst = appendAS(dst, s.PeerAS, false)
		dst = appendAddr(dst, s.Peer)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.Old))
	return binary.BigEndian.AppendUint16(dst, uint16(s.New))
}

// Append appends the body of a BGP4MP_ENTRY record.
func (e *OldEntry) Append(dst []byte) []byte {
	dst = appendSession(dst, e.PeerAS, e.LocalAS, e.Interface, e.Peer, e.Local, false)
	dst = binary.BigEndian.AppendUint16(dst, e.View)
	dst = binary.BigEndian.AppendUint16(dst, e.Status)
	dst = binary.BigEndian.AppendUint32(dst, e.Originated)
	dst = binary.BigEndian.AppendUint16(dst, e.Family.AFI())
	dst = append(dst, e.Family.SAFI(), byte(len(e.NextHop)))
	dst = append(dst, e.NextHop...)
	dst = append(dst, e.NLRI...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Attrs)))
	return append(dst, e.Attrs...)
}
