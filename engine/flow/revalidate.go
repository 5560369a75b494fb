package flow

import (
	"ribd/shard/rib"
	"ribd/shard/rules"
	"ribd/trie"
	"ribd/wire/flowspec"
)

// again is a path of a rule that the shards are to judge again, and the verdict.
type again struct {
	table rib.TableID
	path  pathKey
	why   rib.FilterReason
}

// subjectOf returns the path p of a rule as it is to be validated; false where its
// peer's rules are not, or policy has refused it.
func (t *Tables) subjectOf(f *family, nlri []byte, p *rib.Path) (s subject, came rib.AttrID, ok bool) {
	if t.o.Filter == nil || p.Filtered != rib.FilterNone && !p.Filtered.Invalid() {
		return s, 0, false
	}
	x, ok := t.o.Filter(p.Peer).(*filter)
	if !ok || x.t != t {
		return s, 0, false
	}
	s = subject{family: f.family, nlri: nlri, mode: x.mode}
	if s.peer, ok = t.rib.Peer(p.Peer); !ok {
		return s, 0, false
	}
	came = p.Attrs
	if p.PreAttrs != 0 {
		came = p.PreAttrs
	}
	s.attrs, ok = t.attrs.Bytes(came)
	return s, came, ok
}

// check works the verdicts on the paths of a rule out whose announcement came by:
// t.paths. t.rd is pinned.
func (t *Tables) check(f *family, k trie.Key, nlri []byte) {
	delete(f.witness, rawNumber(k))
	for i := range t.paths {
		p := &t.paths[i]
		s, came, ok := t.subjectOf(f, nlri, p)
		if !ok {
			continue
		}
		why, w := t.evaluate(t.rd, &s)
		t.decide(f, k, p, came, why, w)
	}
}

// decide notes the verdict on a path, and has it judged again where it has another.
func (t *Tables) decide(f *family, k trie.Key, p *rib.Path, came rib.AttrID, why rib.FilterReason, w changedKey) {
	if why == rib.FilterMoreSpecific {
		f.witness[rawNumber(k)] = w
	}
	if why != p.Filtered {
		t.counts.changed.Add(1)
		t.again = append(t.again, again{f.table, pathKey{k, p.Peer, p.PathID, p.HasPathID, came}, why})
	}
}

// revalidate works the verdicts on the rules out anew that depend on the unicast
// prefixes of which a change was read: those whose destination covers one, or is
// covered by one.
func (t *Tables) revalidate() {
	note := func(nlri []byte, _ rules.Value) bool {
		t.found = append(t.found, nlri)
		return true
	}
	for _, c := range t.unicast {
		tb := t.validated(&t.roles[c.t])
		if tb == nil {
			continue
		}
		f := t.familyOf(tb)
		t.found = t.found[:0]
		tb.current.Load().Overlapping(c.k.Prefix(c.n, !flowspec.Is6(f.family)), note)
		// The rules to one destination follow each other.
		for rest := t.found; len(rest) > 0; {
			at := target{table: c.t}
			at.k, at.n, at.ok = destination(f.family, rest[0])
			n := 1
			for ; n < len(rest); n++ {
				if k, m, ok := destination(f.family, rest[n]); k != at.k || m != at.n || ok != at.ok {
					break
				}
			}
			t.revalidateTo(f, at, rest[:n], c)
			rest = rest[n:]
		}
	}
	t.unicast = t.unicast[:0]
}

// revalidateTo is revalidate for rules to one destination and one change.
func (t *Tables) revalidateTo(f *family, at target, nlris [][]byte, c changedKey) {
	var w wideTarget
	ok := false
	if c.n > at.n {
		if w, ok = t.known(at); ok && w.inLine && w.applied == w.found {
			return
		}
	}
	for _, nlri := range nlris {
		t.reconsider(f, nlri, c, ok)
	}
	if ok {
		t.wide.apply(&w)
	}
}

// reconsider works the verdicts on a rule out anew after a change of the unicast
// prefix c; whole says that it is to be done in any case.
func (t *Tables) reconsider(f *family, nlri []byte, c changedKey, whole bool) {
	k, _, ok := t.rib.FindRawKey(nlri)
	if !ok {
		return
	}
	t.rd.Pin()
	defer t.rd.Unpin()
	m := t.rd.Get(f.table, k, rawBits)
	if !m.OK() {
		return
	}
	t.paths = t.rd.Paths(m, t.paths[:0])
	for i := range t.paths {
		p := &t.paths[i]
		s, came, ok := t.subjectOf(f, nlri, p)
		if !ok {
			continue
		}
		t.counts.revalidated.Add(1)
		if !whole && t.untouched(f, k, &s, p.Filtered, c) {
			continue
		}
		why, w := t.evaluate(t.rd, &s)
		t.decide(f, k, p, came, why, w)
	}
}

// untouched says whether the verdict on a path, which is what the table has, can't
// have become another one by the change of the unicast prefix c. It saves walking
// all that is under a wide destination each time that one of it changes.
func (t *Tables) untouched(f *family, k trie.Key, s *subject, now rib.FilterReason, c changedKey) bool {
	why, done, at := t.settled(s)
	if done {
		return why == now
	}
	if c.n <= at.n {
		// It covers the destination, but matters only if nothing longer does.
		b, ok := t.bestMatch(t.rd, at)
		return ok && b.n > c.n && now != rib.FilterNoDestination
	}
	switch now {
	case rib.FilterNoUnicast, rib.FilterOriginator:
		return true // what is under the destination has no part in it
	case rib.FilterNone, rib.FilterMoreSpecific:
		b, ok := t.bestMatch(t.rd, at)
		if !ok || !b.speaksFor(s) {
			return false
		}
		if now == rib.FilterNone {
			return !t.isForeign(t.rd, c, b.neighbor)
		}
		w, ok := f.witness[rawNumber(k)]
		return ok && t.isForeign(t.rd, w, b.neighbor)
	}
	return false
}

// judgeAgain has the shards judge what was found to have another verdict.
func (t *Tables) judgeAgain() {
	if len(t.again) == 0 {
		return
	}
	keys := map[rib.TableID][]trie.Key{}
	verdicts := make(map[pathKey]rib.FilterReason, len(t.again))
	for i := range t.again {
		a := &t.again[i]
		keys[a.table] = append(keys[a.table], a.path.k)
		verdicts[a.path] = a.why
	}
	t.again = t.again[:0]
	t.counts.asked.Add(1)
	filter := func(n rib.PeerNum) rib.Filter {
		x, ok := t.o.Filter(n).(*filter)
		if !ok {
			return nil
		}
		return &decided{x, verdicts}
	}
	for id, ks := range keys {
		t.rib.RejudgeKeys(id, ks, rawBits, filter)
	}
}
