package ribd

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"ribd/engine/mrt"
	"ribd/shard"
	"ribd/shard/rib"
	"ribd/wire"
)

// Options of a Table. The zero value is ready for use.
type Options struct {
	// Shards is the number of goroutines that write; 0 is GOMAXPROCS.
	Shards int
	// MaxViews bounds the Views held at a time, and MaxViewAge how long one may
	// be held; past either the oldest is ended. 0 is 64, and 10 minutes.
	MaxViews   int
	MaxViewAge time.Duration
}

// Table is a routing table: the paths of all its peers, in all families. Any
// goroutine may call its methods.
type Table struct {
	rib    *shard.RIB
	loader *mrt.Loader
}

// Open makes an empty table. Close it.
func Open(o Options) (*Table, error) {
	r, err := shard.Open(shard.Options{Shards: o.Shards, MaxViews: o.MaxViews, MaxViewAge: o.MaxViewAge})
	if err != nil {
		return nil, fmt.Errorf("ribd: %w", err)
	}
	return &Table{rib: r, loader: mrt.New(r, mrt.Options{Log: slog.New(slog.DiscardHandler)})}, nil
}

// Close cancels the loads that run and gives all memory back. Nobody may use the table, its views or readers
// during it or after it.
func (t *Table) Close() {
	t.loader.Close()
	t.rib.Close()
}

// Source is where a peer's routes come from.
type Source = rib.Source

// Family is an address family, such as wire.IPv4Unicast.
type Family = wire.Family

// The families that a look-up of an address is in.
const (
	IPv4Unicast = wire.IPv4Unicast
	IPv6Unicast = wire.IPv6Unicast
)

// Peer is who sent a path.
type Peer struct {
	// ID is 16 hex digits that depend on source, collector, address and AS
	// alone: the same after a restart.
	ID        string
	Source    Source
	Collector string
	Addr      netip.Addr
	AS        uint32
	RouterID  netip.Addr
}

func peerOf(i *rib.PeerInfo) Peer {
	return Peer{
		ID: i.ID, Source: i.Source, Collector: i.Collector, Addr: i.Addr, AS: i.AS,
		RouterID: netip.AddrFrom4([4]byte{byte(i.RouterID >> 24), byte(i.RouterID >> 16), byte(i.RouterID >> 8), byte(i.RouterID)}),
	}
}

// PeerStatus is a peer and how much it has in the table, all families together.
type PeerStatus struct {
	Peer
	Since                 time.Time
	Prefixes, Paths, Best int64
}

// Peers returns the peers of the table.
func (t *Table) Peers() []PeerStatus {
	peers := t.rib.Peers()
	out := make([]PeerStatus, len(peers))
	for i := range peers {
		out[i] = PeerStatus{Peer: peerOf(&peers[i].Info), Since: peers[i].Since}
		for _, c := range peers[i].Counts {
			out[i].Prefixes += c.Prefixes
			out[i].Paths += c.Paths
			out[i].Best += c.Best
		}
	}
	return out
}

// Drop removes a peer by its ID, and all its paths, and says whether it was
// there. No Reader and no new View shows them when it returns.
func (t *Table) Drop(id string) bool {
	found := false
	for _, p := range t.rib.Peers() {
		if p.Info.ID == id {
			if !t.loader.DropPeer(p.Num) {
				t.rib.DropPeer(p.Num)
			}
			found = true
		}
	}
	return found
}
