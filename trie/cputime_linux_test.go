package trie

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the time that the calling thread has run for, so that what else the
// machine runs does not count.
func cpuTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
