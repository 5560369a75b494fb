// Package rib is the data of a routing table below its tries: interned
// attributes, the blocks that hold the paths of a prefix, and the decision
// process that orders them.
//
// It is pure data. It starts no goroutine, reads no clock and, but for the
// stripes of the interned tables, which all shards share, takes no lock: the
// caller is the one writer of a block, or a reader under a pin or a held
// version (package slab has the rules).
//
// # Attributes
//
// Attrs holds each attribute set once, as its canonical bytes (package wire
// says what canonical means), with a fixed Summary that the decision process
// reads. A set is found by XXH64 in a bounded number of probes, then, should
// somebody have made that many collide, by a keyed hash in as many again;
// bytes are always compared, so a collision costs bounded work and never a
// wrong id. AS_PATHs have ids by themselves, so that an expression is judged
// once a path. Sets that no block names any more are found by sweeping.
//
// # Blocks
//
// The value of a prefix in a trie is a reference to its block: the paths, best
// first, in words of a slab. A path is three words, four with an Add-Path id.
// A block is written once and never changed, so that readers need no lock.
// Blocks of very many paths are lists of chunks, which the next version
// shares where they stay the same. See Blocks for the layout.
//
// # Decision
//
// Ranker orders the paths of one prefix by RFC 4271 section 9.1 and says which
// step decided between the first two. See Ranker for how MED, which does not
// order the paths of different neighbours, becomes one ranking.
package rib
