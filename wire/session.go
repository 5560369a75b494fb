package wire

// Session is what the two ends of a session agreed on, as far as it changes
// how messages read. A recording (MRT, BMP) makes one up for each peer.
type Session struct {
	// AS4: both ends sent the 4-octet AS capability (RFC 6793).
	AS4 bool
	// External: the peer is in another AS (and in no member AS of our
	// confederation), so LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST are
	// discarded (RFC 7606 7.5, 7.9, 7.10) and confederation segments are
	// malformed (RFC 5065 5). Recordings leave it false.
	External bool
	// Extended: the receiver sent the extended message capability (RFC 8654
	// section 4), so the peer may send messages of up to 65,535 octets.
	Extended bool
	// Recorded: the messages come from a recording, which keeps what a
	// collector took. An AGGREGATOR of either length is read, and the AS number
	// 0 is let pass (RFC 7607).
	Recorded bool
	// Families were negotiated: NLRI of others are ignored. Empty: all are
	// taken.
	Families FamilySet
	// AddPath holds the families whose NLRI arrive with path ids (RFC 7911).
	AddPath FamilySet
}

// The bounds of a message's length (RFC 4271 section 4.1, RFC 8654).
const (
	HeaderLen          = 19
	MaxMessageLen      = 4096
	MaxExtendedLen     = 65535
	minUpdateLen       = HeaderLen + 4
	minOpenLen         = HeaderLen + 10
	minNotificationLen = HeaderLen + 2
)

// maxLen returns the longest message that the session allows but for OPEN and
// KEEPALIVE.
func (s *Session) maxLen() int {
	if s.Extended {
		return MaxExtendedLen
	}
	return MaxMessageLen
}

// takes is true where the session carries family f.
func (s *Session) takes(f Family) bool { return s.Families.Empty() || s.Families.Has(f) }
