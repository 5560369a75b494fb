package adjout

import (
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// VerdictState says what has become of a route towards a member.
type VerdictState uint8

// The states.
const (
	Sent    VerdictState = iota // it is with the Sender
	Queued                      // it will be, when the member has caught up
	Refused                     // it is not sent
)

var verdictNames = [...]string{"sent", "queued", "refused"}

// String returns the state as the API shows it.
func (s VerdictState) String() string {
	if int(s) < len(verdictNames) {
		return verdictNames[s]
	}
	return "state"
}

// Verdict is what has become of a route towards a member.
type Verdict struct {
	Member    *Member
	ID        string      // Target.ID
	Num       rib.PeerNum // Target.Num
	State     VerdictState
	Reason    string // of Refused and Queued
	PathID    uint32 // as sent, where HasPathID
	HasPathID bool
}

// question is what Explain was asked.
type question struct {
	prefix
	family    wire.Family
	ref       tableRef // but for its number of the family
	src       rib.PeerNum
	pathID    uint32
	hasPathID bool
	only      audiences // of now: a group that sends nothing may know older ones

	paths []rib.Path // of the prefix, in order
	mine  int        // among them; -1: none
	twins bool       // the source has others
}

// asking is what Explain needs, for one call at a time.
type asking struct {
	rd    *shard.Reader
	paths []rib.Path
}

// Explain appends what has become of the path of a source, for every member, in
// no order. What is sent costs a look into the group's table; only where a route
// is not there the rules and the policy are asked again. Told makes it current.
func (m *Manager) Explain(t rib.TableID, k trie.Key, n uint8, src rib.PeerNum, pathID uint32, hasPathID bool, dst []Verdict) []Verdict {
	m.use.RLock()
	defer m.use.RUnlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return dst
	}
	f, rd, _ := m.rib.TableInfo(t)
	if f == 0 {
		return dst
	}
	q := question{
		prefix: prefix{k, t, n}, family: f, ref: tableRef{known: true, rd: rd},
		src: src, pathID: pathID, hasPathID: hasPathID, only: *m.only.Load(), mine: -1,
	}
	a := &m.asking
	if a.rd == nil {
		a.rd = m.rib.NewReader()
	}
	a.rd.Pin()
	a.paths = a.rd.Paths(a.rd.Get(t, k, n), a.paths[:0])
	a.rd.Unpin()
	q.paths = a.paths
	for i := range q.paths {
		switch p := &q.paths[i]; {
		case p.Peer != src:
		case p.HasPathID == hasPathID && p.PathID == pathID:
			q.mine = i
		default:
			q.twins = true
		}
	}
	for g := range m.groups {
		dst = g.explain(&q, dst)
	}
	return dst
}

// explain appends the verdicts for the members of a group. The manager's lock is
// held.
func (g *group) explain(q *question, dst []Verdict) []Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := result{prefix: q.prefix}
	known := false
	for i := range g.judge.fams {
		if g.judge.fams[i].family == q.family {
			r.fam, known = uint8(i), true
		}
	}
	var a account
	switch {
	case !known:
		a.why = whyFamily
	case q.mine < 0:
		a.why = whyWithdrawn
	case q.paths[q.mine].Filtered != rib.FilterNone:
		a.why = whyFiltered
	default:
		q.ref.fam = int8(r.fam)
		g.ask.forget()
		a = g.account(q, &r)
	}
	for mb := range g.members {
		v := Verdict{Member: mb, ID: mb.t.ID, Num: mb.t.Num, PathID: a.pathID, HasPathID: a.hasPathID}
		w, stamp := a.to(q, mb)
		switch {
		case w != whyNot:
			v.State, v.Reason, v.PathID, v.HasPathID = Refused, w.String(), 0, false
		case stamp == 0 || !mb.has(g, stamp):
			v.State, v.Reason = Queued, mb.delay(g)
		}
		dst = append(dst, v)
	}
	return dst
}

// account is what a group does with a path.
type account struct {
	why       why
	stamp     uint32 // number of the batch that has it; 0: it is not in the state yet
	pathID    uint32
	hasPathID bool

	// For route server clients: what the entries of the prefix are.
	server  bool
	sources []rib.PeerNum // in order, as mixed
	stamps  []uint32
}

// account finds out what the group does with a path.
func (g *group) account(q *question, r *result) (a account) {
	st := g.states[r.fam]
	head := st.find(&q.prefix, st.hash(&q.prefix))
	switch g.judge.fams[r.fam].mode {
	case modeBest:
		if q.mine > 0 {
			a.why = whyNotBest
			return a
		}
		if head != 0 {
			if e := st.entry(head); e[wMeta]&entryDead == 0 && entryPeer(e) == q.src {
				a.stamp = e[wStamp]
				return a
			}
		}
	case modeAddPath:
		o := outPath{peer: q.src, pathID: q.pathID, hasPathID: q.hasPathID}
		for at := head; at != 0; at = st.following(at) {
			if e := st.entry(at); e[wMeta]&entryDead == 0 && st.lay.isFrom(e, &o) {
				a.stamp, a.pathID, a.hasPathID = e[wStamp], st.lay.id(e), true
				return a
			}
		}
		if g.limited(q, r) {
			a.why = whyLimit
			return a
		}
	case modeServer:
		a.server = true
		for at := head; at != 0; {
			at = st.withID(head, uint32(len(a.sources)))
			if at == 0 || st.entry(at)[wMeta]&entryDead != 0 {
				break
			}
			a.sources = append(a.sources, entryPeer(st.entry(at)))
			a.stamps = append(a.stamps, st.entry(at)[wStamp])
		}
		if q.twins && g.overtaken(q, r) {
			a.why = whyNotBest
			return a
		}
	}
	_, a.why = g.ask.one(r, q.ref, &q.paths[q.mine])
	return a
}

// limited says whether so many better paths are sent that a path is not.
func (g *group) limited(q *question, r *result) bool {
	n := 0
	for i := range q.paths[:q.mine] {
		if id, _ := g.ask.one(r, q.ref, &q.paths[i]); id != 0 {
			n++
		}
	}
	return n >= g.judge.fams[r.fam].limit
}

// overtaken says whether another path of the same source is sent.
func (g *group) overtaken(q *question, r *result) bool {
	for i := range q.paths[:q.mine] {
		if q.paths[i].Peer != q.src {
			continue
		}
		if id, _ := g.ask.one(r, q.ref, &q.paths[i]); id != 0 {
			return true
		}
	}
	return false
}

// to says whether a member is sent the path, and since which batch: 0 is soon.
func (a *account) to(q *question, mb *Member) (why, uint32) {
	switch {
	case a.why == whyFamily, a.why == whyWithdrawn, a.why == whyFiltered:
		return a.why, 0
	case q.src == mb.t.Num:
		return whyOwn, 0
	case !q.only.reach(q.src, &mb.t):
		return whyAudience, 0
	case a.why != whyNot || !a.server:
		return a.why, a.stamp
	}
	if i := q.only.first(a.sources, &mb.t); i >= 0 {
		if a.sources[i] != q.src {
			return whyNotBest, 0
		}
		return whyNot, a.stamps[i]
	}
	return whyNot, 0
}

// has says whether a batch is with the member's sender. The group's lock is
// held.
func (mb *Member) has(g *group, batch uint32) bool {
	if mb.inStep {
		return !mb.sending || batch < g.batch
	}
	return mb.synced && mb.job == nil && mb.given >= batch
}

// delay says what a member waits for. The group's lock is held.
func (mb *Member) delay(g *group) string {
	switch {
	case mb.m.held.Load():
		return "held back until the restart is over"
	case !mb.synced || g.hold:
		return "the table is being sent"
	case g.t.Interval > 0:
		return "advertisement interval"
	}
	return "the peer reads slowly"
}
