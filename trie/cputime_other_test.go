//go:build !linux

package trie

import "time"

var start = time.Now()

func cpuTime() time.Duration { return time.Since(start) }
