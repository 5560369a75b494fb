package shard

import (
	"sync"
	"sync/atomic"
	"time"

	"ribd/internal/slab"
	"ribd/shard/rib"
	"ribd/trie"
)

const (
	// publishAt is the changes after which a batch is published although more
	// is waiting: a few milliseconds' work.
	publishAt = 8192

	// sliceAt is the batches after which background work gets a slice although
	// more is waiting.
	sliceAt = 16

	// idleWait is how long a shard that still has memory to reclaim, or work
	// that failed for want of it, waits for something to do.
	idleWait = 5 * time.Millisecond
)

// shard is one writer: a goroutine, its queue, and its part of every table.
// Everything but the first fields belongs to who has mu: the goroutine, unless
// it waits for something to do, or a Fan that flushes a small batch meanwhile.
type shard struct {
	r        *RIB
	id       int
	queue    chan *batch
	ctl      chan func()
	express  chan *batch  // small batches, which go before those in queue
	queued   atomic.Int32 // batches that are sent and not done
	requests atomic.Int32 // those among them that are no operations
	mu       sync.Mutex
	guest    bool // a Fan has mu

	_         [64]byte
	published atomic.Uint32 // the state that readers load
	_         [60]byte

	holds slab.Holds // versions of long views
	eraMu sync.Mutex // between a release and the renaming of what is held
	stats shardStats

	trees   *slab.Heap
	blocks  *slab.Heap
	nodes   *slab.Heap
	handles *trie.HandleHeap
	image4  *trie.ImageWriter
	image6  *trie.ImageWriter
	editor  *rib.Editor

	tables  []*table // by id, nil where this shard has none
	touched []*table // since the last publish
	roots   *trie.Tree
	finger  trie.Finger // of the tables' trees
	down    rib.PeerSet
	downRef uint32 // published form of down, 0: none
	downLen uint32
	downOld bool // downRef is not what down is

	version uint32 // of the batch in hand; the published one is one less
	era     uint32 // how often versions have started again, written under eraMu
	held    bool   // a long view is held, as of the begin of the batch
	pending int    // changes since the last publish
	bulk    bool   // the batch in hand is large: see bulkAt
	active  bool   // the batch has begun

	open openPrefix
	rec  record // of the batch in hand, the last one

	unrouted *famDelta // of the last withdrawal
	local    []localPeer
	counts   []*famDelta // changed since the last publish
	feed     feedWriter
	jobs     []*job
	keys     []jobKey // scratch of a slice of a job
	since    int      // batches since the last slice
	paths    [2]rib.Path
	asked    rib.Path
	idle     time.Time
	behind   time.Time // when the first of what the images lack was deferred
	quiet    bool      // no large batch has come for a while: they may catch up
	stuck    bool      // they can't, for want of memory
	flooded  bool      // a large batch has come since compact last looked
	retry    bool      // memory is waiting to be reclaimed
}

// table is a shard's part of a table.
type table struct {
	info  *tableInfo
	tree  *trie.Tree
	image *trie.ImageWriter // nil: none
	begun uint32            // version for which tree has begun
	dirty bool

	prefixes, paths int64 // changes since the last publish
}

func newShard(r *RIB, id int) *shard {
	s := &shard{r: r, id: id, queue: make(chan *batch, r.o.QueueLen), express: make(chan *batch, expressLen), ctl: make(chan func())}
	s.trees = slab.NewHeap(r.trees, r.domain, &s.holds)
	s.blocks = slab.NewHeap(r.blocks, r.domain, &s.holds)
	s.nodes = slab.NewHeap(r.nodes, r.domain, nil)
	s.handles = trie.NewHandleHeap(r.hs, r.domain)
	s.image4 = r.image4.Writer(s.nodes)
	s.image6 = r.image6.Writer(s.nodes)
	s.editor = rib.NewEditor(s.blocks, r.attrs, &r.peers.known)
	s.roots = trie.NewTree(s.trees, 32)
	s.version = max(r.o.firstVersion, 1)
	s.feed.init(s, r.o.FeedSize)
	s.begin()
	s.publish()
	return s
}

// run is the shard's goroutine.
func (s *shard) run() {
	timer := time.NewTimer(idleWait)
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		select {
		case f := <-s.ctl:
			f()
			continue
		default:
		}
		s.doExpress()
		select {
		case b := <-s.queue:
			s.doQueued(b)
			continue
		default:
		}
		if s.pending > 0 {
			s.publish()
			continue
		}
		if s.version > s.r.o.rebaseVersions {
			s.rebase() // a guest has left it to us
		}
		if len(s.jobs) > 0 {
			s.slice()
			continue
		}
		if s.quiet && !s.behind.IsZero() && !s.catchUp(catchUpSlice) {
			continue
		}
		wait := s.r.o.compactEvery
		if s.reclaim(); s.retry {
			wait = idleWait
		}
		if !s.behind.IsZero() && !s.stuck {
			wait = catchUpWait
		}
		timer.Reset(wait)
		s.mu.Unlock()
		select {
		case f := <-s.ctl:
			s.mu.Lock()
			f()
		case b := <-s.queue:
			s.mu.Lock()
			s.doQueued(b)
		case b := <-s.express:
			s.mu.Lock()
			s.doSmall(b)
		case <-timer.C:
			s.mu.Lock()
			s.quiet = true
			s.compact()
		case <-s.r.stop:
			s.mu.Lock()
			return
		}
	}
}

// doQueued does a batch from the queue, and first the small ones: those that were
// sent before it are there.
func (s *shard) doQueued(b *batch) {
	s.doExpress()
	sent, then := b.sent, b.then
	s.do(b)
	s.queued.Add(-1)
	if sent != nil {
		sent.Add(-1)
	}
	if then != nil {
		s.requests.Add(-1)
	}
}

// doExpress does the small batches that wait.
func (s *shard) doExpress() {
	for {
		select {
		case b := <-s.express:
			s.doSmall(b)
		default:
			return
		}
	}
}

// doSmall does a small batch and publishes it, with what large ones have left.
func (s *shard) doSmall(b *batch) {
	s.do(b)
	if s.pending > 0 {
		s.publish()
	}
	s.queued.Add(-1)
}

// expressLen is the small batches that may wait; more go by the queue.
const expressLen = 64

// guestOps is the operations of a small batch, which a Fan does by itself where the
// shard has nothing else to do: waking its goroutine would take longer.
const guestOps = 128

// stopped is the panic that ends a guest who waits for memory in a RIB that is
// closed.
type stopped struct{}

// visit does a small batch at once, on the goroutine of its Fan, and publishes
// it. false: the batch has to go by the queue, since others are before it or the
// shard's goroutine is at work.
func (s *shard) visit(b *batch) bool {
	if b.ops > guestOps || s.queued.Load() != 0 || !s.mu.TryLock() {
		return false
	}
	// Once more: a batch may have been sent and not be taken yet.
	if s.queued.Load() != 0 || len(s.jobs) > 0 {
		s.mu.Unlock()
		return false
	}
	s.guest = true
	defer s.leave()
	s.do(b)
	return true
}

func (s *shard) leave() {
	s.guest = false
	s.mu.Unlock()
	if e := recover(); e != nil && e != (stopped{}) {
		panic(e)
	}
}

func (s *shard) do(b *batch) {
	if b.then != nil {
		s.finish()
		b.then(s)
		return
	}
	s.begin()
	if s.bulk = b.ops >= bulkAt; s.bulk {
		s.quiet, s.flooded = false, true
	}
	s.apply(b.words)
	s.finish()
	s.bulk = false
	s.pending += b.ops
	s.stats.applied.Add(uint64(b.ops))
	s.r.recycle(b)
	if s.pending >= publishAt || len(s.queue) == 0 {
		s.publish()
	}
	if s.since++; s.since >= sliceAt {
		s.since = 0
		if len(s.jobs) > 0 {
			s.slice()
		}
		if !s.behind.IsZero() && time.Since(s.behind) > catchUpLate {
			s.catchUp(catchUpSlice)
		}
	}
}

// begin starts a batch, if none has begun.
func (s *shard) begin() {
	if s.active {
		return
	}
	s.active = true
	s.held = s.holds.Any()
	s.roots.Begin(s.version)
	s.feed.begin()
}

// table returns the shard's part of a table, ready for changes.
func (s *shard) table(t rib.TableID) *table {
	if int(t) >= len(s.tables) || s.tables[t] == nil {
		s.addTable(t)
	}
	tb := s.tables[t]
	if tb.begun != s.version {
		tb.tree.Begin(s.version)
		tb.begun = s.version
	}
	return tb
}

func (s *shard) addTable(t rib.TableID) {
	for int(t) >= len(s.tables) {
		s.tables = append(s.tables, nil)
	}
	info := s.r.dir.get(t)
	tb := &table{info: info, tree: trie.NewTree(s.trees, info.width)}
	tb.tree.UseFinger(&s.finger)
	switch t {
	case rib.TableIPv4Unicast:
		tb.image = s.image4
	case rib.TableIPv6Unicast:
		tb.image = s.image6
	}
	s.tables[t] = tb
}

func (s *shard) touch(tb *table) {
	if !tb.dirty {
		tb.dirty = true
		s.touched = append(s.touched, tb)
	}
}
