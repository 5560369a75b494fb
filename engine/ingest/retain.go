package ingest

import (
	"sync"

	"ribd/shard/rib"
	"ribd/wire"
)

// Communities of RFC 9494 sections 4.6 and 4.7.
const (
	llgrStale = 65535<<16 | 6
	noLLGR    = 65535<<16 | 7
)

// BeginRefresh notes that the peer begins to announce a family again (RFC 7313,
// BoRR): what it has not announced by EndRefresh is taken away then. While
// routes of an earlier session wait for the End-of-RIB of this one it is ignored
// (RFC 7313 section 4).
func (p *Peer) BeginRefresh(f wire.Family) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.flush()
	if x := p.known(f); x != nil && !x.retained {
		x.refreshing = true
		p.rib.Refresh(p.num, x.table)
	}
}

// EndRefresh ends what BeginRefresh began (RFC 7313, EoRR); false: nothing had
// begun, and nothing is taken away.
func (p *Peer) EndRefresh(f wire.Family) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.find(f)
	if p.closed || x == nil || !x.refreshing {
		return false
	}
	p.flush()
	x.refreshing = false
	p.rib.EndRefresh(p.num, x.table)
	return true
}

// known returns what is known of f, with its table; nil where there is no room
// for one.
func (p *Peer) known(f wire.Family) *family {
	x := p.family(f)
	if !x.hasTable {
		x.table, x.hasTable = p.router.Table(f, 0)
	}
	if !x.hasTable {
		return nil
	}
	return x
}

// Retain notes that the session is over. Routes of the families in keep stay,
// marked as kind says, until the peer has announced them again, EndRetain, or
// the End-of-RIB of a later session. All others are taken away, and those that
// have outlived a session before (RFC 4724 section 4.2). With rib.StaleLLGR
// what RFC 9494 asks for is done at once; see LongLived.
//
// Close, and RIB.DropPeer, is the way to keep nothing at all.
func (p *Peer) Retain(keep wire.FamilySet, kind rib.Stale) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.flush()
	for _, x := range p.families {
		if !x.hasTable {
			continue
		}
		if x.retained {
			p.endRetain(x)
		}
		x.refreshing = false
		p.rib.Refresh(p.num, x.table)
		if !keep.Has(x.family) {
			p.rib.EndRefresh(p.num, x.table)
			continue
		}
		x.retained = true
		x.limits.base, x.limits.since = 0, 0
		p.mark(x, kind)
	}
}

// LongLived makes what is retained of a family long-lived (RFC 9494): routes
// with NO_LLGR go, the others get LLGR_STALE and are the least preferred.
func (p *Peer) LongLived(f wire.Family) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.find(f); !p.closed && x != nil && x.retained {
		p.flush()
		p.mark(x, rib.StaleLLGR)
	}
}

// mark marks what is retained of a family.
func (p *Peer) mark(x *family, kind rib.Stale) {
	if kind != rib.StaleLLGR {
		p.rib.Stale(p.num, x.table, kind, nil)
		return
	}
	l := &longLived{attrs: p.rib.Attrs(), said: map[rib.AttrID]rib.AttrID{}}
	p.rib.Stale(p.num, x.table, kind, l.set)
}

// longLived is what becomes of sets of attributes in the step to long-lived
// stale routes.
type longLived struct {
	attrs *rib.Attrs
	mu    sync.Mutex
	said  map[rib.AttrID]rib.AttrID // 0: the routes go
	edit  wire.AttrEditor
	buf   []byte
}

// set is for the shards' goroutines.
func (l *longLived) set(id rib.AttrID) (rib.AttrID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to, ok := l.said[id]
	if !ok {
		to = l.judge(id)
		l.said[id] = to
	}
	return to, to != 0
}

func (l *longLived) judge(id rib.AttrID) rib.AttrID {
	b, ok := l.attrs.Bytes(id)
	if !ok {
		return id
	}
	if v, ok := wire.FindAttr(b, wire.AttrCommunities); ok && hasCommunity(v, noLLGR) {
		return 0
	}
	l.edit.Start(b)
	l.edit.AddCommunities([]uint32{llgrStale})
	if !l.edit.Changed() || l.edit.TooLong() {
		return id
	}
	l.buf = l.edit.Append(l.buf[:0])
	if to, ok := l.attrs.Intern(l.buf); ok {
		return to
	}
	return id // no room: marked all the same
}

// hasCommunity looks for a community in the value of COMMUNITIES.
func hasCommunity(v []byte, c uint32) bool {
	for ; len(v) >= 4; v = v[4:] {
		if uint32(v[0])<<24|uint32(v[1])<<16|uint32(v[2])<<8|uint32(v[3]) == c {
			return true
		}
	}
	return false
}

// EndRetain takes away what is retained of a family and was not announced
// again. An End-of-RIB does it by itself.
func (p *Peer) EndRetain(f wire.Family) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.find(f); !p.closed && x != nil && x.retained {
		p.flush()
		p.endRetain(x)
	}
}

// endRetain takes away what was not announced again. Everything is flushed.
func (p *Peer) endRetain(x *family) {
	p.rib.EndRefresh(p.num, x.table)
	if x.retained {
		x.retained = false
		x.limits.recount()
	}
}

// Retained returns the families that have routes of an earlier session.
func (p *Peer) Retained() (fs []wire.Family) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.families {
		if x.retained {
			fs = append(fs, x.family)
		}
	}
	return fs
}

// Withdraw takes all routes of a family away.
func (p *Peer) Withdraw(f wire.Family) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.find(f)
	if p.closed || x == nil || !x.hasTable {
		return
	}
	p.flush()
	x.refreshing = false
	p.rib.Refresh(p.num, x.table)
	p.endRetain(x)
}
