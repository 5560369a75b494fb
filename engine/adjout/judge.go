package adjout

import (
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// outPath is a path as it is to be sent.
type outPath struct {
	attrs     rib.AttrID // 0: none
	labels    uint32
	peer      rib.PeerNum // source
	pathID    uint32      // of the source
	hasPathID bool
}

// result is what a prefix ought to be in the state: paths[first:first+n] of the
// judge. For route server clients the second is what the source of the first
// gets.
type result struct {
	prefix
	hash     uint64
	fam      uint8
	first, n int32
}

// mode says how many paths of a prefix are sent.
type mode uint8

const (
	modeBest    mode = iota
	modeServer       // the best one, and the best of another source for its source (RFC 7947 2.3.2)
	modeAddPath      // the best ones (RFC 7911)
)

// family is a family of a group.
type family struct {
	family wire.Family
	mode   mode
	limit  int // paths of a prefix, with modeAddPath
}

// judge finds out what a group's members are to be sent of a prefix: the paths
// that the rules and the policy leave, as they are in the Loc-RIB at the moment.
// It belongs to the group's goroutine.
type judge struct {
	m      *Manager
	fams   []family
	states []*state // for hashing
	filter rib.Filter
	rules  *rules
	memo   memo
	tables []tableRef
	rd     *shard.Reader

	scratch []rib.Path
	paths   []outPath
	results []result
}

// tableRef is what a judge knows of a table.
type tableRef struct {
	fam   int8 // in the group; -1: not sent
	known bool
	rd    uint64
}

// table returns a table of the RIB.
func (j *judge) table(t rib.TableID) tableRef {
	for int(t) >= len(j.tables) {
		j.tables = append(j.tables, tableRef{})
	}
	ref := &j.tables[t]
	if !ref.known {
		f, rd, _ := j.m.rib.TableInfo(t)
		*ref = tableRef{fam: -1, known: f != 0, rd: rd}
		for i := range j.fams {
			if j.fams[i].family == f {
				ref.fam = int8(i)
			}
		}
	}
	return *ref
}

// begin empties the results.
func (j *judge) begin() {
	j.paths, j.results = j.paths[:0], j.results[:0]
	j.forget()
}

// forget empties the memo where sets that it has may end, or a source is gone.
func (j *judge) forget() {
	if gen := j.m.rib.Attrs().Generation() + j.m.sourcesChanged.Load(); gen != j.memo.generation {
		j.memo.reset(gen)
	}
}

// open begins the result of a prefix.
func (j *judge) open(p *prefix, fam uint8) *result {
	j.results = append(j.results, result{prefix: *p, hash: j.states[fam].hash(p), fam: fam, first: int32(len(j.paths))})
	return &j.results[len(j.results)-1]
}

// latest judges a prefix as it is now. The reader is pinned.
func (j *judge) latest(p *prefix, ref tableRef) {
	r := j.open(p, uint8(ref.fam))
	m := j.rd.Get(p.table, p.key, p.n)
	if !m.OK() {
		return
	}
	if j.fams[ref.fam].mode == modeBest {
		best, n, _ := j.rd.Best(m)
		if n > 0 {
			j.path(r, ref, &best)
		}
		return
	}
	j.scratch = j.rd.Paths(m, j.scratch[:0])
	j.all(r, ref, j.scratch)
}

// records judges a prefix as a walk found it: paths in order, none of a peer
// that is down.
func (j *judge) records(p *prefix, ref tableRef, rs rib.Records) {
	r := j.open(p, uint8(ref.fam))
	if j.fams[ref.fam].mode == modeBest {
		if rs.Next() && !rs.Filtered() {
			var best rib.Path
			rs.Path(&best)
			j.path(r, ref, &best)
		}
		return
	}
	j.scratch = j.scratch[:0]
	for rs.Next() && !rs.Filtered() {
		var q rib.Path
		rs.Path(&q)
		j.scratch = append(j.scratch, q)
	}
	j.all(r, ref, j.scratch)
}

// all judges paths in the order of their rank.
func (j *judge) all(r *result, ref tableRef, paths []rib.Path) {
	limit := j.fams[ref.fam].limit
	if j.fams[ref.fam].mode == modeServer {
		j.serve(r, ref, paths)
		return
	}
	for i := range paths {
		if int(r.n) == limit || paths[i].Filtered != rib.FilterNone {
			return
		}
		j.path(r, ref, &paths[i])
	}
}

// serve is all for route server clients: one path that everybody can have, one
// of another source for who that one comes from, and what is before these for
// some members alone.
func (j *judge) serve(r *result, ref tableRef, paths []rib.Path) {
	only := *j.m.only.Load()
	open := 0 // paths for everybody
	for i := range paths {
		p := &paths[i]
		if open == 2 || p.Filtered != rib.FilterNone {
			return
		}
		if j.has(r, p.Peer) {
			continue
		}
		before := r.n
		j.path(r, ref, p)
		if r.n > before && !only.restricted(p.Peer) {
			open++
		}
	}
}

// has says whether a result has a path of a source.
func (j *judge) has(r *result, src rib.PeerNum) bool {
	for i := r.first; i < r.first+r.n; i++ {
		if j.paths[i].peer == src {
			return true
		}
	}
	return false
}

// path judges one path and, where it is sent, adds it to the result.
func (j *judge) path(r *result, ref tableRef, p *rib.Path) {
	id, _ := j.one(r, ref, p)
	if id == 0 {
		return
	}
	j.paths = append(j.paths, outPath{attrs: id, labels: p.Labels, peer: p.Peer, pathID: p.PathID, hasPathID: p.HasPathID})
	r.n++
}

// one returns the set that is sent for a path, or why nothing is.
func (j *judge) one(r *result, ref tableRef, p *rib.Path) (rib.AttrID, why) {
	a := j.route(r, ref, p)
	if a.attrs != memoRefuse && j.fams[r.fam].family.Form() == wire.FormRaw && !j.rawFits(r, rib.AttrID(a.attrs)) {
		return 0, whyTooLong
	}
	return rib.AttrID(a.attrs), a.why
}

// rawFits says whether a raw NLRI, which can be of any length, fits into a
// message beside its attributes.
func (j *judge) rawFits(r *result, id rib.AttrID) bool {
	nlri, ok := j.m.rib.RawNLRI(r.key)
	attrs, ok2 := j.m.rib.Attrs().Bytes(id)
	return ok && ok2 && j.rules.fitsRaw(j.fams[r.fam].family, nlri, attrs)
}

// route returns what is sent for a path: a set, or a refusal.
func (j *judge) route(r *result, ref tableRef, p *rib.Path) answer {
	key := memoKey(r.fam, p.Peer, p.Attrs)
	a, ok := j.memo.get(key)
	if !ok {
		a = j.set(r.fam, p)
		j.memo.put(key, a)
	}
	if a.attrs != memoAsk {
		return a
	}
	q := *p
	verdict := j.filter.Route(j.fams[r.fam].family, ref.rd, r.key, r.prefix.n, &q)
	if verdict.Filtered != rib.FilterNone {
		return refusal(whyPolicy)
	}
	judged := verdict.Attrs
	if judged == 0 {
		judged = p.Attrs
	}
	did := j.rules.chose(p.Attrs, judged)
	key = judgedKey(r.fam, p.Peer, judged, did)
	if a, ok = j.memo.get(key); !ok {
		a = j.transformed(r.fam, p.Peer, judged, did)
		j.memo.put(key, a)
	}
	return a
}

// set judges a set of a source: what is sent, a refusal or memoAsk.
func (j *judge) set(fam uint8, p *rib.Path) answer {
	f := j.fams[fam].family
	if j.filter == nil {
		return refusal(whyPolicy)
	}
	if w := j.rules.allowed(f, j.m.source(p.Peer), p.Attrs); w != whyNot {
		return refusal(w)
	}
	verdict, final := j.filter.Set(f, p.Peer, p.Attrs)
	if !final {
		return answer{attrs: memoAsk}
	}
	if verdict.Filtered != rib.FilterNone {
		return refusal(whyPolicy)
	}
	judged := verdict.Attrs
	if judged == 0 {
		judged = p.Attrs
	}
	return j.transformed(fam, p.Peer, judged, j.rules.chose(p.Attrs, judged))
}

func (j *judge) transformed(fam uint8, peer rib.PeerNum, judged rib.AttrID, did chosen) answer {
	id, w := j.rules.transform(j.fams[fam].family, j.m.source(peer), judged, did)
	return answer{uint32(id), w}
}
