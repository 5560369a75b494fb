package flow

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// world is a lab and what is in it, as plainly as it can be said.
type world struct {
	*lab
	rnd   *rand.Rand
	sets  map[rib.AttrID]set
	peers map[rib.PeerNum]*worldPeer
	next  int
}

type worldPeer struct {
	addr     netip.Addr
	internal bool
	mode     Validation
	policy   rewrite
}

// rewrite is policy that puts an AS before some paths and refuses others.
type rewrite struct {
	w    *world
	salt int
}

func (r rewrite) verdict(s set) (set, rib.FilterReason) {
	switch n := len(s.path); {
	case r.salt == 0 || n == 0:
	case (int(s.path[n-1])+r.salt)%5 == 0:
		return s, rib.FilterPolicy
	case (int(s.path[n-1])+r.salt)%5 == 1:
		s.path = append([]uint32{65099}, s.path...)
	}
	return s, rib.FilterNone
}

// mu is over the sets that filters in shards ask for.
var mu sync.Mutex

func (r rewrite) Set(_ wire.Family, _ rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	mu.Lock()
	s := r.w.sets[id]
	mu.Unlock()
	to, why := r.verdict(s)
	if why != rib.FilterNone {
		return rib.Verdict{Attrs: id, Filtered: why}, true
	}
	return rib.Verdict{Attrs: r.w.set(to)}, true
}

func (r rewrite) Route(wire.Family, uint64, trie.Key, uint8, *rib.Path) rib.Verdict {
	panic("it was final")
}

func (w *world) set(s set) rib.AttrID {
	id := w.attrs(s)
	mu.Lock()
	defer mu.Unlock()
	w.sets[id] = s
	return id
}

func newWorld(t *testing.T, seed uint64, o shard.Options) *world {
	w := &world{lab: newLab(t, o), rnd: rand.New(rand.NewPCG(seed, 1)), sets: map[rib.AttrID]set{}, peers: map[rib.PeerNum]*worldPeer{}}
	for range 4 {
		w.addPeer()
	}
	return w
}

func (w *world) addPeer() {
	w.next++
	p := &worldPeer{addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(w.next)}), internal: w.rnd.IntN(3) == 0, mode: Validation(w.rnd.IntN(6) / 4)}
	as := uint32(65001 + w.next%3)
	if p.internal {
		as = 0
	}
	n := w.peer(p.addr.String(), as, p.mode)
	p.policy = rewrite{w, w.rnd.IntN(3)}
	w.lock.Lock()
	defer w.lock.Unlock()
	w.filters[n] = w.fl.Filter(p.policy, p.mode)
	w.peers[n] = p
}

func (w *world) anyone() rib.PeerNum {
	all := slices.Sorted(maps.Keys(w.peers))
	return all[w.rnd.IntN(len(all))]
}

func (w *world) anySet() set {
	s := set{goOn: w.rnd.IntN(3) == 0}
	for range w.rnd.IntN(3) {
		s.path = append(s.path, 65001+w.rnd.Uint32N(3))
	}
	switch w.rnd.IntN(8) {
	case 0:
		s.originator = fmt.Sprintf("192.0.2.%d", 1+w.rnd.IntN(4))
	case 1:
		s.confed = []uint32{64512}
	case 2:
		s.asSet = []uint32{65001}
	}
	return s
}

var worldFamilies = []wire.Family{wire.IPv4FlowSpec, wire.IPv4FlowSpec, wire.IPv6FlowSpec, wire.IPv4FlowSpecVPN}

func (w *world) anyPrefix(f wire.Family) string {
	n := 6 + w.rnd.IntN(12)
	a := netip.AddrFrom4([4]byte{10, byte(w.rnd.IntN(4) << 6), byte(w.rnd.IntN(2) << 7), 0})
	return as(f, netip.PrefixFrom(a, n).Masked().String())
}

func (w *world) step() {
	f := worldFamilies[w.rnd.IntN(len(worldFamilies))]
	rd := uint64(w.rnd.IntN(2))
	at := w.prefix(flowspec.Unicast(f), rd, w.anyPrefix(f))
	if w.rnd.IntN(3) == 0 {
		dst := w.anyPrefix(f)
		if w.rnd.IntN(12) == 0 {
			dst = ""
		}
		at = w.at(f, rule(f, rd, dst, uint16(w.rnd.IntN(2))))
	}
	n := w.anyone()
	switch x := w.rnd.IntN(200); {
	case x < 120:
		w.announce(at, rib.Path{Peer: n, Attrs: w.set(w.anySet())})
	case x < 180:
		w.withdraw(at, n)
	case x < 181 && len(w.peers) > 2:
		w.fan.Flush()
		delete(w.peers, n)
		w.r.DropPeer(n)
	case x < 183 && len(w.peers) < 6:
		w.addPeer()
	case x < 185:
		w.fan.Flush()
		p := w.peers[n]
		p.mode, p.policy.salt = Validation(w.rnd.IntN(3)), w.rnd.IntN(4)
		w.lock.Lock()
		w.filters[n] = w.fl.Filter(p.policy, p.mode)
		w.lock.Unlock()
		w.r.Rejudge(map[rib.PeerNum]rib.Filter{n: w.filters[n]})
	case x < 195:
		w.fan.Flush()
	}
}

// worldRoute is the best path of a unicast prefix.
type worldRoute struct {
	prefix netip.Prefix
	peer   *worldPeer
	set    set // as it came
}

// routes returns the best paths of a table. Which one is best is not in question
// here.
func (w *world) routes(f wire.Family, rd uint64) (rs []worldRoute) {
	tb, ok := w.r.FindTable(f, rd)
	if !ok {
		return nil
	}
	v := w.r.View()
	defer v.Close()
	for x := v.Walk(tb, shard.WalkRange{}); x.Next(); {
		p, count, _ := x.Best()
		if count == 0 {
			continue
		}
		id := p.Attrs
		if p.PreAttrs != 0 {
			id = p.PreAttrs
		}
		rs = append(rs, worldRoute{x.Match().Prefix(), w.peers[p.Peer], w.sets[id]})
	}
	return rs
}

func (s set) first() uint32 {
	if len(s.path) > 0 && s.asSet == nil {
		return s.path[0]
	}
	return 0
}

func (p *worldPeer) originator(s set) netip.Addr {
	if s.originator != "" {
		return netip.MustParseAddr(s.originator)
	}
	return p.addr
}

// naive is RFC 8955 section 6 with RFC 8956 and 9117, as it is written.
func naive(routes []worldRoute, vpn bool, dst netip.Prefix, from *worldPeer, s set) rib.FilterReason {
	switch {
	case from.mode == Off, vpn && from.internal:
		return rib.FilterNone
	case !dst.IsValid() && from.mode == NoDestination:
		return rib.FilterNone
	case !dst.IsValid():
		return rib.FilterNoDestination
	case from.internal && len(s.path) == 0 && s.asSet == nil:
		return rib.FilterNone
	}
	var best *worldRoute
	for i := range routes {
		if r := &routes[i]; r.prefix.Bits() <= dst.Bits() && r.prefix.Contains(dst.Addr()) && (best == nil || r.prefix.Bits() > best.prefix.Bits()) {
			best = r
		}
	}
	if best == nil {
		return rib.FilterNoUnicast
	}
	if best.peer.originator(best.set) != from.originator(s) {
		return rib.FilterOriginator
	}
	if !from.internal && (s.first() == 0 || s.first() != best.set.first()) {
		return rib.FilterOriginator
	}
	for _, r := range routes {
		if r.prefix.Bits() > dst.Bits() && dst.Contains(r.prefix.Addr()) && r.set.first() != best.set.first() {
			return rib.FilterMoreSpecific
		}
	}
	return rib.FilterNone
}

// check compares everything.
func (w *world) check() {
	w.t.Helper()
	w.fan.Flush()
	w.r.Settle()
	w.wait()
	type listed struct {
		nlri []byte
		v    rules.Value
	}
	want := map[tableKey][]listed{}
	stats := map[wire.Family]*FamilyStats{}
	for _, f := range flowFamilies {
		tb, ok := w.r.FindTable(f, 0)
		if !ok {
			continue
		}
		st := &FamilyStats{Family: f, Invalid: map[rib.FilterReason]int64{}}
		stats[f] = st
		var nlris [][]byte
		var all [][]rib.Path
		v := w.r.View()
		for x := v.Walk(tb, shard.WalkRange{}); x.Next(); {
			b, _ := w.r.RawNLRI(x.Key())
			nlris, all = append(nlris, b), append(all, x.Paths(nil))
		}
		v.Close()
		for i, nlri := range nlris {
			st.Rules++
			rd := flowspec.RD(f, nlri)
			dst, _, _ := flowspec.Destination(f, nlri)
			routes := w.routes(flowspec.Unicast(f), rd)
			for _, p := range all[i] {
				st.Paths++
				id := p.Attrs
				if p.PreAttrs != 0 {
					id = p.PreAttrs
				}
				from := w.peers[p.Peer]
				_, why := from.policy.verdict(w.sets[id])
				if why == rib.FilterNone {
					why = naive(routes, flowspec.IsVPN(f), dst, from, w.sets[id])
				}
				if why != p.Filtered {
					w.t.Fatalf("%v %x to %v of peer %v (internal %v, %v) %+v: %q, want %q; routes %+v", f, nlri, dst, from.addr, from.internal, from.mode, w.sets[id], p.Filtered, why, routes)
				}
				if why.Invalid() {
					st.Invalid[why]++
				}
				info, _ := w.r.Peer(p.Peer)
				if r, ok := w.fl.Rule(RuleID(info.ID, f, false, 0, nlri)); !ok || r.Path.Peer != p.Peer || !bytes.Equal(r.NLRI, nlri) || r.Family != f || r.RD != rd {
					w.t.Fatalf("by its id there is %+v, %v", r, ok)
				}
			}
			best := all[i][0]
			info, _ := w.r.Peer(best.Peer)
			x := listed{nlri, rules.Value{ID: RuleID(info.ID, f, false, 0, nlri)}}
			if best.Filtered == rib.FilterNone {
				st.Active++
				x.v.Active, x.v.Terminal, x.v.Ref = true, !w.sets[best.Attrs].goOn, uint64(best.Attrs)
			}
			key := tableKey{f, rd}
			want[key] = append(want[key], x)
		}
	}
	tables := w.fl.Tables()
	if len(tables) != len(want) {
		w.t.Fatalf("%d tables, want %d", len(tables), len(want))
	}
	for _, tb := range tables {
		list := want[tableKey{tb.Family, tb.RD}]
		slices.SortFunc(list, func(a, b listed) int { return flowspec.Compare(tb.Family, a.nlri, b.nlri) })
		i := 0
		tb.Rules.Walk(nil, func(nlri []byte, v rules.Value, order int) bool {
			if order != i+1 || i >= len(list) || !bytes.Equal(nlri, list[i].nlri) || v != list[i].v {
				w.t.Fatalf("%v: rule %d is %x %+v, want %+v", tb.Family, order, nlri, v, list[i:])
			}
			i++
			return true
		})
		if i != len(list) || w.fl.Rules(tb.Family, tb.RD) != tb.Rules {
			w.t.Fatalf("%v: %d rules, want %d", tb.Family, i, len(list))
		}
	}
	for _, st := range w.fl.Stats().Families {
		x := stats[st.Family]
		for why, n := range st.Invalid {
			if n != x.Invalid[why] {
				w.t.Fatalf("%v: %d paths are %v, want %d", st.Family, n, why, x.Invalid[why])
			}
		}
		if st.Rules != x.Rules || st.Active != x.Active || st.Paths != x.Paths {
			w.t.Fatalf("counts %+v, want %+v", st, x)
		}
	}
}

// outrun changes more than the feed holds while the follower waits for the filter
// of a peer.
func (w *world) outrun() {
	w.fan.Flush()
	w.r.Settle()
	w.wait() // no shard asks for a filter now
	w.lock.Lock()
	defer w.lock.Unlock()
	for i := range 4000 {
		f := worldFamilies[i%3]
		at := w.prefix(flowspec.Unicast(f), 0, w.anyPrefix(f))
		if i%4 == 0 {
			at = w.at(f, rule(f, 0, w.anyPrefix(f), uint16(w.rnd.IntN(9))))
		}
		if w.rnd.IntN(2) == 0 {
			w.announce(at, rib.Path{Peer: w.anyone(), Attrs: w.set(w.anySet())})
		} else {
			w.withdraw(at, w.anyone())
		}
		if i < 20 {
			w.fan.Flush()
		}
	}
	w.fan.Flush()
	w.r.Sync()
}

// TestModel does random things to unicast routes, rules, policies and peers, and
// compares verdicts, order and counts with a walk through all of it.
func TestModel(t *testing.T) {
	steps := 6000
	if testing.Short() {
		steps = 1500
	}
	for i, o := range []shard.Options{{Shards: 1}, {Shards: 3}, {Shards: 2, FeedSize: 512}} {
		o.IDRest = time.Nanosecond
		seed := rand.Uint64()
		t.Logf("seed %d, %+v", seed, o)
		w := newWorld(t, seed, o)
		w.fl.wideFrom, w.fl.changesMost = 1+i*i*10, 1+i*i*i
		for i := range steps {
			w.step()
			if i%40 == 0 {
				w.check()
			}
			if o.FeedSize > 0 && i%500 == 0 {
				w.outrun()
				w.check()
			}
		}
		w.check()
		if o.FeedSize > 0 && w.fl.counts.rebuilt.Load() < 2 {
			t.Error("the follower never fell out")
		}
		s := w.fl.Stats()
		t.Logf("%d verdicts worked out, %d after changes of routes, %d were another one", s.Evaluations, s.Revalidations, s.Changes)
	}
}

// TestNoChangeIsLost has rules judged in one goroutine while routes come and go in
// two others, which nothing holds back.
func TestNoChangeIsLost(t *testing.T) {
	for i := range 8 {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		w := newWorld(t, seed, shard.Options{Shards: 3})
		w.fl.wideFrom, w.fl.changesMost = 1+i%2*wideFrom, 1+i/2%2*changesMost
		all := slices.Sorted(maps.Keys(w.peers))
		type op struct {
			at    place
			n     rib.PeerNum
			attrs rib.AttrID
		}
		lanes := [3][]op{}
		for i := range 6000 {
			f := worldFamilies[w.rnd.IntN(3)]
			x := op{w.prefix(flowspec.Unicast(f), 0, w.anyPrefix(f)), all[1+i%2], w.set(w.anySet())}
			if i%3 == 0 {
				x = op{w.at(f, rule(f, 0, w.anyPrefix(f), uint16(w.rnd.IntN(9)))), all[0], x.attrs}
			}
			if w.rnd.IntN(3) == 0 {
				x.attrs = 0
			}
			lanes[i%3] = append(lanes[i%3], x)
		}
		var wg sync.WaitGroup
		for _, lane := range lanes {
			wg.Go(func() {
				fan := w.r.NewFan()
				fan.Express()
				defer fan.Close()
				l := &lab{t: t, r: w.r, fl: w.fl, fan: fan, filters: w.filters}
				for i, x := range lane {
					if x.attrs == 0 {
						l.withdraw(x.at, x.n)
					} else {
						l.announce(x.at, rib.Path{Peer: x.n, Attrs: x.attrs})
					}
					if i%3 == 0 {
						fan.Flush()
					}
				}
			})
		}
		wg.Wait()
		w.check()
	}
}
