package session

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/shard/rib"
	"ribd/wire"
)

// bubble is a Manager under a clock of its own, whose peers are pipes.
type bubble struct {
	*station
	calls []time.Time
	far   chan net.Conn // the other ends of calls; nil: calls fail
}

func inBubble(t *testing.T, f func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{far: make(chan net.Conn, 16)}
		r := openRIB(t)
		b.station = &station{t: t, rib: r}
		b.Manager = New(Options{RIB: r, Log: testLog(t, "bubble"), Hooks: Hooks{
			Up:   func(*Session) { b.mu.Lock(); b.ups++; b.mu.Unlock() },
			Down: func(*Session) { b.mu.Lock(); b.down++; b.mu.Unlock() },
		}})
		b.dial = func(context.Context, *peer, *config.Peer, string) (link, error) {
			b.calls = append(b.calls, time.Now())
			if b.far == nil {
				return nil, errors.New("connection refused")
			}
			here, there := net.Pipe()
			b.far <- there
			return &plainLink{conn: here}, nil
		}
		b.set = Settings{AS: 65001, RouterID: netip.MustParseAddr("10.0.0.1")}
		defer b.close()
		f(t, b)
	})
}

var farAddr = netip.MustParseAddr("192.0.2.7")

// peer is the far end of the next connection, with a goroutine that reads all
// that comes.
type farPeer struct {
	t    *testing.T
	c    net.Conn
	got  []wire.MessageType
	at   []time.Time
	note *wire.Notification
	done chan struct{}
}

func (b *bubble) peer(t *testing.T) *farPeer { return newFar(t, <-b.far) }

// pipe is a connection that comes in.
func (b *bubble) pipe(p *peer) *farPeer {
	here, there := net.Pipe()
	b.take(p, &plainLink{conn: here})
	return newFar(b.t.(*testing.T), there)
}

func newFar(t *testing.T, c net.Conn) *farPeer {
	p := &farPeer{t: t, c: c, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		r := &raw{t: t, c: noDeadline{p.c}}
		for {
			mt, msg, err := r.read()
			if err != nil {
				return
			}
			p.got, p.at = append(p.got, mt), append(p.at, time.Now())
			if mt == wire.MsgNotification {
				n, _ := wire.ParseNotification(msg, &wire.Session{})
				p.note = &n
			}
		}
	}()
	return p
}

type noDeadline struct{ net.Conn }

func (noDeadline) SetReadDeadline(time.Time) error { return nil }

func (p *farPeer) open(o *wire.Open) {
	p.t.Helper()
	for _, m := range [][]byte{wire.AppendOpen(nil, o), wire.AppendKeepalive(nil)} {
		if _, err := p.c.Write(m); err != nil {
			p.t.Fatal(err)
		}
	}
	synctest.Wait()
}

func TestHoldTimerEndsASilentSession(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}))
		p := b.peer(t)
		p.open(openOf(65002, 2))
		if s := b.status(farAddr); s.State != fsm.Established {
			t.Fatalf("state %s: %s", s.State, s.Reason)
		}
		began := time.Now()
		// A message that comes octet by octet keeps nothing alive.
		for range 10 {
			time.Sleep(8 * time.Second)
			p.c.Write([]byte{0xff})
		}
		<-p.done
		if took := time.Since(began); took != 90*time.Second {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		if p.note == nil || p.note.Code != wire.CodeHoldTimer {
			t.Fatalf("notification %v", p.note)
		}
		if s := b.status(farAddr); s.Reason == "" || s.LastNotification.Sent == nil || s.LastNotification.Sent.Code != wire.CodeHoldTimer {
			t.Errorf("reason %q", s.Reason)
		}
		n := 0
		for i, mt := range p.got {
			if mt == wire.MsgKeepalive && i > 0 {
				n++
				if gap := p.at[i].Sub(p.at[i-1]); gap > 30*time.Second {
					t.Errorf("keepalive after %v", gap)
				}
			}
		}
		if n < 3 {
			t.Errorf("%d keepalives in 90 s", n)
		}
	})
}

func TestWholeMessagesPutTheHoldTimerOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}))
		p := b.peer(t)
		p.open(openOf(65002, 2))
		for range 20 {
			time.Sleep(80 * time.Second)
			p.c.Write(wire.AppendKeepalive(nil))
			time.Sleep(80 * time.Second)
			p.c.Write(update(65002, 0, 3))
		}
		if s := b.status(farAddr); s.State != fsm.Established || s.Flaps != 0 {
			t.Errorf("state %s after %s", s.State, s.Reason)
		}
		p.c.Close()
	})
}

func TestSendHoldTimerEndsASessionThatDoesNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}))
		c := <-b.far
		r := &raw{t: t, c: c}
		go c.Write(append(wire.AppendOpen(nil, openOf(65002, 2)), wire.AppendKeepalive(nil)...))
		r.want(wire.MsgOpen)
		r.want(wire.MsgKeepalive)
		synctest.Wait()
		s := b.status(farAddr).Session
		if s == nil {
			t.Fatal("not established")
		}
		began := time.Now()
		sent := make(chan error, 1)
		go func() { sent <- s.Send(update(65001, 0, 10), 1, 0) }()
		stop := make(chan struct{})
		go func() { // it is alive, but does not read
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Second):
					c.SetWriteDeadline(time.Now().Add(time.Second))
					c.Write(wire.AppendKeepalive(nil))
				}
			}
		}()
		if err := <-sent; err == nil {
			t.Error("Send says that it sent")
		}
		<-s.Done()
		close(stop)
		if took := time.Since(began); took < 8*time.Minute || took > 8*time.Minute+5*time.Second {
			t.Errorf("it took %v", took)
		}
		if st := b.status(farAddr); st.Reason == "" || st.Flaps != 1 || !strings.HasPrefix(st.LastDown.Reason, "send hold timer expired") || st.LastDown.At.IsZero() {
			t.Errorf("reason %q, flaps %d", st.Reason, st.Flaps)
		}
		c.Close()
	})
}

func TestAConnectionWithoutOpenEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}))
		began := time.Now()
		p := b.peer(t)
		<-p.done
		if took := time.Since(began); took != 4*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestCallsBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.far = nil
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}))
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if n := len(b.calls); n < 15 || n > 30 {
			t.Errorf("%d calls in 30 minutes", n)
		}
		last := b.calls[len(b.calls)-1].Sub(b.calls[len(b.calls)-2])
		if last < 90*time.Second || last > 120*time.Second {
			t.Errorf("the last calls are %v apart", last)
		}
		st := b.status(farAddr)
		if st.NextConnectAt.Before(time.Now()) || st.NextConnectAt.After(time.Now().Add(2*time.Minute)) {
			t.Errorf("next at %v, it is %v", st.NextConnectAt, time.Now())
		}
		if st.Reason != "connection failed: connection refused" {
			t.Errorf("reason %q", st.Reason)
		}
		if len(st.History) > historyLen {
			t.Errorf("%d changes are kept", len(st.History))
		}
	})
}

// graceful is the capability of a peer that wants to be helped.
func graceful(time uint16, notify bool) wire.Capability {
	return wire.GracefulRestartCapability(wire.GracefulRestart{Time: time, Notification: notify,
		Families: []wire.GracefulFamily{{Family: wire.IPv4Unicast, Forwarding: true}}})
}

func (b *bubble) count(t *testing.T) (paths, stale int64) {
	b.rib.Settle()
	for _, p := range b.rib.Peers() {
		for _, c := range p.Counts {
			paths, stale = paths+c.Paths, stale+c.Stale
		}
	}
	return paths, stale
}

func (b *bubble) wantPaths(t *testing.T, paths, stale int64) {
	t.Helper()
	synctest.Wait()
	if p, s := b.count(t); p != paths || s != stale {
		t.Errorf("%d paths, %d of them stale; want %d and %d", p, s, paths, stale)
	}
}

func TestGracefulRestartHelper(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}, func(p *config.Peer) { p.GracefulRestart.LLGRStaleTime = time.Hour }))
		p := b.peer(t)
		o := openOf(65002, 2, graceful(60, true))
		p.open(o)
		p.c.Write(update(65002, 0, 50))
		p.c.Write(endOfRIB())
		b.wantPaths(t, 50, 0)
		num := b.status(farAddr).Num

		p.c.Close() // lost: kept
		synctest.Wait()
		b.wantPaths(t, 50, 50)
		if st := b.status(farAddr); st.Families[0].Stale != rib.StaleGR || st.Num != num {
			t.Errorf("family %+v, number %d and %d", st.Families[0], st.Num, num)
		}

		p = b.peer(t) // back in time, with fewer routes
		p.open(o)
		if st := b.status(farAddr); st.Num != num {
			t.Errorf("the number is %d, was %d", st.Num, num)
		}
		p.c.Write(update(65002, 0, 20))
		b.wantPaths(t, 50, 30)
		p.c.Write(endOfRIB())
		b.wantPaths(t, 20, 0)

		// A NOTIFICATION keeps them too (RFC 8538), a Hard Reset does not.
		p.c.Write(wire.AppendNotification(nil, wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseAdminReset}))
		<-p.done
		b.wantPaths(t, 20, 20)
		p = b.peer(t)
		p.open(o)
		p.c.Write(wire.AppendNotification(nil, wire.HardReset(wire.Notification{Code: wire.CodeCease, Subcode: wire.CeaseAdminShutdown})))
		<-p.done
		b.wantPaths(t, 0, 0)

		// Not back in time: gone after the restart time.
		p = b.peer(t)
		p.open(o)
		p.c.Write(update(65002, 0, 50))
		synctest.Wait()
		b.far = nil
		p.c.Close()
		time.Sleep(59 * time.Second)
		b.wantPaths(t, 50, 50)
		time.Sleep(2 * time.Second)
		b.wantPaths(t, 0, 0)
		if st := b.status(farAddr); st.Num != 0 {
			t.Errorf("number %d", st.Num)
		}
	})
}

func TestANewIdentifierIsANewPeer(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}))
		p := b.peer(t)
		p.open(openOf(65002, 2, graceful(60, true)))
		p.c.Write(update(65002, 0, 50))
		b.wantPaths(t, 50, 0)
		p.c.Close()
		p = b.peer(t)
		p.open(openOf(65002, 3, graceful(60, true)))
		b.wantPaths(t, 0, 0)
		p.c.Close()
	})
}

func TestStateThatWasNotForwardedIsRemovedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}))
		p := b.peer(t)
		p.open(openOf(65002, 2, graceful(60, true)))
		p.c.Write(update(65002, 0, 50))
		b.wantPaths(t, 50, 0)
		p.c.Close()
		p = b.peer(t)
		p.open(openOf(65002, 2, wire.GracefulRestartCapability(wire.GracefulRestart{Time: 60,
			Families: []wire.GracefulFamily{{Family: wire.IPv4Unicast}}})))
		b.wantPaths(t, 0, 0)
		p.c.Close()
	})
}

func TestLongLivedGracefulRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}, func(p *config.Peer) { p.GracefulRestart.LLGRStaleTime = time.Hour }))
		p := b.peer(t)
		p.open(openOf(65002, 2, graceful(60, true), wire.LLGRCapability([]wire.LLGRFamily{{Family: wire.IPv4Unicast, Forwarding: true, StaleTime: 600}})))
		p.c.Write(update(65002, 0, 50))
		b.wantPaths(t, 50, 0)
		b.far = nil
		p.c.Close()
		time.Sleep(61 * time.Second)
		b.wantPaths(t, 50, 50)
		if f := b.status(farAddr).Families[0]; f.Stale != rib.StaleLLGR || time.Until(f.StaleUntil) > 10*time.Minute {
			t.Errorf("family %+v", f)
		}
		time.Sleep(9 * time.Minute)
		b.wantPaths(t, 50, 50)
		time.Sleep(time.Minute)
		b.wantPaths(t, 0, 0)
	})
}

func TestDisableDropsWhatIsRetained(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}))
		p := b.peer(t)
		p.open(openOf(65002, 2, graceful(600, true)))
		p.c.Write(update(65002, 0, 50))
		b.wantPaths(t, 50, 0)
		p.c.Close()
		b.wantPaths(t, 50, 50)
		b.Disable(farAddr.String(), "")
		b.wantPaths(t, 0, 0)
		if st := b.status(farAddr); st.Enabled || st.State != fsm.Idle {
			t.Errorf("state %s", st.State)
		}
		time.Sleep(time.Hour)
		if st := b.status(farAddr); st.State != fsm.Idle {
			t.Errorf("a disabled peer is in %s", st.State)
		}
	})
}

func TestLongLivedStateIsKeptByItsOwnBit(t *testing.T) {
	long := func(forwarding bool) *wire.Open {
		return openOf(65002, 2, wire.GracefulRestartCapability(wire.GracefulRestart{Time: 60}),
			wire.LLGRCapability([]wire.LLGRFamily{{Family: wire.IPv4Unicast, Forwarding: forwarding, StaleTime: 600}}))
	}
	for _, forwarding := range []bool{true, false} {
		inBubble(t, func(t *testing.T, b *bubble) {
			b.apply(peerTo(farAddr, 179, 65002, netip.Addr{}, func(p *config.Peer) { p.GracefulRestart.LLGRStaleTime = time.Hour }))
			p := b.peer(t)
			p.open(long(true))
			p.c.Write(update(65002, 0, 50))
			b.wantPaths(t, 50, 0)
			p.c.Close()
			b.wantPaths(t, 50, 50)
			p = b.peer(t)
			p.open(long(forwarding))
			if forwarding {
				b.wantPaths(t, 50, 50)
			} else {
				b.wantPaths(t, 0, 0)
			}
			p.c.Close()
		})
	}
}
