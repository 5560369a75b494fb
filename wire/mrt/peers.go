package mrt

import "net/netip"

// Bits of a peer's type (RFC 6396 section 4.3.1).
const (
	PeerIPv6 = 1 << 0 // the address has 16 octets
	PeerAS4  = 1 << 1 // the AS number has 4
)

// Peer is a peer of a PEER_INDEX_TABLE.
type Peer struct {
	Type  uint8 // PeerIPv6, PeerAS4, and bits that mean nothing
	BGPID uint32
	Addr  netip.Addr
	AS    uint32
}

// PeerIndex is a PEER_INDEX_TABLE: the peers that the RIB records after it
// refer to by their place in it. ViewName aliases the record.
type PeerIndex struct {
	CollectorID uint32
	ViewName    []byte
	Count       int
	peers       []byte
	off         int
}

// Parse decodes a record of [KindPeerIndex] as far as the peers.
func (x *PeerIndex) Parse(r *Record) *Error {
	b := reader{b: r.Body}
	x.CollectorID = b.u32()
	x.ViewName = b.take(int(b.u16()))
	if b.short {
		return b.fail(r.base, "View Name", "longer than the record", rfcPeerIndex)
	}
	countAt := b.at
	x.Count = int(b.u16())
	if b.short {
		return b.fail(r.base, "Peer Count", "cut off", rfcPeerIndex)
	}
	x.peers, x.off = b.b[b.at:], r.base+b.at
	if x.Count*minPeer > len(x.peers) {
		return &Error{r.base + countAt, "Peer Count", "more peers than the record can hold", rfcPeerIndex}
	}
	return nil
}

// minPeer is the size of the smallest peer entry: IPv4, 2-octet AS.
const minPeer = 1 + 4 + 4 + 2

// Peers returns a cursor over the peers.
func (x *PeerIndex) Peers() Peers {
	return Peers{r: reader{b: x.peers}, left: x.Count, base: x.off}
}

// Peers walks the peers of a PEER_INDEX_TABLE in order. Err, after Next is
// false, is nil or an *Error.
type Peers struct {
	r    reader
	left int
	base int
	peer Peer
	err  *Error
}

// Next moves to the next peer, and is false at the end or at an error.
func (w *Peers) Next() bool {
	if w.err != nil {
		return false
	}
	if w.left == 0 {
		if w.r.at != len(w.r.b) {
			w.err = w.r.fail(w.base, "Peer Entries", "octets left over after the last peer", rfcPeerIndex)
		}
		return false
	}
	w.left--
	start := w.r.at
	p := &w.peer
	p.Type = w.r.u8()
	p.BGPID = w.r.u32()
	p.Addr = addr(w.r.take(4 + 12*int(p.Type&PeerIPv6)))
	p.AS = w.r.as(p.Type&PeerAS4 != 0)
	if w.r.short {
		w.r.at = start
		w.err = w.r.fail(w.base, "Peer Entries", "last peer cut off", rfcPeerIndex)
		return false
	}
	return true
}

// Peer returns the peer that Next moved to.
func (w *Peers) Peer() Peer { return w.peer }

// Err returns what ended the walk, nil at its proper end.
func (w *Peers) Err() *Error { return w.err }

// GeoPeer is a peer of a GEO_PEER_TABLE. Latitude and Longitude are the bits
// of IEEE 754 single-precision degrees; NaN stands for "private" (RFC 6397
// section 2).
type GeoPeer struct {
	Peer
	Latitude, Longitude uint32
}

// GeoPeers is a GEO_PEER_TABLE: where the collector and its peers stand
// (RFC 6397). It names the same peers as the PEER_INDEX_TABLE before it.
type GeoPeers struct {
	CollectorID         uint32
	ViewName            []byte
	Latitude, Longitude uint32
	Count               int
	peers               []byte
	off                 int
}

// Parse decodes a record of [KindGeoPeers] as far as the peers.
func (x *GeoPeers) Parse(r *Record) *Error {
	b := reader{b: r.Body}
	x.CollectorID = b.u32()
	x.ViewName = b.take(int(b.u16()))
	if b.short {
		return b.fail(r.base, "View Name", "longer than the record", rfcGeo)
	}
	x.Latitude, x.Longitude = b.u32(), b.u32()
	countAt := b.at
	x.Count = int(b.u16())
	if b.short {
		return b.fail(r.base, "Peer Count", "cut off", rfcGeo)
	}
	x.peers, x.off = b.b[b.at:], r.base+b.at
	if x.Count*(minPeer+8) > len(x.peers) {
		return &Error{r.base + countAt, "Peer Count", "more peers than the record can hold", rfcGeo}
	}
	return nil
}

// Peers returns a cursor over the peers.
func (x *GeoPeers) Peers() GeoPeerWalk {
	return GeoPeerWalk{r: reader{b: x.peers}, left: x.Count, base: x.off}
}

// GeoPeerWalk walks the peers of a GEO_PEER_TABLE in order. Err, after Next is
// false, is nil or an *Error.
type GeoPeerWalk struct {
	r    reader
	left int
	base int
	peer GeoPeer
	err  *Error
}

// Next moves to the next peer, and is false at the end or at an error.
func (w *GeoPeerWalk) Next() bool {
	if w.err != nil {
		return false
	}
	if w.left == 0 {
		if w.r.at != len(w.r.b) {
			w.err = w.r.fail(w.base, "Peer Entries", "octets left over after the last peer", rfcGeo)
		}
		return false
	}
	w.left--
	start := w.r.at
	p := &w.peer
	p.Type = w.r.u8()
	p.BGPID = w.r.u32()
	p.Addr = addr(w.r.take(4 + 12*int(p.Type&PeerIPv6)))
	p.AS = w.r.as(p.Type&PeerAS4 != 0)
	p.Latitude, p.Longitude = w.r.u32(), w.r.u32()
	if w.r.short {
		w.r.at = start
		w.err = w.r.fail(w.base, "Peer Entries", "last peer cut off", rfcGeo)
		return false
	}
	return true
}

// Peer returns the peer that Next moved to.
func (w *GeoPeerWalk) Peer() GeoPeer { return w.peer }

// Err returns what ended the walk, nil at its proper end.
func (w *GeoPeerWalk) Err() *Error { return w.err }
