package session

import (
	"net/netip"
	"slices"

	"ribd/engine/fsm"
	"ribd/shard/rib"
)

// Brief is how a peer stands, in short: what costs next to nothing to find out.
type Brief struct {
	ID      string // rib.PeerID
	Address netip.Addr
	State   fsm.State
	Reason  string // of State
	Enabled bool
	// Session is the established one, nil without one.
	Session *Session
}

// Briefs appends every peer, by address, to dst.
func (m *Manager) Briefs(dst []Brief) []Brief {
	from := len(dst)
	for _, p := range m.all() {
		p.mu.Lock()
		b := Brief{
			ID: rib.PeerID(rib.SourceBGP, "", p.addr, p.peerAS), Address: p.addr,
			State: p.state, Reason: p.reason, Enabled: p.enabled,
		}
		if p.state == fsm.Established { // else current ends just now
			b.Session = p.current
		}
		dst = append(dst, b)
		p.mu.Unlock()
	}
	slices.SortFunc(dst[from:], func(a, b Brief) int { return a.Address.Compare(b.Address) })
	return dst
}
