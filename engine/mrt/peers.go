package mrt

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"ribd/shard"
	"ribd/shard/rib"
)

// asTrans stands in 2-octet fields for an AS number that does not fit
// (RFC 6793 section 9).
const asTrans = 23456

type peerKey struct {
	addr netip.Addr
	as   uint32
}

// peer is a peer of a collector. Its number changes when its session went down:
// then no worker has a segment.
type peer struct {
	key   peerKey
	info  rib.PeerInfo
	num   atomic.Uint32 // rib.PeerNum
	dirty atomic.Bool   // has had a route under this number
	gone  atomic.Bool   // dropped by a person: the next route makes it anew
}

// used notes that a route goes in under the peer's number, which it returns.
func (p *peer) used() rib.PeerNum {
	if !p.dirty.Load() {
		p.dirty.Store(true)
	}
	return rib.PeerNum(p.num.Load())
}

// collector is what the files of one collector have brought so far.
type collector struct {
	rib  *shard.RIB
	name string

	mu    sync.RWMutex
	peers map[peerKey]*peer

	// Of the framer alone, which is one at a time.
	id     uint32 // of the last dump's PEER_INDEX_TABLE
	dumped bool
}

// find returns a peer that is there.
func (c *collector) find(k peerKey) *peer {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.peers[k]
}

// get returns a peer; made says that it was not there before. The error is that of
// shard.RIB.AddPeer.
func (c *collector) get(k peerKey, bgpID uint32, internal bool) (p *peer, made bool, err error) {
	if p := c.find(k); p != nil {
		return p, false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.peers[k]; p != nil {
		return p, false, nil
	}
	p = &peer{key: k, info: rib.PeerInfo{
		ID:        rib.PeerID(rib.SourceMRT, c.name, k.addr, k.as),
		Source:    rib.SourceMRT,
		Collector: c.name,
		Addr:      k.addr,
		AS:        k.as,
		RouterID:  bgpID,
		Internal:  internal,
	}}
	n, err := c.rib.AddPeer(p.info)
	if err != nil {
		return nil, false, err
	}
	p.num.Store(uint32(n))
	c.peers[k] = p
	return p, true, nil
}

// wide returns the one peer at an address whose AS number takes 4 octets: the
// one that AS_TRANS stands for. nil: there is none, or more than one.
func (c *collector) wide(addr netip.Addr) *peer {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var found *peer
	for k, p := range c.peers {
		if k.addr == addr && k.as > 65535 {
			if found != nil {
				return nil
			}
			found = p
		}
	}
	return found
}

// at returns the peers at an address; with as 0 all of them, else the one.
func (c *collector) at(addr netip.Addr, as uint32) []*peer {
	if as != 0 {
		if p := c.find(peerKey{addr, as}); p != nil {
			return []*peer{p}
		}
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []*peer
	for k, p := range c.peers {
		if k.addr == addr {
			out = append(out, p)
		}
	}
	return out
}

// all returns every peer.
func (c *collector) all() []*peer {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]*peer, 0, len(c.peers))
	for _, p := range c.peers {
		out = append(out, p)
	}
	return out
}

// down drops the routes of a peer whose session went down and gives it a new
// number. No worker may have a segment. It reports whether there were any.
func (c *collector) down(p *peer) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.gone.Load() || !p.dirty.Load() {
		return false, nil
	}
	c.rib.DropPeer(rib.PeerNum(p.num.Load()))
	n, err := c.rib.AddPeer(p.info)
	if err != nil {
		p.gone.Store(true)
		delete(c.peers, p.key)
		return true, err
	}
	p.num.Store(uint32(n))
	p.dirty.Store(false)
	return true, nil
}

// drop takes a peer away, for good unless a file names it again.
func (c *collector) drop(p *peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.gone.Swap(true) {
		return
	}
	delete(c.peers, p.key)
	c.rib.DropPeer(rib.PeerNum(p.num.Load()))
}

// byNumber returns the peer with a number.
func (c *collector) byNumber(n rib.PeerNum) *peer {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, p := range c.peers {
		if p.num.Load() == uint32(n) {
			return p
		}
	}
	return nil
}
