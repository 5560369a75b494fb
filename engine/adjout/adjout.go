package adjout

import (
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
)

// Options of a Manager.
type Options struct {
	RIB  *shard.RIB
	Log  *slog.Logger // nil: slog.Default
	Hold bool         // nothing is sent before Release (RFC 4724 4.1: a speaker that restarted defers)

	// Bounds, which tests make small. 0: the defaults.
	ringBytes int           // of encoded changes that a group keeps for members that lag
	window    int           // entries that a run sorts at a time
	maxDead   int           // withdrawn entries that a group keeps for members that lag
	slice     int           // prefixes that a scan judges at a time
	ebb       time.Duration // how long the feed must not have gone past before a scan
	tick      time.Duration // how often groups look after the sets that they hold
}

const (
	defaultRing    = 4 << 20
	defaultWindow  = 256 << 10
	defaultMaxDead = 1 << 20
	defaultSlice   = 512
	defaultEbb     = 100 * time.Millisecond
	defaultTick    = time.Second
)

// Manager runs the update groups. Any goroutine may call its methods.
type Manager struct {
	rib *shard.RIB
	log *slog.Logger
	o   Options

	closed atomic.Bool
	held   atomic.Bool
	behind atomic.Int32 // groups
	use    sync.RWMutex // held for reading by who uses the RIB and is not waited for
	stop   chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	byKey   map[string]*group   // groups that take new members
	groups  map[*group]struct{} // all
	touched touchedSets
	asking  asking

	sources        sync.Map // rib.PeerNum: Source
	sourcesChanged atomic.Uint64
	only           atomic.Pointer[audiences]
}

// Behind says whether changes come faster than they are told on: who brings
// them in bulk may be made to wait, so that those of others do not.
func (m *Manager) Behind() bool { return m.behind.Load() > 0 }

// New starts a Manager. Close ends it.
func New(o Options) *Manager {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.ringBytes == 0 {
		o.ringBytes = defaultRing
	}
	if o.window == 0 {
		o.window = defaultWindow
	}
	if o.maxDead == 0 {
		o.maxDead = defaultMaxDead
	}
	if o.slice == 0 {
		o.slice = defaultSlice
	}
	if o.ebb == 0 {
		o.ebb = defaultEbb
	}
	if o.tick == 0 {
		o.tick = defaultTick
	}
	m := &Manager{rib: o.RIB, log: o.Log, o: o, stop: make(chan struct{}), byKey: map[string]*group{}, groups: map[*group]struct{}{}}
	m.held.Store(o.Hold)
	m.only.Store(&audiences{})
	m.wg.Go(m.poke)
	return m
}

// Close ends all groups. Members are sent nothing more; a Send that is under way
// is not waited for. The RIB may be closed after it.
func (m *Manager) Close() {
	m.mu.Lock()
	if m.closed.Swap(true) {
		m.mu.Unlock()
		return
	}
	close(m.stop)
	for g := range m.groups {
		g.end()
	}
	m.mu.Unlock()
	m.wg.Wait()
	m.use.Lock() // and nobody is at work for a member
	defer m.use.Unlock()
	if m.asking.rd != nil {
		m.asking.rd.Close()
		m.asking.rd = nil
	}
}

// poke wakes the groups now and then, so that they keep their sets alive.
func (m *Manager) poke() {
	t := time.NewTicker(m.o.tick)
	defer t.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-t.C:
		}
		for _, g := range m.list() {
			g.poke()
		}
	}
}

func (m *Manager) list() []*group {
	m.mu.Lock()
	defer m.mu.Unlock()
	gs := make([]*group, 0, len(m.groups))
	for g := range m.groups {
		gs = append(gs, g)
	}
	return gs
}

// Release lets members be sent what they are to have, where Options.Hold held
// it back.
func (m *Manager) Release() {
	m.held.Store(false)
	for _, g := range m.list() {
		g.kickLagging()
	}
}

// Target returns what the member was joined with, and the export policy that it
// has now.
func (mb *Member) Target() Target {
	t := mb.t
	if g := mb.lock(); g != nil {
		t.Export = mb.want
		g.mu.Unlock()
	}
	return t
}

// SetSource says that the routes of a peer may be sent on: to be called before
// the first of them is in the RIB. A change judges all routes again.
func (m *Manager) SetSource(n rib.PeerNum, s Source) {
	m.mu.Lock()
	was, had := m.sources.Load(n)
	if had && was.(Source).equal(&s) {
		m.mu.Unlock()
		return
	}
	s.Only = maps.Clone(s.Only)
	m.sources.Store(n, s)
	m.restrict(n, s.Only, had)
	m.mu.Unlock()
	if !had {
		return
	}
	m.sourcesChanged.Add(1 << 32)
	for _, g := range m.list() {
		g.command(g.rejudge)
	}
}

// RemoveSource forgets a peer, once its number is dropped.
func (m *Manager) RemoveSource(n rib.PeerNum) {
	m.mu.Lock()
	m.sources.Delete(n)
	m.unrestrict(n)
	m.mu.Unlock()
	m.sourcesChanged.Add(1 << 32) // what groups remember of its sets goes, too
}

// source returns what the rules ask of a peer.
func (m *Manager) source(n rib.PeerNum) from {
	info, ok := m.rib.Peer(n)
	if !ok || !info.Source.Live() {
		return from{}
	}
	s, ok := m.sources.Load(n)
	if !ok {
		return from{}
	}
	return from{live: true, local: info.Source == rib.SourceLocal, internal: info.Internal, rrClient: s.(Source).RRClient, routerID: info.RouterID}
}

// Join makes a peer a member of the update group that its Target belongs to.
// It is sent everything, family by family, each with End-of-RIB, and then what
// changes.
func (m *Manager) Join(t Target, s Sender) *Member {
	t.normalise()
	mb := &Member{m: m, t: t, send: s}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return mb
	}
	key := t.key()
	g := m.byKey[key]
	if g == nil {
		g = m.newGroup(key, t)
	}
	mb.want, mb.wantKey = t.Export, key
	g.join(mb)
	return mb
}

// newGroup starts a group; m.mu is held.
func (m *Manager) newGroup(key string, t Target) *group {
	g := makeGroup(m, key, t)
	m.byKey[key] = g
	m.groups[g] = struct{}{}
	m.wg.Go(g.run)
	return g
}
