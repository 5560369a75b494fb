package adjout

import "ribd/shard/rib"

// setServer makes the two entries that a prefix has for route server clients
// hold the best path, and the best of another source, which the source of the
// best one is sent.
func (g *group) setServer(st *state, r *result, head ref, paths []outPath) {
	if st.isMixed(head) || g.mixes(paths) {
		g.setMixed(st, r, head, paths)
		return
	}
	was := st.served(head)
	var is served
	if len(paths) > 0 {
		is.main = paths[0]
		is.has = true
		if len(paths) > 1 {
			is.alt, is.only = paths[1], paths[0].peer
		}
	}
	at, second := st.withID(head, idMain), st.withID(head, idAlt)
	never := head == 0 // the source of the main path never had it from us
	if at != 0 {
		e := st.entry(at)
		never = e[wMeta]&entryConst != 0 && (!is.has || entryPeer(e) == is.main.peer)
	}
	g.tellServer(r, &was, &is, never)
	if at == 0 && is.has {
		if at = st.insert(&r.prefix, r.hash, head); at == 0 {
			return
		}
		st.entry(at)[st.lay.chain+chainID] = idMain
		if head == 0 {
			head = at
		}
	}
	if at != 0 {
		g.setMain(st, r, at, &was, &is)
	}
	if second == 0 && is.alt.attrs != 0 {
		if second = st.insert(&r.prefix, r.hash, head); second == 0 {
			return
		}
		st.entry(second)[st.lay.chain+chainID] = idAlt
	}
	if second != 0 {
		g.setAlt(st, r, second, &was, &is)
	}
}

// served is what route server clients are sent of a prefix: main, but its
// source alt.
type served struct {
	has       bool
	main, alt outPath
	only      rib.PeerNum // who is sent alt, where there is one
}

// to returns what a member is sent.
func (s *served) to(m rib.PeerNum) (attrs rib.AttrID, labels uint32) {
	switch {
	case s.has && s.main.peer != m:
		return s.main.attrs, s.main.labels
	case s.has && s.alt.attrs != 0 && s.only == m:
		return s.alt.attrs, s.alt.labels
	}
	return 0, 0
}

// served returns what the entries of a prefix say.
func (s *state) served(head ref) (v served) {
	if at := s.withID(head, idMain); at != 0 {
		if e := s.entry(at); e[wMeta]&entryDead == 0 {
			v.has = true
			v.main = outPath{attrs: rib.AttrID(e[wAttr]), labels: s.lay.labelsOf(e), peer: entryPeer(e)}
		}
	}
	if at := s.withID(head, idAlt); at != 0 && v.has {
		if e := s.entry(at); e[wMeta]&entryDead == 0 {
			v.alt = outPath{attrs: rib.AttrID(e[wAttr]), labels: s.lay.labelsOf(e), peer: entryPeer(e)}
			v.only = rib.PeerNum(e[s.lay.chain+chainFrom])
		}
	}
	return v
}

// tellServer emits the difference. All members but the sources of the two main
// paths see the main path alone.
func (g *group) tellServer(r *result, was, is *served, never bool) {
	changed := was.main.attrs != is.main.attrs || was.main.labels != is.main.labels
	except := was.main.peer
	if is.has {
		except = is.main.peer
	}
	if changed {
		g.emit(toOthers, except, r.fam, &r.prefix, is.main.attrs, is.main.labels, 0)
	} else if is.has && was.main.peer != is.main.peer {
		g.emit(toOthers|late, except, r.fam, &r.prefix, is.main.attrs, is.main.labels, 0)
	}
	special := func(m rib.PeerNum) {
		a, la := was.to(m)
		b, lb := is.to(m)
		switch {
		case m != except && changed:
		case a != b || la != lb:
			g.emit(toOne, m, r.fam, &r.prefix, b, lb, 0)
		case *was != *is && (b != 0 || !never):
			g.emit(toOne|late, m, r.fam, &r.prefix, b, lb, 0)
		}
	}
	if was.has {
		special(was.main.peer)
	}
	if is.has && (!was.has || is.main.peer != was.main.peer) {
		special(is.main.peer)
	}
}

// setMain writes the entry of the main path, without telling.
func (g *group) setMain(st *state, r *result, at ref, was, is *served) {
	e := st.entry(at)
	g.scan.mark(r.fam, at)
	if was.has {
		st.live--
		count(st.own, was.main.peer, -1)
	}
	if !is.has {
		if was.has {
			g.bury(st, r.fam, at, e)
			e[wMeta] &^= entryAlt
		}
		return
	}
	st.live++
	count(st.own, is.main.peer, 1)
	if !was.has || was.main.attrs != is.main.attrs || was.main.labels != is.main.labels || was.main.peer != is.main.peer {
		g.write(st, e, &is.main)
	}
	e[wMeta] &^= entryAlt
	e[st.lay.chain+chainFrom] = 0
	if is.alt.attrs != 0 {
		e[wMeta] |= entryAlt
	}
}

// setAlt writes the entry of what the source of the main path is sent.
func (g *group) setAlt(st *state, r *result, at ref, was, is *served) {
	e := st.entry(at)
	g.scan.mark(r.fam, at)
	if was.alt.attrs != 0 {
		count(st.only, was.only, -1)
	}
	if is.alt.attrs == 0 {
		if was.alt.attrs != 0 {
			g.bury(st, r.fam, at, e)
		}
		return
	}
	count(st.only, is.only, 1)
	if was.alt.attrs != is.alt.attrs || was.alt.labels != is.alt.labels || was.only != is.only || was.alt.peer != is.alt.peer {
		g.write(st, e, &is.alt)
	}
	e[st.lay.chain+chainFrom] = uint32(is.only)
	e[wMeta] &^= entryPath
}
