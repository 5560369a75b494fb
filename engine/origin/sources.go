package origin

import (
	"fmt"
	"time"

	"ribd/shard/rib"
)

// source is a source of routes in the RIB: all routes that are meant for the
// same peers.
type source struct {
	num   rib.PeerNum
	name  string    // joinPeers
	only  []string  // ids of peers; none: all of them
	refs  int       // entries that have it
	since time.Time // when refs became 0
}

// sourceRest is how long a source without routes is kept.
const sourceRest = time.Minute

// maxSources bounds the lists of peers that routes are announced for: each is a
// peer of the RIB for a minute at least, and sessions need numbers too.
const maxSources = 4096

// roomForSource is an error where a list of peers is one too many.
func (m *Manager) roomForSource(peers []string) error {
	if len(m.sources) < maxSources || len(peers) == 0 || m.last != nil && samePeers(m.last.only, peers) || m.sources[joinPeers(peers)] != nil {
		return nil
	}
	return fmt.Errorf("%w: its list of peers is another than the %d in use, each for a minute at least", ErrFull, maxSources)
}

// sourceOf returns the source of a list of peers, which it makes where there is
// none. Whoever is to know of it (Options.Source) is told before it is used.
func (m *Manager) sourceOf(peers []string) (*source, error) {
	name := ""
	if len(peers) > 0 {
		if m.last != nil && samePeers(m.last.only, peers) {
			return m.last, nil
		}
		name = joinPeers(peers)
	}
	if s := m.sources[name]; s != nil {
		m.last = s
		return s, nil
	}
	info := rib.PeerInfo{
		ID: m.id, Source: rib.SourceLocal, AS: m.o.AS, RouterID: m.o.RouterID, Name: "local",
	}
	if name != "" {
		info.Name = "local to " + name
	}
	num, err := m.o.RIB.AddPeer(info)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFull, err)
	}
	s := &source{num: num, name: name, only: splitPeers(name), since: time.Now()}
	m.sources[name] = s
	m.last = s
	if m.o.Source != nil {
		m.o.Source(num, s.only)
	}
	return s, nil
}

func samePeers(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// ref counts an entry of a source, or one less.
func (s *source) ref(d int) {
	if s.refs += d; s.refs == 0 {
		s.since = time.Now()
	}
}

// dropSources lets go of sources that have had no route for a while. Their last
// routes are out of the RIB. The one of all peers stays.
func (m *Manager) dropSources() {
	for name, s := range m.sources {
		if s.refs > 0 || name == "" || time.Since(s.since) < sourceRest {
			continue
		}
		delete(m.sources, name)
		if m.last == s {
			m.last = nil
		}
		m.o.RIB.DropPeer(s.num)
		if m.o.Gone != nil {
			m.o.Gone(s.num)
		}
	}
}
