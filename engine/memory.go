package engine

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

const (
	// leastHeap is what the Go heap may always have, however large the tables.
	leastHeap = 64 << 20
	// memoryEvery is how often the limit follows the tables.
	memoryEvery = 250 * time.Millisecond
)

// memoryKeeper lowers the limit of the Go heap by what lies outside of it.
type memoryKeeper struct {
	total  uint64        // of the process; 0: no limit
	slabs  func() uint64 // octets outside of the Go heap
	before int64         // the limit to put back
	quit   chan struct{}
	ended  chan struct{}
}

// keepMemory starts a keeper. configured is the limit of the file, 0 for what
// the environment (GOMEMLIMIT), the control group or the machine gives.
func keepMemory(configured uint64, slabs func() uint64, log *slog.Logger) *memoryKeeper {
	k := &memoryKeeper{total: configured, slabs: slabs, before: debug.SetMemoryLimit(-1), quit: make(chan struct{}), ended: make(chan struct{})}
	from := "configuration"
	if k.total == 0 && k.before != math.MaxInt64 {
		k.total, from = uint64(k.before), "GOMEMLIMIT"
	}
	if k.total == 0 {
		// A tenth stays for what neither Go nor the tables count: page tables,
		// stacks, the kernel's buffers.
		k.total, from = machineMemory()/10*9, "machine"
	}
	if k.total == 0 {
		close(k.ended)
		return k
	}
	log.Debug("memory limit", "bytes", k.total, "from", from)
	k.set()
	go k.run()
	return k
}

func (k *memoryKeeper) run() {
	defer close(k.ended)
	t := time.NewTicker(memoryEvery)
	defer t.Stop()
	var l lull
	for {
		select {
		case <-k.quit:
			return
		case <-t.C:
			k.set()
			if l.begins(allocated()) {
				debug.FreeOSMemory()
			}
		}
	}
}

const (
	burstBytes = 1 << 20 // allocated on the Go heap: a burst
	calmBytes  = 1 << 20 // of intervals, all together, in which nothing happens
	calmFor    = 4       // intervals that make a lull
)

// lull finds the quiet after a burst of allocation. A full table that came in
// leaves garbage on the Go heap that the collector, which counts allocations,
// would look at when the next one comes: in a lull it is given back. The heap
// holds no routes, so that this takes a few milliseconds.
type lull struct {
	since, freed uint64 // octets allocated when the calm began, and when a lull was found last
	calm         int    // intervals
}

// begins says whether a lull has begun, given all that was ever allocated.
func (l *lull) begins(total uint64) bool {
	if total-l.since > calmBytes { // a burst that comes slowly is one too
		l.since, l.calm = total, 0
	} else {
		l.calm++
	}
	if l.calm != calmFor || total-l.freed < burstBytes {
		return false
	}
	l.freed = total
	return true
}

// allocated is all that was ever allocated on the Go heap, in octets.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func (k *memoryKeeper) set() { debug.SetMemoryLimit(heapLimit(k.total, k.slabs())) }

// heapLimit is what is left for the Go heap.
func heapLimit(total, slabs uint64) int64 {
	if slabs+leastHeap >= total {
		return leastHeap
	}
	return int64(min(total-slabs, math.MaxInt64))
}

// stop ends the keeper and puts the limit back.
func (k *memoryKeeper) stop() {
	close(k.quit)
	<-k.ended
	debug.SetMemoryLimit(k.before)
}

// machineMemory is the least of what the control group and the machine allow,
// 0 where neither says.
func machineMemory() uint64 {
	var least uint64
	take := func(v uint64, ok bool) {
		if ok && v > 0 && (least == 0 || v < least) {
			least = v
		}
	}
	take(groupLimit("/proc/self/cgroup", "/sys/fs/cgroup"))
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		take(memTotal(b))
	}
	return least
}

// memTotal reads MemTotal, which is in KiB.
func memTotal(meminfo []byte) (uint64, bool) {
	for line := range bytes.Lines(meminfo) {
		f := strings.Fields(string(line))
		if len(f) >= 2 && f[0] == "MemTotal:" {
			v, err := strconv.ParseUint(f[1], 10, 54)
			return v << 10, err == nil
		}
	}
	return 0, false
}

// groupLimit is the least limit of the process's control group and of those
// above it: memory.max of version 2, memory.limit_in_bytes of version 1.
func groupLimit(proc, root string) (least uint64, ok bool) {
	b, err := os.ReadFile(proc)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		// hierarchy:controllers:path
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		dir, file := root, "memory.max"
		switch {
		case f[0] == "0" && f[1] == "":
		case strings.Contains(","+f[1]+",", ",memory,"):
			dir, file = root+"/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for path := f[2]; ; path = path[:strings.LastIndexByte(path, '/')] {
			if b, err := os.ReadFile(dir + path + "/" + file); err == nil {
				v, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
				if err == nil && (!ok || v < least) {
					least, ok = v, true
				}
			}
			if strings.LastIndexByte(path, '/') < 0 {
				break
			}
		}
	}
	return least, ok
}
