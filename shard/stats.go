package shard

import (
	"sync"
	"sync/atomic"
	"time"

	"ribd/internal/slab"
	"ribd/shard/rib"
	"ribd/wire"
)

// Stats counts a RIB.
type Stats struct {
	Shards     int    // homes; the roof is one more
	Version    string // as View.Version would say
	Peers      int
	Tables     []TableStats
	Attrs      rib.AttrsStats
	Memory     []MemoryPart
	Views      int
	OldestView time.Duration
	ViewsEnded uint64 // by the limits
	Queued     []int  // batches that wait, by shard, the roof last
	Applied    uint64 // operations
	Published  uint64 // batches
	Refused    uint64 // changes that the caps did not allow
	Late       uint64 // announcements of peers that were gone, or of sets that had ended
	Stalls     uint64 // times that a shard waited for readers to leave memory
	Rebases    uint64
}

// TableStats counts a table.
type TableStats struct {
	Table           rib.TableID
	Family          wire.Family
	RD              uint64
	HasRD           bool
	Prefixes, Paths int64
}

// MemoryPart is memory outside the Go heap, in octets.
type MemoryPart struct {
	Name     string // trie, image, handles, blocks, attributes, nlri, labels
	Resident uint64 // taken from the system
	Live     uint64 // in use
	Free     uint64 // can be used again
	Kept     uint64 // replaced, but a reader or a view may see it
}

// shardStats is what a shard tells of itself, for anybody to read.
type shardStats struct {
	applied, published, refused, late, stalls, rebases atomic.Uint64

	mu    sync.Mutex
	heaps [4]slab.HeapStats
	noted int
}

const (
	heapTrees = iota
	heapBlocks
	heapNodes
	heapHandles
)

// note publishes the counts of the heaps, now and then.
func (s *shard) note() {
	st := &s.stats
	st.published.Add(1)
	if st.noted++; st.noted&31 != 1 && s.pending > 0 {
		return
	}
	st.mu.Lock()
	st.heaps = [4]slab.HeapStats{s.trees.Stats(), s.blocks.Stats(), s.nodes.Stats(), s.handles.Stats()}
	st.mu.Unlock()
}

// Stats counts.
func (r *RIB) Stats() Stats {
	out := Stats{Shards: len(r.shards) - 1, Attrs: r.attrs.Stats()}
	var heaps [4]slab.HeapStats
	states := make([]state, len(r.shards))
	for i, s := range r.shards {
		out.Queued = append(out.Queued, len(s.queue))
		states[i].seq = s.feed.head.Load()
		out.Applied += s.stats.applied.Load()
		out.Published += s.stats.published.Load()
		out.Refused += s.stats.refused.Load()
		out.Late += s.stats.late.Load()
		out.Stalls += s.stats.stalls.Load()
		out.Rebases += s.stats.rebases.Load()
		s.stats.mu.Lock()
		for j, h := range s.stats.heaps {
			heaps[j].LiveWords += h.LiveWords
			heaps[j].FreeWords += h.FreeWords
			heaps[j].RetiredWords += h.RetiredWords
			heaps[j].HeldWords += h.HeldWords
		}
		s.stats.mu.Unlock()
	}
	out.Version = versionText(states)
	out.Memory = r.memory(heaps, out.Attrs)
	out.Views, out.OldestView = r.views.count()
	out.ViewsEnded = r.views.ends.Load()
	r.peers.mu.Lock()
	out.Peers = len(r.peers.live)
	r.peers.mu.Unlock()
	for _, info := range *r.dir.list.Load() {
		n := info.prefixes.Load()
		if info.id > rib.TableIPv6Unicast && n == 0 {
			continue
		}
		out.Tables = append(out.Tables, TableStats{
			Table: info.id, Family: info.family, RD: info.rd, HasRD: info.hasRD, Prefixes: n, Paths: info.paths.Load(),
		})
	}
	return out
}

func (r *RIB) memory(heaps [4]slab.HeapStats, attrs rib.AttrsStats) []MemoryPart {
	parts := make([]MemoryPart, 0, 7)
	for i, a := range []struct {
		name string
		a    *slab.Arena
	}{heapTrees: {"trie", r.trees}, heapBlocks: {"blocks", r.blocks}, heapNodes: {"image", r.nodes}, heapHandles: {"handles", r.handles}} {
		h := &heaps[i]
		parts = append(parts, MemoryPart{
			Name: a.name, Resident: a.a.Stats().ResidentWords * 4,
			Live: h.LiveWords * 4, Free: h.FreeWords * 4, Kept: (h.RetiredWords + h.HeldWords) * 4,
		})
	}
	_, raw := r.raw.Len()
	_, labels := r.labels.Len()
	return append(parts,
		MemoryPart{Name: "attributes", Resident: attrs.MemoryBytes, Live: attrs.MemoryBytes},
		MemoryPart{Name: "nlri", Resident: raw, Live: raw},
		MemoryPart{Name: "labels", Resident: labels, Live: labels})
}

// SlabBytes is what the tables take outside the Go heap: the Go memory limit of
// a process is to be lowered by it.
func (r *RIB) SlabBytes() (n uint64) {
	for _, a := range []*slab.Arena{r.trees, r.blocks, r.nodes, r.handles} {
		n += a.Stats().ResidentWords * 4
	}
	_, raw := r.raw.Len()
	_, labels := r.labels.Len()
	return n + r.attrs.Stats().MemoryBytes + raw + labels
}
