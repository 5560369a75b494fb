package adjout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// attrSpec is a set of attributes as tests speak of it.
type attrSpec struct {
	Origin      byte
	Path        []uint32
	Hop         string
	MED, Pref   int64 // -1: none
	Communities []uint32
	Originator  uint32
	Clusters    []uint32
	OTC         int64
	Other       string // attributes that tests look at as they are
}

func spec(path ...uint32) attrSpec {
	return attrSpec{Path: path, Hop: "192.0.2.1", MED: -1, Pref: -1, OTC: -1}
}

func be(vs ...uint32) (b []byte) {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// canonical returns the octets of a set.
func (a attrSpec) canonical() []byte {
	b := wire.AppendAttr(nil, 0x40, wire.AttrOrigin, []byte{a.Origin})
	var path []byte
	if len(a.Path) > 0 {
		path = append([]byte{2, byte(len(a.Path))}, be(a.Path...)...)
	}
	b = wire.AppendAttr(b, 0x40, wire.AttrASPath, path)
	if a.Hop != "" {
		b = wire.AppendAttr(b, 0x40, wire.AttrNextHop, netip.MustParseAddr(a.Hop).AsSlice())
	}
	if a.MED >= 0 {
		b = wire.AppendAttr(b, 0x80, wire.AttrMED, be(uint32(a.MED)))
	}
	if a.Pref >= 0 {
		b = wire.AppendAttr(b, 0x40, wire.AttrLocalPref, be(uint32(a.Pref)))
	}
	if len(a.Communities) > 0 {
		b = wire.AppendAttr(b, 0xc0, wire.AttrCommunities, be(a.Communities...))
	}
	if a.Originator != 0 {
		b = wire.AppendAttr(b, 0x80, wire.AttrOriginatorID, be(a.Originator))
	}
	if len(a.Clusters) > 0 {
		b = wire.AppendAttr(b, 0x80, wire.AttrClusterList, be(a.Clusters...))
	}
	if a.OTC >= 0 {
		b = wire.AppendAttr(b, 0xc0, wire.AttrOTC, be(uint32(a.OTC)))
	}
	return append(b, a.Other...)
}

func words(v []byte) (ws []uint32) {
	for ; len(v) >= 4; v = v[4:] {
		ws = append(ws, binary.BigEndian.Uint32(v))
	}
	return ws
}

// parse takes canonical octets apart again.
func parse(canonical []byte) attrSpec {
	a := attrSpec{MED: -1, Pref: -1, OTC: -1}
	for w := wire.WalkAttributes(canonical); w.Next(); {
		v := w.Value()
		switch w.Type() {
		case wire.AttrOrigin:
			a.Origin = v[0]
		case wire.AttrASPath:
			for s := wire.WalkASPath(v); s.Next(); {
				for i := range s.Len() {
					a.Path = append(a.Path, s.AS(i))
				}
			}
		case wire.AttrNextHop:
			if ip, ok := netip.AddrFromSlice(v[:min(len(v), 16)]); ok {
				a.Hop = ip.String()
			}
		case wire.AttrMED:
			a.MED = int64(binary.BigEndian.Uint32(v))
		case wire.AttrLocalPref:
			a.Pref = int64(binary.BigEndian.Uint32(v))
		case wire.AttrCommunities:
			a.Communities = words(v)
		case wire.AttrOriginatorID:
			a.Originator = binary.BigEndian.Uint32(v)
		case wire.AttrClusterList:
			a.Clusters = words(v)
		case wire.AttrOTC:
			a.OTC = int64(binary.BigEndian.Uint32(v))
		default:
			a.Other += string(wire.AppendAttr(nil, w.Flags(), w.Type(), v))
		}
	}
	return a
}

// route is what a sink has, by what identifies it on the wire.
type route struct {
	family wire.Family
	rd     uint64
	nlri   string // prefix, or raw octets
	id     uint32
}

// sink is a peer that takes what it is sent, and knows what it holds by it.
type sink struct {
	t       testing.TB
	session wire.Session
	discard bool // count alone
	dropped func(route)

	mu       sync.Mutex
	cond     *sync.Cond
	stuck    bool // reads nothing
	over     bool // the session has ended
	refuse   int  // TrySend is false this often
	in       bool // a call is under way
	held     map[route]string
	labels   map[route]string
	ends     map[wire.Family]int
	marks    []string                       // BoRR and EoRR
	again    map[wire.Family]map[route]bool // in a refresh
	spurious int                            // withdrawals of what is not held
	updates  int
	routes   int
	octets   int
	firstAt  time.Time
}

func newSink(t testing.TB, o wire.SendOptions, internal bool) *sink {
	s := &sink{
		t: t, session: wire.Session{AS4: o.AS4, Extended: o.Extended, AddPath: o.AddPath, External: !internal},
		held: map[route]string{}, labels: map[route]string{}, ends: map[wire.Family]int{}, again: map[wire.Family]map[route]bool{},
	}
	s.cond = sync.NewCond(&s.mu)
	return s
}

var errOver = errors.New("the session is over")

func (s *sink) TrySend(msgs []byte, updates, withdraws int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.stuck {
		return false
	}
	if s.refuse > 0 {
		s.refuse--
		return false
	}
	s.take(msgs, updates, withdraws)
	return true
}

func (s *sink) Send(msgs []byte, updates, withdraws int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in {
		s.t.Error("two calls of Send at once")
	}
	s.in = true
	for s.stuck && !s.over {
		s.cond.Wait()
	}
	s.in = false
	if s.over {
		return errOver
	}
	s.take(msgs, updates, withdraws)
	return nil
}

func (s *sink) set(f func()) {
	s.mu.Lock()
	f()
	s.cond.Broadcast()
	s.mu.Unlock()
}

func (s *sink) stop() { s.set(func() { s.over = true }) }

func (s *sink) take(msgs []byte, updates, withdraws int) {
	if s.in {
		s.t.Error("a call while Send waits")
	}
	if s.firstAt.IsZero() {
		s.firstAt = time.Now()
	}
	s.octets += len(msgs)
	seen, gone := 0, 0
	for len(msgs) > 0 {
		typ, n, err := wire.ParseHeader(msgs, &s.session)
		if err != nil || n > len(msgs) {
			s.t.Errorf("not a message: %v", err)
			return
		}
		msg := msgs[:n]
		msgs = msgs[n:]
		if typ == wire.MsgRouteRefresh {
			r, _ := wire.ParseRouteRefresh(msg, &s.session)
			s.mark(r)
			continue
		}
		seen++
		gone += s.update(msg)
	}
	if seen != updates || gone != withdraws {
		s.t.Errorf("%d updates and %d withdrawals where the caller says %d and %d", seen, gone, updates, withdraws)
	}
	s.updates += seen
}

func (s *sink) mark(r wire.RouteRefresh) {
	s.marks = append(s.marks, fmt.Sprintf("%v/%d", r.Family, r.Subtype))
	if r.Subtype == 1 {
		s.again[r.Family] = map[route]bool{}
		return
	}
	for k := range s.held {
		if k.family == r.Family && !s.again[k.family][k] {
			s.t.Errorf("%v was not sent again", k)
		}
	}
	delete(s.again, r.Family)
}

func (s *sink) update(msg []byte) (gone int) {
	var u wire.Update
	if err := u.Parse(msg, &s.session); err != nil {
		s.t.Errorf("malformed: %v", err)
		return 0
	}
	if f, ok := u.EndOfRIB(); ok {
		s.ends[f]++
		return 0
	}
	for w := u.Withdrawn4(); w.Next(); {
		gone++
		s.drop(route{wire.IPv4Unicast, 0, w.Prefix().String(), w.PathID()})
	}
	if m, ok := u.Unreach(); ok {
		eachNLRI(&m, true, func(r route, _ []byte) {
			gone++
			s.drop(r)
		})
	}
	if u.HasNLRI4() {
		attrs := string(u.Attributes(nil))
		for w := u.NLRI4(); w.Next(); {
			s.hold(route{wire.IPv4Unicast, 0, w.Prefix().String(), w.PathID()}, attrs, nil)
		}
	}
	if m, ok := u.Reach(); ok {
		attrs := string(u.ReachAttributes(nil))
		eachNLRI(&m, false, func(r route, labels []byte) { s.hold(r, attrs, labels) })
	}
	return gone
}

func eachNLRI(m *wire.MP, withdrawn bool, f func(r route, labels []byte)) {
	switch m.Family.Form() {
	case wire.FormPrefix:
		if m.Family.Is4() {
			for w := m.NLRI4(); w.Next(); {
				f(route{m.Family, 0, w.Prefix().String(), w.PathID()}, nil)
			}
			return
		}
		for w := m.NLRI6(); w.Next(); {
			f(route{m.Family, 0, w.Prefix().String(), w.PathID()}, nil)
		}
	case wire.FormRaw:
		for w := m.Raw(); w.Next(); {
			f(route{m.Family, 0, string(w.Bytes()), w.PathID()}, nil)
		}
	default:
		for w := m.Labelled(); w.Next(); {
			f(route{m.Family, w.RD(), w.Prefix().String(), w.PathID()}, w.Labels())
		}
	}
}

func (s *sink) drop(r route) {
	s.routes++
	if s.dropped != nil {
		s.dropped(r)
	}
	if s.discard {
		return
	}
	if _, ok := s.held[r]; !ok {
		s.spurious++
	}
	delete(s.held, r)
	delete(s.labels, r)
}

func (s *sink) hold(r route, attrs string, labels []byte) {
	s.routes++
	if s.discard {
		return
	}
	s.held[r] = attrs
	s.labels[r] = string(labels)
	if s.again[r.family] != nil {
		s.again[r.family][r] = true
	}
}

// policy is an export policy of tests.
type policy struct {
	key   string
	set   func(a attrSpec) (out attrSpec, ok bool) // nil: accept
	route func(p netip.Prefix) bool                // nil: final by set
	rib   *shard.RIB
}

func (p *policy) Key() string { return p.key }

func (p *policy) Set(f wire.Family, from rib.PeerNum, id rib.AttrID) (rib.Verdict, bool) {
	if p.route != nil {
		return rib.Verdict{}, false
	}
	return p.judge(id), true
}

func (p *policy) judge(id rib.AttrID) rib.Verdict {
	if p.set == nil {
		return rib.Verdict{Attrs: id}
	}
	b, _ := p.rib.Attrs().Bytes(id)
	out, ok := p.set(parse(b))
	if !ok {
		return rib.Verdict{Attrs: id, Filtered: rib.FilterPolicy}
	}
	to, _ := p.rib.Attrs().Intern(out.canonical())
	return rib.Verdict{Attrs: to}
}

func (p *policy) Route(f wire.Family, rd uint64, k trie.Key, n uint8, q *rib.Path) rib.Verdict {
	if p.route != nil && f.Form() != wire.FormRaw && !p.route(k.Prefix(n, f.Is4())) {
		return rib.Verdict{Attrs: q.Attrs, Filtered: rib.FilterPolicy}
	}
	return p.judge(q.Attrs)
}

var acceptAll = &policy{key: "accept"}

// world is a RIB with peers, and members.
type world struct {
	t     testing.TB
	rib   *shard.RIB
	m     *Manager
	fan   *shard.Fan
	peers map[int]*testPeer

	locals   []*localSource
	verdicts []Verdict
}

// localSource is a source of what is originated here.
type localSource struct {
	num  rib.PeerNum
	only map[string]struct{}
}

type testPeer struct {
	num      rib.PeerNum
	info     rib.PeerInfo
	rrClient bool
	sink     *sink
	member   *Member
	target   Target
}

func newWorld(t testing.TB, so shard.Options, o Options) *world {
	r, err := shard.Open(so)
	if err != nil {
		t.Fatal(err)
	}
	o.RIB = r
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &world{t: t, rib: r, m: New(o), fan: r.NewFan(), peers: map[int]*testPeer{}}
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	for _, p := range w.peers {
		if p.sink != nil {
			p.sink.stop()
		}
	}
	w.m.Close()
	w.fan.Close()
	w.rib.Close()
}

const ourAS = 64512

// peer adds peer i; internal ones are of our AS.
func (w *world) peer(i int, internal, rrClient bool) *testPeer {
	as := uint32(65000 + i)
	if internal {
		as = ourAS
	}
	p := &testPeer{rrClient: rrClient}
	p.info = rib.PeerInfo{ID: fmt.Sprint(i), Source: rib.SourceBGP, Addr: netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}), AS: as, RouterID: uint32(0x0a000000 + i), Internal: internal}
	var err error
	if p.num, err = w.rib.AddPeer(p.info); err != nil {
		w.t.Fatal(err)
	}
	w.m.SetSource(p.num, Source{RRClient: rrClient})
	w.peers[i] = p
	return p
}

// localSource adds a source of what is originated here.
func (w *world) localSource(only map[string]struct{}) *localSource {
	l := &localSource{only: only}
	var err error
	if l.num, err = w.rib.AddPeer(rib.PeerInfo{ID: fmt.Sprint("local", len(w.locals)), Name: fmt.Sprint(only), Source: rib.SourceLocal, AS: ourAS}); err != nil {
		w.t.Fatal(err)
	}
	w.m.SetSource(l.num, Source{Only: only})
	w.locals = append(w.locals, l)
	return l
}

// redirectTo and redirectHop redirect to 192.0.2.99, in the two forms.
var (
	redirectTo  = string(wire.AppendAttr(nil, 0xc0, wire.AttrExtCommunities, []byte{0x01, 0x0c, 192, 0, 2, 99, 0, 0}))
	redirectHop = string(wire.AppendAttr(nil, 0xc0, wire.AttrExtCommunities, []byte{0x08, 0, 0, 0, 0, 0, 0, 0}))
)

func (w *world) announceRule(from rib.PeerNum, nlri string, a attrSpec, id int) {
	t, _ := w.rib.Table(wire.IPv4FlowSpec, 0)
	attrs, _ := w.rib.Attrs().Intern(a.canonical())
	k, n, _ := w.rib.RawKey([]byte(nlri))
	w.fan.Announce(t, k, n, &rib.Path{Peer: from, Attrs: attrs, PathID: uint32(max(id, 0)), HasPathID: id >= 0, Received: 1})
}

func (w *world) withdrawRule(from rib.PeerNum, nlri string, id int) {
	t, _ := w.rib.Table(wire.IPv4FlowSpec, 0)
	k, n, _ := w.rib.RawKey([]byte(nlri))
	w.fan.Withdraw(t, k, n, from, uint32(max(id, 0)), id >= 0)
}

// target is a Target for a peer.
func (p *testPeer) to() Target {
	return Target{
		Num: p.num, ID: p.info.ID, Name: p.info.ID, Internal: p.info.Internal, RRClient: p.rrClient, AS: ourAS, RouterID: 0x01010101,
		NextHop4: netip.MustParseAddr("192.0.2.254"), NextHop6: netip.MustParseAddr("2001:db8::fe"),
		Families: []wire.Family{wire.IPv4Unicast, wire.IPv6Unicast}, Send: wire.SendOptions{AS4: true}, Export: acceptAll,
	}
}

func (w *world) join(p *testPeer, t Target) {
	p.target = t
	so := t.Send
	for f, n := range t.AddPath {
		if n > 0 {
			so.AddPath = so.AddPath.With(f)
		}
	}
	p.sink = newSink(w.t, so, t.Internal)
	p.member = w.m.Join(t, p.sink)
}

func (w *world) announce(p *testPeer, prefix string, a attrSpec, id int) {
	w.announceIn(p, wire.Family(0), prefix, a, id)
}

func (w *world) announceIn(p *testPeer, f wire.Family, prefix string, a attrSpec, id int) {
	pre := netip.MustParsePrefix(prefix)
	if f == 0 {
		f = wire.IPv4Unicast
		if pre.Addr().Is6() {
			f = wire.IPv6Unicast
		}
	}
	t, _ := w.rib.Table(f, 0)
	attrs, ok := w.rib.Attrs().Intern(a.canonical())
	if !ok {
		w.t.Fatal("no room")
	}
	k, n := trie.PrefixKey(pre)
	w.fan.Announce(t, k, n, &rib.Path{Peer: p.num, Attrs: attrs, PathID: uint32(max(id, 0)), HasPathID: id >= 0, Received: 1})
}

func (w *world) withdraw(p *testPeer, prefix string, id int) {
	pre := netip.MustParsePrefix(prefix)
	f := wire.IPv4Unicast
	if pre.Addr().Is6() {
		f = wire.IPv6Unicast
	}
	t, _ := w.rib.Table(f, 0)
	k, n := trie.PrefixKey(pre)
	w.fan.Withdraw(t, k, n, p.num, uint32(max(id, 0)), id >= 0)
}

// settle waits until all that is known is with all members.
func (w *world) settle() {
	w.t.Helper()
	w.fan.Flush()
	w.rib.Settle()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i, p := range w.peers {
		if p.member == nil {
			continue
		}
		if err := p.member.Wait(ctx); err != nil {
			w.t.Fatalf("peer %d is not in step: %v: %s", i, err, p.member.describe())
		}
	}
}

// has compares what a peer's sink holds of a prefix.
func (p *testPeer) has(t testing.TB, prefix string, want *attrSpec) {
	t.Helper()
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	f := wire.IPv4Unicast
	if netip.MustParsePrefix(prefix).Addr().Is6() {
		f = wire.IPv6Unicast
	}
	got, ok := p.sink.held[route{f, 0, prefix, 0}]
	switch {
	case want == nil && ok:
		t.Errorf("peer %s has %s: %+v, want nothing", p.info.ID, prefix, parse([]byte(got)))
	case want != nil && !ok:
		t.Errorf("peer %s has no %s, want %+v", p.info.ID, prefix, *want)
	case want != nil:
		if a := parse([]byte(got)); fmt.Sprint(a) != fmt.Sprint(*want) {
			t.Errorf("peer %s has %s: got %+v, want %+v", p.info.ID, prefix, a, *want)
		}
	}
}

func with(a attrSpec, f func(a *attrSpec)) attrSpec {
	a.Path, a.Communities, a.Clusters = slices.Clone(a.Path), slices.Clone(a.Communities), slices.Clone(a.Clusters)
	f(&a)
	return a
}

// describe says where a member stands.
func (mb *Member) describe() string {
	g := mb.lock()
	if g == nil {
		return "gone"
	}
	defer g.mu.Unlock()
	return fmt.Sprintf("step %t sending %t running %t leaving %t synced %t pos %d joined %d pending %d job %t closing %d waiting %v; group batch %d hold %t filling %t base %d telling %t members %d step %d commands %d later %d, wants %t",
		mb.inStep, mb.sending, mb.running, mb.leaving, mb.synced, mb.pos, mb.joined, len(mb.pending), mb.job != nil, len(mb.closing), mb.waiting,
		g.batch, g.hold, g.filling, g.ring.base, g.telling, len(g.members), len(g.step), len(g.commands), len(g.later), g.key == mb.wantKey)
}
