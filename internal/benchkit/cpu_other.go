//go:build !unix

package benchkit

import "time"

// CPUTime is not known here.
func CPUTime() time.Duration { return 0 }
