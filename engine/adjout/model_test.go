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
	"ribd/wire/flowspec"
)

// sentPath is a route that a member must hold, and the path that it is of.
type sentPath struct {
	attrSpec
	path rib.Path
}

// expect is what a member must hold, found out the slow and obvious way.
func (w *world) expect(p *testPeer) map[route][]sentPath {
	out := map[route][]sentPath{}
	v := w.rib.View()
	defer v.Close()
	for _, f := range p.target.Families {
		t, _ := w.rib.Table(f, 0)
		for walk := v.Walk(t, shard.WalkRange{}); walk.Next(); {
			k := route{family: f, nlri: w.nlri(f, walk.Key(), walk.Len())}
			paths := slices.DeleteFunc(walk.Paths(nil), func(q rib.Path) bool { return q.Filtered != rib.FilterNone })
			if sent := w.expectOf(p, f, walk.Key(), walk.Len(), paths); len(sent) > 0 {
				out[k] = sent
			}
		}
	}
	return out
}

// nlri is what a sink calls a prefix or a rule.
func (w *world) nlri(f wire.Family, k trie.Key, n uint8) string {
	if f.Form() == wire.FormRaw {
		raw, _ := w.rib.RawNLRI(k)
		return string(raw)
	}
	return k.Prefix(n, f.Is4()).String()
}

func (w *world) expectOf(p *testPeer, f wire.Family, k trie.Key, n uint8, paths []rib.Path) (out []sentPath) {
	limit := p.target.AddPath[f]
	switch {
	case limit > 0:
		for _, q := range paths {
			if a, ok := w.exported(p, f, k, n, q); ok && limit > 0 {
				limit--
				if w.reaches(q.Peer, p) {
					out = append(out, sentPath{a, q})
				}
			}
		}
	case p.target.RSClient:
		for _, q := range paths {
			if a, ok := w.exported(p, f, k, n, q); ok && w.reaches(q.Peer, p) {
				return []sentPath{{a, q}}
			}
		}
	case len(paths) > 0 && w.reaches(paths[0].Peer, p):
		if a, ok := w.exported(p, f, k, n, paths[0]); ok {
			return []sentPath{{a, paths[0]}}
		}
	}
	return out
}

// reaches says whether a peer may be sent routes of a source.
func (w *world) reaches(src rib.PeerNum, p *testPeer) bool {
	for _, l := range w.locals {
		if l.num == src && l.only != nil {
			_, ok := l.only[p.target.ID]
			return ok
		}
	}
	return src != p.num
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
	local := slices.ContainsFunc(w.locals, func(l *localSource) bool { return l.num == q.Peer })
	b, _ := w.rib.Attrs().Bytes(q.Attrs)
	a := parse(b)
	t := &p.target
	switch {
	case !local && (!known || info.Source != rib.SourceBGP):
		return a, false
	case t.Internal && info.Internal && !client && !t.RRClient:
		return a, false
	case !local && !t.RSClient && slices.Contains(a.Communities, communityNoAdvertise):
		return a, false
	case !local && !t.RSClient && !t.Internal && slices.Contains(a.Communities, communityNoExport):
		return a, false
	}
	pol, ok := t.Export.(*policy)
	if !ok {
		return a, false
	}
	rule := f.Form() == wire.FormRaw
	if pol.route != nil && !rule && !pol.route(k.Prefix(n, f.Is4())) {
		return a, false
	}
	med := a.MED
	if pol.set != nil {
		var ok bool
		if a, ok = pol.set(a); !ok {
			return a, false
		}
	}
	if local && rule && a.Other == redirectTo && t.Redirect == flowspec.RedirectNextHop {
		a.Hop, a.Other = "192.0.2.99", redirectHop
	}
	if rule && a.Other != redirectHop {
		a.Hop = ""
	}
	ours := t.NextHop4.String()
	if !f.Is4() {
		ours = t.NextHop6.String()
	}
	if local && (a.Hop == "0.0.0.0" || a.Hop == "::") {
		a.Hop = ours
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
	if a.MED == med && !local {
		a.MED = -1
	}
	a.Pref, a.Originator, a.Clusters = -1, 0, nil
	a.Path = append([]uint32{ourAS}, a.Path...)
	if !local && !rule {
		a.Hop = ours
	}
	return a, true
}

func (w *world) check(p *testPeer, when string) {
	w.t.Helper()
	sent := w.expect(p)
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	got, want := map[route][]string{}, map[route][]string{}
	for k, a := range p.sink.held {
		k.id = 0
		got[k] = append(got[k], fmt.Sprint(parse([]byte(a))))
		slices.Sort(got[k])
	}
	n := 0
	for k, routes := range sent {
		for _, r := range routes {
			want[k] = append(want[k], fmt.Sprint(r.attrSpec))
		}
		slices.Sort(want[k])
		n += len(routes)
		if !slices.Equal(got[k], want[k]) {
			w.t.Errorf("%s: peer %s has for %v\n got %v\nwant %v", when, p.info.ID, k, got[k], want[k])
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
	w.checkVerdicts(p, sent, when)
}

// key is what the RIB calls a route.
func (w *world) key(r route) (t rib.TableID, k trie.Key, n uint8) {
	t, _ = w.rib.Table(r.family, 0)
	if r.family.Form() == wire.FormRaw {
		k, n, _ = w.rib.RawKey([]byte(r.nlri))
		return t, k, n
	}
	k, n = trie.PrefixKey(netip.MustParsePrefix(r.nlri))
	return t, k, n
}

// checkPaths compares what is sent with what the member says is sent.
func (w *world) checkPaths(p *testPeer, when string) {
	w.t.Helper()
	for k, a := range p.sink.held {
		t, key, n := w.key(k)
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

// checkVerdicts compares what a peer holds with what Explain says of each path.
func (w *world) checkVerdicts(p *testPeer, sent map[route][]sentPath, when string) {
	w.t.Helper()
	v := w.rib.View()
	defer v.Close()
	for _, f := range p.target.Families {
		t, _ := w.rib.Table(f, 0)
		for walk := v.Walk(t, shard.WalkRange{}); walk.Next(); {
			k := route{family: f, nlri: w.nlri(f, walk.Key(), walk.Len())}
			for _, q := range walk.Paths(nil) {
				want := Refused
				for _, s := range sent[k] {
					if s.path.Peer == q.Peer && s.path.HasPathID == q.HasPathID && s.path.PathID == q.PathID {
						want = Sent
					}
				}
				w.verdicts = w.m.Explain(t, walk.Key(), walk.Len(), q.Peer, q.PathID, q.HasPathID, w.verdicts[:0])
				i := slices.IndexFunc(w.verdicts, func(v Verdict) bool { return v.Member == p.member })
				if i < 0 {
					w.t.Fatalf("%s: peer %s: no verdict", when, p.info.ID)
				}
				got := w.verdicts[i]
				if got.State != want || (got.Reason == "") != (want == Sent) {
					w.t.Errorf("%s: peer %s, %v of %d id %d: Explain says %v %q, want %v", when, p.info.ID, k, q.Peer, q.PathID, got.State, got.Reason, want)
				}
				if reason := "not one of its peers"; (got.Reason == reason) != (q.Peer != p.num && !w.reaches(q.Peer, p)) && q.Filtered == rib.FilterNone && w.best(p, f, &q, walk.Paths(nil)) {
					w.t.Errorf("%s: peer %s, %v of %d: Explain says %v %q", when, p.info.ID, k, q.Peer, got.State, got.Reason)
				}
				if held := (route{f, 0, k.nlri, got.PathID}); got.State == Sent && p.sink.held[held] == "" {
					w.t.Errorf("%s: peer %s: Explain says %v was sent", when, p.info.ID, held)
				}
			}
		}
	}
}

// best says whether nothing but policy, rules and audiences can be in the way of
// a path.
func (w *world) best(p *testPeer, f wire.Family, q *rib.Path, paths []rib.Path) bool {
	return paths[0] == *q && p.target.AddPath[f] != 1
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
		t.AddPath = map[wire.Family]int{wire.IPv4Unicast: AddPathAll, wire.IPv6Unicast: AddPathAll, wire.IPv4FlowSpec: AddPathAll}
	}},
	{"add-path-2", func(_ *world, i int) (bool, bool) { return i%3 == 0, false }, func(_ int, t *Target) {
		t.AddPath = map[wire.Family]int{wire.IPv4Unicast: 2, wire.IPv4FlowSpec: 3}
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
	rules    []string // NLRI
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
	for i := range 12 {
		m.rules = append(m.rules, string([]byte{5, 1, 24, 10, byte(i), 0}))
	}
	for range 4 {
		w.localSource(m.audience())
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
	if m.rnd.IntN(4) == 0 {
		m.actLocal(prefix, id)
		return
	}
	switch n := m.rnd.IntN(100); {
	case n < 60:
		a := m.attrs(p)
		if prefix[:4] == "2001" {
			a.Hop = "2001:db8::1"
		}
		m.announce(p, prefix, a, id)
	case n < 76:
		m.withdraw(p, prefix, id)
	case n < 79:
		a := m.attrs(p)
		a.Hop = ""
		m.announceRule(p.num, m.rules[m.rnd.IntN(len(m.rules))], a, id)
	case n < 80:
		m.withdrawRule(p.num, m.rules[m.rnd.IntN(len(m.rules))], id)
	case n < 82:
		m.fan.Flush()
	case n < 85 && p.member == nil:
		t := p.to()
		t.Export = m.policies[m.rnd.IntN(len(m.policies))]
		t.Families = append(t.Families, wire.IPv4FlowSpec)
		if m.index(p)%2 == 0 {
			t.Redirect = flowspec.RedirectNextHop
		}
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

// audience returns an audience at random, nil for everybody.
func (m *model) audience() map[string]struct{} {
	if m.rnd.IntN(3) == 0 {
		return nil
	}
	only := map[string]struct{}{}
	for range m.rnd.IntN(4) {
		only[fmt.Sprint(m.rnd.IntN(5))] = struct{}{}
	}
	return only
}

// actLocal does one thing at random to what is originated here.
func (m *model) actLocal(prefix string, id int) {
	l := m.locals[m.rnd.IntN(len(m.locals))]
	rule := m.rules[m.rnd.IntN(len(m.rules))]
	a := spec()
	for range m.rnd.IntN(2) {
		a.Path = append(a.Path, 200)
	}
	a.Pref, a.MED = int64(100+m.rnd.IntN(3)), int64(m.rnd.IntN(3)-1)
	switch n := m.rnd.IntN(100); {
	case n < 40:
		six := prefix[:4] == "2001"
		switch unset := m.rnd.IntN(2) == 0; {
		case six && unset:
			a.Hop = "::"
		case six:
			a.Hop = "2001:db8::7"
		case unset:
			a.Hop = "0.0.0.0"
		}
		m.announce(&testPeer{num: l.num}, prefix, a, id)
	case n < 65:
		m.withdraw(&testPeer{num: l.num}, prefix, id)
	case n < 80:
		a.Hop = ""
		if m.rnd.IntN(2) == 0 {
			a.Other = redirectTo
		}
		m.announceRule(l.num, rule, a, id)
	case n < 95:
		m.withdrawRule(l.num, rule, id)
	case n < 98:
		l.only = m.audience()
		m.m.SetSource(l.num, Source{Only: l.only})
	default:
		m.fan.Flush()
		m.rib.DropPeer(l.num)
		m.m.RemoveSource(l.num)
		m.locals = slices.DeleteFunc(m.locals, func(o *localSource) bool { return o == l })
		m.world.localSource(m.audience())
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
