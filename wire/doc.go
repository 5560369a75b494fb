// Package wire reads and writes BGP messages: UPDATE in full, the others as
// far as a session needs them, and the texts of what is in them. It holds no
// state of a session and no route; it does not judge what a well-formed message
// means (loops, roles, next hops, policy).
//
// # Reading
//
// [Update.Parse] takes an UPDATE apart in place. It copies nothing and, for a
// sound message, allocates nothing: routes come out of value cursors ([NLRI4],
// [NLRI6], [NLRILabelled], [NLRIRaw]) that alias the message, which the caller
// keeps until it is done with them. All NLRI are checked before Parse returns,
// so a message counts as a whole or not at all.
//
//	err := u.Parse(msg, &session)
//	if u.Action() == wire.SessionReset { … }
//	for w := u.Withdrawn4(); w.Next(); { … }
//	if u.HasNLRI4() {
//		attrs = u.Attributes(scratch)
//		for w := u.NLRI4(); w.Next(); { … }
//	}
//	if m, ok := u.Reach(); ok {
//		attrs = u.ReachAttributes(scratch)
//		…
//	}
//
// A message may hold any mix of the four kinds of NLRI. Attributes belong to
// the NLRI field, ReachAttributes to MP_REACH_NLRI: the two differ in the next
// hop.
//
// # Errors
//
// A malformed message is data. [Error] says which octet, in which field, by
// which RFC's rule, and what the rule asks for: the worst [Action] of several
// counts, and the first error of that action is kept. One table, attrTable, has
// a row for each path attribute, with its flags, length, check and action.
// FamilyDisable is never asked for: where RFC 7606 leaves the choice between
// that and SessionReset, it is SessionReset.
//
// # Canonical attributes
//
// Equal attributes have equal octets, whichever way they came: from sessions
// with 4- or 2-octet AS numbers, with a next hop in NEXT_HOP or MP_REACH_NLRI,
// from a TABLE_DUMP or TABLE_DUMP_V2 entry ([AppendRIBAttributes]). They are
// attributes in ascending order of type, each with its flags, type, length and
// value, where
//
//   - the flags are those of the type; of the others only Partial is kept, and
//     only for optional transitive attributes; the length has two octets only
//     where it is over 255;
//   - AS_PATH has 4-octet AS numbers, after the merge with AS4_PATH (RFC 6793
//     section 4.2.3), AGGREGATOR has 8 octets, and AS4_PATH and AS4_AGGREGATOR
//     are gone;
//   - MP_REACH_NLRI and MP_UNREACH_NLRI are gone, and the next hop is NEXT_HOP
//     with 4, 16 or 32 octets (global and link-local), without route
//     distinguishers; other families may have none, or any length;
//   - what RFC 7606 discards is gone, of several of one type the first is there,
//     a large community is there once (RFC 8092 section 5), and unrecognized
//     attributes that are not transitive are gone (RFC 4271 section 5).
//
// The pass that validates finds out whether a message's attributes are
// canonical as they lie. Then they are the message's own octets.
//
// # Changing
//
// [AttrEditor] changes a set of canonical attributes into another one: policy and
// export need it. It decodes no more than it is asked about.
//
// # Writing
//
// [Encoder] packs routes of one set of canonical attributes into as few
// messages as hold them. What it writes reads back to the same octets.
//
// # Sessions
//
// [Open] has the capabilities as they came and a method for each that says what
// they mean; of each there is a function that makes one. [Notification] says in
// words what it is about. What two OPENs lead to is for engine/fsm to say.
package wire
