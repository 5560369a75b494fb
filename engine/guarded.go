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
// hops of the best routes of live peers.
type guarded struct {
	mu    sync.Mutex
	addrs []netip.Addr // as they were at the time below
	at    time.Time
}

// guardedLast is how long the addresses that were found count: finding them
// reads the whole table.
const guardedLast = time.Second

// forget makes the next question find them anew.
func (g *guarded) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = time.Time{}
}

// addresses returns them, sorted, each once. The caller does not change them.
func (g *guarded) addresses(s *bgp) []netip.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.at.IsZero() && time.Since(g.at) < guardedLast {
		return g.addrs
	}
	var as []netip.Addr
	add := func(a netip.Addr) {
		if a = a.Unmap().WithZone(""); a.IsValid() && !a.IsUnspecified() {
			as = append(as, a)
		}
	}
	for _, st := range s.sessions.Peers() {
		add(st.Address) // of dynamic neighbours too
		if st.Session != nil {
			add(st.Session.Local.Addr())
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
	eachNextHop(s.rib, add)
	slices.SortFunc(as, netip.Addr.Compare)
	g.addrs, g.at = slices.Compact(as), time.Now()
	return g.addrs
}

// eachNextHop calls f with the next hops of the best routes that live peers
// brought.
func eachNextHop(r *shard.RIB, f func(netip.Addr)) {
	live := map[rib.PeerNum]bool{}
	isLive := func(n rib.PeerNum) bool {
		is, known := live[n]
		if !known {
			info, ok := r.Peer(n)
			is = ok && info.Source == rib.SourceBGP
			live[n] = is
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
			if rs.Next() && !rs.Filtered() && !down.Has(rs.Peer()) && isLive(rs.Peer()) {
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
