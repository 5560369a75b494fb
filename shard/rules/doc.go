// Package rules holds the Flow Specifications of one family (and route
// distinguisher) in the order of RFC 8955 section 5.1, and finds the ones that a
// packet matches.
//
// A [Table] has one writer. [Table.Publish] gives a [Rules], which stays as it
// is and which any goroutine may ask, without locks: [Rules.Walk] for the rules
// in order, [Rules.Match] for those of a packet, [Rules.Destinations] and [Rules.To]
// for those of a destination.
//
// # Order
//
// Each NLRI has a key whose octets compare as section 5.1 wants the rules
// compared (key.go). The entries are kept sorted by it in chunks that are copied
// when they change and shared when they do not (list.go), so a snapshot costs
// little and knows the place of each rule.
//
// # Match
//
// A matcher is compiled from the rules that take part (matcher.go): a search
// among the ends of the destination prefixes gives the longest one that holds
// the packet; behind it hang the shorter ones, already in order. The rules of a
// prefix lie side by side as heads of one cache line each, in which almost every
// rule is complete (head.go, test.go). Where many rules share a prefix they are
// narrowed by source in the same way, and then by bitmaps over protocol, ports
// and length (bitmap.go).
//
// Changes since the matcher was compiled wait in an overlay (overlay.go); when it
// has grown a new matcher is compiled beside it, by a goroutine, and neither the
// writer nor those who ask wait for that.
//
// The package does not know what a rule does, where it came from or whether it
// is valid: the caller says with [Value] which rules take part.
package rules
