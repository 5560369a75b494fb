package engine

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// guarded is the addresses that nothing originated here may drop, limit or
// redirect: those that sessions run between, this machine's own, and the next
// hops of the best routes of internal peers: the routers of one's own network. What
// an external peer names as its next hop is not among them: any peer could keep
// any address from being protected so.
//
// Finding the next hops reads the whole table, 100 ms where it is a full one.
// So who asks waits for that where nobody has asked for long, and else is given
// those of some seconds ago while they are found anew.
type guarded struct {
	mu        sync.Mutex
	hops      []netip.Addr // sorted, each once, as they were at the time below
	at        time.Time
	asked     time.Time
	timer     *time.Timer // of the next search, nil without one
	searching bool
	closed    bool
	busy      sync.WaitGroup // searches by the timer
}

const (
	// hopsEvery is how often next hops are searched while somebody asks, and
	// hopsAsked how long after the last question that goes on. Ones that are
	// older than hopsOld are not good enough.
	hopsEvery = 3 * time.Second
	hopsAsked = time.Minute
	hopsOld   = 10 * time.Second
)

// forget makes the next question find everything anew.
func (g *guarded) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = time.Time{}
}

// close ends the searches: none reads the tables after it.
func (g *guarded) close() {
	g.mu.Lock()
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
	g.mu.Unlock()
	g.busy.Wait()
}

// addresses returns them, sorted, each once.
func (g *guarded) addresses(s *bgp) []netip.Addr {
	as := slices.Clone(g.nextHops(s.rib))
	add := func(a netip.Addr) {
		if a = a.Unmap().WithZone(""); a.IsValid() && !a.IsUnspecified() {
			as = append(as, a)
		}
	}
	for _, b := range s.sessions.Briefs(nil) {
		add(b.Address) // of dynamic neighbours too
		if b.Session != nil {
			add(b.Session.Local.Addr())
		}
	}
	s.mu.Lock()
	for i := range s.cfg.Peers {
		add(s.cfg.Peers[i].Address)
		add(s.cfg.Peers[i].LocalAddress)
	}
	s.mu.Unlock()
	for _, l := range *s.own.links.Load() {
		for _, p := range l.addrs {
			add(p.Addr())
		}
	}
	slices.SortFunc(as, netip.Addr.Compare)
	return slices.Compact(as)
}

// nextHops returns the next hops. The caller does not change them.
func (g *guarded) nextHops(r *shard.RIB) []netip.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = time.Now()
	if g.closed {
		return g.hops
	}
	if time.Since(g.at) > hopsOld {
		g.hops, g.at = nextHopsOf(r), time.Now()
	}
	g.again(r)
	return g.hops
}

// again sets the timer of the next search; g.mu is held.
func (g *guarded) again(r *shard.RIB) {
	if g.timer == nil && !g.searching && !g.closed && time.Since(g.asked) < hopsAsked {
		g.timer = time.AfterFunc(hopsEvery, func() { g.search(r) })
	}
}

// search is called by the timer.
func (g *guarded) search(r *shard.RIB) {
	g.mu.Lock()
	g.timer = nil
	if g.closed {
		g.mu.Unlock()
		return
	}
	g.searching = true
	g.busy.Add(1)
	g.mu.Unlock()
	defer g.busy.Done()
	hops := nextHopsOf(r)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.searching = false
	g.hops, g.at = hops, time.Now()
	g.again(r)
}

// nextHopsOf finds the next hops of the best routes of live peers, sorted, each
// once.
func nextHopsOf(r *shard.RIB) (as []netip.Addr) {
	seen := map[netip.Addr]bool{}
	eachNextHop(r, func(a netip.Addr) {
		if a = a.Unmap().WithZone(""); a.IsValid() && !a.IsUnspecified() && !seen[a] {
			seen[a] = true
			as = append(as, a)
		}
	})
	slices.SortFunc(as, netip.Addr.Compare)
	return as
}

// eachNextHop calls f with the next hops of the best routes that internal peers
// brought.
func eachNextHop(r *shard.RIB, f func(netip.Addr)) {
	internal := map[rib.PeerNum]bool{}
	isInternal := func(n rib.PeerNum) bool {
		is, known := internal[n]
		if !known {
			info, ok := r.Peer(n)
			is = ok && info.Source == rib.SourceBGP && info.Internal
			internal[n] = is
		}
		return is
	}
	sets := make([]uint64, r.Attrs().MaxSet()/64+1)
	v := r.View()
	defer v.Close()
	for _, t := range []rib.TableID{rib.TableIPv4Unicast, rib.TableIPv6Unicast} {
		w := v.Walk(t, shard.WalkRange{})
		// A view that is ended for its age leaves out next hops of routes that
		// were not reached: the scan takes milliseconds, views live for minutes.
		w.Scan(func(_ trie.Key, _ uint8, rs rib.Records, down rib.PeerSet) bool {
			if rs.Next() && !rs.Filtered() && !down.Has(rs.Peer()) && isInternal(rs.Peer()) {
				if id := rs.Attrs(); int(id/64) < len(sets) {
					sets[id/64] |= 1 << (id % 64)
				}
			}
			return true
		})
		w.Close()
	}
	for i, word := range sets {
		for b := range 64 {
			if word>>b&1 == 0 {
				continue
			}
			if set, ok := r.Attrs().Bytes(rib.AttrID(64*i + b)); ok {
				if hop, ok := wire.FindAttr(set, wire.AttrNextHop); ok {
					global, _ := wire.NextHopAddrs(hop)
					f(global)
				}
			}
		}
	}
}
