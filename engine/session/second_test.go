package session

import (
	"testing"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/wire"
)

// machines returns the states of the machines of the only peer.
func machines(s *station) []fsm.State {
	p := s.all()[0]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.second == nil {
		return []fsm.State{p.first.m.State()}
	}
	return []fsm.State{p.first.m.State(), p.second.m.State()}
}

// alone waits until the only peer has one machine, in state s.
func alone(t *testing.T, st *station, s fsm.State) {
	t.Helper()
	eventually(t, "one machine in "+s.String(), func() bool {
		m := machines(st)
		return len(m) == 1 && m[0] == s
	})
}

// TestTheOtherConnectionTakesOver: the peer gives its call up without a word for
// ours, and nothing is left that would call once more beside the session.
func TestTheOtherConnectionTakesOver(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	l := listenAt(t, n.b)
	answered := slowToAnswer(a)
	a.apply(peerTo(n.b, portOf(l), 65002, n.a))
	nc := accept(t, l)
	caller := dialRaw(t, n.b, a)
	caller.want(wire.MsgOpen)
	close(answered)
	called := &raw{t: t, c: nc}
	called.want(wire.MsgOpen)
	caller.c.Close()
	alone(t, a, fsm.OpenSent)
	called.write(append(wire.AppendOpen(nil, openOf(65002, 2)), wire.AppendKeepalive(nil)...))
	a.up(n.b)
	alone(t, a, fsm.Established)
}

// TestAPeerThatCalledTwiceMayRestart: nor is a machine left that would take a
// connection of a peer that restarts gracefully (RFC 4724 section 5) for one that
// collides.
func TestAPeerThatCalledTwiceMayRestart(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	a.apply(peerTo(n.b, 0, 65002, n.a, func(p *config.Peer) { p.GracefulRestart.Enabled = true }))
	first := dialRaw(t, n.b, a)
	first.want(wire.MsgOpen)
	second := dialRaw(t, n.b, a)
	second.want(wire.MsgOpen)
	first.c.Close()
	alone(t, a, fsm.OpenSent)
	o := openOf(65002, 2, wire.GracefulRestartCapability(wire.GracefulRestart{Time: 120, Families: []wire.GracefulFamily{{Family: wire.IPv4Unicast, Forwarding: true}}}))
	second.write(append(wire.AppendOpen(nil, o), wire.AppendKeepalive(nil)...))
	a.up(n.b)
	p := a.all()[0]
	p.mu.Lock()
	p.since = p.since.Add(-2 * crossing)
	p.mu.Unlock()
	again := dialRaw(t, n.b, a) // the connection before it is dead without a word
	again.write(wire.AppendOpen(nil, o))
	again.want(wire.MsgOpen)
	again.want(wire.MsgKeepalive)
}

// TestARefusedCallLeavesNothing: mode active refuses a call that crosses with its
// own, and calls again after the session.
func TestARefusedCallLeavesNothing(t *testing.T) {
	n := loopback()
	a := newStation(t, 65001, n.a, nil)
	l := listenAt(t, n.b)
	a.apply(peerTo(n.b, portOf(l), 65002, n.a, func(p *config.Peer) { p.Mode = config.ModeActive }))
	nc := accept(t, l)
	called := &raw{t: t, c: nc}
	called.shake(openOf(65002, 2))
	a.up(n.b)
	in := dialRaw(t, n.b, a)
	if m, _, err := in.read(); err == nil {
		t.Fatalf("a call is not refused: %v", m)
	}
	alone(t, a, fsm.Established)
	nc.Close()
	_ = l.SetDeadline(time.Now().Add(patience))
	next, err := l.Accept()
	if err != nil {
		t.Fatalf("nobody calls: %v; %s", err, historyText(a.status(n.b)))
	}
	next.Close()
}
