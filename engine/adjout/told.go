package adjout

import (
	"context"
	"sync/atomic"

	"ribd/shard"
)

// told is a call of Told that waits for groups.
type told struct {
	mark shard.Mark
	left atomic.Int32 // groups, and one for the call itself
	done chan struct{}
}

func (w *told) arrive() {
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
}

// Told returns when every group has read the feed up to a mark and handed what
// came of it to its members in step, or with the error of ctx. Groups that tell
// nothing for now are not waited for: those in the interval between two
// advertisements, and those that have lost the feed and look at the whole table
// again. Explain says of their members that the route is queued.
func (m *Manager) Told(ctx context.Context, mark shard.Mark) error {
	w := &told{mark: mark, done: make(chan struct{})}
	w.left.Store(1)
	m.mu.Lock()
	for g := range m.groups {
		g.tell(w)
	}
	m.mu.Unlock()
	w.arrive()
	select {
	case <-w.done:
		return nil
	case <-m.stop:
		return context.Canceled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell has the group's goroutine say when it has come to a mark.
func (g *group) tell(w *told) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	w.left.Add(1)
	g.waits = append(g.waits, w)
	g.waited.Store(true)
	g.poke()
}

// passed lets go who waits for a mark that the group has come to. all: everybody,
// since it tells nothing for now.
func (g *group) passed(all bool) {
	if !g.waited.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	all = all || g.follow == nil || g.owed() || g.scan.active
	left := g.waits[:0]
	for _, w := range g.waits {
		if all || g.follow.Passed(w.mark) {
			w.arrive()
		} else {
			left = append(left, w)
		}
	}
	clear(g.waits[len(left):])
	g.waits = left
	g.waited.Store(len(left) > 0)
}
