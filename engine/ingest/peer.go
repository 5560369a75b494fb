package ingest

import (
	"sync"

	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// Options of a Peer.
type Options struct {
	RIB  *shard.RIB
	Peer rib.PeerNum // from RIB.AddPeer

	// EndOfRIB, where it is not nil, is called for each End-of-RIB marker of a
	// family that the session takes: by the goroutine that calls Updates, when
	// the routes before the marker are flushed and what was retained of the
	// family is on its way out. It may call any method of the Peer.
	EndOfRIB func(wire.Family)
}

// Session is what holds for one session of a peer.
type Session struct {
	Wire   wire.Session
	Filter rib.Filter // import policy; nil: everything is accepted
	Limits map[wire.Family]Limit
}

// Peer takes the UPDATEs of one peer in. It lives as long as the peer has its
// number, over any number of sessions.
//
// Its methods may be called by any goroutine, but Update, Updates and Flush
// belong to the one that reads.
type Peer struct {
	rib *shard.RIB
	num rib.PeerNum
	end func(wire.Family)

	mu       sync.Mutex // guards everything below
	session  wire.Session
	filter   rib.Filter
	group    [atOnce]parsed
	fan      *shard.Fan
	router   *Router
	families []*family
	last     *family // of the last MP_REACH_NLRI
	limited  bool    // a family has a limit
	limit    LimitEvent
	hasLimit bool
	ended    []wire.Family // End-of-RIB markers that EndOfRIB is still to hear of
	n        counts
	closed   bool

	stats stats
}

// family is what a Peer knows of a family that it has had routes of, or that
// has a limit. Few peers have more than a handful.
type family struct {
	family     wire.Family
	table      rib.TableID // of any route distinguisher
	hasTable   bool
	retained   bool // routes of an earlier session are there
	refreshing bool // between BeginRefresh and EndRefresh
	limits     limits
}

// New makes the Peer of a number that RIB.AddPeer gave. Start begins its first
// session; Close it before RIB.DropPeer.
func New(o Options) *Peer {
	p := &Peer{rib: o.RIB, num: o.Peer, end: o.EndOfRIB, fan: o.RIB.NewFan()}
	p.fan.Express() // all routes of the number come by it
	p.router = NewRouter(o.RIB, p.fan)
	return p
}

// Close flushes. What is called after it does nothing.
func (p *Peer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.fan.Close()
	}
}

// Start begins a session. What was retained of families that it does not carry
// is taken away; the rest waits for its End-of-RIB, or EndRetain.
func (p *Peer) Start(s Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.flush()
	p.session, p.filter = s.Wire, s.Filter
	p.setLimits(s.Limits)
	for _, f := range p.families {
		f.refreshing = false
		if f.retained && !s.Wire.Families.Empty() && !s.Wire.Families.Has(f.family) {
			p.endRetain(f)
		}
	}
	p.stats.start()
}

// SetFilter changes import policy. When it returns, everything that the one
// before has judged is flushed: RIB.Rejudge then reaches all of it.
func (p *Peer) SetFilter(f rib.Filter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.flush()
	p.filter = f
}

// flush sends what the Fan holds.
func (p *Peer) flush() { p.fan.Flush() }

// family returns what is known of f, made at first use.
func (p *Peer) family(f wire.Family) *family {
	for _, x := range p.families {
		if x.family == f {
			return x
		}
	}
	x := &family{family: f}
	p.families = append(p.families, x)
	return x
}

// find is family for those who only ask: nil where nothing is known.
func (p *Peer) find(f wire.Family) *family {
	for _, x := range p.families {
		if x.family == f {
			return x
		}
	}
	return nil
}
