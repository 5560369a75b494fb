// Package slab keeps words outside the Go heap: arenas of 32-bit words that
// hold no Go pointer, the size-classed heaps that one writer each allocates
// from them, and the two rules by which memory that readers may still see goes
// back.
//
// It owns the address space of an Arena and the lists of free and retired runs.
// It does not know what the words mean: trees, path blocks and handles are
// built above it.
//
// In normal builds an Arena is one reserved mapping, so a reader turns a
// reference into an address with one addition. With -race, with -tags
// invariants, and where there is no mmap, it is made of plain Go memory, which
// the race detector sees; invariants (and race) builds also poison freed words.
//
// How memory comes back. A writer replaces a run in the batch that becomes
// version r, and the run was born in version b. It is free for reuse when
//
//   - every pinned slot of the Domain shows an epoch at or after the one that
//     Advance returned when the batch was published (short pins), and
//   - no version v in Holds has b <= v < r (long views).
package slab
