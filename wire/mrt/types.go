package mrt

import "strconv"

// Type is the type of an MRT record (RFC 6396 section 4, IANA "MRT" registry).
type Type uint16

// The types of the registry. Those up to BGP4Plus01 but TypeTableDump are
// deprecated (RFC 6396 appendix B); archives before 2001 hold some of them.
const (
	TypeNull       Type = 0
	TypeStart      Type = 1
	TypeDie        Type = 2
	TypeIAmDead    Type = 3
	TypePeerDown   Type = 4
	TypeBGP        Type = 5
	TypeRIP        Type = 6
	TypeIDRP       Type = 7
	TypeRIPng      Type = 8
	TypeBGP4Plus   Type = 9
	TypeBGP4Plus01 Type = 10
	TypeOSPFv2     Type = 11
	TypeTableDump  Type = 12
	TypeTableDump2 Type = 13
	TypeBGP4MP     Type = 16
	TypeBGP4MPET   Type = 17
	TypeISIS       Type = 32
	TypeISISET     Type = 33
	TypeOSPFv3     Type = 48
	TypeOSPFv3ET   Type = 49
)

// String returns the registry's name, or "type(99)".
func (t Type) String() string {
	switch t {
	case TypeNull:
		return "NULL"
	case TypeStart:
		return "START"
	case TypeDie:
		return "DIE"
	case TypeIAmDead:
		return "I_AM_DEAD"
	case TypePeerDown:
		return "PEER_DOWN"
	case TypeBGP:
		return "BGP"
	case TypeRIP:
		return "RIP"
	case TypeIDRP:
		return "IDRP"
	case TypeRIPng:
		return "RIPNG"
	case TypeBGP4Plus:
		return "BGP4PLUS"
	case TypeBGP4Plus01:
		return "BGP4PLUS_01"
	case TypeOSPFv2:
		return "OSPFv2"
	case TypeTableDump:
		return "TABLE_DUMP"
	case TypeTableDump2:
		return "TABLE_DUMP_V2"
	case TypeBGP4MP:
		return "BGP4MP"
	case TypeBGP4MPET:
		return "BGP4MP_ET"
	case TypeISIS:
		return "ISIS"
	case TypeISISET:
		return "ISIS_ET"
	case TypeOSPFv3:
		return "OSPFv3"
	case TypeOSPFv3ET:
		return "OSPFv3_ET"
	}
	return "type(" + strconv.Itoa(int(t)) + ")"
}

// extended reports whether records of the type carry microseconds before
// their body (RFC 6396 section 3).
func (t Type) extended() bool {
	return t == TypeBGP4MPET || t == TypeISISET || t == TypeOSPFv3ET
}

// Subtype is the subtype of a record; what it means depends on the type.
type Subtype uint16

// Subtypes of TABLE_DUMP. The two with 4-octet AS numbers are in no RFC;
// bgpdump reads them.
const (
	TableDumpIPv4    Subtype = 1
	TableDumpIPv6    Subtype = 2
	TableDumpIPv4AS4 Subtype = 3
	TableDumpIPv6AS4 Subtype = 4
)

// Subtypes of TABLE_DUMP_V2: RFC 6396 section 4.3, RFC 6397 (7) and RFC 8050
// section 4 (8 to 12).
const (
	PeerIndexTable       Subtype = 1
	RIBIPv4Unicast       Subtype = 2
	RIBIPv4Multicast     Subtype = 3
	RIBIPv6Unicast       Subtype = 4
	RIBIPv6Multicast     Subtype = 5
	RIBGeneric           Subtype = 6
	GeoPeerTable         Subtype = 7
	RIBIPv4UnicastAP     Subtype = 8
	RIBIPv4MulticastAP   Subtype = 9
	RIBIPv6UnicastAP     Subtype = 10
	RIBIPv6MulticastAP   Subtype = 11
	RIBGenericAP         Subtype = 12
	lastTableDump2       Subtype = RIBGenericAP
	firstAPTableDump2    Subtype = RIBIPv4UnicastAP
	distanceAPTableDump2 Subtype = RIBIPv4UnicastAP - RIBIPv4Unicast
)

// Subtypes of BGP4MP and BGP4MP_ET: RFC 6396 section 4.4, its appendix B.4
// (Entry and Snapshot) and RFC 8050 section 3 (AP).
const (
	StateChangeAS2    Subtype = 0
	MessageAS2        Subtype = 1
	BGP4MPEntry       Subtype = 2
	BGP4MPSnapshot    Subtype = 3
	MessageAS4        Subtype = 4
	StateChangeAS4    Subtype = 5
	MessageLocal      Subtype = 6
	MessageAS4Local   Subtype = 7
	MessageAP         Subtype = 8
	MessageAS4AP      Subtype = 9
	MessageLocalAP    Subtype = 10
	MessageAS4LocalAP Subtype = 11
	lastBGP4MP        Subtype = MessageAS4LocalAP
)

// Subtypes of the deprecated types BGP, BGP4PLUS and BGP4PLUS_01 (RFC 6396
// appendix B.2).
const (
	BGPNull        Subtype = 0
	BGPUpdate      Subtype = 1
	BGPPrefUpdate  Subtype = 2
	BGPStateChange Subtype = 3
	BGPSync        Subtype = 4
	BGPOpen        Subtype = 5
	BGPNotify      Subtype = 6
	BGPKeepalive   Subtype = 7
	lastBGP        Subtype = BGPKeepalive
)

// Kind sorts records by the function that decodes them.
type Kind uint8

// The kinds. KindOther is everything that says nothing about BGP routes and
// that a reader may skip: OSPF, IS-IS, RIP, BGP_NULL, BGP_SYNC, SNAPSHOT,
// BGP_PREF_UPDATE (whose format no document gives).
const (
	KindOther Kind = iota
	KindTableDump
	KindPeerIndex
	KindGeoPeers
	KindRIB
	KindMessage
	KindStateChange
	KindEntry
	KindUnknown // a subtype that no document gives
)

// Kind returns how the record is decoded.
func (r *Record) Kind() Kind {
	switch r.Type {
	case TypeTableDump2:
		switch {
		case r.Subtype == PeerIndexTable:
			return KindPeerIndex
		case r.Subtype == GeoPeerTable:
			return KindGeoPeers
		case r.Subtype >= RIBIPv4Unicast && r.Subtype <= lastTableDump2:
			return KindRIB
		}
		return KindUnknown
	case TypeBGP4MP, TypeBGP4MPET:
		switch {
		case r.Subtype == StateChangeAS2 || r.Subtype == StateChangeAS4:
			return KindStateChange
		case r.Subtype == BGP4MPEntry:
			return KindEntry
		case r.Subtype == BGP4MPSnapshot:
			return KindOther
		case r.Subtype <= lastBGP4MP:
			return KindMessage
		}
		return KindUnknown
	case TypeTableDump:
		if r.Subtype >= TableDumpIPv4 && r.Subtype <= TableDumpIPv6AS4 {
			return KindTableDump
		}
		return KindUnknown
	case TypeBGP, TypeBGP4Plus, TypeBGP4Plus01:
		switch r.Subtype {
		case BGPUpdate, BGPOpen, BGPNotify, BGPKeepalive:
			return KindMessage
		case BGPStateChange:
			return KindStateChange
		case BGPNull, BGPSync, BGPPrefUpdate:
			return KindOther
		}
		return KindUnknown
	}
	return KindOther
}

// SubtypeName returns the registry's name of a subtype, or "subtype(99)".
func SubtypeName(t Type, s Subtype) string {
	var names []string
	switch t {
	case TypeTableDump:
		names = []string{"", "AFI_IPv4", "AFI_IPv6", "AFI_IPv4_AS4", "AFI_IPv6_AS4"}
	case TypeTableDump2:
		names = []string{"", "PEER_INDEX_TABLE", "RIB_IPV4_UNICAST", "RIB_IPV4_MULTICAST", "RIB_IPV6_UNICAST",
			"RIB_IPV6_MULTICAST", "RIB_GENERIC", "GEO_PEER_TABLE", "RIB_IPV4_UNICAST_ADDPATH",
			"RIB_IPV4_MULTICAST_ADDPATH", "RIB_IPV6_UNICAST_ADDPATH", "RIB_IPV6_MULTICAST_ADDPATH",
			"RIB_GENERIC_ADDPATH"}
	case TypeBGP4MP, TypeBGP4MPET:
		names = []string{"BGP4MP_STATE_CHANGE", "BGP4MP_MESSAGE", "BGP4MP_ENTRY", "BGP4MP_SNAPSHOT",
			"BGP4MP_MESSAGE_AS4", "BGP4MP_STATE_CHANGE_AS4", "BGP4MP_MESSAGE_LOCAL", "BGP4MP_MESSAGE_AS4_LOCAL",
			"BGP4MP_MESSAGE_ADDPATH", "BGP4MP_MESSAGE_AS4_ADDPATH", "BGP4MP_MESSAGE_LOCAL_ADDPATH",
			"BGP4MP_MESSAGE_AS4_LOCAL_ADDPATH"}
	case TypeBGP, TypeBGP4Plus, TypeBGP4Plus01:
		names = []string{"BGP_NULL", "BGP_UPDATE", "BGP_PREF_UPDATE", "BGP_STATE_CHANGE", "BGP_SYNC", "BGP_OPEN",
			"BGP_NOTIFY", "BGP_KEEPALIVE"}
	}
	if int(s) < len(names) && names[s] != "" {
		return names[s]
	}
	return "subtype(" + strconv.Itoa(int(s)) + ")"
}

// State is a state of the BGP session state machine as STATE_CHANGE records
// write it: RFC 6396 section 4.4.1 numbers 1 to 6; Quagga and FRR add 7 and 8.
type State uint16

// The states. Clearing and Deleted are in no RFC, but in real files.
const (
	StateIdle        State = 1
	StateConnect     State = 2
	StateActive      State = 3
	StateOpenSent    State = 4
	StateOpenConfirm State = 5
	StateEstablished State = 6
	StateClearing    State = 7
	StateDeleted     State = 8
)

// String returns the name in the words of the HTTP API, or "state(99)".
func (s State) String() string {
	names := [...]string{"", "idle", "connect", "active", "open-sent", "open-confirm", "established", "clearing", "deleted"}
	if s >= 1 && int(s) < len(names) {
		return names[s]
	}
	return "state(" + strconv.Itoa(int(s)) + ")"
}
