// Package trie holds prefixes and a number for each, in two structures that one
// writer for each shard changes while any goroutine reads without waiting.
//
// Tree is the truth: a copy-on-write trie of 6 bits a level whose roots are
// versions. A View of one stays exactly as it was, and answers for exact and
// longest matches, covering prefixes and ordered walks (Cursor).
//
// Image4 and Image6 are the speed: for each range of addresses the handle of
// its longest prefix, of which only the latest state can be read. Handles gives
// a word for each handle, so that what belongs to a prefix can change without
// the image.
//
// All memory is words of internal/slab; readers pin its Domain. The package
// knows neither what the values mean nor which shard a prefix belongs to, and
// it starts no goroutine.
package trie
