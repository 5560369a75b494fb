package adjout

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// expect is what a member must hold, found out the slow and obvious way: the
// attributes of each prefix's routes.
func (w *world) expect(p *testPeer) map[route][]string {
	out := map[route][]string{}
	v := w.rib.View()
	defer v.Close()
	for _, f := range p.target.Families {
		t, _ := w.rib.Table(f, 0)
		for walk := v.Walk(t, shard.WalkRange{}); walk.Next(); {
			k := route{family: f, nlri: walk.Key().Prefix(walk.Len(), f.Is4()).String()}
			paths := slices.DeleteFunc(walk.Paths(nil), func(q rib.Path) bool { return q.Filtered != rib.FilterNone })
			for _, a := range w.expectOf(p, f, walk.Key(), walk.Len(), paths) {
				out[k] = append(out[k], fmt.Sprint(a))
			}
			slices.Sort(out[k])
		}
	}
	return out
}

func (w *world) expectOf(p *testPeer, f wire.Family, k trie.Key, n uint8, paths []rib.Path) (out []attrSpec) {
	limit := p.target.AddPath[f]
	switch {
	case limit > 0:
		for _, q := range paths {
			if a, ok := w.exported(p, f, k, n, q); ok && limit > 0 {
				limit--
				if q.Peer != p.num {
					out = append(out, a)
				}
			}
		}
	case p.target.RSClient:
		for _, q := range paths {
			if a, ok := w.exported(p, f, k, n, q); ok && q.Peer != p.num {
				return []attrSpec{a}
			}
		}
	case len(paths) > 0 && paths[0].Peer != p.num:
		if a, ok := w.exported(p, f, k, n, paths[0]); ok {
			return []attrSpec{a}
		}
	}
	return out
}

// exported is what a path looks like to a peer, if it may be sent at all.
func (w *world) exported(p *testPeer, f wire.Family, k trie.Key, n uint8, q rib.Path) (attrSpec, bool) {
	info, _ := w.rib.Peer(q.Peer)
	client := false
	known := false
	for _, o := range w.peers {
		if o.num == q.Peer {
			client, known = o.rrClient, true
		}
	}
	b, _ := w.rib.Attrs().Bytes(q.Attrs)
	a := parse(b)
	t := &p.target
	switch {
	case !known || info.Source != rib.SourceBGP:
		return a, false
	case t.Internal && info.Internal && !client && !t.RRClient:
		return a, false
	case !t.RSClient && slices.Contains(a.Communities, communityNoAdvertise):
		return a, false
	case !t.RSClient && !t.Internal && slices.Contains(a.Communities, communityNoExport):
		return a, false
	}
	pol, ok := t.Export.(*policy)
	if !ok {
		return a, false
	}
	if pol.route != nil && !pol.route(k.Prefix(n, f.Is4())) {
		return a, false
	}
	med := a.MED
	if pol.set != nil {
		var ok bool
		if a, ok = pol.set(a); !ok {
			return a, false
		}
	}
	if t.RSClient {
		a.Pref = -1
		return a, true
	}
	if t.Internal {
		if a.Pref < 0 {
			a.Pref = 100
		}
		if info.Internal {
			if a.Originator == 0 {
				a.Originator = info.RouterID
			}
			a.Clusters = append([]uint32{t.RouterID}, a.Clusters...)
		}
		return a, true
	}
	if a.MED == med {
		a.MED = -1
	}
	a.Pref, a.Originator, a.Clusters = -1, 0, nil
	a.Path = append([]uint32{ourAS}, a.Path...)
	a.Hop = t.NextHop4.String()
	if !f.Is4() {
		a.Hop = t.NextHop6.String()
	}
	return a, true
}

func (w *world) check(p *testPeer, when string) {
	w.t.Helper()
	want := w.expect(p)
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	got := map[route][]string{}
	for k, a := range p.sink.held {
		k.id = 0
		got[k] = append(got[k], fmt.Sprint(parse([]byte(a))))
		slices.Sort(got[k])
	}
	n := 0
	for k, v := range want {
		n += len(v)
		if !slices.Equal(got[k], v) {
			w.t.Errorf("%s: peer %s has for %v\n got %v\nwant %v", when, p.info.ID, k, got[k], v)
		}
	}
	for k, v := range got {
		if len(want[k]) == 0 {
			w.t.Errorf("%s: peer %s has %v that it must not: %v", when, p.info.ID, k, v)
		}
	}
	adv := 0
	for _, f := range p.member.Status() {
		adv += f.Advertised
	}
	if adv != n {
		w.t.Errorf("%s: peer %s: %d routes are advertised, the status says %d", when, p.info.ID, n, adv)
	}
	w.checkPaths(p, when)
}

// checkPaths compares what is sent with what the member says is sent.
func (w *world) checkPaths(p *testPeer, when string) {
	w.t.Helper()
	for k, a := range p.sink.held {
		pre := netip.MustParsePrefix(k.nlri)
		key, n := trie.PrefixKey(pre)
		t, _ := w.rib.Table(k.family, 0)
		found := false
		for _, adv := range p.member.Paths(t, key, n, nil) {
			b, _ := w.rib.Attrs().Bytes(adv.Attrs)
			if adv.PathID == k.id && string(b) == a {
				found = true
			}
		}
		if !found {
			w.t.Errorf("%s: peer %s was sent %v, of which Paths knows nothing", when, p.info.ID, k)
		}
	}
}

// shape is a kind of router whose export the model checks.
type shape struct {
	name  string
	peers func(w *world, i int) (internal, client bool)
	to    func(i int, t *Target)
}

var shapes = []shape{
	{"external", func(*world, int) (bool, bool) { return false, false }, func(int, *Target) {}},
	{"internal", func(_ *world, i int) (bool, bool) { return i%2 == 0, false }, func(int, *Target) {}},
	{"reflector", func(_ *world, i int) (bool, bool) { return i > 1, i%2 == 0 }, func(int, *Target) {}},
	{"server", func(*world, int) (bool, bool) { return false, false }, func(_ int, t *Target) { t.RSClient = true }},
	{"add-path-all", func(*world, int) (bool, bool) { return false, false }, func(_ int, t *Target) {
		t.AddPath = map[wire.Family]int{wire.IPv4Unicast: AddPathAll, wire.IPv6Unicast: AddPathAll}
	}},
	{"add-path-2", func(_ *world, i int) (bool, bool) { return i%3 == 0, false }, func(_ int, t *Target) {
		t.AddPath = map[wire.Family]int{wire.IPv4Unicast: 2}
	}},
	{"server-add-path", func(*world, int) (bool, bool) { return false, false }, func(i int, t *Target) {
		t.RSClient = true
		if i%2 == 0 {
			t.AddPath = map[wire.Family]int{wire.IPv4Unicast: AddPathAll}
		}
	}},
}

// TestMembersHoldWhatTheyMust is the model checker: whatever happens in
// whatever order, once all is quiet every member holds exactly what the obvious
// way to find out says.
func TestMembersHoldWhatTheyMust(t *testing.T) {
	for _, sh := range shapes {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			seeds := 6
			if testing.Short() {
				seeds = 2
			}
			for range seeds {
				seed := rand.Uint64()
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, sh, seed) }) {
					return
				}
			}
		})
	}
}

type model struct {
	*world
	rnd      *rand.Rand
	sh       shape
	policies []*policy
	prefixes []string
	next     int
}

func runModel(t *testing.T, sh shape, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, shard.Options{Shards: 2, FeedSize: 512}, Options{ringBytes: 512 + rnd.IntN(4096), window: 1 + rnd.IntN(64), slice: 4 + rnd.IntN(60), ebb: time.Millisecond})
	m := &model{world: w, rnd: rnd, sh: sh}
	m.policies = []*policy{
		acceptAll,
		{key: "no 3", rib: w.rib, set: func(a attrSpec) (attrSpec, bool) { return a, !slices.Contains(a.Communities, 3) }},
		{key: "even", route: func(p netip.Prefix) bool { return p.Bits()%2 == 0 }},
		{key: "med", rib: w.rib, set: func(a attrSpec) (attrSpec, bool) {
			return with(a, func(a *attrSpec) { a.MED, a.Communities = 1000, append(a.Communities, 77) }), true
		}},
	}
	for i := range 60 {
		m.prefixes = append(m.prefixes, fmt.Sprintf("10.%d.0.0/%d", i, 16+i%8))
		if i%4 == 0 {
			m.prefixes = append(m.prefixes, fmt.Sprintf("2001:db8:%d::/%d", i+1, 48+i%8))
		}
	}
	for i := range 5 {
		in, client := sh.peers(w, i)
		w.peer(i, in, client)
	}
	m.next = 5
	for step := range 40 {
		for range 1 + rnd.IntN(60) {
			m.act()
		}
		w.fan.Flush()
		if rnd.IntN(3) == 0 {
			for _, p := range w.peers {
				if p.sink != nil {
					p.sink.set(func() { p.sink.stuck, p.sink.refuse = false, 0 })
				}
			}
			w.settle()
			for _, p := range w.peers {
				if p.member != nil {
					w.check(p, fmt.Sprintf("seed %d step %d", seed, step))
				}
			}
			if t.Failed() {
				return
			}
		}
	}
}

func (m *model) any() *testPeer {
	keys := make([]int, 0, len(m.peers))
	for k := range m.peers {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return m.peers[keys[m.rnd.IntN(len(keys))]]
}

func (m *model) attrs(p *testPeer) attrSpec {
	a := spec()
	if !p.info.Internal {
		a.Path = append(a.Path, p.info.AS)
	}
	for range m.rnd.IntN(3) {
		a.Path = append(a.Path, uint32(100+m.rnd.IntN(3)))
	}
	if p.info.Internal && m.rnd.IntN(2) == 0 {
		a.Pref = int64(90 + m.rnd.IntN(3)*10)
	}
	if m.rnd.IntN(3) == 0 {
		a.MED = int64(m.rnd.IntN(3))
	}
	switch m.rnd.IntN(8) {
	case 0:
		a.Communities = []uint32{3}
	case 1:
		a.Communities = []uint32{communityNoExport}
	case 2:
		a.Communities = []uint32{communityNoAdvertise, 9}
	}
	return a
}

// act does one thing at random.
func (m *model) act() {
	p := m.any()
	prefix := m.prefixes[m.rnd.IntN(len(m.prefixes))]
	id := m.rnd.IntN(3) - 1
	switch n := m.rnd.IntN(100); {
	case n < 60:
		a := m.attrs(p)
		if prefix[:4] == "2001" {
			a.Hop = "2001:db8::1"
		}
		m.announce(p, prefix, a, id)
	case n < 80:
		m.withdraw(p, prefix, id)
	case n < 82:
		m.fan.Flush()
	case n < 85 && p.member == nil:
		t := p.to()
		t.Export = m.policies[m.rnd.IntN(len(m.policies))]
		m.sh.to(m.index(p), &t)
		m.join(p, t)
	case n < 86 && p.member != nil:
		p.sink.stop()
		p.member.Leave()
		p.member, p.sink = nil, nil
	case n < 88 && p.member != nil:
		p.member.Refresh(wire.IPv4Unicast, m.rnd.IntN(2) == 0)
	case n < 90 && p.member != nil:
		p.sink.set(func() { p.sink.stuck = !p.sink.stuck })
	case n < 93 && p.member != nil:
		p.sink.set(func() { p.sink.refuse = m.rnd.IntN(5) })
	case n < 95:
		m.swap(p)
	case n == 95:
		m.bounce(p)
	}
}

func (m *model) index(p *testPeer) int {
	for i, o := range m.peers {
		if o == p {
			return i
		}
	}
	return -1
}

// swap changes the policy of one peer, or of all.
func (m *model) swap(p *testPeer) {
	var pol Export
	if n := m.rnd.IntN(len(m.policies) + 1); n < len(m.policies) {
		pol = m.policies[n]
	}
	changes := map[*Member]Export{}
	all := m.rnd.IntN(2) == 0
	for _, o := range m.peers {
		if o.member != nil && (all || o == p) {
			o.target.Export = pol
			changes[o.member] = pol
		}
	}
	m.m.SetExports(changes)
}

// bounce takes a peer down, its routes with it, and up again.
func (m *model) bounce(p *testPeer) {
	i := m.index(p)
	if p.member != nil {
		p.sink.stop()
		p.member.Leave()
	}
	m.fan.Flush()
	m.rib.DropPeer(p.num)
	delete(m.peers, i)
	m.m.RemoveSource(p.num)
	in, client := m.sh.peers(m.world, i)
	m.peer(i, in, client)
}
