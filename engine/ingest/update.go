package ingest

import (
	"encoding/binary"

	"ribd/wire"
)

// Updates takes in the UPDATEs that b begins with, up to the first message that
// is not there as a whole, or is something else; n octets of b are done with.
// now is in seconds since 1970.
//
// An error asks for a NOTIFICATION and the end of the session: the message that
// begins at b[n] is malformed beyond use, and nothing of it was applied.
func (p *Peer) Updates(b []byte, now uint32) (n int, err *wire.Error) {
	p.mu.Lock()
	for len(b)-n >= wire.HeaderLen && !p.closed {
		m := b[n:]
		size := int(binary.BigEndian.Uint16(m[16:]))
		if wire.MessageType(m[18]) != wire.MsgUpdate || size > len(m) || size < wire.HeaderLen {
			break
		}
		if err = p.message(m[:size], now); err != nil {
			break
		}
		n += size
	}
	p.report()
	return n, err
}

// Update takes one whole UPDATE in; see Updates.
func (p *Peer) Update(msg []byte, now uint32) (err *wire.Error) {
	p.mu.Lock()
	if !p.closed {
		err = p.message(msg, now)
	}
	p.report()
	return err
}

// report publishes the counts, gives the lock up, and tells of End-of-RIB
// markers.
func (p *Peer) report() {
	p.stats.publish(&p.n, p.router)
	ended := p.ended
	p.ended = nil
	p.mu.Unlock()
	if p.end == nil {
		return
	}
	for _, f := range ended {
		p.end(f)
	}
}

// Flush sends what was taken in on to the shards: at the end of what was read
// in one go. It waits while their queues are full. Limits are checked here.
func (p *Peer) Flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.flush()
	if p.limited {
		p.checkLimits()
	}
}

// message takes one UPDATE in.
func (p *Peer) message(msg []byte, now uint32) *wire.Error {
	u := &p.update
	err := u.Parse(msg, &p.session)
	if err != nil {
		p.malformed(err, msg)
		if err.Action == wire.SessionReset {
			return err
		}
	}
	p.n.updates++
	w := p.router
	w.Withdraw(u, p.num)
	if u.HasReachable() {
		if u.Action() >= wire.TreatAsWithdraw {
			w.Treat(u, p.num)
		} else {
			before := w.Announced
			w.Announce(u, p.num, now, p.filter)
			p.note(u, w.Announced-before)
		}
	}
	if f, ok := u.EndOfRIB(); ok {
		p.endOfRIB(f)
	}
	return nil
}

// note sees to it that the families of what u announced are known, and counts
// the routes: all of them for either family of the few messages that have two.
func (p *Peer) note(u *wire.Update, routes uint64) {
	if u.HasNLRI4() {
		p.noteFamily(wire.IPv4Unicast, routes)
	}
	if f, ok := u.ReachFamily(); ok {
		p.noteFamily(f, routes)
	}
}

func (p *Peer) noteFamily(f wire.Family, routes uint64) {
	x := p.last
	if x == nil || x.family != f {
		x = p.family(f)
		p.last = x
	}
	if !x.hasTable {
		// Any of the route distinguishers' tables stands for the family.
		x.table, x.hasTable = p.router.Table(f, 0)
	}
	x.limits.since += int64(routes)
}

// endOfRIB takes an End-of-RIB marker in (RFC 4724 section 2).
func (p *Peer) endOfRIB(f wire.Family) {
	if !p.session.Families.Empty() && !p.session.Families.Has(f) {
		return
	}
	p.flush()
	if x := p.find(f); x != nil && x.retained {
		p.endRetain(x)
	}
	p.stats.endOfRIB(f)
	p.ended = append(p.ended, f)
}

// malformed notes what was wrong with a message.
func (p *Peer) malformed(err *wire.Error, msg []byte) {
	switch {
	case err.Action >= wire.SessionReset:
		p.n.reset++
	case err.Action >= wire.TreatAsWithdraw:
		p.n.treated++
	case err.Action == wire.AttributeDiscard:
		p.n.discarded++
	}
	p.stats.malformed(err, msg)
}
