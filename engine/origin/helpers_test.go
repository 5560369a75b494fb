package origin

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// memory is a journal in memory: what a disk has of it.
type memory struct {
	mu      sync.Mutex
	recs    [][]byte
	appends int
	fail    error         // of Append
	hold    chan struct{} // Append waits for it
	grown   bool
}

func (j *memory) Append(rec []byte, _ bool) error {
	j.mu.Lock()
	hold := j.hold
	j.mu.Unlock()
	if hold != nil {
		<-hold
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.appends++
	if j.fail != nil {
		return j.fail
	}
	j.recs = append(j.recs, slices.Clone(rec))
	return nil
}

func (j *memory) Replay(yield func([]byte) error) error {
	for _, r := range j.recs {
		b := slices.Clone(r)
		if err := yield(b); err != nil {
			return err
		}
		for i := range b {
			b[i] = 0xee // it is borrowed
		}
	}
	return nil
}

func (j *memory) Compact(write func(func([]byte) error) error) error {
	j.mu.Lock()
	n := len(j.recs)
	j.mu.Unlock()
	var snapshot [][]byte
	err := write(func(rec []byte) error {
		snapshot = append(snapshot, slices.Clone(rec))
		return nil
	})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.recs = append(snapshot, j.recs[n:]...)
	return nil
}

func (j *memory) Grown() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.grown
}

// set sets what Append fails with, and what Grown says.
func (j *memory) set(fail error, grown bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail, j.grown = fail, grown
}

// rig is a Manager with a RIB of its own.
type rig struct {
	*Manager
	t       testing.TB
	rib     *shard.RIB
	journal *memory
	sources map[rib.PeerNum][]string
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	r, err := tryRig(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryRig(t testing.TB, o Options) (*rig, error) {
	t.Helper()
	tables, err := o.RIB, error(nil)
	if tables == nil {
		tables, err = shard.Open(shard.Options{Shards: 2})
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, rib: tables, sources: map[rib.PeerNum][]string{}}
	o.RIB, o.Log = tables, silent
	if o.tick == 0 {
		o.tick = time.Hour // nothing is written behind a test's back
	}
	if o.Source == nil {
		o.Source = func(n rib.PeerNum, only []string) { r.sources[n] = only }
	}
	if j, ok := o.Journal.(*memory); ok {
		r.journal = j
	}
	r.Manager, err = New(o)
	if err != nil {
		tables.Close()
		return nil, err
	}
	t.Cleanup(r.end)
	return r, nil
}

func (r *rig) end() {
	r.Manager.Close()
	r.rib.Close()
}

// attrs builds canonical attributes: ORIGIN, an empty AS_PATH, a next hop and
// communities.
func attrs(hop string, communities ...uint32) []byte {
	b := wire.AppendAttr(nil, wire.FlagTransitive, wire.AttrOrigin, []byte{0})
	b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrASPath, nil)
	if hop != "" {
		b = wire.AppendAttr(b, wire.FlagTransitive, wire.AttrNextHop, netip.MustParseAddr(hop).AsSlice())
	}
	if len(communities) > 0 {
		var v []byte
		for _, c := range communities {
			v = append(v, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
		}
		b = wire.AppendAttr(b, wire.FlagOptional|wire.FlagTransitive, wire.AttrCommunities, v)
	}
	return b
}

// route is a unicast route.
func route(prefix string, more ...func(*Route)) Route {
	p := netip.MustParsePrefix(prefix)
	r := Route{Key: Key{Family: wire.IPv4Unicast, Prefix: p}, Attrs: attrs("192.0.2.1")}
	if p.Addr().Is6() {
		r.Family, r.Attrs = wire.IPv6Unicast, attrs("2001:db8::1")
	}
	for _, f := range more {
		f(&r)
	}
	return r
}

func ttl(d time.Duration) func(*Route) { return func(r *Route) { r.TTL = d } }
func pathID(n uint32) func(*Route)     { return func(r *Route) { r.PathID, r.HasPathID = n, true } }
func peers(ids ...string) func(*Route) { return func(r *Route) { r.Peers = ids } }
func with(communities ...uint32) func(*Route) {
	return func(r *Route) {
		hop := "192.0.2.1"
		if r.Prefix.Addr().Is6() {
			hop = "2001:db8::1"
		}
		r.Attrs = attrs(hop, communities...)
	}
}

const blackhole = communityBlackhole

// rule is a Flow Spec rule with its actions.
func rule(text string, more ...func(*Route)) Route {
	rl, actions, err := flowspec.ParseText(text)
	if err != nil {
		panic(err)
	}
	nlri, err := rl.AppendNLRI(nil)
	if err != nil {
		panic(err)
	}
	var e wire.AttrEditor
	e.Start(attrs(""))
	if err := actions.Apply(&e, flowspec.RedirectCommunity); err != nil {
		panic(err)
	}
	r := Route{Key: Key{Family: rl.Family, NLRI: string(nlri)}, Attrs: e.Append(nil)}
	for _, f := range more {
		f(&r)
	}
	return r
}

func (r *rig) announce(routes ...Route) []Result {
	r.t.Helper()
	res, err := r.Announce(routes, AllOrNothing)
	if err != nil {
		r.t.Fatal(err)
	}
	r.rib.Sync() // a shard that is at work just then has it a moment later
	return res
}

// inRIB returns the local paths of a key.
func (r *rig) inRIB(k Key) (paths []rib.Path) {
	r.t.Helper()
	t, ok := r.rib.FindTable(k.Family, k.RD)
	if !ok {
		return nil
	}
	var key trie.Key
	var n uint8
	if k.Family.Form() == wire.FormRaw {
		if key, n, ok = r.rib.FindRawKey([]byte(k.NLRI)); !ok {
			return nil
		}
	} else {
		key, n = trie.PrefixKey(k.Prefix)
	}
	rd := r.rib.NewReader()
	defer rd.Close()
	rd.Pin()
	defer rd.Unpin()
	m := rd.Get(t, key, n)
	if !m.OK() {
		return nil
	}
	for _, p := range rd.Paths(m, nil) {
		if p.HasPathID == k.HasPathID && p.PathID == k.PathID {
			paths = append(paths, p)
		}
	}
	return paths
}

// shows says whether a route is in the RIB, as the only one of its key.
func (r *rig) shows(w Route) bool {
	r.t.Helper()
	r.rib.Sync()
	paths := r.inRIB(w.Key)
	if len(paths) > 1 {
		r.t.Fatalf("%v: %d paths", w.Key, len(paths))
	}
	if len(paths) == 0 {
		return false
	}
	b, _ := r.rib.Attrs().Bytes(paths[0].Attrs)
	labels, _ := r.rib.Labels(paths[0].Labels)
	return string(b) == string(w.Attrs) && string(labels) == string(w.Labels) && slices.Equal(r.sources[paths[0].Peer], w.Peers)
}

func (r *rig) list(f Filter) []Route {
	routes, more := r.List(nil, f, nil, 0)
	if more {
		r.t.Fatal("there are more though there is no limit")
	}
	return routes
}

func guardOf(err error) Guard {
	var g *GuardError
	if errors.As(err, &g) {
		return g.Guard
	}
	return ""
}
