package session

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/internal/invariants"
	"ribd/wire"
)

func header(n int, t byte) []byte {
	b := make([]byte, 19)
	for i := range 16 {
		b[i] = 0xff
	}
	b[16], b[17], b[18] = byte(n>>8), byte(n), t
	return b
}

func TestGarbageIsAnsweredAndEnds(t *testing.T) {
	for _, c := range []struct {
		name          string
		send          []byte
		after         bool // once established
		code, subcode uint8
	}{
		{"no marker", append(make([]byte, 16), 0, 19, 4), false, wire.CodeHeader, wire.SubNotSynchronized},
		{"a length of 18", header(18, 1), false, wire.CodeHeader, wire.SubBadLength},
		{"an OPEN of 5,000 octets", header(5000, 1), false, wire.CodeHeader, wire.SubBadLength},
		{"a type of 9", header(19, 9), false, wire.CodeHeader, wire.SubBadType},
		{"version 3", append(header(29, 1), 3, 0xfd, 0xea, 0, 90, 192, 0, 0, 2, 0), false, wire.CodeOpen, wire.SubUnsupportedVersion},
		{"a KEEPALIVE first", header(19, 4), false, wire.CodeFSM, wire.SubUnexpectedInOpenSent},
		{"an UPDATE first", update(65002, 0, 1), false, wire.CodeFSM, wire.SubUnexpectedInOpenSent},
		{"another AS", wire.AppendOpen(nil, openOf(65003, 2)), false, wire.CodeOpen, wire.SubBadPeerAS},
		{"no identifier", wire.AppendOpen(nil, &wire.Open{AS: 65002, HoldTime: 90}), false, wire.CodeOpen, wire.SubBadID},
		{"a hold time of 2", wire.AppendOpen(nil, &wire.Open{AS: 65002, HoldTime: 2, ID: 7}), false, wire.CodeOpen, wire.SubUnacceptableHoldTime},
		{"no common family", wire.AppendOpen(nil, &wire.Open{AS: 65002, HoldTime: 90, ID: 7, Capabilities: []wire.Capability{wire.MultiprotocolCapability(wire.MakeFamily(25, 70))}}),
			false, wire.CodeOpen, wire.SubUnsupportedCapability},
		{"a second OPEN", wire.AppendOpen(nil, openOf(65002, 2)), true, wire.CodeFSM, wire.SubUnexpectedInEstablished},
		{"a KEEPALIVE of 20 octets", header(20, 4), true, wire.CodeHeader, wire.SubBadLength},
		{"an UPDATE whose lengths lie", append(header(23, 2), 0xff, 0xff, 0, 0), true, wire.CodeUpdate, wire.SubMalformedAttributes},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := loopback()
			a := newStation(t, 65001, n.a, nil)
			a.apply(peerTo(n.b, 0, 65002, n.a))
			r := dialRaw(t, n.b, a)
			if c.after {
				r.shake(openOf(65002, 2))
				a.up(n.b)
			}
			r.write(c.send)
			r.wantNotification(c.code, c.subcode)
			if _, err := io.ReadFull(r.c, make([]byte, 1)); err == nil {
				t.Error("the connection goes on")
			}
			st := a.wait(n.b, "down", func(s Status) bool { return s.State <= fsm.Active })
			if x := st.LastNotification.Sent; x == nil || x.Code != c.code {
				t.Errorf("sent %+v", x)
			}
		})
	}
}

func TestStrangersAreTurnedAway(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply()
	for range 100 {
		c, err := dialFrom(n.b, a)
		if err != nil {
			continue // it is reset at once
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("a stranger is answered")
		}
		c.Close()
	}
	if len(a.Peers()) != 0 {
		t.Error("a stranger became a peer")
	}
}

func TestConnectionsOfOnePeerAreBounded(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	for range 50 {
		dialRaw(t, n.b, a)
	}
	eventually(t, "most are closed", func() bool {
		p, err := a.find(n.b.String())
		if err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.conns) == 2
	})
	// Two that say nothing do not keep the peer out for long... but a disabled
	// and enabled one begins anew.
	if err := a.Reset(n.b.String(), ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "idle", func() bool { return a.pending.Load() == 0 })
	a.wait(n.b, "active", func(s Status) bool { return s.State == fsm.Active })
	dialRaw(t, n.b, a).shake(openOf(65002, 2))
	a.up(n.b)
}

func TestADisabledPeerIsToldSo(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	a.Disable(n.b.String(), "")
	dialRaw(t, n.b, a).wantNotification(wire.CodeCease, wire.CeaseConnectionRejected)
}

func rangeOf(n addrs, as uint32, limit int) config.Peer {
	p := peerTo(netip.Addr{}, 0, as, netip.Addr{})
	p.Prefix, p.MaxPeers = netip.PrefixFrom(n.a, 24).Masked(), limit
	return p
}

func TestDynamicNeighbours(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	p := rangeOf(n, 65002, 2)
	p.AS = config.ASSet{Any: true}
	a.apply(p)
	x, y, z := n.b, n.b.Next(), n.b.Next().Next()
	rx := dialRaw(t, x, a)
	rx.shake(openOf(65010, 2))
	dialRaw(t, y, a).shake(openOf(65011, 3))
	if s := a.up(x); s.AS != 65010 || !s.Range.IsValid() {
		t.Errorf("AS %d, range %v", s.AS, s.Range)
	}
	a.up(y)
	third := func() bool {
		c, err := dialFrom(z, a)
		if err != nil {
			return false
		}
		t.Cleanup(func() { c.Close() })
		r := &raw{t: t, c: c}
		c.Write(wire.AppendOpen(nil, openOf(65012, 4)))
		mt, _, err := r.read()
		if err != nil || mt != wire.MsgOpen {
			return false
		}
		r.write(wire.AppendKeepalive(nil))
		return true
	}
	if third() {
		t.Error("a third neighbour got in, max_peers is 2")
	}
	rx.c.Close()
	a.wait(x, "down", func(s Status) bool { return s.State != fsm.Established })
	eventually(t, "room for the third", third)
	a.up(z)
	if st := a.status(x); st.Reason == "" || st.AS != 65010 || len(st.History) < 3 {
		t.Errorf("the one that left: %q, AS %d, history %s", st.Reason, st.AS, historyText(st))
	}
	// The range is gone, and so are they.
	a.apply()
	eventually(t, "none", func() bool { return len(a.Peers()) == 0 && len(a.Sessions()) == 0 })
}

func TestMaxPrefixes(t *testing.T) {
	limit := func(l config.MaxPrefixes) func(*config.Peer) {
		return func(p *config.Peer) {
			p.MaxPrefixes = map[wire.Family]config.MaxPrefixes{wire.IPv4Unicast: l}
		}
	}
	t.Run("warn", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a := newStation(t, 65001, n.a, nil)
		a.apply(peerTo(n.b, 0, 65002, n.a, limit(config.MaxPrefixes{Warn: 10, Limit: 20, Action: config.LimitWarn})))
		r := dialRaw(t, n.b, a)
		r.shake(openOf(65002, 2))
		a.up(n.b)
		r.write(update(65002, 0, 15))
		a.wait(n.b, "warned", func(s Status) bool { return s.Families[0].LimitState == LimitWarned })
		r.write(update(65002, 15, 30))
		a.wait(n.b, "exceeded", func(s Status) bool { return s.Families[0].LimitState == LimitExceeded && s.State == fsm.Established })
	})
	t.Run("shutdown", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a := newStation(t, 65001, n.a, nil)
		a.apply(peerTo(n.b, 0, 65002, n.a, limit(config.MaxPrefixes{Limit: 20, Action: config.LimitShutdown})))
		r := dialRaw(t, n.b, a)
		r.shake(openOf(65002, 2))
		r.write(update(65002, 0, 30))
		if x := r.wantNotification(wire.CodeCease, wire.CeaseMaxPrefixes); len(x.Data) != 7 || x.Data[6] != 20 {
			t.Errorf("data %x", x.Data)
		}
		st := a.wait(n.b, "idle", func(s Status) bool { return s.State == fsm.Idle })
		if !strings.Contains(st.Reason, "max_prefixes") {
			t.Errorf("reason %q", st.Reason)
		}
		time.Sleep(600 * time.Millisecond) // it stays down
		if st := a.status(n.b); st.State != fsm.Idle {
			t.Errorf("state %s", st.State)
		}
		a.Enable(n.b.String())
		dialRaw(t, n.b, a).shake(openOf(65002, 2))
		a.up(n.b)
	})
	t.Run("restart", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a := newStation(t, 65001, n.a, nil)
		a.apply(peerTo(n.b, 0, 65002, n.a, limit(config.MaxPrefixes{Limit: 20, Action: config.LimitRestart, RestartAfter: time.Second})))
		r := dialRaw(t, n.b, a)
		r.shake(openOf(65002, 2))
		r.write(update(65002, 0, 30))
		r.wantNotification(wire.CodeCease, wire.CeaseMaxPrefixes)
		a.wait(n.b, "active again", func(s Status) bool { return s.State == fsm.Active })
		dialRaw(t, n.b, a).shake(openOf(65002, 2))
		a.up(n.b)
	})
}

func TestFlapsLeaveNothingBehind(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	flap := func() {
		var r *raw
		eventually(t, "connected", func() bool {
			c, err := dialFrom(n.b, a)
			if err != nil {
				t.Fatal(err)
			}
			r = &raw{t: t, c: c}
			r.write(wire.AppendOpen(nil, openOf(65002, 2)))
			mt, _, err := r.read()
			if err != nil || mt != wire.MsgOpen {
				c.Close()
				return false
			}
			return true
		})
		r.write(wire.AppendKeepalive(nil))
		for i := 0; i < 5000; i += 500 {
			r.write(update(65002, i, i+500))
		}
		eventually(t, "5,000 paths", func() bool { return a.paths() == 5000 })
		p, _ := a.find(n.b.String())
		p.enable()
		r.c.Close()
		a.wait(n.b, "down", func(s Status) bool { return s.Session == nil })
		eventually(t, "no path", func() bool { a.rib.Settle(); return a.paths() == 0 })
		a.Enable(n.b.String())
	}
	for range 5 {
		flap()
	}
	runtime.GC()
	goroutines, var0 := runtime.NumGoroutine(), heap()
	for range 30 {
		flap()
	}
	runtime.GC()
	eventually(t, "as many goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+1 })
	// What ends just now still holds something.
	end := time.Now().Add(patience)
	for now := heap(); now > var0+256<<10 && !invariants.Enabled; now = heap() { // else the tables are in the heap
		if time.Now().After(end) {
			t.Fatalf("the heap grew from %d to %d octets in 30 flaps", var0, now)
		}
		time.Sleep(10 * time.Millisecond)
	}
	a.mu.Lock()
	if a.ups != 35 || a.down != 35 {
		t.Errorf("Up was called %d times, Down %d", a.ups, a.down)
	}
	a.mu.Unlock()
	if st := a.status(n.b); st.Flaps != 35 || len(st.History) != historyLen {
		t.Errorf("%d flaps, %d changes", st.Flaps, len(st.History))
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestManyPeersAtOnce(t *testing.T) {
	const peers = 500
	a := newStation(t, 65001, netip.MustParseAddr("127.78.0.1"), nil)
	var cfg []config.Peer
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 78, byte(1 + i/200), byte(1 + i%200)}) }
	for i := range peers {
		cfg = append(cfg, peerTo(addr(i), 0, 65002, netip.Addr{}))
	}
	a.apply(cfg...)
	began := time.Now()
	var wg sync.WaitGroup
	var bad atomic.Int32
	for i := range peers {
		wg.Go(func() {
			c, err := dialFrom(addr(i), a)
			if err != nil {
				bad.Add(1)
				return
			}
			t.Cleanup(func() { c.Close() })
			r := &raw{t: t, c: c}
			o := openOf(65002, 0)
			o.ID, o.HoldTime = uint32(i+1), 0 // nobody says that it is alive
			r.write(wire.AppendOpen(nil, o))
			for range 2 {
				if _, _, err := r.read(); err != nil {
					bad.Add(1)
					return
				}
			}
			r.write(wire.AppendKeepalive(nil))
			r.write(update(65002, i*100, i*100+100))
		})
	}
	wg.Wait()
	eventually(t, fmt.Sprintf("%d sessions", peers), func() bool { return len(a.Sessions()) == peers })
	took := time.Since(began)
	eventually(t, "all paths", func() bool { return a.paths() == peers*100 })
	t.Logf("%d sessions in %v, %d goroutines", peers, took, runtime.NumGoroutine())
	if bad.Load() > 0 {
		t.Errorf("%d failed, it took %v", bad.Load(), took)
	}
}

func TestThousandsOfPeersAreNoStorm(t *testing.T) {
	const peers = 3000
	a := newStation(t, 65001, loopback().a, nil)
	a.dial = func(ctx context.Context, _ *peer, _ *config.Peer, _ string) (link, error) { // nobody answers
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var cfg []config.Peer
	for i := range peers {
		cfg = append(cfg, peerTo(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 179, 65002, netip.Addr{}))
	}
	before := runtime.NumGoroutine()
	began := time.Now()
	a.apply(cfg...)
	took := time.Since(began)
	eventually(t, "as many calls as there may be", func() bool { a.calls.mu.Lock(); defer a.calls.mu.Unlock(); return a.calls.running == maxCalls })
	if n := runtime.NumGoroutine() - before; n > maxCalls+50 {
		t.Errorf("%d goroutines for %d peers", n, peers)
	}
	if len(a.Peers()) != peers {
		t.Errorf("%d peers", len(a.Peers()))
	}
	began = time.Now()
	a.apply()
	eventually(t, "no call", func() bool { a.calls.mu.Lock(); defer a.calls.mu.Unlock(); return a.calls.running == 0 })
	t.Logf("%d peers: %v to start, %v to end", peers, took, time.Since(began))
}

func TestACrossingConnectionDoesNotEndASession(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	r := dialRaw(t, n.b, a)
	r.shake(openOf(65002, 2, graceful(60, true)))
	s := a.up(n.b)
	x := dialRaw(t, n.b, a)
	x.write(wire.AppendOpen(nil, openOf(65002, 2, graceful(60, true))))
	x.wantNotification(wire.CodeCease, wire.CeaseCollision)
	if st := a.status(n.b); st.Session != s || st.Flaps != 0 {
		t.Errorf("flaps %d: %s", st.Flaps, historyText(st))
	}
}

func TestARestartedPeerIsBelieved(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 0, 65002, netip.Addr{}))
		x, err := b.find(farAddr.String())
		if err != nil {
			t.Fatal(err)
		}
		o := openOf(65002, 2, graceful(60, true))
		p := b.pipe(x)
		p.open(o)
		p.c.Write(update(65002, 0, 20))
		b.wantPaths(t, 20, 0)
		time.Sleep(time.Minute)
		q := b.pipe(x) // the first one is half open: it says nothing
		q.open(o)
		st := b.status(farAddr)
		if st.State != fsm.Established || st.Flaps != 1 {
			t.Errorf("state %s, flaps %d: %s", st.State, st.Flaps, historyText(st))
		}
		b.wantPaths(t, 20, 20)
		<-p.done
		q.c.Write(update(65002, 0, 5))
		q.c.Write(endOfRIB())
		b.wantPaths(t, 5, 0)
		q.c.Close()
	})
}
