package rib

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

const (
	peerPageBits = 10
	peerPages    = (MaxPeers + 1) >> peerPageBits
)

// Peers is who the peers are, by number: what the decision process and answers
// ask. One goroutine at a time changes it; any may read, without a lock.
type Peers struct {
	pages [peerPages]atomic.Pointer[peerPage]
}

type peerPage [1 << peerPageBits]atomic.Pointer[Peer]

// Peer is a peer with its number and what the decision process asks of it.
type Peer struct {
	PeerInfo
	Num  PeerNum
	Down atomic.Bool // gone: what still comes from it is refused

	hi, lo uint64 // address for comparing: IPv4 before IPv6
	rank   uint64 // bits of the decision key
}

// NewPeer makes a peer for Set.
func NewPeer(n PeerNum, info PeerInfo) *Peer {
	p := &Peer{PeerInfo: info, Num: n}
	p.hi, p.lo = addrKey(info.Addr)
	if !info.Source.Live() {
		p.rank |= keyNotLive
	}
	if info.Source != SourceLocal {
		p.rank |= keyNotLocal
	}
	return p
}

func addrKey(a netip.Addr) (hi, lo uint64) {
	switch {
	case !a.IsValid():
		return 0, 0
	case a.Is4():
		b := a.As4()
		return 0, uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// Get returns the peer of a number, nil where there is none.
func (ps *Peers) Get(n PeerNum) *Peer {
	if n >= MaxPeers {
		return nil
	}
	if pg := ps.pages[n>>peerPageBits].Load(); pg != nil {
		return pg[n&(1<<peerPageBits-1)].Load()
	}
	return nil
}

// Set gives p its number.
func (ps *Peers) Set(p *Peer) {
	slot := &ps.pages[p.Num>>peerPageBits]
	pg := slot.Load()
	if pg == nil {
		pg = new(peerPage)
		slot.Store(pg)
	}
	pg[p.Num&(1<<peerPageBits-1)].Store(p)
}

// Clear takes a number's peer away.
func (ps *Peers) Clear(n PeerNum) {
	if pg := ps.pages[n>>peerPageBits].Load(); pg != nil {
		pg[n&(1<<peerPageBits-1)].Store(nil)
	}
}

// PeerSet is a set of peer numbers as words of a bitmap: how the peers that are
// down are published. The zero value is empty.
type PeerSet []uint32

// Has says whether n is in the set.
func (s PeerSet) Has(n PeerNum) bool {
	return int(n/32) < len(s) && s[n/32]>>(n%32)&1 != 0
}

// Empty says whether nothing is in the set.
func (s PeerSet) Empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// With returns the set and n, in the same memory where it has room.
func (s PeerSet) With(n PeerNum) PeerSet {
	for int(n/32) >= len(s) {
		s = append(s, 0)
	}
	s[n/32] |= 1 << (n % 32)
	return s
}

// Without takes n out of the set, in place.
func (s PeerSet) Without(n PeerNum) PeerSet {
	if int(n/32) < len(s) {
		s[n/32] &^= 1 << (n % 32)
	}
	for len(s) > 0 && s[len(s)-1] == 0 {
		s = s[:len(s)-1]
	}
	return s
}
