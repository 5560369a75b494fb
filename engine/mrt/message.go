package mrt

import (
	"ribd/engine/ingest"
	"ribd/shard/rib"
	"ribd/wire"
	"ribd/wire/mrt"
)

// peer returns the peer of a message or a TABLE_DUMP record, nil when the load
// has failed for want of a number.
func (w *worker) peer(k peerKey, internal, as4 bool) *peer {
	if w.last != nil && k == w.lastKey && !w.last.gone.Load() {
		return w.last
	}
	p := w.known[k]
	if p == nil || p.gone.Load() {
		if k.as == asTrans && !as4 {
			// A peer that is known by its real AS number writes AS_TRANS where there
			// is no room for it.
			p = w.j.col.wide(k.addr)
		} else {
			p = nil
		}
		if p != nil {
			p = w.j.meet(p.key, 0, internal)
		} else {
			p = w.j.meet(k, 0, internal)
		}
		if p == nil {
			return nil
		}
		w.known[k] = p
	}
	w.last, w.lastKey = p, k
	return p
}

// message takes a BGP message in. Only an UPDATE that was received says
// anything of routes; the framer has seen to an OPEN.
func (w *worker) message(off int64) {
	m := &w.msg
	if m.Sent {
		w.n.skipped++
		return
	}
	if m.Type != mrt.Update {
		return
	}
	kind := 0
	if m.AS4 {
		kind |= 1
	}
	if m.AddPath {
		kind |= 2
	}
	err := w.parse(&w.session[kind])
	if !m.AddPath && mrt.LooksAddPath(&w.update) {
		if e := w.parse(&w.session[kind|2]); w.update.Action() < wire.SessionReset {
			err = e
			w.n.guessed++
		} else {
			err = w.parse(&w.session[kind])
		}
	}
	u := &w.update
	switch u.Action() {
	case wire.SessionReset:
		e := *err
		e.Off += m.BodyOff
		if m.Data != nil {
			e.Off -= wire.HeaderLen
		}
		w.j.damage(off, e.Error())
		return
	case wire.AttributeDiscard:
		w.n.discarded++
	}
	p := w.peer(peerKey{m.Peer, m.PeerAS}, m.PeerAS == m.LocalAS, m.AS4)
	if p != nil {
		w.routes(p)
	}
}

func (w *worker) parse(s *wire.Session) *wire.Error {
	if w.msg.Data != nil {
		return w.update.Parse(w.msg.Data, s)
	}
	return w.update.ParseBody(w.msg.Body, s)
}

// routes applies the UPDATE: withdrawals, then announcements.
func (w *worker) routes(p *peer) {
	u, to := &w.update, w.to
	// No NLRI is shorter than an octet: mostly there is room for as many
	// operations as octets, and no need to count.
	if n := len(w.msg.Body); !w.roomFor(n) && !w.roomFor(ingest.CountRoutes(u)) {
		w.turn()
	}
	before := to.RouteCounts
	to.Withdraw(u, rib.PeerNum(p.num.Load()))
	switch {
	case !u.HasReachable():
	case u.Action() >= wire.TreatAsWithdraw, to.CheckFlow(u) != nil:
		to.Treat(u, rib.PeerNum(p.num.Load()))
	default:
		to.Announce(u, p.used(), w.rec.Time, nil)
	}
	announced, withdrawn := int64(to.Announced-before.Announced), int64(to.Withdrawn-before.Withdrawn)
	treated, refused := int64(to.Treated-before.Treated), int64(to.Refused-before.Refused)
	w.n.routes += announced
	w.n.withdrawals += withdrawn
	w.n.treated += treated
	w.n.refused += refused
	w.ops += int(announced + withdrawn + treated + refused)
	w.word += opWords * int(announced+withdrawn+treated+refused)
}

// opWords is as many words as an operation of one path takes, at most.
const opWords = 11

// roomFor says whether n operations more would not make the Fan send a batch.
func (w *worker) roomFor(n int) bool {
	return w.ops+n <= earlyOps && w.word+opWords*n <= earlyWords
}
