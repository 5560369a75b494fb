package wire

// attrRow is what the parser knows of one path attribute. The rows are the
// whole of the rules: the scan only applies them.
type attrRow struct {
	name  string
	flags byte    // the Optional and Transitive bits that it must have
	keep  byte    // the flags that its canonical form keeps
	known bool    // false: unrecognized
	rule  lenRule // of the value's length
	n     uint8   // octets that the rule counts in
	// action answers a malformed value, onFlags wrong Optional or Transitive
	// bits (RFC 7606 3(c) unless the attribute's RFC says otherwise), external
	// is AttributeDiscard where an external peer must not send it.
	action   Action
	onFlags  Action
	external Action
	subcode  uint8      // of a NOTIFICATION
	rfc      string     // rule that action comes from
	check    valueCheck // of the value, after the length
}

// valueCheck names the function that checks a value further than its length.
// It is a number and not a function, so that a scan can live on the stack.
type valueCheck uint8

const (
	checkNone valueCheck = iota
	checkOrigin
	checkASPath
	checkAggregator
	checkAS4Path
	checkAS4Aggregator
	checkLarge
)

// check runs the value's check; false: drop the attribute.
func (s *scan) check(c valueCheck, it item) bool {
	switch c {
	case checkOrigin:
		return s.origin(it)
	case checkASPath:
		return s.asPath(it)
	case checkAggregator:
		return s.aggregator(it)
	case checkAS4Path:
		return s.as4Path(it)
	case checkAS4Aggregator:
		return s.as4Aggregator(it)
	case checkLarge:
		return s.large(it)
	}
	return true
}

// lenRule is a rule for the length of an attribute's value.
type lenRule uint8

const (
	lenAny      lenRule = iota
	lenFixed            // n octets
	lenMultiple         // n, 2n, ... octets, never none
	lenMin              // n octets or more
)

const (
	wellKnown     = FlagTransitive
	optTransitive = FlagOptional | FlagTransitive
	optLocal      = FlagOptional
	keepAll       = FlagOptional | FlagTransitive | FlagPartial
	keepKind      = FlagOptional | FlagTransitive
)

// attrTable has a row for each path attribute. A type without a row is
// unrecognized: RFC 4271 section 5 and 6.3 say what becomes of it.
var attrTable = [256]attrRow{
	AttrOrigin: {name: "ORIGIN", flags: wellKnown, keep: keepKind, known: true, rule: lenFixed, n: 1,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubInvalidOrigin, rfc: "RFC 7606 7.1", check: checkOrigin},
	AttrASPath: {name: "AS_PATH", flags: wellKnown, keep: keepKind, known: true,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubMalformedASPath, rfc: "RFC 7606 7.2", check: checkASPath},
	AttrNextHop: {name: "NEXT_HOP", flags: wellKnown, keep: keepKind, known: true, rule: lenFixed, n: 4,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubInvalidNextHop, rfc: "RFC 7606 7.3"},
	AttrMED: {name: "MULTI_EXIT_DISC", flags: optLocal, keep: keepKind, known: true, rule: lenFixed, n: 4,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubAttributeLength, rfc: "RFC 7606 7.4"},
	AttrLocalPref: {name: "LOCAL_PREF", flags: wellKnown, keep: keepKind, known: true, rule: lenFixed, n: 4,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, external: AttributeDiscard, subcode: SubAttributeLength, rfc: "RFC 7606 7.5"},
	AttrAtomicAggregate: {name: "ATOMIC_AGGREGATE", flags: wellKnown, keep: keepKind, known: true, rule: lenFixed, n: 0,
		action: AttributeDiscard, onFlags: TreatAsWithdraw, subcode: SubAttributeLength, rfc: "RFC 7606 7.6"},
	AttrAggregator: {name: "AGGREGATOR", flags: optTransitive, keep: keepAll, known: true,
		action: AttributeDiscard, onFlags: TreatAsWithdraw, subcode: SubAttributeLength, rfc: "RFC 7606 7.7", check: checkAggregator},
	AttrCommunities: {name: "COMMUNITIES", flags: optTransitive, keep: keepAll, known: true, rule: lenMultiple, n: 4,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubOptionalAttribute, rfc: "RFC 7606 7.8"},
	AttrOriginatorID: {name: "ORIGINATOR_ID", flags: optLocal, keep: keepKind, known: true, rule: lenFixed, n: 4,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, external: AttributeDiscard, subcode: SubAttributeLength, rfc: "RFC 7606 7.9"},
	AttrClusterList: {name: "CLUSTER_LIST", flags: optLocal, keep: keepKind, known: true, rule: lenMultiple, n: 4,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, external: AttributeDiscard, subcode: SubAttributeLength, rfc: "RFC 7606 7.10"},
	AttrMPReach: {name: "MP_REACH_NLRI", flags: optLocal, keep: keepKind, known: true,
		action: SessionReset, onFlags: TreatAsWithdraw, subcode: SubOptionalAttribute, rfc: "RFC 7606 7.11"},
	AttrMPUnreach: {name: "MP_UNREACH_NLRI", flags: optLocal, keep: keepKind, known: true,
		action: SessionReset, onFlags: TreatAsWithdraw, subcode: SubOptionalAttribute, rfc: "RFC 7606 7.12"},
	AttrExtCommunities: {name: "EXTENDED_COMMUNITIES", flags: optTransitive, keep: keepAll, known: true, rule: lenMultiple, n: 8,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubOptionalAttribute, rfc: "RFC 7606 7.14"},
	AttrAS4Path: {name: "AS4_PATH", flags: optTransitive, keep: keepAll, known: true,
		action: AttributeDiscard, onFlags: AttributeDiscard, subcode: SubOptionalAttribute, rfc: "RFC 6793 6", check: checkAS4Path},
	AttrAS4Aggregator: {name: "AS4_AGGREGATOR", flags: optTransitive, keep: keepAll, known: true, rule: lenFixed, n: 8,
		action: AttributeDiscard, onFlags: AttributeDiscard, subcode: SubOptionalAttribute, rfc: "RFC 6793 6", check: checkAS4Aggregator},
	AttrPMSITunnel:         {name: "PMSI_TUNNEL", flags: optTransitive, keep: keepAll, known: true, onFlags: TreatAsWithdraw},
	AttrTunnelEncap:        {name: "TUNNEL_ENCAPSULATION", flags: optTransitive, keep: keepAll, known: true, onFlags: TreatAsWithdraw},
	AttrTrafficEngineering: {name: "TRAFFIC_ENGINEERING", flags: optLocal, keep: keepKind, known: true, onFlags: TreatAsWithdraw},
	AttrIPv6ExtCommunities: {name: "IPV6_EXTENDED_COMMUNITIES", flags: optTransitive, keep: keepAll, known: true, rule: lenMultiple, n: 20,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubOptionalAttribute, rfc: "RFC 7606 7.15"},
	AttrAIGP:            {name: "AIGP", flags: optLocal, keep: keepKind, known: true, onFlags: AttributeDiscard},
	AttrPEDistinguisher: {name: "PE_DISTINGUISHER_LABELS", flags: optTransitive, keep: keepAll, known: true, onFlags: TreatAsWithdraw},
	AttrLS:              {name: "BGP-LS", flags: optLocal, keep: keepKind, known: true, onFlags: AttributeDiscard},
	AttrLargeCommunities: {name: "LARGE_COMMUNITY", flags: optTransitive, keep: keepAll, known: true, rule: lenMultiple, n: 12,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubOptionalAttribute, rfc: "RFC 8092 6", check: checkLarge},
	AttrBGPsecPath: {name: "BGPSEC_PATH", flags: optLocal, keep: keepKind, known: true, onFlags: TreatAsWithdraw},
	AttrOTC: {name: "OTC", flags: optTransitive, keep: keepAll, known: true, rule: lenFixed, n: 4,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubOptionalAttribute, rfc: "RFC 9234 5"},
	AttrDomainPath:       {name: "D-PATH", flags: optTransitive, keep: keepAll, known: true, onFlags: TreatAsWithdraw},
	AttrSFP:              {name: "SFP", flags: optTransitive, keep: keepAll, known: true, onFlags: TreatAsWithdraw},
	AttrBFDDiscriminator: {name: "BFD_DISCRIMINATOR", flags: optTransitive, keep: keepAll, known: true, onFlags: TreatAsWithdraw},
	AttrPrefixSID:        {name: "PREFIX_SID", flags: optTransitive, keep: keepAll, known: true, onFlags: AttributeDiscard},
	AttrSet: {name: "ATTR_SET", flags: optTransitive, keep: keepAll, known: true, rule: lenMin, n: 4,
		action: TreatAsWithdraw, onFlags: TreatAsWithdraw, subcode: SubOptionalAttribute, rfc: "RFC 7606 7.16"},
}

// ok tells whether a value of n octets has the length that the row wants.
func (r *attrRow) ok(n int) bool {
	switch r.rule {
	case lenFixed:
		return n == int(r.n)
	case lenMultiple:
		switch r.n {
		case 4:
			return n&3 == 0 && n != 0
		case 8:
			return n&7 == 0 && n != 0
		}
		return n%int(r.n) == 0 && n != 0
	case lenMin:
		return n >= int(r.n)
	}
	return true
}

// wants says in words what the row's length rule is.
func (r *attrRow) wants() string {
	switch {
	case r.rule == lenFixed && r.n == 0:
		return "has a value, and must have none"
	case r.rule == lenFixed && r.n == 1:
		return "length is not 1"
	case r.rule == lenFixed && r.n == 4:
		return "length is not 4"
	case r.rule == lenFixed:
		return "length is not 8"
	case r.rule == lenMin:
		return "length is under 4"
	}
	switch r.n {
	case 4:
		return "length is not a non-zero multiple of 4"
	case 8:
		return "length is not a non-zero multiple of 8"
	case 12:
		return "length is not a non-zero multiple of 12"
	}
	return "length is not a non-zero multiple of 20"
}
