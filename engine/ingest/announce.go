package ingest

import (
	"bytes"

	"ribd/shard/rib"
	"ribd/wire"
)

// judge holds what is the same for the routes of one set of attributes in one
// message: the path, and whether each has to be judged by itself.
type judge struct {
	filter rib.Filter
	family wire.Family
	set    []byte // as they stand in the message, nil: none has been judged
	hash   uint64
	each   bool       // Route has to be asked
	came   rib.AttrID // the attributes as they came
	path   rib.Path   // what is announced
}

// sets is the attributes of what a message announces, and their hashes: those of
// the NLRI field, and of MP_REACH_NLRI, which has another next hop.
type sets struct {
	four, mp      []byte // nil: there are no such routes
	hash4, hashMP uint64
}

// maxScratch bounds what a Router keeps for sets that do not lie in their message
// as they are interned.
const maxScratch = 1 << 20

// reset forgets the sets that prepare found.
func (w *Router) reset() {
	if w.short && 2*cap(w.scratch) <= maxScratch {
		w.scratch = make([]byte, 0, 2*cap(w.scratch))
	}
	w.short = false
	w.scratch, w.hashes = w.scratch[:0], w.hashes[:0]
	w.before, w.judge.set = nil, nil
}

// prepare finds the sets of a message, which are good until reset.
func (w *Router) prepare(u *wire.Update, s *sets) {
	*s = sets{}
	if u.HasNLRI4() {
		s.four = w.hold(u.Attributes(w.rest()))
		s.hash4 = w.hash(s.four)
	}
	if _, ok := u.ReachFamily(); ok {
		s.mp = w.hold(u.ReachAttributes(w.rest()))
		s.hashMP = w.hash(s.mp)
	}
}

// hash returns the hash of a set. Some peers send a message for each route: the
// sets of those that follow each other are the same then.
func (w *Router) hash(b []byte) uint64 {
	if w.before == nil || !bytes.Equal(w.before, b) {
		w.before, w.beforeHash = b, w.attrs.Hash(b)
		w.hashes = append(w.hashes, w.beforeHash)
	}
	return w.beforeHash
}

// rest is what is left of scratch.
func (w *Router) rest() []byte { return w.scratch[len(w.scratch):] }

// hold takes b, where it was built in scratch, out of what is left.
func (w *Router) hold(b []byte) []byte {
	switch rest := w.rest(); {
	case len(b) > cap(rest):
		w.short = true
	case len(b) > 0 && &b[0] == &rest[:1][0]:
		w.scratch = w.scratch[:len(w.scratch)+len(b)]
	}
	return b
}

// Announce puts the routes in that u announces, as filter judges them; without
// a filter all are accepted. now is in seconds since 1970.
func (w *Router) Announce(u *wire.Update, peer rib.PeerNum, now uint32, filter rib.Filter) {
	var s sets
	w.reset()
	w.prepare(u, &s)
	w.announceSets(u, &s, peer, now, filter)
}

// announceSets is Announce for a message whose sets are known.
func (w *Router) announceSets(u *wire.Update, s *sets, peer rib.PeerNum, now uint32, filter rib.Filter) {
	j := &w.judge
	j.filter, j.path.Peer, j.path.Received = filter, peer, now
	if s.four != nil {
		if c := u.NLRI4(); w.set(s.four, s.hash4, wire.IPv4Unicast) {
			w.Announced += w.announce4(rib.TableIPv4Unicast, c)
		} else {
			w.Refused += w.withdraw4(rib.TableIPv4Unicast, c, peer)
		}
	}
	if s.mp != nil {
		m, _ := u.Reach()
		if w.set(s.mp, s.hashMP, m.Family) {
			w.announceMP(&m)
		} else {
			w.Refused += w.withdrawMP(&m, peer)
		}
	}
}

// set interns and judges the attributes of routes of family f; false: there is
// no room for them.
func (w *Router) set(canonical []byte, hash uint64, f wire.Family) bool {
	j := &w.judge
	if j.set != nil && hash == j.hash && f == j.family && bytes.Equal(j.set, canonical) {
		return true // it is as it was in the message before
	}
	j.set = nil
	id, ok := w.attrs.InternHashed(canonical, hash)
	if !ok {
		return false
	}
	j.set, j.hash = canonical, hash
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
