package mrt

import (
	"ribd/shard/rib"
	"ribd/trie"
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

// verb is what a message says of a prefix.
type verb uint8

const (
	announce  verb = iota
	malformed      // announced with attributes that make it a withdrawal (RFC 7606)
	withdraw
)

// routes applies the UPDATE: withdrawals, then announcements.
func (w *worker) routes(p *peer) {
	u := &w.update
	path := rib.Path{Received: w.rec.Time}
	for c := u.Withdrawn4(); c.Next(); {
		path.PathID, path.HasPathID = c.PathID(), c.HasPathID()
		w.apply(withdraw, rib.TableIPv4Unicast, key4(&c), c.Len(), p, &path)
	}
	if m, ok := u.Unreach(); ok {
		w.eachMP(withdraw, &m, p, &path)
	}
	v := announce
	if u.Action() >= wire.TreatAsWithdraw {
		v = malformed
	}
	if u.HasNLRI4() {
		if v == announce {
			path.Attrs = w.intern(u.Attributes(w.scratch))
		}
		for c := u.NLRI4(); c.Next(); {
			path.PathID, path.HasPathID = c.PathID(), c.HasPathID()
			w.apply(v, rib.TableIPv4Unicast, key4(&c), c.Len(), p, &path)
		}
	}
	if m, ok := u.Reach(); ok && len(m.NLRI) > 0 {
		if v == announce {
			w.scratch = u.ReachAttributes(w.scratch)
			path.Attrs = w.intern(w.scratch)
		}
		w.eachMP(v, &m, p, &path)
	}
}

// intern returns the id of canonical attributes, 0: there is no room.
func (w *worker) intern(b []byte) rib.AttrID {
	id, ok := w.j.l.rib.Attrs().Intern(b)
	if !ok {
		return 0
	}
	return id
}

// eachMP applies v to what a multiprotocol attribute names.
func (w *worker) eachMP(v verb, m *wire.MP, p *peer, path *rib.Path) {
	switch m.Family.Form() {
	case wire.FormPrefix:
		t := w.tables.of(w.j.l.rib, m.Family, 0)
		if m.Family.Is4() {
			for c := m.NLRI4(); c.Next(); {
				path.PathID, path.HasPathID = c.PathID(), c.HasPathID()
				w.apply(v, t, key4(&c), c.Len(), p, path)
			}
			return
		}
		for c := m.NLRI6(); c.Next(); {
			path.PathID, path.HasPathID = c.PathID(), c.HasPathID()
			w.apply(v, t, trie.Key{Hi: c.Hi(), Lo: c.Lo()}, c.Len(), p, path)
		}
	case wire.FormRaw:
		for c := m.Raw(); c.Next(); {
			path.PathID, path.HasPathID = c.PathID(), c.HasPathID()
			t, k, n := w.raw(m.Family, c.Bytes())
			w.apply(v, t, k, n, p, path)
		}
	default:
		for c := m.Labelled(); c.Next(); {
			path.PathID, path.HasPathID = c.PathID(), c.HasPathID()
			t, k, n, labels := w.labelled(&c, m.Family)
			path.Labels = labels
			w.apply(v, t, k, n, p, path)
		}
		path.Labels = 0
	}
}

func key4(c *wire.NLRI4) trie.Key { return trie.Key{Hi: uint64(c.Addr()) << 32} }

// apply makes one operation of what a message says of a prefix. A route that
// there is no room for takes an older one of the same key away.
func (w *worker) apply(v verb, t rib.TableID, k trie.Key, n uint8, p *peer, path *rib.Path) {
	if t == noTable {
		w.n.refused++
		return
	}
	if v == announce && path.Attrs != 0 {
		w.room(1)
		path.Peer = p.used()
		w.fan.Announce(t, k, n, path)
		w.n.routes++
		return
	}
	w.room(0)
	w.fan.Withdraw(t, k, n, rib.PeerNum(p.num.Load()), path.PathID, path.HasPathID)
	switch v {
	case announce:
		w.n.refused++
	case malformed:
		w.n.treated++
	case withdraw:
		w.n.withdrawals++
	}
}
