package flow

import (
	"cmp"
	"net/netip"
	"slices"

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
		why, w := t.evaluate(t.rd, &t.memo, &s)
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

// atOnce is how many rules are looked at under one pin.
const atOnce = 256

// pin pins the reader of the goroutine that follows.
func (t *Tables) pin() {
	t.rd.Pin()
	t.memo = memo{}
}

// revalidate works the verdicts on the rules out anew that depend on the unicast
// prefixes of which a change was read: those whose destination covers one, or is
// covered by one. Each is looked at once for all changes, or once for many.
func (t *Tables) revalidate() {
	for i := range t.unicast {
		c := &t.unicast[i]
		tb := t.validated(&t.roles[c.t])
		if tb == nil {
			continue
		}
		tb.current.Load().Destinations(c.k.Prefix(c.n, !flowspec.Is6(tb.family)), func(p netip.Prefix) bool {
			at := target{table: c.t, ok: true}
			at.k, at.n = trie.PrefixKey(p)
			t.touched = append(t.touched, touch{at, int32(i)})
			return true
		})
		if len(t.touched) >= touchedMost {
			t.revalidateTouched()
		}
	}
	t.revalidateTouched()
	t.unicast = t.unicast[:0]
}

// touch is a destination of rules, and a change that may mean something to them, by
// its place in Tables.unicast.
type touch struct {
	at     target
	change int32
}

// touchedMost is how many are gathered before they are looked at.
const touchedMost = 1 << 16

// revalidateTouched is revalidate for what was gathered.
func (t *Tables) revalidateTouched() {
	slices.SortFunc(t.touched, func(a, b touch) int {
		return cmp.Or(cmp.Compare(a.at.table, b.at.table), a.at.k.Compare(b.at.k), cmp.Compare(a.at.n, b.at.n))
	})
	for rest := t.touched; len(rest) > 0; {
		d := due{tb: t.validated(&t.roles[rest[0].at.table]), at: rest[0].at}
		n := 0
		for ; n < len(rest) && rest[n].at == d.at; n++ {
			d.covers = d.covers || t.unicast[rest[n].change].n <= d.at.n
		}
		d.changes, rest = rest[:n], rest[n:]
		t.revalidateTo(&d)
	}
	if t.touched = t.touched[:0]; cap(t.touched) > 2*touchedMost {
		t.touched = nil // a route over everything
	}
}

// due is a destination of rules, and the changes that may mean something to them.
type due struct {
	tb      *table
	at      target
	changes []touch
	covers  bool // one of them is of a route to the destination
}

// changesMost bounds how many changes times how many rules to one destination are
// held against each other. Where there are more, each verdict is worked out anew.
const changesMost = 1 << 14

// revalidateTo is revalidate for the rules to one destination.
func (t *Tables) revalidateTo(d *due) {
	w, known := t.known(d.at)
	if !d.covers && known && w.inLine && w.applied == w.found {
		return
	}
	t.found = t.found[:0]
	f := t.familyOf(d.tb)
	d.tb.current.Load().To(d.at.k.Prefix(d.at.n, !flowspec.Is6(f.family)), func(nlri []byte, _ rules.Value) bool {
		t.found = append(t.found, nlri)
		return true
	})
	all := known && !d.covers || len(d.changes)*len(t.found) > t.changesMost
	for rest := t.found; len(rest) > 0; {
		part := rest[:min(len(rest), atOnce)]
		rest = rest[len(part):]
		t.pin()
		for _, nlri := range part {
			t.reconsider(f, nlri, d, all)
		}
		t.rd.Unpin()
	}
	if known && all {
		t.wide.apply(&w)
	}
}

// reconsider works the verdicts on a rule out anew after changes of unicast routes;
// all says that it is to be done in any case. t.rd is pinned.
func (t *Tables) reconsider(f *family, nlri []byte, d *due, all bool) {
	k, _, ok := t.rib.FindRawKey(nlri)
	if !ok {
		return
	}
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
		if !all && t.untouchedBy(f, k, &s, p.Filtered, d.changes) {
			continue
		}
		why, w := t.evaluate(t.rd, &t.memo, &s)
		t.decide(f, k, p, came, why, w)
	}
}

// untouchedBy is untouched for several changes.
func (t *Tables) untouchedBy(f *family, k trie.Key, s *subject, now rib.FilterReason, changes []touch) bool {
	for i := range changes {
		if !t.untouched(f, k, s, now, t.unicast[changes[i].change]) {
			return false
		}
	}
	return true
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
		b, ok := t.bestFor(t.rd, &t.memo, at)
		return ok && b.n > c.n && now != rib.FilterNoDestination
	}
	switch now {
	case rib.FilterNoUnicast, rib.FilterOriginator:
		return true // what is under the destination has no part in it
	case rib.FilterNone, rib.FilterMoreSpecific:
		b, ok := t.bestFor(t.rd, &t.memo, at)
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
