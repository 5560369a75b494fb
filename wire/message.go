package wire

import (
	"encoding/binary"
	"strconv"
)

// MessageType is the type of a BGP message (RFC 4271 section 4.1, RFC 2918).
type MessageType uint8

// The message types.
const (
	MsgOpen         MessageType = 1
	MsgUpdate       MessageType = 2
	MsgNotification MessageType = 3
	MsgKeepalive    MessageType = 4
	MsgRouteRefresh MessageType = 5
)

// String returns the type's name in its RFC.
func (t MessageType) String() string {
	switch t {
	case MsgOpen:
		return "OPEN"
	case MsgUpdate:
		return "UPDATE"
	case MsgNotification:
		return "NOTIFICATION"
	case MsgKeepalive:
		return "KEEPALIVE"
	case MsgRouteRefresh:
		return "ROUTE-REFRESH"
	}
	return "message " + strconv.Itoa(int(t))
}

// ParseHeader reads the header that b starts with: the message's type and
// whole length (RFC 4271 section 6.1, RFC 8654 section 4). b needs to hold no
// more than the header.
func ParseHeader(b []byte, s *Session) (MessageType, int, *Error) {
	if len(b) < HeaderLen {
		return 0, 0, headerError(0, len(b), SubBadLength, "shorter than a header")
	}
	if binary.BigEndian.Uint64(b) != ^uint64(0) || binary.BigEndian.Uint64(b[8:]) != ^uint64(0) {
		return 0, 0, headerError(0, 16, SubNotSynchronized, "marker is not all ones")
	}
	n, t := int(binary.BigEndian.Uint16(b[16:])), MessageType(b[18])
	least, most := HeaderLen, s.maxLen()
	switch t {
	case MsgOpen:
		least, most = minOpenLen, MaxMessageLen
	case MsgUpdate:
		least = minUpdateLen
	case MsgNotification:
		least = minNotificationLen
	case MsgKeepalive:
		most = HeaderLen
	case MsgRouteRefresh:
		least = HeaderLen + 4
	default:
		return t, n, headerError(18, 19, SubBadType, "unknown message type")
	}
	if n < least || n > most {
		return t, n, headerError(16, 18, SubBadLength, "length is out of bounds for "+t.String())
	}
	return t, n, nil
}

// checkHeader holds the header of a whole message to type want.
func checkHeader(msg []byte, s *Session, want MessageType) *Error {
	t, n, err := ParseHeader(msg, s)
	switch {
	case err != nil:
		return err
	case t != want:
		return headerError(18, 19, SubBadType, "type is not that of "+want.String())
	case n != len(msg):
		return headerError(16, 18, SubBadLength, "length is not that of the message")
	}
	return nil
}

func headerError(at, end int, subcode uint8, reason string) *Error {
	return &Error{Off: at, Start: at, End: end, Field: "header", Reason: reason,
		RFC: "RFC 4271 6.1", Action: SessionReset, Code: CodeHeader, Subcode: subcode}
}

// appendHeader appends a header whose length endMessage fills in.
func appendHeader(dst []byte, t MessageType) []byte {
	return append(dst, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, byte(t))
}

// endMessage writes the length of the message that starts at at.
func endMessage(b []byte, at int) []byte {
	if len(b)-at > MaxExtendedLen {
		panic("BUG: message over 65,535 octets")
	}
	binary.BigEndian.PutUint16(b[at+16:], uint16(len(b)-at))
	return b
}

// AppendKeepalive appends a KEEPALIVE (RFC 4271 section 4.4).
func AppendKeepalive(dst []byte) []byte {
	return endMessage(appendHeader(dst, MsgKeepalive), len(dst))
}

// Notification is a NOTIFICATION (RFC 4271 section 4.5). Data of a parsed one
// aliases the message.
type Notification struct {
	Code, Subcode uint8
	Data          []byte
}

// AppendNotification appends a NOTIFICATION; data that does not fit is cut.
func AppendNotification(dst []byte, n Notification) []byte {
	at := len(dst)
	dst = append(appendHeader(dst, MsgNotification), n.Code, n.Subcode)
	return endMessage(append(dst, n.Data[:min(len(n.Data), MaxMessageLen-minNotificationLen)]...), at)
}

// ParseNotification reads a whole NOTIFICATION message.
func ParseNotification(msg []byte, s *Session) (Notification, *Error) {
	if err := checkHeader(msg, s, MsgNotification); err != nil {
		return Notification{}, err
	}
	return Notification{Code: msg[19], Subcode: msg[20], Data: msg[21:]}, nil
}

// RouteRefresh is a ROUTE-REFRESH (RFC 2918; the subtype is RFC 7313's: 0 is a
// request, 1 and 2 are the begin and the end of a refresh). Data holds what
// RFC 5291 appends.
type RouteRefresh struct {
	Family  Family
	Subtype uint8
	Data    []byte
}

// AppendRouteRefresh appends a ROUTE-REFRESH.
func AppendRouteRefresh(dst []byte, r RouteRefresh) []byte {
	at := len(dst)
	dst = append(appendHeader(dst, MsgRouteRefresh), byte(r.Family>>16), byte(r.Family>>8), r.Subtype, byte(r.Family))
	return endMessage(append(dst, r.Data...), at)
}

// ParseRouteRefresh reads a whole ROUTE-REFRESH message.
func ParseRouteRefresh(msg []byte, s *Session) (RouteRefresh, *Error) {
	if err := checkHeader(msg, s, MsgRouteRefresh); err != nil {
		return RouteRefresh{}, err
	}
	b := msg[HeaderLen:]
	return RouteRefresh{Family: MakeFamily(binary.BigEndian.Uint16(b), b[3]), Subtype: b[2], Data: b[4:]}, nil
}
