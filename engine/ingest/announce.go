package ingest

import (
	"ribd/shard/rib"
	"ribd/wire"
)

// judge holds what is the same for the routes of one set of attributes in one
// message: the path, and whether each has to be judged by itself.
type judge struct {
	filter rib.Filter
	family wire.Family
	each   bool       // Route has to be asked
	came   rib.AttrID // the attributes as they came
	path   rib.Path   // what is announced
}

// Announce puts the routes in that u announces, as filter judges them; without
// a filter all are accepted. now is in seconds since 1970.
func (w *Router) Announce(u *wire.Update, peer rib.PeerNum, now uint32, filter rib.Filter) {
	j := &w.judge
	j.filter, j.path = filter, rib.Path{Peer: peer, Received: now}
	if u.HasNLRI4() {
		b := u.Attributes(w.scratch)
		w.grow(len(b))
		if c := u.NLRI4(); w.set(b, wire.IPv4Unicast) {
			w.Announced += w.announce4(rib.TableIPv4Unicast, c)
		} else {
			w.Refused += w.withdraw4(rib.TableIPv4Unicast, c, peer)
		}
	}
	if m, ok := u.Reach(); ok && len(m.NLRI) > 0 {
		b := u.ReachAttributes(w.scratch)
		w.grow(len(b))
		if w.set(b, m.Family) {
			w.announceMP(&m)
		} else {
			w.Refused += w.withdrawMP(&m, peer)
		}
	}
}

// grow makes scratch as large as the attributes that did not fit.
func (w *Router) grow(n int) {
	if n > cap(w.scratch) {
		w.scratch = make([]byte, 0, 2*n)
	}
}

// set interns and judges the attributes of routes of family f; false: there is
// no room for them.
func (w *Router) set(canonical []byte, f wire.Family) bool {
	j := &w.judge
	id, ok := w.attrs.Intern(canonical)
	if !ok {
		return false
	}
	j.family, j.came, j.each = f, id, false
	p := &j.path
	p.Attrs, p.PreAttrs, p.Filtered = id, 0, rib.FilterNone
	if j.filter == nil {
		return true
	}
	v, final := j.filter.Set(f, p.Peer, id)
	if j.each = !final; final {
		j.say(v)
	}
	return true
}

// say makes the path what a verdict says.
func (j *judge) say(v rib.Verdict) {
	p := &j.path
	p.Attrs, p.PreAttrs, p.Filtered = j.came, 0, v.Filtered
	if v.Filtered == rib.FilterNone && v.Attrs != j.came && v.Attrs != 0 {
		p.Attrs, p.PreAttrs = v.Attrs, j.came
	}
}

// announce puts one route in.
func (w *Router) announce(at Place, rd uint64) {
	j := &w.judge
	if j.each {
		j.path.Attrs, j.path.PreAttrs, j.path.Filtered = j.came, 0, rib.FilterNone
		j.say(j.filter.Route(j.family, rd, at.Key, at.Len, &j.path))
	}
	w.fan.Announce(at.Table, at.Key, at.Len, &j.path)
}

func (w *Router) announce4(t rib.TableID, c wire.NLRI4) (n uint64) {
	p := &w.judge.path
	p.HasPathID = c.HasPathID()
	if w.judge.each {
		for ; c.Next(); n++ {
			p.PathID = c.PathID()
			w.announce(Place{t, key4(&c), c.Len()}, 0)
		}
		return n
	}
	for ; c.Next(); n++ {
		p.PathID = c.PathID()
		w.fan.Announce(t, key4(&c), c.Len(), p)
	}
	return n
}

func (w *Router) announce6(t rib.TableID, c wire.NLRI6) (n uint64) {
	p := &w.judge.path
	p.HasPathID = c.HasPathID()
	if w.judge.each {
		for ; c.Next(); n++ {
			p.PathID = c.PathID()
			w.announce(Place{t, key6(&c), c.Len()}, 0)
		}
		return n
	}
	for ; c.Next(); n++ {
		p.PathID = c.PathID()
		w.fan.Announce(t, key6(&c), c.Len(), p)
	}
	return n
}

// announceMP puts the routes of MP_REACH_NLRI in.
func (w *Router) announceMP(m *wire.MP) {
	p := &w.judge.path
	switch m.Family.Form() {
	case wire.FormPrefix:
		t, ok := w.table(m.Family, 0, true)
		switch {
		case !ok:
			w.Refused += w.withdrawMP(m, p.Peer)
		case m.Family.Is4():
			w.Announced += w.announce4(t, m.NLRI4())
		default:
			w.Announced += w.announce6(t, m.NLRI6())
		}
	case wire.FormRaw:
		for c := m.Raw(); c.Next(); {
			p.PathID, p.HasPathID = c.PathID(), c.HasPathID()
			if at, ok := w.Raw(m.Family, c.Bytes()); ok {
				w.announce(at, 0)
				w.Announced++
			} else {
				w.Refused++ // an NLRI that has no key has no route either
			}
		}
	default:
		w.announceLabelled(m)
	}
}

func (w *Router) announceLabelled(m *wire.MP) {
	p := &w.judge.path
	for c := m.Labelled(); c.Next(); {
		p.PathID, p.HasPathID = c.PathID(), c.HasPathID()
		at, labels, ok := w.Labelled(m.Family, &c)
		if ok {
			p.Labels = labels
			w.announce(at, c.RD())
			w.Announced++
			continue
		}
		w.Refused++
		if at, ok = w.labelled(m.Family, &c, false); ok {
			w.fan.Withdraw(at.Table, at.Key, at.Len, p.Peer, p.PathID, p.HasPathID)
		}
	}
	p.Labels = 0
}
