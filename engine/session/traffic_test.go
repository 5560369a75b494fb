package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/wire"
)

func TestGracefulShutdownKeepsRoutesAtThePeer(t *testing.T) {
	for _, c := range []struct {
		name     string
		helper   bool // asks for nothing when it restarts
		graceful bool
		kept     int64
	}{
		{"graceful", false, true, 10},
		{"a helper only", true, true, 0},
		{"not graceful", false, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := loopback()
			a, b := newStation(t, 65001, n.a, nil), newStation(t, 65002, n.b, nil)
			a.apply(peerTo(n.b, 0, 65002, n.a, func(p *config.Peer) { p.GracefulRestart.HelperOnly = c.helper }))
			b.apply(peerTo(n.a, a.port, 65001, n.b))
			s := a.up(n.b)
			b.up(n.a)
			if err := s.Send(update(65001, 0, 10), 1, 0); err != nil {
				t.Fatal(err)
			}
			eventually(t, "10 paths", func() bool { return b.paths() == 10 })
			a.Shutdown(context.Background(), c.graceful)
			b.wait(n.a, "down", func(s Status) bool { return s.Session == nil && s.Flaps > 0 })
			eventually(t, "the routes kept or gone", func() bool {
				b.rib.Settle()
				var stale int64
				for _, p := range b.rib.Peers() {
					for _, f := range p.Counts {
						stale += f.Stale
					}
				}
				return b.paths() == c.kept && stale == c.kept
			})
		})
	}
}

func TestRestartingIsSaid(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, func(o *Options) { o.Restarting = time.Now().Add(time.Minute) })
	a.apply(peerTo(n.b, 0, 65002, n.a, func(p *config.Peer) { p.GracefulRestart.HelperOnly = false }))
	r := dialRaw(t, n.b, a)
	o, err := wire.ParseOpen(r.want(wire.MsgOpen))
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := o.GracefulRestart(); !ok || !g.Restarting || len(g.Families) != 2 {
		t.Errorf("graceful restart %+v", g)
	}
}

// large is an UPDATE of 60,000 octets.
func large(as uint32) []byte {
	b := update(as, 0, 0)
	for i := 0; len(b) < 60000; i++ {
		b = append(b, 24, 10, byte(i>>8), byte(i))
	}
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)))
	return b
}

func TestExtendedMessages(t *testing.T) {
	msg := large(65002)
	routes := int64((len(msg) - len(update(65002, 0, 0))) / 4)
	t.Run("negotiated, and in pieces", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a := newStation(t, 65001, n.a, nil)
		a.apply(peerTo(n.b, 0, 65002, n.a))
		r := dialRaw(t, n.b, a)
		r.shake(openOf(65002, 2, wire.ExtendedMessageCapability()))
		a.up(n.b)
		for b := msg; len(b) > 0; {
			k := min(len(b), 7001)
			r.write(b[:k])
			b = b[k:]
			time.Sleep(time.Millisecond)
		}
		eventually(t, "all routes", func() bool { return a.paths() == routes })
	})
	t.Run("not offered by us", func(t *testing.T) {
		t.Parallel()
		n := loopback()
		a := newStation(t, 65001, n.a, nil)
		a.apply(peerTo(n.b, 0, 65002, n.a, func(p *config.Peer) { p.ExtendedMessages = false }))
		r := dialRaw(t, n.b, a)
		r.shake(openOf(65002, 2, wire.ExtendedMessageCapability()))
		a.up(n.b)
		go r.c.Write(msg)
		r.wantNotification(wire.CodeHeader, wire.SubBadLength)
	})
}

// TestASlowPeerIsSentEverythingInOrder has a peer that reads nothing for a
// while: TrySend takes what the socket does, Send waits, KEEPALIVEs go in
// between, and nothing is lost.
func TestASlowPeerIsSentEverythingInOrder(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	r := dialRaw(t, n.b, a)
	r.c.(*net.TCPConn).SetReadBuffer(64 << 10) // and no more later
	r.shake(&wire.Open{AS: 65002, HoldTime: 9, ID: 7, Capabilities: openOf(65002, 2).Capabilities})
	s := a.up(n.b)
	chunk := func(i uint32) []byte {
		var b []byte
		for range 32 {
			b = append(b, numbered(i, 4000)...)
		}
		return b
	}
	taken := uint32(0)
	for s.TrySend(chunk(taken), 32, 0) {
		taken++
	}
	if taken == 0 || !s.Unsent() {
		t.Fatalf("%d chunks were taken, unsent %v", taken, s.Unsent())
	}
	r.c.SetWriteDeadline(time.Time{})
	stop := make(chan struct{})
	defer close(stop)
	go func() { // the peer says that it is alive, and does not read
		for {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
				r.c.Write(wire.AppendKeepalive(nil))
			}
		}
	}()
	sent := make(chan error, 1)
	const more = 160 // chunks, 20 MB: no socket takes as much
	var rest []byte
	for i := range uint32(more) {
		rest = append(rest, chunk(taken+i)...)
	}
	go func() { sent <- s.Send(rest, more*32, 0) }()
	select {
	case err := <-sent:
		t.Fatalf("Send returned although nobody reads: %v", err)
	case <-time.After(4 * time.Second): // longer than from one KEEPALIVE to the next
	}
	keepalives, got := 0, uint32(0)
	for got < (taken+more)*32 {
		mt, b, err := r.read()
		if err != nil {
			t.Fatal(err)
		}
		switch mt {
		case wire.MsgKeepalive:
			keepalives++
		case wire.MsgUpdate:
			if i := binary.BigEndian.Uint32(b[19:]); i != got/32 {
				t.Fatalf("message %d is of chunk %d", got, i)
			}
			got++
		}
	}
	if err := <-sent; err != nil {
		t.Errorf("Send: %v", err)
	}
	if keepalives == 0 {
		t.Error("no KEEPALIVE came while the table was written")
	}
	if st := a.status(n.b); st.State != fsm.Established || st.Messages.Sent.Update != uint64(taken+more)*32 {
		t.Errorf("state %s, %d updates sent, want %d", st.State, st.Messages.Sent.Update, (taken+more)*32)
	}
}

func TestABufferIsNotKept(t *testing.T) {
	// What take is lent is spoiled after it: a message that is not whole has to
	// have been copied.
	here, there := pair(t)
	msg := update(65001, 0, 100)
	go func() {
		for i := range msg {
			there.Write(msg[i : i+1])
		}
	}()
	var got []byte
	err := newLink(here).Receive(new(buffers), func(b []byte) (int, bool) {
		if len(b) < len(msg) {
			return 0, true
		}
		got = bytes.Clone(b[:len(msg)])
		return len(msg), false
	})
	if err != nil || !bytes.Equal(got, msg) {
		t.Errorf("got %x, %v", got, err)
	}
}

// TestBulkWaitsWhileOthersAreBehind has one peer send much and another little
// while nothing is told on: the one is read in steps, the other as ever.
func TestBulkWaitsWhileOthersAreBehind(t *testing.T) {
	n := loopback()
	little := n.b.Next()
	var behind atomic.Bool
	a := newStation(t, 65001, n.a, func(o *Options) { o.Hooks.Behind = behind.Load })
	a.apply(peerTo(n.b, 0, 65002, n.a), peerTo(little, 0, 65002, n.a))
	bulk, few := dialRaw(t, n.b, a), dialRaw(t, little, a)
	bulk.shake(openOf(65002, 2))
	few.shake(openOf(65002, 3))
	s := a.up(n.b)
	a.up(little)
	behind.Store(true)
	var much []byte
	for i := range 60 {
		much = append(much, update(65002, i*900, i*900+900)...)
	}
	go bulk.c.Write(much)
	eventually(t, "it has begun", func() bool { return a.rib.PathCount(s.Num, wire.IPv4Unicast) > 0 })
	began := time.Now()
	few.write(update(65002, 60000, 60010))
	eventually(t, "the few", func() bool { st := a.status(little); return a.rib.PathCount(st.Num, wire.IPv4Unicast) == 10 })
	took := time.Since(began)
	eventually(t, "bulk is read in small pieces", a.bufs.inBits.Load)
	behind.Store(false)
	eventually(t, "all", func() bool { return a.rib.PathCount(s.Num, wire.IPv4Unicast) == 54000 })
	t.Logf("the few took %v", took)
}
