package shard

import (
	"runtime"

	"ribd/internal/slab"
	"ribd/shard/rib"
	"ribd/trie"
)

// WalkRange bounds a walk. The zero value is a whole table.
type WalkRange struct {
	From    trie.Key // at this prefix or after it
	FromLen uint8
	After   bool // after it, not at it

	Under    trie.Key // this prefix and those it covers; 0/0: all
	UnderLen uint8
}

// Walk is a cursor over a table of a View, in the order of prefixes: by
// address, then by length. Families whose NLRI are not prefixes have an order
// that means nothing, but stays. It is for one goroutine, which may differ from
// the View's; it pins only while its methods run, so that it is all right to
// write to a socket between them. Close it before the View, unless Next has
// returned false.
type Walk struct {
	look
	v       *View // stays alive while the walk does
	h       *heldView
	pin     *slab.Pin
	cleanup runtime.Cleanup
	info    *tableInfo
	rng     WalkRange
	parts   []walkPart
	at      *walkPart
	end     trie.Key // last key of the block that at owns alone
	fence   bool     // end is set
	started bool
	done    bool
}

type walkPart struct {
	cur   trie.Cursor
	shard uint32
	key   trie.Key
	len   uint8
	ref   uint32
}

// Walk walks a table in order, all shards merged.
func (v *View) Walk(t rib.TableID, rng WalkRange) *Walk {
	w := v.newWalk(t, rng)
	if w.done {
		return w
	}
	first, last := uint32(0), uint32(len(v.h.states)-1)
	if rng.UnderLen >= w.info.split && w.info.split > 0 {
		// All of it lives in one shard.
		first = v.r.homes.of(w.info, rng.Under, rng.UnderLen)
		last = first
	}
	for i := first; i <= last; i++ {
		w.parts = append(w.parts, walkPart{shard: i})
	}
	return w
}

// Parts is the number of parts that WalkPart knows: they may be walked at the
// same time, by a goroutine each, and together hold every prefix once.
func (v *View) Parts() int { return len(v.h.states) }

// WalkPart walks one part of a table, in the order of prefixes.
func (v *View) WalkPart(i int, t rib.TableID, rng WalkRange) *Walk {
	w := v.newWalk(t, rng)
	if !w.done {
		w.parts = append(w.parts, walkPart{shard: uint32(i)})
	}
	return w
}

func (v *View) newWalk(t rib.TableID, rng WalkRange) *Walk {
	rng.From = rng.From.Mask(rng.FromLen)
	w := &Walk{look: newLook(v.r, v.h.states), v: v, h: v.h, info: v.r.dir.get(t), rng: rng}
	if w.info == nil || rng.UnderLen > w.info.width || rng.FromLen > w.info.width {
		w.done = true
		return w
	}
	w.pin = v.r.views.pin(v.r)
	w.cleanup = runtime.AddCleanup(w, v.r.views.unpin, w.pin)
	return w
}

// Close ends the walk.
func (w *Walk) Close() {
	if w.pin != nil {
		w.cleanup.Stop()
		w.r.views.unpin(w.pin)
		w.pin = nil
	}
	w.done = true
}

// Err returns ErrViewEnded where the view was ended before the walk.
func (w *Walk) Err() error {
	if w.h.ended.Load() {
		return ErrViewEnded
	}
	return nil
}

// Next goes to the next prefix. It returns false at the end, or when the View
// has ended: see Err.
func (w *Walk) Next() bool {
	if w.done || !w.h.enter(w.pin) {
		return false
	}
	ok := w.next()
	w.pin.Exit()
	if !ok {
		w.Close()
	}
	return ok
}

func (w *Walk) next() bool {
	if !w.started {
		w.start()
	} else {
		w.advance()
	}
	for w.at != nil {
		down := w.h.states[w.at.shard].down
		if len(down) == 0 || w.anyLeft(w.at.ref, down) {
			return true
		}
		w.advance()
	}
	return false
}

// start puts every part before its first prefix and takes the least.
func (w *Walk) start() {
	w.started = true
	parts := w.parts[:0]
	for _, p := range w.parts {
		p.cur = w.r.root(&w.h.states[p.shard], w.info.id, w.info.width).Cursor()
		if w.rng.UnderLen > 0 {
			p.cur.Under(w.rng.Under.Mask(w.rng.UnderLen), w.rng.UnderLen)
		}
		if w.rng.FromLen > 0 || w.rng.From != (trie.Key{}) || w.rng.After {
			p.cur.Seek(w.rng.From, w.rng.FromLen)
		}
		if !p.step() {
			continue
		}
		if w.rng.After && p.key == w.rng.From && p.len == w.rng.FromLen && !p.step() {
			continue
		}
		parts = append(parts, p)
	}
	w.parts = parts
	w.pick()
}

func (p *walkPart) step() bool {
	if !p.cur.Next() {
		return false
	}
	p.key, p.len, p.ref = p.cur.Key(), p.cur.Len(), p.cur.Value()
	return true
}

// advance steps the part that is in hand, and goes on with it while its prefixes
// are of a block of addresses that has no other home.
func (w *Walk) advance() {
	p := w.at
	if !p.step() {
		for i := range w.parts {
			if &w.parts[i] == p {
				w.parts[i] = w.parts[len(w.parts)-1]
				w.parts = w.parts[:len(w.parts)-1]
				break
			}
		}
		w.pick()
		return
	}
	if len(w.parts) == 1 || w.fence && p.key.Compare(w.end) <= 0 {
		return
	}
	w.pick()
}

// pick takes the part with the least prefix. All prefixes of at least split
// bits with the same first split bits are in one shard, and the shorter ones of
// the roof come before them: so inside such a block nothing needs comparing.
func (w *Walk) pick() {
	w.at, w.fence = nil, false
	for i := range w.parts {
		p := &w.parts[i]
		if w.at == nil || less(p, w.at) {
			w.at = p
		}
	}
	if w.at != nil && w.info.split > 0 && w.at.len >= w.info.split {
		w.fence = true
		w.end = w.at.key.Mask(w.info.split)
		w.end.Hi |= ^uint64(0) >> w.info.split
		w.end.Lo = ^uint64(0)
	}
}

func less(a, b *walkPart) bool {
	if c := a.key.Compare(b.key); c != 0 {
		return c < 0
	}
	return a.len < b.len
}

// Match returns the current prefix, for the methods of the View.
func (w *Walk) Match() Match {
	return match(w.info, w.at.key, w.at.len, w.at.shard, w.at.ref)
}

// Key returns the address bits of the current prefix.
func (w *Walk) Key() trie.Key { return w.at.key }

// Len returns the length of the current prefix.
func (w *Walk) Len() uint8 { return w.at.len }

// Best is View.Best of the current prefix.
func (w *Walk) Best() (p rib.Path, count int, f Flags) {
	if !w.h.enter(w.pin) {
		return rib.Path{}, 0, 0
	}
	defer w.pin.Exit()
	return w.best(w.at.ref, w.h.states[w.at.shard].down)
}

// Paths is View.Paths of the current prefix.
func (w *Walk) Paths(dst []rib.Path) []rib.Path {
	if !w.h.enter(w.pin) {
		return dst
	}
	defer w.pin.Exit()
	return w.r.read.Paths(w.at.ref, w.h.states[w.at.shard].down, &w.ranker, dst)
}

// Scan calls f with the records of one prefix after the other until f returns
// false or the walk is at its end: the quickest way through a table. It pins
// for a slice of prefixes at a time, so f must not wait for anything. Records
// of peers that are down come too where some of a prefix are up: down says
// which, and is empty as a rule.
func (w *Walk) Scan(f func(k trie.Key, n uint8, rs rib.Records, down rib.PeerSet) bool) error {
	const slice = 512
	for !w.done {
		if !w.h.enter(w.pin) {
			return ErrViewEnded
		}
		more := true
		for i := 0; i < slice && more; i++ {
			if more = w.next(); more {
				more = f(w.at.key, w.at.len, w.r.read.Records(w.at.ref), w.h.states[w.at.shard].down)
			}
		}
		w.pin.Exit()
		if !more {
			w.Close()
		}
	}
	return w.Err()
}
