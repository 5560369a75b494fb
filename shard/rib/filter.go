package rib

import (
	"ribd/trie"
	"ribd/wire"
)

// Verdict is what a Filter says of a route.
type Verdict struct {
	Attrs    AttrID       // the attributes to go on with; as they came where Filtered is set
	Filtered FilterReason // FilterNone: accepted
}

// Filter judges routes of live peers: on their way in, or out to one kind of
// peer. Its methods are for any goroutine, and quick: they are on the path of
// every UPDATE.
type Filter interface {
	// Set judges what holds for every route of a family and source that has a
	// set of attributes. final is false where Route has to be asked for each
	// route; then v means nothing.
	Set(f wire.Family, from PeerNum, attrs AttrID) (v Verdict, final bool)
	// Route judges one route: p.Peer, p.Attrs (as it came), p.PathID and
	// p.HasPathID are its own. rd is 0 but for VPN families, k and n mean
	// nothing where NLRI are not prefixes.
	Route(f wire.Family, rd uint64, k trie.Key, n uint8, p *Path) Verdict
}
