package origin

import (
	"cmp"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// Journal keeps records over a restart. A record is opaque to it. Its methods
// are for any goroutine.
type Journal interface {
	// Append writes a record. When it returns nil the record is durable; when
	// it returns an error the record will not be there after a restart. An
	// urgent one, a withdrawal, may use room that is kept free for those.
	Append(rec []byte, urgent bool) error
	// Replay yields every record that is there, in order; it is called once,
	// before the first Append. rec is borrowed.
	Replay(yield func(rec []byte) error) error
	// Compact replaces what was appended before it was called by what write
	// puts. Append goes on meanwhile.
	Compact(write func(put func(rec []byte) error) error) error
	// Grown says that Compact would give much room back.
	Grown() bool
}

// Options of a Manager. RIB is required.
type Options struct {
	RIB      *shard.RIB
	Log      *slog.Logger // nil: slog.Default
	AS       uint32       // of the local sources, for those who look
	RouterID uint32
	Journal  Journal // nil: nothing is kept over a restart
	Guards   Guards
	// Own returns the addresses of ribd's sessions, both ends, and the next
	// hops that it gives. It is asked before routes are announced and guards
	// set, and must not do either. nil: none.
	Own func() []netip.Addr
	// Source is told of a local source before its first route is in the RIB,
	// and of the ids of the only peers that may be sent its routes, nil for all
	// of them. It must not call the Manager. May be nil.
	Source func(n rib.PeerNum, only []string)
	// Gone is told that a source is no more. May be nil.
	Gone func(n rib.PeerNum)
	// ID gives rules (routes of families of wire.FormRaw) their id; nil: they
	// have none.
	ID func(peerID string, f wire.Family, hasPathID bool, pathID uint32, nlri []byte) uint64

	tick   time.Duration // of house-keeping; 0: a second
	breath func()        // called while others may have the lock; nil: nothing is
}

// Errors of a Manager.
var (
	ErrClosed = errors.New("ribd is shutting down")
	// ErrNotKept is what a change is refused with that the journal can't keep.
	ErrNotKept = errors.New("the change can't be kept over a restart, so it is not made")
)

// Manager holds what is originated. Any goroutine may call its methods.
type Manager struct {
	o     Options
	log   *slog.Logger
	id    string // of all local sources
	attrs *rib.Attrs
	epoch time.Time // that due times count from

	requests requests
	answers  answers

	mu       sync.Mutex
	closed   bool
	guards   Guards
	fan      *shard.Fan
	tables   map[tableKey]*table
	lastTab  *table
	sources  map[string]*source
	last     *source
	prefixes map[prefixKey]*entry
	raws     map[rawKey]*entry
	rules    map[uint64]*entry // by id
	sets     map[rib.AttrID]*set
	counts   counts
	expiry   expiry
	ended    []*entry // by themselves, and the journal does not have it yet
	timer    *time.Timer
	armed    int64 // when timer fires; 0: it does not
	wall     int64 // the clocks as look read them: ns since 1970
	steady   int64 // ns since epoch
	order    order
	newest   int64 // the last time that a key came, ns since 1970
	stats    Stats

	scratch []byte
	batch   batch // of the group in hand, the leader's

	stop chan struct{}
	wg   sync.WaitGroup
}

type tableKey struct {
	f  wire.Family
	rd uint64
}

// PeerID is the id that all local sources have: RuleID and peer_id of their
// routes.
func PeerID() string { return rib.PeerID(rib.SourceLocal, "", netip.Addr{}, 0) }

// New makes a Manager and puts what the journal has into the RIB: when it
// returns nil, everything that was acknowledged and has not ended is there, but
// what the guards refuse.
func New(o Options) (*Manager, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Own == nil {
		o.Own = func() []netip.Addr { return nil }
	}
	m := &Manager{
		o: o, log: o.Log, id: PeerID(), attrs: o.RIB.Attrs(), epoch: time.Now(), guards: o.Guards,
		tables: map[tableKey]*table{}, sources: map[string]*source{},
		prefixes: map[prefixKey]*entry{}, raws: map[rawKey]*entry{}, rules: map[uint64]*entry{},
		sets: map[rib.AttrID]*set{}, counts: counts{only: map[string]int{}},
		stop: make(chan struct{}),
	}
	m.answers.init()
	m.stats.Refused = map[Guard]uint64{}
	m.fan = o.RIB.NewFan()
	m.fan.Express()
	m.timer = time.AfterFunc(time.Hour, m.expire)
	m.timer.Stop()
	if _, err := m.sourceOf(nil); err != nil {
		m.fan.Close()
		return nil, err
	}
	if o.Journal != nil {
		if err := m.replay(); err != nil {
			m.fan.Close()
			return nil, err
		}
	}
	m.wg.Go(m.keepHouse)
	return m, nil
}

// Close ends the Manager once the calls that run are over. What is in the RIB
// stays there. The RIB and the journal may be closed after it.
func (m *Manager) Close() {
	m.keepEnds()
	m.alone(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.closed {
			return
		}
		m.closed = true
		m.timer.Stop()
		m.fan.Close()
		close(m.stop)
	})
	m.wg.Wait()
}

// Mode says what becomes of the other routes of a call where one is refused.
type Mode uint8

// The modes.
const (
	AllOrNothing Mode = iota // none is announced
	EachAlone                // the others are
)

// Result is what became of a route that was announced.
type Result struct {
	Num     rib.PeerNum // its source
	Table   rib.TableID
	Key     trie.Key
	Len     uint8
	AttrsID rib.AttrID
	ID      uint64    // of rules, see Options.ID
	Expires time.Time // zero: never
	New     bool      // its key was not there before
	Changed bool      // it is new, or is not what it was; a longer life alone is no change
	Err     error     // with EachAlone: it is refused
}

// Announce originates routes, or changes those whose keys are there already.
// The same route again changes nothing but how long it lasts. When it returns,
// what is announced is durable (where there is a journal) and in the RIB.
//
// With AllOrNothing an error of a route is a *RouteError, and nothing has
// changed; with EachAlone it is in the route's Result. Errors of routes are
// *GuardError where a guard refuses, ErrFull where there is no room, or say what
// is malformed. ErrNotKept and ErrClosed are for all routes of the call.
func (m *Manager) Announce(routes []Route, mode Mode) ([]Result, error) {
	r := &request{kind: requestAnnounce, routes: routes, mode: mode}
	m.do(r)
	return r.results, r.err
}

// Check says what Announce would, but changes nothing.
func (m *Manager) Check(routes []Route, mode Mode) ([]Result, error) {
	r := &request{kind: requestCheck, routes: routes, mode: mode}
	m.do(r)
	return r.results, r.err
}

// Withdraw takes routes away. found says of each whether it was there. An error
// means that all of them are there still.
func (m *Manager) Withdraw(keys []Key) (found []bool, err error) {
	r := &request{kind: requestWithdraw, keys: keys}
	m.do(r)
	return r.found, r.err
}

// SetGuards gives the Manager other guards, or has it judge anew where what
// Options.Own returns has changed. What is here and they refuse is held; held
// routes that they allow are in the RIB again. It returns how many of each.
func (m *Manager) SetGuards(g Guards) (held, released int) {
	m.alone(func() { held, released = m.setGuards(g) })
	return held, released
}

// Guards returns the guards that hold.
func (m *Manager) Guards() Guards {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.guards
}

// Stats counts what a Manager has and did.
type Stats struct {
	Routes  map[wire.Family]int // by family, those held too
	Guarded int                 // blackhole routes and filtering rules, but those held
	Held    int                 // kept out of the RIB by the guards
	Sources int                 // distinct lists of peers, that of all among them
	Expired uint64              // ended by themselves
	Refused map[Guard]uint64    // announcements, by guard
	NotKept uint64              // changes that the journal could not keep
}

// Stats counts.
func (m *Manager) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Routes, s.Refused = map[wire.Family]int{}, map[Guard]uint64{}
	for _, g := range guardNames {
		s.Refused[g] = m.stats.Refused[g]
	}
	for k, t := range m.tables {
		if t.entries > 0 {
			s.Routes[k.f] += t.entries
		}
	}
	s.Guarded, s.Sources = m.counts.all, len(m.sources)
	return s
}

// keepHouse does once a second what nobody waits for.
func (m *Manager) keepHouse() {
	t := time.NewTicker(cmp.Or(m.o.tick, time.Second))
	defer t.Stop()
	generation := uint64(0)
	for {
		select {
		case <-m.stop:
			return
		case <-t.C:
		}
		m.alone(func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.closed {
				return
			}
			m.dropSources()
			// Sets of what the guards hold are in no block of the RIB.
			if gen := m.attrs.Generation(); gen != generation {
				generation = gen
				for id := range m.sets {
					m.attrs.Touch(id)
				}
			}
		})
		m.answers.forget(time.Now())
		m.keepEnds()
		m.compact()
	}
}
