package wire

// RIBOptions says how the attributes of a table dump's entry are written.
type RIBOptions struct {
	// AS2: AS numbers have 2 octets (TABLE_DUMP, RFC 6396 section 4.2).
	AS2 bool
	// External discards what an external peer must not send, as on a session.
	External bool
}

// AppendRIBAttributes appends the canonical attributes of an entry of a table
// dump, whose route is of family f (RFC 6396 sections 4.2 and 4.3.4): the same
// octets that a session which announces the route leads to. The error is nil
// or says what is malformed, with octets that count from attrs[0]: with
// AttributeDiscard the rest is appended, with anything worse nothing is.
//
// MP_REACH_NLRI may hold the next hop alone or be whole, and its next hop goes
// before NEXT_HOP. An AGGREGATOR may be of either length. An entry may lack what
// an UPDATE must have, since collectors dump routes of their own so: it is the
// caller's to judge.
func AppendRIBAttributes(dst, attrs []byte, f Family, o RIBOptions) ([]byte, *Error) {
	var s scan
	s.start(attrs, 0)
	s.as4, s.external = !o.AS2, o.External
	s.recorded, s.rib, s.family = true, true, f
	s.run()
	if s.tooLong() && s.action() < TreatAsWithdraw {
		s.err = tooLongError(0, len(attrs))
	}
	if s.action() > AttributeDiscard {
		return dst, s.err
	}
	if s.plain {
		return append(dst, attrs...), nil
	}
	from := hopAttr
	if s.reach.ok && s.reach.hopN > 0 {
		from = hopReach
	}
	return s.appendCanonical(dst, from), s.err
}
