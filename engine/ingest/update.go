package ingest

import (
	"encoding/binary"

	"ribd/wire"
)

// Updates takes in the UPDATEs that b begins with, up to the first message that
// is not there as a whole, or is something else; n octets of b are done with.
// now is in seconds since 1970. After Close they are read and left alone.
//
// An error asks for a NOTIFICATION and the end of the session: the message that
// begins at b[n] is malformed beyond use, and nothing of it was applied.
func (p *Peer) Updates(b []byte, now uint32) (n int, err *wire.Error) {
	p.mu.Lock()
	if p.closed {
		for m := message(b); m != nil; m = message(b[n:]) {
			n += len(m)
		}
	}
	for err == nil && !p.closed {
		var k, size int
		if k, size, err = p.gather(b[n:]); k == 0 {
			break
		}
		p.apply(k, now)
		n += size
	}
	if err != nil {
		p.malformed(err, message(b[n:]))
	}
	p.report()
	return n, err
}

// Update takes one whole UPDATE in; see Updates.
func (p *Peer) Update(msg []byte, now uint32) (err *wire.Error) {
	p.mu.Lock()
	switch {
	case p.closed:
	case p.parse(0, msg):
		p.apply(1, now)
	default:
		err = p.group[0].u.Err()
		p.malformed(err, msg)
	}
	p.report()
	return err
}

// atOnce is how many messages are taken apart before their attributes are interned:
// memory is asked for what that needs of all of them at once.
const atOnce = 8

// parsed is a message that has been taken apart.
type parsed struct {
	u    wire.Update
	msg  []byte
	sets sets
}

// gather takes messages apart, k of them and size octets, up to the first that is
// not a whole UPDATE; err is that of one that resets the session, the next.
func (p *Peer) gather(b []byte) (k, size int, err *wire.Error) {
	for k < atOnce {
		msg := message(b[size:])
		if msg == nil {
			break
		}
		if !p.parse(k, msg) {
			err = p.group[k].u.Err()
			break
		}
		size += len(msg)
		k++
	}
	return k, size, err
}

// message returns the UPDATE that b begins with, nil where there is none as a
// whole.
func message(b []byte) []byte {
	if len(b) < wire.HeaderLen || wire.MessageType(b[18]) != wire.MsgUpdate {
		return nil
	}
	n := int(binary.BigEndian.Uint16(b[16:]))
	if n > len(b) || n < wire.HeaderLen {
		return nil
	}
	return b[:n]
}

// parse takes message k of the group apart; false: it resets the session.
func (p *Peer) parse(k int, msg []byte) bool {
	if k == 0 {
		p.router.reset()
	}
	g := &p.group[k]
	g.msg, g.sets = msg, sets{}
	if err := g.u.Parse(msg, &p.session); err != nil {
		if err.Action == wire.SessionReset {
			return false
		}
		if err.Action >= wire.TreatAsWithdraw {
			return true
		}
	}
	p.router.prepare(&g.u, &g.sets)
	return true
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

// apply takes the first k messages of the group in.
func (p *Peer) apply(k int, now uint32) {
	if len(p.router.hashes) > 1 {
		p.router.attrs.WarmHashes(p.router.hashes)
	}
	for i := range k {
		g := &p.group[i]
		if err := g.u.Err(); err != nil {
			p.malformed(err, g.msg)
		}
		p.one(g, now)
	}
}

// one takes one message in: withdrawals, then announcements.
func (p *Peer) one(g *parsed, now uint32) {
	u, w := &g.u, p.router
	p.n.updates++
	treat := u.Action() >= wire.TreatAsWithdraw
	if !treat {
		if err := w.CheckFlow(u); err != nil {
			treat = true
			p.malformed(err, g.msg)
		}
	}
	w.Withdraw(u, p.num)
	if u.HasReachable() {
		if treat {
			w.Treat(u, p.num)
		} else {
			before := w.Announced
			w.announceSets(u, &g.sets, p.num, now, p.filter)
			p.note(u, w.Announced-before)
		}
	}
	if f, ok := u.EndOfRIB(); ok {
		p.endOfRIB(f)
	}
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
