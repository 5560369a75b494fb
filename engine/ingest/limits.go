package ingest

import (
	"math"

	"ribd/wire"
)

// Limit bounds the prefixes of a family that a peer may announce, counted
// before policy. 0 is no bound. Routes that are kept from an earlier session do
// not count.
type Limit struct {
	Warn uint32 // tell when there are more
	Max  uint32 // too many when there are more
}

// LimitEvent says that a family has passed a bound.
type LimitEvent struct {
	Family wire.Family
	Limit  Limit
	Count  int64
	Over   bool // past Max; else past Warn alone
}

// limits is a family's Limit and how near it is. The shards know how many
// prefixes there are, but only of what they have applied. Every announcement
// since their count was exact may be one more: as long as the sum passes no
// bound there is nothing to ask them.
type limits struct {
	Limit
	base  int64 // prefixes at the last exact count
	since int64 // announcements since
	told  told
}

type told uint8

const (
	toldNothing told = iota
	toldWarn
	toldOver
)

// next is the bound that has to be told of next.
func (l *limits) next() int64 {
	switch {
	case l.told == toldNothing && l.Warn > 0:
		return int64(l.Warn)
	case l.told <= toldWarn && l.Max > 0:
		return int64(l.Max)
	}
	return math.MaxInt64
}

// level is what a count is past.
func (l *limits) level(n int64) told {
	switch {
	case l.Max > 0 && n > int64(l.Max):
		return toldOver
	case l.Warn > 0 && n > int64(l.Warn):
		return toldWarn
	}
	return toldNothing
}

// SetLimits changes the limits; those that are passed already are told of at the
// next Flush.
func (p *Peer) SetLimits(m map[wire.Family]Limit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setLimits(m)
}

func (p *Peer) setLimits(m map[wire.Family]Limit) {
	p.hasLimit = false
	p.limited = len(m) > 0
	for f := range m {
		p.family(f)
	}
	for _, f := range p.families {
		f.limits.Limit, f.limits.told = m[f.family], toldNothing
		if f.hasTable {
			f.limits.recount()
		}
	}
}

// recount makes the next check an exact one.
func (l *limits) recount() { l.base, l.since = math.MaxInt64/2, 1 }

// checkLimits looks whether a family has passed a bound. Everything is flushed.
func (p *Peer) checkLimits() {
	for _, f := range p.families {
		l := &f.limits
		if l.Max == 0 && l.Warn == 0 {
			continue
		}
		if now := l.level(p.rib.PrefixCount(p.num, f.family)); now < l.told {
			// It has been below, by what the shards know: passing it again is news.
			l.told = now
			l.recount()
		}
		if l.since == 0 || l.base+l.since <= l.next() {
			continue
		}
		n := p.count(f)
		if level := l.level(n); level > l.told {
			l.told = level
			if !p.hasLimit || !p.limit.Over {
				p.limit, p.hasLimit = LimitEvent{f.family, l.Limit, n, level == toldOver}, true
			}
		}
	}
}

// count asks the shards how many prefixes the peer has, once they have applied
// what was flushed.
func (p *Peer) count(f *family) int64 {
	p.rib.Sync()
	n := p.rib.PrefixCount(p.num, f.family)
	if f.retained {
		n = max(0, n-p.stale(f.family))
	}
	f.limits.base, f.limits.since = n, 0
	return n
}

// stale counts the paths of a family that are kept from an earlier session.
func (p *Peer) stale(f wire.Family) int64 {
	st, _ := p.rib.PeerStatus(p.num)
	for _, c := range st.Counts {
		if c.Family == f {
			return c.Stale
		}
	}
	return 0
}

// LimitReached returns the limit that the last Flush found passed, and forgets
// it: each is told of once, and again when the count has been below. Of several
// at a time one that is over comes before those that warn.
func (p *Peer) LimitReached() (LimitEvent, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ev, ok := p.limit, p.hasLimit
	p.limit, p.hasLimit = LimitEvent{}, false
	return ev, ok
}
