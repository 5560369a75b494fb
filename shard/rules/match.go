package rules

import "ribd/wire/flowspec"

// Matches is what Match found. It is used again and again, by one goroutine at
// a time, so that a match allocates nothing.
type Matches struct {
	// Hits are the rules that the packet matches, in order.
	Hits []Value
	// Applied says how many of them apply: up to and with the first terminal one.
	// The rules behind are shadowed for this packet.
	Applied int

	probe  probe
	places []uint32
	found  []*entry
}

// matching finds the rules of a packet: those of the base, and those of the
// overlay.
type matching struct {
	base        *matcher
	baseGone    []uint64
	runs        []*later
	changesGone []uint64
	recents     []recent
	first       int // the place of recents among the changes
}

// Match finds the active rules that p matches (RFC 8955 sections 4 and 5). It
// allocates nothing once m has the room, but the first call after many changes
// may have to compile them.
func (r *Rules) Match(p *flowspec.Packet, m *Matches) {
	m.Hits, m.Applied = m.Hits[:0], 0
	if !m.probe.set(p, r.layout.v6) {
		return
	}
	s := r.matching.Load()
	m.places = s.base.match(&m.probe, m.places[:0])
	if len(s.runs) == 0 && len(s.recents) == 0 {
		for _, at := range m.places {
			if !hasBit(s.baseGone, int(at)) {
				h := &s.base.heads[at]
				m.Hits = append(m.Hits, Value{ID: h.id, Ref: h.ref, Active: true, Terminal: h.more&terminalBit != 0})
			}
		}
	} else {
		s.all(m)
	}
	for m.Applied < len(m.Hits) {
		m.Applied++
		if m.Hits[m.Applied-1].Terminal {
			break
		}
	}
}

// all joins what was found in the base with what there is in the overlay.
func (s *matching) all(m *Matches) {
	m.found = m.found[:0]
	for _, at := range m.places {
		if !hasBit(s.baseGone, int(at)) {
			m.found = append(m.found, s.base.entries[at])
		}
	}
	for _, run := range s.runs {
		c := run.get()
		m.places = c.match(&m.probe, m.places[:0])
		for _, at := range m.places {
			if !hasBit(s.changesGone, run.from+int(run.places[at])) {
				m.insert(c.entries[at])
			}
		}
	}
	for i := range s.recents {
		c := &s.recents[i]
		if c.fits(&m.probe) && !hasBit(s.changesGone, s.first+i) {
			m.insert(c.e)
		}
	}
	for _, e := range m.found {
		m.Hits = append(m.Hits, e.value)
	}
	clear(m.found) // not to keep what has gone
}

// insert puts e where its order wants it.
func (m *Matches) insert(e *entry) {
	m.found = append(m.found, e)
	for i := len(m.found) - 1; i > 0 && compareEntries(m.found[i-1], m.found[i]) > 0; i-- {
		m.found[i-1], m.found[i] = m.found[i], m.found[i-1]
	}
}
