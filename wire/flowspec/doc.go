// Package flowspec reads and writes Flow Specifications: the NLRI of RFC 8955
// and RFC 8956, IPv4 and IPv6, with and without a route distinguisher, the
// traffic filtering actions among the extended communities, and the text of
// both. It holds no rule and no table; shard/rules does.
//
// # Octets
//
// An NLRI is what [wire.NLRIRaw] gives: its length field (RFC 8955 section
// 4.1), for the VPN families the route distinguisher (section 8), and the
// components. [Canonical] checks one and writes it so that equal rules have
// equal octets; all functions but that one and [Parse] want canonical octets,
// and trust them.
//
// Canonical means: the shortest length field; of a prefix no bit behind its
// length or before its offset; the AND bit of a first operator, the reserved
// bits of operators and of what they compare with cleared, as RFC 8955 section
// 4.2.1 has a receiver ignore them. How many octets a value has stays: a port 53 in two
// octets is another NLRI than in one, and is written as 53/2.
//
// # Rules
//
// A [Rule] is an NLRI taken apart: to build one, to show one, to match a
// packet slowly ([Rule.Match], which shard/rules is tested against).
//
//	r, actions, err := flowspec.ParseText("destination 192.0.2.0/24 protocol =udp then rate-limit 0")
//	nlri, err := r.AppendNLRI(nil)
//	r, err = flowspec.Parse(wire.IPv4FlowSpec, nlri)
//
// # Actions
//
// [ActionsOf] reads the actions out of canonical attributes, [Actions.Apply]
// writes them. Redirecting to an IP address has two forms on the wire
// (draft-ietf-idr-flowspec-redirect-ip, and draft-simpson-idr-flowspec-redirect
// before it): both are read, and the caller says which one is written.
package flowspec
