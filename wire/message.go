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

// checkUpdateHeader holds the header of a whole message to an UPDATE's.
func checkUpdateHeader(msg []byte, s *Session) *Error {
	t, n, err := ParseHeader(msg, s)
	switch {
	case err != nil:
		return err
	case t != MsgUpdate:
		return headerError(18, 19, SubBadType, "not an UPDATE")
	case n != len(msg):
		return headerError(16, 18, SubBadLength, "length is not that of the message")
	}
	return nil
}

func headerError(at, end int, subcode uint8, reason string) *Error {
	return &Error{Off: at, Start: at, End: end, Field: "header", Reason: reason,
		RFC: "RFC 4271 6.1", Action: SessionReset, Code: CodeHeader, Subcode: subcode}
}
