package shard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"ribd/internal/slab"
)

// ErrClosed is what Wait returns when the RIB is closed.
var ErrClosed = errors.New("shard: the RIB is closed")

// followers is those who follow the feed.
type followers struct {
	active  atomic.Int32
	waiting atomic.Int32
	list    atomic.Pointer[[]*Follower]
	mu      sync.Mutex
}

func (f *followers) init() { f.list.Store(new([]*Follower)) }

func (f *followers) closeAll() {
	for _, fl := range *f.list.Load() {
		fl.Close()
	}
}

// Follower reads every change of every shard, in the order of each shard. It
// holds a position, not a queue: one that is too slow falls out of the ring and
// starts again from a view. For one goroutine.
//
//	f := r.Follow("")
//	for {
//		n, ok := f.Next(changes)
//		switch {
//		case !ok:
//			v := f.Snapshot() // forget everything, rebuild from v
//			...
//			v.Close()
//		case n == 0:
//			err := f.Wait(ctx)
//			...
//		}
//		// changes[:n] follow on what was there: none is lost, none comes twice
//	}
//
// ChangePeerDown stands for the withdrawal of all paths of a peer in one shard;
// the withdrawals marked Swept that come after it, when these paths are really
// removed, are for those who want to know which prefixes it touched.
type Follower struct {
	r      *RIB
	pos    []uint64
	lost   bool // nothing can follow before a Snapshot
	next   int  // shard to read first
	pin    *slab.Pin
	notify chan struct{}
	once   sync.Once
}

// Follow begins to follow: from a Position, where that still can be, else (and
// for "") from a Snapshot, which Next asks for.
func (r *RIB) Follow(from string) *Follower {
	f := &Follower{r: r, pos: make([]uint64, len(r.shards)), notify: make(chan struct{}, 1), pin: r.domain.NewPin()}
	f.lost = !f.parse(from)
	r.feed.mu.Lock()
	list := append(slices.Clone(*r.feed.list.Load()), f)
	r.feed.list.Store(&list)
	r.feed.active.Add(1)
	r.feed.mu.Unlock()
	// Batches that have begun may not be recorded: get them out of the way.
	r.now(func(*shard) {})
	return f
}

// Close ends the following.
func (f *Follower) Close() {
	f.once.Do(func() {
		fs := &f.r.feed
		fs.mu.Lock()
		defer fs.mu.Unlock()
		list := slices.DeleteFunc(slices.Clone(*fs.list.Load()), func(o *Follower) bool { return o == f })
		fs.list.Store(&list)
		fs.active.Add(-1)
		f.pin.Close()
	})
}

// Snapshot returns the state to begin from; Next then returns what came after
// it. The caller closes the view.
func (f *Follower) Snapshot() *View {
	v := f.r.View()
	for i := range f.pos {
		f.pos[i] = v.h.states[i].seq
		for f.r.shards[i].feed.head.Load() < f.pos[i] {
			runtime.Gosched() // the shard is between two words of a publication
		}
	}
	f.lost = false
	return v
}

// Next copies changes that follow on the last ones to dst. n is 0 where there
// are none yet. ok is false when the follower has to take a Snapshot first.
func (f *Follower) Next(dst []Change) (n int, ok bool) {
	if f.lost {
		return 0, false
	}
	for range f.pos {
		i := f.next
		f.next = (f.next + 1) % len(f.pos)
		m, ok := f.r.shards[i].feed.read(f.pin, f.pos[i], dst[n:])
		f.pos[i] += uint64(m)
		n += m
		if !ok {
			f.lost = true
			return n, n > 0
		}
		if n == len(dst) {
			break
		}
	}
	return n, true
}

// Wait returns when Next has something to say, or with the error of ctx, or
// ErrClosed.
func (f *Follower) Wait(ctx context.Context) error {
	fs := &f.r.feed
	fs.waiting.Add(1)
	defer fs.waiting.Add(-1)
	for {
		if f.lost {
			return nil
		}
		for i, s := range f.r.shards {
			if s.feed.head.Load() != f.pos[i] {
				return nil
			}
		}
		select {
		case <-f.notify:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.r.stop:
			return ErrClosed
		}
	}
}

// Position is where the follower stands, for Follow: changes that Next has
// returned are before it.
func (f *Follower) Position() string {
	if f.lost {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%x", f.r.opened.UnixNano())
	for _, p := range f.pos {
		fmt.Fprintf(&b, "-%x", p)
	}
	return b.String()
}

func (f *Follower) parse(from string) bool {
	parts := strings.Split(from, "-")
	if len(parts) != len(f.pos)+1 || parts[0] != strconv.FormatInt(f.r.opened.UnixNano(), 16) {
		return false
	}
	for i := range f.pos {
		p, err := strconv.ParseUint(parts[i+1], 16, 64)
		if err != nil {
			return false
		}
		f.pos[i] = p
	}
	return true
}
