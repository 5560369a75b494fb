package session

import (
	"testing"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/wire"
)

func TestTwoManagersMeet(t *testing.T) {
	for _, c := range []struct {
		name   string
		as     uint32
		change func(a, b *config.Peer)
	}{
		{"both call", 65002, func(_, _ *config.Peer) {}},
		{"one is passive", 65002, func(_, b *config.Peer) { b.Mode = config.ModePassive }},
		{"one is active", 65002, func(a, _ *config.Peer) { a.Mode = config.ModeActive }},
		{"internal", 65001, func(_, _ *config.Peer) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := loopback()
			a, b := newStation(t, 65001, n.a, nil), newStation(t, c.as, n.b, func(o *Options) { o.Hostname = "b" })
			b.set.RouterID = n.b
			ab, ba := peerTo(n.b, b.port, c.as, n.a), peerTo(n.a, a.port, 65001, n.b)
			c.change(&ab, &ba)
			a.apply(ab)
			b.apply(ba)
			sa, sb := a.up(n.b), b.up(n.a)
			if sa.Internal != (c.as == 65001) || sa.AS != c.as || sb.AS != 65001 {
				t.Errorf("internal %v, AS %d and %d", sa.Internal, sa.AS, sb.AS)
			}
			if sa.Negotiated.Hostname != "b" || sa.Negotiated.HoldTime != 90*time.Second {
				t.Errorf("hostname %q, hold time %v", sa.Negotiated.Hostname, sa.Negotiated.HoldTime)
			}
			// Calls that crossed can end the session just now: then the next one is sent
			// the routes.
			var told *Session
			eventually(t, "100 paths", func() bool {
				if s := b.status(n.a).Session; s != nil && s != told && s.Send(append(update(c.as, 0, 100), endOfRIB()...), 2, 0) == nil {
					told = s
				}
				return told != nil && (c.as == 65001 || a.paths() == 100)
			})
			a.wait(n.b, "connected", func(s Status) bool { return len(s.History) > 0 && s.Transport.Connected })
			// As above: there may be none to say good-bye over.
			var x *Notification
			for again := 0; again < 50 && (x == nil || x.Message != "bye"); again++ {
				if err := a.Enable(n.b.String()); err != nil {
					t.Fatal(err)
				}
				a.up(n.b)
				b.up(n.a)
				if err := a.Disable(n.b.String(), "bye"); err != nil {
					t.Fatal(err)
				}
				x = b.wait(n.a, "told", func(s Status) bool { return s.State != fsm.Established && s.LastNotification.Received != nil }).LastNotification.Received
			}
			if x.Message != "bye" || !x.HardReset {
				t.Errorf("notification %+v", x)
			}
			eventually(t, "no paths", func() bool { a.rib.Sync(); return a.paths() == 0 })
			if err := a.Enable(n.b.String()); err != nil {
				t.Fatal(err)
			}
			a.up(n.b)
			b.up(n.a)
			// Two calls that cross can cost a session more: RFC 4271 section 6.8 has
			// each end choose by what it has seen.
			if st := b.status(n.a); st.Flaps < 1 || st.LastDown.Reason == "" || st.LastDown.From != "established" {
				t.Errorf("flaps %d, want 1 or more; down %+v", st.Flaps, st.LastDown)
			}
		})
	}
}

func TestARawPeerIsTakenIn(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	r := dialRaw(t, n.b, a)
	r.shake(openOf(65002, 2))
	s := a.up(n.b)
	r.write(update(65002, 0, 500))
	r.write(wire.AppendKeepalive(nil))
	r.write(endOfRIB())
	st := a.wait(n.b, "end of rib", func(s Status) bool { return len(s.Counters.EndOfRIB) == 1 })
	eventually(t, "paths", func() bool { return a.paths() == 500 })
	if m := st.Messages; m.Received.Open != 1 || m.Received.Update != 2 || m.Received.Keepalive != 2 || m.Sent.Open != 1 || m.Sent.Keepalive != 1 {
		t.Errorf("messages %+v", m)
	}
	if st.Transport.BytesIn == 0 || st.Transport.BytesOut == 0 {
		t.Errorf("transport %+v", st.Transport)
	}
	if !s.TrySend(endOfRIB(), 1, 0) {
		t.Error("TrySend: nothing taken on a free socket")
	}
	r.want(wire.MsgUpdate)
	r.c.Close()
	st = a.wait(n.b, "down", func(s Status) bool { return s.State != fsm.Established })
	eventually(t, "gone", func() bool { a.rib.Sync(); return a.paths() == 0 })
	<-s.Done()
	if s.TrySend(endOfRIB(), 1, 0) || s.Send(endOfRIB(), 1, 0) == nil {
		t.Error("a session that is over sends")
	}
	if st.Reason != "connection failed: the peer closed the connection" {
		t.Errorf("reason %q", st.Reason)
	}
}
