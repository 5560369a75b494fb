// Package invariants tells whether this build checks itself: with -race or
// -tags invariants, buffers and freed slab words are spoiled after use, and
// slabs are plain Go memory that the race detector sees.
package invariants

// Spoil fills a buffer whose owner has let go of it, where checks are on, so
// that a borrower who kept it reads nonsense and not yesterday's bytes.
func Spoil(b []byte) {
	if Enabled {
		for i := range b {
			b[i] = 0xdb
		}
	}
}
