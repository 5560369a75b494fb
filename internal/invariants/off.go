//go:build !race && !invariants

package invariants

// Enabled is true in builds with -race or -tags invariants.
const Enabled = false
