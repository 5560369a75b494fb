package adjout

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ribd/shard"
	"ribd/wire"
)

// patience bounds what tests wait for: a slow machine needs a hundred times as
// long as another.
const patience = 2 * time.Minute

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAlikePeersShareAGroup(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	for i := range 4 {
		p := w.peer(i, false, false)
		to := p.to()
		if i == 3 {
			to.Role, to.HasRole = wire.RoleProvider, true
		}
		w.join(p, to)
	}
	w.settle()
	var got []int
	for _, g := range w.m.Groups() {
		got = append(got, g.Members)
	}
	slices.Sort(got)
	if fmt.Sprint(got) != "[1 3]" {
		t.Errorf("groups of %v members, want 1 and 3", got)
	}
	for _, p := range w.peers {
		p.member.Leave()
		p.member.Leave() // once more does nothing
	}
	if n := len(w.m.Groups()); n != 0 {
		t.Errorf("%d groups are left", n)
	}
	if n := w.rib.Stats().Views; n != 0 {
		eventually(t, "the last view goes", func() bool { return w.rib.Stats().Views == 0 })
	}
}

// TestSlowPeerCostsBoundedMemoryAndDelaysNobody stops one of two members while
// everything changes again and again.
func TestSlowPeerCostsBoundedMemoryAndDelaysNobody(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 2}, Options{ringBytes: 64 << 10})
	a, slow, quick := w.peer(1, false, false), w.peer(2, false, false), w.peer(3, false, false)
	w.join(slow, slow.to())
	w.join(quick, quick.to())
	w.settle()
	slow.sink.set(func() { slow.sink.stuck = true })
	const n = 2000
	for round := range 30 {
		for i := range n {
			s := spec(65001, uint32(100+round), uint32(i/5+1))
			w.announce(a, fmt.Sprintf("10.%d.%d.0/24", i/250, i%250), s, -1)
		}
		w.fan.Flush()
		w.rib.Sync()
		if err := quick.member.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	g := w.m.Groups()[0]
	if g.Lagging != 1 || g.Memory > 1<<20 {
		t.Errorf("%d lag, and the group takes %d octets", g.Lagging, g.Memory)
	}
	slow.sink.set(func() { slow.sink.stuck = false })
	w.settle()
	if len(slow.sink.held) != n || len(quick.sink.held) != n {
		t.Errorf("slow has %d routes, quick %d, want %d", len(slow.sink.held), len(quick.sink.held), n)
	}
	w.check(slow, "at the end")
	if slow.sink.routes > 3*n {
		t.Errorf("the slow peer was sent %d routes: what changed while it stood still comes once", slow.sink.routes)
	}
}

func TestPeerThatIsTooSlowHasToGo(t *testing.T) {
	over := make(chan struct{})
	w := newWorld(t, shard.Options{Shards: 1}, Options{ringBytes: 1 << 10, maxDead: 100, Log: slog.New(slog.DiscardHandler)})
	a, slow, quick := w.peer(1, false, false), w.peer(2, false, false), w.peer(3, false, false)
	to := slow.to()
	to.Overrun = func() { close(over) }
	w.join(slow, to)
	w.join(quick, quick.to())
	w.settle()
	slow.sink.set(func() { slow.sink.stuck = true })
	for i := range 400 {
		prefix := fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)
		w.announce(a, prefix, spec(65001), -1)
		w.fan.Flush()
		w.rib.Sync()
		quick.member.Wait(context.Background())
		w.withdraw(a, prefix, -1)
		w.fan.Flush()
		w.rib.Sync()
		quick.member.Wait(context.Background())
	}
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatal("the slow peer was kept")
	}
	slow.sink.stop()
	slow.member = nil
	w.settle()
	w.check(quick, "at the end")
}

func TestNothingIsSentWhileHeld(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{Hold: true})
	a, b := w.peer(1, false, false), w.peer(2, false, false)
	w.join(b, b.to())
	w.announce(a, "192.0.2.0/24", spec(65001), -1)
	w.fan.Flush()
	w.rib.Sync()
	eventually(t, "the group is ready", func() bool { return len(w.m.Groups()) == 1 && w.m.Groups()[0].Routes == 1 })
	b.sink.mu.Lock()
	if b.sink.octets > 0 {
		t.Errorf("%d octets were sent", b.sink.octets)
	}
	b.sink.mu.Unlock()
	w.m.Release()
	w.settle()
	if len(b.sink.held) != 1 || b.sink.ends[wire.IPv4Unicast] != 1 {
		t.Errorf("after that: %v, ends %v", b.sink.held, b.sink.ends)
	}
}

func TestPolicyThatAcceptsNothingCostsNothing(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	a, b := w.peer(1, false, false), w.peer(2, false, false)
	to := b.to()
	to.Export = nil
	w.join(b, to)
	w.announce(a, "192.0.2.0/24", spec(65001), -1)
	w.settle()
	if len(b.sink.held) != 0 || len(b.sink.ends) != 2 {
		t.Errorf("sent %v, ends %v; want End-of-RIB alone", b.sink.held, b.sink.ends)
	}
	b.target.Export = acceptAll
	b.member.SetExport(acceptAll)
	w.settle()
	w.check(b, "accepted")
	b.target.Export = nil
	b.member.SetExport(nil)
	w.settle()
	if len(b.sink.held) != 0 || b.sink.spurious != 0 {
		t.Errorf("left: %v", b.sink.held)
	}
}

func TestIntervalJoinsChanges(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1}, Options{})
	a, b := w.peer(1, false, false), w.peer(2, false, false)
	to := b.to()
	to.Interval = 300 * time.Millisecond
	w.join(b, to)
	w.settle()
	w.announce(a, "192.0.2.0/24", spec(65001), -1)
	w.settle()
	before := b.sink.updates
	begin := time.Now()
	for i := range 50 {
		w.announce(a, "192.0.2.0/24", spec(65001, uint32(i+1)), -1)
		w.fan.Flush()
		w.rib.Sync()
		time.Sleep(time.Millisecond)
	}
	w.settle()
	w.check(b, "after the interval")
	most := int(time.Since(begin)/to.Interval) + 1
	if n := b.sink.updates - before; n > most {
		t.Errorf("%d UPDATEs in %v, want %d at most", n, time.Since(begin), most)
	}
}

// TestSetsStayWhileTheyAreSent sweeps often: what a group holds is in no path.
func TestSetsStayWhileTheyAreSent(t *testing.T) {
	synctest.Test(t, setsStayWhileTheyAreSent) // or a slow machine would sweep twice between two ticks
}

func setsStayWhileTheyAreSent(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 1, SweepEvery: 300 * time.Millisecond, IDRest: 300 * time.Millisecond}, Options{tick: 10 * time.Millisecond})
	a, b, c := w.peer(1, false, false), w.peer(2, false, false), w.peer(3, false, false)
	w.join(b, b.to())
	for i := range 200 {
		w.announce(a, fmt.Sprintf("10.0.%d.0/24", i), spec(65001, uint32(i+1)), -1)
	}
	w.settle()
	first := w.rib.Attrs().Generation()
	eventually(t, "five sweeps", func() bool { return w.rib.Attrs().Generation() >= first+5 })
	w.join(c, c.to())
	w.settle()
	w.check(b, "later")
	w.check(c, "later")
	if got := len(c.sink.held); got != 200 {
		t.Errorf("%d routes, want 200", got)
	}
}

// TestManyPeersJoinAtOnce is a restart: everybody comes, and the routes too.
func TestManyPeersJoinAtOnce(t *testing.T) {
	w := newWorld(t, shard.Options{Shards: 2}, Options{})
	a := w.peer(0, false, false)
	for i := range 40 {
		p := w.peer(i+1, false, false)
		w.join(p, p.to())
		for j := range 20 {
			w.announce(a, fmt.Sprintf("10.%d.%d.0/24", i, j), spec(65001, uint32(i+1)), -1)
		}
		w.fan.Flush()
	}
	w.settle()
	for i := range 40 {
		w.check(w.peers[i+1], "all here")
	}
	eventually(t, "at most 50 goroutines for 40 members that are in step", func() bool { return runtime.NumGoroutine() <= 50 })
	if g := w.m.Groups(); len(g) != 1 || !strings.Contains(g[0].Key, "accept") {
		t.Errorf("groups: %+v", g)
	}
}
