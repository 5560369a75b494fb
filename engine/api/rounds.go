package api

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// An ordered walk is one core's work, and most of it is in vain where few paths
// pass the filters. So a scan that finds little goes on in rounds: all parts of the
// table are walked at the same time, each for so many prefixes; what they found
// before the place that every part has reached is in order once it is sorted.
const (
	probe       = 4096    // prefixes that the ordered walk looks at first
	sparse      = 8       // rounds begin where less than one in so many passes
	roundFirst  = 8 << 10 // prefixes of a part in the first round
	roundMost   = 128 << 10
	roundFinds  = 512     // prefixes that a part may find in a round
	roundOctets = 1 << 20 // rendered before the view is given back
)

// roundPart is what one part found in a round.
type roundPart struct {
	f        *filter
	paths    []rib.Path
	finds    []shard.Match
	last     trie.Key
	lastLen  uint8
	visited  int
	finished bool // the part has no more
	err      error
}

// rounds is the state of a scan that goes by rounds.
type rounds struct {
	parts []roundPart
	finds []shard.Match
}

// worth reports whether a walk that found so many of probe prefixes should go on
// in rounds.
func (s *scanner) worth(v *shard.View, t *tableRef, found int) bool {
	return found*sparse < probe && v.Parts() > 1 && runtime.GOMAXPROCS(0) > 1 && t.form() != wire.FormRaw
}

// inRounds goes on from pos in rounds. dense tells that much is found now, so
// that the ordered walk is better.
func (s *scanner) inRounds(v *shard.View, t *tableRef, dst []byte, lim *slice) (_ []byte, stop, dense bool, err error) {
	for most := roundFirst; ; most = min(2*most, roundMost) {
		visited, finished, front, frontLen, err := s.round(v, t, most)
		if err != nil {
			return dst, true, false, err
		}
		for _, m := range s.par.finds {
			s.c.paths = s.c.filter.pathsAt(v, m, s.c.paths[:0])
			if dst, stop = s.rowsOf(dst, t, m); stop {
				return dst, true, false, nil
			}
			s.pos.key, s.pos.len, s.pos.after, s.pos.skip = m.Key, m.Len, true, 0
			if len(dst) >= roundOctets {
				if lim.spill == nil {
					return dst, true, false, nil
				}
				dst = lim.spill(dst)
			}
		}
		if finished {
			return dst, false, false, nil
		}
		s.pos.key, s.pos.len, s.pos.after, s.pos.skip = front, frontLen, true, 0
		if s.rows == 0 && lim.until.IsZero() {
			lim.until = time.Now().Add(lookAhead)
		}
		if !lim.until.IsZero() && (time.Now().After(lim.until) || len(dst) >= lim.octets) {
			return dst, true, false, nil
		}
		if len(s.par.finds)*sparse > visited {
			return dst, false, true, nil
		}
	}
}

// round walks all parts from pos, and leaves what passes up to the front, the
// place that every part has reached, in order.
func (s *scanner) round(v *shard.View, t *tableRef, most int) (visited int, finished bool, front trie.Key, frontLen uint8, err error) {
	r := &s.par
	if r.parts == nil {
		r.parts = make([]roundPart, v.Parts())
		for i := range r.parts {
			r.parts[i].f = s.c.filter.share()
		}
	}
	rng := shard.WalkRange{From: s.pos.key, FromLen: s.pos.len, After: s.pos.after}
	if s.q.prefix.IsValid() {
		rng.Under, rng.UnderLen = trie.PrefixKey(s.q.prefix)
	}
	var next atomic.Int32
	var wg sync.WaitGroup
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(r.parts) {
				return
			}
			r.parts[i].walk(v, i, t, rng, most)
		}
	}
	for range min(runtime.GOMAXPROCS(0), len(r.parts)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	front, frontLen, finished = trie.Key{Hi: math.MaxUint64, Lo: math.MaxUint64}, 128, true
	for i := range r.parts {
		p := &r.parts[i]
		visited += p.visited
		if p.err != nil {
			return visited, false, front, frontLen, p.err
		}
		if !p.finished {
			finished = false
			if comparePrefix(p.last, p.lastLen, front, frontLen) < 0 {
				front, frontLen = p.last, p.lastLen
			}
		}
	}
	r.finds = r.finds[:0]
	for i := range r.parts {
		for _, m := range r.parts[i].finds {
			if comparePrefix(m.Key, m.Len, front, frontLen) > 0 {
				break
			}
			r.finds = append(r.finds, m)
		}
	}
	slices.SortFunc(r.finds, func(a, b shard.Match) int { return comparePrefix(a.Key, a.Len, b.Key, b.Len) })
	return visited, finished, front, frontLen, nil
}

func comparePrefix(a trie.Key, n uint8, b trie.Key, m uint8) int {
	return cmp.Or(a.Compare(b), cmp.Compare(n, m))
}

// walk looks for what passes in one part.
func (p *roundPart) walk(v *shard.View, i int, t *tableRef, rng shard.WalkRange, most int) {
	p.finds, p.visited, p.finished, p.err = p.finds[:0], 0, false, nil
	w := v.WalkPart(i, t.id, rng)
	defer w.Close()
	for w.Next() {
		p.visited++
		p.last, p.lastLen = w.Key(), w.Len()
		if p.f.lengthOK(p.lastLen) {
			p.paths = p.f.pathsOf(w, p.paths[:0])
			for j := range p.paths {
				if p.f.keep(&p.paths[j]) {
					p.finds = append(p.finds, w.Match())
					break
				}
			}
		}
		if p.visited >= most || len(p.finds) >= roundFinds {
			return
		}
	}
	p.finished, p.err = true, w.Err()
}
