package session

import (
	"time"

	"ribd/engine/fsm"
	"ribd/wire"
)

// collide ends one of two connections where it is time to. opened is the one
// whose OPEN has come just now: it counts as OpenConfirm. p.mu is held.
func (p *peer) collide(opened *half) {
	if p.second == nil || p.first.c == nil || p.second.c == nil {
		return
	}
	var gone *half
	if p.first.c.in == p.second.c.in {
		gone = p.older(opened)
	} else {
		gone = p.collision(opened)
	}
	if gone == nil || opened != nil && gone != opened {
		return
	}
	if gone == p.first {
		p.swap()
	}
	p.event(p.second, fsm.Event{Kind: fsm.EventCollisionDump}, nil)
}

// collision says which of a connection of ours and one of the peer's has to go.
func (p *peer) collision(opened *half) *half {
	out, in := p.first, p.second
	if out.c.in {
		out, in = in, out
	}
	neg := out.c.neg
	if neg == nil {
		neg = in.c.neg
	}
	if neg == nil {
		return nil
	}
	keep := fsm.KeepOutgoing(neg.Ours.ID, neg.Ours.AS, neg.PeerID(), neg.PeerAS())
	switch dumpOut, dumpIn := fsm.Collide(out.state(opened), in.state(opened), keep); {
	case dumpOut:
		return out
	case dumpIn:
		return in
	}
	return nil
}

// yieldFor bounds yield.
const yieldFor = 300 * time.Millisecond

// yield waits a moment where the OPEN came over the connection that would be
// given up once the other one has its OPEN too: to go on at once would have the
// peer, which can't know, establish a session that is ended then. It is called
// by the reader of c. p.mu is held, and let go meanwhile.
func (p *peer) yield(c *conn, o *wire.Open) {
	loses := func() bool {
		if c.h == nil || p.second == nil || p.first.c == nil || p.second.c == nil || p.first.c.in == p.second.c.in {
			return false
		}
		other := p.first
		if c.h == p.first {
			other = p.second
		}
		keep := fsm.KeepOutgoing(p.own.Load().id, p.localAS(p.config.Load()), o.ID, o.AS)
		return other.m.State() == fsm.OpenSent && keep == c.in
	}
	if !loses() {
		return
	}
	late := false
	t := time.AfterFunc(p.m.yieldFor, func() {
		p.mu.Lock()
		late = true
		p.mu.Unlock()
		p.moved.Broadcast()
	})
	defer t.Stop()
	for !late && loses() {
		p.moved.Wait()
	}
}

func (h *half) state(opened *half) fsm.State {
	if s := h.m.State(); h != opened {
		return s
	}
	return fsm.OpenConfirm
}

// older says which of two connections that the peer made has to go: the one
// that is not established, or the one that it has given up for the other.
func (p *peer) older(opened *half) *half {
	first, second := p.first.state(opened), p.second.state(opened)
	switch {
	case first == fsm.Established && second == fsm.OpenConfirm:
		return p.second
	case second == fsm.Established || first == fsm.OpenConfirm && second == fsm.OpenConfirm:
		return p.first
	}
	return nil
}
