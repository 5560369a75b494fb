package shard

import (
	"sync"
	"time"

	"ribd/internal/slab"
	"ribd/shard/rib"
	"ribd/trie"
)

// RIB is the tables of all families. Its methods may be called by any
// goroutine.
type RIB struct {
	o      Options
	homes  homes
	shards []*shard // the homes, then the roof
	dir    *directory
	attrs  *rib.Attrs
	raw    *rib.Strings
	labels *rib.Strings

	domain  *slab.Domain
	trees   *slab.Arena
	blocks  *slab.Arena
	nodes   *slab.Arena
	handles *slab.Arena
	hs      *trie.Handles
	image4  *trie.Image4
	image6  *trie.Image6
	read    rib.Blocks

	pool  chan *batch
	fans  fanSet
	peers peerTable
	views viewTable
	feed  followers

	waiters waiters

	opened time.Time
	stop   chan struct{}
	done   sync.WaitGroup
	closed sync.Once
}

// Open makes an empty RIB and starts its goroutines: one a shard, one for the
// roof, one that keeps house. Close ends them.
func Open(o Options) (*RIB, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	r := &RIB{
		o:       o,
		dir:     newDirectory(o.MaxTables),
		attrs:   rib.NewAttrs(rib.AttrsOptions{MaxSets: o.MaxAttrSets, MaxWords: o.MaxAttrWords}),
		raw:     rib.NewStrings("nlri", 0),
		labels:  rib.NewStrings("labels", 0),
		domain:  slab.NewDomain(),
		trees:   slab.NewArena("tries", o.MaxTrieWords),
		blocks:  slab.NewArena("blocks", o.MaxBlockWords),
		nodes:   slab.NewArena("image", o.MaxImageWords),
		handles: slab.NewArena("handles", o.MaxHandles),
		pool:    make(chan *batch, (o.Shards+1)*(o.QueueLen+2)),
		opened:  time.Now(),
		stop:    make(chan struct{}),
	}
	r.homes.init(o.Shards)
	r.hs = trie.NewHandles(r.handles)
	r.image4 = trie.NewImage4(r.nodes, r.hs)
	r.image6 = trie.NewImage6(r.nodes, r.hs)
	r.read = rib.NewBlocks(r.blocks)
	r.peers.init(o.MaxPeers)
	r.feed.init()
	for i := range o.Shards + 1 {
		r.shards = append(r.shards, newShard(r, i))
	}
	for _, s := range r.shards {
		r.done.Go(s.run)
	}
	r.done.Go(r.keepHouse)
	return r, nil
}

// Close ends the goroutines and gives all memory back. Nobody may use the RIB,
// its readers or views during it or after it.
func (r *RIB) Close() {
	r.closed.Do(func() {
		close(r.stop)
		r.done.Wait()
		for _, s := range r.shards {
			s.mu.Lock() // nobody visits from now on
		}
		r.views.closeAll(r)
		r.feed.closeAll()
		r.waiters.closeAll()
		r.attrs.Close()
		r.raw.Close()
		r.labels.Close()
		for _, a := range []*slab.Arena{r.trees, r.blocks, r.nodes, r.handles} {
			a.Close()
		}
	})
}

// Attrs returns the interned attributes.
func (r *RIB) Attrs() *rib.Attrs { return r.attrs }

// Sync returns when everything that was flushed before is applied and
// published, removals that EndRefresh asked for as well.
func (r *RIB) Sync() { r.all((*shard).settleRefreshes) }

// Settle is Sync, and waits for the background work too: sweeps of peers that
// are down.
func (r *RIB) Settle() {
	r.all((*shard).finishJobs)
	r.collectPeers()
}

// all queues f for each shard, behind what is queued now, and returns when it is
// done and published.
func (r *RIB) all(f func(*shard)) {
	done := make(chan struct{}, len(r.shards))
	for _, s := range r.shards {
		r.enqueue(s, &batch{then: func(s *shard) {
			f(s)
			s.publish()
			done <- struct{}{}
		}})
	}
	r.await(done)
}

// now runs f in each shard, before what is queued, and returns when it is done
// and published.
func (r *RIB) now(f func(*shard)) {
	done := make(chan struct{}, len(r.shards))
	for _, s := range r.shards {
		select {
		case s.ctl <- func() {
			f(s)
			s.publish()
			done <- struct{}{}
		}:
		case <-r.stop:
		}
	}
	r.await(done)
}

// await returns when every shard is done, or when the RIB is closed.
func (r *RIB) await(done <-chan struct{}) {
	for range r.shards {
		select {
		case <-done:
		case <-r.stop:
			return
		}
	}
}

// enqueue waits for room in a shard's queue. What comes after Close is dropped.
func (r *RIB) enqueue(s *shard, b *batch) {
	s.queued.Add(1)
	if b.then != nil {
		s.requests.Add(1)
	}
	select {
	case s.queue <- b:
	case <-r.stop:
	}
}
