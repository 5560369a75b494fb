package apiv1

import "time"

// PeerAnswer is what became of a path or rule at one peer.
type PeerAnswer struct {
	Peer   *string `json:"peer"` // address
	PeerID string  `json:"peer_id"`
	State  string  `json:"state"`  // sent, queued, down, refused
	Reason *string `json:"reason"` // null where it is sent
	// AdvertisedPathID is the Add-Path id on the wire, null without one.
	AdvertisedPathID *uint32 `json:"advertised_path_id"`
}

// PathKey is what names a path that is originated. Prefix is null in families
// without prefixes, which have NLRI.
type PathKey struct {
	Prefix *string `json:"prefix"`
	NLRI   *string `json:"nlri,omitempty"` // hex
	Family string  `json:"family"`
	RD     *string `json:"rd"`
	PathID *uint32 `json:"path_id"`
}

// PathAnnounced answers a path that was announced.
type PathAnnounced struct {
	PathKey
	AttrsID   uint32       `json:"attrs_id"`
	ExpiresAt *time.Time   `json:"expires_at"`
	Peers     []PeerAnswer `json:"peers"`
}

// PathWithdrawn answers a path that was withdrawn.
type PathWithdrawn struct {
	PathKey
	Withdrawn bool `json:"withdrawn"`
}

// LineError answers, in its place, a line that could not be carried out.
type LineError struct {
	Line   int    `json:"line"`   // from 1
	Status int    `json:"status"` // that it would be answered with alone
	Error  string `json:"error"`
	Param  string `json:"param,omitempty"`
	Guard  string `json:"guard,omitempty"`
}

// Held says which guard keeps a path or rule out of the RIB that was announced
// before the guard was as it is.
type Held struct {
	Guard  string `json:"guard"`
	Detail string `json:"detail"`
}

// OriginatedPath is a path that is originated here.
type OriginatedPath struct {
	PathKey
	NLRIText *string  `json:"nlri_text,omitempty"`
	Labels   []uint32 `json:"labels"`

	Attributes

	Peers      []string     `json:"peers"` // ids of the only peers that it is meant for; null: all
	CreatedAt  time.Time    `json:"created_at"`
	ExpiresAt  *time.Time   `json:"expires_at"`
	Held       *Held        `json:"held"`
	Advertised []PeerAnswer `json:"advertised"`
}

// OriginatedPaths is one page of them.
type OriginatedPaths struct {
	Paths []OriginatedPath `json:"paths"`
	Next  *string          `json:"next"`
}

// UpdateRefused is a path that a peer would not be sent.
type UpdateRefused struct {
	Index int `json:"index"` // in the list that was given
	PathKey
	Reason string `json:"reason"`
}

// Updates are the messages that a peer would be sent.
type Updates struct {
	Peer     *string         `json:"peer"`     // null: a plain external peer
	Messages []string        `json:"messages"` // hex, with their headers
	Decoded  [][]string      `json:"decoded"`  // what each says, in lines
	Refused  []UpdateRefused `json:"refused"`
	Sent     []PathAnnounced `json:"sent"` // null: nothing was to be sent
}

// PathInput is a path that is to be originated, or named to be withdrawn. What is
// left out has the default that openapi.yaml tells.
type PathInput struct {
	Prefix            string             `json:"prefix,omitempty"`
	NLRI              string             `json:"nlri,omitempty"` // hex, in families without prefixes
	Family            string             `json:"family,omitempty"`
	RD                string             `json:"rd,omitempty"`
	Labels            []uint32           `json:"labels,omitempty"`
	PathID            *uint32            `json:"path_id,omitempty"`
	Origin            string             `json:"origin,omitempty"`
	ASPath            *string            `json:"as_path,omitempty"`
	NextHop           string             `json:"next_hop,omitempty"` // an address or "self"
	NextHopLinkLocal  string             `json:"next_hop_link_local,omitempty"`
	MED               *uint32            `json:"med,omitempty"`
	LocalPref         *uint32            `json:"local_pref,omitempty"`
	Communities       []string           `json:"communities,omitempty"`
	LargeCommunities  []string           `json:"large_communities,omitempty"`
	ExtCommunities    []string           `json:"ext_communities,omitempty"`
	AtomicAggregate   bool               `json:"atomic_aggregate,omitempty"`
	Aggregator        string             `json:"aggregator,omitempty"`
	OriginatorID      string             `json:"originator_id,omitempty"`
	ClusterList       []string           `json:"cluster_list,omitempty"`
	OnlyToCustomer    *uint32            `json:"only_to_customer,omitempty"`
	AIGP              *uint64            `json:"aigp,omitempty"`
	UnknownAttributes []UnknownAttribute `json:"unknown_attributes,omitempty"`
	Peers             []string           `json:"peers,omitempty"` // addresses, ids or names
	TTL               string             `json:"ttl,omitempty"`   // such as 10m
	Send              bool               `json:"send,omitempty"`  // of POST updates
	Withdraw          bool               `json:"withdraw,omitempty"`
}
