package adjout

import (
	"fmt"
	"sync/atomic"
	"testing"

	"ribd/shard"
	"ribd/wire"
)

// gate is a sink that takes one message after the other, as it is let to.
type gate struct {
	*sink
	shut   atomic.Bool
	waits  atomic.Int32 // calls of Send so far that have had to wait
	tokens chan struct{}
}

func (g *gate) TrySend(msgs []byte, updates, withdraws int) bool {
	return !g.shut.Load() && g.sink.TrySend(msgs, updates, withdraws)
}

func (g *gate) Send(msgs []byte, updates, withdraws int) error {
	if g.shut.Load() {
		g.waits.Add(1)
		<-g.tokens
	}
	return g.sink.Send(msgs, updates, withdraws)
}

// TestWhoLagsIsToldThatARouteIsNotForItAnyMore: a member holds a route. While it
// is in a run the route goes to a source that is not for it, and then on, so
// that the run leaves it out and the last change is none for it: it has to be
// told all the same.
func TestWhoLagsIsToldThatARouteIsNotForItAnyMore(t *testing.T) {
	const x = "2001:db8::/48"
	hop6 := with(spec(), func(a *attrSpec) { a.Hop = "2001:db8::1" })
	for name, last := range map[string]func(w *world, first, second *localSource){
		"it changes": func(w *world, first, _ *localSource) {
			w.announce(&testPeer{num: first.num}, x, with(hop6, func(a *attrSpec) { a.Communities = []uint32{5} }), -1)
		},
		"another one that is not for it, too": func(w *world, first, second *localSource) {
			w.announce(&testPeer{num: second.num}, x, hop6, -1)
			w.withdraw(&testPeer{num: first.num}, x, -1)
		},
		"it is withdrawn": func(w *world, first, _ *localSource) { w.withdraw(&testPeer{num: first.num}, x, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shard.Options{Shards: 1}, Options{ringBytes: 512})
			from := w.peer(1, false, false)
			first, second := w.localSource(map[string]struct{}{"9": {}}), w.localSource(map[string]struct{}{"8": {}})
			slow, other := w.peer(2, false, false), w.peer(9, false, false)
			w.join(other, other.to())
			slow.target = slow.to()
			slow.sink = newSink(t, slow.target.Send, false)
			g := &gate{sink: slow.sink, tokens: make(chan struct{})}
			slow.member = w.m.Join(slow.target, g)
			w.announce(from, x, with(hop6, func(a *attrSpec) { a.Path = []uint32{65001} }), -1)
			w.settle()
			held := func() bool {
				slow.sink.mu.Lock()
				defer slow.sink.mu.Unlock()
				_, ok := slow.sink.held[route{wire.IPv6Unicast, 0, x, 0}]
				return ok
			}
			if !held() {
				t.Fatal("it does not hold the route")
			}
			g.shut.Store(true)
			for i := range 300 { // past the ring
				w.announce(from, fmt.Sprintf("10.0.%d.0/24", i%256), spec(65001, uint32(i)+1), -1)
				w.told()
			}
			w.announce(&testPeer{num: first.num}, x, hop6, -1)
			w.withdraw(from, x, -1)
			w.told()
			g.tokens <- struct{}{} // what it was handed before
			eventually(t, "the run has begun", func() bool { return g.waits.Load() == 2 })
			last(w, first, second)
			w.told()
			g.shut.Store(false)
			g.tokens <- struct{}{}
			w.settle()
			if held() {
				t.Error("it still holds a route that is not for it")
			}
		})
	}
}
