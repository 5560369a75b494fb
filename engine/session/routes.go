package session

import (
	"sync"
	"time"

	"ribd/engine/config"
	"ribd/engine/fsm"
	"ribd/engine/ingest"
	"ribd/shard/rib"
	"ribd/wire"
)

// staleMost bounds how long routes of an earlier session wait for the
// End-of-RIB of the next one.
const staleMost = 6 * time.Minute

// routes is what a peer has in the tables: its number, which outlives a session
// where graceful restart retains routes. mu guards all of it, and may be held
// while the tables are waited for; nothing waits for it with the peer's mutex
// held.
type routes struct {
	p *peer

	mu    sync.Mutex
	num   rib.PeerNum // 0: none
	as    uint32
	id    uint32 // BGP identifier
	in    *ingest.Peer
	sess  *Session        // the last one
	live  bool            // sess is not over
	past  ingest.Counters // of numbers that were dropped
	stale map[wire.Family]*retained
}

// retained is a family that outlived its session.
type retained struct {
	kind     rib.Stale
	until    time.Time
	longLive time.Duration // RFC 9494: how long, after the restart time
	t        *time.Timer
}

func (r *routes) init(p *peer) {
	r.p = p
	r.stale = map[wire.Family]*retained{}
}

// begin makes the tables ready for a session and fills in its number.
func (r *routes) begin(s *Session, w wire.Session) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in != nil && (r.as != s.AS || r.id != s.RouterID) {
		r.dropLocked()
	}
	m := r.p.m
	if r.in == nil {
		n, err := m.rib.AddPeer(rib.PeerInfo{ID: s.ID, Source: rib.SourceBGP, Addr: r.p.addr, AS: s.AS,
			RouterID: s.RouterID, Internal: s.Internal, Name: s.Peer.Name})
		if err != nil {
			return err
		}
		r.num, r.as, r.id = n, s.AS, s.RouterID
		r.in = ingest.New(ingest.Options{RIB: m.rib, Peer: n, EndOfRIB: r.endOfRIB})
	}
	s.Num, s.in = r.num, r.in
	r.sess, r.live = s, true
	var filter rib.Filter
	if m.o.Hooks.Import != nil {
		filter = m.o.Hooks.Import(s)
	}
	r.in.Start(ingest.Session{Wire: w, Filter: filter, Limits: limits(r.p.config.Load())})
	g := &s.Negotiated.Graceful
	for f, x := range r.stale {
		if !w.Families.Has(f) || !forwarded(g, f, x.kind) {
			r.endLocked(f) // RFC 4724 section 4.2, RFC 9494 section 4.2
		} else if x.kind == rib.StaleGR {
			r.wait(f, x, staleMost)
		}
	}
	return nil
}

// forwarded says whether the peer that is back has kept the forwarding state of
// a family. The long-lived capability speaks for what became long-lived.
func forwarded(g *fsm.Retention, f wire.Family, kind rib.Stale) bool {
	for _, l := range g.LongLived {
		if l.Family == f && (kind == rib.StaleLLGR || l.Only) {
			return l.Forwarding
		}
	}
	return g.Families.Has(f) && g.Forwarding.Has(f)
}

func limits(cfg *config.Peer) map[wire.Family]ingest.Limit {
	if len(cfg.MaxPrefixes) == 0 {
		return nil
	}
	m := map[wire.Family]ingest.Limit{}
	for f, l := range cfg.MaxPrefixes {
		m[f] = ingest.Limit{Warn: l.Warn, Max: l.Limit}
	}
	return m
}

// over ends the session. What g retains stays, where retain is set.
func (r *routes) over(s *Session, g *fsm.Retention, retain bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = false
	r.in.Flush()
	if !retain || g.Families.Empty() {
		r.dropLocked()
		return
	}
	long := map[wire.Family]fsm.LongLived{}
	for _, l := range g.LongLived {
		long[l.Family] = l
	}
	r.stop()
	r.in.Retain(g.Families, rib.StaleGR)
	for _, f := range r.in.Retained() {
		x := &retained{kind: rib.StaleGR, longLive: long[f].StaleTime}
		r.stale[f] = x
		if long[f].Only {
			r.wait(f, x, 0) // RFC 9494 section 4.2
			continue
		}
		r.wait(f, x, g.RestartTime)
	}
	if len(r.stale) == 0 {
		r.dropLocked()
	}
}

// wait has expired called for a family after d. r.mu is held.
func (r *routes) wait(f wire.Family, x *retained, d time.Duration) {
	if x.t != nil {
		x.t.Stop()
	}
	x.until = time.Now().Add(d)
	x.t = time.AfterFunc(d, func() { r.expired(f, x) })
}

// expired is the end of a family's time: it becomes long-lived, or goes.
func (r *routes) expired(f wire.Family, x *retained) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale[f] != x || time.Now().Before(x.until) {
		return
	}
	if x.kind == rib.StaleGR && x.longLive > 0 && !r.live {
		x.kind = rib.StaleLLGR
		r.in.LongLived(f)
		r.wait(f, x, x.longLive)
		return
	}
	r.p.m.log.Info("stale routes removed", "peer", r.p.addr, "family", f, "reason", "not back in time")
	r.endLocked(f)
	if !r.live && len(r.stale) == 0 {
		r.dropLocked()
	}
}

// endLocked takes away what is retained of a family.
func (r *routes) endLocked(f wire.Family) {
	if x := r.stale[f]; x != nil {
		x.t.Stop()
		delete(r.stale, f)
		r.in.EndRetain(f)
	}
}

// endOfRIB is called by ingest, which has ended what was retained.
func (r *routes) endOfRIB(f wire.Family) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(f)
}

// stop stops every timer.
func (r *routes) stop() {
	for f, x := range r.stale {
		x.t.Stop()
		delete(r.stale, f)
	}
}

// drop takes the routes away, where no session has them.
func (r *routes) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.live {
		r.dropLocked()
	}
}

func (r *routes) dropLocked() {
	if r.in == nil {
		return
	}
	r.stop()
	r.in.Close()
	r.past = sum(r.past, r.in.Counters())
	r.p.m.rib.DropPeer(r.num)
	if gone := r.p.m.o.Hooks.Gone; gone != nil {
		gone(r.num)
	}
	r.num, r.in, r.sess = 0, nil, nil
}

// sum adds the counts of a number that is gone.
func sum(a, b ingest.Counters) ingest.Counters {
	b.Updates += a.Updates
	b.Announced += a.Announced
	b.Withdrawn += a.Withdrawn
	b.Refused += a.Refused
	b.TreatAsWithdraw += a.TreatAsWithdraw
	b.AttributeDiscard += a.AttributeDiscard
	b.SessionReset += a.SessionReset
	if b.Last == nil {
		b.Last = a.Last
	}
	return b
}

// counters returns what the peer has sent, over all its numbers.
func (r *routes) counters() (ingest.Counters, rib.PeerNum) {
	r.mu.Lock()
	in, num, past := r.in, r.num, r.past
	r.mu.Unlock()
	if in == nil {
		past.EndOfRIB = nil
		return past, 0
	}
	return sum(past, in.Counters()), num
}

// retainedNow returns what is kept of an earlier session, and until when.
func (r *routes) retainedNow() map[wire.Family]retained {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := map[wire.Family]retained{}
	for f, x := range r.stale {
		m[f] = retained{kind: x.kind, until: x.until}
	}
	return m
}

// reimport asks for the policy again.
func (r *routes) reimport(out map[rib.PeerNum]rib.Filter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in == nil || r.sess == nil || r.p.m.o.Hooks.Import == nil {
		return
	}
	f := r.p.m.o.Hooks.Import(r.sess)
	r.in.SetFilter(f)
	out[r.num] = f
}

// setLimits takes new limits over.
func (r *routes) setLimits(cfg *config.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in != nil {
		r.in.SetLimits(limits(cfg))
	}
}
