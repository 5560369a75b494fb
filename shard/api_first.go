package shard

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"ribd/shard/rib"
	"ribd/trie"
	"ribd/wire"
)

// Options of a RIB; the zero value is ready for use.
type Options struct {
	Shards      int           // 0: GOMAXPROCS
	MaxViews    int           // long views at a time; past it the oldest is ended. 0: 64
	MaxViewAge  time.Duration // 0: 10 minutes; a view past it is ended when memory is kept for it
	FeedSize    int           // changes a shard keeps for followers. 0: 65,536
	QueueLen    int           // batches that wait for a shard. 0: 64
	MaxPaths    uint64        // cap of words of path blocks, see Stats. 0: the limit of references
	SweepEvery  time.Duration // unused attribute sets are looked for. 0: 5 minutes
	AttrIDGrace time.Duration // ids of ended sets rest. 0: 10 minutes
}

type RIB struct{}

func Open(o Options) (*RIB, error)                         { panic("first") }
func (r *RIB) Close()                                      {}
func (r *RIB) AddPeer(i rib.PeerInfo) (rib.PeerNum, error) { panic("first") }

// DropPeer takes a peer and all its paths away. When it returns, no look-up and no new View shows them; the sweep goes on behind.
func (r *RIB) DropPeer(n rib.PeerNum)                      {}
func (r *RIB) Peers() []PeerStatus                         { panic("first") }
func (r *RIB) Peer(n rib.PeerNum) (*rib.PeerInfo, bool)    { panic("first") } // fast, no lock: also of a number in an old view
func (r *RIB) PeerStatus(n rib.PeerNum) (PeerStatus, bool) { panic("first") }

type PeerStatus struct {
	Num    rib.PeerNum
	Info   rib.PeerInfo
	Since  time.Time
	Counts []FamilyCount // families with paths, ascending; VPN families over all their tables
}
type FamilyCount struct {
	Family                                 wire.Family
	Prefixes, Paths, Best, Filtered, Stale int64
}

func (r *RIB) Attrs() *rib.Attrs { panic("first") }

// Table returns the table of a family (rd: VPN families, else 0), registering it. ok is false when there are too many.
func (r *RIB) Table(f wire.Family, rd uint64) (t rib.TableID, ok bool)        { panic("first") }
func (r *RIB) FindTable(f wire.Family, rd uint64) (t rib.TableID, ok bool)    { panic("first") } // never registers
func (r *RIB) TableInfo(t rib.TableID) (f wire.Family, rd uint64, hasRD bool) { panic("first") }
func (r *RIB) Tables() []rib.TableID                                          { panic("first") } // with prefixes, or the four
func (r *RIB) RawKey(nlri []byte) (k trie.Key, n uint8, ok bool)              { panic("first") } // families of wire.FormRaw
func (r *RIB) RawNLRI(k trie.Key) (nlri []byte, ok bool)                      { panic("first") }
func (r *RIB) InternLabels(labels []byte) (id uint32, ok bool)                { panic("first") } // 3 octets a label
func (r *RIB) Labels(id uint32) (labels []byte, ok bool)                      { panic("first") }

// Fan is one ingest goroutine's batches, one a shard. Nothing is sent before Flush, but a batch that is full (4,096 operations) goes at once.
type Fan struct{}

func (r *RIB) NewFan() *Fan                                             { panic("first") }
func (f *Fan) Close()                                                   {} // flushes
func (f *Fan) Announce(t rib.TableID, k trie.Key, n uint8, p *rib.Path) {}
func (f *Fan) Withdraw(t rib.TableID, k trie.Key, n uint8, peer rib.PeerNum, pathID uint32, hasPathID bool) {
}
func (f *Fan) Entry(t rib.TableID, k trie.Key, n uint8, paths []rib.Path) {}
func (f *Fan) Len() int                                                   { panic("first") }
func (f *Fan) Flush()                                                     {}

// Refresh begins a generation of a peer's routes in the whole family of t (all route distinguishers); EndRefresh removes what was not announced since.
// The caller has flushed its Fans before each of the two. Sync waits for the removal too.
func (r *RIB) Refresh(peer rib.PeerNum, t rib.TableID)    {}
func (r *RIB) EndRefresh(peer rib.PeerNum, t rib.TableID) {}
func (r *RIB) Sync()                                      {}
func (r *RIB) Settle()                                    {} // Sync, and all background work done: sweeps of peers that went

// Match is a prefix and its paths at the moment of a look-up. It is good until the Unpin of its Reader or the Close of its View.
type Match struct {
	Key   trie.Key
	Table rib.TableID
	Len   uint8
	block uint32
}

func (m Match) OK() bool                                              { return m.block != 0 }
func (m Match) Prefix() netip.Prefix                                  { panic("first") } // of the IPv4 and IPv6 tables that are always there; others: RIB.Prefix
func (r *RIB) Prefix(t rib.TableID, k trie.Key, n uint8) netip.Prefix { panic("first") } // invalid for raw families

// Flags of Best: those of the packed look-up answers, RPKI left out.
type Flags uint8

const (
	FlagStale Flags = 1 << iota
	FlagInternal
	FlagManyOrigins
)

// Reader is for the latest state: one a goroutine or connection.
type Reader struct{}

func (r *RIB) NewReader() *Reader                                      { panic("first") }
func (rd *Reader) Close()                                              {}
func (rd *Reader) Pin()                                                {}
func (rd *Reader) Unpin()                                              {}
func (rd *Reader) Match4(a uint32) Match                               { panic("first") }
func (rd *Reader) Match6(hi, lo uint64) Match                          { panic("first") }
func (rd *Reader) MatchBatch4(as []uint32, out []Match)                {}
func (rd *Reader) MatchBatch6(hi, lo []uint64, out []Match)            {}
func (rd *Reader) Best(m Match) (p rib.Path, count int, f Flags)       { panic("first") } // count: paths that are not filtered
func (rd *Reader) Paths(m Match, dst []rib.Path) []rib.Path            { panic("first") } // best first, filtered last, none of peers that are down
func (rd *Reader) Get(t rib.TableID, k trie.Key, n uint8) Match        { panic("first") } // any table, latest, by trie
func (rd *Reader) Match(t rib.TableID, k trie.Key, maxLen uint8) Match { panic("first") }
func (rd *Reader) MatchFunc(t rib.TableID, k trie.Key, maxLen uint8, keep func(*rib.Path) bool, dst []rib.Path) (Match, []rib.Path) {
	panic("first")
}
func (rd *Reader) Covering(t rib.TableID, k trie.Key, n uint8, yield func(Match) bool) {}

// View is a consistent snapshot of each shard, for one goroutine at a time (walks apart: each may have its own).
type View struct{}

// ErrViewEnded is what Err returns after the limits of views ended one.
var ErrViewEnded = errors.New("this view was ended: too many or too old views are held; take a new one")

func (r *RIB) View() *View                                          { panic("first") }
func (v *View) Close()                                              {}
func (v *View) Err() error                                          { panic("first") }
func (v *View) Version() string                                     { panic("first") }
func (v *View) Tables() []rib.TableID                               { panic("first") }
func (v *View) Get(t rib.TableID, k trie.Key, n uint8) Match        { panic("first") } // also a prefix of which all paths are filtered
func (v *View) Match(t rib.TableID, k trie.Key, maxLen uint8) Match { panic("first") } // longest with a path that is not filtered
func (v *View) MatchFunc(t rib.TableID, k trie.Key, maxLen uint8, keep func(*rib.Path) bool, dst []rib.Path) (Match, []rib.Path) {
	panic("first")
}
func (v *View) Covering(t rib.TableID, k trie.Key, n uint8, yield func(Match) bool) {} // shortest first, k/n too
func (v *View) Best(m Match) (p rib.Path, count int, f Flags)                       { panic("first") }
func (v *View) Paths(m Match, dst []rib.Path) []rib.Path                            { panic("first") }
func (v *View) Walk(t rib.TableID, w WalkRange) *Walk                               { panic("first") } // whole order, shards merged
func (v *View) Parts() int                                                          { panic("first") } // parts that may be walked in parallel
func (v *View) WalkPart(i int, t rib.TableID, w WalkRange) *Walk                    { panic("first") } // one part, in its own order

// WalkRange bounds a walk; zero: all. From: at or after; After: excludes From itself; Under: only what the prefix covers, itself too.
type WalkRange struct {
	From     trie.Key
	FromLen  uint8
	After    bool
	Under    trie.Key
	UnderLen uint8
}

// Walk is a cursor in prefix order (address, then length), for one goroutine. Close it; the View stays open.
type Walk struct{}

func (w *Walk) Next() bool                             { panic("first") }
func (w *Walk) Match() Match                           { panic("first") }
func (w *Walk) Key() trie.Key                          { panic("first") }
func (w *Walk) Len() uint8                             { panic("first") }
func (w *Walk) Best() (p rib.Path, count int, f Flags) { panic("first") }
func (w *Walk) Paths(dst []rib.Path) []rib.Path        { panic("first") }
func (w *Walk) Err() error                             { panic("first") }
func (w *Walk) Close()                                 {}

type Stats struct {
	Shards     int
	Version    string
	Peers      int
	Tables     []TableStats
	Attrs      rib.AttrsStats
	Memory     []MemoryPart // bytes by part: trie, image, handles, blocks, attributes, feed
	Views      int
	OldestView time.Duration
	ViewsEnded uint64
	Queued     []int  // batches that wait, by shard, roof last
	Refused    uint64 // routes that the caps did not allow
	Late       uint64 // routes of peers that were gone
	Applied    uint64 // operations
}
type TableStats struct {
	Table           rib.TableID
	Family          wire.Family
	RD              uint64
	HasRD           bool
	Prefixes, Paths int64
}
type MemoryPart struct {
	Name                       string
	Resident, Live, Free, Held uint64
}

func (r *RIB) Stats() Stats      { panic("first") }
func (r *RIB) SlabBytes() uint64 { panic("first") } // resident outside the Go heap: lower GOMEMLIMIT by it

// Change is one entry of the feed.
type Change struct {
	Kind  ChangeKind
	Shard int
	Table rib.TableID
	Key   trie.Key
	Len   uint8
	Path  rib.Path // Announce: the path; Withdraw: its key; PeerDown: Peer
	Swept bool     // a Withdraw that only tells which prefixes a PeerDown touched
}
type ChangeKind uint8

const (
	ChangeAnnounce ChangeKind = iota + 1
	ChangeWithdraw
	ChangePeerDown // all paths of Path.Peer in this shard are gone
)

// Follower reads the changes: first the View that Snapshot returns, then exactly what came after it.
type Follower struct{}

func (r *RIB) Follow(from string) (*Follower, error)   { panic("first") } // from: Position of an earlier one, "": begin with a Snapshot
func (f *Follower) Close()                             {}
func (f *Follower) Snapshot() *View                    { panic("first") } // the state to begin from, positions set to it; close it
func (f *Follower) Next(dst []Change) (n int, ok bool) { panic("first") } // ok false: fell out of the ring, take a Snapshot
func (f *Follower) Wait(ctx context.Context) error     { panic("first") }
func (f *Follower) Position() string                   { panic("first") }
