package wire

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// CodeSendHold says that the peer did not read for too long (RFC 9687).
const CodeSendHold uint8 = 8

// More subcodes of CodeOpen (RFC 4271 section 6.2, RFC 5492, RFC 9234).
const (
	SubBadPeerAS             uint8 = 2
	SubBadID                 uint8 = 3
	SubUnacceptableHoldTime  uint8 = 6
	SubUnsupportedCapability uint8 = 7
	SubRoleMismatch          uint8 = 11
)

// Subcodes of CodeFSM: a message came in a state that does not expect it (RFC
// 6608).
const (
	SubUnexpectedInOpenSent    uint8 = 1
	SubUnexpectedInOpenConfirm uint8 = 2
	SubUnexpectedInEstablished uint8 = 3
)

// Subcodes of CodeCease (RFC 4486, RFC 8538, RFC 9384).
const (
	CeaseMaxPrefixes        uint8 = 1
	CeaseAdminShutdown      uint8 = 2
	CeasePeerDeconfigured   uint8 = 3
	CeaseAdminReset         uint8 = 4
	CeaseConnectionRejected uint8 = 5
	CeaseConfigChange       uint8 = 6
	CeaseCollision          uint8 = 7
	CeaseOutOfResources     uint8 = 8
	CeaseHardReset          uint8 = 9
	CeaseBFDDown            uint8 = 10
)

// SubInvalidRefreshLength is the subcode of CodeRouteRefresh (RFC 7313 section
// 5).
const SubInvalidRefreshLength uint8 = 1

// MaxShutdownMessage is the longest shutdown communication, in octets (RFC
// 9003 section 2).
const MaxShutdownMessage = 255

// notificationNames has the names of the IANA registries of NOTIFICATION codes
// and, at 1 and on, their subcodes.
var notificationNames = [...][]string{
	CodeHeader: {"message header error", "connection not synchronized", "bad message length", "bad message type"},
	CodeOpen: {"OPEN message error", "unsupported version number", "bad peer AS", "bad BGP identifier",
		"unsupported optional parameter", "authentication failure", "unacceptable hold time", "unsupported capability",
		8: "grouping conflict", 9: "grouping required", 10: "capability value mismatch", 11: "role mismatch"},
	CodeUpdate: {"UPDATE message error", "malformed attribute list", "unrecognized well-known attribute",
		"missing well-known attribute", "attribute flags error", "attribute length error", "invalid ORIGIN attribute",
		"AS routing loop", "invalid NEXT_HOP attribute", "optional attribute error", "invalid network field", "malformed AS_PATH"},
	CodeHoldTimer: {"hold timer expired"},
	CodeFSM: {"finite state machine error", "unexpected message in OpenSent state",
		"unexpected message in OpenConfirm state", "unexpected message in Established state"},
	CodeCease: {"cease", "maximum number of prefixes reached", "administrative shutdown", "peer de-configured",
		"administrative reset", "connection rejected", "other configuration change", "connection collision resolution",
		"out of resources", "hard reset", "BFD down"},
	CodeRouteRefresh: {"ROUTE-REFRESH message error", "invalid message length"},
	CodeSendHold:     {"send hold timer expired"},
}

// CodeName returns the name of a NOTIFICATION's error code, "" for one that is
// not registered.
func CodeName(code uint8) string {
	if int(code) < len(notificationNames) && len(notificationNames[code]) > 0 {
		return notificationNames[code][0]
	}
	return ""
}

// SubcodeName returns the name of a NOTIFICATION's subcode, "" for 0, which
// says nothing, and for one that is not registered.
func SubcodeName(code, subcode uint8) string {
	if subcode != 0 && CodeName(code) != "" && int(subcode) < len(notificationNames[code]) {
		return notificationNames[code][subcode]
	}
	return ""
}

// Name returns what a NOTIFICATION says in few words: the name of its subcode
// where it has one, else of its code.
func (n *Notification) Name() string {
	name := CodeName(n.Code)
	if name == "" {
		name = "code " + strconv.Itoa(int(n.Code))
	}
	if n.Subcode == 0 {
		return name
	}
	if sub := SubcodeName(n.Code, n.Subcode); sub != "" {
		return sub
	}
	return name + ", subcode " + strconv.Itoa(int(n.Subcode))
}

// String returns a line that says all that is known of a NOTIFICATION: "cease,
// administrative shutdown (6/2): maintenance".
func (n *Notification) String() string {
	s := CodeName(n.Code)
	if s == "" {
		s = "unknown error"
	}
	if sub := SubcodeName(n.Code, n.Subcode); sub != "" {
		s += ", " + sub
	}
	s += " (" + strconv.Itoa(int(n.Code)) + "/" + strconv.Itoa(int(n.Subcode)) + ")"
	if inner, ok := n.Unwrap(); ok {
		return s + ": " + inner.String()
	}
	if text := n.Text(); text != "" {
		s += ": " + text
	}
	return s
}

// Text returns what the data of a NOTIFICATION says to a person: the shutdown
// communication, the limit of prefixes, the version or capability refused. It
// is "" where the data says nothing that ribd understands; for a Hard Reset it
// is that of the NOTIFICATION inside.
func (n *Notification) Text() string {
	if inner, ok := n.Unwrap(); ok {
		return inner.Text()
	}
	switch {
	case n.Code == CodeCease && (n.Subcode == CeaseAdminShutdown || n.Subcode == CeaseAdminReset):
		s, _ := ShutdownMessage(n.Data)
		return s
	case n.Code == CodeCease && n.Subcode == CeaseMaxPrefixes && len(n.Data) == 7:
		return family3(n.Data).String() + ", limit " + strconv.FormatUint(uint64(be32(n.Data[3:])), 10)
	case n.Code == CodeOpen && n.Subcode == SubUnsupportedVersion && len(n.Data) == 2:
		return "version " + strconv.Itoa(int(binary.BigEndian.Uint16(n.Data))) + " is supported"
	case n.Code == CodeOpen && n.Subcode == SubUnsupportedCapability:
		return capabilityList(n.Data)
	}
	return ""
}

// capabilityList names the capabilities that a refusal lists.
func capabilityList(data []byte) string {
	s := ""
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		if s != "" {
			s += ", "
		}
		c := CapabilityCode(data[0])
		s += c.String()
		if v := data[2 : 2+int(data[1])]; c == CapMultiprotocol && len(v) == 4 {
			s += " " + MakeFamily(binary.BigEndian.Uint16(v), v[3]).String()
		} else if c.String() == "unknown" {
			s += " " + strconv.Itoa(int(c))
		}
		data = data[2+int(data[1]):]
	}
	return s
}

// ShutdownMessage reads the shutdown communication that is the data of a Cease
// with subcode administrative shutdown or reset (RFC 9003 section 2). It is
// false where there is none, or its length or its UTF-8 is broken. Control
// characters are left out.
func ShutdownMessage(data []byte) (string, bool) {
	if len(data) == 0 || len(data) < 1+int(data[0]) {
		return "", false
	}
	text := data[1 : 1+int(data[0])]
	if !utf8.Valid(text) {
		return "", false
	}
	return cleanText(text), true
}

// ShutdownData returns the data of a Cease that says message, cut at 255
// octets; nil where message is empty.
func ShutdownData(message string) []byte {
	message = cutText(message, MaxShutdownMessage)
	if message == "" {
		return nil
	}
	return append([]byte{byte(len(message))}, message...)
}

// MaxPrefixesData returns the data of a Cease over a limit of prefixes (RFC
// 4486 section 4).
func MaxPrefixesData(f Family, limit uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFamily(nil, f), limit)
}

// HardReset wraps a NOTIFICATION into a Hard Reset, which ends the session for
// good where the two ends agreed that others keep the routes (RFC 8538 section
// 3).
func HardReset(n Notification) Notification {
	return Notification{CodeCease, CeaseHardReset, append([]byte{n.Code, n.Subcode}, n.Data...)}
}

// Unwrap returns the NOTIFICATION inside of a Hard Reset, and is false for any
// other and for one that holds none. A Hard Reset inside stays as it is.
func (n *Notification) Unwrap() (Notification, bool) {
	if n.Code != CodeCease || n.Subcode != CeaseHardReset || len(n.Data) < 2 ||
		n.Data[0] == CodeCease && n.Data[1] == CeaseHardReset {
		return Notification{}, false
	}
	return Notification{n.Data[0], n.Data[1], n.Data[2:]}, true
}

// Notification returns the NOTIFICATION that the error asks for, where msg is
// the message that it was found in. Its data is what RFC 4271 section 6 wants:
// the field that is wrong. The data does not alias msg.
func (e *Error) Notification(msg []byte) Notification {
	n := Notification{Code: e.Code, Subcode: e.Subcode}
	switch {
	case n.Code == CodeOpen && n.Subcode == SubUnsupportedVersion:
		n.Data = []byte{0, 4} // the version that is supported
	case n.Code == CodeHeader && n.Subcode == SubNotSynchronized:
	case n.Code == CodeHeader && n.Subcode == SubBadLength:
		if len(msg) >= HeaderLen {
			n.Data = append(n.Data, msg[16:18]...)
		}
	case n.Code == CodeRouteRefresh:
		n.Data = append(n.Data, msg[:min(len(msg), MaxMessageLen-minNotificationLen)]...)
	case e.Start >= 0 && e.Start < e.End && e.End <= len(msg) && (n.Code != CodeOpen || n.Subcode != 0):
		n.Data = append(n.Data, msg[e.Start:min(e.End, e.Start+MaxMessageLen-minNotificationLen)]...)
	}
	return n
}
