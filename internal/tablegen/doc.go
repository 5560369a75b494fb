// Package tablegen makes routing tables: MRT dumps and update files that look
// like those of a collector, from a list of prefixes or from none.
//
// It owns the invention: an AS graph of tiers, valley-free paths over it from
// each peer, and the policies by which an origin announces groups of prefixes
// with the same attributes. Prefixes may be real; AS numbers, paths and
// attributes are drawn. Peers and next hops lie in documentation ranges. The
// same options always make the same octets.
//
// It is a leaf, imports nothing of the project, and writes MRT by itself, so
// that a reader under test never answers to a writer of its own house.
package tablegen
