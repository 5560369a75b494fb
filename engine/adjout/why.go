package adjout

// why says why a peer is not sent a route.
type why uint8

const (
	whyNot       why = iota // it is sent
	whyPolicy               // export policy refuses it
	whyDump                 // it is of no live session, nor originated here
	whyInternal             // RFC 4271 9.2, RFC 4456 6: from an internal peer to another
	whyNoExport             // RFC 1997
	whyNoAdvert             // RFC 1997
	whyStale                // RFC 9494 4.3: LLGR_STALE, to a peer without the capability
	whyRole                 // RFC 9234 5: ONLY_TO_CUSTOMER
	whyNextHop              // there is no next hop that the peer could use
	whyTooLong              // no message holds it (RFC 8654 4)
	whyRoom                 // the table of attributes is full
	whyFamily               // the family was not negotiated
	whyAudience             // Source.Only does not have the peer
	whyOwn                  // it is the peer's own
	whyNotBest              // another path is the one that is sent
	whyLimit                // enough other paths are better
	whyFiltered             // import has refused it
	whyWithdrawn            // it is not in the RIB
)

var whyNames = [...]string{
	whyNot: "", whyPolicy: "policy", whyDump: "not of a live session", whyInternal: "from an internal peer", whyNoExport: "no-export",
	whyNoAdvert: "no-advertise", whyStale: "llgr-stale", whyRole: "only-to-customer", whyNextHop: "no next hop that the peer can use",
	whyTooLong: "too long", whyRoom: "no room for its attributes", whyFamily: "family not negotiated", whyAudience: "not one of its peers",
	whyOwn: "its own route", whyNotBest: "not-best", whyLimit: "add-path limit", whyFiltered: "filtered", whyWithdrawn: "withdrawn",
}

// String returns the reason as the API shows it.
func (w why) String() string { return whyNames[w] }
