package flow

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/trie"
	"ribd/wire"
	"ribd/wire/flowspec"
)

// Options of Tables.
type Options struct {
	RIB *shard.RIB
	Log *slog.Logger // nil: nothing is logged

	// Filter returns the import filter of a peer as of now, which Tables.Filter
	// has made where its rules are validated; nil where there is none. Any
	// goroutine calls it, and it must not wait.
	Filter func(rib.PeerNum) rib.Filter
}

// Tables is the Flow Spec rules of a RIB in order. Its methods may be called by any
// goroutine.
type Tables struct {
	o       Options
	rib     *shard.RIB
	attrs   *rib.Attrs
	readers readers
	wide    wideTargets

	wideFrom    int // routes under a destination that are walked before it counts as wide
	changesMost int // changes times rules of a destination that are held against each other
	counts      counters

	started atomic.Bool // a Flow Spec table is registered
	start   chan struct{}
	once    sync.Once
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}

	list  atomic.Pointer[[]*table] // by family and route distinguisher
	place placeTable

	// Of the goroutine that follows.
	rd       *shard.Reader
	families []*family
	roles    []role // by table of the RIB
	changed  []changedKey
	unicast  []changedKey
	again    []again
	touched  []touch
	found    [][]byte
	memo     memo // of rd
	paths    []rib.Path
	tables   map[tableKey]*table
	epoch    uint32   // of tables: it changes with it
	listed   uint32   // epoch of list
	dirty    []*table // whose rules have changed since they were published
	terms    terminals
}

type tableKey struct {
	family wire.Family
	rd     uint64
}

// table is the rules of a family and route distinguisher.
type table struct {
	tableKey
	rules   *rules.Table
	current atomic.Pointer[rules.Rules]
	dirty   bool // rules has changed since it was published
}

// role is what a table of the RIB is to rules.
type role struct {
	known  bool
	family *family  // it holds rules
	of     tableKey // it is what these are validated against

	table *table // that of, as of an epoch
	epoch uint32
}

// changedKey is a prefix or rule of which a change was read.
type changedKey struct {
	t rib.TableID
	k trie.Key
	n uint8
}

// How much is read of the feed at once, and how long a flood may keep what was
// read from being published.
const (
	feedRead  = 4096
	floodTime = 5 * time.Millisecond
)

// New begins to follow the Flow Spec rules of a RIB, as soon as there are any.
// Close it before the RIB.
func New(o Options) *Tables {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Tables{o: o, rib: o.RIB, attrs: o.RIB.Attrs(), start: make(chan struct{}), done: make(chan struct{}), tables: map[tableKey]*table{}, epoch: 1, wideFrom: wideFrom, changesMost: changesMost}
	t.readers.rib = o.RIB
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.list.Store(new([]*table))
	t.place.init()
	o.RIB.OnTable(func(_ rib.TableID, f wire.Family) {
		if flowspec.Is(f) {
			t.started.Store(true)
			t.once.Do(func() { close(t.start) })
		}
	})
	go t.run()
	return t
}

// Close ends the following. Snapshots stay good; filters that Filter made find no
// unicast route any more.
func (t *Tables) Close() {
	t.cancel()
	<-t.done
	t.readers.close()
}

func (t *Tables) run() {
	defer close(t.done)
	select {
	case <-t.start:
	case <-t.ctx.Done():
		return
	}
	t.rd = t.rib.NewReader()
	defer t.rd.Close()
	f := t.rib.Follow("")
	defer f.Close()
	buf := make([]shard.Change, feedRead)
	var since time.Time // when the first of what is not settled was read
	for t.ctx.Err() == nil {
		n, ok := f.Next(buf)
		if !ok {
			t.rebuild(f)
			continue
		}
		for i := range buf[:n] {
			t.read(&buf[i])
		}
		if n == len(buf) {
			if now := time.Now(); since.IsZero() {
				since = now
				continue
			} else if now.Sub(since) < floodTime {
				continue
			}
		}
		since = time.Time{}
		t.settle()
		t.place.reached(f)
		if n < len(buf) && f.Wait(t.ctx) != nil {
			return
		}
	}
}

// read notes what a change is about.
func (t *Tables) read(c *shard.Change) {
	if c.Kind == shard.ChangePeerDown {
		return // withdrawals tell what it touches
	}
	r := t.role(c.Table)
	switch {
	case r.family != nil:
		t.changed = append(t.changed, changedKey{c.Table, c.Key, c.Len})
	case r.of.family != 0 && !c.Same && t.validated(r) != nil:
		// Where the best path is the same, rules are as they were. A table that is
		// new is not there yet: its rules are validated when this is settled.
		t.unicast = append(t.unicast, changedKey{c.Table, c.Key, c.Len})
	}
}

// validated returns the rules that a table of routes is for, nil without any.
func (t *Tables) validated(r *role) *table {
	if r.epoch != t.epoch {
		r.table, r.epoch = t.tables[r.of], t.epoch
	}
	return r.table
}

// role returns what a table of the RIB is to rules.
func (t *Tables) role(id rib.TableID) *role {
	for int(id) >= len(t.roles) {
		t.roles = append(t.roles, role{})
	}
	r := &t.roles[id]
	if r.known {
		return r
	}
	f, rd, _ := t.rib.TableInfo(id)
	r.known = true
	if flowspec.Is(f) {
		r.family = t.family(f, id)
		return r
	}
	for _, g := range flowFamilies {
		if flowspec.Unicast(g) == f {
			r.of = tableKey{g, rd}
		}
	}
	if t.tables[r.of] != nil { // it is younger than its rules
		t.wide.watch(id, true)
	}
	return r
}

var flowFamilies = [...]wire.Family{wire.IPv4FlowSpec, wire.IPv4FlowSpecVPN, wire.IPv6FlowSpec, wire.IPv6FlowSpecVPN}
