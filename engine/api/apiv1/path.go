package apiv1

import "time"

// Path is one path of a peer to a prefix, with its attributes as they are after
// import policy. Pointers are null in JSON where the path has no such value.
type Path struct {
	Peer       *string  `json:"peer"`     // address; null for source "local"
	PeerID     string   `json:"peer_id"`  // 16 hex digits
	PeerASN    uint32   `json:"peer_asn"` //
	Source     string   `json:"source"`   // bgp, mrt, bmp, local
	Family     string   `json:"family"`
	RD         *string  `json:"rd"`
	Labels     []uint32 `json:"labels"`
	PathID     *uint32  `json:"path_id"` // null: Add-Path was not negotiated
	Best       bool     `json:"best"`
	BestReason *string  `json:"best_reason"` // of the best path alone: the step that decided against the next
	Rank       int      `json:"rank"`

	Attributes

	ReceivedAt   time.Time `json:"received_at"`
	Stale        *string   `json:"stale"` // gr, llgr, restart
	Filtered     bool      `json:"filtered"`
	FilterReason *string   `json:"filter_reason"`
	RPKI         *string   `json:"rpki"` // valid, invalid, not-found; null: no VRPs are loaded
}

// Attributes is a decoded attribute set; many paths share one.
type Attributes struct {
	Origin            *string            `json:"origin"` // igp, egp, incomplete
	ASPath            string             `json:"as_path"`
	OriginASN         *uint32            `json:"origin_asn"`
	NeighborASN       *uint32            `json:"neighbor_asn"`
	NextHop           *string            `json:"next_hop"`
	NextHopLinkLocal  *string            `json:"next_hop_link_local"`
	MED               *uint32            `json:"med"`
	LocalPref         *uint32            `json:"local_pref"`
	Communities       []string           `json:"communities"`
	LargeCommunities  []string           `json:"large_communities"`
	ExtCommunities    []string           `json:"ext_communities"`
	AtomicAggregate   bool               `json:"atomic_aggregate"`
	Aggregator        *string            `json:"aggregator"` // "65001 192.0.2.1"
	OriginatorID      *string            `json:"originator_id"`
	ClusterList       []string           `json:"cluster_list"`
	OnlyToCustomer    *uint32            `json:"only_to_customer"`
	AIGP              *uint64            `json:"aigp"`
	UnknownAttributes []UnknownAttribute `json:"unknown_attributes"`
	AttrsID           uint32             `json:"attrs_id"`
}

// UnknownAttribute is a path attribute that ribd carries without decoding it.
type UnknownAttribute struct {
	Type  uint8  `json:"type"`
	Flags uint8  `json:"flags"`
	Value string `json:"value"` // hex
}

// Lookup is the answer to one address: the longest match, best path first. Prefix
// is null where nothing matches; in a batch, Error tells why an item has no
// answer.
type Lookup struct {
	Query  string  `json:"query"`
	Prefix *string `json:"prefix"`
	Paths  []Path  `json:"paths"`
	Error  string  `json:"error,omitempty"`
}

// Route is one row of a list of routes. Prefix is null in families without
// prefixes, whose rows carry the NLRI.
type Route struct {
	Prefix   *string `json:"prefix"`
	NLRI     *string `json:"nlri,omitempty"` // hex
	NLRIText *string `json:"nlri_text,omitempty"`
	Path
}

// Routes is one page of routes. Next is the cursor of the next page, or null
// after the last.
type Routes struct {
	Routes []Route `json:"routes"`
	Next   *string `json:"next"`
}

// Count answers routes/count.
type Count struct {
	Prefixes uint64 `json:"prefixes"`
	Paths    uint64 `json:"paths"`
}

// StreamError is the last line of an NDJSON stream that broke midway.
type StreamError struct {
	Error string `json:"error"`
}
