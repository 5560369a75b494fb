//go:build unix

package benchkit

import (
	"syscall"
	"time"
)

// CPUTime returns the processor time that this process has taken on all cores. It
// tells of work where others disturb the clock on the wall.
func CPUTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
