package rib

// Change calls f for each path of the open prefix. f may change what a path is
// judged by, its Attrs, PreAttrs, Filtered and Stale, or say that it goes; mark
// is the generation bit. Then changed is called with the path as it was and as
// it is, or gone as by RemovePeers. The paths are good until these return.
func (e *Editor) Change(f func(p *Path, mark bool) (keep bool), changed func(was, is *Path), gone func(p *Path, last bool)) {
	was, is := &e.paths[0], &e.paths[1]
	for i := 0; i < len(e.items); {
		it := &e.items[i]
		it.path(was)
		*is = *was
		if !f(is, it.w0&recMark != 0) {
			num := it.num()
			e.remove(i)
			gone(was, !e.hasPeer(num))
			continue
		}
		if is.PreAttrs == is.Attrs {
			is.PreAttrs = 0
		}
		if is.Attrs != was.Attrs || is.PreAttrs != was.PreAttrs || is.Filtered != was.Filtered || is.Stale != was.Stale {
			it.judge(is)
			e.dirty, e.ranked = true, false
			changed(was, is)
		}
		i++
	}
}

func (e *Editor) hasPeer(n PeerNum) bool {
	for i := range e.items {
		if e.items[i].num() == n {
			return true
		}
	}
	return false
}

// judge takes over what Change lets a path change.
func (it *item) judge(p *Path) {
	it.attrs, it.pre = p.Attrs, p.PreAttrs
	it.w0 &^= recPre | recFiltered | recNibble | recStale
	it.w0 |= uint32(p.Stale) << recStaleShift & recStale
	if p.PreAttrs != 0 {
		it.w0 |= recPre
	}
	if p.Filtered != FilterNone {
		it.w0 |= recFiltered | uint32(p.Filtered)<<recNibbleShift&recNibble
	}
}
