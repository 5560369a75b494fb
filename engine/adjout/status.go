package adjout

import (
	"time"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// FamilyStatus says how far a member is with a family.
type FamilyStatus struct {
	Family     wire.Family
	Advertised int       // routes that it has been sent, or will have been when it is in step
	EndOfRIB   time.Time // when End-of-RIB went out; zero: not yet
}

// Status returns the families of a member.
func (mb *Member) Status() []FamilyStatus {
	g := mb.lock()
	if g == nil {
		return nil
	}
	defer g.mu.Unlock()
	out := make([]FamilyStatus, len(g.states))
	for i, st := range g.states {
		out[i] = FamilyStatus{Family: st.lay.family, Advertised: st.advertised(&mb.t, *g.only), EndOfRIB: mb.ends[i]}
	}
	return out
}

// InStep says whether everything that the group knows of is with the Sender.
func (mb *Member) InStep() bool {
	g := mb.lock()
	if g == nil {
		return false
	}
	defer g.mu.Unlock()
	return mb.inStep
}

// Advertised is a route as a member has been sent it.
type Advertised struct {
	Attrs         rib.AttrID // as sent
	Labels        uint32     // as rib.Path has them
	PathID        uint32     // on the wire, where HasPathID
	HasPathID     bool
	From          rib.PeerNum // the source path; its id is known with Add-Path alone
	FromPathID    uint32
	FromHasPathID bool
}

// Paths appends what a member has been sent of a prefix, or will have been when
// it is in step.
func (mb *Member) Paths(t rib.TableID, k trie.Key, n uint8, dst []Advertised) []Advertised {
	mb.m.use.RLock()
	defer mb.m.use.RUnlock()
	if mb.m.closed.Load() {
		return dst
	}
	f, _, _ := mb.m.rib.TableInfo(t)
	g := mb.lock()
	if g == nil {
		return dst
	}
	defer g.mu.Unlock()
	for i, st := range g.states {
		if st.lay.family == f {
			return st.appendFor(dst, &prefix{k, t, n}, g.judge.fams[i].mode, &mb.t, *g.only)
		}
	}
	return dst
}

func (s *state) appendFor(dst []Advertised, p *prefix, m mode, to *Target, only audiences) []Advertised {
	head := s.find(p, s.hash(p))
	if head == 0 {
		return dst
	}
	if m == modeServer && s.isMixed(head) {
		if i := only.first(s.sources(head, nil), to); i >= 0 {
			e := s.entry(s.withID(head, uint32(i)))
			dst = append(dst, Advertised{Attrs: rib.AttrID(e[wAttr]), Labels: s.lay.labelsOf(e), From: entryPeer(e)})
		}
		return dst
	}
	bucket, n := head.split()
	for ; n != 0; n = s.lay.next(s.buckets[bucket].entry(n, s.lay.stride)) {
		e := s.buckets[bucket].entry(n, s.lay.stride)
		if e[wMeta]&entryDead != 0 {
			continue
		}
		a := Advertised{Attrs: rib.AttrID(e[wAttr]), Labels: s.lay.labelsOf(e), From: entryPeer(e)}
		switch {
		case m == modeServer && s.lay.id(e) == idAlt:
			if rib.PeerNum(e[s.lay.chain+chainFrom]) != to.Num {
				continue
			}
		case !only.reach(a.From, to):
			continue
		case m == modeAddPath:
			a.PathID, a.HasPathID = s.lay.id(e), true
			a.FromPathID, a.FromHasPathID = e[s.lay.chain+chainFrom], e[wMeta]&entryPath != 0
		}
		dst = append(dst, a)
	}
	return dst
}

// GroupStatus is an update group, for metrics.
type GroupStatus struct {
	Key     string
	Members int
	Lagging int // members that are not in step
	Routes  int
	Memory  uint64 // of the state and of encoded changes, in octets
}

// Groups returns the update groups.
func (m *Manager) Groups() []GroupStatus {
	var out []GroupStatus
	for _, g := range m.list() {
		g.mu.Lock()
		s := GroupStatus{Key: g.key, Members: len(g.members), Lagging: len(g.members) - len(g.step), Memory: uint64(g.ring.bytes)}
		for _, st := range g.states {
			s.Routes += st.live
			for _, n := range st.mixed {
				s.Routes += n
			}
			s.Memory += st.memory()
		}
		g.mu.Unlock()
		out = append(out, s)
	}
	return out
}
