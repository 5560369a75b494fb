package session

import "net/netip"

// Waiting returns one of the peers that are configured by their address and
// enabled and have not sent End-of-RIB of all families yet; ok is false where
// there is none. It is cheap to ask while there are many.
func (m *Manager) Waiting() (a netip.Addr, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, p := range m.peers {
		if p.waiting() {
			return p.addr, true
		}
	}
	return a, false
}

func (p *peer) waiting() bool {
	p.mu.Lock()
	enabled, ses := p.enabled, p.current
	p.mu.Unlock()
	if !enabled {
		return false
	}
	if ses == nil {
		return true
	}
	c, _ := p.routes.counters()
	left := len(ses.Negotiated.Families.Families())
	for _, e := range c.EndOfRIB {
		if ses.Negotiated.Families.Has(e.Family) {
			left--
		}
	}
	return left > 0
}
