package shard

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// copyOf is what a follower makes of the feed: the table again.
type copyOf struct {
	f      *Follower
	routes map[prefixKey]map[pathKey]rib.Path
	resets int
}

func plain(p rib.Path) rib.Path {
	p.Rank, p.Best, p.Reason = 0, false, rib.StepNone
	return p
}

func (c *copyOf) reset() {
	c.resets++
	c.routes = map[prefixKey]map[pathKey]rib.Path{}
	v := c.f.Snapshot()
	defer v.Close()
	for _, tb := range v.Tables() {
		for w := v.Walk(tb, WalkRange{}); w.Next(); {
			m := map[pathKey]rib.Path{}
			for _, p := range w.Paths(nil) {
				m[pathKey{p.Peer, p.HasPathID, p.PathID}] = plain(p)
			}
			c.routes[prefixKey{tb, w.Key(), w.Len()}] = m
		}
	}
}

// take follows up to limit changes. A withdrawal of what is not there, or an
// announcement of what is, would be a change that came twice.
func (c *copyOf) take(t *testing.T, r *RIB, limit int) {
	t.Helper()
	buf := make([]Change, 37)
	for limit > 0 {
		n, ok := c.f.Next(buf)
		if !ok {
			c.reset()
			continue
		}
		if n == 0 {
			return
		}
		limit -= n
		for _, ch := range buf[:n] {
			c.apply(t, r, ch)
		}
	}
}

func (c *copyOf) apply(t *testing.T, r *RIB, ch Change) {
	t.Helper()
	at := prefixKey{ch.Table, ch.Key, ch.Len}
	k := pathKey{ch.Path.Peer, ch.Path.HasPathID, ch.Path.PathID}
	switch {
	case ch.Kind == ChangePeerDown:
		for at, m := range c.routes {
			if int(r.homes.of(r.dir.get(at.t), at.k, at.n)) != ch.Shard {
				continue
			}
			for k := range m {
				if k.peer == ch.Path.Peer {
					delete(m, k)
				}
			}
			if len(m) == 0 {
				delete(c.routes, at)
			}
		}
	case ch.Kind == ChangeAnnounce:
		if c.routes[at] == nil {
			c.routes[at] = map[pathKey]rib.Path{}
		}
		c.routes[at][k] = plain(ch.Path)
	case ch.Swept:
	default:
		if _, ok := c.routes[at][k]; !ok {
			t.Fatalf("a withdrawal of what is not there: %+v", ch)
		}
		delete(c.routes[at], k)
		if len(c.routes[at]) == 0 {
			delete(c.routes, at)
		}
	}
}

func (c *copyOf) compare(t *testing.T, m *model) {
	t.Helper()
	if len(c.routes) != len(m.routes) {
		t.Fatalf("the follower has %d prefixes, want %d", len(c.routes), len(m.routes))
	}
	for at, want := range m.routes {
		got := c.routes[at]
		if len(got) != len(want) {
			t.Fatalf("%v: the follower has %+v, want %+v", at, got, want)
		}
		for k, p := range want {
			if got[k] != plain(p.Path) {
				t.Fatalf("%v: the follower has %+v, want %+v", at, got[k], p.Path)
			}
		}
	}
}

// TestFollowersRebuildTheTable has one follower that keeps up, one that stops
// now and then and goes on from its position, and one that is always too slow.
func TestFollowersRebuildTheTable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWorld(t, seed, Options{Shards: 2, FeedSize: 2048, MaxViews: 1000, IDRest: 1})
	quick, lazy, slow := &copyOf{f: w.r.Follow("")}, &copyOf{f: w.r.Follow("")}, &copyOf{f: w.r.Follow("")}
	for i := range 20000 {
		w.step()
		if i%20 == 0 {
			quick.take(t, w.r, 10000)
		}
		if i%1000 == 0 {
			lazy.take(t, w.r, 400)
			if i%3000 == 0 {
				pos := lazy.f.Position()
				next := w.r.Follow(pos)
				lazy.f.Close()
				lazy.f = next
			}
		}
		if i%5000 == 4000 {
			slow.take(t, w.r, 100)
		}
	}
	w.f.Flush()
	w.settleJudging()
	w.r.Sync()
	for _, c := range []*copyOf{quick, lazy, slow} {
		c.take(t, w.r, 1<<30)
		c.compare(t, w.m)
		c.f.Close()
	}
	if quick.resets > 2 {
		t.Errorf("the quick follower started again %d times", quick.resets)
	}
	if slow.resets < 2 {
		t.Errorf("the slow follower started again %d times", slow.resets)
	}
	for _, h := range w.views {
		h.v.Close()
	}
	w.f.Close()
}

func TestWaitReturnsWithTheNextChange(t *testing.T) {
	r := open(t, Options{Shards: 1})
	n := addPeers(t, r, 1)[0]
	f := r.Follow("")
	defer f.Close()
	f.Snapshot().Close()
	buf := make([]Change, 8)
	if k, ok := f.Next(buf); k != 0 || !ok {
		t.Fatalf("%d changes, %v", k, ok)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	fan := r.NewFan()
	defer fan.Close()
	id, _ := r.Attrs().Intern(attrSpec{}.canonical())
	tb, _ := r.Table(wire.IPv4Multicast, 0)
	at := randomPrefix(wire.IPv4Multicast, rand.New(rand.NewPCG(1, 1)))
	fan.Announce(tb, at.k, at.n, &rib.Path{Peer: n, Attrs: id, Received: 7})
	flushed := make(chan struct{})
	go func() {
		fan.Flush()
		close(flushed)
	}()
	if err := f.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-flushed
	k, ok := f.Next(buf)
	if k != 1 || !ok || buf[0].Kind != ChangeAnnounce || buf[0].Path.Attrs != id || buf[0].Key != at.k || buf[0].Len != at.n {
		t.Fatalf("%d %v %+v", k, ok, buf[0])
	}
	if now := time.Now().UnixMicro(); buf[0].Time > now || buf[0].Time < now-1e7 {
		t.Errorf("the change is of %d, now is %d", buf[0].Time, now)
	}
	r.Sync()
}

// Who reads of a change finds it in the tables, and counted.
func TestCountsAreThereWhenAChangeIsRead(t *testing.T) {
	l := newLab(t, Options{Shards: 2}, 1)
	f := l.r.Follow("")
	defer f.Close()
	v := f.Snapshot()
	v.Close()
	next := make(chan struct{})
	defer close(next)
	go func() {
		for i := uint32(0); ; i++ {
			if _, more := <-next; !more {
				return
			}
			l.announce(rib.TableIPv4Unicast, trie.Key4(ten|i<<8), 24, rib.Path{Peer: l.nums[0]})
			l.f.Flush()
		}
	}()
	buf := make([]Change, 8)
	for i := range int64(2000) {
		next <- struct{}{}
		for n := 0; n == 0; runtime.Gosched() {
			var ok bool
			if n, ok = f.Next(buf); !ok {
				t.Fatal("fell behind")
			}
		}
		if st, _ := l.r.PeerStatus(l.nums[0]); len(st.Counts) == 0 || st.Counts[0].Paths != i+1 || st.Counts[0].Best != i+1 {
			t.Fatalf("route %d: %+v", i, st.Counts)
		}
	}
}
