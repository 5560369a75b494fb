package flow

import (
	"sync"
	"sync/atomic"

	"ribd/shard/rib"
	"ribd/wire"
)

// Stats counts rules and what validation did.
type Stats struct {
	Families      []FamilyStats // of families that have had rules
	Evaluations   uint64        // verdicts worked out
	Revalidations uint64        // paths looked at since a unicast route over or under them has changed
	Changes       uint64        // paths whose verdict was found to be another one than the table's
}

// FamilyStats counts the rules of a family, over all route distinguishers.
type FamilyStats struct {
	Family  wire.Family
	Rules   int64 // NLRI
	Active  int64 // of these: they take part in matching
	Paths   int64
	Invalid map[rib.FilterReason]int64 // of the paths, by why they are not feasible
}

type counters struct {
	evaluated, revalidated, changed atomic.Uint64
	asked, answered                 atomic.Uint64 // times that shards were asked to judge again
	rebuilt                         atomic.Uint64 // times that the feed had to be begun again
	walked                          atomic.Uint64 // routes under destinations that were looked at

	mu       sync.Mutex
	families []*familyCounts
}

// familyCounts has one writer.
type familyCounts struct {
	family               wire.Family
	rules, active, paths atomic.Int64
	invalid              [reasons]atomic.Int64
}

func (c *counters) family(f wire.Family) *familyCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := &familyCounts{family: f}
	c.families = append(c.families, x)
	return x
}

// answer notes that the first n questions are answered.
func (c *counters) answer(n uint64) {
	for {
		old := c.answered.Load()
		if old >= n || c.answered.CompareAndSwap(old, n) {
			return
		}
	}
}

func (c *familyCounts) more(e *entry) { c.add(e, 1) }
func (c *familyCounts) less(e *entry) { c.add(e, -1) }

func (c *familyCounts) add(e *entry, n int64) {
	c.rules.Add(n)
	c.paths.Add(n * int64(e.paths))
	if e.active {
		c.active.Add(n)
	}
	for i, x := range e.invalid {
		if x != 0 {
			c.invalid[i].Add(n * int64(x))
		}
	}
}

// Stats returns the counts as of what was published last.
func (t *Tables) Stats() Stats {
	c := &t.counts
	s := Stats{Evaluations: c.evaluated.Load(), Revalidations: c.revalidated.Load(), Changes: c.changed.Load()}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.families {
		x := FamilyStats{Family: f.family, Rules: f.rules.Load(), Active: f.active.Load(), Paths: f.paths.Load(), Invalid: map[rib.FilterReason]int64{}}
		for i := range f.invalid {
			x.Invalid[rib.FilterNoDestination+rib.FilterReason(i)] = f.invalid[i].Load()
		}
		s.Families = append(s.Families, x)
	}
	return s
}
