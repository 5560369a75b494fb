package shard

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"ribd/shard/rib"
	"ribd/wire"
)

// ErrPeers is what AddPeer returns when no number is free.
var ErrPeers = errors.New("shard: no number is left for another peer")

// peerTable gives peers their numbers. A number goes from AddPeer to DropPeer,
// then rests: until every shard has removed its paths, no view can see one, and
// some time has passed.
type peerTable struct {
	known rib.Peers
	down  atomic.Pointer[rib.PeerSet] // numbers with paths that do not count, for the latest look-ups

	collecting sync.Mutex // held by collectPeers, before mu

	mu      sync.Mutex
	max     rib.PeerNum
	next    rib.PeerNum
	free    []rib.PeerNum
	live    map[rib.PeerNum]*peerState
	resting []restingPeer
	state   [(rib.MaxPeers + 1) >> 10]atomic.Pointer[[1 << 10]atomic.Pointer[peerState]]
}

type peerState struct {
	since  time.Time
	counts [maxFamilies]atomic.Pointer[peerCounts]
	left   int // shards that have paths of it left, when it is down
}

type peerCounts struct{ prefixes, paths, best, filtered, stale atomic.Int64 }

type restingPeer struct {
	num  rib.PeerNum
	at   time.Time
	view uint64 // views with a number below may show it
	pins uint64 // epoch that readers have to be in
}

func (p *peerTable) init(limit int) {
	p.max = rib.MaxPeers
	if limit > 0 && limit < rib.MaxPeers {
		p.max = rib.PeerNum(limit) + 1
	}
	p.next = 1
	p.live = map[rib.PeerNum]*peerState{}
	p.down.Store(new(rib.PeerSet))
}

// get returns the state of a number, nil where it has none.
func (p *peerTable) get(n rib.PeerNum) *peerState {
	if page := p.state[n>>10].Load(); page != nil {
		return page[n&(1<<10-1)].Load()
	}
	return nil
}

// counts returns the counts of a peer and family, made at first use.
func (p *peerTable) counts(n rib.PeerNum, fam uint8) *peerCounts {
	st := p.get(n)
	if st == nil {
		return nil
	}
	c := st.counts[fam].Load()
	if c == nil {
		c = new(peerCounts)
		if !st.counts[fam].CompareAndSwap(nil, c) {
			c = st.counts[fam].Load()
		}
	}
	return c
}

// AddPeer gives a peer a number for its routes.
func (r *RIB) AddPeer(i rib.PeerInfo) (rib.PeerNum, error) {
	r.collectPeers()
	p := &r.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	var n rib.PeerNum
	switch k := len(p.free); {
	case k > 0:
		n = p.free[k-1]
		p.free = p.free[:k-1]
	case p.next < p.max:
		n = p.next
		p.next++
	default:
		return 0, ErrPeers
	}
	st := &peerState{since: time.Now()}
	page := p.state[n>>10].Load()
	if page == nil {
		page = new([1 << 10]atomic.Pointer[peerState])
		p.state[n>>10].Store(page)
	}
	page[n&(1<<10-1)].Store(st)
	p.live[n] = st
	p.known.Set(rib.NewPeer(n, i))
	return n, nil
}

// DropPeer takes a peer and all its paths away. When it returns, no look-up
// that begins and no new View shows them; the shards remove them in the
// background. What is still announced under the number is refused.
func (r *RIB) DropPeer(n rib.PeerNum) {
	p := &r.peers
	p.mu.Lock()
	st := p.live[n]
	if st == nil {
		p.mu.Unlock()
		return
	}
	delete(p.live, n)
	st.left = len(r.shards)
	p.known.Get(n).Down.Store(true)
	down := append(rib.PeerSet(nil), *p.down.Load()...).With(n)
	p.down.Store(&down)
	p.mu.Unlock()
	r.now(func(s *shard) { s.dropPeer(n) })
}

func (s *shard) dropPeer(n rib.PeerNum) {
	s.finish()
	s.down = s.down.With(n)
	s.downOld = true
	s.begin()
	s.feed.peerDown(n)
	for _, j := range s.jobs {
		// Its number may come back before a job is over.
		delete(j.filters, n)
		if j.peer == n {
			j.peer = rib.MaxPeers
		}
	}
	for _, j := range s.jobs {
		if j.kind == jobDown && !j.begun {
			j.peers = j.peers.With(n)
			return
		}
	}
	s.jobs = append(s.jobs, &job{kind: jobDown, peers: rib.PeerSet(nil).With(n)})
}

// swept notes that one more shard has no path of the peers left.
func (p *peerTable) swept(r *RIB, set rib.PeerSet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	down := append(rib.PeerSet(nil), *p.down.Load()...)
	for n := range rib.PeerNum(len(set) * 32) {
		if !set.Has(n) {
			continue
		}
		st := p.get(n)
		if st.left--; st.left > 0 {
			continue
		}
		down = down.Without(n)
		p.resting = append(p.resting, restingPeer{n, time.Now(), r.views.next(), r.domain.Advance()})
	}
	p.down.Store(&down)
}

// collectPeers makes the numbers free that have rested. One that another call has
// in hand is free when it returns.
func (r *RIB) collectPeers() {
	p := &r.peers
	p.collecting.Lock()
	defer p.collecting.Unlock()
	p.mu.Lock()
	oldest, pins := r.views.oldest(), r.domain.Min()
	var free []rib.PeerNum
	rest := p.resting[:0]
	for _, x := range p.resting {
		if time.Since(x.at) >= r.o.IDRest && x.view <= oldest && x.pins <= pins {
			free = append(free, x.num)
		} else {
			rest = append(rest, x)
		}
	}
	p.resting = rest
	p.mu.Unlock()
	if len(free) == 0 {
		return
	}
	r.now(func(s *shard) {
		for _, n := range free {
			if int(n) < len(s.local) {
				s.local[n] = localPeer{}
			}
		}
	})
	p.mu.Lock()
	p.free = append(p.free, free...)
	p.mu.Unlock()
}

// Peer returns who has a number, also one of an old view; no lock is taken.
func (r *RIB) Peer(n rib.PeerNum) (info *rib.PeerInfo, ok bool) {
	if p := r.peers.known.Get(n); p != nil {
		return &p.PeerInfo, true
	}
	return nil, false
}

// PeerStatus is a peer and the counts of its routes.
type PeerStatus struct {
	Num    rib.PeerNum
	Info   rib.PeerInfo
	Since  time.Time     // AddPeer
	Counts []FamilyCount // of the families that it has had routes of
}

// FamilyCount counts a peer's routes of a family, over all its tables.
type FamilyCount struct {
	Family   wire.Family
	Prefixes int64
	Paths    int64 // more than Prefixes with Add-Path
	Best     int64 // of the prefixes: those of which it has the best path
	Filtered int64 // of the paths
	Stale    int64 // of the paths
}

// Peers returns the peers that are not dropped, by number.
func (r *RIB) Peers() []PeerStatus {
	p := &r.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]PeerStatus, 0, len(p.live))
	for n := rib.PeerNum(1); n < p.next; n++ {
		if st := p.live[n]; st != nil {
			out = append(out, r.status(n, st))
		}
	}
	return out
}

// PeerStatus returns one peer that is not dropped.
func (r *RIB) PeerStatus(n rib.PeerNum) (PeerStatus, bool) {
	r.peers.mu.Lock()
	defer r.peers.mu.Unlock()
	st := r.peers.live[n]
	if st == nil {
		return PeerStatus{}, false
	}
	return r.status(n, st), true
}

func (r *RIB) status(n rib.PeerNum, st *peerState) PeerStatus {
	out := PeerStatus{Num: n, Info: r.peers.known.Get(n).PeerInfo, Since: st.since}
	for i := range st.counts {
		c := st.counts[i].Load()
		if c == nil {
			continue
		}
		f, _ := r.dir.family(i)
		out.Counts = append(out.Counts, FamilyCount{
			Family: f, Prefixes: c.prefixes.Load(), Paths: c.paths.Load(),
			Best: c.best.Load(), Filtered: c.filtered.Load(), Stale: c.stale.Load(),
		})
	}
	return out
}
