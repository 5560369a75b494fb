package wire

import (
	"fmt"
	"strconv"
)

// Action is what RFC 7606 section 2 asks of the receiver of a malformed
// message. It grows with severity: the worst of several is the maximum
// (section 3(h)).
type Action uint8

// The actions, from mild to severe.
const (
	ActionNone       Action = iota // nothing was wrong
	AttributeDiscard               // drop the attribute, keep the routes
	TreatAsWithdraw                // take every route of the message as withdrawn
	FamilyDisable                  // ignore the family from now on
	SessionReset                   // NOTIFICATION, and close
)

// String names the action as RFC 7606 does.
func (a Action) String() string {
	switch a {
	case ActionNone:
		return "none"
	case AttributeDiscard:
		return "attribute-discard"
	case TreatAsWithdraw:
		return "treat-as-withdraw"
	case FamilyDisable:
		return "family-disable"
	case SessionReset:
		return "session-reset"
	}
	return "action-" + strconv.Itoa(int(a))
}

// NOTIFICATION error codes (RFC 4271 section 4.5, RFC 7313).
const (
	CodeHeader       uint8 = 1
	CodeOpen         uint8 = 2
	CodeUpdate       uint8 = 3
	CodeHoldTimer    uint8 = 4
	CodeFSM          uint8 = 5
	CodeCease        uint8 = 6
	CodeRouteRefresh uint8 = 7
)

// NOTIFICATION subcodes of CodeHeader, CodeOpen and CodeUpdate (RFC 4271
// section 6).
const (
	SubNotSynchronized uint8 = 1
	SubBadLength       uint8 = 2
	SubBadType         uint8 = 3

	SubUnsupportedVersion uint8 = 1
	SubUnsupportedParam   uint8 = 4

	SubMalformedAttributes   uint8 = 1
	SubUnrecognizedWellKnown uint8 = 2
	SubMissingWellKnown      uint8 = 3
	SubAttributeFlags        uint8 = 4
	SubAttributeLength       uint8 = 5
	SubInvalidOrigin         uint8 = 6
	SubInvalidNextHop        uint8 = 8
	SubOptionalAttribute     uint8 = 9
	SubInvalidNetwork        uint8 = 10
	SubMalformedASPath       uint8 = 11
)

// Error says what is malformed in a message, where, by which rule, and what
// that rule asks of the receiver.
type Error struct {
	Off        int    // octet, from the start of what was parsed
	Start, End int    // extent of the field that Off lies in: Start <= Off < End, unless both are 0
	Field      string // "AS_PATH", "NLRI", ...
	Reason     string // what is wrong
	RFC        string // "RFC 7606 7.2"
	Action     Action // what to do
	Code       uint8  // NOTIFICATION error code
	Subcode    uint8  // and subcode
}

// Error returns one line: field, octet, reason, rule and action.
func (e *Error) Error() string {
	return fmt.Sprintf("wire: %s at octet %d: %s (%s, %s)", e.Field, e.Off, e.Reason, e.RFC, e.Action)
}
