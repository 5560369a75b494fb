package rib

import (
	"net/netip"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// PeerNum is the number of a peer in the tables, 20 bits. It is used again only
// when no path with it is left, nor a view that can see one.
type PeerNum uint32

// MaxPeers bounds PeerNum: numbers are below it.
const MaxPeers = 1<<20 - 1

// AttrID is the id of an interned attribute set; 0 is none.
type AttrID uint32

// ASPathID is the id of an interned AS_PATH; 0 is none. A set without AS_PATH
// and one with an empty AS_PATH have the id of the empty path.
type ASPathID uint32

// TableID is one table of prefixes: a family, and for VPN families a route
// distinguisher.
type TableID uint32

// Tables that are always there; others are registered at first use.
const (
	TableIPv4Unicast TableID = iota
	TableIPv6Unicast
	TableIPv4Multicast
	TableIPv6Multicast
)

// Source is where a peer's routes come from.
type Source uint8

// The sources of routes.
const (
	SourceBGP Source = iota
	SourceMRT
	SourceBMP
	SourceLocal
)

var sourceNames = [...]string{"bgp", "mrt", "bmp", "local"}

// String names the source as the API does.
func (s Source) String() string { return name(sourceNames[:], uint8(s), "source") }

// Live is true of what is heard from a session or originated here, and false
// of what a recording or a monitor tells.
func (s Source) Live() bool { return s == SourceBGP || s == SourceLocal }

// Stale says why a path outlives its session.
type Stale uint8

// Why a path is stale.
const (
	StaleNo      Stale = iota
	StaleGR            // graceful restart (RFC 4724)
	StaleLLGR          // long-lived graceful restart (RFC 9494): least preferred
	StaleRestart       // kept over a restart of ribd itself
)

var staleNames = [...]string{"", "gr", "llgr", "restart"}

// String names the state as the API does; it is empty for StaleNo.
func (s Stale) String() string { return name(staleNames[:], uint8(s), "stale") }

// FilterReason says why import refused a path, which is kept and never best.
type FilterReason uint8

// Why a path is filtered. At most 15 fit a record.
const (
	FilterNone           FilterReason = iota
	FilterPolicy                      // refused by import policy
	FilterNoPolicy                    // RFC 8212: external, without an import policy
	FilterASLoop                      // own AS in AS_PATH
	FilterOriginatorLoop              // own ORIGINATOR_ID (RFC 4456)
	FilterClusterLoop                 // own cluster in CLUSTER_LIST (RFC 4456)
	FilterOTC                         // route leak by role (RFC 9234)
	FilterNextHop                     // own, martian or all-zero next hop
	FilterLimit                       // over the prefix limit
	FilterMalformed                   // malformed, kept to be shown
	FilterFirstAS                     // first AS is not the peer's
	FilterASSet                       // AS_SET or AS_CONFED_SET in AS_PATH (RFC 9774)

	// A Flow Spec rule that is not feasible (RFC 8955 section 6, RFC 9117): it
	// may become so when unicast routes change. The nibble is full with these.
	FilterNoDestination // it has no destination prefix
	FilterNoUnicast     // no unicast route covers its destination
	FilterOriginator    // the best of these is of another originator, or of another AS
	FilterMoreSpecific  // a unicast route under its destination is of another AS
)

var filterNames = [...]string{"", "policy", "no-policy", "as-loop", "originator-loop", "cluster-loop", "otc", "next-hop", "limit", "malformed", "first-as", "as-set",
	"no-destination", "no-unicast-route", "originator", "more-specific"}

// String names the reason as the API does; it is empty for FilterNone.
func (f FilterReason) String() string { return name(filterNames[:], uint8(f), "filter") }

// Invalid says whether the reason is that a Flow Spec rule is not feasible: import
// policy has accepted it.
func (f FilterReason) Invalid() bool { return f >= FilterNoDestination && f <= FilterMoreSpecific }

// Step is a step of the decision process.
type Step uint8

// The steps, in the order in which they are asked. At most 16 fit a record.
const (
	StepNone         Step = iota // not decided: no path, or filtered
	StepOnlyPath                 // there is no other path that is not filtered
	StepLive                     // a live path before one of a dump or a monitor
	StepLocalOrigin              // originated here
	StepStale                    // not long-lived stale (RFC 9494)
	StepLocalPref                // RFC 4271 9.1.1
	StepASPathLength             // 9.1.2.2 a
	StepOrigin                   // 9.1.2.2 b
	StepMED                      // 9.1.2.2 c, among paths of one neighbour AS
	StepExternal                 // 9.1.2.2 d
	StepIGPCost                  // 9.1.2.2 e: costs are equal here, so it never decides
	StepRouterID                 // 9.1.2.2 f, ORIGINATOR_ID where there is one (RFC 4456)
	StepClusterList              // shorter CLUSTER_LIST (RFC 4456)
	StepPeerAddress              // 9.1.2.2 g
	StepPathID                   // lower Add-Path id (RFC 7911)
	StepPeerNumber               // lower number of the peer: all else is equal
)

var stepNames = [...]string{"", "only-path", "live", "local-origin", "stale", "local-pref", "as-path-length", "origin", "med", "external", "igp-cost",
	"router-id", "cluster-list-length", "peer-address", "path-id", "peer-number"}

// String names the step as the API does; it is empty for StepNone.
func (s Step) String() string { return name(stepNames[:], uint8(s), "step") }

func name(names []string, i uint8, kind string) string {
	if int(i) < len(names) {
		return names[i]
	}
	return kind + "-" + strconv.Itoa(int(i))
}

// Path is one path of a prefix, unpacked from a block or to be packed into one.
// What identifies it in its prefix is (Peer, HasPathID, PathID): no path id and
// path id 0 are two keys.
type Path struct {
	Peer      PeerNum
	Attrs     AttrID // after import policy
	PreAttrs  AttrID // as received; 0: the same as Attrs
	PathID    uint32
	Labels    uint32 // interned label stack, 0: none
	Received  uint32 // seconds since 1970
	HasPathID bool
	Stale     Stale
	Filtered  FilterReason

	// What the table knows; ignored in a path that is announced.
	Best   bool   // the first path, where it is not filtered
	Reason Step   // of the best path: the step that decided against the next
	Rank   uint16 // from 1; 65535 stands for all that follow
}

// PeerInfo is who a peer is. It does not change while the peer has its number.
type PeerInfo struct {
	ID        string // 16 hex digits, see PeerID
	Source    Source
	Collector string     // of a dump or a monitoring station; empty for live sessions
	Addr      netip.Addr // invalid for SourceLocal
	AS        uint32
	RouterID  uint32 // BGP identifier
	Internal  bool   // an IBGP session
	Name      string // as configured; for people
}

// PeerID returns the id by which the API knows a peer: 16 hex digits that
// depend on source, collector, address and AS alone, so that it is the same
// after a restart.
func PeerID(s Source, collector string, addr netip.Addr, as uint32) string {
	b := make([]byte, 0, 64)
	b = append(b, byte(s))
	b = append(b, collector...)
	b = append(b, 0)
	b, _ = addr.AppendText(b) // the zero Addr gives ""
	b = append(b, 0, byte(as>>24), byte(as>>16), byte(as>>8), byte(as))
	const digits = "0123456789abcdef"
	h := xxhash.Sum64(b)
	var out [16]byte
	for i := range out {
		out[i] = digits[h>>(60-4*i)&15]
	}
	return string(out[:])
}
