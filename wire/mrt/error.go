package mrt

import "strconv"

// Error says what is wrong with a record, and where. Off counts octets from
// the first octet of the record's header, so it can be added to the offset of
// the record in its file; it never points past the end of the record.
type Error struct {
	Off    int    // octet within the record
	Field  string // the field in the RFC's words
	Reason string // what is wrong with it
	RFC    string // the section that says so
}

// Error returns for example
// "mrt: Peer Count at octet 20: more peers than octets (RFC 6396 4.3.1)".
func (e *Error) Error() string {
	s := "mrt: " + e.Field + " at octet " + strconv.Itoa(e.Off) + ": " + e.Reason
	if e.RFC != "" {
		s += " (" + e.RFC + ")"
	}
	return s
}

// The sections that errors name.
const (
	rfcHeader    = "RFC 6396 2"
	rfcET        = "RFC 6396 3"
	rfcTableDump = "RFC 6396 4.2"
	rfcPeerIndex = "RFC 6396 4.3.1"
	rfcRIB       = "RFC 6396 4.3.2"
	rfcGeneric   = "RFC 6396 4.3.3"
	rfcEntry     = "RFC 6396 4.3.4"
	rfcState     = "RFC 6396 4.4.1"
	rfcMessage   = "RFC 6396 4.4.2"
	rfcOldBGP    = "RFC 6396 B.2"
	rfcBGP4MPOld = "RFC 6396 B.4"
	rfcGeo       = "RFC 6397 2"
)
