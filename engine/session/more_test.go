package session

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/wire"
)

// TestCollision has a peer that calls while it is called, with an identifier
// that makes its connection, or ours, the one that stays (RFC 4271 section 6.8).
func TestCollision(t *testing.T) {
	for _, c := range []struct {
		name string
		id   byte // 192.0.0.N against 10.0.x.x: higher; 1.0.0.N: lower
		ours bool // our call stays
	}{
		{"the peer is higher", 192, false},
		{"we are higher", 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := loopback()
			a := newStation(t, 65001, n.a, nil)
			a.yieldFor = patience
			l := listenAt(t, n.b)
			a.apply(peerTo(n.b, portOf(l), 65002, n.a))
			nc := accept(t, l)
			called := &raw{t: t, c: nc} // a called
			caller := dialRaw(t, n.b, a)
			called.want(wire.MsgOpen)
			caller.want(wire.MsgOpen)
			o := openOf(65002, 2)
			o.ID = uint32(c.id)<<24 | 2
			loser, winner := called, caller
			if c.ours {
				loser, winner = caller, called
			}
			// The OPEN comes over the connection that loses first: nothing may be
			// established over it.
			loser.write(append(wire.AppendOpen(nil, o), wire.AppendKeepalive(nil)...))
			time.Sleep(20 * time.Millisecond) // it waits for the other OPEN
			winner.write(append(wire.AppendOpen(nil, o), wire.AppendKeepalive(nil)...))
			winner.want(wire.MsgKeepalive)
			loser.wantNotification(wire.CodeCease, wire.CeaseCollision)
			s := a.up(n.b)
			if st := a.status(n.b); st.Flaps != 0 || len(a.Sessions()) != 1 {
				t.Errorf("%d flaps, %d sessions: %s", st.Flaps, len(a.Sessions()), historyText(st))
			}
			if mine := s.Local.Port() != a.port; mine != c.ours {
				t.Errorf("the session is over our call: %v, want %v", mine, c.ours)
			}
		})
	}
}

func TestACollisionWhoseOtherEndIsDeadGoesOn(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	l := listenAt(t, n.b)
	a.apply(peerTo(n.b, portOf(l), 65002, n.a))
	a.wait(n.b, "called", func(s Status) bool { return s.State == fsm.OpenSent })
	o := openOf(65002, 2)
	o.ID = 1 << 24 // our call would stay, but nobody answers it
	dialRaw(t, n.b, a).shake(o)
	a.up(n.b)
}

// TestACallIsGivenUpForTheOPENOfThePeers: a call that is answered after the peer's
// own connection got its OPEN would stay, by the identifiers, while the peer has
// established the other one already.
func TestACallIsGivenUpForTheOPENOfThePeers(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	l := listenAt(t, n.b)
	answered := slowToAnswer(a)
	a.apply(peerTo(n.b, portOf(l), 65002, n.a))
	nc := accept(t, l)
	o := openOf(65002, 2)
	o.ID = 1 << 24 // our call would stay
	dialRaw(t, n.b, a).shake(o)
	a.up(n.b)
	close(answered)
	nc.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(nc); len(b) > 0 || err != nil {
		t.Errorf("our call was not given up: %x, %v", b, err)
	}
	if st := a.status(n.b); st.Flaps != 0 || st.State != fsm.Established {
		t.Errorf("%d flaps, %v: %s", st.Flaps, st.State, historyText(st))
	}
}

func TestWhyAnOpenIsRefused(t *testing.T) {
	role := func(r config.SessionRole, strict bool) func(*config.Peer) {
		return func(p *config.Peer) { p.LocalRole, p.RoleStrict = r, strict }
	}
	for _, c := range []struct {
		change func(*config.Peer)
		open   *wire.Open
		why    string
	}{
		{func(*config.Peer) {}, openOf(65009, 2), "the peer's AS is 65009, configured is 65002"},
		{func(p *config.Peer) { p.Families = []wire.Family{wire.IPv6Unicast} }, openOf(65002, 2), "no family is common"},
		{role(config.RoleProvider, false), openOf(65002, 2, wire.RoleCapability(wire.RoleProvider)), "our role is provider, the peer's is provider"},
		{role(config.RolePeer, true), openOf(65002, 2), "our role is peer, the peer has none and role_strict is set"},
		{func(*config.Peer) {}, &wire.Open{AS: 65002, HoldTime: 1, ID: 1}, "the peer's hold time is 1 s"},
		{func(*config.Peer) {}, &wire.Open{AS: 65002, HoldTime: 9}, "the peer's identifier is 0.0.0.0, ours is 10.0.253.233"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			n := loopback()
			a := newStation(t, 65001, n.a, nil)
			a.apply(peerTo(n.b, 0, 65002, n.a, c.change))
			r := dialRaw(t, n.b, a)
			r.write(wire.AppendOpen(nil, c.open))
			a.wait(n.b, "a reason", func(s Status) bool { return strings.Contains(s.Reason, c.why) })
		})
	}
}

func TestShutdownDoesNotWaitForThoseThatDoNotRead(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	r := dialRaw(t, n.b, a)
	r.shake(openOf(65002, 2))
	s := a.up(n.b)
	for s.TrySend(numbered(0, 4000), 1, 0) {
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	a.Shutdown(ctx, false)
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}
	if _, err := a.Apply(a.set); err == nil {
		t.Error("a Manager that is shut down takes a configuration")
	}
}

func TestSessionEndsItself(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a))
	if p, ok := a.Waiting(); !ok || p != n.b {
		t.Errorf("waits for %v, %v", p, ok)
	}
	r := dialRaw(t, n.b, a)
	r.shake(openOf(65002, 2))
	s := a.up(n.b)
	s.SentEndOfRIB(wire.IPv4Unicast)
	r.write(endOfRIB())
	st := a.wait(n.b, "End-of-RIB", func(s Status) bool { return !s.Families[0].EndOfRIB.IsZero() })
	if st.Families[0].SentEndOfRIB.IsZero() || st.Families[1].Negotiated {
		t.Errorf("families %+v", st.Families)
	}
	if p, ok := a.Waiting(); ok {
		t.Errorf("still waits for %v", p)
	}
	if got := a.Select(func(id string, _ netip.Addr) bool { return id == s.ID }); len(got) != 1 {
		t.Errorf("%d peers have the id", len(got))
	}
	s.Close(wire.CodeCease, wire.CeaseOutOfResources, "")
	r.wantNotification(wire.CodeCease, wire.CeaseOutOfResources)
	<-s.Done()
	a.wait(n.b, "it starts again", func(s Status) bool { return s.State == fsm.Active })
}

func TestThoseThatAreGoneAreBounded(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	p := rangeOf(n, 65002, 0)
	p.Prefix = netip.MustParsePrefix("198.18.0.0/15")
	a.apply(p)
	for i := range maxEnded + 100 {
		x, err := a.admit(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}))
		if err != nil {
			t.Fatal(err)
		}
		x.mu.Lock()
		x.since = time.Unix(int64(i), 0)
		x.mu.Unlock()
	}
	if got := len(a.Peers()); got != maxEnded {
		t.Errorf("%d are listed, want %d", got, maxEnded)
	}
	if _, err := a.Peer("198.18.0.0"); err == nil {
		t.Error("the oldest is still listed")
	}
}

func TestPlanReadsTheKeys(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	cfg := config.Default()
	cfg.AS, cfg.Peers = 65001, []config.Peer{peerTo(n.b, 0, 65002, n.a)}
	s := SettingsOf(cfg)
	s.Listen, s.RouterID = a.set.Listen, a.set.RouterID
	c, err := a.Plan(s)
	if err != nil || c.Listen || fmt.Sprint(c.Peers[0].Kind) != "added" || len(a.Peers()) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	s.Peers[0].MD5File = "/nowhere/at/all"
	if _, err := a.Plan(s); err == nil || !strings.Contains(err.Error(), "md5_file") {
		t.Errorf("error %v", err)
	}
	s.AS = 0
	if c, err := a.Plan(s); err != nil || !c.Listen || len(c.Peers) != 0 {
		t.Errorf("without as: %+v, %v", c, err)
	}
}

func TestAModeIsTakenOverLive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		p := peerTo(farAddr, 0, 65002, netip.Addr{})
		b.apply(p)
		time.Sleep(time.Hour)
		if len(b.calls) != 0 {
			t.Errorf("a passive peer was called %d times", len(b.calls))
		}
		p.Mode = config.ModeBoth
		if c := b.apply(p); len(c.Peers) != 1 || c.Peers[0].Kind != Live {
			t.Errorf("changes %+v", c)
		}
		far := b.peer(t)
		far.open(openOf(65002, 2))
		if st := b.status(farAddr); st.State != fsm.Established {
			t.Errorf("state %s", st.State)
		}
		far.c.Close()
	})
}
