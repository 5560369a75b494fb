package shard

import (
	"sync"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
)

// houseTick is how often limits of views are looked after.
const houseTick = 500 * time.Millisecond

// keepHouse ends views that are too old, makes numbers of peers free, and looks
// for attribute sets that nothing uses.
func (r *RIB) keepHouse() {
	tick := time.NewTicker(min(houseTick, r.o.MaxViewAge/4+1, r.o.SweepEvery))
	defer tick.Stop()
	last := time.Now()
	sw := &sweeper{r: r}
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
		}
		r.views.expire(r)
		r.collectPeers()
		if time.Since(last) >= r.o.SweepEvery {
			sw.sweep()
			last = time.Now()
		}
	}
}

// sweeper finds interned sets, NLRI and stacks of labels that no path uses.
type sweeper struct {
	r    *RIB
	mu   sync.Mutex
	view uint64 // number of the view of the last sweep
	pins uint64 // epoch after it
}

func (w *sweeper) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.r
	attrs, raw, labels := r.attrs.BeginSweep(), r.raw.BeginSweep(), r.labels.BeginSweep()
	// What was interned before is in a block, or in a queue, or in a Fan.
	if !r.fans.wait(r.stop, time.Minute) {
		return
	}
	r.Sync()
	number := r.views.next()
	v := r.View()
	// What the last sweep did not find, nobody finds who looked after it.
	pins := r.domain.Advance()
	mayEnd := r.views.oldest() >= w.view && r.domain.Min() >= w.pins
	for i := range v.Parts() {
		for _, info := range *r.dir.list.Load() {
			if !w.mark(v, i, info, attrs, raw, labels) {
				v.Close()
				return
			}
		}
	}
	v.Close()
	w.markFeed(attrs, labels)
	now, rested := clock(time.Since(r.opened)), clock(time.Since(r.opened)-r.o.IDRest)
	attrs.End(mayEnd, now, rested)
	raw.End(mayEnd, now, rested)
	labels.End(mayEnd, now, rested)
	w.view, w.pins = number, pins
}

func (w *sweeper) mark(v *View, part int, info *tableInfo, attrs *rib.AttrsSweep, raw, labels *rib.StringsSweep) bool {
	select {
	case <-w.r.stop:
		return false
	default:
	}
	walk := v.WalkPart(part, info.id, WalkRange{})
	defer walk.Close()
	err := walk.Scan(func(k trie.Key, _ uint8, rs rib.Records, _ rib.PeerSet) bool {
		if info.raw {
			raw.Mark(uint32(k.Hi >> 32))
		}
		for rs.Next() {
			attrs.Mark(rs.Attrs())
			if pre, l := rs.Extra(); pre|rib.AttrID(l) != 0 {
				attrs.Mark(pre)
				labels.Mark(l)
			}
		}
		return true
	})
	return err == nil
}

// markFeed marks what the changes in the rings name: a follower may ask for it.
func (w *sweeper) markFeed(attrs *rib.AttrsSweep, labels *rib.StringsSweep) {
	if w.r.feed.active.Load() == 0 {
		return
	}
	pin := w.r.domain.NewPin()
	defer pin.Close()
	changes := make([]Change, 256)
	for _, s := range w.r.shards {
		for pos := s.feed.low.Load(); ; {
			n, ok := s.feed.read(pin, pos, changes)
			if !ok {
				pos = s.feed.low.Load() // overtaken
				continue
			}
			if n == 0 {
				break
			}
			for i := range changes[:n] {
				p := &changes[i].Path
				attrs.Mark(p.Attrs)
				attrs.Mark(p.PreAttrs)
				labels.Mark(p.Labels)
			}
			pos += uint64(n)
		}
	}
}

// clock turns the time since the start into seconds from 1; 0 is before it.
func clock(d time.Duration) uint32 {
	if d < 0 {
		return 0
	}
	return uint32(d/time.Second) + 1
}
