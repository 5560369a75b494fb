package adjout

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// runSet is a way from one position to another for members that can't take it
// from the ring: the entries that changed after b0 and not after b1, as they are
// now. An entry that has changed since is left out: who takes the run goes on
// from b1, and is told then. b0 is 0 for a whole run, from nothing at all.
//
// Entries go out in the order of their sets, so that UPDATEs are packed. They
// are collected in windows, of bounded memory, and encoded in chunks, which all
// members share that are in the same place. Nothing of it has to be kept: any
// window can be collected again.
//
// A whole run begins with a few entries in no order, so that the first octet
// goes out at once, also while the group is still being filled: then b1 is 0
// until that is done.
type runSet struct {
	g      *group
	b0, b1 uint32 // with the group's lock
	made   time.Time
	users  int // with the group's lock

	first    *window
	firstFam int
	skipAt   uint32             // entries of firstFam that are in first
	skip     [numBuckets]uint32 // did not change after skipAt, and have these numbers at most

	mu   sync.Mutex
	runs []*run // by family
}

// firstEach is how many entries of each bucket go first.
const firstEach = 12

// sharedFor is how long others join a run.
const sharedFor = 2 * time.Second

// whole returns a run for a member that has nothing. Others may have taken a part
// of it before: that is good as long as what was withdrawn since is still known.
// The lock is held.
func (g *group) whole() *runSet {
	if s := g.full; s != nil && g.forgot <= s.skipAt && (s.b1 == 0 || time.Since(s.made) < sharedFor) {
		return s
	}
	s := &runSet{g: g, made: time.Now(), skipAt: g.batch}
	if !g.hold {
		s.b1 = g.batch
	}
	g.full = s
	for fam, st := range g.states {
		if st.live == 0 {
			continue
		}
		s.firstFam = fam
		w := newWindow(s, fam)
		w.only = *g.only
		for i := range st.buckets {
			b := &st.buckets[i]
			s.skip[i] = min(b.n, firstEach)
			for n := uint32(1); n <= s.skip[i]; n++ {
				if e := b.entry(n, st.lay.stride); e[wStamp] != 0 && e[wMeta]&entryDead == 0 {
					w.add(st, e, e[wAttr])
				}
			}
		}
		w.sort()
		s.first = w
		break
	}
	return s
}

// partial returns a run from b0 to now. The lock is held.
func (g *group) partial(b0 uint32) *runSet {
	if s := g.catch; s != nil && s.b0 == b0 && (s.b1 == g.batch || time.Since(s.made) < sharedFor && s.users > 0) {
		return s
	}
	g.catch = &runSet{g: g, b0: b0, b1: g.batch, made: time.Now()}
	return g.catch
}

// end gives up a member's part in a run. The lock is held.
func (j *job) end() {
	s := j.set
	if s.users--; s.users > 0 {
		return
	}
	if s.g.full == s && s.b1 != 0 {
		s.g.full = nil
	}
	if s.g.catch == s {
		s.g.catch = nil
	}
}

// rebase makes what a member is in the middle of a matter of another group,
// whose state is a copy of that of its own. Both locks are held.
func (mb *Member) rebase(c *group) {
	j := mb.job
	if j == nil {
		return
	}
	old := j.set
	s := &runSet{
		g: c, b0: old.b0, b1: old.b1, made: old.made, users: 1,
		first: old.first, firstFam: old.firstFam, skipAt: old.skipAt, skip: old.skip,
	}
	old.mu.Lock()
	for fam, r := range old.runs {
		if r == nil {
			continue
		}
		// Not with the run's lock: who holds that may wait for the group's.
		s.runs = append(s.runs, make([]*run, fam+1-len(s.runs))...)
		s.runs[fam] = &run{set: s, fam: fam}
		if spans := r.spans.Load(); spans != nil {
			s.runs[fam].planned(*spans)
		}
	}
	old.mu.Unlock()
	j.end()
	j.set, j.chunk, j.at = s, 0, nil
}

// run returns the run of a family.
func (s *runSet) run(fam int) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.runs) <= fam {
		s.runs = append(s.runs, nil)
	}
	if s.runs[fam] == nil {
		s.runs[fam] = &run{set: s, fam: fam}
	}
	return s.runs[fam]
}

// wants says whether an entry is in the run, and the set that it goes by: 0 is a
// withdrawal.
func (s *runSet) wants(fam int, e []uint32, bucket int, n uint32) (attrs uint32, ok bool) {
	stamp := e[wStamp]
	if stamp == 0 || stamp > s.b1 {
		return 0, false
	}
	dead := e[wMeta]&entryDead != 0
	from := s.b0
	if from == 0 {
		if s.first == nil || fam != s.firstFam || n > s.skip[bucket] {
			return e[wAttr], !dead
		}
		from = s.skipAt
	}
	switch {
	case stamp <= from:
		return 0, false
	case dead:
		// Born and gone in between: nobody knows of it.
		return 0, e[wAttr] <= from
	}
	return e[wAttr], true
}

// run is the part of a runSet that is of one family.
type run struct {
	set *runSet
	fam int

	spans atomic.Pointer[[]span] // nil: not planned yet

	mu      sync.Mutex // taken before the group's lock
	windows []*window  // by span; nil: to be collected
	latest  int
}

// planned sets the windows.
func (r *run) planned(spans []span) {
	r.windows = make([]*window, len(spans))
	r.spans.Store(&spans)
}

// span is the sets and buckets of a window.
type span struct {
	lo, hi     uint32 // sets, hi included
	from, upto int    // buckets
	n          int    // entries, about
}

const histogramBits = 14

// plan divides the run into windows that are not much larger than the limit.
// Caller holds r.mu.
func (r *run) plan() {
	g := r.set.g
	st := g.states[r.fam]
	shift := uint(0)
	for top := uint32(g.m.rib.Attrs().MaxSet()); top>>shift >= 1<<histogramBits; {
		shift++
	}
	var counts [1 << histogramBits]uint32
	for i := range st.buckets {
		g.mu.Lock()
		b := &st.buckets[i]
		stride := st.lay.stride
		for n := uint32(1); n <= b.n; n++ {
			if id, ok := r.set.wants(r.fam, b.entry(n, stride), i, n); ok {
				counts[min(id>>shift, 1<<histogramBits-1)]++
			}
		}
		g.mu.Unlock()
		runtime.Gosched()
	}
	var spans []span
	limit := uint32(g.m.o.window)
	lo, in := uint32(0), uint32(0)
	cut := func(next uint32) {
		if in == 0 {
			lo = next << shift
			return
		}
		hi := next<<shift - 1
		if next == 1<<histogramBits {
			hi = math.MaxUint32
		}
		parts := int(min((in+limit-1)/limit, numBuckets))
		if in <= limit+limit/4 {
			parts = 1
		}
		for p := range parts {
			spans = append(spans, span{lo, hi, p * numBuckets / parts, (p + 1) * numBuckets / parts, int(in) / parts})
		}
		lo, in = next<<shift, 0
	}
	for i, n := range counts {
		if in > 0 && in+n > limit {
			cut(uint32(i))
		}
		in += n
	}
	cut(1 << histogramBits)
	r.planned(spans)
}

// window returns window i, collected where it is not there; nil past the last.
func (r *run) window(i int) *window {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spans.Load() == nil {
		r.plan()
	}
	spans := *r.spans.Load()
	if i >= len(spans) {
		return nil
	}
	w := r.windows[i]
	if w == nil || w.stale() {
		w = r.collect(spans[i])
		r.windows[i] = w
		r.latest = i
		for j, old := range r.windows {
			if old != nil && old.users == 0 && j < i-1 {
				r.windows[j] = nil
			}
		}
	}
	w.users++
	return w
}

// leave gives a window up.
func (r *run) leave(i int, at *window) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[i]
	if w != at {
		return // collected again since
	}
	if w.users--; w.users <= 0 && i < r.latest-1 {
		r.windows[i] = nil
	}
}

func (r *run) collect(s span) *window {
	g := r.set.g
	st := g.states[r.fam]
	w := newWindow(r.set, r.fam)
	room := s.n
	if s.upto-s.from < numBuckets {
		room += room / 8
	}
	w.words, w.order = make([]uint32, 0, room*st.lay.stride), make([]uint64, 0, room)
	g.mu.Lock()
	w.only = *g.only
	w.known = r.set.b0 != 0 || r.set.b1 > r.set.skipAt
	g.mu.Unlock()
	stride := st.lay.stride
	for i := s.from; i < s.upto; i++ {
		g.mu.Lock()
		b := &st.buckets[i]
		for n := uint32(1); n <= b.n; n++ {
			e := b.entry(n, stride)
			if id, ok := r.set.wants(r.fam, e, i, n); ok && id >= s.lo && id <= s.hi {
				w.add(st, e, id)
			}
		}
		g.mu.Unlock()
		runtime.Gosched()
	}
	w.sort()
	return w
}

// work returns the next part of a member's job.
func (mb *Member) work(job *job) (p parcel) {
	e := &job.todo[0]
	if !job.begun {
		job.begun = true
		if len(e.before) > 0 {
			return parcel{msgs: e.before}
		}
	}
	if !job.first {
		p, ok := job.set.first.chunk(job.chunk, mb)
		job.chunk++
		if !ok {
			job.first, job.chunk = true, 0
		}
		return p
	}
	r := job.set.run(e.fam)
	if job.at != nil && job.at.stale() {
		r.leave(job.window, job.at)
		job.at, job.chunk = nil, 0
	}
	if job.at == nil {
		job.at = r.window(job.window)
	}
	if job.at == nil {
		mb.finish(job)
		return parcel{}
	}
	p, ok := job.at.chunk(job.chunk, mb)
	job.chunk++
	if !ok {
		r.leave(job.window, job.at)
		job.at, job.chunk = nil, 0
		job.window++
	}
	return p
}
