package adjout

import (
	"ribd/shard/rib"
	"ribd/wire"
)

// scope says which members a change is for.
type scope uint8

const (
	toAll    scope = iota
	toOthers       // all but one peer
	toOne          // one peer
	toOnly         // those whom the routes of a source are for
	toRest         // all others

	// late is for members that lag alone. A run leaves out what has changed
	// since its end, so who comes from one may know nothing of what was so
	// before: of an entry that changes, the ring has to tell everybody what is
	// so now, also those for whom this change is none.
	late scope = 8
)

// delta is a change of the state that members have to be told: attrs 0 is a
// withdrawal.
type delta struct {
	order  uint64 // scope, peer, family, attributes
	p      prefix
	labels uint32
	id     uint32
}

const (
	orderScope = 58
	orderPeer  = 38
	orderFam   = 32
)

func (d *delta) scope() scope      { return scope(d.order >> orderScope) }
func (d *delta) peer() rib.PeerNum { return rib.PeerNum(d.order >> orderPeer & rib.MaxPeers) }
func (d *delta) fam() uint8        { return uint8(d.order >> orderFam & 63) }
func (d *delta) attrs() rib.AttrID { return rib.AttrID(d.order) }

// deadEntry is an entry that can go once no member has to be told of it.
type deadEntry struct {
	fam   uint8
	ref   ref
	stamp uint32
}

// emit notes a change for those who are told as it happens.
func (g *group) emit(sc scope, peer rib.PeerNum, fam uint8, p *prefix, attrs rib.AttrID, labels, id uint32) {
	if !g.telling {
		return
	}
	if sc&late != 0 && len(g.members) == len(g.step) {
		return
	}
	switch sc &^ late {
	case toOnly:
		if !g.concerns(peer) {
			return
		}
	case toOthers:
		if !g.nums.Has(peer) {
			sc, peer = toAll|sc&late, 0
		}
	case toOne:
		if !g.nums.Has(peer) {
			return
		}
	}
	order := uint64(sc)<<orderScope | uint64(peer)<<orderPeer | uint64(fam)<<orderFam | uint64(attrs)
	g.deltas = append(g.deltas, delta{order, *p, labels, id})
}

// apply makes the state of a prefix what was found. The lock is held.
//
// A prefix that this batch has changed already is left alone, so that each
// member is told one thing of it: what was found then is newer than the changes
// that are in hand, and any that came since are still to be read.
func (g *group) apply(r *result, paths []outPath) {
	st := g.states[r.fam]
	head := st.find(&r.prefix, r.hash)
	if head == 0 && len(paths) == 0 || head != 0 && st.stamped(head, g.batch) {
		return
	}
	switch g.judge.fams[r.fam].mode {
	case modeBest:
		var o *outPath
		if len(paths) > 0 {
			o = &paths[0]
		}
		if head == 0 {
			head = st.insert(&r.prefix, r.hash, 0)
		}
		if head != 0 {
			g.set(st, r, head, o)
		}
	case modeServer:
		g.setServer(st, r, head, paths)
	case modeAddPath:
		g.setPaths(st, r, head, paths)
	}
}

// set makes an entry hold a path, or none, and tells: all but the source of a
// path are sent it.
func (g *group) set(st *state, r *result, at ref, o *outPath) {
	e := st.entry(at)
	g.scan.mark(r.fam, at)
	fam, id := r.fam, st.lay.id(e)
	meta, old := e[wMeta], entryPeer(e)
	live := e[wStamp] != 0 && meta&entryDead == 0
	if o == nil {
		if live {
			all, none := toOthers, toOne
			if g.only.restricted(old) {
				all, none = toOnly, toRest
			}
			g.emit(all, old, fam, &r.prefix, 0, 0, id)
			if meta&entryConst == 0 {
				g.emit(none|late, old, fam, &r.prefix, 0, 0, id)
			}
			st.live--
			count(st.own, old, -1)
			g.bury(st, fam, at, e)
		}
		return
	}
	same := live && rib.AttrID(e[wAttr]) == o.attrs && st.lay.labelsOf(e) == o.labels
	if same && old == o.peer {
		st.lay.setFrom(e, o)
		return
	}
	known := e[wStamp] != 0 && (old != o.peer || meta&entryConst == 0)
	if g.only.restricted(old) || g.only.restricted(o.peer) {
		g.moved(r, old, o, live, known, id)
	} else {
		switch {
		case !same:
			g.emit(toOthers, o.peer, fam, &r.prefix, o.attrs, o.labels, id)
		case old != o.peer:
			g.emit(toOne, old, fam, &r.prefix, o.attrs, o.labels, id)
			g.emit(toOthers|late, o.peer, fam, &r.prefix, o.attrs, o.labels, id)
		}
		switch {
		case live && old != o.peer:
			g.emit(toOne, o.peer, fam, &r.prefix, 0, 0, id)
		case known:
			g.emit(toOne|late, o.peer, fam, &r.prefix, 0, 0, id)
		}
	}
	if live {
		count(st.own, old, -1)
	} else {
		st.live++
	}
	count(st.own, o.peer, 1)
	g.write(st, e, o)
}

// write puts a path into an entry.
func (g *group) write(st *state, e []uint32, o *outPath) {
	meta := e[wMeta]
	flags := meta & entryConst
	switch {
	case e[wStamp] == 0:
		flags = entryFresh | entryConst
	case entryPeer(e) != o.peer:
		flags = 0
	}
	e[wMeta] = meta&0xff | uint32(o.peer)<<metaPeerShift | flags
	e[wAttr], e[wStamp] = uint32(o.attrs), g.batch
	if st.lay.labels != 0 {
		e[st.lay.labels] = o.labels
	}
	st.lay.setFrom(e, o)
}

// setFrom notes which path of the source an entry has, where there may be
// several.
func (l *layout) setFrom(e []uint32, o *outPath) {
	if l.chain == 0 {
		return
	}
	e[l.chain+chainFrom] = o.pathID
	e[wMeta] &^= entryPath
	if o.hasPathID {
		e[wMeta] |= entryPath
	}
}

// bury makes an entry dead. It stays until nobody has to be told.
func (g *group) bury(st *state, fam uint8, at ref, e []uint32) {
	birth := uint32(0)
	if e[wMeta]&entryFresh != 0 {
		birth = e[wStamp]
	}
	e[wAttr], e[wStamp] = birth, g.batch
	e[wMeta] |= entryDead
	g.dead = append(g.dead, deadEntry{fam, at, g.batch})
}

// setPaths makes the entries of a prefix hold the paths, each with the id that
// it had.
func (g *group) setPaths(st *state, r *result, head ref, paths []outPath) {
	bucket, n := head.split()
	if head == 0 {
		bucket = uint32(r.hash >> (64 - bucketBits))
	}
	// Paths that have an entry keep it; what no path has any more is dead.
	g.taken = append(g.taken[:0], make([]bool, len(paths))...)
	for ; n != 0; n = st.lay.next(st.buckets[bucket].entry(n, st.lay.stride)) {
		e := st.buckets[bucket].entry(n, st.lay.stride)
		if e[wMeta]&entryDead != 0 {
			continue
		}
		found := -1
		for i := range paths {
			if !g.taken[i] && st.lay.isFrom(e, &paths[i]) {
				found = i
				break
			}
		}
		if found >= 0 {
			g.taken[found] = true
			g.set(st, r, makeRef(bucket, n), &paths[found])
		} else {
			g.set(st, r, makeRef(bucket, n), nil)
		}
	}
	for i := range paths {
		if g.taken[i] {
			continue
		}
		at := st.reuse(head, &paths[i], g.batch)
		if at == 0 {
			id := st.freeID(head)
			if at = st.insert(&r.prefix, r.hash, head); at == 0 {
				return
			}
			st.entry(at)[st.lay.chain+chainID] = id
			if head == 0 {
				head = at
			}
		}
		g.set(st, r, at, &paths[i])
	}
}

// stamped says whether a batch has changed an entry of a prefix.
func (s *state) stamped(head ref, batch uint32) bool {
	bucket, n := head.split()
	for ; n != 0; n = s.lay.next(s.buckets[bucket].entry(n, s.lay.stride)) {
		if s.buckets[bucket].entry(n, s.lay.stride)[wStamp] == batch {
			return true
		}
	}
	return false
}

// isFrom says whether an entry has a certain path of a source.
func (l *layout) isFrom(e []uint32, o *outPath) bool {
	return entryPeer(e) == o.peer && e[wMeta]&entryPath != 0 == o.hasPathID && e[l.chain+chainFrom] == o.pathID
}

// reuse returns a dead entry of a prefix for a path: the one that it had, or
// any other, or 0.
func (s *state) reuse(head ref, o *outPath, batch uint32) (found ref) {
	bucket, n := head.split()
	for ; n != 0; n = s.lay.next(s.buckets[bucket].entry(n, s.lay.stride)) {
		e := s.buckets[bucket].entry(n, s.lay.stride)
		if e[wMeta]&entryDead == 0 || e[wStamp] == batch {
			continue // what died just now is told of in no certain order
		}
		found = makeRef(bucket, n)
		if s.lay.isFrom(e, o) {
			return found
		}
	}
	return found
}

// freeID returns the least path id from 1 that no entry of a prefix has.
func (s *state) freeID(head ref) uint32 {
	for id := uint32(1); ; id += 64 {
		var used uint64
		bucket, n := head.split()
		for n != 0 {
			e := s.buckets[bucket].entry(n, s.lay.stride)
			if d := s.lay.id(e) - id; d < 64 {
				used |= 1 << d
			}
			n = s.lay.next(e)
		}
		for i := range uint32(64) {
			if used>>i&1 == 0 {
				return id + i
			}
		}
	}
}

// withID returns the entry of a prefix with an id, 0 where there is none.
func (s *state) withID(head ref, id uint32) ref {
	bucket, n := head.split()
	for ; n != 0; n = s.lay.next(s.buckets[bucket].entry(n, s.lay.stride)) {
		if s.lay.id(s.buckets[bucket].entry(n, s.lay.stride)) == id {
			return makeRef(bucket, n)
		}
	}
	return 0
}

// route adds a route to what an encoder writes.
func (g *group) route(enc *wire.Encoder, lay *layout, p *prefix, labels, id uint32) {
	switch lay.form {
	case wire.FormPrefix:
		if lay.v4 {
			enc.Route4(uint32(p.key.Hi>>32), p.n, id)
		} else {
			enc.Route6(p.key.Hi, p.key.Lo, p.n, id)
		}
	case wire.FormRaw:
		if nlri, ok := g.m.rib.RawNLRI(p.key); ok {
			enc.RouteRaw(nlri, id)
		}
	default:
		var rd uint64
		if lay.table != 0 {
			_, rd, _ = g.m.rib.TableInfo(p.table)
		}
		stack, _ := g.m.rib.Labels(labels)
		enc.RouteLabelled(rd, stack, p.key.Hi, p.key.Lo, p.n, id)
	}
}
