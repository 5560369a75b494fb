package mrt

import (
	"runtime"
	"testing"

	"ribd/internal/golden"
	"ribd/shard"
)

// A load allocates its buffers and what a peer, a segment or a session needs,
// but nothing for a record, an entry or a message.
func TestALoadAllocatesNothingForARoute(t *testing.T) {
	for _, name := range []string{"synth-small-a.rib.gz", "synth-small-a.updates.gz", "ris-bview.20020722.2337.gz", "pch-updates.et-header.2015.gz"} {
		path := golden.Data(t, "mrt", name)
		// Each worker and shard has buffers: a machine has no say in how many there are.
		_, l := newShards(t, shard.Options{Shards: 1}, Options{Workers: 1})
		load(t, l, File(path, "first")) // tables and batches of the shards grow
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		st := load(t, l, File(path, "second"))
		runtime.ReadMemStats(&after)
		n := after.Mallocs - before.Mallocs
		if per := float64(n) / float64(st.Records); per > 0.05 {
			t.Errorf("%s: %d allocations for %d records, %.3f each", name, n, st.Records, per)
		}
	}
}
