package adjout

import (
	"encoding/binary"
	"slices"

	"ribd/shard/rib"
)

// A prefix is mixed for route server clients where a source with an audience of
// its own has a path of it. Then its entries are a list, in the order of rank, in
// which every member has the first path that it is sent. They change all at once.

// markMixed is in chainFrom of the main entry of a prefix that is mixed, and
// noMember in that of the others.
const (
	markMixed = 1
	noMember  = rib.MaxPeers
)

// following returns the entry of the same prefix behind one, 0 for none.
func (s *state) following(at ref) ref {
	bucket, _ := at.split()
	if n := s.lay.next(s.entry(at)); n != 0 {
		return makeRef(bucket, n)
	}
	return 0
}

// isMixed says whether the entries of a prefix are a list.
func (s *state) isMixed(head ref) bool {
	at := s.withID(head, idMain)
	return at != 0 && s.entry(at)[wMeta]&entryDead == 0 && s.entry(at)[s.lay.chain+chainFrom] == markMixed
}

// sources appends the sources of the live entries of a prefix that is mixed, in
// order.
func (s *state) sources(head ref, dst []rib.PeerNum) []rib.PeerNum {
	for id := uint32(idMain); ; id++ {
		at := s.withID(head, id)
		if at == 0 || s.entry(at)[wMeta]&entryDead != 0 {
			return dst
		}
		dst = append(dst, entryPeer(s.entry(at)))
	}
}

// first returns which of several sources it is whose route a member is sent, -1
// for none.
func (a audiences) first(sources []rib.PeerNum, t *Target) int {
	for i, src := range sources {
		if a.reach(src, t) {
			return i
		}
	}
	return -1
}

// packSources is sources as the key of state.mixed.
func packSources(sources []rib.PeerNum) string {
	var b []byte
	for _, n := range sources {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return string(b)
}

func unpackSources(key string) (sources []rib.PeerNum) {
	for b := []byte(key); len(b) >= 4; b = b[4:] {
		sources = append(sources, rib.PeerNum(binary.BigEndian.Uint32(b)))
	}
	return sources
}

// mixes says whether paths make a prefix a mixed one.
func (g *group) mixes(paths []outPath) bool {
	for i := range paths {
		if g.only.restricted(paths[i].peer) {
			return true
		}
	}
	return false
}

// setMixed is setServer for a prefix that is, or was, mixed.
func (g *group) setMixed(st *state, r *result, head ref, is []outPath) {
	mixed, now := st.isMixed(head), g.mixes(is)
	was := st.list(head, g.was[:0])
	g.was = was
	if mixed && now && slices.EqualFunc(was, is, sameOut) {
		for at := head; at != 0; at = st.following(at) {
			g.scan.mark(r.fam, at)
		}
		return
	}
	g.tellMixed(r, was, is)
	st.tally(was, mixed, -1)
	st.tally(is, now, 1)
	for i := range is {
		at := st.withID(head, uint32(i))
		if at == 0 {
			if at = st.insert(&r.prefix, r.hash, head); at == 0 {
				return
			}
			st.entry(at)[st.lay.chain+chainID] = uint32(i)
			if head == 0 {
				head = at
			}
		}
		e := st.entry(at)
		g.scan.mark(r.fam, at)
		g.write(st, e, &is[i])
		e[wMeta] &^= entryConst | entryFresh | entryAlt
		from := &e[st.lay.chain+chainFrom]
		switch {
		case i == idMain && now:
			*from = markMixed
		case i == idMain:
			*from = 0
			if len(is) > 1 {
				e[wMeta] |= entryAlt
			}
		case now:
			*from = uint32(noMember)
		default:
			*from = uint32(is[idMain].peer)
		}
	}
	for at := head; at != 0; at = st.following(at) {
		e := st.entry(at)
		if st.lay.id(e) < uint32(len(is)) || e[wMeta]&entryDead != 0 {
			continue
		}
		g.scan.mark(r.fam, at)
		e[wMeta] &^= entryConst | entryFresh | entryAlt
		if mixed {
			e[st.lay.chain+chainFrom] = uint32(noMember)
		}
		g.bury(st, r.fam, at, e)
	}
}

// sameOut says whether two paths are sent alike, to the same members.
func sameOut(a, b outPath) bool {
	return a.attrs == b.attrs && a.labels == b.labels && a.peer == b.peer
}

// list appends the live paths of a prefix in the order of their numbers.
func (s *state) list(head ref, dst []outPath) []outPath {
	for id := uint32(idMain); ; id++ {
		at := s.withID(head, id)
		if at == 0 || s.entry(at)[wMeta]&entryDead != 0 {
			return dst
		}
		e := s.entry(at)
		dst = append(dst, outPath{attrs: rib.AttrID(e[wAttr]), labels: s.lay.labelsOf(e), peer: entryPeer(e)})
	}
}

// tally counts the paths of a prefix.
func (s *state) tally(paths []outPath, mixed bool, by int) {
	switch {
	case len(paths) == 0:
	case mixed:
		sources := make([]rib.PeerNum, len(paths))
		for i := range paths {
			sources[i] = paths[i].peer
		}
		key := packSources(sources)
		if s.mixed[key] += by; s.mixed[key] == 0 {
			delete(s.mixed, key)
		}
	default:
		s.live += by
		count(s.own, paths[idMain].peer, by)
		if len(paths) > 1 {
			count(s.only, paths[idMain].peer, by)
		}
	}
}

// tellMixed tells each member the difference.
func (g *group) tellMixed(r *result, was, is []outPath) {
	if !g.telling {
		return
	}
	for mb := range g.members {
		a, b := g.pick(was, mb), g.pick(is, mb)
		sc := toOne
		if a.attrs == b.attrs && (a.labels == b.labels || a.attrs == 0) {
			sc |= late
		}
		g.emit(sc, mb.t.Num, r.fam, &r.prefix, b.attrs, b.labels, 0)
	}
}

// pick returns the path that a member is sent.
func (g *group) pick(paths []outPath, mb *Member) (o outPath) {
	for i := range paths {
		if g.only.reach(paths[i].peer, &mb.t) {
			return paths[i]
		}
	}
	return o
}
