package session

import "net/netip"

// Waiting returns one of the peers that are configured by their address and
// enabled and have not sent End-of-RIB of all families yet; ok is false where
// there is none. It is cheap to ask while there are many.
func (m *Manager) Waiting() (a netip.Addr, ok bool) {
	return m.awaited(func(*Session) bool { return true })
}

// Deferring is Waiting for a speaker that has restarted and sends nothing before
// its peers have: it does not wait for those that have restarted as well, nor
// for those that have no graceful restart (RFC 4724 section 4.1).
func (m *Manager) Deferring() (a netip.Addr, ok bool) {
	return m.awaited(func(s *Session) bool {
		g, has := s.Negotiated.Theirs.GracefulRestart()
		return has && !g.Restarting
	})
}

// awaited returns a peer that is not there yet, or has a session that counts
// and has not sent all.
func (m *Manager) awaited(counts func(*Session) bool) (a netip.Addr, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, p := range m.peers {
		if p.awaited(counts) {
			return p.addr, true
		}
	}
	return a, false
}

func (p *peer) awaited(counts func(*Session) bool) bool {
	p.mu.Lock()
	enabled, ses := p.enabled, p.current
	p.mu.Unlock()
	if !enabled {
		return false
	}
	if ses == nil {
		return true
	}
	if !counts(ses) {
		return false
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
